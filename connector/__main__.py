"""The program `ormco`, which `python -m connector` is too."""

from __future__ import annotations

import gc

__all__ = ["main"]

# While the modules are loaded, Python would look for garbage eighty times, a twentieth of `ormco token`.
_ALLOCATIONS = 50_000


def main() -> None:
    """Run the command line."""
    gc.set_threshold(_ALLOCATIONS)
    from connector.cli import main as run

    run()


if __name__ == "__main__":
    main()
