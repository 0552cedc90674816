/* strand.h — the one header that programs include; in reading order.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#define STRAND_INSIDE

#include "strand-version.h"
#include "strand-error.h"
#include "strand-clock.h"
#include "strand-function.h"
#include "strand-registry.h"
#include "strand-helper.h"
#include "strand-context.h"
#include "strand-coroutine.h"
#include "strand-semaphore.h"
#include "strand-run-process.h"
#include "strand-options.h"
#include "strand-record.h"
#include "strand-call.h"
#include "strand-handle.h"
#include "strand-task.h"
#include "strand-dispatcher.h"
#include "strand-taskrunner.h"
#include "strand-parker.h"
#include "strand-backend.h"
#include "strand-reader.h"
#include "strand-store.h"
#include "strand-life.h"
#include "strand-work.h"
#include "strand-schedule.h"
#include "strand-unique.h"
#include "strand-flow.h"
#include "strand-queue.h"
#include "strand-serializer.h"
#include "strand-middleware.h"
#include "strand-retry.h"
#include "strand-payload.h"
#include "strand-lease.h"
#include "strand-plugins.h"
#include "strand-problem.h"
#include "strand-stack.h"

#undef STRAND_INSIDE
