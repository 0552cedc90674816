/* strand-schedule-private.h — what the object, its times and its calls share.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-backend.h"
#include "strand-cron-private.h"
#include "strand-function.h"
#include "strand-options.h"
#include "strand-schedule.h"

G_BEGIN_DECLS

/* A name leaves room in keys for a prefix and a time. */
#define SCHEDULE_MAX_NAME 80

/* When it is due, understood. */
typedef struct
{
  StrandCron *cron; /* NULL: `every` counts */
  gint64 every_us;
  char *text; /* equal for equal timings */
} ScheduleTiming;

struct _StrandSchedule
{
  GObject parent_instance;

  char *name; /* set before it is started, as the others down to the lock */
  StrandStore *store;
  StrandBackend *backend;
  char *function;
  char *arguments;
  gint64 every_us; /* 0: not set */
  char *cron;
  char *time_zone;
  StrandMissed missed;
  guint max_missed;
  gint64 tolerance_us;
  char *queue;
  gint64 timeout_us; /* -1: whoever reads it decides, as for retries */
  gint64 ttl_us;     /* -1: the store decides */
  gint64 expires_us; /* after the time it is for; -1: never */
  int retries;
  int priority;
  char *unique;
  StrandConflict conflict;
  ScheduleTiming *timing; /* made by start */

  GMutex lock; /* guards everything below */
  GCond changed;
  gboolean started;
  gboolean ticking; /* a thread is at it */
  gboolean again;   /* and has to look once more */
  gint64 next_us;   /* what it has found: wall time, G_MAXINT64 for never */
  guint64 timer;
  guint n_alarms; /* the number of the latest */
  guint watch;

  /* Whoever ticks. */
  gboolean adopted; /* the record in the store has had our timing */
  char *trouble;    /* what was warned of last */
};

/* strand-schedule-times.c */
ScheduleTiming *schedule_timing_new (gint64 every_us, const char *cron, const char *zone, const char **key,
                                     GError **error);
void schedule_timing_free (ScheduleTiming *self);
gint64 schedule_timing_next (ScheduleTiming *self, gint64 after_us);
GArray *schedule_timing_list_last (ScheduleTiming *self, gint64 first_us, gint64 until_us, guint limit);

/* strand-schedule-state.c: what stands in the store. */
StrandStore *schedule_peek_store (StrandSchedule *self);
char *schedule_record_key (StrandSchedule *self);
gboolean schedule_tick (StrandSchedule *self, gint64 *next_us, GError **problem, GError **error);
gboolean schedule_change_paused (StrandSchedule *self, gboolean paused, GError **error);
char *schedule_run_now (StrandSchedule *self, GError **error);
gboolean schedule_read_paused (StrandRecord *record);

/* strand-schedule-wait.c */
void schedule_want_tick_locked (StrandSchedule *self);
void schedule_disarm_locked (StrandSchedule *self);
gboolean schedule_look (StrandSchedule *self, gint64 *next_us, GError **error);
void schedule_go_on_locked (StrandSchedule *self, gint64 next_us);

/* strand-schedule-launch.c: the calls. */
GVariant *schedule_parse_arguments (StrandFunction *function, const char *text, GError **error);
gboolean schedule_can_launch (StrandSchedule *self, GError **error);
char *schedule_key_for (StrandSchedule *self, gint64 time_us);
gboolean schedule_launch (StrandSchedule *self, gint64 time_us, gint64 decided_us, GError **problem,
                          GError **error);

/* For keyfiles. */
void strand_schedule_set_name (StrandSchedule *self, const char *name);

G_END_DECLS
