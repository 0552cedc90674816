#!/bin/sh
# setup.sh [PACKAGE…] — sees to it that this machine can build strand.
#
# Installs the Debian packages that building needs, and those named, unless all are there already; where
# apt-get is not the way, it looks for the tools themselves and names what is missing. Says nothing and
# changes nothing when nothing is missing. Exit status: 0 ready; 2 something is missing and stays so.
#                                                  SPDX-License-Identifier: LGPL-2.1-or-later
set -eu

packages="gcc libc6-dev libglib2.0-dev libltdl-dev libsqlite3-dev libhiredis-dev meson ninja-build pkg-config $*"

missing_packages () {
  for package in $packages; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || status=
    [ "$status" = installed ] || printf '%s ' "$package"
  done
}

# As root, or through sudo; the caller has seen that one of them is possible.
privileged () {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  else
    sudo "$@"
  fi
}

install_packages () {
  if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
    echo "setup.sh: these packages are missing: $1" >&2
    echo "setup.sh: run 'apt-get install $1' as root, or install sudo, then try again" >&2
    exit 2
  fi
  echo "setup.sh: installing $1" >&2
  # The list is split into words on purpose. A stale mirror list is the usual reason why an update fails
  # in part, and what is needed may be there all the same, so only the installation decides.
  privileged apt-get update -q >&2 || true
  # shellcheck disable=SC2086
  if ! privileged env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $1 >&2; then
    echo "setup.sh: could not install $1; see apt-get's messages above" >&2
    exit 2
  fi
}

# Another distribution: what is there is found by its use, what is not is named in the words of three of them.
missing_tools () {
  command -v cc >/dev/null || command -v gcc >/dev/null || printf 'gcc, '
  command -v meson >/dev/null || printf 'meson, '
  command -v ninja >/dev/null || command -v ninja-build >/dev/null || printf 'ninja, '
  if ! command -v pkg-config >/dev/null; then
    printf 'pkg-config, GLib 2.74 for developers, '
  elif ! pkg-config --exists 'gio-unix-2.0 >= 2.74'; then
    printf 'GLib 2.74 for developers, '
  fi
  [ -e /usr/include/ltdl.h ] || [ -e /usr/local/include/ltdl.h ] || printf 'libltdl for developers, '
}

if command -v apt-get >/dev/null && command -v dpkg-query >/dev/null; then
  missing=$(missing_packages)
  if [ -n "$missing" ]; then
    install_packages "${missing% }"
  fi
else
  missing=$(missing_tools)
  if [ -n "$missing" ]; then
    {
      echo "setup.sh: missing here: ${missing%, }"
      echo "setup.sh: install them, then try again:"
      echo "  Debian:  apt-get install ${packages% }"
      echo "  Fedora:  dnf install gcc meson ninja-build pkgconf-pkg-config glib2-devel libtool-ltdl-devel"
      echo "  Arch:    pacman -S gcc meson ninja pkgconf glib2 glib2-devel libtool"
    } >&2
    exit 2
  fi
fi
