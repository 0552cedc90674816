/* test-lmdb-store.c — what the LMDB example promises beyond what every store does: it says when it is full,
 * and who is killed while he reads takes no room for ever. SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include <glib/gstdio.h>
#include <lmdb.h>
#include <signal.h>
#include <strand.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SMALL (4 * 1024 * 1024)
#define VALUE_SIZE 65536

typedef struct
{
  char *path;
  StrandStore *store;
} Fixture;

static void
set_up (Fixture *f, gconstpointer unused)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *folder = g_dir_make_tmp ("strand-lmdb-XXXXXX", &error);
  GType type = strand_plugins_load (strand_plugins_get_default (), STRAND_KIND_STORE, "lmdb", &error);

  g_assert_no_error (error);
  f->path = g_steal_pointer (&folder);
  f->store = g_object_new (type, "path", f->path, "max-size", (gint64) SMALL, "sync", FALSE, NULL);
}

static void
tear_down (Fixture *f, gconstpointer unused)
{
  g_autofree char *data = g_build_filename (f->path, "data.mdb", NULL);
  g_autofree char *lock = g_build_filename (f->path, "lock.mdb", NULL);

  g_object_unref (f->store);
  g_unlink (data);
  g_unlink (lock);
  g_assert_cmpint (g_rmdir (f->path), ==, 0);
  g_free (f->path);
}

/* One revision after another of a large record. */
static gboolean
put_large (StrandStore *store, const char *key, guint64 expected, GError **error)
{
  g_autoptr(StrandRecord) record = strand_record_new (key);
  g_autofree char *text = g_strnfill (VALUE_SIZE, 'x');

  strand_record_set_string (record, STRAND_FIELD_FUNCTION, "demo.echo");
  strand_record_set_string (record, STRAND_FIELD_MESSAGE, text);
  return strand_store_put (store, record, expected, error);
}

static void
test_full_is_said_and_loses_nothing (Fixture *f, gconstpointer unused)
{
  g_autoptr(GError) error = NULL;
  guint n = 0;

  for (; error == NULL && n < 2 * SMALL / VALUE_SIZE; n++)
    {
      g_autofree char *key = g_strdup_printf ("job-%u", n);

      put_large (f->store, key, 0, &error);
    }
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_FULL);
  g_assert_nonnull (strstr (error->message, "'max-size'"));
  g_assert_nonnull (strstr (error->message, f->path));
  g_assert_cmpint (strand_store_count (f->store, NULL, NULL), ==, n - 1);
}

static void
test_full_has_room_again_for_what_goes (Fixture *f, gconstpointer unused)
{
  g_autoptr(GError) error = NULL;

  test_full_is_said_and_loses_nothing (f, NULL);
  for (guint i = 0; i < 10; i++)
    {
      g_autofree char *key = g_strdup_printf ("job-%u", i);

      strand_store_remove (f->store, key, 0, &error);
      g_assert_no_error (error);
    }
  put_large (f->store, "another", 0, &error);
  g_assert_no_error (error);
}

/* In a process of its own, which has no thread and no store: reads, and is killed. */
static void
read_and_die (const char *path)
{
  MDB_env *env;
  MDB_txn *txn;

  if (mdb_env_create (&env) == 0 && mdb_env_open (env, path, MDB_NOTLS, 0600) == 0 &&
      mdb_txn_begin (env, NULL, MDB_RDONLY, &txn) == 0)
    raise (SIGKILL);
  _exit (1);
}

static void
test_killed_reader_takes_no_room (Fixture *f, gconstpointer unused)
{
  g_autoptr(GError) error = NULL;
  int status;
  pid_t pid;

  put_large (f->store, "job-17", 0, &error);
  g_assert_no_error (error);
  pid = fork ();
  if (pid == 0)
    read_and_die (f->path);
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_true (WIFSIGNALED (status) && WTERMSIG (status) == SIGKILL);

  /* Ten times what there is room for. */
  for (guint i = 1; i <= 10 * SMALL / VALUE_SIZE; i++)
    {
      put_large (f->store, "job-17", i, &error);
      g_assert_no_error (error);
    }
}

#define ADD(name, function) g_test_add ("/lmdb-store/" name, Fixture, NULL, set_up, function, tear_down)

int
main (int argc, char **argv)
{
  g_autofree char *examples = NULL;

  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  examples = g_test_build_filename (G_TEST_BUILT, "..", "sdk", "examples", NULL);
  strand_plugins_add_path (strand_plugins_get_default (), examples);
  ADD ("full-is-said-and-loses-nothing", test_full_is_said_and_loses_nothing);
  ADD ("full-has-room-again-for-what-goes", test_full_has_room_again_for_what_goes);
  ADD ("killed-reader-takes-no-room", test_killed_reader_takes_no_room);
  return g_test_run ();
}
