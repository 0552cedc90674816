/* sqlite-work.c — a database of records as a queue: what each method does inside its transaction.
 *
 * What is due lies in one index in the order in which it is claimed, what has its time still to come in
 * another by that time. A claim first moves those whose time is over from the second to the first, each once
 * in its life, and then takes the first ones: nothing it does grows with what waits or has ended, but by the
 * depth of an index.                               SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "sqlite-work.h"

#include <string.h>

/* How many calls whose time has come one claim moves: some 50 ms of work. Only where more come due at once
 * may a claim miss that one of the others has the higher priority. */
#define MAX_MOVED "10000"

static sqlite3_stmt *
prepare (SqliteDatabase *database, const char *sql, GError **error)
{
  return sqlite_database_prepare (database, sql, error);
}

static gboolean
finish (SqliteDatabase *database, sqlite3_stmt *statement, GError **error)
{
  return sqlite_database_step (database, statement, error) == SQLITE_DONE;
}

static void
bind_text (sqlite3_stmt *statement, int param, const char *text)
{
  sqlite3_bind_text (statement, param, text, -1, SQLITE_STATIC);
}

/* --- looking ------------------------------------------------------------------------------------------- */

static gboolean
is_any_due (SqliteDatabase *database, const char *queue, gboolean *due, GError **error)
{
  g_autoptr(SqliteUse) statement = prepare (
      database,
      "SELECT 1 FROM records INDEXED BY records_due WHERE \"queue\" = ?1 AND " SQLITE_IS_DUE " LIMIT 1",
      error);
  int code;

  if (statement == NULL)
    return FALSE;
  bind_text (statement, 1, queue);
  code = sqlite_database_step (database, statement, error);
  *due |= code == SQLITE_ROW;
  return code != SQLITE_ERROR;
}

/* When the next call that has its time still to come has it; 0 if there is none. */
static gboolean
find_next (SqliteDatabase *database, const char *queue, gint64 *next_us, GError **error)
{
  g_autoptr(SqliteUse) statement = prepare (
      database,
      "SELECT \"not-before\" FROM records INDEXED BY records_later WHERE \"queue\" = ?1 AND " SQLITE_IS_LATER
      " ORDER BY \"not-before\" LIMIT 1",
      error);
  int code;

  if (statement == NULL)
    return FALSE;
  bind_text (statement, 1, queue);
  code = sqlite_database_step (database, statement, error);
  *next_us = code == SQLITE_ROW ? MAX (sqlite3_column_int64 (statement, 0), 1) : 0;
  return code != SQLITE_ERROR;
}

static void
note_next (gint64 *next_due_us, gint64 next_us)
{
  if (next_us != 0 && (*next_due_us == 0 || next_us < *next_due_us))
    *next_due_us = next_us;
}

gboolean
sqlite_work_look (SqliteDatabase *database, const char *const *queues, gint64 now_us, gboolean *due,
                  gint64 *next_due_us, GError **error)
{
  *due = FALSE;
  *next_due_us = 0;
  for (guint i = 0; queues[i] != NULL && !*due; i++)
    {
      gint64 next_us;

      if (!is_any_due (database, queues[i], due, error) || !find_next (database, queues[i], &next_us, error))
        return FALSE;
      note_next (next_due_us, next_us);
      *due |= next_us != 0 && next_us <= now_us;
    }
  return TRUE;
}

/* --- claiming ------------------------------------------------------------------------------------------ */

static gboolean
move_due (SqliteDatabase *database, const char *queue, gint64 now_us, GError **error)
{
  g_autoptr(SqliteUse) statement = prepare (
      database,
      "UPDATE records SET \"later\" = 0 WHERE \"id\" IN (SELECT \"id\" FROM records INDEXED BY records_later"
      " WHERE \"queue\" = ?1 AND " SQLITE_IS_LATER " AND \"not-before\" <= ?2 ORDER BY \"not-before\""
      " LIMIT " MAX_MOVED ")",
      error);

  if (statement == NULL)
    return FALSE;
  bind_text (statement, 1, queue);
  sqlite3_bind_int64 (statement, 2, now_us);
  return finish (database, statement, error);
}

/* Moves what is due, where anything is. @next_us: as find_next() says after that. */
static gboolean
move_and_find_next (SqliteDatabase *database, const char *queue, gint64 now_us, gint64 *next_us,
                    GError **error)
{
  if (!find_next (database, queue, next_us, error))
    return FALSE;
  if (*next_us == 0 || *next_us > now_us)
    return TRUE;
  if (!move_due (database, queue, now_us, error))
    return FALSE;
  CRASH_POINT ("move due");
  return find_next (database, queue, next_us, error);
}

/* Another program's, that does not know where calls wait; or somebody has set the clock back. */
static gboolean
move_back (SqliteDatabase *database, gint64 id, GError **error)
{
  g_autoptr(SqliteUse) statement =
      prepare (database, "UPDATE records SET \"later\" = 1 WHERE \"id\" = ?1", error);

  if (statement == NULL)
    return FALSE;
  sqlite3_bind_int64 (statement, 1, id);
  return finish (database, statement, error);
}

/* The first calls of a queue, in turn. @ids: theirs. @early: ids of those that should not be there yet. Rows
 * that cannot be read are passed over: a listing names them. */
static gboolean
read_first (SqliteDatabase *database, const char *queue, gint64 now_us, guint limit, GPtrArray *found,
            GArray *ids, GArray *early, GError **error)
{
  static gsize text;
  g_autoptr(SqliteUse) statement = NULL;
  int code = SQLITE_ROW;

  if (g_once_init_enter (&text))
    {
      GString *sql = g_string_new ("SELECT ");

      sqlite_row_append_columns (sql, "");
      g_string_append (sql, " FROM records INDEXED BY records_due WHERE \"queue\" = ?1 AND " SQLITE_IS_DUE
                            " ORDER BY " SQLITE_TURN ", \"key\"");
      g_once_init_leave (&text, (gsize) sqlite_row_intern (sql));
    }
  statement = sqlite_database_prepare (database, (const char *) text, error);
  if (statement == NULL)
    return FALSE;
  bind_text (statement, 1, queue);
  while (found->len < limit && (code = sqlite_database_step (database, statement, error)) == SQLITE_ROW)
    {
      g_autoptr(StrandRecord) record = sqlite_row_read (database, statement, NULL);
      gint64 id = sqlite3_column_int64 (statement, SQLITE_ROW_ID);

      if (record == NULL)
        continue;
      if (strand_record_get_int (record, STRAND_FIELD_NOT_BEFORE) > now_us)
        g_array_append_val (early, id);
      else
        {
          g_ptr_array_add (found, g_steal_pointer (&record));
          g_array_append_val (ids, id);
        }
    }
  return code != SQLITE_ERROR;
}

/* What strand_record_claim() makes of a record, and what follows from it for its row. */
#define CLAIM                                                                                                \
  "UPDATE records SET \"status\" = 1, \"fence\" = \"fence\" + 1, \"attempt\" = max(\"attempt\", 1), "        \
  "\"lease-owner\" = ?1, \"started\" = ?2, \"lease-counter\" = 1, \"progress\" = -1.0, \"message\" = NULL, " \
  "\"items\" = 0, \"revision\" = \"revision\" + 1, \"later\" = 0 WHERE \"id\" "

/* How many rows one statement claims, where there are so many: a statement costs as much as a row. */
#define N_TOGETHER 16
#define CLAIM_ONE CLAIM "= ?3"
#define CLAIM_TOGETHER CLAIM "IN (?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)"

static gboolean
claim_some (SqliteDatabase *database, const gint64 *ids, guint n, const StrandClaim *claim, GError **error)
{
  g_autoptr(SqliteUse) statement = prepare (database, n > 1 ? CLAIM_TOGETHER : CLAIM_ONE, error);

  if (statement == NULL)
    return FALSE;
  bind_text (statement, 1, claim->owner);
  sqlite3_bind_int64 (statement, 2, claim->now_us);
  for (guint i = 0; i < n; i++)
    sqlite3_bind_int64 (statement, 3 + (int) i, ids[i]);
  return finish (database, statement, error);
}

/* Rows that have been read in this transaction. FALSE with an error: then the transaction is lost, as a row
 * that is claimed must not be kept from whoever claimed it. */
static gboolean
claim_rows (SqliteDatabase *database, GArray *ids, const StrandClaim *claim, GError **error)
{
  guint n;

  for (guint i = 0; i < ids->len; i += n)
    {
      n = ids->len - i >= N_TOGETHER ? N_TOGETHER : 1;
      if (!claim_some (database, &g_array_index (ids, gint64, i), n, claim, error))
        {
          sqlite_database_lose_transaction (database);
          return FALSE;
        }
      CRASH_POINT ("claim rows");
    }
  return TRUE;
}

static gboolean
claim_from (SqliteDatabase *database, const char *queue, const StrandClaim *claim, GPtrArray *claimed,
            gint64 *next_us, GError **error)
{
  g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_record_unref);
  g_autoptr(GArray) ids = g_array_new (FALSE, FALSE, sizeof (gint64));
  g_autoptr(GArray) early = g_array_new (FALSE, FALSE, sizeof (gint64));

  if (!move_and_find_next (database, queue, claim->now_us, next_us, error) ||
      !read_first (database, queue, claim->now_us, claim->limit - claimed->len, found, ids, early, error))
    return FALSE;
  for (guint i = 0; i < early->len; i++)
    if (!move_back (database, g_array_index (early, gint64, i), error))
      return FALSE;
  if (early->len > 0 && !find_next (database, queue, next_us, error))
    return FALSE;
  if (!claim_rows (database, ids, claim, error))
    return FALSE;
  for (guint i = 0; i < found->len; i++)
    {
      StrandRecord *record = g_ptr_array_index (found, i);

      strand_record_claim (record, claim->owner, claim->now_us);
      strand_record_set_int (record, STRAND_FIELD_REVISION,
                             strand_record_get_int (record, STRAND_FIELD_REVISION) + 1);
      sqlite_database_remember_id (database, strand_record_get_key (record), g_array_index (ids, gint64, i));
      if (!sqlite_database_note (database, strand_record_get_key (record), error))
        return FALSE;
      g_ptr_array_add (claimed, strand_record_ref (record));
    }
  return TRUE;
}

gboolean
sqlite_work_claim (SqliteDatabase *database, const StrandClaim *claim, GPtrArray *claimed,
                   gint64 *next_due_us, GError **error)
{
  *next_due_us = 0;
  g_ptr_array_set_size (claimed, 0);
  for (guint i = 0; claim->queues[i] != NULL; i++)
    {
      gint64 next_us;
      gboolean done;

      if (claimed->len < claim->limit)
        done = claim_from (database, claim->queues[i], claim, claimed, &next_us, error);
      else
        done = find_next (database, claim->queues[i], &next_us, error);
      if (!done)
        return FALSE;
      note_next (next_due_us, next_us);
    }
  return TRUE;
}

/* --- renewing ------------------------------------------------------------------------------------------ */

static gboolean
explain_renewal (SqliteDatabase *database, StrandRenewal *renewal, GError **error)
{
  g_autoptr(SqliteUse) statement =
      prepare (database, "SELECT \"status\", \"fence\" FROM records WHERE \"key\" = ?1", error);
  const char *status;
  int code;

  if (statement == NULL)
    return FALSE;
  bind_text (statement, 1, renewal->key);
  code = sqlite_database_step (database, statement, error);
  if (code == SQLITE_DONE)
    sqlite_row_set_not_found (&renewal->error);
  if (code != SQLITE_ROW)
    return code == SQLITE_DONE;

  status = strand_status_to_string ((StrandStatus) sqlite3_column_int64 (statement, 0));
  g_set_error (&renewal->error, STRAND_ERROR, STRAND_ERROR_STALE,
               "it is %s under fence %" G_GINT64_FORMAT ", and this holder had fence %" G_GUINT64_FORMAT,
               status != NULL ? status : "unreadable", (gint64) sqlite3_column_int64 (statement, 1),
               renewal->fence);
  return TRUE;
}

/* What the lease is worth is in the renewal; FALSE where that could not be found out. */
gboolean
sqlite_work_renew (SqliteDatabase *database, StrandRenewal *renewal, GError **error)
{
  g_autoptr(SqliteUse) statement = NULL;
  int code;

  g_clear_error (&renewal->error);
  renewal->cancel_requested = FALSE;
  if (database == NULL)
    {
      sqlite_row_set_not_found (&renewal->error);
      return TRUE;
    }
  statement = prepare (database,
                       "UPDATE records SET \"lease-counter\" = \"lease-counter\" + 1, \"revision\" = "
                       "\"revision\" + 1 WHERE \"key\" = ?1 AND \"status\" = 1 AND \"fence\" = ?2"
                       " RETURNING \"cancel-requested\"",
                       error);
  if (statement == NULL)
    return FALSE;
  bind_text (statement, 1, renewal->key);
  sqlite3_bind_int64 (statement, 2, (gint64) renewal->fence);
  code = sqlite_database_step (database, statement, error);
  if (code == SQLITE_DONE)
    return explain_renewal (database, renewal, error);
  if (code != SQLITE_ROW)
    return FALSE;
  renewal->cancel_requested = sqlite3_column_int64 (statement, 0) != 0;
  return finish (database, statement, error);
}

/* --- items --------------------------------------------------------------------------------------------- */

static gboolean
run_on_log (SqliteDatabase *database, const char *sql, const char *key, guint64 fence, gint64 number,
            GError **error)
{
  g_autoptr(SqliteUse) statement = prepare (database, sql, error);

  if (statement == NULL)
    return FALSE;
  bind_text (statement, 1, key);
  sqlite3_bind_int64 (statement, 2, (gint64) fence);
  sqlite3_bind_int64 (statement, 3, number);
  return finish (database, statement, error);
}

/* Whether the log has the item before @first, so that what comes there goes on with it. */
static gboolean
is_reached (SqliteDatabase *database, const char *key, guint64 fence, guint64 first, gboolean *reached,
            GError **error)
{
  g_autoptr(SqliteUse) statement = NULL;
  int code;

  *reached = TRUE;
  if (first == 0)
    return TRUE;
  statement =
      prepare (database, "SELECT 1 FROM items WHERE \"key\" = ?1 AND fence = ?2 AND number = ?3", error);
  if (statement == NULL)
    return FALSE;
  bind_text (statement, 1, key);
  sqlite3_bind_int64 (statement, 2, (gint64) fence);
  sqlite3_bind_int64 (statement, 3, (gint64) first - 1);
  code = sqlite_database_step (database, statement, error);
  *reached = code == SQLITE_ROW;
  return code != SQLITE_ERROR;
}

static gboolean
insert_item (SqliteDatabase *database, const char *key, guint64 fence, guint64 number, GBytes *item,
             GError **error)
{
  g_autoptr(SqliteUse) statement = prepare (database, "INSERT INTO items VALUES (?1, ?2, ?3, ?4)", error);
  gsize size;
  const void *data = g_bytes_get_data (item, &size);

  if (statement == NULL)
    return FALSE;
  bind_text (statement, 1, key);
  sqlite3_bind_int64 (statement, 2, (gint64) fence);
  sqlite3_bind_int64 (statement, 3, (gint64) number);
  if (size > 0)
    sqlite3_bind_blob64 (statement, 4, data, size, SQLITE_STATIC);
  else
    sqlite3_bind_zeroblob (statement, 4, 0);
  return finish (database, statement, error);
}

gboolean
sqlite_work_append_items (SqliteDatabase *database, const char *key, guint64 fence, guint64 first,
                          GBytes *const *items, guint n, guint max_items, GError **error)
{
  const guint64 end = first + n;
  gboolean reached;

  if (!run_on_log (database, "DELETE FROM items WHERE \"key\" = ?1 AND fence = ?2 AND number >= ?3", key,
                   fence, (gint64) first, error) ||
      !is_reached (database, key, fence, first, &reached, error))
    return FALSE;
  CRASH_POINT ("cut items");
  for (guint i = 0; i < n; i++)
    {
      if (!insert_item (database, key, fence, first + i, items[i], error))
        return FALSE;
      CRASH_POINT ("add item");
    }
  /* Where it did not reach, the log begins anew. */
  return run_on_log (database, "DELETE FROM items WHERE \"key\" = ?1 AND fence = ?2 AND number < ?3", key,
                     fence, (gint64) (reached ? end - MIN (end, max_items) : first), error);
}

GPtrArray *
sqlite_work_read_items (SqliteDatabase *database, const char *key, guint64 fence, guint64 from, guint limit,
                        guint64 *first, GError **error)
{
  g_autoptr(GPtrArray) items = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  g_autoptr(SqliteUse) statement =
      prepare (database,
               "SELECT number, item FROM items WHERE \"key\" = ?1 AND fence = ?2 AND number >= ?3"
               " ORDER BY number LIMIT ?4",
               error);
  int code;

  if (statement == NULL)
    return NULL;
  bind_text (statement, 1, key);
  sqlite3_bind_int64 (statement, 2, (gint64) fence);
  sqlite3_bind_int64 (statement, 3, (gint64) from);
  sqlite3_bind_int64 (statement, 4, limit);
  *first = from;
  while ((code = sqlite_database_step (database, statement, error)) == SQLITE_ROW)
    {
      if (items->len == 0)
        *first = (guint64) sqlite3_column_int64 (statement, 0);
      g_ptr_array_add (items,
                       g_bytes_new (sqlite3_column_blob (statement, 1), sqlite3_column_bytes (statement, 1)));
    }
  return code == SQLITE_DONE ? g_steal_pointer (&items) : NULL;
}

gboolean
sqlite_work_remove_items (SqliteDatabase *database, const char *key, guint64 fence, GError **error)
{
  return run_on_log (database, "DELETE FROM items WHERE \"key\" = ?1 AND fence <= ?2 AND ?3 = 0", key, fence,
                     0, error);
}
