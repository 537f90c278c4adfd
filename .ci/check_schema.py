#!/usr/bin/env python3
"""Asks a real validator: the schema that secmmu prints is one, every shipped scenario passes it, and every file in a
folder named broken is refused by it where its first line says so. The parser must agree about each file.

A file in broken begins with '# Refused by the schema too' or '# Only the parser sees this'.

usage: check_schema.py TOP [SECMMU]    SECMMU: the program; without it the one that the environment names
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import yaml


def problems(top, secmmu):
    schema = json.loads(subprocess.run([secmmu, "schema"], check=True, capture_output=True, text=True).stdout)
    jsonschema.Draft7Validator.check_schema(schema)
    validator = jsonschema.Draft7Validator(schema)
    files = sorted((top / "scenarios").rglob("*.yaml"))
    if not files:
        yield "scenarios: no file was found"
    for file in files:
        name = file.relative_to(top).as_posix()
        text = file.read_text(encoding="utf-8")
        errors = sorted(validator.iter_errors(yaml.safe_load(text)), key=lambda error: [str(part) for part in error.absolute_path])
        parsed = subprocess.run([secmmu, "check", str(file)], capture_output=True, text=True)
        if parsed.returncode not in (0, 2):
            yield f"{name}: secmmu check ends with {parsed.returncode}"
        if file.parent.name != "broken":
            for error in errors:
                path = ".".join(str(part) for part in error.absolute_path)
                yield f"{name}: {path}: the schema says: {error.message[:200]}"
            if parsed.returncode != 0:
                yield f"{name}: the parser refuses it"
            continue
        by_schema = text.startswith("# Refused by the schema too")
        if not by_schema and not text.startswith("# Only the parser sees this"):
            yield f"{name}: its first line does not say who refuses it"
        if by_schema != bool(errors):
            yield f"{name}: the schema {'refuses' if errors else 'accepts'} it"
        if parsed.returncode != 2:
            yield f"{name}: the parser accepts it"


def main():
    secmmu = sys.argv[2] if len(sys.argv) == 3 else os.environ.get("SECMMU", "")
    if len(sys.argv) not in (2, 3) or not secmmu or not Path(sys.argv[1]).is_dir():
        sys.exit(__doc__)
    found = list(problems(Path(sys.argv[1]), secmmu))
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
