/* test-timeout-middleware.c — whose timeout counts.        SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "../core/call-fixture.h"

#include <string.h>

#define SECOND ((gint64) G_USEC_PER_SEC)

static GVariant *
give_time_left (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  gint64 deadline_us = strand_context_get_deadline (context);

  return g_variant_new_int64 (deadline_us > 0 ? deadline_us - strand_clock_monotonic_us () : -1);
}

/* What a call of `own.left` is given, behind these middlewares and a backend's hour. */
static gint64
time_given (gint64 own_timeout_us, gpointer outer, gpointer inner)
{
  g_autoptr(GListStore) chain = g_list_store_new (STRAND_TYPE_MIDDLEWARE);
  g_autoptr(StrandTaskrunner) runner = make_runner ("thread", "workers", 1, NULL);
  g_autoptr(StrandStore) store = make_store ("memory", NULL);
  g_autoptr(StrandFunction) function =
      strand_function_new ("own.left", "-> x", NULL, STRAND_TRAIT_NONE, give_time_left, NULL, NULL, NULL);
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(StrandRecord) record = NULL;
  g_autoptr(StrandTask) task = NULL;
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GError) error = NULL;
  StrandBackend *backend;

  g_list_store_append (chain, outer);
  if (inner != NULL)
    g_list_store_append (chain, inner);
  g_object_unref (outer);
  g_clear_object (&inner);
  strand_clock_set_manual (SECOND);
  backend = make_backend ("local", "taskrunner", runner, "store", store, "middleware", chain, "timeout",
                          3600 * SECOND, NULL);
  task = strand_task_new (function, G_OBJECT (backend));
  strand_options_set_timeout (options, own_timeout_us);
  handle = strand_task_call_full (task, NULL, NULL, options);
  g_assert_true (strand_handle_wait (handle, DEADLINE_US, &error));
  value = strand_handle_get_result (handle, &error);
  g_assert_no_error (error);
  record = strand_store_get (store, strand_handle_get_key (handle), &error);
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_TIMEOUT), ==, g_variant_get_int64 (value));
  close_backend (backend);
  strand_clock_set_system ();
  return g_variant_get_int64 (value);
}

static gpointer
make_timeout (gint64 timeout_us, const char *pattern)
{
  const char *const functions[] = { pattern, NULL };

  return make_object (STRAND_KIND_MIDDLEWARE, "timeout", "timeout", timeout_us, "functions", functions, NULL);
}

static void
test_the_calls_own_then_the_outer_then_the_backends (void)
{
  g_assert_cmpint (time_given (STRAND_UNSET, make_timeout (5 * SECOND, "own.*"), NULL), ==, 5 * SECOND);
  g_assert_cmpint (time_given (7 * SECOND, make_timeout (5 * SECOND, "own.*"), NULL), ==, 7 * SECOND);
  g_assert_cmpint (time_given (-1, make_timeout (5 * SECOND, "own.*"), NULL), ==, -1);
  g_assert_cmpint (
      time_given (STRAND_UNSET, make_timeout (5 * SECOND, "own.l?ft"), make_timeout (9 * SECOND, "*")), ==,
      5 * SECOND);
  g_assert_cmpint (
      time_given (STRAND_UNSET, make_timeout (5 * SECOND, "other.*"), make_timeout (9 * SECOND, "*")), ==,
      9 * SECOND);
  g_assert_cmpint (time_given (STRAND_UNSET, make_timeout (5 * SECOND, "other.*"), NULL), ==, 3600 * SECOND);
  g_assert_cmpint (time_given (STRAND_UNSET, make_timeout (-1, "own.left"), NULL), ==, -1);
}

static void
check_refused_keyfile (const char *settings, const char *expected)
{
  g_autofree char *text =
      g_strconcat ("[middleware m]\ntype=timeout\n", settings,
                   "[store s]\ntype=memory\n[backend b]\ntype=thread\nstore=s\nmiddleware=m\n", NULL);
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandStack) stack = strand_stack_new_from_data (text, -1, "test.conf", &error);
  g_autoptr(GObject) backend =
      stack != NULL ? strand_stack_ref_object (stack, STRAND_KIND_BACKEND, "b", &error) : NULL;

  g_assert_null (backend);
  if (strstr (error->message, expected) == NULL)
    g_error ("'%s' is not in: %s", expected, error->message);
}

static void
test_wrong_settings_name_the_key (void)
{
  check_refused_keyfile ("functions=a\n", "timeout");
  check_refused_keyfile ("timeout=soon\n", "timeout");
  check_refused_keyfile ("timeout=1s\nfunctions=a;;b\n", "functions");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);

  g_test_add_func ("/timeout/own-then-outer-then-backends",
                   test_the_calls_own_then_the_outer_then_the_backends);
  g_test_add_func ("/timeout/wrong-settings", test_wrong_settings_name_the_key);

  return g_test_run ();
}
