/* strand-payload.c — arguments and values in and out of records.
 *
 * A record names the type of serializer that wrote it; one object of each type serves the whole process.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-payload.h"
#include "strand-blocking-private.h"
#include "strand-clock.h"
#include "strand-error.h"
#include "strand-flow-private.h"
#include "strand-lease.h"
#include "strand-life.h"
#include "strand-plugins.h"

/* How often a write is tried again when somebody else wrote in between. */
#define MAX_TRIES 64

/* What writes and reads payloads where nobody names a serializer. */
#define DEFAULT_SERIALIZER "json"

/* Where a call waits that had no queue. */
#define DEFAULT_QUEUE "default"

static StrandSerializer *
find_serializer (const char *type, GError **error)
{
  static GMutex lock;
  static GHashTable *serializers;
  StrandSerializer *found;
  GType gtype;

  g_mutex_lock (&lock);
  if (serializers == NULL)
    serializers = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_object_unref);
  found = g_hash_table_lookup (serializers, type);
  g_mutex_unlock (&lock);
  if (found != NULL)
    return found;

  gtype = strand_plugins_load (strand_plugins_get_default (), STRAND_KIND_SERIALIZER, type, error);
  if (gtype == 0)
    return NULL;
  found = g_object_new (gtype, NULL);

  g_mutex_lock (&lock);
  if (g_hash_table_contains (serializers, type))
    g_object_unref (found);
  else
    g_hash_table_insert (serializers, g_strdup (type), found);
  found = g_hash_table_lookup (serializers, type);
  g_mutex_unlock (&lock);
  return found;
}

/* Borrowed: it lives as long as the process. */
static StrandSerializer *
serializer_of (StrandRecord *self, GError **error)
{
  const char *type = strand_record_get_string (self, STRAND_FIELD_SERIALIZER);

  return find_serializer (type != NULL ? type : DEFAULT_SERIALIZER, error);
}

static gboolean
write_payload (StrandRecord *self, GVariant *value, StrandField type_field, StrandField bytes_field,
               StrandSerializer *serializer, GError **error)
{
  StrandSerializer *writer = serializer != NULL ? serializer : find_serializer (DEFAULT_SERIALIZER, error);
  g_autoptr(GBytes) bytes = NULL;

  if (writer == NULL)
    return FALSE;
  bytes = strand_serializer_serialize (writer, value, error);
  if (bytes == NULL)
    return FALSE;
  strand_record_set_string (self, STRAND_FIELD_SERIALIZER,
                            strand_plugins_get_type_name (G_OBJECT_TYPE (writer)));
  strand_record_set_string (self, type_field, g_variant_get_type_string (value));
  strand_record_set_bytes (self, bytes_field, bytes);
  return TRUE;
}

static GVariant *
read_payload (StrandRecord *self, StrandField type_field, StrandField bytes_field, GError **error)
{
  const char *type = strand_record_get_string (self, type_field);
  GBytes *bytes = strand_record_get_bytes (self, bytes_field);
  StrandSerializer *reader;
  GVariant *value = NULL;

  if (type == NULL || bytes == NULL)
    return g_variant_ref_sink (g_variant_new_tuple (NULL, 0));
  if (!g_variant_type_string_is_valid (type) || !g_variant_type_is_definite (G_VARIANT_TYPE (type)))
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT, "Could not read record '%s': '%s' is no type",
                   strand_record_get_key (self), type);
      return NULL;
    }
  reader = serializer_of (self, error);
  if (reader != NULL)
    value = strand_serializer_deserialize (reader, bytes, G_VARIANT_TYPE (type), error);
  if (value == NULL)
    g_prefix_error (error, "Could not read the %s of record '%s': ",
                    bytes_field == STRAND_FIELD_VALUE ? "value" : "arguments", strand_record_get_key (self));
  return value;
}

/**
 * strand_record_new_for_call:
 * @call: a call about to be stored
 * @serializer: (nullable): what writes the arguments; `NULL` for `json`
 * @error: return location for a #GError
 *
 * Makes the pending record of a call: its key, function, arguments, headers, and what its options say. An
 * option that is not set leaves the field at -1 (timeout, ttl, retries) or unset, for the backend or the
 * store to fill. A key of the caller's own may have been another call's, see strand_record_begin_life(). Any
 * thread; does not block.
 *
 * Returns: (transfer full) (nullable): a record without lease, at revision 0; or `NULL` with a plugin's error
 * or the serializer's
 *
 * Since: 1.0
 */
StrandRecord *
strand_record_new_for_call (StrandCall *call, StrandSerializer *serializer, GError **error)
{
  g_autoptr(StrandRecord) self = NULL;
  g_autoptr(GVariant) headers = NULL;
  StrandOptions *options;
  gint64 ttl_us, timeout_us, created_us;

  g_return_val_if_fail (call != NULL, NULL);

  self = strand_record_new (strand_call_get_key (call));
  strand_record_begin_life (self);
  headers = strand_call_dup_headers (call);
  options = strand_call_get_options (call);
  ttl_us = strand_options_get_ttl (options);
  timeout_us = strand_options_get_timeout (options);
  strand_call_get_times (call, &created_us, NULL, NULL);
  strand_record_set_string (self, STRAND_FIELD_FUNCTION, strand_call_get_function_name (call));
  if (strand_flow_is_name (strand_call_get_function_name (call)))
    strand_record_set_string (self, STRAND_FIELD_KIND, STRAND_FLOW_KIND);
  strand_record_set_int (self, STRAND_FIELD_CREATED, created_us > 0 ? created_us : strand_clock_now_us ());
  strand_record_set_int (self, STRAND_FIELD_TTL,
                         ttl_us == STRAND_UNSET ? -1
                         : ttl_us < 0           ? G_MAXINT64
                                                : ttl_us);
  strand_record_set_int (self, STRAND_FIELD_TIMEOUT, timeout_us == STRAND_UNSET ? -1 : timeout_us);
  strand_record_set_int (self, STRAND_FIELD_RETRIES, strand_options_get_retries (options));
  strand_record_set_int (self, STRAND_FIELD_PRIORITY, strand_options_get_priority (options));
  strand_record_set_int (self, STRAND_FIELD_NOT_BEFORE, strand_options_get_not_before (options));
  strand_record_set_int (self, STRAND_FIELD_EXPIRES, strand_options_get_expires (options));
  strand_record_set_string (self, STRAND_FIELD_QUEUE, strand_options_get_queue (options));
  strand_record_set_string (self, STRAND_FIELD_UNIQUE, strand_options_get_unique (options));
  if (g_variant_n_children (headers) > 0)
    strand_record_set_variant (self, STRAND_FIELD_HEADERS, headers);
  if (!strand_record_set_arguments (self, strand_call_get_arguments (call), serializer, error))
    return NULL;
  return g_steal_pointer (&self);
}

/**
 * strand_record_set_arguments:
 * @self: a record
 * @arguments: a tuple
 * @serializer: (nullable): what writes the payload; `NULL` for `json`
 * @error: return location for a #GError
 *
 * Writes the arguments, and the serializer's name, into a record. Any thread; does not block.
 *
 * Returns: %TRUE, or %FALSE with a plugin's error or the serializer's
 * Since: 1.0
 */
gboolean
strand_record_set_arguments (StrandRecord *self, GVariant *arguments, StrandSerializer *serializer,
                             GError **error)
{
  g_return_val_if_fail (self != NULL && arguments != NULL, FALSE);

  return write_payload (self, arguments, STRAND_FIELD_ARGUMENTS_TYPE, STRAND_FIELD_ARGUMENTS, serializer,
                        error);
}

gboolean
strand_record_rewrite_arguments (StrandRecord *self, GVariant *arguments, GError **error)
{
  StrandSerializer *serializer = serializer_of (self, error);

  return serializer != NULL && strand_record_set_arguments (self, arguments, serializer, error);
}

/**
 * strand_record_dup_arguments:
 * @self: a record
 * @error: return location for a #GError
 *
 * Any thread; does not block.
 *
 * Returns: (transfer full) (nullable): the arguments; or `NULL` with %STRAND_ERROR_CORRUPT or a plugin's
 * error
 *
 * Since: 1.0
 */
GVariant *
strand_record_dup_arguments (StrandRecord *self, GError **error)
{
  g_return_val_if_fail (self != NULL, NULL);

  return read_payload (self, STRAND_FIELD_ARGUMENTS_TYPE, STRAND_FIELD_ARGUMENTS, error);
}

/**
 * strand_record_set_value:
 * @self: a record
 * @value: (nullable): the value; `NULL` for none
 * @serializer: (nullable): what wrote the arguments; `NULL` for what the record names
 * @error: return location for a #GError
 *
 * Writes the value into a record. Any thread; does not block.
 *
 * Returns: %TRUE, or %FALSE with a plugin's error or the serializer's
 * Since: 1.0
 */
gboolean
strand_record_set_value (StrandRecord *self, GVariant *value, StrandSerializer *serializer, GError **error)
{
  g_return_val_if_fail (self != NULL, FALSE);

  if (value == NULL)
    {
      strand_record_set_string (self, STRAND_FIELD_VALUE_TYPE, NULL);
      strand_record_set_bytes (self, STRAND_FIELD_VALUE, NULL);
      return TRUE;
    }
  if (serializer == NULL)
    serializer = serializer_of (self, error);
  return serializer != NULL &&
         write_payload (self, value, STRAND_FIELD_VALUE_TYPE, STRAND_FIELD_VALUE, serializer, error);
}

/**
 * strand_record_dup_value:
 * @self: a record
 * @error: return location for a #GError
 *
 * Any thread; does not block.
 *
 * Returns: (transfer full) (nullable): the value, `()` where there is none; or `NULL` with
 * %STRAND_ERROR_CORRUPT or a plugin's error
 *
 * Since: 1.0
 */
GVariant *
strand_record_dup_value (StrandRecord *self, GError **error)
{
  g_return_val_if_fail (self != NULL, NULL);

  return read_payload (self, STRAND_FIELD_VALUE_TYPE, STRAND_FIELD_VALUE, error);
}

/**
 * strand_record_write_item:
 * @self: the record of the call
 * @item: what it emitted
 * @error: return location for a #GError
 *
 * Writes one item for strand_store_append_items(): as a value of type `v`, by the record's serializer. Any
 * thread that may read the record; does not block.
 *
 * Returns: (transfer full) (nullable): the item's bytes; or `NULL` with a plugin's error or the serializer's
 * Since: 1.0
 */
GBytes *
strand_record_write_item (StrandRecord *self, GVariant *item, GError **error)
{
  StrandSerializer *writer;
  g_autoptr(GVariant) boxed = NULL;

  g_return_val_if_fail (self != NULL && item != NULL, NULL);

  writer = serializer_of (self, error);
  if (writer == NULL)
    return NULL;
  boxed = g_variant_ref_sink (g_variant_new_variant (item));
  return strand_serializer_serialize (writer, boxed, error);
}

/**
 * strand_record_read_item:
 * @self: the record of the call
 * @bytes: one of what strand_store_read_items() returned
 * @error: return location for a #GError
 *
 * Any thread that may read the record; does not block.
 *
 * Returns: (transfer full) (nullable): the item; or `NULL` with %STRAND_ERROR_CORRUPT or a plugin's error
 * Since: 1.0
 */
GVariant *
strand_record_read_item (StrandRecord *self, GBytes *bytes, GError **error)
{
  StrandSerializer *reader;
  g_autoptr(GVariant) boxed = NULL;

  g_return_val_if_fail (self != NULL && bytes != NULL, NULL);

  reader = serializer_of (self, error);
  if (reader == NULL)
    return NULL;
  boxed = strand_serializer_deserialize (reader, bytes, G_VARIANT_TYPE_VARIANT, error);
  return boxed != NULL ? g_variant_get_variant (boxed) : NULL;
}

/**
 * strand_store_fail_lost:
 * @store: where the record is
 * @record: a call's record as it was read
 *
 * A call that waits in no queue is carried out by the program that launched it; if that program is certainly
 * dead, nobody else will end the call. Then this does, as failed with %STRAND_ERROR_LOST. Blocks as the store
 * does.
 *
 * Returns: whether the call was lost and has been ended now, here or by somebody else meanwhile
 * Since: 1.0
 */
gboolean
strand_store_fail_lost (StrandStore *store, StrandRecord *record)
{
  g_autofree char *owner = NULL;
  g_autoptr(StrandRecord) lost = NULL;
  g_autoptr(GError) cause = NULL;

  g_return_val_if_fail (STRAND_IS_STORE (store) && record != NULL, FALSE);

  owner = g_strdup (strand_record_get_string (record, STRAND_FIELD_LEASE_OWNER));
  if (strand_status_is_terminal (strand_record_get_status (record)) || owner == NULL ||
      strand_record_get_string (record, STRAND_FIELD_QUEUE) != NULL ||
      strand_lease_owner_probe (owner) != STRAND_OWNER_STATE_DEAD)
    return FALSE;

  lost = strand_record_copy (record);
  cause = g_error_new (STRAND_ERROR, STRAND_ERROR_LOST,
                       "The program that ran the call ended without finishing it");
  strand_record_add_cause (lost, owner, cause);
  strand_record_end (lost, STRAND_STATUS_FAILED, strand_clock_now_us ());
  /* STALE: somebody else was first. */
  strand_store_put (store, lost, strand_record_get_revision (record), NULL);
  return TRUE;
}

/**
 * strand_store_fail_expired:
 * @store: where the record is
 * @record: a call's record as it was read
 *
 * A call that waits in a queue beyond its expiry will not be started any more; if nobody has said so yet,
 * this does, as failed with %STRAND_ERROR_EXPIRED. Blocks as the store does.
 *
 * Returns: whether the call had expired and has been ended now, here or by somebody else meanwhile
 * Since: 1.0
 */
gboolean
strand_store_fail_expired (StrandStore *store, StrandRecord *record)
{
  gint64 expires_us, now_us = strand_clock_now_us ();
  g_autoptr(StrandRecord) expired = NULL;
  g_autoptr(GError) cause = NULL;

  g_return_val_if_fail (STRAND_IS_STORE (store) && record != NULL, FALSE);

  expires_us = strand_record_get_int (record, STRAND_FIELD_EXPIRES);
  if (expires_us == 0 || now_us <= expires_us || !strand_record_is_waiting (record, NULL))
    return FALSE;

  expired = strand_record_copy (record);
  cause =
      g_error_new (STRAND_ERROR, STRAND_ERROR_EXPIRED, "The call of '%s' was not started before it expired",
                   strand_record_get_string (record, STRAND_FIELD_FUNCTION));
  strand_record_add_cause (expired, "", cause);
  strand_record_end (expired, STRAND_STATUS_FAILED, now_us);
  /* STALE: somebody else was first. */
  if (strand_store_put (store, expired, strand_record_get_revision (record), NULL))
    strand_flow_member_ended (store, expired);
  return TRUE;
}

/* What the new call keeps of the old one: what was asked, nothing of what came of it. */
static StrandRecord *
make_again (StrandRecord *old, const char *queue)
{
  static const StrandField kept[] = { STRAND_FIELD_FUNCTION, STRAND_FIELD_SERIALIZER, STRAND_FIELD_QUEUE,
                                      STRAND_FIELD_ARGUMENTS_TYPE };
  static const StrandField kept_ints[] = { STRAND_FIELD_PRIORITY, STRAND_FIELD_TIMEOUT, STRAND_FIELD_TTL,
                                           STRAND_FIELD_RETRIES };
  g_autofree char *key = strand_key_new ();
  StrandRecord *record = strand_record_new (key);

  for (guint i = 0; i < G_N_ELEMENTS (kept); i++)
    strand_record_set_string (record, kept[i], strand_record_get_string (old, kept[i]));
  for (guint i = 0; i < G_N_ELEMENTS (kept_ints); i++)
    strand_record_set_int (record, kept_ints[i], strand_record_get_int (old, kept_ints[i]));
  strand_record_set_bytes (record, STRAND_FIELD_ARGUMENTS,
                           strand_record_get_bytes (old, STRAND_FIELD_ARGUMENTS));
  strand_record_set_variant (record, STRAND_FIELD_HEADERS,
                             strand_record_get_variant (old, STRAND_FIELD_HEADERS));
  strand_record_set_string (record, STRAND_FIELD_RETRY_OF, strand_record_get_key (old));
  strand_record_set_int (record, STRAND_FIELD_CREATED, strand_clock_now_us ());
  strand_flow_drop_headers (record); /* its flow has gone on without it */
  if (queue != NULL)
    strand_record_set_string (record, STRAND_FIELD_QUEUE, queue);
  return record;
}

/**
 * strand_store_retry_call:
 * @store: where the record is
 * @key: the key of a call that failed or was cancelled
 * @queue: (nullable): where the new call waits; `NULL` for the old one's queue, or `default` if it had none
 * @error: return location for a #GError
 *
 * Leaves the same call for a reader once more, as a new one whose record names the old one in `retry-of`; the
 * old one stays as it is. Blocks as the store does.
 *
 * Returns: (transfer full) (nullable): the new call's key; or `NULL` with %STRAND_ERROR_INVALID_ARGUMENT if
 * the call has not ended or has a value, %STRAND_ERROR_NOT_FOUND, or what the store says
 *
 * Since: 1.0
 */
char *
strand_store_retry_call (StrandStore *store, const char *key, const char *queue, GError **error)
{
  g_autoptr(StrandRecord) old = NULL;
  g_autoptr(StrandRecord) record = NULL;
  StrandStatus status;

  g_return_val_if_fail (STRAND_IS_STORE (store) && key != NULL, NULL);

  old = strand_store_get (store, key, error);
  if (old == NULL)
    return NULL;
  status = strand_record_get_status (old);
  if (status != STRAND_STATUS_FAILED && status != STRAND_STATUS_CANCELLED)
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
                   "Could not retry call '%s': it is %s; calls that failed or were cancelled can be retried",
                   key, strand_status_to_string (status));
      return NULL;
    }
  if (queue == NULL && strand_record_get_string (old, STRAND_FIELD_QUEUE) == NULL)
    queue = DEFAULT_QUEUE;
  record = make_again (old, queue);
  if ((strand_flow_is_one (old) && !strand_flow_make_again (store, old, record, error)) ||
      !strand_store_put (store, record, 0, error))
    {
      g_prefix_error (error, "Could not retry call '%s': ", key);
      return NULL;
    }
  if (strand_flow_is_one (record))
    strand_store_advance_flow (store, strand_record_get_key (record), NULL);
  return g_strdup (strand_record_get_key (record));
}

/* Whether somebody is there to hear of it. A pending record that waits for a reader has no owner. */
static gboolean
has_live_holder (StrandRecord *record)
{
  const char *owner = strand_record_get_string (record, STRAND_FIELD_LEASE_OWNER);

  return owner != NULL && strand_lease_owner_probe (owner) != STRAND_OWNER_STATE_DEAD;
}

static void
write_cancellation (StrandRecord *record)
{
  strand_record_set_int (record, STRAND_FIELD_CANCEL_REQUESTED, TRUE);
  if (has_live_holder (record) || strand_flow_is_one (record))
    return;
  strand_record_end (record, STRAND_STATUS_CANCELLED, strand_clock_now_us ());
}

/* @asked: (out): the record as it is now, where that is known */
gboolean
strand_store_request_cancel (StrandStore *store, const char *key, StrandRecord **asked, GError **error)
{
  for (guint i = 0; i < MAX_TRIES; i++)
    {
      g_autoptr(StrandRecord) record = strand_store_get (store, key, error);
      g_autoptr(GError) local = NULL;

      if (record == NULL || strand_status_is_terminal (strand_record_get_status (record)))
        return FALSE;
      if (strand_record_get_int (record, STRAND_FIELD_CANCEL_REQUESTED) &&
          (has_live_holder (record) || strand_flow_is_one (record)))
        {
          *asked = g_steal_pointer (&record);
          return TRUE;
        }
      write_cancellation (record);
      if (strand_store_put (store, record, strand_record_get_revision (record), &local))
        {
          *asked = g_steal_pointer (&record);
          return TRUE;
        }
      if (!g_error_matches (local, STRAND_ERROR, STRAND_ERROR_STALE))
        {
          g_propagate_prefixed_error (error, g_steal_pointer (&local), "Could not cancel call '%s': ", key);
          return FALSE;
        }
    }
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_STALE,
               "Could not cancel call '%s': its record changed at each of %d tries", key, MAX_TRIES);
  return FALSE;
}

/**
 * strand_store_cancel_call:
 * @store: where the record is
 * @key: a call's key
 * @error: return location for a #GError
 *
 * Asks whoever holds a call to stop it; where nobody does, ends it here. Of a flow, every part that has not
 * ended is asked, and no other is started. Blocks as the store does.
 *
 * Returns: %TRUE if that was requested; %FALSE without error if the call has ended; %FALSE with
 *   %STRAND_ERROR_NOT_FOUND or what the store says
 * Since: 1.0
 */
gboolean
strand_store_cancel_call (StrandStore *store, const char *key, GError **error)
{
  g_autoptr(StrandRecord) asked = NULL;

  g_return_val_if_fail (STRAND_IS_STORE (store) && key != NULL, FALSE);

  if (!strand_store_request_cancel (store, key, &asked, error))
    return FALSE;
  /* What follows in a flow is done by others if it cannot be done here. */
  if (strand_flow_is_one (asked))
    strand_store_advance_flow (store, key, NULL);
  else
    strand_flow_member_ended (store, asked);
  return TRUE;
}

static void
cancel_in_thread (GTask *task)
{
  GError *error = NULL;
  gboolean requested =
      strand_store_cancel_call (g_task_get_source_object (task), g_task_get_task_data (task), &error);

  if (error != NULL)
    g_task_return_error (task, error);
  else
    g_task_return_boolean (task, requested);
}

/**
 * strand_store_cancel_call_async:
 * @store: where the record is
 * @key: a call's key
 * @cancellable: (nullable): stops it if it has not begun
 * @callback: (scope async) (closure user_data): what to call when it is done
 * @user_data: data for @callback
 *
 * Does strand_store_cancel_call() without blocking.
 *
 * Since: 1.0
 */
void
strand_store_cancel_call_async (StrandStore *store, const char *key, GCancellable *cancellable,
                                GAsyncReadyCallback callback, gpointer user_data)
{
  GTask *task;

  g_return_if_fail (STRAND_IS_STORE (store) && key != NULL);

  task = g_task_new (store, cancellable, callback, user_data);
  g_task_set_task_data (task, g_strdup (key), g_free);
  strand_blocking_run_task (task, cancel_in_thread);
}

/**
 * strand_store_cancel_call_finish:
 * @store: where the record is
 * @result: what the callback was given
 * @error: return location for a #GError
 *
 * Says what became of strand_store_cancel_call_async().
 *
 * Returns: as strand_store_cancel_call()
 * Since: 1.0
 */
gboolean
strand_store_cancel_call_finish (StrandStore *store, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, store), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}
