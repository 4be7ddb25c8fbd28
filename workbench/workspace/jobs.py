"""Jobs: long work in background threads, with progress, cancel and partial results; one model at a time."""

import logging
import threading
import time
import traceback
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import MappingProxyType
from typing import Any

from workbench.core import Interrupted, Progress, WorkbenchError

logger = logging.getLogger(__name__)

LOG_LINES = 200
RUNNING, QUEUED, DONE, FAILED, CANCELLED = "running", "queued", "done", "failed", "cancelled"


class Job:
    """One piece of long work; it implements Progress, and the worker asks it whether to stop.

    Attributes:
        state: `queued`, `running`, `done`, `failed` or `cancelled`.
        fraction: share of the current phase, None when its total is unknown.
        partial_value: the latest partial result.
        error: one sentence for people, once failed.
        trouble: what kind of error that was and where in the code, without its words.
        page: of the app, from which it was started; address: the query of that page then, which shows the result.
        log: the latest lines of what it did: phases, what the library logged meanwhile, how it ended.
    """

    def __init__(
        self, name: str, command: str = "", page: str = "", address: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self.id = uuid.uuid4().hex[:12]
        self.name = name
        self.command = command
        self.page = page
        self.address = dict(address)
        self.log: deque[str] = deque(maxlen=LOG_LINES)
        self.state = QUEUED
        self.phase_name = ""
        self.unit = ""
        self.total: float | None = None
        self.done = 0.0
        self.partial_value: Any = None
        self.error = ""
        self.trouble = ""
        self.started: float | None = None
        self.finished: float | None = None
        self._phase_started = time.monotonic()
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._value: Any = None
        self._again: tuple[Callable[[Progress], Any], bool] | None = None

    def __repr__(self) -> str:
        return f"Job({self.name}: {self.state})"

    def phase(self, name: str, total: float | None = None, unit: str = "") -> None:
        self.phase_name, self.total, self.unit, self.done = name, total, unit, 0.0
        self._phase_started = time.monotonic()
        self.note(f"{name}: {total:g} {unit}".strip() if total else name)

    def note(self, text: str) -> None:
        """Put a line into the log, with the seconds since the start."""
        self.log.append(f"{self.seconds:8.1f} s  {text}")

    def advance(self, amount: float = 1) -> None:
        self.done += amount

    def partial(self, value: Any) -> None:
        self.partial_value = value

    def cancelled(self) -> bool:
        return self._stop.is_set()

    def cancel(self) -> None:
        """Ask the work to stop at its next safe point; what is done is kept."""
        self._stop.set()

    @property
    def fraction(self) -> float | None:
        return min(self.done / self.total, 1.0) if self.total else None

    @property
    def active(self) -> bool:
        return self.state in (QUEUED, RUNNING)

    @property
    def seconds(self) -> float:
        """Seconds of work so far."""
        return (self.finished or time.monotonic()) - self.started if self.started else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Estimate for the current phase from its own pace; None before it can be told."""
        if not self.total or not self.done or not self.active:
            return None
        return (time.monotonic() - self._phase_started) * (self.total / self.done - 1)

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the value.

        Raises:
            WorkbenchError: the work failed, with its message; Interrupted when it was cancelled before a result.
            TimeoutError: not finished in time.
        """
        if not self._ended.wait(timeout):
            raise TimeoutError(f"{self.name} is still {self.state}")
        if self.state == FAILED:
            raise WorkbenchError(self.error)
        if self.state == CANCELLED and self._value is None:
            raise Interrupted(f"{self.name} was cancelled before anything was done")
        return self._value

    def _run(self, work: Callable[[Progress], Any], turn: AbstractContextManager) -> None:
        with turn:
            self.state, self.started = RUNNING, time.monotonic()
            listener = _OwnLines(self)
            logging.getLogger("workbench").addHandler(listener)
            try:
                if not self.cancelled():
                    self._value = work(self)
                self.state = CANCELLED if self.cancelled() else DONE
            except (KeyboardInterrupt, Interrupted):
                self.state = CANCELLED
            except WorkbenchError as error:
                self.state, self.error, self.trouble = FAILED, str(error), _place_of(error)
            except Exception as error:
                logger.exception("job %s failed", self.name)
                self.state, self.error = FAILED, f"{type(error).__name__}: {error}"
                self.trouble = _place_of(error)
            finally:
                logging.getLogger("workbench").removeHandler(listener)
                self.finished = time.monotonic()
                self.note(f"{self.state}: {self.error}" if self.error else self.state)
                if self.state == DONE:
                    self._again = None
                self._ended.set()


def _place_of(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {'/'.join(Path(frame.filename).parts[-3:])}:{frame.lineno}"


class _OwnLines(logging.Handler):
    """Takes what the thread of one job logs, and nothing of the others."""

    def __init__(self, job: Job) -> None:
        super().__init__(logging.INFO)
        self._job, self._thread = job, threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self._job.note(record.getMessage())


class JobManager:
    """Starts jobs and remembers them; jobs that run a model take turns."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._model_lock = threading.Lock()

    def submit(
        self,
        name: str,
        work: Callable[[Progress], Any],
        *,
        command: str = "",
        uses_model: bool = True,
        page: str = "",
        address: Mapping[str, str] = MappingProxyType({}),
    ) -> Job:
        """Start `work(progress)` in a daemon thread.

        Args:
            command: the command line that does the same, shown to the user.
            uses_model: wait until no other such job runs.
            page, address: of the app, from which it was started.
        """
        job = Job(name, command, page, address)
        job._again = (work, uses_model)
        self._jobs[job.id] = job
        turn = self._model_lock if uses_model else nullcontext()
        threading.Thread(target=job._run, args=(work, turn), name=f"job-{name}", daemon=True).start()
        return job

    def retry(self, job: Job) -> Job:
        """Start the work of a failed or cancelled job anew, as another job."""
        assert job._again is not None, "the job is done"
        work, uses_model = job._again
        return self.submit(
            job.name, work, command=job.command, uses_model=uses_model, page=job.page, address=job.address
        )

    def jobs(self) -> list[Job]:
        """Every job since the process started, newest first."""
        return list(reversed(self._jobs.values()))

    def get(self, id: str) -> Job | None:
        """A job by id."""
        return self._jobs.get(id)

    def clear(self) -> None:
        """Forget the jobs that have ended."""
        self._jobs = {id: job for id, job in self._jobs.items() if job.active}
