/* bench-redis.c — the redis store beside hiredis on one connection to the same server, without persistence.
 *
 * The peer SETs and GETs the same record as JSON under the same key: one at a time, and 64 in flight. The
 * store writes a hash and the sets it stands in, by a script, and compares revisions. They take turns, on new
 * keys each time. Then: a worker's part (claim, settle, renew in batches), what a get and a claim cost among
 * many records that have ended, and how soon a watcher in another process has a record.
 *
 * `bench-redis 1000000` does the last but one with so many records, `bench-redis always` the first with
 * appendfsync=always.                              SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdio.h>
#include <strand.h>
#include <string.h>
#include <unistd.h>

#include "../plugins/redis-server.h"
#include "bench.h"

#define N_RECORDS 2000
#define N_ROUNDS 5
#define N_FLIGHT 64
#define N_WAKES 1000
#define N_LOOKS 2000

#define NOW_US G_GINT64_CONSTANT (1700000000000000)

static GType redis_store;

/* What a finished call of a small function leaves: some 700 bytes as JSON. */
static StrandRecord *
new_record (const char *prefix, guint round, guint number)
{
  g_autofree char *key = g_strdup_printf ("%s-%u-%u", prefix, round, number);
  g_autoptr(GBytes) arguments = g_bytes_new_static ("[\"/usr/share/doc/adduser/examples/README\"]", 40);
  g_autoptr(GBytes) value =
      g_bytes_new_static ("\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"", 66);
  StrandRecord *record = strand_record_new (key);

  strand_record_set_string (record, STRAND_FIELD_FUNCTION, "bench.sha256");
  strand_record_set_string (record, STRAND_FIELD_SERIALIZER, "json");
  strand_record_set_int (record, STRAND_FIELD_STATUS, STRAND_STATUS_COMPLETED);
  strand_record_set_int (record, STRAND_FIELD_ATTEMPT, 1);
  strand_record_set_int (record, STRAND_FIELD_CREATED, NOW_US);
  strand_record_set_int (record, STRAND_FIELD_STARTED, NOW_US + 100);
  strand_record_set_int (record, STRAND_FIELD_COMPLETED, NOW_US + 200);
  strand_record_set_string (record, STRAND_FIELD_ARGUMENTS_TYPE, "(s)");
  strand_record_set_bytes (record, STRAND_FIELD_ARGUMENTS, arguments);
  strand_record_set_string (record, STRAND_FIELD_VALUE_TYPE, "s");
  strand_record_set_bytes (record, STRAND_FIELD_VALUE, value);
  return record;
}

static StrandRecord *
new_work (guint round, guint number)
{
  StrandRecord *record = new_record ("work", round, number);

  strand_record_set_int (record, STRAND_FIELD_STATUS, STRAND_STATUS_PENDING);
  strand_record_set_string (record, STRAND_FIELD_QUEUE, "default");
  return record;
}

static StrandStore *
open_store (const char *uri)
{
  return g_object_new (redis_store, "uri", uri, "auto-cleanup", FALSE, NULL);
}

/* --- beside hiredis ------------------------------------------------------------------------------------ */

/* Each phase returns operations a second. @flight: how many are sent before the first answer is read. */

static double
peer_do (redisContext *context, GPtrArray *records, GBytes *value, guint flight)
{
  double start = bench_seconds ();
  gsize size = 0;
  const char *data = value != NULL ? g_bytes_get_data (value, &size) : NULL;

  for (guint i = 0; i < records->len; i += flight)
    {
      guint n = MIN (flight, records->len - i);

      for (guint j = i; j < i + n; j++)
        {
          const char *key = strand_record_get_key (records->pdata[j]);

          if (value != NULL)
            redisAppendCommand (context, "SET %s %b", key, data, size);
          else
            redisAppendCommand (context, "GET %s", key);
        }
      for (guint j = 0; j < n; j++)
        {
          void *reply = NULL;

          g_assert_cmpint (redisGetReply (context, &reply), ==, REDIS_OK);
          freeReplyObject (reply);
        }
    }
  return records->len / (bench_seconds () - start);
}

static double
put_records (StrandStore *store, GPtrArray *records)
{
  double start = bench_seconds ();

  for (guint i = 0; i < records->len; i++)
    if (!strand_store_put (store, records->pdata[i], strand_record_get_revision (records->pdata[i]), NULL))
      g_error ("could not put '%s'", strand_record_get_key (records->pdata[i]));
  return records->len / (bench_seconds () - start);
}

static double
put_batches (StrandStore *store, GPtrArray *records)
{
  double start = bench_seconds ();

  for (guint i = 0; i < records->len; i += N_FLIGHT)
    {
      guint n = MIN (N_FLIGHT, records->len - i);
      StrandRecord *const *some = (StrandRecord *const *) records->pdata + i;
      guint64 expected[N_FLIGHT];
      GError *errors[N_FLIGHT] = { NULL };

      for (guint j = 0; j < n; j++)
        expected[j] = strand_record_get_revision (some[j]);
      if (strand_store_put_batch (store, some, expected, n, errors) != n)
        g_error ("could not put all of a batch");
    }
  return records->len / (bench_seconds () - start);
}

static double
get_records (StrandStore *store, GPtrArray *records)
{
  double start = bench_seconds ();

  for (guint i = 0; i < records->len; i++)
    {
      g_autoptr(StrandRecord) record =
          strand_store_get (store, strand_record_get_key (records->pdata[i]), NULL);

      g_assert_nonnull (record);
    }
  return records->len / (bench_seconds () - start);
}

static void
report (const char *what, double *own, double *peer, const char *peer_name)
{
  g_autofree char *name = g_strconcat ("redis store: ", what, NULL);

  bench_report (name, bench_median (own, N_ROUNDS), "records/s", bench_median (peer, N_ROUNDS), peer_name);
}

static void
compare_with_hiredis (RedisServer *server)
{
  g_autoptr(StrandStore) store = open_store (server->uri);
  redisContext *context = redisConnectUnix (server->socket);
  double put[N_ROUNDS], change[N_ROUNDS], get[N_ROUNDS], batch[N_ROUNDS];
  double set[N_ROUNDS], read[N_ROUNDS], set_many[N_ROUNDS];

  for (guint round = 0; round < N_ROUNDS; round++)
    {
      g_autoptr(GPtrArray) records = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_record_unref);
      g_autoptr(GPtrArray) more = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_record_unref);
      g_autoptr(GBytes) bytes = NULL;

      for (guint i = 0; i < N_RECORDS; i++)
        {
          g_ptr_array_add (records, new_record ("bench", round, i));
          g_ptr_array_add (more, new_record ("batch", round, i));
        }
      bytes = strand_record_to_json (records->pdata[0]);

      set[round] = peer_do (context, records, bytes, 1);
      put[round] = put_records (store, records);
      change[round] = put_records (store, records);
      read[round] = peer_do (context, records, NULL, 1);
      get[round] = get_records (store, records);
      set_many[round] = peer_do (context, more, bytes, N_FLIGHT);
      batch[round] = put_batches (store, more);
    }
  report ("put a new record", put, set, "SET");
  report ("put a changed record", change, set, "SET");
  report ("get", get, read, "GET");
  report ("put new records, 64 a batch", batch, set_many, "SET, 64 in flight");
  redisFree (context);
}

/* --- a worker's part ----------------------------------------------------------------------------------- */

/* Claims of 64, all of which are then settled in one batch. */
static void
work_off (StrandStore *store, double *claim_s, double *settle_s)
{
  static const char *const queues[] = { "default", NULL };
  const StrandClaim claim = { queues, "bench", NOW_US, N_FLIGHT };
  guint n_taken;

  do
    {
      double start = bench_seconds ();
      gint64 next_us;
      g_autoptr(GPtrArray) work = strand_store_claim (store, &claim, &next_us, NULL);
      guint64 expected[N_FLIGHT];
      GError *errors[N_FLIGHT] = { NULL };

      *claim_s += bench_seconds () - start;
      n_taken = work->len;
      start = bench_seconds ();
      for (guint i = 0; i < n_taken; i++)
        {
          expected[i] = strand_record_get_revision (work->pdata[i]);
          strand_record_end (work->pdata[i], STRAND_STATUS_COMPLETED, NOW_US);
        }
      g_assert_cmpuint (
          strand_store_put_batch (store, (StrandRecord *const *) work->pdata, expected, n_taken, errors), ==,
          n_taken);
      *settle_s += bench_seconds () - start;
    }
  while (n_taken > 0);
}

static void
measure_work (RedisServer *server)
{
  g_autoptr(StrandStore) store = open_store (server->uri);
  redisContext *context = redisConnectUnix (server->socket);
  double claim[N_ROUNDS], settle[N_ROUNDS], whole[N_ROUNDS], peer[N_ROUNDS];

  for (guint round = 0; round < N_ROUNDS; round++)
    {
      g_autoptr(GPtrArray) work = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_record_unref);
      g_autoptr(GBytes) bytes = NULL;
      double claim_s = 0, settle_s = 0;
      double put_rate;

      for (guint i = 0; i < N_RECORDS; i++)
        g_ptr_array_add (work, new_work (round, i));
      bytes = strand_record_to_json (work->pdata[0]);
      peer[round] = peer_do (context, work, bytes, N_FLIGHT);
      put_rate = put_batches (store, work);
      work_off (store, &claim_s, &settle_s);
      claim[round] = N_RECORDS / claim_s;
      settle[round] = N_RECORDS / settle_s;
      whole[round] = 1 / (1 / put_rate + 1 / claim[round] + 1 / settle[round]);
    }
  report ("claim, 64 at once", claim, peer, "SET, 64 in flight");
  report ("settle, 64 a batch", settle, peer, "SET, 64 in flight");
  report ("put, claim, settle", whole, peer, "SET, 64 in flight");
  redisFree (context);
}

/* --- among many records -------------------------------------------------------------------------------- */

/* By one script, as a million puts would take a minute. */
static void
fill (RedisServer *server, guint n_from, guint n_to)
{
  for (guint i = n_from; i < n_to; i += 1000)
    g_free (redis_server_say (
        server, "EVAL %s 0 %u %u",
        "for i = ARGV[1], ARGV[2] do\n"
        "  redis.call('HSET', '{strand}:r:ended-' .. i, 'revision', 1, 'function', 'bench.sha256',\n"
        "             'status', 'completed', 'completed', '1700000000000000', 'value-type', 's',\n"
        "             'value', string.rep('x', 300))\n"
        "  redis.call('ZADD', '{strand}:i:call:completed', 0, 'ended-' .. i)\n"
        "end",
        i, MIN (i + 1000, n_to) - 1));
}

/* Microseconds for one. */
static double
measure_get (StrandStore *store, guint n_records)
{
  double start = bench_seconds ();

  for (guint i = 0; i < N_LOOKS; i++)
    {
      g_autofree char *key = g_strdup_printf ("ended-%d", g_random_int_range (0, n_records));
      g_autoptr(StrandRecord) record = strand_store_get (store, key, NULL);

      g_assert_nonnull (record);
    }
  return (bench_seconds () - start) / N_LOOKS * 1e6;
}

static double
measure_claim (StrandStore *store, guint round)
{
  static const char *const queues[] = { "default", NULL };
  const StrandClaim claim = { queues, "bench", NOW_US, 1 };
  double start;

  for (guint i = 0; i < N_LOOKS; i++)
    {
      g_autoptr(StrandRecord) record = new_work (round, i);

      g_assert_true (strand_store_put (store, record, 0, NULL));
    }
  start = bench_seconds ();
  for (guint i = 0; i < N_LOOKS; i++)
    {
      gint64 next_us;
      g_autoptr(GPtrArray) work = strand_store_claim (store, &claim, &next_us, NULL);

      g_assert_cmpuint (work->len, ==, 1);
    }
  return (bench_seconds () - start) / N_LOOKS * 1e6;
}

static void
compare_sizes (RedisServer *server, guint n_many)
{
  g_autoptr(StrandStore) store = open_store (server->uri);
  g_autofree char *get_name = g_strdup_printf ("redis store: get among %u", n_many);
  g_autofree char *claim_name = g_strdup_printf ("redis store: claim one among %u ended", n_many);
  double get_few, claim_few;

  fill (server, 0, 1000);
  get_few = measure_get (store, 1000);
  claim_few = measure_claim (store, 1000);
  fill (server, 1000, n_many);
  bench_report (get_name, measure_get (store, n_many), "us", get_few, "among 1000");
  bench_report (claim_name, measure_claim (store, 1001), "us", claim_few, "among 1000");
}

/* --- waking another process ---------------------------------------------------------------------------- */

/* The other process: puts a record for each byte that it reads, with the time at which it began. */
static int
put_on_demand (const char *uri)
{
  g_autoptr(StrandStore) store = open_store (uri);
  char byte;

  for (guint i = 0; read (STDIN_FILENO, &byte, 1) == 1; i++)
    {
      g_autoptr(StrandRecord) record = new_record ("wake", 0, i);

      strand_record_set_int (record, STRAND_FIELD_CREATED, g_get_monotonic_time ());
      g_assert_true (strand_store_put (store, record, 0, NULL));
    }
  return 0;
}

typedef struct
{
  GMutex lock;
  GCond told;
  gboolean changed;
} Bell;

static void
ring (StrandStore *store, const char *key, gpointer data)
{
  Bell *bell = data;

  g_mutex_lock (&bell->lock);
  bell->changed = TRUE;
  g_cond_signal (&bell->told);
  g_mutex_unlock (&bell->lock);
}

/* Waits for a record and returns how old it is, in microseconds. */
static double
await_record (StrandStore *store, Bell *bell, const char *key)
{
  for (;;)
    {
      g_autoptr(StrandRecord) record = strand_store_get (store, key, NULL);

      if (record != NULL)
        return g_get_monotonic_time () - strand_record_get_int (record, STRAND_FIELD_CREATED);
      g_mutex_lock (&bell->lock);
      while (!bell->changed)
        g_cond_wait (&bell->told, &bell->lock);
      bell->changed = FALSE;
      g_mutex_unlock (&bell->lock);
    }
}

static void
measure_wakes (const char *program, const char *uri)
{
  g_autoptr(GSubprocess) other =
      g_subprocess_new (G_SUBPROCESS_FLAGS_STDIN_PIPE, NULL, program, "--put", uri, NULL);
  GOutputStream *demand = g_subprocess_get_stdin_pipe (other);
  g_autoptr(StrandStore) store = open_store (uri);
  g_autofree double *times = g_new (double, N_WAKES);
  Bell bell = { 0 };
  guint id = strand_store_watch (store, NULL, ring, &bell, NULL);

  for (guint i = 0; i < N_WAKES; i++)
    {
      g_autofree char *key = g_strdup_printf ("wake-0-%u", i);

      g_assert_true (g_output_stream_write_all (demand, "x", 1, NULL, NULL, NULL));
      times[i] = await_record (store, &bell, key);
    }
  strand_store_unwatch (store, id);
  g_output_stream_close (demand, NULL, NULL);
  g_subprocess_wait (other, NULL, NULL);

  bench_report ("redis store: put here to record there, p50", bench_median (times, N_WAKES), "us", 0, NULL);
  bench_report ("redis store: put here to record there, p99", times[N_WAKES * 99 / 100], "us", 0, NULL);
}

/* --- limits that processes share --------------------------------------------------------------------------
 */

#define N_DECISIONS 20000

static GVariant *
do_nothing (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  return g_variant_new_boolean (TRUE);
}

static void
count_end (StrandCall *call, GVariant *value, gpointer n_ended)
{
  ++*(guint *) n_ended;
}

/* Calls that pass a rate limit which is counted in the server, all at once: each waits for its decision. */
static void
measure_decisions (const char *uri)
{
  g_autofree char *text =
      g_strdup_printf ("[store kept]\ntype=memory\nttl=0\n[store shared]\ntype=redis\nuri=%s\n"
                       "[middleware limit]\ntype=rate-limit\nmax-calls=1000000\nper=1s\nstore=shared\n"
                       "[backend jobs]\ntype=local\ntaskrunner=thread\nstore=kept\nmiddleware=limit\n",
                       uri);
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandStack) stack = strand_stack_new_from_data (text, -1, "bench", &error);
  g_autoptr(GObject) backend = NULL;
  g_autoptr(StrandFunction) function = NULL;
  g_autoptr(StrandTask) task = NULL;
  guint n_ended = 0;
  gint64 start_us;

  g_assert_no_error (error);
  backend = strand_stack_ref_target (stack, NULL, &error);
  g_assert_no_error (error);
  function =
      strand_function_new ("bench.nothing", "-> b", NULL, STRAND_TRAIT_NONE, do_nothing, NULL, NULL, NULL);
  task = strand_task_new (function, backend);
  strand_task_on_end (task, count_end, &n_ended, NULL);
  start_us = g_get_monotonic_time ();
  for (guint i = 0; i < N_DECISIONS; i++)
    strand_task_post (task, NULL);
  while (n_ended < N_DECISIONS)
    g_main_context_iteration (NULL, TRUE);
  bench_report ("redis store: calls through a shared rate limit",
                N_DECISIONS * (double) G_USEC_PER_SEC / (double) (g_get_monotonic_time () - start_us),
                "decisions/s", 0, NULL);
  g_clear_object (&task);
  strand_stack_close (stack, -1, NULL);
}

int
main (int argc, char **argv)
{
  gboolean always = argc == 2 && strcmp (argv[1], "always") == 0;
  guint64 n_many = argc == 2 && !always ? g_ascii_strtoull (argv[1], NULL, 10) : 100000;
  g_autoptr(RedisServer) server = NULL;
  g_autoptr(GError) error = NULL;

  if (!redis_server_is_there ())
    {
      g_print ("redis store: nothing measured, as redis-server is not installed\n");
      return 0;
    }
  redis_store = strand_plugins_load (strand_plugins_get_default (), STRAND_KIND_STORE, "redis", &error);
  g_assert_no_error (error);
  g_type_class_ref (redis_store);
  if (argc == 3)
    return put_on_demand (argv[2]);

  server =
      redis_server_start (always ? REDIS_OPTIONS ("--appendonly", "yes", "--appendfsync", "always") : NULL);
  if (argc == 1 || always)
    compare_with_hiredis (server);
  if (argc == 1 || always)
    measure_work (server);
  if (!always)
    compare_sizes (server, n_many);
  if (argc == 1)
    {
      measure_wakes (argv[0], server->uri);
      measure_decisions (server->uri);
    }
  return 0;
}
