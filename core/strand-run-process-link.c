/* strand-run-process-link.c — what passes between a program and the guard of its process.
 *
 * Whoever looks first receives for all: news goes into the process object and to every operation under way.
 * The guard's end is seen here too. One that ends before its process was killed; then the process is killed
 * from here, while its pidfd shows that its number still is its own.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-error.h"
#include "strand-helper-wire-private.h"
#include "strand-run-process-private.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void
clear_fd (int *fd)
{
  if (*fd >= 0)
    close (*fd);
  *fd = -1;
}

/* Tells all who wait. */
void
strand_process_wake_locked (StrandProcess *self)
{
  guint64 one = 1;

  for (GSList *l = self->operations; l != NULL; l = l->next)
    while (write (((StrandOperation *) l->data)->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
      ;
}

static gboolean
is_dead (int pidfd)
{
  struct pollfd fd = { pidfd, POLLIN, 0 };

  return poll (&fd, 1, 0) > 0;
}

/* Nothing that the function's process wrote is believed. */
static void
read_outcome_locked (StrandProcess *self)
{
  struct stat info;
  g_autofree guint8 *data = NULL;
  g_autoptr(GVariant) outcome = NULL;
  const char *domain, *message;
  int code;

  if (self->outcome < 0)
    return;
  if (fstat (self->outcome, &info) == 0 && info.st_size > 0 && info.st_size <= STRAND_WIRE_MAX_PAYLOAD)
    {
      data = g_malloc ((gsize) info.st_size);
      if (pread (self->outcome, data, (gsize) info.st_size, 0) == info.st_size)
        outcome =
            strand_wire_read_variant (G_VARIANT_TYPE (STRAND_GUARD_OUTCOME_TYPE), data, (gsize) info.st_size);
    }
  clear_fd (&self->outcome);
  if (outcome == NULL)
    return;
  g_variant_get (outcome, "(&si&s)", &domain, &code, &message);
  if (*domain != '\0')
    self->failure = g_error_new_literal (g_quark_from_string (domain), code, message);
}

static void
note_exit_locked (StrandProcess *self, int status, const char *words, gsize size)
{
  self->exited = TRUE;
  self->status = status;
  self->last_words = g_utf8_make_valid (words, (gssize) size);
  g_strstrip (self->last_words);
  read_outcome_locked (self);
}

/* The guard will say nothing more. It is dead, or as good as that. */
static void
note_hangup_locked (StrandProcess *self)
{
  clear_fd (&self->socket);
  while (waitpid (self->guard, NULL, 0) < 0 && errno == EINTR)
    ;
  self->guard = 0;
  self->orphaned = self->pid > 0 && !self->exited && self->pidfd >= 0 && !is_dead (self->pidfd);
  if (self->orphaned)
    kill (-self->pid, SIGKILL);
  else if (self->pid > 0 && !self->exited)
    note_exit_locked (self, -1, "", 0);
  self->gone = !self->orphaned;
}

static void
understand_locked (StrandProcess *self, const StrandGuardMessage *message, gsize size, int fd)
{
  if (message->type == STRAND_GUARD_STARTED && self->pid == 0)
    {
      self->pid = message->value;
      self->pidfd = fd;
      return;
    }
  if (fd >= 0)
    close (fd);
  if (message->type == STRAND_GUARD_REFUSED && self->refused == 0)
    {
      self->refused = message->value;
      self->refused_what = g_strndup (message->text, size);
    }
  else if (message->type == STRAND_GUARD_LINE && self->line == NULL)
    self->line = g_strndup (message->text, size);
  else if (message->type == STRAND_GUARD_EXITED && !self->exited)
    note_exit_locked (self, message->value, message->text, size);
}

/* One message: > 0, 0 at the end, -1 if there is none now. */
static int
receive_one_locked (StrandProcess *self)
{
  const gssize head = G_STRUCT_OFFSET (StrandGuardMessage, text);
  StrandGuardMessage message;
  union
  {
    struct cmsghdr head;
    char room[CMSG_SPACE (sizeof (int))];
  } control;
  struct iovec piece = { &message, sizeof message };
  struct msghdr whole = {
    .msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
  };
  struct cmsghdr *first;
  gssize n;
  int fd = -1;

  do
    n = recvmsg (self->socket, &whole, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  if (n < 0 && errno == EAGAIN)
    return -1;
  if (n < head)
    return 0;
  first = CMSG_FIRSTHDR (&whole);
  if (first != NULL && first->cmsg_level == SOL_SOCKET && first->cmsg_type == SCM_RIGHTS)
    memcpy (&fd, CMSG_DATA (first), sizeof fd);
  understand_locked (self, &message, (gsize) (n - head), fd);
  return 1;
}

/* Takes in all news. */
void
strand_process_receive_locked (StrandProcess *self)
{
  gboolean any = FALSE;
  int what = -1;

  while (self->socket >= 0 && (what = receive_one_locked (self)) > 0)
    any = TRUE;
  if (self->socket >= 0 && what == 0)
    {
      note_hangup_locked (self);
      any = TRUE;
    }
  if (self->orphaned && !self->gone && is_dead (self->pidfd))
    {
      note_exit_locked (self, -1, "", 0);
      self->gone = any = TRUE;
    }
  if (any)
    strand_process_wake_locked (self);
}

/* Asks the guard, unless it has been asked for something as strong. */
void
strand_process_ask_end_locked (StrandProcess *self, gint64 grace_us)
{
  StrandGuardMessage message = { STRAND_GUARD_END, (gint32) CLAMP (grace_us / 1000, 0, G_MAXINT32), "" };

  if (self->socket < 0 || (self->asked && self->asked_grace_us <= grace_us))
    return;
  self->asked = TRUE;
  self->asked_grace_us = grace_us;
  while (send (self->socket, &message, G_STRUCT_OFFSET (StrandGuardMessage, text),
               MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
         errno == EINTR)
    ;
}

/* Where news comes from. */
void
strand_process_watch_locked (StrandProcess *self, StrandOperation *operation)
{
  strand_operation_add_fd (operation, self->socket, G_IO_IN);
  if (self->orphaned && !self->gone)
    strand_operation_add_fd (operation, self->pidfd, G_IO_IN);
}

void
strand_process_set_death_error_locked (StrandProcess *self, GError **error)
{
  const char *words = self->last_words != NULL ? self->last_words : "";
  const char *lead = *words != '\0' ? "; the end of its stderr is: " : "";

  if (self->failure != NULL)
    g_propagate_error (error, g_error_copy (self->failure));
  else if (self->status == -1)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_CRASHED, "its guard was killed, and it with the guard");
  else if (WIFSIGNALED (self->status))
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_CRASHED, "it was killed by signal %d (%s)%s%s",
                 WTERMSIG (self->status), g_strsignal (WTERMSIG (self->status)), lead, words);
  else
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_CRASHED, "it exited with status %d%s%s",
                 WEXITSTATUS (self->status), lead, words);
}
