/* test-process-taskrunner.c — calls in helper processes: what travels, what dies, and what is left
 * afterwards.
 *
 * The program is its own helper: `own.*` are the functions that it gives to strand_helper_main(). The helpers
 * are real, and so are their deaths. SPDX-License-Identifier: LGPL-2.1-or-later */

#include "../core/call-fixture.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The helper's end of the data socket. */
#define DATA_FD 3

/* Longer than any test. */
#define HOUR_US G_GINT64_CONSTANT (3600000000)

/* Functions. */

static GVariant *
own_pid (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  return g_variant_new_int64 (getpid ());
}

static GVariant *
own_location (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  g_autoptr(GVariant) headers = strand_context_dup_headers (context);
  const char *location = "none";

  g_variant_lookup (headers, "strand.location", "&s", &location);
  return g_variant_new_string (location);
}

static GVariant *
own_echo (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  return g_variant_get_child_value (arguments, 0);
}

static GVariant *
own_describe (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  g_autoptr(GVariant) headers = strand_context_dup_headers (context);
  const char *colour = "none";

  g_variant_lookup (headers, "colour", "&s", &colour);
  return g_variant_new ("(suss)", strand_context_get_key (context), strand_context_get_attempt (context),
                        colour, strand_context_get_deadline (context) > 0 ? "deadline" : "no deadline");
}

static GVariant *
own_surroundings (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  g_autofree char *folder = g_get_current_dir ();
  const char *value = g_getenv ("STRAND_TEST_VALUE");

  return g_variant_new ("(ssi)", value != NULL ? value : "", folder, getpriority (PRIO_PROCESS, 0));
}

static GVariant *
own_fail (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_NOENT, "there is nothing here");
  return NULL;
}

static GVariant *
own_exit (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  int status;

  g_variant_get (arguments, "(i)", &status);
  g_printerr ("goodbye for ever\n");
  _exit (status);
}

static GVariant *
own_raise (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  int number;

  g_variant_get (arguments, "(i)", &number);
  signal (number, SIG_DFL);
  raise (number);
  return NULL;
}

static GVariant *
own_wait (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  strand_context_emit (context, g_variant_new_int64 (getpid ()), NULL);
  strand_context_sleep (context, HOUR_US, error);
  return NULL;
}

/* Deaf to everything but signals, with a child that is too. */
static GVariant *
own_deaf (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  g_autoptr(GSubprocess) child = NULL;

  signal (SIGTERM, SIG_IGN);
  child = g_subprocess_new (G_SUBPROCESS_FLAGS_NONE, error, "sleep", "3600", NULL);
  if (child == NULL)
    return NULL;
  strand_context_emit (context, g_variant_new_int64 (getpid ()), NULL);
  strand_context_emit (
      context, g_variant_new_int64 (g_ascii_strtoll (g_subprocess_get_identifier (child), NULL, 10)), NULL);
  while (TRUE)
    pause ();
  return NULL;
}

static GVariant *
own_count (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  guint32 n;

  g_variant_get (arguments, "(u)", &n);
  for (guint32 i = 0; i < n; i++)
    if (!strand_context_emit (context, g_variant_new_uint32 (i), error))
      return NULL;
  return g_variant_new_uint32 (n);
}

static GVariant *
own_report (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  strand_context_set_progress (context, 0.25, "a quarter");
  strand_context_set_metadata (context, "colour", g_variant_new_string ("red"));
  strand_context_sleep (context, HOUR_US, error);
  return NULL;
}

/* Overwrites what a broken function might: the helper's own connection. */
static GVariant *
own_scribble (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  char rubbish[64];

  memset (rubbish, 0x5a, sizeof rubbish);
  if (write (DATA_FD, rubbish, sizeof rubbish) < 0)
    abort ();
  return NULL;
}

static GVariant *
own_hang_up (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  close (DATA_FD);
  while (TRUE)
    pause ();
  return NULL;
}

static GVariant *
own_gorge (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  g_autofree char *food = g_malloc (256 * 1024 * 1024);

  for (gsize i = 0; i < 256 * 1024 * 1024; i += 1024)
    food[i] = (char) i;
  while (TRUE)
    pause ();
  return NULL;
}

static GVariant *
own_burn (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  volatile guint64 n = 0;

  while (TRUE)
    n++;
  return NULL;
}

static GVariant *
own_object (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  strand_context_take_object (context, g_object_new (G_TYPE_OBJECT, NULL));
  return NULL;
}

static const struct
{
  const char *name;
  const char *signature;
  StrandFunc func;
} functions[] = {
  { "own.pid", "-> x", own_pid },
  { "own.echo", "bytes:ay -> ay", own_echo },
  { "own.describe", "-> (suss)", own_describe },
  { "own.surroundings", "-> (ssi)", own_surroundings },
  { "own.fail", "", own_fail },
  { "own.exit", "status:i", own_exit },
  { "own.raise", "signal:i", own_raise },
  { "own.wait", "", own_wait },
  { "own.deaf", "", own_deaf },
  { "own.count", "n:u -> u", own_count },
  { "own.report", "", own_report },
  { "own.scribble", "", own_scribble },
  { "own.hang-up", "", own_hang_up },
  { "own.gorge", "", own_gorge },
  { "own.burn", "", own_burn },
  { "own.object", "-> object", own_object },
  { "own.location", "-> s", own_location },
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

static StrandTask *
make_task (const char *function, StrandTaskrunner *runner)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandFunction) found =
      strand_registry_lookup (strand_registry_get_default (), function, &error);

  g_assert_no_error (error);
  return strand_task_new (found, G_OBJECT (runner));
}

static GVariant *
wait_for_result (StrandHandle *handle, GError **error)
{
  g_autoptr(GError) late = NULL;

  strand_handle_wait (handle, DEADLINE_US, &late);
  g_assert_true (strand_handle_is_ready (handle));
  return strand_handle_get_result (handle, error);
}

static GVariant *
call_value (StrandTaskrunner *runner, const char *function, GVariant *arguments, GError **error)
{
  g_autoptr(StrandTask) task = make_task (function, runner);
  g_autoptr(StrandHandle) handle = strand_task_call_value (task, arguments);

  return wait_for_result (handle, error);
}

/* The helper's process id. */
static gint64
call_pid (StrandTaskrunner *runner)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) value = call_value (runner, "own.pid", NULL, &error);

  g_assert_no_error (error);
  return g_variant_get_int64 (value);
}

static void
assert_crashed (GError *error, const char *words)
{
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_CRASHED);
  if (strstr (error->message, words) == NULL)
    g_error ("'%s' is not in: %s", words, error->message);
}

/* Waits until a process that is no child of ours, or one that somebody else buries, has ended. */
static void
wait_for_death (gint64 pid)
{
  int fd = (int) syscall (SYS_pidfd_open, (pid_t) pid, 0);
  struct pollfd poller = { fd, POLLIN, 0 };

  if (fd < 0)
    {
      g_assert_cmpint (errno, ==, ESRCH);
      return;
    }
  g_assert_cmpint (poll (&poller, 1, DEADLINE_US / 1000), ==, 1);
  close (fd);
}

static guint
count_descriptors (void)
{
  g_autoptr(GDir) dir = g_dir_open ("/proc/self/fd", 0, NULL);
  guint n = 0;

  while (g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

static void
assert_no_child (void)
{
  siginfo_t info;

  g_assert_cmpint (waitid (P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT), ==, -1);
  g_assert_cmpint (errno, ==, ECHILD);
}

typedef struct
{
  gint64 items[2];
  guint n_items;
} Pids;

static gboolean
note_pid (StrandCall *call, GVariant *item, gpointer data, GError **error)
{
  Pids *pids = data;

  pids->items[pids->n_items++] = g_variant_get_int64 (item);
  return TRUE;
}

/* What travels. */

static void
test_function_runs_elsewhere (void)
{
  StrandTaskrunner *runner = make_runner ("process", "workers", 1, NULL);
  gint64 pid = call_pid (runner);

  g_assert_cmpint (pid, !=, getpid ());
  g_assert_cmpint (call_pid (runner), ==, pid);
  close_runner (runner);
  assert_no_child ();
}

static void
test_module_function_runs_in_plain_helper (void)
{
  g_autoptr(GError) error = NULL;
  StrandTaskrunner *runner =
      make_runner ("process", "workers", 1, "helper-command", g_getenv ("STRAND_HELPER"), NULL);
  g_autoptr(GVariant) value = NULL;

  strand_registry_load_module (strand_registry_get_default (), "demo", &error);
  g_assert_no_error (error);
  value = call_value (runner, "demo.add", g_variant_new ("(xx)", (gint64) 3, (gint64) 4), &error);
  g_assert_no_error (error);
  g_assert_cmpint (g_variant_get_int64 (value), ==, 7);
  close_runner (runner);
}

static void
test_module_loaded_later_reaches_running_helper (void)
{
  g_autoptr(GError) error = NULL;
  StrandTaskrunner *runner = make_runner ("process", "workers", 1, NULL);
  g_autoptr(GVariant) value = NULL;

  call_pid (runner);
  strand_registry_load_module (strand_registry_get_default (), "demo", &error);
  g_assert_no_error (error);
  value = call_value (runner, "demo.echo", g_variant_new ("(s)", "hello"), &error);
  g_assert_no_error (error);
  g_assert_cmpstr (g_variant_get_string (value, NULL), ==, "hello");
  close_runner (runner);
}

static void
test_key_headers_and_attempt_are_the_same_there (void)
{
  g_autoptr(GError) error = NULL;
  StrandTaskrunner *runner = make_runner ("process", "workers", 1, NULL);
  g_autoptr(StrandTask) task = make_task ("own.describe", runner);
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(GVariant) value = NULL;
  const char *key, *colour, *deadline;
  guint attempt;

  strand_options_set_header (options, "colour", "blue");
  strand_options_set_timeout (options, DEADLINE_US);
  handle = strand_task_call_full (task, NULL, NULL, options);
  value = wait_for_result (handle, &error);
  g_assert_no_error (error);
  g_variant_get (value, "(&su&s&s)", &key, &attempt, &colour, &deadline);
  g_assert_cmpstr (key, ==, strand_handle_get_key (handle));
  g_assert_cmpuint (attempt, ==, 1);
  g_assert_cmpstr (colour, ==, "blue");
  g_assert_cmpstr (deadline, ==, "deadline");
  close_runner (runner);
}

static void
test_surroundings_are_as_asked (void)
{
  g_autoptr(GError) error = NULL;
  const char *const env[] = { "STRAND_TEST_VALUE=a=b", NULL };
  StrandTaskrunner *runner =
      make_runner ("process", "workers", 1, "env", env, "working-directory", "/", "nice", 3, NULL);
  g_autoptr(GVariant) value = call_value (runner, "own.surroundings", NULL, &error);
  const char *text, *folder;
  int niceness;

  g_assert_no_error (error);
  g_variant_get (value, "(&s&si)", &text, &folder, &niceness);
  g_assert_cmpstr (text, ==, "a=b");
  g_assert_cmpstr (folder, ==, "/");
  g_assert_cmpint (niceness, ==, MIN (getpriority (PRIO_PROCESS, 0) + 3, 19));
  close_runner (runner);
}

static void
test_error_keeps_domain_and_code (void)
{
  g_autoptr(GError) error = NULL;
  StrandTaskrunner *runner = make_runner ("process", "workers", 1, NULL);
  g_autoptr(GVariant) value = call_value (runner, "own.fail", NULL, &error);

  g_assert_null (value);
  g_assert_error (error, G_FILE_ERROR, G_FILE_ERROR_NOENT);
  g_assert_cmpstr (error->message, ==, "there is nothing here");
  close_runner (runner);
}

static void
test_large_values_travel_both_ways (void)
{
  g_autoptr(GError) error = NULL;
  StrandTaskrunner *runner = make_runner ("process", "workers", 1, NULL);
  gsize size = 20 * 1024 * 1024 + 3, got;
  g_autofree char *bytes = g_malloc (size);
  g_autoptr(GVariant) value = NULL;
  GVariant *argument;

  for (gsize i = 0; i < size; i++)
    bytes[i] = (char) (i * 7);
  argument = g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, bytes, size, 1);
  value = call_value (runner, "own.echo", g_variant_new_tuple (&argument, 1), &error);
  g_assert_no_error (error);
  g_assert_cmpmem (g_variant_get_fixed_array (value, &got, 1), got, bytes, size);
  close_runner (runner);
}

static void
test_progress_and_metadata_are_seen_while_it_runs (void)
{
  StrandTaskrunner *runner = make_runner ("process", "workers", 1, NULL);
  g_autoptr(StrandTask) task = make_task ("own.report", runner);
  g_autoptr(StrandHandle) handle = strand_task_call (task, NULL);
  g_autoptr(GVariant) metadata = NULL;
  g_autofree char *message = NULL;
  gboolean red = FALSE;

  while (!red)
    {
      wait_until (strand_handle_get_progress (handle) == 0.25);
      g_clear_pointer (&metadata, g_variant_unref);
      metadata = strand_handle_dup_metadata (handle);
      red = g_variant_n_children (metadata) == 1;
    }
  message = strand_handle_dup_message (handle);
  g_assert_cmpstr (message, ==, "a quarter");
  strand_handle_cancel (handle);
  wait_until (strand_handle_is_ready (handle));
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_CANCELLED);
  close_runner (runner);
}

typedef struct
{
  guint64 n;
  guint64 in_order;
} Counted;

static gboolean
count_item (StrandCall *call, GVariant *item, gpointer data, GError **error)
{
  Counted *counted = data;

  counted->in_order += g_variant_get_uint32 (item) == counted->n;
  counted->n++;
  return TRUE;
}

static gint64
resident_bytes (void)
{
  g_autofree char *text = NULL;

  g_assert_true (g_file_get_contents ("/proc/self/statm", &text, NULL, NULL));
  return g_ascii_strtoll (strchr (text, ' '), NULL, 10) * (gint64) sysconf (_SC_PAGESIZE);
}

static void
test_items_come_in_order_in_flat_memory (void)
{
  g_autoptr(GError) error = NULL;
  StrandTaskrunner *runner = make_runner ("process", "workers", 1, NULL);
  g_autoptr(StrandTask) task = make_task ("own.count", runner);
  g_autoptr(StrandHandle) handle = NULL;
  Counted counted = { 0 };
  gint64 before = resident_bytes ();
  guint n = 100000;

  strand_task_on_iter (task, count_item, &counted, NULL);
  handle = strand_task_call (task, "(u)", n);
  wait_until (strand_handle_is_ready (handle) && counted.n == n);
  g_assert_cmpuint (counted.in_order, ==, n);
  /* All of them at once would be 100 bytes each. */
  g_assert_cmpint (resident_bytes () - before, <, 8 * 1024 * 1024);
  close_runner (runner);
}

static void
test_producer_waits_for_its_consumer (void)
{
  StrandTaskrunner *runner = make_runner ("process", "workers", 1, NULL);
  g_autoptr(StrandTask) task = make_task ("own.count", runner);
  g_autoptr(StrandHandle) handle = NULL;
  Counted counted = { 0 };

  g_object_set (task, "max-items", 4, NULL);
  strand_task_on_iter (task, count_item, &counted, NULL);
  handle = strand_task_call (task, "(u)", 5000u);
  wait_until (strand_handle_is_ready (handle) && counted.n == 5000);
  g_assert_cmpuint (counted.in_order, ==, 5000);
  close_runner (runner);
}

/* What is refused. */

static void
assert_refused (const char *function, const char *words)
{
  g_autoptr(GError) error = NULL;
  StrandTaskrunner *runner = make_runner ("process", "workers", 1, NULL);
  g_autoptr(GVariant) value = call_value (runner, function, NULL, &error);
  guint n_helpers;

  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_UNSAFE);
  if (strstr (error->message, words) == NULL)
    g_error ("'%s' is not in: %s", words, error->message);
  g_object_get (runner, "helpers", &n_helpers, NULL);
  g_assert_cmpuint (n_helpers, ==, 0);
  close_runner (runner);
}

static void
test_programs_own_function_is_refused_with_the_cure (void)
{
  assert_refused ("test.nothing", "strand_helper_main (argc, argv, register_functions);");
}

static void
test_object_result_is_refused (void)
{
  assert_refused ("own.object", "object");
}

static void
test_not_portable_is_refused (void)
{
  g_autoptr(StrandFunction) function =
      strand_function_new ("own.bound", "", NULL, STRAND_TRAIT_NOT_PORTABLE, own_pid, NULL, NULL, NULL);

  strand_registry_add_function (strand_registry_get_default (), function, NULL);
  assert_refused ("own.bound", "another process");
}

static void
test_refusal_says_what_a_binding_knows (void)
{
  g_autoptr(StrandFunction) function =
      strand_function_new ("own.nameless", "", NULL, STRAND_TRAIT_NONE, own_pid, NULL, NULL, NULL);

  strand_function_set_home_reason (function, "it has no name in that language");
  g_assert_cmpstr (strand_function_get_home_reason (function), ==, "it has no name in that language");
  strand_registry_add_function (strand_registry_get_default (), function, NULL);
  assert_refused ("own.nameless", "it has no name in that language");
}

/* For bindings. */

static GVariant *
never_called (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  g_assert_not_reached ();
}

static void
add_with_delegate (const char *name, const char *signature, const char *delegate)
{
  g_autoptr(StrandFunction) function =
      strand_function_new (name, signature, NULL, STRAND_TRAIT_NONE, never_called, NULL, NULL, NULL);

  strand_function_set_delegate (function, delegate, "library:square");
  strand_registry_add_function (strand_registry_get_default (), function, NULL);
}

static void
test_delegate_runs_in_its_place_and_is_told_of_it (void)
{
  g_autoptr(GError) error = NULL;
  StrandTaskrunner *runner = make_runner ("process", "workers", 1, NULL);
  g_autoptr(GVariant) value = NULL;

  add_with_delegate ("foreign.location", "-> s", "own.location");
  value = call_value (runner, "foreign.location", NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (g_variant_get_string (value, NULL), ==, "library:square");
  close_runner (runner);
}

static void
test_delegate_of_another_signature_is_an_error (void)
{
  g_autoptr(GError) error = NULL;
  StrandTaskrunner *runner = make_runner ("process", "workers", 1, NULL);
  g_autoptr(GVariant) value = NULL;

  add_with_delegate ("foreign.number", "-> x", "own.location");
  value = call_value (runner, "foreign.number", NULL, &error);
  g_assert_null (value);
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_TYPE);
  close_runner (runner);
}

/* What dies. */

static void
test_crash_fails_its_call_and_names_the_signal (void)
{
  g_autoptr(GError) error = NULL;
  StrandTaskrunner *runner = make_runner ("process", "workers", 1, NULL);
  gint64 pid = call_pid (runner);
  g_autoptr(GVariant) value = call_value (runner, "own.raise", g_variant_new ("(i)", SIGSEGV), &error);

  g_assert_null (value);
  assert_crashed (error, "signal 11");
  g_assert_cmpint (call_pid (runner), !=, pid);
  close_runner (runner);
  assert_no_child ();
}

static void
test_crash_takes_its_children_along (void)
{
  g_autoptr(GError) error = NULL;
  StrandTaskrunner *runner = make_runner ("process", "workers", 1, NULL);
  g_autoptr(StrandTask) task = make_task ("own.deaf", runner);
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(GVariant) value = NULL;
  Pids pids = { 0 };

  strand_task_on_iter (task, note_pid, &pids, NULL);
  handle = strand_task_call (task, NULL);
  wait_until (pids.n_items == 2);
  kill ((pid_t) pids.items[0], SIGKILL);
  value = wait_for_result (handle, &error);
  assert_crashed (error, "signal 9");
  wait_for_death (pids.items[1]);
  close_runner (runner);
}

static void
test_abort_is_a_crash_too (void)
{
  g_autoptr(GError) error = NULL;
  StrandTaskrunner *runner = make_runner ("process", "workers", 1, NULL);
  g_autoptr(GVariant) value = call_value (runner, "own.raise", g_variant_new ("(i)", SIGABRT), &error);

  g_assert_null (value);
  assert_crashed (error, "signal 6");
  close_runner (runner);
}

static void
test_exit_shows_status_and_last_words (void)
{
  g_autoptr(GError) error = NULL;
  StrandTaskrunner *runner = make_runner ("process", "workers", 1, "stderr", 2, NULL);
  g_autoptr(GVariant) value = call_value (runner, "own.exit", g_variant_new ("(i)", 7), &error);

  g_assert_null (value);
  assert_crashed (error, "status 7");
  assert_crashed (error, "goodbye for ever");
  close_runner (runner);
}

/* As the plugin numbers them. */
enum
{
  STDERR_LOG,
  STDERR_INHERIT,
  STDERR_DISCARD
};

/* The program's own stderr is looked at, so the program is another one. */
static void
play_last_words (gconstpointer where)
{
  g_autoptr(GError) error = NULL;
  StrandTaskrunner *runner = make_runner ("process", "workers", 1, "stderr", GPOINTER_TO_INT (where), NULL);
  g_autoptr(GVariant) value = call_value (runner, "own.exit", g_variant_new ("(i)", 7), &error);
  gboolean quoted = strstr (error->message, "goodbye for ever") != NULL;

  g_assert_null (value);
  g_assert_cmpint (quoted, ==, GPOINTER_TO_INT (where) != STDERR_INHERIT);
  close_runner (runner);
}

static void
expect_last_words (const char *case_name, gboolean heard)
{
  g_test_trap_subprocess (case_name, DEADLINE_US, 0);
  g_test_trap_assert_passed ();
  if (heard)
    g_test_trap_assert_stderr ("*goodbye for ever*");
  else
    g_test_trap_assert_stderr_unmatched ("*goodbye for ever*");
}

static void
test_stderr_goes_where_it_is_told (void)
{
  expect_last_words ("/process-taskrunner/stderr/subprocess/log", TRUE);
  expect_last_words ("/process-taskrunner/stderr/subprocess/inherit", TRUE);
  expect_last_words ("/process-taskrunner/stderr/subprocess/discard", FALSE);
}

static void
test_crash_fails_exactly_one_of_many (void)
{
  StrandTaskrunner *runner = make_runner ("process", "workers", 2, NULL);
  g_autoptr(StrandTask) pid = make_task ("own.pid", runner);
  g_autoptr(StrandTask) crash = make_task ("own.raise", runner);
  g_autoptr(GPtrArray) handles = g_ptr_array_new_with_free_func (g_object_unref);
  guint n_crashed = 0;

  for (guint i = 0; i < 200; i++)
    g_ptr_array_add (handles,
                     i % 50 == 25 ? strand_task_call (crash, "(i)", SIGKILL) : strand_task_call (pid, NULL));
  for (guint i = 0; i < handles->len; i++)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(GVariant) value = wait_for_result (handles->pdata[i], &error);

      if (i % 50 == 25)
        assert_crashed (error, "signal 9");
      else
        g_assert_no_error (error);
      n_crashed += error != NULL;
    }
  g_assert_cmpuint (n_crashed, ==, 4);
  close_runner (runner);
  assert_no_child ();
}

static void
test_rubbish_on_the_socket_fails_the_call_only (void)
{
  StrandTaskrunner *runner = make_runner ("process", "workers", 1, NULL);
  static const char *const names[] = { "own.scribble", "own.hang-up" };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(GVariant) value = call_value (runner, names[i], NULL, &error);

      g_assert_null (value);
      assert_crashed (error, i == 0 ? "makes no sense" : "closed its connection");
    }
  call_pid (runner);
  close_runner (runner);
}

static void
test_max_memory_kills (void)
{
  g_autoptr(GError) error = NULL;
  StrandTaskrunner *runner =
      make_runner ("process", "workers", 1, "max-memory", (gint64) 128 * 1024 * 1024, NULL);
  g_autoptr(GVariant) value = call_value (runner, "own.gorge", NULL, &error);

  assert_crashed (error, "'max-memory'");
  close_runner (runner);
}

static void
test_cpu_time_kills (void)
{
  g_autoptr(GError) error = NULL;
  StrandTaskrunner *runner = make_runner ("process", "workers", 1, "cpu-time", (gint64) G_USEC_PER_SEC, NULL);
  g_autoptr(GVariant) value = call_value (runner, "own.burn", NULL, &error);

  assert_crashed (error, "signal 24");
  close_runner (runner);
}

static void
test_helper_killed_while_idle_is_not_noticed (void)
{
  StrandTaskrunner *runner = make_runner ("process", "workers", 1, NULL);

  for (guint i = 0; i < 20; i++)
    kill ((pid_t) call_pid (runner), SIGKILL);
  close_runner (runner);
  assert_no_child ();
}

static void
test_max_calls_per_worker_replaces_the_helper (void)
{
  StrandTaskrunner *runner = make_runner ("process", "workers", 1, "max-calls-per-worker", (guint64) 2, NULL);
  gint64 first = call_pid (runner);

  g_assert_cmpint (call_pid (runner), ==, first);
  g_assert_cmpint (call_pid (runner), !=, first);
  close_runner (runner);
}

static guint
count_helpers (StrandTaskrunner *runner)
{
  guint n;

  g_object_get (runner, "helpers", &n, NULL);
  return n;
}

static void
test_min_idle_keeps_helpers_ready (void)
{
  StrandTaskrunner *runner = make_runner ("process", "workers", 4, "min-idle", 3, NULL);

  g_assert_cmpuint (count_helpers (runner), ==, 0);
  call_pid (runner);
  wait_until (count_helpers (runner) == 3);
  close_runner (runner);
  assert_no_child ();
}

static void
test_helpers_beyond_min_idle_go (void)
{
  StrandTaskrunner *runner = make_runner ("process", "workers", 2, "idle-timeout", (gint64) 10000, NULL);
  g_autoptr(StrandTask) task = make_task ("own.wait", runner);
  g_autoptr(StrandHandle) first = NULL;
  g_autoptr(StrandHandle) second = NULL;
  Pids pids = { 0 };

  strand_task_on_iter (task, note_pid, &pids, NULL);
  first = strand_task_call (task, NULL);
  second = strand_task_call (task, NULL);
  wait_until (pids.n_items == 2);
  g_assert_cmpuint (count_helpers (runner), ==, 2);
  strand_handle_cancel (first);
  strand_handle_cancel (second);
  wait_until (count_helpers (runner) == 1);
  close_runner (runner);
}

/* Starting. */

/* Long enough for a program to start on any machine. */
#define AMPLE_US (G_GINT64_CONSTANT (30) * G_USEC_PER_SEC)

static char *
explain_start (gint64 timeout_us, const char *first_property, const char *value)
{
  g_autoptr(GError) error = NULL;
  StrandTaskrunner *runner = make_runner ("process", "workers", 1, "startup-timeout", timeout_us,
                                          first_property, value, NULL);
  g_autoptr(GVariant) result = call_value (runner, "own.pid", NULL, &error);

  g_assert_null (result);
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_FAILED);
  close_runner (runner);
  assert_no_child ();
  return g_strdup (error->message);
}

static void
test_command_of_a_binding_starts_helpers (void)
{
  const char *const argv[] = { "sh", "-c", "echo no interpreter >&2; exit 3", NULL };
  g_auto(GStrv) command = NULL;
  g_autofree char *message = NULL;

  strand_helper_set_command (argv);
  command = strand_helper_dup_command ();
  g_assert_cmpstrv (command, argv);
  message = explain_start (AMPLE_US, NULL, NULL);
  strand_helper_set_command (NULL);
  g_assert_nonnull (strstr (message, "no interpreter"));
  g_assert_null (strand_helper_dup_command ());
}

static void
test_missing_helper_is_named (void)
{
  g_autofree char *message = explain_start (AMPLE_US, "helper-command", "/nowhere/strand-helper");

  g_assert_nonnull (strstr (message, "'/nowhere/strand-helper'"));
  g_assert_nonnull (strstr (message, "No such file"));
}

static void
test_missing_folder_is_an_error (void)
{
  g_autofree char *message = explain_start (AMPLE_US, "working-directory", "/nowhere");

  g_assert_nonnull (strstr (message, "No such file"));
}

static void
test_helper_that_dies_at_start_is_given_up (void)
{
  g_autofree char *message = explain_start (AMPLE_US, "helper-command", "sh -c 'echo alas >&2; exit 3'");

  g_assert_nonnull (strstr (message, "status 3"));
  g_assert_nonnull (strstr (message, "alas"));
}

static void
test_helper_that_never_gets_ready_is_given_up (void)
{
  g_autofree char *message = explain_start (G_USEC_PER_SEC / 10, "helper-command", "sh -c 'sleep 3600'");

  g_assert_nonnull (strstr (message, "'startup-timeout'"));
}

static void
test_program_that_is_no_helper_is_given_up (void)
{
  g_autofree char *message = explain_start (AMPLE_US, "helper-command", "sh -c 'cat /dev/zero >&3'");

  g_assert_nonnull (strstr (message, "greeting"));
}

static void
test_module_missing_only_there_is_told (void)
{
  g_autoptr(GError) error = NULL;
  const char *const modules[] = { "/nowhere/words.so", NULL };
  StrandTaskrunner *runner = make_runner ("process", "workers", 1, "modules", modules, NULL);
  g_autoptr(GVariant) value = call_value (runner, "test.nothing", NULL, &error);

  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_UNKNOWN_FUNCTION);
  g_assert_nonnull (strstr (error->message, "/nowhere/words.so"));
  call_pid (runner);
  close_runner (runner);
}

static guint
count_lines (const char *path)
{
  g_autofree char *text = NULL;
  guint n = 0;

  if (!g_file_get_contents (path, &text, NULL, NULL))
    return 0;
  for (const char *p = text; *p != '\0'; p++)
    n += *p == '\n';
  return n;
}

static void
test_helpers_that_live_go_on_when_no_more_start (void)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *flag = g_build_filename (g_get_user_runtime_dir (), "no-more", NULL);
  g_autofree char *command = g_strdup_printf (
      "sh -c 'test -e \"$0\" && { echo no >> \"$0\"; exit 3; }; exec \"%s\" \"$@\"' '%s'", program, flag);
  StrandTaskrunner *runner =
      make_runner ("process", "workers", 2, "helper-command", command, "stderr", 2, NULL);
  g_autoptr(StrandTask) block = make_task ("own.wait", runner);
  g_autoptr(StrandTask) task = make_task ("own.pid", runner);
  g_autoptr(StrandHandle) blocking = NULL;
  g_autoptr(StrandHandle) waiting = NULL;
  g_autoptr(GVariant) value = NULL;
  Pids pids = { 0 };

  strand_task_on_iter (block, note_pid, &pids, NULL);
  blocking = strand_task_call (block, NULL);
  wait_until (pids.n_items == 1);
  g_mkdir_with_parents (g_get_user_runtime_dir (), 0700);
  g_file_set_contents (flag, "", 0, &error);
  g_assert_no_error (error);
  waiting = strand_task_call (task, NULL);
  wait_until (count_lines (flag) >= 3);
  g_assert_false (strand_handle_is_ready (waiting));
  strand_handle_cancel (blocking);
  value = wait_for_result (waiting, &error);
  g_assert_no_error (error);
  g_assert_cmpint (g_variant_get_int64 (value), ==, pids.items[0]);
  close_runner (runner);
}

/* Stopping. */

static void
test_cancel_reaches_the_function (void)
{
  StrandTaskrunner *runner = make_runner ("process", "workers", 1, NULL);
  gint64 pid = call_pid (runner);
  g_autoptr(StrandTask) task = make_task ("own.wait", runner);
  g_autoptr(StrandHandle) handle = NULL;
  Pids pids = { 0 };

  strand_task_on_iter (task, note_pid, &pids, NULL);
  handle = strand_task_call (task, NULL);
  wait_until (pids.n_items == 1);
  g_assert_true (strand_handle_cancel (handle));
  wait_until (strand_handle_is_ready (handle));
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_CANCELLED);
  g_assert_cmpint (call_pid (runner), ==, pid); /* it stopped by itself: its helper lives */
  close_runner (runner);
}

static void
stop_the_deaf (StrandOptions *options, StrandStatus status)
{
  StrandTaskrunner *runner = make_runner ("process", "workers", 1, "kill-after", (gint64) 1000, NULL);
  g_autoptr(StrandTask) task = make_task ("own.deaf", runner);
  g_autoptr(StrandHandle) handle = NULL;
  Pids pids = { 0 };

  g_object_set (task, "grace", (gint64) 1000, NULL);
  strand_task_on_iter (task, note_pid, &pids, NULL);
  handle = strand_task_call_full (task, NULL, NULL, options);
  wait_until (pids.n_items == 2);
  if (options == NULL)
    strand_handle_cancel (handle);
  wait_until (strand_handle_is_ready (handle));
  g_assert_cmpint (strand_handle_get_status (handle), ==, status);
  wait_for_death (pids.items[0]);
  wait_for_death (pids.items[1]);
  g_assert_cmpint (call_pid (runner), !=, pids.items[0]);
  close_runner (runner);
  assert_no_child ();
}

static void
test_cancel_kills_the_deaf_and_their_children (void)
{
  stop_the_deaf (NULL, STRAND_STATUS_CANCELLED);
}

static void
test_timeout_kills_the_deaf_and_their_children (void)
{
  g_autoptr(StrandOptions) options = strand_options_new ();

  /* Long enough for a helper to start under valgrind. */
  strand_options_set_timeout (options, 3 * G_USEC_PER_SEC);
  stop_the_deaf (options, STRAND_STATUS_FAILED);
}

static void
test_cancelled_before_its_turn_never_starts (void)
{
  g_autoptr(GError) error = NULL;
  StrandTaskrunner *runner = make_runner ("process", "workers", 1, NULL);
  g_autoptr(StrandTask) block = make_task ("own.wait", runner);
  g_autoptr(StrandTask) crash = make_task ("own.raise", runner);
  Pids pids = { 0 };
  g_autoptr(StrandHandle) blocking = NULL;
  g_autoptr(StrandHandle) waiting = NULL;
  g_autoptr(GVariant) value = NULL;

  strand_task_on_iter (block, note_pid, &pids, NULL);
  blocking = strand_task_call (block, NULL);
  wait_until (pids.n_items == 1);
  waiting = strand_task_call (crash, "(i)", SIGKILL);
  g_assert_true (strand_handle_cancel (waiting));
  strand_handle_cancel (blocking);
  value = wait_for_result (waiting, &error);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_cmpint (call_pid (runner), ==, pids.items[0]);
  close_runner (runner);
}

static void
test_close_cancels_what_does_not_end (void)
{
  g_autoptr(GError) error = NULL;
  StrandTaskrunner *runner = make_runner ("process", "workers", 1, NULL);
  g_autoptr(StrandTask) task = make_task ("own.wait", runner);
  g_autoptr(StrandHandle) handle = strand_task_call (task, NULL);
  g_autoptr(StrandHandle) second = strand_task_call (task, NULL);

  g_assert_false (strand_taskrunner_close (runner, g_get_monotonic_time (), &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_TIMED_OUT);
  wait_until (strand_handle_is_ready (handle) && strand_handle_is_ready (second));
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_CANCELLED);
  g_object_unref (runner);
  assert_no_child ();
}

static int
be_a_parent (void)
{
  StrandTaskrunner *runner = make_runner ("process", "workers", 1, NULL);
  g_autoptr(StrandTask) task = make_task ("own.deaf", runner);
  Pids pids = { 0 };

  strand_task_on_iter (task, note_pid, &pids, NULL);
  strand_task_post (task, NULL);
  wait_until (pids.n_items == 2);
  g_print ("%" G_GINT64_FORMAT "\n%" G_GINT64_FORMAT "\n", pids.items[0], pids.items[1]);
  while (TRUE)
    g_main_context_iteration (NULL, TRUE);
  return 0;
}

static void
test_helpers_end_with_a_killed_parent (void)
{
  g_autoptr(GSubprocess) parent = fixture_spawn ("--parent", NULL);
  g_autofree char *helper = fixture_read_line (parent);
  g_autofree char *child = fixture_read_line (parent);

  g_subprocess_force_exit (parent);
  g_subprocess_wait (parent, NULL, NULL);
  wait_for_death (g_ascii_strtoll (helper, NULL, 10));
  wait_for_death (g_ascii_strtoll (child, NULL, 10));
}

/* What is left. */

static void
test_ten_thousand_calls_leak_nothing (void)
{
  StrandTaskrunner *runner = make_runner ("process", "workers", 2, "min-idle", 2, NULL);
  g_autoptr(StrandTask) task = make_task ("own.pid", runner);
  guint before, ended = 0;

  call_pid (runner);
  call_pid (runner);
  before = count_descriptors ();
  for (guint round = 0; round < 10; round++)
    {
      g_autoptr(GPtrArray) handles = g_ptr_array_new_with_free_func (g_object_unref);

      for (guint i = 0; i < 1000; i++)
        g_ptr_array_add (handles, strand_task_call (task, NULL));
      for (guint i = 0; i < handles->len; i++)
        {
          g_autoptr(GError) error = NULL;
          g_autoptr(GVariant) value = wait_for_result (handles->pdata[i], &error);

          g_assert_no_error (error);
          ended++;
        }
    }
  g_assert_cmpuint (ended, ==, 10000);
  /* The second helper may have been starting still. */
  g_assert_cmpuint (count_descriptors (), <=, before + 5);
  close_runner (runner);
  g_assert_cmpuint (count_descriptors (), <, before);
  assert_no_child ();
}

static void
test_dropped_with_calls_in_flight (void)
{
  StrandTaskrunner *runner = make_runner ("process", "workers", 2, NULL);
  g_autoptr(StrandTask) task = make_task ("own.pid", runner);
  g_autoptr(GPtrArray) handles = g_ptr_array_new_with_free_func (g_object_unref);

  for (guint i = 0; i < 100; i++)
    g_ptr_array_add (handles, strand_task_call (task, NULL));
  g_clear_object (&task);
  g_object_unref (runner);
  for (guint i = 0; i < handles->len; i++)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(GVariant) value = wait_for_result (handles->pdata[i], &error);

      g_assert_no_error (error);
    }
  g_ptr_array_set_size (handles, 0);
  /* The last reference may have gone on a keeper's thread; the processes end soon after. */
  while (waitid (P_ALL, 0, &(siginfo_t){ 0 }, WEXITED | WNOWAIT) == 0)
    ;
}

static void
test_random_kills_lose_no_call (void)
{
  StrandTaskrunner *runner = make_runner ("process", "workers", 3, NULL);
  g_autoptr(StrandTask) task = make_task ("own.pid", runner);
  g_autoptr(GPtrArray) handles = g_ptr_array_new_with_free_func (g_object_unref);
  guint n_crashed = 0, n_kills = 0;

  for (guint i = 0; i < 3000; i++)
    g_ptr_array_add (handles, strand_task_call (task, NULL));
  for (guint i = 0; i < handles->len; i++)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(GVariant) value = wait_for_result (handles->pdata[i], &error);

      if (error != NULL)
        assert_crashed (error, "signal 9");
      else if (i % 100 == 0 && kill ((pid_t) g_variant_get_int64 (value), SIGKILL) == 0)
        n_kills++;
      n_crashed += error != NULL;
    }
  g_assert_cmpuint (n_crashed, <=, n_kills);
  close_runner (runner);
  assert_no_child ();
}

#define ADD(name, function) g_test_add_func ("/process-taskrunner/" name, function)

static void
add_tests (void)
{
  ADD ("function-runs-elsewhere", test_function_runs_elsewhere);
  ADD ("module-function-runs-in-plain-helper", test_module_function_runs_in_plain_helper);
  ADD ("module-loaded-later-reaches-running-helper", test_module_loaded_later_reaches_running_helper);
  ADD ("key-headers-and-attempt-are-the-same-there", test_key_headers_and_attempt_are_the_same_there);
  ADD ("surroundings-are-as-asked", test_surroundings_are_as_asked);
  ADD ("error-keeps-domain-and-code", test_error_keeps_domain_and_code);
  ADD ("large-values-travel-both-ways", test_large_values_travel_both_ways);
  ADD ("progress-and-metadata-are-seen-while-it-runs", test_progress_and_metadata_are_seen_while_it_runs);
  ADD ("items-come-in-order-in-flat-memory", test_items_come_in_order_in_flat_memory);
  ADD ("producer-waits-for-its-consumer", test_producer_waits_for_its_consumer);
  ADD ("refuse/programs-own-function-with-the-cure", test_programs_own_function_is_refused_with_the_cure);
  ADD ("refuse/object-result", test_object_result_is_refused);
  ADD ("refuse/not-portable", test_not_portable_is_refused);
  ADD ("refuse/says-what-a-binding-knows", test_refusal_says_what_a_binding_knows);
  ADD ("binding/delegate-runs-in-its-place-and-is-told-of-it",
       test_delegate_runs_in_its_place_and_is_told_of_it);
  ADD ("binding/delegate-of-another-signature-is-an-error", test_delegate_of_another_signature_is_an_error);
  ADD ("binding/command-starts-helpers", test_command_of_a_binding_starts_helpers);
  ADD ("crash/fails-its-call-and-names-the-signal", test_crash_fails_its_call_and_names_the_signal);
  ADD ("crash/takes-its-children-along", test_crash_takes_its_children_along);
  ADD ("crash/abort-is-one-too", test_abort_is_a_crash_too);
  ADD ("crash/exit-shows-status-and-last-words", test_exit_shows_status_and_last_words);
  ADD ("stderr/goes-where-it-is-told", test_stderr_goes_where_it_is_told);
  g_test_add_data_func ("/process-taskrunner/stderr/subprocess/log", GINT_TO_POINTER (STDERR_LOG),
                        play_last_words);
  g_test_add_data_func ("/process-taskrunner/stderr/subprocess/inherit", GINT_TO_POINTER (STDERR_INHERIT),
                        play_last_words);
  g_test_add_data_func ("/process-taskrunner/stderr/subprocess/discard", GINT_TO_POINTER (STDERR_DISCARD),
                        play_last_words);
  ADD ("crash/fails-exactly-one-of-many", test_crash_fails_exactly_one_of_many);
  ADD ("crash/rubbish-on-the-socket-fails-the-call-only", test_rubbish_on_the_socket_fails_the_call_only);
  ADD ("crash/max-memory-kills", test_max_memory_kills);
  ADD ("crash/cpu-time-kills", test_cpu_time_kills);
  ADD ("crash/helper-killed-while-idle-is-not-noticed", test_helper_killed_while_idle_is_not_noticed);
  ADD ("max-calls-per-worker-replaces-the-helper", test_max_calls_per_worker_replaces_the_helper);
  ADD ("min-idle-keeps-helpers-ready", test_min_idle_keeps_helpers_ready);
  ADD ("helpers-beyond-min-idle-go", test_helpers_beyond_min_idle_go);
  ADD ("start/missing-helper-is-named", test_missing_helper_is_named);
  ADD ("start/missing-folder-is-an-error", test_missing_folder_is_an_error);
  ADD ("start/helper-that-dies-is-given-up", test_helper_that_dies_at_start_is_given_up);
  ADD ("start/helper-that-never-gets-ready-is-given-up", test_helper_that_never_gets_ready_is_given_up);
  ADD ("start/program-that-is-no-helper-is-given-up", test_program_that_is_no_helper_is_given_up);
  ADD ("start/module-missing-only-there-is-told", test_module_missing_only_there_is_told);
  ADD ("start/helpers-that-live-go-on-when-no-more-start", test_helpers_that_live_go_on_when_no_more_start);
  ADD ("stop/cancel-reaches-the-function", test_cancel_reaches_the_function);
  ADD ("stop/cancel-kills-the-deaf-and-their-children", test_cancel_kills_the_deaf_and_their_children);
  ADD ("stop/timeout-kills-the-deaf-and-their-children", test_timeout_kills_the_deaf_and_their_children);
  ADD ("stop/cancelled-before-its-turn-never-starts", test_cancelled_before_its_turn_never_starts);
  ADD ("stop/close-cancels-what-does-not-end", test_close_cancels_what_does_not_end);
  ADD ("stop/helpers-end-with-a-killed-parent", test_helpers_end_with_a_killed_parent);
  ADD ("left/ten-thousand-calls-leak-nothing", test_ten_thousand_calls_leak_nothing);
  ADD ("left/dropped-with-calls-in-flight", test_dropped_with_calls_in_flight);
  ADD ("left/random-kills-lose-no-call", test_random_kills_lose_no_call);
}

int
main (int argc, char **argv)
{
  strand_helper_main (argc, argv, register_functions);
  fixture_add_functions ();
  fixture_is_second_process (argc, argv, NULL);
  if (argc > 1 && strcmp (argv[1], "--parent") == 0)
    return be_a_parent ();

  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  add_tests ();
  return g_test_run ();
}
