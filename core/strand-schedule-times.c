/* strand-schedule-times.c — which times a schedule names, and which of them were missed.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-schedule-private.h"

#include <string.h>

#include "strand-error.h"
#include "strand-param.h"

#define MINUTE_US (60 * (gint64) G_USEC_PER_SEC)

/* More often than that, and a store has nothing else to do. */
#define SHORTEST_EVERY_US (100 * 1000)

static GTimeZone *
open_zone (const char *name, GError **error)
{
  GTimeZone *zone =
      strcmp (name, "local") == 0 ? g_time_zone_new_local () : g_time_zone_new_identifier (name);

  if (zone == NULL)
    g_set_error (
        error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
        "there is no time zone '%s' on this machine; write one as Europe/Lisbon, +02:00, UTC or local", name);
  return zone;
}

static gboolean
check_every (gint64 every_us, GError **error)
{
  g_autofree char *text = NULL;

  if (every_us >= SHORTEST_EVERY_US)
    return TRUE;
  text = strand_duration_to_string (every_us);
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
               "'%s' is too often; write a duration of 100ms or more", text);
  return FALSE;
}

/* NULL with an error, and which of the three settings is to blame. */
ScheduleTiming *
schedule_timing_new (gint64 every_us, const char *cron, const char *zone, const char **key, GError **error)
{
  g_autofree ScheduleTiming *self = g_new0 (ScheduleTiming, 1);
  g_autoptr(GTimeZone) time_zone = NULL;

  *key = "cron";
  if ((every_us == 0) == (cron == NULL))
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
                   cron == NULL ? "it does not say when; write every=DURATION or cron=FIVE FIELDS"
                                : "there are both 'every' and 'cron'; keep one of them");
      return NULL;
    }
  *key = "every";
  if (cron == NULL)
    {
      if (!check_every (every_us, error))
        return NULL;
      self->every_us = every_us;
      self->text = g_strdup_printf ("every %" G_GINT64_FORMAT, every_us);
      return g_steal_pointer (&self);
    }
  *key = "time-zone";
  time_zone = open_zone (zone, error);
  if (time_zone == NULL)
    return NULL;
  *key = "cron";
  self->cron = strand_cron_new (cron, time_zone, error);
  if (self->cron == NULL)
    return NULL;
  self->text = g_strdup_printf ("cron %s %s", g_time_zone_get_identifier (time_zone), cron);
  return g_steal_pointer (&self);
}

void
schedule_timing_free (ScheduleTiming *self)
{
  g_clear_pointer (&self->cron, strand_cron_free);
  g_free (self->text);
  g_free (self);
}

gint64
schedule_timing_next (ScheduleTiming *self, gint64 after_us)
{
  return self->cron != NULL ? strand_cron_next (self->cron, after_us) : after_us + self->every_us;
}

/* All times from @first_us, which is one, to @until_us; only those after @from_us. */
static void
list_cron (ScheduleTiming *self, gint64 first_us, gint64 from_us, gint64 until_us, GArray *times)
{
  gint64 time_us = from_us < first_us ? first_us : strand_cron_next (self->cron, from_us);

  g_array_set_size (times, 0);
  for (; time_us >= 0 && time_us <= until_us; time_us = strand_cron_next (self->cron, time_us))
    g_array_append_val (times, time_us);
}

/* The last times of those from @first_us, which is one, to @until_us; in order. */
GArray *
schedule_timing_list_last (ScheduleTiming *self, gint64 first_us, gint64 until_us, guint limit)
{
  GArray *times = g_array_new (FALSE, FALSE, sizeof (gint64));
  gint64 window_us = MINUTE_US;

  if (self->cron == NULL)
    {
      gint64 n = (until_us - first_us) / self->every_us + 1;

      for (gint64 i = MAX (n - (gint64) limit, 0); until_us >= first_us && i < n; i++)
        {
          gint64 time_us = first_us + i * self->every_us;

          g_array_append_val (times, time_us);
        }
      return times;
    }
  /* Backwards in larger and larger windows: after a year without anybody, a line for each minute has half a
   * million times. */
  do
    {
      list_cron (self, first_us, until_us - window_us, until_us, times);
      window_us *= 2;
    }
  while (times->len < limit && until_us - window_us / 2 >= first_us);
  if (times->len > limit)
    g_array_remove_range (times, 0, times->len - limit);
  return times;
}
