"""`python -m payoff`."""

from __future__ import annotations

import sys

from payoff.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
