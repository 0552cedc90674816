/* strand-reader-call.c — one claimed call, from its record to the end of its attempt.
 *
 * The claimer makes an attempt of the record and takes it through the middleware to the taskrunner. What the
 * runner then says of it, on whatever thread, is only noted here, for the settler.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-reader-private.h"

#include "strand-clock.h"
#include "strand-error.h"
#include "strand-flow-private.h"
#include "strand-log.h"
#include "strand-payload.h"
#include "strand-registry.h"

ReaderCall *
reader_call_ref (ReaderCall *call)
{
  g_atomic_ref_count_inc (&call->ref_count);
  return call;
}

void
reader_call_unref (gpointer data)
{
  ReaderCall *call = data;

  if (!g_atomic_ref_count_dec (&call->ref_count))
    return;
  g_clear_pointer (&call->attempt, strand_call_unref);
  g_clear_pointer (&call->claimed, strand_record_unref);
  g_clear_pointer (&call->record, strand_record_unref);
  g_clear_error (&call->failure);
  g_clear_pointer (&call->warnings, g_variant_unref);
  g_queue_clear_full (&call->items, (GDestroyNotify) g_bytes_unref);
  g_free (call);
}

static void
note_locked (ReaderCall *call, guint todo)
{
  StrandReader *self = call->reader;

  call->todo |= todo;
  if (call->queued && (todo & READER_TODO_ENDED) == 0)
    return;
  self->news = TRUE;
  g_cond_signal (&self->settler_wakes);
  if (call->queued)
    return;
  call->queued = TRUE;
  g_queue_push_tail (&self->ended, reader_call_ref (call));
}

void
reader_call_note (ReaderCall *call, guint todo)
{
  StrandReader *self = call->reader;

  g_mutex_lock (&self->lock);
  note_locked (call, todo);
  g_mutex_unlock (&self->lock);
}

/* What the runner says of an attempt. */

static gboolean
attempt_started (StrandCall *attempt, gpointer owner)
{
  ReaderCall *call = owner;
  gboolean go_on;

  g_mutex_lock (&call->reader->lock);
  go_on = !call->lost && !call->give_back;
  call->started = go_on;
  call->started_us = g_get_monotonic_time ();
  g_mutex_unlock (&call->reader->lock);
  return go_on;
}

static void
attempt_changed (StrandCall *attempt, gpointer owner)
{
  reader_call_note (owner, READER_TODO_CHANGED);
}

static void
attempt_ended (StrandCall *attempt, gpointer owner)
{
  reader_call_note (owner, READER_TODO_ENDED);
}

/* The store is not made to wait for, nor the function for the store: beyond max-items the oldest go. */
static gboolean
attempt_item (StrandCall *attempt, GVariant *item, gpointer owner, GError **error)
{
  ReaderCall *call = owner;
  StrandReader *self = call->reader;
  GBytes *bytes = strand_record_write_item (call->claimed, item, error);

  if (bytes == NULL)
    return FALSE;
  g_mutex_lock (&self->lock);
  g_queue_push_tail (&call->items, bytes);
  call->n_emitted++;
  while (call->items.length > self->max_items)
    {
      g_bytes_unref (g_queue_pop_head (&call->items));
      call->first_item++;
      call->n_dropped++;
    }
  note_locked (call, READER_TODO_ITEMS);
  g_mutex_unlock (&self->lock);
  return TRUE;
}

static const StrandAttemptFuncs attempt_funcs = { attempt_started, attempt_changed, attempt_ended,
                                                  attempt_item };

/* Ends the call without an attempt, or instead of one. Takes over @failure. */
static void
fail_call (ReaderCall *call, GError *failure)
{
  call->failure = failure;
  reader_call_note (call, READER_TODO_ENDED);
}

static StrandFunction *
find_function (StrandReader *self, StrandRecord *record, GError **error)
{
  const char *name = strand_record_get_string (record, STRAND_FIELD_FUNCTION);
  StrandFunction *function;

  if (self->resolve != NULL)
    {
      function = self->resolve (self, record, self->resolve_data, error);
      if (function == NULL && error != NULL && *error == NULL)
        g_set_error (error, STRAND_ERROR, STRAND_ERROR_UNKNOWN_FUNCTION,
                     "The resolver knows no function for call '%s'", strand_record_get_key (record));
      return function;
    }
  if (name != NULL)
    return strand_registry_lookup (strand_registry_get_default (), name, error);
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT, "Record '%s' names no function",
               strand_record_get_key (record));
  return NULL;
}

static StrandOptions *
make_options (StrandReader *self, StrandRecord *record)
{
  StrandOptions *options = strand_options_new ();
  gint64 timeout_us = strand_record_get_int (record, STRAND_FIELD_TIMEOUT);
  GVariant *headers = strand_record_get_variant (record, STRAND_FIELD_HEADERS);
  GVariantIter iter;
  const char *name, *value;

  strand_options_set_key (options, strand_record_get_key (record));
  strand_options_set_timeout (options, timeout_us >= 0 ? timeout_us : self->timeout_us);
  strand_options_set_retries (options, (int) strand_record_get_int (record, STRAND_FIELD_RETRIES));
  strand_options_set_priority (
      options, (int) CLAMP (strand_record_get_int (record, STRAND_FIELD_PRIORITY), G_MININT, G_MAXINT));
  strand_options_set_queue (options, strand_record_get_string (record, STRAND_FIELD_QUEUE));
  if (headers == NULL)
    return options;
  g_variant_iter_init (&iter, headers);
  while (g_variant_iter_next (&iter, "{&s&s}", &name, &value))
    strand_options_set_header (options, name, value);
  return options;
}

/* An attempt of what the record says; or NULL, with why it cannot be run. */
static StrandCall *
make_attempt (ReaderCall *call, GError **error)
{
  StrandReader *self = call->reader;
  StrandRecord *record = call->claimed;
  gint64 expires_us = strand_record_get_int (record, STRAND_FIELD_EXPIRES);
  g_autoptr(StrandFunction) function = NULL;
  g_autoptr(GVariant) stored = NULL;
  g_autoptr(GVariant) arguments = NULL;
  StrandCall *attempt;

  if (strand_record_get_int (record, STRAND_FIELD_CANCEL_REQUESTED))
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED, "The call of '%s' was cancelled before it started",
                 strand_record_get_string (record, STRAND_FIELD_FUNCTION));
  else if (expires_us > 0 && strand_clock_now_us () > expires_us)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_EXPIRED,
                 "The call of '%s' was not started before it expired",
                 strand_record_get_string (record, STRAND_FIELD_FUNCTION));
  else if (strand_flow_admits (self->store, record, error))
    function = find_function (self, record, error);
  if (function == NULL)
    return NULL;

  stored = strand_record_dup_arguments (record, error);
  if (stored == NULL)
    return NULL;
  arguments = strand_function_bind (function, stored, NULL, error);
  if (arguments == NULL)
    {
      g_prefix_error (error, "Could not run call '%s': ", strand_record_get_key (record));
      return NULL;
    }
  attempt = strand_call_new_for_function (function, arguments, make_options (self, record),
                                          (guint) strand_record_get_int (record, STRAND_FIELD_ATTEMPT),
                                          &attempt_funcs, call, self->grace_us);
  strand_call_extra (attempt)->created_us = strand_record_get_int (record, STRAND_FIELD_CREATED);
  return attempt;
}

/* Takes a reference of the attempt. */
static void
submit (ReaderCall *call)
{
  StrandTaskrunner *runner = call->reader->taskrunner;
  GError *error = NULL;

  strand_call_ref (call->attempt);
  if (strand_taskrunner_check (runner, call->attempt, &error) &&
      strand_taskrunner_submit (runner, call->attempt, &error))
    return;
  call->refused = TRUE;
  strand_call_finish_as (call->attempt, STRAND_STATUS_FAILED, NULL, error);
  strand_call_unref (call->attempt);
}

static void
chain_decided (StrandCall *attempt, StrandVerdict verdict, GVariant *value, GError *error, gpointer data)
{
  ReaderCall *call = data;

  if (verdict == STRAND_VERDICT_CONTINUE)
    {
      submit (call);
      return;
    }
  call->refused = verdict == STRAND_VERDICT_REFUSE;
  strand_call_finish_by_verdict (attempt, verdict, value, error);
}

static void
set_walking (ReaderCall *call, gboolean walking)
{
  StrandReader *self = call->reader;

  g_mutex_lock (&self->lock);
  call->walking = walking;
  if (!walking && (call->todo & READER_TODO_ENDED) != 0)
    note_locked (call, 0);
  g_mutex_unlock (&self->lock);
}

/* Starts what was claimed. @asked_us: when the claim was made: the lease runs from there. */
void
reader_call_begin (StrandReader *self, StrandRecord *record, gint64 asked_us)
{
  ReaderCall *call = g_new0 (ReaderCall, 1);
  GError *error = NULL;
  gboolean wake;

  g_atomic_ref_count_init (&call->ref_count);
  call->reader = self;
  call->claimed = strand_record_ref (record);
  call->record = strand_record_ref (record);
  call->fence = strand_record_get_int (record, STRAND_FIELD_FENCE);
  call->claimed_us = call->renewed_us = asked_us;
  call->link.data = call;
  call->attempt = make_attempt (call, &error);

  g_mutex_lock (&self->lock);
  g_queue_push_tail_link (&self->all, &call->link);
  call->walking = call->attempt != NULL;
  wake = self->keeper_dozes;
  self->keeper_dozes = FALSE;
  reader_set_alarm_locked (self);
  g_mutex_unlock (&self->lock);
  if (wake)
    reader_wake_keeper (self);

  strand_debug (STRAND_TOPIC_BACKEND, "claimed call '%s', fence %" G_GUINT64_FORMAT,
                strand_record_get_key (record), call->fence);
  if (call->attempt == NULL)
    {
      fail_call (call, error);
      return;
    }
  reader_call_ref (call);
  strand_chain_before (self->chain, call->attempt, chain_decided, call);
  set_walking (call, FALSE);
  reader_call_unref (call);
}

/* A middleware that answered LATER has decided, or the call was told to stop. On any thread: the claimer goes
 * on. */
void
reader_chain_wake (StrandCall *attempt, gpointer data)
{
  ReaderCall *call = data;
  StrandReader *self = call->reader;

  g_mutex_lock (&self->lock);
  g_queue_push_tail (&self->resumed, reader_call_ref (call));
  g_cond_signal (&self->claimer_wakes);
  g_mutex_unlock (&self->lock);
}

/* The claimer's part of it. */
void
reader_call_go_on (ReaderCall *call)
{
  set_walking (call, TRUE);
  strand_chain_go_on (call->attempt);
  set_walking (call, FALSE);
}

/* Somebody else has the call, or may have any moment: it should stop. What comes of it is written all the
 * same, and counts if nobody has taken it, which its fence tells. */
void
reader_call_lose (ReaderCall *call, const char *why)
{
  StrandReader *self = call->reader;
  gboolean first;

  g_mutex_lock (&self->lock);
  first = !call->lost;
  call->lost = call->give_back = TRUE;
  g_mutex_unlock (&self->lock);
  if (!first)
    return;
  g_message ("Lost call '%s', which ran here: %s", strand_record_get_key (call->claimed), why);
  if (call->attempt != NULL)
    strand_call_cancel (call->attempt);
}

/* Stops the call so that another reader may run it. */
void
reader_call_return (ReaderCall *call)
{
  g_mutex_lock (&call->reader->lock);
  call->give_back = TRUE;
  g_mutex_unlock (&call->reader->lock);
  if (call->attempt != NULL)
    strand_call_cancel (call->attempt);
}
