/* call-group.h — which calls a middleware is for, and which of them count together.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <strand-plugin.h>

/* What counts together. */
typedef enum
{
  GROUP_BY_FUNCTION,
  GROUP_BY_PARAMETER, /* calls with an equal value of one parameter, whatever the function */
  GROUP_ALL,
} GroupScope;

/* Where every field is a property of the middleware's. */
typedef struct
{
  GStrv functions; /* patterns; NULL for every function */
  GroupScope scope;
  char *parameter;
} CallGroups;

GType call_group_scope_get_type (void);

/* An enumeration of a plugin, registered once however many plugins share this file. */
GType call_group_register_enum (const char *name, const GEnumValue *values);

gboolean call_group_matches (char **functions, StrandCall *call);

/* What this call counts under; @storage holds it if need be. */
const char *call_group_key (const CallGroups *self, StrandCall *call, char **storage);

gboolean call_group_check_functions (char **functions, GError **error);
gboolean call_group_check (const CallGroups *self, GError **error);
void call_group_clear (CallGroups *self);
