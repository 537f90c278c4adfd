#!/usr/bin/env python3
"""Draws a timeline (.pftrace) as SVG: lanes, slices, instants, counters and arrows. It reads the very file that Perfetto
opens, through protoc and our schema; it is there for the pictures in docs and for people without a network. What is
outside the window, and lanes without anything in it, are not drawn.

usage: draw_timeline.py FILE.pftrace FILE.svg [--from TIME] [--to TIME] [--width PIXELS] [--skip LANE,...] [--title TEXT]

TIME is a number with ns, us or ms. LANE is the beginning of a lane's name. To make a PNG of it on Debian:
  rsvg-convert FILE.svg -o FILE.png      (package librsvg2-bin)
"""

import argparse
import re
import shutil
import sys
from html import escape

from check_pftrace import Broken, number, packets

LABELS, RIGHT, TOP = 190, 16, 56  # pixels: column of names, right margin, title and axis
ROW, GAP, COUNTER = 19, 7, 30  # a level of slices, between lanes, a counter
LETTER = 6.3  # width of a letter of the 11-pixel font, roughly
UNITS = {"ns": 10**3, "us": 10**6, "ms": 10**9}  # in picoseconds, which is what timestamps count
BAD = "#d1242f"
COLOURS = [  # the first beginning that fits a slice's name
    (("UNMAP", "CLEAR", "PROTECTION", "RELEASE", "SOFT_DIRTY"), "#f0b429"),
    (("purge", "gru0: start", "gru0: end"), "#f59e5b"),
    (("fault", "read fault", "write fault"), "#f5a3a3"),
    (("call_os",), "#e08ac0"),
    (("running",), "#8fd19e"),
    (("irq",), "#c9a0f0"),
    (("sleeps", "spins"), "#d5d9df"),
    (("read", "write"), "#b9d4f5"),
]
PALETTE = ["#a9c9f5", "#9fdcd2", "#c3c8f2", "#d6e69b", "#f3d3a2", "#a8dcef"]


def time_of(text):
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ns|us|ms)", text)
    if not match:
        raise argparse.ArgumentTypeError(f"'{text}' is no time like 12.5us")
    return round(float(match[1]) * UNITS[match[2]])


def text_of(message, field):
    value = message.get(field)
    return None if value is None else value[0].strip('"')


class Lane:
    def __init__(self, message):
        self.name = text_of(message, "name")
        self.parent = number(message, "parent_uuid")
        self.rank = number(message, "rank") or 0
        self.is_counter = "counter" in message
        self.open = []  # slices without an end so far
        self.slices = []  # [begin, end, level, name]
        self.instants = []  # (time, name)
        self.counts = []  # (time, value)


class Timeline:
    def __init__(self, path):
        self.lanes, self.names, self.end = {}, {}, 0
        self.flows = {}  # arrow -> points (time, lane, level, is a slice), in the file's order
        for packet in packets(path):
            for table in packet.get("new_names", []):
                for name in table.get("event_name", []):
                    self.names[number(name, "id")] = text_of(name, "text")
            for track in packet.get("track", []):
                self.lanes[number(track, "uuid")] = Lane(track)
            for event in packet.get("event", []):
                self.add(event, number(packet, "timestamp") or 0)
        for lane in self.lanes.values():
            for begun in lane.open:
                begun[1] = self.end

    def add(self, event, time):
        lane, kind = self.lanes[number(event, "track_uuid")], event["type"][0]
        name = text_of(event, "name") or self.names.get(number(event, "name_id"), "")
        self.end = max(self.end, time)
        level = max(len(lane.open) - 1, 0)
        if kind == "BEGIN":
            level = len(lane.open)
            lane.open.append([time, None, level, name])
            lane.slices.append(lane.open[-1])
        elif kind == "END" and lane.open:
            lane.open.pop()[1] = time
        elif kind == "INSTANT":
            lane.instants.append((time, name))
        elif kind == "COUNTER":
            lane.counts.append((time, number(event, "counter_value")))
        for flow in event.get("flow_id", []) + event.get("ending_flow_id", []):
            self.flows.setdefault(flow, []).append((time, lane, level))

    def in_order(self, parent=None):
        """Lanes as a viewer shows them: by rank, children below their parent."""
        for uuid, lane in sorted(self.lanes.items(), key=lambda pair: pair[1].rank):
            if lane.parent == parent:
                yield lane
                yield from self.in_order(uuid)


def colour_of(name):
    for beginnings, colour in COLOURS:
        if name.startswith(beginnings):
            return colour
    return PALETTE[sum(name.encode()) % len(PALETTE)]


def step_of(span):
    """A round distance between the marks of the axis."""
    step = 1
    while span / step > 12:
        step *= 2.5 if str(step)[0] == "2" else 2
    return int(step)


class Drawing:
    def __init__(self, timeline, options):
        self.timeline = timeline
        self.begin = options.begin
        self.end = min(options.end, timeline.end) if options.end else timeline.end
        if self.end <= self.begin:
            sys.exit("draw_timeline.py: the window is empty")
        self.width, self.title = options.width, options.title
        self.skip = tuple(name for name in (options.skip or "").split(",") if name)
        self.scale = (self.width - LABELS - RIGHT) / (self.end - self.begin)
        self.places = {}  # lane -> y
        self.below, self.body, self.y = [], [], TOP

    def x(self, time):
        return LABELS + (min(max(time, self.begin), self.end) - self.begin) * self.scale

    def inside(self, time):
        return self.begin <= time <= self.end

    def put(self, text):
        self.body.append(text)

    def words(self, x, y, text, kind="", room=None):
        if room is not None:
            letters = int((room - 4) / LETTER)
            if letters < 2:
                return
            text = text if len(text) <= letters else text[: letters - 1] + "…"
        self.put(f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(text)}</text>')

    def lane(self, lane):
        slices = [piece for piece in lane.slices if piece[0] <= self.end and piece[1] >= self.begin]
        instants = [mark for mark in lane.instants if self.inside(mark[0])]
        if lane.is_counter:
            if len({value for time, value in lane.counts if self.inside(time)}) < 2:
                return
        elif not slices and not instants:
            return
        levels = max((piece[2] for piece in slices), default=0) + 1
        height = COUNTER if lane.is_counter else levels * ROW
        bad = lane.name == "violations"
        self.places[lane] = self.y
        self.below.append(f'<rect x="{LABELS}" y="{self.y}" width="{self.width - LABELS - RIGHT}" height="{height}" class="lane"/>')
        self.words(10, self.y + height / 2 + 4, lane.name, "bad" if bad else "name", LABELS - 12)
        if lane.is_counter:
            self.counter(lane, height)
        for begin, end, level, name in slices:
            left, right, top = self.x(begin), self.x(end), self.y + level * ROW
            self.put(f'<rect x="{left:.1f}" y="{top + 1}" width="{max(right - left, 0.8):.1f}" height="{ROW - 2}" rx="2" '
                     f'fill="{colour_of(name)}"/>')
            self.words(left + 3, top + 13, name, "slice", right - left)
        drawn = None
        for time, name in instants:  # those that would lie on one another are drawn once
            x = self.x(time)
            if drawn is not None and x - drawn < 1.5:
                continue
            drawn = x
            top = self.y + height - 8
            self.put(f'<path d="M{x:.1f} {top}l4 8h-8z" fill="{BAD if bad else "#57606a"}"/>')
        if bad:
            self.violations(instants)
        elif instants and not slices:
            self.notes(instants)
        self.y += height + GAP

    def violations(self, instants):
        free = LABELS
        for time, name in instants:
            x = self.x(time)
            if x < free:
                continue
            self.put(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{self.y}" y2="@BOTTOM@" class="violation"/>')
            self.words(x + 6, self.y + 13, name, "bad", self.width - RIGHT - x)
            free = x + 6 + len(name) * LETTER

    def notes(self, instants):
        """Names of instants, as far as there is room between them."""
        for (time, name), after in zip(instants, [*instants[1:], (self.end, "")]):
            room = self.x(after[0]) - self.x(time) - 8
            if room > len(name) * LETTER:
                self.words(self.x(time) + 6, self.y + 13, name, "note")

    def counter(self, lane, height):
        value, points = 0, []
        for time, count in lane.counts:
            if time < self.begin:
                value = count
            elif time <= self.end:
                points.append((time, count))
        highest = max([value, 1, *(count for _, count in points)])
        bottom = self.y + height

        def y(count):
            return bottom - (height - 10) * count / highest

        path = f"M{self.x(self.begin):.1f} {bottom}V{y(value):.1f}"
        for time, count in points:
            path += f"H{self.x(time):.1f}V{y(count):.1f}"
        self.put(f'<path d="{path}H{self.x(self.end):.1f}V{bottom}z" class="count"/>')
        self.words(self.width - RIGHT - 70, self.y + 11, f"highest {highest}", "note")

    def arrows(self):
        for points in self.timeline.flows.values():
            for (time, lane, level), (next_time, next_lane, next_level) in zip(points, points[1:]):
                if lane not in self.places or next_lane not in self.places:
                    continue
                if not (self.inside(time) and self.inside(next_time)):
                    continue
                x, to_x = self.x(time), self.x(next_time)
                y = self.places[lane] + level * ROW + ROW / 2
                to_y = self.places[next_lane] + next_level * ROW + ROW / 2
                bend = max(abs(to_x - x) / 2, 18)
                self.put(f'<path d="M{x:.1f} {y:.1f}C{x + bend:.1f} {y:.1f} {to_x - bend:.1f} {to_y:.1f} {to_x:.1f} {to_y:.1f}" '
                         'class="arrow" marker-end="url(#tip)"/>')

    def axis(self):
        span = self.end - self.begin
        unit = "us" if span > 3 * UNITS["us"] else "ns"
        if span > 3 * UNITS["ms"]:
            unit = "ms"
        step = step_of(span / UNITS[unit]) * UNITS[unit]
        time = -(-self.begin // step) * step
        while time <= self.end:
            x = self.x(time)
            self.put(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="@BOTTOM@" class="grid"/>')
            self.words(x + 3, TOP - 10, f"{time // UNITS[unit]} {unit}", "note")
            time += step

    def svg(self):
        self.words(10, 20, self.title, "title")
        self.axis()
        for lane in self.timeline.in_order():
            if not self.skip or not lane.name.startswith(self.skip):
                self.lane(lane)
        self.arrows()
        bottom = self.y
        head = (f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width}" height="{bottom + 6}" '
                f'viewBox="0 0 {self.width} {bottom + 6}">'
                "<style>text{font:11px 'DejaVu Sans',sans-serif;fill:#24292f}.title{font-size:13px;font-weight:bold}"
                ".note{fill:#57606a;font-size:10px}.name{font-size:11px}.slice{font-size:10px}"
                f".bad{{fill:{BAD};font-weight:bold;font-size:10px}}.lane{{fill:#f6f8fa}}.count{{fill:#9ec5e8;stroke:#3b7bb5}}"
                f".grid{{stroke:#d0d7de}}.violation{{stroke:{BAD};stroke-dasharray:4 3}}"
                ".arrow{fill:none;stroke:#0550ae;stroke-width:1.2}</style>"
                '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
                '<path d="M0 0l8 4-8 4z" fill="#0550ae"/></marker></defs><rect width="100%" height="100%" fill="#fff"/>\n')
        return head + "\n".join(self.below + self.body).replace("@BOTTOM@", str(bottom)) + "\n</svg>\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("timeline")
    parser.add_argument("picture")
    parser.add_argument("--from", dest="begin", type=time_of, default=0)
    parser.add_argument("--to", dest="end", type=time_of)
    parser.add_argument("--width", type=int, default=1200)
    parser.add_argument("--skip", help="lanes whose names begin so, separated by commas")
    parser.add_argument("--title", default="")
    options = parser.parse_args()
    if not shutil.which("protoc"):
        sys.exit("draw_timeline.py needs protoc (Debian: protobuf-compiler)")
    try:
        drawing = Drawing(Timeline(options.timeline), options).svg()
    except (Broken, OSError, KeyError) as problem:
        sys.exit(f"draw_timeline.py: {options.timeline}: {problem}")
    with open(options.picture, "w", encoding="utf-8") as file:
        file.write(drawing)
    return 0


if __name__ == "__main__":
    sys.exit(main())
