/* serializer-suite.c — what a serializer promises: the suite, in the order of docs/conformance/serializer.md.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "serializer-private.h"

static gboolean
is_named (StrandConformance *self)
{
  g_autoptr(StrandSerializer) serializer = strand_conformance_make (self);

  return strand_plugins_get_type_name (G_OBJECT_TYPE (serializer)) != NULL;
}

static const StrandConformanceNeed needs[] = {
  { "named", "no plugin and no program has given the class a name", is_named },
  { 0 },
};

static const StrandConformanceRole roles[] = {
  { "writer", serializer_play_writer },
  { 0 },
};

static const StrandConformanceCase *const groups[] = {
  serializer_value_cases,  serializer_depth_cases, serializer_bytes_cases,
  serializer_damage_cases, serializer_error_cases, serializer_object_cases,
  serializer_thread_cases, serializer_close_cases, NULL,
};

const StrandConformanceSuite conformance_serializer_suite = { STRAND_KIND_SERIALIZER, groups, needs, roles };
