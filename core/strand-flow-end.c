/* strand-flow-end.c — how a flow ends: with which status, value and cause.
 *
 * First the step says how it is going to end, then its members are let go of, then it ends: so whoever dies
 * in between leaves a flow that somebody else ends the same way, although members are gone by then.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-flow-step-private.h"

#include "strand-clock.h"
#include "strand-error.h"
#include "strand-log.h"
#include "strand-payload.h"
#include "strand-work.h"

/* How the flow says why @member did not complete. */
static GError *
explain (FlowStep *step, guint place, StrandRecord *member)
{
  const char *function = strand_record_get_string (member, STRAND_FIELD_FUNCTION);
  GError *error = strand_record_dup_error (member);

  if (error == NULL && strand_record_get_status (member) == STRAND_STATUS_CANCELLED)
    error = g_error_new (G_IO_ERROR, G_IO_ERROR_CANCELLED, "it was cancelled");
  else if (error == NULL)
    error = g_error_new (STRAND_ERROR, STRAND_ERROR_FAILED, "its record does not say why");
  g_prefix_error (&error, "Part %u of flow '%s', '%s', did not complete: ", place + 1,
                  strand_record_get_key (step->old), function != NULL ? function : "?");
  return error;
}

static GError *
lost (FlowStep *step, guint place)
{
  return g_error_new (STRAND_ERROR, STRAND_ERROR_LOST, "The record of part %u of flow '%s' has been removed",
                      place + 1, strand_record_get_key (step->old));
}

/* The first member that failed; where none did, the first that was cancelled, or is gone. FALSE if the store
 * has failed. */
static gboolean
blame (FlowStep *step, GError **why, GError **error)
{
  g_autoptr(GError) cancelled = NULL;
  g_autoptr(GError) gone = NULL;

  for (guint place = step->failed - 1; place < step->n_ended; place++)
    {
      GError *local_error = NULL;
      g_autoptr(StrandRecord) member = flow_step_get_member (step, place, &local_error);
      StrandStatus status = member != NULL ? strand_record_get_status (member) : STRAND_STATUS_COMPLETED;

      if (local_error != NULL && !flow_error_is_lasting (local_error))
        {
          g_propagate_error (error, local_error);
          return FALSE;
        }
      if (member == NULL && local_error == NULL)
        local_error = lost (step, place);
      if (local_error != NULL && gone == NULL)
        gone = g_steal_pointer (&local_error);
      g_clear_error (&local_error);
      if (status == STRAND_STATUS_FAILED)
        {
          *why = explain (step, place, member);
          return TRUE;
        }
      if (status == STRAND_STATUS_CANCELLED && cancelled == NULL)
        cancelled = explain (step, place, member);
    }
  /* It was gone when its turn came, and a step that came late has put it again. */
  if (cancelled == NULL && gone == NULL)
    gone = lost (step, step->failed - 1);
  *why = cancelled != NULL ? g_steal_pointer (&cancelled) : g_steal_pointer (&gone);
  return TRUE;
}

/* What a group is worth: what its members returned, in order. */
static GVariant *
dup_values (FlowStep *step, GError **error)
{
  GVariantBuilder values;

  g_variant_builder_init (&values, G_VARIANT_TYPE ("av"));
  for (guint place = 0; place < step->n; place++)
    {
      g_autoptr(GVariant) value = flow_step_dup_value (step, place, error);

      if (value == NULL)
        {
          g_variant_builder_clear (&values);
          return NULL;
        }
      g_variant_builder_add (&values, "v", value);
    }
  return g_variant_ref_sink (g_variant_builder_end (&values));
}

/* All members have completed. */
static FlowLook
complete (FlowStep *step)
{
  GError *error = NULL;
  g_autoptr(GVariant) value =
      step->is_chain ? flow_step_dup_value (step, step->n - 1, &error) : dup_values (step, &error);

  if (value != NULL && strand_record_set_value (step->record, value, NULL, &error))
    {
      step->result = STRAND_STATUS_COMPLETED;
      return LOOK_CHANGED;
    }
  return flow_step_fail (step, error);
}

/* Whatever is to run has ended: how the flow ends. */
FlowLook
flow_step_decide (FlowStep *step)
{
  g_autoptr(GError) why = NULL;
  g_autoptr(GError) error = NULL;

  if (strand_record_get_variant (step->record, STRAND_FIELD_CAUSES) != NULL)
    {
      step->result = STRAND_STATUS_FAILED;
      return LOOK_CHANGED;
    }
  if (step->failed == 0 && step->n_ended == step->n)
    return complete (step);
  if (flow_step_is_cancelled (step) || step->failed == 0)
    why = g_error_new (G_IO_ERROR, G_IO_ERROR_CANCELLED, "The flow '%s' was cancelled",
                       strand_record_get_key (step->old));
  else if (!blame (step, &why, &error))
    {
      strand_debug (STRAND_TOPIC_BACKEND, "%s", error->message);
      return LOOK_ERROR;
    }
  step->result = g_error_matches (why, G_IO_ERROR, G_IO_ERROR_CANCELLED) ? STRAND_STATUS_CANCELLED
                                                                         : STRAND_STATUS_FAILED;
  strand_record_add_cause (step->record, "", why);
  return LOOK_CHANGED;
}

/* From now on a member is kept no longer than it was to be. FALSE if it is no longer now. */
gboolean
flow_member_shorten_life (StrandRecord *member)
{
  const char *ttl = strand_flow_header (member, STRAND_FLOW_HEADER_TTL);

  if (ttl == NULL || strand_record_get_int (member, STRAND_FIELD_TTL) != G_MAXINT64)
    return FALSE;
  strand_record_set_int (member, STRAND_FIELD_TTL, g_ascii_strtoll (ttl, NULL, 10));
  return TRUE;
}

static void
release_member (FlowStep *step, guint place)
{
  for (guint i = 0; i < 8; i++)
    {
      g_autoptr(StrandRecord) member = flow_step_get_member (step, place, NULL);
      g_autoptr(GError) error = NULL;

      if (member == NULL || !flow_member_shorten_life (member))
        return;
      if (strand_store_put (step->store, member, strand_record_get_revision (member), &error))
        return;
      strand_debug (STRAND_TOPIC_BACKEND, "%s", error->message);
    }
}

FlowLook
flow_step_end (FlowStep *step)
{
  StrandStatus status = (StrandStatus) CLAMP (step->result, STRAND_STATUS_COMPLETED, STRAND_STATUS_CANCELLED);

  for (guint place = 0; step->keeps && place < step->n; place++)
    release_member (step, place);
  step->result = 0;
  if (strand_record_get_status (step->record) == STRAND_STATUS_PENDING)
    strand_record_set_int (step->record, STRAND_FIELD_STATUS, STRAND_STATUS_RUNNING);
  strand_record_end (step->record, status, strand_clock_now_us ());
  return LOOK_CHANGED;
}

/* Where nothing has to be released between the decision and the end, they are one write. */
FlowLook
flow_step_end_at_once (FlowStep *step, FlowLook decided)
{
  return decided == LOOK_CHANGED && step->result != 0 && !step->keeps ? flow_step_end (step) : decided;
}
