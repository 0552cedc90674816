/* sqlite-database.c — one connection to a database of records: opening, statements, errors.
 *
 * Nothing here ever deletes a database, or writes into one that is not ours.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "sqlite-database.h"
#include "sqlite-schema.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

/* Filters come in many combinations, a program uses a few. */
#define MAX_STATEMENTS 64

/* Waiting for another process's lock: SQLite cannot tell when it is free. A write holds it for some 20 µs, or
 * for as long as the disk needs with sync=full. */
#define SHORTEST_WAIT_US 50
#define LONGEST_WAIT_US 500

/* How many rows are remembered, the latest in each of so many drawers: as many as a program has in flight. */
#define N_DRAWERS 4096

struct _SqliteDatabase
{
  sqlite3 *handle;
  char *path;
  gint64 deadline_us;
  guint n_waits;
  gboolean broken;        /* an error that a new connection may not have */
  gboolean frozen;        /* opened without locks: for one use only */
  gboolean noting;        /* somebody watches the table of changes */
  GHashTable *statements; /* SQL, by address → sqlite3_stmt */
  gint64 *ids;            /* of rows, by the hash of their keys; NULL while none is remembered */
};

/* --- errors -------------------------------------------------------------------------------------------- */

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
      return "; check its owner and mode, and its directory's, or set 'path' to a file of your own";
    case EROFS:
      return "; mount it for writing, or set 'path' to another disk";
    case ENOTDIR:
    case EISDIR:
      return "; set 'path' to a file";
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

/* SQLite says only that it may not write. Whether the file is closed to us, or its directory, which must take
 * the log beside it, the system says. */
static int
why_read_only (const char *path)
{
  g_autofree char *folder = g_path_get_dirname (path);

  if (g_access (path, W_OK) != 0 || g_access (folder, W_OK | X_OK) != 0)
    return errno;
  return EROFS;
}

static void
set_database_error (SqliteDatabase *self, GError **error)
{
  int code = sqlite3_errcode (self->handle) & 0xff;
  int cause = sqlite3_system_errno (self->handle);
  g_autofree char *shown = g_filename_display_name (self->path);

  /* What is missing where the database is not is its log, which could not be made. */
  if (code == SQLITE_CANTOPEN && cause == ENOENT && g_access (self->path, F_OK) == 0)
    code = SQLITE_READONLY;
  switch (code)
    {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_BUSY,
                   "'%s' stayed locked by another program; see which has it open, or raise 'busy-timeout'",
                   shown);
      break;
    case SQLITE_FULL:
      set_io_error (error, ENOSPC, self->path);
      break;
    case SQLITE_READONLY:
      set_io_error (error, why_read_only (self->path), self->path);
      break;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT,
                   "'%s' is damaged, or is no database: %s; nothing has been changed: move it aside together "
                   "with its -wal file, or see what 'sqlite3 FILE .recover' can read",
                   shown, sqlite3_errmsg (self->handle));
      break;
    case SQLITE_TOOBIG:
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_TOO_LARGE, "'%s': %s", shown,
                   sqlite3_errmsg (self->handle));
      break;
    default:
      if ((code == SQLITE_IOERR || code == SQLITE_CANTOPEN) && cause != 0)
        set_io_error (error, cause, self->path);
      else
        g_set_error (error, STRAND_ERROR, STRAND_ERROR_FAILED, "'%s': %s", shown,
                     sqlite3_errmsg (self->handle));
    }
  self->broken |= code != SQLITE_BUSY && code != SQLITE_FULL && code != SQLITE_TOOBIG;
}

/* --- statements ---------------------------------------------------------------------------------------- */

/* SQLite calls this while a lock is taken, with how often it has. */
static int
wait_for_lock (void *data, int n_calls)
{
  SqliteDatabase *self = data;
  guint64 wait_us = MIN ((guint64) SHORTEST_WAIT_US << MIN (self->n_waits, 16), LONGEST_WAIT_US);

  if (g_get_monotonic_time () >= self->deadline_us)
    return 0;
  self->n_waits++;
  /* Not all at once when the lock is let go. */
  g_usleep (wait_us / 2 + g_random_int_range (0, wait_us));
  return 1;
}

void
sqlite_database_set_deadline (SqliteDatabase *self, gint64 deadline_us)
{
  self->deadline_us = deadline_us;
  self->n_waits = 0;
}

sqlite3_stmt *
sqlite_database_prepare (SqliteDatabase *self, const char *sql, GError **error)
{
  sqlite3_stmt *statement = g_hash_table_lookup (self->statements, sql);
  int code;

  if (statement != NULL)
    return statement;

  do
    code = sqlite3_prepare_v3 (self->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL);
  while (code == SQLITE_BUSY && wait_for_lock (self, 0));
  if (code != SQLITE_OK)
    {
      set_database_error (self, error);
      return NULL;
    }
  if (g_hash_table_size (self->statements) >= MAX_STATEMENTS)
    g_hash_table_remove_all (self->statements);
  g_hash_table_insert (self->statements, (char *) sql, statement);
  return statement;
}

/* Not everywhere where another connection is in the way does SQLite ask its busy handler. */
int
sqlite_database_step (SqliteDatabase *self, sqlite3_stmt *statement, GError **error)
{
  int code = sqlite3_step (statement);

  while ((code == SQLITE_BUSY || code == SQLITE_PROTOCOL) && wait_for_lock (self, 0))
    {
      sqlite3_reset (statement);
      code = sqlite3_step (statement);
    }
  if (code == SQLITE_ROW || code == SQLITE_DONE)
    return code;

  set_database_error (self, error);
  return SQLITE_ERROR;
}

void
sqlite_database_reset (sqlite3_stmt *statement)
{
  sqlite3_reset (statement);
  sqlite3_clear_bindings (statement);
}

gboolean
sqlite_database_run (SqliteDatabase *self, const char *sql, GError **error)
{
  g_autoptr(SqliteUse) statement = sqlite_database_prepare (self, sql, error);

  return statement != NULL && sqlite_database_step (self, statement, error) == SQLITE_DONE;
}

void
sqlite_database_set_noting (SqliteDatabase *self, gboolean noting)
{
  self->noting = noting;
}

gboolean
sqlite_database_note (SqliteDatabase *self, const char *key, GError **error)
{
  g_autoptr(SqliteUse) statement = NULL;

  if (!self->noting)
    return TRUE;
  statement = sqlite_database_prepare (self, "INSERT INTO changes (\"key\") VALUES (?1)", error);
  if (statement != NULL)
    sqlite3_bind_text (statement, 1, key, -1, SQLITE_STATIC);
  if (statement != NULL && sqlite_database_step (self, statement, error) == SQLITE_DONE)
    return TRUE;

  sqlite_database_lose_transaction (self);
  return FALSE;
}

gint64
sqlite_database_recall_id (SqliteDatabase *self, const char *key)
{
  return self->ids != NULL ? self->ids[g_str_hash (key) % N_DRAWERS] : 0;
}

void
sqlite_database_remember_id (SqliteDatabase *self, const char *key, gint64 id)
{
  if (self->ids == NULL)
    self->ids = g_new0 (gint64, N_DRAWERS);
  self->ids[g_str_hash (key) % N_DRAWERS] = id;
}

void
sqlite_database_lose_transaction (SqliteDatabase *self)
{
  if (sqlite_database_is_in_transaction (self))
    sqlite_database_run (self, "ROLLBACK", NULL);
}

const char *
sqlite_database_get_path (SqliteDatabase *self)
{
  return self->path;
}

gboolean
sqlite_database_is_in_transaction (SqliteDatabase *self)
{
  return !sqlite3_get_autocommit (self->handle);
}

gint64
sqlite_database_count_all_changes (SqliteDatabase *self)
{
  return sqlite3_total_changes64 (self->handle);
}

int
sqlite_database_count_changes (SqliteDatabase *self)
{
  return sqlite3_changes (self->handle);
}

gint64
sqlite_database_get_last_id (SqliteDatabase *self)
{
  return sqlite3_last_insert_rowid (self->handle);
}

gboolean
sqlite_database_execute (SqliteDatabase *self, const char *sql, gint64 *answer, GError **error)
{
  sqlite3_stmt *statement = NULL;
  int code;

  do
    code = sqlite3_prepare_v2 (self->handle, sql, -1, &statement, NULL);
  while (code == SQLITE_BUSY && wait_for_lock (self, 0));
  if (code != SQLITE_OK)
    {
      set_database_error (self, error);
      return FALSE;
    }

  while ((code = sqlite_database_step (self, statement, error)) == SQLITE_ROW)
    if (answer != NULL)
      *answer = sqlite3_column_int64 (statement, 0);
  sqlite3_finalize (statement);
  return code == SQLITE_DONE;
}

/* --- opening ------------------------------------------------------------------------------------------- */

/* Makes the file before SQLite does, for its mode; the log and its index get the same from SQLite. */
static gboolean
make_file (const char *path, GError **error)
{
  g_autofree char *folder = g_path_get_dirname (path);
  int fd;

  if (g_access (path, F_OK) == 0)
    return TRUE;
  if (g_mkdir_with_parents (folder, 0700) != 0)
    {
      set_io_error (error, errno, folder);
      return FALSE;
    }
  fd = open (path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0 && errno != EEXIST)
    {
      set_io_error (error, errno, path);
      return FALSE;
    }
  if (fd >= 0)
    close (fd);
  return TRUE;
}

static gboolean
configure (SqliteDatabase *self, const SqliteSettings *settings, GError **error)
{
  g_autofree char *sync = g_strdup_printf ("PRAGMA synchronous = %s", settings->sync);

  /* Triggers are for other programs' writes: what they do is done here where it is needed. */
  sqlite3_db_config (self->handle, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);

  /* A file from elsewhere must not make SQLite run what is not its own; a log that has grown in a burst is
   * cut back to 16 MiB, four times its usual size. */
  return sqlite_database_execute (self, "PRAGMA trusted_schema = OFF", NULL, error) &&
         sqlite_database_execute (self, "PRAGMA cell_size_check = ON", NULL, error) &&
         sqlite_database_execute (self, "PRAGMA journal_size_limit = 16777216", NULL, error) &&
         sqlite_database_execute (self, sync, NULL, error);
}

static gint64
deadline_after (gint64 timeout_us)
{
  return timeout_us >= 0 ? g_get_monotonic_time () + timeout_us : G_MAXINT64;
}

static SqliteDatabase *
open_handle (const SqliteSettings *settings, gboolean frozen, GError **error)
{
  g_autoptr(SqliteDatabase) self = g_new0 (SqliteDatabase, 1);
  g_autofree char *uri = NULL;
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;

  self->path = g_strdup (settings->path);
  self->frozen = frozen;
  self->statements = g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify) sqlite3_finalize);
  if (frozen)
    {
      g_autofree char *escaped = g_uri_escape_string (settings->path, "/", FALSE);

      uri = g_strdup_printf ("file:%s?immutable=1", escaped);
      flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_URI;
    }
  if (sqlite3_open_v2 (frozen ? uri : settings->path, &self->handle, flags, NULL) != SQLITE_OK)
    {
      if (self->handle == NULL)
        g_set_error (error, STRAND_ERROR, STRAND_ERROR_FAILED, "'%s': out of memory", settings->path);
      else
        set_database_error (self, error);
      return NULL;
    }
  sqlite3_busy_handler (self->handle, wait_for_lock, self);
  sqlite_database_set_deadline (self, deadline_after (settings->timeout_us));
  return configure (self, settings, error) ? g_steal_pointer (&self) : NULL;
}

/* A log that nobody has made and nobody can make here: then nobody writes, and nothing needs to be locked. */
static gboolean
is_frozen (const char *path)
{
  g_autofree char *folder = g_path_get_dirname (path);
  g_autofree char *log = g_strconcat (path, "-wal", NULL);

  return g_access (folder, X_OK) == 0 && g_access (folder, W_OK) != 0 && g_access (log, F_OK) != 0;
}

SqliteDatabase *
sqlite_database_open (const SqliteSettings *settings, gboolean create, GError **error)
{
  g_autoptr(SqliteDatabase) self = NULL;
  g_autoptr(GError) local_error = NULL;
  gboolean is_empty = TRUE, ready = FALSE;

  if (create ? !make_file (settings->path, error) : g_access (settings->path, F_OK) != 0 && errno == ENOENT)
    return NULL;

  self = open_handle (settings, FALSE, &local_error);
  if ((self == NULL || !sqlite_schema_look (self, &is_empty, &ready, &local_error)) && !create &&
      is_frozen (settings->path))
    {
      g_clear_error (&local_error);
      g_clear_pointer (&self, sqlite_database_close);
      self = open_handle (settings, TRUE, &local_error);
      if (self != NULL)
        sqlite_schema_look (self, &is_empty, &ready, &local_error);
    }
  if (local_error != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return NULL;
    }

  if (is_empty && !create)
    return NULL;
  if (!ready && !sqlite_schema_upgrade (self, error))
    return NULL;
  return g_steal_pointer (&self);
}

gboolean
sqlite_database_is_usable (SqliteDatabase *self)
{
  int has_moved = 0;

  return !self->broken && !self->frozen &&
         sqlite3_file_control (self->handle, "main", SQLITE_FCNTL_HAS_MOVED, &has_moved) == SQLITE_OK &&
         !has_moved;
}

gboolean
sqlite_database_is_read_only (SqliteDatabase *self)
{
  return sqlite3_db_readonly (self->handle, "main") != 0;
}

void
sqlite_database_close (SqliteDatabase *self)
{
  g_hash_table_unref (self->statements);
  g_free (self->ids);
  sqlite3_close_v2 (self->handle);
  g_free (self->path);
  g_free (self);
}
