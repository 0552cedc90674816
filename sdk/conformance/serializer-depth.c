/* serializer-depth.c — values in values in values: how deep a serializer must go, and that it knows its end.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "serializer-private.h"

#include <string.h>

/* What a type may nest by itself, with room for what stands around it. */
#define TYPE_DEPTH 120

/* Deeper than any limit that saves a stack. */
#define VERY_DEEP 100000

static const char *const all_kinds[] = { "v", "m", "a", "(", "{", "v(a{m", "{v", "mv" };

static void
levels (StrandConformance *self)
{
  g_autoptr(StrandSerializer) serializer = strand_conformance_make (self);

  for (gsize i = 0; i < G_N_ELEMENTS (all_kinds); i++)
    for (guint n = 1; n <= SERIALIZER_DEPTH; n++)
      {
        g_autoptr(GVariant) value = serializer_nested (n, all_kinds[i]);

        serializer_check (serializer, value);
      }
}

/* Whether it could be written; if so, it has been read. */
static gboolean
try_to_write (StrandSerializer *serializer, guint n, const char *kinds)
{
  g_autoptr(GVariant) value = serializer_nested (n, kinds);
  g_autoptr(GError) error = NULL;
  g_autoptr(GBytes) bytes = strand_serializer_serialize (serializer, value, &error);

  if (bytes == NULL)
    {
      g_assert_error (error, STRAND_ERROR, STRAND_ERROR_TOO_LARGE);
      return FALSE;
    }
  serializer_read_same (serializer, bytes, value);
  return TRUE;
}

static void
too_deep (StrandConformance *self)
{
  g_autoptr(StrandSerializer) serializer = strand_conformance_make (self);
  guint step = strand_conformance_is_quick (self) ? 9 : 1;

  for (gsize i = 0; i < G_N_ELEMENTS (all_kinds); i++)
    {
      guint deepest = strchr (all_kinds[i], 'v') != NULL ? 300 : TYPE_DEPTH;
      gboolean written = TRUE;

      for (guint n = SERIALIZER_DEPTH; n <= deepest; n += step)
        {
          gboolean now = try_to_write (serializer, n, all_kinds[i]);

          g_assert_true (written || !now); /* what nests deeper than what is too deep is too deep */
          written = now;
        }
    }
  for (guint n = 500; n <= 2000; n *= 2)
    try_to_write (serializer, n, "v");
}

static void
append_times (GByteArray *array, const guint8 *data, gsize size, guint n)
{
  for (guint i = 0; size > 0 && i < n; i++)
    g_byte_array_append (array, data, (guint) size);
}

/* As the serializer would write very many variants in each other, if each is the one inside with something
 * around it. FALSE if they are not. */
static gboolean
build_deep (StrandSerializer *serializer, GByteArray *array)
{
  g_autoptr(GVariant) smaller = serializer_nested (20, "v"), larger = serializer_nested (21, "v");
  g_autoptr(GBytes) inner = serializer_write (serializer, smaller),
                     outer = serializer_write (serializer, larger);
  gsize inner_size, outer_size;
  const guint8 *inner_data = g_bytes_get_data (inner, &inner_size),
               *outer_data = g_bytes_get_data (outer, &outer_size),
               *at = memmem (outer_data, outer_size, inner_data, inner_size);

  if (at == NULL)
    return FALSE;
  append_times (array, outer_data, (gsize) (at - outer_data), VERY_DEEP);
  append_times (array, inner_data, inner_size, 1);
  append_times (array, at + inner_size, outer_size - inner_size - (gsize) (at - outer_data), VERY_DEEP);
  return TRUE;
}

static void
deep_bytes (StrandConformance *self)
{
  g_autoptr(StrandSerializer) serializer = strand_conformance_make (self);
  g_autoptr(GByteArray) array = g_byte_array_new ();

  if (!build_deep (serializer, array))
    {
      g_test_skip ("what is in a variant does not lie within its bytes");
      return;
    }
  serializer_try_data (serializer, array->data, array->len, G_VARIANT_TYPE_VARIANT);
  for (gsize size = array->len; size > 0; size /= 2)
    serializer_try_data (serializer, array->data, size - 1, G_VARIANT_TYPE_VARIANT);
}

static void
repeated_bytes (StrandConformance *self)
{
  static const char *const types[] = { "v", "av", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaai",
                                       "mmmmmmmmmmmmmmmmmmmmi", "a{sv}" };
  g_autoptr(StrandSerializer) serializer = strand_conformance_make (self);
  gsize n = strand_conformance_is_quick (self) ? 20000 : VERY_DEEP;
  g_autofree guint8 *data = g_malloc (n);

  for (guint byte = 0; byte < 256; byte++)
    {
      memset (data, (int) byte, n);
      for (gsize i = 0; i < G_N_ELEMENTS (types); i++)
        serializer_try_data (serializer, data, n, G_VARIANT_TYPE (types[i]));
    }
}

const StrandConformanceCase serializer_depth_cases[] = {
  { "depth/levels", "What nests up to 64 levels deep comes back, whatever the levels are.", levels },
  { "depth/too-deep", "What nests deeper comes back, or is `TOO_LARGE` to write.", too_deep },
  { "depth/bytes", "Bytes that nest 100 000 levels deep are an answer like any other, and no crash.",
    deep_bytes },
  { "depth/repeated", "So are bytes that are 100 000 times the same.", repeated_bytes },
  { 0 },
};
