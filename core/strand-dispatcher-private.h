/* strand-dispatcher-private.h — calls that stand in line for their start.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-call-private.h"
#include "strand-dispatcher.h"

G_BEGIN_DECLS

/* Starts calls in the order in which they were let in, so many at once. */
typedef struct _StrandLine StrandLine;

StrandLine *strand_line_new (void);
StrandLine *strand_line_ref (StrandLine *self);
void strand_line_unref (StrandLine *self);
void strand_line_set_max_running (StrandLine *self, guint max_running);
guint strand_line_get_max_running (StrandLine *self);
StrandDelivery *strand_line_get_delivery (StrandLine *self);

/* How many of some calls have been let in and have not ended; knows who waits for the last. */
typedef struct _StrandTally StrandTally;

StrandTally *strand_tally_new (StrandLine *line);
StrandTally *strand_tally_ref (StrandTally *self);
void strand_tally_unref (StrandTally *self);

/* @func runs once, under locks, when none is left. FALSE if none is (@func will not be called). */
gboolean strand_tally_add_waiter (StrandTally *self, void (*func) (gpointer data), gpointer data);
/* FALSE if @func has been called. */
gboolean strand_tally_remove_waiter (StrandTally *self, gpointer data);
guint strand_tally_count_left (StrandTally *self);
/* Whether this thread does, or has interrupted, something for one of the calls. */
gboolean strand_tally_is_here (StrandTally *self);

/* A call that is made and not submitted. Takes over @failure, with which it is to end instead of starting. */
void strand_line_add (StrandLine *self, StrandCall *call, GError *failure);
/* Lets it in; strand_line_start() then starts what may start now. */
void strand_line_admit (StrandLine *self, StrandTally *tally, StrandCall *call);
void strand_line_start (StrandLine *self);

/* Somebody is about to wait for @call, which may stand in a line: FALSE if that could never end. */
gboolean strand_line_want (StrandCall *call, GError **error);

/* What a dispatcher has enqueued between two resets. */
typedef struct
{
  gatomicrefcount ref_count;
  StrandTally *tally; /* set at construction */
  GPtrArray *handles; /* of StrandHandle; guarded by the dispatcher's lock, as the next */
  guint n_dispatched; /* of the first ones */
} StrandBatch;

StrandBatch *strand_batch_new (StrandLine *line);
StrandBatch *strand_batch_ref (StrandBatch *self);
void strand_batch_unref (StrandBatch *self);

struct _StrandTaskDispatcher
{
  GObject parent_instance;

  StrandLine *line; /* set at construction */

  GMutex lock; /* guards the six below */
  char *target;
  StrandStack *stack;
  gint64 timeout_us;
  StrandBatch *batch;
  GHashTable *tasks; /* of StrandTask, by function and target */
  gboolean rows_queued;

  /* What the list shows. Its context's only, as the next; strand-dispatcher-model.c. */
  StrandBatch *shown;
  GPtrArray *rows; /* of StrandHandle */
};

StrandBatch *strand_task_dispatcher_ref_batch (StrandTaskDispatcher *self);
gint64 strand_task_dispatcher_choose_timeout (StrandTaskDispatcher *self, gint64 timeout_us);

void strand_task_dispatcher_model_init (GListModelInterface *iface);
void strand_task_dispatcher_model_changed (StrandTaskDispatcher *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (StrandBatch, strand_batch_unref)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (StrandLine, strand_line_unref)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (StrandTally, strand_tally_unref)

G_END_DECLS
