/* strand-delivery-private.h — carries news from any thread into one main context.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* One piece of news, embedded in what it is about. Whoever pushes it makes sure that it is in a queue at
 * most once. @dispatch runs in the context; FALSE means "out of time, call me again". */
typedef struct _StrandNews StrandNews;
struct _StrandNews
{
  StrandNews *next;
  gboolean (*dispatch) (StrandNews *news, gint64 deadline_us);
};

typedef struct _StrandDelivery StrandDelivery;

StrandDelivery *strand_delivery_peek_default (int priority);
StrandDelivery *strand_delivery_ref_default (int priority);
StrandDelivery *strand_delivery_ref (StrandDelivery *self);
void strand_delivery_unref (StrandDelivery *self);

void strand_delivery_push (StrandDelivery *self, StrandNews *news);
void strand_delivery_run (StrandDelivery *self, GDestroyNotify func, gpointer data);
void strand_delivery_post (StrandDelivery *self, GDestroyNotify func, gpointer data);
void strand_delivery_push_later (StrandDelivery *self, StrandNews *news, gint64 delay_us);

gboolean strand_delivery_is_main_thread (void);
GMainContext *strand_delivery_get_context (StrandDelivery *self);

/* A thread that blocks and may dispatch meanwhile. */
typedef struct
{
  GMutex lock; /* guards the rest */
  GCond cond;
  gboolean woken;
} StrandSleeper;

void strand_sleeper_wake (StrandSleeper *self);

gboolean strand_delivery_may_dispatch (StrandDelivery *self);
gboolean strand_delivery_drain (StrandDelivery *self, gint64 deadline_us);
void strand_delivery_dispatch (StrandDelivery *self, gint64 deadline_us);

/* News wakes @sleeper from now on. Returns who was woken before, to be set again: waits nest. */
StrandSleeper *strand_delivery_swap_sleeper (StrandDelivery *self, StrandSleeper *sleeper);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (StrandDelivery, strand_delivery_unref)

G_END_DECLS
