/* test-json.c — every GVariant value survives JSON, and no text harms the reader.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include <strand-plugin.h>

#include <locale.h>
#include <math.h>
#include <string.h>

#include "../../sdk/conformance/random-variant.h"

static char *
to_json (GVariant *value)
{
  GString *json = g_string_new (NULL);

  g_assert_true (strand_json_append_variant (json, value));
  return g_string_free (json, FALSE);
}

static void
assert_round_trip (GVariant *value)
{
  g_autofree char *json = to_json (value);
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) again = strand_json_to_variant (json, -1, g_variant_get_type (value), &error);

  if (error != NULL)
    g_test_message ("%s: %s", g_variant_get_type_string (value), json);
  g_assert_no_error (error);
  g_assert_false (g_variant_is_floating (again));
  g_assert_true (g_variant_is_normal_form (again));
  g_assert_cmpvariant (again, value);
}

static void
test_each_type_has_its_documented_form (void)
{
  static const struct
  {
    const char *value, *json;
  } cases[] = {
    { "true", "true" },
    { "byte 255", "255" },
    { "int16 -32768", "-32768" },
    { "uint16 65535", "65535" },
    { "int32 -2147483648", "-2147483648" },
    { "uint32 4294967295", "4294967295" },
    { "int64 -9223372036854775808", "-9223372036854775808" },
    { "uint64 18446744073709551615", "18446744073709551615" },
    { "handle 7", "7" },
    { "0.1", "0.1" },
    { "3.0", "3.0" },
    { "-0.0", "-0.0" },
    { "1e308", "1e+308" },
    { "inf", "\"inf\"" },
    { "-inf", "\"-inf\"" },
    { "nan", "\"nan\"" },
    { "'a\"\\\\b\\n\\u0001é'", "\"a\\\"\\\\b\\n\\u0001é\"" },
    { "objectpath '/a'", "\"/a\"" },
    { "signature 'ai'", "\"ai\"" },
    { "@ay [1, 2, 255]", "\"AQL/\"" },
    { "@ay []", "\"\"" },
    { "[1, 2]", "[1,2]" },
    { "@as []", "[]" },
    { "(1, 'x')", "[1,\"x\"]" },
    { "()", "[]" },
    { "{'a': 1}", "{\"a\":1}" },
    { "@a{sv} {}", "{}" },
    { "{'a': 1, 'a': 2}", "[[\"a\",1],[\"a\",2]]" },
    { "{1: 'a'}", "[[1,\"a\"]]" },
    { "@(i{sv}) (1, {'a', <2>})", "[1,[\"a\",{\"type\":\"i\",\"value\":2}]]" },
    { "@ms nothing", "null" },
    { "@ms 'x'", "[\"x\"]" },
    { "@mms just nothing", "[null]" },
    { "<(1, <2>)>", "{\"type\":\"(iv)\",\"value\":[1,{\"type\":\"i\",\"value\":2}]}" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr(GVariant) value = g_variant_ref_sink (g_variant_new_parsed (cases[i].value));
      g_autofree char *json = to_json (value);

      g_assert_cmpstr (json, ==, cases[i].json);
      assert_round_trip (value);
    }
}

static void
test_reads_what_others_write (void)
{
  static const struct
  {
    const char *json, *value;
  } cases[] = {
    { " [ 1 ,\t2\r\n] ", "(1, 2)" },
    { "1", "1.0" },
    { "1E+2", "100.0" },
    { "123456789012345678901234567890123456789012345678901234567890123456789.0",
      "123456789012345678901234567890123456789012345678901234567890123456789.0" },
    { "-0", "@u 0" },
    { "\"\\u00e9\\ud83d\\ude00\\/\\b\\f\"", "'é😀/\\b\\f'" },
    { "[[\"a\",1]]", "{'a': 1}" },
    { "{\"value\":[1,\"x\"],\"type\":\"(is)\"}", "<(1, 'x')>" },
    { "{\"t\\u0079pe\":\"i\",\"value\":1}", "<1>" },
    { "\"A\\/8=\"", "@ay [3, 255]" },
    { "\"NAN:7ff8000000000000\"", NULL },
    { "\"nan:7FF8000000000000\"", "nan" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr(GVariant) value =
          g_variant_ref_sink (g_variant_new_parsed (cases[i].value != NULL ? cases[i].value : "0.0"));
      g_autoptr(GError) error = NULL;
      g_autoptr(GVariant) read =
          strand_json_to_variant (cases[i].json, -1, g_variant_get_type (value), &error);

      if (cases[i].value == NULL)
        {
          g_assert_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT);
          continue;
        }
      g_assert_no_error (error);
      g_assert_cmpvariant (read, value);
    }
}

static void
test_refusals_say_where_and_what (void)
{
  static const struct
  {
    const char *type, *json, *message;
  } cases[] = {
    { "i", "", "byte 0, found the end" },
    { "i", "1 2", "expected nothing more at byte 2, found '2'" },
    { "i", "01", "expected nothing more at byte 1" },
    { "i", "+1", "byte 0" },
    { "i", "1.0", "expected an integer from -2147483648 to 2147483647 at byte 0" },
    { "i", "2147483648", "expected an integer" },
    { "y", "256", "expected an integer from 0 to 255" },
    { "u", "-1", "expected an integer from 0 to 4294967295" },
    { "x", "9223372036854775808", "expected an integer" },
    { "x", "-9223372036854775809", "expected an integer" },
    { "t", "18446744073709551616", "to 18446744073709551615" },
    { "t", "99999999999999999999999999", "expected an integer" },
    { "d", "1e999", "a number that a double can hold" },
    { "d", "1.", "expected a number" },
    { "d", ".5", "expected a number" },
    { "d", "NaN", "expected a number" },
    { "d", "\"infinity\"", "expected a number" },
    { "d", "\"nan:3ff0000000000000\"", "expected a number" },
    { "b", "1", "expected true or false" },
    { "b", "truE", "expected true or false" },
    { "s", "null", "expected a string" },
    { "s", "\"a", "expected '\"' at byte 2, found the end" },
    { "s", "\"a\\x\"", "expected a valid escape at byte 2" },
    { "s", "\"\\u12\"", "expected a valid escape" },
    { "s", "\"\\ud800\"", "expected a valid escape" },
    { "s", "\"\\ude00\\ud83d\"", "expected a valid escape" },
    { "s", "\"\\ud83d\\ue000\"", "expected a valid escape" },
    { "s", "\"\\ud83dxude00\"", "expected a valid escape" },
    { "s", "\"\\u0000\"", "expected a string without NUL" },
    { "s", "\"a\nb\"", "expected an escaped control character at byte 2, found byte 0x0a" },
    { "s", "\"a\xff\"", "expected UTF-8 at byte 2, found byte 0xff" },
    { "s", "\"\xc0\xaf\"", "expected UTF-8" },
    { "s", "\"\xed\xa0\x80\"", "expected UTF-8" },
    { "o", "\"a\"", "expected a D-Bus object path" },
    { "g", "\"!\"", "expected a D-Bus signature" },
    { "ay", "\"AQ=\"", "expected base64" },
    { "ay", "\"AR==\"", "expected base64" },
    { "ay", "\"A Q=\"", "expected base64" },
    { "ay", "\"====\"", "expected base64" },
    { "ay", "[1]", "expected a string" },
    { "ai", "[1,]", "expected an integer" },
    { "ai", "[,1]", "expected an integer" },
    { "ai", "[1 2]", "expected ',' or ']' at byte 3, found '2'" },
    { "ai", "[1", "expected ',' or ']' at byte 2, found the end" },
    { "as", "{\"a\":1}", "expected '['" },
    { "(ii)", "[1]", "expected 2 elements at byte 2" },
    { "(ii)", "[1,2,3]", "expected ']' after 2 elements at byte 4" },
    { "()", "[1]", "after 0 elements" },
    { "{si}", "[\"a\"]", "expected 2 elements" },
    { "mi", "[]", "expected an integer" },
    { "mi", "[1,2]", "expected ']'" },
    { "mi", "1", "expected null or '['" },
    { "a{si}", "{\"a\":1,\"a\":2}", "without two members of one name" },
    { "a{si}", "{\"a\":1,\"\\u0061\":2}", "without two members of one name" },
    { "a{si}", "{\"a\":1,}", "expected a member's name at byte 7" },
    { "a{si}", "{\"a\" 1}", "expected ':'" },
    { "a{si}", "{a:1}", "expected a member's name" },
    { "a{si}", "{'a':1}", "expected a member's name" },
    { "a{is}", "{\"1\":\"a\"}", "expected '['" },
    { "v", "1", "expected '{'" },
    { "v", "{}", "expected both \"type\" and \"value\"" },
    { "v", "{\"type\":\"i\"}", "expected both" },
    { "v", "{\"value\":1}", "expected both" },
    { "v", "{\"type\":\"i\",\"value\":1,\"x\":2}", "expected \"type\" or \"value\", once each" },
    { "v", "{\"type\":\"i\",\"type\":\"i\",\"value\":1}", "once each" },
    { "v", "{\"value\":1,\"value\":1,\"type\":\"i\"}", "once each" },
    { "v", "{\"type\":\"a*\",\"value\":[]}", "expected a definite GVariant type" },
    { "v", "{\"type\":\"(\",\"value\":[]}", "expected a definite GVariant type" },
    { "v", "{\"type\":\"\",\"value\":[]}", "expected a definite GVariant type" },
    { "v", "{\"value\":\"x\",\"type\":\"i\"}",
      "expected an integer from -2147483648 to 2147483647 at byte 9" },
    { "v", "{\"value\":[1,],\"type\":\"ai\"}", "expected a value at byte 12" },
    { "i", "/* */1", "expected an integer" },
    { "i",
      "\xef\xbb\xbf"
      "1",
      "found byte 0xef" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(GVariant) value =
          strand_json_to_variant (cases[i].json, -1, G_VARIANT_TYPE (cases[i].type), &error);

      if (value != NULL || strstr (error->message, cases[i].message) == NULL)
        g_test_message ("%s as %s: %s", cases[i].json, cases[i].type,
                        error != NULL ? error->message : "accepted");
      g_assert_null (value);
      g_assert_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT);
      g_assert_nonnull (strstr (error->message, cases[i].message));
    }
}

static void
test_a_nul_in_the_text_is_no_end (void)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) value = strand_json_to_variant ("1\0"
                                                       "2",
                                                       3, G_VARIANT_TYPE_INT32, &error);

  g_assert_null (value);
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT);
  g_assert_nonnull (strstr (error->message, "byte 1, found byte 0x00"));
}

static void
test_nothing_is_read_beyond_the_length (void)
{
  g_autoptr(GVariant) value = strand_json_to_variant ("[1,23]", 4, G_VARIANT_TYPE ("ai"), NULL);
  g_autoptr(GVariant) number = strand_json_to_variant ("123", 2, G_VARIANT_TYPE_INT32, NULL);
  g_autoptr(GVariant) empty = strand_json_to_variant (NULL, 0, G_VARIANT_TYPE_INT32, NULL);

  g_assert_null (value);
  g_assert_null (empty);
  g_assert_cmpint (g_variant_get_int32 (number), ==, 12);
}

static void
test_every_double_is_exact (void)
{
  for (int i = 0; i < 20000; i++)
    {
      union
      {
        guint64 bits;
        double real;
      } any;
      g_autoptr(GVariant) value = NULL;

      any.bits = (guint64) (guint32) g_test_rand_int () << 32 | (guint32) g_test_rand_int ();
      value = g_variant_ref_sink (g_variant_new_double (any.real));
      assert_round_trip (value);
    }
}

static void
test_every_character_is_exact (void)
{
  for (gunichar c = 1; c < 0x110000; c += c < 0x3000 ? 1 : 97)
    {
      char text[8 + 6 + 9] = "01234567";
      g_autoptr(GVariant) value = NULL;

      if (c >= 0xd800 && c < 0xe000)
        continue;
      /* At each place of the eight bytes that are looked at together. */
      strcpy (text + c % 8 + g_unichar_to_utf8 (c, text + c % 8), "89abcdef");
      value = g_variant_ref_sink (g_variant_new_string (text));
      assert_round_trip (value);
    }
}

static void
test_random_values_survive (void)
{
  for (int i = 0; i < 4000; i++)
    {
      g_autoptr(GVariantType) type = random_type (1 + i % 6);
      g_autoptr(GVariant) value = random_value (type, 6);

      assert_round_trip (value);
    }
}

/* @what around each basic type. */
static void
survive_in (const char *format, int depth)
{
  for (const char *basic = "bynqiuxthdsogv"; *basic != '\0'; basic++)
    {
      g_autoptr(GString) type = g_string_new (NULL);
      g_autoptr(GVariant) value = NULL;

      for (int i = 0; i < depth; i++)
        g_string_append_len (type, format, (gssize) strcspn (format, "*"));
      g_string_append_c (type, *basic);
      for (int i = 0; i < depth; i++)
        g_string_append (type, strchr (format, '*') + 1);
      value = random_value (G_VARIANT_TYPE (type->str), 3);
      assert_round_trip (value);
    }
}

static void
test_each_container_of_each_type_survives (void)
{
  static const char *const containers[] = { "*",     "a*",   "m*",  "(*)", "(s*y)", "a{s*}", "a{t*}",
                                            "a{d*}", "{s*}", "am*", "ma*", "mm*",   "aa*",   "a(*)" };

  for (gsize i = 0; i < G_N_ELEMENTS (containers); i++)
    for (int depth = 1; depth <= 4; depth++)
      survive_in (containers[i], depth);
}

/* @depth variants around a number. */
static GVariant *
nested_variant (int depth)
{
  GVariant *value = g_variant_new_int32 (1);

  for (int i = 0; i < depth; i++)
    value = g_variant_new_variant (value);
  return g_variant_ref_sink (value);
}

static void
test_depth_ends_where_it_is_said_to (void)
{
  g_autoptr(GVariant) deepest = nested_variant (STRAND_JSON_MAX_DEPTH);
  g_autoptr(GVariant) too_deep = nested_variant (STRAND_JSON_MAX_DEPTH + 1);
  g_autoptr(GString) json = g_string_new ("before");
  g_autofree char *text = to_json (deepest);
  g_autofree char *deeper = g_strdup_printf ("{\"type\":\"v\",\"value\":%s}", text);
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) read = strand_json_to_variant (deeper, -1, G_VARIANT_TYPE_VARIANT, &error);

  assert_round_trip (deepest);
  g_assert_null (read);
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT);
  g_assert_nonnull (strstr (error->message, "at most 128 nested"));
  g_assert_false (strand_json_append_variant (json, too_deep));
  g_assert_cmpstr (json->str, ==, "before");
}

static void
test_the_deepest_type_survives (void)
{
  g_autoptr(GString) type = g_string_new (NULL);
  g_autoptr(GVariant) value = NULL;

  while (type->len < 300)
    {
      g_autofree char *longer = g_strdup_printf ("m%ss", type->str);

      if (!g_variant_type_string_is_valid (longer))
        break;
      g_string_append_c (type, 'm');
    }
  g_assert_cmpuint (type->len, >, 100);
  g_string_append_c (type, 's');

  value = g_variant_new_string ("x");
  for (gsize i = type->len - 1; i > 0; i--)
    value = g_variant_new_maybe (NULL, value);
  g_variant_ref_sink (value);
  g_assert_cmpstr (g_variant_get_type_string (value), ==, type->str);
  assert_round_trip (value);
}

static void
test_200000_brackets_are_an_error (void)
{
  static const char *const openings[] = { "[", "{\"a\":", "{\"value\":", "{\"type\":\"v\",\"value\":",
                                          "[[\"a\"," };
  static const char *const types[] = { "v", "av", "a{sv}", "aav", "(v)", "mv" };

  for (gsize i = 0; i < G_N_ELEMENTS (openings); i++)
    {
      g_autoptr(GString) json = g_string_new (NULL);

      for (int depth = 0; depth < 200000; depth++)
        g_string_append (json, openings[i]);
      for (gsize j = 0; j < G_N_ELEMENTS (types); j++)
        {
          g_autoptr(GError) error = NULL;
          g_autoptr(GVariant) value =
              strand_json_to_variant (json->str, -1, G_VARIANT_TYPE (types[j]), &error);

          g_assert_null (value);
          g_assert_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT);
        }
    }
}

/* A type of 100 000 letters, and as many empty arrays of it: quick only if the type is not walked for each.
 */
static void
test_long_types_are_not_walked_again_and_again (void)
{
  g_autofree char *letters = g_strnfill (100000, 'i');
  g_autoptr(GString) json = g_string_new (NULL);
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GVariant) inner = NULL;

  g_string_append_printf (json, "{\"type\":\"a(sa(%s))\",\"value\":[", letters);
  for (int i = 0; i < 100000; i++)
    g_string_append (json, i == 0 ? "[\"\",[]]" : ",[\"\",[]]");
  g_string_append (json, "]}");

  value = strand_json_to_variant (json->str, -1, G_VARIANT_TYPE_VARIANT, &error);
  g_assert_no_error (error);
  inner = g_variant_get_variant (value);
  g_assert_cmpuint (g_variant_n_children (inner), ==, 100000);
}

static void
test_long_and_short_types_mix (void)
{
  for (int i = 0; i < 60; i++)
    {
      g_autoptr(GString) type = g_string_new ("(");
      g_autoptr(GVariant) value = NULL;

      while (type->len < 120)
        {
          g_autoptr(GVariantType) member = random_type (3);

          g_string_append_len (type, g_variant_type_peek_string (member),
                               (gssize) g_variant_type_get_string_length (member));
        }
      g_string_append (type, "vav)");
      value = random_value (G_VARIANT_TYPE (type->str), 3);
      assert_round_trip (value);
    }
}

static void
test_damaged_text_never_harms (void)
{
  for (int i = 0; i < 400; i++)
    {
      g_autoptr(GVariantType) type = random_type (4);
      g_autoptr(GVariant) value = random_value (type, 4);
      g_autofree char *json = to_json (value);
      gsize length = strlen (json);

      for (int j = 0; j < 40 && length > 0; j++)
        {
          /* A copy of the exact size, so that a sanitizer sees the first byte too many. */
          gsize kept = j % 2 == 0 ? length : (gsize) g_test_rand_int_range (0, (gint32) length);
          g_autofree char *damaged = g_memdup2 (json, kept);
          g_autoptr(GVariant) read = NULL;
          g_autoptr(GError) error = NULL;

          if (kept > 0)
            damaged[g_test_rand_int_range (0, (gint32) kept)] = (char) g_test_rand_int_range (0, 256);
          read = strand_json_to_variant (damaged, (gssize) kept, type, &error);
          g_assert_true ((read == NULL) == (error != NULL));
          if (read != NULL)
            g_assert_true (g_variant_is_normal_form (read));
        }
    }
}

static void
test_the_locale_changes_nothing (void)
{
  g_autoptr(GVariant) value = g_variant_ref_sink (g_variant_new_double (1234.5));
  g_autofree char *json = NULL;
  g_autofree char *before = g_strdup (setlocale (LC_NUMERIC, NULL));

  if (setlocale (LC_NUMERIC, "de_DE.UTF-8") == NULL)
    {
      g_test_skip ("the locale de_DE.UTF-8 is not installed");
      return;
    }
  json = to_json (value);
  assert_round_trip (value);
  setlocale (LC_NUMERIC, before);
  g_assert_cmpstr (json, ==, "1234.5");
}

static void
test_strings_that_are_not_utf8_are_mended (void)
{
  g_autoptr(GString) json = g_string_new (NULL);

  strand_json_append_string (json, "a\xff\"b");
  strand_json_append_string (json, NULL);
  g_assert_cmpstr (json->str, ==, "\"a\uFFFD\\\"b\"null");
}

static void
test_damaged_gvariants_are_written_as_glib_reads_them (void)
{
  g_autoptr(GBytes) bytes = g_bytes_new_static ("\1\2\3", 3);
  g_autoptr(GVariant) value =
      g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE ("x"), bytes, FALSE));
  g_autoptr(GVariant) tuple =
      g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE ("(xsv)"), bytes, FALSE));
  g_autofree char *number = to_json (value);
  g_autofree char *whole = to_json (tuple);

  g_assert_cmpstr (number, ==, "0");
  g_assert_cmpstr (whole, ==, "[0,\"\",{\"type\":\"()\",\"value\":[]}]");
}

#define ADD(name, function) g_test_add_func ("/json/" name, function)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);

  ADD ("write/each-type-has-its-documented-form", test_each_type_has_its_documented_form);
  ADD ("write/strings-that-are-not-utf8-are-mended", test_strings_that_are_not_utf8_are_mended);
  ADD ("write/damaged-gvariants-are-written-as-glib-reads-them",
       test_damaged_gvariants_are_written_as_glib_reads_them);
  ADD ("write/the-locale-changes-nothing", test_the_locale_changes_nothing);
  ADD ("read/reads-what-others-write", test_reads_what_others_write);
  ADD ("read/refusals-say-where-and-what", test_refusals_say_where_and_what);
  ADD ("read/a-nul-in-the-text-is-no-end", test_a_nul_in_the_text_is_no_end);
  ADD ("read/nothing-is-read-beyond-the-length", test_nothing_is_read_beyond_the_length);
  ADD ("read/200000-brackets-are-an-error", test_200000_brackets_are_an_error);
  ADD ("read/long-types-are-not-walked-again-and-again", test_long_types_are_not_walked_again_and_again);
  ADD ("exact/long-and-short-types-mix", test_long_and_short_types_mix);
  ADD ("read/damaged-text-never-harms", test_damaged_text_never_harms);
  ADD ("exact/every-double-is-exact", test_every_double_is_exact);
  ADD ("exact/every-character-is-exact", test_every_character_is_exact);
  ADD ("exact/each-container-of-each-type-survives", test_each_container_of_each_type_survives);
  ADD ("exact/random-values-survive", test_random_values_survive);
  ADD ("depth/ends-where-it-is-said-to", test_depth_ends_where_it_is_said_to);
  ADD ("depth/the-deepest-type-survives", test_the_deepest_type_survives);

  return g_test_run ();
}
