#!/usr/bin/env bash
# Puts Vouchbox on a box: packages, users, environment, models, units, configuration. Run as root, as often as you like.
#
#   provisioning/install.sh [--camera NAME] [--listen ADDRESS:PORT] [--wheels FOLDER] [--models FOLDER] [--no-packages]
#                           [--wheel FILE] [--no-start] [--root FOLDER]
#   provisioning/install.sh uninstall [--wipe] [--root FOLDER]
#
#   --camera     as vision.camera in the configuration: picamera2 (the default), v4l2:/dev/video0, emulated:standard ...
#   --listen     where the API is to be found; off loopback the gateway wants TLS (gateway.certificate in the configuration)
#   --wheels     a folder with the wheels of requirements/box-*.lock (a stick): nothing is fetched then
#   --models     a folder with the face models, for a box without network
#   --wheel      the product's own wheel; without it, it is built from this checkout
#   --no-packages  leaves the system's packages as they are
#   --root       a folder with another system in it, which is not booted (an image); nothing is started there
#   uninstall    takes off everything but the ledger, the keys and the configuration; --wipe takes those too
#
# A new version gets an environment of its own beside the old one; /opt/vouchbox/current is the one that runs.
set -euo pipefail
# The services read what root puts here; root's own mask may keep it from them.
umask 022

here=$(cd "$(dirname "$0")/.." && pwd)
action=install camera='' listen='' wheels='' models='' wheel='' root='' packages=yes start=yes wipe=no stage=''
services=(vouchbox-{vision,notary,gateway}.service)
units=(vouchbox.target vouchbox-{vision,notary,gateway}.socket "${services[@]}" vouchbox-renew.{timer,service})

say() { printf 'vouchbox: %s\n' "$*"; }
fail() { printf 'vouchbox: %s\n' "$*" >&2; exit 2; }

while [ $# -gt 0 ]; do
  case $1 in
    install | uninstall) action=$1 ;;
    --camera) camera=${2:?--camera needs a name}; shift ;;
    --listen) listen=${2:?--listen needs an address}; shift ;;
    --wheels) wheels=$(realpath "${2:?--wheels needs a folder}"); shift ;;
    --models) models=$(realpath "${2:?--models needs a folder}"); shift ;;
    --wheel) wheel=$(realpath "${2:?--wheel needs a file}"); shift ;;
    --root) root=$(realpath "${2:?--root needs a folder}"); start=no; shift ;;
    --no-packages) packages=no ;;
    --no-start) start=no ;;
    --wipe) wipe=yes ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    *) fail "what is $1? --help says what there is" ;;
  esac
  shift
done
[ "$(id -u)" -eq 0 ] || fail "run this as root: sudo $0"

# Everything below speaks of paths of the target, and runs its programs there.
in_target() { if [ -n "$root" ]; then chroot "$root" "$@"; else "$@"; fi; }
booted() { [ -z "$root" ] && [ -d /run/systemd/system ]; }

uninstall() {
  if booted; then systemctl disable --now "${units[@]}" 2>/dev/null || true; fi
  local unit
  for unit in "${units[@]}"; do
    rm -rf "$root/etc/systemd/system/$unit" "$root/etc/systemd/system/$unit.d"
    rm -f "$root"/etc/systemd/system/*.wants/"$unit"
  done
  rm -f "$root/etc/sysusers.d/vouchbox.conf" "$root/etc/tmpfiles.d/vouchbox.conf"
  rm -f "$root/usr/local/bin/vouchbox" "$root/usr/local/bin/vouchbox-provision"
  rm -rf "$root/opt/vouchbox" "$root/var/lib/systemd/timers/stamp-vouchbox-renew.timer"
  if booted; then systemctl daemon-reload; rm -rf /run/vouchbox; fi
  if [ "$wipe" = yes ]; then
    rm -rf "$root/var/lib/vouchbox" "$root/etc/vouchbox"
    for unit in vision notary gateway; do in_target userdel "vouchbox-$unit" 2>/dev/null || true; done
    say "taken off, with ledger, keys and configuration"
  else
    say "taken off; ledger, keys and models are still in /var/lib/vouchbox, the configuration in /etc/vouchbox"
  fi
}

install_packages() {
  local needed=(python3 python3-venv python3-systemd) missing=() package
  [ "${camera:-picamera2}" = picamera2 ] && in_target apt-cache show python3-picamera2 >/dev/null 2>&1 &&
    needed+=(python3-picamera2)
  [ -e /dev/tpmrm0 ] && needed+=(python3-tpm2-pytss)
  for package in "${needed[@]}"; do
    in_target dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  say "installing ${missing[*]}"
  in_target env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
    { in_target apt-get update -qq &&
      in_target env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; } ||
    fail "these packages could not be installed: ${missing[*]}"
}

# The environment sees the system's packages (picamera2, libcamera, systemd, tpm2-pytss are Debian's).
install_environment() {
  local python arch version lock inside target options=()
  python=$(in_target python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  arch=$(in_target uname -m)
  lock=$here/requirements/box-py$python-$arch.lock
  [ -f "$lock" ] || fail "there is no lock for Python $python on $arch (requirements/); Debian 12 or 13 on a 64-bit board is needed"
  stage=$(mktemp -d "${root:-}/opt/vouchbox-stage.XXXXXX")
  inside=${stage#"$root"}
  trap 'rm -rf "$stage"' EXIT
  cp "$lock" "$stage/requirements.lock"
  if [ -z "$wheel" ]; then
    in_place_wheel "$stage"
  else
    cp "$wheel" "$stage/"
  fi
  wheel=$(basename "$stage"/vouchbox-*.whl)
  version=$(cut -d- -f2 <<<"$wheel")-$(cat "$stage/$wheel" "$lock" | sha256sum | cut -c1-12)
  target=/opt/vouchbox/releases/$version
  if [ ! -e "$root$target/.complete" ]; then
    rm -rf "$root$target"
    [ -z "$wheels" ] || { cp -r "$wheels" "$stage/wheels" && options=(--no-index --find-links "$inside/wheels"); }
    say "making the environment $target"
    in_target python3 -m venv --system-site-packages "$target"
    in_target "$target/bin/python" -m pip --disable-pip-version-check install --quiet --ignore-installed --only-binary=:all: \
      --require-hashes "${options[@]}" -r "$inside/requirements.lock"
    in_target "$target/bin/python" -m pip --disable-pip-version-check install --quiet --no-deps "$inside/$wheel"
  elif [ -z "$models" ]; then
    # Complete, and so without pip, which a model that was taken away since may need again.
    in_target "$target/bin/python" -m ensurepip >/dev/null 2>&1 || true
  fi
  install_models "$target" "$inside"
  in_target "$target/bin/python" -m provisioning.lean
  touch "$root$target/.complete"
  ln -sfn "$target" "$root/opt/vouchbox/next" && mv -T "$root/opt/vouchbox/next" "$root/opt/vouchbox/current"
  mkdir -p "$root/usr/local/bin"
  ln -sf /opt/vouchbox/current/bin/vouchbox /opt/vouchbox/current/bin/vouchbox-provision "$root/usr/local/bin/"
  rm -rf "$stage"
  trap - EXIT
}

# With the source's time in it and not the build's: of the same source it is the same, and so is the environment's name.
in_place_wheel() {
  [ -f "$here/setup.py" ] || fail "this is no checkout: name the product's wheel with --wheel"
  local tools=$1/tools
  export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(source_time)}
  rm -rf "$here/build"
  python3 -m venv "$tools"
  "$tools/bin/pip" --disable-pip-version-check wheel --quiet --no-deps -w "$1" "$here" >"$1/build.log" 2>&1 ||
    { cat "$1/build.log" >&2; fail "the product's wheel cannot be built"; }
  rm -rf "$tools" "$here/build"
}

# Of the newest commit; without git, or in a checkout of somebody else's, of the newest file.
source_time() {
  git -C "$here" log -1 --format=%ct 2>/dev/null ||
    find "$here"/{device,models,provisioning,setup.py} -name __pycache__ -prune -o -type f -printf '%T@\n' |
    sort -n | tail -n 1 | cut -d. -f1
}

# Into the state folder, where every version looks. Those that lie in others' wheels are fetched by pip, with which the
# environment therefore still has to be; a stick's files go with the stage.
install_models() { # ENVIRONMENT STAGE, as the target sees them
  local environment=()
  mkdir -p "$root/var/lib/vouchbox/models"
  if [ -n "$models" ]; then
    cp -r "$models" "$stage/models"
    environment=(VOUCHBOX_MODEL_MIRROR="$2/models")
  fi
  in_target env "${environment[@]}" "$1/bin/vouchbox" models install --into /var/lib/vouchbox/models
}

install_units() {
  local unit folder
  mkdir -p "$root"/etc/{systemd/system,sysusers.d,tmpfiles.d}
  install -m 644 "$here/systemd/sysusers.d/vouchbox.conf" "$root/etc/sysusers.d/"
  install -m 644 "$here/systemd/tmpfiles.d/vouchbox.conf" "$root/etc/tmpfiles.d/"
  for unit in "${units[@]}"; do
    install -m 644 "$here/systemd/$unit" "$root/etc/systemd/system/"
  done
  for unit in "${services[@]}"; do
    folder=$root/etc/systemd/system/$unit.d
    if [ "$(in_target systemctl --version | awk 'NR==1 {print $2}')" -ge 254 ]; then
      mkdir -p "$folder" && install -m 644 "$here/systemd/drop-ins/back-off.conf" "$folder/"
    fi
  done
  if [ -n "$listen" ]; then
    folder=$root/etc/systemd/system/vouchbox-gateway.socket.d
    mkdir -p "$folder"
    # FreeBind: the address may be there only after the network is up.
    printf '[Socket]\nListenStream=\nListenStream=%s\nFreeBind=yes\n' "$listen" >"$folder/listen.conf"
  fi
  in_target systemd-sysusers vouchbox.conf
  in_target systemd-tmpfiles --create vouchbox.conf
}

# Written once; from then on it is the technician's. Root may connect too: it is who asks after the box's health.
install_configuration() {
  local file=$root/etc/vouchbox/config.toml users
  [ ! -e "$file" ] || return 0
  users=$(in_target id -u vouchbox-vision), users+=$(in_target id -u vouchbox-notary),
  users+=$(in_target id -u vouchbox-gateway)
  cat >"$file" <<TOML
[box]
users = [0, $(sed 's/,/, /g' <<<"$users")]

[vision]
camera = "${camera:-picamera2}"

# Not in the state folder, of which the gateway sees nothing.
[gateway]
relying_parties = "/etc/vouchbox/relying-parties.toml"
TOML
  say "wrote /etc/vouchbox/config.toml"
}

if [ "$action" = uninstall ]; then uninstall; exit 0; fi
[ "$packages" = no ] || install_packages
mkdir -p "$root/opt/vouchbox/releases"
install_environment
install_units
install_configuration
if booted; then
  systemctl daemon-reload
  systemctl enable --quiet "${units[@]}"
  # Whatever else is to wait: it does nothing on a box that has no certificate.
  systemctl start vouchbox-renew.timer
  [ "$start" = no ] || systemctl restart vouchbox.target
else
  in_target systemctl enable --quiet "${units[@]}"
fi
say "installed; next: vouchbox-provision init"
