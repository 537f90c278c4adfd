#!/usr/bin/env python3
"""Measures the figures of docs/performance.md: bench_figures.py BUILD [GOOGLE BENCHMARK'S OPTIONS]

Runs BUILD/secmmu_bench, then whole runs of BUILD/secmmu, and prints a table of those figures that have an aim,
each with the bare thing that was measured beside it. BUILD/bench.json and BUILD/bench_program.json have it all.
With options of Google Benchmark (--benchmark_filter=munmap) only those benchmarks run, and no whole runs.

  --runs N         whole runs of each kind (default 15; half of them for the long ones)
  --recording FILE also replays this recording of valgrind's lackey, to see that memory stays flat

Everything is CPU time, and the median of repetitions that take turns: other work on the machine then disturbs least.
"""
import argparse
import glob
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# name of the benchmark, aim per second, bare thing beside it, what the row says
RATES = [
    ("device/hits/one_task/reads", 50e6, "bare/b_transport", "device accesses that hit, one task"),
    ("device/hits/one_task/stride_of_a_scenario", 50e6, "bare/b_transport", "  the same with the generator of `access`"),
    ("device/hits/two_tasks_in_lock_step", None, "bare/systemc_thread_switch", "  two tasks in lock step"),
    ("device/misses/interrupt_walk_drop_in", 2e6, "bare/systemc_thread_switch", "misses that walk and drop in"),
    ("munmap/round/nobody_else", None, "bare/std_map_lookup/1024", "munmap round, nobody else"),
    ("munmap/round/other_core", 300e3, "bare/std_map_lookup/1024", "munmap round, one other core"),
    ("munmap/round/other_core_and_device", 300e3, "bare/std_map_lookup/1024", "munmap round, one other core, a GRU"),
]

MIRROR = """scenario: 1
name: mirrored
limit: 10s
machine: {{cpus: 2, memory: {{frames: 16384}}, tlb: {{entries: 64, ways: 4}}}}
processes:
  ls: {{}}
devices:
  gru0: {{kind: gru, attach: ls}}
actors:
  main: {{cpu: 0, process: ls, mirror: gru0, program: {{lackey: {recording}}}}}
"""
PLAIN = """scenario: 1
name: recording
limit: 100s
machine: {{cpus: 1, memory: {{frames: 262144}}, tlb: {{entries: 64, ways: 4}}}}
processes:
  app: {{}}
actors:
  main: {{cpu: 0, process: app, program: {{lackey: {recording}}}}}
"""


def one_run(command, watch=False):
    """(wall seconds, CPU seconds, peak KiB) of a process and those that it waited for; the peak only if watched."""
    with tempfile.TemporaryFile() as complaint:
        begin = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=complaint, cwd=ROOT)
        peak = watch_peak(process.pid) if watch else 0
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            complaint.seek(0)
            sys.exit(f"failed with {process.returncode}: {' '.join(command)}\n{complaint.read().decode()}")
    return wall, usage.ru_utime + usage.ru_stime, peak


def watch_peak(process):
    """The largest resident set of a process or a child of it, looked at every few milliseconds until it ends.

    The peak that wait4 knows includes this script's own memory before exec.
    """
    peak = 0
    while os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        family = [str(process)]
        try:
            with open(f"/proc/{process}/task/{process}/children", encoding="ascii") as children:
                family += children.read().split()
        except OSError:
            pass
        for member in family:
            try:
                with open(f"/proc/{member}/status", encoding="ascii") as status:
                    text = status.read()
            except OSError:
                continue
            if "Name:\tsecmmu" in text and "VmHWM:" in text:
                peak = max(peak, int(text.split("VmHWM:")[1].split()[0]))
        time.sleep(0.002)
    return peak


def whole_runs(cases):
    """Every case so many times, in turns; medians by name."""
    samples = {name: [] for name, _, _ in cases}
    for turn in range(max(runs for _, _, runs in cases)):
        for name, command, runs in cases:
            if turn < runs:
                samples[name].append(one_run(command))
    peaks = {name: one_run(command, watch=True)[2] for name, command, _ in cases if name != "bare process"}
    results = {}
    for name, command, _ in cases:
        wall, cpu, _ = zip(*samples[name])
        results[name] = {
            "runs": len(wall),
            "wall_median": statistics.median(wall),
            "wall_best": min(wall),
            "cpu_median": statistics.median(cpu),
            "cpu_best": min(cpu),
            "peak_kib": peaks.get(name, 0),
        }
    return results


def lines_of(recording):
    import gzip

    opened = gzip.open(recording, "rb") if recording.endswith(".gz") else open(recording, "rb")
    with opened as text:
        return sum(block.count(b"\n") for block in iter(lambda: text.read(1 << 20), b""))


def measure_program(build, runs, recording):
    program = os.path.join(build, "secmmu")
    tour = sorted(glob.glob(os.path.join(ROOT, "scenarios/tour/01*.yaml")))[0]
    workload = os.path.join(ROOT, "scenarios/workloads/ls.yaml")
    ls = os.path.join(ROOT, "scenarios/workloads/ls.lackey.gz")
    few = max(3, runs // 3)
    with tempfile.TemporaryDirectory() as directory:
        def scenario(name, text):
            path = os.path.join(directory, name)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            return path

        cases = [
            ("bare process", ["true"], runs),
            ("secmmu --help", [program, "--help"], runs),
            ("tour", [program, "run", tour], runs),
            ("ls unpacked", ["gzip", "-dc", ls], runs),
            ("ls", [program, "run", workload], few),
            ("ls mirrored", [program, "run", scenario("mirrored.yaml", MIRROR.format(recording=ls))], few),
        ]
        if recording:
            recording = os.path.abspath(recording)
            cases.append(("recording", [program, "run", scenario("recording.yaml", PLAIN.format(recording=recording))], 1))
        results = whole_runs(cases)
    lines = lines_of(ls)
    for name in ("ls unpacked", "ls", "ls mirrored"):
        results[name]["lines_per_cpu_second"] = lines / results[name]["cpu_median"]
    if recording:
        results["recording"]["lines"] = lines_of(recording)
        results["recording"]["lines_per_cpu_second"] = results["recording"]["lines"] / results["recording"]["cpu_median"]
    with open(os.path.join(build, "bench_program.json"), "w", encoding="utf-8") as file:
        json.dump(results, file, indent=2)
    return results


def short(rate):
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if rate >= size:
            return f"{rate / size:.3g} {unit}/s"
    return f"{rate:.3g} /s"


def medians(path):
    """items per second by the benchmark's name: the median if there were repetitions."""
    with open(path, encoding="utf-8") as file:
        rows = json.load(file)["benchmarks"]
    rates = {}
    for row in rows:
        if "items_per_second" not in row:
            continue
        if row.get("run_type") == "aggregate":
            if row["aggregate_name"] == "median":
                rates[row["run_name"]] = row["items_per_second"]
        else:
            rates.setdefault(row["run_name"], row["items_per_second"])
    return rates


def verdict(reached, aim):
    if aim is None:
        return ""
    return "reached" if reached >= aim else f"{aim / reached:.2f} times too slow"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--recording")
    options, rest = parser.parse_known_args()
    build = os.path.abspath(options.build)
    report = os.path.join(build, "bench.json")
    command = [os.path.join(build, "secmmu_bench"), f"--benchmark_out={report}", "--benchmark_out_format=json"]
    names = " ".join(rest)
    if "--benchmark_repetitions" not in names:
        command += ["--benchmark_repetitions=5", "--benchmark_report_aggregates_only=true",
                    "--benchmark_enable_random_interleaving=true"]
    if "--benchmark_min_time" not in names:
        command += ["--benchmark_min_time=0.2"]
    done = subprocess.run(command + rest, cwd=ROOT, check=False)
    if done.returncode != 0 or "--benchmark_list_tests" in names:
        return done.returncode

    rates = medians(report)
    rows = []
    for name, aim, beside, text in RATES:
        if name in rates:
            ratio = f"{rates[beside] / rates[name]:.3g} x {beside}" if beside in rates else ""
            rows.append((text, short(rates[name]), short(aim) if aim else "", verdict(rates[name], aim), ratio))
    if not rest:
        runs = measure_program(build, options.runs, options.recording)
        bare = runs["bare process"]["cpu_median"]
        tour = runs["tour"]
        rows.append(("first scenario of the tour, start to exit", f"{tour['wall_median'] * 1e3:.1f} ms", "50 ms",
                     "reached" if tour["wall_median"] < 0.05 else f"{tour['wall_median'] / 0.05:.2f} times too slow",
                     f"{tour['cpu_median'] / bare:.3g} x CPU time of a bare process"))
        unpacked = runs["ls unpacked"]["cpu_median"]
        for name, text in (("ls", "workload ls, lines"), ("ls mirrored", "  mirrored by a GRU"),
                           ("recording", "the given recording, lines")):
            if name in runs:
                run = runs[name]
                ratio = f"{run['cpu_median'] / unpacked:.3g} x gzip -dc" if name != "recording" else ""
                rows.append((text, short(run["lines_per_cpu_second"]), "", f"{run['cpu_median']:.2f} s, peak "
                             f"{run['peak_kib'] / 1024:.0f} MiB", ratio))
    widths = [max(len(row[column]) for row in rows) if rows else 0 for column in range(5)]
    print()
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    load = os.getloadavg()[0]
    print(f"\n{os.cpu_count()} cores, load {load:.1f}; CPU time, medians."
          + (" Others were at work: measure again when it is quiet." if load > 1.5 else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
