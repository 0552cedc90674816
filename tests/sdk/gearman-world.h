/* gearman-world.h — a Gearman server and workers of our own, on a loopback port that nobody else has.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <strand-plugin.h>

typedef struct
{
  guint16 port;
  GSubprocess *server;
  GPtrArray *workers; /* of GSubprocess */
} GearmanWorld;

/* NULL where this machine has no gearmand. */
char *gearman_world_find_server (void);

GearmanWorld *gearman_world_new (void);
void gearman_world_free (GearmanWorld *self);

void gearman_world_start_server (GearmanWorld *self);
void gearman_world_start_worker (GearmanWorld *self);

/* At once, as a crash would. */
void gearman_world_kill (GSubprocess *process);

/* What the server has: jobs of a function, and those of them that run; a job that it will give to no worker.
 */
gboolean gearman_world_has (GearmanWorld *self, const char *function, guint n_jobs, guint n_running);
gboolean gearman_world_has_forgotten (GearmanWorld *self);
