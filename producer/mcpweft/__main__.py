"""`python -m mcpweft`: the command line, where its script is not on PATH."""

import sys

from mcpweft.cli.main import main

sys.exit(main())
