/* strand-stack-type.c — what the `type` of a group means.
 *
 * Usually a type of the group's kind. A backend's may name a taskrunner instead, which is short for a local
 * backend with a runner of its own; then one group sets both, and two keys of one name would be one too many.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-stack-check-private.h"
#include "strand-error.h"
#include "strand-schema-private.h"

/* The backend that a short form means. */
#define SHORT_FORM_BACKEND "local"

/* What `type` may say, in order, NULL at the end. A backend's may be a taskrunner's. */
static GPtrArray *
list_types (StrandChecker *self, StrandKind kind)
{
  GPtrArray *types = g_ptr_array_new_with_free_func (g_free);

  for (int i = 0; i < STRAND_N_KINDS; i++)
    if (i == (int) kind || (kind == STRAND_KIND_BACKEND && i == STRAND_KIND_TASKRUNNER))
      {
        g_auto(GStrv) some = strand_plugins_list_types (self->plugins, i);

        for (guint j = 0; some[j] != NULL; j++)
          g_ptr_array_add (types, g_strdup (some[j]));
      }
  g_ptr_array_sort (types, strand_compare_words);
  g_ptr_array_add (types, NULL);
  return types;
}

/* Why there is no such type. */
static GError *
explain_missing (StrandChecker *self, StrandKind kind, const char *type, const GError *cause)
{
  g_autoptr(GPtrArray) types = NULL;
  g_autofree char *hint = NULL;
  const char *elsewhere = NULL;

  if (!g_error_matches (cause, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_NOT_FOUND))
    return g_error_copy (cause);

  for (int i = 0; i < STRAND_N_KINDS; i++)
    {
      g_auto(GStrv) some = strand_plugins_list_types (self->plugins, i);

      if (g_strv_contains ((const char *const *) some, type))
        elsewhere = strand_kind_to_string (i);
    }
  types = list_types (self, kind);
  hint = strand_schema_hint (type, (const char *const *) types->pdata, "types there are");
  if (elsewhere != NULL)
    return g_error_new (STRAND_ERROR, STRAND_ERROR_CONFIG, "'%s' is a type of %s, not of %s%s", type,
                        elsewhere, strand_kind_to_string (kind), hint);
  return g_error_new (STRAND_ERROR, STRAND_ERROR_CONFIG, "there is no %s type '%s'%s",
                      strand_kind_to_string (kind), type, hint);
}

/* A key that both have could mean either. */
static void
check_keys_differ (StrandChecker *self, StrandNode *node)
{
  g_auto(GStrv) backend_keys = strand_node_list_keys (node);
  g_auto(GStrv) runner_keys = strand_node_list_keys (node->runner);

  for (guint i = 0; runner_keys[i] != NULL; i++)
    if (g_strv_contains ((const char *const *) backend_keys, runner_keys[i]))
      strand_checker_complain (
          self, node->type_line, node->title, "type",
          "the taskrunner type '%s' defines the key '%s', which is the backend's; its plugin has "
          "to rename it",
          node->runner->type, runner_keys[i]);
}

/* `type=process` in a backend: a local backend with a runner of its own, both set by one group. */
static void
use_short_form (StrandChecker *self, StrandNode *node, GType runner_type)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *name = g_strdup_printf ("in %s", node->title); /* the space keeps references away */
  GType gtype = strand_plugins_load (self->plugins, STRAND_KIND_BACKEND, SHORT_FORM_BACKEND, &error);
  StrandRef ref = { NULL, FALSE };
  StrandSetting *setting;
  GParamSpec *pspec;
  StrandKind kind;

  if (gtype == G_TYPE_INVALID)
    {
      node->missing = explain_missing (self, STRAND_KIND_BACKEND, SHORT_FORM_BACKEND, error);
      return;
    }
  strand_node_set_gtype (node, gtype);
  node->runner = ref.node =
      strand_plan_add (self->plan, STRAND_KIND_TASKRUNNER, name, node->title, node->line);
  node->runner->inside = TRUE;
  node->runner->type_line = node->type_line;
  node->runner->type = node->type;
  node->type = g_strdup (SHORT_FORM_BACKEND);
  strand_node_set_gtype (node->runner, runner_type);
  check_keys_differ (self, node);

  pspec = g_object_class_find_property (G_OBJECT_CLASS (node->klass), STRAND_SHORT_FORM_KEY);
  if (pspec == NULL || strand_schema_get_form (pspec, &kind) != STRAND_SCHEMA_REFERENCE)
    {
      strand_checker_complain (
          self, node->type_line, node->title, "type",
          "the backend type 'local' takes no taskrunner, so there is no short form; write a "
          "backend type");
      return;
    }
  setting = g_new0 (StrandSetting, 1);
  setting->pspec = g_param_spec_ref (pspec);
  setting->line = node->type_line;
  setting->refs = g_array_new (FALSE, FALSE, sizeof (StrandRef));
  g_array_append_val (setting->refs, ref);
  g_ptr_array_add (node->settings, setting);
}

static void
complain_of_no_type (StrandChecker *self, StrandKeyfileGroup *group, StrandKind kind)
{
  g_autoptr(GPtrArray) types = list_types (self, kind);
  g_autofree char *list = g_strjoinv (", ", (char **) types->pdata);

  strand_checker_complain (self, group->line, group->title, NULL,
                           "the key 'type' is missing; write one of: %s",
                           *list != '\0' ? list : "(no plugin provides any)");
}

void
strand_checker_resolve_type (StrandChecker *self, StrandKeyfileGroup *group, StrandNode *node)
{
  StrandKeyfileEntry *entry = strand_keyfile_group_lookup (group, "type");
  g_autoptr(GError) error = NULL;
  GType gtype;

  if (node->kind >= STRAND_N_KINDS)
    {
      node->type = g_strdup (strand_kind_to_string (node->kind));
      strand_node_set_gtype (node, strand_kind_get_interface (node->kind));
      if (entry != NULL)
        strand_checker_complain (self, entry->line, group->title, "type",
                                 "there is one type of %s; take the key out", node->type);
      return;
    }
  if (entry == NULL)
    {
      if (!group->unreadable)
        complain_of_no_type (self, group, node->kind);
      return;
    }

  node->type_line = entry->line;
  node->type = strand_setting_read_word (entry, &error);
  if (node->type == NULL)
    {
      strand_checker_complain (self, entry->line, group->title, "type", "%s", error->message);
      return;
    }

  gtype = strand_plugins_load (self->plugins, node->kind, node->type, &error);
  if (gtype == G_TYPE_INVALID && node->kind == STRAND_KIND_BACKEND &&
      g_error_matches (error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_NOT_FOUND))
    {
      g_autoptr(GError) runner_error = NULL;
      GType runner = strand_plugins_load (self->plugins, STRAND_KIND_TASKRUNNER, node->type, &runner_error);

      if (runner != G_TYPE_INVALID)
        {
          use_short_form (self, node, runner);
          return;
        }
      if (!g_error_matches (runner_error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_NOT_FOUND))
        {
          g_clear_error (&error);
          error = g_steal_pointer (&runner_error);
        }
    }

  if (gtype != G_TYPE_INVALID)
    strand_node_set_gtype (node, gtype);
  else
    node->missing = explain_missing (self, node->kind, node->type, error);
}
