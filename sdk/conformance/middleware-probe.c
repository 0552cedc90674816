/* middleware-probe.c — a middleware that notes what it is asked, and what the one it stands for answers.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "middleware-private.h"

#include <sys/resource.h>

static void middleware_init (StrandMiddlewareInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (MiddlewareProbe, middleware_probe, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_MIDDLEWARE, middleware_init))

/* @subject: (nullable) (transfer none): what to stand for */
MiddlewareProbe *
probe_new (StrandMiddleware *subject)
{
  MiddlewareProbe *self = g_object_new (MIDDLEWARE_TYPE_PROBE, NULL);

  self->subject = subject != NULL ? g_object_ref (subject) : NULL;
  return self;
}

guint
probe_read (MiddlewareProbe *self, const guint *number)
{
  guint n;

  g_mutex_lock (&self->lock);
  n = *number;
  g_mutex_unlock (&self->lock);
  return n;
}

void
probe_resume_all (MiddlewareProbe *self)
{
  g_autoptr(GPtrArray) held = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_call_unref);

  g_mutex_lock (&self->lock);
  g_ptr_array_extend_and_steal (held, g_steal_pointer (&self->held));
  self->held = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_call_unref);
  g_mutex_unlock (&self->lock);
  for (guint i = 0; i < held->len; i++)
    strand_call_resume (held->pdata[i], STRAND_VERDICT_CONTINUE, NULL, NULL);
}

static void
forget_call (gpointer data)
{
  MiddlewareProbe *self = data;

  g_atomic_int_add (&self->n_alive, -1);
  g_object_unref (self);
}

static void
remember_call (MiddlewareProbe *self, StrandCall *call)
{
  if (strand_call_get_data (call, self) != NULL)
    return;
  g_atomic_int_inc (&self->n_alive);
  strand_call_set_data (call, self, g_object_ref (self), forget_call);
}

/* How often this thread had to wait for something. */
static glong
count_waits (void)
{
  struct rusage usage;

  return getrusage (RUSAGE_THREAD, &usage) == 0 ? usage.ru_nvcsw : 0;
}

static StrandVerdict
answer_self (MiddlewareProbe *self, StrandCall *call, StrandVerdict verdict, GVariant **value, GError **error)
{
  if (verdict == STRAND_VERDICT_ANSWER)
    *value = self->answer != NULL ? g_variant_ref (self->answer) : NULL;
  if (verdict == STRAND_VERDICT_REFUSE)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_REFUSED, "the probe was told to");
  if (verdict == STRAND_VERDICT_LATER)
    {
      g_mutex_lock (&self->lock);
      g_ptr_array_add (self->held, strand_call_ref (call));
      g_mutex_unlock (&self->lock);
    }
  if (self->watch != NULL)
    self->watch (self, call, self->data);
  return verdict;
}

static StrandVerdict
count (MiddlewareProbe *self, StrandVerdict verdict)
{
  g_mutex_lock (&self->lock);
  self->n_held += verdict == STRAND_VERDICT_LATER;
  self->n_refused += verdict == STRAND_VERDICT_REFUSE;
  self->n_answered += verdict == STRAND_VERDICT_ANSWER;
  g_mutex_unlock (&self->lock);
  return verdict;
}

static StrandVerdict
middleware_probe_submit (StrandMiddleware *middleware, StrandCall *call, GVariant **value, GError **error)
{
  MiddlewareProbe *self = MIDDLEWARE_PROBE (middleware);
  StrandMiddlewareInterface *iface = NULL;
  StrandVerdict verdict = STRAND_VERDICT_CONTINUE;
  glong waits = count_waits ();

  remember_call (self, call);
  if (self->subject == NULL)
    verdict = answer_self (self, call, self->at_submit, value, error);
  else
    iface = STRAND_MIDDLEWARE_GET_IFACE (self->subject);
  if (iface != NULL && iface->submit != NULL)
    verdict = iface->submit (self->subject, call, value, error);
  waits = count_waits () - waits;

  g_mutex_lock (&self->lock);
  self->n_submit++;
  self->n_idle += waits > 0;
  g_clear_pointer (&self->headers, g_variant_unref);
  self->headers = strand_call_dup_headers (call);
  g_mutex_unlock (&self->lock);
  return count (self, verdict);
}

static StrandVerdict
middleware_probe_before (StrandMiddleware *middleware, StrandCall *attempt, GVariant **value, GError **error)
{
  MiddlewareProbe *self = MIDDLEWARE_PROBE (middleware);
  StrandMiddlewareInterface *iface;

  remember_call (self, attempt);
  g_mutex_lock (&self->lock);
  self->n_before++;
  g_mutex_unlock (&self->lock);
  if (self->subject == NULL)
    return count (self, answer_self (self, attempt, self->at_before, value, error));
  iface = STRAND_MIDDLEWARE_GET_IFACE (self->subject);
  if (iface->before == NULL)
    return STRAND_VERDICT_CONTINUE;
  return count (self, iface->before (self->subject, attempt, value, error));
}

static gboolean
middleware_probe_after (StrandMiddleware *middleware, StrandCall *attempt, GVariant *value, GError **error)
{
  MiddlewareProbe *self = MIDDLEWARE_PROBE (middleware);
  gboolean well = TRUE;

  if (self->subject != NULL && STRAND_MIDDLEWARE_GET_IFACE (self->subject)->after != NULL)
    well = STRAND_MIDDLEWARE_GET_IFACE (self->subject)->after (self->subject, attempt, value, error);
  g_mutex_lock (&self->lock);
  self->n_after++;
  g_clear_pointer (&self->value, g_variant_unref);
  self->value = value != NULL ? g_variant_ref (value) : NULL;
  g_mutex_unlock (&self->lock);
  if (self->complains)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_FAILED, "the probe was told to complain");
  return well && !self->complains;
}

static void
middleware_probe_on_error (StrandMiddleware *middleware, StrandCall *attempt, const GError *error,
                           gboolean will_retry)
{
  MiddlewareProbe *self = MIDDLEWARE_PROBE (middleware);

  if (self->subject != NULL && STRAND_MIDDLEWARE_GET_IFACE (self->subject)->on_error != NULL)
    STRAND_MIDDLEWARE_GET_IFACE (self->subject)->on_error (self->subject, attempt, error, will_retry);
  g_mutex_lock (&self->lock);
  self->n_on_error++;
  self->n_will_retry += will_retry;
  g_clear_error (&self->error);
  self->error = g_error_copy (error);
  g_mutex_unlock (&self->lock);
}

static void
middleware_init (StrandMiddlewareInterface *iface)
{
  iface->submit = middleware_probe_submit;
  iface->before = middleware_probe_before;
  iface->after = middleware_probe_after;
  iface->on_error = middleware_probe_on_error;
}

static void
middleware_probe_finalize (GObject *object)
{
  MiddlewareProbe *self = MIDDLEWARE_PROBE (object);

  g_clear_object (&self->subject);
  g_clear_pointer (&self->answer, g_variant_unref);
  g_clear_pointer (&self->headers, g_variant_unref);
  g_clear_pointer (&self->value, g_variant_unref);
  g_clear_error (&self->error);
  g_ptr_array_unref (self->held);
  g_mutex_clear (&self->lock);
  G_OBJECT_CLASS (middleware_probe_parent_class)->finalize (object);
}

static void
middleware_probe_class_init (MiddlewareProbeClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = middleware_probe_finalize;
}

static void
middleware_probe_init (MiddlewareProbe *self)
{
  g_mutex_init (&self->lock);
  self->held = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_call_unref);
}
