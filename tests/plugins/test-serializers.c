/* test-serializers.c — what every serializer promises, what each promises beyond it, and what stands between
 * them and their callers. SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include <strand-plugin.h>

#include <string.h>

#include "../../sdk/conformance/random-variant.h"

static StrandSerializer *
load (const char *type)
{
  g_autoptr(GError) error = NULL;
  GType gtype = strand_plugins_load (strand_plugins_get_default (), STRAND_KIND_SERIALIZER, type, &error);

  g_assert_no_error (error);
  return g_object_new (gtype, NULL);
}

static void
assert_round_trip (StrandSerializer *serializer, GVariant *value)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GBytes) bytes = strand_serializer_serialize (serializer, value, &error);
  g_autoptr(GVariant) again = NULL;

  g_assert_no_error (error);
  again = strand_serializer_deserialize (serializer, bytes, g_variant_get_type (value), &error);
  g_assert_no_error (error);
  g_assert_false (g_variant_is_floating (again));
  g_assert_cmpvariant (again, value);
}

static GVariant *
nested_variant (int depth)
{
  GVariant *value = g_variant_new_int32 (1);

  for (int i = 0; i < depth; i++)
    value = g_variant_new_variant (value);
  return g_variant_ref_sink (value);
}

static void
test_random_values_survive (gconstpointer type)
{
  g_autoptr(StrandSerializer) serializer = load (type);

  for (int i = 0; i < 2000; i++)
    {
      g_autoptr(GVariantType) value_type = random_type (1 + i % 6);
      g_autoptr(GVariant) value = random_value (value_type, 6);

      assert_round_trip (serializer, value);
    }
}

static void
test_limits_survive (gconstpointer type)
{
  static const char *const values[] = {
    "1e308",
    "inf",
    "-inf",
    "nan",
    "-0.0",
    "1e-300",
    "int64 -9223372036854775808",
    "uint64 18446744073709551615",
    "@ay []",
    "()",
    "@a{sv} {}",
    "@as []",
    "@mmms just nothing",
    "''",
    "<<<()>>>",
    "{'a': 1, 'a': 2}",
    "[(byte 1, true)]",
  };
  g_autoptr(StrandSerializer) serializer = load (type);

  for (gsize i = 0; i < G_N_ELEMENTS (values); i++)
    {
      g_autoptr(GVariant) value = g_variant_ref_sink (g_variant_new_parsed (values[i]));

      assert_round_trip (serializer, value);
    }
}

static void
test_damaged_bytes_never_harm (gconstpointer type)
{
  g_autoptr(StrandSerializer) serializer = load (type);

  for (int i = 0; i < 300; i++)
    {
      g_autoptr(GVariantType) value_type = random_type (4);
      g_autoptr(GVariant) value = random_value (value_type, 4);
      g_autoptr(GBytes) bytes = strand_serializer_serialize (serializer, value, NULL);
      gsize size = g_bytes_get_size (bytes);

      for (int j = 0; j < 40 && size > 0; j++)
        {
          gsize kept = j % 2 == 0 ? size : (gsize) g_test_rand_int_range (0, (gint32) size);
          char *damaged = g_memdup2 (g_bytes_get_data (bytes, NULL), kept);
          g_autoptr(GBytes) given = NULL;
          g_autoptr(GError) error = NULL;
          g_autoptr(GVariant) read = NULL;

          if (kept > 0)
            damaged[g_test_rand_int_range (0, (gint32) kept)] = (char) g_test_rand_int_range (0, 256);
          given = g_bytes_new_take (damaged, kept);
          read = strand_serializer_deserialize (serializer, given, value_type, &error);
          if (read == NULL)
            g_assert_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT);
          else
            g_assert_true (g_variant_is_normal_form (read));
        }
    }
}

static void
test_another_type_is_refused_with_its_name (gconstpointer type)
{
  g_autoptr(StrandSerializer) serializer = load (type);
  g_autoptr(GBytes) bytes = strand_serializer_serialize (serializer, g_variant_new ("(is)", 7, "x"), NULL);
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) read = strand_serializer_deserialize (serializer, bytes, G_VARIANT_TYPE ("x"), &error);

  g_assert_null (read);
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT);
  g_assert_true (g_str_has_prefix (error->message, "Could not read a value of type 'x' from "));
}

static void
test_what_could_not_be_read_is_not_written (gconstpointer type)
{
  g_autoptr(StrandSerializer) serializer = load (type);
  g_autoptr(GVariant) deep = nested_variant (100);
  g_autoptr(GVariant) too_deep = nested_variant (200);
  g_autoptr(GError) error = NULL;
  g_autoptr(GBytes) bytes = strand_serializer_serialize (serializer, too_deep, &error);

  g_assert_null (bytes);
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_TOO_LARGE);
  assert_round_trip (serializer, deep);
}

static void
test_json_is_the_documented_text (void)
{
  g_autoptr(StrandSerializer) serializer = load ("json");
  g_autoptr(GBytes) bytes =
      strand_serializer_serialize (serializer, g_variant_new_parsed ("(1.5, {'a': <'b'>})"), NULL);

  g_assert_cmpmem (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes),
                   "[1.5,{\"a\":{\"type\":\"s\",\"value\":\"b\"}}]", 36);
}

static void
test_json_says_where_it_is_wrong (void)
{
  g_autoptr(StrandSerializer) serializer = load ("json");
  g_autoptr(GBytes) bytes = g_bytes_new_static ("[1,x]", 5);
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) read =
      strand_serializer_deserialize (serializer, bytes, G_VARIANT_TYPE ("(ib)"), &error);

  g_assert_null (read);
  g_assert_cmpstr (
      error->message, ==,
      "Could not read a value of type '(ib)' from JSON: expected true or false at byte 3, found 'x'");
}

static void
test_gvariant_is_little_endian (void)
{
  g_autoptr(StrandSerializer) serializer = load ("gvariant");
  g_autoptr(GBytes) bytes =
      strand_serializer_serialize (serializer, g_variant_new ("(ni)", 0x0102, 0x03040506), NULL);

  g_assert_cmpmem (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), "\2\1\0\0\6\5\4\3", 8);
}

static void
test_gvariant_reads_only_normal_form (void)
{
  static const struct
  {
    const char *type, *bytes;
    gsize size;
  } cases[] = {
    { "b", "\2", 1 }, /* neither FALSE nor TRUE */
    { "b", "", 0 },
    { "x", "\0\0\0\0\0\0\0", 7 },
    { "x", "\0\0\0\0\0\0\0\0\0", 9 },
    { "()", "", 0 },
    { "()", "\1", 1 },
    { "(yi)", "\1\1\0\0\2\0\0\0", 8 }, /* padding that is not zero */
    { "s", "a", 1 },                   /* no NUL at the end */
    { "s", "", 0 },
    { "s", "a\0b\0", 4 },
    { "s", "\xff\0", 2 },
    { "o", "a\0", 2 },
    { "g", "!\0", 2 },
    { "as", "a\0\7", 3 }, /* an offset beyond the end */
    { "v", "\1i", 2 },    /* no type after the value */
    { "v", "\1\0\0\0\0zz", 7 },
    { "mi", "\0\0\0", 3 },
  };
  g_autoptr(StrandSerializer) serializer = load ("gvariant");

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr(GBytes) bytes = g_bytes_new (cases[i].bytes, cases[i].size);
      g_autoptr(GError) error = NULL;
      g_autoptr(GVariant) read =
          strand_serializer_deserialize (serializer, bytes, G_VARIANT_TYPE (cases[i].type), &error);

      if (read != NULL)
        g_test_message ("case %" G_GSIZE_FORMAT " of type %s was accepted", i, cases[i].type);
      g_assert_null (read);
      g_assert_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT);
    }
}

static void
test_gvariant_reads_bytes_at_any_address (void)
{
  g_autoptr(StrandSerializer) serializer = load ("gvariant");
  g_autoptr(GVariant) value =
      g_variant_ref_sink (g_variant_new_parsed ("({'a': <uint64 1>}, [1.5, 2.5], int16 3)"));
  g_autoptr(GBytes) bytes = strand_serializer_serialize (serializer, value, NULL);
  gsize size = g_bytes_get_size (bytes);
  g_autofree char *copy = g_malloc (size + 8);

  for (int shift = 0; shift < 8; shift++)
    {
      g_autoptr(GBytes) shifted = NULL;
      g_autoptr(GVariant) read = NULL;

      memcpy (copy + shift, g_bytes_get_data (bytes, NULL), size);
      shifted = g_bytes_new_static (copy + shift, size);
      read = strand_serializer_deserialize (serializer, shifted, g_variant_get_type (value), NULL);
      g_assert_cmpvariant (read, value);
    }
}

/* A serializer that does everything a plugin can do wrong, one at a time. */
typedef enum
{
  SILENT,            /* fails without an error */
  WRONG_TYPE,        /* gives a value of another type */
  FLOATING,          /* gives a floating value */
  ERROR_AND_SUCCESS, /* gives a value and an error */
} Fault;

#define TYPE_FAULTY (faulty_get_type ())
G_DECLARE_FINAL_TYPE (Faulty, faulty, TEST, FAULTY, GObject)

struct _Faulty
{
  GObject parent_instance;
  Fault fault;
};

static GBytes *
faulty_serialize (StrandSerializer *serializer, GVariant *value, GError **error)
{
  g_assert_false (g_variant_is_floating (value));
  if (TEST_FAULTY (serializer)->fault != ERROR_AND_SUCCESS)
    return NULL;
  g_set_error_literal (error, STRAND_ERROR, STRAND_ERROR_FAILED, "not really");
  return g_bytes_new_static ("x", 1);
}

static GVariant *
faulty_deserialize (StrandSerializer *serializer, GBytes *bytes, const GVariantType *type, GError **error)
{
  switch (TEST_FAULTY (serializer)->fault)
    {
    case SILENT:
      return NULL;
    case WRONG_TYPE:
      return g_variant_new_boolean (TRUE);
    case FLOATING:
      return g_variant_new_int32 (5);
    default:
      g_set_error_literal (error, STRAND_ERROR, STRAND_ERROR_FAILED, "not really");
      return g_variant_ref_sink (g_variant_new_int32 (5));
    }
}

static void
faulty_iface_init (StrandSerializerInterface *iface)
{
  iface->serialize = faulty_serialize;
  iface->deserialize = faulty_deserialize;
}

G_DEFINE_FINAL_TYPE_WITH_CODE (Faulty, faulty, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_SERIALIZER, faulty_iface_init))

static void
faulty_class_init (FaultyClass *klass)
{
}

static void
faulty_init (Faulty *self)
{
}

static StrandSerializer *
new_faulty (Fault fault)
{
  Faulty *self = g_object_new (TYPE_FAULTY, NULL);

  self->fault = fault;
  return STRAND_SERIALIZER (self);
}

static void
test_a_silent_failure_gets_an_error (void)
{
  g_autoptr(StrandSerializer) serializer = new_faulty (SILENT);
  g_autoptr(GBytes) some = g_bytes_new_static ("x", 1);
  g_autoptr(GError) write_error = NULL;
  g_autoptr(GError) read_error = NULL;

  g_assert_null (strand_serializer_serialize (serializer, g_variant_new_int32 (1), &write_error));
  g_assert_error (write_error, STRAND_ERROR, STRAND_ERROR_FAILED);
  g_assert_nonnull (strstr (write_error->message, "'Faulty' failed in serialize()"));
  g_assert_null (strand_serializer_deserialize (serializer, some, G_VARIANT_TYPE_INT32, &read_error));
  g_assert_error (read_error, STRAND_ERROR, STRAND_ERROR_FAILED);
  g_assert_null (strand_serializer_deserialize (serializer, some, G_VARIANT_TYPE_INT32, NULL));
}

static void
test_a_value_of_another_type_is_refused (void)
{
  g_autoptr(StrandSerializer) serializer = new_faulty (WRONG_TYPE);
  g_autoptr(GBytes) some = g_bytes_new_static ("x", 1);
  g_autoptr(GError) error = NULL;

  g_assert_null (strand_serializer_deserialize (serializer, some, G_VARIANT_TYPE_INT32, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT);
  g_assert_cmpstr (error->message, ==, "Serializer 'Faulty' made a value of type 'b', expected 'i'");
}

static void
test_callers_never_see_a_floating_value_or_a_stray_error (void)
{
  g_autoptr(StrandSerializer) floating = new_faulty (FLOATING);
  g_autoptr(StrandSerializer) both = new_faulty (ERROR_AND_SUCCESS);
  g_autoptr(GBytes) some = g_bytes_new_static ("x", 1);
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) first = strand_serializer_deserialize (floating, some, G_VARIANT_TYPE_INT32, &error);
  g_autoptr(GVariant) second = NULL;
  g_autoptr(GBytes) written = NULL;

  g_assert_no_error (error);
  g_assert_false (g_variant_is_floating (first));
  second = strand_serializer_deserialize (both, some, G_VARIANT_TYPE_INT32, &error);
  g_assert_no_error (error);
  g_assert_nonnull (second);
  written = strand_serializer_serialize (both, second, &error);
  g_assert_no_error (error);
  g_assert_nonnull (written);
}

static void
add_for (const char *type, const char *name, GTestDataFunc function)
{
  g_autofree char *path = g_strdup_printf ("/%s-serializer/contract/%s", type, name);

  g_test_add_data_func (path, type, function);
}

#define ADD(name, function) g_test_add_func (name, function)

int
main (int argc, char **argv)
{
  const char *types[] = { "json", "gvariant", NULL };
  g_autofree char *examples = NULL;

  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  examples = g_test_build_filename (G_TEST_BUILT, "..", "sdk", "examples", NULL);
  strand_plugins_add_path (strand_plugins_get_default (), examples);
  /* The example is built where its library is. */
  if (strand_plugins_has (strand_plugins_get_default (), STRAND_KIND_SERIALIZER, "cbor", NULL))
    types[2] = "cbor";

  for (gsize i = 0; i < G_N_ELEMENTS (types) && types[i] != NULL; i++)
    {
      add_for (types[i], "random-values-survive", test_random_values_survive);
      add_for (types[i], "limits-survive", test_limits_survive);
      add_for (types[i], "damaged-bytes-never-harm", test_damaged_bytes_never_harm);
      add_for (types[i], "another-type-is-refused-with-its-name", test_another_type_is_refused_with_its_name);
      add_for (types[i], "what-could-not-be-read-is-not-written", test_what_could_not_be_read_is_not_written);
    }
  ADD ("/json-serializer/is-the-documented-text", test_json_is_the_documented_text);
  ADD ("/json-serializer/says-where-it-is-wrong", test_json_says_where_it_is_wrong);
  ADD ("/gvariant-serializer/is-little-endian", test_gvariant_is_little_endian);
  ADD ("/gvariant-serializer/reads-only-normal-form", test_gvariant_reads_only_normal_form);
  ADD ("/gvariant-serializer/reads-bytes-at-any-address", test_gvariant_reads_bytes_at_any_address);
  ADD ("/serializer/a-silent-failure-gets-an-error", test_a_silent_failure_gets_an_error);
  ADD ("/serializer/a-value-of-another-type-is-refused", test_a_value_of_another_type_is_refused);
  ADD ("/serializer/callers-never-see-a-floating-value-or-a-stray-error",
       test_callers_never_see_a_floating_value_or_a_stray_error);

  return g_test_run ();
}
