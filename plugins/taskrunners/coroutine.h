/* coroutine.h — one coroutine: a stack, and the call that runs on it.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "coroutine-stack.h"
#include "coroutine-switch.h"

#include <strand-plugin.h>

typedef struct _CoroutineLoop CoroutineLoop;
typedef struct _Coroutine Coroutine;

struct _Coroutine
{
  StrandParker parker;
  StrandFiber fiber;
  CoroutineLoop *loop;
  StrandStack *stack;
  int state;        /* atomic */
  Coroutine *next;  /* in whatever line it stands */
  StrandCall *call; /* that it runs; borrowed from strand_call_run() */
  const char *function;
  gboolean idle;
  guint place; /* in the loop's list of all */
};

Coroutine *coroutine_new (CoroutineLoop *loop, StrandStack *stack, gboolean yield_on_iter);
void coroutine_free (Coroutine *self);

/* One piece, until it parks, yields or ends; then it is idle. Takes over @call. */
void coroutine_start (Coroutine *self, StrandCall *call);
void coroutine_resume (Coroutine *self);

/* Before coroutines run on a thread: an overflow there is explained. */
void coroutine_watch_thread (void);

/* What the loop does for coroutines: to the end of the line, on its thread, and the same from any thread. */
void coroutine_loop_append (CoroutineLoop *self, Coroutine *coroutine);
void coroutine_loop_push_unparked (CoroutineLoop *self, Coroutine *coroutine);
