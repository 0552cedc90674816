/* strand-lease.h — who holds a record, in words that another process can check.
 *
 * A holder writes its name into the record. Whoever finds the record later asks whether that holder is still
 * there: a process on this host can be looked up, one on another host cannot, and then only the lease's
 * counter, standing still long enough, tells.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-version.h"
#include <glib-object.h>

G_BEGIN_DECLS

/**
 * StrandOwnerState:
 * @STRAND_OWNER_STATE_ALIVE: its process runs
 * @STRAND_OWNER_STATE_DEAD: its process has ended: the record may be settled at once
 * @STRAND_OWNER_STATE_UNKNOWN: it is on another host, in another container, or from before a reboot: watch
 * its counter
 *
 * What is known of a lease's owner.
 *
 * Since: 1.0
 */
typedef enum
{
  STRAND_OWNER_STATE_ALIVE,
  STRAND_OWNER_STATE_DEAD,
  STRAND_OWNER_STATE_UNKNOWN,
} StrandOwnerState;

#define STRAND_TYPE_OWNER_STATE (strand_owner_state_get_type ())
STRAND_AVAILABLE_IN_ALL
GType strand_owner_state_get_type (void);

STRAND_AVAILABLE_IN_ALL
char *strand_lease_owner_self (const char *kind) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
gboolean strand_lease_owner_has_kind (const char *owner, const char *kind);

STRAND_AVAILABLE_IN_ALL
StrandOwnerState strand_lease_owner_probe (const char *owner);

G_END_DECLS
