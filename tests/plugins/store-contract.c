/* store-contract.c — the clauses of the store contract, one test each.
 *
 * The tests use the public functions only, so that they also hold the border guard to its word. Nothing here
 * sleeps: expiry is tried with a clock that stands still until it is moved, and changes are waited for.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store-contract.h"

#include <dlfcn.h>

/* A change that has not been told after so long never will be. */
#define DEADLINE_US (20 * G_USEC_PER_SEC)

/* What a listener notes when it is told that any record may have changed. */
#define ANY_KEY "*"

#define N_THREADS 8

#define NOW_US G_GINT64_CONSTANT (1700000000000000)

typedef struct
{
  const StoreContract *contract;
  gpointer place;
  StrandStore *store;
} Fixture;

typedef struct
{
  GMutex lock;
  GCond changed;
  GHashTable *told; /* set of keys */
  guint n_told;
} Listener;

static void
fixture_set_up (Fixture *f, gconstpointer contract)
{
  f->contract = contract;
  f->place = f->contract->make_place ();
  f->store = f->contract->open (f->place);
}

static void
fixture_tear_down (Fixture *f, gconstpointer unused)
{
  strand_clock_set_system ();
  g_object_unref (f->store);
  f->contract->remove_place (f->place);
}

GType
store_contract_load (const char *plugin)
{
  g_autofree char *name = g_strconcat (plugin, ".so", NULL);
  g_auto(GStrv) folders = g_strsplit (g_getenv ("STRAND_PLUGIN_PATH"), ":", -1);

  for (guint i = 0; folders[i] != NULL; i++)
    {
      g_autofree char *file = g_build_filename (folders[i], name, NULL);
      void *module = dlopen (file, RTLD_NOW | RTLD_LOCAL);
      const StrandPluginGetType *types = module != NULL ? dlsym (module, "strand_plugin_types") : NULL;

      if (types != NULL)
        return types[0]();
    }
  g_error ("No plugin '%s' in '%s'", name, g_getenv ("STRAND_PLUGIN_PATH"));
}

StrandRecord *
store_contract_record (const char *key)
{
  StrandRecord *record = strand_record_new (key);
  g_autoptr(GBytes) arguments = g_bytes_new_static ("[20,22]", 7);

  strand_record_set_string (record, STRAND_FIELD_FUNCTION, "demo.add");
  strand_record_set_string (record, STRAND_FIELD_SERIALIZER, "json");
  strand_record_set_string (record, STRAND_FIELD_ARGUMENTS_TYPE, "(xx)");
  strand_record_set_bytes (record, STRAND_FIELD_ARGUMENTS, arguments);
  strand_record_set_int (record, STRAND_FIELD_CREATED, NOW_US);
  return record;
}

static void
put_new (StrandStore *store, StrandRecord *record)
{
  g_autoptr(GError) error = NULL;
  gboolean done = strand_store_put (store, record, 0, &error);

  g_assert_no_error (error);
  g_assert_true (done);
}

static void
put_key (StrandStore *store, const char *key)
{
  g_autoptr(StrandRecord) record = store_contract_record (key);

  put_new (store, record);
}

static StrandRecord *
get_ok (StrandStore *store, const char *key)
{
  g_autoptr(GError) error = NULL;
  StrandRecord *record = strand_store_get (store, key, &error);

  g_assert_no_error (error);
  g_assert_nonnull (record);
  return record;
}

static void
assert_there (StrandStore *store, const char *key)
{
  g_autoptr(StrandRecord) record = get_ok (store, key);

  g_assert_cmpstr (strand_record_get_key (record), ==, key);
}

static void
assert_gone (StrandStore *store, const char *key)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandRecord) record = strand_store_get (store, key, &error);
  g_autofree char *quoted = g_strdup_printf ("'%s'", key);

  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND);
  g_assert_null (record);
  g_assert_nonnull (strstr (error->message, quoted));
}

static void
set_ended (StrandRecord *record, gint64 completed_us, gint64 ttl_us)
{
  strand_record_set_int (record, STRAND_FIELD_STATUS, STRAND_STATUS_COMPLETED);
  strand_record_set_int (record, STRAND_FIELD_COMPLETED, completed_us);
  strand_record_set_int (record, STRAND_FIELD_TTL, ttl_us);
}

static void
put_ended (StrandStore *store, const char *key, gint64 completed_us, gint64 ttl_us)
{
  g_autoptr(StrandRecord) record = store_contract_record (key);

  set_ended (record, completed_us, ttl_us);
  put_new (store, record);
}

/* All keys of a listing, in pages of @limit. Fails if one comes twice. */
static GHashTable *
list_keys (StrandStore *store, const StrandFilter *filter, guint limit)
{
  g_autoptr(GHashTable) keys = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autofree char *cursor = NULL;

  do
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(StrandPage) page = strand_store_list (store, filter, cursor, limit, &error);
      GPtrArray *records;

      g_assert_no_error (error);
      g_assert_nonnull (page);
      g_assert_cmpuint (strand_page_get_n_unreadable (page), ==, 0);
      records = strand_page_get_records (page);
      g_assert_cmpuint (records->len, <=, limit);
      for (guint i = 0; i < records->len; i++)
        g_assert_true (
            g_hash_table_add (keys, g_strdup (strand_record_get_key (g_ptr_array_index (records, i)))));
      g_free (cursor);
      cursor = g_strdup (strand_page_get_next (page));
    }
  while (cursor != NULL);
  return g_steal_pointer (&keys);
}

/* --- get ----------------------------------------------------------------------------------------------- */

static void
test_unknown_key_is_not_found (Fixture *f, gconstpointer unused)
{
  assert_gone (f->store, "job-17");
}

static void
test_gotten_record_is_your_own (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandRecord) first = NULL;
  g_autoptr(StrandRecord) second = NULL;

  put_key (f->store, "job-17");
  first = get_ok (f->store, "job-17");
  strand_record_set_string (first, STRAND_FIELD_MESSAGE, "scribbled");
  second = get_ok (f->store, "job-17");

  g_assert_null (strand_record_get_string (second, STRAND_FIELD_MESSAGE));
}

/* --- put ----------------------------------------------------------------------------------------------- */

/* A value that no field has by default. */
static void
fill_field (StrandRecord *record, StrandField field)
{
  g_autofree char *text = g_strdup_printf ("field-%u \"é\n\t\\ end", field);
  g_autoptr(GBytes) bytes = g_bytes_new_static ("[1,\"\\u0000\"]", 12);
  GVariantBuilder metadata;

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
      if (field == STRAND_FIELD_METADATA)
        {
          g_variant_builder_init (&metadata, G_VARIANT_TYPE_VARDICT);
          g_variant_builder_add (&metadata, "{sv}", "t", g_variant_new_uint64 (G_MAXUINT64));
          g_variant_builder_add (&metadata, "{sv}", "d", g_variant_new_double (1e308));
          strand_record_set_variant (record, field, g_variant_builder_end (&metadata));
        }
      else if (field == STRAND_FIELD_HEADERS)
        strand_record_set_variant (record, field, g_variant_new_parsed ("{'trace': 'a'}"));
      else if (field == STRAND_FIELD_WARNINGS)
        strand_record_set_variant (record, field, g_variant_new_parsed ("['slow', 'late']"));
      break;
    default:
      g_assert_not_reached ();
    }
}

static void
assert_same_field (StrandRecord *a, StrandRecord *b, StrandField field)
{
  GVariant *one, *other;

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
    case STRAND_SHAPE_BYTES:
      g_assert_nonnull (strand_record_get_bytes (b, field));
      g_assert_true (g_bytes_equal (strand_record_get_bytes (a, field), strand_record_get_bytes (b, field)));
      break;
    case STRAND_SHAPE_VARIANT:
      one = strand_record_get_variant (a, field);
      other = strand_record_get_variant (b, field);
      g_assert_cmpint (one != NULL, ==, other != NULL);
      if (one != NULL)
        g_assert_cmpvariant (one, other);
      break;
    default:
      g_assert_not_reached ();
    }
}

static void
test_every_field_is_kept (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandRecord) written = strand_record_new ("job-17");
  g_autoptr(StrandRecord) read = NULL;
  g_autoptr(GError) cause = g_error_new (STRAND_ERROR, STRAND_ERROR_CRASHED, "signal 11");

  for (StrandField field = 0; field < STRAND_N_FIELDS; field++)
    if (field != STRAND_FIELD_KEY && field != STRAND_FIELD_REVISION && field != STRAND_FIELD_CAUSES)
      fill_field (written, field);
  strand_record_set_string (written, STRAND_FIELD_ARGUMENTS_TYPE, "(ix)");
  strand_record_set_string (written, STRAND_FIELD_VALUE_TYPE, "(is)");
  strand_record_set_string (written, STRAND_FIELD_SERIALIZER, "json");
  strand_record_add_cause (written, "worker-1", cause);
  put_new (f->store, written);

  read = get_ok (f->store, "job-17");
  for (StrandField field = 0; field < STRAND_N_FIELDS; field++)
    assert_same_field (written, read, field);
}

static void
test_put_counts_revisions (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandRecord) record = store_contract_record ("job-17");
  g_autoptr(StrandRecord) read = NULL;
  g_autoptr(GError) error = NULL;

  for (guint64 expected = 0; expected < 5; expected++)
    {
      g_assert_true (strand_store_put (f->store, record, expected, &error));
      g_assert_no_error (error);
      g_assert_cmpuint (strand_record_get_revision (record), ==, expected + 1);
    }
  read = get_ok (f->store, "job-17");
  g_assert_cmpuint (strand_record_get_revision (read), ==, 5);
}

static void
test_put_keeps_no_reference (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandRecord) record = store_contract_record ("job-17");
  g_autoptr(StrandRecord) read = NULL;

  put_new (f->store, record);
  strand_record_set_string (record, STRAND_FIELD_MESSAGE, "scribbled");
  read = get_ok (f->store, "job-17");

  g_assert_null (strand_record_get_string (read, STRAND_FIELD_MESSAGE));
}

static void
test_existing_key_is_not_created_again (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandRecord) other = store_contract_record ("job-17");
  g_autoptr(StrandRecord) read = NULL;
  g_autoptr(GError) error = NULL;

  put_key (f->store, "job-17");
  strand_record_set_string (other, STRAND_FIELD_MESSAGE, "second");

  g_assert_false (strand_store_put (f->store, other, 0, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_EXISTS);
  g_assert_nonnull (strstr (error->message, "'job-17'"));
  g_assert_cmpuint (strand_record_get_revision (other), ==, 0);
  read = get_ok (f->store, "job-17");
  g_assert_null (strand_record_get_string (read, STRAND_FIELD_MESSAGE));
}

static void
test_stale_put_changes_nothing (Fixture *f, gconstpointer unused)
{
  const guint64 wrong[] = { 1, 3, 4000 };
  g_autoptr(StrandRecord) record = store_contract_record ("job-17");

  put_new (f->store, record);
  g_assert_true (strand_store_put (f->store, record, 1, NULL));
  for (guint i = 0; i < G_N_ELEMENTS (wrong); i++)
    {
      g_autoptr(StrandRecord) late = store_contract_record ("job-17");
      g_autoptr(StrandRecord) read = NULL;
      g_autoptr(GError) error = NULL;

      strand_record_set_string (late, STRAND_FIELD_MESSAGE, "late");
      g_assert_false (strand_store_put (f->store, late, wrong[i], &error));
      g_assert_error (error, STRAND_ERROR, STRAND_ERROR_STALE);
      read = get_ok (f->store, "job-17");
      g_assert_null (strand_record_get_string (read, STRAND_FIELD_MESSAGE));
      g_assert_cmpuint (strand_record_get_revision (read), ==, 2);
    }
}

static void
test_put_over_removed_record_is_stale (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandRecord) record = store_contract_record ("job-17");
  g_autoptr(GError) error = NULL;
  g_autoptr(GError) never_error = NULL;

  put_new (f->store, record);
  g_assert_true (strand_store_remove (f->store, "job-17", 0, NULL));
  g_assert_false (strand_store_put (f->store, record, 1, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_STALE);
  assert_gone (f->store, "job-17");

  g_clear_pointer (&record, strand_record_unref);
  record = store_contract_record ("job-18");
  g_assert_false (strand_store_put (f->store, record, 1, &never_error));
  g_assert_error (never_error, STRAND_ERROR, STRAND_ERROR_STALE);
}

typedef struct
{
  StrandStore *store;
  guint n_rounds;
  guint n_won;
} Contender;

/* Adds one to a counter so often, reading again whenever somebody was faster. */
static gpointer
contend (gpointer data)
{
  Contender *self = data;

  while (self->n_won < self->n_rounds)
    {
      g_autoptr(StrandRecord) record = strand_store_get (self->store, "counter", NULL);
      g_autoptr(GError) error = NULL;

      strand_record_set_int (record, STRAND_FIELD_CRASHES,
                             strand_record_get_int (record, STRAND_FIELD_CRASHES) + 1);
      if (strand_store_put (self->store, record, strand_record_get_revision (record), &error))
        self->n_won++;
      else
        g_assert_error (error, STRAND_ERROR, STRAND_ERROR_STALE);
    }
  return NULL;
}

static void
test_no_accepted_write_is_lost_between_threads (Fixture *f, gconstpointer unused)
{
  Contender contenders[N_THREADS];
  GThread *threads[N_THREADS];
  g_autoptr(StrandRecord) read = NULL;

  put_key (f->store, "counter");
  for (guint i = 0; i < N_THREADS; i++)
    {
      contenders[i] = (Contender){ f->store, 50, 0 };
      threads[i] = g_thread_new ("contender", contend, &contenders[i]);
    }
  for (guint i = 0; i < N_THREADS; i++)
    g_thread_join (threads[i]);

  read = get_ok (f->store, "counter");
  g_assert_cmpint (strand_record_get_int (read, STRAND_FIELD_CRASHES), ==, N_THREADS * 50);
  g_assert_cmpuint (strand_record_get_revision (read), ==, N_THREADS * 50 + 1);
}

static gpointer
create_all (gpointer data)
{
  Contender *self = data;

  for (guint i = 0; i < self->n_rounds; i++)
    {
      g_autofree char *key = g_strdup_printf ("new-%u", i);
      g_autoptr(StrandRecord) record = store_contract_record (key);
      g_autoptr(GError) error = NULL;

      if (strand_store_put (self->store, record, 0, &error))
        self->n_won++;
      else
        g_assert_error (error, STRAND_ERROR, STRAND_ERROR_EXISTS);
    }
  return NULL;
}

static void
test_each_key_is_created_once_between_threads (Fixture *f, gconstpointer unused)
{
  Contender contenders[N_THREADS];
  GThread *threads[N_THREADS];
  guint n_won = 0;

  for (guint i = 0; i < N_THREADS; i++)
    {
      contenders[i] = (Contender){ f->store, 100, 0 };
      threads[i] = g_thread_new ("creator", create_all, &contenders[i]);
    }
  for (guint i = 0; i < N_THREADS; i++)
    {
      g_thread_join (threads[i]);
      n_won += contenders[i].n_won;
    }
  g_assert_cmpuint (n_won, ==, 100);
}

static void
test_large_record_is_kept_whole (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandRecord) record = store_contract_record ("job-17");
  g_autoptr(StrandRecord) read = NULL;
  g_autofree char *text = g_malloc (1024 * 1024);
  g_autoptr(GBytes) bytes = NULL;

  memset (text, 'x', 1024 * 1024);
  text[0] = text[1024 * 1024 - 1] = '"';
  bytes = g_bytes_new (text, 1024 * 1024);
  set_ended (record, NOW_US, -1);
  strand_record_set_string (record, STRAND_FIELD_VALUE_TYPE, "s");
  strand_record_set_bytes (record, STRAND_FIELD_VALUE, bytes);
  put_new (f->store, record);

  read = get_ok (f->store, "job-17");
  g_assert_true (g_bytes_equal (strand_record_get_bytes (read, STRAND_FIELD_VALUE), bytes));
}

static void
test_record_over_the_limit_is_too_large (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandRecord) record = store_contract_record ("job-17");
  g_autofree char *text = g_strnfill (4096, 'x');
  g_autoptr(GError) error = NULL;

  g_object_set (f->store, "max-record-size", G_GINT64_CONSTANT (4096), NULL);
  strand_record_set_string (record, STRAND_FIELD_MESSAGE, text);
  g_assert_false (strand_store_put (f->store, record, 0, &error));

  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_TOO_LARGE);
  g_assert_nonnull (strstr (error->message, "4KiB"));
  g_assert_nonnull (strstr (error->message, "max-record-size"));
  assert_gone (f->store, "job-17");
}

/* --- remove -------------------------------------------------------------------------------------------- */

static void
test_removed_record_is_gone (Fixture *f, gconstpointer unused)
{
  g_autoptr(GError) error = NULL;

  put_key (f->store, "job-17");
  put_key (f->store, "job-18");
  g_assert_true (strand_store_remove (f->store, "job-17", 0, &error));
  g_assert_no_error (error);
  assert_gone (f->store, "job-17");
  g_assert_true (strand_store_remove (f->store, "job-18", 1, &error));
  g_assert_no_error (error);
  assert_gone (f->store, "job-18");
  put_key (f->store, "job-17");
}

static void
test_removing_an_unknown_key_is_not_found (Fixture *f, gconstpointer unused)
{
  for (guint64 expected = 0; expected < 2; expected++)
    {
      g_autoptr(GError) error = NULL;

      g_assert_false (strand_store_remove (f->store, "job-17", expected, &error));
      g_assert_error (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND);
    }
}

static void
test_stale_remove_changes_nothing (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandRecord) read = NULL;
  g_autoptr(GError) error = NULL;

  put_key (f->store, "job-17");
  g_assert_false (strand_store_remove (f->store, "job-17", 2, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_STALE);
  read = get_ok (f->store, "job-17");
}

/* --- keys ---------------------------------------------------------------------------------------------- */

static void
test_key_that_breaks_the_grammar_is_invalid (Fixture *f, gconstpointer unused)
{
  g_autofree char *long_key = g_strnfill (129, 'k');
  const char *bad[] = { "", ".", "..", "../x", "a/b", ".hidden", "a b", "a\nb", "\xff", "é", long_key };

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr(StrandRecord) record = NULL;
      g_autoptr(GError) get_error = NULL;
      g_autoptr(GError) remove_error = NULL;

      record = strand_store_get (f->store, bad[i], &get_error);
      g_assert_null (record);
      g_assert_error (get_error, STRAND_ERROR, STRAND_ERROR_INVALID_KEY);
      g_assert_false (strand_store_remove (f->store, bad[i], 0, &remove_error));
      g_assert_error (remove_error, STRAND_ERROR, STRAND_ERROR_INVALID_KEY);
    }
}

static void
test_longest_key_is_kept (Fixture *f, gconstpointer unused)
{
  g_autofree char *key = g_strnfill (128, 'k');
  g_autoptr(StrandRecord) read = NULL;

  put_key (f->store, key);
  read = get_ok (f->store, key);
}

/* --- list ---------------------------------------------------------------------------------------------- */

static void
put_many (StrandStore *store, guint n)
{
  for (guint i = 0; i < n; i++)
    {
      g_autofree char *key = g_strdup_printf ("job-%u", i);

      put_key (store, key);
    }
}

static void
test_empty_store_lists_nothing (Fixture *f, gconstpointer unused)
{
  g_autoptr(GHashTable) keys = list_keys (f->store, NULL, 10);

  g_assert_cmpuint (g_hash_table_size (keys), ==, 0);
  g_assert_cmpint (strand_store_count (f->store, NULL, NULL), ==, 0);
}

static void
test_every_record_is_in_one_page (Fixture *f, gconstpointer unused)
{
  const guint limits[] = { 1, 7, 100, 1000 };

  put_many (f->store, 100);
  for (guint i = 0; i < G_N_ELEMENTS (limits); i++)
    {
      g_autoptr(GHashTable) keys = list_keys (f->store, NULL, limits[i]);

      g_assert_cmpuint (g_hash_table_size (keys), ==, 100);
    }
  g_assert_cmpint (strand_store_count (f->store, NULL, NULL), ==, 100);
}

/* Removes what has been listed and adds new records while a listing goes on. */
static void
test_listing_is_stable_while_records_come_and_go (Fixture *f, gconstpointer unused)
{
  g_autoptr(GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autofree char *cursor = NULL;
  guint n_pages = 0;

  put_many (f->store, 60);
  do
    {
      g_autoptr(StrandPage) page = strand_store_list (f->store, NULL, cursor, 7, NULL);
      GPtrArray *records = strand_page_get_records (page);
      g_autofree char *fresh = g_strdup_printf ("fresh-%u", n_pages++);

      for (guint i = 0; i < records->len; i++)
        {
          const char *key = strand_record_get_key (g_ptr_array_index (records, i));

          g_assert_true (g_hash_table_add (seen, g_strdup (key)));
          g_assert_true (strand_store_remove (f->store, key, 0, NULL));
        }
      if (n_pages < 20)
        put_key (f->store, fresh);
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
put_with (StrandStore *store, const char *key, StrandField field, const char *text)
{
  g_autoptr(StrandRecord) record = store_contract_record (key);

  strand_record_set_string (record, field, text);
  put_new (store, record);
}

static void
assert_lists_only (StrandStore *store, const StrandFilter *filter, const char *key)
{
  g_autoptr(GHashTable) keys = list_keys (store, filter, 3);

  g_assert_cmpuint (g_hash_table_size (keys), ==, 1);
  g_assert_true (g_hash_table_contains (keys, key));
  g_assert_cmpint (strand_store_count (store, filter, NULL), ==, 1);
}

static void
test_filter_conditions_all_hold (Fixture *f, gconstpointer unused)
{
  g_autoptr(GHashTable) calls = NULL;
  g_autoptr(GHashTable) everything = NULL;

  put_many (f->store, 10);
  put_with (f->store, "grouped", STRAND_FIELD_KIND, "group");
  put_with (f->store, "queued", STRAND_FIELD_QUEUE, "mail");
  put_with (f->store, "other", STRAND_FIELD_FUNCTION, "demo.sleep");
  put_with (f->store, "held", STRAND_FIELD_LEASE_OWNER, "worker-1");
  put_ended (f->store, "ended", NOW_US, -1);

  assert_lists_only (f->store, &(StrandFilter){ .kind = "group" }, "grouped");
  assert_lists_only (f->store, &(StrandFilter){ .queue = "mail" }, "queued");
  assert_lists_only (f->store, &(StrandFilter){ .function = "demo.sleep" }, "other");
  assert_lists_only (f->store, &(StrandFilter){ .lease_owner = "worker-1" }, "held");
  assert_lists_only (f->store, &(StrandFilter){ .statuses = 1 << STRAND_STATUS_COMPLETED }, "ended");
  g_assert_cmpint (
      strand_store_count (f->store, &(StrandFilter){ .queue = "mail", .function = "demo.sleep" }, NULL), ==,
      0);

  calls = list_keys (f->store, NULL, 3);
  g_assert_cmpuint (g_hash_table_size (calls), ==, 14);
  everything = list_keys (f->store, &(StrandFilter){ .kind = "*" }, 3);
  g_assert_cmpuint (g_hash_table_size (everything), ==, 15);
}

static void
test_text_that_is_no_cursor_is_invalid (Fixture *f, gconstpointer unused)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandPage) page = strand_store_list (f->store, NULL, "\x01 no cursor", 10, &error);

  g_assert_null (page);
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT);
}

/* --- time to live -------------------------------------------------------------------------------------- */

static void
test_expired_record_is_hidden_and_removed (Fixture *f, gconstpointer unused)
{
  g_autoptr(GHashTable) keys = NULL;

  strand_clock_set_manual (NOW_US);
  g_object_set (f->store, "auto-cleanup", FALSE, NULL);
  put_ended (f->store, "short", NOW_US, 10);
  put_ended (f->store, "gone", NOW_US, 10);
  put_ended (f->store, "long", NOW_US, 1000);
  put_ended (f->store, "for-ever", NOW_US, -1);

  strand_clock_advance (10);
  assert_gone (f->store, "short");
  g_assert_cmpint (strand_store_count (f->store, NULL, NULL), ==, 2);
  keys = list_keys (f->store, NULL, 1);
  g_assert_cmpuint (g_hash_table_size (keys), ==, 2);

  /* Not only hidden: with the clock back where it was, they do not come back. */
  strand_clock_set_manual (NOW_US);
  assert_gone (f->store, "short");
  assert_gone (f->store, "gone");
}

static void
test_ttl_counts_from_the_end_of_a_call (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandRecord) pending = store_contract_record ("pending");
  g_autoptr(StrandRecord) running = store_contract_record ("running");
  g_autoptr(StrandRecord) read = NULL;

  strand_clock_set_manual (NOW_US);
  g_object_set (f->store, "ttl", G_GINT64_CONSTANT (1000), NULL);
  strand_record_set_int (running, STRAND_FIELD_STATUS, STRAND_STATUS_RUNNING);
  put_new (f->store, pending);
  put_new (f->store, running);

  strand_clock_advance (1000 * 1000);
  g_assert_cmpint (strand_store_cleanup_expired (f->store, -1, NULL), ==, 0);
  g_assert_cmpint (strand_store_count (f->store, NULL, NULL), ==, 2);

  read = get_ok (f->store, "running");
  strand_record_set_int (read, STRAND_FIELD_STATUS, STRAND_STATUS_COMPLETED);
  strand_record_set_int (read, STRAND_FIELD_COMPLETED, strand_clock_now_us ());
  g_assert_true (strand_store_put (f->store, read, 1, NULL));
  strand_clock_advance (999);
  g_assert_cmpint (strand_store_count (f->store, NULL, NULL), ==, 2);
  strand_clock_advance (1);
  g_assert_cmpint (strand_store_cleanup_expired (f->store, -1, NULL), ==, 1);
}

static void
test_own_ttl_goes_before_the_stores (Fixture *f, gconstpointer unused)
{
  strand_clock_set_manual (NOW_US);
  g_object_set (f->store, "ttl", G_GINT64_CONSTANT (1000), NULL);
  put_ended (f->store, "short", NOW_US, 10);
  put_ended (f->store, "stores", NOW_US, -1);
  put_ended (f->store, "for-ever", NOW_US, G_MAXINT64);

  strand_clock_advance (10);
  g_assert_cmpint (strand_store_cleanup_expired (f->store, -1, NULL), ==, 1);
  strand_clock_advance (990);
  g_assert_cmpint (strand_store_cleanup_expired (f->store, -1, NULL), ==, 1);
  strand_clock_advance (G_GINT64_CONSTANT (1000000) * 60 * 60 * 24 * 365 * 100);
  g_assert_cmpint (strand_store_cleanup_expired (f->store, -1, NULL), ==, 0);
}

static void
test_expired_record_is_not_in_the_way (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandRecord) read = NULL;

  strand_clock_set_manual (NOW_US);
  g_object_set (f->store, "auto-cleanup", FALSE, NULL);
  put_ended (f->store, "job-17", NOW_US, 10);
  strand_clock_advance (10);
  put_key (f->store, "job-17");

  read = get_ok (f->store, "job-17");
  g_assert_cmpuint (strand_record_get_revision (read), ==, 1);
  g_assert_cmpint (strand_record_get_status (read), ==, STRAND_STATUS_PENDING);
}

static void
test_cleanup_removes_all_that_expired (Fixture *f, gconstpointer unused)
{
  strand_clock_set_manual (NOW_US);
  g_object_set (f->store, "auto-cleanup", FALSE, NULL);
  put_many (f->store, 20);
  for (guint i = 0; i < 300; i++)
    {
      g_autofree char *key = g_strdup_printf ("ended-%u", i);

      put_ended (f->store, key, NOW_US, i % 3 == 0 ? 1000 : 10);
    }

  strand_clock_advance (10);
  g_assert_cmpint (strand_store_cleanup_expired (f->store, -1, NULL), ==, 200);
  g_assert_cmpint (strand_store_count (f->store, &(StrandFilter){ .kind = "*" }, NULL), ==, 120);
}

/* A budget of nothing must still make progress, and see the whole store in the end. */
static void
test_small_cleanups_see_the_whole_store (Fixture *f, gconstpointer unused)
{
  gint64 n_removed = 0;

  g_object_set (f->store, "auto-cleanup", FALSE, NULL);
  put_many (f->store, 50);
  for (guint i = 0; i < 50; i++)
    {
      g_autofree char *key = g_strdup_printf ("ended-%u", i);

      put_ended (f->store, key, NOW_US, 10);
    }
  for (guint i = 0; i < 2000 && n_removed < 50; i++)
    n_removed += strand_store_cleanup_expired (f->store, 0, NULL);
  g_assert_cmpint (n_removed, ==, 50);
}

static void
test_using_the_store_cleans_it_up (Fixture *f, gconstpointer unused)
{
  strand_clock_set_manual (NOW_US);
  put_ended (f->store, "ended", NOW_US, 10);
  put_key (f->store, "job-17");
  g_object_set (f->store, "cleanup-probability", 1.0, NULL);
  strand_clock_advance (10);

  assert_there (f->store, "job-17");
  strand_clock_set_manual (NOW_US);
  assert_gone (f->store, "ended");
}

static void
test_no_cleanup_unless_wanted (Fixture *f, gconstpointer unused)
{
  strand_clock_set_manual (NOW_US);
  put_ended (f->store, "ended", NOW_US, 10);
  put_key (f->store, "job-17");
  g_object_set (f->store, "cleanup-probability", 1.0, "auto-cleanup", FALSE, NULL);
  strand_clock_advance (10);

  assert_there (f->store, "job-17");
  strand_clock_set_manual (NOW_US);
  assert_there (f->store, "ended");
}

/* --- watch --------------------------------------------------------------------------------------------- */

static void
listener_init (Listener *self)
{
  g_mutex_init (&self->lock);
  g_cond_init (&self->changed);
  self->told = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  self->n_told = 0;
}

static void
listener_clear (Listener *self)
{
  g_hash_table_unref (self->told);
  g_cond_clear (&self->changed);
  g_mutex_clear (&self->lock);
}

static void
listen (StrandStore *store, const char *key, gpointer data)
{
  Listener *self = data;

  g_mutex_lock (&self->lock);
  g_hash_table_add (self->told, g_strdup (key != NULL ? key : ANY_KEY));
  self->n_told++;
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
}

static void
forget (Listener *self)
{
  g_mutex_lock (&self->lock);
  g_hash_table_remove_all (self->told);
  g_mutex_unlock (&self->lock);
}

static void
await (Listener *self, const char *key)
{
  gint64 deadline_us = g_get_monotonic_time () + DEADLINE_US;

  g_mutex_lock (&self->lock);
  while (!g_hash_table_contains (self->told, key) && !g_hash_table_contains (self->told, ANY_KEY))
    if (!g_cond_wait_until (&self->changed, &self->lock, deadline_us))
      g_error ("nobody told that '%s' changed", key);
  g_mutex_unlock (&self->lock);
}

static void
test_watcher_is_told_of_writes_and_removals (Fixture *f, gconstpointer unused)
{
  Listener one, all;
  guint one_id, all_id;

  listener_init (&one);
  listener_init (&all);
  one_id = strand_store_watch (f->store, "job-17", listen, &one, NULL);
  all_id = strand_store_watch (f->store, NULL, listen, &all, NULL);

  put_key (f->store, "job-17");
  await (&one, "job-17");
  await (&all, "job-17");
  forget (&one);
  put_key (f->store, "job-18");
  await (&all, "job-18");
  g_assert_true (strand_store_remove (f->store, "job-17", 0, NULL));
  await (&one, "job-17");

  strand_store_unwatch (f->store, one_id);
  strand_store_unwatch (f->store, all_id);
  g_assert_false (g_hash_table_contains (one.told, "job-18"));
  listener_clear (&one);
  listener_clear (&all);
}

static void
test_watcher_is_told_of_expiry (Fixture *f, gconstpointer unused)
{
  Listener listener;
  guint id;

  strand_clock_set_manual (NOW_US);
  put_ended (f->store, "ended", NOW_US, 10);
  listener_init (&listener);
  id = strand_store_watch (f->store, "ended", listen, &listener, NULL);
  strand_clock_advance (10);
  g_assert_cmpint (strand_store_cleanup_expired (f->store, -1, NULL), ==, 1);
  await (&listener, "ended");

  strand_store_unwatch (f->store, id);
  listener_clear (&listener);
}

static void
test_unwatched_function_is_not_called (Fixture *f, gconstpointer unused)
{
  Listener listener;
  guint id, n_told;

  listener_init (&listener);
  id = strand_store_watch (f->store, "job-17", listen, &listener, NULL);
  put_key (f->store, "job-17");
  await (&listener, "job-17");
  strand_store_unwatch (f->store, id);
  n_told = listener.n_told;
  g_assert_true (strand_store_remove (f->store, "job-17", 0, NULL));
  put_key (f->store, "job-17");
  g_assert_cmpuint (listener.n_told, ==, n_told);
  listener_clear (&listener);
}

/* --- two objects over one place ------------------------------------------------------------------------ */

static void
test_other_object_sees_what_was_stored (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandStore) other = f->contract->open (f->place);
  g_autoptr(StrandRecord) read = NULL;

  put_key (f->store, "job-17");
  read = get_ok (other, "job-17");
  g_assert_true (strand_store_put (other, read, 1, NULL));
  g_clear_pointer (&read, strand_record_unref);
  read = get_ok (f->store, "job-17");
  g_assert_cmpuint (strand_record_get_revision (read), ==, 2);
}

static void
test_watcher_is_told_what_another_object_writes (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandStore) other = f->contract->open (f->place);
  Listener one, all;
  guint one_id, all_id;

  listener_init (&one);
  listener_init (&all);
  one_id = strand_store_watch (f->store, "job-17", listen, &one, NULL);
  all_id = strand_store_watch (f->store, NULL, listen, &all, NULL);
  for (guint round = 0; round < 3; round++)
    {
      put_key (other, "job-17");
      await (&one, "job-17");
      await (&all, "job-17");
      forget (&one);
      g_assert_true (strand_store_remove (other, "job-17", 0, NULL));
      await (&one, "job-17");
      forget (&one);
      forget (&all);
    }
  strand_store_unwatch (f->store, one_id);
  strand_store_unwatch (f->store, all_id);
  listener_clear (&one);
  listener_clear (&all);
}

/* --- close --------------------------------------------------------------------------------------------- */

static void
test_closed_store_says_so (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandRecord) record = store_contract_record ("job-17");
  g_autoptr(StrandRecord) read = NULL;
  g_autoptr(StrandPage) page = NULL;
  g_autoptr(GError) get_error = NULL;
  g_autoptr(GError) put_error = NULL;
  g_autoptr(GError) remove_error = NULL;
  g_autoptr(GError) list_error = NULL;

  put_key (f->store, "job-18");
  strand_store_close (f->store);
  strand_store_close (f->store);

  read = strand_store_get (f->store, "job-18", &get_error);
  g_assert_error (get_error, STRAND_ERROR, STRAND_ERROR_CLOSED);
  g_assert_false (strand_store_put (f->store, record, 0, &put_error));
  g_assert_error (put_error, STRAND_ERROR, STRAND_ERROR_CLOSED);
  g_assert_false (strand_store_remove (f->store, "job-18", 0, &remove_error));
  g_assert_error (remove_error, STRAND_ERROR, STRAND_ERROR_CLOSED);
  page = strand_store_list (f->store, NULL, NULL, 1, &list_error);
  g_assert_error (list_error, STRAND_ERROR, STRAND_ERROR_CLOSED);
}

void
store_contract_add (const char *path, const StoreContract *contract)
{
  static const struct
  {
    const char *clause;
    void (*run) (Fixture *f, gconstpointer unused);
    gboolean needs_sharing;
  } cases[] = {
    { "get/unknown-key-is-not-found", test_unknown_key_is_not_found },
    { "get/record-is-your-own", test_gotten_record_is_your_own },
    { "put/every-field-is-kept", test_every_field_is_kept },
    { "put/counts-revisions", test_put_counts_revisions },
    { "put/keeps-no-reference", test_put_keeps_no_reference },
    { "put/existing-key-is-not-created-again", test_existing_key_is_not_created_again },
    { "put/stale-changes-nothing", test_stale_put_changes_nothing },
    { "put/over-removed-record-is-stale", test_put_over_removed_record_is_stale },
    { "put/no-accepted-write-is-lost-between-threads", test_no_accepted_write_is_lost_between_threads },
    { "put/each-key-is-created-once-between-threads", test_each_key_is_created_once_between_threads },
    { "put/large-record-is-kept-whole", test_large_record_is_kept_whole },
    { "put/record-over-the-limit-is-too-large", test_record_over_the_limit_is_too_large },
    { "remove/removed-record-is-gone", test_removed_record_is_gone },
    { "remove/unknown-key-is-not-found", test_removing_an_unknown_key_is_not_found },
    { "remove/stale-changes-nothing", test_stale_remove_changes_nothing },
    { "key/broken-grammar-is-invalid", test_key_that_breaks_the_grammar_is_invalid },
    { "key/longest-is-kept", test_longest_key_is_kept },
    { "list/empty-store-lists-nothing", test_empty_store_lists_nothing },
    { "list/every-record-is-in-one-page", test_every_record_is_in_one_page },
    { "list/stable-while-records-come-and-go", test_listing_is_stable_while_records_come_and_go },
    { "list/filter-conditions-all-hold", test_filter_conditions_all_hold },
    { "list/text-that-is-no-cursor-is-invalid", test_text_that_is_no_cursor_is_invalid },
    { "ttl/expired-record-is-hidden-and-removed", test_expired_record_is_hidden_and_removed },
    { "ttl/counts-from-the-end-of-a-call", test_ttl_counts_from_the_end_of_a_call },
    { "ttl/own-goes-before-the-stores", test_own_ttl_goes_before_the_stores },
    { "ttl/expired-record-is-not-in-the-way", test_expired_record_is_not_in_the_way },
    { "cleanup/removes-all-that-expired", test_cleanup_removes_all_that_expired },
    { "cleanup/small-ones-see-the-whole-store", test_small_cleanups_see_the_whole_store },
    { "cleanup/using-the-store-cleans-it-up", test_using_the_store_cleans_it_up },
    { "cleanup/none-unless-wanted", test_no_cleanup_unless_wanted },
    { "watch/told-of-writes-and-removals", test_watcher_is_told_of_writes_and_removals },
    { "watch/told-of-expiry", test_watcher_is_told_of_expiry },
    { "watch/unwatched-function-is-not-called", test_unwatched_function_is_not_called },
    { "shared/other-object-sees-what-was-stored", test_other_object_sees_what_was_stored, TRUE },
    { "shared/watcher-is-told-what-another-object-writes", test_watcher_is_told_what_another_object_writes,
      TRUE },
    { "close/closed-store-says-so", test_closed_store_says_so },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *name = g_strdup_printf ("%s/%s", path, cases[i].clause);

      if (!cases[i].needs_sharing || contract->is_shared)
        g_test_add (name, Fixture, contract, fixture_set_up, cases[i].run, fixture_tear_down);
    }
}
