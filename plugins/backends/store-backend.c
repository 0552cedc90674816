/* store-backend.c — leaves calls in a store, for readers to run.
 *
 * The caller's thread only queues a call; one thread, the clerk, makes the records of all that were queued
 * meanwhile and puts them together. From then on the call shows what its record says, whoever runs it: there
 * is nothing here that a reader or another process needs to know of. SPDX-License-Identifier:
 * LGPL-2.1-or-later */

#include "config.h"
#include "clerk.h"

#define DEFAULT_QUEUE "default"

/* As for other backends: room for what a program may well have waiting. */
#define DEFAULT_MAX_PENDING (4 * 1024 * 1024)

/* How many records go into one put: large enough to share a transaction, small enough that the first of them
 * is not kept waiting. */
#define BATCH 256

#define STRAND_TYPE_STORE_BACKEND (strand_store_backend_get_type ())
G_DECLARE_FINAL_TYPE (StrandStoreBackend, strand_store_backend, STRAND, STORE_BACKEND, GObject)

struct _StrandStoreBackend
{
  GObject parent_instance;

  StrandStore *store; /* set at construction, as the others down to the lock */
  GListModel *middleware;
  StrandSerializer *serializer;
  StrandReader *reader; /* of `read-store`; NULL for none */
  StrandChain *chain;
  char *queue;
  gint64 timeout_us;
  int retries;
  guint max_pending;

  GMutex lock; /* guards everything below */
  GCond changed;
  GThread *clerk;     /* NULL while there has been nothing to do; not held */
  GQueue waiting;     /* of StrandCall: their records are to be written */
  GHashTable *flying; /* of StrandCall, held: launched and not ended */
  gboolean putting;   /* the clerk has calls in its hands */
  gboolean closed;
};

enum
{
  PROP_STORE = 1,
  PROP_MIDDLEWARE,
  PROP_SERIALIZER,
  PROP_READ_STORE,
  PROP_QUEUE,
  PROP_TIMEOUT,
  PROP_RETRIES,
  PROP_MAX_PENDING,
  N_PROPS
};

static GParamSpec *props[N_PROPS];

static guint get_result_signal;

static void backend_init (StrandBackendInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (StrandStoreBackend, strand_store_backend, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_BACKEND, backend_init))

/* --- the clerk -------------------------------------------------------------------------------------------
 */

static void
follow_ended (StrandCall *call, gpointer data)
{
  g_autoptr(StrandStoreBackend) self = g_object_ref (data); /* the call may have been what held it */
  gboolean flew;

  g_mutex_lock (&self->lock);
  flew = g_hash_table_steal (self->flying, call);
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
  if (flew)
    strand_call_unref (call);
}

/* A call that has no record which would end it. Takes over @error. */
static void
fail_call (StrandStoreBackend *self, StrandCall *call, GError *error)
{
  strand_call_finish_as (call, STRAND_STATUS_FAILED, NULL, error);
  follow_ended (call, self);
}

static StrandRecord *
make_record (StrandStoreBackend *self, StrandCall *call, GError **error)
{
  StrandRecord *record = strand_record_new_for_call (call, self->serializer, error);

  if (record == NULL)
    return NULL;
  if (strand_record_get_string (record, STRAND_FIELD_QUEUE) == NULL)
    strand_record_set_string (record, STRAND_FIELD_QUEUE, self->queue);
  if (strand_record_get_int (record, STRAND_FIELD_TIMEOUT) < 0)
    strand_record_set_int (record, STRAND_FIELD_TIMEOUT, self->timeout_us);
  if (strand_record_get_int (record, STRAND_FIELD_RETRIES) < 0)
    strand_record_set_int (record, STRAND_FIELD_RETRIES, self->retries);
  return record;
}

/* A record that is not there yet is the clerk's, who looks at the call again when it has put it. */
static void
cancel_in_store (GObject *store, GAsyncResult *result, gpointer unused)
{
  g_autoptr(GError) error = NULL;

  /* A program that closes its store has no more to say of its calls. */
  if (!strand_store_cancel_call_finish (STRAND_STORE (store), result, &error) && error != NULL &&
      !g_error_matches (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND) &&
      !g_error_matches (error, STRAND_ERROR, STRAND_ERROR_CLOSED))
    g_warning ("%s", error->message);
}

/* The record is there: from now on the call goes its way. */
static void
follow (StrandStoreBackend *self, const char *key, StrandCall *call)
{
  strand_store_follow_call (self->store, key, strand_call_ref (call), follow_ended, self);
  if (strand_call_is_stopping (call)) /* told so before there was a record to say it in */
    strand_store_cancel_call_async (self->store, key, NULL, cancel_in_store, NULL);
}

static void
refuse_launch (StrandStoreBackend *self, StrandCall *call, GError *error)
{
  g_prefix_error (&error, "Could not launch a call of '%s': ", strand_call_get_function_name (call));
  fail_call (self, call, error);
}

/* A call with a unique key goes alone, and may find that another one has it. */
static void
put_unique (StrandStoreBackend *self, StrandCall *call, StrandRecord *record)
{
  StrandConflict conflict = strand_options_get_conflict (strand_call_get_options (call));
  g_autofree char *holder = NULL;
  GError *error = NULL;

  if (strand_store_put_unique (self->store, record, conflict, &holder, &error))
    follow (self, strand_call_get_key (call), call);
  else if (holder == NULL)
    refuse_launch (self, call, error);
  else
    {
      strand_call_set_metadata (call, "unique-of", g_variant_new_string (holder));
      follow (self, holder, call);
    }
}

/* Puts the records of some calls, which go on or end by that. */
static void
put_calls (StrandStoreBackend *self, GPtrArray *calls)
{
  g_autoptr(GPtrArray) put = g_ptr_array_new ();
  g_autoptr(GPtrArray) records = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_record_unref);
  g_autofree guint64 *expected = g_new0 (guint64, calls->len);
  g_autofree GError **errors = g_new0 (GError *, calls->len);

  for (guint i = 0; i < calls->len; i++)
    {
      StrandCall *call = g_ptr_array_index (calls, i);
      GError *error = NULL;
      StrandRecord *record = make_record (self, call, &error);

      if (record == NULL)
        {
          fail_call (self, call, error);
          continue;
        }
      if (strand_record_get_string (record, STRAND_FIELD_UNIQUE) != NULL)
        {
          put_unique (self, call, record);
          strand_record_unref (record);
          continue;
        }
      g_ptr_array_add (put, call);
      g_ptr_array_add (records, record);
    }
  strand_store_put_batch (self->store, (StrandRecord *const *) records->pdata, expected, records->len,
                          errors);
  for (guint i = 0; i < put->len; i++)
    {
      StrandCall *call = g_ptr_array_index (put, i);

      if (errors[i] == NULL)
        follow (self, strand_call_get_key (call), call);
      else
        refuse_launch (self, call, errors[i]);
    }
}

/* What is waiting, up to a batch. */
static GPtrArray *
take_waiting_locked (StrandStoreBackend *self)
{
  GPtrArray *calls = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_call_unref);
  StrandCall *call;

  while (calls->len < BATCH && (call = g_queue_pop_head (&self->waiting)) != NULL)
    g_ptr_array_add (calls, call);
  return calls;
}

/* The program reads what it leaves: from the first call on. */
static void
start_reader (StrandStoreBackend *self)
{
  g_autoptr(GError) error = NULL;

  if (self->reader != NULL && !strand_reader_is_listening (self->reader) &&
      !strand_reader_listen (self->reader, &error))
    g_warning ("%s", error->message);
}

static gboolean
is_busy (gpointer backend)
{
  StrandStoreBackend *self = backend;

  return self->waiting.length > 0 || g_hash_table_size (self->flying) > 0;
}

/* The clerk's thread holds the backend; with nothing to do for a while it ends, so that a backend nobody
 * holds any more can go. */
static gpointer
run_clerk (gpointer data)
{
  g_autoptr(StrandStoreBackend) self = data;

  start_reader (self);
  g_mutex_lock (&self->lock);
  while (TRUE)
    {
      g_autoptr(GPtrArray) calls = take_waiting_locked (self);

      if (calls->len > 0)
        {
          self->putting = TRUE;
          g_mutex_unlock (&self->lock);
          put_calls (self, calls);
          g_mutex_lock (&self->lock);
          self->putting = FALSE;
          g_cond_broadcast (&self->changed);
        }
      else if (g_hash_table_size (self->flying) > 0)
        g_cond_wait (&self->changed, &self->lock);
      else if (clerk_waits_in_vain_locked (self, &self->lock, &self->changed, &self->closed, is_busy))
        break;
    }
  self->clerk = NULL;
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
  return NULL;
}

/* --- the interface ---------------------------------------------------------------------------------------
 */

static void
submit_decided (StrandCall *call, StrandVerdict verdict, GVariant *value, GError *error, gpointer data)
{
  StrandStoreBackend *self = data;

  if (verdict != STRAND_VERDICT_CONTINUE)
    {
      /* Refused or answered at the door: no record. */
      strand_call_finish_by_verdict (call, verdict, value, error);
      follow_ended (call, self);
      return;
    }
  g_mutex_lock (&self->lock);
  g_queue_push_tail (&self->waiting, strand_call_ref (call));
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
}

static gboolean
admit_locked (StrandStoreBackend *self, StrandCall *call, GError **error)
{
  if (self->closed)
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_CLOSED, "the backend has been closed");
      return FALSE;
    }
  if (g_hash_table_size (self->flying) >= self->max_pending)
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_FULL,
                   "%u calls are in flight, which is the limit; 'max-pending' raises it",
                   g_hash_table_size (self->flying));
      return FALSE;
    }
  g_hash_table_add (self->flying, call); /* takes over the caller's reference */
  if (self->clerk == NULL)
    {
      self->clerk = g_thread_new ("strand-launch", run_clerk, g_object_ref (self));
      g_thread_unref (self->clerk);
    }
  return TRUE;
}

static gboolean
strand_store_backend_launch (StrandBackend *backend, StrandCall *call, GError **error)
{
  StrandStoreBackend *self = STRAND_STORE_BACKEND (backend);
  gboolean admitted;

  if (self->store == NULL)
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
                   "the backend was made without a store");
      return FALSE;
    }
  g_mutex_lock (&self->lock);
  admitted = admit_locked (self, call, error);
  g_mutex_unlock (&self->lock);
  if (admitted)
    strand_chain_submit (self->chain, call, submit_decided, self);
  return admitted;
}

static StrandStore *
strand_store_backend_get_store (StrandBackend *backend)
{
  return STRAND_STORE_BACKEND (backend)->store;
}

/* A call that waits for the clerk is cancelled when its record is there. */
static void
strand_store_backend_cancel (StrandBackend *backend, StrandCall *call)
{
  StrandStoreBackend *self = STRAND_STORE_BACKEND (backend);
  gboolean written;

  g_mutex_lock (&self->lock);
  written = g_queue_find (&self->waiting, call) == NULL;
  g_mutex_unlock (&self->lock);
  if (written)
    strand_store_cancel_call_async (self->store, strand_call_get_key (call), NULL, cancel_in_store, NULL);
}

/* The records stay; only this program hears no more of its calls. */
static guint
end_flying (StrandStoreBackend *self)
{
  g_autoptr(GPtrArray) calls = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_call_unref);
  GHashTableIter iter;
  gpointer call;

  g_mutex_lock (&self->lock);
  g_hash_table_iter_init (&iter, self->flying);
  while (g_hash_table_iter_next (&iter, &call, NULL))
    g_ptr_array_add (calls, strand_call_ref (call));
  g_mutex_unlock (&self->lock);

  for (guint i = 0; i < calls->len; i++)
    {
      strand_call_finish_as (calls->pdata[i], STRAND_STATUS_FAILED, NULL,
                             g_error_new (STRAND_ERROR, STRAND_ERROR_CLOSED,
                                          "The backend was closed; call '%s' goes on without it",
                                          strand_call_get_key (calls->pdata[i])));
      strand_store_unfollow_call (calls->pdata[i]);
    }
  return calls->len;
}

/* Whatever the deadline, every call that was accepted has its record when this returns. */
static gboolean
strand_store_backend_close (StrandBackend *backend, gint64 deadline_us, GError **error)
{
  StrandStoreBackend *self = STRAND_STORE_BACKEND (backend);
  guint n_left;

  g_mutex_lock (&self->lock);
  self->closed = TRUE;
  g_cond_broadcast (&self->changed);
  while (!g_queue_is_empty (&self->waiting) || self->putting)
    g_cond_wait (&self->changed, &self->lock);
  while (g_hash_table_size (self->flying) > 0)
    if (deadline_us < 0)
      g_cond_wait (&self->changed, &self->lock);
    else if (!g_cond_wait_until (&self->changed, &self->lock, deadline_us))
      break;
  g_mutex_unlock (&self->lock);

  n_left = end_flying (self);
  g_mutex_lock (&self->lock);
  while (self->clerk != NULL)
    g_cond_wait (&self->changed, &self->lock);
  g_mutex_unlock (&self->lock);

  if (n_left == 0)
    return TRUE;
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_TIMED_OUT,
               "Could not wait for all calls of the backend: %u go on without it", n_left);
  return FALSE;
}

/* Somebody may keep values elsewhere, and only where they are in the record. */
static GVariant *
strand_store_backend_get_result (StrandBackend *backend, StrandRecord *record, GError **error)
{
  GVariant *value = NULL;

  g_signal_emit (backend, get_result_signal, 0, record, &value);
  if (value != NULL)
    return g_variant_take_ref (value);
  return strand_record_get_bytes (record, STRAND_FIELD_VALUE) != NULL
             ? strand_record_dup_value (record, error)
             : NULL;
}

static void
backend_init (StrandBackendInterface *iface)
{
  iface->get_result = strand_store_backend_get_result;
  iface->launch = strand_store_backend_launch;
  iface->get_store = strand_store_backend_get_store;
  iface->cancel = strand_store_backend_cancel;
  iface->close = strand_store_backend_close;
}

static void
strand_store_backend_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  StrandStoreBackend *self = STRAND_STORE_BACKEND (object);

  switch (id)
    {
    case PROP_STORE:
      g_value_set_object (value, self->store);
      break;
    case PROP_MIDDLEWARE:
      g_value_set_object (value, self->middleware);
      break;
    case PROP_SERIALIZER:
      g_value_set_object (value, self->serializer);
      break;
    case PROP_READ_STORE:
      g_value_set_object (value, self->reader);
      break;
    case PROP_QUEUE:
      g_value_set_string (value, self->queue);
      break;
    case PROP_TIMEOUT:
      g_value_set_int64 (value, self->timeout_us);
      break;
    case PROP_RETRIES:
      g_value_set_int (value, self->retries);
      break;
    case PROP_MAX_PENDING:
      g_value_set_uint (value, self->max_pending);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
strand_store_backend_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  StrandStoreBackend *self = STRAND_STORE_BACKEND (object);

  switch (id)
    {
    case PROP_STORE:
      self->store = g_value_dup_object (value);
      break;
    case PROP_MIDDLEWARE:
      self->middleware = g_value_dup_object (value);
      break;
    case PROP_SERIALIZER:
      self->serializer = g_value_dup_object (value);
      break;
    case PROP_READ_STORE:
      self->reader = g_value_dup_object (value);
      break;
    case PROP_QUEUE:
      self->queue = g_value_dup_string (value);
      break;
    case PROP_TIMEOUT:
      self->timeout_us = g_value_get_int64 (value);
      break;
    case PROP_RETRIES:
      self->retries = g_value_get_int (value);
      break;
    case PROP_MAX_PENDING:
      self->max_pending = g_value_get_uint (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
strand_store_backend_constructed (GObject *object)
{
  StrandStoreBackend *self = STRAND_STORE_BACKEND (object);

  self->chain = strand_chain_new (self->middleware);
  G_OBJECT_CLASS (strand_store_backend_parent_class)->constructed (object);
}

/* The clerk holds the backend while calls fly, so there are none. */
static void
strand_store_backend_finalize (GObject *object)
{
  StrandStoreBackend *self = STRAND_STORE_BACKEND (object);

  g_clear_pointer (&self->chain, strand_chain_unref);
  g_clear_object (&self->store);
  g_clear_object (&self->middleware);
  g_clear_object (&self->serializer);
  g_clear_object (&self->reader);
  g_free (self->queue);
  g_hash_table_unref (self->flying);
  g_cond_clear (&self->changed);
  g_mutex_clear (&self->lock);
  G_OBJECT_CLASS (strand_store_backend_parent_class)->finalize (object);
}

static gboolean
take_first_value (GSignalInvocationHint *hint, GValue *all, const GValue *one, gpointer unused)
{
  GVariant *value = g_value_get_variant (one);

  if (value == NULL)
    return TRUE;
  g_value_set_variant (all, value);
  return FALSE;
}

static void
strand_store_backend_class_init (StrandStoreBackendClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GParamFlags fixed = G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS;

  object_class->get_property = strand_store_backend_get_property;
  object_class->set_property = strand_store_backend_set_property;
  object_class->constructed = strand_store_backend_constructed;
  object_class->finalize = strand_store_backend_finalize;

  props[PROP_STORE] = g_param_spec_object ("store", NULL, "Where readers find the calls", STRAND_TYPE_STORE,
                                           fixed | STRAND_PARAM_REQUIRED);
  props[PROP_MIDDLEWARE] =
      g_param_spec_object ("middleware", NULL, "What sees calls before they are stored, outermost first",
                           G_TYPE_LIST_MODEL, fixed);
  props[PROP_SERIALIZER] = g_param_spec_object ("serializer", NULL, "What writes arguments; json by default",
                                                STRAND_TYPE_SERIALIZER, fixed);
  props[PROP_READ_STORE] = g_param_spec_object (
      "read-store", NULL,
      "A reader that this program starts with its first call; none leaves calls to others",
      STRAND_TYPE_READER, fixed);
  props[PROP_QUEUE] = g_param_spec_string ("queue", NULL, "Where calls wait that name no queue themselves",
                                           DEFAULT_QUEUE, fixed);
  props[PROP_TIMEOUT] =
      g_param_spec_int64 ("timeout", NULL, "How long an attempt may run; none leaves it to the reader", -1,
                          G_MAXINT64, -1, fixed | STRAND_PARAM_DURATION);
  props[PROP_RETRIES] = g_param_spec_int (
      "retries", NULL, "How many further attempts follow a failed one; -1 leaves it to the reader", -1,
      G_MAXUINT16, -1, fixed);
  props[PROP_MAX_PENDING] =
      g_param_spec_uint ("max-pending", NULL, "How many calls this program may wait for", 1, G_MAXUINT,
                         DEFAULT_MAX_PENDING, fixed);
  g_object_class_install_properties (object_class, N_PROPS, props);

  /* `GVariant *handler (StrandBackend *backend, StrandRecord *record, gpointer user_data)`: a call has
   * completed, and the first handler that returns a value decides what its caller gets; NULL leaves it to the
   * next, and at last to the record. On a thread of strand's own; may block. */
  get_result_signal =
      g_signal_new ("get-result", STRAND_TYPE_STORE_BACKEND, G_SIGNAL_RUN_LAST, 0, take_first_value, NULL,
                    NULL, G_TYPE_VARIANT, 1, STRAND_TYPE_RECORD | G_SIGNAL_TYPE_STATIC_SCOPE);
}

static void
strand_store_backend_init (StrandStoreBackend *self)
{
  g_mutex_init (&self->lock);
  g_cond_init (&self->changed);
  self->flying = g_hash_table_new_full (NULL, NULL, (GDestroyNotify) strand_call_unref, NULL);
}

STRAND_PLUGIN_DEFINE ("store-backend", STRAND_VERSION, "LGPL-2.1-or-later",
                      STRAND_PROVIDES_BACKEND ("store", StrandStoreBackend, strand_store_backend_get_type,
                                               "Leaves calls in a store, for readers to run"))
