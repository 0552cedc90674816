/* strand-work.h — a store as a queue: claiming calls, keeping them, settling them, and what they emit.
 *
 * Readers use these, and whoever writes something like one. All of them work on any store; see
 * strand-store.h for what a store may do faster. SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-life.h"
#include "strand-store.h"

G_BEGIN_DECLS

STRAND_AVAILABLE_IN_ALL
GPtrArray *strand_store_claim (StrandStore *self, const StrandClaim *claim, gint64 *next_due_us,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
gboolean strand_store_renew (StrandStore *self, StrandRenewal *renewals, guint n, GError **error);

STRAND_AVAILABLE_IN_ALL
void strand_store_get_batch (StrandStore *self, const char *const *keys, guint n, StrandRecord **records,
                             GError **errors);

STRAND_AVAILABLE_IN_ALL
guint strand_store_put_batch (StrandStore *self, StrandRecord *const *records, const guint64 *expected,
                              guint n, GError **errors);

/**
 * StrandChangeFunc:
 * @record: the record, to be changed
 * @user_data: what strand_store_change() was given
 *
 * Changes a record that will then be written; called again with a newer one if somebody else wrote first.
 *
 * Since: 1.0
 */
typedef void (*StrandChangeFunc) (StrandRecord *record, gpointer user_data);

STRAND_AVAILABLE_IN_ALL
StrandRecord *strand_store_change (StrandStore *self, StrandRecord *held, StrandChangeFunc func,
                                   gpointer user_data, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* @queue: (nullable): one queue, or NULL for all. Returns an id for strand_store_unwatch(). */
STRAND_AVAILABLE_IN_ALL
guint strand_store_watch_queue (StrandStore *self, const char *queue, StrandWatchFunc func,
                                gpointer user_data, GDestroyNotify destroy);

STRAND_AVAILABLE_IN_ALL
gboolean strand_store_append_items (StrandStore *self, const char *key, guint64 fence, guint64 first,
                                    GBytes *const *items, guint n, guint max_items, GError **error);

STRAND_AVAILABLE_IN_ALL
GPtrArray *strand_store_read_items (StrandStore *self, const char *key, guint64 fence, guint64 from,
                                    guint limit, guint64 *first, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* For threads with a main context. */
STRAND_AVAILABLE_IN_ALL
void strand_store_claim_async (StrandStore *self, const StrandClaim *claim, GCancellable *cancellable,
                               GAsyncReadyCallback callback, gpointer user_data);

STRAND_AVAILABLE_IN_ALL
GPtrArray *strand_store_claim_finish (StrandStore *self, GAsyncResult *result, gint64 *next_due_us,
                                      GError **error) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
void strand_store_renew_async (StrandStore *self, const char *key, guint64 fence, GCancellable *cancellable,
                               GAsyncReadyCallback callback, gpointer user_data);

STRAND_AVAILABLE_IN_ALL
gboolean strand_store_renew_finish (StrandStore *self, GAsyncResult *result, gboolean *cancel_requested,
                                    GError **error);

STRAND_AVAILABLE_IN_ALL
void strand_store_append_items_async (StrandStore *self, const char *key, guint64 fence, guint64 first,
                                      GBytes *const *items, guint n, guint max_items,
                                      GCancellable *cancellable, GAsyncReadyCallback callback,
                                      gpointer user_data);

STRAND_AVAILABLE_IN_ALL
gboolean strand_store_append_items_finish (StrandStore *self, GAsyncResult *result, GError **error);

STRAND_AVAILABLE_IN_ALL
void strand_store_read_items_async (StrandStore *self, const char *key, guint64 fence, guint64 from,
                                    guint limit, GCancellable *cancellable, GAsyncReadyCallback callback,
                                    gpointer user_data);

STRAND_AVAILABLE_IN_ALL
GPtrArray *strand_store_read_items_finish (StrandStore *self, GAsyncResult *result, guint64 *first,
                                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
