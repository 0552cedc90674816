/* strand-task.c — a function with bound arguments, callbacks and a target.
 *
 * What its calls need lies in a recipe: immutable, shared by all of them, made anew when the task is changed or its
 * stack reloaded. So calling takes one look at the recipe and no lock that another thread holds for long, and a call
 * in flight keeps the target it was given.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-task.h"
#include "strand-blocking-private.h"
#include "strand-call-private.h"
#include "strand-clock.h"
#include "strand-error.h"
#include "strand-function-private.h"
#include "strand-registry.h"

/* Items that wait for a consumer: enough to ride out a turn of the main loop, small beside anything else. */
#define DEFAULT_MAX_ITEMS 64

#define DEFAULT_GRACE_US (5 * G_USEC_PER_SEC)

struct _StrandTask
{
  GObject parent_instance;

  GMutex lock; /* guards everything below */
  StrandRecipe *recipe; /* complete; NULL after a change */
  guint64 generation;   /* of the stack, when the recipe was made */

  StrandFunction *function;
  StrandStack *stack;   /* NULL: the default one at each call */
  char *target_name;    /* resolved in the stack; NULL where target is set */
  GObject *target;
  GVariant *bound;      /* a tuple of leading arguments, or NULL, as the next */
  GVariant *keywords;
  StrandClosure *on_iter;
  StrandClosure *on_end;
  StrandClosure *on_error;
  StrandOptions *options;
  int priority;
  gboolean on_runner;
  guint max_items;
  gint64 grace_us;
  StrandChecks checks;
};

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

G_DEFINE_FINAL_TYPE (StrandTask, strand_task, G_TYPE_OBJECT)

G_DEFINE_FLAGS_TYPE (StrandChecks, strand_checks, G_DEFINE_ENUM_VALUE (STRAND_CHECK_NONE, "none"),
                     G_DEFINE_ENUM_VALUE (STRAND_CHECK_TYPES, "types"),
                     G_DEFINE_ENUM_VALUE (STRAND_CHECK_TRAITS, "traits"),
                     G_DEFINE_ENUM_VALUE (STRAND_CHECK_ALL, "all"))

/* Takes over @function. */
StrandRecipe *
strand_recipe_new (StrandFunction *function)
{
  StrandRecipe *recipe = g_new0 (StrandRecipe, 1);

  g_atomic_ref_count_init (&recipe->ref_count);
  recipe->function = function;
  recipe->max_items = DEFAULT_MAX_ITEMS;
  recipe->grace_us = DEFAULT_GRACE_US;
  return recipe;
}

static void
forget_recipe_locked (StrandTask *self)
{
  g_clear_pointer (&self->recipe, strand_recipe_unref);
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

  g_mutex_lock (&self->lock);
  forget_recipe_locked (self);
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

  forget_recipe_locked (self);
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
   * How many emitted items wait for their consumer before the function is made to wait; without a consumer, how many of
   * the last ones are kept.
   *
   * Since: 1.0
   */
  props[PROP_MAX_ITEMS] = g_param_spec_uint ("max-items", NULL, NULL, 1, G_MAXINT, DEFAULT_MAX_ITEMS, flags);
  /**
   * StrandTask:grace:
   *
   * How long a function may go on after it was told to stop, in microseconds; -1 for ever. A backend has its own.
   *
   * Since: 1.0
   */
  props[PROP_GRACE] =
      g_param_spec_int64 ("grace", NULL, NULL, -1, G_MAXINT64, DEFAULT_GRACE_US, flags);
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
  self->max_items = DEFAULT_MAX_ITEMS;
  self->grace_us = DEFAULT_GRACE_US;
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
  g_autoptr (StrandFunction) found = NULL;
  g_autoptr (StrandTask) self = NULL;

  g_return_val_if_fail (function != NULL, NULL);

  found = strand_registry_lookup (strand_registry_get_default (), function, error);
  if (found == NULL)
    return NULL;
  self = strand_task_new (found, NULL);
  if (target != NULL && !strand_task_set_target (self, target, error))
    return NULL;
  return g_steal_pointer (&self);
}

static GObject *
make_target (GType type, const char *first_property, va_list args, GError **error)
{
  GObject *target;

  if (!g_type_is_a (type, STRAND_TYPE_TASKRUNNER) && !g_type_is_a (type, STRAND_TYPE_BACKEND))
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_UNKNOWN_TARGET,
                   "Could not aim a task at type '%s': it is neither a taskrunner nor a backend", g_type_name (type));
      return NULL;
    }
  target = g_object_new_valist (type, first_property, args);
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
 * Returns: (transfer full) (nullable): a task; or `NULL` with %STRAND_ERROR_UNKNOWN_TARGET
 * Since: 1.0
 */
StrandTask *
strand_task_new_for_type (StrandFunction *function, GType target_type, GError **error, const char *first_property, ...)
{
  g_autoptr (GObject) target = NULL;
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
aim_with_properties (StrandTask *self, const char *name, const char *first_property, va_list args, GError **error)
{
  g_autoptr (GObject) shared = NULL;
  g_autoptr (GObject) own = NULL;

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
 * Returns: (transfer full) (nullable): a task; or `NULL` with %STRAND_ERROR_UNKNOWN_FUNCTION, or
 *   %STRAND_ERROR_UNKNOWN_TARGET naming the targets there are
 * Since: 1.0
 */
StrandTask *
strand_as_task (const char *function, const char *target, GError **error, const char *first_property, ...)
{
  g_autoptr (StrandTask) self = NULL;
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
  g_autoptr (StrandStack) stack = NULL;
  g_autoptr (GObject) found = NULL;

  g_return_val_if_fail (STRAND_IS_TASK (self), FALSE);

  g_mutex_lock (&self->lock);
  stack = ref_stack_locked (self);
  g_mutex_unlock (&self->lock);
  found = strand_stack_ref_target (stack, name, error);
  if (found == NULL)
    return FALSE;

  g_mutex_lock (&self->lock);
  forget_recipe_locked (self);
  g_clear_object (&self->target);
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
  g_return_if_fail (STRAND_IS_TASK (self));
  g_return_if_fail (STRAND_IS_TASKRUNNER (target) || STRAND_IS_BACKEND (target));

  g_mutex_lock (&self->lock);
  forget_recipe_locked (self);
  g_set_object (&self->target, target);
  g_mutex_unlock (&self->lock);
}

/**
 * strand_task_set_stack:
 * @self: a task
 * @stack: (nullable): where target names are looked up; `NULL` for the default stack
 *
 * Since: 1.0
 */
void
strand_task_set_stack (StrandTask *self, StrandStack *stack)
{
  g_return_if_fail (STRAND_IS_TASK (self));
  g_return_if_fail (stack == NULL || STRAND_IS_STACK (stack));

  g_mutex_lock (&self->lock);
  forget_recipe_locked (self);
  g_set_object (&self->stack, stack);
  g_mutex_unlock (&self->lock);
}

static GVariant *
concat_tuples (GVariant *first, GVariant *second)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_TUPLE);
  for (gsize i = 0; first != NULL && i < g_variant_n_children (first); i++)
    {
      g_autoptr (GVariant) child = g_variant_get_child_value (first, i);

      g_variant_builder_add_value (&builder, child);
    }
  for (gsize i = 0; second != NULL && i < g_variant_n_children (second); i++)
    {
      g_autoptr (GVariant) child = g_variant_get_child_value (second, i);

      g_variant_builder_add_value (&builder, child);
    }
  return g_variant_ref_sink (g_variant_builder_end (&builder));
}

/* Both dictionaries' entries; a name that both have stays twice, for strand_function_bind() to refuse. */
static GVariant *
concat_keywords (GVariant *first, GVariant *second)
{
  GVariantBuilder builder;
  GVariant *both[] = { first, second };

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  for (guint i = 0; i < G_N_ELEMENTS (both); i++)
    for (gsize j = 0; both[i] != NULL && j < g_variant_n_children (both[i]); j++)
      {
        g_autoptr (GVariant) child = g_variant_get_child_value (both[i], j);

        g_variant_builder_add_value (&builder, child);
      }
  return g_variant_ref_sink (g_variant_builder_end (&builder));
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
 * Returns: %TRUE, or %FALSE with %STRAND_ERROR_TYPE where there are too many
 * Since: 1.0
 */
gboolean
strand_task_bind (StrandTask *self, GVariant *positional, GVariant *keywords, GError **error)
{
  g_autoptr (GVariant) tuple = positional != NULL ? g_variant_ref_sink (positional) : NULL;
  g_autoptr (GVariant) named = keywords != NULL ? g_variant_ref_sink (keywords) : NULL;
  gsize n;

  g_return_val_if_fail (STRAND_IS_TASK (self), FALSE);
  g_return_val_if_fail (tuple == NULL || g_variant_type_is_tuple (g_variant_get_type (tuple)), FALSE);
  g_return_val_if_fail (named == NULL || g_variant_is_of_type (named, G_VARIANT_TYPE_VARDICT), FALSE);

  g_mutex_lock (&self->lock);
  if (tuple != NULL)
    {
      GVariant *joined = concat_tuples (self->bound, tuple);

      g_clear_pointer (&self->bound, g_variant_unref);
      self->bound = joined;
    }
  if (named != NULL)
    {
      GVariant *joined = concat_keywords (self->keywords, named);

      g_clear_pointer (&self->keywords, g_variant_unref);
      self->keywords = joined;
    }
  n = self->bound != NULL ? g_variant_n_children (self->bound) : 0;
  g_mutex_unlock (&self->lock);

  if (n <= self->function->n_parameters)
    return TRUE;
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_TYPE,
               "Could not bind arguments of '%s': %" G_GSIZE_FORMAT " are too many, it takes %u", self->function->name, n,
               self->function->n_parameters);
  return FALSE;
}

static void
replace_closure (StrandTask *self, StrandClosure **place, GCallback func, gpointer user_data, GDestroyNotify destroy)
{
  StrandClosure *old;

  g_mutex_lock (&self->lock);
  forget_recipe_locked (self);
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
 * Sets what later calls tell of their items: what the function emits, or the elements of the array or dictionary that it
 * returns if it emitted nothing.
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
 * Since: 1.0
 */
void
strand_task_set_options (StrandTask *self, StrandOptions *options)
{
  g_return_if_fail (STRAND_IS_TASK (self));

  g_mutex_lock (&self->lock);
  forget_recipe_locked (self);
  g_clear_pointer (&self->options, strand_options_free);
  self->options = options != NULL ? strand_options_copy (options) : NULL;
  g_mutex_unlock (&self->lock);
}

/**
 * strand_task_get_function:
 * @self: a task
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

static GObject *
find_target_locked (StrandTask *self, GError **error)
{
  g_autoptr (StrandStack) stack = NULL;

  if (self->target != NULL)
    return g_object_ref (self->target);
  stack = ref_stack_locked (self);
  self->generation = strand_stack_get_generation (stack);
  return strand_stack_ref_target (stack, self->target_name, error);
}

/**
 * strand_task_ref_target:
 * @self: a task
 * @error: return location for a #GError
 *
 * What a call made now would be given to.
 *
 * Returns: (transfer full) (nullable): a #StrandTaskrunner or #StrandBackend; or `NULL` with %STRAND_ERROR_UNKNOWN_TARGET
 * Since: 1.0
 */
GObject *
strand_task_ref_target (StrandTask *self, GError **error)
{
  GObject *target;

  g_return_val_if_fail (STRAND_IS_TASK (self), NULL);

  g_mutex_lock (&self->lock);
  target = find_target_locked (self, error);
  g_mutex_unlock (&self->lock);
  return target;
}

/**
 * strand_task_ref_backend:
 * @self: a task
 * @error: return location for a #GError
 *
 * Returns: (transfer full) (nullable): the backend it is aimed at; or `NULL` with %STRAND_ERROR_NOT_SUPPORTED where it is
 *   aimed at a taskrunner, whose calls are not stored
 * Since: 1.0
 */
StrandBackend *
strand_task_ref_backend (StrandTask *self, GError **error)
{
  g_autoptr (GObject) target = strand_task_ref_target (self, error);

  if (target == NULL)
    return NULL;
  if (STRAND_IS_BACKEND (target))
    return STRAND_BACKEND (g_steal_pointer (&target));
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_NOT_SUPPORTED,
               "Calls of '%s' go to a taskrunner and are not stored: aim the task at a backend", self->function->name);
  return NULL;
}

/**
 * strand_task_ref_store:
 * @self: a task
 * @error: return location for a #GError
 *
 * Returns: (transfer full) (nullable): where the records of its calls are; or `NULL` as strand_task_ref_backend()
 * Since: 1.0
 */
StrandStore *
strand_task_ref_store (StrandTask *self, GError **error)
{
  g_autoptr (StrandBackend) backend = strand_task_ref_backend (self, error);

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
  g_autoptr (StrandStore) store = strand_task_ref_store (self, error);

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
 * Returns: as strand_task_cleanup_expired()
 * Since: 1.0
 */
gint64
strand_task_cleanup_expired_finish (StrandTask *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), -1);

  return g_task_propagate_int (G_TASK (result), error);
}

static gboolean
check_traits (StrandTask *self, GObject *target, GError **error)
{
  StrandTraits traits = self->function->traits;
  StrandRunnerTraits place;
  const char *why = NULL;

  if (traits == STRAND_TRAIT_NONE || (self->checks & STRAND_CHECK_TRAITS) == 0 || !STRAND_IS_TASKRUNNER (target))
    return TRUE;
  place = strand_taskrunner_get_traits (STRAND_TASKRUNNER (target));
  if ((traits & STRAND_TRAIT_MAIN_THREAD_ONLY) != 0 && (place & STRAND_RUNNER_INLINE) == 0)
    why = "it may run only on the main thread: use 'sync'";
  else if ((traits & STRAND_TRAIT_NOT_REENTRANT) != 0 && (place & STRAND_RUNNER_CONCURRENT) != 0)
    why = "it may not run twice at once: use a runner with one worker at a time, or 'process'";
  else if ((traits & STRAND_TRAIT_NOT_PORTABLE) != 0 && (place & STRAND_RUNNER_OTHER_PROCESS) != 0)
    why = "it may not run in another process";
  if (why == NULL)
    return TRUE;
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_UNSAFE, "Could not call '%s' on %s: %s", self->function->name,
               G_OBJECT_TYPE_NAME (target), why);
  return FALSE;
}

static StrandRecipe *
make_recipe_locked (StrandTask *self, GError **error)
{
  g_autoptr (GObject) target = find_target_locked (self, error);
  StrandRecipe *recipe;

  if (target == NULL || !check_traits (self, target, error))
    return NULL;

  recipe = strand_recipe_new (strand_function_ref (self->function));
  if (STRAND_IS_TASKRUNNER (target))
    recipe->runner = STRAND_TASKRUNNER (g_steal_pointer (&target));
  else
    recipe->backend = STRAND_BACKEND (g_steal_pointer (&target));
  recipe->on_iter = self->on_iter != NULL ? strand_closure_ref (self->on_iter) : NULL;
  recipe->on_end = self->on_end != NULL ? strand_closure_ref (self->on_end) : NULL;
  recipe->on_error = self->on_error != NULL ? strand_closure_ref (self->on_error) : NULL;
  recipe->options = self->options != NULL ? strand_options_copy (self->options) : NULL;
  recipe->priority = self->priority;
  recipe->on_runner = self->on_runner ||
                      (recipe->runner != NULL &&
                       (strand_taskrunner_get_traits (recipe->runner) & STRAND_RUNNER_INLINE) != 0);
  recipe->max_items = self->max_items;
  recipe->grace_us = self->grace_us;
  recipe->delivery = strand_delivery_ref (strand_delivery_peek_default (self->priority));
  return recipe;
}

static gboolean
is_outdated_locked (StrandTask *self)
{
  StrandStack *stack;

  if (self->target != NULL)
    return FALSE;
  stack = self->stack != NULL ? self->stack : strand_stack_get_default ();
  return strand_stack_get_generation (stack) != self->generation;
}

static StrandRecipe *
ref_recipe (StrandTask *self, GError **error)
{
  StrandRecipe *recipe = NULL;

  g_mutex_lock (&self->lock);
  if (self->recipe != NULL && is_outdated_locked (self))
    forget_recipe_locked (self);
  if (self->recipe == NULL)
    self->recipe = make_recipe_locked (self, error);
  if (self->recipe != NULL)
    recipe = strand_recipe_ref (self->recipe);
  g_mutex_unlock (&self->lock);
  return recipe;
}

/* A call that cannot even be made still ends once, in its callbacks. */
static StrandCall *
new_failed_call (StrandTask *self)
{
  StrandRecipe *recipe = strand_recipe_new (strand_function_ref (self->function));

  g_mutex_lock (&self->lock);
  recipe->on_end = self->on_end != NULL ? strand_closure_ref (self->on_end) : NULL;
  recipe->on_error = self->on_error != NULL ? strand_closure_ref (self->on_error) : NULL;
  recipe->priority = self->priority;
  g_mutex_unlock (&self->lock);
  return strand_call_new (recipe, NULL);
}

static GVariant *
bind_arguments (StrandTask *self, GVariant *arguments, GVariant *keywords, GError **error)
{
  g_autoptr (GVariant) positional = arguments != NULL ? g_variant_ref_sink (arguments) : NULL;
  g_autoptr (GVariant) named = keywords != NULL ? g_variant_ref_sink (keywords) : NULL;
  GVariant *joined;

  /* The common case: nothing is bound, and what is given fits as it is. */
  if (self->bound == NULL && self->keywords == NULL && named == NULL)
    {
      if (positional != NULL && (self->checks & STRAND_CHECK_TYPES) == 0)
        return g_steal_pointer (&positional);
      return strand_function_bind (self->function, positional, NULL, error);
    }

  g_mutex_lock (&self->lock);
  if (self->bound != NULL)
    {
      joined = concat_tuples (self->bound, positional);
      g_clear_pointer (&positional, g_variant_unref);
      positional = joined;
    }
  if (self->keywords != NULL)
    {
      joined = concat_keywords (self->keywords, named);
      g_clear_pointer (&named, g_variant_unref);
      named = joined;
    }
  g_mutex_unlock (&self->lock);
  return strand_function_bind (self->function, positional, named, error);
}

static gboolean
check_own_key (const char *key, GError **error)
{
  if (key == NULL)
    return TRUE;
  if (!strand_key_check (key, error))
    return FALSE;
  if (!strand_key_is_reserved (key))
    return TRUE;
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_KEY,
               "The key '%s' is reserved: those that begin with 'strand.' are strand's own", key);
  return FALSE;
}

/* What only a stored call can have must not be forgotten in silence. */
static gboolean
check_options (StrandRecipe *recipe, StrandOptions *options, GError **error)
{
  const char *option = NULL;

  if (options == NULL)
    return TRUE;
  if (recipe->backend != NULL)
    option = NULL;
  else if (options->retries > 0)
    option = "retries";
  else if (options->queue != NULL)
    option = "queue";
  else if (options->unique != NULL)
    option = "unique";
  else if (options->not_before_us != 0)
    option = "not-before";
  else if (options->expires_us != 0)
    option = "expires";
  else if (options->ttl_us != STRAND_UNSET)
    option = "ttl";
  if (option == NULL)
    return check_own_key (options->key, error);

  g_set_error (error, STRAND_ERROR, STRAND_ERROR_NOT_SUPPORTED,
               "Could not call '%s': option '%s' needs a record, and a taskrunner keeps none: aim the task at a backend",
               recipe->function->name, option);
  return FALSE;
}

/* Makes a call, pending and not yet submitted; or one that has failed, which @failure says. */
static StrandCall *
prepare_call (StrandTask *self, GVariant *arguments, GVariant *keywords, StrandOptions *options, GError **failure)
{
  g_autoptr (GVariant) bound = NULL;
  StrandRecipe *recipe;
  StrandCall *call;

  /* Most often there is nothing to bind: no arguments, and none expected. */
  if (arguments != NULL || keywords != NULL || self->function->n_parameters > 0)
    {
      bound = bind_arguments (self, arguments, keywords, failure);
      if (bound == NULL)
        return new_failed_call (self);
    }
  recipe = ref_recipe (self, failure);
  if (recipe == NULL)
    return new_failed_call (self);
  if (!check_options (recipe, options != NULL ? options : recipe->options, failure))
    {
      strand_recipe_unref (recipe);
      return new_failed_call (self);
    }

  call = strand_call_new (recipe, g_steal_pointer (&bound));
  if (options != NULL || recipe->options != NULL)
    strand_call_set_options (call, strand_options_merge (recipe->options, options));
  return call;
}

/* Also for a call that has failed: its data goes where that of others goes. */
static void
take_data (StrandCall *call, StrandOptions *options)
{
  StrandCallExtra *extra = strand_call_extra (call);

  if (extra->options == NULL)
    strand_call_set_options (call, strand_options_new ());
  extra->options->data = g_steal_pointer (&options->data);
  extra->options->data_destroy = g_steal_pointer (&options->data_destroy);
}

/* Whose context the callbacks run in. */
static void
set_delivery (StrandCall *call)
{
  StrandDelivery *delivery;

  if (call->recipe->on_runner || g_atomic_int_get (&strand_inline_mode))
    return;
  delivery = strand_delivery_peek_default (call->recipe->priority);
  call->delivery = delivery == call->recipe->delivery ? delivery : strand_delivery_ref (delivery);
}

/* @handle: (out) (optional) */
static void
launch (StrandTask *self, GVariant *arguments, GVariant *keywords, StrandOptions *options, StrandHandle **handle)
{
  GError *failure = NULL;
  StrandCall *call = prepare_call (self, arguments, keywords, options, &failure);

  if (options != NULL)
    take_data (call, options);
  set_delivery (call);
  if (handle != NULL)
    *handle = strand_handle_new_for_call (call);
  if (failure == NULL)
    {
      strand_call_submit (call);
      return;
    }
  strand_call_finish_as (call, STRAND_STATUS_FAILED, NULL, failure);
  strand_call_unref (call);
}

static GVariant *
collect (StrandTask *self, const char *format, va_list *args)
{
  return format != NULL && *format != '\0' ? strand_arguments_collect (self->function, format, args) : NULL;
}

/**
 * strand_task_call: (skip)
 * @self: a task
 * @format: (nullable): a GVariant format of a tuple, such as `(xx)`; `NULL` for no arguments
 * @...: the arguments
 *
 * Calls the task. Any thread; does not block (but `sync` runs the function here). Whatever goes wrong, the call ends
 * in its callbacks and its handle.
 *
 * Returns: (transfer full): a handle; dropping it cancels nothing
 * Since: 1.0
 */
StrandHandle *
strand_task_call (StrandTask *self, const char *format, ...)
{
  StrandHandle *handle = NULL;
  va_list args;

  g_return_val_if_fail (STRAND_IS_TASK (self), NULL);

  va_start (args, format);
  launch (self, collect (self, format, &args), NULL, NULL, &handle);
  va_end (args);
  return handle;
}

/**
 * strand_task_call_value: (rename-to strand_task_call)
 * @self: a task
 * @arguments: (nullable): a tuple; floating is consumed
 *
 * As strand_task_call().
 *
 * Returns: (transfer full): a handle
 * Since: 1.0
 */
StrandHandle *
strand_task_call_value (StrandTask *self, GVariant *arguments)
{
  return strand_task_call_full (self, arguments, NULL, NULL);
}

/**
 * strand_task_call_full:
 * @self: a task
 * @arguments: (nullable): a tuple of leading arguments; floating is consumed
 * @keywords: (nullable): further arguments by name, `a{sv}`; floating is consumed
 * @options: (nullable): how this call wants to be treated; its pointer data is taken
 *
 * As strand_task_call().
 *
 * Returns: (transfer full): a handle
 * Since: 1.0
 */
StrandHandle *
strand_task_call_full (StrandTask *self, GVariant *arguments, GVariant *keywords, StrandOptions *options)
{
  StrandHandle *handle = NULL;

  g_return_val_if_fail (STRAND_IS_TASK (self), NULL);
  g_return_val_if_fail (arguments == NULL || g_variant_type_is_tuple (g_variant_get_type (arguments)), NULL);

  launch (self, arguments, keywords, options, &handle);
  return handle;
}

/**
 * strand_task_post: (skip)
 * @self: a task
 * @format: (nullable): a GVariant format of a tuple, such as `(xx)`; `NULL` for no arguments
 * @...: the arguments
 *
 * Calls the task without asking for a handle: the callbacks tell how it went. The cheapest way to make a call.
 *
 * Since: 1.0
 */
void
strand_task_post (StrandTask *self, const char *format, ...)
{
  va_list args;

  g_return_if_fail (STRAND_IS_TASK (self));

  va_start (args, format);
  launch (self, collect (self, format, &args), NULL, NULL, NULL);
  va_end (args);
}

/**
 * strand_task_post_value: (rename-to strand_task_post)
 * @self: a task
 * @arguments: (nullable): a tuple; floating is consumed
 *
 * As strand_task_post().
 *
 * Since: 1.0
 */
void
strand_task_post_value (StrandTask *self, GVariant *arguments)
{
  g_return_if_fail (STRAND_IS_TASK (self));
  g_return_if_fail (arguments == NULL || g_variant_type_is_tuple (g_variant_get_type (arguments)));

  launch (self, arguments, NULL, NULL, NULL);
}

static void
on_cancelled (GCancellable *cancellable, gpointer data)
{
  strand_call_cancel (data);
}

static void
call_ended (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GTask) task = data;
  GError *error = NULL;
  GVariant *value = strand_handle_wait_finish (STRAND_HANDLE (source), result, &error);
  gulong *id = g_task_get_task_data (task);

  if (*id != 0)
    g_cancellable_disconnect (g_task_get_cancellable (task), *id);
  if (value != NULL)
    g_task_return_pointer (task, value, (GDestroyNotify) g_variant_unref);
  else
    g_task_return_error (task, error);
}

/**
 * strand_task_call_async:
 * @self: a task
 * @arguments: (nullable): a tuple; floating is consumed
 * @cancellable: (nullable): cancels the call
 * @callback: (scope async) (closure user_data): what to call when the call has ended
 * @user_data: data for @callback
 *
 * Calls the task and waits for its end without blocking. The task's own callbacks run as well.
 *
 * Since: 1.0
 */
void
strand_task_call_async (StrandTask *self, GVariant *arguments, GCancellable *cancellable, GAsyncReadyCallback callback,
                        gpointer user_data)
{
  g_autoptr (StrandHandle) handle = NULL;
  GTask *task;
  gulong *id;

  g_return_if_fail (STRAND_IS_TASK (self));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, strand_task_call_async);
  g_task_set_check_cancellable (task, FALSE);
  handle = strand_task_call_full (self, arguments, NULL, NULL);
  id = g_new0 (gulong, 1);
  g_task_set_task_data (task, id, g_free);
  if (cancellable != NULL)
    *id = g_cancellable_connect (cancellable, G_CALLBACK (on_cancelled), strand_call_ref (strand_handle_get_call (handle)),
                                 (GDestroyNotify) strand_call_unref);
  strand_handle_wait_async (handle, NULL, call_ended, task);
}

/**
 * strand_task_call_finish:
 * @self: a task
 * @result: what the callback was given
 * @error: return location for a #GError
 *
 * Returns: (transfer full) (nullable): the value, as strand_handle_get_result(); or `NULL` with the call's error
 * Since: 1.0
 */
GVariant *
strand_task_call_finish (StrandTask *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

/**
 * strand_set_inline:
 * @inline_mode: whether calls run in their caller
 *
 * For tests: while on, every call of any task runs, and its callbacks too, before the function that makes the call
 * returns. Calls under way are not affected.
 *
 * Since: 1.0
 */
void
strand_set_inline (gboolean inline_mode)
{
  g_atomic_int_set (&strand_inline_mode, inline_mode);
}

/**
 * strand_get_inline:
 *
 * Whether strand_set_inline() is on; for backends, which then do at once what they would leave to a thread.
 *
 * Returns: whether calls run in their caller
 * Since: 1.0
 */
gboolean
strand_get_inline (void)
{
  return g_atomic_int_get (&strand_inline_mode);
}
