/* strand-plugin-file.c — one plugin file: read, judged, loaded once for all hosts of the process.
 *
 * Everything that can be known without running the plugin's code is checked first: trust, machine, ABI, and
 * that none of its classes exists already (a second registration of a name fails inside get-type, which then
 * never returns). Only then is the file loaded, and what cannot be known before is checked after: the array
 * of get-type functions, what each returns, the interfaces.
 *
 * A file is loaded under its real path at most once in a process. If it fails before its code could run, the
 * reason is kept to be shown and the next use tries again, because the cause may have been mended. Once its
 * code has run, its verdict stands for good.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "strand-error.h"
#include "strand-log.h"
#include "strand-module-private.h"
#include "strand-plugin-define.h"
#include "strand-plugin-file-private.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct
{
  StrandDescriptor *descriptor;
  GType *types;  /* as many as the descriptor has */
  GError *error; /* instead: why it cannot be used though it is loaded */
} Loaded;

typedef struct
{
  StrandFileIdentity identity;
  GError *error;
} Failure;

/* Held while a plugin is loaded. Recursive, because a constructor may ask for another plugin. */
static GRecMutex loading;

static GMutex table_lock;        /* guards what the tables hold */
static GHashTable *loaded_files; /* path → Loaded; entries stay for good */
static GHashTable *failures;     /* path → Failure */

/* --- one file --- */

StrandPluginFile *
strand_plugin_file_ref (StrandPluginFile *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

void
strand_plugin_file_unref (StrandPluginFile *self)
{
  if (!g_atomic_ref_count_dec (&self->refs))
    return;
  g_free (self->path);
  g_free (self->name);
  g_clear_pointer (&self->descriptor, strand_descriptor_unref);
  g_clear_error (&self->error);
  g_free (self);
}

static StrandPluginFile *
read_file (char *real_path, const char *name)
{
  StrandPluginFile *self = g_new0 (StrandPluginFile, 1);

  g_atomic_ref_count_init (&self->refs);
  self->path = real_path;
  self->name = g_strdup (name);
  self->descriptor = strand_descriptor_read (self->path, &self->error);
  return self;
}

StrandPluginFile *
strand_plugin_file_new (const char *path)
{
  char *real = realpath (path, NULL);
  g_autofree char *name = g_path_get_basename (path);

  return read_file (real != NULL ? real : g_canonicalize_filename (path, NULL), name);
}

gboolean
strand_plugin_file_prefix (const char *path, GError **error)
{
  g_autofree char *shown = g_filename_display_name (path);

  g_prefix_error (error, "Could not use plugin '%s': ", shown);
  return FALSE;
}

static int
compare_files (gconstpointer a, gconstpointer b)
{
  return strcmp ((*(StrandPluginFile *const *) a)->name, (*(StrandPluginFile *const *) b)->name);
}

static void
set_folder_error (int saved_errno, GError **error)
{
  if (saved_errno == ENOENT || saved_errno == ENOTDIR)
    g_set_error_literal (error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_NOT_FOUND,
                         "there is no such folder; make it or take it off the search path");
  else
    g_set_error (error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_UNREADABLE,
                 "it cannot be read: %s; mend its permissions or take it off the search path",
                 g_strerror (saved_errno));
}

/* Resolving the folder once, and then only the entries that are links, is a third of the work of resolving
 * every file. */
GPtrArray *
strand_plugin_file_scan (const char *folder, GError **error)
{
  g_autofree char *real = realpath (folder, NULL);
  DIR *dir = real != NULL ? opendir (real) : NULL;
  GPtrArray *files;
  struct dirent *entry;

  if (dir == NULL)
    {
      set_folder_error (errno, error);
      return NULL;
    }
  files = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_plugin_file_unref);
  while ((entry = readdir (dir)) != NULL)
    if (g_str_has_suffix (entry->d_name, ".so") && entry->d_type != DT_DIR)
      {
        g_autofree char *path = g_build_filename (real, entry->d_name, NULL);

        g_ptr_array_add (files, entry->d_type == DT_REG ? read_file (g_steal_pointer (&path), entry->d_name)
                                                        : strand_plugin_file_new (path));
      }
  closedir (dir);
  g_ptr_array_sort (files, compare_files);
  return files;
}

gboolean
strand_plugin_file_is_current (const StrandPluginFile *self)
{
  StrandFileIdentity now;
  struct stat st;

  if (self->descriptor == NULL || lstat (self->path, &st) != 0)
    return FALSE;
  strand_file_identity_init (&now, &st);
  return strand_file_identity_equal (&now, &self->descriptor->identity);
}

/* --- what the process has tried --- */

/* Entries are never freed, so what this lends stays good. */
static const Loaded *
lookup_loaded (const char *path)
{
  const Loaded *found;

  g_mutex_lock (&table_lock);
  found = loaded_files != NULL ? g_hash_table_lookup (loaded_files, path) : NULL;
  g_mutex_unlock (&table_lock);
  return found;
}

static void
failure_free (gpointer data)
{
  Failure *self = data;

  g_error_free (self->error);
  g_free (self);
}

static void
keep_failure (const StrandPluginFile *self, const GError *error)
{
  Failure *failure = g_new0 (Failure, 1);

  failure->identity = self->descriptor->identity;
  failure->error = g_error_copy (error);
  g_mutex_lock (&table_lock);
  if (failures == NULL)
    failures = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, failure_free);
  g_hash_table_replace (failures, g_strdup (self->path), failure);
  g_mutex_unlock (&table_lock);
}

/* A file that failed once and is now loaded has no failure any more. */
static void
keep_loaded (const char *path, Loaded *loaded)
{
  g_mutex_lock (&table_lock);
  if (loaded_files == NULL)
    loaded_files = g_hash_table_new (g_str_hash, g_str_equal);
  g_hash_table_insert (loaded_files, g_strdup (path), loaded);
  if (failures != NULL)
    g_hash_table_remove (failures, path);
  g_mutex_unlock (&table_lock);
}

gboolean
strand_plugin_file_is_loaded (const StrandPluginFile *self)
{
  const Loaded *loaded = lookup_loaded (self->path);

  return loaded != NULL && loaded->error == NULL;
}

GError *
strand_plugin_file_dup_failure (const StrandPluginFile *self)
{
  const Failure *failure;
  GError *copy = NULL;

  g_mutex_lock (&table_lock);
  failure = failures != NULL ? g_hash_table_lookup (failures, self->path) : NULL;
  if (failure != NULL && self->descriptor != NULL &&
      strand_file_identity_equal (&failure->identity, &self->descriptor->identity))
    copy = g_error_copy (failure->error);
  g_mutex_unlock (&table_lock);
  return copy;
}

/* --- judging --- */

static gboolean
check_classes (const StrandDescriptor *descriptor, GError **error)
{
  for (guint i = 0; i < descriptor->provided->len; i++)
    {
      const StrandProvided *provided = g_ptr_array_index (descriptor->provided, i);

      if (g_type_from_name (provided->gtype_name) != G_TYPE_INVALID)
        {
          g_set_error (
              error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_TYPE_CLASH,
              "its class '%s' is registered in this process already, by the program or by another plugin; "
              "use one of the two, or give one of the classes another name",
              provided->gtype_name);
          return FALSE;
        }
    }
  return TRUE;
}

static gboolean
check_unloaded (const char *path, const StrandDescriptor *descriptor, GError **error)
{
  g_autofree char *real = NULL;
  StrandFileIdentity trusted;

  real = strand_trust_check (path, STRAND_PLUGIN_DIR, &trusted, error);
  if (real == NULL)
    return FALSE;
  if (strcmp (real, path) != 0 || !strand_file_identity_equal (&trusted, &descriptor->identity))
    {
      g_set_error_literal (
          error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_CHANGED,
          "it was replaced or changed while it was being checked; try again once its installation "
          "is done");
      return FALSE;
    }
  return strand_descriptor_check (descriptor, error) && check_classes (descriptor, error);
}

gboolean
strand_plugin_file_judge (const StrandPluginFile *self, GError **error)
{
  const Loaded *loaded = lookup_loaded (self->path);
  const GError *known = loaded != NULL ? loaded->error : self->error;

  if (known != NULL)
    g_propagate_error (error, g_error_copy (known));
  else if (loaded != NULL || check_unloaded (self->path, self->descriptor, error))
    return TRUE;
  return strand_plugin_file_prefix (self->path, error);
}

/* --- loading --- */

static gboolean
check_array (const StrandPluginGetType *array, guint wanted, GError **error)
{
  guint n = 0;

  if (array == NULL)
    {
      g_set_error_literal (
          error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_NO_TYPES,
          "it does not export 'strand_plugin_types'; end it with STRAND_PLUGIN_DEFINE() and build it "
          "again");
      return FALSE;
    }
  while (n < wanted && array[n] != NULL)
    n++;
  if (n == wanted && array[n] == NULL)
    return TRUE;
  g_set_error (
      error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_NO_TYPES,
      "its descriptor speaks of %u types, but its 'strand_plugin_types' has %s; let STRAND_PLUGIN_DEFINE() "
      "make both",
      wanted, n < wanted ? "fewer" : "more");
  return FALSE;
}

static gboolean
check_type (GType gtype, const StrandProvided *provided, GError **error)
{
  const char *kind = strand_kind_to_string (provided->kind);
  GType interface = strand_kind_get_interface (provided->kind);

  if (gtype == G_TYPE_INVALID || g_strcmp0 (g_type_name (gtype), provided->gtype_name) != 0)
    g_set_error (error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_BAD_TYPE,
                 "the get-type function of %s '%s' returned %s%s%s instead of class '%s'; let its "
                 "STRAND_PROVIDES line name the class and the function that belong together",
                 kind, provided->type, gtype == G_TYPE_INVALID ? "no type" : "'",
                 gtype == G_TYPE_INVALID ? "" : g_type_name (gtype), gtype == G_TYPE_INVALID ? "" : "'",
                 provided->gtype_name);
  else if (!g_type_is_a (gtype, G_TYPE_OBJECT) || G_TYPE_IS_ABSTRACT (gtype))
    g_set_error (error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_BAD_TYPE,
                 "the class '%s' of %s '%s' cannot be instantiated; provide a final GObject class",
                 provided->gtype_name, kind, provided->type);
  else if (!g_type_is_a (gtype, interface))
    g_set_error (
        error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_WRONG_INTERFACE,
        "its class '%s' claims to be a %s, but does not implement %s; add G_IMPLEMENT_INTERFACE() to it",
        provided->gtype_name, kind, g_type_name (interface));
  else
    return TRUE;
  return FALSE;
}

/* The plugin's code runs from here on. Its classes are looked for once more, because its constructors or
 * another thread may have registered one since. */
static gboolean
call_get_types (Loaded *loaded, StrandModule *module, GError **error)
{
  const GPtrArray *provided = loaded->descriptor->provided;
  const StrandPluginGetType *array = strand_module_symbol (module, "strand_plugin_types");

  if (!check_array (array, provided->len, error) || !check_classes (loaded->descriptor, error))
    return FALSE;
  for (guint i = 0; i < provided->len; i++)
    {
      loaded->types[i] = array[i]();
      if (!check_type (loaded->types[i], g_ptr_array_index (provided, i), error))
        return FALSE;
    }
  return TRUE;
}

static const Loaded *
load_new (const StrandPluginFile *self, GError **error)
{
  StrandModule *module;
  Loaded *loaded;

  if (self->error != NULL)
    {
      g_propagate_error (error, g_error_copy (self->error));
      return NULL;
    }
  if (!check_unloaded (self->path, self->descriptor, error))
    return NULL;
  module = strand_module_open (self->path, &self->descriptor->identity, error);
  if (module == NULL)
    return NULL;

  loaded = g_new0 (Loaded, 1);
  loaded->descriptor = strand_descriptor_ref (self->descriptor);
  loaded->types = g_new0 (GType, self->descriptor->provided->len);
  if (call_get_types (loaded, module, &loaded->error))
    strand_debug (STRAND_TOPIC_PLUGIN, "loaded plugin '%s' %s from '%s'", self->descriptor->name,
                  self->descriptor->version, self->path);
  keep_loaded (self->path, loaded);
  return loaded;
}

static GType
type_of_loaded (const Loaded *loaded, StrandKind kind, const char *type, GError **error)
{
  guint index;

  if (loaded->error != NULL)
    g_propagate_error (error, g_error_copy (loaded->error));
  else if (strand_descriptor_find (loaded->descriptor, kind, type, &index) != NULL)
    return loaded->types[index];
  else
    g_set_error (error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_CHANGED,
                 "this process has loaded version %s of it, which has no %s '%s'; start the program again",
                 loaded->descriptor->version, strand_kind_to_string (kind), type);
  return G_TYPE_INVALID;
}

GType
strand_plugin_file_load (const StrandPluginFile *self, StrandKind kind, const char *type, GError **error)
{
  g_autoptr(GError) local = NULL;
  const Loaded *loaded;
  GType gtype = G_TYPE_INVALID;

  g_rec_mutex_lock (&loading);
  loaded = lookup_loaded (self->path);
  if (loaded == NULL)
    loaded = load_new (self, &local);
  g_rec_mutex_unlock (&loading);

  if (loaded != NULL)
    gtype = type_of_loaded (loaded, kind, type, &local);
  if (local == NULL)
    return gtype;
  strand_plugin_file_prefix (self->path, &local);
  if (loaded == NULL && self->descriptor != NULL)
    keep_failure (self, local);
  g_propagate_error (error, g_steal_pointer (&local));
  return G_TYPE_INVALID;
}
