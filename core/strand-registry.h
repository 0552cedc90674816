/* strand-registry.h — the functions that a program or worker knows, by name.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-function.h"

G_BEGIN_DECLS

#define STRAND_TYPE_REGISTRY (strand_registry_get_type ())
STRAND_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (StrandRegistry, strand_registry, STRAND, REGISTRY, GObject)

/**
 * StrandModuleRegisterFunc:
 * @registry: where to add the module's functions
 * @error: where to say why the module cannot be used
 *
 * The entry point of a function module, exported as `strand_module_register`. Called once for each registry
 * that the module is loaded into, on the thread that loads it.
 *
 * Returns: %TRUE, or %FALSE with @error set
 *
 * Since: 1.0
 */
typedef gboolean (*StrandModuleRegisterFunc) (StrandRegistry *registry, GError **error);

/**
 * StrandModuleRegisterFromFunc:
 * @registry: where to add the functions
 * @source: where they come from: what follows the colon in `MODULE:SOURCE`; a file's real path, if it had a
 * slash
 * @error: where to say why they cannot be had
 *
 * The entry point of a function module for another language, exported as `strand_module_register_from`.
 * Called once for each registry and source, on the thread that loads it.
 *
 * Returns: %TRUE, or %FALSE with @error set
 *
 * Since: 1.0
 */
typedef gboolean (*StrandModuleRegisterFromFunc) (StrandRegistry *registry, const char *source,
                                                  GError **error);

/* What a function module puts before its strand_module_register(), so that a hidden-by-default build exports
 * it. */
#define STRAND_MODULE_EXPORT __attribute__ ((visibility ("default"))) extern

/* A module defines one of these or both; nothing else does. */
#ifndef __GI_SCANNER__
STRAND_MODULE_EXPORT gboolean strand_module_register (StrandRegistry *registry, GError **error);
STRAND_MODULE_EXPORT gboolean strand_module_register_from (StrandRegistry *registry, const char *source,
                                                           GError **error);
#endif

STRAND_AVAILABLE_IN_ALL
StrandRegistry *strand_registry_get_default (void);

STRAND_AVAILABLE_IN_ALL
StrandRegistry *strand_registry_new (void) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
gboolean strand_registry_add (StrandRegistry *self, const char *name, const char *signature, const char *help,
                              StrandFunc func, gpointer user_data, GDestroyNotify destroy, GError **error);

STRAND_AVAILABLE_IN_ALL
gboolean strand_registry_add_function (StrandRegistry *self, StrandFunction *function, GError **error);

STRAND_AVAILABLE_IN_ALL
StrandFunction *strand_registry_lookup (StrandRegistry *self, const char *name,
                                        GError **error) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
GPtrArray *strand_registry_list (StrandRegistry *self) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
gboolean strand_registry_load_module (StrandRegistry *self, const char *name_or_path, GError **error);

STRAND_AVAILABLE_IN_ALL
GStrv strand_registry_list_modules (StrandRegistry *self) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
