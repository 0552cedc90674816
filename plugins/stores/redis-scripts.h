/* redis-scripts.h — what a store has the server do in one step.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "redis-connection.h"

typedef enum
{
  REDIS_SCRIPT_PUT,
  REDIS_SCRIPT_REMOVE,
  REDIS_SCRIPT_LIST,
  REDIS_SCRIPT_COUNT,
  REDIS_SCRIPT_CLEANUP,
  REDIS_SCRIPT_CLAIM,
  REDIS_SCRIPT_RENEW,
  REDIS_SCRIPT_APPEND_ITEMS,
  REDIS_SCRIPT_READ_ITEMS,
  REDIS_SCRIPT_REMOVE_ITEMS,
} RedisScript;

#define REDIS_N_SCRIPTS (REDIS_SCRIPT_REMOVE_ITEMS + 1)

/* To be called once before the others. */
void redis_scripts_init (void);

/* The call of a script; @n_keys arguments that are keys, and then the script's own, are to be added. */
RedisCommand *redis_script_call (RedisScript script, guint n_keys);

/* What makes the server know them all. */
GPtrArray *redis_scripts_load (void);
