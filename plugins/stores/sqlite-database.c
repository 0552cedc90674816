/* sqlite-database.c — one connection to a database of records: opening, schema, statements, errors.
 *
 * The table `records` has a column for each field of a record, named as the field is, so that the sqlite3
 * program and any language's binding can read it and ask it things. The table `changes` has the keys of the
 * latest writes and removals, numbered without gaps: watchers in other processes read on from the number that
 * they know. Triggers write it, so it has what other programs do as well.
 *
 * `user_version` is the schema's number. A larger one than ours is refused, a smaller one is brought up step
 * by step. Columns are no matter of the number: those that a newer record has and the table has not are added
 * with their defaults, and what a newer program added is left alone.
 *
 * Nothing here ever deletes a database, or writes into one that is not ours.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "sqlite-database.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define SCHEMA_VERSION 1

/* "Strd": tells our databases from other programs'. */
#define APPLICATION_ID 0x53747264

/* Filters come in many combinations, a program uses a few. */
#define MAX_STATEMENTS 64

/* Waiting for another process's lock: SQLite cannot tell when it is free. A write holds it for some 20 µs, or
 * for as long as the disk needs with sync=full. */
#define SHORTEST_WAIT_US 50
#define LONGEST_WAIT_US 5000

struct _SqliteDatabase
{
  sqlite3 *handle;
  char *path;
  gint64 deadline_us;
  guint n_waits;
  gboolean broken;        /* an error that a new connection may not have */
  gboolean frozen;        /* opened without locks: for one use only */
  GHashTable *statements; /* interned SQL → sqlite3_stmt */
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

int
sqlite_database_count_changes (SqliteDatabase *self)
{
  return sqlite3_changes (self->handle);
}

/* Runs a statement to its end; one that answers gives an integer. */
static gboolean
run (SqliteDatabase *self, const char *sql, gint64 *answer, GError **error)
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

/* --- schema -------------------------------------------------------------------------------------------- */

/* What a field is in the table. Defaults are those of a new record, so that a program which writes a row
 * leaves out what it has nothing to say about. */
static void
append_column (GString *sql, StrandRecord *fresh, StrandField field)
{
  const char *text;
  char number[G_ASCII_DTOSTR_BUF_SIZE];

  g_string_append_printf (sql, "\"%s\" ", strand_field_get_name (field));
  switch (strand_field_get_shape (field))
    {
    case STRAND_SHAPE_INT:
      g_string_append_printf (sql, "INTEGER NOT NULL DEFAULT %" G_GINT64_FORMAT,
                              strand_record_get_int (fresh, field));
      break;
    case STRAND_SHAPE_DOUBLE:
      g_string_append_printf (
          sql, "REAL NOT NULL DEFAULT %s",
          g_ascii_dtostr (number, sizeof number, strand_record_get_double (fresh, field)));
      break;
    case STRAND_SHAPE_STRING:
      text = field != STRAND_FIELD_KEY ? strand_record_get_string (fresh, field) : NULL;
      g_string_append (sql, "TEXT");
      if (field == STRAND_FIELD_KEY)
        g_string_append (sql, " NOT NULL PRIMARY KEY");
      else if (text != NULL)
        g_string_append_printf (sql, " NOT NULL DEFAULT '%s'", text);
      break;
    case STRAND_SHAPE_VARIANT:
      g_string_append (sql, "TEXT");
      break;
    case STRAND_SHAPE_BYTES:
    default:
      g_string_append (sql, "BLOB");
      break;
    }
}

/* What finds records without reading them all: by kind and status, but for completed calls;
 * those of a queue, and of these the ones
 * that wait in the order in which they are due (a low priority ages: 30 s for each step); and what expires
 * next. Of the changes at least the latest 10000 are kept; they are removed a thousand at a time, as each
 * time costs a page. */
static const char *const schema_1[] = {
  "CREATE INDEX records_by_kind ON records (\"kind\", \"status\", \"key\") WHERE " SQLITE_IS_NOTED,
  "CREATE INDEX records_by_queue ON records (\"queue\", \"status\", \"key\") WHERE \"queue\" IS NOT NULL",
  "CREATE INDEX records_by_turn ON records (\"queue\", max(\"created\", \"not-before\") - \"priority\" * "
  "30000000) WHERE \"queue\" IS NOT NULL AND \"status\" = 0",
  "CREATE INDEX records_by_expiry ON records (" SQLITE_EXPIRY ") WHERE " SQLITE_CAN_EXPIRE,
  "CREATE TABLE changes (number INTEGER PRIMARY KEY, \"key\" TEXT NOT NULL) STRICT",
  "CREATE TRIGGER records_added AFTER INSERT ON records BEGIN"
  " INSERT INTO changes (\"key\") VALUES (new.\"key\"); END",
  "CREATE TRIGGER records_changed AFTER UPDATE ON records BEGIN"
  " INSERT INTO changes (\"key\") VALUES (new.\"key\"); END",
  "CREATE TRIGGER records_renamed AFTER UPDATE OF \"key\" ON records BEGIN"
  " INSERT INTO changes (\"key\") VALUES (old.\"key\"); END",
  "CREATE TRIGGER records_removed AFTER DELETE ON records BEGIN"
  " INSERT INTO changes (\"key\") VALUES (old.\"key\"); END",
  "CREATE TRIGGER changes_forgotten AFTER INSERT ON changes WHEN new.number % 1000 = 0 BEGIN"
  " DELETE FROM changes WHERE number <= new.number - 10000; END",
  "PRAGMA application_id = 0x53747264",
};

static gboolean
make_schema (SqliteDatabase *self, GError **error)
{
  g_autoptr(StrandRecord) fresh = strand_record_new ("fresh");
  g_autoptr(GString) table = g_string_new ("CREATE TABLE records (");

  for (StrandField field = 0; field < STRAND_N_FIELDS; field++)
    {
      if (field > 0)
        g_string_append (table, ", ");
      append_column (table, fresh, field);
    }
  g_string_append (table, ") STRICT, WITHOUT ROWID");

  if (!run (self, table->str, NULL, error))
    return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS (schema_1); i++)
    if (!run (self, schema_1[i], NULL, error))
      return FALSE;
  return TRUE;
}

/* Step N brings schema N to schema N + 1. */
static gboolean (*const steps[SCHEMA_VERSION]) (SqliteDatabase *self, GError **error) = { make_schema };

static GHashTable *
read_columns (SqliteDatabase *self, GError **error)
{
  g_autoptr(GHashTable) names = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  sqlite3_stmt *statement = sqlite_database_prepare (
      self, g_intern_static_string ("SELECT name FROM pragma_table_info('records')"), error);
  int code;

  if (statement == NULL)
    return NULL;
  while ((code = sqlite_database_step (self, statement, error)) == SQLITE_ROW)
    g_hash_table_add (names, g_strdup ((const char *) sqlite3_column_text (statement, 0)));
  sqlite_database_reset (statement);
  return code == SQLITE_DONE ? g_steal_pointer (&names) : NULL;
}

static gboolean
has_all_columns (SqliteDatabase *self, gboolean *all, GError **error)
{
  g_autoptr(GHashTable) names = read_columns (self, error);

  if (names == NULL)
    return FALSE;
  *all = TRUE;
  for (StrandField field = 0; field < STRAND_N_FIELDS; field++)
    *all = *all && g_hash_table_contains (names, strand_field_get_name (field));
  return TRUE;
}

static gboolean
add_columns (SqliteDatabase *self, GError **error)
{
  g_autoptr(StrandRecord) fresh = strand_record_new ("fresh");
  g_autoptr(GHashTable) names = read_columns (self, error);

  if (names == NULL)
    return FALSE;
  for (StrandField field = 0; field < STRAND_N_FIELDS; field++)
    if (!g_hash_table_contains (names, strand_field_get_name (field)))
      {
        g_autoptr(GString) sql = g_string_new ("ALTER TABLE records ADD COLUMN ");

        append_column (sql, fresh, field);
        if (!run (self, sql->str, NULL, error))
          return FALSE;
      }
  return TRUE;
}

/* Reads whose database this is, and of which schema: 0 for one with nothing in it. */
static gboolean
read_version (SqliteDatabase *self, gint64 *version, GError **error)
{
  g_autofree char *shown = g_filename_display_name (self->path);
  gint64 application_id, n_tables;

  if (!run (self, "PRAGMA user_version", version, error) ||
      !run (self, "PRAGMA application_id", &application_id, error) ||
      !run (self, "SELECT count(*) FROM sqlite_schema", &n_tables, error))
    return FALSE;

  if (application_id != APPLICATION_ID && (n_tables > 0 || *version != 0))
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
                   "'%s' is another program's database; set 'path' to a file of its own", shown);
      return FALSE;
    }
  if (*version > SCHEMA_VERSION)
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_NOT_SUPPORTED,
                   "'%s' has schema %" G_GINT64_FORMAT
                   " and this strand knows those up to %d; use the strand "
                   "that wrote it, or set 'path' to another file",
                   shown, *version, SCHEMA_VERSION);
      return FALSE;
    }
  return TRUE;
}

/* Inside a transaction; somebody else may have been faster. */
static gboolean
bring_up (SqliteDatabase *self, GError **error)
{
  g_autofree char *pragma = g_strdup_printf ("PRAGMA user_version = %d", SCHEMA_VERSION);
  gint64 version;

  if (!read_version (self, &version, error))
    return FALSE;
  for (; version < SCHEMA_VERSION; version++)
    if (!steps[version](self, error))
      return FALSE;
  return add_columns (self, error) && run (self, pragma, NULL, error);
}

static gboolean
set_journal (SqliteDatabase *self, GError **error)
{
  g_autofree char *shown = g_filename_display_name (self->path);
  g_autoptr(SqliteUse) statement =
      sqlite_database_prepare (self, g_intern_static_string ("PRAGMA journal_mode = WAL"), error);

  if (statement == NULL || sqlite_database_step (self, statement, error) != SQLITE_ROW)
    return FALSE;
  if (g_ascii_strcasecmp ((const char *) sqlite3_column_text (statement, 0), "wal") == 0)
    return TRUE;

  g_set_error (error, STRAND_ERROR, STRAND_ERROR_NOT_SUPPORTED,
               "'%s': its file system cannot keep a write-ahead log; set 'path' to a local disk", shown);
  return FALSE;
}

static gboolean
upgrade (SqliteDatabase *self, GError **error)
{
  if (!set_journal (self, error) || !run (self, "BEGIN IMMEDIATE", NULL, error))
    return FALSE;
  if (bring_up (self, error) && run (self, "COMMIT", NULL, error))
    return TRUE;

  run (self, "ROLLBACK", NULL, NULL);
  return FALSE;
}

/* Whether there is something to read; *@ready is whether it can be, as it is. */
static gboolean
look_at_schema (SqliteDatabase *self, gboolean *is_empty, gboolean *ready, GError **error)
{
  gint64 version;

  if (!read_version (self, &version, error))
    return FALSE;
  *is_empty = version == 0;
  *ready = FALSE;
  return version < SCHEMA_VERSION || has_all_columns (self, ready, error);
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

  /* A file from elsewhere must not make SQLite run what is not its own; a log that has grown in a burst is
   * cut back to 16 MiB, four times its usual size. */
  return run (self, "PRAGMA trusted_schema = OFF", NULL, error) &&
         run (self, "PRAGMA cell_size_check = ON", NULL, error) &&
         run (self, "PRAGMA journal_size_limit = 16777216", NULL, error) && run (self, sync, NULL, error);
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
  if ((self == NULL || !look_at_schema (self, &is_empty, &ready, &local_error)) && !create &&
      is_frozen (settings->path))
    {
      g_clear_error (&local_error);
      g_clear_pointer (&self, sqlite_database_close);
      self = open_handle (settings, TRUE, &local_error);
      if (self != NULL)
        look_at_schema (self, &is_empty, &ready, &local_error);
    }
  if (local_error != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return NULL;
    }

  if (is_empty && !create)
    return NULL;
  if (!ready && !upgrade (self, error))
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

void
sqlite_database_close (SqliteDatabase *self)
{
  g_hash_table_unref (self->statements);
  sqlite3_close_v2 (self->handle);
  g_free (self->path);
  g_free (self);
}
