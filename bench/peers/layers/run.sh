#!/usr/bin/env bash
# Times the kernels and the layers of the embedded model in turns with oneDNN and OpenBLAS, one thread, first as Debian packages
# them and then with both limited to AVX2. As root it installs what is missing.
#
#   bench/peers/layers/run.sh [RECORD.json]
#
# ROUNDS (7) and SIZE (768x512) may be set in the environment.
set -euo pipefail
root=$(cd "$(dirname "$0")/../../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if ! dpkg -s g++ libdnnl-dev libopenblas-dev >/dev/null 2>&1; then
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends g++ libc6-dev libdnnl-dev libopenblas-dev >/dev/null
fi
g++ -O2 -std=c++17 -o "$work/peer" "$root/bench/peers/layers/peer.cc" -ldnnl -lopenblas
go build -C "$root" -o "$work/aecodec" ./cmd/aecodec

# The libraries choose their instruction set when they are loaded. Debian's OpenBLAS does not know the newest processors and would
# take its oldest code there, so it is told for AVX-512 too.
for library in onednn openblas; do
	cat >"$work/$library" <<-END
		#!/bin/sh
		case \$1 in
		avx2) export ONEDNN_MAX_CPU_ISA=AVX2 OPENBLAS_CORETYPE=Haswell ;;
		avx512) export ONEDNN_MAX_CPU_ISA=ALL OPENBLAS_CORETYPE=SkylakeX ;;
		esac
		OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 exec "$work/peer" $library
	END
	chmod +x "$work/$library"
done

save=()
[ $# -eq 0 ] || save=(--save "$1")
peers=(--peer "$work/onednn,$work/openblas" --rounds "${ROUNDS:-7}")
"$work/aecodec" bench kernels "${peers[@]}" "${save[@]}"
"$work/aecodec" bench layers --size "${SIZE:-768x512}" "${peers[@]}" "${save[@]}"
