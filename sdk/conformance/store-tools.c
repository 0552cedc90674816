/* store-tools.c — what the cases for stores share.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "store-private.h"

#include <string.h>

/* What an ear notes when any record may have changed. */
#define ANY_KEY "*"

guint
store_times (StrandConformance *self, guint n)
{
  return strand_conformance_is_quick (self) ? MAX (n / 10, 5) : n;
}

StrandStore *
store_make (StrandConformance *self)
{
  return strand_conformance_make (self);
}

StrandStore *
store_make_with (StrandConformance *self, const char *property, const char *text)
{
  g_autoptr(GObject) model = strand_conformance_make (self);
  g_autoptr(GPtrArray) names = g_ptr_array_new ();
  g_autoptr(GArray) values = g_array_new (FALSE, TRUE, sizeof (GValue));
  guint n_properties;
  g_autofree GParamSpec **properties =
      g_object_class_list_properties (G_OBJECT_GET_CLASS (model), &n_properties);

  g_array_set_clear_func (values, (GDestroyNotify) g_value_unset);
  for (guint i = 0; i < n_properties; i++)
    if ((properties[i]->flags & G_PARAM_READWRITE) == G_PARAM_READWRITE)
      {
        GValue value = G_VALUE_INIT;

        g_value_init (&value, properties[i]->value_type);
        if (strcmp (properties[i]->name, property) == 0)
          g_value_set_string (&value, text);
        else
          g_object_get_property (model, properties[i]->name, &value);
        g_ptr_array_add (names, (gpointer) properties[i]->name);
        g_array_append_val (values, value);
      }
  return STRAND_STORE (g_object_new_with_properties (G_OBJECT_TYPE (model), names->len,
                                                     (const char **) names->pdata,
                                                     (const GValue *) (gpointer) values->data));
}

/* Records. */

StrandRecord *
store_record (const char *key)
{
  StrandRecord *record = strand_record_new (key);
  g_autoptr(GBytes) arguments = g_bytes_new_static ("[20,22]", 7);

  strand_record_set_string (record, STRAND_FIELD_FUNCTION, "demo.add");
  strand_record_set_string (record, STRAND_FIELD_SERIALIZER, "json");
  strand_record_set_string (record, STRAND_FIELD_ARGUMENTS_TYPE, "(xx)");
  strand_record_set_bytes (record, STRAND_FIELD_ARGUMENTS, arguments);
  strand_record_set_int (record, STRAND_FIELD_CREATED, STORE_NOW_US);
  return record;
}

void
store_set_ended (StrandRecord *record, gint64 completed_us, gint64 ttl_us)
{
  strand_record_set_int (record, STRAND_FIELD_STATUS, STRAND_STATUS_COMPLETED);
  strand_record_set_int (record, STRAND_FIELD_COMPLETED, completed_us);
  strand_record_set_int (record, STRAND_FIELD_TTL, ttl_us);
}

StrandRecord *
store_work (const char *key, const char *queue, gint64 created_us)
{
  StrandRecord *record = store_record (key);

  strand_record_set_string (record, STRAND_FIELD_QUEUE, queue);
  strand_record_set_int (record, STRAND_FIELD_CREATED, created_us);
  return record;
}

void
store_put (StrandStore *store, StrandRecord *record)
{
  g_autoptr(GError) error = NULL;
  gboolean done = strand_store_put (store, record, strand_record_get_revision (record), &error);

  g_assert_no_error (error);
  g_assert_true (done);
}

void
store_put_key (StrandStore *store, const char *key)
{
  g_autoptr(StrandRecord) record = store_record (key);

  store_put (store, record);
}

void
store_put_text (StrandStore *store, const char *key, StrandField field, const char *text)
{
  g_autoptr(StrandRecord) record = store_record (key);

  strand_record_set_string (record, field, text);
  store_put (store, record);
}

void
store_put_ended (StrandStore *store, const char *key, gint64 completed_us, gint64 ttl_us)
{
  g_autoptr(StrandRecord) record = store_record (key);

  store_set_ended (record, completed_us, ttl_us);
  store_put (store, record);
}

void
store_put_work (StrandStore *store, const char *key, const char *queue, gint64 created_us)
{
  g_autoptr(StrandRecord) record = store_work (key, queue, created_us);

  store_put (store, record);
}

void
store_put_many (StrandStore *store, const char *prefix, guint n)
{
  for (guint i = 0; i < n; i++)
    {
      g_autofree char *key = g_strdup_printf ("%s-%u", prefix, i);

      store_put_key (store, key);
    }
}

void
store_remove (StrandStore *store, const char *key)
{
  g_autoptr(GError) error = NULL;
  gboolean done = strand_store_remove (store, key, 0, &error);

  g_assert_no_error (error);
  g_assert_true (done);
}

StrandRecord *
store_get (StrandStore *store, const char *key)
{
  g_autoptr(GError) error = NULL;
  StrandRecord *record = strand_store_get (store, key, &error);

  g_assert_no_error (error);
  g_assert_nonnull (record);
  return record;
}

gint64
store_count (StrandStore *store, const StrandFilter *filter)
{
  g_autoptr(GError) error = NULL;
  gint64 n = strand_store_count (store, filter, &error);

  g_assert_no_error (error);
  return n;
}

void
store_assert_there (StrandStore *store, const char *key)
{
  g_autoptr(StrandRecord) record = store_get (store, key);

  g_assert_cmpstr (strand_record_get_key (record), ==, key);
}

void
store_assert_gone (StrandStore *store, const char *key)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandRecord) record = strand_store_get (store, key, &error);
  g_autofree char *quoted = g_strdup_printf ("'%s'", key);

  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND);
  g_assert_null (record);
  g_assert_nonnull (strstr (error->message, quoted));
}

static void
assert_same_field (StrandRecord *a, StrandRecord *b, StrandField field)
{
  GVariant *one, *other;
  GBytes *bytes, *other_bytes;

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
      bytes = strand_record_get_bytes (a, field);
      other_bytes = strand_record_get_bytes (b, field);
      g_assert_cmpint (bytes != NULL, ==, other_bytes != NULL);
      if (bytes != NULL)
        g_assert_cmpmem (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes),
                         g_bytes_get_data (other_bytes, NULL), g_bytes_get_size (other_bytes));
      break;
    case STRAND_SHAPE_VARIANT:
    default:
      one = strand_record_get_variant (a, field);
      other = strand_record_get_variant (b, field);
      g_assert_cmpint (one != NULL, ==, other != NULL);
      if (one != NULL)
        g_assert_cmpvariant (one, other);
      break;
    }
}

void
store_assert_same (StrandRecord *a, StrandRecord *b)
{
  for (guint field = 0; field < STRAND_N_FIELDS; field++)
    assert_same_field (a, b, field);
}

void
store_assert_readable (StrandPage *page)
{
  const GError *error = NULL;

  if (strand_page_get_n_unreadable (page) > 0)
    strand_page_get_unreadable (page, 0, &error);
  g_assert_no_error (error);
}

GHashTable *
store_list (StrandStore *store, const StrandFilter *filter, guint limit)
{
  g_autoptr(GHashTable) keys = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autofree char *cursor = NULL;

  do
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(StrandPage) page = strand_store_list (store, filter, cursor, limit, &error);
      GPtrArray *records;

      g_assert_no_error (error);
      store_assert_readable (page);
      records = strand_page_get_records (page);
      g_assert_cmpuint (records->len, <=, limit);
      for (guint i = 0; i < records->len; i++)
        g_assert_true (g_hash_table_add (keys, g_strdup (strand_record_get_key (records->pdata[i]))));
      g_free (cursor);
      cursor = g_strdup (strand_page_get_next (page));
    }
  while (cursor != NULL);
  return g_steal_pointer (&keys);
}

/* Claims and items. */

GPtrArray *
store_claim (StrandStore *store, const char *queue, guint limit)
{
  const char *const queues[] = { queue, NULL };
  const StrandClaim claim = { queues, STORE_OWNER, STORE_NOW_US, limit };
  g_autoptr(GError) error = NULL;
  GPtrArray *claimed = strand_store_claim (store, &claim, NULL, &error);

  g_assert_no_error (error);
  g_assert_cmpuint (claimed->len, <=, limit);
  return claimed;
}

StrandRecord *
store_claim_one (StrandStore *store, const char *queue)
{
  g_autoptr(GPtrArray) claimed = store_claim (store, queue, 1);

  g_assert_cmpuint (claimed->len, ==, 1);
  return strand_record_ref (claimed->pdata[0]);
}

char *
store_claim_keys (StrandStore *store, const char *const *queues, gint64 now_us, guint limit,
                  gint64 *next_due_us)
{
  const StrandClaim claim = { queues, STORE_OWNER, now_us, limit };
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) claimed = strand_store_claim (store, &claim, next_due_us, &error);
  GString *keys = g_string_new (NULL);

  g_assert_no_error (error);
  for (guint i = 0; i < claimed->len; i++)
    g_string_append_printf (keys, "%s%s", i > 0 ? " " : "", strand_record_get_key (claimed->pdata[i]));
  return g_string_free (keys, FALSE);
}

void
store_append (StrandStore *store, const char *key, guint64 fence, guint64 first, guint n, guint max_items)
{
  g_autoptr(GPtrArray) items = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  g_autoptr(GError) error = NULL;
  gboolean done;

  for (guint i = 0; i < n; i++)
    {
      char *text = g_strdup_printf ("item %" G_GUINT64_FORMAT, first + i);

      g_ptr_array_add (items, g_bytes_new_take (text, strlen (text)));
    }
  done = strand_store_append_items (store, key, fence, first, (GBytes *const *) items->pdata, n, max_items,
                                    &error);
  g_assert_no_error (error);
  g_assert_true (done);
}

void
store_check_items (GPtrArray *items, guint64 first)
{
  for (guint i = 0; i < items->len; i++)
    {
      g_autofree char *text = g_strdup_printf ("item %" G_GUINT64_FORMAT, first + i);
      GBytes *item = items->pdata[i];

      g_assert_cmpmem (g_bytes_get_data (item, NULL), g_bytes_get_size (item), text, strlen (text));
    }
}

void
store_assert_items (StrandStore *store, const char *key, guint64 fence, guint64 from, guint limit,
                    guint64 first, guint n)
{
  g_autoptr(GError) error = NULL;
  guint64 found_first = G_MAXUINT64;
  g_autoptr(GPtrArray) items =
      strand_store_read_items (store, key, fence, from, limit, &found_first, &error);

  g_assert_no_error (error);
  g_assert_cmpuint (items->len, ==, n);
  if (n > 0)
    g_assert_cmpuint (found_first, ==, first);
  store_check_items (items, first);
}

/* Ears. */

static void
hear (StrandStore *store, const char *key, gpointer data)
{
  StoreEar *self = data;

  g_mutex_lock (&self->lock);
  g_hash_table_add (self->told, g_strdup (key != NULL ? key : ANY_KEY));
  self->n_told++;
  g_mutex_unlock (&self->lock);
}

static StoreEar *
ear_new (StrandStore *store)
{
  StoreEar *self = g_new0 (StoreEar, 1);

  self->store = g_object_ref (store);
  g_mutex_init (&self->lock);
  self->told = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  return self;
}

StoreEar *
store_ear_new (StrandStore *store, const char *key)
{
  StoreEar *self = ear_new (store);

  self->id = strand_store_watch (store, key, hear, self, NULL);
  return self;
}

StoreEar *
store_ear_new_for_queue (StrandStore *store, const char *queue)
{
  StoreEar *self = ear_new (store);

  self->id = strand_store_watch_queue (store, queue, hear, self, NULL);
  return self;
}

gboolean
store_ear_heard (StoreEar *self, const char *key)
{
  gboolean heard;

  g_mutex_lock (&self->lock);
  heard = g_hash_table_contains (self->told, key) || g_hash_table_contains (self->told, ANY_KEY);
  g_mutex_unlock (&self->lock);
  return heard;
}

guint
store_ear_count (StoreEar *self)
{
  guint n;

  g_mutex_lock (&self->lock);
  n = self->n_told;
  g_mutex_unlock (&self->lock);
  return n;
}

void
store_ear_forget (StoreEar *self)
{
  g_mutex_lock (&self->lock);
  g_hash_table_remove_all (self->told);
  g_mutex_unlock (&self->lock);
}

void
store_ear_stop (StoreEar *self)
{
  if (self->id != 0)
    strand_store_unwatch (self->store, self->id);
  self->id = 0;
}

void
store_ear_free (StoreEar *self)
{
  store_ear_stop (self);
  g_object_unref (self->store);
  g_hash_table_unref (self->told);
  g_mutex_clear (&self->lock);
  g_free (self);
}

/* Threads. */

typedef struct
{
  StrandStore *store;
  StoreThreadFunc func;
  guint number;
  gpointer data;
} Worker;

static gpointer
work (gpointer data)
{
  Worker *self = data;

  self->func (self->store, self->number, self->data);
  return NULL;
}

void
store_on_threads (StrandStore *store, StoreThreadFunc func, gpointer data)
{
  Worker workers[STORE_N_THREADS];
  GThread *threads[STORE_N_THREADS];

  for (guint i = 0; i < STORE_N_THREADS; i++)
    {
      workers[i] = (Worker){ store, func, i, data };
      threads[i] = g_thread_new ("conformance", work, &workers[i]);
    }
  for (guint i = 0; i < STORE_N_THREADS; i++)
    g_thread_join (threads[i]);
}

/* Reads again whenever somebody was faster. */
void
store_count_up (StrandStore *store, const char *key, guint n_times)
{
  for (guint n = 0; n < n_times;)
    {
      g_autoptr(StrandRecord) record = store_get (store, key);
      g_autoptr(GError) error = NULL;

      strand_record_set_int (record, STRAND_FIELD_CRASHES,
                             strand_record_get_int (record, STRAND_FIELD_CRASHES) + 1);
      if (strand_store_put (store, record, strand_record_get_revision (record), &error))
        n++;
      else
        g_assert_error (error, STRAND_ERROR, STRAND_ERROR_STALE);
    }
}

/* Returns how many were not there yet. */
guint
store_create_all (StrandStore *store, guint n)
{
  guint n_created = 0;

  for (guint i = 0; i < n; i++)
    {
      g_autofree char *key = g_strdup_printf ("new-%u", i);
      g_autoptr(StrandRecord) record = store_record (key);
      g_autoptr(GError) error = NULL;

      if (strand_store_put (store, record, 0, &error))
        n_created++;
      else
        g_assert_error (error, STRAND_ERROR, STRAND_ERROR_EXISTS);
    }
  return n_created;
}

/* Hands. */

G_GNUC_PRINTF (2, 0)
static char *
tell (StrandConformancePeer *hand, const char *format, va_list args)
{
  g_autofree char *line = g_strdup_vprintf (format, args);
  char *answer;

  strand_conformance_peer_send (hand, line);
  answer = strand_conformance_peer_receive (hand);
  g_assert_nonnull (answer);
  return answer;
}

char *
store_tell (StrandConformancePeer *hand, const char *format, ...)
{
  va_list args;
  char *answer;

  va_start (args, format);
  answer = tell (hand, format, args);
  va_end (args);
  return answer;
}

void
store_tell_ok (StrandConformancePeer *hand, const char *format, ...)
{
  g_autofree char *answer = NULL;
  va_list args;

  va_start (args, format);
  answer = tell (hand, format, args);
  va_end (args);
  g_assert_cmpstr (answer, ==, "ok");
}
