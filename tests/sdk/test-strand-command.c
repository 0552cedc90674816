/* test-strand-command.c — the strand command as its users have it: real processes, real files.
 *
 * Every test spawns the built program with a home of its own. What one process stored another one looks at.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include <strand-plugin.h>

#include "../core/waiting.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct
{
  char *home;
  char *config; /* a keyfile whose store never cleans up by itself */
  int status;   /* of the last command; 256 plus the signal's number if one ended it */
  char *out;
  char *err;
} Fixture;

static void
write_file (const char *path, const char *text)
{
  g_autoptr(GError) error = NULL;

  g_file_set_contents (path, text, -1, &error);
  g_assert_no_error (error);
}

static char *
home_path (Fixture *f, const char *name)
{
  return g_build_filename (f->home, name, NULL);
}

static void
set_up (Fixture *f, gconstpointer unused)
{
  g_autofree char *text = NULL;

  f->home = g_dir_make_tmp ("strand-command-XXXXXX", NULL);
  g_assert_nonnull (f->home);
  f->config = home_path (f, "jobs.conf");
  text =
      g_strdup_printf ("[strand]\ndefault-backend=jobs\n\n[store results]\ntype=filesystem\npath=%s/results\n"
                       "auto-cleanup=false\n\n[backend jobs]\ntype=thread\nworkers=4\nstore=results\n",
                       f->home);
  write_file (f->config, text);
}

static void
remove_tree (const char *path)
{
  g_autoptr(GDir) dir = g_file_test (path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open (path, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *child = g_build_filename (path, name, NULL);

      remove_tree (child);
    }
  g_remove (path);
}

static void
tear_down (Fixture *f, gconstpointer unused)
{
  remove_tree (f->home);
  g_free (f->home);
  g_free (f->config);
  g_free (f->out);
  g_free (f->err);
}

static GSubprocess *
spawn (Fixture *f, GSubprocessFlags flags, const char *const *arguments)
{
  g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new (flags);
  g_autoptr(GPtrArray) argv = g_ptr_array_new ();
  g_autoptr(GError) error = NULL;
  GSubprocess *process;

  g_subprocess_launcher_setenv (launcher, "HOME", f->home, TRUE);
  g_subprocess_launcher_setenv (launcher, "XDG_STATE_HOME", f->home, TRUE);
  g_subprocess_launcher_setenv (launcher, "XDG_DATA_HOME", f->home, TRUE);
  g_subprocess_launcher_setenv (launcher, "LC_ALL", "C.UTF-8", TRUE);
  g_subprocess_launcher_set_cwd (launcher, f->home);
  g_ptr_array_add (argv, (gpointer) g_getenv ("STRAND_COMMAND"));
  for (; *arguments != NULL; arguments++)
    g_ptr_array_add (argv, (gpointer) *arguments);
  g_ptr_array_add (argv, NULL);
  process = g_subprocess_launcher_spawnv (launcher, (const char *const *) argv->pdata, &error);
  g_assert_no_error (error);
  return process;
}

#define PIPES                                                                                                \
  (G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE)

/* Waits for the end and keeps what the process said. @input: (nullable): its stdin, which ends then */
static void
finish (Fixture *f, GSubprocess *process, GBytes *input)
{
  g_autoptr(GBytes) nothing = g_bytes_new_static ("", 0);
  g_autoptr(GBytes) out = NULL, err = NULL;
  g_autoptr(GError) error = NULL;

  g_subprocess_communicate (process, input != NULL ? input : nothing, NULL, &out, &err, &error);
  g_assert_no_error (error);
  g_free (f->out);
  g_free (f->err);
  f->out = g_strndup (g_bytes_get_size (out) > 0 ? g_bytes_get_data (out, NULL) : "", g_bytes_get_size (out));
  f->err = g_strndup (g_bytes_get_size (err) > 0 ? g_bytes_get_data (err, NULL) : "", g_bytes_get_size (err));
  f->status = g_subprocess_get_if_exited (process) ? g_subprocess_get_exit_status (process)
                                                   : 256 + g_subprocess_get_term_sig (process);
  /* Bad input is told by the command, never by GLib. */
  g_assert_null (strstr (f->err, "CRITICAL"));
  g_assert_null (strstr (f->err, "WARNING"));
}

static void
run_with_input (Fixture *f, GBytes *input, const char *const *arguments)
{
  g_autoptr(GSubprocess) process = spawn (f, PIPES, arguments);

  finish (f, process, input);
}

#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define strand(f, ...) run_with_input ((f), NULL, WORDS (__VA_ARGS__))
#define demo(f, ...) run_with_input ((f), NULL, WORDS ("-m", "demo", __VA_ARGS__))

#define assert_status(f, expected)                                                                           \
  G_STMT_START                                                                                               \
  {                                                                                                          \
    if ((f)->status != (expected))                                                                           \
      g_test_message ("stdout: %s\nstderr: %s", (f)->out, (f)->err);                                         \
    g_assert_cmpint ((f)->status, ==, (expected));                                                           \
  }                                                                                                          \
  G_STMT_END

#define assert_has(text, part)                                                                               \
  G_STMT_START                                                                                               \
  {                                                                                                          \
    if (strstr ((text), (part)) == NULL)                                                                     \
      g_error ("%s:%d: '%s' is not in '%s'", __FILE__, __LINE__, (part), (text));                            \
  }                                                                                                          \
  G_STMT_END

static const char *const all_commands[] = { "run",     "map",     "status",   "show",    "result",
                                            "wait",    "cancel",  "list",     "cleanup", "functions",
                                            "plugins", "inspect", "check",    "stack",   "conformance",
                                            "launch",  "worker",  "schedule", "retry",   "new" };

static void
test_help_lists_every_command (Fixture *f, gconstpointer unused)
{
  strand (f, "--help");
  assert_status (f, 0);
  g_assert_cmpstr (f->err, ==, "");
  for (guint i = 0; i < G_N_ELEMENTS (all_commands); i++)
    {
      g_autofree char *line = g_strdup_printf ("\n  %s ", all_commands[i]);

      assert_has (f->out, line);
    }
}

static void
test_help_has_an_example_of_each_command (Fixture *f, gconstpointer unused)
{
  for (guint i = 0; i < G_N_ELEMENTS (all_commands); i++)
    {
      g_autofree char *usage = g_strdup_printf ("Usage: strand %s ", all_commands[i]);
      g_autofree char *example = g_strdup_printf ("strand %s", all_commands[i]);

      strand (f, all_commands[i], "--help");
      assert_status (f, 0);
      g_assert_true (g_str_has_prefix (f->out, usage));
      assert_has (f->out, "\nExample:\n");
      assert_has (strstr (f->out, "\nExample:\n"), example);
    }
}

static char *
read_sdk_file (const char *folder, const char *name)
{
  g_autofree char *path = g_build_filename (g_getenv ("STRAND_SDK"), folder, name, NULL);
  g_autoptr(GError) error = NULL;
  char *text = NULL;

  g_file_get_contents (path, &text, NULL, &error);
  g_assert_no_error (error);
  return text;
}

/* Each option that the help of a command names, in the manual (where dashes are escaped) and the completion.
 */
static void
test_manual_and_completion_know_every_option (Fixture *f, gconstpointer unused)
{
  g_autofree char *manual = read_sdk_file ("man", "strand.1");
  g_autofree char *completion = read_sdk_file ("completion", "strand");
  g_autoptr(GRegex) regex = g_regex_new ("^  (?:-.,|   ) (--[a-z-]+)", G_REGEX_MULTILINE, 0, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (all_commands); i++)
    {
      g_autofree char *heading = g_strdup_printf ("\n.SS %s", all_commands[i]);
      g_autofree char *quoted = g_strdup_printf ("\n.SS \"%s ", all_commands[i]);
      g_autoptr(GMatchInfo) match = NULL;
      guint n_options = 0;

      g_assert_true (strstr (manual, heading) != NULL || strstr (manual, quoted) != NULL);
      assert_has (completion, all_commands[i]);
      strand (f, all_commands[i], "--help");
      for (g_regex_match (regex, f->out, 0, &match); g_match_info_matches (match);
           g_match_info_next (match, NULL))
        {
          g_autofree char *option = g_match_info_fetch (match, 1);
          g_auto(GStrv) parts = g_strsplit (option, "-", -1);
          g_autofree char *escaped = g_strjoinv ("\\-", parts);

          assert_has (manual, escaped);
          assert_has (completion, option);
          n_options++;
        }
      g_assert_cmpuint (n_options, >=, 7);
    }
}

/* What bash would offer for the last of @words. */
static void
complete (Fixture *f, const char *words)
{
  g_autofree char *script =
      g_strdup_printf (". \"$STRAND_SDK/completion/strand\"; PATH=\"${STRAND_COMMAND%%/*}:$PATH\"; "
                       "COMP_WORDS=(%s); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _strand; "
                       "printf '%%s\\n' \"${COMPREPLY[@]}\"",
                       words);
  g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new (PIPES);
  g_autoptr(GSubprocess) process = NULL;
  g_autoptr(GError) error = NULL;

  g_subprocess_launcher_setenv (launcher, "XDG_STATE_HOME", f->home, TRUE);
  process = g_subprocess_launcher_spawn (launcher, &error, "bash", "--norc", "-c", script, NULL);
  g_assert_no_error (error);
  finish (f, process, NULL);
}

static void
test_completion_offers_what_there_is (Fixture *f, gconstpointer unused)
{
  g_autofree char *bash = g_find_program_in_path ("bash");

  if (bash == NULL)
    {
      g_test_skip ("there is no bash");
      return;
    }
  demo (f, "run", "demo.echo", "x", "--key", "nightly");
  complete (f, "strand r");
  g_assert_cmpstr (f->out, ==, "run\nretry\nresult\n");
  complete (f, "strand run -m demo demo.f");
  g_assert_cmpstr (f->out, ==, "demo.factorial\ndemo.fail\n");
  complete (f, "strand show ''");
  g_assert_cmpstr (f->out, ==, "nightly\n");
  complete (f, "strand inspect store/f");
  g_assert_cmpstr (f->out, ==, "store/filesystem\n");
  complete (f, "strand new s");
  g_assert_cmpstr (f->out, ==, "store\nserializer\n");
  complete (f, "strand list --status c");
  g_assert_cmpstr (f->out, ==, "completed\ncancelled\n");
  complete (f, "strand list --li");
  g_assert_cmpstr (f->out, ==, "--limit\n");
}

static void
test_version (Fixture *f, gconstpointer unused)
{
  strand (f, "--version");
  assert_status (f, 0);
  g_assert_cmpstr (f->out, ==, "strand " STRAND_VERSION "\n");
}

/* Each line: what is typed, and a part of what is answered. */
static void
test_usage_mistakes (Fixture *f, gconstpointer unused)
{
  static const struct
  {
    const char *words[6];
    const char *answer;
  } mistakes[] = {
    { { NULL }, "Which command?" },
    { { "rnu" }, "There is no command 'rnu'; did you mean 'run'?" },
    { { "\xff" }, "There is no command '\\xff'" },
    { { "" }, "There is no command ''" },
    { { "--jsno" }, "There is no option '--jsno'; did you mean '--json'?" },
    { { "list", "--limt", "3" }, "did you mean '--limit'?" },
    { { "list", "-z" }, "There is no option '-z'" },
    { { "list", "--json=yes" }, "Option '--json' takes no value" },
    { { "list", "--limit" }, "Option '--limit' takes a value: N" },
    { { "list", "--limit", "-3" }, "Option '--limit' takes a whole number" },
    { { "list", "--limit", "many" }, "Option '--limit' takes a whole number" },
    { { "list", "--status", "done" }, "There is no status 'done'" },
    { { "list", "extra" }, "takes no arguments" },
    { { "wait", "key", "--timeout", "5" }, "Option '--timeout'" },
    { { "wait", "key", "--timeout", "\xff" }, "Option '--timeout' takes a duration" },
    { { "run" }, "Which function is to run?" },
    { { "map" }, "Which function is to run?" },
    { { "show" }, "Which key?" },
    { { "inspect" }, "takes one KIND/TYPE" },
    { { "inspect", "nonsense" }, "'nonsense' is no KIND/TYPE" },
    { { "inspect", "store/nonsense" }, "nonsense" },
    { { "check" }, "'check' takes one keyfile" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (mistakes); i++)
    {
      run_with_input (f, NULL, mistakes[i].words);
      assert_status (f, 2);
      assert_has (f->err, mistakes[i].answer);
      g_assert_cmpstr (f->out, ==, "");
    }
}

static void
test_run_prints_the_value (Fixture *f, gconstpointer unused)
{
  static const struct
  {
    const char *words[6];
    const char *out;
  } calls[] = {
    { { "demo.add", "2", "3" }, "5\n" },
    { { "demo.add", "2", "-3" }, "-1\n" },
    { { "demo.add", "--", "-2", "-3" }, "-5\n" },
    { { "demo.add", "2", "-k", "b=3" }, "5\n" },
    { { "demo.add", "-ka=2", "--keyword=b=-3" }, "-1\n" },
    { { "demo.echo", "hello" }, "hello\n" },
    { { "demo.echo", "two words" }, "two words\n" },
    { { "demo.echo", "'quoted'" }, "quoted\n" },
    { { "demo.echo", "'tis" }, "'tis\n" },
    { { "demo.echo", "" }, "\n" },
    { { "demo.echo", "naïve ☃" }, "naïve ☃\n" },
    { { "demo.factorial", "0" }, "1\n" },
    { { "demo.factorial", "25" }, "15511210043330985984000000\n" },
    { { "demo.sleep", "0" }, "0.0\n" },
    { { "demo.spin", ".001" }, "0.001\n" },
    { { "demo.primes", "30" }, "[2, 3, 5, 7, 11, 13, 17, 19, 23, 29]\n" },
    { { "demo.count", "3" }, "3\n" },
    { { "demo.count", "3", "--items" }, "0\n1\n2\n3\n" },
    { { "demo.add", "2", "3", "-b", "sync" }, "5\n" },
    { { "demo.add", "2", "3", "-b", "thread" }, "5\n" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (calls); i++)
    {
      g_autoptr(GPtrArray) words = g_ptr_array_new ();

      g_ptr_array_add (words, (gpointer) "run");
      g_ptr_array_add (words, (gpointer) "-mdemo");
      for (guint j = 0; j < G_N_ELEMENTS (calls[i].words) && calls[i].words[j] != NULL; j++)
        g_ptr_array_add (words, (gpointer) calls[i].words[j]);
      g_ptr_array_add (words, NULL);
      run_with_input (f, NULL, (const char *const *) words->pdata);
      assert_status (f, 0);
      g_assert_cmpstr (f->out, ==, calls[i].out);
      g_assert_cmpstr (f->err, ==, "");
    }
}

/* 3000! from the command, against digits made by schoolbook multiplication here. */
static void
test_run_factorial_is_exact (Fixture *f, gconstpointer unused)
{
  g_autoptr(GArray) digits = g_array_new (FALSE, FALSE, 1);
  g_autoptr(GString) text = g_string_new (NULL);
  guint8 one = 1;

  g_array_append_val (digits, one);
  for (guint k = 2; k <= 3000; k++)
    {
      guint carry = 0;

      for (guint i = 0; i < digits->len || carry > 0; i++)
        {
          guint8 digit;

          carry += i < digits->len ? g_array_index (digits, guint8, i) * k : 0;
          digit = carry % 10;
          if (i < digits->len)
            g_array_index (digits, guint8, i) = digit;
          else
            g_array_append_val (digits, digit);
          carry /= 10;
        }
    }
  for (guint i = digits->len; i > 0; i--)
    g_string_append_c (text, (char) ('0' + g_array_index (digits, guint8, i - 1)));
  g_string_append_c (text, '\n');

  demo (f, "run", "demo.factorial", "3000");
  assert_status (f, 0);
  g_assert_cmpstr (f->out, ==, text->str);
}

static void
test_run_wrong_arguments (Fixture *f, gconstpointer unused)
{
  static const struct
  {
    const char *words[5];
    const char *answer;
  } calls[] = {
    { { "demo.add", "2" }, "argument 'b' is missing" },
    { { "demo.add", "2", "3", "4" }, "'demo.add' takes 2 arguments, not 3" },
    { { "demo.add", "2", "x" }, "Argument 'b' takes type 'x', a whole number; 'x' cannot be read as that" },
    { { "demo.add", "99999999999999999999", "1" }, "Argument 'a' takes type 'x'" },
    { { "demo.add", "", "1" }, "Argument 'a' takes type 'x'" },
    { { "demo.count", "-1" }, "Argument 'n' takes type 'u', a 32-bit number, 0 or more" },
    { { "demo.add", "2", "-k", "c=3" }, "no parameter 'c'" },
    { { "demo.add", "2", "3", "-k", "b=3" }, "'b'" },
    { { "demo.add", "2", "-k", "b" }, "write -k NAME=VALUE" },
    { { "demo.add", "2", "-k", "b=x" }, "Argument 'b' takes type 'x'" },
    { { "demo.echo", "\xff" }, "Argument 'text' is '\\xff', which is not UTF-8 text" },
    { { "demo.ehco", "x" }, "did you mean 'demo.echo'?" },
    { { "\xff" }, "There is no function '\\xff'" },
    { { "demo.echo", "x", "--key", "../x" }, "'../x' is no key" },
    { { "demo.echo", "x", "-b", "nowhere" }, "There is no target 'nowhere'" },
    { { "demo.echo", "x", "-m", "nowhere" }, "Could not load module 'nowhere'" },
    { { "demo.echo", "x", "-m", "/etc/passwd" }, "Could not load module '/etc/passwd'" },
    { { "demo.echo", "x", "-c", "/nowhere.conf" }, "/nowhere.conf: the keyfile cannot be read" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (calls); i++)
    {
      g_autoptr(GPtrArray) words = g_ptr_array_new ();

      g_ptr_array_add (words, (gpointer) "run");
      g_ptr_array_add (words, (gpointer) "-mdemo");
      for (guint j = 0; j < G_N_ELEMENTS (calls[i].words) && calls[i].words[j] != NULL; j++)
        g_ptr_array_add (words, (gpointer) calls[i].words[j]);
      g_ptr_array_add (words, NULL);
      run_with_input (f, NULL, (const char *const *) words->pdata);
      assert_status (f, 2);
      assert_has (f->err, calls[i].answer);
      g_assert_cmpstr (f->out, ==, "");
    }
}

static void
test_run_without_module_says_how (Fixture *f, gconstpointer unused)
{
  strand (f, "run", "demo.echo", "x");
  assert_status (f, 2);
  assert_has (f->err, "load the module that has it with -m");
}

static void
test_run_failure_is_told_on_stderr (Fixture *f, gconstpointer unused)
{
  demo (f, "run", "demo.fail", "the disk is full");
  assert_status (f, 1);
  g_assert_cmpstr (f->out, ==, "");
  g_assert_cmpstr (f->err, ==, "strand: the disk is full\n");
}

static void
test_run_timeout (Fixture *f, gconstpointer unused)
{
  demo (f, "run", "demo.sleep", "600", "--timeout", "10ms");
  assert_status (f, 3);
  g_assert_cmpstr (f->out, ==, "");
}

static void
test_run_existing_key (Fixture *f, gconstpointer unused)
{
  demo (f, "run", "demo.echo", "first", "--key", "mine");
  assert_status (f, 0);
  demo (f, "run", "demo.echo", "second", "--key", "mine");
  assert_status (f, 1);
  assert_has (f->err, "mine");
  strand (f, "result", "mine");
  g_assert_cmpstr (f->out, ==, "first\n");
}

/* On a thread of the command itself, a crash is the command's. */
static void
test_run_crash_loses_nothing_stored (Fixture *f, gconstpointer unused)
{
  demo (f, "run", "-c", f->config, "demo.echo", "kept", "--key", "kept");
  demo (f, "run", "-c", f->config, "demo.crash", "9", "--key", "doomed");
  assert_status (f, 256 + SIGKILL);
  strand (f, "result", "kept", "-c", f->config);
  assert_status (f, 0);
  g_assert_cmpstr (f->out, ==, "kept\n");
}

/* Runs @text through python3's own parser; a machine without it has only the parts looked for elsewhere. */
static void
assert_is_json (const char *text)
{
  g_autofree char *python = g_find_program_in_path ("python3");
  g_autoptr(GSubprocess) process = NULL;
  g_autoptr(GError) error = NULL;

  if (python == NULL)
    return;
  process = g_subprocess_new (G_SUBPROCESS_FLAGS_STDIN_PIPE, &error, python, "-c",
                              "import json,sys; json.loads(sys.stdin.buffer.read().decode())", NULL);
  g_assert_no_error (error);
  g_subprocess_communicate_utf8 (process, text, NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  if (!g_subprocess_get_successful (process))
    g_error ("no JSON: %s", text);
}

static void
test_json_everywhere (Fixture *f, gconstpointer unused)
{
  static const char *const commands[][4] = {
    { "list" },
    { "show", "one" },
    { "show", "one", "two" },
    { "status", "one" },
    { "result", "one" },
    { "result", "one", "two" },
    { "wait", "one" },
    { "cleanup" },
    { "status", "one", "two" },
    { "functions" },
    { "plugins" },
    { "inspect", "store/filesystem" },
    { "stack" },
    { "check", "jobs.conf" },
    { "list", "--limit", "0" },
  };

  demo (f, "run", "--json", "demo.echo", "\"quotes\" and\nnewlines", "--key", "one");
  assert_status (f, 0);
  assert_is_json (f->out);
  assert_has (f->out, "\"key\":\"one\",\"status\":\"completed\",\"type\":\"s\"");
  demo (f, "run", "--json", "demo.primes", "10", "--key", "two");
  assert_is_json (f->out);
  assert_has (f->out, "\"value\":[2,3,5,7]");
  demo (f, "run", "--json", "demo.fail", "oops");
  assert_status (f, 1);
  assert_is_json (f->out);
  assert_has (f->out, "\"message\":\"oops\"");

  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    {
      const char *words[8] = { "-m", "demo", "--json" };

      for (guint j = 0; j < 4 && commands[i][j] != NULL; j++)
        words[3 + j] = commands[i][j];
      run_with_input (f, NULL, words);
      assert_status (f, 0);
      assert_is_json (f->out);
    }
}

static void
test_map_keeps_order (Fixture *f, gconstpointer unused)
{
  g_autoptr(GString) input = g_string_new (NULL);
  g_autoptr(GBytes) bytes = NULL;

  /* The earlier ones take longer. Sixty-fourths have short decimals. */
  for (guint i = 19; i > 0; i--)
    g_string_append_printf (input, "%g\n", i / 64.0);
  bytes = g_bytes_new (input->str, input->len);
  run_with_input (f, bytes, WORDS ("map", "-m", "demo", "demo.sleep", "--jobs", "8"));
  assert_status (f, 0);
  g_assert_cmpstr (f->out, ==, input->str);
}

static void
test_map_failed_line_keeps_its_place (Fixture *f, gconstpointer unused)
{
  g_autoptr(GBytes) input = g_bytes_new_static ("1 2\nx y\n'3' 4\n\n'open\n5 6", 24);

  run_with_input (f, input, WORDS ("map", "-m", "demo", "demo.add"));
  assert_status (f, 1);
  g_assert_cmpstr (f->out, ==, "3\n\n7\n\n\n11\n");
  assert_has (f->err, "line 2 'x y': Argument 'a' takes type 'x'");
  assert_has (f->err, "line 4 '': ");
  assert_has (f->err, "line 5 ''open': ");
}

static void
test_map_splits_as_a_shell (Fixture *f, gconstpointer unused)
{
  g_autoptr(GBytes) input = g_bytes_new_static (" \"1\"   2 # three\n", 17);

  run_with_input (f, input, WORDS ("map", "-m", "demo", "demo.add"));
  assert_status (f, 0);
  g_assert_cmpstr (f->out, ==, "3\n");
}

static void
test_map_one_string_takes_lines_whole (Fixture *f, gconstpointer unused)
{
  g_autoptr(GBytes) lines = g_bytes_new_static ("  'a b' \n\n\"c", 12);
  g_autoptr(GBytes) pieces = g_bytes_new_static ("a\nb\0c", 5);
  g_autoptr(GBytes) nothing = g_bytes_new_static ("", 0);

  run_with_input (f, lines, WORDS ("map", "-m", "demo", "demo.echo"));
  assert_status (f, 0);
  g_assert_cmpstr (f->out, ==, "  'a b' \n\n\"c\n");
  run_with_input (f, pieces, WORDS ("map", "-0", "-m", "demo", "demo.echo"));
  assert_status (f, 0);
  g_assert_cmpstr (f->out, ==, "a\nb\nc\n");
  run_with_input (f, pieces, WORDS ("map", "-m", "demo", "demo.echo"));
  assert_status (f, 1);
  assert_has (f->err, "line 2 'b': the line has a NUL byte; use -0?");
  run_with_input (f, nothing, WORDS ("map", "-m", "demo", "demo.echo"));
  assert_status (f, 0);
  g_assert_cmpstr (f->out, ==, "");
}

static void
test_map_bad_utf8_names_the_cure (Fixture *f, gconstpointer unused)
{
  g_autoptr(GBytes) input = g_bytes_new_static ("good\n\xff\n", 7);

  run_with_input (f, input, WORDS ("map", "-m", "demo", "demo.echo"));
  assert_status (f, 1);
  g_assert_cmpstr (f->out, ==, "good\n\n");
  assert_has (f->err, "line 2 '\\xff': the line is not UTF-8 text; if lines are file names, use --files");
}

static void
test_map_missing_input (Fixture *f, gconstpointer unused)
{
  demo (f, "map", "demo.echo", "--input", "/nowhere");
  assert_status (f, 2);
  assert_has (f->err, "Could not open the input: ");
  demo (f, "map", "demo.echo", "--input", ".");
  assert_status (f, 2);
}

/* Files whose names are as odd as the system allows, each with its own name as content. */
static void
test_map_files_of_any_name (Fixture *f, gconstpointer unused)
{
  static const char *const names[] = {
    "plain",       "two words",  " leading",           "trailing ", "new\nline", "tab\t",
    "'single'",    "\"double\"", "back\\slash",        "$HOME",     "-0",        "*",
    "bad\xff\xfe", "file:x",     "file:///etc/passwd", "%41",       "naïve",     "\x01\x7f"
  };
  g_autoptr(GByteArray) input = g_byte_array_new ();
  g_autoptr(GString) expected = g_string_new (NULL);
  g_autoptr(GBytes) bytes = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *flat = g_strdelimit (g_strdup (names[i]), "/", '_');
      g_autofree char *path = home_path (f, flat);
      g_autofree char *digest = g_compute_checksum_for_string (G_CHECKSUM_SHA256, flat, -1);
      g_autoptr(GError) error = NULL;

      g_file_set_contents (path, flat, -1, &error);
      g_assert_no_error (error);
      /* Relative names, too: a URI has to be made of them. */
      g_byte_array_append (input, (const guint8 *) (i % 2 ? path : flat),
                           (guint) strlen (i % 2 ? path : flat) + 1);
      g_string_append_printf (expected, "%s\n", digest);
    }
  bytes = g_bytes_new (input->data, input->len);
  run_with_input (f, bytes, WORDS ("map", "-m", "demo", "demo.sha256", "-0", "--files"));
  assert_status (f, 0);
  g_assert_cmpstr (f->out, ==, expected->str);
}

static void
test_sha256_says_what_is_no_file (Fixture *f, gconstpointer unused)
{
  g_autofree char *fifo = home_path (f, "fifo");

  g_assert_cmpint (mkfifo (fifo, 0600), ==, 0);
  demo (f, "run", "demo.sha256", "nowhere");
  assert_status (f, 1);
  assert_has (f->err, "Could not hash 'nowhere': No such file or directory");
  demo (f, "run", "demo.sha256", "fifo");
  assert_status (f, 1);
  assert_has (f->err, "it is no regular file");
  demo (f, "run", "demo.sha256", ".");
  assert_status (f, 1);
  demo (f, "run", "demo.sha256", "file:relative");
  assert_status (f, 1);
}

static char *
read_line (GDataInputStream *stream)
{
  g_autoptr(GError) error = NULL;
  char *line = g_data_input_stream_read_line (stream, NULL, NULL, &error);

  g_assert_no_error (error);
  return line;
}

static void
write_line (GSubprocess *process, const char *line)
{
  g_autoptr(GError) error = NULL;
  GOutputStream *pipe = g_subprocess_get_stdin_pipe (process);

  g_output_stream_write_all (pipe, line, strlen (line), NULL, NULL, &error);
  g_assert_no_error (error);
}

/* A value comes while the input is still open: nothing waits for its end. */
static void
test_map_streams (Fixture *f, gconstpointer unused)
{
  g_autoptr(GSubprocess) process = spawn (f, PIPES, WORDS ("map", "-m", "demo", "demo.add"));
  g_autoptr(GDataInputStream) out = g_data_input_stream_new (g_subprocess_get_stdout_pipe (process));
  g_autofree char *first = NULL;
  g_autofree char *second = NULL;

  write_line (process, "2 3\n");
  first = read_line (out);
  g_assert_cmpstr (first, ==, "5");
  write_line (process, "4 5\n");
  second = read_line (out);
  g_assert_cmpstr (second, ==, "9");
  finish (f, process, NULL);
  assert_status (f, 0);
}

/* Waits until another process sees @key in @status. */
static void
await_status (Fixture *f, const char *key, const char *status)
{
  gint64 deadline_us = g_get_monotonic_time () + DEADLINE_US;
  g_autofree char *line = g_strconcat (status, "\n", NULL);

  do
    {
      strand (f, "status", key, "-c", f->config);
      g_assert_cmpint (g_get_monotonic_time (), <, deadline_us);
    }
  while (strcmp (f->out, line) != 0);
}

static void
test_interrupt_run (Fixture *f, gconstpointer unused)
{
  g_autoptr(GSubprocess) process =
      spawn (f, PIPES, WORDS ("run", "-m", "demo", "-c", f->config, "demo.sleep", "600", "--key", "long"));

  await_status (f, "long", "running");
  g_subprocess_send_signal (process, SIGINT);
  finish (f, process, NULL);
  assert_status (f, 5);
  g_assert_cmpstr (f->out, ==, "");
  assert_has (f->err, "interrupted: the call 'long' was cancelled");
  strand (f, "status", "long", "-c", f->config);
  g_assert_cmpstr (f->out, ==, "cancelled\n");
}

/* Waits until so many calls run at once. */
static void
await_n_running (Fixture *f, guint n_running)
{
  gint64 deadline_us = g_get_monotonic_time () + DEADLINE_US;
  guint n_lines;

  do
    {
      g_auto(GStrv) lines = NULL;

      strand (f, "list", "--status", "running", "-c", f->config);
      lines = g_strsplit (f->out, "\n", -1);
      n_lines = g_strv_length (lines) - 1;
      g_assert_cmpint (g_get_monotonic_time (), <, deadline_us);
    }
  while (n_lines < n_running);
  g_assert_cmpuint (n_lines, ==, n_running);
}

static void
test_interrupt_map_says_how_far (Fixture *f, gconstpointer unused)
{
  g_autoptr(GSubprocess) process =
      spawn (f, PIPES, WORDS ("map", "-m", "demo", "-c", f->config, "demo.sleep", "--jobs", "2"));
  g_autoptr(GDataInputStream) out = g_data_input_stream_new (g_subprocess_get_stdout_pipe (process));
  g_autofree char *first = NULL;

  write_line (process, "0\n600\n600\n600\n");
  first = read_line (out);
  g_assert_cmpstr (first, ==, "0.0");
  await_n_running (f, 2);
  g_subprocess_send_signal (process, SIGINT);
  finish (f, process, NULL);
  assert_status (f, 5);
  /* What did not end well is counted, not listed. */
  g_assert_cmpstr (f->err, ==, "strand: interrupted after 3 lines: 1 done, 0 failed, 2 cancelled\n");
  strand (f, "list", "-c", f->config, "--status", "running");
  g_assert_cmpstr (f->out, ==, "");
}

/* A function that does not listen holds the first Ctrl-C up, but not the second. */
static void
test_second_interrupt_ends_at_once (Fixture *f, gconstpointer unused)
{
  g_autoptr(GSubprocess) process =
      spawn (f, PIPES, WORDS ("run", "-m", "demo", "-c", f->config, "demo.spin", "600", "--key", "deaf"));
  gint64 deadline_us = g_get_monotonic_time () + DEADLINE_US;

  await_status (f, "deaf", "running");
  while (g_subprocess_get_identifier (process) != NULL)
    {
      g_subprocess_send_signal (process, SIGINT);
      g_main_context_iteration (NULL, FALSE);
      g_assert_cmpint (g_get_monotonic_time (), <, deadline_us);
    }
  finish (f, process, NULL);
  assert_status (f, 5);
  g_assert_cmpstr (f->err, ==, "\nstrand: interrupted\n");
}

static void
test_key_from_another_process (Fixture *f, gconstpointer unused)
{
  demo (f, "run", "demo.add", "2", "3", "--key", "sum", "--ttl", "1d");
  assert_status (f, 0);

  strand (f, "status", "sum");
  g_assert_cmpstr (f->out, ==, "completed\n");
  strand (f, "result", "sum");
  g_assert_cmpstr (f->out, ==, "5\n");
  strand (f, "wait", "sum");
  assert_status (f, 0);
  strand (f, "show", "sum");
  assert_has (f->out, "key            sum\nfunction       demo.add\nstatus         completed\n"
                      "arguments      (2, 3)\nvalue          5\n");
  assert_has (f->out, "\nttl            1d\n");
  strand (f, "list");
  g_assert_true (g_str_has_prefix (f->out, "sum\tcompleted\tdemo.add\t"));
}

static void
test_failed_call_from_another_process (Fixture *f, gconstpointer unused)
{
  demo (f, "run", "demo.fail", "no luck", "--key", "bad");
  strand (f, "result", "bad");
  assert_status (f, 1);
  g_assert_cmpstr (f->err, ==, "strand: no luck\n");
  strand (f, "wait", "bad");
  assert_status (f, 1);
  strand (f, "show", "bad");
  assert_status (f, 0);
  assert_has (f->out, "no luck");
}

static void
test_running_call_from_another_process (Fixture *f, gconstpointer unused)
{
  g_autoptr(GSubprocess) process =
      spawn (f, PIPES, WORDS ("run", "-m", "demo", "-c", f->config, "demo.sleep", "600", "--key", "long"));

  await_status (f, "long", "running");
  strand (f, "result", "long", "-c", f->config);
  assert_status (f, 1);
  g_assert_cmpstr (f->err, ==,
                   "strand: The call 'long' of 'demo.sleep' is still running; --timeout waits for it\n");
  strand (f, "result", "long", "-c", f->config, "--timeout", "1ms");
  assert_status (f, 3);
  strand (f, "wait", "long", "-c", f->config, "--timeout", "1ms");
  assert_status (f, 3);
  assert_has (f->err, "The call 'long' is still running");

  strand (f, "cancel", "long", "-c", f->config);
  assert_status (f, 0);
  strand (f, "wait", "long", "-c", f->config);
  assert_status (f, 5);
  finish (f, process, NULL);
  assert_status (f, 5);
  strand (f, "result", "long", "-c", f->config);
  assert_status (f, 5);
  strand (f, "cancel", "long", "-c", f->config);
  assert_status (f, 1);
  assert_has (f->err, "Could not cancel call 'long': it has ended already: it is cancelled");
}

static void
test_bad_keys (Fixture *f, gconstpointer unused)
{
  static const char *const commands[] = { "status", "show", "result", "wait", "cancel" };
  g_autofree char *huge = g_strnfill (4096, 'a');

  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    {
      strand (f, commands[i], "nobody");
      assert_status (f, 4);
      assert_has (f->err, "'nobody'");
      strand (f, commands[i], "../x");
      assert_status (f, 2);
      strand (f, commands[i], "");
      assert_status (f, 2);
      strand (f, commands[i], huge);
      assert_status (f, 2);
      g_assert_cmpuint (strlen (f->err), <, 300);
      strand (f, commands[i], "\xff");
      assert_status (f, 2);
    }
}

static void
test_several_keys_each_get_their_turn (Fixture *f, gconstpointer unused)
{
  demo (f, "run", "demo.echo", "one", "--key", "k1");
  demo (f, "run", "demo.echo", "two", "--key", "k2");
  strand (f, "result", "k1", "nobody", "k2");
  assert_status (f, 4);
  g_assert_cmpstr (f->out, ==, "one\ntwo\n");
  strand (f, "status", "k1", "nobody", "k2");
  assert_status (f, 4);
  g_assert_cmpstr (f->out, ==, "k1\tcompleted\nk2\tcompleted\n");
}

static void
test_taskrunner_keeps_no_records (Fixture *f, gconstpointer unused)
{
  strand (f, "list", "-b", "thread");
  assert_status (f, 2);
  assert_has (f->err, "'thread' is a taskrunner and keeps no records");
}

/* More records than a page has. */
static void
test_list_pages (Fixture *f, gconstpointer unused)
{
  g_autoptr(GString) input = g_string_new (NULL);
  g_autoptr(GHashTable) keys = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr(GBytes) bytes = NULL;
  g_auto(GStrv) lines = NULL;

  for (guint i = 0; i < 1100; i++)
    g_string_append_printf (input, "%u\n", i);
  bytes = g_bytes_new (input->str, input->len);
  run_with_input (f, bytes, WORDS ("map", "-m", "demo", "demo.echo", "-c", f->config, "-q"));
  assert_status (f, 0);
  g_assert_cmpstr (f->out, ==, input->str);
  demo (f, "run", "-c", f->config, "demo.fail", "x");

  strand (f, "list", "-c", f->config, "--status", "completed");
  lines = g_strsplit (f->out, "\n", -1);
  for (guint i = 0; lines[i] != NULL && *lines[i] != '\0'; i++)
    {
      *strchr (lines[i], '\t') = '\0';
      g_assert_true (g_hash_table_add (keys, lines[i]));
    }
  g_assert_cmpuint (g_hash_table_size (keys), ==, 1100);

  g_clear_pointer (&lines, g_strfreev);
  strand (f, "list", "-c", f->config, "--limit", "7");
  lines = g_strsplit (f->out, "\n", -1);
  g_assert_cmpuint (g_strv_length (lines), ==, 8);
  strand (f, "list", "-c", f->config, "--queue", "nobody's");
  assert_status (f, 0);
  g_assert_cmpstr (f->out, ==, "");
}

static void
tear_record (const char *folder)
{
  g_autoptr(GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (folder, name, NULL);

      if (g_file_test (path, G_FILE_TEST_IS_DIR))
        tear_record (path);
      else if (g_str_has_prefix (name, "torn"))
        g_assert_cmpint (truncate (path, 20), ==, 0);
    }
}

static void
test_list_names_unreadable_files (Fixture *f, gconstpointer unused)
{
  g_autofree char *folder = home_path (f, "results");

  demo (f, "run", "-c", f->config, "demo.echo", "x", "--key", "torn");
  demo (f, "run", "-c", f->config, "demo.echo", "x", "--key", "whole");
  tear_record (folder);
  strand (f, "list", "-c", f->config);
  assert_status (f, 0);
  g_assert_true (g_str_has_prefix (f->out, "whole\tcompleted"));
  assert_has (f->err, "torn");
  strand (f, "result", "torn", "-c", f->config);
  assert_status (f, 1);
  assert_has (f->err, "torn");
}

static void
test_cleanup_counts (Fixture *f, gconstpointer unused)
{
  demo (f, "run", "-c", f->config, "demo.echo", "x", "--ttl", "1us");
  demo (f, "run", "-c", f->config, "demo.echo", "x", "--key", "kept");
  strand (f, "cleanup", "-c", f->config);
  assert_status (f, 0);
  g_assert_cmpstr (f->out, ==, "1 removed\n");
  strand (f, "cleanup", "-c", f->config);
  g_assert_cmpstr (f->out, ==, "0 removed\n");
  strand (f, "status", "kept", "-c", f->config);
  assert_status (f, 0);
}

static void
test_functions (Fixture *f, gconstpointer unused)
{
  strand (f, "functions", "-m", "demo");
  assert_status (f, 0);
  g_assert_cmpstr (
      f->out, ==,
      "demo.add\ta:x b:x -> x\tAdds two integers\n"
      "demo.count\tn:u -> u\tEmits 0 to n-1, with progress\n"
      "demo.crash\tsignal:i\tRaises a signal on its own process\n"
      "demo.echo\ttext:s -> s\tGives back its argument\n"
      "demo.factorial\tn:t -> s\tn! in decimal digits, exactly\n"
      "demo.fail\tmessage:s\tFails with a message\n"
      "demo.primes\tlimit:t -> at\tThe primes up to a limit\n"
      "demo.sha256\tfile:s -> s\tSHA-256 of a file's content, in hex; takes a name or a file: URI\n"
      "demo.sleep\tseconds:d -> d\tSleeps; stops when cancelled\n"
      "demo.spawn\tseconds:d -> i\tStarts a process that sleeps, and gives its id\n"
      "demo.spin\tseconds:d -> d\tKeeps a processor busy and does not listen to cancellation\n");
  strand (f, "functions");
  assert_status (f, 0);
  g_assert_cmpstr (f->out, ==, "");
  assert_has (f->err, "There are no functions");
}

static void
test_modules_of_the_keyfile (Fixture *f, gconstpointer unused)
{
  g_autofree char *text = NULL;
  g_autofree char *longer = NULL;
  g_auto(GStrv) folders = g_strsplit (g_getenv ("STRAND_MODULE_PATH"), ":", -1);

  g_assert_true (g_file_get_contents (f->config, &text, NULL, NULL));
  longer = g_strdup_printf ("[strand]\nmodules=%s/demo.so\n%s", folders[0], text + strlen ("[strand]\n"));
  write_file (f->config, longer);
  strand (f, "run", "-c", f->config, "demo.add", "2", "3");
  assert_status (f, 0);
  g_assert_cmpstr (f->out, ==, "5\n");
}

static void
test_plugins_lists_the_bad_ones_too (Fixture *f, gconstpointer unused)
{
  g_autofree char *folder = g_build_filename (f->home, "strand-1", "plugins", NULL);
  g_autofree char *junk = g_build_filename (folder, "junk-store.so", NULL);

  g_assert_cmpint (g_mkdir_with_parents (folder, 0700), ==, 0);
  write_file (junk, "not a plugin");
  strand (f, "plugins");
  assert_status (f, 0);
  assert_has (f->out, "store\tfilesystem\t" STRAND_VERSION "\tavailable\t");
  assert_has (f->out, "taskrunner\tthread\t");
  assert_has (f->out, "\trefused\t");
  assert_has (f->out, "junk-store.so");
  assert_has (f->out, "it is not a shared object");
}

static void
test_inspect (Fixture *f, gconstpointer unused)
{
  strand (f, "inspect", "store/filesystem");
  assert_status (f, 0);
  g_assert_true (g_str_has_prefix (f->out, "store/filesystem  "));
  assert_has (f->out, "\n  path  string  [required]\n");
  assert_has (f->out, "\n  ttl  duration: none, or 0 or more  default none\n");
  assert_has (f->out, "\n  max-record-size  size: none, or 0 or more  default 64MiB\n");
  assert_has (f->out, "\n  auto-cleanup  boolean: true, false  default true\n");
  strand (f, "inspect", "--file", "jobs.conf");
  assert_status (f, 2);
  assert_has (f->err, "jobs.conf");
  strand (f, "inspect", "--file", "nowhere.so");
  assert_status (f, 2);
}

static void
test_check_finds_all_mistakes (Fixture *f, gconstpointer unused)
{
  g_autofree char *bad = home_path (f, "bad.conf");

  strand (f, "check", "jobs.conf");
  assert_status (f, 0);
  g_assert_cmpstr (f->out, ==, "jobs.conf: no mistakes\n");

  write_file (bad, "[strand]\ndefault-backend=jbos\n[backend jobs]\ntype=thread\nworkers=many\n");
  strand (f, "check", "bad.conf");
  assert_status (f, 2);
  assert_has (f->out, "bad.conf:2: [strand] default-backend: ");
  assert_has (f->out, "\nbad.conf:5: [backend jobs] workers: ");
  demo (f, "run", "-c", "bad.conf", "demo.echo", "x");
  assert_status (f, 2);
  assert_has (f->err, "bad.conf:5: ");
}

static void
test_stack_is_drawn (Fixture *f, gconstpointer unused)
{
  strand (f, "stack", "jobs.conf");
  assert_status (f, 0);
  assert_has (f->out, "backend jobs (default)");
  strand (f, "stack");
  assert_status (f, 0);
  assert_has (f->out, "stack built-in\n");
}

/* The reader leaves: the command ends without a word. */
static void
test_broken_pipe_is_quiet (Fixture *f, gconstpointer unused)
{
  g_autoptr(GSubprocess) process = NULL;
  g_autoptr(GBytes) err = NULL;
  GInputStream *out;

  process = spawn (f, PIPES, WORDS ("map", "-m", "demo", "demo.sleep", "--jobs", "2"));
  out = g_subprocess_get_stdout_pipe (process);
  g_assert_true (g_input_stream_close (out, NULL, NULL));
  /* What still runs is cancelled, which is no news either. */
  write_line (process, "0\n600\n600\n");
  /* The input stays open: it is the output's end that ends the command. */
  err = g_input_stream_read_bytes (g_subprocess_get_stderr_pipe (process), 4096, NULL, NULL);
  g_assert_cmpuint (g_bytes_get_size (err), ==, 0);
  g_assert_true (g_subprocess_wait (process, NULL, NULL));
  g_assert_true (g_subprocess_get_if_exited (process));
  g_assert_cmpint (g_subprocess_get_exit_status (process), ==, 0);
}

static void
test_full_output_is_told (Fixture *f, gconstpointer unused)
{
  g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_STDERR_PIPE);
  g_autoptr(GSubprocess) process = NULL;
  g_autofree char *err = NULL;
  g_autoptr(GError) error = NULL;

  if (g_access ("/dev/full", W_OK) != 0)
    {
      g_test_skip ("there is no /dev/full");
      return;
    }
  g_subprocess_launcher_set_stdout_file_path (launcher, "/dev/full");
  process = g_subprocess_launcher_spawn (launcher, &error, g_getenv ("STRAND_COMMAND"), "--help", NULL);
  g_assert_no_error (error);
  g_subprocess_communicate_utf8 (process, NULL, NULL, NULL, &err, &error);
  g_assert_no_error (error);
  g_assert_cmpint (g_subprocess_get_exit_status (process), ==, 1);
  g_assert_cmpstr (err, ==, "strand: Could not write the output: No space left on device\n");
}

static void
test_spawn_starts_a_process (Fixture *f, gconstpointer unused)
{
  pid_t pid;

  demo (f, "run", "demo.spawn", "600");
  assert_status (f, 0);
  pid = (pid_t) g_ascii_strtoll (f->out, NULL, 10);
  g_assert_cmpint (pid, >, 1);
  g_assert_cmpint (kill (pid, SIGKILL), ==, 0);
}

#define ADD(path, func) g_test_add ("/strand-command/" path, Fixture, NULL, set_up, func, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);

  ADD ("help/lists-every-command", test_help_lists_every_command);
  ADD ("help/has-an-example-of-each-command", test_help_has_an_example_of_each_command);
  ADD ("help/manual-and-completion-know-every-option", test_manual_and_completion_know_every_option);
  ADD ("help/completion-offers-what-there-is", test_completion_offers_what_there_is);
  ADD ("help/version", test_version);
  ADD ("usage/mistakes", test_usage_mistakes);
  ADD ("run/prints-the-value", test_run_prints_the_value);
  ADD ("run/factorial-is-exact", test_run_factorial_is_exact);
  ADD ("run/wrong-arguments", test_run_wrong_arguments);
  ADD ("run/without-module-says-how", test_run_without_module_says_how);
  ADD ("run/failure-is-told-on-stderr", test_run_failure_is_told_on_stderr);
  ADD ("run/timeout", test_run_timeout);
  ADD ("run/existing-key", test_run_existing_key);
  ADD ("run/crash-loses-nothing-stored", test_run_crash_loses_nothing_stored);
  ADD ("run/spawn-starts-a-process", test_spawn_starts_a_process);
  ADD ("json/everywhere", test_json_everywhere);
  ADD ("map/keeps-order", test_map_keeps_order);
  ADD ("map/failed-line-keeps-its-place", test_map_failed_line_keeps_its_place);
  ADD ("map/splits-as-a-shell", test_map_splits_as_a_shell);
  ADD ("map/one-string-takes-lines-whole", test_map_one_string_takes_lines_whole);
  ADD ("map/bad-utf8-names-the-cure", test_map_bad_utf8_names_the_cure);
  ADD ("map/missing-input", test_map_missing_input);
  ADD ("map/files-of-any-name", test_map_files_of_any_name);
  ADD ("map/sha256-says-what-is-no-file", test_sha256_says_what_is_no_file);
  ADD ("map/streams", test_map_streams);
  ADD ("interrupt/run", test_interrupt_run);
  ADD ("interrupt/map-says-how-far", test_interrupt_map_says_how_far);
  ADD ("interrupt/second-ends-at-once", test_second_interrupt_ends_at_once);
  ADD ("records/key-from-another-process", test_key_from_another_process);
  ADD ("records/failed-call-from-another-process", test_failed_call_from_another_process);
  ADD ("records/running-call-from-another-process", test_running_call_from_another_process);
  ADD ("records/bad-keys", test_bad_keys);
  ADD ("records/several-keys-each-get-their-turn", test_several_keys_each_get_their_turn);
  ADD ("records/taskrunner-keeps-none", test_taskrunner_keeps_no_records);
  ADD ("list/pages", test_list_pages);
  ADD ("list/names-unreadable-files", test_list_names_unreadable_files);
  ADD ("cleanup/counts", test_cleanup_counts);
  ADD ("functions/golden", test_functions);
  ADD ("functions/modules-of-the-keyfile", test_modules_of_the_keyfile);
  ADD ("plugins/lists-the-bad-ones-too", test_plugins_lists_the_bad_ones_too);
  ADD ("inspect/properties", test_inspect);
  ADD ("check/finds-all-mistakes", test_check_finds_all_mistakes);
  ADD ("stack/is-drawn", test_stack_is_drawn);
  ADD ("output/broken-pipe-is-quiet", test_broken_pipe_is_quiet);
  ADD ("output/full-is-told", test_full_output_is_told);
  return g_test_run ();
}
