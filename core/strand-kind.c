/* strand-kind.c — what can be plugged in, and what else a keyfile's groups may be of.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-plugins.h"

#include "strand-backend.h"
#include "strand-middleware.h"
#include "strand-reader.h"
#include "strand-schedule.h"
#include "strand-serializer.h"
#include "strand-store.h"
#include "strand-taskrunner.h"

#include <string.h>

G_DEFINE_ENUM_TYPE (StrandKind, strand_kind, G_DEFINE_ENUM_VALUE (STRAND_KIND_TASKRUNNER, "taskrunner"),
                    G_DEFINE_ENUM_VALUE (STRAND_KIND_BACKEND, "backend"),
                    G_DEFINE_ENUM_VALUE (STRAND_KIND_STORE, "store"),
                    G_DEFINE_ENUM_VALUE (STRAND_KIND_SERIALIZER, "serializer"),
                    G_DEFINE_ENUM_VALUE (STRAND_KIND_MIDDLEWARE, "middleware"),
                    G_DEFINE_ENUM_VALUE (STRAND_KIND_READER, "reader"),
                    G_DEFINE_ENUM_VALUE (STRAND_KIND_SCHEDULE, "schedule"))

static const char *const kind_names[] = { "taskrunner", "backend", "store",   "serializer",
                                          "middleware", "reader",  "schedule" };

/**
 * strand_kind_to_string:
 * @kind: a kind
 *
 * The kind's word, as keyfile groups and `strand plugins` have it: `store`, `middleware`, …
 *
 * Returns: (transfer none): the word
 * Since: 1.0
 */
const char *
strand_kind_to_string (StrandKind kind)
{
  g_return_val_if_fail ((guint) kind <= STRAND_KIND_SCHEDULE, NULL);

  return kind_names[kind];
}

/**
 * strand_kind_from_string:
 * @text: a word
 * @kind: (out): return location for the kind
 *
 * The opposite of [func@Strand.Kind.to_string].
 *
 * Returns: whether @text is a kind's word; if not, @kind is left alone
 * Since: 1.0
 */
gboolean
strand_kind_from_string (const char *text, StrandKind *kind)
{
  g_return_val_if_fail (text != NULL, FALSE);
  g_return_val_if_fail (kind != NULL, FALSE);

  for (guint i = 0; i < G_N_ELEMENTS (kind_names); i++)
    if (strcmp (text, kind_names[i]) == 0)
      {
        *kind = (StrandKind) i;
        return TRUE;
      }
  return FALSE;
}

/**
 * strand_kind_get_interface:
 * @kind: a kind
 *
 * The interface that every type of the kind implements; of readers and schedules, the class.
 *
 * Returns: the interface's type
 * Since: 1.0
 */
GType
strand_kind_get_interface (StrandKind kind)
{
  switch (kind)
    {
    case STRAND_KIND_TASKRUNNER:
      return STRAND_TYPE_TASKRUNNER;
    case STRAND_KIND_BACKEND:
      return STRAND_TYPE_BACKEND;
    case STRAND_KIND_STORE:
      return STRAND_TYPE_STORE;
    case STRAND_KIND_SERIALIZER:
      return STRAND_TYPE_SERIALIZER;
    case STRAND_KIND_MIDDLEWARE:
      return STRAND_TYPE_MIDDLEWARE;
    case STRAND_KIND_READER:
      return STRAND_TYPE_READER;
    case STRAND_KIND_SCHEDULE:
      return STRAND_TYPE_SCHEDULE;
    default:
      g_return_val_if_reached (G_TYPE_INVALID);
    }
}
