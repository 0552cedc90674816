/* strand-options.c — how one call wants to be treated.
 *
 * Plain data. A set of options belongs to one thread until it is handed to a call, which copies it.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-options-private.h"

G_DEFINE_ENUM_TYPE (StrandConflict, strand_conflict, G_DEFINE_ENUM_VALUE (STRAND_CONFLICT_KEEP, "keep"),
                    G_DEFINE_ENUM_VALUE (STRAND_CONFLICT_REPLACE, "replace"),
                    G_DEFINE_ENUM_VALUE (STRAND_CONFLICT_REJECT, "reject"))

/**
 * StrandOptions:
 *
 * How one call wants to be treated. What is not set is left to the task, then the middleware, then the
 * backend.
 *
 * Since: 1.0
 */
G_DEFINE_BOXED_TYPE (StrandOptions, strand_options, strand_options_copy, strand_options_free)

static GHashTable *
copy_headers (GHashTable *headers)
{
  GHashTable *copy;
  GHashTableIter iter;
  gpointer name, value;

  if (headers == NULL)
    return NULL;
  copy = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  g_hash_table_iter_init (&iter, headers);
  while (g_hash_table_iter_next (&iter, &name, &value))
    g_hash_table_insert (copy, g_strdup (name), g_strdup (value));
  return copy;
}

/**
 * strand_options_new:
 *
 * Makes options of which each is left to the task, the middleware and the backend.
 *
 * Returns: (transfer full): options of which none is set
 * Since: 1.0
 */
StrandOptions *
strand_options_new (void)
{
  StrandOptions *self = g_new0 (StrandOptions, 1);

  self->timeout_us = STRAND_UNSET;
  self->ttl_us = STRAND_UNSET;
  self->retries = -1;
  return self;
}

/**
 * strand_options_copy:
 * @self: options
 *
 * Copies everything but the pointer data, which belongs to one call.
 *
 * Returns: (transfer full): a copy
 * Since: 1.0
 */
StrandOptions *
strand_options_copy (StrandOptions *self)
{
  StrandOptions *copy;

  g_return_val_if_fail (self != NULL, NULL);

  copy = g_memdup2 (self, sizeof *self);
  copy->queue = g_strdup (self->queue);
  copy->unique = g_strdup (self->unique);
  copy->key = g_strdup (self->key);
  copy->headers = copy_headers (self->headers);
  copy->data = NULL;
  copy->data_destroy = NULL;
  return copy;
}

/**
 * strand_options_free:
 * @self: (transfer full): options
 *
 * Frees options, and destroys a pointer that they still carry.
 *
 * Since: 1.0
 */
void
strand_options_free (StrandOptions *self)
{
  g_return_if_fail (self != NULL);

  g_free (self->queue);
  g_free (self->unique);
  g_free (self->key);
  g_clear_pointer (&self->headers, g_hash_table_unref);
  if (self->data_destroy != NULL)
    self->data_destroy (self->data);
  g_free (self);
}

StrandOptions *
strand_options_merge (StrandOptions *under, StrandOptions *over)
{
  StrandOptions *merged = strand_options_copy (over != NULL ? over : under);
  GHashTableIter iter;
  gpointer name, value;

  if (over == NULL || under == NULL)
    return merged;

  if (merged->timeout_us == STRAND_UNSET)
    merged->timeout_us = under->timeout_us;
  if (merged->ttl_us == STRAND_UNSET)
    merged->ttl_us = under->ttl_us;
  if (merged->retries < 0)
    merged->retries = under->retries;
  if (!merged->has_priority)
    {
      merged->priority = under->priority;
      merged->has_priority = under->has_priority;
    }
  if (merged->not_before_us == 0)
    merged->not_before_us = under->not_before_us;
  if (merged->expires_us == 0)
    merged->expires_us = under->expires_us;
  if (merged->queue == NULL)
    merged->queue = g_strdup (under->queue);
  if (merged->unique == NULL)
    {
      merged->unique = g_strdup (under->unique);
      merged->conflict = under->conflict;
    }
  if (under->headers != NULL)
    {
      g_hash_table_iter_init (&iter, under->headers);
      while (g_hash_table_iter_next (&iter, &name, &value))
        if (merged->headers == NULL || !g_hash_table_contains (merged->headers, name))
          strand_options_set_header (merged, name, value);
    }
  return merged;
}

/**
 * strand_options_set_timeout:
 * @self: options
 * @timeout_us: how long an attempt may run, in microseconds; -1 for no limit
 *
 * Limits how long an attempt may run. When the time is over it is told to stop, and stopped when the grace
 * is over; the call fails with %STRAND_ERROR_TIMED_OUT, unless retries are left.
 *
 * Since: 1.0
 */
void
strand_options_set_timeout (StrandOptions *self, gint64 timeout_us)
{
  g_return_if_fail (self != NULL);

  self->timeout_us = timeout_us;
}

/**
 * strand_options_get_timeout:
 * @self: options
 *
 * Says how long an attempt may run, as far as these options say it.
 *
 * Returns: microseconds, -1 for no limit, or %STRAND_UNSET
 * Since: 1.0
 */
gint64
strand_options_get_timeout (StrandOptions *self)
{
  g_return_val_if_fail (self != NULL, 0);

  return self->timeout_us;
}

/**
 * strand_options_set_ttl:
 * @self: options
 * @ttl_us: how long the record is kept after the end, in microseconds; -1 for ever
 *
 * Says how long the record is kept once the call has ended; it does not expire before that. For backends.
 *
 * Since: 1.0
 */
void
strand_options_set_ttl (StrandOptions *self, gint64 ttl_us)
{
  g_return_if_fail (self != NULL);

  self->ttl_us = ttl_us;
}

/**
 * strand_options_get_ttl:
 * @self: options
 *
 * Says how long the record is kept, as far as these options say it.
 *
 * Returns: microseconds, -1 for ever, or %STRAND_UNSET
 * Since: 1.0
 */
gint64
strand_options_get_ttl (StrandOptions *self)
{
  g_return_val_if_fail (self != NULL, 0);

  return self->ttl_us;
}

/**
 * strand_options_set_retries:
 * @self: options
 * @retries: how many further attempts follow a failed one
 *
 * Lets a call be tried again that failed. For backends.
 *
 * Since: 1.0
 */
void
strand_options_set_retries (StrandOptions *self, int retries)
{
  g_return_if_fail (self != NULL);

  self->retries = retries;
}

/**
 * strand_options_get_retries:
 * @self: options
 *
 * Says how many attempts may follow a failed one, as far as these options say it.
 *
 * Returns: how many, or -1 where it is not set
 * Since: 1.0
 */
int
strand_options_get_retries (StrandOptions *self)
{
  g_return_val_if_fail (self != NULL, 0);

  return self->retries;
}

/**
 * strand_options_set_not_before:
 * @self: options
 * @time_us: wall time in microseconds before which it does not start; 0 for none
 *
 * Lets the call wait for its time. For backends.
 *
 * Since: 1.0
 */
void
strand_options_set_not_before (StrandOptions *self, gint64 time_us)
{
  g_return_if_fail (self != NULL);

  self->not_before_us = time_us;
}

/**
 * strand_options_get_not_before:
 * @self: options
 *
 * Says when the call may start, as far as these options say it.
 *
 * Returns: microseconds since 1970 UTC, or 0
 * Since: 1.0
 */
gint64
strand_options_get_not_before (StrandOptions *self)
{
  g_return_val_if_fail (self != NULL, 0);

  return self->not_before_us;
}

/**
 * strand_options_set_expires:
 * @self: options
 * @time_us: wall time in microseconds after which it is not started; 0 for none
 *
 * Fails the call with %STRAND_ERROR_EXPIRED if it has not started by then. For backends.
 *
 * Since: 1.0
 */
void
strand_options_set_expires (StrandOptions *self, gint64 time_us)
{
  g_return_if_fail (self != NULL);

  self->expires_us = time_us;
}

/**
 * strand_options_get_expires:
 * @self: options
 *
 * Says until when the call may start, as far as these options say it.
 *
 * Returns: microseconds since 1970 UTC, or 0
 * Since: 1.0
 */
gint64
strand_options_get_expires (StrandOptions *self)
{
  g_return_val_if_fail (self != NULL, 0);

  return self->expires_us;
}

/**
 * strand_options_set_priority:
 * @self: options
 * @priority: higher runs earlier
 *
 * Lets the call start before others: in a queue one unit is worth 30 seconds of waiting, so that low ones
 * have their turn.
 *
 * Since: 1.0
 */
void
strand_options_set_priority (StrandOptions *self, int priority)
{
  g_return_if_fail (self != NULL);

  self->priority = priority;
  self->has_priority = TRUE;
}

/**
 * strand_options_get_priority:
 * @self: options
 *
 * Says how early the call runs, as far as these options say it.
 *
 * Returns: the priority, 0 by default
 * Since: 1.0
 */
int
strand_options_get_priority (StrandOptions *self)
{
  g_return_val_if_fail (self != NULL, 0);

  return self->priority;
}

/**
 * strand_options_set_queue:
 * @self: options
 * @queue: (nullable): the queue to wait in
 *
 * Names the queue, whose readers run the call. For backends whose calls readers run.
 *
 * Since: 1.0
 */
void
strand_options_set_queue (StrandOptions *self, const char *queue)
{
  g_return_if_fail (self != NULL);

  g_free (self->queue);
  self->queue = g_strdup (queue);
}

/**
 * strand_options_get_queue:
 * @self: options
 *
 * Says where the call waits, as far as these options say it.
 *
 * Returns: (nullable): the queue
 * Since: 1.0
 */
const char *
strand_options_get_queue (StrandOptions *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return self->queue;
}

/**
 * strand_options_set_conflict:
 * @self: options
 * @conflict: what happens if another call has the unique key
 *
 * Means something together with strand_options_set_unique() only.
 *
 * Since: 1.0
 */
void
strand_options_set_conflict (StrandOptions *self, StrandConflict conflict)
{
  g_return_if_fail (self != NULL);

  self->conflict = conflict;
}

/**
 * strand_options_get_conflict:
 * @self: options
 *
 * Says what becomes of a call whose unique key is taken.
 *
 * Returns: what happens if another call has the unique key; %STRAND_CONFLICT_KEEP by default
 * Since: 1.0
 */
StrandConflict
strand_options_get_conflict (StrandOptions *self)
{
  g_return_val_if_fail (self != NULL, STRAND_CONFLICT_KEEP);

  return self->conflict;
}

/**
 * strand_options_set_unique:
 * @self: options
 * @unique: (nullable): a key that only one pending or running call may have
 *
 * Keeps the call from being made twice at a time; strand_options_set_conflict() says what happens instead.
 * For backends whose calls readers run.
 *
 * Since: 1.0
 */
void
strand_options_set_unique (StrandOptions *self, const char *unique)
{
  g_return_if_fail (self != NULL);

  g_free (self->unique);
  self->unique = g_strdup (unique);
}

/**
 * strand_options_get_unique:
 * @self: options
 *
 * Says what no two calls may have at a time, as far as these options say it.
 *
 * Returns: (nullable): the unique key
 * Since: 1.0
 */
const char *
strand_options_get_unique (StrandOptions *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return self->unique;
}

/**
 * strand_options_set_key:
 * @self: options
 * @key: (nullable): the call's own key
 *
 * Chooses what the call is known by, for one call only. If a record has the key already, the call fails
 * with %STRAND_ERROR_EXISTS.
 *
 * Since: 1.0
 */
void
strand_options_set_key (StrandOptions *self, const char *key)
{
  g_return_if_fail (self != NULL);

  g_free (self->key);
  self->key = g_strdup (key);
}

/**
 * strand_options_get_key:
 * @self: options
 *
 * Says what the call is to be known by, as far as these options say it.
 *
 * Returns: (nullable): the key
 * Since: 1.0
 */
const char *
strand_options_get_key (StrandOptions *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return self->key;
}

/**
 * strand_options_set_header:
 * @self: options
 * @name: a header's name
 * @value: its value
 *
 * Sends a header along with the call, for middleware.
 *
 * Since: 1.0
 */
void
strand_options_set_header (StrandOptions *self, const char *name, const char *value)
{
  g_return_if_fail (self != NULL && name != NULL && value != NULL);

  if (self->headers == NULL)
    self->headers = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  g_hash_table_insert (self->headers, g_strdup (name), g_strdup (value));
}

/**
 * strand_options_get_headers:
 * @self: options
 *
 * Says what travels with the call, as far as these options say it.
 *
 * Returns: (nullable) (transfer none) (element-type utf8 utf8): the headers
 * Since: 1.0
 */
GHashTable *
strand_options_get_headers (StrandOptions *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return self->headers;
}

/**
 * strand_options_take_data: (skip)
 * @self: options
 * @data: a pointer for the function
 * @destroy: (nullable): frees @data
 *
 * Gives the function a pointer, strand_context_get_data(). Such a call stays in this process. The data goes
 * over to the call that these options are given to, and @destroy runs in the main context of the caller.
 *
 * Since: 1.0
 */
void
strand_options_take_data (StrandOptions *self, gpointer data, GDestroyNotify destroy)
{
  g_return_if_fail (self != NULL);

  if (self->data_destroy != NULL)
    self->data_destroy (self->data);
  self->data = data;
  self->data_destroy = destroy;
}
