"""Completion in bash, which tells of `@file` as two words (an @ is among COMP_WORDBREAKS), and completes it as one."""

from __future__ import annotations

from click.shell_completion import BashComplete


class Bash(BashComplete):
    """Puts the two together again."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the cursor's, and that one as it was typed."""
        words, incomplete = super().get_completion_args()
        return (words[:-1], f"@{incomplete}") if words[-1:] == ["@"] else (words, incomplete)
