#!/usr/bin/env bash
# Prepares somebody else's system so that its first start installs Vouchbox and shows the box's code: a Jetson's root file
# system before it is flashed (Linux_for_Tegra/rootfs), or a Raspberry Pi OS card that is mounted.
# Nothing of that system is run here, so any machine will do; the board does the installing itself.
#
#   provisioning/image/prepare.sh ROOT [--camera NAME] [--wheels FOLDER] [--models FOLDER] [--wheel FILE]
#
# The options are those of provisioning/install.sh. With wheels, models and the product's wheel the first start fetches at most
# Debian's or Ubuntu's python3-venv and python3-systemd, if the system lacks them.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../.." && pwd)
root='' camera='' wheels='' models='' wheel=''

fail() { printf 'vouchbox: %s\n' "$*" >&2; exit 2; }

while [ $# -gt 0 ]; do
  case $1 in
    --camera) camera=${2:?}; shift ;;
    --wheels) wheels=${2:?}; shift ;;
    --models) models=${2:?}; shift ;;
    --wheel) wheel=${2:?}; shift ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    -*) fail "what is $1? --help says what there is" ;;
    *) root=$1 ;;
  esac
  shift
done
[ -n "$root" ] || fail "name the root file system: provisioning/image/prepare.sh Linux_for_Tegra/rootfs"
[ -d "$root/etc/systemd/system" ] || fail "$root is no root file system with systemd"
[ "$(id -u)" -eq 0 ] || fail "run this as root: files of root are put into $root"
[ -n "$wheel" ] || fail "the product's wheel is needed: pip wheel --no-deps -w . $repository, then --wheel FILE"

stick=$root/opt/vouchbox-stick
rm -rf "$stick" && mkdir -p "$stick"
cp -r "$repository/provisioning" "$repository/systemd" "$repository/requirements" "$stick/"
find "$stick" -name __pycache__ -prune -exec rm -rf {} +
cp "$wheel" "$stick/"
line="/opt/vouchbox-stick/provisioning/install.sh --no-start --wheel /opt/vouchbox-stick/$(basename "$wheel")"
[ -z "$camera" ] || line+=" --camera \"$camera\""
if [ -n "$wheels" ]; then cp -r "$wheels" "$stick/wheels"; line+=" --wheels /opt/vouchbox-stick/wheels"; fi
if [ -n "$models" ]; then cp -r "$models" "$stick/models"; line+=" --models /opt/vouchbox-stick/models"; fi
cp -r "$here/files/." "$root/"
cat >"$root/etc/systemd/system/vouchbox-install.service" <<UNIT
# Written by provisioning/image/prepare.sh: installs from what lies in /opt/vouchbox-stick, which then goes.
[Unit]
Description=Install Vouchbox
After=local-fs.target network-online.target
Wants=network-online.target
Before=vouchbox-first-boot.service
ConditionPathExists=/opt/vouchbox-stick

[Service]
Type=oneshot
ExecStart=$line
ExecStartPost=rm -rf /opt/vouchbox-stick
StandardOutput=journal+console
TimeoutStartSec=1800
RemainAfterExit=yes

[Install]
WantedBy=multi-user.target
UNIT
wants=$root/etc/systemd/system/multi-user.target.wants
mkdir -p "$wants"
for unit in vouchbox-install vouchbox-first-boot vouchbox-enrol; do
  ln -sf "/etc/systemd/system/$unit.service" "$wants/$unit.service"
done
printf 'vouchbox: %s installs Vouchbox at its first start\n' "$root"
