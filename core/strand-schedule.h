/* strand-schedule.h — leaves a call in a store again and again: each so often, or by a cron line.
 *
 * When the next call is due stands in the store, not here. Any number of programs may start the same
 * schedule: for each time one of them leaves the call, and whoever reads the queue runs it.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-store.h"

G_BEGIN_DECLS

/**
 * StrandMissed:
 * @STRAND_MISSED_SKIP: nothing follows of them
 * @STRAND_MISSED_ONCE: one call, for the last of them
 * @STRAND_MISSED_ALL: a call for each, up to `max-missed`, the last ones
 *
 * What to do about times at which no program was there to leave the call.
 *
 * Since: 1.0
 */
typedef enum
{
  STRAND_MISSED_SKIP,
  STRAND_MISSED_ONCE,
  STRAND_MISSED_ALL,
} StrandMissed;

#define STRAND_TYPE_MISSED (strand_missed_get_type ())
STRAND_AVAILABLE_IN_ALL
GType strand_missed_get_type (void);

/**
 * STRAND_HEADER_SCHEDULE:
 *
 * The header of a scheduled call that names its schedule.
 *
 * Since: 1.0
 */
#define STRAND_HEADER_SCHEDULE "strand.schedule"

/**
 * STRAND_HEADER_SCHEDULED_FOR:
 *
 * The header of a scheduled call that says which time it is for, as ISO 8601 in UTC: by it a function knows
 * what it is late for.
 *
 * Since: 1.0
 */
#define STRAND_HEADER_SCHEDULED_FOR "strand.scheduled-for"

#define STRAND_TYPE_SCHEDULE (strand_schedule_get_type ())
STRAND_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (StrandSchedule, strand_schedule, STRAND, SCHEDULE, GObject)

STRAND_AVAILABLE_IN_ALL
StrandSchedule *strand_schedule_new (const char *name) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
const char *strand_schedule_get_name (StrandSchedule *self);

STRAND_AVAILABLE_IN_ALL
gboolean strand_schedule_start (StrandSchedule *self, GError **error);

STRAND_AVAILABLE_IN_ALL
void strand_schedule_stop (StrandSchedule *self);

/* Leaves a call now, whenever the next one is due; returns its key. */
STRAND_AVAILABLE_IN_ALL
char *strand_schedule_run (StrandSchedule *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
gboolean strand_schedule_set_paused (StrandSchedule *self, gboolean paused, GError **error);

/* What the store says of it; times in µs since 1970, 0 for none. */
STRAND_AVAILABLE_IN_ALL
gboolean strand_schedule_get_state (StrandSchedule *self, gint64 *next_us, gint64 *last_us, char **last_key,
                                    gboolean *paused, GError **error);

/* When it is due for the first time after @after_us; -1 with an error if it cannot be. Blocks on nothing. */
STRAND_AVAILABLE_IN_ALL
gint64 strand_schedule_next (StrandSchedule *self, gint64 after_us, GError **error);

G_END_DECLS
