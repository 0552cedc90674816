/* strand-record.h — what a store keeps of a call: a fixed envelope and a payload.
 *
 * A record is a small table of fields. Each field has a name (the one of the JSON form and of database
 * columns) and a shape, so that a store copies, indexes and writes them in one loop and never lists them
 * itself. Records are not locked: whoever holds the only reference may change one; a record that has been
 * handed to somebody else is read-only (copy it first).
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-version.h"
#include <gio/gio.h>

G_BEGIN_DECLS

/**
 * StrandStatus:
 * @STRAND_STATUS_PENDING: not started
 * @STRAND_STATUS_RUNNING: a holder runs it now
 * @STRAND_STATUS_COMPLETED: ended with a value
 * @STRAND_STATUS_FAILED: ended with an error
 * @STRAND_STATUS_CANCELLED: ended because somebody asked for it
 *
 * Where a call stands. It only moves forward, except from running back to pending (a retry, or a worker
 * that gives the call back); the last three are final.
 *
 * Since: 1.0
 */
typedef enum
{
  STRAND_STATUS_PENDING,
  STRAND_STATUS_RUNNING,
  STRAND_STATUS_COMPLETED,
  STRAND_STATUS_FAILED,
  STRAND_STATUS_CANCELLED,
} StrandStatus;

#define STRAND_TYPE_STATUS (strand_status_get_type ())
STRAND_AVAILABLE_IN_ALL
GType strand_status_get_type (void);

STRAND_AVAILABLE_IN_ALL
gboolean strand_status_is_terminal (StrandStatus status);

STRAND_AVAILABLE_IN_ALL
const char *strand_status_to_string (StrandStatus status);

STRAND_AVAILABLE_IN_ALL
gboolean strand_status_from_string (const char *text, StrandStatus *status);

/**
 * StrandShape:
 * @STRAND_SHAPE_INT: a `gint64`; booleans are 0 and 1, times µs since 1970 UTC, durations µs, -1 for none
 * @STRAND_SHAPE_DOUBLE: a `double`; a progress that is unknown is -1
 * @STRAND_SHAPE_STRING: UTF-8 text, or `NULL`
 * @STRAND_SHAPE_VARIANT: a #GVariant of the field's type, or `NULL`
 * @STRAND_SHAPE_BYTES: a #GBytes, or `NULL`
 *
 * What a field holds.
 *
 * Since: 1.0
 */
typedef enum
{
  STRAND_SHAPE_INT,
  STRAND_SHAPE_DOUBLE,
  STRAND_SHAPE_STRING,
  STRAND_SHAPE_VARIANT,
  STRAND_SHAPE_BYTES,
} StrandShape;

/**
 * StrandField:
 * @STRAND_FIELD_KIND: string: `call` (the default), `group`, `schedule`, `unique`, …
 * @STRAND_FIELD_KEY: string: the record's key
 * @STRAND_FIELD_FUNCTION: string: the function's name
 * @STRAND_FIELD_STATUS: int: a #StrandStatus (its nick in text forms)
 * @STRAND_FIELD_REVISION: int: counts every write, from 1; 0 in a record never put
 * @STRAND_FIELD_FENCE: int: counts claims
 * @STRAND_FIELD_SERIALIZER: string: type name of the serializer that wrote the payload
 * @STRAND_FIELD_QUEUE: string: the queue it waits in; `NULL` where no reader may take it
 * @STRAND_FIELD_PRIORITY: int: higher runs earlier
 * @STRAND_FIELD_NOT_BEFORE: int: time before which it may not start, 0 for none
 * @STRAND_FIELD_EXPIRES: int: time after which it is not started any more, 0 for none
 * @STRAND_FIELD_UNIQUE: string: its unique key
 * @STRAND_FIELD_TIMEOUT: int: how long an attempt may run, µs, -1 for no limit
 * @STRAND_FIELD_TTL: int: how long it is kept after its end, µs, -1 for ever
 * @STRAND_FIELD_RETRIES: int: how many attempts may follow the first, -1 for as many as the reader says
 * @STRAND_FIELD_ATTEMPT: int: the attempt running, run last, or (pending again) to be run next, from 1; 0
 *   before the first
 * @STRAND_FIELD_CRASHES: int: how many workers died running it
 * @STRAND_FIELD_CREATED: int: when it was made
 * @STRAND_FIELD_STARTED: int: when the last attempt started, 0 before
 * @STRAND_FIELD_COMPLETED: int: when it ended, 0 before
 * @STRAND_FIELD_LEASE_OWNER: string: who holds it, as strand_lease_owner_self() writes it
 * @STRAND_FIELD_LEASE_COUNTER: int: grows at every renewal
 * @STRAND_FIELD_CANCEL_REQUESTED: int: 1 when somebody asked the holder to stop
 * @STRAND_FIELD_PROGRESS: double: 0 to 1, or -1 while unknown
 * @STRAND_FIELD_MESSAGE: string: what the function says it is doing
 * @STRAND_FIELD_ITEMS: int: how many items the attempt has emitted, as far as it is known
 * @STRAND_FIELD_RETRY_OF: string: key of the call that this one repeats
 * @STRAND_FIELD_HEADERS: variant `a{ss}`: what middleware sends along
 * @STRAND_FIELD_METADATA: variant `a{sv}`: what the function set
 * @STRAND_FIELD_WARNINGS: variant `as`: trouble that did not change the outcome
 * @STRAND_FIELD_CAUSES: variant `a(usxssis)`: one entry for each failed attempt: attempt,
 *   worker, time, error domain, error code's nick (or ""), error code, message; the last is the call's error
 * @STRAND_FIELD_ARGUMENTS_TYPE: string: GVariant type of the arguments
 * @STRAND_FIELD_ARGUMENTS: bytes: the arguments as the serializer wrote them
 * @STRAND_FIELD_VALUE_TYPE: string: GVariant type of the value
 * @STRAND_FIELD_VALUE: bytes: the value as the serializer wrote it
 *
 * The fields of a record, in the order in which they are written.
 *
 * Since: 1.0
 */
typedef enum
{
  STRAND_FIELD_KIND,
  STRAND_FIELD_KEY,
  STRAND_FIELD_FUNCTION,
  STRAND_FIELD_STATUS,
  STRAND_FIELD_REVISION,
  STRAND_FIELD_FENCE,
  STRAND_FIELD_SERIALIZER,
  STRAND_FIELD_QUEUE,
  STRAND_FIELD_PRIORITY,
  STRAND_FIELD_NOT_BEFORE,
  STRAND_FIELD_EXPIRES,
  STRAND_FIELD_UNIQUE,
  STRAND_FIELD_TIMEOUT,
  STRAND_FIELD_TTL,
  STRAND_FIELD_RETRIES,
  STRAND_FIELD_ATTEMPT,
  STRAND_FIELD_CRASHES,
  STRAND_FIELD_CREATED,
  STRAND_FIELD_STARTED,
  STRAND_FIELD_COMPLETED,
  STRAND_FIELD_LEASE_OWNER,
  STRAND_FIELD_LEASE_COUNTER,
  STRAND_FIELD_CANCEL_REQUESTED,
  STRAND_FIELD_PROGRESS,
  STRAND_FIELD_MESSAGE,
  STRAND_FIELD_ITEMS,
  STRAND_FIELD_RETRY_OF,
  STRAND_FIELD_HEADERS,
  STRAND_FIELD_METADATA,
  STRAND_FIELD_WARNINGS,
  STRAND_FIELD_CAUSES,
  STRAND_FIELD_ARGUMENTS_TYPE,
  STRAND_FIELD_ARGUMENTS,
  STRAND_FIELD_VALUE_TYPE,
  STRAND_FIELD_VALUE,
} StrandField;

/**
 * STRAND_N_FIELDS:
 *
 * How many fields a record has, for tables and loops over them.
 *
 * Since: 1.0
 */
#define STRAND_N_FIELDS (STRAND_FIELD_VALUE + 1)

STRAND_AVAILABLE_IN_ALL
const char *strand_field_get_name (StrandField field);

STRAND_AVAILABLE_IN_ALL
StrandShape strand_field_get_shape (StrandField field);

#define STRAND_TYPE_RECORD (strand_record_get_type ())
typedef struct _StrandRecord StrandRecord;

STRAND_AVAILABLE_IN_ALL
GType strand_record_get_type (void);

STRAND_AVAILABLE_IN_ALL
StrandRecord *strand_record_new (const char *key) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
StrandRecord *strand_record_copy (StrandRecord *self) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
StrandRecord *strand_record_ref (StrandRecord *self);

STRAND_AVAILABLE_IN_ALL
void strand_record_unref (StrandRecord *self);

STRAND_AVAILABLE_IN_ALL
const char *strand_record_get_key (StrandRecord *self);

STRAND_AVAILABLE_IN_ALL
StrandStatus strand_record_get_status (StrandRecord *self);

STRAND_AVAILABLE_IN_ALL
guint64 strand_record_get_revision (StrandRecord *self);

STRAND_AVAILABLE_IN_ALL
gint64 strand_record_get_int (StrandRecord *self, StrandField field);

STRAND_AVAILABLE_IN_ALL
void strand_record_set_int (StrandRecord *self, StrandField field, gint64 value);

STRAND_AVAILABLE_IN_ALL
double strand_record_get_double (StrandRecord *self, StrandField field);

STRAND_AVAILABLE_IN_ALL
void strand_record_set_double (StrandRecord *self, StrandField field, double value);

STRAND_AVAILABLE_IN_ALL
const char *strand_record_get_string (StrandRecord *self, StrandField field);

STRAND_AVAILABLE_IN_ALL
void strand_record_set_string (StrandRecord *self, StrandField field, const char *value);

STRAND_AVAILABLE_IN_ALL
GVariant *strand_record_get_variant (StrandRecord *self, StrandField field);

STRAND_AVAILABLE_IN_ALL
void strand_record_set_variant (StrandRecord *self, StrandField field, GVariant *value);

STRAND_AVAILABLE_IN_ALL
GBytes *strand_record_get_bytes (StrandRecord *self, StrandField field);

STRAND_AVAILABLE_IN_ALL
void strand_record_set_bytes (StrandRecord *self, StrandField field, GBytes *value);

STRAND_AVAILABLE_IN_ALL
void strand_record_add_cause (StrandRecord *self, const char *worker, const GError *error);

STRAND_AVAILABLE_IN_ALL
GError *strand_record_dup_error (StrandRecord *self);

STRAND_AVAILABLE_IN_ALL
gboolean strand_record_is_expired (StrandRecord *self, gint64 now_us);

STRAND_AVAILABLE_IN_ALL
gboolean strand_record_check (StrandRecord *self, GError **error);

STRAND_AVAILABLE_IN_ALL
GBytes *strand_record_to_json (StrandRecord *self) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
StrandRecord *strand_record_from_json (GBytes *json, GError **error) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
gboolean strand_key_check (const char *key, GError **error);

STRAND_AVAILABLE_IN_ALL
gboolean strand_key_is_reserved (const char *key);

STRAND_AVAILABLE_IN_ALL
char *strand_key_new (void) G_GNUC_WARN_UNUSED_RESULT;

G_DEFINE_AUTOPTR_CLEANUP_FUNC (StrandRecord, strand_record_unref)

G_END_DECLS
