/* store-fixture.c — the stores that one suite of cases runs over, whatever they are.
 *
 * A case is given a folder of its own, and its store is in there; a redis store has a prefix by that name on
 * the one server of the program, and the folder says where that is, so that other processes find it.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store-fixture.h"

#include "call-fixture.h"

#ifdef WITH_REDIS
#include "../plugins/redis-server.h"
#endif

#include <string.h>

static const char *const all_types[] = { "memory", "filesystem",
#ifdef WITH_SQLITE
                                         "sqlite",
#endif
#ifdef WITH_REDIS
                                         "redis",
#endif
                                         NULL };

/* Without the last one. */
static const char *const types_without_server[] = { "memory", "filesystem",
#ifdef WITH_SQLITE
                                                    "sqlite",
#endif
                                                    NULL };

#ifdef WITH_REDIS
static RedisServer *server;

static void
skip_redis (void)
{
  g_test_skip ("this machine has no redis-server");
}

static char *
dup_uri (const char *folder)
{
  g_autofree char *note = g_build_filename (folder, "uri", NULL);
  g_autoptr(GError) error = NULL;
  char *uri;

  if (g_file_get_contents (note, &uri, NULL, NULL))
    return uri;
  if (server == NULL)
    server = redis_server_start (NULL);
  g_file_set_contents (note, server->uri, -1, &error);
  g_assert_no_error (error);
  return g_strdup (server->uri);
}

static StrandStore *
open_redis (const char *folder)
{
  g_autofree char *prefix = g_path_get_basename (folder);
  g_autofree char *uri = dup_uri (folder);

  return make_store ("redis", "uri", uri, "prefix", prefix, NULL);
}
#endif

const char *const *
fixture_store_types (const char *path)
{
#ifdef WITH_REDIS
  g_autofree char *instead = g_strconcat (path, "/redis", NULL);

  if (redis_server_is_there ())
    return all_types;
  g_test_add_func (instead, skip_redis);
#endif
  return types_without_server;
}

StrandStore *
fixture_open_store (const char *type, const char *folder)
{
  g_autofree char *path = NULL;

#ifdef WITH_REDIS
  if (strcmp (type, "redis") == 0)
    return open_redis (folder);
#endif
  if (strcmp (type, "memory") == 0)
    return make_store ("memory", NULL);
  path = g_build_filename (folder, "store", NULL);
  return make_store (type, "path", path, NULL);
}

int
fixture_run_tests (void)
{
  int status = g_test_run ();

#ifdef WITH_REDIS
  g_clear_pointer (&server, redis_server_free);
#endif
  return status;
}
