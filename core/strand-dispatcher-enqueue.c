/* strand-dispatcher-enqueue.c — from a function or task to a place in a dispatcher's batch.
 *
 * Whatever is enqueued gets its place and its handle, so that results stand in the order of the calls: what
 * is wrong with a call becomes its end, once it is dispatched, and is not told here. Calls that name their
 * function share one task for each function and target, which looks both up once.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-dispatcher-private.h"
#include "strand-function-private.h"
#include "strand-task-private.h"

/* Takes over @call and @failure. Borrowed: the batch has the handle. */
static StrandHandle *
take_call (StrandTaskDispatcher *self, StrandCall *call, GError *failure)
{
  StrandHandle *handle = strand_handle_new_for_call (call);

  strand_line_add (self->line, call, failure);
  strand_call_unref (call);
  g_mutex_lock (&self->lock);
  g_ptr_array_add (self->batch->handles, handle);
  g_mutex_unlock (&self->lock);
  strand_task_dispatcher_model_changed (self);
  return handle;
}

static StrandHandle *
enqueue (StrandTaskDispatcher *self, StrandTask *task, const char *target, GVariant *arguments,
         GVariant *keywords, StrandOptions *options)
{
  GError *failure = NULL;
  StrandCall *call = strand_task_prepare (task, target, arguments, keywords, options, &failure);

  return take_call (self, call, failure);
}

/* A row for what cannot be called. */
static StrandHandle *
enqueue_unknown (StrandTaskDispatcher *self, const char *function, StrandOptions *options, GError *failure)
{
  StrandRecipe *recipe = strand_recipe_new (strand_function_new_unknown (function));
  StrandCall *call = strand_call_new (recipe, NULL);

  call->delivery = strand_delivery_ref_default (G_PRIORITY_DEFAULT);
  if (options != NULL)
    strand_call_take_data (call, options);
  return take_call (self, call, failure);
}

/* All calls of one function on one target share a task, and so what it has worked out. */
static StrandTask *
ref_task (StrandTaskDispatcher *self, const char *function, const char *target, GError **error)
{
  g_autofree char *name = g_strconcat (function, "\n", target, NULL);
  g_autoptr(StrandStack) stack = NULL;
  StrandTask *task;

  g_mutex_lock (&self->lock);
  task = g_hash_table_lookup (self->tasks, name);
  if (task != NULL)
    g_object_ref (task);
  stack = self->stack != NULL ? g_object_ref (self->stack) : NULL;
  g_mutex_unlock (&self->lock);
  if (task != NULL)
    return task;

  task = strand_task_new_for_name (function, NULL, error);
  if (task == NULL)
    return NULL;
  strand_task_set_stack (task, stack);
  if (!strand_task_set_target (task, target, error))
    {
      g_object_unref (task);
      return NULL;
    }
  g_mutex_lock (&self->lock);
  if (self->stack == stack)
    g_hash_table_replace (self->tasks, g_steal_pointer (&name), g_object_ref (task));
  g_mutex_unlock (&self->lock);
  return task;
}

static void
drop_floating (GVariant *value)
{
  if (value != NULL)
    g_variant_unref (g_variant_ref_sink (value));
}

/**
 * strand_task_dispatcher_enqueue: (skip)
 * @self: a dispatcher
 * @function: name of a function in the default registry
 * @format: (nullable): a GVariant format of a tuple, such as `(xx)`; `NULL` for no arguments
 * @...: the arguments
 *
 * Makes a call that waits to be dispatched. Whatever is wrong with it, it has its place, and fails there when
 * it is dispatched. Any thread; does not block. Its callbacks and its handle belong to the main context that
 * is thread-default now.
 *
 * Returns: (transfer none): its handle, which the dispatcher keeps until it is reset
 * Since: 1.0
 */
StrandHandle *
strand_task_dispatcher_enqueue (StrandTaskDispatcher *self, const char *function, const char *format, ...)
{
  GVariant *arguments = NULL;
  va_list args;

  g_return_val_if_fail (STRAND_IS_TASK_DISPATCHER (self) && function != NULL, NULL);

  va_start (args, format);
  if (format != NULL && *format != '\0')
    arguments = g_variant_new_va (format, NULL, &args);
  va_end (args);
  return strand_task_dispatcher_enqueue_full (self, function, NULL, arguments, NULL, NULL);
}

/**
 * strand_task_dispatcher_enqueue_value: (rename-to strand_task_dispatcher_enqueue)
 * @self: a dispatcher
 * @function: name of a function in the default registry
 * @arguments: (nullable): a tuple; floating is consumed
 *
 * As strand_task_dispatcher_enqueue().
 *
 * Returns: (transfer none): its handle, which the dispatcher keeps until it is reset
 * Since: 1.0
 */
StrandHandle *
strand_task_dispatcher_enqueue_value (StrandTaskDispatcher *self, const char *function, GVariant *arguments)
{
  return strand_task_dispatcher_enqueue_full (self, function, NULL, arguments, NULL, NULL);
}

/**
 * strand_task_dispatcher_enqueue_full:
 * @self: a dispatcher
 * @function: name of a function in the default registry
 * @target: (nullable): where this call runs, a target's name; `NULL` for #StrandTaskDispatcher:target
 * @arguments: (nullable): a tuple of leading arguments; floating is consumed
 * @keywords: (nullable): further arguments by name, `a{sv}`; floating is consumed
 * @options: (nullable): how this call wants to be treated; its pointer data is taken
 *
 * As strand_task_dispatcher_enqueue().
 *
 * Returns: (transfer none): its handle, which the dispatcher keeps until it is reset
 * Since: 1.0
 */
StrandHandle *
strand_task_dispatcher_enqueue_full (StrandTaskDispatcher *self, const char *function, const char *target,
                                     GVariant *arguments, GVariant *keywords, StrandOptions *options)
{
  g_autofree char *default_target = NULL;
  g_autoptr(StrandTask) task = NULL;
  GError *failure = NULL;

  g_return_val_if_fail (STRAND_IS_TASK_DISPATCHER (self) && function != NULL, NULL);
  g_return_val_if_fail (arguments == NULL || g_variant_type_is_tuple (g_variant_get_type (arguments)), NULL);

  if (target == NULL)
    {
      g_mutex_lock (&self->lock);
      target = default_target = g_strdup (self->target);
      g_mutex_unlock (&self->lock);
    }
  task = ref_task (self, function, target, &failure);
  if (task != NULL)
    return enqueue (self, task, NULL, arguments, keywords, options);
  drop_floating (arguments);
  drop_floating (keywords);
  return enqueue_unknown (self, function, options, failure);
}

/**
 * strand_task_dispatcher_enqueue_task:
 * @self: a dispatcher
 * @task: what to call
 * @arguments: (nullable): a tuple; floating is consumed
 *
 * Makes a call of a task, with its callbacks and its target, that waits to be dispatched. As
 * strand_task_dispatcher_enqueue().
 *
 * Returns: (transfer none): its handle, which the dispatcher keeps until it is reset
 * Since: 1.0
 */
StrandHandle *
strand_task_dispatcher_enqueue_task (StrandTaskDispatcher *self, StrandTask *task, GVariant *arguments)
{
  return strand_task_dispatcher_enqueue_task_full (self, task, NULL, arguments, NULL, NULL);
}

/**
 * strand_task_dispatcher_enqueue_task_full:
 * @self: a dispatcher
 * @task: what to call
 * @target: (nullable): where this call runs, a target's name in the task's stack; `NULL` for where the task
 * is aimed
 * @arguments: (nullable): a tuple of leading arguments; floating is consumed
 * @keywords: (nullable): further arguments by name, `a{sv}`; floating is consumed
 * @options: (nullable): how this call wants to be treated; its pointer data is taken
 *
 * As strand_task_dispatcher_enqueue_task().
 *
 * Returns: (transfer none): its handle, which the dispatcher keeps until it is reset
 * Since: 1.0
 */
StrandHandle *
strand_task_dispatcher_enqueue_task_full (StrandTaskDispatcher *self, StrandTask *task, const char *target,
                                          GVariant *arguments, GVariant *keywords, StrandOptions *options)
{
  g_return_val_if_fail (STRAND_IS_TASK_DISPATCHER (self) && STRAND_IS_TASK (task), NULL);
  g_return_val_if_fail (arguments == NULL || g_variant_type_is_tuple (g_variant_get_type (arguments)), NULL);

  return enqueue (self, task, target, arguments, keywords, options);
}
