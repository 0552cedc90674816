/* filesystem-items.c — what calls emit, a file for each call and fence.
 *
 * `items/KEY@FENCE` is a sequence of frames: index, length and check of an item, then its bytes. It is
 * written at its end only. A writer that dies leaves half a frame there, which the next one cuts off and
 * readers stop at. To keep it bounded, a log that has grown well beyond what is to be kept is copied from
 * there on and renamed over itself.
 *
 * Both ends remember where in the file they have got to, so that neither begins at the front each time. What
 * is remembered is a hint: a frame, there or at the front,
 * whose index is not the expected one sends the reader back to the front.
 *
 * Numbers are little-endian.                       SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "filesystem-items.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* How many items more than wanted a log may have before the oldest are dropped: copying what is kept is
 * shared by so many. */
#define MIN_SLACK 64
#define SLACK_PART 4

/* How many places are remembered, before all are forgotten. */
#define MAX_PLACES 256

/* More fences than this are found by looking at every log. */
#define MANY_FENCES 64

/* A log without a record may be written by a holder that is about to learn of its loss. */
#define ORPHAN_MAX_AGE_S (60 * 60)

typedef struct
{
  guint64 index;
  guint32 length;
  guint32 check; /* of the two above and the bytes */
} Frame;

#define FRAME_SIZE 16

/* A place in a file: the frame at @offset has, or will have, this index. */
typedef struct
{
  ino_t inode;
  guint64 begin; /* index of the first frame of the file */
  guint64 index;
  off_t offset;
} Place;

struct _FilesystemItems
{
  FilesystemPlace *place;

  GMutex lock;       /* guards the tables */
  GHashTable *ends;  /* file name → Place, where to append */
  GHashTable *reads; /* file name → Place, where to read on */
};

static char *
dup_name (const char *key, guint64 fence)
{
  return g_strdup_printf ("%s@%" G_GUINT64_FORMAT, key, fence);
}

static char *
path_of (FilesystemPlace *place, const char *name)
{
  return g_strdup_printf ("%s/" FILESYSTEM_ITEMS "/%s", place->path, name);
}

/* --- remembered places --------------------------------------------------------------------------------- */

static gboolean
recall (FilesystemItems *self, GHashTable *table, const char *name, Place *place)
{
  Place *found;

  g_mutex_lock (&self->lock);
  found = g_hash_table_lookup (table, name);
  if (found != NULL)
    *place = *found;
  g_mutex_unlock (&self->lock);
  return found != NULL;
}

static void
remember (FilesystemItems *self, GHashTable *table, const char *name, const Place *place)
{
  g_mutex_lock (&self->lock);
  if (g_hash_table_size (table) >= MAX_PLACES)
    g_hash_table_remove_all (table);
  g_hash_table_insert (table, g_strdup (name), g_memdup2 (place, sizeof *place));
  g_mutex_unlock (&self->lock);
}

static void
forget (FilesystemItems *self, const char *name)
{
  g_mutex_lock (&self->lock);
  g_hash_table_remove (self->ends, name);
  g_hash_table_remove (self->reads, name);
  g_mutex_unlock (&self->lock);
}

/* --- frames -------------------------------------------------------------------------------------------- */

/* FNV-1a: enough to tell a torn frame. */
static guint32
add_to_check (guint32 check, const guint8 *data, gsize size)
{
  for (gsize i = 0; i < size; i++)
    check = (check ^ data[i]) * 16777619u;
  return check;
}

static guint32
check_of (guint64 index, const guint8 *data, guint32 length)
{
  guint64 index_le = GUINT64_TO_LE (index);
  guint32 length_le = GUINT32_TO_LE (length);
  guint32 check = add_to_check (2166136261u, (const guint8 *) &index_le, sizeof index_le);

  check = add_to_check (check, (const guint8 *) &length_le, sizeof length_le);
  return add_to_check (check, data, length);
}

static void
add_frame (GByteArray *all, guint64 index, GBytes *item)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (item, &size);
  guint64 index_le = GUINT64_TO_LE (index);
  guint32 length_le = GUINT32_TO_LE ((guint32) size);
  guint32 check_le = GUINT32_TO_LE (check_of (index, data, (guint32) size));

  g_byte_array_append (all, (const guint8 *) &index_le, sizeof index_le);
  g_byte_array_append (all, (const guint8 *) &length_le, sizeof length_le);
  g_byte_array_append (all, (const guint8 *) &check_le, sizeof check_le);
  g_byte_array_append (all, data, (guint) size);
}

static gboolean
read_at (int fd, off_t offset, void *data, gsize size)
{
  gsize length = 0;

  while (length < size)
    {
      gssize n = pread (fd, (char *) data + length, size - length, offset + (off_t) length);

      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        return FALSE;
      length += (gsize) n;
    }
  return TRUE;
}

/* The frame at an offset of a file of @size bytes; FALSE where there is no whole one. */
static gboolean
read_frame (int fd, off_t offset, off_t size, Frame *frame)
{
  guint8 bytes[FRAME_SIZE];

  if (size - offset < FRAME_SIZE || !read_at (fd, offset, bytes, sizeof bytes))
    return FALSE;
  memcpy (&frame->index, bytes, 8);
  memcpy (&frame->length, bytes + 8, 4);
  memcpy (&frame->check, bytes + 12, 4);
  frame->index = GUINT64_FROM_LE (frame->index);
  frame->length = GUINT32_FROM_LE (frame->length);
  frame->check = GUINT32_FROM_LE (frame->check);
  return size - offset - FRAME_SIZE >= frame->length;
}

/* The bytes of a frame, NULL if they are not what was written. */
static GBytes *
read_item (int fd, off_t offset, const Frame *frame)
{
  g_autofree guint8 *data = g_try_malloc (MAX (frame->length, 1));

  if (data == NULL || !read_at (fd, offset + FRAME_SIZE, data, frame->length) ||
      check_of (frame->index, data, frame->length) != frame->check)
    return NULL;
  return g_bytes_new_take (g_steal_pointer (&data), frame->length);
}

static off_t
after_frame (off_t offset, const Frame *frame)
{
  return offset + FRAME_SIZE + (off_t) frame->length;
}

/* Goes through a file from its front up to the frame with index @to, or to its end. @whole: look at every
 * byte, as the last frame may be torn. FALSE if there is no frame at all. */
static gboolean
find_place (int fd, const struct stat *info, guint64 to, gboolean whole, Place *place)
{
  Frame frame;

  place->inode = info->st_ino;
  place->offset = 0;
  if (!read_frame (fd, 0, info->st_size, &frame))
    return FALSE;
  place->begin = place->index = frame.index;
  while (place->index < to && read_frame (fd, place->offset, info->st_size, &frame) &&
         frame.index == place->index)
    {
      g_autoptr(GBytes) item = whole ? read_item (fd, place->offset, &frame) : NULL;

      if (whole && item == NULL)
        break;
      place->offset = after_frame (place->offset, &frame);
      place->index++;
    }
  return place->index > place->begin || to <= place->begin;
}

/* --- writing ------------------------------------------------------------------------------------------- */

static gboolean
write_at (int fd, const guint8 *data, gsize size, off_t offset)
{
  while (size > 0)
    {
      gssize n = pwrite (fd, data, size, offset);

      if (n < 0 && errno != EINTR)
        return FALSE;
      if (n > 0)
        {
          data += n;
          size -= (gsize) n;
          offset += n;
        }
    }
  return TRUE;
}

/* Opens a log for writing and locks it; -1 with errno. */
static int
open_log (FilesystemPlace *place, const char *path, struct stat *info)
{
  int fd = TEMP_FAILURE_RETRY (open (path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
  int cause;

  if (fd < 0 && errno == ENOENT)
    {
      g_autofree char *folder = g_path_get_dirname (path);

      if (g_mkdir (folder, 0700) != 0 && errno != EEXIST)
        return -1;
      if (place->sync == SYNC_FULL && !filesystem_sync_directory (place->path))
        return -1;
      fd = TEMP_FAILURE_RETRY (open (path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
    }
  if (fd < 0)
    return -1;
  if (TEMP_FAILURE_RETRY (flock (fd, LOCK_EX)) == 0 && fstat (fd, info) == 0)
    return fd;
  cause = errno;
  close (fd);
  errno = cause;
  return -1;
}

/* Where @first is to be written: at its place in the log, or at the front of a new one. */
static void
choose_place (FilesystemItems *self, int fd, const struct stat *info, const char *name, guint64 first,
              Place *place)
{
  gboolean known = recall (self, self->ends, name, place) && place->inode == info->st_ino &&
                   place->offset == info->st_size && place->index == first;

  if (known || (info->st_size > 0 && find_place (fd, info, first, TRUE, place) && place->index == first))
    return;
  *place = (Place){ info->st_ino, first, first, 0 };
}

/* Copies what is to be kept into a new file and renames that over the log. */
static gboolean
drop_oldest (FilesystemItems *self, int fd, const char *path, Place *end, guint64 keep)
{
  g_autofree char *folder = g_path_get_dirname (path);
  g_autofree char *temp = filesystem_temp_path (self->place, folder);
  g_autofree guint8 *data = NULL;
  g_autoptr(GBytes) bytes = NULL;
  struct stat info;
  Place from;
  gsize size;

  if (fstat (fd, &info) != 0 || !find_place (fd, &info, keep, FALSE, &from) || from.index != keep)
    return FALSE;
  size = (gsize) (end->offset - from.offset);
  data = g_try_malloc (MAX (size, 1));
  if (data == NULL || !read_at (fd, from.offset, data, size))
    return FALSE;
  bytes = g_bytes_new_take (g_steal_pointer (&data), size);
  if (!filesystem_write_temp (self->place, temp, bytes))
    return FALSE;
  if (rename (temp, path) != 0)
    {
      unlink (temp);
      return FALSE;
    }
  end->begin = keep;
  end->offset = (off_t) size;
  end->inode = stat (path, &info) == 0 ? info.st_ino : 0;
  return TRUE;
}

static gboolean
sync_log (FilesystemPlace *place, int fd, const char *path, gboolean is_new)
{
  g_autofree char *folder = g_path_get_dirname (path);

  if (place->sync == SYNC_NONE)
    return TRUE;
  return TEMP_FAILURE_RETRY (fdatasync (fd)) == 0 &&
         (!is_new || place->sync != SYNC_FULL || filesystem_sync_directory (folder));
}

/* FALSE with errno, and the log as it was up to @first. */
static gboolean
write_frames (FilesystemItems *self, int fd, const struct stat *info, const char *path, GByteArray *frames,
              Place *place)
{
  gboolean done;
  int cause;

  if (info->st_size > place->offset && ftruncate (fd, place->offset) != 0)
    return FALSE;
  done = write_at (fd, frames->data, frames->len, place->offset) &&
         sync_log (self->place, fd, path, info->st_size == 0);
  cause = errno;
  if (!done && ftruncate (fd, place->offset) != 0)
    strand_debug (STRAND_TOPIC_STORE, "'%s' keeps half an item", path);
  errno = cause;
  return done;
}

gboolean
filesystem_items_append (FilesystemItems *self, const char *key, guint64 fence, guint64 first,
                         GBytes *const *items, guint n, guint max_items, GError **error)
{
  g_autofree char *name = dup_name (key, fence);
  g_autofree char *path = path_of (self->place, name);
  g_autoptr(GByteArray) frames = g_byte_array_new ();
  guint skip = n > MAX (max_items, 1) ? n - MAX (max_items, 1) : 0;
  struct stat info;
  Place place;
  gboolean done;
  int cause, fd;

  if (n == 0)
    return TRUE;
  for (guint i = skip; i < n; i++)
    add_frame (frames, first + i, items[i]);
  fd = open_log (self->place, path, &info);
  if (fd < 0)
    {
      filesystem_set_io_error (error, errno, path);
      return FALSE;
    }

  choose_place (self, fd, &info, name, first + skip, &place);
  done = write_frames (self, fd, &info, path, frames, &place);
  cause = errno;
  if (done)
    {
      place.index = first + n;
      place.offset += frames->len;
      if (place.index - place.begin > max_items + MAX (max_items / SLACK_PART, MIN_SLACK) &&
          !drop_oldest (self, fd, path, &place, place.index - MAX (max_items, 1)))
        strand_debug (STRAND_TOPIC_STORE, "'%s' could not be shortened: %s", path, g_strerror (errno));
      remember (self, self->ends, name, &place);
    }
  else
    {
      forget (self, name);
      filesystem_set_io_error (error, cause, path);
    }
  close (fd);
  return done;
}

/* --- reading ------------------------------------------------------------------------------------------- */

/* Where @from lies in the file; the first frame where the log begins later. FALSE if it is beyond the end. */
static gboolean
choose_start (FilesystemItems *self, int fd, const struct stat *info, const char *name, guint64 from,
              Place *place)
{
  Frame frame;

  if (recall (self, self->reads, name, place) && place->inode == info->st_ino && place->index == from &&
      read_frame (fd, 0, info->st_size, &frame) && frame.index == place->begin)
    {
      if (place->offset == info->st_size)
        return FALSE;
      if (read_frame (fd, place->offset, info->st_size, &frame) && frame.index == from)
        return TRUE;
    }
  return find_place (fd, info, from, FALSE, place) && place->index >= from;
}

static GPtrArray *
read_log (FilesystemItems *self, int fd, const char *name, guint64 from, guint limit, guint64 *first)
{
  g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  struct stat info;
  Place place;
  Frame frame;

  *first = from;
  if (fstat (fd, &info) != 0 || !choose_start (self, fd, &info, name, from, &place))
    return g_steal_pointer (&found);
  *first = place.index;
  while (found->len < limit && read_frame (fd, place.offset, info.st_size, &frame) &&
         frame.index == place.index)
    {
      GBytes *item = read_item (fd, place.offset, &frame);

      if (item == NULL)
        break;
      g_ptr_array_add (found, item);
      place.offset = after_frame (place.offset, &frame);
      place.index++;
    }
  remember (self, self->reads, name, &place);
  return g_steal_pointer (&found);
}

GPtrArray *
filesystem_items_read (FilesystemItems *self, const char *key, guint64 fence, guint64 from, guint limit,
                       guint64 *first, GError **error)
{
  g_autofree char *name = dup_name (key, fence);
  g_autofree char *path = path_of (self->place, name);
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  GPtrArray *found;

  if (fd < 0 && errno != ENOENT)
    {
      filesystem_set_io_error (error, errno, path);
      return NULL;
    }
  if (fd < 0)
    {
      *first = from;
      return g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
    }
  found = read_log (self, fd, name, from, limit, first);
  close (fd);
  return found;
}

/* --- removing ------------------------------------------------------------------------------------------ */

/* The key and the fence that a log's name says. */
static gboolean
parse_name (const char *name, char **key, guint64 *fence)
{
  const char *at = strrchr (name, '@');
  g_autofree char *found = at != NULL ? g_strndup (name, (gsize) (at - name)) : NULL;

  if (found == NULL || !strand_key_check (found, NULL) ||
      !g_ascii_string_to_unsigned (at + 1, 10, 0, G_MAXUINT64, fence, NULL))
    return FALSE;
  *key = g_steal_pointer (&found);
  return TRUE;
}

static gboolean
remove_log (FilesystemItems *self, int dir, const char *name, GError **error)
{
  g_autofree char *path = NULL;

  if (unlinkat (dir, name, 0) == 0)
    {
      forget (self, name);
      return TRUE;
    }
  if (errno == ENOENT)
    return TRUE;
  path = path_of (self->place, name);
  filesystem_set_io_error (error, errno, path);
  return FALSE;
}

static gboolean
remove_by_looking (FilesystemItems *self, int folder, const char *folder_path, const char *key, guint64 fence,
                   GError **error)
{
  g_autoptr(GDir) dir = g_dir_open (folder_path, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *own_key = NULL;
      guint64 own_fence;

      if (parse_name (name, &own_key, &own_fence) && strcmp (own_key, key) == 0 && own_fence <= fence &&
          !remove_log (self, folder, name, error))
        return FALSE;
    }
  return TRUE;
}

gboolean
filesystem_items_remove (FilesystemItems *self, const char *key, guint64 fence, GError **error)
{
  g_autofree char *folder = g_build_filename (self->place->path, FILESYSTEM_ITEMS, NULL);
  int dir = open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  guint64 first = fence & ~(guint64) STRAND_FENCE_CLAIMS;
  gboolean done = TRUE;

  if (dir < 0)
    {
      if (errno == ENOENT)
        return TRUE;
      filesystem_set_io_error (error, errno, folder);
      return FALSE;
    }
  if (fence - first > MANY_FENCES)
    done = remove_by_looking (self, dir, folder, key, fence, error);
  else
    for (guint64 i = first; done && i <= fence; i++)
      {
        g_autofree char *name = dup_name (key, i);

        done = remove_log (self, dir, name, error);
      }
  close (dir);
  return done;
}

void
filesystem_items_collect (FilesystemPlace *place, const char *name)
{
  g_autofree char *path = path_of (place, name);
  g_autofree char *key = NULL;
  g_autofree char *record = NULL;
  guint64 fence;
  struct stat info;

  if (g_str_has_prefix (name, FILESYSTEM_TEMP_PREFIX))
    {
      filesystem_collect_temp (path, name);
      return;
    }
  if (!parse_name (name, &key, &fence))
    return;
  record = filesystem_path_of_key (place, key);
  if (g_access (record, F_OK) == 0 || errno != ENOENT || stat (path, &info) != 0 ||
      g_get_real_time () / G_USEC_PER_SEC - info.st_mtime < ORPHAN_MAX_AGE_S)
    return;
  if (unlink (path) == 0)
    strand_debug (STRAND_TOPIC_STORE, "Removed '%s', whose call is gone", path);
}

FilesystemItems *
filesystem_items_new (FilesystemPlace *place)
{
  FilesystemItems *self = g_new0 (FilesystemItems, 1);

  self->place = place;
  g_mutex_init (&self->lock);
  self->ends = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  self->reads = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  return self;
}

void
filesystem_items_free (FilesystemItems *self)
{
  g_hash_table_unref (self->ends);
  g_hash_table_unref (self->reads);
  g_mutex_clear (&self->lock);
  g_free (self);
}
