/* taskrunner-load.c — many calls, many threads, and the limit.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "taskrunner-private.h"

#define N_THREADS 8

typedef struct
{
  StrandConformance *self;
  StrandTask *task;
  guint n_calls;
  gint64 first;
} Caller;

static gpointer
call_and_check (gpointer data)
{
  Caller *caller = data;
  GMainContext *context = g_main_context_new ();

  g_main_context_push_thread_default (context);
  for (guint i = 0; i < caller->n_calls; i++)
    {
      gint64 a = caller->first + i;
      g_autoptr(StrandHandle) handle = strand_task_call (caller->task, "(xx)", a, (gint64) 1);
      g_autoptr(GVariant) value = NULL;

      /* Also where a call runs in this very context. */
      while (!strand_handle_is_ready (handle))
        if (!g_main_context_iteration (context, FALSE))
          strand_handle_wait (handle, 1000, NULL);
      runner_assert_completed (handle);
      value = strand_handle_get_result (handle, NULL);
      g_assert_cmpint (g_variant_get_int64 (value), ==, a + 1);
    }
  g_main_context_pop_thread_default (context);
  g_main_context_unref (context);
  return NULL;
}

static void
eight_threads_call (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.add");
  Caller callers[N_THREADS];
  GThread *threads[N_THREADS];

  for (guint i = 0; i < N_THREADS; i++)
    {
      callers[i] = (Caller){ self, task, runner_count (self, 1000, 300), i * G_GINT64_CONSTANT (1000000) };
      threads[i] = g_thread_new ("caller", call_and_check, &callers[i]);
    }
  for (guint i = 0; i < N_THREADS; i++)
    g_thread_join (threads[i]);
  g_clear_object (&task);
  runner_close (self, runner);
}

static void
a_million_reuses (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.nothing");
  g_autoptr(Told) told = told_new ();
  guint n = runner_count (self, 1000000, 50000), n_posted = 0;
  gsize before = 0;

  told_listen (told, task);
  while (n_posted < n)
    {
      for (guint i = 0; i < 10000 && n_posted < n; i++, n_posted++)
        strand_task_post (task, NULL);
      strand_conformance_wait (self, told_count_over (told) == n_posted);
      if (before == 0)
        before = runner_resident_bytes ();
    }
  g_assert_cmpuint (told->n_ends, ==, n);
  g_assert_cmpint ((gint64) runner_resident_bytes () - (gint64) before, <, RUNNER_FLAT_BYTES);
  g_clear_object (&task);
  runner_close (self, runner);
}

static void
many_are_pending (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) hold = runner_task (self, runner, "conformance.hold");
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.nothing");
  g_autoptr(StrandHandle) handle = runner_call_paths (self, hold, "entered", "gate", NULL);
  g_autoptr(Told) told = told_new ();
  guint n = runner_count (self, 100000, 20000);

  runner_await_file (self, "entered");
  told_listen (told, task);
  for (guint i = 0; i < n; i++)
    strand_task_post (task, NULL);
  strand_conformance_create_file (self, "gate");
  strand_conformance_wait (self, told_count_over (told) == n);
  g_assert_cmpuint (told->n_ends, ==, n);
  runner_await (self, handle);
  g_clear_object (&handle);
  g_clear_object (&hold);
  g_clear_object (&task);
  runner_close (self, runner);
}

static void
use_up (StrandConformance *self, guint n_calls)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.nothing");
  g_autoptr(Told) told = told_new ();

  told_listen (told, task);
  for (guint i = 0; i < n_calls; i++)
    strand_task_post (task, NULL);
  strand_conformance_wait (self, told_count_over (told) == n_calls);
  g_clear_object (&task);
  runner_close (self, runner);
}

/* Threads that strand itself keeps have started by then. */
static void
nothing_is_left_behind (StrandConformance *self)
{
  guint n_files, n_threads;

  for (guint i = 0; i < 3; i++)
    use_up (self, 10);
  n_files = runner_count_files ();
  n_threads = runner_count_threads ();
  for (guint i = 0; i < 20; i++)
    use_up (self, 100);
  strand_conformance_wait (self, runner_count_files () <= n_files);
  strand_conformance_wait (self, runner_count_threads () <= n_threads);
}

/* A call that holds the one place there is. */
static StrandHandle *
fill (StrandConformance *self, StrandTaskrunner *runner)
{
  g_autoptr(StrandTask) hold = runner_task (self, runner, "conformance.hold");
  StrandHandle *handle = runner_call_paths (self, hold, "entered", "gate", NULL);

  runner_await_file (self, "entered");
  return handle;
}

static void
owner_of_a_context_gets_full (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make_limited (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.mark");
  g_autoptr(StrandHandle) first = fill (self, runner);
  g_autoptr(GPtrArray) handles = g_ptr_array_new_with_free_func (g_object_unref);
  guint n_full = 0;

  /* Some find a place in the line; a runner may have some more on its way. */
  while (n_full == 0 && handles->len < 100)
    {
      StrandHandle *handle = runner_call_paths (self, task, "marks", NULL, NULL);

      g_ptr_array_add (handles, handle);
      n_full = g_error_matches (strand_handle_get_error (handle), STRAND_ERROR, STRAND_ERROR_FULL);
    }
  g_assert_cmpuint (n_full, ==, 1);
  strand_conformance_create_file (self, "gate");
  for (guint i = 0; i < handles->len; i++)
    runner_await (self, handles->pdata[i]);
  for (guint i = 0; i + 1 < handles->len; i++)
    runner_assert_completed (handles->pdata[i]);
  runner_await (self, first);
  g_assert_cmpuint (runner_file_size (self, "marks"), ==, handles->len - 1);
  g_clear_pointer (&handles, g_ptr_array_unref);
  g_clear_object (&first);
  g_clear_object (&task);
  runner_close (self, runner);
}

typedef struct
{
  StrandConformance *self;
  StrandTask *task;
  int n_called; /* atomic */
  int over;     /* atomic */
} Producer;

static gpointer
produce (gpointer data)
{
  Producer *producer = data;
  StrandHandle *handles[10];

  for (guint i = 0; i < G_N_ELEMENTS (handles); i++)
    {
      g_atomic_int_inc (&producer->n_called);
      handles[i] = strand_task_call (producer->task, "(s)", "x");
    }
  for (guint i = 0; i < G_N_ELEMENTS (handles); i++)
    {
      while (!strand_handle_is_ready (handles[i]))
        strand_handle_wait (handles[i], G_USEC_PER_SEC, NULL);
      runner_assert_completed (handles[i]);
      g_object_unref (handles[i]);
    }
  g_atomic_int_set (&producer->over, TRUE);
  return NULL;
}

static void
others_wait_for_room (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make_limited (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.echo");
  g_autoptr(StrandHandle) first = fill (self, runner);
  Producer producer = { self, task, 0, FALSE };
  GThread *thread = g_thread_new ("producer", produce, &producer);

  strand_conformance_wait (self, g_atomic_int_get (&producer.n_called) > 0);
  strand_conformance_create_file (self, "gate");
  strand_conformance_wait (self, g_atomic_int_get (&producer.over));
  g_thread_join (thread);
  runner_await (self, first);
  g_clear_object (&first);
  g_clear_object (&task);
  runner_close (self, runner);
}

const StrandConformanceCase taskrunner_load_cases[] = {
  { "load/eight-threads", "Eight threads call at once, and each gets its own results.", eight_threads_call },
  { "load/million-reuses",
    "One task is called 1 000 000 times (50 000 times where calls leave the process), in flat memory.",
    a_million_reuses },
  { "load/many-pending",
    "100 000 calls (20 000 where they leave the process) wait behind one that runs, and all run.",
    many_are_pending, "background" },
  { "load/nothing-left", "A runner that was closed leaves no thread and no file descriptor behind.",
    nothing_is_left_behind },
  { "load/full",
    "At the limit the owner of a main context gets `FULL` and does not wait; that call's function never runs.",
    owner_of_a_context_gets_full, "background limit" },
  { "load/waits-for-room", "At the limit a thread without a main context waits for room.",
    others_wait_for_room, "background limit" },
  { 0 },
};
