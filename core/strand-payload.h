/* strand-payload.h — arguments and values in and out of records.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-call.h"
#include "strand-record.h"
#include "strand-serializer.h"
#include "strand-store.h"

G_BEGIN_DECLS

/* The pending record of a call about to be stored: what the call and its options say. */
STRAND_AVAILABLE_IN_ALL
StrandRecord *strand_record_new_for_call (StrandCall *call, StrandSerializer *serializer,
                                          GError **error) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
gboolean strand_record_set_arguments (StrandRecord *self, GVariant *arguments, StrandSerializer *serializer,
                                      GError **error);

STRAND_AVAILABLE_IN_ALL
GVariant *strand_record_dup_arguments (StrandRecord *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
gboolean strand_record_set_value (StrandRecord *self, GVariant *value, StrandSerializer *serializer,
                                  GError **error);

STRAND_AVAILABLE_IN_ALL
GVariant *strand_record_dup_value (StrandRecord *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* One item that the call emitted, of any type, as the record's serializer writes it; and back. */
STRAND_AVAILABLE_IN_ALL
GBytes *strand_record_write_item (StrandRecord *self, GVariant *item,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
GVariant *strand_record_read_item (StrandRecord *self, GBytes *bytes,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Fails a call as LOST whose program is certainly dead and that no reader may take. TRUE if it was one. */
STRAND_AVAILABLE_IN_ALL
gboolean strand_store_fail_lost (StrandStore *store, StrandRecord *record);

/* Fails a pending call as EXPIRED whose time is over. TRUE if it was one. */
STRAND_AVAILABLE_IN_ALL
gboolean strand_store_fail_expired (StrandStore *store, StrandRecord *record);

/* Launches a call again that failed or was cancelled: a new one, linked to it. Returns the new call's key. */
STRAND_AVAILABLE_IN_ALL
char *strand_store_retry_call (StrandStore *store, const char *key, const char *queue,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Asks the holder of a call to stop; settles the record where nobody holds it. FALSE without error: too late.
 */
STRAND_AVAILABLE_IN_ALL
gboolean strand_store_cancel_call (StrandStore *store, const char *key, GError **error);

STRAND_AVAILABLE_IN_ALL
void strand_store_cancel_call_async (StrandStore *store, const char *key, GCancellable *cancellable,
                                     GAsyncReadyCallback callback, gpointer user_data);

STRAND_AVAILABLE_IN_ALL
gboolean strand_store_cancel_call_finish (StrandStore *store, GAsyncResult *result, GError **error);

G_END_DECLS
