/* store-ttl.c — how long a record is kept after its call has ended, and who removes it.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "store-private.h"

/* A store at STORE_NOW_US that cleans up only when it is told to. */
static StrandStore *
make_still (StrandConformance *self)
{
  StrandStore *store = store_make (self);

  strand_clock_set_manual (STORE_NOW_US);
  g_object_set (store, "auto-cleanup", FALSE, NULL);
  return store;
}

static gint64
clean (StrandStore *store, gint64 budget_us)
{
  g_autoptr(GError) error = NULL;
  gint64 n = strand_store_cleanup_expired (store, budget_us, &error);

  g_assert_no_error (error);
  return n;
}

static void
hidden_and_removed (StrandConformance *self)
{
  g_autoptr(StrandStore) store = make_still (self);
  g_autoptr(GHashTable) keys = NULL;

  store_put_ended (store, "short", STORE_NOW_US, 10);
  store_put_ended (store, "gone", STORE_NOW_US, 10);
  store_put_ended (store, "long", STORE_NOW_US, 1000);
  store_put_ended (store, "for-ever", STORE_NOW_US, -1);

  strand_clock_advance (10);
  store_assert_gone (store, "short");
  g_assert_cmpint (store_count (store, NULL), ==, 2);
  keys = store_list (store, NULL, 1);
  g_assert_cmpuint (g_hash_table_size (keys), ==, 2);

  /* Not only hidden: with the clock back where it was, they do not come back. */
  strand_clock_set_manual (STORE_NOW_US);
  store_assert_gone (store, "short");
  store_assert_gone (store, "gone");
}

static void
not_early (StrandConformance *self)
{
  g_autoptr(StrandStore) store = make_still (self);

  store_put_ended (store, "job-17", STORE_NOW_US, STORE_HOUR_US);
  strand_clock_advance (STORE_HOUR_US - 1);
  store_assert_there (store, "job-17");
  g_assert_cmpint (clean (store, -1), ==, 0);
  strand_clock_advance (1);
  store_assert_gone (store, "job-17");
}

static void
from_the_end (StrandConformance *self)
{
  g_autoptr(StrandStore) store = make_still (self);
  g_autoptr(StrandRecord) pending = store_record ("pending");
  g_autoptr(StrandRecord) running = store_record ("running");

  g_object_set (store, "ttl", G_GINT64_CONSTANT (1000), NULL);
  strand_record_set_int (running, STRAND_FIELD_STATUS, STRAND_STATUS_RUNNING);
  store_put (store, pending);
  store_put (store, running);

  strand_clock_advance (1000 * 1000);
  g_assert_cmpint (clean (store, -1), ==, 0);
  g_assert_cmpint (store_count (store, NULL), ==, 2);

  strand_record_end (running, STRAND_STATUS_COMPLETED, strand_clock_now_us ());
  store_put (store, running);
  strand_clock_advance (999);
  g_assert_cmpint (store_count (store, NULL), ==, 2);
  strand_clock_advance (1);
  g_assert_cmpint (store_count (store, NULL), ==, 1);
  g_assert_cmpint (clean (store, -1), ==, 1);
}

static void
own_goes_first (StrandConformance *self)
{
  g_autoptr(StrandStore) store = make_still (self);

  g_object_set (store, "ttl", G_GINT64_CONSTANT (1000), NULL);
  store_put_ended (store, "short", STORE_NOW_US, 10);
  store_put_ended (store, "stores", STORE_NOW_US, -1);
  store_put_ended (store, "for-ever", STORE_NOW_US, G_MAXINT64);

  strand_clock_advance (10);
  g_assert_cmpint (clean (store, -1), ==, 1);
  strand_clock_advance (990);
  g_assert_cmpint (clean (store, -1), ==, 1);
  strand_clock_advance (STORE_DAY_US * 36500);
  g_assert_cmpint (clean (store, -1), ==, 0);
  store_assert_there (store, "for-ever");
}

static void
not_in_the_way (StrandConformance *self)
{
  g_autoptr(StrandStore) store = make_still (self);
  g_autoptr(StrandRecord) read = NULL;

  store_put_ended (store, "job-17", STORE_NOW_US, 10);
  strand_clock_advance (10);
  store_put_key (store, "job-17");

  read = store_get (store, "job-17");
  g_assert_cmpuint (strand_record_get_revision (read), ==, 1);
  g_assert_cmpint (strand_record_get_status (read), ==, STRAND_STATUS_PENDING);
}

/* A record that is written again is kept by what it says then. */
static void
rewritten (StrandConformance *self)
{
  g_autoptr(StrandStore) store = make_still (self);
  g_autoptr(StrandRecord) record = store_record ("job-17");

  store_set_ended (record, STORE_NOW_US, 10);
  store_put (store, record);
  strand_record_set_int (record, STRAND_FIELD_TTL, STORE_HOUR_US);
  store_put (store, record);
  strand_clock_advance (STORE_HOUR_US - 1);
  store_assert_there (store, "job-17");
  strand_clock_advance (1);
  store_assert_gone (store, "job-17");
}

static void
other_kinds_expire (StrandConformance *self)
{
  g_autoptr(StrandStore) store = make_still (self);
  g_autoptr(StrandRecord) record = store_record ("group-1");

  strand_record_set_string (record, STRAND_FIELD_KIND, "group");
  store_set_ended (record, STORE_NOW_US, 10);
  store_put (store, record);
  strand_clock_advance (10);
  g_assert_cmpint (clean (store, -1), ==, 1);
}

const StrandConformanceCase store_ttl_cases[] = {
  { "ttl/hidden", "What has outlived its ttl is not got, listed or counted, and does not come back.",
    hidden_and_removed },
  { "ttl/not-early", "Until then it is there.", not_early },
  { "ttl/from-the-end", "A ttl counts from the end of a call; pending and running ones do not expire.",
    from_the_end },
  { "ttl/own-first", "A call's own ttl goes before the store's, and the longest is for ever.",
    own_goes_first },
  { "ttl/not-in-the-way", "An expired record is not in the way of a new one of its key.", not_in_the_way },
  { "ttl/rewritten", "A record that is written again expires by what it says then.", rewritten },
  { "ttl/other-kinds", "Records of other kinds expire, too.", other_kinds_expire },
  { 0 },
};

/* Cleaning up. */

static void
removes_all (StrandConformance *self)
{
  guint n = store_times (self, 300) / 3 * 3;
  g_autoptr(StrandStore) store = make_still (self);

  store_put_many (store, "job", 20);
  for (guint i = 0; i < n; i++)
    {
      g_autofree char *key = g_strdup_printf ("ended-%u", i);

      store_put_ended (store, key, STORE_NOW_US, i % 3 == 0 ? 1000 : 10);
    }

  strand_clock_advance (10);
  g_assert_cmpint (clean (store, -1), ==, n / 3 * 2);
  g_assert_cmpint (store_count (store, &(StrandFilter){ .kind = "*" }), ==, 20 + n / 3);
  strand_clock_set_manual (STORE_NOW_US);
  store_assert_gone (store, "ended-1");
}

/* A budget of nothing must still make progress, and see the whole store in the end. */
static void
in_small_steps (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  gint64 n_removed = 0;

  g_object_set (store, "auto-cleanup", FALSE, NULL);
  store_put_many (store, "job", 50);
  for (guint i = 0; i < 50; i++)
    {
      g_autofree char *key = g_strdup_printf ("ended-%u", i);

      store_put_ended (store, key, STORE_NOW_US, 10);
    }
  for (guint i = 0; i < 2000 && n_removed < 50; i++)
    n_removed += clean (store, 0);
  g_assert_cmpint (n_removed, ==, 50);
  g_assert_cmpint (store_count (store, NULL), ==, 50);
}

static void
by_using (StrandConformance *self)
{
  g_autoptr(StrandStore) store = make_still (self);

  g_object_set (store, "auto-cleanup", TRUE, "cleanup-probability", 1.0, NULL);
  store_put_ended (store, "ended", STORE_NOW_US, 10);
  store_put_key (store, "job-17");
  strand_clock_advance (STORE_HOUR_US);

  /* The first access begins; a store may want more than one. */
  for (guint i = 0; i < 10; i++)
    {
      store_assert_there (store, "job-17");
      strand_clock_advance (STORE_HOUR_US);
    }
  strand_clock_set_manual (STORE_NOW_US);
  g_object_set (store, "auto-cleanup", FALSE, NULL);
  store_assert_gone (store, "ended");
}

static void
not_unless_wanted (StrandConformance *self)
{
  g_autoptr(StrandStore) store = make_still (self);

  g_object_set (store, "cleanup-probability", 1.0, NULL);
  store_put_ended (store, "ended", STORE_NOW_US, 10);
  store_put_key (store, "job-17");
  strand_clock_advance (10);

  store_assert_there (store, "job-17");
  strand_clock_set_manual (STORE_NOW_US);
  store_assert_there (store, "ended");
}

static void
nothing_else (StrandConformance *self)
{
  g_autoptr(StrandStore) store = make_still (self);

  g_object_set (store, "auto-cleanup", TRUE, "cleanup-probability", 1.0, NULL);
  store_put_ended (store, "ended", STORE_NOW_US, STORE_HOUR_US);
  store_put_key (store, "job-17");
  strand_clock_advance (STORE_HOUR_US - 1);
  store_assert_there (store, "job-17");
  g_assert_cmpint (clean (store, -1), ==, 0);
  store_assert_there (store, "ended");
}

static void
takes_the_items (StrandConformance *self)
{
  g_autoptr(StrandStore) store = make_still (self);
  g_autoptr(StrandRecord) held = NULL;

  store_put_work (store, "job-17", "q", STORE_NOW_US);
  held = store_claim_one (store, "q");
  store_append (store, "job-17", 1, 0, 100, 1000);
  strand_record_set_int (held, STRAND_FIELD_ITEMS, 100);
  strand_record_set_int (held, STRAND_FIELD_TTL, 10);
  strand_record_end (held, STRAND_STATUS_COMPLETED, STORE_NOW_US);
  store_put (store, held);

  strand_clock_advance (10);
  g_assert_cmpint (clean (store, -1), ==, 1);
  store_assert_items (store, "job-17", 1, 0, 100, 0, 0);
  g_assert_cmpint (store_count (store, &(StrandFilter){ .kind = "*" }), ==, 0);
}

const StrandConformanceCase store_cleanup_cases[] = {
  { "cleanup/all", "A cleanup removes all that has expired, nothing else, and says how many.", removes_all },
  { "cleanup/small-steps", "Cleanups that have no time at all see the whole store one after the other.",
    in_small_steps },
  { "cleanup/by-using", "With `auto-cleanup`, using the store removes what has expired.", by_using },
  { "cleanup/none-unless-wanted", "Without `auto-cleanup`, using the store removes nothing else.",
    not_unless_wanted },
  { "cleanup/nothing-else", "What has not expired is left alone, however often there is a cleanup.",
    nothing_else },
  { "cleanup/items", "What an expired call has emitted goes with its record.", takes_the_items },
  { 0 },
};

/* The wall clock is set by people. */

static void
clock_back (StrandConformance *self)
{
  g_autoptr(StrandStore) store = make_still (self);

  store_put_ended (store, "job-17", STORE_NOW_US, STORE_HOUR_US);
  strand_clock_set_wall (STORE_NOW_US - STORE_DAY_US);
  store_assert_there (store, "job-17");
  g_assert_cmpint (clean (store, -1), ==, 0);
  store_put_ended (store, "job-18", STORE_NOW_US - STORE_DAY_US, STORE_HOUR_US);
  store_assert_there (store, "job-18");
  strand_clock_advance (STORE_HOUR_US);
  store_assert_gone (store, "job-18");
  store_assert_there (store, "job-17");
  strand_clock_advance (STORE_DAY_US);
  store_assert_gone (store, "job-17");
  g_assert_cmpint (store_count (store, NULL), ==, 0);
}

static void
clock_ahead (StrandConformance *self)
{
  g_autoptr(StrandStore) store = make_still (self);
  g_autoptr(StrandRecord) running = store_record ("running");

  strand_record_set_int (running, STRAND_FIELD_STATUS, STRAND_STATUS_RUNNING);
  strand_record_set_int (running, STRAND_FIELD_TTL, 10);
  store_put (store, running);
  store_put_ended (store, "two-days", STORE_NOW_US, 2 * STORE_DAY_US);
  strand_clock_set_wall (STORE_NOW_US + STORE_DAY_US);
  store_assert_there (store, "running");
  store_assert_there (store, "two-days");
  store_put_ended (store, "job-18", STORE_NOW_US + STORE_DAY_US, STORE_HOUR_US);
  store_assert_there (store, "job-18");

  /* And back: what ended in what is the future now lives longer, but not for ever. */
  strand_clock_set_wall (STORE_NOW_US);
  g_assert_cmpint (clean (store, -1), ==, 0);
  g_assert_cmpint (store_count (store, NULL), ==, 3);
  strand_clock_advance (2 * STORE_DAY_US);
  g_assert_cmpint (store_count (store, NULL), ==, 1);
  store_assert_there (store, "running");
}

const StrandConformanceCase store_clock_cases[] = {
  { "clock/back", "With the clock set back a day nothing expires early, and nothing lives for ever.",
    clock_back },
  { "clock/ahead", "With the clock set ahead a day, and back again, likewise.", clock_ahead },
  { 0 },
};
