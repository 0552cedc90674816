/* test-unique.c — at most one call at a time of all that have the same unique key.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "call-fixture.h"
#include "store-fixture.h"

#include <stdio.h>
#include <string.h>

#define SECOND ((gint64) G_USEC_PER_SEC)
#define MINUTE (60 * SECOND)
#define START G_GINT64_CONSTANT (1700000000000000)

#define UNIQUE "invoice 17: PDF"
#define N_LAUNCHERS 8
#define N_LAUNCHES 100

typedef struct
{
  char *folder;
  StrandStore *store;
} Fixture;

static void
set_up (Fixture *f, gconstpointer type)
{
  f->folder = fixture_make_folder ();
  f->store = fixture_open_store (type, f->folder);
}

static void
tear_down (Fixture *f, gconstpointer type)
{
  strand_clock_set_system ();
  strand_store_close (f->store);
  wait_until (g_atomic_int_get (&G_OBJECT (f->store)->ref_count) == 1);
  finalize_soon (f->store);
  fixture_remove_folder (f->folder);
}

static StrandRecord *
new_call (const char *key)
{
  StrandRecord *record = strand_record_new (key);
  g_autoptr(GVariant) arguments = g_variant_ref_sink (g_variant_new_parsed ("(int64 20, int64 22)"));

  strand_record_set_string (record, STRAND_FIELD_FUNCTION, "test.add");
  strand_record_set_string (record, STRAND_FIELD_QUEUE, "default");
  strand_record_set_string (record, STRAND_FIELD_UNIQUE, UNIQUE);
  strand_record_set_int (record, STRAND_FIELD_CREATED, strand_clock_now_us ());
  g_assert_true (strand_record_set_arguments (record, arguments, NULL, NULL));
  return record;
}

/* "won", "kept KEY" or "refused": what became of one launch. */
static char *
launch (StrandStore *store, const char *key, StrandConflict conflict)
{
  g_autoptr(StrandRecord) record = new_call (key);
  g_autoptr(GError) error = NULL;
  g_autofree char *holder = NULL;

  if (strand_store_put_unique (store, record, conflict, &holder, &error))
    return g_strdup ("won");
  if (holder != NULL)
    return g_strdup_printf ("kept %s", holder);
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_EXISTS);
  return g_strdup ("refused");
}

static void
expect_launch (Fixture *f, const char *key, StrandConflict conflict, const char *expected)
{
  g_autofree char *outcome = launch (f->store, key, conflict);

  g_assert_cmpstr (outcome, ==, expected);
}

static void
end_call (Fixture *f, const char *key)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandRecord) record = strand_store_get (f->store, key, &error);

  g_assert_no_error (error);
  strand_record_claim (record, "test", strand_clock_now_us ());
  strand_record_end (record, STRAND_STATUS_COMPLETED, strand_clock_now_us ());
  g_assert_true (strand_store_put (f->store, record, strand_record_get_revision (record), &error));
  g_assert_no_error (error);
}

static gint64
count (Fixture *f, StrandStatus status)
{
  return strand_store_count (f->store, &(StrandFilter){ .kind = "call", .statuses = 1u << status }, NULL);
}

/* --- one launch after the other
 * -----------------------------------------------------------------------------
 */

static void
test_key_is_held_until_the_end (Fixture *f, gconstpointer type)
{
  expect_launch (f, "one", STRAND_CONFLICT_KEEP, "won");
  expect_launch (f, "two", STRAND_CONFLICT_KEEP, "kept one");
  expect_launch (f, "three", STRAND_CONFLICT_REJECT, "refused");
  end_call (f, "one");
  expect_launch (f, "four", STRAND_CONFLICT_REJECT, "won");
  expect_launch (f, "five", STRAND_CONFLICT_KEEP, "kept four");
  g_assert_cmpint (count (f, STRAND_STATUS_PENDING), ==, 1);
}

static void
test_key_is_free_when_the_record_is_gone (Fixture *f, gconstpointer type)
{
  expect_launch (f, "one", STRAND_CONFLICT_KEEP, "won");
  g_assert_true (strand_store_remove (f->store, "one", 0, NULL));
  expect_launch (f, "two", STRAND_CONFLICT_KEEP, "won");
}

static void
test_replacing_cancels_the_one_before (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandRecord) record = NULL;

  expect_launch (f, "one", STRAND_CONFLICT_KEEP, "won");
  expect_launch (f, "two", STRAND_CONFLICT_REPLACE, "won");
  record = strand_store_get (f->store, "one", NULL);
  g_assert_cmpint (strand_record_get_status (record), ==, STRAND_STATUS_CANCELLED);
  expect_launch (f, "three", STRAND_CONFLICT_KEEP, "kept two");
}

static void
test_forgotten_keys_leave_nothing (Fixture *f, gconstpointer type)
{
  const StrandFilter filter = { .kind = "unique" };

  expect_launch (f, "one", STRAND_CONFLICT_KEEP, "won");
  g_assert_cmpuint (strand_store_finish_unique (f->store, NULL), ==, 0);
  g_assert_cmpint (strand_store_count (f->store, &filter, NULL), ==, 1);
  end_call (f, "one");
  g_assert_cmpuint (strand_store_finish_unique (f->store, NULL), ==, 0);
  g_assert_cmpint (strand_store_count (f->store, &filter, NULL), ==, 0);
}

/* --- all at once
 * --------------------------------------------------------------------------------------------
 */

/* How many of the launches are launcher @number's. */
static guint
share_of (guint number)
{
  return N_LAUNCHES / N_LAUNCHERS + (number < N_LAUNCHES % N_LAUNCHERS);
}

static void
launch_share (StrandStore *store, guint number, StrandConflict conflict, GString *outcomes)
{
  for (guint i = 0; i < share_of (number); i++)
    {
      g_autofree char *key = g_strdup_printf ("call-%u-%u", number, i);
      g_autofree char *outcome = launch (store, key, conflict);

      g_string_append_printf (outcomes, "%s %s;", key, outcome);
    }
}

/* A process: "--launch TYPE FOLDER NUMBER CONFLICT". Waits for a line, and says what became of its launches.
 */
static int
be_launcher (char **argv)
{
  StrandStore *store = fixture_open_store (argv[2], argv[3]);
  g_autoptr(GString) outcomes = g_string_new (NULL);

  /* So that the store is open when it begins. */
  strand_store_count (store, NULL, NULL);
  puts ("ready");
  fflush (stdout);
  getchar ();
  launch_share (store, (guint) atoi (argv[4]), (StrandConflict) atoi (argv[5]), outcomes);
  puts (outcomes->str);
  strand_store_close (store);
  g_object_unref (store);
  return 0;
}

typedef struct
{
  StrandStore *store;
  guint number;
  StrandConflict conflict;
  Gate *gate;
  GString *outcomes;
} Launcher;

static gpointer
launch_in_thread (gpointer data)
{
  Launcher *launcher = data;

  gate_pass (launcher->gate);
  launch_share (launcher->store, launcher->number, launcher->conflict, launcher->outcomes);
  return NULL;
}

static char *
launch_from_threads (Fixture *f, StrandConflict conflict)
{
  GThread *threads[N_LAUNCHERS];
  Launcher launchers[N_LAUNCHERS];
  GString *all = g_string_new (NULL);
  Gate gate;

  gate_init (&gate);
  for (guint i = 0; i < N_LAUNCHERS; i++)
    {
      launchers[i] = (Launcher){ f->store, i, conflict, &gate, g_string_new (NULL) };
      threads[i] = g_thread_new ("launcher", launch_in_thread, &launchers[i]);
    }
  gate_wait_inside (&gate, N_LAUNCHERS);
  gate_open (&gate);
  for (guint i = 0; i < N_LAUNCHERS; i++)
    {
      g_thread_join (threads[i]);
      g_string_append (all, launchers[i].outcomes->str);
      g_string_free (launchers[i].outcomes, TRUE);
    }
  gate_clear (&gate);
  return g_string_free (all, FALSE);
}

static char *
launch_from_processes (Fixture *f, const char *type, StrandConflict conflict)
{
  GSubprocess *processes[N_LAUNCHERS];
  g_autofree char *word = g_strdup_printf ("%d", conflict);
  GString *all = g_string_new (NULL);

  for (guint i = 0; i < N_LAUNCHERS; i++)
    {
      g_autofree char *number = g_strdup_printf ("%u", i);

      processes[i] = fixture_spawn ("--launch", type, f->folder, number, word, NULL);
    }
  for (guint i = 0; i < N_LAUNCHERS; i++)
    fixture_expect_line (processes[i], "ready");
  for (guint i = 0; i < N_LAUNCHERS; i++)
    fixture_send_line (processes[i]);
  for (guint i = 0; i < N_LAUNCHERS; i++)
    {
      g_autofree char *line = fixture_read_line (processes[i]);

      g_string_append (all, line);
      fixture_expect_exit (processes[i]);
      g_object_unref (processes[i]);
    }
  return g_string_free (all, FALSE);
}

/* "KEY OUTCOME" of each launch. */
static GStrv
launch_all (Fixture *f, const char *type, StrandConflict conflict)
{
  g_autofree char *all = strcmp (type, "memory") == 0 ? launch_from_threads (f, conflict)
                                                      : launch_from_processes (f, type, conflict);
  GStrv outcomes = g_strsplit (all, ";", -1);

  /* The last one is what follows the last semicolon. */
  g_assert_cmpuint (g_strv_length (outcomes), ==, N_LAUNCHES + 1);
  return outcomes;
}

static guint
count_ends (GStrv outcomes, const char *end, const char **key)
{
  guint n = 0;

  for (guint i = 0; outcomes[i] != NULL; i++)
    if (g_str_has_suffix (outcomes[i], end))
      {
        n++;
        if (key != NULL)
          *key = outcomes[i];
      }
  return n;
}

static void
test_one_of_a_hundred_wins (Fixture *f, gconstpointer type)
{
  g_auto(GStrv) outcomes = launch_all (f, type, STRAND_CONFLICT_KEEP);
  const char *winner = NULL;
  g_autofree char *kept = NULL;

  g_assert_cmpuint (count_ends (outcomes, " won", &winner), ==, 1);
  kept = g_strdup_printf (" kept %.*s", (int) strcspn (winner, " "), winner);
  g_assert_cmpuint (count_ends (outcomes, kept, NULL), ==, N_LAUNCHES - 1);
  g_assert_cmpint (count (f, STRAND_STATUS_PENDING), ==, 1);
  g_assert_cmpint (strand_store_count (f->store, &(StrandFilter){ .kind = "call" }, NULL), ==, 1);
}

static void
test_the_others_of_a_hundred_are_refused (Fixture *f, gconstpointer type)
{
  g_auto(GStrv) outcomes = launch_all (f, type, STRAND_CONFLICT_REJECT);

  g_assert_cmpuint (count_ends (outcomes, " won", NULL), ==, 1);
  g_assert_cmpuint (count_ends (outcomes, " refused", NULL), ==, N_LAUNCHES - 1);
  g_assert_cmpint (count (f, STRAND_STATUS_PENDING), ==, 1);
}

static void
test_one_of_a_hundred_replacements_is_left (Fixture *f, gconstpointer type)
{
  g_auto(GStrv) outcomes = launch_all (f, type, STRAND_CONFLICT_REPLACE);

  g_assert_cmpuint (count_ends (outcomes, " won", NULL), ==, N_LAUNCHES);
  g_assert_cmpint (count (f, STRAND_STATUS_PENDING), ==, 1);
  g_assert_cmpint (count (f, STRAND_STATUS_CANCELLED), ==, N_LAUNCHES - 1);
}

/* --- launches that were cut short
 * ---------------------------------------------------------------------------
 */

static char *
holder_key (void)
{
  g_autofree char *digest = g_compute_checksum_for_string (G_CHECKSUM_SHA256, UNIQUE, -1);

  return g_strconcat ("strand.unique.", digest, NULL);
}

/* What a launcher leaves that is killed between its two writes. */
static void
leave_half_a_launch (Fixture *f, const char *key)
{
  g_autofree char *place = holder_key ();
  g_autoptr(StrandRecord) call = new_call (key);
  g_autoptr(GBytes) body = strand_record_to_json (call);
  g_autoptr(StrandRecord) holder = strand_record_new (place);
  g_autoptr(GError) error = NULL;

  strand_record_set_string (holder, STRAND_FIELD_KIND, "unique");
  strand_record_set_string (holder, STRAND_FIELD_FUNCTION, key);
  strand_record_set_string (holder, STRAND_FIELD_UNIQUE, UNIQUE);
  strand_record_set_int (holder, STRAND_FIELD_CREATED, strand_clock_now_us ());
  strand_record_set_bytes (holder, STRAND_FIELD_ARGUMENTS, body);
  strand_record_set_string (holder, STRAND_FIELD_ARGUMENTS_TYPE, "ay");
  g_assert_true (strand_store_put (f->store, holder, 0, &error));
  g_assert_no_error (error);
}

static void
test_half_a_launch_is_finished_by_a_reader (Fixture *f, gconstpointer type)
{
  const char *const queues[] = { "default", NULL };
  StrandTaskrunner *runner = make_runner ("thread", "workers", 1, NULL);
  StrandReader *reader = strand_reader_new (f->store, runner, queues);
  g_autoptr(StrandRecord) record = NULL;
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GError) error = NULL;

  leave_half_a_launch (f, "one");
  g_assert_true (strand_reader_listen (reader, &error));
  wait_until (count (f, STRAND_STATUS_COMPLETED) == 1);
  record = strand_store_get (f->store, "one", &error);
  value = strand_record_dup_value (record, &error);
  g_assert_no_error (error);
  g_assert_cmpint (g_variant_get_int64 (value), ==, 42);
  g_assert_true (strand_reader_stop (reader, g_get_monotonic_time () + DEADLINE_US, &error));
  g_object_unref (reader);
  close_runner (runner);
}

static void
test_half_a_launch_is_finished_by_the_next_launcher (Fixture *f, gconstpointer type)
{
  leave_half_a_launch (f, "one");
  expect_launch (f, "two", STRAND_CONFLICT_KEEP, "kept one");
  g_assert_cmpint (count (f, STRAND_STATUS_PENDING), ==, 1);
  g_assert_cmpuint (strand_store_finish_unique (f->store, NULL), ==, 0);
}

/* It was finished, ran, and was forgotten; only the note that it was launched is missing. */
static void
test_what_has_been_is_not_launched_again (Fixture *f, gconstpointer type)
{
  strand_clock_set_manual (START);
  g_object_set (f->store, "ttl", MINUTE, NULL);
  leave_half_a_launch (f, "one");
  strand_clock_advance (MINUTE + 1);
  strand_store_finish_unique (f->store, NULL);
  g_assert_cmpint (strand_store_count (f->store, &(StrandFilter){ .kind = "call" }, NULL), ==, 0);
  expect_launch (f, "two", STRAND_CONFLICT_KEEP, "won");
}

typedef struct
{
  Fixture *f;
  GThread *launcher;
  gboolean done;
} Standstill;

/* Right after a launcher's first write: it stands still, and the others go on without it. */
static void
on_reserved (StrandStore *store, const char *key, gpointer data)
{
  Standstill *standstill = data;

  /* A store that watches other processes tells of this write a second time, on a thread of its own. */
  if (g_thread_self () != standstill->launcher || standstill->done)
    return;
  standstill->done = TRUE;
  g_assert_cmpuint (strand_store_finish_unique (store, NULL), ==, 1);
  end_call (standstill->f, "one");
  strand_clock_advance (MINUTE + 1);
  strand_store_cleanup_expired (store, -1, NULL);
}

static void
test_launcher_that_stood_still_does_not_resurrect (Fixture *f, gconstpointer type)
{
  Standstill standstill = { f, g_thread_self (), FALSE };
  g_autofree char *place = holder_key ();
  g_autoptr(StrandRecord) record = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *holder = NULL;
  guint watch;

  strand_clock_set_manual (START);
  g_object_set (f->store, "ttl", MINUTE, NULL);
  record = new_call ("one");
  watch = strand_store_watch (f->store, place, on_reserved, &standstill, NULL);
  g_assert_false (strand_store_put_unique (f->store, record, STRAND_CONFLICT_KEEP, &holder, &error));
  g_assert_true (standstill.done);
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND);
  g_assert_null (holder);
  strand_store_unwatch (f->store, watch);
  g_assert_cmpint (strand_store_count (f->store, &(StrandFilter){ .kind = "call" }, NULL), ==, 0);
}

#define ADD(name, run) fixture_add_for_stores (stores, "/unique", name, Fixture, set_up, run, tear_down)

int
main (int argc, char **argv)
{
  const char *const *stores;
  int status;

  if (fixture_is_second_process (argc, argv, &status))
    return status;
  if (argc == 6 && strcmp (argv[1], "--launch") == 0)
    return be_launcher (argv);
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  stores = fixture_store_types ("/unique");
  fixture_add_functions ();

  ADD ("key-is-held-until-the-end", test_key_is_held_until_the_end);
  ADD ("key-is-free-when-the-record-is-gone", test_key_is_free_when_the_record_is_gone);
  ADD ("replacing-cancels-the-one-before", test_replacing_cancels_the_one_before);
  ADD ("forgotten-keys-leave-nothing", test_forgotten_keys_leave_nothing);
  ADD ("one-of-a-hundred-wins", test_one_of_a_hundred_wins);
  ADD ("the-others-of-a-hundred-are-refused", test_the_others_of_a_hundred_are_refused);
  ADD ("one-of-a-hundred-replacements-is-left", test_one_of_a_hundred_replacements_is_left);
  ADD ("half-a-launch-is-finished-by-a-reader", test_half_a_launch_is_finished_by_a_reader);
  ADD ("half-a-launch-is-finished-by-the-next-launcher", test_half_a_launch_is_finished_by_the_next_launcher);
  ADD ("what-has-been-is-not-launched-again", test_what_has_been_is_not_launched_again);
  ADD ("launcher-that-stood-still-does-not-resurrect", test_launcher_that_stood_still_does_not_resurrect);

  return fixture_run_tests ();
}
