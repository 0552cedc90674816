/* strand-context.h — what a running function is given.
 *
 * Valid from the function's start until it returns, on any thread that the function uses meanwhile.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-function.h"

G_BEGIN_DECLS

#define STRAND_TYPE_CONTEXT (strand_context_get_type ())
STRAND_AVAILABLE_IN_ALL
GType strand_context_get_type (void);

STRAND_AVAILABLE_IN_ALL
GCancellable *strand_context_get_cancellable (StrandContext *self);

STRAND_AVAILABLE_IN_ALL
gboolean strand_context_is_cancelled (StrandContext *self, GError **error);

STRAND_AVAILABLE_IN_ALL
gboolean strand_context_sleep (StrandContext *self, gint64 duration_us, GError **error);

STRAND_AVAILABLE_IN_ALL
gboolean strand_context_emit (StrandContext *self, GVariant *item, GError **error);

STRAND_AVAILABLE_IN_ALL
void strand_context_set_progress (StrandContext *self, double progress, const char *message);

STRAND_AVAILABLE_IN_ALL
void strand_context_set_metadata (StrandContext *self, const char *name, GVariant *value);

STRAND_AVAILABLE_IN_ALL
void strand_context_retry_after (StrandContext *self, gint64 delay_us);

STRAND_AVAILABLE_IN_ALL
void strand_context_never_retry (StrandContext *self);

STRAND_AVAILABLE_IN_ALL
void strand_context_take_object (StrandContext *self, GObject *object);

STRAND_AVAILABLE_IN_ALL
gpointer strand_context_get_data (StrandContext *self);

STRAND_AVAILABLE_IN_ALL
const char *strand_context_get_key (StrandContext *self);

STRAND_AVAILABLE_IN_ALL
guint strand_context_get_attempt (StrandContext *self);

STRAND_AVAILABLE_IN_ALL
gint64 strand_context_get_deadline (StrandContext *self);

STRAND_AVAILABLE_IN_ALL
GVariant *strand_context_dup_headers (StrandContext *self) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
void strand_context_log (StrandContext *self, GLogLevelFlags level, const char *format, ...)
    G_GNUC_PRINTF (3, 4);

G_END_DECLS
