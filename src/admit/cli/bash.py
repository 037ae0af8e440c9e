"""Completion in bash, which tells of `@file` as two words and of `--key=file` as three (@ and = are in COMP_WORDBREAKS)."""

from __future__ import annotations

from click.shell_completion import BashComplete


class Bash(BashComplete):
    """Puts `@file` together again, which bash completes as one, and takes the = away."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the cursor's, and that one as it was typed."""
        words, incomplete = super().get_completion_args()
        if incomplete == "=":
            return words, ""
        if words[-1:] == ["="]:
            return words[:-1], incomplete
        return (words[:-1], f"@{incomplete}") if words[-1:] == ["@"] else (words, incomplete)
