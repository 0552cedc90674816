/* filesystem-queue.h — which call of a queue is next, without reading the queue each time.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "filesystem-index.h"

typedef struct _FilesystemQueues FilesystemQueues;

FilesystemQueues *filesystem_queues_new (FilesystemPlace *place);
void filesystem_queues_free (FilesystemQueues *self);

/* Takes note of all that has come into a queue until now. Any thread, as those below; @now_us is the time it
 * is. */
gboolean filesystem_queues_look (FilesystemQueues *self, const char *queue, gint64 now_us, GError **error);

/* The entry that is next at @now_us, which nobody else in this process is given then; NULL if none is due. It
 * may be out of date: its record decides. give_back() for an entry that is still to be claimed. */
char *filesystem_queues_take (FilesystemQueues *self, const char *queue, gint64 now_us);
void filesystem_queues_give_back (FilesystemQueues *self, const char *queue, const char *entry,
                                  gint64 now_us);

/* When the first of the entries that wait for their time will be due; 0 if there is none. */
gint64 filesystem_queues_next_due (FilesystemQueues *self, const char *queue, gint64 now_us);
