/* filesystem-watch.h — tells a filesystem store what other processes write into its folders.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <strand-plugin.h>

/* The folders that a store's files are fanned out over. */
#define FILESYSTEM_N_FOLDERS 256
#define FILESYSTEM_SUFFIX ".json"

typedef struct _FilesystemWatch FilesystemWatch;

/* Calls strand_store_changed() on a thread of its own for each record that appears in or leaves the folders
 * below
 * @root, from the moment that this returns until filesystem_watch_stop(). Holds @store weakly. NULL with an
 * error where the system has no more watches. */
FilesystemWatch *filesystem_watch_start (StrandStore *store, const char *root, GError **error);

/* Ends and frees it, without waiting for its thread. */
void filesystem_watch_stop (FilesystemWatch *self);

/* Folders have been made: look now, not when the timer says. */
void filesystem_watch_kick (FilesystemWatch *self);

/* The key of the record whose file is called @name, or NULL. */
char *filesystem_dup_key (const char *name);
