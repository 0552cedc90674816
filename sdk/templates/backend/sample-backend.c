/* sample-backend.c — leaves calls in a store, where a reader finds and runs them.
 *
 * A launch only counts a call and hands it to a thread, because the caller may have a window to draw. That
 * thread writes the call's record; from then on the call shows, and ends as, what its record says, whoever
 * runs it. Put your way to whoever runs calls into write_record(): tell them of the record, and have them
 * claim it and say what became of it.
 *
 * Every call in flight holds the backend, so one that is dropped goes when its last call has ended.
 *                                                                            SPDX-License-Identifier: 0BSD */

#include <strand-plugin.h>

#define QUEUE "default"

/* A program may well have millions of calls waiting before it is told that there are too many. */
#define DEFAULT_MAX_PENDING 4000000

#define SAMPLE_TYPE_BACKEND (sample_backend_get_type ())
G_DECLARE_FINAL_TYPE (SampleBackend, sample_backend, SAMPLE, BACKEND, GObject)

struct _SampleBackend
{
  GObject parent_instance;

  StrandStore *store; /* set at construction, as the others down to the lock */
  GListModel *middleware;
  StrandReader *reader; /* NULL leaves calls to other programs */
  guint max_pending;
  StrandChain *chain;
  GThreadPool *writers; /* of one thread, so records are written in order */

  GMutex lock; /* guards everything below */
  GCond changed;
  GHashTable *flying; /* of StrandCall, held: launched and not ended */
  guint n_unwritten;  /* handed to the thread */
  gboolean closed;
};

enum
{
  PROP_STORE = 1,
  PROP_MIDDLEWARE,
  PROP_READER,
  PROP_MAX_PENDING,
  N_PROPS
};

static GParamSpec *props[N_PROPS];

static void backend_init (StrandBackendInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (SampleBackend, sample_backend, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_BACKEND, backend_init))

/* The call has ended, here or in its record. */
static void
call_ended (StrandCall *call, gpointer data)
{
  SampleBackend *self = data;
  gboolean flew;

  g_mutex_lock (&self->lock);
  flew = g_hash_table_steal (self->flying, call);
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
  if (!flew)
    return;
  strand_call_unref (call);
  g_object_unref (self);
}

/* The program reads what it leaves, from the first call on. */
static void
start_reader (SampleBackend *self)
{
  g_autoptr(GError) error = NULL;

  if (self->reader != NULL && !strand_reader_is_listening (self->reader) &&
      !strand_reader_listen (self->reader, &error))
    g_warning ("%s", error->message);
}

static gboolean
put_record (SampleBackend *self, StrandCall *call, GError **error)
{
  g_autoptr(StrandRecord) record = strand_record_new_for_call (call, NULL, error);

  if (record == NULL)
    return FALSE;
  if (strand_record_get_string (record, STRAND_FIELD_QUEUE) == NULL)
    strand_record_set_string (record, STRAND_FIELD_QUEUE, QUEUE);
  return strand_store_put (self->store, record, 0, error);
}

/* On the thread of the pool. */
static void
write_record (gpointer pushed, gpointer data)
{
  g_autoptr(SampleBackend) self = g_object_ref (data); /* the call may be the last that holds it */
  g_autoptr(StrandCall) call = pushed;
  GError *error = NULL;

  start_reader (self);
  if (!put_record (self, call, &error))
    {
      g_prefix_error (&error, "Could not launch a call of '%s': ", strand_call_get_function_name (call));
      strand_call_finish_as (call, STRAND_STATUS_FAILED, NULL, error);
      call_ended (call, self);
    }
  else
    {
      strand_store_follow_call (self->store, strand_call_get_key (call), strand_call_ref (call), call_ended,
                                self);
      /* It was told to stop before there was a record to say so in. */
      if (strand_call_is_stopping (call))
        strand_store_cancel_call (self->store, strand_call_get_key (call), NULL);
    }

  g_mutex_lock (&self->lock);
  self->n_unwritten--;
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
}

/* A call that is refused or answered at the door has no record. */
static void
submit_decided (StrandCall *call, StrandVerdict verdict, GVariant *value, GError *error, gpointer data)
{
  SampleBackend *self = data;

  if (verdict != STRAND_VERDICT_CONTINUE)
    {
      strand_call_finish_by_verdict (call, verdict, value, error);
      call_ended (call, self);
      return;
    }
  g_mutex_lock (&self->lock);
  self->n_unwritten++;
  g_mutex_unlock (&self->lock);
  g_thread_pool_push (self->writers, strand_call_ref (call), NULL);
}

/* Takes over the caller's reference to the call. */
static gboolean
admit_locked (SampleBackend *self, StrandCall *call, GError **error)
{
  if (self->closed)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_CLOSED, "the backend has been closed");
  else if (g_hash_table_size (self->flying) >= self->max_pending)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_FULL,
                 "%u calls are in flight; 'max-pending' raises that limit", g_hash_table_size (self->flying));
  else
    {
      g_hash_table_add (self->flying, call);
      g_object_ref (self);
      return TRUE;
    }
  return FALSE;
}

static gboolean
sample_backend_launch (StrandBackend *backend, StrandCall *call, GError **error)
{
  SampleBackend *self = SAMPLE_BACKEND (backend);
  gboolean admitted;

  /* An option that is not kept is refused, not forgotten. */
  if (strand_options_get_unique (strand_call_get_options (call)) != NULL)
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_NOT_SUPPORTED,
                   "option 'unique' means nothing to this backend");
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
sample_backend_get_store (StrandBackend *backend)
{
  return SAMPLE_BACKEND (backend)->store;
}

/* A record that is not there yet is looked after by write_record(); a store that is closed has no more to
 * say. */
static void
on_cancelled (GObject *store, GAsyncResult *result, gpointer unused)
{
  g_autoptr(GError) error = NULL;

  if (!strand_store_cancel_call_finish (STRAND_STORE (store), result, &error) && error != NULL &&
      !g_error_matches (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND) &&
      !g_error_matches (error, STRAND_ERROR, STRAND_ERROR_CLOSED))
    g_warning ("%s", error->message);
}

static void
sample_backend_cancel (StrandBackend *backend, StrandCall *call)
{
  strand_store_cancel_call_async (SAMPLE_BACKEND (backend)->store, strand_call_get_key (call), NULL,
                                  on_cancelled, NULL);
}

/* Their records go on; only this program hears no more of them. */
static guint
end_flying (SampleBackend *self)
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
      GError *error = g_error_new (STRAND_ERROR, STRAND_ERROR_CLOSED,
                                   "The backend was closed; call '%s' goes on without it",
                                   strand_call_get_key (calls->pdata[i]));

      strand_call_finish_as (calls->pdata[i], STRAND_STATUS_FAILED, NULL, error);
      strand_store_unfollow_call (calls->pdata[i]);
    }
  return calls->len;
}

static gboolean
sample_backend_close (StrandBackend *backend, gint64 deadline_us, GError **error)
{
  SampleBackend *self = SAMPLE_BACKEND (backend);
  guint n_left;

  g_mutex_lock (&self->lock);
  self->closed = TRUE;
  while (self->n_unwritten > 0) /* whatever the deadline: what was accepted has a record */
    g_cond_wait (&self->changed, &self->lock);
  while (g_hash_table_size (self->flying) > 0)
    if (deadline_us < 0)
      g_cond_wait (&self->changed, &self->lock);
    else if (!g_cond_wait_until (&self->changed, &self->lock, deadline_us))
      break;
  g_mutex_unlock (&self->lock);

  n_left = end_flying (self);
  if (n_left == 0)
    return TRUE;
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_TIMED_OUT, "%u calls go on without the backend", n_left);
  return FALSE;
}

static void
backend_init (StrandBackendInterface *iface)
{
  iface->launch = sample_backend_launch;
  iface->get_store = sample_backend_get_store;
  iface->cancel = sample_backend_cancel;
  iface->close = sample_backend_close;
}

static void
sample_backend_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  SampleBackend *self = SAMPLE_BACKEND (object);

  switch (id)
    {
    case PROP_STORE:
      self->store = g_value_dup_object (value);
      break;
    case PROP_MIDDLEWARE:
      self->middleware = g_value_dup_object (value);
      break;
    case PROP_READER:
      self->reader = g_value_dup_object (value);
      break;
    case PROP_MAX_PENDING:
      self->max_pending = g_value_get_uint (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
sample_backend_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  SampleBackend *self = SAMPLE_BACKEND (object);

  switch (id)
    {
    case PROP_STORE:
      g_value_set_object (value, self->store);
      break;
    case PROP_MIDDLEWARE:
      g_value_set_object (value, self->middleware);
      break;
    case PROP_READER:
      g_value_set_object (value, self->reader);
      break;
    case PROP_MAX_PENDING:
      g_value_set_uint (value, self->max_pending);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
sample_backend_constructed (GObject *object)
{
  SampleBackend *self = SAMPLE_BACKEND (object);

  self->chain = strand_chain_new (self->middleware);
  G_OBJECT_CLASS (sample_backend_parent_class)->constructed (object);
}

static void
sample_backend_finalize (GObject *object)
{
  SampleBackend *self = SAMPLE_BACKEND (object);

  g_thread_pool_free (self->writers, FALSE, FALSE); /* nothing is left in it; this may be its own thread */
  g_hash_table_unref (self->flying);
  g_clear_pointer (&self->chain, strand_chain_unref);
  g_clear_object (&self->store);
  g_clear_object (&self->middleware);
  g_clear_object (&self->reader);
  g_cond_clear (&self->changed);
  g_mutex_clear (&self->lock);
  G_OBJECT_CLASS (sample_backend_parent_class)->finalize (object);
}

static void
sample_backend_class_init (SampleBackendClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GParamFlags fixed = G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS;

  object_class->set_property = sample_backend_set_property;
  object_class->get_property = sample_backend_get_property;
  object_class->constructed = sample_backend_constructed;
  object_class->finalize = sample_backend_finalize;

  props[PROP_STORE] = g_param_spec_object ("store", NULL, "Where readers find the calls", STRAND_TYPE_STORE,
                                           fixed | STRAND_PARAM_REQUIRED);
  props[PROP_MIDDLEWARE] =
      g_param_spec_object ("middleware", NULL, "What sees calls before they are stored, outermost first",
                           G_TYPE_LIST_MODEL, fixed);
  props[PROP_READER] =
      g_param_spec_object ("reader", NULL, "A reader that this program starts; none leaves calls to others",
                           STRAND_TYPE_READER, fixed);
  props[PROP_MAX_PENDING] =
      g_param_spec_uint ("max-pending", NULL, "How many calls this program may wait for", 1, G_MAXUINT,
                         DEFAULT_MAX_PENDING, fixed);
  g_object_class_install_properties (object_class, N_PROPS, props);
}

static void
sample_backend_init (SampleBackend *self)
{
  g_mutex_init (&self->lock);
  g_cond_init (&self->changed);
  self->flying = g_hash_table_new_full (NULL, NULL, (GDestroyNotify) strand_call_unref, NULL);
  self->writers = g_thread_pool_new (write_record, self, 1, FALSE, NULL);
}

STRAND_PLUGIN_DEFINE ("sample-backend", "0.1", "0BSD",
                      STRAND_PROVIDES_BACKEND ("sample", SampleBackend, sample_backend_get_type,
                                               "Leaves calls in a store, for a reader to run"))
