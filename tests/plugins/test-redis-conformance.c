/* test-redis-conformance.c — the redis store keeps what stores promise, with a real server.
 *
 * The cases' second processes are this program again: they find the server's address in the environment.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include <strand-conformance.h>

#include "redis-server.h"

#define ENV_URI "STRAND_TEST_REDIS_URI"

/* Each case has a prefix of its own. */
static gpointer
make (StrandConformance *self, gpointer unused, GError **error)
{
  GType type = strand_plugins_load (strand_plugins_get_default (), STRAND_KIND_STORE, "redis", error);
  g_autofree char *prefix = g_path_get_basename (strand_conformance_get_directory (self));

  return type != 0 ? g_object_new (type, "uri", g_getenv (ENV_URI), "prefix", prefix, NULL) : NULL;
}

int
main (int argc, char **argv)
{
  RedisServer *server = NULL;
  int status;

  if (!redis_server_is_there ())
    {
      puts ("1..0 # SKIP redis-server is not installed");
      return 0;
    }
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  strand_conformance_set_quick (!g_test_thorough ());
  if (g_getenv (ENV_URI) == NULL)
    {
      server = redis_server_start (NULL);
      g_setenv (ENV_URI, server->uri, TRUE);
    }
  strand_conformance_add_store ("/redis-store/conformance", make, NULL, NULL);
  status = g_test_run ();
  g_clear_pointer (&server, redis_server_free);
  return status;
}
