/* strand-reader-alarm.c — stops calls whose leases could not be renewed, before somebody else may have them.
 *
 * The keeper renews them, and may be waiting for a store that does not answer; so the clock's thread tells
 * the time. What is stopped here is not lost for that: if nobody has taken it by the time the store answers
 * again, it is settled, or given back.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-reader-private.h"

#include "strand-clock.h"

static void on_alarm (gpointer reader);

/* When the first of the leases that are held is no longer safe; G_MAXINT64 if none is held. */
static gint64
find_first_locked (StrandReader *self)
{
  gint64 first_us = G_MAXINT64;

  for (GList *l = self->all.head; l != NULL; l = l->next)
    {
      ReaderCall *call = l->data;

      if (!call->lost)
        first_us = MIN (first_us, call->renewed_us + READER_LEASE_SAFE (self->lease_us));
    }
  return first_us;
}

/* Called with the reader's lock when a call has come. Times are compared by the system's clock, as leases
 * are; the alarm's clock may be a test's. */
void
reader_set_alarm_locked (StrandReader *self)
{
  gint64 first_us = self->alarm == 0 && !self->over ? find_first_locked (self) : G_MAXINT64;
  gint64 wait_us = MAX (first_us - g_get_monotonic_time (), 0);

  if (first_us != G_MAXINT64)
    self->alarm = strand_clock_add_timer (strand_clock_monotonic_us () + wait_us + 1, on_alarm, self, NULL);
}

static GPtrArray *
dup_overdue_locked (StrandReader *self)
{
  GPtrArray *calls = g_ptr_array_new_with_free_func (reader_call_unref);
  gint64 now_us = g_get_monotonic_time ();

  for (GList *l = self->all.head; l != NULL; l = l->next)
    {
      ReaderCall *call = l->data;

      if (!call->lost && now_us - call->renewed_us > READER_LEASE_SAFE (self->lease_us))
        g_ptr_array_add (calls, reader_call_ref (call));
    }
  return calls;
}

/* Strand's timer thread. The reader stays at least until the alarm is noted as over. */
static void
on_alarm (gpointer reader)
{
  StrandReader *self = reader;
  g_autoptr(GPtrArray) calls = NULL;

  g_mutex_lock (&self->lock);
  calls = dup_overdue_locked (self);
  g_mutex_unlock (&self->lock);

  for (guint i = 0; i < calls->len; i++)
    reader_call_lose (g_ptr_array_index (calls, i), "its lease could not be renewed in time");

  g_mutex_lock (&self->lock);
  self->alarm = 0;
  reader_set_alarm_locked (self);
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
}

/* When the reader is over, so that no other alarm is set. */
void
reader_clear_alarm (StrandReader *self)
{
  guint64 alarm;

  g_mutex_lock (&self->lock);
  alarm = self->alarm;
  g_mutex_unlock (&self->lock);
  if (alarm == 0 || strand_clock_remove_timer (alarm))
    return;
  g_mutex_lock (&self->lock);
  while (self->alarm == alarm)
    g_cond_wait (&self->changed, &self->lock);
  g_mutex_unlock (&self->lock);
}
