"""What was read: the one answer that a text holds."""

from __future__ import annotations

from dataclasses import dataclass

from connector.redirect.code import MOST_LAYERS, percent_decode

__all__ = ["CapturedUrl", "Reading"]

_MOST_WRAPS = 64


class CapturedUrl(str):
    """A redirect URL that our own browser brought back from the request that it was opened with.

    Nobody else can have put it there, so it binds its request even without a state.
    """

    __slots__ = ()


# Without repr, because of the code; plain, because this is on the way of every start.
@dataclass(repr=False, eq=False, kw_only=True)
class Reading:
    """One answer; its form is judged, whom it belongs to is not.

    Attributes:
        code: fully decoded, without visible damage; "" for an error response.
        code_format: dotnetopenauth, identityserver or unknown.
        complete: True for a code that is whole, None where it cannot tell.
        layers: how often the code was percent-encoded.
        parameters: name → (value as it stands in the text, whether it ends where the value ends).
    """

    code: str = ""
    code_format: str = "unknown"
    complete: bool | None = None
    layers: int = 0
    parameters: dict[str, tuple[str, bool]]

    def value(self, name: str) -> str | None:
        """Return a parameter's value, decoded as often as the code was, or None."""
        if name not in self.parameters:
            return None
        raw, ends = self.parameters[name]
        value = "".join(raw.split()) if ends else _without_sentence(raw)
        for _ in range(max(1, self.layers)):
            value = percent_decode(value)
        return value or None

    def has_state(self, expected: str) -> bool:
        """Compare the state in constant time.

        That an answer was encoded twice shows in its code only if the code has something to encode, and words
        may follow a state that is the last parameter: so each reading of it may be the right one.
        """
        import hmac

        raw = self.parameters.get("state", ("", True))[0]
        wanted = expected.encode()
        found = False
        joined = ""
        for word in raw.split()[:_MOST_WRAPS]:
            joined += word
            reading = joined
            for _ in range(MOST_LAYERS):
                reading = percent_decode(reading)
                found |= hmac.compare_digest(reading.encode("utf-8", "replace"), wanted)
                found |= hmac.compare_digest(reading.rstrip(".,;…").encode("utf-8", "replace"), wanted)
        return found


def _without_sentence(raw: str) -> str:
    from connector.redirect.wrapping import without_sentence

    return without_sentence(raw)
