#!/usr/bin/env python3
"""Gives check_tests.py one bad test name at a time and expects it to be named."""

import subprocess
import sys
import tempfile
from pathlib import Path

CHECK = Path(__file__).with_name("check_tests.py")
SOUND = [
    ("notifier/substrate/a_test.cpp", 'TEST_CASE("a range is half open, always (so far)") {}\n'),
    ("notifier/a_test.cpp", 'TEST_CASE("a range is half open, always (so far)") {}\n'),  # another room: fine
    ("sim/a_test.cpp", 'TEST_CASE_FIXTURE(ns::Fixture,\n    "one") {}\nTEST_CASE("two") {}\n'),
    ("models/a_platform_test.cpp", 'TEST_CASE("two") {}\n'),  # an executable of its own
]
WRONG = [
    ("sim/b_platform_test.cpp", 'TEST_CASE("two") {}\n', 1),  # as in models/a_platform_test.cpp
    ("sim/b_test.cpp", 'TEST_CASE("ONE") {}\n', 1),  # as in sim/a_test.cpp but for case
    ("sim/b_test.cpp", '\nTEST_CASE("range [a,b) is half open") {}\n', 2),
    ("sim/b_test.cpp", 'TEST_CASE("first; then second") {}\n', 1),
    ("sim/b_test.cpp", 'TEST_CASE("pte_* helpers") {}\n', 1),
    ("sim/b_test.cpp", 'TEST_CASE("a \\"quoted\\" word") {}\n', 1),
    ("sim/b_test.cpp", 'TEST_CASE(" leading blank") {}\n', 1),
    ("sim/b_test.cpp", 'TEST_CASE("three") {}\nTEST_CASE_TEMPLATE("three", T, int) {}\n', 2),
]


def check(files):
    with tempfile.TemporaryDirectory() as top:
        for path, text in files:
            file = Path(top, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        run = subprocess.run([sys.executable, CHECK, top], stdout=subprocess.PIPE, encoding="utf-8", check=False)
        return run.returncode, run.stdout.splitlines()


def main():
    failures = []
    if check(SOUND) != (0, []):
        failures.append(f"sound names are refused: {check(SOUND)[1]}")
    for path, text, line in WRONG:
        status, printed = check([*SOUND, (path, text)])
        if status != 1 or len(printed) != 1 or not printed[0].startswith(f"{path}:{line}: "):
            failures.append(f"{text!r}: expected one mistake in line {line}, got status {status} and {printed}")
    print("\n".join(failures) if failures else f"{len(WRONG)} bad names, each found")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
