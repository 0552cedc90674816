/* strand-reader.h — takes calls out of a store and runs them here.
 *
 * A reader claims pending calls of its queues under a lease, runs them on its taskrunner through its
 * middleware, and settles them. Any number of readers, in any processes, on any hosts that reach the store,
 * share the work; a reader that dies costs its calls a crash, and the others run them again.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-function.h"
#include "strand-store.h"
#include "strand-taskrunner.h"

G_BEGIN_DECLS

#define STRAND_TYPE_READER (strand_reader_get_type ())
STRAND_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (StrandReader, strand_reader, STRAND, READER, GObject)

/**
 * StrandResolveFunc:
 * @reader: the reader
 * @record: the record of a claimed call; read-only
 * @user_data: what strand_reader_set_resolver() was given
 * @error: return location for a #GError
 *
 * Finds the function that a stored call names. Runs on the reader's thread; must not block for long.
 *
 * Returns: (transfer full) (nullable): the function, or `NULL` with @error set: then the call fails
 * Since: 1.0
 */
typedef StrandFunction *(*StrandResolveFunc) (StrandReader *reader, StrandRecord *record, gpointer user_data,
                                              GError **error);

STRAND_AVAILABLE_IN_ALL
StrandReader *strand_reader_new (StrandStore *store, StrandTaskrunner *taskrunner,
                                 const char *const *queues) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
void strand_reader_set_resolver (StrandReader *self, StrandResolveFunc func, gpointer user_data,
                                 GDestroyNotify destroy);

STRAND_AVAILABLE_IN_ALL
gboolean strand_reader_listen (StrandReader *self, GError **error);

STRAND_AVAILABLE_IN_ALL
gboolean strand_reader_is_listening (StrandReader *self);

STRAND_AVAILABLE_IN_ALL
void strand_reader_pause (StrandReader *self);

STRAND_AVAILABLE_IN_ALL
void strand_reader_resume (StrandReader *self);

STRAND_AVAILABLE_IN_ALL
guint strand_reader_get_n_running (StrandReader *self);

STRAND_AVAILABLE_IN_ALL
StrandStore *strand_reader_get_store (StrandReader *self);

/* Blocks until nothing that is due is left and nothing runs, or @deadline_us (monotonic; -1 for none). */
STRAND_AVAILABLE_IN_ALL
gboolean strand_reader_wait_idle (StrandReader *self, gint64 deadline_us, GError **error);

/* Blocks: no new calls; those that run may end until @deadline_us (monotonic; -1: stop-timeout from now),
 * then they are stopped and given back. */
STRAND_AVAILABLE_IN_ALL
gboolean strand_reader_stop (StrandReader *self, gint64 deadline_us, GError **error);

/* Any thread, also a signal watch: a strand_reader_stop() that waits now gives back at once. */
STRAND_AVAILABLE_IN_ALL
void strand_reader_hurry (StrandReader *self);

STRAND_AVAILABLE_IN_ALL
void strand_reader_stop_async (StrandReader *self, gint64 deadline_us, GCancellable *cancellable,
                               GAsyncReadyCallback callback, gpointer user_data);

STRAND_AVAILABLE_IN_ALL
gboolean strand_reader_stop_finish (StrandReader *self, GAsyncResult *result, GError **error);

G_END_DECLS
