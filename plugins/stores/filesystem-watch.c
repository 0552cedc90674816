/* filesystem-watch.c — inotify for one store: a thread that sleeps until somebody else has written.
 *
 * Who watches records has a watch on every folder, and is told of files renamed into it or removed; who waits
 * for work has one on the index of each of those queues, and is told of entries that come. Both have watches
 * on the directories above, to see new ones. Between the moment a directory is made and the moment it is
 * watched files may have come into it, so a new one is read once and all in it is reported. Being told too
 * often does no harm, being told too seldom does; so whenever events were lost (the queue ran over, the root
 * was removed) everything is reported as changed.
 *
 * Only what inotify cannot see is looked for by the clock: a root that is not there yet, and directories
 * beyond the system's limit of watches; every 10 ms at first, at last once a second.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "filesystem-watch.h"
#include "watch-rest.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#define SHORTEST_WAIT_MS 10
#define LONGEST_WAIT_MS 1000

/* A store writes by rename, so moves and deletions are all there is to see in a folder of records. */
#define RECORD_EVENTS (IN_MOVED_TO | IN_DELETE | IN_ONLYDIR)
#define QUEUE_EVENTS (IN_CREATE | IN_MOVED_TO | IN_ONLYDIR)
#define ABOVE_EVENTS (IN_CREATE | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)

typedef enum
{
  ABOVE, /* only to see other directories being made */
  RECORDS,
  QUEUE,
} Role;

/* One directory. The root comes first, and each after those above it. */
typedef struct
{
  Role role;
  char *path;
  char *queue;
  int wd; /* -1 while it is not there, or has no watch */
} Directory;

struct _FilesystemWatch
{
  gatomicrefcount refs; /* the store's and the thread's */
  GWeakRef store;
  int kick_fd;
  int stopped; /* atomic */
  gboolean for_queues;
  WatchRest rest;

  /* The thread's alone, once it runs. */
  int inotify_fd;
  GPtrArray *directories; /* of Directory */
  GHashTable *by_wd;      /* wd → Directory, borrowed */
  gboolean blind;         /* a directory is there and cannot be watched */
};

static void
directory_free (gpointer data)
{
  Directory *self = data;

  g_free (self->path);
  g_free (self->queue);
  g_free (self);
}

static void
close_inotify (FilesystemWatch *self)
{
  if (self->inotify_fd >= 0)
    close (self->inotify_fd);
  self->inotify_fd = -1;
}

static void
watch_unref (FilesystemWatch *self)
{
  if (!g_atomic_ref_count_dec (&self->refs))
    return;

  close_inotify (self);
  if (self->kick_fd >= 0)
    close (self->kick_fd);
  watch_rest_clear (&self->rest);
  g_hash_table_unref (self->by_wd);
  g_ptr_array_unref (self->directories);
  g_weak_ref_clear (&self->store);
  g_free (self);
}

static Directory *
peek_root (FilesystemWatch *self)
{
  return g_ptr_array_index (self->directories, 0);
}

/* --- telling ------------------------------------------------------------------------------------------- */

/* NULL: any of them may have changed. */
static void
tell (FilesystemWatch *self, const char *key_or_queue)
{
  g_autoptr(StrandStore) store = g_weak_ref_get (&self->store);

  if (store == NULL || g_atomic_int_get (&self->stopped))
    return;
  if (self->for_queues)
    strand_store_queue_changed (store, key_or_queue);
  else
    strand_store_changed (store, key_or_queue);
}

static void
tell_of_file (FilesystemWatch *self, const Directory *directory, const char *name)
{
  g_autofree char *key = directory->role == RECORDS ? filesystem_dup_key (name) : NULL;

  if (directory->role == QUEUE)
    tell (self, directory->queue);
  else if (key != NULL)
    tell (self, key);
}

static void
tell_of_all (FilesystemWatch *self, const Directory *directory)
{
  g_autoptr(GDir) dir = directory->role != ABOVE ? g_dir_open (directory->path, 0, NULL) : NULL;
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    tell_of_file (self, directory, name);
}

/* --- watching ------------------------------------------------------------------------------------------ */

static void
forget_directory (FilesystemWatch *self, Directory *directory)
{
  if (directory->wd >= 0)
    g_hash_table_remove (self->by_wd, GINT_TO_POINTER (directory->wd));
  directory->wd = -1;
}

/* Watches a directory if it is there. FALSE if it is and cannot be watched. */
static gboolean
add_directory (FilesystemWatch *self, Directory *directory, gboolean report)
{
  static const guint32 events[] = {
    [ABOVE] = ABOVE_EVENTS, [RECORDS] = RECORD_EVENTS, [QUEUE] = QUEUE_EVENTS
  };
  int wd = inotify_add_watch (self->inotify_fd, directory->path, events[directory->role]);

  if (wd < 0)
    return errno == ENOENT || errno == ENOTDIR;
  if (wd == directory->wd)
    return TRUE;

  forget_directory (self, directory);
  directory->wd = wd;
  g_hash_table_insert (self->by_wd, GINT_TO_POINTER (wd), directory);
  if (report)
    tell_of_all (self, directory);
  return TRUE;
}

/* Those above come first: what is made after its turn is an event of the one above. */
static gboolean
add_directories (FilesystemWatch *self, gboolean report)
{
  gboolean all = TRUE;

  for (guint i = 0; i < self->directories->len; i++)
    if (!add_directory (self, g_ptr_array_index (self->directories, i), report))
      all = FALSE;
  return all;
}

/* Starts afresh: one root, one inotify instance, so that no watch of an older root is left. */
static gboolean
open_root (FilesystemWatch *self)
{
  int fd = inotify_init1 (IN_CLOEXEC | IN_NONBLOCK);

  if (fd < 0)
    return FALSE;

  close_inotify (self);
  self->inotify_fd = fd;
  g_hash_table_remove_all (self->by_wd);
  for (guint i = 0; i < self->directories->len; i++)
    ((Directory *) g_ptr_array_index (self->directories, i))->wd = -1;
  return add_directory (self, peek_root (self), FALSE);
}

/* --- events -------------------------------------------------------------------------------------------- */

/* A directory that went, or a new one below one that is only there for this. */
static void
handle_directory (FilesystemWatch *self, Directory *directory, const struct inotify_event *event)
{
  if (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED))
    {
      forget_directory (self, directory);
      if (directory == peek_root (self))
        tell (self, NULL);
    }
  else if (directory->role != ABOVE)
    tell_of_file (self, directory, event->len > 0 ? event->name : "");
  else if ((event->mask & IN_ISDIR) && !add_directories (self, TRUE))
    self->blind = TRUE;
}

static void
handle_event (FilesystemWatch *self, const struct inotify_event *event)
{
  Directory *directory = g_hash_table_lookup (self->by_wd, GINT_TO_POINTER (event->wd));

  if (event->mask & IN_Q_OVERFLOW)
    {
      self->blind = !add_directories (self, FALSE);
      tell (self, NULL);
    }
  else if (directory != NULL)
    handle_directory (self, directory, event);
}

static void
handle_events (FilesystemWatch *self)
{
  /* As much as a burst of writes makes while this thread is not on a processor. */
  _Alignas(struct inotify_event) char buffer[16 * 1024];
  gssize length;

  while (!g_atomic_int_get (&self->stopped) && (length = read (self->inotify_fd, buffer, sizeof buffer)) > 0)
    for (const char *at = buffer; at < buffer + length;)
      {
        const struct inotify_event *event = (const struct inotify_event *) (const void *) at;

        handle_event (self, event);
        at += sizeof *event + event->len;
      }
}

/* What inotify could not do: finds a root that has come back, and looks at directories without a watch. */
static void
look_by_hand (FilesystemWatch *self)
{
  if (peek_root (self)->wd >= 0)
    {
      self->blind = !add_directories (self, TRUE);
      if (self->blind)
        tell (self, NULL);
    }
  else if (open_root (self) && peek_root (self)->wd >= 0)
    {
      self->blind = !add_directories (self, FALSE);
      tell (self, NULL);
    }
}

/* For poll(). */
static int
timeout_until (gint64 time_us)
{
  if (time_us == G_MAXINT64)
    return -1;
  return (int) CLAMP ((time_us - g_get_monotonic_time () + 999) / 1000, 0, G_MAXINT);
}

static gpointer
run (gpointer data)
{
  FilesystemWatch *self = data;
  int wait_ms = SHORTEST_WAIT_MS;

  while (!g_atomic_int_get (&self->stopped))
    {
      gboolean by_hand = peek_root (self)->wd < 0 || self->blind;
      struct pollfd fds[2] = { { self->inotify_fd, POLLIN, 0 }, { self->kick_fd, POLLIN, 0 } };
      int n_ready = poll (fds, 2, by_hand ? wait_ms : timeout_until (watch_rest_get_end (&self->rest)));
      guint64 kicks;

      if (n_ready > 0 && fds[1].revents != 0 && read (self->kick_fd, &kicks, sizeof kicks) > 0)
        wait_ms = SHORTEST_WAIT_MS;
      else
        wait_ms = MIN (wait_ms * 3 / 2, LONGEST_WAIT_MS);
      if (watch_rest_is_over (&self->rest))
        break;
      if (n_ready > 0 && fds[0].revents != 0)
        handle_events (self);
      if (by_hand && !g_atomic_int_get (&self->stopped))
        look_by_hand (self);
      if (peek_root (self)->wd >= 0 && !self->blind)
        wait_ms = SHORTEST_WAIT_MS;
    }
  close_inotify (self); /* a user may have few of them */
  watch_unref (self);
  return NULL;
}

/* --- starting and stopping ------------------------------------------------------------------------------ */

static void
add (FilesystemWatch *self, FilesystemPlace *place, Role role, const char *part, const char *queue)
{
  Directory *directory = g_new0 (Directory, 1);

  directory->role = role;
  directory->path = g_build_filename (place->path, part, NULL);
  directory->queue = g_strdup (queue);
  directory->wd = -1;
  g_ptr_array_add (self->directories, directory);
}

static void
choose_directories (FilesystemWatch *self, FilesystemPlace *place, const char *const *queues)
{
  add (self, place, ABOVE, "", NULL);
  if (queues == NULL)
    for (guint folder = 0; folder < FILESYSTEM_N_FOLDERS; folder++)
      {
        char part[3];

        g_snprintf (part, sizeof part, "%02x", folder);
        add (self, place, RECORDS, part, NULL);
      }
  else
    {
      add (self, place, ABOVE, FILESYSTEM_INDEX, NULL);
      add (self, place, ABOVE, FILESYSTEM_QUEUES, NULL);
    }
  for (guint i = 0; queues != NULL && queues[i] != NULL; i++)
    {
      g_autofree char *escaped = filesystem_index_escape (queues[i]);
      g_autofree char *part = g_build_filename (FILESYSTEM_QUEUES, escaped, NULL);

      add (self, place, QUEUE, part, queues[i]);
    }
}

FilesystemWatch *
filesystem_watch_start (StrandStore *store, FilesystemPlace *place, const char *const *queues, GError **error)
{
  FilesystemWatch *self;

  if (filesystem_place_is_shared (place))
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                   "'%s' is on a file system whose other hosts write without this kernel telling",
                   place->path);
      return NULL;
    }

  self = g_new0 (FilesystemWatch, 1);
  g_atomic_ref_count_init (&self->refs);
  g_weak_ref_init (&self->store, store);
  self->for_queues = queues != NULL;
  watch_rest_init (&self->rest);
  self->directories = g_ptr_array_new_with_free_func (directory_free);
  self->by_wd = g_hash_table_new (NULL, NULL);
  self->inotify_fd = -1;
  self->kick_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  choose_directories (self, place, queues);
  if (self->kick_fd < 0 || !open_root (self) || !add_directories (self, FALSE))
    {
      int cause = errno;

      g_set_error (error, G_IO_ERROR, g_io_error_from_errno (cause),
                   "'%s' cannot be watched: %s; raise fs.inotify.max_user_instances or max_user_watches",
                   place->path, g_strerror (cause));
      watch_unref (self);
      return NULL;
    }

  g_atomic_ref_count_inc (&self->refs);
  g_thread_unref (g_thread_new ("strand-inotify", run, self));
  return self;
}

void
filesystem_watch_kick (FilesystemWatch *self)
{
  guint64 one = 1;

  if (write (self->kick_fd, &one, sizeof one) < 0)
    g_assert (errno == EAGAIN); /* kicked 2^64 times already */
}

void
filesystem_watch_rest (FilesystemWatch *self)
{
  watch_rest_begin (&self->rest);
  filesystem_watch_kick (self);
}

/* What it looked for by the clock, it looks for at once. */
gboolean
filesystem_watch_resume (FilesystemWatch *self)
{
  gboolean goes_on = watch_rest_resume (&self->rest);

  filesystem_watch_kick (self);
  return goes_on;
}

void
filesystem_watch_stop (FilesystemWatch *self)
{
  g_atomic_int_set (&self->stopped, TRUE);
  filesystem_watch_kick (self);
  watch_unref (self);
}
