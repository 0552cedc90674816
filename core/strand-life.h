/* strand-life.h — the life of a record: what may follow what, and what each step writes.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-record.h"

G_BEGIN_DECLS

STRAND_AVAILABLE_IN_ALL
gboolean strand_status_may_follow (StrandStatus next, StrandStatus now);

STRAND_AVAILABLE_IN_ALL
gint64 strand_record_get_turn (StrandRecord *self);

STRAND_AVAILABLE_IN_ALL
gboolean strand_record_is_waiting (StrandRecord *self, const char *queue);

/**
 * STRAND_FENCE_CLAIMS:
 *
 * The bits of a fence that count claims; those above them tell apart calls that have one key after the other.
 * See strand_record_begin_life().
 *
 * Since: 1.0
 */
#define STRAND_FENCE_CLAIMS 0xffff

STRAND_AVAILABLE_IN_ALL
void strand_record_begin_life (StrandRecord *self);

/* The steps. Each changes a record that has just been read; whoever calls puts it. */

STRAND_AVAILABLE_IN_ALL
void strand_record_claim (StrandRecord *self, const char *owner, gint64 now_us);

STRAND_AVAILABLE_IN_ALL
void strand_record_give_back (StrandRecord *self);

STRAND_AVAILABLE_IN_ALL
void strand_record_retry (StrandRecord *self, gint64 not_before_us);

STRAND_AVAILABLE_IN_ALL
void strand_record_end (StrandRecord *self, StrandStatus status, gint64 now_us);

G_END_DECLS
