/* filesystem-change.c — how a record comes to its place, changes there, and leaves it.
 *
 * The order of steps is the same always: the new file is written whole beside its place; the index gets the
 * entries that the new record needs; the file is renamed to its place; the index loses the entries that only
 * the old record needed. A writer that dies between any two of them leaves the old record or the new one,
 * perhaps a temporary file, which cleanup collects, and perhaps an entry too many, which nobody believes.
 *
 * All but the first step happen under the lock of the folder, except for a new record without entries, which
 * nothing can overtake: RENAME_NOREPLACE decides alone.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "filesystem-change.h"

#include "filesystem-index.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* How often a write is begun again because its folder vanished under it, before that is an error. */
#define MAX_ATTEMPTS 10

typedef enum
{
  MOVED,
  REFUSED, /* the error is set */
  VANISHED /* the folder is gone: make it and try again */
} MoveResult;

static void
set_exists (GError **error)
{
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_EXISTS, "a record has this key already");
}

static void
set_removed (GError **error)
{
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_STALE, "the record has been removed since it was read");
}

static gboolean
check_revision (StrandRecord *record, guint64 expected, GError **error)
{
  guint64 revision = strand_record_get_revision (record);

  if (revision == expected)
    return TRUE;

  g_set_error (error, STRAND_ERROR, STRAND_ERROR_STALE,
               "it has revision %" G_GUINT64_FORMAT " and %" G_GUINT64_FORMAT " was expected", revision,
               expected);
  return FALSE;
}

/* --- seats --------------------------------------------------------------------------------------------- */

void
filesystem_seat_init (FilesystemSeat *self, FilesystemPlace *place, const char *key)
{
  self->place = place;
  self->key = key;
  self->folder = filesystem_path_of_folder (place, filesystem_folder_of (key));
  self->path = filesystem_path_of_key (place, key);
  self->name = strrchr (self->path, '/') + 1;
  self->dir = -1;
}

void
filesystem_seat_clear (FilesystemSeat *self)
{
  if (self->dir >= 0)
    close (self->dir);
  g_free (self->folder);
  g_free (self->path);
}

gboolean
filesystem_seat_lock (FilesystemSeat *self)
{
  self->dir = filesystem_lock_folder (self->folder);
  return self->dir >= 0;
}

StrandRecord *
filesystem_seat_read (FilesystemSeat *self, GError **error)
{
  return filesystem_read_record (self->dir, self->name, self->key, self->path, error);
}

static MoveResult
settle_rename (const char *path, gboolean done, GError **error)
{
  if (done)
    return MOVED;
  if (errno == ENOENT)
    return VANISHED;
  filesystem_set_io_error (error, errno, path);
  return REFUSED;
}

/* In `full` a record is accepted when its name is on the disk, too. */
static MoveResult
settle_directory (FilesystemSeat *self, MoveResult result, GError **error)
{
  if (result != MOVED || self->place->sync != SYNC_FULL)
    return result;
  if (self->dir >= 0 ? TEMP_FAILURE_RETRY (fsync (self->dir)) == 0 : filesystem_sync_directory (self->folder))
    return MOVED;
  filesystem_set_io_error (error, errno, self->folder);
  return REFUSED;
}

/* Under the lock: from @temp, a file of this folder, to its place. */
static MoveResult
move_locked (FilesystemSeat *self, const char *temp, StrandRecord *old, StrandRecord *new, GError **error)
{
  const char *temp_name = strrchr (temp, '/') + 1;
  MoveResult result;

  switch (filesystem_index_enter (self->place, old, new, error))
    {
    case FILESYSTEM_INDEX_FAILED:
      return REFUSED;
    case FILESYSTEM_INDEX_VANISHED:
      return VANISHED;
    case FILESYSTEM_INDEX_DONE:
    default:
      break;
    }
  result = settle_rename (self->path, renameat (self->dir, temp_name, self->dir, self->name) == 0, error);
  if (result != MOVED)
    {
      filesystem_index_leave (self->place, new, old);
      return result;
    }
  result = settle_directory (self, result, error);
  filesystem_index_leave (self->place, old, new);
  return result;
}

gboolean
filesystem_seat_replace (FilesystemSeat *self, StrandRecord *old, StrandRecord *new, GError **error)
{
  g_autofree char *temp = filesystem_temp_path (self->place, self->folder);
  g_autoptr(GBytes) json = strand_record_to_json (new);
  MoveResult result;

  if (!filesystem_write_temp (self->place, temp, json))
    {
      filesystem_set_io_error (error, errno, temp);
      return FALSE;
    }
  result = move_locked (self, temp, old, new, error);
  if (result == MOVED)
    return TRUE;

  unlink (temp);
  if (result == VANISHED)
    set_removed (error);
  return FALSE;
}

/* --- putting ------------------------------------------------------------------------------------------- */

/* A new record with entries; or where the file system cannot rename without replacing. */
static MoveResult
move_new_locked (FilesystemSeat *self, const char *temp, StrandRecord *record, GError **error)
{
  struct stat info;

  if (!filesystem_seat_lock (self))
    return settle_rename (self->folder, FALSE, error);
  if (fstatat (self->dir, self->name, &info, AT_SYMLINK_NOFOLLOW) == 0)
    {
      set_exists (error);
      return REFUSED;
    }
  return move_locked (self, temp, NULL, record, error);
}

static MoveResult
move_new (FilesystemSeat *self, const char *temp, StrandRecord *record, GError **error)
{
  if (filesystem_index_knows (record))
    return move_new_locked (self, temp, record, error);
  if (renameat2 (AT_FDCWD, temp, AT_FDCWD, self->path, RENAME_NOREPLACE) == 0)
    return settle_directory (self, MOVED, error);
  if (errno == EINVAL || errno == ENOSYS)
    return move_new_locked (self, temp, record, error);
  if (errno != EEXIST)
    return settle_rename (self->path, FALSE, error);
  set_exists (error);
  return REFUSED;
}

static MoveResult
move_over (FilesystemSeat *self, const char *temp, StrandRecord *record, guint64 expected, GError **error)
{
  g_autoptr(StrandRecord) old = NULL;
  g_autoptr(GError) local_error = NULL;

  if (!filesystem_seat_lock (self))
    return settle_rename (self->folder, FALSE, error);

  old = filesystem_seat_read (self, &local_error);
  if (filesystem_is_not_found (local_error))
    set_removed (error);
  else if (old == NULL)
    g_propagate_error (error, g_steal_pointer (&local_error));
  else if (check_revision (old, expected, error))
    return move_locked (self, temp, old, record, error);
  return REFUSED;
}

static MoveResult
write_once (FilesystemPlace *place, StrandRecord *record, GBytes *json, guint64 expected, GError **error)
{
  g_auto(FilesystemSeat) seat = { .dir = -1 };
  g_autofree char *temp = NULL;
  MoveResult result;

  filesystem_seat_init (&seat, place, strand_record_get_key (record));
  temp = filesystem_temp_path (place, seat.folder);
  if (!filesystem_write_temp (place, temp, json))
    return settle_rename (temp, FALSE, error);

  if (expected == 0)
    result = move_new (&seat, temp, record, error);
  else
    result = move_over (&seat, temp, record, expected, error);
  if (result != MOVED)
    unlink (temp);
  return result;
}

gboolean
filesystem_put (FilesystemPlace *place, StrandRecord *record, guint64 expected, gboolean *made,
                GError **error)
{
  const char *key = strand_record_get_key (record);
  g_autoptr(GBytes) json = strand_record_to_json (record);
  g_autofree char *folder = filesystem_path_of_folder (place, filesystem_folder_of (key));
  MoveResult result = VANISHED;

  *made = FALSE;
  for (guint i = 0; result == VANISHED && i < MAX_ATTEMPTS; i++)
    {
      /* Without a folder there is no record to replace, and nothing to make it for. */
      if (i > 0 && expected == 0)
        {
          if (!filesystem_make_root (place, error))
            return FALSE;
          filesystem_index_begin (place);
          if (!filesystem_make_folder (place, folder, error))
            return FALSE;
          *made = TRUE;
        }
      result = write_once (place, record, json, expected, error);
      if (result == VANISHED && expected > 0 && g_access (folder, F_OK) != 0)
        {
          set_removed (error);
          return FALSE;
        }
    }
  if (result == VANISHED)
    filesystem_set_io_error (error, ENOENT, folder);
  return result == MOVED;
}

/* --- removing ------------------------------------------------------------------------------------------ */

gboolean
filesystem_remove (FilesystemPlace *place, FilesystemItems *items, const char *key, guint64 expected,
                   GError **error)
{
  g_auto(FilesystemSeat) seat = { .dir = -1 };
  g_autoptr(StrandRecord) old = NULL;
  g_autoptr(GError) local_error = NULL;
  guint64 fence = G_MAXUINT64;

  filesystem_seat_init (&seat, place, key);
  if (!filesystem_seat_lock (&seat))
    {
      filesystem_set_read_error (error, errno, seat.folder);
      return FALSE;
    }

  old = filesystem_seat_read (&seat, &local_error);
  if (old == NULL && (expected > 0 || filesystem_is_not_found (local_error)))
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }
  if (expected > 0 && !check_revision (old, expected, error))
    return FALSE;

  if (unlinkat (seat.dir, seat.name, 0) != 0)
    {
      if (errno == ENOENT)
        filesystem_set_not_found (error);
      else
        filesystem_set_io_error (error, errno, seat.path);
      return FALSE;
    }
  if (settle_directory (&seat, MOVED, error) != MOVED)
    return FALSE;
  filesystem_index_leave (place, old, NULL);

  /* What it emitted has no reader any more; what cannot be removed is collected by cleanup. */
  if (old != NULL)
    fence = (guint64) strand_record_get_int (old, STRAND_FIELD_FENCE);
  filesystem_items_remove (items, key, fence, NULL);
  return TRUE;
}
