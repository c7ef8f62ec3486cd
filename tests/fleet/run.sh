#!/usr/bin/env bash
# The fleet test with an Ansible of its own.   tests/fleet/run.sh PYTHON
set -euo pipefail
python=$1
folder=$(dirname "$python")/../fleet
if [ ! -x "$folder/bin/ansible-playbook" ]; then
  "$python" -m venv "$folder"
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check 'ansible-core>=2.15'
fi
VOUCHBOX_FLEET=1 ANSIBLE_PLAYBOOK=$folder/bin/ansible-playbook exec "$python" -m pytest tests/fleet -m system -s --timeout=3600
