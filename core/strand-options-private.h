/* strand-options-private.h — an options' fields.        SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-options.h"

G_BEGIN_DECLS

struct _StrandOptions
{
  gint64 timeout_us; /* STRAND_UNSET, as the next */
  gint64 ttl_us;
  int retries; /* -1 unset */
  int priority;
  gboolean has_priority; /* any number is a priority */
  gint64 not_before_us;
  gint64 expires_us;
  char *queue;
  char *unique;
  StrandConflict conflict; /* means something with a unique key only */
  char *key;
  GHashTable *headers; /* of text by text; NULL until one is set */
  gpointer data;
  GDestroyNotify data_destroy;
};

/* Options of a task under those of one call: what @over does not set comes from @under. One may be NULL. The
 * pointer data stays where it is. */
StrandOptions *strand_options_merge (StrandOptions *under, StrandOptions *over);

G_END_DECLS
