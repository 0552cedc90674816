/* strand-dispatcher.c — many calls at once: started in order, waited for together, shown as a list.
 *
 * Enqueuing makes a call and its handle (strand-dispatcher-enqueue.c); dispatching lets it into the line
 * (strand-dispatcher-line.c), which starts it. A reset begins a new batch; what was dispatched goes on, but
 * belongs to nobody any more.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-dispatcher.h"
#include "strand-deadline-private.h"
#include "strand-dispatcher-private.h"
#include "strand-error.h"

/* As the originals'. */
#define DEFAULT_TIMEOUT_US (10 * G_USEC_PER_SEC)

enum
{
  PROP_TARGET = 1,
  PROP_STACK,
  PROP_TIMEOUT,
  PROP_MAX_RUNNING,
  N_PROPS
};

static GParamSpec *props[N_PROPS];

/**
 * StrandTaskDispatcher:
 *
 * Many calls at once: enqueued one by one, started in order, waited for together, with their results in the
 * order of the calls. A #GListModel of handles.
 *
 * Since: 1.0
 */
G_DEFINE_FINAL_TYPE_WITH_CODE (StrandTaskDispatcher, strand_task_dispatcher, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (G_TYPE_LIST_MODEL, strand_task_dispatcher_model_init))

StrandBatch *
strand_batch_new (StrandLine *line)
{
  StrandBatch *self = g_new0 (StrandBatch, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->tally = strand_tally_new (line);
  self->handles = g_ptr_array_new_with_free_func (g_object_unref);
  return self;
}

StrandBatch *
strand_batch_ref (StrandBatch *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
strand_batch_unref (StrandBatch *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  strand_tally_unref (self->tally);
  g_ptr_array_unref (self->handles);
  g_free (self);
}

StrandBatch *
strand_task_dispatcher_ref_batch (StrandTaskDispatcher *self)
{
  StrandBatch *batch;

  g_mutex_lock (&self->lock);
  batch = strand_batch_ref (self->batch);
  g_mutex_unlock (&self->lock);
  return batch;
}

/* Nobody can dispatch them any more, and each call ends once. */
static void
abandon (StrandTaskDispatcher *self, StrandBatch *batch)
{
  g_autoptr(GPtrArray) handles = g_ptr_array_new_with_free_func (g_object_unref);

  g_mutex_lock (&self->lock);
  for (guint i = batch->n_dispatched; i < batch->handles->len; i++)
    g_ptr_array_add (handles, g_object_ref (batch->handles->pdata[i]));
  g_mutex_unlock (&self->lock);
  for (guint i = 0; i < handles->len; i++)
    strand_handle_cancel (handles->pdata[i]);
}

static void
strand_task_dispatcher_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  StrandTaskDispatcher *self = STRAND_TASK_DISPATCHER (object);

  g_mutex_lock (&self->lock);
  switch (id)
    {
    case PROP_TARGET:
      g_value_set_string (value, self->target);
      break;
    case PROP_STACK:
      g_value_set_object (value, self->stack);
      break;
    case PROP_TIMEOUT:
      g_value_set_int64 (value, self->timeout_us);
      break;
    case PROP_MAX_RUNNING:
      g_value_set_uint (value, strand_line_get_max_running (self->line));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
  g_mutex_unlock (&self->lock);
}

static void
strand_task_dispatcher_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  StrandTaskDispatcher *self = STRAND_TASK_DISPATCHER (object);

  g_mutex_lock (&self->lock);
  switch (id)
    {
    case PROP_TARGET:
      g_free (self->target);
      self->target = g_value_dup_string (value);
      break;
    case PROP_STACK:
      g_set_object (&self->stack, g_value_get_object (value));
      g_hash_table_remove_all (self->tasks);
      break;
    case PROP_TIMEOUT:
      self->timeout_us = g_value_get_int64 (value);
      break;
    case PROP_MAX_RUNNING:
      strand_line_set_max_running (self->line, g_value_get_uint (value));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
  g_mutex_unlock (&self->lock);
}

static void
strand_task_dispatcher_dispose (GObject *object)
{
  StrandTaskDispatcher *self = STRAND_TASK_DISPATCHER (object);

  abandon (self, self->batch);
  G_OBJECT_CLASS (strand_task_dispatcher_parent_class)->dispose (object);
}

static void
strand_task_dispatcher_finalize (GObject *object)
{
  StrandTaskDispatcher *self = STRAND_TASK_DISPATCHER (object);

  strand_batch_unref (self->batch);
  strand_batch_unref (self->shown);
  g_ptr_array_unref (self->rows);
  g_hash_table_unref (self->tasks);
  g_clear_object (&self->stack);
  g_free (self->target);
  strand_line_unref (self->line);
  g_mutex_clear (&self->lock);
  G_OBJECT_CLASS (strand_task_dispatcher_parent_class)->finalize (object);
}

static void
strand_task_dispatcher_class_init (StrandTaskDispatcherClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GParamFlags flags = G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS;

  object_class->get_property = strand_task_dispatcher_get_property;
  object_class->set_property = strand_task_dispatcher_set_property;
  object_class->dispose = strand_task_dispatcher_dispose;
  object_class->finalize = strand_task_dispatcher_finalize;

  /**
   * StrandTaskDispatcher:target:
   *
   * Where functions that are enqueued by name run: a target's name, or `NULL` for the stack's default
   * backend. Tasks go where they are aimed.
   *
   * Since: 1.0
   */
  props[PROP_TARGET] = g_param_spec_string ("target", NULL, NULL, "thread", flags);
  /**
   * StrandTaskDispatcher:stack:
   *
   * Where the targets of functions that are enqueued by name are looked up; `NULL` for the default stack.
   *
   * Since: 1.0
   */
  props[PROP_STACK] = g_param_spec_object ("stack", NULL, NULL, STRAND_TYPE_STACK, flags);
  /**
   * StrandTaskDispatcher:timeout:
   *
   * How long strand_task_dispatcher_run() waits if it is not told, in microseconds; -1 for ever.
   *
   * Since: 1.0
   */
  props[PROP_TIMEOUT] = g_param_spec_int64 ("timeout", NULL, NULL, -1, G_MAXINT64, DEFAULT_TIMEOUT_US, flags);
  /**
   * StrandTaskDispatcher:max-running:
   *
   * How many of the calls may have been given to their targets and not ended; 0 for no limit. What was
   * dispatched before a reset counts too.
   *
   * Since: 1.0
   */
  props[PROP_MAX_RUNNING] = g_param_spec_uint ("max-running", NULL, NULL, 0, G_MAXUINT, 0, flags);

  g_object_class_install_properties (object_class, N_PROPS, props);
}

static void
strand_task_dispatcher_init (StrandTaskDispatcher *self)
{
  g_mutex_init (&self->lock);
  self->line = strand_line_new ();
  self->target = g_strdup ("thread");
  self->timeout_us = DEFAULT_TIMEOUT_US;
  self->batch = strand_batch_new (self->line);
  self->shown = strand_batch_ref (self->batch);
  self->rows = g_ptr_array_new_with_free_func (g_object_unref);
  self->tasks = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_object_unref);
}

/**
 * strand_task_dispatcher_new:
 * @target: (nullable): where functions that are enqueued by name run; `NULL` for `thread`
 *
 * A dispatcher whose rows change in the main context that is thread-default now, where calls that a limit
 * holds back are started too. Any thread; does not block.
 *
 * Returns: (transfer full): a dispatcher
 * Since: 1.0
 */
StrandTaskDispatcher *
strand_task_dispatcher_new (const char *target)
{
  return g_object_new (STRAND_TYPE_TASK_DISPATCHER, "target", target != NULL ? target : "thread", NULL);
}

/**
 * strand_task_dispatcher_dispatch:
 * @self: a dispatcher
 *
 * Starts what was enqueued since the last time, in that order, as many at once as
 * #StrandTaskDispatcher:max-running allows; the others follow as calls end. Any thread; does not block (but
 * `sync` runs functions here).
 *
 * Returns: how many calls that were
 * Since: 1.0
 */
guint
strand_task_dispatcher_dispatch (StrandTaskDispatcher *self)
{
  StrandBatch *batch;
  guint n = 0;

  g_return_val_if_fail (STRAND_IS_TASK_DISPATCHER (self), 0);

  g_mutex_lock (&self->lock);
  batch = self->batch;
  for (; batch->n_dispatched < batch->handles->len; n++)
    {
      StrandHandle *handle = batch->handles->pdata[batch->n_dispatched++];

      strand_line_admit (self->line, batch->tally, strand_handle_get_call (handle));
    }
  g_mutex_unlock (&self->lock);
  strand_line_start (self->line);
  return n;
}

gint64
strand_task_dispatcher_choose_timeout (StrandTaskDispatcher *self, gint64 timeout_us)
{
  if (timeout_us != STRAND_UNSET)
    return timeout_us;
  g_mutex_lock (&self->lock);
  timeout_us = self->timeout_us;
  g_mutex_unlock (&self->lock);
  return timeout_us;
}

static void
set_time_is_up (GError **error, StrandBatch *batch, gint64 timeout_us)
{
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_WAIT_TIMED_OUT,
               "%u of the calls have not ended in the %.3f s waited for; they go on",
               strand_tally_count_left (batch->tally), (double) timeout_us / G_USEC_PER_SEC);
}

/* The next one that has been dispatched, perhaps meanwhile, and has not ended; else, once, the last one, so
 * that a wait for it dispatches the callbacks that are left. */
static StrandHandle *
ref_next (StrandTaskDispatcher *self, StrandBatch *batch, guint *position)
{
  StrandHandle *handle = NULL;

  g_mutex_lock (&self->lock);
  while (*position + 1 < batch->n_dispatched && strand_handle_is_ready (batch->handles->pdata[*position]))
    ++*position;
  if (*position < batch->n_dispatched)
    handle = g_object_ref (batch->handles->pdata[(*position)++]);
  g_mutex_unlock (&self->lock);
  return handle;
}

static gboolean
wait_for (StrandHandle *handle, StrandBatch *batch, gint64 timeout_us, gint64 deadline_us, GError **error)
{
  gint64 left_us = timeout_us < 0 ? -1 : MAX (deadline_us - g_get_monotonic_time (), 0);
  GError *local = NULL;

  if (strand_handle_wait (handle, left_us, &local))
    return TRUE;
  if (!g_error_matches (local, STRAND_ERROR, STRAND_ERROR_WAIT_TIMED_OUT))
    {
      g_propagate_error (error, local);
      return FALSE;
    }
  g_error_free (local);
  set_time_is_up (error, batch, timeout_us);
  return FALSE;
}

/**
 * strand_task_dispatcher_wait:
 * @self: a dispatcher
 * @timeout_us: how long to wait, in microseconds, or -1 for ever
 * @error: return location for a #GError
 *
 * Blocks until every call that has been dispatched has ended, however, as strand_handle_wait() waits for one:
 * strand's callbacks for this thread's main context run here meanwhile, and nothing else does; a coroutine is
 * parked. A reset meanwhile changes nothing for this wait. A thread that owns a main context should use
 * strand_task_dispatcher_wait_async().
 *
 * Returns: %TRUE once all have ended; %FALSE with %STRAND_ERROR_WAIT_TIMED_OUT (they go on), with
 *   %STRAND_ERROR_WOULD_DEADLOCK inside one of the calls or its `on_iter`, or with what ended the call that
 *   waits
 * Since: 1.0
 */
gboolean
strand_task_dispatcher_wait (StrandTaskDispatcher *self, gint64 timeout_us, GError **error)
{
  gint64 deadline_us = timeout_us >= 0 ? strand_deadline (g_get_monotonic_time (), timeout_us) : -1;
  g_autoptr(StrandBatch) batch = NULL;
  StrandHandle *handle;
  gboolean ok = TRUE;
  guint position = 0;

  g_return_val_if_fail (STRAND_IS_TASK_DISPATCHER (self), FALSE);

  batch = strand_task_dispatcher_ref_batch (self);
  if (strand_tally_is_here (batch->tally))
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_WOULD_DEADLOCK,
                   "Could not wait for the calls: this is inside one of them");
      return FALSE;
    }
  while (ok && (handle = ref_next (self, batch, &position)) != NULL)
    {
      ok = wait_for (handle, batch, timeout_us, deadline_us, error);
      g_object_unref (handle);
    }
  return ok;
}

/**
 * strand_task_dispatcher_run:
 * @self: a dispatcher
 * @timeout_us: how long to wait, in microseconds, -1 for ever, or `STRAND_UNSET` for
 * #StrandTaskDispatcher:timeout
 * @error: return location for a #GError
 *
 * Dispatches, then waits: strand_task_dispatcher_dispatch() and strand_task_dispatcher_wait().
 *
 * Returns: as strand_task_dispatcher_wait()
 * Since: 1.0
 */
gboolean
strand_task_dispatcher_run (StrandTaskDispatcher *self, gint64 timeout_us, GError **error)
{
  g_return_val_if_fail (STRAND_IS_TASK_DISPATCHER (self), FALSE);

  strand_task_dispatcher_dispatch (self);
  return strand_task_dispatcher_wait (self, strand_task_dispatcher_choose_timeout (self, timeout_us), error);
}

/**
 * strand_task_dispatcher_cancel_all:
 * @self: a dispatcher
 *
 * Asks every call to stop, as strand_handle_cancel(): what has not started never does, dispatched or not. Any
 * thread; does not block.
 *
 * Returns: of how many calls that was requested; the others had ended
 * Since: 1.0
 */
guint
strand_task_dispatcher_cancel_all (StrandTaskDispatcher *self)
{
  g_autoptr(GPtrArray) handles = NULL;
  guint n = 0;

  g_return_val_if_fail (STRAND_IS_TASK_DISPATCHER (self), 0);

  handles = strand_task_dispatcher_dup_handles (self);
  /* From the last: what a limit holds back must not start because one before it has ended. */
  for (guint i = handles->len; i > 0; i--)
    n += strand_handle_cancel (handles->pdata[i - 1]) ? 1 : 0;
  return n;
}

/**
 * strand_task_dispatcher_reset:
 * @self: a dispatcher
 *
 * Forgets all calls, to begin anew. What was dispatched goes on, as if its handles had been dropped; what was
 * not is cancelled. Any thread; does not block.
 *
 * Since: 1.0
 */
void
strand_task_dispatcher_reset (StrandTaskDispatcher *self)
{
  g_autoptr(StrandBatch) old = NULL;

  g_return_if_fail (STRAND_IS_TASK_DISPATCHER (self));

  g_mutex_lock (&self->lock);
  old = self->batch;
  self->batch = strand_batch_new (self->line);
  g_mutex_unlock (&self->lock);
  abandon (self, old);
  strand_task_dispatcher_model_changed (self);
}
