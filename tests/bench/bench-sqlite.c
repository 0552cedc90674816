/* bench-sqlite.c — the sqlite store beside prepared statements of the same library with the same pragmas.
 *
 * The peer keeps the same bytes in the simplest table that can hold them (key, revision, record as JSON), one
 * row a transaction; the store has a column for each field, indexes, and numbers its writes for watchers.
 * Store and peer take turns, on new rows each time. Then: what a get and a look for pending work cost among
 * many records that have ended, and how soon a watcher in another process has a record.
 *
 * `bench-sqlite full` does the first with sync=full, `bench-sqlite 1000000` the second with so many records.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include <gio/gio.h>
#include <glib/gstdio.h>
#include <sqlite3.h>
#include <strand.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define N_RECORDS 2000
#define N_RECORDS_FULL 200
#define N_ROUNDS 5
#define N_WAKES 1000
#define N_LOOKS 2000

static GType sqlite_store;

/* What a finished call of a small function leaves: some 700 bytes as JSON. */
static StrandRecord *
new_record (const char *prefix, guint round, guint number)
{
  g_autofree char *key = g_strdup_printf ("%s-%u-%u", prefix, round, number);
  g_autoptr(GBytes) arguments = g_bytes_new_static ("[\"/usr/share/doc/adduser/examples/README\"]", 40);
  g_autoptr(GBytes) value =
      g_bytes_new_static ("\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"", 66);
  StrandRecord *record = strand_record_new (key);

  strand_record_set_string (record, STRAND_FIELD_FUNCTION, "bench.sha256");
  strand_record_set_string (record, STRAND_FIELD_SERIALIZER, "json");
  strand_record_set_int (record, STRAND_FIELD_STATUS, STRAND_STATUS_COMPLETED);
  strand_record_set_int (record, STRAND_FIELD_ATTEMPT, 1);
  strand_record_set_int (record, STRAND_FIELD_CREATED, 1700000000000000);
  strand_record_set_int (record, STRAND_FIELD_STARTED, 1700000000000100);
  strand_record_set_int (record, STRAND_FIELD_COMPLETED, 1700000000000200);
  strand_record_set_string (record, STRAND_FIELD_ARGUMENTS_TYPE, "(s)");
  strand_record_set_bytes (record, STRAND_FIELD_ARGUMENTS, arguments);
  strand_record_set_string (record, STRAND_FIELD_VALUE_TYPE, "s");
  strand_record_set_bytes (record, STRAND_FIELD_VALUE, value);
  return record;
}

static StrandStore *
open_store (const char *work, gboolean full)
{
  g_autofree char *path = g_build_filename (work, "store.db", NULL);
  GParamSpec *pspec = g_object_class_find_property (g_type_class_peek (sqlite_store), "sync");
  GEnumValue *sync =
      g_enum_get_value_by_nick (G_PARAM_SPEC_ENUM (pspec)->enum_class, full ? "full" : "normal");

  return g_object_new (sqlite_store, "path", path, "sync", sync->value, "auto-cleanup", FALSE, NULL);
}

/* --- beside prepared statements ------------------------------------------------------------------------ */

typedef struct
{
  sqlite3 *handle;
  sqlite3_stmt *insert, *update, *select;
} Peer;

static void
peer_open (Peer *peer, const char *work, gboolean full)
{
  g_autofree char *path = g_build_filename (work, "peer.db", NULL);

  g_assert (sqlite3_open_v2 (path, &peer->handle,
                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                             NULL) == SQLITE_OK);
  sqlite3_exec (peer->handle, "PRAGMA journal_mode = WAL", NULL, NULL, NULL);
  sqlite3_exec (peer->handle, full ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL", NULL, NULL,
                NULL);
  sqlite3_exec (
      peer->handle,
      "CREATE TABLE records (key TEXT PRIMARY KEY, revision INTEGER NOT NULL, record BLOB NOT NULL)", NULL,
      NULL, NULL);
  sqlite3_prepare_v2 (peer->handle, "INSERT INTO records VALUES (?1, 1, ?2)", -1, &peer->insert, NULL);
  sqlite3_prepare_v2 (
      peer->handle, "UPDATE records SET revision = revision + 1, record = ?2 WHERE key = ?1 AND revision = 1",
      -1, &peer->update, NULL);
  sqlite3_prepare_v2 (peer->handle, "SELECT revision, record FROM records WHERE key = ?1", -1, &peer->select,
                      NULL);
  g_assert (peer->insert != NULL && peer->update != NULL && peer->select != NULL);
}

static void
peer_close (Peer *peer)
{
  sqlite3_finalize (peer->insert);
  sqlite3_finalize (peer->update);
  sqlite3_finalize (peer->select);
  sqlite3_close (peer->handle);
}

/* Each phase returns operations a second. */

static double
peer_write (sqlite3_stmt *statement, GPtrArray *records, GBytes *bytes)
{
  double start = bench_seconds ();
  gsize size;
  const void *data = g_bytes_get_data (bytes, &size);

  for (guint i = 0; i < records->len; i++)
    {
      sqlite3_bind_text (statement, 1, strand_record_get_key (records->pdata[i]), -1, SQLITE_STATIC);
      sqlite3_bind_blob (statement, 2, data, size, SQLITE_STATIC);
      g_assert (sqlite3_step (statement) == SQLITE_DONE);
      sqlite3_reset (statement);
    }
  return records->len / (bench_seconds () - start);
}

static double
peer_read (sqlite3_stmt *statement, GPtrArray *records)
{
  double start = bench_seconds ();

  for (guint i = 0; i < records->len; i++)
    {
      sqlite3_bind_text (statement, 1, strand_record_get_key (records->pdata[i]), -1, SQLITE_STATIC);
      g_assert (sqlite3_step (statement) == SQLITE_ROW && sqlite3_column_blob (statement, 1) != NULL);
      sqlite3_reset (statement);
    }
  return records->len / (bench_seconds () - start);
}

static double
put_records (StrandStore *store, GPtrArray *records)
{
  double start = bench_seconds ();

  for (guint i = 0; i < records->len; i++)
    {
      StrandRecord *record = records->pdata[i];

      if (!strand_store_put (store, record, strand_record_get_revision (record), NULL))
        g_error ("could not put '%s'", strand_record_get_key (record));
    }
  return records->len / (bench_seconds () - start);
}

static double
get_records (StrandStore *store, GPtrArray *records)
{
  double start = bench_seconds ();

  for (guint i = 0; i < records->len; i++)
    {
      g_autoptr(StrandRecord) record =
          strand_store_get (store, strand_record_get_key (records->pdata[i]), NULL);

      g_assert (record != NULL);
    }
  return records->len / (bench_seconds () - start);
}

static void
report (const char *what, gboolean full, double *own, double *peer)
{
  g_autofree char *name = g_strdup_printf ("sqlite store: %s, sync=%s", what, full ? "full" : "normal");

  bench_report (name, bench_median (own, N_ROUNDS), "records/s", bench_median (peer, N_ROUNDS),
                "prepared statement");
}

static void
compare_with_statements (const char *work, gboolean full)
{
  g_autoptr(StrandStore) store = open_store (work, full);
  double put[N_ROUNDS], change[N_ROUNDS], get[N_ROUNDS];
  double create[N_ROUNDS], replace[N_ROUNDS], read[N_ROUNDS];
  Peer peer;

  peer_open (&peer, work, full);
  for (guint round = 0; round < N_ROUNDS; round++)
    {
      g_autoptr(GPtrArray) records = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_record_unref);
      g_autoptr(GBytes) bytes = NULL;

      for (guint i = 0; i < (full ? N_RECORDS_FULL : N_RECORDS); i++)
        g_ptr_array_add (records, new_record ("bench", round, i));
      bytes = strand_record_to_json (records->pdata[0]);

      create[round] = peer_write (peer.insert, records, bytes);
      put[round] = put_records (store, records);
      replace[round] = peer_write (peer.update, records, bytes);
      change[round] = put_records (store, records);
      read[round] = peer_read (peer.select, records);
      get[round] = get_records (store, records);
    }
  report ("put a new record", full, put, create);
  report ("put a changed record", full, change, replace);
  report ("get", full, get, read);
  peer_close (&peer);
  strand_store_close (store);
}

/* --- among many records -------------------------------------------------------------------------------- */

/* Fills the store up in SQL, as a million puts would take a minute. */
static void
fill (const char *work, guint n_from, guint n_to)
{
  g_autofree char *path = g_build_filename (work, "store.db", NULL);
  g_autofree char *sql =
      g_strdup_printf ("WITH RECURSIVE n (i) AS (VALUES (%u) UNION ALL SELECT i + 1 FROM n WHERE i < %u)"
                       "INSERT INTO records (\"key\", \"revision\", \"function\", \"status\", \"completed\", "
                       "\"ttl\", \"value-type\", \"value\")"
                       " SELECT 'ended-' || i, 1, 'bench.sha256', 2, 1700000000000000, 9000000000000000, "
                       "'s', randomblob(300) FROM n",
                       n_from, n_to - 1);
  sqlite3 *handle;

  g_assert (sqlite3_open (path, &handle) == SQLITE_OK);
  if (sqlite3_exec (handle, sql, NULL, NULL, NULL) != SQLITE_OK)
    g_error ("%s", sqlite3_errmsg (handle));
  sqlite3_close (handle);
}

/* Microseconds for one. */
static double
measure_get (StrandStore *store, guint n_records)
{
  double start = bench_seconds ();

  for (guint i = 0; i < N_LOOKS; i++)
    {
      g_autofree char *key = g_strdup_printf ("ended-%d", g_random_int_range (0, n_records));
      g_autoptr(StrandRecord) record = strand_store_get (store, key, NULL);

      g_assert (record != NULL);
    }
  return (bench_seconds () - start) / N_LOOKS * 1e6;
}

static double
measure_pending (StrandStore *store)
{
  const StrandFilter filter = { .queue = "default", .statuses = 1 << STRAND_STATUS_PENDING };
  double start = bench_seconds ();

  for (guint i = 0; i < N_LOOKS; i++)
    {
      g_autoptr(StrandPage) page = strand_store_list (store, &filter, NULL, 1, NULL);

      g_assert (strand_page_get_records (page)->len == 1);
    }
  return (bench_seconds () - start) / N_LOOKS * 1e6;
}

static void
compare_sizes (const char *work, guint n_many)
{
  g_autoptr(StrandStore) store = open_store (work, FALSE);
  g_autofree char *get_name = g_strdup_printf ("sqlite store: get among %u", n_many);
  g_autofree char *list_name =
      g_strdup_printf ("sqlite store: first pending of a queue among %u ended", n_many);
  g_autofree char *count_name = g_strdup_printf ("sqlite store: count pending among %u", n_many);
  double get_few, list_few, get_many, start;

  for (guint i = 0; i < 10; i++)
    {
      g_autoptr(StrandRecord) record = new_record ("waiting", 0, i);

      strand_record_set_int (record, STRAND_FIELD_STATUS, STRAND_STATUS_PENDING);
      strand_record_set_string (record, STRAND_FIELD_QUEUE, "default");
      g_assert (strand_store_put (store, record, 0, NULL));
    }
  fill (work, 0, 1000);
  get_few = measure_get (store, 1000);
  list_few = measure_pending (store);
  fill (work, 1000, n_many);
  measure_get (store, n_many);
  get_many = measure_get (store, n_many);
  bench_report (get_name, get_many, "us", get_few, "among 1000");
  bench_report (list_name, measure_pending (store), "us", list_few, "among 1000");

  start = bench_seconds ();
  g_assert (strand_store_count (store, &(StrandFilter){ .statuses = 1 << STRAND_STATUS_PENDING }, NULL) ==
            10);
  bench_report (count_name, (bench_seconds () - start) * 1e6, "us", 0, NULL);
  strand_store_close (store);
}

/* --- waking another process ---------------------------------------------------------------------------- */

/* The other process: puts a record for each byte that it reads, with the time at which it began. */
static int
put_on_demand (const char *work)
{
  g_autoptr(StrandStore) store = open_store (work, FALSE);
  char byte;

  for (guint i = 0; read (STDIN_FILENO, &byte, 1) == 1; i++)
    {
      g_autoptr(StrandRecord) record = new_record ("wake", 0, i);

      strand_record_set_int (record, STRAND_FIELD_CREATED, g_get_monotonic_time ());
      g_assert (strand_store_put (store, record, 0, NULL));
    }
  return 0;
}

typedef struct
{
  GMutex lock;
  GCond told;
  gboolean changed;
} Bell;

static void
ring (StrandStore *store, const char *key, gpointer data)
{
  Bell *bell = data;

  g_mutex_lock (&bell->lock);
  bell->changed = TRUE;
  g_cond_signal (&bell->told);
  g_mutex_unlock (&bell->lock);
}

/* Waits for a record and returns how old it is, in microseconds. */
static double
await_record (StrandStore *store, Bell *bell, const char *key)
{
  for (;;)
    {
      g_autoptr(StrandRecord) record = strand_store_get (store, key, NULL);

      if (record != NULL)
        return g_get_monotonic_time () - strand_record_get_int (record, STRAND_FIELD_CREATED);
      g_mutex_lock (&bell->lock);
      while (!bell->changed)
        g_cond_wait (&bell->told, &bell->lock);
      bell->changed = FALSE;
      g_mutex_unlock (&bell->lock);
    }
}

static void
measure_wakes (const char *program, const char *work)
{
  g_autoptr(GSubprocess) other =
      g_subprocess_new (G_SUBPROCESS_FLAGS_STDIN_PIPE, NULL, program, "--put", work, NULL);
  GOutputStream *demand = g_subprocess_get_stdin_pipe (other);
  g_autoptr(StrandStore) store = open_store (work, FALSE);
  g_autofree double *times = g_new (double, N_WAKES);
  Bell bell = { 0 };

  for (guint i = 0; i < N_WAKES; i++)
    {
      g_autofree char *key = g_strdup_printf ("wake-0-%u", i);
      guint id = strand_store_watch (store, key, ring, &bell, NULL);

      g_assert (g_output_stream_write_all (demand, "x", 1, NULL, NULL, NULL));
      times[i] = await_record (store, &bell, key);
      strand_store_unwatch (store, id);
    }
  g_output_stream_close (demand, NULL, NULL);
  g_subprocess_wait (other, NULL, NULL);

  bench_report ("sqlite store: put here to record there, p50", bench_median (times, N_WAKES), "us", 0, NULL);
  bench_report ("sqlite store: put here to record there, p99", times[N_WAKES * 99 / 100], "us", 0, NULL);
  strand_store_close (store);
}

static void
remove_work (const char *work)
{
  g_autoptr(GDir) dir = g_dir_open (work, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *child = g_build_filename (work, name, NULL);

      g_remove (child);
    }
  g_rmdir (work);
}

/* Each part in a directory of its own. */
static char *
make_work (void)
{
  g_autoptr(GError) error = NULL;
  char *work = g_dir_make_tmp ("strand-bench-XXXXXX", &error);

  g_assert_no_error (error);
  return work;
}

int
main (int argc, char **argv)
{
  g_autoptr(GError) error = NULL;
  gboolean full = argc == 2 && strcmp (argv[1], "full") == 0;
  guint64 n_many = argc == 2 && !full ? g_ascii_strtoull (argv[1], NULL, 10) : 100000;
  g_autofree char *work = NULL;
  g_autofree char *work_many = NULL;
  g_autofree char *work_wake = NULL;

  sqlite_store = strand_plugins_load (strand_plugins_get_default (), STRAND_KIND_STORE, "sqlite", &error);
  g_assert_no_error (error);
  g_type_class_ref (sqlite_store);
  if (argc == 3)
    return put_on_demand (argv[2]);

  work = make_work ();
  compare_with_statements (work, full);
  remove_work (work);
  work_many = make_work ();
  compare_sizes (work_many, MAX (n_many, 1001));
  remove_work (work_many);
  work_wake = make_work ();
  measure_wakes (argv[0], work_wake);
  remove_work (work_wake);
  return 0;
}
