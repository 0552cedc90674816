/* bench-sqlite.c — the sqlite store beside prepared statements of the same library with the same pragmas.
 *
 * The peer keeps the same bytes in the simplest table that can hold them (key, revision, record as JSON), one
 * row a transaction; the store has a column for each field, indexes, and numbers its writes for watchers.
 * Store and peer take turns, on new rows each time. Then the same for a queue: claim and complete, one call
 * and a hundred at once, beside a table with the index that a queue needs. Then: what a get, a look for
 * pending work and a claim cost among many records that have ended, or wait, and how soon a watcher in
 * another process has a record.
 *
 * `bench-sqlite full` does the first with sync=full, `bench-sqlite 1000000` the second with so many records.
 * `bench-sqlite processor` does only the comparisons, in processor time instead of time, which hardly depends
 * on what else the machine does (and leaves out what waits for the disk).
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
#define N_CALLS 1000
#define BATCH 100
#define NOW_US (1700000001 * (gint64) G_USEC_PER_SEC)

static GType sqlite_store;
static gboolean by_processor;

static double
seconds (void)
{
  struct timespec used;

  if (!by_processor)
    return bench_seconds ();
  clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &used);
  return (double) used.tv_sec + (double) used.tv_nsec * 1e-9;
}

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

  g_assert_cmpint (sqlite3_open_v2 (path, &peer->handle,
                                    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL),
                   ==, SQLITE_OK);
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
  g_assert_nonnull (peer->insert);
  g_assert_nonnull (peer->update);
  g_assert_nonnull (peer->select);
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
  double start = seconds ();
  gsize size;
  const void *data = g_bytes_get_data (bytes, &size);

  for (guint i = 0; i < records->len; i++)
    {
      sqlite3_bind_text (statement, 1, strand_record_get_key (records->pdata[i]), -1, SQLITE_STATIC);
      sqlite3_bind_blob (statement, 2, data, size, SQLITE_STATIC);
      g_assert_cmpint (sqlite3_step (statement), ==, SQLITE_DONE);
      sqlite3_reset (statement);
    }
  return records->len / (seconds () - start);
}

static double
peer_read (sqlite3_stmt *statement, GPtrArray *records)
{
  double start = seconds ();

  for (guint i = 0; i < records->len; i++)
    {
      sqlite3_bind_text (statement, 1, strand_record_get_key (records->pdata[i]), -1, SQLITE_STATIC);
      g_assert_cmpint (sqlite3_step (statement), ==, SQLITE_ROW);
      g_assert_nonnull (sqlite3_column_blob (statement, 1));
      sqlite3_reset (statement);
    }
  return records->len / (seconds () - start);
}

static double
put_records (StrandStore *store, GPtrArray *records)
{
  double start = seconds ();

  for (guint i = 0; i < records->len; i++)
    {
      StrandRecord *record = records->pdata[i];

      if (!strand_store_put (store, record, strand_record_get_revision (record), NULL))
        g_error ("could not put '%s'", strand_record_get_key (record));
    }
  return records->len / (seconds () - start);
}

static double
get_records (StrandStore *store, GPtrArray *records)
{
  double start = seconds ();

  for (guint i = 0; i < records->len; i++)
    {
      g_autoptr(StrandRecord) record =
          strand_store_get (store, strand_record_get_key (records->pdata[i]), NULL);

      g_assert_nonnull (record);
    }
  return records->len / (seconds () - start);
}

static void
report (const char *what, gboolean full, double *own, double *peer)
{
  g_autofree char *name = g_strdup_printf ("sqlite store: %s, sync=%s", what, full ? "full" : "normal");
  const char *unit = by_processor ? "records/s of processor" : "records/s";

  bench_report (name, bench_median (own, N_ROUNDS), unit, bench_median (peer, N_ROUNDS),
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

/* --- as a queue ---------------------------------------------------------------------------------------- */

typedef struct
{
  sqlite3 *handle;
  sqlite3_stmt *insert, *claim, *complete, *begin, *commit;
} QueuePeer;

static sqlite3_stmt *
prepare (sqlite3 *handle, const char *sql)
{
  sqlite3_stmt *statement = NULL;

  if (sqlite3_prepare_v2 (handle, sql, -1, &statement, NULL) != SQLITE_OK)
    g_error ("%s", sqlite3_errmsg (handle));
  return statement;
}

static void
step (sqlite3_stmt *statement)
{
  while (sqlite3_step (statement) == SQLITE_ROW)
    g_assert_nonnull (sqlite3_column_blob (statement, 1));
  g_assert_cmpint (sqlite3_reset (statement), ==, SQLITE_OK);
}

static void
queue_peer_open (QueuePeer *peer, const char *work, gboolean full)
{
  g_autofree char *path = g_build_filename (work, "queue-peer.db", NULL);

  g_assert_cmpint (sqlite3_open (path, &peer->handle), ==, SQLITE_OK);
  sqlite3_exec (peer->handle, "PRAGMA journal_mode = WAL", NULL, NULL, NULL);
  sqlite3_exec (peer->handle, full ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL", NULL, NULL,
                NULL);
  sqlite3_exec (
      peer->handle,
      "CREATE TABLE records (key TEXT PRIMARY KEY, queue TEXT, turn INTEGER, status INTEGER NOT NULL, "
      "owner TEXT, record BLOB NOT NULL); "
      "CREATE INDEX waiting ON records (queue, turn) WHERE status = 0",
      NULL, NULL, NULL);
  peer->insert = prepare (peer->handle, "INSERT INTO records VALUES (?1, 'default', ?3, 0, NULL, ?2)");
  peer->claim =
      prepare (peer->handle, "UPDATE records SET status = 1, owner = 'bench' WHERE key IN (SELECT key "
                             "FROM records WHERE queue = 'default' AND status = 0 ORDER BY turn LIMIT ?1)"
                             " RETURNING key, record");
  peer->complete = prepare (
      peer->handle, "UPDATE records SET status = 2, owner = NULL, record = ?2 WHERE key = ?1 AND status = 1");
  peer->begin = prepare (peer->handle, "BEGIN IMMEDIATE");
  peer->commit = prepare (peer->handle, "COMMIT");
}

static void
queue_peer_close (QueuePeer *peer)
{
  sqlite3_finalize (peer->insert);
  sqlite3_finalize (peer->claim);
  sqlite3_finalize (peer->complete);
  sqlite3_finalize (peer->begin);
  sqlite3_finalize (peer->commit);
  sqlite3_close (peer->handle);
}

static void
peer_bind (sqlite3_stmt *statement, StrandRecord *record, GBytes *bytes)
{
  gsize size;
  const void *data = g_bytes_get_data (bytes, &size);

  sqlite3_bind_text (statement, 1, strand_record_get_key (record), -1, SQLITE_STATIC);
  sqlite3_bind_blob (statement, 2, data, (int) size, SQLITE_STATIC);
}

/* Calls a second, from waiting to completed. */
static double
peer_work (QueuePeer *peer, GPtrArray *records, GBytes *bytes, guint batch)
{
  double start;

  step (peer->begin);
  for (guint i = 0; i < records->len; i++)
    {
      peer_bind (peer->insert, records->pdata[i], bytes);
      sqlite3_bind_int64 (peer->insert, 3, i);
      step (peer->insert);
    }
  step (peer->commit);

  start = seconds ();
  for (guint i = 0; i < records->len; i += batch)
    {
      sqlite3_bind_int64 (peer->claim, 1, batch);
      step (peer->claim);
      if (batch > 1)
        step (peer->begin);
      for (guint n = 0; n < batch; n++)
        {
          peer_bind (peer->complete, records->pdata[i + n], bytes);
          step (peer->complete);
        }
      if (batch > 1)
        step (peer->commit);
    }
  return records->len / (seconds () - start);
}

static void
put_all (StrandStore *store, GPtrArray *records, guint from, guint n)
{
  g_autofree guint64 *expected = g_new0 (guint64, n);
  g_autofree GError **errors = g_new0 (GError *, n);

  for (guint i = 0; i < n; i++)
    expected[i] = strand_record_get_revision (records->pdata[from + i]);
  if (strand_store_put_batch (store, (StrandRecord *const *) records->pdata + from, expected, n, errors) != n)
    g_error ("could not put: %s", errors[0] != NULL ? errors[0]->message : "some of them");
}

/* Each is put back as it came from the claim, with an end. */
static void
claim_and_complete (StrandStore *store, guint batch)
{
  static const char *const queues[] = { "default", NULL };
  const StrandClaim claim = { queues, "reader-15000:bench", NOW_US, batch };
  g_autoptr(GPtrArray) claimed = strand_store_claim (store, &claim, NULL, NULL);
  g_autoptr(GBytes) value = g_bytes_new_static ("\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4\"", 42);

  g_assert_nonnull (claimed);
  g_assert_cmpuint (claimed->len, ==, batch);
  for (guint i = 0; i < batch; i++)
    {
      strand_record_end (claimed->pdata[i], STRAND_STATUS_COMPLETED, NOW_US);
      strand_record_set_string (claimed->pdata[i], STRAND_FIELD_VALUE_TYPE, "s");
      strand_record_set_bytes (claimed->pdata[i], STRAND_FIELD_VALUE, value);
    }
  if (batch > 1)
    put_all (store, claimed, 0, batch);
  else
    g_assert_true (
        strand_store_put (store, claimed->pdata[0], strand_record_get_revision (claimed->pdata[0]), NULL));
}

static double
store_work (StrandStore *store, GPtrArray *records, guint batch)
{
  double start;

  put_all (store, records, 0, records->len);
  start = seconds ();
  for (guint i = 0; i < records->len; i += batch)
    claim_and_complete (store, batch);
  return records->len / (seconds () - start);
}

static GPtrArray *
new_calls (const char *prefix, guint round, guint n)
{
  GPtrArray *records = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_record_unref);

  for (guint i = 0; i < n; i++)
    {
      StrandRecord *record = new_record (prefix, round, i);

      strand_record_set_int (record, STRAND_FIELD_STATUS, STRAND_STATUS_PENDING);
      strand_record_set_string (record, STRAND_FIELD_QUEUE, "default");
      strand_record_set_int (record, STRAND_FIELD_CREATED, 1700000000000000 + i);
      strand_record_set_int (record, STRAND_FIELD_COMPLETED, 0);
      strand_record_set_int (record, STRAND_FIELD_ATTEMPT, 0);
      g_ptr_array_add (records, record);
    }
  return records;
}

static void
compare_queues (const char *work, gboolean full)
{
  g_autoptr(StrandStore) store = open_store (work, full);
  double own[2][N_ROUNDS], peers[2][N_ROUNDS], put[N_ROUNDS];
  guint n_calls = full ? N_CALLS / 5 : N_CALLS;
  QueuePeer peer;

  queue_peer_open (&peer, work, full);
  for (guint round = 0; round < N_ROUNDS; round++)
    for (guint batched = 0; batched < 2; batched++)
      {
        g_autoptr(GPtrArray) records = new_calls (batched ? "batch" : "one", round, n_calls);
        g_autoptr(GBytes) bytes = strand_record_to_json (records->pdata[0]);
        g_autoptr(GPtrArray) more = new_calls ("more", round, n_calls);
        double start;

        peers[batched][round] = peer_work (&peer, records, bytes, batched ? BATCH : 1);
        own[batched][round] = store_work (store, records, batched ? BATCH : 1);
        if (!batched)
          continue;
        start = seconds ();
        for (guint i = 0; i < more->len; i += BATCH)
          put_all (store, more, i, BATCH);
        put[round] = more->len / (seconds () - start);
        for (guint i = 0; i < more->len; i += BATCH)
          claim_and_complete (store, BATCH);
      }
  report ("claim and complete", full, own[0], peers[0]);
  report ("claim and complete, batches of 100", full, own[1], peers[1]);
  bench_report (full ? "sqlite store: put batches of 100, sync=full"
                     : "sqlite store: put batches of 100, sync=normal",
                bench_median (put, N_ROUNDS), "records/s", 0, NULL);
  queue_peer_close (&peer);
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

  g_assert_cmpint (sqlite3_open (path, &handle), ==, SQLITE_OK);
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

      g_assert_nonnull (record);
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

      g_assert_cmpuint (strand_page_get_records (page)->len, ==, 1);
    }
  return (bench_seconds () - start) / N_LOOKS * 1e6;
}

/* Microseconds for one claim of one call; the call is completed outside of what is measured. */
static double
measure_claim (StrandStore *store)
{
  static const char *const queues[] = { "default", NULL };
  const StrandClaim claim = { queues, "reader-15000:bench", NOW_US, 1 };
  double seconds = 0;

  for (guint i = 0; i < N_CALLS; i++)
    {
      double start = bench_seconds ();
      g_autoptr(GPtrArray) claimed = strand_store_claim (store, &claim, NULL, NULL);

      seconds += bench_seconds () - start;
      g_assert_nonnull (claimed);
      g_assert_cmpuint (claimed->len, ==, 1);
    }
  return seconds / N_CALLS * 1e6;
}

/* As many calls wait as measure_claim() takes, and so many more that are due, or not yet. */
static void
fill_waiting (const char *work, const char *key, const char *not_before, guint n)
{
  g_autofree char *path = g_build_filename (work, "store.db", NULL);
  g_autofree char *sql = g_strdup_printf (
      "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < %u)"
      "INSERT INTO records (\"key\", \"revision\", \"function\", \"queue\", \"created\", \"not-before\", \"later\")"
      " SELECT '%s-' || i, 1, 'bench.sha256', 'default', 1700000000000000 + i %% 1000, %s, %s > 0 FROM n",
      n, key, not_before, not_before);
  sqlite3 *handle;

  g_assert_cmpint (sqlite3_open (path, &handle), ==, SQLITE_OK);
  if (sqlite3_exec (handle, sql, NULL, NULL, NULL) != SQLITE_OK)
    g_error ("%s", sqlite3_errmsg (handle));
  sqlite3_close (handle);
}

static void
report_claim (StrandStore *store, const char *among, guint n, double few)
{
  g_autofree char *name = g_strdup_printf ("sqlite store: claim among %u %s", n, among);

  bench_report (name, measure_claim (store), "us", few, "among 1000");
}

static void
compare_sizes (const char *work, guint n_many)
{
  g_autoptr(StrandStore) store = open_store (work, FALSE);
  g_autofree char *get_name = g_strdup_printf ("sqlite store: get among %u", n_many);
  g_autofree char *list_name =
      g_strdup_printf ("sqlite store: first pending of a queue among %u ended", n_many);
  g_autofree char *count_name = g_strdup_printf ("sqlite store: count pending among %u", n_many);
  double get_few, list_few, claim_few, get_many, start;

  for (guint i = 0; i < 10; i++)
    {
      g_autoptr(StrandRecord) record = new_record ("waiting", 0, i);

      strand_record_set_int (record, STRAND_FIELD_STATUS, STRAND_STATUS_PENDING);
      strand_record_set_string (record, STRAND_FIELD_QUEUE, "default");
      g_assert_true (strand_store_put (store, record, 0, NULL));
    }
  fill (work, 0, 1000);
  get_few = measure_get (store, 1000);
  list_few = measure_pending (store);
  fill_waiting (work, "few", "0", N_CALLS);
  claim_few = measure_claim (store);
  fill (work, 1000, n_many);
  measure_get (store, n_many);
  get_many = measure_get (store, n_many);
  bench_report (get_name, get_many, "us", get_few, "among 1000");
  bench_report (list_name, measure_pending (store), "us", list_few, "among 1000");

  start = bench_seconds ();
  g_assert_cmpuint (
      strand_store_count (store, &(StrandFilter){ .statuses = 1 << STRAND_STATUS_PENDING }, NULL), ==, 10);
  bench_report (count_name, (bench_seconds () - start) * 1e6, "us", 0, NULL);

  fill_waiting (work, "among-ended", "0", N_CALLS);
  report_claim (store, "ended", n_many, claim_few);
  fill_waiting (work, "later", "4000000000000000", n_many);
  fill_waiting (work, "before", "0", N_CALLS);
  report_claim (store, "not due yet", n_many, claim_few);
  fill_waiting (work, "due", "0", n_many);
  report_claim (store, "due", n_many, claim_few);
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
      g_assert_true (strand_store_put (store, record, 0, NULL));
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

      g_assert_true (g_output_stream_write_all (demand, "x", 1, NULL, NULL, NULL));
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
  by_processor = argc == 2 && strcmp (argv[1], "processor") == 0;

  work = make_work ();
  compare_with_statements (work, full);
  compare_queues (work, full);
  remove_work (work);
  if (by_processor)
    return 0;
  work_many = make_work ();
  compare_sizes (work_many, MAX (n_many, 1001));
  remove_work (work_many);
  work_wake = make_work ();
  measure_wakes (argv[0], work_wake);
  remove_work (work_wake);
  return 0;
}
