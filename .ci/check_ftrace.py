#!/usr/bin/env python3
"""Reads a trace in ftrace's text form as strictly as the kernel writes it: tools that read it split lines at columns and
blanks, and skip what they do not understand without a word.

usage: check_ftrace.py FILE...       prints one line per broken file, then what is in the sound ones; exit 1 if any broke
       check_ftrace.py --self-test   shows that each kind of mistake is found
"""

import re
import sys

COLUMNS = [
    "#                                _-----=> irqs-off/BH-disabled",
    "#                               / _----=> need-resched",
    "#                              | / _---=> hardirq/softirq",
    "#                              || / _--=> preempt-depth",
    "#                              ||| / _-=> migrate-disable",
    "#                              |||| /     delay",
    "#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION",
    "#              | |         |   |||||     |         |",
]
# A task's name has at most 15 characters in the kernel; ours may be longer and then push the columns to the right.
EVENT = re.compile(
    r" *(?P<comm>[!-~]+)-(?P<pid>\d+) +\[(?P<cpu>\d{3})\] "
    r"(?P<irqs>[dDb.])(?P<resched>[NnpBbLl.])(?P<context>[ZzHhs.])(?P<depth>[1-9a-f.])(?P<migrate>[1-9a-f.]) "
    r"(?P<seconds>0|[1-9]\d*)\.(?P<picoseconds>\d{12}): (?P<event>[a-z][a-z0-9_]*):(?P<fields>(?: .*)?)\Z")
FIELD = re.compile(r' (?P<name>[a-z][a-z0-9_]*)=(?P<value>"(?:[^"\\]|\\["\\n]|\\x[0-9a-f]{2})*"|[^ "\\]+)')
CORES = re.compile(r"#P:(\d+)\Z")
TOTALS = re.compile(r"# entries-in-buffer/entries-written: (\d+)/(\d+)   #P:(\d+)\Z")
IDLE = "<idle>"


class Broken(Exception):
    pass


def header(lines):
    """How many lines the header has, and how many cores it names."""
    if not lines or lines[0] != "# tracer: nop":
        raise Broken("line 1: not '# tracer: nop'")
    if COLUMNS[0] not in lines:
        raise Broken("no heads of columns")
    begin = lines.index(COLUMNS[0])
    for offset, column in enumerate(COLUMNS):
        if begin + offset >= len(lines) or lines[begin + offset] != column:
            raise Broken(f"line {begin + offset + 1}: not '{column}'")
    cores = None
    for number, line in enumerate(lines[:begin], 1):
        if not line.startswith("#"):
            raise Broken(f"line {number}: an event before the heads of columns")
        if match := CORES.search(line):
            cores = int(match[1])
    if cores is None:
        raise Broken("the header does not say how many cores there are (#P:)")
    return begin + len(COLUMNS), cores


def read(text):
    if not text.endswith("\n"):
        raise Broken("the last line has no end")
    lines = text[:-1].split("\n")
    start, cores = header(lines)
    now, names, pids, events, engines, kinds, totals = (0, 0), {}, {}, 0, set(), set(), None
    for number, line in enumerate(lines[start:], start + 1):
        def refuse(what):
            raise Broken(f"line {number}: {what}")

        if not all(" " <= char <= "~" for char in line):
            refuse("a character that is not printable ASCII")
        if line.startswith("#"):
            if match := TOTALS.match(line):
                totals = tuple(map(int, match.groups()))
            continue
        if totals:
            refuse("an event after the totals")
        match = EVENT.match(line)
        if not match:
            refuse(f"not an event: '{line}'")
        time = int(match["seconds"]), int(match["picoseconds"])
        if time < now:
            refuse("time goes back")
        now = time
        if (match["comm"] == IDLE) != (match["pid"] == "0"):
            refuse("number 0, and only that, is idle")
        if match["comm"] != IDLE:
            if names.setdefault(match["pid"], match["comm"]) != match["comm"]:
                refuse(f"two tasks have the number {match['pid']}")
            if pids.setdefault(match["comm"], match["pid"]) != match["pid"] and match["comm"] != "<...>":
                refuse(f"{match['comm']} has two numbers")
        if int(match["cpu"]) >= cores:
            if not any(other.startswith(f"# CPU# {match['cpu']} stands for {match['comm']},") for other in lines[:start]):
                refuse(f"there is no core {match['cpu']}, and the header does not say what it stands for")
            engines.add(match["cpu"])
        if match["context"] in "Hh" and match["irqs"] != "d":
            refuse("interrupts are off in an interrupt")
        end, seen = 0, set()
        while end < len(match["fields"]):
            field = FIELD.match(match["fields"], end)
            if not field:
                refuse(f"not a field: '{match['fields'][end:]}'")
            if field["name"] in seen:
                refuse(f"two fields {field['name']}")
            seen.add(field["name"])
            end = field.end()
        kinds.add(match["event"])
        events += match["event"] != "violation"
    if totals is None:
        raise Broken("no totals at the end")
    if totals[0] != events or totals[1] < totals[0] or totals[2] != cores:
        raise Broken(f"the totals say {totals}, there are {events} events and {cores} cores")
    return f"{events} events of {len(kinds)} kinds, {len(names)} tasks, {cores} cores, {len(engines)} engines"


HEAD = "# tracer: nop\n#\n# secmmu hand, kernel v1.0, seed 1, #P:1\n# CPU# 001 stands for gru0, which runs on no core\n"
SOUND = HEAD + "\n".join(COLUMNS) + """
             app-3       [000] dNh2. 0.000000001000: frame_free: pfn=0x2a use="a page" left=4
          <idle>-0       [000] ..... 0.000000001000: idle:
            gru0-4       [001] ..... 1.000000000000: device_fill: device=gru0 why="\\"\\x07\\""
# entries-in-buffer/entries-written: 3/5   #P:1
"""
MISTAKES = [
    ("# tracer: nop", "# tracer: function", "tracer"),
    ("_---=> hardirq", "_---=> softirq", "line 7"),
    (COLUMNS[0], "#", "heads of columns"),
    ("seed 1, #P:1", "seed 1", "how many cores"),
    ("app-3", "app", "not an event"),
    ("app-3", "ap p-3", "not an event"),
    ("[000] dNh", "[00] dNh", "not an event"),
    ("dNh2.", "dNx2.", "not an event"),
    ("dNh2.", "dNh2", "not an event"),
    ("dNh2.", "dNh0.", "not an event"),
    ("dNh2.", ".Nh2.", "interrupts are off"),
    ("0.000000001000: frame", "0.000001: frame", "not an event"),
    ("0.000000001000: idle", "0.000000000999: idle", "time goes back"),
    ("frame_free:", "frame_free", "not an event"),
    ("frame_free:", "Frame_free:", "not an event"),
    ("left=4", "left", "not a field"),
    ("left=4", "left=", "not a field"),
    ("left=4", "pfn=4", "two fields"),
    ("use=\"a page\"", "use=a page", "not a field"),
    ("\\x07", "\\y", "not a field"),
    ("<idle>-0", "<idle>-9", "is idle"),
    ("gru0-4", "gru0-3", "two tasks"),
    ("gru0-4", "app-4", "two numbers"),
    ("[001]", "[002]", "no core 002"),
    ("3/5", "4/5", "totals"),
    ("3/5", "3/2", "totals"),
    ("# entries", "# nothing", "no totals"),
    ("idle:\n", "id\tle:\n", "printable"),
    ("#P:1\n", "#P:1\n             app-3", "an event before"),
]


def self_test():
    lost = 0
    for before, after, word in [("", "", "3 events of 3 kinds, 2 tasks, 1 cores, 1 engines"), *MISTAKES,
                                (SOUND, "", "no end"), (SOUND, "hello\n", "tracer"), (SOUND, SOUND[:-1], "no end"),
                                (SOUND, SOUND + SOUND[SOUND.index("             app"):], "after the totals")]:
        try:
            complaint = read(SOUND.replace(before, after, 1))
        except Broken as broken:
            complaint = str(broken)
        if word not in complaint:
            print(f"{before!r} -> {after!r}: expected '{word}', got '{complaint}'")
            lost += 1
    return 1 if lost else 0


def main():
    arguments = sys.argv[1:]
    if not arguments or arguments[0].startswith("-") and arguments[0] != "--self-test":
        sys.exit(__doc__)
    if arguments == ["--self-test"]:
        return self_test()
    status = 0
    for path in arguments:
        try:
            with open(path, encoding="latin-1", newline="") as file:
                print(f"{path}: {read(file.read())}")
        except (Broken, OSError) as problem:
            print(f"{path}: {problem}")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
