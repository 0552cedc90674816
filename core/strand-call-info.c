/* strand-call-info.c — what anybody who has a call may ask of it, on any thread.
 *
 * What an attempt shares with its stored call (key, options, priority, context, headers) is the stored
 * call's. The outcome is there from the moment at which the status says so, and never changes after that.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-call-private.h"
#include "strand-function-private.h"

/**
 * strand_call_get_key:
 * @self: a call
 *
 * The call's key, made now if it has none yet. Any thread; does not block.
 *
 * Returns: the key
 * Since: 1.0
 */
const char *
strand_call_get_key (StrandCall *self)
{
  StrandCallExtra *extra;
  const char *key;

  g_return_val_if_fail (self != NULL, NULL);

  extra = strand_call_extra (self);
  if (extra->parent != NULL)
    return strand_call_get_key (extra->parent);

  g_mutex_lock (&extra->lock);
  if (extra->key == NULL)
    extra->key = strand_key_new ();
  key = extra->key;
  g_mutex_unlock (&extra->lock);
  return key;
}

/**
 * strand_call_get_function:
 * @self: a call
 *
 * Says what is called. Any thread.
 *
 * Returns: (transfer none): the function called
 * Since: 1.0
 */
StrandFunction *
strand_call_get_function (StrandCall *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return self->recipe->function;
}

/**
 * strand_call_get_function_name:
 * @self: a call
 *
 * Says what is called, by name, as records, logs and metrics have it. Any thread.
 *
 * Returns: the name of the function called
 * Since: 1.0
 */
const char *
strand_call_get_function_name (StrandCall *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return self->recipe->function->name;
}

/* One empty tuple serves all calls that have no arguments. */
static GVariant *
no_arguments (void)
{
  static gsize unit;

  if (g_once_init_enter (&unit))
    g_once_init_leave (&unit, (gsize) g_variant_ref_sink (g_variant_new_tuple (NULL, 0)));
  return (GVariant *) unit;
}

/**
 * strand_call_get_arguments:
 * @self: a call
 *
 * Says what the function is called with: bound and given arguments, keywords folded into their positions.
 * Any thread.
 *
 * Returns: (transfer none): the arguments, a tuple of the declared type
 * Since: 1.0
 */
GVariant *
strand_call_get_arguments (StrandCall *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return self->arguments != NULL ? self->arguments : no_arguments ();
}

/**
 * strand_call_get_options:
 * @self: a call
 *
 * The call's options, its task's included. Middleware may change them in `submit`; later they are read-only.
 *
 * Returns: (transfer none): the options
 * Since: 1.0
 */
StrandOptions *
strand_call_get_options (StrandCall *self)
{
  StrandCallExtra *extra;

  g_return_val_if_fail (self != NULL, NULL);

  extra = strand_call_extra (self);
  if (extra->parent != NULL)
    return strand_call_get_options (extra->parent);

  g_mutex_lock (&extra->lock);
  if (extra->options == NULL)
    extra->options =
        self->recipe->options != NULL ? strand_options_copy (self->recipe->options) : strand_options_new ();
  g_mutex_unlock (&extra->lock);
  return extra->options;
}

/**
 * strand_call_get_priority:
 * @self: a call
 *
 * The priority among the calls that wait, for taskrunners: higher goes first. Costs next to nothing. Any
 * thread; does not block.
 *
 * Returns: the priority, 0 where none is set
 * Since: 1.0
 */
int
strand_call_get_priority (StrandCall *self)
{
  StrandCallExtra *extra = g_atomic_pointer_get (&self->extra);

  if (extra == NULL)
    return 0;
  if (extra->parent != NULL)
    return strand_call_get_priority (extra->parent);
  return extra->options != NULL ? extra->options->priority : 0;
}

/**
 * strand_call_ref_context:
 * @self: a call
 *
 * The main context in which its callbacks run, for taskrunners that run functions there: that which was
 * thread-default when the call was made, whichever thread submits it. Any thread; does not block.
 *
 * Returns: (transfer full) (nullable): the context, or `NULL` where callbacks run on the runner
 * Since: 1.0
 */
GMainContext *
strand_call_ref_context (StrandCall *self)
{
  StrandCallExtra *extra;

  g_return_val_if_fail (self != NULL, NULL);

  extra = g_atomic_pointer_get (&self->extra);
  if (extra != NULL && extra->parent != NULL)
    return strand_call_ref_context (extra->parent);
  return self->delivery != NULL ? g_main_context_ref (strand_delivery_get_context (self->delivery)) : NULL;
}

/**
 * strand_call_get_status:
 * @self: a call
 *
 * Any thread; does not block.
 *
 * Returns: where the call stands
 * Since: 1.0
 */
StrandStatus
strand_call_get_status (StrandCall *self)
{
  int status;

  g_return_val_if_fail (self != NULL, STRAND_STATUS_FAILED);

  status = strand_call_peek_state (self) & STATE_STATUS;
  return status == STATE_SETTLING ? STRAND_STATUS_RUNNING : (StrandStatus) status;
}

/**
 * strand_call_get_attempt:
 * @self: a call
 *
 * Counts how often the function was started for this call. Any thread.
 *
 * Returns: the attempt under way or made last, from 1; 0 before the first
 * Since: 1.0
 */
guint
strand_call_get_attempt (StrandCall *self)
{
  StrandCallExtra *extra;
  StrandStatus status;
  guint attempt;

  g_return_val_if_fail (self != NULL, 0);

  extra = g_atomic_pointer_get (&self->extra);
  if (extra == NULL)
    return strand_call_get_status (self) == STRAND_STATUS_PENDING ? 0 : 1;
  g_mutex_lock (&extra->lock);
  attempt = extra->attempt;
  g_mutex_unlock (&extra->lock);
  /* What began as a plain call counted nothing. */
  status = strand_call_get_status (self);
  if (attempt == 0 && (status == STRAND_STATUS_RUNNING ||
                       (status == STRAND_STATUS_COMPLETED && self->recipe->backend == NULL)))
    attempt = 1;
  return attempt;
}

/* A call can be looked at before its end: what is there is published with the status. */
static gboolean
has_outcome (StrandCall *self)
{
  return strand_state_is_terminal (strand_call_peek_state (self));
}

/**
 * strand_call_get_value:
 * @self: a call
 *
 * Gives what the function returned, once it has. Any thread; never blocks.
 *
 * Returns: (transfer none) (nullable): its value; `NULL` before its end, and where it failed or gave none
 * Since: 1.0
 */
GVariant *
strand_call_get_value (StrandCall *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return has_outcome (self) ? self->value : NULL;
}

/**
 * strand_call_get_object:
 * @self: a call
 *
 * Gives the result of a function that returns an object, which stays in this process. Any thread.
 *
 * Returns: (transfer none) (nullable): the object that its function returned, once it has ended
 * Since: 1.0
 */
GObject *
strand_call_get_object (StrandCall *self)
{
  StrandCallExtra *extra;

  g_return_val_if_fail (self != NULL, NULL);

  extra = g_atomic_pointer_get (&self->extra);
  return extra != NULL && has_outcome (self) ? extra->object : NULL;
}

void
strand_call_mark_seen (StrandCall *self)
{
  g_atomic_int_or ((guint *) &self->state, STATE_SEEN);
}

/**
 * strand_call_get_error:
 * @self: a call
 *
 * Says why a call did not complete. Whoever asks has seen the error, so it is not logged any more. Any
 * thread.
 *
 * Returns: (transfer none) (nullable): why it did not complete, once it has ended
 * Since: 1.0
 */
const GError *
strand_call_get_error (StrandCall *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  if (!has_outcome (self) || self->error == NULL)
    return NULL;
  strand_call_mark_seen (self);
  return self->error;
}

/**
 * strand_call_get_progress:
 * @self: a call
 * @message: (out) (optional) (nullable) (transfer full): what the function says it is doing
 *
 * Says how far the function is, by its own word. Any thread.
 *
 * Returns: how far the function is, 0 to 1, or -1 while unknown
 * Since: 1.0
 */
double
strand_call_get_progress (StrandCall *self, char **message)
{
  StrandCallExtra *extra;
  double progress;

  g_return_val_if_fail (self != NULL, -1);

  extra = strand_call_extra (self);
  g_mutex_lock (&extra->lock);
  progress = extra->progress;
  if (message != NULL)
    *message = g_strdup (extra->message);
  g_mutex_unlock (&extra->lock);
  return progress;
}

/* @all: what is strand's own, too. */
static GVariant *
metadata_locked (StrandCallExtra *extra, gboolean all)
{
  GVariantBuilder builder;
  GHashTableIter iter;
  gpointer name, value;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  if (extra->metadata != NULL)
    {
      g_hash_table_iter_init (&iter, extra->metadata);
      while (g_hash_table_iter_next (&iter, &name, &value))
        if (all || !strand_key_is_reserved (name))
          g_variant_builder_add (&builder, "{sv}", name, value);
    }
  return g_variant_ref_sink (g_variant_builder_end (&builder));
}

static GVariant *
dup_metadata (StrandCall *self, gboolean all)
{
  StrandCallExtra *extra = strand_call_extra (self);
  GVariant *metadata;

  g_mutex_lock (&extra->lock);
  metadata = metadata_locked (extra, all);
  g_mutex_unlock (&extra->lock);
  return metadata;
}

/**
 * strand_call_dup_metadata:
 * @self: a call
 *
 * Any thread; does not block. Names that begin with `strand.` are strand's own, and left out.
 *
 * Returns: (transfer full): what the function set, `a{sv}`
 * Since: 1.0
 */
GVariant *
strand_call_dup_metadata (StrandCall *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return dup_metadata (self, FALSE);
}

GVariant *
strand_call_dup_all_metadata (StrandCall *self)
{
  return dup_metadata (self, TRUE);
}

gboolean
strand_call_get_retry_wish (StrandCall *self, gint64 *delay_us)
{
  StrandCallExtra *extra = strand_call_extra (self);
  GVariant *wish;
  gboolean given;

  g_mutex_lock (&extra->lock);
  wish = extra->metadata != NULL ? g_hash_table_lookup (extra->metadata, STRAND_METADATA_RETRY_AFTER) : NULL;
  given = wish != NULL && g_variant_is_of_type (wish, G_VARIANT_TYPE_INT64);
  if (given)
    *delay_us = g_variant_get_int64 (wish);
  g_mutex_unlock (&extra->lock);
  return given;
}

/**
 * strand_call_dup_headers:
 * @self: a call
 *
 * Says what travels with the call for its middleware and its readers; of an attempt, what its stored call
 * has.
 *
 * Returns: (transfer full): the headers, `a{ss}`
 * Since: 1.0
 */
GVariant *
strand_call_dup_headers (StrandCall *self)
{
  GVariantBuilder builder;
  GHashTableIter iter;
  gpointer name, value;
  StrandCallExtra *extra;

  g_return_val_if_fail (self != NULL, NULL);

  extra = strand_call_extra (self);
  if (extra->parent != NULL)
    return strand_call_dup_headers (extra->parent);

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a{ss}"));
  g_mutex_lock (&extra->lock);
  if (extra->headers != NULL)
    {
      g_hash_table_iter_init (&iter, extra->headers);
      while (g_hash_table_iter_next (&iter, &name, &value))
        g_variant_builder_add (&builder, "{ss}", name, value);
    }
  g_mutex_unlock (&extra->lock);
  return g_variant_ref_sink (g_variant_builder_end (&builder));
}

/**
 * strand_call_dup_header:
 * @self: a call
 * @name: a name
 *
 * One header, without the cost of them all. Any thread; does not block.
 *
 * Returns: (transfer full) (nullable): its value, or `NULL` where there is none
 * Since: 1.0
 */
char *
strand_call_dup_header (StrandCall *self, const char *name)
{
  StrandCallExtra *extra;
  char *value;

  g_return_val_if_fail (self != NULL && name != NULL, NULL);

  extra = strand_call_extra (self);
  if (extra->parent != NULL)
    return strand_call_dup_header (extra->parent, name);

  g_mutex_lock (&extra->lock);
  value = extra->headers != NULL ? g_strdup (g_hash_table_lookup (extra->headers, name)) : NULL;
  g_mutex_unlock (&extra->lock);
  return value;
}

/**
 * strand_call_get_times:
 * @self: a call
 * @created_us: (out) (optional): when it was made
 * @started_us: (out) (optional): when its last attempt started
 * @completed_us: (out) (optional): when it ended
 *
 * Wall times in microseconds since 1970 UTC, 0 for what has not been. A call that was posted rather than
 * called keeps none.
 *
 * Since: 1.0
 */
void
strand_call_get_times (StrandCall *self, gint64 *created_us, gint64 *started_us, gint64 *completed_us)
{
  StrandCallExtra *extra;

  g_return_if_fail (self != NULL);

  extra = strand_call_extra (self);
  g_mutex_lock (&extra->lock);
  if (created_us != NULL)
    *created_us = extra->created_us;
  if (started_us != NULL)
    *started_us = extra->started_us;
  if (completed_us != NULL)
    *completed_us = extra->completed_us;
  g_mutex_unlock (&extra->lock);
}

/**
 * strand_call_get_deadline:
 * @self: a running call
 *
 * Says how long the call may run. Any thread.
 *
 * Returns: when it times out, as strand_clock_monotonic_us() counts, or 0 for never
 * Since: 1.0
 */
gint64
strand_call_get_deadline (StrandCall *self)
{
  StrandCallExtra *extra;
  gint64 deadline_us;

  g_return_val_if_fail (self != NULL, 0);

  extra = g_atomic_pointer_get (&self->extra);
  if (extra == NULL)
    return 0;
  g_mutex_lock (&extra->lock);
  deadline_us = extra->deadline_us;
  g_mutex_unlock (&extra->lock);
  return deadline_us;
}

/**
 * strand_call_get_retry_after:
 * @self: a call
 *
 * Says when a refused call may be tried again. Any thread.
 *
 * Returns: what strand_call_set_retry_after() was told, or 0
 * Since: 1.0
 */
gint64
strand_call_get_retry_after (StrandCall *self)
{
  StrandCallExtra *extra;
  gint64 time_us;

  g_return_val_if_fail (self != NULL, 0);

  extra = strand_call_extra (self);
  g_mutex_lock (&extra->lock);
  time_us = extra->retry_after_us;
  g_mutex_unlock (&extra->lock);
  return time_us;
}
