"""The command, in a process whose spans go to a file, as `opentelemetry-instrument` would send them elsewhere.

Usage: python -m tests.helpers.traced FILE ARGUMENT...
"""

from __future__ import annotations

import sys
from pathlib import Path

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

from admit.cli.entry import main

if __name__ == "__main__":
    out = Path(sys.argv.pop(1)).open("a", encoding="utf-8")  # noqa: SIM115 - until the process ends
    exporter = ConsoleSpanExporter(out=out, formatter=lambda span: span.to_json(indent=None) + "\n")
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=600_000))
    trace.set_tracer_provider(provider)
    main()
