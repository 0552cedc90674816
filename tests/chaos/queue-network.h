/* queue-network.h — two hosts and the line between them, in network namespaces of their own.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Where this host is for the other one. */
#define NETWORK_ADDRESS "10.0.0.1"

typedef struct _Network Network;

/* Makes this process the first host, and another one without anybody. NULL where the machine does not allow
 * it. Before there are threads. */
Network *network_new (void);
void network_free (Network *self);

/* Moves this process to the other host; FALSE if that fails. May be called between fork and exec. */
gboolean network_cross (Network *self);

/* While the line is cut, what is sent over it is lost; who is connected is not told. */
void network_cut (Network *self, gboolean cut);

G_END_DECLS
