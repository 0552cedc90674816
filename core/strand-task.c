/* strand-task.c — a function with bound arguments, callbacks and a target.
 *
 * What its calls need lies in a recipe: immutable, shared by all of them, made anew when the task is changed
 * or its stack reloaded. So calling takes one look at the recipe and no lock that another thread holds for
 * long, and a call in flight keeps the target it was given.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-task-private.h"
#include "strand-blocking-private.h"
#include "strand-call-private.h"
#include "strand-clock.h"
#include "strand-error.h"
#include "strand-function-private.h"
#include "strand-param.h"
#include "strand-registry.h"

#include <gobject/gvaluecollector.h>

enum
{
  PROP_PRIORITY = 1,
  PROP_ON_RUNNER,
  PROP_MAX_ITEMS,
  PROP_GRACE,
  PROP_CHECKS,
  N_PROPS
};

static GParamSpec *props[N_PROPS];

/**
 * StrandTask:
 *
 * A function with bound arguments, callbacks and a target, to be called as often as one likes.
 *
 * Since: 1.0
 */
G_DEFINE_FINAL_TYPE (StrandTask, strand_task, G_TYPE_OBJECT)

G_DEFINE_FLAGS_TYPE (StrandChecks, strand_checks, G_DEFINE_ENUM_VALUE (STRAND_CHECK_NONE, "none"),
                     G_DEFINE_ENUM_VALUE (STRAND_CHECK_TYPES, "types"),
                     G_DEFINE_ENUM_VALUE (STRAND_CHECK_MAIN_THREAD, "main-thread"),
                     G_DEFINE_ENUM_VALUE (STRAND_CHECK_REENTRANT, "reentrant"),
                     G_DEFINE_ENUM_VALUE (STRAND_CHECK_PORTABLE, "portable"),
                     G_DEFINE_ENUM_VALUE (STRAND_CHECK_OBJECTS, "objects"),
                     G_DEFINE_ENUM_VALUE (STRAND_CHECK_WAITS, "waits"),
                     G_DEFINE_ENUM_VALUE (STRAND_CHECK_TRAITS, "traits"),
                     G_DEFINE_ENUM_VALUE (STRAND_CHECK_ALL, "all"))

StrandRecipe *
strand_task_steal_recipe_locked (StrandTask *self)
{
  return g_steal_pointer (&self->recipe);
}

static void
strand_task_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  StrandTask *self = STRAND_TASK (object);

  g_mutex_lock (&self->lock);
  switch (id)
    {
    case PROP_PRIORITY:
      g_value_set_int (value, self->priority);
      break;
    case PROP_ON_RUNNER:
      g_value_set_boolean (value, self->on_runner);
      break;
    case PROP_MAX_ITEMS:
      g_value_set_uint (value, self->max_items);
      break;
    case PROP_GRACE:
      g_value_set_int64 (value, self->grace_us);
      break;
    case PROP_CHECKS:
      g_value_set_flags (value, self->checks);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
  g_mutex_unlock (&self->lock);
}

static void
strand_task_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  StrandTask *self = STRAND_TASK (object);
  g_autoptr(StrandRecipe) outdated = NULL;

  g_mutex_lock (&self->lock);
  outdated = strand_task_steal_recipe_locked (self);
  switch (id)
    {
    case PROP_PRIORITY:
      self->priority = g_value_get_int (value);
      break;
    case PROP_ON_RUNNER:
      self->on_runner = g_value_get_boolean (value);
      break;
    case PROP_MAX_ITEMS:
      self->max_items = g_value_get_uint (value);
      break;
    case PROP_GRACE:
      self->grace_us = g_value_get_int64 (value);
      break;
    case PROP_CHECKS:
      self->checks = g_value_get_flags (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
  g_mutex_unlock (&self->lock);
}

static void
strand_task_finalize (GObject *object)
{
  StrandTask *self = STRAND_TASK (object);

  g_clear_pointer (&self->recipe, strand_recipe_unref);
  g_clear_pointer (&self->function, strand_function_unref);
  g_clear_object (&self->stack);
  g_free (self->target_name);
  g_clear_object (&self->target);
  g_clear_pointer (&self->bound, g_variant_unref);
  g_clear_pointer (&self->keywords, g_variant_unref);
  g_clear_pointer (&self->on_iter, strand_closure_unref);
  g_clear_pointer (&self->on_end, strand_closure_unref);
  g_clear_pointer (&self->on_error, strand_closure_unref);
  g_clear_pointer (&self->options, strand_options_free);
  g_mutex_clear (&self->lock);
  G_OBJECT_CLASS (strand_task_parent_class)->finalize (object);
}

static void
strand_task_class_init (StrandTaskClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GParamFlags flags = G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS;

  object_class->get_property = strand_task_get_property;
  object_class->set_property = strand_task_set_property;
  object_class->finalize = strand_task_finalize;

  /**
   * StrandTask:priority:
   *
   * At which priority callbacks run in their main context, as #GSource priorities are.
   *
   * Since: 1.0
   */
  props[PROP_PRIORITY] =
      g_param_spec_int ("priority", NULL, NULL, G_MININT, G_MAXINT, G_PRIORITY_DEFAULT, flags);
  /**
   * StrandTask:on-runner:
   *
   * Whether callbacks run on the taskrunner's own thread instead of the caller's main context.
   *
   * Since: 1.0
   */
  props[PROP_ON_RUNNER] = g_param_spec_boolean ("on-runner", NULL, NULL, FALSE, flags);
  /**
   * StrandTask:max-items:
   *
   * How many emitted items wait for their consumer before the function is made to wait; without a consumer,
   * how many of the last ones are kept.
   *
   * Since: 1.0
   */
  props[PROP_MAX_ITEMS] =
      g_param_spec_uint ("max-items", NULL, NULL, 1, G_MAXINT, STRAND_RECIPE_MAX_ITEMS, flags);
  /**
   * StrandTask:grace:
   *
   * How long a function may go on after it was told to stop, in microseconds; -1 for ever. A backend has its
   * own.
   *
   * Since: 1.0
   */
  props[PROP_GRACE] = g_param_spec_int64 ("grace", NULL, NULL, -1, G_MAXINT64, STRAND_RECIPE_GRACE_US, flags);
  /**
   * StrandTask:checks:
   *
   * Which safety checks are made.
   *
   * Since: 1.0
   */
  props[PROP_CHECKS] = g_param_spec_flags ("checks", NULL, NULL, STRAND_TYPE_CHECKS, STRAND_CHECK_ALL, flags);

  g_object_class_install_properties (object_class, N_PROPS, props);
}

static void
strand_task_init (StrandTask *self)
{
  g_mutex_init (&self->lock);
  self->max_items = STRAND_RECIPE_MAX_ITEMS;
  self->grace_us = STRAND_RECIPE_GRACE_US;
  self->checks = STRAND_CHECK_ALL;
}

/**
 * strand_task_new:
 * @function: (transfer none): what to call
 * @target: (nullable): a #StrandTaskrunner or #StrandBackend; `NULL` for the target `thread`
 *
 * Makes a task aimed at an object. Any thread; does not block.
 *
 * Returns: (transfer full): a task
 * Since: 1.0
 */
StrandTask *
strand_task_new (StrandFunction *function, GObject *target)
{
  StrandTask *self;

  g_return_val_if_fail (function != NULL, NULL);
  g_return_val_if_fail (target == NULL || STRAND_IS_TASKRUNNER (target) || STRAND_IS_BACKEND (target), NULL);

  self = g_object_new (STRAND_TYPE_TASK, NULL);
  self->function = strand_function_ref (function);
  if (target != NULL)
    self->target = g_object_ref (target);
  else
    self->target_name = g_strdup ("thread");
  return self;
}

/**
 * strand_task_new_for_name:
 * @function: name of a function in the default registry
 * @target: (nullable): name of a target in the default stack; `NULL` for `thread`
 * @error: return location for a #GError
 *
 * Makes a task aimed at a target by name, which is looked up at each call, so that a reload moves the task.
 *
 * Returns: (transfer full) (nullable): a task; or `NULL` with %STRAND_ERROR_UNKNOWN_FUNCTION or
 *   %STRAND_ERROR_UNKNOWN_TARGET
 * Since: 1.0
 */
StrandTask *
strand_task_new_for_name (const char *function, const char *target, GError **error)
{
  g_autoptr(StrandFunction) found = NULL;
  g_autoptr(StrandTask) self = NULL;

  g_return_val_if_fail (function != NULL, NULL);

  found = strand_registry_lookup (strand_registry_get_default (), function, error);
  if (found == NULL)
    return NULL;
  self = strand_task_new (found, NULL);
  if (target != NULL && !strand_task_set_target (self, target, error))
    return NULL;
  return g_steal_pointer (&self);
}

typedef struct
{
  GPtrArray *names;
  GArray *values; /* of GValue */
} Properties;

static GParamSpec *
find_property (GObjectClass *klass, const char *name, GError **error)
{
  GParamSpec *pspec = g_object_class_find_property (klass, name);
  g_autofree GParamSpec **all = NULL;
  g_autoptr(GPtrArray) names = NULL;
  const char *near;
  guint n;

  if (pspec != NULL && (pspec->flags & G_PARAM_WRITABLE) != 0)
    return pspec;
  all = g_object_class_list_properties (klass, &n);
  names = g_ptr_array_new ();
  for (guint i = 0; i < n; i++)
    if ((all[i]->flags & G_PARAM_WRITABLE) != 0)
      g_ptr_array_add (names, (gpointer) all[i]->name);
  g_ptr_array_add (names, NULL);
  near = strand_suggest (name, (const char *const *) names->pdata);
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
               "Could not make a target: %s has no property '%s' that can be set%s%s%s",
               G_OBJECT_CLASS_NAME (klass), name, near != NULL ? " (did you mean '" : "",
               near != NULL ? near : "", near != NULL ? "'?)" : "");
  return NULL;
}

static gboolean
refuse_value (GParamSpec *pspec, const char *why, GError **error)
{
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
               "Could not make a target: property '%s' cannot have that value: %s", pspec->name, why);
  return FALSE;
}

/* One by one, because a caller's mistake in a name or a value is not a reason to abort. */
static gboolean
collect_properties (Properties *self, GObjectClass *klass, const char *first_property, va_list args,
                    GError **error)
{
  for (const char *name = first_property; name != NULL; name = va_arg (args, const char *))
    {
      GParamSpec *pspec = find_property (klass, name, error);
      g_autofree char *problem = NULL;
      GValue *value;

      if (pspec == NULL)
        return FALSE;
      g_ptr_array_add (self->names, (gpointer) pspec->name);
      g_array_set_size (self->values, self->values->len + 1);
      value = &g_array_index (self->values, GValue, self->values->len - 1);
      G_VALUE_COLLECT_INIT (value, G_PARAM_SPEC_VALUE_TYPE (pspec), args, 0, &problem);
      if (problem != NULL)
        return refuse_value (pspec, problem, error);
      if (!g_param_value_is_valid (pspec, value))
        return refuse_value (pspec, "it is not within the property's limits", error);
    }
  return TRUE;
}

static GObject *
make_target (GType type, const char *first_property, va_list args, GError **error)
{
  g_autoptr(GTypeClass) klass = NULL;
  Properties properties;
  GObject *target = NULL;

  if (!g_type_is_a (type, STRAND_TYPE_TASKRUNNER) && !g_type_is_a (type, STRAND_TYPE_BACKEND))
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_UNKNOWN_TARGET,
                   "Could not aim a task at type '%s': it is neither a taskrunner nor a backend",
                   g_type_name (type));
      return NULL;
    }
  klass = g_type_class_ref (type);
  properties.names = g_ptr_array_new ();
  properties.values = g_array_new (FALSE, TRUE, sizeof (GValue));
  g_array_set_clear_func (properties.values, (GDestroyNotify) g_value_unset);
  if (collect_properties (&properties, G_OBJECT_CLASS (klass), first_property, args, error))
    target =
        g_object_new_with_properties (type, properties.names->len, (const char **) properties.names->pdata,
                                      (const GValue *) properties.values->data);
  g_ptr_array_unref (properties.names);
  g_array_unref (properties.values);
  return target;
}

/**
 * strand_task_new_for_type: (skip)
 * @function: (transfer none): what to call
 * @target_type: a type of taskrunner or backend
 * @error: return location for a #GError
 * @first_property: (nullable): the target's properties, as for g_object_new()
 * @...: their values, more properties, `NULL`
 *
 * Makes a task with a target of its own.
 *
 * Returns: (transfer full) (nullable): a task; or `NULL` with %STRAND_ERROR_UNKNOWN_TARGET, or
 *   %STRAND_ERROR_INVALID_ARGUMENT for a property that is not there or cannot have the value
 * Since: 1.0
 */
StrandTask *
strand_task_new_for_type (StrandFunction *function, GType target_type, GError **error,
                          const char *first_property, ...)
{
  g_autoptr(GObject) target = NULL;
  va_list args;

  g_return_val_if_fail (function != NULL, NULL);

  va_start (args, first_property);
  target = make_target (target_type, first_property, args, error);
  va_end (args);
  return target != NULL ? strand_task_new (function, target) : NULL;
}

static StrandStack *
ref_stack_locked (StrandTask *self)
{
  return g_object_ref (self->stack != NULL ? self->stack : strand_stack_get_default ());
}

/* The target's own kind of object with properties of one's own: named target, private object. */
static gboolean
aim_with_properties (StrandTask *self, const char *name, const char *first_property, va_list args,
                     GError **error)
{
  g_autoptr(GObject) shared = NULL;
  g_autoptr(GObject) own = NULL;

  if (!strand_task_set_target (self, name, error))
    return FALSE;
  shared = strand_task_ref_target (self, error);
  if (shared == NULL)
    return FALSE;
  own = make_target (G_OBJECT_TYPE (shared), first_property, args, error);
  if (own == NULL)
    return FALSE;
  strand_task_set_target_object (self, own);
  return TRUE;
}

/**
 * strand_as_task: (skip)
 * @function: name of a function in the default registry
 * @target: (nullable): name of a target; `NULL` for `thread`
 * @error: return location for a #GError
 * @first_property: (nullable): properties for a target of its own, as for g_object_new()
 * @...: their values, more properties, `NULL`
 *
 * Makes a task. Without properties it shares the target of that name with everybody; with properties it gets
 * one of the same type for itself.
 *
 * Returns: (transfer full) (nullable): a task; or `NULL` with %STRAND_ERROR_UNKNOWN_FUNCTION, with
 *   %STRAND_ERROR_UNKNOWN_TARGET naming the targets there are, or with %STRAND_ERROR_INVALID_ARGUMENT for a
 *   property that is not there or cannot have the value
 * Since: 1.0
 */
StrandTask *
strand_as_task (const char *function, const char *target, GError **error, const char *first_property, ...)
{
  g_autoptr(StrandTask) self = NULL;
  gboolean ok = TRUE;
  va_list args;

  g_return_val_if_fail (function != NULL, NULL);

  self = strand_task_new_for_name (function, target, error);
  if (self == NULL)
    return NULL;
  if (first_property != NULL)
    {
      va_start (args, first_property);
      ok = aim_with_properties (self, target != NULL ? target : "thread", first_property, args, error);
      va_end (args);
    }
  return ok ? g_steal_pointer (&self) : NULL;
}

/**
 * strand_task_set_target:
 * @self: a task
 * @name: (nullable): name of a target in the task's stack; `NULL` for the stack's default backend
 * @error: return location for a #GError
 *
 * Aims a task by name. The name is looked up at each call.
 *
 * Returns: %TRUE, or %FALSE with %STRAND_ERROR_UNKNOWN_TARGET naming the targets there are
 * Since: 1.0
 */
gboolean
strand_task_set_target (StrandTask *self, const char *name, GError **error)
{
  g_autoptr(StrandStack) stack = NULL;
  g_autoptr(GObject) found = NULL;
  g_autoptr(GObject) before = NULL;
  g_autoptr(StrandRecipe) outdated = NULL;

  g_return_val_if_fail (STRAND_IS_TASK (self), FALSE);

  g_mutex_lock (&self->lock);
  stack = ref_stack_locked (self);
  g_mutex_unlock (&self->lock);
  found = strand_stack_ref_target (stack, name, error);
  if (found == NULL)
    return FALSE;

  g_mutex_lock (&self->lock);
  outdated = strand_task_steal_recipe_locked (self);
  before = g_steal_pointer (&self->target);
  g_free (self->target_name);
  self->target_name = g_strdup (name);
  g_mutex_unlock (&self->lock);
  return TRUE;
}

/**
 * strand_task_set_target_object:
 * @self: a task
 * @target: a #StrandTaskrunner or #StrandBackend
 *
 * Aims a task at an object.
 *
 * Since: 1.0
 */
void
strand_task_set_target_object (StrandTask *self, GObject *target)
{
  g_autoptr(GObject) before = NULL;
  g_autoptr(StrandRecipe) outdated = NULL;

  g_return_if_fail (STRAND_IS_TASK (self));
  g_return_if_fail (STRAND_IS_TASKRUNNER (target) || STRAND_IS_BACKEND (target));

  g_mutex_lock (&self->lock);
  outdated = strand_task_steal_recipe_locked (self);
  before = g_steal_pointer (&self->target);
  self->target = g_object_ref (target);
  g_mutex_unlock (&self->lock);
}

/**
 * strand_task_set_stack:
 * @self: a task
 * @stack: (nullable): where target names are looked up; `NULL` for the default stack
 *
 * Says in which stack the target is looked up, from the next call on.
 *
 * Since: 1.0
 */
void
strand_task_set_stack (StrandTask *self, StrandStack *stack)
{
  g_autoptr(StrandStack) before = NULL;
  g_autoptr(StrandRecipe) outdated = NULL;

  g_return_if_fail (STRAND_IS_TASK (self));
  g_return_if_fail (stack == NULL || STRAND_IS_STACK (stack));

  g_mutex_lock (&self->lock);
  outdated = strand_task_steal_recipe_locked (self);
  before = g_steal_pointer (&self->stack);
  self->stack = stack != NULL ? g_object_ref (stack) : NULL;
  g_mutex_unlock (&self->lock);
}

/* @positional: (nullable): all of them; @keywords: (nullable): further ones */
static void
bind_locked (StrandTask *self, GVariant *positional, GVariant *keywords)
{
  GVariant *joined;

  if (positional != NULL)
    {
      g_clear_pointer (&self->bound, g_variant_unref);
      self->bound = g_variant_ref (positional);
    }
  if (keywords != NULL)
    {
      joined = strand_arguments_concat_keywords (self->keywords, keywords);
      g_clear_pointer (&self->keywords, g_variant_unref);
      self->keywords = joined;
    }
}

/**
 * strand_task_bind:
 * @self: a task
 * @positional: (nullable): a tuple of leading arguments; floating is consumed
 * @keywords: (nullable): further arguments by name, `a{sv}`; floating is consumed
 * @error: return location for a #GError
 *
 * Binds arguments: what each call gives follows them. Binding again adds to what is bound.
 *
 * Returns: %TRUE, or %FALSE with %STRAND_ERROR_TYPE where there are too many; then none is bound
 * Since: 1.0
 */
gboolean
strand_task_bind (StrandTask *self, GVariant *positional, GVariant *keywords, GError **error)
{
  g_autoptr(GVariant) tuple = positional != NULL ? g_variant_ref_sink (positional) : NULL;
  g_autoptr(GVariant) named = keywords != NULL ? g_variant_ref_sink (keywords) : NULL;
  g_autoptr(GVariant) joined = NULL;
  gsize n;

  g_return_val_if_fail (STRAND_IS_TASK (self), FALSE);
  g_return_val_if_fail (tuple == NULL || g_variant_type_is_tuple (g_variant_get_type (tuple)), FALSE);
  g_return_val_if_fail (named == NULL || g_variant_is_of_type (named, G_VARIANT_TYPE_VARDICT), FALSE);

  g_mutex_lock (&self->lock);
  joined = tuple != NULL ? strand_arguments_concat_tuples (self->bound, tuple) : NULL;
  n = joined != NULL ? g_variant_n_children (joined) : 0;
  if (n <= self->function->n_parameters)
    bind_locked (self, joined, named);
  g_mutex_unlock (&self->lock);

  if (n <= self->function->n_parameters)
    return TRUE;
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_TYPE,
               "Could not bind arguments of '%s': %" G_GSIZE_FORMAT " are too many, it takes %u",
               self->function->name, n, self->function->n_parameters);
  return FALSE;
}

static void
replace_closure (StrandTask *self, StrandClosure **place, GCallback func, gpointer user_data,
                 GDestroyNotify destroy)
{
  g_autoptr(StrandRecipe) outdated = NULL;
  StrandClosure *old;

  g_mutex_lock (&self->lock);
  outdated = strand_task_steal_recipe_locked (self);
  old = *place;
  *place = func != NULL ? strand_closure_new (func, user_data, destroy) : NULL;
  g_mutex_unlock (&self->lock);
  if (old != NULL)
    strand_closure_unref (old);
}

/**
 * strand_task_on_iter:
 * @self: a task
 * @func: (nullable) (scope notified): what to call with each item
 * @user_data: (closure func): data for @func
 * @destroy: (nullable): frees @user_data, in the main context that is thread-default now
 *
 * Sets what later calls tell of their items: what the function emits, or the elements of the array or
 * dictionary that it returns if it emitted nothing.
 *
 * Since: 1.0
 */
void
strand_task_on_iter (StrandTask *self, StrandItemFunc func, gpointer user_data, GDestroyNotify destroy)
{
  g_return_if_fail (STRAND_IS_TASK (self));

  replace_closure (self, &self->on_iter, G_CALLBACK (func), user_data, destroy);
}

/**
 * strand_task_on_end:
 * @self: a task
 * @func: (nullable) (scope notified): what to call with the value
 * @user_data: (closure func): data for @func
 * @destroy: (nullable): frees @user_data, in the main context that is thread-default now
 *
 * Sets what later calls tell of their completion.
 *
 * Since: 1.0
 */
void
strand_task_on_end (StrandTask *self, StrandEndFunc func, gpointer user_data, GDestroyNotify destroy)
{
  g_return_if_fail (STRAND_IS_TASK (self));

  replace_closure (self, &self->on_end, G_CALLBACK (func), user_data, destroy);
}

/**
 * strand_task_on_error:
 * @self: a task
 * @func: (nullable) (scope notified): what to call with the error
 * @user_data: (closure func): data for @func
 * @destroy: (nullable): frees @user_data, in the main context that is thread-default now
 *
 * Sets what later calls tell of their failure or cancellation.
 *
 * Since: 1.0
 */
void
strand_task_on_error (StrandTask *self, StrandErrorFunc func, gpointer user_data, GDestroyNotify destroy)
{
  g_return_if_fail (STRAND_IS_TASK (self));

  replace_closure (self, &self->on_error, G_CALLBACK (func), user_data, destroy);
}

/**
 * strand_task_set_options:
 * @self: a task
 * @options: (nullable): options for all later calls, copied
 *
 * Says how all later calls want to be treated, unless their own options say otherwise.
 *
 * Since: 1.0
 */
void
strand_task_set_options (StrandTask *self, StrandOptions *options)
{
  g_autoptr(StrandRecipe) outdated = NULL;

  g_return_if_fail (STRAND_IS_TASK (self));

  g_mutex_lock (&self->lock);
  outdated = strand_task_steal_recipe_locked (self);
  g_clear_pointer (&self->options, strand_options_free);
  self->options = options != NULL ? strand_options_copy (options) : NULL;
  g_mutex_unlock (&self->lock);
}

/**
 * strand_task_get_function:
 * @self: a task
 *
 * Says what the task calls.
 *
 * Returns: (transfer none): what it calls
 * Since: 1.0
 */
StrandFunction *
strand_task_get_function (StrandTask *self)
{
  g_return_val_if_fail (STRAND_IS_TASK (self), NULL);

  return self->function;
}

/* What a call made now goes to. @generation: (out): of the stack, before it was asked. */
GObject *
strand_task_find_target (StrandTask *self, guint64 *generation, GError **error)
{
  g_autoptr(StrandStack) stack = NULL;
  g_autofree char *name = NULL;
  GObject *target;

  g_mutex_lock (&self->lock);
  target = self->target != NULL ? g_object_ref (self->target) : NULL;
  stack = ref_stack_locked (self);
  name = g_strdup (self->target_name);
  g_mutex_unlock (&self->lock);

  *generation = strand_stack_get_generation (stack);
  return target != NULL ? target : strand_stack_ref_target (stack, name, error);
}

/**
 * strand_task_ref_target:
 * @self: a task
 * @error: return location for a #GError
 *
 * What a call made now would be given to.
 *
 * Returns: (transfer full) (nullable): a #StrandTaskrunner or #StrandBackend; or `NULL` with
 * %STRAND_ERROR_UNKNOWN_TARGET
 *
 * Since: 1.0
 */
GObject *
strand_task_ref_target (StrandTask *self, GError **error)
{
  guint64 generation;

  g_return_val_if_fail (STRAND_IS_TASK (self), NULL);

  return strand_task_find_target (self, &generation, error);
}

/**
 * strand_task_ref_backend:
 * @self: a task
 * @error: return location for a #GError
 *
 * Gives the backend that the task's calls go through. Looks the target up, which may make its objects.
 *
 * Returns: (transfer full) (nullable): the backend it is aimed at; or `NULL` with %STRAND_ERROR_NOT_SUPPORTED
 * where it is aimed at a taskrunner, whose calls are not stored
 *
 * Since: 1.0
 */
StrandBackend *
strand_task_ref_backend (StrandTask *self, GError **error)
{
  g_autoptr(GObject) target = strand_task_ref_target (self, error);

  if (target == NULL)
    return NULL;
  if (STRAND_IS_BACKEND (target))
    return STRAND_BACKEND (g_steal_pointer (&target));
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_NOT_SUPPORTED,
               "Calls of '%s' go to a taskrunner and are not stored: aim the task at a backend",
               self->function->name);
  return NULL;
}

/**
 * strand_task_ref_store:
 * @self: a task
 * @error: return location for a #GError
 *
 * Gives the store that the task's calls are kept in. Looks the target up, which may make its objects.
 *
 * Returns: (transfer full) (nullable): where the records of its calls are; or `NULL` as
 * strand_task_ref_backend()
 *
 * Since: 1.0
 */
StrandStore *
strand_task_ref_store (StrandTask *self, GError **error)
{
  g_autoptr(StrandBackend) backend = strand_task_ref_backend (self, error);

  return backend != NULL ? g_object_ref (strand_backend_get_store (backend)) : NULL;
}

/**
 * strand_task_cleanup_expired:
 * @self: a task aimed at a backend
 * @error: return location for a #GError
 *
 * Removes what has outlived its ttl from the task's store. Blocks.
 *
 * Returns: how many records were removed, or -1 with @error set
 * Since: 1.0
 */
gint64
strand_task_cleanup_expired (StrandTask *self, GError **error)
{
  g_autoptr(StrandStore) store = strand_task_ref_store (self, error);

  return store != NULL ? strand_store_cleanup_expired (store, -1, error) : -1;
}

static void
cleanup_in_thread (GTask *task)
{
  GError *error = NULL;
  gint64 n = strand_task_cleanup_expired (g_task_get_source_object (task), &error);

  if (n < 0)
    g_task_return_error (task, error);
  else
    g_task_return_int (task, n);
}

/**
 * strand_task_cleanup_expired_async:
 * @self: a task aimed at a backend
 * @cancellable: (nullable): stops it if it has not begun
 * @callback: (scope async) (closure user_data): what to call when it is done
 * @user_data: data for @callback
 *
 * Does strand_task_cleanup_expired() without blocking.
 *
 * Since: 1.0
 */
void
strand_task_cleanup_expired_async (StrandTask *self, GCancellable *cancellable, GAsyncReadyCallback callback,
                                   gpointer user_data)
{
  g_return_if_fail (STRAND_IS_TASK (self));

  strand_blocking_run_task (g_task_new (self, cancellable, callback, user_data), cleanup_in_thread);
}

/**
 * strand_task_cleanup_expired_finish:
 * @self: a task
 * @result: what the callback was given
 * @error: return location for a #GError
 *
 * Says what became of strand_task_cleanup_expired_async().
 *
 * Returns: as strand_task_cleanup_expired()
 * Since: 1.0
 */
gint64
strand_task_cleanup_expired_finish (StrandTask *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), -1);

  return g_task_propagate_int (G_TASK (result), error);
}
