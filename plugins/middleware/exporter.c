/* exporter.c — brings what a middleware has gathered out of the program, now and then.
 *
 * A thread starts with the first news, sleeps for the interval so that a burst is exported once, exports, and
 * waits for more: a program without calls wakes for nothing. What is new when the program exits is exported
 * from an exit handler, because most programs let their stack go by exiting. A forked child leaves that to
 * its parent.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "exporter.h"

#include <stdlib.h>
#include <unistd.h>

struct _Exporter
{
  const char *name;
  gint64 interval_us;
  ExporterFunc func;
  gpointer data;
  pid_t process; /* that made it */
  GList link;    /* in `exporters` */

  GMutex exporting; /* held while @func runs; taken before the lock below */

  int dirty; /* atomic; becomes TRUE under the lock */

  GMutex lock; /* guards everything below */
  GCond changed;
  GThread *thread;
  gboolean hurried;
  gboolean stopping;
};

static GMutex exporters_lock; /* guards the queue, and is held while the exit handler exports */
static GQueue exporters;

static void
export_locked (Exporter *self)
{
  /* Cleared first: what comes while this runs may have come too late for it. */
  g_atomic_int_set (&self->dirty, FALSE);
  if (!self->func (self->data))
    g_atomic_int_set (&self->dirty, TRUE);
}

/* Whoever drains waits for an export that is under way: until that has ended, nothing is out. */
void
exporter_drain (Exporter *self)
{
  g_mutex_lock (&self->exporting);
  if (g_atomic_int_get (&self->dirty))
    export_locked (self);
  g_mutex_unlock (&self->exporting);
}

static void
export_at_exit (void)
{
  g_mutex_lock (&exporters_lock);
  for (GList *l = exporters.head; l != NULL; l = l->next)
    if (((Exporter *) l->data)->process == getpid ())
      exporter_drain (l->data);
  g_mutex_unlock (&exporters_lock);
}

Exporter *
exporter_new (const char *name, gint64 interval_us, ExporterFunc func, gpointer data)
{
  static gsize registered;
  Exporter *self = g_new0 (Exporter, 1);

  if (g_once_init_enter (&registered))
    {
      atexit (export_at_exit);
      g_once_init_leave (&registered, 1);
    }
  self->name = name;
  self->interval_us = interval_us;
  self->func = func;
  self->data = data;
  self->process = getpid ();
  self->link.data = self;
  g_mutex_init (&self->exporting);
  g_mutex_init (&self->lock);
  g_cond_init (&self->changed);
  g_mutex_lock (&exporters_lock);
  g_queue_push_tail_link (&exporters, &self->link);
  g_mutex_unlock (&exporters_lock);
  return self;
}

static gpointer
run (gpointer data)
{
  Exporter *self = data;

  g_mutex_lock (&self->lock);
  while (!self->stopping)
    {
      gint64 until_us = g_get_monotonic_time () + self->interval_us;

      if (!g_atomic_int_get (&self->dirty))
        {
          g_cond_wait (&self->changed, &self->lock);
          continue;
        }
      while (!self->stopping && !self->hurried && g_cond_wait_until (&self->changed, &self->lock, until_us))
        ;
      self->hurried = FALSE;
      g_mutex_unlock (&self->lock);
      exporter_drain (self);
      g_mutex_lock (&self->lock);
    }
  g_mutex_unlock (&self->lock);
  return NULL;
}

static void
touch (Exporter *self, gboolean hurry)
{
  g_mutex_lock (&self->lock);
  g_atomic_int_set (&self->dirty, TRUE);
  self->hurried |= hurry;
  if (self->thread == NULL && !self->stopping)
    self->thread = g_thread_new (self->name, run, self);
  g_cond_signal (&self->changed);
  g_mutex_unlock (&self->lock);
}

void
exporter_touch (Exporter *self)
{
  if (!g_atomic_int_get (&self->dirty))
    touch (self, FALSE);
}

void
exporter_hurry (Exporter *self)
{
  touch (self, TRUE);
}

void
exporter_flush (Exporter *self)
{
  g_mutex_lock (&self->exporting);
  export_locked (self);
  g_mutex_unlock (&self->exporting);
}

void
exporter_free (Exporter *self)
{
  GThread *thread;

  g_mutex_lock (&exporters_lock);
  g_queue_unlink (&exporters, &self->link);
  g_mutex_unlock (&exporters_lock);

  g_mutex_lock (&self->lock);
  self->stopping = TRUE;
  thread = self->thread;
  g_cond_signal (&self->changed);
  g_mutex_unlock (&self->lock);
  if (thread != NULL)
    g_thread_join (thread);
  if (self->process == getpid ())
    exporter_drain (self);

  g_mutex_clear (&self->exporting);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->changed);
  g_free (self);
}
