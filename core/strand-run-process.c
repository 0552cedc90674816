/* strand-run-process.c — another process, for as long as an object lives.
 *
 * The object is a description until it is started, and once only. Its last reference ends the process, and
 * waits for that: who leaves the scope knows that nothing is left. What does the work are operations
 * (strand-run-process-operation.c), which block a thread, park a coroutine or call back, as the caller wants.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-call-private.h"
#include "strand-deadline-private.h"
#include "strand-run-process-private.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_TIMEOUT_US (30 * G_USEC_PER_SEC)
#define DEFAULT_GRACE_US (5 * G_USEC_PER_SEC)

/**
 * StrandProcess:
 *
 * Another process, for as long as an object lives: a program, or a function of a module. The last reference
 * ends it, and nothing of it is left when this program is killed.
 *
 * Since: 1.0
 */
G_DEFINE_FINAL_TYPE (StrandProcess, strand_process, G_TYPE_OBJECT)

/* A function that is told to stop does not wait on, whatever it has passed. */
static GCancellable *
choose_cancellable (GCancellable *cancellable)
{
  if (cancellable == NULL && strand_running != NULL)
    return strand_call_get_cancellable (strand_running->call);
  return cancellable;
}

static gboolean
end_by_force (StrandProcess *self)
{
  g_autoptr(StrandOperation) operation = strand_operation_new (self, NULL, strand_process_end_step);

  operation->grace_us = self->grace_us;
  return strand_operation_run (operation, NULL);
}

static void
strand_process_dispose (GObject *object)
{
  StrandProcess *self = STRAND_PROCESS (object);

  if (!strand_process_end (self, NULL, NULL))
    end_by_force (self);
  strand_process_question_clear (&self->already_running);
  strand_process_question_clear (&self->ready);
  G_OBJECT_CLASS (strand_process_parent_class)->dispose (object);
}

static void
strand_process_finalize (GObject *object)
{
  StrandProcess *self = STRAND_PROCESS (object);

  if (self->pidfd >= 0)
    close (self->pidfd);
  if (self->outcome >= 0)
    close (self->outcome);
  g_free (self->name);
  g_strfreev (self->argv);
  g_free (self->function);
  g_clear_pointer (&self->arguments, g_variant_unref);
  g_clear_pointer (&self->keywords, g_variant_unref);
  g_strfreev (self->env);
  g_free (self->working_directory);
  g_clear_pointer (&self->ready_addresses, g_ptr_array_unref);
  g_free (self->ready_address_text);
  g_free (self->ready_text);
  g_free (self->refused_what);
  g_free (self->line);
  g_free (self->last_words);
  g_clear_error (&self->failure);
  g_mutex_clear (&self->lock);
  G_OBJECT_CLASS (strand_process_parent_class)->finalize (object);
}

static void
strand_process_class_init (StrandProcessClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->dispose = strand_process_dispose;
  object_class->finalize = strand_process_finalize;
}

static void
strand_process_init (StrandProcess *self)
{
  g_mutex_init (&self->lock);
  self->timeout_us = DEFAULT_TIMEOUT_US;
  self->grace_us = DEFAULT_GRACE_US;
  self->forced_end = TRUE;
  self->socket = -1;
  self->pidfd = -1;
  self->outcome = -1;
  self->status = -1;
}

/**
 * strand_process_new:
 * @argv: (array zero-terminated=1): the program and its arguments; a name without a slash is looked for in
 * `PATH`
 *
 * Describes a process that is to run a program. Any thread; does not block, and starts nothing.
 *
 * Whoever has the last reference ends it: with g_autoptr() it ends with the scope.
 *
 * Returns: (transfer full): a process, for strand_process_start()
 * Since: 1.0
 */
StrandProcess *
strand_process_new (const char *const *argv)
{
  StrandProcess *self;

  g_return_val_if_fail (argv != NULL && argv[0] != NULL, NULL);

  self = g_object_new (STRAND_TYPE_PROCESS, NULL);
  self->argv = g_strdupv ((GStrv) argv);
  self->name = g_path_get_basename (argv[0]);
  return self;
}

/**
 * strand_process_new_for_function:
 * @function: the name of a function in the default registry, from a module or added for strand_helper_main()
 * @arguments: (nullable): a tuple of its arguments; a floating one is taken
 * @keywords: (nullable): an `a{sv}` of arguments by name; a floating one is taken
 *
 * Describes a process that is to run a function. Its value and items are for nobody; its error is the
 * process's. The end comes to it as a cancellation. Any thread; does not block, and starts nothing: what is
 * wrong with the function or its arguments, the start says.
 *
 * Returns: (transfer full): a process, for strand_process_start()
 * Since: 1.0
 */
StrandProcess *
strand_process_new_for_function (const char *function, GVariant *arguments, GVariant *keywords)
{
  StrandProcess *self;

  g_return_val_if_fail (function != NULL, NULL);
  g_return_val_if_fail (arguments == NULL || g_variant_is_of_type (arguments, G_VARIANT_TYPE_TUPLE), NULL);
  g_return_val_if_fail (keywords == NULL || g_variant_is_of_type (keywords, G_VARIANT_TYPE_VARDICT), NULL);

  self = g_object_new (STRAND_TYPE_PROCESS, NULL);
  self->function = g_strdup (function);
  self->arguments = arguments != NULL ? g_variant_ref_sink (arguments) : NULL;
  self->keywords = keywords != NULL ? g_variant_ref_sink (keywords) : NULL;
  self->name = g_strdup (function);
  return self;
}

/* Its life. */

/**
 * strand_process_start:
 * @self: a process that has not been started
 * @cancellable: (nullable): stops the start; without one, being told to stop does, inside a function
 * @error: return location for a #GError
 *
 * Starts a process and waits until it is ready. When this fails, nothing of the process is left.
 *
 * Blocks (a coroutine is parked); any thread. Fails with %STRAND_ERROR_TIMED_OUT if it is not ready in time,
 * at once with %STRAND_ERROR_CRASHED or the function's own error if it ends before, with an error of GIO's if
 * it cannot be started, as the predicate did, or with `G_IO_ERROR_CANCELLED`.
 *
 * Returns: %TRUE if it is ready, or was running already
 * Since: 1.0
 */
gboolean
strand_process_start (StrandProcess *self, GCancellable *cancellable, GError **error)
{
  g_autoptr(StrandOperation) operation = NULL;

  g_return_val_if_fail (STRAND_IS_PROCESS (self), FALSE);

  operation = strand_operation_new (self, choose_cancellable (cancellable), strand_process_start_step);
  return strand_operation_run (operation, error);
}

static void
run_async (StrandProcess *self, StrandOperation *operation, GCancellable *cancellable,
           GAsyncReadyCallback callback, gpointer user_data, gpointer tag)
{
  GTask *task = g_task_new (self, cancellable, callback, user_data);

  g_task_set_source_tag (task, tag);
  strand_operation_run_async (operation, task);
}

/**
 * strand_process_start_async:
 * @self: a process that has not been started
 * @cancellable: (nullable): stops the start
 * @callback: (scope async): called when it is ready, or has failed and nothing of it is left
 * @user_data: data for @callback
 *
 * As strand_process_start(), without blocking. Everything, predicates too, runs in the thread-default main
 * context.
 *
 * Since: 1.0
 */
void
strand_process_start_async (StrandProcess *self, GCancellable *cancellable, GAsyncReadyCallback callback,
                            gpointer user_data)
{
  g_return_if_fail (STRAND_IS_PROCESS (self));

  run_async (self, strand_operation_new (self, cancellable, strand_process_start_step), cancellable, callback,
             user_data, strand_process_start_async);
}

/**
 * strand_process_start_finish:
 * @self: a process
 * @result: what the callback was given
 * @error: return location for a #GError
 *
 * Says what became of strand_process_start_async().
 *
 * Returns: as strand_process_start()
 * Since: 1.0
 */
gboolean
strand_process_start_finish (StrandProcess *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_async_result_is_tagged (result, strand_process_start_async), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

static StrandOperation *
new_wait (StrandProcess *self, gint64 timeout_us, GCancellable *cancellable)
{
  StrandOperation *operation = strand_operation_new (self, cancellable, strand_process_wait_step);

  if (timeout_us >= 0)
    operation->deadline_us = strand_deadline (g_get_monotonic_time (), timeout_us);
  return operation;
}

/**
 * strand_process_wait:
 * @self: a process
 * @timeout_us: how long to wait, in microseconds, or -1 for as long as it takes
 * @cancellable: (nullable): stops the wait; without one, being told to stop does, inside a function
 * @error: return location for a #GError
 *
 * Waits until a process has ended by itself, or somebody ended it; what it has started may live on. A process
 * that was not started has ended.
 *
 * Blocks (a coroutine is parked); any thread, also while others wait. Fails with %STRAND_ERROR_WAIT_TIMED_OUT
 * or `G_IO_ERROR_CANCELLED` if it goes on, and as strand_process_start() if it has failed.
 *
 * Returns: %TRUE if it has ended as it should: with status 0, or as strand_process_end() told it to
 * Since: 1.0
 */
gboolean
strand_process_wait (StrandProcess *self, gint64 timeout_us, GCancellable *cancellable, GError **error)
{
  g_autoptr(StrandOperation) operation = NULL;

  g_return_val_if_fail (STRAND_IS_PROCESS (self), FALSE);

  operation = new_wait (self, timeout_us, choose_cancellable (cancellable));
  return strand_operation_run (operation, error);
}

/**
 * strand_process_wait_async:
 * @self: a process
 * @timeout_us: how long to wait, in microseconds, or -1 for as long as it takes
 * @cancellable: (nullable): stops the wait
 * @callback: (scope async): called when it has ended, or the wait has
 * @user_data: data for @callback
 *
 * As strand_process_wait(), without blocking. It keeps a reference, so the process is not ended meanwhile but
 * by strand_process_end().
 *
 * Since: 1.0
 */
void
strand_process_wait_async (StrandProcess *self, gint64 timeout_us, GCancellable *cancellable,
                           GAsyncReadyCallback callback, gpointer user_data)
{
  g_return_if_fail (STRAND_IS_PROCESS (self));

  run_async (self, new_wait (self, timeout_us, cancellable), cancellable, callback, user_data,
             strand_process_wait_async);
}

/**
 * strand_process_wait_finish:
 * @self: a process
 * @result: what the callback was given
 * @error: return location for a #GError
 *
 * Says what became of strand_process_wait_async().
 *
 * Returns: as strand_process_wait()
 * Since: 1.0
 */
gboolean
strand_process_wait_finish (StrandProcess *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_async_result_is_tagged (result, strand_process_wait_async), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

static StrandOperation *
new_end (StrandProcess *self, GCancellable *cancellable)
{
  StrandOperation *operation =
      strand_operation_new (self, self->forced_end ? NULL : cancellable, strand_process_end_step);

  operation->grace_us = self->forced_end ? self->grace_us : -1;
  return operation;
}

/**
 * strand_process_end:
 * @self: a process
 * @cancellable: (nullable): stops waiting for a process whose end is not forced; without one, being told to
 * stop does, inside a function
 * @error: return location for a #GError
 *
 * Ends a process and what it has started: SIGTERM to its process group, SIGKILL to everything when the grace
 * is over. If its end is not forced, waits until it ends by itself, then ends what it left. Does nothing
 * where nothing runs.
 *
 * Blocks (a coroutine is parked) until nothing is left; any thread. Can fail only with
 * `G_IO_ERROR_CANCELLED`, if its end is not forced; it then goes on.
 *
 * Returns: %TRUE when nothing is left of it
 * Since: 1.0
 */
gboolean
strand_process_end (StrandProcess *self, GCancellable *cancellable, GError **error)
{
  g_autoptr(StrandOperation) operation = NULL;

  g_return_val_if_fail (STRAND_IS_PROCESS (self), FALSE);

  operation = new_end (self, choose_cancellable (cancellable));
  return strand_operation_run (operation, error);
}

/**
 * strand_process_end_async:
 * @self: a process
 * @cancellable: (nullable): stops waiting for a process whose end is not forced
 * @callback: (nullable) (scope async): called when nothing is left of it
 * @user_data: data for @callback
 *
 * As strand_process_end(), without blocking: for a program with a user interface, before it drops its last
 * reference.
 *
 * Since: 1.0
 */
void
strand_process_end_async (StrandProcess *self, GCancellable *cancellable, GAsyncReadyCallback callback,
                          gpointer user_data)
{
  g_return_if_fail (STRAND_IS_PROCESS (self));

  run_async (self, new_end (self, cancellable), cancellable, callback, user_data, strand_process_end_async);
}

/**
 * strand_process_end_finish:
 * @self: a process
 * @result: what the callback was given
 * @error: return location for a #GError
 *
 * Says what became of strand_process_end_async().
 *
 * Returns: as strand_process_end()
 * Since: 1.0
 */
gboolean
strand_process_end_finish (StrandProcess *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_async_result_is_tagged (result, strand_process_end_async), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/* What there is to know of it. */

/**
 * strand_process_get_name:
 * @self: a process
 *
 * Says what messages call the process.
 *
 * Returns: what it is called in messages
 * Since: 1.0
 */
const char *
strand_process_get_name (StrandProcess *self)
{
  g_return_val_if_fail (STRAND_IS_PROCESS (self), NULL);

  return self->name;
}

/**
 * strand_process_is_already_running:
 * @self: a process
 *
 * Any thread; does not block.
 *
 * Returns: %TRUE if the start found it running, and so has started nothing
 * Since: 1.0
 */
gboolean
strand_process_is_already_running (StrandProcess *self)
{
  gboolean was_running;

  g_return_val_if_fail (STRAND_IS_PROCESS (self), FALSE);

  g_mutex_lock (&self->lock);
  was_running = self->was_running;
  g_mutex_unlock (&self->lock);
  return was_running;
}

/**
 * strand_process_is_alive:
 * @self: a process
 *
 * Any thread; does not block.
 *
 * Returns: %TRUE if it was started here and has not ended
 * Since: 1.0
 */
gboolean
strand_process_is_alive (StrandProcess *self)
{
  struct pollfd fd = { -1, POLLIN, 0 };
  gboolean alive;

  g_return_val_if_fail (STRAND_IS_PROCESS (self), FALSE);

  g_mutex_lock (&self->lock);
  strand_process_receive_locked (self);
  fd.fd = self->pidfd;
  alive = self->pid > 0 && !self->exited && poll (&fd, 1, 0) <= 0;
  g_mutex_unlock (&self->lock);
  return alive;
}

/**
 * strand_process_get_pid:
 * @self: a process
 *
 * Any thread; does not block.
 *
 * Returns: its process id, which is its process group's too, also after its end; 0 if it was not started here
 * Since: 1.0
 */
int
strand_process_get_pid (StrandProcess *self)
{
  int pid;

  g_return_val_if_fail (STRAND_IS_PROCESS (self), 0);

  g_mutex_lock (&self->lock);
  strand_process_receive_locked (self);
  pid = self->pid;
  g_mutex_unlock (&self->lock);
  return pid;
}

/**
 * strand_process_get_wait_status:
 * @self: a process
 *
 * Any thread; does not block.
 *
 * Returns: how it ended, as waitpid() says it and g_spawn_check_wait_status() takes it; -1 if it has not, or
 * nobody knows
 *
 * Since: 1.0
 */
int
strand_process_get_wait_status (StrandProcess *self)
{
  int status;

  g_return_val_if_fail (STRAND_IS_PROCESS (self), -1);

  g_mutex_lock (&self->lock);
  strand_process_receive_locked (self);
  status = self->status;
  g_mutex_unlock (&self->lock);
  return status;
}

/**
 * strand_process_dup_ready_line:
 * @self: a process
 *
 * The line that strand_process_set_ready_line() was about: up to 4000 bytes of it, whatever their encoding. A
 * server may say there which port it has chosen. Any thread; does not block.
 *
 * Returns: (transfer full) (nullable): the line, without its end; `NULL` if there was none
 * Since: 1.0
 */
char *
strand_process_dup_ready_line (StrandProcess *self)
{
  char *line;

  g_return_val_if_fail (STRAND_IS_PROCESS (self), NULL);

  g_mutex_lock (&self->lock);
  line = g_strdup (self->line);
  g_mutex_unlock (&self->lock);
  return line;
}
