/* strand-dispatcher-model.c — a dispatcher's calls as a list of rows.
 *
 * Calls may be enqueued on any thread and by the thousand. The list is the main context's: it keeps rows of
 * its own, brings them up to date once a turn, and says so with one items-changed, however much has come or
 * gone since. Rows that go are let go in turns as well: a handle's end costs about a microsecond, and ten
 * thousand at once would be seen.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-dispatcher-private.h"

static GType
get_item_type (GListModel *model)
{
  return STRAND_TYPE_HANDLE;
}

static guint
get_n_items (GListModel *model)
{
  return STRAND_TASK_DISPATCHER (model)->rows->len;
}

static gpointer
get_item (GListModel *model, guint position)
{
  GPtrArray *rows = STRAND_TASK_DISPATCHER (model)->rows;

  return position < rows->len ? g_object_ref (rows->pdata[position]) : NULL;
}

void
strand_task_dispatcher_model_init (GListModelInterface *iface)
{
  iface->get_item_type = get_item_type;
  iface->get_n_items = get_n_items;
  iface->get_item = get_item;
}

/* Rows on their way out. */
typedef struct
{
  StrandNews news;
  StrandDelivery *delivery;
  GPtrArray *rows;
} Leaving;

/* So many between two looks at the clock. */
#define LET_GO_AT_ONCE 64

static gboolean
let_go (StrandNews *news, gint64 deadline_us)
{
  Leaving *leaving = (Leaving *) news;
  GPtrArray *rows = leaving->rows;

  while (rows->len > 0)
    {
      g_ptr_array_set_size (rows, (int) rows->len - (int) MIN (rows->len, LET_GO_AT_ONCE));
      if (rows->len > 0 && g_get_monotonic_time () >= deadline_us)
        return FALSE;
    }
  g_ptr_array_unref (rows);
  strand_delivery_unref (leaving->delivery);
  g_free (leaving);
  return TRUE;
}

static void
queue_leaving (StrandTaskDispatcher *self, GPtrArray *rows)
{
  Leaving *leaving = g_new0 (Leaving, 1);

  leaving->news.dispatch = let_go;
  leaving->delivery = strand_delivery_ref (strand_line_get_delivery (self->line));
  leaving->rows = rows;
  strand_delivery_push (leaving->delivery, &leaving->news);
}

/* The rows that the list is to have beyond those that it has; @fresh: they replace those. */
static GPtrArray *
look (StrandTaskDispatcher *self, gboolean *fresh)
{
  GPtrArray *more = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr(StrandBatch) old = NULL;

  g_mutex_lock (&self->lock);
  self->rows_queued = FALSE;
  *fresh = self->shown != self->batch;
  for (guint i = *fresh ? 0 : self->rows->len; i < self->batch->handles->len; i++)
    g_ptr_array_add (more, g_object_ref (self->batch->handles->pdata[i]));
  if (*fresh)
    {
      old = g_steal_pointer (&self->shown);
      self->shown = strand_batch_ref (self->batch);
    }
  g_mutex_unlock (&self->lock);
  return more;
}

static void
show_rows (StrandTaskDispatcher *self)
{
  gboolean fresh;
  GPtrArray *more = look (self, &fresh);
  guint n_before = self->rows->len, n_added = more->len;

  if (fresh)
    {
      GPtrArray *gone = g_steal_pointer (&self->rows);

      self->rows = more;
      if (n_before + n_added > 0)
        g_list_model_items_changed (G_LIST_MODEL (self), 0, n_before, n_added);
      queue_leaving (self, gone);
      return;
    }
  g_ptr_array_extend_and_steal (self->rows, more);
  if (n_added > 0)
    g_list_model_items_changed (G_LIST_MODEL (self), n_before, 0, n_added);
}

static void
show_rows_of (gpointer data)
{
  GWeakRef *weak = data;
  g_autoptr(StrandTaskDispatcher) self = g_weak_ref_get (weak);

  g_weak_ref_clear (weak);
  g_free (weak);
  if (self != NULL)
    show_rows (self);
}

/* Any thread. The dispatcher may go before its context gets round to it. */
void
strand_task_dispatcher_model_changed (StrandTaskDispatcher *self)
{
  gboolean first;
  GWeakRef *weak;

  g_mutex_lock (&self->lock);
  first = !self->rows_queued;
  self->rows_queued = TRUE;
  g_mutex_unlock (&self->lock);
  if (!first)
    return;
  weak = g_new (GWeakRef, 1);
  g_weak_ref_init (weak, self);
  strand_delivery_post (strand_line_get_delivery (self->line), show_rows_of, weak);
}
