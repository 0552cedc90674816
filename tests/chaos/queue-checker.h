/* queue-checker.h — whether what a store holds at the end agrees with what everybody said meanwhile.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-plugin.h"

G_BEGIN_DECLS

/* A record that was seen after its end, and must not change any more. */
typedef struct
{
  guint64 revision;
  gint64 fence;
  StrandStatus status;
} Seen;

/* Times between a kill and what came of it, in µs. */
typedef struct
{
  guint n;
  gint64 p50, p99, longest;
} Times;

typedef struct
{
  GPtrArray *faults; /* of char* */
  guint n_accepted;
  guint n_refused;
  guint n_records; /* accepted ones, and those whose writer was killed before it heard of it */
  guint n_completed, n_failed, n_cancelled, n_dead;
  guint n_sights;     /* ends that followers saw */
  guint n_runs;       /* functions that began */
  guint n_lost;       /* accepted, and no record, or one that has not ended */
  guint n_duplicates; /* runs beyond one an attempt */
  guint n_crashes;    /* claims that ended with their worker's or helper's death */
  guint n_returned;   /* claims that were given back */
  guint n_late;       /* claims of workers that nobody had touched: the machine was too slow for the lease */
  guint most_taken;   /* calls that one worker's death cost */
  Times noticed; /* from SIGKILL until the call was pending again: workers of this host, while others lived */
  Times elsewhere;  /* until another worker had it */
  Times other_host; /* until it was pending again: workers of the other host */
} Findings;

/* @seen: key → Seen; gets what followers saw. @lease_us: how long leases last. Reads the whole log and the
 * whole store, both at rest.
 */
void checker_look (Findings *findings, const char *log, StrandStore *store, GHashTable *seen,
                   gint64 lease_us);
void checker_fault (Findings *findings, const char *format, ...) G_GNUC_PRINTF (2, 3);
void findings_clear (Findings *findings);

G_END_DECLS
