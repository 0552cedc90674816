/* strand-retry.c — whether another attempt follows a failed one, and when.
 *
 * Nothing is kept: the header is read when an attempt has failed, which is rare, so that calls that succeed
 * pay nothing for it. A word that cannot be understood is passed over: it comes from a newer strand, perhaps
 * on another host, and the call must not be lost over it.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-retry.h"
#include "strand-call-private.h"
#include "strand-clock.h"
#include "strand-error.h"

#include <string.h>

/* What the header says: NULL where it does not. */
static char *
dup_word (StrandCall *attempt, const char *name)
{
  g_autoptr(GVariant) headers = strand_call_dup_headers (attempt);
  g_auto(GStrv) words = NULL;
  const char *header;
  gsize length = strlen (name);

  if (!g_variant_lookup (headers, STRAND_HEADER_RETRY, "&s", &header))
    return NULL;
  words = g_strsplit (header, " ", -1);
  for (guint i = 0; words[i] != NULL; i++)
    if (strncmp (words[i], name, length) == 0 && words[i][length] == '=')
      return g_strdup (words[i] + length + 1);
  return NULL;
}

static gint64
duration_of (StrandCall *attempt, const char *name, gint64 otherwise_us)
{
  g_autofree char *word = dup_word (attempt, name);
  gint64 duration_us;

  if (word == NULL || !g_ascii_string_to_signed (word, 10, 0, G_MAXINT64, &duration_us, NULL))
    return otherwise_us;
  return duration_us;
}

static char *
dup_nick (const GError *error)
{
  GType type = error->domain == STRAND_ERROR          ? STRAND_TYPE_ERROR
               : error->domain == STRAND_PLUGIN_ERROR ? STRAND_TYPE_PLUGIN_ERROR
               : error->domain == G_IO_ERROR          ? G_TYPE_IO_ERROR_ENUM
                                                      : G_TYPE_INVALID;
  g_autoptr(GEnumClass) klass = type != G_TYPE_INVALID ? g_type_class_ref (type) : NULL;
  GEnumValue *value = klass != NULL ? g_enum_get_value (klass, error->code) : NULL;

  return value != NULL ? g_strdup (value->value_nick) : g_strdup_printf ("%d", error->code);
}

static gboolean
is_listed (const char *list, const GError *error)
{
  const char *domain = g_quark_to_string (error->domain);
  g_autofree char *nick = dup_nick (error);
  g_autofree char *by_nick = g_strdup_printf ("%s:%s", domain, nick);
  g_autofree char *by_number = g_strdup_printf ("%s:%d", domain, error->code);
  g_auto(GStrv) items = g_strsplit (list, "|", -1);

  for (guint i = 0; items[i] != NULL; i++)
    if (g_pattern_match_simple (items[i], domain) || g_pattern_match_simple (items[i], by_nick) ||
        g_pattern_match_simple (items[i], by_number))
      return TRUE;
  return FALSE;
}

/**
 * strand_retry_allowed:
 * @attempt: an attempt that has failed
 * @error: why
 *
 * Whether the function and the call's #STRAND_HEADER_RETRY let another attempt follow this failure; how many
 * may follow is not looked at. For backends and readers; any thread; does not block.
 *
 * Returns: %TRUE if they do; so it is for a call without the header, whose function has not called
 *   strand_context_never_retry()
 * Since: 1.0
 */
gboolean
strand_retry_allowed (StrandCall *attempt, const GError *error)
{
  g_autofree char *only_for = NULL;
  g_autofree char *never_for = NULL;
  gint64 wish_us;

  g_return_val_if_fail (attempt != NULL && error != NULL, FALSE);

  if (strand_call_get_retry_wish (attempt, &wish_us) && wish_us < 0)
    return FALSE;
  only_for = dup_word (attempt, "only-for");
  never_for = dup_word (attempt, "never-for");
  return (only_for == NULL || is_listed (only_for, error)) &&
         (never_for == NULL || !is_listed (never_for, error));
}

/**
 * strand_retry_delay:
 * @attempt: an attempt that has failed
 * @delay_us: the longest wait before the first retry, where the header does not say
 * @max_delay_us: the longest wait before any retry, where the header does not say
 *
 * How long to wait before the next attempt: what the function asked for with strand_context_retry_after(), or
 * else exponential with full jitter ("Exponential Backoff and Jitter", AWS Architecture Blog, 2015), so that
 * calls which failed together do not come back together. Not before the time of
 * strand_call_set_retry_after(). For backends and readers; any thread; does not block.
 *
 * Returns: microseconds from now
 * Since: 1.0
 */
gint64
strand_retry_delay (StrandCall *attempt, gint64 delay_us, gint64 max_delay_us)
{
  guint doublings;
  gint64 asked_us, wish_us;
  double longest;

  g_return_val_if_fail (attempt != NULL && delay_us >= 0 && max_delay_us >= 0, 0);

  asked_us = strand_call_get_retry_after (attempt) - strand_clock_now_us ();
  if (strand_call_get_retry_wish (attempt, &wish_us) && wish_us >= 0)
    return MAX (wish_us, asked_us);
  doublings = CLAMP (strand_call_get_attempt (attempt), 1, 31) - 1;
  longest = MIN ((double) duration_of (attempt, "delay", delay_us) * (double) (1u << doublings),
                 (double) duration_of (attempt, "max-delay", max_delay_us));
  return MAX ((gint64) g_random_double_range (0, longest + 1), asked_us);
}
