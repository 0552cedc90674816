/* many.c — a thousand calls, four at a time; their results in the order in which they were made.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include <strand.h>

static GVariant *
cube (StrandContext *context, GVariant *arguments, gpointer user_data, GError **error)
{
  gint64 n;

  g_variant_get (arguments, "(x)", &n);
  return g_variant_new_int64 (n * n * n);
}

static gint64
sum_up (StrandTaskDispatcher *dispatcher)
{
  g_autoptr(GPtrArray) results = strand_task_dispatcher_dup_results (dispatcher);
  gint64 sum = 0;

  for (guint i = 0; i < results->len; i++)
    if (results->pdata[i] != NULL)
      sum += g_variant_get_int64 (results->pdata[i]);
  return sum;
}

int
main (void)
{
  g_autoptr(StrandTaskDispatcher) dispatcher = strand_task_dispatcher_new ("thread");
  g_autoptr(GError) error = NULL;

  if (!strand_registry_add (strand_registry_get_default (), "cube", "n:x -> x", "A number to the third", cube, NULL,
                            NULL, &error))
    g_error ("%s", error->message);

  g_object_set (dispatcher, "max-running", 4, NULL);
  for (gint64 n = 1; n <= 1000; n++)
    strand_task_dispatcher_enqueue (dispatcher, "cube", "(x)", n);
  if (!strand_task_dispatcher_run (dispatcher, 30 * G_USEC_PER_SEC, &error))
    {
      strand_task_dispatcher_cancel_all (dispatcher);
      g_error ("%s", error->message);
    }
  g_print ("%" G_GINT64_FORMAT "\n", sum_up (dispatcher));
  return 0;
}
