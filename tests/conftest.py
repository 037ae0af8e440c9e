"""What holds for every test: Ctrl-C is not ignored, as it would be by children of a suite that runs in the background."""

from __future__ import annotations

import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
