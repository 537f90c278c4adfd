#!/usr/bin/env python3
"""Makes docs/history.md: plays every scenario of scenarios/history and writes down what each kernel did.

usage: SECMMU=PROGRAM draw_history.py TOP            rewrites docs/history.md
       SECMMU=PROGRAM draw_history.py TOP --check    says where it differs; exit status 1 if it does
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from itertools import zip_longest
from pathlib import Path

INTRO = """# History: Linux's own bugs, replayed

Made by .ci/draw_history.py from the runs of scenarios/history; do not edit. Each scenario names the interleaving that it
forces and what every kernel must do; `secmmu run` of one of them tells the story of the first
kernel that breaks and prints its row of the table.

The mark says where our knowledge comes from. **read**: from the kernel's source, its commits or its mailing lists. **from
memory**: not checked again. **derived**: our own deduction from code that was read; nobody upstream says so.

In the table: **V** a rule is violated, as the scenario says; **W** no rule is broken, but somebody reads a wrong value or
gets a wrong answer, as the scenario says; **.** clean; **-** the kernel lacks what the scenario needs, which was checked.
An empty cell was not played; the scenario says why.
"""

# What a scenario says of kernels in which only a value shows the bug.
WRONG = re.compile(r" *Wrong (value|answer): (\S+?)\.(?= |$)")


def play(top):
    files = sorted(str(path.relative_to(top)) for path in (top / "scenarios" / "history").glob("*.yaml"))
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([os.environ["SECMMU"], "run", *files, "--out", folder], cwd=top, stdout=subprocess.DEVNULL, check=False)
        return json.loads((Path(folder) / "summary.json").read_text(encoding="utf-8"))["results"]


def mark_wrong(runs):
    """Sets run["wrong"]: "value", "answer" or nothing. Takes the sentence out of the text and answers what is amiss."""
    about = " ".join(runs[0]["about"].split())
    said = WRONG.search(about)
    first, _, last = said[2].partition("..") if said else ("", "", "")
    kernels = [run["kernel"] for run in runs]
    amiss = [f"{runs[0]['path']}: '{name}' is none of its kernels" for name in (first, last)
             if name and name not in kernels]
    inside = False
    for run in runs:
        inside = inside or run["kernel"] == first
        run["about"] = WRONG.sub("", about)
        run["wrong"] = said[1] if said and inside and not amiss else ""
        inside = inside and run["kernel"] != (last or first)
        if run["wrong"] and (run["outcome"] != "passed" or run["violated"]):
            amiss.append(f"{run['path']}: {run['kernel']} is said to give a wrong {said[1]}, but was not clean otherwise")
    return amiss


def what_happened(run):
    return run["outcome"], run["violated"], run["wrong"]


def neighbours(runs):
    """Runs of one scenario, gathered while they did the same: [(first kernel, last kernel, run)]."""
    groups = []
    for run in runs:
        if groups and what_happened(groups[-1][2]) == what_happened(run):
            groups[-1][1] = run["kernel"]
        else:
            groups.append([run["kernel"], run["kernel"], run])
    return groups


def cell(run):
    if run["outcome"] not in ("passed", "absent"):
        return "**" + run["outcome"] + "**"
    return "-" if run["outcome"] == "absent" else "**V**" if run["violated"] else "**W**" if run["wrong"] else "."


def page(results):
    scenarios = {}
    for run in results:
        if not run["variant"]:
            scenarios.setdefault(run["path"], []).append(run)
    amiss = [line for runs in scenarios.values() for line in mark_wrong(runs)]
    kernels = max(([run["kernel"] for run in runs] for runs in scenarios.values()), key=len)
    text = INTRO + "\n| scenario | " + " | ".join(kernels) + " |\n|---" + "|:-:" * len(kernels) + "|\n"
    for path, runs in scenarios.items():
        cells = {run["kernel"]: cell(run) for run in runs}
        name = runs[0]["scenario"]
        text += f"| [{name}](#{name}) | " + " | ".join(cells.get(kernel, " ") for kernel in kernels) + " |\n"
    for path, runs in scenarios.items():
        about = runs[0]["about"]
        mark, _, rest = about.partition("] ") if about.startswith("[") else ("[unmarked", "", about)
        text += f"\n## {runs[0]['scenario']}\n\n*{mark[1:]}* · [{path}](../{path})\n\n{rest}\n\n"
        for first, last, run in neighbours(runs):
            names = first if first == last else f"{first} to {last}"
            if run["outcome"] == "absent":
                what = "absent: " + run["message"]
            elif run["outcome"] != "passed":
                what = run["outcome"] + ": " + run["message"]
            elif run["violated"]:
                what = "violated: " + ", ".join(f"`{rule}`" for rule in run["violated"])
            else:
                what = f"a wrong {run['wrong']}" if run["wrong"] else "clean"
            text += f"- {names}: {what}\n"
    return text, amiss


def main():
    if len(sys.argv) not in (2, 3) or "SECMMU" not in os.environ or not (Path(sys.argv[1]) / "README.md").is_file():
        sys.exit(__doc__)
    top = Path(sys.argv[1]).resolve()
    file = top / "docs" / "history.md"
    made, amiss = page(play(top))
    for line in amiss:
        print(line)
    unmarked = re.findall(r"^\*(?!read|from memory|derived)(.*?)\*", made, re.M)
    for mark in unmarked:
        print(f"scenarios/history: a scenario begins with the mark '{mark}', expected [read], [from memory] or [derived]")
    if len(sys.argv) == 2:
        file.write_text(made, encoding="utf-8")
        return 1 if unmarked or amiss else 0
    old = file.read_text(encoding="utf-8") if file.is_file() else ""
    for number, (there, should) in enumerate(zip_longest(old.splitlines(), made.splitlines()), 1):
        if there != should:
            print(f"docs/history.md:{number}: {there!r}, but the runs say {should!r}: .ci/draw_history.py makes it")
            return 1
    return 1 if unmarked or amiss else 0


if __name__ == "__main__":
    sys.exit(main())
