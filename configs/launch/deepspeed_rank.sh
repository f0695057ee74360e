#!/usr/bin/env bash
# One process of deepspeed.sh: Lightning looks for the node's number under another name than the launcher gives it.
set -euo pipefail
NODE_RANK=${CROSS_RANK:-0} exec python -m cogrl.cli.main "$@"
