/* sqlite-watch.h — tells a sqlite store what other connections write into its database.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sqlite-database.h"

typedef struct _SqliteWatch SqliteWatch;

/* Calls strand_store_changed() on a thread of its own for each record that is written or removed, from the
 * moment that this returns until sqlite_watch_stop(); or, where @queues are named,
 * strand_store_queue_changed() for each of them that may have work. Holds @store weakly. */
SqliteWatch *sqlite_watch_start (StrandStore *store, const SqliteSettings *settings,
                                 const char *const *queues, GError **error);

/* Nobody watches for the moment: it goes on for a while without need, and then ends by itself. */
void sqlite_watch_rest (SqliteWatch *self);

/* As sqlite_watch_start(), where it rests; FALSE if it has ended. */
gboolean sqlite_watch_resume (SqliteWatch *self);

/* Ends and frees it, without waiting for its thread. */
void sqlite_watch_stop (SqliteWatch *self);
