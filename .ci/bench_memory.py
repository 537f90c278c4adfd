#!/usr/bin/env python3
"""Measures what memory operations cost for each page: bench_memory.py BUILD [--sizes 1000,10000,100000,1000000]

Whole runs of BUILD/secmmu. A process writes so many pages, a GRU and a virtual machine read them all, and then comes
one operation on all pages; what it costs is the CPU time of that run less that of the same run without it. The cost
for each page should be the same for all sizes. Also: how many of the recordings of Linux are played in a second.
"""
import argparse
import os
import re
import statistics
import sys
import tempfile

from bench_figures import ROOT, one_run, short

SCENARIO = """scenario: 1
name: memory
limit: 100000s
kernel: v6.1
machine: {{cpus: 1, memory: {{frames: {frames}}}, mm: {{swap_slots: {frames}, huge_pages: never}}}}
processes:
  app: {{buffers: {{buf: {{at: 0x7f00_0000_0000, pages: {pages}, backing: {backing}}}}}}}
devices:
  gru0: {{kind: gru, attach: app}}
  vm: {{kind: kvm, attach: app}}
actors:
  main:
    cpu: 0
    process: app
    do:
      - {{id: written, write: {{buffer: buf, value: 1}}}}
{steps}
  engine:
    {{device: gru0, process: app, do: [{{id: read, after: main.written, read: {{buffer: buf}}}}]}}
  guest:
    {{device: vm, process: app, do: [{{id: read, after: engine.read, read: {{buffer: buf}}}}]}}
"""

# name, backing, steps that make ready, steps that are measured
KINDS = [
    ("fork", "anon", [], ["fork: kid"]),
    ("mprotect", "anon", [], ["mprotect: {buffer: buf, prot: r}"]),
    ("dontneed", "anon", [], ["dontneed: {buffer: buf}"]),
    ("munmap", "anon", [], ["munmap: {buffer: buf}"]),
    ("mremap", "anon", [], ["mremap: {buffer: buf, to: new}"]),
    ("lazyfree", "anon", [], ["lazyfree: {buffer: buf}"]),
    ("clear_soft_dirty", "anon", [], ["clear_soft_dirty"]),
    ("copy on write", "anon", ["fork: kid"], ["write: {buffer: buf, value: 2}"]),
    ("reclaim to swap", "anon", ["pageout: {buffer: buf}"], ["pageout: {buffer: buf}"]),
    ("swap in", "anon", ["pageout: {buffer: buf}", "pageout: {buffer: buf}"], ["read: {buffer: buf}"]),
    ("write-back", "file", [], ["msync: {buffer: buf}"]),
]


def cpu_of(program, path, runs):
    return statistics.median(one_run([program, "run", path])[1] for _ in range(runs))


def measure(build, sizes, names):
    program = os.path.join(build, "secmmu")
    table = {}
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "memory.yaml")

        def cpu(pages, backing, steps):
            lines = [f"      - {{after: guest.read, {step}}}" if i == 0 and ":" in step else
                     f"      - {{{step}}}" if ":" in step else f"      - {step}" for i, step in enumerate(steps)]
            if steps and ":" not in steps[0]:
                lines.insert(0, "      - {after: guest.read, delay: 1ns}")
            with open(path, "w", encoding="utf-8") as file:
                file.write(SCENARIO.format(frames=2 * pages + pages // 100 + 4096, pages=pages, backing=backing,
                                           steps="\n".join(lines)))
            return cpu_of(program, path, 1 if pages >= 1_000_000 else 3 if pages >= 100_000 else 15)

        for name, backing, ready, measured in KINDS:
            if names and name not in names:
                continue
            table[name] = []
            for pages in sizes:
                with_it = cpu(pages, backing, ready + measured)
                table[name].append((with_it - cpu(pages, backing, ready)) / pages)
    return table


def recordings_per_second(build):
    # It fails if one of them differs: here only the time counts.
    command = ["sh", "-c", f"'{build}/secmmu' conform '{ROOT}/scenarios/linux-6.1' || true"]
    recordings = sum(len([name for name in names if re.search(r"-.*\.txt$|^[a-z]+\.txt$", name)])
                     for folder, _, names in os.walk(os.path.join(ROOT, "scenarios/linux-6.1"))
                     if folder != os.path.join(ROOT, "scenarios/linux-6.1"))
    return recordings / statistics.median(one_run(command)[1] for _ in range(5))


def rows(build, sizes, names=()):
    """Lines of the table, and the spread of each row: the dearest page against the cheapest."""
    head = "cost for each page".ljust(22) + "".join(f"{size:>12,}" for size in sizes) + "   dearest : cheapest"
    lines = [head]
    for name, costs in measure(build, sizes, names).items():
        spread = max(costs) / min(costs) if min(costs) > 0 else float("nan")
        lines.append(name.ljust(22) + "".join(f"{cost * 1e6:>9.2f} us" for cost in costs) + f"   {spread:.2f}")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--sizes", default="1000,10000,100000,1000000")
    parser.add_argument("--only", action="append", default=[], help="an operation of the table")
    options = parser.parse_args()
    build = os.path.abspath(options.build)
    print("\n".join(rows(build, [int(size) for size in options.sizes.split(",")], options.only)))
    print(f"recordings of Linux: {short(recordings_per_second(build))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
