/* cache-middleware.c — a call that was answered before is answered again, without running.
 *
 * Calls of one function with equal arguments are one question. Who asks first runs; who asks meanwhile waits
 * for that run, holding no thread; who asks within the period after it is given its value. So a hundred equal
 * calls at once run once.
 *
 * A failure is nobody's answer but the runner's own: it is not kept, and the first of those who wait runs
 * next. So each failure is the failure of a run that its caller made, with retries of its own, and a
 * cancelled run takes nobody along.
 *
 * With a store, values also outlive the program and reach other processes; questions asked at the same time
 * in two processes still run in both.                 SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "call-group.h"

#include <string.h>

#define STRAND_TYPE_CACHE_MIDDLEWARE (strand_cache_middleware_get_type ())
G_DECLARE_FINAL_TYPE (StrandCacheMiddleware, strand_cache_middleware, STRAND, CACHE_MIDDLEWARE, GObject)

#define MAX_PERIOD_US (G_GINT64_CONSTANT (5200) * 7 * 24 * 3600 * G_USEC_PER_SEC) /* a century */
#define DEFAULT_PERIOD_US (60 * (gint64) G_USEC_PER_SEC)
#define DEFAULT_MAX_ENTRIES 1000
#define DEFAULT_MAX_SIZE (64 * G_GINT64_CONSTANT (1024) * 1024)

/* Stored values of other questions are told apart by their digests alone. */
#define KEY_PREFIX "strand.cache."

/* One question: being answered, answered, or both one after the other. */
typedef struct
{
  GBytes *question;
  StrandCall *runner; /* whose run is awaited; not held, NULL for none */
  GQueue waiting;     /* of StrandCall, held */
  GVariant *value;    /* NULL: not answered */
  gint64 until_us;    /* that the value is good, monotonic */
  GList link;         /* in `used`, while there is a value */
} Entry;

struct _StrandCacheMiddleware
{
  GObject parent_instance;

  GStrv functions; /* set at construction, as the others down to the lock */
  gint64 period_us;
  guint max_entries;
  gint64 max_size;
  StrandStore *store;

  GMutex lock;         /* guards everything below */
  GHashTable *entries; /* of Entry, by question */
  GHashTable *asking;  /* of Entry, by attempt: those that run and those that wait; the entry is not held */
  GQueue used;         /* of Entry with a value, used last in front */
  gint64 size;         /* of all values */
};

typedef enum
{
  PROP_PERIOD = 1,
  PROP_FUNCTIONS,
  PROP_MAX_ENTRIES,
  PROP_MAX_SIZE,
  PROP_STORE,
  N_PROPS
} Property;

static GParamSpec *props[N_PROPS];

static void middleware_init (StrandMiddlewareInterface *iface);
static void initable_init (GInitableIface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (StrandCacheMiddleware, strand_cache_middleware, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_MIDDLEWARE, middleware_init)
                                   G_IMPLEMENT_INTERFACE (G_TYPE_INITABLE, initable_init))

/* Questions. */

/* Function, byte order, type and bytes of the arguments. */
static GBytes *
question_of (StrandCall *call)
{
  g_autoptr(GVariant) arguments = g_variant_get_normal_form (strand_call_get_arguments (call));
  const char *name = strand_call_get_function_name (call);
  GByteArray *text = g_byte_array_sized_new (64);
  const guint8 order = G_BYTE_ORDER == G_LITTLE_ENDIAN ? 'l' : 'B';

  g_byte_array_append (text, (const guint8 *) name, (guint) strlen (name) + 1);
  g_byte_array_append (text, &order, 1);
  g_byte_array_append (text, (const guint8 *) g_variant_get_type_string (arguments),
                       (guint) strlen (g_variant_get_type_string (arguments)) + 1);
  if (g_variant_get_size (arguments) > 0)
    g_byte_array_append (text, g_variant_get_data (arguments), (guint) g_variant_get_size (arguments));
  return g_byte_array_free_to_bytes (text);
}

/* Only a value can be given again: not an object, and "nothing" is not worth keeping. */
static gboolean
is_meant (StrandCacheMiddleware *self, StrandCall *call)
{
  return strand_function_get_result_type (strand_call_get_function (call)) != NULL &&
         call_group_matches (self->functions, call);
}

/* Entries. */

static void
entry_free (gpointer data)
{
  Entry *entry = data;

  g_assert (entry->waiting.length == 0);
  g_bytes_unref (entry->question);
  g_clear_pointer (&entry->value, g_variant_unref);
  g_free (entry);
}

static void
drop_value_locked (StrandCacheMiddleware *self, Entry *entry)
{
  if (entry->value == NULL)
    return;
  self->size -= (gint64) g_variant_get_size (entry->value);
  g_queue_unlink (&self->used, &entry->link);
  g_clear_pointer (&entry->value, g_variant_unref);
}

static void
drop_if_unused_locked (StrandCacheMiddleware *self, Entry *entry)
{
  if (entry->value == NULL && entry->runner == NULL && entry->waiting.length == 0)
    g_hash_table_remove (self->entries, entry->question);
}

static Entry *
ensure_entry_locked (StrandCacheMiddleware *self, GBytes *question)
{
  Entry *entry = g_hash_table_lookup (self->entries, question);

  if (entry != NULL)
    return entry;
  entry = g_new0 (Entry, 1);
  entry->question = g_bytes_ref (question);
  entry->link.data = entry;
  g_hash_table_insert (self->entries, entry->question, entry);
  return entry;
}

static void
keep_value_locked (StrandCacheMiddleware *self, Entry *entry, GVariant *value, gint64 period_us)
{
  drop_value_locked (self, entry);
  if ((gint64) g_variant_get_size (value) > self->max_size)
    return;
  entry->value = g_variant_ref (value);
  entry->until_us = strand_clock_monotonic_us () + period_us;
  g_queue_push_head_link (&self->used, &entry->link);
  self->size += (gint64) g_variant_get_size (value);
  while (self->used.length > self->max_entries || self->size > self->max_size)
    {
      Entry *oldest = g_queue_peek_tail (&self->used);

      drop_value_locked (self, oldest);
      if (oldest != entry)
        drop_if_unused_locked (self, oldest);
    }
}

/* A new reference to the value if there is one that is still good. */
static GVariant *
dup_value_locked (StrandCacheMiddleware *self, Entry *entry)
{
  if (entry->value == NULL)
    return NULL;
  if (strand_clock_monotonic_us () >= entry->until_us)
    {
      drop_value_locked (self, entry);
      return NULL;
    }
  g_queue_unlink (&self->used, &entry->link);
  g_queue_push_head_link (&self->used, &entry->link);
  return g_variant_ref (entry->value);
}

/* The store. */

static char *
key_of (GBytes *question)
{
  g_autofree char *digest = g_compute_checksum_for_bytes (G_CHECKSUM_SHA256, question);

  return g_strconcat (KEY_PREFIX, digest, NULL);
}

static GVariant *
read_value (StrandRecord *record, StrandCall *call)
{
  GVariant *metadata = strand_record_get_variant (record, STRAND_FIELD_METADATA);

  if (metadata == NULL)
    return NULL;
  return g_variant_lookup_value (metadata, "value",
                                 strand_function_get_result_type (strand_call_get_function (call)));
}

/* A store that fails is one that does not know: the function runs. */
static GVariant *
look_up (StrandCacheMiddleware *self, GBytes *question, StrandCall *call, gint64 *left_us)
{
  g_autofree char *key = key_of (question);
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandRecord) record = strand_store_get (self->store, key, &error);

  if (record == NULL)
    {
      if (!g_error_matches (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND))
        strand_debug (STRAND_TOPIC_MIDDLEWARE, "cache could not look: %s", error->message);
      return NULL;
    }
  *left_us =
      strand_record_get_int (record, STRAND_FIELD_COMPLETED) + self->period_us - strand_clock_now_us ();
  return *left_us > 0 ? read_value (record, call) : NULL;
}

static gboolean
write_value (StrandCacheMiddleware *self, GBytes *question, GVariant *value, GError **error)
{
  g_autofree char *key = key_of (question);
  g_autoptr(StrandRecord) old = strand_store_get (self->store, key, NULL);
  g_autoptr(StrandRecord) record = strand_record_new (key);
  g_autoptr(GError) local = NULL;
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&builder, "{sv}", "value", value);
  strand_record_set_string (record, STRAND_FIELD_KIND, "cache");
  strand_record_set_int (record, STRAND_FIELD_STATUS, STRAND_STATUS_COMPLETED);
  strand_record_set_int (record, STRAND_FIELD_CREATED, strand_clock_now_us ());
  strand_record_set_int (record, STRAND_FIELD_COMPLETED, strand_clock_now_us ());
  strand_record_set_int (record, STRAND_FIELD_TTL, self->period_us);
  strand_record_set_variant (record, STRAND_FIELD_METADATA, g_variant_builder_end (&builder));
  if (strand_store_put (self->store, record, old != NULL ? strand_record_get_revision (old) : 0, &local) ||
      g_error_matches (local, STRAND_ERROR, STRAND_ERROR_STALE) ||
      g_error_matches (local, STRAND_ERROR, STRAND_ERROR_EXISTS))
    return TRUE; /* or somebody else kept an answer that is as good */
  g_propagate_prefixed_error (error, g_steal_pointer (&local), "Could not keep the value: ");
  return FALSE;
}

/* Who runs, who waits. */

/* Gives the value to all who wait for it. */
static void
answer_all (GQueue *calls, GVariant *value)
{
  StrandCall *call;

  while ((call = g_queue_pop_head (calls)) != NULL)
    {
      g_autoptr(GVariant) held = g_variant_ref (value);

      if (strand_call_resume (call, STRAND_VERDICT_ANSWER, held, NULL))
        g_steal_pointer (&held);
      strand_call_unref (call);
    }
}

static void
take_waiting_locked (StrandCacheMiddleware *self, Entry *entry, GQueue *taken)
{
  StrandCall *call;

  while ((call = g_queue_pop_head (&entry->waiting)) != NULL)
    {
      g_hash_table_remove (self->asking, call);
      g_queue_push_tail (taken, call);
    }
}

/* The next in line runs. If it was cancelled meanwhile, its on_error finds it here as the runner, and passes
 * on. */
static StrandCall *
appoint_next_locked (Entry *entry)
{
  entry->runner = g_queue_pop_head (&entry->waiting);
  return entry->runner;
}

static StrandVerdict
join_locked (StrandCacheMiddleware *self, Entry *entry, StrandCall *attempt, GVariant **value)
{
  *value = dup_value_locked (self, entry);
  if (*value != NULL)
    return STRAND_VERDICT_ANSWER;
  g_hash_table_insert (self->asking, attempt, entry);
  if (entry->runner == NULL)
    {
      entry->runner = attempt;
      return STRAND_VERDICT_CONTINUE;
    }
  g_queue_push_tail (&entry->waiting, strand_call_ref (attempt));
  return STRAND_VERDICT_LATER;
}

/* The attempt has got the question: another process may have the answer. */
static StrandVerdict
ask_store (StrandCacheMiddleware *self, GBytes *question, StrandCall *attempt, GVariant **value)
{
  gint64 left_us = 0;
  g_autoptr(GVariant) found = look_up (self, question, attempt, &left_us);
  GQueue waiting = G_QUEUE_INIT;
  Entry *entry;

  if (found == NULL)
    return STRAND_VERDICT_CONTINUE;
  g_mutex_lock (&self->lock);
  entry = g_hash_table_lookup (self->asking, attempt);
  if (entry != NULL)
    {
      g_hash_table_remove (self->asking, attempt);
      entry->runner = NULL;
      take_waiting_locked (self, entry, &waiting);
      keep_value_locked (self, entry, found, left_us);
      drop_if_unused_locked (self, entry);
    }
  g_mutex_unlock (&self->lock);
  answer_all (&waiting, found);
  *value = g_steal_pointer (&found);
  return STRAND_VERDICT_ANSWER;
}

/* The interface. */

static StrandVerdict
strand_cache_middleware_before (StrandMiddleware *middleware, StrandCall *attempt, GVariant **value,
                                GError **error)
{
  StrandCacheMiddleware *self = STRAND_CACHE_MIDDLEWARE (middleware);
  g_autoptr(GBytes) question = NULL;
  StrandVerdict verdict;

  if (!is_meant (self, attempt))
    return STRAND_VERDICT_CONTINUE;
  question = question_of (attempt);
  g_mutex_lock (&self->lock);
  verdict = join_locked (self, ensure_entry_locked (self, question), attempt, value);
  g_mutex_unlock (&self->lock);
  if (verdict == STRAND_VERDICT_CONTINUE && self->store != NULL)
    return ask_store (self, question, attempt, value);
  return verdict;
}

static gboolean
strand_cache_middleware_after (StrandMiddleware *middleware, StrandCall *attempt, GVariant *value,
                               GError **error)
{
  StrandCacheMiddleware *self = STRAND_CACHE_MIDDLEWARE (middleware);
  g_autoptr(GBytes) question = NULL;
  GQueue waiting = G_QUEUE_INIT;
  Entry *entry;

  g_mutex_lock (&self->lock);
  entry = g_hash_table_lookup (self->asking, attempt);
  if (entry != NULL && value != NULL)
    {
      question = g_bytes_ref (entry->question);
      g_hash_table_remove (self->asking, attempt);
      entry->runner = NULL;
      take_waiting_locked (self, entry, &waiting);
      keep_value_locked (self, entry, value, self->period_us);
      drop_if_unused_locked (self, entry);
    }
  g_mutex_unlock (&self->lock);
  if (question == NULL)
    return TRUE; /* it was answered, not run, or is not meant */
  answer_all (&waiting, value);
  return self->store == NULL || write_value (self, question, value, error);
}

/* The run that failed is over; who waits no longer, because it was cancelled, steps out. */
static void
strand_cache_middleware_on_error (StrandMiddleware *middleware, StrandCall *attempt, const GError *error,
                                  gboolean will_retry)
{
  StrandCacheMiddleware *self = STRAND_CACHE_MIDDLEWARE (middleware);
  StrandCall *next = NULL;
  gboolean waited = FALSE;
  Entry *entry;

  g_mutex_lock (&self->lock);
  entry = g_hash_table_lookup (self->asking, attempt);
  if (entry != NULL)
    {
      g_hash_table_remove (self->asking, attempt);
      if (entry->runner == attempt)
        next = appoint_next_locked (entry);
      else
        waited = g_queue_remove (&entry->waiting, attempt);
      drop_if_unused_locked (self, entry);
    }
  g_mutex_unlock (&self->lock);
  if (waited)
    strand_call_unref (attempt);
  if (next == NULL)
    return;
  strand_call_resume (next, STRAND_VERDICT_CONTINUE, NULL, NULL);
  strand_call_unref (next);
}

static void
middleware_init (StrandMiddlewareInterface *iface)
{
  iface->before = strand_cache_middleware_before;
  iface->after = strand_cache_middleware_after;
  iface->on_error = strand_cache_middleware_on_error;
}

static gboolean
strand_cache_middleware_initable_init (GInitable *initable, GCancellable *cancellable, GError **error)
{
  return call_group_check_functions (STRAND_CACHE_MIDDLEWARE (initable)->functions, error);
}

static void
initable_init (GInitableIface *iface)
{
  iface->init = strand_cache_middleware_initable_init;
}

static void
strand_cache_middleware_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  StrandCacheMiddleware *self = STRAND_CACHE_MIDDLEWARE (object);

  switch ((Property) id)
    {
    case PROP_PERIOD:
      self->period_us = g_value_get_int64 (value);
      break;
    case PROP_FUNCTIONS:
      self->functions = g_value_dup_boxed (value);
      break;
    case PROP_MAX_ENTRIES:
      self->max_entries = g_value_get_uint (value);
      break;
    case PROP_MAX_SIZE:
      self->max_size = g_value_get_int64 (value);
      break;
    case PROP_STORE:
      self->store = g_value_dup_object (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
strand_cache_middleware_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  StrandCacheMiddleware *self = STRAND_CACHE_MIDDLEWARE (object);

  switch ((Property) id)
    {
    case PROP_PERIOD:
      g_value_set_int64 (value, self->period_us);
      break;
    case PROP_FUNCTIONS:
      g_value_set_boxed (value, self->functions);
      break;
    case PROP_MAX_ENTRIES:
      g_value_set_uint (value, self->max_entries);
      break;
    case PROP_MAX_SIZE:
      g_value_set_int64 (value, self->max_size);
      break;
    case PROP_STORE:
      g_value_set_object (value, self->store);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

/* Who runs or waits has a backend that holds the middleware, so nobody does. */
static void
strand_cache_middleware_finalize (GObject *object)
{
  StrandCacheMiddleware *self = STRAND_CACHE_MIDDLEWARE (object);

  g_hash_table_unref (self->asking);
  g_hash_table_unref (self->entries);
  g_strfreev (self->functions);
  g_clear_object (&self->store);
  g_mutex_clear (&self->lock);
  G_OBJECT_CLASS (strand_cache_middleware_parent_class)->finalize (object);
}

static void
strand_cache_middleware_class_init (StrandCacheMiddlewareClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GParamFlags fixed = (GParamFlags) (G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  object_class->set_property = strand_cache_middleware_set_property;
  object_class->get_property = strand_cache_middleware_get_property;
  object_class->finalize = strand_cache_middleware_finalize;

  props[PROP_PERIOD] = g_param_spec_int64 ("period", NULL, "How long a value is given again", 1,
                                           MAX_PERIOD_US, DEFAULT_PERIOD_US, fixed | STRAND_PARAM_DURATION);
  props[PROP_FUNCTIONS] =
      g_param_spec_boxed ("functions", NULL,
                          "Patterns of the functions meant, whose value depends on nothing "
                          "but the arguments",
                          G_TYPE_STRV, fixed | STRAND_PARAM_REQUIRED);
  props[PROP_MAX_ENTRIES] = g_param_spec_uint ("max-entries", NULL, "How many values are kept in memory", 1,
                                               G_MAXINT, DEFAULT_MAX_ENTRIES, fixed);
  props[PROP_MAX_SIZE] =
      g_param_spec_int64 ("max-size", NULL, "How much memory the values may take; one larger is not kept", 1,
                          G_MAXINT64, DEFAULT_MAX_SIZE, fixed | STRAND_PARAM_SIZE);
  props[PROP_STORE] = g_param_spec_object (
      "store", NULL, "Where values are kept for other processes too; none: in memory only", STRAND_TYPE_STORE,
      fixed);
  g_object_class_install_properties (object_class, N_PROPS, props);
}

static void
strand_cache_middleware_init (StrandCacheMiddleware *self)
{
  g_mutex_init (&self->lock);
  g_queue_init (&self->used);
  self->entries = g_hash_table_new_full (g_bytes_hash, g_bytes_equal, NULL, entry_free);
  self->asking = g_hash_table_new (NULL, NULL);
}

STRAND_PLUGIN_DEFINE (
    "cache-middleware", STRAND_VERSION, "LGPL-2.1-or-later",
    STRAND_PROVIDES_MIDDLEWARE ("cache", StrandCacheMiddleware, strand_cache_middleware_get_type,
                                "Gives a value again instead of running the function again"))
