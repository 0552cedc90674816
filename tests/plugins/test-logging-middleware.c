/* test-logging-middleware.c — what the log gets of each attempt, and what it never gets.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "../core/call-fixture.h"

/* What was logged: level and fields, in one table a line. */
typedef struct
{
  GLogLevelFlags level;
  GHashTable *fields;
} Line;

static GMutex lines_lock;
static GPtrArray *lines;

static void
line_free (gpointer data)
{
  Line *line = data;

  g_hash_table_unref (line->fields);
  g_free (line);
}

static GLogWriterOutput
keep (GLogLevelFlags level, const GLogField *fields, gsize n_fields, gpointer data)
{
  Line *line = g_new0 (Line, 1);

  line->level = level;
  line->fields = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  for (gsize i = 0; i < n_fields; i++)
    g_hash_table_insert (line->fields, g_strdup (fields[i].key),
                         fields[i].length < 0 ? g_strdup (fields[i].value)
                                              : g_strndup (fields[i].value, (gsize) fields[i].length));
  if (!g_hash_table_contains (line->fields, "STRAND_KEY"))
    {
      line_free (line);
      return g_log_writer_default (level, fields, n_fields, data);
    }
  g_mutex_lock (&lines_lock);
  g_ptr_array_add (lines, line);
  g_mutex_unlock (&lines_lock);
  return G_LOG_WRITER_HANDLED;
}

/* One call through a backend with this middleware; what it logged is in `lines` afterwards. */
static StrandHandle *
call_through (GObject *middleware, const char *function, GVariant *arguments, int retries)
{
  g_autoptr(GListStore) chain = g_list_store_new (STRAND_TYPE_MIDDLEWARE);
  g_autoptr(StrandTaskrunner) runner = make_runner ("thread", "workers", 1, NULL);
  g_autoptr(StrandStore) store = make_store ("memory", NULL);
  g_autoptr(StrandFunction) callee = fixture_function (function);
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(GError) error = NULL;
  StrandBackend *backend;
  g_autoptr(StrandTask) task = NULL;
  StrandHandle *handle;

  g_ptr_array_set_size (lines, 0);
  g_list_store_append (chain, middleware);
  backend = make_backend ("local", "taskrunner", runner, "store", store, "middleware", chain, "retry-delay",
                          (gint64) 0, NULL);
  task = strand_task_new (callee, G_OBJECT (backend));
  strand_options_set_retries (options, retries);
  handle = strand_task_call_full (task, arguments, NULL, options);
  g_assert_true (strand_handle_wait (handle, DEADLINE_US, &error));
  g_assert_no_error (error);
  close_backend (backend);
  return handle;
}

static const char *
field (guint line, const char *name)
{
  g_assert_cmpuint (line, <, lines->len);
  return g_hash_table_lookup (((Line *) g_ptr_array_index (lines, line))->fields, name);
}

static GLogLevelFlags
level_of (guint line)
{
  g_assert_cmpuint (line, <, lines->len);
  return ((Line *) g_ptr_array_index (lines, line))->level;
}

static void
test_one_line_at_each_end (void)
{
  g_autoptr(GObject) middleware = make_object (STRAND_KIND_MIDDLEWARE, "logging", NULL);
  g_autoptr(StrandHandle) handle =
      call_through (middleware, "test.echo", g_variant_new ("(s)", "secret"), 0);

  g_assert_cmpuint (lines->len, ==, 2);
  for (guint i = 0; i < 2; i++)
    {
      g_assert_cmpint (level_of (i), ==, G_LOG_LEVEL_DEBUG);
      g_assert_cmpstr (field (i, "PRIORITY"), ==, "7");
      g_assert_cmpstr (field (i, "GLIB_DOMAIN"), ==, "Strand");
      g_assert_cmpstr (field (i, "STRAND_KEY"), ==, strand_handle_get_key (handle));
      g_assert_cmpstr (field (i, "STRAND_FUNCTION"), ==, "test.echo");
      g_assert_cmpstr (field (i, "STRAND_ATTEMPT"), ==, "1");
      g_assert_null (field (i, "STRAND_ARGUMENTS"));
      g_assert_null (strstr (field (i, "MESSAGE"), "secret"));
    }
  g_assert_cmpstr (field (0, "STRAND_STATUS"), ==, "running");
  g_assert_null (field (0, "STRAND_DURATION_US"));
  g_assert_cmpstr (field (1, "STRAND_STATUS"), ==, "completed");
  g_assert_cmpint (g_ascii_strtoll (field (1, "STRAND_DURATION_US"), NULL, 10), >=, 0);
}

static void
test_failure_tells_its_cause_at_the_same_level (void)
{
  g_autoptr(GObject) middleware = make_object (STRAND_KIND_MIDDLEWARE, "logging", NULL);
  g_autoptr(StrandHandle) handle =
      call_through (middleware, "test.fail", g_variant_new ("(s)", "no such tree"), 1);

  g_assert_cmpuint (lines->len, ==, 4);
  g_assert_cmpstr (field (1, "STRAND_STATUS"), ==, "failed");
  g_assert_nonnull (strstr (field (1, "MESSAGE"), "no such tree"));
  g_assert_nonnull (strstr (field (1, "MESSAGE"), "another attempt follows"));
  g_assert_cmpstr (field (3, "STRAND_STATUS"), ==, "failed");
  g_assert_cmpstr (field (3, "STRAND_ATTEMPT"), ==, "2");
  g_assert_null (strstr (field (3, "MESSAGE"), "another attempt follows"));
  for (guint i = 0; i < 4; i++)
    g_assert_cmpint (level_of (i), ==, G_LOG_LEVEL_DEBUG);
}

static void
test_level_domain_and_arguments_are_settings (void)
{
  g_autoptr(GObject) middleware = make_object (STRAND_KIND_MIDDLEWARE, "logging", "level", G_LOG_LEVEL_INFO,
                                                "domain", "my-app", "arguments", TRUE, NULL);
  g_autoptr(StrandHandle) handle = call_through (middleware, "test.echo", g_variant_new ("(s)", "tree"), 0);

  g_assert_cmpuint (lines->len, ==, 2);
  g_assert_cmpint (level_of (0), ==, G_LOG_LEVEL_INFO);
  g_assert_cmpstr (field (0, "PRIORITY"), ==, "6");
  g_assert_cmpstr (field (0, "GLIB_DOMAIN"), ==, "my-app");
  g_assert_cmpstr (field (0, "STRAND_ARGUMENTS"), ==, "('tree',)");
  g_assert_nonnull (strstr (field (0, "MESSAGE"), "('tree',)"));
}

static void
test_long_arguments_are_not_printed (void)
{
  g_autoptr(GObject) middleware = make_object (STRAND_KIND_MIDDLEWARE, "logging", "arguments", TRUE, NULL);
  g_autofree char *text = g_strnfill (100000, 'x');
  g_autoptr(StrandHandle) handle = call_through (middleware, "test.echo", g_variant_new ("(s)", text), 0);

  g_assert_cmpstr (field (0, "STRAND_ARGUMENTS"), ==, "100001 bytes of type '(s)'");
}

/* A function with a parameter and a keyword that nobody is to read. */
static GVariant *
log_in (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  return NULL;
}

static void
test_what_is_redacted_is_not_printed (void)
{
  const char *redact[] = { "password", "pin", NULL };
  g_autoptr(GObject) middleware =
      make_object (STRAND_KIND_MIDDLEWARE, "logging", "arguments", TRUE, "redact", redact, NULL);
  g_autoptr(StrandHandle) handle =
      call_through (middleware, "test.login",
                    g_variant_new_parsed ("('anna', 'geheim', {'pin': <'1234'>, 'colour': <'red'>,"
                                          " 'deep': <[{'pin': '5678', 'x': 'y'}]>, 'pair': <(1, @ms 'z')>})"),
                    0);
  g_autoptr(StrandHandle) plain = NULL;

  g_assert_cmpuint (lines->len, ==, 2);
  g_assert_cmpstr (field (0, "STRAND_ARGUMENTS"), ==,
                   "('anna', <redacted>, {'pin': <redacted>, 'colour': <'red'>, "
                   "'deep': <[{'pin': <redacted>, 'x': 'y'}]>, 'pair': <(1, 'z')>})");
  for (guint i = 0; i < 2; i++)
    {
      g_assert_null (strstr (field (i, "MESSAGE"), "geheim"));
      g_assert_null (strstr (field (i, "MESSAGE"), "1234"));
      g_assert_null (strstr (field (i, "MESSAGE"), "5678"));
    }
  /* And nothing else looks different. */
  plain = call_through (middleware, "test.echo", g_variant_new ("(s)", "tree"), 0);
  g_assert_cmpstr (field (0, "STRAND_ARGUMENTS"), ==, "('tree',)");
}

/* On a clock that only the test moves. */
static void
test_a_slow_call_is_a_warning (void)
{
  g_autoptr(GObject) middleware = make_object (STRAND_KIND_MIDDLEWARE, "logging", "slow",
                                                (gint64) 2 * G_USEC_PER_SEC, "sample", 0.0, NULL);

  for (guint i = 0; i < 2; i++)
    {
      g_autoptr(StrandHandle) handle = NULL;

      strand_clock_set_manual (G_GINT64_CONSTANT (1000000000000000));
      handle = call_through (middleware, "test.advance", g_variant_new ("(x)", (gint64) (2000000 + i)), 0);
      strand_clock_set_system ();
      g_assert_cmpuint (lines->len, ==, i);
    }
  g_assert_cmpint (level_of (0), ==, G_LOG_LEVEL_WARNING);
  g_assert_cmpstr (field (0, "PRIORITY"), ==, "4");
  g_assert_cmpstr (field (0, "STRAND_SLOW"), ==, "1");
  g_assert_cmpstr (field (0, "STRAND_STATUS"), ==, "completed");
  g_assert_cmpstr (field (0, "STRAND_DURATION_US"), ==, "2000001");
}

static GVariant *
advance (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  gint64 by_us;

  g_variant_get (arguments, "(x)", &by_us);
  strand_clock_advance (by_us);
  return NULL;
}

static void
test_a_failure_is_logged_whatever_the_sample (void)
{
  g_autoptr(GObject) middleware = make_object (STRAND_KIND_MIDDLEWARE, "logging", "sample", 0.0, NULL);
  g_autoptr(StrandHandle) good = call_through (middleware, "test.nothing", NULL, 0);
  g_autoptr(StrandHandle) bad = NULL;

  g_assert_cmpuint (lines->len, ==, 0);
  bad = call_through (middleware, "test.fail", g_variant_new ("(s)", "no such tree"), 0);
  g_assert_cmpuint (lines->len, ==, 1);
  g_assert_cmpstr (field (0, "STRAND_STATUS"), ==, "failed");
}

/* Of keys that count up, a quarter: 4000 draws stray less than 6 standard deviations, 27 each. The same keys,
 * the same choice. */
static void
test_the_key_chooses_the_sample (void)
{
  g_autoptr(GObject) middleware = make_object (STRAND_KIND_MIDDLEWARE, "logging", "sample", 0.25, NULL);
  g_autofree guint *n_lines = g_new0 (guint, 2);

  for (guint round = 0; round < 2; round++)
    {
      g_autoptr(GListStore) chain = g_list_store_new (STRAND_TYPE_MIDDLEWARE);
      g_autoptr(StrandTaskrunner) runner = make_runner ("thread", "workers", 1, NULL);
      g_autoptr(StrandStore) store = make_store ("memory", NULL);
      g_autoptr(StrandFunction) callee = fixture_function ("test.nothing");
      g_autoptr(StrandTask) task = NULL;
      StrandBackend *backend;

      g_ptr_array_set_size (lines, 0);
      g_list_store_append (chain, middleware);
      backend = make_backend ("local", "taskrunner", runner, "store", store, "middleware", chain, NULL);
      task = strand_task_new (callee, G_OBJECT (backend));
      for (guint i = 0; i < 4000; i++)
        {
          g_autoptr(StrandOptions) options = strand_options_new ();
          g_autofree char *key = g_strdup_printf ("job-%u", i);

          strand_options_set_key (options, key);
          g_object_unref (strand_task_call_full (task, NULL, NULL, options));
        }
      close_backend (backend);
      n_lines[round] = lines->len;
    }
  g_assert_cmpuint (n_lines[0] % 2, ==, 0);
  g_assert_cmpuint (n_lines[0] / 2, >, 1000 - 164);
  g_assert_cmpuint (n_lines[0] / 2, <, 1000 + 164);
  g_assert_cmpuint (n_lines[0], ==, n_lines[1]);
}

static void
add_function (const char *name, const char *signature, StrandFunc func)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandFunction) function =
      strand_function_new (name, signature, NULL, STRAND_TRAIT_NONE, func, NULL, NULL, &error);

  g_assert_no_error (error);
  strand_registry_add_function (strand_registry_get_default (), function, &error);
  g_assert_no_error (error);
}

/* `level` has no word for an error, which would abort the program. */
static void
test_a_keyfile_cannot_ask_for_errors (void)
{
  const char *bad =
      "[middleware log]\ntype=logging\nlevel=error\n[backend b]\ntype=sync\nstore=memory\nmiddleware=log\n";
  const char *good = "[middleware log]\ntype=logging\nlevel=warning\ndomain=x\narguments=true\n"
                     "[backend b]\ntype=sync\nstore=memory\nmiddleware=log\n";
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandStack) stack = strand_stack_new_from_data (bad, -1, "bad", &error);
  g_autoptr(StrandStack) other = NULL;

  g_assert_null (stack);
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_CONFIG);
  g_assert_nonnull (strstr (error->message, "debug"));
  g_clear_error (&error);

  other = strand_stack_new_from_data (good, -1, "good", &error);
  g_assert_no_error (error);
}

int
main (int argc, char **argv)
{
  int status;

  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  fixture_add_functions ();
  add_function ("test.login", "user:s password:s rest:a{sv}", log_in);
  add_function ("test.advance", "by:x", advance);
  lines = g_ptr_array_new_with_free_func (line_free);
  g_log_set_writer_func (keep, NULL, NULL);

  g_test_add_func ("/logging/one-line-at-each-end", test_one_line_at_each_end);
  g_test_add_func ("/logging/failure-tells-its-cause-at-the-same-level",
                   test_failure_tells_its_cause_at_the_same_level);
  g_test_add_func ("/logging/level-domain-and-arguments-are-settings",
                   test_level_domain_and_arguments_are_settings);
  g_test_add_func ("/logging/long-arguments-are-not-printed", test_long_arguments_are_not_printed);
  g_test_add_func ("/logging/what-is-redacted-is-not-printed", test_what_is_redacted_is_not_printed);
  g_test_add_func ("/logging/a-slow-call-is-a-warning", test_a_slow_call_is_a_warning);
  g_test_add_func ("/logging/a-failure-is-logged-whatever-the-sample",
                   test_a_failure_is_logged_whatever_the_sample);
  g_test_add_func ("/logging/the-key-chooses-the-sample", test_the_key_chooses_the_sample);
  g_test_add_func ("/logging/a-keyfile-cannot-ask-for-errors", test_a_keyfile_cannot_ask_for_errors);

  status = g_test_run ();
  g_ptr_array_unref (lines);
  return status;
}
