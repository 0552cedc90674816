/* sqlite-query.h — filters as SQL: pages of records, and how many there are.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sqlite-row.h"

/* Adds up to @limit records that match, in the order in which they were stored, from where @cursor points.
 * @database may be NULL: there are no records. */
gboolean sqlite_query_list (SqliteDatabase *database, const StrandFilter *filter, const char *cursor,
                            guint limit, StrandPage *page, GError **error);

/* How many match and have not outlived their ttl; -1 with an error. */
gint64 sqlite_query_count (SqliteDatabase *database, const StrandFilter *filter, gint64 now_us,
                           GError **error);
