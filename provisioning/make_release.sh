#!/usr/bin/env bash
# Puts a release together, ready to be signed: the product's wheel, the wheels of one kind of box by their hashes, the
# face models, and the bill of materials of all of it.
#   provisioning/make_release.sh py3.13-aarch64 FOLDER
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
kind=$1 folder=$2
tools=$here/.venvs/supply/bin
lock=$here/requirements/box-$kind.lock
[ -f "$lock" ] || { echo "vouchbox: there is no lock for $kind; there are: $(cd "$here/requirements" && ls box-*.lock)" >&2; exit 2; }
[ -d "$here/models/installed" ] || { echo "vouchbox: the face models are not here yet: make models" >&2; exit 2; }
rm -rf "$folder"
mkdir -p "$folder/wheels"
"$tools/pip" wheel --quiet --no-deps -w "$folder" "$here"
rm -rf "$here/build"
cp "$lock" "$folder/requirements.lock"
"$tools/python" "$here/requirements/lock.py" fetch --python "$(cut -dy -f2- <<<"${kind%%-*}")" --arch "${kind#*-}" --into "$folder/wheels"
cp -r "$here/models/installed" "$folder/models"
"$tools/python" "$here/requirements/bill.py" "$lock" "$folder/vouchbox.cdx.json"
echo "$folder: $(du -sm "$folder" | cut -f1) MB; next: vouchbox-provision authority sign-release AUTHORITY $folder --version ..."
