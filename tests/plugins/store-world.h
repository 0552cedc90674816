/* store-world.h — what tests of stores need of other processes and of the machine: a test program that
 * starts itself in a role, writers that are killed, small disks, and a bell that rings when a record changes.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "../core/waiting.h"
#include "store-basics.h"

G_BEGIN_DECLS

/* What a role says with its exit status where this machine cannot have what it needs; why, on its output. */
#define STORE_WORLD_SKIPPED 77

/* What another process does: @place is what the test names it by, an absolute path. */
typedef struct
{
  const char *name; /* "--put-once" */
  int (*play) (const char *place);
} StoreRole;

/* To be called first in main(): plays the role that the arguments name, or returns FALSE. The last element of
 * @roles has no name. */
gboolean store_world_play (int argc, char **argv, const StoreRole *roles, int *status);

/* Starts this program in a role. Its standard output can be read from *@out. */
GPid store_world_start (const char *role, const char *place, int *out);

/* Waits for its end; what waitpid() says. */
int store_world_reap (GPid pid);

/* Runs a role to its end, which must be good; skips the test if it says that this machine cannot have it. */
void store_world_run (const char *role, const char *place);

/* The part of a writer, for a role: counts up random keys for ever, and says each accepted write. */
int store_world_write (StrandStore *store);

/* The test of eight such writers, of role `--writer`, that are killed again and again: every accepted write
 * is found, none is accepted twice, no revision goes back, no record is torn. */
void store_world_kill_writers (StrandStore *store, const char *place);

/* A temporary directory of the test's own, to be removed with store_world_remove_above(). The path returned
 * is of something in it, called @name, that is not there yet. */
char *store_world_make_path (const char *name);
void store_world_remove_above (gpointer path);
void store_world_remove_tree (const char *path);

/* Mounts a tmpfs of so many bytes over a directory, in a mount namespace that this process then has for its
 * own. FALSE, with the reason on standard output, where it may not. */
gboolean store_world_mount_small_disk (const char *directory, const char *size);

/* Mounts a directory over itself so that nobody can write to it, likewise. */
gboolean store_world_mount_read_only (const char *directory);

/* Becomes somebody without rights, who owns the directory. FALSE, with the reason, where it may not. */
gboolean store_world_give_up_rights (const char *directory);

/* Watches one key. */
typedef struct
{
  GMutex lock;
  GCond told;
  guint n_told;
  guint n_heard; /* the test's own: how many of these it has seen */
  StrandStore *store;
  guint id;
} StoreBell;

void store_bell_hang (StoreBell *self, StrandStore *store, const char *key);
void store_bell_take_down (StoreBell *self);

/* Waits until the bell has rung since it was last awaited and the record is there, or is not. */
void store_bell_await (StoreBell *self, const char *key, gboolean there);

G_END_DECLS
