#!/usr/bin/env python3
"""Builds a small house with one wrong include at a time and expects check_includes.py to name exactly that one."""

import subprocess
import sys
import tempfile
from pathlib import Path

CHECK = Path(__file__).with_name("check_includes.py")

SOUND = {
    "notifier/substrate/time.hpp": "#include <vector>\n",
    "notifier/substrate/time.cpp": '#include "notifier/substrate/time.hpp"\n',
    "notifier/core.hpp": '#include "notifier/substrate/time.hpp"\n',
    "models/memory/frames.hpp": '#include "notifier/substrate/time.hpp"\n',
    "models/cpu/core.hpp": '#include "models/memory/frames.hpp"\n',
    "models/mm/space.hpp": '#include "notifier/core.hpp"\n#include "models/cpu/core.hpp"\n',
    "models/devices/gru/hardware.hpp": '#include "models/memory/frames.hpp"\n',
    "models/devices/gru/hardware_table.hpp": '#include "models/devices/gru/hardware.hpp"\n',
    "models/devices/gru/driver.hpp": '#include "notifier/core.hpp"\n#include "models/devices/gru/hardware.hpp"\n',
    "models/devices/probe/hardware/table.hpp": '#include "notifier/substrate/time.hpp"\n',
    "sim/main.cpp": '#include "models/mm/space.hpp"\n#include "notifier/core.hpp"\n',
}

WRONG = [  # file, what is added to it
    ("notifier/substrate/time.hpp", '#include "notifier/core.hpp"'),
    ("notifier/substrate/time.cpp", '#include "models/memory/frames.hpp"'),
    ("notifier/core.hpp", '#include "models/mm/space.hpp"'),
    ("notifier/core.hpp", '#include "sim/main.cpp"'),
    ("models/mm/space.hpp", '#include "sim/main.cpp"'),
    ("models/memory/frames.hpp", '#include "notifier/core.hpp"'),
    ("models/memory/frames.hpp", '#include "models/mm/space.hpp"'),
    ("models/cpu/core.hpp", '#include "notifier/core.hpp"'),
    ("models/devices/gru/hardware.hpp", '#include "notifier/core.hpp"'),
    ("models/devices/gru/hardware.hpp", '#include "models/devices/gru/driver.hpp"'),
    ("models/devices/gru/hardware.hpp", '#include "models/devices/probe/hardware/table.hpp"'),
    ("models/devices/probe/hardware/table.hpp", '#include "notifier/core.hpp"'),
    ("models/devices/probe/hardware/table.hpp", '#include "models/mm/space.hpp"'),
    ("sim/main.cpp", '#include "space.hpp"'),
    ("sim/main.cpp", '#include "sim/../notifier/core.hpp"'),
    ("sim/main.cpp", '#include "models/mm/missing.hpp"'),
    ("sim/main.cpp", "#include <models/mm/space.hpp>"),
    ("sim/main.cpp", '  #  include "time.hpp"'),
]


def check(files):
    with tempfile.TemporaryDirectory() as top:
        for path, text in files.items():
            file = Path(top, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        run = subprocess.run([sys.executable, CHECK, top], stdout=subprocess.PIPE, encoding="utf-8", check=False)
        return run.returncode, run.stdout.splitlines()


def main():
    failures = []
    if check(SOUND) != (0, []):
        failures.append(f"the sound house is refused: {check(SOUND)[1]}")
    for path, line in WRONG:
        status, printed = check({**SOUND, path: SOUND[path] + line + "\n"})
        if status != 1 or len(printed) != 1 or not printed[0].startswith(f"{path}:{SOUND[path].count(chr(10)) + 1}: "):
            failures.append(f"{path}: {line}: expected one mistake there, got status {status} and {printed}")
    print("\n".join(failures) if failures else f"{len(WRONG)} wrong includes, each found")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
