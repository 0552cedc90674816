/* strand-call-report.c — what is said of a call: by middleware before it runs, by its runner while it does.
 *
 * What is said of an attempt shows in its stored call at once. Only metadata of strand's own stays with the
 * attempt, because it is about that one alone: when to make the next, say.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-call-private.h"
#include "strand-function-private.h"

/**
 * strand_call_set_progress:
 * @self: a running call
 * @progress: how far the function is, 0 to 1, or -1 for unknown
 * @message: (nullable): what it is doing; `NULL` leaves the message as it is
 *
 * Any thread; does not block. Handles show it at most 30 times a second.
 *
 * Since: 1.0
 */
void
strand_call_set_progress (StrandCall *self, double progress, const char *message)
{
  StrandCallExtra *extra;

  g_return_if_fail (self != NULL);

  extra = strand_call_extra (self);
  g_mutex_lock (&extra->lock);
  extra->progress = progress < 0 ? -1 : MIN (progress, 1);
  if (message != NULL)
    {
      g_free (extra->message);
      extra->message = g_utf8_make_valid (message, -1);
    }
  g_mutex_unlock (&extra->lock);

  if (extra->parent != NULL)
    strand_call_set_progress (extra->parent, progress, message);
  strand_call_changed (self);
}

static void
set_metadata (StrandCallExtra *extra, const char *name, GVariant *value)
{
  g_mutex_lock (&extra->lock);
  if (extra->metadata == NULL)
    extra->metadata =
        g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_variant_unref);
  g_hash_table_insert (extra->metadata, g_strdup (name), g_variant_ref (value));
  g_mutex_unlock (&extra->lock);
}

/**
 * strand_call_set_metadata:
 * @self: a running call
 * @name: a name
 * @value: a value; floating is consumed
 *
 * Keeps something beside the value, for whoever has the call or its record. A name that begins with `strand.`
 * is strand's own and stays with the attempt. Any thread; does not block.
 *
 * Since: 1.0
 */
void
strand_call_set_metadata (StrandCall *self, const char *name, GVariant *value)
{
  g_autoptr(GVariant) sunk = NULL;
  StrandCallExtra *extra;

  g_return_if_fail (self != NULL && name != NULL && value != NULL);

  sunk = g_variant_ref_sink (value);
  extra = strand_call_extra (self);
  set_metadata (extra, name, sunk);
  if (extra->parent != NULL && !strand_key_is_reserved (name))
    set_metadata (strand_call_extra (extra->parent), name, sunk);
  strand_call_changed (self);
}

/**
 * strand_call_set_header:
 * @self: a call being submitted
 * @name: a name
 * @value: a value
 *
 * For middleware, in `submit`: sends a header along, also to other processes.
 *
 * Since: 1.0
 */
void
strand_call_set_header (StrandCall *self, const char *name, const char *value)
{
  StrandCallExtra *extra;

  g_return_if_fail (self != NULL && name != NULL && value != NULL);

  extra = strand_call_extra (self);
  g_mutex_lock (&extra->lock);
  if (extra->headers == NULL)
    extra->headers = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  g_hash_table_insert (extra->headers, g_strdup (name), g_strdup (value));
  g_mutex_unlock (&extra->lock);
}

/**
 * strand_call_set_arguments:
 * @self: a call being submitted
 * @arguments: a tuple of the function's parameter type; floating is consumed
 * @error: return location for a #GError
 *
 * For middleware, in `submit`: replaces the arguments.
 *
 * Returns: %TRUE, or %FALSE with %STRAND_ERROR_TYPE
 * Since: 1.0
 */
gboolean
strand_call_set_arguments (StrandCall *self, GVariant *arguments, GError **error)
{
  GVariant *bound;

  g_return_val_if_fail (self != NULL && arguments != NULL, FALSE);

  bound = strand_function_bind (self->recipe->function, arguments, NULL, error);
  if (bound == NULL)
    return FALSE;
  g_clear_pointer (&self->arguments, g_variant_unref);
  self->arguments = bound;
  return TRUE;
}

/**
 * strand_call_set_retry_after:
 * @self: a call
 * @time_us: a wall time in microseconds since 1970 UTC
 *
 * For middleware that refuses, and functions that fail: when to try again.
 *
 * Since: 1.0
 */
void
strand_call_set_retry_after (StrandCall *self, gint64 time_us)
{
  StrandCallExtra *extra;

  g_return_if_fail (self != NULL);

  extra = strand_call_extra (self);
  g_mutex_lock (&extra->lock);
  extra->retry_after_us = time_us;
  g_mutex_unlock (&extra->lock);
  if (extra->parent != NULL)
    strand_call_set_retry_after (extra->parent, time_us);
}
