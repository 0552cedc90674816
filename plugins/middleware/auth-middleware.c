/* auth-middleware.c — lets a call run only if somebody who may make it has signed it.
 *
 * `submit` signs, in the process that makes the call; `before` verifies, in the process that runs it. Between
 * them lies a store that others may write to: what they change or add fails the signature, because that
 * covers the function, the arguments and the key of the call. Where anything is missing or wrong, the call is
 * refused, and the refusal goes into the log with fields to search by. A token is no secret, and the secrets
 * leave this file's objects nowhere.
 *
 * Settings are fixed at construction and are the only state, so every method may run on any thread.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include <strand-plugin.h>

#include "auth-keys.h"
#include "auth-token.h"

#include <string.h>

#define STRAND_TYPE_AUTH_MIDDLEWARE (strand_auth_middleware_get_type ())
G_DECLARE_FINAL_TYPE (StrandAuthMiddleware, strand_auth_middleware, STRAND, AUTH_MIDDLEWARE, GObject)

/* Longer than a call waits in most queues, shorter than a copied store is worth keeping. */
#define DEFAULT_LIFETIME_US (3600 * (gint64) G_USEC_PER_SEC)

#define DEFAULT_HEADER "strand-auth"

typedef enum
{
  ROLE_BOTH,
  ROLE_SIGN,
  ROLE_VERIFY,
} StrandAuthRole;

typedef enum
{
  AUDIT_REFUSALS,
  AUDIT_ALL,
} StrandAuthAudit;

struct _StrandAuthMiddleware
{
  GObject parent_instance;

  StrandAuthRole role;
  StrandAuthAudit audit;
  char *identity;
  GStrv allow;
  gint64 lifetime_us;
  char *header;
  GPtrArray *keys;  /* of AuthKey */
  GPtrArray *rules; /* who may call what */
  const AuthKey *signer;
  GError *trouble; /* settings that mean nothing: no call passes */
};

typedef enum
{
  PROP_ROLE = 1,
  PROP_KEYS,
  PROP_IDENTITY,
  PROP_ALLOW,
  PROP_LIFETIME,
  PROP_HEADER,
  PROP_AUDIT,
  N_PROPS
} Property;

static GParamSpec *props[N_PROPS];

#define STRAND_TYPE_AUTH_ROLE (strand_auth_role_get_type ())
GType strand_auth_role_get_type (void);
#define STRAND_TYPE_AUTH_AUDIT (strand_auth_audit_get_type ())
GType strand_auth_audit_get_type (void);

static void middleware_init (StrandMiddlewareInterface *iface);
static void initable_init (GInitableIface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (StrandAuthMiddleware, strand_auth_middleware, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_MIDDLEWARE, middleware_init)
                                   G_IMPLEMENT_INTERFACE (G_TYPE_INITABLE, initable_init))

G_DEFINE_ENUM_TYPE (StrandAuthRole, strand_auth_role, G_DEFINE_ENUM_VALUE (ROLE_BOTH, "both"),
                    G_DEFINE_ENUM_VALUE (ROLE_SIGN, "sign"), G_DEFINE_ENUM_VALUE (ROLE_VERIFY, "verify"))

G_DEFINE_ENUM_TYPE (StrandAuthAudit, strand_auth_audit, G_DEFINE_ENUM_VALUE (AUDIT_REFUSALS, "refusals"),
                    G_DEFINE_ENUM_VALUE (AUDIT_ALL, "all"))

static gboolean
signs (StrandAuthMiddleware *self)
{
  return self->role != ROLE_VERIFY;
}

static gboolean
verifies (StrandAuthMiddleware *self)
{
  return self->role != ROLE_SIGN;
}

/* --- signing ------------------------------------------------------------------------------------------- */

static AuthSubject
subject_of (StrandCall *call)
{
  return (AuthSubject){ strand_call_get_function_name (call), strand_call_get_key (call),
                        strand_call_get_arguments (call) };
}

/* Good until @lifetime_us after the call may start. Rounded up, so that a short life is no life of zero. */
static gint64
expiry_of (StrandAuthMiddleware *self, gint64 not_before_us)
{
  gint64 start_us = MAX (strand_clock_now_us (), not_before_us);
  gint64 expires_us = self->lifetime_us < G_MAXINT64 - start_us ? start_us + self->lifetime_us : G_MAXINT64;

  return expires_us / G_USEC_PER_SEC + (expires_us % G_USEC_PER_SEC != 0);
}

static StrandVerdict
strand_auth_middleware_submit (StrandMiddleware *middleware, StrandCall *call, GVariant **value,
                               GError **error)
{
  StrandAuthMiddleware *self = STRAND_AUTH_MIDDLEWARE (middleware);
  AuthSubject subject;
  g_autofree char *token = NULL;

  if (self->trouble != NULL)
    {
      g_propagate_error (error, g_error_copy (self->trouble));
      return STRAND_VERDICT_REFUSE;
    }
  if (!signs (self))
    return STRAND_VERDICT_CONTINUE;

  subject = subject_of (call);
  token = auth_token_make (self->signer->id, self->signer->secret, self->identity,
                           expiry_of (self, strand_options_get_not_before (strand_call_get_options (call))),
                           &subject);
  /* Over what is there: a call that repeats another has its headers, and another key. */
  strand_call_set_header (call, self->header, token);
  return STRAND_VERDICT_CONTINUE;
}

/* For calls that another program writes into the store. */
static char *
make_token (StrandAuthMiddleware *self, const char *function, GVariant *arguments, const char *key)
{
  g_autoptr(GVariant) tuple =
      g_variant_ref_sink (arguments != NULL ? arguments : g_variant_new_tuple (NULL, 0));
  AuthSubject subject = { function, key, tuple };

  if (self->trouble != NULL || !signs (self) || function == NULL || key == NULL)
    return NULL;
  return auth_token_make (self->signer->id, self->signer->secret, self->identity, expiry_of (self, 0),
                          &subject);
}

/* --- verifying ----------------------------------------------------------------------------------------- */

/* What became known of who calls. */
typedef struct
{
  AuthToken *token; /* NULL where there is none that can be read */
  gboolean proven;  /* the signature fits: the identity is not just claimed */
} Caller;

static AuthToken *
read_token (StrandAuthMiddleware *self, StrandCall *attempt, char **why)
{
  g_autofree char *text = strand_call_dup_header (attempt, self->header);
  AuthToken *token = text != NULL ? auth_token_parse (text) : NULL;

  if (text == NULL)
    *why = g_strdup_printf ("it has no token in header '%s'", self->header);
  else if (token == NULL)
    *why = g_strdup_printf ("header '%s' holds no token that this version understands", self->header);
  return token;
}

/* NULL if the call may run, else why not. The identity counts for nothing before the signature fits. */
static char *
find_fault (StrandAuthMiddleware *self, StrandCall *attempt, Caller *caller)
{
  AuthSubject subject = subject_of (attempt);
  const AuthKey *key;
  char *why = NULL;

  caller->token = read_token (self, attempt, &why);
  if (caller->token == NULL)
    return why;
  key = auth_keys_find (self->keys, caller->token->key_id);
  if (key == NULL)
    return g_strdup_printf ("its token is signed with key '%s', which is not known here",
                            caller->token->key_id);
  if (!auth_token_is_signed_by (caller->token, key->secret, &subject))
    return g_strdup ("its token was not made for this call, or with another secret");
  caller->proven = TRUE;
  if (!auth_key_speaks_for (key, caller->token->identity))
    return g_strdup_printf ("key '%s' does not speak for '%s'", key->id, caller->token->identity);
  if (strand_clock_now_us () / G_USEC_PER_SEC >= caller->token->expires_s)
    return g_strdup ("its token has expired");
  if (!auth_rules_allow (self->rules, caller->token->identity, subject.function))
    return g_strdup_printf ("'%s' may not call it", caller->token->identity);
  return NULL;
}

/* One line for who looks after the machine, with fields that a journal is searched by. */
static void
write_audit (StrandCall *attempt, const Caller *caller, const char *why)
{
  g_autofree char *message = g_strdup_printf (
      "%s a call of '%s' %s%s%s%s", why != NULL ? "Refused" : "Admitted",
      strand_call_get_function_name (attempt), strand_call_get_key (attempt), why != NULL ? ": " : " by '",
      why != NULL ? why : caller->token->identity, why != NULL ? "" : "'");
  GLogField fields[10] = {
    { "PRIORITY", "5", -1 },
    { "GLIB_DOMAIN", G_LOG_DOMAIN, -1 },
    { "MESSAGE", message, -1 },
    { "STRAND_AUDIT", why != NULL ? "refused" : "admitted", -1 },
    { "STRAND_KEY", strand_call_get_key (attempt), -1 },
    { "STRAND_FUNCTION", strand_call_get_function_name (attempt), -1 },
  };
  gsize n = 6;

  if (why != NULL)
    fields[n++] = (GLogField){ "STRAND_REASON", why, -1 };
  if (caller->token != NULL)
    {
      fields[n++] = (GLogField){ "STRAND_IDENTITY", caller->token->identity, -1 };
      fields[n++] = (GLogField){ "STRAND_IDENTITY_PROVEN", caller->proven ? "yes" : "no", -1 };
      fields[n++] = (GLogField){ "STRAND_AUTH_KEY", caller->token->key_id, -1 };
    }
  g_log_structured_array (G_LOG_LEVEL_MESSAGE, fields, n);
}

static StrandVerdict
strand_auth_middleware_before (StrandMiddleware *middleware, StrandCall *attempt, GVariant **value,
                               GError **error)
{
  StrandAuthMiddleware *self = STRAND_AUTH_MIDDLEWARE (middleware);
  Caller caller = { NULL, FALSE };
  g_autofree char *why = NULL;

  if (self->trouble != NULL)
    {
      g_propagate_error (error, g_error_copy (self->trouble));
      return STRAND_VERDICT_REFUSE;
    }
  if (!verifies (self))
    return STRAND_VERDICT_CONTINUE;

  why = find_fault (self, attempt, &caller);
  if (why != NULL || self->audit == AUDIT_ALL)
    write_audit (attempt, &caller, why);
  g_clear_pointer (&caller.token, auth_token_free);
  if (why == NULL)
    return STRAND_VERDICT_CONTINUE;
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_REFUSED, "%s", why);
  return STRAND_VERDICT_REFUSE;
}

static void
middleware_init (StrandMiddlewareInterface *iface)
{
  iface->submit = strand_auth_middleware_submit;
  iface->before = strand_auth_middleware_before;
}

/* --- settings ------------------------------------------------------------------------------------------ */

static gboolean
set_trouble (GError **error, const char *what)
{
  g_set_error_literal (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT, what);
  return FALSE;
}

static gboolean
check_signer (StrandAuthMiddleware *self, GError **error)
{
  if (self->identity == NULL || *self->identity == '\0')
    return set_trouble (error, "'identity' is not set: set it to who signs here, or 'role' to verify");
  if (!auth_name_is_good (self->identity))
    return set_trouble (error,
                        "'identity' has other characters than A-Z a-z 0-9 . _ @ - or more than 64 of them");
  self->signer = auth_keys_find_for (self->keys, self->identity);
  if (self->signer != NULL)
    return TRUE;
  g_set_error (
      error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
      "'keys' has no key that speaks for '%s'; add that identity to a line, or set another 'identity'",
      self->identity);
  return FALSE;
}

static gboolean
check_settings (StrandAuthMiddleware *self, GError **error)
{
  if (self->keys == NULL)
    return self->trouble != NULL ||
           set_trouble (error, "'keys' is not set: a keyfile says keys-file=PATH or keys=${VARIABLE}");
  if (self->header == NULL || *self->header == '\0')
    return set_trouble (error, "'header' is empty; leave it out or name a header");
  self->rules = auth_rules_parse ((const char *const *) self->allow, error);
  if (self->rules == NULL)
    return FALSE;
  if (verifies (self) && self->rules->len == 0)
    return set_trouble (error, "'allow' names nobody, so that no call could run: write IDENTITY=FUNCTION,…, "
                               "or *=* for every signed call, or set 'role' to sign");
  return !signs (self) || check_signer (self, error);
}

static gboolean
strand_auth_middleware_initable (GInitable *initable, GCancellable *cancellable, GError **error)
{
  StrandAuthMiddleware *self = STRAND_AUTH_MIDDLEWARE (initable);

  if (self->trouble == NULL)
    return TRUE;
  g_propagate_error (error, g_error_copy (self->trouble));
  return FALSE;
}

static void
initable_init (GInitableIface *iface)
{
  iface->init = strand_auth_middleware_initable;
}

static void
strand_auth_middleware_constructed (GObject *object)
{
  StrandAuthMiddleware *self = STRAND_AUTH_MIDDLEWARE (object);

  if (self->trouble == NULL)
    check_settings (self, &self->trouble);
  G_OBJECT_CLASS (strand_auth_middleware_parent_class)->constructed (object);
}

static void
strand_auth_middleware_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  StrandAuthMiddleware *self = STRAND_AUTH_MIDDLEWARE (object);

  switch ((Property) id)
    {
    case PROP_ROLE:
      self->role = (StrandAuthRole) g_value_get_enum (value);
      break;
    case PROP_KEYS:
      if (g_value_get_string (value) != NULL)
        self->keys = auth_keys_parse (g_value_get_string (value), &self->trouble);
      break;
    case PROP_IDENTITY:
      self->identity = g_value_dup_string (value);
      break;
    case PROP_ALLOW:
      self->allow = g_value_dup_boxed (value);
      break;
    case PROP_LIFETIME:
      self->lifetime_us = g_value_get_int64 (value);
      break;
    case PROP_HEADER:
      self->header = g_value_dup_string (value);
      break;
    case PROP_AUDIT:
      self->audit = (StrandAuthAudit) g_value_get_enum (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

/* 'keys' cannot be read back. */
static void
strand_auth_middleware_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  StrandAuthMiddleware *self = STRAND_AUTH_MIDDLEWARE (object);

  switch (id)
    {
    case PROP_ROLE:
      g_value_set_enum (value, self->role);
      break;
    case PROP_IDENTITY:
      g_value_set_string (value, self->identity);
      break;
    case PROP_ALLOW:
      g_value_set_boxed (value, self->allow);
      break;
    case PROP_LIFETIME:
      g_value_set_int64 (value, self->lifetime_us);
      break;
    case PROP_HEADER:
      g_value_set_string (value, self->header);
      break;
    case PROP_AUDIT:
      g_value_set_enum (value, self->audit);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
strand_auth_middleware_finalize (GObject *object)
{
  StrandAuthMiddleware *self = STRAND_AUTH_MIDDLEWARE (object);

  g_clear_pointer (&self->keys, g_ptr_array_unref);
  g_clear_pointer (&self->rules, g_ptr_array_unref);
  g_clear_error (&self->trouble);
  g_strfreev (self->allow);
  g_free (self->identity);
  g_free (self->header);
  G_OBJECT_CLASS (strand_auth_middleware_parent_class)->finalize (object);
}

static void
strand_auth_middleware_class_init (StrandAuthMiddlewareClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GParamFlags secret = (GParamFlags) (G_PARAM_WRITABLE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);
  GParamFlags fixed = (GParamFlags) (secret | G_PARAM_READABLE);

  object_class->constructed = strand_auth_middleware_constructed;
  object_class->set_property = strand_auth_middleware_set_property;
  object_class->get_property = strand_auth_middleware_get_property;
  object_class->finalize = strand_auth_middleware_finalize;

  props[PROP_ROLE] = g_param_spec_enum (
      "role", NULL,
      "Whether calls are signed when they are made here, verified before they run here, or both",
      STRAND_TYPE_AUTH_ROLE, ROLE_BOTH, fixed);
  props[PROP_KEYS] = g_param_spec_string ("keys", NULL, "Lines of ID SECRET [IDENTITY…], SECRET in base64",
                                          NULL, secret | STRAND_PARAM_REQUIRED | STRAND_PARAM_SECRET);
  props[PROP_IDENTITY] =
      g_param_spec_string ("identity", NULL, "Who signs here; required with role sign or both", NULL, fixed);
  props[PROP_ALLOW] = g_param_spec_boxed (
      "allow", NULL,
      "Who may call what, as IDENTITY=FUNCTION,FUNCTION with * and ?; required with role verify or both",
      G_TYPE_STRV, fixed);
  props[PROP_LIFETIME] =
      g_param_spec_int64 ("lifetime", NULL, "How long a signature is good, from when the call may start",
                          G_USEC_PER_SEC, G_MAXINT64, DEFAULT_LIFETIME_US, fixed | STRAND_PARAM_DURATION);
  props[PROP_HEADER] =
      g_param_spec_string ("header", NULL, "The header that holds the token", DEFAULT_HEADER, fixed);
  props[PROP_AUDIT] = g_param_spec_enum ("audit", NULL, "What is written to the log", STRAND_TYPE_AUTH_AUDIT,
                                         AUDIT_REFUSALS, fixed);
  g_object_class_install_properties (object_class, N_PROPS, props);

  /* (function, arguments or NULL, key) -> a token for that call, or NULL where nothing is signed. */
  g_signal_new_class_handler ("make-token", G_TYPE_FROM_CLASS (klass), G_SIGNAL_RUN_LAST | G_SIGNAL_ACTION,
                              G_CALLBACK (make_token), NULL, NULL, NULL, G_TYPE_STRING, 3, G_TYPE_STRING,
                              G_TYPE_VARIANT, G_TYPE_STRING);
}

static void
strand_auth_middleware_init (StrandAuthMiddleware *self)
{
}

STRAND_PLUGIN_DEFINE ("auth-middleware", STRAND_VERSION, "LGPL-2.1-or-later",
                      STRAND_PROVIDES_MIDDLEWARE ("auth", StrandAuthMiddleware,
                                                  strand_auth_middleware_get_type,
                                                  "Runs only calls that were signed by who may make them"))
