"""`python -m rehead`."""

from __future__ import annotations

import sys

if not sys.flags.safe_path and sys.path:
    # the working directory: a folder of photos may hold a file that is called as a library is
    del sys.path[0]

from .cli import main

main()
