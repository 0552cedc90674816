/* local-backend.c — pairs any taskrunner with a store and middleware, in this process.
 *
 * Each call has an entry from launch to end. What happens to it is noted in the entry by whoever learns of it
 * (caller, runner, canceller, timer, store) and carried out by one thread, the backend's clerk: it alone
 * writes records, asks the middleware and starts attempts, so the steps of a call never overlap and a call
 * that starts and ends while the clerk is busy costs one write less. A call ends for its caller only after
 * its record has.
 *
 * Records carry this process as lease owner and stand in no queue: readers never take them. What a program
 * left behind when it died is failed as LOST by the next backend on the same store. SPDX-License-Identifier:
 * LGPL-2.1-or-later */

#include "config.h"
#include "clerk.h"
#include "local-backend.h"

/* Names our leases, so that the next backend knows whose leavings to sweep. */
#define OWNER_KIND "local"

#define DEFAULT_GRACE_US (5 * G_USEC_PER_SEC)
#define DEFAULT_RETRY_DELAY_US (1 * G_USEC_PER_SEC)
#define DEFAULT_RETRY_MAX_DELAY_US (60 * G_USEC_PER_SEC)

/* As for taskrunners: room for what a program may well have waiting. */
#define DEFAULT_MAX_PENDING (4 * 1024 * 1024)

/* How long close() waits, after the grace, for what it has cancelled to be written. */
#define CLOSE_PATIENCE_US (5 * G_USEC_PER_SEC)

/* Unfinished calls that the sweep takes at once. */
#define SWEEP_PAGE 100

enum
{
  PROP_TASKRUNNER = 1,
  PROP_STORE,
  PROP_MIDDLEWARE,
  PROP_SERIALIZER,
  PROP_TIMEOUT,
  PROP_GRACE,
  PROP_RETRIES,
  PROP_RETRY_DELAY,
  PROP_RETRY_MAX_DELAY,
  PROP_MAX_PENDING,
  N_PROPS
};

static GParamSpec *props[N_PROPS];

static void backend_init (StrandBackendInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (StrandLocalBackend, strand_local_backend, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_BACKEND, backend_init))

LocalEntry *
local_entry_ref (LocalEntry *entry)
{
  g_atomic_ref_count_inc (&entry->ref_count);
  return entry;
}

void
local_entry_unref (gpointer data)
{
  LocalEntry *entry = data;

  if (!g_atomic_ref_count_dec (&entry->ref_count))
    return;
  g_clear_pointer (&entry->attempt, strand_call_unref);
  g_clear_pointer (&entry->record, strand_record_unref);
  g_object_unref (entry->backend);
  g_free (entry);
}

static void work_on_locked (StrandLocalBackend *self, LocalEntry *entry);

/* The first entry that nobody on this stack works on: a function may make calls of its own. */
static LocalEntry *
pop_idle_locked (StrandLocalBackend *self)
{
  for (GList *l = self->queue.head; l != NULL; l = l->next)
    {
      LocalEntry *entry = l->data;

      if (entry->working)
        continue;
      g_queue_delete_link (&self->queue, l);
      return entry;
    }
  return NULL;
}

/* In inline mode whoever notes something is the clerk. */
static void
work_inline_locked (StrandLocalBackend *self)
{
  LocalEntry *entry;

  while ((entry = pop_idle_locked (self)) != NULL)
    work_on_locked (self, entry);
}

void
local_entry_note (LocalEntry *entry, guint todo)
{
  StrandLocalBackend *self = entry->backend;

  g_mutex_lock (&self->lock);
  if (!entry->over)
    {
      entry->todo |= todo;
      if (!entry->queued)
        {
          entry->queued = TRUE;
          g_queue_push_tail (&self->queue, local_entry_ref (entry));
          g_cond_broadcast (&self->changed); /* somebody may wait in close as well */
        }
    }
  if (strand_get_inline ())
    work_inline_locked (self);
  g_mutex_unlock (&self->lock);
}

static LocalEntry *
entry_of (StrandLocalBackend *self, StrandCall *call)
{
  return strand_call_get_data (call, self);
}

/* What programs that died left behind. */

/* In a thread of its own: a store without an index reads everything it has for this. */
static gpointer
sweep (gpointer data)
{
  const StrandFilter filter = { .statuses = 1 << STRAND_STATUS_PENDING | 1 << STRAND_STATUS_RUNNING };
  g_autoptr(StrandLocalBackend) self = data;
  g_autofree char *cursor = NULL;

  do
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(StrandPage) page = strand_store_list (self->store, &filter, cursor, SWEEP_PAGE, &error);
      GPtrArray *records = page != NULL ? strand_page_get_records (page) : NULL;

      if (page == NULL)
        strand_debug (STRAND_TOPIC_BACKEND, "what dead programs left stays as it is: %s", error->message);
      for (guint i = 0; records != NULL && i < records->len; i++)
        strand_store_fail_lost (self->store, records->pdata[i]);
      g_free (cursor);
      cursor = page != NULL ? g_strdup (strand_page_get_next (page)) : NULL;
    }
  while (cursor != NULL);
  return NULL;
}

/* Whether functions run on the clerk's thread, which then hears of nothing. */
static gboolean
clerk_runs_functions (StrandLocalBackend *self)
{
  return (strand_taskrunner_get_traits (self->taskrunner) & STRAND_RUNNER_INLINE) != 0;
}

static gpointer
look_meanwhile (gpointer data)
{
  LocalEntry *entry = data;

  local_entry_look (entry);
  local_entry_unref (entry);
  return NULL;
}

/* A look at the record, which has changed. A busy clerk cannot take it, and a watcher must not use the store.
 */
static void
look_at (LocalEntry *entry)
{
  StrandLocalBackend *self = entry->backend;
  gboolean busy;

  g_mutex_lock (&self->lock);
  busy = entry->working && clerk_runs_functions (self);
  g_mutex_unlock (&self->lock);
  if (busy)
    g_thread_unref (g_thread_new ("strand-look", look_meanwhile, local_entry_ref (entry)));
  else
    local_entry_note (entry, TODO_LOOK);
}

/* @key: NULL where anything may have changed. Our own writes come from the clerk and are no news. */
static void
on_store_changed (StrandStore *store, const char *key, gpointer data)
{
  StrandLocalBackend *self = data;
  g_autoptr(GPtrArray) changed = g_ptr_array_new_with_free_func (local_entry_unref);
  GHashTableIter iter;
  gpointer entry;

  g_mutex_lock (&self->lock);
  if (g_thread_self () == self->clerk)
    entry = NULL;
  else if (key != NULL)
    entry = g_hash_table_lookup (self->entries, key);
  else
    {
      g_hash_table_iter_init (&iter, self->entries);
      while (g_hash_table_iter_next (&iter, NULL, &entry))
        g_ptr_array_add (changed, local_entry_ref (entry));
      entry = NULL;
    }
  if (entry != NULL)
    g_ptr_array_add (changed, local_entry_ref (entry));
  g_mutex_unlock (&self->lock);

  for (guint i = 0; i < changed->len; i++)
    look_at (changed->pdata[i]);
}

static void
work_on_locked (StrandLocalBackend *self, LocalEntry *entry)
{
  guint todo;

  entry->queued = FALSE;
  entry->working = TRUE;
  while (!entry->over && (todo = local_todo_next (&entry->todo)) != 0)
    {
      g_mutex_unlock (&self->lock);
      local_entry_carry_out (entry, todo);
      g_mutex_lock (&self->lock);
    }
  entry->working = FALSE;
  g_mutex_unlock (&self->lock);
  local_entry_unref (entry);
  g_mutex_lock (&self->lock);
}

static gboolean
is_busy (gpointer backend)
{
  StrandLocalBackend *self = backend;

  return self->queue.length > 0 || self->all.length > 0;
}

/* The clerk's thread holds the backend; with nothing to do for a while it ends, so that a backend nobody
 * holds any more can go. */
static gpointer
clerk (gpointer data)
{
  g_autoptr(StrandLocalBackend) self = data;
  guint watch = strand_store_watch (self->store, NULL, on_store_changed, self, NULL);

  g_mutex_lock (&self->lock);
  while (TRUE)
    {
      LocalEntry *entry = g_queue_pop_head (&self->queue);

      if (entry != NULL)
        work_on_locked (self, entry);
      else if (self->all.length > 0)
        g_cond_wait (&self->changed, &self->lock);
      else if (clerk_waits_in_vain_locked (self, &self->lock, &self->changed, &self->closed, is_busy))
        break;
    }
  self->clerk = NULL;
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);

  strand_store_unwatch (self->store, watch);
  return NULL;
}

/* The interface. */

static void
submit_decided (StrandCall *call, StrandVerdict verdict, GVariant *value, GError *error, gpointer data)
{
  LocalEntry *entry = data;

  if (verdict == STRAND_VERDICT_CONTINUE)
    {
      local_entry_note (entry, TODO_LAUNCH);
      return;
    }
  /* Refused or answered at the door: no record. */
  strand_call_finish_by_verdict (call, verdict, value, error);
  local_entry_drop (entry);
}

static gboolean
admit_locked (StrandLocalBackend *self, LocalEntry *entry, GError **error)
{
  if (self->closed)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_CLOSED, "the backend has been closed");
  else if (self->all.length >= self->max_pending)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_FULL,
                 "%u calls are in flight, which is the limit; 'max-pending' raises it", self->all.length);
  else
    {
      g_queue_push_tail_link (&self->all, &entry->link);
      if (self->clerk == NULL && !strand_get_inline ())
        {
          self->clerk = g_thread_new ("strand-local", clerk, g_object_ref (self));
          g_thread_unref (self->clerk);
        }
      if (!self->swept && !strand_get_inline ())
        {
          self->swept = TRUE;
          g_thread_unref (g_thread_new ("strand-sweep", sweep, g_object_ref (self)));
        }
      return TRUE;
    }
  return FALSE;
}

static gboolean
check_made_whole (StrandLocalBackend *self, GError **error)
{
  if (self->store != NULL && self->taskrunner != NULL)
    return TRUE;
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT, "the backend was made without %s",
               self->store == NULL ? "a store" : "a taskrunner");
  return FALSE;
}

/* What only a backend with readers can keep must not be forgotten in silence. */
static gboolean
check_options (StrandCall *call, GError **error)
{
  StrandOptions *options = strand_call_get_options (call);
  const char *option = NULL;

  if (strand_options_get_queue (options) != NULL)
    option = "queue";
  else if (strand_options_get_unique (options) != NULL)
    option = "unique";
  if (option == NULL)
    return TRUE;
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_NOT_SUPPORTED,
               "a 'local' backend runs its calls itself, so option '%s' means nothing to it", option);
  return FALSE;
}

static gboolean
strand_local_backend_launch (StrandBackend *backend, StrandCall *call, GError **error)
{
  StrandLocalBackend *self = STRAND_LOCAL_BACKEND (backend);
  LocalEntry *entry;
  gboolean admitted;

  if (!check_options (call, error) || !check_made_whole (self, error) ||
      !strand_taskrunner_check (self->taskrunner, call, error))
    return FALSE;
  entry = g_new0 (LocalEntry, 1);
  g_atomic_ref_count_init (&entry->ref_count);
  entry->link.data = entry;
  entry->backend = g_object_ref (self);
  entry->call = call;
  g_mutex_lock (&self->lock);
  admitted = admit_locked (self, entry, error);
  g_mutex_unlock (&self->lock);
  if (!admitted)
    {
      local_entry_unref (entry);
      return FALSE;
    }

  strand_call_set_data (call, self, entry, local_entry_unref);
  strand_chain_submit (self->chain, call, submit_decided, entry);
  return TRUE;
}

static StrandStore *
strand_local_backend_get_store (StrandBackend *backend)
{
  return STRAND_LOCAL_BACKEND (backend)->store;
}

static void
strand_local_backend_cancel (StrandBackend *backend, StrandCall *call)
{
  LocalEntry *entry = entry_of (STRAND_LOCAL_BACKEND (backend), call);

  if (entry == NULL)
    return;
  if (clerk_runs_functions (entry->backend))
    local_entry_cancel_attempt (entry);
  local_entry_note (entry, TODO_CANCEL);
}

static void
cancel_all (StrandLocalBackend *self)
{
  g_autoptr(GPtrArray) calls = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_call_unref);

  g_mutex_lock (&self->lock);
  for (GList *l = self->all.head; l != NULL; l = l->next)
    g_ptr_array_add (calls, strand_call_ref (((LocalEntry *) l->data)->call));
  g_mutex_unlock (&self->lock);
  for (guint i = 0; i < calls->len; i++)
    strand_call_cancel (calls->pdata[i]);
}

static gboolean
strand_local_backend_close (StrandBackend *backend, gint64 deadline_us, GError **error)
{
  StrandLocalBackend *self = STRAND_LOCAL_BACKEND (backend);
  gint64 until_us;
  guint n_left;

  g_mutex_lock (&self->lock);
  self->closed = TRUE;
  while (self->all.length > 0)
    if (deadline_us < 0)
      g_cond_wait (&self->changed, &self->lock);
    else if (!g_cond_wait_until (&self->changed, &self->lock, deadline_us))
      break;
  n_left = self->all.length;
  g_mutex_unlock (&self->lock);

  if (n_left > 0)
    cancel_all (self);
  /* The clerk ends with the last call; a call that nothing can stop keeps it. */
  until_us = g_get_monotonic_time () + self->grace_us + CLOSE_PATIENCE_US;
  g_mutex_lock (&self->lock);
  g_cond_broadcast (&self->changed);
  while (self->clerk != NULL && g_cond_wait_until (&self->changed, &self->lock, until_us))
    ;
  g_mutex_unlock (&self->lock);

  if (n_left == 0)
    return TRUE;
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_TIMED_OUT,
               "Could not close the backend in time: %u calls had not ended and were cancelled", n_left);
  return FALSE;
}

static GThread *
strand_local_backend_get_thread (StrandBackend *backend)
{
  StrandLocalBackend *self = STRAND_LOCAL_BACKEND (backend);
  GThread *thread;

  g_mutex_lock (&self->lock);
  thread = self->clerk;
  g_mutex_unlock (&self->lock);
  return thread;
}

static void
backend_init (StrandBackendInterface *iface)
{
  iface->launch = strand_local_backend_launch;
  iface->get_store = strand_local_backend_get_store;
  iface->cancel = strand_local_backend_cancel;
  iface->close = strand_local_backend_close;
  iface->get_thread = strand_local_backend_get_thread;
}

static void
strand_local_backend_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  StrandLocalBackend *self = STRAND_LOCAL_BACKEND (object);

  switch (id)
    {
    case PROP_TASKRUNNER:
      g_value_set_object (value, self->taskrunner);
      break;
    case PROP_STORE:
      g_value_set_object (value, self->store);
      break;
    case PROP_MIDDLEWARE:
      g_value_set_object (value, self->middleware);
      break;
    case PROP_SERIALIZER:
      g_value_set_object (value, self->serializer);
      break;
    case PROP_TIMEOUT:
      g_value_set_int64 (value, self->timeout_us);
      break;
    case PROP_GRACE:
      g_value_set_int64 (value, self->grace_us);
      break;
    case PROP_RETRIES:
      g_value_set_uint (value, self->retries);
      break;
    case PROP_RETRY_DELAY:
      g_value_set_int64 (value, self->retry_delay_us);
      break;
    case PROP_RETRY_MAX_DELAY:
      g_value_set_int64 (value, self->retry_max_delay_us);
      break;
    case PROP_MAX_PENDING:
      g_value_set_uint (value, self->max_pending);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
strand_local_backend_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  StrandLocalBackend *self = STRAND_LOCAL_BACKEND (object);

  switch (id)
    {
    case PROP_TASKRUNNER:
      self->taskrunner = g_value_dup_object (value);
      break;
    case PROP_STORE:
      self->store = g_value_dup_object (value);
      break;
    case PROP_MIDDLEWARE:
      self->middleware = g_value_dup_object (value);
      break;
    case PROP_SERIALIZER:
      self->serializer = g_value_dup_object (value);
      break;
    case PROP_TIMEOUT:
      self->timeout_us = g_value_get_int64 (value);
      break;
    case PROP_GRACE:
      self->grace_us = g_value_get_int64 (value);
      break;
    case PROP_RETRIES:
      self->retries = g_value_get_uint (value);
      break;
    case PROP_RETRY_DELAY:
      self->retry_delay_us = g_value_get_int64 (value);
      break;
    case PROP_RETRY_MAX_DELAY:
      self->retry_max_delay_us = g_value_get_int64 (value);
      break;
    case PROP_MAX_PENDING:
      self->max_pending = g_value_get_uint (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
strand_local_backend_constructed (GObject *object)
{
  StrandLocalBackend *self = STRAND_LOCAL_BACKEND (object);

  self->chain = strand_chain_new (self->middleware);
  strand_chain_set_wake (self->chain, local_entry_wake);
  G_OBJECT_CLASS (strand_local_backend_parent_class)->constructed (object);
}

/* Entries and the clerk hold the backend, so none is left. */
static void
strand_local_backend_finalize (GObject *object)
{
  StrandLocalBackend *self = STRAND_LOCAL_BACKEND (object);

  g_clear_object (&self->taskrunner);
  g_clear_object (&self->store);
  g_clear_object (&self->middleware);
  g_clear_object (&self->serializer);
  g_clear_pointer (&self->chain, strand_chain_unref);
  g_hash_table_unref (self->entries);
  g_free (self->owner);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->changed);
  G_OBJECT_CLASS (strand_local_backend_parent_class)->finalize (object);
}

static void
strand_local_backend_class_init (StrandLocalBackendClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GParamFlags fixed = G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS;

  object_class->get_property = strand_local_backend_get_property;
  object_class->set_property = strand_local_backend_set_property;
  object_class->constructed = strand_local_backend_constructed;
  object_class->finalize = strand_local_backend_finalize;

  props[PROP_TASKRUNNER] = g_param_spec_object ("taskrunner", NULL, "Where calls run", STRAND_TYPE_TASKRUNNER,
                                                fixed | STRAND_PARAM_REQUIRED);
  props[PROP_STORE] = g_param_spec_object ("store", NULL, "Where records are kept", STRAND_TYPE_STORE,
                                           fixed | STRAND_PARAM_REQUIRED);
  props[PROP_MIDDLEWARE] =
      g_param_spec_object ("middleware", NULL, "What wraps calls, outermost first", G_TYPE_LIST_MODEL, fixed);
  props[PROP_SERIALIZER] = g_param_spec_object (
      "serializer", NULL, "What writes arguments and values; json by default", STRAND_TYPE_SERIALIZER, fixed);
  props[PROP_TIMEOUT] = g_param_spec_int64 ("timeout", NULL, "How long an attempt may run", -1, G_MAXINT64,
                                            -1, fixed | STRAND_PARAM_DURATION);
  props[PROP_GRACE] =
      g_param_spec_int64 ("grace", NULL, "How long a function may go on after it was told to stop", 0,
                          G_MAXINT64, DEFAULT_GRACE_US, fixed | STRAND_PARAM_DURATION);
  props[PROP_RETRIES] = g_param_spec_uint ("retries", NULL, "How many further attempts follow a failed one",
                                           0, G_MAXUINT16, 0, fixed);
  props[PROP_RETRY_DELAY] =
      g_param_spec_int64 ("retry-delay", NULL, "The longest wait before the first retry; doubles with each",
                          0, G_MAXINT64, DEFAULT_RETRY_DELAY_US, fixed | STRAND_PARAM_DURATION);
  props[PROP_RETRY_MAX_DELAY] =
      g_param_spec_int64 ("retry-max-delay", NULL, "The longest wait before any retry", 0, G_MAXINT64,
                          DEFAULT_RETRY_MAX_DELAY_US, fixed | STRAND_PARAM_DURATION);
  props[PROP_MAX_PENDING] = g_param_spec_uint ("max-pending", NULL, "How many calls may be in flight", 1,
                                               G_MAXUINT, DEFAULT_MAX_PENDING, fixed);
  g_object_class_install_properties (object_class, N_PROPS, props);
}

static void
strand_local_backend_init (StrandLocalBackend *self)
{
  g_mutex_init (&self->lock);
  g_cond_init (&self->changed);
  self->entries = g_hash_table_new (g_str_hash, g_str_equal);
  self->owner = strand_lease_owner_self (OWNER_KIND);
}

STRAND_PLUGIN_DEFINE (
    "local-backend", STRAND_VERSION, "LGPL-2.1-or-later",
    STRAND_PROVIDES_BACKEND ("local", StrandLocalBackend, strand_local_backend_get_type,
                             "Runs calls in this program and keeps their records in a store"))
