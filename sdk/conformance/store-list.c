/* store-list.c — listing in pages, by filter, and counting.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "store-private.h"

static void
empty_store (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(GHashTable) keys = store_list (store, NULL, 10);
  g_autoptr(GHashTable) everything = store_list (store, &(StrandFilter){ .kind = "*" }, 1);

  g_assert_cmpuint (g_hash_table_size (keys), ==, 0);
  g_assert_cmpuint (g_hash_table_size (everything), ==, 0);
}

static void
each_in_one_page (StrandConformance *self)
{
  static const guint limits[] = { 1, 7, 100, 1000 };
  g_autoptr(StrandStore) store = store_make (self);

  store_put_many (store, "job", 100);
  for (guint i = 0; i < G_N_ELEMENTS (limits); i++)
    {
      g_autoptr(GHashTable) keys = store_list (store, NULL, limits[i]);

      g_assert_cmpuint (g_hash_table_size (keys), ==, 100);
    }
}

/* Removes what has been listed and adds new records while a listing goes on. */
static void
come_and_go (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autofree char *cursor = NULL;
  guint n_pages = 0;

  store_put_many (store, "job", 60);
  do
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(StrandPage) page = strand_store_list (store, NULL, cursor, 7, &error);
      g_autofree char *fresh = g_strdup_printf ("fresh-%u", n_pages++);
      GPtrArray *records;

      g_assert_no_error (error);
      records = strand_page_get_records (page);
      for (guint i = 0; i < records->len; i++)
        {
          const char *key = strand_record_get_key (records->pdata[i]);

          g_assert_true (g_hash_table_add (seen, g_strdup (key)));
          store_remove (store, key);
        }
      if (n_pages < 20)
        store_put_key (store, fresh);
      g_free (cursor);
      cursor = g_strdup (strand_page_get_next (page));
    }
  while (cursor != NULL);

  for (guint i = 0; i < 60; i++)
    {
      g_autofree char *key = g_strdup_printf ("job-%u", i);

      g_assert_true (g_hash_table_contains (seen, key));
    }
}

static void
rewritten_meanwhile (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autofree char *cursor = NULL;
  guint n_pages = 0;

  store_put_many (store, "job", 40);
  do
    {
      g_autofree char *key = g_strdup_printf ("job-%u", n_pages++ % 40);
      g_autoptr(StrandRecord) record = store_get (store, key);
      g_autoptr(GError) error = NULL;
      g_autoptr(StrandPage) page = strand_store_list (store, NULL, cursor, 3, &error);
      GPtrArray *records;

      g_assert_no_error (error);
      store_put (store, record);
      records = strand_page_get_records (page);
      for (guint i = 0; i < records->len; i++)
        g_assert_true (g_hash_table_add (seen, g_strdup (strand_record_get_key (records->pdata[i]))));
      g_free (cursor);
      cursor = g_strdup (strand_page_get_next (page));
    }
  while (cursor != NULL);
  g_assert_cmpuint (g_hash_table_size (seen), ==, 40);
}

static void
whole_records (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StrandRecord) record = store_work ("job-17", "mail", STORE_NOW_US);
  g_autoptr(StrandPage) page = NULL;
  g_autoptr(StrandRecord) read = NULL;
  g_autoptr(GError) error = NULL;
  StrandRecord *listed;

  store_put (store, record);
  store_put (store, record);
  page = strand_store_list (store, NULL, NULL, 10, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (strand_page_get_records (page)->len, ==, 1);
  listed = strand_page_get_records (page)->pdata[0];
  store_assert_same (listed, record);

  strand_record_set_string (listed, STRAND_FIELD_MESSAGE, "scribbled");
  read = store_get (store, "job-17");
  g_assert_null (strand_record_get_string (read, STRAND_FIELD_MESSAGE));
}

/* That exactly these keys, apart by blanks, are listed and counted. */
static void
assert_lists (StrandStore *store, const StrandFilter *filter, const char *expected)
{
  g_autoptr(GHashTable) found = store_list (store, filter, 3);
  g_auto(GStrv) keys = g_strsplit (expected, " ", -1);
  guint n = *expected != '\0' ? g_strv_length (keys) : 0;

  for (guint i = 0; i < n; i++)
    g_assert_true (g_hash_table_contains (found, keys[i]));
  g_assert_cmpuint (g_hash_table_size (found), ==, n);
  g_assert_cmpint (store_count (store, filter), ==, n);
}

static void
put_variety (StrandStore *store)
{
  g_autoptr(StrandRecord) both = store_work ("both", "mail", STORE_NOW_US);

  store_put_key (store, "plain");
  store_put_text (store, "grouped", STRAND_FIELD_KIND, "group");
  store_put_text (store, "queued", STRAND_FIELD_QUEUE, "mail");
  store_put_text (store, "other", STRAND_FIELD_FUNCTION, "demo.sleep");
  store_put_text (store, "held", STRAND_FIELD_LEASE_OWNER, "worker-1");
  store_put_ended (store, "ended", STORE_NOW_US, -1);
  strand_record_set_string (both, STRAND_FIELD_FUNCTION, "demo.sleep");
  store_put (store, both);
}

static void
filters (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);

  put_variety (store);
  assert_lists (store, &(StrandFilter){ .kind = "group" }, "grouped");
  assert_lists (store, &(StrandFilter){ .queue = "mail" }, "queued both");
  assert_lists (store, &(StrandFilter){ .function = "demo.sleep" }, "other both");
  assert_lists (store, &(StrandFilter){ .queue = "mail", .function = "demo.sleep" }, "both");
  assert_lists (store, &(StrandFilter){ .lease_owner = "worker-1" }, "held");
  assert_lists (store, &(StrandFilter){ .statuses = 1 << STRAND_STATUS_COMPLETED }, "ended");
  assert_lists (store, &(StrandFilter){ .kind = "group", .queue = "mail" }, "");
  assert_lists (store, &(StrandFilter){ .lease_owner = "worker-1", .function = "demo.sleep" }, "");
}

static void
kinds (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);

  put_variety (store);
  assert_lists (store, NULL, "plain queued other held ended both");
  assert_lists (store, &(StrandFilter){ 0 }, "plain queued other held ended both");
  assert_lists (store, &(StrandFilter){ .kind = "call" }, "plain queued other held ended both");
  assert_lists (store, &(StrandFilter){ .kind = "*" }, "plain grouped queued other held ended both");
  assert_lists (store, &(StrandFilter){ .kind = "nobodys" }, "");
}

static void
statuses (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);

  for (guint status = 0; status <= STRAND_STATUS_CANCELLED; status++)
    {
      g_autoptr(StrandRecord) record = store_record (strand_status_to_string (status));

      strand_record_set_int (record, STRAND_FIELD_STATUS, status);
      store_put (store, record);
    }
  for (guint status = 0; status <= STRAND_STATUS_CANCELLED; status++)
    assert_lists (store, &(StrandFilter){ .statuses = 1u << status }, strand_status_to_string (status));
  assert_lists (store,
                &(StrandFilter){ .statuses = 1 << STRAND_STATUS_FAILED | 1 << STRAND_STATUS_CANCELLED },
                "failed cancelled");
  assert_lists (store, &(StrandFilter){ .statuses = 1 << STRAND_STATUS_PENDING | 1 << STRAND_STATUS_RUNNING },
                "pending running");
}

/* Not by its first byte, not as a pattern, not folded. */
static void
names_are_exact (StrandConformance *self)
{
  static const char *const queues[] = { "mail",   "Mail",  "mai",    "mail ",  "m%",   "m*",  "m_il",
                                        "[m]ail", "mail'", "mail\"", "mail\\", "mäil", "a:b", "a\nb" };
  g_autoptr(StrandStore) store = store_make (self);

  for (guint i = 0; i < G_N_ELEMENTS (queues); i++)
    {
      g_autofree char *key = g_strdup_printf ("queue-%u", i);
      g_autoptr(StrandRecord) record = store_work (key, queues[i], STORE_NOW_US);

      strand_record_set_string (record, STRAND_FIELD_FUNCTION, queues[i]);
      store_put (store, record);
    }
  for (guint i = 0; i < G_N_ELEMENTS (queues); i++)
    {
      g_autofree char *key = g_strdup_printf ("queue-%u", i);

      assert_lists (store, &(StrandFilter){ .queue = queues[i] }, key);
      assert_lists (store, &(StrandFilter){ .function = queues[i] }, key);
    }
}

static void
changed_records (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StrandRecord) record = store_work ("job-17", "mail", STORE_NOW_US);

  store_put (store, record);
  strand_record_set_string (record, STRAND_FIELD_QUEUE, "other");
  strand_record_set_int (record, STRAND_FIELD_STATUS, STRAND_STATUS_FAILED);
  store_put (store, record);
  assert_lists (store, &(StrandFilter){ .queue = "mail" }, "");
  assert_lists (store, &(StrandFilter){ .statuses = 1 << STRAND_STATUS_PENDING }, "");
  assert_lists (store, &(StrandFilter){ .queue = "other" }, "job-17");
  store_remove (store, "job-17");
  assert_lists (store, &(StrandFilter){ .queue = "other" }, "");
}

static void
no_cursor (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandPage) page = NULL;

  store_put_many (store, "job", 3);
  page = strand_store_list (store, NULL, "\x01 no cursor", 10, &error);
  g_assert_null (page);
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT);
}

const StrandConformanceCase store_list_cases[] = {
  { "list/empty", "An empty store lists nothing.", empty_store },
  { "list/one-page", "Every record is in exactly one page, however many a page may have.", each_in_one_page },
  { "list/come-and-go", "What is there during the whole listing is in it, also if others come and go.",
    come_and_go },
  { "list/rewritten", "A record that is written again during a listing is listed once.",
    rewritten_meanwhile },
  { "list/whole", "A listed record is what `get` would give, and the caller's own.", whole_records },
  { "list/filters", "All conditions of a filter hold for what is listed and counted.", filters },
  { "list/kinds", "Without a kind only calls are listed; `*` lists every kind.", kinds },
  { "list/statuses", "A filter takes any set of statuses.", statuses },
  { "list/exact-names", "Names are compared byte by byte, and are no patterns.", names_are_exact },
  { "list/changed", "A listing goes by what a record says now, not by what it said before.",
    changed_records },
  { "list/no-cursor", "Text that is no cursor is `INVALID_ARGUMENT`.", no_cursor },
  { 0 },
};

static void
count_agrees (StrandConformance *self)
{
  static const char *const kinds[] = { NULL, "*", "call", "group" };
  g_autoptr(StrandStore) store = store_make (self);

  put_variety (store);
  store_put_many (store, "job", 20);
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    for (guint statuses = 0; statuses < 32; statuses++)
      {
        const StrandFilter filter = { .kind = kinds[i], .statuses = statuses };
        g_autoptr(GHashTable) listed = store_list (store, &filter, 100);

        g_assert_cmpint (store_count (store, &filter), ==, g_hash_table_size (listed));
      }
}

static void
count_changes (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);

  g_assert_cmpint (store_count (store, NULL), ==, 0);
  store_put_many (store, "job", 5);
  g_assert_cmpint (store_count (store, NULL), ==, 5);
  store_remove (store, "job-3");
  g_assert_cmpint (store_count (store, NULL), ==, 4);
}

const StrandConformanceCase store_count_cases[] = {
  { "count/agrees", "As many are counted as are listed, for any filter.", count_agrees },
  { "count/changes", "Each write and removal counts at once.", count_changes },
  { 0 },
};
