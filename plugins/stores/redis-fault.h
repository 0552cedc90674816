/* redis-fault.h — what a server means when it refuses a command.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <strand-plugin.h>

typedef enum
{
  REDIS_FAULT_FINAL,     /* the same again would be refused again */
  REDIS_FAULT_PASSING,   /* wait a little, then try again */
  REDIS_FAULT_NO_SCRIPT, /* load the scripts, then try again */
  REDIS_FAULT_MOVED,     /* ask the server that it names */
} RedisFault;

RedisFault redis_fault_classify (const char *answer);

/* @answer as an error that says what to do about it. */
void redis_fault_set_error (const char *answer, GError **error);

/* Whether a connection that failed with this may work a moment later. */
gboolean redis_fault_is_passing (const GError *error);
