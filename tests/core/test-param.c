/* test-param.c — durations, sizes and near words, read as people write them. */

#include "strand.h"
#include "strand-plugin.h"

typedef struct
{
  const char *text;
  gint64 value;
} Good;

static const Good durations[] = {
  { "none", -1 },
  { "0", 0 },
  { "0s", 0 },
  { "1us", 1 },
  { "250ms", 250000 },
  { "30s", 30000000 },
  { "5min", 300000000 },
  { "1.5h", G_GINT64_CONSTANT (5400000000) },
  { "1h 30min", G_GINT64_CONSTANT (5400000000) },
  { "1h30min", G_GINT64_CONSTANT (5400000000) },
  { "2d", G_GINT64_CONSTANT (172800000000) },
  { "1w", G_GINT64_CONSTANT (604800000000) },
  { "0.1s", 100000 },
  { "0.000001s", 1 },
  { "1.50000000000000000000000000000s", 1500000 },
  { "5s  ", 5000000 },
  { "9223372036854775807us", G_MAXINT64 },
};

static const char *const bad_durations[] = {
  "",
  " ",
  "5",
  "s",
  "-5s",
  "+5s",
  "5 s",
  "5S",
  "5m",
  "12abc",
  "1.s",
  ".5s",
  "1e3s",
  "0x10s",
  "nan",
  "inf",
  "None",
  "5s none",
  "30min 1h",
  "1s 1s",
  "1.5us",
  "0.0000001s",
  "9223372036854775808us",
  "99999999999999999999s",
  "15250285w",
  "106751992d",
  "5s\n",
  "5s,",
  "1h  x",
  "\xff",
  "5\xff",
  "00000000000000000000001",
  "1000000000w 1us",
};

static const Good sizes[] = {
  { "none", -1 },
  { "0", 0 },
  { "512", 512 },
  { "512B", 512 },
  { "64KiB", 65536 },
  { "10MB", 10000000 },
  { "1.5GiB", 1610612736 },
  { "1kB", 1000 },
  { "2TiB", G_GINT64_CONSTANT (2199023255552) },
  { "0.5KiB", 512 },
  { "0.0009765625KiB", 1 },
  { "7 ", 7 },
};

static const char *const bad_sizes[] = {
  "",        "-1",    "KiB", "64 KiB", "64Kib", "64K", "1.5", "0.3KiB", "8388608TiB", "9223372036854775808",
  "1KiB 1B", "1KiB1",
};

static void
test_durations_are_read_exactly (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (durations); i++)
    {
      g_autoptr(GError) error = NULL;
      gint64 value = 42;

      g_test_message ("'%s'", durations[i].text);
      g_assert_true (strand_duration_parse (durations[i].text, &value, &error));
      g_assert_no_error (error);
      g_assert_cmpint (value, ==, durations[i].value);
    }
}

static void
test_bad_durations_are_refused (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (bad_durations); i++)
    {
      g_autoptr(GError) error = NULL;
      g_autofree char *shown = g_strescape (bad_durations[i], NULL);
      gint64 value = 42;

      g_test_message ("'%s'", shown);
      g_assert_false (strand_duration_parse (bad_durations[i], &value, &error));
      g_assert_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT);
      g_assert_true (g_utf8_validate (error->message, -1, NULL));
      g_assert_cmpint (value, ==, 42);
    }
}

static void
test_sizes_are_read_exactly (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autoptr(GError) error = NULL;
      gint64 value = 42;

      g_test_message ("'%s'", sizes[i].text);
      g_assert_true (strand_size_parse (sizes[i].text, &value, &error));
      g_assert_no_error (error);
      g_assert_cmpint (value, ==, sizes[i].value);
    }
}

static void
test_bad_sizes_are_refused (void)
{
  for (gsize i = 0; i < G_N_ELEMENTS (bad_sizes); i++)
    {
      g_autoptr(GError) error = NULL;
      gint64 value = 42;

      g_test_message ("'%s'", bad_sizes[i]);
      g_assert_false (strand_size_parse (bad_sizes[i], &value, &error));
      g_assert_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT);
      g_assert_cmpint (value, ==, 42);
    }
}

static void
test_a_refusal_says_what_is_allowed (void)
{
  g_autoptr(GError) error = NULL;
  gint64 value;

  strand_duration_parse ("12abc", &value, &error);
  g_assert_cmpstr (
      error->message, ==,
      "'12abc' is not a duration: it has an unknown unit; write a number and w, d, h, min, s, ms or "
      "us, or 'none'");
}

static void
test_what_is_written_is_read_back (void)
{
  static const gint64 edges[] = { -1,     0,       1,       999,      1000,     1001,
                                  999999, 1000000, 1000001, 59999999, 60000000, G_MAXINT64 };

  for (int i = 0; i < 10000; i++)
    {
      gint64 value =
          i < (int) G_N_ELEMENTS (edges)
              ? edges[i]
              : (gint64) (((guint64) (guint32) g_test_rand_int () << 31) ^ (guint32) g_test_rand_int ());
      g_autofree char *duration = NULL;
      g_autofree char *size = NULL;
      g_autoptr(GError) error = NULL;
      gint64 back;

      value = i < (int) G_N_ELEMENTS (edges) ? value : value >> g_test_rand_int_range (0, 63);
      duration = strand_duration_to_string (value);
      size = strand_size_to_string (value);
      strand_duration_parse (duration, &back, &error);
      g_assert_no_error (error);
      g_assert_cmpint (back, ==, value);
      strand_size_parse (size, &back, &error);
      g_assert_no_error (error);
      g_assert_cmpint (back, ==, value);
    }
}

static void
test_text_is_as_people_write_it (void)
{
  static const Good shown[] = { { "5min", 300000000 }, { "1h 30min", G_GINT64_CONSTANT (5400000000) },
                                { "2.5s", 2500000 },   { "250ms", 250000 },
                                { "1.5ms", 1500 },     { "1min 250ms", 60250000 } };
  static const Good shown_sizes[] = {
    { "64KiB", 65536 }, { "10MB", 10000000 }, { "512", 512 }, { "1GiB", 1 << 30 }
  };

  for (gsize i = 0; i < G_N_ELEMENTS (shown); i++)
    {
      g_autofree char *text = strand_duration_to_string (shown[i].value);

      g_assert_cmpstr (text, ==, shown[i].text);
    }
  for (gsize i = 0; i < G_N_ELEMENTS (shown_sizes); i++)
    {
      g_autofree char *text = strand_size_to_string (shown_sizes[i].value);

      g_assert_cmpstr (text, ==, shown_sizes[i].text);
    }
}

static void
test_the_near_word_is_suggested (void)
{
  static const char *const words[] = { "workers", "store", "taskrunner", "ttl", "path", NULL };

  g_assert_cmpstr (strand_suggest ("wrokers", words), ==, "workers");
  g_assert_cmpstr (strand_suggest ("worker", words), ==, "workers");
  g_assert_cmpstr (strand_suggest ("Store", words), ==, "store");
  g_assert_cmpstr (strand_suggest ("task-runner", words), ==, "taskrunner");
  g_assert_cmpstr (strand_suggest ("tll", words), ==, "ttl");
  g_assert_null (strand_suggest ("banana", words));
  g_assert_null (strand_suggest ("x", words));
  g_assert_null (strand_suggest ("", words));
}

static void
test_long_words_cost_nothing (void)
{
  g_autofree char *word = g_strnfill (1 << 20, 'a');
  g_autofree char *edge = g_strnfill (64, 'a');
  const char *words[] = { word, edge, NULL };

  g_assert_null (strand_suggest (word, words));
  g_assert_true (strand_suggest (edge, words) == edge);
}

static void
assert_reads (GParamSpec *pspec, const char *text, const char *printed)
{
  g_auto(GValue) value = G_VALUE_INIT;
  g_autoptr(GError) error = NULL;
  g_autofree char *back = NULL;

  strand_param_read (pspec, text, &value, &error);
  g_assert_no_error (error);
  back = strand_param_print (pspec, &value);
  g_assert_cmpstr (back, ==, printed);
  g_param_spec_unref (g_param_spec_ref_sink (pspec));
}

static void
assert_refuses (GParamSpec *pspec, const char *text, const char *message)
{
  g_auto(GValue) value = G_VALUE_INIT;
  g_autoptr(GError) error = NULL;

  g_assert_false (strand_param_read (pspec, text, &value, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT);
  g_assert_cmpstr (error->message, ==, message);
  g_assert_false (G_IS_VALUE (&value));
  g_param_spec_unref (g_param_spec_ref_sink (pspec));
}

static void
test_values_go_by_their_property (void)
{
  const GParamFlags flags = STRAND_PARAM_CONFIG;

  assert_reads (g_param_spec_int ("a", NULL, NULL, -5, 5, 0, flags), "-5", "-5");
  assert_reads (g_param_spec_long ("a", NULL, NULL, G_MINLONG, G_MAXLONG, 0, flags), "007", "7");
  assert_reads (g_param_spec_uint64 ("a", NULL, NULL, 0, G_MAXUINT64, 0, flags), "18446744073709551615",
                "18446744073709551615");
  assert_reads (g_param_spec_double ("a", NULL, NULL, 0, 1, 0, flags), "1e-1", "0.1");
  assert_reads (g_param_spec_boolean ("a", NULL, NULL, FALSE, flags), "1", "true");
  assert_reads (g_param_spec_string ("a", NULL, NULL, NULL, flags), " x;y ", " x;y ");
  assert_reads (g_param_spec_string ("a", NULL, NULL, NULL, flags | STRAND_PARAM_SECRET), "hunter2",
                "(secret)");
  assert_reads (g_param_spec_boxed ("a", NULL, NULL, G_TYPE_STRV, flags), "x;y\\;;;z", "x;y\\;;;z");
  assert_reads (g_param_spec_int64 ("a", NULL, NULL, -1, G_MAXINT64, 0, flags | STRAND_PARAM_DURATION),
                "90min", "1h 30min");
  assert_reads (g_param_spec_int64 ("a", NULL, NULL, -1, G_MAXINT64, 0, flags | STRAND_PARAM_SIZE), "1024KiB",
                "1MiB");

  assert_refuses (g_param_spec_int ("a", NULL, NULL, -5, 5, 0, flags), "6",
                  "'6' is out of range; write a whole number from -5 to 5");
  assert_refuses (
      g_param_spec_enum ("a", NULL, NULL, STRAND_TYPE_KIND, 0, flags), "stroe",
      "'stroe' is unknown; write one of: taskrunner, backend, store, serializer, middleware, reader, schedule; "
      "did you mean "
      "'store'?");
  assert_refuses (g_param_spec_boxed ("a", NULL, NULL, G_TYPE_STRV, flags), "x\\y",
                  "'\\y' is not an escape; there are \\s \\n \\t \\r \\\\ and \\;");
  assert_refuses (g_param_spec_object ("a", NULL, NULL, STRAND_TYPE_STORE, flags), "results",
                  "'a' cannot be set from text");
}

static void
test_properties_say_what_they_may_be (void)
{
  GParamSpec *pspec =
      g_param_spec_ref_sink (g_param_spec_uint ("a", NULL, NULL, 1, 64, 4, STRAND_PARAM_CONFIG));
  GParamSpec *read_only =
      g_param_spec_ref_sink (g_param_spec_uint ("b", NULL, NULL, 1, 64, 4, G_PARAM_READABLE));
  g_autofree char *words = strand_param_describe (pspec);
  g_autofree char *standard = strand_param_print (pspec, NULL);

  g_assert_cmpstr (words, ==, "a whole number from 1 to 64");
  g_assert_cmpstr (standard, ==, "4");
  g_assert_null (strand_param_describe (read_only));
  g_param_spec_unref (pspec);
  g_param_spec_unref (read_only);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);

  g_test_add_func ("/param/durations-are-read-exactly", test_durations_are_read_exactly);
  g_test_add_func ("/param/bad-durations-are-refused", test_bad_durations_are_refused);
  g_test_add_func ("/param/sizes-are-read-exactly", test_sizes_are_read_exactly);
  g_test_add_func ("/param/bad-sizes-are-refused", test_bad_sizes_are_refused);
  g_test_add_func ("/param/a-refusal-says-what-is-allowed", test_a_refusal_says_what_is_allowed);
  g_test_add_func ("/param/what-is-written-is-read-back", test_what_is_written_is_read_back);
  g_test_add_func ("/param/text-is-as-people-write-it", test_text_is_as_people_write_it);
  g_test_add_func ("/param/values-go-by-their-property", test_values_go_by_their_property);
  g_test_add_func ("/param/properties-say-what-they-may-be", test_properties_say_what_they_may_be);
  g_test_add_func ("/param/the-near-word-is-suggested", test_the_near_word_is_suggested);
  g_test_add_func ("/param/long-words-cost-nothing", test_long_words_cost_nothing);

  return g_test_run ();
}
