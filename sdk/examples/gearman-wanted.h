/* gearman-wanted.h — whether anybody waits for a job.   SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

/* @servers as Gearman's library takes them; @unique is gearman_job_unique(). Blocks. TRUE also if no server says. */
gboolean gearman_job_is_wanted (const char *servers, const char *unique);
