from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_errors_page_says_what_the_error_tree_says() -> None:
    script = ROOT / "scripts" / "errors_reference.py"
    page = ROOT / "docs" / "errors.md"
    done = subprocess.run(
        [sys.executable, script, "--check", page], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
