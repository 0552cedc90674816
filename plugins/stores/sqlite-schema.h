/* sqlite-schema.h — what is in a database of records, and how an older one is brought up.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sqlite-database.h"

/* Whether there is something to read, and whether it can be as it is. Refuses what is another program's, and
 * what a newer strand has made. */
gboolean sqlite_schema_look (SqliteDatabase *database, gboolean *is_empty, gboolean *ready, GError **error);

/* Makes or brings up what is there. */
gboolean sqlite_schema_upgrade (SqliteDatabase *database, GError **error);
