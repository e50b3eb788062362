"""One call shape, two placements: a stage is a thread in this process or a Ray actor, and callers cannot tell.

`await handle.call("method", ...)` runs a method of the stage. Calls to one stage run one after another, in order.
With ``num_returns`` above 1 the method returns a tuple of that length: the first element comes back as a value, the
others as they are in this process, as references on Ray. References are passed on to other stages unopened, so large
arrays go straight from the node that made them to the node that needs them. With ``limit_seconds`` a stage that does
not answer in time has hung: it is replaced by a new one, as one that died is.
"""

from __future__ import annotations

import asyncio
import inspect
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Protocol

from streammm.errors import StreammmError

FOLLOW = "follow"
"""The kind of stage that waits for a live source: it takes a second call, to be ended, while it is in the first."""


class WorkerDiedError(StreammmError):
    """The process of a stage went away; a new one is there, which knows nothing of what the old one was doing."""


class WorkerHungError(WorkerDiedError):
    """A stage did not answer in time and was replaced."""


class Handle(Protocol):
    """A stage, wherever it is; ``is_here`` says whether that is in this process."""

    is_here: bool

    async def call(self, method: str, *args: Any, num_returns: int = 1, limit_seconds: float | None = None) -> Any:
        """Runs a method of the stage and waits for the result.

        Raises:
            WorkerDiedError: the stage's process died, or it hung; the call may or may not have had an effect.
            StreammmError: what the method itself raised.
        """

    def begin(self, method: str) -> None:
        """Runs a method of the stage, and waits for nothing: whoever calls it again is told what came of it."""

    def close(self) -> None:
        """Ends the stage once the call it is in has returned."""


class Spawn(Protocol):
    """Makes stages in one place."""

    def __call__(self, kind: str, make: Callable[..., object], *args: Any) -> Handle:
        """Starts a stage of a kind (such as ``decode``) by calling ``make(*args)`` there; does not wait for it."""


class ThreadHandle:
    """A stage in a thread of its own; it is made in that thread, so that stages load side by side.

    On Ray it may be given references, which it opens. A thread that hangs cannot be ended: it is left to itself, and
    does not keep the process from ending.
    """

    is_here = True

    def __init__(self, kind: str, make: Callable[..., object], *args: Any) -> None:
        self._kind = kind
        self._make = lambda: make(*args)
        self._start()

    async def call(self, method: str, *args: Any, num_returns: int = 1, limit_seconds: float | None = None) -> Any:
        values = [await value if inspect.isawaitable(value) else value for value in args]
        stage = self._stage

        def run() -> Any:
            return getattr(stage.result(), method)(*values)

        answer: Future[Any] = Future()
        tasks = self._tasks
        tasks.put((answer, run))
        try:
            async with asyncio.timeout(limit_seconds):
                return await asyncio.wrap_future(answer)
        except TimeoutError:
            if not answer.cancelled():
                raise  # the method's own
            if self._tasks is tasks:
                self._start()
            raise WorkerHungError(f"{self._kind} did not answer for {limit_seconds:g} s and was replaced") from None

    def begin(self, method: str) -> None:
        stage = self._stage
        self._tasks.put((Future(), lambda: getattr(stage.result(), method)()))

    def close(self) -> None:
        for _ in range(self._num_threads):
            self._tasks.put(None)

    @property
    def _num_threads(self) -> int:
        return 2 if self._kind == FOLLOW else 1

    def _start(self) -> None:
        self._tasks: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._stage: Future[Any] = Future()
        self._tasks.put((self._stage, self._make))
        for _ in range(self._num_threads):
            threading.Thread(target=_work, args=(self._tasks,), name=f"streammm-{self._kind}", daemon=True).start()


def _work(tasks: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None]) -> None:
    while (task := tasks.get()) is not None:
        answer, run = task
        if not answer.set_running_or_notify_cancel():
            continue
        try:
            result = run()
        except BaseException as error:  # noqa: BLE001 - whoever waits for the answer is told
            with suppress(Exception):  # nobody may be waiting any more
                answer.set_exception(error)
        else:
            with suppress(Exception):
                answer.set_result(result)
        del task, answer, run
        result = None


class DirectHandle:
    """A stage of this process whose methods return at once or are coroutines: called where the caller runs."""

    is_here = True

    def __init__(self, stage: object) -> None:
        self._stage = stage

    async def call(self, method: str, *args: Any, num_returns: int = 1, limit_seconds: float | None = None) -> Any:
        result = getattr(self._stage, method)(*args)
        return await result if inspect.isawaitable(result) else result

    def begin(self, method: str) -> None:
        """Nothing: the stage is at work already where its methods are called."""

    def close(self) -> None:
        """Nothing to end."""


class ActorHandle:
    """A stage that is a Ray actor."""

    is_here = False

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    async def call(self, method: str, *args: Any, num_returns: int = 1, limit_seconds: float | None = None) -> Any:
        from ray import exceptions

        try:
            result = getattr(self._actor, method).options(num_returns=num_returns).remote(*args)
            first, *others = (result,) if num_returns == 1 else result
            try:
                async with asyncio.timeout(limit_seconds):
                    value = await first
            except TimeoutError:
                self.replace(first)
                raise WorkerHungError(f"it did not answer {method} for {limit_seconds:g} s and was replaced") from None
            return value if num_returns == 1 else (value, *others)
        except exceptions.RayTaskError as error:
            raise _cause(error) from error
        except (exceptions.RayActorError, exceptions.ObjectLostError, exceptions.OwnerDiedError) as error:
            raise WorkerDiedError(str(error).strip().splitlines()[0]) from error

    def begin(self, method: str) -> None:
        getattr(self._actor, method).remote()

    def replace(self, call: Any) -> None:
        """Ends the actor that does not answer a call; Ray makes it anew, where it was told to restart it."""
        import ray

        ray.cancel(call)  # where it is still on its way, the new actor would get it
        ray.kill(self._actor, no_restart=False)

    def close(self) -> None:
        import ray

        ray.kill(self._actor)


def _cause(error: Any) -> Exception:
    """What the method raised, without Ray's wrapping, where it is an error that streammm knows."""
    cause = error.cause
    return cause if isinstance(cause, StreammmError) else error
