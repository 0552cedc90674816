/* trace-context.h — which trace something belongs to, as W3C Trace Context writes it.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define TRACE_ID_DIGITS 32
#define TRACE_SPAN_DIGITS 16

/* Ids in lower-case hexadecimal, never all zeros. */
typedef struct
{
  char trace_id[TRACE_ID_DIGITS + 1];
  char span_id[TRACE_SPAN_DIGITS + 1];
  gboolean sampled;
} TraceContext;

/* Of a `traceparent` header, which may come from anybody. FALSE and nothing changed if it is not well-formed.
 */
gboolean trace_context_parse (const char *text, TraceContext *context);
char *trace_context_to_string (const TraceContext *self) G_GNUC_WARN_UNUSED_RESULT;

/* Whether a `tracestate` header is fit to be passed on. */
gboolean trace_state_is_usable (const char *text);

void trace_new_trace_id (char id[TRACE_ID_DIGITS + 1]);
void trace_new_span_id (char id[TRACE_SPAN_DIGITS + 1]);

/* The same answer for one trace wherever it is asked. @ratio: 0 to 1. */
gboolean trace_id_is_sampled (const char *trace_id, double ratio);

G_END_DECLS
