/* gearman-wanted.c — whether anybody waits for a job.
 *
 * A client that is gone, or has dropped its connection because its call was cancelled, tells the worker nothing. The server
 * knows how many clients a job has; libgearman asks, but keeps the answer for itself, so this asks in Gearman's protocol.
 * A packet is four bytes of magic, the type and the size, big-endian, and words with NULs between them.
 *                                                       SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gearman-wanted.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT_PORT 4730
#define ANSWER_SECONDS 1

#define GET_STATUS_UNIQUE 41
#define STATUS_RES_UNIQUE 42

/* The longest answer that makes sense: a unique name and five numbers. */
#define MAX_ANSWER 1024

typedef struct
{
  char magic[4];
  guint32 type;
  guint32 size;
} Head;

/* The words of the answer: unique, known, running, numerator, denominator, clients. */
static char **
ask (GIOStream *stream, const char *unique)
{
  GOutputStream *out = g_io_stream_get_output_stream (stream);
  GInputStream *in = g_io_stream_get_input_stream (stream);
  Head head = { { 0, 'R', 'E', 'Q' }, GUINT32_TO_BE (GET_STATUS_UNIQUE), GUINT32_TO_BE ((guint32) strlen (unique)) };
  char answer[MAX_ANSWER];
  gsize size;

  if (!g_output_stream_write_all (out, &head, sizeof head, NULL, NULL, NULL) ||
      !g_output_stream_write_all (out, unique, strlen (unique), NULL, NULL, NULL) ||
      !g_input_stream_read_all (in, &head, sizeof head, &size, NULL, NULL) || size < sizeof head ||
      head.type != GUINT32_TO_BE (STATUS_RES_UNIQUE) || GUINT32_FROM_BE (head.size) > sizeof answer ||
      !g_input_stream_read_all (in, answer, GUINT32_FROM_BE (head.size), &size, NULL, NULL))
    return NULL;
  for (gsize i = 0; i < size; i++)
    answer[i] = answer[i] == '\0' ? '\n' : answer[i];
  answer[MIN (size, sizeof answer - 1)] = '\0';
  return g_strsplit (answer, "\n", 0);
}

gboolean
gearman_job_is_wanted (const char *servers, const char *unique)
{
  g_auto(GStrv) list = g_strsplit (servers, ",", 0);
  g_autoptr(GSocketClient) client = g_socket_client_new ();
  gboolean known = FALSE;

  g_socket_client_set_timeout (client, ANSWER_SECONDS);
  g_socket_client_set_enable_proxy (client, FALSE);
  for (guint i = 0; list[i] != NULL; i++)
    {
      g_autoptr(GSocketConnection) connection =
          g_socket_client_connect_to_host (client, list[i], DEFAULT_PORT, NULL, NULL);
      g_auto(GStrv) words = connection != NULL ? ask (G_IO_STREAM (connection), unique) : NULL;

      if (words == NULL || g_strv_length (words) != 6)
        continue;
      if (atoi (words[5]) > 0)
        return TRUE;
      known |= atoi (words[1]) != 0;
    }
  return !known;
}
