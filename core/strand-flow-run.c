/* strand-flow-run.c — the life of a flow in a store.
 *
 * A flow's record carries the whole flow, and how many of its members are known to have ended, in order. To
 * advance a flow is to look at the next member after those, and to write what follows from it, at the
 * revision that was read: anybody may do so at any time, any number of them at once, and each step is written
 * once. Whoever ends a member advances its flow; if that one dies in between, a reader's keeper or whoever
 * follows the flow does it later.
 *
 * Nothing is missed: the member's end is written before the flow is read, and who has written a step looks at
 * the next member after that. So of two who meet, at least one sees what the other wrote.
 *
 * Launching a member is reserved first: the flow says which step is next before the member is put, and that
 * it has been launched after that. Until then anybody launches it again, under the same key. One who wakes up
 * too late may put a member that has long been there and gone: such a member is not run, because a reader
 * asks strand_flow_admits() first, and a flow that has ended, or has gone on, admits nothing; nor is it kept
 * longer than it was to be.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-flow-step-private.h"

#include "strand-clock.h"
#include "strand-error.h"
#include "strand-log.h"
#include "strand-work.h"

/* Each failure is somebody else's step. */
#define MAX_TRIES 100000
#define PAGE_SIZE 256

/* How many members go into one put. */
#define BATCH 256

static gboolean advance_one (StrandStore *store, const char *key, int failed, char **above, GError **error);

/* --- launching ------------------------------------------------------------------------------------------ */

/* What the members that are launched now get; NULL without error for nothing. */
static GVariant *
dup_input (FlowStep *step, GError **error)
{
  if (!step->is_chain || step->n_ended == 0)
    return g_variant_lookup_value (step->known, "input", NULL);
  return flow_step_dup_value (step, step->n_ended - 1, error);
}

/* Puts some members; those that are there already were put by somebody else who did this. */
static gboolean
put_members (FlowStep *step, GPtrArray *members, GError **error)
{
  g_autofree guint64 *expected = g_new0 (guint64, members->len);
  g_autofree GError **errors = g_new0 (GError *, members->len);
  gboolean done = TRUE;

  strand_store_put_batch (step->store, (StrandRecord *const *) members->pdata, expected, members->len,
                          errors);
  for (guint i = 0; i < members->len; i++)
    {
      StrandRecord *member = g_ptr_array_index (members, i);

      if (errors[i] != NULL && !g_error_matches (errors[i], STRAND_ERROR, STRAND_ERROR_EXISTS) && done)
        {
          done = FALSE;
          g_propagate_error (error, g_steal_pointer (&errors[i]));
        }
      /* A flow in this one starts by itself; where that fails, it is found later. */
      else if (strand_flow_is_one (member))
        advance_one (step->store, strand_record_get_key (member), -1, NULL, NULL);
      g_clear_error (&errors[i]);
    }
  return done;
}

static gboolean
launch_places (FlowStep *step, guint first, guint last, GVariant *input, GError **error)
{
  g_autoptr(GPtrArray) members = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_record_unref);

  for (guint place = first; place < last; place++)
    {
      g_autoptr(GVariant) boxed = g_variant_get_child_value (step->parts, place);
      g_autoptr(GVariant) part = g_variant_get_variant (boxed);
      StrandRecord *member = strand_flow_make_member (step->old, place, part, input, error);

      if (member == NULL)
        return FALSE;
      step->keeps |= strand_flow_header (member, STRAND_FLOW_HEADER_TTL) != NULL;
      g_ptr_array_add (members, member);
      if (members->len < BATCH && place + 1 < last)
        continue;
      if (!put_members (step, members, error))
        return FALSE;
      g_ptr_array_set_size (members, 0);
    }
  return TRUE;
}

/* The next part of a chain, or all parts of a group. */
static FlowLook
launch (FlowStep *step)
{
  g_autoptr(GVariant) input = NULL;
  GError *error = NULL;
  guint first = step->is_chain ? step->n_ended : 0;
  guint last = step->is_chain ? step->n_ended + 1 : step->n;

  if (step->parts == NULL)
    return flow_step_fail (step, g_error_new (STRAND_ERROR, STRAND_ERROR_CORRUPT,
                                              "Flow '%s' does not say what it consists of",
                                              strand_record_get_key (step->old)));
  input = dup_input (step, &error);
  if (error != NULL || !launch_places (step, first, last, input, &error))
    return flow_step_fail (step, error);

  step->launched = TRUE;
  if (strand_record_get_status (step->record) == STRAND_STATUS_PENDING)
    {
      strand_record_set_int (step->record, STRAND_FIELD_STATUS, STRAND_STATUS_RUNNING);
      strand_record_set_int (step->record, STRAND_FIELD_STARTED, strand_clock_now_us ());
    }
  if (!step->is_chain) /* its members carry it now, and each step need not write it again */
    {
      strand_record_set_bytes (step->record, STRAND_FIELD_ARGUMENTS, NULL);
      strand_record_set_string (step->record, STRAND_FIELD_ARGUMENTS_TYPE, NULL);
    }
  return LOOK_CHANGED;
}

/* --- stopping ------------------------------------------------------------------------------------------- */

static gboolean
cancel_member (FlowStep *step, guint place, GError **error)
{
  g_autoptr(GError) local_error = NULL;
  g_autofree char *key = strand_flow_member_key (step->old, place);
  g_autoptr(StrandRecord) asked = NULL;

  if (!strand_store_request_cancel (step->store, key, &asked, &local_error) && local_error != NULL &&
      flow_error_is_lasting (local_error))
    return TRUE; /* it is gone, or nobody can read it */
  if (local_error != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }
  if (asked != NULL && strand_flow_is_one (asked))
    advance_one (step->store, key, -1, NULL, NULL);
  return TRUE;
}

/* Asks all that may still run to stop. */
static FlowLook
stop (FlowStep *step)
{
  guint last = step->is_chain ? MIN (step->n_ended + 1, step->n) : step->n;

  for (guint place = step->n_ended; place < last; place++)
    {
      GError *error = NULL;

      if (!cancel_member (step, place, &error))
        {
          strand_debug (STRAND_TOPIC_BACKEND, "%s", error->message);
          g_error_free (error);
          return LOOK_ERROR;
        }
    }
  step->stopped = TRUE;
  step->launched = TRUE; /* as far as it ever will be: what was not put has ended */
  return LOOK_CHANGED;
}

/* --- looking -------------------------------------------------------------------------------------------- */

/* Whether the member at the frontier has ended; @error where the store has failed. */
static gboolean
pass_member (FlowStep *step, GError **error)
{
  GError *local_error = NULL;
  g_autoptr(StrandRecord) member = flow_step_get_member (step, step->n_ended, &local_error);
  gboolean completed;

  if (local_error != NULL && !flow_error_is_lasting (local_error))
    {
      g_propagate_error (error, local_error);
      return FALSE;
    }
  g_clear_error (&local_error); /* unreadable is as good as gone */
  if (member != NULL && !strand_status_is_terminal (strand_record_get_status (member)))
    return FALSE;
  completed = member != NULL && strand_record_get_status (member) == STRAND_STATUS_COMPLETED;
  if (!completed && step->failed == 0)
    step->failed = step->n_ended + 1;
  step->n_ended++;
  return TRUE;
}

/* Everything that is to run has ended. */
static gboolean
is_over (FlowStep *step)
{
  if (step->n_ended == step->n)
    return TRUE;
  return step->is_chain && (step->failed > 0 || (step->stopped && !step->launched));
}

/* Goes past the members that have ended. */
static FlowLook
look_at_members (FlowStep *step)
{
  guint before = step->n_ended;
  g_autoptr(GError) error = NULL;

  while (step->n_ended < step->n && pass_member (step, &error) && !step->is_chain)
    ;
  if (error != NULL)
    {
      strand_debug (STRAND_TOPIC_BACKEND, "%s", error->message);
      return LOOK_ERROR;
    }
  if (step->n_ended == before)
    return LOOK_NOTHING;
  if (step->is_chain)
    step->launched = FALSE;
  if (step->failed > 0 && step->strict && !step->is_chain && !step->stopped)
    step->stopping = TRUE;
  return LOOK_CHANGED;
}

/* What is next for the flow, as far as one write goes. */
static FlowLook
look (FlowStep *step, int failed)
{
  g_autoptr(GError) error = NULL;

  if (step->result != 0)
    return flow_step_end (step);
  if (failed >= 0 && step->strict && !step->is_chain && !step->stopping && !step->stopped)
    {
      step->stopping = TRUE;
      return LOOK_CHANGED;
    }
  if ((flow_step_is_cancelled (step) || step->stopping) && !step->stopped)
    return stop (step);
  if (is_over (step))
    return flow_step_end_at_once (step, flow_step_decide (step));
  if (!step->launched && !step->stopped)
    {
      if (!strand_flow_admits (step->store, step->old, &error))
        {
          strand_record_add_cause (step->record, "", error);
          step->stopping = step->stopped = TRUE;
          step->result = STRAND_STATUS_CANCELLED;
          return LOOK_CHANGED;
        }
      return launch (step);
    }
  return look_at_members (step);
}

/* Writes one step. FALSE with an error if the store has failed; else *@again says whether to look again. */
static gboolean
write_look (FlowStep *step, FlowLook looked, gboolean *again, GError **error)
{
  g_autoptr(GError) local_error = NULL;

  *again = looked == LOOK_CHANGED;
  if (looked != LOOK_CHANGED)
    return TRUE;
  flow_step_write (step);
  if (strand_store_put (step->store, step->record, strand_record_get_revision (step->old), &local_error) ||
      g_error_matches (local_error, STRAND_ERROR, STRAND_ERROR_STALE))
    return TRUE;
  /* A value that the store does not take: then that is how the flow ends. */
  if (g_error_matches (local_error, STRAND_ERROR, STRAND_ERROR_TOO_LARGE) &&
      strand_record_get_bytes (step->record, STRAND_FIELD_VALUE) != NULL)
    {
      strand_record_unref (step->record);
      step->record = strand_record_copy (step->old);
      return write_look (step, flow_step_fail (step, g_steal_pointer (&local_error)), again, error);
    }
  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

/* Advances one flow as far as it goes now. @failed: the place of a member that is known to have failed, or
 * -1.
 * @above: (out) (optional): the flow that it is a part of, if it has ended */
static gboolean
advance_one (StrandStore *store, const char *key, int failed, char **above, GError **error)
{
  gboolean again = TRUE;

  for (guint i = 0; again && i < MAX_TRIES; i++)
    {
      g_auto(FlowStep) step = { .store = store };
      g_autoptr(GError) corrupt = NULL;
      g_autoptr(GError) local_error = NULL;

      step.old = strand_store_get (store, key, &local_error);
      if (step.old == NULL && g_error_matches (local_error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND))
        return TRUE;
      if (step.old == NULL)
        {
          g_propagate_error (error, g_steal_pointer (&local_error));
          return FALSE;
        }
      if (!strand_flow_is_one (step.old))
        return TRUE;
      if (strand_status_is_terminal (strand_record_get_status (step.old)))
        {
          if (above != NULL)
            *above = g_strdup (strand_flow_of (step.old));
          return TRUE;
        }
      step.record = strand_record_copy (step.old);
      if (flow_step_read (&step, &corrupt))
        {
          if (!write_look (&step, look (&step, failed), &again, error))
            return FALSE;
        }
      else
        {
          strand_record_add_cause (step.record, "", corrupt);
          step.result = STRAND_STATUS_FAILED;
          flow_step_end (&step);
          if (!write_look (&step, LOOK_CHANGED, &again, error))
            return FALSE;
        }
    }
  return TRUE;
}

/* --- for others ----------------------------------------------------------------------------------------- */

/* Advances a flow, and those that it is a part of as far as they follow. */
gboolean
flow_advance (StrandStore *store, const char *key, int failed, GError **error)
{
  g_autofree char *at = g_strdup (key);

  for (guint i = 0; at != NULL && i <= STRAND_FLOW_MAX_DEPTH; i++)
    {
      g_autoptr(StrandRecord) ended = NULL;
      g_autofree char *above = NULL;
      const char *place;

      if (!advance_one (store, at, failed, &above, error))
        return FALSE;
      failed = -1;
      if (above != NULL)
        {
          ended = strand_store_get (store, at, NULL);
          place = ended != NULL && strand_record_get_status (ended) != STRAND_STATUS_COMPLETED
                      ? strand_flow_header (ended, STRAND_FLOW_HEADER_PLACE)
                      : NULL;
          failed = place != NULL ? (int) g_ascii_strtoll (place, NULL, 10) : -1;
        }
      g_free (at);
      at = g_steal_pointer (&above);
    }
  return TRUE;
}

/**
 * strand_store_advance_flow:
 * @store: a store
 * @key: the key of a flow
 * @error: return location for a [error@Strand.Error]
 *
 * Does what follows in a flow from what its members have become: launches the next ones, cancels those that
 * are to stop, ends it, and goes on with the flow that it is a part of. Does nothing for a key that is no
 * flow's, or one where nothing is to be done. Readers call this for each member that they end; whoever ends
 * one in another way should too.
 *
 * Blocks; any thread that owns no main context. Fails as strand_store_put() does; then it may be called
 * again.
 *
 * Returns: %TRUE, or %FALSE with @error set
 * Since: 1.0
 */
gboolean
strand_store_advance_flow (StrandStore *store, const char *key, GError **error)
{
  g_return_val_if_fail (STRAND_IS_STORE (store) && key != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return flow_advance (store, key, -1, error);
}

/* A strict group learns of each failure at once, unless who ended the member died before it could say so. */
static int
find_failure (StrandStore *store, StrandRecord *flow)
{
  g_auto(FlowStep) step = { .store = store, .old = strand_record_ref (flow) };

  if (!flow_step_read (&step, NULL) || !step.strict || step.is_chain || !step.launched || step.stopping)
    return -1;
  for (guint place = step.n_ended; place < step.n; place++)
    {
      g_autoptr(StrandRecord) member = flow_step_get_member (&step, place, NULL);
      StrandStatus status = member != NULL ? strand_record_get_status (member) : STRAND_STATUS_PENDING;

      if (status == STRAND_STATUS_FAILED || status == STRAND_STATUS_CANCELLED)
        return (int) place;
    }
  return -1;
}

/**
 * strand_store_finish_flows:
 * @store: a store
 * @error: return location for a [error@Strand.Error]
 *
 * Advances every flow that has not ended, in case that somebody died before doing so. Readers do this now and
 * then.
 *
 * Blocks; any thread that owns no main context. Fails as strand_store_list() does.
 *
 * Returns: how many flows there were
 * Since: 1.0
 */
guint
strand_store_finish_flows (StrandStore *store, GError **error)
{
  const StrandFilter filter = { .kind = STRAND_FLOW_KIND,
                                .statuses = 1 << STRAND_STATUS_PENDING | 1 << STRAND_STATUS_RUNNING };
  g_autofree char *cursor = NULL;
  guint n_flows = 0;

  g_return_val_if_fail (STRAND_IS_STORE (store), 0);

  do
    {
      g_autoptr(StrandPage) page = strand_store_list (store, &filter, cursor, PAGE_SIZE, error);

      if (page == NULL)
        return n_flows;
      for (guint i = 0; i < strand_page_get_records (page)->len; i++)
        {
          StrandRecord *flow = g_ptr_array_index (strand_page_get_records (page), i);
          g_autoptr(GError) local_error = NULL;

          n_flows++;
          if (!flow_advance (store, strand_record_get_key (flow), find_failure (store, flow), &local_error))
            strand_debug (STRAND_TOPIC_BACKEND, "%s", local_error->message);
        }
      g_free (cursor);
      cursor = g_strdup (strand_page_get_next (page));
    }
  while (cursor != NULL);
  return n_flows;
}
