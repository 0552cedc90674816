/* test-redis-store.c — with a real server, what the redis store promises beyond what all do:
 * a layout that others can read and write, sets that agree with the records, work in its order. What becomes
 * of it when server or network fail is tested in test-redis-faults.c.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "redis-server.h"
#include "store-world.h"

#define NOW_US G_GINT64_CONSTANT (1700000000000000)
#define SECOND_US G_GINT64_CONSTANT (1000000)

#define N_THREADS 8

static GType redis_store;
static RedisServer *shared; /* by all tests but those that change the server: each has a prefix of its own */

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

typedef struct
{
  char *prefix;
  StrandStore *store;
} Fixture;

static void
set_up (Fixture *f, gconstpointer unused)
{
  f->prefix = make_place ();
  f->store = open_place (f->prefix);
  /* Nothing is to go but by what a test does. */
  g_object_set (f->store, "auto-cleanup", FALSE, NULL);
}

static void
tear_down (Fixture *f, gconstpointer unused)
{
  strand_clock_set_system ();
  g_object_unref (f->store);
  g_free (f->prefix);
}

static void
put (StrandStore *store, StrandRecord *record)
{
  g_autoptr(GError) error = NULL;

  strand_store_put (store, record, strand_record_get_revision (record), &error);
  g_assert_no_error (error);
}

static void
put_key (StrandStore *store, const char *key)
{
  g_autoptr(StrandRecord) record = store_basics_record (key);

  put (store, record);
}

static void
put_work (StrandStore *store, const char *key, const char *queue, gint64 created_us, gint64 not_before_us,
          gint64 priority)
{
  g_autoptr(StrandRecord) record = store_basics_record (key);

  strand_record_set_string (record, STRAND_FIELD_QUEUE, queue);
  strand_record_set_int (record, STRAND_FIELD_CREATED, created_us);
  strand_record_set_int (record, STRAND_FIELD_NOT_BEFORE, not_before_us);
  strand_record_set_int (record, STRAND_FIELD_PRIORITY, priority);
  put (store, record);
}

static StrandRecord *
get (StrandStore *store, const char *key)
{
  g_autoptr(GError) error = NULL;
  StrandRecord *record = strand_store_get (store, key, &error);

  g_assert_no_error (error);
  return record;
}

/* What a command of another program answers. */
#define assert_says(expected, ...)                                                                           \
  G_STMT_START                                                                                               \
  {                                                                                                          \
    g_autofree char *answer_ = redis_server_say (shared, __VA_ARGS__);                                       \
    g_assert_cmpstr (answer_, ==, expected);                                                                 \
  }                                                                                                          \
  G_STMT_END

/* --- settings ------------------------------------------------------------------------------------------ */

static void
test_construction_opens_nothing (void)
{
  g_autoptr(StrandStore) store = g_object_new (redis_store, "uri", "unix:///nowhere/redis.sock", NULL);
  g_autoptr(GError) error = NULL;

  g_assert_null (strand_store_get (store, "job-17", &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
  g_assert_nonnull (strstr (error->message, "'unix:///nowhere/redis.sock"));
}

static void
test_mistaken_uri_says_what_is_allowed (void)
{
  static const struct
  {
    const char *uri, *prefix, *says;
  } cases[] = {
    { "localhost:6379", "p", "scheme" },
    { "", "p", "cannot be read" },
    { "http://localhost", "p", "unknown scheme" },
    { "redis://", "p", "names no host" },
    { "redis://localhost/zero", "p", "no number" },
    { "redis://localhost/-1", "p", "no number" },
    { "redis://localhost?db=1", "p", "comes after a slash" },
    { "redis://worker@localhost", "p", "there is no password" },
    { "redis://worker:hunter2@localhost", "p", "'password-file'" },
    { "redis://:hunter2@localhost", "p", "'password-file'" },
    { "unix://run/redis.sock", "p", "three slashes" },
    { "unix:///", "p", "names no socket" },
    { "unix:///run/redis.sock?hunter2=1", "p", "?db=" },
    { "redis://localhost", "", "'prefix'" },
    { "redis://localhost", "{p}", "braces" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr(StrandStore) store =
          g_object_new (redis_store, "uri", cases[i].uri, "prefix", cases[i].prefix, NULL);
      g_autoptr(GError) error = NULL;

      g_assert_null (strand_store_get (store, "job-17", &error));
      g_assert_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT);
      g_test_message ("%s", error->message);
      g_assert_nonnull (strstr (error->message, cases[i].says));
      g_assert_null (strstr (error->message, "hunter2"));
    }
}

static void
test_prefixes_and_databases_do_not_see_each_other (Fixture *f, gconstpointer unused)
{
  g_autofree char *uri = g_strconcat (shared->uri, "?db=3", NULL);
  g_autoptr(StrandStore) database = g_object_new (redis_store, "uri", uri, "prefix", f->prefix, NULL);
  g_autoptr(StrandStore) prefix = g_object_new (redis_store, "uri", shared->uri, "prefix", "other", NULL);

  put_key (f->store, "job-17");
  put_key (database, "job-17");
  put_key (prefix, "job-17");
  g_assert_cmpint (strand_store_count (f->store, NULL, NULL), ==, 1);
  g_assert_true (strand_store_remove (database, "job-17", 0, NULL));
  g_assert_true (strand_store_remove (prefix, "job-17", 0, NULL));
  g_assert_cmpint (strand_store_count (f->store, NULL, NULL), ==, 1);
}

/* --- the layout ---------------------------------------------------------------------------------------- */

static void
test_record_is_a_hash_for_other_programs (Fixture *f, gconstpointer unused)
{
  const char *p = f->prefix;

  put_work (f->store, "job-17", "mail", NOW_US, 0, 2);

  assert_says ("hash", "TYPE {%s}:r:job-17", p);
  assert_says ("demo.add pending 1 mail 2", "HMGET {%s}:r:job-17 function status revision queue priority", p);
  assert_says ("(xx) [20,22]", "HMGET {%s}:r:job-17 arguments-type arguments", p);
  assert_says ("(nil) (nil)", "HMGET {%s}:r:job-17 ttl value", p);
  assert_says ("job-17", "ZRANGE {%s}:i:call:pending 0 -1", p);
  assert_says ("job-17 1699999940000000", "ZRANGE {%s}:due:mail 0 -1 WITHSCORES", p);
}

typedef struct
{
  GMutex lock;
  GCond rung;
  guint n_told;
} Bell;

static void
tell_bell (StrandStore *store, const char *queue, gpointer data)
{
  Bell *bell = data;

  g_mutex_lock (&bell->lock);
  bell->n_told++;
  g_cond_broadcast (&bell->rung);
  g_mutex_unlock (&bell->lock);
}

static void
await_bell (Bell *bell)
{
  gint64 deadline_us = g_get_monotonic_time () + DEADLINE_US;

  g_mutex_lock (&bell->lock);
  while (bell->n_told == 0)
    if (!g_cond_wait_until (&bell->rung, &bell->lock, deadline_us))
      g_error ("nobody told of work");
  bell->n_told = 0;
  g_mutex_unlock (&bell->lock);
}

/* The commands that docs/stores.md gives for leaving a call with redis-cli. */
static void
leave_by_hand (Fixture *f)
{
  static const char commands[] =
      "MULTI\n"
      "HSET {strand}:r:by-hand revision 1 status pending function demo.add queue default serializer json "
      "created 1795338778493611 arguments-type (xx) arguments [2,3]\n"
      "ZADD {strand}:i:call:pending 0 by-hand\n"
      "ZADD {strand}:due:default 1795338778493611 by-hand\n"
      "PUBLISH {strand}:changed by-hand\n"
      "PUBLISH {strand}:work:default by-hand\n"
      "EXEC\n";
  g_autoptr(GString) input = g_string_new (commands);
  g_autofree char *tag = g_strdup_printf ("{%s}:", f->prefix);
  g_autofree char *output = NULL;
  g_autoptr(GError) error = NULL;
  g_autoptr(GSubprocess) cli =
      g_subprocess_new (G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE, &error, "redis-cli",
                        "-s", shared->socket, NULL);

  g_assert_no_error (error);
  g_string_replace (input, "{strand}:", tag, 0);
  g_subprocess_communicate_utf8 (cli, input->str, NULL, &output, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_str_has_prefix (output, "OK\nQUEUED\n"));
  g_assert_null (strstr (output, "ERR"));
}

static void
test_hash_of_another_program_is_work (Fixture *f, gconstpointer unused)
{
  static const char *const queues[] = { "default", NULL };
  const StrandClaim claim = { queues, "worker-1", NOW_US, 10 };
  Bell bell = { 0 };
  guint id = strand_store_watch_queue (f->store, "default", tell_bell, &bell, NULL);
  g_autoptr(StrandRecord) record = NULL;
  g_autoptr(GPtrArray) work = NULL;
  g_autoptr(GError) error = NULL;
  gint64 next_us;

  leave_by_hand (f);
  await_bell (&bell);
  strand_store_unwatch (f->store, id);

  record = get (f->store, "by-hand");
  g_assert_cmpstr (strand_record_get_string (record, STRAND_FIELD_ARGUMENTS_TYPE), ==, "(xx)");
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_TIMEOUT), ==, -1);
  work = strand_store_claim (f->store, &claim, &next_us, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (work->len, ==, 1);
  g_assert_cmpstr (strand_record_get_key (work->pdata[0]), ==, "by-hand");
  g_assert_true (strand_store_remove (f->store, "by-hand", 2, NULL));
  assert_says ("", "KEYS {%s}:*", f->prefix);
}

static void
test_hash_that_is_no_record_is_named_and_skipped (Fixture *f, gconstpointer unused)
{
  static const char *const fields[] = { "status sleeping", "timeout soon", "progress half",   "headers {",
                                        "causes [1]",      "fence -1",     "arguments-type (" };
  g_autoptr(StrandPage) page = NULL;
  g_autoptr(GError) error = NULL;

  put_key (f->store, "good");
  for (guint i = 0; i < G_N_ELEMENTS (fields); i++)
    {
      g_auto(GStrv) words = g_strsplit (fields[i], " ", 2);
      g_autofree char *key = g_strdup_printf ("bad-%u", i);
      g_autoptr(GError) why = NULL;

      put_key (f->store, key);
      g_free (redis_server_say (shared, "HSET {%s}:r:%s %s %s", f->prefix, key, words[0], words[1]));
      g_assert_null (strand_store_get (f->store, key, &why));
      g_assert_error (why, STRAND_ERROR, STRAND_ERROR_CORRUPT);
      g_assert_nonnull (strstr (why->message, words[0]));
      g_assert_nonnull (strstr (why->message, key));
    }
  put_key (f->store, "odd");
  assert_says ("1", "DEL {%s}:r:odd", f->prefix);
  assert_says ("1", "RPUSH {%s}:r:odd element", f->prefix);

  page = strand_store_list (f->store, NULL, NULL, 100, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (strand_page_get_records (page)->len, ==, 1);
  g_assert_cmpuint (strand_page_get_n_unreadable (page), ==, G_N_ELEMENTS (fields) + 1);
  g_assert_nonnull (strstr (strand_page_get_unreadable (page, 0, NULL), "r:bad-0'"));

  /* What cannot be read can be removed. */
  g_assert_true (strand_store_remove (f->store, "odd", 0, &error));
  g_assert_true (strand_store_remove (f->store, "bad-0", 0, &error));
  g_assert_null (strand_store_get (f->store, "odd", &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND);
}

/* A script that compares each set with the records. Answers what is wrong, or nothing. */
static const char check_text[] =
    "local p, wrong, want = ARGV[1], {}, {}\n"
    "local function expect(set, key) want[set] = want[set] or {}; want[set][key] = true end\n"
    "for _, name in ipairs(redis.call('KEYS', p .. 'r:*')) do\n"
    "  local key = string.sub(name, #p + 3)\n"
    "  local is = redis.call('HMGET', name, 'kind', 'status', 'queue', 'ttl', 'not-before')\n"
    "  local part = (is[1] or 'call') .. ':' .. is[2]\n"
    "  expect(p .. 'i:' .. part, key)\n"
    "  if part == 'call:pending' and is[3] then\n"
    "    expect(p .. (is[5] and 'later:' or 'due:') .. is[3], key)\n"
    "  end\n"
    "  if is[4] and is[2] ~= 'pending' and is[2] ~= 'running' then expect(p .. 'x:' .. part, key) end\n"
    "end\n"
    "for _, name in ipairs(redis.call('KEYS', p .. '*')) do\n"
    "  if redis.call('TYPE', name).ok == 'zset' then\n"
    "    for _, key in ipairs(redis.call('ZRANGE', name, 0, -1)) do\n"
    "      if not (want[name] or {})[key] then wrong[#wrong + 1] = name .. ' has ' .. key end\n"
    "      if want[name] then want[name][key] = nil end\n"
    "    end\n"
    "  end\n"
    "end\n"
    "for name, keys in pairs(want) do\n"
    "  for key in pairs(keys) do wrong[#wrong + 1] = name .. ' lacks ' .. key end\n"
    "end\n"
    "return table.concat(wrong, ', ')\n";

/* Writes one of few keys, as anything that it may be. */
static void
scribble (StrandStore *store, GRand *random)
{
  static const char *const kinds[] = { "call", "call", "group" };
  static const char *const queues[] = { NULL, "mail", "print" };
  g_autofree char *key = g_strdup_printf ("job-%d", g_rand_int_range (random, 0, 12));
  g_autoptr(StrandRecord) record = strand_store_get (store, key, NULL);

  if (record != NULL && g_rand_int_range (random, 0, 4) == 0)
    {
      g_assert_true (strand_store_remove (store, key, strand_record_get_revision (record), NULL));
      return;
    }
  if (record == NULL)
    record = store_basics_record (key);
  strand_record_set_string (record, STRAND_FIELD_KIND, kinds[g_rand_int_range (random, 0, 3)]);
  strand_record_set_string (record, STRAND_FIELD_QUEUE, queues[g_rand_int_range (random, 0, 3)]);
  strand_record_set_int (record, STRAND_FIELD_STATUS, g_rand_int_range (random, 0, 5));
  strand_record_set_int (record, STRAND_FIELD_COMPLETED, NOW_US);
  strand_record_set_int (record, STRAND_FIELD_TTL, g_rand_int_range (random, -1, 2) * SECOND_US);
  if (strand_record_get_int (record, STRAND_FIELD_TTL) < 0)
    strand_record_set_int (record, STRAND_FIELD_TTL, -1);
  strand_record_set_int (record, STRAND_FIELD_NOT_BEFORE,
                         g_rand_int_range (random, 0, 2) * (NOW_US + SECOND_US));
  put (store, record);
}

static void
test_sets_agree_with_the_records (Fixture *f, gconstpointer unused)
{
  static const char *const queues[] = { "print", "mail", NULL };
  const StrandClaim claim = { queues, "worker-1", NOW_US, 2 };
  g_autoptr(GRand) random = g_rand_new_with_seed (17);

  strand_clock_set_manual (NOW_US - 10 * SECOND_US);
  for (guint round = 0; round < 300; round++)
    {
      g_autoptr(GPtrArray) work = NULL;
      gint64 next_us;

      scribble (f->store, random);
      if (round % 10 == 0)
        work = strand_store_claim (f->store, &claim, &next_us, NULL);
      assert_says ("", "EVAL %s 0 {%s}:", check_text, f->prefix);
    }
  strand_clock_advance (3600 * SECOND_US);
  g_assert_cmpint (strand_store_cleanup_expired (f->store, -1, NULL), >, 0);
  assert_says ("", "EVAL %s 0 {%s}:", check_text, f->prefix);
}

/* --- ttl ----------------------------------------------------------------------------------------------- */

static void
put_ended (StrandStore *store, const char *key, gint64 ttl_us)
{
  g_autoptr(StrandRecord) record = store_basics_record (key);

  strand_record_set_int (record, STRAND_FIELD_STATUS, STRAND_STATUS_COMPLETED);
  strand_record_set_int (record, STRAND_FIELD_COMPLETED, strand_clock_now_us ());
  strand_record_set_int (record, STRAND_FIELD_TTL, ttl_us);
  put (store, record);
}

/* Between two numbers, in whatever unit the command answers. */
static void
assert_between (const char *answer, gint64 least, gint64 most)
{
  gint64 number = g_ascii_strtoll (answer, NULL, 10);

  g_assert_cmpint (number, >=, least);
  g_assert_cmpint (number, <=, most);
}

static void
test_server_removes_what_has_expired (Fixture *f, gconstpointer unused)
{
  g_autofree char *left = NULL;

  /* Whatever this host's clock says: the server is told how long, not until when. */
  strand_clock_set_manual (NOW_US);
  put_ended (f->store, "hour", 3600 * SECOND_US);
  put_ended (f->store, "for-ever", -1);
  put_ended (f->store, "ages", G_MAXINT64);
  left = redis_server_say (shared, "PTTL {%s}:r:hour", f->prefix);
  assert_between (left, 3600 * 1000, 3600 * 1000 + 60 * 1000);
  assert_says ("-1", "PTTL {%s}:r:for-ever", f->prefix);
  assert_says ("-1", "PTTL {%s}:r:ages", f->prefix);

  /* What the server has removed leaves no traces either. */
  assert_says ("1", "DEL {%s}:r:hour", f->prefix);
  strand_clock_advance (3601 * SECOND_US);
  g_assert_cmpint (strand_store_count (f->store, NULL, NULL), ==, 2);
  g_assert_cmpint (strand_store_cleanup_expired (f->store, -1, NULL), ==, 1);
  assert_says ("ages for-ever", "ZRANGE {%s}:i:call:completed 0 -1", f->prefix);
}

static void
test_rewritten_record_does_not_expire (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandRecord) record = NULL;

  put_ended (f->store, "job-17", 3600 * SECOND_US);
  record = get (f->store, "job-17");
  strand_record_set_int (record, STRAND_FIELD_TTL, -1);
  put (f->store, record);
  assert_says ("-1", "PTTL {%s}:r:job-17", f->prefix);
  assert_says ("0", "ZCARD {%s}:x:call:completed", f->prefix);
}

/* --- work ---------------------------------------------------------------------------------------------- */

/* The keys that a claim takes, with blanks between. */
static char *
claim_keys (StrandStore *store, const char *const *queues, gint64 now_us, guint limit, gint64 *next_us)
{
  const StrandClaim claim = { queues, "worker-1", now_us, limit };
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) work = strand_store_claim (store, &claim, next_us, &error);
  GString *keys = g_string_new (NULL);

  g_assert_no_error (error);
  for (guint i = 0; i < work->len; i++)
    g_string_append_printf (keys, "%s%s", i > 0 ? " " : "", strand_record_get_key (work->pdata[i]));
  return g_string_free (keys, FALSE);
}

#define assert_claims(store, queues, now_us, limit, expected, expected_next_us)                              \
  G_STMT_START                                                                                               \
  {                                                                                                          \
    gint64 next_us_ = -1;                                                                                    \
    g_autofree char *keys_ = claim_keys (store, queues, now_us, limit, &next_us_);                           \
    g_assert_cmpstr (keys_, ==, expected);                                                                   \
    g_assert_cmpint (next_us_, ==, expected_next_us);                                                        \
  }                                                                                                          \
  G_STMT_END

static void
test_claims_take_turns (Fixture *f, gconstpointer unused)
{
  static const char *const queues[] = { "mail", "print", NULL };

  put_work (f->store, "second", "mail", NOW_US + 1, 0, 0);
  put_work (f->store, "first", "mail", NOW_US, 0, 0);
  put_work (f->store, "urgent", "mail", NOW_US + 29 * SECOND_US, 0, 1);
  put_work (f->store, "low", "mail", NOW_US, 0, -1);
  put_work (f->store, "aged", "mail", NOW_US - 31 * SECOND_US, 0, -1);
  put_work (f->store, "paper", "print", NOW_US - 3600 * SECOND_US, 0, 9);
  put_work (f->store, "noon", "mail", NOW_US, NOW_US + 60 * SECOND_US, 0);
  put_work (f->store, "eve", "print", NOW_US, NOW_US + 50 * SECOND_US, 0);
  put_work (f->store, "dusk", "mail", NOW_US, NOW_US + 70 * SECOND_US, 0);
  put_work (f->store, "dusk-urgent", "mail", NOW_US, NOW_US + 71 * SECOND_US, 1);
  put_work (f->store, "other", "fax", NOW_US, 0, 0);
  put_work (f->store, "local", NULL, NOW_US, 0, 0);

  assert_claims (f->store, queues, NOW_US + 40 * SECOND_US, 2, "aged urgent", NOW_US + 50 * SECOND_US);
  assert_claims (f->store, queues, NOW_US + 40 * SECOND_US, 10, "first second low paper",
                 NOW_US + 50 * SECOND_US);
  assert_claims (f->store, queues, NOW_US + 55 * SECOND_US, 10, "eve", NOW_US + 60 * SECOND_US);
  assert_claims (f->store, queues, NOW_US + 60 * SECOND_US, 10, "noon", NOW_US + 70 * SECOND_US);
  assert_claims (f->store, queues, NOW_US + 71 * SECOND_US, 10, "dusk-urgent dusk", 0);
  assert_claims (f->store, queues, NOW_US + 99 * SECOND_US, 10, "", 0);
}

/* What one host's clock has made due is not due for another's, or after it was set back. */
static void
test_claims_go_by_their_own_clock (Fixture *f, gconstpointer unused)
{
  static const char *const queues[] = { "mail", NULL };

  put_work (f->store, "dawn", "mail", NOW_US, NOW_US + 50 * SECOND_US, 0);
  put_work (f->store, "noon", "mail", NOW_US, NOW_US + 60 * SECOND_US, 0);
  assert_claims (f->store, queues, NOW_US + 70 * SECOND_US, 1, "dawn", 0);
  assert_claims (f->store, queues, NOW_US + 10 * SECOND_US, 10, "", NOW_US + 60 * SECOND_US);
  assert_claims (f->store, queues, NOW_US + 60 * SECOND_US, 10, "noon", 0);
}

static void
test_claimed_record_is_as_the_library_makes_it (Fixture *f, gconstpointer unused)
{
  static const char *const queues[] = { "mail", NULL };
  const StrandClaim claim = { queues, "worker-1", NOW_US + 7, 1 };
  g_autoptr(StrandRecord) record = store_basics_record ("job-17");
  g_autoptr(StrandRecord) stored = NULL;
  g_autoptr(GPtrArray) work = NULL;
  g_autoptr(GBytes) expected = NULL, is = NULL, was = NULL;
  gint64 next_us;

  strand_record_set_string (record, STRAND_FIELD_QUEUE, "mail");
  strand_record_set_string (record, STRAND_FIELD_MESSAGE, "of the attempt before");
  strand_record_set_double (record, STRAND_FIELD_PROGRESS, 0.5);
  strand_record_set_int (record, STRAND_FIELD_ITEMS, 3);
  strand_record_set_int (record, STRAND_FIELD_ATTEMPT, 2);
  strand_record_set_int (record, STRAND_FIELD_FENCE, 4);
  strand_record_set_int (record, STRAND_FIELD_LEASE_COUNTER, 9);
  put (f->store, record);

  work = strand_store_claim (f->store, &claim, &next_us, NULL);
  g_assert_cmpuint (work->len, ==, 1);
  strand_record_claim (record, "worker-1", NOW_US + 7);
  strand_record_set_int (record, STRAND_FIELD_REVISION, 2);
  expected = strand_record_to_json (record);
  is = strand_record_to_json (work->pdata[0]);
  stored = get (f->store, "job-17");
  was = strand_record_to_json (stored);
  g_assert_cmpmem (g_bytes_get_data (is, NULL), g_bytes_get_size (is), g_bytes_get_data (expected, NULL),
                   g_bytes_get_size (expected));
  g_assert_cmpmem (g_bytes_get_data (was, NULL), g_bytes_get_size (was), g_bytes_get_data (expected, NULL),
                   g_bytes_get_size (expected));
}

typedef struct
{
  StrandStore *store;
  guint n_claimed;
} Worker;

static gpointer
work_until_empty (gpointer data)
{
  static const char *const queues[] = { "mail", NULL };
  const StrandClaim claim = { queues, "worker", NOW_US, 7 };
  Worker *self = data;
  gboolean more = TRUE;

  while (more)
    {
      g_autoptr(GPtrArray) work = NULL;
      gint64 next_us;

      work = strand_store_claim (self->store, &claim, &next_us, NULL);
      self->n_claimed += work->len;
      for (guint i = 0; i < work->len; i++)
        g_assert_cmpint (strand_record_get_int (work->pdata[i], STRAND_FIELD_FENCE), ==, 1);
      more = work->len > 0;
    }
  return NULL;
}

static void
test_no_call_is_claimed_twice (Fixture *f, gconstpointer unused)
{
  GThread *threads[N_THREADS];
  Worker workers[N_THREADS];
  guint n_claimed = 0;

  for (guint i = 0; i < 500; i++)
    {
      g_autofree char *key = g_strdup_printf ("job-%u", i);

      put_work (f->store, key, "mail", NOW_US, 0, 0);
    }
  for (guint i = 0; i < N_THREADS; i++)
    {
      workers[i] = (Worker){ f->store, 0 };
      threads[i] = g_thread_new ("worker", work_until_empty, &workers[i]);
    }
  for (guint i = 0; i < N_THREADS; i++)
    {
      g_thread_join (threads[i]);
      n_claimed += workers[i].n_claimed;
    }
  g_assert_cmpuint (n_claimed, ==, 500);
}

static void
test_lease_is_renewed_under_its_fence (Fixture *f, gconstpointer unused)
{
  static const char *const queues[] = { "mail", NULL };
  StrandRenewal renewals[] = { { "job-17", 1 }, { "job-17", 2 }, { "job-18", 1 }, { "nobody", 1 } };
  g_autoptr(StrandRecord) asked = NULL;
  g_autoptr(StrandRecord) renewed = NULL;
  g_autoptr(GError) error = NULL;

  put_work (f->store, "job-17", "mail", NOW_US, 0, 0);
  put_work (f->store, "job-18", "mail", NOW_US, 0, 0);
  assert_claims (f->store, queues, NOW_US, 5, "job-17 job-18", 0);
  asked = get (f->store, "job-18");
  strand_record_set_int (asked, STRAND_FIELD_CANCEL_REQUESTED, 1);
  put (f->store, asked);

  g_assert_true (strand_store_renew (f->store, renewals, 4, &error));
  g_assert_no_error (renewals[0].error);
  g_assert_false (renewals[0].cancel_requested);
  g_assert_error (renewals[1].error, STRAND_ERROR, STRAND_ERROR_STALE);
  g_assert_no_error (renewals[2].error);
  g_assert_true (renewals[2].cancel_requested);
  g_assert_error (renewals[3].error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND);
  g_clear_error (&renewals[1].error);
  g_clear_error (&renewals[3].error);
  renewed = get (f->store, "job-17");
  g_assert_cmpint (strand_record_get_int (renewed, STRAND_FIELD_LEASE_COUNTER), ==, 2);
  g_assert_cmpuint (strand_record_get_revision (renewed), ==, 3);
}

static void
test_batch_has_a_verdict_each (Fixture *f, gconstpointer unused)
{
  const guint64 expected[] = { 0, 1, 0, 7 };
  g_autoptr(StrandRecord) one = store_basics_record ("one");
  g_autoptr(StrandRecord) again = store_basics_record ("one");
  g_autoptr(StrandRecord) there = store_basics_record ("there");
  g_autoptr(StrandRecord) gone = store_basics_record ("gone");
  StrandRecord *records[] = { one, again, there, gone };
  GError *errors[4] = { NULL };

  put_key (f->store, "there");
  g_assert_cmpuint (strand_store_put_batch (f->store, records, expected, 4, errors), ==, 2);
  g_assert_no_error (errors[0]);
  g_assert_no_error (errors[1]);
  g_assert_error (errors[2], STRAND_ERROR, STRAND_ERROR_EXISTS);
  g_assert_error (errors[3], STRAND_ERROR, STRAND_ERROR_STALE);
  g_clear_error (&errors[2]);
  g_clear_error (&errors[3]);
  g_assert_cmpuint (strand_record_get_revision (again), ==, 2);
}

/* --- items --------------------------------------------------------------------------------------------- */

static void
append (StrandStore *store, guint64 fence, guint64 first, const char *texts, guint max_items)
{
  g_auto(GStrv) words = g_strsplit (texts, " ", -1);
  g_autoptr(GPtrArray) items = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  g_autoptr(GError) error = NULL;

  for (guint i = 0; words[i] != NULL; i++)
    g_ptr_array_add (items, g_bytes_new (words[i], strlen (words[i])));
  strand_store_append_items (store, "job-17", fence, first, (GBytes *const *) items->pdata, items->len,
                             max_items, &error);
  g_assert_no_error (error);
}

static void
assert_items (StrandStore *store, guint64 fence, guint64 from, guint limit, guint64 expected_first,
              const char *expected)
{
  g_autoptr(GError) error = NULL;
  guint64 first = 0;
  g_autoptr(GPtrArray) items = strand_store_read_items (store, "job-17", fence, from, limit, &first, &error);
  g_autoptr(GString) said = g_string_new (NULL);

  g_assert_no_error (error);
  for (guint i = 0; i < items->len; i++)
    {
      gsize size;
      const char *data = g_bytes_get_data (items->pdata[i], &size);

      g_string_append (said, i > 0 ? " " : "");
      g_string_append_len (said, data, size);
    }
  g_assert_cmpstr (said->str, ==, expected);
  if (items->len > 0)
    g_assert_cmpuint (first, ==, expected_first);
}

static void
test_items_are_kept_in_order_and_bounded (Fixture *f, gconstpointer unused)
{
  put_key (f->store, "job-17");
  assert_items (f->store, 1, 0, 10, 0, "");
  append (f->store, 1, 0, "a b c", 4);
  assert_items (f->store, 1, 0, 10, 0, "a b c");
  assert_items (f->store, 1, 1, 1, 1, "b");
  assert_items (f->store, 1, 3, 10, 3, "");

  /* The last ones stay; who comes late begins with the first that is there. */
  append (f->store, 1, 3, "d e f", 4);
  assert_items (f->store, 1, 0, 10, 2, "c d e f");
  assert_items (f->store, 1, 0, 2, 2, "c d");

  /* Who was not sure of being heard says it again. */
  append (f->store, 1, 4, "E F g", 4);
  assert_items (f->store, 1, 0, 10, 3, "d E F g");
  append (f->store, 1, 1, "x", 4);
  assert_items (f->store, 1, 0, 10, 1, "x");
  append (f->store, 1, 9, "y", 4);
  assert_items (f->store, 1, 0, 10, 9, "y");

  append (f->store, 2, 0, "again", 4);
  assert_items (f->store, 2, 0, 10, 0, "again");
  assert_items (f->store, 1, 9, 10, 9, "y");
}

static void
test_items_go_with_their_record (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandRecord) record = NULL;
  g_autofree char *left = NULL;

  strand_clock_set_manual (NOW_US);
  put_key (f->store, "job-17");
  append (f->store, 0, 0, "a b c", 4);
  append (f->store, 1, 0, "a b c", 4);
  record = get (f->store, "job-17");
  strand_record_set_int (record, STRAND_FIELD_STATUS, STRAND_STATUS_COMPLETED);
  strand_record_set_int (record, STRAND_FIELD_FENCE, 1);
  strand_record_set_int (record, STRAND_FIELD_COMPLETED, NOW_US);
  strand_record_set_int (record, STRAND_FIELD_TTL, 3600 * SECOND_US);
  put (f->store, record);
  left = redis_server_say (shared, "PTTL {%s}:items:job-17:1", f->prefix);
  assert_between (left, 3600 * 1000, 3600 * 1000 + 60 * 1000);

  strand_clock_advance (3601 * SECOND_US);
  g_assert_cmpint (strand_store_cleanup_expired (f->store, -1, NULL), ==, 1);
  assert_says ("", "KEYS {%s}:*", f->prefix);

  put_key (f->store, "job-17");
  append (f->store, 0, 0, "a b c", 4);
  g_assert_true (strand_store_remove (f->store, "job-17", 0, NULL));
  assert_says ("", "KEYS {%s}:*", f->prefix);
}

/* --- watching ------------------------------------------------------------------------------------------ */

static void
test_watcher_of_a_queue_hears_of_work_there (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandStore) other = open_place (f->prefix);
  Bell mail = { 0 }, print = { 0 };
  guint mail_id = strand_store_watch_queue (f->store, "mail", tell_bell, &mail, NULL);
  guint print_id;

  put_work (other, "job-1", "mail", NOW_US, 0, 0);
  await_bell (&mail);
  print_id = strand_store_watch_queue (f->store, "print", tell_bell, &print, NULL);
  put_work (other, "job-2", "print", NOW_US, 0, 0);
  await_bell (&print);
  put_work (other, "job-3", "mail", NOW_US, NOW_US + 1, 0);
  await_bell (&mail);

  strand_store_unwatch (f->store, mail_id);
  strand_store_unwatch (f->store, print_id);
}

static void
test_watcher_wakes_for_another_program (Fixture *f, gconstpointer unused)
{
  StoreBell bell;

  store_bell_hang (&bell, f->store, "by-hand");
  leave_by_hand (f);
  store_bell_await (&bell, "by-hand", TRUE);
  store_bell_take_down (&bell);
}

/* --- servers of other kinds ---------------------------------------------------------------------------- */

/* Something of everything that a store does. */
static void
use_everything (StrandStore *store)
{
  static const char *const queues[] = { "mail", NULL };
  StrandRenewal renewal = { "job-17", 1 };
  Bell bell = { 0 };
  guint id = strand_store_watch_queue (store, "mail", tell_bell, &bell, NULL);
  guint all_id = strand_store_watch (store, NULL, tell_bell, &bell, NULL);
  g_autoptr(StrandPage) page = NULL;
  g_autoptr(GError) error = NULL;

  put_work (store, "job-17", "mail", NOW_US, 0, 0);
  assert_claims (store, queues, NOW_US, 5, "job-17", 0);
  g_assert_true (strand_store_renew (store, &renewal, 1, &error));
  append (store, 1, 0, "a b", 9);
  assert_items (store, 1, 0, 9, 0, "a b");
  page = strand_store_list (store, NULL, NULL, 9, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (strand_page_get_records (page)->len, ==, 1);
  g_assert_cmpint (strand_store_count (store, NULL, &error), ==, 1);
  g_assert_cmpint (strand_store_cleanup_expired (store, -1, &error), ==, 0);
  g_assert_true (strand_store_remove (store, "job-17", 0, &error));
  g_assert_no_error (error);
  strand_store_unwatch (store, id);
  strand_store_unwatch (store, all_id);
}

static void
test_documented_rights_are_enough (Fixture *f, gconstpointer unused)
{
  g_autofree char *uri = g_strconcat ("unix://worker@", shared->socket, NULL);
  g_autoptr(StrandStore) store = NULL;

  assert_says ("OK",
               "ACL SETUSER worker on >hunter2 ~{%s}:* &{%s}:* +@read +@write +@scripting +@connection "
               "+publish +subscribe -@dangerous",
               f->prefix, f->prefix);
  store = g_object_new (redis_store, "uri", uri, "password", "hunter2", "prefix", f->prefix, NULL);
  use_everything (store);
  assert_says ("1", "ACL DELUSER worker");
}

/* Two nodes: one has all keys, the other is asked. */
static void
test_node_of_a_cluster_sends_to_the_right_one (void)
{
  g_autofree char *port = g_strdup_printf ("%u", redis_server_find_port ());
  g_autofree char *other_port = g_strdup_printf ("%u", redis_server_find_port ());
  g_autofree char *bus = g_strdup_printf ("%u", redis_server_find_port ());
  g_autofree char *other_bus = g_strdup_printf ("%u", redis_server_find_port ());
  g_autoptr(RedisServer) keeper = redis_server_start (REDIS_OPTIONS (
      "--cluster-enabled", "yes", "--bind", "127.0.0.1", "--port", port, "--cluster-port", bus));
  g_autoptr(RedisServer) other = redis_server_start (REDIS_OPTIONS (
      "--cluster-enabled", "yes", "--bind", "127.0.0.1", "--port", other_port, "--cluster-port", other_bus));
  g_autofree char *uri = g_strdup_printf ("redis://127.0.0.1:%s", other_port);
  g_autoptr(StrandStore) store = g_object_new (redis_store, "uri", uri, NULL);
  gint64 deadline_us = g_get_monotonic_time () + DEADLINE_US;
  gboolean knows = FALSE;

  g_free (redis_server_say (keeper, "CLUSTER ADDSLOTSRANGE 0 16383"));
  g_free (redis_server_say (other, "CLUSTER MEET 127.0.0.1 %s %s", port, bus));

  /* The nodes tell each other ten times a second, and of that there is no event. */
  while (!knows)
    {
      g_autofree char *answer = redis_server_say (other, "GET {strand}:r:job-17");
      g_autofree char *own = redis_server_say (keeper, "GET {strand}:r:job-17");

      knows = g_str_has_prefix (answer, "MOVED") && strcmp (own, "(nil)") == 0;
      g_assert_cmpint (g_get_monotonic_time (), <, deadline_us);
    }
  use_everything (store);
  put_key (store, "job-18");
  g_free (redis_server_say (keeper, "PING"));
  g_assert_cmpint (strand_store_count (store, NULL, NULL), ==, 1);
}

static gpointer
put_some (gpointer data)
{
  StrandStore *store = data;

  for (guint i = 0; i < 50; i++)
    {
      g_autofree char *key = strand_key_new ();

      put_key (store, key);
    }
  return NULL;
}

static void
test_threads_share_few_connections (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandStore) store =
      g_object_new (redis_store, "uri", shared->uri, "prefix", f->prefix, "max-connections", 2, NULL);
  g_autofree char *before = redis_server_say (shared, "INFO stats");
  g_autofree char *after = NULL;
  GThread *threads[N_THREADS];
  const char *count = "total_connections_received:";

  for (guint i = 0; i < N_THREADS; i++)
    threads[i] = g_thread_new ("put", put_some, store);
  for (guint i = 0; i < N_THREADS; i++)
    g_thread_join (threads[i]);
  g_assert_cmpint (strand_store_count (store, NULL, NULL), ==, N_THREADS * 50);
  after = redis_server_say (shared, "INFO stats");

  /* One more is our own, that asks. */
  g_assert_cmpint (g_ascii_strtoll (strstr (after, count) + strlen (count), NULL, 10) -
                       g_ascii_strtoll (strstr (before, count) + strlen (count), NULL, 10),
                   <=, 3);
}

/* Role: writes until it is killed. @place is the server's socket. */
static int
play_writer (const char *place)
{
  g_autofree char *uri = g_strconcat ("unix://", place, NULL);
  g_autoptr(StrandStore) store = g_object_new (redis_store, "uri", uri, "prefix", "killed", NULL);

  return store_world_write (store);
}

static void
test_killed_writers_lose_nothing_that_was_accepted (void)
{
  g_autoptr(StrandStore) store = g_object_new (redis_store, "uri", shared->uri, "prefix", "killed", NULL);

  store_world_kill_writers (store, shared->socket);
}

static const StoreRole roles[] = { { "--writer", play_writer }, { NULL } };

#define ADD(name, run) g_test_add ("/redis-store/" name, Fixture, NULL, set_up, run, tear_down)

int
main (int argc, char **argv)
{
  int status;

  if (!redis_server_is_there ())
    {
      puts ("1..0 # SKIP redis-server is not installed");
      return 0;
    }
  redis_store = store_basics_load ("redis-store");
  if (store_world_play (argc, argv, roles, &status))
    return status;
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  shared = redis_server_start (NULL);

  g_test_add_func ("/redis-store/construction-opens-nothing", test_construction_opens_nothing);
  g_test_add_func ("/redis-store/mistaken-uri-says-what-is-allowed", test_mistaken_uri_says_what_is_allowed);
  ADD ("prefixes-and-databases-do-not-see-each-other", test_prefixes_and_databases_do_not_see_each_other);
  ADD ("record-is-a-hash-for-other-programs", test_record_is_a_hash_for_other_programs);
  ADD ("hash-of-another-program-is-work", test_hash_of_another_program_is_work);
  ADD ("hash-that-is-no-record-is-named-and-skipped", test_hash_that_is_no_record_is_named_and_skipped);
  ADD ("sets-agree-with-the-records", test_sets_agree_with_the_records);
  ADD ("server-removes-what-has-expired", test_server_removes_what_has_expired);
  ADD ("rewritten-record-does-not-expire", test_rewritten_record_does_not_expire);
  ADD ("claims-take-turns", test_claims_take_turns);
  ADD ("claims-go-by-their-own-clock", test_claims_go_by_their_own_clock);
  ADD ("claimed-record-is-as-the-library-makes-it", test_claimed_record_is_as_the_library_makes_it);
  ADD ("no-call-is-claimed-twice", test_no_call_is_claimed_twice);
  ADD ("lease-is-renewed-under-its-fence", test_lease_is_renewed_under_its_fence);
  ADD ("batch-has-a-verdict-each", test_batch_has_a_verdict_each);
  ADD ("items-are-kept-in-order-and-bounded", test_items_are_kept_in_order_and_bounded);
  ADD ("items-go-with-their-record", test_items_go_with_their_record);
  ADD ("watcher-of-a-queue-hears-of-work-there", test_watcher_of_a_queue_hears_of_work_there);
  ADD ("watcher-wakes-for-another-program", test_watcher_wakes_for_another_program);
  ADD ("documented-rights-are-enough", test_documented_rights_are_enough);
  ADD ("threads-share-few-connections", test_threads_share_few_connections);
  g_test_add_func ("/redis-store/node-of-a-cluster-sends-to-the-right-one",
                   test_node_of_a_cluster_sends_to_the_right_one);
  g_test_add_func ("/redis-store/killed-writers-lose-nothing-that-was-accepted",
                   test_killed_writers_lose_nothing_that_was_accepted);

  status = g_test_run ();
  redis_server_free (shared);
  return status;
}
