/* sum.cpp — a function of C++ in a thread.              SPDX-License-Identifier: LGPL-2.1-or-later */

#include <iostream>
#include <strand.h>

static GVariant *
add (StrandContext *context, GVariant *arguments, gpointer user_data, GError **error)
{
  gint64 a, b;

  g_variant_get (arguments, "(xx)", &a, &b);
  return g_variant_new_int64 (a + b);
}

int
main ()
{
  g_autoptr(GError) error = nullptr;
  g_autoptr(StrandTask) task = nullptr;
  g_autoptr(StrandHandle) handle = nullptr;
  g_autoptr(GVariant) sum = nullptr;

  if (strand_registry_add (strand_registry_get_default (), "sum.add", "a:x b:x -> x", "The sum", add, nullptr, nullptr, &error))
    task = strand_as_task ("sum.add", "thread", &error, nullptr);
  if (task != nullptr)
    {
      handle = strand_task_call (task, "(xx)", gint64 { 40 }, gint64 { 2 });
      if (strand_handle_wait (handle, 30 * G_USEC_PER_SEC, &error))
        sum = strand_handle_get_result (handle, &error);
    }
  if (sum == nullptr)
    {
      std::cerr << "sum: " << error->message << '\n';
      return 1;
    }
  std::cout << g_variant_get_int64 (sum) << '\n';
}
