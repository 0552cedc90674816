/* strand-stack-check.c — makes a plan of a keyfile, or says all that is wrong with it.
 *
 * First every group becomes a node with its type, then every key becomes a setting, so that a reference may
 * point forward. Loading a keyfile is this and nothing more: what passes here cannot fail there. Plugins are
 * loaded for their properties' sake, but no object is made.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-stack-check-private.h"
#include "strand-error.h"
#include "strand-param.h"
#include "strand-registry.h"
#include "strand-schema-private.h"

#include <string.h>

static const char *const strand_keys[] = { "default-backend", "modules", "plugin-path", NULL };

typedef struct
{
  StrandKeyfileGroup *group;
  StrandNode *node;
} Pair;

static void
complain_of_title (StrandChecker *self, StrandKeyfileGroup *group)
{
  static const char *const words[] = { "strand",  "store",  "serializer", "middleware", "taskrunner",
                                       "backend", "reader", "schedule",   NULL };
  g_autofree char *bare = g_strstrip (g_strdup (group->title)),
                  *kinds = g_strjoinv (", ", (char **) words + 1);
  g_auto(GStrv) parts = g_strsplit_set (bare, " \t", 2);
  const char *nearest = parts[0] != NULL ? strand_suggest (parts[0], words) : NULL;

  if (*bare != '\0' && !g_str_equal (bare, group->title))
    strand_checker_complain (self, group->line, group->title, NULL,
                             "blanks stand around this title; write [%s]", bare);
  else
    strand_checker_complain (self, group->line, group->title, NULL,
                             "unknown group; groups are [strand], or [KIND NAME] with a KIND of: %s%s%s%s",
                             kinds, nearest != NULL ? "; did you mean '" : "", nearest != NULL ? nearest : "",
                             nearest != NULL ? "'?" : "");
}

/* "backend jobs" to its kind and name; FALSE with a problem noted. */
static gboolean
read_title (StrandChecker *self, StrandKeyfileGroup *group, StrandKind *kind, const char **name)
{
  const char *space = strchr (group->title, ' ');
  g_autofree char *word =
      g_strndup (group->title, space != NULL ? space - group->title : (gssize) strlen (group->title));

  if (!strand_kind_from_string (word, kind))
    complain_of_title (self, group);
  else if (space == NULL)
    strand_checker_complain (self, group->line, group->title, NULL, "this %s has no name; write [%s NAME]",
                             word, word);
  else if (!strand_checker_is_name (space + 1))
    strand_checker_complain (self, group->line, group->title, NULL,
                             "'%s' cannot be a name; use letters, digits, '-', '_' and '.', 128 at most",
                             space + 1);
  else
    {
      *name = space + 1;
      return TRUE;
    }
  return FALSE;
}

/* The property that @key sets on @node; @file_key: it is a secret's `KEY-file`. */
static GParamSpec *
find_property (StrandNode *node, const char *key, gboolean *file_key)
{
  GParamSpec *pspec = g_object_class_find_property (G_OBJECT_CLASS (node->klass), key);
  g_autofree char *stem = NULL;
  StrandKind kind;

  *file_key = FALSE;
  /* GObject takes '_' for '-'; a keyfile has one spelling. */
  if (pspec != NULL && strcmp (pspec->name, key) == 0 &&
      strand_schema_get_form (pspec, &kind) != STRAND_SCHEMA_NONE)
    return pspec;

  if (!g_str_has_suffix (key, "-file"))
    return NULL;
  stem = g_strndup (key, strlen (key) - strlen ("-file"));
  pspec = g_object_class_find_property (G_OBJECT_CLASS (node->klass), stem);
  *file_key = TRUE;
  return pspec != NULL && strcmp (pspec->name, stem) == 0 && (pspec->flags & STRAND_PARAM_SECRET) &&
                 G_IS_PARAM_SPEC_STRING (pspec) &&
                 strand_schema_get_form (pspec, &kind) == STRAND_SCHEMA_SCALAR
             ? pspec
             : NULL;
}

/* "store of type 'redis'"; there is one type of reader. */
static char *
describe_node (StrandNode *node)
{
  if (node->kind >= STRAND_N_KINDS)
    return g_strdup (strand_kind_to_string (node->kind));
  return g_strdup_printf ("%s of type '%s'", strand_kind_to_string (node->kind),
                          node->runner != NULL ? node->runner->type : node->type);
}

static void
complain_of_key (StrandChecker *self, StrandNode *node, StrandKeyfileEntry *entry)
{
  g_auto(GStrv) own = strand_node_list_keys (node);
  g_auto(GStrv) more = node->runner != NULL ? strand_node_list_keys (node->runner) : g_new0 (char *, 1);
  g_autoptr(GPtrArray) keys = g_ptr_array_new ();
  g_autofree char *described = describe_node (node), *hint = NULL;

  if (node->kind < STRAND_N_KINDS)
    g_ptr_array_add (keys, (gpointer) "type");
  for (guint i = 0; own[i] != NULL; i++)
    if (node->runner == NULL || strcmp (own[i], STRAND_SHORT_FORM_KEY) != 0)
      g_ptr_array_add (keys, own[i]);
  for (guint i = 0; more[i] != NULL; i++)
    g_ptr_array_add (keys, more[i]);
  g_ptr_array_sort (keys, strand_compare_words);
  g_ptr_array_add (keys, NULL);
  hint = strand_schema_hint (entry->key, (const char *const *) keys->pdata, "keys there are");
  strand_checker_complain (self, entry->line, node->title, entry->key, "unknown key for a %s%s", described,
                           hint);
}

static gboolean
is_set (StrandNode *node, GParamSpec *pspec)
{
  for (guint i = 0; i < node->settings->len; i++)
    if (((StrandSetting *) g_ptr_array_index (node->settings, i))->pspec == pspec)
      return TRUE;
  return FALSE;
}

static void
read_entry (StrandChecker *self, StrandNode *node, StrandKeyfileEntry *entry)
{
  StrandNode *owner = node;
  gboolean file_key;
  GParamSpec *pspec = find_property (node, entry->key, &file_key);
  g_autoptr(GError) error = NULL;
  StrandSetting *setting;
  StrandKind kind;

  if (pspec == NULL && node->runner != NULL)
    {
      owner = node->runner;
      pspec = find_property (owner, entry->key, &file_key);
    }
  if (pspec == NULL)
    {
      complain_of_key (self, node, entry);
      return;
    }
  if (is_set (owner, pspec))
    {
      strand_checker_complain (
          self, entry->line, node->title, entry->key,
          node->runner != NULL && strcmp (pspec->name, STRAND_SHORT_FORM_KEY) == 0
              ? "type=%s is short for a taskrunner already; write type=local to name another"
              : "'%s' is set in another way further up; keep one of them",
          node->runner != NULL && strcmp (pspec->name, STRAND_SHORT_FORM_KEY) == 0 ? node->runner->type
                                                                                   : pspec->name);
      return;
    }

  if (strand_schema_get_form (pspec, &kind) >= STRAND_SCHEMA_REFERENCE)
    setting = strand_checker_read_references (self, owner, pspec, entry);
  else
    {
      setting = strand_setting_read (pspec, entry, file_key, &error);
      if (setting == NULL)
        strand_checker_complain (self, entry->line, node->title, entry->key, "%s", error->message);
    }
  if (setting != NULL)
    g_ptr_array_add (owner->settings, setting);
}

static void
check_required (StrandChecker *self, StrandKeyfileGroup *group, StrandNode *node)
{
  guint n_properties = 0;
  g_autofree GParamSpec **properties =
      g_object_class_list_properties (G_OBJECT_CLASS (node->klass), &n_properties);

  if (group->unreadable)
    return; /* what is missing may stand there */

  for (guint i = 0; i < n_properties; i++)
    {
      g_autofree char *file_key = g_strconcat (properties[i]->name, "-file", NULL);
      gboolean secret = (properties[i]->flags & STRAND_PARAM_SECRET) != 0;
      g_autofree char *allowed = NULL, *described = NULL;

      if ((properties[i]->flags & STRAND_PARAM_REQUIRED) == 0 || is_set (node, properties[i]) ||
          strand_keyfile_group_lookup (group, properties[i]->name) != NULL ||
          (secret && strand_keyfile_group_lookup (group, file_key) != NULL))
        continue;
      allowed =
          secret ? g_strdup ("the path of a file that holds it") : strand_schema_describe (properties[i]);
      described = describe_node (node);
      strand_checker_complain (self, group->line, group->title, NULL,
                               "the key '%s' is missing; a %s needs it; write %s",
                               secret ? file_key : properties[i]->name, described, allowed);
    }
}

static void
read_entries (StrandChecker *self, StrandKeyfileGroup *group, StrandNode *node)
{
  if (node->klass == NULL)
    return;

  for (guint i = 0; i < group->entries->len && !strand_checker_is_full (self); i++)
    {
      StrandKeyfileEntry *entry = g_ptr_array_index (group->entries, i);

      if (strcmp (entry->key, "type") != 0)
        read_entry (self, node, entry);
    }
  check_required (self, group, node);
  if (node->runner != NULL)
    check_required (self, group, node->runner);
}

/* Before any type is looked for. */
static void
read_plugin_path (StrandChecker *self, StrandKeyfileGroup *group)
{
  StrandKeyfileEntry *entry = strand_keyfile_group_lookup (group, "plugin-path");
  g_autoptr(GError) error = NULL;
  g_auto(GStrv) folders = entry != NULL ? strand_setting_read_words (entry, &error) : NULL;

  if (error != NULL)
    strand_checker_complain (self, entry->line, group->title, entry->key, "%s", error->message);
  for (guint i = 0; folders != NULL && folders[i] != NULL; i++)
    if (g_path_is_absolute (folders[i]))
      strand_plugins_add_path (self->plugins, folders[i]);
    else
      strand_checker_complain (self, entry->line, group->title, entry->key,
                               "'%s' is not an absolute path; start it with / or a variable", folders[i]);
}

static void
read_strand_group (StrandChecker *self, StrandKeyfileGroup *group)
{
  for (guint i = 0; i < group->entries->len && !strand_checker_is_full (self); i++)
    {
      StrandKeyfileEntry *entry = g_ptr_array_index (group->entries, i);
      g_autoptr(GError) error = NULL;
      g_autofree char *hint = NULL;

      if (strcmp (entry->key, "default-backend") == 0)
        {
          g_autofree char *name = strand_setting_read_word (entry, &error);

          if (name != NULL &&
              strand_checker_resolve (self, group->title, entry, STRAND_KIND_BACKEND, name, FALSE) != NULL &&
              !group->duplicate)
            self->plan->default_backend = g_steal_pointer (&name);
        }
      else if (strcmp (entry->key, "modules") == 0)
        {
          g_auto(GStrv) modules = strand_setting_read_words (entry, &error);

          if (!group->duplicate)
            self->plan->modules = g_steal_pointer (&modules);
        }
      else if (strcmp (entry->key, "plugin-path") != 0)
        {
          hint = strand_schema_hint (entry->key, strand_keys, "keys there are");
          strand_checker_complain (self, entry->line, group->title, entry->key, "unknown key%s", hint);
        }
      if (error != NULL)
        strand_checker_complain (self, entry->line, group->title, entry->key, "%s", error->message);
    }
}

static StrandKeyfileGroup *
find_group (StrandKeyfile *keyfile, const char *title)
{
  for (guint i = 0; i < keyfile->groups->len; i++)
    {
      StrandKeyfileGroup *group = g_ptr_array_index (keyfile->groups, i);

      if (strcmp (group->title, title) == 0)
        return group;
    }
  return NULL;
}

/* Without a word on the default backend: the only one there is. Several are no default. */
static void
choose_default_backend (StrandChecker *self)
{
  g_autoptr(GString) names = g_string_new (NULL);
  const char *only = NULL;
  guint n_backends = 0;

  for (guint i = 0; i < self->plan->nodes->len; i++)
    {
      StrandNode *node = g_ptr_array_index (self->plan->nodes, i);

      if (node->kind != STRAND_KIND_BACKEND ||
          strand_plan_lookup (self->plan, node->kind, node->name) != node)
        continue;
      g_string_append_printf (names, "%s%s", n_backends++ > 0 ? ", " : "", node->name);
      only = node->name;
    }
  if (n_backends == 1)
    {
      strand_plan_lookup (self->plan, STRAND_KIND_BACKEND, only)->n_required++;
      self->plan->default_backend = g_strdup (only);
    }
  else if (n_backends > 1)
    strand_checker_complain (self, 0, "strand", "default-backend",
                             "missing, and there are several backends; write one of: %s", names->str);
}

/* Last, and only if all else is well: a module's code runs when it is loaded, and stays. */
static void
load_modules (StrandChecker *self, StrandKeyfile *keyfile)
{
  StrandKeyfileGroup *group = find_group (keyfile, "strand");
  StrandKeyfileEntry *entry = group != NULL ? strand_keyfile_group_lookup (group, "modules") : NULL;

  for (guint i = 0; entry != NULL && self->plan->modules != NULL && self->plan->modules[i] != NULL; i++)
    {
      g_autoptr(GError) error = NULL;

      if (!strand_registry_load_module (strand_registry_get_default (), self->plan->modules[i], &error))
        strand_checker_complain (self, entry->line, group->title, entry->key, "%s", error->message);
    }
}

static int
compare_problems (gconstpointer a, gconstpointer b)
{
  const StrandProblem *const *x = a, *const *y = b;

  return (*x)->line < (*y)->line ? -1 : (*x)->line > (*y)->line;
}

/* Every group first, then every key, so that references may point forward. */
static void
read_groups (StrandChecker *self, GPtrArray *groups)
{
  g_autoptr(GArray) pairs = g_array_new (FALSE, FALSE, sizeof (Pair));

  for (guint i = 0; i < groups->len && !strand_checker_is_full (self); i++)
    {
      Pair pair = { g_ptr_array_index (groups, i), NULL };
      const char *name = NULL;
      StrandKind kind;

      if (strcmp (pair.group->title, "strand") != 0)
        {
          if (!read_title (self, pair.group, &kind, &name))
            continue;
          pair.node = strand_plan_add (self->plan, kind, name, pair.group->title, pair.group->line);
          strand_checker_resolve_type (self, pair.group, pair.node);
        }
      g_array_append_val (pairs, pair);
    }

  for (guint i = 0; i < pairs->len && !strand_checker_is_full (self); i++)
    {
      Pair *pair = &g_array_index (pairs, Pair, i);

      if (pair->node != NULL)
        read_entries (self, pair->group, pair->node);
      else
        read_strand_group (self, pair->group);
    }
}

static gboolean
names_default_backend (StrandKeyfile *keyfile)
{
  StrandKeyfileGroup *strand = find_group (keyfile, "strand");

  return strand != NULL && strand_keyfile_group_lookup (strand, "default-backend") != NULL;
}

static gboolean
names_a_backend (StrandKeyfile *keyfile)
{
  for (guint i = 0; i < keyfile->groups->len; i++)
    if (g_str_has_prefix (((StrandKeyfileGroup *) g_ptr_array_index (keyfile->groups, i))->title, "backend"))
      return TRUE;
  return names_default_backend (keyfile);
}

/* A keyfile that says nothing of backends has the built-in ones; a group of its own goes before. */
static void
add_builtin_groups (GPtrArray *groups, StrandKeyfile *keyfile, StrandKeyfile *builtin)
{
  for (guint i = 0; i < builtin->groups->len; i++)
    {
      StrandKeyfileGroup *group = g_ptr_array_index (builtin->groups, i);

      if (find_group (keyfile, group->title) != NULL)
        continue;
      group->line = 0; /* none of the file's lines */
      for (guint j = 0; j < group->entries->len; j++)
        ((StrandKeyfileEntry *) g_ptr_array_index (group->entries, j))->line = 0;
      g_ptr_array_add (groups, group);
    }
}

StrandPlan *
strand_plan_check (StrandPlugins *plugins, const char *data, gsize length, const char *file,
                   GPtrArray *problems)
{
  g_autoptr(StrandKeyfile) keyfile = strand_keyfile_parse (data, length, file, problems);
  g_autoptr(StrandKeyfile) builtin = NULL;
  g_autoptr(GPtrArray) groups = g_ptr_array_new ();
  g_autoptr(StrandPlan) plan = strand_plan_new (file);
  StrandChecker self = { plugins, plan, problems, file };

  for (guint i = 0; i < keyfile->groups->len; i++)
    {
      StrandKeyfileGroup *group = g_ptr_array_index (keyfile->groups, i);

      if (strcmp (group->title, "strand") == 0 && !group->duplicate)
        read_plugin_path (&self, group);
    }

  for (guint i = 0; i < keyfile->groups->len; i++)
    g_ptr_array_add (groups, g_ptr_array_index (keyfile->groups, i));
  if (!names_a_backend (keyfile))
    {
      g_autofree char *text = strand_stack_dup_builtin (plugins);

      builtin = strand_keyfile_parse (text, strlen (text), file, problems);
      add_builtin_groups (groups, keyfile, builtin);
    }
  read_groups (&self, groups);
  if (plan->default_backend == NULL && !names_default_backend (keyfile))
    choose_default_backend (&self);
  strand_checker_settle_schedules (&self);

  strand_checker_settle_missing (&self);
  strand_checker_find_cycles (&self);
  if (problems->len == 0)
    {
      load_modules (&self, keyfile);
      strand_checker_check_schedules (&self);
    }
  g_ptr_array_sort (problems, compare_problems);
  if (problems->len > 0)
    return NULL;

  strand_plan_digest (plan);
  return g_steal_pointer (&plan);
}
