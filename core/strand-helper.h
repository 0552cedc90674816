/* strand-helper.h — how a program's own functions come to run in helper processes.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-registry.h"

G_BEGIN_DECLS

STRAND_AVAILABLE_IN_ALL
void strand_helper_main (int argc, char **argv, StrandModuleRegisterFunc register_functions);

/* For language bindings, whose programs are an interpreter's. */

STRAND_AVAILABLE_IN_ALL
void strand_helper_set_command (const char *const *argv);

STRAND_AVAILABLE_IN_ALL
int strand_helper_run (const char *const *argv);

/* For taskrunners that start helpers. */

STRAND_AVAILABLE_IN_ALL
GStrv strand_helper_dup_command (void) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
const char *strand_helper_get_program (void);

G_END_DECLS
