/* coroutine-counts.h — how many calls wait, and who is told when fewer do.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* What a taskrunner's loops count together. */
typedef struct
{
  gatomicrefcount ref_count;

  /* Atomic. */
  int n_queued; /* not started yet */
  int closing;  /* somebody waits for `quiet` */

  int n_waiting; /* for room */

  GMutex lock;  /* guards the rest */
  GCond quiet;  /* something has ended, or a loop at rest has something to do */
  GCond room;   /* fewer are queued */
  guint n_news; /* of quiet */

  GMutex loops_lock; /* guards the taskrunner's loops; taken before the other */
} CoroutineCounts;

CoroutineCounts *coroutine_counts_new (void);
CoroutineCounts *coroutine_counts_ref (CoroutineCounts *self);
void coroutine_counts_unref (CoroutineCounts *self);

/* To whoever waits for `quiet` while closing. */
void coroutine_counts_tell (CoroutineCounts *self);
