/* interrupt.c — Ctrl-C: once to stop in good order, twice to stop.
 *
 * Signals are caught on a thread of their own, so that the second one works whatever the main thread is at.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "command.h"

#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static struct
{
  InterruptFunc func; /* set before the thread starts, as the next */
  gpointer user_data;
  int is_inline;   /* atomic */
  gboolean caught; /* the thread's */
} interrupt;

static gboolean
call_func (gpointer unused)
{
  interrupt.func (interrupt.user_data);
  return G_SOURCE_REMOVE;
}

static gboolean
on_signal (gpointer unused)
{
  static const char text[] = "\nstrand: interrupted\n";

  if (interrupt.caught || g_atomic_int_get (&interrupt.is_inline))
    {
      /* Nothing is put in order any more: records that are left behind are settled by the next user of the
       * store, as after a crash. */
      if (write (STDERR_FILENO, text, sizeof text - 1) < 0)
        _exit (STATUS_FAILED);
      _exit (STATUS_CANCELLED);
    }
  interrupt.caught = TRUE;
  g_main_context_invoke_full (NULL, G_PRIORITY_HIGH, call_func, NULL, NULL);
  return G_SOURCE_CONTINUE;
}

static gpointer
watch_signals (gpointer data)
{
  GMainContext *context = data;

  g_main_context_push_thread_default (context);
  for (;;)
    g_main_context_iteration (context, TRUE);
  return NULL;
}

void
interrupt_catch (InterruptFunc func, gpointer user_data)
{
  static const int numbers[] = { SIGINT, SIGTERM };
  GMainContext *context = g_main_context_new ();

  interrupt.func = func;
  interrupt.user_data = user_data;
  for (guint i = 0; i < G_N_ELEMENTS (numbers); i++)
    {
      g_autoptr(GSource) source = g_unix_signal_source_new (numbers[i]);

      g_source_set_callback (source, on_signal, NULL, NULL);
      g_source_attach (source, context);
    }
  g_thread_unref (g_thread_new ("strand-signals", watch_signals, context));
}

void
interrupt_set_inline (gboolean is_inline)
{
  g_atomic_int_set (&interrupt.is_inline, is_inline);
}
