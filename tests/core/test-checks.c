/* test-checks.c — each safety check keeps a call away from where it would do harm, until it is switched off
 * by name.
 *
 * The program is its own helper: what it registers could run in another process.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "call-fixture.h"

#include <string.h>

static const struct
{
  const char *function;
  const char *runner;
  StrandChecks check;
} cases[] = {
  { "check.main", "thread", STRAND_CHECK_MAIN_THREAD },
  { "check.main", "coroutine", STRAND_CHECK_MAIN_THREAD },
  { "check.main", "process", STRAND_CHECK_MAIN_THREAD },
  { "check.single", "thread", STRAND_CHECK_REENTRANT },
  { "check.single", "coroutine", STRAND_CHECK_REENTRANT },
  { "check.local", "process", STRAND_CHECK_PORTABLE },
  { "check.object", "process", STRAND_CHECK_OBJECTS },
};

static StrandHandle *
call (const char *name, gpointer target, StrandChecks checks)
{
  g_autoptr(StrandFunction) function = fixture_function (name);
  g_autoptr(StrandTask) task = strand_task_new (function, target);

  g_object_set (task, "checks", checks, NULL);
  return strand_task_call (task, NULL);
}

static void
check_target (const char *function, gpointer target, StrandChecks check)
{
  g_autoptr(StrandHandle) checked = call (function, target, STRAND_CHECK_ALL);
  g_autoptr(StrandHandle) alone = call (function, target, check);
  g_autoptr(StrandHandle) overridden = call (function, target, STRAND_CHECK_ALL & ~check);

  wait_until (strand_handle_is_ready (checked));
  g_assert_error (strand_handle_get_error (checked), STRAND_ERROR, STRAND_ERROR_UNSAFE);
  wait_until (strand_handle_is_ready (alone));
  g_assert_error (strand_handle_get_error (alone), STRAND_ERROR, STRAND_ERROR_UNSAFE);
  wait_until (strand_handle_is_ready (overridden));
  g_assert_no_error (strand_handle_get_error (overridden));
  g_assert_null (strand_handle_get_object (overridden)); /* an object stays where it was made */
}

/* On the bare runner, and behind a backend. */
static void
test_a_check_and_its_override (gconstpointer data)
{
  guint i = GPOINTER_TO_UINT (data);
  StrandTaskrunner *runner = make_runner (cases[i].runner, NULL);
  StrandStore *store = make_store ("memory", NULL);
  StrandBackend *backend = make_backend ("local", "store", store, "taskrunner", runner, NULL);

  check_target (cases[i].function, runner, cases[i].check);
  check_target (cases[i].function, backend, cases[i].check);
  close_backend (backend);
  close_runner (runner);
  strand_store_close (store);
  g_object_unref (store);
}

static GVariant *
count_arguments (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  return g_variant_new_uint32 ((guint32) g_variant_n_children (arguments));
}

static void
test_types (void)
{
  StrandTaskrunner *runner = make_runner ("thread", NULL);
  g_autoptr(StrandFunction) function = strand_function_new (
      "check.types", "a:x -> u", NULL, STRAND_TRAIT_NONE, count_arguments, NULL, NULL, NULL);
  g_autoptr(StrandTask) task = strand_task_new (function, G_OBJECT (runner));
  g_autoptr(StrandHandle) checked = strand_task_call (task, "(ss)", "not", "one number");
  g_autoptr(StrandHandle) overridden = NULL;
  g_autoptr(GVariant) value = NULL;

  wait_until (strand_handle_is_ready (checked));
  g_assert_error (strand_handle_get_error (checked), STRAND_ERROR, STRAND_ERROR_TYPE);
  g_object_set (task, "checks", STRAND_CHECK_ALL & ~STRAND_CHECK_TYPES, NULL);
  overridden = strand_task_call_value (task, g_variant_new ("(ss)", "not", "one number"));
  wait_until (strand_handle_is_ready (overridden));
  g_assert_no_error (strand_handle_get_error (overridden));
  value = strand_handle_get_result (overridden, NULL);
  g_assert_cmpuint (g_variant_get_uint32 (value), ==, 2);
  g_clear_object (&task);
  close_runner (runner);
}

/* `traits` stands for its three. */
static void
test_traits_are_three_checks (void)
{
  g_assert_cmpuint (STRAND_CHECK_TRAITS, ==,
                    (guint) (STRAND_CHECK_MAIN_THREAD | STRAND_CHECK_REENTRANT | STRAND_CHECK_PORTABLE));
}

static GVariant *
nothing (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  return NULL;
}

static GVariant *
object (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  strand_context_take_object (context, g_object_new (G_TYPE_OBJECT, NULL));
  return NULL;
}

static gboolean
register_functions (StrandRegistry *registry, GError **error)
{
  const struct
  {
    const char *name;
    const char *signature;
    StrandTraits traits;
    StrandFunc func;
  } functions[] = {
    { "check.main", "", STRAND_TRAIT_MAIN_THREAD_ONLY, nothing },
    { "check.single", "", STRAND_TRAIT_NOT_REENTRANT, nothing },
    { "check.local", "", STRAND_TRAIT_NOT_PORTABLE, nothing },
    { "check.object", "-> object", STRAND_TRAIT_NONE, object },
  };

  for (guint i = 0; i < G_N_ELEMENTS (functions); i++)
    {
      g_autoptr(StrandFunction) function =
          strand_function_new (functions[i].name, functions[i].signature, NULL, functions[i].traits,
                               functions[i].func, NULL, NULL, error);

      if (function == NULL || !strand_registry_add_function (registry, function, error))
        return FALSE;
    }
  return TRUE;
}

int
main (int argc, char **argv)
{
  strand_helper_main (argc, argv, register_functions);
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *path =
          g_strdup_printf ("/checks/%s/on-%s", cases[i].function + strlen ("check."), cases[i].runner);

      g_test_add_data_func (path, GUINT_TO_POINTER (i), test_a_check_and_its_override);
    }
  g_test_add_func ("/checks/types", test_types);
  g_test_add_func ("/checks/traits-are-three-checks", test_traits_are_three_checks);
  return g_test_run ();
}
