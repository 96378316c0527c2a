"""Scans, designs and attachments with made-up content."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, field, replace
from functools import lru_cache

__all__ = ["HOSTILE_NAMES", "CaseFile", "first_attachments", "new_attachment", "new_design", "new_scans"]

HOSTILE_NAMES = (
    "../../../evil.txt",
    "..\\..\\evil.txt",
    "/etc/evil.txt",
    "C:\\Windows\\evil.txt",
    "CON",
    "aux.ply",
    "com1.txt",
    "NUL .html",
    "trailing dots...",
    " ",
    "..",
    "line\nbreak\x00and\x1b[31mcolour.txt",
    "right\u202eto\u202cleft.exe",
    '<pipe|question?star*colon:quote">.txt',
    "-rf.txt",
    ".bashrc",
    "Same.TXT",
    "same.txt",
    "n" * 300 + ".ply",
    "ü" * 200 + ".ply",
)

_serial = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFile:
    """One file of a case.

    Attributes:
        kind: "Scans", "Designs" or "Attachments", as the API's lists are called.
        part: a scan's jaw, or the type of the others.
        seed: what its content is made of, so that thousands of cases need no room.
        given: its content, if it was given.
    """

    id: str
    kind: str
    name: str | None
    file_type: str
    part: str
    seed: str = ""
    size: int = 0
    given: bytes | None = field(default=None, repr=False)

    @property
    def content(self) -> bytes:
        """The file itself."""
        return _made_up(self.seed, self.size) if self.given is None else self.given

    @property
    def sha1(self) -> str:
        """What the API calls its Hash."""
        return _sha1_of_made_up(self.seed, self.size) if self.given is None else _sha1(self.given)


def new_scans(seed: str) -> tuple[CaseFile, ...]:
    """Return the scans of both jaws."""
    return tuple(
        CaseFile(
            id=f"scan-{jaw}",
            kind="Scans",
            name=None,
            file_type="dcm",
            part=jaw,
            seed=f"{seed} {jaw}",
            size=6000,
        )
        for jaw in ("upper", "lower")
    )


def new_design(seed: str) -> tuple[CaseFile, ...]:
    """Return a design that no case had before."""
    number = next(_serial)
    return (
        CaseFile(
            id=f"design-{number}",
            kind="Designs",
            name=None,
            file_type="stl",
            part="DigitalModel",
            seed=f"{seed} design {number}",
            size=4000,
        ),
    )


def first_attachments(seed: str) -> tuple[CaseFile, ...]:
    """Return what every case has: the order form and a model."""
    return (
        replace(new_attachment("PrintableOrderForm.html"), seed=f"{seed} form", size=900),
        replace(new_attachment("model.ply"), seed=f"{seed} model", size=40_000),
    )


def new_attachment(name: str, content: bytes | None = None, file_type: str | None = None) -> CaseFile:
    """Return an attachment."""
    ending = name.rpartition(".")[2].lower()
    return CaseFile(
        id=f"attachment-{next(_serial)}",
        kind="Attachments",
        name=name,
        file_type=file_type or (ending if ending.isalnum() else "bin"),
        part="OrderForm" if name.endswith(".html") else "Other",
        given=content,
    )


def _made_up(seed: str, size: int) -> bytes:
    return hashlib.shake_128(seed.encode()).digest(size)


def _sha1(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


@lru_cache(maxsize=100_000)
def _sha1_of_made_up(seed: str, size: int) -> str:
    return _sha1(_made_up(seed, size))
