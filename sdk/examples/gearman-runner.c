/* gearman-runner.c — a taskrunner whose calls run in Gearman's workers.
 *
 * Each of a few threads has a connection of its own and one call with Gearman at a time; the rest wait in line here. A call
 * that is told to stop while no worker has it is dropped with its connection, which makes Gearman forget it; if a worker has
 * it, that worker is told. Gearman's library waits for the server and for nothing else, so a thread looks 20 times a second
 * whether its call is to stop: sooner than a person notices, and nothing beside the call itself.
 *
 * A connection that is lost fails the call that was on it, and the next call makes a new one.
 *                                                       SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gearman-runner.h"
#include "gearman-wire.h"

#include <libgearman/gearman.h>
#include <string.h>

#define LOOK_MS 50

/* How long a word to a worker may take. */
#define TELL_MS 1000

/* How long close() waits for calls that it has cancelled: the default grace, twice. */
#define CLOSE_PATIENCE_US (10 * G_USEC_PER_SEC)

/* What the threads share. Lives until the last of them has ended. */
typedef struct
{
  gatomicrefcount ref_count;
  char *servers; /* set at construction, as the next */
  guint max_threads;

  GMutex lock; /* guards everything below */
  GCond changed;
  GQueue waiting; /* of StrandCall */
  GQueue running; /* of StrandCall: a thread has them */
  guint n_threads;
  gboolean closed;
} Pool;

/* A thread and its connection. */
typedef struct
{
  Pool *pool;
  gearman_client_st *client; /* NULL until there is a call, and after an error */

  /* Of the call that it has. */
  StrandCall *call;
  char *worker;      /* who has begun it */
  GVariant *value;   /* what came of it */
  GError *error;     /* why it failed */
  gboolean taken;    /* the server has it */
  gboolean begun;    /* a worker has, and nobody had cancelled it */
  gboolean given_up; /* somebody had */
  gboolean ended;    /* Gearman has said how */
  gboolean told;     /* the worker knows that it is to stop */
  gboolean room;     /* the consumer takes items; guarded by the pool's lock */
} Line;

struct _GearmanRunner
{
  GObject parent_instance;

  Pool *pool;
};

static void taskrunner_init (StrandTaskrunnerInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (GearmanRunner, gearman_runner, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_TASKRUNNER, taskrunner_init))

static Pool *
pool_ref (Pool *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

static void
pool_unref (Pool *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  g_cond_clear (&self->changed);
  g_mutex_clear (&self->lock);
  g_free (self->servers);
  g_free (self);
}

/* --- what Gearman says -------------------------------------------------------------------------------------------------- */

static void
fail (Line *self, GError *error)
{
  if (self->error == NULL)
    self->error = error;
  else
    g_clear_error (&error);
}

static gearman_return_t
on_created (gearman_task_st *task)
{
  ((Line *) gearman_task_context (task))->taken = TRUE;
  return GEARMAN_SUCCESS;
}

/* Whatever a worker says of a call, it has begun it. FALSE if the call was cancelled meanwhile. */
static gboolean
is_running (Line *self)
{
  if (!self->begun && !self->given_up)
    {
      self->begun = strand_call_begin (self->call);
      self->given_up = !self->begun;
    }
  return self->begun;
}

static void
on_begun (Line *self, GVariant *worker)
{
  g_free (self->worker);
  self->worker = g_variant_dup_string (worker, NULL);
}

/* The thread waits where the consumer of the items does not follow, and reads no more from Gearman. */
static void
on_item (Line *self, GVariant *boxed)
{
  g_autoptr(GVariant) item = g_variant_get_variant (boxed);
  Pool *pool = self->pool;

  g_mutex_lock (&pool->lock);
  self->room = FALSE;
  g_mutex_unlock (&pool->lock);
  if (strand_call_push_item (self->call, item))
    return;
  g_mutex_lock (&pool->lock);
  while (!self->room && !strand_call_is_stopping (self->call))
    g_cond_wait_until (&pool->changed, &pool->lock, g_get_monotonic_time () + LOOK_MS * 1000);
  g_mutex_unlock (&pool->lock);
}

static void
on_message (Line *self, GVariant *message)
{
  strand_call_set_progress (self->call, strand_call_get_progress (self->call, NULL), g_variant_get_string (message, NULL));
}

static void
on_metadata (Line *self, GVariant *all)
{
  GVariantIter iter;
  const char *name;
  GVariant *value;

  g_variant_iter_init (&iter, all);
  while (g_variant_iter_loop (&iter, "{&sv}", &name, &value))
    strand_call_set_metadata (self->call, name, value);
}

static void
on_error (Line *self, GVariant *value)
{
  fail (self, gearman_wire_to_error (value));
}

static const struct
{
  const char *name;
  const char *type;
  void (*take) (Line *self, GVariant *value);
} news[] = {
  { "begun", "s", on_begun },           { "item", "v", on_item },     { "message", "s", on_message },
  { "metadata", "a{sv}", on_metadata }, { "error", "(sis)", on_error },
};

/* A worker may say more than this program knows. */
static gearman_return_t
on_data (gearman_task_st *task)
{
  Line *self = gearman_task_context (task);
  g_autoptr(GVariant) packet = gearman_wire_read (gearman_task_data (task), gearman_task_data_size (task),
                                                  G_VARIANT_TYPE ("(sv)"), NULL);
  g_autoptr(GVariant) value = NULL;
  gboolean running = is_running (self);
  const char *name;

  if (packet == NULL)
    return GEARMAN_SUCCESS;
  g_variant_get (packet, "(&sv)", &name, &value);
  for (guint i = 0; i < G_N_ELEMENTS (news); i++)
    if (strcmp (news[i].name, name) == 0 && g_variant_is_of_type (value, G_VARIANT_TYPE (news[i].type)) &&
        (running || news[i].take == on_begun)) /* who is to be told that it was too late */
      news[i].take (self, value);
  return GEARMAN_SUCCESS;
}

static gearman_return_t
on_status (gearman_task_st *task)
{
  Line *self = gearman_task_context (task);
  guint32 whole = gearman_task_denominator (task);

  if (whole > 0 && is_running (self))
    strand_call_set_progress (self->call, MIN (1, (double) gearman_task_numerator (task) / whole), NULL);
  return GEARMAN_SUCCESS;
}

static gearman_return_t
on_complete (gearman_task_st *task)
{
  Line *self = gearman_task_context (task);
  const GVariantType *type = strand_function_get_result_type (strand_call_get_function (self->call));
  gsize size = gearman_task_data_size (task);
  GError *error = NULL;

  self->ended = TRUE;
  if (!is_running (self))
    return GEARMAN_SUCCESS;
  if (type != NULL && size > 0 && self->error == NULL)
    self->value = gearman_wire_read (gearman_task_data (task), size, type, &error);
  if (error != NULL)
    g_prefix_error (&error, "Could not read what Gearman's worker returned: ");
  fail (self, error);
  return GEARMAN_SUCCESS;
}

static gearman_return_t
on_fail (gearman_task_st *task)
{
  Line *self = gearman_task_context (task);

  self->ended = TRUE;
  if (is_running (self))
    fail (self, g_error_new (STRAND_ERROR, STRAND_ERROR_CRASHED,
                             "Gearman's worker failed without saying why, or is gone with the call"));
  return GEARMAN_SUCCESS;
}

/* --- one call ----------------------------------------------------------------------------------------------------------- */

static gboolean
connect_line (Line *self, GError **error)
{
  if (self->client != NULL)
    return TRUE;
  self->client = gearman_client_create (NULL);
  if (gearman_client_add_servers (self->client, self->pool->servers) != GEARMAN_SUCCESS)
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT, "'%s' is no list of servers: HOST:PORT, ...",
                   self->pool->servers);
      g_clear_pointer (&self->client, gearman_client_free);
      return FALSE;
    }
  gearman_client_add_options (self->client, GEARMAN_CLIENT_NON_BLOCKING | GEARMAN_CLIENT_FREE_TASKS |
                                                GEARMAN_CLIENT_GENERATE_UNIQUE);
  gearman_client_set_timeout (self->client, LOOK_MS);
  gearman_client_set_created_fn (self->client, on_created);
  gearman_client_set_data_fn (self->client, on_data);
  gearman_client_set_status_fn (self->client, on_status);
  gearman_client_set_complete_fn (self->client, on_complete);
  gearman_client_set_fail_fn (self->client, on_fail);
  return TRUE;
}

static char *
write_job (StrandCall *call, GError **error)
{
  g_autoptr(GVariant) headers = strand_call_dup_headers (call);

  return gearman_wire_write (g_variant_new ("(@*@a{ss}su)", strand_call_get_arguments (call), headers,
                                            strand_call_get_key (call), strand_call_get_attempt (call)),
                             error);
}

static void
add_task (Line *self, const char *job)
{
  const char *name = strand_call_get_function_name (self->call);
  int priority = strand_call_get_priority (self->call);
  gearman_return_t ret;

  if (priority > 0)
    gearman_client_add_task_high (self->client, NULL, self, name, NULL, job, strlen (job), &ret);
  else if (priority < 0)
    gearman_client_add_task_low (self->client, NULL, self, name, NULL, job, strlen (job), &ret);
  else
    gearman_client_add_task (self->client, NULL, self, name, NULL, job, strlen (job), &ret);
}

/* On a connection of its own, which does not wait for long: whoever has the call may be gone. */
static void
tell_worker (Line *self)
{
  g_autofree char *function = g_strconcat (GEARMAN_STOP_PREFIX, self->worker, NULL);
  const char *key = strand_call_get_key (self->call);
  gearman_job_handle_t handle;
  gearman_client_st *client = gearman_client_create (NULL);

  self->told = TRUE;
  gearman_client_add_servers (client, self->pool->servers);
  gearman_client_set_timeout (client, TELL_MS);
  gearman_client_do_high_background (client, function, NULL, key, strlen (key), handle);
  gearman_client_free (client);
}

/* FALSE if the thread is to have no more to do with its call. If a worker takes it now, it will find that nobody waits. */
static gboolean
look_round (Line *self)
{
  if (!self->given_up && !strand_call_is_stopping (self->call))
    return TRUE;
  if (self->worker != NULL && !self->told)
    tell_worker (self);
  return self->begun && strand_call_get_status (self->call) == STRAND_STATUS_RUNNING;
}

/* TRUE when Gearman has said how the call ended; FALSE with @error where it cannot, without one where nobody cares. */
static gboolean
wait_for_end (Line *self, GError **error)
{
  while (TRUE)
    {
      gearman_return_t ret = gearman_client_run_tasks (self->client);

      if (self->ended)
        return TRUE;
      if (ret == GEARMAN_IO_WAIT)
        ret = gearman_client_wait (self->client);
      if (ret != GEARMAN_SUCCESS && ret != GEARMAN_TIMEOUT && ret != GEARMAN_IO_WAIT)
        {
          if (self->worker != NULL)
            g_set_error (error, STRAND_ERROR, STRAND_ERROR_LOST,
                         "the server went away while worker '%s' had the call: %s", self->worker, gearman_strerror (ret));
          else
            g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_CONNECTED, "there is no connection: %s", gearman_strerror (ret));
          return FALSE;
        }
      if (!look_round (self))
        return FALSE;
    }
}

/* A connection that was kept from another call may have broken since: then a new one is tried. */
static void
have_it_run (Line *self, const char *job, GError **error)
{
  gboolean kept = self->client != NULL;

  if (!connect_line (self, error))
    return;
  add_task (self, job);
  if (wait_for_end (self, error))
    return;
  /* Gearman goes on with what it has, so the connection cannot be used for another. */
  g_clear_pointer (&self->client, gearman_client_free);
  if (*error == NULL || self->taken || !kept)
    return;
  g_clear_error (error);
  have_it_run (self, job, error);
}

static void
run_call (Line *self)
{
  g_autofree char *job = NULL;
  GError *error = NULL;

  self->taken = self->begun = self->given_up = self->ended = self->told = FALSE;
  if (strand_call_get_status (self->call) != STRAND_STATUS_PENDING)
    return; /* cancelled in line */
  job = write_job (self->call, &error);
  if (job != NULL)
    have_it_run (self, job, &error);
  if (error != NULL)
    {
      g_prefix_error (&error, "Could not have Gearman at '%s' run the call: ", self->pool->servers);
      fail (self, error);
    }
  if ((self->ended || self->error != NULL) && is_running (self))
    strand_call_finish (self->call, g_steal_pointer (&self->value), g_steal_pointer (&self->error));
  g_clear_pointer (&self->worker, g_free);
  g_clear_pointer (&self->value, g_variant_unref);
  g_clear_error (&self->error);
}

/* --- the threads -------------------------------------------------------------------------------------------------------- */

static gpointer
run_line (gpointer pool)
{
  Line self = { .pool = pool };

  g_mutex_lock (&self.pool->lock);
  while (TRUE)
    {
      self.call = g_queue_pop_head (&self.pool->waiting);
      if (self.call == NULL && self.pool->closed)
        break;
      if (self.call == NULL)
        {
          g_cond_wait (&self.pool->changed, &self.pool->lock);
          continue;
        }
      g_queue_push_tail (&self.pool->running, self.call);
      strand_call_set_runner_data (self.call, &self);
      g_mutex_unlock (&self.pool->lock);
      run_call (&self);
      g_mutex_lock (&self.pool->lock);
      strand_call_set_runner_data (self.call, NULL);
      g_queue_remove (&self.pool->running, self.call);
      g_cond_broadcast (&self.pool->changed);
      g_mutex_unlock (&self.pool->lock);
      strand_call_unref (self.call);
      g_mutex_lock (&self.pool->lock);
    }
  self.pool->n_threads--;
  g_cond_broadcast (&self.pool->changed);
  g_mutex_unlock (&self.pool->lock);

  g_clear_pointer (&self.client, gearman_client_free);
  pool_unref (self.pool);
  return NULL;
}

/* --- the interface ------------------------------------------------------------------------------------------------------ */

static StrandRunnerTraits
gearman_runner_get_traits (StrandTaskrunner *taskrunner)
{
  return STRAND_RUNNER_CONCURRENT | STRAND_RUNNER_OTHER_PROCESS;
}

/* The line has no limit of its own: the backend above has. */
static gboolean
gearman_runner_submit (StrandTaskrunner *taskrunner, StrandCall *call, gboolean may_block, GError **error)
{
  Pool *pool = GEARMAN_RUNNER (taskrunner)->pool;
  gboolean closed;

  g_mutex_lock (&pool->lock);
  closed = pool->closed;
  if (!closed)
    {
      g_queue_push_tail (&pool->waiting, call);
      if (pool->n_threads < pool->max_threads && pool->running.length + pool->waiting.length > pool->n_threads)
        {
          pool->n_threads++;
          g_thread_unref (g_thread_new ("gearman", run_line, pool_ref (pool)));
        }
      g_cond_broadcast (&pool->changed);
    }
  g_mutex_unlock (&pool->lock);
  if (closed)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_CLOSED, "the taskrunner has been closed");
  return !closed;
}

/* A worker that does not stop is left alone: its thread drops the call at the next look. */
static gboolean
gearman_runner_stop (StrandTaskrunner *taskrunner, StrandCall *call)
{
  return TRUE;
}

static void
gearman_runner_resume (StrandTaskrunner *taskrunner, StrandCall *call)
{
  Pool *pool = GEARMAN_RUNNER (taskrunner)->pool;
  Line *line;

  g_mutex_lock (&pool->lock);
  line = strand_call_get_runner_data (call);
  if (line != NULL)
    line->room = TRUE;
  g_cond_broadcast (&pool->changed);
  g_mutex_unlock (&pool->lock);
}

static guint
cancel_all (Pool *pool)
{
  g_autoptr(GPtrArray) calls = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_call_unref);

  g_mutex_lock (&pool->lock);
  for (GList *l = pool->running.head; l != NULL; l = l->next)
    g_ptr_array_add (calls, strand_call_ref (l->data));
  for (GList *l = pool->waiting.head; l != NULL; l = l->next)
    g_ptr_array_add (calls, strand_call_ref (l->data));
  g_mutex_unlock (&pool->lock);
  for (guint i = 0; i < calls->len; i++)
    strand_call_cancel (calls->pdata[i]);
  return calls->len;
}

static gboolean
wait_for_threads (Pool *pool, gint64 deadline_us)
{
  gboolean over = FALSE;

  g_mutex_lock (&pool->lock);
  pool->closed = TRUE;
  g_cond_broadcast (&pool->changed);
  while (pool->n_threads > 0 && !over)
    if (deadline_us < 0)
      g_cond_wait (&pool->changed, &pool->lock);
    else
      over = !g_cond_wait_until (&pool->changed, &pool->lock, deadline_us);
  over = pool->n_threads == 0;
  g_mutex_unlock (&pool->lock);
  return over;
}

static gboolean
gearman_runner_close (StrandTaskrunner *taskrunner, gint64 deadline_us, GError **error)
{
  Pool *pool = GEARMAN_RUNNER (taskrunner)->pool;
  guint n_left;

  if (wait_for_threads (pool, deadline_us))
    return TRUE;
  n_left = cancel_all (pool);
  wait_for_threads (pool, g_get_monotonic_time () + CLOSE_PATIENCE_US);
  if (n_left == 0)
    return TRUE;
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_TIMED_OUT, "%u calls had not ended and were cancelled", n_left);
  return FALSE;
}

static void
taskrunner_init (StrandTaskrunnerInterface *iface)
{
  iface->get_traits = gearman_runner_get_traits;
  iface->submit = gearman_runner_submit;
  iface->stop = gearman_runner_stop;
  iface->resume = gearman_runner_resume;
  iface->close = gearman_runner_close;
}

/* The threads end when they have nothing to do any more. */
static void
gearman_runner_finalize (GObject *object)
{
  Pool *pool = GEARMAN_RUNNER (object)->pool;

  g_mutex_lock (&pool->lock);
  pool->closed = TRUE;
  g_cond_broadcast (&pool->changed);
  g_mutex_unlock (&pool->lock);
  pool_unref (pool);
  G_OBJECT_CLASS (gearman_runner_parent_class)->finalize (object);
}

static void
gearman_runner_class_init (GearmanRunnerClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = gearman_runner_finalize;
}

static void
gearman_runner_init (GearmanRunner *self)
{
  self->pool = g_new0 (Pool, 1);
  g_atomic_ref_count_init (&self->pool->ref_count);
  g_mutex_init (&self->pool->lock);
  g_cond_init (&self->pool->changed);
}

GearmanRunner *
gearman_runner_new (const char *servers, guint connections)
{
  GearmanRunner *self = g_object_new (GEARMAN_TYPE_RUNNER, NULL);

  self->pool->servers = g_strdup (servers);
  self->pool->max_threads = connections;
  return self;
}
