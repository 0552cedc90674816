/* serializer-tools.c — what the cases for serializers share.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "serializer-private.h"

#include "random-variant.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Nothing odd, which has cases of its own. */
static const char *const samples[] = {
  "true",
  "false",
  "byte 0x00",
  "byte 0xff",
  "int16 -32768",
  "uint16 65535",
  "-2147483648",
  "uint32 4294967295",
  "int64 -9223372036854775808",
  "uint64 5000000000",
  "handle -1",
  "1.5",
  "-2.25",
  "''",
  "'text'",
  "'\"\\\\\\n\u00e9\u2028'",
  "objectpath '/org/example/Job_17'",
  "signature 'a{sv}(ii)'",
  "<'inside'>",
  "<int64 1>",
  "@ay []",
  "[byte 0x01, 0x80, 0xff]",
  "@as []",
  "['a', '', 'c']",
  "[int64 1, -2, 3]",
  "[1.5, -2.0]",
  "[true, false]",
  "[(), ()]",
  "@aas [[], ['x'], ['y', 'z']]",
  "[[byte 0x01], [], [0x02]]",
  "[<1>, <'two'>, <()>]",
  "@a{sv} {}",
  "{'a': <1>, 'b': <'two'>}",
  "{uint64 1: 'a', 2: 'b'}",
  "{'k': {'l': int16 1}}",
  "{1, 'an entry of its own'}",
  "()",
  "(1,)",
  "(int16 1, 'two', 3.0, [byte 4], ('five', byte 6), <int64 7>)",
  "[(byte 1, true, 'x'), (2, false, '')]",
  "@mi nothing",
  "@mi 1",
  "@mms nothing",
  "@mms 'x'",
  "@m() just ()",
  "[@mi 1, nothing, 3]",
  "(@mv <@mi nothing>, @mas ['x'], @m(ms) (just 'y',))",
  "{'k': (1, {'x': <[1.5]>}, @may [byte 1])}",
};

static GVariant *
parse (const char *text)
{
  g_autoptr(GError) error = NULL;
  GVariant *value = g_variant_parse (NULL, text, NULL, NULL, &error);

  g_assert_no_error (error);
  return value;
}

GPtrArray *
serializer_samples (void)
{
  GPtrArray *values = g_ptr_array_new_with_free_func ((GDestroyNotify) g_variant_unref);

  for (gsize i = 0; i < G_N_ELEMENTS (samples); i++)
    g_ptr_array_add (values, parse (samples[i]));
  return values;
}

GVariant *
serializer_random (int depth)
{
  g_autoptr(GVariantType) type = random_type (depth);

  return random_value (type, depth);
}

GVariant *
serializer_nested (guint n, const char *kinds)
{
  GVariant *value = g_variant_new_int64 (7);

  for (guint level = 0, i = 0; level < n; level++, i++)
    switch (kinds[i % strlen (kinds)])
      {
      case 'v':
        value = g_variant_new_variant (value);
        break;
      case 'm':
        value = g_variant_new_maybe (NULL, value);
        break;
      case 'a':
        value = g_variant_new_array (NULL, &value, 1);
        break;
      case '(':
        value = g_variant_new_tuple (&value, 1);
        break;
      default:
        value = g_variant_new_dict_entry (g_variant_new_string ("k"), value);
        value = g_variant_new_array (NULL, &value, 1);
        level++;
      }
  return g_variant_ref_sink (value);
}

GBytes *
serializer_write (StrandSerializer *self, GVariant *value)
{
  g_autoptr(GError) error = NULL;
  GBytes *bytes = strand_serializer_serialize (self, value, &error);

  g_assert_no_error (error);
  return bytes;
}

void
serializer_read_same (StrandSerializer *self, GBytes *bytes, GVariant *value)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) again =
      strand_serializer_deserialize (self, bytes, g_variant_get_type (value), &error);

  g_assert_no_error (error);
  g_assert_false (g_variant_is_floating (again));
  serializer_assert_same (again, value);
}

void
serializer_check (StrandSerializer *self, GVariant *value)
{
  g_autoptr(GBytes) bytes = serializer_write (self, value);

  serializer_read_same (self, bytes, value);
}

void
serializer_check_texts (StrandConformance *self, const char *const *texts)
{
  g_autoptr(StrandSerializer) serializer = strand_conformance_make (self);

  for (; *texts != NULL; texts++)
    {
      g_autoptr(GVariant) value = parse (*texts);

      serializer_check (serializer, value);
    }
}

gboolean
serializer_is_same (GVariant *a, GVariant *b)
{
  g_autoptr(GVariant) normal_a = g_variant_get_normal_form (a), normal_b = g_variant_get_normal_form (b);
  g_autoptr(GBytes) bytes_a = g_variant_get_data_as_bytes (normal_a);
  g_autoptr(GBytes) bytes_b = g_variant_get_data_as_bytes (normal_b);

  return g_variant_type_equal (g_variant_get_type (a), g_variant_get_type (b)) &&
         g_bytes_equal (bytes_a, bytes_b);
}

void
serializer_assert_same (GVariant *a, GVariant *b)
{
  g_autofree char *printed_a = NULL, *printed_b = NULL;

  if (serializer_is_same (a, b))
    return;
  printed_a = g_variant_print (a, TRUE);
  printed_b = g_variant_print (b, TRUE);
  g_error ("%.300s came back as %.300s", printed_b, printed_a);
}

GVariant *
serializer_try (StrandSerializer *self, GBytes *bytes, const GVariantType *type)
{
  g_autoptr(GError) error = NULL;
  GVariant *value = strand_serializer_deserialize (self, bytes, type, &error);

  if (value == NULL)
    {
      g_assert_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT);
      return NULL;
    }
  g_assert_no_error (error);
  g_assert_false (g_variant_is_floating (value));
  g_assert_true (g_variant_is_of_type (value, type));
  g_assert_true (g_variant_is_normal_form (value));
  serializer_check (self, value);
  return value;
}

void
serializer_try_data (StrandSerializer *self, gconstpointer data, gsize size, const GVariantType *type)
{
  g_autoptr(GBytes) bytes = g_bytes_new (data, size);
  g_autoptr(GVariant) value = serializer_try (self, bytes, type);
}

typedef struct
{
  gpointer pages;
  gsize size;
} Fence;

static void
unmap (gpointer data)
{
  Fence *fence = data;

  munmap (fence->pages, fence->size);
  g_free (fence);
}

GBytes *
serializer_fence (gconstpointer data, gsize size)
{
  gsize page = (gsize) sysconf (_SC_PAGESIZE), kept = (size + page - 1) / page * page;
  Fence *fence = g_new (Fence, 1);
  char *pages = mmap (NULL, kept + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  char *start = pages + kept - size;

  g_assert_true (pages != MAP_FAILED);
  if (size > 0)
    memcpy (start, data, size);
  g_assert_cmpint (mprotect (pages, kept + page, PROT_READ), ==, 0);
  g_assert_cmpint (mprotect (pages + kept, page, PROT_NONE), ==, 0);
  fence->pages = pages;
  fence->size = kept + page;
  return g_bytes_new_with_free_func (start, size, unmap, fence);
}
