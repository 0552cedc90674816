/* process-spawn.h — starts a helper process.          SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>
#include <sys/types.h>

#include "strand-helper-wire-private.h"

G_BEGIN_DECLS

enum
{
  SPAWN_DATA,
  SPAWN_CONTROL,
  SPAWN_STDERR,
  SPAWN_SHARED,
  SPAWN_N_ENDS
};

/* Both ends of what joins parent and helper; -1 where there is none. */
typedef struct
{
  int ours[SPAWN_N_ENDS];
  int theirs[SPAWN_N_ENDS];
  StrandWireShared *shared;
} SpawnEnds;

void spawn_ends_clear (SpawnEnds *ends);

/* Starts a program with the helper's ends in their places. On success the caller has @ends, the process and
 * its pidfd, which is -1 where the kernel has no such thing. */
gboolean spawn_helper (SpawnEnds *ends, char **argv, const char *const *env, const char *working_directory,
                       gboolean with_stderr, pid_t *pid, int *pidfd, GError **error);

G_END_DECLS
