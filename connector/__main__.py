"""Run the program `ormco`, also as `python -m connector`."""

from __future__ import annotations

import gc

__all__ = ["main"]

# Python would collect garbage eighty times while modules load: a twentieth of the time of `ormco token`.
_ALLOCATIONS = 50_000


def main() -> None:
    """Run the command line."""
    gc.set_threshold(_ALLOCATIONS)
    from connector.cli import main as run

    run()


if __name__ == "__main__":
    main()
