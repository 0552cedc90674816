/* strand-flow-private.h — what the builder of flows, their life in a store, and those who end calls share.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-flow.h"

G_BEGIN_DECLS

#define STRAND_FLOW_KIND "group"
#define STRAND_FLOW_CHAIN "strand.chain"
#define STRAND_FLOW_GROUP "strand.group"

/* A part of a flow as its record carries it: what it is ("call", or one of the two above), what is known of
 * it, and its own parts. A call has `function`, `arguments` and, where it gets a value, `hole`, the
 * argument's place; besides, under the names of record fields, what its options say. A flow may have `input`,
 * the value for what it starts with, and `stop`. */
#define STRAND_FLOW_TYPE "(sa{sv}av)"

/* Each level adds a number to its members' keys, which have a limit. */
#define STRAND_FLOW_MAX_DEPTH 8
#define STRAND_FLOW_MAX_PARTS 100000

/* Headers of members: their flow's key, their place in it, and how long they are kept after its end; of
 * flows: what their members' keys begin with. */
#define STRAND_FLOW_HEADER "strand.flow"
#define STRAND_FLOW_HEADER_PLACE "strand.place"
#define STRAND_FLOW_HEADER_TTL "strand.ttl"
#define STRAND_FLOW_HEADER_MEMBERS "strand.members"

gboolean strand_flow_is_name (const char *function);
gboolean strand_flow_is_one (StrandRecord *record);
/* Borrowed; NULL for what belongs to no flow. */
const char *strand_flow_of (StrandRecord *record);

/* What follows from a call's end: @written is its record, which has just been put. */
void strand_flow_member_ended (StrandStore *store, StrandRecord *written);
/* The same for many: noted one by one, then each flow goes on once. */
GHashTable *strand_flow_notes_new (void);
void strand_flow_note_ended (GHashTable *notes, StrandRecord *written);
void strand_flow_follow_notes (GHashTable *notes, StrandStore *store);

/* Whether a member that was claimed may run; FALSE with G_IO_ERROR_CANCELLED if its flow is over. */
gboolean strand_flow_admits (StrandStore *store, StrandRecord *member, GError **error);

/* strand-flow-part.c: from a part to the record of a call or flow, and back. */
StrandRecord *strand_flow_make_member (StrandRecord *flow, guint place, GVariant *part, GVariant *input,
                                       GError **error);
char *strand_flow_member_key (StrandRecord *flow, guint place);
const char *strand_flow_header (StrandRecord *record, const char *name);
void strand_flow_set_header (StrandRecord *record, const char *name, const char *value);
void strand_flow_drop_headers (StrandRecord *record);
GVariant *strand_flow_part_of_call (StrandRecord *call, GError **error);
void strand_flow_part_add_options (GVariantDict *known, StrandOptions *options);

/* strand-payload.c: arguments by the serializer that the record names. */
gboolean strand_record_rewrite_arguments (StrandRecord *self, GVariant *arguments, GError **error);
/* As strand_store_cancel_call(), but what follows for a flow is the caller's. */
gboolean strand_store_request_cancel (StrandStore *store, const char *key, StrandRecord **asked,
                                      GError **error);

/* A new record of a flow that is to run again. */
gboolean strand_flow_make_again (StrandStore *store, StrandRecord *old, StrandRecord *again, GError **error);

G_END_DECLS
