/* taskrunner-tools.c — what the cases for taskrunners share.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "taskrunner-private.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

Told *
told_new (void)
{
  Told *self = g_new0 (Told, 1);

  g_mutex_init (&self->lock);
  return self;
}

void
told_free (Told *self)
{
  g_clear_pointer (&self->value, g_variant_unref);
  g_clear_error (&self->error);
  g_mutex_clear (&self->lock);
  g_free (self);
}

void
told_listen (Told *self, StrandTask *task)
{
  strand_task_on_iter (task, told_on_iter, self, NULL);
  strand_task_on_end (task, told_on_end, self, NULL);
  strand_task_on_error (task, told_on_error, self, NULL);
}

static guint
read_locked (Told *self, const guint *first, const guint *second)
{
  guint n;

  g_mutex_lock (&self->lock);
  n = *first + (second != NULL ? *second : 0);
  g_mutex_unlock (&self->lock);
  return n;
}

guint
told_count_over (Told *self)
{
  return read_locked (self, &self->n_ends, &self->n_errors);
}

guint
told_count_items (Told *self)
{
  return read_locked (self, &self->n_items, NULL);
}

gboolean
told_on_iter (StrandCall *call, GVariant *item, gpointer data, GError **error)
{
  Told *self = data;

  g_mutex_lock (&self->lock);
  self->thread = g_thread_self ();
  if (strand_call_get_item_index (call) != self->n_items)
    self->n_misplaced++;
  if (self->n_ends + self->n_errors > 0)
    self->n_late++;
  self->n_items++;
  g_mutex_unlock (&self->lock);
  return TRUE;
}

void
told_on_end (StrandCall *call, GVariant *value, gpointer data)
{
  Told *self = data;

  g_mutex_lock (&self->lock);
  self->thread = g_thread_self ();
  self->n_ends++;
  g_clear_pointer (&self->value, g_variant_unref);
  self->value = value != NULL ? g_variant_ref (value) : NULL;
  g_mutex_unlock (&self->lock);
}

void
told_on_error (StrandCall *call, const GError *error, gpointer data)
{
  Told *self = data;

  g_mutex_lock (&self->lock);
  self->thread = g_thread_self ();
  self->n_errors++;
  g_clear_error (&self->error);
  self->error = g_error_copy (error);
  g_mutex_unlock (&self->lock);
}

StrandTaskrunner *
runner_make (StrandConformance *self)
{
  return strand_conformance_make (self);
}

/* What a runner may call its limits; those it has become 1. */
static const char *const limits[] = { "max-queued", "workers", "max-alive", NULL };

StrandTaskrunner *
runner_make_limited (StrandConformance *self)
{
  g_autoptr(GObject) model = strand_conformance_make (self);
  g_autoptr(GPtrArray) names = g_ptr_array_new ();
  g_autoptr(GArray) values = g_array_new (FALSE, TRUE, sizeof (GValue));
  guint n_properties;
  g_autofree GParamSpec **properties =
      g_object_class_list_properties (G_OBJECT_GET_CLASS (model), &n_properties);
  GObject *made;

  g_array_set_clear_func (values, (GDestroyNotify) g_value_unset);
  for (guint i = 0; i < n_properties; i++)
    if ((properties[i]->flags & G_PARAM_READWRITE) == G_PARAM_READWRITE)
      {
        GValue value = G_VALUE_INIT;

        g_value_init (&value, properties[i]->value_type);
        if (g_strv_contains (limits, properties[i]->name) && properties[i]->value_type == G_TYPE_UINT)
          g_value_set_uint (&value, 1);
        else
          g_object_get_property (model, properties[i]->name, &value);
        g_ptr_array_add (names, (gpointer) properties[i]->name);
        g_array_append_val (values, value);
      }
  made = g_object_new_with_properties (G_OBJECT_TYPE (model), names->len, (const char **) names->pdata,
                                       (const GValue *) (gpointer) values->data);
  return STRAND_TASKRUNNER (made);
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

  strand_taskrunner_close_finish (STRAND_TASKRUNNER (source), result, &closing->error);
  closing->over = TRUE;
}

/* Iterates the context meanwhile, which calls may want. */
void
runner_close (StrandConformance *self, StrandTaskrunner *runner)
{
  Closing closing = { FALSE, NULL };

  strand_taskrunner_close_async (runner, strand_conformance_get_deadline (self), NULL, on_closed, &closing);
  strand_conformance_wait (self, closing.over);
  g_assert_no_error (closing.error);
  g_object_unref (runner);
}

StrandTask *
runner_task (StrandConformance *self, StrandTaskrunner *runner, const char *name)
{
  return target_task (self, runner, name);
}

StrandTask *
runner_task_for (StrandTaskrunner *runner, const char *signature, StrandFunc func, gpointer data)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandFunction) function =
      strand_function_new ("conformance.own", signature, NULL, STRAND_TRAIT_NONE, func, data, NULL, &error);

  g_assert_no_error (error);
  return strand_task_new (function, G_OBJECT (runner));
}

void
runner_await (StrandConformance *self, StrandHandle *handle)
{
  strand_conformance_wait (self, strand_handle_is_ready (handle));
}

void
runner_await_file (StrandConformance *self, const char *name)
{
  strand_conformance_wait (self, runner_file_size (self, name) > 0);
}

static void
note_ended (GObject *handle, GAsyncResult *result, gpointer ended)
{
  *(gboolean *) ended = TRUE;
}

void
runner_run_until_ended (StrandHandle *handle)
{
  gboolean ended = FALSE;

  strand_handle_wait_async (handle, NULL, note_ended, &ended);
  while (!ended)
    g_main_context_iteration (g_main_context_get_thread_default (), TRUE);
}

StrandHandle *
runner_call_paths (StrandConformance *self, StrandTask *task, const char *first, const char *second,
                   StrandOptions *options)
{
  g_autofree char *one = strand_conformance_build_path (self, first);
  g_autofree char *two = second != NULL ? strand_conformance_build_path (self, second) : NULL;
  GVariant *arguments = two != NULL ? g_variant_new ("(ss)", one, two) : g_variant_new ("(s)", one);

  return strand_task_call_full (task, arguments, NULL, options);
}

gsize
runner_file_size (StrandConformance *self, const char *name)
{
  g_autofree char *path = strand_conformance_build_path (self, name);
  struct stat st;

  return stat (path, &st) == 0 ? (gsize) st.st_size : 0;
}

guint
runner_count (StrandConformance *self, guint in_process, guint in_other_process)
{
  guint n = strand_conformance_has (self, "in-process") ? in_process : in_other_process;

  if (strand_conformance_is_quick (self))
    return MAX (n / 100, 20);
  return MAX (n / RUNNER_SLOWNESS, 20);
}

gsize
runner_resident_bytes (void)
{
  g_autofree char *text = NULL;
  gsize pages = 0;

  if (g_file_get_contents ("/proc/self/statm", &text, NULL, NULL))
    sscanf (text, "%*u %" G_GSIZE_FORMAT, &pages);
  return pages * (gsize) sysconf (_SC_PAGESIZE);
}

static guint
count_entries (const char *path)
{
  g_autoptr(GDir) dir = g_dir_open (path, 0, NULL);
  guint n = 0;

  while (dir != NULL && g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

guint
runner_count_files (void)
{
  return count_entries ("/proc/self/fd");
}

guint
runner_count_threads (void)
{
  return count_entries ("/proc/self/task");
}

void
runner_assert_completed (StrandHandle *handle)
{
  const GError *error = strand_handle_get_error (handle);

  g_assert_no_error (error);
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_COMPLETED);
}

void
runner_assert_failed (StrandHandle *handle, StrandStatus status, GQuark domain, int code)
{
  const GError *error = strand_handle_get_error (handle);

  g_assert_error (error, domain, code);
  g_assert_cmpint (strand_handle_get_status (handle), ==, status);
}
