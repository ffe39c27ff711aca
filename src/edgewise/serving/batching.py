"""Questions of concurrent requests, put to the model together by one thread.

While the model is busy, questions gather; what has gathered is asked at once. So a lone question
does not wait, and under load the parts grow by themselves.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from edgewise.serving.model import Question, Ranking, Served

T = TypeVar("T")


class LateError(Exception):
    """The deadline passed before the model had answered."""


class FullError(Exception):
    """More questions wait than may."""


@dataclass(eq=False)
class _Job:
    """One call of the model's thread, or a question that may be asked with others."""

    future: asyncio.Future
    call: Callable[[], Any] | None = None
    served: Served | None = None
    question: Question | None = None
    waiting: bool = True


@dataclass(frozen=True)
class BatchLimits:
    """How questions are gathered.

    Attributes:
        size: questions asked at once at most.
        wait: seconds that the first question of an idle model waits for others.
        queue: questions that wait at most.
    """

    size: int = 32
    wait: float = 0.002
    queue: int = 512


@dataclass(eq=False)
class Batcher:
    """The model's one thread, and who waits for it.

    Attributes:
        limits: how questions are gathered.
        on_batch: told the size of each part and the seconds it took.
    """

    limits: BatchLimits = field(default_factory=BatchLimits)
    on_batch: Callable[[int, float], None] = lambda size, seconds: None

    def __post_init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._jobs: deque[_Job] = deque()
        self._wake = asyncio.Event()
        self._task: asyncio.Task | None = None

    @property
    def waiting(self) -> int:
        """Questions that nobody has begun to answer."""
        return len(self._jobs)

    async def rank(
        self,
        served: Served,
        question: Question,
        deadline: float | None,
        late: Callable[[Ranking], None] = lambda ranking: None,
    ) -> Ranking:
        """The model's list.

        Args:
            served: who is asked.
            question: may be asked together with others.
            deadline: seconds; None waits for ever.
            late: takes a list that came after all, when the deadline had passed.

        Raises:
            LateError: the deadline passed; a question that was not begun is dropped.
            FullError: too many wait already.
        """
        future = asyncio.get_running_loop().create_future()
        job = _Job(future, served=served, question=question)
        return await self._answer(job, deadline, late)

    async def run(self, call: Callable[[], T], deadline: float | None) -> T:
        """Anything else that the model's thread is to do; errors as for :meth:`rank`."""
        future = asyncio.get_running_loop().create_future()
        return await self._answer(_Job(future, call), deadline, lambda found: None)

    async def _answer(self, job: _Job, deadline: float | None, late: Callable[[Any], None]) -> Any:
        if len(self._jobs) >= self.limits.queue:
            raise FullError
        self._jobs.append(job)
        self._wake.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())
        await asyncio.wait([job.future], timeout=deadline)
        if job.future.done():
            return job.future.result()
        if job.waiting:
            job.future.cancel()
        else:
            job.future.add_done_callback(lambda done: _hand_on(done, late))
        raise LateError

    async def _work(self) -> None:
        idle = True
        while True:
            if not self._jobs:
                idle = True
                self._wake.clear()
                await self._wake.wait()
            if idle and self.limits.wait and self._jobs and self._jobs[0].call is None:
                await asyncio.sleep(self.limits.wait)
            idle = False
            if part := self._next():
                await self._ask(part)

    def _next(self) -> list[_Job]:
        """Questions for one model, or one call; those that nobody waits for are dropped."""
        part: list[_Job] = []
        while self._jobs and len(part) < self.limits.size:
            job = self._jobs[0]
            if job.future.done():
                self._jobs.popleft()
                continue
            if part and (job.call is not None or job.served is not part[0].served):
                break
            job.waiting = False
            part.append(self._jobs.popleft())
            if job.call is not None:
                break
        return part

    async def _ask(self, part: list[_Job]) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        first = part[0]
        try:
            if first.call is not None:
                found = [await loop.run_in_executor(self._thread, first.call)]
            else:
                assert first.served is not None
                questions = [job.question for job in part if job.question is not None]
                found = await loop.run_in_executor(self._thread, first.served.rank, questions)
                self.on_batch(len(part), loop.time() - begun)
        except Exception as error:  # whoever asked is told, and the thread goes on
            for job in part:
                if not job.future.done():
                    job.future.set_exception(error)
            return
        for job, answer in zip(part, found, strict=True):
            if not job.future.done():
                job.future.set_result(answer)

    async def close(self) -> None:
        """Let the model finish what it is at."""
        if self._task is not None:
            self._task.cancel()
        self._thread.shutdown(wait=True, cancel_futures=True)


def _hand_on(done: asyncio.Future, late: Callable[[Any], None]) -> None:
    if not done.cancelled() and done.exception() is None:
        late(done.result())
