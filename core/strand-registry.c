/* strand-registry.c — the functions that a program or worker knows, by name.
 *
 * A name is registered once and for good: what a stored call means must not change under it.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-registry.h"
#include "strand-error.h"
#include "strand-function-private.h"
#include "strand-param.h"

#include <string.h>

struct _StrandRegistry
{
  GObject parent_instance;

  GRWLock lock;          /* guards the table */
  GHashTable *functions; /* of StrandFunction, by its own name */
};

_Thread_local gboolean strand_registering_portable;

/**
 * StrandRegistry:
 *
 * The functions that a program or worker knows, by name. A name is registered once and for good. Any
 * thread.
 *
 * Since: 1.0
 */
G_DEFINE_FINAL_TYPE (StrandRegistry, strand_registry, G_TYPE_OBJECT)

static void
strand_registry_finalize (GObject *object)
{
  StrandRegistry *self = STRAND_REGISTRY (object);

  g_hash_table_unref (self->functions);
  g_rw_lock_clear (&self->lock);
  G_OBJECT_CLASS (strand_registry_parent_class)->finalize (object);
}

static void
strand_registry_class_init (StrandRegistryClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = strand_registry_finalize;
}

static void
strand_registry_init (StrandRegistry *self)
{
  g_rw_lock_init (&self->lock);
  self->functions =
      g_hash_table_new_full (g_str_hash, g_str_equal, NULL, (GDestroyNotify) strand_function_unref);
}

/**
 * strand_registry_get_default:
 *
 * The process's own registry, which names in tasks and modules in keyfiles mean. Any thread.
 *
 * Returns: (transfer none): the registry
 * Since: 1.0
 */
StrandRegistry *
strand_registry_get_default (void)
{
  static gsize registry;

  if (g_once_init_enter (&registry))
    g_once_init_leave (&registry, (gsize) strand_registry_new ());
  return (StrandRegistry *) registry;
}

/**
 * strand_registry_new:
 *
 * Makes a registry of one's own, beside strand_registry_get_default().
 *
 * Returns: (transfer full): an empty registry
 * Since: 1.0
 */
StrandRegistry *
strand_registry_new (void)
{
  return g_object_new (STRAND_TYPE_REGISTRY, NULL);
}

/**
 * strand_registry_add:
 * @self: a registry
 * @name: the function's name
 * @signature: its parameters and result, as strand_function_new() takes them
 * @help: (nullable): one line for people
 * @func: (scope notified): the code
 * @user_data: (closure func): data for @func
 * @destroy: (nullable): frees @user_data
 * @error: return location for a #GError
 *
 * Adds a function without traits. Any thread; does not block.
 *
 * Returns: %TRUE, or %FALSE with %STRAND_ERROR_INVALID_ARGUMENT or %STRAND_ERROR_EXISTS
 * Since: 1.0
 */
gboolean
strand_registry_add (StrandRegistry *self, const char *name, const char *signature, const char *help,
                     StrandFunc func, gpointer user_data, GDestroyNotify destroy, GError **error)
{
  g_autoptr(StrandFunction) function = NULL;

  g_return_val_if_fail (STRAND_IS_REGISTRY (self), FALSE);

  function = strand_function_new (name, signature, help, STRAND_TRAIT_NONE, func, user_data, destroy, error);
  return function != NULL && strand_registry_add_function (self, function, error);
}

/**
 * strand_registry_add_function:
 * @self: a registry
 * @function: (transfer none): what to add
 * @error: return location for a #GError
 *
 * Adds a function. Adding the same one again is no error. Any thread; does not block.
 *
 * Returns: %TRUE, or %FALSE with %STRAND_ERROR_EXISTS
 * Since: 1.0
 */
gboolean
strand_registry_add_function (StrandRegistry *self, StrandFunction *function, GError **error)
{
  const char *name;
  StrandFunction *there;

  g_return_val_if_fail (STRAND_IS_REGISTRY (self), FALSE);
  g_return_val_if_fail (function != NULL, FALSE);

  name = strand_function_get_name (function);
  if (strand_registering_portable)
    g_atomic_int_set (&function->portable, TRUE);
  g_rw_lock_writer_lock (&self->lock);
  there = g_hash_table_lookup (self->functions, name);
  if (there == NULL)
    g_hash_table_insert (self->functions, (gpointer) name, strand_function_ref (function));
  g_rw_lock_writer_unlock (&self->lock);

  if (there == NULL || there == function)
    return TRUE;
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_EXISTS,
               "Could not register function '%s': another one has that name already", name);
  return FALSE;
}

/**
 * strand_registry_lookup:
 * @self: a registry
 * @name: a function's name
 * @error: return location for a #GError
 *
 * Finds a function. Any thread; does not block.
 *
 * Returns: (transfer full) (nullable): the function, or `NULL` with %STRAND_ERROR_UNKNOWN_FUNCTION
 * Since: 1.0
 */
StrandFunction *
strand_registry_lookup (StrandRegistry *self, const char *name, GError **error)
{
  StrandFunction *function;
  g_autofree const char **names = NULL;
  const char *near;

  g_return_val_if_fail (STRAND_IS_REGISTRY (self), NULL);
  g_return_val_if_fail (name != NULL, NULL);

  g_rw_lock_reader_lock (&self->lock);
  function = g_hash_table_lookup (self->functions, name);
  if (function != NULL)
    strand_function_ref (function);
  else
    names = (const char **) g_hash_table_get_keys_as_array (self->functions, NULL);
  g_rw_lock_reader_unlock (&self->lock);
  if (function != NULL)
    return function;

  near = strand_suggest (name, names);
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_UNKNOWN_FUNCTION,
               "There is no function '%s'%s%s%s; functions come from the program itself or a module", name,
               near != NULL ? " (did you mean '" : "", near != NULL ? near : "", near != NULL ? "'?)" : "");
  return NULL;
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (strand_function_get_name (*(StrandFunction *const *) a),
                 strand_function_get_name (*(StrandFunction *const *) b));
}

/**
 * strand_registry_list:
 * @self: a registry
 *
 * Any thread; does not block.
 *
 * Returns: (transfer container) (element-type StrandFunction): its functions, by name
 * Since: 1.0
 */
GPtrArray *
strand_registry_list (StrandRegistry *self)
{
  GPtrArray *list = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_function_unref);
  GHashTableIter iter;
  gpointer function;

  g_return_val_if_fail (STRAND_IS_REGISTRY (self), list);

  g_rw_lock_reader_lock (&self->lock);
  g_hash_table_iter_init (&iter, self->functions);
  while (g_hash_table_iter_next (&iter, NULL, &function))
    g_ptr_array_add (list, strand_function_ref (function));
  g_rw_lock_reader_unlock (&self->lock);

  g_ptr_array_sort (list, compare_names);
  return list;
}
