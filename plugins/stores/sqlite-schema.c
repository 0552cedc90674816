/* sqlite-schema.c — what is in a database of records, and how an older one is brought up.
 *
 * The table `records` has a column for each field of a record, named as the field is, so that the sqlite3
 * program and any language's binding can read it and ask it things. Beside them stand a row's `id`, which
 * never changes, and `later`, which says that a pending call has its time still to come: so a claim looks at
 * nothing else than what is due. Rows of other programs may leave both out.
 *
 * The table `changes` has the keys of the latest writes and removals, numbered without gaps: watchers in
 * other processes read on from the number that they know. The table `items` has what calls have emitted, and
 * loses it with the call. Triggers see to both for what other programs write. Our own connections run no
 * triggers: they know when nobody watches (sqlite-bell.c), and then note nothing.
 *
 * `user_version` is the schema's number. A larger one than ours is refused, a smaller one is brought up.
 * In schema 2 whoever watched relied on notes without saying that it was there.
 * Columns are no matter of the number: those that a newer record has and the table has not are added with
 * their defaults, and what a newer program added is left alone.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "sqlite-schema.h"

#define SCHEMA_VERSION 3

/* "Strd": tells our databases from other programs'. */
#define APPLICATION_ID 0x53747264

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
        g_string_append (sql, " NOT NULL UNIQUE");
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

static gboolean
make_records (SqliteDatabase *database, GError **error)
{
  g_autoptr(StrandRecord) fresh = strand_record_new ("fresh");
  g_autoptr(GString) table = g_string_new ("CREATE TABLE records (\"id\" INTEGER PRIMARY KEY, ");

  for (StrandField field = 0; field < STRAND_N_FIELDS; field++)
    {
      append_column (table, fresh, field);
      g_string_append (table, ", ");
    }
  g_string_append (table, "\"later\" INTEGER NOT NULL DEFAULT 0) STRICT");
  return sqlite_database_execute (database, table->str, NULL, error);
}

static gboolean
execute_all (SqliteDatabase *database, const char *const *statements, GError **error)
{
  for (guint i = 0; statements[i] != NULL; i++)
    {
      if (!sqlite_database_execute (database, statements[i], NULL, error))
        return FALSE;
      CRASH_POINT ("schema");
    }
  return TRUE;
}

/* What finds records without reading them all: by kind and status, but for completed calls and those that
 * wait in a queue; these, in the order in which claims take them; those that will; and what expires next. */
static const char *const indexes[] = {
  "CREATE INDEX records_by_kind ON records (\"kind\", \"status\") WHERE " SQLITE_IS_NOTED,
  "CREATE INDEX records_due ON records (\"queue\", " SQLITE_TURN ", \"key\") WHERE " SQLITE_IS_DUE,
  "CREATE INDEX records_later ON records (\"queue\", \"not-before\") WHERE " SQLITE_IS_LATER,
  "CREATE INDEX records_by_expiry ON records (" SQLITE_EXPIRY ") WHERE " SQLITE_CAN_EXPIRE,
  NULL,
};

/* Writers of ours forget old changes now and then. */
static const char *const tables[] = {
  "CREATE TABLE IF NOT EXISTS changes (number INTEGER PRIMARY KEY, \"key\" TEXT NOT NULL) STRICT",
  "CREATE TABLE items (\"key\" TEXT NOT NULL, fence INTEGER NOT NULL, number INTEGER NOT NULL, "
  "item BLOB NOT NULL, PRIMARY KEY (\"key\", fence, number)) STRICT, WITHOUT ROWID",
  NULL,
};

/* A call whose time has come is moved without having changed. */
static const char *const triggers[] = {
  "CREATE TRIGGER records_added AFTER INSERT ON records BEGIN"
  " INSERT INTO changes (\"key\") VALUES (new.\"key\"); END",
  "CREATE TRIGGER records_changed AFTER UPDATE ON records"
  " WHEN new.\"later\" = old.\"later\" OR new.\"revision\" <> old.\"revision\" BEGIN"
  " INSERT INTO changes (\"key\") VALUES (new.\"key\"); END",
  "CREATE TRIGGER records_renamed AFTER UPDATE OF \"key\" ON records BEGIN"
  " INSERT INTO changes (\"key\") VALUES (old.\"key\"); END",
  "CREATE TRIGGER records_removed AFTER DELETE ON records BEGIN"
  " INSERT INTO changes (\"key\") VALUES (old.\"key\");"
  " DELETE FROM items WHERE \"key\" = old.\"key\"; END",
  "PRAGMA application_id = 0x53747264",
  NULL,
};

static gboolean
make_schema (SqliteDatabase *database, GError **error)
{
  return make_records (database, error) && execute_all (database, indexes, error) &&
         execute_all (database, tables, error) && execute_all (database, triggers, error);
}

/* --- from schema 1 ------------------------------------------------------------------------------------- */

/* Its rows lay in the order of their keys, and it had no place for items: they were records of their own. */
static const char *const leave_schema_1[] = {
  "DROP INDEX records_by_kind",
  "DROP INDEX records_by_queue",
  "DROP INDEX records_by_turn",
  "DROP INDEX records_by_expiry",
  "DROP TRIGGER records_added",
  "DROP TRIGGER records_changed",
  "DROP TRIGGER records_renamed",
  "DROP TRIGGER records_removed",
  "DROP TRIGGER changes_forgotten",
  "ALTER TABLE records RENAME TO records_1",
  NULL,
};

/* Calls `func` for each column of a table. FALSE with the error of the first that failed. */
typedef gboolean (*ColumnFunc) (SqliteDatabase *database, const char *name, const char *type, gpointer data,
                                GError **error);

static gboolean
for_each_column (SqliteDatabase *database, const char *table, ColumnFunc func, gpointer data, GError **error)
{
  const char *sql = "SELECT name, type FROM pragma_table_info(?1)";
  g_autoptr(SqliteUse) statement = sqlite_database_prepare (database, sql, error);
  int code = SQLITE_ERROR;

  if (statement == NULL)
    return FALSE;
  sqlite3_bind_text (statement, 1, table, -1, SQLITE_STATIC);
  while ((code = sqlite_database_step (database, statement, error)) == SQLITE_ROW)
    if (!func (database, (const char *) sqlite3_column_text (statement, 0),
               (const char *) sqlite3_column_text (statement, 1), data, error))
      return FALSE;
  return code == SQLITE_DONE;
}

static gboolean
note_column (SqliteDatabase *database, const char *name, const char *type, gpointer columns, GError **error)
{
  g_hash_table_insert (columns, g_strdup (name), g_strdup (type));
  return TRUE;
}

/* Names and types. */
static GHashTable *
read_columns (SqliteDatabase *database, const char *table, GError **error)
{
  g_autoptr(GHashTable) columns = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);

  return for_each_column (database, table, note_column, columns, error) ? g_steal_pointer (&columns) : NULL;
}

static char *
quote (const char *name)
{
  g_auto(GStrv) parts = g_strsplit (name, "\"", -1);
  g_autofree char *inner = g_strjoinv ("\"\"", parts);

  return g_strdup_printf ("\"%s\"", inner);
}

/* Copies all there is, also what a newer program had added. */
static gboolean
copy_records (SqliteDatabase *database, GError **error)
{
  g_autoptr(GHashTable) old = read_columns (database, "records_1", error);
  g_autoptr(GHashTable) new = old != NULL ? read_columns (database, "records", error) : NULL;
  g_autoptr(GString) names = g_string_new (NULL);
  g_autofree char *sql = NULL;
  GHashTableIter iter;
  gpointer name, type;

  if (new == NULL)
    return FALSE;
  g_hash_table_iter_init (&iter, old);
  while (g_hash_table_iter_next (&iter, &name, &type))
    {
      g_autofree char *quoted = quote (name);
      g_autofree char *add = g_strdup_printf ("ALTER TABLE records ADD COLUMN %s %s", quoted, (char *) type);

      if (!g_hash_table_contains (new, name) && !sqlite_database_execute (database, add, NULL, error))
        return FALSE;
      g_string_append_printf (names, "%s, ", quoted);
    }
  sql = g_strdup_printf ("INSERT INTO records (%s\"later\") SELECT %s\"status\" = 0 AND \"not-before\" > 0"
                         " FROM records_1 WHERE \"kind\" <> 'items' ORDER BY \"created\", \"key\"",
                         names->str, names->str);
  return sqlite_database_execute (database, sql, NULL, error);
}

static gboolean
bring_up_schema_1 (SqliteDatabase *database, GError **error)
{
  return execute_all (database, leave_schema_1, error) && make_records (database, error) &&
         copy_records (database, error) &&
         sqlite_database_execute (database, "DROP TABLE records_1", NULL, error) &&
         execute_all (database, indexes, error) && execute_all (database, tables, error) &&
         execute_all (database, triggers, error);
}

/* --- from schema 2 ------------------------------------------------------------------------------------- */

/* Its index by kind named calls that wait, too. */
static gboolean
bring_up_schema_2 (SqliteDatabase *database, GError **error)
{
  return sqlite_database_execute (database, "DROP INDEX records_by_kind", NULL, error) &&
         sqlite_database_execute (database, indexes[0], NULL, error);
}

/* --- columns ------------------------------------------------------------------------------------------- */

static gboolean
has_all_columns (SqliteDatabase *database, gboolean *all, GError **error)
{
  g_autoptr(GHashTable) columns = read_columns (database, "records", error);

  if (columns == NULL)
    return FALSE;
  *all = TRUE;
  for (StrandField field = 0; field < STRAND_N_FIELDS; field++)
    *all = *all && g_hash_table_contains (columns, strand_field_get_name (field));
  return TRUE;
}

static gboolean
add_columns (SqliteDatabase *database, GError **error)
{
  g_autoptr(StrandRecord) fresh = strand_record_new ("fresh");
  g_autoptr(GHashTable) columns = read_columns (database, "records", error);

  if (columns == NULL)
    return FALSE;
  for (StrandField field = 0; field < STRAND_N_FIELDS; field++)
    if (!g_hash_table_contains (columns, strand_field_get_name (field)))
      {
        g_autoptr(GString) sql = g_string_new ("ALTER TABLE records ADD COLUMN ");

        append_column (sql, fresh, field);
        if (!sqlite_database_execute (database, sql->str, NULL, error))
          return FALSE;
      }
  return TRUE;
}

/* --- whose it is, and which ---------------------------------------------------------------------------- */

/* Reads whose database this is, and of which schema: 0 for one with nothing in it. */
static gboolean
read_version (SqliteDatabase *database, gint64 *version, GError **error)
{
  g_autofree char *shown = g_filename_display_name (sqlite_database_get_path (database));
  gint64 application_id, n_tables;

  if (!sqlite_database_execute (database, "PRAGMA user_version", version, error) ||
      !sqlite_database_execute (database, "PRAGMA application_id", &application_id, error) ||
      !sqlite_database_execute (database, "SELECT count(*) FROM sqlite_schema", &n_tables, error))
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
bring_up (SqliteDatabase *database, GError **error)
{
  g_autofree char *pragma = g_strdup_printf ("PRAGMA user_version = %d", SCHEMA_VERSION);
  gint64 version;

  if (!read_version (database, &version, error))
    return FALSE;
  if (version == 0 && !make_schema (database, error))
    return FALSE;
  if (version == 1 && !bring_up_schema_1 (database, error))
    return FALSE;
  if (version == 2 && !bring_up_schema_2 (database, error))
    return FALSE;
  return add_columns (database, error) && sqlite_database_execute (database, pragma, NULL, error);
}

static gboolean
set_journal (SqliteDatabase *database, GError **error)
{
  g_autofree char *shown = g_filename_display_name (sqlite_database_get_path (database));
  g_autoptr(SqliteUse) statement = sqlite_database_prepare (database, "PRAGMA journal_mode = WAL", error);

  if (statement == NULL || sqlite_database_step (database, statement, error) != SQLITE_ROW)
    return FALSE;
  if (g_ascii_strcasecmp ((const char *) sqlite3_column_text (statement, 0), "wal") == 0)
    return TRUE;

  g_set_error (error, STRAND_ERROR, STRAND_ERROR_NOT_SUPPORTED,
               "'%s': its file system cannot keep a write-ahead log; set 'path' to a local disk", shown);
  return FALSE;
}

gboolean
sqlite_schema_upgrade (SqliteDatabase *database, GError **error)
{
  if (!set_journal (database, error) || !sqlite_database_execute (database, "BEGIN IMMEDIATE", NULL, error))
    return FALSE;
  if (bring_up (database, error) && sqlite_database_execute (database, "COMMIT", NULL, error))
    return TRUE;

  sqlite_database_execute (database, "ROLLBACK", NULL, NULL);
  return FALSE;
}

static gboolean
look (SqliteDatabase *database, gboolean *is_empty, gboolean *ready, GError **error)
{
  gint64 version;

  if (!read_version (database, &version, error))
    return FALSE;
  *is_empty = version == 0;
  *ready = FALSE;
  return version < SCHEMA_VERSION || has_all_columns (database, ready, error);
}

/* One transaction, or somebody who makes the schema meanwhile shows half of it. */
gboolean
sqlite_schema_look (SqliteDatabase *database, gboolean *is_empty, gboolean *ready, GError **error)
{
  gboolean seen;

  if (!sqlite_database_execute (database, "BEGIN", NULL, error))
    return FALSE;
  seen = look (database, is_empty, ready, error);
  sqlite_database_execute (database, "ROLLBACK", NULL, NULL);
  return seen;
}
