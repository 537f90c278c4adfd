#!/usr/bin/env python3
"""Reads a waveform (VCD) as strictly as its standard allows: viewers and converters accept almost anything, so that a
broken file only shows as a picture that is wrong.

usage: check_vcd.py FILE...       prints one line per broken file, then what is in the sound ones; exit 1 if any broke
       check_vcd.py --self-test   shows that each kind of mistake is found
"""

import re
import sys

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
ID = re.compile(r"[!-~]+\Z")
STAMP = re.compile(r"#(0|[1-9][0-9]*)\Z")
SCALAR = re.compile(r"([01xz])([!-~]+)\Z")
VECTOR = re.compile(r"b([01]+|x|z) ([!-~]+)\Z")
SCOPE_TYPES = {"module", "task", "function", "begin", "fork"}


class Broken(Exception):
    pass


class Reader:
    """One file, line by line: the header's declarations, then a stamp and its changes at a time."""

    def __init__(self, lines):
        self.lines = iter(lines)
        self.number = 0
        self.widths = {}  # id -> bits
        self.values = {}  # id -> the last value
        self.changes = 0
        self.first = self.last = None

    def refuse(self, what):
        raise Broken(f"line {self.number}: {what}")

    def line(self):
        """The next line without its end, or None."""
        raw = next(self.lines, None)
        if raw is None:
            return None
        self.number += 1
        if not raw.endswith(b"\n"):
            self.refuse("the last line has no end")
        text = raw[:-1].decode("latin-1")
        if not all(" " <= char <= "~" for char in text):
            self.refuse("a character that is not printable ASCII")
        return text

    def header(self):
        scopes, names, seen = [], set(), []
        while (text := self.line()) is not None:
            words = text.split()
            if not words or not words[0].startswith("$") or words[-1] != "$end" or "$end" in words[:-1]:
                self.refuse(f"a header line is one whole section, not '{text}'")
            section, words = words[0], words[1:-1]
            seen.append(section)
            if section == "$enddefinitions":
                break
            if section == "$scope":
                if len(words) != 2 or words[0] not in SCOPE_TYPES or not NAME.match(words[1]):
                    self.refuse("not a scope of a standard type with a plain name")
                scopes.append(words[1])
                path = ".".join(scopes)
                if path in names:
                    self.refuse(f"two things have the name {path}")
                names.add(path)
            elif section == "$upscope":
                if not scopes:
                    self.refuse("$upscope outside of every scope")
                scopes.pop()
            elif section == "$var":
                self.declare(words, scopes, names)
            elif section == "$timescale":
                if "".join(words) not in {m + u for m in ("1", "10", "100") for u in ("s", "ms", "us", "ns", "ps", "fs")}:
                    self.refuse(f"no such time scale: {' '.join(words)}")
            elif section not in {"$date", "$version", "$comment"}:
                self.refuse(f"{section} is no section of a header")
        if "$enddefinitions" not in seen:
            self.refuse("no $enddefinitions")
        if seen.count("$timescale") != 1:
            self.refuse("a header has one $timescale")
        if scopes:
            self.refuse(f"the scope {scopes[-1]} is still open")
        if not self.widths:
            self.refuse("no signal is declared")

    def declare(self, words, scopes, names):
        if len(words) not in (4, 5) or words[0] not in {"wire", "reg", "integer"} or not words[1].isdigit():
            self.refuse("not a declaration of a signal")
        width, identifier, name = int(words[1]), words[2], words[3]
        if width < 1 or not ID.match(identifier) or not NAME.match(name):
            self.refuse("a signal has a width, a printable identifier and a plain name")
        if len(words) == 5 and words[4] != f"[{width - 1}:0]":
            self.refuse(f"{width} bits have not the range {words[4]}")
        if not scopes:
            self.refuse(f"{name} stands in no scope")
        if identifier in self.widths:
            self.refuse(f"the identifier {identifier} is declared twice")
        path = ".".join([*scopes, name])
        if path in names:
            self.refuse(f"two things have the name {path}")
        names.add(path)
        self.widths[identifier] = width

    def value(self, text):
        """(identifier, value without leading zeros) of a change."""
        match = SCALAR.match(text) or VECTOR.match(text)
        if not match:
            self.refuse(f"not a change: '{text}'")
        bits, identifier = match.groups()
        width = self.widths.get(identifier)
        if width is None:
            self.refuse(f"{identifier} is not declared")
        if (width == 1) != (text[0] != "b"):
            self.refuse(f"{identifier} has {width} bits, the change has another form")
        if len(bits) > width:
            self.refuse(f"{identifier} has {width} bits, the value {len(bits)}")
        return identifier, bits.lstrip("0") or "0"

    def stamp(self, text):
        match = STAMP.match(text or "")
        if not match:
            self.refuse(f"not a time: '{text}'")
        return int(match[1])

    def body(self):
        self.first = self.last = self.stamp(self.line())
        if self.line() != "$dumpvars":
            self.refuse("the first time is that of $dumpvars")
        while (text := self.line()) != "$end":
            if text is None:
                self.refuse("$dumpvars has no end")
            identifier, bits = self.value(text)
            if identifier in self.values:
                self.refuse(f"{identifier} has two values in $dumpvars")
            self.values[identifier] = bits
        if missing := self.widths.keys() - self.values.keys():
            self.refuse(f"{min(missing)} has no value in $dumpvars")
        changed = None  # identifiers that changed at this time; None before the first time
        while (text := self.line()) is not None:
            if text.startswith("#"):
                time = self.stamp(text)
                if time <= self.last:
                    self.refuse(f"time goes from {self.last} to {time}")
                if changed is not None and not changed:
                    self.refuse(f"nothing changes at {self.last}")
                self.last, changed = time, set()
                continue
            identifier, bits = self.value(text)
            if changed is None:
                self.refuse("a change before its time")
            if identifier in changed:
                self.refuse(f"{identifier} changes twice at {self.last}")
            if self.values[identifier] == bits:
                self.refuse(f"{identifier} has the value {bits} already")
            changed.add(identifier)
            self.values[identifier] = bits
            self.changes += 1
        if changed is None or changed:
            self.refuse("the last line is not a time: the last values have no length")


def read(lines):
    reader = Reader(lines)
    reader.header()
    reader.body()
    return reader


SOUND = b"""$date never $end
$version hand $end
$timescale 1ps $end
$scope module top $end
$var wire 1 ! flag $end
$var wire 4 " level [3:0] $end
$upscope $end
$enddefinitions $end
#0
$dumpvars
0!
b0 "
$end
#5
1!
b1010 "
#7
0!
bx "
#9
"""

# What is done to the sound file, and a word of the complaint. The first five are the files that GTKWave's own
# converter takes without a murmur.
MISTAKES = [
    (b"#7\n", b"#4\n", "time goes"),
    (b"b1010 \"", b"b1010 %", "not declared"),
    (b"$enddefinitions $end\n", b"", "header line"),
    (b"b1010 \"", b"bhello \"", "not a change"),
    (SOUND, b"hello\n", "header line"),
    (SOUND, b"", "no $enddefinitions"),
    (b"b1010 \"", b"b11010 \"", "4 bits"),
    (b"b1010 \"", b"b00 \"", "already"),
    (b"b1010 \"", b"1\"", "another form"),
    (b"b1010 \"", b"b0b1010 \"", "not a change"),
    (b"1!\nb1010", b"1!\n0!\nb1010", "changes twice"),
    (b"0!\nb0", b"b0", "has no value in $dumpvars"),
    (b"0!\nb0", b"0!\n0!\nb0", "two values"),
    (b"b0 \"\n$end\n", b"b0 \"\n$end\n1!\n", "before its time"),
    (b"#7\n", b"#6\n#7\n", "nothing changes"),
    (b"#9\n", b"", "not a time"),
    (b"#9\n", b"#9", "no end"),
    (b"#7\n", b"#07\n", "not a time"),
    (b" level ", b" le[v]el ", "plain name"),
    (b" level ", b" flag ", "two things"),
    (b"[3:0]", b"[4:0]", "range"),
    (b"4 \"", b"4 !", "declared twice"),
    (b"$upscope $end\n", b"", "still open"),
    (b"$timescale 1ps $end\n", b"", "one $timescale"),
    (b"1ps", b"2ps", "time scale"),
    (b"never", b"j\xc3\xa4nner", "ASCII"),
    (b"module", b"gru", "standard type"),
]


def self_test():
    lost = 0
    read(SOUND.splitlines(keepends=True))
    for before, after, word in MISTAKES:
        try:
            read(SOUND.replace(before, after, 1).splitlines(keepends=True))
            complaint = "nothing"
        except Broken as broken:
            complaint = str(broken)
        if word not in complaint:
            print(f"{before!r} -> {after!r}: expected '{word}', got '{complaint}'")
            lost += 1
    return 1 if lost else 0


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    status = 0
    for name in sys.argv[1:]:
        try:
            with open(name, "rb") as file:
                seen = read(file)
            print(f"{name}: {len(seen.widths)} signals, {seen.changes} changes from {seen.first} to {seen.last}")
        except (Broken, OSError) as problem:
            print(f"{name}: {problem}")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
