/* strand-taskrunner.c — the border guard of taskrunners.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-taskrunner.h"
#include "strand-blocking-private.h"
#include "strand-call-private.h"
#include "strand-error.h"
#include "strand-function-private.h"
#include "strand-waits-private.h"

/**
 * StrandTaskrunner:
 *
 * Where code runs: a place that takes calls and sees to it that their functions are run.
 *
 * Since: 1.0
 */
G_DEFINE_INTERFACE (StrandTaskrunner, strand_taskrunner, G_TYPE_OBJECT)

G_DEFINE_FLAGS_TYPE (StrandRunnerTraits, strand_runner_traits,
                     G_DEFINE_ENUM_VALUE (STRAND_RUNNER_INLINE, "inline"),
                     G_DEFINE_ENUM_VALUE (STRAND_RUNNER_CONCURRENT, "concurrent"),
                     G_DEFINE_ENUM_VALUE (STRAND_RUNNER_OTHER_PROCESS, "other-process"),
                     G_DEFINE_ENUM_VALUE (STRAND_RUNNER_LENDS_CALLS, "lends-calls"))

static void
strand_taskrunner_default_init (StrandTaskrunnerInterface *iface)
{
}

/**
 * strand_taskrunner_get_traits:
 * @self: a taskrunner
 *
 * Any thread; does not block.
 *
 * Returns: what kind of place this is
 * Since: 1.0
 */
StrandRunnerTraits
strand_taskrunner_get_traits (StrandTaskrunner *self)
{
  g_return_val_if_fail (STRAND_IS_TASKRUNNER (self), 0);

  return STRAND_TASKRUNNER_GET_IFACE (self)->get_traits (self);
}

static gboolean
is_main_thread (void)
{
  return strand_delivery_is_main_thread () || g_main_context_is_owner (g_main_context_default ());
}

static gboolean
needs_check (StrandCall *call)
{
  return call->recipe->function->traits != STRAND_TRAIT_NONE || call->recipe->function->returns_object;
}

/* Why the function must not run in such a place; NULL if it may, or the caller answers for it. */
static const char *
find_objection (const StrandRecipe *recipe, StrandRunnerTraits place)
{
  StrandTraits traits = recipe->function->traits;
  StrandChecks checks = recipe->checks;

  if ((traits & STRAND_TRAIT_MAIN_THREAD_ONLY) != 0 && (checks & STRAND_CHECK_MAIN_THREAD) != 0)
    {
      if ((place & STRAND_RUNNER_INLINE) == 0)
        return "it may run only on the main thread: use 'sync'";
      if (!is_main_thread ())
        return "it may run only on the main thread, and this is another";
    }
  if ((traits & STRAND_TRAIT_NOT_REENTRANT) != 0 && (checks & STRAND_CHECK_REENTRANT) != 0 &&
      (place & STRAND_RUNNER_CONCURRENT) != 0)
    return "it may not run twice at once: use a runner with one worker";
  if ((place & STRAND_RUNNER_OTHER_PROCESS) == 0)
    return NULL;
  if ((traits & STRAND_TRAIT_NOT_PORTABLE) != 0 && (checks & STRAND_CHECK_PORTABLE) != 0)
    return "it may not run in another process";
  if (recipe->function->returns_object && (checks & STRAND_CHECK_OBJECTS) != 0)
    return "it returns an object, which cannot leave its process: use another taskrunner";
  return NULL;
}

/**
 * strand_taskrunner_check:
 * @self: a taskrunner
 * @call: a call
 * @error: return location for a #GError
 *
 * Whether the call's function may run there, by its traits and its result. Tasks ask this of their
 * taskrunner, backends of theirs, before they accept a call and on the thread that submits it; a task's
 * `checks` can switch it off. Any thread; does not block.
 *
 * Returns: %TRUE, or %FALSE with %STRAND_ERROR_UNSAFE
 * Since: 1.0
 */
gboolean
strand_taskrunner_check (StrandTaskrunner *self, StrandCall *call, GError **error)
{
  StrandRunnerTraits place;
  const char *why;

  g_return_val_if_fail (STRAND_IS_TASKRUNNER (self), FALSE);
  g_return_val_if_fail (call != NULL, FALSE);

  if (!needs_check (call))
    return TRUE;
  place = strand_taskrunner_get_traits (self);
  why = find_objection (call->recipe, place);
  if (why == NULL)
    return TRUE;
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_UNSAFE, "Could not call '%s' on %s: %s",
               call->recipe->function->name, G_OBJECT_TYPE_NAME (self), why);
  return FALSE;
}

/* The owner of a main context is never made to wait: it would stop its windows. */
static gboolean
may_block (void)
{
  return g_main_context_get_thread_default () == NULL && !is_main_thread ();
}

static void
ignore_wake (gpointer data)
{
}

/* Whether this thread may wait for room: not if those who make it wait for what this thread does. */
static gboolean
take_when_there_is_room (StrandTaskrunner *self, StrandCall *call, GError **error)
{
  StrandTaskrunnerInterface *iface = STRAND_TASKRUNNER_GET_IFACE (self);
  g_autoptr(GError) full = NULL;
  StrandWait wait = { .room = self, .wake = ignore_wake };
  gboolean taken;

  if (!may_block () || !strand_wait_matters (NULL))
    return iface->submit (self, call, may_block (), error);
  if (iface->submit (self, call, FALSE, &full))
    return TRUE;
  if (!g_error_matches (full, STRAND_ERROR, STRAND_ERROR_FULL))
    {
      g_propagate_error (error, g_steal_pointer (&full));
      return FALSE;
    }
  strand_wait_begin (&wait);
  taken = strand_wait_look (&wait) == STRAND_WAIT_SLEEP;
  if (taken)
    taken = iface->submit (self, call, TRUE, error);
  else
    g_propagate_error (error, g_steal_pointer (&full));
  strand_wait_end (&wait);
  return taken;
}

/* A pointer means nothing elsewhere. */
static gboolean
check_data (StrandTaskrunner *self, StrandCall *call, GError **error)
{
  StrandCallExtra *extra = g_atomic_pointer_get (&call->extra);

  if (extra == NULL || (strand_taskrunner_get_traits (self) & STRAND_RUNNER_OTHER_PROCESS) == 0 ||
      strand_call_get_options (call)->data == NULL)
    return TRUE;
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_NOT_SUPPORTED,
               "%s runs it in another process, where a pointer given with the call means nothing",
               G_OBJECT_TYPE_NAME (self));
  return FALSE;
}

/* An attempt's stored call, if it has one here. Notes where it runs, for stopping it; somebody who waits for
 * the call may look there at the same time. */
static StrandCall *
ref_parent (StrandTaskrunner *self, StrandCall *call)
{
  StrandCallExtra *extra = g_atomic_pointer_get (&call->extra);

  if (extra == NULL || extra->funcs == NULL)
    return NULL;
  if (extra->runner != self)
    {
      g_autoptr(StrandTaskrunner) before = extra->runner;

      g_atomic_pointer_set (&extra->runner, g_object_ref (self));
    }
  return extra->parent != NULL ? strand_call_ref (extra->parent) : NULL;
}

/**
 * strand_taskrunner_submit:
 * @self: a taskrunner
 * @call: (transfer full): a pending call; taken over on success only
 * @error: return location for a #GError
 *
 * Gives a call to a taskrunner. Any thread. At the runner's limit a worker thread waits, while the owner of a
 * main context gets %STRAND_ERROR_FULL, and so does a function that the runner's own workers wait for.
 *
 * Returns: %TRUE, or %FALSE with %STRAND_ERROR_FULL or %STRAND_ERROR_CLOSED
 * Since: 1.0
 */
gboolean
strand_taskrunner_submit (StrandTaskrunner *self, StrandCall *call, GError **error)
{
  g_autoptr(StrandCall) parent = NULL;
  GError *local = NULL;

  g_return_val_if_fail (STRAND_IS_TASKRUNNER (self), FALSE);
  g_return_val_if_fail (call != NULL, FALSE);

  parent = ref_parent (self, call);
  if (G_UNLIKELY (g_atomic_int_get (&strand_inline_mode)))
    {
      strand_call_run (call);
      return TRUE;
    }

  if (check_data (self, call, &local) && take_when_there_is_room (self, call, &local))
    {
      if (parent != NULL)
        strand_call_poke_waiters (parent);
      return TRUE;
    }

  if (local == NULL)
    g_set_error (&local, STRAND_ERROR, STRAND_ERROR_FAILED, "%s did not say why", G_OBJECT_TYPE_NAME (self));
  g_propagate_prefixed_error (error, local,
                              "Could not run a call of '%s': ", strand_call_get_function_name (call));
  return FALSE;
}

/**
 * strand_taskrunner_close:
 * @self: a taskrunner
 * @deadline_us: until when calls may finish, as g_get_monotonic_time() counts, or -1 for ever
 * @error: return location for a #GError
 *
 * Ends all use: lets what was submitted finish until the deadline, then cancels it. Blocks; not for threads
 * that own a main context, nor for the runner's own.
 *
 * Returns: %TRUE if everything ended by itself; else %FALSE with %STRAND_ERROR_TIMED_OUT; or, where one of
 * its own functions or callbacks on its threads asks for it, %STRAND_ERROR_WOULD_DEADLOCK, and it stays open
 * Since: 1.0
 */
gboolean
strand_taskrunner_close (StrandTaskrunner *self, gint64 deadline_us, GError **error)
{
  g_return_val_if_fail (STRAND_IS_TASKRUNNER (self), FALSE);

  if (strand_wait_home () == self &&
      (strand_taskrunner_get_traits (self) & (STRAND_RUNNER_INLINE | STRAND_RUNNER_OTHER_PROCESS)) == 0)
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_WOULD_DEADLOCK,
                   "Could not close %s: this is one of its own functions, whose end it would wait for",
                   G_OBJECT_TYPE_NAME (self));
      return FALSE;
    }
  return STRAND_TASKRUNNER_GET_IFACE (self)->close (self, deadline_us, error);
}

static void
close_in_thread (GTask *task)
{
  GError *error = NULL;

  if (strand_taskrunner_close (g_task_get_source_object (task), *(gint64 *) g_task_get_task_data (task),
                               &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

/**
 * strand_taskrunner_close_async:
 * @self: a taskrunner
 * @deadline_us: as strand_taskrunner_close()
 * @cancellable: (nullable): stops it if it has not begun
 * @callback: (scope async) (closure user_data): what to call when it is done
 * @user_data: data for @callback
 *
 * Does strand_taskrunner_close() in a thread of strand's own.
 *
 * Since: 1.0
 */
void
strand_taskrunner_close_async (StrandTaskrunner *self, gint64 deadline_us, GCancellable *cancellable,
                               GAsyncReadyCallback callback, gpointer user_data)
{
  GTask *task;

  g_return_if_fail (STRAND_IS_TASKRUNNER (self));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_task_data (task, g_memdup2 (&deadline_us, sizeof deadline_us), g_free);
  strand_blocking_run_task (task, close_in_thread);
}

/**
 * strand_taskrunner_close_finish:
 * @self: a taskrunner
 * @result: what the callback was given
 * @error: return location for a #GError
 *
 * Says what became of strand_taskrunner_close_async().
 *
 * Returns: as strand_taskrunner_close()
 * Since: 1.0
 */
gboolean
strand_taskrunner_close_finish (StrandTaskrunner *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}
