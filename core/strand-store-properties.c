/* strand-store-properties.c — the properties that every store has, for implementations to take over.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "strand-store-private.h"

/**
 * strand_store_override_properties:
 * @klass: (type GObject.ObjectClass): the class that implements a store
 * @first_id: the id of the first of the `STRAND_STORE_N_PROPERTIES` properties
 *
 * For implementations: takes over the properties that every store has, in `class_init`.
 *
 * Since: 1.0
 */
void
strand_store_override_properties (GObjectClass *klass, guint first_id)
{
  g_return_if_fail (G_IS_OBJECT_CLASS (klass));
  g_return_if_fail (first_id > 0);

  g_object_class_override_property (klass, first_id, "ttl");
  g_object_class_override_property (klass, first_id + 1, "auto-cleanup");
  g_object_class_override_property (klass, first_id + 2, "cleanup-probability");
  g_object_class_override_property (klass, first_id + 3, "max-record-size");
}

/* FALSE if that is no property that every store has. */
static gboolean
set_common (StrandStore *self, const char *name, const GValue *value)
{
  StrandStoreState *state = strand_store_peek_state (self);
  gboolean known = TRUE;

  g_mutex_lock (&state->lock);
  if (strcmp (name, "ttl") == 0)
    state->ttl_us = g_value_get_int64 (value);
  else if (strcmp (name, "auto-cleanup") == 0)
    state->auto_cleanup = g_value_get_boolean (value);
  else if (strcmp (name, "cleanup-probability") == 0)
    state->cleanup_probability = g_value_get_double (value);
  else if (strcmp (name, "max-record-size") == 0)
    state->max_record_size = g_value_get_int64 (value);
  else
    known = FALSE;
  g_mutex_unlock (&state->lock);
  return known;
}

/* FALSE if that is no property that every store has. */
static gboolean
get_common (StrandStore *self, const char *name, GValue *value)
{
  StrandStoreState *state = strand_store_peek_state (self);
  gboolean known = TRUE;

  g_mutex_lock (&state->lock);
  if (strcmp (name, "ttl") == 0)
    g_value_set_int64 (value, state->ttl_us);
  else if (strcmp (name, "auto-cleanup") == 0)
    g_value_set_boolean (value, state->auto_cleanup);
  else if (strcmp (name, "cleanup-probability") == 0)
    g_value_set_double (value, state->cleanup_probability);
  else if (strcmp (name, "max-record-size") == 0)
    g_value_set_int64 (value, state->max_record_size);
  else
    known = FALSE;
  g_mutex_unlock (&state->lock);
  return known;
}

/**
 * strand_store_set_common_property:
 * @self: a store
 * @value: what `set_property` was given
 * @pspec: what `set_property` was given
 *
 * For implementations: sets a property that every store has. Warns of one that is none of them.
 *
 * Since: 1.0
 */
void
strand_store_set_common_property (StrandStore *self, const GValue *value, GParamSpec *pspec)
{
  g_return_if_fail (STRAND_IS_STORE (self));
  g_return_if_fail (G_IS_PARAM_SPEC (pspec));

  if (!set_common (self, pspec->name, value))
    G_OBJECT_WARN_INVALID_PROPERTY_ID (self, pspec->param_id, pspec);
}

/**
 * strand_store_set_common_value:
 * @self: a store
 * @name: the property's name
 * @value: its value
 *
 * For implementations in languages that cannot pass on a `GParamSpec`: as strand_store_set_common_property().
 *
 * Since: 1.0
 */
void
strand_store_set_common_value (StrandStore *self, const char *name, const GValue *value)
{
  g_return_if_fail (STRAND_IS_STORE (self));
  g_return_if_fail (name != NULL);
  g_return_if_fail (G_IS_VALUE (value));

  if (!set_common (self, name, value))
    g_warning ("'%s' is no property that every store has", name);
}

/**
 * strand_store_get_common_property:
 * @self: a store
 * @value: what `get_property` was given
 * @pspec: what `get_property` was given
 *
 * For implementations: gets a property that every store has. Warns of one that is none of them.
 *
 * Since: 1.0
 */
void
strand_store_get_common_property (StrandStore *self, GValue *value, GParamSpec *pspec)
{
  g_return_if_fail (STRAND_IS_STORE (self));
  g_return_if_fail (G_IS_PARAM_SPEC (pspec));

  if (!get_common (self, pspec->name, value))
    G_OBJECT_WARN_INVALID_PROPERTY_ID (self, pspec->param_id, pspec);
}

/**
 * strand_store_get_common_value:
 * @self: a store
 * @name: the property's name
 * @value: a value of the property's type, to be set
 *
 * For implementations in languages that cannot pass on a `GParamSpec`: as strand_store_get_common_property().
 *
 * Since: 1.0
 */
void
strand_store_get_common_value (StrandStore *self, const char *name, GValue *value)
{
  g_return_if_fail (STRAND_IS_STORE (self));
  g_return_if_fail (name != NULL);
  g_return_if_fail (G_IS_VALUE (value));

  if (!get_common (self, name, value))
    g_warning ("'%s' is no property that every store has", name);
}
