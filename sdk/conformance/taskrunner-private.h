/* taskrunner-private.h — what the cases for taskrunners share.
 *
 * Calls are made as a program makes them, through a task, and end in the thread-default context of the case,
 * which it iterates while it waits: a taskrunner may want that context for its calls. What a function is to
 * tell or to wait for are files, unless a case needs to be in the process of its calls.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "target-private.h"

G_BEGIN_DECLS

/* What the callbacks of a task were told. Under the lock, because they may come on any thread. */
typedef struct
{
  GMutex lock;
  guint n_items;
  guint n_ends;
  guint n_errors;
  guint n_depth;     /* callbacks on the stack, now */
  guint n_nested;    /* how often there was more than one */
  guint n_late;      /* items after the end */
  guint n_misplaced; /* items out of order */
  GThread *thread;   /* of the last callback */
  GVariant *value;   /* of the last end */
  GError *error;     /* the last */
} Told;

Told *told_new (void);
void told_free (Told *self);
void told_listen (Told *self, StrandTask *task);
guint told_count_over (Told *self);
guint told_count_items (Told *self);
gboolean told_on_iter (StrandCall *call, GVariant *item, gpointer self, GError **error);
void told_on_end (StrandCall *call, GVariant *value, gpointer self);
void told_on_error (StrandCall *call, const GError *error, gpointer self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Told, told_free)

/* Makes a taskrunner; closes one, which must have nothing left to do, and drops it. */
StrandTaskrunner *runner_make (StrandConformance *self);
/* One of the same settings that runs one call and lets one wait. */
StrandTaskrunner *runner_make_limited (StrandConformance *self);
void runner_close (StrandConformance *self, StrandTaskrunner *runner);

/* A task for a function of the module, or for one of this process. */
StrandTask *runner_task (StrandConformance *self, StrandTaskrunner *runner, const char *name);
StrandTask *runner_task_for (StrandTaskrunner *runner, const char *signature, StrandFunc func, gpointer data);

/* Waits until the call has ended, or its function has written the file: at least a byte, for some count them.
 */
void runner_await (StrandConformance *self, StrandHandle *handle);
void runner_await_file (StrandConformance *self, const char *name);

/* For threads that make calls on and on, with a thread-default context of their own: runs it until the call
 * has ended, for calls may run in it. Has no deadline: the case has one, which ends its process. */
void runner_run_until_ended (StrandHandle *handle);

/* A call with paths in the case's folder as its arguments. */
StrandHandle *runner_call_paths (StrandConformance *self, StrandTask *task, const char *first,
                                 const char *second, StrandOptions *options);

/* How long a file is; 0 where there is none. */
gsize runner_file_size (StrandConformance *self, const char *name);

/* How many calls a case makes where one is as good as another: fewer where each is a message to another
 * process. */
guint runner_count (StrandConformance *self, guint in_process, guint in_other_process);

/* What the process has now. */
gsize runner_resident_bytes (void);
guint runner_count_files (void);
guint runner_count_threads (void);

/* How much a million of something may add, and how many fewer there are. Sanitizers keep what is freed, and
 * are slow. */
#ifdef __SANITIZE_ADDRESS__
#define RUNNER_FLAT_BYTES (1024 * 1024 * 1024)
#define RUNNER_SLOWNESS 20
#else
#define RUNNER_SLOWNESS 1
#define RUNNER_FLAT_BYTES (48 * 1024 * 1024)
#endif

void runner_assert_completed (StrandHandle *handle);
void runner_assert_failed (StrandHandle *handle, StrandStatus status, GQuark domain, int code);

/* The groups, in the order of the page. */
extern const StrandConformanceCase taskrunner_results_cases[];
extern const StrandConformanceCase taskrunner_ends_cases[];
extern const StrandConformanceCase taskrunner_context_cases[];
extern const StrandConformanceCase taskrunner_items_cases[];
extern const StrandConformanceCase taskrunner_function_cases[];
extern const StrandConformanceCase taskrunner_cancel_cases[];
extern const StrandConformanceCase taskrunner_timeout_cases[];
extern const StrandConformanceCase taskrunner_close_cases[];
extern const StrandConformanceCase taskrunner_traits_cases[];
extern const StrandConformanceCase taskrunner_waits_cases[];
extern const StrandConformanceCase taskrunner_load_cases[];

G_END_DECLS
