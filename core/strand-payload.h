/* strand-payload.h — arguments and values in and out of records.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-record.h"
#include "strand-serializer.h"
#include "strand-store.h"

G_BEGIN_DECLS

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

/* Fails a call as LOST whose program is certainly dead and that no reader may take. TRUE if it was one. */
STRAND_AVAILABLE_IN_ALL
gboolean strand_store_fail_lost (StrandStore *store, StrandRecord *record);

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
