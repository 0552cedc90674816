/* run-process-fixture.h — a folder, processes to start, and who is still there.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "call-fixture.h"

/* Longer than any test, so that whoever waits for it has failed. */
#define FOREVER "3600"

/* How long a program lasts, or leaves a thing half done, so that whoever waits for it has most likely begun
 * to. Nothing but what is tried depends on it: the test holds as well where that takes longer or comes at
 * once. */
#define A_WHILE "0.1"

typedef struct
{
  char *folder;
} Fixture;

#define ADD_DATA(path, data, func) g_test_add ("/run-process/" path, Fixture, data, set_up, func, tear_down)
#define ADD(path, func) ADD_DATA (path, NULL, func)

void set_up (Fixture *f, gconstpointer unused);
void tear_down (Fixture *f, gconstpointer unused);

char *in_folder (Fixture *f, const char *name);

/* A shell with the fixture's folder as $1. */
StrandProcess *make_shell (Fixture *f, const char *script);

/* A pipe in the folder, from which a shell reads that is to wait for its other end. Has the shell go on, once
 * it reads there. */
void make_pipe (Fixture *f, const char *name);
void tell (Fixture *f, const char *name);

/* Makes one, and has the shell go on once whoever starts the process knows that it runs. */
GThread *tell_when_started (Fixture *f, StrandProcess *process, const char *name);

/* With success. */
void start (StrandProcess *process);
void end (StrandProcess *process);

void assert_start_fails (StrandProcess *process, GQuark domain, int code, const char *expected);

/* Who is there, zombies aside. */
guint count_group (int wanted);
gboolean is_there (int pid);

/* A number that a process writes; 0 until its line is whole. */
int read_number (Fixture *f, const char *name);

guint count_descriptors (void);

/* A port that is free, as far as anybody can know. */
guint16 find_port (void);
