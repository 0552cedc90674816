/* trace-context.c — which trace something belongs to, as W3C Trace Context writes it.
 *
 * Strict where the recommendation is (https://www.w3.org/TR/trace-context/, sections 3.2 and 3.3): lower case
 * only, no version ff, no id of zeros, version 00 has exactly four parts, a later one may have more. Whoever
 * sends anything else is treated as if it had sent nothing. SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "trace-context.h"

#include <string.h>

/* VERSION-TRACE_ID-SPAN_ID-FLAGS: 2 + 32 + 16 + 2 digits and three dashes. */
#define LENGTH 55
#define AT_TRACE 3
#define AT_SPAN 36
#define AT_FLAGS 53

#define FLAG_SAMPLED 0x01

/* What a sender must be ready to pass on; more may be dropped. */
#define MAX_STATE 512
#define MAX_STATE_MEMBERS 32

static gboolean
are_digits (const char *text, gsize n)
{
  return strspn (text, "0123456789abcdef") >= n;
}

static gboolean
are_zeros (const char *text, gsize n)
{
  for (gsize i = 0; i < n; i++)
    if (text[i] != '0')
      return FALSE;
  return TRUE;
}

gboolean
trace_context_parse (const char *text, TraceContext *context)
{
  gsize length = strlen (text);
  gboolean first_version = g_str_has_prefix (text, "00");

  if (length < LENGTH || text[2] != '-' || text[AT_SPAN - 1] != '-' || text[AT_FLAGS - 1] != '-' ||
      !are_digits (text, 2) || !are_digits (text + AT_TRACE, TRACE_ID_DIGITS) ||
      !are_digits (text + AT_SPAN, TRACE_SPAN_DIGITS) || !are_digits (text + AT_FLAGS, 2))
    return FALSE;
  if (g_str_has_prefix (text, "ff") || are_zeros (text + AT_TRACE, TRACE_ID_DIGITS) ||
      are_zeros (text + AT_SPAN, TRACE_SPAN_DIGITS))
    return FALSE;
  if (length > LENGTH && (first_version || text[LENGTH] != '-'))
    return FALSE;

  g_strlcpy (context->trace_id, text + AT_TRACE, sizeof context->trace_id);
  g_strlcpy (context->span_id, text + AT_SPAN, sizeof context->span_id);
  context->sampled = (g_ascii_xdigit_value (text[AT_FLAGS + 1]) & FLAG_SAMPLED) != 0;
  return TRUE;
}

char *
trace_context_to_string (const TraceContext *self)
{
  return g_strdup_printf ("00-%s-%s-%02x", self->trace_id, self->span_id, self->sampled ? FLAG_SAMPLED : 0);
}

/* `key=value` with commas between; what is in them is the vendors' affair, as long as it is printable. */
gboolean
trace_state_is_usable (const char *text)
{
  g_auto(GStrv) members = NULL;
  guint n = 0;

  if (strlen (text) > MAX_STATE)
    return FALSE;
  members = g_strsplit (text, ",", -1);
  for (guint i = 0; members[i] != NULL; i++)
    {
      const char *member = g_strstrip (members[i]);
      const char *sign = strchr (member, '=');

      if (*member == '\0')
        continue;
      n++;
      if (sign == NULL || sign == member || !(g_ascii_islower (*member) || g_ascii_isdigit (*member)) ||
          strspn (member, "abcdefghijklmnopqrstuvwxyz0123456789_-*/@") != (gsize) (sign - member))
        return FALSE;
      for (const char *c = sign + 1; *c != '\0'; c++)
        if (*c < 0x20 || *c > 0x7e || *c == '=')
          return FALSE;
    }
  return n > 0 && n <= MAX_STATE_MEMBERS;
}

/* Random, and not all zeros. */
static void
make_id (char *id, guint n_digits)
{
  do
    for (guint i = 0; i < n_digits; i += 8)
      {
        guint32 random = g_random_int ();

        for (guint j = 0; j < 8; j++, random >>= 4)
          id[i + j] = "0123456789abcdef"[random & 15];
      }
  while (are_zeros (id, n_digits));
  id[n_digits] = '\0';
}

void
trace_new_trace_id (char id[TRACE_ID_DIGITS + 1])
{
  make_id (id, TRACE_ID_DIGITS);
}

void
trace_new_span_id (char id[TRACE_SPAN_DIGITS + 1])
{
  make_id (id, TRACE_SPAN_DIGITS);
}

/* By the last 56 bits, which W3C asks to be random: fewer than 2^56 times the ratio is in. */
gboolean
trace_id_is_sampled (const char *trace_id, double ratio)
{
  guint64 value = g_ascii_strtoull (trace_id + TRACE_ID_DIGITS - 14, NULL, 16);

  return value < (guint64) (ratio * (double) (G_GUINT64_CONSTANT (1) << 56));
}
