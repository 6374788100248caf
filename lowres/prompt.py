"""What stands before a task's input: one wording for training and for scoring."""

from __future__ import annotations


def with_anchor(anchor: str, prompt: str) -> str:
    """TELL's anchor prompt stands before the input, in the user's turn."""
    return f"{anchor}\n\n{prompt}" if anchor else prompt
