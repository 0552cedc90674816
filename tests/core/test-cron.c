/* test-cron.c — when a cron line fires.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <string.h>

#include "strand.h"

#include "../../core/strand-cron-private.h"

static StrandCron *
read_line (const char *text, const char *zone)
{
  g_autoptr(GTimeZone) time_zone = g_time_zone_new_identifier (zone);
  g_autoptr(GError) error = NULL;
  StrandCron *cron;

  g_assert_nonnull (time_zone); /* tests need tzdata */
  cron = strand_cron_new (text, time_zone, &error);
  g_assert_no_error (error);
  return cron;
}

static gint64
read_time (const char *text)
{
  g_autoptr(GTimeZone) utc = g_time_zone_new_utc ();
  g_autoptr(GDateTime) time = g_date_time_new_from_iso8601 (text, utc);

  g_assert_nonnull (time);
  return g_date_time_to_unix (time) * G_USEC_PER_SEC;
}

/* The times after @after, as the clock in @zone shows them with its distance from UTC. */
static char *
list_times (const char *line, const char *zone, const char *after, guint n)
{
  g_autoptr(StrandCron) cron = read_line (line, zone);
  g_autoptr(GTimeZone) time_zone = g_time_zone_new_identifier (zone);
  g_autoptr(GString) all = g_string_new (NULL);
  gint64 time_us = read_time (after);

  for (guint i = 0; i < n; i++)
    {
      g_autoptr(GDateTime) time = NULL;
      g_autoptr(GDateTime) there = NULL;
      g_autofree char *text = NULL;

      time_us = strand_cron_next (cron, time_us);
      g_assert_cmpint (time_us, >, 0);
      time = g_date_time_new_from_unix_utc (time_us / G_USEC_PER_SEC);
      there = g_date_time_to_timezone (time, time_zone);
      text = g_date_time_format (there, "%Y-%m-%d %H:%M %a %z");
      g_string_append_printf (all, "%s%s", i > 0 ? ", " : "", text);
    }
  return g_string_free (g_steal_pointer (&all), FALSE);
}

typedef struct
{
  const char *name, *line, *zone, *after, *expected;
} Example;

static const Example examples[] = {
  { "each-minute", "* * * * *", "UTC", "2026-01-01T00:00:30Z",
    "2026-01-01 00:01 Thu +0000, 2026-01-01 00:02 Thu +0000, 2026-01-01 00:03 Thu +0000" },
  { "never-the-moment-itself", "0 12 * * *", "UTC", "2026-01-01T12:00:00Z", "2026-01-02 12:00 Fri +0000" },
  { "steps", "*/20 9-17/4 * * *", "UTC", "2026-01-01T09:30:00Z",
    "2026-01-01 09:40 Thu +0000, 2026-01-01 13:00 Thu +0000, 2026-01-01 13:20 Thu +0000, 2026-01-01 13:40 Thu "
    "+0000, 2026-01-01 17:00 Thu +0000" },
  { "lists", "5,35 0 1,15 * *", "UTC", "2026-01-01T00:10:00Z",
    "2026-01-01 00:35 Thu +0000, 2026-01-15 00:05 Thu +0000" },
  { "names", "0 0 * FEB,mar Mon-wed", "UTC", "2026-01-01T00:00:00Z",
    "2026-02-02 00:00 Mon +0000, 2026-02-03 00:00 Tue +0000, 2026-02-04 00:00 Wed +0000, 2026-02-09 00:00 Mon "
    "+0000" },
  { "sunday-has-two-numbers", "0 0 * * 6-7", "UTC", "2026-01-01T00:00:00Z",
    "2026-01-03 00:00 Sat +0000, 2026-01-04 00:00 Sun +0000, 2026-01-10 00:00 Sat +0000" },
  { "a-week-may-end-with-sunday", "0 0 * * fri-sun", "UTC", "2026-01-01T00:00:00Z",
    "2026-01-02 00:00 Fri +0000, 2026-01-03 00:00 Sat +0000, 2026-01-04 00:00 Sun +0000, 2026-01-09 00:00 Fri "
    "+0000" },
  { "either-day-field-will-do", "0 0 13 * 5", "UTC", "2026-01-01T00:00:00Z",
    "2026-01-02 00:00 Fri +0000, 2026-01-09 00:00 Fri +0000, 2026-01-13 00:00 Tue +0000" },
  { "a-star-asks-for-both-day-fields", "0 0 */2 * 5", "UTC", "2026-01-01T00:00:00Z",
    "2026-01-09 00:00 Fri +0000, 2026-01-23 00:00 Fri +0000, 2026-02-13 00:00 Fri +0000" },
  { "leap-days", "0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z",
    "2028-02-29 00:00 Tue +0000, 2032-02-29 00:00 Sun +0000" },
  { "leap-days-on-a-weekday", "0 0 29 2 */7", "UTC", "2026-01-01T00:00:00Z", "2032-02-29 00:00 Sun +0000" },
  { "yearly", "@yearly", "UTC", "2026-05-01T00:00:00Z", "2027-01-01 00:00 Fri +0000" },
  { "monthly", "@monthly", "UTC", "2026-05-01T00:00:00Z", "2026-06-01 00:00 Mon +0000" },
  { "weekly", "@weekly", "UTC", "2026-01-01T00:00:00Z", "2026-01-04 00:00 Sun +0000" },
  { "daily", "@daily", "UTC", "2026-01-01T00:00:00Z", "2026-01-02 00:00 Fri +0000" },
  { "hourly", "@hourly", "UTC", "2026-01-01T00:00:00Z", "2026-01-01 01:00 Thu +0000" },
  { "clocks-ahead-of-utc", "30 0 * * *", "Asia/Kathmandu", "2026-01-01T00:00:00Z",
    "2026-01-02 00:30 Fri +0545, 2026-01-03 00:30 Sat +0545" },
  { "clocks-behind-utc", "30 23 * * *", "Pacific/Pago_Pago", "2026-01-01T00:00:00Z",
    "2025-12-31 23:30 Wed -1100, 2026-01-01 23:30 Thu -1100" },

  /* Berlin, 29 March 2026: from 02:00 to 03:00. */
  { "skipped-time-fires-at-the-next-minute", "30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z",
    "2026-03-28 02:30 Sat +0100, 2026-03-29 03:00 Sun +0200, 2026-03-30 02:30 Mon +0200" },
  { "skipped-hour-fires-once", "*/10 2 * * *", "Europe/Berlin", "2026-03-29T00:00:00Z",
    "2026-03-29 03:00 Sun +0200, 2026-03-30 02:00 Mon +0200" },
  { "skipped-time-falls-together-with-another", "0 2,3 * * *", "Europe/Berlin", "2026-03-29T00:00:00Z",
    "2026-03-29 03:00 Sun +0200, 2026-03-30 02:00 Mon +0200, 2026-03-30 03:00 Mon +0200" },
  { "each-hour-makes-up-for-nothing", "30 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z",
    "2026-03-29 01:30 Sun +0100, 2026-03-29 03:30 Sun +0200" },
  { "each-quarter-stays-a-quarter", "*/15 * * * *", "Europe/Berlin", "2026-03-29T00:35:00Z",
    "2026-03-29 01:45 Sun +0100, 2026-03-29 03:00 Sun +0200, 2026-03-29 03:15 Sun +0200" },

  /* Berlin, 25 October 2026: from 03:00 to 02:00. */
  { "repeated-hour-fires-the-first-time", "30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z",
    "2026-10-25 02:30 Sun +0200, 2026-10-26 02:30 Mon +0100" },
  { "repeated-hour-is-not-gone-through-again", "*/30 2,3 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z",
    "2026-10-25 02:00 Sun +0200, 2026-10-25 02:30 Sun +0200, 2026-10-25 03:00 Sun +0100, 2026-10-25 03:30 Sun "
    "+0100" },
  { "within-the-second-of-two-hours", "30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z",
    "2026-10-26 02:30 Mon +0100" },
  { "each-hour-counts-both", "0 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z",
    "2026-10-25 02:00 Sun +0200, 2026-10-25 02:00 Sun +0100, 2026-10-25 03:00 Sun +0100" },

  /* Half an hour: Lord Howe, 4 October 2026 at 02:00, and 5 April 2026 at 02:00. */
  { "half-an-hour-is-skipped", "10 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z",
    "2026-10-04 02:30 Sun +1100, 2026-10-05 02:10 Mon +1100" },
  { "half-an-hour-is-repeated", "45 1 * * *", "Australia/Lord_Howe", "2026-04-04T00:00:00Z",
    "2026-04-05 01:45 Sun +1100, 2026-04-06 01:45 Mon +1030" },

  /* Samoa left out 30 December 2011. */
  { "a-whole-day-is-skipped", "0 12 * * *", "Pacific/Apia", "2011-12-29T00:00:00Z",
    "2011-12-29 12:00 Thu -1000, 2011-12-31 00:00 Sat +1400, 2011-12-31 12:00 Sat +1400" },

  /* A clock that is set at midnight: Cuba, 8 March 2026, from 00:00 to 01:00. */
  { "midnight-is-skipped", "@daily", "America/Havana", "2026-03-07T12:00:00Z",
    "2026-03-08 01:00 Sun -0400, 2026-03-09 00:00 Mon -0400" },
};

static void
test_example (gconstpointer data)
{
  const Example *example = data;
  guint n = 1;
  g_autofree char *times = NULL;

  for (const char *comma = example->expected; (comma = strchr (comma, ',')) != NULL; comma++)
    n++;
  times = list_times (example->line, example->zone, example->after, n);
  g_assert_cmpstr (times, ==, example->expected);
}

static const struct
{
  const char *line, *message;
} mistakes[] = {
  { "", "'' has 0 fields, and a cron line has five" },
  { "* * * *", "has 4 fields" },
  { "* * * * * *", "has 6 fields" },
  { "60 * * * *", "'60' is no minute: it is out of range; write 0 to 59" },
  { "* 24 * * *", "'24' is no hour" },
  { "* * 0 * *", "'0' is no day of the month" },
  { "* * * 13 *", "'13' is no month" },
  { "* * * * 8", "'8' is no day of the week" },
  { "* * * foo *", "'foo' is no month: it is not understood; write 1 to 12, or jan to dec" },
  { "* * * january *", "'january' is no month" },
  { "*/0 * * * *", "'*/0' is no minute: the step is not a number from 1 on" },
  { "*/x * * * *", "the step is not a number" },
  { "5/10 * * * *", "a step needs a range before it" },
  { "* 22-4 * * *", "the range ends before it begins" },
  { "1,,2 * * * *", "'' is no minute" },
  { "1- * * * *", "the end of the range is not understood" },
  { "-1 * * * *", "'-1' is no minute" },
  { "99999999999 * * * *", "'99999999999' is no minute" },
  { "* * * * mon/2", "a step needs a range before it" },
  { "@reboot", "'@reboot' is not known; write @hourly" },
  { "0 0 30 2 *", "'0 0 30 2 *' never fires" },
  { "0 0 31 4,6,9,11 *", "never fires" },
};

static void
test_mistakes_are_explained (void)
{
  g_autoptr(GTimeZone) utc = g_time_zone_new_utc ();

  for (guint i = 0; i < G_N_ELEMENTS (mistakes); i++)
    {
      g_autoptr(GError) error = NULL;

      g_assert_null (strand_cron_new (mistakes[i].line, utc, &error));
      g_assert_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT);
      g_test_message ("%s", error->message);
      g_assert_nonnull (strstr (error->message, mistakes[i].message));
    }
}

/* The way that needs no thought: look at each minute of the wall clock. */
static gint64
next_by_trial (const guint64 *bits, const gboolean *star, GTimeZone *zone, gint64 after_s)
{
  for (gint64 time_s = (after_s / 60 + 1) * 60;; time_s += 60)
    {
      g_autoptr(GDateTime) utc = g_date_time_new_from_unix_utc (time_s);
      g_autoptr(GDateTime) local = g_date_time_to_timezone (utc, zone);
      gboolean month_day = bits[2] >> g_date_time_get_day_of_month (local) & 1;
      gboolean week_day = bits[4] >> g_date_time_get_day_of_week (local) % 7 & 1;

      if ((bits[0] >> g_date_time_get_minute (local) & 1) && (bits[1] >> g_date_time_get_hour (local) & 1) &&
          (bits[3] >> g_date_time_get_month (local) & 1) &&
          (star[2] || star[4] ? month_day && week_day : month_day || week_day))
        return time_s;
    }
}

static char *
random_field (guint first, guint last, guint64 *bits, gboolean *star)
{
  g_autoptr(GString) text = g_string_new (NULL);
  guint n = (guint) g_test_rand_int_range (1, 4);

  *bits = 0;
  *star = g_test_rand_int_range (0, 2) == 0;
  if (*star)
    {
      guint step = (guint) g_test_rand_int_range (1, 4);

      /* Other days than the first 28 are not in every month, and a line has to fire. */
      for (guint i = first; i <= (last == 28 ? 31 : last); i += step)
        *bits |= G_GUINT64_CONSTANT (1) << i;
      return step == 1 ? g_strdup ("*") : g_strdup_printf ("*/%u", step);
    }
  for (guint i = 0; i < n; i++)
    {
      guint from = (guint) g_test_rand_int_range ((gint) first, (gint) last + 1);
      guint to = (guint) g_test_rand_int_range ((gint) from, (gint) last + 1);
      guint step = (guint) g_test_rand_int_range (1, 5);

      g_string_append_printf (text, "%s%u-%u/%u", i > 0 ? "," : "", from, to, step);
      for (guint j = from; j <= to; j += step)
        *bits |= G_GUINT64_CONSTANT (1) << j;
    }
  return g_string_free (g_steal_pointer (&text), FALSE);
}

/* In a zone whose clocks are never set, both have to agree. */
static void
test_random_lines_agree_with_trial (void)
{
  static const guint ranges[5][2] = { { 0, 59 }, { 0, 23 }, { 1, 28 }, { 1, 12 }, { 0, 6 } };
  g_autoptr(GTimeZone) zone = g_time_zone_new_identifier ("Asia/Kathmandu");

  for (guint i = 0; i < 20; i++)
    {
      guint64 bits[5];
      gboolean star[5];
      g_autoptr(GString) line = g_string_new (NULL);
      g_autoptr(StrandCron) cron = NULL;
      gint64 after_s = 1767225600 + g_test_rand_int_range (0, 100000000);
      gint64 expected_s;

      for (guint j = 0; j < 5; j++)
        {
          g_autofree char *field = random_field (ranges[j][0], ranges[j][1], &bits[j], &star[j]);

          g_string_append_printf (line, "%s%s", j > 0 ? " " : "", field);
        }
      g_test_message ("%s after %" G_GINT64_FORMAT, line->str, after_s);
      cron = read_line (line->str, "Asia/Kathmandu");
      expected_s = next_by_trial (bits, star, zone, after_s);
      g_assert_cmpint (strand_cron_next (cron, after_s * G_USEC_PER_SEC) / G_USEC_PER_SEC, ==, expected_s);
    }
}

/* Whatever the line and however clocks are set: always forward, and no time is lost by starting later. */
static void
test_times_do_not_depend_on_where_one_starts (void)
{
  static const char *const lines[] = { "*/7 * * * *", "*/20 1-3 * * *", "30 2 * * *", "15 */2 * * 0" };
  static const char *const zones[] = { "Europe/Berlin", "America/New_York", "Australia/Lord_Howe" };

  for (guint i = 0; i < G_N_ELEMENTS (lines) * G_N_ELEMENTS (zones); i++)
    {
      g_autoptr(StrandCron) cron = read_line (lines[i % 4], zones[i / 4]);
      gint64 before_us = read_time ("2026-03-01T00:00:00Z");

      for (guint j = 0; j < 400; j++)
        {
          gint64 time_us = strand_cron_next (cron, before_us);
          gint64 between_us = before_us + (gint64) (g_test_rand_double () * (double) (time_us - before_us));

          g_assert_cmpint (time_us, >, before_us);
          g_assert_cmpint (strand_cron_next (cron, between_us), ==, time_us);
          before_us = time_us;
        }
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (examples); i++)
    {
      g_autofree char *path = g_strconcat ("/cron/fires/", examples[i].name, NULL);

      g_test_add_data_func (path, &examples[i], test_example);
    }
  g_test_add_func ("/cron/mistakes-are-explained", test_mistakes_are_explained);
  g_test_add_func ("/cron/random-lines-agree-with-trial", test_random_lines_agree_with_trial);
  g_test_add_func ("/cron/times-do-not-depend-on-where-one-starts",
                   test_times_do_not_depend_on_where_one_starts);
  return g_test_run ();
}
