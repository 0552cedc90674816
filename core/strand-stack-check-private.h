/* strand-stack-check-private.h — what the two halves of checking a keyfile share.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-stack-private.h"

G_BEGIN_DECLS

typedef struct
{
  StrandPlugins *plugins;
  StrandPlan *plan;
  GPtrArray *problems;
  const char *file;
} StrandChecker;

#define strand_checker_complain(self, line, title, key, ...)                                                 \
  strand_keyfile_add_problem ((self)->problems, (self)->file, (line), (title), (key), __VA_ARGS__)

#define strand_checker_is_full(self) ((self)->problems->len >= STRAND_KEYFILE_MAX_PROBLEMS)

/* The key through which a short form's backend gets its runner. */
#define STRAND_SHORT_FORM_KEY "taskrunner"

/* Finds the type of @group's node, loading its plugin. What is wrong is noted: a missing key at once, a
 * missing type in the node, for it may not be needed. */
void strand_checker_resolve_type (StrandChecker *self, StrandKeyfileGroup *group, StrandNode *node);

/* A name that references can say. */
gboolean strand_checker_is_name (const char *name);

/* The node that @name means to @entry of @title, made if it names a type; NULL with a problem noted, or, if
 * optional, a warning. */
StrandNode *strand_checker_resolve (StrandChecker *self, const char *title, StrandKeyfileEntry *entry,
                                    StrandKind kind, const char *name, gboolean optional);

/* A property that refers to other objects. NULL with problems noted. */
StrandSetting *strand_checker_read_references (StrandChecker *self, StrandNode *node, GParamSpec *pspec,
                                               StrandKeyfileEntry *entry);

/* Over all nodes, once every reference is known: types that are missing, and cycles. */
void strand_checker_settle_missing (StrandChecker *self);
void strand_checker_find_cycles (StrandChecker *self);

/* Schedules: times that are understood, and a place to leave calls, which is the default backend's if none is
 * named. The second, once modules are loaded: arguments that fit their functions, where these are known. */
void strand_checker_settle_schedules (StrandChecker *self);
void strand_checker_check_schedules (StrandChecker *self);

G_END_DECLS
