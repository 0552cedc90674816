/* strand-cron.c — the five fields of a crontab, as a set of moments.
 *
 * As in Vixie's cron, a day has to match both its fields if one of them begins with a star, and either of
 * them if none does. When clocks change: a line that names hours means what a person would read on the wall.
 * An hour that comes twice fires the first time only; a time that is skipped fires once, at the first minute
 * there is. A line for every hour goes by the minutes that pass, so that an interval stays one: it fires in
 * both of two equal hours, and makes up for nothing.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-cron-private.h"

#include <string.h>

#include "strand-error.h"

#define MINUTE 60
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

/* A line that fires at all does so within 40 years: 29 February on one day of the week, around 2100. */
#define LONGEST_DAYS (41 * 366)

/* No zone is further from UTC, and no change of one moves clocks further (Samoa left out a whole day). */
#define REACH (26 * HOUR)

typedef enum
{
  FIELD_MINUTE,
  FIELD_HOUR,
  FIELD_DAY,
  FIELD_MONTH,
  FIELD_WEEKDAY,
  N_FIELDS
} Field;

struct _StrandCron
{
  GTimeZone *zone;
  guint64 bits[N_FIELDS]; /* of the numbers that match; Sunday is 0 */
  gboolean star[N_FIELDS];
};

static const char *const months[] = { "jan", "feb", "mar", "apr", "may", "jun", "jul",
                                      "aug", "sep", "oct", "nov", "dec", NULL };
static const char *const weekdays[] = { "sun", "mon", "tue", "wed", "thu", "fri", "sat", NULL };

static const struct
{
  const char *name;
  guint first, last;
  const char *const *words; /* for first and those that follow */
} fields[N_FIELDS] = {
  { "minute", 0, 59, NULL },
  { "hour", 0, 23, NULL },
  { "day of the month", 1, 31, NULL },
  { "month", 1, 12, months },
  { "day of the week", 0, 7, weekdays }, /* Sunday at either end */
};

static const struct
{
  const char *word, *text;
} shorthands[] = {
  { "@yearly", "0 0 1 1 *" }, { "@annually", "0 0 1 1 *" }, { "@monthly", "0 0 1 * *" },
  { "@weekly", "0 0 * * 0" }, { "@daily", "0 0 * * *" },    { "@midnight", "0 0 * * *" },
  { "@hourly", "0 * * * *" },
};

/* --- reading ------------------------------------------------------------------------------------------ */

static gboolean
refuse (GError **error, Field field, const char *item, const char *why)
{
  g_autofree char *names =
      fields[field].words != NULL
          ? g_strdup_printf (", or %s to %s", fields[field].words[0],
                             fields[field].words[g_strv_length ((GStrv) fields[field].words) - 1])
          : g_strdup ("");

  g_set_error (
      error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
      "'%s' is no %s: %s; write %u to %u%s, a range as A-B, a step as */N or A-B/N, or several with ','",
      item, fields[field].name, why, fields[field].first, fields[field].last, names);
  return FALSE;
}

/* A number or a name at *@text, which is moved behind it. */
static gboolean
read_number (Field field, const char **text, guint *number)
{
  gsize length = strspn (*text, "0123456789");

  if (length > 0 && length <= 4)
    {
      *number = (guint) g_ascii_strtoull (*text, NULL, 10);
      *text += length;
      return TRUE;
    }
  for (guint i = 0; length == 0 && fields[field].words != NULL && fields[field].words[i] != NULL; i++)
    if (g_ascii_strncasecmp (*text, fields[field].words[i], 3) == 0 && !g_ascii_isalpha ((*text)[3]))
      {
        *number = fields[field].first + i;
        *text += 3;
        return TRUE;
      }
  return FALSE;
}

static gboolean
read_range (Field field, const char *item, const char **text, guint *first, guint *last, GError **error)
{
  gboolean single;

  if (**text == '*')
    {
      (*text)++;
      *first = fields[field].first;
      *last = field == FIELD_WEEKDAY ? 6 : fields[field].last;
      return TRUE;
    }
  if (!read_number (field, text, first))
    return refuse (error, field, item, "it is not understood");
  *last = *first;
  single = **text != '-';
  if (!single)
    {
      (*text)++;
      if (!read_number (field, text, last))
        return refuse (error, field, item, "the end of the range is not understood");
      if (field == FIELD_WEEKDAY && *last == 0 && *first > 0)
        *last = 7; /* Friday to Sunday */
    }
  if (*first < fields[field].first || *last > fields[field].last || *first > fields[field].last)
    return refuse (error, field, item, "it is out of range");
  if (*last < *first)
    return refuse (error, field, item, "the range ends before it begins; write it as two");
  if (single && **text == '/')
    return refuse (error, field, item, "a step needs a range before it");
  return TRUE;
}

static gboolean
read_item (StrandCron *self, Field field, const char *item, GError **error)
{
  const char *text = item;
  guint first, last, step = 1;

  if (!read_range (field, item, &text, &first, &last, error))
    return FALSE;
  if (*text == '/')
    {
      gsize length = strspn (++text, "0123456789");

      step = length > 0 && length <= 4 ? (guint) g_ascii_strtoull (text, NULL, 10) : 0;
      text += length;
      if (step == 0)
        return refuse (error, field, item, "the step is not a number from 1 on");
    }
  if (*text != '\0')
    return refuse (error, field, item, "it is not understood");
  for (guint i = first; i <= last; i += step)
    self->bits[field] |= G_GUINT64_CONSTANT (1) << (field == FIELD_WEEKDAY ? i % 7 : i);
  return TRUE;
}

static gboolean
read_field (StrandCron *self, Field field, const char *text, GError **error)
{
  g_auto(GStrv) items = g_strsplit (text, ",", -1);

  self->star[field] = text[0] == '*';
  for (guint i = 0; items[i] != NULL; i++)
    if (!read_item (self, field, items[i], error))
      return FALSE;
  return TRUE;
}

static const char *
expand (const char *text, GError **error)
{
  for (guint i = 0; i < G_N_ELEMENTS (shorthands); i++)
    if (g_ascii_strcasecmp (text, shorthands[i].word) == 0)
      return shorthands[i].text;
  if (text[0] != '@')
    return text;
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
               "'%s' is not known; write @hourly, @daily, @weekly, @monthly or @yearly, or five fields",
               text);
  return NULL;
}

static gboolean
read_line (StrandCron *self, const char *line, GError **error)
{
  const char *text = expand (line, error);
  g_auto(GStrv) parts = text != NULL ? g_strsplit_set (text, " \t", -1) : NULL;
  guint n = 0;

  if (parts == NULL)
    return FALSE;
  for (guint i = 0; parts[i] != NULL; i++)
    if (*parts[i] != '\0' && n++ < N_FIELDS && !read_field (self, (Field) (n - 1), parts[i], error))
      return FALSE;
  if (n == N_FIELDS)
    return TRUE;
  g_set_error (
      error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
      "'%s' has %u %s, and a cron line has five: minute, hour, day of the month, month, day of the week",
      line, n, n == 1 ? "field" : "fields");
  return FALSE;
}

/* --- the calendar ------------------------------------------------------------------------------------- */

static gboolean
has (StrandCron *self, Field field, guint number)
{
  return (self->bits[field] >> number & 1) != 0;
}

/* Days since 1970 to a date of the Gregorian calendar. */
static void
date_of (gint64 day, guint *month, guint *day_of_month)
{
  GDate date;

  /* GDate counts from 1 January of year 1. */
  g_date_clear (&date, 1);
  g_date_set_julian (&date, (guint32) (day + 719163));
  *month = g_date_get_month (&date);
  *day_of_month = g_date_get_day (&date);
}

static gboolean
matches_day (StrandCron *self, gint64 day)
{
  guint month, day_of_month;
  guint weekday = (guint) (((day + 4) % 7 + 7) % 7); /* 1 January 1970 was a Thursday */
  gboolean by_month, by_week;

  date_of (day, &month, &day_of_month);
  if (!has (self, FIELD_MONTH, month))
    return FALSE;
  by_month = has (self, FIELD_DAY, day_of_month);
  by_week = has (self, FIELD_WEEKDAY, weekday);
  return self->star[FIELD_DAY] || self->star[FIELD_WEEKDAY] ? by_month && by_week : by_month || by_week;
}

static gint64
floor_divide (gint64 a, gint64 b)
{
  return a / b - (a % b < 0);
}

/* --- wall clocks -------------------------------------------------------------------------------------- */

static int
interval_at (StrandCron *self, gint64 time_s)
{
  return g_time_zone_find_interval (self->zone, G_TIME_TYPE_UNIVERSAL, time_s);
}

static gint64
offset_at (StrandCron *self, gint64 time_s)
{
  return g_time_zone_get_offset (self->zone, interval_at (self, time_s));
}

/* The first moment of the interval that @time_s is in and @before_s is not. */
static gint64
start_of_interval (StrandCron *self, gint64 before_s, gint64 time_s)
{
  int interval = interval_at (self, time_s);

  while (time_s - before_s > 1)
    {
      gint64 middle_s = before_s + (time_s - before_s) / 2;

      if (interval_at (self, middle_s) == interval)
        time_s = middle_s;
      else
        before_s = middle_s;
    }
  return time_s;
}

/* When the clock on the wall shows @local_s (as if it were UTC) for the first time; where it never does, when
 * it is set past it. */
static gint64
moment_of (StrandCron *self, gint64 local_s)
{
  int first = interval_at (self, local_s - REACH);
  int last = interval_at (self, local_s + REACH);
  gint64 offset_s = g_time_zone_get_offset (self->zone, first);

  for (int i = first; i <= last; i++)
    {
      gint64 moment_s = local_s - g_time_zone_get_offset (self->zone, i);

      if (interval_at (self, moment_s) == i)
        return moment_s;
    }
  /* By the clock before it was set, it is that moment or later. */
  return start_of_interval (self, local_s - REACH, local_s - offset_s);
}

/* --- searching ---------------------------------------------------------------------------------------- */

/* Every hour: by the minutes that pass. -1 if there is none before @until_s. */
static gint64
next_by_minutes (StrandCron *self, gint64 after_s, gint64 until_s)
{
  gint64 time_s = after_s + 1;

  while (time_s < until_s)
    {
      gint64 local_s = time_s + offset_at (self, time_s);
      gint64 minute = floor_divide (local_s, MINUTE);

      if (local_s % MINUTE != 0)
        time_s += (minute + 1) * MINUTE - local_s;
      else if (!matches_day (self, floor_divide (local_s, DAY)))
        time_s += (floor_divide (local_s, HOUR) + 1) * HOUR - local_s;
      else if (!has (self, FIELD_MINUTE, (guint) (minute - floor_divide (minute, 60) * 60)))
        time_s += MINUTE;
      else
        return time_s;
    }
  return -1;
}

/* The first moment after @after_s on one day; -1 if there is none. */
static gint64
next_on_day (StrandCron *self, gint64 day, gint64 after_s)
{
  for (guint hour = 0; hour < 24; hour++)
    {
      /* Far before: without a look at each minute. */
      if (!has (self, FIELD_HOUR, hour) || day * DAY + (hour + 1) * HOUR < after_s - REACH)
        continue;
      for (guint minute = 0; minute < 60; minute++)
        if (has (self, FIELD_MINUTE, minute))
          {
            gint64 moment_s = moment_of (self, day * DAY + hour * HOUR + minute * MINUTE);

            if (moment_s > after_s)
              return moment_s;
          }
    }
  return -1;
}

static gint64
next_by_wall (StrandCron *self, gint64 after_s)
{
  /* A day whose clocks are behind ours may have begun two days ago by its calendar. */
  gint64 first = floor_divide (after_s, DAY) - 2;

  for (gint64 day = first; day < first + LONGEST_DAYS; day++)
    if (matches_day (self, day))
      {
        gint64 next_s = next_on_day (self, day, after_s);

        if (next_s >= 0)
          return next_s;
      }
  return -1;
}

gint64
strand_cron_next (StrandCron *self, gint64 after_us)
{
  gint64 after_s = floor_divide (after_us, G_USEC_PER_SEC);
  gint64 next_s = self->star[FIELD_HOUR] && self->bits[FIELD_HOUR] == (1 << 24) - 1
                      ? next_by_minutes (self, after_s, after_s + (gint64) LONGEST_DAYS * DAY)
                      : next_by_wall (self, after_s);

  return next_s >= 0 ? next_s * G_USEC_PER_SEC : -1;
}

/* Whether there is a date at all that it may fire on: 31 April never comes. */
static gboolean
ever_fires (StrandCron *self)
{
  for (gint64 day = 0; day < LONGEST_DAYS; day++)
    if (matches_day (self, day))
      return TRUE;
  return FALSE;
}

StrandCron *
strand_cron_new (const char *text, GTimeZone *zone, GError **error)
{
  g_autoptr(StrandCron) self = g_new0 (StrandCron, 1);

  self->zone = g_time_zone_ref (zone);
  if (!read_line (self, text, error))
    return NULL;
  if (!ever_fires (self))
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
                   "'%s' never fires: no such day of the month is in any of these months", text);
      return NULL;
    }
  return g_steal_pointer (&self);
}

void
strand_cron_free (StrandCron *self)
{
  g_time_zone_unref (self->zone);
  g_free (self);
}
