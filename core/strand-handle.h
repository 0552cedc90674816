/* strand-handle.h — the caller's view of one call.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-call.h"
#include "strand-store.h"

G_BEGIN_DECLS

#define STRAND_TYPE_HANDLE (strand_handle_get_type ())
STRAND_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (StrandHandle, strand_handle, STRAND, HANDLE, GObject)

STRAND_AVAILABLE_IN_ALL
StrandHandle *strand_handle_new_for_call (StrandCall *call) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
StrandHandle *strand_handle_new (StrandStore *store, const char *key,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
void strand_handle_new_async (StrandStore *store, const char *key, GCancellable *cancellable,
                              GAsyncReadyCallback callback, gpointer user_data);

STRAND_AVAILABLE_IN_ALL
StrandHandle *strand_handle_new_finish (GAsyncResult *result, GError **error) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
StrandCall *strand_handle_get_call (StrandHandle *self);

STRAND_AVAILABLE_IN_ALL
const char *strand_handle_get_key (StrandHandle *self);

STRAND_AVAILABLE_IN_ALL
StrandStatus strand_handle_get_status (StrandHandle *self);

STRAND_AVAILABLE_IN_ALL
gboolean strand_handle_is_ready (StrandHandle *self);

STRAND_AVAILABLE_IN_ALL
GVariant *strand_handle_get_result (StrandHandle *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
GObject *strand_handle_get_object (StrandHandle *self);

STRAND_AVAILABLE_IN_ALL
const GError *strand_handle_get_error (StrandHandle *self);

STRAND_AVAILABLE_IN_ALL
double strand_handle_get_progress (StrandHandle *self);

STRAND_AVAILABLE_IN_ALL
char *strand_handle_dup_message (StrandHandle *self) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
guint strand_handle_get_attempt (StrandHandle *self);

STRAND_AVAILABLE_IN_ALL
gint64 strand_handle_get_duration (StrandHandle *self);

STRAND_AVAILABLE_IN_ALL
GVariant *strand_handle_dup_metadata (StrandHandle *self) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
gboolean strand_handle_wait (StrandHandle *self, gint64 timeout_us, GError **error);

STRAND_AVAILABLE_IN_ALL
void strand_handle_wait_async (StrandHandle *self, GCancellable *cancellable, GAsyncReadyCallback callback,
                               gpointer user_data);

STRAND_AVAILABLE_IN_ALL
GVariant *strand_handle_wait_finish (StrandHandle *self, GAsyncResult *result,
                                     GError **error) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
gboolean strand_handle_cancel (StrandHandle *self);

G_END_DECLS
