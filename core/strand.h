/* strand.h — the one header that programs include; in reading order.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#define STRAND_INSIDE

#include "strand-version.h"
#include "strand-error.h"
#include "strand-clock.h"
#include "strand-record.h"
#include "strand-serializer.h"
#include "strand-store.h"
#include "strand-lease.h"
#include "strand-plugins.h"
#include "strand-problem.h"
#include "strand-stack.h"

#undef STRAND_INSIDE
