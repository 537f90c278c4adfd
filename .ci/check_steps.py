#!/usr/bin/env python3
"""Every step of a history scenario matters: without it some expectation must fail, and not only where the bug shows.

Each scenario is played in all its kernels, once for each step of its programs and scripts that is left out. Steps that
waited for that one wait no more. A step that makes the bug happen must be seen to happen in a kernel that is right, too:
else "clean" could mean that nothing was tried. Where no kernel is right, any kernel will do; and for what a device does
in a callback, too: a kernel that is right may tell it in another one.

usage: SECMMU=PROGRAM check_steps.py TOP [SCENARIO...]     prints one line per step that does not matter; exit status 1
"""

import copy
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml


def run(file, *arguments):
    return subprocess.run([os.environ["SECMMU"], "run", str(file), *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False)


ROW = re.compile(r"^  (v\S+) +(clean|absent|violated|inconclusive)[^(\n]*(\(not as expected\))?", re.MULTILINE)


def outcomes(text):
    """Kernel: (outcome, is it as expected)."""
    return {row[1]: (row[2], row[3] is None) for row in ROW.finditer(text)}


def programs(scenario):
    """(where, list of steps) for each program, loop and script."""
    def inside(where, steps):
        yield where, steps
        for number, step in enumerate(steps):
            if isinstance(step, dict) and "loop" in step:
                yield from inside(f"{where}.{number}.loop", step["loop"]["do"])
    for name, actor in scenario["actors"].items():
        if "do" in actor:
            yield from inside(f"actors.{name}.do", actor["do"])
    for name, device in scenario.get("devices", {}).items():
        for callback, steps in (device.get("callbacks") or {}).items():
            yield from inside(f"devices.{name}.callbacks.{callback}", steps)


def forget(value, step_id):
    if isinstance(value, dict):
        after = value.get("after")
        kept = [name for name in ([after] if isinstance(after, str) else after or []) if name != step_id]
        if after is not None and not kept:
            del value["after"]
        elif after is not None:
            value["after"] = kept
        for inner in value.values():
            forget(inner, step_id)
    elif isinstance(value, list):
        for inner in value:
            forget(inner, step_id)


def without(scenario, place, number):
    """The scenario without the step `number` of the program at `place`, and the step."""
    changed = copy.deepcopy(scenario)
    steps = dict(programs(changed))[place]
    step = steps.pop(number)
    if isinstance(step, dict) and "id" in step:
        forget(changed, place.split(".")[1] + "." + step["id"])
    return changed, step


def idle(scenario):
    """An actor or a script without any step is left out or does nothing: the language wants at least one step."""
    for actor in scenario["actors"].values():
        if actor.get("do") == []:
            actor["do"] = [{"delay": "1ps"}]
    for device in scenario.get("devices", {}).values():
        for callback, steps in (device.get("callbacks") or {}).items():
            if not steps:
                device["callbacks"][callback] = ["ignore"]
    return scenario


def check(file):
    found = []
    with tempfile.TemporaryDirectory() as folder:
        scenario = yaml.safe_load(file.read_text(encoding="utf-8"))
        right = {kernel for kernel, (outcome, _) in outcomes(run(file).stdout).items() if outcome == "clean"}
        for place, steps in programs(scenario):
            for number in range(len(steps)):
                changed, step = without(scenario, place, number)
                if step == "ignore":
                    continue
                copy_file = Path(folder) / file.name
                copy_file.write_text(yaml.safe_dump(idle(changed), sort_keys=False), encoding="utf-8")
                done = run(copy_file)
                where = f"{file}: {place}.{number} {step}"
                failed = {kernel for kernel, (_, expected) in outcomes(done.stdout).items() if not expected}
                if done.returncode == 2:
                    pass  # what does not parse without the step needs it
                elif done.returncode not in (0, 1, 4):
                    found.append(f"{where}: exit status {done.returncode}\n{done.stdout}")
                elif not failed:
                    found.append(f"{where}: all expectations hold without it, in every kernel")
                elif right and ".callbacks." not in place and not failed & right:
                    found.append(f"{where}: only kernels with the bug ({', '.join(sorted(failed))}) notice that it is gone")
    return found


def main():
    if len(sys.argv) < 2 or "SECMMU" not in os.environ:
        sys.exit(__doc__)
    top = Path(sys.argv[1]).resolve()
    files = [Path(name) for name in sys.argv[2:]] or sorted((top / "scenarios" / "history").glob("*.yaml"))
    found = [line for file in files for line in check(file)]
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
