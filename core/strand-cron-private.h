/* strand-cron-private.h — the five fields of a crontab, as a set of moments.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct _StrandCron StrandCron;

/* NULL with STRAND_ERROR_INVALID_ARGUMENT, which says what is wrong and what may be written. Also where the
 * line would never fire. @zone is referenced. */
StrandCron *strand_cron_new (const char *text, GTimeZone *zone, GError **error);
void strand_cron_free (StrandCron *self);

/* The first moment after @after_us, in µs since 1970. */
gint64 strand_cron_next (StrandCron *self, gint64 after_us);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (StrandCron, strand_cron_free)

G_END_DECLS
