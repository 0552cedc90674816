/* plugin-world.c — see plugin-world.h.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "plugin-world.h"

#include <strand-plugin.h>

#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* All fixture classes have this in their names; the digits are written over. */
#define MARK "Fixture0000"

void
world_set_up (World *world, gconstpointer unused)
{
  g_autoptr(GError) error = NULL;

  /* A test that runs itself again, perhaps to die, leaves the cleaning to the first one. */
  if (g_test_subprocess ())
    {
      world->folder = g_strdup (g_getenv ("STRAND_TEST_WORLD"));
      return;
    }
  world->folder = g_dir_make_tmp ("strand-plugins-XXXXXX", &error);
  g_assert_no_error (error);
  g_setenv ("STRAND_TEST_WORLD", world->folder, TRUE);
}

static int
remove_one (const char *path, const struct stat *st, int type, struct FTW *ftw)
{
  return remove (path);
}

void
world_tear_down (World *world, gconstpointer unused)
{
  if (!g_test_subprocess ())
    g_assert_cmpint (nftw (world->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS), ==, 0);
  g_free (world->folder);
}

char *
world_write (World *world, const char *name, const void *data, gsize size)
{
  g_autoptr(GError) error = NULL;
  char *path = g_build_filename (world->folder, name, NULL);
  g_autofree char *parent = g_path_get_dirname (path);

  g_assert_cmpint (g_mkdir_with_parents (parent, 0755), ==, 0);
  g_file_set_contents_full (path, data, (gssize) size, G_FILE_SET_CONTENTS_NONE, 0644, &error);
  g_assert_no_error (error);
  g_assert_cmpint (chmod (path, 0644), ==, 0);
  return path;
}

GBytes *
world_read_fixture (const char *fixture)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *file = g_strconcat (fixture, ".so", NULL);
  g_autofree char *path = g_test_build_filename (G_TEST_BUILT, "fixtures", file, NULL);
  char *data;
  gsize size;

  g_file_get_contents (path, &data, &size, &error);
  g_assert_no_error (error);
  return g_bytes_new_take (data, size);
}

char *
world_install_as (World *world, const char *fixture, const char *name, guint number)
{
  g_autoptr(GBytes) original = world_read_fixture (fixture);
  g_autofree char *mark = g_strdup_printf ("Fixture%04u", number);
  gsize size;
  char *data = g_bytes_unref_to_data (g_steal_pointer (&original), &size);
  char *path, *found = data;

  while ((found = memmem (found, size - (gsize) (found - data), MARK, strlen (MARK))) != NULL)
    memcpy (found, mark, strlen (MARK));
  path = world_write (world, name, data, size);
  g_free (data);
  world->number = number;
  return path;
}

char *
world_install (World *world, const char *fixture, const char *name)
{
  static guint last;

  return world_install_as (world, fixture, name, ++last);
}

void
assert_refused (GError **error, int code, ...)
{
  const char *text;
  va_list texts;

  g_assert_error (*error, STRAND_PLUGIN_ERROR, code);
  va_start (texts, code);
  while ((text = va_arg (texts, const char *)) != NULL)
    if (strstr ((*error)->message, text) == NULL)
      g_error ("the message lacks “%s”: %s", text, (*error)->message);
  va_end (texts);
  g_assert_true (g_utf8_validate ((*error)->message, -1, NULL));
  g_test_message ("%s", (*error)->message);
  g_clear_error (error);
}
