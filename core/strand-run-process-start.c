/* strand-run-process-start.c — from a description to a process that is ready.
 *
 * The steps of a start: is it running already, could its sign of readiness mislead, the guard, and then
 * whatever comes first of ready, dead, too late and cancelled. A start that fails is undone before it says
 * so. The guard is started with posix_spawn(), for a fork of a program with threads is good for nothing but
 * exec.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-deadline-private.h"
#include "strand-error.h"
#include "strand-helper.h"
#include "strand-log.h"
#include "strand-registry.h"
#include "strand-run-process-private.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* Above all places in the guard, so that putting one there overwrites no other. */
#define SAFE_FD 10

enum
{
  SOCKET,
  SETTINGS,
  OUTCOME,
  N_ENDS
};

enum
{
  PHASE_BEGIN,
  PHASE_READY,
  PHASE_UNDO,
};

static void
clear_fd (int *fd)
{
  if (*fd >= 0)
    close (*fd);
  *fd = -1;
}

/* What the guard is told. */

/* The installed helper is smaller than a program that can be its own. */
static const char *
find_guard (void)
{
  const char *program = secure_getenv ("STRAND_HELPER");

  if (program != NULL && *program != '\0')
    return program;
  program = strand_helper_get_program ();
  return program == NULL || access (STRAND_HELPER, X_OK) == 0 ? STRAND_HELPER : program;
}

/* But only the program itself has its functions. */
static GStrv
dup_function_argv (void)
{
  const char *program = strand_helper_get_program ();
  const char *argv[] = { program != NULL ? program : find_guard (), STRAND_GUARDED_OPTION, NULL };

  return g_strdupv ((GStrv) argv);
}

static GStrv
dup_environment (StrandProcess *self)
{
  GStrv environment = g_get_environ ();

  for (guint i = 0; self->env != NULL && self->env[i] != NULL; i++)
    {
      g_auto(GStrv) pair = g_strsplit (self->env[i], "=", 2);

      if (pair[0] != NULL && pair[1] != NULL)
        environment = g_environ_setenv (environment, pair[0], pair[1], TRUE);
    }
  return environment;
}

static gboolean
check_portable (StrandFunction *function, GError **error)
{
  if (strand_function_is_portable (function))
    return TRUE;
  g_set_error (
      error, STRAND_ERROR, STRAND_ERROR_UNSAFE,
      "it belongs to this program, and another process does not know it: put it into a module, or register it "
      "with 'strand_helper_main (argc, argv, register_functions);' as the first line of main()");
  return FALSE;
}

/* The arguments, checked; () where there is no function. */
static GVariant *
bind_arguments (StrandProcess *self, GError **error)
{
  g_autoptr(StrandFunction) function = NULL;

  if (self->function == NULL)
    return g_variant_ref_sink (g_variant_new ("()"));
  function = strand_registry_lookup (strand_registry_get_default (), self->function, error);
  if (function == NULL || !check_portable (function, error))
    return NULL;
  return strand_function_bind (function, self->arguments, self->keywords, error);
}

static GVariant *
make_settings (StrandProcess *self, GError **error)
{
  g_autoptr(GVariant) arguments = bind_arguments (self, error);
  g_auto(GStrv) argv = NULL;
  g_auto(GStrv) env = NULL;
  g_auto(GStrv) modules = NULL;

  if (arguments == NULL)
    return NULL;
  argv = self->function != NULL ? dup_function_argv () : g_strdupv (self->argv);
  env = dup_environment (self);
  modules = strand_registry_list_modules (strand_registry_get_default ());
  return g_variant_ref_sink (g_variant_new ("(u^aay^aay^aybb^ay^assv)", STRAND_GUARD_PROTOCOL, argv, env,
                                            self->working_directory != NULL ? self->working_directory : "",
                                            self->quiet, self->ready_kind == STRAND_READY_LINE,
                                            self->ready_text != NULL ? self->ready_text : "", modules,
                                            self->function != NULL ? self->function : "", arguments));
}

static gboolean
write_settings (int fd, GVariant *settings)
{
  const char *data = g_variant_get_data (settings);
  gsize size = g_variant_get_size (settings);
  gssize n = 0;

  for (gsize done = 0; done < size && n >= 0; done += (gsize) n)
    n = write (fd, data + done, size - done);
  return n >= 0;
}

/* Its start. */

/* Moves a descriptor out of the way. */
static gboolean
lift (int *fd)
{
  int lifted = fcntl (*fd, F_DUPFD_CLOEXEC, SAFE_FD);

  if (lifted < 0)
    return FALSE;
  close (*fd);
  *fd = lifted;
  return TRUE;
}

static gboolean
open_ends (StrandProcess *self, GVariant *settings, int *ours, int theirs[N_ENDS])
{
  int ends[2];

  if (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    return FALSE;
  *ours = ends[0];
  theirs[SOCKET] = ends[1];
  theirs[SETTINGS] = memfd_create ("strand-settings", MFD_CLOEXEC);
  if (self->function != NULL)
    theirs[OUTCOME] = memfd_create ("strand-outcome", MFD_CLOEXEC);
  if (theirs[SETTINGS] < 0 || !write_settings (theirs[SETTINGS], settings) ||
      (self->function != NULL && theirs[OUTCOME] < 0))
    return FALSE;
  for (guint i = 0; i < N_ENDS; i++)
    if (theirs[i] >= 0 && !lift (&theirs[i]))
      return FALSE;
  return TRUE;
}

static int
add_actions (posix_spawn_file_actions_t *actions, const int theirs[N_ENDS])
{
  int failed = posix_spawn_file_actions_addopen (actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);

  if (failed == 0)
    failed = posix_spawn_file_actions_adddup2 (actions, theirs[SOCKET], STRAND_GUARD_SOCKET_FD);
  if (failed == 0)
    failed = posix_spawn_file_actions_adddup2 (actions, theirs[SETTINGS], STRAND_GUARD_SETTINGS_FD);
  if (failed == 0 && theirs[OUTCOME] >= 0)
    failed = posix_spawn_file_actions_adddup2 (actions, theirs[OUTCOME], STRAND_GUARD_OUTCOME_FD);
#if __GLIBC_PREREQ(2, 34)
  if (failed == 0)
    failed = posix_spawn_file_actions_addclosefrom_np (actions,
                                                       STRAND_GUARD_SETTINGS_FD + 1 + (theirs[OUTCOME] >= 0));
#endif
  return failed;
}

/* A group of its own: Ctrl-C in a terminal is for the program, whose end is then the guard's business. */
static int
set_attributes (posix_spawnattr_t *attributes)
{
  sigset_t none, all;
  int failed;

  sigemptyset (&none);
  sigfillset (&all);
  failed = posix_spawnattr_setpgroup (attributes, 0);
  if (failed == 0)
    failed = posix_spawnattr_setsigmask (attributes, &none);
  if (failed == 0)
    failed = posix_spawnattr_setsigdefault (attributes, &all);
  if (failed == 0)
    failed = posix_spawnattr_setflags (attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                                       POSIX_SPAWN_SETSIGDEF);
  return failed;
}

/* Returns 0 or an errno. */
static int
spawn_guard (const char *program, const int theirs[N_ENDS], pid_t *pid)
{
  g_autofree char *parent = g_strdup_printf ("%d", (int) getpid ());
  const char *argv[] = { program, STRAND_GUARD_OPTION, parent, NULL };
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  int failed;

  posix_spawn_file_actions_init (&actions);
  posix_spawnattr_init (&attributes);
  failed = add_actions (&actions, theirs);
  if (failed == 0)
    failed = set_attributes (&attributes);
  if (failed == 0)
    failed = posix_spawnp (pid, program, &actions, &attributes, (char **) argv, environ);
  posix_spawn_file_actions_destroy (&actions);
  posix_spawnattr_destroy (&attributes);
  return failed;
}

static gboolean
start_guard (StrandProcess *self, GError **error)
{
  g_autoptr(GVariant) settings = make_settings (self, error);
  const char *program = find_guard ();
  int ours = -1, theirs[N_ENDS] = { -1, -1, -1 }, failed;
  pid_t pid = 0;

  if (settings == NULL)
    return FALSE;
  failed = open_ends (self, settings, &ours, theirs) ? spawn_guard (program, theirs, &pid) : errno;
  if (failed == 0)
    {
      g_mutex_lock (&self->lock);
      self->socket = ours;
      self->guard = pid;
      self->outcome = theirs[OUTCOME];
      strand_process_wake_locked (self);
      g_mutex_unlock (&self->lock);
      theirs[OUTCOME] = -1;
    }
  for (guint i = 0; i < N_ENDS; i++)
    clear_fd (&theirs[i]);
  if (failed == 0)
    return TRUE;
  clear_fd (&ours);
  g_set_error (
      error, G_IO_ERROR, g_io_error_from_errno (failed),
      "its guard '%s' cannot be started: %s (the environment variable STRAND_HELPER can name another)",
      program, g_strerror (failed));
  return FALSE;
}

/* The steps. */

static gboolean
finish (StrandOperation *self, GError **error)
{
  StrandProcess *process = self->process;

  if (self->failure == NULL)
    {
      strand_debug (STRAND_TOPIC_RUNNER, "'%s' %s", process->name,
                    process->was_running ? "runs already" : "is ready");
      return TRUE;
    }
  /* Others may wait for what will never be. */
  g_mutex_lock (&process->lock);
  process->gone = process->gone || (process->guard == 0 && !process->orphaned);
  strand_process_wake_locked (process);
  g_mutex_unlock (&process->lock);
  g_propagate_error (error, g_steal_pointer (&self->failure));
  g_prefix_error (error, "Could not start '%s': ", process->name);
  return TRUE;
}

static gboolean
claim_start (StrandProcess *self, GError **error)
{
  gboolean first;

  g_mutex_lock (&self->lock);
  first = !self->started;
  self->started = TRUE;
  g_mutex_unlock (&self->lock);
  if (!first)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_EXISTS,
                 "Could not start '%s': it has been started before; make another object", self->name);
  return first;
}

/* TRUE if the start has ended already. */
static gboolean
begin (StrandOperation *self)
{
  StrandProcess *process = self->process;
  gboolean runs;

  if (self->cancellable != NULL && g_cancellable_set_error_if_cancelled (self->cancellable, &self->failure))
    return TRUE;

  runs = process->already_running.func != NULL &&
         process->already_running.func (process, process->already_running.user_data, &self->failure);
  if (self->failure != NULL)
    {
      g_prefix_error (&self->failure, "it is not known whether it runs already: ");
      return TRUE;
    }
  g_mutex_lock (&process->lock);
  process->was_running = runs;
  strand_process_wake_locked (process);
  g_mutex_unlock (&process->lock);
  return runs || !strand_readiness_prepare (self, &self->failure) || !start_guard (process, &self->failure);
}

static void
set_refused_error_locked (StrandProcess *self, GError **error)
{
  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (self->refused), "%s%s%s", self->refused_what,
               *self->refused_what != '\0' ? ": " : "", g_strerror (self->refused));
}

/* TRUE if it has come to nothing. */
static gboolean
has_failed_locked (StrandProcess *self, GError **error)
{
  if (self->closed)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_CLOSED, "it has been ended before it was ready");
  else if (self->refused != 0)
    set_refused_error_locked (self, error);
  else if (self->exited)
    strand_process_set_death_error_locked (self, error);
  else if (self->gone)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_FAILED,
                 "its guard '%s' ended at once; is it strand's, and of this release?", find_guard ());
  else
    return FALSE;
  return TRUE;
}

static gboolean
is_too_late (StrandOperation *self, GError **error)
{
  StrandProcess *process = self->process;
  g_autofree char *missing = NULL;

  if (self->cancellable != NULL && g_cancellable_set_error_if_cancelled (self->cancellable, error))
    return TRUE;
  if (g_get_monotonic_time () < self->deadline_us)
    return FALSE;
  missing = strand_readiness_describe (process);
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_TIMED_OUT, "it was not ready within %.3f s: %s",
               (double) process->timeout_us / G_USEC_PER_SEC, missing);
  return TRUE;
}

/* What has happened by itself needs no living process; a port that answers or a file does. */
static gboolean
is_said (StrandReadyKind kind)
{
  return kind == STRAND_READY_AT_ONCE || kind == STRAND_READY_LINE;
}

/* TRUE if nothing is left to wait for. */
static gboolean
look (StrandOperation *self)
{
  StrandProcess *process = self->process;
  gboolean begun, failed, ready = FALSE;

  g_mutex_lock (&process->lock);
  strand_process_receive_locked (process);
  begun = process->pid > 0;
  failed = (!begun || process->closed || !is_said (process->ready_kind)) &&
           has_failed_locked (process, &self->failure);
  g_mutex_unlock (&process->lock);
  if (failed || (begun && !strand_readiness_check (self, &ready, &self->failure)) || ready)
    return TRUE;

  g_mutex_lock (&process->lock);
  failed = has_failed_locked (process, &self->failure);
  strand_process_watch_locked (process, self);
  g_mutex_unlock (&process->lock);
  return failed || is_too_late (self, &self->failure);
}

/* Nobody relies yet on what is not ready, so it is killed at once. TRUE when nothing is left. */
static gboolean
undo (StrandOperation *self)
{
  StrandProcess *process = self->process;
  gboolean gone;

  g_mutex_lock (&process->lock);
  strand_process_receive_locked (process);
  strand_process_ask_end_locked (process, 0);
  if (g_get_monotonic_time () >= self->deadline_us && process->guard > 0)
    kill (process->guard, SIGKILL);
  gone = process->gone;
  strand_process_watch_locked (process, self);
  g_mutex_unlock (&process->lock);
  return gone;
}

gboolean
strand_process_start_step (StrandOperation *self, GError **error)
{
  StrandProcess *process = self->process;

  if (self->phase == PHASE_BEGIN)
    {
      if (!claim_start (process, error))
        return TRUE;
      if (begin (self))
        return finish (self, error);
      self->phase = PHASE_READY;
      self->spawned_us = g_get_monotonic_time ();
      if (process->timeout_us >= 0)
        self->deadline_us = strand_deadline (self->spawned_us, process->timeout_us);
    }
  if (self->phase == PHASE_READY && look (self))
    {
      if (self->failure == NULL)
        return finish (self, error);
      self->phase = PHASE_UNDO;
      self->deadline_us = g_get_monotonic_time () + STRAND_GUARD_PATIENCE_US;
      /* It has done its work, and would wake us again and again. */
      self->cancel_fd = -1;
    }
  return self->phase == PHASE_UNDO && undo (self) ? finish (self, error) : FALSE;
}
