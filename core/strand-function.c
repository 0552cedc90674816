/* strand-function.c — a named callable, and the signature that it declares.
 *
 * A signature is text: `a:x b:x -> x`, names and GVariant types of the parameters, then the result's type.
 * No arrow means that nothing is returned; `-> object` a GObject, which cannot leave the process. A last
 * parameter of type a{sv} takes every keyword that has no parameter of its own. How a call's arguments meet
 * all this is strand-function-bind.c's.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-function-private.h"
#include "strand-error.h"

#include <string.h>

/**
 * StrandFunction:
 *
 * A named callable: what it takes, what it gives, what it must not be used for. Immutable and counted.
 *
 * Since: 1.0
 */
G_DEFINE_BOXED_TYPE (StrandFunction, strand_function, strand_function_ref, strand_function_unref)

G_DEFINE_FLAGS_TYPE (StrandTraits, strand_traits, G_DEFINE_ENUM_VALUE (STRAND_TRAIT_NONE, "none"),
                     G_DEFINE_ENUM_VALUE (STRAND_TRAIT_MAIN_THREAD_ONLY, "main-thread-only"),
                     G_DEFINE_ENUM_VALUE (STRAND_TRAIT_NOT_REENTRANT, "not-reentrant"),
                     G_DEFINE_ENUM_VALUE (STRAND_TRAIT_NOT_PORTABLE, "not-portable"))

static gboolean
check_name (const char *name, GError **error)
{
  const char *p = name;

  if (g_ascii_isalpha (*p) || *p == '_')
    while (g_ascii_isalnum (*p) || (*p != '\0' && strchr ("._-", *p) != NULL))
      p++;
  if (p != name && *p == '\0' && p - name <= 128)
    return TRUE;

  g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
               "'%s' is no function name: a letter, then up to 127 letters, digits, '.', '_' and '-'", name);
  return FALSE;
}

/* Keywords are written NAME=VALUE on command lines, and as names in other languages. */
static gboolean
is_parameter_name (const char *name, gsize length)
{
  if (length == 0 || (!g_ascii_isalpha (name[0]) && name[0] != '_'))
    return FALSE;
  for (gsize i = 1; i < length; i++)
    if (!g_ascii_isalnum (name[i]) && name[i] != '_' && name[i] != '-')
      return FALSE;
  return TRUE;
}

/* One `name:type`. */
static gboolean
parse_parameter (const char *word, GPtrArray *names, GString *types, GError **error)
{
  const char *colon = strchr (word, ':');
  g_autofree char *name = NULL;

  if (colon == NULL || !is_parameter_name (word, (gsize) (colon - word)) ||
      !g_variant_type_string_is_valid (colon + 1) || !g_variant_type_is_definite (G_VARIANT_TYPE (colon + 1)))
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
                   "'%s' is no parameter: NAME:TYPE with a definite GVariant type is", word);
      return FALSE;
    }

  name = g_strndup (word, (gsize) (colon - word));
  for (guint i = 0; i < names->len; i++)
    if (strcmp (names->pdata[i], name) == 0)
      {
        g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT, "two parameters are called '%s'",
                     name);
        return FALSE;
      }

  g_ptr_array_add (names, g_steal_pointer (&name));
  g_string_append (types, colon + 1);
  return TRUE;
}

static gboolean
parse_result (StrandFunction *self, const char *type, GError **error)
{
  if (g_strcmp0 (type, "object") == 0)
    {
      self->returns_object = TRUE;
      return TRUE;
    }
  if (type == NULL || !g_variant_type_string_is_valid (type) ||
      !g_variant_type_is_definite (G_VARIANT_TYPE (type)))
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
                   "'%s' is no result: a definite GVariant type or 'object' is", type != NULL ? type : "");
      return FALSE;
    }
  self->result_type = g_variant_type_new (type);
  return TRUE;
}

/* Blanks stand between words, as many as one likes. */
static GStrv
split_words (const char *text)
{
  GStrv words = g_strsplit_set (text, " \t", -1);
  guint n = 0;

  for (guint i = 0; words[i] != NULL; i++)
    if (*words[i] != '\0')
      words[n++] = words[i];
    else
      g_free (words[i]);
  words[n] = NULL;
  return words;
}

static gboolean
parse_signature (StrandFunction *self, const char *signature, GError **error)
{
  g_auto(GStrv) words = split_words (signature);
  g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr(GString) types = g_string_new ("(");

  for (guint i = 0; words[i] != NULL; i++)
    {
      if (strcmp (words[i], "->") == 0)
        {
          const char *result = words[i + 1];

          if (result != NULL && words[i + 2] != NULL)
            {
              g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
                           "'%s' follows the result; nothing may", words[i + 2]);
              return FALSE;
            }
          if (!parse_result (self, result, error))
            return FALSE;
          break;
        }
      if (!parse_parameter (words[i], names, types, error))
        return FALSE;
      self->takes_keywords = g_str_has_suffix (words[i], ":a{sv}");
    }

  g_string_append_c (types, ')');
  if (!g_variant_type_string_is_valid (types->str))
    {
      g_set_error_literal (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
                           "a parameter's type nests as deep as types may, and a tuple has to go round it");
      return FALSE;
    }
  self->n_parameters = names->len;
  g_ptr_array_add (names, NULL);
  self->parameter_names = (GStrv) g_ptr_array_free (g_steal_pointer (&names), FALSE);
  self->parameter_type = g_variant_type_new (types->str);
  self->fixed_size = strand_arguments_fixed_size (self->parameter_type);
  return TRUE;
}

/**
 * strand_function_new:
 * @name: the name that calls use: a letter, then letters, digits, `.`, `_`, `-`
 * @signature: parameters and result, such as `a:x b:x -> x`
 * @help: (nullable): one line for people
 * @traits: what the function must not be used for
 * @func: (scope notified): the code
 * @user_data: (closure func): data for @func
 * @destroy: (nullable): frees @user_data with the function; at once where that cannot be made
 * @error: return location for a #GError
 *
 * Describes a function. Any thread; does not block. A signature lists `NAME:TYPE` words, then `->` and the
 * result's type: without the arrow the function returns nothing, `-> object` returns a GObject. A last
 * parameter of type `a{sv}` takes keywords that no parameter is named after.
 *
 * Returns: (transfer full) (nullable): the function, or `NULL` with %STRAND_ERROR_INVALID_ARGUMENT
 * Since: 1.0
 */
StrandFunction *
strand_function_new (const char *name, const char *signature, const char *help, StrandTraits traits,
                     StrandFunc func, gpointer user_data, GDestroyNotify destroy, GError **error)
{
  g_autoptr(StrandFunction) self = NULL;

  g_return_val_if_fail (name != NULL && signature != NULL && func != NULL, NULL);

  self = g_new0 (StrandFunction, 1);
  g_atomic_ref_count_init (&self->ref_count);
  self->name = g_strdup (name);
  self->help = g_strdup (help);
  self->traits = traits;
  self->func = func;
  self->user_data = user_data;
  self->destroy = destroy;
  if (!check_name (name, error))
    return NULL;
  if (!parse_signature (self, signature, error))
    {
      g_prefix_error (error, "Could not understand the signature '%s' of function '%s': ", signature, name);
      return NULL;
    }
  return g_steal_pointer (&self);
}

/* Stands for a function that this process does not know: it has a name, and cannot be called. */
StrandFunction *
strand_function_new_unknown (const char *name)
{
  StrandFunction *self = g_new0 (StrandFunction, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->name = g_strdup (name);
  self->parameter_names = g_new0 (char *, 1);
  self->parameter_type = g_variant_type_new ("r");
  return self;
}

/**
 * strand_function_ref:
 * @self: a function
 *
 * Takes a reference to a function. Any thread; never blocks.
 *
 * Returns: (transfer full): @self
 * Since: 1.0
 */
StrandFunction *
strand_function_ref (StrandFunction *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

/**
 * strand_function_unref:
 * @self: (transfer full): a function
 *
 * Lets go of a function. The last reference frees it, and destroys its user data. Any thread.
 *
 * Since: 1.0
 */
void
strand_function_unref (StrandFunction *self)
{
  g_return_if_fail (self != NULL);

  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  if (self->destroy != NULL)
    self->destroy (self->user_data);
  g_free (self->name);
  g_free (self->help);
  g_free (self->delegate);
  g_free (self->location);
  g_free (self->home);
  g_strfreev (self->parameter_names);
  g_clear_pointer (&self->parameter_type, g_variant_type_free);
  g_clear_pointer (&self->result_type, g_variant_type_free);
  g_free (self);
}

/**
 * strand_function_get_name:
 * @self: a function
 *
 * Says what calls name the function by.
 *
 * Returns: its name
 * Since: 1.0
 */
const char *
strand_function_get_name (StrandFunction *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return self->name;
}

/**
 * strand_function_get_help:
 * @self: a function
 *
 * Says in a line what the function does.
 *
 * Returns: (nullable): its line of help
 * Since: 1.0
 */
const char *
strand_function_get_help (StrandFunction *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return self->help;
}

/**
 * strand_function_get_traits:
 * @self: a function
 *
 * Says where the function may not run.
 *
 * Returns: what it must not be used for
 * Since: 1.0
 */
StrandTraits
strand_function_get_traits (StrandFunction *self)
{
  g_return_val_if_fail (self != NULL, STRAND_TRAIT_NONE);

  return self->traits;
}

/**
 * strand_function_get_parameter_type:
 * @self: a function
 *
 * Says of what types the arguments are.
 *
 * Returns: a tuple of the parameters' types
 * Since: 1.0
 */
const GVariantType *
strand_function_get_parameter_type (StrandFunction *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return self->parameter_type;
}

/**
 * strand_function_get_parameter_names:
 * @self: a function
 *
 * Names the parameters, which a caller may give as keywords.
 *
 * Returns: (array zero-terminated=1) (transfer none): the parameters' names, in order
 * Since: 1.0
 */
const char *const *
strand_function_get_parameter_names (StrandFunction *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return (const char *const *) self->parameter_names;
}

/**
 * strand_function_get_result_type:
 * @self: a function
 *
 * Says of what type the result is.
 *
 * Returns: (nullable): the result's type, or `NULL` where it returns nothing or an object
 * Since: 1.0
 */
const GVariantType *
strand_function_get_result_type (StrandFunction *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return self->result_type;
}

/**
 * strand_function_returns_object:
 * @self: a function
 *
 * Asks whether the result is an object, which cannot leave the process.
 *
 * Returns: whether the result is a GObject
 * Since: 1.0
 */
gboolean
strand_function_returns_object (StrandFunction *self)
{
  g_return_val_if_fail (self != NULL, FALSE);

  return self->returns_object;
}

/**
 * strand_function_is_portable:
 * @self: a function
 *
 * Whether another process can have the function too: it came from a module, or from what the program gave to
 * strand_helper_main(). Its traits may forbid it all the same. Any thread; does not block.
 *
 * Returns: whether it is
 * Since: 1.0
 */
gboolean
strand_function_is_portable (StrandFunction *self)
{
  g_return_val_if_fail (self != NULL, FALSE);

  return g_atomic_int_get (&self->portable);
}

/**
 * strand_function_set_delegate:
 * @self: a function, before its first call
 * @delegate: the name of a function of the same signature, which helpers register
 * @location: what @delegate finds this one by
 *
 * Says how a helper that does not have a function comes to it: there @delegate is called, with the same
 * arguments and with @location as the header `strand.location`. For bindings, whose functions come from
 * modules of their own language: see strand_helper_set_command().
 *
 * Since: 1.0
 */
void
strand_function_set_delegate (StrandFunction *self, const char *delegate, const char *location)
{
  g_return_if_fail (self != NULL);
  g_return_if_fail (delegate != NULL);
  g_return_if_fail (location != NULL);

  g_free (self->delegate);
  g_free (self->location);
  self->delegate = g_strdup (delegate);
  self->location = g_strdup (location);
}

/**
 * strand_function_get_delegate:
 * @self: a function
 * @location: (out) (optional) (transfer none) (nullable): what the delegate finds it by
 *
 * For taskrunners that start helpers.
 *
 * Returns: (nullable): the name of the function that runs in its place in another process
 * Since: 1.0
 */
const char *
strand_function_get_delegate (StrandFunction *self, const char **location)
{
  g_return_val_if_fail (self != NULL, NULL);

  if (location != NULL)
    *location = self->location;
  return self->delegate;
}

/**
 * strand_function_set_home_reason:
 * @self: a function, before its first call
 * @reason: why no other process can run it, and what its author can do about that
 *
 * What a taskrunner in another process says when it refuses a function that is not portable. For bindings,
 * whose users know other cures than those of C.
 *
 * Since: 1.0
 */
void
strand_function_set_home_reason (StrandFunction *self, const char *reason)
{
  g_return_if_fail (self != NULL);
  g_return_if_fail (reason != NULL);

  g_free (self->home);
  self->home = g_strdup (reason);
}

/**
 * strand_function_get_home_reason:
 * @self: a function
 *
 * Says what strand_function_set_home_reason() was told.
 *
 * Returns: (nullable): why no other process can run it, if somebody has said so
 * Since: 1.0
 */
const char *
strand_function_get_home_reason (StrandFunction *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return self->home;
}

/**
 * strand_function_dup_signature:
 * @self: a function
 *
 * Writes the signature out, for messages and listings.
 *
 * Returns: (transfer full): the signature, as strand_function_new() takes it
 * Since: 1.0
 */
char *
strand_function_dup_signature (StrandFunction *self)
{
  g_autoptr(GString) text = g_string_new (NULL);
  const GVariantType *type;

  g_return_val_if_fail (self != NULL, NULL);

  type = g_variant_type_first (self->parameter_type);
  for (guint i = 0; i < self->n_parameters; i++)
    {
      g_string_append_printf (text, "%s%s:%.*s", i > 0 ? " " : "", self->parameter_names[i],
                              (int) g_variant_type_get_string_length (type),
                              g_variant_type_peek_string (type));
      type = g_variant_type_next (type);
    }
  if (self->returns_object)
    g_string_append (text, text->len > 0 ? " -> object" : "-> object");
  else if (self->result_type != NULL)
    g_string_append_printf (text, "%s-> %.*s", text->len > 0 ? " " : "",
                            (int) g_variant_type_get_string_length (self->result_type),
                            g_variant_type_peek_string (self->result_type));
  return g_string_free (g_steal_pointer (&text), FALSE);
}
