/* filesystem-place.c — the directory of a filesystem store: its names, its locks, its reads and its writes.
 *
 * All that the store does to its files comes down to these few: read a whole file, write a new one whole,
 * lock a folder. What they promise is said in filesystem-store.c.
 *
 * File systems of other hosts are told by their type. Where locks of one host may not hold for another
 * nothing is written, with an error that says so; where they do, the kernel still tells nobody what others
 * write.                                           SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "filesystem-place.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* A temporary file whose writer cannot be looked up (another host, before a reboot) is left alone for so
 * long; a write takes milliseconds. */
#define TEMP_MAX_AGE_S (60 * 60)

/* Most records fit, so most reads are open, read, close. */
#define READ_SIZE (16 * 1024)

/* File systems that are not of this host alone, by what statfs() says. */
static const struct
{
  guint32 type;
  const char *name;
  gboolean locks_hold; /* flock() is every host's */
} shared[] = { { 0x6969, "nfs", FALSE },      { 0xff534d42, "cifs", FALSE }, { 0xfe534d42, "smb", FALSE },
               { 0x517b, "smb", FALSE },      { 0x73757245, "coda", FALSE }, { 0x5346414f, "afs", FALSE },
               { 0x564c, "ncp", FALSE },      { 0x00c36400, "ceph", TRUE },  { 0x01161970, "gfs2", TRUE },
               { 0x7461636f, "ocfs2", TRUE }, { 0x0bd00bd0, "lustre", TRUE } };

void
filesystem_place_init (FilesystemPlace *self)
{
  g_autofree char *owner = strand_lease_owner_self ("file");

  self->temp_prefix = g_strdup_printf (FILESYSTEM_TEMP_PREFIX "%s-", owner);
}

void
filesystem_place_clear (FilesystemPlace *self)
{
  g_free (self->temp_prefix);
  g_free (self->path);
}

gboolean
filesystem_place_check (FilesystemPlace *self, GError **error)
{
  if (self->path != NULL)
    return TRUE;

  g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT, "the filesystem store has no 'path'");
  return FALSE;
}

/* The place in the table of the file system that a directory lies on, or will once it is made; -1 for a local
 * one. */
static int
find_shared (FilesystemPlace *self)
{
  g_autofree char *path = g_strdup (self->path);
  struct statfs info;

  while (statfs (path, &info) != 0)
    {
      char *slash = strrchr (path, '/');

      if (errno != ENOENT || slash == NULL || slash[1] == '\0')
        return -1;
      slash[slash == path] = '\0';
    }
  for (guint i = 0; i < G_N_ELEMENTS (shared); i++)
    if ((guint32) info.f_type == shared[i].type)
      return (int) i;
  return -1;
}

gboolean
filesystem_place_check_writable (FilesystemPlace *self, GError **error)
{
  int found;

  if (!filesystem_place_check (self, error))
    return FALSE;
  found = find_shared (self);
  if (found < 0 || shared[found].locks_hold)
    return TRUE;

  g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
               "'%s' is on a network file system (%s), where a lock of one host does not hold for another; "
               "set 'path' to a disk of this host, or use a store with a server",
               self->path, shared[found].name);
  return FALSE;
}

gboolean
filesystem_place_is_shared (FilesystemPlace *self)
{
  return find_shared (self) >= 0;
}

/* --- names and errors ---------------------------------------------------------------------------------- */

guint
filesystem_folder_of (const char *key)
{
  guint32 hash = 2166136261u;

  for (const char *c = key; *c != '\0'; c++)
    hash = (hash ^ (guchar) *c) * 16777619u;
  return hash & (FILESYSTEM_N_FOLDERS - 1);
}

char *
filesystem_path_of_folder (FilesystemPlace *self, guint folder)
{
  return g_strdup_printf ("%s/%02x", self->path, folder);
}

char *
filesystem_path_of_key (FilesystemPlace *self, const char *key)
{
  return g_strdup_printf ("%s/%02x/%s" FILESYSTEM_SUFFIX, self->path, filesystem_folder_of (key), key);
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

void
filesystem_set_io_error (GError **error, int cause, const char *path)
{
  g_autofree char *shown = g_filename_display_name (path);

  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (cause), "'%s': %s%s", shown, g_strerror (cause),
               cure_for (cause));
}

void
filesystem_set_corrupt (GError **error, const char *path, const char *why)
{
  g_autofree char *shown = g_filename_display_name (path);

  g_set_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT, "'%s' %s", shown, why);
}

void
filesystem_set_not_found (GError **error)
{
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND, "no record has this key");
}

gboolean
filesystem_is_not_found (const GError *error)
{
  return g_error_matches (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND);
}

char *
filesystem_dup_key (const char *name)
{
  g_autofree char *key = NULL;

  if (!g_str_has_suffix (name, FILESYSTEM_SUFFIX))
    return NULL;
  key = g_strndup (name, strlen (name) - strlen (FILESYSTEM_SUFFIX));
  return strand_key_check (key, NULL) ? g_steal_pointer (&key) : NULL;
}

/* --- reading ------------------------------------------------------------------------------------------- */

/* Why a record's file could not be opened or read. A file that is there but closed to us is corrupt as far as
 * anybody who wants the record can tell; a whole directory that is closed is not. */
void
filesystem_set_read_error (GError **error, int cause, const char *path)
{
  g_autofree char *folder = g_path_get_dirname (path);
  g_autofree char *why = NULL;

  if (cause == ENOENT)
    filesystem_set_not_found (error);
  else if (cause == EACCES && g_access (folder, X_OK) != 0)
    filesystem_set_io_error (error, cause, folder);
  else if (cause == ELOOP)
    filesystem_set_corrupt (error, path, "is a symbolic link, not a record");
  else if (cause == EISDIR)
    filesystem_set_corrupt (error, path, "is a directory, not a record");
  else if (cause == EACCES || cause == EPERM || cause == EIO || cause == ENXIO)
    {
      why = g_strdup_printf ("cannot be read: %s%s", g_strerror (cause), cure_for (cause));
      filesystem_set_corrupt (error, path, why);
    }
  else
    filesystem_set_io_error (error, cause, path);
}

gssize
filesystem_read_fully (int fd, char *buffer, gsize size)
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
      more = filesystem_read_fully (fd, (char *) all->data + length, size - length);
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
  gssize length = filesystem_read_fully (fd, buffer, sizeof buffer);

  if (length < 0)
    return NULL;
  if (length == sizeof buffer)
    return read_rest (fd, buffer, length);
  return g_bytes_new (buffer, length);
}

/* O_NONBLOCK: somebody may have put a pipe there, and opening that would wait for ever. */
static GBytes *
read_file (int dir, const char *name, const char *path, GError **error)
{
  int fd = openat (dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
  GBytes *bytes;
  int cause;

  if (fd < 0)
    {
      filesystem_set_read_error (error, errno, path);
      return NULL;
    }
  bytes = read_bytes (fd);
  cause = errno;
  close (fd);

  if (bytes == NULL)
    filesystem_set_read_error (error, cause, path);
  return bytes;
}

/* Reads the record of @key from the file @name of directory @dir, which is at @path. */
StrandRecord *
filesystem_read_record (int dir, const char *name, const char *key, const char *path, GError **error)
{
  g_autoptr(GBytes) json = read_file (dir, name, path, error);
  g_autoptr(GError) cause = NULL;
  g_autoptr(StrandRecord) record = NULL;
  g_autofree char *why = NULL;

  if (json == NULL)
    return NULL;
  if (g_bytes_get_size (json) == 0)
    {
      filesystem_set_corrupt (error, path, "is empty");
      return NULL;
    }

  record = strand_record_from_json (json, &cause);
  if (record != NULL && g_strcmp0 (strand_record_get_key (record), key) == 0)
    return g_steal_pointer (&record);

  if (record == NULL)
    why = g_strdup_printf ("is not a record: %s", cause->message);
  else
    why = g_strdup_printf ("holds the record of '%s'", strand_record_get_key (record));
  filesystem_set_corrupt (error, path, why);
  return NULL;
}

/* --- writing ------------------------------------------------------------------------------------------- */

/* Opens and locks a folder; -1 with errno. Closing the descriptor ends the lock. */
int
filesystem_lock_folder (const char *folder)
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

gboolean
filesystem_sync_directory (const char *path)
{
  int dir = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  gboolean done = dir >= 0 && TEMP_FAILURE_RETRY (fsync (dir)) == 0;
  int cause = errno;

  if (dir >= 0)
    close (dir);
  errno = cause;
  return done;
}

gboolean
filesystem_make_root (FilesystemPlace *self, GError **error)
{
  g_autofree char *above = g_path_get_dirname (self->path);

  if (g_mkdir_with_parents (self->path, 0700) == 0 &&
      (self->sync != SYNC_FULL || filesystem_sync_directory (above)))
    return TRUE;
  filesystem_set_io_error (error, errno, self->path);
  return FALSE;
}

gboolean
filesystem_make_folder (FilesystemPlace *self, const char *folder, GError **error)
{
  if (g_mkdir (folder, 0700) != 0 && errno != EEXIST)
    {
      int cause = errno;

      if (cause == ENOENT)
        return TRUE; /* the root is gone again: the caller's next attempt sees to it */
      filesystem_set_io_error (error, cause, folder);
      return FALSE;
    }
  if (self->sync != SYNC_FULL || filesystem_sync_directory (self->path))
    return TRUE;
  filesystem_set_io_error (error, errno, self->path);
  return FALSE;
}

char *
filesystem_temp_path (FilesystemPlace *self, const char *folder)
{
  return g_strdup_printf ("%s/%s%d", folder, self->temp_prefix, g_atomic_int_add (&self->last_temp, 1));
}

gboolean
filesystem_write_all (int fd, const char *data, gsize size)
{
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
gboolean
filesystem_write_temp (FilesystemPlace *self, const char *temp, GBytes *bytes)
{
  gsize size;
  const char *data = g_bytes_get_data (bytes, &size);
  int fd = TEMP_FAILURE_RETRY (open (temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  gboolean done;
  int cause;

  if (fd < 0)
    return FALSE;
  done = filesystem_write_all (fd, data, size) &&
         (self->sync == SYNC_NONE || TEMP_FAILURE_RETRY (fdatasync (fd)) == 0);
  cause = errno;
  if (close (fd) != 0 && errno != EINTR && done)
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

gboolean
filesystem_is_folder_name (const char *name)
{
  return g_ascii_isxdigit (name[0]) && !g_ascii_isupper (name[0]) && g_ascii_isxdigit (name[1]) &&
         !g_ascii_isupper (name[1]) && name[2] == '\0';
}

/* Removes what a writer left that was killed between writing and renaming. */
void
filesystem_collect_temp (const char *path, const char *name)
{
  g_autofree char *owner = g_strdup (name + strlen (FILESYSTEM_TEMP_PREFIX));
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
