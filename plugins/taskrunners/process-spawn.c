/* process-spawn.c — starts a helper process.
 *
 * posix_spawn() rather than g_spawn: a helper leads a process group of its own, and GLib can do that only in
 * a child_setup function, which means a bare fork. Descriptors that are not meant for it are closed even if
 * somebody forgot their close-on-exec flag. SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "process-spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Above all places in the helper, so that putting one there overwrites no other. */
#define SAFE_FD 10

static void
clear_fd (int *fd)
{
  if (*fd >= 0)
    close (*fd);
  *fd = -1;
}

/* Moves a descriptor out of the way. */
static gboolean
lift (int *fd)
{
  int lifted = fcntl (*fd, F_DUPFD_CLOEXEC, SAFE_FD);

  if (lifted < 0)
    return FALSE;
  close (*fd);
  *fd = lifted;
  return TRUE;
}

void
spawn_ends_clear (SpawnEnds *ends)
{
  for (guint i = 0; i < G_N_ELEMENTS (ends->ours); i++)
    {
      clear_fd (&ends->ours[i]);
      clear_fd (&ends->theirs[i]);
    }
  if (ends->shared != NULL)
    munmap (ends->shared, sizeof *ends->shared);
  ends->shared = NULL;
}

static gboolean
open_shared (SpawnEnds *ends)
{
  gpointer shared;

  ends->theirs[SPAWN_SHARED] = memfd_create ("strand-helper", MFD_CLOEXEC);
  if (ends->theirs[SPAWN_SHARED] < 0 || ftruncate (ends->theirs[SPAWN_SHARED], sizeof *ends->shared) != 0)
    return FALSE;
  shared =
      mmap (NULL, sizeof *ends->shared, PROT_READ | PROT_WRITE, MAP_SHARED, ends->theirs[SPAWN_SHARED], 0);
  if (shared == MAP_FAILED)
    return FALSE;
  ends->shared = shared;
  return TRUE;
}

/* SEQPACKET for control: a message is whole or not there, so several threads may write. */
static gboolean
open_ends (SpawnEnds *ends, gboolean with_stderr)
{
  int data[2] = { -1, -1 }, control[2] = { -1, -1 }, err[2] = { -1, -1 };
  gboolean done = socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, data) == 0 &&
                  socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) == 0 &&
                  (!with_stderr || pipe2 (err, O_CLOEXEC) == 0);

  ends->ours[SPAWN_DATA] = data[0];
  ends->theirs[SPAWN_DATA] = data[1];
  ends->ours[SPAWN_CONTROL] = control[0];
  ends->theirs[SPAWN_CONTROL] = control[1];
  ends->ours[SPAWN_STDERR] = err[0];
  ends->theirs[SPAWN_STDERR] = err[1];
  if (!done || !open_shared (ends))
    return FALSE;
  for (guint i = 0; i < SPAWN_N_ENDS; i++)
    if (ends->theirs[i] >= 0 && !lift (&ends->theirs[i]))
      return FALSE;
  return err[0] < 0 || fcntl (err[0], F_SETFL, O_NONBLOCK) == 0;
}

static int
add_actions (posix_spawn_file_actions_t *actions, SpawnEnds *ends, const char *working_directory)
{
  int failed = posix_spawn_file_actions_addopen (actions, 0, "/dev/null", O_RDONLY, 0);

  if (failed == 0 && ends->theirs[SPAWN_STDERR] >= 0)
    failed = posix_spawn_file_actions_adddup2 (actions, ends->theirs[SPAWN_STDERR], 2);
  if (failed == 0)
    failed = posix_spawn_file_actions_adddup2 (actions, ends->theirs[SPAWN_DATA], STRAND_HELPER_DATA_FD);
  if (failed == 0)
    failed =
        posix_spawn_file_actions_adddup2 (actions, ends->theirs[SPAWN_CONTROL], STRAND_HELPER_CONTROL_FD);
  if (failed == 0)
    failed = posix_spawn_file_actions_adddup2 (actions, ends->theirs[SPAWN_SHARED], STRAND_HELPER_SHARED_FD);
#if __GLIBC_PREREQ(2, 34)
  if (failed == 0)
    failed = posix_spawn_file_actions_addclosefrom_np (actions, STRAND_HELPER_SHARED_FD + 1);
#endif
  if (failed == 0 && working_directory != NULL)
    failed = posix_spawn_file_actions_addchdir_np (actions, working_directory);
  return failed;
}

static int
set_attributes (posix_spawnattr_t *attributes)
{
  sigset_t none, all;
  int failed;

  sigemptyset (&none);
  sigfillset (&all);
  failed = posix_spawnattr_setpgroup (attributes, 0);
  if (failed == 0)
    failed = posix_spawnattr_setsigmask (attributes, &none);
  if (failed == 0)
    failed = posix_spawnattr_setsigdefault (attributes, &all);
  if (failed == 0)
    failed = posix_spawnattr_setflags (attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                                       POSIX_SPAWN_SETSIGDEF);
  return failed;
}

static GStrv
dup_environment (const char *const *extra)
{
  GStrv environment = g_get_environ ();

  for (guint i = 0; extra != NULL && extra[i] != NULL; i++)
    {
      g_auto(GStrv) pair = g_strsplit (extra[i], "=", 2);

      if (pair[0] != NULL && pair[1] != NULL)
        environment = g_environ_setenv (environment, pair[0], pair[1], TRUE);
    }
  return environment;
}

/* Returns 0 or an errno. */
static int
spawn (pid_t *pid, SpawnEnds *ends, char **argv, const char *const *env, const char *working_directory)
{
  g_auto(GStrv) environment = dup_environment (env);
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  int failed;

  posix_spawn_file_actions_init (&actions);
  posix_spawnattr_init (&attributes);
  failed = add_actions (&actions, ends, working_directory);
  if (failed == 0)
    failed = set_attributes (&attributes);
  if (failed == 0)
    failed = posix_spawnp (pid, argv[0], &actions, &attributes, argv, environment);
  posix_spawn_file_actions_destroy (&actions);
  posix_spawnattr_destroy (&attributes);
  return failed;
}

gboolean
spawn_helper (SpawnEnds *ends, char **argv, const char *const *env, const char *working_directory,
              gboolean with_stderr, pid_t *pid, int *pidfd, GError **error)
{
  int failed;

  *ends = (SpawnEnds){ { -1, -1, -1, -1 }, { -1, -1, -1, -1 }, NULL };
  failed = open_ends (ends, with_stderr) ? spawn (pid, ends, argv, env, working_directory) : errno;
  if (failed != 0)
    {
      g_set_error (error, G_IO_ERROR, g_io_error_from_errno (failed), "%s", g_strerror (failed));
      spawn_ends_clear (ends);
      return FALSE;
    }
  for (guint i = 0; i < SPAWN_N_ENDS; i++)
    clear_fd (&ends->theirs[i]);
  *pidfd = (int) syscall (SYS_pidfd_open, *pid, 0);
  return TRUE;
}
