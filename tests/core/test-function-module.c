/* test-function-module.c — how a registry finds, trusts and takes in a function module.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "plugin-world.h"

#include <strand-plugin.h>

#include <elf.h>
#include <link.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void
assert_has_twice (StrandRegistry *registry)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandFunction) function = strand_registry_lookup (registry, "fixture.twice", &error);

  g_assert_no_error (error);
  g_assert_nonnull (function);
}

static void
assert_fails (const char *name_or_path, int code, const char *cause, const char *cure)
{
  g_autoptr(StrandRegistry) registry = strand_registry_new ();
  g_autoptr(GError) error = NULL;

  for (int i = 0; i < 2; i++) /* the second try says the same */
    {
      g_assert_false (strand_registry_load_module (registry, name_or_path, &error));
      assert_refused (&error, code, "Could not load module '", name_or_path, cause, cure, NULL);
    }
}

static void
test_path_is_loaded_once (World *world, gconstpointer unused)
{
  g_autofree char *path = world_install (world, "modules/good-module", "good.so");
  g_autofree char *link = g_build_filename (world->folder, "link.so", NULL);
  g_autoptr(StrandRegistry) registry = strand_registry_new ();
  g_autoptr(StrandRegistry) other = strand_registry_new ();
  g_autoptr(GError) error = NULL;

  g_assert_cmpint (symlink ("good.so", link), ==, 0);
  g_assert_true (strand_registry_load_module (registry, path, &error));
  g_assert_no_error (error);
  assert_has_twice (registry);
  g_assert_true (strand_registry_load_module (registry, path, &error));
  g_assert_true (strand_registry_load_module (registry, link, &error));
  g_assert_no_error (error);
  g_assert_true (strand_registry_load_module (other, path, &error));
  g_assert_no_error (error);
  assert_has_twice (other);
}

static void
test_relative_path_starts_here (World *world, gconstpointer unused)
{
  g_autofree char *path = world_install (world, "modules/good-module", "good.so");
  g_autofree char *before = g_get_current_dir ();
  g_autoptr(StrandRegistry) registry = strand_registry_new ();
  g_autoptr(GError) error = NULL;

  g_assert_cmpint (chdir (world->folder), ==, 0);
  g_assert_true (strand_registry_load_module (registry, "./good.so", &error));
  g_assert_no_error (error);

  /* A bare name is no path, not even to a file that lies here. */
  g_assert_false (strand_registry_load_module (registry, "good.so", &error));
  g_assert_error (error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_NOT_FOUND);
  g_assert_cmpint (chdir (before), ==, 0);
}

static void
test_name_is_looked_for_in_order (World *world, gconstpointer unused)
{
  g_autofree char *data_home = g_build_filename (g_get_user_data_dir (), "strand-1", "modules", NULL);
  g_autofree char *bad = world_install (world, "modules/no-entry", "first/sample.so");
  g_autofree char *good = world_install (world, "modules/good-module", "second/sample.so");
  g_autofree char *first = g_path_get_dirname (bad), *second = g_path_get_dirname (good);
  g_autofree char *both = g_strconcat (first, ":", second, NULL);
  g_autofree char *user_file = g_build_filename (data_home, "sample.so", NULL);
  g_autoptr(StrandRegistry) registry = strand_registry_new ();
  g_autoptr(GError) error = NULL;

  g_setenv ("STRAND_MODULE_PATH", both, TRUE);
  g_assert_false (strand_registry_load_module (registry, "sample", &error));
  assert_refused (&error, STRAND_PLUGIN_ERROR_NO_ENTRY, bad, NULL);
  g_setenv ("STRAND_MODULE_PATH", second, TRUE);
  g_assert_true (strand_registry_load_module (registry, "sample", &error));
  g_assert_no_error (error);
  assert_has_twice (registry);

  g_unsetenv ("STRAND_MODULE_PATH");
  assert_fails ("sample", STRAND_PLUGIN_ERROR_NOT_FOUND, data_home,
                "install it, or write './sample.so' for one in the current folder");
  assert_fails ("sample.so", STRAND_PLUGIN_ERROR_NOT_FOUND, data_home, "or write './sample.so'");
  g_assert_cmpint (g_mkdir_with_parents (data_home, 0755), ==, 0);
  g_assert_cmpint (symlink (good, user_file), ==, 0);
  g_clear_object (&registry);
  registry = strand_registry_new ();
  g_assert_true (strand_registry_load_module (registry, "sample", &error));
  g_assert_no_error (error);
  g_assert_cmpint (unlink (user_file), ==, 0);
}

static void
test_relative_element_is_passed_over (World *world, gconstpointer unused)
{
  g_setenv ("STRAND_MODULE_PATH", "here:", TRUE);
  assert_fails ("sample", STRAND_PLUGIN_ERROR_RELATIVE_PATH, "'here', ''", "not absolute");
  g_unsetenv ("STRAND_MODULE_PATH");
}

static void
test_missing_file (World *world, gconstpointer unused)
{
  g_autofree char *path = g_build_filename (world->folder, "gone.so", NULL);

  assert_fails (path, STRAND_PLUGIN_ERROR_NOT_FOUND, "no such file", "mend the path");
}

static void
test_text_file (World *world, gconstpointer unused)
{
  g_autofree char *path = world_write (world, "text.so", "text", 4);

  assert_fails (path, STRAND_PLUGIN_ERROR_NOT_ELF, "not a shared object", "");
}

static void
test_truncated_file (World *world, gconstpointer unused)
{
  g_autoptr(GBytes) good = world_read_fixture ("modules/good-module");
  g_autofree char *path = world_write (world, "half.so", g_bytes_get_data (good, NULL), 700);

  assert_fails (path, STRAND_PLUGIN_ERROR_TRUNCATED, "the file is 700 bytes long", "build it again");
}

static void
test_other_architecture (World *world, gconstpointer unused)
{
  g_autoptr(GBytes) good = world_read_fixture ("modules/good-module");
  g_autofree char *data = g_memdup2 (g_bytes_get_data (good, NULL), g_bytes_get_size (good));
  g_autofree char *path = NULL;
  const guint16 machine = EM_S390;

  memcpy (data + G_STRUCT_OFFSET (ElfW (Ehdr), e_machine), &machine, sizeof machine);
  path = world_write (world, "foreign.so", data, g_bytes_get_size (good));
  assert_fails (path, STRAND_PLUGIN_ERROR_ARCHITECTURE, "s390, this process is", "built for this machine");
}

static void
test_untrusted_file (World *world, gconstpointer unused)
{
  g_autofree char *path = world_install (world, "modules/good-module", "open.so");

  g_assert_cmpint (chmod (path, 0666), ==, 0);
  assert_fails (path, STRAND_PLUGIN_ERROR_UNTRUSTED_FILE, "mode 0666", "chmod o-w");
}

static void
test_untrusted_parent (World *world, gconstpointer unused)
{
  g_autofree char *path = world_install (world, "modules/good-module", "open/m.so");
  g_autofree char *open = g_path_get_dirname (path);

  g_assert_cmpint (chmod (open, 0777), ==, 0);
  assert_fails (path, STRAND_PLUGIN_ERROR_UNTRUSTED_PARENT, "mode 0777", "chmod o-w");
}

static void
test_no_entry_point (World *world, gconstpointer unused)
{
  g_autofree char *path = world_install (world, "modules/no-entry", "m.so");

  assert_fails (path, STRAND_PLUGIN_ERROR_NO_ENTRY, "does not export strand_module_register()",
                "put STRAND_MODULE_EXPORT before that function");
}

static void
test_entry_point_fails (World *world, gconstpointer unused)
{
  g_autofree char *path = world_install (world, "modules/fails", "m.so");

  assert_fails (path, STRAND_PLUGIN_ERROR_MODULE_FAILED, "the moon is not full", "");
}

static void
assert_has_source (StrandRegistry *registry, const char *name, const char *source)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandFunction) function = strand_registry_lookup (registry, name, &error);

  g_assert_no_error (error);
  g_assert_cmpstr (strand_function_get_help (function), ==, source);
}

static void
test_source_is_handed_over (World *world, gconstpointer unused)
{
  g_autofree char *path = world_install (world, "modules/from-source", "language.so");
  g_autoptr(StrandRegistry) registry = strand_registry_new ();
  g_auto(GStrv) modules = NULL;
  g_autoptr(GError) error = NULL;

  g_setenv ("STRAND_MODULE_PATH", world->folder, TRUE);
  for (int i = 0; i < 2; i++) /* the second time there is nothing left to do */
    {
      g_assert_true (strand_registry_load_module (registry, "language:one", &error));
      g_assert_true (strand_registry_load_module (registry, "language:two:three", &error));
      g_assert_no_error (error);
    }
  g_unsetenv ("STRAND_MODULE_PATH");
  assert_has_source (registry, "fixture.one", "one");
  assert_has_source (registry, "fixture.two.three", "two:three");

  /* Nobody loads it by its path alone. */
  modules = strand_registry_list_modules (registry);
  g_assert_cmpstrv (modules, ((const char *const[]){ NULL }));
}

static void
test_source_file_is_made_real_and_trusted (World *world, gconstpointer unused)
{
  g_autofree char *module = world_install (world, "modules/from-source", "language.so");
  g_autofree char *path = world_write (world, "text", "text", 4);
  g_autofree char *roundabout = g_strconcat ("language:", world->folder, "/./text", NULL);
  g_autofree char *missing = g_strconcat ("language:", world->folder, "/gone", NULL);
  g_autoptr(StrandRegistry) registry = strand_registry_new ();
  g_autoptr(GError) error = NULL;

  g_setenv ("STRAND_MODULE_PATH", world->folder, TRUE);
  g_assert_true (strand_registry_load_module (registry, roundabout, &error));
  g_assert_no_error (error);
  assert_has_source (registry, "fixture.text", path);
  assert_fails (missing, STRAND_PLUGIN_ERROR_NOT_FOUND, "no such file", "mend the path");
  g_assert_cmpint (chmod (path, 0666), ==, 0);
  assert_fails (roundabout, STRAND_PLUGIN_ERROR_UNTRUSTED_FILE, "mode 0666", "chmod o-w");
  g_unsetenv ("STRAND_MODULE_PATH");
}

static void
test_source_that_fails (World *world, gconstpointer unused)
{
  g_autofree char *path = world_install (world, "modules/from-source", "language.so");

  g_setenv ("STRAND_MODULE_PATH", world->folder, TRUE);
  assert_fails ("language:", STRAND_PLUGIN_ERROR_MODULE_FAILED, "there is nothing in nothing", "");
  assert_fails ("language", STRAND_PLUGIN_ERROR_NO_ENTRY, "does not export strand_module_register()", "");
  g_unsetenv ("STRAND_MODULE_PATH");
}

static void
test_module_that_takes_no_source (World *world, gconstpointer unused)
{
  g_autofree char *path = world_install (world, "modules/good-module", "good.so");

  g_setenv ("STRAND_MODULE_PATH", world->folder, TRUE);
  assert_fails ("good:tasks", STRAND_PLUGIN_ERROR_NO_ENTRY, "does not export strand_module_register_from()",
                "name it without ':tasks'");
  g_unsetenv ("STRAND_MODULE_PATH");
}

static void
test_colon_in_a_path_is_part_of_it (World *world, gconstpointer unused)
{
  g_autofree char *path = world_install (world, "modules/good-module", "a:b.so");
  g_autoptr(StrandRegistry) registry = strand_registry_new ();
  g_autoptr(GError) error = NULL;

  g_assert_true (strand_registry_load_module (registry, path, &error));
  g_assert_no_error (error);
  assert_has_twice (registry);
}

#define ADD(path, func)                                                                                      \
  g_test_add ("/function-module/" path, World, NULL, world_set_up, func, world_tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  g_unsetenv ("STRAND_MODULE_PATH");

  ADD ("path-is-loaded-once", test_path_is_loaded_once);
  ADD ("relative-path-starts-here", test_relative_path_starts_here);
  ADD ("name-is-looked-for-in-order", test_name_is_looked_for_in_order);
  ADD ("source/is-handed-over", test_source_is_handed_over);
  ADD ("source/file-is-made-real-and-trusted", test_source_file_is_made_real_and_trusted);
  ADD ("source/fails", test_source_that_fails);
  ADD ("source/module-that-takes-none", test_module_that_takes_no_source);
  ADD ("colon-in-a-path-is-part-of-it", test_colon_in_a_path_is_part_of_it);
  ADD ("bad/relative-element", test_relative_element_is_passed_over);
  ADD ("bad/missing-file", test_missing_file);
  ADD ("bad/text-file", test_text_file);
  ADD ("bad/truncated-file", test_truncated_file);
  ADD ("bad/other-architecture", test_other_architecture);
  ADD ("bad/untrusted-file", test_untrusted_file);
  ADD ("bad/untrusted-parent", test_untrusted_parent);
  ADD ("bad/no-entry-point", test_no_entry_point);
  ADD ("bad/entry-point-fails", test_entry_point_fails);

  return g_test_run ();
}
