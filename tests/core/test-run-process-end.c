/* test-run-process-end.c — a process ends, however that comes, and nothing of it is left.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "run-process-fixture.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Ending. */

static void
test_end_is_asked_for_first (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandProcess) process =
      make_shell (f, "trap 'echo > $1/saved; exit 0' TERM; echo > $1/ready; sleep " FOREVER " & wait");
  g_autofree char *ready = in_folder (f, "ready");
  g_autofree char *saved = in_folder (f, "saved");

  strand_process_set_ready_file (process, ready);
  start (process);
  end (process);
  g_assert_true (g_file_test (saved, G_FILE_TEST_EXISTS));
  g_assert_cmpint (strand_process_get_wait_status (process), ==, 0);
}

static void
test_deaf_process_is_killed (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandProcess) process = make_shell (f, "trap '' TERM; echo > $1/ready; sleep " FOREVER);
  g_autofree char *ready = in_folder (f, "ready");

  strand_process_set_ready_file (process, ready);
  strand_process_set_grace (process, 50000);
  start (process);
  end (process);
  g_assert_cmpint (WTERMSIG (strand_process_get_wait_status (process)), ==, SIGKILL);
  g_assert_cmpuint (count_group (strand_process_get_pid (process)), ==, 0);
}

static void
test_stopped_process_hears_it (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandProcess) process =
      make_shell (f, "trap 'exit 0' TERM; echo > $1/ready; sleep " FOREVER " & wait");
  g_autofree char *ready = in_folder (f, "ready");

  strand_process_set_ready_file (process, ready);
  start (process);
  kill (strand_process_get_pid (process), SIGSTOP);
  end (process);
  g_assert_cmpint (strand_process_get_wait_status (process), ==, 0);
}

/* A grandchild that has left the group, and one whose parent has ended. */
static void
test_grandchildren_end (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandProcess) process =
      make_shell (f, "exec 3<> $1/told; setsid sh -c 'echo $$ > $0/away; echo >&3; sleep " FOREVER "' $1 &"
                     "(sh -c 'echo $$ > $0/orphan; echo >&3; sleep " FOREVER "' $1 &) ;"
                     "read one <&3; read other <&3; echo > $1/ready; exit 0");
  g_autoptr(GError) error = NULL;

  make_pipe (f, "told");
  start (process);
  g_assert_true (strand_process_wait (process, DEADLINE_US, NULL, &error));
  g_assert_no_error (error);
  g_assert_false (strand_process_is_alive (process));
  g_assert_true (is_there (read_number (f, "away")));
  g_assert_true (is_there (read_number (f, "orphan")));
  end (process);
  g_assert_false (is_there (read_number (f, "away")));
  g_assert_false (is_there (read_number (f, "orphan")));
}

static void
test_plain_end_waits (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandProcess) process =
      make_shell (f, "sleep " FOREVER " & sleep " A_WHILE "; echo > $1/done; exit 4");
  g_autofree char *done = in_folder (f, "done");

  strand_process_set_forced_end (process, FALSE);
  start (process);
  end (process);
  g_assert_true (g_file_test (done, G_FILE_TEST_EXISTS));
  g_assert_cmpint (WEXITSTATUS (strand_process_get_wait_status (process)), ==, 4);
  g_assert_cmpuint (count_group (strand_process_get_pid (process)), ==, 0);
}

static void
test_plain_end_can_be_cancelled (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandProcess) process = make_shell (f, "read go < $1/go");
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  g_autoptr(GError) error = NULL;

  make_pipe (f, "go");
  strand_process_set_forced_end (process, FALSE);
  start (process);
  g_cancellable_cancel (cancellable);
  g_assert_false (strand_process_end (process, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_true (strand_process_is_alive (process));
  tell (f, "go");
}

static void
test_wait_says_how_it_ended (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandProcess) process = make_shell (f, "read go < $1/go; echo lost >&2; exit 5");
  g_autoptr(GError) error = NULL;

  make_pipe (f, "go");
  strand_process_set_quiet (process, TRUE);
  start (process);
  g_assert_false (strand_process_wait (process, 1000, NULL, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_WAIT_TIMED_OUT);
  g_clear_error (&error);

  tell (f, "go");
  g_assert_false (strand_process_wait (process, DEADLINE_US, NULL, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_CRASHED);
  g_assert_cmpstr (error->message, ==,
                   "'shell' has failed: it exited with status 5; the end of its stderr is: lost");
}

/* Others' deaths. */

/* Runs this program again as somebody who holds a process and is killed. */
static GSubprocess *
start_holder (Fixture *f)
{
  g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL);
  g_autoptr(GError) error = NULL;
  GSubprocess *holder =
      g_subprocess_new (G_SUBPROCESS_FLAGS_NONE, &error, program, "--hold", f->folder, NULL);

  g_assert_no_error (error);
  wait_until (read_number (f, "ready") > 0);
  return holder;
}

static int
be_holder (const char *folder)
{
  Fixture f = { (char *) folder };
  g_autoptr(StrandProcess) process =
      make_shell (&f, "trap '' TERM; echo $$ > $1/leader; exec 3<> $1/told;"
                      "setsid sh -c 'trap \"\" TERM; echo $$ > $0/away; echo >&3; sleep " FOREVER "' $1 &"
                      "read away <&3; echo 1 > $1/ready; sleep " FOREVER);

  make_pipe (&f, "told");
  start (process);
  pause ();
  return 0;
}

static void
test_killed_caller_leaves_nothing (Fixture *f, gconstpointer unused)
{
  g_autoptr(GSubprocess) holder = start_holder (f);
  int leader = read_number (f, "leader"), away = read_number (f, "away");

  g_assert_cmpuint (count_group (leader), >, 0);
  g_assert_true (is_there (away));
  g_subprocess_force_exit (holder);
  wait_until (count_group (leader) == 0 && !is_there (away));
  g_assert_true (g_subprocess_wait (holder, NULL, NULL));
}

static pid_t
parent_of (int pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/stat", pid);
  g_autofree char *text = NULL;
  int parent = 0;

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  g_assert_cmpint (sscanf (strrchr (text, ')'), ") %*c %d", &parent), ==, 1);
  return parent;
}

static void
test_killed_guard_takes_it_along (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandProcess) process = make_shell (f, "trap '' TERM; sleep " FOREVER);
  g_autoptr(GError) error = NULL;
  int pid;

  start (process);
  pid = strand_process_get_pid (process);
  kill (parent_of (pid), SIGKILL);
  g_assert_false (strand_process_wait (process, DEADLINE_US, NULL, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_CRASHED);
  g_assert_nonnull (strstr (error->message, "its guard was killed"));
  end (process);
  wait_until (count_group (pid) == 0);
}

static void
test_guard_that_hangs_is_killed (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandProcess) process = make_shell (f, "sleep " FOREVER);
  int pid;

  strand_process_set_grace (process, 0);
  start (process);
  pid = strand_process_get_pid (process);
  kill (parent_of (pid), SIGSTOP);
  end (process);
  wait_until (count_group (pid) == 0);
}

/* Nothing stays. */

static void
test_descriptors_do_not_leak (Fixture *f, gconstpointer unused)
{
  const char *ready[] = { "exec sleep " FOREVER, "echo ready; exec sleep " FOREVER, "exit 1",
                          "exec sleep " FOREVER };
  g_autofree char *never = in_folder (f, "never");
  guint before = 0;

  for (guint i = 0; i < 208; i++)
    {
      g_autoptr(StrandProcess) process = make_shell (f, ready[i % 4]);

      strand_process_set_quiet (process, TRUE);
      strand_process_set_timeout (process, i % 4 == 3 ? 1000 : -1);
      if (i % 4 == 1)
        strand_process_set_ready_line (process, "ready");
      else if (i % 4 > 1)
        strand_process_set_ready_file (process, never);
      g_assert_cmpint (strand_process_start (process, NULL, NULL), ==, i % 4 < 2);
      g_assert_true (strand_process_end (process, NULL, NULL));
      if (i == 7)
        before = count_descriptors ();
    }
  g_assert_cmpuint (count_descriptors (), <=, before);
  /* No zombies either. */
  errno = 0;
  g_assert_cmpint (waitpid (-1, NULL, WNOHANG), ==, -1);
  g_assert_cmpint (errno, ==, ECHILD);
}

int
main (int argc, char **argv)
{
  if (argc == 3 && strcmp (argv[1], "--hold") == 0)
    return be_holder (argv[2]);
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);

  ADD ("end/is-asked-for-first", test_end_is_asked_for_first);
  ADD ("end/deaf-process-is-killed", test_deaf_process_is_killed);
  ADD ("end/stopped-process-hears-it", test_stopped_process_hears_it);
  ADD ("end/grandchildren-too", test_grandchildren_end);
  ADD ("end/plain-waits", test_plain_end_waits);
  ADD ("end/plain-can-be-cancelled", test_plain_end_can_be_cancelled);
  ADD ("wait/says-how-it-ended", test_wait_says_how_it_ended);
  ADD ("death/of-the-caller-leaves-nothing", test_killed_caller_leaves_nothing);
  ADD ("death/of-the-guard-takes-it-along", test_killed_guard_takes_it_along);
  ADD ("death/guard-that-hangs-is-killed", test_guard_that_hangs_is_killed);
  ADD ("left/no-descriptors", test_descriptors_do_not_leak);
  return g_test_run ();
}
