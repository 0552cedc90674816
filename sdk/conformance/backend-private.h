/* backend-private.h — what the cases for backends share.
 *
 * Calls are made as a program makes them, through a task; what became of them is looked up in the backend's
 * store as well. A backend that leaves its calls to others is made together with somebody who runs them:
 * readers among its properties are stopped when it is closed.      SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "middleware-private.h"

G_BEGIN_DECLS

/* Makes a backend. One with other values of some properties, named as for g_object_new(), and all others as
 * they are. */
StrandBackend *backend_make (StrandConformance *self);
StrandBackend *backend_make_with (StrandConformance *self, const char *first_property, ...);
gboolean backend_has_property (StrandConformance *self, const char *name);

/* Closes a backend, which must have nothing left to do, and drops it. Closes one, whatever it has to do: what
 * it says, or NULL. */
void backend_end (StrandConformance *self, StrandBackend *backend);
GError *backend_close (StrandConformance *self, StrandBackend *backend, gint64 deadline_us);
void backend_drop (StrandConformance *self, StrandBackend *backend);
GPtrArray *backend_ref_readers (StrandBackend *backend);
void backend_stop_readers (StrandConformance *self, GPtrArray *readers);

StrandTask *backend_task (StrandConformance *self, StrandBackend *backend, const char *name);
StrandHandle *backend_call (StrandConformance *self, StrandBackend *backend, const char *name,
                            GVariant *arguments, StrandOptions *options);

/* The record of a call, which must be there; waits until there is one with that status. */
StrandRecord *backend_record (StrandBackend *backend, const char *key);
StrandRecord *backend_await_record (StrandConformance *self, StrandBackend *backend, const char *key,
                                    StrandStatus status);
gboolean backend_has_record (StrandBackend *backend, const char *key);

/* Another handle, made from the key. */
StrandHandle *backend_find (StrandBackend *backend, StrandHandle *handle);

/* Has an onlooker do something with a call: `look`, `wait` or `cancel`; its answer. Ends one. */
char *backend_ask (StrandConformancePeer *peer, const char *what, StrandHandle *handle);
void backend_end_peer (StrandConformancePeer *peer);

/* A store in this process whose writes fail while that is wanted. */
#define BACKEND_TYPE_TROUBLED_STORE (backend_troubled_store_get_type ())
G_DECLARE_FINAL_TYPE (BackendTroubledStore, backend_troubled_store, BACKEND, TROUBLED_STORE, GObject)
void backend_troubled_store_set_trouble (BackendTroubledStore *self, gboolean trouble);

/* The groups, in the order of the page; and the role. */
extern const StrandConformanceCase backend_launch_cases[];
extern const StrandConformanceCase backend_record_cases[];
extern const StrandConformanceCase backend_results_cases[];
extern const StrandConformanceCase backend_ends_cases[];
extern const StrandConformanceCase backend_shows_cases[];
extern const StrandConformanceCase backend_cancel_cases[];
extern const StrandConformanceCase backend_retries_cases[];
extern const StrandConformanceCase backend_time_cases[];
extern const StrandConformanceCase backend_middleware_cases[];
extern const StrandConformanceCase backend_store_cases[];
extern const StrandConformanceCase backend_close_cases[];

void backend_play_onlooker (StrandConformance *self);

G_END_DECLS
