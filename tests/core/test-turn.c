/* test-turn.c — which call is next, and when: priorities that age, delays, and calls that come too late.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "call-fixture.h"
#include "store-fixture.h"

#include <stdlib.h>
#include <string.h>

#define SECOND ((gint64) G_USEC_PER_SEC)
#define MINUTE (60 * SECOND)
#define START G_GINT64_CONSTANT (1700000000000000)

static int n_runs; /* of turn.note; atomic */

typedef struct
{
  char *folder;
  StrandStore *store;
  StrandTaskrunner *runner;
  StrandReader *reader;
} Fixture;

static GVariant *
note_run (StrandContext *context, GVariant *arguments, gpointer unused, GError **error)
{
  g_atomic_int_inc (&n_runs);
  return NULL;
}

static void
set_up (Fixture *f, gconstpointer type)
{
  f->folder = fixture_make_folder ();
  f->store = fixture_open_store (type, f->folder);
  f->runner = make_runner ("thread", "workers", 1, NULL);
  g_atomic_int_set (&n_runs, 0);
}

static void
tear_down (Fixture *f, gconstpointer type)
{
  g_autoptr(GError) error = NULL;

  if (f->reader != NULL)
    strand_reader_stop (f->reader, g_get_monotonic_time () + DEADLINE_US, &error);
  g_assert_no_error (error);
  g_clear_object (&f->reader);
  close_runner (f->runner);
  strand_clock_set_system ();
  strand_store_close (f->store);
  wait_until (g_atomic_int_get (&G_OBJECT (f->store)->ref_count) == 1);
  finalize_soon (f->store);
  fixture_remove_folder (f->folder);
}

static void
listen (Fixture *f)
{
  const char *const queues[] = { "default", NULL };
  g_autoptr(GError) error = NULL;

  f->reader = strand_reader_new (f->store, f->runner, queues);
  g_assert_true (strand_reader_listen (f->reader, &error));
  g_assert_no_error (error);
}

static void
put (Fixture *f, const char *key, gint64 priority, gint64 not_before_us, gint64 expires_us)
{
  g_autoptr(StrandRecord) record = strand_record_new (key);
  g_autoptr(GVariant) nothing = g_variant_ref_sink (g_variant_new ("()"));
  g_autoptr(GError) error = NULL;

  strand_record_set_string (record, STRAND_FIELD_FUNCTION, "turn.note");
  strand_record_set_string (record, STRAND_FIELD_QUEUE, "default");
  strand_record_set_int (record, STRAND_FIELD_CREATED, strand_clock_now_us ());
  strand_record_set_int (record, STRAND_FIELD_PRIORITY, priority);
  strand_record_set_int (record, STRAND_FIELD_NOT_BEFORE, not_before_us);
  strand_record_set_int (record, STRAND_FIELD_EXPIRES, expires_us);
  g_assert_true (strand_record_set_arguments (record, nothing, NULL, &error));
  g_assert_true (strand_store_put (f->store, record, 0, &error));
  g_assert_no_error (error);
}

/* The key of the one call that is next. */
static char *
claim (Fixture *f)
{
  const char *const queues[] = { "default", NULL };
  const StrandClaim one = { queues, "reader-1000:test", strand_clock_now_us (), 1 };
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) claimed = strand_store_claim (f->store, &one, NULL, &error);

  g_assert_no_error (error);
  return claimed->len > 0 ? g_strdup (strand_record_get_key (g_ptr_array_index (claimed, 0))) : NULL;
}

/* Two calls of higher priority come for each one that is taken, for ever: the line of those grows, and yet.
 */
static void
test_low_priority_has_its_turn (Fixture *f, gconstpointer type)
{
  g_autofree char *next = NULL;
  guint n = 0;

  strand_clock_set_manual (START);
  put (f, "low", -4, 0, 0);
  for (; g_strcmp0 (next, "low") != 0; n++)
    {
      g_assert_cmpuint (n, <=, 300);
      for (guint i = 0; i < 2; i++)
        {
          g_autofree char *key = g_strdup_printf ("high-%u-%u", n, i);

          put (f, key, 0, 0, 0);
        }
      strand_clock_advance (SECOND);
      g_free (next);
      next = claim (f);
    }
  /* Before it went all that came within four times 30 s: two a second. */
  g_assert_cmpuint (n, >=, 2 * 120);
  g_assert_cmpuint (n, <=, 2 * 120 + 3); /* itself, and two that came just then */
}

static void
test_high_priority_goes_first (Fixture *f, gconstpointer type)
{
  static const char *const expected[] = { "urgent", "first", "second", "idle" };

  strand_clock_set_manual (START);
  put (f, "idle", -1, 0, 0);
  strand_clock_advance (SECOND);
  put (f, "first", 0, 0, 0);
  strand_clock_advance (SECOND);
  put (f, "second", 0, 0, 0);
  put (f, "urgent", 1, 0, 0);
  for (guint i = 0; i < G_N_ELEMENTS (expected); i++)
    {
      g_autofree char *key = claim (f);

      g_assert_cmpstr (key, ==, expected[i]);
    }
}

/* Waiting for its time is no waiting in line. */
static void
test_delay_counts_as_arrival (Fixture *f, gconstpointer type)
{
  g_autofree char *nobody = NULL;
  g_autofree char *first = NULL;
  g_autofree char *second = NULL;

  strand_clock_set_manual (START);
  put (f, "delayed", 0, START + MINUTE, 0);
  nobody = claim (f);
  g_assert_null (nobody);
  strand_clock_advance (MINUTE - SECOND);
  put (f, "other", 0, 0, 0);
  strand_clock_advance (2 * SECOND);
  first = claim (f);
  second = claim (f);
  g_assert_cmpstr (first, ==, "other");
  g_assert_cmpstr (second, ==, "delayed");
}

static void
test_expired_call_is_not_run (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandRecord) record = NULL;
  g_autoptr(GError) error = NULL;
  g_autoptr(GError) cause = NULL;

  strand_clock_set_manual (START);
  put (f, "stale", 0, 0, START + MINUTE);
  put (f, "fresh", 0, 0, START + 3 * MINUTE);
  strand_clock_advance (2 * MINUTE);
  listen (f);
  wait_until (
      strand_store_count (f->store, &(StrandFilter){ .statuses = 1 << STRAND_STATUS_FAILED }, NULL) == 1 &&
      strand_store_count (f->store, &(StrandFilter){ .statuses = 1 << STRAND_STATUS_COMPLETED }, NULL) == 1);
  g_assert_cmpint (g_atomic_int_get (&n_runs), ==, 1);
  record = strand_store_get (f->store, "stale", &error);
  g_assert_no_error (error);
  cause = strand_record_dup_error (record);
  g_assert_error (cause, STRAND_ERROR, STRAND_ERROR_EXPIRED);
}

/* How often the reader's claiming thread has gone to sleep of its own; -1 where that cannot be seen. */
static int
count_naps (void)
{
  g_autoptr(GDir) tasks = g_dir_open ("/proc/self/task", 0, NULL);
  const char *task;

  while (tasks != NULL && (task = g_dir_read_name (tasks)) != NULL)
    {
      g_autofree char *path = g_build_filename ("/proc/self/task", task, "status", NULL);
      g_autofree char *text = NULL;
      const char *naps;

      if (g_file_get_contents (path, &text, NULL, NULL) && g_str_has_prefix (text, "Name:\tstrand-claim\n") &&
          (naps = strstr (text, "\nvoluntary_ctxt_switches:\t")) != NULL)
        return atoi (naps + strlen ("\nvoluntary_ctxt_switches:\t"));
    }
  return -1;
}

/* Its time alone wakes the reader, which does not look in between. */
static void
test_delayed_call_wakes_an_idle_reader (Fixture *f, gconstpointer type)
{
  gint64 due_us = strand_clock_now_us () + SECOND;
  g_autoptr(StrandRecord) record = NULL;
  g_autoptr(GError) error = NULL;
  int naps;

  listen (f);
  put (f, "delayed", 0, due_us, 0);
  g_assert_true (strand_reader_wait_idle (f->reader, g_get_monotonic_time () + DEADLINE_US, &error));
  g_assert_no_error (error);
  naps = count_naps ();
  wait_until (g_atomic_int_get (&n_runs) == 1);
  naps = count_naps () - naps;
  wait_until (
      strand_store_count (f->store, &(StrandFilter){ .statuses = 1 << STRAND_STATUS_COMPLETED }, NULL) == 1);
  record = strand_store_get (f->store, "delayed", &error);
  g_assert_no_error (error);
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_STARTED), >=, due_us);
  /* Some for locks and for the store's own news; who looked each 10 ms would have a hundred. */
  g_assert_cmpint (naps, <, 50);
}

#define ADD(name, run) fixture_add_for_stores (stores, "/turn", name, Fixture, set_up, run, tear_down)

int
main (int argc, char **argv)
{
  const char *const *stores;
  g_autoptr(GError) error = NULL;

  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  stores = fixture_store_types ("/turn");
  strand_registry_add (strand_registry_get_default (), "turn.note", "", "Counts its runs", note_run, NULL,
                       NULL, &error);
  g_assert_no_error (error);

  ADD ("low-priority-has-its-turn", test_low_priority_has_its_turn);
  ADD ("high-priority-goes-first", test_high_priority_goes_first);
  ADD ("delay-counts-as-arrival", test_delay_counts_as_arrival);
  ADD ("expired-call-is-not-run", test_expired_call_is_not_run);
  ADD ("delayed-call-wakes-an-idle-reader", test_delayed_call_wakes_an_idle_reader);

  return fixture_run_tests ();
}
