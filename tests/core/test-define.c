/* test-define.c — STRAND_PLUGIN_DEFINE() says the same from every compiler, and nothing that throws away what
 * is not referred to throws it away: LTO, --gc-sections, strip.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "plugin-world.h"

#include <strand-plugin.h>

#include <string.h>

static const char *const compilers[] = {
  "gcc -std=gnu11",        "gcc -std=c99 -pedantic",          "clang -std=gnu11",
  "g++ -std=c++11 -x c++", "g++ -std=c++17 -pedantic -x c++", "clang++ -std=c++11 -x c++"
};

static const char *const flags[] = {
  "-O0 -g",
  "-O2 -ffunction-sections -fdata-sections -Wl,--gc-sections -Wl,--strip-all",
  "-O2 -flto -ffunction-sections -fdata-sections -Wl,--gc-sections -Wl,--strip-all",
};

/* Warnings of an author's own project are errors; these three are about GLib's macros. */
#define WARNINGS                                                                                             \
  "-Wall -Wextra -Werror -Wundef -Wshadow -Wno-unused-parameter -Wno-missing-field-initializers "            \
  "-Wno-cast-function-type"

static gboolean
is_there (const char *command)
{
  g_auto(GStrv) words = g_strsplit (command, " ", 2);
  g_autofree char *found = g_find_program_in_path (words[0]);

  return found != NULL;
}

/* clang's LTO needs a linker that knows LLVM's code. */
static const char *
linker_for (const char *compiler, const char *how)
{
  return g_str_has_prefix (compiler, "clang") && strstr (how, "-flto") != NULL ? "-fuse-ld=lld" : "";
}

static char *
build (World *world, const char *fixture, const char *compiler, const char *how)
{
  g_autofree char *file = g_strconcat (fixture, ".c", NULL);
  g_autofree char *source = g_test_build_filename (G_TEST_DIST, "fixtures", "plugins", file, NULL);
  g_autofree char *quoted = g_shell_quote (source);
  char *output = g_build_filename (world->folder, "built.so", NULL);
  g_autofree char *command =
      g_strdup_printf ("%s %s %s " WARNINGS " " COMPILE_FLAGS " -fPIC -shared -fvisibility=hidden %s -o %s",
                       compiler, how, linker_for (compiler, how), quoted, output);
  g_autofree char *errors = NULL;
  g_autoptr(GError) error = NULL;
  int status;

  g_test_message ("%s", command);
  g_spawn_command_line_sync (command, NULL, &errors, &status, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (errors, ==, "");
  g_assert_cmpint (status, ==, 0);
  return output;
}

static void
test_compiler (World *world, gconstpointer data)
{
  const char *compiler = data;

  if (!is_there (compiler))
    {
      g_test_skip ("this compiler is not installed");
      return;
    }
  for (guint i = 0; i < G_N_ELEMENTS (flags); i++)
    {
      g_autofree char *good = NULL, *sixteen = NULL;
      g_autoptr(GPtrArray) infos = NULL;
      g_autoptr(GError) error = NULL;

      if (*linker_for (compiler, flags[i]) != '\0' && !is_there ("ld.lld"))
        continue;
      good = build (world, "good", compiler, flags[i]);
      infos = strand_plugins_inspect_file (good, &error);
      g_assert_no_error (error);
      g_assert_cmpuint (infos->len, ==, 2);
      g_assert_cmpstr (((StrandPluginInfo *) g_ptr_array_index (infos, 1))->summary, ==,
                       "Writes nothing, «well»");
      g_clear_pointer (&infos, g_ptr_array_unref);

      sixteen = build (world, "sixteen", compiler, flags[i]);
      infos = strand_plugins_inspect_file (sixteen, &error);
      g_assert_no_error (error);
      g_assert_cmpuint (infos->len, ==, 16);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (compilers); i++)
    {
      g_autofree char *path = g_strconcat ("/define/", compilers[i], NULL);

      g_strdelimit (path, " ", '_');
      g_test_add (path, World, compilers[i], world_set_up, test_compiler, world_tear_down);
    }

  return g_test_run ();
}
