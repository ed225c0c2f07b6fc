"""/healthz: the process lives. /readyz: the node is started, and not draining; with its facts as JSON."""

from typing import Any

import orjson
import structlog

from conversations.errors import TetherError
from realtime.node import running_node

logger = structlog.get_logger(__name__)


def with_health(application: Any) -> Any:
    """Answer the two health paths before Django sees them: they must work when nothing else does."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/healthz":
            await _respond(send, 200, {"alive": True})
        elif scope["path"] == "/readyz":
            facts = await _facts()
            await _respond(send, 200 if facts["ready"] else 503, facts)
        else:
            await application(scope, receive, send)

    return answer


async def _facts() -> dict[str, Any]:
    """Start the node if it is not started: under plain daphne a load balancer asks before any client does.

    One that could not start, since Redis was down perhaps, tries again at each look.
    """
    try:
        return (await running_node()).facts()
    except TetherError as error:
        logger.warning("node.not_started", reason=str(error))
        return {"ready": False}


async def _respond(send: Any, status: int, body: dict[str, Any]) -> None:
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": orjson.dumps(body)})
