"""`mcpweft completion` and `mcpweft --install-completion`: help for the shell.

Above stands the root, whose commands the script lists. This module must never edit a file unasked.
"""

from __future__ import annotations

import sys
from typing import Literal

from mcpweft.cli.exits import Exit, UsageError

Shell = Literal["bash", "zsh", "fish"]


def completion(shell: Shell | None = None, /, *, install: bool = False) -> int:
    """Print the completion script of a shell, or install it.

    Parameters
    ----------
    shell
        The shell; the one that runs this by default.
    install
        Write it to where the shell looks, and have the shell's start-up file load it.

    """
    from cyclopts.completion.detect import ShellDetectionError  # here only

    from mcpweft.cli.main import build  # the root loads this module

    try:
        if not install:
            sys.stdout.write(build().generate_completion(shell=shell))
            return Exit.OK
        path = build().install_completion(shell=shell)
    except ShellDetectionError:
        raise UsageError("Which shell this is cannot be told. Name it: bash, zsh or fish.") from None
    sys.stderr.write(f"Wrote {path}. It works from the next shell on.\n")
    return Exit.OK


def install(shell: Shell | None = None, /) -> int:
    """Install shell completion.

    Parameters
    ----------
    shell
        The shell; the one that runs this by default.

    """
    return completion(shell, install=True)
