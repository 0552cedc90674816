/* logging-arguments.h — a call's arguments as text, without what nobody is to read.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <strand-plugin.h>

G_BEGIN_DECLS

/* As g_variant_print(), with `<redacted>` for each parameter, and each entry of a dictionary at any depth,
 * that bears one of the names. @redact: (nullable). */
char *logging_print_arguments (StrandFunction *function, GVariant *arguments, const char *const *redact);

G_END_DECLS
