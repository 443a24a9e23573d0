"""`python -m axiom_tui` is the same door as `axiom-tui`."""

from __future__ import annotations

import sys

from axiom_tui.cli import main

if __name__ == "__main__":
    sys.exit(main())
