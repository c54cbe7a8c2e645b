"""`python -m payoff`: the folder it is called in, which Python puts on the path, may hold modules of the user's and is taken off."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    if not sys.flags.safe_path and sys.path:
        del sys.path[0]
    from payoff.cli.main import main

    sys.exit(main())
