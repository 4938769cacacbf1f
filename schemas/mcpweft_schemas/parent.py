"""The leash between a launcher and the processes that it starts: they must not outlive it, however it dies.

The launcher holds the write end of a pipe and hands its read end to each child, whose environment says which
number it has. Nothing is ever written: the end of the pipe means that the launcher is gone, killed with
SIGKILL perhaps. A child calls, once, before it starts any process of its own:

    from mcpweft_schemas.parent import watch_parent

    watch_parent()      # does nothing, and answers False, where no launcher started this process

Then, when the launcher is gone, the child gets SIGTERM (it drains, as if asked), and after the grace that the
launcher allowed SIGKILL. A pipe rather than a parent-death signal: that one exists on Linux only, and fires
when the launcher's *thread* ends.

Above stand the worker's entry and the launcher. This module must never know what a child does.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableMapping

FD = "MCPWEFT_PARENT_FD"
"""The variable that names the read end."""
GRACE = "MCPWEFT_PARENT_GRACE"
"""The variable that says how many seconds lie between SIGTERM and SIGKILL."""
_GRACE_S = 10.0


def watch_parent(environ: MutableMapping[str, str] = os.environ) -> bool:
    """End this process when its launcher is gone; return whether a launcher started it.

    Takes both variables out of `environ` and closes the pipe to the processes that this one starts.
    """
    said, grace = environ.pop(FD, ""), environ.pop(GRACE, "")
    try:
        leash = int(said)
        os.set_inheritable(leash, False)  # noqa: FBT003  # the call takes it so
    except (ValueError, OSError):  # no launcher, or an environment that was handed on without the pipe
        return False
    seconds = float(grace) if grace else _GRACE_S
    threading.Thread(target=_watch, args=(leash, seconds), name="watch the parent", daemon=True).start()
    return True


def _watch(leash: int, grace: float) -> None:
    while os.read(leash, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace)
    os.kill(os.getpid(), signal.SIGKILL)
