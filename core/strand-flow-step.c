/* strand-flow-step.c — what a flow's record says of how far the flow has come, read and written.
 *
 * The parts to run stand in its arguments, a chain's until its end, a group's until all have been put; how
 * far it is stands in its metadata, and is small, because each step writes it anew.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-flow-step-private.h"

#include "strand-error.h"
#include "strand-log.h"
#include "strand-payload.h"

void
flow_step_clear (FlowStep *step)
{
  g_clear_pointer (&step->old, strand_record_unref);
  g_clear_pointer (&step->record, strand_record_unref);
  g_clear_pointer (&step->known, g_variant_unref);
  g_clear_pointer (&step->parts, g_variant_unref);
}

void
flow_step_read_metadata (FlowStep *step)
{
  GVariant *metadata = strand_record_get_variant (step->old, STRAND_FIELD_METADATA);

  if (metadata == NULL)
    return;
  g_variant_lookup (metadata, KNOWS_ENDED, "u", &step->n_ended);
  g_variant_lookup (metadata, KNOWS_OF, "u", &step->n);
  g_variant_lookup (metadata, KNOWS_FAILED, "u", &step->failed);
  g_variant_lookup (metadata, KNOWS_LAUNCHED, "b", &step->launched);
  g_variant_lookup (metadata, KNOWS_STOPPING, "b", &step->stopping);
  g_variant_lookup (metadata, KNOWS_STOPPED, "b", &step->stopped);
  g_variant_lookup (metadata, KNOWS_STRICT, "b", &step->strict);
  g_variant_lookup (metadata, KNOWS_KEEPS, "b", &step->keeps);
  g_variant_lookup (metadata, KNOWS_RESULT, "u", &step->result);
}

/* FALSE where the record does not say what is to be run. */
static gboolean
read_body (FlowStep *step, GError **error)
{
  g_autoptr(GVariant) body = NULL;

  if (strand_record_get_bytes (step->old, STRAND_FIELD_ARGUMENTS) == NULL)
    return TRUE;
  body = strand_record_dup_arguments (step->old, error);
  if (body == NULL)
    return FALSE;
  if (!g_variant_is_of_type (body, G_VARIANT_TYPE (STRAND_FLOW_TYPE)))
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT,
                   "The arguments of flow '%s' are of type '%s', not '%s'", strand_record_get_key (step->old),
                   g_variant_get_type_string (body), STRAND_FLOW_TYPE);
      return FALSE;
    }
  g_variant_get (body, "(s@a{sv}@av)", NULL, &step->known, &step->parts);
  step->n = (guint32) g_variant_n_children (step->parts);
  g_variant_lookup (step->known, "stop", "b", &step->strict);
  if (step->n > 0 || !step->is_chain)
    return TRUE;
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT, "Flow '%s' is a chain without parts",
               strand_record_get_key (step->old));
  return FALSE;
}

/* FALSE for what no step has written, for then parts would be looked for that cannot be there. */
static gboolean
check_counts (FlowStep *step, GError **error)
{
  if (step->n_ended <= step->n && step->n <= STRAND_FLOW_MAX_PARTS && step->failed <= step->n_ended)
    return TRUE;
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT,
               "Flow '%s' says that %u of its %u parts have ended, and that part %u failed: that cannot be",
               strand_record_get_key (step->old), step->n_ended, step->n, step->failed);
  return FALSE;
}

gboolean
flow_step_read (FlowStep *step, GError **error)
{
  step->is_chain =
      g_strcmp0 (strand_record_get_string (step->old, STRAND_FIELD_FUNCTION), STRAND_FLOW_CHAIN) == 0;
  flow_step_read_metadata (step);
  if (read_body (step, error) && check_counts (step, error))
    return TRUE;
  /* So that letting go of its members comes to an end. */
  step->n = MIN (step->n, STRAND_FLOW_MAX_PARTS);
  step->n_ended = MIN (step->n_ended, step->n);
  return FALSE;
}

static void
know (GVariantDict *dict, const char *name, gboolean value)
{
  g_variant_dict_remove (dict, name);
  if (value)
    g_variant_dict_insert (dict, name, "b", TRUE);
}

void
flow_step_write (FlowStep *step)
{
  GVariantDict dict;

  g_variant_dict_init (&dict, strand_record_get_variant (step->record, STRAND_FIELD_METADATA));
  g_variant_dict_insert (&dict, KNOWS_ENDED, "u", step->n_ended);
  g_variant_dict_insert (&dict, KNOWS_OF, "u", step->n);
  g_variant_dict_insert (&dict, KNOWS_FAILED, "u", step->failed);
  know (&dict, KNOWS_LAUNCHED, step->launched);
  know (&dict, KNOWS_STOPPING, step->stopping);
  know (&dict, KNOWS_STOPPED, step->stopped);
  know (&dict, KNOWS_STRICT, step->strict);
  know (&dict, KNOWS_KEEPS, step->keeps);
  g_variant_dict_remove (&dict, KNOWS_RESULT);
  if (step->result != 0)
    g_variant_dict_insert (&dict, KNOWS_RESULT, "u", step->result);
  strand_record_set_variant (step->record, STRAND_FIELD_METADATA, g_variant_dict_end (&dict));
  if (step->n > 0)
    strand_record_set_double (step->record, STRAND_FIELD_PROGRESS, (double) step->n_ended / step->n);
}

gboolean
flow_step_is_cancelled (FlowStep *step)
{
  return strand_record_get_int (step->record, STRAND_FIELD_CANCEL_REQUESTED) != 0;
}

/* The record of a member; NULL without error where it is gone. */
StrandRecord *
flow_step_get_member (FlowStep *step, guint place, GError **error)
{
  g_autofree char *key = strand_flow_member_key (step->old, place);
  g_autoptr(GError) local_error = NULL;
  StrandRecord *member = strand_store_get (step->store, key, &local_error);

  if (member == NULL && !g_error_matches (local_error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND))
    g_propagate_error (error, g_steal_pointer (&local_error));
  return member;
}

/* What a member returned; NULL with an error, also where the member is gone. */
GVariant *
flow_step_dup_value (FlowStep *step, guint place, GError **error)
{
  g_autoptr(GError) local_error = NULL;
  g_autoptr(StrandRecord) member = flow_step_get_member (step, place, &local_error);

  if (member != NULL)
    return strand_record_dup_value (member, error);
  if (local_error == NULL)
    g_set_error (&local_error, STRAND_ERROR, STRAND_ERROR_LOST,
                 "The record of part %u of flow '%s' has been removed before its value was used", place + 1,
                 strand_record_get_key (step->old));
  g_propagate_error (error, g_steal_pointer (&local_error));
  return NULL;
}

/* What the store may well take later. All else fails the flow, because it would go on for ever. */
gboolean
flow_error_is_lasting (const GError *error)
{
  return error->domain == STRAND_ERROR && error->code != STRAND_ERROR_CLOSED &&
         error->code != STRAND_ERROR_STALE && error->code != STRAND_ERROR_FULL;
}

/* Nothing of the flow is started any more; it fails once nothing runs. Takes over @error. */
FlowLook
flow_step_fail (FlowStep *step, GError *error)
{
  if (!flow_error_is_lasting (error))
    {
      strand_debug (STRAND_TOPIC_BACKEND, "%s", error->message);
      g_error_free (error);
      return LOOK_ERROR;
    }
  strand_record_add_cause (step->record, "", error);
  step->stopping = TRUE;
  if (step->stopped)
    step->result = STRAND_STATUS_FAILED;
  g_error_free (error);
  return LOOK_CHANGED;
}
