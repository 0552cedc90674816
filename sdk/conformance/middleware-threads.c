/* middleware-threads.c — many threads at once.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "middleware-private.h"

#define N_THREADS 8

typedef struct
{
  World *world;
  StrandTask *task;
  guint number;
  guint n;
  guint n_right; /* the thread's, until it has ended, as the others below */
  guint n_failed;
  guint n_cancelled;
} Caller;

static guint
count_calls (StrandConformance *self)
{
  return strand_conformance_is_quick (self) ? 60 : 2000 / RUNNER_SLOWNESS;
}

static gpointer
call_for_values (gpointer data)
{
  Caller *caller = data;
  GMainContext *context = g_main_context_new ();

  g_main_context_push_thread_default (context);
  for (guint i = 0; i < caller->n; i++)
    {
      g_autofree char *text = g_strdup_printf ("%u of %u", i, caller->number);
      g_autoptr(StrandHandle) handle = strand_task_call (caller->task, "(s)", text);
      g_autoptr(GVariant) value = NULL;

      runner_run_until_ended (handle);
      value = strand_handle_get_result (handle, NULL);
      caller->n_right += value != NULL && g_strcmp0 (g_variant_get_string (value, NULL), text) == 0;
    }
  g_main_context_pop_thread_default (context);
  g_main_context_unref (context);
  return NULL;
}

/* Some are cancelled as soon as they are made, wherever they are then. */
static gpointer
call_and_cancel (gpointer data)
{
  Caller *caller = data;
  GMainContext *context = g_main_context_new ();

  g_main_context_push_thread_default (context);
  for (guint i = 0; i < caller->n; i++)
    {
      g_autofree char *message = g_strdup_printf ("%u of %u", i, caller->number);
      g_autoptr(StrandHandle) handle = strand_task_call (caller->task, "(sis)", "a-domain", 5, message);

      if (i % 2 == 0)
        strand_handle_cancel (handle);
      runner_run_until_ended (handle);
      caller->n_cancelled += strand_handle_get_status (handle) == STRAND_STATUS_CANCELLED;
      caller->n_failed += strand_handle_get_status (handle) == STRAND_STATUS_FAILED &&
                          g_strcmp0 (strand_handle_get_error (handle)->message, message) == 0;
    }
  g_main_context_pop_thread_default (context);
  g_main_context_unref (context);
  return NULL;
}

typedef struct
{
  guint n_right;
  guint n_failed;
  guint n_cancelled;
} Sum;

static Sum
run_callers (World *world, const char *function, GThreadFunc func, guint n)
{
  g_autoptr(StrandTask) task = world_task (world, function);
  Caller callers[N_THREADS] = { 0 };
  GThread *threads[N_THREADS];
  Sum sum = { 0, 0, 0 };

  for (guint i = 0; i < N_THREADS; i++)
    {
      callers[i] = (Caller){ world, task, i, n, 0, 0, 0 };
      threads[i] = g_thread_new ("caller", func, &callers[i]);
    }
  for (guint i = 0; i < N_THREADS; i++)
    {
      g_thread_join (threads[i]);
      sum.n_right += callers[i].n_right;
      sum.n_failed += callers[i].n_failed;
      sum.n_cancelled += callers[i].n_cancelled;
    }
  return sum;
}

static void
everybody_gets_their_own (StrandConformance *self)
{
  World *world = world_new (self);
  guint n = count_calls (self);
  Sum sum = run_callers (world, "conformance.echo", call_for_values, n);

  g_assert_cmpuint (sum.n_right, ==, N_THREADS * n);
  g_assert_cmpuint (probe_read (world->outer, &world->outer->n_submit), ==, N_THREADS * n);
  g_assert_cmpuint (probe_read (world->outer, &world->outer->n_after), ==, N_THREADS * n);
  world_close (world);
}

static void
failures_and_cancellations (StrandConformance *self)
{
  World *world = world_new (self);
  guint n = count_calls (self);
  Sum sum = run_callers (world, "conformance.fail", call_and_cancel, n);

  g_assert_cmpuint (sum.n_failed + sum.n_cancelled, ==, N_THREADS * n);
  g_assert_cmpuint (sum.n_failed, >=, N_THREADS * n / 2);
  g_assert_cmpuint (probe_read (world->outer, &world->outer->n_after), ==, 0);
  g_assert_cmpuint (probe_read (world->outer, &world->outer->n_on_error), ==,
                    probe_read (world->outer, &world->outer->n_before));
  for (guint i = 0; i < 20; i++)
    world_pass (world);
  world_close (world);
}

static void
each_is_refused_or_runs (StrandConformance *self)
{
  World *world = world_new (self);
  g_autoptr(StrandTask) task = NULL;
  guint n = 40;
  Sum sum = run_callers (world, "conformance.echo", call_for_values, n);
  guint n_inner = probe_read (world->inner, &world->inner->n_before);

  /* Equal to no other, but perhaps too many. */
  g_assert_cmpuint (sum.n_right, ==, n_inner);
  g_assert_cmpuint (probe_read (world->lens, &world->lens->n_refused) + n_inner, ==, N_THREADS * n);
  g_assert_cmpuint (probe_read (world->inner, &world->inner->n_after), ==, n_inner);
  world_close (world);
}

static void
two_do_not_know_each_other (StrandConformance *self)
{
  World *world = world_new (self), *other = world_new (self);
  g_autoptr(StrandTask) task = world_task (world, "conformance.hold");
  g_autoptr(GPtrArray) handles = g_ptr_array_new_with_free_func (g_object_unref);

  for (guint i = 0; i < 20; i++)
    {
      g_autofree char *entered = g_strdup_printf ("entered-%u", i);

      g_ptr_array_add (handles, runner_call_paths (self, task, entered, "gate", NULL));
    }
  for (guint i = 0; i < 20; i++)
    world_pass (other);
  world_close (other);
  world_open_gate (world);
  world_await_all (world, handles);
  for (guint i = 0; i < handles->len; i++)
    runner_assert_completed (handles->pdata[i]);
  g_ptr_array_set_size (handles, 0);
  g_clear_object (&task);
  world_close (world);
}

static void
two_backends_share_one (StrandConformance *self)
{
  StrandMiddleware *subject = strand_conformance_make (self);
  World *world = world_new_around (self, g_object_ref (subject), FALSE);
  World *other = world_new_around (self, subject, FALSE);
  guint n = count_calls (self) / 4;
  Sum sum = run_callers (world, "conformance.echo", call_for_values, n);

  g_assert_cmpuint (sum.n_right, ==, N_THREADS * n);
  other->n_calls = 1000; /* the other has had these texts */
  for (guint i = 0; i < 20; i++)
    world_pass (other);
  g_object_unref (world_close_and_keep (world));
  for (guint i = 0; i < 20; i++)
    world_pass (other);
  world_close (other);
}

const StrandConformanceCase middleware_thread_cases[] = {
  { "threads/values", "Eight threads call at once, and each gets its own values.", everybody_gets_their_own,
    "passes" },
  { "threads/failures", "Of calls that fail or are cancelled on eight threads, each ends once, as it should.",
    failures_and_cancellations, "passes" },
  { "threads/refusals", "Of calls on eight threads each is refused or runs, and not both.",
    each_is_refused_or_runs, "refuses" },
  { "threads/two-objects", "What waits in one object holds up nobody in another.", two_do_not_know_each_other,
    "passes" },
  { "threads/two-backends", "Two backends may share one object, and one of them may go.",
    two_backends_share_one, "passes" },
  { 0 },
};
