"""Why a picture was refused."""

import enum

from pressroom.errors import PressroomError


class Flaw(enum.StrEnum):
    """What is wrong with a picture, for callers and columns; the reason in words is on the error."""

    TOO_MANY_BYTES = "too_many_bytes"
    TOO_MANY_PIXELS = "too_many_pixels"
    UNKNOWN_FORMAT = "unknown_format"
    ANIMATED = "animated"
    DAMAGED = "damaged"
    WRONG_SIZE = "wrong_size"


class BadPicture(PressroomError):
    """The bytes are not a picture that can be kept. `flaw` is for machines, `reason` for people."""

    def __init__(self, flaw: Flaw, reason: str) -> None:
        super().__init__(reason)
        self.flaw = flaw
        self.reason = reason
