/* strand-stack.h — the objects that a keyfile describes, wired together.
 *
 * A stack reads and checks its keyfile at once and makes each object when it is first asked for. It is what
 * tasks find their targets in.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-plugins.h"
#include "strand-problem.h"
#include <gio/gio.h>

G_BEGIN_DECLS

#define STRAND_TYPE_STACK (strand_stack_get_type ())
STRAND_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (StrandStack, strand_stack, STRAND, STACK, GObject)

STRAND_AVAILABLE_IN_ALL
StrandStack *strand_stack_new (void) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
StrandStack *strand_stack_new_from_file (const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
StrandStack *strand_stack_new_from_data (const char *data, gssize length, const char *name,
                                         GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The process's own stack: the one set, else a built-in one. */
STRAND_AVAILABLE_IN_ALL
StrandStack *strand_stack_get_default (void);

STRAND_AVAILABLE_IN_ALL
void strand_stack_set_default (StrandStack *stack);

/* The same object each time, until a reload changes its group. */
STRAND_AVAILABLE_IN_ALL
GObject *strand_stack_ref_object (StrandStack *self, StrandKind kind, const char *name,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* A StrandTaskrunner or a StrandBackend; @name NULL is the default backend. */
STRAND_AVAILABLE_IN_ALL
GObject *strand_stack_ref_target (StrandStack *self, const char *name,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
char *strand_stack_dup_default_backend (StrandStack *self) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
gboolean strand_stack_watch (StrandStack *self, GError **error);

STRAND_AVAILABLE_IN_ALL
void strand_stack_unwatch (StrandStack *self);

STRAND_AVAILABLE_IN_ALL
GStrv strand_stack_list_readers (StrandStack *self) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
GStrv strand_stack_list_schedules (StrandStack *self) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
GStrv strand_stack_list_targets (StrandStack *self) G_GNUC_WARN_UNUSED_RESULT;

/* Grows with each reload, and is another for another stack: who keeps a target looks again when it differs.
 */
STRAND_AVAILABLE_IN_ALL
guint64 strand_stack_get_generation (StrandStack *self);

STRAND_AVAILABLE_IN_ALL
gboolean strand_stack_reload (StrandStack *self, GError **error);

STRAND_AVAILABLE_IN_ALL
gboolean strand_stack_reload_from_data (StrandStack *self, const char *data, gssize length, const char *name,
                                        GError **error);

/* All that is wrong with a keyfile: an array of StrandProblem, empty if nothing is. */
STRAND_AVAILABLE_IN_ALL
GPtrArray *strand_stack_check_file (const char *path, StrandPlugins *plugins) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
GPtrArray *strand_stack_check_data (const char *data, gssize length, const char *name,
                                    StrandPlugins *plugins) G_GNUC_WARN_UNUSED_RESULT;

/* What was left out, being optional: an array of StrandProblem. */
STRAND_AVAILABLE_IN_ALL
GPtrArray *strand_stack_list_warnings (StrandStack *self) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
char *strand_stack_describe (StrandStack *self) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
GVariant *strand_stack_to_variant (StrandStack *self) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
gboolean strand_stack_close (StrandStack *self, gint64 deadline_us, GError **error);

STRAND_AVAILABLE_IN_ALL
void strand_stack_close_async (StrandStack *self, gint64 deadline_us, GCancellable *cancellable,
                               GAsyncReadyCallback callback, gpointer user_data);

STRAND_AVAILABLE_IN_ALL
gboolean strand_stack_close_finish (StrandStack *self, GAsyncResult *result, GError **error);

G_END_DECLS
