/* filesystem-list.c — looks at many files: listing records, and removing what is not needed any more.
 *
 * A listing goes through the folders in order, and through each in the order of names, because the kernel's
 * own order may change between two pages. Where the index knows which records are wanted (calls that have not
 * ended, other kinds) it goes through the index instead, by the same folders and keys; what an entry says is
 * looked up in its record.
 *
 * Cleanup needs no order. It goes through every directory as the kernel gives it, and remembers where it
 * stopped by the kernel's own mark, so it holds nothing in memory and its time can be short.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "filesystem-list.h"

#include "filesystem-change.h"
#include "filesystem-index.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* How many files one page reads at most, so that a rare match does not keep the caller for seconds; and how
 * many names are held at once. */
#define MAX_LOOKS 4096

/* An empty directory of a queue or a kind is kept for so long: most will be used again. */
#define EMPTY_MAX_AGE_S (24 * 60 * 60)

/* --- where a listing stands ----------------------------------------------------------------------------- */

/* After @name of @folder, or at the start of @folder where @name is NULL. */
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
position_parse (Position *position, const char *cursor)
{
  g_autofree char *name = NULL;

  if (strlen (cursor) < 3 || !g_ascii_isxdigit (cursor[0]) || !g_ascii_isxdigit (cursor[1]) ||
      cursor[2] != ':')
    return FALSE;
  name = g_uri_unescape_string (cursor + 3, NULL);
  if (name == NULL)
    return FALSE;
  position_move (position, (guint) (g_ascii_xdigit_value (cursor[0]) * 16 + g_ascii_xdigit_value (cursor[1])),
                 *name != '\0' ? name : NULL);
  return TRUE;
}

/* What a listing goes through: the records, or a part of the index that has those of the filter. */
typedef struct
{
  char tag;   /* first in its cursors */
  char *part; /* below the store's directory; NULL for the records */
} Source;

static void
source_clear (Source *source)
{
  g_free (source->part);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Source, source_clear)

static void
choose_source (Source *source, const StrandFilter *filter)
{
  const guint unfinished = 1 << STRAND_STATUS_PENDING | 1 << STRAND_STATUS_RUNNING;
  guint statuses = filter != NULL ? filter->statuses : 0;

  *source = (Source){ 'a', NULL };
  if (filter != NULL && filter->kind != NULL && strcmp (filter->kind, "call") != 0)
    {
      g_autofree char *escaped = filesystem_index_escape (filter->kind);

      if (strcmp (filter->kind, "*") != 0)
        *source = (Source){ 'k', g_build_filename (FILESYSTEM_KINDS, escaped, NULL) };
    }
  else if (statuses == 1 << STRAND_STATUS_RUNNING)
    *source = (Source){ 'r', g_strdup (FILESYSTEM_RUNNING) };
  else if (statuses != 0 && (statuses & ~unfinished) == 0)
    *source = (Source){ 'l', g_strdup (FILESYSTEM_LIVE) };
}

/* --- listing ------------------------------------------------------------------------------------------- */

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

static void
keep_first (GPtrArray *names)
{
  g_ptr_array_sort (names, compare_names);
  if (names->len > MAX_LOOKS)
    g_ptr_array_set_size (names, MAX_LOOKS);
}

/* The first MAX_LOOKS names of a directory after @after, in order. NULL with errno, which g_dir_open() does
 * not keep. */
static GPtrArray *
read_names (const char *path, const char *after)
{
  g_autoptr(GPtrArray) names = NULL;
  DIR *dir = opendir (path);
  struct dirent *entry;

  if (dir == NULL)
    return NULL;
  names = g_ptr_array_new_with_free_func (g_free);
  while ((entry = readdir (dir)) != NULL)
    if (strcmp (entry->d_name, ".") != 0 && strcmp (entry->d_name, "..") != 0 &&
        (after == NULL || strcmp (entry->d_name, after) > 0))
      {
        g_ptr_array_add (names, g_strdup (entry->d_name));
        if (names->len >= 2 * MAX_LOOKS)
          keep_first (names);
      }
  closedir (dir);
  keep_first (names);
  return g_steal_pointer (&names);
}

static void
add_foreign (StrandPage *page, const char *path, const char *why)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *shown = g_filename_display_name (path);

  filesystem_set_corrupt (&error, path, why);
  strand_page_add_unreadable (page, shown, error);
}

/* Reads a record into the page if it matches, or names its file. @found: (out): the record, if there is none
 * NULL. FALSE if that cannot be said. */
static gboolean
list_record (FilesystemPlace *place, const char *key, const StrandFilter *filter, StrandPage *page,
             StrandRecord **found)
{
  g_autofree char *path = filesystem_path_of_key (place, key);
  g_autofree char *shown = NULL;
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandRecord) record = filesystem_read_record (AT_FDCWD, path, key, path, &error);

  *found = NULL;
  if (record != NULL)
    {
      if (strand_filter_matches (filter, record))
        strand_page_add (page, record);
      *found = g_steal_pointer (&record);
      return TRUE;
    }
  if (filesystem_is_not_found (error))
    return TRUE;
  shown = g_filename_display_name (path);
  strand_page_add_unreadable (page, shown, error);
  return FALSE;
}

/* One file of a folder of records. Temporary files are neither records nor worth a word. */
static void
list_file (FilesystemPlace *place, guint folder, const char *name, const StrandFilter *filter,
           StrandPage *page)
{
  g_autofree char *path = g_strdup_printf ("%s/%02x/%s", place->path, folder, name);
  g_autofree char *key = NULL;
  g_autoptr(StrandRecord) record = NULL;

  if (g_str_has_prefix (name, FILESYSTEM_TEMP_PREFIX))
    return;
  key = filesystem_dup_key (name);
  if (key == NULL)
    add_foreign (page, path, "is not a record's file: those are called KEY" FILESYSTEM_SUFFIX);
  else if (filesystem_folder_of (key) != folder)
    {
      g_autofree char *why =
          g_strdup_printf ("is in the wrong folder: it belongs in '%02x'", filesystem_folder_of (key));

      add_foreign (page, path, why);
    }
  else
    list_record (place, key, filter, page, &record);
}

/* One entry of the index. */
static void
list_entry (FilesystemPlace *place, const Source *source, guint folder, const char *name,
            const StrandFilter *filter, StrandPage *page)
{
  g_autofree char *part = g_strdup_printf ("%s/%02x", source->part, folder);
  g_autoptr(StrandRecord) record = NULL;

  if (strand_key_check (name, NULL) && filesystem_folder_of (name) == folder &&
      list_record (place, name, filter, page, &record) && !filesystem_index_needs (part, name, record))
    filesystem_index_check (place, part, name, name);
}

/* Names what does not belong beside the folders. FALSE if there is nothing to list, with an error unless that
 * is because nothing has been stored yet. */
static gboolean
list_root (FilesystemPlace *place, StrandPage *page, GError **error)
{
  g_autoptr(GPtrArray) names = read_names (place->path, NULL);

  if (names == NULL)
    {
      if (errno != ENOENT)
        filesystem_set_io_error (error, errno, place->path);
      return FALSE;
    }
  for (guint i = 0; i < names->len; i++)
    {
      const char *name = g_ptr_array_index (names, i);
      g_autofree char *path = g_build_filename (place->path, name, NULL);

      if (!filesystem_is_folder_name (name) && strcmp (name, FILESYSTEM_INDEX) != 0 &&
          strcmp (name, FILESYSTEM_ITEMS) != 0)
        add_foreign (page, path, "does not belong here: records lie in folders called 00 to ff");
    }
  return TRUE;
}

/* Lists the rest of a folder. FALSE if the page is full first; the position is then where to go on. */
static gboolean
list_folder (FilesystemPlace *place, const Source *source, const StrandFilter *filter, guint limit,
             Position *position, guint *n_looks, StrandPage *page)
{
  guint folder = position->folder;
  g_autofree char *path = source->part != NULL
                              ? g_strdup_printf ("%s/%s/%02x", place->path, source->part, folder)
                              : filesystem_path_of_folder (place, folder);
  g_autoptr(GPtrArray) names = read_names (path, position->name);

  if (names == NULL)
    {
      g_autoptr(GError) error = NULL;

      if (errno == ENOENT)
        return TRUE;
      filesystem_set_io_error (&error, errno, path);
      strand_page_add_unreadable (page, path, error);
      return TRUE;
    }

  for (guint i = 0; i < names->len; i++)
    {
      const char *name = g_ptr_array_index (names, i);

      if (source->part != NULL)
        list_entry (place, source, folder, name, filter, page);
      else
        list_file (place, folder, name, filter, page);
      /* MAX_LOOKS names are all that were read of a folder, too. */
      if (strand_page_get_records (page)->len >= limit || ++*n_looks >= MAX_LOOKS)
        {
          position_move (position, folder, name);
          return FALSE;
        }
    }
  return TRUE;
}

/* Where the listing goes on, and through what. */
static gboolean
parse_cursor (const char *cursor, Source *source, Position *position, GError **error)
{
  if (cursor == NULL)
    return TRUE;
  if (*cursor == 'a')
    {
      source_clear (source);
      *source = (Source){ 'a', NULL };
    }
  if (*cursor != '\0' && *cursor == source->tag && position_parse (position, cursor + 1))
    return TRUE;

  g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT, "'%s' is not a cursor of this store",
               cursor);
  return FALSE;
}

/* The index of an old directory is made now; if it cannot be, the records themselves will do. */
static void
prefer_index (FilesystemPlace *place, Source *source)
{
  g_autoptr(GError) error = NULL;

  if (source->part == NULL || filesystem_index_complete (place, &error))
    return;
  strand_debug (STRAND_TOPIC_STORE, "Every record is read: no index: %s", error->message);
  source_clear (source);
  *source = (Source){ 'a', NULL };
}

StrandPage *
filesystem_list (FilesystemPlace *place, const StrandFilter *filter, const char *cursor, guint limit,
                 GError **error)
{
  g_autoptr(StrandPage) page = strand_page_new ();
  g_auto(Position) position = { 0, NULL };
  g_auto(Source) source = { 0, NULL };
  g_autoptr(GError) local_error = NULL;
  guint n_looks = 0;

  choose_source (&source, filter);
  if (!parse_cursor (cursor, &source, &position, error))
    return NULL;
  if (cursor == NULL && !list_root (place, page, &local_error))
    {
      if (local_error == NULL)
        return g_steal_pointer (&page);
      g_propagate_error (error, g_steal_pointer (&local_error));
      return NULL;
    }
  if (cursor == NULL)
    prefer_index (place, &source);

  for (; position.folder < FILESYSTEM_N_FOLDERS; position_move (&position, position.folder + 1, NULL))
    if (!list_folder (place, &source, filter, limit, &position, &n_looks, page))
      {
        g_autofree char *where = position_to_cursor (&position);
        g_autofree char *next = g_strdup_printf ("%c%s", source.tag, where);

        strand_page_set_next (page, next);
        break;
      }
  return g_steal_pointer (&page);
}

/* --- cleaning up --------------------------------------------------------------------------------------- */

typedef struct
{
  FilesystemPlace *place;
  FilesystemItems *items;
  StrandStore *store;
  gint64 now_us;
  gint64 start_us;
  gint64 budget_us;
  gint64 n_removed;
} Cleaning;

static gboolean
is_over (const Cleaning *self)
{
  return self->budget_us >= 0 && strand_clock_monotonic_us () - self->start_us >= self->budget_us;
}

/* A file of a folder of records: one that is not finished gets the entries it lacks, one that has outlived
 * its ttl goes. */
static void
clean_record (Cleaning *self, const char *part, const char *name)
{
  g_autofree char *path = g_build_filename (self->place->path, part, name, NULL);
  g_autofree char *key = NULL;
  g_autofree char *own_path = NULL;
  g_autoptr(StrandRecord) record = NULL;

  if (g_str_has_prefix (name, FILESYSTEM_TEMP_PREFIX))
    {
      filesystem_collect_temp (path, name);
      return;
    }
  key = filesystem_dup_key (name);
  own_path = key != NULL ? filesystem_path_of_key (self->place, key) : NULL;
  if (own_path == NULL || strcmp (own_path, path) != 0)
    return;
  record = filesystem_read_record (AT_FDCWD, path, key, path, NULL);
  if (record == NULL)
    return;
  if (!strand_record_is_expired (record, self->now_us))
    filesystem_index_mend (self->place, record, NULL);
  else if (filesystem_remove (self->place, self->items, key, strand_record_get_revision (record), NULL))
    {
      self->n_removed++;
      strand_store_changed (self->store, key);
    }
}

static void
clean_file (Cleaning *self, const char *part, const char *name)
{
  FilesystemTurn turn;

  if (strcmp (part, FILESYSTEM_ITEMS) == 0)
    filesystem_items_collect (self->place, name);
  else if (g_str_has_prefix (part, FILESYSTEM_QUEUES "/"))
    {
      if (filesystem_index_parse_turn (name, &turn))
        filesystem_index_check (self->place, part, name, turn.key);
    }
  else if (g_str_has_prefix (part, FILESYSTEM_INDEX "/"))
    {
      if (strand_key_check (name, NULL))
        filesystem_index_check (self->place, part, name, name);
    }
  else
    clean_record (self, part, name);
}

/* Cleans the rest of a directory, or as much as there is time for, but always something, so that cleanups
 * without any time to spend get on too. @mark: (inout): where in it, as the kernel says; 0 for its start and
 * end. */
static void
clean_directory (Cleaning *self, const char *part, long *mark)
{
  g_autofree char *path = g_build_filename (self->place->path, part, NULL);
  DIR *dir = opendir (path);
  struct dirent *entry;
  long at = *mark;
  gboolean over = FALSE;

  *mark = 0;
  if (dir == NULL)
    return;
  if (at != 0)
    seekdir (dir, at);
  while (!over && (entry = readdir (dir)) != NULL)
    {
      if (strcmp (entry->d_name, ".") == 0 || strcmp (entry->d_name, "..") == 0)
        continue;
      clean_file (self, part, entry->d_name);
      over = is_over (self);
      if (over)
        *mark = telldir (dir);
    }
  closedir (dir);
}

static void
remove_if_unused (Cleaning *self, const char *part)
{
  g_autofree char *path = g_build_filename (self->place->path, part, NULL);
  struct stat info;

  if (stat (path, &info) == 0 && g_get_real_time () / G_USEC_PER_SEC - info.st_mtime > EMPTY_MAX_AGE_S)
    rmdir (path); /* unless there is something in it */
}

static void
add_folders (GPtrArray *parts, const char *part)
{
  for (guint folder = 0; folder < FILESYSTEM_N_FOLDERS; folder++)
    g_ptr_array_add (parts, *part != '\0' ? g_strdup_printf ("%s/%02x", part, folder)
                                          : g_strdup_printf ("%02x", folder));
}

/* Every directory that a store's files lie in: those of the records first, then what refers to them. */
static GPtrArray *
find_parts (FilesystemPlace *place)
{
  g_autoptr(GPtrArray) parts = g_ptr_array_new_with_free_func (g_free);
  static const char *const above[] = { FILESYSTEM_KINDS, FILESYSTEM_QUEUES };

  add_folders (parts, "");
  add_folders (parts, FILESYSTEM_LIVE);
  add_folders (parts, FILESYSTEM_RUNNING);
  for (guint i = 0; i < G_N_ELEMENTS (above); i++)
    {
      g_autofree char *path = g_build_filename (place->path, above[i], NULL);
      g_autoptr(GPtrArray) names = read_names (path, NULL);

      for (guint j = 0; names != NULL && j < names->len; j++)
        {
          g_autofree char *part = g_build_filename (above[i], g_ptr_array_index (names, j), NULL);

          if (i == 0)
            add_folders (parts, part);
          else
            g_ptr_array_add (parts, g_steal_pointer (&part));
        }
    }
  g_ptr_array_add (parts, g_strdup (FILESYSTEM_ITEMS));
  return g_steal_pointer (&parts);
}

/* Where the last one stopped, `MARK:PART`. */
static guint
find_start (GPtrArray *parts, const char *cursor, long *mark)
{
  const char *part = cursor != NULL ? strchr (cursor, ':') : NULL;
  guint start = 0;

  *mark = 0;
  if (part == NULL || !g_ptr_array_find_with_equal_func (parts, part + 1, g_str_equal, &start))
    return 0;
  *mark = (long) g_ascii_strtoll (cursor, NULL, 10);
  return start;
}

gint64
filesystem_clean (FilesystemPlace *place, FilesystemItems *items, StrandStore *store, gint64 now_us,
                  gint64 budget_us, char **cursor)
{
  Cleaning self = { place, items, store, now_us, strand_clock_monotonic_us (), budget_us, 0 };
  g_autoptr(GPtrArray) parts = find_parts (place);
  g_autofree char *from = g_steal_pointer (cursor);
  long mark;
  guint i = find_start (parts, from, &mark);

  do
    {
      const char *part = g_ptr_array_index (parts, i);

      clean_directory (&self, part, &mark);
      if (mark == 0)
        {
          if (g_str_has_prefix (part, FILESYSTEM_KINDS "/") || g_str_has_prefix (part, FILESYSTEM_QUEUES "/"))
            remove_if_unused (&self, part);
          i++;
        }
    }
  while (i < parts->len && !is_over (&self));

  if (i < parts->len)
    *cursor = g_strdup_printf ("%ld:%s", mark, (const char *) g_ptr_array_index (parts, i));
  return self.n_removed;
}
