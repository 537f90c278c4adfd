#!/usr/bin/env python3
"""Reads a timeline (.pftrace) with protoc and our own schema. Perfetto drops what it does not understand without a word,
so whatever is wrong there only shows as something that is missing.

Found: fields that the schema does not know, tracks or names that were not told before their use, slices that do not
begin or end, time going back on a track, arrows that end without having begun, counts on a track that is no counter.

usage: check_pftrace.py FILE...       prints one line per broken file, then what is in the sound ones; exit 1 if any broke
       check_pftrace.py --tree FILE   prints the tracks with how many events each has
       check_pftrace.py --self-test   shows that each kind of mistake is found
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SCHEMA = Path(__file__).resolve().parent.parent / "sim" / "output" / "secmmu_trace.proto"
LINE = re.compile(r" *(?:(?P<open>\w+) \{|(?P<close>\})|(?P<field>\w+): (?P<value>.*))\Z")
STATE_CLEARED, NEEDS_STATE, BY_RANK = 1, 2, 3


class Broken(Exception):
    pass


def packets(path):
    """Each packet as nested dicts of lists. Reads as protoc prints: a long timeline needs little memory."""
    command = ["protoc", f"--proto_path={SCHEMA.parent}", "--decode=secmmu.trace.Trace", SCHEMA.name]
    with open(path, "rb") as file, tempfile.TemporaryFile() as errors:
        with subprocess.Popen(command, stdin=file, stdout=subprocess.PIPE, stderr=errors, text=True) as protoc:
            stack = [{}]
            for text in protoc.stdout:
                match = LINE.match(text.rstrip("\n"))
                if not match:
                    protoc.kill()
                    raise Broken(f"protoc printed '{text.strip()}'")
                if (match["open"] or match["field"] or "").isdigit():
                    protoc.kill()
                    raise Broken(f"the field {match['open'] or match['field']} is not in the schema: {text.strip()}")
                if match["open"]:
                    inner = {}
                    stack[-1].setdefault(match["open"], []).append(inner)
                    stack.append(inner)
                elif match["close"]:
                    stack.pop()
                    if len(stack) == 1:
                        yield stack[0].pop("packet")[0]
                else:
                    stack[-1].setdefault(match["field"], []).append(match["value"])
        if protoc.returncode != 0:
            errors.seek(0)
            raise Broken("protoc: " + errors.read().decode(errors="replace").strip())


def number(message, field):
    value = message.get(field)
    return None if value is None else int(value[0], 0)


class Track:
    def __init__(self, message):
        self.name = message["name"][0].strip('"')
        self.parent = number(message, "parent_uuid")
        self.rank = number(message, "rank")
        self.is_counter = "counter" in message
        self.now = -1
        self.open = 0
        self.events = 0


class Timeline:
    def __init__(self):
        self.tracks = {}
        self.names = {"event_name": set(), "note_name": set()}
        self.flows = {}  # id -> how many events carry it
        self.counts = dict.fromkeys(("BEGIN", "INSTANT", "COUNTER"), 0)
        self.first = True

    def add(self, packet):
        if not number(packet, "sequence_id"):
            raise Broken("a packet belongs to no sequence")
        flags = number(packet, "sequence_flags") or 0
        if self.first != bool(flags & STATE_CLEARED):
            raise Broken("the first packet, and only that, clears the names")
        self.first = False
        for kind, known in self.names.items():
            for table in packet.get("new_names", []):
                for name in table.get(kind, []):
                    if (identifier := number(name, "id")) in known:
                        raise Broken(f"two names have the number {identifier}")
                    known.add(identifier)
        for message in packet.get("track", []):
            self.add_track(message)
        for event in packet.get("event", []):
            self.add_event(event, number(packet, "timestamp"), flags)

    def add_track(self, message):
        uuid, track = number(message, "uuid"), Track(message)
        if not uuid or uuid in self.tracks:
            raise Broken(f"track {track.name}: no number of its own")
        if self.tracks and track.parent not in self.tracks:
            raise Broken(f"track {track.name}: its parent was not told before")
        if any(other.parent == track.parent and other.rank == track.rank for other in self.tracks.values()):
            raise Broken(f"track {track.name}: another one has its place")
        if not track.is_counter and number(message, "child_ordering") != BY_RANK:
            raise Broken(f"track {track.name}: the order of its tracks is left to the viewer")
        self.tracks[uuid] = track

    def add_event(self, event, time, flags):
        kind, track = event["type"][0], self.tracks.get(number(event, "track_uuid"))
        if track is None:
            raise Broken(f"an event at {time} is on no known track")
        where = f"{track.name} at {time}"
        if time is None or time < track.now:
            raise Broken(f"{where}: time was {track.now} before")
        track.now = time
        track.events += 1
        if (kind == "COUNTER") != track.is_counter or (kind == "COUNTER") != ("counter_value" in event):
            raise Broken(f"{where}: counts stand on counters, and nothing else does")
        named = "name" in event or "name_id" in event
        if named != (kind in {"BEGIN", "INSTANT"}):
            raise Broken(f"{where}: a slice or instant has a name, nothing else has one")
        track.open += {"BEGIN": 1, "END": -1}.get(kind, 0)
        if track.open < 0:
            raise Broken(f"{where}: an end without a begin")
        if kind in self.counts:
            self.counts[kind] += 1
        for message, names in [(event, "event_name"), *((note, "note_name") for note in event.get("note", []))]:
            identifier = number(message, "name_id")
            if identifier is not None and (identifier not in self.names[names] or not flags & NEEDS_STATE):
                raise Broken(f"{where}: the name number {identifier} was not told before")
        for flow in event.get("flow_id", []):
            self.flows[flow] = self.flows.get(flow, 0) + 1
        for flow in event.get("ending_flow_id", []):
            if flow not in self.flows:
                raise Broken(f"{where}: an arrow ends that did not begin")
            self.flows[flow] += 1

    def finish(self):
        if not self.tracks:
            raise Broken("no track")
        for track in self.tracks.values():
            if track.open:
                raise Broken(f"{track.name}: {track.open} slices do not end")

    def summary(self):
        arrows = sum(ends - 1 for ends in self.flows.values())
        return (f"{len(self.tracks)} tracks, {self.counts['BEGIN']} slices, {self.counts['INSTANT']} instants, "
                f"{self.counts['COUNTER']} counts, {arrows} arrows")

    def tree(self, parent=None, indent=""):
        for uuid, track in sorted(self.tracks.items(), key=lambda pair: pair[1].rank or 0):
            if track.parent == parent:
                print(f"{indent}{track.name} ({track.events})")
                self.tree(uuid, indent + "  ")


def read(path):
    timeline = Timeline()
    for packet in packets(path):
        timeline.add(packet)
    timeline.finish()
    return timeline


ROOT = 'packet { sequence_id: 1 sequence_flags: 1 track { uuid: 1 name: "root" child_ordering: 3 } }'
SOUND = ROOT + """
packet { sequence_id: 1 track { uuid: 2 name: "lane" parent_uuid: 1 rank: 0 child_ordering: 3 } }
packet { sequence_id: 1 track { uuid: 3 name: "level" parent_uuid: 1 rank: 1 counter { unit_name: "pages" } } }
packet { sequence_id: 1 sequence_flags: 2 timestamp: 5 new_names { event_name { id: 1 text: "work" } }
         event { type: BEGIN track_uuid: 2 name_id: 1 flow_id: 7 note { name: "page" number: -1 } } }
packet { sequence_id: 1 sequence_flags: 2 timestamp: 6 event { type: INSTANT track_uuid: 2 name: "x" ending_flow_id: 7 } }
packet { sequence_id: 1 sequence_flags: 2 timestamp: 6 event { type: COUNTER track_uuid: 3 counter_value: 4 } }
packet { sequence_id: 1 sequence_flags: 2 timestamp: 7 event { type: END track_uuid: 2 } }
"""
MISTAKES = [
    ("timestamp: 7", "timestamp: 4", "time was"),
    ("type: END track_uuid: 2", "type: INSTANT name: \"x\" track_uuid: 2", "do not end"),
    ("type: INSTANT track_uuid: 2 name: \"x\"", "type: END track_uuid: 2", "end without a begin"),
    ("type: BEGIN track_uuid: 2", "type: BEGIN track_uuid: 9", "no known track"),
    ("type: INSTANT track_uuid: 2", "type: INSTANT track_uuid: 3", "counts stand"),
    ("id: 1 text", "id: 2 text", "not told before"),
    ("parent_uuid: 1 rank: 0", "parent_uuid: 8 rank: 0", "parent"),
    ("rank: 1", "rank: 0", "has its place"),
    ("parent_uuid: 1 rank: 0 child_ordering: 3", "parent_uuid: 1 rank: 0", "left to the viewer"),
    ("ending_flow_id: 7", "ending_flow_id: 6", "did not begin"),
    ("sequence_flags: 1", "sequence_flags: 2", "clears"),
    ("sequence_id: 1 sequence_flags: 2 timestamp: 7", "sequence_flags: 2 timestamp: 7", "no sequence"),
    ("name: \"x\"", "", "has a name"),
]


def self_test():
    lost = 0

    def expect(label, trace, word):
        nonlocal lost
        with tempfile.NamedTemporaryFile() as file:
            file.write(trace)
            file.flush()
            try:
                complaint = read(file.name).summary()
            except Broken as broken:
                complaint = str(broken)
        if word not in complaint:
            print(f"{label}: expected '{word}', got '{complaint}'")
            lost += 1

    def encoded(text):
        command = ["protoc", f"--proto_path={SCHEMA.parent}", "--encode=secmmu.trace.Trace", SCHEMA.name]
        return subprocess.run(command, input=text.encode(), stdout=subprocess.PIPE, check=True).stdout

    sound = encoded(SOUND)
    expect("sound", sound, "3 tracks, 1 slices, 1 instants, 1 counts, 1 arrows")
    for before, after, word in MISTAKES:
        expect(f"{before} -> {after}", encoded(SOUND.replace(before, after, 1)), word)
    expect("cut short", sound[:-3], "protoc")
    expect("an unknown field", sound + b"\x0a\x04\x50\x01\x28\x05", "not in the schema")
    expect("text", b"hello", "protoc")
    expect("nothing", b"", "no track")
    return 1 if lost else 0


def main():
    arguments = sys.argv[1:]
    if not arguments or arguments[0].startswith("-") and arguments[0] not in {"--tree", "--self-test"}:
        sys.exit(__doc__)
    if not shutil.which("protoc"):
        sys.exit("check_pftrace.py needs protoc (Debian: protobuf-compiler)")
    if arguments == ["--self-test"]:
        return self_test()
    show_tree = arguments[0] == "--tree"
    status = 0
    for path in arguments[1:] if show_tree else arguments:
        try:
            timeline = read(path)
            print(f"{path}: {timeline.summary()}")
            if show_tree:
                timeline.tree()
        except (Broken, OSError) as problem:
            print(f"{path}: {problem}")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
