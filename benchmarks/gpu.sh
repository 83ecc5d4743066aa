#!/usr/bin/env bash
# The benchmarks that need a GPU, in eight minutes at most: DATA is a folder that SketchPhotoFolder
# reads; without it images are generated. PYTHON is the interpreter, python by default.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-python}
timeout 150 "$python" benchmarks/gpu_evaluation.py
timeout 200 "$python" benchmarks/epoch.py --device cuda --batch 128 --workers 16 --epochs 4 \
  --each 512 ${1:+--root "$1"}
timeout 120 "$python" benchmarks/training_step.py --device cuda --batch 128 --rounds 5
