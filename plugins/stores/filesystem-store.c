/* filesystem-store.c — keeps each record in a file of its own, as JSON that any program can read.
 *
 * The record of KEY is `PATH/FOLDER/KEY.json`; FOLDER is the lowest byte of the key's 32-bit FNV-1a hash, in
 * two hexadecimal digits, so that no directory grows too large. A record is written to `.tmp-OWNER-N` beside
 * its place and renamed over it: who reads sees the old one or the new one, never half.
 *
 * A new record is renamed with RENAME_NOREPLACE, which needs no lock. To replace or remove one, its folder is
 * locked (flock on the directory itself, through a descriptor opened for this one write): that excludes
 * threads as well as processes, ends with its holder however that dies, leaves no lock file, and a folder
 * that was removed meanwhile cannot be written to, because everything under the lock goes through that
 * descriptor. Nothing else is kept open, so the directory may be moved away, removed and made again while
 * programs use it.
 *
 * With `sync=none` an accepted record survives the death of every process, not a power cut; with `data` a
 * power cut leaves the old record or the new one, whole; with `full` it leaves the new one.
 *
 * The lock holds between processes of one host: on a network file system use a store with a server.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <strand-plugin.h>

#include "filesystem-watch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define STRAND_TYPE_FILESYSTEM_STORE (strand_filesystem_store_get_type ())
G_DECLARE_FINAL_TYPE (StrandFilesystemStore, strand_filesystem_store, STRAND, FILESYSTEM_STORE, GObject)

#define TEMP_PREFIX ".tmp-"

/* A temporary file whose writer cannot be looked up (another host, before a reboot) is left alone for so
 * long; a write takes milliseconds. */
#define TEMP_MAX_AGE_S (60 * 60)

/* Most records fit, so most reads are open, read, close. */
#define READ_SIZE (16 * 1024)

/* How many files one page reads at most, so that a rare match does not keep the caller for seconds. */
#define MAX_LOOKS 4096

/* How often a write is begun again because its folder vanished under it, before that is an error. */
#define MAX_ATTEMPTS 10

typedef enum
{
  SYNC_NONE,
  SYNC_DATA,
  SYNC_FULL,
} StrandFilesystemSync;

#define STRAND_TYPE_FILESYSTEM_SYNC (strand_filesystem_sync_get_type ())
GType strand_filesystem_sync_get_type (void);

struct _StrandFilesystemStore
{
  GObject parent_instance;
  char *path; /* absolute, or NULL; both set at construction, then read by any thread */
  StrandFilesystemSync sync;
  char *temp_prefix; /* of this object's temporary files */
  int last_temp;     /* atomic */

  GMutex lock; /* guards everything below */
  FilesystemWatch *watch;
  char *clean_cursor;
};

typedef enum
{
  PROP_PATH = 1,
  PROP_SYNC,
  N_PROPS,
  FIRST_COMMON_PROP = N_PROPS,
} StrandFilesystemStoreProperty;

static GParamSpec *props[N_PROPS];

static void store_init (StrandStoreInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (StrandFilesystemStore, strand_filesystem_store, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_STORE, store_init))

G_DEFINE_ENUM_TYPE (StrandFilesystemSync, strand_filesystem_sync, G_DEFINE_ENUM_VALUE (SYNC_NONE, "none"),
                    G_DEFINE_ENUM_VALUE (SYNC_DATA, "data"), G_DEFINE_ENUM_VALUE (SYNC_FULL, "full"))

/* --- names and errors ---------------------------------------------------------------------------------- */

static guint
folder_of (const char *key)
{
  guint32 hash = 2166136261u;

  for (const char *c = key; *c != '\0'; c++)
    hash = (hash ^ (guchar) *c) * 16777619u;
  return hash & (FILESYSTEM_N_FOLDERS - 1);
}

static char *
path_of_folder (StrandFilesystemStore *self, guint folder)
{
  return g_strdup_printf ("%s/%02x", self->path, folder);
}

static char *
path_of_key (StrandFilesystemStore *self, const char *key)
{
  return g_strdup_printf ("%s/%02x/%s" FILESYSTEM_SUFFIX, self->path, folder_of (key), key);
}

static const char *
cure_for (int cause)
{
  switch (cause)
    {
    case ENOSPC:
    case EDQUOT:
      return "; free some space, or set 'path' to another disk";
    case EACCES:
    case EPERM:
      return "; check its owner and mode, or set 'path' to a directory of your own";
    case EROFS:
      return "; mount it for writing, or set 'path' to another disk";
    case ENOTDIR:
      return "; set 'path' to a directory";
    case EMFILE:
    case ENFILE:
      return "; raise the limit of open files";
    default:
      return "";
    }
}

static void
set_io_error (GError **error, int cause, const char *path)
{
  g_autofree char *shown = g_filename_display_name (path);

  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (cause), "'%s': %s%s", shown, g_strerror (cause),
               cure_for (cause));
}

static void
set_corrupt (GError **error, const char *path, const char *why)
{
  g_autofree char *shown = g_filename_display_name (path);

  g_set_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT, "'%s' %s", shown, why);
}

static void
set_not_found (GError **error)
{
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND, "no record has this key");
}

static gboolean
is_not_found (const GError *error)
{
  return g_error_matches (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND);
}

static gboolean
check_path (StrandFilesystemStore *self, GError **error)
{
  if (self->path != NULL)
    return TRUE;

  g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT, "the filesystem store has no 'path'");
  return FALSE;
}

/* --- reading ------------------------------------------------------------------------------------------- */

/* Why a record's file could not be opened or read. A file that is there but closed to us is corrupt as far as
 * anybody who wants the record can tell; a whole directory that is closed is not. */
static void
set_read_error (StrandFilesystemStore *self, GError **error, int cause, const char *path)
{
  g_autofree char *folder = g_path_get_dirname (path);
  g_autofree char *why = NULL;

  if (cause == ENOENT)
    set_not_found (error);
  else if (cause == EACCES && g_access (folder, X_OK) != 0)
    set_io_error (error, cause, folder);
  else if (cause == ELOOP)
    set_corrupt (error, path, "is a symbolic link, not a record");
  else if (cause == EISDIR)
    set_corrupt (error, path, "is a directory, not a record");
  else if (cause == EACCES || cause == EPERM || cause == EIO || cause == ENXIO)
    {
      why = g_strdup_printf ("cannot be read: %s%s", g_strerror (cause), cure_for (cause));
      set_corrupt (error, path, why);
    }
  else
    set_io_error (error, cause, path);
}

static gssize
read_fully (int fd, char *buffer, gsize size)
{
  gsize length = 0;

  while (length < size)
    {
      gssize n = read (fd, buffer + length, size - length);

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return -1;
      length += n;
      /* A regular file gives all it has: a short read is its end. */
      if (n == 0 || length < size)
        break;
    }
  return length;
}

/* Reads on where the first buffer was not large enough. */
static GBytes *
read_rest (int fd, const char *start, gsize length)
{
  g_autoptr(GByteArray) all = g_byte_array_new ();
  struct stat info;
  gssize more;

  if (fstat (fd, &info) != 0)
    return NULL;
  if (!S_ISREG (info.st_mode))
    {
      errno = ENXIO;
      return NULL;
    }

  g_byte_array_append (all, (const guint8 *) start, length);
  do
    {
      gsize size = MAX ((gsize) info.st_size + 1, length + READ_SIZE);

      g_byte_array_set_size (all, size);
      more = read_fully (fd, (char *) all->data + length, size - length);
      if (more < 0)
        return NULL;
      length += more;
      g_byte_array_set_size (all, length);
    }
  while (more > 0);
  return g_byte_array_free_to_bytes (g_steal_pointer (&all));
}

/* The content of an open file; NULL with errno. A record keeps its text alive, so the text gets memory of its
 * own size. */
static GBytes *
read_bytes (int fd)
{
  char buffer[READ_SIZE];
  gssize length = read_fully (fd, buffer, sizeof buffer);

  if (length < 0)
    return NULL;
  if (length == sizeof buffer)
    return read_rest (fd, buffer, length);
  return g_bytes_new (buffer, length);
}

/* O_NONBLOCK: somebody may have put a pipe there, and opening that would wait for ever. */
static GBytes *
read_file (StrandFilesystemStore *self, int dir, const char *name, const char *path, GError **error)
{
  int fd = openat (dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
  GBytes *bytes;
  int cause;

  if (fd < 0)
    {
      set_read_error (self, error, errno, path);
      return NULL;
    }
  bytes = read_bytes (fd);
  cause = errno;
  close (fd);

  if (bytes == NULL)
    set_read_error (self, error, cause, path);
  return bytes;
}

/* Reads the record of @key from the file @name of directory @dir, which is at @path. */
static StrandRecord *
read_record (StrandFilesystemStore *self, int dir, const char *name, const char *key, const char *path,
             GError **error)
{
  g_autoptr(GBytes) json = read_file (self, dir, name, path, error);
  g_autoptr(GError) cause = NULL;
  g_autoptr(StrandRecord) record = NULL;
  g_autofree char *why = NULL;

  if (json == NULL)
    return NULL;
  if (g_bytes_get_size (json) == 0)
    {
      set_corrupt (error, path, "is empty");
      return NULL;
    }

  record = strand_record_from_json (json, &cause);
  if (record != NULL && g_strcmp0 (strand_record_get_key (record), key) == 0)
    return g_steal_pointer (&record);

  if (record == NULL)
    why = g_strdup_printf ("is not a record: %s", cause->message);
  else
    why = g_strdup_printf ("holds the record of '%s'", strand_record_get_key (record));
  set_corrupt (error, path, why);
  return NULL;
}

static StrandRecord *
strand_filesystem_store_get (StrandStore *store, const char *key, GError **error)
{
  StrandFilesystemStore *self = STRAND_FILESYSTEM_STORE (store);
  g_autofree char *path = NULL;

  if (!check_path (self, error))
    return NULL;
  path = path_of_key (self, key);
  return read_record (self, AT_FDCWD, path, key, path, error);
}

/* --- writing ------------------------------------------------------------------------------------------- */

/* Opens and locks a folder; -1 with errno. Closing the descriptor ends the lock. */
static int
lock_folder (const char *folder)
{
  int dir = open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int cause;

  if (dir < 0)
    return -1;
  while (flock (dir, LOCK_EX) != 0)
    if (errno != EINTR)
      {
        cause = errno;
        close (dir);
        errno = cause;
        return -1;
      }
  return dir;
}

static gboolean
make_folder (StrandFilesystemStore *self, const char *folder, GError **error)
{
  if (g_mkdir_with_parents (self->path, 0700) != 0)
    {
      set_io_error (error, errno, self->path);
      return FALSE;
    }
  if (g_mkdir (folder, 0700) != 0 && errno != EEXIST)
    {
      int cause = errno;

      if (cause == ENOENT)
        return TRUE; /* the root is gone again: the caller's next attempt sees to it */
      set_io_error (error, cause, folder);
      return FALSE;
    }

  g_mutex_lock (&self->lock);
  if (self->watch != NULL)
    filesystem_watch_kick (self->watch);
  g_mutex_unlock (&self->lock);
  return TRUE;
}

static gboolean
sync_directory (const char *path)
{
  int dir = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  gboolean done = dir >= 0 && fsync (dir) == 0;
  int cause = errno;

  if (dir >= 0)
    close (dir);
  errno = cause;
  return done;
}

static gboolean
write_all (int fd, GBytes *bytes)
{
  gsize size;
  const char *data = g_bytes_get_data (bytes, &size);

  while (size > 0)
    {
      gssize n = write (fd, data, size);

      if (n < 0 && errno != EINTR)
        return FALSE;
      if (n > 0)
        {
          data += n;
          size -= n;
        }
    }
  return TRUE;
}

/* Writes a new file. FALSE with errno, and no file. */
static gboolean
write_temp (StrandFilesystemStore *self, const char *temp, GBytes *json)
{
  int fd = open (temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  gboolean done;
  int cause;

  if (fd < 0)
    return FALSE;
  done = write_all (fd, json) && (self->sync == SYNC_NONE || fdatasync (fd) == 0);
  cause = errno;
  if (close (fd) != 0 && done)
    {
      /* Some file systems say only here that the disk is full. */
      cause = errno;
      done = FALSE;
    }
  if (!done)
    unlink (temp);
  errno = cause;
  return done;
}

static void
set_exists (GError **error)
{
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_EXISTS, "a record has this key already");
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

typedef enum
{
  MOVED,
  REFUSED, /* the error is set */
  VANISHED /* the folder is gone: make it and try again */
} MoveResult;

static MoveResult
settle_rename (const char *path, gboolean done, GError **error)
{
  if (done)
    return MOVED;
  if (errno == ENOENT)
    return VANISHED;
  set_io_error (error, errno, path);
  return REFUSED;
}

/* Where the file system cannot rename without replacing. */
static MoveResult
move_new_locked (const char *folder, const char *temp, const char *path, GError **error)
{
  int dir = lock_folder (folder);
  MoveResult result;

  if (dir < 0)
    return settle_rename (folder, FALSE, error);
  if (g_access (path, F_OK) == 0)
    {
      set_exists (error);
      result = REFUSED;
    }
  else
    result = settle_rename (path, rename (temp, path) == 0, error);
  close (dir);
  return result;
}

static MoveResult
move_new (const char *folder, const char *temp, const char *path, GError **error)
{
  if (renameat2 (AT_FDCWD, temp, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
    return MOVED;
  if (errno == EINVAL || errno == ENOSYS)
    return move_new_locked (folder, temp, path, error);
  if (errno != EEXIST)
    return settle_rename (path, FALSE, error);
  set_exists (error);
  return REFUSED;
}

static MoveResult
move_over (StrandFilesystemStore *self, const char *folder, const char *temp, const char *key,
           const char *path, guint64 expected, GError **error)
{
  g_autofree char *name = g_path_get_basename (path);
  g_autofree char *temp_name = g_path_get_basename (temp);
  g_autoptr(StrandRecord) old = NULL;
  g_autoptr(GError) local_error = NULL;
  int dir = lock_folder (folder);
  MoveResult result = REFUSED;

  if (dir < 0)
    return settle_rename (folder, FALSE, error);

  old = read_record (self, dir, name, key, path, &local_error);
  if (is_not_found (local_error))
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_STALE, "the record has been removed since it was read");
  else if (old == NULL)
    g_propagate_error (error, g_steal_pointer (&local_error));
  else if (check_revision (old, expected, error))
    result = settle_rename (path, renameat (dir, temp_name, dir, name) == 0, error);
  close (dir);
  return result;
}

static MoveResult
write_once (StrandFilesystemStore *self, const char *folder, const char *key, const char *path, GBytes *json,
            guint64 expected, GError **error)
{
  g_autofree char *temp =
      g_strdup_printf ("%s/%s%d", folder, self->temp_prefix, g_atomic_int_add (&self->last_temp, 1));
  MoveResult result;

  if (!write_temp (self, temp, json))
    return settle_rename (temp, FALSE, error);

  if (expected == 0)
    result = move_new (folder, temp, path, error);
  else
    result = move_over (self, folder, temp, key, path, expected, error);
  if (result != MOVED)
    unlink (temp);
  return result;
}

static gboolean
strand_filesystem_store_put (StrandStore *store, StrandRecord *record, guint64 expected, GError **error)
{
  StrandFilesystemStore *self = STRAND_FILESYSTEM_STORE (store);
  const char *key = strand_record_get_key (record);
  g_autoptr(GBytes) json = NULL;
  g_autofree char *folder = NULL;
  g_autofree char *path = NULL;
  MoveResult result = VANISHED;

  if (!check_path (self, error))
    return FALSE;
  json = strand_record_to_json (record);
  folder = path_of_folder (self, folder_of (key));
  path = path_of_key (self, key);

  for (guint i = 0; result == VANISHED && i < MAX_ATTEMPTS; i++)
    {
      /* Without a folder there is no record to replace, and nothing to make it for. */
      if (i > 0 && expected == 0 && !make_folder (self, folder, error))
        return FALSE;
      result = write_once (self, folder, key, path, json, expected, error);
      if (result == VANISHED && expected > 0 && g_access (folder, F_OK) != 0)
        {
          g_set_error (error, STRAND_ERROR, STRAND_ERROR_STALE,
                       "the record has been removed since it was read");
          return FALSE;
        }
    }
  if (result == VANISHED)
    set_io_error (error, ENOENT, folder);
  if (result != MOVED)
    return FALSE;

  if (self->sync != SYNC_FULL || sync_directory (folder))
    return TRUE;
  set_io_error (error, errno, folder);
  return FALSE;
}

static gboolean
remove_locked (StrandFilesystemStore *self, int dir, const char *key, const char *path, guint64 expected,
               GError **error)
{
  g_autofree char *name = g_path_get_basename (path);

  if (expected > 0)
    {
      g_autoptr(StrandRecord) old = read_record (self, dir, name, key, path, error);

      if (old == NULL || !check_revision (old, expected, error))
        return FALSE;
    }

  if (unlinkat (dir, name, 0) != 0)
    {
      if (errno == ENOENT)
        set_not_found (error);
      else
        set_io_error (error, errno, path);
      return FALSE;
    }
  if (self->sync == SYNC_FULL && fsync (dir) != 0)
    {
      set_io_error (error, errno, path);
      return FALSE;
    }
  return TRUE;
}

static gboolean
strand_filesystem_store_remove (StrandStore *store, const char *key, guint64 expected, GError **error)
{
  StrandFilesystemStore *self = STRAND_FILESYSTEM_STORE (store);
  g_autofree char *folder = NULL;
  g_autofree char *path = NULL;
  gboolean done;
  int dir;

  if (!check_path (self, error))
    return FALSE;
  folder = path_of_folder (self, folder_of (key));
  path = path_of_key (self, key);

  dir = lock_folder (folder);
  if (dir < 0)
    {
      set_read_error (self, error, errno, folder);
      return FALSE;
    }
  done = remove_locked (self, dir, key, path, expected, error);
  close (dir);
  return done;
}

/* --- listing ------------------------------------------------------------------------------------------- */

/* Where a walk over all files stands: after @name of @folder, or at the start of @folder where @name is NULL.
 */
typedef struct
{
  guint folder;
  char *name;
} Position;

static void
position_clear (Position *position)
{
  g_clear_pointer (&position->name, g_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Position, position_clear)

static void
position_move (Position *position, guint folder, const char *name)
{
  g_autofree char *copy = g_strdup (name);

  g_free (position->name);
  position->folder = folder;
  position->name = g_steal_pointer (&copy);
}

/* A foreign file's name may be any bytes, a cursor is text. */
static char *
position_to_cursor (const Position *position)
{
  g_autofree char *name = g_uri_escape_string (position->name != NULL ? position->name : "", NULL, FALSE);

  return g_strdup_printf ("%02x:%s", position->folder, name);
}

static gboolean
position_parse (Position *position, const char *cursor, GError **error)
{
  if (cursor == NULL)
    return TRUE;

  if (strlen (cursor) >= 3 && g_ascii_isxdigit (cursor[0]) && g_ascii_isxdigit (cursor[1]) &&
      cursor[2] == ':')
    {
      g_autofree char *name = g_uri_unescape_string (cursor + 3, NULL);

      if (name != NULL)
        {
          position_move (position, g_ascii_xdigit_value (cursor[0]) * 16 + g_ascii_xdigit_value (cursor[1]),
                         *name != '\0' ? name : NULL);
          return TRUE;
        }
    }
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT, "'%s' is not a cursor of this store",
               cursor);
  return FALSE;
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

/* The names in a directory after @after, sorted: what a listing goes by, as the kernel's own order may change
 * between two pages. NULL with errno. */
static GPtrArray *
read_names (const char *path, const char *after)
{
  DIR *dir = opendir (path);
  const struct dirent *entry;
  GPtrArray *names;

  if (dir == NULL)
    return NULL;
  names = g_ptr_array_new_with_free_func (g_free);
  while ((entry = readdir (dir)) != NULL)
    if (strcmp (entry->d_name, ".") != 0 && strcmp (entry->d_name, "..") != 0 &&
        (after == NULL || strcmp (entry->d_name, after) > 0))
      g_ptr_array_add (names, g_strdup (entry->d_name));
  closedir (dir);
  g_ptr_array_sort (names, compare_names);
  return names;
}

static void
add_foreign (StrandPage *page, const char *path, const char *why)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *shown = g_filename_display_name (path);

  set_corrupt (&error, path, why);
  strand_page_add_unreadable (page, shown, error);
}

/* Reads one file of a folder into the page: a record, or something to name. Temporary files are neither. */
static void
list_file (StrandFilesystemStore *self, guint folder, const char *name, const StrandFilter *filter,
           StrandPage *page)
{
  g_autofree char *path = g_strdup_printf ("%s/%02x/%s", self->path, folder, name);
  g_autofree char *shown = NULL;
  g_autofree char *key = NULL;
  g_autoptr(StrandRecord) record = NULL;
  g_autoptr(GError) error = NULL;

  if (g_str_has_prefix (name, TEMP_PREFIX))
    return;
  key = filesystem_dup_key (name);
  if (key == NULL)
    {
      add_foreign (page, path, "is not a record's file: those are called KEY" FILESYSTEM_SUFFIX);
      return;
    }
  if (folder_of (key) != folder)
    {
      g_autofree char *why =
          g_strdup_printf ("is in the wrong folder: it belongs in '%02x'", folder_of (key));

      add_foreign (page, path, why);
      return;
    }

  record = read_record (self, AT_FDCWD, path, key, path, &error);
  if (record != NULL && strand_filter_matches (filter, record))
    strand_page_add (page, record);
  if (record != NULL || is_not_found (error))
    return;
  shown = g_filename_display_name (path);
  strand_page_add_unreadable (page, shown, error);
}

static gboolean
is_folder_name (const char *name)
{
  return g_ascii_isxdigit (name[0]) && !g_ascii_isupper (name[0]) && g_ascii_isxdigit (name[1]) &&
         !g_ascii_isupper (name[1]) && name[2] == '\0';
}

/* Names what does not belong beside the folders. FALSE if there is nothing to list, with an error unless that
 * is because nothing has been stored yet. */
static gboolean
list_root (StrandFilesystemStore *self, StrandPage *page, GError **error)
{
  g_autoptr(GPtrArray) names = read_names (self->path, NULL);

  if (names == NULL)
    {
      if (errno != ENOENT)
        set_io_error (error, errno, self->path);
      return FALSE;
    }
  for (guint i = 0; i < names->len; i++)
    {
      const char *name = g_ptr_array_index (names, i);
      g_autofree char *path = g_build_filename (self->path, name, NULL);

      if (!is_folder_name (name))
        add_foreign (page, path, "does not belong here: records lie in folders called 00 to ff");
    }
  return TRUE;
}

/* Lists the rest of a folder. FALSE if the page is full first; the position is then where to go on. */
static gboolean
list_folder (StrandFilesystemStore *self, const StrandFilter *filter, guint limit, Position *position,
             guint *n_looks, StrandPage *page)
{
  guint folder = position->folder;
  g_autofree char *path = path_of_folder (self, folder);
  g_autoptr(GPtrArray) names = read_names (path, position->name);

  if (names == NULL)
    {
      g_autoptr(GError) error = NULL;

      if (errno == ENOENT)
        return TRUE;
      set_io_error (&error, errno, path);
      strand_page_add_unreadable (page, path, error);
      return TRUE;
    }

  for (guint i = 0; i < names->len; i++)
    {
      const char *name = g_ptr_array_index (names, i);

      list_file (self, folder, name, filter, page);
      if (strand_page_get_records (page)->len >= limit || ++*n_looks >= MAX_LOOKS)
        {
          position_move (position, folder, name);
          return FALSE;
        }
    }
  return TRUE;
}

static StrandPage *
strand_filesystem_store_list (StrandStore *store, const StrandFilter *filter, const char *cursor, guint limit,
                              GError **error)
{
  StrandFilesystemStore *self = STRAND_FILESYSTEM_STORE (store);
  g_autoptr(StrandPage) page = strand_page_new ();
  g_auto(Position) position = { 0, NULL };
  g_autoptr(GError) local_error = NULL;
  g_autofree char *next = NULL;
  guint n_looks = 0;

  if (!check_path (self, error) || !position_parse (&position, cursor, error))
    return NULL;
  if (cursor == NULL && !list_root (self, page, &local_error))
    {
      if (local_error == NULL)
        return g_steal_pointer (&page);
      g_propagate_error (error, g_steal_pointer (&local_error));
      return NULL;
    }

  for (; position.folder < FILESYSTEM_N_FOLDERS; position_move (&position, position.folder + 1, NULL))
    if (!list_folder (self, filter, limit, &position, &n_looks, page))
      {
        next = position_to_cursor (&position);
        strand_page_set_next (page, next);
        break;
      }
  return g_steal_pointer (&page);
}

/* --- cleaning up --------------------------------------------------------------------------------------- */

/* Removes what a writer left that was killed between writing and renaming. */
static void
collect_temp (StrandFilesystemStore *self, const char *path, const char *name)
{
  g_autofree char *owner = g_strdup (name + strlen (TEMP_PREFIX));
  char *serial = strrchr (owner, '-');
  StrandOwnerState state;
  struct stat info;

  if (serial != NULL)
    *serial = '\0';
  state = strand_lease_owner_probe (owner);
  if (state == STRAND_OWNER_STATE_ALIVE)
    return;
  if (state == STRAND_OWNER_STATE_UNKNOWN &&
      (stat (path, &info) != 0 || g_get_real_time () / G_USEC_PER_SEC - info.st_mtime < TEMP_MAX_AGE_S))
    return;

  if (unlink (path) == 0)
    strand_debug (STRAND_TOPIC_STORE, "Removed '%s', left by a writer that died", path);
}

/* Whether the file held an expired record, and was removed. */
static gboolean
clean_file (StrandFilesystemStore *self, guint folder, const char *name, gint64 now_us)
{
  g_autofree char *path = g_strdup_printf ("%s/%02x/%s", self->path, folder, name);
  g_autofree char *key = NULL;
  g_autoptr(StrandRecord) record = NULL;

  if (g_str_has_prefix (name, TEMP_PREFIX))
    {
      collect_temp (self, path, name);
      return FALSE;
    }
  key = filesystem_dup_key (name);
  if (key == NULL || folder_of (key) != folder)
    return FALSE;
  record = read_record (self, AT_FDCWD, path, key, path, NULL);
  if (record == NULL || !strand_record_is_expired (record, now_us) ||
      !strand_filesystem_store_remove (STRAND_STORE (self), key, strand_record_get_revision (record), NULL))
    return FALSE;

  strand_store_changed (STRAND_STORE (self), key);
  return TRUE;
}

static gboolean
is_over (gint64 start_us, gint64 budget_us)
{
  return budget_us >= 0 && strand_clock_monotonic_us () - start_us >= budget_us;
}

/* Cleans the rest of a folder, or as much as there is time for, but always something, so that cleanups
 * without any time to spend get on too. The position moves with it. */
static void
clean_folder (StrandFilesystemStore *self, Position *position, gint64 now_us, gint64 start_us,
              gint64 budget_us, gint64 *n_removed)
{
  guint folder = position->folder;
  g_autofree char *path = path_of_folder (self, folder);
  g_autoptr(GPtrArray) names = read_names (path, position->name);

  for (guint i = 0; names != NULL && i < names->len; i++)
    {
      const char *name = g_ptr_array_index (names, i);

      *n_removed += clean_file (self, folder, name, now_us);
      if (is_over (start_us, budget_us))
        {
          position_move (position, folder, name);
          return;
        }
    }
  position_move (position, folder + 1, NULL);
}

static gint64
strand_filesystem_store_cleanup_expired (StrandStore *store, gint64 now_us, gint64 budget_us, GError **error)
{
  StrandFilesystemStore *self = STRAND_FILESYSTEM_STORE (store);
  gint64 start_us = strand_clock_monotonic_us ();
  g_auto(Position) position = { 0, NULL };
  g_autofree char *cursor = NULL;
  gint64 n_removed = 0;

  if (!check_path (self, error))
    return -1;
  if (budget_us >= 0)
    {
      g_mutex_lock (&self->lock);
      cursor = g_steal_pointer (&self->clean_cursor);
      g_mutex_unlock (&self->lock);
    }
  if (!position_parse (&position, cursor, error))
    return -1;

  do
    clean_folder (self, &position, now_us, start_us, budget_us, &n_removed);
  while (position.folder < FILESYSTEM_N_FOLDERS && !is_over (start_us, budget_us));

  if (position.folder < FILESYSTEM_N_FOLDERS)
    {
      g_mutex_lock (&self->lock);
      g_free (self->clean_cursor);
      self->clean_cursor = position_to_cursor (&position);
      g_mutex_unlock (&self->lock);
    }
  return n_removed;
}

/* --- plumbing ------------------------------------------------------------------------------------------ */

static gboolean
strand_filesystem_store_set_watching (StrandStore *store, gboolean watching, GError **error)
{
  StrandFilesystemStore *self = STRAND_FILESYSTEM_STORE (store);
  FilesystemWatch *watch = NULL;

  if (watching &&
      (!check_path (self, error) || (watch = filesystem_watch_start (store, self->path, error)) == NULL))
    return FALSE;

  g_mutex_lock (&self->lock);
  if (self->watch != NULL)
    filesystem_watch_stop (self->watch);
  self->watch = watch;
  g_mutex_unlock (&self->lock);
  return TRUE;
}

static void
store_init (StrandStoreInterface *iface)
{
  iface->get = strand_filesystem_store_get;
  iface->put = strand_filesystem_store_put;
  iface->remove = strand_filesystem_store_remove;
  iface->list = strand_filesystem_store_list;
  iface->set_watching = strand_filesystem_store_set_watching;
  iface->cleanup_expired = strand_filesystem_store_cleanup_expired;
}

static void
strand_filesystem_store_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  StrandFilesystemStore *self = STRAND_FILESYSTEM_STORE (object);
  const char *path;

  switch (id)
    {
    case PROP_PATH:
      path = g_value_get_string (value);
      self->path = path != NULL && *path != '\0' ? g_canonicalize_filename (path, NULL) : NULL;
      break;
    case PROP_SYNC:
      self->sync = g_value_get_enum (value);
      break;
    default:
      strand_store_set_common_property (STRAND_STORE (self), value, pspec);
    }
}

static void
strand_filesystem_store_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  StrandFilesystemStore *self = STRAND_FILESYSTEM_STORE (object);

  switch (id)
    {
    case PROP_PATH:
      g_value_set_string (value, self->path);
      break;
    case PROP_SYNC:
      g_value_set_enum (value, self->sync);
      break;
    default:
      strand_store_get_common_property (STRAND_STORE (self), value, pspec);
    }
}

static void
strand_filesystem_store_finalize (GObject *object)
{
  StrandFilesystemStore *self = STRAND_FILESYSTEM_STORE (object);

  g_clear_pointer (&self->watch, filesystem_watch_stop);
  g_free (self->clean_cursor);
  g_free (self->temp_prefix);
  g_free (self->path);
  g_mutex_clear (&self->lock);

  G_OBJECT_CLASS (strand_filesystem_store_parent_class)->finalize (object);
}

static void
strand_filesystem_store_class_init (StrandFilesystemStoreClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->set_property = strand_filesystem_store_set_property;
  object_class->get_property = strand_filesystem_store_get_property;
  object_class->finalize = strand_filesystem_store_finalize;

  props[PROP_PATH] = g_param_spec_string (
      "path", NULL, "Directory that holds the records; made with mode 0700 when the first one is stored",
      NULL, G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS | STRAND_PARAM_REQUIRED);
  props[PROP_SYNC] = g_param_spec_enum ("sync", NULL,
                                        "What a power cut may cost: with none the latest records, with data "
                                        "only whole writes, with full nothing "
                                        "that was accepted",
                                        STRAND_TYPE_FILESYSTEM_SYNC, SYNC_NONE,
                                        G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);
  g_object_class_install_properties (object_class, N_PROPS, props);
  strand_store_override_properties (object_class, FIRST_COMMON_PROP);
}

static void
strand_filesystem_store_init (StrandFilesystemStore *self)
{
  g_autofree char *owner = strand_lease_owner_self ("file");

  g_mutex_init (&self->lock);
  self->temp_prefix = g_strdup_printf (TEMP_PREFIX "%s-", owner);
}

STRAND_PLUGIN_DEFINE ("filesystem-store", STRAND_VERSION, "LGPL-2.1-or-later",
                      STRAND_PROVIDES_STORE ("filesystem", StrandFilesystemStore,
                                             strand_filesystem_store_get_type,
                                             "Keeps each record in a JSON file of its own"))
