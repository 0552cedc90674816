/* stand-ins.h — types of every kind that do nothing, so that a stack can be tested without any plugin.
 *
 * They are found through a host of their own, which searches no folder, so messages that list "the types
 * there are" stay the same whatever is installed. */
#pragma once

#include "strand-plugin.h"

StrandPlugins *stand_ins_new_plugins (void);

/* The value that a stand-in was given. */
const GValue *stand_in_peek (GObject *object, const char *property);
GObject *stand_in_get_object (GObject *object, const char *property);

/* What was closed, in order, with `;` between: "backend;taskrunner". Cleared by reading. */
char *stand_ins_steal_closed (void);

/* Called while one is being made, on the thread that makes it; NULL for nothing. */
void stand_ins_set_hook (void (*hook) (gpointer data), gpointer data);

/* How many have been made, over the life of the process. */
guint stand_ins_count_made (void);
