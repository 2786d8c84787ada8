#!/usr/bin/env bash
# Make the shipped Data-II model again from its seed: random fields, generator, labels, mixture density network.
set -euo pipefail
cd "$(dirname "$0")/.."
.venv/bin/microwright train gan-mdn --recipe data-2 --seed 0 --out src/microwright/shipped/gan-mdn-data-2 "$@"
