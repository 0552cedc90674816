/* lines.c — a function module whose functions use what their context offers: items, progress, cancellation, metadata,
 * an object as result, traits.                          SPDX-License-Identifier: LGPL-2.1-or-later */

#include <strand-plugin.h>

static GFileInputStream *
open_file (const char *name, goffset *size, GCancellable *cancellable, GError **error)
{
  g_autoptr(GFile) file = g_file_new_for_commandline_arg (name);
  g_autoptr(GFileInputStream) stream = g_file_read (file, cancellable, error);
  g_autoptr(GFileInfo) info = NULL;

  if (stream != NULL)
    info = g_file_input_stream_query_info (stream, G_FILE_ATTRIBUTE_STANDARD_SIZE, cancellable, error);
  if (info == NULL)
    return NULL;
  *size = g_file_info_get_size (info);
  return g_steal_pointer (&stream);
}

/* lines.each: emits each line while it reads. */
static GVariant *
lines_each (StrandContext *context, GVariant *arguments, gpointer user_data, GError **error)
{
  GCancellable *cancellable = strand_context_get_cancellable (context);
  g_autoptr(GFileInputStream) file = NULL;
  g_autoptr(GDataInputStream) reader = NULL;
  g_autoptr(GError) local = NULL;
  goffset size = 0, done = 0;
  const char *name;
  guint64 n = 0;
  char *line;

  g_variant_get (arguments, "(&s)", &name);
  file = open_file (name, &size, cancellable, error);
  if (file == NULL)
    return NULL;
  reader = g_data_input_stream_new (G_INPUT_STREAM (file));

  while ((line = g_data_input_stream_read_line_utf8 (reader, NULL, cancellable, &local)) != NULL)
    {
      done += strlen (line) + 1;
      if (!strand_context_emit (context, g_variant_new_take_string (line), error))
        return NULL;
      strand_context_set_progress (context, size > 0 ? MIN ((double) done / size, 1) : -1, "reading");
      n++;
    }
  if (local != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local));
      return NULL;
    }
  strand_context_set_metadata (context, "size", g_variant_new_int64 (size));
  return g_variant_new_uint64 (n);
}

/* lines.model: gives an object, which stays in this process. */
static GVariant *
lines_model (StrandContext *context, GVariant *arguments, gpointer user_data, GError **error)
{
  GListStore *model = g_list_store_new (G_TYPE_FILE);
  const char *const *names = NULL;

  g_variant_get (arguments, "(^a&s)", &names);
  for (const char *const *name = names; *name != NULL; name++)
    {
      g_autoptr(GFile) file = g_file_new_for_path (*name);

      g_list_store_append (model, file);
    }
  g_free ((gpointer) names);
  strand_context_take_object (context, G_OBJECT (model));
  return NULL;
}

/* Where lines.model may run: not where a pointer means nothing. */
static gboolean
add_model (StrandRegistry *registry, GError **error)
{
  g_autoptr(StrandFunction) function =
      strand_function_new ("lines.model", "names:as -> object", "A list model of files", STRAND_TRAIT_NOT_PORTABLE,
                           lines_model, NULL, NULL, error);

  return function != NULL && strand_registry_add_function (registry, function, error);
}

gboolean
strand_module_register (StrandRegistry *registry, GError **error)
{
  return strand_registry_add (registry, "lines.each", "file:s -> t", "Emits a file's lines, and counts them",
                              lines_each, NULL, NULL, error) &&
         add_model (registry, error);
}
