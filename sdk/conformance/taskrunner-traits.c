/* taskrunner-traits.c — a runner is what it says it is, and what functions must not be used for is refused.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "taskrunner-private.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

static void
traits_are_stable (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  StrandRunnerTraits traits = strand_taskrunner_get_traits (runner);

  for (guint i = 0; i < 5; i++)
    {
      g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.nothing");
      g_autoptr(StrandHandle) handle = strand_task_call (task, NULL);

      g_assert_cmpuint (strand_taskrunner_get_traits (runner), ==, traits);
      runner_await (self, handle);
      g_assert_cmpuint (strand_taskrunner_get_traits (runner), ==, traits);
    }
  g_object_ref (runner);
  runner_close (self, runner);
  g_assert_cmpuint (strand_taskrunner_get_traits (runner), ==, traits);
  g_object_unref (runner);
}

static GVariant *
give_thread (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  return g_variant_new_uint64 ((guint64) (gsize) g_thread_self ());
}

static void
inline_means_here (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task_for (runner, "-> t", give_thread, NULL);
  g_autoptr(StrandHandle) handle = strand_task_call (task, NULL);
  g_autoptr(GVariant) value = NULL;

  g_assert_true (strand_handle_is_ready (handle));
  value = strand_handle_get_result (handle, NULL);
  g_assert_cmpuint (g_variant_get_uint64 (value), ==, (guint64) (gsize) g_thread_self ());
  g_clear_object (&handle);
  g_clear_object (&task);
  runner_close (self, runner);
}

static void
concurrent_means_two_at_once (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.hold");
  g_autoptr(StrandHandle) one = runner_call_paths (self, task, "one", "gate", NULL);
  g_autoptr(StrandHandle) two = runner_call_paths (self, task, "two", "gate", NULL);

  runner_await_file (self, "one");
  runner_await_file (self, "two");
  strand_conformance_create_file (self, "gate");
  runner_await (self, one);
  runner_await (self, two);
  runner_assert_completed (one);
  runner_assert_completed (two);
  g_clear_object (&one);
  g_clear_object (&two);
  g_clear_object (&task);
  runner_close (self, runner);
}

typedef struct
{
  int n_now;  /* atomic */
  int n_most; /* atomic */
} Crowd;

static GVariant *
join_the_crowd (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  Crowd *crowd = data;
  int n = g_atomic_int_add (&crowd->n_now, 1) + 1;

  if (n > g_atomic_int_get (&crowd->n_most))
    g_atomic_int_set (&crowd->n_most, n);
  strand_context_sleep (context, 200, NULL);
  g_atomic_int_add (&crowd->n_now, -1);
  return NULL;
}

static void
others_run_one_by_one (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  Crowd crowd = { 0, 0 };
  g_autoptr(StrandTask) task = runner_task_for (runner, "", join_the_crowd, &crowd);
  g_autoptr(Told) told = told_new ();

  told_listen (told, task);
  for (guint i = 0; i < 200; i++)
    strand_task_post (task, NULL);
  strand_conformance_wait (self, told_count_over (told) == 200);
  g_assert_cmpint (crowd.n_most, ==, 1);
  g_clear_object (&task);
  runner_close (self, runner);
}

static void
places_are_as_many (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.hold");
  guint n = STRAND_TASKRUNNER_GET_IFACE (runner)->get_places (runner);
  g_autoptr(Told) told = told_new ();

  told_listen (told, task);
  for (guint i = 0; i < n + 3; i++)
    g_object_unref (runner_call_paths (self, task, "entered", "gate", NULL));
  strand_conformance_wait (self, runner_file_size (self, "entered") >= n);
  g_assert_cmpuint (runner_file_size (self, "entered"), ==, n);
  g_assert_cmpuint (STRAND_TASKRUNNER_GET_IFACE (runner)->get_places (runner), ==, n);
  strand_conformance_create_file (self, "gate");
  strand_conformance_wait (self, told_count_over (told) == n + 3);
  g_assert_cmpuint (told->n_ends, ==, n + 3);
  g_clear_object (&task);
  runner_close (self, runner);
}

static void
waiting_calls_are_lent (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make_limited (self);
  g_autoptr(StrandTask) hold = runner_task (self, runner, "conformance.hold");
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.mark");
  g_autoptr(StrandHandle) first = runner_call_paths (self, hold, "entered", "gate", NULL);
  g_autoptr(StrandHandle) waiting = NULL;

  runner_await_file (self, "entered");
  waiting = runner_call_paths (self, task, "marks", NULL, NULL);
  strand_call_run (strand_call_ref (strand_handle_get_call (waiting)));
  runner_assert_completed (waiting);
  g_assert_cmpint (strand_handle_get_status (first), ==, STRAND_STATUS_RUNNING);
  strand_conformance_create_file (self, "gate");
  runner_await (self, first);
  g_clear_object (&first);
  g_clear_object (&waiting);
  g_clear_object (&hold);
  g_clear_object (&task);
  runner_close (self, runner);
  /* Its turn has come, too, and found it done. */
  g_assert_cmpuint (runner_file_size (self, "marks"), ==, 1);
}

static void
the_process_is_as_said (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.describe");
  g_autoptr(StrandHandle) handle = strand_task_call (task, NULL);
  g_autoptr(GVariant) seen = NULL;
  gint32 process;

  runner_await (self, handle);
  runner_assert_completed (handle);
  seen = strand_handle_get_result (handle, NULL);
  g_assert_true (g_variant_lookup (seen, "process", "i", &process));
  if (strand_conformance_has (self, "in-process"))
    g_assert_cmpint (process, ==, getpid ());
  else
    g_assert_cmpint (process, !=, getpid ());
  g_clear_object (&handle);
  g_clear_object (&task);
  runner_close (self, runner);
}

/* Calls a function that has a trait. */
static void
expect_refused (StrandConformance *self, const char *name, gboolean refused)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, name);
  g_autoptr(StrandHandle) handle = strand_task_call (task, NULL);

  runner_await (self, handle);
  if (refused)
    runner_assert_failed (handle, STRAND_STATUS_FAILED, STRAND_ERROR, STRAND_ERROR_UNSAFE);
  else
    runner_assert_completed (handle);
  g_clear_object (&handle);
  g_clear_object (&task);
  runner_close (self, runner);
}

static void
main_thread_only (StrandConformance *self)
{
  expect_refused (self, "conformance.main-thread", strand_conformance_has (self, "background"));
}

static void
not_reentrant (StrandConformance *self)
{
  expect_refused (self, "conformance.single", strand_conformance_has (self, "concurrent"));
}

static void
not_portable (StrandConformance *self)
{
  expect_refused (self, "conformance.local", strand_conformance_has (self, "other-process"));
}

static void
checks_can_be_overridden (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.single");
  g_autoptr(StrandHandle) handle = NULL;

  g_object_set (task, "checks", STRAND_CHECK_ALL & ~STRAND_CHECK_TRAITS, NULL);
  handle = strand_task_call (task, NULL);
  runner_await (self, handle);
  runner_assert_completed (handle);
  g_clear_object (&handle);
  g_clear_object (&task);
  runner_close (self, runner);
}

static void
a_crash_fails_its_call (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) crash = runner_task (self, runner, "conformance.crash");
  g_autoptr(StrandTask) echo = runner_task (self, runner, "conformance.echo");
  g_autoptr(StrandHandle) crashed = NULL;
  g_autoptr(Told) told = told_new ();

  told_listen (told, echo);
  for (guint i = 0; i < 20; i++)
    {
      if (i == 10)
        crashed = strand_task_call (crash, "(i)", SIGKILL);
      strand_task_post (echo, "(s)", "x");
    }
  strand_conformance_wait (self, told_count_over (told) == 20);
  g_assert_cmpuint (told->n_ends, ==, 20);
  runner_await (self, crashed);
  runner_assert_failed (crashed, STRAND_STATUS_FAILED, STRAND_ERROR, STRAND_ERROR_CRASHED);
  g_assert_nonnull (strstr (strand_handle_get_error (crashed)->message, "9"));
  g_clear_object (&crashed);
  g_clear_object (&crash);
  g_clear_object (&echo);
  runner_close (self, runner);
}

const StrandConformanceCase taskrunner_traits_cases[] = {
  { "traits/stable", "The traits are the same for the object's whole life.", traits_are_stable },
  { "traits/inline", "An inline runner runs the function on the caller's thread, before the call returns.",
    inline_means_here, "inline in-process" },
  { "traits/concurrent", "A concurrent runner has two calls under way at once.", concurrent_means_two_at_once,
    "background concurrent" },
  { "traits/one-by-one", "A runner that is not concurrent never runs two calls at once.",
    others_run_one_by_one, "exclusive in-process" },
  { "traits/places",
    "As many calls are under way at once as the runner says that it has places, and no more.",
    places_are_as_many, "background places" },
  { "traits/lends",
    "A call that waits in the line of a runner that lends its calls may be run by any thread, once.",
    waiting_calls_are_lent, "background limit lends" },
  { "traits/process", "A function's process is another exactly where the runner says so.",
    the_process_is_as_said },
  { "traits/main-thread-only", "A main-thread-only function is refused unless the runner is inline.",
    main_thread_only },
  { "traits/not-reentrant", "A not-reentrant function is refused on a concurrent runner, and runs on others.",
    not_reentrant },
  { "traits/not-portable",
    "A not-portable function is refused where calls leave the process, and runs elsewhere.", not_portable },
  { "traits/override", "The task's `checks` override these refusals.", checks_can_be_overridden },
  { "traits/crash",
    "A function that kills its process fails its own call with `CRASHED`, which says the signal, and no other.",
    a_crash_fails_its_call, "other-process" },
  { 0 },
};
