/* strand-queue-private.h — waiting for a queue, where one may be told to stop waiting.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-queue.h"

G_BEGIN_DECLS

gboolean strand_queue_drain_cancellable (StrandStore *store, const char *name, gint64 timeout_us,
                                         GCancellable *cancellable, GError **error);

G_END_DECLS
