#!/usr/bin/env bash
# Compares our landmarks with mediapipe's own Face Mesh, which lives in an environment of its own (it is large and needs
# Python 3.9 to 3.12). In: the python to make that environment with; ../shared/data. Out: the figures; exit 1 if they differ.
set -euo pipefail
cd "$(dirname "$0")/../.."
DATA="${VOUCHBOX_DATA:-../shared/data}"
ENVIRONMENT=.venvs/conformance
WORK="$(mktemp -d)"
trap 'rm -rf "$WORK"' EXIT

if [ ! -d "$DATA" ]; then
    echo "conformance: $DATA is not here; set VOUCHBOX_DATA to a folder with images of faces" >&2
    exit 2
fi
if [ ! -e "$ENVIRONMENT/.ready" ]; then
    PYTHON="${1:-python3}"
    for candidate in "$PYTHON" python3.11 python3.12 python3.10; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 9) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then
            PYTHON="$candidate"
            break
        fi
    done
    echo "conformance: making $ENVIRONMENT (mediapipe brings about 1 GB)"
    "$PYTHON" -m venv "$ENVIRONMENT"
    "$ENVIRONMENT/bin/python" -m pip install --quiet --disable-pip-version-check mediapipe==0.10.18
    touch "$ENVIRONMENT/.ready"
fi
.venv/bin/python -m tests.conformance.landmarks choose "$DATA" "$WORK/images.txt"
"$ENVIRONMENT/bin/python" tests/conformance/reference.py "$WORK/images.txt" "$WORK/reference.npz" 2>"$WORK/reference.log" || {
    tail -5 "$WORK/reference.log" >&2
    exit 2
}
.venv/bin/python -m tests.conformance.landmarks compare "$WORK/images.txt" "$WORK/reference.npz"
