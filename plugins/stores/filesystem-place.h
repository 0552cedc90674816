/* filesystem-place.h — the directory of a filesystem store: its names, its locks, its reads and its writes.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <strand-plugin.h>

/* The folders that a store's files are fanned out over. */
#define FILESYSTEM_N_FOLDERS 256
#define FILESYSTEM_SUFFIX ".json"
#define FILESYSTEM_TEMP_PREFIX ".tmp-"

/* Beside the folders. */
#define FILESYSTEM_INDEX "index"
#define FILESYSTEM_ITEMS "items"

typedef enum
{
  SYNC_NONE,
  SYNC_DATA,
  SYNC_FULL,
} FilesystemSync;

typedef struct
{
  char *path; /* absolute, or NULL; with sync set at construction, then read by any thread */
  FilesystemSync sync;
  char *temp_prefix; /* of this object's temporary files */
  int last_temp;     /* atomic */
} FilesystemPlace;

void filesystem_place_init (FilesystemPlace *self);
void filesystem_place_clear (FilesystemPlace *self);

/* Whether there is a path; whether it lies where one may write. */
gboolean filesystem_place_check (FilesystemPlace *self, GError **error);
gboolean filesystem_place_check_writable (FilesystemPlace *self, GError **error);

/* Whether other hosts may write here, of whom this kernel does not tell. */
gboolean filesystem_place_is_shared (FilesystemPlace *self);

/* Names. */
guint filesystem_folder_of (const char *key);
char *filesystem_path_of_folder (FilesystemPlace *self, guint folder);
char *filesystem_path_of_key (FilesystemPlace *self, const char *key);
gboolean filesystem_is_folder_name (const char *name);

/* The key of the record whose file is called @name, or NULL. */
char *filesystem_dup_key (const char *name);

/* Why something failed. */
void filesystem_set_io_error (GError **error, int cause, const char *path);
void filesystem_set_read_error (GError **error, int cause, const char *path);
void filesystem_set_corrupt (GError **error, const char *path, const char *why);
void filesystem_set_not_found (GError **error);
gboolean filesystem_is_not_found (const GError *error);

/* Reads the record of @key from the file @name of directory @dir, which is at @path. */
StrandRecord *filesystem_read_record (int dir, const char *name, const char *key, const char *path,
                                      GError **error);
gssize filesystem_read_fully (int fd, char *buffer, gsize size);

/* Opens and locks a folder; -1 with errno. Closing the descriptor ends the lock. */
int filesystem_lock_folder (const char *folder);

/* Makes the root; and a folder in it. */
gboolean filesystem_make_root (FilesystemPlace *self, GError **error);
gboolean filesystem_make_folder (FilesystemPlace *self, const char *folder, GError **error);

/* A new temporary file in a folder: where it is; and how it is written. FALSE with errno, and no file. */
char *filesystem_temp_path (FilesystemPlace *self, const char *folder);
gboolean filesystem_write_temp (FilesystemPlace *self, const char *temp, GBytes *bytes);
gboolean filesystem_write_all (int fd, const char *data, gsize size);

/* Has a directory's entries survive a power cut. FALSE with errno. */
gboolean filesystem_sync_directory (const char *path);

/* Removes a temporary file if its writer was killed. */
void filesystem_collect_temp (const char *path, const char *name);
