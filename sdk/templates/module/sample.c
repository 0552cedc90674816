/* sample.c — functions that strand runs in the background: by hand with `strand run -m sample`, in programs
 * whose keyfile names the module, in workers on other hosts.
 *
 * A function may run on several threads at once, so it keeps nothing between calls. What takes long asks now
 * and then whether it is still wanted, and says how far it is; what it produces piece by piece it emits.
 *                                                                            SPDX-License-Identifier: 0BSD */

#include <strand-plugin.h>

static GVariant *
greet (StrandContext *context, GVariant *arguments, gpointer user_data, GError **error)
{
  g_autofree char *text = NULL;
  const char *name;

  g_variant_get (arguments, "(&s)", &name);
  if (*name == '\0')
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "Could not greet: nobody was named");
      return NULL;
    }
  text = g_strdup_printf ("Hello, %s!", name);
  return g_variant_new_string (text);
}

static GVariant *
squares (StrandContext *context, GVariant *arguments, gpointer user_data, GError **error)
{
  guint64 sum = 0;
  guint32 n;

  g_variant_get (arguments, "(u)", &n);
  for (guint64 i = 1; i <= n; i++)
    {
      /* Fails where the call was cancelled; waits where whoever takes the items falls behind. */
      if (!strand_context_emit (context, g_variant_new_uint64 (i * i), error))
        return NULL;
      strand_context_set_progress (context, (double) i / n, NULL);
      sum += i * i;
    }
  return g_variant_new_uint64 (sum);
}

static const struct
{
  const char *name;
  const char *signature;
  const char *help;
  StrandFunc func;
} functions[] = {
  { "sample.greet", "name:s -> s", "Greets somebody", greet },
  { "sample.squares", "n:u -> t", "Emits the first squares, and gives their sum", squares },
};

gboolean
strand_module_register (StrandRegistry *registry, GError **error)
{
  for (guint i = 0; i < G_N_ELEMENTS (functions); i++)
    if (!strand_registry_add (registry, functions[i].name, functions[i].signature, functions[i].help,
                              functions[i].func, NULL, NULL, error))
      return FALSE;
  return TRUE;
}
