#!/usr/bin/env python3
"""Every doctest case must be one ctest test: refuses names that CMake's discovery or doctest's filter would lose.

A name with a bracket, semicolon, backslash or star is cut, merged with its neighbour or taken for a pattern, and two
cases of one room with the same name (the filter ignores case) would run in one process.

usage: check_tests.py TOP     prints one line per bad name; exit status 1 if there is any
"""

import re
import sys
from pathlib import Path

CASE = re.compile(r'^\s*TEST_CASE(?:_FIXTURE|_TEMPLATE|_TEMPLATE_DEFINE)?\s*\(\s*(?:[\w:]+\s*,\s*)?"(?P<name>(?:[^"\\]|\\.)*)"', re.M)
LOST = re.compile(r"[\[\];\\*?]|^\s|\s$|^$")


def room_of(path):
    if path.endswith("_platform_test.cpp"):
        return "platform"  # one executable for all rooms
    return "substrate" if path.startswith("notifier/substrate/") else path.split("/")[0]


def mistakes(top):
    seen = {}
    for room in ("notifier", "models", "sim"):
        for file in sorted((top / room).rglob("*_test.cpp")):
            source = file.relative_to(top).as_posix()
            text = file.read_text(encoding="utf-8")
            for case in CASE.finditer(text):
                name = case["name"]
                place = f"{source}:{text.count(chr(10), 0, case.start('name')) + 1}"
                if LOST.search(name):
                    yield f'{place}: "{name}": a name has none of [ ] ; \\ * ? and no blank at its ends'
                first = seen.setdefault((room_of(source), name.lower()), place)
                if first != place:
                    yield f'{place}: "{name}": the same name as at {first}'


def main():
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        sys.exit(__doc__)
    found = list(mistakes(Path(sys.argv[1])))
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
