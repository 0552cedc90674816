/* strand-stack-describe.c — draws a plan for a person, and lists it for a program.
 *
 * Every key that a type has is shown, set or not, with where its value comes from, so that nobody has to know
 * a default by heart. What a property flagged as a secret holds is shown nowhere.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-stack-private.h"
#include "strand-param.h"
#include "strand-schema-private.h"

#include <string.h>

typedef struct
{
  StrandPlan *plan;
  GPtrArray *infos; /* of StrandPluginInfo */
  GString *text;
  GHashTable *drawn; /* nodes that stand further up already */
} Drawing;

static const StrandPluginInfo *
find_info (GPtrArray *infos, StrandNode *node)
{
  for (guint i = 0; node->klass != NULL && i < infos->len; i++)
    {
      const StrandPluginInfo *info = g_ptr_array_index (infos, i);

      if (info->kind_known && info->kind == node->kind && info->state == STRAND_PLUGIN_STATE_LOADED &&
          g_strcmp0 (info->gtype_name, G_OBJECT_CLASS_NAME (node->klass)) == 0)
        return info;
    }
  return NULL;
}

static StrandSetting *
find_setting (StrandNode *node, GParamSpec *pspec)
{
  for (guint i = 0; i < node->settings->len; i++)
    {
      StrandSetting *setting = g_ptr_array_index (node->settings, i);

      if (setting->pspec == pspec)
        return setting;
    }
  return NULL;
}

/* A line of the keyfile, or what stands in for one. */
static char *
describe_line (StrandPlan *plan, guint line)
{
  return line > 0 ? g_strdup_printf ("%s:%u", plan->file, line) : g_strdup ("built-in");
}

static char *
describe_origin (StrandPlan *plan, StrandSetting *setting)
{
  g_autofree char *line = NULL;

  if (setting == NULL)
    return g_strdup ("default");
  line = describe_line (plan, setting->line);
  return setting->variables != NULL ? g_strdup_printf ("%s, environment %s", line, setting->variables)
                                    : g_steal_pointer (&line);
}

/* Not for references. A secret that is set is a word, one that is not is nothing. */
static char *
describe_value (GParamSpec *pspec, StrandSetting *setting)
{
  const GValue *value = setting != NULL ? &setting->value : g_param_spec_get_default_value (pspec);

  if (pspec->flags & STRAND_PARAM_SECRET)
    return g_strdup (setting != NULL ? "(secret)" : "");
  return strand_schema_print (pspec, value);
}

static char *
describe_references (StrandSetting *setting)
{
  g_autoptr(GString) text = g_string_new (NULL);

  for (guint i = 0; setting != NULL && i < setting->refs->len; i++)
    {
      StrandRef *ref = &g_array_index (setting->refs, StrandRef, i);

      if (ref->node != NULL)
        g_string_append_printf (text, "%s%s%s", text->len > 0 ? ";" : "",
                                ref->node->inside ? ref->node->type : ref->node->name,
                                ref->optional ? "?" : "");
    }
  return g_strdup (text->str);
}

/* The properties that are keys, in the order in which the class declares them. */
static GPtrArray *
list_properties (StrandNode *node)
{
  GPtrArray *keys = g_ptr_array_new ();
  guint n_properties = 0;
  g_autofree GParamSpec **properties =
      g_object_class_list_properties (G_OBJECT_CLASS (node->klass), &n_properties);
  StrandKind kind;

  for (guint i = 0; i < n_properties; i++)
    if (strand_schema_get_form (properties[i], &kind) != STRAND_SCHEMA_NONE)
      g_ptr_array_add (keys, properties[i]);
  return keys;
}

static gboolean
is_reference (GParamSpec *pspec)
{
  StrandKind kind;

  return strand_schema_get_form (pspec, &kind) >= STRAND_SCHEMA_REFERENCE;
}

static void
draw_heading (Drawing *drawing, StrandNode *node)
{
  g_autofree char *line = describe_line (drawing->plan, node->line);

  g_string_append_printf (drawing->text, "%s %s", strand_kind_to_string (node->kind),
                          node->inside ? node->type : node->name);
  if (node->kind == STRAND_KIND_BACKEND && g_strcmp0 (node->name, drawing->plan->default_backend) == 0)
    g_string_append (drawing->text, " (default)");
  if (node->runner != NULL)
    g_string_append_printf (drawing->text, "  type %s, short for %s", node->runner->type, node->type);
  else
    g_string_append_printf (drawing->text, "  type %s", node->type);
  g_string_append_printf (drawing->text, "  %s\n", line);
}

static void
append_plugin (Drawing *drawing, const char *indent, StrandNode *node)
{
  const StrandPluginInfo *info = find_info (drawing->infos, node);

  if (info != NULL)
    g_string_append_printf (drawing->text, "%s  plugin %s %s  %s\n", indent, info->plugin_name,
                            info->plugin_version, info->file);
  else
    g_string_append_printf (drawing->text, "%s  the program's own %s\n", indent,
                            G_OBJECT_CLASS_NAME (node->klass));
}

static void draw_node (Drawing *drawing, const char *indent, StrandNode *node);

/* The objects that @node refers to, in the order of its properties. */
static void
draw_below (Drawing *drawing, const char *indent, StrandNode *node, GPtrArray *properties)
{
  g_autoptr(GPtrArray) below = g_ptr_array_new ();

  for (guint i = 0; i < properties->len; i++)
    {
      GParamSpec *pspec = g_ptr_array_index (properties, i);
      StrandSetting *setting = is_reference (pspec) ? find_setting (node, pspec) : NULL;

      for (guint j = 0; setting != NULL && j < setting->refs->len; j++)
        if (g_array_index (setting->refs, StrandRef, j).node != NULL)
          g_ptr_array_add (below, g_array_index (setting->refs, StrandRef, j).node);
    }

  for (guint i = 0; i < below->len; i++)
    {
      gboolean last = i + 1 == below->len;
      g_autofree char *deeper = g_strconcat (indent, last ? "     " : "  │  ", NULL);

      g_string_append_printf (drawing->text, "%s  %s ", indent, last ? "└─" : "├─");
      draw_node (drawing, deeper, g_ptr_array_index (below, i));
    }
}

static void
draw_node (Drawing *drawing, const char *indent, StrandNode *node)
{
  g_autoptr(GPtrArray) properties = NULL;

  draw_heading (drawing, node);
  if (!g_hash_table_add (drawing->drawn, node))
    {
      g_string_append_printf (drawing->text, "%s  (as above)\n", indent);
      return;
    }
  append_plugin (drawing, indent, node);

  properties = list_properties (node);
  for (guint i = 0; i < properties->len; i++)
    {
      GParamSpec *pspec = g_ptr_array_index (properties, i);
      StrandSetting *setting = find_setting (node, pspec);
      g_autofree char *origin = describe_origin (drawing->plan, setting);
      g_autofree char *value =
          is_reference (pspec) ? describe_references (setting) : describe_value (pspec, setting);

      g_string_append_printf (drawing->text, "%s  %s=%s  (%s)\n", indent, pspec->name, value, origin);
    }
  draw_below (drawing, indent, node, properties);
}

char *
strand_plan_describe (StrandPlan *self, StrandPlugins *plugins, GPtrArray *warnings, guint64 generation)
{
  g_autoptr(GPtrArray) infos = strand_plugins_list (plugins);
  g_autoptr(GHashTable) drawn = g_hash_table_new (NULL, NULL);
  Drawing drawing = { self, infos, g_string_new (NULL), drawn };
  StrandNode *first = self->default_backend != NULL
                          ? strand_plan_lookup (self, STRAND_KIND_BACKEND, self->default_backend)
                          : NULL;

  g_string_append_printf (drawing.text, "stack %s\n", self->file);
  for (guint i = 0; self->modules != NULL && self->modules[i] != NULL; i++)
    g_string_append_printf (drawing.text, "module %s\n", self->modules[i]);
  for (guint i = 0; i < warnings->len; i++)
    {
      g_autofree char *line = strand_problem_to_string (g_ptr_array_index (warnings, i));

      g_string_append_printf (drawing.text, "warning %s\n", line);
    }
  if (first != NULL)
    {
      g_string_append_c (drawing.text, '\n');
      draw_node (&drawing, "", first);
    }
  /* Backends first: what they refer to is drawn with them. What nothing refers to comes last. */
  for (guint pass = 0; pass < 2; pass++)
    for (guint i = 0; i < self->nodes->len; i++)
      {
        StrandNode *node = g_ptr_array_index (self->nodes, i);

        if (node->klass == NULL || (pass == 0 && node->kind != STRAND_KIND_BACKEND) ||
            g_hash_table_contains (drawn, node))
          continue;
        g_string_append_c (drawing.text, '\n');
        draw_node (&drawing, "", node);
      }
  return g_string_free (drawing.text, FALSE);
}

static GVariant *
property_to_variant (StrandPlan *plan, GParamSpec *pspec, StrandSetting *setting)
{
  g_auto(GVariantDict) dict = G_VARIANT_DICT_INIT (NULL);
  g_autofree char *origin = describe_origin (plan, setting);

  g_variant_dict_insert (&dict, "name", "s", pspec->name);
  g_variant_dict_insert (&dict, "origin", "s", origin);
  g_variant_dict_insert (&dict, "secret", "b", (pspec->flags & STRAND_PARAM_SECRET) != 0);
  if (is_reference (pspec))
    {
      g_autofree char *names = describe_references (setting);
      g_auto(GStrv) split = g_strsplit (names, ";", -1);

      g_variant_dict_insert_value (&dict, "references", g_variant_new_strv ((const char *const *) split, -1));
    }
  else
    {
      g_autofree char *value = describe_value (pspec, setting);

      g_variant_dict_insert (&dict, "value", "s", value);
    }
  return g_variant_dict_end (&dict);
}

static GVariant *
node_to_variant (StrandPlan *plan, GPtrArray *infos, StrandNode *node)
{
  g_auto(GVariantDict) dict = G_VARIANT_DICT_INIT (NULL);
  g_autoptr(GPtrArray) properties = list_properties (node);
  const StrandPluginInfo *info = find_info (infos, node);
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < properties->len; i++)
    {
      GParamSpec *pspec = g_ptr_array_index (properties, i);

      g_variant_builder_add_value (&builder, property_to_variant (plan, pspec, find_setting (node, pspec)));
    }
  g_variant_dict_insert (&dict, "kind", "s", strand_kind_to_string (node->kind));
  g_variant_dict_insert (&dict, "name", "s", node->name);
  g_variant_dict_insert (&dict, "type", "s", node->type);
  g_variant_dict_insert (&dict, "line", "u", node->line);
  if (info != NULL)
    {
      g_variant_dict_insert (&dict, "plugin", "s", info->file);
      g_variant_dict_insert (&dict, "version", "s", info->plugin_version);
    }
  g_variant_dict_insert_value (&dict, "properties", g_variant_builder_end (&builder));
  return g_variant_dict_end (&dict);
}

GVariant *
strand_plan_to_variant (StrandPlan *self, StrandPlugins *plugins, GPtrArray *warnings, guint64 generation)
{
  g_auto(GVariantDict) dict = G_VARIANT_DICT_INIT (NULL);
  g_autoptr(GPtrArray) infos = strand_plugins_list (plugins);
  GVariantBuilder objects, lines;

  g_variant_builder_init (&objects, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < self->nodes->len; i++)
    {
      StrandNode *node = g_ptr_array_index (self->nodes, i);

      if (node->klass != NULL)
        g_variant_builder_add_value (&objects, node_to_variant (self, infos, node));
    }
  g_variant_builder_init (&lines, G_VARIANT_TYPE ("as"));
  for (guint i = 0; i < warnings->len; i++)
    {
      g_autofree char *line = strand_problem_to_string (g_ptr_array_index (warnings, i));

      g_variant_builder_add (&lines, "s", line);
    }

  g_variant_dict_insert (&dict, "file", "s", self->file);
  g_variant_dict_insert (&dict, "generation", "t", generation);
  g_variant_dict_insert (&dict, "default-backend", "s",
                         self->default_backend != NULL ? self->default_backend : "");
  g_variant_dict_insert_value (&dict, "warnings", g_variant_builder_end (&lines));
  g_variant_dict_insert_value (&dict, "objects", g_variant_builder_end (&objects));
  return g_variant_dict_end (&dict);
}
