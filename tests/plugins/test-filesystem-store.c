/* test-filesystem-store.c — the store contract, and what the filesystem store promises beyond it: between
 * processes that are killed, on full and closed disks, beside files that are not ours.
 *
 * Some tests need another process: this program starts itself with a role as its first argument.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store-contract.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glib/gstdio.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEADLINE_US (30 * G_USEC_PER_SEC)

#define N_WRITERS 8
#define N_KEYS 20
#define N_KILLS 60
#define WRITES_PER_KILL 40

#define EXIT_SKIPPED 77
#define NOBODY 65534

static GType filesystem_store;
static char *self_path;

typedef struct
{
  char *root;
  StrandStore *store;
} Fixture;

static int
remove_one (const char *path, const struct stat *info, int kind, struct FTW *place)
{
  return remove (path);
}

static void
remove_tree (const char *path)
{
  nftw (path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Below the folder that GLib makes for each test; the store itself makes the last component. */
static char *
make_root (void)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *above = g_dir_make_tmp ("strand-store-XXXXXX", &error);

  g_assert_no_error (error);
  return g_build_filename (above, "records", NULL);
}

static void
remove_root (gpointer root)
{
  g_autofree char *above = g_path_get_dirname (root);

  remove_tree (above);
  g_free (root);
}

static gpointer
make_place (void)
{
  return make_root ();
}

static StrandStore *
open_root (gpointer root)
{
  return g_object_new (filesystem_store, "path", root, NULL);
}

static void
set_up (Fixture *f, gconstpointer unused)
{
  f->root = make_root ();
  f->store = open_root (f->root);
}

static void
tear_down (Fixture *f, gconstpointer unused)
{
  g_object_unref (f->store);
  remove_root (f->root);
}

static void
put (StrandStore *store, const char *key)
{
  g_autoptr (StrandRecord) record = store_contract_record (key);
  g_autoptr (GError) error = NULL;

  strand_store_put (store, record, 0, &error);
  g_assert_no_error (error);
}

static void
assert_there (StrandStore *store, const char *key)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (StrandRecord) record = strand_store_get (store, key, &error);

  g_assert_no_error (error);
  g_assert_nonnull (record);
}

/* The documented place of a record: 32-bit FNV-1a of the key, its lowest byte, in hexadecimal. */
static char *
file_of (const char *root, const char *key)
{
  guint32 hash = 2166136261u;

  for (const char *c = key; *c != '\0'; c++)
    hash = (hash ^ (guchar)*c) * 16777619u;
  return g_strdup_printf ("%s/%02x/%s.json", root, hash & 0xff, key);
}

static void
write_file (const char *path, const char *text, gssize length)
{
  g_autoptr (GError) error = NULL;

  g_file_set_contents (path, text, length, &error);
  g_assert_no_error (error);
}

/* --- files --------------------------------------------------------------------------------------------- */

static void
test_construction_opens_nothing (Fixture *f, gconstpointer unused)
{
  g_autoptr (StrandRecord) record = strand_store_get (f->store, "job-17", NULL);

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
  g_auto (GStrv) parts = NULL;
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
  g_autoptr (GError) error = NULL;
  g_autoptr (StrandRecord) record = strand_store_get (store, key, &error);

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
      g_autoptr (GError) error = NULL;
      g_autoptr (StrandPage) page =
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
  g_autoptr (GPtrArray) files = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) unreadable = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *brackets = g_strnfill (200000, '[');
  g_autofree char *good = file_of (f->root, "good");
  g_autofree char *folder = g_path_get_dirname (good);
  g_autofree char *foreign = g_build_filename (folder, "notes.txt", NULL);
  g_autofree char *strange = g_build_filename (folder, "caf\xe9.json", NULL);
  g_autofree char *beside = g_build_filename (f->root, "README", NULL);
  g_autofree char *misplaced = g_strdup_printf ("%s/job-17.json", folder);
  g_autofree char *text = NULL;
  g_auto (GStrv) parts = NULL;
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
  g_autoptr (StrandRecord) record = store_contract_record ("job-17");
  g_autofree char *file = file_of (f->root, "job-17");
  g_autoptr (GError) put_error = NULL;
  g_autoptr (GError) create_error = NULL;

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
      g_autofree char *root = make_root ();
      g_autoptr (StrandStore) store = open_root (root);
      GParamSpec *pspec = g_object_class_find_property (G_OBJECT_GET_CLASS (store), "sync");
      GEnumValue *value = g_enum_get_value_by_nick (G_PARAM_SPEC_ENUM (pspec)->enum_class, modes[i]);
      g_autoptr (StrandStore) synced =
          g_object_new (filesystem_store, "path", root, "sync", value->value, NULL);
      g_autoptr (StrandRecord) record = store_contract_record ("job-17");

      g_assert_true (strand_store_put (synced, record, 0, NULL));
      g_assert_true (strand_store_put (synced, record, 1, NULL));
      assert_there (store, "job-17");
      g_assert_true (strand_store_remove (synced, "job-17", 2, NULL));
      remove_root (g_steal_pointer (&root));
    }
}

static void
test_store_without_a_path_says_so (void)
{
  g_autoptr (StrandStore) store = g_object_new (filesystem_store, NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (StrandRecord) record = strand_store_get (store, "job-17", &error);

  g_assert_null (record);
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT);
}

/* --- a directory that goes away ------------------------------------------------------------------------ */

static void
test_removed_directory_is_made_again (Fixture *f, gconstpointer unused)
{
  g_autoptr (StrandRecord) record = store_contract_record ("job-18");
  g_autoptr (GError) error = NULL;
  g_autoptr (GError) stale = NULL;
  g_autoptr (StrandRecord) read = NULL;

  put (f->store, "job-17");
  g_assert_true (strand_store_put (f->store, record, 0, NULL));
  remove_tree (f->root);
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
  g_autoptr (StrandRecord) record = store_contract_record ("job-17");
  g_autoptr (GError) put_error = NULL;
  g_autoptr (GError) get_error = NULL;
  g_autoptr (GError) list_error = NULL;
  g_autoptr (StrandRecord) read = NULL;
  g_autoptr (StrandPage) page = NULL;

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

/* Starts this program with a role. Its standard output is the pipe. */
static GPid
start (const char *role, const char *root, int *out)
{
  g_autoptr (GError) error = NULL;
  const char *argv[] = { self_path, role, root, NULL };
  GPid pid;

  g_spawn_async_with_pipes (NULL, (char **)argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &pid, NULL, out,
                            NULL, &error);
  g_assert_no_error (error);
  return pid;
}

static int
reap (GPid pid)
{
  int status;

  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_spawn_close_pid (pid);
  return status;
}

/* Runs a role to its end; skips the test if it says that this machine cannot have it. */
static void
run_role (const char *role, const char *root)
{
  int out;
  GPid pid = start (role, root, &out);
  g_autoptr (GString) said = g_string_new (NULL);
  char buffer[4096];
  gssize n;
  int status;

  while ((n = read (out, buffer, sizeof buffer)) > 0)
    g_string_append_len (said, buffer, n);
  close (out);
  status = reap (pid);
  if (WIFEXITED (status) && WEXITSTATUS (status) == EXIT_SKIPPED)
    g_test_skip (said->str);
  else if (status != 0)
    g_error ("%s ended with status %x: %s", role, status, said->str);
}

/* Role: counts up random keys for ever, and says "KEY REVISION" for each write once it is accepted. */
static int
be_writer (const char *root)
{
  g_autoptr (StrandStore) store = open_root ((char *)root);

  for (;;)
    {
      g_autofree char *key = g_strdup_printf ("key-%d", g_random_int_range (0, N_KEYS));
      g_autoptr (GError) error = NULL;
      g_autoptr (StrandRecord) record = strand_store_get (store, key, &error);
      g_autofree char *line = NULL;
      guint64 revision;

      if (g_error_matches (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND))
        {
          g_clear_error (&error);
          record = store_contract_record (key);
        }
      g_assert_no_error (error);
      revision = strand_record_get_revision (record);
      strand_record_set_int (record, STRAND_FIELD_CRASHES, revision + 1);
      if (strand_store_put (store, record, revision, &error))
        {
          line = g_strdup_printf ("%s %" G_GUINT64_FORMAT "\n", key, revision + 1);
          if (write (STDOUT_FILENO, line, strlen (line)) < 0)
            return 0;
        }
      else if (!g_error_matches (error, STRAND_ERROR, STRAND_ERROR_STALE) &&
               !g_error_matches (error, STRAND_ERROR, STRAND_ERROR_EXISTS))
        g_error ("%s", error->message);
    }
}

typedef struct
{
  GPid pid;
  int out;
  GString *text; /* what was read and is no whole line yet */
} Writer;

/* Takes the whole lines that a writer has said. No revision of a key may be accepted twice. */
static guint
take_lines (Writer *writer, GHashTable *accepted, guint64 *highest)
{
  guint n = 0;
  char *end;

  while ((end = strchr (writer->text->str, '\n')) != NULL)
    {
      g_autofree char *line = g_strndup (writer->text->str, end - writer->text->str);
      guint key;
      guint64 revision;

      g_string_erase (writer->text, 0, end + 1 - writer->text->str);
      g_assert_cmpint (sscanf (line, "key-%u %" G_GUINT64_FORMAT, &key, &revision), ==, 2);
      highest[key] = MAX (highest[key], revision);
      g_assert_true (g_hash_table_add (accepted, g_steal_pointer (&line)));
      n++;
    }
  return n;
}

static void
hear (Writer *writer)
{
  char buffer[4096];
  gssize n = read (writer->out, buffer, sizeof buffer);

  g_assert_cmpint (n, >, 0);
  g_string_append_len (writer->text, buffer, n);
}

static void
kill_writer (Writer *writer, GHashTable *accepted, guint64 *highest)
{
  char buffer[4096];
  gssize n;

  g_assert_cmpint (kill (writer->pid, SIGKILL), ==, 0);
  g_assert_cmpint (WTERMSIG (reap (writer->pid)), ==, SIGKILL);
  while ((n = read (writer->out, buffer, sizeof buffer)) > 0)
    g_string_append_len (writer->text, buffer, n);
  take_lines (writer, accepted, highest);
  g_string_free (writer->text, TRUE);
  close (writer->out);
}

static void
start_writer (Writer *writer, const char *root)
{
  writer->pid = start ("--writer", root, &writer->out);
  writer->text = g_string_new (NULL);
}

/* Reads every key: whole, and never an older revision than was seen or accepted before. */
static void
look_at_all (StrandStore *store, guint64 *seen)
{
  for (guint i = 0; i < N_KEYS; i++)
    {
      g_autofree char *key = g_strdup_printf ("key-%u", i);
      g_autoptr (GError) error = NULL;
      g_autoptr (StrandRecord) record = strand_store_get (store, key, &error);

      if (seen[i] == 0 && g_error_matches (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND))
        continue;
      g_assert_no_error (error);
      g_assert_cmpuint (strand_record_get_revision (record), >=, seen[i]);
      g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_CRASHES), ==,
                       strand_record_get_revision (record));
      seen[i] = strand_record_get_revision (record);
    }
}

static guint
count_temps (const char *root)
{
  guint n = 0;

  for (guint i = 0; i < 256; i++)
    {
      g_autofree char *folder = g_strdup_printf ("%s/%02x", root, i);
      g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
      const char *name;

      while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
        n += g_str_has_prefix (name, ".tmp-");
    }
  return n;
}

static void
test_killed_writers_lose_nothing_that_was_accepted (Fixture *f, gconstpointer unused)
{
  g_autoptr (GHashTable) accepted = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr (GPtrArray) unreadable = g_ptr_array_new_with_free_func (g_free);
  guint64 seen[N_KEYS] = { 0 };
  Writer writers[N_WRITERS];
  guint n_heard = 0;

  for (guint i = 0; i < N_WRITERS; i++)
    start_writer (&writers[i], f->root);
  for (guint n_kills = 0; n_kills < N_KILLS;)
    {
      GPollFD fds[N_WRITERS];

      for (guint i = 0; i < N_WRITERS; i++)
        fds[i] = (GPollFD){ writers[i].out, G_IO_IN, 0 };
      g_assert_cmpint (g_poll (fds, N_WRITERS, DEADLINE_US / 1000), >, 0);
      for (guint i = 0; i < N_WRITERS; i++)
        if (fds[i].revents & G_IO_IN)
          {
            hear (&writers[i]);
            n_heard += take_lines (&writers[i], accepted, seen);
          }
      look_at_all (f->store, seen);
      if (n_heard >= WRITES_PER_KILL)
        {
          Writer *victim = &writers[g_test_rand_int_range (0, N_WRITERS)];

          kill_writer (victim, accepted, seen);
          start_writer (victim, f->root);
          n_heard = 0;
          n_kills++;
        }
    }
  for (guint i = 0; i < N_WRITERS; i++)
    kill_writer (&writers[i], accepted, seen);

  look_at_all (f->store, seen);
  g_assert_cmpuint (list_all (f->store, unreadable), ==, N_KEYS);
  g_assert_cmpuint (unreadable->len, ==, 0);
  g_test_message ("%u writes accepted, %u temporary files left", g_hash_table_size (accepted),
                  count_temps (f->root));
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

typedef struct
{
  GMutex lock;
  GCond told;
  guint n_told;
  guint n_heard; /* the test's own: how many of these it has seen */
} Bell;

static void
ring (StrandStore *store, const char *key, gpointer data)
{
  Bell *bell = data;

  g_mutex_lock (&bell->lock);
  bell->n_told++;
  g_cond_broadcast (&bell->told);
  g_mutex_unlock (&bell->lock);
}

/* Waits until the bell has rung since it was last awaited and the record is there, or is not. */
static void
await_record (StrandStore *store, Bell *bell, gboolean there)
{
  gint64 deadline_us = g_get_monotonic_time () + DEADLINE_US;
  guint before = bell->n_heard;
  gboolean is_there = !there;

  while (is_there != there)
    {
      g_autoptr (StrandRecord) record = NULL;

      g_mutex_lock (&bell->lock);
      while (bell->n_told == before)
        if (!g_cond_wait_until (&bell->told, &bell->lock, deadline_us))
          g_error ("nobody told of the change");
      before = bell->n_told;
      g_mutex_unlock (&bell->lock);

      record = strand_store_get (store, "job-17", NULL);
      is_there = record != NULL;
    }
  bell->n_heard = before;
}

/* Role: stores one record. */
static int
be_put_once (const char *root)
{
  g_autoptr (StrandStore) store = open_root ((char *)root);

  put (store, "job-17");
  return 0;
}

static void
test_watcher_wakes_for_another_process (Fixture *f, gconstpointer unused)
{
  Bell bell = { 0 };
  guint id;

  g_mutex_init (&bell.lock);
  g_cond_init (&bell.told);
  put (f->store, "job-18");
  id = strand_store_watch (f->store, "job-17", ring, &bell, NULL);

  /* In a folder that is not there yet. */
  run_role ("--put-once", f->root);
  await_record (f->store, &bell, TRUE);

  /* And after the whole directory has gone and come back. */
  remove_tree (f->root);
  await_record (f->store, &bell, FALSE);
  run_role ("--put-once", f->root);
  await_record (f->store, &bell, TRUE);

  strand_store_unwatch (f->store, id);
  g_cond_clear (&bell.told);
  g_mutex_clear (&bell.lock);
}

/* A folder may be full of records before it is watched; here it comes with them. */
static void
test_watcher_is_told_what_a_new_folder_brings (Fixture *f, gconstpointer unused)
{
  Bell bell = { 0 };
  g_autofree char *other_root = make_root ();
  g_autoptr (StrandStore) other = open_root (other_root);
  g_autofree char *file = file_of (other_root, "job-17");
  g_autofree char *folder = g_path_get_dirname (file);
  g_autofree char *name = g_path_get_basename (folder);
  g_autofree char *place = g_build_filename (f->root, name, NULL);
  guint id;

  g_mutex_init (&bell.lock);
  g_cond_init (&bell.told);
  put (f->store, "job-18");
  put (other, "job-17");
  id = strand_store_watch (f->store, "job-17", ring, &bell, NULL);
  g_assert_cmpint (g_rename (folder, place), ==, 0);
  await_record (f->store, &bell, TRUE);

  strand_store_unwatch (f->store, id);
  g_cond_clear (&bell.told);
  g_mutex_clear (&bell.lock);
  remove_root (g_steal_pointer (&other_root));
}

/* Role: fills a small disk. Prints why it cannot, if it cannot. */
static int
be_on_full_disk (const char *root)
{
  g_autofree char *above = g_path_get_dirname (root);
  g_autoptr (StrandStore) store = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (StrandRecord) read = NULL;
  g_autofree char *text = g_strnfill (8 * 1024, 'x');
  guint n_stored = 0;
  guint64 expected = 1;

  if (unshare (CLONE_NEWNS) != 0 && unshare (CLONE_NEWUSER | CLONE_NEWNS) != 0)
    {
      g_print ("needs a mount namespace: %s", g_strerror (errno));
      return EXIT_SKIPPED;
    }
  if (mount (NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
      mount ("tmpfs", above, "tmpfs", 0, "size=256k,mode=0700") != 0)
    {
      g_print ("needs to mount a tmpfs: %s", g_strerror (errno));
      return EXIT_SKIPPED;
    }

  store = open_root ((char *)root);
  while (error == NULL)
    {
      g_autofree char *key = g_strdup_printf ("job-%u", n_stored);
      g_autoptr (StrandRecord) record = store_contract_record (key);

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
  run_role ("--full-disk", f->root);
}

/* Role: what somebody without rights can and cannot do. */
static int
be_unprivileged (const char *root)
{
  g_autofree char *above = g_path_get_dirname (root);
  g_autofree char *closed = file_of (root, "closed");
  g_autoptr (StrandStore) store = open_root ((char *)root);
  g_autoptr (StrandRecord) record = store_contract_record ("new");
  g_autoptr (StrandRecord) open = NULL;
  g_autoptr (GPtrArray) unreadable = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GError) error = NULL;

  if (geteuid () == 0 && (chown (above, NOBODY, NOBODY) != 0 || setgid (NOBODY) != 0 || setuid (NOBODY) != 0))
    {
      g_print ("cannot give up root: %s", g_strerror (errno));
      return EXIT_SKIPPED;
    }

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
  run_role ("--unprivileged", f->root);
}

static int
play (const char *role, const char *root)
{
  if (strcmp (role, "--writer") == 0)
    return be_writer (root);
  if (strcmp (role, "--put-once") == 0)
    return be_put_once (root);
  if (strcmp (role, "--full-disk") == 0)
    return be_on_full_disk (root);
  return be_unprivileged (root);
}

#define ADD(name, run) g_test_add ("/filesystem-store/" name, Fixture, NULL, set_up, run, tear_down)

int
main (int argc, char **argv)
{
  static const StoreContract contract = { make_place, remove_root, open_root, TRUE };

  self_path = g_file_read_link ("/proc/self/exe", NULL);
  filesystem_store = store_contract_load ("filesystem-store");
  if (argc == 3 && g_str_has_prefix (argv[1], "--") && *argv[2] == '/')
    return play (argv[1], argv[2]);
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);

  store_contract_add ("/filesystem-store/contract", &contract);
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
  ADD ("watcher-is-told-what-a-new-folder-brings", test_watcher_is_told_what_a_new_folder_brings);
  ADD ("full-disk-loses-nothing", test_full_disk_loses_nothing);
  ADD ("closed-files-and-directories-say-so", test_closed_files_and_directories_say_so);

  return g_test_run ();
}
