/* strand-reader-settle.c — the thread of a reader that writes what became of its calls.
 *
 * Everything that has happened since it last looked is written together: a batch has one verdict for each
 * record, and one that somebody else wrote meanwhile (a cancel request, a renewal) is read again and changed
 * anew. An outcome that the store does not take is kept and tried again until it is taken, or somebody else
 * has the call, or the reader is over: then the lease stands still, and others take the call.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-reader-private.h"

#include "strand-clock.h"
#include "strand-error.h"
#include "strand-flow-private.h"
#include "strand-log.h"
#include "strand-payload.h"
#include "strand-retry.h"

/* Progress and items are shown at most this often: a person looks no more often, and each is a write. */
#define SHOW_INTERVAL_US (50 * 1000)

/* Between tries of an outcome that the store did not take. */
#define AGAIN_US (200 * 1000)

/* What a settled call is to become. */
typedef enum
{
  OUTCOME_VALUE,
  OUTCOME_FAILED,
  OUTCOME_CANCELLED,
  OUTCOME_RETRY,
  OUTCOME_RETURN
} Outcome;

typedef struct
{
  ReaderCall *call;
  Outcome outcome;
  const GError *error; /* of the attempt; NULL where it has none */
  gboolean crashed;    /* whatever the error says, the attempt ended so */
  StrandRecord *value; /* has the value's bytes; NULL unless there is one */
  gint64 now_us;
  gint64 not_before_us;
} Verdict;

/* What an attempt shows while it runs. */
static void
fill_live_fields (ReaderCall *call, StrandRecord *record)
{
  g_autofree char *message = NULL;
  g_autoptr(GVariant) metadata = NULL;
  guint64 n_emitted;

  if (call->attempt == NULL)
    return;
  metadata = strand_call_dup_metadata (call->attempt);
  g_mutex_lock (&call->reader->lock);
  n_emitted = call->n_emitted;
  g_mutex_unlock (&call->reader->lock);
  strand_record_set_double (record, STRAND_FIELD_PROGRESS,
                            strand_call_get_progress (call->attempt, &message));
  strand_record_set_string (record, STRAND_FIELD_MESSAGE, message);
  strand_record_set_int (record, STRAND_FIELD_ITEMS, (gint64) n_emitted);
  if (g_variant_n_children (metadata) > 0)
    strand_record_set_variant (record, STRAND_FIELD_METADATA, metadata);
}

static void
copy_value (StrandRecord *from, StrandRecord *to)
{
  strand_record_set_string (to, STRAND_FIELD_VALUE_TYPE,
                            strand_record_get_string (from, STRAND_FIELD_VALUE_TYPE));
  strand_record_set_bytes (to, STRAND_FIELD_VALUE, strand_record_get_bytes (from, STRAND_FIELD_VALUE));
}

static gboolean
is_crash (const GError *error)
{
  return g_error_matches (error, STRAND_ERROR, STRAND_ERROR_CRASHED);
}

static void
add_warnings (StrandRecord *record, GVariant *warnings)
{
  GVariant *there = strand_record_get_variant (record, STRAND_FIELD_WARNINGS);
  GVariantBuilder builder;
  GVariantIter iter;
  const char *text;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("as"));
  for (guint i = 0; i < 2; i++)
    {
      GVariant *some = i == 0 ? there : warnings;

      if (some == NULL)
        continue;
      g_variant_iter_init (&iter, some);
      while (g_variant_iter_next (&iter, "&s", &text))
        g_variant_builder_add (&builder, "s", text);
    }
  strand_record_set_variant (record, STRAND_FIELD_WARNINGS, g_variant_builder_end (&builder));
}

/* Makes the record what the verdict says; again to a newer one if somebody else wrote first. */
static void
apply (StrandRecord *record, gpointer data)
{
  Verdict *verdict = data;
  ReaderCall *call = verdict->call;

  fill_live_fields (call, record);
  if (call->warnings != NULL)
    add_warnings (record, call->warnings);
  if (verdict->error != NULL)
    strand_record_add_cause (record, strand_record_get_string (call->claimed, STRAND_FIELD_LEASE_OWNER),
                             verdict->error);
  if (verdict->crashed)
    strand_record_set_int (record, STRAND_FIELD_CRASHES,
                           strand_record_get_int (record, STRAND_FIELD_CRASHES) + 1);
  switch (verdict->outcome)
    {
    case OUTCOME_VALUE:
      if (verdict->value != NULL)
        copy_value (verdict->value, record);
      strand_record_end (record, STRAND_STATUS_COMPLETED, verdict->now_us);
      break;
    case OUTCOME_FAILED:
      strand_record_end (record, STRAND_STATUS_FAILED, verdict->now_us);
      break;
    case OUTCOME_CANCELLED:
      strand_record_end (record, STRAND_STATUS_CANCELLED, verdict->now_us);
      break;
    case OUTCOME_RETRY:
      strand_record_retry (record, verdict->not_before_us);
      break;
    case OUTCOME_RETURN:
      strand_record_give_back (record);
      break;
    }
}

/* --- judging -------------------------------------------------------------------------------------------- */

static gboolean
will_retry (ReaderCall *call, const GError *error)
{
  StrandReader *self = call->reader;
  int allowed;

  if (call->attempt == NULL || call->refused ||
      strand_call_get_status (call->attempt) != STRAND_STATUS_FAILED)
    return FALSE;
  if (is_crash (error) && strand_record_get_int (call->record, STRAND_FIELD_CRASHES) + 1 >= self->max_crashes)
    return FALSE;
  allowed = strand_options_get_retries (strand_call_get_options (call->attempt));
  return strand_record_get_int (call->record, STRAND_FIELD_ATTEMPT) <=
             (allowed >= 0 ? (gint64) allowed : (gint64) self->retries) &&
         strand_retry_allowed (call->attempt, error);
}

/* A helper that dies again and again on one call is the call's fault, and says so. */
static void
note_dead (ReaderCall *call, Verdict *verdict)
{
  gint64 crashes = strand_record_get_int (call->record, STRAND_FIELD_CRASHES) + 1;

  if (!is_crash (verdict->error) || verdict->outcome != OUTCOME_FAILED || crashes < call->reader->max_crashes)
    return;
  call->failure = g_error_new (STRAND_ERROR, STRAND_ERROR_DEAD,
                               "What ran the call died %" G_GINT64_FORMAT " times, which is the limit: %s",
                               crashes, verdict->error->message);
  verdict->error = call->failure;
}

static Outcome
outcome_of (ReaderCall *call, const GError *error)
{
  gboolean returned;

  g_mutex_lock (&call->reader->lock);
  returned = call->give_back;
  g_mutex_unlock (&call->reader->lock);

  if (call->failure != NULL)
    return g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED) ? OUTCOME_CANCELLED : OUTCOME_FAILED;
  switch (strand_call_get_status (call->attempt))
    {
    case STRAND_STATUS_COMPLETED:
      return OUTCOME_VALUE;
    case STRAND_STATUS_CANCELLED:
      return returned ? OUTCOME_RETURN : OUTCOME_CANCELLED;
    case STRAND_STATUS_PENDING:
    case STRAND_STATUS_RUNNING:
    case STRAND_STATUS_FAILED:
    default:
      return will_retry (call, error) ? OUTCOME_RETRY : OUTCOME_FAILED;
    }
}

/* Tells middleware, once; what it complains of goes into the record. */
static void
settle_chain (ReaderCall *call, gboolean retry)
{
  g_auto(GStrv) warnings = NULL;

  if (call->attempt == NULL)
    return;
  warnings = strand_chain_settle (call->reader->chain, call->attempt, retry);
  if (warnings != NULL)
    call->warnings = g_variant_ref_sink (g_variant_new_strv ((const char *const *) warnings, -1));
}

/* The value's bytes, in a record of their own. A value that cannot be written fails the call. */
static void
write_value (ReaderCall *call, Verdict *verdict)
{
  GVariant *value = strand_call_get_value (call->attempt);

  if (value == NULL)
    return;
  verdict->value = strand_record_copy (call->record);
  if (strand_record_set_value (verdict->value, value, NULL, &call->failure))
    return;
  g_clear_pointer (&verdict->value, strand_record_unref);
  verdict->outcome = OUTCOME_FAILED;
  verdict->error = call->failure;
}

static Verdict *
judge (ReaderCall *call)
{
  StrandReader *self = call->reader;
  Verdict *verdict = g_new0 (Verdict, 1);

  verdict->call = call;
  verdict->now_us = strand_clock_now_us ();
  verdict->error = call->failure != NULL ? call->failure : strand_call_get_error (call->attempt);
  verdict->outcome = outcome_of (call, verdict->error);
  verdict->crashed = call->attempt != NULL && is_crash (strand_call_get_error (call->attempt));
  note_dead (call, verdict);
  settle_chain (call, verdict->outcome == OUTCOME_RETRY);
  if (verdict->outcome == OUTCOME_VALUE)
    write_value (call, verdict);
  else if (verdict->outcome == OUTCOME_RETRY)
    verdict->not_before_us =
        verdict->now_us + strand_retry_delay (call->attempt, self->retry_delay_us, self->retry_max_delay_us);
  else if (verdict->outcome == OUTCOME_RETURN)
    verdict->error = NULL;
  return verdict;
}

static void
verdict_free (Verdict *verdict)
{
  g_clear_pointer (&verdict->value, strand_record_unref);
  g_free (verdict);
}

/* --- writing -------------------------------------------------------------------------------------------- */

/* The call is nobody's business here any more. */
static void
drop (ReaderCall *call)
{
  StrandReader *self = call->reader;
  guint watch;

  g_mutex_lock (&self->lock);
  g_queue_unlink (&self->all, &call->link);
  call->gone = TRUE;
  watch = call->watch;
  call->watch = 0;
  if (call->started)
    self->average_us += (g_get_monotonic_time () - call->started_us - self->average_us) / 8;
  g_cond_signal (&self->claimer_wakes);
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);

  if (watch != 0)
    strand_store_unwatch (self->store, watch);
  reader_call_unref (call);
}

static gboolean
is_final (const GError *error)
{
  return g_error_matches (error, STRAND_ERROR, STRAND_ERROR_STALE) ||
         g_error_matches (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND) ||
         g_error_matches (error, STRAND_ERROR, STRAND_ERROR_CLOSED);
}

static gboolean
is_over (StrandReader *self)
{
  gboolean over;

  g_mutex_lock (&self->lock);
  over = self->over;
  g_mutex_unlock (&self->lock);
  return over;
}

/* The store has not taken the outcome. */
static void
take_refusal (Verdict *verdict, GError *error)
{
  ReaderCall *call = verdict->call;
  const char *key = strand_record_get_key (call->claimed);

  if (is_final (error) || is_over (call->reader))
    {
      g_message ("What became of call '%s' is dropped: %s", key, error->message);
      g_error_free (error);
      drop (call);
      return;
    }
  if (g_error_matches (error, STRAND_ERROR, STRAND_ERROR_TOO_LARGE) && call->failure == NULL)
    {
      call->failure = error; /* the next round writes that instead */
    }
  else
    {
      strand_debug (STRAND_TOPIC_BACKEND, "%s; trying again", error->message);
      g_error_free (error);
      call->again_us = g_get_monotonic_time () + AGAIN_US;
    }
  reader_call_note (call, READER_TODO_ENDED);
}

/* Somebody else wrote the record since this holder did. */
static void
write_again (Verdict *verdict)
{
  ReaderCall *call = verdict->call;
  GError *error = NULL;
  g_autoptr(StrandRecord) written =
      strand_store_change (call->reader->store, call->record, apply, verdict, &error);

  if (written != NULL)
    {
      strand_flow_member_ended (call->reader->store, written);
      drop (call);
    }
  else
    take_refusal (verdict, error);
}

static void
write_verdicts (StrandReader *self, GPtrArray *verdicts)
{
  guint n = verdicts->len;
  g_autoptr(GPtrArray) records = g_ptr_array_new_full (n, (GDestroyNotify) strand_record_unref);
  g_autofree guint64 *expected = g_new (guint64, n);
  g_autofree GError **errors = g_new0 (GError *, n);
  g_autoptr(GHashTable) flows = NULL;

  if (n == 0)
    return;
  for (guint i = 0; i < n; i++)
    {
      Verdict *verdict = g_ptr_array_index (verdicts, i);
      StrandRecord *record = strand_record_copy (verdict->call->record);

      expected[i] = strand_record_get_revision (record);
      apply (record, verdict);
      g_ptr_array_add (records, record);
    }
  strand_store_put_batch (self->store, (StrandRecord *const *) records->pdata, expected, n, errors);

  /* Before the calls are dropped, so that a reader is not idle while more is to come. */
  flows = strand_flow_notes_new ();
  for (guint i = 0; i < n; i++)
    if (errors[i] == NULL)
      strand_flow_note_ended (flows, g_ptr_array_index (records, i));
  strand_flow_follow_notes (flows, self->store);
  for (guint i = 0; i < n; i++)
    {
      Verdict *verdict = g_ptr_array_index (verdicts, i);

      if (errors[i] == NULL)
        drop (verdict->call);
      else if (g_error_matches (errors[i], STRAND_ERROR, STRAND_ERROR_STALE))
        {
          g_error_free (errors[i]);
          write_again (verdict);
        }
      else
        take_refusal (verdict, errors[i]);
    }
}

/* What the call has emitted since. Items are for onlookers: a store that fails here has its say at the end.
 */
static void
write_items (ReaderCall *call)
{
  StrandReader *self = call->reader;
  g_autoptr(GPtrArray) items = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  g_autoptr(GError) error = NULL;
  guint64 first;
  GBytes *item;

  g_mutex_lock (&self->lock);
  first = call->first_item;
  while ((item = g_queue_pop_head (&call->items)) != NULL)
    g_ptr_array_add (items, item);
  call->first_item += items->len;
  g_mutex_unlock (&self->lock);

  if (items->len > 0 &&
      !strand_store_append_items (self->store, strand_record_get_key (call->claimed), call->fence, first,
                                  (GBytes *const *) items->pdata, items->len, self->max_items, &error))
    strand_debug (STRAND_TOPIC_BACKEND, "%s", error->message);
}

static void
show (StrandRecord *record, gpointer call)
{
  fill_live_fields (call, record);
}

static void
write_live_fields (ReaderCall *call)
{
  g_autoptr(GError) error = NULL;
  StrandRecord *written = strand_store_change (call->reader->store, call->record, show, call, &error);

  call->shown_us = g_get_monotonic_time ();
  if (written != NULL)
    {
      gboolean cancelled = strand_record_get_int (written, STRAND_FIELD_CANCEL_REQUESTED) != 0;

      strand_record_unref (call->record);
      call->record = written;
      if (cancelled)
        strand_call_cancel (call->attempt);
    }
  else if (is_final (error))
    reader_call_lose (call, error->message);
}

/* --- the thread ----------------------------------------------------------------------------------------- */

/* Takes what has to be done for a call now; what has its time later stays noted. */
static guint
take_todo_locked (ReaderCall *call, gint64 now_us, gint64 *wake_us)
{
  guint todo = call->todo;
  gint64 due_us = (todo & READER_TODO_ENDED) != 0 ? call->again_us : call->shown_us + SHOW_INTERVAL_US;

  if ((todo & READER_TODO_ENDED) != 0 && call->walking)
    return 0; /* noted again when the claimer is through */
  if (due_us > now_us)
    {
      *wake_us = MIN (*wake_us, due_us);
      return 0;
    }
  call->todo = 0;
  return todo;
}

/* Looks at everything noted. What must wait is put back. */
static void
work (StrandReader *self, GQueue *noted, gint64 *wake_us)
{
  g_autoptr(GPtrArray) verdicts = g_ptr_array_new_with_free_func ((GDestroyNotify) verdict_free);
  ReaderCall *call;

  while ((call = g_queue_pop_head (noted)) != NULL)
    {
      gboolean lost;
      guint todo;

      g_mutex_lock (&self->lock);
      call->queued = FALSE;
      todo = take_todo_locked (call, g_get_monotonic_time (), wake_us);
      lost = call->lost;
      if (call->todo != 0 && !call->walking)
        {
          call->queued = TRUE;
          g_queue_push_tail (&self->ended, reader_call_ref (call));
        }
      g_mutex_unlock (&self->lock);

      if (todo != 0 && !lost)
        write_items (call);
      if ((todo & READER_TODO_ENDED) == 0)
        {
          if (todo != 0 && !lost)
            write_live_fields (call);
        }
      else
        g_ptr_array_add (verdicts, judge (call));
      reader_call_unref (call);
    }
  write_verdicts (self, verdicts);
}

gpointer
reader_settle (gpointer data)
{
  StrandReader *self = data;
  gint64 wake_us = G_MAXINT64;

  g_mutex_lock (&self->lock);
  while (!self->over || self->ended.length > 0)
    {
      GQueue noted;

      /* What waits for its time is in the queue as well, so the queue alone does not tell of news. */
      if (!self->news && wake_us == G_MAXINT64)
        g_cond_wait (&self->settler_wakes, &self->lock);
      else if (!self->news)
        g_cond_wait_until (&self->settler_wakes, &self->lock, wake_us);

      self->news = FALSE;
      noted = self->ended;
      g_queue_init (&self->ended);
      g_mutex_unlock (&self->lock);
      wake_us = G_MAXINT64;
      work (self, &noted, &wake_us);
      g_mutex_lock (&self->lock);
    }
  g_mutex_unlock (&self->lock);
  return NULL;
}
