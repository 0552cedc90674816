/* test-param.c — durations, sizes and near words, read as people write them. */

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
  g_test_add_func ("/param/the-near-word-is-suggested", test_the_near_word_is_suggested);
  g_test_add_func ("/param/long-words-cost-nothing", test_long_words_cost_nothing);

  return g_test_run ();
}
