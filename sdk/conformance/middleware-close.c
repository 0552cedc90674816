/* middleware-close.c — the end of a middleware: it may be closed at any time, and leaves nothing behind.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "middleware-private.h"

static void
unused (StrandConformance *self)
{
  StrandMiddleware *one = strand_conformance_make (self), *two = strand_conformance_make (self);
  int one_gone = FALSE, two_gone = FALSE;

  g_object_weak_ref (G_OBJECT (one), target_note_gone, &one_gone);
  g_object_weak_ref (G_OBJECT (two), target_note_gone, &two_gone);
  middleware_close (one);
  g_object_unref (two);
  strand_conformance_wait (self, g_atomic_int_get (&one_gone) && g_atomic_int_get (&two_gone));
}

static void
used (StrandConformance *self)
{
  World *world = world_new (self);
  StrandMiddleware *subject;
  int gone = FALSE;

  for (guint i = 0; i < 20; i++)
    world_pass (world);
  subject = world_close_and_keep (world);
  g_object_weak_ref (G_OBJECT (subject), target_note_gone, &gone);
  strand_middleware_close (subject);
  strand_middleware_close (subject);
  g_object_unref (subject);
  strand_conformance_wait (self, g_atomic_int_get (&gone));
}

static void
dropped_without_close (StrandConformance *self)
{
  World *world = world_new (self);
  StrandMiddleware *subject;
  int gone = FALSE;

  for (guint i = 0; i < 20; i++)
    world_pass (world);
  subject = world_close_and_keep (world);
  g_object_weak_ref (G_OBJECT (subject), target_note_gone, &gone);
  g_object_unref (subject);
  strand_conformance_wait (self, g_atomic_int_get (&gone));
}

static void
calls_pass_afterwards (StrandConformance *self)
{
  World *world = world_new (self);

  for (guint i = 0; i < 5; i++)
    world_pass (world);
  strand_middleware_close (world->subject);
  for (guint i = 0; i < 20; i++)
    world_pass (world);
  world_close (world);
}

/* Calls that the middleware has held back for a moment may run in another order than they were made in. */
static gboolean
one_has_entered (StrandConformance *self, guint n_calls)
{
  for (guint i = 0; i < n_calls; i++)
    {
      g_autofree char *entered = g_strdup_printf ("entered-%u", i);

      if (strand_conformance_has_file (self, entered))
        return TRUE;
    }
  return FALSE;
}

static void
calls_in_flight (StrandConformance *self)
{
  World *world = world_new (self);
  g_autoptr(StrandTask) task = world_task (world, "conformance.hold");
  g_autoptr(GPtrArray) handles = g_ptr_array_new_with_free_func (g_object_unref);

  for (guint i = 0; i < 20; i++)
    {
      g_autofree char *entered = g_strdup_printf ("entered-%u", i);

      g_ptr_array_add (handles, runner_call_paths (self, task, entered, "gate", NULL));
    }
  strand_conformance_wait (self, one_has_entered (self, handles->len));
  strand_middleware_close (world->subject);
  world_open_gate (world);
  world_await_all (world, handles);
  for (guint i = 0; i < handles->len; i++)
    runner_assert_completed (handles->pdata[i]);
  g_ptr_array_set_size (handles, 0);
  g_clear_object (&task);
  world_close (world);
}

static void
calls_are_let_go_of (StrandConformance *self)
{
  World *world = world_new (self);

  for (guint i = 0; i < 200; i++)
    {
      world_pass (world);
      g_object_unref (world_call (world, "conformance.nothing", NULL, NULL));
      g_object_unref (
          world_call (world, "conformance.fail", g_variant_new ("(sis)", "a-domain", (int) i, "no"), NULL));
    }
  strand_conformance_wait (self, g_atomic_int_get (&world->outer->n_alive) == 0);
  g_assert_cmpint (g_atomic_int_get (&world->inner->n_alive), ==, 0);
  world_close (world);
}

/* What a world takes for itself, such as the clock's thread, is there after the first. */
static void
nothing_is_left (StrandConformance *self)
{
  guint n_files = 0, n_threads = 0;

  for (guint i = 0; i < 12; i++)
    {
      World *world = world_new (self);

      for (guint j = 0; j < 5; j++)
        world_pass (world);
      world_close (world);
      if (i == 1)
        {
          n_files = runner_count_files ();
          n_threads = runner_count_threads ();
        }
    }
  strand_conformance_wait (self, runner_count_threads () <= n_threads + 2);
  g_assert_cmpuint (runner_count_files (), <=, n_files + 2);
}

static void
properties_can_be_read (StrandConformance *self)
{
  World *world = world_new (self);
  guint n_properties;
  g_autofree GParamSpec **properties =
      g_object_class_list_properties (G_OBJECT_GET_CLASS (world->subject), &n_properties);

  for (guint round = 0; round < 2; round++)
    {
      for (guint i = 0; i < n_properties; i++)
        if ((properties[i]->flags & G_PARAM_READABLE) != 0)
          {
            g_auto(GValue) value = G_VALUE_INIT;

            g_object_get_property (G_OBJECT (world->subject), properties[i]->name, &value);
            g_assert_false (g_param_value_validate (properties[i], &value));
          }
      world_pass (world);
    }
  world_close (world);
}

const StrandConformanceCase middleware_close_cases[] = {
  { "close/unused", "An object that was never used goes with its last owner, closed or not.", unused },
  { "close/used", "A used object may be closed twice, and goes with its last owner.", used, "passes" },
  { "close/dropped", "So does one that was never closed.", dropped_without_close, "passes" },
  { "close/calls-afterwards", "Calls that come after `close` pass.", calls_pass_afterwards, "passes" },
  { "close/calls-in-flight", "Calls that are under way at `close` end as without it.", calls_in_flight,
    "passes" },
  { "close/lets-go", "No call is kept for longer than it lasts, while others come.", calls_are_let_go_of,
    "passes" },
  { "close/nothing-left", "Objects that have gone leave no thread and no file descriptor behind.",
    nothing_is_left, "passes" },
  { "close/properties", "Every property that can be read has a value it may have, before and after calls.",
    properties_can_be_read, "passes" },
  { 0 },
};
