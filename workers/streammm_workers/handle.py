"""One call shape, two placements: a stage is a thread in this process or a Ray actor, and callers cannot tell.

`await handle.call("method", ...)` runs a method of the stage. Calls to one stage run one after another, in order.
With ``num_returns`` above 1 the method returns a tuple of that length: the first element comes back as a value, the
others as they are in this process, as references on Ray. References are passed on to other stages unopened, so large
arrays go straight from the node that made them to the node that needs them.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from streammm.errors import StreammmError

FOLLOW = "follow"
"""The kind of stage that waits for a live source: it takes a second call, to be ended, while it is in the first."""


class WorkerDiedError(StreammmError):
    """The process of a stage went away; Ray starts a new one, which knows nothing of what the old one was doing."""


class Handle(Protocol):
    """A stage, wherever it is."""

    async def call(self, method: str, *args: Any, num_returns: int = 1) -> Any:
        """Runs a method of the stage and waits for the result.

        Raises:
            WorkerDiedError: the stage's process died; the call may or may not have had an effect.
            StreammmError: what the method itself raised.
        """

    def close(self) -> None:
        """Ends the stage once the call it is in has returned."""


class Spawn(Protocol):
    """Makes stages in one place."""

    def __call__(self, kind: str, make: Callable[..., object], *args: Any) -> Handle:
        """Starts a stage of a kind (such as ``decode``) by calling ``make(*args)`` there; does not wait for it."""


class ThreadHandle:
    """A stage in a thread of its own; it is made in that thread, so that stages load side by side.

    On Ray it may be given references, which it opens.
    """

    def __init__(self, kind: str, make: Callable[..., object], *args: Any) -> None:
        threads = 2 if kind == FOLLOW else 1
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=f"streammm-{kind}")
        self._stage = self._executor.submit(make, *args)

    async def call(self, method: str, *args: Any, num_returns: int = 1) -> Any:
        values = [await value if inspect.isawaitable(value) else value for value in args]

        def run() -> Any:
            return getattr(self._stage.result(), method)(*values)

        return await asyncio.get_running_loop().run_in_executor(self._executor, run)

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)


class DirectHandle:
    """A stage of this process whose methods return at once or are coroutines: called where the caller runs."""

    def __init__(self, stage: object) -> None:
        self._stage = stage

    async def call(self, method: str, *args: Any, num_returns: int = 1) -> Any:
        result = getattr(self._stage, method)(*args)
        return await result if inspect.isawaitable(result) else result

    def close(self) -> None:
        """Nothing to end."""


class ActorHandle:
    """A stage that is a Ray actor."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    async def call(self, method: str, *args: Any, num_returns: int = 1) -> Any:
        from ray import exceptions

        try:
            result = getattr(self._actor, method).options(num_returns=num_returns).remote(*args)
            if num_returns == 1:
                return await result
            return (await result[0], *result[1:])
        except exceptions.RayTaskError as error:
            raise _cause(error) from error
        except (exceptions.RayActorError, exceptions.ObjectLostError, exceptions.OwnerDiedError) as error:
            raise WorkerDiedError(str(error).strip().splitlines()[0]) from error

    def close(self) -> None:
        import ray

        ray.kill(self._actor)


def _cause(error: Any) -> Exception:
    """What the method raised, without Ray's wrapping, where it is an error that streammm knows."""
    cause = error.cause
    return cause if isinstance(cause, StreammmError) else error
