/* queue-stage.h — where chaos-queue plays: a store of its own, and what can be done to it.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-plugin.h"

G_BEGIN_DECLS

typedef struct _Stage Stage;

/* Before there are threads: some of it is done by entering namespaces. Ends the program where it cannot. */
Stage *stage_new (const char *type);
void stage_free (Stage *self);

/* Whether this machine has what the store needs. */
gboolean stage_is_possible (const char *type);

/* Moves this process to the other host, where that has a network of its own: between fork and exec. FALSE if
 * that fails. */
gboolean stage_cross (Stage *self);

/* Whether there is a line between the hosts; then it is cut, or mended. */
gboolean stage_has_line (Stage *self);
void stage_cut_line (Stage *self, gboolean cut);

/* What actors need to open the store, here and on the other host. @patience_us: how long to wait for a
 * server. */
const char *stage_get_place (Stage *self);
const char *stage_get_place_elsewhere (Stage *self);
StrandStore *stage_open_store (const char *type, const char *place, gint64 patience_us);

/* Takes the store away, in one of the ways there are; NULL where there is none, else how. */
const char *stage_begin_outage (Stage *self, GRand *rand);
void stage_end_outage (Stage *self);

/* Why there are no outages; NULL where there are. */
const char *stage_get_excuse (Stage *self);

/* What the store has left beside its records, one line each; "" for nothing. */
char *stage_find_leftovers (Stage *self);

G_END_DECLS
