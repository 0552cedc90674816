/* store-renew.c — keeping what was claimed, and settling many at once.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "store-private.h"

#include <string.h>

static void
renew (StrandStore *store, StrandRenewal *renewals, guint n)
{
  g_autoptr(GError) error = NULL;
  gboolean done = strand_store_renew (store, renewals, n, &error);

  g_assert_no_error (error);
  g_assert_true (done);
}

static void
expect_lost (StrandStore *store, const char *key, guint64 fence, int code)
{
  StrandRenewal renewal = { key, fence };

  renew (store, &renewal, 1);
  g_assert_error (renewal.error, STRAND_ERROR, code);
  g_assert_false (renewal.cancel_requested);
  g_error_free (renewal.error);
}

static void
raises_the_counter (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StrandRecord) record = NULL;

  store_put_work (store, "job-17", "q", STORE_NOW_US);
  record = store_claim_one (store, "q");
  for (guint i = 2; i < 5; i++)
    {
      StrandRenewal renewal = { "job-17", 1 };
      g_autoptr(StrandRecord) kept = NULL;

      renew (store, &renewal, 1);
      g_assert_no_error (renewal.error);
      g_assert_false (renewal.cancel_requested);
      kept = store_get (store, "job-17");
      strand_record_set_int (record, STRAND_FIELD_LEASE_COUNTER, i);
      strand_record_set_int (record, STRAND_FIELD_REVISION, i + 1);
      store_assert_same (kept, record);
    }
}

static void
lost_fence (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StrandRecord) first = NULL;
  g_autoptr(StrandRecord) second = NULL;
  g_autoptr(StrandRecord) kept = NULL;

  store_put_work (store, "job-17", "q", STORE_NOW_US);
  first = store_claim_one (store, "q");
  strand_record_give_back (first);
  store_put (store, first);
  second = store_claim_one (store, "q");
  expect_lost (store, "job-17", 1, STRAND_ERROR_STALE);
  expect_lost (store, "job-17", 3, STRAND_ERROR_STALE);
  kept = store_get (store, "job-17");
  store_assert_same (kept, second);
}

static void
not_running (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StrandRecord) record = NULL;

  store_put_work (store, "job-17", "q", STORE_NOW_US);
  expect_lost (store, "job-17", 0, STRAND_ERROR_STALE);
  record = store_claim_one (store, "q");
  strand_record_give_back (record);
  store_put (store, record);
  expect_lost (store, "job-17", 1, STRAND_ERROR_STALE);
  g_clear_pointer (&record, strand_record_unref);
  record = store_claim_one (store, "q");
  strand_record_end (record, STRAND_STATUS_COMPLETED, STORE_NOW_US);
  store_put (store, record);
  expect_lost (store, "job-17", 2, STRAND_ERROR_STALE);
}

static void
unknown_lease (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);

  expect_lost (store, "job-17", 1, STRAND_ERROR_NOT_FOUND);
}

static void
says_of_cancellation (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StrandRecord) record = NULL;
  StrandRenewal renewal = { "job-17", 1 };

  store_put_work (store, "job-17", "q", STORE_NOW_US);
  record = store_claim_one (store, "q");
  strand_record_set_int (record, STRAND_FIELD_CANCEL_REQUESTED, 1);
  store_put (store, record);
  renew (store, &renewal, 1);
  g_assert_no_error (renewal.error);
  g_assert_true (renewal.cancel_requested);
}

static void
each_for_itself (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  StrandRenewal renewals[] = { { "gone", 1 }, { "job-0", 1 }, { "job-1", 7 }, { "job-2", 1 } };

  for (guint i = 0; i < 3; i++)
    {
      g_autofree char *key = g_strdup_printf ("job-%u", i);
      g_autoptr(StrandRecord) record = NULL;

      store_put_work (store, key, "q", STORE_NOW_US);
      record = store_claim_one (store, "q");
    }
  renew (store, renewals, G_N_ELEMENTS (renewals));
  g_assert_error (renewals[0].error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND);
  g_assert_no_error (renewals[1].error);
  g_assert_error (renewals[2].error, STRAND_ERROR, STRAND_ERROR_STALE);
  g_assert_nonnull (strstr (renewals[2].error->message, "'job-1'"));
  g_assert_no_error (renewals[3].error);
  g_clear_error (&renewals[0].error);
  g_clear_error (&renewals[2].error);
  for (guint i = 0; i < 3; i++)
    {
      g_autofree char *key = g_strdup_printf ("job-%u", i);
      g_autoptr(StrandRecord) kept = store_get (store, key);

      g_assert_cmpint (strand_record_get_int (kept, STRAND_FIELD_LEASE_COUNTER), ==, i == 1 ? 1 : 2);
    }
}

/* Half of the threads renew, the others change the record as its holder would. */
static void
renew_or_change (StrandStore *store, guint number, gpointer n_times)
{
  StrandRenewal renewal = { "job-17", 1 };

  if (number % 2 == 1)
    store_count_up (store, "job-17", GPOINTER_TO_UINT (n_times));
  else
    for (guint i = 0; i < GPOINTER_TO_UINT (n_times); i++)
      {
        renew (store, &renewal, 1);
        g_assert_no_error (renewal.error);
      }
}

static void
between_writes (StrandConformance *self)
{
  guint n = store_times (self, 50);
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StrandRecord) record = NULL;
  g_autoptr(StrandRecord) kept = NULL;

  store_put_work (store, "job-17", "q", STORE_NOW_US);
  record = store_claim_one (store, "q");
  store_on_threads (store, renew_or_change, GUINT_TO_POINTER (n));
  kept = store_get (store, "job-17");
  g_assert_cmpint (strand_record_get_int (kept, STRAND_FIELD_LEASE_COUNTER), ==, 1 + STORE_N_THREADS / 2 * n);
  g_assert_cmpint (strand_record_get_int (kept, STRAND_FIELD_CRASHES), ==, STORE_N_THREADS / 2 * n);
}

const StrandConformanceCase store_renew_cases[] = {
  { "renew/counter", "A renewal raises the lease counter and the revision by one, and changes nothing else.",
    raises_the_counter },
  { "renew/fence", "Under another fence than the record's a renewal is `STALE`, and changes nothing.",
    lost_fence },
  { "renew/not-running", "A call that does not run cannot be kept: `STALE`, whatever the fence.",
    not_running },
  { "renew/unknown", "The lease of a call that is not there is `NOT_FOUND`.", unknown_lease },
  { "renew/cancel-requested", "A renewal says that a cancellation was requested.", says_of_cancellation },
  { "renew/each", "Of many renewals each has its own verdict, which names the call.", each_for_itself },
  { "renew/between-writes", "Renewals and writes at the same time undo none of each other.", between_writes },
  { 0 },
};

/* Batches. */

static void
expect_batch (StrandStore *store, GPtrArray *records, const guint64 *expected, const int *codes)
{
  g_autofree GError **errors = g_new0 (GError *, records->len + 1);
  guint n_put =
      strand_store_put_batch (store, (StrandRecord *const *) records->pdata, expected, records->len, errors);
  guint n_expected = 0;

  for (guint i = 0; i < records->len; i++)
    {
      if (codes[i] < 0)
        {
          n_expected++;
          g_assert_no_error (errors[i]);
          continue;
        }
      g_assert_error (errors[i], STRAND_ERROR, codes[i]);
      g_assert_cmpuint (strand_record_get_revision (records->pdata[i]), ==, expected[i]);
      g_error_free (errors[i]);
    }
  g_assert_cmpuint (n_put, ==, n_expected);
}

static GPtrArray *
make_batch (const char *const *keys)
{
  GPtrArray *records = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_record_unref);

  for (; *keys != NULL; keys++)
    g_ptr_array_add (records, store_record (*keys));
  return records;
}

static void
verdicts (StrandConformance *self)
{
  static const char *const keys[] = { "taken", "fresh", "older", "large", "newer", "gone", "last", NULL };
  static const guint64 expected[] = { 0, 0, 1, 0, 7, 1, 0 };
  static const int codes[] = { STRAND_ERROR_EXISTS, -1, -1, STRAND_ERROR_TOO_LARGE, STRAND_ERROR_STALE,
                               STRAND_ERROR_STALE,  -1 };
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(GPtrArray) records = make_batch (keys);
  g_autofree char *text = g_strnfill (4096, 'x');
  g_autoptr(StrandRecord) older = NULL;

  g_object_set (store, "max-record-size", G_GINT64_CONSTANT (4096), NULL);
  strand_record_set_string (records->pdata[3], STRAND_FIELD_MESSAGE, text);
  store_put_key (store, "taken");
  store_put_key (store, "older");
  store_put_key (store, "newer");
  expect_batch (store, records, expected, codes);

  store_assert_there (store, "fresh");
  store_assert_there (store, "last");
  store_assert_gone (store, "large");
  store_assert_gone (store, "gone");
  older = store_get (store, "older");
  store_assert_same (older, records->pdata[2]);
  g_assert_cmpuint (strand_record_get_revision (older), ==, 2);
}

static void
same_key_twice (StrandConformance *self)
{
  static const char *const keys[] = { "job-17", "job-17", "job-17", "job-17", NULL };
  static const guint64 expected[] = { 0, 1, 1, 2 };
  static const int codes[] = { -1, -1, STRAND_ERROR_STALE, -1 };
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(GPtrArray) records = make_batch (keys);
  g_autoptr(StrandRecord) kept = NULL;

  for (guint i = 0; i < records->len; i++)
    {
      g_autofree char *text = g_strdup_printf ("number %u", i);

      strand_record_set_string (records->pdata[i], STRAND_FIELD_MESSAGE, text);
    }
  expect_batch (store, records, expected, codes);
  kept = store_get (store, "job-17");
  store_assert_same (kept, records->pdata[3]);
  g_assert_cmpuint (strand_record_get_revision (kept), ==, 3);
}

static void
many_at_once (StrandConformance *self)
{
  guint n = store_times (self, 1000);
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(GPtrArray) records = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_record_unref);
  g_autofree guint64 *expected = g_new0 (guint64, n);
  g_autofree int *codes = g_new (int, n);

  for (guint i = 0; i < n; i++)
    {
      g_autofree char *key = g_strdup_printf ("job-%u", i);

      g_ptr_array_add (records, store_record (key));
      codes[i] = i % 10 == 3 ? STRAND_ERROR_EXISTS : -1;
      if (i % 10 == 3)
        store_put_key (store, key);
    }
  expect_batch (store, records, expected, codes);
  g_assert_cmpint (store_count (store, NULL), ==, n);
}

static void
batch_is_told (StrandConformance *self)
{
  static const char *const keys[] = { "one", "two", NULL };
  static const guint64 expected[] = { 0, 0 };
  static const int codes[] = { -1, -1 };
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(GPtrArray) records = make_batch (keys);
  g_autoptr(StoreEar) one = store_ear_new (store, "one");
  g_autoptr(StoreEar) two = store_ear_new (store, "two");
  g_autoptr(StoreEar) queue = store_ear_new_for_queue (store, "q");

  strand_record_set_string (records->pdata[1], STRAND_FIELD_QUEUE, "q");
  expect_batch (store, records, expected, codes);
  strand_conformance_wait (self, store_ear_heard (one, "one"));
  strand_conformance_wait (self, store_ear_heard (two, "two"));
  strand_conformance_wait (self, store_ear_heard (queue, "q"));
}

static void
over_an_expired_one (StrandConformance *self)
{
  static const char *const keys[] = { "ended", "fresh", NULL };
  static const guint64 expected[] = { 0, 0 };
  static const int codes[] = { -1, -1 };
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(GPtrArray) records = make_batch (keys);
  g_autoptr(StrandRecord) kept = NULL;

  strand_clock_set_manual (STORE_NOW_US);
  g_object_set (store, "auto-cleanup", FALSE, NULL);
  store_put_ended (store, "ended", STORE_NOW_US, 10);
  strand_clock_advance (10);
  expect_batch (store, records, expected, codes);
  kept = store_get (store, "ended");
  g_assert_cmpint (strand_record_get_status (kept), ==, STRAND_STATUS_PENDING);
}

/* Keys that are there, are not, come twice and have expired. */
static void
reads_together (StrandConformance *self)
{
  static const char *const keys[] = { "one", "gone", "two", "ended", "one", "three" };
  g_autoptr(StrandStore) store = store_make (self);
  StrandRecord *records[G_N_ELEMENTS (keys)];
  GError *errors[G_N_ELEMENTS (keys)];

  strand_clock_set_manual (STORE_NOW_US);
  g_object_set (store, "auto-cleanup", FALSE, NULL);
  store_put_key (store, "one");
  store_put_key (store, "two");
  store_put_key (store, "three");
  store_put_ended (store, "ended", STORE_NOW_US, 10);
  strand_clock_advance (10);
  strand_store_get_batch (store, keys, G_N_ELEMENTS (keys), records, errors);

  for (guint i = 0; i < G_N_ELEMENTS (keys); i++)
    {
      g_autoptr(StrandRecord) record = records[i];
      g_autoptr(GError) error = errors[i];
      g_autoptr(StrandRecord) alone = NULL;

      if (i == 1 || i == 3)
        {
          g_assert_null (record);
          g_assert_error (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND);
          g_assert_nonnull (strstr (error->message, keys[i]));
          continue;
        }
      g_assert_no_error (error);
      alone = store_get (store, keys[i]);
      store_assert_same (record, alone);
    }
  g_assert_true (records[0] != records[4]); /* each may be changed without the other */
}

static void
reads_many (StrandConformance *self)
{
  guint n = store_times (self, 1000);
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(GPtrArray) written = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_record_unref);
  g_autofree guint64 *expected = g_new0 (guint64, n);
  g_autofree const char **keys = g_new (const char *, n);
  g_autofree StrandRecord **records = g_new (StrandRecord *, n);
  g_autofree GError **errors = g_new0 (GError *, n);

  for (guint i = 0; i < n; i++)
    {
      g_autofree char *key = g_strdup_printf ("job-%u", i);

      g_ptr_array_add (written, store_record (key));
      keys[n - 1 - i] = strand_record_get_key (written->pdata[i]);
    }
  g_assert_cmpuint (
      strand_store_put_batch (store, (StrandRecord *const *) written->pdata, expected, n, errors), ==, n);
  strand_store_get_batch (store, keys, n, records, errors);
  for (guint i = 0; i < n; i++)
    {
      g_assert_no_error (errors[i]);
      g_assert_cmpstr (strand_record_get_key (records[i]), ==, keys[i]);
      strand_record_unref (records[i]);
    }
}

const StrandConformanceCase store_batch_cases[] = {
  { "batch/verdicts",
    "In a batch each record has the verdict that `put` would give; one that is refused "
    "holds up no other.",
    verdicts },
  { "batch/same-key", "The same key may come twice in a batch, and is written in order.", same_key_twice },
  { "batch/many", "A batch of a thousand is written, and counted, whole.", many_at_once },
  { "batch/told", "Watchers of keys and queues are told of a batch as of single writes.", batch_is_told },
  { "batch/expired", "In a batch, too, an expired record is not in the way of a new one.",
    over_an_expired_one },
  { "batch/read", "Keys that are read together are answered each as `get` would, in their order.",
    reads_together },
  { "batch/read-many", "A thousand keys are read together.", reads_many },
  { 0 },
};
