/* store-threads.c — many threads at once.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "store-private.h"

#include <string.h>

static void
count_up (StrandStore *store, guint number, gpointer n_times)
{
  store_count_up (store, "counter", GPOINTER_TO_UINT (n_times));
}

static void
no_lost_update (StrandConformance *self)
{
  guint n = store_times (self, 50);
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StrandRecord) read = NULL;

  store_put_key (store, "counter");
  store_on_threads (store, count_up, GUINT_TO_POINTER (n));
  read = store_get (store, "counter");
  g_assert_cmpint (strand_record_get_int (read, STRAND_FIELD_CRASHES), ==, STORE_N_THREADS * n);
  g_assert_cmpuint (strand_record_get_revision (read), ==, STORE_N_THREADS * n + 1);
}

typedef struct
{
  guint n_keys;
  guint n_created;
} Creation;

static void
create (StrandStore *store, guint number, gpointer data)
{
  Creation *creation = data;

  g_atomic_int_add ((int *) &creation->n_created, (int) store_create_all (store, creation->n_keys));
}

static void
created_once (StrandConformance *self)
{
  Creation creation = { store_times (self, 100), 0 };
  g_autoptr(StrandStore) store = store_make (self);

  store_on_threads (store, create, &creation);
  g_assert_cmpuint (creation.n_created, ==, creation.n_keys);
  g_assert_cmpint (store_count (store, NULL), ==, creation.n_keys);
}

static void
remove_all (StrandStore *store, guint number, gpointer data)
{
  Creation *removal = data;

  for (guint i = 0; i < removal->n_keys; i++)
    {
      g_autofree char *key = g_strdup_printf ("new-%u", i);
      g_autoptr(GError) error = NULL;

      if (strand_store_remove (store, key, 0, &error))
        g_atomic_int_inc ((int *) &removal->n_created);
      else
        g_assert_error (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND);
    }
}

static void
removed_once (StrandConformance *self)
{
  Creation removal = { store_times (self, 100), 0 };
  g_autoptr(StrandStore) store = store_make (self);

  g_assert_cmpuint (store_create_all (store, removal.n_keys), ==, removal.n_keys);
  store_on_threads (store, remove_all, &removal);
  g_assert_cmpuint (removal.n_created, ==, removal.n_keys);
  g_assert_cmpint (store_count (store, NULL), ==, 0);
}

/* A record whose parts all say the same: as many bytes as its priority, each of that value. */
static void
fill_alike (StrandRecord *record, guint number)
{
  gsize size = 1 + number % 64 * 500;
  char *text = g_strnfill (size, (char) ('a' + number % 26));
  g_autoptr(GBytes) bytes = g_bytes_new (text, size);

  strand_record_set_int (record, STRAND_FIELD_PRIORITY, number);
  strand_record_set_string (record, STRAND_FIELD_SERIALIZER, "nobodys");
  strand_record_set_bytes (record, STRAND_FIELD_ARGUMENTS, bytes);
  strand_record_set_string (record, STRAND_FIELD_MESSAGE, text);
  g_free (text);
}

static void
assert_alike (StrandRecord *record)
{
  guint number = (guint) strand_record_get_int (record, STRAND_FIELD_PRIORITY);
  g_autoptr(StrandRecord) expected = strand_record_copy (record);

  fill_alike (expected, number);
  store_assert_same (record, expected);
}

/* One in four writes, one lists, the others read. */
static void
write_or_read (StrandStore *store, guint number, gpointer n_times)
{
  for (guint i = 0; i < GPOINTER_TO_UINT (n_times); i++)
    {
      g_autoptr(StrandRecord) record = store_get (store, "job-17");
      g_autoptr(GError) error = NULL;
      g_autoptr(StrandPage) page = NULL;

      assert_alike (record);
      if (number % 4 == 0)
        {
          fill_alike (record, number * 1000 + i * 7);
          if (!strand_store_put (store, record, strand_record_get_revision (record), &error))
            g_assert_error (error, STRAND_ERROR, STRAND_ERROR_STALE);
        }
      else if (number % 4 == 1)
        {
          page = strand_store_list (store, NULL, NULL, 10, &error);
          g_assert_no_error (error);
          store_assert_readable (page);
          g_assert_cmpuint (strand_page_get_records (page)->len, ==, 1);
          assert_alike (strand_page_get_records (page)->pdata[0]);
        }
    }
}

static void
whole_to_readers (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StrandRecord) record = store_record ("job-17");

  fill_alike (record, 0);
  store_put (store, record);
  store_on_threads (store, write_or_read, GUINT_TO_POINTER (store_times (self, 300)));
}

/* Each on keys of its own, everything that there is. */
static void
do_everything (StrandStore *store, guint number, gpointer n_times)
{
  g_autofree char *queue = g_strdup_printf ("queue-%u", number);

  for (guint i = 0; i < GPOINTER_TO_UINT (n_times); i++)
    {
      g_autofree char *key = g_strdup_printf ("job-%u-%u", number, i);
      g_autoptr(StrandRecord) held = NULL;
      g_autoptr(StoreEar) ear = store_ear_new (store, key);
      StrandRenewal renewal = { key, 1 };

      store_put_work (store, key, queue, STORE_NOW_US);
      held = store_claim_one (store, queue);
      g_assert_cmpstr (strand_record_get_key (held), ==, key);
      g_assert_true (strand_store_renew (store, &renewal, 1, NULL));
      g_assert_no_error (renewal.error);
      store_append (store, key, 1, 0, 3, 10);
      store_assert_items (store, key, 1, 0, 10, 0, 3);
      g_assert_cmpint (store_count (store, &(StrandFilter){ .queue = queue }), ==, 1);
      g_clear_pointer (&held, strand_record_unref);
      held = store_get (store, key);
      strand_record_set_int (held, STRAND_FIELD_ITEMS, 3);
      strand_record_end (held, STRAND_STATUS_COMPLETED, STORE_NOW_US);
      store_put (store, held);
      store_remove (store, key);
    }
}

static void
all_at_once (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);

  store_on_threads (store, do_everything, GUINT_TO_POINTER (store_times (self, 30)));
  g_assert_cmpint (store_count (store, &(StrandFilter){ .kind = "*" }), ==, 0);
}

/* Nothing has been opened yet when all begin. */
static void
put_own (StrandStore *store, guint number, gpointer unused)
{
  g_autofree char *key = g_strdup_printf ("job-%u", number);

  store_put_key (store, key);
}

static void
first_use (StrandConformance *self)
{
  for (guint i = 0; i < 5; i++)
    {
      g_autoptr(StrandStore) store = store_make (self);

      store_on_threads (store, put_own, NULL);
      for (guint j = 0; j < STORE_N_THREADS; j++)
        {
          g_autofree char *key = g_strdup_printf ("job-%u", j);

          store_remove (store, key);
        }
    }
}

const StrandConformanceCase store_thread_cases[] = {
  { "threads/no-lost-update", "Of threads that write one record, none undoes what another was promised.",
    no_lost_update },
  { "threads/created-once", "Of threads that make one record, one does and the others get `EXISTS`.",
    created_once },
  { "threads/removed-once", "Of threads that remove one record, one does and the others get `NOT_FOUND`.",
    removed_once },
  { "threads/whole", "Who reads or lists while others write gets whole records.", whole_to_readers },
  { "threads/all-at-once", "All methods may run at once on many threads.", all_at_once },
  { "threads/first-use", "Many threads may be the first to use a store.", first_use },
  { 0 },
};
