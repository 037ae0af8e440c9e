"""Findings as SARIF 2.1.0, which code hosts and editors show beside the line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from admit import __version__
from admit.tokens.inspect import RULES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from admit.cli.scan import Found
    from admit.tokens.finding import Finding


def sarif(results: Iterable[tuple[Found, Finding]]) -> dict[str, Any]:
    """One run of the lint (SARIF 2.1.0, 3.13). The levels are SARIF's own words."""
    index = {rule.id: number for number, rule in enumerate(RULES)}
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "admit",
                        "semanticVersion": __version__,
                        "rules": [
                            {
                                "id": rule.id,
                                "shortDescription": {"text": rule.reason},
                                "help": {"text": rule.mending},
                                "defaultConfiguration": {"level": rule.severity},
                            }
                            for rule in RULES
                        ],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "results": [
                    {
                        "ruleId": finding.rule.id,
                        "ruleIndex": index[finding.rule.id],
                        "level": finding.rule.severity,
                        "message": {"text": finding.message},
                        "locations": [{"physicalLocation": _location(found)}],
                    }
                    for found, finding in results
                ],
            }
        ],
    }


def _uri(source: str) -> str:
    """A file's name as SARIF 2.1.0 3.4.3 has it: relative where the name is (RFC 3986 4.2), else file://."""
    path = Path(source)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())


def _location(found: Found) -> dict[str, Any]:
    place: dict[str, Any] = {"artifactLocation": {"uri": _uri(found.source)}}
    if found.line:
        place["region"] = {"startLine": found.line, "startColumn": found.column}
    return place
