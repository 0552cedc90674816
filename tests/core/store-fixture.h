/* store-fixture.h — the stores that one suite of cases runs over, whatever they are.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-plugin.h"

G_BEGIN_DECLS

/* The types of all stores that were built and can run here, up to a NULL. Where the machine has no server for
 * one, a case "@path/TYPE" takes the place of its cases, and is skipped. After g_test_init(). */
const char *const *fixture_store_types (const char *path);

/* A store of a type, in a folder. Another process that names the same folder gets the same store. */
StrandStore *fixture_open_store (const char *type, const char *folder);

/* g_test_run(), and the end of whatever the stores needed. */
int fixture_run_tests (void);

/* One case for each of the types that a list holds, as "@path/TYPE/name". */
#define fixture_add_for_stores(types, path, name, Fixture, set_up, run, tear_down)                           \
  G_STMT_START                                                                                               \
  {                                                                                                          \
    for (guint i_type = 0; (types)[i_type] != NULL; i_type++)                                                \
      {                                                                                                      \
        g_autofree char *case_path = g_strconcat (path "/", (types)[i_type], "/" name, NULL);                \
        g_test_add (case_path, Fixture, (types)[i_type], set_up, run, tear_down);                            \
      }                                                                                                      \
  }                                                                                                          \
  G_STMT_END

G_END_DECLS
