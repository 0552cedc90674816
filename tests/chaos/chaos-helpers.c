/* chaos-helpers.c — helper processes are killed at random while they work, and no call is lost.
 *
 *     chaos-helpers [--seconds N] [--seed N] [--log FILE] [--recorded]
 *
 * Calls of several kinds are kept in flight, some are cancelled, and every few milliseconds a helper is
 * killed, whatever it does at that time: starting, running, idle, ending. Each call must end exactly once:
 * with its right value and its items in order, as crashed, or as cancelled if it was; and no more may crash
 * than were killed. Afterwards no process, descriptor or grandchild is left; and with `--recorded`, where a
 * local backend keeps a record of each call in a store in memory, the records say what the callers heard. The
 * seed decides what is tried, the machine when; the log, of which a failure shows the end, says what came of
 * it.                                              SPDX-License-Identifier: LGPL-2.1-or-later */

#include "../core/waiting.h"
#include "strand-plugin.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define N_WORKERS 4
#define IN_FLIGHT 100

/* Between two kills, at random up to this, or up to twice what a start takes where that is more, under
 * sanitizers: so that most helpers come to run something. */
#define MAX_PAUSE_MS 30

/* One call in so many is cancelled. */
#define CANCEL_ONE_IN 50

/* How much of the log a failure shows. */
#define N_LINES 40

static int option_seconds = 10;
static int option_seed = -1;
static char *option_log;
static gboolean option_recorded;

/* Functions. */

static guint64
scramble (guint64 n)
{
  return (n ^ (n >> 31)) * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);
}

static GVariant *
chaos_scramble (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  guint64 n;

  g_variant_get (arguments, "(t)", &n);
  return g_variant_new_uint64 (scramble (n));
}

/* Takes its time, and says when it is told to stop. */
static GVariant *
chaos_nap (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  guint64 n;

  g_variant_get (arguments, "(t)", &n);
  if (!strand_context_sleep (context, (gint64) (n % 20) * 1000, error))
    return NULL;
  return g_variant_new_uint64 (scramble (n));
}

static GVariant *
chaos_items (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  guint64 n;

  g_variant_get (arguments, "(t)", &n);
  for (guint64 i = 0; i < n % 600; i++)
    if (!strand_context_emit (context, g_variant_new_uint64 (i), error))
      return NULL;
  return g_variant_new_uint64 (scramble (n));
}

/* Leaves a child behind. */
static GVariant *
chaos_child (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  g_autoptr(GSubprocess) child = g_subprocess_new (G_SUBPROCESS_FLAGS_NONE, error, "sleep", "3600", NULL);
  guint64 n;

  if (child == NULL)
    return NULL;
  g_variant_get (arguments, "(t)", &n);
  strand_context_set_metadata (context, "child", g_variant_new_string (g_subprocess_get_identifier (child)));
  return g_variant_new_uint64 (scramble (n));
}

static const struct
{
  const char *name;
  StrandFunc func;
  guint weight;
} kinds[] = {
  { "chaos.scramble", chaos_scramble, 80 },
  { "chaos.nap", chaos_nap, 10 },
  { "chaos.items", chaos_items, 9 },
  { "chaos.child", chaos_child, 1 },
};

static gboolean
register_functions (StrandRegistry *registry, GError **error)
{
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    if (!strand_registry_add (registry, kinds[i].name, "n:t -> t", NULL, kinds[i].func, NULL, NULL, error))
      return FALSE;
  return TRUE;
}

/* The run. */

typedef struct
{
  StrandTaskrunner *runner;
  StrandStore *store; /* the next two are NULL unless there are records */
  StrandBackend *backend;
  GRand *rand;
  GPtrArray *calls; /* of Call, all that were ever made */
  GArray *children; /* of pid_t, grandchildren that were heard of */
  gint64 start_us;
  gint64 until_us;
  guint max_pause_ms;
  guint n_in_flight;
  guint n_kills;
  guint n_cancels;
  guint n_values;
  guint n_crashed;
  guint n_cancelled;
  guint64 n_items;
  GQueue lines; /* the end of the log */
  FILE *log;
} Run;

typedef struct
{
  Run *run;
  guint64 n;
  guint kind;
  guint n_ends;
  guint64 n_items;
  gboolean cancelled;
  StrandHandle *handle; /* while it is in flight */
} Call;

G_GNUC_PRINTF (2, 3)
static void
note (Run *run, const char *format, ...)
{
  g_autofree char *text = NULL;
  char *line;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  line = g_strdup_printf ("%9.6f %s\n", (double) (g_get_monotonic_time () - run->start_us) / G_USEC_PER_SEC,
                          text);
  if (run->log != NULL)
    fputs (line, run->log);
  g_queue_push_tail (&run->lines, line);
  if (g_queue_get_length (&run->lines) > N_LINES)
    g_free (g_queue_pop_head (&run->lines));
}

G_GNUC_NORETURN G_GNUC_PRINTF (2, 3) static void fail (Run *run, const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  for (GList *l = run->lines.head; l != NULL; l = l->next)
    g_printerr ("%s", (char *) l->data);
  g_printerr ("seed %d: %s\n", option_seed, text);
  exit (1);
}

static void
note_child (Call *self, StrandCall *call)
{
  g_autoptr(GVariant) metadata = strand_call_dup_metadata (call);
  const char *text;
  pid_t pid;

  if (!g_variant_lookup (metadata, "child", "&s", &text))
    return;
  pid = (pid_t) g_ascii_strtoll (text, NULL, 10);
  g_array_append_val (self->run->children, pid);
}

/* What a caller has heard stands in the store by then. It goes at once, for there are many. */
static void
take_record (Run *run, Call *call, StrandStatus status)
{
  const char *key = strand_handle_get_key (call->handle);
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandRecord) record = strand_store_get (run->store, key, &error);
  g_autoptr(GVariant) value = NULL;

  if (record == NULL)
    fail (run, "the record of call %" G_GUINT64_FORMAT " cannot be read: %s", call->n, error->message);
  if (strand_record_get_status (record) != status)
    fail (run, "call %" G_GUINT64_FORMAT " ended %s, and its record says %s", call->n,
          strand_status_to_string (status), strand_status_to_string (strand_record_get_status (record)));
  if (strand_record_get_string (record, STRAND_FIELD_LEASE_OWNER) != NULL)
    fail (run, "call %" G_GUINT64_FORMAT " has ended and still has a lease", call->n);
  if (status == STRAND_STATUS_COMPLETED)
    value = strand_record_dup_value (record, &error);
  if (status == STRAND_STATUS_COMPLETED &&
      (value == NULL || g_variant_get_uint64 (value) != scramble (call->n)))
    fail (run, "the record of call %" G_GUINT64_FORMAT " has a wrong value", call->n);
  if (!strand_store_remove (run->store, key, 0, &error))
    fail (run, "the record of call %" G_GUINT64_FORMAT " cannot be removed: %s", call->n, error->message);
}

static void
count_end (Call *self, StrandCall *call, const char *how)
{
  Run *run = self->run;

  note (run, "%s %" G_GUINT64_FORMAT " %s after %" G_GUINT64_FORMAT " items", kinds[self->kind].name, self->n,
        how, self->n_items);
  note_child (self, call);
  if (run->store != NULL)
    take_record (run, self, strand_call_get_status (call));
  g_clear_object (&self->handle);
  run->n_in_flight--;
  if (++self->n_ends > 1)
    fail (run, "call %" G_GUINT64_FORMAT " ended twice", self->n);
}

static gboolean
on_iter (StrandCall *call, GVariant *item, gpointer data, GError **error)
{
  Call *self = data;

  self->run->n_items++;
  if (self->n_ends > 0 || g_variant_get_uint64 (item) != self->n_items++)
    fail (self->run,
          "call %" G_GUINT64_FORMAT ": item %" G_GUINT64_FORMAT " came as number %" G_GUINT64_FORMAT, self->n,
          g_variant_get_uint64 (item), self->n_items - 1);
  return TRUE;
}

static void
on_end (StrandCall *call, GVariant *value, gpointer data)
{
  Call *self = data;

  count_end (self, call, "completed");
  self->run->n_values++;
  if (g_variant_get_uint64 (value) != scramble (self->n))
    fail (self->run, "call %" G_GUINT64_FORMAT " has a wrong value", self->n);
  if (strcmp (kinds[self->kind].name, "chaos.items") == 0 && self->n_items != self->n % 600)
    fail (self->run, "call %" G_GUINT64_FORMAT " has lost items", self->n);
}

static void
on_error (StrandCall *call, const GError *error, gpointer data)
{
  Call *self = data;

  count_end (self, call, error->message);
  if (g_error_matches (error, STRAND_ERROR, STRAND_ERROR_CRASHED))
    self->run->n_crashed++;
  else if (self->cancelled && g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    self->run->n_cancelled++;
  else
    fail (self->run, "call %" G_GUINT64_FORMAT " failed: %s", self->n, error->message);
}

static guint
draw_kind (Run *run)
{
  gint32 drawn = g_rand_int_range (run->rand, 0, 100);
  guint kind = 0;

  while (kind + 1 < G_N_ELEMENTS (kinds) && drawn >= (gint32) kinds[kind].weight)
    drawn -= (gint32) kinds[kind++].weight;
  return kind;
}

static void
make_call (Run *run)
{
  Call *self = g_new0 (Call, 1);
  g_autoptr(StrandFunction) function = NULL;
  g_autoptr(StrandTask) task = NULL;

  self->run = run;
  self->n = g_rand_int (run->rand);
  self->kind = draw_kind (run);
  g_ptr_array_add (run->calls, self);
  function = strand_registry_lookup (strand_registry_get_default (), kinds[self->kind].name, NULL);
  task = strand_task_new (function, run->backend != NULL ? G_OBJECT (run->backend) : G_OBJECT (run->runner));
  strand_task_on_iter (task, on_iter, self, NULL);
  strand_task_on_end (task, on_end, self, NULL);
  strand_task_on_error (task, on_error, self, NULL);
  self->handle = strand_task_call (task, "(t)", self->n);
  run->n_in_flight++;
  if (g_rand_int_range (run->rand, 0, CANCEL_ONE_IN) == 0)
    self->cancelled = TRUE;
}

/* Killing. */

/* The process's children, whichever thread has started them. */
static GArray *
list_children (void)
{
  GArray *pids = g_array_new (FALSE, FALSE, sizeof (pid_t));
  g_autoptr(GDir) threads = g_dir_open ("/proc/self/task", 0, NULL);
  const char *thread;

  while (threads != NULL && (thread = g_dir_read_name (threads)) != NULL)
    {
      g_autofree char *path = g_strdup_printf ("/proc/self/task/%s/children", thread);
      g_autofree char *text = NULL;
      g_auto(GStrv) words = NULL;

      if (!g_file_get_contents (path, &text, NULL, NULL))
        continue;
      words = g_strsplit (g_strstrip (text), " ", -1);
      for (guint i = 0; words[i] != NULL && *words[i] != '\0'; i++)
        {
          pid_t pid = (pid_t) g_ascii_strtoll (words[i], NULL, 10);

          g_array_append_val (pids, pid);
        }
    }
  return pids;
}

static gboolean
is_our_child (pid_t pid)
{
  siginfo_t info = { 0 };

  return waitid (P_PID, (id_t) pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

/* By pidfd, for a number may become another's between looking and killing. */
static void
kill_one (Run *run)
{
  static const int signals[] = { SIGKILL, SIGKILL, SIGSEGV, SIGABRT, SIGTERM };
  int number = signals[g_rand_int_range (run->rand, 0, G_N_ELEMENTS (signals))];
  guint32 drawn = g_rand_int (run->rand);
  g_autoptr(GArray) pids = list_children ();
  pid_t pid;
  int fd;

  if (pids->len == 0)
    return;
  pid = g_array_index (pids, pid_t, drawn % pids->len);
  fd = (int) syscall (SYS_pidfd_open, pid, 0);
  if (fd < 0)
    return;
  if (is_our_child (pid) && syscall (SYS_pidfd_send_signal, fd, number, NULL, 0) == 0)
    {
      run->n_kills++;
      note (run, "signal %d to %d", number, (int) pid);
    }
  close (fd);
}

static gboolean
on_kill_due (gpointer data)
{
  Run *run = data;

  kill_one (run);
  if (g_get_monotonic_time () < run->until_us)
    g_timeout_add ((guint) g_rand_int_range (run->rand, 0, (gint32) run->max_pause_ms), on_kill_due, run);
  return G_SOURCE_REMOVE;
}

/* Some of those that were chosen for it are cancelled, wherever they are by now. */
static void
cancel_some (Run *run)
{
  for (guint i = run->calls->len; i > 0 && i + IN_FLIGHT > run->calls->len; i--)
    {
      Call *self = run->calls->pdata[i - 1];

      if (!self->cancelled || self->handle == NULL || g_rand_int_range (run->rand, 0, 3) != 0)
        continue;
      run->n_cancels++;
      strand_handle_cancel (self->handle);
    }
}

/* What is left. */

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
check_grandchildren (Run *run)
{
  for (guint i = 0; i < run->children->len; i++)
    {
      pid_t pid = g_array_index (run->children, pid_t, i);
      int fd = (int) syscall (SYS_pidfd_open, pid, 0);
      struct pollfd poller = { fd, POLLIN, 0 };
      g_autofree char *path = g_strdup_printf ("/proc/%d/comm", (int) pid);
      g_autofree char *name = NULL;

      if (fd < 0)
        continue;
      /* The number may be another's by now, but hardly another sleeper's. */
      if (g_file_get_contents (path, &name, NULL, NULL) && strcmp (name, "sleep\n") == 0 &&
          poll (&poller, 1, DEADLINE_US / 1000) != 1)
        fail (run, "grandchild %d is left", (int) pid);
      close (fd);
    }
}

static void
check_calls (Run *run)
{
  for (guint i = 0; i < run->calls->len; i++)
    if (((Call *) run->calls->pdata[i])->n_ends != 1)
      fail (run, "call %" G_GUINT64_FORMAT " is lost", ((Call *) run->calls->pdata[i])->n);
  if (run->n_crashed > run->n_kills)
    fail (run, "%u calls crashed, and only %u helpers were killed", run->n_crashed, run->n_kills);
  if (run->n_crashed == 0 || run->n_values == 0)
    fail (run, "%u calls crashed and %u had values: this tried nothing", run->n_crashed, run->n_values);
}

static void
run_calls (Run *run)
{
  gint64 deadline_us = run->until_us + DEADLINE_US;

  while (g_get_monotonic_time () < run->until_us)
    {
      while (run->n_in_flight < IN_FLIGHT)
        make_call (run);
      cancel_some (run);
      if (run->max_pause_ms == 0 && run->n_values > 0)
        {
          run->max_pause_ms = MAX (MAX_PAUSE_MS, (guint) ((g_get_monotonic_time () - run->start_us) / 500));
          on_kill_due (run);
        }
      g_main_context_iteration (NULL, TRUE);
    }
  while (run->n_in_flight > 0)
    {
      if (g_get_monotonic_time () > deadline_us)
        fail (run, "%u calls do not end", run->n_in_flight);
      wait_turn ();
    }
}

static GType
load (StrandKind kind, const char *type)
{
  g_autoptr(GError) error = NULL;
  GType gtype = strand_plugins_load (strand_plugins_get_default (), kind, type, &error);

  g_assert_no_error (error);
  return gtype;
}

static StrandTaskrunner *
make_runner (void)
{
  return g_object_new (load (STRAND_KIND_TASKRUNNER, "process"), "workers", N_WORKERS, "min-idle", N_WORKERS,
                       "max-calls-per-worker", (guint64) 5000, NULL);
}

static void
keep_records (Run *run)
{
  run->store = g_object_new (load (STRAND_KIND_STORE, "memory"), "auto-cleanup", FALSE, NULL);
  run->backend = g_object_new (load (STRAND_KIND_BACKEND, "local"), "taskrunner", run->runner, "store",
                               run->store, NULL);
}

static void
close_records (Run *run)
{
  const StrandFilter all = { .statuses = 0 };
  g_autoptr(GError) error = NULL;

  if (!strand_backend_close (run->backend, g_get_monotonic_time () + DEADLINE_US, &error))
    fail (run, "%s", error->message);
  if (strand_store_count (run->store, &all, NULL) != 0)
    fail (run, "there are records that no call has");
  g_clear_object (&run->backend);
  strand_store_close (run->store);
  g_clear_object (&run->store);
}

static void
test_killed_helpers_lose_no_call (void)
{
  g_autoptr(GError) error = NULL;
  Run run = { .runner = make_runner (), .rand = g_rand_new_with_seed ((guint32) option_seed) };
  guint n_descriptors = count_descriptors ();
  siginfo_t info;

  run.calls = g_ptr_array_new_with_free_func (g_free);
  run.children = g_array_new (FALSE, FALSE, sizeof (pid_t));
  run.log = option_log != NULL ? fopen (option_log, "we") : NULL;
  if (option_recorded)
    keep_records (&run);
  run.start_us = g_get_monotonic_time ();
  run.until_us = run.start_us + option_seconds * G_USEC_PER_SEC;
  run_calls (&run);
  check_calls (&run);
  if (option_recorded)
    close_records (&run);
  if (!strand_taskrunner_close (run.runner, g_get_monotonic_time () + DEADLINE_US, &error))
    fail (&run, "%s", error->message);
  g_object_unref (run.runner);
  if (waitid (P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 || errno != ECHILD)
    fail (&run, "a helper is left");
  check_grandchildren (&run);
  if (count_descriptors () > n_descriptors + (run.log != NULL) + 2) /* what GLib opens once: two eventfds */
    fail (&run, "%u descriptors were open before, and now %u are", n_descriptors, count_descriptors ());

  g_test_message (
      "seed %d, %d s: %u calls = %u values + %u crashed + %u cancelled; %u kills, %u cancels, %" G_GUINT64_FORMAT
      " items, %u grandchildren; nothing lost, nothing left",
      option_seed, option_seconds, run.calls->len, run.n_values, run.n_crashed, run.n_cancelled, run.n_kills,
      run.n_cancels, run.n_items, run.children->len);
  g_clear_pointer (&run.log, fclose);
  g_queue_clear_full (&run.lines, g_free);
  g_rand_free (run.rand);
  g_array_unref (run.children);
  g_ptr_array_unref (run.calls);
}

int
main (int argc, char **argv)
{
  const GOptionEntry entries[] = {
    { "seconds", 0, 0, G_OPTION_ARG_INT, &option_seconds, "How long to go on", "N" },
    { "seed", 0, 0, G_OPTION_ARG_INT, &option_seed, "What to try; another each time by default", "N" },
    { "log", 0, 0, G_OPTION_ARG_FILENAME, &option_log, "Where to write what happened", "FILE" },
    { "recorded", 0, 0, G_OPTION_ARG_NONE, &option_recorded, "Keep records in memory, and compare", NULL },
    { NULL },
  };
  g_autoptr(GOptionContext) options = g_option_context_new (NULL);
  const struct rlimit no_core = { 0, 0 };
  g_autoptr(GError) error = NULL;

  strand_helper_main (argc, argv, register_functions);
  g_option_context_add_main_entries (options, entries, NULL);
  g_option_context_set_ignore_unknown_options (options, TRUE);
  if (!g_option_context_parse (options, &argc, &argv, &error))
    {
      g_printerr ("%s\n", error->message);
      return 2;
    }
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  if (option_seed < 0)
    option_seed = g_random_int_range (0, G_MAXINT);
  g_print ("# seed %d\n", option_seed);
  setrlimit (RLIMIT_CORE, &no_core); /* the deaths are wanted */
  g_test_add_func ("/chaos/killed-helpers-lose-no-call", test_killed_helpers_lose_no_call);
  return g_test_run ();
}
