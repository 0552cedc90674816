/* watch-rest.h — how long a watch goes on when nobody needs it.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

typedef struct
{
  GMutex lock;   /* guards everything below */
  gint64 end_us; /* monotonic; G_MAXINT64 while it does not rest */
  gboolean ended;
} WatchRest;

void watch_rest_init (WatchRest *self);
void watch_rest_clear (WatchRest *self);

/* For the store: nobody watches now; somebody does again. FALSE if the watch has ended meanwhile. */
void watch_rest_begin (WatchRest *self);
gboolean watch_rest_resume (WatchRest *self);

/* For the watch's thread: when to ask the next, which is whether nobody has come. Then nobody can come any
 * more. */
gint64 watch_rest_get_end (WatchRest *self);
gboolean watch_rest_is_over (WatchRest *self);
