/* strand-plugin-folder.c — one folder of the search path, and which of its files has a type.
 *
 * A type's namesake comes first, `sqlite-store.so` for store `sqlite`, and then files go by name. So a
 * program that uses three of two hundred plugins opens three files; only a type without a namesake makes us
 * read what the folder has, once, and again when the folder changed or when something is not found.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-plugins-private.h"

#include "strand-error.h"

void
plugin_folder_free (gpointer data)
{
  PluginFolder *self = data;

  g_free (self->path);
  g_clear_pointer (&self->files, g_ptr_array_unref);
  g_clear_error (&self->error);
  g_free (self);
}

PluginFolder *
plugin_folder_new (const char *path, gboolean asked)
{
  PluginFolder *self = g_new0 (PluginFolder, 1);

  self->path = g_strdup (path);
  self->asked = asked;
  return self;
}

static void
folder_scan (PluginFolder *self)
{
  g_clear_pointer (&self->files, g_ptr_array_unref);
  g_clear_error (&self->error);
  if (g_path_is_absolute (self->path))
    self->files = strand_plugin_file_scan (self->path, &self->error);
  else
    g_set_error_literal (
        &self->error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_RELATIVE_PATH,
        "it is not absolute, so what it means would depend on the current folder; write it in full");
  if (self->error != NULL)
    {
      g_autofree char *shown = g_filename_display_name (self->path);

      g_prefix_error (&self->error, "Could not use plugin folder '%s': ", shown);
    }
}

/* Adding, removing and renaming change a folder's times; so does every usual way to install a file. */
void
plugin_folder_refresh (PluginFolder *self, gboolean afresh)
{
  StrandFileIdentity now = { 0 };
  struct stat st;

  if (stat (self->path, &st) == 0)
    strand_file_identity_init (&now, &st);
  if (!afresh && (self->files != NULL || self->error != NULL) &&
      strand_file_identity_equal (&now, &self->identity))
    return;
  self->identity = now;
  folder_scan (self);
}

/* The file that has the type by its name: `sqlite-store.so` for store `sqlite`. */
char *
plugins_dup_file_name (StrandKind kind, const char *type)
{
  return g_strconcat (type, "-", strand_kind_to_string (kind), ".so", NULL);
}

static gboolean
provides (const StrandPluginFile *file, StrandKind kind, const char *type)
{
  return file->descriptor != NULL && strand_descriptor_find (file->descriptor, kind, type, NULL) != NULL;
}

/* The file whose name is the type's, if it keeps that promise. */
static StrandPluginFile *
folder_ref_namesake (PluginFolder *self, StrandKind kind, const char *type)
{
  g_autofree char *name = plugins_dup_file_name (kind, type);
  g_autofree char *path = g_build_filename (self->path, name, NULL);
  g_autoptr(StrandPluginFile) file = NULL;

  if (!g_path_is_absolute (self->path) || !strand_descriptor_is_type_name (type))
    return NULL;
  file = strand_plugin_file_new (path);
  return provides (file, kind, type) ? g_steal_pointer (&file) : NULL;
}

StrandPluginFile *
plugin_folder_ref_file (PluginFolder *self, StrandKind kind, const char *type, gboolean afresh)
{
  StrandPluginFile *namesake = folder_ref_namesake (self, kind, type);

  if (namesake != NULL)
    return namesake;
  plugin_folder_refresh (self, afresh);
  for (guint i = 0; self->files != NULL && i < self->files->len; i++)
    if (provides (g_ptr_array_index (self->files, i), kind, type))
      return strand_plugin_file_ref (g_ptr_array_index (self->files, i));
  return NULL;
}
