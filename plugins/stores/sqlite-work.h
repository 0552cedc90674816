/* sqlite-work.h — a database of records as a queue: what each method does inside its transaction.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sqlite-row.h"

/* Whether a claim from these queues would find something now. @next_due_us: when, if not; 0 for no idea. */
gboolean sqlite_work_look (SqliteDatabase *database, const char *const *queues, gint64 now_us, gboolean *due,
                           gint64 *next_due_us, GError **error);

/* Claims; what was claimed is added to @claimed. */
gboolean sqlite_work_claim (SqliteDatabase *database, const StrandClaim *claim, GPtrArray *claimed,
                            gint64 *next_due_us, GError **error);

gboolean sqlite_work_renew (SqliteDatabase *database, StrandRenewal *renewal, GError **error);

gboolean sqlite_work_append_items (SqliteDatabase *database, const char *key, guint64 fence, guint64 first,
                                   GBytes *const *items, guint n, guint max_items, GError **error);

GPtrArray *sqlite_work_read_items (SqliteDatabase *database, const char *key, guint64 fence, guint64 from,
                                   guint limit, guint64 *first, GError **error);

gboolean sqlite_work_remove_items (SqliteDatabase *database, const char *key, guint64 fence, GError **error);
