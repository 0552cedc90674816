/* test-descriptor.c — a descriptor is understood whole or refused with the part that is damaged.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "plugin-world.h"

#include "strand-descriptor-private.h"
#include "strand-error.h"

#include <string.h>

#define HEAD "strand-plugin 1\nabi 1.0\nname good\nversion 1.2\nlicense MIT\n"
#define TYPE "type\tstore\tgood\tStrandGoodStore\tKeeps «it»\n"

static StrandDescriptor *
parse (const char *text, GError **error)
{
  return strand_descriptor_parse (text, strlen (text) + 1, error);
}

static void
test_whole (void)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandDescriptor) self =
      parse (HEAD TYPE "type\tmiddleware\tgood\tStrandGood\tx\nend\n", &error);
  guint index = 0;

  g_assert_no_error (error);
  g_assert_cmpstr (self->name, ==, "good");
  g_assert_cmpstr (self->version, ==, "1.2");
  g_assert_cmpstr (self->license, ==, "MIT");
  g_assert_cmpuint (self->provided->len, ==, 2);
  g_assert_cmpstr (strand_descriptor_find (self, STRAND_KIND_STORE, "good", &index)->summary, ==,
                   "Keeps «it»");
  g_assert_cmpuint (index, ==, 0);
  g_assert_nonnull (strand_descriptor_find (self, STRAND_KIND_MIDDLEWARE, "good", &index));
  g_assert_cmpuint (index, ==, 1);
  g_assert_null (strand_descriptor_find (self, STRAND_KIND_BACKEND, "good", NULL));
}

static void
test_padding_may_follow (void)
{
  char padded[sizeof HEAD TYPE "end\n" + 32] = HEAD TYPE "end\n";
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandDescriptor) self = strand_descriptor_parse (padded, sizeof padded, &error);

  g_assert_no_error (error);
  g_assert_nonnull (self);
}

typedef struct
{
  const char *name;
  const char *text;
  const char *cause;
} Damaged;

static const Damaged damaged[] = {
  { "empty", "", "too few lines" },
  { "other-magic", "strand-plugim 1\nabi 1.0\nname a\nversion 1\nlicense M\n" TYPE "end\n",
    "does not begin" },
  { "other-format", "strand-plugin 2\nabi 1.0\nname a\nversion 1\nlicense M\n" TYPE "end\n",
    "another format" },
  { "no-abi", "strand-plugin 1\nabi 1\nname a\nversion 1\nlicense M\n" TYPE "end\n", "'abi' line" },
  { "signed-abi", "strand-plugin 1\nabi 1.-1\nname a\nversion 1\nlicense M\n" TYPE "end\n", "'abi' line" },
  { "huge-abi", "strand-plugin 1\nabi 1.99999999999\nname a\nversion 1\nlicense M\n" TYPE "end\n",
    "'abi' line" },
  { "no-name", "strand-plugin 1\nabi 1.0\nversion 1\nlicense M\nx\n" TYPE "end\n", "'name' line" },
  { "empty-version", "strand-plugin 1\nabi 1.0\nname a\nversion \nlicense M\n" TYPE "end\n",
    "'version' line" },
  { "escape-in-license", "strand-plugin 1\nabi 1.0\nname a\nversion 1\nlicense \033[2J\n" TYPE "end\n",
    "'license' line" },
  { "no-types", HEAD "end\n", "provides nothing" },
  { "no-end", HEAD TYPE, "does not end" },
  { "more-after-end", HEAD TYPE "end\nmore\n", "does not end" },
  { "strange-line", HEAD TYPE "colour blue\nend\n", "means nothing" },
  { "unknown-kind", HEAD "type\tscheduler\tgood\tStrandGood\tx\nend\n", "kind that does not exist" },
  { "capital-type", HEAD "type\tstore\tGood\tStrandGood\tx\nend\n", "small letters, digits" },
  { "path-as-type", HEAD "type\tstore\t../x\tStrandGood\tx\nend\n", "small letters, digits" },
  { "bad-class", HEAD "type\tstore\tgood\tStrand Good\tx\nend\n", "GType name of type 'good'" },
  { "short-class", HEAD "type\tstore\tgood\tSG\tx\nend\n", "GType name of type 'good'" },
  { "empty-summary", HEAD "type\tstore\tgood\tStrandGood\t\nend\n", "summary of type 'good'" },
  { "latin-1-summary", HEAD "type\tstore\tgood\tStrandGood\t\xabit\xbb\nend\n", "summary of type 'good'" },
  { "hidden-direction", HEAD "type\tstore\tgood\tStrandGood\t\u202eevil\nend\n", "summary of type 'good'" },
  { "too-many-fields", HEAD "type\tstore\tgood\tStrandGood\tx\ty\nend\n", "6 fields" },
  { "twice", HEAD TYPE TYPE "end\n", "store 'good' twice" },
};

static void
test_damaged (gconstpointer data)
{
  const Damaged *self = data;
  g_autoptr(GError) error = NULL;

  g_assert_null (parse (self->text, &error));
  assert_refused (&error, STRAND_PLUGIN_ERROR_CORRUPT_DESCRIPTOR, self->cause, "build it again", NULL);
}

static void
test_without_end_of_string (void)
{
  g_autofree char *text = g_memdup2 (HEAD TYPE "end\n", strlen (HEAD TYPE "end\n"));
  g_autoptr(GError) error = NULL;

  g_assert_null (strand_descriptor_parse (text, strlen (HEAD TYPE "end\n"), &error));
  assert_refused (&error, STRAND_PLUGIN_ERROR_CORRUPT_DESCRIPTOR, "it has no end", NULL);
}

/* What a newer interface says is listed as far as it is understood. */
static void
test_foreign_abi_may_say_more (void)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandDescriptor) self =
      parse ("strand-plugin 1\nabi 3.1\nname a\nversion 1\nlicense M\nneeds moon\n"
             "type\tscheduler\tcron\tStrandCron\tx\n" TYPE "end\n",
             &error);

  g_assert_no_error (error);
  g_assert_cmpuint (self->provided->len, ==, 1);
  g_assert_cmpint (self->abi_major, ==, 3);
  g_assert_cmpint (self->abi_minor, ==, 1);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);

  g_test_add_func ("/descriptor/whole", test_whole);
  g_test_add_func ("/descriptor/padding-may-follow", test_padding_may_follow);
  for (guint i = 0; i < G_N_ELEMENTS (damaged); i++)
    {
      g_autofree char *path = g_strconcat ("/descriptor/damaged/", damaged[i].name, NULL);

      g_test_add_data_func (path, &damaged[i], test_damaged);
    }
  g_test_add_func ("/descriptor/without-end-of-string", test_without_end_of_string);
  g_test_add_func ("/descriptor/foreign-abi-may-say-more", test_foreign_abi_may_say_more);

  return g_test_run ();
}
