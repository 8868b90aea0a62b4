#!/bin/sh
# The paper's set-up on one machine: one process per GPU, gradients averaged. What follows goes to lwsam train:
#   scripts/two_gpus.sh --preset cifar10 --out runs/row1
#   RANKS=4 scripts/two_gpus.sh --resume runs/row1
# On a machine without GPUs: DEVICE=cpu scripts/two_gpus.sh --preset digits --out runs/two
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
if [ -d "$here/.venv/bin" ]; then PATH=$here/.venv/bin:$PATH; fi
RANKS=${RANKS:-2}
DEVICE=${DEVICE:-cuda}
case " $* " in *" --resume "* | *" --resume="*) ;; *) set -- --device "$DEVICE" "$@" ;; esac
# Open MPI alone knows these names: more ranks than cores, and, in a container, root
export PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe
if [ "$(id -u)" = 0 ]; then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi
# No rank bound to a core: each takes its share of all
exec mpirun --bind-to none -n "$RANKS" lwsam train "$@"
