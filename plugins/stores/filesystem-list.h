/* filesystem-list.h — looks at many files: listing records, and removing what is not needed any more.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "filesystem-items.h"
#include "filesystem-place.h"

/* As the store's methods of these names. */
StrandPage *filesystem_list (FilesystemPlace *place, const StrandFilter *filter, const char *cursor,
                             guint limit, GError **error);

/* @cursor: (inout): where the last one stopped and this one goes on; NULL for the front and the end */
gint64 filesystem_clean (FilesystemPlace *place, FilesystemItems *items, StrandStore *store, gint64 now_us,
                         gint64 budget_us, char **cursor);
