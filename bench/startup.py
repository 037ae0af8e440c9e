"""How long `jwt decode` takes from the shell, beside the bare interpreter: interleaved, medians, no imports of ours here."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 20
# Whoever installed it has its bytecode; a clone keeps it after the first round.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
TOKEN = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbGljZSJ9.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import admit": [sys.executable, "-c", "import admit"],
    "jwt decode": [str(Path(sys.executable).parent / "admit"), "decode", TOKEN],
    "jwt explain": [str(Path(sys.executable).parent / "admit"), "explain", TOKEN],
    "jwt --help": [str(Path(sys.executable).parent / "admit"), "--help"],
}


def main() -> None:
    """Print a table of milliseconds."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(ROUNDS):
        for name, command in COMMANDS.items():
            began = time.perf_counter()
            subprocess.run(command, capture_output=True, check=True, env=ENVIRONMENT)
            times[name].append((time.perf_counter() - began) * 1000)
    print(f"CPython {platform.python_version()}, {platform.machine()}, {ROUNDS} interleaved rounds, milliseconds\n")
    print("| | median | best |\n|---|---|---|")
    for name, values in times.items():
        print(f"| {name} | {statistics.median(values):.0f} | {min(values):.0f} |")


if __name__ == "__main__":
    main()
