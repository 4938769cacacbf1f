"""`python -m mcpweft_workers`: a worker without the rest of the command line, as launchers start it."""

from __future__ import annotations

import sys

from cyclopts import App

from mcpweft_schemas.errors import CallerError, McpweftError
from mcpweft_workers import spare
from mcpweft_workers.command import worker

_FAILED, _USAGE = 1, 2


def main() -> int:
    """Run one worker; return its exit code. What goes wrong is one line on standard error."""
    if sys.argv[1:] == ["--spare"] and not spare.wait():
        return 0
    app = App(name="mcpweft worker", default_command=worker, version_flags=[])
    try:
        return app(result_action="return_value") or 0  # None after --help
    except McpweftError as error:
        sys.stderr.write(f"mcpweft: {error}\n")
        return _USAGE if isinstance(error, CallerError) else _FAILED
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
