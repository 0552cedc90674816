/* strand-task-call.c — calling a task: from arguments to a call on its way to its target.
 *
 * Whatever is wrong with a call, it is made, and ends with the reason where its caller looks: in its
 * callbacks and its handle.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-task-private.h"
#include "strand-blocking-private.h"
#include "strand-call-private.h"
#include "strand-clock.h"
#include "strand-error.h"
#include "strand-function-private.h"
#include "strand-registry.h"

/* A recipe for @target, which is taken over. */
static StrandRecipe *
make_recipe_locked (StrandTask *self, GObject *target)
{
  StrandRecipe *recipe = strand_recipe_new (strand_function_ref (self->function));

  if (STRAND_IS_TASKRUNNER (target))
    recipe->runner = STRAND_TASKRUNNER (target);
  else
    recipe->backend = STRAND_BACKEND (target);
  recipe->on_iter = self->on_iter != NULL ? strand_closure_ref (self->on_iter) : NULL;
  recipe->on_end = self->on_end != NULL ? strand_closure_ref (self->on_end) : NULL;
  recipe->on_error = self->on_error != NULL ? strand_closure_ref (self->on_error) : NULL;
  recipe->options = self->options != NULL ? strand_options_copy (self->options) : NULL;
  recipe->priority = self->priority;
  recipe->on_runner =
      self->on_runner ||
      (recipe->runner != NULL && (strand_taskrunner_get_traits (recipe->runner) & STRAND_RUNNER_INLINE) != 0);
  recipe->max_items = self->max_items;
  recipe->grace_us = self->grace_us;
  recipe->checks = self->checks;
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
ref_current_recipe (StrandTask *self)
{
  g_autoptr(StrandRecipe) outdated = NULL;
  StrandRecipe *recipe = NULL;

  g_mutex_lock (&self->lock);
  if (self->recipe != NULL && is_outdated_locked (self))
    outdated = strand_task_steal_recipe_locked (self);
  if (self->recipe != NULL)
    recipe = strand_recipe_ref (self->recipe);
  g_mutex_unlock (&self->lock);
  return recipe;
}

/* The target is found without the lock: that may load plugins and make objects. If the task is changed
 * meanwhile, this call still goes where the task was aimed when it was made. */
static StrandRecipe *
ref_recipe (StrandTask *self, GError **error)
{
  StrandRecipe *recipe = ref_current_recipe (self);
  g_autoptr(StrandRecipe) outdated = NULL;
  guint64 generation;
  GObject *target;

  if (recipe != NULL)
    return recipe;
  target = strand_task_find_target (self, &generation, error);
  if (target == NULL)
    return NULL;

  g_mutex_lock (&self->lock);
  recipe = make_recipe_locked (self, target);
  outdated = strand_task_steal_recipe_locked (self);
  self->recipe = strand_recipe_ref (recipe);
  self->generation = generation;
  g_mutex_unlock (&self->lock);
  return recipe;
}

/* A recipe for one call that goes elsewhere than the task is aimed. */
static StrandRecipe *
make_recipe_for (StrandTask *self, const char *target_name, GError **error)
{
  g_autoptr(StrandStack) stack = NULL;
  StrandRecipe *recipe;
  GObject *target;

  g_mutex_lock (&self->lock);
  stack = g_object_ref (self->stack != NULL ? self->stack : strand_stack_get_default ());
  g_mutex_unlock (&self->lock);
  target = strand_stack_ref_target (stack, target_name, error);
  if (target == NULL)
    return NULL;

  g_mutex_lock (&self->lock);
  recipe = make_recipe_locked (self, target);
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
  g_autoptr(GVariant) positional = arguments != NULL ? g_variant_ref_sink (arguments) : NULL;
  g_autoptr(GVariant) named = keywords != NULL ? g_variant_ref_sink (keywords) : NULL;
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
      joined = strand_arguments_concat_tuples (self->bound, positional);
      g_clear_pointer (&positional, g_variant_unref);
      positional = joined;
    }
  if (self->keywords != NULL)
    {
      joined = strand_arguments_concat_keywords (self->keywords, named);
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
check_options (StrandCall *call, GError **error)
{
  StrandRecipe *recipe = call->recipe;
  StrandOptions *options = call->extra != NULL ? call->extra->options : NULL;
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
               "Could not call '%s': option '%s' needs a record, and a taskrunner keeps none: aim the task "
               "at a backend",
               recipe->function->name, option);
  return FALSE;
}

/* Makes a call, pending and not yet submitted; or one that has failed, which @failure says. */
static StrandCall *
prepare_call (StrandTask *self, const char *target, GVariant *arguments, GVariant *keywords,
              StrandOptions *options, GError **failure)
{
  g_autoptr(GVariant) bound = NULL;
  StrandRecipe *recipe;
  StrandCall *call;

  recipe = target != NULL ? make_recipe_for (self, target, failure) : ref_recipe (self, failure);
  if (recipe == NULL)
    {
      if (arguments != NULL)
        g_variant_unref (g_variant_ref_sink (arguments));
      if (keywords != NULL)
        g_variant_unref (g_variant_ref_sink (keywords));
      return new_failed_call (self);
    }
  /* Most often there is nothing to bind: no arguments, and none expected. A call that fails here has its
   * recipe, so that it ends where it would have ended otherwise. */
  if (arguments != NULL || keywords != NULL || self->function->n_parameters > 0)
    {
      bound = bind_arguments (self, arguments, keywords, failure);
      if (bound == NULL)
        return strand_call_new (recipe, NULL);
    }
  call = strand_call_new (recipe, g_steal_pointer (&bound));
  if (options != NULL || recipe->options != NULL)
    strand_call_set_options (call, strand_options_merge (recipe->options, options));
  if (check_options (call, failure) && recipe->runner != NULL)
    strand_taskrunner_check (recipe->runner, call, failure);
  return call;
}

/* Also for a call that has failed: its data goes where that of others goes. */
void
strand_call_take_data (StrandCall *call, StrandOptions *options)
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

/* Makes a call that its owner submits later, with its reference; or, where @failure is set, ends with that.
 * @target: a name, or NULL for where the task is aimed. */
StrandCall *
strand_task_prepare (StrandTask *self, const char *target, GVariant *arguments, GVariant *keywords,
                     StrandOptions *options, GError **failure)
{
  StrandCall *call = prepare_call (self, target, arguments, keywords, options, failure);

  if (options != NULL)
    strand_call_take_data (call, options);
  set_delivery (call);
  return call;
}

/* Takes over @call and @failure. */
static void
submit_or_fail (StrandCall *call, GError *failure)
{
  if (failure == NULL)
    {
      strand_call_submit (call);
      return;
    }
  strand_call_finish_as (call, STRAND_STATUS_FAILED, NULL, failure);
  strand_call_unref (call);
}

/* @handle: (out) (optional) */
static void
launch (StrandTask *self, GVariant *arguments, GVariant *keywords, StrandOptions *options,
        StrandHandle **handle)
{
  GError *failure = NULL;
  StrandCall *call = strand_task_prepare (self, NULL, arguments, keywords, options, &failure);

  if (handle != NULL)
    *handle = strand_handle_new_for_call (call);
  submit_or_fail (call, failure);
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
 * Calls the task. Any thread; does not block (but `sync` runs the function here). Whatever goes wrong, the
 * call ends in its callbacks and its handle.
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
 * Calls the task without asking for a handle: the callbacks tell how it went. The cheapest way to make a
 * call.
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
  g_autoptr(GTask) task = data;
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
strand_task_call_async (StrandTask *self, GVariant *arguments, GCancellable *cancellable,
                        GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr(StrandHandle) handle = NULL;
  GError *failure = NULL;
  StrandCall *call;
  GTask *task;
  gulong *id;

  g_return_if_fail (STRAND_IS_TASK (self));
  g_return_if_fail (arguments == NULL || g_variant_type_is_tuple (g_variant_get_type (arguments)));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, strand_task_call_async);
  g_task_set_check_cancellable (task, FALSE);
  call = strand_task_prepare (self, NULL, arguments, NULL, NULL, &failure);
  handle = strand_handle_new_for_call (call);
  id = g_new0 (gulong, 1);
  g_task_set_task_data (task, id, g_free);
  if (cancellable != NULL)
    *id = g_cancellable_connect (cancellable, G_CALLBACK (on_cancelled), strand_call_ref (call),
                                 (GDestroyNotify) strand_call_unref);
  /* Last, because `sync` comes back only when the call has ended. */
  submit_or_fail (call, failure);
  strand_handle_wait_async (handle, NULL, call_ended, task);
}

/**
 * strand_task_call_finish:
 * @self: a task
 * @result: what the callback was given
 * @error: return location for a #GError
 *
 * Says what became of strand_task_call_async().
 *
 * Returns: (transfer full) (nullable): the value, as strand_handle_get_result(); or `NULL` with the call's
 * error
 *
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
 * For tests: while on, every call of any task runs, and its callbacks too, before the function that makes the
 * call returns. Calls under way are not affected.
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
