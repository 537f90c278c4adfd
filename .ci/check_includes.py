#!/usr/bin/env python3
"""The walls of the house: sim -> models -> notifier, and hardware stands on notifier/substrate alone.

usage: check_includes.py TOP     prints one line per wrong include; exit status 1 if there is any
"""

import re
import sys
from pathlib import Path

INCLUDE = re.compile(r'\s*#\s*include\s*(?P<open>["<])(?P<path>[^">]+)[">]')
ROOMS = ("sim", "models", "notifier")
SOURCES = {".hpp", ".cpp", ".h"}

SUBSTRATE = "notifier/substrate/"
OWN_HARDWARE = re.compile(r"models/devices/[^/]+/hardware")  # CMakeLists.txt builds secmmu_hardware from the same files
SHARED_HARDWARE = ("models/memory/", "models/cpu/")
DEVICE_EVENTS = "models/devices/events.hpp"  # tracepoints that every device has: plain structs over substrate


def may_include(source):
    """The beginnings of the paths that this file may include, and the rule in words."""
    if source.startswith(SUBSTRATE):
        return (SUBSTRATE,), "substrate includes nothing of ours but itself"
    if source.startswith("notifier/"):
        return ("notifier/",), "notifier includes neither models nor sim"
    own = OWN_HARDWARE.match(source)
    if own or source.startswith(SHARED_HARDWARE):
        allowed = (SUBSTRATE, *SHARED_HARDWARE) + ((own.group(), DEVICE_EVENTS) if own else ())
        return allowed, "hardware stands on substrate, memory, cpu and its own files only"
    if source.startswith("models/"):
        return ("models/", "notifier/"), "models does not include sim"
    return ("sim/", "models/", "notifier/"), "an include is a path from the top of the repository"


def mistake(top, source, bracket, path):
    """What is wrong with one include, or None."""
    ours = path.startswith(tuple(room + "/" for room in ROOMS))
    if bracket == "<":
        return "our own headers are included with quotes" if ours else None
    if not ours or ".." in path.split("/"):
        return "an include in quotes is a path from the top of the repository"
    allowed, rule = may_include(source)
    if not path.startswith(allowed):
        return rule
    if not (top / path).is_file():
        return "no such file"
    return None


def mistakes(top):
    for room in ROOMS:
        for file in sorted((top / room).rglob("*")):
            if file.suffix not in SOURCES or not file.is_file():
                continue
            source = file.relative_to(top).as_posix()
            for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
                include = INCLUDE.match(line)
                wrong = include and mistake(top, source, include["open"], include["path"])
                if wrong:
                    yield f"{source}:{number}: {line.strip()}: {wrong}"


def main():
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        sys.exit(__doc__)
    found = list(mistakes(Path(sys.argv[1])))
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
