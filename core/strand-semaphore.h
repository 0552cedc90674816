/* strand-semaphore.h — taking turns between functions, whether threads or coroutines.
 *
 * A wait ends when the call is told to stop, and parks a coroutine instead of blocking its thread, as a
 * GMutex would: two coroutines of one thread that share a GMutex across a wait hang for ever.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-context.h"

G_BEGIN_DECLS

typedef struct _StrandSemaphore StrandSemaphore;
#define STRAND_TYPE_SEMAPHORE (strand_semaphore_get_type ())
STRAND_AVAILABLE_IN_ALL
GType strand_semaphore_get_type (void);

STRAND_AVAILABLE_IN_ALL
StrandSemaphore *strand_semaphore_new (guint n_places) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
StrandSemaphore *strand_semaphore_ref (StrandSemaphore *self);

STRAND_AVAILABLE_IN_ALL
void strand_semaphore_unref (StrandSemaphore *self);

STRAND_AVAILABLE_IN_ALL
gboolean strand_semaphore_acquire (StrandSemaphore *self, StrandContext *context, GError **error);

STRAND_AVAILABLE_IN_ALL
void strand_semaphore_release (StrandSemaphore *self);

typedef struct _StrandMutex StrandMutex;
#define STRAND_TYPE_MUTEX (strand_mutex_get_type ())
STRAND_AVAILABLE_IN_ALL
GType strand_mutex_get_type (void);

STRAND_AVAILABLE_IN_ALL
StrandMutex *strand_mutex_new (void) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
StrandMutex *strand_mutex_ref (StrandMutex *self);

STRAND_AVAILABLE_IN_ALL
void strand_mutex_unref (StrandMutex *self);

STRAND_AVAILABLE_IN_ALL
gboolean strand_mutex_lock (StrandMutex *self, StrandContext *context, GError **error);

STRAND_AVAILABLE_IN_ALL
void strand_mutex_unlock (StrandMutex *self, StrandContext *context);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (StrandSemaphore, strand_semaphore_unref)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (StrandMutex, strand_mutex_unref)

G_END_DECLS
