#!/usr/bin/env bash
# A root file system becomes a disk: a FAT partition with the firmware and the kernel, and an ext4 one with the rest.
#   disk.sh ROOT TARGET.img
# Nothing is mounted, so it works in a container. The root partition grows to its disk at the first start.
set -euo pipefail
root=$1 target=$2
boot_mb=512
for tool in sfdisk mkfs.vfat mcopy mke2fs; do
  command -v "$tool" >/dev/null || { echo "vouchbox: $tool is not installed: apt install fdisk dosfstools mtools e2fsprogs" >&2; exit 2; }
done
[ -e "$root/boot/firmware/config.txt" ] || { echo "vouchbox: $root has nothing that a Raspberry Pi starts" >&2; exit 2; }

# What the root partition holds, a third more, and room for a second environment beside the first.
root_mb=$(($(du -sm --exclude=boot/firmware "$root" | cut -f1) * 4 / 3 + 512))
rm -f "$target"
truncate -s $((1 + boot_mb + root_mb + 1))M "$target"
sfdisk --quiet "$target" <<TABLE
label: dos
start=1MiB, size=${boot_mb}MiB, type=c, bootable
start=$((1 + boot_mb))MiB, size=${root_mb}MiB, type=83
TABLE
mkfs.vfat -F 32 -n VBXBOOT --offset 2048 "$target" $((boot_mb * 1024)) >/dev/null
mcopy -s -i "$target@@1M" "$root"/boot/firmware/* ::
kept=$(mktemp -d "$root/../boot.XXXXXX")
mv "$root"/boot/firmware/* "$kept/"
mke2fs -q -t ext4 -L vouchbox-root -d "$root" -E offset=$(((1 + boot_mb) * 1024 * 1024)) "$target" "${root_mb}M"
mv "$kept"/* "$root/boot/firmware/" && rmdir "$kept"
