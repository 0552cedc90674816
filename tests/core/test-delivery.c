/* test-delivery.c — news from many threads into many contexts, and a loop that stays alive meanwhile.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "call-fixture.h"

#define N_ENDS 100000

static StrandTaskrunner *threads;

static StrandTask *
make_task (const char *function)
{
  g_autoptr(StrandFunction) callee = fixture_function (function);

  return strand_task_new (callee, G_OBJECT (threads));
}

/* What a loop with other things to do sees of a flood. */
typedef struct
{
  guint n_ends;
  guint n_low;        /* how often the low-priority source ran before the flood was over */
  guint most_at_once; /* ends between two runs of it */
  guint last;
  gint64 busy_until_us;
} Flood;

/* 20 µs each: a flood of 100 000 takes two seconds, 500 turns. */
static void
on_end (StrandCall *call, GVariant *value, gpointer data)
{
  Flood *flood = data;
  gint64 until_us = g_get_monotonic_time () + 20;

  flood->n_ends++;
  while (g_get_monotonic_time () < until_us)
    ;
}

static gboolean
low_priority (gpointer data)
{
  Flood *flood = data;

  flood->n_low++;
  flood->most_at_once = MAX (flood->most_at_once, flood->n_ends - flood->last);
  flood->last = flood->n_ends;
  return G_SOURCE_CONTINUE;
}

static void
test_lower_priorities_run_during_a_flood (void)
{
  g_autoptr(StrandTask) task = make_task ("test.nothing");
  g_autoptr(StrandHandle) last = NULL;
  Flood flood = { 0 };
  guint source;

  strand_task_on_end (task, on_end, &flood, NULL);
  for (guint i = 1; i < N_ENDS; i++)
    strand_task_post (task, NULL);
  last = strand_task_call (task, NULL);
  wait_still (strand_handle_is_ready (last));
  g_assert_cmpuint (flood.n_ends, ==, 0);

  source = g_idle_add_full (G_PRIORITY_LOW, low_priority, &flood, NULL);
  while (flood.n_ends < N_ENDS)
    g_main_context_iteration (NULL, TRUE);
  g_source_remove (source);
  g_test_message ("%u runs between, at most %u ends at once", flood.n_low, flood.most_at_once);
  /* No more than 4 ms of them in a turn, and a few that were under way. */
  g_assert_cmpuint (flood.most_at_once, <=, 4000 / 20 + 16);
  g_assert_cmpuint (flood.n_low, >=, N_ENDS / (4000 / 20 + 16));
}

/* Several contexts on several threads, each with calls of its own. */

typedef struct
{
  guint n_calls;
  int priority;
} Loop;

static gpointer
run_a_loop (gpointer data)
{
  Loop *loop = data;
  g_autoptr(GMainContext) context = g_main_context_new ();
  g_autoptr(StrandTask) task = NULL;
  g_autoptr(Told) told = told_new ();

  g_main_context_push_thread_default (context);
  task = make_task ("test.count");
  g_object_set (task, "priority", loop->priority, NULL);
  told_listen (told, task);
  for (guint i = 1; i <= loop->n_calls; i++)
    {
      strand_task_post (task, "(u)", 2);
      if (i % 50 == 0)
        wait_until (told_count_over (told) == i);
    }
  wait_until (told_count_over (told) == loop->n_calls);
  g_assert_cmpuint (told->n_ends, ==, loop->n_calls);
  g_assert_cmpuint (told->n_items, ==, 2 * loop->n_calls);
  g_assert_true (told->thread == g_thread_self ());
  g_clear_object (&task);
  g_main_context_pop_thread_default (context);
  return NULL;
}

static void
test_contexts_on_several_threads (void)
{
  GThread *loops[8];
  Loop kinds[2] = { { 500, G_PRIORITY_DEFAULT }, { 500, G_PRIORITY_LOW } };

  for (guint i = 0; i < G_N_ELEMENTS (loops); i++)
    loops[i] = g_thread_new ("loop", run_a_loop, &kinds[i % 2]);
  for (guint i = 0; i < G_N_ELEMENTS (loops); i++)
    g_thread_join (loops[i]);
}

/* Eight threads call one task at once; the ends go to the context of each caller: here none is pushed, so to
 * ours. */
static gpointer
call_a_lot (gpointer task)
{
  for (guint i = 0; i < 5000; i++)
    strand_task_post (task, NULL);
  return NULL;
}

static void
test_eight_threads_call_at_once (void)
{
  g_autoptr(StrandTask) task = make_task ("test.nothing");
  g_autoptr(Told) told = told_new ();
  GThread *callers[8];

  told_listen (told, task);
  for (guint i = 0; i < G_N_ELEMENTS (callers); i++)
    callers[i] = g_thread_new ("caller", call_a_lot, task);
  wait_until (told_count_over (told) == 8 * 5000);
  for (guint i = 0; i < G_N_ELEMENTS (callers); i++)
    g_thread_join (callers[i]);
  g_assert_cmpuint (told->n_ends, ==, 8 * 5000);
  g_assert_true (told->thread == g_thread_self ());
}

/* Order: what one worker ends first is told first. */
static void
check_order (StrandCall *call, GVariant *value, gpointer data)
{
  gint64 *last = data;

  g_assert_cmpint (g_variant_get_int64 (value), ==, *last + 1);
  *last = g_variant_get_int64 (value);
}

static void
test_ends_are_told_in_order (void)
{
  StrandTaskrunner *one = make_runner ("thread", "workers", 1, NULL);
  g_autoptr(StrandFunction) add = fixture_function ("test.add");
  g_autoptr(StrandTask) task = strand_task_new (add, G_OBJECT (one));
  gint64 last = -1;

  strand_task_on_end (task, check_order, &last, NULL);
  for (gint64 i = 0; i < 20000; i++)
    strand_task_post (task, "(xx)", i, (gint64) 0);
  wait_until (last == 19999);
  g_clear_object (&task);
  close_runner (one);
}

/* A callback that runs a main loop of its own, as dialogs do: other calls go on inside, its own never nests.
 */
typedef struct
{
  guint n_open;
  guint n_ends;
  gboolean nested;
} Dialog;

static gboolean
open_dialog (StrandCall *call, GVariant *item, gpointer data, GError **error)
{
  Dialog *dialog = data;

  g_assert_cmpuint (dialog->n_open, ==, 0);
  dialog->n_open++;
  for (guint i = 0; i < 3; i++)
    g_main_context_iteration (NULL, FALSE);
  dialog->n_open--;
  return TRUE;
}

static void
close_dialog (StrandCall *call, GVariant *value, gpointer data)
{
  Dialog *dialog = data;

  g_assert_cmpuint (dialog->n_open, ==, 0);
  dialog->n_ends++;
}

static void
wait_inside (StrandCall *call, GVariant *value, gpointer data)
{
  Dialog *dialog = data;

  wait_until (dialog->n_ends == 1);
  dialog->nested = TRUE;
}

static void
test_one_calls_callbacks_never_nest (void)
{
  g_autoptr(StrandTask) task = make_task ("test.count");
  Dialog dialog = { 0 };

  strand_task_on_iter (task, open_dialog, &dialog, NULL);
  strand_task_on_end (task, close_dialog, &dialog, NULL);
  strand_task_post (task, "(u)", 100);
  wait_until (dialog.n_ends == 1);
}

static void
test_other_calls_go_on_inside_a_callback (void)
{
  g_autoptr(StrandTask) outer = make_task ("test.nothing"), inner = make_task ("test.nothing");
  Dialog dialog = { 0 };

  strand_task_on_end (outer, wait_inside, &dialog, NULL);
  strand_task_on_end (inner, close_dialog, &dialog, NULL);
  strand_task_post (outer, NULL);
  strand_task_post (inner, NULL);
  wait_until (dialog.nested);
}

/* Contexts come and go; what was under way for one that is gone must not trouble the others. */
static gpointer
leave_calls_behind (gpointer unused)
{
  g_autoptr(GMainContext) context = g_main_context_new ();
  g_autoptr(StrandTask) task = NULL;
  g_autoptr(Told) told = NULL;

  g_main_context_push_thread_default (context);
  task = make_task ("test.nothing");
  for (guint i = 0; i < 20; i++)
    strand_task_post (task, NULL);
  g_main_context_pop_thread_default (context);
  return NULL;
}

static void
test_contexts_may_go_with_calls_under_way (void)
{
  g_autoptr(StrandTask) task = make_task ("test.nothing");
  g_autoptr(Told) told = told_new ();

  for (guint i = 0; i < 100; i++)
    g_thread_join (g_thread_new ("passer-by", leave_calls_behind, NULL));
  told_listen (told, task);
  strand_task_post (task, NULL);
  wait_until (told_count_over (told) == 1);
}

#define ADD(name, test) g_test_add_func ("/delivery/" name, test)

int
main (int argc, char **argv)
{
  int status;

  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  fixture_add_functions ();
  threads = make_runner ("thread", "workers", 2, NULL);

  ADD ("lower-priorities-run-during-a-flood", test_lower_priorities_run_during_a_flood);
  ADD ("contexts-on-several-threads", test_contexts_on_several_threads);
  ADD ("eight-threads-call-at-once", test_eight_threads_call_at_once);
  ADD ("ends-are-told-in-order", test_ends_are_told_in_order);
  ADD ("one-calls-callbacks-never-nest", test_one_calls_callbacks_never_nest);
  ADD ("other-calls-go-on-inside-a-callback", test_other_calls_go_on_inside_a_callback);
  ADD ("contexts-may-go-with-calls-under-way", test_contexts_may_go_with_calls_under_way);

  status = g_test_run ();
  close_runner (threads);
  return status;
}
