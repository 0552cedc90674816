/* middleware-private.h — what the cases for middleware share.
 *
 * The object under test stands in a chain between probes, in a backend of its own: one probe outside, one
 * inside, and one, the lens, that passes on to the object everything it is asked, and notes what comes of it.
 * Calls are made as a program makes them.
 *
 * No two calls of a case have equal arguments unless that is what the case is about, because a middleware may
 * answer the second with the value of the first.  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "taskrunner-private.h"

G_BEGIN_DECLS

#define MIDDLEWARE_TYPE_PROBE (middleware_probe_get_type ())
G_DECLARE_FINAL_TYPE (MiddlewareProbe, middleware_probe, MIDDLEWARE, PROBE, GObject)

typedef void (*MiddlewareProbeFunc) (MiddlewareProbe *self, StrandCall *call, gpointer data);

struct _MiddlewareProbe
{
  GObject parent_instance;

  StrandMiddleware *subject; /* a lens: what it stands for; held */

  /* What it answers, unless it is a lens; set before there are calls. */
  StrandVerdict at_submit;
  StrandVerdict at_before;
  GVariant *answer;          /* held */
  gboolean complains;        /* `after` fails */
  MiddlewareProbeFunc watch; /* inside submit and before */
  gpointer data;

  int n_alive; /* atomic: calls and attempts seen that nobody has let go of */

  GMutex lock; /* guards everything below */
  guint n_submit;
  guint n_before;
  guint n_after;
  guint n_on_error;
  guint n_will_retry;
  guint n_held; /* of submit and before together, as the next */
  guint n_refused;
  guint n_answered;
  guint n_idle;      /* submits during which the thread had to wait */
  GVariant *headers; /* as the last submit found them */
  GVariant *value;   /* of the last after */
  GError *error;     /* of the last on_error */
  GPtrArray *held;   /* calls that it answered LATER itself */
};

MiddlewareProbe *probe_new (StrandMiddleware *subject);
guint probe_read (MiddlewareProbe *self, const guint *number);
void probe_resume_all (MiddlewareProbe *self);

/* A backend with the object under test between probes, and everything that belongs to it. */
typedef struct
{
  StrandConformance *self;
  StrandMiddleware *subject;
  MiddlewareProbe *outer;
  MiddlewareProbe *lens; /* NULL where the object stands there itself */
  MiddlewareProbe *inner;
  StrandStore *store;
  StrandTaskrunner *runner;
  StrandBackend *backend;
  guint n_calls; /* so that arguments differ */
} World;

World *world_new (StrandConformance *self);
/* Without the lens, where the object's own name counts. */
World *world_new_bare (StrandConformance *self);
/* Around an object that others may use, too. Takes over @subject. */
World *world_new_around (StrandConformance *self, StrandMiddleware *subject, gboolean bare);

/* Closes the backend, which must have nothing left to do, and lets go of everything but the object under
 * test, which is given back: (transfer full). */
StrandMiddleware *world_close_and_keep (World *world);
/* The same, then closes the object and lets go of it. */
void world_close (World *world);
void middleware_close (StrandMiddleware *subject);

/* What the backend in a world is made of. */
GObject *middleware_make_plugin (StrandKind kind, const char *name, const char *first_property, ...);

/* A task for a function of the module; for one of this process. */
StrandTask *world_task (World *world, const char *name);
StrandTask *world_task_for (World *world, const char *signature, StrandFunc func, gpointer data);

/* Makes a call and waits for its end. Arguments of `conformance.echo` that no call has had. */
StrandHandle *world_call (World *world, const char *name, GVariant *arguments, StrandOptions *options);
StrandHandle *world_call_task (World *world, StrandTask *task, GVariant *arguments, StrandOptions *options);
GVariant *world_text (World *world);
/* A call that must go well. */
void world_pass (World *world);

/* Starts equal calls that wait for the file `gate` of the folder until a number of the lens is @n, or it has
 * been tried long enough; until @n are held back; until one is refused. Their handles, the latest last. */
GPtrArray *world_provoke (World *world, const guint *number, guint n);
GPtrArray *world_hold (World *world, guint n);
GPtrArray *world_refuse (World *world);
void world_open_gate (World *world);
void world_await_all (World *world, GPtrArray *handles);

/* The groups, in the order of the page. */
extern const StrandConformanceCase middleware_pass_cases[];
extern const StrandConformanceCase middleware_submit_cases[];
extern const StrandConformanceCase middleware_ends_cases[];
extern const StrandConformanceCase middleware_retries_cases[];
extern const StrandConformanceCase middleware_later_cases[];
extern const StrandConformanceCase middleware_refuse_cases[];
extern const StrandConformanceCase middleware_answer_cases[];
extern const StrandConformanceCase middleware_thread_cases[];
extern const StrandConformanceCase middleware_reader_cases[];
extern const StrandConformanceCase middleware_close_cases[];

G_END_DECLS
