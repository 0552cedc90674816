/* filesystem-queue.c — which call of a queue is next, without reading the queue each time.
 *
 * The entries of a queue (filesystem-index.c) are read once and kept in order: those that are due by turn,
 * those that wait for their time by that. What comes later is told by inotify: the kernel queues an event
 * while the entry is being made, so whoever looks at the events before each claim misses nothing that was put
 * before. Events were lost, or the directory is another one than it was: then it is read again.
 *
 * Entries that have gone are not told of. They are found to be gone when their turn comes.
 *
 * A queue may be longer than what should be kept in memory, so only the first WINDOW to 2 * WINDOW entries
 * are; when they are used up the directory is read again. Where inotify cannot serve (no instance or watch is
 * left, other hosts write here too), it is read at each claim.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "filesystem-queue.h"

#include <dirent.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

/* Some MiB, and a million waiting calls are read thirty times until the last one is claimed. */
#define WINDOW (32 * 1024)

typedef struct
{
  gint64 turn;
  gint64 not_before_us;
  char name[];
} Entry;

/* The first entries of an order. */
typedef struct
{
  GSequence *entries;
  GCompareDataFunc compare;
  gboolean more; /* entries beyond the last one have been left out */
} Window;

typedef struct
{
  char *part; /* below the store's directory */
  int wd;     /* -1 while there is no watch */
  gboolean read;
  Window due;
  Window later;
} Queue;

struct _FilesystemQueues
{
  FilesystemPlace *place;

  GMutex lock;        /* guards everything below */
  int inotify_fd;     /* -1 where there is none */
  GHashTable *queues; /* name → Queue */
  GHashTable *by_wd;  /* wd → Queue, borrowed */
};

static int
compare_turns (gconstpointer a, gconstpointer b, gpointer unused)
{
  const Entry *one = a, *other = b;

  if (one->turn != other->turn)
    return one->turn < other->turn ? -1 : 1;
  return strcmp (one->name + FILESYSTEM_TURN_SIZE, other->name + FILESYSTEM_TURN_SIZE);
}

static int
compare_times (gconstpointer a, gconstpointer b, gpointer unused)
{
  const Entry *one = a, *other = b;

  if (one->not_before_us != other->not_before_us)
    return one->not_before_us < other->not_before_us ? -1 : 1;
  return compare_turns (a, b, NULL);
}

static Entry *
entry_new (const char *name)
{
  FilesystemTurn turn;
  gsize size;
  Entry *entry;

  if (!filesystem_index_parse_turn (name, &turn))
    return NULL;
  size = strlen (name) + 1;
  entry = g_malloc (sizeof *entry + size);
  entry->turn = turn.turn;
  entry->not_before_us = turn.not_before_us;
  memcpy (entry->name, name, size);
  return entry;
}

/* --- windows ------------------------------------------------------------------------------------------- */

static void
window_init (Window *self, GCompareDataFunc compare)
{
  self->entries = g_sequence_new (g_free);
  self->compare = compare;
  self->more = FALSE;
}

static void
window_empty (Window *self)
{
  g_sequence_remove_range (g_sequence_get_begin_iter (self->entries),
                           g_sequence_get_end_iter (self->entries));
  self->more = FALSE;
}

static Entry *
window_peek (Window *self)
{
  GSequenceIter *first = g_sequence_get_begin_iter (self->entries);

  return g_sequence_iter_is_end (first) ? NULL : g_sequence_get (first);
}

static Entry *
window_pop (Window *self)
{
  Entry *first = window_peek (self);
  gsize size = sizeof *first + strlen (first->name) + 1;
  Entry *copy = g_memdup2 (first, size);

  g_sequence_remove (g_sequence_get_begin_iter (self->entries));
  return copy;
}

/* Takes the entry. */
static void
window_add (Window *self, Entry *entry)
{
  GSequenceIter *end = g_sequence_get_end_iter (self->entries);

  if (self->more && (g_sequence_is_empty (self->entries) ||
                     self->compare (entry, g_sequence_get (g_sequence_iter_prev (end)), NULL) > 0))
    {
      g_free (entry);
      return;
    }
  g_sequence_insert_sorted (self->entries, entry, self->compare, NULL);
  if (g_sequence_get_length (self->entries) > 2 * WINDOW)
    {
      g_sequence_remove_range (g_sequence_get_iter_at_pos (self->entries, WINDOW), end);
      self->more = TRUE;
    }
}

/* --- queues -------------------------------------------------------------------------------------------- */

static void
queue_free (gpointer data)
{
  Queue *self = data;

  g_sequence_free (self->due.entries);
  g_sequence_free (self->later.entries);
  g_free (self->part);
  g_free (self);
}

static Queue *
find_queue_locked (FilesystemQueues *self, const char *name)
{
  Queue *queue = g_hash_table_lookup (self->queues, name);
  g_autofree char *escaped = NULL;

  if (queue != NULL)
    return queue;
  escaped = filesystem_index_escape (name);
  queue = g_new0 (Queue, 1);
  queue->part = g_build_filename (FILESYSTEM_QUEUES, escaped, NULL);
  queue->wd = -1;
  window_init (&queue->due, compare_turns);
  window_init (&queue->later, compare_times);
  g_hash_table_insert (self->queues, g_strdup (name), queue);
  return queue;
}

/* Which of the two windows an entry belongs into is seen when it is taken; here is where it is looked for
 * first. */
static void
queue_add (Queue *self, const char *name, gint64 now_us)
{
  Entry *entry = entry_new (name);

  if (entry == NULL)
    return;
  window_add (entry->not_before_us > now_us ? &self->later : &self->due, entry);
}

static void
forget_all_locked (FilesystemQueues *self)
{
  GHashTableIter iter;
  gpointer queue;

  g_hash_table_iter_init (&iter, self->queues);
  while (g_hash_table_iter_next (&iter, NULL, &queue))
    ((Queue *) queue)->read = FALSE;
}

static void
handle_event_locked (FilesystemQueues *self, const struct inotify_event *event, gint64 now_us)
{
  Queue *queue;

  if (event->mask & IN_Q_OVERFLOW)
    {
      forget_all_locked (self);
      return;
    }
  queue = g_hash_table_lookup (self->by_wd, GINT_TO_POINTER (event->wd));
  if (queue == NULL)
    return;
  if (event->mask & (IN_IGNORED | IN_UNMOUNT))
    {
      g_hash_table_remove (self->by_wd, GINT_TO_POINTER (event->wd));
      queue->wd = -1;
      queue->read = FALSE;
    }
  else if (event->len > 0 && queue->read)
    queue_add (queue, event->name, now_us);
}

static void
handle_events_locked (FilesystemQueues *self, gint64 now_us)
{
  _Alignas(struct inotify_event) char buffer[16 * 1024];
  gssize length;

  while (self->inotify_fd >= 0 && (length = read (self->inotify_fd, buffer, sizeof buffer)) > 0)
    for (const char *at = buffer; at < buffer + length;)
      {
        const struct inotify_event *event = (const struct inotify_event *) (const void *) at;

        handle_event_locked (self, event, now_us);
        at += sizeof *event + event->len;
      }
}

/* Watches the directory that is there now. inotify_add_watch() gives the old watch for the same directory, so
 * another one shows. */
static void
watch_locked (FilesystemQueues *self, Queue *queue)
{
  g_autofree char *path = g_build_filename (self->place->path, queue->part, NULL);
  int wd = -1;

  if (self->inotify_fd >= 0 && !filesystem_place_is_shared (self->place))
    wd = inotify_add_watch (self->inotify_fd, path, IN_CREATE | IN_MOVED_TO | IN_ONLYDIR);
  if (wd >= 0 && wd == queue->wd)
    return;

  if (queue->wd >= 0)
    {
      g_hash_table_remove (self->by_wd, GINT_TO_POINTER (queue->wd));
      inotify_rm_watch (self->inotify_fd, queue->wd);
    }
  queue->wd = wd;
  queue->read = FALSE;
  if (wd >= 0)
    g_hash_table_insert (self->by_wd, GINT_TO_POINTER (wd), queue);
}

static gboolean
read_locked (FilesystemQueues *self, Queue *queue, gint64 now_us, GError **error)
{
  g_autofree char *path = g_build_filename (self->place->path, queue->part, NULL);
  DIR *dir = opendir (path);
  struct dirent *entry;

  if (dir == NULL && errno != ENOENT)
    {
      filesystem_set_io_error (error, errno, path);
      return FALSE;
    }
  window_empty (&queue->due);
  window_empty (&queue->later);
  while (dir != NULL && (entry = readdir (dir)) != NULL)
    queue_add (queue, entry->d_name, now_us);
  if (dir != NULL)
    closedir (dir);
  /* Without a watch this is true for this claim alone. */
  queue->read = queue->wd >= 0;
  return TRUE;
}

static gboolean
look_locked (FilesystemQueues *self, Queue *queue, gint64 now_us, GError **error)
{
  watch_locked (self, queue);
  handle_events_locked (self, now_us);
  return queue->read || read_locked (self, queue, now_us, error);
}

gboolean
filesystem_queues_look (FilesystemQueues *self, const char *queue, gint64 now_us, GError **error)
{
  gboolean done;

  g_mutex_lock (&self->lock);
  done = look_locked (self, find_queue_locked (self, queue), now_us, error);
  g_mutex_unlock (&self->lock);
  return done;
}

/* Brings every entry into the window where it belongs at @now_us; clocks are set back, too. */
static void
sort_by_time (Queue *self, gint64 now_us)
{
  Entry *first;

  while ((first = window_peek (&self->later)) != NULL && first->not_before_us <= now_us)
    window_add (&self->due, window_pop (&self->later));
  while ((first = window_peek (&self->due)) != NULL && first->not_before_us > now_us)
    window_add (&self->later, window_pop (&self->due));
}

static void
prepare_locked (FilesystemQueues *self, Queue *queue, gint64 now_us)
{
  sort_by_time (queue, now_us);
  if ((queue->due.more && g_sequence_is_empty (queue->due.entries)) ||
      (queue->later.more && g_sequence_is_empty (queue->later.entries)))
    {
      if (read_locked (self, queue, now_us, NULL))
        sort_by_time (queue, now_us);
    }
}

char *
filesystem_queues_take (FilesystemQueues *self, const char *queue, gint64 now_us)
{
  g_autofree Entry *first = NULL;
  Queue *found;

  g_mutex_lock (&self->lock);
  found = find_queue_locked (self, queue);
  prepare_locked (self, found, now_us);
  if (!g_sequence_is_empty (found->due.entries))
    first = window_pop (&found->due);
  g_mutex_unlock (&self->lock);
  return first != NULL ? g_strdup (first->name) : NULL;
}

void
filesystem_queues_give_back (FilesystemQueues *self, const char *queue, const char *entry, gint64 now_us)
{
  g_mutex_lock (&self->lock);
  queue_add (find_queue_locked (self, queue), entry, now_us);
  g_mutex_unlock (&self->lock);
}

gint64
filesystem_queues_next_due (FilesystemQueues *self, const char *queue, gint64 now_us)
{
  gint64 due_us = 0;
  Entry *first;
  Queue *found;

  g_mutex_lock (&self->lock);
  found = find_queue_locked (self, queue);
  prepare_locked (self, found, now_us);
  while (due_us == 0 && (first = window_peek (&found->later)) != NULL)
    {
      g_autofree char *path = g_build_filename (self->place->path, found->part, first->name, NULL);

      if (g_access (path, F_OK) == 0)
        due_us = first->not_before_us;
      else
        g_free (window_pop (&found->later));
    }
  g_mutex_unlock (&self->lock);
  return due_us;
}

FilesystemQueues *
filesystem_queues_new (FilesystemPlace *place)
{
  FilesystemQueues *self = g_new0 (FilesystemQueues, 1);

  self->place = place;
  g_mutex_init (&self->lock);
  self->inotify_fd = inotify_init1 (IN_CLOEXEC | IN_NONBLOCK);
  self->queues = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, queue_free);
  self->by_wd = g_hash_table_new (NULL, NULL);
  return self;
}

void
filesystem_queues_free (FilesystemQueues *self)
{
  if (self->inotify_fd >= 0)
    close (self->inotify_fd);
  g_hash_table_unref (self->by_wd);
  g_hash_table_unref (self->queues);
  g_mutex_clear (&self->lock);
  g_free (self);
}
