/* call-options.c — what may be said of one call on the command line, whoever runs it.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "command.h"

static struct
{
  GPtrArray *keywords;
  gint64 timeout_us;
  gint64 ttl_us;
  gint64 retries;
  char *key;
} given = { .timeout_us = STRAND_UNSET, .ttl_us = STRAND_UNSET, .retries = -1 };

const Option call_options[] = {
  { 'k', "keyword", OPTION_LIST, &given.keywords, "NAME=VALUE", "An argument by name; may be repeated" },
  { 0, "timeout", OPTION_DURATION, &given.timeout_us, "DURATION",
    "Stop the call if it runs longer, such as 30s" },
  { 0, "ttl", OPTION_DURATION, &given.ttl_us, "DURATION", "Keep the result that long after its end" },
  { 0, "retries", OPTION_NUMBER, &given.retries, "N", "Try a failed call that often again" },
  { 0, "key", OPTION_TEXT, &given.key, "KEY", "The call's key; one is made otherwise" },
  { 0 },
};

StrandOptions *
call_options_make (void)
{
  StrandOptions *options = strand_options_new ();

  if (given.timeout_us != STRAND_UNSET)
    strand_options_set_timeout (options, given.timeout_us);
  if (given.ttl_us != STRAND_UNSET)
    strand_options_set_ttl (options, given.ttl_us);
  if (given.retries >= 0)
    strand_options_set_retries (options, (int) MIN (given.retries, G_MAXINT));
  if (given.key != NULL)
    strand_options_set_key (options, given.key);
  return options;
}

GVariant *
call_options_parse (Session *session, char **arguments, StrandFunction **function, GError **error)
{
  if (given.keywords != NULL)
    g_ptr_array_add (given.keywords, NULL);
  if (given.key != NULL && !strand_key_check (given.key, error))
    return NULL;
  *function = session_lookup (session, arguments[0], error);
  if (*function == NULL)
    return NULL;
  return arguments_parse (*function, (const char *const *) arguments + 1,
                          given.keywords != NULL ? (const char *const *) given.keywords->pdata : NULL, error);
}
