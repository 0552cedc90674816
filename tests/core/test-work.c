/* test-work.c — a store with nothing but the four required methods is a queue, and keeps what calls emit.
 *
 * What every store must promise here is tried by the store suite; this is for the defaults themselves.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "plain-store.h"
#include "waiting.h"

#define NOW_US G_GINT64_CONSTANT (1700000000000000)
#define OWNER "worker:test"

typedef struct
{
  StrandStore *store;
} Fixture;

static void
set_up (Fixture *f, gconstpointer unused)
{
  f->store = plain_store_new ();
}

static void
tear_down (Fixture *f, gconstpointer unused)
{
  /* The thread of an async function may not have let go of it yet. */
  wait_still (g_atomic_int_get (&G_OBJECT (f->store)->ref_count) == 1);
  g_assert_finalize_object (g_steal_pointer (&f->store));
}

static void
leave_call (Fixture *f, const char *key, const char *queue, gint64 created_us, gint64 not_before_us,
            gint64 priority)
{
  g_autoptr(StrandRecord) record = strand_record_new (key);
  g_autoptr(GError) error = NULL;

  strand_record_set_string (record, STRAND_FIELD_QUEUE, queue);
  strand_record_set_int (record, STRAND_FIELD_CREATED, created_us);
  strand_record_set_int (record, STRAND_FIELD_NOT_BEFORE, not_before_us);
  strand_record_set_int (record, STRAND_FIELD_PRIORITY, priority);
  g_assert_true (strand_store_put (f->store, record, 0, &error));
  g_assert_no_error (error);
}

/* Claims as much as there is, and returns the keys, joined. */
static char *
claim_keys (Fixture *f, const char *const *queues, guint limit, gint64 *next_due_us)
{
  const StrandClaim claim = { queues, OWNER, NOW_US, limit };
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) claimed = strand_store_claim (f->store, &claim, next_due_us, &error);
  g_autoptr(GString) keys = g_string_new (NULL);

  g_assert_no_error (error);
  for (guint i = 0; i < claimed->len; i++)
    g_string_append_printf (keys, "%s%s", i > 0 ? " " : "",
                            strand_record_get_key (g_ptr_array_index (claimed, i)));
  return g_string_free (g_steal_pointer (&keys), FALSE);
}

static StrandRecord *
claim_one (Fixture *f)
{
  const char *const queues[] = { "q", NULL };
  const StrandClaim claim = { queues, OWNER, NOW_US, 1 };
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) claimed = strand_store_claim (f->store, &claim, NULL, &error);

  g_assert_no_error (error);
  g_assert_cmpuint (claimed->len, ==, 1);
  return strand_record_ref (g_ptr_array_index (claimed, 0));
}

static void
test_claims_come_in_turn (Fixture *f, gconstpointer unused)
{
  const char *const queues[] = { "first", "second", NULL };
  g_autofree char *keys = NULL;
  g_autofree char *rest = NULL;
  gint64 next_due_us;

  leave_call (f, "late", "second", NOW_US - 10, 0, 0);
  leave_call (f, "early", "second", NOW_US - 20, 0, 0);
  leave_call (f, "important", "second", NOW_US - 5, 0, 1);
  leave_call (f, "aged", "second", NOW_US - 61 * G_USEC_PER_SEC, 0, -1);
  leave_call (f, "strictly-first", "first", NOW_US - 1, 0, -9);
  leave_call (f, "elsewhere", "third", NOW_US - 30, 0, 0);
  leave_call (f, "not-yet", "first", NOW_US - 40, NOW_US + 7, 5);
  leave_call (f, "later-still", "second", NOW_US - 40, NOW_US + 9, 5);

  keys = claim_keys (f, queues, 4, &next_due_us);
  g_assert_cmpstr (keys, ==, "strictly-first aged important early");
  g_assert_cmpint (next_due_us, ==, NOW_US + 7);
  rest = claim_keys (f, queues, 4, &next_due_us);
  g_assert_cmpstr (rest, ==, "late");
}

static void
test_claimed_call_is_held (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandRecord) record = NULL;
  g_autoptr(StrandRecord) kept = NULL;

  leave_call (f, "a", "q", NOW_US, 0, 0);
  record = claim_one (f);
  kept = strand_store_get (f->store, "a", NULL);
  g_assert_cmpint (strand_record_get_status (kept), ==, STRAND_STATUS_RUNNING);
  g_assert_cmpint (strand_record_get_int (kept, STRAND_FIELD_FENCE), ==, 1);
  g_assert_cmpint (strand_record_get_int (kept, STRAND_FIELD_ATTEMPT), ==, 1);
  g_assert_cmpint (strand_record_get_int (kept, STRAND_FIELD_STARTED), ==, NOW_US);
  g_assert_cmpstr (strand_record_get_string (kept, STRAND_FIELD_LEASE_OWNER), ==, OWNER);
  g_assert_cmpuint (strand_record_get_revision (kept), ==, 2);
  g_assert_cmpuint (strand_record_get_revision (record), ==, 2);
}

typedef struct
{
  Fixture *f;
  guint n_claimed;
} Claimant;

static gpointer
claim_until_none (gpointer data)
{
  const char *const queues[] = { "q", NULL };
  const StrandClaim claim = { queues, OWNER, NOW_US, 3 };
  Claimant *self = data;
  guint n;

  do
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(GPtrArray) claimed = strand_store_claim (self->f->store, &claim, NULL, &error);

      g_assert_no_error (error);
      n = claimed->len;
      self->n_claimed += n;
    }
  while (n > 0);
  return NULL;
}

static void
test_no_call_is_claimed_twice (Fixture *f, gconstpointer unused)
{
  Claimant claimants[8];
  GThread *threads[8];
  guint n_claimed = 0;

  for (guint i = 0; i < 200; i++)
    {
      g_autofree char *key = g_strdup_printf ("call-%03u", i);

      leave_call (f, key, "q", NOW_US - i, 0, 0);
    }
  for (guint i = 0; i < 8; i++)
    {
      claimants[i] = (Claimant){ f, 0 };
      threads[i] = g_thread_new ("claimant", claim_until_none, &claimants[i]);
    }
  for (guint i = 0; i < 8; i++)
    {
      g_thread_join (threads[i]);
      n_claimed += claimants[i].n_claimed;
    }
  g_assert_cmpuint (n_claimed, ==, 200);
}

static void
test_lost_lease_is_not_renewed (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandRecord) record = NULL;
  g_autoptr(StrandRecord) kept = NULL;
  g_autoptr(GError) error = NULL;
  StrandRenewal renewals[] = { { "a", 1 }, { "a", 2 }, { "gone", 1 } };

  leave_call (f, "a", "q", NOW_US, 0, 0);
  record = claim_one (f);
  strand_record_set_int (record, STRAND_FIELD_CANCEL_REQUESTED, TRUE);
  g_assert_true (strand_store_put (f->store, record, strand_record_get_revision (record), NULL));

  g_assert_true (strand_store_renew (f->store, renewals, 3, &error));
  g_assert_no_error (error);
  g_assert_no_error (renewals[0].error);
  g_assert_true (renewals[0].cancel_requested);
  g_assert_error (renewals[1].error, STRAND_ERROR, STRAND_ERROR_STALE);
  g_assert_error (renewals[2].error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND);
  kept = strand_store_get (f->store, "a", NULL);
  g_assert_cmpint (strand_record_get_int (kept, STRAND_FIELD_LEASE_COUNTER), ==, 2);
  g_error_free (renewals[1].error);
  g_error_free (renewals[2].error);
}

static void
complete (StrandRecord *record, gpointer n_tries)
{
  ++*(guint *) n_tries;
  strand_record_end (record, STRAND_STATUS_COMPLETED, NOW_US);
}

static void
test_change_survives_somebody_elses (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandRecord) held = NULL;
  g_autoptr(StrandRecord) ended = NULL;
  g_autoptr(StrandRecord) none = NULL;
  g_autoptr(GError) error = NULL;
  guint n_tries = 0;

  leave_call (f, "a", "q", NOW_US, 0, 0);
  held = claim_one (f);
  {
    g_autoptr(StrandRecord) theirs = strand_record_copy (held);

    strand_record_set_int (theirs, STRAND_FIELD_CANCEL_REQUESTED, TRUE);
    g_assert_true (strand_store_put (f->store, theirs, strand_record_get_revision (theirs), NULL));
  }

  ended = strand_store_change (f->store, held, complete, &n_tries, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (n_tries, ==, 2);
  g_assert_cmpint (strand_record_get_int (ended, STRAND_FIELD_CANCEL_REQUESTED), ==, TRUE);
  g_assert_cmpint (strand_record_get_status (ended), ==, STRAND_STATUS_COMPLETED);

  none = strand_store_change (f->store, held, complete, &n_tries, &error);
  g_assert_null (none);
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_STALE);
}

static void
test_batch_has_a_verdict_for_each (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandRecord) fresh = strand_record_new ("fresh");
  g_autoptr(StrandRecord) taken = strand_record_new ("taken");
  g_autoptr(StrandRecord) large = strand_record_new ("large");
  g_autofree char *text = g_strnfill (2000, 'x');
  StrandRecord *const records[] = { taken, large, fresh };
  const guint64 expected[] = { 0, 0, 0 };
  GError *errors[3];

  leave_call (f, "taken", NULL, NOW_US, 0, 0);
  g_object_set (f->store, "max-record-size", (gint64) 1000, NULL);
  strand_record_set_string (large, STRAND_FIELD_MESSAGE, text);

  g_assert_cmpuint (strand_store_put_batch (f->store, records, expected, 3, errors), ==, 1);
  g_assert_error (errors[0], STRAND_ERROR, STRAND_ERROR_EXISTS);
  g_assert_error (errors[1], STRAND_ERROR, STRAND_ERROR_TOO_LARGE);
  g_assert_no_error (errors[2]);
  g_assert_cmpuint (strand_record_get_revision (fresh), ==, 1);
  g_assert_cmpuint (strand_record_get_revision (taken), ==, 0);
  g_error_free (errors[0]);
  g_error_free (errors[1]);
}

static void
append (Fixture *f, guint64 fence, guint64 first, guint n, guint max_items)
{
  g_autoptr(GPtrArray) items = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  g_autoptr(GError) error = NULL;

  for (guint i = 0; i < n; i++)
    {
      g_autofree char *text = g_strdup_printf ("item %" G_GUINT64_FORMAT, first + i);

      g_ptr_array_add (items, g_bytes_new (text, strlen (text)));
    }
  g_assert_true (strand_store_append_items (f->store, "a", fence, first, (GBytes *const *) items->pdata, n,
                                            max_items, &error));
  g_assert_no_error (error);
}

static void
check_items (Fixture *f, guint64 fence, guint64 from, guint limit, guint64 first, guint n)
{
  g_autoptr(GError) error = NULL;
  guint64 found_first = 0;
  g_autoptr(GPtrArray) items =
      strand_store_read_items (f->store, "a", fence, from, limit, &found_first, &error);

  g_assert_no_error (error);
  g_assert_cmpuint (items->len, ==, n);
  g_assert_cmpuint (found_first, ==, first);
  for (guint i = 0; i < n; i++)
    {
      g_autofree char *text = g_strdup_printf ("item %" G_GUINT64_FORMAT, first + i);
      GBytes *item = g_ptr_array_index (items, i);

      g_assert_cmpmem (g_bytes_get_data (item, NULL), g_bytes_get_size (item), text, strlen (text));
    }
}

static void
test_items_are_read_as_written (Fixture *f, gconstpointer unused)
{
  check_items (f, 1, 0, 10, 0, 0);
  append (f, 1, 0, 5, 1000);
  append (f, 1, 5, 200, 1000);
  append (f, 1, 203, 7, 1000); /* two of them a second time */
  check_items (f, 1, 0, 1000, 0, 210);
  check_items (f, 1, 63, 66, 63, 66);
  check_items (f, 1, 210, 10, 210, 0);
  check_items (f, 2, 0, 10, 0, 0);
}

static void
test_only_the_last_items_are_kept (Fixture *f, gconstpointer unused)
{
  g_autoptr(GError) error = NULL;
  const StrandFilter every = { .kind = "*" };
  gint64 n_records;

  for (guint i = 0; i < 1000; i += 10)
    append (f, 1, i, 10, 100);
  n_records = strand_store_count (f->store, &every, &error);
  g_assert_no_error (error);
  g_assert_cmpint (n_records, <=, 4);    /* three chunks, and where they begin */
  check_items (f, 1, 0, 1000, 832, 168); /* dropped chunk by chunk, when a new one is begun */
  check_items (f, 1, 990, 1000, 990, 10);
}

static void
test_log_begins_anew_after_a_gap (Fixture *f, gconstpointer unused)
{
  append (f, 1, 0, 70, 1000);
  append (f, 1, 75, 3, 1000);
  check_items (f, 1, 0, 1000, 75, 3);
  append (f, 1, 300, 2, 1000);
  append (f, 1, 302, 100, 1000);
  check_items (f, 1, 0, 1000, 300, 102);
}

static void
test_items_go_with_their_call (Fixture *f, gconstpointer unused)
{
  const StrandFilter every = { .kind = "*" };
  g_autoptr(StrandRecord) held = NULL;
  g_autoptr(GError) error = NULL;

  leave_call (f, "a", "q", NOW_US, 0, 0);
  held = claim_one (f);
  append (f, 0, 0, 3, 10);
  append (f, 1, 0, 300, 100);
  strand_record_set_int (held, STRAND_FIELD_ITEMS, 300);
  g_assert_true (strand_store_put (f->store, held, strand_record_get_revision (held), &error));
  g_assert_true (strand_store_remove (f->store, "a", 0, &error));
  g_assert_cmpint (strand_store_count (f->store, &every, &error), ==, 0);
}

static void
keep_result (GObject *store, GAsyncResult *result, gpointer kept)
{
  *(GAsyncResult **) kept = g_object_ref (result);
}

static GAsyncResult *
await_result (GAsyncResult **result)
{
  while (*result == NULL)
    g_main_context_iteration (NULL, TRUE);
  return *result;
}

static void
test_async_functions_do_what_the_others_do (Fixture *f, gconstpointer unused)
{
  const char *const queues[] = { "q", NULL };
  const StrandClaim claim = { queues, OWNER, NOW_US, 5 };
  g_autoptr(GAsyncResult) claiming = NULL;
  g_autoptr(GAsyncResult) renewing = NULL;
  g_autoptr(GAsyncResult) stale = NULL;
  g_autoptr(GAsyncResult) appending = NULL;
  g_autoptr(GAsyncResult) reading = NULL;
  g_autoptr(GPtrArray) claimed = NULL;
  g_autoptr(GPtrArray) items = NULL;
  g_autoptr(GBytes) item = g_bytes_new_static ("an item", 7);
  g_autoptr(GError) error = NULL;
  gboolean cancel_requested = TRUE;
  gint64 next_due_us;
  guint64 first;

  leave_call (f, "a", "q", NOW_US, 0, 0);
  leave_call (f, "later", "q", NOW_US, NOW_US + 3, 0);
  strand_store_claim_async (f->store, &claim, NULL, keep_result, &claiming);
  claimed = strand_store_claim_finish (f->store, await_result (&claiming), &next_due_us, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (claimed->len, ==, 1);
  g_assert_cmpint (next_due_us, ==, NOW_US + 3);

  strand_store_renew_async (f->store, "a", 1, NULL, keep_result, &renewing);
  g_assert_true (strand_store_renew_finish (f->store, await_result (&renewing), &cancel_requested, &error));
  g_assert_false (cancel_requested);
  strand_store_renew_async (f->store, "a", 7, NULL, keep_result, &stale);
  g_assert_false (strand_store_renew_finish (f->store, await_result (&stale), NULL, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_STALE);
  g_clear_error (&error);

  strand_store_append_items_async (f->store, "a", 1, 4, &item, 1, 10, NULL, keep_result, &appending);
  g_assert_true (strand_store_append_items_finish (f->store, await_result (&appending), &error));
  strand_store_read_items_async (f->store, "a", 1, 0, 10, NULL, keep_result, &reading);
  items = strand_store_read_items_finish (f->store, await_result (&reading), &first, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (items->len, ==, 1);
  g_assert_cmpuint (first, ==, 4);
}

static void
tell (StrandStore *store, const char *queue, gpointer data)
{
  g_async_queue_push (data, g_strdup (queue != NULL ? queue : "any"));
}

static void
test_work_in_a_queue_is_told (Fixture *f, gconstpointer unused)
{
  g_autoptr(GAsyncQueue) news = g_async_queue_new_full (g_free);
  guint id = strand_store_watch_queue (f->store, "q", tell, news, NULL);
  g_autofree char *queue = NULL;

  leave_call (f, "elsewhere", "r", NOW_US, 0, 0);
  leave_call (f, "a", "q", NOW_US, 0, 0);
  do
    {
      g_free (queue);
      queue = g_async_queue_timeout_pop (news, DEADLINE_US);
      g_assert_nonnull (queue);
      g_assert_cmpstr (queue, !=, "r");
    }
  while (g_strcmp0 (queue, "q") != 0);
  strand_store_unwatch (f->store, id);
}

static void
test_work_of_others_is_looked_for (Fixture *f, gconstpointer unused)
{
  g_autoptr(GAsyncQueue) news = g_async_queue_new_full (g_free);
  guint id = strand_store_watch_queue (f->store, "q", tell, news, NULL);

  for (guint i = 0; i < 3; i++)
    {
      g_autofree char *queue = g_async_queue_timeout_pop (news, DEADLINE_US);

      g_assert_cmpstr (queue, ==, "any");
    }
  strand_store_unwatch (f->store, id);
}

static guint n_noticings;

static gboolean
notice_queues (StrandStore *store, const char *const *queues, GError **error)
{
  n_noticings += queues != NULL;
  return TRUE;
}

static gboolean
notice_records (StrandStore *store, gboolean watching, GError **error)
{
  return TRUE;
}

/* Others come and go: whoever waits for work looks again, since news of a queue may have gone with the store's
 * way to notice it; whoever watches a record leaves that way alone. */
static void
test_no_work_is_missed_beside_others (Fixture *f, gconstpointer unused)
{
  StrandStoreInterface *methods = STRAND_STORE_GET_IFACE (f->store);
  g_autoptr(GAsyncQueue) news = g_async_queue_new_full (g_free);
  guint id, other_id, record_id;

  methods->set_watching_queues = notice_queues;
  methods->set_watching = notice_records;
  n_noticings = 0;
  id = strand_store_watch_queue (f->store, "q", tell, news, NULL);
  record_id = strand_store_watch (f->store, "a", tell, news, NULL);
  strand_store_unwatch (f->store, record_id);
  g_assert_cmpuint (n_noticings, ==, 1);
  g_assert_cmpint (g_async_queue_length (news), ==, 0);

  other_id = strand_store_watch_queue (f->store, "r", tell, news, NULL);
  g_assert_cmpuint (n_noticings, ==, 2);
  g_assert_cmpint (g_async_queue_length (news), ==, 2); /* for each of the two */
  strand_store_unwatch (f->store, other_id);
  g_assert_cmpuint (n_noticings, ==, 3);
  g_assert_cmpint (g_async_queue_length (news), ==, 3);
  strand_store_unwatch (f->store, id);
  g_assert_cmpint (g_async_queue_length (news), ==, 3);
  methods->set_watching_queues = NULL;
  methods->set_watching = NULL;
}

static void
test_only_the_table_allows_a_step (void)
{
  /* Rows: now; columns: next. */
  static const char *const allowed[] = { ".r.fc", "p.vfc", ".....", ".....", "....." };

  for (guint now = 0; now < 5; now++)
    for (guint next = 0; next < 5; next++)
      g_assert_cmpint (strand_status_may_follow (next, now), ==, allowed[now][next] != '.');
}

#define ADD(name, run) g_test_add ("/store-work/" name, Fixture, NULL, set_up, run, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);

  ADD ("claim/in-turn", test_claims_come_in_turn);
  ADD ("claim/is-held", test_claimed_call_is_held);
  ADD ("claim/never-twice", test_no_call_is_claimed_twice);
  ADD ("renew/lost-lease-is-not-renewed", test_lost_lease_is_not_renewed);
  ADD ("change/survives-somebody-elses", test_change_survives_somebody_elses);
  ADD ("batch/has-a-verdict-for-each", test_batch_has_a_verdict_for_each);
  ADD ("items/are-read-as-written", test_items_are_read_as_written);
  ADD ("items/only-the-last-are-kept", test_only_the_last_items_are_kept);
  ADD ("items/log-begins-anew-after-a-gap", test_log_begins_anew_after_a_gap);
  ADD ("items/go-with-their-call", test_items_go_with_their_call);
  ADD ("queue/work-is-told", test_work_in_a_queue_is_told);
  ADD ("queue/work-of-others-is-looked-for", test_work_of_others_is_looked_for);
  ADD ("queue/no-work-is-missed-beside-others", test_no_work_is_missed_beside_others);
  ADD ("async/does-what-the-others-do", test_async_functions_do_what_the_others_do);
  g_test_add_func ("/life/only-the-table-allows-a-step", test_only_the_table_allows_a_step);

  return g_test_run ();
}
