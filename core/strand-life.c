/* strand-life.c — the life of a record: what may follow what, and what each step writes.
 *
 * One table says which status may follow which; the steps below are the only code that moves a call along it,
 * so that backends, readers, cancellers and stores agree. A step changes a copy in memory: it becomes true
 * when a store has put it at the revision that was read.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-life.h"

#include <string.h>

/* What one unit of priority is worth: a call waits this much longer for each unit that it has less, so that
 * low priorities age instead of waiting for ever. */
#define PRIORITY_US (30 * G_USEC_PER_SEC)

/* Priorities beyond it are as good as it: ten years ahead, and far from the ends of 64 bits. */
#define PRIORITY_LIMIT (10 * 1000 * 1000)

/* may_follow[now][next]. Terminal is final. */
static const gboolean may_follow[5][5] = {
  [STRAND_STATUS_PENDING] = { [STRAND_STATUS_RUNNING] = TRUE,
                              [STRAND_STATUS_FAILED] = TRUE, /* expired, refused, cannot be run */
                              [STRAND_STATUS_CANCELLED] = TRUE },
  [STRAND_STATUS_RUNNING] = { [STRAND_STATUS_PENDING] = TRUE, /* a retry, or given back */
                              [STRAND_STATUS_COMPLETED] = TRUE,
                              [STRAND_STATUS_FAILED] = TRUE,
                              [STRAND_STATUS_CANCELLED] = TRUE },
};

/**
 * strand_status_may_follow:
 * @next: a status
 * @now: the status before
 *
 * Whether a call may go from one status to another. Any thread.
 *
 * Returns: %TRUE if it may
 * Since: 1.0
 */
gboolean
strand_status_may_follow (StrandStatus next, StrandStatus now)
{
  g_return_val_if_fail ((guint) next < 5 && (guint) now < 5, FALSE);

  return may_follow[now][next];
}

/**
 * strand_record_get_turn:
 * @self: a call's record
 *
 * The one number by which calls of a queue are claimed, the smallest first: max (created, not-before) -
 * priority × 30 s. Higher priorities go first, and what has waited long enough goes before them. Priorities
 * count up to ten million either way. Any thread that may read the record.
 *
 * Returns: the turn, in µs
 * Since: 1.0
 */
gint64
strand_record_get_turn (StrandRecord *self)
{
  gint64 created_us, not_before_us, priority;

  g_return_val_if_fail (self != NULL, 0);

  created_us = strand_record_get_int (self, STRAND_FIELD_CREATED);
  not_before_us = strand_record_get_int (self, STRAND_FIELD_NOT_BEFORE);
  priority = strand_record_get_int (self, STRAND_FIELD_PRIORITY);
  return MIN (MAX (created_us, not_before_us), G_MAXINT64 / 2) -
         CLAMP (priority, -PRIORITY_LIMIT, PRIORITY_LIMIT) * PRIORITY_US;
}

/**
 * strand_record_is_waiting:
 * @self: a record
 * @queue: (nullable): a queue's name, or `NULL` for any
 *
 * Whether a record is a pending call that a reader of this queue may claim, once its not-before is over. Any
 * thread that may read the record.
 *
 * Returns: %TRUE if it is
 * Since: 1.0
 */
gboolean
strand_record_is_waiting (StrandRecord *self, const char *queue)
{
  const char *own;

  g_return_val_if_fail (self != NULL, FALSE);

  own = strand_record_get_string (self, STRAND_FIELD_QUEUE);
  return own != NULL && (queue == NULL || strcmp (own, queue) == 0) &&
         strand_record_get_status (self) == STRAND_STATUS_PENDING &&
         strcmp (strand_record_get_string (self, STRAND_FIELD_KIND), "call") == 0;
}

/**
 * strand_record_begin_life:
 * @self: the record of a call that is about to be stored for the first time
 *
 * Sees that nothing which concerns an earlier call of the same key can be taken for this one's: its fences,
 * and from them its revisions, begin at a number of its own. Whoever still holds the earlier call, whose
 * record has been removed, then finds that this one is not his.
 *
 * A key that strand makes is never used again, so a call that has one counts from 0, as without this.
 *
 * Since: 1.0
 */
void
strand_record_begin_life (StrandRecord *self)
{
  g_return_if_fail (self != NULL);

  /* Four thousand million lives, and no number beyond what other languages' numbers hold exactly. */
  if (!g_uuid_string_is_valid (strand_record_get_key (self)))
    strand_record_set_int (self, STRAND_FIELD_FENCE, (gint64) g_random_int () * (STRAND_FENCE_CLAIMS + 1));
}

static void
forget_attempt (StrandRecord *self)
{
  strand_record_set_double (self, STRAND_FIELD_PROGRESS, -1);
  strand_record_set_string (self, STRAND_FIELD_MESSAGE, NULL);
  strand_record_set_int (self, STRAND_FIELD_ITEMS, 0);
}

/**
 * strand_record_claim:
 * @self: the record of a pending call
 * @owner: who claims it, as strand_lease_owner_self() writes it
 * @now_us: the time it is, in µs since 1970
 *
 * Pending to running, under a lease: a new fence, this owner, a lease counter that starts again at 1, and the
 * first attempt if there was none. What an earlier attempt said of its progress is forgotten.
 *
 * Since: 1.0
 */
void
strand_record_claim (StrandRecord *self, const char *owner, gint64 now_us)
{
  g_return_if_fail (self != NULL && owner != NULL);
  g_return_if_fail (strand_record_get_status (self) == STRAND_STATUS_PENDING);

  strand_record_set_int (self, STRAND_FIELD_STATUS, STRAND_STATUS_RUNNING);
  strand_record_set_int (self, STRAND_FIELD_FENCE, strand_record_get_int (self, STRAND_FIELD_FENCE) + 1);
  strand_record_set_int (self, STRAND_FIELD_ATTEMPT,
                         MAX (strand_record_get_int (self, STRAND_FIELD_ATTEMPT), 1));
  strand_record_set_int (self, STRAND_FIELD_STARTED, now_us);
  strand_record_set_string (self, STRAND_FIELD_LEASE_OWNER, owner);
  strand_record_set_int (self, STRAND_FIELD_LEASE_COUNTER, 1);
  forget_attempt (self);
}

/**
 * strand_record_give_back:
 * @self: the record of a running call
 *
 * Running to pending, without a lease: the same attempt will be run again by somebody else. Since nothing of
 * its place is lost, it comes before calls that were made later.
 *
 * Since: 1.0
 */
void
strand_record_give_back (StrandRecord *self)
{
  g_return_if_fail (self != NULL);
  g_return_if_fail (strand_record_get_status (self) == STRAND_STATUS_RUNNING);

  strand_record_set_int (self, STRAND_FIELD_STATUS, STRAND_STATUS_PENDING);
  strand_record_set_string (self, STRAND_FIELD_LEASE_OWNER, NULL);
  strand_record_set_int (self, STRAND_FIELD_LEASE_COUNTER, 0);
}

/**
 * strand_record_retry:
 * @self: the record of a running call whose attempt has failed
 * @not_before_us: when the next attempt may start, in µs since 1970
 *
 * Running to pending, without a lease, for the next attempt. The caller has added the cause.
 *
 * Since: 1.0
 */
void
strand_record_retry (StrandRecord *self, gint64 not_before_us)
{
  g_return_if_fail (self != NULL);
  g_return_if_fail (strand_record_get_status (self) == STRAND_STATUS_RUNNING);

  strand_record_give_back (self);
  strand_record_set_int (self, STRAND_FIELD_ATTEMPT, strand_record_get_int (self, STRAND_FIELD_ATTEMPT) + 1);
  strand_record_set_int (self, STRAND_FIELD_NOT_BEFORE, not_before_us);
}

/**
 * strand_record_end:
 * @self: the record of a call that has not ended
 * @status: one of the three ends that may follow
 * @now_us: the time it is, in µs since 1970
 *
 * To completed, failed or cancelled, without a lease. The caller has set the value or added the cause.
 *
 * Since: 1.0
 */
void
strand_record_end (StrandRecord *self, StrandStatus status, gint64 now_us)
{
  g_return_if_fail (self != NULL && strand_status_is_terminal (status));
  g_return_if_fail (strand_status_may_follow (status, strand_record_get_status (self)));

  strand_record_set_int (self, STRAND_FIELD_STATUS, status);
  strand_record_set_int (self, STRAND_FIELD_COMPLETED, now_us);
  strand_record_set_string (self, STRAND_FIELD_LEASE_OWNER, NULL);
  strand_record_set_int (self, STRAND_FIELD_LEASE_COUNTER, 0);
}
