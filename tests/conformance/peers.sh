#!/usr/bin/env bash
# Makes the environment of the document reader's peer: PassportEye in .venvs/peers, Tesseract from Debian. An MRZ model for
# Tesseract (mrz.traineddata or another *.traineddata) is used if the folder VOUCHBOX_PEERS has one.
#   tests/conformance/peers.sh PYTHON      then: vouchbox bench --documents DIR
set -euo pipefail
cd "$(dirname "$0")/../.."
environment=.venvs/peers
if ! command -v tesseract >/dev/null; then
  if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    echo "peers: installing tesseract-ocr from Debian"
    apt-get install -y -qq tesseract-ocr >/dev/null || { apt-get update -qq && apt-get install -y -qq tesseract-ocr >/dev/null; }
  else
    echo "peers: Tesseract is missing; install it with: sudo apt-get install tesseract-ocr" >&2
    exit 1
  fi
fi
if [ ! -e "$environment/.ready" ]; then
  "${1:-python3}" -m venv "$environment"
  "$environment/bin/python" -m pip install --quiet --disable-pip-version-check 'setuptools<81' wheel passporteye==2.2.2
  touch "$environment/.ready"
fi
"$environment/bin/python" -c 'import passporteye'
echo "peers: PassportEye and $(tesseract --version 2>&1 | head -1) are ready; models of their own: ${VOUCHBOX_PEERS:-none}"
