/* sqlite-store.c — keeps records in one SQLite database, which any program can query.
 *
 * A put is one statement and so one transaction: it names the revision that must be there, and whether a row
 * changed is the answer. Any number of threads and processes read while one writes. Each method takes a
 * connection from a few that are kept open, uses it alone and gives it back; in this process writers queue
 * for their turn, between processes they try again until `busy-timeout` has passed.
 *
 * What is kept: with `sync=off` an accepted record survives the death of every process, but a power cut may
 * damage the database; with `normal` a power cut costs the latest records at most, never the database; with
 * `full` it costs nothing that was accepted. The log must lie on a local disk: processes share its index
 * through memory.
 *
 * The database does not shrink when records are removed; their space is used again.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <strand-plugin.h>

#include "sqlite-database.h"
#include "sqlite-watch.h"

#include <string.h>

#define STRAND_TYPE_SQLITE_STORE (strand_sqlite_store_get_type ())
G_DECLARE_FINAL_TYPE (StrandSqliteStore, strand_sqlite_store, STRAND, SQLITE_STORE, GObject)

/* Some hundred thousand writes of another process: who has not had a turn by then never will. */
#define DEFAULT_BUSY_TIMEOUT_US (10 * G_USEC_PER_SEC)

/* Connections kept for the next use; each may hold 2 MiB of the database. As many as threads use a store at
 * once, and a few more. */
#define MAX_IDLE 16

/* How many records a cleanup removes at once: few enough that other writers wait some milliseconds. */
#define CLEANUP_STEP 200

typedef enum
{
  SYNC_OFF,
  SYNC_NORMAL,
  SYNC_FULL,
} StrandSqliteSync;

#define STRAND_TYPE_SQLITE_SYNC (strand_sqlite_sync_get_type ())
GType strand_sqlite_sync_get_type (void);

struct _StrandSqliteStore
{
  GObject parent_instance;
  char *path; /* absolute, or NULL; all three set at construction, then read by any thread */
  StrandSqliteSync sync;
  gint64 busy_timeout_us;

  GMutex lock; /* guards everything below */
  GCond written;
  gboolean writing; /* a thread has its turn */
  guint n_waiting;  /* for theirs */
  GPtrArray *idle;  /* of SqliteDatabase */
  SqliteWatch *watch;
};

typedef enum
{
  PROP_PATH = 1,
  PROP_SYNC,
  PROP_BUSY_TIMEOUT,
  N_PROPS,
  FIRST_COMMON_PROP = N_PROPS,
} StrandSqliteStoreProperty;

static GParamSpec *props[N_PROPS];

static void store_init (StrandStoreInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (StrandSqliteStore, strand_sqlite_store, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_STORE, store_init))

G_DEFINE_ENUM_TYPE (StrandSqliteSync, strand_sqlite_sync, G_DEFINE_ENUM_VALUE (SYNC_OFF, "off"),
                    G_DEFINE_ENUM_VALUE (SYNC_NORMAL, "normal"), G_DEFINE_ENUM_VALUE (SYNC_FULL, "full"))

/* --- statements ---------------------------------------------------------------------------------------- */

/* Parameter N + 1 is field N; those of conditions come after. */
#define PARAM_OF(field) ((int) (field) + 1)
#define PARAM_EXPECTED (STRAND_N_FIELDS + 1)
#define PARAM_AFTER (STRAND_N_FIELDS + 2)
#define PARAM_LIMIT (STRAND_N_FIELDS + 3)
#define PARAM_NOW (STRAND_N_FIELDS + 4)

static struct
{
  const char *get, *insert, *update, *revision, *remove, *remove_revision, *cleanup;
} texts; /* interned, set with the class */

static void
append_columns (GString *sql, const char *prefix)
{
  for (StrandField field = 0; field < STRAND_N_FIELDS; field++)
    g_string_append_printf (sql, "%s%s\"%s\"", field > 0 ? ", " : "", prefix, strand_field_get_name (field));
}

static const char *
intern (GString *sql)
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
  GString *cleanup = g_string_new ("DELETE FROM records WHERE \"key\" IN (SELECT \"key\" FROM records"
                                   " INDEXED BY records_by_expiry WHERE " SQLITE_CAN_EXPIRE);

  append_columns (get, "");
  g_string_append (get, " FROM records WHERE \"key\" = ?1");
  texts.get = intern (get);

  append_columns (insert, "");
  g_string_append (insert, ") VALUES (");
  for (StrandField field = 0; field < STRAND_N_FIELDS; field++)
    {
      g_string_append_printf (insert, "%s?%d", field > 0 ? ", " : "", PARAM_OF (field));
      if (field != STRAND_FIELD_KEY)
        g_string_append_printf (update, "%s\"%s\" = ?%d", field > 0 ? ", " : "",
                                strand_field_get_name (field), PARAM_OF (field));
    }
  g_string_append (insert, ") ON CONFLICT (\"key\") DO NOTHING");
  texts.insert = intern (insert);

  g_string_append_printf (update, " WHERE \"key\" = ?%d AND \"revision\" = ?%d", PARAM_OF (STRAND_FIELD_KEY),
                          PARAM_EXPECTED);
  texts.update = intern (update);

  g_string_append_printf (
      cleanup, " AND " SQLITE_EXPIRY " <= ?%d AND \"completed\" <= ?%d LIMIT %d) RETURNING \"key\"",
      PARAM_NOW, PARAM_NOW, CLEANUP_STEP);
  texts.cleanup = intern (cleanup);

  texts.revision = g_intern_static_string ("SELECT \"revision\" FROM records WHERE \"key\" = ?1");
  texts.remove = g_intern_static_string ("DELETE FROM records WHERE \"key\" = ?1");
  texts.remove_revision =
      g_intern_static_string ("DELETE FROM records WHERE \"key\" = ?1 AND \"revision\" = ?2");
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

static void
bind_text (sqlite3_stmt *statement, int param, const char *text)
{
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

/* The table's columns have types, so a value is of its field's shape or NULL; but SQLite does not look into
 * text. */
static gboolean
read_field (sqlite3_stmt *row, StrandRecord *record, StrandField field, GError **error)
{
  int column = field;
  const char *text;

  switch (strand_field_get_shape (field))
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
  if (strand_field_get_shape (field) == STRAND_SHAPE_VARIANT)
    return read_variant (row, column, record, field, error);
  if (strand_field_get_shape (field) == STRAND_SHAPE_BYTES)
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

/* What a person looks for when a row is no record. */
static char *
name_row (StrandSqliteStore *self, sqlite3_stmt *row)
{
  g_autofree char *shown = g_filename_display_name (self->path);
  g_autofree char *key = g_strescape ((const char *) sqlite3_column_text (row, STRAND_FIELD_KEY), NULL);

  return g_strdup_printf ("%s, row of key '%s'", shown, key);
}

static StrandRecord *
read_record (StrandSqliteStore *self, sqlite3_stmt *row, GError **error)
{
  g_autoptr(StrandRecord) record = strand_record_new ("");
  g_autoptr(GError) cause = NULL;
  g_autofree char *name = NULL;

  for (StrandField field = 0; field < STRAND_N_FIELDS && cause == NULL; field++)
    read_field (row, record, field, &cause);
  if (cause == NULL && strand_record_check (record, &cause))
    return g_steal_pointer (&record);

  name = name_row (self, row);
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT, "%s: %s", name, cause->message);
  return NULL;
}

/* --- connections --------------------------------------------------------------------------------------- */

static gint64
get_deadline (StrandSqliteStore *self)
{
  return self->busy_timeout_us >= 0 ? g_get_monotonic_time () + self->busy_timeout_us : G_MAXINT64;
}

static SqliteSettings
get_settings (StrandSqliteStore *self)
{
  static const char *const syncs[] = { "OFF", "NORMAL", "FULL" };

  return (SqliteSettings){ self->path, syncs[self->sync], self->busy_timeout_us };
}

static gboolean
check_path (StrandSqliteStore *self, GError **error)
{
  if (self->path != NULL)
    return TRUE;

  g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT, "the sqlite store has no 'path'");
  return FALSE;
}

/* A connection to the file that lies at the path now. NULL and no error where there is none and none is to be
 * made. */
static SqliteDatabase *
take (StrandSqliteStore *self, gboolean create, GError **error)
{
  SqliteSettings settings = get_settings (self);
  SqliteDatabase *database;

  if (!check_path (self, error))
    return NULL;

  for (;;)
    {
      g_mutex_lock (&self->lock);
      database = self->idle->len > 0 ? g_ptr_array_steal_index (self->idle, self->idle->len - 1) : NULL;
      g_mutex_unlock (&self->lock);

      if (database == NULL)
        return sqlite_database_open (&settings, create, error);
      if (sqlite_database_is_usable (database))
        {
          sqlite_database_set_deadline (database, get_deadline (self));
          return database;
        }
      sqlite_database_close (database);
    }
}

static void
give_back (StrandSqliteStore *self, SqliteDatabase *database)
{
  gboolean keep;

  g_mutex_lock (&self->lock);
  keep = self->idle->len < MAX_IDLE;
  if (keep)
    g_ptr_array_add (self->idle, database);
  g_mutex_unlock (&self->lock);

  if (!keep)
    sqlite_database_close (database);
}

/* Waits for this thread's turn to write: SQLite would have it look for one again and again. */
static gboolean
begin_writing (StrandSqliteStore *self, GError **error)
{
  gint64 deadline_us = get_deadline (self);
  gboolean mine;

  g_mutex_lock (&self->lock);
  self->n_waiting++;
  while (self->writing)
    if (deadline_us == G_MAXINT64)
      g_cond_wait (&self->written, &self->lock);
    else if (!g_cond_wait_until (&self->written, &self->lock, deadline_us))
      break;
  self->n_waiting--;
  mine = !self->writing;
  self->writing = TRUE;
  g_mutex_unlock (&self->lock);

  if (!mine)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_BUSY,
                 "'%s' was being written by other threads all the time; raise 'busy-timeout'", self->path);
  return mine;
}

static void
end_writing (StrandSqliteStore *self, gboolean changed)
{
  g_mutex_lock (&self->lock);
  self->writing = FALSE;
  if (self->n_waiting > 0)
    g_cond_signal (&self->written);
  g_mutex_unlock (&self->lock);

  /* Otherwise the transaction can be seen some microseconds after the log has been written, and the bell
   * would cost a tenth of the write. */
  if (changed && self->sync == SYNC_FULL)
    sqlite_watch_ring (self->path);
}

/* Runs a statement that changes one row or none. The number of rows, or -1. */
static int
write_row (StrandSqliteStore *self, SqliteDatabase *database, sqlite3_stmt *statement, GError **error)
{
  int n_changed = -1;

  if (!begin_writing (self, error))
    return -1;
  if (sqlite_database_step (database, statement, error) == SQLITE_DONE)
    n_changed = sqlite_database_count_changes (database);
  end_writing (self, n_changed > 0);
  return n_changed;
}

/* --- records ------------------------------------------------------------------------------------------- */

static void
set_not_found (GError **error)
{
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND, "no record has this key");
}

static StrandRecord *
get_row (StrandSqliteStore *self, SqliteDatabase *database, const char *key, GError **error)
{
  g_autoptr(SqliteUse) statement = sqlite_database_prepare (database, texts.get, error);
  StrandRecord *record = NULL;
  int code;

  if (statement == NULL)
    return NULL;
  bind_text (statement, 1, key);
  code = sqlite_database_step (database, statement, error);
  if (code == SQLITE_ROW)
    record = read_record (self, statement, error);
  else if (code == SQLITE_DONE)
    set_not_found (error);
  return record;
}

static StrandRecord *
strand_sqlite_store_get (StrandStore *store, const char *key, GError **error)
{
  StrandSqliteStore *self = STRAND_SQLITE_STORE (store);
  g_autoptr(GError) local_error = NULL;
  SqliteDatabase *database = take (self, FALSE, &local_error);
  StrandRecord *record = NULL;

  if (database != NULL)
    {
      record = get_row (self, database, key, &local_error);
      give_back (self, database);
    }
  else if (local_error == NULL)
    set_not_found (&local_error);
  if (local_error != NULL)
    g_propagate_error (error, g_steal_pointer (&local_error));
  return record;
}

static int
put_row (StrandSqliteStore *self, SqliteDatabase *database, StrandRecord *record, guint64 expected,
         GError **error)
{
  g_autoptr(SqliteUse) statement =
      sqlite_database_prepare (database, expected == 0 ? texts.insert : texts.update, error);

  if (statement == NULL)
    return -1;
  for (StrandField field = 0; field < STRAND_N_FIELDS; field++)
    bind_field (statement, record, field);
  if (expected > 0)
    sqlite3_bind_int64 (statement, PARAM_EXPECTED, expected);
  return write_row (self, database, statement, error);
}

/* Why no row had the revision that was expected; @gone: what to call it if there is none at all. */
static void
explain_revision (SqliteDatabase *database, const char *key, guint64 expected, StrandError gone,
                  GError **error)
{
  g_autoptr(SqliteUse) statement = sqlite_database_prepare (database, texts.revision, error);
  int code;

  if (statement == NULL)
    return;
  bind_text (statement, 1, key);
  code = sqlite_database_step (database, statement, error);
  if (code == SQLITE_ROW)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_STALE,
                 "it has revision %" G_GINT64_FORMAT " and %" G_GUINT64_FORMAT " was expected",
                 (gint64) sqlite3_column_int64 (statement, 0), expected);
  else if (code == SQLITE_DONE && gone == STRAND_ERROR_NOT_FOUND)
    set_not_found (error);
  else if (code == SQLITE_DONE)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_STALE, "the record has been removed since it was read");
}

static gboolean
strand_sqlite_store_put (StrandStore *store, StrandRecord *record, guint64 expected, GError **error)
{
  StrandSqliteStore *self = STRAND_SQLITE_STORE (store);
  g_autoptr(GError) local_error = NULL;
  SqliteDatabase *database = take (self, expected == 0, &local_error);
  int n_changed = 0;

  if (database != NULL)
    {
      n_changed = put_row (self, database, record, expected, &local_error);
      if (n_changed == 0 && expected > 0)
        explain_revision (database, strand_record_get_key (record), expected, STRAND_ERROR_STALE,
                          &local_error);
      give_back (self, database);
    }
  else if (local_error == NULL)
    g_set_error (&local_error, STRAND_ERROR, STRAND_ERROR_STALE,
                 "the record has been removed since it was read");
  if (n_changed > 0)
    return TRUE;

  if (local_error == NULL)
    g_set_error (&local_error, STRAND_ERROR, STRAND_ERROR_EXISTS, "a record has this key already");
  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

static int
remove_row (StrandSqliteStore *self, SqliteDatabase *database, const char *key, guint64 expected,
            GError **error)
{
  g_autoptr(SqliteUse) statement =
      sqlite_database_prepare (database, expected == 0 ? texts.remove : texts.remove_revision, error);

  if (statement == NULL)
    return -1;
  bind_text (statement, 1, key);
  if (expected > 0)
    sqlite3_bind_int64 (statement, 2, expected);
  return write_row (self, database, statement, error);
}

static gboolean
strand_sqlite_store_remove (StrandStore *store, const char *key, guint64 expected, GError **error)
{
  StrandSqliteStore *self = STRAND_SQLITE_STORE (store);
  g_autoptr(GError) local_error = NULL;
  SqliteDatabase *database = take (self, FALSE, &local_error);
  int n_changed = 0;

  if (database != NULL)
    {
      n_changed = remove_row (self, database, key, expected, &local_error);
      if (n_changed == 0 && expected > 0)
        explain_revision (database, key, expected, STRAND_ERROR_NOT_FOUND, &local_error);
      give_back (self, database);
    }
  if (n_changed > 0)
    return TRUE;

  if (local_error == NULL)
    set_not_found (&local_error);
  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

/* --- listing and counting ------------------------------------------------------------------------------ */

static const StrandFilter all_calls = { .kind = "call" };

/* A filter as it is asked for in SQL: which index to walk, and what else must hold. */
typedef struct
{
  const char *kind; /* NULL: every kind */
  guint statuses;   /* never 0 */
  const char *queue, *function, *lease_owner;
} Query;

#define ALL_STATUSES ((1u << (STRAND_STATUS_CANCELLED + 1)) - 1)

static Query
query_for (const StrandFilter *filter)
{
  Query query;

  if (filter == NULL)
    filter = &all_calls;
  query.kind = filter->kind == NULL ? "call" : filter->kind;
  if (strcmp (query.kind, "*") == 0)
    query.kind = NULL;
  query.statuses = filter->statuses != 0 ? filter->statuses & ALL_STATUSES : ALL_STATUSES;
  query.queue = filter->queue;
  query.function = filter->function;
  query.lease_owner = filter->lease_owner;
  return query;
}

static void
append_statuses (GString *sql, guint statuses)
{
  const char *separator = " AND +\"status\" IN (";

  if (statuses == ALL_STATUSES)
    return;
  for (guint status = 0; status <= STRAND_STATUS_CANCELLED; status++)
    if (statuses & 1u << status)
      {
        g_string_append_printf (sql, "%s%u", separator, status);
        separator = ", ";
      }
  g_string_append (sql, ")");
}

/* Every condition of a query; a plus keeps SQLite from choosing an index for it. */
static void
append_conditions (GString *sql, const Query *query, guint statuses)
{
  append_statuses (sql, statuses);
  if (query->kind != NULL)
    g_string_append_printf (sql, " AND +\"kind\" = ?%d", PARAM_OF (STRAND_FIELD_KIND));
  if (query->queue != NULL)
    g_string_append_printf (sql, " AND +\"queue\" = ?%d", PARAM_OF (STRAND_FIELD_QUEUE));
  if (query->function != NULL)
    g_string_append_printf (sql, " AND \"function\" = ?%d", PARAM_OF (STRAND_FIELD_FUNCTION));
  if (query->lease_owner != NULL)
    g_string_append_printf (sql, " AND \"lease-owner\" = ?%d", PARAM_OF (STRAND_FIELD_LEASE_OWNER));
}

/* Whether to look for each status by itself, in an index, or to read all records in their order: where no
 * index helps, or where it would name nearly every record. */
static gboolean
is_split (const Query *query)
{
  return query->queue != NULL ||
         (query->kind != NULL && (query->statuses != ALL_STATUSES || strcmp (query->kind, "call") != 0));
}

/* The rows of a query that have these statuses: one status, if the query is split. */
static void
append_rows (GString *sql, const Query *query, guint statuses)
{
  guint status = g_bit_nth_lsf (statuses, -1);

  if (!is_split (query) ||
      (query->queue == NULL && status == STRAND_STATUS_COMPLETED && strcmp (query->kind, "call") == 0))
    g_string_append (sql, "records WHERE true");
  else if (query->queue != NULL)
    g_string_append_printf (sql,
                            "records INDEXED BY records_by_queue WHERE \"queue\" = ?%d AND \"status\" = %u",
                            PARAM_OF (STRAND_FIELD_QUEUE), status);
  else
    g_string_append_printf (sql,
                            "records INDEXED BY records_by_kind WHERE " SQLITE_IS_NOTED
                            " AND \"kind\" = ?%d AND \"status\" = %u",
                            PARAM_OF (STRAND_FIELD_KIND), status);
  append_conditions (sql, query, statuses);
}

/* In the order of keys, so that a page knows where the next begins whatever changes. An index gives that
 * order for one status; of several, each gives its first so many, and the smallest of all these make the
 * page. */
static void
append_first_keys (GString *sql, const Query *query, guint statuses)
{
  g_string_append (sql, "SELECT * FROM (SELECT \"key\" AS k FROM ");
  append_rows (sql, query, statuses);
  g_string_append_printf (sql, " AND \"key\" > ?%d ORDER BY \"key\" LIMIT ?%d)", PARAM_AFTER, PARAM_LIMIT);
}

static void
append_keys (GString *sql, const Query *query)
{
  const char *separator = "";

  if (!is_split (query))
    {
      append_first_keys (sql, query, query->statuses);
      return;
    }
  for (guint status = 0; status <= STRAND_STATUS_CANCELLED; status++)
    if (query->statuses & 1u << status)
      {
        g_string_append (sql, separator);
        append_first_keys (sql, query, 1u << status);
        separator = " UNION ALL ";
      }
}

static void
bind_query (sqlite3_stmt *statement, const Query *query)
{
  /* Those that the statement does not ask for are refused, and need not be bound. */
  bind_text (statement, PARAM_OF (STRAND_FIELD_KIND), query->kind);
  bind_text (statement, PARAM_OF (STRAND_FIELD_QUEUE), query->queue);
  bind_text (statement, PARAM_OF (STRAND_FIELD_FUNCTION), query->function);
  bind_text (statement, PARAM_OF (STRAND_FIELD_LEASE_OWNER), query->lease_owner);
}

static sqlite3_stmt *
prepare_listing (SqliteDatabase *database, const Query *query, GError **error)
{
  GString *sql = g_string_new ("SELECT ");

  append_columns (sql, "r.");
  g_string_append (sql, " FROM (SELECT k FROM (");
  append_keys (sql, query);
  g_string_append_printf (sql, ") ORDER BY k LIMIT ?%d) CROSS JOIN records AS r ON r.\"key\" = k ORDER BY k",
                          PARAM_LIMIT);
  return sqlite_database_prepare (database, intern (sql), error);
}

/* A cursor is the key that a page ended with, escaped, as a foreign row's key may be any text. */
static char *
parse_cursor (const char *cursor, GError **error)
{
  g_autofree char *key = NULL;

  if (cursor == NULL)
    return g_strdup ("");
  if (g_str_has_prefix (cursor, "after:"))
    key = g_uri_unescape_string (cursor + strlen ("after:"), NULL);
  if (key == NULL)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT, "'%s' is not a cursor of this store",
                 cursor);
  return g_steal_pointer (&key);
}

static void
set_next (StrandPage *page, sqlite3_stmt *row)
{
  g_autofree char *escaped =
      g_uri_escape_string ((const char *) sqlite3_column_text (row, STRAND_FIELD_KEY), NULL, FALSE);
  g_autofree char *cursor = g_strconcat ("after:", escaped, NULL);

  strand_page_set_next (page, cursor);
}

static gboolean
fill_page (StrandSqliteStore *self, SqliteDatabase *database, const Query *query, const char *after,
           guint limit, StrandPage *page, GError **error)
{
  g_autoptr(SqliteUse) statement = prepare_listing (database, query, error);
  guint n_rows = 0;
  int code;

  if (statement == NULL)
    return FALSE;
  bind_query (statement, query);
  bind_text (statement, PARAM_AFTER, after);
  sqlite3_bind_int64 (statement, PARAM_LIMIT, limit);

  while ((code = sqlite_database_step (database, statement, error)) == SQLITE_ROW)
    {
      g_autoptr(GError) why = NULL;
      g_autoptr(StrandRecord) record = read_record (self, statement, &why);
      g_autofree char *name = NULL;

      if (record != NULL)
        strand_page_add (page, record);
      else
        {
          name = name_row (self, statement);
          strand_page_add_unreadable (page, name, why);
        }
      if (++n_rows == limit)
        set_next (page, statement);
    }
  return code == SQLITE_DONE;
}

static StrandPage *
strand_sqlite_store_list (StrandStore *store, const StrandFilter *filter, const char *cursor, guint limit,
                          GError **error)
{
  StrandSqliteStore *self = STRAND_SQLITE_STORE (store);
  Query query = query_for (filter);
  g_autoptr(StrandPage) page = strand_page_new ();
  g_autofree char *after = parse_cursor (cursor, error);
  g_autoptr(GError) local_error = NULL;
  SqliteDatabase *database;

  if (after == NULL)
    return NULL;
  database = take (self, FALSE, &local_error);
  if (database != NULL && query.statuses != 0)
    fill_page (self, database, &query, after, limit, page, &local_error);
  if (database != NULL)
    give_back (self, database);

  if (local_error != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return NULL;
    }
  return g_steal_pointer (&page);
}

static void
append_count (GString *sql, const Query *query, guint statuses)
{
  g_string_append (sql, " + (SELECT count(*) FROM ");
  append_rows (sql, query, statuses);
  g_string_append (sql, ")");
}

/* All, without those that have expired: the first are counted in an index where there is one, the second are
 * few. */
static sqlite3_stmt *
prepare_count (SqliteDatabase *database, const Query *query, GError **error)
{
  GString *sql = g_string_new ("SELECT 0");

  if (!is_split (query))
    append_count (sql, query, query->statuses);
  for (guint status = 0; is_split (query) && status <= STRAND_STATUS_CANCELLED; status++)
    if (query->statuses & 1u << status)
      append_count (sql, query, 1u << status);

  g_string_append_printf (
      sql,
      " - (SELECT count(*) FROM records INDEXED BY records_by_expiry WHERE " SQLITE_CAN_EXPIRE
      " AND " SQLITE_EXPIRY " <= ?%d AND \"completed\" <= ?%d",
      PARAM_NOW, PARAM_NOW);
  append_conditions (sql, query, query->statuses);
  g_string_append (sql, ")");
  return sqlite_database_prepare (database, intern (sql), error);
}

static gint64
count_rows (SqliteDatabase *database, const Query *query, gint64 now_us, GError **error)
{
  g_autoptr(SqliteUse) statement = prepare_count (database, query, error);

  if (statement == NULL)
    return -1;
  bind_query (statement, query);
  sqlite3_bind_int64 (statement, PARAM_NOW, now_us);
  if (sqlite_database_step (database, statement, error) != SQLITE_ROW)
    return -1;
  return sqlite3_column_int64 (statement, 0);
}

static gint64
strand_sqlite_store_count (StrandStore *store, const StrandFilter *filter, GError **error)
{
  StrandSqliteStore *self = STRAND_SQLITE_STORE (store);
  Query query = query_for (filter);
  g_autoptr(GError) local_error = NULL;
  SqliteDatabase *database = take (self, FALSE, &local_error);
  gint64 n = 0;

  if (database != NULL && query.statuses != 0)
    n = count_rows (database, &query, strand_clock_now_us (), &local_error);
  if (database != NULL)
    give_back (self, database);
  if (local_error == NULL)
    return n;

  g_propagate_error (error, g_steal_pointer (&local_error));
  return -1;
}

/* --- cleaning up --------------------------------------------------------------------------------------- */

/* Removes some of the records that expired first. */
static gboolean
clean_some (StrandSqliteStore *self, SqliteDatabase *database, gint64 now_us, GPtrArray *gone, GError **error)
{
  g_autoptr(SqliteUse) statement = sqlite_database_prepare (database, texts.cleanup, error);
  int code;

  if (statement == NULL || !begin_writing (self, error))
    return FALSE;
  sqlite3_bind_int64 (statement, PARAM_NOW, now_us);
  while ((code = sqlite_database_step (database, statement, error)) == SQLITE_ROW)
    g_ptr_array_add (gone, g_strdup ((const char *) sqlite3_column_text (statement, 0)));
  end_writing (self, gone->len > 0);
  return code == SQLITE_DONE;
}

static gint64
strand_sqlite_store_cleanup_expired (StrandStore *store, gint64 now_us, gint64 budget_us, GError **error)
{
  StrandSqliteStore *self = STRAND_SQLITE_STORE (store);
  g_autoptr(GError) local_error = NULL;
  SqliteDatabase *database = take (self, FALSE, &local_error);
  gint64 start_us = strand_clock_monotonic_us ();
  gint64 n_removed = 0;
  gboolean more = database != NULL;

  while (more)
    {
      g_autoptr(GPtrArray) gone = g_ptr_array_new_with_free_func (g_free);

      more = clean_some (self, database, now_us, gone, &local_error) && gone->len == CLEANUP_STEP &&
             (budget_us < 0 || strand_clock_monotonic_us () - start_us < budget_us);
      for (guint i = 0; local_error == NULL && i < gone->len; i++)
        strand_store_changed (store, g_ptr_array_index (gone, i));
      if (local_error == NULL)
        n_removed += gone->len;
    }
  if (database != NULL)
    give_back (self, database);
  if (local_error == NULL)
    return n_removed;

  g_propagate_error (error, g_steal_pointer (&local_error));
  return -1;
}

/* --- plumbing ------------------------------------------------------------------------------------------ */

static gboolean
strand_sqlite_store_set_watching (StrandStore *store, gboolean watching, GError **error)
{
  StrandSqliteStore *self = STRAND_SQLITE_STORE (store);
  SqliteSettings settings = get_settings (self);
  SqliteWatch *watch = NULL;

  if (watching &&
      (!check_path (self, error) || (watch = sqlite_watch_start (store, &settings, error)) == NULL))
    return FALSE;

  g_mutex_lock (&self->lock);
  if (self->watch != NULL)
    sqlite_watch_stop (self->watch);
  self->watch = watch;
  g_mutex_unlock (&self->lock);
  return TRUE;
}

/* The last connection of all processes writes the log back into the database and removes it. */
static void
strand_sqlite_store_close (StrandStore *store)
{
  StrandSqliteStore *self = STRAND_SQLITE_STORE (store);

  g_ptr_array_set_size (self->idle, 0);
}

static void
store_init (StrandStoreInterface *iface)
{
  iface->get = strand_sqlite_store_get;
  iface->put = strand_sqlite_store_put;
  iface->remove = strand_sqlite_store_remove;
  iface->list = strand_sqlite_store_list;
  iface->set_watching = strand_sqlite_store_set_watching;
  iface->count = strand_sqlite_store_count;
  iface->cleanup_expired = strand_sqlite_store_cleanup_expired;
  iface->close = strand_sqlite_store_close;
}

static void
strand_sqlite_store_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  StrandSqliteStore *self = STRAND_SQLITE_STORE (object);
  const char *path;

  switch (id)
    {
    case PROP_PATH:
      path = g_value_get_string (value);
      self->path = path != NULL && *path != '\0' ? g_canonicalize_filename (path, NULL) : NULL;
      break;
    case PROP_SYNC:
      self->sync = g_value_get_enum (value);
      break;
    case PROP_BUSY_TIMEOUT:
      self->busy_timeout_us = g_value_get_int64 (value);
      break;
    default:
      strand_store_set_common_property (STRAND_STORE (self), value, pspec);
    }
}

static void
strand_sqlite_store_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  StrandSqliteStore *self = STRAND_SQLITE_STORE (object);

  switch (id)
    {
    case PROP_PATH:
      g_value_set_string (value, self->path);
      break;
    case PROP_SYNC:
      g_value_set_enum (value, self->sync);
      break;
    case PROP_BUSY_TIMEOUT:
      g_value_set_int64 (value, self->busy_timeout_us);
      break;
    default:
      strand_store_get_common_property (STRAND_STORE (self), value, pspec);
    }
}

static void
strand_sqlite_store_finalize (GObject *object)
{
  StrandSqliteStore *self = STRAND_SQLITE_STORE (object);

  g_clear_pointer (&self->watch, sqlite_watch_stop);
  g_ptr_array_unref (self->idle);
  g_free (self->path);
  g_cond_clear (&self->written);
  g_mutex_clear (&self->lock);

  G_OBJECT_CLASS (strand_sqlite_store_parent_class)->finalize (object);
}

static void
strand_sqlite_store_class_init (StrandSqliteStoreClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  const GParamFlags once = G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS;

  object_class->set_property = strand_sqlite_store_set_property;
  object_class->get_property = strand_sqlite_store_get_property;
  object_class->finalize = strand_sqlite_store_finalize;

  props[PROP_PATH] = g_param_spec_string ("path", NULL,
                                          "Database file that holds the records, on a local disk; made with "
                                          "mode 0600, and its directory with mode "
                                          "0700, when the first one is stored",
                                          NULL, once | STRAND_PARAM_REQUIRED);
  props[PROP_SYNC] = g_param_spec_enum ("sync", NULL,
                                        "What a power cut may cost: with off the database, with normal the "
                                        "latest records, with full nothing that was accepted",
                                        STRAND_TYPE_SQLITE_SYNC, SYNC_NORMAL, once);
  props[PROP_BUSY_TIMEOUT] = g_param_spec_int64 (
      "busy-timeout", NULL, "How long a write waits for its turn while other threads and programs write", -1,
      G_MAXINT64, DEFAULT_BUSY_TIMEOUT_US, once | STRAND_PARAM_DURATION);
  g_object_class_install_properties (object_class, N_PROPS, props);
  strand_store_override_properties (object_class, FIRST_COMMON_PROP);
  write_texts ();
}

static void
strand_sqlite_store_init (StrandSqliteStore *self)
{
  g_mutex_init (&self->lock);
  g_cond_init (&self->written);
  self->idle = g_ptr_array_new_with_free_func ((GDestroyNotify) sqlite_database_close);
}

STRAND_PLUGIN_DEFINE ("sqlite-store", STRAND_VERSION, "LGPL-2.1-or-later",
                      STRAND_PROVIDES_STORE ("sqlite", StrandSqliteStore, strand_sqlite_store_get_type,
                                             "Keeps records in one SQLite database"))
