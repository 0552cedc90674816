/* gearman-wire.h — what the Gearman backend and its worker say to each other, as payloads of Gearman's packets.
 *
 * A function of strand is a function of Gearman of the same name. Everything is JSON, exact for every type (see
 * docs/record-format.md), so that a worker can be written in any language Gearman has a library for:
 *
 *   SUBMIT_JOB     the arguments, headers, key and attempt: [[2, 3], {}, "KEY", 1]
 *   WORK_DATA      news, a name and a value of any type:
 *                  "begun"     s      the worker, before anything else: "HOST-PID"
 *                  "item"      v      what the function emitted
 *                  "message"   s      what it is doing
 *                  "metadata"  a{sv}  all that it has set
 *                  "error"     (sis)  domain, code and message; WORK_FAIL follows
 *   WORK_STATUS    progress, in millionths
 *   WORK_COMPLETE  the value; empty where there is none
 *
 * Gearman cannot stop a job. A worker therefore serves one more function, `strand-stop@` and its own name: a job of that
 * is the key of the call that is to stop.               SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <strand-plugin.h>

#define GEARMAN_STOP_PREFIX "strand-stop@"
#define GEARMAN_WHOLE 1000000

GVariantType *gearman_wire_job_type (StrandFunction *function);

char *gearman_wire_write (GVariant *value, GError **error);
GVariant *gearman_wire_read (gconstpointer data, gsize size, const GVariantType *type, GError **error);

GVariant *gearman_wire_from_error (const GError *error);
GError *gearman_wire_to_error (GVariant *value);
