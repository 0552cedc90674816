/* test-conformance-stores.c — the shipped stores keep what stores promise, with other settings, too; and so
 * do the one that is written as a third party would and stores that have only the four required methods.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include <strand-conformance.h>

#include <string.h>

#include "../core/plain-store.h"
#include "../fixtures/stores/plain-files-store.h"

static const struct
{
  const char *name;
  const char *settings; /* as in a keyfile; %s is the case's folder */
} stores[] = {
  { "memory", "type=memory\n" },
  { "temporary", "type=temporary\npath=%s/above\n" },
  { "filesystem", "type=filesystem\npath=%s/records\n" },
  { "filesystem-full", "type=filesystem\npath=%s/records\nsync=full\n" },
  { "sqlite", "type=sqlite\npath=%s/records.db\n" },
  { "sqlite-full", "type=sqlite\npath=%s/records.db\nsync=full\n" },
  { "lmdb", "type=lmdb\npath=%s/records\n" },
  { "lmdb-unsynced", "type=lmdb\npath=%s/records\nsync=false\n" },
};

static gpointer
make_shipped (StrandConformance *self, gpointer number, GError **error)
{
  const char *settings = stores[GPOINTER_TO_UINT (number)].settings;
  g_auto(GStrv) parts = g_strsplit (settings, "%s", -1);
  g_autofree char *filled = g_strjoinv (strand_conformance_get_directory (self), parts);
  g_autofree char *data = g_strconcat ("[store subject]\n", filled, NULL);
  g_autoptr(StrandStack) stack = strand_stack_new_from_data (data, -1, "test", error);

  return stack != NULL ? strand_stack_ref_object (stack, STRAND_KIND_STORE, "subject", error) : NULL;
}

static gpointer
make_plain (StrandConformance *self, gpointer unused, GError **error)
{
  return plain_store_new ();
}

static gpointer
make_plain_files (StrandConformance *self, gpointer unused, GError **error)
{
  g_autofree char *path = strand_conformance_build_path (self, "records");

  return g_object_new (PLAIN_FILES_TYPE_STORE, "path", path, NULL);
}

int
main (int argc, char **argv)
{
  g_autofree char *examples = NULL;

  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  examples = g_test_build_filename (G_TEST_BUILT, "..", "sdk", "examples", NULL);
  strand_plugins_add_path (strand_plugins_get_default (), examples);
  strand_conformance_set_quick (!g_test_thorough ());
  for (guint i = 0; i < G_N_ELEMENTS (stores); i++)
    {
      g_autofree char *path = g_strconcat ("/conformance/", stores[i].name, NULL);
      g_autofree char *type = g_strndup (stores[i].name, strcspn (stores[i].name, "-"));

      /* The others are built where their library is. */
      if (strand_plugins_has (strand_plugins_get_default (), STRAND_KIND_STORE, type, NULL))
        strand_conformance_add_store (path, make_shipped, GUINT_TO_POINTER (i), NULL);
    }
  strand_conformance_add_store ("/conformance/plain", make_plain, NULL, NULL);
  strand_conformance_add_store ("/conformance/plain-files", make_plain_files, NULL, NULL);
  return g_test_run ();
}
