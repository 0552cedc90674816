/* strand-clock.h — the time, and what is to happen later, in one place that tests can take over.
 *
 * Wall time says when something was; monotonic time says how long it took. A manual clock replaces both:
 * it stands still until it is advanced, and advancing it runs the timers that fall due, in order, on the
 * advancing thread.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-version.h"

G_BEGIN_DECLS

/**
 * StrandTimerFunc:
 * @user_data: what strand_clock_add_timer() was given
 *
 * Runs when a timer falls due, on strand's timer thread (or in strand_clock_advance()). Must not block.
 *
 * Since: 1.0
 */
typedef void (*StrandTimerFunc) (gpointer user_data);

STRAND_AVAILABLE_IN_ALL
gint64 strand_clock_now_us (void);

STRAND_AVAILABLE_IN_ALL
gint64 strand_clock_monotonic_us (void);

STRAND_AVAILABLE_IN_ALL
guint64 strand_clock_add_timer (gint64 due_us, StrandTimerFunc func, gpointer user_data,
                                GDestroyNotify destroy);

STRAND_AVAILABLE_IN_ALL
gboolean strand_clock_remove_timer (guint64 id);

STRAND_AVAILABLE_IN_ALL
void strand_clock_set_manual (gint64 now_us);

STRAND_AVAILABLE_IN_ALL
void strand_clock_advance (gint64 by_us);

STRAND_AVAILABLE_IN_ALL
void strand_clock_set_wall (gint64 now_us);

STRAND_AVAILABLE_IN_ALL
void strand_clock_set_system (void);

G_END_DECLS
