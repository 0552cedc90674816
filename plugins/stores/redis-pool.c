/* redis-pool.c — lends connections, and carries a command through what may happen to one.
 *
 * A connection serves one thread at a time; when a thread has its answers it goes back, last in, first out,
 * so that those that are not needed grow old. A thread that finds all in use waits for one.
 *
 * A lost connection is no error yet. What was sent and not answered is sent again on the next one, until
 * `command-timeout` has passed; scripts recognise what they have done already. Attempts to connect become
 * rarer, up to one a second, by a random part, so that the clients of a server that comes back do not come
 * all at once. Only where a server has never answered, an attempt that fails ends the matter: a wrong address
 * is told at once, and whoever starts before the server does tries again himself.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "redis-pool.h"

#include "redis-fault.h"
#include "redis-scripts.h"

#include <string.h>

/* From a moment in which a server can be restarted, to what a person does not mind waiting. */
#define SHORTEST_DELAY_US (10 * 1000)
#define LONGEST_DELAY_US (1000 * 1000)

/* A cluster sends to the right node at once; twice while it is being changed. */
#define MAX_REDIRECTIONS 5

/* Scripts are forgotten by a SCRIPT FLUSH or a restart between loading and use, but hardly three times. */
#define MAX_LOADS 3

struct _RedisPool
{
  RedisSettings *settings;
  guint max_connections;

  GMutex lock; /* guards everything below */
  GCond changed;
  GPtrArray *idle; /* of RedisConnection */
  guint n_lent;
  gboolean has_answered; /* the server, ever */
  guint n_failures;      /* since the last success */
  gint64 retry_us;       /* when the next attempt may be made */
  char *host;            /* where a cluster sent us, or NULL */
  guint16 port;
};

/* One redis_pool_run(). */
typedef struct
{
  RedisCommand *const *commands;
  redisReply **replies;
  guint n;
  gint64 deadline_us;
  guint n_loads, n_redirections;
  GError *passing; /* why it has not worked so far */
} Run;

RedisPool *
redis_pool_new (RedisSettings *settings, guint max_connections)
{
  RedisPool *self = g_new0 (RedisPool, 1);

  self->settings = redis_settings_ref (settings);
  self->max_connections = max_connections;
  g_mutex_init (&self->lock);
  g_cond_init (&self->changed);
  self->idle = g_ptr_array_new_with_free_func ((GDestroyNotify) redis_connection_close);
  return self;
}

void
redis_pool_free (RedisPool *self)
{
  g_ptr_array_unref (self->idle);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->changed);
  redis_settings_unref (self->settings);
  g_free (self->host);
  g_free (self);
}

RedisSettings *
redis_pool_get_settings (RedisPool *self)
{
  return self->settings;
}

/* --- lending ------------------------------------------------------------------------------------------- */

static gboolean
wait_until_locked (RedisPool *self, gint64 time_us)
{
  if (time_us != G_MAXINT64)
    return g_cond_wait_until (&self->changed, &self->lock, time_us);
  g_cond_wait (&self->changed, &self->lock);
  return TRUE;
}

static void
set_busy (RedisPool *self, GError **error)
{
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_BUSY,
               "all %u connections to redis server '%s' were in use all the time; raise 'max-connections'",
               self->max_connections, self->settings->shown);
}

/* Waits for the right to one connection. *@idle: one that is open, or NULL where one is to be made. */
static gboolean
reserve (RedisPool *self, gint64 deadline_us, RedisConnection **idle, GError **error)
{
  gboolean reserved;

  g_mutex_lock (&self->lock);
  while (self->n_lent >= self->max_connections && wait_until_locked (self, deadline_us))
    ;
  reserved = self->n_lent < self->max_connections;
  if (reserved)
    self->n_lent++;
  *idle = reserved && self->idle->len > 0 ? g_ptr_array_steal_index (self->idle, self->idle->len - 1) : NULL;
  g_mutex_unlock (&self->lock);

  if (!reserved)
    set_busy (self, error);
  return reserved;
}

/* Ends a loan. @connection: NULL where it was lost or not made. */
static void
give_back (RedisPool *self, RedisConnection *connection)
{
  g_mutex_lock (&self->lock);
  self->n_lent--;
  if (connection != NULL)
    {
      self->n_failures = 0;
      g_ptr_array_add (self->idle, connection);
    }
  g_cond_signal (&self->changed);
  g_mutex_unlock (&self->lock);
}

/* Waits for the time of the next attempt. FALSE if that is after the deadline; but each run has one. */
static gboolean
await_turn (RedisPool *self, Run *run)
{
  gboolean in_time = TRUE;

  g_mutex_lock (&self->lock);
  while (in_time && self->retry_us > g_get_monotonic_time ())
    {
      in_time = self->retry_us < run->deadline_us;
      if (in_time)
        wait_until_locked (self, self->retry_us);
    }
  g_mutex_unlock (&self->lock);
  return in_time || run->passing == NULL;
}

/* Doubles at each failure; a random half of it is left out. */
static void
note_failure (RedisPool *self)
{
  gint64 delay_us;

  g_mutex_lock (&self->lock);
  delay_us = MIN ((gint64) SHORTEST_DELAY_US << MIN (self->n_failures, 10), LONGEST_DELAY_US);
  self->n_failures++;
  self->retry_us = g_get_monotonic_time () + delay_us / 2 + g_random_int_range (0, delay_us / 2);
  g_clear_pointer (&self->host, g_free);
  g_mutex_unlock (&self->lock);
}

static RedisConnection *
connect_once (RedisPool *self, gint64 deadline_us, GError **error)
{
  g_autofree char *host = NULL;
  RedisConnection *connection;
  guint16 port;

  g_mutex_lock (&self->lock);
  host = g_strdup (self->host);
  port = self->port;
  g_mutex_unlock (&self->lock);

  connection = redis_connection_open (self->settings, host, port, deadline_us, error);
  if (connection != NULL)
    {
      g_mutex_lock (&self->lock);
      self->has_answered = TRUE;
      g_mutex_unlock (&self->lock);
    }
  return connection;
}

static gboolean
has_answered (RedisPool *self)
{
  gboolean answered;

  g_mutex_lock (&self->lock);
  answered = self->has_answered;
  g_mutex_unlock (&self->lock);
  return answered;
}

/* --- one run ------------------------------------------------------------------------------------------- */

/* Notes why it did not work. TRUE if it is worth another attempt; else @error is set. */
static gboolean
note_trouble (RedisPool *self, Run *run, GError *trouble, GError **error)
{
  gboolean again =
      redis_fault_is_passing (trouble) && has_answered (self) && g_get_monotonic_time () < run->deadline_us;

  if (again)
    {
      strand_debug (STRAND_TOPIC_STORE, "Trying again: %s", trouble->message);
      g_clear_error (&run->passing);
      run->passing = trouble;
      return TRUE;
    }
  g_propagate_error (error, trouble);
  return FALSE;
}

/* Sends what has no answer yet and takes the answers. */
static gboolean
exchange (RedisConnection *connection, Run *run, GError **error)
{
  g_autoptr(GPtrArray) open = g_ptr_array_new ();

  for (guint i = 0; i < run->n; i++)
    if (run->replies[i] == NULL)
      g_ptr_array_add (open, run->commands[i]);
  if (!redis_connection_send (connection, (RedisCommand *const *) open->pdata, open->len, run->deadline_us,
                              error))
    return FALSE;

  for (guint i = 0; i < run->n; i++)
    if (run->replies[i] == NULL)
      {
        run->replies[i] = redis_connection_receive (connection, run->deadline_us, error);
        if (run->replies[i] == NULL)
          return FALSE;
      }
  return TRUE;
}

/* Drops the first answer of this kind, and all like it, so that their commands are sent again: as if for the
 * first time, for the server has said that it did nothing. What it says, or NULL if there is none. */
static char *
drop_answers (Run *run, RedisFault fault)
{
  char *text = NULL;

  for (guint i = 0; i < run->n; i++)
    if (run->replies[i]->type == REDIS_REPLY_ERROR && redis_fault_classify (run->replies[i]->str) == fault)
      {
        if (text == NULL)
          text = g_strdup (run->replies[i]->str);
        g_clear_pointer (&run->replies[i], freeReplyObject);
        run->commands[i]->n_sent--;
      }
  return text;
}

static gboolean
load_scripts (RedisPool *self, RedisConnection *connection, Run *run, GError **error)
{
  g_autoptr(GPtrArray) commands = redis_scripts_load ();

  if (!redis_connection_send (connection, (RedisCommand *const *) commands->pdata, commands->len,
                              run->deadline_us, error))
    return FALSE;
  for (guint i = 0; i < commands->len; i++)
    {
      g_autoptr(redisReply) reply = redis_connection_receive (connection, run->deadline_us, error);

      if (reply == NULL)
        return FALSE;
      if (reply->type == REDIS_REPLY_ERROR)
        {
          redis_fault_set_error (reply->str, error);
          redis_connection_name_server (self->settings, NULL, 0, error);
          return FALSE;
        }
    }
  return TRUE;
}

/* `MOVED SLOT HOST:PORT`; an empty host is the one that was asked. */
static gboolean
follow (RedisPool *self, const char *answer)
{
  const char *address = strrchr (answer, ' ');
  const char *colon = address != NULL ? strrchr (address, ':') : NULL;
  guint64 port;

  if (colon == NULL || !g_ascii_string_to_unsigned (colon + 1, 10, 1, G_MAXUINT16, &port, NULL) ||
      (colon == address + 1 && self->settings->host == NULL))
    return FALSE;

  g_mutex_lock (&self->lock);
  g_free (self->host);
  self->host =
      colon == address + 1 ? g_strdup (self->settings->host) : g_strndup (address + 1, colon - address - 1);
  self->port = port;
  g_ptr_array_set_size (self->idle, 0);
  g_mutex_unlock (&self->lock);
  return TRUE;
}

typedef enum
{
  STEP_DONE,
  STEP_AGAIN,     /* on the same connection */
  STEP_ELSEWHERE, /* on another one */
  STEP_FAILED,
} Step;

/* Looks for answers that are no answers, and sees to it that the next try has better ones. */
static Step
settle (RedisPool *self, RedisConnection *connection, Run *run, GError **error)
{
  g_autofree char *moved = NULL;
  g_autofree char *passing = NULL;
  g_autofree char *no_script = NULL;

  if (run->n_loads < MAX_LOADS)
    no_script = drop_answers (run, REDIS_FAULT_NO_SCRIPT);
  if (no_script != NULL)
    {
      run->n_loads++;
      return load_scripts (self, connection, run, error) ? STEP_AGAIN : STEP_FAILED;
    }
  if (run->n_redirections < MAX_REDIRECTIONS)
    moved = drop_answers (run, REDIS_FAULT_MOVED);
  if (moved != NULL && follow (self, moved))
    {
      run->n_redirections++;
      return STEP_ELSEWHERE;
    }
  passing = moved == NULL ? drop_answers (run, REDIS_FAULT_PASSING) : NULL;
  if (moved == NULL && passing == NULL)
    return STEP_DONE;

  redis_fault_set_error (moved != NULL ? moved : passing, error);
  redis_connection_name_server (self->settings, NULL, 0, error);
  return STEP_FAILED;
}

static Step
use (RedisPool *self, RedisConnection *connection, Run *run, GError **error)
{
  Step step;

  do
    step = exchange (connection, run, error) ? settle (self, connection, run, error) : STEP_FAILED;
  while (step == STEP_AGAIN);
  return step;
}

/* An open connection that works. NULL without an error: none is open. */
static gboolean
borrow (RedisPool *self, Run *run, RedisConnection **connection, GError **error)
{
  RedisConnection *idle;

  if (!reserve (self, run->deadline_us, &idle, error))
    return FALSE;
  while (idle != NULL && !redis_connection_is_alive (idle, run->deadline_us))
    {
      redis_connection_close (idle);
      give_back (self, NULL);
      if (!reserve (self, run->deadline_us, &idle, error))
        return FALSE;
    }
  if (idle == NULL)
    {
      if (await_turn (self, run))
        idle = connect_once (self, run->deadline_us, error);
      else
        g_propagate_error (error, g_steal_pointer (&run->passing));
    }
  if (idle == NULL)
    give_back (self, NULL);
  *connection = idle;
  return idle != NULL;
}

/* One attempt, on one connection. */
static Step
attempt (RedisPool *self, Run *run, GError **error)
{
  RedisConnection *connection;
  gboolean keep;
  Step step;

  if (!borrow (self, run, &connection, error))
    return STEP_FAILED;
  step = use (self, connection, run, error);
  keep = step == STEP_DONE;
  if (!keep)
    redis_connection_close (connection);
  give_back (self, keep ? connection : NULL);
  return step;
}

gboolean
redis_pool_run (RedisPool *self, RedisCommand *const *commands, guint n, redisReply **replies, GError **error)
{
  Run run = { commands, replies, n, redis_settings_get_deadline (self->settings), 0, 0, NULL };
  gboolean again = n > 0;
  Step step = STEP_DONE;

  memset (replies, 0, n * sizeof *replies);
  while (again)
    {
      GError *trouble = NULL;

      step = attempt (self, &run, &trouble);
      if (step == STEP_FAILED)
        note_failure (self);
      again = step == STEP_ELSEWHERE || (step == STEP_FAILED && note_trouble (self, &run, trouble, error));
    }
  g_clear_error (&run.passing);

  return step == STEP_DONE;
}

redisReply *
redis_pool_call (RedisPool *self, RedisCommand *command, GError **error)
{
  redisReply *reply = NULL;

  if (!redis_pool_run (self, &command, 1, &reply, error))
    {
      g_clear_pointer (&reply, freeReplyObject);
      return NULL;
    }
  if (reply->type != REDIS_REPLY_ERROR)
    return reply;

  redis_fault_set_error (reply->str, error);
  redis_connection_name_server (self->settings, NULL, 0, error);
  freeReplyObject (reply);
  return NULL;
}
