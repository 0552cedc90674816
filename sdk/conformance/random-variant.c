/* random-variant.c — see random-variant.h. Leans towards what breaks things: limits, empty containers,
 * strings that need escapes, dictionaries with a key twice, numbers that are none. SPDX-License-Identifier:
 * LGPL-2.1-or-later */

#include "random-variant.h"

#include <math.h>

static const char basic_types[] = "bynqiuxthdsog";

static int
below (int limit)
{
  return g_test_rand_int_range (0, limit);
}

static guint64
random_bits (void)
{
  static const guint64 limits[] = { 0,
                                    1,
                                    0x7f,
                                    0xff,
                                    0x7fff,
                                    0xffff,
                                    0x7fffffff,
                                    0xffffffff,
                                    (guint64) 1 << 53,
                                    G_MAXINT64,
                                    (guint64) G_MAXINT64 + 1,
                                    G_MAXUINT64 };

  if (below (3) == 0)
    return limits[below (G_N_ELEMENTS (limits))];
  return (guint64) (guint32) g_test_rand_int () << 32 | (guint32) g_test_rand_int ();
}

static double
random_double (void)
{
  static const double special[] = { 0.0,      -0.0,
                                    0.1,      1e15,
                                    1e16,     1e22,
                                    1e308,    -1e308,
                                    5e-324,   2.2250738585072014e-308,
                                    INFINITY, -INFINITY,
                                    NAN,      9007199254740993.0 };
  union
  {
    guint64 bits;
    double real;
  } any = { .bits = random_bits () };

  switch (below (3))
    {
    case 0:
      return special[below (G_N_ELEMENTS (special))];
    case 1:
      return g_test_rand_double_range (-1000, 1000);
    default:
      return any.real;
    }
}

static char *
random_string (void)
{
  static const char *const pieces[] = {
    "a",      "b",       "key",  "\"",   "\\",   "/", "\n",     "\t",
    "\r",     "\b",      "\x01", "\x1f", "\x7f", "é", "\u2028", "\U0001f600",
    "\uffff", "\\u0000", "{",    "]",    ",",    ":", " ",      "eight long plain words in a row"
  };
  GString *text = g_string_new (NULL);

  for (int n = below (6); n > 0; n--)
    g_string_append (text, pieces[below (G_N_ELEMENTS (pieces))]);
  return g_string_free (text, FALSE);
}

static void
append_type (GString *type, int depth)
{
  static const char containers[] = "vam({";

  if (depth <= 0 || below (3) == 0)
    {
      g_string_append_c (type, basic_types[below (sizeof basic_types - 1)]);
      return;
    }

  switch (containers[below (sizeof containers - 1)])
    {
    case 'v':
      g_string_append_c (type, 'v');
      break;
    case 'a':
      g_string_append_c (type, 'a');
      append_type (type, depth - 1);
      break;
    case 'm':
      g_string_append_c (type, 'm');
      append_type (type, depth - 1);
      break;
    case '(':
      g_string_append_c (type, '(');
      for (int n = below (5); n > 0; n--)
        append_type (type, depth - 1);
      g_string_append_c (type, ')');
      break;
    default:
      g_string_append (type, below (4) == 0 ? "{" : "a{");
      g_string_append_c (type, below (2) == 0 ? 's' : basic_types[below (sizeof basic_types - 1)]);
      append_type (type, depth - 2);
      g_string_append_c (type, '}');
    }
}

GVariantType *
random_type (int depth)
{
  g_autoptr(GString) type = g_string_new (NULL);

  append_type (type, depth);
  return g_variant_type_new (type->str);
}

static GVariant *
random_basic (char type)
{
  guint64 bits = random_bits ();

  switch (type)
    {
    case 'b':
      return g_variant_new_boolean (below (2));
    case 'y':
      return g_variant_new_byte ((guint8) bits);
    case 'n':
      return g_variant_new_int16 ((gint16) bits);
    case 'q':
      return g_variant_new_uint16 ((guint16) bits);
    case 'i':
      return g_variant_new_int32 ((gint32) bits);
    case 'u':
      return g_variant_new_uint32 ((guint32) bits);
    case 'x':
      return g_variant_new_int64 ((gint64) bits);
    case 't':
      return g_variant_new_uint64 (bits);
    case 'h':
      return g_variant_new_handle ((gint32) bits);
    case 'd':
      return g_variant_new_double (random_double ());
    case 'o':
      return g_variant_new_object_path (below (2) ? "/" : "/org/example/Job_17");
    case 'g':
      return g_variant_new_signature (below (2) ? "" : "a{sv}(ii)");
    default:
      return g_variant_new_take_string (random_string ());
    }
}

static GVariant *
random_members (const GVariantType *type, int depth)
{
  g_autoptr(GPtrArray) members = g_ptr_array_new_with_free_func ((GDestroyNotify) g_variant_unref);

  for (const GVariantType *member = g_variant_type_first (type); member != NULL;
       member = g_variant_type_next (member))
    g_ptr_array_add (members, random_value (member, depth - 1));
  if (g_variant_type_is_dict_entry (type))
    return g_variant_new_dict_entry (members->pdata[0], members->pdata[1]);
  return g_variant_new_tuple ((GVariant **) members->pdata, members->len);
}

static GVariant *
random_array (const GVariantType *type, int depth)
{
  g_autoptr(GPtrArray) children = g_ptr_array_new_with_free_func ((GDestroyNotify) g_variant_unref);

  /* Now and then more than the few keys that are compared one by one; not where arrays of arrays multiply. */
  gboolean many = g_variant_type_get_string_length (type) <= 5 && below (8) == 0;

  for (int n = many ? 30 : below (4); n > 0; n--)
    g_ptr_array_add (children, random_value (g_variant_type_element (type), depth - 1));
  return g_variant_new_array (g_variant_type_element (type), (GVariant **) children->pdata, children->len);
}

static GVariant *
random_variant (int depth)
{
  g_autoptr(GVariantType) type = random_type (depth - 1);
  g_autoptr(GVariant) value = random_value (type, depth - 1);

  return g_variant_new_variant (value);
}

static GVariant *
random_maybe (const GVariantType *type, int depth)
{
  g_autoptr(GVariant) child =
      below (3) == 0 ? NULL : random_value (g_variant_type_element (type), depth - 1);

  return g_variant_new_maybe (g_variant_type_element (type), child);
}

GVariant *
random_value (const GVariantType *type, int depth)
{
  char name = *g_variant_type_peek_string (type);
  GVariant *value;

  switch (name)
    {
    case 'v':
      value = random_variant (depth);
      break;
    case 'a':
      value = random_array (type, depth);
      break;
    case 'm':
      value = random_maybe (type, depth);
      break;
    case '(':
    case '{':
      value = random_members (type, depth);
      break;
    default:
      value = random_basic (name);
    }

  return g_variant_ref_sink (value);
}
