/* strand-queue-private.h — what the files about queues share.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-queue.h"

G_BEGIN_DECLS

#define QUEUE_STATE_KIND "queue"
#define QUEUE_STATE_PREFIX "strand.queue."

gboolean queue_check_name (const char *name, GError **error);
gboolean queue_state_says_paused (StrandRecord *state);

typedef void (*QueueRecordFunc) (StrandRecord *record, gpointer data);

gboolean queue_for_each (StrandStore *store, const StrandFilter *filter, gint64 *n_left, QueueRecordFunc func,
                         gpointer data, GError **error);

gboolean strand_queue_drain_cancellable (StrandStore *store, const char *name, gint64 timeout_us,
                                         GCancellable *cancellable, GError **error);

G_END_DECLS
