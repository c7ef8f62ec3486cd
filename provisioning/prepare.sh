#!/usr/bin/env bash
# Makes a virtual environment, installing what the system lacks where it may, and saying what to do where it may not.
#   provisioning/prepare.sh PYTHON FOLDER [DEBIAN-PACKAGE...]
set -euo pipefail
python=$1
folder=$2

say() { printf 'vouchbox: %s\n' "$*" >&2; }

install() { # Debian packages
  if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    say "installing $* from Debian"
    apt-get install -y -qq "$@" >/dev/null || { apt-get update -qq && apt-get install -y -qq "$@" >/dev/null; }
  else
    say "this needs the packages: $*"
    say "install them with: sudo apt-get install $*"
    exit 1
  fi
}

command -v "$python" >/dev/null || install python3 python3-venv
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  say "$("$python" --version) is too old: Vouchbox needs Python 3.11 or newer (Debian 12, Raspberry Pi OS bookworm)."
  say "If a newer one is installed, name it: make PYTHON=python3.12 ..."
  exit 1
fi
"$python" -c 'import ensurepip, venv' 2>/dev/null || install python3-venv
[ -x "$folder/bin/python" ] || "$python" -m venv "$folder"

# Debian packages that a target needs besides.
lacking=()
for package in "${@:3}"; do
  dpkg-query --show --showformat='${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' || lacking+=("$package")
done
[ "${#lacking[@]}" -eq 0 ] || install "${lacking[@]}"
