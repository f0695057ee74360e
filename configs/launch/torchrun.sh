#!/usr/bin/env bash
# On every node, with the same command but NODE_RANK:
#   NODES=2 NODE_RANK=0 HEAD=10.0.0.1 GPUS=8 configs/launch/torchrun.sh fit --config ... --config configs/trainer/zero2.yaml
# HEAD is the address of node 0. The run folder lies on a disk that all nodes share (docs/scaling.md).
set -euo pipefail
: "${NODES:=1}" "${NODE_RANK:=0}" "${HEAD:=127.0.0.1}" "${PORT:=29500}" "${GPUS:=8}"
exec torchrun --nnodes "$NODES" --node-rank "$NODE_RANK" --nproc-per-node "$GPUS" \
  --master-addr "$HEAD" --master-port "$PORT" \
  -m cogrl.cli.main "$@" "--trainer.num_nodes=$NODES" "--trainer.devices=$GPUS"
