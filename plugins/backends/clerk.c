/* clerk.c — when the thread that serves a backend may go.
 *
 * A backend starts its clerk with a call and lets it stay over the pauses of a busy program. It ends when none
 * has come for a while, and when it is the last to hold the backend, which a reload has replaced, say: it
 * would keep the backend alive otherwise. A call that was let in while the clerk waited counts on it, however
 * long its middleware takes before there is something to do.          SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "clerk.h"

#define IDLE_US (2 * G_USEC_PER_SEC)

/* The first look comes soon, because a backend is let go of right after a call. */
#define FIRST_NAP_US (IDLE_US / 256)

gboolean
clerk_waits_in_vain_locked (gpointer backend, GMutex *lock, GCond *changed, const gboolean *closed,
                            ClerkBusyFunc is_busy)
{
  gint64 until_us = g_get_monotonic_time () + IDLE_US;

  for (gint64 nap_us = FIRST_NAP_US; !is_busy (backend); nap_us *= 2)
    {
      gint64 now_us = g_get_monotonic_time ();

      if (*closed || now_us >= until_us || g_atomic_int_get (&G_OBJECT (backend)->ref_count) == 1)
        return TRUE;
      g_cond_wait_until (changed, lock, MIN (now_us + nap_us, until_us));
    }
  return FALSE;
}
