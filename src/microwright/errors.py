"""Errors that a user can mend.

Everything that comes from outside (arguments, files, models, schedulers) is checked where it enters, and what is
wrong is said in one line that names the input and the remedy. The command line prints that line and exits with 2.
"""

from __future__ import annotations


class InputError(ValueError):
    """Bad input from outside: one line that names the input and the remedy."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))
