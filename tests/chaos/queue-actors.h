/* queue-actors.h — the programs that chaos-queue starts and kills: writers, workers and followers.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-plugin.h"

G_BEGIN_DECLS

/* How many calls a worker runs at once, and how many more it may have claimed ahead. */
#define WORKER_JOBS 4
#define WORKER_AHEAD 256

/* How long everybody waits for a server that does not answer: less than a lease. */
#define PATIENCE_US ((gint64) G_USEC_PER_SEC / 2)

/* What an actor is told on its command line. */
typedef struct
{
  const char *role; /* "writer", "worker" or "follower" */
  const char *type; /* of the store */
  const char *place;
  const char *runner;
  const char *log;
  int number; /* its own: no two actors of a run have the same */
  int seed;
  int lease_ms;
  gboolean unfenced;
} Part;

/* Plays until SIGTERM. The program's exit status: 0; 3 if the store could not be used at the beginning. */
int actors_play (const Part *part);

#define ACTOR_WITHOUT_STORE 3

/* The functions that are called, in the program and in its helpers. */
gboolean actors_register (StrandRegistry *registry, GError **error);

/* The log is one file that all append to, a line at a time: TIME ACTOR EVENT…, TIME in µs since 1970. What a
 * process has said stays said when it is killed. Helpers take what the environment says. */
void actors_open_log (const char *path, int number);
void actors_say (const char *format, ...) G_GNUC_PRINTF (1, 2);

/* Names this process as strand_lease_owner_self() does, without what tells holders apart. */
char *actors_dup_process (const char *owner);

G_END_DECLS
