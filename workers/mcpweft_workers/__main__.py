"""`python -m mcpweft_workers`: a worker without the rest of the command line."""

import sys

from cyclopts import run

from mcpweft_workers.command import worker

sys.exit(run(worker))
