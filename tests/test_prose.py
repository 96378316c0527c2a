"""Docstrings and comments are in plain technical English: some turns of phrase are not used."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
# What to write instead: "is available", "the practice", "is reported", "is distinguished from".
NOT_USED = re.compile(
    r"\b(?:is|are|be|was|were) (?:not )?(?:to be )?had\b"
    r"|^[\s#]*\w+: (?:of )?whose\.$"
    r"|\b(?:is|are) told (?:as|like|in words|at once|once)\b"
    r"|\b(?:is|are|be) told (?:apart )?from\b"
    r"|^[\s#]*\w+: (?:told|whom)\b"
    r"|\b(?:how to go about it|of whose|if one can be had)\b"
    r"|\b(?:somebody|anybody|in earnest|all the same|by then)\b",
    re.IGNORECASE | re.MULTILINE,
)


def prose_of(source: str) -> Iterator[str]:
    """Every line of a module's comments and docstrings."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.string.lstrip("# ")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from map(str.strip, (ast.get_docstring(node) or "").splitlines())


def test_phrases_that_a_newcomer_stumbles_over_are_not_used() -> None:
    """No docstring and no comment has one of the turns of phrase that read as if translated."""
    found = [
        f"{path.relative_to(ROOT)}: {line}"
        for folder in ("connector", "tests", "scripts")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if NOT_USED.search(source := path.read_text("utf-8"))  # parsing takes long
        for line in prose_of(source)
        if NOT_USED.search(line)
    ]
    assert found == []


def test_docstrings_do_not_begin_with_a_question_word() -> None:
    """A docstring says what its subject is or does: "The result of a poll", not "What came of a poll"."""
    begins = re.compile(r'"""(?:What|Who|Whose|Whom|Whoever|Whatever)\b')
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for folder in ("connector", "scripts")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line in path.read_text("utf-8").splitlines()
        if begins.search(line)
    ]
    assert found == []
