/* store-suite.c — what a store promises: the suite, in the order of docs/conformance/store.md.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "store-private.h"

/* Whether anything that one has put is there for the other: one that is late with some does share. */
static gboolean
is_shared (StrandConformance *self)
{
  g_autoptr(StrandStore) one = store_make (self);
  g_autoptr(StrandStore) other = store_make (self);
  gboolean seen = FALSE;

  store_put_many (one, "probe", 3);
  for (guint i = 0; i < 3; i++)
    {
      g_autofree char *key = g_strdup_printf ("probe-%u", i);
      g_autoptr(StrandRecord) read = strand_store_get (other, key, NULL);

      seen = seen || read != NULL;
    }
  for (guint i = 0; i < 3; i++)
    {
      g_autofree char *key = g_strdup_printf ("probe-%u", i);

      store_remove (one, key);
    }
  return seen;
}

static gboolean
has_path (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  GParamSpec *path = g_object_class_find_property (G_OBJECT_GET_CLASS (store), "path");

  return path != NULL && path->value_type == G_TYPE_STRING && (path->flags & G_PARAM_WRITABLE) != 0;
}

static const StrandConformanceNeed needs[] = {
  { "shared", "each object has records of its own", is_shared },
  { "processes", "records do not leave the process", NULL },
  { "path", "the store has no property 'path'", has_path },
  { 0 },
};

static const StrandConformanceRole roles[] = {
  { "hand", store_play_hand },
  { "writer", store_play_writer },
  { "claimant", store_play_claimant },
  { "reader-of-a-read-only-medium", store_play_reader_of_a_read_only_medium },
  { 0 },
};

static const StrandConformanceCase *const groups[] = {
  store_get_cases,      store_put_cases,
  store_revision_cases, store_remove_cases,
  store_key_cases,      store_list_cases,
  store_count_cases,    store_ttl_cases,
  store_cleanup_cases,  store_clock_cases,
  store_watch_cases,    store_queue_cases,
  store_claim_cases,    store_renew_cases,
  store_batch_cases,    store_items_cases,
  store_thread_cases,   store_process_cases,
  store_crash_cases,    store_close_cases,
  store_medium_cases,   NULL,
};

const StrandConformanceSuite conformance_store_suite = { STRAND_KIND_STORE, groups, needs, roles };
