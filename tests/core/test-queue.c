/* test-queue.c — how queues stand, and governing them while readers are at work.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "call-fixture.h"
#include "store-fixture.h"

#include <string.h>

#define SECOND ((gint64) G_USEC_PER_SEC)

typedef struct
{
  char *folder;
  StrandStore *store;
  StrandTaskrunner *runner;
  StrandReader *reader;
} Fixture;

static void
set_up (Fixture *f, gconstpointer type)
{
  f->folder = fixture_make_folder ();
  f->store = fixture_open_store (type, f->folder);
  f->runner = make_runner ("thread", "workers", 2, NULL);
}

static void
tear_down (Fixture *f, gconstpointer type)
{
  g_autoptr(GError) error = NULL;

  if (f->reader != NULL)
    {
      g_assert_true (strand_reader_stop (f->reader, g_get_monotonic_time () + DEADLINE_US, &error));
      finalize_soon (f->reader);
    }
  close_runner (f->runner);
  strand_store_close (f->store);
  wait_until (g_atomic_int_get (&G_OBJECT (f->store)->ref_count) == 1);
  finalize_soon (f->store);
  fixture_remove_folder (f->folder);
}

static void
listen (Fixture *f)
{
  const char *const queues[] = { "a", "b", NULL };
  g_autoptr(GError) error = NULL;

  f->reader = g_object_new (STRAND_TYPE_READER, "store", f->store, "taskrunner", f->runner, "queues", queues,
                            "jobs", 3, "grace", SECOND / 10, NULL);
  g_assert_true (strand_reader_listen (f->reader, &error));
  g_assert_no_error (error);
}

/* A call as it is left in a store, changed by whoever wants it otherwise. */
static StrandRecord *
new_call (const char *key, const char *queue)
{
  StrandRecord *record = strand_record_new (key);

  strand_record_set_string (record, STRAND_FIELD_QUEUE, queue);
  strand_record_set_string (record, STRAND_FIELD_FUNCTION, "test.nothing");
  strand_record_set_int (record, STRAND_FIELD_CREATED, strand_clock_now_us ());
  return record;
}

/* Takes over @record. */
static void
put (Fixture *f, StrandRecord *record)
{
  g_autoptr(StrandRecord) own = record;
  g_autoptr(GError) error = NULL;

  strand_store_put (f->store, own, 0, &error);
  g_assert_no_error (error);
}

static StrandStatus
status_of (Fixture *f, const char *key)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandRecord) record = strand_store_get (f->store, key, &error);

  g_assert_no_error (error);
  return strand_record_get_status (record);
}

static StrandRecord *
new_ended (const char *key, const char *queue, int code, gint64 ago_us)
{
  StrandRecord *record = new_call (key, queue);
  g_autoptr(GError) cause = code >= 0 ? g_error_new (STRAND_ERROR, code, "so it is") : NULL;

  strand_record_claim (record, "reader-500:elsewhere:1:1:1:0", 1);
  if (cause != NULL)
    strand_record_add_cause (record, "", cause);
  strand_record_end (record, cause != NULL ? STRAND_STATUS_FAILED : STRAND_STATUS_COMPLETED,
                     strand_clock_now_us () - ago_us);
  return record;
}

static void
test_all_is_counted (Fixture *f, gconstpointer type)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandQueueInfo) info = NULL;
  g_autoptr(StrandQueueInfo) empty = NULL;
  g_autoptr(GPtrArray) all = NULL;
  StrandRecord *record;
  gint64 oldest_us = strand_clock_now_us () - 90 * SECOND;

  put (f, new_call ("due-1", "a"));
  record = new_call ("due-2", "a");
  strand_record_set_int (record, STRAND_FIELD_CREATED, oldest_us);
  put (f, record);
  record = new_call ("later", "a");
  strand_record_set_int (record, STRAND_FIELD_NOT_BEFORE, strand_clock_now_us () + 3600 * SECOND);
  put (f, record);
  record = new_call ("runs", "a");
  strand_record_claim (record, "reader-500:elsewhere:1:1:1:0", 1);
  put (f, record);
  put (f, new_ended ("failed", "a", STRAND_ERROR_FAILED, 0));
  put (f, new_ended ("dead", "a", STRAND_ERROR_DEAD, 0));
  for (guint i = 0; i < 8; i++)
    {
      g_autofree char *key = g_strdup_printf ("done-%u", i);

      put (f, new_ended (key, "a", -1, 0));
    }
  put (f, new_ended ("long-ago", "a", -1, 3600 * SECOND));
  put (f, new_call ("other", "b"));
  g_assert_true (strand_queue_pause (f->store, "c", &error));

  info = strand_queue_show (f->store, "a", &error);
  g_assert_no_error (error);
  g_assert_cmpstr (info->name, ==, "a");
  g_assert_false (info->paused);
  g_assert_cmpint (info->n_due, ==, 2);
  g_assert_cmpint (info->n_delayed, ==, 1);
  g_assert_cmpint (info->n_running, ==, 1);
  g_assert_cmpint (info->n_failed, ==, 2);
  g_assert_cmpint (info->n_dead, ==, 1);
  g_assert_cmpint (info->oldest_us, ==, oldest_us);
  g_assert_cmpfloat_with_epsilon (info->per_minute, 2.0, 1e-6); /* ten in five minutes */
  g_assert_cmpuint (info->n_workers, ==, 0);
  g_assert_false (info->estimated);

  all = strand_queue_list (f->store, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (all->len, ==, 3);
  g_assert_cmpstr (((StrandQueueInfo *) g_ptr_array_index (all, 1))->name, ==, "b");
  g_assert_cmpint (((StrandQueueInfo *) g_ptr_array_index (all, 1))->n_due, ==, 1);
  g_assert_cmpstr (((StrandQueueInfo *) g_ptr_array_index (all, 2))->name, ==, "c");
  g_assert_true (((StrandQueueInfo *) g_ptr_array_index (all, 2))->paused);

  empty = strand_queue_show (f->store, "nobody-uses-it", &error);
  g_assert_no_error (error);
  g_assert_cmpint (empty->n_due, ==, 0);
}

static void
test_workers_are_found (Fixture *f, gconstpointer type)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) workers = NULL;
  g_autoptr(GPtrArray) others = NULL;
  g_autoptr(StrandQueueInfo) info = NULL;
  GVariant *metadata;
  guint32 jobs;

  listen (f);
  workers = strand_queue_list_workers (f->store, "b", &error);
  g_assert_no_error (error);
  g_assert_cmpuint (workers->len, ==, 1);
  metadata = strand_record_get_variant (g_ptr_array_index (workers, 0), STRAND_FIELD_METADATA);
  g_assert_true (g_variant_lookup (metadata, "jobs", "u", &jobs));
  g_assert_cmpuint (jobs, ==, 3);
  others = strand_queue_list_workers (f->store, "c", &error);
  g_assert_no_error (error);
  g_assert_cmpuint (others->len, ==, 0);
  info = strand_queue_show (f->store, "a", &error);
  g_assert_cmpuint (info->n_workers, ==, 1);
}

static void
test_paused_queue_waits_and_the_other_goes_on (Fixture *f, gconstpointer type)
{
  g_autoptr(GError) error = NULL;

  g_assert_true (strand_queue_pause (f->store, "a", &error));
  g_assert_true (strand_queue_pause (f->store, "a", &error)); /* again is no mistake */
  g_assert_true (strand_queue_is_paused (f->store, "a", &error));
  g_assert_no_error (error);
  listen (f);
  put (f, new_call ("held", "a"));
  put (f, new_call ("free", "b"));
  wait_until (status_of (f, "free") == STRAND_STATUS_COMPLETED);
  g_assert_cmpint (status_of (f, "held"), ==, STRAND_STATUS_PENDING);
  g_assert_true (strand_queue_resume (f->store, "a", &error));
  g_assert_true (strand_queue_resume (f->store, "a", &error));
  g_assert_false (strand_queue_is_paused (f->store, "a", &error));
  g_assert_no_error (error);
  wait_until (status_of (f, "held") == STRAND_STATUS_COMPLETED);
}

static void
test_queue_is_paused_while_a_reader_works (Fixture *f, gconstpointer type)
{
  g_autoptr(GError) error = NULL;
  guint n_before = 0, n_paused = 0;

  listen (f);
  /* The reader obeys as soon as it has heard; from some call on none is run any more. */
  g_assert_true (strand_queue_pause (f->store, "a", &error));
  for (; n_paused == 0; n_before++)
    {
      g_autofree char *key = g_strdup_printf ("call-%u", n_before);

      put (f, new_call (key, "a"));
      put (f, new_call (strrchr (key, '-') + 1, "b"));
      wait_until (status_of (f, strrchr (key, '-') + 1) == STRAND_STATUS_COMPLETED);
      n_paused += status_of (f, key) == STRAND_STATUS_PENDING;
      g_assert_cmpuint (n_before, <, 10000);
    }
  g_assert_true (strand_queue_resume (f->store, "a", &error));
  g_assert_true (strand_queue_drain (f->store, "a", DEADLINE_US, &error));
  g_assert_no_error (error);
}

static void
test_drain_waits_for_what_is_due (Fixture *f, gconstpointer type)
{
  g_autoptr(GError) error = NULL;
  StrandRecord *later = new_call ("later", "a");

  strand_record_set_int (later, STRAND_FIELD_NOT_BEFORE, strand_clock_now_us () + 3600 * SECOND);
  put (f, later);
  for (guint i = 0; i < 20; i++)
    {
      g_autofree char *key = g_strdup_printf ("call-%u", i);

      put (f, new_call (key, "a"));
    }
  g_assert_false (strand_queue_drain (f->store, "a", 0, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_WAIT_TIMED_OUT);
  g_clear_error (&error);
  listen (f);
  g_assert_true (strand_queue_drain (f->store, "a", DEADLINE_US, &error));
  g_assert_no_error (error);
  for (guint i = 0; i < 20; i++)
    {
      g_autofree char *key = g_strdup_printf ("call-%u", i);

      g_assert_cmpint (status_of (f, key), ==, STRAND_STATUS_COMPLETED);
    }
  g_assert_cmpint (status_of (f, "later"), ==, STRAND_STATUS_PENDING);
}

static void
test_drain_of_a_paused_queue_is_refused (Fixture *f, gconstpointer type)
{
  g_autoptr(GError) error = NULL;

  put (f, new_call ("held", "a"));
  g_assert_true (strand_queue_pause (f->store, "a", &error));
  g_assert_false (strand_queue_drain (f->store, "a", -1, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_WOULD_DEADLOCK);
}

static void
test_purge_cancels_what_waits (Fixture *f, gconstpointer type)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandRecord) record = NULL;
  g_autoptr(GError) cause = NULL;
  StrandRecord *old = new_call ("old", "a");

  strand_record_set_int (old, STRAND_FIELD_CREATED, strand_clock_now_us () - 7200 * SECOND);
  put (f, old);
  put (f, new_call ("fresh", "a"));
  put (f, new_call ("other", "b"));
  record = new_call ("runs", "a");
  strand_record_claim (record, "reader-500:elsewhere:1:1:1:0", 1);
  put (f, g_steal_pointer (&record));

  g_assert_cmpint (strand_queue_purge (f->store, "a", 3600 * SECOND, &error), ==, 1);
  g_assert_no_error (error);
  g_assert_cmpint (status_of (f, "old"), ==, STRAND_STATUS_CANCELLED);
  g_assert_cmpint (status_of (f, "fresh"), ==, STRAND_STATUS_PENDING);
  g_assert_cmpint (strand_queue_purge (f->store, "a", 0, &error), ==, 1);
  g_assert_cmpint (strand_queue_purge (f->store, "a", 0, &error), ==, 0);
  g_assert_cmpint (status_of (f, "fresh"), ==, STRAND_STATUS_CANCELLED);
  g_assert_cmpint (status_of (f, "runs"), ==, STRAND_STATUS_RUNNING);
  g_assert_cmpint (status_of (f, "other"), ==, STRAND_STATUS_PENDING);
  record = strand_store_get (f->store, "fresh", NULL);
  cause = strand_record_dup_error (record);
  g_assert_error (cause, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_nonnull (strstr (cause->message, "'a' was purged"));
}

/* Each call is either run or cancelled, never both. */
static void
test_purge_races_with_a_reader (Fixture *f, gconstpointer type)
{
  enum
  {
    N_CALLS = 100
  };
  const StrandFilter completed = { .queue = "a", .statuses = 1 << STRAND_STATUS_COMPLETED };
  g_autoptr(GError) error = NULL;
  gint64 n_purged;

  for (guint i = 0; i < N_CALLS; i++)
    {
      g_autofree char *key = g_strdup_printf ("call-%u", i);

      put (f, new_call (key, "a"));
    }
  listen (f);
  n_purged = strand_queue_purge (f->store, "a", 0, &error);
  g_assert_no_error (error);
  g_assert_true (strand_queue_drain (f->store, "a", DEADLINE_US, &error));
  g_assert_cmpint (strand_store_count (f->store, &completed, NULL), ==, N_CALLS - n_purged);
}

static void
test_names_are_checked (Fixture *f, gconstpointer type)
{
  static const char *const names[] = { "", "a b", "ä" };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autoptr(GError) error = NULL;

      g_assert_false (strand_queue_pause (f->store, names[i], &error));
      g_assert_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT);
      g_clear_error (&error);
      g_assert_cmpint (strand_queue_purge (f->store, names[i], 0, &error), ==, -1);
      g_assert_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT);
    }
}

/* --- without blocking -------------------------------------------------------------------------------------
 */

static void
keep_result (GObject *source, GAsyncResult *result, gpointer kept)
{
  *(GAsyncResult **) kept = g_object_ref (result);
}

#define await(result)                                                                                        \
  G_STMT_START { wait_until ((result) != NULL); }                                                            \
  G_STMT_END

static void
test_all_of_it_without_blocking (Fixture *f, gconstpointer type)
{
  g_autoptr(GAsyncResult) paused = NULL, shown = NULL, listed = NULL, refused = NULL, resumed = NULL;
  g_autoptr(GAsyncResult) purged = NULL, drained = NULL, workers = NULL, stopped = NULL;
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  g_autoptr(StrandQueueInfo) info = NULL;
  g_autoptr(GPtrArray) infos = NULL;
  g_autoptr(GPtrArray) found = NULL;
  g_autoptr(GError) error = NULL;

  put (f, new_call ("held", "a"));
  strand_queue_pause_async (f->store, "a", NULL, keep_result, &paused);
  await (paused);
  g_assert_true (strand_queue_pause_finish (f->store, paused, &error));
  strand_queue_show_async (f->store, "a", NULL, keep_result, &shown);
  await (shown);
  info = strand_queue_show_finish (f->store, shown, &error);
  g_assert_no_error (error);
  g_assert_true (info->paused);
  strand_queue_list_async (f->store, NULL, keep_result, &listed);
  await (listed);
  infos = strand_queue_list_finish (f->store, listed, &error);
  g_assert_cmpuint (infos->len, ==, 1);
  strand_queue_drain_async (f->store, "a", -1, NULL, keep_result, &refused);
  await (refused);
  g_assert_false (strand_queue_drain_finish (f->store, refused, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_WOULD_DEADLOCK);
  g_clear_error (&error);
  strand_queue_resume_async (f->store, "a", NULL, keep_result, &resumed);
  await (resumed);
  g_assert_true (strand_queue_resume_finish (f->store, resumed, &error));
  strand_queue_drain_async (f->store, "a", -1, cancellable, keep_result, &stopped);
  g_cancellable_cancel (cancellable);
  await (stopped);
  g_assert_false (strand_queue_drain_finish (f->store, stopped, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  strand_queue_purge_async (f->store, "a", 0, NULL, keep_result, &purged);
  await (purged);
  g_assert_cmpint (strand_queue_purge_finish (f->store, purged, &error), ==, 1);
  strand_queue_drain_async (f->store, "a", -1, NULL, keep_result, &drained);
  await (drained);
  g_assert_true (strand_queue_drain_finish (f->store, drained, &error));
  strand_queue_list_workers_async (f->store, NULL, NULL, keep_result, &workers);
  await (workers);
  found = strand_queue_list_workers_finish (f->store, workers, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (found->len, ==, 0);
}

#define ADD(name, run) fixture_add_for_stores (stores, "/queue", name, Fixture, set_up, run, tear_down)

int
main (int argc, char **argv)
{
  const char *const *stores;

  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  stores = fixture_store_types ("/queue");
  fixture_add_functions ();

  ADD ("all-is-counted", test_all_is_counted);
  ADD ("workers-are-found", test_workers_are_found);
  ADD ("paused-queue-waits", test_paused_queue_waits_and_the_other_goes_on);
  ADD ("paused-while-a-reader-works", test_queue_is_paused_while_a_reader_works);
  ADD ("drain-waits-for-what-is-due", test_drain_waits_for_what_is_due);
  ADD ("drain-of-a-paused-queue-is-refused", test_drain_of_a_paused_queue_is_refused);
  ADD ("purge-cancels-what-waits", test_purge_cancels_what_waits);
  ADD ("purge-races-with-a-reader", test_purge_races_with_a_reader);
  ADD ("names-are-checked", test_names_are_checked);
  ADD ("without-blocking", test_all_of_it_without_blocking);

  return fixture_run_tests ();
}
