/* middleware-suite.c — what a middleware promises: the suite, in the order of docs/conformance/middleware.md.
 *
 * What a middleware does, it does as it is configured. So the object is tried out: whether it lets calls
 * pass, and whether some of several equal calls are held back, refused or answered.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "middleware-private.h"

#include <glib/gstdio.h>

/* Calls that must pass one after the other, and at once. */
#define N_IN_LINE 20
#define N_AT_ONCE 20

static void
remove_file (World *world, const char *name)
{
  g_autofree char *path = strand_conformance_build_path (world->self, name);

  g_unlink (path);
}

/* Leaves the folder to the case as it was. */
static void
end_trial (World *world, GPtrArray *handles)
{
  world_open_gate (world);
  world_await_all (world, handles);
  g_ptr_array_set_size (handles, 0);
  remove_file (world, "gate");
  remove_file (world, "entered");
}

static gboolean
has_number (StrandConformance *self, gsize offset)
{
  World *world = world_new (self);
  const guint *number = G_STRUCT_MEMBER_P (world->lens, offset);
  g_autoptr(GPtrArray) handles = world_provoke (world, number, 1);
  gboolean has = probe_read (world->lens, number) > 0;

  end_trial (world, handles);
  world_close (world);
  return has;
}

static gboolean
holds (StrandConformance *self)
{
  return has_number (self, G_STRUCT_OFFSET (MiddlewareProbe, n_held));
}

static gboolean
refuses (StrandConformance *self)
{
  return has_number (self, G_STRUCT_OFFSET (MiddlewareProbe, n_refused));
}

/* A value must be there before it can be given again. */
static gboolean
answers (StrandConformance *self)
{
  World *world = world_new (self);
  gboolean has;

  for (guint i = 0; i < 3; i++)
    g_object_unref (world_call (world, "conformance.echo", g_variant_new ("(s)", "again"), NULL));
  has = probe_read (world->lens, &world->lens->n_answered) > 0;
  world_close (world);
  return has;
}

/* Calls that are different, and all made before the first may end. */
static void
call_at_once (World *world)
{
  g_autoptr(GPtrArray) handles = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr(StrandTask) task = world_task (world, "conformance.hold");

  for (guint i = 0; i < N_AT_ONCE; i++)
    {
      g_autofree char *entered = g_strdup_printf ("trial-%u", i);

      g_ptr_array_add (handles, runner_call_paths (world->self, task, entered, "gate", NULL));
    }
  end_trial (world, handles);
  for (guint i = 0; i < N_AT_ONCE; i++)
    {
      g_autofree char *entered = g_strdup_printf ("trial-%u", i);

      remove_file (world, entered);
    }
}

static gboolean
passes (StrandConformance *self)
{
  World *world = world_new (self);
  guint n_inner;

  for (guint i = 0; i < N_IN_LINE; i++)
    g_object_unref (world_call (world, "conformance.echo", world_text (world), NULL));
  call_at_once (world);
  n_inner = probe_read (world->inner, &world->inner->n_after);
  world_close (world);
  return n_inner == N_IN_LINE + N_AT_ONCE;
}

static const StrandConformanceNeed needs[] = {
  { "passes", "the middleware does not let every call pass", passes },
  { "unchanged", "the middleware changes calls", NULL },
  { "two", "the middleware lets one call of a function pass at a time", NULL },
  { "holds", "the middleware does not hold equal calls back", holds },
  { "refuses", "the middleware does not refuse equal calls", refuses },
  { "answers", "the middleware does not answer equal calls", answers },
  { 0 },
};

static const StrandConformanceCase *const groups[] = {
  middleware_pass_cases,
  middleware_submit_cases,
  middleware_ends_cases,
  middleware_retries_cases,
  middleware_later_cases,
  middleware_refuse_cases,
  middleware_answer_cases,
  middleware_thread_cases,
  middleware_reader_cases,
  middleware_close_cases,
  NULL,
};

const StrandConformanceSuite conformance_middleware_suite = { STRAND_KIND_MIDDLEWARE, groups, needs, NULL };
