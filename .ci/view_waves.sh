#!/bin/sh
# Opens a waveform in GTKWave without a screen, checks that every line of its save file was found, and takes a picture.
# GTKWave drops a signal whose name it does not know without a word: the picture alone would not tell.
#
# usage: view_waves.sh DIR [PNG [WIDTHxHEIGHT]]     DIR holds waves.vcd and waves.gtkw; without PNG no picture is taken
set -eu

fail() { printf 'view_waves.sh: %s\n' "$*" >&2; exit 1; }

if [ $# -lt 1 ] || [ $# -gt 3 ]; then
  sed -n 's/^# usage: /usage: /p' "$0" >&2
  exit 2
fi
if [ ! -f "$1/waves.vcd" ] || [ ! -f "$1/waves.gtkw" ]; then fail "$1 holds no waves.vcd with waves.gtkw"; fi
directory=$(CDPATH='' cd -- "$1" && pwd)
picture=${2:-}
size=${3:-1400x800}

missing=
for need in gtkwave:gtkwave Xvfb:xvfb xvfb-run:xvfb xauth:xauth import:imagemagick; do
  command -v "${need%%:*}" >/dev/null 2>&1 || missing="$missing ${need#*:}"
done
[ -z "$missing" ] || fail "on Debian, this needs: apt-get install$missing"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# A copy of the save file: the size of the window is the picture's, whatever the user's is.
cp "$directory"/waves.* "$scratch/"
sed "s/^\[size\] .*/[size] $(printf '%s' "$size" | tr x ' ')/; s/^\[pos\] .*/[pos] 0 0/" "$directory/waves.gtkw" >"$scratch/waves.gtkw"

# What GTKWave says of itself, and when it may be photographed. The program that draws must stay alive for it.
cat >"$scratch/ask.tcl" <<'END'
set count [gtkwave::getTotalNumTraces]
for {set i 0} {$i < $count} {incr i} { puts "trace: [gtkwave::getTraceNameFromIndex $i]" }
puts "facts: signals=[gtkwave::getNumFacs] from=[gtkwave::getMinTime] to=[gtkwave::getMaxTime] A=[gtkwave::getNamedMarker A]"
flush stdout
# The picture has no tree of scopes, so there is more room than the save file counts on.
gtkwave::/Time/Zoom/Zoom_Full
END
cat >"$scratch/session.sh" <<'END'
# Runs under Xvfb, in the scratch directory.
gtkwave --rcvar 'hide_sst on' --rcvar 'splash_disable on' --script ask.tcl --save waves.gtkw >said.txt 2>&1 &
viewer=$!
tries=0
until grep -q '^facts:' said.txt; do
  tries=$((tries + 1))
  [ "$tries" -le 150 ] && kill -0 "$viewer" 2>/dev/null || break
  sleep 0.2
done
sleep 1.5
import -window root -depth 8 picture.png
kill "$viewer" 2>/dev/null
wait "$viewer" 2>/dev/null
exit 0
END
(cd "$scratch" && HOME="$scratch" LC_ALL=C.UTF-8 xvfb-run -a -s "-screen 0 ${size}x24" sh session.sh) </dev/null >"$scratch/log.txt" 2>&1 || true

grep -q '^facts:' "$scratch/said.txt" 2>/dev/null || { cat "$scratch/log.txt" "$scratch/said.txt" >&2; fail 'GTKWave did not open the waveform'; }
# Traces are all lines but settings: [key], @flags, *zoom, ^translation, #vector.
listed=$(grep -c -v '^[[@*^#]' "$scratch/waves.gtkw" || true)
shown=$(grep -c '^trace:' "$scratch/said.txt" || true)
if [ "$listed" -ne "$shown" ]; then
  cat "$scratch/said.txt" >&2
  fail "waves.gtkw lists $listed traces, GTKWave shows $shown"
fi
printf '%s: %s traces, %s\n' "$1" "$shown" "$(sed -n 's/^facts: //p' "$scratch/said.txt")"
if [ -n "$picture" ]; then
  # Without the title bar, which names a directory of this machine. Few colours: a fraction of the size, and no
  # difference to the eye. No dates in the file: the same waveform gives the same picture.
  convert "$scratch/picture.png" -gravity north -chop 0x46 -strip -define png:exclude-chunks=date,time \
    -colors 64 "PNG8:$picture"
fi
