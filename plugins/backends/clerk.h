/* clerk.h — when the thread that serves a backend may go.   SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <strand-plugin.h>

/* Whether a call is in flight, or something is left to do. With the backend's lock. */
typedef gboolean (*ClerkBusyFunc) (gpointer backend);

/* Waits a while for another call, without @lock, which guards @closed and is told of calls by @changed. TRUE if
 * none has come, or none can come, and then the clerk must end before it unlocks; FALSE if there is one. */
gboolean clerk_waits_in_vain_locked (gpointer backend, GMutex *lock, GCond *changed, const gboolean *closed,
                                     ClerkBusyFunc is_busy);
