/* bench-filesystem.c — the filesystem store beside plain files of the same bytes.
 *
 * The store parses, locks, compares revisions and fans out; the peer writes a file beside its place and
 * renames it, or opens and reads it, all in one directory that is open. Neither syncs: what a process wrote
 * survives the process, not a power cut (sync=none, the default). Store and peer take turns, on new files
 * each time. After that, what a get and a claim cost among many records that have ended (`bench-filesystem
 * 1000000` for so many), how many calls a second are claimed and completed, and how soon a watcher in another
 * process has a record.                           SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <strand.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

#define N_RECORDS 2000
#define N_ROUNDS 5
#define N_LOOKS 2000
#define N_CLAIMS 1000
#define N_WAKES 2000

static GType filesystem_store;

/* What a finished call of a small function leaves: some 700 bytes as JSON. */
static StrandRecord *
new_record (guint round, guint number)
{
  g_autofree char *key = g_strdup_printf ("bench-%u-%u", round, number);
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

/* Each phase returns operations a second. */

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

      g_assert_nonnull (record);
    }
  return records->len / (bench_seconds () - start);
}

static double
write_files (int folder, GPtrArray *records, GBytes *bytes)
{
  double start = bench_seconds ();
  gsize size;
  const void *data = g_bytes_get_data (bytes, &size);

  for (guint i = 0; i < records->len; i++)
    {
      int fd = openat (folder, ".new", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

      g_assert_cmpint (fd, >=, 0);
      g_assert_cmpint (write (fd, data, size), ==, (gssize) size);
      close (fd);
      g_assert_cmpint (renameat (folder, ".new", folder, strand_record_get_key (records->pdata[i])), ==, 0);
    }
  return records->len / (bench_seconds () - start);
}

static double
read_files (int folder, GPtrArray *records)
{
  double start = bench_seconds ();
  char buffer[4096];

  for (guint i = 0; i < records->len; i++)
    {
      int fd = openat (folder, strand_record_get_key (records->pdata[i]), O_RDONLY | O_CLOEXEC);

      g_assert_cmpint (fd, >=, 0);
      g_assert_cmpint (read (fd, buffer, sizeof buffer), >, 0);
      close (fd);
    }
  return records->len / (bench_seconds () - start);
}

static void
report (const char *name, double *own, double *peer, const char *peer_name)
{
  bench_report (name, bench_median (own, N_ROUNDS), "records/s", bench_median (peer, N_ROUNDS), peer_name);
}

static StrandStore *
open_store (const char *path)
{
  return g_object_new (filesystem_store, "path", path, "auto-cleanup", FALSE, NULL);
}

static void
compare_with_files (const char *work)
{
  g_autofree char *path = g_build_filename (work, "store", NULL);
  g_autoptr(StrandStore) store = open_store (path);
  double put[N_ROUNDS], change[N_ROUNDS], get[N_ROUNDS];
  double create[N_ROUNDS], replace[N_ROUNDS], read[N_ROUNDS];
  int folder = open (work, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  for (guint round = 0; round < N_ROUNDS; round++)
    {
      g_autoptr(GPtrArray) records = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_record_unref);
      g_autoptr(GBytes) bytes = NULL;

      for (guint i = 0; i < N_RECORDS; i++)
        g_ptr_array_add (records, new_record (round, i));
      bytes = strand_record_to_json (records->pdata[0]);

      create[round] = write_files (folder, records, bytes);
      put[round] = put_records (store, records);
      replace[round] = write_files (folder, records, bytes);
      change[round] = put_records (store, records);
      read[round] = read_files (folder, records);
      get[round] = get_records (store, records);
    }
  report ("filesystem store: put a new record, sync=none", put, create, "write+rename");
  report ("filesystem store: put a changed record, sync=none", change, replace, "write+rename");
  report ("filesystem store: get", get, read, "open+read");

  close (folder);
  strand_store_close (store);
}

/* --- among many that have ended ------------------------------------------------------------------------- */

static void
fill (StrandStore *store, guint from, guint to)
{
  for (guint i = from; i < to; i++)
    {
      g_autoptr(StrandRecord) record = new_record (0, i);

      g_assert_true (strand_store_put (store, record, 0, NULL));
    }
}

/* Microseconds for a record that is asked for at random. */
static double
measure_get (StrandStore *store, guint n)
{
  double start = bench_seconds ();

  for (guint i = 0; i < N_LOOKS; i++)
    {
      g_autofree char *key = g_strdup_printf ("bench-0-%d", g_random_int_range (0, (gint32) n));
      g_autoptr(StrandRecord) record = strand_store_get (store, key, NULL);

      g_assert_nonnull (record);
    }
  return (bench_seconds () - start) / N_LOOKS * 1e6;
}

static void
leave_calls (StrandStore *store, guint round, guint n)
{
  for (guint i = 0; i < n; i++)
    {
      g_autoptr(StrandRecord) record = new_record (round, i);

      strand_record_set_int (record, STRAND_FIELD_STATUS, STRAND_STATUS_PENDING);
      strand_record_set_string (record, STRAND_FIELD_QUEUE, "default");
      g_assert_true (strand_store_put (store, record, 0, NULL));
    }
}

/* Claims one call after the other, and completes each if that is wanted. Seconds. */
static double
claim_calls (StrandStore *store, guint n, gboolean complete)
{
  const char *const queues[] = { "default", NULL };
  const StrandClaim claim = { queues, "bench:1", g_get_real_time (), 1 };
  double start = bench_seconds ();

  for (guint i = 0; i < n; i++)
    {
      g_autoptr(GPtrArray) claimed = strand_store_claim (store, &claim, NULL, NULL);
      StrandRecord *record;

      g_assert_nonnull (claimed);
      g_assert_cmpuint (claimed->len, ==, 1);
      record = claimed->pdata[0];
      if (!complete)
        continue;
      strand_record_end (record, STRAND_STATUS_COMPLETED, claim.now_us);
      g_assert_true (strand_store_put (store, record, strand_record_get_revision (record), NULL));
    }
  return bench_seconds () - start;
}

/* What a store that opens now pays for its first claim is not counted. */
static double
measure_claim (const char *path, guint round)
{
  g_autoptr(StrandStore) store = open_store (path);
  double seconds;

  leave_calls (store, round, N_CLAIMS + 1);
  claim_calls (store, 1, TRUE);
  seconds = claim_calls (store, N_CLAIMS, FALSE);
  strand_store_close (store);
  return seconds / N_CLAIMS * 1e6;
}

static void
compare_sizes (const char *work, guint n_many)
{
  g_autofree char *path = g_build_filename (work, "many", NULL);
  g_autoptr(StrandStore) store = open_store (path);
  g_autofree char *get_name = g_strdup_printf ("filesystem store: get among %u", n_many);
  g_autofree char *claim_name = g_strdup_printf ("filesystem store: claim among %u ended", n_many);
  double get_few, claim_few;

  fill (store, 0, 1000);
  get_few = measure_get (store, 1000);
  claim_few = measure_claim (path, 1000000);
  fill (store, 1000, n_many);
  measure_get (store, n_many);
  bench_report (get_name, measure_get (store, n_many), "us", get_few, "among 1000");
  bench_report (claim_name, measure_claim (path, 2000000), "us", claim_few, "among 1000");

  leave_calls (store, 3000000, N_CLAIMS);
  bench_report ("filesystem store: claim and complete, one at a time",
                N_CLAIMS / claim_calls (store, N_CLAIMS, TRUE), "calls/s", 0, NULL);
  strand_store_close (store);
}

/* --- waking another process ---------------------------------------------------------------------------- */

/* The other process: puts a record for each byte that it reads, with the time at which it began. */
static int
put_on_demand (const char *path)
{
  g_autoptr(StrandStore) store = open_store (path);
  char byte;

  for (guint i = 0; read (STDIN_FILENO, &byte, 1) == 1; i++)
    {
      g_autoptr(StrandRecord) record = new_record (4000000, i);

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
  g_autofree char *path = g_build_filename (work, "wakes", NULL);
  g_autoptr(GSubprocess) other =
      g_subprocess_new (G_SUBPROCESS_FLAGS_STDIN_PIPE, NULL, program, "--put", path, NULL);
  GOutputStream *demand = g_subprocess_get_stdin_pipe (other);
  g_autoptr(StrandStore) store = open_store (path);
  g_autofree double *times = g_new (double, N_WAKES);
  Bell bell = { 0 };
  guint all;

  fill (store, 0, 1000);
  all = strand_store_watch (store, "nobody", ring, &bell, NULL); /* so that the thread is there throughout */
  for (guint i = 0; i < N_WAKES; i++)
    {
      g_autofree char *key = g_strdup_printf ("bench-4000000-%u", i);
      guint id = strand_store_watch (store, key, ring, &bell, NULL);

      g_assert_true (g_output_stream_write_all (demand, "x", 1, NULL, NULL, NULL));
      times[i] = await_record (store, &bell, key);
      strand_store_unwatch (store, id);
    }
  strand_store_unwatch (store, all);
  g_output_stream_close (demand, NULL, NULL);
  g_subprocess_wait (other, NULL, NULL);

  bench_report ("filesystem store: put here to record there, p50", bench_median (times, N_WAKES), "us", 0,
                NULL);
  bench_report ("filesystem store: put here to record there, p99", times[N_WAKES * 99 / 100], "us", 0, NULL);
  strand_store_close (store);
}

static void
remove_tree (const char *path)
{
  g_autoptr(GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *child = g_build_filename (path, name, NULL);

      remove_tree (child);
    }
  g_remove (path);
}

int
main (int argc, char **argv)
{
  g_autoptr(GError) error = NULL;
  guint64 n_many = argc == 2 ? g_ascii_strtoull (argv[1], NULL, 10) : 20000;
  g_autofree char *work = NULL;

  filesystem_store =
      strand_plugins_load (strand_plugins_get_default (), STRAND_KIND_STORE, "filesystem", &error);
  g_assert_no_error (error);
  g_type_class_ref (filesystem_store);
  if (argc == 3)
    return put_on_demand (argv[2]);

  work = g_dir_make_tmp ("strand-bench-XXXXXX", &error);
  g_assert_no_error (error);
  compare_with_files (work);
  compare_sizes (work, (guint) CLAMP (n_many, 1001, 100000000));
  measure_wakes (argv[0], work);
  remove_tree (work);
  return 0;
}
