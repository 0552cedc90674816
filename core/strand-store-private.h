/* strand-store-private.h — what a store and its watchers say to each other.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-store.h"

G_BEGIN_DECLS

/* Those who want to hear of changes in one store. Counted, because the thread that looks for changes must not
 * keep the store alive. */
typedef struct _StrandWatchers StrandWatchers;

StrandWatchers *strand_watchers_new (void);
void strand_watchers_unref (StrandWatchers *self);

guint strand_watchers_add (StrandWatchers *self, StrandStore *store, const char *key, StrandWatchFunc func,
                           gpointer user_data, GDestroyNotify destroy);
void strand_watchers_remove (StrandWatchers *self, StrandStore *store, guint id);

/* Tells everybody who watches @key (NULL: everybody). Without locks. */
void strand_watchers_announce (StrandWatchers *self, StrandStore *store, const char *key);

/* The store is closed: notices nothing more. */
void strand_watchers_stop (StrandWatchers *self, StrandStore *store);

/* The store is being finalized: nobody can watch it any more. */
void strand_watchers_abandon (StrandWatchers *self);

/* Around the use of methods, for the thread that looks for changes. FALSE if the store is closed. */
gboolean strand_store_begin_visit (StrandStore *self);
void strand_store_end_visit (StrandStore *self);

G_END_DECLS
