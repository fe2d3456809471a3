"""Which operation serves which path. A new operation is a new file and a line here."""

from pressroom.operations.base import Operation
from pressroom.operations.chat import Chat
from pressroom.operations.image_generate import ImageGenerate

_OPERATIONS: dict[str, Operation] = {operation.url: operation for operation in (Chat(), ImageGenerate())}

SUPPORTED_URLS: tuple[str, ...] = tuple(_OPERATIONS)


def operation_for(url: str) -> Operation | None:
    """The operation at a path as in a batch file, or None when it is not supported."""
    return _OPERATIONS.get(url)
