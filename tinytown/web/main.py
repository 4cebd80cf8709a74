"""The entry point of `townhall`."""

from __future__ import annotations

import sys


def main() -> int:
    """Say that it is not there yet."""
    print(
        "Error: townhall, the HTTP face of a town, is not yet part of this release\n"
        "Hint: Everything it will do, 'tt' does already. See: tt --help",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
