/* strand-log.c — reads STRAND_DEBUG once, and hands messages of the topics it names to GLib.
 *
 * A program with its own log writer gets them like any other debug message, with STRAND_TOPIC. GLib's
 * own writer drops debug messages unless G_MESSAGES_DEBUG asks for them, and would write them to standard
 * output; who set STRAND_DEBUG has asked already, so then they go to standard error.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-log.h"

static const GDebugKey topics[] = {
  { "call", STRAND_TOPIC_CALL },
  { "runner", STRAND_TOPIC_RUNNER },
  { "backend", STRAND_TOPIC_BACKEND },
  { "store", STRAND_TOPIC_STORE },
  { "middleware", STRAND_TOPIC_MIDDLEWARE },
  { "plugin", STRAND_TOPIC_PLUGIN },
  { "stack", STRAND_TOPIC_STACK },
};

static const char *
topic_name (StrandTopic topic)
{
  for (gsize i = 0; i < G_N_ELEMENTS (topics); i++)
    if (topics[i].value & topic)
      return topics[i].key;
  return "other";
}

/**
 * strand_log_enabled:
 * @topic: a topic, or several
 *
 * Whether the environment's `STRAND_DEBUG` names one of the topics: a list with commas, `all`, or `help`,
 * which prints them. It is read once. Any thread; cheap.
 *
 * Returns: whether messages of @topic are written
 * Since: 1.0
 */
gboolean
strand_log_enabled (StrandTopic topic)
{
  static gsize chosen; /* the topics, and one bit that says they have been read */
  const gsize read_bit = 1u << 31;

  if (g_once_init_enter (&chosen))
    g_once_init_leave (
        &chosen, g_parse_debug_string (g_getenv ("STRAND_DEBUG"), topics, G_N_ELEMENTS (topics)) | read_bit);

  return (chosen & ~read_bit & topic) != 0;
}

/**
 * strand_log: (skip)
 * @topic: one topic
 * @format: printf() format
 * @...: its arguments
 *
 * Writes a message of a topic whether or not it is enabled; use strand_debug(). Never pass a secret. Any
 * thread.
 *
 * Since: 1.0
 */
void
strand_log (StrandTopic topic, const char *format, ...)
{
  g_autofree char *message = NULL;
  va_list args;

  va_start (args, format);
  message = g_strdup_vprintf (format, args);
  va_end (args);

  g_log_structured (G_LOG_DOMAIN, G_LOG_LEVEL_DEBUG, "STRAND_TOPIC", topic_name (topic), "MESSAGE", "%s",
                    message);
  if (g_log_writer_default_would_drop (G_LOG_LEVEL_DEBUG, G_LOG_DOMAIN))
    g_printerr ("strand-%s: %s\n", topic_name (topic), message);
}
