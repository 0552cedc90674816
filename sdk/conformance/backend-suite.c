/* backend-suite.c — what a backend promises: the suite, in the order of docs/conformance/backend.md.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "backend-private.h"

#include <string.h>
#include <unistd.h>

static gboolean
has_limit (StrandConformance *self)
{
  return backend_has_property (self, "max-pending");
}

static gboolean
has_middleware (StrandConformance *self)
{
  return backend_has_property (self, "middleware");
}

static gboolean
has_store (StrandConformance *self)
{
  return backend_has_property (self, "store");
}

/* Whether its own middleware is asked of attempts, too, and not only at the door. */
static gboolean
has_attempts (StrandConformance *self)
{
  g_autoptr(GListStore) chain = NULL;
  g_autoptr(MiddlewareProbe) probe = NULL;
  StrandBackend *backend;
  gboolean has;

  if (!has_middleware (self))
    return FALSE;
  chain = g_list_store_new (STRAND_TYPE_MIDDLEWARE);
  probe = probe_new (NULL);
  g_list_store_append (chain, probe);
  backend = backend_make_with (self, "middleware", chain, NULL);
  g_object_unref (backend_call (self, backend, "conformance.nothing", NULL, NULL));
  has = probe_read (probe, &probe->n_before) > 0;
  backend_end (self, backend);
  return has;
}

/* Whether another process finds the records. */
static gboolean
is_shared (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);
  StrandConformancePeer *peer = strand_conformance_start_peer (self, "onlooker", NULL);
  g_autofree char *ready = strand_conformance_peer_receive (peer), *found = NULL, *line = NULL;
  g_autoptr(StrandHandle) handle = backend_call (self, backend, "conformance.nothing", NULL, NULL);

  line = g_strdup_printf ("look %s", strand_handle_get_key (handle));
  strand_conformance_peer_send (peer, line);
  found = strand_conformance_peer_receive (peer);
  strand_conformance_peer_send (peer, "end");
  strand_conformance_peer_wait (peer);
  g_clear_object (&handle);
  backend_end (self, backend);
  return g_strcmp0 (found, "there") == 0;
}

static const StrandConformanceNeed needs[] = {
  { "runs", "nobody runs its calls", NULL },
  { "limit", "the backend has no property 'max-pending'", has_limit },
  { "middleware", "the backend has no property 'middleware'", has_middleware },
  { "attempts", "the backend does not run the calls itself", has_attempts },
  { "store", "the backend has no property 'store'", has_store },
  { "shared", "other processes do not find its records", is_shared },
  { 0 },
};

static const StrandConformanceRole roles[] = {
  { "onlooker", backend_play_onlooker },
  { 0 },
};

static const StrandConformanceCase *const groups[] = {
  backend_launch_cases,     backend_record_cases, backend_results_cases, backend_ends_cases,
  backend_shows_cases,      backend_cancel_cases, backend_retries_cases, backend_time_cases,
  backend_middleware_cases, backend_store_cases,  backend_close_cases,   NULL,
};

const StrandConformanceSuite conformance_backend_suite = { STRAND_KIND_BACKEND, groups, needs, roles };
