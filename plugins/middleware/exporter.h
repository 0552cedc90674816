/* exporter.h — brings what a middleware has gathered out of the program, now and then.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct _Exporter Exporter;

/* Writes what there is; FALSE: to be tried again after the interval. Runs on the exporter's thread, in
 * exporter_flush() and at the program's exit, never twice at once; may block. */
typedef gboolean (*ExporterFunc) (gpointer data);

/* @name: the thread's; static. Starts nothing. @data must live until exporter_free(). */
Exporter *exporter_new (const char *name, gint64 interval_us, ExporterFunc func, gpointer data);

/* There is something new: it is exported within the interval. Any thread; one atomic read if that is known.
 */
void exporter_touch (Exporter *self);

/* As exporter_touch(), but at once: a buffer is getting full. Does not wait. */
void exporter_hurry (Exporter *self);

/* Exports here and now, new or not. Blocks. */
void exporter_flush (Exporter *self);

/* Exports here and now what is new, and waits for an export that is under way. Blocks. */
void exporter_drain (Exporter *self);

/* Exports what is new, then ends. Blocks; not on the exporter's thread. */
void exporter_free (Exporter *self);

G_END_DECLS
