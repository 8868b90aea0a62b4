#!/bin/sh
# On a machine with a GPU and no network: the kernels' and the engine's tests, then what a step takes beside PyTorch.
# Writes gpu.json and gpu.txt (with the card's name) into the folder named first. About three minutes on an H100.
set -eu
out=$(mkdir -p "${1:?usage: scripts/check_gpu.sh FOLDER}" && cd "$1" && pwd)
cd "$(dirname "$0")/.."
export PYTHONPATH="$PWD:$PWD/scripts:$PWD/tests${PYTHONPATH:+:$PYTHONPATH}"
python=${PYTHON:-python3}
"$python" -m pytest -m cuda -p no:cacheprovider tests/engines/cuda | tee "$out/gpu.txt.new"
"$python" -m gpu.steps --model resnet20,wrn16-2,wrn28-10 --out "$out/gpu.json" | tee -a "$out/gpu.txt.new"
"$python" -m gpu.table --model resnet20,wrn28-10 | tee -a "$out/gpu.txt.new"
mv "$out/gpu.txt.new" "$out/gpu.txt"
