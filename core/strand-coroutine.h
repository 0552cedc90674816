/* strand-coroutine.h — what a function can do besides when it runs as a coroutine.
 *
 * strand's own waits (sleeping, waiting for a call, emitting) park a coroutine by themselves, so most
 * functions need nothing of this. Yielding and awaiting make sense in a coroutine only and are errors
 * elsewhere.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-context.h"

G_BEGIN_DECLS

STRAND_AVAILABLE_IN_ALL
gboolean strand_coroutine_is_current (void);

STRAND_AVAILABLE_IN_ALL
gboolean strand_coroutine_yield (StrandContext *context, GError **error);

/**
 * StrandAwait:
 *
 * A GIO operation as a plain call, which parks a coroutine until it is done:
 *
 * |[<!-- language="C" -->
 * StrandAwait *await = strand_await_new (context);
 *
 * g_file_read_async (file, G_PRIORITY_DEFAULT, cancellable, strand_await_ready, await);
 * result = strand_await_finish (await, error);
 * stream = result != NULL ? g_file_read_finish (file, result, error) : NULL;
 * ]|
 *
 * Since: 1.0
 */
typedef struct _StrandAwait StrandAwait;

STRAND_AVAILABLE_IN_ALL
StrandAwait *strand_await_new (StrandContext *context) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
void strand_await_ready (GObject *source, GAsyncResult *result, gpointer await);

STRAND_AVAILABLE_IN_ALL
GAsyncResult *strand_await_finish (StrandAwait *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
