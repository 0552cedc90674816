/* command.h — what the files of the strand command share.
 *
 * Each subcommand is one Command in the table of main.c and one function in the file of its family. Whatever
 * it prints goes through output.c, whatever it complains about through session_complain(), so that broken
 * pipes, `--json`, `-q` and the progress bar are dealt with once.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <strand-plugin.h>

G_BEGIN_DECLS

/* The exit statuses, which scripts rely on. */
typedef enum
{
  STATUS_DONE = 0,
  STATUS_FAILED = 1, /* a call failed, or something that the user could not foresee */
  STATUS_USAGE = 2,  /* the command line or the configuration is to be mended */
  STATUS_TIMED_OUT = 3,
  STATUS_NO_KEY = 4,
  STATUS_CANCELLED = 5,
} Status;

/* options.c: words of the command line to options and arguments. */

typedef enum
{
  OPTION_FLAG,     /* gboolean */
  OPTION_TEXT,     /* char *, borrowed: any bytes */
  OPTION_LIST,     /* GPtrArray * of borrowed char *; made when needed */
  OPTION_NUMBER,   /* gint64, 0 or more */
  OPTION_DURATION, /* gint64, µs */
} OptionType;

typedef struct
{
  char letter; /* 0 for none */
  const char *name;
  OptionType type;
  gpointer target;
  const char *value_name;
  const char *help;
} Option;

/* Takes the options of all @tables (each ends in a name NULL) out of @words, which keeps the arguments. */
gboolean options_parse (GPtrArray *words, const Option *const *tables, GError **error);
/* Whether @word is an option whose value is the next word. */
gboolean options_takes_next (const char *word, const Option *const *tables);
void options_print_help (const Option *table);

/* session.c: the stack, functions and stores that the global options choose. */

typedef struct _Command Command;

typedef struct
{
  const Command *command;
  char *config;
  GPtrArray *modules;
  char *backend;
  gboolean json;
  gboolean quiet;
  gboolean help;
  gboolean version;
  StrandStack *stack; /* NULL before session_load() */
} Session;

struct _Command
{
  const char *name;
  Status (*run) (Session *session, char **arguments);
  const char *usage;          /* after the name */
  const char *summary;        /* one line */
  const char *details;        /* whole lines, or NULL */
  const char *example;        /* whole lines */
  const Option *options;      /* may be NULL */
  const Option *more_options; /* that several commands share; may be NULL */
};

gboolean session_load_stack (Session *session, GError **error);
gboolean session_load (Session *session, GError **error);
StrandFunction *session_lookup (Session *session, const char *name, GError **error);
StrandTask *session_make_task (Session *session, StrandFunction *function, GObject **target, GError **error);
StrandStore *session_ref_store (Session *session, GError **error);
void session_close (Session *session);

/* Says on stderr what went wrong; @error is the reason. Returns the status that belongs to it. */
Status session_complain (const GError *error);
void session_say (const char *format, ...) G_GNUC_PRINTF (1, 2);
Status session_usage (Session *session, const char *format, ...) G_GNUC_PRINTF (2, 3);

/* The exit status of an error of ours, and of a call that ended with @error. */
Status status_of_error (const GError *error);
Status status_of_call (StrandStatus status, const GError *error);

/* arguments.c: text to values of a declared type. */

GVariant *arguments_parse (StrandFunction *function, const char *const *texts, const char *const *keywords,
                           GError **error);
gboolean arguments_is_one_string (StrandFunction *function);

/* call-options.c: what may be said of one call, whoever runs it. */

extern const Option call_options[];
StrandOptions *call_options_make (void);
/* The function that arguments[0] names, and the others as its tuple; NULL with an error. */
GVariant *call_options_parse (Session *session, char **arguments, StrandFunction **function, GError **error);

/* notify.c: what a service manager is told, by the protocol of sd_notify(3). */

void notify_say (const char *format, ...) G_GNUC_PRINTF (1, 2);
/* How often the service manager wants to hear "WATCHDOG=1", in µs; 0 for never. */
gint64 notify_get_watchdog (void);

/* input.c: a stream of lines, read no faster than they are used. */

typedef struct _Input Input;

Input *input_open (const char *name, char separator, GError **error);
void input_free (Input *self);
/* The next piece without its separator, or NULL: at the end, with @error, or, if the future is still open,
 * because more has to be read first: then @ready is called once, in the main context. */
GBytes *input_next (Input *self, GSourceOnceFunc ready, gpointer user_data, GError **error);
gboolean input_is_at_end (Input *self);
/* How much of a regular file has been handed out, 0 to 1; -1 where nobody knows how much there is. */
double input_get_fraction (Input *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Input, input_free)

/* output.c: what goes to stdout. */

void output_text (const char *text);
void output_format (const char *format, ...) G_GNUC_PRINTF (1, 2);
void output_length (const char *text, gsize length);
void output_value (GVariant *value); /* a line; nothing for `()` */
char *output_dup_value_text (GVariant *value);
char *output_dup_printable (const char *text);
void output_json (GString *json); /* a line; consumes @json */
void output_json_member (GString *json, const char *name, const char *text);
void output_json_error (GString *json, const GError *error);
/* Writes what is buffered. FALSE once nobody reads any more, or nothing can be written. */
gboolean output_flush (void);
Status output_finish (Status status);

/* A table: aligned columns with headings on a terminal, else tab-separated lines without. */
typedef struct _Table Table;
Table *table_new (const char *first_heading, ...) G_GNUC_NULL_TERMINATED;
void table_add (Table *self, const char *first, ...);
void table_print (Table *self); /* and empties it */
void table_free (Table *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Table, table_free)

char *output_dup_time (gint64 time_us);
char *output_dup_duration (gint64 duration_us);

/* progress.c: one line at the bottom of a terminal. */

void progress_init (gboolean quiet);
gboolean progress_is_shown (void);
/* @fraction: 0 to 1, or -1 for unknown. Draws at most some times a second. */
void progress_set (double fraction, const char *text);
/* Before and at the end of whatever else is printed: the line goes away; the next progress_set() draws it. */
void progress_hide (void);

/* interrupt.c: Ctrl-C. */

typedef void (*InterruptFunc) (gpointer user_data);

/* The first SIGINT or SIGTERM calls @func in the main context, the second ends the program. */
void interrupt_catch (InterruptFunc func, gpointer user_data);
/* While the main context is busy with a call that runs inline, the first one ends the program, too. */
void interrupt_set_inline (gboolean is_inline);

/* plugins.c: what a type's file says of it; NULL if no file on the search path provides it. */

StrandPluginInfo *plugins_find (StrandKind kind, const char *type);

/* The families. */

extern const Option run_options[], map_options[], result_options[], wait_options[], list_options[], import_options[],
    inspect_options[], conformance_options[], launch_options[], worker_options[], queue_options[];

Status run_run (Session *session, char **arguments);
Status launch_run (Session *session, char **arguments);
Status worker_run (Session *session, char **arguments);
Status map_run (Session *session, char **arguments);
Status schedule_run (Session *session, char **arguments);
Status queue_run (Session *session, char **arguments);
Status records_status (Session *session, char **arguments);
Status records_show (Session *session, char **arguments);
Status records_result (Session *session, char **arguments);
Status records_wait (Session *session, char **arguments);
Status records_cancel (Session *session, char **arguments);
Status records_retry (Session *session, char **arguments);
Status records_list (Session *session, char **arguments);
Status import_run (Session *session, char **arguments);
Status records_cleanup (Session *session, char **arguments);
Status plugins_list (Session *session, char **arguments);
Status plugins_inspect (Session *session, char **arguments);
Status conformance_run (Session *session, char **arguments);
Status new_run (Session *session, char **arguments);
Status stack_check (Session *session, char **arguments);
Status stack_draw (Session *session, char **arguments);
Status stack_functions (Session *session, char **arguments);

G_END_DECLS
