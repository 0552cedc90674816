/* progress.c — one line at the bottom of a terminal that says how far things are.
 *
 * Only where stderr is a terminal: a log file wants no bars. All on the main thread.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "command.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Ten a second: smooth enough to watch, and nothing beside the work. */
#define DRAW_INTERVAL_US (G_USEC_PER_SEC / 10)

#define DEFAULT_COLUMNS 80
#define BAR_COLUMNS 24

static struct
{
  gboolean enabled;
  gboolean drawn;
  gint64 drawn_us;
} progress;

void
progress_init (gboolean quiet)
{
  progress.enabled = !quiet && isatty (STDERR_FILENO);
}

gboolean
progress_is_shown (void)
{
  return progress.enabled;
}

static guint
get_columns (void)
{
  struct winsize size;

  if (ioctl (STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
    return size.ws_col;
  return DEFAULT_COLUMNS;
}

static void
append_bar (GString *line, double fraction)
{
  guint filled = (guint) (CLAMP (fraction, 0, 1) * BAR_COLUMNS + 0.5);

  g_string_append_c (line, '[');
  for (guint i = 0; i < BAR_COLUMNS; i++)
    g_string_append_c (line, i < filled ? '#' : '.');
  g_string_append_printf (line, "] %3d %%  ", (int) (CLAMP (fraction, 0, 1) * 100));
}

/* What a terminal shows in one line: no control characters, and no more than fits. */
static void
append_text (GString *line, const char *text)
{
  g_autofree char *valid = g_utf8_make_valid (text, -1);
  glong room = (glong) get_columns () - 1 - g_utf8_strlen (line->str, (gssize) line->len);

  for (const char *p = valid; *p != '\0' && room > 0; p = g_utf8_next_char (p), room--)
    g_string_append_unichar (line, g_unichar_iscntrl (g_utf8_get_char (p)) ? '?' : g_utf8_get_char (p));
}

void
progress_set (double fraction, const char *text)
{
  g_autoptr(GString) line = NULL;
  gint64 now_us = g_get_monotonic_time ();

  if (!progress.enabled || (progress.drawn_us != 0 && now_us - progress.drawn_us < DRAW_INTERVAL_US))
    return;
  line = g_string_new (NULL);
  if (fraction >= 0)
    append_bar (line, fraction);
  append_text (line, text);
  /* To the start of the line, and what was longer before is erased. */
  fprintf (stderr, "\r%s\033[K", line->str);
  fflush (stderr);
  progress.drawn = TRUE;
  progress.drawn_us = now_us;
}

void
progress_hide (void)
{
  if (!progress.drawn)
    return;
  fputs ("\r\033[K", stderr);
  fflush (stderr);
  progress.drawn = FALSE;
}
