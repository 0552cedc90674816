/* strand-blocking.c — threads for what blocks: stores' and backends' methods behind the `_async` functions.
 *
 * At most a handful: what they do waits for disks and networks. They end when idle.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-blocking-private.h"

/* Disks and one server each serve about this many at once before they only queue. */
#define MAX_THREADS 8

typedef struct
{
  void (*func) (gpointer data);
  gpointer data;
} Job;

static void
run_job (gpointer data, gpointer unused)
{
  g_autofree Job *job = data;

  job->func (job->data);
}

void
strand_blocking_run (void (*func) (gpointer data), gpointer data)
{
  static gsize pool;
  Job *job = g_new (Job, 1);

  if (g_once_init_enter (&pool))
    g_once_init_leave (&pool, (gsize) g_thread_pool_new (run_job, NULL, MAX_THREADS, FALSE, NULL));
  job->func = func;
  job->data = data;
  g_thread_pool_push ((GThreadPool *) pool, job, NULL);
}

static void
run_task (gpointer data)
{
  g_autoptr(GTask) task = data;

  if (!g_task_return_error_if_cancelled (task))
    ((void (*) (GTask *)) g_task_get_source_tag (task)) (task);
}

/* The function doubles as the task's source tag, so that a finish function can tell its tasks. */
void
strand_blocking_run_task (GTask *task, void (*func) (GTask *task))
{
  g_task_set_source_tag (task, func);
  strand_blocking_run (run_task, task);
}
