/* taskrunner-close.c — the end of a runner: by close(), or because nobody has it any more.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "taskrunner-private.h"

typedef struct
{
  gboolean over;
  gboolean clean;
  GError *error;
} Closing;

static void
on_closed (GObject *source, GAsyncResult *result, gpointer data)
{
  Closing *closing = data;

  closing->clean = strand_taskrunner_close_finish (STRAND_TASKRUNNER (source), result, &closing->error);
  closing->over = TRUE;
}

static void
an_idle_one_closes (StrandConformance *self)
{
  StrandTaskrunner *fresh = runner_make (self), *used = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, used, "conformance.nothing");
  g_autoptr(StrandHandle) handle = strand_task_call (task, NULL);

  runner_await (self, handle);
  g_clear_object (&handle);
  g_clear_object (&task);
  runner_close (self, fresh);
  runner_close (self, used);
}

static void
calls_finish_first (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.hold");
  g_autoptr(Told) told = told_new ();
  Closing closing = { FALSE, FALSE, NULL };
  const guint n = 20;

  told_listen (told, task);
  for (guint i = 0; i < n; i++)
    g_object_unref (runner_call_paths (self, task, "entered", "gate", NULL));
  runner_await_file (self, "entered");
  strand_taskrunner_close_async (runner, strand_conformance_get_deadline (self), NULL, on_closed, &closing);
  strand_conformance_create_file (self, "gate");
  strand_conformance_wait (self, closing.over && told_count_over (told) == n);
  g_assert_no_error (closing.error);
  g_assert_true (closing.clean);
  g_assert_cmpuint (told->n_ends, ==, n);
  g_object_unref (runner);
}

static void
late_ones_are_cancelled (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.hold");
  g_autoptr(Told) told = told_new ();
  Closing closing = { FALSE, FALSE, NULL };
  const guint n = 100;

  told_listen (told, task);
  for (guint i = 0; i < n; i++)
    g_object_unref (runner_call_paths (self, task, "entered", "gate", NULL));
  runner_await_file (self, "entered");
  strand_taskrunner_close_async (runner, g_get_monotonic_time () + 20000, NULL, on_closed, &closing);
  strand_conformance_wait (self, closing.over && told_count_over (told) == n);
  g_assert_false (closing.clean);
  g_assert_error (closing.error, STRAND_ERROR, STRAND_ERROR_TIMED_OUT);
  g_clear_error (&closing.error);
  g_assert_cmpuint (told->n_errors, ==, n);
  g_assert_error (told->error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_object_unref (runner);
}

static void
deaf_ones_do_not_hold_it_up (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.ignore");
  g_autoptr(StrandHandle) handle = NULL;
  Closing closing = { FALSE, FALSE, NULL };
  guint n_left = strand_conformance_has (self, "in-process") ? 2 : 0;

  g_object_set (task, "grace", G_GINT64_CONSTANT (10000), NULL);
  handle = runner_call_paths (self, task, "entered", "gate", NULL);
  runner_await_file (self, "entered");
  strand_taskrunner_close_async (runner, g_get_monotonic_time () + 10000, NULL, on_closed, &closing);
  strand_conformance_wait (self, closing.over && strand_handle_is_ready (handle));
  g_assert_error (closing.error, STRAND_ERROR, STRAND_ERROR_TIMED_OUT);
  g_clear_error (&closing.error);
  runner_assert_failed (handle, STRAND_STATUS_CANCELLED, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  strand_conformance_create_file (self, "gate");
  strand_conformance_wait (self, runner_file_size (self, "entered") >= n_left);
  g_object_unref (runner);
}

static void
then_it_takes_no_calls (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.mark");
  g_autoptr(StrandHandle) handle = NULL;

  g_object_ref (runner);
  runner_close (self, runner);
  handle = runner_call_paths (self, task, "marks", NULL, NULL);
  runner_await (self, handle);
  runner_assert_failed (handle, STRAND_STATUS_FAILED, STRAND_ERROR, STRAND_ERROR_CLOSED);
  g_assert_false (strand_conformance_has_file (self, "marks"));
  g_object_unref (runner);
}

static void
closing_races_calling (StrandConformance *self)
{
  for (guint round = 0; round < 3; round++)
    {
      StrandTaskrunner *runner = runner_make (self);
      TargetPosters *posters = target_start_posting (self, runner);
      Closing closing = { FALSE, FALSE, NULL };

      strand_taskrunner_close_async (runner, strand_conformance_get_deadline (self), NULL, on_closed,
                                     &closing);
      strand_conformance_wait (self, closing.over);
      g_clear_error (&closing.error);
      target_stop_posting (posters);
      g_object_unref (runner);
    }
}

static void
dropped_with_calls_in_flight (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.hold");
  g_autoptr(Told) told = told_new ();
  int gone = FALSE;

  g_object_weak_ref (G_OBJECT (runner), target_note_gone, &gone);
  told_listen (told, task);
  for (guint i = 0; i < 20; i++)
    g_object_unref (runner_call_paths (self, task, "entered", "gate", NULL));
  g_clear_object (&task);
  g_object_unref (runner);
  strand_conformance_create_file (self, "gate");
  strand_conformance_wait (self, told_count_over (told) == 20);
  g_assert_cmpuint (told->n_ends, ==, 20);
  strand_conformance_wait (self, g_atomic_int_get (&gone));
}

static void
dropped_unused (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  int gone = FALSE;

  g_object_weak_ref (G_OBJECT (runner), target_note_gone, &gone);
  g_object_unref (runner);
  g_assert_true (g_atomic_int_get (&gone));
}

typedef struct
{
  StrandTaskrunner *runner;
  StrandTask *task;
  gboolean over;
} Owner;

static void
drop_everything (StrandCall *call, GVariant *value, gpointer data)
{
  Owner *owner = data;

  g_clear_object (&owner->task);
  g_clear_object (&owner->runner);
  owner->over = TRUE;
}

static void
dropped_in_a_callback (StrandConformance *self)
{
  Owner owner = { NULL, NULL, FALSE };
  g_autoptr(StrandTask) task = NULL;
  int gone = FALSE;

  owner.runner = runner_make (self);
  g_object_weak_ref (G_OBJECT (owner.runner), target_note_gone, &gone);
  owner.task = runner_task (self, owner.runner, "conformance.nothing");
  strand_task_on_end (owner.task, drop_everything, &owner, NULL);
  task = g_object_ref (owner.task);
  strand_task_post (task, NULL);
  g_clear_object (&task);
  strand_conformance_wait (self, owner.over && g_atomic_int_get (&gone));
}

const StrandConformanceCase taskrunner_close_cases[] = {
  { "close/idle", "A runner that does nothing closes at once, used or unused.", an_idle_one_closes },
  { "close/drains",
    "Calls in flight finish before the deadline, and `close` says that all ended by themselves.",
    calls_finish_first, "background" },
  { "close/deadline",
    "At the deadline what is left is cancelled, pending or running, and `close` fails with `TIMED_OUT`.",
    late_ones_are_cancelled, "background" },
  { "close/deaf", "A function that does not listen does not keep `close` from returning.",
    deaf_ones_do_not_hold_it_up, "background stop" },
  { "close/closed", "A call after `close` fails with `CLOSED`, and nothing runs.", then_it_takes_no_calls },
  { "close/race",
    "Calls made while another thread closes the runner end all, completed, cancelled or `CLOSED`.",
    closing_races_calling },
  { "close/dropped", "Where the last owner drops a runner with calls in flight, they end, and then it goes.",
    dropped_with_calls_in_flight, "background" },
  { "close/dropped-unused", "A runner that was never used goes with its last owner.", dropped_unused },
  { "close/dropped-in-callback", "A runner may lose its last owner in a callback of its last call.",
    dropped_in_a_callback },
  { 0 },
};
