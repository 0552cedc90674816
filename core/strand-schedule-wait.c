/* strand-schedule-wait.c — waiting for the time at which a schedule is to be looked at.
 *
 * A look runs on a thread of strand's own, one at a time: who wants one meanwhile has it done again after
 * that. The alarm is set anew after each look; one that was taken back may still run, so each has a number.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-schedule-private.h"

#include "strand-blocking-private.h"
#include "strand-clock.h"
#include "strand-log.h"

/* Wall clocks are set, so one that waits for long looks at it now and then. It does not look at the store. */
#define LONGEST_SLEEP_US (60 * (gint64) G_USEC_PER_SEC)

/* Between looks at a store that does not answer. */
#define TROUBLE_US (5 * (gint64) G_USEC_PER_SEC)

static void tick (gpointer schedule);

/* Has somebody look, now or after the look that is under way. */
void
schedule_want_tick_locked (StrandSchedule *self)
{
  if (!self->started)
    return;
  if (self->ticking)
    {
      self->again = TRUE;
      return;
    }
  self->ticking = TRUE;
  strand_blocking_run (tick, g_object_ref (self));
}

/* Removing a timer does not wait for one that runs just now, so each knows whether it is still the one. */
typedef struct
{
  StrandSchedule *schedule;
  guint number;
} Alarm;

static void
alarm_free (gpointer data)
{
  Alarm *alarm = data;

  g_object_unref (alarm->schedule);
  g_free (alarm);
}

static void on_alarm (gpointer alarm);

static void
arm_locked (StrandSchedule *self)
{
  Alarm *alarm;
  gint64 wait_us;

  if (!self->started || self->next_us == G_MAXINT64)
    return;
  alarm = g_new (Alarm, 1);
  alarm->schedule = g_object_ref (self);
  alarm->number = ++self->n_alarms;
  wait_us = CLAMP (self->next_us - strand_clock_now_us (), 0, LONGEST_SLEEP_US);
  self->timer = strand_clock_add_timer (strand_clock_monotonic_us () + wait_us, on_alarm, alarm, alarm_free);
  /* A manual clock may have been advanced before the timer was there. */
  if (strand_clock_now_us () >= self->next_us)
    schedule_want_tick_locked (self);
}

static void
on_alarm (gpointer data)
{
  Alarm *alarm = data;
  StrandSchedule *self = alarm->schedule;

  g_mutex_lock (&self->lock);
  if (alarm->number == self->n_alarms)
    {
      self->timer = 0;
      if (strand_clock_now_us () >= self->next_us)
        schedule_want_tick_locked (self);
      else
        arm_locked (self);
    }
  g_mutex_unlock (&self->lock);
}

void
schedule_disarm_locked (StrandSchedule *self)
{
  guint64 timer = self->timer;

  self->timer = 0;
  self->n_alarms++;
  if (timer == 0)
    return;
  /* Unlocked, because an alarm that runs now waits for the lock. */
  g_mutex_unlock (&self->lock);
  strand_clock_remove_timer (timer);
  g_mutex_lock (&self->lock);
}

/* Says what keeps calls from being left, once. */
static void
complain (StrandSchedule *self, const GError *problem)
{
  const char *text = problem != NULL ? problem->message : NULL;

  if (g_strcmp0 (text, self->trouble) == 0)
    return;
  if (text != NULL)
    g_warning ("Schedule '%s' leaves no calls from here: %s", self->name, text);
  g_free (self->trouble);
  self->trouble = g_strdup (text);
}

/* One look, and what follows of it. FALSE with an error of the store. */
gboolean
schedule_look (StrandSchedule *self, gint64 *next_us, GError **error)
{
  g_autoptr(GError) problem = NULL;

  if (!schedule_tick (self, next_us, &problem, error))
    return FALSE;
  complain (self, problem);
  return TRUE;
}

/* After a look: waits, unless something has happened meanwhile. */
void
schedule_go_on_locked (StrandSchedule *self, gint64 next_us)
{
  gboolean again;

  schedule_disarm_locked (self);
  again = self->again;
  self->next_us = next_us;
  self->again = FALSE;
  self->ticking = FALSE;
  if (again)
    schedule_want_tick_locked (self);
  else
    arm_locked (self);
  g_cond_broadcast (&self->changed);
}

static void
tick (gpointer data)
{
  g_autoptr(StrandSchedule) self = data;
  g_autoptr(GError) error = NULL;
  gint64 next_us = G_MAXINT64;

  if (!schedule_look (self, &next_us, &error))
    {
      complain (self, error);
      next_us = strand_clock_now_us () + TROUBLE_US;
    }
  g_mutex_lock (&self->lock);
  schedule_go_on_locked (self, next_us);
  g_mutex_unlock (&self->lock);
}
