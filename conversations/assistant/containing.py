"""What a graph's code raises stays a failure of its turn, also what Python means for the whole process.

An event loop hands SystemExit and KeyboardInterrupt of any task on to whoever runs it: one tool that calls
`sys.exit()` would end the node with all its turns. Others that are no Exception, such as a panic in Rust code, would
pass by everybody who looks after the turn. So whatever task is begun on a graph's behalf turns them into GraphExited.
"""

import asyncio
from collections.abc import Coroutine, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_is_graph: ContextVar[bool] = ContextVar("is_graph", default=False)
# A generator that is closed, and a task that is cancelled, go their own way.
PASSING_ON = (Exception, asyncio.CancelledError, GeneratorExit)


class GraphExited(Exception):
    """A graph's code has raised what would have ended the process; it is the cause of this."""


def prepare_loop() -> None:
    """Have this event loop's tasks contained where they run for a graph. May be repeated."""
    loop = asyncio.get_running_loop()
    if loop.get_task_factory() is None:
        loop.set_task_factory(_make_task)


@contextmanager
def contained() -> Iterator[None]:
    """Contain what runs inside, and the tasks that are begun there, and by those. Raises GraphExited."""
    token = _is_graph.set(True)
    try:
        yield
    except PASSING_ON:
        raise
    except BaseException as error:
        raise GraphExited from error
    finally:
        _is_graph.reset(token)


def _make_task(loop: asyncio.AbstractEventLoop, coro: Any, **more: Any) -> "asyncio.Task[Any]":
    return asyncio.Task(_Contained(coro) if _is_graph.get() else coro, loop=loop, **more)


class _Contained(Coroutine[Any, Any, Any]):
    """The coroutine itself but for what it raises. An `async def` around it would never close one that never began."""

    def __init__(self, inner: Coroutine[Any, Any, Any]) -> None:
        self._inner = inner

    def send(self, value: Any) -> Any:
        try:
            return self._inner.send(value)
        except PASSING_ON:
            raise
        except BaseException as error:
            raise GraphExited from error

    def throw(self, *raised: Any) -> Any:
        try:
            return self._inner.throw(*raised)
        except PASSING_ON:
            raise
        except BaseException as error:
            raise GraphExited from error

    def close(self) -> None:
        self._inner.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._inner.__await__()

    def __getattr__(self, name: str) -> Any:
        """Whoever asks how far it is, and what it is called (anyio does, before it cancels), asks the coroutine."""
        return getattr(self._inner, name)
