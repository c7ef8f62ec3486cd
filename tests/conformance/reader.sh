#!/usr/bin/env bash
# Shows what the document reader must show, one command after the other. In: the folder with the environment's programs;
# ../shared/data (VOUCHBOX_DATA); how many altered scenes (default 5000). Out: the figures. About an hour on two cores; the
# altered scenes go on where they were stopped.
#   tests/conformance/reader.sh .venv/bin [SCENES]
set -euo pipefail
cd "$(dirname "$0")/../.."
bin=$1
scenes=${2:-5000}
data="${VOUCHBOX_DATA:-../shared/data}/documents"
log=models/training/runs/altered-480.jsonl
mkdir -p "$(dirname "$log")"

step() { printf '\n== %s\n' "$*"; }

step "specimen photographs: exact, wrong but consistent, CPU time"
"$bin/vouchbox" evaluate documents "$data/mrz_images"
step "the same beside PassportEye at 1280x960, and the reader's memory"
"$bin/vouchbox" bench --rounds 3 --no-memory --documents "$data/mrz_images"
step "the same turned, shrunk, blurred, darkened, laid on cloth and on pages"
"$bin/python" -m models.training.textline_stress "$data/mrz_images"
step "payloads of licences held before the emulated camera; images of other projects"
"$bin/python" -m models.training.barcodes --payloads "$data/aamva_text"
"$bin/python" -m models.training.barcodes "$data/barcodes"
step "vectors of other projects, counted"
"$bin/python" -m pytest tests/vision/document -q -s -k of_other_projects
step "parsers, layouts, vectors, hypothesis; ten thousand mutated payloads"
"$bin/python" -m pytest tests/vision/document -q --timeout=900
step "national layouts; resident cards, as they are and with one altered digit; $scenes zones with one altered character"
"$bin/python" -m models.training.textline_measure --count 200 --layouts FRENCH-ID SWISS-LICENCE FRENCH-LICENCE LICENCE
"$bin/python" -m models.training.textline_measure --count 200 --layouts GB11643
"$bin/python" -m models.training.textline_measure --count 200 --layouts GB11643 --altered
"$bin/python" -m models.training.textline_measure --count "$scenes" --altered --seed 5000 --frame 480 360 --log "$log"
step "ten thousand mutated pictures"
VOUCHBOX_HOSTILE=1 "$bin/python" -m pytest tests/vision/document/test_hostile.py -q -s -k pictures --timeout=14400
