/* strand-plugin-info.c — what is told of a plugin file: what it provides, and why it cannot be used.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-plugins-private.h"

#include "strand-error.h"

#include <string.h>

G_DEFINE_ENUM_TYPE (StrandPluginState, strand_plugin_state,
                    G_DEFINE_ENUM_VALUE (STRAND_PLUGIN_STATE_AVAILABLE, "available"),
                    G_DEFINE_ENUM_VALUE (STRAND_PLUGIN_STATE_LOADED, "loaded"),
                    G_DEFINE_ENUM_VALUE (STRAND_PLUGIN_STATE_SHADOWED, "shadowed"),
                    G_DEFINE_ENUM_VALUE (STRAND_PLUGIN_STATE_REFUSED, "refused"))

G_DEFINE_BOXED_TYPE (StrandPluginInfo, strand_plugin_info, strand_plugin_info_copy, strand_plugin_info_free)

static StrandPluginInfo *
info_new (const char *file)
{
  StrandPluginInfo *info = g_new0 (StrandPluginInfo, 1);

  info->file = g_strdup (file);
  info->abi_major = info->abi_minor = -1;
  return info;
}

StrandPluginInfo *
plugin_info_new_refused (const char *file, GError *error)
{
  StrandPluginInfo *info = info_new (file);

  info->state = STRAND_PLUGIN_STATE_REFUSED;
  info->error = error;
  return info;
}

static StrandPluginInfo *
info_new_for (const StrandPluginFile *file, const StrandProvided *provided)
{
  StrandPluginInfo *info = info_new (file->path);

  if (provided != NULL)
    {
      info->kind_known = TRUE;
      info->kind = provided->kind;
      info->type = g_strdup (provided->type);
      info->gtype_name = g_strdup (provided->gtype_name);
      info->summary = g_strdup (provided->summary);
    }
  if (file->descriptor != NULL)
    {
      info->plugin_name = g_strdup (file->descriptor->name);
      info->plugin_version = g_strdup (file->descriptor->version);
      info->license = g_strdup (file->descriptor->license);
      info->abi_major = file->descriptor->abi_major;
      info->abi_minor = file->descriptor->abi_minor;
    }
  return info;
}

static void
info_set_shadowed (StrandPluginInfo *info, const char *by)
{
  info->state = STRAND_PLUGIN_STATE_SHADOWED;
  info->shadowed_by = g_strdup (by);
  g_set_error (
      &info->error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_SHADOWED,
      "Could not use plugin '%s': %s '%s' is taken from '%s', which stands before it; take that off the "
      "search path to use this one",
      info->file, strand_kind_to_string (info->kind), info->type, by);
}

static void
info_set_judged (StrandPluginInfo *info, const StrandPluginFile *file, const GError *refusal)
{
  if (refusal != NULL)
    {
      info->state = STRAND_PLUGIN_STATE_REFUSED;
      info->error = g_error_copy (refusal);
    }
  else
    info->state =
        strand_plugin_file_is_loaded (file) ? STRAND_PLUGIN_STATE_LOADED : STRAND_PLUGIN_STATE_AVAILABLE;
}

/* @winners: "kind/type" → the file that has it, filled from the front of the path. NULL: nothing shadows. */
void
plugin_infos_add (GPtrArray *infos, const StrandPluginFile *file, GHashTable *winners)
{
  g_autoptr(GError) refusal = NULL;

  if (strand_plugin_file_judge (file, &refusal))
    refusal = strand_plugin_file_dup_failure (file);
  if (file->descriptor == NULL || file->descriptor->provided->len == 0)
    {
      StrandPluginInfo *info = info_new_for (file, NULL);

      info_set_judged (info, file, refusal);
      g_ptr_array_add (infos, info);
      return;
    }
  for (guint i = 0; i < file->descriptor->provided->len; i++)
    {
      const StrandProvided *provided = g_ptr_array_index (file->descriptor->provided, i);
      g_autofree char *key = plugins_dup_key (provided->kind, provided->type);
      StrandPluginInfo *info = info_new_for (file, provided);
      const char *winner = winners != NULL ? g_hash_table_lookup (winners, key) : NULL;

      if (winner != NULL && strcmp (winner, file->path) != 0)
        info_set_shadowed (info, winner);
      else
        info_set_judged (info, file, refusal);
      if (winners != NULL && winner == NULL)
        g_hash_table_insert (winners, g_steal_pointer (&key), g_strdup (file->path));
      g_ptr_array_add (infos, info);
    }
}

/**
 * strand_plugin_info_copy:
 * @self: an info
 *
 * Copies an info.
 *
 * Returns: (transfer full): the copy
 * Since: 1.0
 */
StrandPluginInfo *
strand_plugin_info_copy (const StrandPluginInfo *self)
{
  StrandPluginInfo *copy;

  g_return_val_if_fail (self != NULL, NULL);

  copy = g_memdup2 (self, sizeof *self);
  copy->file = g_strdup (self->file);
  copy->type = g_strdup (self->type);
  copy->gtype_name = g_strdup (self->gtype_name);
  copy->summary = g_strdup (self->summary);
  copy->plugin_name = g_strdup (self->plugin_name);
  copy->plugin_version = g_strdup (self->plugin_version);
  copy->license = g_strdup (self->license);
  copy->shadowed_by = g_strdup (self->shadowed_by);
  copy->error = self->error != NULL ? g_error_copy (self->error) : NULL;
  return copy;
}

/**
 * strand_plugin_info_free:
 * @self: (transfer full): an info
 *
 * Frees a copy. What is in an array goes with the array.
 *
 * Since: 1.0
 */
void
strand_plugin_info_free (StrandPluginInfo *self)
{
  g_return_if_fail (self != NULL);

  g_free (self->file);
  g_free (self->type);
  g_free (self->gtype_name);
  g_free (self->summary);
  g_free (self->plugin_name);
  g_free (self->plugin_version);
  g_free (self->license);
  g_free (self->shadowed_by);
  g_clear_error (&self->error);
  g_free (self);
}

/**
 * strand_plugins_inspect_file:
 * @file: (type filename): a path
 * @error: return location for a [error@Strand.PluginError]
 *
 * One file's descriptor, read without loading it: one info for each type provided, refused where this process
 * could not use it.
 *
 * Any thread; blocks on the disk.
 *
 * Returns: (transfer container) (element-type StrandPluginInfo): the infos, or %NULL with @error set where
 * the file has no descriptor that can be understood
 *
 * Since: 1.0
 */
GPtrArray *
strand_plugins_inspect_file (const char *file, GError **error)
{
  g_autoptr(StrandPluginFile) plugin = NULL;
  GPtrArray *infos;

  g_return_val_if_fail (file != NULL, NULL);

  plugin = strand_plugin_file_new (file);
  if (plugin->descriptor == NULL)
    {
      strand_plugin_file_judge (plugin, error);
      return NULL;
    }
  infos = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_plugin_info_free);
  plugin_infos_add (infos, plugin, NULL);
  return infos;
}
