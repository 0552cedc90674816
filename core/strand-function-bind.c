/* strand-function-bind.c — how arguments meet the parameters that a function declares.
 *
 * Positional arguments fill the parameters from the left, keywords the one of their name; a keyword that no
 * parameter is named after goes into a last parameter of type a{sv}, where there is one. Each parameter is
 * filled once, with a value of its type. What does not fit is said beside all that the function takes, since
 * whoever reads that seldom has the signature in mind.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-function-private.h"
#include "strand-error.h"
#include "strand-param.h"

#include <string.h>

/* `a:x b:x` for "it takes …" */
static char *
describe_parameters (StrandFunction *self)
{
  g_autofree char *signature = strand_function_dup_signature (self);
  char *arrow = strstr (signature, "->");

  if (arrow != NULL)
    *arrow = '\0';
  g_strchomp (signature);
  return *signature != '\0' ? g_strdup_printf ("(%s)", signature) : g_strdup ("no arguments");
}

static void set_type_error (StrandFunction *self, GError **error, const char *format, ...)
    G_GNUC_PRINTF (3, 4);

static void
set_type_error (StrandFunction *self, GError **error, const char *format, ...)
{
  g_autofree char *takes = describe_parameters (self);
  g_autofree char *what = NULL;
  va_list args;

  va_start (args, format);
  what = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_TYPE, "Could not call '%s': %s; it takes %s", self->name,
               what, takes);
}

static gboolean
put_value (StrandFunction *self, GVariant **slots, guint place, GVariant *value, const GVariantType *type,
           GError **error)
{
  if (!g_variant_is_of_type (value, type))
    {
      set_type_error (self, error, "argument '%s' is of type '%s'", self->parameter_names[place],
                      g_variant_get_type_string (value));
      return FALSE;
    }
  slots[place] = g_variant_ref (value);
  return TRUE;
}

static const GVariantType *
parameter_type_at (StrandFunction *self, guint place)
{
  const GVariantType *type = g_variant_type_first (self->parameter_type);

  while (place-- > 0)
    type = g_variant_type_next (type);
  return type;
}

static int
find_parameter (StrandFunction *self, const char *name)
{
  for (guint i = 0; i < self->n_parameters; i++)
    if (strcmp (self->parameter_names[i], name) == 0)
      return (int) i;
  return -1;
}

static gboolean
put_keywords (StrandFunction *self, GVariant **slots, GVariant *keywords, GVariantDict *rest, GError **error)
{
  GVariantIter iter;
  const char *name;
  GVariant *boxed;

  g_variant_iter_init (&iter, keywords);
  while (g_variant_iter_next (&iter, "{&sv}", &name, &boxed))
    {
      g_autoptr(GVariant) value = boxed;
      int place = find_parameter (self, name);

      if (place >= 0 && slots[place] != NULL)
        {
          set_type_error (self, error, "argument '%s' is given twice", name);
          return FALSE;
        }
      if (place >= 0)
        {
          if (!put_value (self, slots, (guint) place, value, parameter_type_at (self, (guint) place), error))
            return FALSE;
        }
      else if (!self->takes_keywords)
        {
          const char *near = strand_suggest (name, (const char *const *) self->parameter_names);

          set_type_error (self, error, "it has no parameter '%s'%s%s%s", name,
                          near != NULL ? " (did you mean '" : "", near != NULL ? near : "",
                          near != NULL ? "'?)" : "");
          return FALSE;
        }
      else if (g_variant_dict_contains (rest, name))
        {
          set_type_error (self, error, "keyword '%s' is given twice", name);
          return FALSE;
        }
      else
        g_variant_dict_insert_value (rest, name, value);
    }
  return TRUE;
}

/**
 * strand_function_bind:
 * @self: a function
 * @positional: (nullable): a tuple of the leading arguments
 * @keywords: (nullable): further arguments by name, `a{sv}`
 * @error: return location for a #GError
 *
 * Folds positional and keyword arguments into one tuple of the declared type. Consumes floating arguments.
 * Any thread; does not block.
 *
 * Returns: (transfer full) (nullable): the arguments, never floating; or `NULL` with %STRAND_ERROR_TYPE: too
 * few or many, of another type, an unknown keyword, or one given twice
 *
 * Since: 1.0
 */
GVariant *
strand_function_bind (StrandFunction *self, GVariant *positional, GVariant *keywords, GError **error)
{
  g_autoptr(GVariant) tuple = positional != NULL ? g_variant_ref_sink (positional) : NULL;
  g_autoptr(GVariant) named = keywords != NULL ? g_variant_ref_sink (keywords) : NULL;
  g_autofree GVariant **slots = NULL;
  GVariantDict rest;
  GVariant *bound = NULL;
  gsize n_given;

  g_return_val_if_fail (self != NULL, NULL);
  g_return_val_if_fail (tuple == NULL || g_variant_type_is_tuple (g_variant_get_type (tuple)), NULL);
  g_return_val_if_fail (named == NULL || g_variant_is_of_type (named, G_VARIANT_TYPE_VARDICT), NULL);

  if (tuple != NULL && named == NULL && g_variant_is_of_type (tuple, self->parameter_type))
    return g_steal_pointer (&tuple);

  n_given = tuple != NULL ? g_variant_n_children (tuple) : 0;
  if (n_given > self->n_parameters)
    {
      set_type_error (self, error, "%" G_GSIZE_FORMAT " arguments are too many", n_given);
      return NULL;
    }

  slots = g_new0 (GVariant *, self->n_parameters + 1);
  g_variant_dict_init (&rest, NULL);
  for (gsize i = 0; i < n_given; i++)
    {
      g_autoptr(GVariant) value = g_variant_get_child_value (tuple, i);

      if (!put_value (self, slots, (guint) i, value, parameter_type_at (self, (guint) i), error))
        goto out;
    }
  if (named != NULL && !put_keywords (self, slots, named, &rest, error))
    goto out;

  if (self->takes_keywords && slots[self->n_parameters - 1] == NULL)
    slots[self->n_parameters - 1] = g_variant_ref_sink (g_variant_dict_end (&rest));
  else if (self->takes_keywords && named != NULL)
    {
      g_autoptr(GVariant) unplaced = g_variant_ref_sink (g_variant_dict_end (&rest));

      if (g_variant_n_children (unplaced) > 0)
        {
          set_type_error (self, error, "'%s' is given both as a whole and by keywords",
                          self->parameter_names[self->n_parameters - 1]);
          goto out;
        }
    }
  for (guint i = 0; i < self->n_parameters; i++)
    if (slots[i] == NULL)
      {
        set_type_error (self, error, "argument '%s' is missing", self->parameter_names[i]);
        goto out;
      }
  bound = g_variant_ref_sink (g_variant_new_tuple (slots, self->n_parameters));

out:
  for (guint i = 0; i < self->n_parameters; i++)
    g_clear_pointer (&slots[i], g_variant_unref);
  g_variant_dict_clear (&rest);
  return bound;
}
