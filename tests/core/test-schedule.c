/* test-schedule.c — calls that are left again and again, once for each time however many see to it.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "call-fixture.h"
#include "store-fixture.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define SECOND ((gint64) G_USEC_PER_SEC)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)

/* 2023-11-14 22:00:00 UTC. */
#define START G_GINT64_CONSTANT (1699999200000000)

typedef struct
{
  char *folder;
  StrandStore *store;
  StrandSchedule *schedule;
} Fixture;

static void
set_up (Fixture *f, gconstpointer type)
{
  strand_clock_set_manual (START);
  f->folder = fixture_make_folder ();
  f->store = fixture_open_store (type, f->folder);
}

static StrandSchedule *
make_schedule (Fixture *f, const char *first_property, ...)
{
  StrandSchedule *schedule = strand_schedule_new ("report");
  va_list args;

  g_object_set (schedule, "store", f->store, "function", "test.add", "arguments", "2, 3", NULL);
  va_start (args, first_property);
  g_object_set_valist (G_OBJECT (schedule), first_property, args);
  va_end (args);
  return schedule;
}

static void
start (Fixture *f)
{
  g_autoptr(GError) error = NULL;

  g_assert_true (strand_schedule_start (f->schedule, &error));
  g_assert_no_error (error);
}

static void
end_schedule (Fixture *f)
{
  strand_schedule_stop (f->schedule);
  /* What has ticked last may not have let it go. */
  wait_until (g_atomic_int_get (&G_OBJECT (f->schedule)->ref_count) == 1);
  g_assert_finalize_object (g_steal_pointer (&f->schedule));
}

static void
tear_down (Fixture *f, gconstpointer type)
{
  if (f->schedule != NULL)
    end_schedule (f);
  strand_clock_set_system ();
  strand_store_close (f->store);
  finalize_soon (f->store);
  fixture_remove_folder (f->folder);
}

static int
compare_words (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

/* What has been left, by key, without the prefix that all have: "20231114T230000Z", in order. */
static char *
list_calls (StrandStore *store)
{
  const StrandFilter filter = { .kind = "call" };
  g_autoptr(StrandPage) page = strand_store_list (store, &filter, NULL, 10000, NULL);
  GPtrArray *records = strand_page_get_records (page);
  g_autoptr(GPtrArray) keys = g_ptr_array_new ();
  g_autofree char *all = NULL;

  for (guint i = 0; i < records->len; i++)
    {
      const char *key = strand_record_get_key (g_ptr_array_index (records, i));

      g_assert_true (g_str_has_prefix (key, "strand.run.report."));
      g_ptr_array_add (keys, (gpointer) (key + strlen ("strand.run.report.")));
    }
  g_ptr_array_sort (keys, compare_words);
  g_ptr_array_add (keys, NULL);
  all = g_strjoinv (" ", (char **) keys->pdata);
  return g_steal_pointer (&all);
}

static gboolean
has_calls (StrandStore *store, const char *expected)
{
  g_autofree char *calls = list_calls (store);

  return strcmp (calls, expected) == 0;
}

static gint64
next_of (Fixture *f)
{
  g_autoptr(GError) error = NULL;
  gint64 next_us;

  g_assert_true (strand_schedule_get_state (f->schedule, &next_us, NULL, NULL, NULL, &error));
  g_assert_no_error (error);
  return next_us;
}

/* --- one scheduler
 * ------------------------------------------------------------------------------------------
 */

static void
test_interval_keeps_its_beat (Fixture *f, gconstpointer type)
{
  f->schedule = make_schedule (f, "every", HOUR, NULL);
  start (f);
  g_assert_true (has_calls (f->store, ""));
  g_assert_cmpint (next_of (f), ==, START + HOUR);
  strand_clock_advance (HOUR - 1);
  g_assert_cmpint (next_of (f), ==, START + HOUR);
  strand_clock_advance (1 + 20 * SECOND); /* a little late */
  wait_until (has_calls (f->store, "20231114T230000Z"));
  wait_until (next_of (f) == START + 2 * HOUR);
  strand_clock_advance (HOUR);
  wait_until (has_calls (f->store, "20231114T230000Z 20231115T000000Z"));
}

static void
test_cron_line_fires (Fixture *f, gconstpointer type)
{
  f->schedule = make_schedule (f, "cron", "30 0 * * *", "time-zone", "Europe/Berlin", NULL);
  start (f);
  g_assert_cmpint (next_of (f), ==, START + 90 * MINUTE);
  strand_clock_advance (90 * MINUTE);
  wait_until (has_calls (f->store, "20231114T233000Z"));
  wait_until (next_of (f) == START + 90 * MINUTE + 24 * HOUR);
}

static void
test_call_is_as_it_was_asked_for (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandRecord) record = NULL;
  g_autoptr(GVariant) arguments = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *text = NULL;
  GVariant *headers;
  const char *value;

  f->schedule =
      make_schedule (f, "every", HOUR, "queue", "nightly", "timeout", MINUTE, "ttl", 2 * HOUR, "expires",
                     10 * MINUTE, "retries", 4, "priority", -7, "unique", "the report", NULL);
  start (f);
  strand_clock_advance (HOUR);
  wait_until (has_calls (f->store, "20231114T230000Z"));
  record = strand_store_get (f->store, "strand.run.report.20231114T230000Z", &error);
  g_assert_no_error (error);
  g_assert_cmpint (strand_record_get_status (record), ==, STRAND_STATUS_PENDING);
  g_assert_cmpstr (strand_record_get_string (record, STRAND_FIELD_FUNCTION), ==, "test.add");
  g_assert_cmpstr (strand_record_get_string (record, STRAND_FIELD_QUEUE), ==, "nightly");
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_TIMEOUT), ==, MINUTE);
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_TTL), ==, 2 * HOUR);
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_EXPIRES), ==, START + HOUR + 10 * MINUTE);
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_RETRIES), ==, 4);
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_PRIORITY), ==, -7);
  g_assert_cmpstr (strand_record_get_string (record, STRAND_FIELD_UNIQUE), ==, "the report");
  headers = strand_record_get_variant (record, STRAND_FIELD_HEADERS);
  g_assert_true (g_variant_lookup (headers, STRAND_HEADER_SCHEDULE, "&s", &value));
  g_assert_cmpstr (value, ==, "report");
  g_assert_true (g_variant_lookup (headers, STRAND_HEADER_SCHEDULED_FOR, "&s", &value));
  g_assert_cmpstr (value, ==, "2023-11-14T23:00:00Z");
  arguments = strand_record_dup_arguments (record, &error);
  g_assert_no_error (error);
  text = g_variant_print (arguments, FALSE);
  g_assert_cmpstr (text, ==, "(2, 3)");
}

static void
test_call_runs (Fixture *f, gconstpointer type)
{
  StrandTaskrunner *runner = make_runner ("thread", "workers", 1, NULL);
  const char *const queues[] = { "default", NULL };
  g_autoptr(StrandReader) reader = strand_reader_new (f->store, runner, queues);
  g_autoptr(StrandRecord) record = NULL;
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GError) error = NULL;

  f->schedule = make_schedule (f, "every", HOUR, NULL);
  start (f);
  g_assert_true (strand_reader_listen (reader, &error));
  strand_clock_advance (HOUR);
  wait_until (has_calls (f->store, "20231114T230000Z"));
  wait_until (
      strand_store_count (f->store, &(StrandFilter){ .statuses = 1 << STRAND_STATUS_COMPLETED }, NULL) == 1);
  record = strand_store_get (f->store, "strand.run.report.20231114T230000Z", &error);
  g_assert_no_error (error);
  value = strand_record_dup_value (record, &error);
  g_assert_no_error (error);
  g_assert_cmpint (g_variant_get_int64 (value), ==, 5);
  g_assert_true (strand_reader_stop (reader, g_get_monotonic_time () + DEADLINE_US, &error));
  close_runner (runner);
}

static void
test_one_at_a_time_if_unique (Fixture *f, gconstpointer type)
{
  f->schedule = make_schedule (f, "every", HOUR, "unique", "the report", NULL);
  start (f);
  strand_clock_advance (HOUR);
  wait_until (has_calls (f->store, "20231114T230000Z"));
  wait_until (next_of (f) == START + 2 * HOUR);
  strand_clock_advance (HOUR);
  wait_until (next_of (f) == START + 3 * HOUR);
  strand_clock_advance (HOUR);
  wait_until (next_of (f) == START + 4 * HOUR);
  g_assert_true (has_calls (f->store, "20231114T230000Z")); /* nobody runs it */
}

/* --- missed times
 * -------------------------------------------------------------------------------------------
 */

typedef struct
{
  const char *missed;
  gint64 away_us;
  const char *expected;
} Absence;

static const Absence absences[] = {
  { "skip", 5 * HOUR + 30 * MINUTE, "" },
  { "skip", 5 * HOUR + 30 * SECOND, "20231115T030000Z" }, /* not late enough to be missed */
  { "once", 5 * HOUR + 30 * MINUTE, "20231115T030000Z" },
  { "all", 2 * HOUR + 30 * MINUTE, "20231114T230000Z 20231115T000000Z" },
  { "all", 5 * HOUR + 30 * MINUTE, "20231115T010000Z 20231115T020000Z 20231115T030000Z" }, /* max-missed */
  { "once", 30 * MINUTE, "" },
};

static void
check_absence (Fixture *f, const Absence *absence, const char *cron)
{
  g_autoptr(GEnumClass) words = g_type_class_ref (STRAND_TYPE_MISSED);

  f->schedule = make_schedule (f, "missed", g_enum_get_value_by_nick (words, absence->missed)->value,
                               "max-missed", 3, NULL);
  if (cron != NULL)
    g_object_set (f->schedule, "cron", cron, NULL);
  else
    g_object_set (f->schedule, "every", HOUR, NULL);
  start (f);
  strand_schedule_stop (f->schedule);
  strand_clock_advance (absence->away_us);
  start (f);
  g_assert_true (has_calls (f->store, absence->expected));
  g_assert_cmpint (next_of (f), ==, START + (absence->away_us / HOUR + 1) * HOUR);
}

/* Each in a store of its own. */
static void
check_absences (Fixture *f, gconstpointer type, const char *cron)
{
  for (guint i = 0; i < G_N_ELEMENTS (absences); i++)
    {
      if (i > 0)
        {
          tear_down (f, type);
          set_up (f, type);
        }
      g_test_message ("%u: missed=%s", i, absences[i].missed);
      check_absence (f, &absences[i], cron);
    }
}

static void
test_missed_intervals (Fixture *f, gconstpointer type)
{
  check_absences (f, type, NULL);
}

static void
test_missed_cron_times (Fixture *f, gconstpointer type)
{
  check_absences (f, type, "0 * * * *");
}

/* Half a million times, of which one counts. */
static void
test_a_year_away_takes_no_time (Fixture *f, gconstpointer type)
{
  f->schedule = make_schedule (f, "cron", "* * * * *", "missed", STRAND_MISSED_ONCE, NULL);
  start (f);
  strand_schedule_stop (f->schedule);
  strand_clock_advance (365 * 24 * HOUR);
  start (f);
  g_assert_true (has_calls (f->store, "20241113T220000Z"));
}

static void
test_new_time_is_not_missed (Fixture *f, gconstpointer type)
{
  f->schedule = make_schedule (f, "every", HOUR, "missed", STRAND_MISSED_ALL, NULL);
  start (f);
  strand_schedule_stop (f->schedule);
  strand_clock_advance (10 * HOUR);
  g_object_set (f->schedule, "every", 2 * HOUR, NULL);
  start (f);
  g_assert_true (has_calls (f->store, ""));
  g_assert_cmpint (next_of (f), ==, START + 12 * HOUR);
}

/* --- by hand
 * ------------------------------------------------------------------------------------------------
 */

static void
test_paused_leaves_nothing (Fixture *f, gconstpointer type)
{
  g_autoptr(GError) error = NULL;
  gboolean paused;
  gint64 next_us;

  f->schedule = make_schedule (f, "every", HOUR, "missed", STRAND_MISSED_ALL, NULL);
  start (f);
  g_assert_true (strand_schedule_set_paused (f->schedule, TRUE, &error));
  g_assert_true (strand_schedule_get_state (f->schedule, &next_us, NULL, NULL, &paused, &error));
  g_assert_true (paused);
  g_assert_cmpint (next_us, ==, 0);
  strand_clock_advance (5 * HOUR + 10 * MINUTE);
  g_assert_true (strand_schedule_set_paused (f->schedule, FALSE, &error));
  g_assert_cmpint (next_of (f), ==, START + 6 * HOUR + 10 * MINUTE);
  g_assert_true (has_calls (f->store, ""));
  strand_clock_advance (HOUR);
  wait_until (has_calls (f->store, "20231115T041000Z"));
}

static void
test_run_leaves_a_call_now (Fixture *f, gconstpointer type)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *key = NULL;
  g_autofree char *last_key = NULL;
  gint64 last_us;

  f->schedule = make_schedule (f, "every", HOUR, NULL);
  start (f);
  strand_clock_advance (10 * MINUTE + 250);
  key = strand_schedule_run (f->schedule, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (key, ==, "strand.run.report.20231114T221000.000250Z");
  g_assert_true (has_calls (f->store, "20231114T221000.000250Z"));
  g_assert_true (strand_schedule_get_state (f->schedule, NULL, &last_us, &last_key, NULL, &error));
  g_assert_cmpstr (last_key, ==, key);
  g_assert_cmpint (last_us, ==, START + 10 * MINUTE + 250);
  g_assert_cmpint (next_of (f), ==, START + HOUR);
}

/* --- trouble
 * ------------------------------------------------------------------------------------------------
 */

/* Counts what would end the test otherwise. */
static void
count_warning (const char *domain, GLogLevelFlags level, const char *message, gpointer n_warnings)
{
  g_test_message ("%s", message);
  g_atomic_int_inc ((int *) n_warnings);
}

static guint
expect_warnings (int *n_warnings)
{
  *n_warnings = 0;
  g_log_set_always_fatal (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL);
  return g_log_set_handler ("Strand", G_LOG_LEVEL_WARNING, count_warning, n_warnings);
}

static void
expect_no_more (guint handler)
{
  g_log_remove_handler ("Strand", handler);
  g_log_set_always_fatal (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING);
}

/* A module that this program has not: the time stays for somebody who has it. */
static void
test_unknown_function_is_left_to_others (Fixture *f, gconstpointer type)
{
  int n_warnings;
  guint handler = expect_warnings (&n_warnings);

  f->schedule = make_schedule (f, "every", HOUR, "function", "test.elsewhere", NULL);
  start (f);
  strand_clock_advance (HOUR);
  wait_until (g_atomic_int_get (&n_warnings) > 0);
  g_assert_cmpint (next_of (f), ==, START + HOUR);
  end_schedule (f);
  expect_no_more (handler);

  f->schedule = make_schedule (f, "every", HOUR, NULL);
  start (f);
  g_assert_true (has_calls (f->store, "20231114T230000Z"));
}

static void
test_wrong_arguments_are_refused (Fixture *f, gconstpointer type)
{
  g_autoptr(GError) error = NULL;

  f->schedule = make_schedule (f, "every", HOUR, "arguments", "2, 'three'", NULL);
  g_assert_null (strand_schedule_run (f->schedule, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_TYPE);
  g_assert_nonnull (strstr (error->message, "which takes (xx)"));
}

static void
check_start_fails (Fixture *f, const char *expected)
{
  g_autoptr(GError) error = NULL;

  g_assert_false (strand_schedule_start (f->schedule, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT);
  g_assert_nonnull (strstr (error->message, "'report'"));
  g_assert_nonnull (strstr (error->message, expected));
  g_clear_object (&f->schedule);
}

static void
test_bad_settings_fail_at_the_start (Fixture *f, gconstpointer type)
{
  f->schedule = make_schedule (f, "every", (gint64) 0, NULL);
  check_start_fails (f, "does not say when");
  f->schedule = make_schedule (f, "every", HOUR, "cron", "@daily", NULL);
  check_start_fails (f, "both 'every' and 'cron'");
  f->schedule = make_schedule (f, "every", SECOND / 100, NULL);
  check_start_fails (f, "too often");
  f->schedule = make_schedule (f, "cron", "0 0 31 2 *", NULL);
  check_start_fails (f, "never fires");
  f->schedule = make_schedule (f, "cron", "@daily", "time-zone", "Europe/Nowhere", NULL);
  check_start_fails (f, "no time zone 'Europe/Nowhere'");
  f->schedule = make_schedule (f, "every", HOUR, "store", NULL, NULL);
  check_start_fails (f, "neither a store nor a backend");
}

/* --- several schedulers
 * -------------------------------------------------------------------------------------
 */

static void
put_owed (Fixture *f, gint64 decided_us)
{
  g_autoptr(StrandRecord) record = strand_store_get (f->store, "strand.schedule.report", NULL);
  g_autoptr(GError) error = NULL;
  g_autofree char *text = g_strdup_printf ("every %" G_GINT64_FORMAT, HOUR);

  strand_record_set_variant (record, STRAND_FIELD_METADATA,
                             g_variant_new_parsed ("@a{sv} {'timing': <%s>, 'owed': <[%x]>, 'decided': <%x>}",
                                                   text, START - HOUR, decided_us));
  g_assert_true (strand_store_put (f->store, record, strand_record_get_revision (record), &error));
  g_assert_no_error (error);
}

/* It went on to the next time, and died before the call was there. */
static gint64
interval_of (Fixture *f)
{
  gint64 every_us;

  g_object_get (f->schedule, "every", &every_us, NULL);
  return every_us;
}

static void
test_started_one_stays_as_it_is (Fixture *f, gconstpointer type)
{
  f->schedule = make_schedule (f, "every", HOUR, NULL);
  start (f);
  g_test_expect_message ("Strand", G_LOG_LEVEL_WARNING, "*'every'*'report'*started*");
  g_object_set (f->schedule, "every", MINUTE, NULL);
  g_test_assert_expected_messages ();
  g_assert_cmpint (interval_of (f), ==, HOUR);
  strand_schedule_stop (f->schedule);
  g_object_set (f->schedule, "every", MINUTE, NULL);
  g_assert_cmpint (interval_of (f), ==, MINUTE);
}

static void
test_what_a_dead_scheduler_owed_is_left (Fixture *f, gconstpointer type)
{
  f->schedule = make_schedule (f, "every", HOUR, NULL);
  start (f);
  put_owed (f, START - HOUR);
  wait_until (has_calls (f->store, "20231114T210000Z"));
  g_assert_cmpint (next_of (f), ==, START + HOUR);
}

/* The call may have been there, and have ended, and have been forgotten. */
static void
test_what_was_owed_long_ago_is_not_left_again (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandRecord) record = NULL;

  g_object_set (f->store, "ttl", MINUTE, NULL);
  f->schedule = make_schedule (f, "every", HOUR, NULL);
  start (f);
  strand_schedule_stop (f->schedule);
  put_owed (f, START - 2 * MINUTE);
  start (f);
  g_assert_true (has_calls (f->store, ""));
  record = strand_store_get (f->store, "strand.schedule.report", NULL);
  g_assert_false (
      g_variant_lookup (strand_record_get_variant (record, STRAND_FIELD_METADATA), "owed", "ax", NULL));
}

static void
test_last_one_started_says_when (Fixture *f, gconstpointer type)
{
  StrandSchedule *first = make_schedule (f, "every", HOUR, NULL);
  int n_warnings;
  guint handler = expect_warnings (&n_warnings);

  f->schedule = first;
  start (f);
  f->schedule = make_schedule (f, "every", 3 * HOUR, NULL);
  start (f);
  wait_until (g_atomic_int_get (&n_warnings) == 1); /* the first one has seen it */
  strand_clock_advance (2 * HOUR);
  g_assert_cmpint (next_of (f), ==, START + 3 * HOUR);
  strand_clock_advance (HOUR);
  wait_until (has_calls (f->store, "20231115T010000Z"));
  end_schedule (f);
  f->schedule = first;
  end_schedule (f);
  expect_no_more (handler);
}

#define EVERY_MS 200

/* What a process of its own does until its standard input ends. */
static int
be_scheduler (const char *type, const char *folder)
{
  StrandStore *store = fixture_open_store (type, folder);
  g_autoptr(StrandSchedule) schedule = strand_schedule_new ("report");
  g_autoptr(GError) error = NULL;

  fixture_add_functions ();
  g_object_set (schedule, "store", store, "function", "test.nothing", "every", (gint64) EVERY_MS * 1000,
                "missed", STRAND_MISSED_ALL, "max-missed", 10000, NULL);
  strand_schedule_start (schedule, &error);
  g_assert_no_error (error);
  puts ("started");
  fflush (stdout);
  while (getchar () != EOF)
    ;
  strand_schedule_stop (schedule);
  strand_store_close (store);
  g_object_unref (store);
  return 0;
}

static guint
count_calls (StrandStore *store)
{
  return (guint) strand_store_count (store, &(StrandFilter){ .kind = "call" }, NULL);
}

/* The beat has neither gaps nor anything between. */
static void
check_beat (StrandStore *store)
{
  const StrandFilter filter = { .kind = "call" };
  g_autoptr(StrandPage) page = strand_store_list (store, &filter, NULL, 10000, NULL);
  GPtrArray *records = strand_page_get_records (page);
  g_autoptr(GPtrArray) keys = g_ptr_array_new ();
  gint64 before_us = 0;

  for (guint i = 0; i < records->len; i++)
    g_ptr_array_add (keys, (gpointer) strand_record_get_key (g_ptr_array_index (records, i)));
  g_ptr_array_sort (keys, compare_words);
  for (guint i = 0; i < keys->len; i++)
    {
      const char *key = g_ptr_array_index (keys, i);
      g_autoptr(GDateTime) time = g_date_time_new_from_iso8601 (key + strlen ("strand.run.report."), NULL);
      gint64 time_us = g_date_time_to_unix (time) * SECOND + g_date_time_get_microsecond (time);

      if (i > 0)
        g_assert_cmpint (time_us - before_us, ==, EVERY_MS * 1000);
      before_us = time_us;
    }
}

static void
test_three_processes_leave_each_call_once (Fixture *f, gconstpointer type)
{
  GSubprocess *processes[3];

  if (strcmp (type, "memory") == 0)
    {
      g_test_skip ("no other process sees a memory store");
      return;
    }
  for (guint i = 0; i < 3; i++)
    {
      g_autofree char *line = NULL;

      processes[i] = fixture_spawn ("--scheduler", type, f->folder, NULL);
      line = fixture_read_line (processes[i]);
      g_assert_cmpstr (line, ==, "started");
    }
  wait_until (count_calls (f->store) >= 10);
  g_subprocess_send_signal (processes[0], SIGKILL);
  g_subprocess_wait (processes[0], NULL, NULL);
  wait_until (count_calls (f->store) >= 20);
  for (guint i = 1; i < 3; i++)
    {
      g_output_stream_close (g_subprocess_get_stdin_pipe (processes[i]), NULL, NULL);
      fixture_expect_exit (processes[i]);
    }
  check_beat (f->store);
  for (guint i = 0; i < 3; i++)
    g_object_unref (processes[i]);
}

/* --- keyfiles
 * -----------------------------------------------------------------------------------------------
 */

#define STACK                                                                                                \
  "[store s]\ntype=memory\n[taskrunner t]\ntype=sync\n[backend b]\ntype=store\nstore=s\nqueue=nightly\nretries=2\n"

static void
test_keyfile_makes_one (Fixture *f, gconstpointer type)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandStack) stack = strand_stack_new_from_data (
      STACK "[schedule report]\nfunction=test.add\narguments=(2, 3)\nevery=1h\n", -1, "test.conf", &error);
  g_auto(GStrv) names = NULL;
  g_autoptr(GObject) store = NULL;
  g_autoptr(StrandRecord) record = NULL;

  g_assert_no_error (error);
  names = strand_stack_list_schedules (stack);
  g_assert_cmpuint (g_strv_length (names), ==, 1);
  f->schedule = STRAND_SCHEDULE (strand_stack_ref_object (stack, STRAND_KIND_SCHEDULE, names[0], &error));
  g_assert_no_error (error);
  g_assert_cmpstr (strand_schedule_get_name (f->schedule), ==, "report");
  start (f);
  strand_clock_advance (HOUR);
  store = strand_stack_ref_object (stack, STRAND_KIND_STORE, "s", &error);
  wait_until (has_calls (STRAND_STORE (store), "20231114T230000Z"));
  record = strand_store_get (STRAND_STORE (store), "strand.run.report.20231114T230000Z", &error);
  g_assert_no_error (error);
  /* As the default backend's calls are. */
  g_assert_cmpstr (strand_record_get_string (record, STRAND_FIELD_QUEUE), ==, "nightly");
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_RETRIES), ==, 2);
  g_clear_object (&f->schedule);
  g_assert_true (strand_stack_close (stack, -1, &error)); /* which stops it */
  g_assert_no_error (error);
}

static const struct
{
  const char *group, *problem;
} bad_groups[] = {
  { "cron=0 0 31 2 *\n", "test.conf:12: [schedule x] cron: '0 0 31 2 *' never fires" },
  { "cron=0 0 * *\n", "test.conf:12: [schedule x] cron: '0 0 * *' has 4 fields" },
  { "cron=@daily\ntime-zone=Mars/Olympus\n", "test.conf:13: [schedule x] time-zone: there is no time zone" },
  { "every=1h\ncron=@daily\n", "test.conf:13: [schedule x] cron: there are both" },
  { "queue=a\n", "test.conf:10: [schedule x] it does not say when" },
  { "every=1ms\n", "test.conf:12: [schedule x] every: '1ms' is too often" },
  { "every=1h\narguments=2\n", "test.conf:13: [schedule x] arguments: '2' are no arguments for 'test.add'" },
  { "every=1h\n", "test.conf:10: [schedule x] arguments: '()' are no arguments for 'test.add'" },
  { "every=1h\nmissed=often\n", "test.conf:13: [schedule x] missed: 'often' is unknown" },
  { "every=1h\nstore=other\n", "test.conf:13: [schedule x] store: no store is called 'other'" },
  { "every=1h\ntype=often\n", "test.conf:13: [schedule x] type: there is one type of schedule" },
  { "evrey=1h\n", "test.conf:12: [schedule x] evrey: unknown key" },
};

static void
test_bad_groups_are_found_with_their_line (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (bad_groups); i++)
    {
      g_autofree char *text =
          g_strconcat (STACK "[schedule x]\nfunction=test.add\n", bad_groups[i].group, NULL);
      g_autoptr(GPtrArray) problems =
          strand_stack_check_data (text, -1, "test.conf", strand_plugins_get_default ());
      g_autofree char *problem = NULL;

      g_assert_cmpuint (problems->len, ==, 1);
      problem = strand_problem_to_string (g_ptr_array_index (problems, 0));
      g_test_message ("%s", problem);
      g_assert_true (g_str_has_prefix (problem, bad_groups[i].problem));
    }
}

#define ADD(name, run) fixture_add_for_stores (stores, "/schedule", name, Fixture, set_up, run, tear_down)

int
main (int argc, char **argv)
{
  const char *const *stores;
  int status;

  if (fixture_is_second_process (argc, argv, &status))
    return status;
  if (argc == 4 && strcmp (argv[1], "--scheduler") == 0)
    return be_scheduler (argv[2], argv[3]);
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  stores = fixture_store_types ("/schedule");
  fixture_add_functions ();

  ADD ("interval-keeps-its-beat", test_interval_keeps_its_beat);
  ADD ("cron-line-fires", test_cron_line_fires);
  ADD ("call-is-as-it-was-asked-for", test_call_is_as_it_was_asked_for);
  ADD ("call-runs", test_call_runs);
  ADD ("one-at-a-time-if-unique", test_one_at_a_time_if_unique);
  ADD ("missed-intervals", test_missed_intervals);
  ADD ("missed-cron-times", test_missed_cron_times);
  ADD ("a-year-away-takes-no-time", test_a_year_away_takes_no_time);
  ADD ("new-time-is-not-missed", test_new_time_is_not_missed);
  ADD ("paused-leaves-nothing", test_paused_leaves_nothing);
  ADD ("run-leaves-a-call-now", test_run_leaves_a_call_now);
  ADD ("unknown-function-is-left-to-others", test_unknown_function_is_left_to_others);
  ADD ("wrong-arguments-are-refused", test_wrong_arguments_are_refused);
  ADD ("bad-settings-fail-at-the-start", test_bad_settings_fail_at_the_start);
  ADD ("started-one-stays-as-it-is", test_started_one_stays_as_it_is);
  ADD ("what-a-dead-scheduler-owed-is-left", test_what_a_dead_scheduler_owed_is_left);
  ADD ("what-was-owed-long-ago-is-not-left-again", test_what_was_owed_long_ago_is_not_left_again);
  ADD ("last-one-started-says-when", test_last_one_started_says_when);
  ADD ("three-processes-leave-each-call-once", test_three_processes_leave_each_call_once);
  g_test_add ("/schedule/keyfile-makes-one", Fixture, "memory", set_up, test_keyfile_makes_one, tear_down);
  g_test_add_func ("/schedule/bad-groups-are-found-with-their-line",
                   test_bad_groups_are_found_with_their_line);

  return fixture_run_tests ();
}
