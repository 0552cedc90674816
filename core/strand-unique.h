/* strand-unique.h — at most one call at a time of all that have the same unique key.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-options.h"
#include "strand-store.h"

G_BEGIN_DECLS

STRAND_AVAILABLE_IN_ALL
gboolean strand_store_put_unique (StrandStore *self, StrandRecord *record, StrandConflict conflict,
                                  char **holder, GError **error);

STRAND_AVAILABLE_IN_ALL
guint strand_store_finish_unique (StrandStore *self, GError **error);

G_END_DECLS
