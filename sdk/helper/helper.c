/* helper.c — the program that runs function modules for a `process` taskrunner.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include <strand.h>

int
main (int argc, char **argv)
{
  strand_helper_main (argc, argv, NULL);
  g_printerr ("strand-helper is started by a process taskrunner, not by hand\n");
  return 2;
}
