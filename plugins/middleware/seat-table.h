/* seat-table.h — who has how many seats, as several processes write it.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <strand-plugin.h>

typedef struct _SeatTable SeatTable;

/* As @owner sees it. One thread at a time. */
SeatTable *seat_table_new (const char *owner, guint n_seats, gint64 lease_us);
void seat_table_free (SeatTable *self);

/* Our entry with @n_taken seats and as many of @n_wanted as there are, in @n_granted; @in_line: for the rest
 * we stand in line. @renew: says that we are alive. NULL: that is what @state says already. */
GVariant *seat_table_change (SeatTable *self, GVariant *state, guint n_taken, guint n_wanted,
                             gboolean in_line, gboolean renew, guint *n_granted);
