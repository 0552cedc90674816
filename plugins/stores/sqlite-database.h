/* sqlite-database.h — one connection to a database of records: opening, statements, errors.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sqlite3.h>
#include <strand-plugin.h>

/* What every connection of a store is opened with. */
typedef struct
{
  const char *path;  /* absolute */
  const char *sync;  /* OFF, NORMAL or FULL, as SQLite calls them */
  gint64 timeout_us; /* how long to wait for other connections' locks; -1 for ever */
} SqliteSettings;

/* A connection. One thread at a time may use it. */
typedef struct _SqliteDatabase SqliteDatabase;

/* Opens the database. With @create it is made if need be, and its directory, and brought to this schema.
 * Without, NULL and no error says that there are no records yet. */
SqliteDatabase *sqlite_database_open (const SqliteSettings *settings, gboolean create, GError **error);

void sqlite_database_close (SqliteDatabase *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (SqliteDatabase, sqlite_database_close)

/* Whether what was opened still lies at its path, and may be kept open for the next use. */
gboolean sqlite_database_is_usable (SqliteDatabase *self);

gboolean sqlite_database_is_read_only (SqliteDatabase *self);

/* The time until which the next statements may wait for a lock; monotonic. */
void sqlite_database_set_deadline (SqliteDatabase *self, gint64 deadline_us);

/* A statement, prepared once for each connection. @sql is known by its address: a literal, or an interned
 * string. Reset the statement after use. */
sqlite3_stmt *sqlite_database_prepare (SqliteDatabase *self, const char *sql, GError **error);

/* Steps to the next row, waiting for locks. SQLITE_ROW, SQLITE_DONE, or SQLITE_ERROR with @error set. */
int sqlite_database_step (SqliteDatabase *self, sqlite3_stmt *statement, GError **error);

/* Ends the use of a statement: no locks, no values kept. */
void sqlite_database_reset (sqlite3_stmt *statement);

typedef sqlite3_stmt SqliteUse;
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SqliteUse, sqlite_database_reset)

/* Likewise; runs a statement that answers nothing. */
gboolean sqlite_database_run (SqliteDatabase *self, const char *sql, GError **error);

/* Runs any statement to its end; one that answers gives an integer. */
gboolean sqlite_database_execute (SqliteDatabase *self, const char *sql, gint64 *answer, GError **error);

/* Whether the keys of records that change are noted, for those who watch. */
void sqlite_database_set_noting (SqliteDatabase *self, gboolean noting);

/* Notes one, where that is wanted. FALSE with an error: then the transaction is lost. */
gboolean sqlite_database_note (SqliteDatabase *self, const char *key, GError **error);

/* Ends the transaction as if nothing had been done in it: what must not be done by halves has been. */
void sqlite_database_lose_transaction (SqliteDatabase *self);

/* Where a record's row is, if that is remembered, else 0: a hint, as rows come and go. */
gint64 sqlite_database_recall_id (SqliteDatabase *self, const char *key);
void sqlite_database_remember_id (SqliteDatabase *self, const char *key, gint64 id);

/* How many rows the last statement changed; and all statements together. */
int sqlite_database_count_changes (SqliteDatabase *self);
gint64 sqlite_database_count_all_changes (SqliteDatabase *self);

/* The id of the last row that was inserted. */
gint64 sqlite_database_get_last_id (SqliteDatabase *self);

/* Whether a transaction is open: SQLite ends one by itself where a write fails badly. */
gboolean sqlite_database_is_in_transaction (SqliteDatabase *self);

const char *sqlite_database_get_path (SqliteDatabase *self);

/* The conditions and expressions of indexes, which are used only where a statement has these very ones.
 * First, records that have ended, and the time from which those with a ttl have outlived it. */
#define SQLITE_CAN_EXPIRE "\"status\" >= 2 AND \"ttl\" >= 0"
#define SQLITE_EXPIRY "\"completed\" + \"ttl\""

/* All records but completed calls, which are most of them and the last that anybody looks for, and those that
 * wait in a queue, which have indexes of their own: so a claim and an end each change one entry. */
#define SQLITE_IS_NOTED "(\"kind\" <> 'call' OR (\"status\" <> 2 AND (\"status\" <> 0 OR \"queue\" IS NULL)))"

/* Calls that wait in a queue, those that are due and those that have their time still to come, and the number
 * that strand_record_get_turn() gives. */
#define SQLITE_IS_WAITING "\"status\" = 0 AND \"kind\" = 'call' AND \"queue\" IS NOT NULL"
#define SQLITE_IS_DUE SQLITE_IS_WAITING " AND \"later\" = 0"
#define SQLITE_IS_LATER SQLITE_IS_WAITING " AND \"later\" <> 0"
#define SQLITE_TURN                                                                                          \
  "min(max(\"created\", \"not-before\"), 4611686018427387903) - "                                            \
  "min(max(\"priority\", -10000000), 10000000) * 30000000"

/* Where a test kills the process: after each step that must not be the last one that counts. */
#ifdef STRAND_CRASH_POINTS
void strand_crash_point (const char *name);
#define CRASH_POINT(name) strand_crash_point (name)
#else
#define CRASH_POINT(name)                                                                                    \
  G_STMT_START {}                                                                                            \
  G_STMT_END
#endif
