"""`python -m tests.helpers.limited SOFT HARD ...`: the command, in a process that may open so many files."""

from __future__ import annotations

import resource
import sys

from admit.cli.entry import main

if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
    del sys.argv[1:3]
    main()
