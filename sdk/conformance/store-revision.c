/* store-revision.c — each write names what it was made from; removing; and what a key may be.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "store-private.h"

#include <string.h>

/* That the record is still there as it was put first, at @revision. */
static void
assert_untouched (StrandStore *store, const char *key, guint64 revision)
{
  g_autoptr(StrandRecord) read = store_get (store, key);

  g_assert_null (strand_record_get_string (read, STRAND_FIELD_MESSAGE));
  g_assert_cmpuint (strand_record_get_revision (read), ==, revision);
}

static void
expect_put_error (StrandStore *store, const char *key, guint64 expected, int code)
{
  g_autoptr(StrandRecord) record = store_record (key);
  g_autofree char *quoted = g_strdup_printf ("'%s'", key);
  g_autoptr(GError) error = NULL;

  strand_record_set_string (record, STRAND_FIELD_MESSAGE, "not to be kept");
  g_assert_false (strand_store_put (store, record, expected, &error));
  g_assert_error (error, STRAND_ERROR, code);
  g_assert_nonnull (strstr (error->message, quoted));
  g_assert_cmpuint (strand_record_get_revision (record), ==, 0);
}

static void
counts (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StrandRecord) record = store_record ("job-17");

  for (guint64 expected = 0; expected < 5; expected++)
    {
      g_autoptr(GError) error = NULL;

      g_assert_true (strand_store_put (store, record, expected, &error));
      g_assert_no_error (error);
      g_assert_cmpuint (strand_record_get_revision (record), ==, expected + 1);
    }
}

static void
exists (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);

  store_put_key (store, "job-17");
  expect_put_error (store, "job-17", 0, STRAND_ERROR_EXISTS);
  assert_untouched (store, "job-17", 1);
}

static void
stale (StrandConformance *self)
{
  static const guint64 wrong[] = { 1, 3, 4000 };
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StrandRecord) record = store_record ("job-17");

  store_put (store, record);
  store_put (store, record);
  for (guint i = 0; i < G_N_ELEMENTS (wrong); i++)
    {
      expect_put_error (store, "job-17", wrong[i], STRAND_ERROR_STALE);
      assert_untouched (store, "job-17", 2);
    }
}

static void
removed_is_stale (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);

  store_put_key (store, "job-17");
  store_remove (store, "job-17");
  expect_put_error (store, "job-17", 1, STRAND_ERROR_STALE);
  store_assert_gone (store, "job-17");
  expect_put_error (store, "never-there", 1, STRAND_ERROR_STALE);
  store_assert_gone (store, "never-there");
}

static void
begins_anew (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StrandRecord) record = store_record ("job-17");

  for (guint i = 0; i < 3; i++)
    store_put (store, record);
  store_remove (store, "job-17");
  store_put_key (store, "job-17");
  assert_untouched (store, "job-17", 1);
}

const StrandConformanceCase store_revision_cases[] = {
  { "revision/counts", "Each write raises the revision by one.", counts },
  { "revision/exists", "A record that is to be new and is there already is `EXISTS`, and nothing changes.",
    exists },
  { "revision/stale", "A write that expects another revision is `STALE`, and nothing changes.", stale },
  { "revision/removed", "A write to a record that is gone, or never was, is `STALE`.", removed_is_stale },
  { "revision/begins-anew", "A record that is made anew begins at 1 again.", begins_anew },
  { 0 },
};

/* Removing. */

static void
expect_remove_error (StrandStore *store, const char *key, guint64 expected, int code)
{
  g_autofree char *quoted = g_strdup_printf ("'%s'", key);
  g_autoptr(GError) error = NULL;

  g_assert_false (strand_store_remove (store, key, expected, &error));
  g_assert_error (error, STRAND_ERROR, code);
  g_assert_nonnull (strstr (error->message, quoted));
}

static void
removed_is_gone (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);

  store_put_many (store, "job", 3);
  store_remove (store, "job-1");
  store_assert_gone (store, "job-1");
  store_assert_there (store, "job-0");
  store_assert_there (store, "job-2");
  g_assert_cmpint (store_count (store, NULL), ==, 2);
}

static void
remove_at_revision (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StrandRecord) record = store_record ("job-17");
  g_autoptr(GError) error = NULL;

  store_put (store, record);
  store_put (store, record);
  expect_remove_error (store, "job-17", 1, STRAND_ERROR_STALE);
  expect_remove_error (store, "job-17", 3, STRAND_ERROR_STALE);
  assert_untouched (store, "job-17", 2);
  g_assert_true (strand_store_remove (store, "job-17", 2, &error));
  g_assert_no_error (error);
  store_assert_gone (store, "job-17");
}

static void
remove_unknown (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);

  expect_remove_error (store, "job-17", 0, STRAND_ERROR_NOT_FOUND);
  expect_remove_error (store, "job-17", 1, STRAND_ERROR_NOT_FOUND);
  store_put_key (store, "job-17");
  store_remove (store, "job-17");
  expect_remove_error (store, "job-17", 0, STRAND_ERROR_NOT_FOUND);
}

const StrandConformanceCase store_remove_cases[] = {
  { "remove/gone", "What is removed is gone, and nothing else is.", removed_is_gone },
  { "remove/revision", "With a revision, only that one is removed; another is `STALE` and stays.",
    remove_at_revision },
  { "remove/unknown", "Removing what is not there is `NOT_FOUND`.", remove_unknown },
  { 0 },
};

/* Keys. */

static void
bad_keys (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  g_autofree char *long_key = g_strnfill (129, 'k');
  const char *const bad[] = { "", ".", "..", "../x", "a/b", ".hidden", "a b", "a\nb", "\xff", "é", long_key };

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr(GError) get_error = NULL;
      g_autoptr(GError) remove_error = NULL;
      g_autoptr(StrandRecord) record = strand_store_get (store, bad[i], &get_error);

      g_assert_null (record);
      g_assert_error (get_error, STRAND_ERROR, STRAND_ERROR_INVALID_KEY);
      g_assert_false (strand_store_remove (store, bad[i], 0, &remove_error));
      g_assert_error (remove_error, STRAND_ERROR, STRAND_ERROR_INVALID_KEY);
    }
}

static void
longest_key (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  g_autofree char *key = g_strnfill (128, 'k');
  g_autofree char *other = g_strdup (key);

  other[127] = 'l';
  store_put_key (store, key);
  store_assert_gone (store, other);
  store_put_key (store, other);
  g_assert_cmpint (store_count (store, NULL), ==, 2);
  store_remove (store, key);
  store_assert_there (store, other);
}

/* Names of files, of their temporary kin, of options and of columns. */
static void
similar_keys (StrandConformance *self)
{
  static const char *const keys[] = { "a",      "A",      "aa",  "a.",        "a.a",    "a-",
                                      "-a",     "--help", "a_",  "a_a",       "a.json", "a.tmp",
                                      "a.lock", "a.db",   "0",   "00",        "1e5",    "rowid",
                                      "key",    "null",   "CON", "a.json.tmp" };
  g_autoptr(StrandStore) store = store_make (self);
  guint n = G_N_ELEMENTS (keys);

  for (guint i = 0; i < n; i++)
    store_put_text (store, keys[i], STRAND_FIELD_MESSAGE, keys[i]);
  g_assert_cmpint (store_count (store, NULL), ==, n);
  for (guint i = 0; i < n; i++)
    {
      g_autoptr(StrandRecord) read = store_get (store, keys[i]);

      g_assert_cmpstr (strand_record_get_string (read, STRAND_FIELD_MESSAGE), ==, keys[i]);
      store_remove (store, keys[i]);
      g_assert_cmpint (store_count (store, NULL), ==, n - i - 1);
    }
}

const StrandConformanceCase store_key_cases[] = {
  { "keys/grammar", "A key that breaks the grammar is `INVALID_KEY`, to read and to remove.", bad_keys },
  { "keys/longest", "Keys of 128 characters are kept, and told apart by the last.", longest_key },
  { "keys/similar", "Keys that differ in case, length or a suffix are different, whatever they look like.",
    similar_keys },
  { 0 },
};
