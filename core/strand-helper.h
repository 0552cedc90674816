/* strand-helper.h — how a program's own functions come to run in helper processes.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-registry.h"

G_BEGIN_DECLS

STRAND_AVAILABLE_IN_ALL
void strand_helper_main (int argc, char **argv, StrandModuleRegisterFunc register_functions);

/* For taskrunners that start helpers. */
STRAND_AVAILABLE_IN_ALL
const char *strand_helper_get_program (void);

G_END_DECLS
