#!/usr/bin/env python3
"""Plays real scenarios with --out and reads every file as strictly as a stranger's tool would: waveform, timeline and text
trace with their own checkers, JSON, resolved.yaml by running it again; and all of it a second time, byte for byte.

usage: check_outputs.py TOP [SECMMU]    SECMMU: the program; without it the one that the environment names
       check_outputs.py --self-test     shows that a broken file of each kind is found
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
FILES = ["events.jsonl", "resolved.yaml", "stats.json", "timeline.pftrace", "trace.txt", "verdict.json", "waves.gtkw", "waves.vcd"]
CHECKERS = {"waves.vcd": "check_vcd.py", "timeline.pftrace": "check_pftrace.py", "trace.txt": "check_ftrace.py"}
VIEWER = ["gtkwave", "Xvfb", "xvfb-run", "xauth", "import"]


def play(secmmu, *arguments):
    return subprocess.run([secmmu, "run", *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)


def whole_file(file):
    """What is wrong with one file; nothing for those that have no checker."""
    if file.name in CHECKERS:
        run = subprocess.run([sys.executable, HERE / CHECKERS[file.name], file], capture_output=True, text=True, check=False)
        if run.returncode != 0:
            yield f"{file.name}: {(run.stdout + run.stderr).strip()}"
    try:
        if file.suffix == ".json":
            json.loads(file.read_text(encoding="utf-8"))
        if file.suffix == ".jsonl":
            lines = file.read_text(encoding="utf-8").splitlines()
            if len(lines) < 2:
                yield f"{file.name}: {len(lines)} lines"
            for line in lines:
                json.loads(line)
    except ValueError as error:
        yield f"{file.name}: {error}"


def whole_run(folder):
    """What is wrong with the files of one run."""
    names = {file.name for file in folder.iterdir()}
    for name in FILES:
        if name not in names:
            yield f"{name} is missing"
    for name in sorted(names):
        if name.startswith("."):
            yield f"{name} is half-written"
        yield from whole_file(folder / name)


def contents(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def verdict_of(folder):
    document = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    return {key: document[key] for key in document if key not in ("path", "failed_expectations", "headline")}


def same_bytes(first, second):
    one, other = contents(first), contents(second)
    for name in sorted(one.keys() | other.keys()):
        if one.get(name) != other.get(name):
            yield f"{name} differs from run to run"


def problems(secmmu, top, scenarios, folder):
    first, second, again = folder / "first", folder / "second", folder / "again"
    results = [play(secmmu, *scenarios, "--out", first), play(secmmu, *scenarios, "--out", second, "--jobs", 3)]
    for result in results:
        if result.returncode != 0:
            yield f"the run ends with {result.returncode}: {result.stdout[-500:]}{result.stderr[-500:]}"
            return
    play(secmmu, *scenarios, "--out", first)  # over what is there
    yield from same_bytes(first, second)
    rows = json.loads((first / "summary.json").read_text(encoding="utf-8"))["results"]
    if {row["path"] for row in rows} != {str(path) for path in scenarios}:
        yield f"summary.json has {[row['path'] for row in rows]}"
    violated = 0
    for row in rows:
        run = first / row["directory"]
        yield from (f"{row['directory']}: {what}" for what in whole_run(run))
        verdict = verdict_of(run)
        violated += len(verdict["violations"])
        replay = again / row["directory"]
        play(secmmu, run / "resolved.yaml", "--out", replay, "--kernel", row["kernel"])
        # resolved.yaml has the kernel and the variants of its scenario.
        name = Path(row["scenario"]) / row["kernel"] / ("rules-kept" if row["variant"] else "")
        if not (replay / name / "verdict.json").is_file():
            yield f"{row['directory']}: resolved.yaml gives no verdict of its own"
        elif verdict_of(replay / name) != verdict:
            yield f"{row['directory']}: resolved.yaml gives another verdict"
    if violated == 0:
        yield "no run had a violation: its outputs were not looked at"
    if all(shutil.which(need) for need in VIEWER):
        directory = first / rows[0]["directory"]
        run = subprocess.run(["sh", HERE / "view_waves.sh", directory], capture_output=True, text=True, check=False)
        if run.returncode != 0:
            yield f"{rows[0]['directory']}: GTKWave: {run.stdout}{run.stderr}"


def self_test():
    failures = []
    broken = {"waves.vcd": "$end\n", "timeline.pftrace": "no protobuf", "trace.txt": "nothing", "verdict.json": "{",
              "events.jsonl": '{"a": 1}\n{\n', ".secmmu-partial.stats.json": ""}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        missing = list(whole_run(folder))
        if len(missing) != len(FILES):
            failures.append(f"an empty folder: {missing}")
        for file, text in broken.items():
            (folder / file).write_text(text, encoding="utf-8")
            if not any(line.startswith(file) for line in whole_run(folder) if "missing" not in line):
                failures.append(f"a broken {file} is not found")
            (folder / file).unlink()
        for side, text in (("a", "1"), ("b", "2")):
            (folder / side).mkdir()
            (folder / side / "x").write_text(text, encoding="utf-8")
        if list(same_bytes(folder / "a", folder / "b")) != ["x differs from run to run"]:
            failures.append("a difference is not found")
        program = folder / "secmmu"
        program.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
        program.chmod(0o755)
        if not list(problems(str(program), folder, ["x.yaml"], folder)):
            failures.append("a run that fails is not found")
    print("\n".join(failures) or f"{len(broken) + 3} kinds of mistakes, each found")
    return 1 if failures else 0


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    secmmu = sys.argv[2] if len(sys.argv) == 3 else os.environ.get("SECMMU", "")
    if len(sys.argv) not in (2, 3) or not secmmu or not Path(sys.argv[1]).is_dir():
        sys.exit(__doc__)
    top = Path(sys.argv[1])
    scenarios = sorted((top / "scenarios/tour").glob("01-*.yaml")) + sorted((top / "scenarios/races").glob("gru-without-range-active-check.yaml"))
    if len(scenarios) != 2:
        print(f"two scenarios are needed, found {scenarios}")
        return 1
    with tempfile.TemporaryDirectory() as folder:
        found = list(problems(str(Path(secmmu).resolve()), top, scenarios, Path(folder)))
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
