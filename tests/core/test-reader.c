/* test-reader.c — calls that one object leaves in a store and another runs.
 *
 * Each case runs over several stores, because nothing in it may depend on which one it is.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "call-fixture.h"
#include "plain-store.h"
#include "store-fixture.h"

#include <signal.h>
#include <string.h>

#define SECOND ((gint64) G_USEC_PER_SEC)

typedef struct
{
  char *folder;
  StrandStore *store;
  StrandBackend *backend;
  StrandTaskrunner *runner;
  StrandReader *reader;
  Told *told;
} Fixture;

static StrandReader *
new_reader (Fixture *f, const char *first_property, ...)
{
  const char *const queues[] = { "default", "low", NULL };
  StrandReader *reader = g_object_new (STRAND_TYPE_READER, "store", f->store, "taskrunner", f->runner,
                                       "queues", queues, "jobs", 2, "grace", SECOND / 10, NULL);
  va_list args;

  va_start (args, first_property);
  g_object_set_valist (G_OBJECT (reader), first_property, args);
  va_end (args);
  return reader;
}

static void
listen (Fixture *f, const char *first_property, gint64 value)
{
  g_autoptr(GError) error = NULL;

  if (g_strcmp0 (first_property, "lease") == 0)
    f->reader = new_reader (f, first_property, value, NULL);
  else if (first_property != NULL)
    f->reader = new_reader (f, first_property, (guint) value, "retry-delay", G_GINT64_CONSTANT (0), NULL);
  else
    f->reader = new_reader (f, NULL, NULL);
  g_assert_true (strand_reader_listen (f->reader, &error));
  g_assert_no_error (error);
}

static void
set_up (Fixture *f, gconstpointer type)
{
  f->folder = fixture_make_folder ();
  f->store = strcmp (type, "plain") == 0 ? plain_store_new () : fixture_open_store (type, f->folder);
  f->backend = make_backend ("store", "store", f->store, NULL);
  f->runner = make_runner ("thread", "workers", 2, NULL);
  f->told = told_new ();
}

static void
stop_reader (Fixture *f)
{
  g_autoptr(GError) error = NULL;

  if (f->reader == NULL)
    return;
  g_assert_true (strand_reader_stop (f->reader, g_get_monotonic_time () + DEADLINE_US, &error));
  g_assert_no_error (error);
  finalize_soon (f->reader);
  f->reader = NULL;
}

static void
tear_down (Fixture *f, gconstpointer type)
{
  stop_reader (f);
  close_backend (f->backend);
  close_runner (f->runner);
  strand_store_close (f->store);
  /* A last look at a record may be under way on another thread. */
  wait_until (g_atomic_int_get (&G_OBJECT (f->store)->ref_count) == 1);
  g_assert_finalize_object (f->store);
  told_free (f->told);
  fixture_remove_folder (f->folder);
}

static StrandHandle *
launch (Fixture *f, const char *name, const char *arguments, StrandOptions *options)
{
  g_autoptr(StrandFunction) function = fixture_function (name);
  g_autoptr(StrandTask) task = strand_task_new (function, G_OBJECT (f->backend));
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) values = NULL;

  told_listen (f->told, task);
  if (arguments != NULL)
    values = g_variant_parse (NULL, arguments, NULL, NULL, &error);
  g_assert_no_error (error);
  return strand_task_call_full (task, values, NULL, options);
}

static char *
finish (Fixture *f)
{
  wait_until (told_count_over (f->told) == 1);
  return told_dup_log (f->told);
}

static StrandRecord *
record_of (Fixture *f, StrandHandle *handle)
{
  g_autoptr(GError) error = NULL;
  StrandRecord *record = strand_store_get (f->store, strand_handle_get_key (handle), &error);

  g_assert_no_error (error);
  return record;
}

static void
test_call_is_run_by_a_reader (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandHandle) handle = launch (f, "test.add", "(int64 20, int64 22)", NULL);
  g_autoptr(StrandRecord) record = NULL;
  g_autofree char *log = NULL;

  listen (f, NULL, 0);
  log = finish (f);
  g_assert_cmpstr (log, ==, "end 42");
  record = record_of (f, handle);
  g_assert_cmpint (strand_record_get_status (record), ==, STRAND_STATUS_COMPLETED);
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_FENCE), ==, 1);
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_ATTEMPT), ==, 1);
  g_assert_null (strand_record_get_string (record, STRAND_FIELD_LEASE_OWNER));
}

static GVariant *
fetch_elsewhere (StrandBackend *backend, StrandRecord *record, gpointer unused)
{
  g_autoptr(GVariant) kept = strand_record_dup_value (record, NULL);

  return g_variant_new_int64 (g_variant_get_int64 (kept) + 1);
}

static void
test_hook_fetches_the_result (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandHandle) handle = NULL;
  g_autofree char *log = NULL;

  g_signal_connect (f->backend, "get-result", G_CALLBACK (fetch_elsewhere), NULL);
  handle = launch (f, "test.add", "(int64 20, int64 22)", NULL);
  listen (f, NULL, 0);
  log = finish (f);
  g_assert_cmpstr (log, ==, "end 43");
}

static void
test_reader_that_waits_is_woken (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *log = NULL;

  listen (f, NULL, 0);
  g_assert_true (strand_reader_wait_idle (f->reader, g_get_monotonic_time () + DEADLINE_US, &error));
  handle = launch (f, "test.echo", "('hello',)", NULL);
  log = finish (f);
  g_assert_cmpstr (log, ==, "end 'hello'");
}

static void
test_failure_keeps_its_cause (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandHandle) handle = launch (f, "test.fail", "('no such invoice',)", NULL);
  g_autofree char *log = NULL;

  listen (f, NULL, 0);
  log = finish (f);
  g_assert_error (f->told->error, G_FILE_ERROR, G_FILE_ERROR_NOENT);
  g_assert_cmpstr (f->told->error->message, ==, "no such invoice");
}

static void
test_items_come_in_order_before_the_end (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandHandle) handle = launch (f, "test.count", "(uint32 90,)", NULL);
  g_autoptr(GString) expected = g_string_new (NULL);
  g_autofree char *log = NULL;

  for (guint i = 0; i < 90; i++)
    g_string_append_printf (expected, "item %u/1 %u; ", i, i);
  g_string_append (expected, "end 90");
  listen (f, NULL, 0);
  log = finish (f);
  g_assert_cmpstr (log, ==, expected->str);
}

static int n_early; /* items of calls that did not run, as far as anybody could see; atomic */

static gboolean
look_at_status (StrandCall *call, GVariant *item, gpointer unused, GError **error)
{
  if (strand_call_get_status (call) == STRAND_STATUS_PENDING)
    g_atomic_int_inc (&n_early);
  return TRUE;
}

/* Callbacks where the news is read see the call as it is then. */
static void
test_what_emits_is_seen_to_run (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandFunction) function = fixture_function ("test.count");
  g_autoptr(StrandTask) task = strand_task_new (function, G_OBJECT (f->backend));

  n_early = 0;
  told_listen (f->told, task);
  strand_task_on_iter (task, look_at_status, NULL, NULL);
  g_object_set (task, "on-runner", TRUE, NULL);
  listen (f, NULL, 0);
  for (guint i = 0; i < 20; i++)
    strand_task_post (task, "(u)", 10);
  wait_until (told_count_over (f->told) == 20);
  g_assert_cmpint (g_atomic_int_get (&n_early), ==, 0);
}

static gboolean
choke (StrandCall *call, GVariant *item, gpointer unused, GError **error)
{
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "this is no invoice");
  return FALSE;
}

/* Whoever consumes has the last word, as where the function runs here; others only see that it was stopped.
 */
static void
test_failing_consumer_is_told_why (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandFunction) function = fixture_function ("test.count");
  g_autoptr(StrandTask) task = strand_task_new (function, G_OBJECT (f->backend));
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(StrandRecord) record = NULL;
  g_autofree char *log = NULL;

  told_listen (f->told, task);
  strand_task_on_iter (task, choke, NULL, NULL);
  listen (f, NULL, 0);
  handle = strand_task_call (task, "(u)", G_MAXUINT32);
  log = finish (f);
  g_assert_error (f->told->error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_FAILED);
  record = record_of (f, handle);
  g_assert_cmpint (strand_record_get_status (record), ==, STRAND_STATUS_CANCELLED);
}

static void
test_retry_runs_again (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandHandle) handle = launch (f, "test.fail", "('once more',)", NULL);
  g_autoptr(StrandRecord) record = NULL;
  g_autoptr(GVariant) causes = NULL;
  g_autofree char *log = NULL;

  listen (f, "retries", 2);
  log = finish (f);
  record = record_of (f, handle);
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_ATTEMPT), ==, 3);
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_FENCE), ==, 3);
  g_assert_cmpuint (g_variant_n_children (strand_record_get_variant (record, STRAND_FIELD_CAUSES)), ==, 3);
}

static void
test_pending_call_is_cancelled_without_a_reader (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandHandle) handle = launch (f, "test.nothing", NULL, NULL);
  g_autofree char *log = NULL;

  g_assert_true (strand_handle_cancel (handle));
  log = finish (f);
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_CANCELLED);
}

static void
test_running_call_is_cancelled (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandHandle) handle = launch (f, "test.block", NULL, NULL);
  g_autofree char *log = NULL;

  listen (f, NULL, 0);
  wait_until (strand_handle_get_status (handle) == STRAND_STATUS_RUNNING);
  g_assert_true (strand_handle_cancel (handle));
  log = finish (f);
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_CANCELLED);
}

static StrandStore *store_to_ask; /* of the function below */

/* Has itself cancelled as another process would, sooner than its reader watches the record. */
static GVariant *
ask_and_wait (StrandContext *context, GVariant *arguments, gpointer unused, GError **error)
{
  g_autoptr(GError) local_error = NULL;

  g_assert_true (strand_store_cancel_call (store_to_ask, strand_context_get_key (context), &local_error));
  g_assert_no_error (local_error);
  strand_context_sleep (context, DEADLINE_US, error);
  return NULL;
}

/* Nobody tells of what was written before the watch stood, and with a lease of a day no renewal does. */
static void
test_early_cancellation_is_seen (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandHandle) handle = launch (f, "reader.ask-and-wait", NULL, NULL);
  g_autofree char *log = NULL;

  store_to_ask = f->store;
  listen (f, "lease", 24 * 3600 * SECOND);
  log = finish (f);
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_CANCELLED);
}

static void
test_queues_come_in_strict_order (Fixture *f, gconstpointer type)
{
  const char *const queues[] = { "default", "low", NULL };
  const StrandClaim claim = { queues, "reader-1000:test", G_MAXINT64 / 4, 10 };
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) low = NULL;
  g_autoptr(StrandHandle) first = NULL;
  g_autoptr(GPtrArray) claimed = NULL;
  g_autoptr(GError) error = NULL;

  strand_options_set_queue (options, "low");
  low = launch (f, "test.nothing", NULL, options);
  first = launch (f, "test.nothing", NULL, NULL);
  wait_until (strand_store_count (f->store, NULL, NULL) == 2);
  claimed = strand_store_claim (f->store, &claim, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (claimed->len, ==, 2);
  g_assert_cmpstr (strand_record_get_key (g_ptr_array_index (claimed, 0)), ==, strand_handle_get_key (first));
  g_assert_false (strand_backend_close (f->backend, 0, NULL)); /* nobody will run them here */
  wait_until (told_count_over (f->told) == 2);
  g_assert_error (f->told->error, STRAND_ERROR, STRAND_ERROR_CLOSED);
}

static void
test_unknown_function_fails_and_others_run (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandRecord) record = strand_record_new ("unknown");
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(StrandHandle) unknown = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *log = NULL;

  strand_record_set_string (record, STRAND_FIELD_FUNCTION, "test.there-is-no-such");
  strand_record_set_string (record, STRAND_FIELD_QUEUE, "default");
  g_assert_true (strand_store_put (f->store, record, 0, &error));
  handle = launch (f, "test.echo", "('next',)", NULL);
  listen (f, NULL, 0);
  log = finish (f);
  g_assert_cmpstr (log, ==, "end 'next'");
  g_assert_true (strand_reader_wait_idle (f->reader, g_get_monotonic_time () + DEADLINE_US, &error));
  unknown = strand_handle_new (f->store, "unknown", &error);
  g_assert_no_error (error);
  g_assert_error (strand_handle_get_error (unknown), STRAND_ERROR, STRAND_ERROR_UNKNOWN_FUNCTION);
}

static void
test_expired_call_does_not_start (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autofree char *log = NULL;

  strand_options_set_expires (options, strand_clock_now_us () - 1);
  handle = launch (f, "test.nothing", NULL, options);
  log = finish (f); /* without any reader */
  g_assert_error (f->told->error, STRAND_ERROR, STRAND_ERROR_EXPIRED);
}

static void
test_paused_reader_takes_nothing (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *log = NULL;

  listen (f, NULL, 0);
  g_assert_true (strand_reader_wait_idle (f->reader, g_get_monotonic_time () + DEADLINE_US, &error));
  strand_reader_pause (f->reader);
  handle = launch (f, "test.nothing", NULL, NULL);
  wait_until (strand_store_count (f->store, NULL, NULL) == 1);
  g_assert_cmpuint (strand_reader_get_n_running (f->reader), ==, 0);
  strand_reader_resume (f->reader);
  log = finish (f);
  g_assert_cmpstr (log, ==, "end nothing");
}

static void
test_stopped_reader_gives_back (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandHandle) handle = launch (f, "test.block", NULL, NULL);
  g_autoptr(StrandRecord) record = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *log = NULL;

  listen (f, NULL, 0);
  wait_until (strand_handle_get_status (handle) == STRAND_STATUS_RUNNING);
  strand_reader_hurry (f->reader);
  g_assert_false (strand_reader_stop (f->reader, -1, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_TIMED_OUT);
  g_clear_object (&f->reader);
  record = record_of (f, handle);
  g_assert_cmpint (strand_record_get_status (record), ==, STRAND_STATUS_PENDING);
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_ATTEMPT), ==, 1);
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_CRASHES), ==, 0);

  listen (f, NULL, 0);
  wait_until (strand_handle_get_status (handle) == STRAND_STATUS_RUNNING);
  g_assert_true (strand_handle_cancel (handle));
  log = finish (f);
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_CANCELLED);
}

/* A lease whose holder is not there: nobody renews it. */
static void
test_call_of_a_silent_worker_is_run_again (Fixture *f, gconstpointer type)
{
  const char *const queues[] = { "default", NULL };
  const StrandClaim claim = { queues, "reader-500:elsewhere:1:1:1:0", G_MAXINT64 / 4, 1 };
  g_autoptr(StrandHandle) handle = launch (f, "test.echo", "('again',)", NULL);
  g_autoptr(GPtrArray) claimed = NULL;
  g_autoptr(StrandRecord) record = NULL;
  g_autofree char *log = NULL;

  wait_until (strand_store_count (f->store, NULL, NULL) == 1);
  claimed = strand_store_claim (f->store, &claim, NULL, NULL);
  g_assert_cmpuint (claimed->len, ==, 1);
  listen (f, "lease", 2 * SECOND); /* which it must not lose itself, or the call would be claimed once more */
  log = finish (f);
  g_assert_cmpstr (log, ==, "end 'again'");
  record = record_of (f, handle);
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_CRASHES), ==, 1);
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_FENCE), ==, 2);
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_ATTEMPT), ==, 1);
}

/* What the holder of a removed call writes when it comes to it. */
static void
finish_late (StrandRecord *record, gpointer unused)
{
  strand_record_end (record, STRAND_STATUS_COMPLETED, strand_clock_now_us ());
}

static StrandRecord *
claim_one (Fixture *f)
{
  const char *const queues[] = { "default", NULL };
  const StrandClaim claim = { queues, "reader-60000:elsewhere:1:1:1:0", G_MAXINT64 / 4, 1 };
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) claimed = NULL;

  wait_until (
      strand_store_count (f->store, &(StrandFilter){ .statuses = 1 << STRAND_STATUS_PENDING }, NULL) == 1);
  claimed = strand_store_claim (f->store, &claim, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (claimed->len, ==, 1);
  return strand_record_ref (g_ptr_array_index (claimed, 0));
}

/* A call that runs is removed, and launched again under the same key; by the same worker, say. */
static void
test_holder_of_a_removed_call_changes_nothing (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) first = NULL;
  g_autoptr(StrandHandle) second = NULL;
  g_autoptr(StrandRecord) held = NULL;
  g_autoptr(StrandRecord) late = NULL;
  g_autoptr(StrandRecord) again = NULL;
  g_autoptr(StrandRecord) after = NULL;
  g_autoptr(GBytes) item = g_bytes_new_static ("1", 1);
  g_autoptr(GPtrArray) items = NULL;
  g_autoptr(GError) error = NULL;
  StrandRenewal renewal = { .key = "nightly" };
  guint64 first_item;

  strand_options_set_key (options, "nightly");
  first = launch (f, "test.add", "(int64 1, int64 2)", options);
  held = claim_one (f);
  g_assert_true (strand_store_remove (f->store, "nightly", 0, &error));
  wait_until (told_count_over (f->told) == 1);
  second = launch (f, "test.add", "(int64 3, int64 4)", options);
  again = claim_one (f);

  late = strand_record_copy (held);
  finish_late (late, NULL);
  g_assert_false (strand_store_put (f->store, late, strand_record_get_revision (held), &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_STALE);
  g_clear_error (&error);
  g_assert_null (strand_store_change (f->store, held, finish_late, NULL, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_STALE);
  g_clear_error (&error);
  renewal.fence = (guint64) strand_record_get_int (held, STRAND_FIELD_FENCE);
  g_assert_true (strand_store_renew (f->store, &renewal, 1, &error));
  g_assert_error (renewal.error, STRAND_ERROR, STRAND_ERROR_STALE);
  g_clear_error (&renewal.error);
  strand_store_append_items (f->store, "nightly", renewal.fence, 0, &item, 1, 10, &error);
  g_assert_no_error (error);

  after = record_of (f, second);
  g_assert_cmpuint (strand_record_get_revision (after), ==, strand_record_get_revision (again));
  g_assert_cmpint (strand_record_get_status (after), ==, STRAND_STATUS_RUNNING);
  items = strand_store_read_items (f->store, "nightly",
                                   (guint64) strand_record_get_int (after, STRAND_FIELD_FENCE), 0, 10,
                                   &first_item, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (items->len, ==, 0);
  g_assert_cmpint (strand_record_get_int (after, STRAND_FIELD_FENCE) & STRAND_FENCE_CLAIMS, ==, 1);
  g_assert_false (strand_backend_close (f->backend, 0, NULL)); /* nobody will run it here */
  wait_until (told_count_over (f->told) == 2);
}

static void
test_many_calls_end_once_each (Fixture *f, gconstpointer type)
{
  enum
  {
    N_CALLS = 500
  };
  g_autoptr(StrandFunction) function = fixture_function ("test.add");
  g_autoptr(StrandTask) task = strand_task_new (function, G_OBJECT (f->backend));

  told_listen (f->told, task);
  listen (f, NULL, 0);
  for (gint64 i = 0; i < N_CALLS; i++)
    strand_task_post (task, "(xx)", i, (gint64) 1);
  wait_until (told_count_over (f->told) == N_CALLS);
  g_assert_cmpuint (f->told->n_errors, ==, 0);
  g_assert_cmpint (
      strand_store_count (f->store, &(StrandFilter){ .statuses = 1 << STRAND_STATUS_COMPLETED }, NULL), ==,
      N_CALLS);
}

#define ADD(name, run) fixture_add_for_stores (stores, "/reader", name, Fixture, set_up, run, tear_down)

int
main (int argc, char **argv)
{
  const char *const *stores;
  g_autoptr(GError) error = NULL;

  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  stores = fixture_store_types ("/reader");
  fixture_add_functions ();
  strand_registry_add (strand_registry_get_default (), "reader.ask-and-wait", "", "Has itself cancelled",
                       ask_and_wait, NULL, NULL, &error);
  g_assert_no_error (error);

  ADD ("call-is-run", test_call_is_run_by_a_reader);
  ADD ("hook-fetches-the-result", test_hook_fetches_the_result);
  ADD ("waiting-reader-is-woken", test_reader_that_waits_is_woken);
  ADD ("failure-keeps-its-cause", test_failure_keeps_its_cause);
  ADD ("items-come-in-order-before-the-end", test_items_come_in_order_before_the_end);
  ADD ("what-emits-is-seen-to-run", test_what_emits_is_seen_to_run);
  ADD ("failing-consumer-is-told-why", test_failing_consumer_is_told_why);
  ADD ("retry-runs-again", test_retry_runs_again);
  ADD ("pending-call-is-cancelled-without-a-reader", test_pending_call_is_cancelled_without_a_reader);
  ADD ("running-call-is-cancelled", test_running_call_is_cancelled);
  ADD ("early-cancellation-is-seen", test_early_cancellation_is_seen);
  ADD ("queues-come-in-strict-order", test_queues_come_in_strict_order);
  ADD ("unknown-function-fails-and-others-run", test_unknown_function_fails_and_others_run);
  ADD ("expired-call-does-not-start", test_expired_call_does_not_start);
  ADD ("paused-reader-takes-nothing", test_paused_reader_takes_nothing);
  ADD ("stopped-reader-gives-back", test_stopped_reader_gives_back);
  ADD ("call-of-a-silent-worker-is-run-again", test_call_of_a_silent_worker_is_run_again);
  ADD ("holder-of-a-removed-call-changes-nothing", test_holder_of_a_removed_call_changes_nothing);
  g_test_add ("/reader/plain/holder-of-a-removed-call-changes-nothing", Fixture, "plain", set_up,
              test_holder_of_a_removed_call_changes_nothing, tear_down);
  ADD ("many-calls-end-once-each", test_many_calls_end_once_each);

  return fixture_run_tests ();
}
