/* local-entry.c — one call in the care of the local backend, from launch to end.
 *
 * What the runner, a timer or a canceller has to say of a call is only noted; everything else here runs on
 * the clerk's thread, one thing after the other. A record is written by saying what changes in it, so that
 * the change can be made again to a newer record when somebody else wrote in between.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "local-backend.h"

/* Progress is written at most this often: a person or a script looks no more often, and a write costs 100 µs.
 */
#define PROGRESS_INTERVAL_US (G_USEC_PER_SEC / 4)

/* How often a write is tried again when somebody else wrote in between: at once at first, then after a pause,
 * which lets the other come to an end; five seconds of that are no accident any more. */
#define MAX_TRIES 600
#define HASTY_TRIES 64
#define PAUSE_US 10000

static StrandCall *
ref_attempt (LocalEntry *entry)
{
  StrandCall *attempt;

  g_mutex_lock (&entry->backend->lock);
  attempt = entry->attempt != NULL ? strand_call_ref (entry->attempt) : NULL;
  g_mutex_unlock (&entry->backend->lock);
  return attempt;
}

static void
set_attempt (LocalEntry *entry, StrandCall *attempt)
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
  LocalEntry *entry = owner;

  if (strand_call_is_stopping (entry->call))
    return FALSE;
  strand_call_mark_running (entry->call);
  local_entry_note (entry, TODO_STARTED);
  return TRUE;
}

static void
attempt_changed (StrandCall *attempt, gpointer owner)
{
  local_entry_note (owner, TODO_CHANGED);
}

static void
attempt_ended (StrandCall *attempt, gpointer owner)
{
  local_entry_note (owner, TODO_ENDED);
}

static const StrandAttemptFuncs attempt_funcs = { attempt_started, attempt_changed, attempt_ended };

/* The record. */

static void
fill_live_fields (LocalEntry *entry, StrandRecord *record)
{
  g_autofree char *message = NULL;
  g_autoptr(GVariant) metadata = strand_call_dup_metadata (entry->call);
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
typedef void (*Change) (LocalEntry *entry, StrandRecord *record, gpointer data);

/* What was kept for the next write, whatever somebody else has written meanwhile. */
static void
carry_over (StrandRecord *from, StrandRecord *to)
{
  GVariant *warnings = strand_record_get_variant (from, STRAND_FIELD_WARNINGS);
  GBytes *value = strand_record_get_bytes (from, STRAND_FIELD_VALUE);

  if (warnings != NULL)
    strand_record_set_variant (to, STRAND_FIELD_WARNINGS, warnings);
  if (value == NULL)
    return;
  strand_record_set_string (to, STRAND_FIELD_VALUE_TYPE,
                            strand_record_get_string (from, STRAND_FIELD_VALUE_TYPE));
  strand_record_set_bytes (to, STRAND_FIELD_VALUE, value);
}

/* Somebody else wrote the record since we did. FALSE if it is not ours any more. */
static gboolean
take_newer (LocalEntry *entry, GError **error)
{
  StrandRecord *newer = strand_store_get (entry->backend->store, strand_call_get_key (entry->call), error);

  if (newer == NULL)
    return FALSE;
  if (strand_status_is_terminal (strand_record_get_status (newer)) ||
      strand_record_get_int (newer, STRAND_FIELD_FENCE) !=
          strand_record_get_int (entry->record, STRAND_FIELD_FENCE))
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_STALE, "Call '%s' was ended or taken by somebody else",
                   strand_record_get_key (newer));
      strand_record_unref (newer);
      return FALSE;
    }
  carry_over (entry->record, newer);
  strand_record_unref (entry->record);
  entry->record = newer;
  if (strand_record_get_int (newer, STRAND_FIELD_CANCEL_REQUESTED))
    strand_call_cancel (entry->call);
  return TRUE;
}

static gboolean
write_record (LocalEntry *entry, Change change, gpointer data, GError **error)
{
  for (guint i = 0; i < MAX_TRIES; i++)
    {
      g_autoptr(StrandRecord) record = strand_record_copy (entry->record);
      g_autoptr(GError) local = NULL;

      change (entry, record, data);
      if (strand_store_put (entry->backend->store, record, strand_record_get_revision (entry->record),
                            &local))
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
      if (i >= HASTY_TRIES)
        g_usleep ((gulong) g_random_int_range (0, 2 * PAUSE_US));
    }
  /* Not STALE, which says that it is another's now. */
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_FAILED, "its record changed at each of %d tries", MAX_TRIES);
  return FALSE;
}

static void
stop_timer (LocalEntry *entry)
{
  if (entry->timer != 0)
    strand_clock_remove_timer (entry->timer);
  entry->timer = 0;
}

/* Ends a call for its caller, and its entry. */
void
local_entry_drop (LocalEntry *entry)
{
  StrandLocalBackend *self = entry->backend;

  stop_timer (entry);
  set_attempt (entry, NULL);

  g_mutex_lock (&self->lock);
  entry->over = TRUE;
  /* Another call may have the key that this one wanted. */
  if (g_hash_table_lookup (self->entries, strand_call_get_key (entry->call)) == entry)
    g_hash_table_remove (self->entries, strand_call_get_key (entry->call));
  g_queue_unlink (&self->all, &entry->link);
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
  strand_call_unref (entry->call);
}

static void
end_with_error (LocalEntry *entry, StrandStatus status, GError *error)
{
  strand_call_finish_as (entry->call, status, NULL, error);
  local_entry_drop (entry);
}

/* The store could not keep what happened: the caller must know, whatever the function did. */
static void
end_unkept (LocalEntry *entry, GError *error)
{
  g_prefix_error (&error, "Could not keep what became of call '%s': ", strand_call_get_key (entry->call));
  end_with_error (entry, STRAND_STATUS_FAILED, error);
}

static void
change_to_end (LocalEntry *entry, StrandRecord *record, gpointer data)
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
      g_autoptr(GVariant) child = g_variant_get_child_value (there, i);

      g_variant_builder_add_value (&builder, child);
    }
  for (guint i = 0; warnings[i] != NULL; i++)
    g_variant_builder_add (&builder, "s", warnings[i]);
  strand_record_set_variant (record, STRAND_FIELD_WARNINGS, g_variant_builder_end (&builder));
}

/* Serializes the value first: one that cannot be kept is a failure of the call. */
static gboolean
keep_value (LocalEntry *entry, StrandCall *attempt, GError **error)
{
  GVariant *value = strand_call_get_value (attempt);

  return value == NULL || strand_record_set_value (entry->record, value, entry->backend->serializer, error);
}

static void
change_to_failure (LocalEntry *entry, StrandRecord *record, gpointer data)
{
  fill_live_fields (entry, record);
  strand_record_set_int (record, STRAND_FIELD_STATUS, STRAND_STATUS_FAILED);
  strand_record_set_int (record, STRAND_FIELD_COMPLETED, strand_clock_now_us ());
  strand_record_set_string (record, STRAND_FIELD_LEASE_OWNER, NULL);
  strand_record_add_cause (record, entry->backend->owner, data);
}

/* Fails a call that no attempt has ended: refused, expired, or impossible to store. Takes over @error. */
static void
fail_entry (LocalEntry *entry, GError *error)
{
  g_autoptr(GError) local = NULL;

  if (!write_record (entry, change_to_failure, error, &local))
    {
      g_error_free (error);
      end_unkept (entry, g_steal_pointer (&local));
      return;
    }
  end_with_error (entry, STRAND_STATUS_FAILED, error);
}

/* The record cannot take the outcome (it is too large, perhaps); it may well take that. Takes over @error. */
static void
fail_unkept (LocalEntry *entry, GError *error)
{
  strand_record_set_string (entry->record, STRAND_FIELD_VALUE_TYPE, NULL);
  strand_record_set_bytes (entry->record, STRAND_FIELD_VALUE, NULL);
  g_prefix_error (&error, "Could not keep what became of call '%s': ", strand_call_get_key (entry->call));
  fail_entry (entry, error);
}

static void
end_entry (LocalEntry *entry, StrandCall *attempt)
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
          fail_unkept (entry, error);
          return;
        }
      g_message ("%s", error->message);
      g_clear_error (&error);
    }
  strand_call_finish_like (entry->call, attempt);
  local_entry_drop (entry);
}

/* Attempts. */

static void
on_time (gpointer data)
{
  local_entry_note (data, TODO_ATTEMPT);
}

static void
attempt_later (LocalEntry *entry, gint64 delay_us)
{
  entry->timer = strand_clock_add_timer (strand_clock_monotonic_us () + delay_us, on_time,
                                         local_entry_ref (entry), local_entry_unref);
}

static void
submit_attempt (LocalEntry *entry, StrandCall *attempt)
{
  GError *error = NULL;

  strand_call_ref (attempt);
  /* Checked again, because `sync` runs it right here, on the clerk's thread. */
  if (strand_taskrunner_check (entry->backend->taskrunner, attempt, &error) &&
      strand_taskrunner_submit (entry->backend->taskrunner, attempt, &error))
    return;
  /* Waiting may make room; nothing makes a closed or unfit runner take it. */
  entry->refused = !g_error_matches (error, STRAND_ERROR, STRAND_ERROR_FULL);
  strand_call_finish_as (attempt, STRAND_STATUS_FAILED, NULL, error);
  strand_call_unref (attempt);
}

static void
chain_decided (StrandCall *attempt, StrandVerdict verdict, GVariant *value, GError *error, gpointer data)
{
  LocalEntry *entry = data;

  if (verdict == STRAND_VERDICT_CONTINUE)
    submit_attempt (entry, attempt);
  else
    {
      entry->refused = verdict == STRAND_VERDICT_REFUSE;
      strand_call_finish_by_verdict (attempt, verdict, value, error);
    }
}

void
local_entry_wake (StrandCall *attempt, gpointer entry)
{
  local_entry_note (entry, TODO_GO_ON);
}

static void
do_go_on (LocalEntry *entry)
{
  g_autoptr(StrandCall) attempt = ref_attempt (entry);

  if (attempt != NULL)
    strand_chain_go_on (attempt);
}

static void
start_attempt (LocalEntry *entry)
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
  attempt =
      strand_call_new_attempt (entry->call, &attempt_funcs, entry,
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
allowed_retries (LocalEntry *entry)
{
  int retries = strand_options_get_retries (strand_call_get_options (entry->call));

  return retries >= 0 ? (guint) retries : entry->backend->retries;
}

static gboolean
will_retry (LocalEntry *entry, StrandCall *attempt)
{
  return strand_call_get_status (attempt) == STRAND_STATUS_FAILED && !entry->refused &&
         !strand_call_is_stopping (entry->call) &&
         strand_call_get_attempt (entry->call) <= allowed_retries (entry) &&
         strand_retry_allowed (attempt, strand_call_get_error (attempt));
}

static void
change_to_retry (LocalEntry *entry, StrandRecord *record, gpointer data)
{
  fill_live_fields (entry, record);
  strand_record_set_int (record, STRAND_FIELD_STATUS, STRAND_STATUS_PENDING);
  strand_record_add_cause (record, entry->backend->owner, data);
}

static void
retry_entry (LocalEntry *entry, StrandCall *attempt)
{
  StrandLocalBackend *self = entry->backend;
  GError *error = NULL;

  if (!write_record (entry, change_to_retry, (gpointer) strand_call_get_error (attempt), &error))
    {
      end_unkept (entry, error);
      return;
    }
  set_attempt (entry, NULL);
  strand_call_requeue (entry->call);
  attempt_later (entry, strand_retry_delay (attempt, self->retry_delay_us, self->retry_max_delay_us));
}

/* What the clerk does. */

static StrandRecord *
make_record (LocalEntry *entry, GError **error)
{
  StrandLocalBackend *self = entry->backend;
  StrandOptions *options = strand_call_get_options (entry->call);
  g_autoptr(StrandRecord) record = strand_record_new (strand_call_get_key (entry->call));
  g_autoptr(GVariant) headers = strand_call_dup_headers (entry->call);
  gint64 ttl_us = strand_options_get_ttl (options), timeout_us = strand_options_get_timeout (options),
         created_us;

  if (ttl_us == STRAND_UNSET)
    g_object_get (self->store, "ttl", &ttl_us, NULL);
  strand_call_get_times (entry->call, &created_us, NULL, NULL);
  strand_record_set_string (record, STRAND_FIELD_FUNCTION, strand_call_get_function_name (entry->call));
  strand_record_set_int (record, STRAND_FIELD_CREATED, created_us > 0 ? created_us : strand_clock_now_us ());
  strand_record_set_int (record, STRAND_FIELD_TTL, ttl_us);
  strand_record_set_int (record, STRAND_FIELD_TIMEOUT,
                         timeout_us == STRAND_UNSET ? self->timeout_us : timeout_us);
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

/* Before its record is written, so that what somebody else writes right after is heard of; once more after,
 * for another call may have had the key then. */
static void
list_entry (LocalEntry *entry)
{
  StrandLocalBackend *self = entry->backend;
  const char *key = strand_call_get_key (entry->call);

  g_mutex_lock (&self->lock);
  if (!g_hash_table_contains (self->entries, key))
    g_hash_table_insert (self->entries, (gpointer) key, entry);
  g_mutex_unlock (&self->lock);
}

static void
do_launch (LocalEntry *entry)
{
  StrandLocalBackend *self = entry->backend;
  gint64 wait_us;
  GError *error = NULL;

  entry->record = make_record (entry, &error);
  list_entry (entry);
  if (entry->record == NULL || !strand_store_put (self->store, entry->record, 0, &error))
    {
      g_prefix_error (&error,
                      "Could not launch a call of '%s': ", strand_call_get_function_name (entry->call));
      end_with_error (entry, STRAND_STATUS_FAILED, error);
      return;
    }
  list_entry (entry);

  wait_us = strand_options_get_not_before (strand_call_get_options (entry->call)) - strand_clock_now_us ();
  if (wait_us > 0)
    attempt_later (entry, wait_us);
  else
    start_attempt (entry);
}

static void
change_to_running (LocalEntry *entry, StrandRecord *record, gpointer data)
{
  fill_live_fields (entry, record);
  strand_record_set_int (record, STRAND_FIELD_STATUS, STRAND_STATUS_RUNNING);
}

/* Progress and start are for onlookers: a store that fails here has its say when the call ends. */
static void
show_running (LocalEntry *entry)
{
  g_autoptr(GError) error = NULL;

  entry->progress_us = strand_clock_monotonic_us ();
  if (!write_record (entry, change_to_running, NULL, &error))
    strand_debug (STRAND_TOPIC_BACKEND, "could not show call '%s' as running: %s",
                  strand_call_get_key (entry->call), error->message);
}

static void
on_progress_due (gpointer data)
{
  local_entry_note (data, TODO_CHANGED);
}

static void
do_changed (LocalEntry *entry)
{
  gint64 wait_us = entry->progress_us + PROGRESS_INTERVAL_US - strand_clock_monotonic_us ();

  if (wait_us <= 0)
    {
      stop_timer (entry);
      show_running (entry);
    }
  else if (entry->timer == 0)
    entry->timer = strand_clock_add_timer (strand_clock_monotonic_us () + wait_us, on_progress_due,
                                           local_entry_ref (entry), local_entry_unref);
}

static void
do_ended (LocalEntry *entry)
{
  g_autoptr(StrandCall) attempt = ref_attempt (entry);
  gboolean retry;
  g_auto(GStrv) warnings = NULL;

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
change_to_cancelled (LocalEntry *entry, StrandRecord *record, gpointer data)
{
  strand_record_set_int (record, STRAND_FIELD_STATUS, STRAND_STATUS_CANCELLED);
  strand_record_set_int (record, STRAND_FIELD_COMPLETED, strand_clock_now_us ());
  strand_record_set_string (record, STRAND_FIELD_LEASE_OWNER, NULL);
}

gboolean
local_entry_cancel_attempt (LocalEntry *entry)
{
  g_autoptr(StrandCall) attempt = ref_attempt (entry);

  if (attempt == NULL)
    return FALSE;
  strand_call_cancel (attempt);
  return TRUE;
}

/* An attempt under way ends by itself when it is stopped; between attempts nothing else would end the call.
 */
static void
do_cancel (LocalEntry *entry)
{
  g_autoptr(GError) error = NULL;

  if (local_entry_cancel_attempt (entry))
    return;
  if (entry->record == NULL)
    return; /* cancelled at the door: the launch that follows will see it */
  if (!write_record (entry, change_to_cancelled, NULL, &error))
    g_message ("Could not write that call '%s' was cancelled: %s", strand_call_get_key (entry->call),
               error->message);
  end_with_error (entry, STRAND_STATUS_CANCELLED,
                  g_error_new (G_IO_ERROR, G_IO_ERROR_CANCELLED,
                               "The call of '%s' was cancelled before it started",
                               strand_call_get_function_name (entry->call)));
}

void
local_entry_look (LocalEntry *entry)
{
  g_autoptr(StrandRecord) record =
      strand_store_get (entry->backend->store, strand_call_get_key (entry->call), NULL);

  if (record == NULL || strand_status_is_terminal (strand_record_get_status (record)) ||
      strand_record_get_int (record, STRAND_FIELD_CANCEL_REQUESTED))
    strand_call_cancel (entry->call);
}

void
local_entry_carry_out (LocalEntry *entry, guint todo)
{
  if ((todo & TODO_LAUNCH) != 0)
    do_launch (entry);
  else if ((todo & TODO_GO_ON) != 0)
    do_go_on (entry);
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
    local_entry_look (entry);
}

guint
local_todo_next (guint *todo)
{
  static const guint order[] = { TODO_LAUNCH,  TODO_GO_ON,   TODO_ENDED,   TODO_CANCEL,
                                 TODO_ATTEMPT, TODO_STARTED, TODO_CHANGED, TODO_LOOK };

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
