#!/usr/bin/env python3
"""scenarios/linux-6.1 against the program: every difference is known, every known difference is there.

known-differences.txt has a line for each difference: the recording, the line of it (or `all`: the recording as a whole),
and the reason. docs/linux.md shows, between two marks, tables that are made from the run.

usage: SECMMU=PROGRAM check_conform.py TOP             prints one line per mistake; exit status 1 if there is any
       SECMMU=PROGRAM check_conform.py TOP --update    makes the list and the tables anew; reasons stay
       check_conform.py --self-test
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = "scenarios/linux-6.1"
LIST = f"{FOLDER}/known-differences.txt"
PAGE = "docs/linux.md"
BEGIN, END = "<!-- made by .ci/check_conform.py --update -->\n", "<!-- end -->\n"
HEADER = """# Where our machine differs from the recordings: recording, line (or all), reason. Checked by .ci/check_conform.py:
# a difference that is not here fails the test, and so does one that is here and no longer there.
"""


def play(top):
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "report.json"
        done = subprocess.run([os.environ["SECMMU"], "conform", FOLDER, "--report", str(file)], cwd=top, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode not in (0, 1):
            sys.exit(f"secmmu conform ended with {done.returncode}:\n{done.stdout[-2000:]}")
        return json.loads(file.read_text(encoding="utf-8"))


def differences(report):
    """Recording: (lines that differ, operations that are not modelled)."""
    found = {}
    for one in report["files"]:
        if not one["identical"]:
            name = one["path"].removeprefix(FOLDER + "/")
            found[name] = ({difference["line"] for difference in one["differences"]}, one["not_modelled"])
    return found


def read_list(text, recordings):
    """(Recording: {line or "all": reason}, mistakes)."""
    known, wrong = {}, []
    last = ("", 0)
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("#"):
            continue
        words = line.split(maxsplit=2)
        if len(words) < 3:
            wrong.append(f"{LIST}:{number}: expected a recording, a line or 'all', and a reason")
            continue
        name, place, reason = words
        if name not in recordings:
            wrong.append(f"{LIST}:{number}: there is no recording {name}")
        if place != "all" and not place.isdecimal():
            wrong.append(f"{LIST}:{number}: '{place}' is neither a line nor 'all'")
            continue
        place = place if place == "all" else int(place)
        entries = known.setdefault(name, {})
        if place in entries or (entries and "all" in (place, *entries)):
            wrong.append(f"{LIST}:{number}: {name} {place} is covered by a line before")
        key = (name, 0 if place == "all" else place)
        if key < last:
            wrong.append(f"{LIST}:{number}: not in order: recordings by name, their lines by number")
        last = key
        entries[place] = reason
    return known, wrong


def compare(found, known):
    wrong = []
    for name in sorted(found.keys() | known.keys()):
        lines, entries = found.get(name, (set(), []))[0], known.get(name, {})
        if name not in found:
            wrong.append(f"{LIST}: {name} is identical: its lines there must go")
        elif "all" not in entries:
            wrong += [f"{FOLDER}/{name}:{line}: an unknown difference" for line in sorted(lines - entries.keys())]
            wrong += [f"{LIST}: {name}:{line} is no longer different" for line in sorted(entries.keys() - lines)]
            if not lines and not entries:
                wrong.append(f"{FOLDER}/{name}: something beside its lines is wrong")
    return wrong


def made_list(found, known):
    text = HEADER
    for name, (lines, missing) in sorted(found.items()):
        entries = known.get(name, {})
        if entries and lines and entries.keys() == lines:
            for line in sorted(lines):
                text += f"{name} {line} {entries[line]}\n"
        elif missing:
            text += f"{name} all not modelled: {', '.join(missing)}\n"
        else:
            reason = entries.get("all", "")
            text += f"{name} all {reason if reason and not reason.startswith('not modelled') else 'to be found out'}\n"
    return text


def made_tables(report):
    folders = {}
    for one in report["files"]:
        folder = folders.setdefault(one["path"].removeprefix(FOLDER + "/").split("/")[0], [0, 0])
        folder[0] += one["identical"]
        folder[1] += 1
    text = "| recordings | identical | of |\n|---|---|---|\n"
    for folder, (identical, total) in sorted(folders.items()):
        text += f"| {folder} | {identical} | {total} |\n"
    text += f"| all | {report['identical']} | {report['recordings']} |\n\n"
    text += "| lines | as recorded | of | beside them |\n|---|---|---|---|\n"
    for kind, count in report["lines"].items():
        text += f"| {kind} | {count['matching']} | {count['recorded']} | {count['surplus']} |\n"
    missing = [f"`{name}`" for name, count in sorted(report["operations"].items()) if not count["modelled"]]
    text += "\nNot played yet: " + (", ".join(missing) if missing else "none of the operations; all are") + ".\n"
    return text


def with_tables(page, tables):
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{PAGE} has no place for the tables: {BEGIN.strip()} and {END.strip()}")
    return before + BEGIN + tables + END + after


def check(top):
    report = play(top)
    recordings = {one["path"].removeprefix(FOLDER + "/") for one in report["files"]}
    known, wrong = read_list((top / LIST).read_text(encoding="utf-8"), recordings)
    wrong += compare(differences(report), known)
    page = (top / PAGE).read_text(encoding="utf-8")
    if with_tables(page, made_tables(report)) != page:
        wrong.append(f"{PAGE}: its tables are not those of this program")
    if wrong:
        wrong.append("if that is right: SECMMU=build/release/secmmu python3 .ci/check_conform.py . --update")
    return wrong


def update(top):
    report = play(top)
    recordings = {one["path"].removeprefix(FOLDER + "/") for one in report["files"]}
    file = top / LIST
    known, _ = read_list(file.read_text(encoding="utf-8") if file.exists() else "", recordings)
    file.write_text(made_list(differences(report), known), encoding="utf-8")
    page = top / PAGE
    page.write_text(with_tables(page.read_text(encoding="utf-8"), made_tables(report)), encoding="utf-8")
    print(f"{report['identical']} of {report['recordings']} recordings identical")


def self_test():
    found = {"a.txt": ({3, 5}, []), "b.txt": ({2}, ["free"]), "d.txt": (set(), [])}
    recordings = {"a.txt", "b.txt", "c.txt", "d.txt"}
    sound = "# x\na.txt 3 one\na.txt 5 two words\nb.txt all not modelled: free\nd.txt all a rule\n"
    known, wrong = read_list(sound, recordings)
    assert not wrong and not compare(found, known), (wrong, compare(found, known))
    assert made_list(found, known) == HEADER + sound.partition("\n")[2], made_list(found, known)
    for text, told in (
            ("a.txt 3\n", "expected a recording"),
            ("e.txt 3 x\n", "no recording e.txt"),
            ("a.txt x y\n", "neither a line"),
            ("a.txt all y\na.txt 3 y\n", "covered by a line before"),
            ("a.txt 3 y\na.txt 3 y\n", "covered by a line before"),
            ("b.txt 2 y\na.txt 3 y\n", "not in order"),
            ("a.txt 5 y\na.txt 3 y\n", "not in order")):
        assert any(told in mistake for mistake in read_list(text, recordings)[1]), text
    for text, told in (
            (sound.replace("a.txt 3 one\n", ""), "a.txt:3: an unknown difference"),
            (sound.replace("b.txt all", "c.txt all"), "c.txt is identical"),
            (sound.replace("b.txt all", "c.txt all"), "b.txt:2: an unknown difference"),
            (sound.replace("a.txt 5", "a.txt 5 x\na.txt 6"), "a.txt:6 is no longer different"),
            (sound.replace("d.txt all a rule\n", ""), "d.txt: something beside its lines")):
        assert any(told in mistake for mistake in compare(found, read_list(text, recordings)[0])), (text, told)
    print("every mistake is found")


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        self_test()
        sys.exit(0)
    if sys.argv[2:] == ["--update"]:
        update(Path(sys.argv[1]))
        sys.exit(0)
    mistakes = check(Path(sys.argv[1]))
    print("\n".join(mistakes[:40]))
    sys.exit(1 if mistakes else 0)
