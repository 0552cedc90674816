/* strand-call-state.c — a call's way from pending to its single end.
 *
 * All transitions are made on one atomic word. Ending takes two steps: whoever moves the call to SETTLING has
 * won and alone writes the outcome; the second step publishes it.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-call-private.h"
#include "strand-clock.h"
#include "strand-deadline-private.h"
#include "strand-error.h"
#include "strand-function-private.h"
#include "strand-log.h"

int strand_inline_mode;
_Thread_local const StrandFrame *strand_running;
_Thread_local const StrandFrame *strand_delivering;

gboolean
strand_call_is_ended (StrandCall *self)
{
  return strand_state_is_terminal (strand_call_peek_state (self));
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
      extra->deadline_us = strand_deadline (strand_clock_monotonic_us (), timeout_us);
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
