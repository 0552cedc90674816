/* process-pool.h — calls in a line, and the threads that take them to helper processes.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "process-helper.h"

G_BEGIN_DECLS

typedef struct _Keeper Keeper;

/* Lives until the last thread has ended, which may be after the taskrunner. */
typedef struct
{
  gatomicrefcount ref_count;

  HelperSettings settings; /* set before the first call, as the next ones */
  guint max_workers;
  guint min_idle;
  guint max_queued;
  guint64 max_calls;       /* of one helper; 0 for any */
  gint64 max_memory_bytes; /* -1 for any, as the next */
  gint64 idle_timeout_us;
  gint64 kill_after_us;

  GMutex lock; /* guards everything below */
  GCond room;  /* a call was taken from a full line */
  GCond quiet; /* a keeper has nothing to do, or has ended */

  StrandCall *first; /* the line: oldest first, linked by their runner data */
  StrandCall *last;
  guint n_queued;
  guint n_waiting;      /* callers who wait for room */
  GPtrArray *keepers;   /* of Keeper; those that take calls */
  guint n_threads;      /* theirs, and those that are about to end */
  GPtrArray *idle;      /* those that sleep; the last one has slept least */
  guint n_helpers;      /* that are ready */
  guint n_failures;     /* helpers in a row that died before they had done anything */
  gboolean proven;      /* a helper has done something */
  gint64 not_before_us; /* when the next helper may be started */
  gboolean closed;      /* takes no more calls */
  gboolean stopping;    /* threads end */
} Pool;

/* A call that a helper was sent. */
typedef struct
{
  StrandCall *call;
  guint64 number;
  GCancellable *cancellable; /* the call's, and what listens to it */
  gulong handler;
} Sent;

/* The one that the helper runs, and those that wait in its pipe: enough that it finds work whenever it looks.
 */
#define MAX_SENT 9

/* One thread and its helper. */
struct _Keeper
{
  gatomicrefcount ref_count;
  Pool *pool;
  int wake_fd;         /* eventfd: look at what has changed */
  int n_resumed;       /* atomic: how often the consumer of items said that it has room */
  Helper *helper;      /* the thread's own; guarded by the pool's lock where others look, as what follows */
  StrandCall *in_hand; /* taken from the line, and not sent yet */
  Sent sent[MAX_SENT]; /* oldest first; the first changes on the keeper's own thread only, while there is one
                        */
  guint n_sent;
  guint64 n_taken_back;
  gint64 kill_at_us; /* SIGTERM has been sent, and this is the time for SIGKILL; 0 for neither */
  gint64 since_us;   /* when the first call became the first; the thread's own, as the next */
  gboolean quick;    /* the last call did not take long */
};

Pool *pool_new (void);
Pool *pool_ref (Pool *self);
void pool_unref (Pool *self);

gboolean pool_push (Pool *self, StrandCall *call, gboolean may_block, GError **error);

/* The next call, or NULL. */
StrandCall *pool_pop_locked (Pool *self);

/* To the front of the line again, for a keeper that sleeps or the next that has nothing to do. */
void pool_put_back_locked (Pool *self, StrandCall *call);

/* A call that waits in the pipe of a helper that is busy with another one, or NULL. */
StrandCall *pool_steal_locked (Pool *self);

/* Ends what waits, for no helper can be started. */
void pool_fail_waiting (Pool *self, const GError *error);

gboolean pool_stop (Pool *self, StrandCall *call);
void pool_resume (Pool *self, StrandCall *call);
gboolean pool_close (Pool *self, gint64 deadline_us, GError **error);

/* No more calls; threads end when they have nothing to do. Does not wait. */
void pool_dispose (Pool *self);

Keeper *keeper_new (Pool *pool);
Keeper *keeper_ref (Keeper *self);
void keeper_unref (Keeper *self);
void keeper_wake (Keeper *self);
gpointer keeper_main (gpointer keeper);

/* Gives the call to a sleeping keeper's helper, from the submitter's own thread. FALSE if that would take
 * more than a moment. With @begun FALSE the call was cancelled meanwhile, and the keeper sleeps on. */
gboolean keeper_hand_over_locked (Keeper *self, StrandCall *call, gboolean *begun);

/* Takes a call back that the helper has been sent and has not begun: NULL if there is none. The caller's
 * reference. */
StrandCall *sent_take_back_locked (Keeper *self);

/* Stops the helper if it runs the call: SIGTERM now, SIGKILL at the pool's time. FALSE if it has not been
 * sent the call. */
gboolean sent_stop_locked (Keeper *self, StrandCall *call);

G_END_DECLS
