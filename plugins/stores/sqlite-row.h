/* sqlite-row.h — a record as a row, and the statements that write one.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sqlite-database.h"

/* What a statement that selects these columns gives, in this order; the record's own id comes after. */
void sqlite_row_append_columns (GString *sql, const char *prefix);
#define SQLITE_ROW_ID STRAND_N_FIELDS

/* A record, or NULL with STRAND_ERROR_CORRUPT, which names the row. */
StrandRecord *sqlite_row_read (SqliteDatabase *database, sqlite3_stmt *row, GError **error);

/* What a person looks for when a row is no record. */
char *sqlite_row_name (SqliteDatabase *database, sqlite3_stmt *row);

/* The string as an interned one; frees it. */
const char *sqlite_row_intern (GString *sql);

StrandRecord *sqlite_row_get (SqliteDatabase *database, const char *key, GError **error);

/* Writes one row where the revision is @expected; FALSE with the error that a put has. */
gboolean sqlite_row_put (SqliteDatabase *database, StrandRecord *record, guint64 expected, GError **error);

/* Removes likewise; @expected 0: whatever is there. */
gboolean sqlite_row_remove (SqliteDatabase *database, const char *key, guint64 expected, GError **error);

/* What there is to do when a row has been removed. FALSE with an error: then the transaction is lost. */
gboolean sqlite_row_forget (SqliteDatabase *database, const char *key, GError **error);

/* The errors of a row that is not there. */
void sqlite_row_set_not_found (GError **error);
void sqlite_row_set_gone (GError **error);
