/* bench-filesystem.c — the filesystem store beside plain files of the same bytes.
 *
 * The store parses, locks, compares revisions and fans out; the peer writes a file beside its place and
 * renames it, or opens and reads it, all in one directory that is open. Neither syncs: what a process wrote
 * survives the process, not a power cut (sync=none, the default). Store and peer take turns, on new files
 * each time. SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <strand.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

#define N_RECORDS 2000
#define N_ROUNDS 5

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

      g_assert (record != NULL);
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

      g_assert (fd >= 0 && write (fd, data, size) == (gssize) size);
      close (fd);
      g_assert (renameat (folder, ".new", folder, strand_record_get_key (records->pdata[i])) == 0);
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

      g_assert (fd >= 0 && read (fd, buffer, sizeof buffer) > 0);
      close (fd);
    }
  return records->len / (bench_seconds () - start);
}

static void
report (const char *name, double *own, double *peer, const char *peer_name)
{
  bench_report (name, bench_median (own, N_ROUNDS), "records/s", bench_median (peer, N_ROUNDS), peer_name);
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
main (void)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *work = g_dir_make_tmp ("strand-bench-XXXXXX", &error);
  g_autofree char *path = g_build_filename (work, "store", NULL);
  GType type = strand_plugins_load (strand_plugins_get_default (), STRAND_KIND_STORE, "filesystem", &error);
  g_autoptr(StrandStore) store = NULL;
  double put[N_ROUNDS], change[N_ROUNDS], get[N_ROUNDS];
  double create[N_ROUNDS], replace[N_ROUNDS], read[N_ROUNDS];
  int folder;

  g_assert_no_error (error);
  store = g_object_new (type, "path", path, "auto-cleanup", FALSE, NULL);
  folder = open (work, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

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
  remove_tree (work);
  return 0;
}
