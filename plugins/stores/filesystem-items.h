/* filesystem-items.h — what calls emit, a file for each call and fence.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "filesystem-place.h"

typedef struct _FilesystemItems FilesystemItems;

FilesystemItems *filesystem_items_new (FilesystemPlace *place);
void filesystem_items_free (FilesystemItems *self);

/* As the store's methods of these names. Any thread. */
gboolean filesystem_items_append (FilesystemItems *self, const char *key, guint64 fence, guint64 first,
                                  GBytes *const *items, guint n, guint max_items, GError **error);
GPtrArray *filesystem_items_read (FilesystemItems *self, const char *key, guint64 fence, guint64 from,
                                  guint limit, guint64 *first, GError **error);

/* G_MAXUINT64: of every fence. */
gboolean filesystem_items_remove (FilesystemItems *self, const char *key, guint64 fence, GError **error);

/* Removes a log, or a temporary file among the logs, that belongs to nothing any more. */
void filesystem_items_collect (FilesystemPlace *place, const char *name);
