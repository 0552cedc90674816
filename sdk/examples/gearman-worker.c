/* gearman-worker.c — a worker of Gearman's that runs functions of strand.
 *
 *   gearman-worker HOST:PORT[,HOST:PORT...] MODULE...
 *
 * Runs one call at a time; start as many workers as there are processors. SIGTERM ends it after the call that it has, a second
 * one stops that. A second connection listens for calls that are to stop, and sees that somebody still waits for the call.  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gearman-wanted.h"
#include "gearman-wire.h"

#include <glib-unix.h>
#include <libgearman/gearman.h>
#include <string.h>
#include <unistd.h>

/* How often to ask whether somebody waits for the call that runs. */
#define WANTED_MS 1000

/* How long to wait for a server that is not there. */
#define RECONNECT_US (G_USEC_PER_SEC / 4)

/* The connections. */
enum
{
  JOBS,
  STOPS,
  N_CONNECTIONS
};

static struct
{
  char *name; /* set at the start, as the next three */
  const char *servers;
  GMainLoop *loop;
  gearman_worker_st *connections[N_CONNECTIONS];

  GMutex lock; /* guards everything below */
  GCond changed;
  StrandCall *call;    /* that runs */
  gearman_job_st *job; /* what Gearman calls it */
  gboolean ending[N_CONNECTIONS];
} worker;

/* --- what becomes of a call --------------------------------------------------------------------------------------------- */

/* FALSE if the server is gone, and with it whoever wants to know. */
static gboolean
tell (const char *name, GVariant *value, GError **error)
{
  g_autofree char *text = gearman_wire_write (g_variant_new ("(sv)", name, value), error);
  gboolean told;

  if (text == NULL)
    return FALSE;
  g_mutex_lock (&worker.lock);
  told = worker.job != NULL && gearman_job_send_data (worker.job, text, strlen (text)) == GEARMAN_SUCCESS;
  g_mutex_unlock (&worker.lock);
  if (!told)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_LOST, "The Gearman server that had sent the call is gone");
  return told;
}

static gboolean
on_item (StrandCall *call, GVariant *item, gpointer data, GError **error)
{
  return tell ("item", g_variant_new_variant (item), error);
}

static void
on_changed (StrandCall *call, gpointer data)
{
  g_autofree char *message = NULL;
  double progress = strand_call_get_progress (call, &message);
  g_autoptr(GVariant) metadata = strand_call_dup_metadata (call);

  if (message != NULL)
    tell ("message", g_variant_new_string (message), NULL);
  if (g_variant_n_children (metadata) > 0)
    tell ("metadata", metadata, NULL);
  if (progress < 0)
    return;
  g_mutex_lock (&worker.lock);
  if (worker.job != NULL) /* a thread of the function's may be late */
    gearman_job_send_status (worker.job, (guint32) (progress * GEARMAN_WHOLE), GEARMAN_WHOLE);
  g_mutex_unlock (&worker.lock);
}

static void
on_ended (StrandCall *call, gpointer data)
{
  /* run_job() looks when the function has returned. */
}

static const StrandAttemptFuncs funcs = { NULL, on_changed, on_ended, on_item };

/* --- jobs --------------------------------------------------------------------------------------------------------------- */

static StrandCall *
read_job (gearman_job_st *job, StrandFunction *function, GError **error)
{
  g_autoptr(GVariantType) type = gearman_wire_job_type (function);
  g_autoptr(GVariant) all = gearman_wire_read (gearman_job_workload (job), gearman_job_workload_size (job), type, error);
  g_autoptr(GVariant) arguments = NULL;
  g_autoptr(GVariantIter) headers = NULL;
  StrandOptions *options;
  const char *key, *name, *value;
  guint attempt;

  if (all == NULL)
    {
      g_prefix_error (error, "Could not read the arguments of '%s': ", strand_function_get_name (function));
      return NULL;
    }
  g_variant_get (all, "(@*a{ss}&su)", &arguments, &headers, &key, &attempt);
  options = strand_options_new ();
  if (*key != '\0')
    strand_options_set_key (options, key);
  while (g_variant_iter_next (headers, "{&s&s}", &name, &value))
    strand_options_set_header (options, name, value);
  return strand_call_new_for_function (function, arguments, options, attempt, &funcs, NULL, -1);
}

static void
set_job (StrandCall *call, gearman_job_st *job)
{
  g_mutex_lock (&worker.lock);
  worker.call = call;
  worker.job = job;
  g_mutex_unlock (&worker.lock);
}

/* What Gearman frees when it has sent it. */
static void *
give_value (GVariant *value, size_t *size, GError **error)
{
  g_autofree char *text = value != NULL ? gearman_wire_write (value, error) : NULL;

  *size = text != NULL ? strlen (text) : 0;
  return text != NULL ? strdup (text) : NULL;
}

/* Of Gearman's kind gearman_worker_fn. */
static void *
run_job (gearman_job_st *job, void *function, size_t *size, gearman_return_t *ret)
{
  g_autoptr(StrandCall) call = NULL;
  g_autoptr(GError) error = NULL;
  void *result = NULL;

  *size = 0;
  call = read_job (job, function, &error);
  set_job (call, job);
  if (call != NULL && tell ("begun", g_variant_new_string (worker.name), &error))
    {
      strand_call_run (strand_call_ref (call));
      if (strand_call_get_error (call) != NULL)
        error = g_error_copy (strand_call_get_error (call));
      else
        result = give_value (strand_call_get_value (call), size, &error);
    }
  if (error != NULL)
    tell ("error", gearman_wire_from_error (error), NULL);
  set_job (NULL, NULL);
  *ret = error != NULL ? GEARMAN_WORK_FAIL : GEARMAN_SUCCESS;
  return result;
}

/* The key of a call that is to stop. It may have ended meanwhile. */
static void *
stop_job (gearman_job_st *job, void *context, size_t *size, gearman_return_t *ret)
{
  g_autofree char *key = g_strndup (gearman_job_workload (job), gearman_job_workload_size (job));
  g_autoptr(StrandCall) call = NULL;

  g_mutex_lock (&worker.lock);
  if (worker.call != NULL && g_strcmp0 (strand_call_get_key (worker.call), key) == 0)
    call = strand_call_ref (worker.call);
  g_mutex_unlock (&worker.lock);
  if (call != NULL)
    strand_call_cancel (call);
  *size = 0;
  *ret = GEARMAN_SUCCESS;
  return NULL;
}

/* --- the program -------------------------------------------------------------------------------------------------------- */

static gboolean
is_ending (guint number)
{
  gboolean ending;

  g_mutex_lock (&worker.lock);
  ending = worker.ending[number];
  g_mutex_unlock (&worker.lock);
  return ending;
}

/* TRUE the first time. The connection's thread ends after the job that it has. */
static gboolean
end_connection (guint number)
{
  gboolean first;

  g_mutex_lock (&worker.lock);
  first = !worker.ending[number];
  worker.ending[number] = TRUE;
  g_cond_broadcast (&worker.changed);
  g_mutex_unlock (&worker.lock);
  gearman_kill (gearman_worker_id (worker.connections[number]), GEARMAN_INTERRUPT);
  return first;
}

/* Who has made the call may be gone, or have cancelled it in the moment in which it came here. */
static void
look_after_call (void)
{
  g_autoptr(StrandCall) call = NULL;
  g_autofree char *unique = NULL;

  g_mutex_lock (&worker.lock);
  if (worker.call != NULL)
    {
      call = strand_call_ref (worker.call);
      unique = g_strdup (gearman_job_unique (worker.job));
    }
  g_mutex_unlock (&worker.lock);
  if (call != NULL && !gearman_job_is_wanted (worker.servers, unique))
    strand_call_cancel (call);
}

/* A connection's thread; a server that went away may come back. */
static gpointer
serve (gpointer data)
{
  guint number = GPOINTER_TO_UINT (data);

  while (!is_ending (number))
    {
      gearman_return_t ret = gearman_worker_work (worker.connections[number]);

      if (ret == GEARMAN_SUCCESS || ret == GEARMAN_WORK_FAIL) /* how the job has ended */
        continue;
      if (ret == GEARMAN_TIMEOUT)
        {
          look_after_call ();
          continue;
        }
      g_mutex_lock (&worker.lock);
      if (!worker.ending[number])
        g_cond_wait_until (&worker.changed, &worker.lock, g_get_monotonic_time () + RECONNECT_US);
      g_mutex_unlock (&worker.lock);
    }
  if (number == JOBS)
    g_main_loop_quit (worker.loop);
  return NULL;
}

static void
add_functions (void)
{
  const StrandTraits elsewhere = STRAND_TRAIT_MAIN_THREAD_ONLY | STRAND_TRAIT_NOT_PORTABLE;
  g_autoptr(GPtrArray) functions = strand_registry_list (strand_registry_get_default ());
  g_autofree char *stop = g_strconcat (GEARMAN_STOP_PREFIX, worker.name, NULL);

  /* The registry keeps the functions. */
  for (guint i = 0; i < functions->len; i++)
    if ((strand_function_get_traits (functions->pdata[i]) & elsewhere) == 0)
      gearman_worker_add_function (worker.connections[JOBS], strand_function_get_name (functions->pdata[i]), 0, run_job,
                                   functions->pdata[i]);
  gearman_worker_add_function (worker.connections[STOPS], stop, 0, stop_job, NULL);
}

static gboolean
on_signal (gpointer unused)
{
  g_autoptr(StrandCall) call = NULL;

  if (end_connection (JOBS))
    return G_SOURCE_CONTINUE;
  g_mutex_lock (&worker.lock);
  if (worker.call != NULL)
    call = strand_call_ref (worker.call);
  g_mutex_unlock (&worker.lock);
  if (call != NULL)
    strand_call_cancel (call);
  return G_SOURCE_CONTINUE;
}

static gboolean
load_modules (char **names)
{
  g_autoptr(GError) error = NULL;

  for (; *names != NULL; names++)
    if (!strand_registry_load_module (strand_registry_get_default (), *names, &error))
      {
        g_printerr ("gearman-worker: %s\n", error->message);
        return FALSE;
      }
  return TRUE;
}

int
main (int argc, char **argv)
{
  GThread *threads[N_CONNECTIONS];

  if (argc < 3)
    {
      g_printerr ("Usage: gearman-worker HOST:PORT[,HOST:PORT...] MODULE...\n");
      return 2;
    }
  if (!load_modules (argv + 2))
    return 2;
  worker.servers = argv[1];
  worker.loop = g_main_loop_new (NULL, FALSE);
  worker.name = g_strdup_printf ("%s-%d", g_get_host_name (), (int) getpid ());
  for (guint i = 0; i < N_CONNECTIONS; i++)
    {
      worker.connections[i] = gearman_worker_create (NULL);
      gearman_worker_add_servers (worker.connections[i], argv[1]);
    }
  gearman_worker_set_timeout (worker.connections[STOPS], WANTED_MS);
  add_functions ();
  g_unix_signal_add (SIGTERM, on_signal, NULL);
  g_unix_signal_add (SIGINT, on_signal, NULL);
  for (guint i = 0; i < N_CONNECTIONS; i++)
    threads[i] = g_thread_new ("gearman", serve, GUINT_TO_POINTER (i));

  g_main_loop_run (worker.loop);
  g_thread_join (threads[JOBS]);
  end_connection (STOPS); /* only now: until its end a call can be stopped */
  g_thread_join (threads[STOPS]);
  /* The connections go with the process: gearman_worker_free() of libgearman 1.1 crashes now and then on what an interrupted
   * one has begun to read. */
  g_main_loop_unref (worker.loop);
  g_free (worker.name);
  return 0;
}
