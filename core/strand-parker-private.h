/* strand-parker-private.h — a condition that threads and parked functions wait for alike.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-parker.h"

G_BEGIN_DECLS

typedef struct _StrandParked StrandParked;

/* As a GCond; guarded by the lock that goes with it. */
typedef struct
{
  GCond cond;
  guint n_threads;      /* among those who wait: without any, no system call */
  StrandParked *parked; /* and the parked functions */
} StrandCond;

void strand_cond_init (StrandCond *self);
void strand_cond_clear (StrandCond *self);

/* Returns after a broadcast, and perhaps without one. */
void strand_cond_wait (StrandCond *self, GMutex *lock);

/* With the lock held. */
void strand_cond_broadcast (StrandCond *self);

G_END_DECLS
