/* store-basics.c — what tests of single stores share: the type, and a record to put.
 *
 * What all stores promise is tried by the suite in sdk/conformance; these tests are for what one promises
 * beyond it.                                                      SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "store-basics.h"

#include <dlfcn.h>

#define NOW_US G_GINT64_CONSTANT (1700000000000000)

GType
store_basics_load (const char *plugin)
{
  g_autofree char *name = g_strconcat (plugin, ".so", NULL);
  g_auto(GStrv) folders = g_strsplit (g_getenv ("STRAND_PLUGIN_PATH"), ":", -1);

  for (guint i = 0; folders[i] != NULL; i++)
    {
      g_autofree char *file = g_build_filename (folders[i], name, NULL);
      void *module = dlopen (file, RTLD_NOW | RTLD_LOCAL);
      const StrandPluginGetType *types = module != NULL ? dlsym (module, "strand_plugin_types") : NULL;

      if (types != NULL)
        return types[0]();
    }
  g_error ("No plugin '%s' in '%s'", name, g_getenv ("STRAND_PLUGIN_PATH"));
}

StrandRecord *
store_basics_record (const char *key)
{
  StrandRecord *record = strand_record_new (key);
  g_autoptr(GBytes) arguments = g_bytes_new_static ("[20,22]", 7);

  strand_record_set_string (record, STRAND_FIELD_FUNCTION, "demo.add");
  strand_record_set_string (record, STRAND_FIELD_SERIALIZER, "json");
  strand_record_set_string (record, STRAND_FIELD_ARGUMENTS_TYPE, "(xx)");
  strand_record_set_bytes (record, STRAND_FIELD_ARGUMENTS, arguments);
  strand_record_set_int (record, STRAND_FIELD_CREATED, NOW_US);
  return record;
}
