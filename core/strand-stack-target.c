/* strand-stack-target.c — from a name to the object it means: made once, and kept.
 *
 * An object is made outside the lock, for its class is somebody else's code: two threads that ask at once may
 * both make one, and the one that comes second lets its own go. What is below an object is made before it.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-stack.h"
#include "strand-stack-private.h"
#include "strand-error.h"
#include "strand-log.h"
#include "strand-param.h"
#include "strand-schema-private.h"

#include <string.h>

static GObject *ref_node_object (StrandStack *self, StrandPlan *plan, StrandNode *node, GError **error);

static gboolean
refuse_closed (GError **error)
{
  g_set_error_literal (error, STRAND_ERROR, STRAND_ERROR_CLOSED, "The stack has been closed");
  return FALSE;
}

static void
unref_if_any (gpointer object)
{
  if (object != NULL)
    g_object_unref (object);
}

static void
warn_left_out (StrandStack *self, StrandPlan *plan, StrandNode *node, const GError *error)
{
  g_mutex_lock (&self->lock);
  if (self->plan == plan)
    strand_keyfile_add_problem (self->warnings, plan->file, node->line, node->title, NULL,
                                "'%s' is left out: %s", node->name, error->message);
  g_mutex_unlock (&self->lock);
}

/* What a node's settings refer to, in their order. Optional ones that cannot be made are NULL. */
static GPtrArray *
ref_below (StrandStack *self, StrandPlan *plan, StrandNode *node, GError **error)
{
  g_autoptr(GPtrArray) objects = g_ptr_array_new_with_free_func (unref_if_any);

  for (guint i = 0; i < node->settings->len; i++)
    {
      StrandSetting *setting = g_ptr_array_index (node->settings, i);

      for (guint j = 0; setting->refs != NULL && j < setting->refs->len; j++)
        {
          StrandRef *ref = &g_array_index (setting->refs, StrandRef, j);
          g_autoptr(GError) local_error = NULL;
          GObject *object = ref->node != NULL ? ref_node_object (self, plan, ref->node, &local_error) : NULL;

          if (local_error != NULL && ref->optional)
            warn_left_out (self, plan, ref->node, local_error);
          else if (local_error != NULL)
            {
              g_propagate_error (error, g_steal_pointer (&local_error));
              return NULL;
            }
          g_ptr_array_add (objects, object);
        }
    }
  return g_steal_pointer (&objects);
}

/* The node that holds the object of @node now: after a reload in between, that of the new plan if equal. */
static StrandNode *
current_node_locked (StrandStack *self, StrandPlan *plan, StrandNode *node)
{
  StrandNode *current;

  if (plan == self->plan || plan == self->later)
    return node;
  current = strand_plan_lookup (self->plan, node->kind, node->name);
  return current != NULL && g_strcmp0 (current->digest, node->digest) == 0 ? current : NULL;
}

/* Keeps @object for @node, unless there is one already, and gives the one that is kept. */
static GObject *
keep_object (StrandStack *self, StrandPlan *plan, StrandNode *node, GObject *object, GError **error)
{
  g_autoptr(GObject) made = object;
  StrandNode *current;
  GObject *kept = NULL;

  g_mutex_lock (&self->lock);
  current = current_node_locked (self, plan, node);
  if (self->closed)
    refuse_closed (error);
  else if (current == NULL)
    {
      strand_stack_retire_locked (self, made);
      kept = g_object_ref (made);
    }
  else
    {
      if (current->object == NULL)
        current->object = g_object_ref (made);
      kept = g_object_ref (current->object);
    }
  g_mutex_unlock (&self->lock);
  return kept;
}

static GObject *
ref_node_object (StrandStack *self, StrandPlan *plan, StrandNode *node, GError **error)
{
  g_autoptr(GPtrArray) below = NULL;
  GObject *object = NULL;
  gboolean closed;

  g_mutex_lock (&self->lock);
  closed = self->closed;
  if (!closed && node->object != NULL)
    object = g_object_ref (node->object);
  g_mutex_unlock (&self->lock);
  if (closed)
    refuse_closed (error);
  if (closed || object != NULL)
    return object;

  below = ref_below (self, plan, node, error);
  object = below != NULL ? strand_node_build (node, below, error) : NULL;
  if (object == NULL)
    return NULL;
  strand_debug (STRAND_TOPIC_STACK, "made the %s '%s' of type '%s'", strand_kind_to_string (node->kind),
                node->name, node->type);
  return keep_object (self, plan, node, object, error);
}

static StrandNode *
find_node (StrandStack *self, StrandKind kind, const char *name, StrandPlan **plan)
{
  StrandNode *node;

  g_mutex_lock (&self->lock);
  *plan = self->plan;
  node = strand_plan_lookup (self->plan, kind, name);
  if (node == NULL)
    {
      *plan = self->later;
      node = strand_plan_lookup (self->later, kind, name);
    }
  strand_plan_ref (*plan);
  g_mutex_unlock (&self->lock);
  return node;
}

/* The key that a type needs and defaults do not give, or NULL. */
static const char *
find_required (GType gtype)
{
  g_autoptr(GTypeClass) klass = g_type_class_ref (gtype);
  guint n_properties = 0;
  g_autofree GParamSpec **properties = g_object_class_list_properties (G_OBJECT_CLASS (klass), &n_properties);

  for (guint i = 0; i < n_properties; i++)
    if (properties[i]->flags & STRAND_PARAM_REQUIRED)
      return properties[i]->name; /* the class stays: types are never unloaded */
  return NULL;
}

/* A type that no keyfile names: its node lives with the stack, not with the keyfile. NULL with an error. */
static StrandNode *
add_later (StrandStack *self, StrandKind kind, const char *type, StrandPlan **plan, GError **error)
{
  GType gtype = strand_plugins_load (self->plugins, kind, type, error);
  const char *required = gtype != G_TYPE_INVALID ? find_required (gtype) : NULL;
  StrandNode *node;

  if (gtype == G_TYPE_INVALID)
    return NULL;
  if (required != NULL)
    {
      g_set_error (
          error, STRAND_ERROR, STRAND_ERROR_CONFIG,
          "Could not make a %s of type '%s' with defaults: it needs the key '%s'; write a group [%s NAME] "
          "and use NAME",
          strand_kind_to_string (kind), type, required, strand_kind_to_string (kind));
      return NULL;
    }

  g_mutex_lock (&self->lock);
  node = strand_plan_lookup (self->later, kind, type);
  if (node == NULL)
    {
      node = strand_plan_add_implied (self->later, kind, type, gtype, 0);
      strand_plan_digest (self->later);
    }
  *plan = strand_plan_ref (self->later);
  g_mutex_unlock (&self->lock);
  return node;
}

static void
explain_unknown (StrandStack *self, const char *what, const char *name, const char *const *names,
                 GError **error)
{
  g_autofree char *there_are = g_strdup_printf ("%ss there are", what);
  g_autofree char *hint = strand_schema_hint (name, names, there_are);

  g_set_error (error, STRAND_ERROR, STRAND_ERROR_UNKNOWN_TARGET, "There is no %s '%s'%s", what, name, hint);
}

static GStrv
list_names (StrandStack *self, StrandKind kind)
{
  g_autoptr(StrandPlan) plan = NULL;

  g_mutex_lock (&self->lock);
  plan = strand_plan_ref (self->plan);
  g_mutex_unlock (&self->lock);
  return strand_plan_list_names (plan, self->plugins, kind);
}

static gboolean
is_not_found (const GError *error)
{
  return g_error_matches (error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_NOT_FOUND);
}

/* A group left out for want of its plugin, asked for all the same. */
static GObject *
ref_known_object (StrandStack *self, StrandPlan *plan, StrandNode *node, GError **error)
{
  if (node->klass != NULL)
    return ref_node_object (self, plan, node, error);
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_UNKNOWN_TARGET, "There is no %s '%s': it was left out: %s",
               strand_kind_to_string (node->kind), node->name, node->missing->message);
  return NULL;
}

/**
 * strand_stack_ref_object:
 * @self: a stack
 * @kind: what it is
 * @name: a group's name, or a type's
 * @error: return location for a [error@Strand.Error]
 *
 * Gives the object of a group, making it and all it refers to if this is the first time; or, where no group
 * has the name, one of that type with defaults. It is the same object each time until a reload changes it.
 * Fails with %STRAND_ERROR_UNKNOWN_TARGET, the names there are and the nearest, if nothing has the name.
 *
 * Any thread. May load plugins; makes objects, which opens nothing.
 *
 * Returns: (transfer full): the object, or %NULL with @error set
 * Since: 1.0
 */
GObject *
strand_stack_ref_object (StrandStack *self, StrandKind kind, const char *name, GError **error)
{
  g_autoptr(GError) local_error = NULL;
  g_autoptr(StrandPlan) plan = NULL;
  StrandNode *node;

  g_return_val_if_fail (STRAND_IS_STACK (self), NULL);
  g_return_val_if_fail ((guint) kind <= STRAND_KIND_SCHEDULE && name != NULL, NULL);

  node = find_node (self, kind, name, &plan);
  if (node == NULL)
    {
      g_clear_pointer (&plan, strand_plan_unref);
      node = add_later (self, kind, name, &plan, &local_error);
    }
  if (node != NULL)
    return ref_known_object (self, plan, node, error);

  if (is_not_found (local_error))
    {
      g_auto(GStrv) names = list_names (self, kind);

      explain_unknown (self, strand_kind_to_string (kind), name, (const char *const *) names, error);
    }
  else
    g_propagate_error (error, g_steal_pointer (&local_error));
  return NULL;
}

static GObject *
ref_default_backend (StrandStack *self, GError **error)
{
  g_autofree char *name = strand_stack_dup_default_backend (self);
  g_autoptr(GPtrArray) warnings = NULL;

  if (name != NULL)
    return strand_stack_ref_object (self, STRAND_KIND_BACKEND, name, error);

  warnings = strand_stack_list_warnings (self);
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_UNKNOWN_TARGET, "There is no default backend%s%s",
               warnings->len > 0 ? ": " : "",
               warnings->len > 0 ? ((StrandProblem *) g_ptr_array_index (warnings, 0))->message : "");
  return NULL;
}

/**
 * strand_stack_ref_target:
 * @self: a stack
 * @name: (nullable): a target's name; %NULL is the default backend
 * @error: return location for a [error@Strand.Error]
 *
 * Finds what a task is aimed at: the keyfile's backend of that name, else its taskrunner, else the
 * taskrunner type, else the backend type. Fails with %STRAND_ERROR_UNKNOWN_TARGET, the names there are and
 * the nearest. Otherwise as strand_stack_ref_object().
 *
 * Returns: (transfer full): a [iface@Strand.Taskrunner] or a [iface@Strand.Backend], or %NULL with @error set
 * Since: 1.0
 */
GObject *
strand_stack_ref_target (StrandStack *self, const char *name, GError **error)
{
  static const StrandKind kinds[] = { STRAND_KIND_BACKEND, STRAND_KIND_TASKRUNNER };
  g_auto(GStrv) names = NULL;

  g_return_val_if_fail (STRAND_IS_STACK (self), NULL);

  if (name == NULL)
    return ref_default_backend (self, error);

  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      g_autoptr(StrandPlan) plan = NULL;
      StrandNode *node = find_node (self, kinds[i], name, &plan);

      if (node != NULL && (!node->implied || kinds[i] == STRAND_KIND_TASKRUNNER))
        return ref_known_object (self, plan, node, error);
    }
  for (guint i = G_N_ELEMENTS (kinds); i-- > 0;)
    {
      g_autoptr(GError) local_error = NULL;
      GObject *object = strand_stack_ref_object (self, kinds[i], name, &local_error);

      if (object != NULL)
        return object;
      if (!g_error_matches (local_error, STRAND_ERROR, STRAND_ERROR_UNKNOWN_TARGET))
        {
          g_propagate_error (error, g_steal_pointer (&local_error));
          return NULL;
        }
    }

  names = strand_stack_list_targets (self);
  explain_unknown (self, "target", name, (const char *const *) names, error);
  return NULL;
}

/**
 * strand_stack_list_targets:
 * @self: a stack
 *
 * Lists what strand_stack_ref_target() understands: backends and taskrunners, by group and by type. Any
 * thread; reads plugin descriptors.
 *
 * Returns: (transfer full): the names, sorted
 * Since: 1.0
 */
GStrv
strand_stack_list_targets (StrandStack *self)
{
  g_auto(GStrv) backends = NULL;
  g_auto(GStrv) runners = NULL;
  g_autoptr(GPtrArray) names = NULL;

  g_return_val_if_fail (STRAND_IS_STACK (self), NULL);

  backends = list_names (self, STRAND_KIND_BACKEND);
  runners = list_names (self, STRAND_KIND_TASKRUNNER);
  names = g_ptr_array_new ();
  for (guint i = 0; backends[i] != NULL; i++)
    g_ptr_array_add (names, g_strdup (backends[i]));
  for (guint i = 0; runners[i] != NULL; i++)
    if (!g_strv_contains ((const char *const *) backends, runners[i]))
      g_ptr_array_add (names, g_strdup (runners[i]));
  g_ptr_array_sort (names, strand_compare_words);
  g_ptr_array_add (names, NULL);
  return (GStrv) g_ptr_array_free (g_steal_pointer (&names), FALSE);
}

/**
 * strand_stack_list_readers:
 * @self: a stack
 *
 * Lists the readers that the keyfile describes; strand_stack_ref_object() makes one. Any thread.
 *
 * Returns: (transfer full): the names, sorted
 * Since: 1.0
 */
GStrv
strand_stack_list_readers (StrandStack *self)
{
  g_return_val_if_fail (STRAND_IS_STACK (self), NULL);

  return list_names (self, STRAND_KIND_READER);
}

/**
 * strand_stack_list_schedules:
 * @self: a stack
 *
 * Lists the schedules that the keyfile describes; strand_stack_ref_object() makes one, strand_schedule_start()
 * starts it, and strand_stack_close() stops it. Any thread.
 *
 * Returns: (transfer full): the names, sorted
 * Since: 1.0
 */
GStrv
strand_stack_list_schedules (StrandStack *self)
{
  g_return_val_if_fail (STRAND_IS_STACK (self), NULL);

  return list_names (self, STRAND_KIND_SCHEDULE);
}
