/* store-watch.c — being told of changes, and of work in a queue.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "store-private.h"

#define await(ear, key) strand_conformance_wait (self, store_ear_heard (ear, key))

static void
writes_and_removals (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StoreEar) one = store_ear_new (store, "job-17");
  g_autoptr(StoreEar) all = store_ear_new (store, NULL);

  store_put_key (store, "job-17");
  await (one, "job-17");
  await (all, "job-17");
  store_ear_forget (one);
  store_put_key (store, "job-18");
  await (all, "job-18");
  store_remove (store, "job-17");
  await (one, "job-17");
  g_assert_false (store_ear_heard (one, "job-18"));
}

static void
many_watchers (StrandConformance *self)
{
  guint n = store_times (self, 300);
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(GPtrArray) ears = g_ptr_array_new_with_free_func ((GDestroyNotify) store_ear_free);

  for (guint i = 0; i < n; i++)
    {
      g_autofree char *key = g_strdup_printf ("job-%u", i / 2); /* two for each */

      g_ptr_array_add (ears, store_ear_new (store, key));
    }
  store_put_many (store, "job", n / 2);
  for (guint i = 0; i < n / 2 * 2; i++)
    {
      g_autofree char *key = g_strdup_printf ("job-%u", i / 2);

      await (ears->pdata[i], key);
    }
}

static void
expiry (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StoreEar) ear = NULL;
  g_autoptr(GError) error = NULL;

  strand_clock_set_manual (STORE_NOW_US);
  store_put_ended (store, "ended", STORE_NOW_US, 10);
  ear = store_ear_new (store, "ended");
  strand_clock_advance (10);
  strand_store_cleanup_expired (store, -1, &error);
  g_assert_no_error (error);
  await (ear, "ended");
}

static void
claims (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StrandRecord) record = NULL;
  g_autoptr(StoreEar) ear = NULL;

  store_put_work (store, "job-17", "q", STORE_NOW_US);
  ear = store_ear_new (store, "job-17");
  record = store_claim_one (store, "q");
  await (ear, "job-17");
}

static void
items (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StrandRecord) record = NULL;
  g_autoptr(StoreEar) ear = NULL;

  store_put_work (store, "job-17", "q", STORE_NOW_US);
  record = store_claim_one (store, "q");
  ear = store_ear_new (store, "job-17");
  store_append (store, "job-17", 1, 0, 3, 100);
  await (ear, "job-17");
}

static void
unwatched (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StoreEar) ear = store_ear_new (store, "job-17");
  g_autoptr(StoreEar) other = NULL;
  guint n_told;

  store_put_key (store, "job-17");
  await (ear, "job-17");
  store_ear_stop (ear);
  n_told = store_ear_count (ear);
  other = store_ear_new (store, "job-17");
  store_remove (store, "job-17");
  store_put_key (store, "job-17");
  await (other, "job-17");
  g_assert_cmpuint (store_ear_count (ear), ==, n_told);
}

/* Ends its own watch when it is told for the first time; another thread may be telling it just then. */
typedef struct
{
  int id;
  int n_told;
} Once;

static void
unwatch_myself (StrandStore *store, const char *key, gpointer data)
{
  Once *once = data;
  int id = g_atomic_int_get (&once->id);

  if (id != 0 && g_atomic_int_add (&once->n_told, 1) == 0)
    strand_store_unwatch (store, (guint) id);
}

/* Until somebody else has heard of a change, and so everybody has. */
static void
change_and_wait (StrandConformance *self, StrandStore *store, StoreEar *ear)
{
  store_ear_forget (ear);
  store_remove (store, "job-17");
  await (ear, "job-17");
  store_ear_forget (ear);
  store_put_key (store, "job-17");
  await (ear, "job-17");
}

static void
unwatch_in_function (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StoreEar) ear = NULL;
  Once once = { 0, 0 };
  int n_told;

  g_atomic_int_set (&once.id, (int) strand_store_watch (store, "job-17", unwatch_myself, &once, NULL));
  store_put_key (store, "job-17");
  strand_conformance_wait (self, g_atomic_int_get (&once.n_told) > 0);
  ear = store_ear_new (store, "job-17");
  change_and_wait (self, store, ear);
  n_told = g_atomic_int_get (&once.n_told);
  change_and_wait (self, store, ear);
  g_assert_cmpint (g_atomic_int_get (&once.n_told), ==, n_told);
}

/* Who looks for changes now and then tells of a key that it sees for the first time, too; and does not notice
 * what was made and removed between two looks. So the looks are waited for: the second of two that find a key
 * which nobody knew has seen all that was watched before. */
static void
settle (StrandConformance *self, StrandStore *other, StrandConformancePeer *hand, StoreEar *all, guint round)
{
  for (guint i = 0; i < 2; i++)
    {
      g_autofree char *key = g_strdup_printf ("fresh-%u-%u", round, i);

      if (hand != NULL)
        store_tell_ok (hand, "create %s", key);
      else
        store_put_key (other, key);
      await (all, key);
    }
}

static void
other_object (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StrandStore) other = store_make (self);
  g_autoptr(StoreEar) all = store_ear_new (store, NULL);

  for (guint round = 0; round < 3; round++)
    {
      g_autofree char *key = g_strdup_printf ("job-%u", round);
      g_autoptr(StoreEar) one = store_ear_new (store, key);

      settle (self, other, NULL, all, round);
      store_ear_forget (one);
      store_put_key (other, key);
      await (one, key);
      await (all, key);
      store_ear_forget (one);
      store_remove (other, key);
      await (one, key);
    }
}

static void
other_process (StrandConformance *self)
{
  StrandConformancePeer *hand = strand_conformance_start_peer (self, "hand", NULL);
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StoreEar) all = store_ear_new (store, NULL);

  for (guint round = 0; round < 3; round++)
    {
      g_autofree char *key = g_strdup_printf ("job-%u", round);
      g_autoptr(StoreEar) one = store_ear_new (store, key);

      settle (self, NULL, hand, all, round);
      store_ear_forget (one);
      store_tell_ok (hand, "create %s", key);
      await (one, key);
      await (all, key);
      store_assert_there (store, key);
      store_ear_forget (one);
      store_tell_ok (hand, "rewrite %s", key);
      await (one, key);
      store_ear_forget (one);
      store_tell_ok (hand, "remove %s", key);
      await (one, key);
      store_assert_gone (store, key);
    }
}

/* Whoever watches may miss steps, not the last. */
static void
last_of_many (StrandConformance *self)
{
  guint n = store_times (self, 200);
  StrandConformancePeer *hand = strand_conformance_start_peer (self, "hand", NULL);
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StrandRecord) record = NULL;
  g_autoptr(StoreEar) ear = NULL;

  store_put_key (store, "counter");
  ear = store_ear_new (store, "counter");
  store_tell_ok (hand, "count-up %u", n);
  do
    {
      await (ear, "counter");
      store_ear_forget (ear);
      g_clear_pointer (&record, strand_record_unref);
      record = store_get (store, "counter");
    }
  while (strand_record_get_int (record, STRAND_FIELD_CRASHES) < n);
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_CRASHES), ==, n);
}

const StrandConformanceCase store_watch_cases[] = {
  { "watch/told", "A watcher is told of writes and removals, of its key or of all, and of no other key.",
    writes_and_removals },
  { "watch/many", "Many watch at once, several one key, and each is told.", many_watchers },
  { "watch/expiry", "A watcher is told when a cleanup removes its record.", expiry },
  { "watch/claim", "A watcher is told when its call is claimed.", claims },
  { "watch/items", "A watcher is told when its call emits.", items },
  { "watch/unwatched", "Who has stopped watching is told nothing more.", unwatched },
  { "watch/unwatch-inside", "A watch may be ended by the function that it calls.", unwatch_in_function },
  { "watch/other-object", "A watcher is told what another object over the same records does.", other_object,
    "shared" },
  { "watch/other-process", "A watcher is told what another process writes, rewrites and removes.",
    other_process, "shared processes" },
  { "watch/last", "Of many writes of another process the last does not stay unnoticed.", last_of_many,
    "shared processes" },
  { 0 },
};

/* Queues. */

static void
own_work (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StoreEar) mail = store_ear_new_for_queue (store, "mail");
  g_autoptr(StoreEar) all = store_ear_new_for_queue (store, NULL);

  store_put_work (store, "job-17", "mail", STORE_NOW_US);
  await (mail, "mail");
  await (all, "mail");
  store_put_work (store, "job-18", "other", STORE_NOW_US);
  await (all, "other");
}

static void
given_back (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StoreEar) mail = NULL;
  g_autoptr(StrandRecord) record = NULL;

  store_put_work (store, "job-17", "mail", STORE_NOW_US);
  record = store_claim_one (store, "mail");
  mail = store_ear_new_for_queue (store, "mail");
  strand_record_give_back (record);
  store_put (store, record);
  await (mail, "mail");
}

/* Work that is told of but not there yet would be looked for in vain, and not again. */
static void
others_work (StrandConformance *self)
{
  StrandConformancePeer *hand = strand_conformance_start_peer (self, "hand", NULL);
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StoreEar) mail = store_ear_new_for_queue (store, "mail");

  for (guint round = 0; round < 5; round++)
    {
      g_autoptr(GPtrArray) claimed = store_claim (store, "mail", 1);

      g_assert_cmpuint (claimed->len, ==, 0);
      store_ear_forget (mail);
      store_tell_ok (hand, "leave job-%u mail", round);
      do
        {
          await (mail, "mail");
          store_ear_forget (mail);
          g_ptr_array_unref (claimed);
          claimed = store_claim (store, "mail", 1);
        }
      while (claimed->len == 0);
    }
}

static void
others_given_back (StrandConformance *self)
{
  StrandConformancePeer *hand = strand_conformance_start_peer (self, "hand", NULL);
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StoreEar) mail = NULL;
  g_autoptr(GPtrArray) claimed = NULL;

  store_put_work (store, "job-17", "mail", STORE_NOW_US);
  store_tell_ok (hand, "claim-one mail");
  mail = store_ear_new_for_queue (store, "mail");
  store_tell_ok (hand, "give-back job-17");
  do
    {
      await (mail, "mail");
      store_ear_forget (mail);
      g_clear_pointer (&claimed, g_ptr_array_unref);
      claimed = store_claim (store, "mail", 1);
    }
  while (claimed->len == 0);
}

static void
any_queue_of_others (StrandConformance *self)
{
  StrandConformancePeer *hand = strand_conformance_start_peer (self, "hand", NULL);
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StoreEar) all = store_ear_new_for_queue (store, NULL);
  g_autoptr(StoreEar) late = NULL;

  store_tell_ok (hand, "leave job-1 mail");
  await (all, "mail");
  /* The queues that are watched may change while they are. */
  late = store_ear_new_for_queue (store, "other");
  store_tell_ok (hand, "leave job-2 other");
  await (late, "other");
  store_ear_stop (late);
  store_ear_forget (all);
  store_tell_ok (hand, "leave job-3 third");
  await (all, "third");
}

const StrandConformanceCase store_queue_cases[] = {
  { "queue/told", "Who waits for work is told when some is put into its queue.", own_work },
  { "queue/given-back", "Work that is given back is told of like new work.", given_back },
  { "queue/other-process", "Who waits for work is told what another process leaves, and then finds it.",
    others_work, "shared processes" },
  { "queue/given-back-by-other", "So it is with what another process gives back.", others_given_back,
    "shared processes" },
  { "queue/any", "Any number of queues, and all of them, can be watched, one after the other.",
    any_queue_of_others, "shared processes" },
  { 0 },
};
