/* test-sqlite-store.c — what the sqlite store promises beyond what all do: between processes
 * that are killed, on full and closed disks, over databases that are newer, older, damaged or not ours.
 *
 * Some tests need another process: this program starts itself with a role as its first argument.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store-world.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

static GType sqlite_store;

typedef struct
{
  char *path;
  StrandStore *store;
} Fixture;

static gpointer
make_place (void)
{
  return store_world_make_path ("state/jobs.db");
}

/* The store makes the directory of its file. */
static void
remove_place (gpointer path)
{
  g_autofree char *folder = g_path_get_dirname (path);

  g_free (path);
  store_world_remove_above (g_steal_pointer (&folder));
}

static StrandStore *
open_place (gpointer path)
{
  return g_object_new (sqlite_store, "path", path, NULL);
}

static void
set_up (Fixture *f, gconstpointer unused)
{
  f->path = make_place ();
  f->store = open_place (f->path);
}

static void
tear_down (Fixture *f, gconstpointer unused)
{
  g_clear_object (&f->store);
  remove_place (f->path);
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

/* Another program's look at the database: runs SQL, returns the first number that it answers. */
static gint64
query (const char *path, const char *sql)
{
  sqlite3 *handle;
  sqlite3_stmt *statement;
  const char *rest = sql;
  gint64 answer = -1;

  g_assert_cmpint (sqlite3_open_v2 (path, &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL), ==,
                   SQLITE_OK);
  sqlite3_busy_timeout (handle, 30000);
  while (*rest != '\0')
    {
      int code = sqlite3_prepare_v2 (handle, rest, -1, &statement, &rest);

      if (code != SQLITE_OK)
        g_error ("%s: %s", sql, sqlite3_errmsg (handle));
      while ((code = sqlite3_step (statement)) == SQLITE_ROW)
        if (answer < 0)
          answer = sqlite3_column_int64 (statement, 0);
      if (code != SQLITE_DONE)
        g_error ("%s: %s", sql, sqlite3_errmsg (handle));
      sqlite3_finalize (statement);
    }
  sqlite3_close (handle);
  return answer;
}

static void
launch (Fixture *f, const char *key, gint64 created_s, gint64 not_before_s, gint64 priority)
{
  g_autoptr(StrandRecord) record = store_basics_record (key);

  strand_record_set_string (record, STRAND_FIELD_QUEUE, "mail");
  strand_record_set_int (record, STRAND_FIELD_CREATED, created_s * G_USEC_PER_SEC);
  strand_record_set_int (record, STRAND_FIELD_NOT_BEFORE, not_before_s * G_USEC_PER_SEC);
  strand_record_set_int (record, STRAND_FIELD_PRIORITY, priority);
  g_assert_true (strand_store_put (f->store, record, 0, NULL));
}

/* Claims all that is due, and says in which order: the keys, with commas. */
static char *
claim_all (Fixture *f, gint64 now_s, gint64 *next_due_s)
{
  static const char *const queues[] = { "mail", NULL };
  const StrandClaim claim = { queues, "reader-15000:test", now_s * G_USEC_PER_SEC, 100 };
  g_autoptr(GError) error = NULL;
  g_autoptr(GString) keys = g_string_new (NULL);
  gint64 next_due_us = -1;
  g_autoptr(GPtrArray) claimed = strand_store_claim (f->store, &claim, &next_due_us, &error);

  g_assert_no_error (error);
  for (guint i = 0; i < claimed->len; i++)
    g_string_append_printf (keys, "%s%s", i > 0 ? "," : "",
                            strand_record_get_key (g_ptr_array_index (claimed, i)));
  *next_due_s = next_due_us / G_USEC_PER_SEC;
  return g_string_free (g_steal_pointer (&keys), FALSE);
}

/* --- files --------------------------------------------------------------------------------------------- */

static void
test_construction_opens_nothing (Fixture *f, gconstpointer unused)
{
  g_autofree char *folder = g_path_get_dirname (f->path);
  g_autoptr(StrandRecord) record = strand_store_get (f->store, "job-17", NULL);

  g_assert_null (record);
  g_assert_cmpint (strand_store_count (f->store, NULL, NULL), ==, 0);
  g_assert_cmpint (strand_store_cleanup_expired (f->store, -1, NULL), ==, 0);
  g_assert_false (g_file_test (folder, G_FILE_TEST_EXISTS));
}

static int
mode_of (const char *path)
{
  struct stat info;

  g_assert_cmpint (lstat (path, &info), ==, 0);
  return info.st_mode & 07777;
}

static void
test_database_is_private (Fixture *f, gconstpointer unused)
{
  g_autofree char *folder = g_path_get_dirname (f->path);
  g_autofree char *log = g_strconcat (f->path, "-wal", NULL);
  g_autofree char *index = g_strconcat (f->path, "-shm", NULL);
  mode_t old = umask (0);

  put (f->store, "job-17");
  umask (old);
  g_assert_cmpint (mode_of (folder), ==, 0700);
  g_assert_cmpint (mode_of (f->path), ==, 0600);
  g_assert_cmpint (mode_of (log), ==, 0600);
  g_assert_cmpint (mode_of (index), ==, 0600);
}

static void
test_store_without_a_path_says_so (void)
{
  g_autoptr(StrandStore) store = g_object_new (sqlite_store, NULL);
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandRecord) record = strand_store_get (store, "job-17", &error);

  g_assert_null (record);
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT);
}

static void
test_sync_modes_keep_records (Fixture *f, gconstpointer unused)
{
  GParamSpec *pspec = g_object_class_find_property (G_OBJECT_GET_CLASS (f->store), "sync");
  GEnumClass *modes = G_PARAM_SPEC_ENUM (pspec)->enum_class;

  g_assert_cmpuint (modes->n_values, ==, 3);
  for (guint i = 0; i < modes->n_values; i++)
    {
      g_autoptr(StrandStore) synced =
          g_object_new (sqlite_store, "path", f->path, "sync", modes->values[i].value, NULL);
      g_autoptr(StrandRecord) record = store_basics_record ("job-17");

      g_assert_true (strand_store_put (synced, record, 0, NULL));
      g_assert_true (strand_store_put (synced, record, 1, NULL));
      assert_there (f->store, "job-17");
      g_assert_true (strand_store_remove (synced, "job-17", 2, NULL));
    }
}

static void
test_last_close_leaves_one_file (Fixture *f, gconstpointer unused)
{
  g_autofree char *log = g_strconcat (f->path, "-wal", NULL);

  put (f->store, "job-17");
  g_assert_true (g_file_test (log, G_FILE_TEST_EXISTS));
  strand_store_close (f->store);
  g_assert_false (g_file_test (log, G_FILE_TEST_EXISTS));
  g_assert_cmpint (query (f->path, "SELECT count(*) FROM records"), ==, 1);
}

/* Connections that are kept open must not go on writing into a file that nobody can find. */
static void
test_removed_database_is_made_again (Fixture *f, gconstpointer unused)
{
  g_autofree char *folder = g_path_get_dirname (f->path);
  g_autoptr(StrandRecord) record = store_basics_record ("job-18");
  g_autoptr(GError) error = NULL;
  g_autoptr(GError) stale = NULL;
  g_autoptr(StrandRecord) read = NULL;

  put (f->store, "job-17");
  g_assert_true (strand_store_put (f->store, record, 0, NULL));
  store_world_remove_tree (folder);
  read = strand_store_get (f->store, "job-17", &error);
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND);
  g_assert_cmpint (strand_store_count (f->store, NULL, NULL), ==, 0);
  g_assert_false (strand_store_put (f->store, record, 1, &stale));
  g_assert_error (stale, STRAND_ERROR, STRAND_ERROR_STALE);

  put (f->store, "job-17");
  assert_there (f->store, "job-17");
  g_assert_cmpint (query (f->path, "SELECT count(*) FROM records"), ==, 1);
}

/* --- databases that are not as they should be ------------------------------------------------------------
 */

/* Neither reading nor writing works, for this reason, and the message has these words. */
static void
assert_refused (Fixture *f, GQuark domain, int code, const char *words)
{
  g_autoptr(StrandRecord) record = store_basics_record ("job-18");
  g_autoptr(GError) get_error = NULL;
  g_autoptr(GError) put_error = NULL;
  g_autoptr(GError) list_error = NULL;
  g_autoptr(StrandRecord) read = strand_store_get (f->store, "job-17", &get_error);
  g_autoptr(StrandPage) page = strand_store_list (f->store, NULL, NULL, 1, &list_error);

  g_assert_null (read);
  g_assert_null (page);
  g_assert_true (g_error_matches (get_error, domain, code));
  g_assert_true (g_error_matches (list_error, domain, code));
  g_assert_false (strand_store_put (f->store, record, 0, &put_error));
  g_assert_true (g_error_matches (put_error, domain, code));
  g_assert_nonnull (strstr (put_error->message, f->path));
  if (strstr (put_error->message, words) == NULL)
    g_error ("'%s' does not say '%s'", put_error->message, words);
}

static void
test_newer_schema_is_refused (Fixture *f, gconstpointer unused)
{
  put (f->store, "job-17");
  strand_store_close (f->store);
  g_object_unref (f->store);
  f->store = open_place (f->path);
  query (f->path, "PRAGMA user_version = 4711");

  assert_refused (f, STRAND_ERROR, STRAND_ERROR_NOT_SUPPORTED,
                  "has schema 4711 and this strand knows those up to 3");
  g_assert_cmpint (query (f->path, "PRAGMA user_version"), ==, 4711);
}

static void
test_database_of_another_program_is_refused (Fixture *f, gconstpointer unused)
{
  g_autofree char *folder = g_path_get_dirname (f->path);

  g_assert_cmpint (g_mkdir (folder, 0700), ==, 0);
  query (f->path, "CREATE TABLE bookmarks (url TEXT); INSERT INTO bookmarks VALUES ('x')");
  assert_refused (f, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT, "another program's database");
  g_assert_cmpint (query (f->path, "SELECT count(*) FROM sqlite_schema"), ==, 1);
}

/* Made by a strand whose records had fewer fields; what a newer one adds is left alone. */
static void
test_missing_columns_are_added (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandRecord) read = NULL;
  g_autoptr(GError) error = NULL;

  put (f->store, "job-17");
  g_clear_object (&f->store);
  query (f->path, "ALTER TABLE records DROP COLUMN \"retry-of\"; ALTER TABLE records DROP COLUMN \"timeout\";"
                  "ALTER TABLE records ADD COLUMN \"colour\" TEXT; UPDATE records SET \"colour\" = 'blue'");

  f->store = open_place (f->path);
  read = strand_store_get (f->store, "job-17", &error);
  g_assert_no_error (error);
  g_assert_cmpint (strand_record_get_int (read, STRAND_FIELD_TIMEOUT), ==, -1);
  strand_record_set_string (read, STRAND_FIELD_RETRY_OF, "job-16");
  g_assert_true (strand_store_put (f->store, read, 1, &error));
  g_assert_no_error (error);
  g_assert_cmpint (query (f->path, "SELECT \"colour\" = 'blue' AND \"retry-of\" = 'job-16' FROM records"), ==,
                   1);
}

/* Made as an older strand made it, with a column of somebody else's. */
static void
make_old (Fixture *f, const char *name)
{
  g_autofree char *folder = g_path_get_dirname (f->path);
  g_autofree char *file = g_test_build_filename (G_TEST_DIST, "fixtures", "stores", name, NULL);
  g_autofree char *sql = NULL;
  g_autoptr(GError) error = NULL;

  g_assert_cmpint (g_mkdir (folder, 0700), ==, 0);
  g_file_get_contents (file, &sql, NULL, &error);
  g_assert_no_error (error);
  query (f->path, g_strstrip (sql));
}

static void
make_schema_1 (Fixture *f)
{
  make_old (f, "sqlite-schema-1.sql");
}

static void
test_schema_1_is_brought_up (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandRecord) waits = NULL;
  g_autoptr(StrandRecord) runs = NULL;
  g_autoptr(StrandRecord) failed = NULL;
  g_autoptr(GError) cause = NULL;
  g_autofree char *due = NULL;
  gint64 next_due_s;

  make_schema_1 (f);
  waits = strand_store_get (f->store, "waits", NULL);
  runs = strand_store_get (f->store, "runs", NULL);
  failed = strand_store_get (f->store, "failed", NULL);
  g_assert_cmpuint (strand_record_get_revision (waits), ==, 3);
  g_assert_cmpint (g_bytes_get_size (strand_record_get_bytes (waits, STRAND_FIELD_ARGUMENTS)), ==, 5);
  g_assert_cmpint (g_variant_n_children (strand_record_get_variant (waits, STRAND_FIELD_HEADERS)), ==, 1);
  g_assert_cmpstr (strand_record_get_string (runs, STRAND_FIELD_LEASE_OWNER), ==, "reader-15000:somebody");
  g_assert_cmpfloat (strand_record_get_double (runs, STRAND_FIELD_PROGRESS), ==, 0.5);
  cause = strand_record_dup_error (failed);
  g_assert_error (cause, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);

  g_assert_cmpint (strand_store_count (f->store, &(StrandFilter){ .kind = "*" }, NULL), ==, 6);
  g_assert_cmpint (query (f->path, "SELECT count(*) FROM records WHERE \"colour\" = 'blue'"), ==, 1);
  g_assert_cmpint (query (f->path, "PRAGMA user_version"), ==, 3);
  g_assert_cmpint (query (f->path, "SELECT count(*) FROM sqlite_schema WHERE name = 'records_1'"), ==, 0);
  due = claim_all (f, 1700000010, &next_due_s);
  g_assert_cmpstr (due, ==, "waits");
  g_assert_cmpint (next_due_s, ==, 1800000000);
}

/* Role: opens the database. */
static int
play_look_once (const char *path)
{
  g_autoptr(StrandStore) store = open_place ((char *) path);

  g_assert_cmpint (strand_store_count (store, &(StrandFilter){ .kind = "*" }, NULL), ==, 6);
  return 0;
}

static void
test_schema_2_is_brought_up (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandRecord) waits = NULL;
  g_autoptr(GPtrArray) items = NULL;
  g_autofree char *due = NULL;
  gint64 next_due_s;
  guint64 first;
  StoreBell bell;

  make_old (f, "sqlite-schema-2.sql");
  waits = strand_store_get (f->store, "waits", NULL);
  g_assert_cmpuint (strand_record_get_revision (waits), ==, 3);
  g_assert_cmpint (query (f->path, "SELECT count(*) FROM records WHERE \"colour\" = 'blue'"), ==, 1);
  g_assert_cmpint (strand_store_count (f->store, &(StrandFilter){ .kind = "*" }, NULL), ==, 6);
  g_assert_cmpint (query (f->path, "PRAGMA user_version"), ==, 3);
  due = claim_all (f, 1700000010, &next_due_s);
  g_assert_cmpstr (due, ==, "waits");
  g_assert_cmpint (next_due_s, ==, 1800000000);

  /* What calls have emitted is still there, goes with its record, and who watches hears of that. */
  items = strand_store_read_items (f->store, "runs", 2, 0, 10, &first, NULL);
  g_assert_cmpuint (items->len, ==, 2);
  store_bell_hang (&bell, f->store, "runs");
  store_world_run ("--remove-runs", f->path);
  store_bell_await (&bell, "runs", FALSE);
  store_bell_take_down (&bell);
  g_assert_cmpint (query (f->path, "SELECT count(*) FROM items"), ==, 0);
}

/* Whoever comes first does it, and once. */
static void
test_schema_1_is_brought_up_by_one_of_many (Fixture *f, gconstpointer unused)
{
  GPid pids[4];

  make_schema_1 (f);
  for (guint i = 0; i < G_N_ELEMENTS (pids); i++)
    pids[i] = store_world_start ("--look-once", f->path, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (pids); i++)
    g_assert_cmpint (store_world_reap (pids[i]), ==, 0);
}

static void
test_damaged_database_is_named_and_kept (Fixture *f, gconstpointer unused)
{
  g_autofree char *text = NULL;
  g_autofree char *after = NULL;
  g_autoptr(GError) error = NULL;
  gsize length, length_after;

  put (f->store, "job-17");
  g_clear_object (&f->store);
  g_assert_true (g_file_get_contents (f->path, &text, &length, &error));
  memset (text + 100, 0xaa, 2000);
  g_assert_true (g_file_set_contents (f->path, text, length, &error));
  f->store = open_place (f->path);

  assert_refused (f, STRAND_ERROR, STRAND_ERROR_CORRUPT, "move it aside");
  g_assert_true (g_file_get_contents (f->path, &after, &length_after, &error));
  g_assert_cmpmem (text, length, after, length_after);
}

static void
test_file_that_is_no_database_is_named_and_kept (Fixture *f, gconstpointer unused)
{
  g_autofree char *folder = g_path_get_dirname (f->path);
  g_autofree char *after = NULL;
  g_autofree char *text = g_strnfill (5000, 'x');

  g_assert_cmpint (g_mkdir (folder, 0700), ==, 0);
  g_assert_true (g_file_set_contents (f->path, text, -1, NULL));
  assert_refused (f, STRAND_ERROR, STRAND_ERROR_CORRUPT, "is damaged, or is no database");
  g_assert_true (g_file_get_contents (f->path, &after, NULL, NULL));
  g_assert_cmpstr (after, ==, text);
}

static void
test_path_that_is_a_directory_says_so (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandRecord) record = store_basics_record ("job-17");
  g_autoptr(GError) error = NULL;

  g_assert_cmpint (g_mkdir_with_parents (f->path, 0700), ==, 0);
  g_assert_false (strand_store_put (f->store, record, 0, &error));
  g_assert_nonnull (error);
  g_assert_nonnull (strstr (error->message, f->path));
}

static void
test_rows_that_are_no_records_are_named_and_skipped (Fixture *f, gconstpointer unused)
{
  static const char *const keys[] = { "status", "key", "progress", "type", "headers", "utf8" };
  g_autoptr(StrandPage) page = NULL;
  g_autoptr(StrandRecord) record = NULL;
  g_autoptr(GError) error = NULL;

  put (f->store, "good");
  for (guint i = 0; i < G_N_ELEMENTS (keys); i++)
    put (f->store, keys[i]);
  query (f->path, "UPDATE records SET \"status\" = 9 WHERE \"key\" = 'status';"
                  "UPDATE records SET \"key\" = '../key' WHERE \"key\" = 'key';"
                  "UPDATE records SET \"progress\" = 7 WHERE \"key\" = 'progress';"
                  "UPDATE records SET \"value-type\" = '((' WHERE \"key\" = 'type';"
                  "UPDATE records SET \"headers\" = '{\"a\":' WHERE \"key\" = 'headers';"
                  "UPDATE records SET \"message\" = CAST(x'ff00ff' AS TEXT) WHERE \"key\" = 'utf8'");

  page = strand_store_list (f->store, &(StrandFilter){ .kind = "*" }, NULL, 100, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (strand_page_get_records (page)->len, ==, 1);
  g_assert_cmpuint (strand_page_get_n_unreadable (page), ==, G_N_ELEMENTS (keys));
  for (guint i = 0; i < G_N_ELEMENTS (keys); i++)
    {
      const GError *why = NULL;
      const char *name = strand_page_get_unreadable (page, i, &why);

      g_assert_nonnull (strstr (name, f->path));
      g_assert_error (why, STRAND_ERROR, STRAND_ERROR_CORRUPT);
      g_assert_nonnull (strstr (why->message, name));
    }
  record = strand_store_get (f->store, "headers", &error);
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT);
  g_assert_nonnull (strstr (error->message, "field 'headers'"));
  g_assert_true (strand_store_remove (f->store, "headers", 0, NULL));
  put (f->store, "headers");
}

/* --- other programs ------------------------------------------------------------------------------------ */

static void
test_row_of_another_program_is_a_record (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandRecord) record = NULL;
  g_autoptr(GError) error = NULL;

  put (f->store, "job-17");
  query (f->path, "INSERT INTO records (\"key\", \"function\", \"queue\", \"serializer\", "
                  "\"arguments-type\", \"arguments\","
                  " \"revision\") VALUES ('from-sql', 'demo.add', 'mail', 'json', '(xx)', x'5b312c325d', 1)");
  record = strand_store_get (f->store, "from-sql", &error);
  g_assert_no_error (error);
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_TTL), ==, -1);
  g_assert_true (strand_store_put (f->store, record, 1, &error));
  g_assert_no_error (error);
  g_assert_cmpint (strand_store_count (f->store, &(StrandFilter){ .queue = "mail" }, NULL), ==, 1);
}

static void
test_claims_go_in_turn (Fixture *f, gconstpointer unused)
{
  g_autofree char *now = NULL;
  g_autofree char *later = NULL;
  gint64 next_due_s;

  launch (f, "third", 100, 0, 0);
  launch (f, "first", 110, 0, 1);
  launch (f, "fourth", 0, 120, 0);
  launch (f, "second", 119, 0, 1);
  launch (f, "first-of-all", 500, 0, G_MAXINT64); /* no overflow */
  launch (f, "last-of-all", 0, 0, G_MININT64);
  launch (f, "not-yet", 0, 300, 1000);
  launch (f, "nor-this", 0, 301, 1001);

  now = claim_all (f, 130, &next_due_s);
  g_assert_cmpstr (now, ==, "first-of-all,first,second,third,fourth,last-of-all");
  g_assert_cmpint (next_due_s, ==, 300);
  later = claim_all (f, 400, &next_due_s);
  g_assert_cmpstr (later, ==, "nor-this,not-yet");
  g_assert_cmpint (next_due_s, ==, 0);
}

/* Many are claimed by other statements than one is. */
static void
test_claims_of_many_are_kept (Fixture *f, gconstpointer unused)
{
  static const char *const queues[] = { "mail", NULL };
  const StrandClaim claim = { queues, "reader-15000:test", 130 * G_USEC_PER_SEC, 100 };
  g_autoptr(GPtrArray) claimed = NULL;

  for (guint i = 0; i < 39; i++)
    {
      g_autofree char *key = g_strdup_printf ("job-%02u", i);

      launch (f, key, 100 + i, 0, 0);
    }
  query (f->path, "UPDATE records SET \"fence\" = \"id\", \"attempt\" = \"id\" % 3, \"progress\" = 0.5, "
                  "\"message\" = 'half-way', \"items\" = 12, \"lease-counter\" = 7, \"started\" = 9");
  claimed = strand_store_claim (f->store, &claim, NULL, NULL);
  g_assert_nonnull (claimed);
  g_assert_cmpuint (claimed->len, ==, 39);
  for (guint i = 0; i < claimed->len; i++)
    {
      StrandRecord *record = g_ptr_array_index (claimed, i);
      g_autoptr(StrandRecord) kept = strand_store_get (f->store, strand_record_get_key (record), NULL);
      g_autoptr(GBytes) told = strand_record_to_json (record);
      g_autoptr(GBytes) json = strand_record_to_json (kept);

      g_assert_cmpstr (strand_record_get_string (kept, STRAND_FIELD_LEASE_OWNER), ==, "reader-15000:test");
      g_assert_cmpmem (g_bytes_get_data (json, NULL), g_bytes_get_size (json), g_bytes_get_data (told, NULL),
                       g_bytes_get_size (told));
    }
}

/* Another program knows nothing of the place where calls wait for their time; and clocks are set. */
static void
test_calls_in_the_wrong_place_are_moved (Fixture *f, gconstpointer unused)
{
  g_autofree char *none = NULL;
  g_autofree char *early = NULL;
  g_autofree char *both = NULL;
  gint64 next_due_s;

  put (f->store, "job-17");
  query (f->path,
         "INSERT INTO records (\"key\", \"function\", \"queue\", \"revision\", \"not-before\") VALUES"
         " ('from-sql', 'demo.add', 'mail', 1, 200000000), ('and-this', 'demo.add', 'mail', 1, 210000000)");
  none = claim_all (f, 100, &next_due_s);
  g_assert_cmpstr (none, ==, "");
  g_assert_cmpint (next_due_s, ==, 200);
  g_assert_cmpint (query (f->path, "SELECT sum(\"later\") FROM records"), ==, 2);

  query (f->path, "UPDATE records SET \"later\" = 0");
  early = claim_all (f, 100, &next_due_s);
  g_assert_cmpstr (early, ==, "");
  both = claim_all (f, 250, &next_due_s);
  g_assert_cmpstr (both, ==, "from-sql,and-this");
}

/* One value of each type, as sqlite-python.py expects it. */
#define METADATA                                                                                             \
  "@a{sv} {'b': <true>, 'y': <byte 255>, 'n': <int16 -32768>, 'q': <uint16 65535>, 'i': <-2147483648>, "     \
  "'u': <uint32 4294967295>, 'x': <int64 -9223372036854775808>, 't': <uint64 18446744073709551615>, "        \
  "'d': <0.1>, 'inf': <-inf>, 's': <'\303\251\\n\360\237\230\200'>, 'o': <objectpath '/org/example'>, "      \
  "'g': <signature 'a{sv}'>, 'v': <<1>>, 'ay': <[byte 0x00, 0xff]>, 'ai': <[1, -2]>, 'dict': <{'a': 1}>, "   \
  "'numbers': <{uint32 1: 'a'}>, 'tuple': <(1, 'x')>, 'unit': <()>, 'nothing': <@ms nothing>, "              \
  "'just': <@ms 'x'>, 'deep': <[[<@mmb just nothing>]]>}"

/* A record with something in every field that another program may look at. */
static StrandRecord *
new_full_record (void)
{
  static const char *const warnings[] = { "slow", NULL };
  StrandRecord *record = strand_record_new ("from-strand");
  g_autoptr(GError) cause = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "gone");
  g_autoptr(GBytes) arguments = g_bytes_new_static ("[2,3]", 5);
  guint8 all[256];
  g_autoptr(GBytes) value = NULL;

  for (guint i = 0; i < sizeof all; i++)
    all[i] = (guint8) i;
  value = g_bytes_new (all, sizeof all);
  strand_record_set_int (record, STRAND_FIELD_STATUS, STRAND_STATUS_FAILED);
  strand_record_set_string (record, STRAND_FIELD_FUNCTION, "demo.add");
  strand_record_set_string (record, STRAND_FIELD_QUEUE, "mail");
  strand_record_set_string (record, STRAND_FIELD_SERIALIZER, "json");
  strand_record_set_int (record, STRAND_FIELD_PRIORITY, G_MININT64);
  strand_record_set_int (record, STRAND_FIELD_NOT_BEFORE, G_MAXINT64);
  strand_record_set_int (record, STRAND_FIELD_ATTEMPT, 2);
  strand_record_set_double (record, STRAND_FIELD_PROGRESS, 0.1);
  strand_record_set_string (record, STRAND_FIELD_MESSAGE, "\303\251\n\360\237\230\200");
  strand_record_set_variant (record, STRAND_FIELD_HEADERS,
                             g_variant_new_parsed ("@a{ss} {'a\"b': 'c\\\\d'}"));
  strand_record_set_variant (record, STRAND_FIELD_METADATA, g_variant_new_parsed (METADATA));
  strand_record_set_variant (record, STRAND_FIELD_WARNINGS, g_variant_new_strv (warnings, -1));
  strand_record_add_cause (record, "alpha", cause);
  strand_record_set_string (record, STRAND_FIELD_ARGUMENTS_TYPE, "(xx)");
  strand_record_set_bytes (record, STRAND_FIELD_ARGUMENTS, arguments);
  strand_record_set_string (record, STRAND_FIELD_VALUE_TYPE, "ay");
  strand_record_set_bytes (record, STRAND_FIELD_VALUE, value);
  return record;
}

/* The same but for key and revision. */
static void
assert_same (StrandRecord *a, StrandRecord *b)
{
  g_autoptr(StrandRecord) copy = strand_record_copy (a);
  g_autoptr(GBytes) first = NULL;
  g_autoptr(GBytes) second = strand_record_to_json (b);

  strand_record_set_string (copy, STRAND_FIELD_KEY, strand_record_get_key (b));
  first = strand_record_to_json (copy);
  g_assert_cmpmem (g_bytes_get_data (first, NULL), g_bytes_get_size (first), g_bytes_get_data (second, NULL),
                   g_bytes_get_size (second));
}

static void
test_python_reads_and_writes (Fixture *f, gconstpointer unused)
{
  g_autofree char *script = g_test_build_filename (G_TEST_DIST, "plugins", "sqlite-python.py", NULL);
  const char *argv[] = { "python3", script, f->path, NULL };
  g_autoptr(StrandRecord) record = new_full_record ();
  g_autoptr(StrandRecord) changed = NULL;
  g_autoptr(StrandRecord) written = NULL;
  g_autoptr(StrandRecord) call = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *claimed = NULL;
  gint64 next_due_s;
  int status;

  g_assert_true (strand_store_put (f->store, record, 0, NULL));
  g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, &status, &error);
  if (g_error_matches (error, G_SPAWN_ERROR, G_SPAWN_ERROR_NOENT))
    {
      g_test_skip ("there is no python3");
      return;
    }
  g_assert_no_error (error);
  g_assert_cmpint (status, ==, 0);

  written = strand_store_get (f->store, "from-python", &error);
  g_assert_no_error (error);
  assert_same (record, written);
  changed = strand_store_get (f->store, "from-strand", NULL);
  g_assert_cmpuint (strand_record_get_revision (changed), ==, 2);
  claimed = claim_all (f, 1795338779, &next_due_s);
  g_assert_cmpstr (claimed, ==, "call");
  call = strand_store_get (f->store, "call", NULL);
  g_assert_cmpstr (strand_record_get_string (call, STRAND_FIELD_ARGUMENTS_TYPE), ==, "(xd)");
  g_assert_cmpmem (g_bytes_get_data (strand_record_get_bytes (call, STRAND_FIELD_ARGUMENTS), NULL),
                   g_bytes_get_size (strand_record_get_bytes (call, STRAND_FIELD_ARGUMENTS)),
                   "[9223372036854775807, 1.0000000000000002]", 41);
}

/* Role: stores one record. */
static int
play_put_once (const char *path)
{
  g_autoptr(StrandStore) store = open_place ((char *) path);

  put (store, "job-17");
  return 0;
}

/* Role: removes it. */
static int
play_remove_once (const char *path)
{
  g_autoptr(StrandStore) store = open_place ((char *) path);

  g_assert_true (strand_store_remove (store, "job-17", 0, NULL));
  return 0;
}

static int
play_remove_runs (const char *path)
{
  g_autoptr(StrandStore) store = open_place ((char *) path);

  g_assert_true (strand_store_remove (store, "runs", 0, NULL));
  return 0;
}

static int
play_writer (const char *path)
{
  g_autoptr(StrandStore) store = open_place ((char *) path);

  return store_world_write (store);
}

static void
test_watcher_wakes_for_another_process (Fixture *f, gconstpointer unused)
{
  g_autofree char *folder = g_path_get_dirname (f->path);
  StoreBell bell;

  /* In a directory that is not there yet. */
  store_bell_hang (&bell, f->store, "job-17");
  store_world_run ("--put-once", f->path);
  store_bell_await (&bell, "job-17", TRUE);
  store_world_run ("--remove-once", f->path);
  store_bell_await (&bell, "job-17", FALSE);
  store_world_run ("--put-once", f->path);
  store_bell_await (&bell, "job-17", TRUE);

  /* And after the whole directory has gone and come back. */
  store_world_remove_tree (folder);
  store_bell_await (&bell, "job-17", FALSE);
  store_world_run ("--put-once", f->path);
  store_bell_await (&bell, "job-17", TRUE);
  store_bell_take_down (&bell);
}

/* It does not ring. */
static void
test_watcher_wakes_for_another_program (Fixture *f, gconstpointer unused)
{
  StoreBell bell;

  put (f->store, "job-17");
  put (f->store, "job-18");
  store_bell_hang (&bell, f->store, "job-17");
  query (f->path, "UPDATE records SET \"key\" = 'job-19' WHERE \"key\" = 'job-17'");
  store_bell_await (&bell, "job-17", FALSE);
  query (f->path, "UPDATE records SET \"key\" = 'job-17' WHERE \"key\" = 'job-19'");
  store_bell_await (&bell, "job-17", TRUE);
  query (f->path, "DELETE FROM records WHERE \"key\" = 'job-17'");
  store_bell_await (&bell, "job-17", FALSE);
  store_bell_take_down (&bell);
}

static void
test_killed_writers_lose_nothing_that_was_accepted (Fixture *f, gconstpointer unused)
{
  store_world_kill_writers (f->store, f->path);
  g_assert_cmpint (query (f->path, "SELECT integrity_check = 'ok' FROM pragma_integrity_check"), ==, 1);
}

/* Who holds the lock of the database for ever is waited for so long and no longer. */
static void
test_locked_database_is_busy_after_a_while (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandStore) hasty = g_object_new (sqlite_store, "path", f->path, "busy-timeout",
                                                (gint64) 20 * G_TIME_SPAN_MILLISECOND, NULL);
  g_autoptr(StrandRecord) record = store_basics_record ("job-18");
  g_autoptr(GError) error = NULL;
  sqlite3 *handle;

  put (f->store, "job-17");
  g_assert_cmpint (sqlite3_open (f->path, &handle), ==, SQLITE_OK);
  g_assert_cmpint (sqlite3_exec (handle, "BEGIN IMMEDIATE", NULL, NULL, NULL), ==, SQLITE_OK);
  g_assert_false (strand_store_put (hasty, record, 0, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_BUSY);
  g_assert_nonnull (strstr (error->message, "busy-timeout"));
  assert_there (hasty, "job-17");

  g_assert_cmpint (sqlite3_exec (handle, "COMMIT", NULL, NULL, NULL), ==, SQLITE_OK);
  put (hasty, "job-18");
  sqlite3_close (handle);
}

typedef struct
{
  StrandStore *store;
  guint number;
  guint n_won;
} Thread;

static gpointer
put_from_thread (gpointer data)
{
  Thread *thread = data;

  for (guint i = 0; i < 200; i++)
    {
      g_autofree char *own = g_strdup_printf ("job-%u-%u", thread->number, i);
      g_autofree char *common = g_strdup_printf ("common-%u", i);
      g_autoptr(StrandRecord) first = store_basics_record (own);
      g_autoptr(StrandRecord) second = store_basics_record (common);
      g_autoptr(GError) error = NULL;

      g_assert_true (strand_store_put (thread->store, first, 0, NULL));
      if (strand_store_put (thread->store, second, 0, &error))
        thread->n_won++;
      else
        g_assert_error (error, STRAND_ERROR, STRAND_ERROR_EXISTS);
      g_assert_true (strand_store_remove (thread->store, own, 1, NULL));
      g_assert_true (strand_store_put (thread->store, first, 0, NULL));
    }
  return NULL;
}

/* Threads that write at once share transactions, and each has its own verdict. */
static void
test_threads_share_transactions (Fixture *f, gconstpointer unused)
{
  Thread threads[8];
  GThread *running[8];
  guint n_won = 0;

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    {
      threads[i] = (Thread){ f->store, i, 0 };
      running[i] = g_thread_new ("put", put_from_thread, &threads[i]);
    }
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    {
      g_thread_join (running[i]);
      n_won += threads[i].n_won;
    }
  g_assert_cmpuint (n_won, ==, 200);
  g_assert_cmpint (strand_store_count (f->store, NULL, NULL), ==, 8 * 200 + 200);
}

/* --- the machine --------------------------------------------------------------------------------------- */

/* Role: fills a small disk. */
static int
play_full_disk (const char *path)
{
  g_autofree char *folder = g_path_get_dirname (path);
  g_autofree char *ballast = g_build_filename (folder, "ballast", NULL);
  g_autofree char *text = g_strnfill (8 * 1024, 'x');
  g_autofree char *weight = g_strnfill (256 * 1024, 'x');
  g_autoptr(StrandStore) store = open_place ((char *) path);
  g_autoptr(GError) error = NULL;
  guint n_stored = 0;

  g_assert_cmpint (g_mkdir_with_parents (folder, 0700), ==, 0);
  if (!store_world_mount_small_disk (folder, "1M"))
    return STORE_WORLD_SKIPPED;

  g_assert_true (g_file_set_contents (ballast, weight, 256 * 1024, NULL));
  while (error == NULL)
    {
      g_autofree char *key = g_strdup_printf ("job-%u", n_stored);
      g_autoptr(StrandRecord) record = store_basics_record (key);

      strand_record_set_string (record, STRAND_FIELD_MESSAGE, text);
      if (strand_store_put (store, record, 0, &error))
        n_stored++;
    }
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_assert_nonnull (strstr (error->message, path));
  g_assert_nonnull (strstr (error->message, "free some space"));
  g_assert_cmpuint (n_stored, >, 5);

  /* All that was accepted is there, whole, and with space it goes on. */
  g_assert_cmpint (strand_store_count (store, NULL, NULL), ==, n_stored);
  g_assert_cmpint (g_unlink (ballast), ==, 0);
  for (guint i = 0; i < n_stored; i++)
    {
      g_autofree char *key = g_strdup_printf ("job-%u", i);

      assert_there (store, key);
    }
  put (store, "one-more");
  return 0;
}

static void
test_full_disk_loses_nothing (Fixture *f, gconstpointer unused)
{
  store_world_run ("--full-disk", f->path);
}

/* What can be read and what cannot be written where nothing may be written. */
static void
assert_read_only (StrandStore *store, int code)
{
  g_autoptr(StrandRecord) record = store_basics_record ("new");
  g_autoptr(StrandRecord) read = NULL;
  g_autoptr(GError) error = NULL;

  read = strand_store_get (store, "job-17", &error);
  g_assert_no_error (error);
  g_assert_cmpint (strand_store_count (store, NULL, &error), ==, 1);
  g_assert_no_error (error);
  g_assert_false (strand_store_put (store, record, 0, &error));
  g_assert_error (error, G_IO_ERROR, code);
  g_clear_error (&error);
  g_assert_false (strand_store_put (store, read, 1, &error));
  g_assert_error (error, G_IO_ERROR, code);
  g_clear_error (&error);
  g_assert_false (strand_store_remove (store, "job-17", 0, &error));
  g_assert_error (error, G_IO_ERROR, code);
  assert_there (store, "job-17");
}

/* Role: reads a database that nobody has open, on a file system that is mounted read-only. */
static int
play_read_only (const char *path)
{
  g_autofree char *folder = g_path_get_dirname (path);
  g_autoptr(StrandStore) store = open_place ((char *) path);

  if (!store_world_mount_read_only (folder))
    return STORE_WORLD_SKIPPED;
  assert_read_only (store, G_IO_ERROR_READ_ONLY);
  return 0;
}

static void
test_read_only_disk_can_be_read (Fixture *f, gconstpointer unused)
{
  put (f->store, "job-17");

  /* While this process has the log open, and when nobody has. */
  store_world_run ("--read-only", f->path);
  strand_store_close (f->store);
  store_world_run ("--read-only", f->path);
}

/* Role: what somebody without rights can and cannot do. */
static int
play_unprivileged (const char *path)
{
  g_autofree char *folder = g_path_get_dirname (path);
  g_autofree char *above = g_path_get_dirname (folder);
  g_autoptr(StrandStore) store = open_place ((char *) path);
  g_autoptr(StrandRecord) record = NULL;
  g_autoptr(GError) error = NULL;

  if (!store_world_give_up_rights (above))
    return STORE_WORLD_SKIPPED;
  put (store, "job-17");
  g_clear_object (&store);
  g_assert_cmpint (g_chmod (path, 0400), ==, 0);
  g_assert_cmpint (g_chmod (folder, 0500), ==, 0);
  store = open_place ((char *) path);
  assert_read_only (store, G_IO_ERROR_PERMISSION_DENIED);

  /* A file that is closed altogether is not an empty one. */
  g_assert_cmpint (g_chmod (path, 0), ==, 0);
  record = strand_store_get (store, "job-17", &error);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
  g_assert_nonnull (strstr (error->message, "check its owner and mode"));
  g_clear_error (&error);
  g_assert_cmpint (g_chmod (folder, 0), ==, 0);
  record = strand_store_get (store, "job-17", &error);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
  g_assert_cmpint (g_chmod (folder, 0700), ==, 0);
  return 0;
}

static void
test_closed_files_and_directories_say_so (Fixture *f, gconstpointer unused)
{
  store_world_run ("--unprivileged", f->path);
}

static const StoreRole roles[] = { { "--writer", play_writer },
                                   { "--look-once", play_look_once },
                                   { "--put-once", play_put_once },
                                   { "--remove-once", play_remove_once },
                                   { "--remove-runs", play_remove_runs },
                                   { "--full-disk", play_full_disk },
                                   { "--read-only", play_read_only },
                                   { "--unprivileged", play_unprivileged },
                                   { NULL } };

#define ADD(name, run) g_test_add ("/sqlite-store/" name, Fixture, NULL, set_up, run, tear_down)

int
main (int argc, char **argv)
{

  int status;

  sqlite_store = store_basics_load ("sqlite-store");
  if (store_world_play (argc, argv, roles, &status))
    return status;
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);

  ADD ("construction-opens-nothing", test_construction_opens_nothing);
  ADD ("database-is-private", test_database_is_private);
  g_test_add_func ("/sqlite-store/without-a-path-says-so", test_store_without_a_path_says_so);
  ADD ("last-close-leaves-one-file", test_last_close_leaves_one_file);
  ADD ("sync-modes-keep-records", test_sync_modes_keep_records);
  ADD ("removed-database-is-made-again", test_removed_database_is_made_again);
  ADD ("newer-schema-is-refused", test_newer_schema_is_refused);
  ADD ("database-of-another-program-is-refused", test_database_of_another_program_is_refused);
  ADD ("missing-columns-are-added", test_missing_columns_are_added);
  ADD ("schema-1-is-brought-up", test_schema_1_is_brought_up);
  ADD ("schema-1-is-brought-up-by-one-of-many", test_schema_1_is_brought_up_by_one_of_many);
  ADD ("schema-2-is-brought-up", test_schema_2_is_brought_up);
  ADD ("damaged-database-is-named-and-kept", test_damaged_database_is_named_and_kept);
  ADD ("file-that-is-no-database-is-named-and-kept", test_file_that_is_no_database_is_named_and_kept);
  ADD ("path-that-is-a-directory-says-so", test_path_that_is_a_directory_says_so);
  ADD ("rows-that-are-no-records-are-named-and-skipped", test_rows_that_are_no_records_are_named_and_skipped);
  ADD ("row-of-another-program-is-a-record", test_row_of_another_program_is_a_record);
  ADD ("claims-go-in-turn", test_claims_go_in_turn);
  ADD ("claims-of-many-are-kept", test_claims_of_many_are_kept);
  ADD ("calls-in-the-wrong-place-are-moved", test_calls_in_the_wrong_place_are_moved);
  ADD ("python-reads-and-writes", test_python_reads_and_writes);
  ADD ("watcher-wakes-for-another-process", test_watcher_wakes_for_another_process);
  ADD ("watcher-wakes-for-another-program", test_watcher_wakes_for_another_program);
  ADD ("killed-writers-lose-nothing-that-was-accepted", test_killed_writers_lose_nothing_that_was_accepted);
  ADD ("threads-share-transactions", test_threads_share_transactions);
  ADD ("locked-database-is-busy-after-a-while", test_locked_database_is_busy_after_a_while);
  ADD ("full-disk-loses-nothing", test_full_disk_loses_nothing);
  ADD ("read-only-disk-can-be-read", test_read_only_disk_can_be_read);
  ADD ("closed-files-and-directories-say-so", test_closed_files_and_directories_say_so);

  return g_test_run ();
}
