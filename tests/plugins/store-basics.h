/* store-basics.h — what tests of single stores share: the type, and a record to put.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <strand-plugin.h>

G_BEGIN_DECLS

/* The type that an uninstalled plugin provides, from the folders of STRAND_PLUGIN_PATH. */
GType store_basics_load (const char *plugin);

/* A call's record, pending, with something in it. */
StrandRecord *store_basics_record (const char *key);

G_END_DECLS
