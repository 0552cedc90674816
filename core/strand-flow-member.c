/* strand-flow-member.c — what a call's record means for the flow that it is a part of.
 *
 * Whoever has written a member's end advances its flow; whoever has claimed a member asks whether its flow
 * still wants it.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-flow-step-private.h"

#include <string.h>

#include "strand-error.h"
#include "strand-log.h"

/* -1 for one that did not fail. */
static int
failed_place (StrandRecord *written)
{
  const char *place = strand_flow_header (written, STRAND_FLOW_HEADER_PLACE);

  if (place == NULL || strand_record_get_status (written) == STRAND_STATUS_COMPLETED)
    return -1;
  return (int) g_ascii_strtoll (place, NULL, 10);
}

GHashTable *
strand_flow_notes_new (void)
{
  return g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
}

/* The value is 1 + the place of a member that failed, or 0. */
void
strand_flow_note_ended (GHashTable *notes, StrandRecord *written)
{
  const char *flow = strand_flow_of (written);

  if (flow == NULL || !strand_status_is_terminal (strand_record_get_status (written)))
    return;
  if (failed_place (written) >= 0 || !g_hash_table_contains (notes, flow))
    g_hash_table_insert (notes, g_strdup (flow), GINT_TO_POINTER (failed_place (written) + 1));
}

void
strand_flow_follow_notes (GHashTable *notes, StrandStore *store)
{
  GHashTableIter iter;
  gpointer flow, failed;

  g_hash_table_iter_init (&iter, notes);
  while (g_hash_table_iter_next (&iter, &flow, &failed))
    {
      g_autoptr(GError) error = NULL;

      /* It is tried again by whoever looks after flows. */
      if (!flow_advance (store, flow, GPOINTER_TO_INT (failed) - 1, &error))
        strand_debug (STRAND_TOPIC_BACKEND, "%s", error->message);
    }
}

void
strand_flow_member_ended (StrandStore *store, StrandRecord *written)
{
  g_autoptr(GHashTable) notes = NULL;

  if (strand_flow_of (written) == NULL)
    return;
  notes = strand_flow_notes_new ();
  strand_flow_note_ended (notes, written);
  strand_flow_follow_notes (notes, store);
}

/* Whether this flow expects @member now. */
static gboolean
expects (StrandRecord *flow, StrandRecord *member)
{
  g_auto(FlowStep) step = { .old = strand_record_ref (flow), .record = strand_record_ref (flow) };
  const char *place_text = strand_flow_header (member, STRAND_FLOW_HEADER_PLACE);
  guint place = place_text != NULL ? (guint) g_ascii_strtoull (place_text, NULL, 10) : 0;
  g_autofree char *key = strand_flow_member_key (flow, place);

  if (!strand_flow_is_one (flow) || strand_status_is_terminal (strand_record_get_status (flow)) ||
      strcmp (key, strand_record_get_key (member)) != 0)
    return FALSE;
  step.is_chain = g_strcmp0 (strand_record_get_string (flow, STRAND_FIELD_FUNCTION), STRAND_FLOW_CHAIN) == 0;
  flow_step_read_metadata (&step);
  return !flow_step_is_cancelled (&step) && !step.stopping && (!step.is_chain || place == step.n_ended);
}

gboolean
strand_flow_admits (StrandStore *store, StrandRecord *member, GError **error)
{
  g_autoptr(StrandRecord) at = strand_record_ref (member);

  for (guint i = 0; strand_flow_of (at) != NULL; i++)
    {
      g_autoptr(GError) local_error = NULL;
      StrandRecord *flow = strand_store_get (store, strand_flow_of (at), &local_error);

      /* A store that does not answer is no reason not to run what it has just given. */
      if (flow == NULL && !g_error_matches (local_error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND))
        return TRUE;
      if (flow == NULL || i > STRAND_FLOW_MAX_DEPTH || !expects (flow, at))
        {
          /* A step that came too late has put it once more, after those who would have released it. */
          if (at == member && (flow == NULL || strand_status_is_terminal (strand_record_get_status (flow))))
            flow_member_shorten_life (member);
          g_set_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED,
                       "The call '%s' was not run, because the flow '%s', of which it is a part, %s",
                       strand_record_get_key (member), strand_flow_of (at),
                       flow == NULL                ? "is gone"
                       : i > STRAND_FLOW_MAX_DEPTH ? "is a part of itself"
                                                   : "has been stopped or has gone on without it");
          if (flow != NULL)
            strand_record_unref (flow);
          return FALSE;
        }
      strand_record_unref (at);
      at = flow;
    }
  return TRUE;
}
