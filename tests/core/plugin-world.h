/* plugin-world.h — a folder of a test's own, with copies of the fixture plugins in it.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

typedef struct
{
  char *folder;
  guint number; /* in the class names of what was installed last */
} World;

void world_set_up (World *world, gconstpointer unused);
void world_tear_down (World *world, gconstpointer unused);

/* Copies a fixture ("plugins/good") to @name in the folder, under class names that are new to the process.
 * The path is the caller's. */
char *world_install (World *world, const char *fixture, const char *name);

/* The same under the class names of @number, for clashes. */
char *world_install_as (World *world, const char *fixture, const char *name, guint number);

char *world_write (World *world, const char *name, const void *data, gsize size);
GBytes *world_read_fixture (const char *fixture);

/* That @error has the code and its message all of the texts; clears it. */
void assert_refused (GError **error, int code, ...) G_GNUC_NULL_TERMINATED;
