#!/usr/bin/env python3
"""README.md and docs/ against the program: what they name exists, what exists is named, and what they show runs.

- Words in backticks that look like a name of ours are one: parameters, subcommands and their options; in
  tables also rules of the oracle, rules of a device's protocol, tracepoints.
- Every rule, protocol rule, device, kernel, operation and parameter is named in docs; a default in docs/costs.md is the
  program's, and docs/kernels.md is what draw_kernels.py makes of the tables of changes.
- Links and paths lead to files.
- A block ```yaml that begins with `scenario:` is a scenario that the program accepts and, unless it is shown to fail in a
  ```console of the same document or plays a recording that is not there, one that ends as it expects.
- A block ```console shows commands, `$ build/release/secmmu ...`, with what they print: each line is printed, in that
  order; a line `...` stands for any lines. Scenarios of the same document are there, under their names.

usage: SECMMU=PROGRAM check_docs.py TOP     prints one line per mistake; exit status 1 if there is any
"""

import os
import re
import subprocess
import sys
import tempfile
from itertools import zip_longest
from pathlib import Path

import draw_kernels

SHOWN_PROGRAM = "build/release/secmmu"
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
LINK = re.compile(r"!?\[[^\]]*\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)")
OUR_PATH = re.compile(r"(?:\.ci|docs|models|notifier|scenarios|sim)/[\w./-]*\w")
SUBCOMMAND = re.compile(r"(?:build/release/)?secmmu ([a-z]+)\b(?: ([A-Za-z-]+))?")
PARAMETER = re.compile(r"(?:machine|behaviour|devices)\.[\w.]+")


class Program:
    def __init__(self, path):
        self.path = path
        self.names = {}

    def say(self, *arguments, **more):
        done = subprocess.run([self.path, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **more)
        return done.stdout

    def list(self, what):
        if what not in self.names:
            self.names[what] = self.say("list", what)
        return self.names[what]

    def subcommands(self):
        text = self.say("--help")
        return {line.split()[0] for line in text.partition("Subcommands:")[2].splitlines() if re.match(r"  [a-z]", line)}

    def parameters(self):
        """Name -> default; of a behaviour, what it may be."""
        found = {}
        for line in self.list("parameters").splitlines():
            match = re.match(r" *([a-z]+\.[\w.]+) = (.+?)(?:  .*)?$", line)
            if match:
                found[match[1]] = match[2]
        return found

    def first_words(self, what, indent=""):
        return {match[1] for match in re.finditer(rf"^{indent}([\w.-]+)[ :]", self.list(what) + "\n", re.M)}

    def operations(self):
        return {match[1] for match in re.finditer(r"^([a-z_]+)", self.list("operations"), re.M)}

    def protocol_rules(self):
        return {match[1] for match in re.finditer(r"^ {4,6}([a-z]+(?:-[a-z]+)+)  ", self.list("devices"), re.M)}

    def kernels(self):
        return {match[1] for match in re.finditer(r"^(v[\d.]+(?:-rc)?)(?:$|  (?!\())", self.list("kernels").partition("What changed")[0], re.M)}


class Check:
    def __init__(self, top, program):
        self.top, self.program, self.found = top, program, []
        self.documents = {path: path.read_text(encoding="utf-8") for path in [top / "README.md", *sorted((top / "docs").glob("*.md"))]}
        self.all_text = "\n".join(self.documents.values())
        self.rules = program.first_words("rules")
        self.protocol = program.protocol_rules()
        self.parameters = program.parameters()
        self.subcommands = program.subcommands()
        self.tracepoints = program.first_words("tracepoints")

    def wrong(self, path, text):
        self.found.append(f"{path.relative_to(self.top)}: {text}")

    def links(self, path, text):
        for link in LINK.findall(text):
            if not (path.parent / link).exists():
                self.wrong(path, f"the link {link} leads nowhere")
        for name in set(OUR_PATH.findall(BLOCK.sub("", text))):
            # From the top or, in a link, from the document; a class may be named by its files' common beginning.
            if not any((base / name).exists() for base in (self.top, path.parent)) and not any(self.top.glob(f"{name}.?pp")):
                self.wrong(path, f"there is no {name}")

    def spans(self, path, text):
        """Words in backticks, each judged if it looks like a name of some kind."""
        prose = BLOCK.sub("", text)
        for span in set(SPAN.findall(prose)):
            word = span.strip()
            if PARAMETER.fullmatch(word) and not word.endswith((".hpp", ".cpp")) and word not in self.parameters:
                if not any(name.startswith(word + ".") for name in self.parameters) and not self.is_device_path(word):
                    self.wrong(path, f"there is no parameter {word}")
            if SUBCOMMAND.match(word):
                self.command(path, word)
        # In tables whose first column is a rule, a tracepoint, a protocol rule.
        for kind, names in (("rule", self.rules), ("protocol rule", self.protocol), ("tracepoint", self.tracepoints)):
            for table in re.findall(rf"^\| {kind} \|.*\n\|[-| ]+\n((?:\|.*\n)+)", text, re.M):
                for row in re.findall(r"^\| `([^`]+)`", table, re.M):
                    if row not in names:
                        self.wrong(path, f"there is no {kind} {row}")

    def is_device_path(self, word):
        match = re.fullmatch(r"devices\.\w+\.(\w+)", word)
        keys = {name.rsplit(".", 1)[1] for name in self.parameters if name.startswith("devices.")}
        return bool(match) and match[1] in keys | {"kind", "attach", "without", "callbacks"}

    def command(self, path, command):
        match = SUBCOMMAND.match(command)
        name, argument = match[1], match[2]
        if name not in self.subcommands:
            self.wrong(path, f"`{command}`: there is no subcommand {name}")
        elif name == "explain" and argument and not argument.isupper() and argument not in self.rules | self.protocol:
            self.wrong(path, f"`{command}`: there is no rule {argument}")
        elif name == "list" and argument and not argument.isupper() and not re.search(rf"\b{argument}\b", self.program.say("list", "--help")):
            self.wrong(path, f"`{command}`: nothing of that name is listed")
        else:
            help_text = self.program.say(name, "--help")
            for option in re.findall(r" (--[a-z-]+)", command):
                if option not in help_text:
                    self.wrong(path, f"`{command}`: there is no option {option}")

    def blocks(self, path, text):
        with tempfile.TemporaryDirectory() as scratch:
            for language, block in BLOCK.findall(text):
                name = re.search(r"^name: (\S+)$", block, re.M)
                if language == "yaml" and block.startswith("scenario:") and name:
                    file = Path(scratch) / f"{name[1]}.yaml"
                    file.write_text(block, encoding="utf-8")
                    for recording in re.findall(r"lackey: ([\w.-]+)", block):  # any will do: it is not read here
                        (Path(scratch) / recording).touch()
                    said = self.program.say("check", file.name, cwd=scratch)
                    if ": error:" in said:
                        self.wrong(path, f"the scenario {name[1]} is refused: {said.splitlines()[0]}")
                    elif not re.search(rf"^\$ .*\b{re.escape(file.name)}", text, re.M) and "lackey:" not in block:
                        done = subprocess.run([self.program.path, "run", file.name], cwd=scratch, stdout=subprocess.PIPE,
                                              stderr=subprocess.STDOUT, text=True, check=False)
                        if done.returncode != 0:
                            last = (done.stdout.splitlines() or ["nothing is said"])[-1]
                            self.wrong(path, f"the scenario {name[1]} does not end as it expects: {last}")
                elif language == "console":
                    self.console(path, block, scratch)
                else:
                    for line in block.splitlines():
                        if line.startswith((SHOWN_PROGRAM, "secmmu ")):
                            self.command(path, line)

    def console(self, path, block, scratch):
        for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.M):
            if not command.startswith(SHOWN_PROGRAM):
                continue
            self.command(path, command)
            # As if in the top of the repository, with the document's own scenarios beside.
            for room in ("scenarios",):
                link = Path(scratch) / room
                if not link.exists():
                    link.symlink_to((self.top / room).resolve())
            environment = {**os.environ, "program": str(Path(self.program.path).resolve()), "NO_COLOR": "1"}
            line = '"$program"' + command[len(SHOWN_PROGRAM):]
            done = subprocess.run(["sh", "-c", line], cwd=scratch, env=environment, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, check=False)
            said = [text.rstrip() for text in done.stdout.splitlines()]
            at, skipping = 0, False
            for text in shown.splitlines():
                text = text.rstrip()
                if text == "...":
                    skipping = True
                    continue
                if skipping:
                    at = next((i for i in range(at, len(said)) if said[i] == text), len(said))
                if at >= len(said) or said[at] != text:
                    got = said[at] if at < len(said) else "nothing"
                    self.wrong(path, f"`{command}` does not print '{text}' there; it prints '{got}'")
                    break
                at, skipping = at + 1, False
            else:
                if not skipping and shown and at < len(said) and any(said[at:]):
                    self.wrong(path, f"`{command}` prints more than what is shown: '{said[at]}'")

    def everything_named(self):
        words = set(SPAN.findall(self.all_text))
        for kind, names in (("rule", self.rules), ("protocol rule", self.protocol), ("operation", self.program.operations()),
                            ("kernel", self.program.kernels())):
            for name in sorted(names):
                if name not in words and not re.search(rf"\b{re.escape(name)}\b", self.all_text):
                    self.found.append(f"docs: the {kind} {name} is named nowhere")
        rows = dict(re.findall(r"^\| `([\w.]+)` \| ([^|]*?) \|", self.documents[self.top / "docs" / "costs.md"], re.M))
        for name, default in self.parameters.items():
            if name.startswith("behaviour."):
                if name.partition(".")[2] not in self.all_text:
                    self.found.append(f"docs: the behaviour {name} is named nowhere")
            elif name not in rows:
                self.found.append(f"docs/costs.md: the parameter {name} is missing")
            elif rows[name] != default:
                self.found.append(f"docs/costs.md: {name} is {default}, not {rows[name]}")
        for name in rows:
            if name not in self.parameters:
                self.found.append(f"docs/costs.md: there is no parameter {name}")
        kernels = self.top / "docs" / "kernels.md"
        made = draw_kernels.page(self.documents[kernels], self.program.list)
        for number, (is_now, should) in enumerate(zip_longest(self.documents[kernels].splitlines(), made.splitlines()), 1):
            if is_now != should:
                self.found.append(f"docs/kernels.md:{number}: not what .ci/draw_kernels.py makes of the program")
                break

    def example(self):
        source = (self.top / "notifier" / "foreign_device_test.cpp").read_text(encoding="utf-8")
        code = source.partition("// begin: foreign device\n")[2].partition("// end: foreign device")[0]
        if f"```cpp\n{code}```" not in self.documents[self.top / "docs" / "foreign-device.md"]:
            self.found.append("docs/foreign-device.md: the device shown is not that of notifier/foreign_device_test.cpp")

    def run(self):
        for path, text in self.documents.items():
            self.links(path, text)
            self.spans(path, text)
            self.blocks(path, text)
        self.everything_named()
        self.example()
        return self.found


def main():
    if len(sys.argv) != 2 or not (Path(sys.argv[1]) / "README.md").is_file() or "SECMMU" not in os.environ:
        sys.exit(__doc__)
    found = Check(Path(sys.argv[1]).resolve(), Program(os.environ["SECMMU"])).run()
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
