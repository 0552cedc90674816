/* metrics-text.h — numbers about calls, as Prometheus reads them.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "metrics-table.h"

G_BEGIN_DECLS

/* A label's name: letters, digits, '_', not starting with a digit or two '_', and none of our own. */
gboolean metrics_label_is_usable (const char *name);

/* @labels: (nullable): NAME and value in turn, on every sample. @gauges: what is running now, too. */
char *metrics_to_text (MetricsSnapshot *snapshot, const char *const *labels, gboolean gauges);

G_END_DECLS
