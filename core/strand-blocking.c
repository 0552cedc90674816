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

typedef struct
{
  GTask *task;
  void (*func) (GTask *task);
} TaskJob;

static void
run_task (gpointer data)
{
  g_autofree TaskJob *job = data;
  g_autoptr(GTask) task = job->task;

  if (!g_task_return_error_if_cancelled (task))
    job->func (task);
}

void
strand_blocking_run_task (GTask *task, void (*func) (GTask *task))
{
  TaskJob *job = g_new (TaskJob, 1);

  job->task = task;
  job->func = func;
  strand_blocking_run (run_task, job);
}
