/* bench-start.c — what two hundred installed plugins cost a program that uses three.
 *
 * The folder holds the three real ones and copies of a fixture under other class names. A child process finds
 * and makes its three objects; the peer is the same child without a plugin folder, which makes none. All run
 * in turns, from spawn to exit. Plugins are looked for first where they bear their types' names; in the last
 * folder one does not, so every file there has to be looked into. SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <gio/gio.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <strand.h>
#include <string.h>

#include "bench.h"

#define N_PLUGINS 200
#define N_ROUNDS 101

/* In the fixture's class names and in its type's name; the digits are written over. */
#define MARK "Fixture0000"

static const struct
{
  StrandKind kind;
  const char *folder;
  const char *type;
  const char *file;
} used[] = {
  { STRAND_KIND_TASKRUNNER, "taskrunners", "thread", "thread-taskrunner.so" },
  { STRAND_KIND_STORE, "stores", "memory", "memory-store.so" },
  { STRAND_KIND_SERIALIZER, "serializers", "json", "json-serializer.so" },
};

/* The child: makes what it was told to use. */
static int
use (gboolean plugins)
{
  for (guint i = 0; plugins && i < G_N_ELEMENTS (used); i++)
    {
      g_autoptr(GError) error = NULL;
      GType type = strand_plugins_load (strand_plugins_get_default (), used[i].kind, used[i].type, &error);
      g_autoptr(GObject) object = NULL;

      g_assert_no_error (error);
      object = g_object_new (type, NULL);
    }
  return 0;
}

static void
write_file (const char *folder, const char *name, const char *data, gsize size)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *path = g_build_filename (folder, name, NULL);

  g_file_set_contents (path, data, size, &error);
  g_assert_no_error (error);
}

/* @last: under which name the last one is installed; NULL for its own */
static void
install_used (const char *folder, const char *last)
{
  for (guint i = 0; i < G_N_ELEMENTS (used); i++)
    {
      g_autofree char *path = g_build_filename (g_getenv ("G_TEST_BUILDDIR"), "..", "plugins", used[i].folder,
                                                used[i].file, NULL);
      g_autoptr(GError) error = NULL;
      g_autofree char *data = NULL;
      gsize size;

      g_file_get_contents (path, &data, &size, &error);
      g_assert_no_error (error);
      write_file (folder, last != NULL && i == G_N_ELEMENTS (used) - 1 ? last : used[i].file, data, size);
    }
}

static void
install_copies (const char *folder, guint n)
{
  g_autofree char *path =
      g_build_filename (g_getenv ("G_TEST_BUILDDIR"), "fixtures", "plugins", "good.so", NULL);
  g_autoptr(GError) error = NULL;
  g_autofree char *data = NULL;
  gsize size;

  g_file_get_contents (path, &data, &size, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < n; i++)
    {
      g_autofree char *name = g_strdup_printf ("copy-%03u.so", i);
      g_autofree char *mark = g_strdup_printf ("Fixture%04u", i + 1);
      g_autofree char *copy = g_memdup2 (data, size);

      for (char *found = copy; (found = memmem (found, copy + size - found, MARK, strlen (MARK))) != NULL;)
        memcpy (found, mark, strlen (mark));
      write_file (folder, name, copy, size);
    }
}

/* Milliseconds from spawn to exit. */
static double
measure (const char *program, const char *mode, const char *plugin_path)
{
  g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_NONE);
  g_autoptr(GError) error = NULL;
  g_autoptr(GSubprocess) child = NULL;
  double start;

  g_subprocess_launcher_setenv (launcher, "STRAND_PLUGIN_PATH", plugin_path, TRUE);
  start = bench_seconds ();
  child = g_subprocess_launcher_spawn (launcher, &error, program, mode, NULL);
  g_assert_no_error (error);
  g_subprocess_wait_check (child, NULL, &error);
  g_assert_no_error (error);
  return (bench_seconds () - start) * 1e3;
}

static void
remove_folder (const char *folder)
{
  g_autoptr(GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (folder, name, NULL);

      g_remove (path);
    }
  g_rmdir (folder);
}

static char *
new_folder (guint n_copies, const char *last)
{
  g_autoptr(GError) error = NULL;
  char *folder = g_dir_make_tmp ("strand-bench-XXXXXX", &error);

  g_assert_no_error (error);
  install_used (folder, last);
  install_copies (folder, n_copies);
  return folder;
}

/* The time, and how much more it is than the peer's. */
static void
report (const char *name, double *own, double *peer)
{
  g_autofree char *extra_name = g_strconcat (name, ": extra", NULL);
  double own_ms = bench_median (own, N_ROUNDS), peer_ms = bench_median (peer, N_ROUNDS);

  bench_report (name, own_ms, "ms", peer_ms, "no plugins");
  bench_report (extra_name, own_ms - peer_ms, "ms", 0, NULL);
}

int
main (int argc, char **argv)
{
  double nothing[N_ROUNDS], few[N_ROUNDS], many[N_ROUNDS], hidden[N_ROUNDS];
  g_autofree char *few_folder = NULL;
  g_autofree char *many_folder = NULL;
  g_autofree char *hidden_folder = NULL;

  if (argc == 2)
    return use (strcmp (argv[1], "plugins") == 0);

  if (g_getenv ("G_TEST_BUILDDIR") == NULL)
    g_error ("run me with 'meson test --benchmark', which says where the plugins are");
  few_folder = new_folder (0, NULL);
  many_folder = new_folder (N_PLUGINS - G_N_ELEMENTS (used), NULL);
  hidden_folder = new_folder (N_PLUGINS - G_N_ELEMENTS (used), "zz.so");
  for (guint i = 0; i < N_ROUNDS; i++)
    {
      nothing[i] = measure (argv[0], "nothing", "");
      few[i] = measure (argv[0], "plugins", few_folder);
      many[i] = measure (argv[0], "plugins", many_folder);
      hidden[i] = measure (argv[0], "plugins", hidden_folder);
    }
  report ("start: 3 plugins installed, 3 used", few, nothing);
  report ("start: 200 plugins installed, 3 used", many, nothing);
  report ("start: 200 plugins installed, 3 used, one under another name", hidden, nothing);

  remove_folder (few_folder);
  remove_folder (many_folder);
  remove_folder (hidden_folder);
  return 0;
}
