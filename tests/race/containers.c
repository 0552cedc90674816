/* containers.c — GLib's containers, as memory that is read and written.
 *
 * What GLib does inside a table, a queue or an array is unseen, so two threads in one table at once would be
 * no race to the sanitizer. Each call counts here as a read or a write of the container's own struct, in the
 * name of the line that made the call. Calls from libraries that are not instrumented do not count, because
 * their own orders are not all known.                     SPDX-License-Identifier: LGPL-2.1-or-later */

#include "race.h"

#include <link.h>
#include <string.h>

/* The code of those libraries. */
#define MAX_LIBRARIES 8
static const char *const foreign[] = { "/libglib-2.0.", "/libgobject-2.0.", "/libgio-2.0.",
                                       "/libjson-glib-1.0." };
static struct
{
  guintptr start, end;
} libraries[MAX_LIBRARIES];
static guint n_libraries;

static int
note_library (struct dl_phdr_info *info, size_t size, void *unused)
{
  gboolean is_foreign = FALSE;

  for (guint i = 0; i < G_N_ELEMENTS (foreign); i++)
    is_foreign |= strstr (info->dlpi_name, foreign[i]) != NULL;
  for (int i = 0; is_foreign && i < info->dlpi_phnum && n_libraries < MAX_LIBRARIES; i++)
    if (info->dlpi_phdr[i].p_type == PT_LOAD && (info->dlpi_phdr[i].p_flags & PF_X) != 0)
      {
        libraries[n_libraries].start = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
        libraries[n_libraries].end = libraries[n_libraries].start + info->dlpi_phdr[i].p_memsz;
        n_libraries++;
      }
  return 0;
}

/* Before any of ours can run, as they are loaded with the program. */
__attribute__ ((constructor)) static void
note_libraries (void)
{
  dl_iterate_phdr (note_library, NULL);
}

static gboolean
counts (const void *caller)
{
  if (!SANITIZED)
    return FALSE;
  for (guint i = 0; i < n_libraries; i++)
    if ((guintptr) caller >= libraries[i].start && (guintptr) caller < libraries[i].end)
      return FALSE;
  return TRUE;
}

static void
reads (gconstpointer container, gsize size, const void *caller)
{
  if (counts (caller))
    __tsan_read_range_pc (container, size, caller);
}

static void
writes (gconstpointer container, gsize size, const void *caller)
{
  if (counts (caller))
    __tsan_write_range_pc (container, size, caller);
}

/* A function that ACCESS says of its first argument what it does there. The sizes are of the public structs;
 * of a table, whose struct is private, the first word is enough. */
#define FUNCTION(ACCESS, SIZE, RESULT, NAME, CONTAINER, PARAMETERS, ARGUMENTS)                               \
  INTERPOSED RESULT (NAME) PARAMETERS                                                                        \
  {                                                                                                          \
    ACCESS (CONTAINER, SIZE, __builtin_return_address (0));                                                  \
    return REAL (NAME) ARGUMENTS;                                                                            \
  }

#define TABLE(ACCESS, RESULT, NAME, PARAMETERS, ARGUMENTS)                                                   \
  FUNCTION (ACCESS, sizeof (gpointer), RESULT, NAME, table, PARAMETERS, ARGUMENTS)

TABLE (writes, gboolean, g_hash_table_add, (GHashTable * table, gpointer key), (table, key))
TABLE (writes, gboolean, g_hash_table_insert, (GHashTable * table, gpointer key, gpointer value),
       (table, key, value))
TABLE (writes, gboolean, g_hash_table_replace, (GHashTable * table, gpointer key, gpointer value),
       (table, key, value))
TABLE (writes, gboolean, g_hash_table_remove, (GHashTable * table, gconstpointer key), (table, key))
TABLE (writes, void, g_hash_table_remove_all, (GHashTable * table), (table))
TABLE (writes, gboolean, g_hash_table_steal, (GHashTable * table, gconstpointer key), (table, key))
TABLE (writes, gboolean, g_hash_table_steal_extended,
       (GHashTable * table, gconstpointer key, gpointer *own_key, gpointer *value),
       (table, key, own_key, value))
TABLE (writes, guint, g_hash_table_foreach_remove, (GHashTable * table, GHRFunc func, gpointer data),
       (table, func, data))
TABLE (reads, gpointer, g_hash_table_lookup, (GHashTable * table, gconstpointer key), (table, key))
TABLE (reads, gboolean, g_hash_table_lookup_extended,
       (GHashTable * table, gconstpointer key, gpointer *own_key, gpointer *value),
       (table, key, own_key, value))
TABLE (reads, gboolean, g_hash_table_contains, (GHashTable * table, gconstpointer key), (table, key))
TABLE (reads, guint, g_hash_table_size, (GHashTable * table), (table))
TABLE (reads, void, g_hash_table_iter_init, (GHashTableIter * iter, GHashTable *table), (iter, table))
TABLE (reads, gpointer *, g_hash_table_get_keys_as_array, (GHashTable * table, guint *length),
       (table, length))

#define QUEUE(ACCESS, RESULT, NAME, PARAMETERS, ARGUMENTS)                                                   \
  FUNCTION (ACCESS, sizeof (GQueue), RESULT, NAME, queue, PARAMETERS, ARGUMENTS)

QUEUE (writes, void, g_queue_push_head, (GQueue * queue, gpointer data), (queue, data))
QUEUE (writes, void, g_queue_push_tail, (GQueue * queue, gpointer data), (queue, data))
QUEUE (writes, void, g_queue_push_head_link, (GQueue * queue, GList *link), (queue, link))
QUEUE (writes, void, g_queue_push_tail_link, (GQueue * queue, GList *link), (queue, link))
QUEUE (writes, gpointer, g_queue_pop_head, (GQueue * queue), (queue))
QUEUE (writes, GList *, g_queue_pop_head_link, (GQueue * queue), (queue))
QUEUE (writes, gboolean, g_queue_remove, (GQueue * queue, gconstpointer data), (queue, data))
QUEUE (writes, void, g_queue_unlink, (GQueue * queue, GList *link), (queue, link))
QUEUE (writes, void, g_queue_delete_link, (GQueue * queue, GList *link), (queue, link))
QUEUE (writes, void, g_queue_clear_full, (GQueue * queue, GDestroyNotify notify), (queue, notify))
QUEUE (reads, GList *, g_queue_find, (GQueue * queue, gconstpointer data), (queue, data))
QUEUE (reads, gboolean, g_queue_is_empty, (GQueue * queue), (queue))
QUEUE (reads, gpointer, g_queue_peek_head, (GQueue * queue), (queue))
QUEUE (reads, gpointer, g_queue_peek_tail, (GQueue * queue), (queue))

#define ARRAY(ACCESS, RESULT, NAME, PARAMETERS, ARGUMENTS)                                                   \
  FUNCTION (ACCESS, sizeof (GPtrArray), RESULT, NAME, array, PARAMETERS, ARGUMENTS)

ARRAY (writes, void, g_ptr_array_add, (GPtrArray * array, gpointer item), (array, item))
ARRAY (writes, void, g_ptr_array_insert, (GPtrArray * array, int index, gpointer item), (array, index, item))
ARRAY (writes, gboolean, g_ptr_array_remove, (GPtrArray * array, gpointer item), (array, item))
ARRAY (writes, gboolean, g_ptr_array_remove_fast, (GPtrArray * array, gpointer item), (array, item))
ARRAY (writes, gpointer, g_ptr_array_remove_index, (GPtrArray * array, guint index), (array, index))
ARRAY (writes, gpointer, g_ptr_array_remove_index_fast, (GPtrArray * array, guint index), (array, index))
ARRAY (writes, gpointer, g_ptr_array_steal_index, (GPtrArray * array, guint index), (array, index))
ARRAY (writes, gpointer *, g_ptr_array_steal, (GPtrArray * array, gsize *length), (array, length))
ARRAY (writes, void, g_ptr_array_set_size, (GPtrArray * array, int length), (array, length))
ARRAY (writes, void, g_ptr_array_sort, (GPtrArray * array, GCompareFunc compare), (array, compare))
ARRAY (reads, gboolean, g_ptr_array_find, (GPtrArray * array, gconstpointer item, guint *index),
       (array, item, index))

#define VALUES(ACCESS, RESULT, NAME, PARAMETERS, ARGUMENTS)                                                  \
  FUNCTION (ACCESS, sizeof (GArray), RESULT, NAME, array, PARAMETERS, ARGUMENTS)

VALUES (writes, GArray *, g_array_append_vals, (GArray * array, gconstpointer data, guint length),
        (array, data, length))
VALUES (writes, GArray *, g_array_remove_index, (GArray * array, guint index), (array, index))
VALUES (writes, GArray *, g_array_remove_range, (GArray * array, guint index, guint length),
        (array, index, length))
VALUES (writes, GArray *, g_array_set_size, (GArray * array, guint length), (array, length))
