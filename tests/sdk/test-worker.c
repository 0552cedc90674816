/* test-worker.c — strand worker as a service manager and an operator have it: real processes and signals.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <strand-plugin.h>

#include "../core/waiting.h"

/* So long that what it keeps waiting shows as a failure of the test. */
#define LONG "600"

typedef struct
{
  char *home;
  char *config;
  char *err; /* where workers write what they say */
  StrandStore *store;
  StrandBackend *backend;
  int socket;     /* of the service manager that the test plays */
  char *address;  /* its NOTIFY_SOCKET */
  char *watchdog; /* WATCHDOG_USEC, or NULL */
} Fixture;

static gpointer
make_object (StrandKind kind, const char *type, const char *property, gconstpointer value)
{
  g_autoptr(GError) error = NULL;
  GType gtype = strand_plugins_load (strand_plugins_get_default (), kind, type, &error);

  g_assert_no_error (error);
  return g_object_new (gtype, property, value, NULL);
}

/* The keyfile: its store, and what @groups has beside. */
static void
write_config (Fixture *f, const char *groups)
{
  g_autofree char *text = g_strdup_printf (
      "[strand]\nmodules=demo\ndefault-backend=jobs\n[store results]\ntype=sqlite\npath=%s/store\n"
      "[backend jobs]\ntype=store\nstore=results\n[taskrunner p]\ntype=process\nworkers=2\n%s",
      f->home, groups);
  g_autoptr(GError) error = NULL;

  g_file_set_contents (f->config, text, -1, &error);
  g_assert_no_error (error);
}

#define READER "[reader r]\nstore=results\ntaskrunner=p\njobs=2\nlease=2s\ngrace=500ms\nretry-delay=0\n"

static void
set_up (Fixture *f, gconstpointer unused)
{
  g_autofree char *path = NULL;

  f->home = g_dir_make_tmp ("strand-worker-XXXXXX", NULL);
  f->config = g_build_filename (f->home, "jobs.conf", NULL);
  f->err = g_build_filename (f->home, "err", NULL);
  path = g_build_filename (f->home, "store", NULL);
  f->store = make_object (STRAND_KIND_STORE, "sqlite", "path", path);
  f->backend = make_object (STRAND_KIND_BACKEND, "store", "store", f->store);
  f->socket = -1;
  write_config (f, READER);
}

static void
remove_tree (const char *path)
{
  g_autoptr(GDir) dir = g_file_test (path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open (path, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *child = g_build_filename (path, name, NULL);

      remove_tree (child);
    }
  g_remove (path);
}

static void
tear_down (Fixture *f, gconstpointer unused)
{
  strand_backend_close (f->backend, 0, NULL);
  g_object_unref (f->backend);
  strand_store_close (f->store);
  g_object_unref (f->store);
  if (f->socket >= 0)
    close (f->socket);
  remove_tree (f->home);
  g_free (f->home);
  g_free (f->config);
  g_free (f->err);
  g_free (f->address);
  g_free (f->watchdog);
}

static GSubprocess *
spawn (Fixture *f, GSubprocessFlags flags, const char *const *arguments)
{
  g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new (flags);
  g_autoptr(GPtrArray) argv = g_ptr_array_new ();
  g_autoptr(GError) error = NULL;
  GSubprocess *process;

  g_subprocess_launcher_setenv (launcher, "HOME", f->home, TRUE);
  g_subprocess_launcher_setenv (launcher, "XDG_STATE_HOME", f->home, TRUE);
  g_subprocess_launcher_setenv (launcher, "XDG_DATA_HOME", f->home, TRUE);
  g_subprocess_launcher_setenv (launcher, "LC_ALL", "C.UTF-8", TRUE);
  if (f->address != NULL)
    g_subprocess_launcher_setenv (launcher, "NOTIFY_SOCKET", f->address, TRUE);
  if (f->watchdog != NULL)
    g_subprocess_launcher_setenv (launcher, "WATCHDOG_USEC", f->watchdog, TRUE);
  g_subprocess_launcher_set_cwd (launcher, f->home);
  if ((flags & G_SUBPROCESS_FLAGS_STDERR_PIPE) == 0)
    g_subprocess_launcher_set_stderr_file_path (launcher, f->err);
  g_ptr_array_add (argv, (gpointer) g_getenv ("STRAND_COMMAND"));
  for (; *arguments != NULL; arguments++)
    g_ptr_array_add (argv, (gpointer) *arguments);
  g_ptr_array_add (argv, (gpointer) "--config");
  g_ptr_array_add (argv, f->config);
  g_ptr_array_add (argv, NULL);
  process = g_subprocess_launcher_spawnv (launcher, (const char *const *) argv->pdata, &error);
  g_assert_no_error (error);
  return process;
}

#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define start_worker(f, ...) spawn ((f), G_SUBPROCESS_FLAGS_NONE, WORDS ("worker", __VA_ARGS__))

/* What a command prints, which must succeed. */
static char *
ask (Fixture *f, const char *const *words)
{
  g_autoptr(GSubprocess) process =
      spawn (f, G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE, words);
  g_autoptr(GError) error = NULL;
  char *out = NULL;
  g_autofree char *err = NULL;

  g_subprocess_communicate_utf8 (process, NULL, NULL, &out, &err, &error);
  g_assert_no_error (error);
  if (!g_subprocess_get_successful (process))
    g_error ("%s: %s", words[0], err);
  return out;
}

static void
expect_status (GSubprocess *process, int status)
{
  g_autoptr(GError) error = NULL;

  g_subprocess_wait (process, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_subprocess_get_if_exited (process));
  g_assert_cmpint (g_subprocess_get_exit_status (process), ==, status);
}

static char *
launch (Fixture *f, const char *function, const char *arguments, StrandOptions *options)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandFunction) known =
      strand_registry_lookup (strand_registry_get_default (), function, &error);
  g_autoptr(StrandTask) task = NULL;
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(GVariant) values = NULL;

  g_assert_no_error (error);
  task = strand_task_new (known, G_OBJECT (f->backend));
  values = g_variant_parse (strand_function_get_parameter_type (known), arguments, NULL, NULL, &error);
  g_assert_no_error (error);
  handle = strand_task_call_full (task, values, NULL, options);
  return g_strdup (strand_handle_get_key (handle));
}

static gint64
count (Fixture *f, StrandStatus status)
{
  return strand_store_count (f->store, &(StrandFilter){ .kind = "call", .statuses = 1u << status }, NULL);
}

static gint64
count_workers (Fixture *f)
{
  return strand_store_count (f->store, &(StrandFilter){ .kind = "worker" }, NULL);
}

static gboolean
has_said (Fixture *f, const char *text)
{
  g_autofree char *all = NULL;

  return g_file_get_contents (f->err, &all, NULL, NULL) && strstr (all, text) != NULL;
}

/* --- the service manager
 * ------------------------------------------------------------------------------------
 */

/* @abstract: by a name that is no file's */
static void
play_manager (Fixture *f, gboolean abstract)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  g_autofree char *path = g_build_filename (f->home, "notify", NULL);
  gsize length = strlen (path);

  f->socket = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  g_assert_cmpint (f->socket, >=, 0);
  g_assert_cmpuint (length + 1, <, sizeof address.sun_path);
  if (abstract)
    memcpy (address.sun_path + 1, path, length++);
  else
    memcpy (address.sun_path, path, length);
  g_assert_cmpint (bind (f->socket, (struct sockaddr *) &address,
                         (socklen_t) (offsetof (struct sockaddr_un, sun_path) + length)),
                   ==, 0);
  f->address = g_strconcat (abstract ? "@" : "", path, NULL);
}

/* The next datagram; every one of them has to come before the deadline. */
static char *
hear (Fixture *f)
{
  struct pollfd polled = { .fd = f->socket, .events = POLLIN };
  char text[4096];
  ssize_t length;

  g_assert_cmpint (poll (&polled, 1, (int) (DEADLINE_US / 1000)), ==, 1);
  length = recv (f->socket, text, sizeof text - 1, 0);
  g_assert_cmpint (length, >, 0);
  text[length] = '\0';
  g_test_message ("heard: %s", text);
  return g_strdup (text);
}

/* Goes past what comes again and again. */
static char *
hear_first (Fixture *f, const char *prefix)
{
  while (TRUE)
    {
      char *text = hear (f);

      if (g_str_has_prefix (text, prefix))
        return text;
      g_assert_cmpstr (text, ==, "WATCHDOG=1");
      g_free (text);
    }
}

static void
expect_heard (Fixture *f, const char *prefix)
{
  g_autofree char *text = hear_first (f, prefix);

  g_assert_nonnull (text);
}

static void
check_manager_is_told (Fixture *f, gboolean abstract)
{
  g_autoptr(GSubprocess) worker = NULL;
  g_autofree char *text = NULL;
  gint64 before_us, said_us;

  play_manager (f, abstract);
  f->watchdog = g_strdup ("100000");
  worker = start_worker (f, "--quiet");
  expect_heard (f, "READY=1\nSTATUS=Serving default");
  for (guint i = 0; i < 3; i++)
    {
      g_autofree char *alive = hear (f);

      g_assert_cmpstr (alive, ==, "WATCHDOG=1");
    }
  before_us = g_get_monotonic_time ();
  g_subprocess_send_signal (worker, SIGHUP);
  text = hear_first (f, "RELOADING=1\nMONOTONIC_USEC=");
  said_us = g_ascii_strtoll (strrchr (text, '=') + 1, NULL, 10);
  g_assert_cmpint (said_us, >=, before_us);
  g_assert_cmpint (said_us, <=, g_get_monotonic_time ());
  expect_heard (f, "READY=1");
  g_subprocess_send_signal (worker, SIGTERM);
  expect_heard (f, "STOPPING=1");
  expect_status (worker, 0);
  g_assert_cmpint (count_workers (f), ==, 0);
}

static void
test_manager_is_told (Fixture *f, gconstpointer unused)
{
  check_manager_is_told (f, FALSE);
}

static void
test_manager_with_an_abstract_socket_is_told (Fixture *f, gconstpointer unused)
{
  check_manager_is_told (f, TRUE);
}

static void
test_manager_that_is_gone_is_no_trouble (Fixture *f, gconstpointer unused)
{
  g_autoptr(GSubprocess) worker = NULL;

  f->address = g_build_filename (f->home, "nobody", NULL);
  worker = start_worker (f, "--burst");
  expect_status (worker, 0);
}

/* --- signals
 * ------------------------------------------------------------------------------------------------
 */

static void
test_first_signal_lets_calls_end (Fixture *f, gconstpointer unused)
{
  g_autoptr(GSubprocess) worker = start_worker (f, "--jobs=1");
  g_autofree char *running = launch (f, "demo.sleep", "(0.5,)", NULL);
  g_autofree char *waiting = NULL;
  g_autoptr(StrandRecord) record = NULL;

  wait_until (count (f, STRAND_STATUS_RUNNING) == 1);
  g_subprocess_send_signal (worker, SIGTERM);
  wait_until (has_said (f, "stopping"));
  waiting = launch (f, "demo.echo", "('late',)", NULL);
  expect_status (worker, 0);
  record = strand_store_get (f->store, running, NULL);
  g_assert_cmpint (strand_record_get_status (record), ==, STRAND_STATUS_COMPLETED);
  g_assert_cmpint (count (f, STRAND_STATUS_PENDING), ==, 1);
}

static void
test_second_signal_gives_calls_back (Fixture *f, gconstpointer unused)
{
  g_autoptr(GSubprocess) worker = start_worker (f, "--jobs=1");
  g_autofree char *key = launch (f, "demo.sleep", "(" LONG ",)", NULL);
  g_autoptr(StrandRecord) record = NULL;

  wait_until (count (f, STRAND_STATUS_RUNNING) == 1);
  g_subprocess_send_signal (worker, SIGINT);
  wait_until (has_said (f, "once more gives them back"));
  g_assert_cmpint (count (f, STRAND_STATUS_RUNNING), ==, 1);
  g_subprocess_send_signal (worker, SIGINT);
  expect_status (worker, 0);
  record = strand_store_get (f->store, key, NULL);
  g_assert_cmpint (strand_record_get_status (record), ==, STRAND_STATUS_PENDING);
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_ATTEMPT), ==, 1);
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_CRASHES), ==, 0);
}

static void
test_bad_keyfile_changes_nothing (Fixture *f, gconstpointer unused)
{
  g_autoptr(GSubprocess) worker = NULL;
  g_autofree char *key = NULL;

  play_manager (f, FALSE);
  worker = start_worker (f, "--jobs=1");
  expect_heard (f, "READY=1");
  write_config (f, READER "jbos=3\n");
  g_subprocess_send_signal (worker, SIGHUP);
  expect_heard (f, "RELOADING=1");
  expect_heard (f, "READY=1");
  g_assert_true (has_said (f, "nothing has changed: "));
  g_assert_true (has_said (f, "unknown key for a reader"));
  key = launch (f, "demo.echo", "('still here',)", NULL);
  wait_until (count (f, STRAND_STATUS_COMPLETED) == 1);
  g_subprocess_send_signal (worker, SIGTERM);
  expect_status (worker, 0);
}

static void
test_changed_keyfile_counts (Fixture *f, gconstpointer unused)
{
  g_autoptr(GSubprocess) worker = NULL;
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autofree char *running = NULL;
  g_autofree char *elsewhere = NULL;

  strand_options_set_queue (options, "other");
  play_manager (f, FALSE);
  worker = start_worker (f, "--quiet");
  expect_heard (f, "READY=1");
  elsewhere = launch (f, "demo.echo", "('in the other queue',)", options);
  running = launch (f, "demo.sleep", "(0.5,)", NULL);
  wait_until (count (f, STRAND_STATUS_RUNNING) == 1);
  write_config (f, READER "queues=other\n");
  g_subprocess_send_signal (worker, SIGHUP);
  expect_heard (f, "RELOADING=1");
  expect_heard (f, "READY=1");
  wait_until (count (f, STRAND_STATUS_COMPLETED) == 2); /* the one that ran, too */
  g_subprocess_send_signal (worker, SIGTERM);
  expect_heard (f, "STOPPING=1");
  expect_status (worker, 0);
}

static void
test_burst_ends_when_nothing_is_left (Fixture *f, gconstpointer unused)
{
  g_autoptr(GSubprocess) worker = NULL;

  g_free (launch (f, "demo.echo", "('one',)", NULL));
  g_free (launch (f, "demo.add", "(2, 3)", NULL));
  wait_until (count (f, STRAND_STATUS_PENDING) == 2);
  worker = start_worker (f, "--burst");
  expect_status (worker, 0);
  g_assert_cmpint (count (f, STRAND_STATUS_COMPLETED), ==, 2);
}

/* --- workers that die
 * ---------------------------------------------------------------------------------------
 */

#define N_CALLS 200

/* Each call has the value that is its own. */
static void
check_values (Fixture *f, GPtrArray *keys)
{
  for (guint i = 0; i < keys->len; i++)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(StrandRecord) record = strand_store_get (f->store, g_ptr_array_index (keys, i), &error);
      g_autoptr(GVariant) value = NULL;

      g_assert_no_error (error);
      g_assert_cmpint (strand_record_get_status (record), ==, STRAND_STATUS_COMPLETED);
      g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_ATTEMPT), ==, 1);
      value = strand_record_dup_value (record, &error);
      g_assert_no_error (error);
      g_assert_cmpint (g_variant_get_int64 (value), ==, i + 1);
    }
}

static void
test_no_call_is_lost_with_its_worker (Fixture *f, gconstpointer unused)
{
  g_autoptr(GPtrArray) keys = g_ptr_array_new_with_free_func (g_free);
  GSubprocess *workers[3];

  g_free (launch (f, "demo.sleep", "(1.0,)", NULL));
  for (guint i = 0; i < N_CALLS; i++)
    {
      g_autofree char *arguments = g_strdup_printf ("(%u, 1)", i);

      g_ptr_array_add (keys, launch (f, "demo.add", arguments, NULL));
    }
  workers[0] = start_worker (f, "--quiet", "--jobs=1");
  wait_until (count (f, STRAND_STATUS_RUNNING) > 0);
  for (guint i = 1; i < 3; i++)
    workers[i] = start_worker (f, "--quiet");
  g_subprocess_send_signal (workers[0], SIGKILL); /* the first call, at least, is in its hands */
  g_subprocess_wait (workers[0], NULL, NULL);
  g_object_unref (workers[0]);
  workers[0] = start_worker (f, "--quiet");
  wait_until (count (f, STRAND_STATUS_COMPLETED) == N_CALLS + 1);
  for (guint i = 0; i < 3; i++)
    {
      g_subprocess_send_signal (workers[i], SIGTERM);
      expect_status (workers[i], 0);
      g_object_unref (workers[i]);
    }
  check_values (f, keys);
  g_assert_cmpint (strand_store_count (f->store, &(StrandFilter){ .kind = "call" }, NULL), ==, N_CALLS + 1);
  g_assert_cmpint (count_workers (f), ==, 0); /* nor is anything left of the dead one */
}

static void
test_call_that_kills_is_dead_and_can_be_tried_again (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(GSubprocess) worker = start_worker (f, "--quiet");
  g_autofree char *killer = NULL;
  g_autofree char *failing = NULL;
  g_autofree char *dead = NULL;
  g_autofree char *again = NULL;
  g_autoptr(StrandRecord) record = NULL;

  strand_options_set_retries (options, 10);
  killer = launch (f, "demo.crash", "(9,)", options);
  failing = launch (f, "demo.fail", "('as it should',)", NULL);
  wait_until (count (f, STRAND_STATUS_FAILED) == 2);
  dead = ask (f, WORDS ("list", "--status", "failed", "--dead"));
  g_assert_nonnull (strstr (dead, killer));
  g_assert_null (strstr (dead, failing));

  again = ask (f, WORDS ("retry", killer));
  g_strchomp (again);
  g_assert_cmpstr (again, !=, killer);
  record = strand_store_get (f->store, again, NULL);
  g_assert_cmpstr (strand_record_get_string (record, STRAND_FIELD_RETRY_OF), ==, killer);
  wait_until (count (f, STRAND_STATUS_FAILED) == 3);
  g_subprocess_send_signal (worker, SIGTERM);
  expect_status (worker, 0);
}

/* --- schedules
 * ----------------------------------------------------------------------------------------------
 */

#define SCHEDULE "[schedule tick]\nfunction=demo.echo\narguments='tock'\nevery="

static void
test_worker_keeps_schedules (Fixture *f, gconstpointer unused)
{
  g_autoptr(GSubprocess) worker = NULL;
  g_autofree char *list = NULL;
  g_autofree char *paused = NULL;
  g_autofree char *key = NULL;
  gint64 n;

  play_manager (f, FALSE);
  write_config (f, READER SCHEDULE "100ms\n");
  worker = start_worker (f, "--quiet");
  wait_until (count (f, STRAND_STATUS_COMPLETED) >= 3);
  list = ask (f, WORDS ("schedule", "list"));
  g_assert_true (g_str_has_prefix (list, "tick\twaiting\t"));
  g_assert_nonnull (strstr (list, "\tdemo.echo\tevery 100ms\n"));

  g_free (ask (f, WORDS ("schedule", "pause", "tick")));
  paused = ask (f, WORDS ("schedule", "list", "--json"));
  g_assert_nonnull (strstr (paused, "\"name\":\"tick\""));
  g_assert_nonnull (strstr (paused, "\"paused\":true,\"next\":0,\"last\":1"));
  /* One that was owed may have been on its way. */
  wait_until (count (f, STRAND_STATUS_PENDING) == 0 && count (f, STRAND_STATUS_RUNNING) == 0);

  key = ask (f, WORDS ("schedule", "run", "tick"));
  g_assert_true (g_str_has_prefix (key, "strand.run.tick."));
  n = count (f, STRAND_STATUS_COMPLETED);
  g_free (ask (f, WORDS ("schedule", "resume", "tick")));
  wait_until (count (f, STRAND_STATUS_COMPLETED) >= n + 3);

  /* A new keyfile, without it. */
  write_config (f, READER);
  expect_heard (f, "READY=1");
  g_subprocess_send_signal (worker, SIGHUP);
  expect_heard (f, "RELOADING=1");
  expect_heard (f, "READY=1");
  wait_until (count (f, STRAND_STATUS_PENDING) == 0 && count (f, STRAND_STATUS_RUNNING) == 0);
  g_subprocess_send_signal (worker, SIGTERM);
  expect_status (worker, 0);
}

static void
test_schedule_commands_explain_themselves (Fixture *f, gconstpointer unused)
{
  g_autoptr(GSubprocess) unknown = NULL;
  g_autoptr(GSubprocess) verb = NULL;
  g_autofree char *list = NULL;
  g_autofree char *json = NULL;

  write_config (f, READER SCHEDULE "1h\n");
  list = ask (f, WORDS ("schedule"));
  g_assert_cmpstr (list, ==, "tick\tnew\t-\t-\tdemo.echo\tevery 1h\n");
  unknown = spawn (f, G_SUBPROCESS_FLAGS_NONE, WORDS ("schedule", "pause", "tock"));
  expect_status (unknown, 2);
  g_assert_true (
      has_said (f, "There is no schedule 'tock'; schedules there are: tick; did you mean 'tick'?"));
  verb = spawn (f, G_SUBPROCESS_FLAGS_NONE, WORDS ("schedule", "stop", "tick"));
  expect_status (verb, 2);
  g_assert_true (has_said (f, "'stop' is none of list, run, pause, resume"));
  write_config (f, READER);
  json = ask (f, WORDS ("schedule", "list", "--json"));
  g_assert_cmpstr (json, ==, "[]\n");
}

/* --- the unit
 * -----------------------------------------------------------------------------------------------
 */

static void
test_unit_is_understood (void)
{
  g_autofree char *analyze = g_find_program_in_path ("systemd-analyze");
  g_autofree char *folder = NULL;
  g_autofree char *unit = NULL;
  g_autofree char *text = NULL;
  g_autofree char *out = NULL;
  g_autofree char *err = NULL;
  g_autoptr(GError) error = NULL;
  g_autoptr(GString) mended = NULL;
  gssize start;
  int status;

  if (analyze == NULL)
    {
      g_test_skip ("systemd-analyze is not installed");
      return;
    }
  g_file_get_contents (g_getenv ("STRAND_UNIT"), &text, NULL, &error);
  g_assert_no_error (error);
  /* The program is not yet where the unit says. */
  mended = g_string_new (text);
  start = strstr (text, "ExecStart=") - text + (gssize) strlen ("ExecStart=");
  g_string_erase (mended, start, strstr (text, " worker --config") - text - start);
  g_string_insert (mended, start, g_getenv ("STRAND_COMMAND"));
  folder = g_dir_make_tmp ("strand-unit-XXXXXX", NULL);
  unit = g_build_filename (folder, "strand-worker@jobs.service", NULL);
  g_assert_true (g_file_set_contents (unit, mended->str, -1, NULL));
  g_spawn_sync (NULL, (char *[]){ analyze, (char *) "verify", (char *) "--man=no", unit, NULL }, NULL,
                G_SPAWN_DEFAULT, NULL, NULL, &out, &err, &status, &error);
  g_assert_no_error (error);
  g_test_message ("%s", err);
  g_assert_null (
      strstr (err, "strand-worker@jobs.service:")); /* that is how it begins a complaint of a line */
  remove_tree (folder);
}

#define ADD(name, run) g_test_add ("/worker/" name, Fixture, NULL, set_up, run, tear_down)

int
main (int argc, char **argv)
{
  g_autoptr(GError) error = NULL;

  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  strand_registry_load_module (strand_registry_get_default (), "demo", &error);
  g_assert_no_error (error);

  ADD ("manager-is-told", test_manager_is_told);
  ADD ("manager-with-an-abstract-socket-is-told", test_manager_with_an_abstract_socket_is_told);
  ADD ("manager-that-is-gone-is-no-trouble", test_manager_that_is_gone_is_no_trouble);
  ADD ("first-signal-lets-calls-end", test_first_signal_lets_calls_end);
  ADD ("second-signal-gives-calls-back", test_second_signal_gives_calls_back);
  ADD ("bad-keyfile-changes-nothing", test_bad_keyfile_changes_nothing);
  ADD ("changed-keyfile-counts", test_changed_keyfile_counts);
  ADD ("burst-ends-when-nothing-is-left", test_burst_ends_when_nothing_is_left);
  ADD ("no-call-is-lost-with-its-worker", test_no_call_is_lost_with_its_worker);
  ADD ("call-that-kills-is-dead-and-can-be-tried-again", test_call_that_kills_is_dead_and_can_be_tried_again);
  ADD ("worker-keeps-schedules", test_worker_keeps_schedules);
  ADD ("schedule-commands-explain-themselves", test_schedule_commands_explain_themselves);
  g_test_add_func ("/worker/unit-is-understood", test_unit_is_understood);

  return g_test_run ();
}
