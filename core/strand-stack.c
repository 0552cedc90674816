/* strand-stack.c — a keyfile that came to life: loading, reloading, and the process's own stack.
 *
 * A reload checks the new text first and changes nothing unless it is good. Then each new node whose digest
 * equals that of the old node of its name takes over the object; the others are made when next asked for.
 * Calls in flight hold references of their own, so they end on the old objects.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-stack.h"
#include "strand-stack-private.h"
#include "strand-error.h"
#include "strand-log.h"

#include <string.h>

typedef enum
{
  PROP_PLUGINS = 1,
  PROP_FILE,
  PROP_GENERATION,
  N_PROPS,
} Property;

static GParamSpec *props[N_PROPS];

/**
 * StrandStack:
 *
 * A keyfile that came to life: backends, stores, middleware and taskrunners, wired together, made when they
 * are first asked for.
 *
 * Since: 1.0
 */
G_DEFINE_FINAL_TYPE (StrandStack, strand_stack, G_TYPE_OBJECT)

/* How many retired objects are remembered before the list is looked through. */
#define PRUNE_AT 64

static GMutex default_lock;
static StrandStack *default_stack;

/* How many keyfiles the process has loaded: no two loads, of whatever stacks, have the same number. */
static gsize n_loaded;

/* All that is wrong, one a line. */
static gboolean
fail_with_problems (GPtrArray *problems, GError **error)
{
  g_autoptr(GString) text = g_string_new (NULL);

  for (guint i = 0; i < problems->len; i++)
    {
      g_autofree char *line = strand_problem_to_string (g_ptr_array_index (problems, i));

      g_string_append_printf (text, "%s%s", i > 0 ? "\n" : "", line);
    }
  g_set_error_literal (error, STRAND_ERROR, STRAND_ERROR_CONFIG, text->str);
  return FALSE;
}

static void
weak_ref_free (GWeakRef *ref)
{
  g_weak_ref_clear (ref);
  g_free (ref);
}

/* Forgets what is gone by itself. */
static void
prune_retired_locked (StrandStack *self)
{
  for (guint i = self->retired->len; i > 0; i--)
    {
      g_autoptr(GObject) object = g_weak_ref_get (g_ptr_array_index (self->retired, i - 1));

      if (object == NULL)
        g_ptr_array_remove_index_fast (self->retired, i - 1);
    }
}

void
strand_stack_retire_locked (StrandStack *self, GObject *object)
{
  GWeakRef *ref = g_new0 (GWeakRef, 1);

  if (self->retired->len % PRUNE_AT == PRUNE_AT - 1)
    prune_retired_locked (self);

  g_weak_ref_init (ref, object);
  g_ptr_array_add (self->retired, ref);
}

/* Old objects go to equal new nodes; the rest is let go when the old plan is. */
static void
carry_over_locked (StrandStack *self, StrandPlan *plan)
{
  for (guint i = 0; i < self->plan->nodes->len; i++)
    {
      StrandNode *old = g_ptr_array_index (self->plan->nodes, i);
      StrandNode *node = strand_plan_lookup (plan, old->kind, old->name);

      if (old->object == NULL)
        continue;
      if (node != NULL && g_strcmp0 (node->digest, old->digest) == 0)
        node->object = g_object_ref (old->object);
      else
        strand_stack_retire_locked (self, old->object);
    }
}

static gboolean
take_plan (StrandStack *self, StrandPlan *plan, GError **error)
{
  g_autoptr(StrandPlan) old = NULL;

  g_mutex_lock (&self->lock);
  if (self->closed)
    {
      g_mutex_unlock (&self->lock);
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_CLOSED, "Could not load '%s': the stack has been closed",
                   plan->file);
      return FALSE;
    }
  carry_over_locked (self, plan);
  old = g_steal_pointer (&self->plan);
  self->plan = strand_plan_ref (plan);
  g_atomic_pointer_set (&self->generation, (gsize) g_atomic_pointer_add (&n_loaded, 1) + 1);
  g_ptr_array_set_size (self->warnings, 0);
  for (guint i = 0; i < plan->warnings->len; i++)
    g_ptr_array_add (self->warnings, strand_problem_copy (g_ptr_array_index (plan->warnings, i)));
  g_mutex_unlock (&self->lock);

  for (guint i = 0; i < plan->warnings->len; i++)
    {
      g_autofree char *line = strand_problem_to_string (g_ptr_array_index (plan->warnings, i));

      strand_debug (STRAND_TOPIC_STACK, "%s", line);
    }
  strand_debug (STRAND_TOPIC_STACK, "loaded '%s': %u objects, default backend '%s'", plan->file,
                plan->nodes->len, plan->default_backend);
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_GENERATION]);
  return TRUE;
}

static gboolean
load (StrandStack *self, const char *data, gsize length, const char *name, GError **error)
{
  g_autoptr(GPtrArray) problems = strand_problems_new ();
  g_autoptr(StrandPlan) plan = strand_plan_check (self->plugins, data, length, name, problems);

  if (plan == NULL)
    return fail_with_problems (problems, error);
  return take_plan (self, plan, error);
}

/**
 * strand_stack_new:
 *
 * Makes the stack of a program that has no keyfile: a default backend on processes (on threads where that
 * plugin is not installed), with a filesystem store below `$XDG_STATE_HOME/strand` that forgets results
 * after an hour. If its plugins are missing, the stack is empty and asking for a target says so.
 *
 * Any thread. Reads plugin descriptors and loads the plugins named.
 *
 * Returns: (transfer full): a new stack
 * Since: 1.0
 */
StrandStack *
strand_stack_new (void)
{
  g_autoptr(StrandStack) self = g_object_new (STRAND_TYPE_STACK, NULL);
  g_autofree char *text = strand_stack_dup_builtin (self->plugins);
  g_autoptr(GError) error = NULL;

  if (!load (self, text, strlen (text), "built-in", &error))
    {
      g_mutex_lock (&self->lock);
      strand_keyfile_add_problem (self->warnings, "built-in", 0, NULL, NULL,
                                  "the default backend is left out: %s", error->message);
      g_mutex_unlock (&self->lock);
    }
  return g_steal_pointer (&self);
}

/**
 * strand_stack_new_from_file:
 * @path: (type filename): a keyfile
 * @error: return location for a [error@Strand.Error]
 *
 * Reads and checks a keyfile. Fails with %STRAND_ERROR_CONFIG and a message that has every mistake on a line
 * of its own. No object is made yet. Any thread; reads the disk.
 *
 * Returns: (transfer full): a new stack, or %NULL with @error set
 * Since: 1.0
 */
StrandStack *
strand_stack_new_from_file (const char *path, GError **error)
{
  g_autoptr(StrandStack) self = NULL;

  g_return_val_if_fail (path != NULL, NULL);

  self = g_object_new (STRAND_TYPE_STACK, "file", path, NULL);
  return strand_stack_reload (self, error) ? g_steal_pointer (&self) : NULL;
}

/**
 * strand_stack_new_from_data:
 * @data: (array length=length) (element-type guint8): a keyfile's text
 * @length: its length, or -1 if it ends in a NUL byte
 * @name: what messages call it
 * @error: return location for a [error@Strand.Error]
 *
 * As strand_stack_new_from_file(), of text in memory.
 *
 * Returns: (transfer full): a new stack, or %NULL with @error set
 * Since: 1.0
 */
StrandStack *
strand_stack_new_from_data (const char *data, gssize length, const char *name, GError **error)
{
  g_autoptr(StrandStack) self = NULL;

  g_return_val_if_fail (data != NULL && name != NULL, NULL);

  self = g_object_new (STRAND_TYPE_STACK, NULL);
  return strand_stack_reload_from_data (self, data, length, name, error) ? g_steal_pointer (&self) : NULL;
}

/**
 * strand_stack_get_default:
 *
 * Gives the process's own stack: the one that was set, else the built-in one, made now. It stays while no
 * other is set. Any thread.
 *
 * Returns: (transfer none): the stack
 * Since: 1.0
 */
StrandStack *
strand_stack_get_default (void)
{
  StrandStack *stack = g_atomic_pointer_get (&default_stack);
  g_autoptr(StrandStack) made = NULL;

  if (stack != NULL)
    return stack;

  /* Outside the lock, for it loads plugins. Of two that are made at once the second is let go. */
  made = strand_stack_new ();
  g_mutex_lock (&default_lock);
  if (default_stack == NULL)
    g_atomic_pointer_set (&default_stack, g_steal_pointer (&made));
  stack = default_stack;
  g_mutex_unlock (&default_lock);
  return stack;
}

/**
 * strand_stack_set_default:
 * @stack: (nullable): a stack, or %NULL for the built-in one
 *
 * Sets the process's own stack. Best done before anything is called; tasks that have found their target keep
 * it. Any thread.
 *
 * Since: 1.0
 */
void
strand_stack_set_default (StrandStack *stack)
{
  StrandStack *old;

  g_return_if_fail (stack == NULL || STRAND_IS_STACK (stack));

  g_mutex_lock (&default_lock);
  old = default_stack;
  g_atomic_pointer_set (&default_stack, stack != NULL ? g_object_ref (stack) : NULL);
  g_mutex_unlock (&default_lock);
  g_clear_object (&old);
}

/**
 * strand_stack_reload:
 * @self: a stack that was made of a file
 * @error: return location for a [error@Strand.Error]
 *
 * Reads the keyfile again. If it is good, groups that did not change keep their object, and so does all that
 * depends on them alone; other objects are made afresh when asked for. If not, nothing changes. Calls in
 * flight end where they are. Any thread; reads the disk. `notify::generation` is emitted in this thread.
 *
 * Returns: %FALSE with @error set if the keyfile is not good
 * Since: 1.0
 */
gboolean
strand_stack_reload (StrandStack *self, GError **error)
{
  g_autoptr(GPtrArray) problems = strand_problems_new ();
  g_autofree char *data = NULL;
  gsize length;

  g_return_val_if_fail (STRAND_IS_STACK (self), FALSE);

  if (self->path == NULL)
    {
      g_set_error_literal (error, STRAND_ERROR, STRAND_ERROR_NOT_SUPPORTED,
                           "Could not reload the stack: it was not made of a file");
      return FALSE;
    }
  data = strand_stack_read_file (self->path, &length, problems);
  if (data == NULL)
    return fail_with_problems (problems, error);
  return load (self, data, length, self->path, error);
}

/**
 * strand_stack_reload_from_data:
 * @self: a stack
 * @data: (array length=length) (element-type guint8): a keyfile's text
 * @length: its length, or -1 if it ends in a NUL byte
 * @name: what messages call it
 * @error: return location for a [error@Strand.Error]
 *
 * As strand_stack_reload(), of text in memory.
 *
 * Returns: %FALSE with @error set if the text is not good
 * Since: 1.0
 */
gboolean
strand_stack_reload_from_data (StrandStack *self, const char *data, gssize length, const char *name,
                               GError **error)
{
  g_return_val_if_fail (STRAND_IS_STACK (self), FALSE);
  g_return_val_if_fail (data != NULL && name != NULL, FALSE);

  return load (self, data, length < 0 ? strlen (data) : (gsize) length, name, error);
}

/**
 * strand_stack_list_warnings:
 * @self: a stack
 *
 * Tells what was left out, being optional. Any thread.
 *
 * Returns: (transfer container) (element-type StrandProblem): the warnings
 * Since: 1.0
 */
GPtrArray *
strand_stack_list_warnings (StrandStack *self)
{
  GPtrArray *warnings = strand_problems_new ();

  g_return_val_if_fail (STRAND_IS_STACK (self), warnings);

  g_mutex_lock (&self->lock);
  for (guint i = 0; i < self->warnings->len; i++)
    g_ptr_array_add (warnings, strand_problem_copy (g_ptr_array_index (self->warnings, i)));
  g_mutex_unlock (&self->lock);
  return warnings;
}

static StrandPlan *
ref_plan (StrandStack *self, guint64 *generation)
{
  StrandPlan *plan;

  g_mutex_lock (&self->lock);
  plan = strand_plan_ref (self->plan);
  *generation = (gsize) g_atomic_pointer_get (&self->generation);
  g_mutex_unlock (&self->lock);
  return plan;
}

/**
 * strand_stack_get_generation:
 * @self: a stack
 *
 * Tells what was loaded last apart from all that the process loaded before, by any stack. Any thread; takes
 * no lock, so a task may look at every call.
 *
 * Returns: a number that grows with each reload; 0 if nothing has been loaded
 * Since: 1.0
 */
guint64
strand_stack_get_generation (StrandStack *self)
{
  g_return_val_if_fail (STRAND_IS_STACK (self), 0);

  return (gsize) g_atomic_pointer_get (&self->generation);
}

/**
 * strand_stack_dup_default_backend:
 * @self: a stack
 *
 * Gives the name of the default backend. Any thread.
 *
 * Returns: (transfer full) (nullable): the name; %NULL where even the built-in one could not be had
 * Since: 1.0
 */
char *
strand_stack_dup_default_backend (StrandStack *self)
{
  g_autoptr(StrandPlan) plan = NULL;
  guint64 generation;

  g_return_val_if_fail (STRAND_IS_STACK (self), NULL);

  plan = ref_plan (self, &generation);
  return g_strdup (plan->default_backend);
}

/**
 * strand_stack_describe:
 * @self: a stack
 *
 * Draws the stack as it was understood: every object with its plugin's file and version, every property with
 * its value and where that comes from. Secrets are masked. Any thread; reads plugin descriptors.
 *
 * Returns: (transfer full): some lines of UTF-8 text
 * Since: 1.0
 */
char *
strand_stack_describe (StrandStack *self)
{
  g_autoptr(StrandPlan) plan = NULL;
  g_autoptr(GPtrArray) warnings = NULL;
  guint64 generation;

  g_return_val_if_fail (STRAND_IS_STACK (self), NULL);

  warnings = strand_stack_list_warnings (self);
  plan = ref_plan (self, &generation);
  return strand_plan_describe (plan, self->plugins, warnings, generation);
}

/**
 * strand_stack_to_variant:
 * @self: a stack
 *
 * Gives what strand_stack_describe() draws as data: `a{sv}` with `file`, `generation`, `default-backend`,
 * `warnings` (`as`) and `objects` (`aa{sv}`: `kind`, `name`, `type`, `line`, `plugin`, `version`, and
 * `properties`, `aa{sv}`: `name`, `value`, `origin`, `secret`, and `references`, `as`, in place of a value).
 * Any thread; reads plugin descriptors.
 *
 * Returns: (transfer none): a floating variant
 * Since: 1.0
 */
GVariant *
strand_stack_to_variant (StrandStack *self)
{
  g_autoptr(StrandPlan) plan = NULL;
  g_autoptr(GPtrArray) warnings = NULL;
  guint64 generation;

  g_return_val_if_fail (STRAND_IS_STACK (self), NULL);

  warnings = strand_stack_list_warnings (self);
  plan = ref_plan (self, &generation);
  return strand_plan_to_variant (plan, self->plugins, warnings, generation);
}

static void
strand_stack_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  StrandStack *self = STRAND_STACK (object);

  switch ((Property) id)
    {
    case PROP_PLUGINS:
      self->plugins = g_value_dup_object (value);
      break;
    case PROP_FILE:
      self->path = g_value_dup_string (value);
      break;
    case PROP_GENERATION:
    case N_PROPS:
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
strand_stack_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  StrandStack *self = STRAND_STACK (object);

  switch ((Property) id)
    {
    case PROP_PLUGINS:
      g_value_set_object (value, self->plugins);
      break;
    case PROP_FILE:
      g_value_set_string (value, self->path);
      break;
    case PROP_GENERATION:
      g_value_set_uint64 (value, strand_stack_get_generation (self));
      break;
    case N_PROPS:
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
strand_stack_constructed (GObject *object)
{
  StrandStack *self = STRAND_STACK (object);

  if (self->plugins == NULL)
    self->plugins = g_object_ref (strand_plugins_get_default ());
  G_OBJECT_CLASS (strand_stack_parent_class)->constructed (object);
}

static void
strand_stack_finalize (GObject *object)
{
  StrandStack *self = STRAND_STACK (object);

  g_clear_pointer (&self->watch, strand_stack_watch_free);
  strand_plan_unref (self->plan);
  strand_plan_unref (self->later);
  g_ptr_array_unref (self->warnings);
  g_ptr_array_unref (self->retired);
  g_mutex_clear (&self->lock);
  g_clear_object (&self->plugins);
  g_free (self->path);
  G_OBJECT_CLASS (strand_stack_parent_class)->finalize (object);
}

static void
strand_stack_class_init (StrandStackClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  const GParamFlags once = G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS;

  object_class->set_property = strand_stack_set_property;
  object_class->get_property = strand_stack_get_property;
  object_class->constructed = strand_stack_constructed;
  object_class->finalize = strand_stack_finalize;

  /**
   * StrandStack:plugins:
   *
   * Where types are found; the process's own plugins if not set.
   *
   * Since: 1.0
   */
  props[PROP_PLUGINS] =
      g_param_spec_object ("plugins", NULL, "Where types are found; the process's own plugins if not set",
                           STRAND_TYPE_PLUGINS, once);
  /**
   * StrandStack:file:
   *
   * The keyfile that a reload reads.
   *
   * Since: 1.0
   */
  props[PROP_FILE] = g_param_spec_string ("file", NULL, "The keyfile that a reload reads", NULL, once);
  /**
   * StrandStack:generation:
   *
   * Grows with each reload; no two stacks have the same.
   *
   * Since: 1.0
   */
  props[PROP_GENERATION] = g_param_spec_uint64 (
      "generation", NULL, "Grows with each reload; no two stacks have the same", 0, G_MAXUINT64, 0,
      G_PARAM_READABLE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY);
  g_object_class_install_properties (object_class, N_PROPS, props);
}

static void
strand_stack_init (StrandStack *self)
{
  g_mutex_init (&self->lock);
  self->plan = strand_plan_new ("nothing");
  self->later = strand_plan_new ("nothing");
  self->warnings = strand_problems_new ();
  self->retired = g_ptr_array_new_with_free_func ((GDestroyNotify) weak_ref_free);
}
