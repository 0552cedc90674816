/* strand-compute.c — a task with a backend of its own, made from the default one by naming what differs.
 *
 * The default backend is the pattern: the new one is of the same class with the same properties, except for
 * those named. A property that the backend does not have but its store does gives the new backend a store of
 * its own, made from the pattern's store in the same way. So this knows no backend or store, and whatever a
 * plugin's property is called can be said here.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-error.h"
#include "strand-param.h"
#include "strand-task.h"

#include <gobject/gvaluecollector.h>

/* What a new object is to be made of: names and values side by side, as g_object_new_with_properties() takes
 * them. */
typedef struct
{
  GPtrArray *names; /* borrowed */
  GArray *values;   /* of GValue */
} Properties;

static void
properties_init (Properties *self)
{
  self->names = g_ptr_array_new ();
  self->values = g_array_new (FALSE, TRUE, sizeof (GValue));
  g_array_set_clear_func (self->values, (GDestroyNotify) g_value_unset);
}

static void
properties_clear (Properties *self)
{
  g_ptr_array_unref (self->names);
  g_array_unref (self->values);
}

static GValue *
properties_set (Properties *self, GParamSpec *pspec)
{
  GValue *value;

  for (guint i = 0; i < self->names->len; i++)
    if (self->names->pdata[i] == pspec->name)
      return &g_array_index (self->values, GValue, i);
  g_ptr_array_add (self->names, (gpointer) pspec->name);
  g_array_set_size (self->values, self->values->len + 1);
  value = &g_array_index (self->values, GValue, self->values->len - 1);
  g_value_init (value, G_PARAM_SPEC_VALUE_TYPE (pspec));
  return value;
}

static GObject *
properties_build (Properties *self, GType type)
{
  return g_object_new_with_properties (type, self->names->len, (const char **) self->names->pdata,
                                       (const GValue *) self->values->data);
}

/* All that was configured of @pattern. */
static void
copy_properties (Properties *self, GObject *pattern)
{
  guint n;
  g_autofree GParamSpec **pspecs = g_object_class_list_properties (G_OBJECT_GET_CLASS (pattern), &n);

  for (guint i = 0; i < n; i++)
    if ((pspecs[i]->flags & G_PARAM_READWRITE) == G_PARAM_READWRITE)
      g_object_get_property (pattern, pspecs[i]->name, properties_set (self, pspecs[i]));
}

static GParamSpec *
find_writable (GObject *pattern, const char *name)
{
  GParamSpec *pspec = g_object_class_find_property (G_OBJECT_GET_CLASS (pattern), name);

  return pspec != NULL && (pspec->flags & G_PARAM_WRITABLE) != 0 ? pspec : NULL;
}

static gboolean
refuse_property (GObject *backend, StrandStore *store, const char *name, GError **error)
{
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
               "Could not make a backend: neither %s nor %s has a property '%s' that can be set",
               G_OBJECT_TYPE_NAME (backend), G_OBJECT_TYPE_NAME (store), name);
  return FALSE;
}

/* Names and values of the caller's list go to the backend, or else to its store. */
static gboolean
collect_properties (GObject *backend, StrandStore *store, Properties *of_backend, Properties *of_store,
                    gboolean *own_store, const char *first_property, va_list args, GError **error)
{
  for (const char *name = first_property; name != NULL; name = va_arg (args, const char *))
    {
      GParamSpec *pspec = find_writable (backend, name);
      Properties *properties = of_backend;
      g_autofree char *problem = NULL;
      GValue value = G_VALUE_INIT;

      if (pspec == NULL)
        {
          pspec = find_writable (G_OBJECT (store), name);
          properties = of_store;
          *own_store = TRUE;
        }
      if (pspec == NULL)
        return refuse_property (backend, store, name, error);
      G_VALUE_COLLECT_INIT (&value, G_PARAM_SPEC_VALUE_TYPE (pspec), args, 0, &problem);
      if (problem != NULL)
        {
          g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT, "Could not set property '%s': %s",
                       name, problem);
          return FALSE;
        }
      g_value_copy (&value, properties_set (properties, pspec));
      g_value_unset (&value);
    }
  return TRUE;
}

static GObject *
build_backend (GObject *backend, StrandStore *store, Properties *of_backend, Properties *of_store,
               gboolean own_store, GError **error)
{
  g_autoptr(GObject) new_store = NULL;
  GParamSpec *store_pspec = find_writable (backend, "store");

  if (own_store)
    {
      if (store_pspec == NULL)
        {
          g_set_error (error, STRAND_ERROR, STRAND_ERROR_NOT_SUPPORTED, "%s cannot be given another store",
                       G_OBJECT_TYPE_NAME (backend));
          return NULL;
        }
      new_store = properties_build (of_store, G_OBJECT_TYPE (store));
      g_value_set_object (properties_set (of_backend, store_pspec), new_store);
    }
  return properties_build (of_backend, G_OBJECT_TYPE (backend));
}

static GObject *
clone_backend (GObject *backend, const char *first_property, va_list args, GError **error)
{
  StrandStore *store = strand_backend_get_store (STRAND_BACKEND (backend));
  Properties of_backend, of_store;
  gboolean own_store = FALSE;
  GObject *clone = NULL;

  properties_init (&of_backend);
  properties_init (&of_store);
  copy_properties (&of_backend, backend);
  copy_properties (&of_store, G_OBJECT (store));
  if (collect_properties (backend, store, &of_backend, &of_store, &own_store, first_property, args, error))
    clone = build_backend (backend, store, &of_backend, &of_store, own_store, error);
  properties_clear (&of_backend);
  properties_clear (&of_store);
  return clone;
}

/**
 * strand_async_compute: (skip)
 * @function: name of a function in the default registry
 * @error: return location for a #GError
 * @first_property: (nullable): what differs from the default backend and its store: `store`, `path`, `ttl`,
 * `serializer`, `middleware`, `taskrunner`, `retries`, …
 * @...: its value as for g_object_new(), more properties, `NULL`
 *
 * Makes a task whose calls are stored. Without properties it shares the default stack's default backend; with
 * properties it has a backend like that one, but for what is named (and a store like that one's, where the
 * property is the store's). strand_task_ref_backend(), strand_task_ref_store() and
 * strand_task_cleanup_expired() reach them.
 *
 * Returns: (transfer full) (nullable): a task; or `NULL` with %STRAND_ERROR_UNKNOWN_FUNCTION,
 *   %STRAND_ERROR_INVALID_ARGUMENT for a property that neither has, or what the stack says
 * Since: 1.0
 */
StrandTask *
strand_async_compute (const char *function, GError **error, const char *first_property, ...)
{
  g_autoptr(StrandTask) self = NULL;
  g_autoptr(GObject) shared = NULL;
  g_autoptr(GObject) own = NULL;
  va_list args;

  g_return_val_if_fail (function != NULL, NULL);

  self = strand_task_new_for_name (function, NULL, error);
  if (self == NULL || !strand_task_set_target (self, NULL, error))
    return NULL;
  if (first_property == NULL)
    return g_steal_pointer (&self);

  shared = strand_task_ref_target (self, error);
  if (shared == NULL)
    return NULL;
  va_start (args, first_property);
  own = clone_backend (shared, first_property, args, error);
  va_end (args);
  if (own == NULL)
    return NULL;
  strand_task_set_target_object (self, own);
  return g_steal_pointer (&self);
}
