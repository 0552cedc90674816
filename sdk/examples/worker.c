/* worker.c — a worker in a process of its own, for as long as main() needs it.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include <strand.h>

static GVariant *
work (StrandContext *context, GVariant *arguments, gpointer user_data, GError **error)
{
  const char *name;

  g_variant_get (arguments, "(&s)", &name);
  g_print ("%s is ready\n", name);
  while (strand_context_sleep (context, G_USEC_PER_SEC, error))
    ;
  return NULL;
}

static gboolean
register_functions (StrandRegistry *registry, GError **error)
{
  return strand_registry_add (registry, "worker.work", "name:s", "Works until it is told to stop", work, NULL, NULL, error);
}

static gboolean
is_running (StrandProcess *process, gpointer user_data, GError **error)
{
  return g_file_test ("worker.pid", G_FILE_TEST_EXISTS);
}

int
main (int argc, char **argv)
{
  g_autoptr(StrandProcess) worker = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *line = NULL;

  strand_helper_main (argc, argv, register_functions);

  worker = strand_process_new_for_function ("worker.work", g_variant_new ("(s)", "anna"), NULL);
  strand_process_set_name (worker, "anna");
  strand_process_set_already_running (worker, is_running, NULL, NULL);
  strand_process_set_ready_line (worker, "ready");
  strand_process_set_timeout (worker, 5 * G_USEC_PER_SEC);
  strand_process_set_quiet (worker, TRUE);
  if (!strand_process_start (worker, NULL, &error))
    {
      g_printerr ("worker: %s\n", error->message);
      return 1;
    }

  if (strand_process_is_already_running (worker))
    {
      g_print ("somebody has started it already\n");
      return 0;
    }
  line = strand_process_dup_ready_line (worker);
  g_print ("it says: %s\n", line);
  g_print ("it is %s\n", strand_process_is_alive (worker) ? "alive" : "gone");
  return 0; /* which ends it */
}
