/* strand-stack-refs.c — what the names in a keyfile refer to.
 *
 * A name means the group of that name and kind; where there is none, the type of that name, made with its
 * defaults. Everything a reference can do wrong is found here: nothing of that name, something of another
 * kind, a type that cannot be had, a circle.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-stack-check-private.h"
#include "strand-error.h"
#include "strand-param.h"
#include "strand-schema-private.h"
#include "strand-trust-private.h"

#include <string.h>

gboolean
strand_checker_is_name (const char *name)
{
  gsize length = strlen (name);

  return length > 0 && length <= 128 && name[0] != '.' &&
         strspn (name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == length;
}

static void
warn (StrandChecker *self, guint line, const char *title, const char *key, const char *what, const char *why)
{
  strand_keyfile_add_problem (self->plan->warnings, self->file, line, title, key, "'%s' is left out: %s",
                              what, why);
}

/* Why nothing of @kind is called @name. */
static char *
explain_unknown (StrandChecker *self, StrandKind kind, const char *name)
{
  const char *wanted = strand_kind_to_string (kind);
  g_auto(GStrv) names = NULL;
  g_autofree char *hint = NULL;
  g_autofree char *what = NULL;

  for (int other = 0; other < STRAND_N_KINDS; other++)
    {
      StrandNode *node = strand_plan_lookup (self->plan, other, name);

      if (node != NULL && !node->inside)
        return g_strdup_printf ("'%s' is a %s, and a %s is needed here", name, strand_kind_to_string (other),
                                wanted);
    }
  for (int other = 0; other < STRAND_N_KINDS; other++)
    {
      g_auto(GStrv) types = strand_plugins_list_types (self->plugins, other);

      if (types != NULL && g_strv_contains ((const char *const *) types, name))
        return g_strdup_printf ("'%s' is a type of %s, and a %s is needed here", name,
                                strand_kind_to_string (other), wanted);
    }

  names = strand_plan_list_names (self->plan, self->plugins, kind);
  what = g_strdup_printf ("%s names", wanted);
  hint = strand_schema_hint (name, (const char *const *) names, what);
  return g_strdup_printf ("no %s is called '%s'%s", wanted, name, hint);
}

/* Objects made with defaults cannot have what their type requires. */
static void
check_defaults_suffice (StrandChecker *self, const char *title, StrandKeyfileEntry *entry, StrandNode *node)
{
  guint n_properties = 0;
  g_autofree GParamSpec **properties =
      g_object_class_list_properties (G_OBJECT_CLASS (node->klass), &n_properties);

  for (guint i = 0; i < n_properties; i++)
    if (properties[i]->flags & STRAND_PARAM_REQUIRED)
      strand_checker_complain (
          self, entry->line, title, entry->key,
          "'%s' is a type that needs the key '%s', so defaults do not suffice; write a group "
          "[%s NAME] with type=%s and %s=, and refer to NAME",
          node->type, properties[i]->name, strand_kind_to_string (node->kind), node->type,
          properties[i]->name);
}

StrandNode *
strand_checker_resolve (StrandChecker *self, const char *title, StrandKeyfileEntry *entry, StrandKind kind,
                        const char *name, gboolean optional)
{
  StrandNode *node = strand_checker_is_name (name) ? strand_plan_lookup (self->plan, kind, name) : NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *why = NULL;
  GType gtype = G_TYPE_INVALID;

  if (node == NULL && strand_checker_is_name (name))
    gtype = strand_plugins_load (self->plugins, kind, name, &error);
  if (gtype != G_TYPE_INVALID)
    {
      node = strand_plan_add_implied (self->plan, kind, name, gtype, entry->line);
      check_defaults_suffice (self, title, entry, node);
    }
  if (node != NULL)
    {
      *(optional ? &node->n_optional : &node->n_required) += 1;
      return node;
    }

  if (error != NULL && !g_error_matches (error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_NOT_FOUND))
    why = g_strdup (error->message);
  else
    why = explain_unknown (self, kind, name);
  if (optional)
    warn (self, entry->line, title, entry->key, name, why);
  else
    strand_checker_complain (self, entry->line, title, entry->key, "%s", why);
  return NULL;
}

/* Whether an operator has switched this off for now: STRAND_DISABLE has patterns with ';', of names or types.
 */
static gboolean
is_disabled (StrandNode *node)
{
  const char *patterns = strand_trust_getenv ("STRAND_DISABLE");
  g_auto(GStrv) words = patterns != NULL ? g_strsplit (patterns, ";", -1) : NULL;

  for (guint i = 0; words != NULL && words[i] != NULL; i++)
    if (g_pattern_match_simple (words[i], node->name) ||
        (node->type != NULL && g_pattern_match_simple (words[i], node->type)))
      return TRUE;
  return FALSE;
}

/* Leaves a middleware out that is switched off. One that is needed is no longer there to be relied on, so the
 * keyfile is not good. */
static void
disable (StrandChecker *self, const char *title, StrandKeyfileEntry *entry, StrandRef *ref)
{
  if (ref->node == NULL || ref->node->klass == NULL || !is_disabled (ref->node))
    return;
  if (ref->optional)
    {
      warn (self, entry->line, title, entry->key, ref->node->name, "STRAND_DISABLE names it");
      ref->node = NULL;
    }
  else
    strand_checker_complain (
        self, entry->line, title, entry->key,
        "STRAND_DISABLE names '%s', which is required here; write '%s?' if it can be left "
        "out, or take it out of STRAND_DISABLE",
        ref->node->name, ref->node->name);
}

static gboolean
stands_twice (const char *const *words, guint position)
{
  for (guint i = 0; i < position; i++)
    if (strcmp (words[i], words[position]) == 0)
      return TRUE;
  return FALSE;
}

/* A list of middleware; each name may end in a question mark. */
static gboolean
read_list (StrandChecker *self, StrandNode *node, StrandKind kind, StrandKeyfileEntry *entry, GArray *refs,
           GError **error)
{
  g_auto(GStrv) words = strand_setting_read_words (entry, error);
  gboolean ok = words != NULL;

  for (guint i = 0; ok && words[i] != NULL && !strand_checker_is_full (self); i++)
    {
      gsize length = strlen (words[i]);
      StrandRef ref = { NULL, words[i][length - 1] == '?' };

      if (ref.optional)
        words[i][length - 1] = '\0';
      if (stands_twice ((const char *const *) words, i))
        strand_checker_complain (self, entry->line, node->title, entry->key,
                                 "'%s' stands twice in this list; name each once", words[i]);
      ref.node = strand_checker_resolve (self, node->title, entry, kind, words[i], ref.optional);
      disable (self, node->title, entry, &ref);
      g_array_append_val (refs, ref);
    }
  return ok;
}

StrandSetting *
strand_checker_read_references (StrandChecker *self, StrandNode *node, GParamSpec *pspec,
                                StrandKeyfileEntry *entry)
{
  StrandKind kind = STRAND_KIND_STORE;
  StrandSchemaForm form = strand_schema_get_form (pspec, &kind);
  g_autoptr(GArray) refs = g_array_new (FALSE, FALSE, sizeof (StrandRef));
  g_autoptr(GError) error = NULL;
  StrandSetting *setting;
  gboolean ok;

  if (form == STRAND_SCHEMA_REFERENCES)
    ok = read_list (self, node, kind, entry, refs, &error);
  else
    {
      g_autofree char *word = strand_setting_read_word (entry, &error);
      StrandRef ref = { NULL, FALSE };

      ok = word != NULL;
      if (ok)
        ref.node = strand_checker_resolve (self, node->title, entry, kind, word, FALSE);
      g_array_append_val (refs, ref);
    }
  if (!ok)
    {
      strand_checker_complain (self, entry->line, node->title, entry->key, "%s", error->message);
      return NULL;
    }

  setting = g_new0 (StrandSetting, 1);
  setting->pspec = g_param_spec_ref (pspec);
  setting->line = entry->line;
  setting->refs = g_steal_pointer (&refs);
  return setting;
}

/* A type that cannot be had is a mistake, unless all who refer to it can do without. */
void
strand_checker_settle_missing (StrandChecker *self)
{
  for (guint i = 0; i < self->plan->nodes->len; i++)
    {
      StrandNode *node = g_ptr_array_index (self->plan->nodes, i);

      if (node->missing != NULL && node->n_optional > 0 && node->n_required == 0)
        warn (self, node->type_line, node->title, "type", node->name, node->missing->message);
      else if (node->missing != NULL)
        strand_checker_complain (self, node->type_line, node->title, "type", "%s", node->missing->message);

      for (guint j = 0; j < node->settings->len; j++)
        {
          StrandSetting *setting = g_ptr_array_index (node->settings, j);

          for (guint k = 0; setting->refs != NULL && k < setting->refs->len; k++)
            {
              StrandRef *ref = &g_array_index (setting->refs, StrandRef, k);

              if (ref->node != NULL && ref->node->klass == NULL)
                ref->node = NULL;
            }
        }
    }
}

enum
{
  MARK_NEW,
  MARK_ON_PATH,
  MARK_DONE,
};

static void
complain_of_cycle (StrandChecker *self, GPtrArray *path, StrandNode *back, StrandSetting *setting)
{
  StrandNode *last = g_ptr_array_index (path, path->len - 1);
  g_autoptr(GString) circle = g_string_new (NULL);
  gboolean inside = FALSE;

  for (guint i = 0; i < path->len; i++)
    {
      StrandNode *node = g_ptr_array_index (path, i);

      inside = inside || node == back;
      if (inside)
        g_string_append_printf (circle, "[%s] → ", node->title);
    }
  strand_checker_complain (self, setting->line, last->title, setting->pspec->name,
                           "these refer to each other in a circle: %s[%s]; leave one reference out",
                           circle->str, back->title);
}

/* As deep as the longest chain of references, which a keyfile's size bounds at some thousands. */
static void
follow (StrandChecker *self, GPtrArray *path, StrandNode *node)
{
  node->mark = MARK_ON_PATH;
  g_ptr_array_add (path, node);

  for (guint i = 0; i < node->settings->len; i++)
    {
      StrandSetting *setting = g_ptr_array_index (node->settings, i);

      for (guint j = 0; setting->refs != NULL && j < setting->refs->len; j++)
        {
          StrandNode *next = g_array_index (setting->refs, StrandRef, j).node;

          if (next != NULL && next->mark == MARK_ON_PATH)
            complain_of_cycle (self, path, next, setting);
          else if (next != NULL && next->mark == MARK_NEW)
            follow (self, path, next);
        }
    }

  g_ptr_array_remove_index (path, path->len - 1);
  node->mark = MARK_DONE;
}

void
strand_checker_find_cycles (StrandChecker *self)
{
  g_autoptr(GPtrArray) path = g_ptr_array_new ();

  for (guint i = 0; i < self->plan->nodes->len; i++)
    {
      StrandNode *node = g_ptr_array_index (self->plan->nodes, i);

      if (node->mark == MARK_NEW)
        follow (self, path, node);
    }
}
