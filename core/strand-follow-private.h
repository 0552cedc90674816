/* strand-follow-private.h — a call of another process, seen through the store.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-call.h"
#include "strand-store.h"

G_BEGIN_DECLS

StrandCall *strand_follow (StrandStore *store, const char *key, GError **error);

G_END_DECLS
