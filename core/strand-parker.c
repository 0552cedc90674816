/* strand-parker.c — how a function that waits lets others use its thread.
 *
 * The current parker is the thread's, and so is what strand notes of the call that a thread runs; both follow
 * the function when it is set aside. A StrandCond keeps a list of those who are parked beside a GCond for
 * threads, so the code that waits is the same for both.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-parker-private.h"
#include "strand-call-private.h"

struct _StrandParked
{
  StrandParked *next;
  StrandParker *parker;
  gboolean listed;
};

static _Thread_local StrandParker *current;

enum
{
  SAVED_PARKER,
  SAVED_RUNNING,
  SAVED_DELIVERING,
};

/**
 * strand_parker_enter: (skip)
 * @self: the parker of the function that this thread goes on with
 *
 * For taskrunners: makes @self the thread's current parker. Nothing is allocated.
 *
 * Since: 1.0
 */
void
strand_parker_enter (StrandParker *self)
{
  const StrandFrame *running = strand_running, *delivering = strand_delivering;

  strand_running = self->saved[SAVED_RUNNING];
  strand_delivering = self->saved[SAVED_DELIVERING];
  self->saved[SAVED_RUNNING] = (gpointer) running;
  self->saved[SAVED_DELIVERING] = (gpointer) delivering;
  self->saved[SAVED_PARKER] = current;
  current = self;
}

/**
 * strand_parker_leave: (skip)
 * @self: the current parker
 *
 * For taskrunners: the function has been set aside or has returned.
 *
 * Since: 1.0
 */
void
strand_parker_leave (StrandParker *self)
{
  const StrandFrame *running = strand_running, *delivering = strand_delivering;

  strand_running = self->saved[SAVED_RUNNING];
  strand_delivering = self->saved[SAVED_DELIVERING];
  self->saved[SAVED_RUNNING] = (gpointer) running;
  self->saved[SAVED_DELIVERING] = (gpointer) delivering;
  current = self->saved[SAVED_PARKER];
}

/**
 * strand_parker_get_current: (skip)
 *
 * Asks whether this thread can set aside the function that it runs, as a coroutine's can.
 *
 * Returns: (nullable): the parker of the function that this thread runs, or `NULL` if it cannot be set aside
 * Since: 1.0
 */
StrandParker *
strand_parker_get_current (void)
{
  return current;
}

/**
 * strand_parker_deliver: (skip)
 * @deadline_us: until when, as g_get_monotonic_time() counts
 *
 * For taskrunners that run functions in a main context, while they dispatch a source of it: calls the
 * callbacks that wait for the thread-default context at default priority, which the context would do in its
 * next iteration.
 *
 * Since: 1.0
 */
void
strand_parker_deliver (gint64 deadline_us)
{
  strand_delivery_dispatch (strand_delivery_peek_default (G_PRIORITY_DEFAULT), deadline_us);
}

void
strand_cond_init (StrandCond *self)
{
  g_cond_init (&self->cond);
  self->n_threads = 0;
  self->parked = NULL;
}

void
strand_cond_clear (StrandCond *self)
{
  g_assert (self->parked == NULL);
  g_cond_clear (&self->cond);
}

static void
unlist (StrandCond *self, StrandParked *parked)
{
  StrandParked **link = &self->parked;

  while (*link != parked)
    link = &(*link)->next;
  *link = parked->next;
}

void
strand_cond_wait (StrandCond *self, GMutex *lock)
{
  StrandParked parked = { self->parked, current, TRUE };

  if (current == NULL)
    {
      self->n_threads++;
      g_cond_wait (&self->cond, lock);
      self->n_threads--;
      return;
    }

  self->parked = &parked;
  g_mutex_unlock (lock);
  parked.parker->park (parked.parker);
  g_mutex_lock (lock);
  if (parked.listed)
    unlist (self, &parked);
}

void
strand_cond_broadcast (StrandCond *self)
{
  while (self->parked != NULL)
    {
      StrandParked *parked = self->parked;

      self->parked = parked->next;
      parked->listed = FALSE;
      /* It takes the lock, which we hold, before it goes on: parker and list entry stay meanwhile. */
      parked->parker->unpark (parked->parker);
    }
  if (self->n_threads > 0)
    g_cond_broadcast (&self->cond);
}
