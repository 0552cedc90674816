/* strand-run-process-output.c — what a guarded process says, passed on.
 *
 * The guard itself must never wait for whoever reads its output, for it may have to end somebody meanwhile.
 * So it only takes what is there, and a thread for each stream writes it on. A reader that is too slow holds
 * back the process, as it would without a guard.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-run-process-private.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* As much as a pipe holds. */
#define MAX_QUEUE_BYTES 65536

static void
write_all (int fd, const char *text, gsize size)
{
  while (size > 0)
    {
      gssize n = write (fd, text, size);

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return; /* nobody reads it any more */
      text += n;
      size -= (gsize) n;
    }
}

static gpointer
pass_on (gpointer data)
{
  StrandGuardStream *self = data;
  g_autoptr(GString) text = g_string_new (NULL);

  while (TRUE)
    {
      g_mutex_lock (&self->lock);
      /* What was taken counts as queued until it is written, so that a flush waits for it. */
      g_string_erase (self->queue, 0, (gssize) text->len);
      g_cond_broadcast (&self->changed);
      while (self->queue->len == 0)
        g_cond_wait (&self->changed, &self->lock);
      g_string_truncate (text, 0);
      g_string_append_len (text, self->queue->str, (gssize) self->queue->len);
      g_mutex_unlock (&self->lock);
      write_all (self->to, text->str, text->len);
    }
  return NULL;
}

void
strand_guard_stream_open (StrandGuardStream *self, int from, int to)
{
  self->from = from;
  self->to = to;
  g_mutex_init (&self->lock);
  g_cond_init (&self->changed);
  self->queue = g_string_new (NULL);
  if (to >= 0)
    g_thread_unref (g_thread_new ("strand-output", pass_on, self));
}

gboolean
strand_guard_stream_has_room (StrandGuardStream *self)
{
  gboolean room;

  if (self->from < 0)
    return FALSE;
  g_mutex_lock (&self->lock);
  room = self->queue->len < MAX_QUEUE_BYTES;
  g_mutex_unlock (&self->lock);
  return room;
}

/* All that is there. */
void
strand_guard_stream_read (StrandGuardStream *self, StrandGuardLook look)
{
  char buffer[4096];
  gsize limit = MAX_QUEUE_BYTES;
  gssize n = -1;

  while (self->from >= 0 && limit > 0)
    {
      n = read (self->from, buffer, sizeof buffer);
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0 && errno == EAGAIN)
        return;
      if (n <= 0)
        {
          close (self->from);
          self->from = -1;
          return;
        }

      if (look != NULL)
        look (buffer, (gsize) n);
      if (self->to >= 0)
        {
          g_mutex_lock (&self->lock);
          g_string_append_len (self->queue, buffer, n);
          g_cond_broadcast (&self->changed);
          g_mutex_unlock (&self->lock);
        }
      limit -= MIN (limit, (gsize) n);
    }
}

void
strand_guard_stream_flush (StrandGuardStream *self, gint64 deadline_us)
{
  if (self->queue == NULL)
    return;
  g_mutex_lock (&self->lock);
  while (self->queue->len > 0 && g_cond_wait_until (&self->changed, &self->lock, deadline_us))
    ;
  g_mutex_unlock (&self->lock);
}
