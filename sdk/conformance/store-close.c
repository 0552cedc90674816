/* store-close.c — beginnings, ends, and media that cannot be used.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "store-private.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>

static guint
count_entries (const char *path)
{
  g_autoptr(GDir) dir = g_dir_open (path, 0, NULL);
  guint n = 0;

  while (dir != NULL && g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

static guint
count_files (void)
{
  return count_entries ("/proc/self/fd");
}

static guint
count_threads (void)
{
  return count_entries ("/proc/self/task");
}

static void
opens_nothing (StrandConformance *self)
{
  guint n_entries = count_entries (strand_conformance_get_directory (self));
  g_autoptr(StrandStore) first = store_make (self); /* loads what must be loaded */
  guint n_files = count_files (), n_threads = count_threads ();
  g_autoptr(StrandStore) store = store_make (self);

  g_assert_cmpuint (count_files (), ==, n_files);
  g_assert_cmpuint (count_threads (), ==, n_threads);
  g_assert_cmpuint (count_entries (strand_conformance_get_directory (self)), ==, n_entries);
}

static void
unused (StrandConformance *self)
{
  StrandStore *store = store_make (self);

  strand_store_close (store);
  g_object_unref (store);
  store = store_make (self);
  g_assert_finalize_object (store);
}

static void
closed_says_so (StrandConformance *self)
{
  const char *const queues[] = { "q", NULL };
  const StrandClaim claim = { queues, STORE_OWNER, STORE_NOW_US, 1 };
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StrandRecord) record = store_record ("job-17");
  g_autoptr(GError) error = NULL;
  StrandRecord *const records[] = { record };
  const guint64 expected[] = { 0 };
  GError *errors[1];
  StrandRenewal renewal = { "job-18", 1 };

  store_put_key (store, "job-18");
  strand_store_close (store);
  strand_store_close (store);

#define EXPECT_CLOSED(failed)                                                                                \
  G_STMT_START                                                                                               \
  {                                                                                                          \
    g_assert_true (failed);                                                                                  \
    g_assert_error (error, STRAND_ERROR, STRAND_ERROR_CLOSED);                                               \
    g_clear_error (&error);                                                                                  \
  }                                                                                                          \
  G_STMT_END

  EXPECT_CLOSED (strand_store_get (store, "job-18", &error) == NULL);
  EXPECT_CLOSED (!strand_store_put (store, record, 0, &error));
  EXPECT_CLOSED (!strand_store_remove (store, "job-18", 0, &error));
  EXPECT_CLOSED (strand_store_list (store, NULL, NULL, 1, &error) == NULL);
  EXPECT_CLOSED (strand_store_count (store, NULL, &error) == -1);
  EXPECT_CLOSED (strand_store_cleanup_expired (store, -1, &error) == -1);
  EXPECT_CLOSED (strand_store_claim (store, &claim, NULL, &error) == NULL);
  EXPECT_CLOSED (!strand_store_renew (store, &renewal, 1, &error));
  g_assert_cmpuint (strand_store_put_batch (store, records, expected, 1, errors), ==, 0);
  g_assert_error (errors[0], STRAND_ERROR, STRAND_ERROR_CLOSED);
  g_error_free (errors[0]);
}

/* Each either happens or is told that it is too late. */
static void
use_until_closed (StrandStore *store, guint number, gpointer data)
{
  int *n_going = data;
  gboolean first = TRUE;

  for (guint i = 0;; i++)
    {
      g_autofree char *key = g_strdup_printf ("job-%u-%u", number, i);
      g_autoptr(StrandRecord) record = store_record (key);
      g_autoptr(GError) error = NULL;

      if (!strand_store_put (store, record, 0, &error))
        {
          g_assert_error (error, STRAND_ERROR, STRAND_ERROR_CLOSED);
          return;
        }
      if (first)
        g_atomic_int_inc (n_going);
      first = FALSE;
      if (number == 0 && g_atomic_int_get (n_going) == STORE_N_THREADS)
        strand_store_close (store);
    }
}

static void
closed_while_used (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StoreEar) ear = store_ear_new (store, NULL);
  int n_going = 0;

  store_on_threads (store, use_until_closed, &n_going);
}

static void
found_again (StrandConformance *self)
{
  g_autoptr(StrandRecord) record = store_work ("job-17", "q", STORE_NOW_US);
  g_autoptr(StrandRecord) read = NULL;
  g_autoptr(StrandStore) later = NULL;
  StrandStore *store = store_make (self);

  store_put (store, record);
  store_put (store, record);
  store_append (store, "job-17", 1, 0, 100, 1000);
  strand_store_close (store);
  g_object_unref (store);

  later = store_make (self);
  read = store_get (later, "job-17");
  store_assert_same (read, record);
  store_assert_items (later, "job-17", 1, 0, 1000, 0, 100);
  g_assert_cmpint (store_count (later, &(StrandFilter){ .queue = "q" }), ==, 1);
}

static void
others_stay_open (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StrandStore) other = store_make (self);

  store_put_key (store, "job-17");
  store_assert_there (other, "job-17");
  strand_store_close (store);
  store_assert_there (other, "job-17");
  store_put_key (other, "job-18");
}

static void
use_all (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StoreEar) one = store_ear_new (store, "job-17");
  g_autoptr(StoreEar) queue = store_ear_new_for_queue (store, "q");
  g_autoptr(StrandRecord) record = NULL;

  store_put_work (store, "job-17", "q", STORE_NOW_US);
  record = store_claim_one (store, "q");
  store_append (store, "job-17", 1, 0, 3, 100);
  strand_conformance_wait (self, store_ear_heard (one, "job-17") && store_ear_heard (queue, "q"));
  strand_record_set_int (record, STRAND_FIELD_ITEMS, 3);
  store_put (store, record);
  store_remove (store, "job-17");
  g_assert_cmpint (store_count (store, NULL), ==, 0);
}

static void
nothing_left (StrandConformance *self)
{
  guint n_files, n_threads;

  use_all (self); /* starts what GLib and strand keep, as the turn does */
  strand_conformance_turn (self, "a first turn", __FILE__, __LINE__, G_STRFUNC);
  n_files = count_files ();
  n_threads = count_threads ();
  for (guint i = 0; i < 10; i++)
    use_all (self);
  strand_conformance_wait (self, count_files () <= n_files && count_threads () <= n_threads);
}

const StrandConformanceCase store_close_cases[] = {
  { "close/construction", "Making a store opens, creates and starts nothing.", opens_nothing },
  { "close/unused", "A store that was never used can be closed, or dropped, at once.", unused },
  { "close/closed", "Whatever is asked of a closed store is `CLOSED`; closing twice does nothing.",
    closed_says_so },
  { "close/while-used", "What runs when a store is closed ends well, and what comes later is `CLOSED`.",
    closed_while_used },
  { "close/found-again", "What was stored is there, exactly, for the next object over the same records.",
    found_again, "shared" },
  { "close/others-stay", "Closing one object leaves the others over the same records alone.",
    others_stay_open, "shared" },
  { "close/nothing-left", "A store that has gone leaves no thread and no file descriptor behind.",
    nothing_left },
  { 0 },
};

/* Media. */

static void
expect_trouble (const GError *error)
{
  g_assert_nonnull (error);
  g_assert_false (g_error_matches (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND));
  g_assert_false (g_error_matches (error, STRAND_ERROR, STRAND_ERROR_EXISTS));
  g_assert_false (g_error_matches (error, STRAND_ERROR, STRAND_ERROR_STALE));
}

static void
impossible_path (StrandConformance *self)
{
  g_autofree char *path = strand_conformance_build_path (self, "a-file/below/records");
  g_autoptr(StrandRecord) record = store_record ("job-17");
  g_autoptr(StrandStore) store = NULL;

  strand_conformance_create_file (self, "a-file");
  store = store_make_with (self, "path", path);
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr(GError) error = NULL;

      g_assert_false (strand_store_put (store, record, 0, &error));
      expect_trouble (error);
      g_assert_nonnull (strstr (error->message, "a-file"));
    }
}

static gboolean
mount_read_only (const char *directory)
{
  return (unshare (CLONE_NEWNS) == 0 || unshare (CLONE_NEWUSER | CLONE_NEWNS) == 0) &&
         mount (NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
         mount (directory, directory, NULL, MS_BIND, NULL) == 0 &&
         mount (NULL, directory, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) == 0;
}

void
store_play_reader_of_a_read_only_medium (StrandConformance *self)
{
  g_autoptr(StrandRecord) record = store_record ("job-18");
  g_autoptr(StrandStore) store = NULL;
  g_autoptr(StrandRecord) read = NULL;
  g_autoptr(GHashTable) listed = NULL;
  g_autoptr(GError) put_error = NULL;
  g_autoptr(GError) rewrite_error = NULL;
  g_autoptr(GError) remove_error = NULL;

  if (!mount_read_only (strand_conformance_get_directory (self)))
    {
      strand_conformance_send (self, g_strerror (errno));
      return;
    }
  store = store_make (self);
  read = store_get (store, "job-17");
  listed = store_list (store, NULL, 10);
  g_assert_cmpuint (g_hash_table_size (listed), ==, 1);
  g_assert_false (strand_store_put (store, record, 0, &put_error));
  expect_trouble (put_error);
  g_assert_false (strand_store_put (store, read, 1, &rewrite_error));
  expect_trouble (rewrite_error);
  g_assert_false (strand_store_remove (store, "job-17", 0, &remove_error));
  expect_trouble (remove_error);
  store_assert_there (store, "job-17");
  strand_conformance_send (self, "ok");
}

static void
read_only (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  StrandConformancePeer *reader;
  g_autofree char *answer = NULL;

  store_put_key (store, "job-17");
  strand_store_close (store);
  reader = strand_conformance_start_peer (self, "reader-of-a-read-only-medium", NULL);
  answer = strand_conformance_peer_receive (reader);
  g_assert_nonnull (answer);
  if (strcmp (answer, "ok") != 0)
    {
      g_autofree char *reason = g_strconcat ("this process may not mount: ", answer, NULL);

      g_test_skip (reason);
    }
}

const StrandConformanceCase store_medium_cases[] = {
  { "medium/impossible",
    "A path that cannot be had is an error that names it, and neither `NOT_FOUND`, "
    "`EXISTS` nor `STALE`.",
    impossible_path, "path" },
  { "medium/read-only", "Where nothing can be written, records can still be read, and writes fail so, too.",
    read_only, "path shared processes" },
  { 0 },
};
