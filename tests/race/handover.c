/* handover.c — what GLib hands from thread to thread by other means than a main context.
 *
 * Counted references: what a thread did with a thing before it gave its reference up is before the end of the
 * thing. Queues and pools: what was done before a push is before what is done after the pop. Types: what a
 * class's initializer wrote is before each use of the class. A cancellable: what was done before it was
 * cancelled is before whatever found it so.                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "race.h"

/* The last reference is the one that is before the end, and no other: one that is not the last says nothing
 * to who comes after. GObject counts in libgobject, so the count is taken down here while it is not the last.
 * At two, a toggle reference might have to hear of it, which is GObject's to know. */
static gboolean
drop_one_of_many (GObject *object)
{
  guint count = __atomic_load_n (&object->ref_count, __ATOMIC_SEQ_CST);

  while (count > 2)
    if (__atomic_compare_exchange_n ((guint *) &object->ref_count, &count, count - 1, FALSE, __ATOMIC_SEQ_CST,
                                     __ATOMIC_SEQ_CST))
      return TRUE;
  return FALSE;
}

INTERPOSED void
g_object_unref (gpointer object)
{
  give (object);
  if (SANITIZED && object != NULL && drop_one_of_many (object))
    return;
  take (object);
  REAL (g_object_unref) (object);
}

INTERPOSED
gboolean (g_atomic_ref_count_dec) (gatomicrefcount *count)
{
  gboolean last;

  give (count);
  last = REAL (g_atomic_ref_count_dec) (count);
  if (last)
    take (count);
  return last;
}

INTERPOSED void
g_atomic_rc_box_release_full (gpointer box, GDestroyNotify clear)
{
  give (box);
  take (box);
  REAL (g_atomic_rc_box_release_full) (box, clear);
}

INTERPOSED void
g_bytes_unref (GBytes *bytes)
{
  if (bytes != NULL)
    {
      give (bytes);
      take (bytes);
    }
  REAL (g_bytes_unref) (bytes);
}

INTERPOSED void
g_variant_unref (GVariant *value)
{
  give (value);
  take (value);
  REAL (g_variant_unref) (value);
}

INTERPOSED void
g_ptr_array_unref (GPtrArray *array)
{
  give (array);
  take (array);
  REAL (g_ptr_array_unref) (array);
}

INTERPOSED void
g_hash_table_unref (GHashTable *table)
{
  give (table);
  take (table);
  REAL (g_hash_table_unref) (table);
}

INTERPOSED void
g_async_queue_push (GAsyncQueue *queue, gpointer data)
{
  give (queue);
  REAL (g_async_queue_push) (queue, data);
}

static gpointer
popped (GAsyncQueue *queue, gpointer data)
{
  if (data != NULL)
    take (queue);
  return data;
}

INTERPOSED gpointer
g_async_queue_pop (GAsyncQueue *queue)
{
  return popped (queue, REAL (g_async_queue_pop) (queue));
}

INTERPOSED gpointer
g_async_queue_try_pop (GAsyncQueue *queue)
{
  return popped (queue, REAL (g_async_queue_try_pop) (queue));
}

INTERPOSED gpointer
g_async_queue_timeout_pop (GAsyncQueue *queue, guint64 timeout)
{
  return popped (queue, REAL (g_async_queue_timeout_pop) (queue, timeout));
}

INTERPOSED void
g_async_queue_unref (GAsyncQueue *queue)
{
  give (queue);
  take (queue);
  REAL (g_async_queue_unref) (queue);
}

/* What a pool calls; it lives as long as the program, as nobody tells when a pool that is not waited for
 * ends. */
typedef struct
{
  GFunc func;
  gpointer data;
} Worker;

static void
work (gpointer item, gpointer data)
{
  Worker *self = data;

  take (self);
  self->func (item, self->data);
  give (self);
}

INTERPOSED GThreadPool *
g_thread_pool_new (GFunc func, gpointer data, int max_threads, gboolean exclusive, GError **error)
{
  Worker *worker = g_new0 (Worker, 1);

  worker->func = func;
  worker->data = data;
  return REAL (g_thread_pool_new) (work, worker, max_threads, exclusive, error);
}

INTERPOSED gboolean
g_thread_pool_push (GThreadPool *pool, gpointer item, GError **error)
{
  give (pool->user_data);
  return REAL (g_thread_pool_push) (pool, item, error);
}

INTERPOSED void
g_thread_pool_free (GThreadPool *pool, gboolean immediate, gboolean wait)
{
  gpointer worker = pool->user_data;

  REAL (g_thread_pool_free) (pool, immediate, wait);
  if (wait)
    take (worker);
}

/* One address for all classes: each is made once, and an order among their makings hides nothing else. */
static char types;

typedef struct
{
  GClassInitFunc func; /* or an interface's: they are called alike */
  gpointer data;
} Initializer;

static void
initialize (gpointer class, gpointer data)
{
  Initializer *self = data;

  take (&types);
  self->func (class, self->data);
  give (&types);
}

static Initializer *
initializer_new (GClassInitFunc func, gpointer data)
{
  Initializer *self = g_new0 (Initializer, 1);

  self->func = func;
  self->data = data;
  return self;
}

INTERPOSED GType
g_type_register_static (GType parent, const char *name, const GTypeInfo *info, GTypeFlags flags)
{
  GTypeInfo between = *info;

  if (info->class_init != NULL)
    {
      between.class_init = initialize;
      between.class_data = initializer_new (info->class_init, (gpointer) info->class_data);
    }
  return REAL (g_type_register_static) (parent, name, &between, flags);
}

INTERPOSED GType
g_type_register_static_simple (GType parent, const char *name, guint class_size, GClassInitFunc class_init,
                               guint instance_size, GInstanceInitFunc instance_init, GTypeFlags flags)
{
  GTypeInfo info = {
    .class_size = class_size,
    .class_init = class_init,
    .instance_size = instance_size,
    .instance_init = instance_init,
  };

  return g_type_register_static (parent, name, &info, flags);
}

INTERPOSED void
g_type_add_interface_static (GType type, GType interface, const GInterfaceInfo *info)
{
  GInterfaceInfo between = *info;

  if (info->interface_init != NULL)
    {
      between.interface_init = initialize;
      between.interface_data = initializer_new (info->interface_init, info->interface_data);
    }
  REAL (g_type_add_interface_static) (type, interface, &between);
}

INTERPOSED gpointer
g_type_class_ref (GType type)
{
  gpointer class = REAL (g_type_class_ref) (type);

  take (&types);
  return class;
}

INTERPOSED gpointer
g_type_interface_peek (gpointer class, GType type)
{
  gpointer interface = REAL (g_type_interface_peek) (class, type);

  take (&types);
  return interface;
}

/* An object's initializers and setters use its class already, and variable arguments cannot be passed on:
 * each is done by the functions that take lists, in libgobject. */
INTERPOSED GObject *
g_object_new_with_properties (GType type, guint n_properties, const char *names[], const GValue values[])
{
  GTypeClass *class = g_type_class_ref (type);
  GObject *object = REAL (g_object_new_with_properties) (type, n_properties, names, values);

  g_type_class_unref (class);
  return object;
}

INTERPOSED gpointer
g_object_new (GType type, const char *first, ...)
{
  GTypeClass *class = g_type_class_ref (type);
  GObject *object;
  va_list arguments;

  if (first == NULL)
    object = REAL (g_object_new_with_properties) (type, 0, NULL, NULL);
  else
    {
      va_start (arguments, first);
      object = g_object_new_valist (type, first, arguments);
      va_end (arguments);
    }
  g_type_class_unref (class);
  return object;
}

INTERPOSED void
g_cancellable_cancel (GCancellable *cancellable)
{
  if (cancellable != NULL)
    give (cancellable);
  REAL (g_cancellable_cancel) (cancellable);
}

static gboolean
found_cancelled (GCancellable *cancellable, gboolean cancelled)
{
  if (cancelled)
    take (cancellable);
  return cancelled;
}

INTERPOSED gboolean
g_cancellable_is_cancelled (GCancellable *cancellable)
{
  return found_cancelled (cancellable, REAL (g_cancellable_is_cancelled) (cancellable));
}

INTERPOSED gboolean
g_cancellable_set_error_if_cancelled (GCancellable *cancellable, GError **error)
{
  return found_cancelled (cancellable, REAL (g_cancellable_set_error_if_cancelled) (cancellable, error));
}
