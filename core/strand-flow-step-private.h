/* strand-flow-step-private.h — one step of a flow in a store, as the files of its life share it.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-flow-private.h"

G_BEGIN_DECLS

/* What a flow's record says, in `metadata`: */
#define KNOWS_ENDED "strand.ended"       /* u: how many of the first members have ended */
#define KNOWS_OF "strand.of"             /* u: how many there are */
#define KNOWS_FAILED "strand.failed"     /* u: 1 + the place of the first that did not complete; 0 for none */
#define KNOWS_LAUNCHED "strand.launched" /* b: what is to run now has been put */
#define KNOWS_STOPPING "strand.stopping" /* b: the others are to be cancelled */
#define KNOWS_STOPPED "strand.stopped"   /* b: they have been */
#define KNOWS_STRICT "strand.strict"     /* b: a failure stops the others */
#define KNOWS_KEEPS "strand.keeps"       /* b: members are kept longer than they are to be after the end */
#define KNOWS_RESULT "strand.result"     /* u: the status that it is going to end with */

typedef struct
{
  StrandStore *store;
  StrandRecord *old; /* as it was read */
  StrandRecord *record;
  gboolean is_chain;
  GVariant *known; /* of the body; NULL where it is gone, as the next */
  GVariant *parts;

  guint32 n;
  guint32 n_ended;
  guint32 failed;
  gboolean launched;
  gboolean stopping;
  gboolean stopped;
  gboolean strict;
  gboolean keeps;
  guint32 result;
} FlowStep;

/* What became of looking at a flow. */
typedef enum
{
  LOOK_NOTHING, /* there is nothing to do now */
  LOOK_CHANGED, /* the step says what is to be written */
  LOOK_ERROR,   /* the store has failed; it is left for later */
} FlowLook;

/* strand-flow-step.c */
gboolean flow_step_read (FlowStep *step, GError **error);
void flow_step_read_metadata (FlowStep *step);
void flow_step_write (FlowStep *step);
void flow_step_clear (FlowStep *step);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (FlowStep, flow_step_clear)
gboolean flow_step_is_cancelled (FlowStep *step);
StrandRecord *flow_step_get_member (FlowStep *step, guint place, GError **error);
GVariant *flow_step_dup_value (FlowStep *step, guint place, GError **error);
gboolean flow_error_is_lasting (const GError *error);
FlowLook flow_step_fail (FlowStep *step, GError *error);

/* strand-flow-end.c */
FlowLook flow_step_decide (FlowStep *step);
FlowLook flow_step_end (FlowStep *step);
FlowLook flow_step_end_at_once (FlowStep *step, FlowLook decided);
gboolean flow_member_shorten_life (StrandRecord *member);

/* strand-flow-run.c: @failed: the place of a member that is known to have failed, or -1 */
gboolean flow_advance (StrandStore *store, const char *key, int failed, GError **error);

G_END_DECLS
