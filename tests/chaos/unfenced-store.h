/* unfenced-store.h — a store that lets whoever writes last win.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-plugin.h"

G_BEGIN_DECLS

#define UNFENCED_TYPE_STORE (unfenced_store_get_type ())
G_DECLARE_FINAL_TYPE (UnfencedStore, unfenced_store, UNFENCED, STORE, GObject)

/* Passes everything on to @real, but forgets which revision and which fence a write was for. */
StrandStore *unfenced_store_new (StrandStore *real);

G_END_DECLS
