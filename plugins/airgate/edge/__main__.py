"""`python -m airgate.edge CONFIG --port P`: the same as `airgate-edge serve`."""

import sys

from airgate.edge.command import main

if __name__ == "__main__":
    sys.exit(main())
