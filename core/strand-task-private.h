/* strand-task-private.h — a task's fields, for the files that share them.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-call-private.h"

G_BEGIN_DECLS

struct _StrandTask
{
  GObject parent_instance;

  GMutex lock;          /* guards everything below */
  StrandRecipe *recipe; /* complete; NULL after a change */
  guint64 generation;   /* of the stack, when the recipe was made */

  StrandFunction *function;
  StrandStack *stack; /* NULL: the default one at each call */
  char *target_name;  /* resolved in the stack; NULL where target is set */
  GObject *target;
  GVariant *bound; /* a tuple of leading arguments, or NULL, as the next */
  GVariant *keywords;
  StrandClosure *on_iter;
  StrandClosure *on_end;
  StrandClosure *on_error;
  StrandOptions *options;
  int priority;
  gboolean on_runner;
  guint max_items;
  gint64 grace_us;
  StrandChecks checks;
};

GObject *strand_task_find_target (StrandTask *self, guint64 *generation, GError **error);
/* Of what has changed. The caller lets go of it without the lock: it may be the last to hold its target. */
StrandRecipe *strand_task_steal_recipe_locked (StrandTask *self) G_GNUC_WARN_UNUSED_RESULT;
StrandCall *strand_task_prepare (StrandTask *self, const char *target, GVariant *arguments,
                                 GVariant *keywords, StrandOptions *options, GError **failure);
void strand_call_take_data (StrandCall *call, StrandOptions *options);

G_END_DECLS
