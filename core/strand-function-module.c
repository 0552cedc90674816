/* strand-function-module.c — fills a registry from a shared object.
 *
 * A function module is code, so it is found and trusted as plugins are; it has no descriptor, because its one
 * entry point, strand_module_register(), says everything by what it adds. A bare name is looked for in
 * STRAND_MODULE_PATH, the user's folder and the installed one, never in the current folder; anything with a
 * slash is a path and taken as it is, because somebody named it.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "strand-elf-private.h"
#include "strand-error.h"
#include "strand-function-private.h"
#include "strand-log.h"
#include "strand-module-private.h"
#include "strand-registry.h"

#include <string.h>
#include <unistd.h>

/* Held while a module registers, so that nobody takes a half-filled registry for a full one. Recursive,
 * because a module may load another. */
static GRecMutex registering;

/* The folders that a bare name is looked for in, in order. */
static GPtrArray *
dup_folders (void)
{
  GPtrArray *folders = g_ptr_array_new_with_free_func (g_free);
  const char *value = strand_trust_getenv ("STRAND_MODULE_PATH");

  if (value != NULL && value[0] != '\0')
    {
      g_auto(GStrv) elements = g_strsplit (value, G_SEARCHPATH_SEPARATOR_S, -1);

      for (guint i = 0; elements[i] != NULL; i++)
        g_ptr_array_add (folders, g_strdup (elements[i]));
    }
  if (!strand_trust_is_privileged ())
    g_ptr_array_add (folders, g_build_filename (g_get_user_data_dir (), "strand-1", "modules", NULL));
  g_ptr_array_add (folders, g_strdup (STRAND_MODULE_DIR));
  return folders;
}

static char *
find_by_name (const char *name, GError **error)
{
  g_autoptr(GPtrArray) folders = dup_folders ();
  g_autofree char *base = g_str_has_suffix (name, ".so") ? g_strdup (name) : g_strconcat (name, ".so", NULL);
  g_autoptr(GString) searched = g_string_new (NULL);
  g_autoptr(GString) skipped = g_string_new (NULL);

  for (guint i = 0; i < folders->len; i++)
    {
      const char *folder = g_ptr_array_index (folders, i);
      g_autofree char *path = g_build_filename (folder, base, NULL);

      if (!g_path_is_absolute (folder))
        g_string_append_printf (skipped, "%s'%s'", skipped->len > 0 ? ", " : "", folder);
      else if (g_file_test (path, G_FILE_TEST_EXISTS))
        return g_steal_pointer (&path);
      else
        g_string_append_printf (searched, "%s'%s'", searched->len > 0 ? ", " : "", folder);
    }
  g_set_error (error, STRAND_PLUGIN_ERROR,
               skipped->len > 0 ? STRAND_PLUGIN_ERROR_RELATIVE_PATH : STRAND_PLUGIN_ERROR_NOT_FOUND,
               "there is no '%s' in %s%s%s%s; install it, or write './%s' for one in the current folder", base,
               searched->str, skipped->len > 0 ? ", and STRAND_MODULE_PATH's " : "", skipped->str,
               skipped->len > 0 ? " was passed over because it is not absolute" : "", base);
  return NULL;
}

/* Whether the file is a shared object for this machine; what it is in @identity. */
static gboolean
check_file (const char *path, StrandFileIdentity *identity, GError **error)
{
  StrandElfTarget target;
  struct stat st;
  gboolean good;
  int fd = strand_trust_open (path, error);

  if (fd < 0)
    return FALSE;
  good = strand_elf_read_target (fd, &target, error) && strand_elf_check_target (&target, error);
  if (good && fstat (fd, &st) == 0)
    strand_file_identity_init (identity, &st);
  close (fd);
  return good;
}

static StrandModuleRegisterFunc
open_module (const char *path, char **real_path, GError **error)
{
  g_autofree char *real = NULL;
  StrandFileIdentity trusted, checked = { 0 };
  StrandModule *module;
  StrandModuleRegisterFunc entry;

  real = strand_trust_check (path, STRAND_MODULE_DIR, &trusted, error);
  if (real == NULL || !check_file (real, &checked, error))
    return NULL;
  if (!strand_file_identity_equal (&trusted, &checked))
    {
      g_set_error_literal (
          error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_CHANGED,
          "it was replaced or changed while it was being checked; try again once its installation "
          "is done");
      return NULL;
    }
  module = strand_module_open (real, &checked, error);
  if (module == NULL)
    return NULL;
  entry = (StrandModuleRegisterFunc) strand_module_symbol (module, "strand_module_register");
  if (entry == NULL)
    g_set_error_literal (error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_NO_ENTRY,
                         "it does not export strand_module_register(), so it is no function module; put "
                         "STRAND_MODULE_EXPORT before that function and build it again");
  *real_path = g_steal_pointer (&real);
  return entry;
}

/* The paths of the modules that a registry has, in the order of loading. Under the lock. */
static GPtrArray *
loaded_modules (StrandRegistry *registry)
{
  static GQuark quark;
  GPtrArray *loaded;

  if (quark == 0)
    quark = g_quark_from_static_string ("strand-loaded-modules");
  loaded = g_object_get_qdata (G_OBJECT (registry), quark);
  if (loaded == NULL)
    {
      loaded = g_ptr_array_new_with_free_func (g_free);
      g_object_set_qdata_full (G_OBJECT (registry), quark, loaded, (GDestroyNotify) g_ptr_array_unref);
    }
  return loaded;
}

static gboolean
register_module (StrandRegistry *registry, const char *real, StrandModuleRegisterFunc entry, GError **error)
{
  gboolean outer = strand_registering_portable, done;
  GPtrArray *loaded = loaded_modules (registry);
  g_autoptr(GError) local = NULL;

  if (g_ptr_array_find_with_equal_func (loaded, real, g_str_equal, NULL))
    return TRUE;
  strand_registering_portable = TRUE;
  done = entry (registry, &local);
  strand_registering_portable = outer;
  if (!done)
    {
      g_set_error (error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_MODULE_FAILED,
                   "its strand_module_register() failed: %s",
                   local != NULL ? local->message : "it gave no reason, so ask its author");
      return FALSE;
    }
  strand_debug (STRAND_TOPIC_PLUGIN, "loaded function module '%s'", real);
  g_ptr_array_add (loaded, g_strdup (real));
  return TRUE;
}

static gboolean
load_path (StrandRegistry *registry, const char *path, GError **error)
{
  g_autofree char *real = NULL;
  StrandModuleRegisterFunc entry = open_module (path, &real, error);
  gboolean done;

  if (entry == NULL)
    return FALSE;
  g_rec_mutex_lock (&registering);
  done = register_module (registry, real, entry, error);
  g_rec_mutex_unlock (&registering);
  return done;
}

/**
 * strand_registry_load_module:
 * @self: a registry
 * @name_or_path: (type filename): a path, if it has a slash; else a name such as `demo`, which is looked for
 * as `demo.so` in `STRAND_MODULE_PATH` (not in a program with more rights than who started it),
 *   `$XDG_DATA_HOME/strand-1/modules` and the installed folder
 * @error: return location for a [error@Strand.PluginError]
 *
 * Loads a function module and adds its functions. One that @self has already changes nothing. A module stays
 * in memory for good.
 *
 * Any thread; blocks on the disk and runs the module's constructors and its entry point, on the calling
 * thread.
 *
 * Returns: whether its functions are there
 * Since: 1.0
 */
gboolean
strand_registry_load_module (StrandRegistry *self, const char *name_or_path, GError **error)
{
  g_autofree char *path = NULL;

  g_return_val_if_fail (STRAND_IS_REGISTRY (self), FALSE);
  g_return_val_if_fail (name_or_path != NULL, FALSE);

  if (strchr (name_or_path, '/') != NULL)
    path = g_canonicalize_filename (name_or_path, NULL);
  else
    path = find_by_name (name_or_path, error);
  if (path != NULL && load_path (self, path, error))
    return TRUE;
  if (error != NULL && *error != NULL)
    {
      g_autofree char *shown = g_filename_display_name (path != NULL ? path : name_or_path);

      g_prefix_error (error, "Could not load module '%s': ", shown);
    }
  return FALSE;
}

/**
 * strand_registry_list_modules:
 * @self: a registry
 *
 * Lists the modules that were loaded into a registry, in that order. Any thread; waits while a module
 * registers.
 *
 * Returns: (transfer full) (array zero-terminated=1): their real paths
 * Since: 1.0
 */
GStrv
strand_registry_list_modules (StrandRegistry *self)
{
  g_autoptr(GPtrArray) paths = NULL;
  GPtrArray *loaded;

  g_return_val_if_fail (STRAND_IS_REGISTRY (self), NULL);

  paths = g_ptr_array_new ();
  g_rec_mutex_lock (&registering);
  loaded = loaded_modules (self);
  for (guint i = 0; i < loaded->len; i++)
    g_ptr_array_add (paths, g_strdup (loaded->pdata[i]));
  g_rec_mutex_unlock (&registering);
  g_ptr_array_add (paths, NULL);
  return (GStrv) g_ptr_array_free (g_steal_pointer (&paths), FALSE);
}
