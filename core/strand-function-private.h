/* strand-function-private.h — a function's fields, which the call's hot path reads.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-function.h"

G_BEGIN_DECLS

/* Set at construction, then read by any thread. */
struct _StrandFunction
{
  gatomicrefcount ref_count;
  char *name;
  char *help;
  StrandTraits traits;
  GStrv parameter_names;
  guint n_parameters;
  GVariantType *parameter_type;
  GVariantType *result_type; /* NULL: nothing, or an object */
  gboolean returns_object;
  guint fixed_size;        /* of the serialised parameters, where all are numbers; else 0 */
  gboolean takes_keywords; /* the last parameter is a{sv} */
  gboolean portable;       /* atomic: helper processes have it; only ever set */

  /* For language bindings, set before the function is used. */
  char *delegate; /* the function that a helper calls instead, or NULL, as the next */
  char *location; /* what it is told of this one */
  char *home;     /* why there is no other process that can run it */

  StrandFunc func;
  gpointer user_data;
  GDestroyNotify destroy;
};

StrandFunction *strand_function_new_unknown (const char *name);

/* Set while this thread fills a registry from a module or for strand_helper_main(). */
extern _Thread_local gboolean strand_registering_portable;

guint strand_arguments_fixed_size (const GVariantType *type);
GVariant *strand_arguments_concat_tuples (GVariant *first, GVariant *second);
GVariant *strand_arguments_concat_keywords (GVariant *first, GVariant *second);
GVariant *strand_arguments_collect (StrandFunction *function, const char *format, va_list *args);

G_END_DECLS
