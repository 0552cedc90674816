/* test-lease.c — telling a process that runs from one that has ended.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <strand-plugin.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char *self_path;

/* Another process that has said who it is and waits to be killed. */
static char *
start_owner (GPid *pid)
{
  const char *argv[] = { self_path, "--owner", NULL };
  g_autoptr(GError) error = NULL;
  char buffer[256];
  gssize length;
  int out;

  g_spawn_async_with_pipes (NULL, (char **) argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, pid, NULL,
                            &out, NULL, &error);
  g_assert_no_error (error);
  length = read (out, buffer, sizeof buffer);
  g_assert_cmpint (length, >, 0);
  close (out);
  return g_strndup (buffer, length);
}

static int
be_owner (void)
{
  g_autofree char *owner = strand_lease_owner_self ("worker");

  if (write (STDOUT_FILENO, owner, strlen (owner)) < 0)
    return 1;
  for (;;)
    pause ();
}

/* The owner with one of its parts, counted from 0, replaced. */
static char *
with_part (const char *owner, guint part, const char *text)
{
  g_auto(GStrv) parts = g_strsplit (owner, ":", -1);

  g_assert_cmpuint (g_strv_length (parts), ==, 6);
  g_free (parts[part]);
  parts[part] = g_strdup (text);
  return g_strjoinv (":", parts);
}

static void
test_own_process_is_alive (void)
{
  g_autofree char *one = strand_lease_owner_self ("local");
  g_autofree char *other = strand_lease_owner_self ("local");

  g_assert_cmpint (strand_lease_owner_probe (one), ==, STRAND_OWNER_STATE_ALIVE);
  g_assert_cmpstr (one, !=, other);
  g_assert_null (strchr (one, '/'));
}

static void
test_killed_process_is_dead (void)
{
  GPid pid;
  g_autofree char *owner = start_owner (&pid);
  siginfo_t info;

  g_assert_cmpint (strand_lease_owner_probe (owner), ==, STRAND_OWNER_STATE_ALIVE);
  g_assert_cmpint (kill (pid, SIGKILL), ==, 0);

  /* Dead already as a zombie, whose parent does not care, */
  g_assert_cmpint (waitid (P_PID, pid, &info, WEXITED | WNOWAIT), ==, 0);
  g_assert_cmpint (strand_lease_owner_probe (owner), ==, STRAND_OWNER_STATE_DEAD);
  /* and when it is gone. */
  g_assert_cmpint (waitpid (pid, NULL, 0), ==, pid);
  g_assert_cmpint (strand_lease_owner_probe (owner), ==, STRAND_OWNER_STATE_DEAD);
}

static void
test_stopped_process_is_alive (void)
{
  GPid pid;
  g_autofree char *owner = start_owner (&pid);
  siginfo_t info;

  g_assert_cmpint (kill (pid, SIGSTOP), ==, 0);
  g_assert_cmpint (waitid (P_PID, pid, &info, WSTOPPED | WNOWAIT), ==, 0);
  g_assert_cmpint (strand_lease_owner_probe (owner), ==, STRAND_OWNER_STATE_ALIVE);
  g_assert_cmpint (kill (pid, SIGKILL), ==, 0);
  g_assert_cmpint (waitpid (pid, NULL, 0), ==, pid);
}

static void
test_reused_process_id_is_another_process (void)
{
  g_autofree char *self = strand_lease_owner_self ("local");
  g_autofree char *earlier = with_part (self, 4, "1");

  g_assert_cmpint (strand_lease_owner_probe (earlier), ==, STRAND_OWNER_STATE_DEAD);
}

static void
test_what_cannot_be_looked_up_is_unknown (void)
{
  g_autofree char *self = strand_lease_owner_self ("local");
  g_autofree char *other_boot = with_part (self, 1, "00000000000000000000000000000000");
  g_autofree char *no_boot = with_part (self, 1, "");
  g_autofree char *other_container = with_part (self, 2, "1");
  const char *others[] = { "",         "local", "::::::::",     "local:x:y:z:0:0", "local:a:1:-1:1:0",
                           other_boot, no_boot, other_container };

  for (guint i = 0; i < G_N_ELEMENTS (others); i++)
    g_assert_cmpint (strand_lease_owner_probe (others[i]), ==, STRAND_OWNER_STATE_UNKNOWN);
}

static void
test_kind_is_told_exactly (void)
{
  g_autofree char *owner = strand_lease_owner_self ("local");

  g_assert_true (strand_lease_owner_has_kind (owner, "local"));
  g_assert_false (strand_lease_owner_has_kind (owner, "loca"));
  g_assert_false (strand_lease_owner_has_kind (owner, "local2"));
  g_assert_false (strand_lease_owner_has_kind ("", "local"));
}

int
main (int argc, char **argv)
{
  self_path = g_file_read_link ("/proc/self/exe", NULL);
  if (argc == 2 && strcmp (argv[1], "--owner") == 0)
    return be_owner ();
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);

  g_test_add_func ("/lease/own-process-is-alive", test_own_process_is_alive);
  g_test_add_func ("/lease/killed-process-is-dead", test_killed_process_is_dead);
  g_test_add_func ("/lease/stopped-process-is-alive", test_stopped_process_is_alive);
  g_test_add_func ("/lease/reused-process-id-is-another-process", test_reused_process_id_is_another_process);
  g_test_add_func ("/lease/what-cannot-be-looked-up-is-unknown", test_what_cannot_be_looked_up_is_unknown);
  g_test_add_func ("/lease/kind-is-told-exactly", test_kind_is_told_exactly);

  return g_test_run ();
}
