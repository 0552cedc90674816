/* strand-payload.c — arguments and values in and out of records.
 *
 * A record names the type of serializer that wrote it; one object of each type serves the whole process.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-payload.h"
#include "strand-blocking-private.h"
#include "strand-clock.h"
#include "strand-error.h"
#include "strand-lease.h"
#include "strand-plugins.h"

/* How often a write is tried again when somebody else wrote in between. */
#define MAX_TRIES 64

/* What writes and reads payloads where nobody names a serializer. */
#define DEFAULT_SERIALIZER "json"

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

/**
 * strand_record_dup_arguments:
 * @self: a record
 * @error: return location for a #GError
 *
 * Any thread; does not block.
 *
 * Returns: (transfer full) (nullable): the arguments; or `NULL` with %STRAND_ERROR_CORRUPT or a plugin's
 * error Since: 1.0
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
 * %STRAND_ERROR_CORRUPT or a plugin's error Since: 1.0
 */
GVariant *
strand_record_dup_value (StrandRecord *self, GError **error)
{
  g_return_val_if_fail (self != NULL, NULL);

  return read_payload (self, STRAND_FIELD_VALUE_TYPE, STRAND_FIELD_VALUE, error);
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
  strand_record_set_int (lost, STRAND_FIELD_STATUS, STRAND_STATUS_FAILED);
  strand_record_set_int (lost, STRAND_FIELD_COMPLETED, strand_clock_now_us ());
  strand_record_set_string (lost, STRAND_FIELD_LEASE_OWNER, NULL);
  strand_record_add_cause (lost, owner, cause);
  /* STALE: somebody else was first. */
  strand_store_put (store, lost, strand_record_get_revision (record), NULL);
  return TRUE;
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
  if (has_live_holder (record))
    return;
  strand_record_set_int (record, STRAND_FIELD_STATUS, STRAND_STATUS_CANCELLED);
  strand_record_set_int (record, STRAND_FIELD_COMPLETED, strand_clock_now_us ());
  strand_record_set_string (record, STRAND_FIELD_LEASE_OWNER, NULL);
}

/**
 * strand_store_cancel_call:
 * @store: where the record is
 * @key: a call's key
 * @error: return location for a #GError
 *
 * Asks whoever holds a call to stop it; where nobody does, ends it here. Blocks as the store does.
 *
 * Returns: %TRUE if that was requested; %FALSE without error if the call has ended; %FALSE with
 *   %STRAND_ERROR_NOT_FOUND or what the store says
 * Since: 1.0
 */
gboolean
strand_store_cancel_call (StrandStore *store, const char *key, GError **error)
{
  g_return_val_if_fail (STRAND_IS_STORE (store) && key != NULL, FALSE);

  for (guint i = 0; i < MAX_TRIES; i++)
    {
      g_autoptr(StrandRecord) record = strand_store_get (store, key, error);
      g_autoptr(GError) local = NULL;

      if (record == NULL || strand_status_is_terminal (strand_record_get_status (record)))
        return FALSE;
      if (strand_record_get_int (record, STRAND_FIELD_CANCEL_REQUESTED) && has_live_holder (record))
        return TRUE;
      write_cancellation (record);
      if (strand_store_put (store, record, strand_record_get_revision (record), &local))
        return TRUE;
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
 * Returns: as strand_store_cancel_call()
 * Since: 1.0
 */
gboolean
strand_store_cancel_call_finish (StrandStore *store, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, store), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}
