/* strand-module-private.h — shared objects, loaded once and for good.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-trust-private.h"

G_BEGIN_DECLS

typedef struct _StrandModule StrandModule;

/* Loads @path, which is real and absolute, provided that it is still the file that was @checked. Runs the
 * module's constructors on the calling thread; they may load further modules. The module lives as long as the
 * process. Fails with CHANGED, MISSING_DEPENDENCY, UNDEFINED_SYMBOL or LOAD of STRAND_PLUGIN_ERROR. */
StrandModule *strand_module_open (const char *path, const StrandFileIdentity *checked, GError **error);

/* What @self exports as @name, or NULL. */
gpointer strand_module_symbol (StrandModule *self, const char *name);

G_END_DECLS
