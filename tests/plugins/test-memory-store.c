/* test-memory-store.c — what the memory store promises beyond what all do: limits.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store-basics.h"

static GType memory_store;

static void
put (StrandStore *store, const char *key, StrandStatus status)
{
  g_autoptr(StrandRecord) record = store_basics_record (key);
  g_autoptr(GError) error = NULL;

  strand_record_set_int (record, STRAND_FIELD_STATUS, status);
  g_assert_true (strand_store_put (store, record, 0, &error));
  g_assert_no_error (error);
}

static void
put_ended (StrandStore *store, guint number)
{
  g_autofree char *key = g_strdup_printf ("ended-%u", number);

  put (store, key, STRAND_STATUS_FAILED);
}

static gboolean
has (StrandStore *store, const char *key)
{
  g_autoptr(StrandRecord) record = strand_store_get (store, key, NULL);

  return record != NULL;
}

static guint64
get_dropped (StrandStore *store)
{
  guint64 n;

  g_object_get (store, "dropped", &n, NULL);
  return n;
}

static void
test_oldest_ended_call_is_dropped_first (void)
{
  g_autoptr(StrandStore) store = g_object_new (memory_store, "max-records", G_GINT64_CONSTANT (4), NULL);

  put (store, "pending", STRAND_STATUS_PENDING);
  for (guint i = 0; i < 5; i++)
    put_ended (store, i);

  g_assert_cmpint (strand_store_count (store, NULL, NULL), ==, 4);
  g_assert_cmpuint (get_dropped (store), ==, 2);
  g_assert_true (has (store, "pending"));
  g_assert_false (has (store, "ended-0"));
  g_assert_false (has (store, "ended-1"));
  g_assert_true (has (store, "ended-2"));
}

static void
test_only_unfinished_calls_are_full (void)
{
  g_autoptr(StrandStore) store = g_object_new (memory_store, "max-records", G_GINT64_CONSTANT (2), NULL);
  g_autoptr(StrandRecord) third = store_basics_record ("third");
  g_autoptr(StrandRecord) first = NULL;
  g_autoptr(GError) error = NULL;

  put (store, "first", STRAND_STATUS_PENDING);
  put (store, "second", STRAND_STATUS_RUNNING);
  g_assert_false (strand_store_put (store, third, 0, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_FULL);
  g_assert_nonnull (strstr (error->message, "max-records"));
  g_assert_cmpuint (get_dropped (store), ==, 0);

  /* What is there can still move on, and then makes room. */
  first = strand_store_get (store, "first", NULL);
  strand_record_set_int (first, STRAND_FIELD_STATUS, STRAND_STATUS_CANCELLED);
  g_assert_true (strand_store_put (store, first, 1, NULL));
  g_assert_true (strand_store_put (store, third, 0, NULL));
  g_assert_false (has (store, "first"));
}

static void
test_bytes_are_limited (void)
{
  g_autoptr(StrandStore) store =
      g_object_new (memory_store, "max-bytes", G_GINT64_CONSTANT (64 * 1024), NULL);
  g_autofree char *text = g_strnfill (20 * 1024, 'x');
  g_autoptr(GError) error = NULL;

  for (guint i = 0; i < 5; i++)
    {
      g_autofree char *key = g_strdup_printf ("large-%u", i);
      g_autoptr(StrandRecord) record = store_basics_record (key);

      strand_record_set_int (record, STRAND_FIELD_STATUS, STRAND_STATUS_COMPLETED);
      strand_record_set_string (record, STRAND_FIELD_MESSAGE, text);
      g_assert_true (strand_store_put (store, record, 0, &error));
      g_assert_no_error (error);
    }
  g_assert_cmpint (strand_store_count (store, NULL, NULL), ==, 3);
  g_assert_cmpuint (get_dropped (store), ==, 2);
}

/* A refused write drops nothing to no purpose. */
static void
test_refused_write_drops_nothing (void)
{
  g_autoptr(StrandStore) store =
      g_object_new (memory_store, "max-bytes", G_GINT64_CONSTANT (16 * 1024), NULL);
  g_autoptr(StrandRecord) record = store_basics_record ("large");
  g_autofree char *text = g_strnfill (20 * 1024, 'x');
  g_autoptr(GError) error = NULL;

  put_ended (store, 0);
  strand_record_set_string (record, STRAND_FIELD_MESSAGE, text);
  g_assert_false (strand_store_put (store, record, 0, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_FULL);
  g_assert_true (has (store, "ended-0"));
}

static gboolean
append (StrandStore *store, const char *key, guint64 first, gsize size, GError **error)
{
  g_autofree char *text = g_strnfill (size, 'x');
  g_autoptr(GBytes) item = g_bytes_new (text, size);

  return strand_store_append_items (store, key, 1, first, &item, 1, 1000, error);
}

/* What calls emit counts, and makes room when its record is dropped. */
static void
test_items_are_limited_too (void)
{
  g_autoptr(StrandStore) store =
      g_object_new (memory_store, "max-bytes", G_GINT64_CONSTANT (16 * 1024), NULL);
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) items = NULL;
  guint64 first;

  put_ended (store, 0);
  g_assert_true (append (store, "ended-0", 0, 8 * 1024, NULL));
  put (store, "running", STRAND_STATUS_RUNNING);
  g_assert_true (append (store, "running", 0, 10 * 1024, NULL));
  g_assert_false (has (store, "ended-0"));
  g_assert_cmpuint (get_dropped (store), ==, 1);
  items = strand_store_read_items (store, "ended-0", 1, 0, 10, &first, NULL);
  g_assert_cmpuint (items->len, ==, 0);

  g_assert_false (append (store, "running", 1, 10 * 1024, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_FULL);
  g_assert_true (strand_store_remove (store, "running", 0, NULL));
  g_assert_true (append (store, "next", 0, 10 * 1024, NULL));
}

/* The store's clock says when a call is due, in whatever direction it is set. */
static void
test_clock_set_back_makes_a_call_wait_again (void)
{
  const gint64 now_us = G_GINT64_CONSTANT (1700000000000000);
  const char *const queues[] = { "q", NULL };
  g_autoptr(StrandStore) store = g_object_new (memory_store, NULL);
  g_autoptr(StrandRecord) record = store_basics_record ("job-17");
  StrandClaim claim = { queues, "test:1", now_us - 100, 1 };
  gint64 next_due_us = 0;
  g_autoptr(GPtrArray) early = NULL;
  g_autoptr(GPtrArray) due = NULL;

  strand_record_set_string (record, STRAND_FIELD_QUEUE, "q");
  strand_record_set_int (record, STRAND_FIELD_NOT_BEFORE, now_us);
  g_assert_true (strand_store_put (store, record, 0, NULL));
  early = strand_store_claim (store, &claim, &next_due_us, NULL);
  g_assert_cmpuint (early->len, ==, 0);
  g_assert_cmpint (next_due_us, ==, now_us);
  claim.now_us = now_us;
  due = strand_store_claim (store, &claim, &next_due_us, NULL);
  g_assert_cmpuint (due->len, ==, 1);
}

int
main (int argc, char **argv)
{

  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  memory_store = store_basics_load ("memory-store");

  g_test_add_func ("/memory-store/oldest-ended-call-is-dropped-first",
                   test_oldest_ended_call_is_dropped_first);
  g_test_add_func ("/memory-store/only-unfinished-calls-are-full", test_only_unfinished_calls_are_full);
  g_test_add_func ("/memory-store/bytes-are-limited", test_bytes_are_limited);
  g_test_add_func ("/memory-store/items-are-limited-too", test_items_are_limited_too);
  g_test_add_func ("/memory-store/clock-set-back-makes-a-call-wait-again",
                   test_clock_set_back_makes_a_call_wait_again);
  g_test_add_func ("/memory-store/refused-write-drops-nothing", test_refused_write_drops_nothing);

  return g_test_run ();
}
