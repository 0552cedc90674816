/* strand-arguments.c — a call's arguments, from C and from several places, as one tuple.
 *
 * g_variant_new() makes a value for each element, then copies them together. Where a function takes only
 * numbers, their place in the tuple's bytes is known beforehand, and writing them there costs a quarter of
 * that.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-function-private.h"

#include <string.h>

/* Sizes of fixed basic types; 0 for others. Alignment is the size. */
static guint
size_of (char type)
{
  switch (type)
    {
    case 'b':
    case 'y':
      return 1;
    case 'n':
    case 'q':
      return 2;
    case 'i':
    case 'u':
    case 'h':
      return 4;
    case 'x':
    case 't':
    case 'd':
      return 8;
    default:
      return 0;
    }
}

/* The serialised size of a tuple of numbers such as `(xx)`, or 0 if it holds anything else. As the GVariant
 * Specification 1.0 says of structures: each member aligned, the whole padded to the largest alignment. */
guint
strand_arguments_fixed_size (const GVariantType *type)
{
  const char *text = g_variant_type_peek_string (type);
  gsize n = g_variant_type_get_string_length (type);
  guint size = 0, largest = 1;

  if (n < 3 || text[0] != '(')
    return 0;
  for (gsize i = 1; i < n - 1; i++)
    {
      guint member = size_of (text[i]);

      if (member == 0)
        return 0;
      size = (size + member - 1) / member * member + member;
      largest = MAX (largest, member);
    }
  return (size + largest - 1) / largest * largest;
}

static void
write_member (guint8 *place, char type, va_list *args)
{
  union
  {
    guint8 y;
    guint16 q;
    guint32 u;
    guint64 t;
    double d;
  } value;

  switch (type)
    {
    case 'b':
      value.y = va_arg (*args, gboolean) != FALSE;
      break;
    case 'y':
      value.y = (guint8) va_arg (*args, int);
      break;
    case 'n':
    case 'q':
      value.q = (guint16) va_arg (*args, int);
      break;
    case 'd':
      value.d = va_arg (*args, double);
      break;
    case 'x':
    case 't':
      value.t = va_arg (*args, guint64);
      break;
    default:
      value.u = va_arg (*args, guint32);
    }
  memcpy (place, &value, size_of (type));
}

static GVariant *
write_tuple (StrandFunction *function, const char *format, va_list *args)
{
  guint8 *bytes = g_malloc0 (function->fixed_size);
  guint offset = 0;

  for (const char *type = format + 1; *type != ')'; type++)
    {
      guint size = size_of (*type);

      offset = (offset + size - 1) / size * size;
      write_member (bytes + offset, *type, args);
      offset += size;
    }
  return g_variant_new_from_data (function->parameter_type, bytes, function->fixed_size, TRUE, g_free, bytes);
}

/* As g_variant_new_va(); floating. */
GVariant *
strand_arguments_collect (StrandFunction *function, const char *format, va_list *args)
{
  gsize n = g_variant_type_get_string_length (function->parameter_type);

  if (function->fixed_size > 0 &&
      strncmp (format, g_variant_type_peek_string (function->parameter_type), n) == 0 && format[n] == '\0')
    return write_tuple (function, format, args);
  return g_variant_new_va (format, NULL, args);
}

/* Either may be NULL. */
GVariant *
strand_arguments_concat_tuples (GVariant *first, GVariant *second)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_TUPLE);
  for (gsize i = 0; first != NULL && i < g_variant_n_children (first); i++)
    {
      g_autoptr(GVariant) child = g_variant_get_child_value (first, i);

      g_variant_builder_add_value (&builder, child);
    }
  for (gsize i = 0; second != NULL && i < g_variant_n_children (second); i++)
    {
      g_autoptr(GVariant) child = g_variant_get_child_value (second, i);

      g_variant_builder_add_value (&builder, child);
    }
  return g_variant_ref_sink (g_variant_builder_end (&builder));
}

/* Both dictionaries' entries; a name that both have stays twice, for strand_function_bind() to refuse. */
GVariant *
strand_arguments_concat_keywords (GVariant *first, GVariant *second)
{
  GVariantBuilder builder;
  GVariant *both[] = { first, second };

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  for (guint i = 0; i < G_N_ELEMENTS (both); i++)
    for (gsize j = 0; both[i] != NULL && j < g_variant_n_children (both[i]); j++)
      {
        g_autoptr(GVariant) child = g_variant_get_child_value (both[i], j);

        g_variant_builder_add_value (&builder, child);
      }
  return g_variant_ref_sink (g_variant_builder_end (&builder));
}
