/* serializer-values.c — what was written is what is read: each type, and what is odd about it.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "serializer-private.h"

#include <float.h>
#include <math.h>
#include <string.h>

typedef union
{
  guint64 bits;
  double real;
} Double;

static void
check_and_drop (StrandSerializer *serializer, GVariant *floating)
{
  g_autoptr(GVariant) value = g_variant_ref_sink (floating);

  serializer_check (serializer, value);
}

static void
every_type (StrandConformance *self)
{
  g_autoptr(StrandSerializer) serializer = strand_conformance_make (self);
  g_autoptr(GPtrArray) values = serializer_samples ();

  for (guint i = 0; i < values->len; i++)
    serializer_check (serializer, values->pdata[i]);
}

static void
integers (StrandConformance *self)
{
  static const char *const texts[] = {
    "[byte 0, 1, 23, 24, 127, 128, 254, 255]",
    "[int16 -32768, -32767, -256, -129, -1, 0, 1, 128, 32766, 32767]",
    "[uint16 0, 1, 255, 256, 32768, 65534, 65535]",
    "[-2147483648, -2147483647, -65536, -1, 0, 1, 65536, 2147483646, 2147483647]",
    "[uint32 0, 1, 65536, 2147483648, 4294967294, 4294967295]",
    "[int64 -9223372036854775808, -9223372036854775807, -9007199254740993, -4294967297, -1, 0, 1]",
    "[int64 4294967296, 9007199254740992, 9007199254740993, 9223372036854775806, 9223372036854775807]",
    "[uint64 0, 1, 9007199254740993, 9223372036854775807, 9223372036854775808, 18446744073709551614]",
    "[uint64 18446744073709551615]",
    "[handle -2147483648, -1, 0, 1, 2147483647]",
    "<uint64 18446744073709551615>",
    "{int64 -9223372036854775808: uint64 18446744073709551615}",
    NULL,
  };

  serializer_check_texts (self, texts);
}

static void
doubles (StrandConformance *self)
{
  static const double odd[] = { 0.0,      -0.0,
                                1.0,      -1.0,
                                100.0,    0.1,
                                1.0 / 3,  123456789.12345678,
                                1e15,     1e16,
                                1e17,     1e21,
                                1e22,     1e-5,
                                1e-7,     1e300,
                                1e-300,   9007199254740991.0,
                                1e308,    -1e308,
                                DBL_MAX,  -DBL_MAX,
                                DBL_MIN,  4.9406564584124654e-324,
                                INFINITY, -INFINITY,
                                65504.0,  16777217.0 };
  g_autoptr(StrandSerializer) serializer = strand_conformance_make (self);
  guint n = strand_conformance_is_quick (self) ? 500 : 50000;

  for (gsize i = 0; i < G_N_ELEMENTS (odd); i++)
    check_and_drop (serializer, g_variant_new_double (odd[i]));
  for (guint i = 0; i < n; i++)
    {
      Double any = { .bits = (guint64) (guint32) g_test_rand_int () << 32 | (guint32) g_test_rand_int () };

      if (!isnan (any.real))
        check_and_drop (serializer, g_variant_new ("(dv)", any.real, g_variant_new_double (any.real)));
    }
}

/* Only such as processors pass on unchanged. */
static void
not_a_number (StrandConformance *self)
{
  static const guint64 patterns[] = {
    G_GUINT64_CONSTANT (0x7ff8000000000000), G_GUINT64_CONSTANT (0xfff8000000000000),
    G_GUINT64_CONSTANT (0x7ff8000000000001), G_GUINT64_CONSTANT (0x7fffffffffffffff),
    G_GUINT64_CONSTANT (0xfff8123456789abc),
  };
  g_autoptr(StrandSerializer) serializer = strand_conformance_make (self);

  for (gsize i = 0; i < G_N_ELEMENTS (patterns); i++)
    {
      Double any = { .bits = patterns[i] };

      check_and_drop (serializer, g_variant_new_double (any.real));
      check_and_drop (serializer, g_variant_new ("(vd)", g_variant_new_double (any.real), any.real));
    }
}

/* A string in the places where formats write them differently. */
static void
check_string (StrandSerializer *serializer, const char *text)
{
  check_and_drop (serializer, g_variant_new_string (text));
  check_and_drop (serializer, g_variant_new_parsed ("{%s: <%s>}", text, text));
  check_and_drop (serializer, g_variant_new_parsed ("{%s: (1, [%s, ''])}", text, text));
}

static void
strings (StrandConformance *self)
{
  static const char *const odd[] = {
    "",
    " ",
    "  leading and trailing  ",
    "\"",
    "\\",
    "\\u0000",
    "\\\"",
    "</script>",
    "a\r\nb\n",
    "null",
    "true",
    "1",
    "nan",
    "type",
    "value",
    "{\"type\":\"s\",\"value\":\"x\"}",
    "%s%n%d",
    "../../etc/passwd",
    "\xc3\xa9",                 /* é */
    "e\xcc\x81",                /* the same, composed */
    "\xe2\x80\xa8\xe2\x80\xa9", /* line and paragraph separator */
    "\xef\xbb\xbf",             /* byte order mark */
    "\xef\xbf\xbf",             /* U+FFFF, which is no character */
    "\xef\xb7\x90",             /* U+FDD0, neither */
    "\xef\xbf\xbd",             /* what decoders put where they are lost */
    "\xf0\x9f\x98\x80",         /* beyond the first plane */
    "\xf4\x8f\xbf\xbf",         /* the last there is */
    "\xe2\x80\xae backwards",
  };
  g_autoptr(StrandSerializer) serializer = strand_conformance_make (self);
  g_autofree char *longer = g_strnfill (70000, 'x');

  for (gsize i = 0; i < G_N_ELEMENTS (odd); i++)
    check_string (serializer, odd[i]);
  for (char c = 1; c > 0 && c < 0x7f; c++)
    check_string (serializer, (const char[]){ c, '\0' });
  check_string (serializer, "\x7f");
  check_string (serializer, longer);
}

static void
paths_and_signatures (StrandConformance *self)
{
  g_autoptr(StrandSerializer) serializer = strand_conformance_make (self);
  g_autofree char *longest = g_strnfill (255, 'i');
  static const char *const texts[] = {
    "objectpath '/'",
    "objectpath '/a'",
    "objectpath '/org/example/Job_17/x'",
    "signature ''",
    "signature 'a{sv}'",
    "signature '(ia(ss))aay'",
    "<objectpath '/'>",
    "<signature ''>",
    "{objectpath '/a': signature 'i'}",
    "[signature 'i', '', 'as']",
    NULL,
  };

  serializer_check_texts (self, texts);
  check_and_drop (serializer, g_variant_new_signature (longest));
}

static void
byte_strings (StrandConformance *self)
{
  g_autoptr(StrandSerializer) serializer = strand_conformance_make (self);
  guint8 all[256];

  for (guint i = 0; i < sizeof all; i++)
    all[i] = (guint8) i;
  for (gsize size = 0; size <= sizeof all; size++)
    {
      check_and_drop (serializer, g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, all, size, 1));
      check_and_drop (
          serializer,
          g_variant_new ("(v@ay)", g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, all, size, 1),
                         g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, all + sizeof all - size, size, 1)));
    }
  memset (all, 0, sizeof all);
  check_and_drop (serializer, g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, all, sizeof all, 1));
}

static void
empty (StrandConformance *self)
{
  static const char *const texts[] = {
    "()",           "@ab []",    "@ay []",      "@ax []",        "@ad []",
    "@as []",       "@ao []",    "@ag []",      "@av []",        "@a() []",
    "@ami []",      "@a(is) []", "@aay []",     "@aaas []",      "@a{ss} {}",
    "@a{sv} {}",    "@a{xv} {}", "@a{oas} {}",  "@aa{sv} []",    "[@as [], []]",
    "[@a{sv} {}]",  "((),)",     "((), ())",    "[()]",          "{'k': @as []}",
    "<()>",         "<@as []>",  "<@a{sv} {}>", "<@mi nothing>", "(@ay [], @as [], @a{ss} {}, '')",
    "@mas nothing", "@mas []",   "@ma{sv} {}",  "@may []",       "@mmay just nothing",
    NULL,
  };

  serializer_check_texts (self, texts);
}

static void
maybes (StrandConformance *self)
{
  static const char *const texts[] = {
    "@mb nothing",
    "@mb true",
    "@mb false",
    "@my just 0",
    "@mx nothing",
    "@mx 0",
    "@md nan",
    "@ms nothing",
    "@ms ''",
    "@mv nothing",
    "@mv <@mv nothing>",
    "@m() nothing",
    "@m() just ()",
    "@mmi nothing",
    "@mmi just nothing",
    "@mmi 1",
    "@mmmms just just nothing",
    "@mmmms just just just nothing",
    "@mmmms just just just just ''",
    "@mmm() just just nothing",
    "@m(msmi) (nothing, 1)",
    "[@ms nothing, '', nothing, 'x']",
    "[@mmi nothing, just nothing, 1]",
    "@mami [nothing, 1]",
    "@a{sms} {'a': nothing, 'b': ''}",
    "{1, @ms nothing}",
    "<@mms just nothing>",
    "(@mi nothing, @mi 1, @mi nothing)",
    NULL,
  };

  serializer_check_texts (self, texts);
}

static void
dictionaries (StrandConformance *self)
{
  static const char *const texts[] = {
    "{true: 'x', false: 'y'}",
    "{byte 0xff: 1, 0x00: 2}",
    "{int16 -1: 1}",
    "{uint16 65535: 1}",
    "{-1: 1, 1: -1}",
    "{uint32 4294967295: 1}",
    "{int64 -9223372036854775808: 1, 9223372036854775807: 2}",
    "{uint64 18446744073709551615: 1, 0: 2}",
    "{1.5: 'x', -0.0: 'y', 0.0: 'z', inf: 'w'}",
    "{handle 3: 1}",
    "{objectpath '/b': 1, '/a': 2}",
    "{signature 'b': 1, 'a{sv}': 2}",
    "{'': '', ' ': ' '}",
    /* In the order they were in. */
    "{'z': 1, 'a': 2, 'm': 3, 'Z': 4, '10': 5, '9': 6}",
    /* A dictionary is an array of entries, and may have one twice. */
    "{'a': 1, 'a': 2}",
    "{'a': 1, 'b': 2, 'a': 1}",
    "{1: 'x', 1: 'x', 1: 'y'}",
    "{'a': {'a': <{'a': 1, 'a': 2}>}}",
    "{'k', 1}",
    "{1, {'k', <1>}}",
    "[{'k', 1}, {'k', 2}]",
    "({'k', 1}, {1, 'k'})",
    "<{'k', 1}>",
    NULL,
  };
  g_autoptr(StrandSerializer) serializer = strand_conformance_make (self);
  g_auto(GVariantBuilder) builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE_VARDICT);

  serializer_check_texts (self, texts);
  for (guint i = 1000; i > 0; i--)
    {
      g_autofree char *key = g_strdup_printf ("key %u", i * 7919 % 1000);

      g_variant_builder_add (&builder, "{sv}", key, g_variant_new_uint32 (i));
    }
  check_and_drop (serializer, g_variant_builder_end (&builder));
}

static void
variants (StrandConformance *self)
{
  static const char *const texts[] = {
    "<true>",
    "<byte 1>",
    "<int16 1>",
    "<uint16 1>",
    "<1>",
    "<uint32 1>",
    "<int64 1>",
    "<uint64 1>",
    "<handle 1>",
    "<1.0>",
    "<'1'>",
    "<objectpath '/'>",
    "<signature 'i'>",
    "<<1>>",
    "<<<<'x'>>>>",
    "<[<1>, <int64 1>, <1.0>, <'1'>]>",
    "<@av [<@av []>]>",
    "<(<()>, <@mv nothing>)>",
    "[<byte 0x31>, <'1'>, <b'1'>, <['1']>]",
    "{'a': <{'a': <{'a': <1>}>}>}",
    "<{'k', <'v'>}>",
    NULL,
  };

  serializer_check_texts (self, texts);
}

static void
random_values (StrandConformance *self)
{
  g_autoptr(StrandSerializer) serializer = strand_conformance_make (self);
  guint n = strand_conformance_is_quick (self) ? 300 : 10000;

  for (guint i = 0; i < n; i++)
    {
      g_autoptr(GVariant) value = serializer_random (1 + (int) i % 6);

      serializer_check (serializer, value);
    }
}

#define N_LARGE (8 * 1024 * 1024)

static void
large (StrandConformance *self)
{
  g_autoptr(StrandSerializer) serializer = strand_conformance_make (self);
  guint n = strand_conformance_is_quick (self) ? 10000 : 300000;
  g_autofree char *text = g_strnfill (N_LARGE, '"');
  g_auto(GVariantBuilder) builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("a(xsv)"));

  check_and_drop (serializer, g_variant_new_string (text));
  check_and_drop (serializer, g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, text, N_LARGE, 1));
  for (guint i = 0; i < n; i++)
    g_variant_builder_add (&builder, "(xsv)", (gint64) i << 31, "some text", g_variant_new_uint32 (i));
  check_and_drop (serializer, g_variant_builder_end (&builder));
}

static void
wide (StrandConformance *self)
{
  g_autoptr(StrandSerializer) serializer = strand_conformance_make (self);
  g_autoptr(GPtrArray) samples = serializer_samples ();
  g_autoptr(GPtrArray) members = g_ptr_array_new ();

  for (guint i = 0; i < 2000; i++)
    g_ptr_array_add (members, samples->pdata[i % samples->len]);
  check_and_drop (serializer, g_variant_new_tuple ((GVariant *const *) members->pdata, members->len));
}

static void
check_parts (StrandSerializer *serializer, GVariant *value)
{
  serializer_check (serializer, value);
  for (gsize i = 0; g_variant_is_container (value) && i < g_variant_n_children (value); i++)
    {
      g_autoptr(GVariant) part = g_variant_get_child_value (value, i);

      check_parts (serializer, part);
    }
}

/* Values that lie within another's bytes. */
static void
parts (StrandConformance *self)
{
  g_autoptr(StrandSerializer) serializer = strand_conformance_make (self);
  g_autoptr(GPtrArray) samples = serializer_samples ();
  g_autoptr(GVariant) whole =
      g_variant_ref_sink (g_variant_new_tuple ((GVariant *const *) samples->pdata, samples->len));

  g_assert_nonnull (g_variant_get_data (whole));
  check_parts (serializer, whole);
}

static void
not_normal (StrandConformance *self)
{
  static const struct
  {
    const char *type, *bytes;
    gsize size;
  } damaged[] = {
    { "b", "\2", 1 },
    { "x", "\0\0\0", 3 },
    { "()", "\1", 1 },
    { "(yi)", "\1\1\1\1\2\0\0\0", 8 },
    { "s", "a", 1 },
    { "s", "a\0b\0", 4 },
    { "s", "\xff\0", 2 },
    { "o", "a\0", 2 },
    { "g", "!\0", 2 },
    { "as", "a\0\7", 3 },
    { "v", "\1i", 2 },
    { "v", "", 0 },
    { "mi", "\0\0\0", 3 },
    { "a{sv}", "junk that is none", 17 },
    { "(sayv)", "\xff\xff\xff\xff\xff", 5 },
  };
  g_autoptr(StrandSerializer) serializer = strand_conformance_make (self);

  for (gsize i = 0; i < G_N_ELEMENTS (damaged); i++)
    {
      g_autoptr(GBytes) given = g_bytes_new (damaged[i].bytes, damaged[i].size);
      g_autoptr(GVariant) value =
          g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE (damaged[i].type), given, FALSE));
      g_autoptr(GVariant) normal = g_variant_get_normal_form (value);
      g_autoptr(GBytes) bytes = serializer_write (serializer, value);

      serializer_read_same (serializer, bytes, normal);
    }
}

const StrandConformanceCase serializer_value_cases[] = {
  { "values/every-type", "A value of each type comes back: the same type, and the same in every bit.",
    every_type },
  { "values/integers", "Integers come back over the whole range of their type.", integers },
  { "values/doubles", "So do doubles: -0, the infinities, the smallest and those with 17 digits.", doubles },
  { "values/nan", "A double that is no number comes back with all its bits.", not_a_number },
  { "values/strings", "Strings are any UTF-8 without NUL, as values, as keys and inside variants.", strings },
  { "values/paths-and-signatures", "Object paths and signatures stay what they are.", paths_and_signatures },
  { "values/bytes", "Byte strings hold any bytes, none or NULs too.", byte_strings },
  { "values/empty", "What is empty keeps its type.", empty },
  { "values/maybes", "Nothing, just nothing and just an empty value are told apart, at any level.", maybes },
  { "values/dictionaries", "Keys are of any basic type, keep their order, and may be there twice.",
    dictionaries },
  { "values/variants", "A variant keeps the type of what is in it, also of another variant.", variants },
  { "values/random", "Values of any type, made by chance, come back.", random_values },
  { "values/large", "So do 8 MiB of text and of bytes, and an array of very many tuples.", large },
  { "values/wide", "So does a tuple of 2000 members.", wide },
  { "values/parts", "A value that is part of another is written as one of its own.", parts },
  { "values/not-normal", "A value that is not in normal form is written as its normal form is.", not_normal },
  { 0 },
};
