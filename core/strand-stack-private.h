/* strand-stack-private.h — a keyfile understood: the objects it asks for, before any of them is made.
 *
 * A keyfile is read in three steps, one file each: strand-keyfile.c knows its text, strand-stack-check.c
 * makes a plan of it or finds what is wrong, strand-stack-build.c makes objects of a plan as they are asked
 * for.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-keyfile-private.h"
#include "strand-plugins.h"
#include "strand-stack.h"

G_BEGIN_DECLS

typedef struct _StrandNode StrandNode;

typedef struct
{
  StrandNode *node;  /* borrowed from the plan; NULL where an optional one is left out */
  gboolean optional; /* `name?` */
} StrandRef;

/* One property that the keyfile sets. */
typedef struct
{
  GParamSpec *pspec;
  guint line;
  GValue value;    /* unset for references */
  GArray *refs;    /* of StrandRef; NULL for values */
  char *variables; /* the environment's variables that were read, or NULL */
} StrandSetting;

/* One object that the keyfile asks for: by a group, by a reference to a type, or by a short form. */
struct _StrandNode
{
  StrandKind kind;
  char *name;  /* what references say */
  char *title; /* "backend jobs": what messages say */
  char *type;
  GTypeClass *klass; /* NULL where the type cannot be had */
  guint line;        /* of the group, or of the reference that asks for it */
  guint type_line;
  gboolean implied;             /* no group of its own: made with defaults */
  gboolean inside;              /* the runner inside a short form: no reference reaches it */
  GError *missing;              /* why klass is NULL */
  GPtrArray *settings;          /* of StrandSetting */
  guint n_optional, n_required; /* references to this node */
  StrandNode *runner;           /* of a short form: takes the keys that the backend does not know */
  char *digest;                 /* equal digests make equal objects */
  guint mark;                   /* of the search for cycles */
  GObject *object;              /* guarded by the stack's lock */
};

/* Fixed once checked, except for the nodes' objects, which the stack's lock guards. */
typedef struct
{
  gatomicrefcount refs;
  char *file;
  GHashTable *by_name; /* "kind name" -> StrandNode; borrowed */
  GPtrArray *nodes;    /* of StrandNode, in the keyfile's order */
  char *default_backend;
  GStrv modules;
  GPtrArray *warnings; /* of StrandProblem: what is left out, and why */
} StrandPlan;

/* An empty array of StrandProblem. */
GPtrArray *strand_problems_new (void);

/* A keyfile's text; NULL with a problem noted. */
char *strand_stack_read_file (const char *path, gsize *length, GPtrArray *problems);

StrandPlan *strand_plan_new (const char *file);
StrandPlan *strand_plan_ref (StrandPlan *self);
void strand_plan_unref (StrandPlan *self);
StrandNode *strand_plan_add (StrandPlan *self, StrandKind kind, const char *name, const char *title,
                             guint line);
StrandNode *strand_plan_lookup (StrandPlan *self, StrandKind kind, const char *name);
StrandNode *strand_plan_add_implied (StrandPlan *self, StrandKind kind, const char *type, GType gtype,
                                     guint line);
void strand_plan_digest (StrandPlan *self);
void strand_node_set_gtype (StrandNode *self, GType gtype);

void strand_setting_free (StrandSetting *setting);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (StrandPlan, strand_plan_unref)

/* For sorting arrays of words. */
int strand_compare_words (gconstpointer a, gconstpointer b);

/* The keys that objects of a class have, sorted; one for each secret is the name with "-file". */
GStrv strand_node_list_keys (StrandNode *self);

/* Reads one entry's text for a property, references excepted. @file_key: it stands as `KEY-file=PATH`. */
StrandSetting *strand_setting_read (GParamSpec *pspec, StrandKeyfileEntry *entry, gboolean file_key,
                                    GError **error);

/* One entry's text as a name, or a list of them. */
char *strand_setting_read_word (StrandKeyfileEntry *entry, GError **error);
GStrv strand_setting_read_words (StrandKeyfileEntry *entry, GError **error);

/* What a reference to @kind may say: groups' names and types, sorted. */
GStrv strand_plan_list_names (StrandPlan *self, StrandPlugins *plugins, StrandKind kind);

/* The plan of @data; problems and warnings go where they belong. Loads plugins to know their properties, and
 * function modules where nothing else is wrong. Opens nothing else but secrets' files. */
StrandPlan *strand_plan_check (StrandPlugins *plugins, const char *data, gsize length, const char *file,
                               GPtrArray *problems);

/* The keyfile of a program that has none. */
char *strand_stack_dup_builtin (StrandPlugins *plugins);

/* A new object for a node whose references have been made: @objects has one GObject (or NULL) for each
 * StrandRef of its settings, in their order. Runs the plugin's code: hold no lock. */
GObject *strand_node_build (StrandNode *self, GPtrArray *objects, GError **error);

/* A drawing of a plan, and the same as data. @warnings: of StrandProblem. */
char *strand_plan_describe (StrandPlan *self, StrandPlugins *plugins, GPtrArray *warnings,
                            guint64 generation);
GVariant *strand_plan_to_variant (StrandPlan *self, StrandPlugins *plugins, GPtrArray *warnings,
                                  guint64 generation);

/* strand-stack-watch.c */
typedef struct _StrandStackWatch StrandStackWatch;
void strand_stack_watch_free (StrandStackWatch *watch);

struct _StrandStack
{
  GObject parent_instance;
  StrandPlugins *plugins;  /* set at construction */
  gsize generation;        /* atomic; changed under the lock */
  char *path;              /* of the keyfile, or NULL; set before anybody else has the stack */
  StrandStackWatch *watch; /* its own context's; NULL while nobody asked for it */

  GMutex lock;       /* guards everything below, and the nodes' objects */
  StrandPlan *plan;  /* never NULL once constructed */
  StrandPlan *later; /* types that were asked for by name and are in no keyfile; outlives reloads */
  gboolean closed;
  GPtrArray *warnings; /* of StrandProblem: optional middleware that could not be made */
  GPtrArray *retired;  /* of GWeakRef: what a reload replaced, to be closed with the rest */
};

/* Remembers an object that the plan no longer has. */
void strand_stack_retire_locked (StrandStack *self, GObject *object);

G_END_DECLS
