"""Scans, designs and attachments with made-up content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache

__all__ = ["HOSTILE_NAMES", "CaseFile", "attachments", "new_attachment", "new_design", "new_scans"]

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


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFile:
    """One file of a case.

    Attributes:
        kind: "Scans", "Designs" or "Attachments", as the API's lists are called.
        part: a scan's jaw, or the type of the others.
        seed: the source of its content, so that thousands of cases need no memory for it.
        given: its content, if it is not made up.
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

    def changed(self) -> CaseFile:
        """Return the same file with other content of the same size."""
        return replace(self, seed=f"{self.seed} changed", size=len(self.content), given=None)

    @property
    def sha1(self) -> str:
        """Its Hash in the API."""
        return _sha1_of_made_up(self.seed, self.size) if self.given is None else _sha1(self.given)


def new_scans(seed: str) -> tuple[CaseFile, ...]:
    """Return the scans of both jaws."""
    return tuple(
        _file("Scans", f"scan-{jaw}", "dcm", jaw, f"{seed} {jaw}", 6000) for jaw in ("upper", "lower")
    )


def new_design(seed: str, number: int) -> CaseFile:
    """Return the design that comes with a version."""
    return _file("Designs", f"design-{number}", "stl", "DigitalModel", f"{seed} design {number}", 4000)


def attachments(seed: str, more: Iterable[CaseFile] = ()) -> tuple[CaseFile, ...]:
    """Return the attachments of a new case: the order form, a model, and more."""
    form = replace(new_attachment("PrintableOrderForm.html"), seed=f"{seed} form", size=900)
    model = replace(new_attachment("model.ply"), seed=f"{seed} model", size=40_000)
    return tuple(
        replace(file, id=f"attachment-{number}") for number, file in enumerate((form, model, *more), start=1)
    )


def new_attachment(name: str, content: bytes | None = None, file_type: str | None = None) -> CaseFile:
    """Return an attachment without an id yet."""
    ending = name.rpartition(".")[2].lower()
    return CaseFile(
        id="",
        kind="Attachments",
        name=name,
        file_type=file_type or (ending if ending.isalnum() else "bin"),
        part="OrderForm" if name.endswith(".html") else "Other",
        given=content,
    )


def _file(kind: str, file_id: str, file_type: str, part: str, seed: str, size: int) -> CaseFile:
    return CaseFile(id=file_id, kind=kind, name=None, file_type=file_type, part=part, seed=seed, size=size)


def _made_up(seed: str, size: int) -> bytes:
    return hashlib.shake_128(seed.encode()).digest(size)


def _sha1(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


@lru_cache(maxsize=100_000)
def _sha1_of_made_up(seed: str, size: int) -> str:
    return _sha1(_made_up(seed, size))
