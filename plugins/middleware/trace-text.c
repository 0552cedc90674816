/* trace-text.c — spans as OTLP/JSON.
 *
 * The JSON form of OpenTelemetry's protocol (opentelemetry-proto, trace.proto): ids in hexadecimal, 64-bit
 * numbers as strings, enumerations as numbers. One line is one ExportTraceServiceRequest, which is what the
 * collector's otlpjsonfile receiver reads.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "trace-text.h"

#include <unistd.h>

#define STATUS_ERROR 2

static void
append_text (GString *json, const char *name, const char *value)
{
  g_string_append_printf (json, ",{\"key\":\"%s\",\"value\":{\"stringValue\":", name);
  strand_json_append_string (json, value);
  g_string_append (json, "}}");
}

static void
append_number (GString *json, const char *name, gint64 value)
{
  g_string_append_printf (json, ",{\"key\":\"%s\",\"value\":{\"intValue\":\"%" G_GINT64_FORMAT "\"}}", name,
                          value);
}

static void
append_boolean (GString *json, const char *name, gboolean value)
{
  g_string_append_printf (json, ",{\"key\":\"%s\",\"value\":{\"boolValue\":%s}}", name,
                          value ? "true" : "false");
}

/* A list is written with a comma before each element; the first one goes. */
static void
drop_comma (GString *json, gsize position)
{
  if (json->len > position)
    g_string_erase (json, (gssize) position, 1);
}

static void
append_attributes (GString *json, const TraceSpan *span)
{
  gsize start;

  g_string_append (json, ",\"attributes\":[");
  start = json->len;
  append_text (json, "strand.function", span->function);
  append_text (json, "strand.key", span->key);
  if (span->attempt > 0)
    append_number (json, "strand.attempt", span->attempt);
  if (span->status != NULL)
    append_text (json, "strand.status", span->status);
  if (span->error != NULL)
    {
      append_text (json, "error.type", g_quark_to_string (span->error->domain));
      append_number (json, "strand.error.code", span->error->code);
      append_boolean (json, "strand.retried", span->will_retry);
    }
  drop_comma (json, start);
  g_string_append_c (json, ']');
}

void
trace_append_span (GString *json, const TraceSpan *span)
{
  g_autofree char *name =
      g_strdup_printf ("%s %s", span->kind == TRACE_KIND_PRODUCER ? "call" : "run", span->function);

  g_string_append_printf (json, "{\"traceId\":\"%s\",\"spanId\":\"%s\"", span->context.trace_id,
                          span->context.span_id);
  if (span->parent_id[0] != '\0')
    g_string_append_printf (json, ",\"parentSpanId\":\"%s\"", span->parent_id);
  if (span->state != NULL)
    {
      g_string_append (json, ",\"traceState\":");
      strand_json_append_string (json, span->state);
    }
  g_string_append (json, ",\"name\":");
  strand_json_append_string (json, name);
  g_string_append_printf (json,
                          ",\"kind\":%d,\"startTimeUnixNano\":\"%" G_GINT64_FORMAT
                          "\",\"endTimeUnixNano\":\"%" G_GINT64_FORMAT "\"",
                          (int) span->kind, span->start_us * 1000, MAX (span->start_us, span->end_us) * 1000);
  append_attributes (json, span);
  if (span->error != NULL)
    {
      g_string_append_printf (json, ",\"status\":{\"code\":%d,\"message\":", STATUS_ERROR);
      strand_json_append_string (json, span->error->message);
      g_string_append_c (json, '}');
    }
  g_string_append_c (json, '}');
}

GString *
trace_make_line (const char *service, const char *spans)
{
  GString *json = g_string_new ("{\"resourceSpans\":[{\"resource\":{\"attributes\":[");
  gsize start = json->len;

  append_text (json, "service.name", service);
  append_number (json, "process.pid", getpid ());
  append_text (json, "host.name", g_get_host_name ());
  drop_comma (json, start);
  g_string_append (json, "]},\"scopeSpans\":[{\"scope\":{\"name\":\"strand\",\"version\":\"" STRAND_VERSION
                         "\"},\"spans\":[");
  g_string_append (json, spans);
  g_string_append (json, "]}]}]}\n");
  return json;
}
