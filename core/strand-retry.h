/* strand-retry.h — whether another attempt follows a failed one, and when.
 *
 * What a call's options and its backend say is a number and two delays. Which failures are worth another
 * attempt is said by middleware, in a header, so that it travels with the call to whoever runs it.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-call.h"

G_BEGIN_DECLS

/**
 * STRAND_HEADER_RETRY:
 *
 * The header that says how a call's failures are treated: words of `delay=µs`, `max-delay=µs`,
 * `only-for=LIST` and `never-for=LIST`, with a space between them. A LIST has `|` between its items, each an
 * error's domain or `DOMAIN:CODE`, where CODE is the nick or the number, and `*` and `?` stand for what they
 * do in file names.
 *
 * Since: 1.0
 */
#define STRAND_HEADER_RETRY "strand.retry"

STRAND_AVAILABLE_IN_ALL
gboolean strand_retry_allowed (StrandCall *attempt, const GError *error);

STRAND_AVAILABLE_IN_ALL
gint64 strand_retry_delay (StrandCall *attempt, gint64 delay_us, gint64 max_delay_us);

G_END_DECLS
