/* strand-stack-schedule.c — what is wrong with a schedule's group that no single key can tell.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-stack-check-private.h"

#include <string.h>

#include "strand-registry.h"
#include "strand-schedule-private.h"

#define BACKEND_KEY "backend"

static StrandSetting *
find_setting (StrandNode *node, const char *key)
{
  for (guint i = 0; i < node->settings->len; i++)
    {
      StrandSetting *setting = g_ptr_array_index (node->settings, i);

      if (strcmp (setting->pspec->name, key) == 0)
        return setting;
    }
  return NULL;
}

static const char *
get_text (StrandNode *node, const char *key)
{
  StrandSetting *setting = find_setting (node, key);

  return setting != NULL ? g_value_get_string (&setting->value) : NULL;
}

/* One that names no place leaves its calls where those of the program go. */
static void
use_default_backend (StrandChecker *self, StrandNode *node)
{
  const char *name = self->plan->default_backend;
  StrandRef ref = { NULL, FALSE };
  StrandSetting *setting;

  if (name != NULL)
    ref.node = strand_plan_lookup (self->plan, STRAND_KIND_BACKEND, name);
  if (ref.node == NULL)
    {
      strand_checker_complain (self, node->line, node->title, NULL,
                               "it does not say where to leave calls; write store=NAME or backend=NAME");
      return;
    }
  ref.node->n_required++;
  setting = g_new0 (StrandSetting, 1);
  setting->pspec =
      g_param_spec_ref (g_object_class_find_property (G_OBJECT_CLASS (node->klass), BACKEND_KEY));
  setting->line = node->line;
  setting->refs = g_array_new (FALSE, FALSE, sizeof (StrandRef));
  g_array_append_val (setting->refs, ref);
  g_ptr_array_add (node->settings, setting);
}

static void
check_name (StrandChecker *self, StrandNode *node)
{
  if (strlen (node->name) > SCHEDULE_MAX_NAME)
    strand_checker_complain (self, node->line, node->title, NULL,
                             "the name is %u characters long, and that of a schedule may have %d",
                             (guint) strlen (node->name), SCHEDULE_MAX_NAME);
}

static void
check_times (StrandChecker *self, StrandNode *node)
{
  StrandSetting *every = find_setting (node, "every");
  const char *zone = get_text (node, "time-zone");
  const char *key;
  g_autoptr(GError) error = NULL;
  StrandSetting *culprit;
  ScheduleTiming *timing =
      schedule_timing_new (every != NULL ? g_value_get_int64 (&every->value) : 0, get_text (node, "cron"),
                           zone != NULL ? zone : "UTC", &key, &error);

  if (timing != NULL)
    {
      schedule_timing_free (timing);
      return;
    }
  culprit = find_setting (node, key);
  strand_checker_complain (self, culprit != NULL ? culprit->line : node->line, node->title,
                           culprit != NULL ? key : NULL, "%s", error->message);
}

/* What was misspelt has been told of already, and would be told twice. */
static gboolean
has_problem (StrandChecker *self, StrandNode *node)
{
  for (guint i = 0; i < self->problems->len; i++)
    if (g_strcmp0 (((StrandProblem *) g_ptr_array_index (self->problems, i))->group, node->title) == 0)
      return TRUE;
  return FALSE;
}

void
strand_checker_settle_schedules (StrandChecker *self)
{
  guint n_nodes = self->plan->nodes->len;

  for (guint i = 0; i < n_nodes && !strand_checker_is_full (self); i++)
    {
      StrandNode *node = g_ptr_array_index (self->plan->nodes, i);

      if (node->kind != STRAND_KIND_SCHEDULE || has_problem (self, node))
        continue;
      check_name (self, node);
      check_times (self, node);
      if (find_setting (node, "store") == NULL && find_setting (node, BACKEND_KEY) == NULL)
        use_default_backend (self, node);
    }
}

/* A function that is not known may come with the program, or be known to others. */
static void
check_arguments (StrandChecker *self, StrandNode *node)
{
  g_autoptr(StrandFunction) function =
      strand_registry_lookup (strand_registry_get_default (), get_text (node, "function"), NULL);
  StrandSetting *setting = find_setting (node, "arguments");
  g_autoptr(GVariant) arguments = NULL;
  g_autoptr(GError) error = NULL;

  if (function == NULL)
    return;
  arguments = schedule_parse_arguments (function, get_text (node, "arguments"), &error);
  if (arguments == NULL)
    strand_checker_complain (self, setting != NULL ? setting->line : node->line, node->title, "arguments",
                             "%s", error->message);
}

void
strand_checker_check_schedules (StrandChecker *self)
{
  for (guint i = 0; i < self->plan->nodes->len && !strand_checker_is_full (self); i++)
    {
      StrandNode *node = g_ptr_array_index (self->plan->nodes, i);

      if (node->kind == STRAND_KIND_SCHEDULE)
        check_arguments (self, node);
    }
}
