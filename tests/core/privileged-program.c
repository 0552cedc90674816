/* privileged-program.c — says what strand sees of the environment; test-trust gives copies of it more rights.
 *
 * Linked with strand's source and not its library, because such a program finds no uninstalled library.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "strand-trust-private.h"

#include <stdio.h>

int
main (void)
{
  const char *value = strand_trust_getenv ("STRAND_PLUGIN_PATH");

  printf ("%s%s\n", strand_trust_is_privileged () ? "privileged: " : "", value != NULL ? value : "nothing");
  return 0;
}
