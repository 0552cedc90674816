/* store-get.c — reading by key, and what was written is what is read.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "store-private.h"

#include <string.h>

static void
unknown_key (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);

  store_assert_gone (store, "job-17");
  store_put_key (store, "job-18");
  store_assert_gone (store, "job-17");
}

static void
get_is_your_own (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StrandRecord) first = NULL;
  g_autoptr(StrandRecord) second = NULL;

  store_put_key (store, "job-17");
  first = store_get (store, "job-17");
  strand_record_set_string (first, STRAND_FIELD_MESSAGE, "scribbled");
  second = store_get (store, "job-17");

  g_assert_null (strand_record_get_string (second, STRAND_FIELD_MESSAGE));
}

static void
get_has_the_revision (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StrandRecord) record = store_record ("job-17");

  for (guint64 revision = 1; revision < 5; revision++)
    {
      g_autoptr(StrandRecord) read = NULL;

      store_put (store, record);
      read = store_get (store, "job-17");
      g_assert_cmpuint (strand_record_get_revision (read), ==, revision);
    }
}

const StrandConformanceCase store_get_cases[] = {
  { "get/unknown-key", "A key that nobody has put is `NOT_FOUND`, and the message names it.", unknown_key },
  { "get/your-own", "What `get` gives is the caller's to change; what is kept stays as it is.",
    get_is_your_own },
  { "get/revision", "A record comes with the revision of its last write.", get_has_the_revision },
  { 0 },
};

/* What is written. */

/* Writes, reads, compares everything. */
static void
there_and_back (StrandStore *store, StrandRecord *record)
{
  g_autoptr(StrandRecord) read = NULL;

  store_put (store, record);
  read = store_get (store, strand_record_get_key (record));
  store_assert_same (record, read);
}

static GVariant *
odd_metadata (void)
{
  GVariantBuilder metadata;

  g_variant_builder_init (&metadata, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&metadata, "{sv}", "t", g_variant_new_uint64 (G_MAXUINT64));
  g_variant_builder_add (&metadata, "{sv}", "d", g_variant_new_double (1e308));
  g_variant_builder_add (&metadata, "{sv}", "", g_variant_new_string (""));
  g_variant_builder_add (&metadata, "{sv}", "v", g_variant_new_variant (g_variant_new_boolean (TRUE)));
  return g_variant_builder_end (&metadata);
}

/* A value that no field has by default. */
static void
fill_field (StrandRecord *record, StrandField field)
{
  g_autofree char *text = g_strdup_printf ("field-%u \"é\n\t\\ end", field);
  g_autoptr(GBytes) bytes = g_bytes_new_static ("[1,\"\\u0000\"]", 12);

  switch (strand_field_get_shape (field))
    {
    case STRAND_SHAPE_INT:
      strand_record_set_int (record, field, 1);
      break;
    case STRAND_SHAPE_DOUBLE:
      strand_record_set_double (record, field, 0.1);
      break;
    case STRAND_SHAPE_STRING:
      strand_record_set_string (record, field, text);
      break;
    case STRAND_SHAPE_BYTES:
      strand_record_set_bytes (record, field, bytes);
      break;
    case STRAND_SHAPE_VARIANT:
    default:
      if (field == STRAND_FIELD_METADATA)
        strand_record_set_variant (record, field, odd_metadata ());
      else if (field == STRAND_FIELD_HEADERS)
        strand_record_set_variant (record, field, g_variant_new_parsed ("{'trace': 'a'}"));
      else if (field == STRAND_FIELD_WARNINGS)
        strand_record_set_variant (record, field, g_variant_new_parsed ("['slow', 'late']"));
      break;
    }
}

static StrandRecord *
full_record (const char *key)
{
  StrandRecord *record = strand_record_new (key);
  g_autoptr(GError) cause = g_error_new (STRAND_ERROR, STRAND_ERROR_CRASHED, "signal 11");

  for (guint field = 0; field < STRAND_N_FIELDS; field++)
    if (field != STRAND_FIELD_KEY && field != STRAND_FIELD_REVISION && field != STRAND_FIELD_CAUSES)
      fill_field (record, field);
  strand_record_set_string (record, STRAND_FIELD_ARGUMENTS_TYPE, "(ix)");
  strand_record_set_string (record, STRAND_FIELD_VALUE_TYPE, "(is)");
  strand_record_set_string (record, STRAND_FIELD_SERIALIZER, "json");
  strand_record_add_cause (record, "worker-1", cause);
  return record;
}

static void
every_field (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StrandRecord) record = full_record ("job-17");

  there_and_back (store, record);
}

/* Written over one that had everything. */
static void
unset_fields (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StrandRecord) full = full_record ("job-17");
  g_autoptr(StrandRecord) bare = strand_record_new ("job-17");

  store_put (store, full);
  strand_record_set_int (bare, STRAND_FIELD_REVISION, 1);
  there_and_back (store, bare);
}

static const char *const odd_texts[] = {
  "",
  " ",
  "null",
  "\"\\/\b\f\n\r\t",
  "\001\002\037\177",
  " leading and trailing \n",
  "é \xe2\x80\xa8 \xef\xbf\xbd \xef\xbb\xbf",
  "\xf0\x9f\x98\x80 \xf4\x8f\xbf\xbf \xc2\x80 \xed\x9f\xbf \xee\x80\x80",
  "'; DROP TABLE records; --",
  "%s %n ../../etc/passwd $(true) `true` *?[a-z]{b,c}",
  "<a href='x'>&amp;</a>",
};

static void
odd_strings (StrandConformance *self)
{
  static const StrandField fields[] = {
    STRAND_FIELD_MESSAGE, STRAND_FIELD_FUNCTION,    STRAND_FIELD_QUEUE,
    STRAND_FIELD_UNIQUE,  STRAND_FIELD_LEASE_OWNER, STRAND_FIELD_RETRY_OF
  };
  g_autoptr(StrandStore) store = store_make (self);

  for (guint i = 0; i < G_N_ELEMENTS (odd_texts); i++)
    {
      g_autofree char *key = g_strdup_printf ("job-%u", i);
      g_autoptr(StrandRecord) record = store_record (key);
      const char *const texts[] = { odd_texts[i], "", NULL };
      g_autoptr(GError) cause = g_error_new_literal (g_quark_from_string ("odd"), -1, odd_texts[i]);
      GVariantBuilder headers;

      for (guint j = 0; j < G_N_ELEMENTS (fields); j++)
        strand_record_set_string (record, fields[j], odd_texts[i]);
      g_variant_builder_init (&headers, G_VARIANT_TYPE ("a{ss}"));
      g_variant_builder_add (&headers, "{ss}", odd_texts[i], odd_texts[i]);
      strand_record_set_variant (record, STRAND_FIELD_HEADERS, g_variant_builder_end (&headers));
      strand_record_set_variant (record, STRAND_FIELD_WARNINGS, g_variant_new_strv (texts, -1));
      strand_record_add_cause (record, odd_texts[i], cause);
      there_and_back (store, record);
    }
}

static void
odd_numbers (StrandConformance *self)
{
  static const double progresses[] = { -1, 0, 5e-324, 0.1, 1.0 / 3, 0.99999999999999989, 1 };
  static const gint64 numbers[] = { G_MAXINT64, G_MAXINT64 - 1, G_GINT64_CONSTANT (9007199254740993), 0 };
  g_autoptr(StrandStore) store = store_make (self);

  for (guint i = 0; i < G_N_ELEMENTS (progresses); i++)
    {
      g_autofree char *key = g_strdup_printf ("progress-%u", i);
      g_autoptr(StrandRecord) record = store_record (key);

      strand_record_set_double (record, STRAND_FIELD_PROGRESS, progresses[i]);
      there_and_back (store, record);
    }
  for (guint i = 0; i < G_N_ELEMENTS (numbers); i++)
    {
      g_autofree char *key = g_strdup_printf ("number-%u", i);
      g_autoptr(StrandRecord) record = store_record (key);

      strand_record_set_int (record, STRAND_FIELD_PRIORITY, -numbers[i] - 1);
      strand_record_set_int (record, STRAND_FIELD_CREATED, numbers[i]);
      strand_record_set_int (record, STRAND_FIELD_NOT_BEFORE, numbers[i]);
      strand_record_set_int (record, STRAND_FIELD_TTL, numbers[i]);
      strand_record_set_int (record, STRAND_FIELD_TIMEOUT, numbers[i]);
      strand_record_set_int (record, STRAND_FIELD_FENCE, numbers[i]);
      strand_record_set_int (record, STRAND_FIELD_LEASE_COUNTER, 0);
      there_and_back (store, record);
    }
}

/* Also of a serializer that nobody has, and of one whose bytes these are not. */
static void
any_bytes (StrandConformance *self)
{
  static const char *const serializers[] = { "gvariant", "json", "nobodys" };
  g_autoptr(StrandStore) store = store_make (self);
  guint8 all[512];

  for (guint i = 0; i < sizeof all; i++)
    all[i] = (guint8) i;
  for (guint i = 0; i < G_N_ELEMENTS (serializers); i++)
    for (guint n = 0; n < 3; n++)
      {
        g_autofree char *key = g_strdup_printf ("job-%u-%u", i, n);
        g_autoptr(StrandRecord) record = store_record (key);
        g_autoptr(GBytes) bytes = g_bytes_new (all, n == 2 ? sizeof all : n); /* none, a NUL, each byte */

        strand_record_set_string (record, STRAND_FIELD_SERIALIZER, serializers[i]);
        strand_record_set_bytes (record, STRAND_FIELD_ARGUMENTS, bytes);
        strand_record_set_string (record, STRAND_FIELD_VALUE_TYPE, "s");
        strand_record_set_bytes (record, STRAND_FIELD_VALUE, bytes);
        there_and_back (store, record);
      }
}

static void
large_record (StrandConformance *self)
{
  const gsize size = strand_conformance_is_quick (self) ? 1024 * 1024 : 8 * 1024 * 1024;
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StrandRecord) record = store_record ("job-17");
  g_autoptr(GBytes) bytes = NULL;
  char *text = g_malloc (size);

  memset (text, 'x', size);
  text[0] = text[size - 1] = '"';
  bytes = g_bytes_new_take (text, size);
  store_set_ended (record, STORE_NOW_US, -1);
  strand_record_set_string (record, STRAND_FIELD_VALUE_TYPE, "s");
  strand_record_set_bytes (record, STRAND_FIELD_VALUE, bytes);
  there_and_back (store, record);
}

static void
smaller_over_larger (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StrandRecord) record = store_record ("job-17");
  g_autofree char *text = g_strnfill (100 * 1000, 'x');

  strand_record_set_string (record, STRAND_FIELD_MESSAGE, text);
  store_put (store, record);
  strand_record_set_string (record, STRAND_FIELD_MESSAGE, "x");
  there_and_back (store, record);
}

static void
over_the_limit (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StrandRecord) record = store_record ("job-17");
  g_autofree char *text = g_strnfill (4096, 'x');
  g_autoptr(GError) error = NULL;

  g_object_set (store, "max-record-size", G_GINT64_CONSTANT (4096), NULL);
  strand_record_set_string (record, STRAND_FIELD_MESSAGE, text);
  g_assert_false (strand_store_put (store, record, 0, &error));

  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_TOO_LARGE);
  g_assert_nonnull (strstr (error->message, "4KiB"));
  g_assert_nonnull (strstr (error->message, "max-record-size"));
  store_assert_gone (store, "job-17");
}

static void
other_kinds (StrandConformance *self)
{
  static const char *const kinds[] = { "group", "schedule", "unique", "nobodys" };
  g_autoptr(StrandStore) store = store_make (self);

  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      g_autoptr(StrandRecord) record = store_record (kinds[i]);

      strand_record_set_string (record, STRAND_FIELD_KIND, kinds[i]);
      there_and_back (store, record);
      there_and_back (store, record);
      store_remove (store, kinds[i]);
      store_assert_gone (store, kinds[i]);
    }
}

static void
keeps_no_reference (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StrandRecord) record = store_record ("job-17");
  g_autoptr(StrandRecord) read = NULL;

  store_put (store, record);
  strand_record_set_string (record, STRAND_FIELD_MESSAGE, "scribbled");
  read = store_get (store, "job-17");

  g_assert_null (strand_record_get_string (read, STRAND_FIELD_MESSAGE));
}

static void
imported (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StrandRecord) record = full_record ("job-17");
  g_autoptr(StrandRecord) read = NULL;
  g_autoptr(GError) error = NULL;

  g_object_set (store, "ttl", STORE_HOUR_US, NULL);
  strand_record_set_int (record, STRAND_FIELD_REVISION, 41);
  strand_record_set_int (record, STRAND_FIELD_TTL, -1);
  g_assert_true (strand_store_import (store, record, &error));
  g_assert_no_error (error);
  read = store_get (store, "job-17");
  store_assert_same (read, record);
  g_assert_false (strand_store_import (store, record, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_EXISTS);
  store_put (store, read);
  g_assert_cmpuint (strand_record_get_revision (read), ==, 42);
}

const StrandConformanceCase store_put_cases[] = {
  { "put/every-field", "Every field of a record comes back as it was put.", every_field },
  { "put/unset-fields", "A field that is unset comes back unset, also where the record before had it.",
    unset_fields },
  { "put/odd-strings", "Texts are any UTF-8, empty ones too, and come back the same.", odd_strings },
  { "put/odd-numbers", "Numbers come back exactly, over the whole range of 64 bits.", odd_numbers },
  { "put/any-bytes", "Payloads are bytes, none or all 256 of them, whatever their serializer.", any_bytes },
  { "put/large", "A value of 8 MiB is kept whole.", large_record },
  { "put/smaller-over-larger", "Of a larger record nothing is left when a smaller one takes its place.",
    smaller_over_larger },
  { "put/over-the-limit", "A record over `max-record-size` is `TOO_LARGE`, which names the limit.",
    over_the_limit },
  { "put/other-kinds", "Records of any kind are kept as calls are.", other_kinds },
  { "put/keeps-no-reference", "What was put is the caller's again; what is kept stays as it is.",
    keeps_no_reference },
  { "put/imported", "A record that is imported keeps its revision and its ttl, and goes on from there.",
    imported },
  { 0 },
};
