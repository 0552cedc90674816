/* watch-rest.c — how long a watch goes on when nobody needs it.
 *
 * A program that waits for one call after the other begins to watch and stops for each of them. It would pay
 * a thread each time, and what the thread needs: a connection, or a watch on each folder. So a watch that
 * nobody needs stays ready for a while, and only then ends by itself; who comes later starts another one.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "watch-rest.h"

/* Far longer than a program takes from one call to the next, and soon over for one that has ended. */
#define REST_US G_USEC_PER_SEC

void
watch_rest_init (WatchRest *self)
{
  g_mutex_init (&self->lock);
  self->end_us = G_MAXINT64;
  self->ended = FALSE;
}

void
watch_rest_clear (WatchRest *self)
{
  g_mutex_clear (&self->lock);
}

void
watch_rest_begin (WatchRest *self)
{
  g_mutex_lock (&self->lock);
  self->end_us = g_get_monotonic_time () + REST_US;
  g_mutex_unlock (&self->lock);
}

gboolean
watch_rest_resume (WatchRest *self)
{
  gboolean goes_on;

  g_mutex_lock (&self->lock);
  goes_on = !self->ended;
  self->end_us = G_MAXINT64;
  g_mutex_unlock (&self->lock);
  return goes_on;
}

gint64
watch_rest_get_end (WatchRest *self)
{
  gint64 end_us;

  g_mutex_lock (&self->lock);
  end_us = self->end_us;
  g_mutex_unlock (&self->lock);
  return end_us;
}

gboolean
watch_rest_is_over (WatchRest *self)
{
  gboolean ended;

  g_mutex_lock (&self->lock);
  ended = self->ended = g_get_monotonic_time () >= self->end_us;
  g_mutex_unlock (&self->lock);
  return ended;
}
