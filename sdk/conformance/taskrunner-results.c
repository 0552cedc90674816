/* taskrunner-results.c — what comes of a call is what its function gave, unchanged.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "taskrunner-private.h"

#include <string.h>

/* Calls a function of the module and waits. @arguments: floating, or NULL */
static StrandHandle *
call_and_await (StrandConformance *self, StrandTaskrunner *runner, const char *name, GVariant *arguments)
{
  g_autoptr(StrandTask) task = runner_task (self, runner, name);
  StrandHandle *handle = strand_task_call_value (task, arguments);

  runner_await (self, handle);
  return handle;
}

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
      call_and_await (self, runner, "conformance.add", g_variant_new ("(xx)", 20, 22));
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

/* One of each type, with the values that are easily lost. */
static const char *const all_types[] = {
  "true",
  "byte 0xff",
  "int16 -32768",
  "uint16 65535",
  "int32 -2147483648",
  "uint32 4294967295",
  "int64 -9223372036854775808",
  "uint64 18446744073709551615",
  "handle -1",
  "1e308",
  "-0.0",
  "''",
  "'a \"quoted\" \\u20ac'",
  "objectpath '/a/b'",
  "signature 'a{sv}'",
  "b'bytes \\377'",
  "@as []",
  "@mi nothing",
  "just 5",
  "@mms just nothing",
  "{'one': <1>, 'two': <'zwei'>}",
  "(1, 'two', 3.0, @ai [])",
  "<<<'boxed'>>>",
  "@() ()",
  "{uint64 1: ['a', 'b']}",
};

static void
every_type_arrives (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);

  for (guint i = 0; i < G_N_ELEMENTS (all_types); i++)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(GVariant) sent = g_variant_parse (NULL, all_types[i], NULL, NULL, &error);
      g_autoptr(StrandHandle) handle = NULL;
      g_autoptr(GVariant) value = NULL, inner = NULL;

      g_assert_no_error (error);
      handle = call_and_await (self, runner, "conformance.value", g_variant_new ("(v)", sent));
      value = get_value (handle);
      inner = g_variant_get_variant (value);
      g_assert_cmpvariant (inner, sent);
    }
  runner_close (self, runner);
}

static void
large_value_arrives (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  gsize length = 8 * 1024 * 1024;
  g_autofree char *text = g_malloc (length + 1);
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(GVariant) value = NULL;

  for (gsize i = 0; i < length; i++)
    text[i] = (char) ('a' + i % 23);
  text[length] = '\0';
  handle = call_and_await (self, runner, "conformance.echo", g_variant_new ("(s)", text));
  value = get_value (handle);
  g_assert_cmpuint (strlen (g_variant_get_string (value, NULL)), ==, length);
  g_assert_true (strcmp (g_variant_get_string (value, NULL), text) == 0);
  g_clear_object (&handle);
  runner_close (self, runner);
}

static void
nothing_is_no_value (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandHandle) handle = call_and_await (self, runner, "conformance.nothing", NULL);

  runner_assert_completed (handle);
  g_assert_null (strand_call_get_value (strand_handle_get_call (handle)));
  g_clear_object (&handle);
  runner_close (self, runner);
}

static void
error_is_kept (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandHandle) handle = call_and_await (
      self, runner, "conformance.fail", g_variant_new ("(sis)", "my-error-quark", -7, "It broke: «äh»"));

  runner_assert_failed (handle, STRAND_STATUS_FAILED, g_quark_from_static_string ("my-error-quark"), -7);
  g_assert_cmpstr (strand_handle_get_error (handle)->message, ==, "It broke: «äh»");
  g_clear_object (&handle);
  runner_close (self, runner);
}

static void
known_error_is_kept (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandHandle) handle = call_and_await (
      self, runner, "conformance.fail",
      g_variant_new ("(sis)", g_quark_to_string (G_IO_ERROR), G_IO_ERROR_CANCELLED, "not by you"));

  /* Nobody has cancelled the call: it failed. */
  runner_assert_failed (handle, STRAND_STATUS_FAILED, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_object (&handle);
  runner_close (self, runner);
}

static void
null_without_error_fails (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandHandle) handle = call_and_await (self, runner, "conformance.null", NULL);

  runner_assert_failed (handle, STRAND_STATUS_FAILED, STRAND_ERROR, STRAND_ERROR_FAILED);
  g_assert_nonnull (strstr (strand_handle_get_error (handle)->message, "'conformance.null'"));
  g_clear_object (&handle);
  runner_close (self, runner);
}

static void
wrong_type_fails (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandHandle) handle = call_and_await (self, runner, "conformance.lie", NULL);

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
  g_autoptr(StrandHandle) handle = call_and_await (self, runner, "conformance.object", NULL);
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
    error_is_kept },
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
