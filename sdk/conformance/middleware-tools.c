/* middleware-tools.c — what the cases for middleware share.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "middleware-private.h"

/* So many equal calls at most until one is held back or refused. */
#define MAX_PROVOCATIONS 12

GObject *
middleware_make_plugin (StrandKind kind, const char *name, const char *first_property, ...)
{
  g_autoptr(GError) error = NULL;
  GType type = strand_plugins_load (strand_plugins_get_default (), kind, name, &error);
  GObject *made;
  va_list args;

  g_assert_no_error (error);
  va_start (args, first_property);
  made = g_object_new_valist (type, first_property, args);
  va_end (args);
  return made;
}

World *
world_new_around (StrandConformance *self, StrandMiddleware *subject, gboolean bare)
{
  g_autoptr(GListStore) chain = g_list_store_new (STRAND_TYPE_MIDDLEWARE);
  World *world = g_new0 (World, 1);

  world->self = self;
  world->subject = subject;
  world->outer = probe_new (NULL);
  world->lens = bare ? NULL : probe_new (subject);
  world->inner = probe_new (NULL);
  g_list_store_append (chain, world->outer);
  g_list_store_append (chain, bare ? (gpointer) subject : (gpointer) world->lens);
  g_list_store_append (chain, world->inner);
  world->store = STRAND_STORE (middleware_make_plugin (STRAND_KIND_STORE, "memory", NULL));
  world->runner = STRAND_TASKRUNNER (middleware_make_plugin (STRAND_KIND_TASKRUNNER, "thread", NULL));
  /* Retries follow at once. */
  world->backend = STRAND_BACKEND (middleware_make_plugin (
      STRAND_KIND_BACKEND, "local", "store", world->store, "taskrunner", world->runner, "middleware", chain,
      "retry-delay", G_GINT64_CONSTANT (0), NULL));
  return world;
}

World *
world_new (StrandConformance *self)
{
  return world_new_around (self, strand_conformance_make (self), FALSE);
}

World *
world_new_bare (StrandConformance *self)
{
  return world_new_around (self, strand_conformance_make (self), TRUE);
}

typedef struct
{
  gboolean over;
  GError *error;
} Closing;

static void
on_closed (GObject *source, GAsyncResult *result, gpointer data)
{
  Closing *closing = data;

  strand_backend_close_finish (STRAND_BACKEND (source), result, &closing->error);
  closing->over = TRUE;
}

StrandMiddleware *
world_close_and_keep (World *world)
{
  StrandMiddleware *subject = world->subject;
  Closing closing = { FALSE, NULL };

  strand_backend_close_async (world->backend, strand_conformance_get_deadline (world->self), NULL, on_closed,
                              &closing);
  strand_conformance_wait (world->self, closing.over);
  g_assert_no_error (closing.error);
  g_object_unref (world->backend);
  runner_close (world->self, world->runner);
  g_object_unref (world->store);
  g_object_unref (world->outer);
  g_clear_object (&world->lens);
  g_object_unref (world->inner);
  g_free (world);
  return subject;
}

void
middleware_close (StrandMiddleware *subject)
{
  strand_middleware_close (subject);
  g_object_unref (subject);
}

void
world_close (World *world)
{
  middleware_close (world_close_and_keep (world));
}

StrandTask *
world_task (World *world, const char *name)
{
  return target_task (world->self, world->backend, name);
}

StrandTask *
world_task_for (World *world, const char *signature, StrandFunc func, gpointer data)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandFunction) function =
      strand_function_new ("conformance.own", signature, NULL, STRAND_TRAIT_NONE, func, data, NULL, &error);

  g_assert_no_error (error);
  return strand_task_new (function, G_OBJECT (world->backend));
}

StrandHandle *
world_call_task (World *world, StrandTask *task, GVariant *arguments, StrandOptions *options)
{
  StrandHandle *handle = strand_task_call_full (task, arguments, NULL, options);

  runner_await (world->self, handle);
  return handle;
}

StrandHandle *
world_call (World *world, const char *name, GVariant *arguments, StrandOptions *options)
{
  return target_call (world->self, world->backend, name, arguments, options);
}

GVariant *
world_text (World *world)
{
  g_autofree char *text = g_strdup_printf ("text %u", world->n_calls++);

  return g_variant_new ("(s)", text);
}

void
world_pass (World *world)
{
  g_autoptr(GVariant) arguments = g_variant_ref_sink (world_text (world));
  g_autoptr(StrandHandle) handle = world_call (world, "conformance.echo", arguments, NULL);
  g_autoptr(GVariant) expected = g_variant_get_child_value (arguments, 0);
  g_autoptr(GVariant) value = NULL;

  runner_assert_completed (handle);
  value = strand_handle_get_result (handle, NULL);
  g_assert_cmpvariant (value, expected);
}

void
world_open_gate (World *world)
{
  strand_conformance_create_file (world->self, "gate");
}

void
world_await_all (World *world, GPtrArray *handles)
{
  for (guint i = 0; i < handles->len; i++)
    runner_await (world->self, handles->pdata[i]);
}

/* Whether each of the calls has got somewhere: past the object under test, or a place where it waits, or its
 * end. */
static gboolean
are_settled (World *world, GPtrArray *handles)
{
  return probe_read (world->inner, &world->inner->n_before) + probe_read (world->lens, &world->lens->n_held) +
             probe_read (world->lens, &world->lens->n_refused) +
             probe_read (world->lens, &world->lens->n_answered) >=
         handles->len;
}

GPtrArray *
world_provoke (World *world, const guint *number, guint n)
{
  GPtrArray *handles = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr(StrandTask) task = world_task (world, "conformance.hold");

  for (guint i = 0; i < MAX_PROVOCATIONS + n && probe_read (world->lens, number) < n; i++)
    {
      g_ptr_array_add (handles, runner_call_paths (world->self, task, "entered", "gate", NULL));
      strand_conformance_wait (world->self, are_settled (world, handles));
    }
  return handles;
}

GPtrArray *
world_hold (World *world, guint n)
{
  GPtrArray *handles = world_provoke (world, &world->lens->n_held, n);

  g_assert_cmpuint (probe_read (world->lens, &world->lens->n_held), >=, n);
  return handles;
}

GPtrArray *
world_refuse (World *world)
{
  GPtrArray *handles = world_provoke (world, &world->lens->n_refused, 1);

  g_assert_cmpuint (probe_read (world->lens, &world->lens->n_refused), >=, 1);
  runner_await (world->self, handles->pdata[handles->len - 1]);
  return handles;
}
