/* count.c — counts the words of files, wherever its keyfile says.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include <locale.h>
#include <strand.h>

/* One line for each file, in the order in which they were named. FALSE if one could not be counted. */
static gboolean
print_counts (StrandTaskDispatcher *dispatcher, char **files)
{
  g_autoptr(GPtrArray) results = strand_task_dispatcher_dup_results (dispatcher);
  g_autoptr(GPtrArray) errors = strand_task_dispatcher_dup_errors (dispatcher);
  gboolean all = TRUE;

  for (guint i = 0; files[i] != NULL; i++)
    {
      GVariant *value = results->pdata[i];
      GError *error = errors->pdata[i];

      if (error == NULL)
        g_print ("%6" G_GUINT64_FORMAT "  %s\n", g_variant_get_uint64 (value), files[i]);
      else
        g_printerr ("count: %s\n", error->message);
      all = all && error == NULL;
    }
  return all;
}

static gboolean
count (const char *keyfile, char **files, GError **error)
{
  g_autoptr(StrandStack) stack = strand_stack_new_from_file (keyfile, error);
  g_autoptr(StrandTaskDispatcher) dispatcher = strand_task_dispatcher_new (NULL);
  g_autoptr(StrandTask) task = NULL;

  if (stack == NULL)
    return FALSE;
  strand_stack_set_default (stack);
  task = strand_async_compute ("words.count", error, NULL);
  if (task == NULL)
    return FALSE;

  for (guint i = 0; files[i] != NULL; i++)
    strand_task_dispatcher_enqueue_task (dispatcher, task, g_variant_new ("(s)", files[i]));
  return strand_task_dispatcher_run (dispatcher, 60 * G_USEC_PER_SEC, error) && print_counts (dispatcher, files);
}

int
main (int argc, char *argv[])
{
  g_autoptr(GError) error = NULL;

  setlocale (LC_ALL, "");
  if (argc < 3)
    {
      g_printerr ("usage: count KEYFILE FILE…\n");
      return 2;
    }
  if (count (argv[1], argv + 2, &error))
    return 0;
  if (error != NULL)
    g_printerr ("count: %s\n", error->message);
  return 1;
}
