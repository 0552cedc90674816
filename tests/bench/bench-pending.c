/* bench-pending.c — what a call that waits costs in memory.
 *
 * A million calls are posted behind one worker that is held at a gate; the growth of the heap, by malloc's
 * own count and by the kernel's, is divided among them.            SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <gio/gio.h>
#include <malloc.h>
#include <stdio.h>
#include <strand.h>
#include <unistd.h>

#include "bench.h"

#define N_CALLS 1000000
#define N_HANDLES 100000

static GMutex gate;

static GVariant *
wait_at_gate (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  g_mutex_lock (&gate);
  g_mutex_unlock (&gate);
  return NULL;
}

static void
on_end (StrandCall *call, GVariant *value, gpointer data)
{
  ++*(guint *) data;
}

static double
heap_bytes (void)
{
  struct mallinfo2 info = mallinfo2 ();

  return (double) info.uordblks + info.hblkhd;
}

static double
resident_bytes (void)
{
  g_autofree char *text = NULL;
  unsigned long size, resident;

  if (!g_file_get_contents ("/proc/self/statm", &text, NULL, NULL) ||
      sscanf (text, "%lu %lu", &size, &resident) != 2)
    return 0;
  return (double) resident * sysconf (_SC_PAGESIZE);
}

static void
measure (StrandTask *task, const char *name, guint n_calls, gboolean with_handles, GVariant *arguments)
{
  g_autofree char *resident_name = g_strconcat (name, ", resident", NULL);
  g_autoptr(GPtrArray) handles = g_ptr_array_new_full (with_handles ? n_calls : 0, g_object_unref);
  double heap, resident;
  guint n_ended = 0;

  strand_task_on_end (task, on_end, &n_ended, NULL);
  g_mutex_lock (&gate);
  malloc_trim (0);
  heap = heap_bytes ();
  resident = resident_bytes ();
  for (guint i = 0; i < n_calls; i++)
    {
      if (with_handles)
        g_ptr_array_add (handles, strand_task_call_value (task, arguments));
      else
        strand_task_post_value (task, arguments);
    }
  bench_report (name, (heap_bytes () - heap) / n_calls, "bytes/call", 0, NULL);
  bench_report (resident_name, (resident_bytes () - resident) / n_calls, "bytes/call", 0, NULL);

  g_mutex_unlock (&gate);
  while (n_ended < n_calls)
    g_main_context_iteration (NULL, TRUE);
}

int
main (void)
{
  g_autoptr(GError) error = NULL;
  GType type = strand_plugins_load (strand_plugins_get_default (), STRAND_KIND_TASKRUNNER, "thread", &error);
  g_autoptr(StrandFunction) nothing =
      strand_function_new ("bench.nothing", "", NULL, STRAND_TRAIT_NONE, wait_at_gate, NULL, NULL, NULL);
  g_autoptr(StrandFunction) numbers = strand_function_new (
      "bench.numbers", "a:x b:x", NULL, STRAND_TRAIT_NONE, wait_at_gate, NULL, NULL, NULL);
  g_autoptr(GVariant) arguments = g_variant_ref_sink (g_variant_new ("(xx)", (gint64) 1, (gint64) 2));
  g_autoptr(GObject) runner = NULL;
  g_autoptr(StrandTask) task = NULL;
  g_autoptr(StrandTask) task_of_numbers = NULL;

  g_assert_no_error (error);
  runner = g_object_new (type, "workers", 1, NULL);
  task = strand_task_new (nothing, runner);
  task_of_numbers = strand_task_new (numbers, runner);

  measure (task, "pending call without arguments", N_CALLS, FALSE, NULL);
  measure (task_of_numbers, "pending call, (xx) shared by all", N_CALLS, FALSE, arguments);
  measure (task, "pending call with a handle", N_HANDLES, TRUE, NULL);
  return 0;
}
