/* filesystem-watch.c — inotify for one store: a thread that sleeps until a record's file is renamed or
 * removed.
 *
 * A watch covers the root, to see new folders, and every folder that exists. Between the moment a folder is
 * made and the moment it is watched files may have come into it, so a new folder is read once and all in it
 * is reported. Being told too often does no harm, being told too seldom does; so whenever events were lost
 * (the queue ran over, the root was removed) every watched key is reported as changed.
 *
 * Only what inotify cannot see is looked for by the clock: a root that is not there yet, and folders beyond
 * the system's limit of watches; every 10 ms at first, at last once a second. SPDX-License-Identifier:
 * LGPL-2.1-or-later */
#include "config.h"

#include "filesystem-watch.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#define SHORTEST_WAIT_MS 10
#define LONGEST_WAIT_MS 1000

/* A store writes by rename, so moves and deletions are all there is to see in a folder. */
#define FOLDER_EVENTS (IN_MOVED_TO | IN_DELETE | IN_ONLYDIR)
#define ROOT_EVENTS (IN_CREATE | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)

struct _FilesystemWatch
{
  gatomicrefcount refs; /* the store's and the thread's */
  GWeakRef store;
  char *root;
  int kick_fd;
  int stopped; /* atomic */

  /* The thread's alone, once it runs. */
  int inotify_fd;
  int root_wd;                         /* -1 while there is no root */
  int folder_wd[FILESYSTEM_N_FOLDERS]; /* -1 while there is no such folder, or no watch for it */
  GHashTable *folders;                 /* wd → folder */
  gboolean blind;                      /* a folder is there and cannot be watched */
};

static void
watch_unref (FilesystemWatch *self)
{
  if (!g_atomic_ref_count_dec (&self->refs))
    return;

  if (self->inotify_fd >= 0)
    close (self->inotify_fd);
  if (self->kick_fd >= 0)
    close (self->kick_fd);
  g_hash_table_unref (self->folders);
  g_weak_ref_clear (&self->store);
  g_free (self->root);
  g_free (self);
}

static void
tell (FilesystemWatch *self, const char *key)
{
  g_autoptr(StrandStore) store = g_weak_ref_get (&self->store);

  if (store != NULL && !g_atomic_int_get (&self->stopped))
    strand_store_changed (store, key);
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

static void
tell_of_file (FilesystemWatch *self, const char *name)
{
  g_autofree char *key = filesystem_dup_key (name);

  if (key != NULL)
    tell (self, key);
}

static void
tell_of_folder (FilesystemWatch *self, const char *path)
{
  g_autoptr(GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    tell_of_file (self, name);
}

/* Watches a folder if it is there. FALSE if it is and cannot be watched. */
static gboolean
add_folder (FilesystemWatch *self, int folder, gboolean report)
{
  g_autofree char *path = g_strdup_printf ("%s/%02x", self->root, folder);
  int wd = inotify_add_watch (self->inotify_fd, path, FOLDER_EVENTS);

  if (wd < 0)
    return errno == ENOENT || errno == ENOTDIR;
  if (wd == self->folder_wd[folder])
    return TRUE;

  if (self->folder_wd[folder] >= 0)
    g_hash_table_remove (self->folders, GINT_TO_POINTER (self->folder_wd[folder]));
  self->folder_wd[folder] = wd;
  g_hash_table_insert (self->folders, GINT_TO_POINTER (wd), GINT_TO_POINTER (folder));
  if (report)
    tell_of_folder (self, path);
  return TRUE;
}

static gboolean
add_folders (FilesystemWatch *self, gboolean report)
{
  gboolean all = TRUE;

  for (int folder = 0; folder < FILESYSTEM_N_FOLDERS; folder++)
    if (!add_folder (self, folder, report))
      all = FALSE;
  return all;
}

static void
forget_folder (FilesystemWatch *self, int wd)
{
  gpointer folder;

  if (g_hash_table_steal_extended (self->folders, GINT_TO_POINTER (wd), NULL, &folder))
    self->folder_wd[GPOINTER_TO_INT (folder)] = -1;
}

/* Starts afresh: one root, one inotify instance, so that no watch of an older root is left. */
static gboolean
open_root (FilesystemWatch *self)
{
  int fd = inotify_init1 (IN_CLOEXEC | IN_NONBLOCK);

  if (fd < 0)
    return FALSE;

  if (self->inotify_fd >= 0)
    close (self->inotify_fd);
  self->inotify_fd = fd;
  g_hash_table_remove_all (self->folders);
  for (int folder = 0; folder < FILESYSTEM_N_FOLDERS; folder++)
    self->folder_wd[folder] = -1;
  self->root_wd = inotify_add_watch (fd, self->root, ROOT_EVENTS);

  return self->root_wd >= 0 || errno == ENOENT || errno == ENOTDIR;
}

static int
parse_folder (const char *name)
{
  int high = g_ascii_xdigit_value (name[0]);
  int low = high >= 0 ? g_ascii_xdigit_value (name[1]) : -1;

  return low >= 0 && name[2] == '\0' ? high * 16 + low : -1;
}

static void
handle_root_event (FilesystemWatch *self, const struct inotify_event *event)
{
  int folder;

  if (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED))
    {
      self->root_wd = -1;
      tell (self, NULL);
      return;
    }

  folder = event->len > 0 ? parse_folder (event->name) : -1;
  if (folder >= 0 && !add_folder (self, folder, TRUE))
    self->blind = TRUE;
}

static void
handle_event (FilesystemWatch *self, const struct inotify_event *event)
{
  if (event->mask & IN_Q_OVERFLOW)
    {
      self->blind = !add_folders (self, FALSE);
      tell (self, NULL);
    }
  else if (event->wd == self->root_wd)
    handle_root_event (self, event);
  else if (event->mask & (IN_IGNORED | IN_UNMOUNT))
    forget_folder (self, event->wd);
  else if (event->len > 0)
    tell_of_file (self, event->name);
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

/* What inotify could not do: finds a root that has come back, and looks at folders without a watch. */
static void
look_by_hand (FilesystemWatch *self)
{
  if (self->root_wd >= 0)
    {
      self->blind = !add_folders (self, TRUE);
      if (self->blind)
        tell (self, NULL);
    }
  else if (open_root (self) && self->root_wd >= 0)
    {
      self->blind = !add_folders (self, FALSE);
      tell (self, NULL);
    }
}

static gpointer
run (gpointer data)
{
  FilesystemWatch *self = data;
  int wait_ms = SHORTEST_WAIT_MS;

  while (!g_atomic_int_get (&self->stopped))
    {
      gboolean by_hand = self->root_wd < 0 || self->blind;
      struct pollfd fds[2] = { { self->inotify_fd, POLLIN, 0 }, { self->kick_fd, POLLIN, 0 } };
      int n_ready = poll (fds, 2, by_hand ? wait_ms : -1);
      guint64 kicks;

      if (n_ready > 0 && fds[1].revents != 0 && read (self->kick_fd, &kicks, sizeof kicks) > 0)
        wait_ms = SHORTEST_WAIT_MS;
      else
        wait_ms = MIN (wait_ms * 3 / 2, LONGEST_WAIT_MS);
      if (n_ready > 0 && fds[0].revents != 0)
        handle_events (self);
      if (by_hand && !g_atomic_int_get (&self->stopped))
        look_by_hand (self);
      if (self->root_wd >= 0 && !self->blind)
        wait_ms = SHORTEST_WAIT_MS;
    }
  watch_unref (self);
  return NULL;
}

FilesystemWatch *
filesystem_watch_start (StrandStore *store, const char *root, GError **error)
{
  FilesystemWatch *self = g_new0 (FilesystemWatch, 1);

  g_atomic_ref_count_init (&self->refs);
  g_weak_ref_init (&self->store, store);
  self->root = g_strdup (root);
  self->folders = g_hash_table_new (NULL, NULL);
  self->inotify_fd = -1;
  self->kick_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (self->kick_fd < 0 || !open_root (self) || !add_folders (self, FALSE))
    {
      int cause = errno;

      g_set_error (error, G_IO_ERROR, g_io_error_from_errno (cause),
                   "'%s' cannot be watched: %s; raise fs.inotify.max_user_instances or max_user_watches",
                   root, g_strerror (cause));
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
filesystem_watch_stop (FilesystemWatch *self)
{
  g_atomic_int_set (&self->stopped, TRUE);
  filesystem_watch_kick (self);
  watch_unref (self);
}
