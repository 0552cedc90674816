/* test-reload.c — a program that reloads its stack a thousand times while it calls: no call is lost, and
 * nothing grows.                                                   SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "call-fixture.h"

#include <stdio.h>
#include <string.h>

#define N_THREADS 4

/* What the first reloads may still make: caches, arenas, threads of strand's own. */
#define N_WARM 100

/* How many reloads are looked at to see how much memory there is at one time. */
#define WINDOW 50

typedef struct
{
  StrandStack *stack;
  int stop; /* atomic, as the rest */
  int n_called;
  int n_ended;
  int n_failed;
} World;

static guint
reloads (void)
{
  /* Sanitizers are slow, and their own memory grows. */
  return g_getenv ("ASAN_OPTIONS") != NULL ? 150 : 1000;
}

static void
on_end (StrandCall *call, GVariant *value, gpointer data)
{
  g_atomic_int_inc (&((World *) data)->n_ended);
}

static void
on_error (StrandCall *call, const GError *error, gpointer data)
{
  g_test_message ("%s", error->message);
  g_atomic_int_inc (&((World *) data)->n_failed);
}

static gpointer
call_all_the_time (gpointer data)
{
  World *world = data;
  g_autoptr(GMainContext) context = g_main_context_new ();
  g_autoptr(StrandFunction) function = fixture_function ("test.add");
  g_autoptr(StrandTask) task = NULL;
  g_autoptr(GError) error = NULL;

  g_main_context_push_thread_default (context);
  task = strand_task_new (function, NULL);
  strand_task_set_stack (task, world->stack);
  g_assert_true (strand_task_set_target (task, "jobs", &error));
  g_assert_no_error (error);
  strand_task_on_end (task, on_end, world, NULL);
  strand_task_on_error (task, on_error, world, NULL);
  while (!g_atomic_int_get (&world->stop))
    {
      g_autoptr(StrandHandle) handle =
          strand_task_call (task, "(xx)", G_GINT64_CONSTANT (1), G_GINT64_CONSTANT (2));

      g_atomic_int_inc (&world->n_called);
      g_assert_true (strand_handle_wait (handle, DEADLINE_US, NULL));
    }
  g_main_context_pop_thread_default (context);
  return NULL;
}

static guint
count_entries (const char *path)
{
  g_autoptr(GDir) dir = g_dir_open (path, 0, NULL);
  guint n = 0;

  while (dir != NULL && g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

static guint
count_mappings (void)
{
  g_autofree char *text = NULL;
  guint n = 0;

  g_assert_true (g_file_get_contents ("/proc/self/maps", &text, NULL, NULL));
  for (const char *c = text; *c != '\0'; c++)
    n += *c == '\n';
  return n;
}

static gint64
resident_bytes (void)
{
  g_autofree char *text = NULL;
  long total, resident;

  g_assert_true (g_file_get_contents ("/proc/self/statm", &text, NULL, NULL));
  g_assert_cmpint (sscanf (text, "%ld %ld", &total, &resident), ==, 2);
  return (gint64) resident * 4096;
}

static void
reload (World *world, guint number)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *text = g_strdup_printf (
      "[store results]\ntype=memory\nttl=1s\nmax-records=100\n"
      "[middleware log]\ntype=logging\n"
      "[backend jobs]\ntype=thread\nworkers=%u\nstore=results\nmiddleware=log\ntimeout=%us\n",
      1 + number % 3, 30 + number);

  g_assert_true (strand_stack_reload_from_data (world->stack, text, -1, "reload.conf", &error));
  g_assert_no_error (error);
}

static void
wait_for_calls (World *world, int n)
{
  int until = g_atomic_int_get (&world->n_ended) + n;

  wait_still (g_atomic_int_get (&world->n_ended) >= until);
}

/* Old backends go when their last call has ended; their clerks, some seconds later. A new one reads some
 * small files when it begins, on a thread of its own, so there is a descriptor more for a moment. */
static void
wait_for_fewer (const char *folder, guint limit)
{
  wait_still (count_entries (folder) <= limit);
}

static void
test_a_thousand_reloads_lose_nothing_and_leak_nothing (void)
{
  World world = { 0 };
  GThread *threads[N_THREADS];
  g_autoptr(GObject) store = NULL;
  g_autoptr(GObject) store_after = NULL;
  g_autoptr(GError) error = NULL;
  guint n_fds = 0, n_maps = 0, n_tasks = 0;
  gint64 most_at_first = 0, least_at_last = G_MAXINT64;

  world.stack = g_object_new (STRAND_TYPE_STACK, NULL);
  reload (&world, 0);
  store = strand_stack_ref_object (world.stack, STRAND_KIND_STORE, "results", &error);
  for (guint i = 0; i < N_THREADS; i++)
    threads[i] = g_thread_new ("caller", call_all_the_time, &world);

  for (guint i = 1; i <= reloads (); i++)
    {
      reload (&world, i);
      wait_for_calls (&world, 3);
      if (i == N_WARM)
        {
          n_fds = count_entries ("/proc/self/fd");
          n_maps = count_mappings ();
          n_tasks = count_entries ("/proc/self/task");
        }
      /* Threads and buffers come and go; what grows is above all of that in the end. */
      if (i > N_WARM && i <= N_WARM + WINDOW)
        most_at_first = MAX (most_at_first, resident_bytes ());
      if (i > reloads () - WINDOW)
        least_at_last = MIN (least_at_last, resident_bytes ());
    }
  store_after = strand_stack_ref_object (world.stack, STRAND_KIND_STORE, "results", &error);
  g_assert_true (store_after == store); /* its group never changed */

  wait_for_fewer ("/proc/self/fd", n_fds);
  wait_for_fewer ("/proc/self/task", n_tasks);
  g_assert_cmpuint (count_mappings (), <=, n_maps + 16); /* arenas come and go with threads */
  if (g_getenv ("ASAN_OPTIONS") == NULL)
    g_assert_cmpint (least_at_last - most_at_first, <=, 1024 * 1024);

  g_atomic_int_set (&world.stop, TRUE);
  for (guint i = 0; i < N_THREADS; i++)
    g_thread_join (threads[i]);
  g_assert_cmpint (world.n_failed, ==, 0);
  g_assert_cmpint (world.n_ended, ==, world.n_called);
  g_clear_object (&store);
  g_clear_object (&store_after);
  g_assert_true (strand_stack_close (world.stack, g_get_monotonic_time () + DEADLINE_US, &error));
  g_assert_no_error (error);
  g_object_unref (world.stack);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  fixture_add_functions ();

  g_test_add_func ("/reload/a-thousand-lose-nothing-and-leak-nothing",
                   test_a_thousand_reloads_lose_nothing_and_leak_nothing);

  return g_test_run ();
}
