/* filesystem-watch.h — tells a filesystem store what other processes write into its directories.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "filesystem-index.h"

typedef struct _FilesystemWatch FilesystemWatch;

/* Calls strand_store_changed() on a thread of its own for each record that appears in or leaves the folders
 * of a store; or, with @queues, strand_store_queue_changed() for each entry that appears in one of those.
 * From the moment that this returns until filesystem_watch_stop(). Holds @store weakly. NULL with an error
 * where the kernel cannot tell. */
FilesystemWatch *filesystem_watch_start (StrandStore *store, FilesystemPlace *place,
                                         const char *const *queues, GError **error);

/* Nobody watches for the moment: it goes on for a while without need, and then ends by itself. */
void filesystem_watch_rest (FilesystemWatch *self);

/* As filesystem_watch_start(), where it rests; FALSE if it has ended. */
gboolean filesystem_watch_resume (FilesystemWatch *self);

/* Ends and frees it, without waiting for its thread. */
void filesystem_watch_stop (FilesystemWatch *self);

/* Folders have been made: look now, not when the timer says. */
void filesystem_watch_kick (FilesystemWatch *self);
