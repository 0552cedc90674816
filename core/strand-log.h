/* strand-log.h — what strand says while it works, by topic, silent unless asked.
 *
 * `STRAND_DEBUG=store,plugin` (or `all`, or `help`) chooses topics. Messages go to GLib's structured log
 * at debug level with STRAND_TOPIC, so `G_MESSAGES_DEBUG` is not needed beside it.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-version.h"

G_BEGIN_DECLS

/**
 * StrandTopic:
 * @STRAND_TOPIC_CALL: calls: made, begun, ended
 * @STRAND_TOPIC_RUNNER: taskrunners, their threads and helpers
 * @STRAND_TOPIC_BACKEND: backends, readers and schedules
 * @STRAND_TOPIC_STORE: stores, and who watches them
 * @STRAND_TOPIC_MIDDLEWARE: middleware
 * @STRAND_TOPIC_PLUGIN: what files were found, loaded and refused
 * @STRAND_TOPIC_STACK: keyfiles, and the objects made from them
 *
 * What `STRAND_DEBUG` can ask strand to tell of.
 *
 * Since: 1.0
 */
typedef enum
{
  STRAND_TOPIC_CALL = 1 << 0,
  STRAND_TOPIC_RUNNER = 1 << 1,
  STRAND_TOPIC_BACKEND = 1 << 2,
  STRAND_TOPIC_STORE = 1 << 3,
  STRAND_TOPIC_MIDDLEWARE = 1 << 4,
  STRAND_TOPIC_PLUGIN = 1 << 5,
  STRAND_TOPIC_STACK = 1 << 6,
} StrandTopic;

STRAND_AVAILABLE_IN_ALL
gboolean strand_log_enabled (StrandTopic topic);

STRAND_AVAILABLE_IN_ALL
void strand_log (StrandTopic topic, const char *format, ...) G_GNUC_PRINTF (2, 3);

/**
 * strand_debug:
 * @topic: a #StrandTopic
 * @...: a format and what it asks for, as for printf()
 *
 * As strand_log(), but the arguments are evaluated only if the topic is on.
 *
 * Since: 1.0
 */
#define strand_debug(topic, ...)                                                                             \
  G_STMT_START                                                                                               \
  {                                                                                                          \
    if (strand_log_enabled (topic))                                                                          \
      strand_log ((topic), __VA_ARGS__);                                                                     \
  }                                                                                                          \
  G_STMT_END

G_END_DECLS
