/* strand-handle.c — the caller's view of one call, as an object that widgets can be bound to.
 *
 * A handle belongs to the main context in which it was made: there, and only there, its properties are
 * notified, at most 30 times a second while the call runs and once more at its end. Its methods may be called
 * anywhere. A handle made from a key shows a call that follows the record in the store (strand-follow.c).
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-handle.h"
#include "strand-blocking-private.h"
#include "strand-call-private.h"
#include "strand-clock.h"
#include "strand-error.h"
#include "strand-follow-private.h"

/* 30 a second: more than a person sees of a progress bar. */
#define NOTIFY_INTERVAL_US (G_USEC_PER_SEC / 30)

struct _StrandListener
{
  StrandNews news; /* in the delivery */
  gatomicrefcount ref_count;
  int queued; /* atomic: in the delivery's queue, or waiting for its turn */
  StrandDelivery *delivery;
  GWeakRef handle;
};

/* What was notified last. */
typedef struct
{
  StrandStatus status;
  double progress;
  char *message;
  guint attempt;
} Shown;

struct _StrandHandle
{
  GObject parent_instance;

  StrandCall *call; /* set at construction, as the next */
  StrandListener *listener;
  Shown shown; /* the creating context's only, as the next */
  gint64 shown_us;
};

enum
{
  PROP_KEY = 1,
  PROP_STATUS,
  PROP_READY,
  PROP_VALUE,
  PROP_OBJECT,
  PROP_ERROR,
  PROP_PROGRESS,
  PROP_MESSAGE,
  PROP_ATTEMPT,
  PROP_CREATED,
  PROP_STARTED,
  PROP_COMPLETED,
  PROP_DURATION,
  PROP_METADATA,
  N_PROPS
};

static GParamSpec *props[N_PROPS];

/**
 * StrandHandle:
 *
 * The caller's view of one call: status, value, error, progress. Its properties are notified in the main
 * context in which it was made; its methods may be called on any thread. Dropping it cancels nothing.
 *
 * Since: 1.0
 */
G_DEFINE_FINAL_TYPE (StrandHandle, strand_handle, G_TYPE_OBJECT)

StrandListener *
strand_listener_ref (StrandListener *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
strand_listener_unref (StrandListener *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  g_weak_ref_clear (&self->handle);
  strand_delivery_unref (self->delivery);
  g_free (self);
}

/* Any thread, under the call's lock. */
void
strand_listener_changed (StrandListener *self)
{
  if (!g_atomic_int_compare_and_exchange (&self->queued, FALSE, TRUE))
    return;
  strand_listener_ref (self);
  strand_delivery_push (self->delivery, &self->news);
}

static void
show_status (StrandHandle *self, StrandStatus status)
{
  GObject *object = G_OBJECT (self);

  self->shown.status = status;
  g_object_notify_by_pspec (object, props[PROP_STATUS]);
  g_object_notify_by_pspec (object, props[PROP_STARTED]);
  g_object_notify_by_pspec (object, props[PROP_DURATION]);
  if (!strand_status_is_terminal (status))
    return;
  g_object_notify_by_pspec (object, props[PROP_READY]);
  g_object_notify_by_pspec (object, props[PROP_COMPLETED]);
  g_object_notify_by_pspec (object, props[PROP_VALUE]);
  g_object_notify_by_pspec (object, props[PROP_OBJECT]);
  g_object_notify_by_pspec (object, props[PROP_ERROR]);
}

static void
show_changes (StrandHandle *self)
{
  g_autofree char *message = NULL;
  double progress = strand_call_get_progress (self->call, &message);
  guint attempt = strand_call_get_attempt (self->call);
  StrandStatus status = strand_call_get_status (self->call);

  self->shown_us = g_get_monotonic_time ();
  g_object_freeze_notify (G_OBJECT (self));
  if (attempt != self->shown.attempt)
    {
      self->shown.attempt = attempt;
      g_object_notify_by_pspec (G_OBJECT (self), props[PROP_ATTEMPT]);
    }
  if (progress != self->shown.progress)
    {
      self->shown.progress = progress;
      g_object_notify_by_pspec (G_OBJECT (self), props[PROP_PROGRESS]);
    }
  if (g_strcmp0 (message, self->shown.message) != 0)
    {
      g_free (self->shown.message);
      self->shown.message = g_steal_pointer (&message);
      g_object_notify_by_pspec (G_OBJECT (self), props[PROP_MESSAGE]);
    }
  if (status != self->shown.status)
    show_status (self, status);
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_METADATA]);
  g_object_thaw_notify (G_OBJECT (self));
}

static gboolean
dispatch_listener (StrandNews *news, gint64 deadline_us)
{
  StrandListener *listener = (StrandListener *) news;
  g_autoptr(StrandHandle) self = g_weak_ref_get (&listener->handle);
  gint64 wait_us;

  if (self != NULL && !strand_call_is_ended (self->call))
    {
      wait_us = self->shown_us + NOTIFY_INTERVAL_US - g_get_monotonic_time ();
      if (wait_us > 0)
        {
          strand_delivery_push_later (listener->delivery, &listener->news, wait_us);
          return TRUE;
        }
    }
  g_atomic_int_set (&listener->queued, FALSE);
  if (self != NULL)
    show_changes (self);
  strand_listener_unref (listener);
  return TRUE;
}

static StrandListener *
listener_new (StrandHandle *handle)
{
  StrandListener *self = g_new0 (StrandListener, 1);

  self->news.dispatch = dispatch_listener;
  g_atomic_ref_count_init (&self->ref_count);
  self->delivery = strand_delivery_ref_default (G_PRIORITY_DEFAULT);
  g_weak_ref_init (&self->handle, handle);
  return self;
}

static void
strand_handle_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  StrandHandle *self = STRAND_HANDLE (object);
  gint64 created_us, started_us, completed_us;

  strand_call_get_times (self->call, &created_us, &started_us, &completed_us);
  switch (id)
    {
    case PROP_KEY:
      g_value_set_string (value, strand_handle_get_key (self));
      break;
    case PROP_STATUS:
      g_value_set_enum (value, (int) strand_handle_get_status (self));
      break;
    case PROP_READY:
      g_value_set_boolean (value, strand_handle_is_ready (self));
      break;
    case PROP_VALUE:
      g_value_set_variant (value, strand_call_get_value (self->call));
      break;
    case PROP_OBJECT:
      g_value_set_object (value, strand_handle_get_object (self));
      break;
    case PROP_ERROR:
      g_value_set_boxed (value, strand_handle_get_error (self));
      break;
    case PROP_PROGRESS:
      g_value_set_double (value, strand_handle_get_progress (self));
      break;
    case PROP_MESSAGE:
      g_value_take_string (value, strand_handle_dup_message (self));
      break;
    case PROP_ATTEMPT:
      g_value_set_uint (value, strand_handle_get_attempt (self));
      break;
    case PROP_CREATED:
      g_value_set_int64 (value, created_us);
      break;
    case PROP_STARTED:
      g_value_set_int64 (value, started_us);
      break;
    case PROP_COMPLETED:
      g_value_set_int64 (value, completed_us);
      break;
    case PROP_DURATION:
      g_value_set_int64 (value, strand_handle_get_duration (self));
      break;
    case PROP_METADATA:
      g_value_take_variant (value, strand_handle_dup_metadata (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
strand_handle_finalize (GObject *object)
{
  StrandHandle *self = STRAND_HANDLE (object);

  strand_call_remove_listener (self->call, self->listener);
  strand_listener_unref (self->listener);
  strand_call_unref (self->call);
  g_free (self->shown.message);
  G_OBJECT_CLASS (strand_handle_parent_class)->finalize (object);
}

static void
strand_handle_class_init (StrandHandleClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GParamFlags flags = G_PARAM_READABLE | G_PARAM_STATIC_STRINGS;

  object_class->get_property = strand_handle_get_property;
  object_class->finalize = strand_handle_finalize;

  /**
   * StrandHandle:key:
   *
   * The call's key.
   *
   * Since: 1.0
   */
  props[PROP_KEY] = g_param_spec_string ("key", NULL, NULL, NULL, flags);
  /**
   * StrandHandle:status:
   *
   * Where the call stands.
   *
   * Since: 1.0
   */
  props[PROP_STATUS] =
      g_param_spec_enum ("status", NULL, NULL, STRAND_TYPE_STATUS, STRAND_STATUS_PENDING, flags);
  /**
   * StrandHandle:ready:
   *
   * Whether the call has ended, in whichever of the three ways.
   *
   * Since: 1.0
   */
  props[PROP_READY] = g_param_spec_boolean ("ready", NULL, NULL, FALSE, flags);
  /**
   * StrandHandle:value:
   *
   * The value, once the call has completed.
   *
   * Since: 1.0
   */
  props[PROP_VALUE] = g_param_spec_variant ("value", NULL, NULL, G_VARIANT_TYPE_ANY, NULL, flags);
  /**
   * StrandHandle:object:
   *
   * The object that the function returned, once the call has completed.
   *
   * Since: 1.0
   */
  props[PROP_OBJECT] = g_param_spec_object ("object", NULL, NULL, G_TYPE_OBJECT, flags);
  /**
   * StrandHandle:error:
   *
   * Why the call did not complete, once it has ended.
   *
   * Since: 1.0
   */
  props[PROP_ERROR] = g_param_spec_boxed ("error", NULL, NULL, G_TYPE_ERROR, flags);
  /**
   * StrandHandle:progress:
   *
   * How far the function is, 0 to 1, or -1 while unknown.
   *
   * Since: 1.0
   */
  props[PROP_PROGRESS] = g_param_spec_double ("progress", NULL, NULL, -1, 1, -1, flags);
  /**
   * StrandHandle:message:
   *
   * What the function says it is doing.
   *
   * Since: 1.0
   */
  props[PROP_MESSAGE] = g_param_spec_string ("message", NULL, NULL, NULL, flags);
  /**
   * StrandHandle:attempt:
   *
   * The attempt under way or made last, from 1; 0 before the first.
   *
   * Since: 1.0
   */
  props[PROP_ATTEMPT] = g_param_spec_uint ("attempt", NULL, NULL, 0, G_MAXUINT, 0, flags);
  /**
   * StrandHandle:created:
   *
   * When the call was made, in microseconds since 1970 UTC.
   *
   * Since: 1.0
   */
  props[PROP_CREATED] = g_param_spec_int64 ("created", NULL, NULL, 0, G_MAXINT64, 0, flags);
  /**
   * StrandHandle:started:
   *
   * When its last attempt started, in microseconds since 1970 UTC, or 0.
   *
   * Since: 1.0
   */
  props[PROP_STARTED] = g_param_spec_int64 ("started", NULL, NULL, 0, G_MAXINT64, 0, flags);
  /**
   * StrandHandle:completed:
   *
   * When it ended, in microseconds since 1970 UTC, or 0.
   *
   * Since: 1.0
   */
  props[PROP_COMPLETED] = g_param_spec_int64 ("completed", NULL, NULL, 0, G_MAXINT64, 0, flags);
  /**
   * StrandHandle:duration:
   *
   * How long the last attempt took, in microseconds, or -1 before the end.
   *
   * Since: 1.0
   */
  props[PROP_DURATION] = g_param_spec_int64 ("duration", NULL, NULL, -1, G_MAXINT64, -1, flags);
  /**
   * StrandHandle:metadata:
   *
   * What the function set beside its value, `a{sv}`.
   *
   * Since: 1.0
   */
  props[PROP_METADATA] = g_param_spec_variant ("metadata", NULL, NULL, G_VARIANT_TYPE_VARDICT, NULL, flags);

  g_object_class_install_properties (object_class, N_PROPS, props);
}

static void
strand_handle_init (StrandHandle *self)
{
  self->shown.progress = -1;
}

/**
 * strand_handle_new_for_call:
 * @call: a call
 *
 * A handle that notifies in the main context which is thread-default now. Any thread; does not block.
 *
 * Returns: (transfer full): a handle
 * Since: 1.0
 */
StrandHandle *
strand_handle_new_for_call (StrandCall *call)
{
  StrandHandle *self;

  g_return_val_if_fail (call != NULL, NULL);

  self = g_object_new (STRAND_TYPE_HANDLE, NULL);
  self->call = strand_call_ref (call);
  self->shown.status = strand_call_get_status (call);
  self->shown.attempt = strand_call_get_attempt (call);
  self->listener = listener_new (self);
  strand_call_add_listener (call, self->listener);
  return self;
}

/**
 * strand_handle_new:
 * @store: where the record is
 * @key: a call's key
 * @error: return location for a #GError
 *
 * A handle for a call that any process launched: it follows the call's record. Blocks while the record is
 * read the first time.
 *
 * Returns: (transfer full) (nullable): a handle; or `NULL` with %STRAND_ERROR_NOT_FOUND,
 * %STRAND_ERROR_INVALID_KEY or what the store says
 *
 * Since: 1.0
 */
StrandHandle *
strand_handle_new (StrandStore *store, const char *key, GError **error)
{
  g_autoptr(StrandCall) call = NULL;

  g_return_val_if_fail (STRAND_IS_STORE (store), NULL);
  g_return_val_if_fail (key != NULL, NULL);

  call = strand_follow (store, key, error);
  return call != NULL ? strand_handle_new_for_call (call) : NULL;
}

static void
follow_in_thread (GTask *task)
{
  GError *error = NULL;
  StrandCall *call = strand_follow (g_task_get_source_object (task), g_task_get_task_data (task), &error);

  if (call != NULL)
    g_task_return_pointer (task, call, (GDestroyNotify) strand_call_unref);
  else
    g_task_return_error (task, error);
}

/**
 * strand_handle_new_async:
 * @store: where the record is
 * @key: a call's key
 * @cancellable: (nullable): stops it if it has not begun
 * @callback: (scope async) (closure user_data): what to call when it is done
 * @user_data: data for @callback
 *
 * Does strand_handle_new() without blocking.
 *
 * Since: 1.0
 */
void
strand_handle_new_async (StrandStore *store, const char *key, GCancellable *cancellable,
                         GAsyncReadyCallback callback, gpointer user_data)
{
  GTask *task;

  g_return_if_fail (STRAND_IS_STORE (store) && key != NULL);

  task = g_task_new (store, cancellable, callback, user_data);
  g_task_set_task_data (task, g_strdup (key), g_free);
  strand_blocking_run_task (task, follow_in_thread);
}

/**
 * strand_handle_new_finish: (constructor)
 * @result: what the callback was given
 * @error: return location for a #GError
 *
 * Says what became of strand_handle_new_async().
 *
 * Returns: (transfer full) (nullable): as strand_handle_new()
 * Since: 1.0
 */
StrandHandle *
strand_handle_new_finish (GAsyncResult *result, GError **error)
{
  g_autoptr(StrandCall) call = NULL;

  g_return_val_if_fail (G_IS_TASK (result), NULL);

  call = g_task_propagate_pointer (G_TASK (result), error);
  return call != NULL ? strand_handle_new_for_call (call) : NULL;
}

/**
 * strand_handle_get_call:
 * @self: a handle
 *
 * Gives the call that the handle shows, for what has no property. Any thread.
 *
 * Returns: (transfer none): the call
 * Since: 1.0
 */
StrandCall *
strand_handle_get_call (StrandHandle *self)
{
  g_return_val_if_fail (STRAND_IS_HANDLE (self), NULL);

  return self->call;
}

/**
 * strand_handle_get_key:
 * @self: a handle
 *
 * The call's key, made now if it has none yet. Any thread; does not block.
 *
 * Returns: the key
 * Since: 1.0
 */
const char *
strand_handle_get_key (StrandHandle *self)
{
  g_return_val_if_fail (STRAND_IS_HANDLE (self), NULL);

  return strand_call_get_key (self->call);
}

/**
 * strand_handle_get_status:
 * @self: a handle
 *
 * Says where the call stands. Any thread; does not block.
 *
 * Returns: where the call stands
 * Since: 1.0
 */
StrandStatus
strand_handle_get_status (StrandHandle *self)
{
  g_return_val_if_fail (STRAND_IS_HANDLE (self), STRAND_STATUS_FAILED);

  return strand_call_get_status (self->call);
}

/**
 * strand_handle_is_ready:
 * @self: a handle
 *
 * Says whether the call has ended, in whichever way. Any thread; does not block.
 *
 * Returns: whether the call has ended: completed, failed or cancelled
 * Since: 1.0
 */
gboolean
strand_handle_is_ready (StrandHandle *self)
{
  g_return_val_if_fail (STRAND_IS_HANDLE (self), FALSE);

  return strand_call_is_ended (self->call);
}

static GVariant *
result_of (StrandHandle *self, GError **error)
{
  const GError *failure = strand_call_get_error (self->call);
  GVariant *value = strand_call_get_value (self->call);

  if (failure != NULL)
    {
      g_propagate_error (error, g_error_copy (failure));
      return NULL;
    }
  return value != NULL ? g_variant_ref (value) : g_variant_ref_sink (g_variant_new_tuple (NULL, 0));
}

/**
 * strand_handle_get_result:
 * @self: a handle
 * @error: return location for a #GError
 *
 * The call's value, if it has ended; strand_handle_wait() waits for that. Any thread; does not block.
 *
 * Returns: (transfer full) (nullable): the value (`()` where the function returns nothing or an object); or
 * `NULL` with %STRAND_ERROR_NOT_READY, or the call's own error
 *
 * Since: 1.0
 */
GVariant *
strand_handle_get_result (StrandHandle *self, GError **error)
{
  g_return_val_if_fail (STRAND_IS_HANDLE (self), NULL);

  if (strand_call_is_ended (self->call))
    return result_of (self, error);

  g_set_error (error, STRAND_ERROR, STRAND_ERROR_NOT_READY, "The call '%s' of '%s' is still %s: wait for it",
               strand_handle_get_key (self), strand_call_get_function_name (self->call),
               strand_status_to_string (strand_handle_get_status (self)));
  return NULL;
}

/**
 * strand_handle_get_object:
 * @self: a handle
 *
 * Gives the result of a function that returns an object. Any thread.
 *
 * Returns: (transfer none) (nullable): the object that the function returned, once the call has completed
 * Since: 1.0
 */
GObject *
strand_handle_get_object (StrandHandle *self)
{
  g_return_val_if_fail (STRAND_IS_HANDLE (self), NULL);

  return strand_call_get_object (self->call);
}

/**
 * strand_handle_get_error:
 * @self: a handle
 *
 * Says why a call did not complete. Whoever asks has seen the error, so it is not logged any more. Any
 * thread.
 *
 * Returns: (transfer none) (nullable): why the call did not complete, once it has ended
 * Since: 1.0
 */
const GError *
strand_handle_get_error (StrandHandle *self)
{
  g_return_val_if_fail (STRAND_IS_HANDLE (self), NULL);

  return strand_call_get_error (self->call);
}

/**
 * strand_handle_get_progress:
 * @self: a handle
 *
 * Says how far the function is, by its own word. Any thread.
 *
 * Returns: how far the function is, 0 to 1, or -1 while unknown
 * Since: 1.0
 */
double
strand_handle_get_progress (StrandHandle *self)
{
  g_return_val_if_fail (STRAND_IS_HANDLE (self), -1);

  return strand_call_get_progress (self->call, NULL);
}

/**
 * strand_handle_dup_message:
 * @self: a handle
 *
 * Says what the function is doing, by its own word. Any thread.
 *
 * Returns: (transfer full) (nullable): what the function says it is doing
 * Since: 1.0
 */
char *
strand_handle_dup_message (StrandHandle *self)
{
  char *message;

  g_return_val_if_fail (STRAND_IS_HANDLE (self), NULL);

  strand_call_get_progress (self->call, &message);
  return message;
}

/**
 * strand_handle_get_attempt:
 * @self: a handle
 *
 * Counts how often the function was started for this call. Any thread.
 *
 * Returns: the attempt under way or made last, from 1; 0 before the first
 * Since: 1.0
 */
guint
strand_handle_get_attempt (StrandHandle *self)
{
  g_return_val_if_fail (STRAND_IS_HANDLE (self), 0);

  return strand_call_get_attempt (self->call);
}

/**
 * strand_handle_get_duration:
 * @self: a handle
 *
 * Says how long the function ran, without the time before its start. Any thread.
 *
 * Returns: how long the last attempt took, in microseconds, or -1 before the end
 * Since: 1.0
 */
gint64
strand_handle_get_duration (StrandHandle *self)
{
  gint64 started_us, completed_us;

  g_return_val_if_fail (STRAND_IS_HANDLE (self), -1);

  strand_call_get_times (self->call, NULL, &started_us, &completed_us);
  return completed_us > 0 && started_us > 0 ? MAX (completed_us - started_us, 0) : -1;
}

/**
 * strand_handle_dup_metadata:
 * @self: a handle
 *
 * Says what the function has set with strand_context_set_metadata(), while it runs and afterwards. Any
 * thread.
 *
 * Returns: (transfer full): what the function set beside its value, `a{sv}`
 * Since: 1.0
 */
GVariant *
strand_handle_dup_metadata (StrandHandle *self)
{
  g_return_val_if_fail (STRAND_IS_HANDLE (self), NULL);

  return strand_call_dup_metadata (self->call);
}

/**
 * strand_handle_wait:
 * @self: a handle
 * @timeout_us: how long to wait, in microseconds, or -1 for ever
 * @error: return location for a #GError
 *
 * Blocks until the call has ended, however. Meanwhile strand's callbacks for this thread's main context run
 * here, and nothing else does. A thread that owns a main context should use strand_handle_wait_async().
 *
 * Returns: %TRUE once the call has ended (strand_handle_get_result() says how); %FALSE with
 *   %STRAND_ERROR_WAIT_TIMED_OUT, or %STRAND_ERROR_WOULD_DEADLOCK where it never could
 * Since: 1.0
 */
gboolean
strand_handle_wait (StrandHandle *self, gint64 timeout_us, GError **error)
{
  g_return_val_if_fail (STRAND_IS_HANDLE (self), FALSE);

  return strand_call_wait (self->call, timeout_us, error);
}

/* Somebody else may end a wait, and free it, as soon as it is ready for that. */
enum
{
  WAIT_STARTING,
  WAIT_MISSED, /* something ended it before it was ready */
  WAIT_READY,
  WAIT_OVER,
};

/* A GTask that waits for a call. The call's waiter only queues the news: a task must not return under a lock.
 */
typedef struct
{
  GTask *task;
  StrandDelivery *delivery;
  gulong cancel_id;
  int state; /* atomic */
} AsyncWait;

static void
end_async_wait (gpointer data)
{
  g_autofree AsyncWait *wait = data;
  g_autoptr(GTask) task = wait->task;
  StrandHandle *self = g_task_get_source_object (task);
  GError *error = NULL;
  GVariant *value;

  if (wait->cancel_id != 0)
    g_cancellable_disconnect (g_task_get_cancellable (task), wait->cancel_id);
  strand_delivery_unref (wait->delivery);
  /* Takes the call's lock: whoever settles is done with @wait afterwards. */
  strand_call_remove_waiter (self->call, wait);
  if (!strand_call_is_ended (self->call))
    {
      g_task_return_new_error (task, G_IO_ERROR, G_IO_ERROR_CANCELLED,
                               "The wait was cancelled; the call goes on");
      return;
    }
  value = result_of (self, &error);
  if (value != NULL)
    g_task_return_pointer (task, value, (GDestroyNotify) g_variant_unref);
  else
    g_task_return_error (task, error);
}

static void
queue_end (gpointer data)
{
  AsyncWait *wait = data;
  int state = g_atomic_int_get (&wait->state);

  while (state == WAIT_STARTING || state == WAIT_READY)
    if (g_atomic_int_compare_and_exchange_full (&wait->state, state,
                                                state == WAIT_READY ? WAIT_OVER : WAIT_MISSED, &state))
      {
        if (state == WAIT_READY)
          strand_delivery_post (wait->delivery, end_async_wait, wait);
        return;
      }
}

static void
on_wait_cancelled (GCancellable *cancellable, gpointer data)
{
  queue_end (data);
}

/**
 * strand_handle_wait_async:
 * @self: a handle
 * @cancellable: (nullable): ends the wait; the call goes on
 * @callback: (scope async) (closure user_data): what to call when the call has ended
 * @user_data: data for @callback
 *
 * Waits for the call's end without blocking.
 *
 * Since: 1.0
 */
void
strand_handle_wait_async (StrandHandle *self, GCancellable *cancellable, GAsyncReadyCallback callback,
                          gpointer user_data)
{
  AsyncWait *wait;

  g_return_if_fail (STRAND_IS_HANDLE (self));

  wait = g_new0 (AsyncWait, 1);
  wait->task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (wait->task, strand_handle_wait_async);
  g_task_set_check_cancellable (wait->task, FALSE);
  wait->delivery = strand_delivery_ref_default (g_task_get_priority (wait->task));
  if (cancellable != NULL)
    wait->cancel_id = g_cancellable_connect (cancellable, G_CALLBACK (on_wait_cancelled), wait, NULL);
  if (!strand_call_add_waiter (self->call, queue_end, wait, FALSE))
    queue_end (wait);
  if (!g_atomic_int_compare_and_exchange (&wait->state, WAIT_STARTING, WAIT_READY))
    strand_delivery_post (wait->delivery, end_async_wait, wait);
}

/**
 * strand_handle_wait_finish:
 * @self: a handle
 * @result: what the callback was given
 * @error: return location for a #GError
 *
 * Says what became of strand_handle_wait_async().
 *
 * Returns: (transfer full) (nullable): the value, as strand_handle_get_result(); or `NULL` with the call's
 * error, or `G_IO_ERROR_CANCELLED` where the wait was cancelled
 *
 * Since: 1.0
 */
GVariant *
strand_handle_wait_finish (StrandHandle *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

/**
 * strand_handle_cancel:
 * @self: a handle
 *
 * Asks the call to stop, as strand_call_cancel(); for a call of another process, through the store. Any
 * thread; does not block.
 *
 * Returns: %TRUE if that was requested; %FALSE if it is too late: the call has ended
 * Since: 1.0
 */
gboolean
strand_handle_cancel (StrandHandle *self)
{
  g_return_val_if_fail (STRAND_IS_HANDLE (self), FALSE);

  return strand_call_cancel (self->call);
}
