/* strand-waits-private.h — who waits for what, so that no wait is one that can never end.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-call-private.h"

G_BEGIN_DECLS

/* One wait made from inside a function, a callback or a backend's own thread. On the stack of who waits;
 * guarded by the lock of all waits, but for what is set before strand_wait_begin(). */
typedef struct _StrandWait StrandWait;
struct _StrandWait
{
  StrandCall *target;      /* one of these two: a call's end, */
  StrandTaskrunner *room;  /* or a place in a taskrunner's full line */
  gboolean timed;          /* ends by itself */
  gboolean parked;         /* a coroutine, whose thread goes on with others */
  void (*wake) (gpointer); /* makes who waits look again; under the lock */
  gpointer wake_data;

  const StrandFrame *running;    /* the functions that it holds up */
  const StrandFrame *delivering; /* the callbacks */
  GThread *thread;               /* that it holds up; NULL if parked */
  StrandTaskrunner *home;        /* whose thread or coroutine this is; NULL for none */
  gboolean has_place;            /* of its home's: what interrupts a wait has none of its own */
  StrandCall *home_call;         /* that was given the place; NULL for a callback */
  StrandWait *outer;             /* that this one interrupts: both hold up the same functions */
  StrandWait *inner;
  gboolean refused;     /* and about to end */
  gboolean told_to_run; /* by another that would have closed a circle */
  GList home_link;      /* among those of the same home */
  GList link;           /* among those that hold up a thread */

  guint round; /* of the search that has reached it */
  gboolean alive;
};

typedef enum
{
  STRAND_WAIT_SLEEP, /* somebody else will end it */
  STRAND_WAIT_RUN, /* the call that is waited for has not started: run it here, or on a thread made for it */
  STRAND_WAIT_REFUSE,
} StrandWaitAdvice;

/* Whether a wait of this thread for @target, NULL for room, could hold up a call. */
gboolean strand_wait_matters (StrandCall *target);

void strand_wait_begin (StrandWait *self);

/* What to do now; to be asked again after each time it was woken. */
StrandWaitAdvice strand_wait_look (StrandWait *self);
void strand_wait_end (StrandWait *self);

/* The call that must run for @self to end: a stored call's attempt, else itself. NULL between attempts. */
StrandCall *strand_call_ref_runnable (StrandCall *self);

/* The taskrunner whose place this thread or coroutine takes up; NULL for none. Borrowed. */
StrandTaskrunner *strand_wait_home (void);

G_END_DECLS
