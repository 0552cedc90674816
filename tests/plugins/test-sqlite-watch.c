/* test-sqlite-watch.c — who watches a sqlite store, and that writers who tell nobody forget nobody.
 *
 * What is noted for watchers stands in the table `changes`: here it is counted from outside.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store-world.h"

#include <signal.h>
#include <sqlite3.h>
#include <unistd.h>

#define N_ROUNDS 200

static GType sqlite_store;

typedef struct
{
  char *path;
  StrandStore *store;   /* writes */
  StrandStore *watcher; /* an object of its own, as in another process */
  sqlite3 *other;       /* another program; opened when it is needed */
} Fixture;

static StrandStore *
open_place (const char *path)
{
  return g_object_new (sqlite_store, "path", path, NULL);
}

static void
set_up (Fixture *f, gconstpointer unused)
{
  f->path = store_world_make_path ("jobs.db");
  f->store = open_place (f->path);
  f->watcher = open_place (f->path);
}

static void
tear_down (Fixture *f, gconstpointer unused)
{
  sqlite3_close (f->other);
  g_clear_object (&f->watcher);
  g_clear_object (&f->store);
  store_world_remove_above (f->path);
}

static void
put (StrandStore *store, const char *key, const char *queue)
{
  g_autoptr(StrandRecord) record = store_basics_record (key);
  g_autoptr(GError) error = NULL;

  strand_record_set_string (record, STRAND_FIELD_QUEUE, queue);
  strand_store_put (store, record, 0, &error);
  g_assert_no_error (error);
}

/* Runs SQL as another program; returns the first number that it answers. */
static gint64
query (Fixture *f, const char *sql)
{
  sqlite3_stmt *statement;
  gint64 answer = -1;

  if (f->other == NULL)
    g_assert_cmpint (sqlite3_open (f->path, &f->other), ==, SQLITE_OK);
  sqlite3_busy_timeout (f->other, 30000);
  g_assert_cmpint (sqlite3_prepare_v2 (f->other, sql, -1, &statement, NULL), ==, SQLITE_OK);
  if (sqlite3_step (statement) == SQLITE_ROW)
    answer = sqlite3_column_int64 (statement, 0);
  g_assert_cmpint (sqlite3_finalize (statement), ==, SQLITE_OK);
  return answer;
}

static gint64
count_notes (Fixture *f)
{
  return query (f, "SELECT count(*) FROM changes");
}

/* They are numbered; old ones go, where there are many. */
static gint64
last_note (Fixture *f)
{
  return query (f, "SELECT max(number) FROM changes");
}

/* A watch that has been ended is gone a moment later. */
static void
await_silence (Fixture *f)
{
  gint64 deadline_us = g_get_monotonic_time () + DEADLINE_US;
  gint64 before = -1, after = last_note (f);

  for (guint i = 0; after > before; i++)
    {
      g_autofree char *key = g_strdup_printf ("silence-%u", i);

      before = after;
      put (f->store, key, NULL);
      after = last_note (f);
      g_assert_cmpint (g_get_monotonic_time (), <, deadline_us);
    }
}

static void
test_changes_are_noted_while_somebody_watches (Fixture *f, gconstpointer unused)
{
  StoreBell bell;
  gint64 noted;

  put (f->store, "job-17", NULL);
  g_assert_cmpint (count_notes (f), ==, 0);

  store_bell_hang (&bell, f->watcher, "job-18");
  put (f->store, "job-18", NULL);
  store_bell_await (&bell, "job-18", TRUE);
  g_assert_cmpint (count_notes (f), ==, 1);
  g_assert_true (strand_store_remove (f->store, "job-18", 1, NULL));
  store_bell_await (&bell, "job-18", FALSE);
  g_assert_cmpint (query (f, "SELECT count(*) FROM changes WHERE \"key\" = 'job-18'"), ==, 2);
  store_bell_take_down (&bell);

  await_silence (f);
  noted = last_note (f);
  g_assert_true (strand_store_remove (f->store, "job-17", 1, NULL));
  g_assert_cmpint (last_note (f), ==, noted);
}

/* One who comes while the watch rests, and one who comes when it has ended. */
static void
test_watch_that_rests_is_taken_up_again (Fixture *f, gconstpointer unused)
{
  StoreBell bell;

  put (f->store, "job-17", NULL);
  store_bell_hang (&bell, f->watcher, "job-17");
  store_bell_take_down (&bell);
  store_bell_hang (&bell, f->watcher, "job-17");
  g_assert_true (strand_store_remove (f->store, "job-17", 1, NULL));
  store_bell_await (&bell, "job-17", FALSE);
  store_bell_take_down (&bell);

  await_silence (f);
  store_bell_hang (&bell, f->watcher, "job-17");
  put (f->store, "job-17", NULL);
  store_bell_await (&bell, "job-17", TRUE);
  store_bell_take_down (&bell);
}

static void
note_told (StrandStore *store, const char *key, gpointer told)
{
  g_atomic_int_inc ((int *) told);
}

/* Who waits for work looks for it, and reads no notes. */
static void
test_work_needs_no_notes (Fixture *f, gconstpointer unused)
{
  int told = 0;
  guint id;

  put (f->store, "job-17", NULL);
  id = strand_store_watch_queue (f->watcher, "mail", note_told, &told, NULL);
  put (f->store, "job-18", "mail");
  wait_still (g_atomic_int_get (&told) > 0);
  strand_store_unwatch (f->watcher, id);
  g_assert_cmpint (count_notes (f), ==, 0);
}

/* Role: watches, says so, and is there until it is killed. */
static int
play_watch (const char *path)
{
  StrandStore *store = open_place (path);
  StoreBell bell;

  store_bell_hang (&bell, store, "job-17");
  g_assert_cmpint (write (STDOUT_FILENO, "x", 1), ==, 1);
  pause ();
  return 1;
}

static void
test_killed_watcher_is_forgotten (Fixture *f, gconstpointer unused)
{
  char byte;
  int out;
  GPid pid;

  put (f->store, "job-17", NULL);
  pid = store_world_start ("--watch", f->path, &out);
  g_assert_cmpint (read (out, &byte, 1), ==, 1);
  put (f->store, "job-18", NULL);
  g_assert_cmpint (count_notes (f), ==, 1);

  g_assert_cmpint (kill (pid, SIGKILL), ==, 0);
  store_world_reap (pid);
  close (out);
  put (f->store, "job-19", NULL);
  g_assert_cmpint (count_notes (f), ==, 1);
}

/* A writer that asked who watches just before somebody did, and wrote after that. */
static void
test_transaction_that_knows_of_nobody_is_told_of (Fixture *f, gconstpointer unused)
{
  StoreBell bell;

  put (f->store, "job-17", NULL);
  query (f, "SELECT 1");
  sqlite3_db_config (f->other, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
  query (f, "BEGIN IMMEDIATE");
  query (f, "DELETE FROM records WHERE \"key\" = 'job-17'");
  store_bell_hang (&bell, f->watcher, "job-17");
  query (f, "COMMIT");
  store_bell_await (&bell, "job-17", FALSE);
  store_bell_take_down (&bell);
}

typedef struct
{
  StrandStore *store;
  GAsyncQueue *wanted; /* of keys */
} Writer;

static gpointer
write_what_is_wanted (gpointer data)
{
  Writer *writer = data;

  for (guint i = 0; i < N_ROUNDS; i++)
    {
      g_autofree char *key = g_async_queue_pop (writer->wanted);

      put (writer->store, key, NULL);
    }
  return NULL;
}

/* Whatever comes first, no change is missed. */
static void
test_watching_and_writing_at_once_misses_nothing (Fixture *f, gconstpointer unused)
{
  g_autoptr(GAsyncQueue) wanted = g_async_queue_new ();
  Writer writer = { f->store, wanted };
  GThread *thread = g_thread_new ("writer", write_what_is_wanted, &writer);

  for (guint i = 0; i < N_ROUNDS; i++)
    {
      g_autofree char *key = g_strdup_printf ("job-%u", i);
      g_autoptr(StrandRecord) record = NULL;
      StoreBell bell;

      g_async_queue_push (wanted, g_strdup (key));
      store_bell_hang (&bell, f->watcher, key);
      record = strand_store_get (f->watcher, key, NULL);
      if (record == NULL)
        store_bell_await (&bell, key, TRUE);
      store_bell_take_down (&bell);
    }
  g_thread_join (thread);
}

static const StoreRole roles[] = { { "--watch", play_watch }, { NULL } };

#define ADD(name, run) g_test_add ("/sqlite-watch/" name, Fixture, NULL, set_up, run, tear_down)

int
main (int argc, char **argv)
{
  int status;

  sqlite_store = store_basics_load ("sqlite-store");
  if (store_world_play (argc, argv, roles, &status))
    return status;
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);

  ADD ("changes-are-noted-while-somebody-watches", test_changes_are_noted_while_somebody_watches);
  ADD ("watch-that-rests-is-taken-up-again", test_watch_that_rests_is_taken_up_again);
  ADD ("work-needs-no-notes", test_work_needs_no_notes);
  ADD ("killed-watcher-is-forgotten", test_killed_watcher_is_forgotten);
  ADD ("transaction-that-knows-of-nobody-is-told-of", test_transaction_that_knows_of_nobody_is_told_of);
  ADD ("watching-and-writing-at-once-misses-nothing", test_watching_and_writing_at_once_misses_nothing);

  return g_test_run ();
}
