#!/usr/bin/env bash
# Makes a box: Debian with Vouchbox installed, whose first start makes its identity and shows its code.
# Run as root on Debian or Ubuntu with mmdebstrap, and qemu-user-static where the machine is not arm64 itself.
#
#   provisioning/image/build.sh TARGET [options]
#
#   TARGET ends in .tar   the root file system: for another board's boot loader, or a container
#   TARGET ends in .img   a whole disk for an SD card or NVMe of a Raspberry Pi (Debian's kernel and firmware), as it is
#
#   --suite trixie        Debian's release            --arch arm64           its architecture
#   --mirror URL          Debian's mirror             --camera NAME          as vision.camera in the configuration
#   --admin-key FILE      an SSH public key for the user vouchbox-admin, by whom Ansible comes; else nobody can log in
#   --source LINE         one more line of sources.list (Raspberry Pi's own packages); --packages A,B from there
#   --wheels, --models, --wheel FOLDER|FILE  as of provisioning/install.sh: with them nothing but Debian is fetched
#
# The boot partition of an .img takes a file vouchbox-enrolment (provisioning/image/files/usr/local/sbin/vouchbox-first-boot
# says what is in it): one image for a thousand boxes, which the organisation then approves by the code on their screens.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../.." && pwd)
target='' suite=trixie arch=arm64 mirror=http://deb.debian.org/debian options=() admin='' sources=() more=''

fail() { printf 'vouchbox: %s\n' "$*" >&2; exit 2; }
say() { printf 'vouchbox: %s\n' "$*"; }

while [ $# -gt 0 ]; do
  case $1 in
    --suite) suite=${2:?}; shift ;;
    --arch) arch=${2:?}; shift ;;
    --mirror) mirror=${2:?}; shift ;;
    --admin-key) admin=$(realpath "${2:?}"); shift ;;
    --source) sources+=("${2:?}"); shift ;;
    --packages) more=${2:?}; shift ;;
    --camera | --wheels | --models | --wheel) options+=("$1" "${2:?}"); shift ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    -*) fail "what is $1? --help says what there is" ;;
    *) target=$1 ;;
  esac
  shift
done
case $target in
  *.tar | *.img) ;;
  *) fail "name the file to write: provisioning/image/build.sh box.tar, or box.img for a whole disk" ;;
esac
[ "$(id -u)" -eq 0 ] || fail "run this as root: a file system with its owners is made"
command -v mmdebstrap >/dev/null || fail "mmdebstrap is not installed: apt install mmdebstrap qemu-user-static"
[ -z "$admin" ] || [ -r "$admin" ] || fail "cannot read $admin"

folder=$(mktemp -d)
# Were it cut off in the middle, parts of this machine may still be mounted below.
trap 'rm -rf --one-file-system "$folder"' EXIT
root=$folder/root
listed() { cat "$@" | sed 's/#.*//' | xargs | tr ' ' ','; }
packages=$(listed "$here/packages.txt")
hooks=() components=main
if [ "${target##*.}" = img ]; then
  packages=$packages,$(listed "$here/packages-raspberry-pi.txt")
  components=main,non-free-firmware
  # Debian's firmware package writes the boot partition by this when the kernel is installed.
  # shellcheck disable=SC2016
  hooks=(--essential-hook='mkdir -p "$1/etc/default" "$1/boot/firmware"
    printf "ROOTPART=LABEL=vouchbox-root\nCONSOLES=tty1\n" >"$1/etc/default/raspi-firmware"')
fi
mmdebstrap --variant=minbase --architectures="$arch" --components="$components" --include="$packages${more:+,$more}" \
  --aptopt='Dpkg::Options "--force-confold"' "${hooks[@]}" --format=directory \
  "$suite" "$root" "$mirror" "${sources[@]}"

"$repository/provisioning/install.sh" --root "$root" --no-packages "${options[@]}"
cp -r "$here/files/." "$root/"
units=(vouchbox-first-boot.service vouchbox-enrol.service)
if [ "${target##*.}" = img ]; then
  cp -r "$here/files-disk/." "$root/"
  units+=(vouchbox-grow.service systemd-networkd.service systemd-resolved.service)
  printf 'LABEL=vouchbox-root / ext4 noatime 0 1\nLABEL=VBXBOOT /boot/firmware vfat umask=0077,noatime 0 2\n' >"$root/etc/fstab"
fi
chroot "$root" systemctl enable --quiet "${units[@]}"
if [ -n "$admin" ]; then
  chroot "$root" useradd --create-home --shell /bin/bash vouchbox-admin
  install -d -m 700 "$root/home/vouchbox-admin/.ssh"
  install -m 600 "$admin" "$root/home/vouchbox-admin/.ssh/authorized_keys"
  chroot "$root" chown -R vouchbox-admin: /home/vouchbox-admin/.ssh
  install -m 440 /dev/stdin "$root/etc/sudoers.d/vouchbox-admin" <<<'vouchbox-admin ALL=(ALL) NOPASSWD: ALL'
fi
printf 'PasswordAuthentication no\nPermitRootLogin no\n' >"$root/etc/ssh/sshd_config.d/vouchbox.conf"
echo vouchbox >"$root/etc/hostname"
# Nothing that every box of the image would have in common: identities are made at the first start.
rm -rf "$root"/etc/machine-id "$root"/etc/ssh/ssh_host_* "$root"/var/lib/vouchbox/{ueid,keys/*} "$root"/var/lib/systemd/random-seed
echo uninitialized >"$root/etc/machine-id"

case $target in
  *.tar) tar --numeric-owner --xattrs -C "$root" -cf "$target" . ;;
  *.img) "$here/disk.sh" "$root" "$target" ;;
esac
say "$target, $(du -h "$target" | cut -f1)"
