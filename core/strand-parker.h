/* strand-parker.h — how a function that waits lets others use its thread.
 *
 * A taskrunner that can set a function aside and go on with another one enters a StrandParker while it runs
 * the function. Whatever waits inside strand (sleeping, waiting for a call, emitting to a slow consumer,
 * awaiting GIO) then parks instead of blocking the thread. Core knows nothing of how that is done.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-version.h"
#include <glib-object.h>

G_BEGIN_DECLS

/**
 * StrandParker: (skip)
 * @park: called inside the function: sets it aside until @unpark; returns at once if that was called since
 * the last return. May also return for no reason: who waits looks at his condition again
 * @unpark: lets the function go on. Any thread, with locks held; must not block
 * @yield: called inside the function: sets it aside until all others that can go on have had their turn
 * @yields_on_item: whether each emitted item is followed by @yield
 *
 * One function that can be set aside. The taskrunner embeds it in what it keeps of the function; the memory
 * must stay until the function has returned.
 *
 * Since: 1.0
 */
typedef struct _StrandParker StrandParker;
struct _StrandParker
{
  void (*park) (StrandParker *self);
  void (*unpark) (StrandParker *self);
  void (*yield) (StrandParker *self);
  gboolean yields_on_item;

  /*< private >*/
  gpointer saved[3];
  gpointer reserved[4];
};

/* For taskrunners, on the thread that runs the function: around each piece of it, from where it was started
 * or set aside to where it is set aside or returns. Pairs may nest. */
STRAND_AVAILABLE_IN_ALL
void strand_parker_enter (StrandParker *self);

STRAND_AVAILABLE_IN_ALL
void strand_parker_leave (StrandParker *self);

STRAND_AVAILABLE_IN_ALL
StrandParker *strand_parker_get_current (void);

/* For taskrunners that run functions in a main context, between them. */
STRAND_AVAILABLE_IN_ALL
void strand_parker_deliver (gint64 deadline_us);

G_END_DECLS
