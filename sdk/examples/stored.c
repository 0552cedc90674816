/* stored.c — `stored run KEY` makes a call that is stored; `stored show KEY` finds its value, in another process.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include <strand.h>

static GVariant *
shout (StrandContext *context, GVariant *arguments, gpointer user_data, GError **error)
{
  const char *text;

  g_variant_get (arguments, "(&s)", &text);
  return g_variant_new_take_string (g_utf8_strup (text, -1));
}

/* For programs without a main loop: waits here, and gives what the call gave. */
static GVariant *
wait_for_value (StrandHandle *handle, GError **error)
{
  if (!strand_handle_wait (handle, 10 * G_USEC_PER_SEC, error))
    return NULL;
  return strand_handle_get_result (handle, error);
}

static GVariant *
run (const char *key, GError **error)
{
  g_autoptr(StrandTask) task = strand_async_compute ("shout", error, "ttl", 7 * 24 * G_TIME_SPAN_HOUR, NULL);
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;

  if (task == NULL)
    return NULL;
  strand_options_set_key (options, key);
  strand_options_set_retries (options, 2);
  handle = strand_task_call_full (task, g_variant_new ("(s)", "hello"), NULL, options);
  return wait_for_value (handle, error);
}

static GVariant *
show (const char *key, GError **error)
{
  g_autoptr(GObject) backend = strand_stack_ref_target (strand_stack_get_default (), NULL, error);
  g_autoptr(StrandHandle) handle = NULL;

  if (backend == NULL)
    return NULL;
  handle = strand_handle_new (strand_backend_get_store (STRAND_BACKEND (backend)), key, error);
  return handle != NULL ? wait_for_value (handle, error) : NULL;
}

static gboolean
register_functions (StrandRegistry *registry, GError **error)
{
  return strand_registry_add (registry, "shout", "text:s -> s", "Capital letters", shout, NULL, NULL, error);
}

int
main (int argc, char *argv[])
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) value = NULL;

  /* The default backend runs calls in helper processes: this program again, which ends inside here. */
  strand_helper_main (argc, argv, register_functions);
  if (argc != 3)
    return 2;
  value = g_str_equal (argv[1], "run") ? run (argv[2], &error) : show (argv[2], &error);

  if (value == NULL)
    {
      g_printerr ("stored: %s\n", error->message);
      return 1;
    }
  g_print ("%s\n", g_variant_get_string (value, NULL));
  return 0;
}
