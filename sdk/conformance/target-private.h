/* target-private.h — what can be asked of whatever takes calls: a taskrunner, or a backend, alone or behind a
 * middleware.                                      SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "conformance-private.h"

G_BEGIN_DECLS

/* A task for a function of the module. */
StrandTask *target_task (StrandConformance *self, gpointer target, const char *name);

/* Calls a function of the module and waits. @arguments: floating, or NULL. */
StrandHandle *target_call (StrandConformance *self, gpointer target, const char *name, GVariant *arguments,
                           StrandOptions *options);

/* Values of every type go there and come back; and a string of 8 MiB. */
void target_check_every_type (StrandConformance *self, gpointer target);
void target_check_large_value (StrandConformance *self, gpointer target);

/* Errors that a function may fail with; ends with one without a domain. Calls a function that does, once; it
 * must fail so. */
typedef struct
{
  const char *domain;
  int code;
  const char *message;
} TargetError;

extern const TargetError target_errors[];
StrandHandle *target_fail (StrandConformance *self, gpointer target, const TargetError *error);

/* Threads that call and call, from when this returns until they are stopped. Each call must complete, be
 * cancelled, or fail with CLOSED. */
typedef struct _TargetPosters TargetPosters;

TargetPosters *target_start_posting (StrandConformance *self, gpointer target);
void target_stop_posting (TargetPosters *posters);

/* A GWeakNotify. @gone: an int, atomic. */
void target_note_gone (gpointer gone, GObject *where);

G_END_DECLS
