/* unfenced-store.c — what queues would be without fencing, so that a checker can show that it notices.
 *
 * Calls are still claimed by one worker at a time; but a worker that was overtaken renews its lease all the
 * same, and what it writes at last replaces what the other has written.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "unfenced-store.h"

enum
{
  FIRST_COMMON_PROPERTY = 1
};

struct _UnfencedStore
{
  GObject parent_instance;
  StrandStore *real;
};

static void store_init (StrandStoreInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (UnfencedStore, unfenced_store, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_STORE, store_init))

static StrandRecord *
unfenced_store_get (StrandStore *store, const char *key, GError **error)
{
  return strand_store_get (UNFENCED_STORE (store)->real, key, error);
}

static gboolean
unfenced_store_put (StrandStore *store, StrandRecord *record, guint64 expected, GError **error)
{
  StrandStore *real = UNFENCED_STORE (store)->real;

  for (;;)
    {
      g_autoptr(StrandRecord) mine = strand_record_copy (record);
      g_autoptr(StrandRecord) there =
          expected > 0 ? strand_store_get (real, strand_record_get_key (record), error) : NULL;
      g_autoptr(GError) local_error = NULL;

      if (expected > 0 && there == NULL)
        return FALSE;
      if (strand_store_put (real, mine, there != NULL ? strand_record_get_revision (there) : 0, &local_error))
        return TRUE;
      if (!g_error_matches (local_error, STRAND_ERROR, STRAND_ERROR_STALE))
        {
          g_propagate_error (error, g_steal_pointer (&local_error));
          return FALSE;
        }
    }
}

static gboolean
unfenced_store_remove (StrandStore *store, const char *key, guint64 expected, GError **error)
{
  return strand_store_remove (UNFENCED_STORE (store)->real, key, 0, error);
}

static StrandPage *
unfenced_store_list (StrandStore *store, const StrandFilter *filter, const char *cursor, guint limit,
                     GError **error)
{
  return strand_store_list (UNFENCED_STORE (store)->real, filter, cursor, limit, error);
}

static GPtrArray *
unfenced_store_claim (StrandStore *store, const StrandClaim *claim, gint64 *next_due_us, GError **error)
{
  return strand_store_claim (UNFENCED_STORE (store)->real, claim, next_due_us, error);
}

static gboolean
unfenced_store_renew (StrandStore *store, StrandRenewal *renewals, guint n, GError **error)
{
  strand_store_renew (UNFENCED_STORE (store)->real, renewals, n, NULL);
  for (guint i = 0; i < n; i++)
    g_clear_error (&renewals[i].error);
  return TRUE;
}

StrandStore *
unfenced_store_new (StrandStore *real)
{
  UnfencedStore *self = g_object_new (UNFENCED_TYPE_STORE, "auto-cleanup", FALSE, NULL);

  self->real = g_object_ref (real);
  return STRAND_STORE (self);
}

static void
unfenced_store_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  strand_store_set_common_property (STRAND_STORE (object), value, pspec);
}

static void
unfenced_store_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  strand_store_get_common_property (STRAND_STORE (object), value, pspec);
}

static void
unfenced_store_finalize (GObject *object)
{
  g_clear_object (&UNFENCED_STORE (object)->real);
  G_OBJECT_CLASS (unfenced_store_parent_class)->finalize (object);
}

static void
store_init (StrandStoreInterface *iface)
{
  iface->get = unfenced_store_get;
  iface->put = unfenced_store_put;
  iface->remove = unfenced_store_remove;
  iface->list = unfenced_store_list;
  iface->claim = unfenced_store_claim;
  iface->renew = unfenced_store_renew;
}

static void
unfenced_store_class_init (UnfencedStoreClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->set_property = unfenced_store_set_property;
  object_class->get_property = unfenced_store_get_property;
  object_class->finalize = unfenced_store_finalize;
  strand_store_override_properties (object_class, FIRST_COMMON_PROPERTY);
}

static void
unfenced_store_init (UnfencedStore *self)
{
}
