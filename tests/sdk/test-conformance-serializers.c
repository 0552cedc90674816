/* test-conformance-serializers.c — the shipped serializers keep what serializers promise, and so does the one
 * that is written as a third party would. SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include <strand-conformance.h>

static gpointer
make (StrandConformance *self, gpointer type, GError **error)
{
  GType gtype = strand_plugins_load (strand_plugins_get_default (), STRAND_KIND_SERIALIZER, type, error);

  return gtype != 0 ? g_object_new (gtype, NULL) : NULL;
}

int
main (int argc, char **argv)
{
  static const char *const types[] = { "json", "gvariant", "cbor" };
  g_autofree char *examples = NULL;

  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  examples = g_test_build_filename (G_TEST_BUILT, "..", "sdk", "examples", NULL);
  strand_plugins_add_path (strand_plugins_get_default (), examples);
  strand_conformance_set_quick (!g_test_thorough ());
  for (gsize i = 0; i < G_N_ELEMENTS (types); i++)
    {
      g_autofree char *path = g_strconcat ("/conformance/", types[i], NULL);

      /* The example is built where its library is. */
      if (strand_plugins_has (strand_plugins_get_default (), STRAND_KIND_SERIALIZER, types[i], NULL))
        strand_conformance_add_serializer (path, make, (gpointer) types[i], NULL);
    }
  return g_test_run ();
}
