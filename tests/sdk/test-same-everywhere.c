/* test-same-everywhere.c — a function does the same wherever it runs: values, items, errors and cancellation.
 *
 * The demo functions, unchanged, on every taskrunner, from C and from `strand run -b`. Not demo.crash and
 * demo.spawn with what they are for: a crash ends whatever process it happens in. SPDX-License-Identifier:
 * LGPL-2.1-or-later */

#include <glib/gstdio.h>
#include <signal.h>
#include <strand.h>
#include <string.h>

static const char *const runners[] = { "sync", "thread", "process", "coroutine" };

/* What is called, and what becomes of it: items each with a space behind it, then a value or an error as
 * describe_error() says it. @command: (nullable): the arguments as words, where they are not those of the
 * tuple */
typedef struct
{
  const char *function;
  const char *arguments;
  const char *command;
  const char *expected;
} Case;

static const Case cases[] = {
  { "demo.echo", "('hello',)", "hello", "end 'hello'" },
  { "demo.echo", "('',)", "''", "end ''" },
  { "demo.echo", "('täglich \"so\"',)", "'täglich \"so\"'", "end 'täglich \"so\"'" },
  { "demo.add", "(3, 4)", "3 4", "end 7" },
  { "demo.add", "(9223372036854775807, 1)", "9223372036854775807 1",
    "error strand-error-quark 0 9223372036854775807 and 1 have a sum beyond 64 bits" },
  { "demo.factorial", "(25,)", "25", "end '15511210043330985984000000'" },
  { "demo.factorial", "(1000001,)", "1000001",
    "error strand-error-quark 1 'n' is 1000001; at most 1000000 is allowed" },
  { "demo.sleep", "(0.01,)", "0.01", "end 0.01" },
  { "demo.sleep", "(-1.0,)", "-- -1.0", NULL },
  { "demo.spin", "(0.001,)", "0.001", "end 0.001" },
  { "demo.fail", "('no way',)", "'no way'", "error strand-error-quark 0 no way" },
  { "demo.fail", "('',)", "''", "error strand-error-quark 0 " },
  { "demo.crash", "(0,)", "0", "error strand-error-quark 0 Signal 0 does not end a process" },
  { "demo.count", "(0,)", "0", "end 0" },
  { "demo.count", "(5,)", "5", "0 1 2 3 4 end 5" },
  { "demo.count", "(3000,)", "3000", NULL },
  { "demo.primes", "(20,)", "20", "2 3 5 7 11 13 17 19 end [2, 3, 5, 7, 11, 13, 17, 19]" },
  { "demo.primes", "(0,)", "0", "end []" },
  { "demo.sha256", "('/nowhere/at/all',)", "/nowhere/at/all",
    "error g-io-error-quark 1 Could not hash '/nowhere/at/all': No such file or directory" },
  { "demo.sha256", "('/dev/null',)", "/dev/null",
    "error g-io-error-quark 6 Could not hash '/dev/null': it is no regular file" },
};

/* From C. */

typedef struct
{
  GString *said;
  guint n_ends;
  guint n_items;
  guint cancel_at; /* which item cancels the call; 0 for none */
} Told;

static gboolean
on_iter (StrandCall *call, GVariant *item, gpointer data, GError **error)
{
  Told *told = data;
  g_autofree char *text = g_variant_print (item, FALSE);

  if (++told->n_items == told->cancel_at)
    strand_call_cancel (call);
  if (told->cancel_at == 0)
    g_string_append_printf (told->said, "%s ", text);
  return TRUE;
}

static void
on_end (StrandCall *call, GVariant *value, gpointer data)
{
  Told *told = data;
  g_autofree char *text = value != NULL ? g_variant_print (value, FALSE) : g_strdup ("nothing");

  told->n_ends++;
  g_string_append_printf (told->said, "end %s", text);
}

static void
on_error (StrandCall *call, const GError *error, gpointer data)
{
  Told *told = data;

  told->n_ends++;
  g_string_append_printf (told->said, "error %s %d %s", g_quark_to_string (error->domain), error->code,
                          error->message);
}

/* What a call told its callbacks. */
static char *
call_on (const char *runner, const char *function, const char *arguments, StrandOptions *options,
         guint cancel_at)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandTask) task = strand_as_task (function, runner, &error, NULL);
  g_autoptr(StrandHandle) handle = NULL;
  Told told = { g_string_new (NULL), 0, 0, cancel_at };
  GVariant *tuple;

  g_assert_no_error (error);
  tuple = g_variant_parse (strand_function_get_parameter_type (strand_task_get_function (task)), arguments,
                           NULL, NULL, &error);
  g_assert_no_error (error);
  strand_task_on_iter (task, on_iter, &told, NULL);
  strand_task_on_end (task, on_end, &told, NULL);
  strand_task_on_error (task, on_error, &told, NULL);
  handle = strand_task_call_full (task, tuple, NULL, options);
  g_variant_unref (tuple);
  while (told.n_ends == 0)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (told.n_ends, ==, 1);
  return g_string_free (told.said, FALSE);
}

static void
test_results_items_and_errors (gconstpointer data)
{
  const Case *c = data;
  g_autofree char *first = call_on (runners[0], c->function, c->arguments, NULL, 0);

  if (c->expected != NULL)
    g_assert_cmpstr (first, ==, c->expected);
  for (guint i = 1; i < G_N_ELEMENTS (runners); i++)
    {
      g_autofree char *said = call_on (runners[i], c->function, c->arguments, NULL, 0);

      g_assert_cmpstr (said, ==, first);
    }
}

static void
test_cancel_while_it_runs (void)
{
  g_autofree char *first = call_on (runners[0], "demo.count", "(4000000000,)", NULL, 5);

  g_assert_true (g_str_has_prefix (first, "error g-io-error-quark 19 "));
  for (guint i = 1; i < G_N_ELEMENTS (runners); i++)
    {
      g_autofree char *said = call_on (runners[i], "demo.count", "(4000000000,)", NULL, 5);

      g_assert_cmpstr (said, ==, first);
    }
}

static void
test_timeout_while_it_runs (void)
{
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autofree char *first = NULL;

  strand_options_set_timeout (options, G_USEC_PER_SEC / 10);
  first = call_on (runners[0], "demo.sleep", "(3600.0,)", options, 0);
  g_assert_nonnull (strstr (first, "ran longer than it may"));
  for (guint i = 1; i < G_N_ELEMENTS (runners); i++)
    {
      g_autofree char *said = call_on (runners[i], "demo.sleep", "(3600.0,)", options, 0);

      g_assert_cmpstr (said, ==, first);
    }
}

/* From the command. */

/* Output and exit status, without what differs by chance: the key. */
static char *
run_command (const char *runner, const char *options, const char *function, const char *words)
{
  g_autofree char *line = g_strdup_printf ("'%s' run %s -m demo -b %s %s %s", g_getenv ("STRAND_COMMAND"),
                                           options, runner, function, words);
  g_autoptr(GRegex) key = g_regex_new ("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", 0, 0, NULL);
  g_autoptr(GError) error = NULL;
  g_autofree char *out = NULL;
  g_autofree char *err = NULL;
  g_autofree char *text = NULL;
  int status;

  g_spawn_command_line_sync (line, &out, &err, &status, &error);
  g_assert_no_error (error);
  text = g_strdup_printf ("%s%sstatus %d", out, err, status);
  return g_regex_replace_literal (key, text, -1, 0, "KEY", 0, NULL);
}

static void
compare_commands (const char *options, const char *function, const char *words, const char *expected)
{
  g_autofree char *first = run_command (runners[0], options, function, words);

  if (expected != NULL && strstr (first, expected) == NULL)
    g_error ("'%s' is not in: %s", expected, first);
  for (guint i = 1; i < G_N_ELEMENTS (runners); i++)
    {
      g_autofree char *said = run_command (runners[i], options, function, words);

      g_assert_cmpstr (said, ==, first);
    }
}

static void
test_command (gconstpointer data)
{
  const Case *c = data;
  const char *message = c->expected != NULL && g_str_has_prefix (c->expected, "error ") ? c->expected : NULL;

  for (guint i = 0; message != NULL && i < 3; i++)
    message = strchr (message, ' ') + 1;
  compare_commands ("--items", c->function, c->command, message);
  compare_commands ("--json --items", c->function, c->command, NULL);
}

static void
test_command_times_out (void)
{
  compare_commands ("--timeout 100ms", "demo.sleep", "3600", "ran longer than it may");
}

/* Ctrl-C once the first item is here. */
static int
interrupt (const char *runner)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GSubprocess) process = g_subprocess_new (
      G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_SILENCE, &error, g_getenv ("STRAND_COMMAND"),
      "run", "--items", "-m", "demo", "-b", runner, "demo.count", "4000000000", NULL);
  char first;

  g_assert_no_error (error);
  g_input_stream_read (g_subprocess_get_stdout_pipe (process), &first, 1, NULL, &error);
  g_assert_no_error (error);
  g_subprocess_send_signal (process, SIGINT);
  while (g_input_stream_skip (g_subprocess_get_stdout_pipe (process), 65536, NULL, &error) > 0)
    ;
  g_subprocess_wait (process, NULL, &error);
  g_assert_no_error (error);
  return g_subprocess_get_if_exited (process) ? g_subprocess_get_exit_status (process)
                                              : 256 + g_subprocess_get_term_sig (process);
}

static void
test_command_is_interrupted (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (runners); i++)
    g_assert_cmpint (interrupt (runners[i]), ==, 5);
}

int
main (int argc, char **argv)
{
  g_autoptr(GError) error = NULL;

  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  strand_registry_load_module (strand_registry_get_default (), "demo", &error);
  g_assert_no_error (error);

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *in_c = g_strdup_printf ("/same-everywhere/c/%s/%u", cases[i].function, i);
      g_autofree char *in_command = g_strdup_printf ("/same-everywhere/command/%s/%u", cases[i].function, i);

      g_test_add_data_func (in_c, &cases[i], test_results_items_and_errors);
      g_test_add_data_func (in_command, &cases[i], test_command);
    }
  g_test_add_func ("/same-everywhere/c/cancel-while-it-runs", test_cancel_while_it_runs);
  g_test_add_func ("/same-everywhere/c/timeout-while-it-runs", test_timeout_while_it_runs);
  g_test_add_func ("/same-everywhere/command/times-out", test_command_times_out);
  g_test_add_func ("/same-everywhere/command/is-interrupted", test_command_is_interrupted);
  return g_test_run ();
}
