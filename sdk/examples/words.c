/* words.c — a function module: counts the words of a file.                SPDX-License-Identifier: LGPL-2.1-or-later */

#include <strand-plugin.h>

static GVariant *
words_count (StrandContext *context, GVariant *arguments, gpointer user_data, GError **error)
{
  const char *file;
  g_autofree char *text = NULL;
  guint64 n = 0;

  g_variant_get (arguments, "(&s)", &file);
  if (!g_file_get_contents (file, &text, NULL, error))
    return NULL;
  for (const char *p = text; *p != '\0'; p++)
    if (!g_ascii_isspace (p[0]) && (p[1] == '\0' || g_ascii_isspace (p[1])))
      n++;
  return g_variant_new_uint64 (n);
}

gboolean
strand_module_register (StrandRegistry *registry, GError **error)
{
  return strand_registry_add (registry, "words.count", "file:s -> t", "How many words a file has", words_count, NULL,
                              NULL, error);
}
