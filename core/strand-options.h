/* strand-options.h — how one call wants to be treated.
 *
 * An option that is not set leaves the decision to the task, then the middleware, then the backend.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-version.h"
#include <gio/gio.h>

G_BEGIN_DECLS

/* How a duration option says "not set here"; -1 is "none". */
#define STRAND_UNSET G_MININT64

typedef struct _StrandOptions StrandOptions;
#define STRAND_TYPE_OPTIONS (strand_options_get_type ())
STRAND_AVAILABLE_IN_ALL
GType strand_options_get_type (void);

STRAND_AVAILABLE_IN_ALL
StrandOptions *strand_options_new (void) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
StrandOptions *strand_options_copy (StrandOptions *self) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
void strand_options_free (StrandOptions *self);

/* How long an attempt may run, µs; -1 for no limit. */
STRAND_AVAILABLE_IN_ALL
void strand_options_set_timeout (StrandOptions *self, gint64 timeout_us);

STRAND_AVAILABLE_IN_ALL
gint64 strand_options_get_timeout (StrandOptions *self);

/* How long the record is kept after the call's end, µs; -1 for ever. */
STRAND_AVAILABLE_IN_ALL
void strand_options_set_ttl (StrandOptions *self, gint64 ttl_us);

STRAND_AVAILABLE_IN_ALL
gint64 strand_options_get_ttl (StrandOptions *self);

/* How many further attempts follow a failed one; -1 for not set. */
STRAND_AVAILABLE_IN_ALL
void strand_options_set_retries (StrandOptions *self, int retries);

STRAND_AVAILABLE_IN_ALL
int strand_options_get_retries (StrandOptions *self);

/* Wall time in µs before which the call does not start; 0 for none. */
STRAND_AVAILABLE_IN_ALL
void strand_options_set_not_before (StrandOptions *self, gint64 time_us);

STRAND_AVAILABLE_IN_ALL
gint64 strand_options_get_not_before (StrandOptions *self);

/* Wall time in µs after which the call is not started any more; 0 for none. */
STRAND_AVAILABLE_IN_ALL
void strand_options_set_expires (StrandOptions *self, gint64 time_us);

STRAND_AVAILABLE_IN_ALL
gint64 strand_options_get_expires (StrandOptions *self);

/* Higher runs earlier; 0 by default. */
STRAND_AVAILABLE_IN_ALL
void strand_options_set_priority (StrandOptions *self, int priority);

STRAND_AVAILABLE_IN_ALL
int strand_options_get_priority (StrandOptions *self);

STRAND_AVAILABLE_IN_ALL
void strand_options_set_queue (StrandOptions *self, const char *queue);

STRAND_AVAILABLE_IN_ALL
const char *strand_options_get_queue (StrandOptions *self);

/**
 * StrandConflict:
 * @STRAND_CONFLICT_KEEP: the other call goes on, and this one ends as it does
 * @STRAND_CONFLICT_REPLACE: the other call is cancelled, and this one takes its place
 * @STRAND_CONFLICT_REJECT: this call fails with %STRAND_ERROR_EXISTS
 *
 * What happens to a call whose unique key another call has that has not ended.
 *
 * Since: 1.0
 */
typedef enum
{
  STRAND_CONFLICT_KEEP,
  STRAND_CONFLICT_REPLACE,
  STRAND_CONFLICT_REJECT,
} StrandConflict;

#define STRAND_TYPE_CONFLICT (strand_conflict_get_type ())
STRAND_AVAILABLE_IN_ALL
GType strand_conflict_get_type (void);

STRAND_AVAILABLE_IN_ALL
void strand_options_set_conflict (StrandOptions *self, StrandConflict conflict);

STRAND_AVAILABLE_IN_ALL
StrandConflict strand_options_get_conflict (StrandOptions *self);

STRAND_AVAILABLE_IN_ALL
void strand_options_set_unique (StrandOptions *self, const char *unique);

STRAND_AVAILABLE_IN_ALL
const char *strand_options_get_unique (StrandOptions *self);

/* The call's own key, for one call only; a record that has it already makes the call fail with EXISTS. */
STRAND_AVAILABLE_IN_ALL
void strand_options_set_key (StrandOptions *self, const char *key);

STRAND_AVAILABLE_IN_ALL
const char *strand_options_get_key (StrandOptions *self);

STRAND_AVAILABLE_IN_ALL
void strand_options_set_header (StrandOptions *self, const char *name, const char *value);

STRAND_AVAILABLE_IN_ALL
GHashTable *strand_options_get_headers (StrandOptions *self);

/* In-process calls only: a pointer for strand_context_get_data(), destroyed in the caller's context after
 * the function has returned. Belongs to one call. */
STRAND_AVAILABLE_IN_ALL
void strand_options_take_data (StrandOptions *self, gpointer data, GDestroyNotify destroy);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (StrandOptions, strand_options_free)

G_END_DECLS
