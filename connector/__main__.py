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
    try:
        main()
    finally:
        # `python -m` ends by SIGINT in place of the exit status if Ctrl-C has interrupted an `exec` of source
        # text, such as that of a dataclass, and no later `exec` was completed.
        exec("")  # noqa: S102 - no code
