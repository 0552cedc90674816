/* limit-record.h — what several processes count together: one record, changed by whoever finds it unchanged.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <strand-plugin.h>

typedef enum
{
  LIMIT_REFUSE,
  LIMIT_ALLOW,
} LimitFailure;

GType limit_failure_get_type (void);

typedef struct _LimitRecord LimitRecord;

/* The state that follows @state (NULL: there is none yet), or NULL to leave it. May be asked several times
 * over, of newer states: only what it made of the last one counts. */
typedef GVariant *(*LimitChange) (GVariant *state, gpointer data);

/* @words: what the key is made of; equal words, equal record. Kept for @ttl_us after the last change. */
LimitRecord *limit_record_new (StrandStore *store, const char *const *words, gint64 ttl_us);
void limit_record_free (LimitRecord *self);
const char *limit_record_get_key (LimitRecord *self);

/* @trusting: to leave the state as it is may be decided on what was seen last, without a look at the store.
 * Blocks; one thread at a time. */
gboolean limit_record_change (LimitRecord *self, gboolean trusting, LimitChange change, gpointer data,
                              GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (LimitRecord, limit_record_free)
