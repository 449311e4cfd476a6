#!/bin/sh
# Installs what cachestorm needs and what is missing: a C compiler and a redis-server; for the tests
# (SETUP_FOR=tests) memcached, which a run needs only for scenarios that name it, and nginx, which is the
# tests' example of a service that is not ours.
#
# Called by `make setup` and by every target that builds. Says nothing when nothing is missing,
# asks no question, and leaves no service running that did not run before. With --redis among its
# arguments (those of `cachestorm run`) no redis-server is needed.
set -eu

say() {
  printf 'setup: %s\n' "$*" >&2
}

fail() {
  say "$*"
  exit 1
}

has() {
  command -v "$1" >/dev/null 2>&1
}

# Runs a command as root: directly, or through sudo if it asks for no password.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif has sudo && sudo -n true 2>/dev/null; then
    sudo -n "$@"
  else
    return 1
  fi
}

apt_install() {
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y --no-install-recommends "$@" </dev/null >&2
}

# install APT_PACKAGE BREW_FORMULA; one of them may be empty.
install() {
  if [ -n "$1" ] && has apt-get; then
    say "installing $1"
    apt_install "$1" && return 0
    # The package lists may be old or absent.
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update </dev/null >&2 || return 1
    apt_install "$1"
  elif [ -n "$2" ] && has brew; then
    say "installing $2"
    HOMEBREW_NO_AUTO_UPDATE=1 brew install "$2" </dev/null >&2
  else
    return 1
  fi
}

has_redis() {
  has redis-server || has valkey-server
}

# Debian starts and enables the service with the package. We start our own servers on free ports,
# so a service that only came with our installation has no use.
stop_service() {
  if has systemctl && [ -d /run/systemd/system ]; then
    as_root systemctl disable --now "$1" >/dev/null 2>&1 || true
  elif [ -x "/etc/init.d/$1" ]; then
    as_root "/etc/init.d/$1" stop >/dev/null 2>&1 || true
  fi
}

wants_redis() {
  for argument in "$@"; do
    case "$argument" in
      --redis | --redis=*) return 1 ;;
    esac
  done
}

has cargo || fail "cargo is missing: install Rust from https://rustup.rs and try again"

if ! has cc && ! has gcc && ! has clang; then
  install build-essential "" ||
    fail "a C compiler is missing: install build-essential (macOS: xcode-select --install)"
fi

if wants_redis "$@" && ! has_redis; then
  if install redis-server redis && has_redis; then
    if has apt-get; then stop_service redis-server; fi
  else
    fail "redis-server is missing: install redis or valkey, or give a server with --redis URL"
  fi
fi

if [ "${SETUP_FOR:-run}" = tests ] && ! has memcached; then
  if install memcached memcached && has memcached; then
    if has apt-get; then stop_service memcached; fi
  else
    fail "memcached is missing: install it; the tests start one"
  fi
fi

# Debian keeps it where not every PATH leads.
has_nginx() {
  has nginx || [ -x /usr/sbin/nginx ]
}

if [ "${SETUP_FOR:-run}" = tests ] && ! has_nginx; then
  if install nginx-light nginx && has_nginx; then
    if has apt-get; then stop_service nginx; fi
  else
    fail "nginx is missing: install it; the tests start one"
  fi
fi
