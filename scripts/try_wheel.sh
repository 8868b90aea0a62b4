#!/bin/sh
# Try the installed package as a user would, in an empty folder: sh scripts/try_wheel.sh BIN
# BIN has the python and the lwsam of an environment that holds the wheel and what it depends on, and nothing else.
set -eux
BIN=$1
FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"' EXIT
cd "$FOLDER"
"$BIN/python" -c 'import lwsam_ref, nets, proofs; print(lwsam_ref.__file__, lwsam_ref.__version__)'
"$BIN/lwsam" --help
"$BIN/lwsam" --version
"$BIN/lwsam" train --preset digits --model mlp --k 2 --epochs 1 --out one
test -s one/metrics.jsonl
"$BIN/lwsam" verify
