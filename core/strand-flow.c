/* strand-flow.c — making a flow and launching it.
 *
 * Until it is launched a flow is a tree in memory. Launching looks every function up, binds what is given,
 * and compares what each call returns with what the next one takes; then the whole tree goes into one record,
 * as the arguments of a call that no reader claims. From there strand-flow-run.c takes over.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-flow-private.h"

#include <stdarg.h>
#include <string.h>

#include "strand-call-private.h"
#include "strand-error.h"
#include "strand-function-private.h"
#include "strand-registry.h"

/* A call, where it has a function; else a chain or group. */
typedef struct _Part Part;
struct _Part
{
  gatomicrefcount ref_count;
  char *function;
  GVariant *positional;
  GVariant *keywords;
  StrandOptions *options;

  guint flow; /* whose copy this is */
  gboolean is_chain;
  gboolean stop_on_failure;
  GPtrArray *parts; /* of Part */
};

struct _StrandFlow
{
  GObject parent_instance;

  Part *root;
  GError *mistake; /* the first one */
};

/**
 * StrandFlow:
 *
 * Several calls as one: a chain hands each value on to the next call, a group has the values of all.
 * Launched into a store, it needs neither the program nor any one worker to go on.
 *
 * Since: 1.0
 */
G_DEFINE_FINAL_TYPE (StrandFlow, strand_flow, G_TYPE_OBJECT)

static Part *
part_ref (Part *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

static void
part_unref (gpointer data)
{
  Part *self = data;

  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  g_free (self->function);
  g_clear_pointer (&self->positional, g_variant_unref);
  g_clear_pointer (&self->keywords, g_variant_unref);
  g_clear_pointer (&self->options, strand_options_free);
  g_clear_pointer (&self->parts, g_ptr_array_unref);
  g_free (self);
}

static Part *
part_new (void)
{
  Part *self = g_new0 (Part, 1);

  g_atomic_ref_count_init (&self->ref_count);
  return self;
}

/* What is added is what the other flow is now; its calls, and the copies in it, never change. */
static Part *
part_copy_flow (Part *flow)
{
  Part *self = part_new ();

  self->flow = flow->flow;
  self->is_chain = flow->is_chain;
  self->stop_on_failure = flow->stop_on_failure;
  self->parts = g_ptr_array_new_with_free_func (part_unref);
  for (guint i = 0; i < flow->parts->len; i++)
    g_ptr_array_add (self->parts, part_ref (g_ptr_array_index (flow->parts, i)));
  return self;
}

static gboolean
part_contains (Part *self, guint flow)
{
  if (self->parts == NULL)
    return FALSE;
  if (self->flow == flow)
    return TRUE;
  for (guint i = 0; i < self->parts->len; i++)
    if (part_contains (g_ptr_array_index (self->parts, i), flow))
      return TRUE;
  return FALSE;
}

static void
strand_flow_finalize (GObject *object)
{
  StrandFlow *self = STRAND_FLOW (object);

  part_unref (self->root);
  g_clear_error (&self->mistake);
  G_OBJECT_CLASS (strand_flow_parent_class)->finalize (object);
}

static void
strand_flow_class_init (StrandFlowClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = strand_flow_finalize;
}

static void
strand_flow_init (StrandFlow *self)
{
  static guint n_flows; /* atomic */

  self->root = part_new ();
  self->root->flow = g_atomic_int_add (&n_flows, 1);
  self->root->parts = g_ptr_array_new_with_free_func (part_unref);
}

/**
 * strand_flow_new_chain:
 *
 * Makes a flow whose parts run one after the other: each gets the value of the one before it, and the last
 * one's value is the chain's. A part that fails or is cancelled ends the chain.
 *
 * A flow is used by one thread at a time.
 *
 * Returns: (transfer full): an empty chain
 * Since: 1.0
 */
StrandFlow *
strand_flow_new_chain (void)
{
  StrandFlow *self = g_object_new (STRAND_TYPE_FLOW, NULL);

  self->root->is_chain = TRUE;
  return self;
}

/**
 * strand_flow_new_group:
 *
 * Makes a flow whose parts run at the same time, as far as there are workers. It ends once, when all of them
 * have ended: with their values, in the order of the parts, as `av`; or, if one failed, as the first of these
 * did.
 *
 * A flow is used by one thread at a time.
 *
 * Returns: (transfer full): an empty group
 * Since: 1.0
 */
StrandFlow *
strand_flow_new_group (void)
{
  return g_object_new (STRAND_TYPE_FLOW, NULL);
}

/**
 * strand_flow_add: (skip)
 * @self: a flow
 * @function: the name of a function in the default registry
 * @format: (nullable): a GVariant format of a tuple, such as `(xx)`; `NULL` for no arguments
 * @...: the leading arguments
 *
 * Adds a call. In a chain, the value of the part before it becomes its next argument after these, as if it
 * were a task with these bound.
 *
 * Since: 1.0
 */
void
strand_flow_add (StrandFlow *self, const char *function, const char *format, ...)
{
  GVariant *positional = NULL;
  va_list args;

  va_start (args, format);
  if (format != NULL && *format != '\0')
    positional = g_variant_new_va (format, NULL, &args);
  va_end (args);
  strand_flow_add_call (self, function, positional, NULL, NULL);
}

/**
 * strand_flow_add_call:
 * @self: a flow
 * @function: the name of a function in the default registry
 * @positional: (nullable): a tuple of the leading arguments; floating is consumed
 * @keywords: (nullable): further arguments by name, `a{sv}`; floating is consumed
 * @options: (nullable): how this call wants to be treated; what is not set here is as the flow's options say.
 * It may have neither a key nor a unique key of its own
 *
 * Adds a call. In a chain, the value of the part before it becomes the first argument that is given neither
 * by
 * @positional nor by @keywords; a part that returns nothing passes nothing on.
 *
 * Since: 1.0
 */
void
strand_flow_add_call (StrandFlow *self, const char *function, GVariant *positional, GVariant *keywords,
                      StrandOptions *options)
{
  Part *part;

  g_return_if_fail (STRAND_IS_FLOW (self) && function != NULL);
  g_return_if_fail (positional == NULL || g_variant_is_of_type (positional, G_VARIANT_TYPE_TUPLE));
  g_return_if_fail (keywords == NULL || g_variant_is_of_type (keywords, G_VARIANT_TYPE_VARDICT));

  part = part_new ();
  part->function = g_strdup (function);
  part->positional = positional != NULL ? g_variant_ref_sink (positional) : NULL;
  part->keywords = keywords != NULL ? g_variant_ref_sink (keywords) : NULL;
  part->options = options != NULL ? strand_options_copy (options) : NULL;
  g_ptr_array_add (self->root->parts, part);
}

/**
 * strand_flow_add_flow:
 * @self: a flow
 * @part: another flow
 *
 * Adds a flow, as it is now, as one part. In a chain, a group gets the value of the part before it for each
 * of its parts, and passes its own `av` on to the next one.
 *
 * Since: 1.0
 */
void
strand_flow_add_flow (StrandFlow *self, StrandFlow *part)
{
  g_return_if_fail (STRAND_IS_FLOW (self) && STRAND_IS_FLOW (part));

  if (self->mistake == NULL && part->mistake != NULL)
    self->mistake = g_error_copy (part->mistake);
  if (self->mistake == NULL && part_contains (part->root, self->root->flow))
    g_set_error (&self->mistake, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
                 "Could not launch the flow: it is a part of itself, so that it would never end");
  if (self->mistake == NULL)
    g_ptr_array_add (self->root->parts, part_copy_flow (part->root));
}

/**
 * strand_flow_set_stop_on_failure:
 * @self: a group
 * @stop_on_failure: whether a part that fails, or is cancelled, has the others cancelled
 *
 * Says what becomes of a group's parts when one fails: without this the others go on, and their values are in
 * their records. The group ends when none runs any more, either way.
 *
 * Since: 1.0
 */
void
strand_flow_set_stop_on_failure (StrandFlow *self, gboolean stop_on_failure)
{
  g_return_if_fail (STRAND_IS_FLOW (self));

  self->root->stop_on_failure = stop_on_failure;
}

/**
 * strand_flow_get_stop_on_failure:
 * @self: a flow
 *
 * Says whether a group's first failure cancels its other parts.
 *
 * Returns: what strand_flow_set_stop_on_failure() said; %FALSE by default
 * Since: 1.0
 */
gboolean
strand_flow_get_stop_on_failure (StrandFlow *self)
{
  g_return_val_if_fail (STRAND_IS_FLOW (self), FALSE);

  return self->root->stop_on_failure;
}

/* --- from parts to one value ---------------------------------------------------------------------------- */

/* What a part passes on; NULL for nothing. */
typedef struct
{
  const GVariantType *input;
  const GVariantType *output;
  guint depth;
} Passing;

static GVariant *make_part (Part *part, Passing *passing, GError **error);

/* Any value of a type: it keeps the place of one that will be known later. */
static GVariant *
new_placeholder (const GVariantType *type)
{
  g_autoptr(GBytes) nothing = g_bytes_new (NULL, 0);
  g_autoptr(GVariant) value = g_variant_ref_sink (g_variant_new_from_bytes (type, nothing, FALSE));

  return g_variant_get_normal_form (value);
}

/* Which argument gets the value: the first that nobody gives. -1 if there is none. */
static int
find_hole (StrandFunction *function, Part *part)
{
  guint place = part->positional != NULL ? (guint) g_variant_n_children (part->positional) : 0;

  for (; place < function->n_parameters; place++)
    {
      g_autoptr(GVariant) given =
          part->keywords != NULL
              ? g_variant_lookup_value (part->keywords, function->parameter_names[place], NULL)
              : NULL;

      if (given == NULL)
        return (int) place;
    }
  return -1;
}

static GVariant *
bind_with_hole (StrandFunction *function, Part *part, const GVariantType *input, int hole, GError **error)
{
  g_autoptr(GVariant) placeholder = new_placeholder (input);
  GVariantDict keywords;

  g_variant_dict_init (&keywords, part->keywords);
  g_variant_dict_insert_value (&keywords, function->parameter_names[hole], placeholder);
  return strand_function_bind (function, part->positional, g_variant_dict_end (&keywords), error);
}

static gboolean
check_call (StrandFunction *function, Part *part, Passing *passing, int hole, GError **error)
{
  if (passing->input != NULL && hole < 0)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_TYPE,
                 "'%s' has no argument left for the value of the part before it", part->function);
  else if (strand_function_returns_object (function))
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_UNSAFE,
                 "'%s' returns an object, which no other process can be given", part->function);
  else if (part->options != NULL && strand_options_get_key (part->options) != NULL)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
                 "the call of '%s' has the key '%s': a part's key is made of its flow's", part->function,
                 strand_options_get_key (part->options));
  else if (part->options != NULL && strand_options_get_unique (part->options) != NULL)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
                 "the call of '%s' has a unique key: a flow may have one, but none of its parts",
                 part->function);
  else
    return TRUE;
  return FALSE;
}

static GVariant *
make_call (Part *part, Passing *passing, GError **error)
{
  g_autoptr(StrandFunction) function =
      strand_registry_lookup (strand_registry_get_default (), part->function, error);
  g_autoptr(GVariant) arguments = NULL;
  GVariantDict known;
  int hole;

  if (function == NULL)
    return NULL;
  hole = passing->input != NULL ? find_hole (function, part) : -1;
  if (!check_call (function, part, passing, hole, error))
    return NULL;
  arguments = hole >= 0 ? bind_with_hole (function, part, passing->input, hole, error)
                        : strand_function_bind (function, part->positional, part->keywords, error);
  if (arguments == NULL)
    return NULL;

  /* A function without a result has none to pass on; the type belongs to the registry's function. */
  passing->output = strand_function_get_result_type (function);
  if (passing->output != NULL && g_variant_type_equal (passing->output, G_VARIANT_TYPE_UNIT))
    passing->output = NULL;
  g_variant_dict_init (&known, NULL);
  g_variant_dict_insert (&known, "function", "s", part->function);
  g_variant_dict_insert_value (&known, "arguments", arguments);
  if (hole >= 0)
    g_variant_dict_insert (&known, "hole", "u", (guint32) hole);
  if (part->options != NULL)
    strand_flow_part_add_options (&known, part->options);
  return g_variant_new ("(s@a{sv}av)", "call", g_variant_dict_end (&known), NULL);
}

static gboolean
check_flow (Part *part, Passing *passing, GError **error)
{
  if (passing->depth > STRAND_FLOW_MAX_DEPTH)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
                 "it has flows in flows more than %d levels deep", STRAND_FLOW_MAX_DEPTH);
  else if (part->is_chain && part->parts->len == 0)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT, "a chain without parts has no value");
  else if (part->parts->len > STRAND_FLOW_MAX_PARTS)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_TOO_LARGE, "%u parts are too many; %d are the limit",
                 part->parts->len, STRAND_FLOW_MAX_PARTS);
  else
    return TRUE;
  return FALSE;
}

static GVariant *
make_flow (Part *part, Passing *passing, GError **error)
{
  const GVariantType *input = passing->input;
  GVariantBuilder parts;
  GVariantDict known;

  passing->depth++;
  if (!check_flow (part, passing, error))
    return NULL;
  g_variant_builder_init (&parts, G_VARIANT_TYPE ("av"));
  for (guint i = 0; i < part->parts->len; i++)
    {
      Passing inner = { input, NULL, passing->depth };
      GVariant *made = make_part (g_ptr_array_index (part->parts, i), &inner, error);

      if (made == NULL)
        {
          g_prefix_error (error, "part %u: ", i + 1);
          g_variant_builder_clear (&parts);
          return NULL;
        }
      g_variant_builder_add (&parts, "v", made);
      if (part->is_chain)
        input = inner.output;
      passing->output = inner.output;
    }
  if (!part->is_chain)
    passing->output = G_VARIANT_TYPE ("av");
  g_variant_dict_init (&known, NULL);
  if (part->stop_on_failure)
    g_variant_dict_insert (&known, "stop", "b", TRUE);
  return g_variant_new ("(s@a{sv}@av)", part->is_chain ? STRAND_FLOW_CHAIN : STRAND_FLOW_GROUP,
                        g_variant_dict_end (&known), g_variant_builder_end (&parts));
}

/* Floating; NULL with an error. */
static GVariant *
make_part (Part *part, Passing *passing, GError **error)
{
  return part->function != NULL ? make_call (part, passing, error) : make_flow (part, passing, error);
}

/* --- launching ------------------------------------------------------------------------------------------ */

/* What the members' keys begin with: the flow's own key where strand made it, because nobody has used that
 * before. */
static void
name_members (StrandOptions *options)
{
  g_autofree char *prefix = strand_key_new ();

  strand_options_set_header (options, STRAND_FLOW_HEADER_MEMBERS, prefix);
  if (strand_options_get_key (options) == NULL)
    strand_options_set_key (options, prefix);
}

static gboolean
check_key (StrandOptions *options, GError **error)
{
  const char *key = strand_options_get_key (options);

  if (key == NULL || (!strand_key_is_reserved (key) && strand_key_check (key, error)))
    return TRUE;
  if (strand_key_is_reserved (key))
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_KEY,
                 "the key '%s' is reserved: those that begin with 'strand.' are strand's own", key);
  return FALSE;
}

/* A backend that leaves its calls to readers has a queue for them. */
static gboolean
check_backend (StrandBackend *backend, GError **error)
{
  if (g_object_class_find_property (G_OBJECT_GET_CLASS (backend), "queue") != NULL)
    return TRUE;
  g_set_error (
      error, STRAND_ERROR, STRAND_ERROR_NOT_SUPPORTED,
      "%s runs its calls itself; a flow needs a backend that leaves them in a store for readers, such "
      "as 'store'",
      G_OBJECT_TYPE_NAME (backend));
  return FALSE;
}

/* The call that stands for the flow: its arguments are the flow. */
static StrandCall *
new_call (StrandFlow *self, StrandBackend *backend, GVariant *flow, StrandOptions *options)
{
  StrandRecipe *recipe = strand_recipe_new (
      strand_function_new_unknown (self->root->is_chain ? STRAND_FLOW_CHAIN : STRAND_FLOW_GROUP));
  StrandCall *call;

  recipe->backend = g_object_ref (backend);
  call = strand_call_new (recipe, g_variant_ref (flow));
  strand_call_set_options (call, options);
  return call;
}

/**
 * strand_flow_launch:
 * @self: a flow
 * @backend: a backend that leaves its calls for readers, such as `store`
 * @options: (nullable): how the flow wants to be treated: its key, unique key and ttl; all else holds for
 * each of its calls that does not say otherwise
 * @error: return location for a [error@Strand.Error]
 *
 * Launches a flow as it is now. The handle shows it as a call: its value is that of a chain's last part, or
 * `av` of all parts of a group; cancelling it cancels every part that has not ended, and starts no other.
 *
 * Any thread; does not block. Fails with `STRAND_ERROR_UNKNOWN_FUNCTION`; `STRAND_ERROR_TYPE` if what a call
 * is given, or gets from the one before it, is not what it takes; `STRAND_ERROR_INVALID_ARGUMENT` for a chain
 * without parts, a flow that is a part of itself, or one too deep; `STRAND_ERROR_UNSAFE` for a function that
 * returns an object; `STRAND_ERROR_NOT_SUPPORTED` for a backend that runs its calls itself. What fails later
 * ends the handle's call.
 *
 * Returns: (transfer full): a handle, or `NULL` with @error set
 * Since: 1.0
 */
StrandHandle *
strand_flow_launch (StrandFlow *self, StrandBackend *backend, StrandOptions *options, GError **error)
{
  g_autoptr(StrandOptions) own = options != NULL ? strand_options_copy (options) : strand_options_new ();
  g_autoptr(GVariant) flow = NULL;
  Passing passing = { NULL, NULL, 0 };
  StrandHandle *handle;
  StrandCall *call;

  g_return_val_if_fail (STRAND_IS_FLOW (self) && STRAND_IS_BACKEND (backend), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  if (self->mistake != NULL)
    {
      g_propagate_error (error, g_error_copy (self->mistake));
      return NULL;
    }
  if (check_backend (backend, error) && check_key (own, error))
    flow = make_part (self->root, &passing, error);
  if (flow == NULL)
    {
      g_prefix_error (error, "Could not launch the flow: ");
      return NULL;
    }
  g_variant_ref_sink (flow);
  name_members (own);
  call = new_call (self, backend, flow, g_steal_pointer (&own));
  handle = strand_handle_new_for_call (call);
  strand_call_submit (call);
  return handle;
}
