/* taskrunner-timeout.c — how long a call may run.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "taskrunner-private.h"

static StrandHandle *
call_with_timeout (StrandConformance *self, StrandTask *task, gint64 timeout_us)
{
  g_autoptr(StrandOptions) options = strand_options_new ();
  gboolean one_path = strand_function_get_parameter_names (strand_task_get_function (task))[1] == NULL;

  strand_options_set_timeout (options, timeout_us);
  return runner_call_paths (self, task, "entered", one_path ? NULL : "gate", options);
}

static void
listening_function_is_told (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.hold");
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(Told) told = told_new ();

  g_object_set (task, "grace", G_GINT64_CONSTANT (-1), NULL);
  told_listen (told, task);
  handle = call_with_timeout (self, task, 20000);
  strand_conformance_wait (self, told_count_over (told) == 1);
  runner_assert_failed (handle, STRAND_STATUS_FAILED, STRAND_ERROR, STRAND_ERROR_TIMED_OUT);
  g_assert_error (told->error, STRAND_ERROR, STRAND_ERROR_TIMED_OUT);
  g_clear_object (&handle);
  g_clear_object (&task);
  runner_close (self, runner);
}

static void
a_value_counts (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.finish-anyway");
  g_autoptr(StrandHandle) handle = NULL;

  g_object_set (task, "grace", G_GINT64_CONSTANT (-1), NULL);
  handle = call_with_timeout (self, task, 20000);
  runner_await (self, handle);
  runner_assert_completed (handle);
  g_clear_object (&handle);
  g_clear_object (&task);
  runner_close (self, runner);
}

static void
deaf_function_is_stopped (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.ignore");
  g_autoptr(StrandHandle) handle = NULL;
  guint n_left;

  g_object_set (task, "grace", G_GINT64_CONSTANT (10000), NULL);
  handle = call_with_timeout (self, task, 20000);
  runner_await (self, handle);
  runner_assert_failed (handle, STRAND_STATUS_FAILED, STRAND_ERROR, STRAND_ERROR_TIMED_OUT);
  strand_conformance_create_file (self, "gate");
  n_left = strand_conformance_has (self, "in-process") ? 2 : 0;
  strand_conformance_wait (self, runner_file_size (self, "entered") >= n_left);
  g_clear_object (&handle);
  g_clear_object (&task);
  runner_close (self, runner);
}

static void
fast_calls_are_left_alone (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.echo");
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(Told) told = told_new ();

  strand_options_set_timeout (options, G_GINT64_CONSTANT (3600) * G_USEC_PER_SEC);
  strand_task_set_options (task, options);
  told_listen (told, task);
  for (guint i = 0; i < 200; i++)
    strand_task_post (task, "(s)", "x");
  strand_conformance_wait (self, told_count_over (told) == 200);
  g_assert_cmpuint (told->n_ends, ==, 200);
  g_clear_object (&task);
  runner_close (self, runner);
}

const StrandConformanceCase taskrunner_timeout_cases[] = {
  { "timeout/listening",
    "A function that runs too long is told to stop, and its call failed with `TIMED_OUT`.",
    listening_function_is_told },
  { "timeout/value-counts", "A function that returns a value all the same has completed.", a_value_counts },
  { "timeout/deaf", "One that does not listen is stopped or abandoned after the grace.",
    deaf_function_is_stopped, "background stop" },
  { "timeout/in-time", "A call that ends in time is left alone.", fast_calls_are_left_alone },
  { 0 },
};
