/* strand-stack-build.c — makes the object that a node describes, whatever its class.
 *
 * There is nothing here about any plugin: a class says through its GParamSpecs what it can be told, the check
 * has made values of the text, and this hands them over.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-stack-private.h"
#include "strand-schedule-private.h"
#include "strand-schema-private.h"

/* The built-in stack, as the keyfile that somebody who wrote none would have written. */
char *
strand_stack_dup_builtin (StrandPlugins *plugins)
{
  gboolean process = strand_plugins_has (plugins, STRAND_KIND_TASKRUNNER, "process", NULL);

  return g_strdup_printf ("[strand]\n"
                          "default-backend=default\n"
                          "\n"
                          "[store default]\n"
                          "type=filesystem\n"
                          "path=${XDG_STATE_HOME}/strand\n"
                          "ttl=1h\n"
                          "\n"
                          "[backend default]\n"
                          "type=%s\n"
                          "store=default\n"
                          "serializer=json\n",
                          process ? "process" : "thread");
}

/* The next objects of @objects, from @position on, as the value of a property that refers to them. */
static void
set_references (StrandSetting *setting, GPtrArray *objects, guint *position, GValue *value)
{
  g_autoptr(GListStore) list = NULL;

  g_value_init (value, G_PARAM_SPEC_VALUE_TYPE (setting->pspec));
  if (G_PARAM_SPEC_VALUE_TYPE (setting->pspec) != G_TYPE_LIST_MODEL)
    {
      g_value_set_object (value, g_ptr_array_index (objects, (*position)++));
      return;
    }

  list = g_list_store_new (strand_kind_get_interface (STRAND_KIND_MIDDLEWARE));
  for (guint i = 0; i < setting->refs->len; i++)
    {
      GObject *object = g_ptr_array_index (objects, (*position)++);

      if (object != NULL)
        g_list_store_append (list, object);
    }
  g_value_set_object (value, list);
}

GObject *
strand_node_build (StrandNode *self, GPtrArray *objects, GError **error)
{
  g_autofree const char **names = g_new0 (const char *, self->settings->len + 1);
  g_autofree GValue *values = g_new0 (GValue, self->settings->len + 1);
  g_autoptr(GObject) object = NULL;
  guint position = 0;

  for (guint i = 0; i < self->settings->len; i++)
    {
      StrandSetting *setting = g_ptr_array_index (self->settings, i);

      names[i] = setting->pspec->name;
      if (setting->refs != NULL)
        {
          set_references (setting, objects, &position, &values[i]);
          continue;
        }
      g_value_init (&values[i], G_VALUE_TYPE (&setting->value));
      g_value_copy (&setting->value, &values[i]);
    }

  object =
      g_object_new_with_properties (G_OBJECT_CLASS_TYPE (self->klass), self->settings->len, names, values);
  for (guint i = 0; i < self->settings->len; i++)
    g_value_unset (&values[i]);

  if (self->kind == STRAND_KIND_SCHEDULE)
    strand_schedule_set_name (STRAND_SCHEDULE (object), self->name);
  if (G_IS_INITABLE (object) && !g_initable_init (G_INITABLE (object), NULL, error))
    {
      g_prefix_error (error, "Could not make the %s '%s': ", strand_kind_to_string (self->kind), self->name);
      return NULL;
    }
  return g_steal_pointer (&object);
}
