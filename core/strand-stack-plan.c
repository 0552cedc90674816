/* strand-stack-plan.c — the memory of a plan: its nodes, how they are found, and when two are the same.
 *
 * Two nodes are the same when their digests are: type, every value set, and the digests of all they refer
 * to. So a reload can keep an object exactly when nothing about it, or below it, has changed.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-stack-private.h"
#include "strand-param.h"
#include "strand-schema-private.h"

#include <string.h>

GPtrArray *
strand_problems_new (void)
{
  return g_ptr_array_new_with_free_func ((GDestroyNotify) strand_problem_free);
}

void
strand_setting_free (StrandSetting *setting)
{
  g_param_spec_unref (setting->pspec);
  if (G_IS_VALUE (&setting->value))
    g_value_unset (&setting->value);
  g_clear_pointer (&setting->refs, g_array_unref);
  g_free (setting->variables);
  g_free (setting);
}

static void
node_free (StrandNode *node)
{
  g_free (node->name);
  g_free (node->title);
  g_free (node->type);
  g_free (node->digest);
  g_ptr_array_unref (node->settings);
  g_clear_error (&node->missing);
  g_clear_pointer (&node->klass, g_type_class_unref);
  g_clear_object (&node->object);
  g_free (node);
}

StrandPlan *
strand_plan_new (const char *file)
{
  StrandPlan *self = g_new0 (StrandPlan, 1);

  g_atomic_ref_count_init (&self->refs);
  self->file = g_strdup (file);
  self->by_name = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  self->nodes = g_ptr_array_new_with_free_func ((GDestroyNotify) node_free);
  self->warnings = strand_problems_new ();
  return self;
}

StrandPlan *
strand_plan_ref (StrandPlan *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

void
strand_plan_unref (StrandPlan *self)
{
  if (!g_atomic_ref_count_dec (&self->refs))
    return;

  g_free (self->file);
  g_hash_table_unref (self->by_name);
  g_ptr_array_unref (self->nodes);
  g_ptr_array_unref (self->warnings);
  g_strfreev (self->modules);
  g_free (self->default_backend);
  g_free (self);
}

static char *
node_id (StrandKind kind, const char *name)
{
  return g_strdup_printf ("%s %s", strand_kind_to_string (kind), name);
}

StrandNode *
strand_plan_lookup (StrandPlan *self, StrandKind kind, const char *name)
{
  g_autofree char *id = node_id (kind, name);

  return g_hash_table_lookup (self->by_name, id);
}

/* A second node of one name is kept, so that its mistakes are found too, but no reference reaches it. */
StrandNode *
strand_plan_add (StrandPlan *self, StrandKind kind, const char *name, const char *title, guint line)
{
  StrandNode *node = g_new0 (StrandNode, 1);
  g_autofree char *id = node_id (kind, name);

  node->kind = kind;
  node->name = g_strdup (name);
  node->title = g_strdup (title);
  node->line = node->type_line = line;
  node->settings = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_setting_free);
  g_ptr_array_add (self->nodes, node);
  if (!g_hash_table_contains (self->by_name, id))
    g_hash_table_insert (self->by_name, g_steal_pointer (&id), node);
  return node;
}

void
strand_node_set_gtype (StrandNode *self, GType gtype)
{
  self->klass = g_type_class_ref (gtype);
}

StrandNode *
strand_plan_add_implied (StrandPlan *self, StrandKind kind, const char *type, GType gtype, guint line)
{
  g_autofree char *title = node_id (kind, type);
  StrandNode *node = strand_plan_add (self, kind, type, title, line);

  node->type = g_strdup (type);
  node->implied = TRUE;
  strand_node_set_gtype (node, gtype);
  return node;
}

int
strand_compare_words (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

GStrv
strand_node_list_keys (StrandNode *self)
{
  g_autoptr(GPtrArray) keys = g_ptr_array_new ();
  guint n_properties = 0;
  g_autofree GParamSpec **properties =
      g_object_class_list_properties (G_OBJECT_CLASS (self->klass), &n_properties);
  StrandKind kind;

  for (guint i = 0; i < n_properties; i++)
    {
      if (strand_schema_get_form (properties[i], &kind) == STRAND_SCHEMA_NONE)
        continue;
      g_ptr_array_add (keys, g_strdup (properties[i]->name));
      if (properties[i]->flags & STRAND_PARAM_SECRET)
        g_ptr_array_add (keys, g_strconcat (properties[i]->name, "-file", NULL));
    }
  g_ptr_array_sort (keys, strand_compare_words);
  g_ptr_array_add (keys, NULL);
  return (GStrv) g_ptr_array_free (g_steal_pointer (&keys), FALSE);
}

GStrv
strand_plan_list_names (StrandPlan *self, StrandPlugins *plugins, StrandKind kind)
{
  g_autoptr(GPtrArray) names = g_ptr_array_new ();
  g_autoptr(GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);
  g_auto(GStrv) types = strand_plugins_list_types (plugins, kind);

  for (guint i = 0; types != NULL && types[i] != NULL; i++)
    if (g_hash_table_add (seen, types[i]))
      g_ptr_array_add (names, g_strdup (types[i]));
  for (guint i = 0; i < self->nodes->len; i++)
    {
      StrandNode *node = g_ptr_array_index (self->nodes, i);

      if (node->kind == kind && !node->inside && g_hash_table_add (seen, node->name))
        g_ptr_array_add (names, g_strdup (node->name));
    }
  g_ptr_array_sort (names, strand_compare_words);
  g_ptr_array_add (names, NULL);
  return (GStrv) g_ptr_array_free (g_steal_pointer (&names), FALSE);
}

static int
compare_settings (gconstpointer a, gconstpointer b)
{
  const StrandSetting *const *x = a, *const *y = b;

  return strcmp ((*x)->pspec->name, (*y)->pspec->name);
}

/* Cycles have been refused before. */
static const char *
digest_node (StrandNode *node)
{
  g_autoptr(GChecksum) sum = NULL;

  if (node->digest != NULL)
    return node->digest;

  sum = g_checksum_new (G_CHECKSUM_SHA256);
  g_checksum_update (sum, (const guchar *) G_OBJECT_CLASS_NAME (node->klass), -1);
  g_ptr_array_sort (node->settings, compare_settings);
  for (guint i = 0; i < node->settings->len; i++)
    {
      StrandSetting *setting = g_ptr_array_index (node->settings, i);
      g_autofree char *text =
          setting->refs == NULL ? strand_schema_print (setting->pspec, &setting->value) : NULL;

      g_checksum_update (sum, (const guchar *) setting->pspec->name, strlen (setting->pspec->name) + 1);
      if (text != NULL)
        g_checksum_update (sum, (const guchar *) text, strlen (text) + 1);
      for (guint j = 0; setting->refs != NULL && j < setting->refs->len; j++)
        {
          StrandRef *ref = &g_array_index (setting->refs, StrandRef, j);

          if (ref->node != NULL)
            g_checksum_update (sum, (const guchar *) digest_node (ref->node), -1);
        }
    }
  node->digest = g_strdup (g_checksum_get_string (sum));
  return node->digest;
}

void
strand_plan_digest (StrandPlan *self)
{
  for (guint i = 0; i < self->nodes->len; i++)
    {
      StrandNode *node = g_ptr_array_index (self->nodes, i);

      if (node->klass != NULL)
        digest_node (node);
    }
}
