/* test-redis-store.c — the store contract with a real server, and what the redis store promises beyond it.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "redis-server.h"
#include "store-process.h"

#define NOW_US G_GINT64_CONSTANT (1700000000000000)

static GType redis_store;
static RedisServer *shared; /* by all contract tests: each has a prefix of its own */

static gpointer
make_place (void)
{
  static guint n_places;

  return g_strdup_printf ("place-%u", n_places++);
}

static StrandStore *
open_place (gpointer place)
{
  return g_object_new (redis_store, "uri", shared->uri, "prefix", place, NULL);
}

int
main (int argc, char **argv)
{
  static const StoreContract contract = { make_place, g_free, open_place, TRUE };
  int status;

  if (!redis_server_is_there ())
    {
      puts ("1..0 # SKIP redis-server is not installed");
      return 0;
    }
  redis_store = store_contract_load ("redis-store");
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  shared = redis_server_start (NULL);

  store_contract_add ("/redis-store/contract", &contract);
  status = g_test_run ();
  redis_server_free (shared);
  return status;
}
