#!/usr/bin/env python3
"""Shows that check_docs.py finds each kind of mistake: it gets docs with one mistake each, and must name it.

usage: SECMMU=PROGRAM check_docs_can_fail.py
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from check_docs import Check, Program

TOP = Path(__file__).resolve().parent.parent
# (file, what stands there, what is put in its place, a word of the complaint)
MISTAKES = [
    ("docs/README.md", "(gru.md)", "(grue.md)", "grue.md leads nowhere"),
    ("docs/gru.md", "(../scenarios/races/gru-running-at-exit.yaml)", "(../scenarios/races/no.yaml)", "no.yaml leads nowhere"),
    ("docs/architecture.md", ".ci/check_vcd.py", ".ci/check_vdc.py", "there is no .ci/check_vdc.py"),
    ("docs/costs.md", "`machine.stretch` with", "`machine.strech` with", "there is no parameter machine.strech"),
    ("docs/costs.md", "| `machine.cpus` | 2 |", "| `machine.cpus` | 3 |", "machine.cpus is 2, not 3"),
    ("docs/costs.md", "| `machine.cpus` |", "| `machine.cores` |", "machine.cpus is missing"),
    ("docs/kernels.md", "| `behaviour.read_side` | rcu | srcu |", "| `behaviour.read_side` | rcu | rcu |", "not what .ci/draw_kernels.py makes"),
    ("docs/foreign-device.md", "++open_ranges_;", "open_ranges_++;", "is not that of notifier/foreign_device_test.cpp"),
    ("docs/kernels.md", "| 21a92735f660 |", "| 21a92735f661 |", "not what .ci/draw_kernels.py makes"),
    ("docs/oracle.md", "| `lock-order` |", "| `lock-ordering` |", "there is no rule lock-ordering"),
    ("docs/gru.md", "| `write-check` |", "| `right-check` |", "there is no protocol rule right-check"),
    ("docs/outputs.md", "`secmmu list tracepoints`", "`secmmu list points`", "nothing of that name is listed"),
    ("docs/outputs.md", "`secmmu run SCENARIO... --out DIR`", "`secmmu run SCENARIO... --output DIR`", "there is no option --output"),
    ("docs/oracle.md", "`secmmu explain RULE`", "`secmmu tell RULE`", "there is no subcommand tell"),
    ("docs/oracle.md", "callbacks: {invalidate_range_start: [ignore]}", "callbacks: {invalidate_range_begin: [ignore]}", "is refused"),
    ("docs/oracle.md", "called dev's start", "called dev's end", "does not print"),
    ("README.md", "$ build/release/secmmu run my-first.yaml", "$ build/release/secmmu run my-last.yaml", "does not print"),
]


def main():
    if "SECMMU" not in os.environ:
        sys.exit(__doc__)
    program, lost = Program(os.environ["SECMMU"]), 0
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch)
        for room in (".ci", "models", "notifier", "scenarios", "sim", "LICENSE"):
            (copy / room).symlink_to(TOP / room)
        shutil.copytree(TOP / "docs", copy / "docs")
        shutil.copy(TOP / "README.md", copy)
        before = set(Check(copy, program).run())
        for name, right, wrong, word in MISTAKES:
            file = copy / name
            text = file.read_text(encoding="utf-8")
            if right not in text:
                print(f"{name}: '{right}' is not there, so nothing was tried")
                lost += 1
                continue
            file.write_text(text.replace(right, wrong, 1), encoding="utf-8")
            found = [line for line in Check(copy, program).run() if line not in before]
            if not any(word in line for line in found):
                print(f"{name}: {right} -> {wrong}: expected '{word}', got {found}")
                lost += 1
            file.write_text(text, encoding="utf-8")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
