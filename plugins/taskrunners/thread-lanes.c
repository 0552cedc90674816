/* thread-lanes.c — calls that wait with a priority of their own.
 *
 * Each priority in use has a lane, first come first served. There are few, so they are looked through one by
 * one; an empty one goes at once.                     SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "thread-lanes.h"

GPtrArray *
thread_lanes_new (void)
{
  return g_ptr_array_new_with_free_func (g_free);
}

static ThreadLane *
find_lane (GPtrArray *lanes, int priority)
{
  ThreadLane *lane;
  guint i = 0;

  while (i < lanes->len && ((ThreadLane *) lanes->pdata[i])->priority > priority)
    i++;
  if (i < lanes->len && ((ThreadLane *) lanes->pdata[i])->priority == priority)
    return lanes->pdata[i];
  lane = g_new0 (ThreadLane, 1);
  lane->priority = priority;
  g_ptr_array_insert (lanes, (int) i, lane);
  return lane;
}

void
thread_lanes_push (GPtrArray *lanes, StrandCall *call, int priority)
{
  ThreadLane *lane = find_lane (lanes, priority);

  strand_call_set_runner_data (call, NULL);
  if (lane->last != NULL)
    strand_call_set_runner_data (lane->last, call);
  else
    lane->first = call;
  lane->last = call;
}

static StrandCall *
pop (GPtrArray *lanes, guint index)
{
  ThreadLane *lane = lanes->pdata[index];
  StrandCall *call = lane->first;

  lane->first = strand_call_get_runner_data (call);
  if (lane->first == NULL)
    g_ptr_array_remove_index (lanes, index);
  return call;
}

StrandCall *
thread_lanes_pop (GPtrArray *lanes, gboolean above, gboolean lowest_first)
{
  for (guint i = 0; i < lanes->len; i++)
    {
      guint index = lowest_first ? lanes->len - 1 - i : i;

      if ((((ThreadLane *) lanes->pdata[index])->priority > 0) == above)
        return pop (lanes, index);
    }
  return NULL;
}
