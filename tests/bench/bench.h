/* bench.h — how a benchmark says what it measured.       SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* One line: name, value, unit, peer, ratio. The ratio is value to peer, both measured in this run; larger is
 * better for rates, smaller for times. */
static inline void
bench_report (const char *name, double value, const char *unit, double peer, const char *peer_name)
{
  if (peer > 0)
    g_print ("%s, %.6g, %s, %s %.6g, %.2f\n", name, value, unit, peer_name, peer, value / peer);
  else
    g_print ("%s, %.6g, %s, -, -\n", name, value, unit);
}

static inline int
bench_compare (gconstpointer a, gconstpointer b)
{
  double x = *(const double *) a, y = *(const double *) b;

  return x < y ? -1 : x > y;
}

/* The median: rates on a shared machine scatter, and always to the slow side. */
static inline double
bench_median (double *values, gsize n)
{
  qsort (values, n, sizeof *values, bench_compare);
  return values[n / 2];
}

static inline double
bench_seconds (void)
{
  return (double) g_get_monotonic_time () / G_USEC_PER_SEC;
}
