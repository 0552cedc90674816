/* process-keeper.h — what a keeper's three files share: its thread (process-keeper.c), its helpers (process-start.c) and
 * its calls (process-flight.c).                        SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "process-pool.h"

G_BEGIN_DECLS

/* What poll() said. */
enum
{
  NEWS_WAKE = 1 << 0,
  NEWS_DATA = 1 << 1,
  NEWS_DEATH = 1 << 2,
};

typedef enum
{
  ENDED,     /* the call has been finished */
  NOT_BEGUN, /* the helper died before it began the call */
  CRASHED,
} Outcome;

/* A call on its way through a helper. */
typedef struct
{
  StrandCall *call;
  guint n_items;    /* that came since room was last given */
  int refused_at;   /* n_resumed at which the consumer has room again */
  gboolean held;    /* no room until then */
  gboolean ended;
  gboolean broken;  /* the helper says things that make no sense */
  const char *why;  /* it was killed */
} Flight;

/* Sleeps until something happens, @timeout_ms at most; -1 for as long as that takes. */
guint keeper_wait (Keeper *self, Helper *helper, int timeout_ms);
gboolean keeper_is_stopping (Keeper *self);

/* Tries once. */
gboolean keeper_start_helper (Keeper *self, GError **error);

/* Notes a start that failed: how many in a row, and when the next may be tried. */
guint keeper_note_failure (Keeper *self);

/* Has a helper that is ready, or says why there can be none. */
gboolean keeper_ensure_helper (Keeper *self, GError **error);

/* Ends the helper: at once, or once its atexit handlers have run. */
void keeper_drop_helper (Keeper *self, gboolean at_once);

/* From sent to ended or dead. @news: what is known already. */
Outcome flight_follow (Keeper *self, Flight *flight, guint news);

/* The helper has died with the call. */
void flight_fail (Keeper *self, Flight *flight);

G_END_DECLS
