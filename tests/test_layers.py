"""What `import admit` may load: the two core dependencies and nothing of the extras."""

from __future__ import annotations

import subprocess
import sys

CORE = {"admit", "bcrypt", "cryptography", "_openssl", "_cffi_backend", "msgspec", "typing_extensions"}
# bcrypt: cryptography loads it where it is installed.
PROBE = """
import sys
before = set(sys.modules)
import admit
print(*{name.partition(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names))
"""


def test_importing_admit_loads_only_its_core_dependencies() -> None:
    probe = subprocess.run([sys.executable, "-I", "-c", PROBE], capture_output=True, text=True, timeout=60, check=True)
    loaded = set(probe.stdout.split())
    assert {"admit", "cryptography", "msgspec"} <= loaded <= CORE
