/* strand-reader.c — takes calls out of a store and runs them here.
 *
 * Three threads share the work, so that none waits for another's trouble: the claimer takes calls and starts
 * them, the settler writes what became of them, the keeper renews their leases. Each has a file of its own;
 * this one is the object, and what begins and ends the threads.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-reader-private.h"

#include <string.h>
#include <unistd.h>

#include "strand-blocking-private.h"
#include "strand-error.h"
#include "strand-param.h"

#define DEFAULT_QUEUE "default"
#define DEFAULT_GRACE_US (5 * G_USEC_PER_SEC)
#define DEFAULT_LEASE_US (15 * G_USEC_PER_SEC)
#define DEFAULT_STOP_TIMEOUT_US (30 * G_USEC_PER_SEC)
#define DEFAULT_RETRY_DELAY_US (1 * G_USEC_PER_SEC)
#define DEFAULT_RETRY_MAX_DELAY_US (G_GINT64_CONSTANT (10) * 60 * G_USEC_PER_SEC)
#define DEFAULT_MAX_CRASHES 3
#define DEFAULT_MAX_ITEMS 1000

/* Below it a busy machine loses leases that are well; above a day nothing is ever recovered. */
#define SHORTEST_LEASE_US (G_USEC_PER_SEC / 2)
#define LONGEST_LEASE_US (G_GINT64_CONSTANT (24) * 60 * 60 * G_USEC_PER_SEC)

/* What is taken for a call's duration before there was one: long, so that nothing is claimed ahead. */
#define FIRST_AVERAGE_US (100 * 1000)

/* How long stop() waits, after the grace, for what it has stopped to be written. */
#define STOP_PATIENCE_US (5 * G_USEC_PER_SEC)

enum
{
  PROP_STORE = 1,
  PROP_TASKRUNNER,
  PROP_MIDDLEWARE,
  PROP_QUEUES,
  PROP_JOBS,
  PROP_TIMEOUT,
  PROP_GRACE,
  PROP_RETRIES,
  PROP_RETRY_DELAY,
  PROP_RETRY_MAX_DELAY,
  PROP_LEASE,
  PROP_MAX_CRASHES,
  PROP_MAX_ITEMS,
  PROP_STOP_TIMEOUT,
  N_PROPS
};

static GParamSpec *props[N_PROPS];

/**
 * StrandReader:
 *
 * Takes calls out of a store and runs them here, under leases that it renews: a worker is a program with
 * one or more of these.
 *
 * Since: 1.0
 */
G_DEFINE_FINAL_TYPE (StrandReader, strand_reader, G_TYPE_OBJECT)

/**
 * strand_reader_new:
 * @store: where the calls are
 * @taskrunner: where they run
 * @queues: (array zero-terminated=1): whose calls; while the first has any that are due, the others wait
 *
 * Makes a reader with the default settings; its properties are set with g_object_new() otherwise.
 *
 * Returns: (transfer full): a reader that does not listen yet
 * Since: 1.0
 */
StrandReader *
strand_reader_new (StrandStore *store, StrandTaskrunner *taskrunner, const char *const *queues)
{
  g_return_val_if_fail (STRAND_IS_STORE (store), NULL);
  g_return_val_if_fail (STRAND_IS_TASKRUNNER (taskrunner), NULL);
  g_return_val_if_fail (queues != NULL && queues[0] != NULL, NULL);

  return g_object_new (STRAND_TYPE_READER, "store", store, "taskrunner", taskrunner, "queues", queues, NULL);
}

/**
 * strand_reader_set_resolver:
 * @self: a reader that does not listen yet
 * @func: (scope notified) (closure user_data) (destroy destroy) (nullable): finds the function of a call;
 *   `NULL` for the registry
 * @user_data: data for @func
 * @destroy: (nullable): what to call when @user_data is no longer needed
 *
 * Decides which function a stored call means. By default the default registry is asked for its name.
 *
 * Since: 1.0
 */
void
strand_reader_set_resolver (StrandReader *self, StrandResolveFunc func, gpointer user_data,
                            GDestroyNotify destroy)
{
  g_return_if_fail (STRAND_IS_READER (self));
  g_return_if_fail (self->claimer == NULL);

  if (self->resolve_destroy != NULL)
    self->resolve_destroy (self->resolve_data);
  self->resolve = func;
  self->resolve_data = user_data;
  self->resolve_destroy = destroy;
}

static void
note_work_locked (StrandReader *self)
{
  self->work = TRUE;
  self->idle = FALSE;
  g_cond_signal (&self->claimer_wakes);
}

static void
on_work (StrandStore *store, const char *queue, gpointer data)
{
  StrandReader *self = data;

  g_mutex_lock (&self->lock);
  note_work_locked (self);
  g_mutex_unlock (&self->lock);
}

/* --- queues that an operator has paused --------------------------------------------------------------- */

static char *
state_key (const char *queue)
{
  return g_strconcat ("strand.queue.", queue, NULL);
}

static void
read_queue_state (gpointer data)
{
  g_autoptr(StrandReader) self = data;

  for (guint i = 0; self->queues[i] != NULL; i++)
    {
      g_autofree char *key = state_key (self->queues[i]);
      g_autoptr(StrandRecord) record = strand_store_get (self->store, key, NULL);
      GVariant *metadata = record != NULL ? strand_record_get_variant (record, STRAND_FIELD_METADATA) : NULL;
      gboolean paused = FALSE;

      if (metadata != NULL)
        g_variant_lookup (metadata, "paused", "b", &paused);
      g_mutex_lock (&self->lock);
      if (paused)
        g_hash_table_add (self->stopped_queues, g_strdup (self->queues[i]));
      else if (g_hash_table_remove (self->stopped_queues, self->queues[i]))
        note_work_locked (self);
      g_mutex_unlock (&self->lock);
    }
}

static void
on_queue_state (StrandStore *store, const char *key, gpointer data)
{
  strand_blocking_run (read_queue_state, g_object_ref (data));
}

static void
watch_queues (StrandReader *self)
{
  for (guint i = 0; self->queues[i] != NULL; i++)
    {
      g_autofree char *key = state_key (self->queues[i]);
      guint work = strand_store_watch_queue (self->store, self->queues[i], on_work, self, NULL);
      guint state = strand_store_watch (self->store, key, on_queue_state, self, NULL);

      g_array_append_val (self->watches, work);
      g_array_append_val (self->watches, state);
    }
  read_queue_state (g_object_ref (self));
}

static void
unwatch_queues (StrandReader *self)
{
  for (guint i = 0; i < self->watches->len; i++)
    strand_store_unwatch (self->store, g_array_index (self->watches, guint, i));
  g_array_set_size (self->watches, 0);
}

/* --- from listen to stop ------------------------------------------------------------------------------ */

static gboolean
check_queues (StrandReader *self, GError **error)
{
  for (guint i = 0; self->queues[i] != NULL; i++)
    {
      g_autofree char *key = state_key (self->queues[i]);

      if (!strand_key_check (key, NULL))
        {
          g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
                       "Could not start a reader: '%s' is no queue's name; it may have up to 100 letters, "
                       "digits, '.', '_' and '-'",
                       self->queues[i]);
          return FALSE;
        }
    }
  return TRUE;
}

/**
 * strand_reader_listen:
 * @self: a reader
 * @error: return location for a #GError
 *
 * Starts to take calls and to run them, on threads of its own, until strand_reader_stop(). The store is
 * opened and written to, so that a reader that cannot work says so here.
 *
 * Blocks as the store does; any thread that owns no main context.
 *
 * Returns: %TRUE; or %FALSE with %STRAND_ERROR_INVALID_ARGUMENT if something was not set,
 *   %STRAND_ERROR_CLOSED if it listened before, or the store's error
 * Since: 1.0
 */
gboolean
strand_reader_listen (StrandReader *self, GError **error)
{
  gboolean first;

  g_return_val_if_fail (STRAND_IS_READER (self), FALSE);

  if (self->store == NULL || self->taskrunner == NULL)
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT, "The reader was made without a %s",
                   self->store == NULL ? "store" : "taskrunner");
      return FALSE;
    }
  g_mutex_lock (&self->lock);
  first = !self->listening && !self->stopping;
  self->listening |= first;
  g_mutex_unlock (&self->lock);
  if (!first)
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_CLOSED, "The reader has been started or stopped before");
      return FALSE;
    }
  if (!check_queues (self, error) || !reader_enlist (self, error))
    return FALSE;

  if (self->jobs == 0)
    self->jobs = g_get_num_processors ();
  self->chain = strand_chain_new (self->middleware);
  strand_chain_set_wake (self->chain, reader_chain_wake);
  self->work = TRUE;
  watch_queues (self);
  self->settler = g_thread_new ("strand-settle", reader_settle, self);
  self->keeper = g_thread_new ("strand-lease", reader_keep, self);
  self->claimer = g_thread_new ("strand-claim", reader_claim, self);
  return TRUE;
}

/**
 * strand_reader_is_listening:
 * @self: a reader
 *
 * Any thread; does not block.
 *
 * Returns: whether it has been started, and not been asked to stop
 * Since: 1.0
 */
gboolean
strand_reader_is_listening (StrandReader *self)
{
  gboolean listening;

  g_return_val_if_fail (STRAND_IS_READER (self), FALSE);

  g_mutex_lock (&self->lock);
  listening = self->listening && !self->stopping;
  g_mutex_unlock (&self->lock);
  return listening;
}

/**
 * strand_reader_pause:
 * @self: a reader
 *
 * Takes no further calls until strand_reader_resume(); those that run go on, and a claim that is under way
 * may still bring some. Any thread; does not block.
 *
 * Since: 1.0
 */
void
strand_reader_pause (StrandReader *self)
{
  g_return_if_fail (STRAND_IS_READER (self));

  g_mutex_lock (&self->lock);
  self->paused = TRUE;
  g_mutex_unlock (&self->lock);
}

/**
 * strand_reader_resume:
 * @self: a reader
 *
 * Ends strand_reader_pause(). Any thread; does not block.
 *
 * Since: 1.0
 */
void
strand_reader_resume (StrandReader *self)
{
  g_return_if_fail (STRAND_IS_READER (self));

  g_mutex_lock (&self->lock);
  self->paused = FALSE;
  note_work_locked (self);
  g_mutex_unlock (&self->lock);
}

/**
 * strand_reader_get_n_running:
 * @self: a reader
 *
 * Any thread; does not block.
 *
 * Returns: how many calls it has claimed and not settled
 * Since: 1.0
 */
guint
strand_reader_get_n_running (StrandReader *self)
{
  guint n;

  g_return_val_if_fail (STRAND_IS_READER (self), 0);

  g_mutex_lock (&self->lock);
  n = self->all.length;
  g_mutex_unlock (&self->lock);
  return n;
}

/**
 * strand_reader_get_store:
 * @self: a reader
 *
 * Says where the reader takes its calls from.
 *
 * Returns: (transfer none) (nullable): its store
 * Since: 1.0
 */
StrandStore *
strand_reader_get_store (StrandReader *self)
{
  g_return_val_if_fail (STRAND_IS_READER (self), NULL);

  return self->store;
}

/* FALSE when time was up. */
static gboolean
wait_locked (StrandReader *self, gint64 deadline_us)
{
  if (deadline_us >= 0)
    return g_cond_wait_until (&self->changed, &self->lock, deadline_us);
  g_cond_wait (&self->changed, &self->lock);
  return TRUE;
}

/**
 * strand_reader_wait_idle:
 * @self: a reader that listens
 * @deadline_us: until when, monotonic, in microseconds; -1 for ever
 * @error: return location for a #GError
 *
 * Waits until nothing that is due is left in its queues and nothing runs. Calls whose time comes later do not
 * count. Blocks; any thread that owns no main context and runs none of the calls.
 *
 * Returns: %TRUE; or %FALSE with %STRAND_ERROR_WAIT_TIMED_OUT, or %STRAND_ERROR_CLOSED once it is stopped
 * Since: 1.0
 */
gboolean
strand_reader_wait_idle (StrandReader *self, gint64 deadline_us, GError **error)
{
  gboolean idle, stopping;

  g_return_val_if_fail (STRAND_IS_READER (self), FALSE);

  g_mutex_lock (&self->lock);
  while (!(self->idle && !self->work && self->all.length == 0) && !self->stopping)
    if (!wait_locked (self, deadline_us))
      break;
  idle = self->idle && !self->work && self->all.length == 0;
  stopping = self->stopping;
  g_mutex_unlock (&self->lock);

  if (idle)
    return TRUE;
  g_set_error (error, STRAND_ERROR, stopping ? STRAND_ERROR_CLOSED : STRAND_ERROR_WAIT_TIMED_OUT,
               stopping ? "The reader was stopped" : "There were still calls to run");
  return FALSE;
}

/**
 * strand_reader_hurry:
 * @self: a reader
 *
 * Makes strand_reader_stop(), now or later, give back what runs at once instead of waiting for it. Any
 * thread; does not block.
 *
 * Since: 1.0
 */
void
strand_reader_hurry (StrandReader *self)
{
  g_return_if_fail (STRAND_IS_READER (self));

  g_mutex_lock (&self->lock);
  self->hurried = TRUE;
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
}

/* Waits until nothing runs any more. @hurried: whether strand_reader_hurry() ends the wait. */
static guint
drain (StrandReader *self, gint64 deadline_us, gboolean hurried)
{
  guint n_left;

  g_mutex_lock (&self->lock);
  while (self->claiming) /* it may come back with calls */
    g_cond_wait (&self->changed, &self->lock);
  while (self->all.length > 0 && !(hurried && self->hurried) && wait_locked (self, deadline_us))
    ;
  n_left = self->all.length;
  g_mutex_unlock (&self->lock);
  return n_left;
}

static void
return_all (StrandReader *self)
{
  g_autoptr(GPtrArray) calls = g_ptr_array_new_with_free_func (reader_call_unref);

  g_mutex_lock (&self->lock);
  for (GList *l = self->all.head; l != NULL; l = l->next)
    g_ptr_array_add (calls, reader_call_ref (l->data));
  g_mutex_unlock (&self->lock);
  for (guint i = 0; i < calls->len; i++)
    reader_call_return (g_ptr_array_index (calls, i));
}

static void
join (GThread **thread)
{
  if (*thread != NULL)
    g_thread_join (g_steal_pointer (thread));
}

/* Whatever nothing can stop stays running, and its record has this reader's lease until others see it die. It
 * may still report to the reader, which therefore stays as well. */
static void
end_threads (StrandReader *self)
{
  gboolean busy;

  g_mutex_lock (&self->lock);
  busy = self->all.length > 0;
  if (busy)
    g_object_ref (self);
  self->over = TRUE;
  self->news = TRUE;
  g_cond_broadcast (&self->claimer_wakes);
  g_cond_broadcast (&self->settler_wakes);
  g_mutex_unlock (&self->lock);
  reader_wake_keeper (self);
  join (&self->claimer);
  join (&self->settler);
  join (&self->keeper);
  reader_clear_alarm (self);

  /* What the store did not take is settled for this reader, too. */
  g_mutex_lock (&self->lock);
  busy = busy && self->all.length == 0;
  g_mutex_unlock (&self->lock);
  if (busy)
    g_object_unref (self);
}

/**
 * strand_reader_stop:
 * @self: a reader
 * @deadline_us: until when calls that run may go on, monotonic, in microseconds; -1 for `stop-timeout` from
 *   now
 * @error: return location for a #GError
 *
 * Takes no further calls, lets those that run end, and after the deadline stops them and gives them back to
 * their queues, where other readers find them at once. Stopping twice does nothing.
 *
 * Blocks until all of this is done; any thread that owns no main context and runs none of the calls.
 *
 * Returns: %TRUE if every call ended by itself; else %FALSE with %STRAND_ERROR_TIMED_OUT, which says how many
 *   were given back
 * Since: 1.0
 */
gboolean
strand_reader_stop (StrandReader *self, gint64 deadline_us, GError **error)
{
  gboolean first;
  guint n_returned;

  g_return_val_if_fail (STRAND_IS_READER (self), FALSE);

  g_mutex_lock (&self->lock);
  first = !self->stopping && self->claimer != NULL;
  self->stopping = TRUE;
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
  if (!first)
    return TRUE;

  unwatch_queues (self);
  n_returned =
      drain (self, deadline_us >= 0 ? deadline_us : g_get_monotonic_time () + self->stop_timeout_us, TRUE);
  if (n_returned > 0)
    {
      return_all (self);
      drain (self, g_get_monotonic_time () + self->grace_us + STOP_PATIENCE_US, FALSE);
    }
  end_threads (self);
  reader_delist (self);

  if (n_returned == 0)
    return TRUE;
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_TIMED_OUT,
               "Could not wait for all calls: %u were stopped and given back to their queues", n_returned);
  return FALSE;
}

static void
stop_in_thread (GTask *task)
{
  const gint64 *deadline_us = g_task_get_task_data (task);
  GError *error = NULL;

  if (strand_reader_stop (g_task_get_source_object (task), *deadline_us, &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

/**
 * strand_reader_stop_async:
 * @self: a reader
 * @deadline_us: as for strand_reader_stop()
 * @cancellable: (nullable): stops it if it has not begun
 * @callback: (scope async) (closure user_data): what to call when it is done
 * @user_data: data for @callback
 *
 * Does strand_reader_stop() on a thread of strand's own. Any thread; does not block.
 *
 * Since: 1.0
 */
void
strand_reader_stop_async (StrandReader *self, gint64 deadline_us, GCancellable *cancellable,
                          GAsyncReadyCallback callback, gpointer user_data)
{
  GTask *task;

  g_return_if_fail (STRAND_IS_READER (self));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, strand_reader_stop_async);
  g_task_set_task_data (task, g_memdup2 (&deadline_us, sizeof deadline_us), g_free);
  strand_blocking_run_task (task, stop_in_thread);
}

/**
 * strand_reader_stop_finish:
 * @self: a reader
 * @result: what the callback was given
 * @error: return location for a #GError
 *
 * Says what became of strand_reader_stop_async().
 *
 * Returns: as strand_reader_stop()
 * Since: 1.0
 */
gboolean
strand_reader_stop_finish (StrandReader *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, strand_reader_stop_async), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/* --- the object --------------------------------------------------------------------------------------- */

static void
strand_reader_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  StrandReader *self = STRAND_READER (object);

  switch (id)
    {
    case PROP_STORE:
      g_value_set_object (value, self->store);
      break;
    case PROP_TASKRUNNER:
      g_value_set_object (value, self->taskrunner);
      break;
    case PROP_MIDDLEWARE:
      g_value_set_object (value, self->middleware);
      break;
    case PROP_QUEUES:
      g_value_set_boxed (value, self->queues);
      break;
    case PROP_JOBS:
      g_value_set_uint (value, self->jobs);
      break;
    case PROP_TIMEOUT:
      g_value_set_int64 (value, self->timeout_us);
      break;
    case PROP_GRACE:
      g_value_set_int64 (value, self->grace_us);
      break;
    case PROP_RETRIES:
      g_value_set_uint (value, self->retries);
      break;
    case PROP_RETRY_DELAY:
      g_value_set_int64 (value, self->retry_delay_us);
      break;
    case PROP_RETRY_MAX_DELAY:
      g_value_set_int64 (value, self->retry_max_delay_us);
      break;
    case PROP_LEASE:
      g_value_set_int64 (value, self->lease_us);
      break;
    case PROP_MAX_CRASHES:
      g_value_set_uint (value, self->max_crashes);
      break;
    case PROP_MAX_ITEMS:
      g_value_set_uint (value, self->max_items);
      break;
    case PROP_STOP_TIMEOUT:
      g_value_set_int64 (value, self->stop_timeout_us);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
strand_reader_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  StrandReader *self = STRAND_READER (object);

  switch (id)
    {
    case PROP_STORE:
      self->store = g_value_dup_object (value);
      break;
    case PROP_TASKRUNNER:
      self->taskrunner = g_value_dup_object (value);
      break;
    case PROP_MIDDLEWARE:
      self->middleware = g_value_dup_object (value);
      break;
    case PROP_QUEUES:
      self->queues = g_value_dup_boxed (value);
      break;
    case PROP_JOBS:
      self->jobs = g_value_get_uint (value);
      break;
    case PROP_TIMEOUT:
      self->timeout_us = g_value_get_int64 (value);
      break;
    case PROP_GRACE:
      self->grace_us = g_value_get_int64 (value);
      break;
    case PROP_RETRIES:
      self->retries = g_value_get_uint (value);
      break;
    case PROP_RETRY_DELAY:
      self->retry_delay_us = g_value_get_int64 (value);
      break;
    case PROP_RETRY_MAX_DELAY:
      self->retry_max_delay_us = g_value_get_int64 (value);
      break;
    case PROP_LEASE:
      self->lease_us = g_value_get_int64 (value);
      break;
    case PROP_MAX_CRASHES:
      self->max_crashes = g_value_get_uint (value);
      break;
    case PROP_MAX_ITEMS:
      self->max_items = g_value_get_uint (value);
      break;
    case PROP_STOP_TIMEOUT:
      self->stop_timeout_us = g_value_get_int64 (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
strand_reader_constructed (GObject *object)
{
  StrandReader *self = STRAND_READER (object);

  if (self->queues == NULL || self->queues[0] == NULL)
    {
      g_strfreev (self->queues);
      self->queues = g_strsplit (DEFAULT_QUEUE, ";", -1);
    }
  G_OBJECT_CLASS (strand_reader_parent_class)->constructed (object);
}

static void
strand_reader_dispose (GObject *object)
{
  g_autoptr(GError) error = NULL;

  if (!strand_reader_stop (STRAND_READER (object), 0, &error))
    g_message ("%s", error->message);
  G_OBJECT_CLASS (strand_reader_parent_class)->dispose (object);
}

static void
strand_reader_finalize (GObject *object)
{
  StrandReader *self = STRAND_READER (object);

  if (self->resolve_destroy != NULL)
    self->resolve_destroy (self->resolve_data);
  g_clear_pointer (&self->chain, strand_chain_unref);
  g_clear_object (&self->store);
  g_clear_object (&self->taskrunner);
  g_clear_object (&self->middleware);
  g_strfreev (self->queues);
  g_free (self->owner);
  g_free (self->worker_key);
  if (self->wake_fd >= 0)
    close (self->wake_fd);
  g_array_unref (self->watches);
  g_hash_table_unref (self->stopped_queues);
  g_cond_clear (&self->changed);
  g_cond_clear (&self->settler_wakes);
  g_cond_clear (&self->claimer_wakes);
  g_mutex_clear (&self->lock);
  G_OBJECT_CLASS (strand_reader_parent_class)->finalize (object);
}

static void
install_durations (void)
{
  /**
   * StrandReader:timeout:
   *
   * How long an attempt may run, unless the call or its backend says otherwise.
   *
   * Since: 1.0
   */
  props[PROP_TIMEOUT] = g_param_spec_int64 (
      "timeout", NULL, "How long an attempt may run, unless the call or its backend says otherwise", -1,
      G_MAXINT64, -1, STRAND_PARAM_CONFIG | STRAND_PARAM_DURATION);
  /**
   * StrandReader:grace:
   *
   * How long a call may go on after it was told to stop.
   *
   * Since: 1.0
   */
  props[PROP_GRACE] =
      g_param_spec_int64 ("grace", NULL, "How long a call may go on after it was told to stop", 0, G_MAXINT64,
                          DEFAULT_GRACE_US, STRAND_PARAM_CONFIG | STRAND_PARAM_DURATION);
  /**
   * StrandReader:retry-delay:
   *
   * Longest wait before the first retry; it doubles with each one.
   *
   * Since: 1.0
   */
  props[PROP_RETRY_DELAY] = g_param_spec_int64 (
      "retry-delay", NULL, "Longest wait before the first retry; it doubles with each one", 0, G_MAXINT64,
      DEFAULT_RETRY_DELAY_US, STRAND_PARAM_CONFIG | STRAND_PARAM_DURATION);
  /**
   * StrandReader:retry-max-delay:
   *
   * Longest wait before any retry.
   *
   * Since: 1.0
   */
  props[PROP_RETRY_MAX_DELAY] =
      g_param_spec_int64 ("retry-max-delay", NULL, "Longest wait before any retry", 0, G_MAXINT64,
                          DEFAULT_RETRY_MAX_DELAY_US, STRAND_PARAM_CONFIG | STRAND_PARAM_DURATION);
  /**
   * StrandReader:lease:
   *
   * After how long without a sign of life another worker may take this one's calls; a worker of the same
   * host is missed at once.
   *
   * Since: 1.0
   */
  props[PROP_LEASE] = g_param_spec_int64 (
      "lease", NULL,
      "After how long without a sign of life another worker may take this one's calls; a worker of the same "
      "host is missed at once",
      SHORTEST_LEASE_US, LONGEST_LEASE_US, DEFAULT_LEASE_US, STRAND_PARAM_CONFIG | STRAND_PARAM_DURATION);
  /**
   * StrandReader:stop-timeout:
   *
   * How long calls may go on after the worker was asked to stop, before they are given back.
   *
   * Since: 1.0
   */
  props[PROP_STOP_TIMEOUT] = g_param_spec_int64 (
      "stop-timeout", NULL,
      "How long calls may go on after the worker was asked to stop, before they are given "
      "back",
      0, G_MAXINT64, DEFAULT_STOP_TIMEOUT_US, STRAND_PARAM_CONFIG | STRAND_PARAM_DURATION);
}

static void
strand_reader_class_init (StrandReaderClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = strand_reader_get_property;
  object_class->set_property = strand_reader_set_property;
  object_class->constructed = strand_reader_constructed;
  object_class->dispose = strand_reader_dispose;
  object_class->finalize = strand_reader_finalize;

  /**
   * StrandReader:store:
   *
   * Where the calls are.
   *
   * Since: 1.0
   */
  props[PROP_STORE] = g_param_spec_object ("store", NULL, "Where the calls are", STRAND_TYPE_STORE,
                                           STRAND_PARAM_CONFIG | STRAND_PARAM_REQUIRED);
  /**
   * StrandReader:taskrunner:
   *
   * Where the calls run.
   *
   * Since: 1.0
   */
  props[PROP_TASKRUNNER] =
      g_param_spec_object ("taskrunner", NULL, "Where the calls run", STRAND_TYPE_TASKRUNNER,
                           STRAND_PARAM_CONFIG | STRAND_PARAM_REQUIRED);
  /**
   * StrandReader:middleware:
   *
   * What wraps each attempt, outermost first.
   *
   * Since: 1.0
   */
  props[PROP_MIDDLEWARE] = g_param_spec_object (
      "middleware", NULL, "What wraps each attempt, outermost first", G_TYPE_LIST_MODEL, STRAND_PARAM_CONFIG);
  /**
   * StrandReader:queues:
   *
   * Whose calls, `default` if none is named: while the first has any that are due, the others wait.
   *
   * Since: 1.0
   */
  props[PROP_QUEUES] = g_param_spec_boxed (
      "queues", NULL,
      "Whose calls, `default` if none is named: while the first has any that are due, the others wait",
      G_TYPE_STRV, STRAND_PARAM_CONFIG);
  /**
   * StrandReader:jobs:
   *
   * How many calls run at once; 0 for as many as there are processors.
   *
   * Since: 1.0
   */
  props[PROP_JOBS] =
      g_param_spec_uint ("jobs", NULL, "How many calls run at once; 0 for as many as there are processors", 0,
                         1000000, 0, STRAND_PARAM_CONFIG);
  /**
   * StrandReader:retries:
   *
   * How many further attempts a failed call has, unless the call or its backend says so.
   *
   * Since: 1.0
   */
  props[PROP_RETRIES] = g_param_spec_uint (
      "retries", NULL, "How many further attempts a failed call has, unless the call or its backend says so",
      0, G_MAXINT, 0, STRAND_PARAM_CONFIG);
  /**
   * StrandReader:max-crashes:
   *
   * After how many deaths of what ran it a call is failed as dead, whatever its retries.
   *
   * Since: 1.0
   */
  props[PROP_MAX_CRASHES] = g_param_spec_uint (
      "max-crashes", NULL,
      "After how many deaths of what ran it a call is failed as dead, whatever its retries", 1, G_MAXINT,
      DEFAULT_MAX_CRASHES, STRAND_PARAM_CONFIG);
  /**
   * StrandReader:max-items:
   *
   * How many of the last items that a call emitted are kept.
   *
   * Since: 1.0
   */
  props[PROP_MAX_ITEMS] =
      g_param_spec_uint ("max-items", NULL, "How many of the last items that a call emitted are kept", 1,
                         1000000, DEFAULT_MAX_ITEMS, STRAND_PARAM_CONFIG);
  install_durations ();
  g_object_class_install_properties (object_class, N_PROPS, props);
}

static void
strand_reader_init (StrandReader *self)
{
  self->wake_fd = -1;
  self->average_us = FIRST_AVERAGE_US;
  self->watches = g_array_new (FALSE, FALSE, sizeof (guint));
  self->stopped_queues = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_mutex_init (&self->lock);
  g_cond_init (&self->claimer_wakes);
  g_cond_init (&self->settler_wakes);
  g_cond_init (&self->changed);
}
