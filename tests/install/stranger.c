/* stranger.c — a program of somebody who has only the installed library: its own function in a thread, then,
 * with `stranger.c plugins`, a store and a function module from the folders that pkg-config names.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include <strand.h>
#include <string.h>

static GVariant *
add (StrandContext *context, GVariant *arguments, gpointer user_data, GError **error)
{
  gint64 a, b;

  g_variant_get (arguments, "(xx)", &a, &b);
  return g_variant_new_int64 (a + b);
}

static char *
call (const char *function, GVariant *arguments, GError **error)
{
  g_autoptr(StrandTask) task = strand_task_new_for_name (function, "thread", error);
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(GVariant) value = NULL;

  if (task == NULL)
    return NULL;
  handle = strand_task_call_value (task, arguments);
  if (!strand_handle_wait (handle, 60 * G_USEC_PER_SEC, error))
    return NULL;
  value = strand_handle_get_result (handle, error);
  return value != NULL ? g_variant_print (value, FALSE) : NULL;
}

/* Puts a record into the store of type `stranger` and gets it back. */
static gboolean
use_store (GError **error)
{
  GType type = strand_plugins_load (strand_plugins_get_default (), STRAND_KIND_STORE, "stranger", error);
  g_autoptr(StrandStore) store = type != G_TYPE_INVALID ? (StrandStore *) g_object_new (type, NULL) : NULL;
  g_autoptr(StrandRecord) record = strand_record_new ("job-1");
  g_autoptr(StrandRecord) read = NULL;

  if (store == NULL || !strand_store_put (store, record, 0, error))
    return FALSE;
  read = strand_store_get (store, "job-1", error);
  if (read == NULL)
    return FALSE;
  g_print ("job-1 %" G_GUINT64_FORMAT "\n", strand_record_get_revision (read));
  return TRUE;
}

int
main (int argc, char **argv)
{
  g_autoptr(GError) error = NULL;
  StrandRegistry *registry = strand_registry_get_default ();
  g_autofree char *sum = NULL;
  g_autofree char *greeting = NULL;

  if (strand_registry_add (registry, "stranger.add", "a:x b:x -> x", "The sum", add, NULL, NULL, &error))
    sum = call ("stranger.add", g_variant_new ("(xx)", (gint64) 40, (gint64) 2), &error);
  if (sum != NULL)
    g_print ("%s\n", sum);

  if (sum != NULL && argc > 1 && strcmp (argv[1], "plugins") == 0 && use_store (&error) &&
      strand_registry_load_module (registry, "stranger-module", &error))
    greeting = call ("stranger.greet", g_variant_new ("(s)", "world"), &error);
  if (greeting != NULL)
    g_print ("%s\n", greeting);

  if (error != NULL)
    g_printerr ("%s\n", error->message);
  return error != NULL;
}
