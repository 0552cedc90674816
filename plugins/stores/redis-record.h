/* redis-record.h — a record as the fields of a redis hash.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "redis-connection.h"

/* To be called once before the others. */
void redis_record_init (void);

/* Adds name and value of each field that is not at its default. */
void redis_record_append (RedisCommand *command, StrandRecord *record);

/* From the answer to HGETALL. STRAND_ERROR_NOT_FOUND if that is empty. */
StrandRecord *redis_record_read (const char *key, redisReply *fields, GError **error);

const char *redis_record_get_kind (StrandRecord *record);
