/* strand-stack-watch.c — has a stack reload its keyfile when the file changes.
 *
 * Editors write a file in several steps, or replace it; so a change is acted on when the file has been quiet
 * for a moment. A file that is not good changes nothing, and is complained of once for each time it changes.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-stack.h"
#include "strand-stack-private.h"
#include "strand-error.h"

/* Longer than an editor takes between two steps, shorter than a person waits. */
#define QUIET_MS 200

/* In the context in which watching was started, which is where all of this runs. */
struct _StrandStackWatch
{
  StrandStack *stack; /* not held */
  GMainContext *context;
  GFileMonitor *monitor;
  GSource *timer; /* until the file is quiet; NULL while nothing has changed */
};

static void
drop_timer (StrandStackWatch *watch)
{
  if (watch->timer == NULL)
    return;
  g_source_destroy (watch->timer);
  g_clear_pointer (&watch->timer, g_source_unref);
}

void
strand_stack_watch_free (StrandStackWatch *watch)
{
  g_signal_handlers_disconnect_by_data (watch->monitor, watch);
  g_file_monitor_cancel (watch->monitor);
  g_object_unref (watch->monitor);
  drop_timer (watch);
  g_main_context_unref (watch->context);
  g_free (watch);
}

static gboolean
on_quiet (gpointer data)
{
  StrandStackWatch *watch = data;
  g_autoptr(StrandStack) stack = g_object_ref (watch->stack);
  g_autoptr(GError) error = NULL;

  drop_timer (watch);
  if (!strand_stack_reload (stack, &error))
    g_warning ("The stack goes on as it was: %s", error->message);
  return G_SOURCE_REMOVE;
}

static void
on_changed (GFileMonitor *monitor, GFile *file, GFile *other, GFileMonitorEvent event, gpointer data)
{
  StrandStackWatch *watch = data;

  /* A file that is gone for a moment is being replaced. */
  if (event == G_FILE_MONITOR_EVENT_DELETED || event == G_FILE_MONITOR_EVENT_MOVED_OUT ||
      event == G_FILE_MONITOR_EVENT_ATTRIBUTE_CHANGED)
    return;
  drop_timer (watch);
  watch->timer = g_timeout_source_new (QUIET_MS);
  g_source_set_callback (watch->timer, on_quiet, watch, NULL);
  g_source_attach (watch->timer, watch->context);
}

static StrandStackWatch *
watch_new (StrandStack *stack, GError **error)
{
  g_autoptr(GFile) file = g_file_new_for_path (stack->path);
  GFileMonitor *monitor = g_file_monitor_file (file, G_FILE_MONITOR_WATCH_MOVES, NULL, error);
  StrandStackWatch *watch;

  if (monitor == NULL)
    {
      g_prefix_error (error, "Could not watch '%s': ", stack->path);
      return NULL;
    }
  watch = g_new0 (StrandStackWatch, 1);
  watch->stack = stack;
  watch->context = g_main_context_ref_thread_default ();
  watch->monitor = monitor;
  g_file_monitor_set_rate_limit (monitor, QUIET_MS / 2);
  g_signal_connect (monitor, "changed", G_CALLBACK (on_changed), watch);
  return watch;
}

/**
 * strand_stack_watch:
 * @self: a stack that was made of a file
 * @error: return location for a [error@Strand.Error]
 *
 * From now on reloads the keyfile when it changes, as strand_stack_reload() does, a moment after it was last
 * written: in the main context that is thread-default now, which has to be iterated. A file that is not good
 * changes nothing and is warned of. Watching twice does nothing.
 *
 * Does not block. The stack is to be let go of in the thread of that context.
 *
 * Returns: %FALSE with @error set if the stack was not made of a file, or the file cannot be watched
 * Since: 1.0
 */
gboolean
strand_stack_watch (StrandStack *self, GError **error)
{
  g_return_val_if_fail (STRAND_IS_STACK (self), FALSE);

  if (self->watch != NULL)
    return TRUE;
  if (self->path == NULL)
    {
      g_set_error_literal (error, STRAND_ERROR, STRAND_ERROR_NOT_SUPPORTED,
                           "Could not watch the stack's keyfile: it was not made of a file");
      return FALSE;
    }
  self->watch = watch_new (self, error);
  return self->watch != NULL;
}

/**
 * strand_stack_unwatch:
 * @self: a stack
 *
 * Ends strand_stack_watch(), in whose thread it is called. Does nothing for a stack that does not watch.
 *
 * Since: 1.0
 */
void
strand_stack_unwatch (StrandStack *self)
{
  g_return_if_fail (STRAND_IS_STACK (self));

  g_clear_pointer (&self->watch, strand_stack_watch_free);
}
