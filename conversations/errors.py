"""The errors that cross module borders, one tree.

    TetherError
    ├── Refused            the request is wrong or not allowed; carries a wire code
    │   ├── InvalidMessage INVALID_MESSAGE
    │   ├── TooLarge       TOO_LARGE
    │   ├── UnknownCommand UNKNOWN_COMMAND
    │   ├── Unauthenticated UNAUTHENTICATED
    │   ├── Forbidden      FORBIDDEN
    │   ├── Conflict       CONFLICT
    │   └── RateLimited    RATE_LIMITED (retryable)
    ├── Unavailable        Redis or the database does not answer; UNAVAILABLE (retryable)
    ├── Fenced             this writer's attempt is no longer the current one; never reaches a client
    ├── TurnCancelled      somebody has cancelled this turn; ``device_id`` says who; never reaches a client
    └── StartRefused       the node cannot start; its text is the one line to print

Vendors' errors are mapped to these where they enter (`conversations/store.py`).
"""

from typing import Any


class TetherError(Exception):
    """Base of our errors. ``code`` and ``retryable`` are the wire's."""

    code = "INTERNAL"
    retryable = True

    def __init__(
        self,
        message: str = "",
        *,
        data: dict[str, Any] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.data = data
        self.retry_after = retry_after


class Refused(TetherError):
    retryable = False


class InvalidMessage(Refused):
    code = "INVALID_MESSAGE"


class UnknownMessageType(Refused):
    code = "UNKNOWN_MESSAGE_TYPE"


class UnknownCommand(Refused):
    code = "UNKNOWN_COMMAND"


class TooLarge(Refused):
    code = "TOO_LARGE"


class Unauthenticated(Refused):
    code = "UNAUTHENTICATED"


class Forbidden(Refused):
    code = "FORBIDDEN"


class Conflict(Refused):
    code = "CONFLICT"


class RateLimited(Refused):
    code = "RATE_LIMITED"
    retryable = True


class Unavailable(TetherError):
    code = "UNAVAILABLE"


class Fenced(TetherError):
    pass


class TurnCancelled(TetherError):
    def __init__(self, device_id: str) -> None:
        super().__init__("This turn was cancelled.")
        self.device_id = device_id


class StartRefused(TetherError):
    pass
