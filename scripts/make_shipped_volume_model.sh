#!/usr/bin/env bash
# Make the shipped C11 model of volumes again from seeds: filtered noise, the labels that ship, joint training.
# Half an hour on one core that has nothing else to do; a killed run continues where it was.
set -euo pipefail
cd "$(dirname "$0")/.."
.venv/bin/microwright train vae-regression --recipe stiffness-light --seed 0 --out src/microwright/shipped/vae-regression-c11 "$@"
