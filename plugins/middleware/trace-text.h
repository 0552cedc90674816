/* trace-text.h — spans as OTLP/JSON.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "trace-context.h"

#include <strand-plugin.h>

G_BEGIN_DECLS

/* As OTLP numbers them. */
typedef enum
{
  TRACE_KIND_PRODUCER = 4, /* a call was made */
  TRACE_KIND_CONSUMER = 5, /* an attempt ran */
} TraceKind;

typedef struct
{
  TraceContext context;
  char parent_id[TRACE_SPAN_DIGITS + 1]; /* "" for none */
  const char *state;                     /* (nullable): tracestate */
  TraceKind kind;
  const char *function;
  const char *key;
  guint attempt;           /* 0 for a call that was made */
  gint64 start_us, end_us; /* since 1970 */
  const char *status;      /* (nullable): how the attempt ended, as strand calls it */
  const GError *error;     /* (nullable) */
  gboolean will_retry;
} TraceSpan;

/* Appends one element of `spans`. */
void trace_append_span (GString *json, const TraceSpan *span);

/* One line: a whole ExportTraceServiceRequest with these @spans, which have commas between them. */
GString *trace_make_line (const char *service, const char *spans) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
