/* test-record.c — a record keeps what it is given, through its table and through JSON.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include <strand-plugin.h>

#include <glib/gstdio.h>
#include <string.h>

static GBytes *
text_bytes (const char *text)
{
  return g_bytes_new (text, strlen (text));
}

static void
set_bytes (StrandRecord *record, StrandField field, const char *data, gsize size)
{
  g_autoptr(GBytes) bytes = g_bytes_new (data, size);

  strand_record_set_bytes (record, field, bytes);
}

/* Something other than its default in the field. */
static void
fill (StrandRecord *record, StrandField field, int number)
{
  g_autofree char *text = g_strdup_printf ("text %d \"é\"", number);

  switch (strand_field_get_shape (field))
    {
    case STRAND_SHAPE_INT:
      strand_record_set_int (record, field, field == STRAND_FIELD_CANCEL_REQUESTED ? 1 : 1 + number % 4);
      break;
    case STRAND_SHAPE_DOUBLE:
      strand_record_set_double (record, field, 0.1);
      break;
    case STRAND_SHAPE_STRING:
      if (field == STRAND_FIELD_KEY)
        strand_record_set_string (record, field, "another-key");
      else if (field == STRAND_FIELD_ARGUMENTS_TYPE || field == STRAND_FIELD_VALUE_TYPE)
        strand_record_set_string (record, field, "a{sv}");
      else
        strand_record_set_string (record, field, text);
      break;
    case STRAND_SHAPE_VARIANT:
      if (field == STRAND_FIELD_HEADERS)
        strand_record_set_variant (record, field, g_variant_new_parsed ("{'a': 'b', 'a': 'c'}"));
      else if (field == STRAND_FIELD_METADATA)
        strand_record_set_variant (record, field, g_variant_new_parsed ("{'a': <1>, 'b': <<@ay [1]>>}"));
      else if (field == STRAND_FIELD_WARNINGS)
        strand_record_set_variant (record, field, g_variant_new_parsed ("['x', '']"));
      else
        strand_record_set_variant (
            record, field, g_variant_new_parsed ("[(uint32 4294967295, 'w', int64 -1, 'd', 'n', -5, 'm')]"));
      break;
    case STRAND_SHAPE_BYTES:
      set_bytes (record, field, "{ \"verbatim\" :\t1e999 }", 22);
      break;
    }
}

static void
assert_field_equal (StrandRecord *a, StrandRecord *b, StrandField field)
{
  GBytes *a_bytes, *b_bytes;
  GVariant *a_variant, *b_variant;

  switch (strand_field_get_shape (field))
    {
    case STRAND_SHAPE_INT:
      g_assert_cmpint (strand_record_get_int (a, field), ==, strand_record_get_int (b, field));
      break;
    case STRAND_SHAPE_DOUBLE:
      g_assert_cmpfloat (strand_record_get_double (a, field), ==, strand_record_get_double (b, field));
      break;
    case STRAND_SHAPE_STRING:
      g_assert_cmpstr (strand_record_get_string (a, field), ==, strand_record_get_string (b, field));
      break;
    case STRAND_SHAPE_VARIANT:
      a_variant = strand_record_get_variant (a, field);
      b_variant = strand_record_get_variant (b, field);
      g_assert_true ((a_variant == NULL) == (b_variant == NULL));
      if (a_variant != NULL)
        g_assert_cmpvariant (a_variant, b_variant);
      break;
    case STRAND_SHAPE_BYTES:
      a_bytes = strand_record_get_bytes (a, field);
      b_bytes = strand_record_get_bytes (b, field);
      g_assert_true ((a_bytes == NULL) == (b_bytes == NULL));
      if (a_bytes != NULL)
        g_assert_cmpmem (g_bytes_get_data (a_bytes, NULL), g_bytes_get_size (a_bytes),
                         g_bytes_get_data (b_bytes, NULL), g_bytes_get_size (b_bytes));
      break;
    }
}

static void
assert_equal (StrandRecord *a, StrandRecord *b)
{
  for (int field = 0; field < STRAND_N_FIELDS; field++)
    assert_field_equal (a, b, (StrandField) field);
}

static StrandRecord *
full_record (void)
{
  StrandRecord *record = strand_record_new ("job-17");

  for (int field = 0; field < STRAND_N_FIELDS; field++)
    fill (record, (StrandField) field, field);
  return record;
}

static StrandRecord *
through_json (StrandRecord *record)
{
  g_autoptr(GBytes) json = strand_record_to_json (record);
  g_autoptr(GError) error = NULL;
  StrandRecord *again = strand_record_from_json (json, &error);

  g_assert_no_error (error);
  return again;
}

static char *
json_text (StrandRecord *record)
{
  g_autoptr(GBytes) json = strand_record_to_json (record);
  gsize size;
  const char *data = g_bytes_get_data (json, &size);

  return g_strndup (data, size);
}

static StrandRecord *
read_text (const char *text, GError **error)
{
  g_autoptr(GBytes) json = text_bytes (text);

  return strand_record_from_json (json, error);
}

static void
assert_refused (const char *text, const char *message)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandRecord) record = read_text (text, &error);

  if (record != NULL || strstr (error->message, message) == NULL)
    g_test_message ("%.200s: %s", text, error != NULL ? error->message : "accepted");
  g_assert_null (record);
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT);
  g_assert_nonnull (strstr (error->message, message));
}

static void
test_a_new_record_has_the_documented_defaults (void)
{
  g_autoptr(StrandRecord) record = strand_record_new ("job-17");

  g_assert_cmpstr (strand_record_get_key (record), ==, "job-17");
  g_assert_cmpint (strand_record_get_status (record), ==, STRAND_STATUS_PENDING);
  g_assert_cmpuint (strand_record_get_revision (record), ==, 0);
  g_assert_cmpstr (strand_record_get_string (record, STRAND_FIELD_KIND), ==, "call");
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_TIMEOUT), ==, -1);
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_TTL), ==, -1);
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_ATTEMPT), ==, 0);
  g_assert_cmpfloat (strand_record_get_double (record, STRAND_FIELD_PROGRESS), ==, -1.0);
  g_assert_null (strand_record_get_string (record, STRAND_FIELD_QUEUE));
  g_assert_null (strand_record_get_variant (record, STRAND_FIELD_CAUSES));
  g_assert_null (strand_record_get_bytes (record, STRAND_FIELD_VALUE));
}

static void
test_every_field_has_a_name_of_its_own (void)
{
  g_autoptr(GHashTable) names = g_hash_table_new (g_str_hash, g_str_equal);

  for (int field = 0; field < STRAND_N_FIELDS; field++)
    g_assert_true (g_hash_table_add (names, (char *) strand_field_get_name ((StrandField) field)));
  g_assert_cmpstr (strand_field_get_name (STRAND_FIELD_KIND), ==, "kind");
  g_assert_cmpstr (strand_field_get_name (STRAND_FIELD_RETRY_OF), ==, "retry-of");
  g_assert_cmpstr (strand_field_get_name (STRAND_FIELD_LEASE_COUNTER), ==, "lease-counter");
  g_assert_cmpstr (strand_field_get_name (STRAND_FIELD_VALUE), ==, "value");
  g_assert_cmpint (strand_field_get_shape (STRAND_FIELD_ARGUMENTS), ==, STRAND_SHAPE_BYTES);
}

static void
test_a_copy_is_independent (void)
{
  g_autoptr(StrandRecord) record = full_record ();
  g_autoptr(StrandRecord) copy = strand_record_copy (record);
  g_autoptr(StrandRecord) empty = strand_record_new ("job-17");
  g_autoptr(StrandRecord) copy_of_empty = strand_record_copy (empty);

  assert_equal (record, copy);
  assert_equal (empty, copy_of_empty);

  strand_record_set_string (copy, STRAND_FIELD_MESSAGE, "changed");
  strand_record_set_int (copy, STRAND_FIELD_FENCE, 77);
  strand_record_set_variant (copy, STRAND_FIELD_HEADERS, NULL);
  strand_record_set_bytes (copy, STRAND_FIELD_VALUE, NULL);
  g_assert_cmpstr (strand_record_get_string (record, STRAND_FIELD_MESSAGE), !=, "changed");
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_FENCE), !=, 77);
  g_assert_nonnull (strand_record_get_variant (record, STRAND_FIELD_HEADERS));
  g_assert_nonnull (strand_record_get_bytes (record, STRAND_FIELD_VALUE));
}

static void
test_null_gives_a_string_its_default (void)
{
  g_autoptr(StrandRecord) record = full_record ();

  strand_record_set_string (record, STRAND_FIELD_KIND, NULL);
  strand_record_set_string (record, STRAND_FIELD_QUEUE, NULL);
  g_assert_cmpstr (strand_record_get_string (record, STRAND_FIELD_KIND), ==, "call");
  g_assert_null (strand_record_get_string (record, STRAND_FIELD_QUEUE));
}

static void
test_a_field_may_be_set_to_what_it_holds (void)
{
  g_autoptr(StrandRecord) record = full_record ();
  g_autoptr(StrandRecord) before = strand_record_copy (record);

  for (int field = 0; field < STRAND_N_FIELDS; field++)
    switch (strand_field_get_shape ((StrandField) field))
      {
      case STRAND_SHAPE_STRING:
        strand_record_set_string (record, field, strand_record_get_string (record, field));
        break;
      case STRAND_SHAPE_VARIANT:
        strand_record_set_variant (record, field, strand_record_get_variant (record, field));
        break;
      case STRAND_SHAPE_BYTES:
        strand_record_set_bytes (record, field, strand_record_get_bytes (record, field));
        break;
      default:
        break;
      }
  assert_equal (record, before);
}

static void
test_text_that_is_not_utf8_is_mended (void)
{
  g_autoptr(StrandRecord) record = strand_record_new ("job-17");

  strand_record_set_string (record, STRAND_FIELD_MESSAGE, "a\xff");
  g_assert_cmpstr (strand_record_get_string (record, STRAND_FIELD_MESSAGE), ==, "a\uFFFD");
}

static void
test_status_words (void)
{
  StrandStatus status = STRAND_STATUS_RUNNING;

  for (int i = STRAND_STATUS_PENDING; i <= STRAND_STATUS_CANCELLED; i++)
    {
      g_assert_true (strand_status_from_string (strand_status_to_string ((StrandStatus) i), &status));
      g_assert_cmpint (status, ==, i);
      g_assert_cmpint (strand_status_is_terminal (status), ==, i >= STRAND_STATUS_COMPLETED);
    }
  g_assert_false (strand_status_from_string ("done", &status));
  g_assert_false (strand_status_from_string ("", NULL));
  g_assert_cmpint (status, ==, STRAND_STATUS_CANCELLED);
  g_assert_null (strand_status_to_string ((StrandStatus) 5));
}

static void
test_key_grammar (void)
{
  g_autofree char *longest = g_strnfill (128, 'a');
  g_autofree char *too_long = g_strnfill (129, 'a');
  g_autofree char *far_too_long = g_strnfill (4096, 'a');
  const char *good[] = { "a", "0", "job-17", "A_b.c-d", "-", "_", "a..b", "strand.queue", longest };
  const struct
  {
    const char *key, *message;
  } bad[] = {
    { "", "empty" },
    { ".", "start with a dot" },
    { "..", "start with a dot" },
    { ".hidden", "start with a dot" },
    { "../x", "start with a dot" },
    { "a/b", "'a/b' is no key: byte 1" },
    { "a b", "byte 1" },
    { "a\n", "'a\\n' is no key" },
    { "é", "byte 0" },
    { "a\xff", "byte 1" },
    { "a:b", "byte 1" },
    { too_long, "129 bytes long, and a key has 128 at most" },
    { far_too_long, "4096 bytes long" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (good); i++)
    {
      g_autoptr(GError) error = NULL;

      g_assert_true (strand_key_check (good[i], &error));
      g_assert_no_error (error);
    }
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr(GError) error = NULL;

      g_assert_false (strand_key_check (bad[i].key, &error));
      g_assert_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_KEY);
      g_assert_nonnull (strstr (error->message, bad[i].message));
      g_assert_cmpuint (strlen (error->message), <, 300);
    }
  g_assert_true (strand_key_is_reserved ("strand.queue"));
  g_assert_false (strand_key_is_reserved ("strand"));
  g_assert_false (strand_key_is_reserved ("my.strand."));
}

static void
test_new_keys_are_keys_and_differ (void)
{
  g_autofree char *first = strand_key_new ();
  g_autofree char *second = strand_key_new ();

  g_assert_true (strand_key_check (first, NULL));
  g_assert_true (g_uuid_string_is_valid (first));
  g_assert_cmpstr (first, !=, second);
}

static void
test_errors_come_back_as_they_went (void)
{
  const GError errors[] = {
    { STRAND_ERROR, STRAND_ERROR_TIMED_OUT, (char *) "took too long" },
    { STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_CHANGED, (char *) "" },
    { G_IO_ERROR, G_IO_ERROR_CANCELLED, (char *) "line\n'two' \"é\"" },
    { g_quark_from_static_string ("a-domain-of-my-own"), -7, (char *) "odd" },
  };
  g_autoptr(StrandRecord) record = strand_record_new ("job-17");

  g_assert_null (strand_record_dup_error (record));
  for (gsize i = 0; i < G_N_ELEMENTS (errors); i++)
    {
      g_autoptr(StrandRecord) again = NULL;
      g_autoptr(GError) error = NULL;

      strand_record_set_int (record, STRAND_FIELD_ATTEMPT, (gint64) i + 1);
      strand_record_add_cause (record, "worker-1", &errors[i]);
      again = through_json (record);
      assert_equal (record, again);
      error = strand_record_dup_error (again);
      g_assert_error (error, errors[i].domain, errors[i].code);
      g_assert_cmpstr (error->message, ==, errors[i].message);
    }
  g_assert_cmpuint (g_variant_n_children (strand_record_get_variant (record, STRAND_FIELD_CAUSES)), ==, 4);
}

static void
test_a_cause_says_who_when_and_which_attempt (void)
{
  g_autoptr(StrandRecord) record = strand_record_new ("job-17");
  g_autoptr(GError) error = g_error_new (G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "no file 'a\xff'");
  g_autoptr(GVariant) cause = NULL;
  const char *worker, *domain, *nick, *message;
  guint32 attempt;
  gint64 time;
  gint32 code;

  strand_clock_set_manual (G_GINT64_CONSTANT (1700000000000000));
  strand_record_set_int (record, STRAND_FIELD_ATTEMPT, 2);
  strand_record_add_cause (record, NULL, error);
  strand_record_add_cause (record, "worker-1", error);
  strand_clock_set_system ();

  cause = g_variant_get_child_value (strand_record_get_variant (record, STRAND_FIELD_CAUSES), 1);
  g_variant_get (cause, "(u&sx&s&si&s)", &attempt, &worker, &time, &domain, &nick, &code, &message);
  g_assert_cmpuint (attempt, ==, 2);
  g_assert_cmpstr (worker, ==, "worker-1");
  g_assert_cmpint (time, ==, G_GINT64_CONSTANT (1700000000000000));
  g_assert_cmpstr (domain, ==, "g-io-error-quark");
  g_assert_cmpstr (nick, ==, "not-found");
  g_assert_cmpint (code, ==, G_IO_ERROR_NOT_FOUND);
  g_assert_cmpstr (message, ==, "no file 'a\uFFFD'");
}

static void
test_a_code_s_name_decides_over_its_number (void)
{
  g_autoptr(StrandRecord) record =
      read_text ("{\"v\":1,\"key\":\"k\",\"causes\":[{\"error\":{\"domain\":\"strand-error-quark\","
                 "\"code\":999,\"nick\":\"refused\",\"message\":\"m\"}}]}",
                 NULL);
  g_autoptr(StrandRecord) unknown =
      read_text ("{\"v\":1,\"key\":\"k\",\"causes\":[{\"error\":{\"domain\":\"strand-error-quark\","
                 "\"code\":999,\"nick\":\"of-the-future\",\"message\":\"m\"}}]}",
                 NULL);
  g_autoptr(StrandRecord) bare = read_text ("{\"v\":1,\"key\":\"k\",\"causes\":[{}]}", NULL);
  g_autoptr(GError) error = strand_record_dup_error (record);
  g_autoptr(GError) unknown_error = strand_record_dup_error (unknown);
  g_autoptr(GError) bare_error = strand_record_dup_error (bare);

  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_REFUSED);
  g_assert_error (unknown_error, STRAND_ERROR, 999);
  g_assert_error (bare_error, STRAND_ERROR, STRAND_ERROR_FAILED);
}

static void
test_ttl_counts_from_the_end (void)
{
  g_autoptr(StrandRecord) record = strand_record_new ("job-17");

  strand_record_set_int (record, STRAND_FIELD_CREATED, 1);
  strand_record_set_int (record, STRAND_FIELD_TTL, 100);
  g_assert_false (strand_record_is_expired (record, G_MAXINT64)); /* pending */
  strand_record_set_int (record, STRAND_FIELD_STATUS, STRAND_STATUS_RUNNING);
  g_assert_false (strand_record_is_expired (record, G_MAXINT64));
  strand_record_set_int (record, STRAND_FIELD_STATUS, STRAND_STATUS_FAILED);
  strand_record_set_int (record, STRAND_FIELD_COMPLETED, 1000);
  g_assert_false (strand_record_is_expired (record, 1099));
  g_assert_true (strand_record_is_expired (record, 1100));
  strand_record_set_int (record, STRAND_FIELD_TTL, 0);
  g_assert_false (strand_record_is_expired (record, 999));
  g_assert_true (strand_record_is_expired (record, 1000));
  strand_record_set_int (record, STRAND_FIELD_TTL, G_MAXINT64);
  g_assert_false (strand_record_is_expired (record, G_MAXINT64));
  strand_record_set_int (record, STRAND_FIELD_TTL, -1);
  g_assert_false (strand_record_is_expired (record, G_MAXINT64));
}

static void
test_each_field_survives_json_alone_and_with_all_others (void)
{
  g_autoptr(StrandRecord) full = full_record ();
  g_autoptr(StrandRecord) full_again = through_json (full);

  assert_equal (full, full_again);
  for (int field = 0; field < STRAND_N_FIELDS; field++)
    {
      g_autoptr(StrandRecord) record = strand_record_new ("job-17");
      g_autoptr(StrandRecord) again = NULL;

      fill (record, (StrandField) field, field);
      again = through_json (record);
      assert_equal (record, again);
    }
}

static void
test_what_is_at_its_default_is_left_out (void)
{
  g_autoptr(StrandRecord) record = strand_record_new ("job-17");
  g_autofree char *text = json_text (record);

  g_assert_cmpstr (text, ==, "{\"v\":1,\"key\":\"job-17\"}\n");
}

static void
test_the_written_form_is_the_documented_one (void)
{
  g_autoptr(StrandRecord) record = strand_record_new ("job-17");
  g_autofree char *text = NULL;

  strand_record_set_int (record, STRAND_FIELD_STATUS, STRAND_STATUS_RUNNING);
  strand_record_set_int (record, STRAND_FIELD_CANCEL_REQUESTED, 1);
  strand_record_set_double (record, STRAND_FIELD_PROGRESS, 1.0);
  strand_record_set_string (record, STRAND_FIELD_LEASE_OWNER, "me");
  strand_record_set_int (record, STRAND_FIELD_LEASE_COUNTER, 5);
  strand_record_set_variant (record, STRAND_FIELD_METADATA, g_variant_new_parsed ("{'n': <uint64 1>}"));
  strand_record_set_variant (record, STRAND_FIELD_CAUSES,
                             g_variant_new_parsed ("[(uint32 1, 'w', int64 2, 'd', 'n', 3, 'm')]"));
  strand_record_set_string (record, STRAND_FIELD_ARGUMENTS_TYPE, "(x)");
  set_bytes (record, STRAND_FIELD_ARGUMENTS, "[1]", 3);
  strand_record_set_string (record, STRAND_FIELD_VALUE_TYPE, "x");
  set_bytes (record, STRAND_FIELD_VALUE, "\0", 1);

  text = json_text (record);
  g_assert_cmpstr (
      text, ==,
      "{\"v\":1,\"key\":\"job-17\",\"status\":\"running\",\"lease\":{\"owner\":\"me\",\"counter\":5},"
      "\"cancel-requested\":true,\"progress\":1.0,"
      "\"metadata\":{\"n\":{\"type\":\"t\",\"value\":1}},"
      "\"causes\":[{\"attempt\":1,\"worker\":\"w\",\"time\":2,"
      "\"error\":{\"domain\":\"d\",\"code\":3,\"nick\":\"n\",\"message\":\"m\"}}],"
      "\"arguments\":{\"type\":\"(x)\",\"data\":[1]},\"value\":{\"type\":\"x\",\"base64\":\"AA==\"}}\n");
}

static void
test_payload_bytes_are_exact (void)
{
  static const struct
  {
    const char *data;
    gsize size;
    gboolean embedded;
  } cases[] = {
    { "1", 1, TRUE },
    { "[ 1.0,\n\t1e999, \"\\u0000\\/\" ]", 27, TRUE },
    { "{\"a\":1,\"a\":2}", 13, TRUE },
    { "\"é\"", 4, TRUE },
    { "", 0, FALSE },
    { " 1", 2, FALSE },
    { "1 ", 2, FALSE },
    { "1\n", 2, FALSE },
    { "1 2", 3, FALSE },
    { "[1,]", 4, FALSE },
    { "01", 2, FALSE },
    { "NaN", 3, FALSE },
    { "\"\xff\"", 3, FALSE },
    { "\"\\ud800\"", 8, FALSE },
    { "\0\1\2\xff", 4, FALSE },
    { "}", 1, FALSE },
    { "1}", 2, FALSE },
    { "1,\"key\":2", 9, FALSE },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr(StrandRecord) record = strand_record_new ("job-17");
      g_autoptr(StrandRecord) again = NULL;
      g_autofree char *text = NULL;

      set_bytes (record, STRAND_FIELD_VALUE, cases[i].data, cases[i].size);
      text = json_text (record);
      g_assert_cmpint (strstr (text, "\"data\":") != NULL, ==, cases[i].embedded);
      g_assert_cmpint (strstr (text, "\"base64\":") != NULL, ==, !cases[i].embedded);
      again = through_json (record); /* which frees the text that the payload is part of */
      assert_equal (record, again);
    }
}

static void
test_a_deep_payload_is_no_danger (void)
{
  g_autofree char *brackets = g_strnfill (200000, '[');
  g_autofree char *closing = g_strnfill (200000, ']');
  g_autofree char *nested = g_strconcat (brackets, closing, NULL);
  g_autofree char *unknown = g_strdup_printf ("{\"v\":1,\"x\":%s", brackets);
  g_auto(GStrv) parts = g_strsplit (brackets, "[", -1);
  g_autofree char *objects = g_strjoinv ("{\"a\":", parts);
  g_autoptr(StrandRecord) record = strand_record_new ("job-17");
  g_autoptr(StrandRecord) again = NULL;

  set_bytes (record, STRAND_FIELD_VALUE, nested, strlen (nested));
  again = through_json (record);
  assert_equal (record, again);
  assert_refused (unknown, "at most 128 nested");
  assert_refused (objects, "at most 128 nested");
}

static void
test_order_space_and_escapes_are_free (void)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandRecord) record = read_text (
      "\n{ \"value\" : { \"base64\" : \"\" , \"type\" : \"as\" } ,\t\"st\\u0061tus\":\"c\\u006fmpleted\",\r\n"
      "\"lease\":{\"counter\":3,\"owner\":\"o\",\"since\":[1]}, \"function\":null, \"lease-owner\": 7,"
      "\"k\\u0065y\":\"j\\u006fb\", \"nobody\":{\"knows\":[null,true,{}]}, \"progress\":0, \"ttl\":-1, "
      "\"v\":1 } ",
      &error);

  g_assert_no_error (error);
  g_assert_cmpstr (strand_record_get_key (record), ==, "job");
  g_assert_cmpint (strand_record_get_status (record), ==, STRAND_STATUS_COMPLETED);
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_LEASE_COUNTER), ==, 3);
  g_assert_cmpstr (strand_record_get_string (record, STRAND_FIELD_LEASE_OWNER), ==, "o");
  g_assert_cmpfloat (strand_record_get_double (record, STRAND_FIELD_PROGRESS), ==, 0.0);
  g_assert_cmpstr (strand_record_get_string (record, STRAND_FIELD_VALUE_TYPE), ==, "as");
  g_assert_cmpuint (g_bytes_get_size (strand_record_get_bytes (record, STRAND_FIELD_VALUE)), ==, 0);
  g_assert_null (strand_record_get_string (record, STRAND_FIELD_FUNCTION));
}

static void
test_a_later_version_is_refused_with_both_numbers (void)
{
  assert_refused ("{\"v\":2,\"key\":\"k\"}", "version 2, and this strand reads up to version 1");
  assert_refused ("{\"key\":[\"another shape\"],\"v\":2}",
                  "version 2, and this strand reads up to version 1");
  assert_refused ("{\"status\":\"sleeping\",\"v\":7,\"key\":\"k\"}",
                  "version 7, and this strand reads up to version 1");
}

static void
test_what_is_no_record_is_refused (void)
{
  static const struct
  {
    const char *text, *message;
  } cases[] = {
    { "", "expected '{' at byte 0, found the end" },
    { "[]", "expected '{'" },
    { "{}", "member 'v', the record's version, is missing" },
    { "{\"key\":\"k\"}", "member 'v'" },
    { "{\"v\":0,\"key\":\"k\"}", "expected an integer from 1" },
    { "{\"v\":\"1\",\"key\":\"k\"}", "expected an integer from 1" },
    { "{\"v\":1,\"v\":1,\"key\":\"k\"}", "expected each member once" },
    { "{\"v\":1}", "field 'key' is missing" },
    { "{\"v\":1,\"key\":null}", "field 'key' is missing" },
    { "{\"v\":1,\"key\":\"../x\"}", "field 'key': '../x' is no key" },
    { "{\"v\":1,\"key\":\"k\\u0000\"}", "without NUL" },
    { "{\"v\":1,\"key\":\"k\",\"key\":\"k\"}", "expected each member once at byte 18" },
    { "{\"v\":1,\"key\":\"k\"", "expected ',' or '}' at byte 16, found the end" },
    { "{\"v\":1,\"key\":\"k\"}}", "expected nothing more" },
    { "{\"v\":1,\"key\":\"k\",}", "expected a member's name" },
    { "{\"v\":1,\"key\":\"k\",\"status\":\"done\"}",
      "expected pending, running, completed, failed or cancelled" },
    { "{\"v\":1,\"key\":\"k\",\"status\":1}", "expected a string" },
    { "{\"v\":1,\"key\":\"k\",\"revision\":-1}", "expected an integer from 0" },
    { "{\"v\":1,\"key\":\"k\",\"revision\":9223372036854775808}", "expected an integer" },
    { "{\"v\":1,\"key\":\"k\",\"timeout\":-2}", "expected an integer from -1" },
    { "{\"v\":1,\"key\":\"k\",\"created\":1.5}", "expected an integer" },
    { "{\"v\":1,\"key\":\"k\",\"cancel-requested\":1}", "expected true or false" },
    { "{\"v\":1,\"key\":\"k\",\"progress\":2}", "field 'progress' is 2" },
    { "{\"v\":1,\"key\":\"k\",\"progress\":\"nan\"}", "field 'progress' is nan" },
    { "{\"v\":1,\"key\":\"k\",\"headers\":{\"a\":1}}", "expected a string" },
    { "{\"v\":1,\"key\":\"k\",\"metadata\":{\"a\":1}}", "expected '{'" },
    { "{\"v\":1,\"key\":\"k\",\"causes\":{}}", "expected '['" },
    { "{\"v\":1,\"key\":\"k\",\"causes\":[{\"attempt\":-1}]}", "expected an integer from 0" },
    { "{\"v\":1,\"key\":\"k\",\"lease\":{\"counter\":-1}}", "expected an integer from 0" },
    { "{\"v\":1,\"key\":\"k\",\"value\":[1]}", "expected '{'" },
    { "{\"v\":1,\"key\":\"k\",\"value\":{\"type\":\"(\"}}",
      "field 'value-type' is '(': expected a definite GVariant type" },
    { "{\"v\":1,\"key\":\"k\",\"arguments\":{\"type\":\"*\"}}", "field 'arguments-type' is '*'" },
    { "{\"v\":1,\"key\":\"k\",\"value\":{\"data\":1,\"data\":1}}", "expected \"data\" or \"base64\", once" },
    { "{\"v\":1,\"key\":\"k\",\"value\":{\"data\":1,\"base64\":\"\"}}",
      "expected \"data\" or \"base64\", once" },
    { "{\"v\":1,\"key\":\"k\",\"value\":{\"base64\":\"A\"}}", "expected base64" },
    { "{\"v\":1,\"key\":\"k\",\"x\":[1,]}", "expected a value" },
    { "{\"v\":1,\"key\":\"k\",\"x\":tru}", "expected a value" },
    { "{\"v\":1,\"key\":\"k\",\"message\":\"\xff\"}", "expected UTF-8" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    assert_refused (cases[i].text, cases[i].message);
}

static void
test_every_truncation_is_refused (void)
{
  g_autoptr(StrandRecord) record = full_record ();
  g_autofree char *text = json_text (record);
  gsize length = strlen (text) - 1; /* without the line feed */

  for (gsize kept = 0; kept < length; kept++)
    {
      g_autoptr(GBytes) json = g_bytes_new (text, kept);
      g_autoptr(GError) error = NULL;
      g_autoptr(StrandRecord) read = strand_record_from_json (json, &error);

      g_assert_null (read);
      g_assert_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT);
    }
}

static void
test_damage_is_an_error_or_a_sound_record (void)
{
  g_autoptr(StrandRecord) record = full_record ();
  g_autofree char *text = json_text (record);
  gsize length = strlen (text);

  for (int i = 0; i < 20000; i++)
    {
      g_autofree char *damaged = g_memdup2 (text, length);
      g_autoptr(GBytes) json = NULL;
      g_autoptr(GError) error = NULL;
      g_autoptr(StrandRecord) read = NULL;

      for (int n = g_test_rand_int_range (1, 4); n > 0; n--)
        damaged[g_test_rand_int_range (0, (gint32) length)] = (char) g_test_rand_int_range (0, 256);
      json = g_bytes_new_take (g_steal_pointer (&damaged), length);
      read = strand_record_from_json (json, &error);
      g_assert_true ((read == NULL) == (error != NULL));
      if (read != NULL)
        {
          g_autoptr(StrandRecord) again = through_json (read);

          g_assert_true (strand_record_check (read, NULL));
          assert_equal (read, again);
        }
    }
}

static void
test_check_names_the_field (void)
{
  g_autoptr(StrandRecord) record = strand_record_new ("job-17");
  g_autoptr(GError) status = NULL;
  g_autoptr(GError) type = NULL;

  g_assert_true (strand_record_check (record, NULL));
  strand_record_set_int (record, STRAND_FIELD_STATUS, 5);
  g_assert_false (strand_record_check (record, &status));
  g_assert_error (status, STRAND_ERROR, STRAND_ERROR_CORRUPT);
  g_assert_cmpstr (status->message, ==, "field 'status' is 5: expected 0 to 4");
  strand_record_set_int (record, STRAND_FIELD_STATUS, 4);
  strand_record_set_string (record, STRAND_FIELD_ARGUMENTS_TYPE, "(x");
  g_assert_false (strand_record_check (record, &type));
  g_assert_cmpstr (type->message, ==, "field 'arguments-type' is '(x': expected a definite GVariant type");
}

/* The record that record-format.py expects. */
static StrandRecord *
record_for_python (void)
{
  const GError error = { STRAND_ERROR, STRAND_ERROR_TIMED_OUT, (char *) "took too long" };
  StrandRecord *record = strand_record_new ("job-17");

  strand_record_set_string (record, STRAND_FIELD_FUNCTION, "demo.add");
  strand_record_set_int (record, STRAND_FIELD_STATUS, STRAND_STATUS_FAILED);
  strand_record_set_int (record, STRAND_FIELD_REVISION, G_MAXINT64);
  strand_record_set_string (record, STRAND_FIELD_LEASE_OWNER, "host é");
  strand_record_set_int (record, STRAND_FIELD_LEASE_COUNTER, 3);
  strand_record_set_int (record, STRAND_FIELD_CANCEL_REQUESTED, 1);
  strand_record_set_double (record, STRAND_FIELD_PROGRESS, 0.25);
  strand_record_set_variant (record, STRAND_FIELD_HEADERS,
                             g_variant_new_parsed ("{'trace': 'a\"b\\\\c\\n'}"));
  strand_record_set_variant (record, STRAND_FIELD_METADATA,
                             g_variant_new_parsed ("{'big': <uint64 18446744073709551615>, 'inf': <inf>,"
                                                   " 'raw': <@ay [0, 255]>}"));
  strand_record_set_variant (record, STRAND_FIELD_WARNINGS, g_variant_new_parsed ("['slow']"));
  strand_record_add_cause (record, "worker-1", &error);
  strand_record_set_string (record, STRAND_FIELD_ARGUMENTS_TYPE, "(xx)");
  set_bytes (record, STRAND_FIELD_ARGUMENTS, "[1,2]", 5);
  set_bytes (record, STRAND_FIELD_VALUE, "\1\2\3", 3);
  return record;
}

static void
assert_written_by_python (StrandRecord *read, StrandRecord *original)
{
  g_autoptr(GError) cause = strand_record_dup_error (read);
  GBytes *payload = strand_record_get_bytes (read, STRAND_FIELD_ARGUMENTS);
  g_autoptr(GVariant) arguments = NULL;
  double huge;
  const char *text;
  guint64 largest;

  g_assert_cmpstr (strand_record_get_key (read), ==, "from-python");
  g_assert_cmpint (strand_record_get_status (read), ==, STRAND_STATUS_PENDING);
  g_assert_error (cause, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
  assert_field_equal (read, original, STRAND_FIELD_REVISION);
  assert_field_equal (read, original, STRAND_FIELD_HEADERS);
  assert_field_equal (read, original, STRAND_FIELD_LEASE_OWNER);
  assert_field_equal (read, original, STRAND_FIELD_METADATA);
  assert_field_equal (read, original, STRAND_FIELD_VALUE);

  arguments = strand_json_to_variant (
      g_bytes_get_data (payload, NULL), (gssize) g_bytes_get_size (payload),
      G_VARIANT_TYPE (strand_record_get_string (read, STRAND_FIELD_ARGUMENTS_TYPE)), NULL);
  g_assert_nonnull (arguments);
  g_variant_get (arguments, "(d&st)", &huge, &text, &largest);
  g_assert_cmpfloat (huge, ==, 1e308);
  g_assert_cmpstr (text, ==, "é\u2028\U0001f600");
  g_assert_cmpuint (largest, ==, G_MAXUINT64);
}

static void
test_python_reads_and_writes_records (void)
{
  g_autofree char *python = g_find_program_in_path ("python3");
  g_autofree char *script = g_test_build_filename (G_TEST_DIST, "core", "record-format.py", NULL);
  g_autofree char *folder = g_dir_make_tmp ("strand-record-XXXXXX", NULL);
  g_autofree char *theirs = g_build_filename (folder, "theirs.json", NULL);
  g_autofree char *ours = g_build_filename (folder, "ours.json", NULL);
  const char *argv[] = { python, script, ours, theirs, NULL };
  g_autoptr(StrandRecord) record = record_for_python ();
  g_autoptr(StrandRecord) read = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *text = json_text (record);
  g_autofree char *output = NULL;
  g_autofree char *answer = NULL;
  int status;

  if (python == NULL)
    {
      g_test_skip ("python3 is not installed");
      return;
    }
  g_assert_true (g_file_set_contents (ours, text, -1, NULL));
  g_assert_true (
      g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, NULL, &output, &status, &error));
  g_assert_cmpstr (output, ==, "");
  g_assert_true (g_spawn_check_wait_status (status, &error));

  g_assert_true (g_file_get_contents (theirs, &answer, NULL, NULL));
  read = read_text (answer, &error);
  g_assert_no_error (error);
  assert_written_by_python (read, record);

  g_assert_no_errno (g_unlink (ours));
  g_assert_no_errno (g_unlink (theirs));
  g_assert_no_errno (g_rmdir (folder));
}

#define ADD(name, function) g_test_add_func ("/record/" name, function)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);

  ADD ("fields/a-new-record-has-the-documented-defaults", test_a_new_record_has_the_documented_defaults);
  ADD ("fields/every-field-has-a-name-of-its-own", test_every_field_has_a_name_of_its_own);
  ADD ("fields/a-copy-is-independent", test_a_copy_is_independent);
  ADD ("fields/null-gives-a-string-its-default", test_null_gives_a_string_its_default);
  ADD ("fields/a-field-may-be-set-to-what-it-holds", test_a_field_may_be_set_to_what_it_holds);
  ADD ("fields/text-that-is-not-utf8-is-mended", test_text_that_is_not_utf8_is_mended);
  ADD ("fields/check-names-the-field", test_check_names_the_field);
  ADD ("status/words", test_status_words);
  ADD ("status/ttl-counts-from-the-end", test_ttl_counts_from_the_end);
  ADD ("key/grammar", test_key_grammar);
  ADD ("key/new-keys-are-keys-and-differ", test_new_keys_are_keys_and_differ);
  ADD ("causes/errors-come-back-as-they-went", test_errors_come_back_as_they_went);
  ADD ("causes/a-cause-says-who-when-and-which-attempt", test_a_cause_says_who_when_and_which_attempt);
  ADD ("causes/a-code-s-name-decides-over-its-number", test_a_code_s_name_decides_over_its_number);
  ADD ("json/each-field-survives-alone-and-with-all-others",
       test_each_field_survives_json_alone_and_with_all_others);
  ADD ("json/what-is-at-its-default-is-left-out", test_what_is_at_its_default_is_left_out);
  ADD ("json/the-written-form-is-the-documented-one", test_the_written_form_is_the_documented_one);
  ADD ("json/payload-bytes-are-exact", test_payload_bytes_are_exact);
  ADD ("json/a-deep-payload-is-no-danger", test_a_deep_payload_is_no_danger);
  ADD ("json/order-space-and-escapes-are-free", test_order_space_and_escapes_are_free);
  ADD ("json/a-later-version-is-refused-with-both-numbers",
       test_a_later_version_is_refused_with_both_numbers);
  ADD ("json/what-is-no-record-is-refused", test_what_is_no_record_is_refused);
  ADD ("json/every-truncation-is-refused", test_every_truncation_is_refused);
  ADD ("json/damage-is-an-error-or-a-sound-record", test_damage_is_an_error_or_a_sound_record);
  ADD ("json/python-reads-and-writes-records", test_python_reads_and_writes_records);

  return g_test_run ();
}
