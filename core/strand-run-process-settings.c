/* strand-run-process-settings.c — what is said of a process before it is started.
 *
 * Nobody takes a lock here: until the start, the object is its maker's.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-run-process-private.h"

void
strand_process_question_clear (StrandProcessQuestion *self)
{
  StrandProcessQuestion old = *self;

  *self = (StrandProcessQuestion){ NULL, NULL, NULL };
  if (old.destroy != NULL)
    old.destroy (old.user_data);
}

/**
 * strand_process_set_name:
 * @self: a process that has not been started
 * @name: what to call it in messages; without this call, its program or function
 *
 * Says what messages are to call the process.
 *
 * Since: 1.0
 */
void
strand_process_set_name (StrandProcess *self, const char *name)
{
  g_return_if_fail (STRAND_IS_PROCESS (self) && !self->started);
  g_return_if_fail (name != NULL);

  g_free (self->name);
  self->name = g_strdup (name);
}

/**
 * strand_process_set_env:
 * @self: a process that has not been started
 * @env: (nullable) (array zero-terminated=1): `NAME=VALUE`, put on top of this program's environment
 *
 * Changes the environment that the process is to have.
 *
 * Since: 1.0
 */
void
strand_process_set_env (StrandProcess *self, const char *const *env)
{
  g_return_if_fail (STRAND_IS_PROCESS (self) && !self->started);

  g_strfreev (self->env);
  self->env = g_strdupv ((GStrv) env);
}

/**
 * strand_process_set_working_directory:
 * @self: a process that has not been started
 * @directory: (nullable) (type filename): where it runs; `NULL` for this program's own
 *
 * Says where the process is to run.
 *
 * Since: 1.0
 */
void
strand_process_set_working_directory (StrandProcess *self, const char *directory)
{
  g_return_if_fail (STRAND_IS_PROCESS (self) && !self->started);

  g_free (self->working_directory);
  self->working_directory = g_strdup (directory);
}

/**
 * strand_process_set_quiet:
 * @self: a process that has not been started
 * @quiet: whether what it writes to stdout and stderr goes nowhere, and not to this program's
 *
 * The end of stderr is quoted in errors all the same.
 *
 * Since: 1.0
 */
void
strand_process_set_quiet (StrandProcess *self, gboolean quiet)
{
  g_return_if_fail (STRAND_IS_PROCESS (self) && !self->started);

  self->quiet = quiet;
}

/**
 * strand_process_set_timeout:
 * @self: a process that has not been started
 * @timeout_us: how long it may take until it is ready, in microseconds; -1 for ever; 30 s without this call
 *
 * Limits how long the start may take, which fails with %STRAND_ERROR_TIMED_OUT and ends the process.
 *
 * Since: 1.0
 */
void
strand_process_set_timeout (StrandProcess *self, gint64 timeout_us)
{
  g_return_if_fail (STRAND_IS_PROCESS (self) && !self->started);
  g_return_if_fail (timeout_us >= -1);

  self->timeout_us = timeout_us;
}

/**
 * strand_process_set_grace:
 * @self: a process that has not been started
 * @grace_us: how long it may take from SIGTERM to its end, in microseconds, until SIGKILL; 5 s without this
 * call
 *
 * Says how long the process has for ending by itself.
 *
 * Since: 1.0
 */
void
strand_process_set_grace (StrandProcess *self, gint64 grace_us)
{
  g_return_if_fail (STRAND_IS_PROCESS (self) && !self->started);
  g_return_if_fail (grace_us >= 0);

  self->grace_us = grace_us;
}

/**
 * strand_process_set_forced_end:
 * @self: a process that has not been started
 * @forced: %FALSE to wait until it ends by itself
 *
 * How strand_process_end() and the last reference end it; by force without this call. What it has started and
 * left running is ended by force in either case.
 *
 * Since: 1.0
 */
void
strand_process_set_forced_end (StrandProcess *self, gboolean forced)
{
  g_return_if_fail (STRAND_IS_PROCESS (self) && !self->started);

  self->forced_end = forced;
}

/**
 * strand_process_set_already_running:
 * @self: a process that has not been started
 * @func: (nullable) (scope notified): answers whether what would be started is there already
 * @user_data: data for @func
 * @destroy: (nullable): frees @user_data
 *
 * If @func says so, strand_process_start() succeeds without starting anything, and
 * strand_process_is_already_running() tells. Such a process is nobody's to end.
 *
 * Since: 1.0
 */
void
strand_process_set_already_running (StrandProcess *self, StrandProcessFunc func, gpointer user_data,
                                    GDestroyNotify destroy)
{
  g_return_if_fail (STRAND_IS_PROCESS (self) && !self->started);

  strand_process_question_clear (&self->already_running);
  self->already_running = (StrandProcessQuestion){ func, user_data, destroy };
}

static void
set_ready_kind (StrandProcess *self, StrandReadyKind kind)
{
  strand_process_question_clear (&self->ready);
  g_clear_pointer (&self->ready_addresses, g_ptr_array_unref);
  g_clear_pointer (&self->ready_address_text, g_free);
  g_clear_pointer (&self->ready_text, g_free);
  self->ready_kind = kind;
}

/**
 * strand_process_set_ready_func:
 * @self: a process that has not been started
 * @func: (scope notified): answers whether it is ready
 * @user_data: data for @func
 * @destroy: (nullable): frees @user_data
 *
 * The process is ready when @func says so. It is asked at once, then after 1 ms, 2 ms and so on up to every
 * 100 ms; it should answer quickly, for nothing else is looked at meanwhile.
 *
 * Since: 1.0
 */
void
strand_process_set_ready_func (StrandProcess *self, StrandProcessFunc func, gpointer user_data,
                               GDestroyNotify destroy)
{
  g_return_if_fail (STRAND_IS_PROCESS (self) && !self->started);
  g_return_if_fail (func != NULL);

  set_ready_kind (self, STRAND_READY_FUNC);
  self->ready = (StrandProcessQuestion){ func, user_data, destroy };
}

/**
 * strand_process_set_ready_after:
 * @self: a process that has not been started
 * @duration_us: a time in microseconds, not longer than the timeout
 *
 * The process is ready if it still lives so long after its start.
 *
 * Since: 1.0
 */
void
strand_process_set_ready_after (StrandProcess *self, gint64 duration_us)
{
  g_return_if_fail (STRAND_IS_PROCESS (self) && !self->started);
  g_return_if_fail (duration_us >= 0);

  set_ready_kind (self, STRAND_READY_AFTER);
  self->ready_after_us = duration_us;
}

static void
add_address (GPtrArray *addresses, const char *host, guint16 port)
{
  g_autoptr(GInetAddress) address = g_inet_address_new_from_string (host);

  if (address != NULL)
    g_ptr_array_add (addresses, g_inet_socket_address_new (address, port));
}

/**
 * strand_process_set_ready_port:
 * @self: a process that has not been started
 * @host: (nullable): an IP address; `NULL` for this machine, by IPv4 or IPv6
 * @port: a TCP port
 *
 * The process is ready when a connection to @port can be made, which is closed at once. It is tried at once,
 * then after 1 ms, 2 ms and so on up to every 100 ms. If something answers there before the start, the start
 * fails with %STRAND_ERROR_EXISTS.
 *
 * Since: 1.0
 */
void
strand_process_set_ready_port (StrandProcess *self, const char *host, guint16 port)
{
  g_return_if_fail (STRAND_IS_PROCESS (self) && !self->started);
  g_return_if_fail (port > 0);

  set_ready_kind (self, STRAND_READY_PORT);
  self->ready_addresses = g_ptr_array_new_with_free_func (g_object_unref);
  add_address (self->ready_addresses, host != NULL ? host : "127.0.0.1", port);
  if (host == NULL)
    add_address (self->ready_addresses, "::1", port);
  self->ready_address_text =
      host != NULL ? g_strdup_printf ("%s port %u", host, port) : g_strdup_printf ("port %u", port);
}

/**
 * strand_process_set_ready_file:
 * @self: a process that has not been started
 * @path: (type filename): a file, socket or folder
 *
 * The process is ready when @path comes into being. If it is there before the start, it counts when it is
 * written or replaced. A file may be seen when it is half written, unless the process writes it elsewhere and
 * renames it.
 *
 * Since: 1.0
 */
void
strand_process_set_ready_file (StrandProcess *self, const char *path)
{
  g_return_if_fail (STRAND_IS_PROCESS (self) && !self->started);
  g_return_if_fail (path != NULL);

  set_ready_kind (self, STRAND_READY_FILE);
  self->ready_text = g_strdup (path);
}

/**
 * strand_process_set_ready_line:
 * @self: a process that has not been started
 * @text: (nullable): what the line contains; `NULL` for any line
 *
 * The process is ready when it has written such a line to its stdout; strand_process_dup_ready_line() returns
 * it. Its stdout is a pipe then, and many programs write into a pipe only when much has gathered, unless told
 * otherwise. What it writes goes on to this program's stdout.
 *
 * Since: 1.0
 */
void
strand_process_set_ready_line (StrandProcess *self, const char *text)
{
  g_return_if_fail (STRAND_IS_PROCESS (self) && !self->started);

  set_ready_kind (self, STRAND_READY_LINE);
  self->ready_text = g_strdup (text);
}
