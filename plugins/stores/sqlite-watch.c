/* sqlite-watch.c — inotify for one database: a thread that sleeps until its log is written.
 *
 * An event is only a hint: the thread then reads on in the table of changes, so it matters little which
 * events come, how many, or whether some were lost. But SQLite writes the log first and shows the transaction
 * after that, in shared memory, which makes no event: some microseconds later, or as long as the disk takes
 * to sync. So after each burst of events the thread looks again after 1, 2, 4, … ms, 8 s in all. And a writer
 * that syncs rings when its transaction can be seen: it touches the log's times.
 *
 * Only what inotify cannot see is looked for by the clock: a directory that is not there yet; every 10 ms at
 * first, at last once a second.                   SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "sqlite-watch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHORTEST_WAIT_MS 10
#define LONGEST_WAIT_MS 1000

/* Some writers are stopped for a while by the scheduler, or by somebody with a debugger. */
#define FIRST_SECOND_LOOK_MS 1
#define LAST_SECOND_LOOK_MS 4096

/* How many changes are read at once, so that a bulk of them does not fill the memory. */
#define PAGE_SIZE 1000
#define PAGE_SIZE_TEXT "1000"

#define FOLDER_EVENTS                                                                                        \
  (IN_CREATE | IN_DELETE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)
#define LOG_EVENTS (IN_MODIFY | IN_ATTRIB)

struct _SqliteWatch
{
  gatomicrefcount refs; /* the store's and the thread's */
  GWeakRef store;
  char *path;
  const char *sync;
  gint64 timeout_us;
  int kick_fd;
  int stopped; /* atomic */

  /* The thread's alone, once it runs. */
  int inotify_fd;
  int folder_wd; /* -1 while there is no directory */
  int log_wd;
  char *folder;
  char *name;
  char *log;
  SqliteDatabase *database; /* NULL while there is none */
  gint64 number;            /* of the last change that has been told */
};

static void
watch_unref (SqliteWatch *self)
{
  if (!g_atomic_ref_count_dec (&self->refs))
    return;

  g_clear_pointer (&self->database, sqlite_database_close);
  if (self->inotify_fd >= 0)
    close (self->inotify_fd);
  if (self->kick_fd >= 0)
    close (self->kick_fd);
  g_weak_ref_clear (&self->store);
  g_free (self->folder);
  g_free (self->name);
  g_free (self->log);
  g_free (self->path);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (SqliteWatch, watch_unref)

static void
tell (SqliteWatch *self, const char *key)
{
  g_autoptr(StrandStore) store = g_weak_ref_get (&self->store);

  if (store != NULL && !g_atomic_int_get (&self->stopped))
    strand_store_changed (store, key);
}

/* Puts the watches where the files are now: watching a file twice is watching it once. */
static void
arm (SqliteWatch *self)
{
  self->folder_wd = inotify_add_watch (self->inotify_fd, self->folder, FOLDER_EVENTS);
  self->log_wd = inotify_add_watch (self->inotify_fd, self->log, LOG_EVENTS);
}

static gboolean
connect_database (SqliteWatch *self, GError **error)
{
  SqliteSettings settings = { self->path, self->sync, self->timeout_us };
  g_autoptr(GError) local_error = NULL;

  self->database = sqlite_database_open (&settings, FALSE, &local_error);
  if (local_error == NULL)
    return TRUE;

  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

/* Notes what there is to know already. */
static gboolean
read_number (SqliteWatch *self, GError **error)
{
  g_autoptr(SqliteUse) statement = sqlite_database_prepare (
      self->database, g_intern_static_string ("SELECT coalesce(max(number), 0) FROM changes"), error);

  if (statement == NULL || sqlite_database_step (self->database, statement, error) != SQLITE_ROW)
    return FALSE;
  self->number = sqlite3_column_int64 (statement, 0);
  return TRUE;
}

/* The keys of the next changes. Numbers have no gaps: where one is missing some have been forgotten. */
static GPtrArray *
read_changes (SqliteWatch *self, gboolean *some_forgotten)
{
  const char *sql = g_intern_static_string (
      "SELECT number, \"key\" FROM changes WHERE number > ?1 ORDER BY number LIMIT " PAGE_SIZE_TEXT);
  g_autoptr(GPtrArray) keys = g_ptr_array_new_with_free_func (g_free);
  g_autoptr(SqliteUse) statement = sqlite_database_prepare (self->database, sql, NULL);

  if (statement == NULL)
    return g_steal_pointer (&keys);
  sqlite3_bind_int64 (statement, 1, self->number);
  while (sqlite_database_step (self->database, statement, NULL) == SQLITE_ROW)
    {
      gint64 number = sqlite3_column_int64 (statement, 0);

      *some_forgotten |= number != self->number + 1;
      self->number = number;
      g_ptr_array_add (keys, g_strdup ((const char *) sqlite3_column_text (statement, 1)));
    }
  return g_steal_pointer (&keys);
}

static void
tell_changes (SqliteWatch *self)
{
  guint n_read;

  do
    {
      gboolean some_forgotten = FALSE;
      g_autoptr(GPtrArray) keys = read_changes (self, &some_forgotten);

      for (guint i = 0; i < keys->len; i++)
        tell (self, g_ptr_array_index (keys, i));
      if (some_forgotten)
        tell (self, NULL);
      n_read = keys->len;
    }
  while (n_read == PAGE_SIZE && !g_atomic_int_get (&self->stopped));
}

/* Looks for what has changed in the database that is there now, and tells of it. */
static void
look (SqliteWatch *self)
{
  if (self->database != NULL && !sqlite_database_is_usable (self->database))
    {
      g_clear_pointer (&self->database, sqlite_database_close);
      self->number = 0;
      tell (self, NULL);
    }
  if (self->database == NULL)
    connect_database (self, NULL);
  if (self->database == NULL)
    return;

  sqlite_database_set_deadline (self->database, g_get_monotonic_time () + LONGEST_WAIT_MS * 1000);
  tell_changes (self);
}

/* Whether an event is about our files; the rest of the directory is not our business. */
static gboolean
concerns (SqliteWatch *self, const struct inotify_event *event)
{
  return event->wd != self->folder_wd || event->len == 0 || g_str_has_prefix (event->name, self->name);
}

static gboolean
read_events (SqliteWatch *self)
{
  _Alignas(struct inotify_event) char buffer[16 * 1024];
  gboolean any = FALSE;
  gssize length;

  while (!g_atomic_int_get (&self->stopped) && (length = read (self->inotify_fd, buffer, sizeof buffer)) > 0)
    for (const char *at = buffer; at < buffer + length;)
      {
        const struct inotify_event *event = (const struct inotify_event *) (const void *) at;

        any |= concerns (self, event);
        at += sizeof *event + event->len;
      }
  return any;
}

static gpointer
run (gpointer data)
{
  SqliteWatch *self = data;
  int second_look_ms = FIRST_SECOND_LOOK_MS;
  int by_hand_ms = SHORTEST_WAIT_MS;

  while (!g_atomic_int_get (&self->stopped))
    {
      struct pollfd fds[2] = { { self->inotify_fd, POLLIN, 0 }, { self->kick_fd, POLLIN, 0 } };
      int wait_ms = self->folder_wd < 0 ? by_hand_ms : -1;
      gboolean hinted;

      if (second_look_ms <= LAST_SECOND_LOOK_MS)
        wait_ms = second_look_ms;
      hinted = poll (fds, 2, wait_ms) > 0 && read_events (self);
      if (g_atomic_int_get (&self->stopped))
        break;
      if (!hinted && wait_ms < 0)
        continue;

      second_look_ms = hinted ? FIRST_SECOND_LOOK_MS : MIN (second_look_ms * 2, 2 * LAST_SECOND_LOOK_MS);
      by_hand_ms = self->folder_wd >= 0 ? SHORTEST_WAIT_MS : MIN (by_hand_ms * 3 / 2, LONGEST_WAIT_MS);
      arm (self);
      look (self);
    }
  watch_unref (self);
  return NULL;
}

static SqliteWatch *
watch_new (StrandStore *store, const SqliteSettings *settings)
{
  SqliteWatch *self = g_new0 (SqliteWatch, 1);

  g_atomic_ref_count_init (&self->refs);
  g_weak_ref_init (&self->store, store);
  self->path = g_strdup (settings->path);
  self->sync = settings->sync;
  self->timeout_us = settings->timeout_us;
  self->folder = g_path_get_dirname (settings->path);
  self->name = g_path_get_basename (settings->path);
  self->log = g_strconcat (settings->path, "-wal", NULL);
  self->kick_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  self->inotify_fd = inotify_init1 (IN_CLOEXEC | IN_NONBLOCK);
  return self;
}

SqliteWatch *
sqlite_watch_start (StrandStore *store, const SqliteSettings *settings, GError **error)
{
  g_autoptr(SqliteWatch) self = watch_new (store, settings);

  if (self->kick_fd < 0 || self->inotify_fd < 0)
    {
      int cause = errno;

      g_set_error (error, G_IO_ERROR, g_io_error_from_errno (cause),
                   "'%s' cannot be watched: %s; raise fs.inotify.max_user_instances", settings->path,
                   g_strerror (cause));
      return NULL;
    }

  arm (self);
  if (!connect_database (self, error) || (self->database != NULL && !read_number (self, error)))
    return NULL;

  g_atomic_ref_count_inc (&self->refs);
  g_thread_unref (g_thread_new ("strand-inotify", run, self));
  return g_steal_pointer (&self);
}

void
sqlite_watch_stop (SqliteWatch *self)
{
  guint64 one = 1;

  g_atomic_int_set (&self->stopped, TRUE);
  if (write (self->kick_fd, &one, sizeof one) < 0)
    g_assert (errno == EAGAIN); /* kicked 2^64 times already */
  watch_unref (self);
}

void
sqlite_watch_ring (const char *path)
{
  g_autofree char *log = g_strconcat (path, "-wal", NULL);

  /* Who cannot touch the log is heard at the next second look. */
  if (utimensat (AT_FDCWD, log, NULL, 0) != 0)
    strand_debug (STRAND_TOPIC_STORE, "Could not touch '%s': %s", log, g_strerror (errno));
}
