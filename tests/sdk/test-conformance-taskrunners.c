/* test-conformance-taskrunners.c — the shipped taskrunners keep what taskrunners promise, with other
 * settings, too. SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include <strand-conformance.h>

static const struct
{
  const char *name;
  const char *type;
  const char *property; /* NULL for defaults */
  const char *value;
} runners[] = {
  { "sync", "sync" },
  { "thread", "thread" },
  { "one-thread", "thread", "workers", "1" },
  { "process", "process" },
  { "one-process", "process", "workers", "1" },
  { "coroutine", "coroutine" },
  { "coroutine-in-caller", "coroutine", "context", "caller" },
};

static gpointer
make (StrandConformance *self, gpointer number, GError **error)
{
  guint i = GPOINTER_TO_UINT (number);
  g_autoptr(StrandStack) stack = NULL;
  g_autofree char *data = g_strdup_printf ("[taskrunner subject]\ntype=%s\n%s%s%s\n", runners[i].type,
                                           runners[i].property != NULL ? runners[i].property : "",
                                           runners[i].property != NULL ? "=" : "",
                                           runners[i].property != NULL ? runners[i].value : "");

  stack = strand_stack_new_from_data (data, -1, "test", error);
  return stack != NULL ? strand_stack_ref_object (stack, STRAND_KIND_TASKRUNNER, "subject", error) : NULL;
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (runners); i++)
    {
      g_autofree char *path = g_strconcat ("/conformance/", runners[i].name, NULL);

      strand_conformance_add_taskrunner (path, make, GUINT_TO_POINTER (i), NULL);
    }
  return g_test_run ();
}
