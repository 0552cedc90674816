/* strand-flow.h — several calls as one: one after the other, or all together.
 *
 * A chain hands each call's value to the next one; a group runs its members at the same time and has all
 * their values. Either may stand where a call stands, in the other or in one of its own kind. A flow is left
 * in a store like a call: it needs neither the program that launched it nor any one worker. See docs/flow.md.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-backend.h"
#include "strand-handle.h"

G_BEGIN_DECLS

#define STRAND_TYPE_FLOW (strand_flow_get_type ())
STRAND_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (StrandFlow, strand_flow, STRAND, FLOW, GObject)

STRAND_AVAILABLE_IN_ALL
StrandFlow *strand_flow_new_chain (void) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
StrandFlow *strand_flow_new_group (void) G_GNUC_WARN_UNUSED_RESULT;

/* What it consists of, in order. Mistakes are kept, and told by strand_flow_launch(). */
STRAND_AVAILABLE_IN_ALL
void strand_flow_add (StrandFlow *self, const char *function, const char *format, ...);

STRAND_AVAILABLE_IN_ALL
void strand_flow_add_call (StrandFlow *self, const char *function, GVariant *positional, GVariant *keywords,
                           StrandOptions *options);

STRAND_AVAILABLE_IN_ALL
void strand_flow_add_flow (StrandFlow *self, StrandFlow *part);

STRAND_AVAILABLE_IN_ALL
void strand_flow_set_stop_on_failure (StrandFlow *self, gboolean stop_on_failure);

STRAND_AVAILABLE_IN_ALL
gboolean strand_flow_get_stop_on_failure (StrandFlow *self);

/* Launching it, as often as you like. */
STRAND_AVAILABLE_IN_ALL
StrandHandle *strand_flow_launch (StrandFlow *self, StrandBackend *backend, StrandOptions *options,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* For readers, and whoever ends a call in their place: what comes next is done now. */
STRAND_AVAILABLE_IN_ALL
gboolean strand_store_advance_flow (StrandStore *store, const char *key, GError **error);

STRAND_AVAILABLE_IN_ALL
guint strand_store_finish_flows (StrandStore *store, GError **error);

G_END_DECLS
