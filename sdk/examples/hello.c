/* hello.c — a function runs in a thread; its value arrives in the main loop.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include <strand.h>

static GVariant *
square (StrandContext *context, GVariant *arguments, gpointer user_data, GError **error)
{
  gint64 n;

  g_variant_get (arguments, "(x)", &n);
  return g_variant_new_int64 (n * n);
}

static void
on_end (StrandCall *call, GVariant *value, gpointer loop)
{
  g_print ("%" G_GINT64_FORMAT "\n", g_variant_get_int64 (value));
  g_main_loop_quit (loop);
}

static void
on_error (StrandCall *call, const GError *error, gpointer loop)
{
  g_printerr ("hello: %s\n", error->message);
  g_main_loop_quit (loop);
}

int
main (void)
{
  g_autoptr(GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandTask) task = NULL;

  if (strand_registry_add (strand_registry_get_default (), "square", "n:x -> x", "A number times itself", square,
                           NULL, NULL, &error))
    task = strand_as_task ("square", "thread", &error, NULL);
  if (task == NULL)
    g_error ("%s", error->message);

  strand_task_on_end (task, on_end, loop, NULL);
  strand_task_on_error (task, on_error, loop, NULL);
  strand_task_post (task, "(x)", G_GINT64_CONSTANT (12));
  g_main_loop_run (loop);
  return 0;
}
