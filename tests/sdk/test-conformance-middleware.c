/* test-conformance-middleware.c — the shipped middlewares keep what middleware promises, as each of their
 * settings makes them: letting everything pass, and keeping calls back, refusing them or answering them.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include <strand-conformance.h>

#include <string.h>

#define KEYS "keys=${STRAND_TEST_KEYS}\n"

static const struct
{
  const char *name;
  const char *settings; /* as in a keyfile; %s is the case's folder */
  const char *shows;    /* needs that it must turn out to have, apart by blanks */
  const char *lacks;    /* one that it is said to lack; NULL for none */
  const char *reason;
} middlewares[] = {
  { "logging", "type=logging\n", "passes" },
  { "logging-all", "type=logging\nlevel=info\narguments=true\nredact=text\nsample=0.5\n", "passes" },
  { "metrics", "type=metrics\n", "passes" },
  { "metrics-kept", "type=metrics\nfile=%s/strand.prom\ninterval=1ms\nmax-functions=2\nstore=totals\n",
    "passes" },
  { "trace", "type=trace\nfile=%s/spans.jsonl\n", "passes" },
  { "trace-some", "type=trace\nfile=%s/spans.jsonl\nratio=0.5\ninterval=1ms\n", "passes" },
  { "auth", "type=auth\n" KEYS "identity=web\nallow=web=*\n", "passes" },
  { "auth-signs", "type=auth\nrole=sign\n" KEYS "identity=web\n", "passes" },
  { "auth-forbids", "type=auth\n" KEYS "identity=web\nallow=web=nothing.*\n", "refuses" },
  { "auth-verifies", "type=auth\nrole=verify\n" KEYS "allow=web=*\n", "refuses" },
  { "rate-limit", "type=rate-limit\nmax-calls=1000000\nper=1s\n", "passes" },
  { "rate-limit-window",
    "type=rate-limit\nalgorithm=sliding-window\nmax-calls=1000000\nper=1s\nscope=global\n", "passes" },
  { "rate-limit-shared", "type=rate-limit\nmax-calls=1000000\nper=1s\nstore=shared\n", "passes", "holds",
    "calls wait only until the store has been asked" },
  { "rate-limit-rejects", "type=rate-limit\nmax-calls=3\nper=1h\n", "refuses" },
  { "rate-limit-waits", "type=rate-limit\nmax-calls=2\nper=10ms\nmode=wait\n", "holds" },
  { "concurrency-limit", "type=concurrency-limit\nmax-calls=4\nscope=global\n", "passes holds" },
  { "concurrency-limit-one", "type=concurrency-limit\nmax-calls=1\n", "passes holds", "two",
    "one call of a function runs at a time" },
  { "concurrency-limit-shared", "type=concurrency-limit\nmax-calls=4\nstore=shared\n", "passes holds" },
  { "concurrency-limit-rejects", "type=concurrency-limit\nmax-calls=2\nmode=reject\n", "refuses" },
  { "retry", "type=retry\n", "passes" },
  { "retry-some",
    "type=retry\nfunctions=conformance.*\nretries=5\ndelay=1ms\nmax-delay=2ms\nnever-for=g-file-error-quark:exist\n",
    "passes" },
  { "timeout", "type=timeout\ntimeout=1h\n", "passes" },
  { "cache", "type=cache\nfunctions=conformance.*\n", "passes holds answers" },
  { "cache-small", "type=cache\nfunctions=conformance.*\nmax-entries=1\nstore=shared\n", "holds answers" },
};

static gpointer
make (StrandConformance *self, gpointer number, GError **error)
{
  const char *settings = middlewares[GPOINTER_TO_UINT (number)].settings;
  g_auto(GStrv) parts = g_strsplit (settings, "%s", -1);
  g_autofree char *filled = g_strjoinv (strand_conformance_get_directory (self), parts);
  g_autofree char *data = g_strconcat (
      "[store totals]\ntype=memory\n[store shared]\ntype=memory\n[middleware subject]\n", filled, NULL);
  g_autoptr(StrandStack) stack = strand_stack_new_from_data (data, -1, "test", error);

  return stack != NULL ? strand_stack_ref_object (stack, STRAND_KIND_MIDDLEWARE, "subject", error) : NULL;
}

/* Lest a setting that does something else than it is here for skips what it is here for. */
static void
check_needs (StrandConformance *self)
{
  const char *path = g_test_get_path ();

  for (guint i = 0; i < G_N_ELEMENTS (middlewares); i++)
    {
      g_autofree char *suffix = g_strconcat ("/", middlewares[i].name, "/shows/needs", NULL);
      g_auto(GStrv) needs = g_strsplit (middlewares[i].shows, " ", -1);

      if (!g_str_has_suffix (path, suffix))
        continue;
      for (guint j = 0; needs[j] != NULL; j++)
        g_assert_true (strand_conformance_has (self, needs[j]));
      return;
    }
  g_assert_not_reached ();
}

static const StrandConformanceCase own_cases[] = {
  { "shows/needs", "It is configured for what it is to show.", check_needs },
  { 0 },
};
static const StrandConformanceCase *const own_groups[] = { own_cases, NULL };

int
main (int argc, char **argv)
{
  const StrandConformanceSuite *suite = strand_conformance_get_suite (STRAND_KIND_MIDDLEWARE);
  StrandConformanceSuite own = { STRAND_KIND_MIDDLEWARE, own_groups, suite->needs, NULL };

  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  g_setenv ("STRAND_TEST_KEYS", "a QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=", TRUE);
  strand_conformance_set_quick (!g_test_thorough ());
  for (guint i = 0; i < G_N_ELEMENTS (middlewares); i++)
    {
      g_autofree char *path = g_strconcat ("/conformance/", middlewares[i].name, NULL);
      StrandConformanceSubject *subject;

      strand_conformance_add_suite (&own, path, make, GUINT_TO_POINTER (i), NULL);
      subject = strand_conformance_add_middleware (path, make, GUINT_TO_POINTER (i), NULL);
      if (middlewares[i].lacks != NULL)
        strand_conformance_subject_lacks (subject, middlewares[i].lacks, middlewares[i].reason);
    }
  return g_test_run ();
}
