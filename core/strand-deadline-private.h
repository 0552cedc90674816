/* strand-deadline-private.h — when a wait that begins now ends.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Who waits as long as a number can say, waits for ever: the sum must not come out before now. */
static inline gint64
strand_deadline (gint64 now_us, gint64 wait_us)
{
  return wait_us < G_MAXINT64 - now_us ? now_us + wait_us : G_MAXINT64;
}

G_END_DECLS
