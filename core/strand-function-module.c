/* strand-function-module.c — fills a registry from a shared object.
 *
 * A function module is code, so it is found and trusted as plugins are; it has no descriptor, because its one
 * entry point, strand_module_register(), says everything by what it adds. A bare name is looked for in
 * STRAND_MODULE_PATH, the user's folder and the installed one, never in the current folder; anything with a
 * slash is a path and taken as it is, because somebody named it.
 *
 * A module for another language makes functions of something that is no shared object: it is named with that
 * source, as in 'python:tasks', and its entry point is strand_module_register_from().
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

/* Where a module's functions come from. */
typedef struct
{
  char *path;   /* the module's own, real once it is open */
  char *source; /* what it makes functions of, or NULL */
  StrandModuleRegisterFunc entry;
  StrandModuleRegisterFromFunc entry_from; /* the one of the two that @source asks for */
} Origin;

static void
origin_clear (Origin *self)
{
  g_free (self->path);
  g_free (self->source);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Origin, origin_clear)

static gboolean
find_entry (Origin *self, StrandModule *module, GError **error)
{
  const char *wanted = self->source != NULL ? "strand_module_register_from" : "strand_module_register";
  gpointer entry = strand_module_symbol (module, wanted);

  if (self->source != NULL)
    self->entry_from = (StrandModuleRegisterFromFunc) entry;
  else
    self->entry = (StrandModuleRegisterFunc) entry;
  if (entry != NULL)
    return TRUE;
  if (self->source != NULL)
    g_set_error (error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_NO_ENTRY,
                 "it does not export %s(), so it makes no functions of something else: name it without ':%s'",
                 wanted, self->source);
  else
    g_set_error (error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_NO_ENTRY,
                 "it does not export %s(), so it is no function module; put STRAND_MODULE_EXPORT before that "
                 "function and build it again",
                 wanted);
  return FALSE;
}

/* Makes the path the real one. */
static gboolean
open_module (Origin *self, GError **error)
{
  g_autofree char *real = NULL;
  StrandFileIdentity trusted, checked = { 0 };
  StrandModule *module;

  real = strand_trust_check (self->path, STRAND_MODULE_DIR, &trusted, error);
  if (real == NULL || !check_file (real, &checked, error))
    return FALSE;
  if (!strand_file_identity_equal (&trusted, &checked))
    {
      g_set_error_literal (
          error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_CHANGED,
          "it was replaced or changed while it was being checked; try again once its installation "
          "is done");
      return FALSE;
    }
  module = strand_module_open (real, &checked, error);
  if (module == NULL || !find_entry (self, module, error))
    return FALSE;
  g_free (self->path);
  self->path = g_steal_pointer (&real);
  return TRUE;
}

/* Something that a registry keeps for this file, under the lock. */
static GPtrArray *
kept_list (StrandRegistry *registry, const char *key)
{
  GPtrArray *kept = g_object_get_data (G_OBJECT (registry), key);

  if (kept == NULL)
    {
      kept = g_ptr_array_new_with_free_func (g_free);
      g_object_set_data_full (G_OBJECT (registry), key, kept, (GDestroyNotify) g_ptr_array_unref);
    }
  return kept;
}

/* The paths of the modules that a registry has, in the order of loading: what a helper loads, too. */
static GPtrArray *
loaded_modules (StrandRegistry *registry)
{
  return kept_list (registry, "strand-loaded-modules");
}

/* The functions of a source are found by whom its module says, so no helper loads it. */
static GPtrArray *
loaded_sources (StrandRegistry *registry)
{
  return kept_list (registry, "strand-loaded-sources");
}

static gboolean
run_entry (StrandRegistry *registry, const Origin *origin, GError **error)
{
  gboolean outer = strand_registering_portable, done;

  strand_registering_portable = origin->source == NULL;
  if (origin->source != NULL)
    done = origin->entry_from (registry, origin->source, error);
  else
    done = origin->entry (registry, error);
  strand_registering_portable = outer;
  return done;
}

static gboolean
register_module (StrandRegistry *registry, const Origin *origin, GError **error)
{
  GPtrArray *loaded = origin->source != NULL ? loaded_sources (registry) : loaded_modules (registry);
  g_autofree char *name =
      g_strconcat (origin->path, origin->source != NULL ? ":" : NULL, origin->source, NULL);
  g_autoptr(GError) local = NULL;

  if (g_ptr_array_find_with_equal_func (loaded, name, g_str_equal, NULL))
    return TRUE;
  if (!run_entry (registry, origin, &local))
    {
      g_set_error (error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_MODULE_FAILED, "%s%s",
                   origin->source != NULL ? "" : "its strand_module_register() failed: ",
                   local != NULL ? local->message : "it gave no reason, so ask its author");
      return FALSE;
    }
  strand_debug (STRAND_TOPIC_PLUGIN, "loaded function module '%s'", name);
  g_ptr_array_add (loaded, g_steal_pointer (&name));
  return TRUE;
}

/* A file that functions are made of is trusted as a module is. */
static gboolean
find_source (Origin *self, GError **error)
{
  g_autofree char *path = NULL;
  char *real;
  StrandFileIdentity unused;

  if (self->source == NULL || strchr (self->source, '/') == NULL)
    return TRUE;
  path = g_canonicalize_filename (self->source, NULL);
  real = strand_trust_check (path, STRAND_MODULE_DIR, &unused, error);
  if (real == NULL)
    return FALSE;
  g_free (self->source);
  self->source = real;
  return TRUE;
}

/* Takes a name apart: MODULE or MODULE:SOURCE, where a path has its slash before any colon. */
static gboolean
find_origin (Origin *self, const char *name_or_path, GError **error)
{
  const char *colon = strchr (name_or_path, ':');
  const char *slash = strchr (name_or_path, '/');
  g_autofree char *name = NULL;

  if (slash != NULL && (colon == NULL || slash < colon))
    {
      self->path = g_canonicalize_filename (name_or_path, NULL);
      return TRUE;
    }
  name = colon != NULL ? g_strndup (name_or_path, (gsize) (colon - name_or_path)) : g_strdup (name_or_path);
  self->source = colon != NULL ? g_strdup (colon + 1) : NULL;
  self->path = find_by_name (name, error);
  return self->path != NULL && find_source (self, error);
}

static gboolean
load_origin (StrandRegistry *registry, Origin *origin, GError **error)
{
  gboolean done;

  if (!open_module (origin, error))
    return FALSE;
  g_rec_mutex_lock (&registering);
  done = register_module (registry, origin, error);
  g_rec_mutex_unlock (&registering);
  return done;
}

/**
 * strand_registry_load_module:
 * @self: a registry
 * @name_or_path: (type filename): a path, if it has a slash; else a name such as `demo`, which is looked for
 * as `demo.so` in `STRAND_MODULE_PATH` (not in a program with more rights than who started it),
 *   `$XDG_DATA_HOME/strand-1/modules` and the installed folder; or such a name and what it makes functions
 * of, as in `python:tasks`
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
  g_auto(Origin) origin = { NULL };

  g_return_val_if_fail (STRAND_IS_REGISTRY (self), FALSE);
  g_return_val_if_fail (name_or_path != NULL, FALSE);

  if (find_origin (&origin, name_or_path, error) && load_origin (self, &origin, error))
    return TRUE;
  if (error != NULL && *error != NULL)
    {
      gboolean is_path = origin.path != NULL && origin.source == NULL;
      g_autofree char *shown = g_filename_display_name (is_path ? origin.path : name_or_path);

      g_prefix_error (error, "Could not load module '%s': ", shown);
    }
  return FALSE;
}

/**
 * strand_registry_list_modules:
 * @self: a registry
 *
 * Lists the modules that were loaded into a registry by name or path alone, in that order. Any thread; waits
 * while a module registers.
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
