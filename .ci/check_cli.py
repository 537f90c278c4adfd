#!/usr/bin/env python3
"""Uses secmmu as a new user would, a friendly one and a hostile one: exit codes, messages, files, signals.

usage: check_cli.py TOP [SECMMU]    SECMMU: the program; without it the one that the environment names
       check_cli.py --self-test     shows that a program which does nothing right fails every check
"""

import functools
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree as xml
from pathlib import Path

SUBCOMMANDS = ["run", "check", "conform", "list", "explain", "schema"]
LISTS = ["kernels", "devices", "operations", "rules", "tracepoints", "counters", "parameters"]

# A device that ignores its callbacks reads a page that is somebody else's by now.
RACE = """scenario: 1
name: {name}
{kernels}processes:
  app: {{buffers: {{buf: {{pages: 1, populate: true}}}}}}
devices:
  dev: {{kind: probe, attach: app{callbacks}}}
actors:
  user:
    device: dev
    process: app
    do:
      - {{id: warm, read: {{buffer: buf}}}}
      - {{after: main.gone, read: {{buffer: buf}}, result: ok-or-fault}}
  main:
    process: app
    cpu: 0
    do:
      - {{after: user.warm, munmap: {{buffer: buf}}, id: gone}}
{expect}"""
DEAF = ", callbacks: {invalidate_range_start: [ignore]}"
# Runs for many seconds of real time.
LONG = """scenario: 1
name: {name}
processes:
  app: {{buffers: {{buf: {{pages: 512, populate: true}}}}}}
actors:
  main:
    process: app
    cpu: 0
    do: [{{loop: {{times: 100_000_000, do: [{{read: {{buffer: buf}}}}]}}}}]
limit: 100_000s
"""
# Fills the buffers of its output files more than once.
BUSY = """scenario: 1
name: busy
processes:
  app: {}
actors:
  main:
    process: app
    cpu: 0
    do:
      - {mmap: {buffer: buf, pages: 8}}
      - {loop: {times: 2000, do: [{write: {buffer: buf, value: 1}}, {dontneed: {buffer: buf}}]}}
"""


def race(name, deaf=False, expect="", kernels=""):
    return RACE.format(name=name, callbacks=DEAF if deaf else "", expect=expect, kernels=kernels)


class Desk:
    """A folder to work in, the program, and what was found wrong."""

    def __init__(self, secmmu, folder):
        self.secmmu = secmmu
        self.folder = Path(folder)
        self.found = []
        self.started = []

    def file(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return str(path)

    def play(self, *arguments, **more):
        environment = {"PATH": os.environ.get("PATH", ""), "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", ""), **more.pop("env", {})}
        return subprocess.run([self.secmmu, *arguments], capture_output=True, text=True, timeout=60, cwd=self.folder,
                              env=environment, check=False, **more)

    def start(self, *arguments):
        """In a group of its own, which is ended with this desk."""
        program = subprocess.Popen([self.secmmu, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   cwd=self.folder, start_new_session=True)
        self.started.append(program)
        return program

    def clear(self):
        """A program that fails these checks may leave workers that run for hours."""
        for program in self.started:
            try:
                os.killpg(program.pid, signal.SIGKILL)
            except ProcessLookupError:  # as it should be
                pass
            program.poll()

    def expect(self, truth, text):
        if not truth:
            self.found.append(text)

    def ends(self, run, code, out="", err=""):
        """With this exit code; standard output and standard error hold these patterns, nothing if empty."""
        what = " ".join(run.args[1:])[:200]
        self.expect(run.returncode == code, f"{what}: ends with {run.returncode}, not {code}: {run.stderr[:300]}")
        for name, text, pattern in (("output", run.stdout, out), ("errors", run.stderr, err)):
            if not pattern:
                self.expect(not text, f"{what}: unexpected {name}: {text[:200]}")
            else:
                self.expect(re.search(pattern, text, re.M), f"{what}: {name} without /{pattern}/: {text[:300]}")


def help_is_complete(desk):
    run = desk.play("--help")
    desk.ends(run, 0, r"Usage: secmmu ")
    listed = re.findall(r"^  ([a-z]+)  +[A-Z]", run.stdout.partition("Subcommands:")[2], re.M)
    desk.expect(listed == SUBCOMMANDS, f"--help lists {listed}")
    for command in SUBCOMMANDS:
        desk.ends(desk.play(command, "--help"), 0, rf"Usage: secmmu {command} ")
        desk.ends(desk.play(command, "-h"), 0, rf"Usage: secmmu {command} ")
    for option in ("--out", "--kernel", "--seed", "--set", "--junit", "--jobs", "--verbose"):
        desk.expect(option in desk.play("run", "--help").stdout, f"run --help has no {option}")


def wrong_usage(desk):
    clean = desk.file("clean.yaml", race("clean"))
    for arguments, message in [
        ([], "the subcommand is missing, expected run, check, conform, list, explain or schema"),
        (["rnu"], "no subcommand 'rnu', .*; did you mean 'run'\\?"),
        (["--frob"], "no option '--frob' here"),
        (["run"], "SCENARIO is missing"),
        (["check"], "SCENARIO is missing"),
        (["list"], "WHAT is missing: One of kernels, "),
        (["explain"], "RULE is missing"),
        (["list", "kernel"], "no list 'kernel', .*; did you mean 'kernels'\\?"),
        (["list", "kernels", "rules"], "'rules' is one word too many"),
        (["explain", "use-after-fre"], "no rule 'use-after-fre', .*; did you mean 'use-after-free'\\?"),
        (["schema", "x"], "'x' is one word too many"),
        (["conform"], "PATH is missing"),
        (["conform", "x", "--kernel", "v6.2x"], "no kernel 'v6.2x'"),
        (["conform", "x", "--kernel", "v6.1", "--kernel", "v3.2"], "--kernel: recordings are played on one kernel"),
        (["conform", "x", "--record", clean], "--record plays a scenario"),
        (["conform", "--record", clean, "--report", "x"], "--report is about recordings"),
        (["conform", "x", "--report", ""], "--report: '' is no file"),
        (["conform", "x", "--jobs", "0"], "--jobs: '0' is out of range"),
        (["conform", "--random", "0"], "--random: '0' is out of range"),
        (["conform", "--random", "many"], "--random: 'many' is no"),
        (["conform", "x", "--random", "1"], "--random draws its own programs: expected no PATH beside it"),
        (["conform", "x", "--seed", "1"], "--seed is about --random, which is missing"),
        (["conform", "--random", "1", "--device", "kvn"], "--device: no device 'kvn'"),
        (["conform", "--random", "1", "--without", "zap-in-stat"], "--without: no rule 'zap-in-stat'"),
        (["conform", "--random", "1", "--write", ""], "--write: '' is no folder"),
        (["run", clean, "--ot", "x"], "no option '--ot'; did you mean '--out'\\?"),
        (["run", clean, "--kernal=v6.10"], "no option '--kernal'; did you mean '--kernel'\\?"),
        (["check", clean, "--seed", "1"], "no option '--seed'"),
        (["run", clean, "--out"], "--out needs a value"),
        (["run", clean, "--out", ""], "--out: '' is no folder"),
        (["run", clean, "--junit", ""], "--junit: '' is no file"),
        (["run", clean, "--jobs", "0"], "--jobs: '0' is out of range, expected 1 to 256"),
        (["run", clean, "--jobs", "many"], "--jobs: 'many' is no number"),
        (["run", clean, "--jobs=-3"], "--jobs: '-3' has a sign"),
        (["run", clean, "--seed", "abc"], "--seed: 'abc' is no number"),
        (["run", clean, "--seed", "-1"], "--seed: '-1' has a sign"),
        (["run", clean, "--seed", "010"], "--seed: '010' "),
        (["run", clean, "--seed", "99999999999999999999"], "--seed: .* does not fit into 64 bits"),
        (["run", clean, "--seed", "1", "--seed", "2"], "--seed is there twice"),
        (["run", clean, "--out", "a", "--out", "b"], "--out is there twice"),
        (["run", clean, "--kernel", "v9.9"], "no kernel 'v9.9', .*; did you mean 'v6.10'\\?"),
        (["run", clean, "--kernel", "6.10"], "no kernel '6.10', .*; did you mean 'v6.10'\\?"),
        (["run", clean, "--kernel", "v3.2", "--kernel", "v3.2"], "'v3.2' is there twice"),
        (["run", clean, "--kernel", "v3.2..v3.9,v3.7"], "'v3.7' is there twice"),
        (["run", clean, "--kernel", "v3.2..v9.9"], "'v3.2..v9.9' is no range of kernels: there is no 'v9.9', expected two of"),
        (["run", clean, "--kernel", "v3.9..v3.2"], "no kernel is in v3.9..v3.2, expected the older kernel first"),
        (["run", clean, "--from", "1"], "--from: '1' "),
        (["run", clean, "--from", "2us", "--to", "1us"], "--to comes before --from"),
        (["run", clean, "--max-events", "x"], "--max-events: 'x' is no number"),
        (["run", clean, "--lanes", "devv"], "no core, task, device or process 'devv', .*; did you mean 'dev'\\?"),
        (["run", clean, "--lanes", "cpu0,nobody"], "no core, task, device or process 'nobody'"),
    ]:
        desk.ends(run := desk.play(*arguments), 2, "", rf"^secmmu\b.*: error: .*{message}")
        desk.expect(len(run.stderr.splitlines()) == 2 and re.fullmatch(r"Try 'secmmu.* --help'\.", run.stderr.splitlines()[1]),
                    f"{arguments}: more than a line and where to find help: {run.stderr[:300]}")


def wrong_input(desk):
    clean = desk.file("clean.yaml", race("clean"))
    desk.file("folder.yaml/x", "")
    for command in ("run", "check"):
        desk.ends(desk.play(command, "nofile.yaml"), 2, "", r"^nofile\.yaml: error: there is no such file$")
        desk.ends(desk.play(command, "folder.yaml"), 2, "", r"^folder\.yaml: error: this is a directory")
        for setting, message in [("foo", "no path and value"), ("=", "no path and value"), ("foo=1", "no key of a scenario"),
                                 ("machine.cpus=abc", "'abc' is no number"), ("machine.cpus=0", "out of range"),
                                 ("machine.cpsu=3", "did you mean 'cpus'\\?")]:
            desk.ends(desk.play(command, clean, "--set", setting), 2, "", rf"^--set {setting}: error: .*{message}")
        # Only building the machine shows this.
        desk.ends(desk.play(command, clean, "--set", "machine.tlb.ways=5"), 2, "", r"^\S*clean\.yaml: error: machine\.tlb")
    desk.ends(desk.play("check", clean, "nofile.yaml", clean), 2, r"^\S*clean\.yaml: ok\n\S*clean\.yaml: ok\n\Z", "no such file")
    # A mistake in the last file costs no run.
    desk.ends(desk.play("run", clean, "nofile.yaml", "--out", "early"), 2, "", "no such file")
    desk.expect(not (desk.folder / "early").exists(), "a run with a wrong file made its output folder")


def lists_and_explanations(desk):
    texts = {}
    for name in LISTS:
        run = desk.play("list", name)
        desk.ends(run, 0, ".")
        texts[name] = run.stdout
        # A row that is all names may be longer; sentences are broken.
        long = [line for line in run.stdout.splitlines() if len(line) > 120 and line.startswith(" " * 4)]
        desk.expect(not long, f"list {name}: {long[:1]} is too long for a terminal")
    desk.expect(re.search(r"^ +read_side: rcu -> srcu +\(v3\.7, commit 21a92735f660\)$", texts["kernels"], re.M),
                "list kernels does not say when read_side changed, and by which commit")
    rules = re.findall(r"^([a-z-]+)  ", texts["rules"], re.M)
    desk.expect(len(rules) >= 11, f"list rules has {rules}")
    protocol = re.findall(r"^ {6}([a-z-]+)  ", texts["devices"].partition("Rules of its protocol")[2].partition("\n\n")[0], re.M)
    desk.expect("range-active-check" in protocol, f"list devices has the rules {protocol}")
    for rule in rules + protocol:
        desk.ends(desk.play("explain", rule), 0, rf"\A{rule}: .+\n\n.+")
    schema = desk.play("schema")
    desk.ends(schema, 0, ".")
    try:
        desk.expect("properties" in json.loads(schema.stdout), "the schema has no properties")
    except ValueError as error:
        desk.expect(False, f"the schema is no JSON: {error}")


def verdicts(desk):
    clean = desk.file("clean.yaml", race("clean"))
    expected = desk.file("expected.yaml", race("expected", deaf=True, expect="expect: {violated: [use-after-free]}\n"))
    bad = desk.file("bad.yaml", race("bad", deaf=True))
    never = desk.file("never.yaml", race("never", expect="expect: {sometimes: [dev.faults > 100]}\n"))
    late = desk.file("late.yaml", race("late") + "limit: 1ns\n")
    both = desk.file("both.yaml", race("both", kernels="kernels: [v3.2, v6.10]\n"))
    seeds = desk.file("seeds.yaml", race("seeds") + "seeds: 20\n")

    desk.ends(desk.play("run", clean), 0, r"\Apassed  clean, kernel v6\.10, seed 1\n.*\n\Z")
    desk.ends(desk.play("run", clean, "--seed", "0x10"), 0, r"seed 16$")
    desk.ends(desk.play("run", "--", clean), 0, r"\Apassed")
    desk.ends(desk.play("run", expected), 0, r"use-after-free at .*as the scenario expects")
    desk.ends(desk.play("run", bad), 1, r"\AFAILED  bad(.*\n)+.*secmmu explain use-after-free")
    desk.ends(desk.play("run", never), 1, r"never\.yaml:\d+:\d+: on v6\.10 never: dev\.faults > 100$")
    desk.ends(desk.play("run", late), 4, r"\AINCONCLUSIVE")
    # A kernel that the scenario does not name is judged by its general expectations.
    desk.ends(desk.play("run", clean, "--kernel", "v3.2"), 0, r"\Apassed  clean, kernel v3\.2")
    desk.ends(desk.play("run", clean, "--kernel", "v3.2", "--kernel", "v6.10"), 0, r"2 of 2 runs as expected\n\Z")
    desk.ends(desk.play("run", clean, "--kernel", "v3.2..v3.9"), 0, r"4 of 4 runs as expected\n\Z")
    desk.ends(desk.play("run", clean, "--kernel", "v3.2..v3.5.6,v6.10"), 0, r"3 of 3 runs as expected\n\Z")
    desk.ends(desk.play("run", clean, "--kernel", "all"), 0, r"14 of 14 runs as expected\n\Z")
    desk.ends(desk.play("run", both), 0, r"^  v3\.2   clean\n  v6\.10  clean\n2 of 2 runs as expected\n\Z")
    desk.ends(desk.play("run", seeds), 0, r"\Apassed  seeds, kernel v6\.10, seeds 1 to 20: 20 of 20 runs as expected\n20 of 20")

    # Several files: a line each, but for what failed; in the order of the command line, the most serious exit code.
    run = desk.play("run", expected, bad, clean, "--jobs", "3")
    desk.ends(run, 1, r"\Apassed  expected, kernel v6\.10, seed 1: use-after-free, as the scenario expects\nFAILED  bad")
    desk.expect(run.stdout.endswith("passed  clean, kernel v6.10, seed 1\n2 of 3 runs as expected\n"),
                f"several files end with {run.stdout[-200:]!r}")
    desk.ends(desk.play("run", expected, clean, "--verbose"), 0, r"secmmu explain use-after-free")
    desk.ends(desk.play("run", late, bad), 1, "INCONCLUSIVE")
    for environment in ({}, {"NO_COLOR": "1"}):
        desk.expect("\x1b" not in desk.play("run", bad, env=environment).stdout, "colours although there is no terminal")


def has_terminals():
    try:
        for end in os.openpty():
            os.close(end)
    except OSError:  # a bare container may have no /dev/ptmx
        return False
    return True


def colours(desk):
    bad = desk.file("bad.yaml", race("bad", deaf=True))
    if not has_terminals():
        print("colours: not looked at, this machine has no terminals to give")
        return
    for value, coloured in ((None, True), ("", True), ("1", False)):
        ours, theirs = os.openpty()
        environment = {**os.environ, "NO_COLOR": value} if value is not None else {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
        with subprocess.Popen([desk.secmmu, "run", bad], stdout=theirs, stderr=subprocess.DEVNULL, env=environment) as program:
            os.close(theirs)
            seen = b""
            try:
                while part := os.read(ours, 65536):
                    seen += part
            except OSError:  # how Linux tells that the other end was closed
                pass
            program.wait(60)
        os.close(ours)
        desk.expect((b"\x1b[" in seen) == coloured, f"NO_COLOR={value}: {'no ' if coloured else ''}colours on a terminal")


def files(desk):
    clean = desk.file("clean.yaml", race("clean"))
    bad = desk.file("bad.yaml", race("bad", deaf=True))
    kept = desk.file("kept.yaml", race("kept", expect="expect: {kept: {}}\n"))
    run = desk.play("run", clean, bad, kept, "--out", "out", "--junit", "deep/er/junit.xml")
    desk.expect(run.returncode == 1, f"run --out: ends with {run.returncode}: {run.stderr[:300]}")
    try:
        summary = json.loads((desk.folder / "out/summary.json").read_text())
        rows = [(row["scenario"], row["kernel"], row["variant"], row["outcome"]) for row in summary["results"]]
        desk.expect(rows == [("clean", "v6.10", "", "passed"), ("bad", "v6.10", "", "failed"), ("kept", "v6.10", "", "passed"),
                             ("kept", "v6.10", "rules kept", "passed")], f"summary.json has {rows}")
        for row in summary["results"]:
            desk.expect((desk.folder / "out" / row["directory"] / "verdict.json").is_file(), f"no verdict.json for {row}")
        suites = xml.parse(desk.folder / "deep/er/junit.xml").getroot()
        names = [suite.get("name") for suite in suites]
        desk.expect(names == [clean, bad, kept], f"JUnit names the files {names}")
        desk.expect((suites.get("tests"), suites.get("failures")) == ("4", "1"), f"JUnit counts {suites.attrib}")
        desk.expect([case.get("name") for case in suites[2]] == ["v6.10", "v6.10/rules kept"], "JUnit does not name variants")
        desk.expect("use-after-free" in (suites[1][0][0].text or ""), "JUnit does not have the report")
    except (OSError, ValueError, KeyError, IndexError, xml.ParseError) as error:
        desk.expect(False, f"run --out --junit: {error!r}")
    desk.ends(desk.play("run", clean, "--out", "one"), 0, r"^  outputs +one/clean/v6\.10$")

    # What cannot be written is refused before anything runs.
    desk.file("occupied", "")
    for option in ("--out", "--junit"):
        for place in ("occupied/x", "/proc/nowhere/x"):
            desk.ends(desk.play("run", clean, option, place), 2, "", r"^secmmu run: error: cannot ")
    desk.ends(desk.play("run", clean, "--out", "occupied"), 2, "", r"^secmmu run: error: cannot create directory")
    desk.ends(desk.play("run", clean, "--junit", "."), 2, "", r"^secmmu run: error: cannot write")
    twin = desk.file("twin/clean.yaml", race("clean"))
    desk.ends(desk.play("run", clean, twin, "--out", "two"), 2, "", r"have the same name, 'clean'")
    desk.ends(desk.play("run", clean, twin), 0, r"2 of 2")

    # A disk that fills up, at the end of a run or in its middle: a limit on the size of files does the same to write().
    busy = desk.file("busy.yaml", BUSY)
    for scenario, bytes_left in ((clean, 700), (busy, 70_000)):
        folder = desk.folder / f"full-{bytes_left}"

        def small_files(limit=bytes_left):
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        desk.ends(desk.play("run", scenario, "--out", str(folder), preexec_fn=small_files), 2, "",
                  rf"^{re.escape(scenario)}: error: cannot write .*: File too large")
        left = sorted(path.name for path in folder.rglob(".*"))
        desk.expect(not left, f"half-written files are left: {left}")
        desk.expect(not list(folder.rglob("verdict.json")), "a verdict beside outputs that are not complete")
    with open("/dev/full", "w", encoding="utf-8") as full:
        run = subprocess.run([desk.secmmu, "list", "rules"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    desk.expect(run.returncode == 2 and "cannot write to standard output" in run.stderr, f"a full disk as standard output: {run}")


def many(desk):
    names = [desk.file(f"many/s{number:03}.yaml", race(f"s{number:03}", deaf=number % 3 == 0)) for number in range(120)]
    run = desk.play("run", *names, "--jobs", "8", "--out", "many-out")
    desk.expect(run.returncode == 1, f"120 scenarios end with {run.returncode}: {run.stderr[:300]}")
    order = re.findall(r"^(?:passed|FAILED)  (s\d+),", run.stdout, re.M)
    desk.expect(order == sorted(order) and len(order) == 120, f"120 scenarios come as {order}")
    desk.expect(run.stdout.endswith("80 of 120 runs as expected\n"), f"120 scenarios end with {run.stdout[-80:]!r}")
    # Reports larger than a pipe: each worker must be heard while another one is.
    wordy = [desk.file(f"wordy/w{number}.yaml", race(f"w{number}", deaf=True) + "seeds: 300\n") for number in range(3)]
    run = desk.play("run", *wordy, "--jobs", "3", "--verbose")
    desk.expect(run.returncode == 1 and run.stdout.endswith("0 of 900 runs as expected\n"), f"much to tell: {run.stdout[-200:]!r}")


def children_of(pid):
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def wait_until(condition, seconds=15):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def gone(pids):
    """Ended; in a container nobody may collect those whose parent was killed."""
    def ended(pid):
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            return True
    return all(ended(pid) for pid in pids)


def a_worker_that_crashes(desk):
    long = desk.file("long.yaml", LONG.format(name="long"))
    clean = desk.file("clean.yaml", race("clean"))
    program = desk.start("run", long, clean, "--out", "crash", "--junit", "crash.xml")
    begun = wait_until(lambda: list((desk.folder / "crash").rglob(".secmmu-partial.*")))
    workers = children_of(program.pid)
    desk.expect(begun and len(workers) == 1, f"the long run did not begin: {workers}")
    for worker in workers:
        os.kill(worker, signal.SIGSEGV)
    if not workers:
        program.kill()
    out, err = program.communicate(timeout=60)
    desk.expect(program.returncode == 3, f"a crash ends with {program.returncode}: {err}")
    desk.expect(re.fullmatch(r"\S*long\.yaml: internal fault: the worker ended with signal 11 \(.*\) while it was doing: "
                             r"kernel v6\.10 seed 1\n", err), f"a crash says {err!r}")
    desk.expect("passed  clean" in out and out.endswith("1 of 2 runs as expected\n"), f"after a crash: {out!r}")
    desk.expect(not list((desk.folder / "crash").rglob(".*")), "a crash leaves half-written files")
    try:
        outcomes = [row["outcome"] for row in json.loads((desk.folder / "crash/summary.json").read_text())["results"]]
        errors = xml.parse(desk.folder / "crash.xml").getroot().get("errors")
        desk.expect((outcomes, errors) == (["crashed", "passed"], "1"), f"summary.json and JUnit of a crash: {outcomes}, {errors}")
    except (OSError, ValueError, xml.ParseError) as error:
        desk.expect(False, f"files after a crash: {error!r}")


def signals(desk):
    longs = [desk.file(f"l{number}.yaml", LONG.format(name=f"l{number}")) for number in range(2)]
    for number, whole_group in ((signal.SIGINT, True), (signal.SIGTERM, False), (signal.SIGKILL, False)):
        folder = desk.folder / f"stop-{number.name}"
        program = desk.start("run", *longs, "--jobs", "2", "--out", str(folder))
        begun = wait_until(lambda: len(list(folder.rglob(".secmmu-partial.*"))) >= 8)
        workers = children_of(program.pid)
        desk.expect(begun and len(workers) == 2, f"{number.name}: the long runs did not begin: {workers}")
        # A key on the terminal reaches every process of the group.
        (os.killpg if whole_group else os.kill)(program.pid, number)
        out, err = program.communicate(timeout=60)
        desk.expect(program.returncode == -number, f"{number.name}: ends with {program.returncode}")
        desk.expect(not out and not err, f"{number.name}: says {out!r} {err!r}")
        desk.expect(wait_until(functools.partial(gone, workers), 5), f"{number.name}: workers live on")
        if number != signal.SIGKILL:
            desk.expect(not [path for path in folder.rglob("*") if path.is_file()], f"{number.name}: half-written files are left")


def closed_output(desk):
    names = [desk.file(f"closed/c{number}.yaml", race(f"c{number}")) for number in range(40)]
    program = desk.start("run", *names, "--jobs", "2", "--out", "closed-out")
    drain = threading.Thread(target=program.stderr.read)
    drain.start()
    desk.expect(program.stdout.readline().startswith("passed  c0,"), "the first line of a pipe")
    workers = children_of(program.pid)
    program.stdout.close()  # what `| head -1` does
    code = program.wait(60)
    drain.join()
    desk.expect(code == -signal.SIGPIPE, f"a closed pipe ends it with {code}")
    desk.expect(wait_until(functools.partial(gone, workers), 5), "a closed pipe: workers live on")
    desk.expect(not list((desk.folder / "closed-out").rglob(".*")), "a closed pipe leaves half-written files")


RECORDING = """case {name}
setup anon a 4
setup cw a 0 4 1
> watch a
= ok
> munmap a 0 2
= ok
start UNMAP 0 2 blockable pte={pte}
invalidate_range 0 2
end UNMAP 0 2 pte=none
invalidate_range 0 2
"""


def recordings(desk):
    same = desk.file("rec/a/same.txt", RECORDING.format(name="same", pte="rw"))
    other = desk.file("rec/b/other.txt", RECORDING.format(name="other", pte="ro"))
    wrong = desk.file("wrong.txt", RECORDING.format(name="wrong", pte="rx"))
    desk.ends(desk.play("conform", same), 0, r"\A\S*same\.txt: identical\n(.*\n)*1 of 1 recordings identical\n\Z")
    run = desk.play("conform", "rec", "--diff", "--report", "deep/report.json", "--jobs", "2")
    desk.ends(run, 1, r"\Arec/a/same\.txt: identical\nrec/b/other\.txt:8: > munmap a 0 2: recorded '.*ro', played '.*rw'\n"
                      r"  6: > munmap a 0 2\n(.*\n)*.*pte=ro \| .*pte=rw\n(.*\n)*1 of 2 recordings identical\n\Z")
    try:
        report = json.loads((desk.folder / "deep/report.json").read_text())
        desk.expect((report["identical"], report["recordings"]) == (1, 2), f"the report of two recordings: {report}")
        desk.expect([one["line"] for one in report["files"][1]["differences"]] == [8], "the report has other differences")
        page = (desk.folder / "deep/report.html").read_text()
        desk.expect("1 of 2 recordings identical" in page and "http" not in page, "the page is not complete in itself")
    except (OSError, ValueError, LookupError) as error:
        desk.expect(False, f"--report: {error}")
    desk.ends(desk.play("conform", same, wrong), 2, err=r"wrong\.txt:8:27: error: no state 'pte=rx', expected .*; did you mean 'pte=r[ow]'\?")
    desk.ends(desk.play("conform", "nowhere.txt"), 2, err=r"nowhere\.txt: error: there is no such file")
    (desk.folder / "empty").mkdir()
    desk.ends(desk.play("conform", "empty"), 2, err=r"empty: error: there is no recording")
    # What is recorded of a scenario is a recording.
    scenario = desk.file("sc.yaml", race("sc").replace("kind: probe", "kind: gru"))
    run = desk.play("conform", "--record", scenario)
    desk.ends(run, 0, r"\Acase sc\nsetup anon buf 1\nsetup populate_write buf 0 1\n> watch buf\n= ok\n(.*\n)*> munmap buf 0 1\n= ok\nstart UNMAP 0 1 blockable pte=rw\n")
    run = desk.play("conform", "--record", scenario, "--kernel", "v6.1", "--kernel", "v6.10", "--diff")
    desk.ends(run, 1, r"sc\.yaml: v6\.1 and v6\.10: munmap buf 0 1: v6\.1 tells 'invalidate_range 0 1', v6\.10 tells nothing \(1 more\)\n")
    again = desk.play("conform", "--record", scenario, "--kernel", "v6.1,v6.10", "--diff")
    desk.expect(again.stdout == run.stdout, "--kernel A,B tells something else than --kernel A --kernel B")
    lacking = desk.file("lacking.yaml", race("lacking").replace("munmap:", "lazyfree:").replace("kind: probe", "kind: gru"))
    desk.ends(desk.play("conform", "--record", lacking, "--kernel", "v3.2,v6.1"), 1,
              r"lacking\.yaml: v3\.2 and v6\.1: free buf 0 1: v3\.2 tells nothing, v6\.1 tells '= ok' \(\d+ more\)\n",
              err=r"lacking\.yaml: v3\.2 ends early: MADV_FREE does not exist in this kernel\n")
    desk.ends(desk.play("conform", "--record", same), 2, err=r"same\.txt:1:")
    desk.ends(desk.play("conform", same, "--without", "zap"), 2, err=r"--without: no rule 'zap', expected .*zap-in-start")


def random_programs(desk):
    desk.ends(desk.play("conform", "--random", "5", "--seed", "7"), 0,
              r"\A5 programs, from seed 7 on, with hmm, kvm or gru, in order and crowded: nothing is wrong\n\Z")
    broken = ("--without", "zap-in-start")
    run = desk.play("conform", "--random", "40", "--device", "kvm", *broken, "--write", "found")
    desk.ends(run, 1, r"\Aprogram \d+, kvm, (in order|crowded): .*\n\d+ of its \d+ operations are enough:\n\n(.*\n)+\n"
                      r"written to found/random-kvm-\d+\S*\n\Z")
    # What was written is played again: it fails as before, and only then.
    for file in sorted(desk.folder.glob("found/*")):
        if file.suffix == ".txt":
            desk.ends(desk.play("conform", str(file), *broken), 1, r"0 of 1 recordings identical\n\Z")
            desk.ends(desk.play("conform", str(file)), 0, r"1 of 1 recordings identical\n\Z")
        else:
            desk.ends(desk.play("run", str(file)), 1)
    desk.expect(len(list(desk.folder.glob("found/*"))) == 1, "there is not one file in found/")


CHECKS = [help_is_complete, wrong_usage, wrong_input, lists_and_explanations, verdicts, colours, files, many, recordings,
          random_programs, a_worker_that_crashes, signals, closed_output]


def problems(secmmu):
    for check in CHECKS:
        with tempfile.TemporaryDirectory() as folder:
            desk = Desk(secmmu, folder)
            try:
                check(desk)
            except (subprocess.TimeoutExpired, OSError) as error:
                desk.found.append(f"{error}")
            finally:
                desk.clear()
            for line in desk.found:
                yield check.__name__, f"{check.__name__}: {line}"


def self_test():
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "secmmu")
        program.write_text("#!/bin/sh\necho nonsense\nexit 5\n", encoding="utf-8")
        program.chmod(0o755)
        global wait_until  # nothing will ever begin
        wait_until = lambda condition, seconds=0: condition()
        failed = {name for name, _ in problems(str(program))}
    blind = [check.__name__ for check in CHECKS if check.__name__ not in failed and (check is not colours or has_terminals())]
    print("\n".join(f"{name} finds nothing wrong" for name in blind) or f"{len(CHECKS)} checks, each can fail")
    return 1 if blind else 0


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    secmmu = sys.argv[2] if len(sys.argv) == 3 else os.environ.get("SECMMU", "")
    if len(sys.argv) not in (2, 3) or not secmmu or not Path(sys.argv[1]).is_dir():
        sys.exit(__doc__)
    found = [line for _, line in problems(str(Path(secmmu).resolve()))]
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
