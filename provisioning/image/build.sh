#!/usr/bin/env bash
# Makes the file system of a box: Debian for arm64 with Vouchbox installed and a first start that makes the box's identity.
# Run as root on Debian or Ubuntu with mmdebstrap, and qemu-user-static where the machine is not arm64 itself.
#
#   provisioning/image/build.sh TARGET.tar [--suite trixie] [--arch arm64] [--mirror URL] [--camera NAME] [--wheels FOLDER]
#                               [--models FOLDER] [--wheel FILE]
#
# TARGET.tar is unpacked onto the root partition that Raspberry Pi Imager, rpi-image-gen or a Jetson's flash tool made; the
# boot partition stays theirs. --wheels, --models and --wheel are given on to provisioning/install.sh: with them, nothing is
# fetched but Debian's packages.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../.." && pwd)
target='' suite=trixie arch=arm64 mirror=http://deb.debian.org/debian options=()

fail() { printf 'vouchbox: %s\n' "$*" >&2; exit 2; }

while [ $# -gt 0 ]; do
  case $1 in
    --suite) suite=${2:?}; shift ;;
    --arch) arch=${2:?}; shift ;;
    --mirror) mirror=${2:?}; shift ;;
    --camera | --wheels | --models | --wheel) options+=("$1" "${2:?}"); shift ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    -*) fail "what is $1? --help says what there is" ;;
    *) target=$1 ;;
  esac
  shift
done
[ -n "$target" ] || fail "name the file to write: provisioning/image/build.sh box.tar"
[ "$(id -u)" -eq 0 ] || fail "run this as root: a file system with its owners is made"
command -v mmdebstrap >/dev/null || fail "mmdebstrap is not installed: apt install mmdebstrap qemu-user-static"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
packages=$(sed 's/#.*//' "$here/packages.txt" | xargs | tr ' ' ',')
mmdebstrap --variant=minbase --architectures="$arch" --include="$packages" --format=directory \
  "$suite" "$folder/root" "$mirror"
"$repository/provisioning/install.sh" --root "$folder/root" --no-packages "${options[@]}"
cp -r "$here/files/." "$folder/root/"
chroot "$folder/root" systemctl enable vouchbox-first-boot.service vouchbox-renew.timer
# Nothing that every box of the image would have in common: identities are made at the first start.
rm -rf "$folder"/root/etc/machine-id "$folder"/root/etc/ssh/ssh_host_* "$folder"/root/var/lib/vouchbox/{ueid,keys/*}
: >"$folder/root/etc/machine-id"
tar --numeric-owner --xattrs -C "$folder/root" -cf "$target" .
printf 'vouchbox: %s, %s\n' "$target" "$(du -h "$target" | cut -f1)"
