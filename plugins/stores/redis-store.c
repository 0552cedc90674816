/* redis-store.c — keeps records in a redis server, for workers on many hosts.
 *
 * Each method is one script, or one pipeline of them: the server does it in one step, and every client sees
 * it before or after, never half. redis-scripts.c has the scripts and the layout of the keys, redis-record.c
 * the form of a record, redis-pool.c what happens when a connection is lost, redis-watch.c how changes are
 * heard of. This file says the store's methods in these words.
 *
 * What is kept is the server's affair: with `appendfsync everysec`, a second of accepted records at most is
 * lost when its machine loses power; without an append-only file, all since the last snapshot when it is
 * killed; and with a `maxmemory-policy` other than noeviction any of them at any time.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <strand-plugin.h>

#include "redis-fault.h"
#include "redis-pool.h"
#include "redis-record.h"
#include "redis-scripts.h"
#include "redis-watch.h"

#include <string.h>

#define STRAND_TYPE_REDIS_STORE (strand_redis_store_get_type ())
G_DECLARE_FINAL_TYPE (StrandRedisStore, strand_redis_store, STRAND, REDIS_STORE, GObject)

#define DEFAULT_URI "redis://localhost"
#define DEFAULT_PREFIX "strand"

/* A server is restarted in less; a person who waits is told before he gives up. */
#define DEFAULT_COMMAND_TIMEOUT_US (10 * G_USEC_PER_SEC)

/* As many as threads use a store at once, and a few more. */
#define DEFAULT_MAX_CONNECTIONS 16

/* How much one script or pipeline does: some milliseconds in which the server serves nobody else. */
#define STEP 1000
#define CLEANUP_STEP 200

/* The server removes what has outlived its ttl so much later than this host's clock would have it: until then
 * it is this library that hides and counts it. */
#define EXPIRY_SLACK_MS (60 * 1000)

/* A ttl of more than a thousand years overflows the server's clock; such a record just has none there. */
#define MAX_EXPIRY_MS (G_GINT64_CONSTANT (1000) * 366 * 24 * 3600 * 1000)

#define ALL_STATUSES ((1u << (STRAND_STATUS_CANCELLED + 1)) - 1)

struct _StrandRedisStore
{
  GObject parent_instance;
  char *uri; /* these are set at construction, then read by any thread */
  char *password;
  char *prefix;
  char *ca_file;
  char *certificate_file;
  gint64 command_timeout_us;
  guint max_connections;
  char *sender; /* this object, among all that use the server */

  gint n_writes; /* atomic */

  GMutex lock;     /* guards everything below */
  RedisPool *pool; /* made by the first method, then never changed */
  RedisWatch *watch;
  RedisWatch *queue_watch;
};

typedef enum
{
  PROP_URI = 1,
  PROP_PASSWORD,
  PROP_PREFIX,
  PROP_TLS_CA_FILE,
  PROP_TLS_CERTIFICATE_FILE,
  PROP_COMMAND_TIMEOUT,
  PROP_MAX_CONNECTIONS,
  N_PROPS,
  FIRST_COMMON_PROP = N_PROPS,
} StrandRedisStoreProperty;

static GParamSpec *props[N_PROPS];

static void store_init (StrandStoreInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (StrandRedisStore, strand_redis_store, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_STORE, store_init))

/* --- the pool ------------------------------------------------------------------------------------------ */

static RedisPool *
make_pool (StrandRedisStore *self, GError **error)
{
  g_autoptr(RedisSettings) settings = redis_settings_new (self->uri, self->password, self->prefix, error);

  if (settings == NULL)
    return NULL;
  settings->ca_file = g_strdup (self->ca_file);
  settings->certificate_file = g_strdup (self->certificate_file);
  settings->timeout_us = self->command_timeout_us;
  return redis_pool_new (settings, self->max_connections);
}

static RedisPool *
get_pool (StrandRedisStore *self, GError **error)
{
  RedisPool *pool;

  g_mutex_lock (&self->lock);
  if (self->pool == NULL)
    self->pool = make_pool (self, error);
  pool = self->pool;
  g_mutex_unlock (&self->lock);
  return pool;
}

static const char *
get_tag (RedisPool *pool)
{
  return redis_pool_get_settings (pool)->tag;
}

/* A write is known by this name, wherever it is met again. */
static void
add_write (StrandRedisStore *self, RedisCommand *command)
{
  char number[16];

  g_snprintf (number, sizeof number, "%x", (guint) g_atomic_int_add (&self->n_writes, 1));
  redis_command_add_joined (command, self->sender, "-", number, NULL);
}

/* A script whose only key is the tag, which says in which node of a cluster it runs. */
static RedisCommand *
call_for_store (RedisPool *pool, RedisScript script)
{
  RedisCommand *command = redis_script_call (script, 1);

  redis_command_add (command, get_tag (pool));
  redis_command_add (command, get_tag (pool));
  return command;
}

/* A script whose key is a record's. */
static RedisCommand *
call_for_record (RedisPool *pool, RedisScript script, const char *key)
{
  RedisCommand *command = redis_script_call (script, 1);

  redis_command_add_joined (command, get_tag (pool), "r:", key, NULL);
  redis_command_add (command, get_tag (pool));
  redis_command_add (command, key);
  return command;
}

/* --- one record ---------------------------------------------------------------------------------------- */

static RedisCommand *
command_for_get (RedisPool *pool, const char *key)
{
  RedisCommand *command = redis_command_new ("HGETALL");

  redis_command_add_joined (command, get_tag (pool), "r:", key, NULL);
  return command;
}

/* What a person looks for when a key holds no record. */
static char *
name_key (RedisPool *pool, const char *key)
{
  RedisSettings *settings = redis_pool_get_settings (pool);
  g_autofree char *shown = g_strescape (key, NULL);

  return g_strdup_printf ("%s, key '%sr:%s'", settings->shown, settings->tag, shown);
}

static StrandRecord *
read_record (RedisPool *pool, const char *key, redisReply *fields, GError **error)
{
  g_autoptr(GError) cause = NULL;
  g_autofree char *name = NULL;
  StrandRecord *record = NULL;

  if (fields->type == REDIS_REPLY_ERROR)
    redis_fault_set_error (fields->str, &cause);
  else
    record = redis_record_read (key, fields, &cause);
  if (record != NULL)
    return record;

  if (g_error_matches (cause, STRAND_ERROR, STRAND_ERROR_CORRUPT))
    {
      name = name_key (pool, key);
      g_prefix_error (&cause, "%s: ", name);
    }
  else if (cause->domain == G_IO_ERROR)
    redis_connection_name_server (redis_pool_get_settings (pool), NULL, 0, &cause);
  g_propagate_error (error, g_steal_pointer (&cause));
  return NULL;
}

static StrandRecord *
strand_redis_store_get (StrandStore *store, const char *key, GError **error)
{
  RedisPool *pool = get_pool (STRAND_REDIS_STORE (store), error);
  g_autoptr(RedisCommand) command = NULL;
  g_autoptr(redisReply) reply = NULL;
  RedisCommand *commands[1];

  if (pool == NULL)
    return NULL;
  command = command_for_get (pool, key);
  commands[0] = command;
  if (!redis_pool_run (pool, commands, 1, &reply, error))
    return NULL;
  return read_record (pool, key, reply, error);
}

static void
get_some (RedisPool *pool, const char *const *keys, guint n, StrandRecord **records, GError **errors)
{
  g_autoptr(GPtrArray) commands = g_ptr_array_new_with_free_func ((GDestroyNotify) redis_command_free);
  g_autofree redisReply **replies = g_new0 (redisReply *, n);
  g_autoptr(GError) trouble = NULL;

  for (guint i = 0; i < n; i++)
    g_ptr_array_add (commands, command_for_get (pool, keys[i]));
  redis_pool_run (pool, (RedisCommand *const *) commands->pdata, n, replies, &trouble);

  for (guint i = 0; i < n; i++)
    {
      if (replies[i] != NULL)
        records[i] = read_record (pool, keys[i], replies[i], &errors[i]);
      else
        errors[i] = g_error_copy (trouble);
      g_clear_pointer (&replies[i], freeReplyObject);
    }
}

static void
strand_redis_store_get_batch (StrandStore *store, const char *const *keys, guint n, StrandRecord **records,
                              GError **errors)
{
  g_autoptr(GError) trouble = NULL;
  RedisPool *pool = get_pool (STRAND_REDIS_STORE (store), &trouble);

  for (guint i = 0; pool == NULL && i < n; i++)
    errors[i] = g_error_copy (trouble);
  for (guint i = 0; pool != NULL && i < n; i += STEP)
    get_some (pool, keys + i, MIN (n - i, STEP), records + i, errors + i);
}

/* When it may be removed, and in how many ms the server shall do it if nobody else did. */
static void
add_expiry (RedisCommand *command, StrandRecord *record)
{
  gint64 ttl_us = strand_record_get_int (record, STRAND_FIELD_TTL);
  gint64 completed_us = strand_record_get_int (record, STRAND_FIELD_COMPLETED);
  gint64 expiry_us, left_ms;

  if (ttl_us < 0 || !strand_status_is_terminal (strand_record_get_status (record)))
    {
      redis_command_add (command, "");
      redis_command_add (command, "");
      return;
    }
  expiry_us = completed_us > G_MAXINT64 - ttl_us ? G_MAXINT64 : completed_us + ttl_us;
  left_ms = MAX (expiry_us - strand_clock_now_us (), 0) / 1000 + EXPIRY_SLACK_MS;
  redis_command_add_int (command, expiry_us);
  if (left_ms <= MAX_EXPIRY_MS)
    redis_command_add_int (command, left_ms);
  else
    redis_command_add (command, "");
}

static RedisCommand *
command_for_put (StrandRedisStore *self, RedisPool *pool, StrandRecord *record, guint64 expected)
{
  RedisCommand *command = call_for_record (pool, REDIS_SCRIPT_PUT, strand_record_get_key (record));
  const char *queue = strand_record_get_string (record, STRAND_FIELD_QUEUE);

  redis_command_add_int (command, expected);
  add_write (self, command);
  redis_command_add (command, self->sender);
  redis_command_add (command, strand_status_to_string (strand_record_get_status (record)));
  redis_command_add (command, redis_record_get_kind (record));
  redis_command_add (command, queue != NULL ? queue : "");
  redis_command_add_int (command, strand_record_get_turn (record));
  redis_command_add_int (command, strand_record_get_int (record, STRAND_FIELD_NOT_BEFORE));
  add_expiry (command, record);
  redis_record_append (command, record);
  return command;
}

static void
set_stale (const char *found, guint64 expected, GError **error)
{
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_STALE,
               "it has revision %s and %" G_GUINT64_FORMAT " was expected", found, expected);
}

static void
set_not_found (GError **error)
{
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND, "no record has this key");
}

/* What a put was answered, as its verdict. */
static gboolean
judge_put (RedisPool *pool, redisReply *reply, guint64 expected, GError **error)
{
  if (reply->type == REDIS_REPLY_ERROR)
    {
      redis_fault_set_error (reply->str, error);
      redis_connection_name_server (redis_pool_get_settings (pool), NULL, 0, error);
    }
  else if (strcmp (reply->str, "OK") == 0)
    return TRUE;
  else if (strcmp (reply->str, "EXISTS") == 0)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_EXISTS, "a record has this key already");
  else if (strcmp (reply->str, "GONE") == 0)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_STALE, "the record has been removed since it was read");
  else
    set_stale (reply->str, expected, error);
  return FALSE;
}

static gboolean
strand_redis_store_put (StrandStore *store, StrandRecord *record, guint64 expected, GError **error)
{
  StrandRedisStore *self = STRAND_REDIS_STORE (store);
  RedisPool *pool = get_pool (self, error);
  g_autoptr(RedisCommand) command = NULL;
  g_autoptr(redisReply) reply = NULL;

  if (pool == NULL)
    return FALSE;
  command = command_for_put (self, pool, record, expected);
  reply = redis_pool_call (pool, command, error);
  return reply != NULL && judge_put (pool, reply, expected, error);
}

/* Some of a batch, in one pipeline. */
static guint
put_some (StrandRedisStore *self, RedisPool *pool, StrandRecord *const *records, const guint64 *expected,
          guint n, GError **errors)
{
  g_autoptr(GPtrArray) commands = g_ptr_array_new_with_free_func ((GDestroyNotify) redis_command_free);
  g_autofree redisReply **replies = g_new0 (redisReply *, n);
  g_autoptr(GError) trouble = NULL;
  guint n_written = 0;

  for (guint i = 0; i < n; i++)
    g_ptr_array_add (commands, command_for_put (self, pool, records[i], expected[i]));
  redis_pool_run (pool, (RedisCommand *const *) commands->pdata, n, replies, &trouble);

  for (guint i = 0; i < n; i++)
    {
      if (replies[i] != NULL)
        n_written += judge_put (pool, replies[i], expected[i], &errors[i]);
      else
        errors[i] = g_error_copy (trouble);
      g_clear_pointer (&replies[i], freeReplyObject);
    }
  return n_written;
}

static guint
strand_redis_store_put_batch (StrandStore *store, StrandRecord *const *records, const guint64 *expected,
                              guint n, GError **errors)
{
  StrandRedisStore *self = STRAND_REDIS_STORE (store);
  g_autoptr(GError) trouble = NULL;
  RedisPool *pool = get_pool (self, &trouble);
  guint n_written = 0;

  for (guint i = 0; pool == NULL && i < n; i++)
    errors[i] = g_error_copy (trouble);
  for (guint i = 0; pool != NULL && i < n; i += STEP)
    n_written += put_some (self, pool, records + i, expected + i, MIN (n - i, STEP), errors + i);
  return n_written;
}

static gboolean
strand_redis_store_remove (StrandStore *store, const char *key, guint64 expected, GError **error)
{
  StrandRedisStore *self = STRAND_REDIS_STORE (store);
  RedisPool *pool = get_pool (self, error);
  g_autoptr(RedisCommand) command = NULL;
  g_autoptr(redisReply) reply = NULL;

  if (pool == NULL)
    return FALSE;
  command = call_for_record (pool, REDIS_SCRIPT_REMOVE, key);
  redis_command_add_int (command, expected);
  redis_command_add (command, self->sender);
  reply = redis_pool_call (pool, command, error);
  if (reply == NULL)
    return FALSE;

  /* What is gone when it is said a second time went when it was said first. */
  if (strcmp (reply->str, "OK") == 0 || (strcmp (reply->str, "GONE") == 0 && command->n_sent > 1))
    return TRUE;
  if (strcmp (reply->str, "GONE") == 0)
    set_not_found (error);
  else
    set_stale (reply->str, expected, error);
  return FALSE;
}

/* --- listing and counting ------------------------------------------------------------------------------ */

static void
add_statuses (RedisCommand *command, guint statuses)
{
  g_autoptr(GString) words = g_string_new (NULL);

  statuses = statuses != 0 ? statuses & ALL_STATUSES : ALL_STATUSES;
  for (guint status = 0; status <= STRAND_STATUS_CANCELLED; status++)
    if (statuses & 1u << status)
      g_string_append_printf (words, " %s", strand_status_to_string (status));
  redis_command_add (command, words->str);
}

/* What each script that looks at parts of the store begins with. */
static RedisCommand *
call_for_parts (RedisPool *pool, RedisScript script, const StrandFilter *filter)
{
  RedisCommand *command = call_for_store (pool, script);

  redis_command_add (command, filter != NULL && filter->kind != NULL ? filter->kind : "call");
  add_statuses (command, filter != NULL ? filter->statuses : 0);
  return command;
}

/* An equal sign before what is wanted; nothing where anything will do. */
static void
add_condition (RedisCommand *command, const char *wanted)
{
  redis_command_add_joined (command, wanted != NULL ? "=" : "", wanted, NULL);
}

static redisReply *
find_keys (RedisPool *pool, const StrandFilter *filter, const char *after, guint limit, GError **error)
{
  g_autoptr(RedisCommand) command = call_for_parts (pool, REDIS_SCRIPT_LIST, filter);

  redis_command_add (command, after);
  redis_command_add_int (command, MIN (limit, STEP));
  add_condition (command, filter != NULL ? filter->queue : NULL);
  add_condition (command, filter != NULL ? filter->function : NULL);
  add_condition (command, filter != NULL ? filter->lease_owner : NULL);
  return redis_pool_call (pool, command, error);
}

/* One record that was found a moment ago. It may be gone since, or be another one. */
static void
add_to_page (RedisPool *pool, StrandPage *page, const StrandFilter *filter, const char *key,
             redisReply *fields)
{
  g_autoptr(GError) why = NULL;
  g_autoptr(StrandRecord) record = read_record (pool, key, fields, &why);
  g_autofree char *name = NULL;

  if (record != NULL && strand_filter_matches (filter, record))
    strand_page_add (page, record);
  else if (record == NULL && !g_error_matches (why, STRAND_ERROR, STRAND_ERROR_NOT_FOUND))
    {
      name = name_key (pool, key);
      strand_page_add_unreadable (page, name, why);
    }
}

static gboolean
fill_page (RedisPool *pool, StrandPage *page, const StrandFilter *filter, redisReply *keys, GError **error)
{
  g_autoptr(GPtrArray) commands = g_ptr_array_new_with_free_func ((GDestroyNotify) redis_command_free);
  g_autofree redisReply **fields = g_new0 (redisReply *, keys->elements + 1);
  gboolean done;

  for (gsize i = 0; i < keys->elements; i++)
    g_ptr_array_add (commands, command_for_get (pool, keys->element[i]->str));
  done = redis_pool_run (pool, (RedisCommand *const *) commands->pdata, commands->len, fields, error);
  for (gsize i = 0; i < keys->elements; i++)
    {
      if (done)
        add_to_page (pool, page, filter, keys->element[i]->str, fields[i]);
      g_clear_pointer (&fields[i], freeReplyObject);
    }
  return done;
}

/* A cursor is the key that was looked at last, escaped, as others' keys may be any text. */
static char *
parse_cursor (const char *cursor, GError **error)
{
  g_autofree char *key = NULL;

  if (cursor == NULL)
    return g_strdup ("");
  if (g_str_has_prefix (cursor, "after:"))
    key = g_uri_unescape_string (cursor + strlen ("after:"), NULL);
  if (key == NULL)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT, "'%s' is not a cursor of this store",
                 cursor);
  return g_steal_pointer (&key);
}

static void
set_next (StrandPage *page, const char *key)
{
  g_autofree char *escaped = g_uri_escape_string (key, NULL, FALSE);
  g_autofree char *cursor = g_strconcat ("after:", escaped, NULL);

  if (*key != '\0')
    strand_page_set_next (page, cursor);
}

static StrandPage *
strand_redis_store_list (StrandStore *store, const StrandFilter *filter, const char *cursor, guint limit,
                         GError **error)
{
  RedisPool *pool = get_pool (STRAND_REDIS_STORE (store), error);
  g_autoptr(StrandPage) page = strand_page_new ();
  g_autofree char *after = NULL;
  g_autoptr(redisReply) found = NULL;

  if (pool == NULL || (after = parse_cursor (cursor, error)) == NULL)
    return NULL;
  found = find_keys (pool, filter, after, limit, error);
  if (found == NULL || !fill_page (pool, page, filter, found->element[1], error))
    return NULL;
  set_next (page, found->element[0]->str);
  return g_steal_pointer (&page);
}

/* Where a filter asks for more than kind and status, no set has its number. */
static gint64
count_by_listing (StrandStore *store, const StrandFilter *filter, GError **error)
{
  gint64 now_us = strand_clock_now_us ();
  g_autofree char *cursor = NULL;
  gint64 n = 0;

  do
    {
      g_autoptr(StrandPage) page = strand_redis_store_list (store, filter, cursor, STEP, error);

      if (page == NULL)
        return -1;
      for (guint i = 0; i < strand_page_get_records (page)->len; i++)
        n += !strand_record_is_expired (g_ptr_array_index (strand_page_get_records (page), i), now_us);
      g_free (cursor);
      cursor = g_strdup (strand_page_get_next (page));
    }
  while (cursor != NULL);
  return n;
}

static gint64
count_parts (RedisPool *pool, const StrandFilter *filter, GError **error)
{
  g_autoptr(RedisCommand) command = call_for_parts (pool, REDIS_SCRIPT_COUNT, filter);
  g_autoptr(redisReply) reply = NULL;

  redis_command_add_int (command, strand_clock_now_us ());
  reply = redis_pool_call (pool, command, error);
  return reply != NULL ? reply->integer : -1;
}

/* How long a queue is: what somebody may ask for every second. */
static gint64
count_queue (RedisPool *pool, const char *queue, GError **error)
{
  static const char *const sets[] = { "due:", "later:" };
  gint64 n = 0;

  for (guint i = 0; i < G_N_ELEMENTS (sets); i++)
    {
      g_autoptr(RedisCommand) command = redis_command_new ("ZCARD");
      g_autoptr(redisReply) reply = NULL;

      redis_command_add_joined (command, get_tag (pool), sets[i], queue, NULL);
      reply = redis_pool_call (pool, command, error);
      if (reply == NULL)
        return -1;
      n += reply->integer;
    }
  return n;
}

static gint64
strand_redis_store_count (StrandStore *store, const StrandFilter *filter, GError **error)
{
  RedisPool *pool = get_pool (STRAND_REDIS_STORE (store), error);
  gboolean is_for_calls = filter == NULL || filter->kind == NULL || strcmp (filter->kind, "call") == 0;

  if (pool == NULL)
    return -1;
  if (filter == NULL || (filter->queue == NULL && filter->function == NULL && filter->lease_owner == NULL))
    return count_parts (pool, filter, error);
  if (filter->queue != NULL && filter->function == NULL && filter->lease_owner == NULL && is_for_calls &&
      filter->statuses == 1u << STRAND_STATUS_PENDING)
    return count_queue (pool, filter->queue, error);
  return count_by_listing (store, filter, error);
}

/* --- cleaning up --------------------------------------------------------------------------------------- */

static redisReply *
clean_some (StrandRedisStore *self, RedisPool *pool, gint64 now_us, GError **error)
{
  const StrandFilter ended = { .kind = "*",
                               .statuses = 1 << STRAND_STATUS_COMPLETED | 1 << STRAND_STATUS_FAILED |
                                           1 << STRAND_STATUS_CANCELLED };
  g_autoptr(RedisCommand) command = call_for_parts (pool, REDIS_SCRIPT_CLEANUP, &ended);

  redis_command_add_int (command, now_us);
  redis_command_add_int (command, CLEANUP_STEP);
  redis_command_add (command, self->sender);
  return redis_pool_call (pool, command, error);
}

static gint64
strand_redis_store_cleanup_expired (StrandStore *store, gint64 now_us, gint64 budget_us, GError **error)
{
  StrandRedisStore *self = STRAND_REDIS_STORE (store);
  RedisPool *pool = get_pool (self, error);
  gint64 start_us = strand_clock_monotonic_us ();
  gint64 n_removed = 0;
  gboolean more = TRUE;

  if (pool == NULL)
    return -1;
  while (more)
    {
      g_autoptr(redisReply) gone = clean_some (self, pool, now_us, error);

      if (gone == NULL)
        return -1;
      for (gsize i = 0; i < gone->elements; i++)
        strand_store_changed (store, gone->element[i]->str);
      n_removed += gone->elements;
      more = gone->elements == CLEANUP_STEP &&
             (budget_us < 0 || strand_clock_monotonic_us () - start_us < budget_us);
    }
  return n_removed;
}

/* --- work ---------------------------------------------------------------------------------------------- */

static RedisCommand *
command_for_claim (StrandRedisStore *self, RedisPool *pool, const StrandClaim *claim)
{
  RedisCommand *command = call_for_store (pool, REDIS_SCRIPT_CLAIM);

  redis_command_add_again (command);
  redis_command_add (command, claim->owner);
  redis_command_add_int (command, claim->now_us);
  redis_command_add_int (command, MIN (claim->limit, STEP));
  add_write (self, command);
  redis_command_add (command, self->sender);
  for (guint i = 0; claim->queues[i] != NULL; i++)
    redis_command_add (command, claim->queues[i]);
  return command;
}

static GPtrArray *
strand_redis_store_claim (StrandStore *store, const StrandClaim *claim, gint64 *next_due_us, GError **error)
{
  StrandRedisStore *self = STRAND_REDIS_STORE (store);
  RedisPool *pool = get_pool (self, error);
  g_autoptr(GPtrArray) records = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_record_unref);
  g_autoptr(RedisCommand) command = NULL;
  g_autoptr(redisReply) reply = NULL;

  if (pool == NULL)
    return NULL;
  command = command_for_claim (self, pool, claim);
  reply = redis_pool_call (pool, command, error);
  if (reply == NULL)
    return NULL;

  for (gsize i = 1; i + 1 < reply->elements; i += 2)
    {
      const char *key = reply->element[i]->str;
      g_autoptr(GError) why = NULL;
      StrandRecord *record = read_record (pool, key, reply->element[i + 1], &why);

      if (record != NULL)
        g_ptr_array_add (records, record);
      else
        g_warning ("Could not run '%s': %s", key, why->message);
    }
  *next_due_us = g_ascii_strtod (reply->element[0]->str, NULL);
  return g_steal_pointer (&records);
}

static void
judge_renewal (StrandRenewal *renewal, const char *verdict)
{
  if (strcmp (verdict, "GONE") == 0)
    set_not_found (&renewal->error);
  else if (strcmp (verdict, "STALE") == 0)
    g_set_error (&renewal->error, STRAND_ERROR, STRAND_ERROR_STALE,
                 "it does not run under fence %" G_GUINT64_FORMAT " any more", renewal->fence);
  else
    renewal->cancel_requested = strcmp (verdict, "0") != 0;
}

static gboolean
renew_some (StrandRedisStore *self, RedisPool *pool, StrandRenewal *renewals, guint n, GError **error)
{
  g_autoptr(RedisCommand) command = call_for_store (pool, REDIS_SCRIPT_RENEW);
  g_autoptr(redisReply) reply = NULL;

  redis_command_add (command, self->sender);
  for (guint i = 0; i < n; i++)
    {
      redis_command_add (command, renewals[i].key);
      redis_command_add_int (command, renewals[i].fence);
    }
  reply = redis_pool_call (pool, command, error);
  for (guint i = 0; reply != NULL && i < n; i++)
    judge_renewal (&renewals[i], reply->element[i]->str);
  return reply != NULL;
}

static gboolean
strand_redis_store_renew (StrandStore *store, StrandRenewal *renewals, guint n, GError **error)
{
  StrandRedisStore *self = STRAND_REDIS_STORE (store);
  RedisPool *pool = get_pool (self, error);

  for (guint i = 0; pool != NULL && i < n; i += STEP)
    {
      g_autoptr(GError) trouble = NULL;
      guint n_some = MIN (n - i, STEP);

      if (renew_some (self, pool, renewals + i, n_some, &trouble))
        continue;
      if (i == 0)
        {
          g_propagate_error (error, g_steal_pointer (&trouble));
          return FALSE;
        }
      for (guint j = i; j < n; j++)
        renewals[j].error = g_error_copy (trouble);
      break;
    }
  return pool != NULL;
}

/* --- items --------------------------------------------------------------------------------------------- */

static void
add_items_key (RedisCommand *command, RedisPool *pool, const char *key, guint64 fence)
{
  char number[24];

  g_snprintf (number, sizeof number, "%" G_GUINT64_FORMAT, fence);
  redis_command_add_joined (command, get_tag (pool), "items:", key, ":", number, NULL);
}

static gboolean
strand_redis_store_append_items (StrandStore *store, const char *key, guint64 fence, guint64 first,
                                 GBytes *const *items, guint n, guint max_items, GError **error)
{
  RedisPool *pool = get_pool (STRAND_REDIS_STORE (store), error);
  g_autoptr(RedisCommand) command = NULL;
  g_autoptr(redisReply) reply = NULL;

  if (pool == NULL)
    return FALSE;
  command = redis_script_call (REDIS_SCRIPT_APPEND_ITEMS, 1);
  add_items_key (command, pool, key, fence);
  redis_command_add (command, get_tag (pool));
  redis_command_add (command, key);
  redis_command_add_int (command, fence);
  redis_command_add_int (command, first);
  redis_command_add_int (command, max_items);
  for (guint i = 0; i < n; i++)
    redis_command_add_bytes (command, g_bytes_get_data (items[i], NULL), g_bytes_get_size (items[i]));
  reply = redis_pool_call (pool, command, error);
  return reply != NULL;
}

static GPtrArray *
strand_redis_store_read_items (StrandStore *store, const char *key, guint64 fence, guint64 from, guint limit,
                               guint64 *first, GError **error)
{
  RedisPool *pool = get_pool (STRAND_REDIS_STORE (store), error);
  g_autoptr(GPtrArray) items = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  g_autoptr(RedisCommand) command = NULL;
  g_autoptr(redisReply) reply = NULL;

  if (pool == NULL)
    return NULL;
  command = redis_script_call (REDIS_SCRIPT_READ_ITEMS, 1);
  add_items_key (command, pool, key, fence);
  redis_command_add_int (command, from);
  redis_command_add_int (command, limit);
  reply = redis_pool_call (pool, command, error);
  if (reply == NULL)
    return NULL;

  *first = g_ascii_strtoull (reply->element[0]->str, NULL, 10);
  for (gsize i = 1; i < reply->elements; i++)
    g_ptr_array_add (items, g_bytes_new (reply->element[i]->str, reply->element[i]->len));
  return g_steal_pointer (&items);
}

static gboolean
strand_redis_store_remove_items (StrandStore *store, const char *key, guint64 fence, GError **error)
{
  RedisPool *pool = get_pool (STRAND_REDIS_STORE (store), error);
  g_autoptr(RedisCommand) command = NULL;
  g_autoptr(redisReply) reply = NULL;

  if (pool == NULL)
    return FALSE;
  command = redis_script_call (REDIS_SCRIPT_REMOVE_ITEMS, 1);
  redis_command_add_joined (command, get_tag (pool), "logs:", key, NULL);
  redis_command_add (command, get_tag (pool));
  redis_command_add (command, key);
  redis_command_add_int (command, fence);
  reply = redis_pool_call (pool, command, error);
  return reply != NULL;
}

/* --- watching ------------------------------------------------------------------------------------------ */

/* Puts a watch, or none, in the place of the one before. */
static void
replace_watch (StrandRedisStore *self, RedisWatch **place, RedisWatch *watch)
{
  RedisWatch *before;

  g_mutex_lock (&self->lock);
  before = *place;
  *place = watch;
  g_mutex_unlock (&self->lock);
  if (before != NULL)
    redis_watch_stop (before);
}

static gboolean
watch (StrandRedisStore *self, RedisWatch **place, const char *const *queues, GError **error)
{
  RedisPool *pool = get_pool (self, error);
  RedisWatch *started;

  if (pool == NULL)
    return FALSE;
  started =
      redis_watch_start (STRAND_STORE (self), redis_pool_get_settings (pool), self->sender, queues, error);
  if (started == NULL)
    return FALSE;
  replace_watch (self, place, started);
  return TRUE;
}

static gboolean
strand_redis_store_set_watching (StrandStore *store, gboolean watching, GError **error)
{
  StrandRedisStore *self = STRAND_REDIS_STORE (store);

  if (watching)
    return watch (self, &self->watch, NULL, error);
  replace_watch (self, &self->watch, NULL);
  return TRUE;
}

static gboolean
strand_redis_store_set_watching_queues (StrandStore *store, const char *const *queues, GError **error)
{
  StrandRedisStore *self = STRAND_REDIS_STORE (store);

  if (queues != NULL && queues[0] != NULL)
    return watch (self, &self->queue_watch, queues, error);
  replace_watch (self, &self->queue_watch, NULL);
  return TRUE;
}

/* --- plumbing ------------------------------------------------------------------------------------------ */

static void
strand_redis_store_close (StrandStore *store)
{
  StrandRedisStore *self = STRAND_REDIS_STORE (store);

  replace_watch (self, &self->watch, NULL);
  replace_watch (self, &self->queue_watch, NULL);
  g_clear_pointer (&self->pool, redis_pool_free);
}

static void
store_init (StrandStoreInterface *iface)
{
  iface->get = strand_redis_store_get;
  iface->put = strand_redis_store_put;
  iface->put_batch = strand_redis_store_put_batch;
  iface->remove = strand_redis_store_remove;
  iface->list = strand_redis_store_list;
  iface->count = strand_redis_store_count;
  iface->cleanup_expired = strand_redis_store_cleanup_expired;
  iface->claim = strand_redis_store_claim;
  iface->renew = strand_redis_store_renew;
  iface->append_items = strand_redis_store_append_items;
  iface->read_items = strand_redis_store_read_items;
  iface->remove_items = strand_redis_store_remove_items;
  iface->get_batch = strand_redis_store_get_batch;
  iface->set_watching = strand_redis_store_set_watching;
  iface->set_watching_queues = strand_redis_store_set_watching_queues;
  iface->close = strand_redis_store_close;
}

static void
strand_redis_store_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  StrandRedisStore *self = STRAND_REDIS_STORE (object);

  switch (id)
    {
    case PROP_URI:
      self->uri = g_value_dup_string (value);
      break;
    case PROP_PASSWORD:
      self->password = g_value_dup_string (value);
      break;
    case PROP_PREFIX:
      self->prefix = g_value_dup_string (value);
      break;
    case PROP_TLS_CA_FILE:
      self->ca_file = g_value_dup_string (value);
      break;
    case PROP_TLS_CERTIFICATE_FILE:
      self->certificate_file = g_value_dup_string (value);
      break;
    case PROP_COMMAND_TIMEOUT:
      self->command_timeout_us = g_value_get_int64 (value);
      break;
    case PROP_MAX_CONNECTIONS:
      self->max_connections = g_value_get_uint (value);
      break;
    default:
      strand_store_set_common_property (STRAND_STORE (self), value, pspec);
    }
}

/* Nobody is told the password: whoever asks for all properties may be about to print them. */
static void
strand_redis_store_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  StrandRedisStore *self = STRAND_REDIS_STORE (object);

  switch (id)
    {
    case PROP_URI:
      g_value_set_string (value, self->uri);
      break;
    case PROP_PASSWORD:
      g_value_set_string (value, NULL);
      break;
    case PROP_PREFIX:
      g_value_set_string (value, self->prefix);
      break;
    case PROP_TLS_CA_FILE:
      g_value_set_string (value, self->ca_file);
      break;
    case PROP_TLS_CERTIFICATE_FILE:
      g_value_set_string (value, self->certificate_file);
      break;
    case PROP_COMMAND_TIMEOUT:
      g_value_set_int64 (value, self->command_timeout_us);
      break;
    case PROP_MAX_CONNECTIONS:
      g_value_set_uint (value, self->max_connections);
      break;
    default:
      strand_store_get_common_property (STRAND_STORE (self), value, pspec);
    }
}

static void
strand_redis_store_finalize (GObject *object)
{
  StrandRedisStore *self = STRAND_REDIS_STORE (object);

  g_clear_pointer (&self->watch, redis_watch_stop);
  g_clear_pointer (&self->queue_watch, redis_watch_stop);
  g_clear_pointer (&self->pool, redis_pool_free);
  g_free (self->uri);
  g_free (self->password);
  g_free (self->prefix);
  g_free (self->ca_file);
  g_free (self->certificate_file);
  g_free (self->sender);
  g_mutex_clear (&self->lock);

  G_OBJECT_CLASS (strand_redis_store_parent_class)->finalize (object);
}

static void
install_properties (GObjectClass *object_class)
{
  const GParamFlags once = G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS;

  props[PROP_URI] = g_param_spec_string ("uri", NULL,
                                         "Server: redis://[USER@]HOST[:PORT][/DATABASE], rediss:// for TLS, "
                                         "or unix:///PATH[?db=DATABASE]",
                                         DEFAULT_URI, once);
  props[PROP_PASSWORD] = g_param_spec_string ("password", NULL,
                                              "Password of the user in 'uri', or of the "
                                              "server",
                                              NULL, once | STRAND_PARAM_SECRET);
  props[PROP_PREFIX] = g_param_spec_string ("prefix", NULL,
                                            "What keys in the server begin with, in braces; stores with "
                                            "different ones share a database without seeing each other",
                                            DEFAULT_PREFIX, once);
  props[PROP_TLS_CA_FILE] = g_param_spec_string ("tls-ca-file", NULL,
                                                 "File with the certificates of the authorities to trust, in "
                                                 "PEM; the system's if not set",
                                                 NULL, once);
  props[PROP_TLS_CERTIFICATE_FILE] =
      g_param_spec_string ("tls-certificate-file", NULL,
                           "File with a certificate and its key to show to the server, in PEM", NULL, once);
  props[PROP_COMMAND_TIMEOUT] = g_param_spec_int64 (
      "command-timeout", NULL,
      "How long a command may take, with all attempts to reach a server that has gone away", -1, G_MAXINT64,
      DEFAULT_COMMAND_TIMEOUT_US, once | STRAND_PARAM_DURATION);
  props[PROP_MAX_CONNECTIONS] = g_param_spec_uint ("max-connections", NULL,
                                                   "How many connections there may be at once; a thread that "
                                                   "finds all in use waits for one",
                                                   1, 10000, DEFAULT_MAX_CONNECTIONS, once);
  g_object_class_install_properties (object_class, N_PROPS, props);
}

static void
strand_redis_store_class_init (StrandRedisStoreClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->set_property = strand_redis_store_set_property;
  object_class->get_property = strand_redis_store_get_property;
  object_class->finalize = strand_redis_store_finalize;

  install_properties (object_class);
  strand_store_override_properties (object_class, FIRST_COMMON_PROP);
  redis_record_init ();
  redis_scripts_init ();
}

static void
strand_redis_store_init (StrandRedisStore *self)
{
  g_mutex_init (&self->lock);
  self->sender = g_strdup_printf ("%08x%08x", g_random_int (), g_random_int ());
}

STRAND_PLUGIN_DEFINE ("redis-store", STRAND_VERSION, "LGPL-2.1-or-later",
                      STRAND_PROVIDES_STORE ("redis", StrandRedisStore, strand_redis_store_get_type,
                                             "Keeps records in a redis server"))
