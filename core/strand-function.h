/* strand-function.h — a named callable: what it takes, what it gives, what it must not be used for.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-version.h"
#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct _StrandContext StrandContext;
typedef struct _StrandFunction StrandFunction;

/**
 * StrandFunc:
 * @context: what the call offers its function, valid until the function returns
 * @arguments: a tuple of the declared parameter types
 * @user_data: what strand_function_new() was given
 * @error: where to say why it failed
 *
 * The code behind a function. Runs where the call's taskrunner decides, perhaps on several threads at once
 * (unless the function has %STRAND_TRAIT_NOT_REENTRANT), and may block there.
 *
 * Returns: (transfer full) (nullable): a value of the declared result type (floating is fine); `NULL` with
 *   @error set on failure; `NULL` without error where the function returns nothing, or has handed over an
 *   object with strand_context_take_object()
 *
 * Since: 1.0
 */
typedef GVariant *(*StrandFunc) (StrandContext *context, GVariant *arguments, gpointer user_data,
                                 GError **error);

/**
 * StrandTraits:
 * @STRAND_TRAIT_NONE: may run anywhere
 * @STRAND_TRAIT_MAIN_THREAD_ONLY: may run only on the thread of the default main context
 * @STRAND_TRAIT_NOT_REENTRANT: may not run twice at once in one process
 * @STRAND_TRAIT_NOT_PORTABLE: may not run in another process
 *
 * What a function must not be used for.
 *
 * Since: 1.0
 */
typedef enum
{
  STRAND_TRAIT_NONE = 0,
  STRAND_TRAIT_MAIN_THREAD_ONLY = 1 << 0,
  STRAND_TRAIT_NOT_REENTRANT = 1 << 1,
  STRAND_TRAIT_NOT_PORTABLE = 1 << 2,
} StrandTraits;

#define STRAND_TYPE_TRAITS (strand_traits_get_type ())
STRAND_AVAILABLE_IN_ALL
GType strand_traits_get_type (void);

#define STRAND_TYPE_FUNCTION (strand_function_get_type ())
STRAND_AVAILABLE_IN_ALL
GType strand_function_get_type (void);

STRAND_AVAILABLE_IN_ALL
StrandFunction *strand_function_new (const char *name, const char *signature, const char *help,
                                     StrandTraits traits, StrandFunc func, gpointer user_data,
                                     GDestroyNotify destroy, GError **error) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
StrandFunction *strand_function_ref (StrandFunction *self);

STRAND_AVAILABLE_IN_ALL
void strand_function_unref (StrandFunction *self);

STRAND_AVAILABLE_IN_ALL
const char *strand_function_get_name (StrandFunction *self);

STRAND_AVAILABLE_IN_ALL
const char *strand_function_get_help (StrandFunction *self);

STRAND_AVAILABLE_IN_ALL
StrandTraits strand_function_get_traits (StrandFunction *self);

STRAND_AVAILABLE_IN_ALL
const GVariantType *strand_function_get_parameter_type (StrandFunction *self);

STRAND_AVAILABLE_IN_ALL
const char *const *strand_function_get_parameter_names (StrandFunction *self);

STRAND_AVAILABLE_IN_ALL
const GVariantType *strand_function_get_result_type (StrandFunction *self);

STRAND_AVAILABLE_IN_ALL
gboolean strand_function_returns_object (StrandFunction *self);

STRAND_AVAILABLE_IN_ALL
gboolean strand_function_is_portable (StrandFunction *self);

/* For language bindings. */

STRAND_AVAILABLE_IN_ALL
void strand_function_set_delegate (StrandFunction *self, const char *delegate, const char *location);

STRAND_AVAILABLE_IN_ALL
const char *strand_function_get_delegate (StrandFunction *self, const char **location);

STRAND_AVAILABLE_IN_ALL
void strand_function_set_home_reason (StrandFunction *self, const char *reason);

STRAND_AVAILABLE_IN_ALL
const char *strand_function_get_home_reason (StrandFunction *self);

STRAND_AVAILABLE_IN_ALL
char *strand_function_dup_signature (StrandFunction *self) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
GVariant *strand_function_bind (StrandFunction *self, GVariant *positional, GVariant *keywords,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_DEFINE_AUTOPTR_CLEANUP_FUNC (StrandFunction, strand_function_unref)

G_END_DECLS
