/* strand-run-process-ready.c — how to tell that a process is ready.
 *
 * A line is told by the guard, a file by inotify. Nothing tells when a port is open or a predicate true, so
 * those are tried again after 1 ms, 2 ms and so on up to 100 ms: soon enough for what starts fast, cheap for
 * what starts slowly. A file or a port that was there before is not taken for a sign of this process.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-error.h"
#include "strand-run-process-private.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <unistd.h>

#define FIRST_DELAY_US 1000
#define LAST_DELAY_US 100000

/* All ways in which a file, or a folder on the way to it, comes to be or is written. */
#define INOTIFY_EVENTS                                                                                       \
  (IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE | IN_MODIFY | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF)

static void
clear_fd (int *fd)
{
  if (*fd >= 0)
    close (*fd);
  *fd = -1;
}

/* TRUE if it is time to try. */
static gboolean
is_due (StrandOperation *self)
{
  gint64 now_us = g_get_monotonic_time ();

  if (now_us < self->retry_us)
    {
      strand_operation_add_due (self, self->retry_us);
      return FALSE;
    }
  return TRUE;
}

static void
try_later (StrandOperation *self)
{
  self->delay_us = CLAMP (self->delay_us * 2, FIRST_DELAY_US, LAST_DELAY_US);
  self->retry_us = g_get_monotonic_time () + self->delay_us;
  strand_operation_add_due (self, self->retry_us);
}

static gboolean
check_func (StrandOperation *self, gboolean *ready, GError **error)
{
  StrandProcess *process = self->process;
  GError *local = NULL;

  if (!is_due (self))
    return TRUE;
  *ready = process->ready.func (process, process->ready.user_data, &local);
  if (local != NULL)
    {
      g_propagate_error (error, local);
      return FALSE;
    }
  if (!*ready)
    try_later (self);
  return TRUE;
}

/* A port. */

static int
open_socket (GSocketAddress *address, gboolean *pending)
{
  struct sockaddr_storage native;
  gssize size = g_socket_address_get_native_size (address);
  int fd = socket (g_socket_address_get_family (address), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

  *pending = FALSE;
  if (fd < 0)
    return -1;
  if (g_socket_address_to_native (address, &native, sizeof native, NULL) &&
      connect (fd, (struct sockaddr *) &native, (socklen_t) size) == 0)
    return fd;
  *pending = errno == EINPROGRESS;
  if (!*pending)
    clear_fd (&fd);
  return fd;
}

/* A socket whose own port was chosen by the kernel can meet itself, if nobody listens there. */
static gboolean
is_itself (int fd)
{
  struct sockaddr_storage ours = { 0 }, theirs = { 0 };
  socklen_t our_size = sizeof ours, their_size = sizeof theirs;

  return getsockname (fd, (struct sockaddr *) &ours, &our_size) == 0 &&
         getpeername (fd, (struct sockaddr *) &theirs, &their_size) == 0 && our_size == their_size &&
         memcmp (&ours, &theirs, our_size) == 0;
}

/* What became of a connection that took its time: 1 made, 0 not yet, -1 refused. */
static int
look_at_connection (int fd)
{
  struct pollfd poll_fd = { fd, POLLOUT, 0 };
  int failed = 0;
  socklen_t size = sizeof failed;

  if (poll (&poll_fd, 1, 0) <= 0)
    return 0;
  return getsockopt (fd, SOL_SOCKET, SO_ERROR, &failed, &size) == 0 && failed == 0 ? 1 : -1;
}

static void
check_port (StrandOperation *self, gboolean *ready)
{
  GPtrArray *addresses = self->process->ready_addresses;

  if (self->fd < 0 && !is_due (self))
    return;
  while (TRUE)
    {
      gboolean pending = self->fd >= 0;
      int state;

      if (self->fd < 0 && self->next_address == addresses->len)
        break;
      if (self->fd < 0)
        self->fd = open_socket (g_ptr_array_index (addresses, self->next_address++), &pending);
      state = self->fd < 0 ? -1 : pending ? look_at_connection (self->fd) : 1;
      if (state == 0)
        {
          strand_operation_add_fd (self, self->fd, G_IO_OUT);
          return;
        }
      *ready = state > 0 && !is_itself (self->fd);
      clear_fd (&self->fd);
      if (*ready)
        return;
    }
  self->next_address = 0;
  try_later (self);
}

/* A file. */

static gboolean
is_new_file (StrandOperation *self)
{
  struct stat file;

  if (stat (self->process->ready_text, &file) != 0)
    return FALSE;
  return !self->had_file || file.st_ino != self->file.st_ino || file.st_dev != self->file.st_dev ||
         file.st_ctim.tv_sec != self->file.st_ctim.tv_sec ||
         file.st_ctim.tv_nsec != self->file.st_ctim.tv_nsec;
}

static void
drain (int fd)
{
  char events[4096];

  while (read (fd, events, sizeof events) > 0)
    ;
}

/* The nearest folder above the file that can be watched, and now is; NULL if none can. */
static char *
watch_nearest (StrandOperation *self)
{
  g_autofree char *folder = g_path_get_dirname (self->process->ready_text);

  while (inotify_add_watch (self->fd, folder, INOTIFY_EVENTS) < 0)
    {
      gboolean missing = errno == ENOENT || errno == ENOTDIR;
      g_autofree char *below = g_steal_pointer (&folder);

      folder = g_path_get_dirname (below);
      if (!missing || strcmp (folder, below) == 0)
        return NULL;
    }
  return g_steal_pointer (&folder);
}

/* A folder may have come just before the one above it was watched: looks again until that is not so. */
static gboolean
watch_folder (StrandOperation *self)
{
  g_autofree char *nearest = watch_nearest (self);
  gboolean again = nearest != NULL;

  while (again)
    {
      g_autofree char *before = g_steal_pointer (&nearest);

      nearest = watch_nearest (self);
      again = nearest != NULL && strcmp (nearest, before) != 0;
    }
  return nearest != NULL;
}

/* A file that cannot be watched for (inotify's instances are few) is looked for as a port is. */
static void
check_file (StrandOperation *self, gboolean *ready)
{
  if (self->fd >= 0)
    drain (self->fd);
  /* Watches first, then looks: what comes between is seen. Folders may have come since. */
  if (self->fd < 0)
    self->fd = inotify_init1 (IN_CLOEXEC | IN_NONBLOCK);
  if (self->fd >= 0 && !watch_folder (self))
    clear_fd (&self->fd);
  *ready = is_new_file (self);
  if (*ready)
    return;
  if (self->fd >= 0)
    strand_operation_add_fd (self, self->fd, G_IO_IN);
  else if (is_due (self))
    try_later (self);
}

/* Any. */

gboolean
strand_readiness_prepare (StrandOperation *self, GError **error)
{
  StrandProcess *process = self->process;
  guint n_fds = self->n_fds;
  gboolean taken = FALSE;

  if (process->ready_kind == STRAND_READY_FILE)
    self->had_file = stat (process->ready_text, &self->file) == 0;
  if (process->ready_kind == STRAND_READY_AFTER && process->timeout_us >= 0 &&
      process->ready_after_us > process->timeout_us)
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
                   "it is ready after %.3f s, which is later than its timeout, %.3f s",
                   (double) process->ready_after_us / G_USEC_PER_SEC,
                   (double) process->timeout_us / G_USEC_PER_SEC);
      return FALSE;
    }
  if (process->ready_kind == STRAND_READY_PORT && process->ready_addresses->len == 0)
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
                   "it is to be ready at '%s', which is no IP address with a port",
                   process->ready_address_text);
      return FALSE;
    }
  if (process->ready_kind == STRAND_READY_PORT)
    check_port (self, &taken);
  if (taken)
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_EXISTS, "something else answers at %s already",
                   process->ready_address_text);
      return FALSE;
    }
  /* An answer that takes its time is not waited for. */
  clear_fd (&self->fd);
  self->n_fds = n_fds;
  self->next_address = 0;
  self->delay_us = self->retry_us = 0;
  return TRUE;
}

gboolean
strand_readiness_check (StrandOperation *self, gboolean *ready, GError **error)
{
  StrandProcess *process = self->process;
  gint64 due_us = self->spawned_us + process->ready_after_us;

  switch (process->ready_kind)
    {
    case STRAND_READY_FUNC:
      return check_func (self, ready, error);
    case STRAND_READY_AFTER:
      *ready = g_get_monotonic_time () >= due_us;
      strand_operation_add_due (self, due_us);
      break;
    case STRAND_READY_PORT:
      check_port (self, ready);
      break;
    case STRAND_READY_FILE:
      check_file (self, ready);
      break;
    case STRAND_READY_LINE:
      g_mutex_lock (&process->lock);
      *ready = process->line != NULL;
      g_mutex_unlock (&process->lock);
      break;
    default:
      *ready = TRUE;
    }
  return TRUE;
}

/* What has not happened. */
char *
strand_readiness_describe (StrandProcess *self)
{
  switch (self->ready_kind)
    {
    case STRAND_READY_FUNC:
      return g_strdup ("its predicate was never true");
    case STRAND_READY_PORT:
      return g_strdup_printf ("nothing answered at %s", self->ready_address_text);
    case STRAND_READY_FILE:
      return g_strdup_printf ("the file '%s' did not appear", self->ready_text);
    case STRAND_READY_LINE:
      return self->ready_text != NULL
                 ? g_strdup_printf ("no line on its stdout contained '%s'", self->ready_text)
                 : g_strdup ("it wrote no line to its stdout");
    default:
      return g_strdup ("it had not begun");
    }
}
