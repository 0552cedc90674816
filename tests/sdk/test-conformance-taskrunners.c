/* test-conformance-taskrunners.c — the shipped taskrunners keep what taskrunners promise.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include <strand-conformance.h>

static gpointer
make (StrandConformance *self, gpointer type, GError **error)
{
  GType gtype = strand_plugins_load (strand_plugins_get_default (), STRAND_KIND_TASKRUNNER, type, error);

  return gtype != 0 ? g_object_new (gtype, NULL) : NULL;
}

int
main (int argc, char **argv)
{
  static const char *const types[] = { "sync", "thread", "process", "coroutine" };

  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (types); i++)
    {
      g_autofree char *path = g_strconcat ("/conformance/", types[i], NULL);

      strand_conformance_add_taskrunner (path, make, (gpointer) types[i], NULL);
    }
  return g_test_run ();
}
