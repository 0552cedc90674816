/* strand-blocking-private.h — threads for what blocks.      SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Runs @func in a thread of strand's own. GTask's ten threads are shared by the whole program and stall when
 * tasks in them wait for tasks. */
void strand_blocking_run (void (*func) (gpointer data), gpointer data);

/* Takes over @task; @func ends it with one of the g_task_return functions. */
void strand_blocking_run_task (GTask *task, void (*func) (GTask *task));

G_END_DECLS
