/* test-filesystem-store.c — what the filesystem store promises beyond what all do: between
 * processes that are killed, on full and closed disks, beside files that are not ours.
 *
 * Some tests need another process: this program starts itself with a role as its first argument.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store-world.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/stat.h>
#include <unistd.h>

static GType filesystem_store;

typedef struct
{
  char *root;
  StrandStore *store;
} Fixture;

static gpointer
make_place (void)
{
  return store_world_make_path ("records");
}

static StrandStore *
open_root (gpointer root)
{
  return g_object_new (filesystem_store, "path", root, NULL);
}

static void
set_up (Fixture *f, gconstpointer unused)
{
  f->root = make_place ();
  f->store = open_root (f->root);
}

static void
tear_down (Fixture *f, gconstpointer unused)
{
  g_object_unref (f->store);
  store_world_remove_above (f->root);
}

static void
put (StrandStore *store, const char *key)
{
  g_autoptr(StrandRecord) record = store_basics_record (key);
  g_autoptr(GError) error = NULL;

  strand_store_put (store, record, 0, &error);
  g_assert_no_error (error);
}

static void
assert_there (StrandStore *store, const char *key)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandRecord) record = strand_store_get (store, key, &error);

  g_assert_no_error (error);
  g_assert_nonnull (record);
}

/* The documented place of a record: 32-bit FNV-1a of the key, its lowest byte, in hexadecimal. */
static char *
file_of (const char *root, const char *key)
{
  guint32 hash = 2166136261u;

  for (const char *c = key; *c != '\0'; c++)
    hash = (hash ^ (guchar) *c) * 16777619u;
  return g_strdup_printf ("%s/%02x/%s.json", root, hash & 0xff, key);
}

static void
write_file (const char *path, const char *text, gssize length)
{
  g_autoptr(GError) error = NULL;

  g_file_set_contents (path, text, length, &error);
  g_assert_no_error (error);
}

/* --- files --------------------------------------------------------------------------------------------- */

static void
test_construction_opens_nothing (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandRecord) record = strand_store_get (f->store, "job-17", NULL);

  g_assert_null (record);
  g_assert_cmpint (strand_store_count (f->store, NULL, NULL), ==, 0);
  g_assert_cmpint (strand_store_cleanup_expired (f->store, -1, NULL), ==, 0);
  g_assert_false (g_file_test (f->root, G_FILE_TEST_EXISTS));
}

static int
mode_of (const char *path)
{
  struct stat info;

  g_assert_cmpint (lstat (path, &info), ==, 0);
  return info.st_mode & 07777;
}

static void
test_records_are_private (Fixture *f, gconstpointer unused)
{
  g_autofree char *file = file_of (f->root, "job-17");
  g_autofree char *folder = g_path_get_dirname (file);
  mode_t old = umask (0);

  put (f->store, "job-17");
  umask (old);
  g_assert_cmpint (mode_of (file), ==, 0600);
  g_assert_cmpint (mode_of (folder), ==, 0700);
  g_assert_cmpint (mode_of (f->root), ==, 0700);
}

static void
test_file_is_readable_json (Fixture *f, gconstpointer unused)
{
  g_autofree char *file = file_of (f->root, "job-17");
  g_autofree char *text = NULL;

  put (f->store, "job-17");
  g_assert_true (g_file_get_contents (file, &text, NULL, NULL));
  g_assert_nonnull (strstr (text, "\"demo.add\""));
}

static void
test_file_of_another_program_is_a_record (Fixture *f, gconstpointer unused)
{
  g_autofree char *file = file_of (f->root, "job-17");
  g_autofree char *other = file_of (f->root, "job-18");
  g_autofree char *folder = g_path_get_dirname (other);
  g_autofree char *text = NULL;
  g_auto(GStrv) parts = NULL;
  g_autofree char *changed = NULL;

  put (f->store, "job-17");
  g_assert_true (g_file_get_contents (file, &text, NULL, NULL));
  parts = g_strsplit (text, "job-17", -1);
  changed = g_strjoinv ("job-18", parts);
  g_assert_cmpint (g_mkdir_with_parents (folder, 0700), ==, 0);
  write_file (other, changed, -1);
  assert_there (f->store, "job-18");
}

static void
assert_corrupt (StrandStore *store, const char *key, const char *path, const char *why)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandRecord) record = strand_store_get (store, key, &error);

  g_assert_null (record);
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT);
  g_assert_nonnull (strstr (error->message, path));
  if (strstr (error->message, why) == NULL)
    g_error ("'%s' does not say '%s'", error->message, why);
}

/* One listing of everything: how many records, and the names of what is none. */
static guint
list_all (StrandStore *store, GPtrArray *unreadable)
{
  g_autofree char *cursor = NULL;
  guint n = 0;

  do
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(StrandPage) page =
          strand_store_list (store, &(StrandFilter){ .kind = "*" }, cursor, 3, &error);

      g_assert_no_error (error);
      n += strand_page_get_records (page)->len;
      for (guint i = 0; i < strand_page_get_n_unreadable (page); i++)
        {
          const GError *why = NULL;

          g_ptr_array_add (unreadable, g_strdup (strand_page_get_unreadable (page, i, &why)));
          g_assert_nonnull (why);
          g_assert_nonnull (strstr (why->message, strand_page_get_unreadable (page, i, NULL)));
        }
      g_free (cursor);
      cursor = g_strdup (strand_page_get_next (page));
    }
  while (cursor != NULL);
  return n;
}

static gboolean
names (GPtrArray *unreadable, const char *path)
{
  return g_ptr_array_find_with_equal_func (unreadable, path, g_str_equal, NULL);
}

static void
test_files_that_are_no_records_are_named_and_skipped (Fixture *f, gconstpointer unused)
{
  static const char *const keys[] = {
    "torn", "empty", "garbage", "nul", "brackets", "renamed", "link", "pipe"
  };
  g_autoptr(GPtrArray) files = g_ptr_array_new_with_free_func (g_free);
  g_autoptr(GPtrArray) unreadable = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *brackets = g_strnfill (200000, '[');
  g_autofree char *good = file_of (f->root, "good");
  g_autofree char *folder = g_path_get_dirname (good);
  g_autofree char *foreign = g_build_filename (folder, "notes.txt", NULL);
  g_autofree char *strange = g_build_filename (folder, "caf\xe9.json", NULL);
  g_autofree char *beside = g_build_filename (f->root, "README", NULL);
  g_autofree char *misplaced = g_strdup_printf ("%s/job-17.json", folder);
  g_autofree char *text = NULL;
  g_auto(GStrv) parts = NULL;
  gsize length;

  put (f->store, "good");
  for (guint i = 0; i < G_N_ELEMENTS (keys); i++)
    {
      put (f->store, keys[i]);
      g_ptr_array_add (files, file_of (f->root, keys[i]));
    }
  g_assert_true (g_file_get_contents (files->pdata[0], &text, &length, NULL));
  write_file (files->pdata[0], text, length / 2);
  write_file (files->pdata[1], "", 0);
  write_file (files->pdata[2], "not json", -1);
  write_file (files->pdata[3], "\0\0\0\0\0\0\0\0", 8);
  write_file (files->pdata[4], brackets, -1);
  g_assert_cmpint (g_unlink (files->pdata[5]), ==, 0);
  g_assert_cmpint (link (good, files->pdata[5]), ==, 0);
  g_assert_cmpint (g_unlink (files->pdata[6]), ==, 0);
  g_assert_cmpint (symlink (good, files->pdata[6]), ==, 0);
  g_assert_cmpint (g_unlink (files->pdata[7]), ==, 0);
  g_assert_cmpint (mkfifo (files->pdata[7], 0600), ==, 0);
  write_file (foreign, "milk", -1);
  write_file (strange, "{}", -1);
  write_file (beside, "hello", -1);
  parts = g_strsplit (text, "torn", -1);
  g_free (text);
  text = g_strjoinv ("job-17", parts);
  write_file (misplaced, text, -1);

  assert_corrupt (f->store, "torn", files->pdata[0], "is not a record");
  assert_corrupt (f->store, "empty", files->pdata[1], "is empty");
  assert_corrupt (f->store, "garbage", files->pdata[2], "is not a record");
  assert_corrupt (f->store, "nul", files->pdata[3], "is not a record");
  assert_corrupt (f->store, "brackets", files->pdata[4], "is not a record");
  assert_corrupt (f->store, "renamed", files->pdata[5], "holds the record of 'good'");
  assert_corrupt (f->store, "link", files->pdata[6], "symbolic link");
  assert_corrupt (f->store, "pipe", files->pdata[7], "is empty");

  g_assert_cmpuint (list_all (f->store, unreadable), ==, 1);
  for (guint i = 0; i < files->len; i++)
    g_assert_true (names (unreadable, files->pdata[i]));
  g_assert_true (names (unreadable, foreign));
  g_assert_true (names (unreadable, beside));
  g_assert_true (names (unreadable, misplaced));
  g_assert_cmpuint (unreadable->len, ==, files->len + 4);
}

static void
test_corrupt_record_can_be_removed_not_overwritten (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandRecord) record = store_basics_record ("job-17");
  g_autofree char *file = file_of (f->root, "job-17");
  g_autoptr(GError) put_error = NULL;
  g_autoptr(GError) create_error = NULL;

  put (f->store, "job-17");
  write_file (file, "{", -1);
  g_assert_false (strand_store_put (f->store, record, 1, &put_error));
  g_assert_error (put_error, STRAND_ERROR, STRAND_ERROR_CORRUPT);
  g_assert_false (strand_store_put (f->store, record, 0, &create_error));
  g_assert_error (create_error, STRAND_ERROR, STRAND_ERROR_EXISTS);
  g_assert_true (strand_store_remove (f->store, "job-17", 0, NULL));
  put (f->store, "job-17");
}

static void
test_sync_modes_keep_records (void)
{
  static const char *const modes[] = { "none", "data", "full" };

  for (guint i = 0; i < G_N_ELEMENTS (modes); i++)
    {
      g_autofree char *root = make_place ();
      g_autoptr(StrandStore) store = open_root (root);
      GParamSpec *pspec = g_object_class_find_property (G_OBJECT_GET_CLASS (store), "sync");
      GEnumValue *value = g_enum_get_value_by_nick (G_PARAM_SPEC_ENUM (pspec)->enum_class, modes[i]);
      g_autoptr(StrandStore) synced =
          g_object_new (filesystem_store, "path", root, "sync", value->value, NULL);
      g_autoptr(StrandRecord) record = store_basics_record ("job-17");

      g_assert_true (strand_store_put (synced, record, 0, NULL));
      g_assert_true (strand_store_put (synced, record, 1, NULL));
      assert_there (store, "job-17");
      g_assert_true (strand_store_remove (synced, "job-17", 2, NULL));
      store_world_remove_above (g_steal_pointer (&root));
    }
}

static void
test_store_without_a_path_says_so (void)
{
  g_autoptr(StrandStore) store = g_object_new (filesystem_store, NULL);
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandRecord) record = strand_store_get (store, "job-17", &error);

  g_assert_null (record);
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT);
}

/* --- a directory that goes away ------------------------------------------------------------------------ */

static void
test_removed_directory_is_made_again (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandRecord) record = store_basics_record ("job-18");
  g_autoptr(GError) error = NULL;
  g_autoptr(GError) stale = NULL;
  g_autoptr(StrandRecord) read = NULL;

  put (f->store, "job-17");
  g_assert_true (strand_store_put (f->store, record, 0, NULL));
  store_world_remove_tree (f->root);
  read = strand_store_get (f->store, "job-17", &error);
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND);
  g_assert_cmpint (strand_store_count (f->store, NULL, NULL), ==, 0);
  g_assert_false (strand_store_put (f->store, record, 1, &stale));
  g_assert_error (stale, STRAND_ERROR, STRAND_ERROR_STALE);

  put (f->store, "job-17");
  assert_there (f->store, "job-17");
}

static void
test_path_that_is_a_file_is_no_directory (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandRecord) record = store_basics_record ("job-17");
  g_autoptr(GError) put_error = NULL;
  g_autoptr(GError) get_error = NULL;
  g_autoptr(GError) list_error = NULL;
  g_autoptr(StrandRecord) read = NULL;
  g_autoptr(StrandPage) page = NULL;

  write_file (f->root, "", 0);
  g_assert_false (strand_store_put (f->store, record, 0, &put_error));
  g_assert_error (put_error, G_IO_ERROR, G_IO_ERROR_NOT_DIRECTORY);
  g_assert_nonnull (strstr (put_error->message, f->root));
  read = strand_store_get (f->store, "job-17", &get_error);
  g_assert_error (get_error, G_IO_ERROR, G_IO_ERROR_NOT_DIRECTORY);
  page = strand_store_list (f->store, NULL, NULL, 1, &list_error);
  g_assert_error (list_error, G_IO_ERROR, G_IO_ERROR_NOT_DIRECTORY);
}

/* --- other processes ----------------------------------------------------------------------------------- */

static int
play_writer (const char *root)
{
  g_autoptr(StrandStore) store = open_root ((char *) root);

  return store_world_write (store);
}

static guint
count_temps (const char *root)
{
  guint n = 0;

  for (guint i = 0; i < 256; i++)
    {
      g_autofree char *folder = g_strdup_printf ("%s/%02x", root, i);
      g_autoptr(GDir) dir = g_dir_open (folder, 0, NULL);
      const char *name;

      while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
        n += g_str_has_prefix (name, ".tmp-");
    }
  return n;
}

static void
test_killed_writers_lose_nothing_that_was_accepted (Fixture *f, gconstpointer unused)
{
  g_autoptr(GPtrArray) unreadable = g_ptr_array_new_with_free_func (g_free);

  store_world_kill_writers (f->store, f->root);
  list_all (f->store, unreadable);
  g_assert_cmpuint (unreadable->len, ==, 0);
  g_test_message ("%u temporary files left", count_temps (f->root));
  g_assert_cmpint (strand_store_cleanup_expired (f->store, -1, NULL), ==, 0);
  g_assert_cmpuint (count_temps (f->root), ==, 0);
}

static void
test_only_dead_writers_temporary_files_are_collected (Fixture *f, gconstpointer unused)
{
  g_autofree char *alive = strand_lease_owner_self ("file");
  g_autofree char *file = file_of (f->root, "job-17");
  g_autofree char *folder = g_path_get_dirname (file);
  g_autofree char *live_temp = g_strdup_printf ("%s/.tmp-%s-7", folder, alive);
  g_autofree char *young_temp = g_strdup_printf ("%s/.tmp-file:0:1:2:3:4-7", folder);
  g_autofree char *old_temp = g_strdup_printf ("%s/.tmp-file:0:1:2:3:4-8", folder);
  struct timespec long_ago[2] = { { 1000, 0 }, { 1000, 0 } };

  put (f->store, "job-17");
  write_file (live_temp, "{", -1);
  write_file (young_temp, "{", -1);
  write_file (old_temp, "{", -1);
  g_assert_cmpint (utimensat (AT_FDCWD, old_temp, long_ago, 0), ==, 0);
  g_assert_cmpint (utimensat (AT_FDCWD, live_temp, long_ago, 0), ==, 0);

  g_assert_cmpint (strand_store_cleanup_expired (f->store, -1, NULL), ==, 0);
  g_assert_true (g_file_test (live_temp, G_FILE_TEST_EXISTS));
  g_assert_true (g_file_test (young_temp, G_FILE_TEST_EXISTS));
  g_assert_false (g_file_test (old_temp, G_FILE_TEST_EXISTS));
  assert_there (f->store, "job-17");
}

/* Role: stores one record. */
static int
play_put_once (const char *root)
{
  g_autoptr(StrandStore) store = open_root ((char *) root);

  put (store, "job-17");
  return 0;
}

static void
test_watcher_wakes_for_another_process (Fixture *f, gconstpointer unused)
{
  StoreBell bell;

  put (f->store, "job-18");
  store_bell_hang (&bell, f->store, "job-17");

  /* In a folder that is not there yet. */
  store_world_run ("--put-once", f->root);
  store_bell_await (&bell, "job-17", TRUE);

  /* And after the whole directory has gone and come back. */
  store_world_remove_tree (f->root);
  store_bell_await (&bell, "job-17", FALSE);
  store_world_run ("--put-once", f->root);
  store_bell_await (&bell, "job-17", TRUE);

  store_bell_take_down (&bell);
}

/* The number of the thread that watches, 0 if there is none, -1 if there are several. */
static int
find_watch (void)
{
  g_autoptr(GDir) tasks = g_dir_open ("/proc/self/task", 0, NULL);
  const char *task;
  int found = 0;

  while ((task = g_dir_read_name (tasks)) != NULL)
    {
      g_autofree char *file = g_build_filename ("/proc/self/task", task, "comm", NULL);
      g_autofree char *name = NULL;

      if (g_file_get_contents (file, &name, NULL, NULL) && strcmp (name, "strand-inotify\n") == 0)
        found = found == 0 ? atoi (task) : -1;
    }
  return found;
}

/* The thread that told of a change. */
static int
watch_once (Fixture *f, StrandStore *other)
{
  StoreBell bell;
  int found;

  store_bell_hang (&bell, f->store, "job-17");
  put (other, "job-17");
  store_bell_await (&bell, "job-17", TRUE);
  found = find_watch ();
  store_bell_take_down (&bell);
  g_assert_true (strand_store_remove (other, "job-17", 0, NULL));
  return found;
}

/* On a busy machine the rest may be over before it is. */
static gboolean
is_taken_up_again (Fixture *f, StrandStore *other)
{
  int before = watch_once (f, other);

  return before > 0 && watch_once (f, other) == before;
}

/* One who comes while the watch rests, and one who comes when it has ended. */
static void
test_watch_that_rests_is_taken_up_again (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandStore) other = open_root (f->root);

  wait_still (is_taken_up_again (f, other));
  wait_still (find_watch () == 0);
  g_assert_cmpint (watch_once (f, other), >, 0);
}

/* A folder may be full of records before it is watched; here it comes with them. */
static void
test_watcher_is_told_what_a_new_folder_brings (Fixture *f, gconstpointer unused)
{
  StoreBell bell;
  g_autofree char *other_root = make_place ();
  g_autoptr(StrandStore) other = open_root (other_root);
  g_autofree char *file = file_of (other_root, "job-17");
  g_autofree char *folder = g_path_get_dirname (file);
  g_autofree char *name = g_path_get_basename (folder);
  g_autofree char *place = g_build_filename (f->root, name, NULL);

  put (f->store, "job-18");
  put (other, "job-17");
  store_bell_hang (&bell, f->store, "job-17");
  g_assert_cmpint (g_rename (folder, place), ==, 0);
  store_bell_await (&bell, "job-17", TRUE);

  store_bell_take_down (&bell);
  store_world_remove_above (g_steal_pointer (&other_root));
}

/* --- the index ----------------------------------------------------------------------------------------- */

#define NOW_US G_GINT64_CONSTANT (1700000000000000)

static void
leave (StrandStore *store, const char *key, gint64 created_us)
{
  g_autoptr(StrandRecord) record = store_basics_record (key);
  g_autoptr(GError) error = NULL;

  strand_record_set_string (record, STRAND_FIELD_QUEUE, "q");
  strand_record_set_int (record, STRAND_FIELD_CREATED, created_us);
  strand_store_put (store, record, 0, &error);
  g_assert_no_error (error);
}

/* The key of the one that is claimed, NULL where nothing is due. */
static char *
claim_key (StrandStore *store)
{
  const char *const queues[] = { "q", NULL };
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) claimed =
      strand_store_claim (store, &(StrandClaim){ queues, "test:1", NOW_US, 1 }, NULL, &error);

  g_assert_no_error (error);
  return claimed->len > 0 ? g_strdup (strand_record_get_key (claimed->pdata[0])) : NULL;
}

static void
assert_claims (StrandStore *store, const char *expected)
{
  g_autofree char *key = claim_key (store);

  g_assert_cmpstr (key, ==, expected);
}

static gint64
count_status (StrandStore *store, StrandStatus status)
{
  return strand_store_count (store, &(StrandFilter){ .statuses = 1 << status }, NULL);
}

/* As an older strand left it: records, and no index. */
static void
test_old_directory_gets_an_index (Fixture *f, gconstpointer unused)
{
  g_autofree char *index = g_build_filename (f->root, "index", NULL);
  g_autofree char *complete = g_build_filename (index, "complete", NULL);

  leave (f->store, "second", NOW_US - 10);
  leave (f->store, "first", NOW_US - 20);
  put (f->store, "no-queue");
  store_world_remove_tree (index);

  g_assert_cmpint (count_status (f->store, STRAND_STATUS_PENDING), ==, 3);
  g_assert_true (g_file_test (complete, G_FILE_TEST_EXISTS));
  assert_claims (f->store, "first");
  assert_claims (f->store, "second");
  assert_claims (f->store, NULL);
  g_assert_cmpint (count_status (f->store, STRAND_STATUS_RUNNING), ==, 2);
}

/* A program that knows nothing of the index renames a record to its place. */
static void
test_cleanup_finds_records_without_entries (Fixture *f, gconstpointer unused)
{
  g_autofree char *index = g_build_filename (f->root, "index", NULL);
  g_autofree char *queues = g_build_filename (index, "queue", NULL);

  leave (f->store, "first", NOW_US - 20);
  store_world_remove_tree (queues);
  assert_claims (f->store, NULL);
  g_assert_cmpint (strand_store_cleanup_expired (f->store, -1, NULL), ==, 0);
  assert_claims (f->store, "first");
}

/* Entries say nothing that their records do not say. */
static void
test_entries_are_not_believed (Fixture *f, gconstpointer unused)
{
  g_autofree char *queue = g_build_filename (f->root, "index", "queue", "=q", NULL);
  g_autofree char *file = NULL;
  g_autoptr(GDir) dir = NULL;
  g_autofree char *copy = NULL;

  leave (f->store, "first", NOW_US - 20);
  dir = g_dir_open (queue, 0, NULL);
  file = g_build_filename (queue, g_dir_read_name (dir), NULL);
  assert_claims (f->store, "first");
  g_assert_false (g_file_test (file, G_FILE_TEST_EXISTS));

  write_file (file, "", 0);
  copy = g_strconcat (file, "-gone", NULL);
  write_file (copy, "", 0);
  assert_claims (f->store, NULL);
  g_assert_false (g_file_test (file, G_FILE_TEST_EXISTS));
  g_assert_cmpint (count_status (f->store, STRAND_STATUS_RUNNING), ==, 1);
}

/* More events than the kernel keeps for one who does not read them: 16384 unless it was told otherwise. */
static guint
count_max_events (void)
{
  g_autofree char *text = NULL;

  g_assert_true (g_file_get_contents ("/proc/sys/fs/inotify/max_queued_events", &text, NULL, NULL));
  return (guint) g_ascii_strtoull (text, NULL, 10);
}

/* Renames a file to and fro, so often that events are lost. */
static void
overflow (const char *folder)
{
  g_autofree char *one = g_build_filename (folder, "one", NULL);
  g_autofree char *other = g_build_filename (folder, "other", NULL);
  guint n = count_max_events () + 1000;

  write_file (one, "", 0);
  for (guint i = 0; i < n; i += 2)
    {
      g_assert_cmpint (g_rename (one, other), ==, 0);
      g_assert_cmpint (g_rename (other, one), ==, 0);
    }
  g_assert_cmpint (g_unlink (one), ==, 0);
}

static void
test_claim_sees_what_came_while_events_were_lost (Fixture *f, gconstpointer unused)
{
  g_autofree char *queue = g_build_filename (f->root, "index", "queue", "=q", NULL);
  g_autoptr(StrandStore) other = open_root (f->root);

  if (count_max_events () > 200000)
    {
      g_test_skip ("this kernel keeps too many events");
      return;
    }
  leave (other, "first", NOW_US - 100);
  assert_claims (f->store, "first"); /* from now on it is told of what comes */
  overflow (queue);
  leave (other, "second", NOW_US - 50);
  leave (other, "before-it", NOW_US - 60);
  assert_claims (f->store, "before-it");
  assert_claims (f->store, "second");
  assert_claims (f->store, NULL);
}

typedef struct
{
  GMutex lock;
  GCond changed;
  gboolean stuck, go_on, told_of_second;
} Sleeper;

/* Keeps the thread that reads events from reading more, once. */
static void
sleep_over_events (StrandStore *store, const char *key, gpointer data)
{
  Sleeper *sleeper = data;

  g_mutex_lock (&sleeper->lock);
  if (!sleeper->stuck)
    {
      sleeper->stuck = TRUE;
      g_cond_broadcast (&sleeper->changed);
      while (!sleeper->go_on)
        g_cond_wait (&sleeper->changed, &sleeper->lock);
    }
  g_mutex_unlock (&sleeper->lock);
}

static void
note_second (StrandStore *store, const char *key, gpointer data)
{
  Sleeper *sleeper = data;

  g_mutex_lock (&sleeper->lock);
  sleeper->told_of_second = TRUE;
  g_cond_broadcast (&sleeper->changed);
  g_mutex_unlock (&sleeper->lock);
}

static void
test_watchers_are_told_though_events_were_lost (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandStore) other = open_root (f->root);
  g_autofree char *file = file_of (f->root, "first");
  g_autofree char *folder = g_path_get_dirname (file);
  Sleeper sleeper = { .stuck = FALSE };
  guint first, second;

  if (count_max_events () > 200000)
    {
      g_test_skip ("this kernel keeps too many events");
      return;
    }
  /* Their folders are there, and watched. */
  put (other, "first");
  put (other, "second");
  g_assert_true (strand_store_remove (other, "first", 0, NULL));
  g_assert_true (strand_store_remove (other, "second", 0, NULL));
  first = strand_store_watch (f->store, "first", sleep_over_events, &sleeper, NULL);
  second = strand_store_watch (f->store, "second", note_second, &sleeper, NULL);
  put (other, "first");
  g_mutex_lock (&sleeper.lock);
  while (!sleeper.stuck)
    g_cond_wait (&sleeper.changed, &sleeper.lock);
  sleeper.told_of_second = FALSE;
  g_mutex_unlock (&sleeper.lock);

  overflow (folder);
  put (other, "second"); /* there is no room for its event */

  g_mutex_lock (&sleeper.lock);
  sleeper.go_on = TRUE;
  g_cond_broadcast (&sleeper.changed);
  while (!sleeper.told_of_second)
    g_cond_wait (&sleeper.changed, &sleeper.lock);
  g_mutex_unlock (&sleeper.lock);
  strand_store_unwatch (f->store, first);
  strand_store_unwatch (f->store, second);
}

/* The clock is stepped a day back, then two forward: nothing goes early, nothing stays for ever. */
static void
test_stepped_clock_expires_nothing_early (Fixture *f, gconstpointer unused)
{
  const gint64 day_us = G_GINT64_CONSTANT (24) * 3600 * G_USEC_PER_SEC;
  g_autoptr(StrandRecord) record = store_basics_record ("job-17");

  strand_clock_set_manual (NOW_US);
  strand_record_set_int (record, STRAND_FIELD_STATUS, STRAND_STATUS_FAILED);
  strand_record_set_int (record, STRAND_FIELD_COMPLETED, NOW_US);
  strand_record_set_int (record, STRAND_FIELD_TTL, day_us / 2);
  g_assert_true (strand_store_put (f->store, record, 0, NULL));

  strand_clock_set_wall (NOW_US - day_us);
  g_assert_cmpint (strand_store_cleanup_expired (f->store, -1, NULL), ==, 0);
  assert_there (f->store, "job-17");
  strand_clock_set_wall (NOW_US + day_us);
  g_assert_cmpint (strand_store_cleanup_expired (f->store, -1, NULL), ==, 1);
  g_assert_cmpint (strand_store_count (f->store, NULL, NULL), ==, 0);
  strand_clock_set_system ();
}

/* A limited cleanup goes on where the last one stopped, and looks at something each time. */
static void
test_short_cleanups_see_everything (Fixture *f, gconstpointer unused)
{
  guint n_left = 40;

  g_object_set (f->store, "auto-cleanup", FALSE, NULL);
  for (guint i = 0; i < n_left; i++)
    {
      g_autofree char *key = g_strdup_printf ("job-%u", i);
      g_autoptr(StrandRecord) record = store_basics_record (key);

      strand_record_set_int (record, STRAND_FIELD_STATUS, STRAND_STATUS_FAILED);
      strand_record_set_int (record, STRAND_FIELD_COMPLETED, 1);
      strand_record_set_int (record, STRAND_FIELD_TTL, 1);
      g_assert_true (strand_store_put (f->store, record, 0, NULL));
    }
  for (guint i = 0; n_left > 0; i++)
    {
      gint64 n = strand_store_cleanup_expired (f->store, 0, NULL);

      g_assert_cmpint (n, >=, 0);
      g_assert_cmpint (n, <=, 1);
      n_left -= (guint) n;
      g_assert_cmpuint (i, <, 10000);
    }
}

/* --- small and closed disks ----------------------------------------------------------------------------- */

/* Role: fills a small disk. Prints why it cannot, if it cannot. */
static int
play_full_disk (const char *root)
{
  g_autofree char *above = g_path_get_dirname (root);
  g_autoptr(StrandStore) store = NULL;
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandRecord) read = NULL;
  g_autofree char *text = g_strnfill (8 * 1024, 'x');
  guint n_stored = 0;
  guint64 expected = 1;

  if (!store_world_mount_small_disk (above, "256k"))
    return STORE_WORLD_SKIPPED;

  store = open_root ((char *) root);
  while (error == NULL)
    {
      g_autofree char *key = g_strdup_printf ("job-%u", n_stored);
      g_autoptr(StrandRecord) record = store_basics_record (key);

      strand_record_set_string (record, STRAND_FIELD_MESSAGE, text);
      if (strand_store_put (store, record, 0, &error))
        n_stored++;
    }
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_assert_nonnull (strstr (error->message, root));
  g_assert_nonnull (strstr (error->message, "free some space"));
  g_assert_cmpuint (n_stored, >, 5);

  /* All that was accepted is there, whole; a larger version that does not fit leaves the old one. */
  g_assert_cmpint (strand_store_count (store, NULL, NULL), ==, n_stored);
  g_assert_cmpuint (count_temps (root), ==, 0);
  g_clear_error (&error);
  while (error == NULL)
    {
      g_autofree char *more = g_strnfill (64 * 1024 * expected, 'y');

      g_clear_pointer (&read, strand_record_unref);
      read = strand_store_get (store, "job-0", &error);
      g_assert_no_error (error);
      strand_record_set_string (read, STRAND_FIELD_MESSAGE, more);
      if (strand_store_put (store, read, expected, &error))
        expected++;
    }
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  assert_there (store, "job-0");
  g_assert_cmpuint (count_temps (root), ==, 0);

  /* And with space it goes on. */
  g_assert_true (strand_store_remove (store, "job-1", 0, NULL));
  g_assert_true (strand_store_remove (store, "job-2", 0, NULL));
  put (store, "job-1");
  return 0;
}

static void
test_full_disk_loses_nothing (Fixture *f, gconstpointer unused)
{
  store_world_run ("--full-disk", f->root);
}

/* Role: what somebody without rights can and cannot do. */
static int
play_unprivileged (const char *root)
{
  g_autofree char *above = g_path_get_dirname (root);
  g_autofree char *closed = file_of (root, "closed");
  g_autoptr(StrandStore) store = open_root ((char *) root);
  g_autoptr(StrandRecord) record = store_basics_record ("new");
  g_autoptr(StrandRecord) open = NULL;
  g_autoptr(GPtrArray) unreadable = g_ptr_array_new_with_free_func (g_free);
  g_autoptr(GError) error = NULL;

  if (!store_world_give_up_rights (above))
    return STORE_WORLD_SKIPPED;

  put (store, "open");
  put (store, "closed");
  g_assert_cmpint (g_chmod (closed, 0), ==, 0);
  assert_corrupt (store, "closed", closed, "check its owner and mode");
  g_assert_cmpuint (list_all (store, unreadable), ==, 1);
  g_assert_true (names (unreadable, closed));
  g_assert_cmpuint (unreadable->len, ==, 1);

  /* A directory that may only be read. */
  for (guint i = 0; i < 256; i++)
    {
      g_autofree char *folder = g_strdup_printf ("%s/%02x", root, i);

      g_assert_true (g_chmod (folder, 0500) == 0 || errno == ENOENT);
    }
  g_assert_cmpint (g_chmod (root, 0500), ==, 0);
  open = strand_store_get (store, "open", &error);
  g_assert_no_error (error);
  g_assert_false (strand_store_put (store, record, 0, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
  g_assert_nonnull (strstr (error->message, root));
  g_clear_error (&error);
  g_assert_false (strand_store_put (store, open, 1, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
  g_clear_error (&error);
  g_assert_false (strand_store_remove (store, "open", 1, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
  g_clear_error (&error);
  assert_there (store, "open");

  /* A directory that is closed altogether is not an empty one. */
  g_clear_pointer (&open, strand_record_unref);
  g_assert_cmpint (g_chmod (root, 0), ==, 0);
  open = strand_store_get (store, "open", &error);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
  g_clear_error (&error);
  g_assert_null (strand_store_list (store, NULL, NULL, 1, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
  g_assert_cmpint (g_chmod (root, 0700), ==, 0);
  return 0;
}

static void
test_closed_files_and_directories_say_so (Fixture *f, gconstpointer unused)
{
  store_world_run ("--unprivileged", f->root);
}

static const StoreRole roles[] = { { "--writer", play_writer },
                                   { "--put-once", play_put_once },
                                   { "--full-disk", play_full_disk },
                                   { "--unprivileged", play_unprivileged },
                                   { NULL } };

#define ADD(name, run) g_test_add ("/filesystem-store/" name, Fixture, NULL, set_up, run, tear_down)

int
main (int argc, char **argv)
{
  int status;

  filesystem_store = store_basics_load ("filesystem-store");
  if (store_world_play (argc, argv, roles, &status))
    return status;
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);

  ADD ("construction-opens-nothing", test_construction_opens_nothing);
  ADD ("records-are-private", test_records_are_private);
  ADD ("file-is-readable-json", test_file_is_readable_json);
  ADD ("file-of-another-program-is-a-record", test_file_of_another_program_is_a_record);
  ADD ("files-that-are-no-records-are-named-and-skipped",
       test_files_that_are_no_records_are_named_and_skipped);
  ADD ("corrupt-record-can-be-removed-not-overwritten", test_corrupt_record_can_be_removed_not_overwritten);
  g_test_add_func ("/filesystem-store/sync-modes-keep-records", test_sync_modes_keep_records);
  g_test_add_func ("/filesystem-store/without-a-path-says-so", test_store_without_a_path_says_so);
  ADD ("removed-directory-is-made-again", test_removed_directory_is_made_again);
  ADD ("path-that-is-a-file-is-no-directory", test_path_that_is_a_file_is_no_directory);
  ADD ("killed-writers-lose-nothing-that-was-accepted", test_killed_writers_lose_nothing_that_was_accepted);
  ADD ("only-dead-writers-temporary-files-are-collected",
       test_only_dead_writers_temporary_files_are_collected);
  ADD ("watcher-wakes-for-another-process", test_watcher_wakes_for_another_process);
  ADD ("watch-that-rests-is-taken-up-again", test_watch_that_rests_is_taken_up_again);
  ADD ("watcher-is-told-what-a-new-folder-brings", test_watcher_is_told_what_a_new_folder_brings);
  ADD ("old-directory-gets-an-index", test_old_directory_gets_an_index);
  ADD ("cleanup-finds-records-without-entries", test_cleanup_finds_records_without_entries);
  ADD ("entries-are-not-believed", test_entries_are_not_believed);
  ADD ("claim-sees-what-came-while-events-were-lost", test_claim_sees_what_came_while_events_were_lost);
  ADD ("watchers-are-told-though-events-were-lost", test_watchers_are_told_though_events_were_lost);
  ADD ("stepped-clock-expires-nothing-early", test_stepped_clock_expires_nothing_early);
  ADD ("short-cleanups-see-everything", test_short_cleanups_see_everything);
  ADD ("full-disk-loses-nothing", test_full_disk_loses_nothing);
  ADD ("closed-files-and-directories-say-so", test_closed_files_and_directories_say_so);

  return g_test_run ();
}
