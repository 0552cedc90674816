/* store-claim.c — taking calls that are due, in turn, each once.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "store-private.h"

#define QUEUES(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void
leave (StrandStore *store, const char *key, const char *queue, gint64 created_us, gint64 not_before_us,
       gint64 priority)
{
  g_autoptr(StrandRecord) record = store_work (key, queue, created_us);

  strand_record_set_int (record, STRAND_FIELD_NOT_BEFORE, not_before_us);
  strand_record_set_int (record, STRAND_FIELD_PRIORITY, priority);
  store_put (store, record);
}

static void
expect_claims (StrandStore *store, const char *const *queues, guint limit, const char *expected,
               gint64 expected_due_us)
{
  gint64 next_due_us = -1;
  g_autofree char *keys = store_claim_keys (store, queues, STORE_NOW_US, limit, &next_due_us);

  g_assert_cmpstr (keys, ==, expected);
  g_assert_cmpint (next_due_us, ==, expected_due_us);
}

static void
nothing_due (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);

  expect_claims (store, QUEUES ("q"), 10, "", 0);
  leave (store, "elsewhere", "other", STORE_NOW_US, 0, 0);
  expect_claims (store, QUEUES ("q"), 10, "", 0);
}

static void
in_turn (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);

  leave (store, "late", "q", STORE_NOW_US - 10, 0, 0);
  leave (store, "early", "q", STORE_NOW_US - 20, 0, 0);
  leave (store, "a-middle", "q", STORE_NOW_US - 15, 0, 0);
  leave (store, "waited", "q", STORE_NOW_US - 100, STORE_NOW_US - 12, 0); /* its turn counts from then */
  expect_claims (store, QUEUES ("q"), 10, "early a-middle waited late", 0);
}

static void
by_priority (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);

  leave (store, "plain", "q", STORE_NOW_US - 20, 0, 0);
  leave (store, "important", "q", STORE_NOW_US - 5, 0, 1);
  leave (store, "very-important", "q", STORE_NOW_US, 0, 2);
  leave (store, "unimportant", "q", STORE_NOW_US - 30, 0, -1);
  leave (store, "aged", "q", STORE_NOW_US - 61 * G_USEC_PER_SEC, 0, -1);
  leave (store, "first-of-all", "q", STORE_NOW_US, 0, G_MAXINT64);
  leave (store, "last-of-all", "q", STORE_NOW_US - 1000, 0, G_MININT64);
  leave (store, "ancient", "q", 1, 0, 1); /* its turn is below 0 */
  expect_claims (store, QUEUES ("q"), 10,
                 "ancient first-of-all very-important aged important plain unimportant last-of-all", 0);
}

static void
queue_by_queue (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);

  leave (store, "old", "second", STORE_NOW_US - 100, 0, 9);
  leave (store, "new", "first", STORE_NOW_US, 0, -9);
  leave (store, "elsewhere", "third", STORE_NOW_US - 200, 0, 0);
  expect_claims (store, QUEUES ("first", "second"), 10, "new old", 0);
  leave (store, "new-2", "first", STORE_NOW_US, 0, 0);
  leave (store, "old-2", "second", STORE_NOW_US - 100, 0, 0);
  expect_claims (store, QUEUES ("second", "nobodys", "first"), 1, "old-2", 0);
  expect_claims (store, QUEUES ("second", "nobodys", "first"), 1, "new-2", 0);
}

static void
no_more_than_asked (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);

  for (guint i = 0; i < 5; i++)
    {
      g_autofree char *key = g_strdup_printf ("job-%u", i);

      leave (store, key, "q", STORE_NOW_US - 5 + i, 0, 0);
    }
  expect_claims (store, QUEUES ("q"), 2, "job-0 job-1", 0);
  expect_claims (store, QUEUES ("q"), 2, "job-2 job-3", 0);
  expect_claims (store, QUEUES ("q"), 2, "job-4", 0);
  expect_claims (store, QUEUES ("q"), 2, "", 0);
}

static void
not_before_its_time (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  g_autofree char *then = NULL;
  gint64 next_due_us = -1;

  leave (store, "not-yet", "q", STORE_NOW_US - 40, STORE_NOW_US + 7, 100);
  leave (store, "due-now", "q", STORE_NOW_US - 40, STORE_NOW_US, 0);
  expect_claims (store, QUEUES ("q"), 10, "due-now", STORE_NOW_US + 7);
  expect_claims (store, QUEUES ("q"), 10, "", STORE_NOW_US + 7);
  then = store_claim_keys (store, QUEUES ("q"), STORE_NOW_US + 7, 10, &next_due_us);
  g_assert_cmpstr (then, ==, "not-yet");
  g_assert_cmpint (next_due_us, ==, 0);
}

static void
next_due (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);

  leave (store, "later", "first", STORE_NOW_US, STORE_NOW_US + 90, 1000);
  leave (store, "next", "second", STORE_NOW_US, STORE_NOW_US + 30, -1000);
  leave (store, "elsewhere", "third", STORE_NOW_US, STORE_NOW_US + 10, 0);
  expect_claims (store, QUEUES ("first", "second"), 1, "", STORE_NOW_US + 30);
  expect_claims (store, QUEUES ("first"), 1, "", STORE_NOW_US + 90);
  store_remove (store, "next");
  expect_claims (store, QUEUES ("first", "second"), 1, "", STORE_NOW_US + 90);
}

static void
only_waiting_calls (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StrandRecord) other_kind = store_work ("other-kind", "q", STORE_NOW_US);

  strand_record_set_string (other_kind, STRAND_FIELD_KIND, "group");
  store_put (store, other_kind);
  store_put_key (store, "no-queue");
  for (guint status = STRAND_STATUS_RUNNING; status <= STRAND_STATUS_CANCELLED; status++)
    {
      g_autoptr(StrandRecord) record = store_work (strand_status_to_string (status), "q", STORE_NOW_US);

      strand_record_set_int (record, STRAND_FIELD_STATUS, status);
      store_put (store, record);
    }
  expect_claims (store, QUEUES ("q"), 10, "", 0);
  leave (store, "job-17", "q", STORE_NOW_US, 0, 0);
  expect_claims (store, QUEUES ("q"), 10, "job-17", 0);
}

/* Whoever claims them settles them. */
static void
hopeless_ones_too (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StrandRecord) expired = store_work ("expired", "q", STORE_NOW_US - 100);
  g_autoptr(StrandRecord) cancelled = store_work ("cancelled", "q", STORE_NOW_US - 50);

  strand_record_set_int (expired, STRAND_FIELD_EXPIRES, STORE_NOW_US - 10);
  strand_record_set_int (cancelled, STRAND_FIELD_CANCEL_REQUESTED, 1);
  store_put (store, expired);
  store_put (store, cancelled);
  expect_claims (store, QUEUES ("q"), 10, "expired cancelled", 0);
}

/* Everything an earlier attempt may have left, and everything a claim must leave alone. */
static StrandRecord *
retried_work (const char *key)
{
  StrandRecord *record = store_work (key, "q", STORE_NOW_US - 10);
  g_autoptr(GError) cause = g_error_new (STRAND_ERROR, STRAND_ERROR_CRASHED, "signal 11");

  strand_record_add_cause (record, "worker-1", cause);
  strand_record_set_int (record, STRAND_FIELD_ATTEMPT, 3);
  strand_record_set_int (record, STRAND_FIELD_CRASHES, 2);
  strand_record_set_int (record, STRAND_FIELD_FENCE, 6);
  strand_record_set_int (record, STRAND_FIELD_ITEMS, 12);
  strand_record_set_int (record, STRAND_FIELD_NOT_BEFORE, STORE_NOW_US - 5);
  strand_record_set_int (record, STRAND_FIELD_STARTED, STORE_NOW_US - 9);
  strand_record_set_double (record, STRAND_FIELD_PROGRESS, 0.5);
  strand_record_set_string (record, STRAND_FIELD_MESSAGE, "half-way");
  strand_record_set_string (record, STRAND_FIELD_UNIQUE, "only-one");
  strand_record_set_variant (record, STRAND_FIELD_HEADERS, g_variant_new_parsed ("{'trace': 'a'}"));
  strand_record_set_variant (record, STRAND_FIELD_METADATA, g_variant_new_parsed ("{'a': <1>}"));
  return record;
}

static void
fields (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StrandRecord) fresh = store_work ("fresh", "q", STORE_NOW_US - 20);
  g_autoptr(StrandRecord) retried = retried_work ("retried");
  StrandRecord *const expected[] = { fresh, retried };

  store_put (store, fresh);
  store_put (store, retried);
  for (guint i = 0; i < G_N_ELEMENTS (expected); i++)
    {
      g_autoptr(StrandRecord) claimed = store_claim_one (store, "q");
      g_autoptr(StrandRecord) kept = store_get (store, strand_record_get_key (expected[i]));

      strand_record_claim (expected[i], STORE_OWNER, STORE_NOW_US);
      strand_record_set_int (expected[i], STRAND_FIELD_REVISION, 2);
      store_assert_same (claimed, expected[i]);
      store_assert_same (kept, expected[i]);
    }
}

static void
again (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StrandRecord) first = NULL;
  g_autoptr(StrandRecord) second = NULL;
  g_autoptr(StrandRecord) third = NULL;

  store_put_work (store, "job-17", "q", STORE_NOW_US);
  first = store_claim_one (store, "q");
  g_assert_cmpint (strand_record_get_int (first, STRAND_FIELD_FENCE), ==, 1);
  strand_record_give_back (first);
  store_put (store, first);
  second = store_claim_one (store, "q");
  g_assert_cmpint (strand_record_get_int (second, STRAND_FIELD_FENCE), ==, 2);
  g_assert_cmpint (strand_record_get_int (second, STRAND_FIELD_ATTEMPT), ==, 1);
  strand_record_retry (second, STORE_NOW_US + 5);
  store_put (store, second);
  expect_claims (store, QUEUES ("q"), 10, "", STORE_NOW_US + 5);
  strand_record_set_int (second, STRAND_FIELD_NOT_BEFORE, 0);
  store_put (store, second);
  third = store_claim_one (store, "q");
  g_assert_cmpint (strand_record_get_int (third, STRAND_FIELD_FENCE), ==, 3);
  g_assert_cmpint (strand_record_get_int (third, STRAND_FIELD_ATTEMPT), ==, 2);
}

static void
moved (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StrandRecord) record = store_work ("job-17", "q", STORE_NOW_US);

  store_put (store, record);
  strand_record_set_string (record, STRAND_FIELD_QUEUE, "other");
  store_put (store, record);
  expect_claims (store, QUEUES ("q"), 10, "", 0);
  expect_claims (store, QUEUES ("other"), 10, "job-17", 0);
  store_put_work (store, "job-18", "q", STORE_NOW_US);
  store_remove (store, "job-18");
  expect_claims (store, QUEUES ("q"), 10, "", 0);
}

static void
odd_queues (StrandConformance *self)
{
  static const char *const queues[] = { "mail", "Mail", "mail'", "m%", "*", "a:b", "mäil", "a b\n" };
  g_autoptr(StrandStore) store = store_make (self);

  for (guint i = 0; i < G_N_ELEMENTS (queues); i++)
    {
      g_autofree char *key = g_strdup_printf ("job-%u", i);

      store_put_work (store, key, queues[i], STORE_NOW_US);
    }
  for (guint i = 0; i < G_N_ELEMENTS (queues); i++)
    {
      g_autofree char *key = g_strdup_printf ("job-%u", i);

      expect_claims (store, QUEUES (queues[i]), 10, key, 0);
    }
}

static void
put_numbered_work (StrandStore *store, guint n)
{
  for (guint i = 0; i < n; i++)
    {
      g_autofree char *key = g_strdup_printf ("job-%u", i);

      store_put_work (store, key, "q", STORE_NOW_US - n + i);
    }
}

typedef struct
{
  GMutex lock;
  GHashTable *claimed; /* set of keys */
  guint n_twice;
} Claimed;

static void
claim_until_none (StrandStore *store, guint number, gpointer data)
{
  Claimed *all = data;
  guint n;

  do
    {
      g_autoptr(GPtrArray) claimed = store_claim (store, "q", 1 + number % 4);

      n = claimed->len;
      g_mutex_lock (&all->lock);
      for (guint i = 0; i < n; i++)
        if (!g_hash_table_add (all->claimed, g_strdup (strand_record_get_key (claimed->pdata[i]))))
          all->n_twice++;
      g_mutex_unlock (&all->lock);
    }
  while (n > 0);
}

static void
once_among_threads (StrandConformance *self)
{
  guint n = store_times (self, 200);
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(GHashTable) keys = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  Claimed all = { .claimed = keys };

  g_mutex_init (&all.lock);
  put_numbered_work (store, n);
  store_on_threads (store, claim_until_none, &all);
  g_assert_cmpuint (all.n_twice, ==, 0);
  g_assert_cmpuint (g_hash_table_size (keys), ==, n);
  g_mutex_clear (&all.lock);
}

static void
once_among_processes (StrandConformance *self)
{
  guint n = store_times (self, 200);
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(GHashTable) keys = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  StrandConformancePeer *hands[3];

  for (guint i = 0; i < G_N_ELEMENTS (hands); i++)
    hands[i] = strand_conformance_start_peer (self, "hand", NULL);
  put_numbered_work (store, n);
  for (guint i = 0; i < G_N_ELEMENTS (hands); i++)
    strand_conformance_peer_send (hands[i], "claim-all q");
  for (guint i = 0; i < G_N_ELEMENTS (hands); i++)
    {
      char *line;

      while ((line = strand_conformance_peer_receive (hands[i])) != NULL && g_strcmp0 (line, "ok") != 0)
        g_assert_true (g_hash_table_add (keys, line));
      g_assert_cmpstr (line, ==, "ok");
      g_free (line);
    }
  g_assert_cmpuint (g_hash_table_size (keys), ==, n);
}

const StrandConformanceCase store_claim_cases[] = {
  { "claim/nothing", "Where nothing is due a claim gets nothing, and that is no error.", nothing_due },
  { "claim/in-turn", "The call that was due first is claimed first.", in_turn },
  { "claim/priority", "Each unit of priority is worth 30 s, so that low ones age; the ends do not overflow.",
    by_priority },
  { "claim/queues", "What is due in the first queue comes before what is due in the next.", queue_by_queue },
  { "claim/limit", "A claim gets no more than it asked for, and the rest stays.", no_more_than_asked },
  { "claim/not-before", "A call is not claimed before its time, however important it is.",
    not_before_its_time },
  { "claim/next-due", "A claim says when the next call of its queues will be due.", next_due },
  { "claim/only-waiting", "Only pending calls that are in a queue are claimed.", only_waiting_calls },
  { "claim/hopeless", "Calls that expired, or whose cancellation was requested, are claimed like others.",
    hopeless_ones_too },
  { "claim/fields", "A claimed record is as `strand_record_claim()` makes it, one revision later.", fields },
  { "claim/again", "A call that was given back or is to be retried is claimed again, under the next fence.",
    again },
  { "claim/moved", "A call is claimed by what its record says now.", moved },
  { "claim/odd-queues", "Queues are told apart byte by byte.", odd_queues },
  { "claim/once-threads", "Threads that claim at once get every call, and none twice.", once_among_threads },
  { "claim/once-processes", "Processes that claim at once get every call, and none twice.",
    once_among_processes, "shared processes" },
  { 0 },
};
