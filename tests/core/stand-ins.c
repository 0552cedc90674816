/* stand-ins.c — types of every kind that do nothing but remember their properties. */

#include "stand-ins.h"

#define MAX_PROPERTIES 16

typedef struct
{
  GObject parent_instance;
  GValue values[MAX_PROPERTIES];
} StandIn;

typedef struct
{
  GObjectClass parent_class;
  StrandKind kind;
  GParamSpec *own[MAX_PROPERTIES];
} StandInClass;

/* One stand-in: its kind, name and class, and what its class_init installs. */
typedef struct
{
  StrandKind kind;
  const char *type;
  const char *class_name;
  void (*install) (GObjectClass *klass);
  gboolean initable;
} Blueprint;

static GString *closed_kinds;
static guint n_made;
static void (*make_hook) (gpointer data);
static gpointer make_hook_data;

typedef enum
{
  PACE_SLOW,
  PACE_STEADY,
  PACE_FAST,
} Pace;

static GType
pace_get_type (void)
{
  static const GEnumValue values[] = { { PACE_SLOW, "PACE_SLOW", "slow" },
                                       { PACE_STEADY, "PACE_STEADY", "steady" },
                                       { PACE_FAST, "PACE_FAST", "fast" },
                                       { 0 } };
  static gsize type;

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, g_enum_register_static ("StandInPace", values));
  return type;
}

static GType
colours_get_type (void)
{
  static const GFlagsValue values[] = {
    { 1, "RED", "red" }, { 2, "GREEN", "green" }, { 4, "BLUE", "blue" }, { 0 }
  };
  static gsize type;

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, g_flags_register_static ("StandInColours", values));
  return type;
}

static void
add (GObjectClass *klass, GParamSpec *pspec)
{
  StandInClass *own = (StandInClass *) klass;
  guint id = 1;

  while (own->own[id] != NULL)
    id++;
  g_assert_cmpuint (id, <, MAX_PROPERTIES);
  own->own[id] = pspec;
  g_object_class_install_property (klass, id, pspec);
}

static void
install_box (GObjectClass *klass)
{
  add (klass, g_param_spec_string ("path", NULL, "Where", "/tmp/box", STRAND_PARAM_CONFIG));
  add (klass, g_param_spec_boolean ("sync", NULL, "Whether", TRUE, STRAND_PARAM_CONFIG));
  add (klass, g_param_spec_int ("level", NULL, "How high", -5, 5, 0, STRAND_PARAM_CONFIG));
  add (klass, g_param_spec_uint ("port", NULL, "Which", 1, 65535, 80, STRAND_PARAM_CONFIG));
  add (klass, g_param_spec_int64 ("room", NULL, "How much", -1, G_GINT64_CONSTANT (1) << 40, -1,
                                  STRAND_PARAM_CONFIG | STRAND_PARAM_SIZE));
  add (klass, g_param_spec_uint64 ("seed", NULL, "Any", 0, G_MAXUINT64, 0, STRAND_PARAM_CONFIG));
  add (klass, g_param_spec_double ("ratio", NULL, "How many of how many", 0, 1, 0.5, STRAND_PARAM_CONFIG));
  add (klass,
       g_param_spec_enum ("pace", NULL, "How fast", pace_get_type (), PACE_STEADY, STRAND_PARAM_CONFIG));
  add (klass, g_param_spec_flags ("colours", NULL, "Which", colours_get_type (), 0, STRAND_PARAM_CONFIG));
  add (klass, g_param_spec_boxed ("tags", NULL, "What else", G_TYPE_STRV, STRAND_PARAM_CONFIG));
  add (klass,
       g_param_spec_string ("password", NULL, "Hush", NULL, STRAND_PARAM_CONFIG | STRAND_PARAM_SECRET));
  add (klass, g_param_spec_char ("tiny", NULL, "A small one", -128, 127, 0, STRAND_PARAM_CONFIG));
}

static void
install_remote (GObjectClass *klass)
{
  add (klass, g_param_spec_string ("uri", NULL, "Where", NULL, STRAND_PARAM_CONFIG | STRAND_PARAM_REQUIRED));
  add (klass, g_param_spec_string ("token", NULL, "Hush", NULL,
                                   STRAND_PARAM_CONFIG | STRAND_PARAM_REQUIRED | STRAND_PARAM_SECRET));
}

static void
install_nothing (GObjectClass *klass)
{
}

static void
install_log (GObjectClass *klass)
{
  add (klass, g_param_spec_string ("domain", NULL, "For whom", "strand", STRAND_PARAM_CONFIG));
  add (klass, g_param_spec_pointer ("pointer", NULL, "Not for keyfiles", STRAND_PARAM_CONFIG));
}

static void
install_limit (GObjectClass *klass)
{
  add (klass, g_param_spec_uint ("max-calls", NULL, "How many", 1, 1000000, 10, STRAND_PARAM_CONFIG));
  add (klass, g_param_spec_int64 ("per", NULL, "In how long", 1, G_MAXINT64, 1000000,
                                  STRAND_PARAM_CONFIG | STRAND_PARAM_DURATION));
}

static void
install_nest (GObjectClass *klass)
{
  add (klass, g_param_spec_object ("inner", NULL, "Another",
                                   strand_kind_get_interface (STRAND_KIND_MIDDLEWARE), STRAND_PARAM_CONFIG));
  add (klass, g_param_spec_object ("store", NULL, "A store", strand_kind_get_interface (STRAND_KIND_STORE),
                                   STRAND_PARAM_CONFIG));
}

static void
install_fragile (GObjectClass *klass)
{
  add (klass, g_param_spec_boolean ("broken", NULL, "Whether it fails", TRUE, STRAND_PARAM_CONFIG));
}

static void
install_pool (GObjectClass *klass)
{
  add (klass, g_param_spec_uint ("workers", NULL, "How many", 1, 1024, 4, STRAND_PARAM_CONFIG));
  add (klass, g_param_spec_int64 ("grace", NULL, "How long", -1, G_MAXINT64, 5000000,
                                  STRAND_PARAM_CONFIG | STRAND_PARAM_DURATION));
}

static void
install_clash (GObjectClass *klass)
{
  add (klass, g_param_spec_string ("store", NULL, "Not its business", NULL, STRAND_PARAM_CONFIG));
}

static void
install_local (GObjectClass *klass)
{
  add (klass, g_param_spec_object ("taskrunner", NULL, "Where calls run",
                                   strand_kind_get_interface (STRAND_KIND_TASKRUNNER), STRAND_PARAM_CONFIG));
  add (klass, g_param_spec_object ("store", NULL, "Where results go",
                                   strand_kind_get_interface (STRAND_KIND_STORE), STRAND_PARAM_CONFIG));
  add (klass, g_param_spec_object ("serializer", NULL, "How",
                                   strand_kind_get_interface (STRAND_KIND_SERIALIZER), STRAND_PARAM_CONFIG));
  add (klass,
       g_param_spec_object ("middleware", NULL, "What wraps calls", G_TYPE_LIST_MODEL, STRAND_PARAM_CONFIG));
  add (klass, g_param_spec_uint ("retries", NULL, "How often again", 0, 1000, 0, STRAND_PARAM_CONFIG));
  add (klass, g_param_spec_int64 ("timeout", NULL, "How long", -1, G_MAXINT64, -1,
                                  STRAND_PARAM_CONFIG | STRAND_PARAM_DURATION));
}

static void
install_queue (GObjectClass *klass)
{
  add (klass,
       g_param_spec_object ("store", NULL, "Where calls wait", strand_kind_get_interface (STRAND_KIND_STORE),
                            STRAND_PARAM_CONFIG | STRAND_PARAM_REQUIRED));
}

static const Blueprint blueprints[] = {
  { STRAND_KIND_STORE, "filesystem", "StandInFilesystemStore", install_box },
  { STRAND_KIND_STORE, "box", "StandInBoxStore", install_box },
  { STRAND_KIND_STORE, "remote", "StandInRemoteStore", install_remote },
  { STRAND_KIND_SERIALIZER, "json", "StandInJsonSerializer", install_nothing },
  { STRAND_KIND_MIDDLEWARE, "log", "StandInLogMiddleware", install_log },
  { STRAND_KIND_MIDDLEWARE, "limit", "StandInLimitMiddleware", install_limit },
  { STRAND_KIND_MIDDLEWARE, "nest", "StandInNestMiddleware", install_nest },
  { STRAND_KIND_MIDDLEWARE, "fragile", "StandInFragileMiddleware", install_fragile, TRUE },
  { STRAND_KIND_TASKRUNNER, "sync", "StandInSyncTaskrunner", install_nothing },
  { STRAND_KIND_TASKRUNNER, "thread", "StandInThreadTaskrunner", install_pool },
  { STRAND_KIND_TASKRUNNER, "clash", "StandInClashTaskrunner", install_clash },
  { STRAND_KIND_BACKEND, "local", "StandInLocalBackend", install_local },
  { STRAND_KIND_BACKEND, "queue", "StandInQueueBackend", install_queue },
};

static guint
find_id (StandIn *self, GParamSpec *pspec)
{
  StandInClass *klass = (StandInClass *) G_OBJECT_GET_CLASS (self);

  for (guint id = 1; id < MAX_PROPERTIES; id++)
    if (klass->own[id] == pspec)
      return id;
  return 0;
}

static void
set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  StandIn *self = (StandIn *) object;
  guint own = find_id (self, pspec);

  if (own == 0)
    {
      strand_store_set_common_property (STRAND_STORE (object), value, pspec);
      return;
    }
  if (G_IS_VALUE (&self->values[own]))
    g_value_unset (&self->values[own]);
  g_value_init (&self->values[own], G_PARAM_SPEC_VALUE_TYPE (pspec));
  g_value_copy (value, &self->values[own]);
}

static void
get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  StandIn *self = (StandIn *) object;
  guint own = find_id (self, pspec);

  if (own == 0)
    strand_store_get_common_property (STRAND_STORE (object), value, pspec);
  else
    g_value_copy (&self->values[own], value);
}

static void
finalize (GObject *object)
{
  StandIn *self = (StandIn *) object;

  for (guint i = 0; i < MAX_PROPERTIES; i++)
    if (G_IS_VALUE (&self->values[i]))
      g_value_unset (&self->values[i]);
  G_OBJECT_CLASS (g_type_class_peek (G_TYPE_OBJECT))->finalize (object);
}

static void
stand_in_class_init (gpointer klass, gpointer data)
{
  GObjectClass *object_class = klass;
  const Blueprint *blueprint = data;

  ((StandInClass *) klass)->kind = blueprint->kind;
  object_class->set_property = set_property;
  object_class->get_property = get_property;
  object_class->finalize = finalize;
  blueprint->install (object_class);
  if (blueprint->kind == STRAND_KIND_STORE)
    strand_store_override_properties (object_class, MAX_PROPERTIES);
}

static void
stand_in_init (GTypeInstance *instance, gpointer klass)
{
  g_atomic_int_inc (&n_made);
  if (make_hook != NULL)
    make_hook (make_hook_data);
}

static gboolean
initable_init (GInitable *initable, GCancellable *cancellable, GError **error)
{
  if (!g_value_get_boolean (stand_in_peek (G_OBJECT (initable), "broken")))
    return TRUE;
  g_set_error_literal (error, STRAND_ERROR, STRAND_ERROR_FAILED, "it is broken");
  return FALSE;
}

static void
initable_iface_init (gpointer iface, gpointer data)
{
  ((GInitableIface *) iface)->init = initable_init;
}

static void
note_closed (gpointer self)
{
  if (closed_kinds == NULL)
    closed_kinds = g_string_new (NULL);
  g_string_append_printf (closed_kinds, "%s%s", closed_kinds->len > 0 ? ";" : "",
                          strand_kind_to_string (((StandInClass *) G_OBJECT_GET_CLASS (self))->kind));
}

static gboolean
close_backend (StrandBackend *self, gint64 deadline_us, GError **error)
{
  note_closed (self);
  if (deadline_us != 0)
    return TRUE;
  g_set_error_literal (error, STRAND_ERROR, STRAND_ERROR_TIMED_OUT, "2 calls did not end");
  return FALSE;
}

static gboolean
close_taskrunner (StrandTaskrunner *self, gint64 deadline_us, GError **error)
{
  note_closed (self);
  return TRUE;
}

static void
close_store (StrandStore *self)
{
  note_closed (self);
}

static void
kind_iface_init (gpointer iface, gpointer data)
{
  switch (((const Blueprint *) data)->kind)
    {
    case STRAND_KIND_BACKEND:
      ((StrandBackendInterface *) iface)->close = close_backend;
      break;
    case STRAND_KIND_TASKRUNNER:
      ((StrandTaskrunnerInterface *) iface)->close = close_taskrunner;
      break;
    case STRAND_KIND_STORE:
      ((StrandStoreInterface *) iface)->close = close_store;
      break;
    case STRAND_KIND_SERIALIZER:
    case STRAND_KIND_MIDDLEWARE:
    case STRAND_KIND_READER:
    case STRAND_KIND_SCHEDULE:
      break;
    }
}

static GType
register_stand_in (const Blueprint *blueprint)
{
  GTypeInfo info = { .class_size = sizeof (StandInClass),
                     .class_init = stand_in_class_init,
                     .class_data = blueprint,
                     .instance_size = sizeof (StandIn),
                     .instance_init = stand_in_init };
  GInterfaceInfo kind = { kind_iface_init, NULL, (gpointer) blueprint };
  GInterfaceInfo initable = { initable_iface_init, NULL, NULL };
  GType type = g_type_from_name (blueprint->class_name);

  if (type != G_TYPE_INVALID)
    return type;
  type = g_type_register_static (G_TYPE_OBJECT, blueprint->class_name, &info, G_TYPE_FLAG_FINAL);
  g_type_add_interface_static (type, strand_kind_get_interface (blueprint->kind), &kind);
  if (blueprint->initable)
    g_type_add_interface_static (type, G_TYPE_INITABLE, &initable);
  return type;
}

StrandPlugins *
stand_ins_new_plugins (void)
{
  static const char *const nowhere[] = { NULL };
  StrandPlugins *plugins = strand_plugins_new (nowhere);

  for (gsize i = 0; i < G_N_ELEMENTS (blueprints); i++)
    {
      g_autoptr(GError) error = NULL;

      strand_plugins_add_type (plugins, blueprints[i].kind, blueprints[i].type,
                               register_stand_in (&blueprints[i]), &error);
      g_assert_no_error (error);
    }
  return plugins;
}

const GValue *
stand_in_peek (GObject *object, const char *property)
{
  GParamSpec *pspec = g_object_class_find_property (G_OBJECT_GET_CLASS (object), property);
  guint id = find_id ((StandIn *) object, pspec);

  g_assert_cmpuint (id, >, 0);
  return &((StandIn *) object)->values[id];
}

GObject *
stand_in_get_object (GObject *object, const char *property)
{
  return g_value_get_object (stand_in_peek (object, property));
}

char *
stand_ins_steal_closed (void)
{
  char *text = closed_kinds != NULL ? g_string_free (closed_kinds, FALSE) : g_strdup ("");

  closed_kinds = NULL;
  return text;
}

void
stand_ins_set_hook (void (*hook) (gpointer data), gpointer data)
{
  make_hook = hook;
  make_hook_data = data;
}

guint
stand_ins_count_made (void)
{
  return g_atomic_int_get (&n_made);
}
