#!/usr/bin/env python3
"""Gives draw_history.py a wrong page, and check_steps.py a scenario with an idle step, and expects both to be named."""

import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
IDLE = """scenario: 1
name: idle-step
about: "[read] Nothing depends on the delay."
kernels: [v3.2, v6.10]
machine: {cpus: 1}
processes: {app: {buffers: {buf: {pages: 1, populate: true}}}}
actors:
  one: {cpu: 0, process: app, do: [{delay: 1us}, {read: {buffer: buf, want: 1}, result: ok}]}
expect: {values: [{process: app, buffer: buf, page: 0, value: 0}]}
"""


def says(script, *arguments):
    done = subprocess.run([sys.executable, HERE / script, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False)
    return done.returncode, done.stdout


def main():
    wrong = []
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        for folder in ("scenarios/history", "docs"):
            (top / folder).mkdir(parents=True)
        (top / "README.md").touch()
        file = top / "scenarios" / "history" / "idle-step.yaml"
        file.write_text(IDLE.replace("want: 1", "want: 0"), encoding="utf-8")
        if says("draw_history.py", top) != (0, ""):
            wrong.append("draw_history.py does not write a page")
        if says("draw_history.py", top, "--check")[0] != 0:
            wrong.append("draw_history.py refuses its own page")
        page = top / "docs" / "history.md"
        page.write_text(page.read_text(encoding="utf-8").replace("clean", "violated"), encoding="utf-8")
        if says("draw_history.py", top, "--check")[0] != 1:
            wrong.append("draw_history.py takes a wrong page")
        file.write_text(IDLE.replace("want: 1", "want: 0").replace("[read] ", ""), encoding="utf-8")
        if "unmarked" not in says("draw_history.py", top)[1]:
            wrong.append("draw_history.py takes a scenario without a mark")
        file.write_text(IDLE.replace("want: 1", "want: 0").replace("delay.", "delay. Wrong value: v3.2."), encoding="utf-8")
        if says("draw_history.py", top) != (0, "") or "**W** | ." not in page.read_text(encoding="utf-8"):
            wrong.append("draw_history.py does not mark a wrong value")
        file.write_text(IDLE.replace("want: 1", "want: 0").replace("delay.", "delay. Wrong value: v3.3."), encoding="utf-8")
        if "'v3.3' is none of its kernels" not in says("draw_history.py", top)[1]:
            wrong.append("draw_history.py takes a wrong value in a kernel that is not played")
        code, text = says("check_steps.py", top, file)
        if code != 1 or "{'delay': '1us'}" not in text:
            wrong.append("check_steps.py takes an idle step")
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
