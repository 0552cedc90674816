/* strand-lease-private.h — more of what a lease's owner tells this host.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-lease.h"

G_BEGIN_DECLS

/* A descriptor that becomes readable when the owner's process ends; -1 if it is not alive on this host, or
 * the kernel has none. */
int strand_lease_owner_open (const char *owner);

G_END_DECLS
