/* test-clock.c — time that tests can take over, and timers that keep their order.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "call-fixture.h"

#define SECOND G_USEC_PER_SEC

/* A fixed moment, so that nothing depends on when the test runs. */
#define NOON G_GINT64_CONSTANT (1700000000000000)

typedef struct
{
  GString *log; /* one letter for each timer that ran, a small x for each datum destroyed */
  GThread *thread;
  guint n_run; /* atomic */
} Log;

static Log the_log;

static void
set_up (void)
{
  the_log.log = g_string_new (NULL);
  the_log.thread = NULL;
  the_log.n_run = 0;
  strand_clock_set_manual (NOON);
}

static void
tear_down (void)
{
  strand_clock_set_system ();
  g_string_free (the_log.log, TRUE);
}

static void
note (gpointer letter)
{
  g_string_append_c (the_log.log, (char) GPOINTER_TO_INT (letter));
  the_log.thread = g_thread_self ();
  g_atomic_int_inc (&the_log.n_run);
}

static void
note_destroyed (gpointer letter)
{
  g_string_append_c (the_log.log, 'x');
}

static guint64
add (gint64 due_us, char letter)
{
  return strand_clock_add_timer (due_us, note, GINT_TO_POINTER (letter), note_destroyed);
}

static void
test_manual_time_stands_still (void)
{
  gint64 monotonic_us;

  set_up ();
  monotonic_us = strand_clock_monotonic_us ();
  g_assert_cmpint (strand_clock_now_us (), ==, NOON);
  g_assert_cmpint (strand_clock_monotonic_us (), ==, monotonic_us);
  strand_clock_advance (90 * SECOND);
  g_assert_cmpint (strand_clock_now_us (), ==, NOON + 90 * SECOND);
  g_assert_cmpint (strand_clock_monotonic_us (), ==, monotonic_us + 90 * SECOND);
  strand_clock_set_wall (5);
  g_assert_cmpint (strand_clock_now_us (), ==, 5);
  g_assert_cmpint (strand_clock_monotonic_us (), ==, monotonic_us + 90 * SECOND);
  tear_down ();
}

static void
test_timers_run_in_order_on_this_thread (void)
{
  gint64 now_us;

  set_up ();
  now_us = strand_clock_monotonic_us ();
  add (now_us + 3 * SECOND, 'c');
  add (now_us + 1 * SECOND, 'a');
  add (now_us + 2 * SECOND, 'b');
  add (now_us + 1 * SECOND, 'A'); /* as early as 'a', but later added */
  strand_clock_advance (SECOND - 1);
  g_assert_cmpstr (the_log.log->str, ==, "");
  strand_clock_advance (1);
  g_assert_cmpstr (the_log.log->str, ==, "axAx");
  g_assert_true (the_log.thread == g_thread_self ());
  strand_clock_advance (10 * SECOND);
  g_assert_cmpstr (the_log.log->str, ==, "axAxbxcx");
  tear_down ();
}

static void
test_a_timer_sees_its_own_time (void)
{
  gint64 now_us;

  set_up ();
  now_us = strand_clock_monotonic_us ();
  add (now_us + SECOND, 'a');
  strand_clock_advance (5 * SECOND);
  g_assert_cmpint (strand_clock_monotonic_us (), ==, now_us + 5 * SECOND);
  add (now_us, 'b'); /* long due */
  strand_clock_advance (0);
  g_assert_cmpstr (the_log.log->str, ==, "axbx");
  tear_down ();
}

static void
again (gpointer data)
{
  guint *left = data;

  note (GINT_TO_POINTER ('r'));
  if (--*left > 0)
    strand_clock_add_timer (strand_clock_monotonic_us () + SECOND, again, left, NULL);
}

/* Advancing by a minute is the same as advancing by a second sixty times. */
static void
test_a_timer_may_add_another (void)
{
  guint left = 5;

  set_up ();
  strand_clock_add_timer (strand_clock_monotonic_us () + SECOND, again, &left, NULL);
  strand_clock_advance (3 * SECOND);
  g_assert_cmpstr (the_log.log->str, ==, "rrr");
  strand_clock_advance (60 * SECOND);
  g_assert_cmpstr (the_log.log->str, ==, "rrrrr");
  tear_down ();
}

static void
test_a_removed_timer_does_not_run (void)
{
  guint64 first, second;

  set_up ();
  first = add (strand_clock_monotonic_us () + SECOND, 'a');
  second = add (strand_clock_monotonic_us () + SECOND, 'b');
  g_assert_cmpuint (first, !=, 0);
  g_assert_cmpuint (first, !=, second);
  g_assert_true (strand_clock_remove_timer (first));
  g_assert_cmpstr (the_log.log->str, ==, "x");
  g_assert_false (strand_clock_remove_timer (first));
  strand_clock_advance (SECOND);
  g_assert_cmpstr (the_log.log->str, ==, "xbx");
  g_assert_false (strand_clock_remove_timer (second));
  g_assert_false (strand_clock_remove_timer (12345678));
  tear_down ();
}

static void
test_wall_steps_move_no_timer (void)
{
  guint64 id;

  set_up ();
  id = add (strand_clock_monotonic_us () + SECOND, 'a');
  strand_clock_set_wall (NOON + 3600 * (gint64) SECOND);
  strand_clock_advance (0);
  g_assert_cmpstr (the_log.log->str, ==, "");
  g_assert_true (strand_clock_remove_timer (id));
  tear_down ();
}

static void
test_the_system_runs_timers_elsewhere (void)
{
  GThread *thread;

  set_up ();
  strand_clock_set_system ();
  add (strand_clock_monotonic_us () + 1000, 'a');
  add (strand_clock_monotonic_us (), 'b');
  wait_until (g_atomic_int_get (&the_log.n_run) == 2);
  thread = the_log.thread;
  g_assert_true (thread != g_thread_self ());
  tear_down ();
}

/* A timer added under the manual clock falls due by the system's once that is back. */
static void
test_timers_outlive_a_change_of_clock (void)
{
  set_up ();
  add (strand_clock_monotonic_us () + 2000, 'a');
  strand_clock_set_system ();
  wait_until (g_atomic_int_get (&the_log.n_run) == 1);
  tear_down ();
}

static void
test_manual_holds_timers_of_the_system (void)
{
  guint64 id;

  set_up ();
  strand_clock_set_system ();
  id = add (strand_clock_monotonic_us () + 3600 * (gint64) SECOND, 'a');
  strand_clock_set_manual (NOON);
  strand_clock_advance (3600 * (gint64) SECOND);
  g_assert_cmpstr (the_log.log->str, ==, "ax");
  g_assert_false (strand_clock_remove_timer (id));
  tear_down ();
}

#define N_RACES 5000

static void
count_up (gpointer data)
{
  g_atomic_int_inc ((guint *) data);
}

/* Each timer either runs or is taken back, never both, and its datum goes once. */
static void
test_removing_races_running (void)
{
  guint n_steps = 0, n_removed = 0;

  /* The datum is the counter itself: one step for running, one for being destroyed. */
  for (guint i = 0; i < N_RACES; i++)
    {
      gint64 due_us = strand_clock_monotonic_us () + i % 3 * 10;
      guint64 id = strand_clock_add_timer (due_us, count_up, &n_steps, count_up);

      n_removed += strand_clock_remove_timer (id) ? 1 : 0;
    }
  wait_until ((guint) g_atomic_int_get (&n_steps) == 2 * N_RACES - n_removed);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);

  g_test_add_func ("/clock/manual-time-stands-still", test_manual_time_stands_still);
  g_test_add_func ("/clock/timers-run-in-order-on-this-thread", test_timers_run_in_order_on_this_thread);
  g_test_add_func ("/clock/a-timer-sees-its-own-time", test_a_timer_sees_its_own_time);
  g_test_add_func ("/clock/a-timer-may-add-another", test_a_timer_may_add_another);
  g_test_add_func ("/clock/a-removed-timer-does-not-run", test_a_removed_timer_does_not_run);
  g_test_add_func ("/clock/wall-steps-move-no-timer", test_wall_steps_move_no_timer);
  g_test_add_func ("/clock/the-system-runs-timers-elsewhere", test_the_system_runs_timers_elsewhere);
  g_test_add_func ("/clock/timers-outlive-a-change-of-clock", test_timers_outlive_a_change_of_clock);
  g_test_add_func ("/clock/manual-holds-timers-of-the-system", test_manual_holds_timers_of_the_system);
  g_test_add_func ("/clock/removing-races-running", test_removing_races_running);

  return g_test_run ();
}
