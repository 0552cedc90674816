/* strand-plugin.h — the one header that plugins and function modules include.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand.h"

#define STRAND_INSIDE

#include "strand-json.h"
#include "strand-log.h"
#include "strand-param.h"
#include "strand-plugin-define.h"

#undef STRAND_INSIDE
