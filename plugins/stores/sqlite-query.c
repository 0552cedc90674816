/* sqlite-query.c — filters as SQL: pages of records, and how many there are.
 *
 * Pages go by the rows' ids, which never change: a record that changes its status between two pages is still
 * in exactly one of them. SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "sqlite-query.h"

#include <string.h>

#define PARAM_KIND 1
#define PARAM_QUEUE 2
#define PARAM_FUNCTION 3
#define PARAM_LEASE_OWNER 4
#define PARAM_AFTER 5
#define PARAM_LIMIT 6
#define PARAM_NOW 7

#define CURSOR_PREFIX "after:"

static const StrandFilter all_calls = { .kind = "call" };

/* A filter as it is asked for in SQL: which index to walk, and what else must hold. */
typedef struct
{
  const char *kind; /* NULL: every kind */
  guint statuses;
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

static void
append_condition (GString *sql, const char *value, const char *column, int param)
{
  /* The plus keeps SQLite from choosing an index for it. */
  if (value != NULL)
    g_string_append_printf (sql, " AND +\"%s\" = ?%d", column, param);
}

/* What an index of waiting calls does not say by itself. */
static void
append_more_conditions (GString *sql, const Query *query)
{
  append_condition (sql, query->function, "function", PARAM_FUNCTION);
  append_condition (sql, query->lease_owner, "lease-owner", PARAM_LEASE_OWNER);
}

static void
append_conditions (GString *sql, const Query *query, guint statuses)
{
  append_statuses (sql, statuses);
  append_condition (sql, query->kind, "kind", PARAM_KIND);
  append_condition (sql, query->queue, "queue", PARAM_QUEUE);
  append_more_conditions (sql, query);
}

static gboolean
is_for_calls (const Query *query)
{
  return query->kind != NULL && strcmp (query->kind, "call") == 0;
}

/* Whether to look for each status by itself, in an index, or to read all records in their order: where no
 * index helps, or where it would name nearly every record. */
static gboolean
is_split (const Query *query)
{
  return query->kind != NULL && (query->statuses != ALL_STATUSES || !is_for_calls (query)) &&
         !(is_for_calls (query) && (query->statuses & 1u << STRAND_STATUS_COMPLETED) != 0);
}

/* Where rows of one status are found: each is in one of these. */
typedef enum
{
  IN_TABLE, /* all of any status, in the order of their ids */
  IN_NOTED,
  IN_DUE,
  IN_LATER,
} Place;

static void
append_waiting_rows (GString *sql, const Query *query, const char *index)
{
  g_string_append (sql, index);
  if (query->queue != NULL)
    g_string_append_printf (sql, " AND \"queue\" = ?%d", PARAM_QUEUE);
  append_more_conditions (sql, query);
}

/* The rows of a query that have these statuses, which is one if they are looked for in an index. */
static void
append_rows (GString *sql, const Query *query, guint statuses, Place place)
{
  switch (place)
    {
    case IN_TABLE:
      g_string_append (sql, "records WHERE true");
      append_conditions (sql, query, statuses);
      break;
    case IN_NOTED:
      g_string_append_printf (sql,
                              "records INDEXED BY records_by_kind WHERE " SQLITE_IS_NOTED
                              " AND \"kind\" = ?%d AND \"status\" = %d",
                              PARAM_KIND, g_bit_nth_lsf (statuses, -1));
      append_conditions (sql, query, statuses);
      break;
    case IN_DUE:
      append_waiting_rows (sql, query, "records INDEXED BY records_due WHERE " SQLITE_IS_DUE);
      break;
    case IN_LATER:
    default:
      append_waiting_rows (sql, query, "records INDEXED BY records_later WHERE " SQLITE_IS_LATER);
      break;
    }
}

typedef void (*AppendFunc) (GString *sql, const Query *query, guint statuses, Place place);

/* Calls `append` for each place that has rows of the query. */
static void
for_each_place (GString *sql, const Query *query, AppendFunc append)
{
  if (!is_split (query))
    {
      append (sql, query, query->statuses, IN_TABLE);
      return;
    }
  for (guint status = 0; status <= STRAND_STATUS_CANCELLED; status++)
    {
      gboolean waiting = status == STRAND_STATUS_PENDING && is_for_calls (query);

      if ((query->statuses & 1u << status) == 0)
        continue;
      if (!waiting || query->queue == NULL)
        append (sql, query, 1u << status, IN_NOTED);
      if (waiting)
        append (sql, query, 1u << status, IN_DUE);
      if (waiting)
        append (sql, query, 1u << status, IN_LATER);
    }
}

/* An index gives the order of ids for one status, but for calls that wait, which are sorted; of several
 * places, each gives its first so many, and the smallest of all these make the page. */
static void
append_first_ids (GString *sql, const Query *query, guint statuses, Place place)
{
  g_string_append (sql, "SELECT * FROM (SELECT \"id\" AS i FROM ");
  append_rows (sql, query, statuses, place);
  g_string_append_printf (sql, " AND \"id\" > ?%d ORDER BY \"id\" LIMIT ?%d) UNION ALL ", PARAM_AFTER,
                          PARAM_LIMIT);
}

static void
bind_text (sqlite3_stmt *statement, int param, const char *text)
{
  /* What the statement does not ask for is refused, and need not be bound. */
  sqlite3_bind_text (statement, param, text, -1, SQLITE_STATIC);
}

static void
bind_query (sqlite3_stmt *statement, const Query *query)
{
  bind_text (statement, PARAM_KIND, query->kind);
  bind_text (statement, PARAM_QUEUE, query->queue);
  bind_text (statement, PARAM_FUNCTION, query->function);
  bind_text (statement, PARAM_LEASE_OWNER, query->lease_owner);
}

static sqlite3_stmt *
prepare_listing (SqliteDatabase *database, const Query *query, GError **error)
{
  GString *sql = g_string_new ("SELECT ");

  sqlite_row_append_columns (sql, "r.");
  g_string_append (sql, " FROM (SELECT i FROM (");
  for_each_place (sql, query, append_first_ids);
  g_string_append_printf (
      sql, "SELECT 0 WHERE false) ORDER BY i LIMIT ?%d) CROSS JOIN records AS r ON r.\"id\" = i ORDER BY i",
      PARAM_LIMIT);
  return sqlite_database_prepare (database, sqlite_row_intern (sql), error);
}

/* A cursor is the id that a page ended with. */
static gboolean
parse_cursor (const char *cursor, gint64 *after, GError **error)
{
  *after = G_MININT64;
  if (cursor == NULL ||
      (g_str_has_prefix (cursor, CURSOR_PREFIX) &&
       g_ascii_string_to_signed (cursor + strlen (CURSOR_PREFIX), 10, G_MININT64, G_MAXINT64, after, NULL)))
    return TRUE;

  g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT, "'%s' is not a cursor of this store",
               cursor);
  return FALSE;
}

static void
set_next (StrandPage *page, sqlite3_stmt *row)
{
  g_autofree char *cursor =
      g_strdup_printf (CURSOR_PREFIX "%" G_GINT64_FORMAT, (gint64) sqlite3_column_int64 (row, SQLITE_ROW_ID));

  strand_page_set_next (page, cursor);
}

static gboolean
fill_page (SqliteDatabase *database, const Query *query, gint64 after, guint limit, StrandPage *page,
           GError **error)
{
  g_autoptr(SqliteUse) statement = prepare_listing (database, query, error);
  guint n_rows = 0;
  int code;

  if (statement == NULL)
    return FALSE;
  bind_query (statement, query);
  sqlite3_bind_int64 (statement, PARAM_AFTER, after);
  sqlite3_bind_int64 (statement, PARAM_LIMIT, limit);

  while ((code = sqlite_database_step (database, statement, error)) == SQLITE_ROW)
    {
      g_autoptr(GError) why = NULL;
      g_autoptr(StrandRecord) record = sqlite_row_read (database, statement, &why);
      g_autofree char *name = NULL;

      if (record != NULL)
        strand_page_add (page, record);
      else
        {
          name = sqlite_row_name (database, statement);
          strand_page_add_unreadable (page, name, why);
        }
      if (++n_rows == limit)
        set_next (page, statement);
    }
  return code == SQLITE_DONE;
}

gboolean
sqlite_query_list (SqliteDatabase *database, const StrandFilter *filter, const char *cursor, guint limit,
                   StrandPage *page, GError **error)
{
  Query query = query_for (filter);
  gint64 after;

  if (!parse_cursor (cursor, &after, error))
    return FALSE;
  return database == NULL || query.statuses == 0 || fill_page (database, &query, after, limit, page, error);
}

static void
append_count (GString *sql, const Query *query, guint statuses, Place place)
{
  g_string_append (sql, " + (SELECT count(*) FROM ");
  append_rows (sql, query, statuses, place);
  g_string_append (sql, ")");
}

/* All, without those that have expired: the first are counted in an index where there is one, the second are
 * few. */
static sqlite3_stmt *
prepare_count (SqliteDatabase *database, const Query *query, GError **error)
{
  GString *sql = g_string_new ("SELECT 0");

  for_each_place (sql, query, append_count);
  g_string_append_printf (
      sql,
      " - (SELECT count(*) FROM records INDEXED BY records_by_expiry WHERE " SQLITE_CAN_EXPIRE
      " AND " SQLITE_EXPIRY " <= ?%d AND \"completed\" <= ?%d",
      PARAM_NOW, PARAM_NOW);
  append_conditions (sql, query, query->statuses);
  g_string_append (sql, ")");
  return sqlite_database_prepare (database, sqlite_row_intern (sql), error);
}

gint64
sqlite_query_count (SqliteDatabase *database, const StrandFilter *filter, gint64 now_us, GError **error)
{
  Query query = query_for (filter);
  g_autoptr(SqliteUse) statement = NULL;

  if (database == NULL || query.statuses == 0)
    return 0;
  statement = prepare_count (database, &query, error);
  if (statement == NULL)
    return -1;
  bind_query (statement, &query);
  sqlite3_bind_int64 (statement, PARAM_NOW, now_us);
  if (sqlite_database_step (database, statement, error) != SQLITE_ROW)
    return -1;
  return sqlite3_column_int64 (statement, 0);
}
