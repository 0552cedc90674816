/* filesystem-change.h — how a record comes to its place, changes there, and leaves it.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "filesystem-items.h"
#include "filesystem-place.h"

/* A key's folder, locked. */
typedef struct
{
  FilesystemPlace *place;
  const char *key;
  char *folder;
  char *path;       /* the record's */
  const char *name; /* within path */
  int dir;          /* -1 before it is locked */
} FilesystemSeat;

void filesystem_seat_init (FilesystemSeat *self, FilesystemPlace *place, const char *key);
void filesystem_seat_clear (FilesystemSeat *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (FilesystemSeat, filesystem_seat_clear)

/* FALSE with errno. */
gboolean filesystem_seat_lock (FilesystemSeat *self);

/* The record that is there; NULL with an error. */
StrandRecord *filesystem_seat_read (FilesystemSeat *self, GError **error);

/* Puts @new in the place of @old, which was read under the same lock. */
gboolean filesystem_seat_replace (FilesystemSeat *self, StrandRecord *old, StrandRecord *new, GError **error);

/* As the store's methods of these names. @made: (out): whether a folder had to be made. */
gboolean filesystem_put (FilesystemPlace *place, StrandRecord *record, guint64 expected, gboolean *made,
                         GError **error);
gboolean filesystem_remove (FilesystemPlace *place, FilesystemItems *items, const char *key, guint64 expected,
                            GError **error);
