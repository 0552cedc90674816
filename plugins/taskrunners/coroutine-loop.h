/* coroutine-loop.h — the coroutines of one main context, and whose turn it is.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "coroutine-counts.h"
#include "coroutine.h"

typedef struct
{
  gsize stack_size;
  guint max_stacks; /* kept for the next coroutines */
  guint max_alive;
  gboolean yield_on_iter;
} CoroutineLimits;

/* Coroutines run while somebody iterates @context. */
CoroutineLoop *coroutine_loop_new (GMainContext *context, const CoroutineLimits *limits,
                                   CoroutineCounts *counts);
CoroutineLoop *coroutine_loop_ref (CoroutineLoop *self);
void coroutine_loop_unref (CoroutineLoop *self);
GMainContext *coroutine_loop_get_context (CoroutineLoop *self);

/* Any thread. Takes over @call, which has been counted as queued. */
void coroutine_loop_push (CoroutineLoop *self, StrandCall *call);

/* Any thread; it happens on the loop's. */
void coroutine_loop_cancel_all (CoroutineLoop *self);

/* How many calls are queued or under way. Any thread; true for a moment only. */
guint coroutine_loop_n_busy (CoroutineLoop *self);

/* Whether this thread is the one that must iterate the loop's context. */
gboolean coroutine_loop_is_here (CoroutineLoop *self);

/* Goes on with whoever can go on, on the loop's thread, for a moment. */
void coroutine_loop_turn (CoroutineLoop *self);

/* On the loop's thread, which will wait for the counts' news. FALSE if there is something to do first. */
gboolean coroutine_loop_rest (CoroutineLoop *self);

/* Takes the loop out of its context; it goes when its last holder does. */
void coroutine_loop_detach (CoroutineLoop *self);

/* For a thread that iterates the loop's context for nothing else: end when nothing is left. Any thread asks
 * for it. */
void coroutine_loop_end (CoroutineLoop *self);
gboolean coroutine_loop_may_end (CoroutineLoop *self);
