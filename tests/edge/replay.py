"""`python tests/edge/replay.py`: how far the edge in compatible mode agrees with the recorded gateway.

Prints every difference, then `AGREEMENT agreed/all`. Another set of vectors, recorded in the same form, can be named.
"""

import argparse
import sys
from pathlib import Path

_FOLDER = Path(__file__).with_name("vectors")
VECTORS = _FOLDER / "vectors.jsonl"
CONFIGS = _FOLDER / "configs"


def main() -> int:
    """Replay; the exit code is 0 when all agree."""
    parser = argparse.ArgumentParser(description="Replay golden vectors against the edge.")
    parser.add_argument("--vectors", type=Path, default=VECTORS, help="file with a vector a line")
    parser.add_argument("--configs", type=Path, default=CONFIGS, help="folder with the configurations")
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from tests.edge.replaying import all_differences

    found = all_differences(options.vectors, options.configs)
    for key, lines in found.items():
        for line in lines:
            print(f"{key}: {line}")
    agreed = sum(not lines for lines in found.values())
    print(f"AGREEMENT {agreed}/{len(found)}")
    return 0 if agreed == len(found) else 1


if __name__ == "__main__":
    sys.exit(main())
