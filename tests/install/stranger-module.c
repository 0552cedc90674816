/* stranger-module.c — a function module of somebody who has only the installed library.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include <strand-plugin.h>

static GVariant *
greet (StrandContext *context, GVariant *arguments, gpointer user_data, GError **error)
{
  const char *name;
  g_autofree char *greeting = NULL;

  g_variant_get (arguments, "(&s)", &name);
  greeting = g_strdup_printf ("hello %s", name);
  return g_variant_new_string (greeting);
}

STRAND_MODULE_EXPORT gboolean strand_module_register (StrandRegistry *registry, GError **error);

gboolean
strand_module_register (StrandRegistry *registry, GError **error)
{
  return strand_registry_add (registry, "stranger.greet", "name:s -> s", "Greets", greet, NULL, NULL, error);
}
