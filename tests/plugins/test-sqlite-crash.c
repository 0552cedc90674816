/* test-sqlite-crash.c — what the sqlite store leaves when it is killed at any step, or a system call fails.
 *
 * The store's own sources are built into this program, with a crash point after each of their steps. Each
 * scenario is one change. A child of its own makes it: killed at the first point, at the second, and so on
 * until it gets through; then killed before each system call that changes something; then with each of these
 * calls failing. What is left each time must be what was there before or what was to be, nothing between and
 * no litter, and exactly the latter where the child had been told that it was accepted.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store-world.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The store's, from the sources built in. */
GType strand_sqlite_store_get_type (void);
void strand_crash_point (const char *name);

#define OWNER "reader-15000:test"
#define NOW_US (1000 * (gint64) G_USEC_PER_SEC)

/* More steps than any scenario has, so that one that never gets through is noticed. */
#define MAX_STEPS 2000

typedef struct
{
  const char *name; /* the child's role */
  void (*prepare) (StrandStore *store);
  gboolean (*change) (StrandStore *store, GError **error);

  /* Whether the change has been made; fails the test on anything between. */
  gboolean (*is_made) (StrandStore *store);
  const char *steps; /* names of crash points that it must have met */
  guint n_commits;   /* after so many it is made */
} Scenario;

/* --- the child ----------------------------------------------------------------------------------------- */

static guint crash_at; /* 0 for never */

void
strand_crash_point (const char *name)
{
  if (crash_at == 0 || --crash_at > 0)
    return;
  if (write (STDOUT_FILENO, name, strlen (name)) < 0 || kill (getpid (), SIGKILL) != 0)
    g_error ("cannot be killed at '%s'", name);
}

static StrandStore *
open_store (const char *path)
{
  return g_object_new (strand_sqlite_store_get_type (), "path", path, "auto-cleanup", FALSE, NULL);
}

static guint
get_number (const char *variable)
{
  const char *text = g_getenv (variable);

  return text != NULL ? (guint) g_ascii_strtoull (text, NULL, 10) : 0;
}

/* Makes the change; says on its output whether it was accepted. */
static int
play (const Scenario *scenario, const char *path)
{
  StrandStore *store = open_store (path);
  g_autoptr(GError) error = NULL;
  g_autofree char *said = NULL;

  if (g_getenv ("STRAND_FAULT_LATER") != NULL)
    g_setenv ("STRAND_FAULT", g_getenv ("STRAND_FAULT_LATER"), TRUE);
  crash_at = get_number ("STRAND_CRASH_AT");
  said = scenario->change (store, &error) ? g_strdup ("accepted")
                                          : g_strconcat ("refused: ", error->message, NULL);
  crash_at = 0;
  g_unsetenv ("STRAND_FAULT");
  g_print ("%s", said);
  g_object_unref (store);
  return 0;
}

/* --- scenarios ----------------------------------------------------------------------------------------- */

static void
put (StrandStore *store, StrandRecord *record)
{
  g_autoptr(GError) error = NULL;

  strand_store_put (store, record, strand_record_get_revision (record), &error);
  g_assert_no_error (error);
}

static StrandRecord *
get (StrandStore *store, const char *key)
{
  g_autoptr(GError) error = NULL;
  StrandRecord *record = strand_store_get (store, key, &error);

  g_assert_true (record != NULL || g_error_matches (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND));
  return record;
}

static void
prepare_one (StrandStore *store)
{
  g_autoptr(StrandRecord) record = store_basics_record ("there");

  put (store, record);
}

static void
prepare_nothing (StrandStore *store)
{
}

static gboolean
put_new (StrandStore *store, GError **error)
{
  g_autoptr(StrandRecord) record = store_basics_record ("new");

  return strand_store_put (store, record, 0, error);
}

static gboolean
is_new_there (StrandStore *store)
{
  g_autoptr(StrandRecord) record = get (store, "new");

  g_assert_true (record == NULL || strand_record_get_revision (record) == 1);
  return record != NULL;
}

static gboolean
put_changed (StrandStore *store, GError **error)
{
  g_autoptr(StrandRecord) record = strand_store_get (store, "there", error);

  if (record == NULL)
    return FALSE;
  strand_record_set_string (record, STRAND_FIELD_MESSAGE, "changed");
  return strand_store_put (store, record, 1, error);
}

static gboolean
is_changed (StrandStore *store)
{
  g_autoptr(StrandRecord) record = get (store, "there");
  gboolean changed = g_strcmp0 (strand_record_get_string (record, STRAND_FIELD_MESSAGE), "changed") == 0;

  g_assert_cmpuint (strand_record_get_revision (record), ==, changed ? 2 : 1);
  return changed;
}

static const char *const call_keys[] = { "a", "b", "c", NULL };

static void
prepare_waiting (StrandStore *store)
{
  for (guint i = 0; call_keys[i] != NULL; i++)
    {
      g_autoptr(StrandRecord) record = store_basics_record (call_keys[i]);

      strand_record_set_string (record, STRAND_FIELD_QUEUE, "mail");
      strand_record_set_int (record, STRAND_FIELD_NOT_BEFORE, i * G_USEC_PER_SEC);
      put (store, record);
    }
}

static gboolean
claim (StrandStore *store, GError **error)
{
  static const char *const queues[] = { "mail", NULL };
  const StrandClaim wanted = { queues, OWNER, NOW_US, 10 };
  g_autoptr(GPtrArray) claimed = strand_store_claim (store, &wanted, NULL, error);

  g_assert_true (claimed == NULL || claimed->len == 3);
  return claimed != NULL;
}

/* All are in this state, with what belongs to it, or none is. */
static gboolean
is_each (StrandStore *store, StrandStatus before, StrandStatus after)
{
  guint n_after = 0;

  for (guint i = 0; call_keys[i] != NULL; i++)
    {
      g_autoptr(StrandRecord) record = get (store, call_keys[i]);
      StrandStatus status = strand_record_get_status (record);
      gboolean runs = status == STRAND_STATUS_RUNNING;

      g_assert_true (status == before || status == after);
      g_assert_cmpstr (strand_record_get_string (record, STRAND_FIELD_LEASE_OWNER), ==, runs ? OWNER : NULL);
      g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_FENCE), ==,
                       status == STRAND_STATUS_PENDING ? 0 : 1);
      n_after += status == after;
    }
  g_assert_true (n_after == 0 || n_after == 3);
  return n_after == 3;
}

static gboolean
is_claimed (StrandStore *store)
{
  return is_each (store, STRAND_STATUS_PENDING, STRAND_STATUS_RUNNING);
}

static void
prepare_running (StrandStore *store)
{
  prepare_waiting (store);
  g_assert_true (claim (store, NULL));
}

static gboolean
complete (StrandStore *store, GError **error)
{
  g_autoptr(GPtrArray) records = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_record_unref);
  guint64 expected[3];
  GError *errors[3];
  guint n_put;

  for (guint i = 0; i < 3; i++)
    {
      StrandRecord *record = strand_store_get (store, call_keys[i], error);

      if (record == NULL)
        return FALSE;
      expected[i] = strand_record_get_revision (record);
      strand_record_end (record, STRAND_STATUS_COMPLETED, NOW_US);
      g_ptr_array_add (records, record);
    }
  n_put = strand_store_put_batch (store, (StrandRecord *const *) records->pdata, expected, 3, errors);
  g_assert_true (n_put == 0 || n_put == 3);
  if (n_put == 3)
    return TRUE;
  g_propagate_error (error, errors[0]);
  g_clear_error (&errors[1]);
  g_clear_error (&errors[2]);
  return FALSE;
}

static gboolean
is_completed (StrandStore *store)
{
  return is_each (store, STRAND_STATUS_RUNNING, STRAND_STATUS_COMPLETED);
}

static gboolean
append (StrandStore *store, guint64 first, guint n, GError **error)
{
  g_autoptr(GPtrArray) items = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);

  for (guint i = 0; i < n; i++)
    {
      char text = (char) ('0' + first + i);

      g_ptr_array_add (items, g_bytes_new (&text, 1));
    }
  return strand_store_append_items (store, "there", 1, first, (GBytes *const *) items->pdata, n, 4, error);
}

static void
prepare_items (StrandStore *store)
{
  g_autoptr(StrandRecord) record = store_basics_record ("there");

  strand_record_set_int (record, STRAND_FIELD_ITEMS, 3);
  strand_record_set_int (record, STRAND_FIELD_FENCE, 1);
  put (store, record);
  g_assert_true (append (store, 0, 3, NULL));
}

static gboolean
append_more (StrandStore *store, GError **error)
{
  return append (store, 3, 5, error);
}

static char *
read_items (StrandStore *store, guint64 *first)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) items = strand_store_read_items (store, "there", 1, 0, 100, first, &error);
  g_autoptr(GString) text = g_string_new (NULL);

  g_assert_no_error (error);
  for (guint i = 0; i < items->len; i++)
    g_string_append_c (text, *(const char *) g_bytes_get_data (g_ptr_array_index (items, i), NULL));
  return g_string_free (g_steal_pointer (&text), FALSE);
}

static gboolean
are_items_appended (StrandStore *store)
{
  guint64 first;
  g_autofree char *items = read_items (store, &first);

  if (strcmp (items, "012") == 0)
    return FALSE;
  g_assert_cmpstr (items, ==, "4567");
  g_assert_cmpuint (first, ==, 4);
  return TRUE;
}

static gboolean
remove_there (StrandStore *store, GError **error)
{
  return strand_store_remove (store, "there", 1, error);
}

/* A record's items may go before it does, as nobody who removes it needs them; they never stay behind. */
static gboolean
is_removed (StrandStore *store)
{
  g_autoptr(StrandRecord) record = get (store, "there");
  guint64 first;
  g_autofree char *items = read_items (store, &first);

  g_assert_true (strcmp (items, "") == 0 || (record != NULL && strcmp (items, "012") == 0));
  return record == NULL;
}

static const Scenario scenarios[] = {
  { "--create", prepare_nothing, put_new, is_new_there, "schema,put row,job,commit,ring", 1 },
  { "--put", prepare_one, put_new, is_new_there, "put row,job,commit,ring", 1 },
  { "--change", prepare_one, put_changed, is_changed, "put row,job,commit,ring", 1 },
  { "--claim", prepare_waiting, claim, is_claimed, "begin,move due,claim rows,job,commit,ring", 1 },
  { "--complete", prepare_running, complete, is_completed, "begin,put row,job,commit,ring", 1 },
  { "--append", prepare_items, append_more, are_items_appended, "begin,cut items,add item,job,commit,ring",
    1 },
  { "--remove", prepare_items, remove_there, is_removed, "job,commit,ring", 2 },
};

/* --- the parent ---------------------------------------------------------------------------------------- */

typedef struct
{
  const Scenario *scenario;
  char *path;
  char *before; /* the database before the change; NULL for none */
  gsize before_length;
} World;

static void
make_world (World *world, const Scenario *scenario)
{
  g_autoptr(StrandStore) store = NULL;

  world->scenario = scenario;
  world->path = store_world_make_path ("jobs.db");
  store = open_store (world->path);
  scenario->prepare (store);
  strand_store_close (store);
  world->before = NULL;
  g_file_get_contents (world->path, &world->before, &world->before_length, NULL);
}

static void
end_world (World *world)
{
  g_free (world->before);
  store_world_remove_above (world->path);
}

/* Puts back what was there before. */
static void
restore (World *world)
{
  static const char *const ends[] = { "", "-wal", "-shm", "-journal" };

  for (guint i = 0; i < G_N_ELEMENTS (ends); i++)
    {
      g_autofree char *file = g_strconcat (world->path, ends[i], NULL);

      g_unlink (file);
    }
  if (world->before != NULL)
    g_assert_true (g_file_set_contents (world->path, world->before, (gssize) world->before_length, NULL));
}

/* One child; what it said. *@killed: whether it came to its end by SIGKILL. */
static char *
run_child (World *world, gboolean *killed)
{
  int out, status;
  GPid pid = store_world_start (world->scenario->name, world->path, &out);
  g_autoptr(GString) said = g_string_new (NULL);
  char buffer[4096];
  gssize n;

  while ((n = read (out, buffer, sizeof buffer)) > 0)
    g_string_append_len (said, buffer, n);
  close (out);
  status = store_world_reap (pid);
  *killed = WIFSIGNALED (status) && WTERMSIG (status) == SIGKILL;
  if (!*killed && status != 0)
    g_error ("%s ended with status %x: %s", world->scenario->name, status, said->str);
  return g_string_free (g_steal_pointer (&said), FALSE);
}

static void
assert_integrity (const char *path)
{
  sqlite3 *handle;
  sqlite3_stmt *statement;

  g_assert_cmpint (sqlite3_open (path, &handle), ==, SQLITE_OK);
  g_assert_cmpint (sqlite3_prepare_v2 (handle, "PRAGMA integrity_check", -1, &statement, NULL), ==,
                   SQLITE_OK);
  g_assert_cmpint (sqlite3_step (statement), ==, SQLITE_ROW);
  g_assert_cmpstr ((const char *) sqlite3_column_text (statement, 0), ==, "ok");
  sqlite3_finalize (statement);
  sqlite3_close (handle);
}

/* Looks at what is left, makes the change if it has not been made, and sees that there is no litter. Whether
 * it had been made. */
static gboolean
check_and_go_on (World *world)
{
  g_autoptr(StrandStore) store = open_store (world->path);
  g_autofree char *log = g_strconcat (world->path, "-wal", NULL);
  g_autoptr(GError) error = NULL;
  gboolean made = world->scenario->is_made (store);

  if (!made)
    {
      world->scenario->change (store, &error);
      g_assert_no_error (error);
      g_assert_true (world->scenario->is_made (store));
    }
  strand_store_close (store);
  g_assert_false (g_file_test (log, G_FILE_TEST_EXISTS));
  assert_integrity (world->path);
  return made;
}

static void
test_killed_at_each_step (gconstpointer data)
{
  g_autoptr(GHashTable) met = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  const Scenario *scenario = data;
  g_auto(GStrv) wanted = g_strsplit (scenario->steps, ",", -1);
  gboolean killed = TRUE;
  guint n_commits = 0;
  World world;

  make_world (&world, scenario);
  for (guint step = 1; killed; step++)
    {
      g_autofree char *number = g_strdup_printf ("%u", step);
      g_autofree char *said = NULL;
      gboolean made;

      restore (&world);
      g_setenv ("STRAND_CRASH_AT", number, TRUE);
      said = run_child (&world, &killed);
      made = check_and_go_on (&world);
      g_assert_true (killed || made);
      n_commits += killed && strcmp (said, "commit") == 0;
      if (n_commits >= scenario->n_commits)
        g_assert_true (made);
      if (killed)
        g_hash_table_add (met, g_steal_pointer (&said));
      g_assert_cmpuint (step, <, MAX_STEPS);
    }
  g_unsetenv ("STRAND_CRASH_AT");
  for (guint i = 0; wanted[i] != NULL; i++)
    if (!g_hash_table_contains (met, wanted[i]))
      g_error ("%s never came to '%s'", scenario->name, wanted[i]);
  end_world (&world);
}

/* --- system calls -------------------------------------------------------------------------------------- */

static void
preload_shim (World *world)
{
  g_autofree char *folder = g_path_get_dirname (world->path);
  const char *sanitizer = g_getenv ("ASAN_OPTIONS");
  g_autofree char *options =
      g_strconcat (sanitizer != NULL ? sanitizer : "", ":verify_asan_link_order=0", NULL);

  g_setenv ("ASAN_OPTIONS", options, TRUE);
  g_setenv ("STRAND_FAULT_PATH", folder, TRUE);
  g_setenv ("LD_PRELOAD", g_getenv ("STRAND_FAULT_SHIM"), TRUE);
}

static void
take_shim_off (void)
{
  g_unsetenv ("LD_PRELOAD");
  g_unsetenv ("STRAND_FAULT_LATER");
  g_unsetenv ("STRAND_FAULT_PATH");
}

/* Runs a child once for each call, until it makes no more of them. @what: of fault-shim.c. */
static guint
strike_each (const Scenario *scenario, const char *calls, const char *what)
{
  g_autofree char *log = NULL;
  gboolean hit = TRUE;
  guint nth;
  World world;

  make_world (&world, scenario);
  log = g_strconcat (world.path, ".faults", NULL);
  g_setenv ("STRAND_FAULT_LOG", log, TRUE);
  for (nth = 1; hit; nth++)
    {
      g_autofree char *fault = g_strdup_printf ("%s:%u:%s", calls, nth, what);
      g_autofree char *said = NULL;
      gboolean killed, made;

      restore (&world);
      preload_shim (&world);
      g_setenv ("STRAND_FAULT_LATER", fault, TRUE);
      said = run_child (&world, &killed);
      take_shim_off ();
      hit = g_unlink (log) == 0;
      g_assert_true (killed == (hit && strcmp (what, "kill") == 0));

      made = check_and_go_on (&world);
      if (!killed && made != (strcmp (said, "accepted") == 0))
        g_error ("%s, %s: it says '%s', and the change has %sbeen made", scenario->name, fault, said,
                 made ? "" : "not ");
      g_assert_cmpuint (nth, <, MAX_STEPS);
    }
  g_unsetenv ("STRAND_FAULT_LOG");
  end_world (&world);
  return nth - 2;
}

static gboolean
has_shim (void)
{
  if (g_getenv ("STRAND_FAULT_SHIM") != NULL)
    return TRUE;
  g_test_skip ("STRAND_FAULT_SHIM does not say where the shim is");
  return FALSE;
}

static void
test_killed_before_each_system_call (gconstpointer scenario)
{
  if (has_shim ())
    g_assert_cmpuint (strike_each (scenario, "change", "kill"), >, 2);
}

static void
test_each_system_call_fails (gconstpointer scenario)
{
  static const char *const faults[] = { "ENOSPC", "EIO", "EINTR", "short" };

  for (guint i = 0; has_shim () && i < G_N_ELEMENTS (faults); i++)
    g_assert_cmpuint (
        strike_each (scenario, i < 2 ? "write,pwrite,fsync,fdatasync,ftruncate" : "write,pwrite", faults[i]),
        >, 1);
}

static void
add (const char *what, const Scenario *scenario, GTestDataFunc run)
{
  g_autofree char *path = g_strdup_printf ("/sqlite-crash/%s/%s", what, scenario->name + 2);

  g_test_add_data_func (path, scenario, run);
}

int
main (int argc, char **argv)
{
  if (argc == 3 && *argv[2] == '/')
    for (guint i = 0; i < G_N_ELEMENTS (scenarios); i++)
      if (strcmp (argv[1], scenarios[i].name) == 0)
        return play (&scenarios[i], argv[2]);
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (scenarios); i++)
    {
      add ("killed-at-each-step", &scenarios[i], test_killed_at_each_step);
      add ("killed-before-each-system-call", &scenarios[i], test_killed_before_each_system_call);
      add ("each-system-call-fails", &scenarios[i], test_each_system_call_fails);
    }
  return g_test_run ();
}
