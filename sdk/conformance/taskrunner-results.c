/* taskrunner-results.c — what comes of a call is what its function gave, unchanged.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "taskrunner-private.h"

#include <string.h>

static GVariant *
get_value (StrandHandle *handle)
{
  g_autoptr(GError) error = NULL;
  GVariant *value = strand_handle_get_result (handle, &error);

  g_assert_no_error (error);
  return value;
}

static void
value_arrives (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandHandle) handle =
      target_call (self, runner, "conformance.add", g_variant_new ("(xx)", 20, 22), NULL);
  g_autoptr(GVariant) value = get_value (handle);

  runner_assert_completed (handle);
  g_assert_cmpint (g_variant_get_int64 (value), ==, 42);
  g_clear_object (&handle);
  runner_close (self, runner);
}

static void
callback_gets_the_value (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.echo");
  g_autoptr(Told) told = told_new ();

  told_listen (told, task);
  strand_task_post (task, "(s)", "wörd");
  strand_conformance_wait (self, told_count_over (told) == 1);
  g_assert_no_error (told->error);
  g_assert_nonnull (told->value);
  g_assert_cmpstr (g_variant_get_string (told->value, NULL), ==, "wörd");
  g_clear_object (&task);
  runner_close (self, runner);
}

static void
every_type_arrives (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);

  target_check_every_type (self, runner);
  runner_close (self, runner);
}

static void
large_value_arrives (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);

  target_check_large_value (self, runner);
  runner_close (self, runner);
}

static void
nothing_is_no_value (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandHandle) handle = target_call (self, runner, "conformance.nothing", NULL, NULL);

  runner_assert_completed (handle);
  g_assert_null (strand_call_get_value (strand_handle_get_call (handle)));
  g_clear_object (&handle);
  runner_close (self, runner);
}

static void
errors_are_kept (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);

  for (guint i = 0; target_errors[i].domain != NULL; i++)
    g_object_unref (target_fail (self, runner, &target_errors[i]));
  runner_close (self, runner);
}

static void
known_error_is_kept (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);

  /* Nobody has cancelled the call: it failed. */
  g_object_unref (
      target_fail (self, runner, &(TargetError){ "g-io-error-quark", G_IO_ERROR_CANCELLED, "not by you" }));
  runner_close (self, runner);
}

static void
null_without_error_fails (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandHandle) handle = target_call (self, runner, "conformance.null", NULL, NULL);

  runner_assert_failed (handle, STRAND_STATUS_FAILED, STRAND_ERROR, STRAND_ERROR_FAILED);
  g_assert_nonnull (strstr (strand_handle_get_error (handle)->message, "'conformance.null'"));
  g_clear_object (&handle);
  runner_close (self, runner);
}

static void
wrong_type_fails (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandHandle) handle = target_call (self, runner, "conformance.lie", NULL, NULL);

  runner_assert_failed (handle, STRAND_STATUS_FAILED, STRAND_ERROR, STRAND_ERROR_TYPE);
  g_clear_object (&handle);
  runner_close (self, runner);
}

static GVariant *
give_object (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  strand_context_take_object (context, g_object_ref (data));
  return NULL;
}

static void
object_is_the_same (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(GObject) object = g_object_new (G_TYPE_OBJECT, NULL);
  g_autoptr(StrandTask) task = runner_task_for (runner, "-> object", give_object, object);
  g_autoptr(StrandHandle) handle = strand_task_call (task, NULL);

  runner_await (self, handle);
  runner_assert_completed (handle);
  g_assert_true (strand_handle_get_object (handle) == object);
  g_clear_object (&handle);
  g_clear_object (&task);
  runner_close (self, runner);
}

static void
object_is_refused (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandHandle) handle = target_call (self, runner, "conformance.object", NULL, NULL);
  gint64 started_us;

  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_FAILED);
  g_assert_null (strand_handle_get_object (handle));
  strand_call_get_times (strand_handle_get_call (handle), NULL, &started_us, NULL);
  g_assert_cmpint (started_us, ==, 0);
  g_clear_object (&handle);
  runner_close (self, runner);
}

const StrandConformanceCase taskrunner_results_cases[] = {
  { "results/value", "A function's value is the call's value.", value_arrives },
  { "results/callback", "`on_end` is given the value.", callback_gets_the_value },
  { "results/every-type", "Arguments and values of every GVariant type arrive exactly.", every_type_arrives },
  { "results/large", "A string of 8 MiB goes there and comes back.", large_value_arrives },
  { "results/nothing", "A function that returns nothing completes without a value.", nothing_is_no_value },
  { "results/error-kept",
    "An error arrives with its domain, code and message, also of a domain that nobody knows.",
    errors_are_kept },
  { "results/cancelled-error-kept",
    "A function that fails with `G_IO_ERROR_CANCELLED` though nobody cancelled it has failed, and was not cancelled.",
    known_error_is_kept },
  { "results/null-without-error",
    "A function that returns neither value nor error fails, and the message names it.",
    null_without_error_fails },
  { "results/wrong-type", "A value of another type than declared is `STRAND_ERROR_TYPE`.", wrong_type_fails },
  { "results/object", "An object that a function hands over is the very object that the caller gets.",
    object_is_the_same, "in-process" },
  { "results/object-refused",
    "Where calls leave the process, a function that returns an object is refused unstarted.",
    object_is_refused, "other-process" },
  { 0 },
};
