/* strand-run-process-guard.c — stands between a program and the process that it has started.
 *
 * A program that is killed cannot clean up, so another must: the guard sleeps on its socket to the program
 * and on the program's pidfd, and when either ends, it ends the process. It is the subreaper of all that the
 * process starts, so what leaves the process group, or loses its parent, becomes the guard's own child and is
 * found too. A child keeps its number until the guard has reaped it, so no signal goes astray.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-run-process-private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Nobody is left to wait for: enough for a server to save what it has, within the second that a helper may
 * take. */
#define ORPHAN_GRACE_US (G_USEC_PER_SEC / 2)

/* For a slow terminal to take the last words. */
#define FLUSH_US (G_USEC_PER_SEC / 2)

/* Of a line, while it is looked for. */
#define MAX_LINE_BYTES 65536

typedef struct
{
  GVariant *settings;
  gboolean quiet;
  gboolean wants_line;
  const char *line; /* what it contains */

  int parent_fd; /* pidfd; -1 where the kernel has none */
  int signal_fd;
  gboolean alone; /* the program is gone */

  pid_t pid; /* 0 when it has been reaped */
  int status;
  gboolean ended;
  gint64 kill_at_us; /* 0 until it is to end */

  StrandGuardStream out, err;
  GString *partial; /* of a line */
  GString *last_words;
} Guard;

/* One process is one guard. */
static Guard guard = { .out = { .from = -1 }, .err = { .from = -1 } };

static void
say (StrandGuardMessageType type, int value, const char *text, gsize size, int fd)
{
  StrandGuardMessage message = { type, value, "" };
  union
  {
    struct cmsghdr head;
    char room[CMSG_SPACE (sizeof (int))];
  } control = { { 0 } };
  struct iovec piece = { &message, G_STRUCT_OFFSET (StrandGuardMessage, text) };
  struct msghdr whole = { .msg_iov = &piece, .msg_iovlen = 1 };

  size = MIN (size, sizeof message.text);
  if (size > 0)
    memcpy (message.text, text, size);
  piece.iov_len += size;
  if (fd >= 0)
    {
      control.head = (struct cmsghdr){ CMSG_LEN (sizeof fd), SOL_SOCKET, SCM_RIGHTS };
      memcpy (CMSG_DATA (&control.head), &fd, sizeof fd);
      whole.msg_control = &control;
      whole.msg_controllen = sizeof control;
    }
  /* A handful of messages always fits; if the program is gone, poll() will tell. */
  while (sendmsg (STRAND_GUARD_SOCKET_FD, &whole, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == EINTR)
    ;
}

/* What the process says. */

static void
note_last_words (const char *text, gsize size)
{
  g_string_append_len (guard.last_words, text, (gssize) size);
  if (guard.last_words->len > STRAND_GUARD_LAST_WORDS)
    g_string_erase (guard.last_words, 0, (gssize) (guard.last_words->len - STRAND_GUARD_LAST_WORDS));
}

static void
look_for_line (const char *text, gsize size)
{
  const char *end;

  while (guard.wants_line && (end = memchr (text, '\n', size)) != NULL)
    {
      g_string_append_len (guard.partial, text, end - text);
      size -= (gsize) (end + 1 - text);
      text = end + 1;
      if (strstr (guard.partial->str, guard.line) != NULL)
        {
          say (STRAND_GUARD_LINE, 0, guard.partial->str, guard.partial->len, -1);
          guard.wants_line = FALSE;
        }
      g_string_truncate (guard.partial, 0);
    }
  if (!guard.wants_line)
    return;
  g_string_append_len (guard.partial, text, (gssize) size);
  if (guard.partial->len > MAX_LINE_BYTES)
    g_string_truncate (guard.partial, 0);
}

static void
read_output (void)
{
  strand_guard_stream_read (&guard.out, look_for_line);
  strand_guard_stream_read (&guard.err, note_last_words);
}

/* Starting it. */

static void
refuse (int failed, const char *what)
{
  say (STRAND_GUARD_REFUSED, failed, what, strlen (what), -1);
}

static int
add_actions (posix_spawn_file_actions_t *actions, int out, int err, gboolean is_function)
{
  int first_unused = is_function ? STRAND_GUARDED_OUTCOME_FD + 1 : STDERR_FILENO + 1;
  int failed = posix_spawn_file_actions_addopen (actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);

  if (failed == 0 && out >= 0)
    failed = posix_spawn_file_actions_adddup2 (actions, out, STDOUT_FILENO);
  else if (failed == 0 && guard.quiet)
    failed = posix_spawn_file_actions_addopen (actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  if (failed == 0)
    failed = posix_spawn_file_actions_adddup2 (actions, err, STDERR_FILENO);
  if (failed == 0 && is_function)
    failed = posix_spawn_file_actions_adddup2 (actions, STRAND_GUARD_SETTINGS_FD, STRAND_GUARDED_SETTINGS_FD);
  if (failed == 0 && is_function)
    failed = posix_spawn_file_actions_adddup2 (actions, STRAND_GUARD_OUTCOME_FD, STRAND_GUARDED_OUTCOME_FD);
#if __GLIBC_PREREQ(2, 34)
  if (failed == 0)
    failed = posix_spawn_file_actions_addclosefrom_np (actions, first_unused);
#endif
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

/* Returns 0 or an errno. */
static int
spawn (char **argv, char **env, int out, int err, gboolean is_function)
{
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  int failed;

  posix_spawn_file_actions_init (&actions);
  posix_spawnattr_init (&attributes);
  failed = add_actions (&actions, out, err, is_function);
  if (failed == 0)
    failed = set_attributes (&attributes);
  if (failed == 0)
    failed = posix_spawnp (&guard.pid, argv[0], &actions, &attributes, argv, env);
  posix_spawn_file_actions_destroy (&actions);
  posix_spawnattr_destroy (&attributes);
  return failed;
}

static gboolean
open_pipe (int ends[2])
{
  return pipe2 (ends, O_CLOEXEC) == 0 && fcntl (ends[0], F_SETFL, O_NONBLOCK) == 0;
}

static gboolean
start (void)
{
  g_autofree const char **argv = NULL;
  g_autofree const char **env = NULL;
  const char *directory, *function;
  int out[2] = { -1, -1 }, err[2], failed, pidfd;

  g_variant_get (guard.settings, "(u^a&ay^a&ay^&aybb^&ayas&sv)", NULL, &argv, &env, &directory, &guard.quiet,
                 &guard.wants_line, &guard.line, NULL, &function, NULL);
  if (argv[0] == NULL || !open_pipe (err) || (guard.wants_line && !open_pipe (out)))
    {
      refuse (argv[0] == NULL ? EINVAL : errno, "");
      return FALSE;
    }
  if (*directory != '\0' && chdir (directory) != 0)
    {
      refuse (errno, directory);
      return FALSE;
    }
  failed = spawn ((char **) argv, (char **) env, out[1], err[1], *function != '\0');
  if (failed != 0)
    {
      refuse (failed, argv[0]);
      return FALSE;
    }

  pidfd = (int) syscall (SYS_pidfd_open, guard.pid, 0);
  say (STRAND_GUARD_STARTED, guard.pid, NULL, 0, pidfd);
  if (pidfd >= 0)
    close (pidfd);
  close (err[1]);
  strand_guard_stream_open (&guard.err, err[0], guard.quiet ? -1 : STDERR_FILENO);
  if (out[1] >= 0)
    {
      close (out[1]);
      strand_guard_stream_open (&guard.out, out[0], guard.quiet ? -1 : STDOUT_FILENO);
    }
  return TRUE;
}

/* Ending it. */

static pid_t
parent_of (const char *pid)
{
  g_autofree char *path = g_build_filename ("/proc", pid, "stat", NULL);
  g_autofree char *text = NULL;
  const char *after;
  int parent = 0;

  /* The second field is a name, and may hold anything. */
  if (g_file_get_contents (path, &text, NULL, NULL) && (after = strrchr (text, ')')) != NULL)
    sscanf (after, ") %*c %d", &parent);
  return parent;
}

/* All children, those that lost their own parent too; FALSE if there is none that would take a signal. */
static gboolean
signal_children (int number)
{
  g_autoptr(GDir) dir = g_dir_open ("/proc", 0, NULL);
  const char *name;
  gboolean any = FALSE;

  /* A dead child takes signals too, so a TRUE that comes of it leads to its SIGCHLD. */
  if (guard.pid > 0)
    any = kill (-guard.pid, number) == 0;
  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    if (g_ascii_isdigit (*name) && parent_of (name) == getpid ())
      any |= kill ((pid_t) g_ascii_strtoll (name, NULL, 10), number) == 0;
  return any;
}

static void
begin_end (gint64 grace_us)
{
  gint64 kill_at_us = g_get_monotonic_time () + grace_us;
  gboolean first = guard.kill_at_us == 0;

  guard.kill_at_us = first ? kill_at_us : MIN (guard.kill_at_us, kill_at_us);
  if (!first || grace_us == 0)
    return;
  signal_children (SIGTERM);
  signal_children (SIGCONT); /* one that was stopped could not hear it */
}

static void
note_end (int status)
{
  guard.pid = 0;
  guard.ended = TRUE;
  guard.status = status;
  read_output ();
  say (STRAND_GUARD_EXITED, status, guard.last_words->str, guard.last_words->len, -1);
}

/* FALSE if no child is left. */
static gboolean
reap (gboolean *any)
{
  int status;
  pid_t pid;

  *any = FALSE;
  while ((pid = waitpid (-1, &status, WNOHANG)) > 0)
    {
      *any = TRUE;
      if (pid == guard.pid)
        note_end (status);
    }
  return pid == 0;
}

/* FALSE if there is nothing left to end. */
static gboolean
go_on_ending (void)
{
  gboolean any, left = reap (&any);

  if (guard.kill_at_us == 0)
    return TRUE;
  if (!left)
    return FALSE;
  if (g_get_monotonic_time () >= guard.kill_at_us)
    return signal_children (SIGKILL); /* what is another user's now cannot be ended */
  /* Children of the dead are ours since. */
  if (any)
    signal_children (SIGTERM);
  return TRUE;
}

/* What happens meanwhile. */

static void
read_socket (void)
{
  StrandGuardMessage message;
  gssize n = recv (STRAND_GUARD_SOCKET_FD, &message, sizeof message, MSG_DONTWAIT);

  if (n >= (gssize) G_STRUCT_OFFSET (StrandGuardMessage, text) && message.type == STRAND_GUARD_END)
    begin_end ((gint64) message.value * 1000);
  else if (n >= 0 || (errno != EAGAIN && errno != EINTR))
    guard.alone = TRUE;
}

static void
read_signals (void)
{
  struct signalfd_siginfo info;

  while (read (guard.signal_fd, &info, sizeof info) == sizeof info)
    if (info.ssi_signo != SIGCHLD)
      begin_end (ORPHAN_GRACE_US);
}

static void
sleep_until_something_happens (void)
{
  struct pollfd fds[] = {
    { guard.alone ? -1 : STRAND_GUARD_SOCKET_FD, POLLIN, 0 },
    { guard.alone ? -1 : guard.parent_fd, POLLIN, 0 },
    { guard.signal_fd, POLLIN, 0 },
    { strand_guard_stream_has_room (&guard.out) ? guard.out.from : -1, POLLIN, 0 },
    { strand_guard_stream_has_room (&guard.err) ? guard.err.from : -1, POLLIN, 0 },
  };
  gint64 left_us = guard.kill_at_us - g_get_monotonic_time ();
  int timeout_ms = -1;

  /* Once they are being killed, SIGCHLD tells. */
  if (guard.kill_at_us > 0 && left_us > 0)
    timeout_ms = (int) MIN (left_us / 1000 + 1, 60000);
  if (poll (fds, G_N_ELEMENTS (fds), timeout_ms) < 0)
    return;
  if (fds[0].revents != 0)
    read_socket ();
  if (fds[1].revents != 0)
    guard.alone = TRUE;
  if (fds[2].revents != 0)
    read_signals ();
  if (fds[3].revents != 0)
    strand_guard_stream_read (&guard.out, look_for_line);
  if (fds[4].revents != 0)
    strand_guard_stream_read (&guard.err, note_last_words);
  if (guard.alone)
    begin_end (ORPHAN_GRACE_US);
}

/* Setting up. */

static gboolean
read_settings (void)
{
  g_autoptr(GMappedFile) file = g_mapped_file_new_from_fd (STRAND_GUARD_SETTINGS_FD, FALSE, NULL);
  g_autoptr(GBytes) bytes = file != NULL ? g_mapped_file_get_bytes (file) : NULL;
  guint32 protocol = 0;

  if (bytes == NULL)
    return FALSE;
  guard.settings = g_variant_ref_sink (
      g_variant_new_from_bytes (G_VARIANT_TYPE (STRAND_GUARD_SETTINGS_TYPE), bytes, FALSE));
  g_variant_get_child (guard.settings, 0, "u", &protocol);
  return protocol == STRAND_GUARD_PROTOCOL && g_variant_is_normal_form (guard.settings);
}

/* A place among the first three that is free would be given to the next that is opened. */
static void
fill_standard_places (void)
{
  int fd;

  do
    fd = open ("/dev/null", O_RDWR);
  while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd >= 0)
    close (fd);
}

static void
take_signals (void)
{
  sigset_t ours;

  sigemptyset (&ours);
  sigaddset (&ours, SIGCHLD);
  sigaddset (&ours, SIGTERM);
  sigaddset (&ours, SIGINT);
  sigaddset (&ours, SIGHUP);
  sigprocmask (SIG_BLOCK, &ours, NULL);
  guard.signal_fd = signalfd (-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
  signal (SIGPIPE, SIG_IGN);
  signal (SIGTTOU, SIG_IGN);
}

/* Returns the exit status. */
int
strand_guard_main (const char *parent)
{
  pid_t pid = (pid_t) g_ascii_strtoll (parent, NULL, 10);

  for (int fd = STRAND_GUARD_SOCKET_FD; fd <= STRAND_GUARD_OUTCOME_FD; fd++)
    if (fcntl (fd, F_SETFD, FD_CLOEXEC) != 0 && fd != STRAND_GUARD_OUTCOME_FD)
      {
        g_printerr ("A guard is started by strand_process_start(), not by hand\n");
        return 2;
      }
  fill_standard_places ();
  take_signals ();
  prctl (PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  guard.parent_fd = (int) syscall (SYS_pidfd_open, pid, 0);
  guard.partial = g_string_new (NULL);
  guard.last_words = g_string_new (NULL);
  if (getppid () != pid)
    return 1; /* it has not waited for us to begin */
  if (!read_settings ())
    refuse (EPROTO, "its guard is of another release");
  else if (start ())
    {
      while (go_on_ending ())
        sleep_until_something_happens ();
      strand_guard_stream_flush (&guard.out, g_get_monotonic_time () + FLUSH_US);
      strand_guard_stream_flush (&guard.err, g_get_monotonic_time () + FLUSH_US);
    }
  /* Nothing of the program that it may be has run, so nothing is to be run at its end. */
  _exit (0);
}
