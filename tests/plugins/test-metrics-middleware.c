/* test-metrics-middleware.c — numbers that are right, whoever calls, and texts that Prometheus reads.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "middleware-fixture.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define STACK(middleware, backend)                                                                           \
  "[middleware count]\ntype=metrics\n" middleware "\n[backend b]\ntype=thread\nworkers=2\nstore=memory\n"    \
  "middleware=count\nretry-delay=0\n" backend "\n"

static GVariant *
stats_of (StrandStack *stack, const char *property)
{
  g_autoptr(GObject) middleware = stack_middleware (stack, "count");
  GVariant *stats = NULL;

  g_object_get (middleware, property, &stats, NULL);
  g_assert_nonnull (stats);
  return stats;
}

static guint64
number (GVariant *stats, const char *name)
{
  guint64 value;

  if (!g_variant_lookup (stats, name, "t", &value))
    g_error ("there is no number '%s'", name);
  return value;
}

static guint64
count_waiting (StrandStack *stack)
{
  g_autoptr(GVariant) stats = stats_of (stack, "stats");

  return number (stats, "waiting");
}

static GVariant *
stats_for (GVariant *stats, const char *function)
{
  g_autoptr(GVariant) functions = g_variant_lookup_value (stats, "functions", G_VARIANT_TYPE ("a{sa{sv}}"));
  GVariant *found = g_variant_lookup_value (functions, function, G_VARIANT_TYPE_VARDICT);

  if (found == NULL)
    g_error ("there are no numbers of '%s'", function);
  return found;
}

static char *
text_of (StrandStack *stack, const char *property)
{
  g_autoptr(GObject) middleware = stack_middleware (stack, "count");
  char *text = NULL;

  g_object_get (middleware, property, &text, NULL);
  g_assert_nonnull (text);
  return text;
}

static gboolean
flush (StrandStack *stack)
{
  g_autoptr(GObject) middleware = stack_middleware (stack, "count");
  gboolean worked = FALSE;

  g_signal_emit_by_name (middleware, "flush", &worked);
  return worked;
}

/* The value of the sample whose name and labels are exactly these. */
static double
sample (const char *text, const char *name)
{
  g_auto(GStrv) lines = g_strsplit (text, "\n", -1);

  for (guint i = 0; lines[i] != NULL; i++)
    if (g_str_has_prefix (lines[i], name) && lines[i][strlen (name)] == ' ')
      return g_ascii_strtod (lines[i] + strlen (name), NULL);
  g_error ("there is no sample '%s' in:\n%s", name, text);
}

static void
do_call (StrandStack *stack, const char *function, GVariant *arguments, int retries)
{
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;

  strand_options_set_retries (options, retries);
  handle = stack_call (stack, function, arguments, options);
  strand_handle_get_error (handle);
}

static void
test_counts_by_function_and_status (void)
{
  StrandStack *stack = stack_new (STACK ("", ""));
  g_autoptr(GVariant) stats = NULL;
  g_autoptr(GVariant) failing = NULL;
  double duration;

  do_call (stack, "test.nothing", NULL, 0);
  do_call (stack, "test.nothing", NULL, 0);
  do_call (stack, "test.fail", g_variant_new ("(s)", "no"), 2);

  stats = stats_of (stack, "stats");
  g_assert_cmpuint (number (stats, "total"), ==, 3);
  g_assert_cmpuint (number (stats, "submitted"), ==, 3);
  g_assert_cmpuint (number (stats, "completed"), ==, 2);
  g_assert_cmpuint (number (stats, "failed"), ==, 1);
  g_assert_cmpuint (number (stats, "running"), ==, 0);
  g_assert_cmpuint (number (stats, "waiting"), ==, 0);
  g_assert_true (g_variant_lookup (stats, "avg_duration", "d", &duration));
  g_assert_cmpfloat (duration, >=, 0);
  failing = stats_for (stats, "test.fail");
  g_assert_cmpuint (number (failing, "total"), ==, 1);
  g_assert_cmpuint (number (failing, "retries"), ==, 2);
  stack_close (stack);
}

/* By the manual clock nothing passes but what the test lets pass. */
static void
test_waiting_and_running_times_are_told_apart (void)
{
  StrandStack *stack;
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) first = NULL;
  g_autoptr(StrandHandle) second = NULL;
  g_autoptr(StrandTask) task = NULL;
  g_autoptr(StrandFunction) function = fixture_function ("test.hold");
  g_autoptr(GObject) target = NULL;
  g_autoptr(GVariant) busy = NULL;
  g_autofree char *text = NULL;
  Gate *gate = fixture_gate ();

  strand_clock_set_manual (G_GINT64_CONSTANT (1000000000000000));
  stack = stack_new ("[middleware count]\ntype=metrics\n[backend b]\ntype=thread\nworkers=1\nstore=memory\n"
                     "middleware=count\n");
  target = strand_stack_ref_target (stack, NULL, NULL);
  task = strand_task_new (function, target);
  first = strand_task_call_full (task, NULL, NULL, NULL);
  gate_wait_inside (gate, 1);
  second = strand_task_call_full (task, NULL, NULL, NULL);
  wait_still (count_waiting (stack) == 1);
  busy = stats_of (stack, "stats");
  g_assert_cmpuint (number (busy, "running"), ==, 1);
  g_assert_cmpuint (number (busy, "total"), ==, 0);
  strand_clock_advance (2 * G_USEC_PER_SEC);
  gate_open (gate);
  g_assert_true (strand_handle_wait (first, DEADLINE_US, NULL));
  g_assert_true (strand_handle_wait (second, DEADLINE_US, NULL));
  strand_clock_set_system ();

  text = text_of (stack, "prometheus");
  g_assert_cmpfloat (sample (text, "strand_call_duration_seconds_sum{function=\"test.hold\"}"), ==, 2);
  g_assert_cmpfloat (sample (text, "strand_call_queue_seconds_sum{function=\"test.hold\"}"), ==, 2);
  g_assert_cmpfloat (sample (text, "strand_call_queue_seconds_count{function=\"test.hold\"}"), ==, 2);
  g_assert_cmpfloat (sample (text, "strand_call_queue_seconds_bucket{function=\"test.hold\",le=\"0.0001\"}"),
                     ==, 1);
  g_assert_cmpfloat (sample (text, "strand_call_queue_seconds_bucket{function=\"test.hold\",le=\"1\"}"), ==,
                     1);
  g_assert_cmpfloat (sample (text, "strand_call_queue_seconds_bucket{function=\"test.hold\",le=\"5\"}"), ==,
                     2);
  stack_close (stack);
}

static void
test_causes_of_failure_are_told_apart (void)
{
  StrandStack *stack = stack_new ("[middleware count]\ntype=metrics\n[backend b]\ntype=process\nworkers=1\n"
                                  "store=memory\nmiddleware=count\ngrace=0\n");
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) late = NULL;
  g_autoptr(GVariant) stats = NULL;

  do_call (stack, "demo.add", g_variant_new ("(xx)", (gint64) 2, (gint64) 3), 0);
  do_call (stack, "demo.fail", g_variant_new ("(s)", "no"), 0);
  do_call (stack, "demo.crash", g_variant_new ("(i)", 9), 0);
  strand_options_set_timeout (options, 1000);
  late = stack_call (stack, "demo.sleep", g_variant_new ("(d)", 60.0), options);
  strand_handle_get_error (late);

  stats = stats_of (stack, "stats");
  g_assert_cmpuint (number (stats, "total"), ==, 4);
  g_assert_cmpuint (number (stats, "completed"), ==, 1);
  g_assert_cmpuint (number (stats, "failed"), ==, 3);
  g_assert_cmpuint (number (stats, "crashed"), ==, 1);
  g_assert_cmpuint (number (stats, "crashes"), ==, 1);
  g_assert_cmpuint (number (stats, "timed_out"), ==, 1);
  stack_close (stack);
}

/* A sanitizer that unwinds the stack at each allocation takes milliseconds a call. */
#ifdef __SANITIZE_ADDRESS__
#define N_STORM 8000
#else
#define N_STORM 100000
#endif

static void
test_eight_threads_lose_no_call (void)
{
  static const StormCall calls[] = { { "test.nothing", "()" },
                                     { "test.add", "(int64 1, int64 2)" },
                                     { "test.fail", "('no',)" },
                                     { "test.nothing", "()" } };
  StrandStack *stack = stack_new (STACK ("max-functions=2", ""));
  g_autoptr(GVariant) stats = NULL;
  guint n_values = stack_storm (stack, 8, N_STORM / 8, calls, G_N_ELEMENTS (calls));

  stats = stats_of (stack, "stats");
  g_assert_cmpuint (n_values, ==, N_STORM / 4 * 3);
  g_assert_cmpuint (number (stats, "submitted"), ==, N_STORM);
  g_assert_cmpuint (number (stats, "total"), ==, N_STORM);
  g_assert_cmpuint (number (stats, "completed"), ==, N_STORM / 4 * 3);
  g_assert_cmpuint (number (stats, "failed"), ==, N_STORM / 4);
  g_assert_cmpuint (number (stats, "running") + number (stats, "waiting"), ==, 0);
  stack_close (stack);
}

static void
test_functions_beyond_the_limit_share_a_row (void)
{
  StrandStack *stack = stack_new (STACK ("max-functions=2", ""));
  g_autoptr(GVariant) stats = NULL;
  g_autoptr(GVariant) functions = NULL;
  g_autoptr(GVariant) other = NULL;

  do_call (stack, "test.nothing", NULL, 0);
  do_call (stack, "test.list", g_variant_new ("(u)", 1), 0);
  do_call (stack, "test.bytes", NULL, 0);
  do_call (stack, "test.dict", NULL, 0);

  stats = stats_of (stack, "stats");
  functions = g_variant_lookup_value (stats, "functions", NULL);
  g_assert_cmpuint (g_variant_n_children (functions), ==, 3);
  other = stats_for (stats, "other");
  g_assert_cmpuint (number (other, "total"), ==, 2);
  g_assert_cmpuint (number (stats, "total"), ==, 4);
  stack_close (stack);
}

/* Skips the case where Prometheus' own checker is not installed. */
static gboolean
have_promtool (void)
{
  g_autofree char *program = g_find_program_in_path ("promtool");

  if (program == NULL)
    g_test_skip ("promtool is not installed; it is in the package 'prometheus'");
  return program != NULL;
}

static void
check_with_promtool (const char *text)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GSubprocess) promtool = g_subprocess_new (
      G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_MERGE,
      &error, "promtool", "check", "metrics", NULL);
  g_autofree char *said = NULL;

  g_assert_no_error (error);
  g_subprocess_communicate_utf8 (promtool, text, NULL, &said, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (said, ==, "");
  g_assert_cmpint (g_subprocess_get_exit_status (promtool), ==, 0);
}

static void
test_promtool_accepts_the_text (void)
{
  StrandStack *stack;
  g_autofree char *text = NULL;
  g_autofree char *shared = NULL;

  if (!have_promtool ())
    return;
  stack = stack_new (STACK ("labels=zone=a \"b\" \\\\ c;worker=%%p\nstore=memory", ""));
  do_call (stack, "test.nothing", NULL, 0);
  do_call (stack, "test.fail", g_variant_new ("(s)", "no"), 0);
  text = text_of (stack, "prometheus");
  g_assert_nonnull (strstr (text, "zone=\"a \\\"b\\\" \\\\ c\""));
  check_with_promtool (text);
  g_assert_true (flush (stack));
  shared = text_of (stack, "shared-prometheus");
  g_assert_cmpfloat (sample (shared, "strand_submitted_calls_total{function=\"test.fail\"}"), ==, 1);
  check_with_promtool (shared);
  stack_close (stack);
}

static void
test_the_file_is_written_by_itself (void)
{
  char *folder = fixture_make_folder ();
  StrandStack *stack = stack_new (STACK ("file=%s/strand-%%p.prom\ninterval=1ms", ""), folder);
  g_autofree char *name = g_strdup_printf ("%s/strand-%ld.prom", folder, (long) getpid ());
  g_autofree char *expected = g_strdup_printf (
      "strand_calls_total{function=\"test.nothing\",status=\"completed\",pid=\"%ld\"} 1\n", (long) getpid ());
  gboolean found = FALSE;

  do_call (stack, "test.nothing", NULL, 0);
  while (!found)
    {
      g_autofree char *text = NULL;

      wait_until (g_file_test (name, G_FILE_TEST_EXISTS));
      g_assert_true (g_file_get_contents (name, &text, NULL, NULL));
      found = strstr (text, expected) != NULL;
    }
  stack_close (stack);
  fixture_remove_folder (folder);
}

/* Closing writes what is new, though the interval is an hour. */
static void
test_the_last_numbers_reach_the_file (void)
{
  char *folder = fixture_make_folder ();
  StrandStack *stack = stack_new (STACK ("file=%s/strand.prom\ninterval=1h", ""), folder);
  g_autofree char *name = g_build_filename (folder, "strand.prom", NULL);
  g_autofree char *text = NULL;
  g_autoptr(GDir) dir = NULL;

  do_call (stack, "test.nothing", NULL, 0);
  stack_close (stack);
  g_assert_true (g_file_get_contents (name, &text, NULL, NULL));
  g_assert_cmpfloat (sample (text, "strand_calls_total{function=\"test.nothing\",status=\"completed\"}"), ==,
                     1);

  /* Nothing half-written lies beside it. */
  dir = g_dir_open (folder, 0, NULL);
  g_assert_cmpstr (g_dir_read_name (dir), ==, "strand.prom");
  g_assert_null (g_dir_read_name (dir));
  fixture_remove_folder (folder);
}

static void
test_a_file_that_cannot_be_written_is_said_once (void)
{
  StrandStack *stack = stack_new (STACK ("file=/nowhere/strand.prom\ninterval=1h", ""));

  do_call (stack, "test.nothing", NULL, 0);
  g_test_expect_message ("Strand", G_LOG_LEVEL_WARNING,
                         "*Could not write the metrics to*'/nowhere/strand.prom'*");
  g_assert_false (flush (stack));
  g_test_assert_expected_messages ();
  g_assert_false (flush (stack));
  stack_close (stack);
}

#define SHARED_STACK                                                                                         \
  "[store totals]\ntype=filesystem\npath=%s\n[middleware count]\ntype=metrics\nstore=totals\ninterval=1ms\n" \
  "[backend b]\ntype=thread\nworkers=2\nstore=memory\nmiddleware=count\n"

#define SHARED_CALLS 200

static void
make_shared_calls (const char *folder)
{
  StrandStack *stack = stack_new (SHARED_STACK, folder);

  for (guint i = 0; i < SHARED_CALLS; i++)
    do_call (stack, i % 4 == 0 ? "test.fail" : "test.echo", g_variant_new ("(s)", "x"), 0);
  stack_close (stack);
}

static void
test_totals_of_several_processes_add_up (void)
{
  char *folder = fixture_make_folder ();
  GSubprocess *processes[3];
  StrandStack *stack;
  g_autoptr(GVariant) stats = NULL;
  g_autoptr(GVariant) failing = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (processes); i++)
    processes[i] = fixture_spawn ("--share", folder, NULL);
  make_shared_calls (folder);
  for (guint i = 0; i < G_N_ELEMENTS (processes); i++)
    {
      fixture_expect_exit (processes[i]);
      g_object_unref (processes[i]);
    }

  stack = stack_new (SHARED_STACK, folder);
  g_assert_true (flush (stack));
  stats = stats_of (stack, "shared-stats");
  g_assert_cmpuint (number (stats, "total"), ==, 4 * SHARED_CALLS);
  g_assert_cmpuint (number (stats, "failed"), ==, SHARED_CALLS);
  failing = stats_for (stats, "test.fail");
  g_assert_cmpuint (number (failing, "total"), ==, SHARED_CALLS);
  stack_close (stack);
  fixture_remove_folder (folder);
}

#define N_FLUSHES 100

static gpointer
flush_often (gpointer data)
{
  StrandStack *stack = data;

  for (guint i = 0; i < N_FLUSHES; i++)
    g_assert_true (flush (stack));
  return NULL;
}

/* Four that write one record all the time: each is overtaken again and again, and none gives up. */
static void
test_writers_at_once_get_their_turn (void)
{
  char *folder = fixture_make_folder ();
  StrandStack *stacks[4];
  GThread *threads[4];
  g_autoptr(GVariant) stats = NULL;

  for (guint i = 0; i < 4; i++)
    {
      stacks[i] = stack_new (SHARED_STACK, folder);
      do_call (stacks[i], "test.nothing", NULL, 0);
    }
  for (guint i = 0; i < 4; i++)
    threads[i] = g_thread_new ("flush", flush_often, stacks[i]);
  for (guint i = 0; i < 4; i++)
    g_thread_join (threads[i]);
  g_assert_true (flush (stacks[0]));
  stats = stats_of (stacks[0], "shared-stats");
  g_assert_cmpuint (number (stats, "total"), ==, 4);
  for (guint i = 0; i < 4; i++)
    stack_close (stacks[i]);
  fixture_remove_folder (folder);
}

static void
test_a_record_of_something_else_is_left_alone (void)
{
  StrandStack *stack = stack_new ("[store s]\ntype=memory\n[middleware count]\ntype=metrics\nstore=s\n"
                                  "key=mine\n[backend b]\ntype=sync\nstore=s\nmiddleware=count\n");
  g_autoptr(StrandRecord) record = strand_record_new ("mine");
  g_autoptr(StrandStore) store = NULL;
  g_autoptr(StrandRecord) after = NULL;
  g_autoptr(GError) error = NULL;

  store = STRAND_STORE (strand_stack_ref_object (stack, STRAND_KIND_STORE, "s", &error));
  g_assert_true (strand_store_put (store, record, 0, &error));
  g_test_expect_message ("Strand", G_LOG_LEVEL_WARNING, "*record 'mine' holds no metrics*'key'*");
  g_assert_false (flush (stack));
  g_test_assert_expected_messages ();
  after = strand_store_get (store, "mine", &error);
  g_assert_cmpuint (strand_record_get_revision (after), ==, 1);
  stack_close (stack);
}

static void
expect_mistake (const char *setting, const char *key, const char *cure)
{
  StrandStack *stack = stack_new (STACK ("%s", ""), setting);
  g_autoptr(GError) error = stack_error (stack, "count");

  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT);
  g_assert_nonnull (strstr (error->message, key));
  g_assert_nonnull (strstr (error->message, cure));
  g_object_unref (stack);
}

static void
test_wrong_settings_name_key_and_cure (void)
{
  StrandStack *stack = stack_new (STACK ("key=a b", ""));
  g_autoptr(GError) error = stack_error (stack, "count");

  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_KEY);
  g_assert_nonnull (strstr (error->message, "'key'"));
  g_object_unref (stack);
  expect_mistake ("file=/tmp/%x", "'file'", "percent sign");
  expect_mistake ("labels=zone", "'labels'", "NAME=VALUE");
  expect_mistake ("labels=le=1", "'labels'", "NAME=VALUE");
  expect_mistake ("labels=__a=1", "'labels'", "NAME=VALUE");
  expect_mistake ("labels=1a=1", "'labels'", "NAME=VALUE");
}

/* A program that does not ask g_initable_init() is told by its calls. */
static void
test_wrong_settings_let_no_call_pass (void)
{
  const char *labels[] = { "zone", NULL };
  g_autoptr(GObject) middleware = make_object (STRAND_KIND_MIDDLEWARE, "metrics", "labels", labels, NULL);
  g_autoptr(GListStore) chain = g_list_store_new (STRAND_TYPE_MIDDLEWARE);
  g_autoptr(StrandStore) store = make_store ("memory", NULL);
  g_autoptr(StrandTaskrunner) runner = make_runner ("thread", "workers", 1, NULL);
  g_autoptr(StrandFunction) function = fixture_function ("test.nothing");
  g_autoptr(StrandTask) task = NULL;
  g_autoptr(StrandHandle) handle = NULL;
  StrandBackend *backend;

  g_list_store_append (chain, middleware);
  backend = make_backend ("local", "taskrunner", runner, "store", store, "middleware", chain, NULL);
  task = strand_task_new (function, G_OBJECT (backend));
  handle = strand_task_call_full (task, NULL, NULL, NULL);
  g_assert_true (strand_handle_wait (handle, DEADLINE_US, NULL));
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_FAILED);
  g_assert_nonnull (strstr (strand_handle_get_error (handle)->message, "'labels'"));
  close_backend (backend);
}

int
main (int argc, char **argv)
{
  int status;

  if (fixture_is_second_process (argc, argv, &status))
    return status;
  if (argc == 3 && strcmp (argv[1], "--share") == 0)
    {
      fixture_add_functions ();
      make_shared_calls (argv[2]);
      return 0;
    }
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  fixture_add_functions ();

#define ADD(name, func) g_test_add_func ("/metrics/" name, func)
  ADD ("counts-by-function-and-status", test_counts_by_function_and_status);
  ADD ("waiting-and-running-times-are-told-apart", test_waiting_and_running_times_are_told_apart);
  ADD ("causes-of-failure-are-told-apart", test_causes_of_failure_are_told_apart);
  ADD ("eight-threads-lose-no-call", test_eight_threads_lose_no_call);
  ADD ("functions-beyond-the-limit-share-a-row", test_functions_beyond_the_limit_share_a_row);
  ADD ("promtool-accepts-the-text", test_promtool_accepts_the_text);
  ADD ("the-file-is-written-by-itself", test_the_file_is_written_by_itself);
  ADD ("the-last-numbers-reach-the-file", test_the_last_numbers_reach_the_file);
  ADD ("a-file-that-cannot-be-written-is-said-once", test_a_file_that_cannot_be_written_is_said_once);
  ADD ("totals-of-several-processes-add-up", test_totals_of_several_processes_add_up);
  ADD ("writers-at-once-get-their-turn", test_writers_at_once_get_their_turn);
  ADD ("a-record-of-something-else-is-left-alone", test_a_record_of_something_else_is_left_alone);
  ADD ("wrong-settings-name-key-and-cure", test_wrong_settings_name_key_and_cure);
  ADD ("wrong-settings-let-no-call-pass", test_wrong_settings_let_no_call_pass);
  return g_test_run ();
}
