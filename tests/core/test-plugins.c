/* test-plugins.c — which plugin is meant, and each way in which one can be bad.
 *
 * For every way there is a fixture that has just that fault; the test reads the resulting error: its code,
 * and a message with the path, the cause and the cure. Fixtures that must be refused before their code runs
 * end the process when it does.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "plugin-world.h"

#include <strand-plugin.h>

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static StrandPlugins *
host_for (World *world)
{
  const char *folders[] = { world->folder, NULL };

  return strand_plugins_new (folders);
}

static StrandPluginInfo *
info_at (GPtrArray *infos, guint index)
{
  g_assert_cmpuint (infos->len, >, index);
  return g_ptr_array_index (infos, index);
}

/* The one candidate of the folder is shown as refused, with the error that using it gives. */
static void
assert_listed_as_refused (StrandPlugins *host, const char *path, int code)
{
  g_autoptr(GPtrArray) infos = strand_plugins_list (host);
  StrandPluginInfo *info = info_at (infos, infos->len - 1);

  g_assert_cmpstr (info->file, ==, path);
  g_assert_cmpint (info->state, ==, STRAND_PLUGIN_STATE_REFUSED);
  g_assert_error (info->error, STRAND_PLUGIN_ERROR, code);
  g_assert_nonnull (strstr (info->error->message, path));
}

/* --- good ones --- */

static void
test_good_is_listed_with_all_it_says (World *world, gconstpointer unused)
{
  g_autofree char *path = world_install (world, "plugins/good", "good.so");
  g_autoptr(StrandPlugins) host = host_for (world);
  g_autoptr(GPtrArray) infos = strand_plugins_list (host);
  g_autofree char *gtype_name = g_strdup_printf ("StrandFixture%04uStore", world->number);
  StrandPluginInfo *store = info_at (infos, 0), *serializer = info_at (infos, 1);

  g_assert_cmpuint (infos->len, ==, 2);
  g_assert_cmpstr (store->file, ==, path);
  g_assert_true (store->kind_known);
  g_assert_cmpint (store->kind, ==, STRAND_KIND_STORE);
  g_assert_cmpstr (store->type, ==, "good");
  g_assert_cmpstr (store->gtype_name, ==, gtype_name);
  g_assert_cmpstr (store->summary, ==, "Keeps nothing");
  g_assert_cmpstr (store->plugin_name, ==, "good");
  g_assert_cmpstr (store->plugin_version, ==, "1.2");
  g_assert_cmpstr (store->license, ==, "LGPL-2.1-or-later");
  g_assert_cmpint (store->abi_major, ==, STRAND_PLUGIN_ABI_MAJOR);
  g_assert_cmpint (store->abi_minor, ==, STRAND_PLUGIN_ABI_MINOR);
  g_assert_cmpint (store->state, ==, STRAND_PLUGIN_STATE_AVAILABLE);
  g_assert_no_error (store->error);
  g_assert_cmpint (serializer->kind, ==, STRAND_KIND_SERIALIZER);
  g_assert_cmpstr (serializer->type, ==, "plain");
  g_assert_cmpstr (serializer->summary, ==, "Writes nothing, «well»");
  g_assert_cmpuint (g_type_from_name (gtype_name), ==, G_TYPE_INVALID);
}

static void
test_loading_gives_the_type_and_keeps_it (World *world, gconstpointer unused)
{
  g_autofree char *path = world_install (world, "plugins/good", "good.so");
  g_autoptr(StrandPlugins) host = host_for (world);
  g_autoptr(StrandPlugins) other = host_for (world);
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) infos = NULL;
  GType store = strand_plugins_load (host, STRAND_KIND_STORE, "good", &error);
  GType serializer;

  g_assert_no_error (error);
  g_assert_true (g_type_is_a (store, STRAND_TYPE_STORE));
  serializer = strand_plugins_load (host, STRAND_KIND_SERIALIZER, "plain", &error);
  g_assert_no_error (error);
  g_assert_true (g_type_is_a (serializer, STRAND_TYPE_SERIALIZER));
  g_assert_cmpuint (strand_plugins_load (host, STRAND_KIND_STORE, "good", &error), ==, store);
  g_assert_cmpuint (strand_plugins_load (other, STRAND_KIND_STORE, "good", &error), ==, store);
  infos = strand_plugins_list (host);
  g_assert_cmpint (info_at (infos, 0)->state, ==, STRAND_PLUGIN_STATE_LOADED);
  g_assert_cmpint (info_at (infos, 1)->state, ==, STRAND_PLUGIN_STATE_LOADED);
}

static void
test_loaded_type_never_changes_file (World *world, gconstpointer unused)
{
  g_autofree char *path = world_install (world, "plugins/good", "m.so");
  g_autoptr(StrandPlugins) host = host_for (world);
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) infos = NULL;
  g_autofree char *earlier = NULL;
  GType type = strand_plugins_load (host, STRAND_KIND_STORE, "good", &error);

  g_assert_no_error (error);
  earlier = world_install (world, "plugins/good", "a.so");
  g_assert_cmpuint (strand_plugins_load (host, STRAND_KIND_STORE, "good", &error), ==, type);
  infos = strand_plugins_list (host);
  g_assert_cmpstr (info_at (infos, 0)->file, ==, earlier);
  g_assert_cmpint (info_at (infos, 0)->state, ==, STRAND_PLUGIN_STATE_SHADOWED);
  g_assert_cmpstr (info_at (infos, 0)->shadowed_by, ==, path);

  /* Nor when the file itself is replaced. */
  g_free (world_install (world, "plugins/good", "m.so"));
  g_assert_cmpuint (strand_plugins_load (host, STRAND_KIND_STORE, "good", &error), ==, type);
}

static void
test_sixteen_types_fit_into_one_plugin (World *world, gconstpointer unused)
{
  g_autofree char *path = world_install (world, "plugins/sixteen", "sixteen.so");
  g_autoptr(StrandPlugins) host = host_for (world);
  g_autoptr(GError) error = NULL;
  g_auto(GStrv) types = strand_plugins_list_types (host, STRAND_KIND_STORE);

  g_assert_cmpuint (g_strv_length (types), ==, 16);
  g_assert_cmpstr (types[0], ==, "many-1");
  g_assert_cmpstr (types[1], ==, "many-10");
  g_assert_true (
      g_type_is_a (strand_plugins_load (host, STRAND_KIND_STORE, "many-16", &error), STRAND_TYPE_STORE));
  g_assert_no_error (error);
}

static void
test_plugin_survives_strip (World *world, gconstpointer unused)
{
  g_autofree char *path = world_install (world, "plugins/good", "good.so");
  g_autofree char *strip = g_find_program_in_path ("strip");
  g_autoptr(StrandPlugins) host = host_for (world);
  g_autoptr(GError) error = NULL;
  const char *argv[] = { strip, "--strip-all", path, NULL };
  int status;

  if (strip == NULL)
    {
      g_test_skip ("there is no strip");
      return;
    }
  g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, NULL, NULL, &status, &error);
  g_assert_no_error (error);
  g_assert_cmpint (status, ==, 0);
  g_assert_true (strand_plugins_has (host, STRAND_KIND_SERIALIZER, "plain", &error));
  g_assert_cmpuint (strand_plugins_load (host, STRAND_KIND_STORE, "good", &error), !=, G_TYPE_INVALID);
  g_assert_no_error (error);
}

/* --- finding --- */

static void
test_unknown_type_names_those_there_are (World *world, gconstpointer unused)
{
  g_autofree char *path = world_install (world, "plugins/good", "good.so");
  g_autofree char *text = world_write (world, "text.so", "hello", 5);
  g_autoptr(StrandPlugins) host = host_for (world);
  g_autoptr(GError) error = NULL;

  g_assert_cmpuint (strand_plugins_load (host, STRAND_KIND_STORE, "goof", &error), ==, G_TYPE_INVALID);
  assert_refused (&error, STRAND_PLUGIN_ERROR_NOT_FOUND, "no store 'goof'", "there is 'good'",
                  "did you mean 'good'?", "1 file could not be read", NULL);
  g_assert_false (strand_plugins_has (host, STRAND_KIND_BACKEND, "good", &error));
  assert_refused (&error, STRAND_PLUGIN_ERROR_NOT_FOUND, "no backend 'good'", "STRAND_PLUGIN_PATH", NULL);
}

static void
test_unreadable_namesake_is_the_reason (World *world, gconstpointer unused)
{
  g_autofree char *path = world_write (world, "good-store.so", "hello", 5);
  g_autoptr(StrandPlugins) host = host_for (world);
  g_autoptr(GError) error = NULL;

  g_assert_cmpuint (strand_plugins_load (host, STRAND_KIND_STORE, "good", &error), ==, G_TYPE_INVALID);
  assert_refused (&error, STRAND_PLUGIN_ERROR_NOT_ELF, path, "not a shared object", NULL);
}

static void
test_first_folder_wins_and_shows_what_it_shadows (World *world, gconstpointer unused)
{
  g_autofree char *second = world_install (world, "plugins/good", "b/good.so");
  g_autofree char *first = world_install (world, "plugins/good", "a/zzz.so");
  g_autofree char *a = g_path_get_dirname (first), *b = g_path_get_dirname (second);
  const char *folders[] = { a, b, NULL };
  g_autoptr(StrandPlugins) host = strand_plugins_new (folders);
  g_autoptr(GPtrArray) infos = strand_plugins_list (host);
  g_autofree char *gtype_name = g_strdup_printf ("StrandFixture%04uStore", world->number);
  g_autoptr(GError) error = NULL;
  StrandPluginInfo *shadowed = info_at (infos, 2);

  g_assert_cmpuint (infos->len, ==, 4);
  g_assert_cmpstr (info_at (infos, 0)->file, ==, first);
  g_assert_cmpint (info_at (infos, 0)->state, ==, STRAND_PLUGIN_STATE_AVAILABLE);
  g_assert_cmpstr (shadowed->file, ==, second);
  g_assert_cmpint (shadowed->state, ==, STRAND_PLUGIN_STATE_SHADOWED);
  g_assert_cmpstr (shadowed->shadowed_by, ==, first);
  error = g_error_copy (shadowed->error);
  assert_refused (&error, STRAND_PLUGIN_ERROR_SHADOWED, second, first, "take that off the search path", NULL);
  g_assert_cmpstr (g_type_name (strand_plugins_load (host, STRAND_KIND_STORE, "good", &error)), ==,
                   gtype_name);
}

/* The file that bears a type's name stands before its neighbours, whatever the alphabet says, but only if it
 * has that type. */
static void
test_namesake_comes_first_in_its_folder (World *world, gconstpointer unused)
{
  g_autofree char *early = world_install (world, "plugins/good", "aaa.so");
  g_autofree char *liar = world_install (world, "plugins/sixteen", "plain-serializer.so");
  g_autofree char *namesake = world_install (world, "plugins/good", "good-store.so");
  g_autofree char *gtype_name = g_strdup_printf ("StrandFixture%04uStore", world->number);
  g_autoptr(StrandPlugins) host = host_for (world);
  g_autoptr(GPtrArray) infos = strand_plugins_list (host);
  g_autoptr(GError) error = NULL;

  g_assert_cmpstr (info_at (infos, 0)->type, ==, "good");
  g_assert_cmpstr (info_at (infos, 0)->shadowed_by, ==, namesake);
  g_assert_cmpstr (info_at (infos, 1)->type, ==, "plain");
  g_assert_cmpint (info_at (infos, 1)->state, ==, STRAND_PLUGIN_STATE_AVAILABLE);
  g_assert_cmpstr (g_type_name (strand_plugins_load (host, STRAND_KIND_STORE, "good", &error)), ==,
                   gtype_name);
  g_assert_no_error (error);
  g_assert_cmpuint (strand_plugins_load (host, STRAND_KIND_STORE, "../good", &error), ==, G_TYPE_INVALID);
  assert_refused (&error, STRAND_PLUGIN_ERROR_NOT_FOUND, "'../good'", NULL);
}

/* A bad plugin is an error where it is used; the next one on the path does not silently step in. */
static void
test_refused_plugin_still_shadows (World *world, gconstpointer unused)
{
  g_autofree char *bad = world_install (world, "plugins/good", "a/good.so");
  g_autofree char *good = world_install (world, "plugins/good", "b/good.so");
  g_autofree char *a = g_path_get_dirname (bad), *b = g_path_get_dirname (good);
  const char *folders[] = { a, b, NULL };
  g_autoptr(StrandPlugins) host = strand_plugins_new (folders);
  g_auto(GStrv) types = NULL;
  g_autoptr(GError) error = NULL;

  g_assert_cmpint (chmod (bad, 0666), ==, 0);
  g_assert_cmpuint (strand_plugins_load (host, STRAND_KIND_STORE, "good", &error), ==, G_TYPE_INVALID);
  assert_refused (&error, STRAND_PLUGIN_ERROR_UNTRUSTED_FILE, bad, NULL);
  types = strand_plugins_list_types (host, STRAND_KIND_STORE);
  g_assert_cmpuint (g_strv_length (types), ==, 0);
}

static void
test_added_path_stands_behind_the_first_ones (World *world, gconstpointer unused)
{
  g_autofree char *one = world_install (world, "plugins/good", "a/good.so");
  g_autofree char *two = world_install (world, "plugins/good", "b/good.so");
  g_autofree char *a = g_path_get_dirname (one), *b = g_path_get_dirname (two);
  const char *folders[] = { a, NULL };
  g_autoptr(StrandPlugins) host = strand_plugins_new (folders);
  g_autoptr(GPtrArray) infos = NULL;

  strand_plugins_add_path (host, b);
  strand_plugins_add_path (host, a);
  strand_plugins_add_path (host, b);
  infos = strand_plugins_list (host);
  g_assert_cmpuint (infos->len, ==, 4);
  g_assert_cmpstr (info_at (infos, 0)->file, ==, one);
  g_assert_cmpstr (info_at (infos, 2)->file, ==, two);
}

static void
test_same_file_twice_is_one_candidate (World *world, gconstpointer unused)
{
  g_autofree char *path = world_install (world, "plugins/good", "good.so");
  g_autofree char *link = g_build_filename (world->folder, "link.so", NULL);
  g_autoptr(StrandPlugins) host = host_for (world);
  g_autoptr(GPtrArray) infos = NULL;

  g_assert_cmpint (symlink ("good.so", link), ==, 0);
  infos = strand_plugins_list (host);
  g_assert_cmpuint (infos->len, ==, 2);
  g_assert_cmpstr (info_at (infos, 1)->file, ==, path);
}

static void
test_new_file_is_found_without_a_new_host (World *world, gconstpointer unused)
{
  g_autoptr(StrandPlugins) host = host_for (world);
  g_autoptr(GError) error = NULL;
  g_autofree char *path = NULL;

  g_assert_false (strand_plugins_has (host, STRAND_KIND_STORE, "good", NULL));
  path = world_install (world, "plugins/good", "good.so");
  g_assert_true (strand_plugins_has (host, STRAND_KIND_STORE, "good", &error));
  g_assert_no_error (error);
  g_assert_cmpint (unlink (path), ==, 0);
  g_assert_false (strand_plugins_has (host, STRAND_KIND_STORE, "good", &error));
  assert_refused (&error, STRAND_PLUGIN_ERROR_NOT_FOUND, NULL);
}

/* The folder's times say nothing of this. */
static void
test_file_rewritten_in_place_is_noticed (World *world, gconstpointer unused)
{
  g_autofree char *path = world_install (world, "plugins/sixteen", "x.so");
  g_autofree char *other = world_install (world, "plugins/good", "elsewhere/x.so");
  g_autoptr(StrandPlugins) host = host_for (world);
  g_autoptr(GError) error = NULL;
  g_autofree char *data = NULL;
  FILE *file;
  gsize size;

  g_assert_true (strand_plugins_has (host, STRAND_KIND_STORE, "many-1", NULL));
  g_assert_true (g_file_get_contents (other, &data, &size, NULL));
  file = fopen (path, "w");
  g_assert_cmpuint (fwrite (data, 1, size, file), ==, size);
  g_assert_cmpint (fclose (file), ==, 0);
  g_assert_true (strand_plugins_has (host, STRAND_KIND_STORE, "good", &error));
  g_assert_no_error (error);
  g_assert_false (strand_plugins_has (host, STRAND_KIND_STORE, "many-1", NULL));
  g_assert_cmpuint (strand_plugins_load (host, STRAND_KIND_STORE, "good", &error), !=, G_TYPE_INVALID);
  g_assert_no_error (error);
}

typedef struct
{
  StrandPlugins *host;
  GType type;
} Loader;

static gpointer
load_in_thread (gpointer data)
{
  Loader *loader = data;

  loader->type = strand_plugins_load (loader->host, STRAND_KIND_STORE, "good", NULL);
  return NULL;
}

static void
test_threads_get_the_same_type (World *world, gconstpointer unused)
{
  g_autofree char *path = world_install (world, "plugins/good", "good.so");
  Loader loaders[8];
  GThread *threads[8];

  for (guint i = 0; i < G_N_ELEMENTS (loaders); i++)
    {
      loaders[i].host = host_for (world);
      threads[i] = g_thread_new ("load", load_in_thread, &loaders[i]);
    }
  for (guint i = 0; i < G_N_ELEMENTS (loaders); i++)
    {
      g_thread_join (threads[i]);
      g_assert_cmpuint (loaders[i].type, !=, G_TYPE_INVALID);
      g_assert_cmpuint (loaders[i].type, ==, loaders[0].type);
      g_object_unref (loaders[i].host);
    }
}

static int
count_ours (struct dl_phdr_info *info, size_t size, void *data)
{
  int *n = data;

  *n += strstr (info->dlpi_name, "/strand-plugins-") != NULL;
  return 0;
}

static void
test_only_what_is_used_is_loaded (World *world, gconstpointer unused)
{
  g_autoptr(StrandPlugins) host = host_for (world);
  g_autoptr(GError) error = NULL;
  int before = 0, after = 0;

  for (guint i = 0; i < 20; i++)
    {
      g_autofree char *name = g_strdup_printf ("%02u.so", i);

      g_free (world_install (world, i == 13 ? "plugins/good" : "plugins/aborts", name));
    }
  dl_iterate_phdr (count_ours, &before);
  g_assert_cmpuint (strand_plugins_load (host, STRAND_KIND_STORE, "good", &error), !=, G_TYPE_INVALID);
  g_assert_no_error (error);
  dl_iterate_phdr (count_ours, &after);
  g_assert_cmpint (after - before, ==, 1);
}

/* --- program types --- */

typedef GObject ProgramStore;
typedef GObjectClass ProgramStoreClass;
GType program_store_get_type (void);
G_DEFINE_TYPE_WITH_CODE (ProgramStore, program_store, G_TYPE_OBJECT,
                         G_IMPLEMENT_INTERFACE (STRAND_TYPE_STORE, NULL))

static void
program_store_class_init (ProgramStoreClass *klass)
{
}

static void
program_store_init (ProgramStore *self)
{
}

static void
test_program_type_comes_first (World *world, gconstpointer unused)
{
  g_autofree char *path = world_install (world, "plugins/good", "good.so");
  g_autoptr(StrandPlugins) host = host_for (world);
  g_autoptr(GPtrArray) infos = NULL;
  g_autoptr(GError) error = NULL;
  g_auto(GStrv) types = NULL;
  GType own = program_store_get_type ();

  g_assert_true (strand_plugins_add_type (host, STRAND_KIND_STORE, "good", own, &error));
  g_assert_true (strand_plugins_add_type (host, STRAND_KIND_STORE, "good", own, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (strand_plugins_load (host, STRAND_KIND_STORE, "good", &error), ==, own);
  types = strand_plugins_list_types (host, STRAND_KIND_STORE);
  g_assert_cmpuint (g_strv_length (types), ==, 1);
  infos = strand_plugins_list (host);
  g_assert_cmpint (info_at (infos, 0)->state, ==, STRAND_PLUGIN_STATE_SHADOWED);
}

static void
test_bad_program_types_are_refused (World *world, gconstpointer unused)
{
  g_autofree char *path = world_install (world, "plugins/good", "good.so");
  g_autoptr(StrandPlugins) host = host_for (world);
  g_autoptr(GError) error = NULL;
  GType own = program_store_get_type ();

  g_assert_false (strand_plugins_add_type (host, STRAND_KIND_STORE, "Own", own, &error));
  assert_refused (&error, STRAND_PLUGIN_ERROR_BAD_TYPE, "'Own'", "small letter", NULL);
  g_assert_false (strand_plugins_add_type (host, STRAND_KIND_STORE, "own", G_TYPE_STRING, &error));
  assert_refused (&error, STRAND_PLUGIN_ERROR_BAD_TYPE, "'own'", "gchararray", NULL);
  g_assert_false (strand_plugins_add_type (host, STRAND_KIND_MIDDLEWARE, "own", own, &error));
  assert_refused (&error, STRAND_PLUGIN_ERROR_WRONG_INTERFACE, "ProgramStore", "StrandMiddleware", NULL);
  g_assert_cmpuint (strand_plugins_load (host, STRAND_KIND_STORE, "good", &error), !=, G_TYPE_INVALID);
  g_assert_false (strand_plugins_add_type (host, STRAND_KIND_STORE, "good", own, &error));
  assert_refused (&error, STRAND_PLUGIN_ERROR_TYPE_CLASH, "'good'", path, NULL);
}

/* --- bad ones: fixtures --- */

typedef struct
{
  const char *fixture;
  const char *type;
  int code;
  const char *cause;
  const char *cure;
  gboolean needs_loading; /* so it shows only once somebody used it */
} Bad;

static const Bad bad_plugins[] = {
  { "abi-major", "future", STRAND_PLUGIN_ERROR_ABI_MAJOR, "plugin interface 2.5, this is 1.0",
    "build it again against strand-1.pc" },
  { "abi-minor", "newer", STRAND_PLUGIN_ERROR_ABI_MINOR, "plugin interface 1.77, this is 1.0",
    "install a newer strand" },
  { "missing-dependency", "lonely", STRAND_PLUGIN_ERROR_MISSING_DEPENDENCY,
    "'libvanished.so.9', which is not there", "install that library", TRUE },
  { "undefined-symbol", "undefined", STRAND_PLUGIN_ERROR_UNDEFINED_SYMBOL,
    "undefined symbol: strand_fixture_nowhere", "link it with the library", TRUE },
  { "no-types", "arrayless", STRAND_PLUGIN_ERROR_NO_TYPES, "does not export 'strand_plugin_types'",
    "STRAND_PLUGIN_DEFINE()", TRUE },
  { "few-types", "few", STRAND_PLUGIN_ERROR_NO_TYPES,
    "speaks of 2 types, but its 'strand_plugin_types' has fewer", "STRAND_PLUGIN_DEFINE()", TRUE },
  { "zero-type", "zero", STRAND_PLUGIN_ERROR_BAD_TYPE, "returned no type instead of class", "STRAND_PROVIDES",
    TRUE },
  { "other-type", "other", STRAND_PLUGIN_ERROR_BAD_TYPE, "instead of class 'StrandFixture", "STRAND_PROVIDES",
    TRUE },
  { "wrong-interface", "wrong", STRAND_PLUGIN_ERROR_WRONG_INTERFACE, "does not implement StrandStore",
    "G_IMPLEMENT_INTERFACE()", TRUE },
};

static void
test_bad_plugin_is_refused (World *world, gconstpointer data)
{
  const Bad *bad = data;
  g_autofree char *fixture = g_strconcat ("plugins/", bad->fixture, NULL);
  g_autofree char *path = world_install (world, fixture, "bad.so");
  g_autoptr(StrandPlugins) host = host_for (world);
  g_autoptr(GError) error = NULL;

  g_assert_cmpint (strand_plugins_has (host, STRAND_KIND_STORE, bad->type, NULL), ==, bad->needs_loading);
  for (int i = 0; i < 2; i++) /* the second try says the same */
    {
      g_assert_cmpuint (strand_plugins_load (host, STRAND_KIND_STORE, bad->type, &error), ==, G_TYPE_INVALID);
      assert_refused (&error, bad->code, path, bad->cause, bad->cure, NULL);
    }
  assert_listed_as_refused (host, path, bad->code);
}

static void
test_file_swapped_between_check_and_load (World *world, gconstpointer unused)
{
  g_autofree char *path = world_install (world, "plugins/replaces-itself", "x.so");
  g_autoptr(StrandPlugins) host = host_for (world);
  g_autoptr(GError) error = NULL;

  g_assert_cmpuint (strand_plugins_load (host, STRAND_KIND_STORE, "fleeting", &error), ==, G_TYPE_INVALID);
  assert_refused (&error, STRAND_PLUGIN_ERROR_CHANGED, path, "replaced or changed", "start the program again",
                  NULL);
}

static void
test_foreign_abi_is_listed_by_name (World *world, gconstpointer unused)
{
  g_autofree char *path = world_install (world, "plugins/abi-major", "future.so");
  g_autoptr(StrandPlugins) host = host_for (world);
  g_autoptr(GPtrArray) infos = strand_plugins_list (host);
  StrandPluginInfo *info = info_at (infos, 0);

  g_assert_cmpuint (infos->len, ==, 1); /* the unknown kind is passed over */
  g_assert_cmpstr (info->type, ==, "future");
  g_assert_cmpstr (info->plugin_version, ==, "9");
  g_assert_cmpint (info->abi_major, ==, 2);
  g_assert_cmpint (info->abi_minor, ==, 5);
}

static void
test_aborting_constructor_is_listed (World *world, gconstpointer unused)
{
  g_autofree char *path = world_install (world, "plugins/aborts", "aborts.so");
  g_autoptr(StrandPlugins) host = host_for (world);
  g_autoptr(GPtrArray) infos = strand_plugins_list (host);
  g_autoptr(GPtrArray) inspected = NULL;
  g_autoptr(GError) error = NULL;

  g_assert_cmpstr (info_at (infos, 0)->type, ==, "aborts");
  g_assert_cmpint (info_at (infos, 0)->state, ==, STRAND_PLUGIN_STATE_AVAILABLE);
  g_assert_true (strand_plugins_has (host, STRAND_KIND_STORE, "aborts", NULL));
  inspected = strand_plugins_inspect_file (path, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (info_at (inspected, 0)->summary, ==, "Ends the process");
}

static void
test_aborting_constructor_does_run_when_loaded (World *world, gconstpointer unused)
{
  if (g_test_subprocess ())
    {
      g_autofree char *path = world_install (world, "plugins/aborts", "aborts.so");
      g_autoptr(StrandPlugins) host = host_for (world);

      strand_plugins_load (host, STRAND_KIND_STORE, "aborts", NULL);
      return;
    }
  g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_DEFAULT);
  g_test_trap_assert_failed ();
  g_test_trap_assert_stderr ("*a constructor ran*");
}

static void
test_registered_class_name_is_refused_before_loading (World *world, gconstpointer unused)
{
  g_autofree char *good = world_install (world, "plugins/good", "good.so");
  g_autofree char *clash = world_install_as (world, "plugins/clash", "zzz.so", world->number);
  g_autofree char *gtype_name = g_strdup_printf ("'StrandFixture%04uStore'", world->number);
  g_autoptr(StrandPlugins) host = host_for (world);
  g_autoptr(GError) error = NULL;

  g_assert_true (strand_plugins_has (host, STRAND_KIND_STORE, "clash", &error));
  strand_plugins_load (host, STRAND_KIND_STORE, "good", &error);
  g_assert_no_error (error);
  g_assert_false (strand_plugins_has (host, STRAND_KIND_STORE, "clash", NULL));
  strand_plugins_load (host, STRAND_KIND_STORE, "clash", &error);
  assert_refused (&error, STRAND_PLUGIN_ERROR_TYPE_CLASH, clash, gtype_name, "another name", NULL);
  assert_listed_as_refused (host, clash, STRAND_PLUGIN_ERROR_TYPE_CLASH);
}

static void
test_mended_dependency_is_tried_again (World *world, gconstpointer unused)
{
  g_autofree char *path = world_install (world, "plugins/missing-dependency", "bad.so");
  g_autofree char *library =
      g_test_build_filename (G_TEST_BUILT, "fixtures", "plugins", "libvanishes.so", NULL);
  g_autoptr(StrandPlugins) host = host_for (world);
  g_autoptr(GError) error = NULL;

  strand_plugins_load (host, STRAND_KIND_STORE, "lonely", &error);
  assert_refused (&error, STRAND_PLUGIN_ERROR_MISSING_DEPENDENCY, path, NULL);
  g_assert_nonnull (dlopen (library, RTLD_NOW)); /* now the linker has it under its soname */
  g_assert_cmpuint (strand_plugins_load (host, STRAND_KIND_STORE, "lonely", &error), !=, G_TYPE_INVALID);
  g_assert_no_error (error);
}

/* --- bad ones: files that no compiler made --- */

static void
assert_unreadable (World *world, const char *path, int code, const char *cause, const char *cure)
{
  g_autoptr(StrandPlugins) host = host_for (world);
  g_autoptr(GError) error = NULL;

  g_assert_null (strand_plugins_inspect_file (path, &error));
  assert_refused (&error, code, path, cause, cure, NULL);
  assert_listed_as_refused (host, path, code);
}

static void
test_missing_file (World *world, gconstpointer unused)
{
  g_autofree char *path = g_build_filename (world->folder, "gone.so", NULL);

  g_assert_cmpint (symlink ("nowhere", path), ==, 0);
  assert_unreadable (world, path, STRAND_PLUGIN_ERROR_NOT_FOUND, "no such file", "install it");
}

static void
test_text_file (World *world, gconstpointer unused)
{
  g_autofree char *path = world_write (world, "text.so", "INPUT (libfoo.so)\n", 18);

  assert_unreadable (world, path, STRAND_PLUGIN_ERROR_NOT_ELF, "not a shared object", "off the search path");
}

static void
test_empty_file (World *world, gconstpointer unused)
{
  g_autofree char *path = world_write (world, "empty.so", "", 0);

  assert_unreadable (world, path, STRAND_PLUGIN_ERROR_NOT_ELF, "the file is empty", "off the search path");
}

static void
test_pipe_does_not_hang (World *world, gconstpointer unused)
{
  g_autofree char *path = g_build_filename (world->folder, "pipe.so", NULL);

  g_assert_cmpint (mkfifo (path, 0600), ==, 0);
  assert_unreadable (world, path, STRAND_PLUGIN_ERROR_NOT_ELF, "not a regular file", "off the search path");
}

static void
test_truncated_file (World *world, gconstpointer unused)
{
  g_autoptr(GBytes) good = world_read_fixture ("plugins/good");
  const char *data = g_bytes_get_data (good, NULL);
  gsize sizes[] = { 20, 64, 200, g_bytes_get_size (good) / 2, g_bytes_get_size (good) - 1 };

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autofree char *path = world_write (world, "half.so", data, sizes[i]);

      assert_unreadable (world, path, STRAND_PLUGIN_ERROR_TRUNCATED, "bytes long, but its headers",
                         "build it again");
    }
}

static void
test_unreadable_file (World *world, gconstpointer unused)
{
  g_autofree char *path = world_install (world, "plugins/good", "good.so");

  if (geteuid () == 0)
    {
      g_test_skip ("root can read everything");
      return;
    }
  g_assert_cmpint (chmod (path, 0), ==, 0);
  assert_unreadable (world, path, STRAND_PLUGIN_ERROR_UNREADABLE, "Permission denied",
                     "mend its permissions");
}

static void
test_no_descriptor (World *world, gconstpointer unused)
{
  g_autofree char *path = world_install (world, "plugins/no-descriptor", "x.so");

  assert_unreadable (world, path, STRAND_PLUGIN_ERROR_NO_DESCRIPTOR, "no strand descriptor",
                     "STRAND_PLUGIN_DEFINE()");
}

static void
test_corrupt_descriptor (World *world, gconstpointer unused)
{
  g_autofree char *path = world_install (world, "plugins/corrupt-descriptor", "x.so");

  assert_unreadable (world, path, STRAND_PLUGIN_ERROR_CORRUPT_DESCRIPTOR, "4 fields instead of 5",
                     "build it again");
}

static void
test_two_descriptors (World *world, gconstpointer unused)
{
  g_autofree char *path = world_install (world, "plugins/two-descriptors", "x.so");

  assert_unreadable (world, path, STRAND_PLUGIN_ERROR_CORRUPT_DESCRIPTOR, "a second one", "build it again");
}

/* A good plugin, but its header speaks of another machine: it is listed in full and refused by name. */
static void
test_other_architecture (World *world, gconstpointer unused)
{
  g_autoptr(GBytes) good = world_read_fixture ("plugins/aborts");
  g_autofree char *data = g_memdup2 (g_bytes_get_data (good, NULL), g_bytes_get_size (good));
  g_autofree char *path = NULL;
  g_autoptr(StrandPlugins) host = host_for (world);
  g_autoptr(GPtrArray) infos = NULL;
  g_autoptr(GError) error = NULL;
  const guint16 machine = EM_S390;

  memcpy (data + G_STRUCT_OFFSET (ElfW (Ehdr), e_machine), &machine, sizeof machine);
  path = world_write (world, "foreign.so", data, g_bytes_get_size (good));
  strand_plugins_load (host, STRAND_KIND_STORE, "aborts", &error);
  assert_refused (&error, STRAND_PLUGIN_ERROR_ARCHITECTURE, path, "s390, this process is",
                  "install the one built for this machine", NULL);
  assert_listed_as_refused (host, path, STRAND_PLUGIN_ERROR_ARCHITECTURE);
  infos = strand_plugins_inspect_file (path, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (info_at (infos, 0)->type, ==, "aborts");
}

/* --- bad ones: places --- */

static void
test_world_writable_file (World *world, gconstpointer unused)
{
  g_autofree char *path = world_install (world, "plugins/aborts", "open.so");
  g_autoptr(StrandPlugins) host = host_for (world);
  g_autoptr(GError) error = NULL;

  g_assert_cmpint (chmod (path, 0646), ==, 0);
  strand_plugins_load (host, STRAND_KIND_STORE, "aborts", &error);
  assert_refused (&error, STRAND_PLUGIN_ERROR_UNTRUSTED_FILE, path, "mode 0646", "written by everybody",
                  "chmod o-w", NULL);
  assert_listed_as_refused (host, path, STRAND_PLUGIN_ERROR_UNTRUSTED_FILE);
}

static void
test_world_writable_parent (World *world, gconstpointer unused)
{
  g_autofree char *path = world_install (world, "plugins/aborts", "open/inner/x.so");
  g_autofree char *inner = g_path_get_dirname (path), *open = g_path_get_dirname (inner);
  const char *folders[] = { inner, NULL };
  g_autoptr(StrandPlugins) host = strand_plugins_new (folders);
  g_autofree char *named = g_strdup_printf ("'%s' (mode 0757", open);
  g_autoptr(GError) error = NULL;

  g_assert_cmpint (chmod (open, 0757), ==, 0);
  strand_plugins_load (host, STRAND_KIND_STORE, "aborts", &error);
  assert_refused (&error, STRAND_PLUGIN_ERROR_UNTRUSTED_PARENT, path, named, "chmod o-w", NULL);
  assert_listed_as_refused (host, path, STRAND_PLUGIN_ERROR_UNTRUSTED_PARENT);
}

/* The way to a file does not matter, only where it really lies. */
static void
test_link_into_an_untrusted_folder (World *world, gconstpointer unused)
{
  g_autofree char *path = world_install (world, "plugins/aborts", "open/x.so");
  g_autofree char *open = g_path_get_dirname (path);
  g_autofree char *safe = g_build_filename (world->folder, "safe", NULL);
  g_autofree char *link = g_build_filename (safe, "x.so", NULL);
  const char *folders[] = { safe, NULL };
  g_autoptr(StrandPlugins) host = strand_plugins_new (folders);
  g_autoptr(GError) error = NULL;

  g_assert_cmpint (mkdir (safe, 0755), ==, 0);
  g_assert_cmpint (symlink (path, link), ==, 0);
  g_assert_cmpint (chmod (open, 0777), ==, 0);
  strand_plugins_load (host, STRAND_KIND_STORE, "aborts", &error);
  assert_refused (&error, STRAND_PLUGIN_ERROR_UNTRUSTED_PARENT, path, open, NULL);
}

static void
test_relative_path_element (World *world, gconstpointer unused)
{
  const char *folders[] = { "./plugins", "", NULL };
  g_autoptr(StrandPlugins) host = strand_plugins_new (folders);
  g_autoptr(GPtrArray) infos = strand_plugins_list (host);
  g_autoptr(GError) error = NULL;

  g_assert_cmpuint (infos->len, ==, 2);
  g_assert_cmpstr (info_at (infos, 0)->file, ==, "./plugins");
  g_assert_false (info_at (infos, 0)->kind_known);
  error = g_error_copy (info_at (infos, 0)->error);
  assert_refused (&error, STRAND_PLUGIN_ERROR_RELATIVE_PATH, "'./plugins'", "not absolute",
                  "write it in full", NULL);
  g_assert_error (info_at (infos, 1)->error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_RELATIVE_PATH);
}

static void
test_missing_folder_is_told (World *world, gconstpointer unused)
{
  g_autofree char *nowhere = g_build_filename (world->folder, "nowhere", NULL);
  const char *folders[] = { nowhere, NULL };
  g_autoptr(StrandPlugins) host = strand_plugins_new (folders);
  g_autoptr(GPtrArray) infos = strand_plugins_list (host);
  g_autoptr(GError) error = g_error_copy (info_at (infos, 0)->error);

  assert_refused (&error, STRAND_PLUGIN_ERROR_NOT_FOUND, nowhere, "there is no such folder",
                  "off the search path", NULL);
}

/* --- the default host --- */

/* STRAND_PLUGIN_PATH, what was added, the user's folder; the installed one comes last and may be empty. */
static void
test_default_host_searches_in_order (World *world, gconstpointer unused)
{
  g_autofree char *first = NULL, *second = NULL, *third = NULL, *elements = NULL, *added = NULL;
  g_autofree char *user = g_build_filename (g_get_user_data_dir (), "strand-1", "plugins", NULL);
  g_autofree char *user_file = g_build_filename (user, "good.so", NULL);
  g_autoptr(GPtrArray) infos = NULL;
  StrandPlugins *host;

  if (!g_test_subprocess ())
    {
      g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
      g_test_trap_assert_passed ();
      return;
    }
  first = world_install (world, "plugins/good", "environment/good.so");
  second = world_install (world, "plugins/good", "added/good.so");
  third = world_install (world, "plugins/good", "good.so");
  g_assert_cmpint (g_mkdir_with_parents (user, 0755), ==, 0);
  g_assert_cmpint (rename (third, user_file), ==, 0);
  elements = g_strconcat ("relative:", world->folder, "/environment", NULL);
  added = g_path_get_dirname (second);
  g_setenv ("STRAND_PLUGIN_PATH", elements, TRUE);
  g_setenv ("LTDL_LIBRARY_PATH", "/nowhere", TRUE);
  host = strand_plugins_get_default ();
  strand_plugins_add_path (host, added);

  infos = strand_plugins_list (host);
  g_assert_error (info_at (infos, 0)->error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_RELATIVE_PATH);
  g_assert_cmpstr (info_at (infos, 1)->file, ==, first);
  g_assert_cmpstr (info_at (infos, 3)->file, ==, second);
  g_assert_cmpstr (info_at (infos, 5)->file, ==, user_file);
  g_assert_cmpuint (strand_plugins_load (host, STRAND_KIND_STORE, "good", NULL), !=, G_TYPE_INVALID);
  g_assert_true (host == strand_plugins_get_default ());
}

/* --- kinds and infos --- */

static void
test_kinds_have_words_and_interfaces (World *world, gconstpointer unused)
{
  StrandKind kind = STRAND_KIND_STORE;

  for (int i = 0; i < STRAND_N_KINDS; i++)
    {
      g_assert_true (strand_kind_from_string (strand_kind_to_string ((StrandKind) i), &kind));
      g_assert_cmpint (kind, ==, i);
      g_assert_true (G_TYPE_IS_INTERFACE (strand_kind_get_interface ((StrandKind) i)));
    }
  g_assert_false (strand_kind_from_string ("scheduler", &kind));
}

static void
test_info_copy_is_whole (World *world, gconstpointer unused)
{
  g_autofree char *path = world_install (world, "plugins/abi-minor", "x.so");
  g_autoptr(GPtrArray) infos = strand_plugins_inspect_file (path, NULL);
  g_autoptr(StrandPluginInfo) copy = g_boxed_copy (STRAND_TYPE_PLUGIN_INFO, info_at (infos, 0));

  g_clear_pointer (&infos, g_ptr_array_unref);
  g_assert_cmpstr (copy->file, ==, path);
  g_assert_cmpstr (copy->type, ==, "newer");
  g_assert_error (copy->error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_ABI_MINOR);
}

#define ADD(path, func) g_test_add ("/plugins/" path, World, NULL, world_set_up, func, world_tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);

  ADD ("good/listed-with-all-it-says", test_good_is_listed_with_all_it_says);
  ADD ("good/loading-gives-the-type-and-keeps-it", test_loading_gives_the_type_and_keeps_it);
  ADD ("good/loaded-type-never-changes-file", test_loaded_type_never_changes_file);
  ADD ("good/sixteen-types", test_sixteen_types_fit_into_one_plugin);
  ADD ("good/survives-strip", test_plugin_survives_strip);
  ADD ("find/unknown-type-names-those-there-are", test_unknown_type_names_those_there_are);
  ADD ("find/unreadable-namesake-is-the-reason", test_unreadable_namesake_is_the_reason);
  ADD ("find/first-folder-wins", test_first_folder_wins_and_shows_what_it_shadows);
  ADD ("find/namesake-comes-first", test_namesake_comes_first_in_its_folder);
  ADD ("find/refused-still-shadows", test_refused_plugin_still_shadows);
  ADD ("find/added-path-stands-behind", test_added_path_stands_behind_the_first_ones);
  ADD ("find/same-file-twice-is-one", test_same_file_twice_is_one_candidate);
  ADD ("find/new-file-is-found", test_new_file_is_found_without_a_new_host);
  ADD ("find/file-rewritten-in-place-is-noticed", test_file_rewritten_in_place_is_noticed);
  ADD ("find/threads-get-the-same-type", test_threads_get_the_same_type);
  ADD ("find/only-what-is-used-is-loaded", test_only_what_is_used_is_loaded);
  ADD ("program/comes-first", test_program_type_comes_first);
  ADD ("program/bad-types-are-refused", test_bad_program_types_are_refused);
  for (guint i = 0; i < G_N_ELEMENTS (bad_plugins); i++)
    {
      g_autofree char *path = g_strconcat ("/plugins/bad/", bad_plugins[i].fixture, NULL);

      g_test_add (path, World, &bad_plugins[i], world_set_up, test_bad_plugin_is_refused, world_tear_down);
    }
  ADD ("bad/swapped-between-check-and-load", test_file_swapped_between_check_and_load);
  ADD ("bad/foreign-abi-is-listed-by-name", test_foreign_abi_is_listed_by_name);
  ADD ("bad/aborting-constructor-is-listed", test_aborting_constructor_is_listed);
  ADD ("bad/aborting-constructor-runs-when-loaded", test_aborting_constructor_does_run_when_loaded);
  ADD ("bad/registered-class-name", test_registered_class_name_is_refused_before_loading);
  ADD ("bad/mended-dependency-is-tried-again", test_mended_dependency_is_tried_again);
  ADD ("bad/missing-file", test_missing_file);
  ADD ("bad/text-file", test_text_file);
  ADD ("bad/empty-file", test_empty_file);
  ADD ("bad/pipe-does-not-hang", test_pipe_does_not_hang);
  ADD ("bad/truncated-file", test_truncated_file);
  ADD ("bad/unreadable-file", test_unreadable_file);
  ADD ("bad/no-descriptor", test_no_descriptor);
  ADD ("bad/corrupt-descriptor", test_corrupt_descriptor);
  ADD ("bad/two-descriptors", test_two_descriptors);
  ADD ("bad/other-architecture", test_other_architecture);
  ADD ("bad/world-writable-file", test_world_writable_file);
  ADD ("bad/world-writable-parent", test_world_writable_parent);
  ADD ("bad/link-into-an-untrusted-folder", test_link_into_an_untrusted_folder);
  ADD ("bad/relative-path-element", test_relative_path_element);
  ADD ("bad/missing-folder", test_missing_folder_is_told);
  ADD ("default/searches-in-order", test_default_host_searches_in_order);
  ADD ("kinds", test_kinds_have_words_and_interfaces);
  ADD ("info-copy", test_info_copy_is_whole);

  return g_test_run ();
}
