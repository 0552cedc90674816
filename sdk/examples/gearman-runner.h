/* gearman-runner.h — a taskrunner whose calls run in Gearman's workers.  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <strand-plugin.h>

#define GEARMAN_TYPE_RUNNER (gearman_runner_get_type ())
G_DECLARE_FINAL_TYPE (GearmanRunner, gearman_runner, GEARMAN, RUNNER, GObject)

/* @servers: HOST:PORT, with commas between several. */
GearmanRunner *gearman_runner_new (const char *servers, guint connections);
