/* sqlite-database.h — one connection to a database of records: opening, schema, statements, errors.
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

/* The time until which the next statements may wait for a lock; monotonic. */
void sqlite_database_set_deadline (SqliteDatabase *self, gint64 deadline_us);

/* A statement, prepared once for each connection. @sql must be an interned string. Reset it after use. */
sqlite3_stmt *sqlite_database_prepare (SqliteDatabase *self, const char *sql, GError **error);

/* Steps to the next row, waiting for locks. SQLITE_ROW, SQLITE_DONE, or SQLITE_ERROR with @error set. */
int sqlite_database_step (SqliteDatabase *self, sqlite3_stmt *statement, GError **error);

/* Ends the use of a statement: no locks, no values kept. */
void sqlite_database_reset (sqlite3_stmt *statement);

typedef sqlite3_stmt SqliteUse;
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SqliteUse, sqlite_database_reset)

/* Runs an interned statement that answers nothing. */
gboolean sqlite_database_run (SqliteDatabase *self, const char *sql, GError **error);

/* How many rows the last statement changed. */
int sqlite_database_count_changes (SqliteDatabase *self);

/* Records that have ended, and the time from which those with a ttl have outlived it. The index is used only
 * where a statement has these very conditions. */
#define SQLITE_CAN_EXPIRE "\"status\" >= 2 AND \"ttl\" >= 0"
#define SQLITE_EXPIRY "\"completed\" + \"ttl\""

/* All records but completed calls, which are most of them and the last that anybody looks for. As above. */
#define SQLITE_IS_NOTED "(\"kind\" <> 'call' OR \"status\" <> 2)"
