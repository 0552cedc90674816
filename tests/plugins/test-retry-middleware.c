/* test-retry-middleware.c — how often, when, and for which errors.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "../core/call-fixture.h"

#include <string.h>

#define NOON G_GINT64_CONSTANT (1700000000000000)
#define SECOND ((gint64) G_USEC_PER_SEC)

typedef struct
{
  StrandStore *store;
  GListStore *chain;
  StrandBackend *backend;
} Fixture;

static void
set_up (Fixture *f, gconstpointer unused)
{
  f->store = make_store ("memory", NULL);
  f->chain = g_list_store_new (STRAND_TYPE_MIDDLEWARE);
}

static void
tear_down (Fixture *f, gconstpointer unused)
{
  strand_clock_set_system ();
  if (f->backend != NULL)
    close_backend (f->backend);
  g_object_unref (f->chain);
  g_object_unref (f->store);
}

static void
add (Fixture *f, gpointer middleware)
{
  g_list_store_append (f->chain, middleware);
  g_object_unref (middleware);
}

#define add_retry(f, ...) add (f, make_object (STRAND_KIND_MIDDLEWARE, "retry", __VA_ARGS__))

static StrandHandle *
call (Fixture *f, const char *name, GVariant *arguments, int retries)
{
  g_autoptr(StrandTaskrunner) runner = make_runner ("thread", "workers", 1, NULL);
  g_autoptr(StrandFunction) function = fixture_function (name);
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandTask) task = NULL;

  if (f->backend == NULL)
    f->backend = make_backend ("local", "taskrunner", runner, "store", f->store, "middleware", f->chain,
                               "retry-delay", (gint64) 0, NULL);
  task = strand_task_new (function, G_OBJECT (f->backend));
  strand_options_set_retries (options, retries);
  return strand_task_call_full (task, arguments, NULL, options);
}

/* How many attempts a call of `test.fail` gets, which fails with G_FILE_ERROR_NOENT. */
static guint
attempts_of (Fixture *f, int retries)
{
  g_autoptr(StrandHandle) handle = call (f, "test.fail", g_variant_new ("(s)", "no such tree"), retries);
  g_autoptr(GError) error = NULL;

  g_assert_true (strand_handle_wait (handle, DEADLINE_US, &error));
  g_assert_error (strand_handle_get_error (handle), G_FILE_ERROR, G_FILE_ERROR_NOENT);
  return strand_handle_get_attempt (handle);
}

static void
test_calls_that_do_not_say_get_the_default (Fixture *f, gconstpointer unused)
{
  add_retry (f, "retries", 2, "delay", (gint64) 0, NULL);
  add_retry (f, "retries", 9, NULL);
  g_assert_cmpuint (attempts_of (f, -1), ==, 3);
  g_assert_cmpuint (attempts_of (f, 0), ==, 1);
  g_assert_cmpuint (attempts_of (f, 4), ==, 5);
}

static void
test_other_functions_are_left_alone (Fixture *f, gconstpointer unused)
{
  const char *const functions[] = { "test.echo", "other.*", NULL };

  add_retry (f, "retries", 2, "functions", functions, NULL);
  g_assert_cmpuint (attempts_of (f, -1), ==, 1);
}

static void
test_errors_are_chosen (Fixture *f, gconstpointer list)
{
  g_auto(GStrv) parts = g_strsplit (list, " ", -1); /* property, items, attempts */
  g_auto(GStrv) items = g_strsplit (parts[1], ";", -1);

  add_retry (f, "retries", 2, "delay", (gint64) 0, parts[0], items, NULL);
  g_assert_cmpuint (attempts_of (f, -1), ==, g_ascii_strtoull (parts[2], NULL, 10));
  /* Also for a call that set how often itself. */
  g_assert_cmpuint (attempts_of (f, 2), ==, g_ascii_strtoull (parts[2], NULL, 10));
}

/* The first wait is at most 'delay', the second twice that, none above 'max-delay'. */
static void
test_waits_double_up_to_the_longest (Fixture *f, gconstpointer unused)
{
  static const gint64 longest_us[] = { 10 * SECOND, 20 * SECOND, 25 * SECOND, 25 * SECOND };
  g_autoptr(StrandHandle) handle = NULL;

  strand_clock_set_manual (NOON);
  add_retry (f, "retries", 4, "delay", 10 * SECOND, "max-delay", 25 * SECOND, NULL);
  handle = call (f, "test.fail", g_variant_new ("(s)", "no such tree"), -1);
  for (guint i = 0; i < G_N_ELEMENTS (longest_us); i++)
    {
      wait_until (strand_handle_get_attempt (handle) == i + 1 &&
                  strand_handle_get_status (handle) == STRAND_STATUS_PENDING);
      /* The timer may not be set yet: one that is set after its time fires at once. */
      strand_clock_advance (longest_us[i] + 1);
      wait_until (strand_handle_get_attempt (handle) == i + 2 ||
                  (strand_clock_advance (longest_us[i] + 1), FALSE));
    }
  wait_until (strand_handle_get_status (handle) == STRAND_STATUS_FAILED);
  strand_handle_get_error (handle);
}

/* What waits are drawn from, without a backend. */
static void
note_waits (StrandCall *call, const GError *error, gpointer data)
{
  gint64 *longest_us = data;

  for (guint i = 0; i < 1000; i++)
    {
      gint64 wait_us = strand_retry_delay (call, 5 * SECOND, 60 * SECOND);

      *longest_us = MAX (*longest_us, wait_us);
    }
}

static void
test_waits_are_drawn_from_the_headers_range (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandFunction) function = fixture_function ("test.fail");
  g_autoptr(StrandTaskrunner) runner = make_runner ("sync", NULL);
  g_autoptr(StrandTask) task = strand_task_new (function, G_OBJECT (runner));
  gint64 longest_us = 0;

  strand_task_on_error (task, note_waits, &longest_us, NULL);
  for (guint i = 0; i < 3; i++)
    {
      static const char *const headers[] = { "", "delay=2000000", "rubbish delay=2000000 max-delay=1000000" };
      static const gint64 expected_us[] = { 5 * SECOND, 2 * SECOND, SECOND };
      g_autoptr(StrandOptions) options = strand_options_new ();
      g_autoptr(StrandHandle) handle = NULL;

      longest_us = 0;
      strand_options_set_header (options, STRAND_HEADER_RETRY, headers[i]);
      handle = strand_task_call_full (task, g_variant_new ("(s)", "no"), NULL, options);
      wait_until (longest_us > 0);
      g_assert_cmpint (longest_us, <=, expected_us[i]);
      g_assert_cmpint (longest_us, >, expected_us[i] * 9 / 10); /* missed by 1000 draws once in 10^45 runs */
    }
  close_runner (g_steal_pointer (&runner));
}

static void
test_settings_come_from_the_first_who_has_them (Fixture *f, gconstpointer unused)
{
  const char *const errors[] = { "g-io-error-quark", "strand-error-quark:crashed", NULL };
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(StrandRecord) record = NULL;
  g_autoptr(GError) error = NULL;
  const char *header;

  add_retry (f, "retries", 1, "delay", 2 * SECOND, NULL);
  add_retry (f, "retries", 5, "delay", 3 * SECOND, "max-delay", 4 * SECOND, "never-for", errors, NULL);
  handle = call (f, "test.nothing", NULL, -1);
  g_assert_true (strand_handle_wait (handle, DEADLINE_US, &error));
  record = strand_store_get (f->store, strand_handle_get_key (handle), &error);
  g_assert_no_error (error);
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_RETRIES), ==, 1);
  g_variant_lookup (strand_record_get_variant (record, STRAND_FIELD_HEADERS), STRAND_HEADER_RETRY, "&s",
                    &header);
  g_assert_cmpstr (header, ==,
                   "delay=2000000 max-delay=4000000 never-for=g-io-error-quark|strand-error-quark:crashed");
}

static void
check_refused_keyfile (const char *settings, const char *expected)
{
  g_autofree char *text =
      g_strconcat ("[middleware m]\ntype=retry\n", settings,
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
  check_refused_keyfile ("retries=-1\n", "retries");
  check_refused_keyfile ("delay=2min\nmax-delay=1min\n", "raise 'max-delay' or lower 'delay'");
  check_refused_keyfile ("only-for=:x\n", "'only-for' has ':x'");
  check_refused_keyfile ("never-for=a:b:c\n", "'never-for' has 'a:b:c'");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  fixture_add_functions ();

#define ADD(name, func, data) g_test_add ("/retry/" name, Fixture, data, set_up, func, tear_down)
  ADD ("number/default", test_calls_that_do_not_say_get_the_default, NULL);
  ADD ("number/other-functions", test_other_functions_are_left_alone, NULL);
  ADD ("errors/only-for-domain", test_errors_are_chosen, "only-for g-file-error-quark 3");
  ADD ("errors/only-for-code", test_errors_are_chosen, "only-for x;g-file-error-quark:4 3");
  ADD ("errors/only-for-pattern", test_errors_are_chosen, "only-for g-file-* 3");
  ADD ("errors/only-for-others", test_errors_are_chosen, "only-for g-io-error-quark;g-file-error-quark:5 1");
  ADD ("errors/never-for-domain", test_errors_are_chosen, "never-for g-file-error-quark 1");
  ADD ("errors/never-for-code", test_errors_are_chosen, "never-for g-file-error-quark:4 1");
  ADD ("errors/never-for-others", test_errors_are_chosen, "never-for g-io-error-quark 3");
  ADD ("waits/double-up-to-the-longest", test_waits_double_up_to_the_longest, NULL);
  ADD ("waits/drawn-from-the-headers-range", test_waits_are_drawn_from_the_headers_range, NULL);
  ADD ("order/first-who-has-them", test_settings_come_from_the_first_who_has_them, NULL);
  g_test_add_func ("/retry/keyfile/wrong-settings", test_wrong_settings_name_the_key);

  return g_test_run ();
}
