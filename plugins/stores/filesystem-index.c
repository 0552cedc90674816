/* filesystem-index.c — where to look for records that are not finished, without reading all of them.
 *
 * Beside the folders of records lies a directory `index` of empty files, whose names are all they say:
 *
 *     index/live/FOLDER/KEY          a call that has not ended
 *     index/running/FOLDER/KEY       a call that runs
 *     index/kind/=KIND/FOLDER/KEY    a record of another kind than `call`
 *     index/queue/=QUEUE/TURN-TIME-KEY   a pending call in a queue; turn and not-before as 16 hexadecimal
 *                                        digits each, counted from the smallest 64-bit number
 *     index/complete                 every record that needs entries has them
 *
 * The record alone says what is true: an entry is a hint, looked up in its record whenever it is followed. So
 * there may be entries too many, never one too few: entries are made before a record comes to its place, and
 * removed after it has; both under the lock of the record's folder, so that nobody takes an entry for
 * superfluous whose record is on its way. A writer that dies at any step leaves an entry too many at most,
 * which the next to follow it removes, or cleanup.
 *
 * Records that came without entries (from an older strand, from another program) are given them when a
 * directory without `complete` is first claimed from or listed, and by every cleanup, which reads all records
 * anyway. A power cut may lose an entry only where the file system does not keep the order of what is done to
 * directories; `full` waits for each.                       SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "filesystem-index.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define COMPLETE FILESYSTEM_INDEX "/complete"

/* A record has at most three: live, and running or waiting. */
#define MAX_ENTRIES 3

/* Longest name of a queue or kind that is written out; file systems end at 255. */
#define MAX_ESCAPED 200

/* How often a directory is made again that cleanup removed because it was empty. */
#define MAX_ATTEMPTS 5

/* A number and its dash are half of what comes before the key. */
#define N_DIGITS 16
G_STATIC_ASSERT (FILESYSTEM_TURN_SIZE == 2 * (N_DIGITS + 1));

typedef struct
{
  char *paths[MAX_ENTRIES]; /* below the store's directory */
  guint n;
} Entries;

static void
entries_clear (Entries *self)
{
  for (guint i = 0; i < self->n; i++)
    g_free (self->paths[i]);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Entries, entries_clear)

char *
filesystem_index_escape (const char *text)
{
  g_autofree char *escaped = g_uri_escape_bytes ((const guint8 *) text, strlen (text), NULL);
  g_autofree char *digest = NULL;

  if (strlen (escaped) <= MAX_ESCAPED)
    return g_strconcat ("=", escaped, NULL);
  digest = g_compute_checksum_for_string (G_CHECKSUM_SHA256, text, -1);
  return g_strconcat ("#", digest, NULL);
}

static guint64
to_digits (gint64 number)
{
  return (guint64) number ^ (G_GUINT64_CONSTANT (1) << 63);
}

static gboolean
parse_number (const char *text, gint64 *number)
{
  guint64 value = 0;

  for (guint i = 0; i < N_DIGITS; i++)
    {
      int digit = g_ascii_isupper (text[i]) ? -1 : g_ascii_xdigit_value (text[i]);

      if (digit < 0)
        return FALSE;
      value = value << 4 | (guint64) digit;
    }
  *number = (gint64) (value ^ (G_GUINT64_CONSTANT (1) << 63));
  return text[N_DIGITS] == '-';
}

gboolean
filesystem_index_parse_turn (const char *name, FilesystemTurn *turn)
{
  if (!parse_number (name, &turn->turn) || !parse_number (name + N_DIGITS + 1, &turn->not_before_us))
    return FALSE;
  turn->key = name + FILESYSTEM_TURN_SIZE;
  return strand_key_check (turn->key, NULL);
}

static void
add_entry (Entries *self, const char *part, const char *key)
{
  self->paths[self->n++] = g_strdup_printf ("%s/%02x/%s", part, filesystem_folder_of (key), key);
}

static void
add_turn (Entries *self, StrandRecord *record, const char *queue)
{
  g_autofree char *escaped = filesystem_index_escape (queue);

  self->paths[self->n++] = g_strdup_printf (
      FILESYSTEM_QUEUES "/%s/%016" G_GINT64_MODIFIER "x-%016" G_GINT64_MODIFIER "x-%s", escaped,
      to_digits (strand_record_get_turn (record)),
      to_digits (strand_record_get_int (record, STRAND_FIELD_NOT_BEFORE)), strand_record_get_key (record));
}

gboolean
filesystem_index_knows (StrandRecord *record)
{
  return record != NULL && (!strand_status_is_terminal (strand_record_get_status (record)) ||
                            strcmp (strand_record_get_string (record, STRAND_FIELD_KIND), "call") != 0);
}

static void
find_entries (Entries *self, StrandRecord *record)
{
  const char *key, *kind, *queue;

  self->n = 0;
  if (!filesystem_index_knows (record))
    return;

  key = strand_record_get_key (record);
  kind = strand_record_get_string (record, STRAND_FIELD_KIND);
  queue = strand_record_get_string (record, STRAND_FIELD_QUEUE);
  if (strcmp (kind, "call") != 0)
    {
      g_autofree char *escaped = filesystem_index_escape (kind);
      g_autofree char *part = g_strdup_printf (FILESYSTEM_KINDS "/%s", escaped);

      add_entry (self, part, key);
      return;
    }
  add_entry (self, FILESYSTEM_LIVE, key);
  if (strand_record_get_status (record) == STRAND_STATUS_RUNNING)
    add_entry (self, FILESYSTEM_RUNNING, key);
  else if (queue != NULL)
    add_turn (self, record, queue);
}

static gboolean
has_entry (const Entries *self, const char *path)
{
  for (guint i = 0; i < self->n; i++)
    if (strcmp (self->paths[i], path) == 0)
      return TRUE;
  return FALSE;
}

/* --- making and removing ------------------------------------------------------------------------------- */

/* Makes what is missing of the directories above a path, below the store's own. FALSE with errno. */
static gboolean
make_directories (FilesystemPlace *place, const char *path)
{
  g_autofree char *full = g_build_filename (place->path, path, NULL);

  for (char *slash = full + strlen (place->path) + 1; (slash = strchr (slash, '/')) != NULL; slash++)
    {
      g_autofree char *above = NULL;

      *slash = '\0';
      above = g_path_get_dirname (full);
      if (g_mkdir (full, 0700) == 0)
        {
          if (place->sync == SYNC_FULL && !filesystem_sync_directory (above))
            return FALSE;
        }
      else if (errno != EEXIST)
        return FALSE;
      *slash = '/';
    }
  return TRUE;
}

/* An empty file of its own; or another name of one that is there, which costs no inode, where @like names
 * one. */
static gboolean
make_file (const char *path, const char *like)
{
  if (like != NULL && link (like, path) == 0)
    return TRUE;
  return (like != NULL && errno == EEXIST) || mknod (path, S_IFREG | 0600, 0) == 0 || errno == EEXIST;
}

/* FALSE with errno. */
static gboolean
make_entry (FilesystemPlace *place, const char *entry, const char *like)
{
  g_autofree char *path = g_build_filename (place->path, entry, NULL);
  g_autofree char *like_path = like != NULL ? g_build_filename (place->path, like, NULL) : NULL;
  g_autofree char *folder = NULL;
  gboolean done = make_file (path, like_path);

  for (guint i = 0; !done && errno == ENOENT && i < MAX_ATTEMPTS; i++)
    done = make_directories (place, entry) && make_file (path, like_path);
  if (!done)
    return FALSE;
  if (place->sync != SYNC_FULL)
    return TRUE;
  folder = g_path_get_dirname (path);
  return filesystem_sync_directory (folder);
}

static void
remove_entry (FilesystemPlace *place, const char *entry)
{
  g_autofree char *path = g_build_filename (place->path, entry, NULL);

  unlink (path);
}

FilesystemIndexResult
filesystem_index_enter (FilesystemPlace *place, StrandRecord *old, StrandRecord *new, GError **error)
{
  g_auto(Entries) before = { .n = 0 };
  g_auto(Entries) after = { .n = 0 };
  const char *like;

  find_entries (&after, new);
  if (after.n == 0)
    return FILESYSTEM_INDEX_DONE;
  find_entries (&before, old);
  like = before.n > 0 ? before.paths[0] : NULL;

  for (guint i = 0; i < after.n; i++)
    {
      if (!has_entry (&before, after.paths[i]) && !make_entry (place, after.paths[i], like))
        {
          int cause = errno;
          g_autofree char *path = g_build_filename (place->path, after.paths[i], NULL);

          filesystem_index_leave (place, new, old);
          if (cause == ENOENT)
            return FILESYSTEM_INDEX_VANISHED;
          filesystem_set_io_error (error, cause, path);
          return FILESYSTEM_INDEX_FAILED;
        }
      like = after.paths[i];
    }
  return FILESYSTEM_INDEX_DONE;
}

void
filesystem_index_leave (FilesystemPlace *place, StrandRecord *old, StrandRecord *new)
{
  g_auto(Entries) before = { .n = 0 };
  g_auto(Entries) after = { .n = 0 };

  find_entries (&before, old);
  if (before.n == 0)
    return;
  find_entries (&after, new);
  for (guint i = 0; i < before.n; i++)
    if (!has_entry (&after, before.paths[i]))
      remove_entry (place, before.paths[i]);
}

/* --- entries without records, records without entries --------------------------------------------------- */

gboolean
filesystem_index_needs (const char *part, const char *name, StrandRecord *record)
{
  g_auto(Entries) needed = { .n = 0 };
  g_autofree char *entry = g_build_filename (part, name, NULL);

  find_entries (&needed, record);
  return has_entry (&needed, entry);
}

gboolean
filesystem_index_check_locked (FilesystemPlace *place, const char *part, const char *name,
                               StrandRecord *record)
{
  g_autofree char *entry = g_build_filename (part, name, NULL);

  if (filesystem_index_needs (part, name, record))
    return TRUE;
  remove_entry (place, entry);
  return FALSE;
}

/* The lock on a key's folder, and its record, which may be NULL; -1 if that cannot be known. */
static int
lock_and_read (FilesystemPlace *place, const char *key, StrandRecord **record)
{
  g_autofree char *folder = filesystem_path_of_folder (place, filesystem_folder_of (key));
  g_autofree char *path = filesystem_path_of_key (place, key);
  g_autofree char *name = g_path_get_basename (path);
  g_autoptr(GError) error = NULL;
  int dir = filesystem_lock_folder (folder);

  if (dir < 0)
    return -1;
  *record = filesystem_read_record (dir, name, key, path, &error);
  if (*record != NULL || filesystem_is_not_found (error))
    return dir;
  close (dir);
  return -1;
}

void
filesystem_index_check (FilesystemPlace *place, const char *part, const char *name, const char *key)
{
  g_autoptr(StrandRecord) record = NULL;
  int dir = lock_and_read (place, key, &record);

  if (dir < 0)
    return;
  filesystem_index_check_locked (place, part, name, record);
  close (dir);
}

static gboolean
lacks_entries (FilesystemPlace *place, StrandRecord *record)
{
  g_auto(Entries) needed = { .n = 0 };

  find_entries (&needed, record);
  for (guint i = 0; i < needed.n; i++)
    {
      g_autofree char *path = g_build_filename (place->path, needed.paths[i], NULL);

      if (g_access (path, F_OK) != 0)
        return TRUE;
    }
  return FALSE;
}

gboolean
filesystem_index_mend (FilesystemPlace *place, StrandRecord *record, GError **error)
{
  g_autoptr(StrandRecord) now = NULL;
  FilesystemIndexResult result = FILESYSTEM_INDEX_DONE;
  int dir;

  if (!lacks_entries (place, record))
    return TRUE;
  dir = lock_and_read (place, strand_record_get_key (record), &now);
  if (dir < 0)
    return TRUE; /* it has gone, or can no more be read */
  if (lacks_entries (place, now))
    result = filesystem_index_enter (place, NULL, now, error);
  close (dir);
  return result != FILESYSTEM_INDEX_FAILED;
}

/* --- old directories ----------------------------------------------------------------------------------- */

gboolean
filesystem_index_is_complete (FilesystemPlace *place)
{
  g_autofree char *path = g_build_filename (place->path, COMPLETE, NULL);

  return g_access (path, F_OK) == 0;
}

static gboolean
mend_folder (FilesystemPlace *place, guint folder, GError **error)
{
  g_autofree char *path = filesystem_path_of_folder (place, folder);
  g_autoptr(GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *key = filesystem_dup_key (name);
      g_autofree char *file = g_build_filename (path, name, NULL);
      g_autoptr(StrandRecord) record = NULL;

      if (key == NULL || filesystem_folder_of (key) != folder)
        continue;
      record = filesystem_read_record (AT_FDCWD, file, key, file, NULL);
      if (record != NULL && !filesystem_index_mend (place, record, error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
mark_complete (FilesystemPlace *place, GError **error)
{
  g_autofree char *path = g_build_filename (place->path, COMPLETE, NULL);

  if (make_entry (place, COMPLETE, NULL) || errno == ENOENT)
    return TRUE;
  filesystem_set_io_error (error, errno, path);
  return FALSE;
}

gboolean
filesystem_index_complete (FilesystemPlace *place, GError **error)
{
  g_autofree char *index = g_build_filename (place->path, FILESYSTEM_INDEX, NULL);
  gboolean done = TRUE;
  int dir;

  if (filesystem_index_is_complete (place) || g_access (place->path, F_OK) != 0)
    return TRUE;
  if (g_mkdir (index, 0700) != 0 && errno != EEXIST)
    {
      filesystem_set_io_error (error, errno, index);
      return FALSE;
    }

  if (g_access (index, W_OK) != 0)
    {
      filesystem_set_io_error (error, errno, index);
      return FALSE;
    }

  /* One at a time: it is much to read. */
  dir = filesystem_lock_folder (index);
  if (dir >= 0 && !filesystem_index_is_complete (place))
    for (guint folder = 0; done && folder < FILESYSTEM_N_FOLDERS; folder++)
      done = mend_folder (place, folder, error);
  if (dir >= 0)
    close (dir);
  return done && mark_complete (place, error);
}

void
filesystem_index_begin (FilesystemPlace *place)
{
  g_autoptr(GDir) dir = NULL;
  const char *name;

  if (filesystem_index_is_complete (place))
    return;
  dir = g_dir_open (place->path, 0, NULL);
  if (dir == NULL)
    return;
  while ((name = g_dir_read_name (dir)) != NULL)
    if (filesystem_is_folder_name (name))
      return;
  mark_complete (place, NULL);
}
