/* sources.c — main contexts, as what they hand from thread to thread.
 *
 * A context has a lock, which is taken for each change of a source and at each step of an iteration. So what
 * was done before a source was attached, woken or destroyed is before what the context dispatches afterwards,
 * and one iteration is before the next, on whichever thread. The lock is GLib's own and out of reach; the
 * context's address is given and taken in its place.
 *
 * A source gets a table of functions that do that around its own, when it is attached. Those that GLib
 * attaches itself (g_idle_add() and its kin) are told by their callback.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "race.h"

#include <glib-unix.h>

/* A source's functions between the two. */
typedef struct
{
  GSourceFuncs funcs; /* first: what the source points to */
  const GSourceFuncs *own;
} Table;

static const GSourceFuncs *
own_funcs (GSource *source)
{
  return ((const Table *) source->source_funcs)->own;
}

static gboolean
prepare (GSource *source, int *timeout)
{
  GMainContext *context = source->context;
  gboolean ready;

  take (context);
  ready = own_funcs (source)->prepare (source, timeout);
  give (context);
  return ready;
}

static gboolean
check (GSource *source)
{
  GMainContext *context = source->context;
  gboolean ready;

  take (context);
  ready = own_funcs (source)->check (source);
  give (context);
  return ready;
}

static gboolean
dispatch (GSource *source, GSourceFunc callback, gpointer data)
{
  GMainContext *context = source->context;
  gboolean goes_on;

  take (context);
  goes_on = own_funcs (source)->dispatch (source, callback, data);
  give (context);
  return goes_on;
}

static void
finalize (GSource *source)
{
  take (source);
  own_funcs (source)->finalize (source);
}

/* A table for each, kept for as long as the program runs; there are few. */
static const GSourceFuncs *
funcs_between (const GSourceFuncs *own)
{
  static GMutex lock;
  static GHashTable *tables;
  Table *table;

  REAL (g_mutex_lock) (&lock);
  if (tables == NULL)
    tables = g_hash_table_new (NULL, NULL);
  table = REAL (g_hash_table_lookup) (tables, own);
  if (table == NULL)
    {
      table = g_new0 (Table, 1);
      table->funcs = *own;
      table->funcs.prepare = own->prepare != NULL ? prepare : NULL;
      table->funcs.check = own->check != NULL ? check : NULL;
      table->funcs.dispatch = dispatch;
      table->funcs.finalize = own->finalize != NULL ? finalize : NULL;
      table->own = own;
      REAL (g_hash_table_insert) (tables, (gpointer) own, table);
    }
  REAL (g_mutex_unlock) (&lock);
  return &table->funcs;
}

INTERPOSED guint
g_source_attach (GSource *source, GMainContext *context)
{
  if (source->source_funcs->dispatch != dispatch)
    source->source_funcs = (GSourceFuncs *) funcs_between (source->source_funcs);
  give (context != NULL ? context : g_main_context_default ());
  return REAL (g_source_attach) (source, context);
}

INTERPOSED void
g_source_destroy (GSource *source)
{
  give (source);
  if (source->context != NULL)
    give (source->context);
  REAL (g_source_destroy) (source);
}

INTERPOSED void
g_source_unref (GSource *source)
{
  give (source);
  REAL (g_source_unref) (source);
}

INTERPOSED void
g_source_set_ready_time (GSource *source, gint64 ready_time)
{
  if (source->context != NULL)
    give (source->context);
  REAL (g_source_set_ready_time) (source, ready_time);
}

INTERPOSED void
g_main_context_wakeup (GMainContext *context)
{
  give (context != NULL ? context : g_main_context_default ());
  REAL (g_main_context_wakeup) (context);
}

INTERPOSED gboolean
g_main_context_iteration (GMainContext *context, gboolean may_block)
{
  gconstpointer token = context != NULL ? context : g_main_context_default ();
  gboolean dispatched;

  give (token);
  dispatched = REAL (g_main_context_iteration) (context, may_block);
  take (token);
  return dispatched;
}

INTERPOSED gboolean
g_main_context_pending (GMainContext *context)
{
  gconstpointer token = context != NULL ? context : g_main_context_default ();
  gboolean pending;

  give (token);
  pending = REAL (g_main_context_pending) (context);
  take (token);
  return pending;
}

INTERPOSED void
g_main_context_unref (GMainContext *context)
{
  give (context);
  take (context); /* the last one destroys the sources, and so what their callbacks hold */
  REAL (g_main_context_unref) (context);
}

INTERPOSED void
g_main_loop_run (GMainLoop *loop)
{
  REAL (g_main_loop_run) (loop);
  take (loop);
}

INTERPOSED void
g_main_loop_quit (GMainLoop *loop)
{
  give (loop);
  REAL (g_main_loop_quit) (loop);
}

INTERPOSED gboolean
g_main_loop_is_running (GMainLoop *loop)
{
  gboolean running = REAL (g_main_loop_is_running) (loop);

  if (!running)
    take (loop);
  return running;
}

/* A callback of a source that GLib itself attaches. */
typedef struct
{
  GSourceFunc func;
  GUnixFDSourceFunc fd_func;
  GChildWatchFunc child_func;
  gpointer data;
  GDestroyNotify notify;
} Callback;

static Callback *
callback_new (gpointer data, GDestroyNotify notify)
{
  Callback *self = g_new0 (Callback, 1);

  self->data = data;
  self->notify = notify;
  return self;
}

static Callback *
hand_over (Callback *self)
{
  give (self);
  return self;
}

static gboolean
call_back (gpointer data)
{
  Callback *self = data;
  gboolean goes_on;

  take (self);
  goes_on = self->func (self->data);
  give (self);
  return goes_on;
}

static gboolean
call_back_fd (int fd, GIOCondition condition, gpointer data)
{
  Callback *self = data;
  gboolean goes_on;

  take (self);
  goes_on = self->fd_func (fd, condition, self->data);
  give (self);
  return goes_on;
}

static void
call_back_child (GPid pid, int status, gpointer data)
{
  Callback *self = data;

  take (self);
  self->child_func (pid, status, self->data);
  give (self);
}

static void
callback_free (gpointer data)
{
  Callback *self = data;

  take (self);
  if (self->notify != NULL)
    self->notify (self->data);
  g_free (self);
}

static Callback *
plain_callback (GSourceFunc func, gpointer data, GDestroyNotify notify)
{
  Callback *self = callback_new (data, notify);

  self->func = func;
  return hand_over (self);
}

INTERPOSED guint
g_idle_add_full (int priority, GSourceFunc func, gpointer data, GDestroyNotify notify)
{
  return REAL (g_idle_add_full) (priority, call_back, plain_callback (func, data, notify), callback_free);
}

INTERPOSED guint
g_idle_add (GSourceFunc func, gpointer data)
{
  return g_idle_add_full (G_PRIORITY_DEFAULT_IDLE, func, data, NULL);
}

INTERPOSED guint
g_timeout_add_full (int priority, guint interval, GSourceFunc func, gpointer data, GDestroyNotify notify)
{
  return REAL (g_timeout_add_full) (priority, interval, call_back, plain_callback (func, data, notify),
                                    callback_free);
}

INTERPOSED guint
g_timeout_add (guint interval, GSourceFunc func, gpointer data)
{
  return g_timeout_add_full (G_PRIORITY_DEFAULT, interval, func, data, NULL);
}

INTERPOSED guint
g_timeout_add_seconds_full (int priority, guint interval, GSourceFunc func, gpointer data,
                            GDestroyNotify notify)
{
  return REAL (g_timeout_add_seconds_full) (priority, interval, call_back,
                                            plain_callback (func, data, notify), callback_free);
}

INTERPOSED guint
g_timeout_add_seconds (guint interval, GSourceFunc func, gpointer data)
{
  return g_timeout_add_seconds_full (G_PRIORITY_DEFAULT, interval, func, data, NULL);
}

INTERPOSED guint
g_unix_signal_add (int number, GSourceFunc func, gpointer data)
{
  return g_unix_signal_add_full (G_PRIORITY_DEFAULT, number, call_back, plain_callback (func, data, NULL),
                                 callback_free);
}

INTERPOSED guint
g_unix_fd_add (int fd, GIOCondition condition, GUnixFDSourceFunc func, gpointer data)
{
  Callback *callback = callback_new (data, NULL);

  callback->fd_func = func;
  return g_unix_fd_add_full (G_PRIORITY_DEFAULT, fd, condition, call_back_fd, hand_over (callback),
                             callback_free);
}

INTERPOSED guint
g_child_watch_add (GPid pid, GChildWatchFunc func, gpointer data)
{
  Callback *callback = callback_new (data, NULL);

  callback->child_func = func;
  return g_child_watch_add_full (G_PRIORITY_DEFAULT, pid, call_back_child, hand_over (callback),
                                 callback_free);
}

INTERPOSED void
g_main_context_invoke_full (GMainContext *context, int priority, GSourceFunc func, gpointer data,
                            GDestroyNotify notify)
{
  REAL (g_main_context_invoke_full)
  (context, priority, call_back, plain_callback (func, data, notify), callback_free);
}

INTERPOSED void
g_main_context_invoke (GMainContext *context, GSourceFunc func, gpointer data)
{
  g_main_context_invoke_full (context, G_PRIORITY_DEFAULT, func, data, NULL);
}
