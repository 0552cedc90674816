/* strand-run-process-operation.c — what is waited for between the steps of a start, a wait or an end.
 *
 * A step never blocks; it says for which descriptors, and until when, there is nothing to do. So the same
 * steps serve a thread, which sleeps in poll(), a coroutine, which is parked while its context polls, and a
 * callback. Each operation has an eventfd, because news of the process goes to one of several that may wait
 * for it, and that one tells the others.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-call-private.h"
#include "strand-parker-private.h"
#include "strand-run-process-private.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

StrandOperation *
strand_operation_new (StrandProcess *process, GCancellable *cancellable,
                      gboolean (*step) (StrandOperation *self, GError **error))
{
  StrandOperation *self = g_new0 (StrandOperation, 1);
  GPollFD fd;

  self->process = process;
  self->step = step;
  self->deadline_us = G_MAXINT64;
  self->fd = -1;
  self->cancel_fd = -1;
  self->wake_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (cancellable != NULL && g_cancellable_make_pollfd (cancellable, &fd))
    {
      self->cancellable = g_object_ref (cancellable);
      self->cancel_fd = fd.fd;
    }
  g_mutex_lock (&process->lock);
  process->operations = g_slist_prepend (process->operations, self);
  g_mutex_unlock (&process->lock);
  return self;
}

void
strand_operation_free (StrandOperation *self)
{
  g_mutex_lock (&self->process->lock);
  self->process->operations = g_slist_remove (self->process->operations, self);
  g_mutex_unlock (&self->process->lock);
  if (self->cancellable != NULL)
    g_cancellable_release_fd (self->cancellable);
  g_clear_object (&self->cancellable);
  if (self->fd >= 0)
    close (self->fd);
  if (self->wake_fd >= 0)
    close (self->wake_fd);
  g_clear_error (&self->failure);
  g_free (self);
}

void
strand_operation_add_fd (StrandOperation *self, int fd, int events)
{
  g_assert (self->n_fds < G_N_ELEMENTS (self->fds));
  if (fd >= 0)
    self->fds[self->n_fds++] = (GPollFD){ fd, (gushort) events, 0 };
}

void
strand_operation_add_due (StrandOperation *self, gint64 due_us)
{
  self->due_us = MIN (self->due_us, due_us);
}

/* TRUE when there is nothing left to do. */
static gboolean
step (StrandOperation *self, GError **error)
{
  guint64 n;

  /* Before the look, so that no news falls between. */
  if (read (self->wake_fd, &n, sizeof n) < 0)
    g_assert (errno == EAGAIN || errno == EINTR);
  self->n_fds = 0;
  self->due_us = G_MAXINT64;
  strand_operation_add_fd (self, self->wake_fd, G_IO_IN);
  strand_operation_add_fd (self, self->cancel_fd, G_IO_IN);
  if (self->step (self, error))
    return TRUE;
  strand_operation_add_due (self, self->deadline_us);
  return FALSE;
}

static void
sleep_in_poll (StrandOperation *self)
{
  gint64 left_us = self->due_us - g_get_monotonic_time ();
  int timeout_ms = -1;

  if (self->due_us < G_MAXINT64)
    timeout_ms = (int) CLAMP (left_us / 1000 + 1, 0, 60000);
  g_poll (self->fds, self->n_fds, timeout_ms);
}

/* A source that wakes once. */

static gboolean
dispatch (GSource *source, GSourceFunc func, gpointer data)
{
  return func (data);
}

static GSourceFuncs source_funcs = { NULL, NULL, dispatch, NULL, NULL, NULL };

static void
wake_in_context (StrandOperation *self, GMainContext *context, int priority, GSourceFunc func, gpointer data)
{
  g_autoptr(GSource) source = g_source_new (&source_funcs, sizeof (GSource));

  for (guint i = 0; i < self->n_fds; i++)
    g_source_add_unix_fd (source, self->fds[i].fd, self->fds[i].events);
  if (self->due_us < G_MAXINT64)
    g_source_set_ready_time (source, self->due_us);
  g_source_set_priority (source, priority);
  g_source_set_callback (source, func, data, NULL);
  g_source_set_static_name (source, "strand-process");
  g_source_attach (source, context);
}

/* Of a coroutine. */

typedef struct
{
  StrandParker *parker;
  gboolean woken; /* this thread's: it iterates the context */
} Sleeper;

static gboolean
on_wake (gpointer data)
{
  Sleeper *sleeper = data;

  sleeper->woken = TRUE;
  sleeper->parker->unpark (sleeper->parker);
  return G_SOURCE_REMOVE;
}

static void
sleep_parked (StrandOperation *self, StrandParker *parker)
{
  g_autoptr(GMainContext) context = g_main_context_ref_thread_default ();
  Sleeper sleeper = { parker, FALSE };

  wake_in_context (self, context, G_PRIORITY_DEFAULT, on_wake, &sleeper);
  while (!sleeper.woken)
    parker->park (parker);
}

gboolean
strand_operation_run (StrandOperation *self, GError **error)
{
  StrandParker *parker = strand_parker_get_current ();
  GError *local = NULL;

  while (!step (self, &local))
    if (parker != NULL)
      sleep_parked (self, parker);
    else
      sleep_in_poll (self);

  if (local == NULL)
    return TRUE;
  g_propagate_error (error, local);
  return FALSE;
}

/* Of a callback. */

static void
free_operation (gpointer data)
{
  strand_operation_free (data);
}

static gboolean
on_step (gpointer data)
{
  GTask *task = data;
  StrandOperation *self = g_task_get_task_data (task);
  GError *error = NULL;

  if (!step (self, &error))
    {
      wake_in_context (self, g_task_get_context (task), g_task_get_priority (task), on_step, task);
      return G_SOURCE_REMOVE;
    }
  if (error != NULL)
    g_task_return_error (task, error);
  else
    g_task_return_boolean (task, TRUE);
  g_object_unref (task);
  return G_SOURCE_REMOVE;
}

void
strand_operation_run_async (StrandOperation *self, GTask *task)
{
  /* The steps know themselves whether a cancel still counts. */
  g_task_set_check_cancellable (task, FALSE);
  g_task_set_task_data (task, self, free_operation);
  self->n_fds = 0;
  self->due_us = 0;
  wake_in_context (self, g_task_get_context (task), g_task_get_priority (task), on_step, task);
}
