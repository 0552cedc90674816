/* metrics-shared.h — totals of many programs in one record of a store.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "metrics-table.h"

G_BEGIN_DECLS

/* Adds what @now has beyond @before (nullable) to the record, once. Returns what the record then holds, or
 * NULL with nothing added. Blocks. */
MetricsSnapshot *metrics_shared_add (StrandStore *store, const char *key, guint max_functions,
                                     MetricsSnapshot *now, MetricsSnapshot *before, GError **error);

G_END_DECLS
