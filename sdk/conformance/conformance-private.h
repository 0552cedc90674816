/* conformance-private.h — what the harness's files and the suites share.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-conformance.h"

G_BEGIN_DECLS

/* What a second process is told in its environment, and the end of the line to whoever started it. */
#define ENV_ROLE "STRAND_CONFORMANCE_ROLE"
#define ENV_ARGUMENT "STRAND_CONFORMANCE_ARGUMENT"
#define ENV_FOLDER "STRAND_CONFORMANCE_FOLDER"
#define PEER_FD 3

struct _StrandConformanceSubject
{
  int n_cases; /* that have not run yet: each holds the subject */
  const StrandConformanceSuite *suite;
  char *path;
  StrandConformanceMakeFunc make;
  gpointer user_data;
  GDestroyNotify destroy;
  GHashTable *lacks; /* need's name -> reason */
};

struct _StrandConformance
{
  StrandConformanceSubject *subject;
  const StrandConformanceCase *test_case;
  char *directory;
  gint64 deadline_us;
  GPtrArray *peers;     /* of StrandConformancePeer; NULL before the first */
  const char *argument; /* of a role */
  GString *unread;      /* of a role: what has come, and is not a whole line yet */
};

extern const char *const *conformance_restart; /* NULL: PROGRAM -p PATH */

void conformance_end_peers (StrandConformance *self);
void conformance_play (StrandConformance *self);

/* The suites. */
extern const StrandConformanceSuite conformance_backend_suite;
extern const StrandConformanceSuite conformance_middleware_suite;
extern const StrandConformanceSuite conformance_serializer_suite;
extern const StrandConformanceSuite conformance_store_suite;
extern const StrandConformanceSuite conformance_taskrunner_suite;

G_END_DECLS
