/* middleware-submit.c — `submit` runs in the caller's thread, which may draw a window.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "middleware-private.h"

/* Another thread may hold a lock for a moment, and a page may have to be read: not for most of the calls. */
#define N_SUBMITS 60

static void
it_does_not_wait (StrandConformance *self)
{
  World *world = world_new (self);
  g_autoptr(StrandTask) task = world_task (world, "conformance.echo");

  for (guint i = 0; i < N_SUBMITS; i++)
    g_object_unref (world_call_task (world, task, world_text (world), NULL));
  g_assert_cmpuint (probe_read (world->lens, &world->lens->n_submit), ==, N_SUBMITS);
  g_assert_cmpuint (probe_read (world->lens, &world->lens->n_idle), <, N_SUBMITS / 2);
  g_clear_object (&task);
  world_close (world);
}

/* Its own thread would be needed to let them go on. */
static void
it_returns_while_calls_are_under_way (StrandConformance *self)
{
  World *world = world_new (self);
  g_autoptr(GPtrArray) handles = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr(StrandTask) task = world_task (world, "conformance.hold");

  for (guint i = 0; i < 100; i++)
    {
      g_autofree char *entered = g_strdup_printf ("entered-%u", i);

      g_ptr_array_add (handles, runner_call_paths (self, task, entered, "gate", NULL));
    }
  g_assert_cmpuint (probe_read (world->outer, &world->outer->n_submit), ==, 100);
  world_open_gate (world);
  world_await_all (world, handles);
  for (guint i = 0; i < handles->len; i++)
    runner_assert_completed (handles->pdata[i]);
  g_ptr_array_set_size (handles, 0);
  g_clear_object (&task);
  world_close (world);
}

static void
another_refuses_at_the_door (StrandConformance *self)
{
  World *world = world_new (self);

  for (guint i = 0; i < 20; i++)
    {
      g_autoptr(StrandHandle) handle = NULL;

      world->inner->at_submit = STRAND_VERDICT_REFUSE;
      handle = world_call (world, "conformance.echo", world_text (world), NULL);
      runner_assert_failed (handle, STRAND_STATUS_FAILED, STRAND_ERROR, STRAND_ERROR_REFUSED);
    }
  g_assert_cmpuint (probe_read (world->lens, &world->lens->n_before), ==, 0);
  world->inner->at_submit = STRAND_VERDICT_CONTINUE;
  for (guint i = 0; i < 20; i++)
    world_pass (world);
  strand_conformance_wait (self, g_atomic_int_get (&world->outer->n_alive) == 0);
  world_close (world);
}

static void
another_answers_at_the_door (StrandConformance *self)
{
  World *world = world_new (self);

  world->inner->at_submit = STRAND_VERDICT_ANSWER;
  world->inner->answer = g_variant_ref_sink (g_variant_new_string ("at the door"));
  for (guint i = 0; i < 20; i++)
    {
      g_autoptr(StrandHandle) handle = world_call (world, "conformance.echo", world_text (world), NULL);
      g_autoptr(GVariant) value = NULL;

      runner_assert_completed (handle);
      value = strand_handle_get_result (handle, NULL);
      g_assert_cmpstr (g_variant_get_string (value, NULL), ==, "at the door");
    }
  world->inner->at_submit = STRAND_VERDICT_CONTINUE;
  for (guint i = 0; i < 20; i++)
    world_pass (world);
  world_close (world);
}

const StrandConformanceCase middleware_submit_cases[] = {
  { "submit/does-not-wait", "In most of its `submit`s the caller's thread does not wait for anything.",
    it_does_not_wait, "passes" },
  { "submit/busy", "`submit` returns while a hundred calls are under way.",
    it_returns_while_calls_are_under_way, "passes" },
  { "submit/refused-elsewhere",
    "A call that another refuses at `submit` is forgotten, and the next ones pass.",
    another_refuses_at_the_door, "passes" },
  { "submit/answered-elsewhere", "A call that another answers at `submit` keeps nobody from passing.",
    another_answers_at_the_door, "passes" },
  { 0 },
};
