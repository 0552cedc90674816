/* test-run-process-callers.c — functions as processes, callers that do not block, and callers that are
 * functions. SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "run-process-fixture.h"

#include <signal.h>
#include <unistd.h>

/* Functions. */

static GVariant *
own_serve (StrandContext *context, GVariant *arguments, gpointer user_data, GError **error)
{
  const char *folder;
  gint64 number;
  g_autofree char *ready = NULL;
  g_autofree char *saved = NULL;
  g_autofree char *text = NULL;

  g_variant_get (arguments, "(&sx)", &folder, &number);
  ready = g_build_filename (folder, "ready", NULL);
  saved = g_build_filename (folder, "saved", NULL);
  text = g_strdup_printf ("%" G_GINT64_FORMAT "\n", number);
  if (!g_file_set_contents (ready, text, -1, error))
    return NULL;
  while (strand_context_sleep (context, G_USEC_PER_SEC, error))
    ;
  g_file_set_contents (saved, text, -1, NULL);
  return NULL;
}

static GVariant *
own_fail (StrandContext *context, GVariant *arguments, gpointer user_data, GError **error)
{
  g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_NOSPC, "the disk is full");
  return NULL;
}

static GVariant *
own_crash (StrandContext *context, GVariant *arguments, gpointer user_data, GError **error)
{
  raise (SIGKILL);
  return NULL;
}

static GVariant *
own_return (StrandContext *context, GVariant *arguments, gpointer user_data, GError **error)
{
  return strand_context_emit (context, g_variant_new_int64 (1), error) ? g_variant_new_int64 (17) : NULL;
}

static gboolean
register_functions (StrandRegistry *registry, GError **error)
{
  return strand_registry_add (registry, "own.serve", "folder:s number:x", NULL, own_serve, NULL, NULL,
                              error) &&
         strand_registry_add (registry, "own.fail", "", NULL, own_fail, NULL, NULL, error) &&
         strand_registry_add (registry, "own.crash", "", NULL, own_crash, NULL, NULL, error) &&
         strand_registry_add (registry, "own.return", "-> x", NULL, own_return, NULL, NULL, error);
}

static void
test_function_runs_until_its_end (Fixture *f, gconstpointer unused)
{
  GVariantDict keywords;
  g_autoptr(StrandProcess) process = NULL;
  g_autofree char *ready = in_folder (f, "ready");

  g_variant_dict_init (&keywords, NULL);
  g_variant_dict_insert (&keywords, "number", "x", (gint64) 42);
  process = strand_process_new_for_function ("own.serve", g_variant_new ("(s)", f->folder),
                                             g_variant_dict_end (&keywords));
  g_assert_cmpstr (strand_process_get_name (process), ==, "own.serve");
  strand_process_set_quiet (process, TRUE);
  strand_process_set_ready_file (process, ready);
  start (process);
  wait_until (read_number (f, "ready") == 42);
  g_assert_cmpint (strand_process_get_pid (process), !=, (int) getpid ());

  /* SIGTERM is its cancellation. */
  end (process);
  g_assert_cmpint (read_number (f, "saved"), ==, 42);
}

static void
test_function_keeps_its_error (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandProcess) process = strand_process_new_for_function ("own.fail", NULL, NULL);

  strand_process_set_quiet (process, TRUE);
  strand_process_set_ready_port (process, NULL, find_port ());
  assert_start_fails (process, G_FILE_ERROR, G_FILE_ERROR_NOSPC,
                      "Could not start 'own.fail': the disk is full");
}

static void
test_function_that_crashes_is_told (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandProcess) process = strand_process_new_for_function ("own.crash", NULL, NULL);

  strand_process_set_ready_port (process, NULL, find_port ());
  assert_start_fails (process, STRAND_ERROR, STRAND_ERROR_CRASHED, "signal 9");
}

static void
test_function_that_returns_has_ended_well (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandProcess) process = strand_process_new_for_function ("own.return", NULL, NULL);
  g_autoptr(GError) error = NULL;
  gboolean ended;

  start (process);
  ended = strand_process_wait (process, DEADLINE_US, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (ended);
  g_assert_cmpint (strand_process_get_wait_status (process), ==, 0);
}

static void
test_function_that_cannot_is_refused (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandProcess) local = strand_process_new_for_function ("test.nothing", NULL, NULL);
  g_autoptr(StrandProcess) unknown = strand_process_new_for_function ("own.nothing", NULL, NULL);
  g_autoptr(StrandProcess) wrong =
      strand_process_new_for_function ("own.serve", g_variant_new ("(i)", 1), NULL);

  assert_start_fails (local, STRAND_ERROR, STRAND_ERROR_UNSAFE,
                      "strand_helper_main (argc, argv, register_functions);");
  assert_start_fails (unknown, STRAND_ERROR, STRAND_ERROR_UNKNOWN_FUNCTION, "own.nothing");
  assert_start_fails (wrong, STRAND_ERROR, STRAND_ERROR_TYPE, "own.serve");
}

/* Without blocking. */

typedef struct
{
  guint n;
  gboolean succeeded;
  GError *error;
} Answer;

static void
on_started (GObject *source, GAsyncResult *result, gpointer data)
{
  Answer *answer = data;

  answer->succeeded = strand_process_start_finish (STRAND_PROCESS (source), result, &answer->error);
  answer->n++;
}

static void
on_waited (GObject *source, GAsyncResult *result, gpointer data)
{
  Answer *answer = data;

  answer->succeeded = strand_process_wait_finish (STRAND_PROCESS (source), result, &answer->error);
  answer->n++;
}

static void
on_ended (GObject *source, GAsyncResult *result, gpointer data)
{
  Answer *answer = data;

  answer->succeeded = strand_process_end_finish (STRAND_PROCESS (source), result, &answer->error);
  answer->n++;
}

static void
test_async_start_wait_and_end (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandProcess) process = make_shell (f, "read go < $1/go; echo > $1/ready; sleep " FOREVER);
  Answer started = { 0 }, waited = { 0 }, ended = { 0 };
  g_autofree char *ready = in_folder (f, "ready");

  make_pipe (f, "go");
  strand_process_set_ready_file (process, ready);
  strand_process_set_timeout (process, -1); /* at which it would look once more, unasked */
  strand_process_start_async (process, NULL, on_started, &started);
  g_assert_cmpuint (started.n, ==, 0);
  wait_until (strand_process_get_pid (process) > 0);
  g_assert_cmpuint (started.n, ==, 0);
  tell (f, "go");
  wait_until (started.n == 1);
  g_assert_no_error (started.error);
  g_assert_true (started.succeeded && strand_process_is_alive (process));

  strand_process_wait_async (process, -1, NULL, on_waited, &waited);
  strand_process_end_async (process, NULL, on_ended, &ended);
  wait_until (waited.n == 1 && ended.n == 1);
  g_assert_no_error (waited.error);
  g_assert_no_error (ended.error);
  g_assert_true (waited.succeeded && ended.succeeded);
  g_assert_cmpuint (count_group (strand_process_get_pid (process)), ==, 0);
}

static void
test_async_wait_hears_of_a_death (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandProcess) process = make_shell (f, "sleep " FOREVER);
  Answer first = { 0 }, second = { 0 };

  start (process);
  strand_process_wait_async (process, -1, NULL, on_waited, &first);
  strand_process_wait_async (process, -1, NULL, on_waited, &second);
  while (g_main_context_iteration (NULL, FALSE))
    ; /* until both have nothing to do but wait */
  kill (strand_process_get_pid (process), SIGKILL);
  /* Whoever receives the news tells the others. */
  g_assert_false (strand_process_wait (process, DEADLINE_US, NULL, NULL));
  wait_until (first.n == 1 && second.n == 1);
  g_assert_error (first.error, STRAND_ERROR, STRAND_ERROR_CRASHED);
  g_assert_error (second.error, STRAND_ERROR, STRAND_ERROR_CRASHED);
  g_clear_error (&first.error);
  g_clear_error (&second.error);
}

static void
test_async_start_can_be_cancelled (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandProcess) process = make_shell (f, "sleep " FOREVER);
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  g_autofree char *never = in_folder (f, "never");
  Answer started = { 0 };

  strand_process_set_ready_file (process, never);
  strand_process_start_async (process, cancellable, on_started, &started);
  wait_until (strand_process_get_pid (process) > 0);
  g_cancellable_cancel (cancellable);
  wait_until (started.n == 1);
  g_assert_error (started.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_cmpuint (count_group (strand_process_get_pid (process)), ==, 0);
  g_clear_error (&started.error);
}

static void
test_async_start_can_be_ended (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandProcess) process = make_shell (f, "sleep " FOREVER);
  g_autofree char *never = in_folder (f, "never");
  Answer started = { 0 }, waited = { 0 }, ended = { 0 };

  /* All before anything has been done. */
  strand_process_set_ready_file (process, never);
  strand_process_start_async (process, NULL, on_started, &started);
  strand_process_wait_async (process, -1, NULL, on_waited, &waited);
  wait_until (strand_process_get_pid (process) > 0);
  g_assert_cmpuint (started.n + waited.n, ==, 0);
  strand_process_end_async (process, NULL, on_ended, &ended);
  wait_until (started.n + waited.n + ended.n == 3);
  g_assert_error (started.error, STRAND_ERROR, STRAND_ERROR_CLOSED);
  g_assert_true (waited.succeeded && ended.succeeded);
  g_assert_cmpuint (count_group (strand_process_get_pid (process)), ==, 0);
  g_clear_error (&started.error);
}

/* Inside functions. */

static char *shared_folder;
static guint n_ticks; /* of the one thread */

/* `test.own n:u -> u` */
static GVariant *
run_process (StrandContext *context, GVariant *arguments, gpointer user_data, GError **error)
{
  Fixture f = { shared_folder };
  g_autoptr(StrandProcess) process = NULL;
  g_autofree char *script = NULL;
  g_autofree char *ready = NULL;
  guint n;

  g_variant_get (arguments, "(u)", &n);
  /* Each is ready when the other one runs too, and holds the other end of a pipe: one after the other they
   * never would be. */
  script = g_strdup_printf ("echo > $1/runs-%u; %s; echo > $1/ready-%u; sleep " FOREVER, n,
                            n == 0 ? "echo > $1/there" : "read other < $1/there", n);
  ready = g_strdup_printf ("%s/ready-%u", shared_folder, n);
  process = make_shell (&f, script);
  strand_process_set_ready_file (process, ready);
  if (!strand_process_start (process, NULL, error))
    return NULL;
  g_atomic_int_inc (&n_ticks);
  return g_variant_new_uint32 (strand_process_is_alive (process));
}

/* Runs it twice at once. */
static void
run_two (Fixture *f, gpointer runner)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandFunction) function =
      strand_function_new ("test.own", "n:u -> u", NULL, STRAND_TRAIT_NONE, run_process, NULL, NULL, &error);
  g_autoptr(StrandTask) task = strand_task_new (function, runner);

  shared_folder = f->folder;
  make_pipe (f, "there");
  for (guint i = 0; i < 5; i++)
    {
      g_autoptr(StrandHandle) first = strand_task_call (task, "(u)", 0);
      g_autoptr(StrandHandle) second = strand_task_call (task, "(u)", 1);
      g_autoptr(GVariant) value = NULL;

      g_assert_true (strand_handle_wait (first, DEADLINE_US, NULL));
      g_assert_true (strand_handle_wait (second, DEADLINE_US, NULL));
      g_assert_no_error (strand_handle_get_error (first));
      g_assert_no_error (strand_handle_get_error (second));
      value = strand_handle_get_result (first, NULL);
      g_assert_cmpuint (g_variant_get_uint32 (value), ==, 1);
    }
}

static void
test_coroutine_is_parked (Fixture *f, gconstpointer unused)
{
  g_autoptr(GObject) runner = G_OBJECT (make_runner ("coroutine", NULL));

  run_two (f, runner);
}

static void
test_threads_at_once (Fixture *f, gconstpointer unused)
{
  g_autoptr(GObject) runner = G_OBJECT (make_runner ("thread", "workers", 2, NULL));

  run_two (f, runner);
}

static void
test_told_to_stop_is_cancelled (Fixture *f, gconstpointer runner_type)
{
  g_autoptr(GObject) runner = G_OBJECT (make_runner (runner_type, NULL));
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandFunction) function =
      strand_function_new ("test.own", "n:u -> u", NULL, STRAND_TRAIT_NONE, run_process, NULL, NULL, &error);
  g_autoptr(StrandTask) task = strand_task_new (function, runner);
  g_autoptr(StrandHandle) handle = NULL;
  g_autofree char *runs = in_folder (f, "runs-0");

  /* The other one never comes. */
  shared_folder = f->folder;
  make_pipe (f, "there");
  handle = strand_task_call (task, "(u)", 0);
  wait_until (g_file_test (runs, G_FILE_TEST_EXISTS));
  strand_handle_cancel (handle);
  g_assert_true (strand_handle_wait (handle, DEADLINE_US, NULL));
  g_assert_error (strand_handle_get_error (handle), G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

int
main (int argc, char **argv)
{
  strand_helper_main (argc, argv, register_functions);
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  fixture_add_functions ();

  ADD ("function/runs-until-its-end", test_function_runs_until_its_end);
  ADD ("function/keeps-its-error", test_function_keeps_its_error);
  ADD ("function/that-crashes-is-told", test_function_that_crashes_is_told);
  ADD ("function/that-returns-has-ended-well", test_function_that_returns_has_ended_well);
  ADD ("function/that-cannot-is-refused", test_function_that_cannot_is_refused);
  ADD ("async/start-wait-and-end", test_async_start_wait_and_end);
  ADD ("async/wait-hears-of-a-death", test_async_wait_hears_of_a_death);
  ADD ("async/start-can-be-ended", test_async_start_can_be_ended);
  ADD ("async/start-can-be-cancelled", test_async_start_can_be_cancelled);
  ADD ("inside/coroutine-is-parked", test_coroutine_is_parked);
  ADD ("inside/threads-at-once", test_threads_at_once);
  ADD_DATA ("inside/told-to-stop/thread", "thread", test_told_to_stop_is_cancelled);
  ADD_DATA ("inside/told-to-stop/coroutine", "coroutine", test_told_to_stop_is_cancelled);
  return g_test_run ();
}
