/* store-items.c — the log of what a call has emitted.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "store-private.h"

#include <string.h>

/* A store with one call that runs under fence 1. */
static StrandStore *
make_running (StrandConformance *self, StrandRecord **held)
{
  StrandStore *store = store_make (self);

  store_put_work (store, "job-17", "q", STORE_NOW_US);
  *held = store_claim_one (store, "q");
  return store;
}

static void
in_order (StrandConformance *self)
{
  g_autoptr(StrandRecord) held = NULL;
  g_autoptr(StrandStore) store = make_running (self, &held);

  store_assert_items (store, "job-17", 1, 0, 10, 0, 0);
  store_append (store, "job-17", 1, 0, 1, 1000);
  store_append (store, "job-17", 1, 1, 4, 1000);
  store_append (store, "job-17", 1, 5, 200, 1000);
  store_assert_items (store, "job-17", 1, 0, 1000, 0, 205);
}

static void
from_anywhere (StrandConformance *self)
{
  g_autoptr(StrandRecord) held = NULL;
  g_autoptr(StrandStore) store = make_running (self, &held);

  store_append (store, "job-17", 1, 0, 205, 1000);
  store_assert_items (store, "job-17", 1, 0, 3, 0, 3);
  store_assert_items (store, "job-17", 1, 63, 66, 63, 66);
  store_assert_items (store, "job-17", 1, 204, 10, 204, 1);
  store_assert_items (store, "job-17", 1, 205, 10, 205, 0);
  store_assert_items (store, "job-17", 1, 100000, 10, 0, 0);
}

static void
said_again (StrandConformance *self)
{
  g_autoptr(StrandRecord) held = NULL;
  g_autoptr(StrandStore) store = make_running (self, &held);

  store_append (store, "job-17", 1, 0, 100, 1000);
  store_append (store, "job-17", 1, 98, 7, 1000); /* two of them a second time */
  store_assert_items (store, "job-17", 1, 0, 1000, 0, 105);
  store_append (store, "job-17", 1, 0, 105, 1000);
  store_assert_items (store, "job-17", 1, 0, 1000, 0, 105);
}

/* Shorter than what was there: none of that is left. */
static void
replaced (StrandConformance *self)
{
  g_autoptr(StrandRecord) held = NULL;
  g_autoptr(StrandStore) store = make_running (self, &held);

  store_append (store, "job-17", 1, 0, 300, 1000);
  store_append (store, "job-17", 1, 10, 2, 1000);
  store_assert_items (store, "job-17", 1, 0, 1000, 0, 12);
  for (guint from = 12; from < 300; from += 16)
    store_assert_items (store, "job-17", 1, from, 1000, 0, 0);
  store_append (store, "job-17", 1, 12, 200, 1000);
  store_assert_items (store, "job-17", 1, 0, 1000, 0, 212);
}

static void
gap (StrandConformance *self)
{
  g_autoptr(StrandRecord) held = NULL;
  g_autoptr(StrandStore) store = make_running (self, &held);

  store_append (store, "job-17", 1, 0, 70, 1000);
  store_append (store, "job-17", 1, 75, 3, 1000);
  store_assert_items (store, "job-17", 1, 0, 1000, 75, 3);
  store_append (store, "job-17", 1, 300, 2, 1000);
  store_append (store, "job-17", 1, 302, 100, 1000);
  store_assert_items (store, "job-17", 1, 0, 1000, 300, 102);
  store_assert_items (store, "job-17", 1, 310, 10, 310, 10);
}

/* Closer together than any store may keep items apart. */
static void
small_gap (StrandConformance *self)
{
  g_autoptr(StrandRecord) held = NULL;
  g_autoptr(StrandStore) store = make_running (self, &held);

  store_append (store, "job-17", 1, 0, 3, 1000);
  store_append (store, "job-17", 1, 5, 2, 1000);
  store_assert_items (store, "job-17", 1, 0, 1000, 5, 2);
  store_assert_items (store, "job-17", 1, 1, 1000, 5, 2);
  store_append (store, "job-17", 1, 7, 2, 1000);
  store_assert_items (store, "job-17", 1, 0, 1000, 5, 4);
}

static void
begins_late (StrandConformance *self)
{
  g_autoptr(StrandRecord) held = NULL;
  g_autoptr(StrandStore) store = make_running (self, &held);

  store_append (store, "job-17", 1, 500, 5, 1000);
  store_assert_items (store, "job-17", 1, 0, 1000, 500, 5);
  store_append (store, "job-17", 1, 505, 5, 1000);
  store_assert_items (store, "job-17", 1, 502, 1000, 502, 8);
}

static void
bounded (StrandConformance *self)
{
  g_autoptr(StrandRecord) held = NULL;
  g_autoptr(StrandStore) store = make_running (self, &held);
  g_autoptr(GPtrArray) kept = NULL;
  g_autoptr(GError) error = NULL;
  guint64 first = 0;

  for (guint i = 0; i < 2000; i += 10)
    store_append (store, "job-17", 1, i, 10, 100);
  kept = strand_store_read_items (store, "job-17", 1, 0, 10000, &first, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (kept->len, >=, 100);
  g_assert_cmpuint (kept->len, <=, 400);
  g_assert_cmpuint (first, ==, 2000 - kept->len);
  store_assert_items (store, "job-17", 1, 0, 10000, first, kept->len);
  store_assert_items (store, "job-17", 1, 1990, 1000, 1990, 10);
}

static void
more_than_the_bound (StrandConformance *self)
{
  g_autoptr(StrandRecord) held = NULL;
  g_autoptr(StrandStore) store = make_running (self, &held);

  store_append (store, "job-17", 1, 0, 1000, 10);
  store_assert_items (store, "job-17", 1, 990, 1000, 990, 10);
}

static void
fences (StrandConformance *self)
{
  g_autoptr(StrandRecord) held = NULL;
  g_autoptr(StrandRecord) second = NULL;
  g_autoptr(StrandStore) store = make_running (self, &held);

  store_append (store, "job-17", 1, 0, 5, 1000);
  strand_record_give_back (held);
  store_put (store, held);
  second = store_claim_one (store, "q");
  store_assert_items (store, "job-17", 2, 0, 1000, 0, 0);
  store_append (store, "job-17", 2, 0, 2, 1000);
  store_append (store, "job-17", 1, 5, 3, 1000); /* of who has lost it and does not know yet */
  store_assert_items (store, "job-17", 2, 0, 1000, 0, 2);
}

static void
calls_apart (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);

  store_append (store, "job-1", 1, 0, 5, 1000);
  store_append (store, "job-1.1", 1, 0, 2, 1000);
  store_append (store, "job-11", 1, 0, 3, 1000);
  store_assert_items (store, "job-1", 1, 0, 1000, 0, 5);
  store_assert_items (store, "job-1.1", 1, 0, 1000, 0, 2);
  store_assert_items (store, "job-11", 1, 0, 1000, 0, 3);
  store_assert_items (store, "job-1", 11, 0, 1000, 0, 0);
}

static void
any_bytes (StrandConformance *self)
{
  static const gsize sizes[] = { 0, 1, 256, 1024 * 1024, 0, 3 };
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(GPtrArray) items = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  g_autoptr(GPtrArray) read = NULL;
  g_autoptr(GError) error = NULL;
  guint64 first = 1;

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      guint8 *bytes = g_malloc0 (sizes[i] + 1);

      for (gsize j = 0; j < sizes[i]; j++)
        bytes[j] = (guint8) (j + i);
      g_ptr_array_add (items, g_bytes_new_take (bytes, sizes[i]));
    }
  strand_store_append_items (store, "job-17", 1, 0, (GBytes *const *) items->pdata, items->len, 100, &error);
  g_assert_no_error (error);
  read = strand_store_read_items (store, "job-17", 1, 0, 100, &first, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (first, ==, 0);
  g_assert_cmpuint (read->len, ==, items->len);
  for (guint i = 0; i < items->len; i++)
    g_assert_cmpmem (g_bytes_get_data (items->pdata[i], NULL), g_bytes_get_size (items->pdata[i]),
                     g_bytes_get_data (read->pdata[i], NULL), g_bytes_get_size (read->pdata[i]));
}

static void
go_with_their_call (StrandConformance *self)
{
  const StrandFilter every = { .kind = "*" };
  g_autoptr(StrandRecord) held = NULL;
  g_autoptr(StrandRecord) second = NULL;
  g_autoptr(StrandStore) store = make_running (self, &held);

  store_append (store, "job-17", 1, 0, 300, 1000);
  strand_record_set_int (held, STRAND_FIELD_ITEMS, 300);
  strand_record_give_back (held);
  store_put (store, held);
  second = store_claim_one (store, "q");
  store_append (store, "job-17", 2, 0, 300, 100);
  strand_record_set_int (second, STRAND_FIELD_ITEMS, 300);
  store_put (store, second);

  store_remove (store, "job-17");
  store_assert_items (store, "job-17", 1, 0, 1000, 0, 0);
  store_assert_items (store, "job-17", 2, 0, 1000, 0, 0);
  g_assert_cmpint (store_count (store, &every), ==, 0);
}

static void
no_calls_of_their_own (StrandConformance *self)
{
  g_autoptr(StrandRecord) held = NULL;
  g_autoptr(StrandStore) store = make_running (self, &held);
  g_autoptr(GHashTable) calls = NULL;
  g_autoptr(GPtrArray) claimed = NULL;

  store_append (store, "job-17", 1, 0, 300, 100);
  calls = store_list (store, NULL, 10);
  g_assert_cmpuint (g_hash_table_size (calls), ==, 1);
  g_assert_cmpint (store_count (store, NULL), ==, 1);
  claimed = store_claim (store, "q", 10);
  g_assert_cmpuint (claimed->len, ==, 0);
}

/* What has come since the last look; it must go on where that ended. */
static guint
read_on (StrandStore *store, guint n_read)
{
  g_autoptr(GError) error = NULL;
  guint64 first = n_read;
  g_autoptr(GPtrArray) items = strand_store_read_items (store, "job-17", 1, n_read, 100, &first, &error);

  g_assert_no_error (error);
  if (items->len > 0)
    g_assert_cmpuint (first, ==, n_read);
  store_check_items (items, n_read);
  return n_read + items->len;
}

static void
of_another_process (StrandConformance *self)
{
  guint n = store_times (self, 200), n_read = 0;
  StrandConformancePeer *hand = strand_conformance_start_peer (self, "hand", NULL);
  g_autoptr(StrandStore) store = store_make (self);

  for (guint i = 0; i < n; i++)
    {
      g_autofree char *line = g_strdup_printf ("append job-17 %u 7", i * 7);
      g_autofree char *answer = NULL;

      strand_conformance_peer_send (hand, line);
      for (guint look = 0; look < 3; look++)
        n_read = read_on (store, n_read);
      answer = strand_conformance_peer_receive (hand);
      g_assert_cmpstr (answer, ==, "ok");
    }
  while (n_read < n * 7)
    {
      guint before = n_read;

      n_read = read_on (store, n_read);
      g_assert_cmpuint (n_read, >, before);
    }
}

const StrandConformanceCase store_items_cases[] = {
  { "items/in-order", "What a call emits is read in order, from the first on.", in_order },
  { "items/from-anywhere",
    "It can be read from any item on, so many as are wanted; beyond the end is nothing.", from_anywhere },
  { "items/said-again", "Items that are written a second time are there once.", said_again },
  { "items/replaced", "What is there from the first item written on is replaced, all of it.", replaced },
  { "items/gap", "Where the log does not reach the first item written, it begins anew there.", gap },
  { "items/small-gap", "So it does where only an item or two are missing.", small_gap },
  { "items/begins-late", "A log may begin with any item.", begins_late },
  { "items/bounded", "At least the last `max-items` are kept, and not many more.", bounded },
  { "items/one-large-write", "So it is if one write has more than that.", more_than_the_bound },
  { "items/fence", "Each fence has a log of its own, so that who has lost its call does no harm.", fences },
  { "items/calls-apart", "Each call has logs of its own, however similar their keys.", calls_apart },
  { "items/any-bytes", "Items are bytes, none or a million of them, with NULs.", any_bytes },
  { "items/removed", "Items of all fences go with the record of their call.", go_with_their_call },
  { "items/no-calls", "Items are neither listed, counted nor claimed as calls.", no_calls_of_their_own },
  { "items/other-process", "Who reads while another process writes misses none and gets none twice.",
    of_another_process, "shared processes" },
  { 0 },
};
