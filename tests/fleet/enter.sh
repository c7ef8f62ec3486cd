#!/bin/bash
# Stands in for ssh: runs Ansible's command in the network namespace of the box that is named, with the box's environment.
#   enter.sh [options of ssh] HOST COMMAND...
while [ $# -gt 0 ]; do
  case $1 in
    -o | -p | -l | -i | -F | -S | -E) shift 2 ;;
    -*) shift ;;
    *) break ;;
  esac
done
host=$1
shift
cd "$FLEET_FOLDER/$host"
exec ip netns exec "$host" env PYTHONPATH="$FLEET_DEPENDENCIES" PYTHONDONTWRITEBYTECODE=1 OMP_NUM_THREADS=1 \
  "VOUCHBOX_CONFIG=$FLEET_FOLDER/$host/config.toml" /bin/sh -c "$*"
