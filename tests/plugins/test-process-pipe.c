/* test-process-pipe.c — calls that wait in a helper's pipe behind a quick one: they are as pending as those
 * in line.
 *
 * Which calls wait there, and for how long, is up to the machine; so each test makes many, and what it says
 * holds wherever they are. SPDX-License-Identifier: LGPL-2.1-or-later */

#include "../core/call-fixture.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define HOUR_US G_GINT64_CONSTANT (3600000000)

#define MANY 400

static GVariant *
own_pid (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  return g_variant_new_int64 (getpid ());
}

/* How many calls this process has run before. */
static GVariant *
own_serial (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  static guint32 n;

  return g_variant_new_uint32 (n++);
}

/* Leaves a file, and says what attempt this is. */
static GVariant *
own_mark (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  const char *path;

  g_variant_get (arguments, "(&s)", &path);
  if (g_file_test (path, G_FILE_TEST_EXISTS))
    {
      g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_EXIST, "somebody was here before");
      return NULL;
    }
  if (!g_file_set_contents (path, "", 0, error))
    return NULL;
  return g_variant_new_uint32 (strand_context_get_attempt (context));
}

static GVariant *
own_wait (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  strand_context_emit (context, g_variant_new_int64 (getpid ()), NULL);
  strand_context_sleep (context, HOUR_US, error);
  return NULL;
}

/* Deaf to all but SIGKILL. */
static GVariant *
own_deaf (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  signal (SIGTERM, SIG_IGN);
  strand_context_emit (context, g_variant_new_int64 (getpid ()), NULL);
  while (TRUE)
    pause ();
  return NULL;
}

static GVariant *
own_die (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  kill (getpid (), SIGKILL);
  return NULL;
}

static const struct
{
  const char *name;
  const char *signature;
  StrandFunc func;
} functions[] = {
  { "own.pid", "-> x", own_pid },
  { "own.serial", "-> u", own_serial },
  { "own.mark", "path:s -> u", own_mark },
  { "own.wait", "", own_wait },
  { "own.deaf", "", own_deaf },
  { "own.die", "", own_die },
};

static gboolean
register_functions (StrandRegistry *registry, GError **error)
{
  for (guint i = 0; i < G_N_ELEMENTS (functions); i++)
    if (!strand_registry_add (registry, functions[i].name, functions[i].signature, NULL, functions[i].func,
                              NULL, NULL, error))
      return FALSE;
  return TRUE;
}

/* What the tests share. */

typedef struct
{
  StrandTaskrunner *runner;
  GPtrArray *handles;
  guint n_items;
} Fixture;

static void
set_up (Fixture *f, gconstpointer n_workers)
{
  f->runner =
      make_runner ("process", "workers", GPOINTER_TO_UINT (n_workers), "kill-after", (gint64) 1000, NULL);
  f->handles = g_ptr_array_new_with_free_func (g_object_unref);
}

static void
tear_down (Fixture *f, gconstpointer unused)
{
  close_runner (f->runner);
  g_ptr_array_unref (f->handles);
}

static StrandTask *
make_task (Fixture *f, const char *function)
{
  g_autoptr(StrandFunction) found = fixture_function (function);

  return strand_task_new (found, G_OBJECT (f->runner));
}

static void
call_many (Fixture *f, const char *function, guint n)
{
  g_autoptr(StrandTask) task = make_task (f, function);

  for (guint i = 0; i < n; i++)
    g_ptr_array_add (f->handles, strand_task_call (task, NULL));
}

static GVariant *
wait_for_result (StrandHandle *handle, GError **error)
{
  g_autoptr(GError) late = NULL;

  strand_handle_wait (handle, DEADLINE_US, &late);
  g_assert_true (strand_handle_is_ready (handle));
  return strand_handle_get_result (handle, error);
}

static gboolean
count_item (StrandCall *call, GVariant *item, gpointer n, GError **error)
{
  ++*(guint *) n;
  return TRUE;
}

static StrandHandle *
call_noticed (Fixture *f, const char *function)
{
  g_autoptr(StrandTask) task = make_task (f, function);

  g_object_set (task, "grace", (gint64) 1000, NULL);
  strand_task_on_iter (task, count_item, &f->n_items, NULL);
  return strand_task_call (task, NULL);
}

static void
assert_all_completed (Fixture *f)
{
  for (guint i = 0; i < f->handles->len; i++)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(GVariant) value = wait_for_result (f->handles->pdata[i], &error);

      g_assert_no_error (error);
      g_assert_nonnull (value);
    }
}

static void
test_one_helper_runs_them_in_order (Fixture *f, gconstpointer unused)
{
  guint32 n = 0;

  call_many (f, "own.serial", 10 * MANY);
  for (guint i = 0; i < f->handles->len; i++)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(GVariant) value = wait_for_result (f->handles->pdata[i], &error);

      g_assert_no_error (error);
      g_assert_cmpuint (g_variant_get_uint32 (value), ==, n++);
    }
}

static void
test_cancelled_ones_leave_the_rest_in_order (Fixture *f, gconstpointer unused)
{
  guint32 last = 0;

  call_many (f, "own.serial", 10 * MANY);
  for (guint i = 0; i < f->handles->len; i++)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(GVariant) value = NULL;

      /* Each look lets the helper go on: so the next ones are now here, now there. */
      if (i + 5 < f->handles->len && i % 3 == 0)
        strand_handle_cancel (f->handles->pdata[i + 5]);
      value = wait_for_result (f->handles->pdata[i], &error);
      if (value == NULL)
        g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      else if (i > 0)
        g_assert_cmpuint (g_variant_get_uint32 (value), >=, last);
      if (value != NULL)
        last = g_variant_get_uint32 (value);
    }
}

static void
test_cancelled_before_its_turn_never_starts (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandTask) task = make_task (f, "own.mark");
  char *folder = fixture_make_folder ();
  guint n_unstarted = 0;

  for (guint i = 0; i < MANY; i++)
    {
      g_autofree char *path = g_strdup_printf ("%s/%u", folder, i);

      g_ptr_array_add (f->handles, strand_task_call (task, "(s)", path));
    }
  for (guint i = 0; i < MANY; i++)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(GVariant) value = NULL;

      if (i + 4 < MANY && i % 2 == 0)
        strand_handle_cancel (f->handles->pdata[i + 4]);
      value = wait_for_result (f->handles->pdata[i], &error);
    }
  /* The helpers are done with all that they were sent. */
  g_assert_true (strand_taskrunner_close (f->runner, -1, NULL));
  for (guint i = 0; i < MANY; i++)
    {
      g_autofree char *path = g_strdup_printf ("%s/%u", folder, i);
      g_autoptr(GError) error = NULL;
      g_autoptr(GVariant) value = strand_handle_get_result (f->handles->pdata[i], &error);
      gboolean unstarted = error != NULL && strstr (error->message, "before it started") != NULL;

      n_unstarted += unstarted;
      /* One that was running may have been told to stop before its first line. */
      if (unstarted || value != NULL)
        g_assert_cmpint (g_file_test (path, G_FILE_TEST_EXISTS), ==, value != NULL);
    }
  g_assert_cmpuint (n_unstarted, >, 0);
  fixture_remove_folder (folder);
  g_clear_object (&f->runner);
  f->runner = make_runner ("process", NULL);
}

static void
test_none_waits_behind_a_long_one (Fixture *f, gconstpointer unused)
{
  for (guint round = 0; round < 10; round++)
    {
      g_autoptr(StrandHandle) blocking = NULL;

      g_ptr_array_set_size (f->handles, 0);
      call_many (f, "own.pid", MANY / 4);
      blocking = call_noticed (f, "own.wait");
      call_many (f, "own.pid", MANY / 4);
      assert_all_completed (f);
      wait_until (f->n_items == round + 1);
      g_assert_cmpint (strand_handle_get_status (blocking), ==, STRAND_STATUS_RUNNING);
      strand_handle_cancel (blocking);
      wait_until (strand_handle_is_ready (blocking));
    }
}

static void
test_crash_spares_those_behind (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandTask) mark = make_task (f, "own.mark");
  g_autoptr(StrandTask) die = make_task (f, "own.die");
  char *folder = fixture_make_folder ();

  for (guint i = 0; i < MANY; i++)
    {
      g_autofree char *path = g_strdup_printf ("%s/%u", folder, i);

      g_ptr_array_add (f->handles,
                       i % 40 == 20 ? strand_task_call (die, NULL) : strand_task_call (mark, "(s)", path));
    }
  for (guint i = 0; i < MANY; i++)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(GVariant) value = wait_for_result (f->handles->pdata[i], &error);

      if (i % 40 == 20)
        g_assert_error (error, STRAND_ERROR, STRAND_ERROR_CRASHED);
      else
        {
          g_assert_no_error (error);
          g_assert_cmpuint (g_variant_get_uint32 (value), ==, 1);
        }
    }
  fixture_remove_folder (folder);
}

static void
test_killing_one_spares_those_behind (Fixture *f, gconstpointer unused)
{
  for (guint round = 0; round < 10; round++)
    {
      g_autoptr(StrandHandle) deaf = NULL;

      call_many (f, "own.pid", MANY / 20);
      deaf = call_noticed (f, "own.deaf");
      call_many (f, "own.pid", MANY / 20);
      wait_until (f->n_items == round + 1);
      strand_handle_cancel (deaf);
      wait_until (strand_handle_is_ready (deaf));
      g_assert_cmpint (strand_handle_get_status (deaf), ==, STRAND_STATUS_CANCELLED);
    }
  assert_all_completed (f);
}

static void
test_max_calls_counts_those_that_ran (Fixture *f, gconstpointer unused)
{
  g_autoptr(GHashTable) counts = g_hash_table_new (NULL, NULL);
  GHashTableIter iter;
  gpointer count;

  g_object_set (f->runner, "max-calls-per-worker", (guint64) 20, NULL);
  call_many (f, "own.pid", MANY);
  for (guint i = 0; i < MANY; i++)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(GVariant) value = wait_for_result (f->handles->pdata[i], &error);
      gpointer pid;

      g_assert_no_error (error);
      pid = GINT_TO_POINTER (g_variant_get_int64 (value));
      g_hash_table_insert (counts, pid,
                           GUINT_TO_POINTER (GPOINTER_TO_UINT (g_hash_table_lookup (counts, pid)) + 1));
    }
  g_hash_table_iter_init (&iter, counts);
  while (g_hash_table_iter_next (&iter, NULL, &count))
    g_assert_cmpuint (GPOINTER_TO_UINT (count), ==, 20);
}

static void
test_close_ends_those_in_the_pipe (Fixture *f, gconstpointer unused)
{
  guint n_completed = 0, n_cancelled = 0;

  call_many (f, "own.pid", MANY);
  strand_taskrunner_close (f->runner, g_get_monotonic_time (), NULL);
  for (guint i = 0; i < MANY; i++)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(GVariant) value = wait_for_result (f->handles->pdata[i], &error);

      n_completed += value != NULL;
      n_cancelled += g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    }
  g_assert_cmpuint (n_completed + n_cancelled, ==, MANY);
  g_clear_object (&f->runner);
  f->runner = make_runner ("process", NULL);
}

static void
test_close_waits_for_one_whose_helper_starts (Fixture *f, gconstpointer unused)
{
  call_many (f, "own.pid", 1);
  g_assert_true (strand_taskrunner_close (f->runner, -1, NULL));
  assert_all_completed (f);
  g_clear_object (&f->runner);
  f->runner = make_runner ("process", NULL);
}

#define ADD(name, n_workers, function)                                                                       \
  g_test_add ("/process-pipe/" name, Fixture, GUINT_TO_POINTER (n_workers), set_up, function, tear_down)

int
main (int argc, char **argv)
{
  strand_helper_main (argc, argv, register_functions);
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  ADD ("one-helper-runs-them-in-order", 1, test_one_helper_runs_them_in_order);
  ADD ("cancelled-ones-leave-the-rest-in-order", 1, test_cancelled_ones_leave_the_rest_in_order);
  ADD ("cancelled-before-its-turn-never-starts", 1, test_cancelled_before_its_turn_never_starts);
  ADD ("none-waits-behind-a-long-one", 2, test_none_waits_behind_a_long_one);
  ADD ("crash-spares-those-behind", 2, test_crash_spares_those_behind);
  ADD ("killing-one-spares-those-behind", 1, test_killing_one_spares_those_behind);
  ADD ("max-calls-counts-those-that-ran", 1, test_max_calls_counts_those_that_ran);
  ADD ("close-ends-those-in-the-pipe", 2, test_close_ends_those_in_the_pipe);
  ADD ("close-waits-for-one-whose-helper-starts", 1, test_close_waits_for_one_whose_helper_starts);
  return g_test_run ();
}
