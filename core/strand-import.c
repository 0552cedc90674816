/* strand-import.c — taking a record over from another store, as it is.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "strand-store-private.h"

/**
 * strand_store_import:
 * @self: a store
 * @record: a record as it was in another store
 * @error: return location for a [error@Strand.Error]
 *
 * Writes a record that another store has kept, exactly, if there is none of its key. Unlike
 * strand_store_put(), it changes nothing: the revision is kept, and goes on from there, and the store's own
 * `ttl` does not count. A record without a revision, which no store has kept, begins at 1.
 *
 * Blocks; any thread that owns no main context, and that alone uses @record meanwhile. Fails with
 * `STRAND_ERROR_EXISTS` if a record of that key is there, `STRAND_ERROR_INVALID_KEY`,
 * `STRAND_ERROR_TOO_LARGE`, `STRAND_ERROR_CLOSED`, or as the store's medium does.
 *
 * Returns: %TRUE if it was written
 * Since: 1.0
 */
gboolean
strand_store_import (StrandStore *self, StrandRecord *record, GError **error)
{
  g_autoptr(GError) local_error = NULL;
  const char *key;
  gboolean done;
  StrandVisit visit;

  g_return_val_if_fail (STRAND_IS_STORE (self), FALSE);
  g_return_val_if_fail (record != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  key = strand_record_get_key (record);
  if (!strand_key_check (key, error))
    return FALSE;
  if (!strand_store_enter (self, &visit, error))
    {
      strand_store_explain (self, error, "import", key);
      return FALSE;
    }
  if (strand_record_get_revision (record) == 0)
    strand_record_set_int (record, STRAND_FIELD_REVISION, 1);
  done = strand_store_check_size (&visit, record, &local_error) &&
         strand_store_put_prepared (self, &visit, record, 0, &local_error);
  strand_store_leave (self, &visit);

  if (done)
    {
      strand_store_announce_put (self, &visit, record);
      return TRUE;
    }
  strand_store_explain (self, &local_error, "import", key);
  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}
