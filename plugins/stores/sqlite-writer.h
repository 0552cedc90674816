/* sqlite-writer.h — the one connection of a store that writes, and the queue before it.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sqlite-database.h"

typedef struct _SqliteWriter SqliteWriter;

/* One thread's write. @database is NULL where there is none and none is to be made. Runs in a transaction, on
 * any thread that writes, and again from the start if the transaction was lost; FALSE with an error undoes
 * nothing that it has done before. */
typedef gboolean (*SqliteJob) (SqliteDatabase *database, gpointer data, GError **error);

/* The strings of @settings must outlive the writer. */
SqliteWriter *sqlite_writer_new (const SqliteSettings *settings);

/* No job may be under way. */
void sqlite_writer_free (SqliteWriter *self);

/* Lets go of the connection until the next job. No job may be under way. */
void sqlite_writer_disconnect (SqliteWriter *self);

/* Runs a job and makes it last. @creates: makes the database if need be. */
gboolean sqlite_writer_run (SqliteWriter *self, gboolean creates, SqliteJob job, gpointer data,
                            GError **error);
