/* process-keeper.h — what a keeper's files share: its thread (process-keeper.c), its helpers
 * (process-start.c), the calls that a helper was sent (process-sent.c), and what the helper says of one
 * (process-flight.c). SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "process-pool.h"

G_BEGIN_DECLS

/* Arguments so short that all calls sent to a helper fit into the socket's buffer. */
#define SHORT_BYTES (16 * 1024)

/* What poll() said. */
enum
{
  NEWS_WAKE = 1 << 0,
  NEWS_DATA = 1 << 1,
  NEWS_DEATH = 1 << 2,
};

/* The call that the helper runs. */
typedef struct
{
  StrandCall *call;
  guint64 number;
  guint n_items;  /* that came since room was last given */
  int refused_at; /* n_resumed at which the consumer has room again */
  gboolean held;  /* no room until then */
  gboolean ended;
  gboolean broken; /* the helper says things that make no sense */
  const char *why; /* it was killed */
} Flight;

/* Sleeps until something happens, @timeout_ms at most; -1 for as long as that takes. */
guint keeper_wait (Keeper *self, Helper *helper, int timeout_ms);
gboolean keeper_is_stopping (Keeper *self);

/* Notes a helper that died before it had done anything, and when the next may be started. TRUE if that has
 * been so too often in a row. */
gboolean keeper_note_failure (Keeper *self);

/* Tries to start a helper, when it may. FALSE with an error if there is no use in trying again. */
gboolean keeper_try_helper (Keeper *self, GError **error);

/* Ends the helper: at once, or once its atexit handlers have run. */
void keeper_drop_helper (Keeper *self, gboolean at_once);

/* From sent to ended or dead: TRUE if it has ended. @news: what is known already. */
gboolean flight_follow (Keeper *self, Flight *flight, guint news);

/* Writes the call for the helper; from here on it can be stopped, and its reference is the keeper's. FALSE
 * with an error if it is too large. */
gboolean sent_add_locked (Keeper *self, StrandCall *call, guint32 index, GError **error);

/* Lets calls from the line wait in the pipe, if that is worth it. */
void sent_add_more_locked (Keeper *self);

/* How long the others may wait behind the first, in µs from now; -1 if none does. */
gint64 sent_get_patience_locked (Keeper *self);

/* All that wait in the pipe go to the front of the line again. */
void sent_put_back_locked (Keeper *self);

/* The first call has ended: the next one runs. FALSE if there is none. */
gboolean sent_advance (Keeper *self);

/* The helper has died: calls that it had begun fail, others go to the line. */
void sent_bury (Keeper *self, Flight *flight);

G_END_DECLS
