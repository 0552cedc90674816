/* local-backend.c — pairs any taskrunner with a store and middleware, in this process.
 *
 * Each call has an entry from launch to end. What happens to it is noted in the entry by whoever learns of it (caller,
 * runner, canceller, timer, store) and carried out by one thread, the backend's clerk: it alone writes records, asks the
 * middleware and starts attempts, so the steps of a call never overlap and a call that starts and ends while the clerk
 * is busy costs one write less. A call ends for its caller only after its record has.
 *
 * Records carry this process as lease owner and stand in no queue: readers never take them. What a program left behind
 * when it died is failed as LOST by the next backend on the same store.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include <strand-plugin.h>

#define STRAND_TYPE_LOCAL_BACKEND (strand_local_backend_get_type ())
G_DECLARE_FINAL_TYPE (StrandLocalBackend, strand_local_backend, STRAND, LOCAL_BACKEND, GObject)

/* Names our leases, so that the next backend knows whose leavings to sweep. */
#define OWNER_KIND "local"

#define DEFAULT_GRACE_US (5 * G_USEC_PER_SEC)
#define DEFAULT_RETRY_DELAY_US (1 * G_USEC_PER_SEC)
#define DEFAULT_RETRY_MAX_DELAY_US (60 * G_USEC_PER_SEC)

/* As for taskrunners: room for what a program may well have waiting. */
#define DEFAULT_MAX_PENDING (4 * 1024 * 1024)

/* Progress is written at most this often: a person or a script looks no more often, and a write costs 100 µs. */
#define PROGRESS_INTERVAL_US (G_USEC_PER_SEC / 4)

/* How long close() waits, after the grace, for what it has cancelled to be written. */
#define CLOSE_PATIENCE_US (5 * G_USEC_PER_SEC)

/* How long the clerk stays without calls: longer than the pauses of a busy program. */
#define CLERK_IDLE_US (2 * G_USEC_PER_SEC)

/* Records that the sweep reads between two pieces of work: about 2 ms of a small filesystem store. */
#define SWEEP_PAGE 100

/* How often a write is tried again when somebody else wrote in between. */
#define MAX_TRIES 64

/* What the clerk has to do for an entry. */
typedef enum
{
  TODO_LAUNCH = 1 << 0,
  TODO_ATTEMPT = 1 << 1, /* its time has come */
  TODO_STARTED = 1 << 2,
  TODO_CHANGED = 1 << 3, /* progress, message, metadata */
  TODO_ENDED = 1 << 4,
  TODO_CANCEL = 1 << 5,
  TODO_LOOK = 1 << 6, /* somebody else may have written the record */
} Todo;

typedef struct
{
  gatomicrefcount ref_count;
  StrandLocalBackend *backend; /* held */
  StrandCall *call;

  /* Guarded by the backend's lock. */
  guint todo;
  gboolean queued;
  gboolean over;
  StrandCall *attempt; /* under way; NULL between attempts */

  /* The clerk's. */
  StrandRecord *record; /* as it was written last */
  guint64 timer;
  gboolean refused;
  gint64 progress_us; /* when progress was written last */
} Entry;

struct _StrandLocalBackend
{
  GObject parent_instance;

  StrandTaskrunner *taskrunner; /* set at construction, as the others down to the lock */
  StrandStore *store;
  GListModel *middleware;
  StrandSerializer *serializer;
  StrandChain *chain;
  gint64 timeout_us;
  gint64 grace_us;
  guint retries;
  gint64 retry_delay_us;
  gint64 retry_max_delay_us;
  guint max_pending;
  char *owner;

  GMutex lock; /* guards everything below */
  GCond changed;
  GThread *clerk; /* NULL while there has been nothing to do; not held */
  GQueue queue;   /* of Entry */
  GHashTable *entries; /* of Entry, by key; those whose record is written */
  guint n_entries;
  char *sweep_cursor; /* where the sweep goes on; NULL once everything has been seen */
  gboolean inline_working;
  gboolean closed;
};

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

static Entry *
entry_ref (Entry *entry)
{
  g_atomic_ref_count_inc (&entry->ref_count);
  return entry;
}

static void
entry_unref (gpointer data)
{
  Entry *entry = data;

  if (!g_atomic_ref_count_dec (&entry->ref_count))
    return;
  g_clear_pointer (&entry->attempt, strand_call_unref);
  g_clear_pointer (&entry->record, strand_record_unref);
  g_object_unref (entry->backend);
  g_free (entry);
}

static void work_on_locked (StrandLocalBackend *self, Entry *entry);

/* In inline mode whoever notes something is the clerk. */
static void
work_inline_locked (StrandLocalBackend *self)
{
  Entry *entry;

  self->inline_working = TRUE;
  while ((entry = g_queue_pop_head (&self->queue)) != NULL)
    work_on_locked (self, entry);
  self->inline_working = FALSE;
}

/* Notes that there is something to do, and wakes the clerk. Any thread. */
static void
entry_note (Entry *entry, guint todo)
{
  StrandLocalBackend *self = entry->backend;

  g_mutex_lock (&self->lock);
  if (!entry->over)
    {
      entry->todo |= todo;
      if (!entry->queued)
        {
          entry->queued = TRUE;
          g_queue_push_tail (&self->queue, entry_ref (entry));
          g_cond_signal (&self->changed);
        }
    }
  if (strand_get_inline () && !self->inline_working)
    work_inline_locked (self);
  g_mutex_unlock (&self->lock);
}

static Entry *
entry_of (StrandLocalBackend *self, StrandCall *call)
{
  return strand_call_get_data (call, self);
}

static StrandCall *
ref_attempt (Entry *entry)
{
  StrandCall *attempt;

  g_mutex_lock (&entry->backend->lock);
  attempt = entry->attempt != NULL ? strand_call_ref (entry->attempt) : NULL;
  g_mutex_unlock (&entry->backend->lock);
  return attempt;
}

static void
set_attempt (Entry *entry, StrandCall *attempt)
{
  StrandCall *old;

  g_mutex_lock (&entry->backend->lock);
  old = entry->attempt;
  entry->attempt = attempt;
  g_mutex_unlock (&entry->backend->lock);
  if (old != NULL)
    strand_call_unref (old);
}

/* What the runner says of an attempt: noted at once, carried out by the clerk. */

static gboolean
attempt_started (StrandCall *attempt, gpointer owner)
{
  Entry *entry = owner;

  if (strand_call_is_stopping (entry->call))
    return FALSE;
  strand_call_mark_running (entry->call);
  entry_note (entry, TODO_STARTED);
  return TRUE;
}

static void
attempt_changed (StrandCall *attempt, gpointer owner)
{
  entry_note (owner, TODO_CHANGED);
}

static void
attempt_ended (StrandCall *attempt, gpointer owner)
{
  entry_note (owner, TODO_ENDED);
}

static const StrandAttemptFuncs attempt_funcs = { attempt_started, attempt_changed, attempt_ended };

/* The record. */

static void
fill_live_fields (Entry *entry, StrandRecord *record)
{
  g_autofree char *message = NULL;
  g_autoptr (GVariant) metadata = strand_call_dup_metadata (entry->call);
  gint64 started_us;

  strand_call_get_times (entry->call, NULL, &started_us, NULL);
  strand_record_set_int (record, STRAND_FIELD_STARTED, started_us);
  strand_record_set_int (record, STRAND_FIELD_ATTEMPT, strand_call_get_attempt (entry->call));
  strand_record_set_double (record, STRAND_FIELD_PROGRESS, strand_call_get_progress (entry->call, &message));
  strand_record_set_string (record, STRAND_FIELD_MESSAGE, message);
  if (g_variant_n_children (metadata) > 0)
    strand_record_set_variant (record, STRAND_FIELD_METADATA, metadata);
}

/* What changes in a record, so that it can be done again to a newer one. */
typedef void (*Change) (Entry *entry, StrandRecord *record, gpointer data);

/* Somebody else wrote the record since we did. FALSE if it is not ours any more. */
static gboolean
take_newer (Entry *entry, GError **error)
{
  StrandRecord *newer = strand_store_get (entry->backend->store, strand_call_get_key (entry->call), error);

  if (newer == NULL)
    return FALSE;
  if (strand_status_is_terminal (strand_record_get_status (newer)) ||
      strand_record_get_int (newer, STRAND_FIELD_FENCE) != strand_record_get_int (entry->record, STRAND_FIELD_FENCE))
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_STALE, "Call '%s' was ended or taken by somebody else",
                   strand_record_get_key (newer));
      strand_record_unref (newer);
      return FALSE;
    }
  strand_record_unref (entry->record);
  entry->record = newer;
  if (strand_record_get_int (newer, STRAND_FIELD_CANCEL_REQUESTED))
    strand_call_cancel (entry->call);
  return TRUE;
}

static gboolean
write_record (Entry *entry, Change change, gpointer data, GError **error)
{
  for (guint i = 0; i < MAX_TRIES; i++)
    {
      g_autoptr (StrandRecord) record = strand_record_copy (entry->record);
      g_autoptr (GError) local = NULL;

      change (entry, record, data);
      if (strand_store_put (entry->backend->store, record, strand_record_get_revision (entry->record), &local))
        {
          strand_record_unref (entry->record);
          entry->record = g_steal_pointer (&record);
          return TRUE;
        }
      if (!g_error_matches (local, STRAND_ERROR, STRAND_ERROR_STALE))
        {
          g_propagate_error (error, g_steal_pointer (&local));
          return FALSE;
        }
      if (!take_newer (entry, error))
        return FALSE;
    }
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_STALE, "The record of call '%s' changed at each of %d tries",
               strand_call_get_key (entry->call), MAX_TRIES);
  return FALSE;
}

static void
stop_timer (Entry *entry)
{
  if (entry->timer != 0)
    strand_clock_remove_timer (entry->timer);
  entry->timer = 0;
}

/* Ends a call for its caller, and its entry. */
static void
drop_entry (Entry *entry)
{
  StrandLocalBackend *self = entry->backend;

  stop_timer (entry);
  set_attempt (entry, NULL);

  g_mutex_lock (&self->lock);
  entry->over = TRUE;
  /* Another call may have the key that this one wanted. */
  if (g_hash_table_lookup (self->entries, strand_call_get_key (entry->call)) == entry)
    g_hash_table_remove (self->entries, strand_call_get_key (entry->call));
  self->n_entries--;
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
  strand_call_unref (entry->call);
}

static void
end_with_error (Entry *entry, StrandStatus status, GError *error)
{
  strand_call_finish_as (entry->call, status, NULL, error);
  drop_entry (entry);
}

/* The store could not keep what happened: the caller must know, whatever the function did. */
static void
end_unkept (Entry *entry, GError *error)
{
  g_prefix_error (&error, "Could not keep what became of call '%s': ", strand_call_get_key (entry->call));
  end_with_error (entry, STRAND_STATUS_FAILED, error);
}

static void
change_to_end (Entry *entry, StrandRecord *record, gpointer data)
{
  StrandCall *ended = data;
  const GError *error = strand_call_get_error (ended);
  gint64 completed_us;

  fill_live_fields (entry, record);
  strand_call_get_times (ended, NULL, NULL, &completed_us);
  strand_record_set_int (record, STRAND_FIELD_STATUS, strand_call_get_status (ended));
  strand_record_set_int (record, STRAND_FIELD_COMPLETED, completed_us);
  strand_record_set_string (record, STRAND_FIELD_LEASE_OWNER, NULL);
  if (error != NULL)
    strand_record_add_cause (record, entry->backend->owner, error);
}

static void
add_warnings (StrandRecord *record, GStrv warnings)
{
  GVariant *there = strand_record_get_variant (record, STRAND_FIELD_WARNINGS);
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_STRING_ARRAY);
  for (gsize i = 0; there != NULL && i < g_variant_n_children (there); i++)
    {
      g_autoptr (GVariant) child = g_variant_get_child_value (there, i);

      g_variant_builder_add_value (&builder, child);
    }
  for (guint i = 0; warnings[i] != NULL; i++)
    g_variant_builder_add (&builder, "s", warnings[i]);
  strand_record_set_variant (record, STRAND_FIELD_WARNINGS, g_variant_builder_end (&builder));
}

/* Serializes the value first: one that cannot be kept is a failure of the call. */
static gboolean
keep_value (Entry *entry, StrandCall *attempt, GError **error)
{
  GVariant *value = strand_call_get_value (attempt);

  return value == NULL || strand_record_set_value (entry->record, value, entry->backend->serializer, error);
}

static void
change_to_failure (Entry *entry, StrandRecord *record, gpointer data)
{
  fill_live_fields (entry, record);
  strand_record_set_int (record, STRAND_FIELD_STATUS, STRAND_STATUS_FAILED);
  strand_record_set_int (record, STRAND_FIELD_COMPLETED, strand_clock_now_us ());
  strand_record_set_string (record, STRAND_FIELD_LEASE_OWNER, NULL);
  strand_record_add_cause (record, entry->backend->owner, data);
}

/* Fails a call that no attempt has ended: refused, expired, or impossible to store. Takes over @error. */
static void
fail_entry (Entry *entry, GError *error)
{
  g_autoptr (GError) local = NULL;

  if (!write_record (entry, change_to_failure, error, &local))
    {
      g_error_free (error);
      end_unkept (entry, g_steal_pointer (&local));
      return;
    }
  end_with_error (entry, STRAND_STATUS_FAILED, error);
}

static void
end_entry (Entry *entry, StrandCall *attempt)
{
  GError *error = NULL;

  if (!keep_value (entry, attempt, &error))
    {
      fail_entry (entry, error);
      return;
    }
  if (!write_record (entry, change_to_end, attempt, &error))
    {
      /* Removed under us, or ended by somebody else: the caller still gets what the function gave. */
      if (!g_error_matches (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND) &&
          !g_error_matches (error, STRAND_ERROR, STRAND_ERROR_STALE))
        {
          end_unkept (entry, error);
          return;
        }
      g_message ("%s", error->message);
      g_clear_error (&error);
    }
  strand_call_finish_like (entry->call, attempt);
  drop_entry (entry);
}

/* Attempts. */

static void
on_time (gpointer data)
{
  entry_note (data, TODO_ATTEMPT);
}

static void
attempt_later (Entry *entry, gint64 delay_us)
{
  entry->timer = strand_clock_add_timer (strand_clock_monotonic_us () + delay_us, on_time, entry_ref (entry), entry_unref);
}

static void
submit_attempt (Entry *entry, StrandCall *attempt)
{
  GError *error = NULL;

  strand_call_ref (attempt);
  if (strand_taskrunner_submit (entry->backend->taskrunner, attempt, &error))
    return;
  strand_call_finish_as (attempt, STRAND_STATUS_FAILED, NULL, error);
  strand_call_unref (attempt);
}

/* How a call ends that its middleware did not let through. */
static StrandStatus
status_of (StrandVerdict verdict, const GError *error)
{
  if (verdict == STRAND_VERDICT_ANSWER)
    return STRAND_STATUS_COMPLETED;
  return g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED) ? STRAND_STATUS_CANCELLED : STRAND_STATUS_FAILED;
}

static void
chain_decided (StrandCall *attempt, StrandVerdict verdict, GVariant *value, GError *error, gpointer data)
{
  Entry *entry = data;

  if (verdict == STRAND_VERDICT_CONTINUE)
    submit_attempt (entry, attempt);
  else
    {
      entry->refused = verdict == STRAND_VERDICT_REFUSE;
      strand_call_finish_as (attempt, status_of (verdict, error), value, error);
    }
}

static void
start_attempt (Entry *entry)
{
  StrandLocalBackend *self = entry->backend;
  StrandOptions *options = strand_call_get_options (entry->call);
  gint64 timeout_us = strand_options_get_timeout (options);
  gint64 expires_us = strand_options_get_expires (options);
  StrandCall *attempt;

  if (expires_us > 0 && strand_clock_now_us () > expires_us)
    {
      fail_entry (entry, g_error_new (STRAND_ERROR, STRAND_ERROR_EXPIRED,
                                      "The call of '%s' was not started before it expired",
                                      strand_call_get_function_name (entry->call)));
      return;
    }
  attempt = strand_call_new_attempt (entry->call, &attempt_funcs, entry,
                                     timeout_us == STRAND_UNSET ? self->timeout_us : timeout_us, self->grace_us);
  strand_debug (STRAND_TOPIC_BACKEND, "attempt %u of call '%s'", strand_call_get_attempt (attempt),
                strand_call_get_key (attempt));
  set_attempt (entry, strand_call_ref (attempt));
  if (strand_call_is_stopping (entry->call))
    strand_call_cancel (attempt);
  else
    strand_chain_before (self->chain, attempt, chain_decided, entry);
  strand_call_unref (attempt);
}

static guint
allowed_retries (Entry *entry)
{
  int retries = strand_options_get_retries (strand_call_get_options (entry->call));

  return retries >= 0 ? (guint) retries : entry->backend->retries;
}

static gboolean
will_retry (Entry *entry, StrandCall *attempt)
{
  return strand_call_get_status (attempt) == STRAND_STATUS_FAILED && !entry->refused &&
         !strand_call_is_stopping (entry->call) && strand_call_get_attempt (entry->call) <= allowed_retries (entry);
}

/* Exponential with full jitter ("Exponential Backoff and Jitter", AWS Architecture Blog, 2015), so that calls which failed
 * together do not come back together. */
static gint64
retry_delay (Entry *entry)
{
  StrandLocalBackend *self = entry->backend;
  guint doublings = MIN (strand_call_get_attempt (entry->call) - 1, 30);
  double longest = MIN ((double) self->retry_delay_us * (double) (1u << doublings), (double) self->retry_max_delay_us);

  return (gint64) g_random_double_range (0, longest + 1);
}

static void
change_to_retry (Entry *entry, StrandRecord *record, gpointer data)
{
  fill_live_fields (entry, record);
  strand_record_set_int (record, STRAND_FIELD_STATUS, STRAND_STATUS_PENDING);
  strand_record_add_cause (record, entry->backend->owner, data);
}

static void
retry_entry (Entry *entry, StrandCall *attempt)
{
  GError *error = NULL;

  if (!write_record (entry, change_to_retry, (gpointer) strand_call_get_error (attempt), &error))
    {
      end_unkept (entry, error);
      return;
    }
  set_attempt (entry, NULL);
  strand_call_requeue (entry->call);
  attempt_later (entry, retry_delay (entry));
}

/* What the clerk does. */

static StrandRecord *
make_record (Entry *entry, GError **error)
{
  StrandLocalBackend *self = entry->backend;
  StrandOptions *options = strand_call_get_options (entry->call);
  g_autoptr (StrandRecord) record = strand_record_new (strand_call_get_key (entry->call));
  g_autoptr (GVariant) headers = strand_call_dup_headers (entry->call);
  gint64 ttl_us = strand_options_get_ttl (options), timeout_us = strand_options_get_timeout (options), created_us;

  if (ttl_us == STRAND_UNSET)
    g_object_get (self->store, "ttl", &ttl_us, NULL);
  strand_call_get_times (entry->call, &created_us, NULL, NULL);
  strand_record_set_string (record, STRAND_FIELD_FUNCTION, strand_call_get_function_name (entry->call));
  strand_record_set_int (record, STRAND_FIELD_CREATED, created_us > 0 ? created_us : strand_clock_now_us ());
  strand_record_set_int (record, STRAND_FIELD_TTL, ttl_us);
  strand_record_set_int (record, STRAND_FIELD_TIMEOUT, timeout_us == STRAND_UNSET ? self->timeout_us : timeout_us);
  strand_record_set_int (record, STRAND_FIELD_RETRIES, allowed_retries (entry));
  strand_record_set_int (record, STRAND_FIELD_PRIORITY, strand_options_get_priority (options));
  strand_record_set_int (record, STRAND_FIELD_NOT_BEFORE, strand_options_get_not_before (options));
  strand_record_set_int (record, STRAND_FIELD_EXPIRES, strand_options_get_expires (options));
  strand_record_set_string (record, STRAND_FIELD_LEASE_OWNER, self->owner);
  if (g_variant_n_children (headers) > 0)
    strand_record_set_variant (record, STRAND_FIELD_HEADERS, headers);
  if (!strand_record_set_arguments (record, strand_call_get_arguments (entry->call), self->serializer, error))
    return NULL;
  return g_steal_pointer (&record);
}

static void
do_launch (Entry *entry)
{
  StrandLocalBackend *self = entry->backend;
  gint64 not_before_us = strand_options_get_not_before (strand_call_get_options (entry->call));
  gint64 now_us = strand_clock_now_us ();
  GError *error = NULL;

  entry->record = make_record (entry, &error);
  if (entry->record == NULL || !strand_store_put (self->store, entry->record, 0, &error))
    {
      g_prefix_error (&error, "Could not launch a call of '%s': ", strand_call_get_function_name (entry->call));
      end_with_error (entry, STRAND_STATUS_FAILED, error);
      return;
    }
  g_mutex_lock (&self->lock);
  g_hash_table_insert (self->entries, (gpointer) strand_call_get_key (entry->call), entry);
  g_mutex_unlock (&self->lock);

  if (not_before_us > now_us)
    attempt_later (entry, not_before_us - now_us);
  else
    start_attempt (entry);
}

static void
change_to_running (Entry *entry, StrandRecord *record, gpointer data)
{
  fill_live_fields (entry, record);
  strand_record_set_int (record, STRAND_FIELD_STATUS, STRAND_STATUS_RUNNING);
}

/* Progress and start are for onlookers: a store that fails here has its say when the call ends. */
static void
show_running (Entry *entry)
{
  g_autoptr (GError) error = NULL;

  entry->progress_us = strand_clock_monotonic_us ();
  if (!write_record (entry, change_to_running, NULL, &error))
    strand_debug (STRAND_TOPIC_BACKEND, "could not show call '%s' as running: %s",
                  strand_call_get_key (entry->call), error->message);
}

static void
on_progress_due (gpointer data)
{
  entry_note (data, TODO_CHANGED);
}

static void
do_changed (Entry *entry)
{
  gint64 wait_us = entry->progress_us + PROGRESS_INTERVAL_US - strand_clock_monotonic_us ();

  if (wait_us <= 0)
    {
      stop_timer (entry);
      show_running (entry);
    }
  else if (entry->timer == 0)
    entry->timer = strand_clock_add_timer (strand_clock_monotonic_us () + wait_us, on_progress_due, entry_ref (entry),
                                           entry_unref);
}

static void
do_ended (Entry *entry)
{
  g_autoptr (StrandCall) attempt = ref_attempt (entry);
  gboolean retry;
  g_auto (GStrv) warnings = NULL;

  if (attempt == NULL)
    return;
  stop_timer (entry);
  retry = will_retry (entry, attempt);
  warnings = strand_chain_settle (entry->backend->chain, attempt, retry);
  if (warnings != NULL)
    add_warnings (entry->record, warnings);
  if (retry)
    retry_entry (entry, attempt);
  else
    end_entry (entry, attempt);
}

static void
change_to_cancelled (Entry *entry, StrandRecord *record, gpointer data)
{
  strand_record_set_int (record, STRAND_FIELD_STATUS, STRAND_STATUS_CANCELLED);
  strand_record_set_int (record, STRAND_FIELD_COMPLETED, strand_clock_now_us ());
  strand_record_set_string (record, STRAND_FIELD_LEASE_OWNER, NULL);
}

/* An attempt under way ends by itself when it is stopped; between attempts nothing else would end the call. */
static void
do_cancel (Entry *entry)
{
  g_autoptr (StrandCall) attempt = ref_attempt (entry);
  g_autoptr (GError) error = NULL;

  if (attempt != NULL)
    {
      strand_call_cancel (attempt);
      return;
    }
  if (!write_record (entry, change_to_cancelled, NULL, &error))
    g_message ("Could not write that call '%s' was cancelled: %s", strand_call_get_key (entry->call), error->message);
  end_with_error (entry, STRAND_STATUS_CANCELLED,
                  g_error_new (G_IO_ERROR, G_IO_ERROR_CANCELLED, "The call of '%s' was cancelled before it started",
                               strand_call_get_function_name (entry->call)));
}

static void
do_look (Entry *entry)
{
  g_autoptr (StrandRecord) record =
      strand_store_get (entry->backend->store, strand_call_get_key (entry->call), NULL);

  if (record == NULL || strand_status_is_terminal (strand_record_get_status (record)) ||
      strand_record_get_int (record, STRAND_FIELD_CANCEL_REQUESTED))
    strand_call_cancel (entry->call);
}

static void
carry_out (Entry *entry, guint todo)
{
  if ((todo & TODO_LAUNCH) != 0)
    do_launch (entry);
  else if ((todo & TODO_ENDED) != 0)
    do_ended (entry);
  else if ((todo & TODO_CANCEL) != 0)
    do_cancel (entry);
  else if ((todo & TODO_ATTEMPT) != 0)
    {
      entry->timer = 0;
      start_attempt (entry);
    }
  else if ((todo & TODO_STARTED) != 0)
    show_running (entry);
  else if ((todo & TODO_CHANGED) != 0)
    do_changed (entry);
  else if ((todo & TODO_LOOK) != 0)
    do_look (entry);
}

/* Which of several things comes first, and what it makes pointless. */
static guint
next_todo (guint *todo)
{
  static const guint order[] = { TODO_LAUNCH, TODO_ENDED, TODO_CANCEL, TODO_ATTEMPT, TODO_STARTED, TODO_CHANGED, TODO_LOOK };

  if ((*todo & TODO_ENDED) != 0)
    *todo &= ~(guint) (TODO_STARTED | TODO_CHANGED);
  for (guint i = 0; i < G_N_ELEMENTS (order); i++)
    if ((*todo & order[i]) != 0)
      {
        *todo &= ~order[i];
        return order[i];
      }
  return 0;
}

/* What programs that died left behind. */

static void
change_to_lost (StrandRecord *record, const char *owner)
{
  g_autoptr (GError) error =
      g_error_new (STRAND_ERROR, STRAND_ERROR_LOST, "The program that ran the call ended without finishing it");

  strand_record_set_int (record, STRAND_FIELD_STATUS, STRAND_STATUS_FAILED);
  strand_record_set_int (record, STRAND_FIELD_COMPLETED, strand_clock_now_us ());
  strand_record_set_string (record, STRAND_FIELD_LEASE_OWNER, NULL);
  strand_record_add_cause (record, owner, error);
}

static void
sweep_record (StrandLocalBackend *self, StrandRecord *record)
{
  g_autofree char *owner = g_strdup (strand_record_get_string (record, STRAND_FIELD_LEASE_OWNER));
  g_autoptr (StrandRecord) lost = NULL;

  if (owner == NULL || !strand_lease_owner_has_kind (owner, OWNER_KIND) ||
      strand_lease_owner_probe (owner) != STRAND_OWNER_STATE_DEAD)
    return;
  lost = strand_record_copy (record);
  change_to_lost (lost, owner);
  /* STALE: another backend swept it first. */
  strand_store_put (self->store, lost, strand_record_get_revision (record), NULL);
}

/* One page of the sweep; NULL once everything has been seen. Takes over @cursor. */
static char *
sweep_page (StrandLocalBackend *self, char *cursor)
{
  const StrandFilter filter = { .statuses = 1 << STRAND_STATUS_PENDING | 1 << STRAND_STATUS_RUNNING };
  g_autofree char *from = cursor;
  g_autoptr (StrandPage) page =
      strand_store_list (self->store, &filter, *from != '\0' ? from : NULL, SWEEP_PAGE, NULL);
  GPtrArray *records;

  if (page == NULL)
    return NULL;
  records = strand_page_get_records (page);
  for (guint i = 0; i < records->len; i++)
    sweep_record (self, records->pdata[i]);
  return g_strdup (strand_page_get_next (page));
}

/* @key: NULL where anything may have changed. Our own writes come from the clerk and are no news. */
static void
on_store_changed (StrandStore *store, const char *key, gpointer data)
{
  StrandLocalBackend *self = data;
  g_autoptr (GPtrArray) changed = g_ptr_array_new_with_free_func (entry_unref);
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
        g_ptr_array_add (changed, entry_ref (entry));
      entry = NULL;
    }
  if (entry != NULL)
    g_ptr_array_add (changed, entry_ref (entry));
  g_mutex_unlock (&self->lock);

  for (guint i = 0; i < changed->len; i++)
    entry_note (changed->pdata[i], TODO_LOOK);
}

static void
work_on_locked (StrandLocalBackend *self, Entry *entry)
{
  guint todo;

  entry->queued = FALSE;
  while (!entry->over && (todo = next_todo (&entry->todo)) != 0)
    {
      g_mutex_unlock (&self->lock);
      carry_out (entry, todo);
      g_mutex_lock (&self->lock);
    }
  g_mutex_unlock (&self->lock);
  entry_unref (entry);
  g_mutex_lock (&self->lock);
}

/* The clerk's thread holds the backend; with nothing to do for a while it ends, so that a backend nobody holds any more
 * can go. */
static gpointer
clerk (gpointer data)
{
  g_autoptr (StrandLocalBackend) self = data;
  guint watch = strand_store_watch (self->store, NULL, on_store_changed, self, NULL);
  gboolean idle = FALSE;

  g_mutex_lock (&self->lock);
  while (self->queue.length > 0 || !idle)
    {
      Entry *entry = g_queue_pop_head (&self->queue);

      if (entry != NULL)
        work_on_locked (self, entry);
      else if (self->sweep_cursor != NULL)
        {
          char *cursor = g_steal_pointer (&self->sweep_cursor);

          g_mutex_unlock (&self->lock);
          cursor = sweep_page (self, cursor);
          g_mutex_lock (&self->lock);
          self->sweep_cursor = cursor;
        }
      else if (self->n_entries > 0)
        g_cond_wait (&self->changed, &self->lock);
      else
        idle = self->closed ||
               !g_cond_wait_until (&self->changed, &self->lock, g_get_monotonic_time () + CLERK_IDLE_US);
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
  Entry *entry = data;

  if (verdict == STRAND_VERDICT_CONTINUE)
    {
      entry_note (entry, TODO_LAUNCH);
      return;
    }
  /* Refused or answered at the door: no record. */
  strand_call_finish_as (call, status_of (verdict, error), value, error);
  drop_entry (entry);
}

static gboolean
admit_locked (StrandLocalBackend *self, GError **error)
{
  if (self->store == NULL || self->taskrunner == NULL)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT, "the backend was made without %s",
                 self->store == NULL ? "a store" : "a taskrunner");
  else if (self->closed)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_CLOSED, "the backend has been closed");
  else if (self->n_entries >= self->max_pending)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_FULL,
                 "%u calls are in flight, which is the limit; 'max-pending' raises it", self->n_entries);
  else
    {
      self->n_entries++;
      if (self->clerk == NULL && !strand_get_inline ())
        {
          self->clerk = g_thread_new ("strand-local", clerk, g_object_ref (self));
          g_thread_unref (self->clerk);
        }
      return TRUE;
    }
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
  Entry *entry;
  gboolean admitted;

  if (!check_options (call, error))
    return FALSE;
  g_mutex_lock (&self->lock);
  admitted = admit_locked (self, error);
  g_mutex_unlock (&self->lock);
  if (!admitted)
    return FALSE;

  entry = g_new0 (Entry, 1);
  g_atomic_ref_count_init (&entry->ref_count);
  entry->backend = g_object_ref (self);
  entry->call = call;
  strand_call_set_data (call, self, entry, entry_unref);
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
  Entry *entry = entry_of (STRAND_LOCAL_BACKEND (backend), call);

  if (entry != NULL)
    entry_note (entry, TODO_CANCEL);
}

static void
cancel_all (StrandLocalBackend *self)
{
  g_autoptr (GPtrArray) calls = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_call_unref);
  GHashTableIter iter;
  gpointer entry;

  g_mutex_lock (&self->lock);
  g_hash_table_iter_init (&iter, self->entries);
  while (g_hash_table_iter_next (&iter, NULL, &entry))
    g_ptr_array_add (calls, strand_call_ref (((Entry *) entry)->call));
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
  while (self->n_entries > 0)
    if (deadline_us < 0)
      g_cond_wait (&self->changed, &self->lock);
    else if (!g_cond_wait_until (&self->changed, &self->lock, deadline_us))
      break;
  n_left = self->n_entries;
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

static void
backend_init (StrandBackendInterface *iface)
{
  iface->launch = strand_local_backend_launch;
  iface->get_store = strand_local_backend_get_store;
  iface->cancel = strand_local_backend_cancel;
  iface->close = strand_local_backend_close;
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
  g_free (self->sweep_cursor);
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
  props[PROP_SERIALIZER] = g_param_spec_object ("serializer", NULL, "What writes arguments and values; json by default",
                                                STRAND_TYPE_SERIALIZER, fixed);
  props[PROP_TIMEOUT] = g_param_spec_int64 ("timeout", NULL, "How long an attempt may run", -1, G_MAXINT64, -1,
                                            fixed | STRAND_PARAM_DURATION);
  props[PROP_GRACE] =
      g_param_spec_int64 ("grace", NULL, "How long a function may go on after it was told to stop", 0, G_MAXINT64,
                          DEFAULT_GRACE_US, fixed | STRAND_PARAM_DURATION);
  props[PROP_RETRIES] = g_param_spec_uint ("retries", NULL, "How many further attempts follow a failed one", 0,
                                           G_MAXUINT16, 0, fixed);
  props[PROP_RETRY_DELAY] =
      g_param_spec_int64 ("retry-delay", NULL, "The longest wait before the first retry; doubles with each", 0,
                          G_MAXINT64, DEFAULT_RETRY_DELAY_US, fixed | STRAND_PARAM_DURATION);
  props[PROP_RETRY_MAX_DELAY] = g_param_spec_int64 ("retry-max-delay", NULL, "The longest wait before any retry", 0,
                                                    G_MAXINT64, DEFAULT_RETRY_MAX_DELAY_US,
                                                    fixed | STRAND_PARAM_DURATION);
  props[PROP_MAX_PENDING] = g_param_spec_uint ("max-pending", NULL, "How many calls may be in flight", 1, G_MAXUINT,
                                               DEFAULT_MAX_PENDING, fixed);
  g_object_class_install_properties (object_class, N_PROPS, props);
}

static void
strand_local_backend_init (StrandLocalBackend *self)
{
  g_mutex_init (&self->lock);
  g_cond_init (&self->changed);
  self->entries = g_hash_table_new (g_str_hash, g_str_equal);
  self->owner = strand_lease_owner_self (OWNER_KIND);
  self->sweep_cursor = g_strdup ("");
}

STRAND_PLUGIN_DEFINE ("local-backend", STRAND_VERSION, "LGPL-2.1-or-later",
                      STRAND_PROVIDES_BACKEND ("local", StrandLocalBackend, strand_local_backend_get_type,
                                               "Runs calls in this program and keeps their records in a store"))
