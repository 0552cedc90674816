/* coroutine-counts.c — how many calls wait, and who is told when fewer do.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "coroutine-counts.h"

CoroutineCounts *
coroutine_counts_new (void)
{
  CoroutineCounts *self = g_new0 (CoroutineCounts, 1);

  g_atomic_ref_count_init (&self->ref_count);
  g_mutex_init (&self->lock);
  g_mutex_init (&self->loops_lock);
  g_cond_init (&self->quiet);
  g_cond_init (&self->room);
  return self;
}

CoroutineCounts *
coroutine_counts_ref (CoroutineCounts *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
coroutine_counts_unref (CoroutineCounts *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  g_mutex_clear (&self->lock);
  g_mutex_clear (&self->loops_lock);
  g_cond_clear (&self->quiet);
  g_cond_clear (&self->room);
  g_free (self);
}

void
coroutine_counts_tell (CoroutineCounts *self)
{
  if (!g_atomic_int_get (&self->closing))
    return;
  g_mutex_lock (&self->lock);
  self->n_news++;
  g_cond_broadcast (&self->quiet);
  g_mutex_unlock (&self->lock);
}
