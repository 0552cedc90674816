/* strand-helper.c — the other side of a process taskrunner: a program that runs calls for its parent.
 *
 * The main thread reads a call, claims it, runs its function and writes what became of it. A second thread,
 * the watch, sleeps on the control socket and on the parent's pidfd: it passes on cancellation and room for
 * items, and when the parent is gone it ends the process and everything that functions have started, however
 * busy the main thread is.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-helper.h"
#include "strand-call-private.h"
#include "strand-clock.h"
#include "strand-error.h"
#include "strand-function-private.h"
#include "strand-helper-wire-private.h"
#include "strand-run-process-private.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Progress is a state, not a stream: 100 times a second is more than anybody sees. */
#define CHANGED_INTERVAL_US 10000

typedef struct
{
  StrandWireShared *shared; /* set at the start, as the next three */
  int parent_fd;            /* pidfd; -1 where the kernel has none */
  GPtrArray *functions;     /* of StrandFunction, by number */
  guint64 cpu_seconds;      /* 0: any */

  StrandWireBuffer in; /* the main thread's */

  GMutex lock; /* guards everything below */
  GCond changed;
  StrandCall *call;  /* that runs */
  guint64 number;    /* its number, or the last one's */
  guint64 cancelled; /* the last number that was cancelled, perhaps before it came */
  guint64 credit;    /* how many items may still be sent */
  StrandWireBuffer out;
  gboolean dirty; /* progress or metadata wait to be sent */
  guint64 changed_timer;
  gint64 changed_us; /* when they were sent last */
} Helper;

/* One process is one helper. */
static Helper helper;

static char *program; /* what strand_helper_main() found; NULL without it */

static GMutex command_lock; /* guards the next */
static GStrv command;       /* what strand_helper_set_command() was given */

/* Nobody is left to hear more. Takes along what functions have started, for this is the leader of their
 * group. */
static void G_GNUC_NORETURN
end_with_parent (void)
{
  if (getpgrp () == getpid ())
    kill (0, SIGKILL);
  _exit (1);
}

static void
flush_locked (void)
{
  while (!strand_wire_buffer_is_empty (&helper.out))
    if (strand_wire_send (&helper.out, STRAND_HELPER_DATA_FD, 0) < 0)
      end_with_parent ();
}

/* The watch. */

static void
cancel_call (guint64 number)
{
  StrandCall *call = NULL;

  g_mutex_lock (&helper.lock);
  helper.cancelled = MAX (helper.cancelled, number);
  if (helper.call != NULL && helper.number == number)
    call = strand_call_ref (helper.call);
  g_cond_broadcast (&helper.changed);
  g_mutex_unlock (&helper.lock);

  if (call == NULL)
    return;
  strand_call_cancel (call);
  strand_call_unref (call);
}

static void
read_control (void)
{
  struct
  {
    StrandWireHead head;
    guint64 credit;
  } message = { 0 };
  gssize n;

  do
    n = recv (STRAND_HELPER_CONTROL_FD, &message, sizeof message, MSG_DONTWAIT);
  while (n < 0 && errno == EINTR);
  if (n < 0 && errno == EAGAIN)
    return;
  if (n < (gssize) sizeof message.head)
    end_with_parent ();

  if (message.head.type == STRAND_WIRE_CANCEL)
    cancel_call (message.head.number);
  else if (message.head.type == STRAND_WIRE_CREDIT)
    {
      g_mutex_lock (&helper.lock);
      if (message.head.number == helper.number)
        helper.credit += message.credit;
      g_cond_broadcast (&helper.changed);
      g_mutex_unlock (&helper.lock);
    }
}

static gpointer
watch (gpointer data)
{
  struct pollfd fds[] = { { STRAND_HELPER_CONTROL_FD, POLLIN, 0 }, { helper.parent_fd, POLLIN, 0 } };

  while (TRUE)
    {
      if (poll (fds, G_N_ELEMENTS (fds), -1) < 0 && errno != EINTR)
        end_with_parent ();
      if (fds[1].revents != 0)
        end_with_parent ();
      if (fds[0].revents != 0)
        read_control ();
    }
  return NULL;
}

/* News of the call that runs. */

static void
send_changed_locked (void)
{
  g_autofree char *message = NULL;
  g_autoptr(GVariant) metadata = NULL;
  g_autoptr(GVariant) news = NULL;
  double progress;
  gsize frame;

  helper.dirty = FALSE;
  helper.changed_us = g_get_monotonic_time ();
  progress = strand_call_get_progress (helper.call, &message);
  metadata = strand_call_dup_all_metadata (helper.call);
  news = g_variant_ref_sink (g_variant_new ("(dms@a{sv})", progress, message, metadata));
  frame = strand_wire_begin (&helper.out, STRAND_WIRE_CHANGED, helper.number);
  strand_wire_append_variant (&helper.out, news);
  strand_wire_end (&helper.out, frame);
  flush_locked ();
}

static void
on_changed_due (gpointer data)
{
  g_mutex_lock (&helper.lock);
  helper.changed_timer = 0;
  if (helper.call != NULL && helper.dirty)
    send_changed_locked ();
  g_mutex_unlock (&helper.lock);
}

static void
on_changed (StrandCall *call, gpointer data)
{
  gint64 due_us;

  g_mutex_lock (&helper.lock);
  due_us = helper.changed_us + CHANGED_INTERVAL_US;
  helper.dirty = TRUE;
  if (helper.call == call && helper.changed_timer == 0)
    {
      if (g_get_monotonic_time () >= due_us)
        send_changed_locked ();
      else
        helper.changed_timer = strand_clock_add_timer (due_us, on_changed_due, NULL, NULL);
    }
  g_mutex_unlock (&helper.lock);
}

static void
on_stop (GCancellable *cancellable, gpointer data)
{
  g_mutex_lock (&helper.lock);
  g_cond_broadcast (&helper.changed);
  g_mutex_unlock (&helper.lock);
}

/* The parent's consumer is slower than the function. FALSE if the call was told to stop meanwhile. */
static gboolean
wait_for_credit (StrandCall *call)
{
  GCancellable *cancellable = strand_call_get_cancellable (call);
  gulong handler = g_signal_connect (cancellable, "cancelled", G_CALLBACK (on_stop), NULL);
  gboolean room;

  g_mutex_lock (&helper.lock);
  while (helper.credit == 0 && !strand_call_is_stopping (call))
    g_cond_wait (&helper.changed, &helper.lock);
  room = helper.credit > 0;
  g_mutex_unlock (&helper.lock);
  g_signal_handler_disconnect (cancellable, handler);
  return room;
}

static gboolean
on_item (StrandCall *call, GVariant *item, gpointer data, GError **error)
{
  g_autoptr(GVariant) boxed = g_variant_ref_sink (g_variant_new_variant (item));
  gboolean sent = FALSE, fits = TRUE;

  while (fits && !sent)
    {
      g_mutex_lock (&helper.lock);
      if (helper.credit > 0 && helper.call == call)
        {
          gsize frame = strand_wire_begin (&helper.out, STRAND_WIRE_ITEM, helper.number);

          strand_wire_append_variant (&helper.out, boxed);
          fits = strand_wire_end (&helper.out, frame);
          sent = fits;
          helper.credit -= sent;
          flush_locked ();
        }
      g_mutex_unlock (&helper.lock);
      if (fits && !sent && !wait_for_credit (call))
        break;
    }

  if (!fits)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_TOO_LARGE,
                 "Could not pass on an item of %" G_GSIZE_FORMAT " bytes: between processes at most %d go",
                 g_variant_get_size (boxed), STRAND_WIRE_MAX_PAYLOAD);
  else if (!sent)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED, "The call was told to stop");
  return sent;
}

static void
on_ended (StrandCall *call, gpointer data)
{
  /* The main thread looks when the function has returned. */
}

static const StrandAttemptFuncs attempt_funcs = { NULL, on_changed, on_ended, on_item };

/* Calls. */

static void
write_error_locked (const GError *error)
{
  gsize frame = strand_wire_begin (&helper.out, STRAND_WIRE_ERROR, helper.number);
  g_autofree char *text =
      g_utf8_make_valid (error->message, (gssize) strnlen (error->message, STRAND_WIRE_MAX_TEXT));
  g_autoptr(GVariant) value = g_variant_ref_sink (
      g_variant_new (STRAND_WIRE_ERROR_TYPE, g_quark_to_string (error->domain), error->code, text));

  strand_wire_append_variant (&helper.out, value);
  strand_wire_end (&helper.out, frame);
}

static void
write_value_locked (GVariant *value)
{
  gsize frame =
      strand_wire_begin (&helper.out, value != NULL ? STRAND_WIRE_VALUE : STRAND_WIRE_NOTHING, helper.number);
  g_autoptr(GError) error = NULL;

  if (value != NULL)
    strand_wire_append_variant (&helper.out, value);
  if (strand_wire_end (&helper.out, frame))
    return;
  error = g_error_new (STRAND_ERROR, STRAND_ERROR_TOO_LARGE,
                       "The value has %" G_GSIZE_FORMAT
                       " bytes, and between processes at most %d go: write it to a file",
                       g_variant_get_size (value), STRAND_WIRE_MAX_PAYLOAD);
  write_error_locked (error);
}

/* The limit is the process's, so what earlier calls have used comes on top. */
static void
limit_processor_time (void)
{
  struct rusage used;
  struct rlimit limit;

  if (helper.cpu_seconds == 0 || getrusage (RUSAGE_SELF, &used) != 0 || getrlimit (RLIMIT_CPU, &limit) != 0)
    return;
  limit.rlim_cur =
      MIN ((rlim_t) (used.ru_utime.tv_sec + used.ru_stime.tv_sec + 1) + helper.cpu_seconds, limit.rlim_max);
  setrlimit (RLIMIT_CPU, &limit);
}

static StrandCall *
make_call (const StrandWireHead *head, const guint8 *payload)
{
  const StrandWireCall *fixed = (const StrandWireCall *) payload;
  const guint8 *arguments = payload + sizeof *fixed;
  const guint8 *headers = arguments + (((gsize) fixed->arguments_size + 7) & ~(gsize) 7);
  const guint8 *key = headers + (((gsize) fixed->headers_size + 7) & ~(gsize) 7);
  StrandFunction *function = g_ptr_array_index (helper.functions, fixed->function);
  StrandOptions *options = NULL;
  g_autoptr(GVariant) tuple = NULL;

  if (fixed->key_size > 0 || fixed->headers_size > 0 || fixed->remaining_us >= 0)
    options = strand_options_new ();
  if (fixed->key_size > 0)
    {
      g_autofree char *text = g_strndup ((const char *) key, fixed->key_size);

      strand_options_set_key (options, text);
    }
  if (fixed->remaining_us >= 0)
    strand_options_set_timeout (options, fixed->remaining_us);
  if (fixed->headers_size > 0)
    {
      g_autoptr(GVariant) all =
          strand_wire_read_variant (G_VARIANT_TYPE ("a{ss}"), headers, fixed->headers_size);
      GVariantIter iter;
      const char *name, *value;

      g_variant_iter_init (&iter, all);
      while (g_variant_iter_next (&iter, "{&s&s}", &name, &value))
        strand_options_set_header (options, name, value);
    }
  if (fixed->arguments_size > 0)
    tuple = strand_wire_read_variant (strand_function_get_parameter_type (function), arguments,
                                      fixed->arguments_size);
  return strand_call_new_for_function (function, tuple, options, fixed->attempt, &attempt_funcs, NULL, -1);
}

static void
start_call (StrandCall *call, guint64 number)
{
  gboolean cancelled;

  g_mutex_lock (&helper.lock);
  helper.call = call;
  helper.number = number;
  helper.credit = STRAND_WIRE_WINDOW;
  helper.dirty = FALSE;
  helper.changed_us = 0;
  cancelled = helper.cancelled == number;
  g_mutex_unlock (&helper.lock);
  if (cancelled)
    strand_call_cancel (call);
}

static void
end_call (StrandCall *call)
{
  const GError *error = strand_call_get_error (call);

  g_mutex_lock (&helper.lock);
  if (helper.dirty)
    send_changed_locked ();
  if (error != NULL)
    write_error_locked (error);
  else
    write_value_locked (strand_call_get_value (call));
  flush_locked ();
  helper.call = NULL;
  g_mutex_unlock (&helper.lock);
}

static void
run_call (const StrandWireHead *head, const guint8 *payload)
{
  g_autoptr(StrandCall) call = NULL;

  if (!strand_wire_claim (helper.shared, head->number))
    return; /* taken back, to run elsewhere */

  limit_processor_time ();
  call = make_call (head, payload);
  start_call (call, head->number);
  strand_call_run (strand_call_ref (call));
  end_call (call);
}

/* The next frame, however long it takes. FALSE if the parent needs this helper no more. */
static gboolean
next_frame (StrandWireHead *head, const guint8 **payload)
{
  gboolean broken;

  while (!strand_wire_next (&helper.in, head, payload, &broken))
    if (broken || strand_wire_receive (&helper.in, STRAND_HELPER_DATA_FD, 0) <= 0)
      return FALSE;
  return TRUE;
}

/* The start. */

static void
load_modules (const char *const *modules, GVariantBuilder *failed)
{
  for (guint i = 0; modules[i] != NULL; i++)
    {
      g_autoptr(GError) error = NULL;

      if (!strand_registry_load_module (strand_registry_get_default (), modules[i], &error))
        {
          g_autofree char *text = g_utf8_make_valid (error->message, -1);

          g_variant_builder_add (failed, "(ss)", modules[i], text);
        }
    }
}

static void
say_hello (GVariantBuilder *failed)
{
  GVariantBuilder functions;
  g_autoptr(GVariant) hello = NULL;
  gsize frame;

  helper.functions = strand_registry_list (strand_registry_get_default ());
  g_variant_builder_init (&functions, G_VARIANT_TYPE ("a(ss)"));
  for (guint i = 0; i < helper.functions->len; i++)
    {
      StrandFunction *function = g_ptr_array_index (helper.functions, i);
      g_autofree char *signature = strand_function_dup_signature (function);

      g_variant_builder_add (&functions, "(ss)", strand_function_get_name (function), signature);
    }
  hello = g_variant_ref_sink (g_variant_new ("(ua(ss)a(ss))", STRAND_WIRE_PROTOCOL, &functions, failed));

  g_mutex_lock (&helper.lock);
  frame = strand_wire_begin (&helper.out, STRAND_WIRE_HELLO, 0);
  strand_wire_append_variant (&helper.out, hello);
  strand_wire_end (&helper.out, frame);
  flush_locked ();
  g_mutex_unlock (&helper.lock);
}

static gboolean
set_up (void)
{
  StrandWireHead head;
  const guint8 *payload;
  g_autoptr(GVariant) setup = NULL;
  g_autofree const char **modules = NULL;
  GVariantBuilder failed;
  guint32 protocol;
  gint32 niceness;

  if (!next_frame (&head, &payload) || head.type != STRAND_WIRE_SETUP)
    return FALSE;
  setup = strand_wire_read_variant (G_VARIANT_TYPE (STRAND_WIRE_SETUP_TYPE), payload, head.size);
  if (setup == NULL)
    return FALSE;
  g_variant_get (setup, "(u^a&sit)", &protocol, &modules, &niceness, &helper.cpu_seconds);
  if (protocol != STRAND_WIRE_PROTOCOL)
    {
      g_printerr (
          "The taskrunner speaks protocol %u, and this helper speaks %d: install both from one release\n",
          protocol, STRAND_WIRE_PROTOCOL);
      return FALSE;
    }

  errno = 0;
  if (niceness != 0 && nice (niceness) == -1 && errno != 0)
    g_printerr ("Could not change the priority by %d: %s\n", niceness, g_strerror (errno));
  g_variant_builder_init (&failed, G_VARIANT_TYPE ("a(ss)"));
  load_modules (modules, &failed);
  say_hello (&failed);
  return TRUE;
}

static void
open_ends (const char *parent)
{
  pid_t pid = (pid_t) g_ascii_strtoll (parent, NULL, 10);
  gpointer shared;

  for (int fd = STRAND_HELPER_DATA_FD; fd <= STRAND_HELPER_SHARED_FD; fd++)
    if (fcntl (fd, F_SETFD, FD_CLOEXEC) != 0)
      {
        g_printerr ("A helper is started by a process taskrunner, not by hand\n");
        exit (2);
      }
  shared = mmap (NULL, sizeof *helper.shared, PROT_READ | PROT_WRITE, MAP_SHARED, STRAND_HELPER_SHARED_FD, 0);
  if (shared == MAP_FAILED)
    {
      g_printerr ("Could not map the memory shared with the taskrunner: %s\n", g_strerror (errno));
      exit (2);
    }
  close (STRAND_HELPER_SHARED_FD);
  helper.shared = shared;

  helper.parent_fd = (int) syscall (SYS_pidfd_open, pid, 0);
  if (helper.parent_fd < 0 && errno == ESRCH)
    end_with_parent ();
}

static gboolean
register_portable (StrandModuleRegisterFunc register_functions, GError **error)
{
  gboolean done;

  if (register_functions == NULL)
    return TRUE;
  strand_registering_portable = TRUE;
  done = register_functions (strand_registry_get_default (), error);
  strand_registering_portable = FALSE;
  return done;
}

static int
be_guarded (StrandModuleRegisterFunc register_functions)
{
  g_autoptr(GError) error = NULL;

  if (register_portable (register_functions, &error))
    return strand_guarded_main ();
  g_printerr ("Could not register the program's functions: %s\n",
              error != NULL ? error->message : "no reason given");
  return 1;
}

static int
be_helper (const char *parent, StrandModuleRegisterFunc register_functions)
{
  g_autoptr(GError) error = NULL;
  StrandWireHead head;
  const guint8 *payload;

  open_ends (parent);
  g_thread_unref (g_thread_new ("strand-watch", watch, NULL));
  if (!register_portable (register_functions, &error))
    {
      g_printerr ("Could not register the program's functions: %s\n",
                  error != NULL ? error->message : "no reason given");
      return 1;
    }
  if (!set_up ())
    return 1;
  while (next_frame (&head, &payload))
    if (head.type == STRAND_WIRE_CALL)
      run_call (&head, payload);
  return 0;
}

/**
 * strand_helper_main: (skip)
 * @argc: main()'s
 * @argv: (array length=argc): main()'s
 * @register_functions: (nullable): adds the program's functions to the registry that it is given
 *
 * Makes a program's own functions portable: a `process` taskrunner, or strand_process_start(), then starts
 * this program again as its helper. Belongs at the start of main(), before anything that must not happen in a
 * helper. In the program, adds the functions to the default registry and returns; in a helper, runs calls
 * until the program needs it no more, and does not return.
 *
 * Only what @register_functions adds is portable. The thread that calls this runs the functions in a helper.
 *
 * Since: 1.0
 */
void
strand_helper_main (int argc, char **argv, StrandModuleRegisterFunc register_functions)
{
  g_autoptr(GError) error = NULL;

  if (argc >= 3 && strcmp (argv[1], STRAND_HELPER_OPTION) == 0)
    exit (be_helper (argv[2], register_functions));
  if (argc >= 3 && strcmp (argv[1], STRAND_GUARD_OPTION) == 0)
    exit (strand_guard_main (argv[2]));
  if (argc >= 2 && strcmp (argv[1], STRAND_GUARDED_OPTION) == 0)
    exit (be_guarded (register_functions));

  if (program == NULL)
    program = g_file_read_link ("/proc/self/exe", NULL);
  if (!register_portable (register_functions, &error))
    g_warning ("Could not register the program's functions: %s",
               error != NULL ? error->message : "no reason given");
}

/**
 * strand_helper_get_program:
 *
 * Any thread; does not block.
 *
 * Returns: (nullable) (type filename): the program itself, if it has called strand_helper_main(), so that it
 * can be its own helper
 *
 * Since: 1.0
 */
const char *
strand_helper_get_program (void)
{
  return program;
}

/**
 * strand_helper_set_command:
 * @argv: (nullable) (array zero-terminated=1): what starts a helper of this program; `NULL` for what started
 *   it before
 *
 * Makes taskrunners that have no command of their own start helpers in this way: an interpreter and what it
 * runs, which comes to strand_helper_run(). Helpers that run already live on. Any thread; does not block.
 *
 * Since: 1.0
 */
void
strand_helper_set_command (const char *const *argv)
{
  GStrv replaced;

  g_mutex_lock (&command_lock);
  replaced = command;
  command = g_strdupv ((GStrv) argv);
  g_mutex_unlock (&command_lock);
  g_strfreev (replaced);
}

/**
 * strand_helper_dup_command:
 *
 * Any thread; does not block.
 *
 * Returns: (transfer full) (nullable): what strand_helper_set_command() was given
 * Since: 1.0
 */
GStrv
strand_helper_dup_command (void)
{
  GStrv copy;

  g_mutex_lock (&command_lock);
  copy = g_strdupv (command);
  g_mutex_unlock (&command_lock);
  return copy;
}

/**
 * strand_helper_run:
 * @argv: (array zero-terminated=1): the program's arguments, of which the last two are those that the
 *   taskrunner added
 *
 * Runs calls until the program that started this helper needs it no more. The functions are those of the
 * default registry and of the modules that the taskrunner names. Unlike strand_helper_main() it returns, so
 * that an interpreter can end as it does otherwise.
 *
 * Blocks; runs the functions on the thread that calls it.
 *
 * Returns: the exit status; 2 where no taskrunner started this program
 * Since: 1.0
 */
int
strand_helper_run (const char *const *argv)
{
  guint n = argv != NULL ? g_strv_length ((GStrv) argv) : 0;

  if (n < 2 || strcmp (argv[n - 2], STRAND_HELPER_OPTION) != 0)
    {
      g_printerr ("A helper is started by a process taskrunner, not by hand\n");
      return 2;
    }
  return be_helper (argv[n - 1], NULL);
}
