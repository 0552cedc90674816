/* test-conformance-backends.c — the shipped backends keep what backends promise, over several taskrunners and
 * stores. SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include <strand-conformance.h>

#include <string.h>

#define READER(runner)                                                                                       \
  "[reader hands]\nstore=records\ntaskrunner=" runner "\njobs=4\nretry-delay=1ms\n"                          \
  "[backend subject]\ntype=store\nstore=records\nread-store=hands\n"

static const struct
{
  const char *name;
  const char *settings; /* as in a keyfile; %s is the case's folder */
  const char *lacks;    /* what it is said to lack; NULL for nothing */
  const char *reason;
} backends[] = {
  { "local", "[backend subject]\ntype=local\ntaskrunner=thread\nstore=memory\nretry-delay=1ms\n" },
  { "local-filesystem",
    "[store records]\ntype=filesystem\npath=%s/records\n"
    "[backend subject]\ntype=local\ntaskrunner=thread\nstore=records\nretry-delay=1ms\n" },
  { "local-process", "[backend subject]\ntype=local\ntaskrunner=process\nstore=memory\nretry-delay=1ms\n" },
  { "local-coroutine",
    "[backend subject]\ntype=local\ntaskrunner=coroutine\nstore=memory\nretry-delay=1ms\n" },
  { "store", "[store records]\ntype=memory\n" READER ("thread") },
  { "store-filesystem", "[store records]\ntype=filesystem\npath=%s/records\n" READER ("thread") },
  { "store-alone", "[backend subject]\ntype=store\nstore=memory\n", "runs", "nobody reads its store" },
};

static gpointer
make (StrandConformance *self, gpointer number, GError **error)
{
  const char *settings = backends[GPOINTER_TO_UINT (number)].settings;
  g_auto(GStrv) parts = g_strsplit (settings, "%s", -1);
  g_autofree char *data = g_strjoinv (strand_conformance_get_directory (self), parts);
  g_autoptr(StrandStack) stack = strand_stack_new_from_data (data, -1, "test", error);

  return stack != NULL ? strand_stack_ref_object (stack, STRAND_KIND_BACKEND, "subject", error) : NULL;
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  strand_conformance_set_quick (!g_test_thorough ());
  for (guint i = 0; i < G_N_ELEMENTS (backends); i++)
    {
      g_autofree char *path = g_strconcat ("/conformance/", backends[i].name, NULL);
      StrandConformanceSubject *subject =
          strand_conformance_add_backend (path, make, GUINT_TO_POINTER (i), NULL);

      if (backends[i].lacks != NULL)
        strand_conformance_subject_lacks (subject, backends[i].lacks, backends[i].reason);
    }
  return g_test_run ();
}
