/* strand-call.c — one invocation of a function: from pending to its single end.
 *
 * All transitions are made on one atomic word. Ending takes two steps: whoever moves the call to SETTLING has
 * won and alone writes the outcome; the second step publishes it. A call without options, handle or items
 * never takes a lock, and its callbacks need no further allocation. SPDX-License-Identifier:
 * LGPL-2.1-or-later */

#include "config.h"
#include "strand-call-private.h"
#include "strand-clock.h"
#include "strand-error.h"
#include "strand-function-private.h"
#include "strand-log.h"

/**
 * StrandCall:
 *
 * One invocation of a function, from pending to its single end. A program may have millions, so it is a
 * counted structure and no object; [class@Strand.Handle] shows one to the rest of GLib.
 *
 * Since: 1.0
 */
G_DEFINE_BOXED_TYPE (StrandCall, strand_call, strand_call_ref, strand_call_unref)

int strand_inline_mode;
_Thread_local const StrandFrame *strand_running;
_Thread_local const StrandFrame *strand_delivering;

static gboolean strand_call_dispatch (StrandNews *news, gint64 deadline_us);

StrandClosure *
strand_closure_new (GCallback func, gpointer user_data, GDestroyNotify destroy)
{
  StrandClosure *self = g_new0 (StrandClosure, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->func = func;
  self->user_data = user_data;
  self->destroy = destroy;
  if (destroy != NULL)
    self->delivery = strand_delivery_ref_default (G_PRIORITY_DEFAULT);
  return self;
}

StrandClosure *
strand_closure_ref (StrandClosure *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
strand_closure_unref (StrandClosure *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  if (self->destroy != NULL)
    {
      strand_delivery_run (self->delivery, self->destroy, self->user_data);
      strand_delivery_unref (self->delivery);
    }
  g_free (self);
}

StrandRecipe *
strand_recipe_ref (StrandRecipe *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
strand_recipe_unref (StrandRecipe *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  strand_function_unref (self->function);
  g_clear_object (&self->runner);
  g_clear_object (&self->backend);
  g_clear_pointer (&self->on_iter, strand_closure_unref);
  g_clear_pointer (&self->on_end, strand_closure_unref);
  g_clear_pointer (&self->on_error, strand_closure_unref);
  g_clear_pointer (&self->options, strand_options_free);
  g_clear_pointer (&self->delivery, strand_delivery_unref);
  g_free (self);
}

/* Takes over @recipe and @arguments: a tuple of the declared type, not floating, or NULL for the empty one.
 */
StrandCall *
strand_call_new (StrandRecipe *recipe, GVariant *arguments)
{
  StrandCall *self = g_new0 (StrandCall, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->news.dispatch = strand_call_dispatch;
  self->recipe = recipe;
  self->arguments = arguments;
  return self;
}

/**
 * strand_call_ref:
 * @self: a call
 *
 * Takes a reference to a call. Any thread; never blocks.
 *
 * Returns: (transfer full): @self
 * Since: 1.0
 */
StrandCall *
strand_call_ref (StrandCall *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

/* For those who know a call without holding it: NULL if its last holder is gone. */
StrandCall *
strand_call_try_ref (StrandCall *self)
{
  int count = g_atomic_int_get (&self->ref_count);

  while (count > 0)
    if (g_atomic_int_compare_and_exchange_full (&self->ref_count, count, count + 1, &count))
      return self;
  return NULL;
}

static void
extra_free (StrandCallExtra *extra)
{
  StrandItem *item;

  g_clear_pointer (&extra->options, strand_options_free);
  g_free (extra->key);
  g_clear_object (&extra->cancellable);
  g_clear_error (&extra->consumer_error);
  g_free (extra->message);
  g_clear_pointer (&extra->metadata, g_hash_table_unref);
  g_clear_pointer (&extra->headers, g_hash_table_unref);
  while ((item = g_queue_pop_head (&extra->items)) != NULL)
    strand_item_free (item);
  g_clear_object (&extra->object);
  g_clear_pointer (&extra->waiters, g_array_unref);
  g_clear_pointer (&extra->listeners, g_ptr_array_unref);
  g_clear_pointer (&extra->data, g_hash_table_unref);
  g_clear_pointer (&extra->parent, strand_call_unref);
  g_clear_pointer (&extra->child, strand_call_unref);
  g_clear_object (&extra->runner);
  strand_chain_state_free (extra->chain_state);
  g_mutex_clear (&extra->lock);
  strand_cond_clear (&extra->changed);
  g_free (extra);
}

/* An error that nobody looked at is logged: a failure must not vanish because its handle was dropped. */
static void
log_unseen_error (StrandCall *self, int state)
{
  if ((state & STATE_STATUS) != STRAND_STATUS_FAILED || (state & STATE_SEEN) != 0 || self->error == NULL)
    return;
  if (self->extra != NULL && self->extra->funcs != NULL)
    return;
  g_message ("A call of '%s' failed and nobody looked: %s", self->recipe->function->name,
             self->error->message);
}

/**
 * strand_call_unref:
 * @self: (transfer full): a call
 *
 * Lets go of a call. The last reference frees it, and logs an error that nobody has looked at. Any thread.
 *
 * Since: 1.0
 */
void
strand_call_unref (StrandCall *self)
{
  g_return_if_fail (self != NULL);

  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;

  log_unseen_error (self, self->state);
  if (self->extra != NULL)
    {
      StrandOptions *options = self->extra->options;

      /* The caller's pointer goes where the caller lives. */
      if (options != NULL && options->data_destroy != NULL && self->delivery != NULL)
        strand_delivery_run (self->delivery, options->data_destroy, options->data);
      else if (options != NULL && options->data_destroy != NULL)
        options->data_destroy (options->data);
      if (options != NULL)
        options->data_destroy = NULL;
      extra_free (self->extra);
    }
  g_clear_pointer (&self->arguments, g_variant_unref);
  g_clear_pointer (&self->value, g_variant_unref);
  g_clear_error (&self->error);
  if (self->delivery != NULL && self->delivery != self->recipe->delivery)
    strand_delivery_unref (self->delivery);
  strand_recipe_unref (self->recipe);
  g_free (self);
}

StrandCallExtra *
strand_call_extra (StrandCall *self)
{
  StrandCallExtra *extra = g_atomic_pointer_get (&self->extra);

  if (extra != NULL)
    return extra;

  extra = g_new0 (StrandCallExtra, 1);
  g_mutex_init (&extra->lock);
  strand_cond_init (&extra->changed);
  extra->progress = -1;
  extra->timeout_us = extra->grace_us = STRAND_UNSET;
  if (!g_atomic_pointer_compare_and_exchange (&self->extra, NULL, extra))
    extra_free (extra);
  return g_atomic_pointer_get (&self->extra);
}

/* Takes over @options. Before the call is submitted. */
void
strand_call_set_options (StrandCall *self, StrandOptions *options)
{
  StrandCallExtra *extra = strand_call_extra (self);
  GHashTableIter iter;
  gpointer name, value;

  g_clear_pointer (&extra->options, strand_options_free);
  extra->options = options;
  if (options->key != NULL)
    extra->key = g_strdup (options->key);
  if (options->headers == NULL)
    return;
  g_hash_table_iter_init (&iter, options->headers);
  while (g_hash_table_iter_next (&iter, &name, &value))
    strand_call_set_header (self, name, value);
}

/* Gives the call to its target, with the caller's reference. One that the target does not take ends with the
 * reason. */
void
strand_call_submit (StrandCall *self)
{
  StrandRecipe *recipe = self->recipe;
  GError *error = NULL;

  if (self->extra != NULL)
    self->extra->created_us = strand_clock_now_us ();
  if (recipe->backend != NULL ? strand_backend_launch (recipe->backend, self, &error)
                              : strand_taskrunner_submit (recipe->runner, self, &error))
    return;
  strand_call_finish_as (self, STRAND_STATUS_FAILED, NULL, error);
  strand_call_unref (self);
}

StrandTaskrunner *
strand_call_get_runner (StrandCall *self)
{
  StrandCallExtra *extra = g_atomic_pointer_get (&self->extra);
  StrandTaskrunner *own = extra != NULL ? g_atomic_pointer_get (&extra->runner) : NULL;

  return own != NULL ? own : self->recipe->runner;
}

static gboolean
runs_inline (StrandCall *self)
{
  return self->delivery == NULL;
}

/* Brings the call to its callbacks. News must have been made visible before. Takes over a reference. */
static void
strand_call_deliver (StrandCall *self)
{
  if ((g_atomic_int_or ((guint *) &self->state, STATE_QUEUED) & STATE_QUEUED) != 0)
    {
      strand_call_unref (self);
      return;
    }
  if (!runs_inline (self))
    strand_delivery_push (self->delivery, &self->news);
  else
    while (!strand_call_dispatch (&self->news, G_MAXINT64))
      ;
}

gboolean
strand_call_is_ended (StrandCall *self)
{
  return strand_state_is_terminal (strand_call_peek_state (self));
}

/* Whether there are items to deliver. */
static gboolean
strand_call_tell_listeners (StrandCallExtra *extra)
{
  gboolean has_items;

  g_mutex_lock (&extra->lock);
  for (guint i = 0; extra->listeners != NULL && i < extra->listeners->len; i++)
    strand_listener_changed (extra->listeners->pdata[i]);
  has_items = extra->items.length > 0;
  g_mutex_unlock (&extra->lock);
  return has_items;
}

/* Something that callbacks or handles show has changed. */
void
strand_call_changed (StrandCall *self)
{
  StrandCallExtra *extra = g_atomic_pointer_get (&self->extra);
  gboolean has_items;

  if (extra == NULL)
    return;
  has_items = strand_call_tell_listeners (extra);
  if (extra->funcs != NULL && extra->funcs->changed != NULL)
    extra->funcs->changed (self, extra->owner);
  if (extra->parent != NULL)
    strand_call_changed (extra->parent);
  if (has_items && self->recipe->on_iter != NULL && extra->parent == NULL)
    strand_call_deliver (strand_call_ref (self));
}

static gboolean
call_on_iter (StrandCall *self, gint64 deadline_us)
{
  const StrandFrame frame = { self, strand_delivering };
  gboolean done;

  strand_delivering = &frame;
  done = strand_call_deliver_items (self, deadline_us);
  if (done && strand_state_is_terminal (strand_call_peek_state (self)))
    done = strand_call_deliver_value_items (self, deadline_us);
  strand_delivering = frame.outer;
  return done;
}

/* What on_iter failed with, which stops the call; for an attempt that of its stored call. */
GError *
strand_call_dup_consumer_error (StrandCall *self)
{
  StrandCallExtra *extra = g_atomic_pointer_get (&self->extra);
  GError *error;

  if (extra == NULL)
    return NULL;
  if (extra->parent != NULL)
    return strand_call_dup_consumer_error (extra->parent);
  g_mutex_lock (&extra->lock);
  error = extra->consumer_error != NULL ? g_error_copy (extra->consumer_error) : NULL;
  g_mutex_unlock (&extra->lock);
  return error;
}

/* on_iter failed when the call had completed, on an item that came late or on the value's own: too late to
 * make it a failure, which would tell the caller of another end than everybody else has seen. */
static void
log_late_consumer (StrandCall *self)
{
  g_autoptr(GError) error = strand_call_dup_consumer_error (self);

  if (error != NULL)
    g_message ("on_iter of a call of '%s' failed after the call had completed: %s",
               self->recipe->function->name, error->message);
}

static void
call_on_end (StrandCall *self)
{
  StrandRecipe *recipe = self->recipe;
  const StrandFrame frame = { self, strand_delivering };
  const GError *error = self->error;

  g_atomic_int_or ((guint *) &self->state, STATE_ENDED);
  strand_delivering = &frame;
  if (error == NULL)
    log_late_consumer (self);
  if (error == NULL && recipe->on_end != NULL)
    ((StrandEndFunc) recipe->on_end->func) (self, self->value, recipe->on_end->user_data);
  if (error != NULL && recipe->on_error != NULL)
    {
      strand_call_mark_seen (self);
      ((StrandErrorFunc) recipe->on_error->func) (self, error, recipe->on_error->user_data);
    }
  strand_delivering = frame.outer;
}

static gboolean
has_undelivered (StrandCall *self)
{
  int state = strand_call_peek_state (self);
  StrandCallExtra *extra = g_atomic_pointer_get (&self->extra);
  gboolean has_items;

  if ((state & STATE_ENDED) != 0)
    return FALSE;
  if (strand_state_is_terminal (state) || extra == NULL)
    return strand_state_is_terminal (state);
  g_mutex_lock (&extra->lock);
  has_items = extra->items.length > 0;
  g_mutex_unlock (&extra->lock);
  return has_items;
}

/* The call's turn in its context: items first, then its end. The call stays marked as queued meanwhile, so
 * that nobody else dispatches it and its callbacks never nest. */
static gboolean
strand_call_dispatch (StrandNews *news, gint64 deadline_us)
{
  StrandCall *self = (StrandCall *) news;

  while (TRUE)
    {
      /* Before the items: of a call that had ended by now, all have come. */
      int state = strand_call_peek_state (self);

      if (self->recipe->on_iter != NULL && !call_on_iter (self, deadline_us))
        return FALSE;
      if (strand_state_is_terminal (state) && (strand_call_peek_state (self) & STATE_ENDED) == 0)
        {
          call_on_end (self);
          break; /* nothing comes after: it stays marked */
        }

      g_atomic_int_and ((guint *) &self->state, ~STATE_QUEUED);
      if (!has_undelivered (self) ||
          (g_atomic_int_or ((guint *) &self->state, STATE_QUEUED) & STATE_QUEUED) != 0)
        break;
    }
  strand_call_unref (self);
  return TRUE;
}

static gboolean
move_status (StrandCall *self, int from, int to)
{
  int state = strand_call_peek_state (self);

  while ((state & STATE_STATUS) == from)
    if (g_atomic_int_compare_and_exchange_full (&self->state, state, (state & ~STATE_STATUS) | to, &state))
      return TRUE;
  return FALSE;
}

static void
wake_waiters (StrandCallExtra *extra)
{
  g_autoptr(GArray) waiters = NULL;

  g_mutex_lock (&extra->lock);
  waiters = g_steal_pointer (&extra->waiters);
  /* Under the lock, so that strand_call_remove_waiter() knows that nobody is called any more. */
  for (guint i = 0; waiters != NULL && i < waiters->len; i++)
    {
      StrandWaiter *waiter = &g_array_index (waiters, StrandWaiter, i);

      waiter->func (waiter->data);
    }
  g_mutex_unlock (&extra->lock);
}

static void
end_extra (StrandCall *self, StrandCallExtra *extra)
{
  guint64 timeout_timer, grace_timer;

  g_mutex_lock (&extra->lock);
  if (extra->completed_us == 0)
    extra->completed_us = strand_clock_now_us ();
  timeout_timer = extra->timeout_timer;
  grace_timer = extra->grace_timer;
  extra->timeout_timer = extra->grace_timer = 0;
  strand_cond_broadcast (&extra->changed);
  g_mutex_unlock (&extra->lock);

  if (timeout_timer != 0)
    strand_clock_remove_timer (timeout_timer);
  if (grace_timer != 0)
    strand_clock_remove_timer (grace_timer);
}

static gboolean
has_callbacks (StrandCall *self)
{
  return self->recipe->on_end != NULL || self->recipe->on_error != NULL || self->recipe->on_iter != NULL;
}

/* Tells those who asked for more than callbacks. */
static void
tell_of_end (StrandCall *self, StrandCallExtra *extra, gboolean waited)
{
  strand_call_drop_child (self);
  strand_call_tell_listeners (extra);
  if (has_callbacks (self))
    strand_call_deliver (strand_call_ref (self));
  /* After the callbacks were queued, so that a wait that dispatches them returns with all of them done. */
  if (waited)
    wake_waiters (extra);
}

/* The second step: the outcome is written, everybody may see it. Takes over a reference, which the delivery
 * of a plain call goes on with. */
static void
publish (StrandCall *self, StrandStatus status)
{
  StrandCallExtra *extra = g_atomic_pointer_get (&self->extra);
  int state;

  strand_debug (STRAND_TOPIC_CALL, "a call of '%s' is %s", self->recipe->function->name,
                strand_status_to_string (status));
  if (extra != NULL)
    end_extra (self, extra);

  state = strand_call_peek_state (self);
  while (
      !g_atomic_int_compare_and_exchange_full (&self->state, state, (state & ~STATE_STATUS) | status, &state))
    ;

  extra = g_atomic_pointer_get (&self->extra);
  if (extra == NULL && has_callbacks (self))
    {
      strand_call_deliver (self);
      return;
    }
  if (extra != NULL && extra->funcs != NULL)
    extra->funcs->ended (self, extra->owner);
  else if (extra != NULL)
    tell_of_end (self, extra, (state & STATE_WAITED) != 0);
  strand_call_unref (self);
}

/* Takes over everything. */
static void
settle (StrandCall *self, StrandStatus status, GVariant *value, GError *error)
{
  self->value = value;
  self->error = error;
  publish (self, status);
}

/**
 * strand_call_finish_as:
 * @self: a call that this backend was given
 * @status: a final status
 * @value: (nullable) (transfer full): the value, with %STRAND_STATUS_COMPLETED
 * @error: (nullable) (transfer full): why, with the others
 *
 * Ends a call, pending or running, with an outcome of the backend's choice. Ignored if it has ended already.
 * Any thread; does not block.
 *
 * Since: 1.0
 */
void
strand_call_finish_as (StrandCall *self, StrandStatus status, GVariant *value, GError *error)
{
  g_return_if_fail (self != NULL && strand_status_is_terminal (status));

  if (move_status (self, STRAND_STATUS_PENDING, STATE_SETTLING) ||
      move_status (self, STRAND_STATUS_RUNNING, STATE_SETTLING))
    {
      settle (strand_call_ref (self), status, value, error);
      return;
    }
  g_clear_pointer (&value, g_variant_unref);
  g_clear_error (&error);
}

static GError *
cancelled_before_start (StrandCall *self)
{
  return g_error_new (G_IO_ERROR, G_IO_ERROR_CANCELLED, "The call of '%s' was cancelled before it started",
                      self->recipe->function->name);
}

/* Cancels a call that has not started, so that it never starts. */
gboolean
strand_call_cancel_pending (StrandCall *self)
{
  if (!move_status (self, STRAND_STATUS_PENDING, STATE_SETTLING))
    return FALSE;

  settle (strand_call_ref (self), STRAND_STATUS_CANCELLED, NULL, cancelled_before_start (self));
  return TRUE;
}

/**
 * strand_call_finish_like:
 * @self: a stored call
 * @attempt: an attempt of it that has ended
 *
 * Ends a stored call as its attempt ended; an object goes along. Any thread; does not block.
 *
 * Since: 1.0
 */
void
strand_call_finish_like (StrandCall *self, StrandCall *attempt)
{
  StrandCallExtra *extra;
  gint64 completed_us;

  g_return_if_fail (self != NULL && attempt != NULL && strand_call_is_ended (attempt));

  /* When the function ended: that is in the record, and writing it took its time. */
  strand_call_get_times (attempt, NULL, NULL, &completed_us);
  extra = strand_call_extra (self);
  g_mutex_lock (&extra->lock);
  if (extra->completed_us == 0)
    extra->completed_us = completed_us;
  if (attempt->extra != NULL && attempt->extra->object != NULL)
    g_set_object (&extra->object, attempt->extra->object);
  g_mutex_unlock (&extra->lock);
  strand_call_finish_as (self, strand_call_get_status (attempt),
                         attempt->value != NULL ? g_variant_ref (attempt->value) : NULL,
                         attempt->error != NULL ? g_error_copy (attempt->error) : NULL);
}

static GError *
check_result (StrandCall *self, GVariant *value)
{
  StrandFunction *function = self->recipe->function;
  StrandCallExtra *extra = g_atomic_pointer_get (&self->extra);

  if (value != NULL)
    {
      if (function->result_type != NULL && g_variant_is_of_type (value, function->result_type))
        return NULL;
      if (function->result_type == NULL)
        return g_error_new (STRAND_ERROR, STRAND_ERROR_TYPE,
                            "'%s' returned a value of type '%s' where it is declared to return %s",
                            function->name, g_variant_get_type_string (value),
                            function->returns_object ? "an object" : "nothing");
      return g_error_new (STRAND_ERROR, STRAND_ERROR_TYPE,
                          "'%s' returned a value of type '%s' where it is declared to return '%.*s'",
                          function->name, g_variant_get_type_string (value),
                          (int) g_variant_type_get_string_length (function->result_type),
                          g_variant_type_peek_string (function->result_type));
    }

  if (function->result_type == NULL && !function->returns_object)
    return NULL;
  if (function->returns_object &&
      ((extra != NULL && extra->object != NULL) || (self->recipe->checks & STRAND_CHECK_OBJECTS) == 0))
    return NULL;
  return g_error_new (STRAND_ERROR, STRAND_ERROR_FAILED, "'%s' returned neither a value nor an error",
                      function->name);
}

/* Why a call that was told to stop ended with an error: what the caller sees instead of the function's own.
 */
static StrandStatus
explain_stop (StrandCall *self, GError **error)
{
  StrandCallExtra *extra = strand_call_extra (self);
  StrandStatus status = STRAND_STATUS_FAILED;
  GError *reason = strand_call_dup_consumer_error (self);

  g_mutex_lock (&extra->lock);
  if (reason == NULL && extra->timed_out)
    reason = g_error_new (STRAND_ERROR, STRAND_ERROR_TIMED_OUT, "The call of '%s' ran longer than it may",
                          self->recipe->function->name);
  else if (reason == NULL)
    {
      reason = g_error_new (G_IO_ERROR, G_IO_ERROR_CANCELLED, "The call of '%s' was cancelled",
                            self->recipe->function->name);
      status = STRAND_STATUS_CANCELLED;
    }
  g_mutex_unlock (&extra->lock);

  g_clear_error (error);
  *error = reason;
  return status;
}

/* The function has ended. Takes over everything. */
static void
finish (StrandCall *self, GVariant *value, GError *error)
{
  StrandStatus status = STRAND_STATUS_COMPLETED;

  if (value != NULL)
    value = g_variant_take_ref (value);
  if (!move_status (self, STRAND_STATUS_RUNNING, STATE_SETTLING))
    {
      g_clear_pointer (&value, g_variant_unref);
      g_clear_error (&error);
      strand_call_unref (self);
      return;
    }

  if (error == NULL)
    error = check_result (self, value);
  /* Whoever consumes has the last word: what he could not take has not been done. */
  if (error == NULL && (strand_call_peek_state (self) & STATE_STOP) != 0)
    error = strand_call_dup_consumer_error (self);
  if (error != NULL)
    {
      status = STRAND_STATUS_FAILED;
      g_clear_pointer (&value, g_variant_unref);
      if ((strand_call_peek_state (self) & STATE_STOP) != 0)
        status = explain_stop (self, &error);
    }
  settle (self, status, value, error);
}

/**
 * strand_call_finish:
 * @self: a call that this taskrunner has begun
 * @value: (nullable) (transfer full): what the function returned; floating is fine
 * @error: (nullable) (transfer full): why it failed
 *
 * Ends a running call as its function ended. Checks the value's type. After a cancellation or timeout an
 * error of the function is replaced by that. Ignored if the call has ended already (it was abandoned). Any
 * thread; does not block; callbacks of a `sync` call run inside.
 *
 * Since: 1.0
 */
void
strand_call_finish (StrandCall *self, GVariant *value, GError *error)
{
  g_return_if_fail (self != NULL);

  finish (strand_call_ref (self), value, error);
}

/**
 * strand_call_finish_with_value:
 * @self: a call that this taskrunner has begun
 * @value: (nullable): what the function returned; floating is consumed
 *
 * As strand_call_finish(), for languages whose errors cannot be `NULL`.
 *
 * Since: 1.0
 */
void
strand_call_finish_with_value (StrandCall *self, GVariant *value)
{
  g_return_if_fail (self != NULL);

  strand_call_finish (self, value != NULL ? g_variant_ref_sink (value) : NULL, NULL);
}

/**
 * strand_call_finish_with_error:
 * @self: a call that this taskrunner has begun
 * @error: why the function failed
 *
 * As strand_call_finish(), for languages whose errors are not given away.
 *
 * Since: 1.0
 */
void
strand_call_finish_with_error (StrandCall *self, const GError *error)
{
  g_return_if_fail (self != NULL);
  g_return_if_fail (error != NULL);

  strand_call_finish (self, NULL, g_error_copy (error));
}

static void
on_timeout (gpointer data)
{
  strand_call_request_stop (data, TRUE);
}

/* What a call with an Extra does when it starts; FALSE if its backend gives it up. */
static gboolean
begin_extra (StrandCall *self, StrandCallExtra *extra)
{
  gint64 timeout_us = extra->timeout_us;

  if (timeout_us == STRAND_UNSET && extra->options != NULL)
    timeout_us = extra->options->timeout_us;

  g_mutex_lock (&extra->lock);
  extra->started_us = strand_clock_now_us ();
  if (extra->attempt == 0)
    extra->attempt = 1;
  if (timeout_us >= 0)
    {
      extra->deadline_us = strand_clock_monotonic_us () + timeout_us;
      extra->timeout_timer = strand_clock_add_timer (extra->deadline_us, on_timeout, strand_call_ref (self),
                                                     (GDestroyNotify) strand_call_unref);
    }
  g_mutex_unlock (&extra->lock);

  if (extra->funcs != NULL && extra->funcs->started != NULL && !extra->funcs->started (self, extra->owner))
    {
      strand_call_finish_as (self, STRAND_STATUS_CANCELLED, NULL, cancelled_before_start (self));
      return FALSE;
    }
  strand_call_tell_listeners (extra);
  return TRUE;
}

/**
 * strand_call_begin:
 * @self: a call that was submitted to this taskrunner
 *
 * Marks a call as running, starts its timeout, and tells its backend. A runner that uses strand_call_run()
 * does not call this. Any thread; may block briefly in the backend.
 *
 * %FALSE is the runner's to remember: it lets go of the call, does not run the function, or stops what it has
 * started elsewhere, and need not finish the call, of which nothing is heard any more. It cannot ask the call
 * later, because strand_call_get_status() says %STRAND_STATUS_RUNNING until whoever cancelled it is through.
 *
 * Returns: %TRUE if the function is to run now; %FALSE if the call was cancelled meanwhile, or begun before
 * Since: 1.0
 */
gboolean
strand_call_begin (StrandCall *self)
{
  StrandCallExtra *extra;

  g_return_val_if_fail (self != NULL, FALSE);

  if (!move_status (self, STRAND_STATUS_PENDING, STRAND_STATUS_RUNNING))
    return FALSE;
  extra = g_atomic_pointer_get (&self->extra);
  return extra == NULL || begin_extra (self, extra);
}

/**
 * strand_call_run:
 * @self: (transfer full): a call that was submitted to this taskrunner
 *
 * Runs a call on this thread from begin to finish, or does nothing if it was cancelled or has been run.
 * Blocks as long as the function does.
 *
 * Since: 1.0
 */
void
strand_call_run (StrandCall *self)
{
  const StrandFrame frame = { self, strand_running };
  StrandFunction *function;
  GVariant *value;
  GError *error = NULL;

  g_return_if_fail (self != NULL);

  if (!strand_call_begin (self))
    {
      strand_call_unref (self);
      return;
    }

  function = self->recipe->function;
  strand_running = &frame;
  value =
      function->func ((StrandContext *) self, strand_call_get_arguments (self), function->user_data, &error);
  strand_running = frame.outer;

  if (G_UNLIKELY (value != NULL && error != NULL))
    {
      g_warning ("Function '%s' returned a value and an error: the error counts", function->name);
      g_variant_unref (g_variant_take_ref (g_steal_pointer (&value)));
    }
  finish (self, value, error);
}
