/* worker.c — strand worker: readers and schedules with signals, and a service manager that is told.
 *
 * The first SIGINT or SIGTERM drains, the second gives back what runs, a third ends the program at once.
 * SIGHUP reads the keyfile again: readers whose group changed are replaced, and drain beside their
 * successors. SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "command.h"

#include <glib-unix.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static struct
{
  GPtrArray *queues;
  gint64 jobs;
  gboolean burst;
  gboolean watch;
} given = { .jobs = -1 };

const Option worker_options[] = {
  { 0, "queue", OPTION_LIST, &given.queues, "QUEUE", "Serve this queue; repeatable, the first goes first" },
  { 0, "jobs", OPTION_NUMBER, &given.jobs, "N", "Run that many calls at once" },
  { 0, "watch", OPTION_FLAG, &given.watch, NULL, "Read the keyfile again whenever it changes" },
  { 0, "burst", OPTION_FLAG, &given.burst, NULL, "End when nothing that is due is left" },
  { 0 },
};

typedef struct
{
  Session *session;
  GMainLoop *loop;
  GHashTable *readers;   /* of StrandReader, by name: those that take calls */
  GPtrArray *leaving;    /* of StrandReader: those that drain */
  GHashTable *schedules; /* of StrandSchedule, by name: those that are started */
  guint n_signals;
  Status status;
} Worker;

/* --- readers ---------------------------------------------------------------------------------------------
 */

/* A reader like @pattern (NULL: on the store of -b's backend), with what the command line says. */
static StrandReader *
make_reader (Worker *worker, StrandReader *pattern, GError **error)
{
  g_autoptr(StrandStore) store = NULL;
  g_autoptr(StrandTaskrunner) runner = NULL;
  g_autoptr(GListModel) middleware = NULL;
  g_auto(GStrv) queues = NULL;
  guint jobs = 0;

  if (pattern != NULL)
    g_object_get (pattern, "store", &store, "taskrunner", &runner, "middleware", &middleware, "queues",
                  &queues, "jobs", &jobs, NULL);
  else
    {
      store = session_ref_store (worker->session, error);
      if (store == NULL)
        return NULL;
      runner = STRAND_TASKRUNNER (
          strand_stack_ref_object (worker->session->stack, STRAND_KIND_TASKRUNNER, "process", NULL));
      if (runner == NULL)
        runner = STRAND_TASKRUNNER (
            strand_stack_ref_object (worker->session->stack, STRAND_KIND_TASKRUNNER, "thread", error));
      if (runner == NULL)
        return NULL;
    }
  if (given.queues != NULL)
    {
      g_clear_pointer (&queues, g_strfreev);
      queues = g_strdupv ((char **) given.queues->pdata);
    }
  if (given.jobs >= 0)
    jobs = (guint) MIN (given.jobs, 1000000);
  return g_object_new (STRAND_TYPE_READER, "store", store, "taskrunner", runner, "middleware", middleware,
                       "queues", queues, "jobs", jobs, NULL);
}

static gboolean
start_reader (Worker *worker, const char *name, StrandReader *reader, GError **error)
{
  if (!strand_reader_listen (reader, error))
    return FALSE;
  g_hash_table_replace (worker->readers, g_strdup (name), g_object_ref (reader));
  return TRUE;
}

/* One reader of the keyfile, as it is now. */
static gboolean
start_named (Worker *worker, const char *name, GError **error)
{
  g_autoptr(GObject) object =
      strand_stack_ref_object (worker->session->stack, STRAND_KIND_READER, name, error);
  g_autoptr(StrandReader) made = NULL;

  if (object == NULL)
    return FALSE;
  if (given.queues == NULL && given.jobs < 0)
    return start_reader (worker, name, STRAND_READER (object), error);
  made = make_reader (worker, STRAND_READER (object), error);
  return made != NULL && start_reader (worker, name, made, error);
}

static gboolean
start_readers (Worker *worker, GError **error)
{
  g_auto(GStrv) names = strand_stack_list_readers (worker->session->stack);
  g_autoptr(StrandReader) only = NULL;

  for (guint i = 0; names[i] != NULL; i++)
    if (!start_named (worker, names[i], error))
      return FALSE;
  if (names[0] != NULL)
    return TRUE;
  only = make_reader (worker, NULL, error);
  return only != NULL && start_reader (worker, "default", only, error);
}

/* --- schedules -------------------------------------------------------------------------------------------
 */

static gboolean
start_schedule (Worker *worker, const char *name, GError **error)
{
  g_autoptr(GObject) object =
      strand_stack_ref_object (worker->session->stack, STRAND_KIND_SCHEDULE, name, error);

  if (object == NULL || !strand_schedule_start (STRAND_SCHEDULE (object), error))
    return FALSE;
  g_hash_table_replace (worker->schedules, g_strdup (name), g_steal_pointer (&object));
  return TRUE;
}

static gboolean
start_schedules (Worker *worker, GError **error)
{
  g_auto(GStrv) names = strand_stack_list_schedules (worker->session->stack);

  for (guint i = 0; names[i] != NULL; i++)
    if (!start_schedule (worker, names[i], error))
      return FALSE;
  return TRUE;
}

static void
stop_schedule (gpointer schedule)
{
  strand_schedule_stop (schedule);
  g_object_unref (schedule);
}

/* The old one goes first: two of one name would each take the other for a stranger's. */
static void
replace_schedule (Worker *worker, const char *name)
{
  g_autoptr(GObject) now =
      strand_stack_ref_object (worker->session->stack, STRAND_KIND_SCHEDULE, name, NULL);
  g_autoptr(GError) error = NULL;

  if (now != NULL && (gpointer) now == g_hash_table_lookup (worker->schedules, name))
    return;
  g_hash_table_remove (worker->schedules, name);
  if (!start_schedule (worker, name, &error))
    session_say ("schedule '%s' is left to others: %s", name, error->message);
}

static gboolean
is_schedule_gone (gpointer name, gpointer schedule, gpointer names)
{
  return !g_strv_contains (names, name);
}

static void
replace_schedules (Worker *worker)
{
  g_auto(GStrv) names = strand_stack_list_schedules (worker->session->stack);

  g_hash_table_foreach_remove (worker->schedules, is_schedule_gone, names);
  for (guint i = 0; names[i] != NULL; i++)
    replace_schedule (worker, names[i]);
}

/* --- the end ---------------------------------------------------------------------------------------------
 */

static void
on_stopped (GObject *reader, GAsyncResult *result, gpointer data)
{
  Worker *worker = data;
  g_autoptr(GError) error = NULL;

  if (!strand_reader_stop_finish (STRAND_READER (reader), result, &error))
    session_say ("%s", error->message);
  g_ptr_array_remove_fast (worker->leaving, reader);
  if (worker->n_signals > 0 && worker->leaving->len == 0)
    g_main_loop_quit (worker->loop);
}

static void
stop_reader (Worker *worker, StrandReader *reader)
{
  g_ptr_array_add (worker->leaving, g_object_ref (reader));
  strand_reader_stop_async (reader, -1, NULL, on_stopped, worker);
}

static void
stop_all (Worker *worker)
{
  GHashTableIter iter;
  gpointer reader;

  notify_say ("STOPPING=1\nSTATUS=Letting calls end");
  g_hash_table_remove_all (worker->schedules);
  g_hash_table_iter_init (&iter, worker->readers);
  while (g_hash_table_iter_next (&iter, NULL, &reader))
    stop_reader (worker, reader);
  g_hash_table_remove_all (worker->readers);
  if (worker->leaving->len == 0)
    g_main_loop_quit (worker->loop);
}

static gboolean
on_stop_signal (gpointer data)
{
  Worker *worker = data;

  worker->n_signals++;
  if (worker->n_signals == 1)
    {
      if (!worker->session->quiet)
        session_say ("stopping: calls that run may end; once more gives them back");
      stop_all (worker);
    }
  else if (worker->n_signals == 2)
    for (guint i = 0; i < worker->leaving->len; i++)
      strand_reader_hurry (g_ptr_array_index (worker->leaving, i));
  else
    _exit (STATUS_CANCELLED); /* records are recovered by other workers, as after a crash */
  return G_SOURCE_CONTINUE;
}

/* --- reloading -------------------------------------------------------------------------------------------
 */

/* A reader whose group did not change is the same object, and goes on. */
static void
replace_reader (Worker *worker, const char *name)
{
  g_autoptr(GObject) now = strand_stack_ref_object (worker->session->stack, STRAND_KIND_READER, name, NULL);
  g_autoptr(StrandReader) old = NULL;
  g_autoptr(GError) error = NULL;

  old = g_hash_table_lookup (worker->readers, name);
  if (old != NULL)
    g_object_ref (old);
  if (now != NULL && (gpointer) now == (gpointer) old)
    return;
  if (!start_named (worker, name, &error))
    session_say ("reader '%s' goes on as it was: %s", name, error->message);
  else if (old != NULL)
    stop_reader (worker, old);
}

static gboolean
is_gone (gpointer name, gpointer reader, gpointer data)
{
  Worker *worker = data;
  g_auto(GStrv) names = strand_stack_list_readers (worker->session->stack);

  if (names[0] == NULL || g_strv_contains ((const char *const *) names, name))
    return FALSE;
  stop_reader (worker, reader);
  return TRUE;
}

/* The stack has been loaded again, by a signal or because the file changed. */
static void
on_reloaded (StrandStack *stack, GParamSpec *pspec, gpointer data)
{
  Worker *worker = data;
  g_auto(GStrv) names = NULL;

  if (worker->n_signals > 0)
    return;
  names = strand_stack_list_readers (stack);
  for (guint i = 0; names[i] != NULL; i++)
    replace_reader (worker, names[i]);
  g_hash_table_foreach_remove (worker->readers, is_gone, worker);
  replace_schedules (worker);
  if (!worker->session->quiet)
    session_say ("reloaded '%s'", worker->session->config);
}

static gboolean
on_reload_signal (gpointer data)
{
  Worker *worker = data;
  g_autoptr(GError) error = NULL;

  if (worker->n_signals > 0)
    return G_SOURCE_CONTINUE;
  notify_say ("RELOADING=1\nMONOTONIC_USEC=%" G_GINT64_FORMAT, g_get_monotonic_time ());
  if (!strand_stack_reload (worker->session->stack, &error))
    session_say ("nothing has changed: %s", error->message);
  notify_say ("READY=1");
  return G_SOURCE_CONTINUE;
}

/* --- running ---------------------------------------------------------------------------------------------
 */

static gboolean
on_watchdog (gpointer unused)
{
  notify_say ("WATCHDOG=1");
  return G_SOURCE_CONTINUE;
}

static gboolean
on_burst_over (gpointer data)
{
  on_stop_signal (data);
  return G_SOURCE_REMOVE;
}

/* On a thread of its own. */
static gpointer
wait_for_burst (gpointer data)
{
  Worker *worker = data;
  g_autoptr(GList) readers = g_hash_table_get_values (worker->readers);

  for (GList *l = readers; l != NULL; l = l->next)
    strand_reader_wait_idle (l->data, -1, NULL);
  g_idle_add (on_burst_over, worker);
  return NULL;
}

static void
say_ready (Worker *worker)
{
  GHashTableIter iter;
  gpointer reader;
  g_autoptr(GString) all = g_string_new (NULL);

  g_hash_table_iter_init (&iter, worker->readers);
  while (g_hash_table_iter_next (&iter, NULL, &reader))
    {
      g_auto(GStrv) queues = NULL;
      g_autofree char *joined = NULL;

      g_object_get (reader, "queues", &queues, NULL);
      joined = g_strjoinv (", ", queues);
      g_string_append_printf (all, "%s%s", all->len > 0 ? "; " : "", joined);
    }
  notify_say ("READY=1\nSTATUS=Serving %s", all->str);
  if (!worker->session->quiet)
    session_say ("serving %s", all->str);
}

/* Before the first call is taken: from then on an end that nobody hears costs that call a crash. */
static void
hear_signals (Worker *worker)
{
  g_unix_signal_add (SIGINT, on_stop_signal, worker);
  g_unix_signal_add (SIGTERM, on_stop_signal, worker);
  g_unix_signal_add (SIGHUP, on_reload_signal, worker);
}

static void
work (Worker *worker)
{
  gint64 watchdog_us = notify_get_watchdog ();
  GThread *burst = NULL;

  g_signal_connect (worker->session->stack, "notify::generation", G_CALLBACK (on_reloaded), worker);
  if (watchdog_us > 0)
    g_timeout_add ((guint) CLAMP (watchdog_us / 2000, 1, G_MAXINT), on_watchdog, NULL);
  say_ready (worker);
  if (given.burst)
    burst = g_thread_new ("strand-burst", wait_for_burst, worker);
  g_main_loop_run (worker->loop);
  if (burst != NULL)
    g_thread_join (burst);
}

Status
worker_run (Session *session, char **arguments)
{
  static Worker worker; /* signals may come until the very end */
  g_autoptr(GError) error = NULL;

  if (arguments[0] != NULL)
    return session_usage (session, "A worker takes no arguments; queues are named with --queue");
  if (given.queues != NULL)
    g_ptr_array_add (given.queues, NULL);
  worker = (Worker){ .session = session, .loop = g_main_loop_new (NULL, FALSE) };
  worker.readers = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_object_unref);
  worker.leaving = g_ptr_array_new_with_free_func (g_object_unref);
  worker.schedules = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, stop_schedule);

  hear_signals (&worker);
  if (session_load (session, &error) && (!given.watch || strand_stack_watch (session->stack, &error)) &&
      start_schedules (&worker, &error) && start_readers (&worker, &error))
    work (&worker);
  else
    worker.status = session_complain (error);
  g_hash_table_unref (worker.schedules);
  g_hash_table_unref (worker.readers);
  g_ptr_array_unref (worker.leaving);
  g_main_loop_unref (worker.loop);
  return worker.status;
}
