/* sqlite-watch.c — inotify for one database: a thread that sleeps until its log is written.
 *
 * An event is only a sign: the thread then reads on in the table of changes, or looks whether its queues have
 * work, so it matters little which events come, how many, or whether some were lost. There are two signs. A
 * writer of ours that knows of us rings when its transaction can be seen, and the thread looks at once.
 * Whoever else writes into the log gives a hint: the thread looks after 1, 2, 4, … ms, 8 s in all, and takes
 * no further hints while the first of these runs, as a transaction makes two for each page.
 *
 * Writers note what they change only for those who attend (sqlite-bell.c). Until it is certain that every
 * transaction to come knows of us, all that may have changed is told of whenever anybody has written: that is
 * so for a moment after the start, and always in a database that is read-only for us.
 *
 * Only what inotify cannot see is looked for by the clock: a directory that is not there yet; every 10 ms at
 * first, at last once a second.                   SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "sqlite-watch.h"
#include "sqlite-bell.h"
#include "sqlite-work.h"
#include "watch-rest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#define SHORTEST_WAIT_MS 10
#define LONGEST_WAIT_MS 1000

/* Some writers are stopped for a while by the scheduler, or by somebody with a debugger. */
#define FIRST_SECOND_LOOK_MS 1
#define LAST_SECOND_LOOK_MS 4096

/* How long to wait for SQLite's write lock before the next look tries again; a write holds it for 20 µs. */
#define SETTLING_US 2000

/* How many changes are read at once, so that a bulk of them does not fill the memory. */
#define PAGE_SIZE 1000
#define PAGE_SIZE_TEXT "1000"

#define FOLDER_EVENTS                                                                                        \
  (IN_CREATE | IN_DELETE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)
#define LOST_EVENTS (IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF | IN_Q_OVERFLOW)

struct _SqliteWatch
{
  gatomicrefcount refs; /* the store's and the thread's */
  GWeakRef store;
  char *path;
  const char *sync;
  gint64 timeout_us;
  char **queues;   /* to look for work in; NULL to tell of records */
  gint64 *next_us; /* for each queue: when it has work next, as has been told */
  int kick_fd;
  int stopped; /* atomic */

  WatchRest rest;

  /* The thread's alone, once it runs. */
  int bell_fd;   /* inotify: the log's times */
  int hint_fd;   /* inotify: everything else */
  int folder_wd; /* -1 while there is no directory */
  int log_wd;
  gboolean armed; /* as far as the thread knows */
  char *folder;
  char *name;
  char *log;
  SqliteDatabase *database; /* NULL while there is none */
  int seat;                 /* on which we attend; -1 without a database, or where that cannot be */
  gint64 number;            /* of the last change that has been told */
  gboolean certain;         /* that every change is noted */
  gint64 version;           /* while it is not: what SQLite counts for the writes of others */
};

static void
disconnect (SqliteWatch *self)
{
  if (self->seat >= 0)
    close (self->seat);
  self->seat = -1;
  g_clear_pointer (&self->database, sqlite_database_close);
}

static void
watch_unref (SqliteWatch *self)
{
  if (!g_atomic_ref_count_dec (&self->refs))
    return;

  disconnect (self);
  if (self->bell_fd >= 0)
    close (self->bell_fd);
  if (self->hint_fd >= 0)
    close (self->hint_fd);
  if (self->kick_fd >= 0)
    close (self->kick_fd);
  watch_rest_clear (&self->rest);
  g_weak_ref_clear (&self->store);
  g_free (self->folder);
  g_free (self->name);
  g_free (self->log);
  g_strfreev (self->queues);
  g_free (self->next_us);
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

static void
tell_queue (SqliteWatch *self, const char *queue)
{
  g_autoptr(StrandStore) store = g_weak_ref_get (&self->store);

  if (store != NULL && !g_atomic_int_get (&self->stopped))
    strand_store_queue_changed (store, queue);
}

/* Puts the watches where the files are now: watching a file twice is watching it once. */
static void
arm (SqliteWatch *self)
{
  self->folder_wd = inotify_add_watch (self->hint_fd, self->folder, FOLDER_EVENTS);
  self->log_wd = inotify_add_watch (self->hint_fd, self->log, IN_MODIFY);
  self->armed = inotify_add_watch (self->bell_fd, self->log, IN_ATTRIB) >= 0 && self->log_wd >= 0 &&
                self->folder_wd >= 0;
}

static gboolean
read_integer (SqliteWatch *self, const char *sql, gint64 *integer, GError **error)
{
  g_autoptr(SqliteUse) statement = sqlite_database_prepare (self->database, sql, error);

  if (statement == NULL || sqlite_database_step (self->database, statement, error) != SQLITE_ROW)
    return FALSE;
  *integer = sqlite3_column_int64 (statement, 0);
  return TRUE;
}

#define READ_VERSION "PRAGMA data_version"

/* Opens the database if there is one, attends, and notes what there is to know already. The version first:
 * what is written after it is told of. */
static gboolean
connect_database (SqliteWatch *self, GError **error)
{
  SqliteSettings settings = { self->path, self->sync, self->timeout_us };
  g_autoptr(GError) local_error = NULL;

  self->database = sqlite_database_open (&settings, FALSE, &local_error);
  if (self->database != NULL)
    {
      self->seat =
          sqlite_bell_attend (self->log, self->queues != NULL ? SQLITE_HEARS_WORK : SQLITE_HEARS_CHANGES);
      self->certain = FALSE;
      if (read_integer (self, READ_VERSION, &self->version, &local_error) &&
          read_integer (self, "SELECT coalesce(max(number), 0) FROM changes", &self->number, &local_error))
        return TRUE;
      disconnect (self);
    }
  if (local_error == NULL)
    return TRUE;

  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

/* Who writes asks under SQLite's lock who attends. So once we have had that lock, too, every transaction that
 * is not over yet knows of us. */
static gboolean
have_lock (SqliteWatch *self)
{
  if (self->seat < 0 || sqlite_database_is_read_only (self->database))
    return FALSE;
  sqlite_database_set_deadline (self->database, g_get_monotonic_time () + SETTLING_US);
  if (!sqlite_database_run (self->database, "BEGIN IMMEDIATE", NULL))
    return FALSE;
  sqlite_database_lose_transaction (self->database);
  return TRUE;
}

/* Tells of everything if others have written what they need not have noted. */
static void
settle (SqliteWatch *self)
{
  gboolean certain = have_lock (self);
  gint64 version;

  if (!read_integer (self, READ_VERSION, &version, NULL))
    return;
  if (version != self->version)
    tell (self, NULL);
  self->version = version;
  self->certain = certain;
}

/* The keys of the next changes. Numbers have no gaps: where one is missing some have been forgotten. */
static GPtrArray *
read_changes (SqliteWatch *self, gboolean *some_forgotten)
{
  const char *sql =
      "SELECT number, \"key\" FROM changes WHERE number > ?1 ORDER BY number LIMIT " PAGE_SIZE_TEXT;
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

/* Tells of each queue that has something to claim, or will have at another time than before. */
static void
tell_queues (SqliteWatch *self)
{
  for (guint i = 0; self->queues[i] != NULL; i++)
    {
      const char *const one[] = { self->queues[i], NULL };
      gboolean due;
      gint64 next_us;

      if (sqlite_work_look (self->database, one, strand_clock_now_us (), &due, &next_us, NULL) && !due &&
          next_us == self->next_us[i])
        continue;
      self->next_us[i] = next_us;
      tell_queue (self, self->queues[i]);
    }
}

/* Looks for what has changed in the database that is there now, and tells of it. */
static void
look (SqliteWatch *self)
{
  if (self->database != NULL && !sqlite_database_is_usable (self->database))
    {
      disconnect (self);
      self->armed = FALSE;
      if (self->queues == NULL)
        tell (self, NULL);
    }
  if (self->database == NULL)
    {
      connect_database (self, NULL);
      if (self->database != NULL && self->queues == NULL)
        tell (self, NULL);
    }
  if (self->database == NULL)
    return;

  sqlite_database_set_deadline (self->database, g_get_monotonic_time () + LONGEST_WAIT_MS * 1000);
  if (self->queues != NULL)
    tell_queues (self);
  else
    tell_changes (self);
  if (self->queues == NULL && !self->certain)
    settle (self);
}

/* Whether an event is about our files; the rest of the directory is not our business. */
static gboolean
concerns (SqliteWatch *self, const struct inotify_event *event)
{
  return event->len == 0 || g_str_has_prefix (event->name, self->name);
}

/* Reads what there is. Whether any was about our files. */
static gboolean
read_events (SqliteWatch *self, int fd)
{
  _Alignas(struct inotify_event) char buffer[16 * 1024];
  gboolean any = FALSE;
  gssize length;

  while (!g_atomic_int_get (&self->stopped) && (length = read (fd, buffer, sizeof buffer)) > 0)
    for (const char *at = buffer; at < buffer + length;)
      {
        const struct inotify_event *event = (const struct inotify_event *) (const void *) at;

        any |= concerns (self, event);
        if (event->len > 0 || (event->mask & LOST_EVENTS) != 0)
          self->armed = FALSE; /* files have come or gone */
        at += sizeof *event + event->len;
      }
  return any;
}

/* When to look next without having been rung for. */
typedef struct
{
  gint64 look_us; /* monotonic; G_MAXINT64 for never */
  int wait_ms;    /* how long the last wait was; 0 where none is due */
} SecondLook;

static void
look_later (SecondLook *second, int wait_ms)
{
  second->wait_ms = wait_ms;
  second->look_us = wait_ms > 0 ? g_get_monotonic_time () + wait_ms * 1000 : G_MAXINT64;
}

/* After a look that nobody rang for. */
static void
look_again (SqliteWatch *self, SecondLook *second)
{
  if (self->folder_wd < 0)
    look_later (second, CLAMP (second->wait_ms * 3 / 2, SHORTEST_WAIT_MS, LONGEST_WAIT_MS));
  else
    look_later (second, second->wait_ms < LAST_SECOND_LOOK_MS ? second->wait_ms * 2 : 0);
}

static int
timeout_until (gint64 time_us)
{
  if (time_us == G_MAXINT64)
    return -1;
  return (int) CLAMP ((time_us - g_get_monotonic_time () + 999) / 1000, 0, LAST_SECOND_LOOK_MS);
}

static void
hear_kicks (SqliteWatch *self)
{
  guint64 n_kicks;

  if (read (self->kick_fd, &n_kicks, sizeof n_kicks) < 0)
    g_assert (errno == EAGAIN);
}

static gpointer
run (gpointer data)
{
  SqliteWatch *self = data;
  SecondLook second;

  look_later (&second, FIRST_SECOND_LOOK_MS);
  while (!g_atomic_int_get (&self->stopped))
    {
      /* Further hints say nothing new until the first has been seen to. */
      gboolean hinted = second.wait_ms == FIRST_SECOND_LOOK_MS;
      struct pollfd fds[3] = { { self->bell_fd, POLLIN, 0 },
                               { self->kick_fd, POLLIN, 0 },
                               { hinted ? -1 : self->hint_fd, POLLIN, 0 } };
      gboolean rung, due;

      poll (fds, 3, timeout_until (MIN (second.look_us, watch_rest_get_end (&self->rest))));
      hear_kicks (self);
      if (g_atomic_int_get (&self->stopped) || watch_rest_is_over (&self->rest))
        break;
      rung = fds[0].revents != 0 && read_events (self, self->bell_fd);
      due = g_get_monotonic_time () >= second.look_us;
      if (fds[2].revents != 0 && read_events (self, self->hint_fd))
        look_later (&second, FIRST_SECOND_LOOK_MS);
      if (!rung && !due)
        continue;

      if (due && hinted)
        read_events (self, self->hint_fd);
      if (!self->armed)
        arm (self);
      look (self);
      if (due)
        look_again (self, &second);
    }
  disconnect (self); /* writers need not know of us any more */
  watch_unref (self);
  return NULL;
}

static SqliteWatch *
watch_new (StrandStore *store, const SqliteSettings *settings, const char *const *queues)
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
  watch_rest_init (&self->rest);
  self->seat = -1;
  self->kick_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  self->bell_fd = inotify_init1 (IN_CLOEXEC | IN_NONBLOCK);
  self->hint_fd = inotify_init1 (IN_CLOEXEC | IN_NONBLOCK);
  self->queues = g_strdupv ((char **) queues);
  self->next_us = g_new0 (gint64, queues != NULL ? g_strv_length (self->queues) : 0);
  return self;
}

SqliteWatch *
sqlite_watch_start (StrandStore *store, const SqliteSettings *settings, const char *const *queues,
                    GError **error)
{
  g_autoptr(SqliteWatch) self = watch_new (store, settings, queues);

  if (self->kick_fd < 0 || self->bell_fd < 0 || self->hint_fd < 0)
    {
      int cause = errno;

      g_set_error (error, G_IO_ERROR, g_io_error_from_errno (cause),
                   "'%s' cannot be watched: %s; raise fs.inotify.max_user_instances", settings->path,
                   g_strerror (cause));
      return NULL;
    }

  arm (self);
  if (!connect_database (self, error))
    return NULL;

  g_atomic_ref_count_inc (&self->refs);
  g_thread_unref (g_thread_new ("strand-inotify", run, self));
  return g_steal_pointer (&self);
}

static void
kick (SqliteWatch *self)
{
  guint64 one = 1;

  if (write (self->kick_fd, &one, sizeof one) < 0)
    g_assert (errno == EAGAIN); /* kicked 2^64 times already */
}

void
sqlite_watch_rest (SqliteWatch *self)
{
  watch_rest_begin (&self->rest);
  kick (self);
}

gboolean
sqlite_watch_resume (SqliteWatch *self)
{
  return watch_rest_resume (&self->rest);
}

void
sqlite_watch_stop (SqliteWatch *self)
{
  g_atomic_int_set (&self->stopped, TRUE);
  kick (self);
  watch_unref (self);
}
