/* test-function.c — what a signature may say, and how arguments are folded into it.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "strand-plugin.h"

#include <string.h>

static GVariant *
nothing (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  return NULL;
}

static StrandFunction *
make (const char *signature)
{
  g_autoptr(GError) error = NULL;
  StrandFunction *function =
      strand_function_new ("test.f", signature, NULL, STRAND_TRAIT_NONE, nothing, NULL, NULL, &error);

  g_assert_no_error (error);
  return function;
}

static const struct
{
  const char *signature;
  const char *parameters;
  const char *result; /* NULL: none */
  const char *again;  /* as it is written back */
} good[] = {
  { "", "()", NULL, "" },
  { "a:x b:x -> x", "(xx)", "x", "a:x b:x -> x" },
  { "  a:x\tb:x  ->  x ", "(xx)", "x", "a:x b:x -> x" },
  { "-> s", "()", "s", "-> s" },
  { "-> object", "()", NULL, "-> object" },
  { "path:ay", "(ay)", NULL, "path:ay" },
  { "a:(s(ii)) rest:a{sv} -> a{s(tt)}", "((s(ii))a{sv})", "a{s(tt)}", "a:(s(ii)) rest:a{sv} -> a{s(tt)}" },
  { "snake_case:v", "(v)", NULL, "snake_case:v" },
};

static void
test_signature_is_read_and_written_back (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (good); i++)
    {
      g_autoptr(StrandFunction) function = make (good[i].signature);
      const GVariantType *result = strand_function_get_result_type (function);
      g_autofree char *parameters = g_variant_type_dup_string (strand_function_get_parameter_type (function));
      g_autofree char *result_text = result != NULL ? g_variant_type_dup_string (result) : NULL;
      g_autofree char *again = strand_function_dup_signature (function);

      g_assert_cmpstr (parameters, ==, good[i].parameters);
      g_assert_cmpstr (result_text, ==, good[i].result);
      g_assert_cmpstr (again, ==, good[i].again);
    }
}

static void
test_names_are_in_order (void)
{
  g_autoptr(StrandFunction) function = make ("one:x two:s three:a{sv} -> object");
  const char *const *names = strand_function_get_parameter_names (function);

  g_assert_cmpuint (g_strv_length ((char **) names), ==, 3);
  g_assert_cmpstr (names[0], ==, "one");
  g_assert_cmpstr (names[2], ==, "three");
  g_assert_true (strand_function_returns_object (function));
}

static void
test_bad_signature_is_an_error (void)
{
  static const char *const bad[] = {
    "a",         /* no type */
    "a:",        /* empty type */
    ":x",        /* no name */
    "a:?",       /* indefinite */
    "a:*",       /* indefinite */
    "a:xx",      /* two types */
    "a:x a:s",   /* a name twice */
    "a:x ->",    /* no result */
    "a:x -> ",   /* no result */
    "-> x y",    /* two results */
    "-> x -> y", /* two arrows */
    "a:x -> nonsense",
    "1a:x",     /* a name begins with a letter */
    "a b:x",    /* a name without type */
    "a:x, b:x", /* no comma */
  };

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(StrandFunction) function =
          strand_function_new ("test.f", bad[i], NULL, STRAND_TRAIT_NONE, nothing, NULL, NULL, &error);

      if (function != NULL)
        g_error ("'%s' was taken for a signature", bad[i]);
      g_assert_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT);
      g_assert_nonnull (strstr (error->message, "'test.f'"));
    }
}

/* Alone such a type is one; the tuple of all arguments would be a level deeper. */
static void
test_too_deep_parameter_is_an_error (void)
{
  for (gsize depth = 1; depth <= 130; depth++)
    {
      g_autofree char *arrays = g_strnfill (depth, 'a');
      g_autofree char *signature = g_strconcat ("a:", arrays, "y", NULL);
      g_autoptr(GError) error = NULL;
      g_autoptr(StrandFunction) function =
          strand_function_new ("test.f", signature, NULL, STRAND_TRAIT_NONE, nothing, NULL, NULL, &error);

      g_assert_cmpint (function != NULL, ==, depth <= 127);
      if (function == NULL)
        g_assert_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT);
    }
}

static void
test_bad_name_is_an_error (void)
{
  static const char *const bad[] = { "", "1x", ".x", "a b", "a/b", "ä", "a\n", "-x" };

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(StrandFunction) function =
          strand_function_new (bad[i], "", NULL, STRAND_TRAIT_NONE, nothing, NULL, NULL, &error);

      if (function != NULL)
        g_error ("'%s' was taken for a name", bad[i]);
      g_assert_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT);
    }
}

static void
count_up (gpointer data)
{
  ++*(int *) data;
}

static void
test_data_goes_with_the_function (void)
{
  int n_destroyed = 0;
  g_autoptr(GError) error = NULL;
  StrandFunction *function = strand_function_new ("test.f", "", "Help", STRAND_TRAIT_NOT_PORTABLE, nothing,
                                                  &n_destroyed, count_up, &error);

  g_assert_no_error (error);
  g_assert_cmpstr (strand_function_get_name (function), ==, "test.f");
  g_assert_cmpstr (strand_function_get_help (function), ==, "Help");
  g_assert_cmpint (strand_function_get_traits (function), ==, STRAND_TRAIT_NOT_PORTABLE);
  strand_function_ref (function);
  strand_function_unref (function);
  g_assert_cmpint (n_destroyed, ==, 0);
  strand_function_unref (function);
  g_assert_cmpint (n_destroyed, ==, 1);
}

/* Binding: texts of both parts, and the text of what comes out, or what the message has to name. */

static const struct
{
  const char *signature;
  const char *positional; /* NULL: none */
  const char *keywords;   /* NULL: none */
  const char *bound;      /* NULL: an error */
  const char *names;
} bindings[] = {
  { "a:x b:s", "(int64 1, 'two')", NULL, "(int64 1, 'two')", NULL },
  { "a:x b:s", "(int64 1,)", "{'b': <'two'>}", "(int64 1, 'two')", NULL },
  { "a:x b:s", NULL, "{'b': <'two'>, 'a': <int64 1>}", "(int64 1, 'two')", NULL },
  { "a:x b:s", "()", "{'b': <'two'>, 'a': <int64 1>}", "(int64 1, 'two')", NULL },
  { "", NULL, NULL, "()", NULL },
  { "", NULL, "@a{sv} {}", "()", NULL },
  { "a:x rest:a{sv}", "(int64 1,)", NULL, "(int64 1, @a{sv} {})", NULL },
  { "a:x rest:a{sv}", "(int64 1,)", "{'c': <'d'>}", "(int64 1, {'c': <'d'>})", NULL },
  { "a:x rest:a{sv}", NULL, "{'c': <'d'>, 'a': <int64 1>}", "(int64 1, {'c': <'d'>})", NULL },
  { "rest:a{sv}", "({'c': <'d'>},)", NULL, "({'c': <'d'>},)", NULL },
  { "v:v", NULL, "{'v': <<int64 1>>}", "(<int64 1>,)", NULL },

  { "a:x b:s", "(int64 1,)", NULL, NULL, "'b'" },                               /* too few */
  { "a:x b:s", "(int64 1, 'two', 'three')", NULL, NULL, "3" },                  /* too many */
  { "a:x b:s", "(int32 1, 'two')", NULL, NULL, "'a'" },                         /* of another type */
  { "a:x b:s", "(int64 1,)", "{'b': <int64 2>}", NULL, "'b'" },                 /* of another type, by name */
  { "a:x b:s", "(int64 1, 'two')", "{'c': <'three'>}", NULL, "'c'" },           /* unknown */
  { "a:x b:s", "(int64 1, 'two')", "{'b': <'three'>}", NULL, "'b'" },           /* by place and by name */
  { "a:x b:s", NULL, "{'a': <int64 1>, 'b': <'x'>, 'b': <'y'>}", NULL, "'b'" }, /* by name, twice */
  { "rest:a{sv}", NULL, "{'c': <'x'>, 'c': <'y'>}", NULL, "'c'" },
  { "rest:a{sv}", "({'c': <'x'>},)", "{'d': <'y'>}", NULL, "'rest'" }, /* whole and in parts */
  { "list:aa{sv}", "(@aa{sv} [],)", "{'c': <'x'>}", NULL,
    "'c'" }, /* takes no keywords, though its type ends so */
  { "", "(int64 1,)", NULL, NULL, "too many" },
};

static GVariant *
parse (const char *text, const char *type)
{
  g_autoptr(GError) error = NULL;
  GVariant *value;

  if (text == NULL)
    return NULL;
  value = g_variant_parse (type != NULL ? G_VARIANT_TYPE (type) : NULL, text, NULL, NULL, &error);
  g_assert_no_error (error);
  return value;
}

static void
test_binding (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (bindings); i++)
    {
      g_autoptr(StrandFunction) function = make (bindings[i].signature);
      g_autoptr(GVariant) positional = parse (bindings[i].positional, NULL);
      g_autoptr(GVariant) keywords = parse (bindings[i].keywords, "a{sv}");
      g_autoptr(GVariant) expected = parse (bindings[i].bound, NULL);
      g_autoptr(GError) error = NULL;
      g_autoptr(GVariant) bound = strand_function_bind (function, positional, keywords, &error);

      g_test_message ("%u: %s", i, error != NULL ? error->message : "bound");
      if (expected != NULL)
        {
          g_assert_no_error (error);
          g_assert_false (g_variant_is_floating (bound));
          g_assert_cmpvariant (bound, expected);
          continue;
        }
      g_assert_null (bound);
      g_assert_error (error, STRAND_ERROR, STRAND_ERROR_TYPE);
      g_assert_nonnull (strstr (error->message, "'test.f'"));
      g_assert_nonnull (strstr (error->message, bindings[i].names));
    }
}

static void
test_unknown_keyword_is_guessed (void)
{
  g_autoptr(StrandFunction) function = make ("width:i height:i");
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) bound =
      strand_function_bind (function, NULL, g_variant_new_parsed ("{'width': <1>, 'heigth': <2>}"), &error);

  g_assert_null (bound);
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_TYPE);
  g_assert_nonnull (strstr (error->message, "'heigth'"));
  g_assert_nonnull (strstr (error->message, "'height'"));
}

/* An error must not forget what was floating. */
static void
test_floating_arguments_are_consumed (void)
{
  g_autoptr(StrandFunction) function = make ("a:s");
  GVariant *positional = g_variant_ref_sink (g_variant_new ("(s)", "x"));
  GVariant *wrong = g_variant_new ("(i)", 1);
  g_autoptr(GError) error = NULL;
  GVariant *bound = strand_function_bind (function, positional, NULL, &error);

  g_assert_no_error (error);
  g_variant_unref (bound);
  g_variant_unref (positional);
  g_assert_null (strand_function_bind (function, wrong, NULL, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_TYPE);
}

/* The registry. */

static void
test_registry_finds_by_name (void)
{
  g_autoptr(StrandRegistry) registry = strand_registry_new ();
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandFunction) found = NULL;
  g_autoptr(GPtrArray) list = NULL;

  g_assert_true (strand_registry_add (registry, "b.two", "", NULL, nothing, NULL, NULL, &error));
  g_assert_true (strand_registry_add (registry, "a.one", "x:i", "Help", nothing, NULL, NULL, &error));
  g_assert_no_error (error);

  found = strand_registry_lookup (registry, "a.one", &error);
  g_assert_no_error (error);
  g_assert_cmpstr (strand_function_get_help (found), ==, "Help");
  list = strand_registry_list (registry);
  g_assert_cmpuint (list->len, ==, 2);
  g_assert_cmpstr (strand_function_get_name (g_ptr_array_index (list, 0)), ==, "a.one");

  g_assert_null (strand_registry_lookup (registry, "a.on", &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_UNKNOWN_FUNCTION);
  g_assert_nonnull (strstr (error->message, "'a.on'"));
  g_assert_nonnull (strstr (error->message, "'a.one'"));
}

static void
test_registry_keeps_the_first_of_a_name (void)
{
  g_autoptr(StrandRegistry) registry = strand_registry_new ();
  g_autoptr(GError) error = NULL;
  int n_destroyed = 0;

  g_assert_true (strand_registry_add (registry, "a.one", "", "first", nothing, NULL, NULL, &error));
  g_assert_false (
      strand_registry_add (registry, "a.one", "", "second", nothing, &n_destroyed, count_up, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_EXISTS);
  g_assert_cmpint (n_destroyed, ==, 1);
  g_clear_error (&error);

  g_assert_false (
      strand_registry_add (registry, "bad name", "", NULL, nothing, &n_destroyed, count_up, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT);
  g_assert_cmpint (n_destroyed, ==, 2);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);

  g_test_add_func ("/function/signature-is-read-and-written-back", test_signature_is_read_and_written_back);
  g_test_add_func ("/function/names-are-in-order", test_names_are_in_order);
  g_test_add_func ("/function/bad-signature-is-an-error", test_bad_signature_is_an_error);
  g_test_add_func ("/function/too-deep-parameter-is-an-error", test_too_deep_parameter_is_an_error);
  g_test_add_func ("/function/bad-name-is-an-error", test_bad_name_is_an_error);
  g_test_add_func ("/function/data-goes-with-the-function", test_data_goes_with_the_function);
  g_test_add_func ("/function/binding", test_binding);
  g_test_add_func ("/function/unknown-keyword-is-guessed", test_unknown_keyword_is_guessed);
  g_test_add_func ("/function/floating-arguments-are-consumed", test_floating_arguments_are_consumed);
  g_test_add_func ("/registry/finds-by-name", test_registry_finds_by_name);
  g_test_add_func ("/registry/keeps-the-first-of-a-name", test_registry_keeps_the_first_of_a_name);

  return g_test_run ();
}
