/* test-run-process.c — a process is started, ready, dead before that, too late, or running already.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "run-process-fixture.h"

#include <string.h>
#include <sys/wait.h>

/* Starting. */

static void
test_ends_with_its_scope (Fixture *f, gconstpointer unused)
{
  int pid;

  {
    g_autoptr(StrandProcess) process = make_shell (f, "sleep " FOREVER);

    start (process);
    pid = strand_process_get_pid (process);
    g_assert_true (strand_process_is_alive (process));
    g_assert_cmpint (strand_process_get_wait_status (process), ==, -1);
    g_assert_cmpuint (count_group (pid), >, 0);
  }
  g_assert_cmpuint (count_group (pid), ==, 0);
}

static void
test_is_described_until_started (Fixture *f, gconstpointer unused)
{
  const char *argv[] = { "/bin/sleep", FOREVER, NULL };
  g_autoptr(StrandProcess) process = strand_process_new (argv);

  g_assert_cmpstr (strand_process_get_name (process), ==, "sleep");
  strand_process_set_name (process, "nap");
  g_assert_cmpstr (strand_process_get_name (process), ==, "nap");
  g_assert_false (strand_process_is_alive (process));
  g_assert_cmpint (strand_process_get_pid (process), ==, 0);
  end (process);
}

static void
test_starts_once (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandProcess) process = make_shell (f, "sleep " FOREVER);
  g_autoptr(GError) error = NULL;

  start (process);
  g_assert_false (strand_process_start (process, NULL, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_EXISTS);
  g_assert_true (strand_process_is_alive (process));
}

static void
test_runs_in_its_environment (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandProcess) process = make_shell (f, "echo \"$COLOUR $PWD\"; sleep " FOREVER);
  const char *env[] = { "COLOUR=red=blue", NULL };
  g_autofree char *line = NULL;
  g_autofree char *expected = g_strdup_printf ("red=blue %s", f->folder);

  strand_process_set_env (process, env);
  strand_process_set_working_directory (process, f->folder);
  strand_process_set_quiet (process, TRUE);
  strand_process_set_ready_line (process, NULL);
  start (process);
  line = strand_process_dup_ready_line (process);
  g_assert_cmpstr (line, ==, expected);
}

static void
test_missing_program_is_told (Fixture *f, gconstpointer unused)
{
  const char *argv[] = { "/nowhere/program", NULL };
  g_autoptr(StrandProcess) process = strand_process_new (argv);

  assert_start_fails (process, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                      "Could not start 'program': /nowhere/program: No such file");
}

static void
test_missing_folder_is_told (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandProcess) process = make_shell (f, "true");

  strand_process_set_working_directory (process, "/nowhere");
  assert_start_fails (process, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "/nowhere: No such file");
}

static void
test_missing_guard_is_told (Fixture *f, gconstpointer unused)
{
  g_autofree char *helper = g_strdup (g_getenv ("STRAND_HELPER"));
  g_autoptr(StrandProcess) missing = make_shell (f, "true");
  g_autoptr(StrandProcess) other = make_shell (f, "true");

  g_setenv ("STRAND_HELPER", "/nowhere/helper", TRUE);
  assert_start_fails (missing, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "'/nowhere/helper' cannot be started");
  g_setenv ("STRAND_HELPER", "/bin/true", TRUE);
  assert_start_fails (other, STRAND_ERROR, STRAND_ERROR_FAILED, "is it strand's");
  g_setenv ("STRAND_HELPER", helper, TRUE);
}

/* Being ready. */

static gboolean
answer_third_time (StrandProcess *process, gpointer data, GError **error)
{
  guint *n = data;

  g_assert_cmpint (strand_process_get_pid (process), >, 0);
  return ++*n == 3;
}

static void
test_ready_by_predicate (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandProcess) process = make_shell (f, "sleep " FOREVER);
  guint n = 0;

  strand_process_set_ready_func (process, answer_third_time, &n, NULL);
  start (process);
  g_assert_cmpuint (n, ==, 3);
}

static gboolean
fail_to_answer (StrandProcess *process, gpointer data, GError **error)
{
  g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_ACCES, "the door is locked");
  return FALSE;
}

static void
test_predicate_that_fails_fails_the_start (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandProcess) process = make_shell (f, "sleep " FOREVER);

  strand_process_set_ready_func (process, fail_to_answer, NULL, NULL);
  assert_start_fails (process, G_FILE_ERROR, G_FILE_ERROR_ACCES,
                      "Could not start 'shell': the door is locked");
  g_assert_cmpuint (count_group (strand_process_get_pid (process)), ==, 0);
}

static void
test_ready_after_a_time (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandProcess) process = make_shell (f, "sleep " FOREVER);
  gint64 begin_us = g_get_monotonic_time ();

  strand_process_set_ready_after (process, 50000);
  start (process);
  g_assert_cmpint (g_get_monotonic_time () - begin_us, >=, 50000);
  g_assert_true (strand_process_is_alive (process));
}

static void
test_time_beyond_timeout_is_refused (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandProcess) process = make_shell (f, "sleep " FOREVER);

  strand_process_set_ready_after (process, 31 * G_USEC_PER_SEC);
  assert_start_fails (process, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT, "31.000 s");
}

static StrandProcess *
make_server (guint16 port, const char *host)
{
  const char *code = "import socket, sys\n"
                     "s = socket.socket(socket.AF_INET6 if ':' in sys.argv[2] else socket.AF_INET)\n"
                     "s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n"
                     "s.bind((sys.argv[2], int(sys.argv[1])))\n"
                     "s.listen()\n"
                     "while True:\n"
                     "  s.accept()[0].close()\n";
  g_autofree char *text = g_strdup_printf ("%u", port);
  const char *argv[] = { "python3", "-c", code, text, host, NULL };

  return strand_process_new (argv);
}

static void
test_ready_by_port (Fixture *f, gconstpointer unused)
{
  guint16 port = find_port ();
  g_autoptr(StrandProcess) process = make_server (port, "127.0.0.1");
  g_autoptr(StrandProcess) second = make_server (port, "127.0.0.1");

  strand_process_set_ready_port (process, NULL, port);
  start (process);

  /* What answers there is not the second one. */
  strand_process_set_ready_port (second, "127.0.0.1", port);
  assert_start_fails (second, STRAND_ERROR, STRAND_ERROR_EXISTS, "something else answers at 127.0.0.1 port ");
}

static void
test_host_name_is_refused (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandProcess) process = make_shell (f, "true");

  strand_process_set_ready_port (process, "www.example", 80);
  assert_start_fails (process, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
                      "'www.example port 80', which is no IP address");
}

static void
test_ready_by_file (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandProcess) process =
      make_shell (f, "read go < $1/go; mkdir $1/a; mkdir $1/a/b; echo > $1/a/b/ready; sleep " FOREVER);
  g_autofree char *path = in_folder (f, "a/b/ready");
  GThread *teller = tell_when_started (f, process, "go");

  strand_process_set_ready_file (process, path);
  start (process);
  g_assert_true (g_file_test (path, G_FILE_TEST_EXISTS));
  g_thread_join (teller);
}

static void
test_old_file_is_no_sign (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandProcess) old = make_shell (f, "sleep " FOREVER);
  g_autoptr(StrandProcess) renewed = make_shell (f, "read go < $1/go; echo new > $1/ready; sleep " FOREVER);
  g_autofree char *path = in_folder (f, "ready");
  GThread *teller;

  g_assert_true (g_file_set_contents (path, "old", -1, NULL));
  strand_process_set_ready_file (old, path);
  strand_process_set_timeout (old, 50000);
  assert_start_fails (old, STRAND_ERROR, STRAND_ERROR_TIMED_OUT, path);

  strand_process_set_ready_file (renewed, path);
  teller = tell_when_started (f, renewed, "go");
  start (renewed);
  g_thread_join (teller);
}

static void
test_ready_by_line (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandProcess) process = make_shell (f, "echo loading; printf 'listening '; sleep " A_WHILE
                                                     "; echo on port 17; echo more; sleep " FOREVER);
  g_autofree char *line = NULL;

  strand_process_set_quiet (process, TRUE);
  strand_process_set_ready_line (process, "listening");
  start (process);
  line = strand_process_dup_ready_line (process);
  g_assert_cmpstr (line, ==, "listening on port 17");
}

static void
test_output_is_not_held_up (Fixture *f, gconstpointer unused)
{
  /* More than fits into any pipe, before and after the line, and on stderr. */
  g_autoptr(StrandProcess) process = make_shell (
      f,
      "head -c 300000 /dev/zero | tr '\\0' x; echo; echo ready; head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2; exit 7");
  g_autoptr(GError) error = NULL;

  strand_process_set_quiet (process, TRUE);
  strand_process_set_ready_line (process, "ready");
  start (process);
  g_assert_false (strand_process_wait (process, DEADLINE_US, NULL, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_CRASHED);
  g_assert_cmpint (WEXITSTATUS (strand_process_get_wait_status (process)), ==, 7);
}

/* Not getting ready. */

static void
test_early_exit_fails_at_once (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandProcess) process = make_shell (f, "echo 'no config' >&2; exit 3");
  g_autofree char *path = in_folder (f, "never");

  strand_process_set_quiet (process, TRUE);
  strand_process_set_timeout (process, -1);
  strand_process_set_ready_file (process, path);
  assert_start_fails (
      process, STRAND_ERROR, STRAND_ERROR_CRASHED,
      "Could not start 'shell': it exited with status 3; the end of its stderr is: no config");
}

static void
test_early_signal_fails_at_once (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandProcess) process = make_shell (f, "kill -ABRT $$");

  strand_process_set_timeout (process, -1);
  strand_process_set_ready_after (process, G_MAXINT64 / 2);
  assert_start_fails (process, STRAND_ERROR, STRAND_ERROR_CRASHED, "it was killed by signal 6 (Aborted)");
}

static void
test_end_without_line_fails_at_once (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandProcess) process = make_shell (f, "echo nearly; exit 0");

  strand_process_set_quiet (process, TRUE);
  strand_process_set_ready_line (process, "ready");
  assert_start_fails (process, STRAND_ERROR, STRAND_ERROR_CRASHED, "status 0");
}

static void
test_timeout_kills (Fixture *f, gconstpointer unused)
{
  /* Deaf to SIGTERM, with a child in the group and one that has left it. */
  g_autoptr(StrandProcess) process = make_shell (
      f, "trap '' TERM; setsid sh -c 'echo $$ > $0/away; sleep " FOREVER "' $1 & sleep " FOREVER " & wait");

  strand_process_set_ready_port (process, NULL, find_port ());
  strand_process_set_timeout (process, 300000);
  assert_start_fails (process, STRAND_ERROR, STRAND_ERROR_TIMED_OUT,
                      "it was not ready within 0.300 s: nothing answered at port");
  g_assert_cmpuint (count_group (strand_process_get_pid (process)), ==, 0);
  if (read_number (f, "away") > 0)
    g_assert_false (is_there (read_number (f, "away")));
}

static gboolean
cancel (StrandProcess *process, gpointer data, GError **error)
{
  g_cancellable_cancel (data);
  return FALSE;
}

static void
test_cancel_kills (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandProcess) process = make_shell (f, "sleep " FOREVER);
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  g_autoptr(GError) error = NULL;

  strand_process_set_ready_func (process, cancel, g_object_ref (cancellable), g_object_unref);
  g_assert_false (strand_process_start (process, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_cmpuint (count_group (strand_process_get_pid (process)), ==, 0);
}

/* Running already. */

static gboolean
say_yes (StrandProcess *process, gpointer data, GError **error)
{
  return TRUE;
}

static gboolean
say_no (StrandProcess *process, gpointer data, GError **error)
{
  return FALSE;
}

static void
test_running_already_starts_nothing (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandProcess) process = make_shell (f, "echo > $1/started");
  g_autofree char *path = in_folder (f, "started");

  strand_process_set_already_running (process, say_yes, NULL, NULL);
  start (process);
  g_assert_true (strand_process_is_already_running (process));
  g_assert_false (strand_process_is_alive (process));
  g_assert_cmpint (strand_process_get_pid (process), ==, 0);
  end (process);
  g_assert_false (g_file_test (path, G_FILE_TEST_EXISTS));
}

static void
test_not_running_already_starts (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandProcess) process = make_shell (f, "sleep " FOREVER);

  strand_process_set_already_running (process, say_no, NULL, NULL);
  start (process);
  g_assert_false (strand_process_is_already_running (process));
  g_assert_true (strand_process_is_alive (process));
}

static void
test_unknown_whether_running_fails (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandProcess) process = make_shell (f, "true");

  strand_process_set_already_running (process, fail_to_answer, NULL, NULL);
  assert_start_fails (process, G_FILE_ERROR, G_FILE_ERROR_ACCES,
                      "whether it runs already: the door is locked");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);

  ADD ("start/ends-with-its-scope", test_ends_with_its_scope);
  ADD ("start/is-described-until-started", test_is_described_until_started);
  ADD ("start/once", test_starts_once);
  ADD ("start/runs-in-its-environment", test_runs_in_its_environment);
  ADD ("start/missing-program-is-told", test_missing_program_is_told);
  ADD ("start/missing-folder-is-told", test_missing_folder_is_told);
  ADD ("start/missing-guard-is-told", test_missing_guard_is_told);
  ADD ("ready/by-predicate", test_ready_by_predicate);
  ADD ("ready/predicate-that-fails-fails-the-start", test_predicate_that_fails_fails_the_start);
  ADD ("ready/after-a-time", test_ready_after_a_time);
  ADD ("ready/time-beyond-timeout-is-refused", test_time_beyond_timeout_is_refused);
  ADD ("ready/by-port", test_ready_by_port);
  ADD ("ready/host-name-is-refused", test_host_name_is_refused);
  ADD ("ready/by-file", test_ready_by_file);
  ADD ("ready/old-file-is-no-sign", test_old_file_is_no_sign);
  ADD ("ready/by-line", test_ready_by_line);
  ADD ("ready/output-is-not-held-up", test_output_is_not_held_up);
  ADD ("unready/early-exit-fails-at-once", test_early_exit_fails_at_once);
  ADD ("unready/early-signal-fails-at-once", test_early_signal_fails_at_once);
  ADD ("unready/end-without-line-fails-at-once", test_end_without_line_fails_at_once);
  ADD ("unready/timeout-kills", test_timeout_kills);
  ADD ("unready/cancel-kills", test_cancel_kills);
  ADD ("already/starts-nothing", test_running_already_starts_nothing);
  ADD ("already/not-running-starts", test_not_running_already_starts);
  ADD ("already/unknown-fails", test_unknown_whether_running_fails);
  return g_test_run ();
}
