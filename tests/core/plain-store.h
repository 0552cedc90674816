/* plain-store.h — a store with the four required methods and nothing else.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <strand-plugin.h>

#define PLAIN_TYPE_STORE (plain_store_get_type ())
G_DECLARE_FINAL_TYPE (PlainStore, plain_store, PLAIN, STORE, GObject)

StrandStore *plain_store_new (void);
