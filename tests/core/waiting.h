/* waiting.h — waiting, with a deadline, for what nothing announces to the one who waits.
 *
 * What other threads and processes do wakes no main context of a test's own, so the condition is looked at
 * again every millisecond. All of it stands here, so that whoever needs it needs no further source file.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* No test needs this long; one that does has failed. Long, because valgrind and sanitizers are slow. */
#define DEADLINE_US (60 * G_USEC_PER_SEC)

/* Runs the thread-default context until the condition holds; fails the test at the deadline. */
#define wait_until(condition) wait_with (wait_turn, condition, #condition)

/* The same for a thread that runs no context meanwhile. */
#define wait_still(condition) wait_with (wait_pause, condition, #condition)

#define wait_with(turn, condition, text)                                                                     \
  G_STMT_START                                                                                               \
  {                                                                                                          \
    gint64 wait_deadline_us = g_get_monotonic_time () + DEADLINE_US;                                         \
    while (!(condition))                                                                                     \
      {                                                                                                      \
        if (g_get_monotonic_time () > wait_deadline_us)                                                      \
          g_error ("%s:%d: waited in vain for: %s", __FILE__, __LINE__, text);                               \
        turn ();                                                                                             \
      }                                                                                                      \
  }                                                                                                          \
  G_STMT_END

static inline void
wait_pause (void)
{
  g_usleep (1000);
}

static inline gboolean
wait_tick (gpointer unused)
{
  return G_SOURCE_CONTINUE;
}

static inline void
wait_turn (void)
{
  GMainContext *context = g_main_context_ref_thread_default ();
  GSource *tick = g_timeout_source_new (1);

  g_source_set_callback (tick, wait_tick, NULL, NULL);
  g_source_attach (tick, context);
  g_main_context_iteration (context, TRUE);
  g_source_destroy (tick);
  g_source_unref (tick);
  g_main_context_unref (context);
}
