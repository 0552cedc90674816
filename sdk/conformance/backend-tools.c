/* backend-tools.c — what the cases for backends share.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "backend-private.h"

#include <gobject/gvaluecollector.h>
#include <string.h>

/* A store that can fail. */

struct _BackendTroubledStore
{
  GObject parent_instance;

  StrandStore *store; /* set at construction */
  int trouble;        /* atomic */
};

static void store_init (StrandStoreInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (BackendTroubledStore, backend_troubled_store, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_STORE, store_init))

void
backend_troubled_store_set_trouble (BackendTroubledStore *self, gboolean trouble)
{
  g_atomic_int_set (&self->trouble, trouble);
}

static StrandRecord *
troubled_get (StrandStore *store, const char *key, GError **error)
{
  return strand_store_get (BACKEND_TROUBLED_STORE (store)->store, key, error);
}

static gboolean
troubled_put (StrandStore *store, StrandRecord *record, guint64 expected, GError **error)
{
  BackendTroubledStore *self = BACKEND_TROUBLED_STORE (store);

  if (g_atomic_int_get (&self->trouble))
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE, "there is no room in the troubled store");
      return FALSE;
    }
  return STRAND_STORE_GET_IFACE (self->store)->put (self->store, record, expected, error);
}

static gboolean
troubled_remove (StrandStore *store, const char *key, guint64 expected, GError **error)
{
  return strand_store_remove (BACKEND_TROUBLED_STORE (store)->store, key, expected, error);
}

static StrandPage *
troubled_list (StrandStore *store, const StrandFilter *filter, const char *cursor, guint limit,
               GError **error)
{
  return strand_store_list (BACKEND_TROUBLED_STORE (store)->store, filter, cursor, limit, error);
}

static void
store_init (StrandStoreInterface *iface)
{
  iface->get = troubled_get;
  iface->put = troubled_put;
  iface->remove = troubled_remove;
  iface->list = troubled_list;
}

static void
troubled_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  strand_store_set_common_property (STRAND_STORE (object), value, pspec);
}

static void
troubled_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  strand_store_get_common_property (STRAND_STORE (object), value, pspec);
}

static void
troubled_finalize (GObject *object)
{
  g_object_unref (BACKEND_TROUBLED_STORE (object)->store);
  G_OBJECT_CLASS (backend_troubled_store_parent_class)->finalize (object);
}

static void
backend_troubled_store_class_init (BackendTroubledStoreClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->set_property = troubled_set_property;
  object_class->get_property = troubled_get_property;
  object_class->finalize = troubled_finalize;
  strand_store_override_properties (object_class, 1);
}

static void
backend_troubled_store_init (BackendTroubledStore *self)
{
  self->store = STRAND_STORE (middleware_make_plugin (STRAND_KIND_STORE, "memory", NULL));
}

/* Backends. */

StrandBackend *
backend_make (StrandConformance *self)
{
  return strand_conformance_make (self);
}

gboolean
backend_has_property (StrandConformance *self, const char *name)
{
  StrandBackend *backend = backend_make (self);
  GParamSpec *pspec = g_object_class_find_property (G_OBJECT_GET_CLASS (backend), name);
  gboolean has = pspec != NULL && (pspec->flags & G_PARAM_WRITABLE) != 0;

  backend_end (self, backend);
  return has;
}

/* What was made as a model has never been used, so that nothing of it needs an end. */
StrandBackend *
backend_make_with (StrandConformance *self, const char *first_property, ...)
{
  g_autoptr(GObject) model = strand_conformance_make (self);
  GObjectClass *klass = G_OBJECT_GET_CLASS (model);
  g_autoptr(GPtrArray) names = g_ptr_array_new ();
  g_autoptr(GArray) values = g_array_new (FALSE, TRUE, sizeof (GValue));
  guint n_properties;
  g_autofree GParamSpec **properties = g_object_class_list_properties (klass, &n_properties);
  GObject *made;
  va_list args;

  g_array_set_clear_func (values, (GDestroyNotify) g_value_unset);
  for (guint i = 0; i < n_properties; i++)
    if ((properties[i]->flags & G_PARAM_READWRITE) == G_PARAM_READWRITE)
      {
        GValue value = G_VALUE_INIT;

        g_value_init (&value, properties[i]->value_type);
        g_object_get_property (model, properties[i]->name, &value);
        g_ptr_array_add (names, (gpointer) properties[i]->name);
        g_array_append_val (values, value);
      }
  va_start (args, first_property);
  for (const char *name = first_property; name != NULL; name = va_arg (args, const char *))
    {
      guint at = 0;
      GValue *value;
      char *problem = NULL;

      while (strcmp (names->pdata[at], name) != 0)
        at++;
      value = &g_array_index (values, GValue, at);
      g_value_reset (value);
      G_VALUE_COLLECT (value, args, 0, &problem);
      g_assert_cmpstr (problem, ==, NULL);
    }
  va_end (args);
  made = g_object_new_with_properties (G_OBJECT_TYPE (model), names->len, (const char **) names->pdata,
                                       (const GValue *) (gpointer) values->data);
  return STRAND_BACKEND (made);
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

static void
on_stopped (GObject *source, GAsyncResult *result, gpointer data)
{
  Closing *closing = data;

  strand_reader_stop_finish (STRAND_READER (source), result, &closing->error);
  closing->over = TRUE;
}

/* Iterates the context meanwhile, which calls may want. */
GError *
backend_close (StrandConformance *self, StrandBackend *backend, gint64 deadline_us)
{
  Closing closing = { FALSE, NULL };

  strand_backend_close_async (backend, deadline_us, NULL, on_closed, &closing);
  strand_conformance_wait (self, closing.over);
  return closing.error;
}

static void
stop_reader (StrandConformance *self, StrandReader *reader)
{
  Closing stopping = { FALSE, NULL };

  if (!strand_reader_is_listening (reader))
    return;
  strand_reader_stop_async (reader, strand_conformance_get_deadline (self), NULL, on_stopped, &stopping);
  strand_conformance_wait (self, stopping.over);
  g_assert_no_error (stopping.error);
}

GPtrArray *
backend_ref_readers (StrandBackend *backend)
{
  guint n_properties;
  g_autofree GParamSpec **properties =
      g_object_class_list_properties (G_OBJECT_GET_CLASS (backend), &n_properties);
  GPtrArray *readers = g_ptr_array_new_with_free_func (g_object_unref);

  for (guint i = 0; i < n_properties; i++)
    if (g_type_is_a (properties[i]->value_type, STRAND_TYPE_READER))
      {
        StrandReader *reader = NULL;

        g_object_get (backend, properties[i]->name, &reader, NULL);
        if (reader != NULL)
          g_ptr_array_add (readers, reader);
      }
  return readers;
}

void
backend_stop_readers (StrandConformance *self, GPtrArray *readers)
{
  for (guint i = 0; i < readers->len; i++)
    stop_reader (self, readers->pdata[i]);
  g_ptr_array_unref (readers);
}

void
backend_drop (StrandConformance *self, StrandBackend *backend)
{
  GPtrArray *readers = backend_ref_readers (backend);

  g_object_unref (backend);
  backend_stop_readers (self, readers);
}

void
backend_end (StrandConformance *self, StrandBackend *backend)
{
  GError *error = backend_close (self, backend, strand_conformance_get_deadline (self));

  g_assert_no_error (error);
  backend_drop (self, backend);
}

StrandTask *
backend_task (StrandConformance *self, StrandBackend *backend, const char *name)
{
  return target_task (self, backend, name);
}

StrandHandle *
backend_call (StrandConformance *self, StrandBackend *backend, const char *name, GVariant *arguments,
              StrandOptions *options)
{
  return target_call (self, backend, name, arguments, options);
}

/* Records. */

gboolean
backend_has_record (StrandBackend *backend, const char *key)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandRecord) record = strand_store_get (strand_backend_get_store (backend), key, &error);

  if (record == NULL)
    g_assert_error (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND);
  return record != NULL;
}

StrandRecord *
backend_record (StrandBackend *backend, const char *key)
{
  g_autoptr(GError) error = NULL;
  StrandRecord *record = strand_store_get (strand_backend_get_store (backend), key, &error);

  g_assert_no_error (error);
  return record;
}

static gboolean
has_status (StrandBackend *backend, const char *key, StrandStatus status)
{
  g_autoptr(StrandRecord) record = strand_store_get (strand_backend_get_store (backend), key, NULL);

  return record != NULL && strand_record_get_status (record) == status;
}

StrandRecord *
backend_await_record (StrandConformance *self, StrandBackend *backend, const char *key, StrandStatus status)
{
  strand_conformance_wait (self, has_status (backend, key, status));
  return backend_record (backend, key);
}

StrandHandle *
backend_find (StrandBackend *backend, StrandHandle *handle)
{
  g_autoptr(GError) error = NULL;
  StrandHandle *found =
      strand_handle_new (strand_backend_get_store (backend), strand_handle_get_key (handle), &error);

  g_assert_no_error (error);
  return found;
}

char *
backend_ask (StrandConformancePeer *peer, const char *what, StrandHandle *handle)
{
  g_autofree char *line = g_strdup_printf ("%s %s", what, strand_handle_get_key (handle));

  strand_conformance_peer_send (peer, line);
  return strand_conformance_peer_receive (peer);
}

void
backend_end_peer (StrandConformancePeer *peer)
{
  strand_conformance_peer_send (peer, "end");
  g_assert_cmpint (strand_conformance_peer_wait (peer), ==, 0);
}

/* Another process, which has a backend of the same settings: it is told a key and what to do with it. */
void
backend_play_onlooker (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);
  char *line;

  strand_conformance_send (self, "ready");
  while ((line = strand_conformance_receive (self)) != NULL && strcmp (line, "end") != 0)
    {
      const char *key = line + strcspn (line, " ") + 1;
      g_autoptr(GError) error = NULL;
      g_autoptr(StrandHandle) handle = strand_handle_new (strand_backend_get_store (backend), key, &error);
      g_autofree char *answer = NULL;

      if (handle == NULL)
        answer = g_strdup ("no record");
      else if (g_str_has_prefix (line, "cancel "))
        answer = g_strdup (strand_handle_cancel (handle) ? "cancelled" : "too late");
      else if (g_str_has_prefix (line, "wait "))
        {
          g_autoptr(GVariant) value = NULL;

          runner_await (self, handle);
          value = strand_handle_get_result (handle, &error);
          answer = value != NULL ? g_variant_print (value, FALSE)
                                 : g_strdup_printf ("%s %d %s", g_quark_to_string (error->domain),
                                                    error->code, error->message);
        }
      else
        answer = g_strdup ("there");
      strand_conformance_send (self, answer);
      g_free (line);
    }
  g_free (line);
  g_object_unref (backend);
}
