#!/usr/bin/env python3
"""Makes the tables of docs/kernels.md from the program: everything behind the line `<!-- made ... -->`.

usage: SECMMU=PROGRAM draw_kernels.py docs/kernels.md     rewrites the file
"""

import os
import re
import subprocess
import sys
from pathlib import Path

MARK = "<!-- Everything below is made by .ci/draw_kernels.py from what the program lists. -->\n"


def joined(lines):
    return " ".join(line.strip() for line in lines)


def kernels(text):
    """The kernels, each with its sentence and what differs from the one before: (behaviour, was, is, since, why)."""
    for block in re.split(r"\n\n(?=v[0-9])", text.partition("\nA scenario names")[0]):
        name, _, rest = block.partition("\n")
        about, _, changes = rest.partition("    What differs from")
        rows = re.findall(r"^      (\w+): (\S+) -> (\S+)  \((.*)\)\n((?: {10}.*\n?)*)", changes, re.M)
        yield name, joined(about.splitlines()), [(*row[:4], joined(row[4].splitlines())) for row in rows]


def page(old, listed):
    """The page: its hand-written half as it is in `old`, then the tables. `listed`: what `secmmu list WORD` prints."""
    text = old.partition(MARK)[0] + MARK
    text += "\n## The kernels\n"
    before = None
    for name, about, rows in kernels(listed("kernels")):
        text += f"\n### {name}\n\n{about}\n"
        if rows:
            text += f"\n| differs from {before} | was | is | since | what changed and why |\n|---|---|---|---|---|\n"
            for behaviour, was, now, since, why in rows:
                text += f"| `behaviour.{behaviour}` | {was} | {now} | {since.replace(', commit', '')} | {why} |\n"
        before = name
    text += "\n## What each behaviour decides\n\n| behaviour | values | what it decides |\n|---|---|---|\n"
    for name, values, about in re.findall(r"^  (behaviour\.\w+) = (.*)\n((?: {6}.*\n)+)", listed("parameters"), re.M):
        text += f"| `{name}` | {values.replace('|', '/')} | {joined(about.splitlines())} |\n"
    text += "\n## All changes\n\nThe rows of v2.6.27 say how the first version was.\n\n"
    text += "| since | commit | room | behaviour | value | what changed and why |\n|---|---|---|---|---|---|\n"
    for since, commit, room, behaviour, value, why in re.findall(
            r"^(v\S+)  (\S+)  (\S+)  (\w+) = (.*)\n((?: {4}.*\n)+)", listed("changes"), re.M):
        text += f"| {since} | {commit} | {room} | {behaviour} | {value} | {joined(why.splitlines())} |\n"
    return text


def main():
    if len(sys.argv) != 2 or "SECMMU" not in os.environ:
        sys.exit(__doc__)
    path = Path(sys.argv[1])

    def listed(what):
        return subprocess.run([os.environ["SECMMU"], "list", what], stdout=subprocess.PIPE, text=True, check=True).stdout

    path.write_text(page(path.read_text(encoding="utf-8"), listed), encoding="utf-8")


if __name__ == "__main__":
    main()
