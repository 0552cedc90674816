/* sqlite-row.c — a record as a row: a column for each field, and the statements that write one.
 *
 * Columns have the types of their fields, so a value is of its field's shape or NULL. Whether a put found the
 * revision that it expected is whether a row changed.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "sqlite-row.h"

#include <string.h>

/* Parameter N + 1 is field N; those of conditions come after. */
#define PARAM_OF(field) ((int) (field) + 1)
#define PARAM_LATER (STRAND_N_FIELDS + 1)
#define PARAM_EXPECTED (STRAND_N_FIELDS + 2)
#define PARAM_ID (STRAND_N_FIELDS + 3)

static struct
{
  const char *get, *insert, *update, *update_there;
} texts; /* interned, written once */

void
sqlite_row_append_columns (GString *sql, const char *prefix)
{
  for (StrandField field = 0; field < STRAND_N_FIELDS; field++)
    g_string_append_printf (sql, "%s\"%s\", ", prefix, strand_field_get_name (field));
  g_string_append_printf (sql, "%s\"id\"", prefix);
}

const char *
sqlite_row_intern (GString *sql)
{
  const char *text = g_intern_string (sql->str);

  g_string_free (sql, TRUE);
  return text;
}

static void
write_texts (void)
{
  GString *get = g_string_new ("SELECT ");
  GString *insert = g_string_new ("INSERT INTO records (");
  GString *update = g_string_new ("UPDATE records SET ");

  sqlite_row_append_columns (get, "");
  g_string_append (get, " FROM records WHERE \"key\" = ?1");
  texts.get = sqlite_row_intern (get);

  for (StrandField field = 0; field < STRAND_N_FIELDS; field++)
    {
      g_string_append_printf (insert, "\"%s\", ", strand_field_get_name (field));
      if (field != STRAND_FIELD_KEY)
        g_string_append_printf (update, "\"%s\" = ?%d, ", strand_field_get_name (field), PARAM_OF (field));
    }
  g_string_append (insert, "\"later\") VALUES (");
  for (int param = 1; param <= PARAM_LATER; param++)
    g_string_append_printf (insert, "%s?%d", param > 1 ? ", " : "", param);
  g_string_append (insert, ") ON CONFLICT (\"key\") DO NOTHING");
  texts.insert = sqlite_row_intern (insert);

  g_string_append_printf (update, "\"later\" = ?%d WHERE \"key\" = ?%d AND \"revision\" = ?%d", PARAM_LATER,
                          PARAM_OF (STRAND_FIELD_KEY), PARAM_EXPECTED);
  texts.update = g_intern_string (update->str);
  g_string_append_printf (update, " AND \"id\" = ?%d", PARAM_ID);
  texts.update_there = sqlite_row_intern (update);
}

static void
need_texts (void)
{
  static gsize done;

  if (g_once_init_enter (&done))
    {
      write_texts ();
      g_once_init_leave (&done, 1);
    }
}

/* --- columns ------------------------------------------------------------------------------------------- */

static const GVariantType *
type_of (StrandField field)
{
  switch ((guint) field)
    {
    case STRAND_FIELD_HEADERS:
      return G_VARIANT_TYPE ("a{ss}");
    case STRAND_FIELD_METADATA:
      return G_VARIANT_TYPE_VARDICT;
    case STRAND_FIELD_WARNINGS:
      return G_VARIANT_TYPE_STRING_ARRAY;
    case STRAND_FIELD_CAUSES:
    default:
      return G_VARIANT_TYPE ("a(usxssis)");
    }
}

/* Parameters are NULL if nothing is bound. */
static void
bind_text (sqlite3_stmt *statement, int param, const char *text)
{
  if (text != NULL)
    sqlite3_bind_text (statement, param, text, -1, SQLITE_STATIC);
}

static void
bind_variant (sqlite3_stmt *statement, int param, GVariant *variant)
{
  g_autoptr(GString) json = NULL;
  gsize length;

  if (variant == NULL)
    return;
  json = g_string_new (NULL);
  strand_json_append_variant (json, variant);
  length = json->len;
  sqlite3_bind_text64 (statement, param, g_string_free (g_steal_pointer (&json), FALSE), length, g_free,
                       SQLITE_UTF8);
}

static void
bind_field (sqlite3_stmt *statement, StrandRecord *record, StrandField field)
{
  int param = PARAM_OF (field);
  const char *text;
  GBytes *bytes;

  switch (strand_field_get_shape (field))
    {
    case STRAND_SHAPE_INT:
      sqlite3_bind_int64 (statement, param, strand_record_get_int (record, field));
      break;
    case STRAND_SHAPE_DOUBLE:
      sqlite3_bind_double (statement, param, strand_record_get_double (record, field));
      break;
    case STRAND_SHAPE_STRING:
      text = strand_record_get_string (record, field);
      /* A record without a kind is a call. */
      bind_text (statement, param, text == NULL && field == STRAND_FIELD_KIND ? "call" : text);
      break;
    case STRAND_SHAPE_VARIANT:
      bind_variant (statement, param, strand_record_get_variant (record, field));
      break;
    case STRAND_SHAPE_BYTES:
    default:
      bytes = strand_record_get_bytes (record, field);
      if (bytes != NULL && g_bytes_get_size (bytes) > 0)
        sqlite3_bind_blob64 (statement, param, g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes),
                             SQLITE_STATIC);
      else if (bytes != NULL)
        sqlite3_bind_zeroblob (statement, param, 0);
      break;
    }
}

static gboolean
read_variant (sqlite3_stmt *row, int column, StrandRecord *record, StrandField field, GError **error)
{
  const char *json = (const char *) sqlite3_column_text (row, column);
  g_autoptr(GVariant) value =
      strand_json_to_variant (json, sqlite3_column_bytes (row, column), type_of (field), error);

  if (value == NULL)
    {
      g_prefix_error (error, "field '%s': ", strand_field_get_name (field));
      return FALSE;
    }
  strand_record_set_variant (record, field, value);
  return TRUE;
}

/* SQLite does not look into text. */
static gboolean
read_field (sqlite3_stmt *row, StrandRecord *record, StrandField field, GError **error)
{
  const StrandShape shape = strand_field_get_shape (field);
  int column = field;
  const char *text;

  switch (shape)
    {
    case STRAND_SHAPE_INT:
      strand_record_set_int (record, field, sqlite3_column_int64 (row, column));
      return TRUE;
    case STRAND_SHAPE_DOUBLE:
      strand_record_set_double (record, field, sqlite3_column_double (row, column));
      return TRUE;
    default:
      break;
    }

  if (sqlite3_column_type (row, column) == SQLITE_NULL)
    return TRUE;
  if (shape == STRAND_SHAPE_VARIANT)
    return read_variant (row, column, record, field, error);
  if (shape == STRAND_SHAPE_BYTES)
    {
      g_autoptr(GBytes) bytes =
          g_bytes_new (sqlite3_column_blob (row, column), sqlite3_column_bytes (row, column));

      strand_record_set_bytes (record, field, bytes);
      return TRUE;
    }

  text = (const char *) sqlite3_column_text (row, column);
  if (!g_utf8_validate (text, sqlite3_column_bytes (row, column), NULL))
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT, "field '%s' is not UTF-8 text",
                   strand_field_get_name (field));
      return FALSE;
    }
  strand_record_set_string (record, field, text);
  return TRUE;
}

char *
sqlite_row_name (SqliteDatabase *database, sqlite3_stmt *row)
{
  g_autofree char *shown = g_filename_display_name (sqlite_database_get_path (database));
  g_autofree char *key = g_strescape ((const char *) sqlite3_column_text (row, STRAND_FIELD_KEY), NULL);

  return g_strdup_printf ("%s, row of key '%s'", shown, key);
}

StrandRecord *
sqlite_row_read (SqliteDatabase *database, sqlite3_stmt *row, GError **error)
{
  g_autoptr(StrandRecord) record = strand_record_new ("");
  g_autoptr(GError) cause = NULL;
  g_autofree char *name = NULL;

  for (StrandField field = 0; field < STRAND_N_FIELDS && cause == NULL; field++)
    read_field (row, record, field, &cause);
  if (cause == NULL && strand_record_check (record, &cause))
    return g_steal_pointer (&record);

  name = sqlite_row_name (database, row);
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT, "%s: %s", name, cause->message);
  return NULL;
}

/* --- errors -------------------------------------------------------------------------------------------- */

void
sqlite_row_set_not_found (GError **error)
{
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND, "no record has this key");
}

void
sqlite_row_set_gone (GError **error)
{
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_STALE, "the record has been removed since it was read");
}

/* Why no row had the revision that was expected. */
static void
explain_revision (SqliteDatabase *database, const char *key, guint64 expected,
                  void (*set_missing) (GError **error), GError **error)
{
  g_autoptr(SqliteUse) statement =
      sqlite_database_prepare (database, "SELECT \"revision\" FROM records WHERE \"key\" = ?1", error);
  int code;

  if (statement == NULL)
    return;
  bind_text (statement, 1, key);
  code = sqlite_database_step (database, statement, error);
  if (code == SQLITE_ROW)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_STALE,
                 "it has revision %" G_GINT64_FORMAT " and %" G_GUINT64_FORMAT " was expected",
                 (gint64) sqlite3_column_int64 (statement, 0), expected);
  else if (code == SQLITE_DONE)
    set_missing (error);
}

/* --- rows ---------------------------------------------------------------------------------------------- */

StrandRecord *
sqlite_row_get (SqliteDatabase *database, const char *key, GError **error)
{
  g_autoptr(SqliteUse) statement = NULL;
  int code;

  need_texts ();
  statement = sqlite_database_prepare (database, texts.get, error);
  if (statement == NULL)
    return NULL;
  bind_text (statement, 1, key);
  code = sqlite_database_step (database, statement, error);
  if (code == SQLITE_ROW)
    return sqlite_row_read (database, statement, error);
  if (code == SQLITE_DONE)
    sqlite_row_set_not_found (error);
  return NULL;
}

/* Runs a statement that changes one row or none. The number of rows, or -1. */
static int
change_row (SqliteDatabase *database, sqlite3_stmt *statement, GError **error)
{
  if (sqlite_database_step (database, statement, error) != SQLITE_DONE)
    return -1;
  return sqlite_database_count_changes (database);
}

/* A call that has a time before which it may not start waits where claims do not look; a claim moves it when
 * that time is over. */
static gboolean
is_for_later (StrandRecord *record)
{
  return strand_record_get_status (record) == STRAND_STATUS_PENDING &&
         strand_record_get_int (record, STRAND_FIELD_NOT_BEFORE) > 0;
}

/* The number of rows that a statement of ours has written, or -1. @id: 0 where the statement does not ask. */
static int
write_row (SqliteDatabase *database, const char *sql, StrandRecord *record, guint64 expected, gint64 id,
           GError **error)
{
  g_autoptr(SqliteUse) statement = sqlite_database_prepare (database, sql, error);

  if (statement == NULL)
    return -1;
  for (StrandField field = 0; field < STRAND_N_FIELDS; field++)
    bind_field (statement, record, field);
  sqlite3_bind_int64 (statement, PARAM_LATER, is_for_later (record));
  if (expected > 0)
    sqlite3_bind_int64 (statement, PARAM_EXPECTED, expected);
  if (id != 0)
    sqlite3_bind_int64 (statement, PARAM_ID, id);
  return change_row (database, statement, error);
}

/* Where the row is known it need not be looked for. */
static int
update_row (SqliteDatabase *database, StrandRecord *record, guint64 expected, GError **error)
{
  gint64 id = sqlite_database_recall_id (database, strand_record_get_key (record));
  int n_changed = 0;

  if (id != 0)
    n_changed = write_row (database, texts.update_there, record, expected, id, error);
  if (n_changed == 0)
    n_changed = write_row (database, texts.update, record, expected, 0, error);
  return n_changed;
}

static int
insert_row (SqliteDatabase *database, StrandRecord *record, GError **error)
{
  int n_changed = write_row (database, texts.insert, record, 0, 0, error);

  if (n_changed > 0)
    sqlite_database_remember_id (database, strand_record_get_key (record),
                                 sqlite_database_get_last_id (database));
  return n_changed;
}

gboolean
sqlite_row_put (SqliteDatabase *database, StrandRecord *record, guint64 expected, GError **error)
{
  int n_changed;

  need_texts ();
  n_changed =
      expected == 0 ? insert_row (database, record, error) : update_row (database, record, expected, error);
  CRASH_POINT ("put row");
  if (n_changed == 0 && expected > 0)
    explain_revision (database, strand_record_get_key (record), expected, sqlite_row_set_gone, error);
  else if (n_changed == 0)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_EXISTS, "a record has this key already");
  return n_changed > 0 && sqlite_database_note (database, strand_record_get_key (record), error);
}

gboolean
sqlite_row_forget (SqliteDatabase *database, const char *key, GError **error)
{
  g_autoptr(SqliteUse) statement =
      sqlite_database_prepare (database, "DELETE FROM items WHERE \"key\" = ?1", error);

  if (statement != NULL)
    bind_text (statement, 1, key);
  if (statement != NULL && sqlite_database_step (database, statement, error) == SQLITE_DONE)
    return sqlite_database_note (database, key, error);

  sqlite_database_lose_transaction (database);
  return FALSE;
}

gboolean
sqlite_row_remove (SqliteDatabase *database, const char *key, guint64 expected, GError **error)
{
  const char *any = "DELETE FROM records WHERE \"key\" = ?1";
  const char *one = "DELETE FROM records WHERE \"key\" = ?1 AND \"revision\" = ?2";
  g_autoptr(SqliteUse) statement = sqlite_database_prepare (database, expected == 0 ? any : one, error);
  int n_changed;

  if (statement == NULL)
    return FALSE;
  bind_text (statement, 1, key);
  if (expected > 0)
    sqlite3_bind_int64 (statement, 2, expected);

  n_changed = change_row (database, statement, error);
  if (n_changed == 0 && expected > 0)
    explain_revision (database, key, expected, sqlite_row_set_not_found, error);
  else if (n_changed == 0)
    sqlite_row_set_not_found (error);
  return n_changed > 0 && sqlite_row_forget (database, key, error);
}
