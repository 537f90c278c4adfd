#!/bin/sh
# Makes the two pictures of docs/pictures from a run of the first scenario in README.md: the waveform as GTKWave shows it,
# and the timeline as .ci/draw_timeline.py draws it. The same scenario gives the same pictures.
#
# usage: .ci/draw_pictures.sh [PROGRAM]      PROGRAM is build/release/secmmu unless told
set -eu
cd "$(dirname "$0")/.."
program=$(command -v "${1:-build/release/secmmu}") || { printf 'draw_pictures.sh: no program; ./dev build makes it\n' >&2; exit 1; }
command -v rsvg-convert >/dev/null 2>&1 || { printf 'on Debian, this needs: apt-get install librsvg2-bin\n' >&2; exit 1; }

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
awk '/^```yaml$/ { inside = 1; next } /^```$/ { if (inside) exit } inside' README.md >"$scratch/my-first.yaml"
# The run ends in a violation: that is what the pictures are of. The window is around it.
status=0
"$program" run "$scratch/my-first.yaml" --out "$scratch/out" --from 7us --to 28us >"$scratch/report.txt" 2>&1 || status=$?
[ "$status" -eq 1 ] || { cat "$scratch/report.txt" >&2; printf 'draw_pictures.sh: expected exit code 1, got %s\n' "$status" >&2; exit 1; }
for run in "$scratch"/out/*/v6.10; do break; done

mkdir -p docs/pictures
.ci/view_waves.sh "$run" docs/pictures/waves.png 1200x790 >/dev/null
python3 .ci/draw_timeline.py "$run/timeline.pftrace" "$scratch/timeline.svg" --from 7us --to 28us --skip 'time axis,rcu,srcu' \
  --title 'A GRU takes a translation that is about to become stale'
rsvg-convert "$scratch/timeline.svg" -o "$scratch/timeline.png"
convert "$scratch/timeline.png" -strip +dither -define png:exclude-chunks=date,time -colors 64 PNG8:docs/pictures/timeline.png
ls -l docs/pictures/*.png | awk '{ print $5, $9 }'
