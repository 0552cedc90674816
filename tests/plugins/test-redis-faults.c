/* test-redis-faults.c — the redis store when server or network fail: each failure has an error that says what
 * to do, and what works again is used again without anybody's help.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "redis-server.h"
#include "store-world.h"

#define NOW_US G_GINT64_CONSTANT (1700000000000000)
#define SECOND_US G_GINT64_CONSTANT (1000000)

/* Where a test waits until it has passed: as short as may be. */
#define SHORT_TIMEOUT_US G_GINT64_CONSTANT (300000)

#define SECRET "hunter2"

static GType redis_store;

static StrandStore *
open_store (const char *uri)
{
  return g_object_new (redis_store, "uri", uri, NULL);
}

static void
put_key (StrandStore *store, const char *key)
{
  g_autoptr(StrandRecord) record = store_basics_record (key);
  g_autoptr(GError) error = NULL;

  strand_store_put (store, record, 0, &error);
  g_assert_no_error (error);
}

static void
assert_there (StrandStore *store, const char *key)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandRecord) record = strand_store_get (store, key, &error);

  g_assert_no_error (error);
}

/* That a get fails so, says this, and does not say a password. */
static void
assert_get_fails (StrandStore *store, GQuark domain, int code, const char *says)
{
  g_autoptr(GError) error = NULL;

  g_assert_null (strand_store_get (store, "job-17", &error));
  g_test_message ("%s", error->message);
  g_assert_error (error, domain, code);
  g_assert_nonnull (strstr (error->message, says));
  g_assert_null (strstr (error->message, SECRET));
}

static void
assert_put_fails (StrandStore *store, int code, const char *says)
{
  g_autoptr(StrandRecord) record = store_basics_record ("new");
  g_autoptr(GError) error = NULL;

  g_assert_false (strand_store_put (store, record, 0, &error));
  g_test_message ("%s", error->message);
  g_assert_error (error, G_IO_ERROR, code);
  g_assert_nonnull (strstr (error->message, says));
}

#define tell(server, ...)                                                                                    \
  G_STMT_START                                                                                               \
  {                                                                                                          \
    g_autofree char *answer_ = redis_server_say (server, __VA_ARGS__);                                       \
    g_assert_cmpstr (answer_, ==, "OK");                                                                     \
  }                                                                                                          \
  G_STMT_END

/* --- refusals ------------------------------------------------------------------------------------------ */

static void
test_nobody_there_says_so (void)
{
  g_autofree char *uri = g_strdup_printf ("redis://127.0.0.1:%u", redis_server_find_port ());
  g_autoptr(StrandStore) store = open_store (uri);
  g_autoptr(StrandStore) nowhere = open_store ("redis://no-such-host.invalid");
  g_autoptr(GError) error = NULL;

  assert_get_fails (store, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED, uri);
  g_assert_null (strand_store_get (nowhere, "job-17", &error));
  g_assert_cmpuint (error->domain, ==, G_RESOLVER_ERROR);
}

static void
test_passwords_are_checked_and_kept_secret (void)
{
  g_autoptr(RedisServer) server = redis_server_start (REDIS_OPTIONS ("--requirepass", SECRET));
  g_autoptr(RedisServer) open = redis_server_start (NULL);
  g_autofree char *user_uri = g_strconcat ("unix://nobody@", server->socket, NULL);
  g_autoptr(StrandStore) right = g_object_new (redis_store, "uri", server->uri, "password", SECRET, NULL);
  g_autoptr(StrandStore) none = open_store (server->uri);
  g_autoptr(StrandStore) wrong =
      g_object_new (redis_store, "uri", server->uri, "password", SECRET "3", NULL);
  g_autoptr(StrandStore) user = g_object_new (redis_store, "uri", user_uri, "password", SECRET, NULL);
  g_autoptr(StrandStore) needless = g_object_new (redis_store, "uri", open->uri, "password", SECRET, NULL);
  g_autofree char *shown = NULL;

  put_key (right, "job-17");
  assert_there (right, "job-17");
  g_object_get (right, "password", &shown, NULL);
  g_assert_null (shown);
  assert_get_fails (none, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED, "it wants a password");
  assert_get_fails (wrong, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED, "refuses this user name or password");
  assert_get_fails (user, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED, "refuses this user name or password");
  assert_get_fails (needless, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED, "it has no password");
}

static void
test_lacking_right_says_so (void)
{
  g_autoptr(RedisServer) server = redis_server_start (NULL);
  g_autofree char *uri = g_strconcat ("unix://guest@", server->socket, NULL);
  g_autoptr(StrandStore) store = g_object_new (redis_store, "uri", uri, "password", SECRET, NULL);

  tell (server, "ACL SETUSER guest on >" SECRET " ~* +ping");
  assert_get_fails (store, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED, "lacks a right");
  assert_put_fails (store, G_IO_ERROR_PERMISSION_DENIED, "lacks a right");

  /* The right to publish alone is lacking: nothing is half done. */
  tell (server, "ACL SETUSER guest +@all");
  assert_put_fails (store, G_IO_ERROR_PERMISSION_DENIED, "lacks a right");
  assert_get_fails (store, STRAND_ERROR, STRAND_ERROR_NOT_FOUND, "no record");
  tell (server, "ACL SETUSER guest allchannels");
  put_key (store, "job-17");
}

static void
test_unknown_database_says_so (void)
{
  g_autoptr(RedisServer) server = redis_server_start (REDIS_OPTIONS ("--databases", "2"));
  g_autofree char *uri = g_strconcat (server->uri, "?db=2", NULL);
  g_autoptr(StrandStore) store = open_store (uri);

  assert_get_fails (store, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "fewer databases");
}

static void
test_full_server_takes_nothing_and_can_be_emptied (void)
{
  static const char *const queues[] = { "mail", NULL };
  const StrandClaim claim = { queues, "worker-1", NOW_US, 10 };
  g_autoptr(RedisServer) server = redis_server_start (NULL);
  g_autoptr(StrandStore) store = open_store (server->uri);
  g_autoptr(StrandRecord) work = store_basics_record ("work");
  g_autoptr(GError) error = NULL;
  gint64 next_us;

  put_key (store, "job-17");
  strand_record_set_string (work, STRAND_FIELD_QUEUE, "mail");
  strand_store_put (store, work, 0, &error);
  g_assert_no_error (error);

  tell (server, "CONFIG SET maxmemory 1");
  assert_put_fails (store, G_IO_ERROR_NO_SPACE, "maxmemory");
  strand_record_set_string (work, STRAND_FIELD_MESSAGE, "changed");
  g_assert_false (strand_store_put (store, work, 1, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_clear_error (&error);
  g_assert_null (strand_store_claim (store, &claim, &next_us, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_clear_error (&error);

  /* Nothing has been half done. */
  g_clear_pointer (&work, strand_record_unref);
  work = strand_store_get (store, "work", &error);
  g_assert_no_error (error);
  g_assert_cmpuint (strand_record_get_revision (work), ==, 1);
  g_assert_null (strand_record_get_string (work, STRAND_FIELD_MESSAGE));
  g_assert_cmpint (strand_record_get_status (work), ==, STRAND_STATUS_PENDING);
  g_assert_true (strand_store_remove (store, "job-17", 0, &error));

  tell (server, "CONFIG SET maxmemory 0");
  put_key (store, "new");
}

static void
test_replica_can_be_read (void)
{
  g_autoptr(RedisServer) server = redis_server_start (NULL);
  g_autoptr(StrandStore) store = open_store (server->uri);
  g_autoptr(StrandPage) page = NULL;
  g_autoptr(GError) error = NULL;

  put_key (store, "job-17");
  tell (server, "REPLICAOF 127.0.0.1 1");
  assert_there (store, "job-17");
  assert_put_fails (store, G_IO_ERROR_READ_ONLY, "read-only replica");
  g_assert_false (strand_store_remove (store, "job-17", 0, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_READ_ONLY);
  g_clear_error (&error);
  page = strand_store_list (store, NULL, NULL, 10, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (strand_page_get_records (page)->len, ==, 1);
  g_assert_cmpint (strand_store_count (store, NULL, NULL), ==, 1);

  tell (server, "REPLICAOF NO ONE");
  put_key (store, "new");
}

static void
test_who_is_no_redis_is_told_apart (void)
{
  g_autoptr(RedisImpostor) web = redis_impostor_new ("HTTP/1.1 400 Bad Request\r\n\r\n");
  g_autoptr(RedisImpostor) tls = redis_impostor_new ("\x15\x03\x01");
  g_autoptr(RedisImpostor) mute = redis_impostor_new ("");
  g_autoptr(RedisImpostor) rude = redis_impostor_new (NULL);
  g_autoptr(StrandStore) at_web = open_store (redis_impostor_get_uri (web));
  g_autoptr(StrandStore) at_tls = open_store (redis_impostor_get_uri (tls));
  g_autoptr(StrandStore) at_rude = open_store (redis_impostor_get_uri (rude));
  g_autoptr(StrandStore) at_mute = g_object_new (redis_store, "uri", redis_impostor_get_uri (mute),
                                                  "command-timeout", SHORT_TIMEOUT_US, NULL);
  g_autoptr(GError) error = NULL;

  assert_get_fails (at_web, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "is no redis server");
  assert_get_fails (at_tls, G_TLS_ERROR, G_TLS_ERROR_NOT_TLS, "rediss://");
  assert_get_fails (at_mute, G_IO_ERROR, G_IO_ERROR_TIMED_OUT, "'command-timeout'");

  /* Whether it is seen to hang up when being read from or written to is chance. */
  g_assert_null (strand_store_get (at_rude, "job-17", &error));
  g_assert_true (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED));
}

/* --- TLS ----------------------------------------------------------------------------------------------- */

typedef struct
{
  char *folder;
  RedisServer *server;
  guint port;
} Secured;

static void
run_openssl (const char *folder, const char *arguments)
{
  g_autofree char *line = g_strconcat ("openssl ", arguments, NULL);
  g_auto(GStrv) argv = NULL;
  g_autoptr(GError) error = NULL;
  int status;

  g_assert_true (g_shell_parse_argv (line, NULL, &argv, NULL));
  g_spawn_sync (folder, argv, NULL,
                G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL,
                NULL, NULL, &status, &error);
  g_assert_no_error (error);
  g_assert_cmpint (status, ==, 0);
}

/* A server with TLS, whose certificate an authority of the test's own has signed for 127.0.0.1. */
static gboolean
secured_set_up (Secured *self)
{
  g_autofree char *openssl = g_find_program_in_path ("openssl");
  g_autofree char *port = NULL;

  if (openssl == NULL || !g_tls_backend_supports_tls (g_tls_backend_get_default ()))
    {
      g_test_skip (openssl == NULL ? "openssl is not installed" : "glib-networking is not installed");
      return FALSE;
    }
  self->folder = g_dir_make_tmp ("strand-tls-XXXXXX", NULL);
  run_openssl (self->folder, "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 "
                             "-subj /CN=authority");
  run_openssl (self->folder, "req -x509 -newkey rsa:2048 -nodes -keyout other.key -out other.pem -days 2 "
                             "-subj /CN=another");
  run_openssl (self->folder, "req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 "
                             "-subj /CN=server -addext subjectAltName=IP:127.0.0.1 "
                             "-addext basicConstraints=critical,CA:FALSE -CA ca.pem -CAkey ca.key");
  return TRUE;
}

static void
secured_start (Secured *self, const char *clients)
{
  g_autofree char *port = NULL;
  g_autofree char *ca = g_build_filename (self->folder, "ca.pem", NULL);
  g_autofree char *cert = g_build_filename (self->folder, "cert.pem", NULL);
  g_autofree char *key = g_build_filename (self->folder, "key.pem", NULL);

  self->port = redis_server_find_port ();
  port = g_strdup_printf ("%u", self->port);
  self->server = redis_server_start (REDIS_OPTIONS ("--bind", "127.0.0.1", "--tls-port", port,
                                                    "--tls-cert-file", cert, "--tls-key-file", key,
                                                    "--tls-ca-cert-file", ca, "--tls-auth-clients", clients));
}

static void
secured_tear_down (Secured *self)
{
  g_clear_pointer (&self->server, redis_server_free);
  store_world_remove_tree (self->folder);
  g_free (self->folder);
}

static StrandStore *
open_secured (Secured *self, const char *host, const char *authority, const char *certificate)
{
  g_autofree char *uri = g_strdup_printf ("rediss://%s:%u", host, self->port);
  g_autofree char *ca = g_build_filename (self->folder, authority, NULL);
  g_autofree char *shown = certificate != NULL ? g_build_filename (self->folder, certificate, NULL) : NULL;

  return g_object_new (redis_store, "uri", uri, "tls-ca-file", ca, "tls-certificate-file", shown, NULL);
}

static void
test_tls_keeps_records (void)
{
  Secured secured = { 0 };
  g_autoptr(StrandStore) store = NULL;
  g_autoptr(StrandRecord) large = store_basics_record ("large");
  g_autofree char *text = g_strnfill (3 * 1024 * 1024, 'x');
  g_autoptr(StrandRecord) read = NULL;
  g_autoptr(GError) error = NULL;
  StoreBell bell;

  if (!secured_set_up (&secured))
    return;
  secured_start (&secured, "no");
  store = open_secured (&secured, "127.0.0.1", "ca.pem", NULL);
  put_key (store, "job-17");
  assert_there (store, "job-17");
  strand_record_set_string (large, STRAND_FIELD_MESSAGE, text);
  strand_store_put (store, large, 0, &error);
  g_assert_no_error (error);
  read = strand_store_get (store, "large", &error);
  g_assert_cmpstr (strand_record_get_string (read, STRAND_FIELD_MESSAGE), ==, text);

  store_bell_hang (&bell, store, "later");
  {
    g_autoptr(StrandStore) other = open_secured (&secured, "127.0.0.1", "ca.pem", NULL);

    put_key (other, "later");
  }
  store_bell_await (&bell, "later", TRUE);
  store_bell_take_down (&bell);
  g_clear_object (&store);
  secured_tear_down (&secured);
}

static void
test_tls_that_is_not_trusted_is_refused (void)
{
  Secured secured = { 0 };
  g_autoptr(StrandStore) stranger = NULL, elsewhere = NULL, missing = NULL;

  if (!secured_set_up (&secured))
    return;
  secured_start (&secured, "no");
  stranger = open_secured (&secured, "127.0.0.1", "other.pem", NULL);
  assert_get_fails (stranger, G_TLS_ERROR, G_TLS_ERROR_BAD_CERTIFICATE, "'tls-ca-file'");
  elsewhere = open_secured (&secured, "localhost", "ca.pem", NULL);
  assert_get_fails (elsewhere, G_TLS_ERROR, G_TLS_ERROR_BAD_CERTIFICATE, "for another host");
  missing = open_secured (&secured, "127.0.0.1", "none.pem", NULL);
  assert_get_fails (missing, G_TLS_ERROR, G_TLS_ERROR_MISC, "'tls-ca-file'");
  secured_tear_down (&secured);
}

static void
test_tls_shows_its_certificate (void)
{
  Secured secured = { 0 };
  g_autoptr(StrandStore) without = NULL, with = NULL;
  g_autofree char *cert = NULL, *key = NULL, *both = NULL, *path = NULL;
  g_autoptr(GError) error = NULL;

  if (!secured_set_up (&secured))
    return;
  secured_start (&secured, "yes");
  path = g_build_filename (secured.folder, "cert.pem", NULL);
  g_assert_true (g_file_get_contents (path, &cert, NULL, NULL));
  g_free (path);
  path = g_build_filename (secured.folder, "key.pem", NULL);
  g_assert_true (g_file_get_contents (path, &key, NULL, NULL));
  g_free (path);
  path = g_build_filename (secured.folder, "both.pem", NULL);
  both = g_strconcat (cert, key, NULL);
  g_assert_true (g_file_set_contents (path, both, -1, NULL));

  with = open_secured (&secured, "127.0.0.1", "ca.pem", "both.pem");
  put_key (with, "job-17");
  without = open_secured (&secured, "127.0.0.1", "ca.pem", NULL);
  g_assert_null (strand_store_get (without, "job-17", &error));
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, "'tls-certificate-file'"));
  secured_tear_down (&secured);
}

static void
test_tls_where_there_is_none_says_so (void)
{
  g_autofree char *port = g_strdup_printf ("%u", redis_server_find_port ());
  g_autoptr(RedisServer) server = redis_server_start (REDIS_OPTIONS ("--bind", "127.0.0.1", "--port", port));
  g_autofree char *uri = g_strdup_printf ("rediss://127.0.0.1:%s", port);
  g_autoptr(StrandStore) store =
      g_object_new (redis_store, "uri", uri, "command-timeout", SHORT_TIMEOUT_US, NULL);
  g_autoptr(GError) error = NULL;

  if (!g_tls_backend_supports_tls (g_tls_backend_get_default ()))
    {
      assert_get_fails (store, G_TLS_ERROR, G_TLS_ERROR_UNAVAILABLE, "install glib-networking");
      return;
    }
  g_assert_null (strand_store_get (store, "job-17", &error));
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, "no TLS"));
  g_assert_nonnull (strstr (error->message, "redis://"));
}

/* --- connections that are lost ------------------------------------------------------------------------- */

static void
test_write_whose_answer_is_lost_is_done_once (void)
{
  static const char *const queues[] = { "mail", NULL };
  const StrandClaim claim = { queues, "worker-1", NOW_US, 1 };
  g_autoptr(RedisServer) server = redis_server_start (NULL);
  g_autoptr(RedisRelay) relay = redis_relay_new (server);
  g_autoptr(StrandStore) store = open_store (redis_relay_get_uri (relay));
  g_autoptr(StrandRecord) record = store_basics_record ("job-17");
  g_autoptr(GPtrArray) work = NULL;
  g_autoptr(GError) error = NULL;
  gint64 next_us;

  g_assert_cmpint (strand_store_count (store, NULL, NULL), ==, 0);
  strand_record_set_string (record, STRAND_FIELD_QUEUE, "mail");
  redis_relay_swallow (relay, "OK");
  strand_store_put (store, record, 0, &error);
  g_assert_no_error (error);
  redis_relay_swallow (relay, "OK");
  strand_store_put (store, record, 1, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (strand_record_get_revision (record), ==, 2);

  /* There is another call that a claim of one could take when it is sent again. */
  g_clear_pointer (&record, strand_record_unref);
  record = store_basics_record ("job-18");
  strand_record_set_string (record, STRAND_FIELD_QUEUE, "mail");
  strand_store_put (store, record, 0, &error);
  redis_relay_swallow (relay, "job-17");
  work = strand_store_claim (store, &claim, &next_us, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (work->len, ==, 1);
  g_assert_cmpstr (strand_record_get_key (work->pdata[0]), ==, "job-17");
  g_assert_cmpint (strand_record_get_int (work->pdata[0], STRAND_FIELD_FENCE), ==, 1);

  redis_relay_swallow (relay, "OK");
  g_assert_true (strand_store_remove (store, "job-17", 0, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (redis_relay_count (relay), ==, 5);
}

static void
test_batch_whose_answers_are_lost_is_done_once (void)
{
  g_autoptr(RedisServer) server = redis_server_start (NULL);
  g_autoptr(RedisRelay) relay = redis_relay_new (server);
  g_autoptr(StrandStore) store = open_store (redis_relay_get_uri (relay));
  StrandRecord *records[50];
  GError *errors[50] = { NULL };
  guint64 expected[50] = { 0 };

  g_assert_cmpint (strand_store_count (store, NULL, NULL), ==, 0);
  for (guint i = 0; i < G_N_ELEMENTS (records); i++)
    {
      g_autofree char *key = g_strdup_printf ("job-%u", i);

      records[i] = store_basics_record (key);
    }
  redis_relay_swallow (relay, "OK");
  g_assert_cmpuint (strand_store_put_batch (store, records, expected, G_N_ELEMENTS (records), errors), ==,
                    G_N_ELEMENTS (records));
  g_assert_cmpint (strand_store_count (store, NULL, NULL), ==, G_N_ELEMENTS (records));
  for (guint i = 0; i < G_N_ELEMENTS (records); i++)
    strand_record_unref (records[i]);
}

static void
test_silent_connection_is_given_up (void)
{
  g_autoptr(RedisServer) server = redis_server_start (NULL);
  g_autoptr(RedisRelay) relay = redis_relay_new (server);
  g_autoptr(StrandStore) store = g_object_new (redis_store, "uri", redis_relay_get_uri (relay),
                                                "command-timeout", SHORT_TIMEOUT_US, NULL);

  put_key (store, "job-17");
  redis_relay_freeze (relay);
  assert_get_fails (store, G_IO_ERROR, G_IO_ERROR_TIMED_OUT, "'command-timeout'");
  assert_there (store, "job-17");
  g_assert_cmpuint (redis_relay_count (relay), ==, 2);
}

static void
test_stopped_server_is_waited_for_no_longer_than_may_be (void)
{
  g_autoptr(RedisServer) server = redis_server_start (NULL);
  g_autoptr(StrandStore) store =
      g_object_new (redis_store, "uri", server->uri, "command-timeout", SHORT_TIMEOUT_US, NULL);

  put_key (store, "job-17");
  kill (server->pid, SIGSTOP);
  assert_get_fails (store, G_IO_ERROR, G_IO_ERROR_TIMED_OUT, server->uri);
  kill (server->pid, SIGCONT);
  assert_there (store, "job-17");
}

static void
test_server_that_is_gone_says_so_in_time (void)
{
  g_autoptr(RedisServer) server = redis_server_start (NULL);
  g_autoptr(StrandStore) store =
      g_object_new (redis_store, "uri", server->uri, "command-timeout", SHORT_TIMEOUT_US, NULL);
  g_autoptr(GError) error = NULL;

  put_key (store, "job-17");
  redis_server_kill (server);
  g_assert_null (strand_store_get (store, "job-17", &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED);
  redis_server_start_again (server);
  put_key (store, "job-17");
}

static void
test_forgotten_scripts_are_loaded_again (void)
{
  g_autoptr(RedisServer) server = redis_server_start (NULL);
  g_autoptr(StrandStore) store = open_store (server->uri);

  put_key (store, "job-17");
  tell (server, "SCRIPT FLUSH");
  put_key (store, "job-18");
}

/* What the server has refused to run has not been done, however often it is sent. */
static void
test_refused_removal_has_removed_nothing (void)
{
  g_autoptr(RedisServer) server = redis_server_start (NULL);
  g_autoptr(StrandStore) store = open_store (server->uri);
  g_autoptr(GError) error = NULL;

  tell (server, "SCRIPT FLUSH");
  g_assert_false (strand_store_remove (store, "job-17", 0, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND);
}

static void
test_too_many_clients_is_busy (void)
{
  g_autoptr(RedisServer) server = redis_server_start (NULL);
  g_autoptr(StrandStore) first = open_store (server->uri);
  g_autoptr(StrandStore) second =
      g_object_new (redis_store, "uri", server->uri, "command-timeout", SHORT_TIMEOUT_US, NULL);

  put_key (first, "job-17");
  tell (server, "CONFIG SET maxclients 1");
  assert_get_fails (second, G_IO_ERROR, G_IO_ERROR_BUSY, "too many clients");
  g_clear_object (&first);
  while (TRUE)
    {
      /* The server notices a client's end when it next looks, before or after the next one comes. */
      g_autoptr(GError) error = NULL;
      g_autoptr(StrandRecord) record = strand_store_get (second, "job-17", &error);

      if (record != NULL)
        break;
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_BUSY);
    }
}

/* --- watching ------------------------------------------------------------------------------------------ */

static void
test_watcher_looks_again_after_a_restart (void)
{
  g_autoptr(RedisServer) server = redis_server_start (NULL);
  g_autoptr(StrandStore) store = open_store (server->uri);
  g_autoptr(StrandStore) other = open_store (server->uri);
  StoreBell bell;

  store_bell_hang (&bell, store, "job-17");
  redis_server_kill (server);
  redis_server_start_again (server);

  /* Before or after the watcher is back, nobody knows: it must hear of it either way. */
  put_key (other, "job-17");
  store_bell_await (&bell, "job-17", TRUE);
  store_bell_take_down (&bell);
}

static void
test_watcher_may_come_before_the_server (void)
{
  g_autoptr(RedisServer) server = redis_server_start (NULL);
  g_autoptr(StrandStore) store = open_store (server->uri);
  g_autoptr(StrandStore) other = open_store (server->uri);
  StoreBell bell;

  redis_server_kill (server);
  g_assert_cmpint (g_unlink (server->socket), ==, 0);
  store_bell_hang (&bell, store, "job-17");
  redis_server_start_again (server);
  put_key (other, "job-17");
  store_bell_await (&bell, "job-17", TRUE);
  store_bell_take_down (&bell);
}

/* --- restarts under load ------------------------------------------------------------------------------- */

#define N_WRITERS 4

typedef struct
{
  StrandStore *store;
  guint number;
  int stop; /* atomic */
  guint n_accepted;
} Writer;

/* Puts one record after the other; no put may fail. */
static gpointer
write_on (gpointer data)
{
  Writer *self = data;

  while (!g_atomic_int_get (&self->stop))
    {
      g_autofree char *key = g_strdup_printf ("job-%u-%u", self->number, self->n_accepted);

      put_key (self->store, key);
      g_atomic_int_inc (&self->n_accepted);
    }
  return NULL;
}

static void
await_writes (Writer *writers, guint n_more)
{
  for (guint i = 0; i < N_WRITERS; i++)
    {
      guint before = g_atomic_int_get (&writers[i].n_accepted);

      wait_still ((guint) g_atomic_int_get (&writers[i].n_accepted) >= before + n_more);
    }
}

static void
test_restarts_under_load_lose_nothing_that_was_accepted (void)
{
  g_autoptr(RedisServer) server =
      redis_server_start (REDIS_OPTIONS ("--appendonly", "yes", "--appendfsync", "always"));
  g_autoptr(StrandStore) store =
      g_object_new (redis_store, "uri", server->uri, "command-timeout", 60 * SECOND_US, NULL);
  Writer writers[N_WRITERS];
  GThread *threads[N_WRITERS];

  g_assert_cmpint (strand_store_count (store, NULL, NULL), ==, 0);
  for (guint i = 0; i < N_WRITERS; i++)
    {
      writers[i] = (Writer){ store, i, FALSE, 0 };
      threads[i] = g_thread_new ("writer", write_on, &writers[i]);
    }
  for (guint round = 0; round < 5; round++)
    {
      await_writes (writers, 10);
      redis_server_kill (server);
      redis_server_start_again (server);
    }
  await_writes (writers, 10);
  for (guint i = 0; i < N_WRITERS; i++)
    g_atomic_int_set (&writers[i].stop, TRUE);
  for (guint i = 0; i < N_WRITERS; i++)
    g_thread_join (threads[i]);

  for (guint i = 0; i < N_WRITERS; i++)
    for (guint j = 0; j < writers[i].n_accepted; j++)
      {
        g_autofree char *key = g_strdup_printf ("job-%u-%u", i, j);

        assert_there (store, key);
      }
}

#define ADD(name, run) g_test_add_func ("/redis-faults/" name, run)

int
main (int argc, char **argv)
{
  if (!redis_server_is_there ())
    {
      puts ("1..0 # SKIP redis-server is not installed");
      return 0;
    }
  redis_store = store_basics_load ("redis-store");
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);

  ADD ("nobody-there-says-so", test_nobody_there_says_so);
  ADD ("passwords-are-checked-and-kept-secret", test_passwords_are_checked_and_kept_secret);
  ADD ("lacking-right-says-so", test_lacking_right_says_so);
  ADD ("unknown-database-says-so", test_unknown_database_says_so);
  ADD ("full-server-takes-nothing-and-can-be-emptied", test_full_server_takes_nothing_and_can_be_emptied);
  ADD ("replica-can-be-read", test_replica_can_be_read);
  ADD ("who-is-no-redis-is-told-apart", test_who_is_no_redis_is_told_apart);
  ADD ("tls-keeps-records", test_tls_keeps_records);
  ADD ("tls-that-is-not-trusted-is-refused", test_tls_that_is_not_trusted_is_refused);
  ADD ("tls-shows-its-certificate", test_tls_shows_its_certificate);
  ADD ("tls-where-there-is-none-says-so", test_tls_where_there_is_none_says_so);
  ADD ("write-whose-answer-is-lost-is-done-once", test_write_whose_answer_is_lost_is_done_once);
  ADD ("batch-whose-answers-are-lost-is-done-once", test_batch_whose_answers_are_lost_is_done_once);
  ADD ("silent-connection-is-given-up", test_silent_connection_is_given_up);
  ADD ("stopped-server-is-waited-for-no-longer-than-may-be",
       test_stopped_server_is_waited_for_no_longer_than_may_be);
  ADD ("server-that-is-gone-says-so-in-time", test_server_that_is_gone_says_so_in_time);
  ADD ("forgotten-scripts-are-loaded-again", test_forgotten_scripts_are_loaded_again);
  ADD ("refused-removal-has-removed-nothing", test_refused_removal_has_removed_nothing);
  ADD ("too-many-clients-is-busy", test_too_many_clients_is_busy);
  ADD ("watcher-looks-again-after-a-restart", test_watcher_looks_again_after_a_restart);
  ADD ("watcher-may-come-before-the-server", test_watcher_may_come_before_the_server);
  ADD ("restarts-under-load-lose-nothing-that-was-accepted",
       test_restarts_under_load_lose_nothing_that_was_accepted);

  return g_test_run ();
}
