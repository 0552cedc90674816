/* queue-actors.c — a writer launches calls and says which were accepted; a worker runs them and says so; a
 * follower waits for their ends and says how they stood then.
 *
 * The value of a call is the name of the run that made it, so whoever reads the record knows which run won. A
 * run on a thread knows the fence under which it was claimed; one in a helper knows only its worker.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "queue-actors.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "queue-stage.h"
#include "unfenced-store.h"

/* A writer launches so many at once, and goes on while no more than so many batches wait. */
#define BATCH 40
#define BATCHES_AHEAD 6

/* What a caller does whom the store refuses. */
#define PAUSE_US (50 * 1000)

/* One long call in so many is cancelled. */
#define CANCEL_ONE_IN 4

#define LOG_VARIABLE "STRAND_CHAOS_LOG"
#define ACTOR_VARIABLE "STRAND_CHAOS_ACTOR"

static int log_fd = -1;
static int log_actor;
static volatile sig_atomic_t is_told_to_end;

/* --- the log -------------------------------------------------------------------------------------------- */

void
actors_open_log (const char *path, int number)
{
  g_autofree char *text = g_strdup_printf ("%d", number);

  log_fd = open (path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  log_actor = number;
  g_assert_cmpint (log_fd, >=, 0);
  g_setenv (LOG_VARIABLE, path, TRUE);
  g_setenv (ACTOR_VARIABLE, text, TRUE);
}

void
actors_say (const char *format, ...)
{
  g_autofree char *text = NULL;
  g_autofree char *line = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  line = g_strdup_printf ("%" G_GINT64_FORMAT " %d %s\n", strand_clock_now_us (), log_actor, text);
  if (write (log_fd, line, strlen (line)) != (gssize) strlen (line))
    g_error ("The log cannot be written: %s", g_strerror (errno));
}

char *
actors_dup_process (const char *owner)
{
  const char *first = strchr (owner, ':');
  const char *last = strrchr (owner, ':');

  return first != NULL && first < last ? g_strndup (first, (gsize) (last - first)) : g_strdup (owner);
}

/* --- what is called ------------------------------------------------------------------------------------- */

static GVariant *
run_items (StrandContext *context, GError **error)
{
  for (guint i = 0; i < 30; i++)
    {
      strand_context_set_progress (context, i / 30.0, "on its way");
      if (!strand_context_emit (context, g_variant_new_uint32 (i), error))
        return NULL;
    }
  return g_variant_new_string ("");
}

static void
spin (gint64 duration_us)
{
  gint64 until_us = g_get_monotonic_time () + duration_us;

  while (g_get_monotonic_time () < until_us)
    ;
}

/* What a call does, by its kind. NULL with an error. @helper: whether it may take the process with it. */
static GVariant *
play_kind (StrandContext *context, const char *kind, gboolean helper, GError **error)
{
  gboolean slept = TRUE;

  if (strcmp (kind, "nap") == 0)
    slept = strand_context_sleep (context, g_random_int_range (1000, 40000), error);
  else if (strcmp (kind, "long") == 0)
    slept = strand_context_sleep (context, g_random_int_range (200000, 600000), error);
  else if (strcmp (kind, "spin") == 0)
    spin (20000);
  else if (strcmp (kind, "items") == 0)
    return run_items (context, error);
  else if (strcmp (kind, "deadly") == 0 && helper && strand_context_get_attempt (context) == 1)
    kill (getpid (), SIGKILL);
  else if (strcmp (kind, "flaky") == 0 && strand_context_get_attempt (context) == 1)
    {
      g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_AGAIN, "it never works the first time");
      return NULL;
    }
  return slept ? g_variant_new_string ("") : NULL;
}

/* @data: the fence, as a pointer; NULL in a helper. */
static GVariant *
chaos_run (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  static guint n_runs;
  g_autofree char *name = NULL;
  g_autoptr(GVariant) value = NULL;
  const char *kind;

  if (log_fd < 0)
    actors_open_log (g_getenv (LOG_VARIABLE), atoi (g_getenv (ACTOR_VARIABLE)));
  name = g_strdup_printf ("%d.%d.%d", log_actor, (int) getpid (), g_atomic_int_add (&n_runs, 1));
  g_variant_get (arguments, "(&s)", &kind);
  actors_say ("start %s %u %u %s", strand_context_get_key (context), strand_context_get_attempt (context),
              GPOINTER_TO_UINT (data), name);
  value = play_kind (context, kind, data == NULL, error);
  if (value == NULL)
    return NULL;
  g_variant_ref_sink (value);
  actors_say ("end %s", name);
  return g_variant_new_string (name);
}

gboolean
actors_register (StrandRegistry *registry, GError **error)
{
  return strand_registry_add (registry, "chaos.run", "kind:s -> s", NULL, chaos_run, NULL, NULL, error);
}

/* --- the writer ----------------------------------------------------------------------------------------- */

static const struct
{
  const char *name;
  gint32 weight;
} kinds[] = {
  { "quick", 860 }, { "nap", 100 },  { "long", 10 },  { "spin", 6 },
  { "items", 10 },  { "flaky", 10 }, { "deadly", 4 },
};

/* Who is to be overtaken must have something that takes its time. */
static const char *
draw_kind (GRand *rand, gboolean unfenced)
{
  gint32 drawn = g_rand_int_range (rand, 0, 1000);
  guint i = 0;

  if (unfenced)
    return drawn < 150 ? "long" : "quick";
  while (i + 1 < G_N_ELEMENTS (kinds) && drawn >= kinds[i].weight)
    drawn -= kinds[i++].weight;
  return kinds[i].name;
}

static StrandHandle *
launch_one (StrandBackend *backend, StrandFunction *function, const char *kind, const char *key)
{
  g_autoptr(StrandTask) task = strand_task_new (function, G_OBJECT (backend));
  g_autoptr(StrandOptions) options = strand_options_new ();

  strand_options_set_key (options, key);
  strand_options_set_retries (options, 3);
  return strand_task_call_full (task, g_variant_new ("(s)", kind), NULL, options);
}

/* A call was accepted unless launching it failed. What it came to meanwhile does not matter. */
static gboolean
was_accepted (StrandHandle *handle)
{
  const GError *error = strand_handle_get_error (handle);

  return error == NULL || !g_str_has_prefix (error->message, "Could not launch");
}

/* Launches some calls and returns one that was accepted; NULL if none was. */
static char *
launch_batch (const Part *part, StrandStore *store, StrandFunction *function, GRand *rand, guint *serial)
{
  GType type = strand_plugins_load (strand_plugins_get_default (), STRAND_KIND_BACKEND, "store", NULL);
  g_autoptr(StrandBackend) backend = g_object_new (type, "store", store, NULL);
  g_autoptr(GPtrArray) handles = g_ptr_array_new_with_free_func (g_object_unref);
  char *accepted = NULL;

  for (guint i = 0; i < BATCH; i++)
    {
      const char *kind = draw_kind (rand, part->unfenced);
      g_autofree char *key = g_strdup_printf ("%s-%d-%u", kind, log_actor, (*serial)++);

      g_ptr_array_add (handles, launch_one (backend, function, kind, key));
    }
  strand_backend_close (backend, 0, NULL);
  for (guint i = 0; i < handles->len; i++)
    {
      const char *key = strand_handle_get_key (handles->pdata[i]);

      if (!was_accepted (handles->pdata[i]))
        {
          actors_say ("refused %s", key);
          continue;
        }
      actors_say ("accepted %s", key);
      g_free (accepted);
      accepted = g_strdup (key);
      if (g_str_has_prefix (key, "long") && g_rand_int_range (rand, 0, CANCEL_ONE_IN) == 0)
        strand_store_cancel_call (store, key, NULL);
    }
  return accepted;
}

/* Until the call has ended, or the writer is to end, or nobody can say. */
static void
await (StrandStore *store, const char *key)
{
  g_autoptr(StrandHandle) handle = strand_handle_new (store, key, NULL);

  while (handle != NULL && !is_told_to_end && !strand_handle_wait (handle, G_USEC_PER_SEC / 10, NULL))
    ;
}

static void
on_end_signal (int number)
{
  is_told_to_end = TRUE;
}

static int
play_writer (const Part *part)
{
  g_autoptr(StrandStore) store = stage_open_store (part->type, part->place, PATIENCE_US);
  g_autoptr(StrandFunction) function =
      strand_registry_lookup (strand_registry_get_default (), "chaos.run", NULL);
  g_autoptr(GRand) rand = g_rand_new_with_seed ((guint32) (part->seed + part->number));
  g_autoptr(GQueue) launched = g_queue_new ();
  guint serial = 0;

  signal (SIGTERM, on_end_signal);
  while (!is_told_to_end)
    {
      char *accepted = launch_batch (part, store, function, rand, &serial);

      if (accepted != NULL)
        g_queue_push_tail (launched, accepted);
      else
        g_usleep (PAUSE_US);
      while (!is_told_to_end && launched->length > (accepted != NULL ? BATCHES_AHEAD : 0))
        {
          g_autofree char *oldest = g_queue_pop_head (launched);

          await (store, oldest);
        }
    }
  g_queue_clear_full (launched, g_free);
  strand_store_close (store);
  return 0;
}

/* --- the follower --------------------------------------------------------------------------------------- */

/* How many calls it follows at once, and how long before it looks for others. */
#define N_FOLLOWED 20
#define FOLLOW_US (5 * G_USEC_PER_SEC)
#define FOLLOW_SLICE_US (G_USEC_PER_SEC / 10)

/* A handle says that the call has ended; so does the record from then on. */
static void
say_end (StrandStore *store, const char *key)
{
  g_autoptr(StrandRecord) record = strand_store_get (store, key, NULL);

  if (record != NULL)
    actors_say ("saw %s %s %" G_GUINT64_FORMAT " %" G_GINT64_FORMAT, key,
                strand_status_to_string (strand_record_get_status (record)),
                strand_record_get_revision (record), strand_record_get_int (record, STRAND_FIELD_FENCE));
}

static gboolean
follow (StrandHandle *handle, gint64 until_us)
{
  gboolean ended = FALSE;

  while (!ended && !is_told_to_end && g_get_monotonic_time () < until_us)
    ended = strand_handle_wait (handle, FOLLOW_SLICE_US, NULL);
  return ended;
}

static void
follow_some (StrandStore *store)
{
  const StrandFilter waiting = { .statuses = 1 << STRAND_STATUS_PENDING | 1 << STRAND_STATUS_RUNNING };
  g_autoptr(StrandPage) page = strand_store_list (store, &waiting, NULL, N_FOLLOWED, NULL);
  GPtrArray *records = page != NULL ? strand_page_get_records (page) : NULL;
  gint64 until_us = g_get_monotonic_time () + FOLLOW_US;
  g_autoptr(GPtrArray) handles = g_ptr_array_new_with_free_func (g_object_unref);

  if (records == NULL || records->len == 0)
    g_usleep (PAUSE_US);
  for (guint i = 0; records != NULL && i < records->len; i++)
    {
      StrandHandle *handle = strand_handle_new (store, strand_record_get_key (records->pdata[i]), NULL);

      if (handle != NULL)
        g_ptr_array_add (handles, handle);
    }
  for (guint i = 0; i < handles->len; i++)
    if (follow (handles->pdata[i], until_us))
      say_end (store, strand_handle_get_key (handles->pdata[i]));
}

static int
play_follower (const Part *part)
{
  g_autoptr(StrandStore) store = stage_open_store (part->type, part->place, PATIENCE_US);

  signal (SIGTERM, on_end_signal);
  while (!is_told_to_end)
    follow_some (store);
  strand_store_close (store);
  return 0;
}

/* --- the worker ----------------------------------------------------------------------------------------- */

/* Says what was claimed, and gives a thread's call its fence: as much of it as counts claims. */
static StrandFunction *
resolve (StrandReader *reader, StrandRecord *record, gpointer part, GError **error)
{
  guint fence = (guint) strand_record_get_int (record, STRAND_FIELD_FENCE) & STRAND_FENCE_CLAIMS;

  actors_say ("claim %s %u", strand_record_get_key (record), fence);
  if (strcmp (((const Part *) part)->runner, "process") == 0)
    return strand_registry_lookup (strand_registry_get_default (), "chaos.run", error);
  return strand_function_new ("chaos.run", "kind:s -> s", NULL, STRAND_TRAIT_NONE, chaos_run,
                              GUINT_TO_POINTER (fence), NULL, error);
}

static gboolean
on_term (gpointer loop)
{
  g_main_loop_quit (loop);
  return G_SOURCE_CONTINUE;
}

static StrandReader *
make_reader (const Part *part, StrandStore *store, StrandTaskrunner *runner)
{
  const char *const queues[] = { "default", NULL };
  StrandReader *reader = g_object_new (
      STRAND_TYPE_READER, "store", store, "taskrunner", runner, "queues", queues, "jobs", WORKER_JOBS,
      "lease", (gint64) part->lease_ms * 1000, "grace", G_TIME_SPAN_SECOND, "retry-delay",
      (gint64) (20 * G_TIME_SPAN_MILLISECOND), "stop-timeout", 30 * G_TIME_SPAN_SECOND, NULL);

  strand_reader_set_resolver (reader, resolve, (gpointer) part, NULL);
  return reader;
}

static void
say_who (const Part *part)
{
  g_autofree char *owner = strand_lease_owner_self ("chaos");
  g_autofree char *process = actors_dup_process (owner);

  actors_say ("worker %s %s", process, part->runner);
}

static int
play_worker (const Part *part)
{
  g_autoptr(StrandStore) real = stage_open_store (part->type, part->place, PATIENCE_US);
  g_autoptr(StrandStore) store = part->unfenced ? unfenced_store_new (real) : g_object_ref (real);
  GType type =
      strand_plugins_load (strand_plugins_get_default (), STRAND_KIND_TASKRUNNER, part->runner, NULL);
  g_autoptr(StrandTaskrunner) runner = g_object_new (type, "workers", WORKER_JOBS, NULL);
  g_autoptr(StrandReader) reader = make_reader (part, store, runner);
  g_autoptr(GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr(GError) error = NULL;

  g_unix_signal_add (SIGTERM, on_term, loop);
  say_who (part);
  if (!strand_reader_listen (reader, &error))
    {
      actors_say ("without-store");
      return ACTOR_WITHOUT_STORE;
    }
  actors_say ("listens");
  g_main_loop_run (loop);
  actors_say ("stops");
  strand_reader_stop (reader, -1, NULL);
  strand_taskrunner_close (runner, g_get_monotonic_time () + 10 * G_TIME_SPAN_SECOND, NULL);
  strand_store_close (store);
  strand_store_close (real);
  actors_say ("stopped");
  return 0;
}

int
actors_play (const Part *part)
{
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  actors_open_log (part->log, part->number);
  if (strcmp (part->role, "writer") == 0)
    return play_writer (part);
  return strcmp (part->role, "follower") == 0 ? play_follower (part) : play_worker (part);
}
