#!/usr/bin/env bash
# From one node, which reaches the others by ssh; HOSTFILE has a line "address slots=8" for each:
#   HOSTFILE=hosts NODES=2 GPUS=8 configs/launch/deepspeed.sh fit --config ... --config configs/trainer/zero3.yaml
# Any strategy will do: DeepSpeed's launcher only starts the processes.
set -euo pipefail
: "${HOSTFILE:=hosts}" "${NODES:=1}" "${GPUS:=8}"
here=$(cd "$(dirname "$0")" && pwd)
exec deepspeed --hostfile "$HOSTFILE" --num_nodes "$NODES" --num_gpus "$GPUS" --no_python --no_local_rank \
  "$here/deepspeed_rank.sh" "$@" "--trainer.num_nodes=$NODES" "--trainer.devices=$GPUS"
