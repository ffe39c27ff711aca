"""``edgewise reproduce`` under its old name, to be called from the project's root.

    python experiments/run.py --data DATA_FOLDER experiments/direct/beauty/*.toml
    python experiments/run.py --data DATA_FOLDER --no-rerank experiments/sequential/beauty/*.toml

All options are those of ``edgewise reproduce``.
"""

from __future__ import annotations

import sys

from edgewise.cli.main import main

if __name__ == "__main__":
    sys.argv.insert(1, "reproduce")
    main()
