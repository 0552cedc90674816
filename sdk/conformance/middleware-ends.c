/* middleware-ends.c — however an attempt ends, those around the middleware hear of it once, and the calls
 * after it pass as those before. SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "middleware-private.h"

/* More of them than a middleware that forgot each would let pass. */
#define N_ROUNDS 30

/* That nothing is left of @n attempts, of which all but the last may be counted in the probes. */
static void
assert_paired (World *world)
{
  const guint n = probe_read (world->outer, &world->outer->n_before);

  g_assert_cmpuint (probe_read (world->outer, &world->outer->n_after) +
                        probe_read (world->outer, &world->outer->n_on_error),
                    ==, n);
  g_assert_cmpuint (probe_read (world->inner, &world->inner->n_after) +
                        probe_read (world->inner, &world->inner->n_on_error),
                    ==, probe_read (world->inner, &world->inner->n_before));
  strand_conformance_wait (world->self, g_atomic_int_get (&world->outer->n_alive) == 0);
}

/* One more round than usual passes at once, so that what stays taken shows. */
static void
end_rounds (World *world)
{
  for (guint i = 0; i < N_ROUNDS; i++)
    world_pass (world);
  assert_paired (world);
  world_close (world);
}

static void
after_values (StrandConformance *self)
{
  World *world = world_new (self);

  for (guint i = 0; i < N_ROUNDS; i++)
    world_pass (world);
  g_assert_cmpuint (probe_read (world->outer, &world->outer->n_after), ==, N_ROUNDS);
  end_rounds (world);
}

static void
after_errors (StrandConformance *self)
{
  World *world = world_new (self);
  g_autoptr(StrandOptions) once = strand_options_new ();

  strand_options_set_retries (once, 0);
  for (guint i = 0; i < N_ROUNDS; i++)
    {
      g_autofree char *message = g_strdup_printf ("error %u", i);
      g_autoptr(StrandHandle) handle =
          world_call (world, "conformance.fail", g_variant_new ("(sis)", "some-domain", 1, message), once);

      runner_assert_failed (handle, STRAND_STATUS_FAILED, g_quark_from_string ("some-domain"), 1);
    }
  g_assert_cmpuint (probe_read (world->outer, &world->outer->n_on_error), ==, N_ROUNDS);
  end_rounds (world);
}

static void
after_cancellation (StrandConformance *self)
{
  World *world = world_new (self);
  g_autoptr(StrandTask) task = world_task (world, "conformance.hold");

  for (guint i = 0; i < N_ROUNDS; i++)
    {
      g_autofree char *entered = g_strdup_printf ("entered-%u", i);
      g_autoptr(StrandHandle) handle = runner_call_paths (self, task, entered, "gate", NULL);

      /* Every third wherever it is just then. */
      if (i % 3 != 0)
        runner_await_file (self, entered);
      strand_handle_cancel (handle);
      runner_await (self, handle);
      runner_assert_failed (handle, STRAND_STATUS_CANCELLED, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    }
  g_clear_object (&task);
  end_rounds (world);
}

static void
after_timeouts (StrandConformance *self)
{
  World *world = world_new (self);
  g_autoptr(StrandTask) task = world_task (world, "conformance.hold");
  g_autoptr(StrandOptions) options = strand_options_new ();

  strand_options_set_timeout (options, 1000);
  for (guint i = 0; i < N_ROUNDS / 3; i++)
    {
      g_autofree char *entered = g_strdup_printf ("entered-%u", i);
      g_autoptr(StrandHandle) handle = runner_call_paths (self, task, entered, "gate", options);

      runner_await (self, handle);
      runner_assert_failed (handle, STRAND_STATUS_FAILED, STRAND_ERROR, STRAND_ERROR_TIMED_OUT);
    }
  g_clear_object (&task);
  end_rounds (world);
}

static void
after_inner_refusals (StrandConformance *self)
{
  World *world = world_new (self);

  world->inner->at_before = STRAND_VERDICT_REFUSE;
  for (guint i = 0; i < N_ROUNDS; i++)
    {
      g_autoptr(StrandHandle) handle = world_call (world, "conformance.echo", world_text (world), NULL);

      runner_assert_failed (handle, STRAND_STATUS_FAILED, STRAND_ERROR, STRAND_ERROR_REFUSED);
    }
  g_assert_cmpuint (probe_read (world->outer, &world->outer->n_on_error), ==, N_ROUNDS);
  world->inner->at_before = STRAND_VERDICT_CONTINUE;
  end_rounds (world);
}

static void
after_inner_answers (StrandConformance *self)
{
  World *world = world_new (self);

  world->inner->at_before = STRAND_VERDICT_ANSWER;
  world->inner->answer = g_variant_ref_sink (g_variant_new_string ("from within"));
  for (guint i = 0; i < N_ROUNDS; i++)
    {
      g_autoptr(StrandHandle) handle = world_call (world, "conformance.echo", world_text (world), NULL);
      g_autoptr(GVariant) value = NULL;

      runner_assert_completed (handle);
      value = strand_handle_get_result (handle, NULL);
      g_assert_cmpstr (g_variant_get_string (value, NULL), ==, "from within");
    }
  world->inner->at_before = STRAND_VERDICT_CONTINUE;
  end_rounds (world);
}

static void
after_outer_refusals (StrandConformance *self)
{
  World *world = world_new (self);

  world->outer->at_before = STRAND_VERDICT_REFUSE;
  for (guint i = 0; i < N_ROUNDS; i++)
    g_object_unref (world_call (world, "conformance.echo", world_text (world), NULL));
  g_assert_cmpuint (probe_read (world->lens, &world->lens->n_before), ==, 0);
  world->outer->at_before = STRAND_VERDICT_CONTINUE;
  end_rounds (world);
}

/* Held by the inner probe: who resumes what it has not held lets it go too early. */
static void
others_hold_their_own (StrandConformance *self)
{
  World *world = world_new (self);
  g_autoptr(StrandTask) task = world_task (world, "conformance.echo");
  g_autoptr(StrandHandle) handle = NULL;

  world->inner->at_before = STRAND_VERDICT_LATER;
  handle = strand_task_call_value (task, world_text (world));
  strand_conformance_wait (self, probe_read (world->inner, &world->inner->n_held) == 1);
  world->inner->at_before = STRAND_VERDICT_CONTINUE;
  for (guint i = 0; i < N_ROUNDS; i++)
    world_pass (world);
  g_assert_false (strand_handle_is_ready (handle));
  probe_resume_all (world->inner);
  runner_await (self, handle);
  runner_assert_completed (handle);
  g_clear_object (&handle);
  g_clear_object (&task);
  end_rounds (world);
}

static void
cancelled_further_in (StrandConformance *self)
{
  World *world = world_new (self);
  g_autoptr(StrandTask) task = world_task (world, "conformance.echo");

  world->inner->at_before = STRAND_VERDICT_LATER;
  for (guint i = 0; i < N_ROUNDS; i++)
    {
      g_autoptr(StrandHandle) handle = strand_task_call_value (task, world_text (world));

      strand_conformance_wait (self, probe_read (world->inner, &world->inner->n_held) == i + 1);
      strand_handle_cancel (handle);
      runner_await (self, handle);
      runner_assert_failed (handle, STRAND_STATUS_CANCELLED, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    }
  world->inner->at_before = STRAND_VERDICT_CONTINUE;
  probe_resume_all (world->inner);
  g_clear_object (&task);
  end_rounds (world);
}

static void
others_may_complain (StrandConformance *self)
{
  World *world = world_new (self);
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(StrandRecord) record = NULL;
  GVariant *warnings;

  world->inner->complains = world->outer->complains = TRUE;
  handle = world_call (world, "conformance.echo", world_text (world), NULL);
  runner_assert_completed (handle);
  record = strand_store_get (world->store, strand_handle_get_key (handle), NULL);
  warnings = strand_record_get_variant (record, STRAND_FIELD_WARNINGS);
  g_assert_nonnull (warnings);
  g_assert_cmpuint (g_variant_n_children (warnings), ==, 2);
  g_clear_object (&handle);
  end_rounds (world);
}

const StrandConformanceCase middleware_ends_cases[] = {
  { "ends/value", "After attempts that gave a value, calls pass.", after_values, "passes" },
  { "ends/error", "After attempts that failed, calls pass.", after_errors, "passes" },
  { "ends/cancelled", "After calls that were cancelled, wherever they were, calls pass.", after_cancellation,
    "passes" },
  { "ends/timed-out", "After attempts that ran too long, calls pass.", after_timeouts, "passes" },
  { "ends/refused-further-in", "After calls that a middleware further in refused, calls pass.",
    after_inner_refusals, "passes" },
  { "ends/answered-further-in",
    "An answer of a middleware further in reaches the caller, and calls after it pass.", after_inner_answers,
    "passes" },
  { "ends/refused-further-out", "A call that was refused further out is not counted against others.",
    after_outer_refusals, "passes" },
  { "ends/held-further-in", "A call that a middleware further in holds back is let go on by that one only.",
    others_hold_their_own, "passes two" },
  { "ends/cancelled-further-in", "After calls that were cancelled while another held them, calls pass.",
    cancelled_further_in, "passes" },
  { "ends/complaints", "Where others' `after` fail, the call completes, with their warnings only.",
    others_may_complain, "passes" },
  { 0 },
};

/* Retries. */

typedef struct
{
  int n_runs;     /* atomic */
  int n_failures; /* of the first runs */
  int attempts;   /* atomic: a bit for each attempt's number */
} Stumbler;

static GVariant *
stumble (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  Stumbler *stumbler = data;
  int run = g_atomic_int_add (&stumbler->n_runs, 1);

  g_atomic_int_or ((guint *) &stumbler->attempts, 1U << strand_context_get_attempt (context));
  if (run >= stumbler->n_failures)
    return g_variant_new_int32 (run);
  g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_AGAIN, "run %d fails", run);
  return NULL;
}

static StrandHandle *
call_stumbler (World *world, Stumbler *stumbler, int retries)
{
  g_autoptr(StrandTask) task = world_task_for (world, "-> i", stumble, stumbler);
  g_autoptr(StrandOptions) options = strand_options_new ();

  strand_options_set_retries (options, retries);
  return world_call_task (world, task, NULL, options);
}

static void
each_attempt_passes (StrandConformance *self)
{
  World *world = world_new (self);
  Stumbler stumbler = { 0, 2, 0 };
  g_autoptr(StrandHandle) handle = call_stumbler (world, &stumbler, 2);

  runner_assert_completed (handle);
  g_assert_cmpint (stumbler.n_runs, ==, 3);
  g_assert_cmpint (stumbler.attempts, ==, 1 << 1 | 1 << 2 | 1 << 3);
  g_assert_cmpuint (probe_read (world->outer, &world->outer->n_submit), ==, 1);
  g_assert_cmpuint (probe_read (world->inner, &world->inner->n_before), ==, 3);
  g_assert_cmpuint (probe_read (world->outer, &world->outer->n_on_error), ==, 2);
  g_assert_cmpuint (probe_read (world->outer, &world->outer->n_will_retry), ==, 2);
  g_assert_cmpuint (probe_read (world->outer, &world->outer->n_after), ==, 1);
  g_clear_object (&handle);
  end_rounds (world);
}

static void
the_last_error_counts (StrandConformance *self)
{
  World *world = world_new (self);
  Stumbler stumbler = { 0, 100, 0 };
  g_autoptr(StrandHandle) handle = call_stumbler (world, &stumbler, 2);

  runner_assert_failed (handle, STRAND_STATUS_FAILED, G_FILE_ERROR, G_FILE_ERROR_AGAIN);
  g_assert_cmpstr (strand_handle_get_error (handle)->message, ==, "run 2 fails");
  g_assert_cmpint (stumbler.n_runs, ==, 3);
  g_assert_cmpuint (probe_read (world->outer, &world->outer->n_on_error), ==, 3);
  g_assert_cmpuint (probe_read (world->outer, &world->outer->n_will_retry), ==, 2);
  g_clear_object (&handle);
  end_rounds (world);
}

static void
none_is_none (StrandConformance *self)
{
  World *world = world_new (self);
  Stumbler stumbler = { 0, 1, 0 };
  g_autoptr(StrandHandle) handle = call_stumbler (world, &stumbler, 0);

  runner_assert_failed (handle, STRAND_STATUS_FAILED, G_FILE_ERROR, G_FILE_ERROR_AGAIN);
  g_assert_cmpint (stumbler.n_runs, ==, 1);
  g_clear_object (&handle);
  end_rounds (world);
}

const StrandConformanceCase middleware_retries_cases[] = {
  { "retries/each-attempt",
    "Each attempt of a call passes, and those further out hear of each end and whether a retry follows.",
    each_attempt_passes, "passes" },
  { "retries/last-error", "A call whose attempts all fail has the error of the last.", the_last_error_counts,
    "passes" },
  { "retries/none", "A call that says that it wants no retries has none.", none_is_none, "passes" },
  { 0 },
};
