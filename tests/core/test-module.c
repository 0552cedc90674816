/* test-module.c — what libltdl would do to us, and does not.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "plugin-world.h"

#include "strand-error.h"
#include "strand-module-private.h"

#include <dlfcn.h>
#include <locale.h>
#include <ltdl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static StrandFileIdentity
identify (const char *path)
{
  StrandFileIdentity identity;
  struct stat st;

  g_assert_cmpint (lstat (path, &st), ==, 0);
  strand_file_identity_init (&identity, &st);
  return identity;
}

/* The file that lies there now ends the process when it is loaded. */
static void
test_file_swapped_between_check_and_load (World *world, gconstpointer unused)
{
  g_autofree char *path = world_install (world, "plugins/good", "x.so");
  g_autofree char *other = world_install (world, "plugins/aborts", "other.so");
  StrandFileIdentity checked = identify (path);
  g_autoptr(GError) error = NULL;

  g_assert_cmpint (rename (other, path), ==, 0);
  g_assert_null (strand_module_open (path, &checked, &error));
  assert_refused (&error, STRAND_PLUGIN_ERROR_CHANGED,
                  "replaced or changed between being checked and being loaded", "start the program again",
                  NULL);
}

static void
test_file_changed_in_place (World *world, gconstpointer unused)
{
  g_autofree char *path = world_install (world, "plugins/good", "x.so");
  StrandFileIdentity checked = identify (path);
  g_autoptr(GError) error = NULL;

  checked.ctime_ns--; /* as it was a nanosecond before */
  g_assert_null (strand_module_open (path, &checked, &error));
  assert_refused (&error, STRAND_PLUGIN_ERROR_CHANGED, NULL);
}

static void
test_file_removed_between_check_and_load (World *world, gconstpointer unused)
{
  g_autofree char *path = world_install (world, "plugins/good", "x.so");
  StrandFileIdentity checked = identify (path);
  g_autoptr(GError) error = NULL;

  g_assert_cmpint (unlink (path), ==, 0);
  g_assert_null (strand_module_open (path, &checked, &error));
  assert_refused (&error, STRAND_PLUGIN_ERROR_CHANGED, NULL);
}

static void
test_file_swapped_while_it_is_loaded (World *world, gconstpointer unused)
{
  g_autofree char *path = world_install (world, "plugins/replaces-itself", "x.so");
  StrandFileIdentity checked = identify (path);
  g_autoptr(GError) error = NULL;

  g_assert_null (strand_module_open (path, &checked, &error));
  assert_refused (&error, STRAND_PLUGIN_ERROR_CHANGED, "replaced or changed", NULL);
}

static void
test_symbols_are_local_and_found (World *world, gconstpointer unused)
{
  g_autofree char *path = world_install (world, "plugins/good", "x.so");
  StrandFileIdentity checked = identify (path);
  g_autoptr(GError) error = NULL;
  StrandModule *module = strand_module_open (path, &checked, &error);

  g_assert_no_error (error);
  g_assert_nonnull (strand_module_symbol (module, "strand_plugin_types"));
  g_assert_null (strand_module_symbol (module, "strand_plugin_typos"));
  g_assert_null (dlsym (RTLD_DEFAULT, "strand_plugin_types"));
}

/* Bound lazily, as libltdl's own loader would, it loads, runs its constructor and ends this process. */
static void
test_undefined_symbol_is_found_at_once (World *world, gconstpointer unused)
{
  g_autofree char *path = world_install (world, "plugins/undefined-symbol", "x.so");
  StrandFileIdentity checked = identify (path);
  g_autoptr(GError) error = NULL;

  for (int i = 0; i < 2; i++)
    {
      g_assert_null (strand_module_open (path, &checked, &error));
      assert_refused (&error, STRAND_PLUGIN_ERROR_UNDEFINED_SYMBOL, "strand_fixture_nowhere", NULL);
    }
}

/* The linker's words are translated; the reasons are told apart all the same. */
static void
test_locale_does_not_matter (World *world, gconstpointer unused)
{
  g_autofree char *path = world_install (world, "plugins/missing-dependency", "x.so");
  StrandFileIdentity checked = identify (path);
  g_autoptr(GError) error = NULL;

  g_setenv ("LANGUAGE", "de:fr", TRUE);
  if (setlocale (LC_ALL, "de_DE.UTF-8") == NULL)
    setlocale (LC_ALL, "C.UTF-8");
  g_assert_null (strand_module_open (path, &checked, &error));
  assert_refused (&error, STRAND_PLUGIN_ERROR_MISSING_DEPENDENCY, "libvanished.so.9", "No such file", NULL);
  setlocale (LC_ALL, "C");
  g_unsetenv ("LANGUAGE");
}

static void
test_other_refusals_keep_the_linkers_words (World *world, gconstpointer unused)
{
  g_autofree char *path = world_write (world, "x.so", "short", 5);
  StrandFileIdentity checked = identify (path);
  g_autoptr(GError) error = NULL;

  g_assert_null (strand_module_open (path, &checked, &error));
  assert_refused (&error, STRAND_PLUGIN_ERROR_LOAD, path, "file too short", "build or install it again",
                  NULL);
}

/* A program may use libltdl for itself; our loader leaves its modules to the stock one. */
static void
test_the_programs_own_libltdl_works_on (World *world, gconstpointer unused)
{
  g_autofree char *ours = world_install (world, "plugins/good", "ours.so");
  g_autofree char *theirs = world_install (world, "plugins/sixteen", "theirs.so");
  StrandFileIdentity checked = identify (ours);
  g_autoptr(GError) error = NULL;
  lt_dlhandle handle;

  g_assert_nonnull (strand_module_open (ours, &checked, &error));
  g_assert_cmpint (lt_dlinit (), ==, 0);
  handle = lt_dlopen (theirs);
  g_assert_nonnull (handle);
  g_assert_nonnull (lt_dlsym (handle, "strand_plugin_types"));
  g_assert_null (lt_dlopen ("/nowhere/at/all.so"));
  g_assert_cmpint (lt_dlexit (), ==, 0);
  g_assert_nonnull (strand_module_open (ours, &checked, &error));
  g_assert_no_error (error);
}

#define ADD(path, func) g_test_add ("/module/" path, World, NULL, world_set_up, func, world_tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);

  ADD ("swapped-between-check-and-load", test_file_swapped_between_check_and_load);
  ADD ("swapped-while-it-is-loaded", test_file_swapped_while_it_is_loaded);
  ADD ("changed-in-place", test_file_changed_in_place);
  ADD ("removed-between-check-and-load", test_file_removed_between_check_and_load);
  ADD ("symbols-are-local-and-found", test_symbols_are_local_and_found);
  ADD ("undefined-symbol-is-found-at-once", test_undefined_symbol_is_found_at_once);
  ADD ("locale-does-not-matter", test_locale_does_not_matter);
  ADD ("other-refusals-keep-the-linkers-words", test_other_refusals_keep_the_linkers_words);
  ADD ("the-programs-own-libltdl-works-on", test_the_programs_own_libltdl_works_on);

  return g_test_run ();
}
