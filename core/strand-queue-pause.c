/* strand-queue-pause.c — keeping readers from a queue for a while.
 *
 * That a queue is paused is a record of its own, which every reader watches. One that is not paused has none:
 * so queues that nobody uses any more leave nothing behind.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-queue-private.h"

#include "strand-clock.h"
#include "strand-error.h"

#define MAX_TRIES 1000

gboolean
queue_state_says_paused (StrandRecord *state)
{
  GVariant *metadata = strand_record_get_variant (state, STRAND_FIELD_METADATA);
  gboolean paused = FALSE;

  if (metadata != NULL)
    g_variant_lookup (metadata, "paused", "b", &paused);
  return paused;
}

/* NULL without error where there is none. */
static StrandRecord *
get_state (StrandStore *store, const char *key, GError **error)
{
  g_autoptr(GError) local_error = NULL;
  StrandRecord *state = strand_store_get (store, key, &local_error);

  if (state == NULL && !g_error_matches (local_error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND))
    g_propagate_error (error, g_steal_pointer (&local_error));
  return state;
}

static gboolean
put_paused (StrandStore *store, const char *key, GError **error)
{
  g_autoptr(StrandRecord) state = strand_record_new (key);

  strand_record_set_string (state, STRAND_FIELD_KIND, QUEUE_STATE_KIND);
  strand_record_set_int (state, STRAND_FIELD_CREATED, strand_clock_now_us ());
  strand_record_set_variant (state, STRAND_FIELD_METADATA, g_variant_new_parsed ("{'paused': <true>}"));
  return strand_store_put (store, state, 0, error);
}

/* A queue that is not paused has no record: so those that nobody uses any more leave nothing. */
static gboolean
set_paused (StrandStore *store, const char *name, gboolean paused, GError **error)
{
  g_autofree char *key = g_strconcat (QUEUE_STATE_PREFIX, name, NULL);

  if (!queue_check_name (name, error))
    return FALSE;
  for (guint i = 0; i < MAX_TRIES; i++)
    {
      g_autoptr(GError) local_error = NULL;
      g_autoptr(StrandRecord) state = get_state (store, key, &local_error);

      if (local_error == NULL && (state != NULL && queue_state_says_paused (state)) == paused)
        return TRUE;
      if (local_error == NULL && state != NULL &&
          strand_store_remove (store, key, strand_record_get_revision (state), &local_error))
        continue;
      if (local_error == NULL && put_paused (store, key, &local_error))
        return TRUE;
      if (g_error_matches (local_error, STRAND_ERROR, STRAND_ERROR_STALE) ||
          g_error_matches (local_error, STRAND_ERROR, STRAND_ERROR_EXISTS) ||
          g_error_matches (local_error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND))
        continue;
      g_propagate_prefixed_error (error, g_steal_pointer (&local_error),
                                  "Could not %s queue '%s': ", paused ? "pause" : "resume", name);
      return FALSE;
    }
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_STALE,
               "Could not %s queue '%s': others changed it at each of %d tries", paused ? "pause" : "resume",
               name, MAX_TRIES);
  return FALSE;
}

/**
 * strand_queue_is_paused:
 * @store: a store
 * @name: a queue's name
 * @error: return location for a [error@Strand.Error]
 *
 * Says whether readers leave a queue alone.
 *
 * Blocks; any thread that owns no main context. Fails with `STRAND_ERROR_INVALID_ARGUMENT` for what can be no
 * queue's name, or as strand_store_get() does.
 *
 * Returns: whether strand_queue_pause() was called for it; %FALSE with @error set where that cannot be told
 * Since: 1.0
 */
gboolean
strand_queue_is_paused (StrandStore *store, const char *name, GError **error)
{
  g_autofree char *key = NULL;
  g_autoptr(StrandRecord) state = NULL;

  g_return_val_if_fail (STRAND_IS_STORE (store) && name != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!queue_check_name (name, error))
    return FALSE;
  key = g_strconcat (QUEUE_STATE_PREFIX, name, NULL);
  state = get_state (store, key, error);
  return state != NULL && queue_state_says_paused (state);
}

/**
 * strand_queue_pause:
 * @store: a store
 * @name: a queue's name
 * @error: return location for a [error@Strand.Error]
 *
 * Has all readers, in all processes, take no more calls of a queue, until strand_queue_resume(). Calls that
 * run go on, and calls may be launched: they wait. Does nothing to a queue that is paused.
 *
 * Blocks; any thread that owns no main context. Fails with `STRAND_ERROR_INVALID_ARGUMENT` for what can be no
 * queue's name, or as strand_store_put() does.
 *
 * Returns: %TRUE, or %FALSE with @error set
 * Since: 1.0
 */
gboolean
strand_queue_pause (StrandStore *store, const char *name, GError **error)
{
  g_return_val_if_fail (STRAND_IS_STORE (store) && name != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return set_paused (store, name, TRUE, error);
}

/**
 * strand_queue_resume:
 * @store: a store
 * @name: a queue's name
 * @error: return location for a [error@Strand.Error]
 *
 * Undoes strand_queue_pause(). Does nothing to a queue that is not paused. Blocks and fails as that does.
 *
 * Returns: %TRUE, or %FALSE with @error set
 * Since: 1.0
 */
gboolean
strand_queue_resume (StrandStore *store, const char *name, GError **error)
{
  g_return_val_if_fail (STRAND_IS_STORE (store) && name != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return set_paused (store, name, FALSE, error);
}
