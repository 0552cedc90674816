/* thread-lanes.h — calls that wait with a priority of their own.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <strand-plugin.h>

typedef struct
{
  int priority; /* not 0 */
  StrandCall *first;
  StrandCall *last;
} ThreadLane;

/* Of ThreadLane, highest priority first; not for two threads at once. Calls are linked by their runner data.
 */
GPtrArray *thread_lanes_new (void);
void thread_lanes_push (GPtrArray *lanes, StrandCall *call, int priority);

/* The call that has waited longest in the highest (or lowest) lane above (or below) 0; NULL if there is none.
 */
StrandCall *thread_lanes_pop (GPtrArray *lanes, gboolean above, gboolean lowest_first);
