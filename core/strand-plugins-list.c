/* strand-plugins-list.c — what the plugin host's folders have, and which of it counts.
 *
 * Whoever comes first has a type, for listing and loading alike; the others are shadowed by it.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-plugins-private.h"

#include "strand-error.h"
#include "strand-param.h"

#include <string.h>

static GHashTable *
known_winners_locked (StrandPlugins *self)
{
  GHashTable *winners = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  GHashTableIter iter;
  gpointer key, value;

  g_hash_table_iter_init (&iter, self->known);
  while (g_hash_table_iter_next (&iter, &key, &value))
    {
      const PluginKnown *known = value;

      g_hash_table_insert (winners, g_strdup (key),
                           g_strdup (known->file != NULL ? known->file : "this program"));
    }
  return winners;
}

/* What namesakes have comes before what the alphabet would give to others. */
static void
claim_namesakes (const GPtrArray *files, GHashTable *winners)
{
  for (guint i = 0; i < files->len; i++)
    {
      const StrandPluginFile *file = g_ptr_array_index (files, i);

      for (guint j = 0; file->descriptor != NULL && j < file->descriptor->provided->len; j++)
        {
          const StrandProvided *provided = g_ptr_array_index (file->descriptor->provided, j);
          g_autofree char *name = plugins_dup_file_name (provided->kind, provided->type);
          g_autofree char *key = plugins_dup_key (provided->kind, provided->type);

          if (strcmp (name, file->name) == 0 && !g_hash_table_contains (winners, key))
            g_hash_table_insert (winners, g_steal_pointer (&key), g_strdup (file->path));
        }
    }
}

static void
list_folder_locked (PluginFolder *folder, gboolean afresh, GHashTable *winners, GHashTable *listed,
                    GPtrArray *infos)
{
  plugin_folder_refresh (folder, afresh);
  if (folder->error != NULL &&
      (folder->asked || !g_error_matches (folder->error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_NOT_FOUND)))
    g_ptr_array_add (infos, plugin_info_new_refused (folder->path, g_error_copy (folder->error)));
  if (folder->files != NULL)
    claim_namesakes (folder->files, winners);
  for (guint i = 0; folder->files != NULL && i < folder->files->len; i++)
    {
      const StrandPluginFile *file = g_ptr_array_index (folder->files, i);

      /* The same file by another way is no second candidate. */
      if (g_hash_table_add (listed, g_strdup (file->path)))
        plugin_infos_add (infos, file, winners);
    }
}

GPtrArray *
plugins_list_locked (StrandPlugins *self, gboolean afresh)
{
  g_autoptr(GHashTable) winners = known_winners_locked (self);
  g_autoptr(GHashTable) listed = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  GPtrArray *infos = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_plugin_info_free);

  for (guint i = 0; i < self->folders->len; i++)
    list_folder_locked (g_ptr_array_index (self->folders, i), afresh, winners, listed, infos);
  return infos;
}

static int
compare_strings (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

/* What was given out once, and what the files have that is neither shadowed nor refused. */
GStrv
plugins_list_types_locked (StrandPlugins *self, StrandKind kind)
{
  g_autoptr(GPtrArray) infos = plugins_list_locked (self, FALSE);
  g_autoptr(GHashTable) types = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr(GPtrArray) sorted = g_ptr_array_new ();
  g_autofree char *prefix = plugins_dup_key (kind, "");
  GHashTableIter iter;
  gpointer key;

  g_hash_table_iter_init (&iter, self->known);
  while (g_hash_table_iter_next (&iter, &key, NULL))
    if (g_str_has_prefix (key, prefix))
      g_hash_table_add (types, g_strdup ((const char *) key + strlen (prefix)));
  for (guint i = 0; i < infos->len; i++)
    {
      const StrandPluginInfo *info = g_ptr_array_index (infos, i);

      if (info->kind_known && info->kind == kind && info->error == NULL)
        g_hash_table_add (types, g_strdup (info->type));
    }

  g_hash_table_iter_init (&iter, types);
  while (g_hash_table_iter_next (&iter, &key, NULL))
    g_ptr_array_add (sorted, g_strdup (key));
  g_ptr_array_sort (sorted, compare_strings);
  g_ptr_array_add (sorted, NULL);
  return (GStrv) g_ptr_array_free (g_steal_pointer (&sorted), FALSE);
}

static guint
count_unreadable_locked (StrandPlugins *self)
{
  guint n = 0;

  for (guint i = 0; i < self->folders->len; i++)
    {
      const PluginFolder *folder = g_ptr_array_index (self->folders, i);

      for (guint j = 0; folder->files != NULL && j < folder->files->len; j++)
        n += ((StrandPluginFile *) g_ptr_array_index (folder->files, j))->error != NULL;
    }
  return n;
}

/* A file that bears the type's name but could not be read is what the question was about. */
static const StrandPluginFile *
find_unreadable_namesake_locked (StrandPlugins *self, StrandKind kind, const char *type)
{
  g_autofree char *name = plugins_dup_file_name (kind, type);

  for (guint i = 0; i < self->folders->len; i++)
    {
      const PluginFolder *folder = g_ptr_array_index (self->folders, i);

      for (guint j = 0; folder->files != NULL && j < folder->files->len; j++)
        {
          const StrandPluginFile *file = g_ptr_array_index (folder->files, j);

          if (file->error != NULL && strcmp (file->name, name) == 0)
            return file;
        }
    }
  return NULL;
}

gboolean
plugins_set_not_found_locked (StrandPlugins *self, StrandKind kind, const char *type, GError **error)
{
  const StrandPluginFile *namesake = find_unreadable_namesake_locked (self, kind, type);
  g_auto(GStrv) types = plugins_list_types_locked (self, kind);
  g_autofree char *names = g_strjoinv ("', '", types);
  const char *nearest = strand_suggest (type, (const char *const *) types);
  guint n_unreadable = count_unreadable_locked (self);
  g_autoptr(GString) message = g_string_new (NULL);

  if (namesake != NULL)
    return strand_plugin_file_judge (namesake, error);

  g_string_append_printf (message, "There is no %s '%s'; ", strand_kind_to_string (kind), type);
  if (types[0] != NULL)
    g_string_append_printf (message, "there %s '%s'", types[1] != NULL ? "are" : "is", names);
  else
    g_string_append_printf (message, "no %s was found at all, so look at STRAND_PLUGIN_PATH",
                            strand_kind_to_string (kind));
  if (nearest != NULL)
    g_string_append_printf (message, "; did you mean '%s'?", nearest);
  if (n_unreadable > 0)
    g_string_append_printf (message, " (%u %s not be read; 'strand plugins' says why)", n_unreadable,
                            n_unreadable == 1 ? "file could" : "files could");
  g_set_error_literal (error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_NOT_FOUND, message->str);
  return FALSE;
}
