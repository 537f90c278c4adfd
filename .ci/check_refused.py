#!/usr/bin/env python3
"""A scenario that must be refused is: exit code 2, and each mistake at its place in the file.

usage: SECMMU=PROGRAM check_refused.py FILE...     prints one line per file that is taken; exit status 1 if there is any
"""

import os
import re
import subprocess
import sys


def problem(secmmu, file):
    run = subprocess.run([secmmu, "check", file], capture_output=True, text=True, check=False)
    if run.returncode != 2:
        return f"ends with {run.returncode}, not 2"
    if run.stdout:
        return f"prints {run.stdout!r}"
    if not re.search(rf"^{re.escape(file)}:[1-9]\d*:[1-9]\d*: error: .", run.stderr, re.M):
        return f"has no diagnostic with its place: {run.stderr!r}"
    return None


def main():
    secmmu = os.environ.get("SECMMU", "")
    if len(sys.argv) < 2 or not secmmu:
        sys.exit(__doc__)
    found = [f"{file}: {what}" for file in sys.argv[1:] if (what := problem(secmmu, file))]
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
