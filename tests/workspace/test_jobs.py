import logging
import threading

import pytest

from workbench.core import Interrupted, TextError, WorkbenchError
from workbench.workspace import JobManager


def test_a_job_reports_and_returns():
    def work(progress):
        progress.phase("counting", 4, "steps")
        for step in range(4):
            progress.advance()
            progress.partial(step)
        return "value"

    job = JobManager().submit("count", work)
    assert job.result(timeout=5) == "value"
    assert (job.state, job.fraction, job.partial_value) == ("done", 1.0, 3)


def test_cancel_keeps_what_was_done():
    started = threading.Event()

    def work(progress):
        started.set()
        while not progress.cancelled():
            progress.advance()
        return "partial"

    job = JobManager().submit("endless", work)
    started.wait(5)
    job.cancel()
    assert job.result(timeout=5) == "partial"
    assert job.state == "cancelled"


def test_jobs_with_a_model_take_turns_and_a_queued_one_can_be_cancelled():
    manager, release = JobManager(), threading.Event()
    first = manager.submit("first", lambda progress: release.wait(5))
    second = manager.submit("second", lambda progress: "ran")
    aside = manager.submit("aside", lambda progress: "ran", uses_model=False)
    assert aside.result(timeout=5) == "ran"
    assert second.state == "queued"
    second.cancel()
    release.set()
    first.result(timeout=5)
    with pytest.raises(Interrupted):
        second.result(timeout=5)
    manager.clear()
    assert manager.jobs() == []


def test_a_failure_becomes_one_sentence():
    def work(progress):
        raise TextError("the prompt is empty", hint="type some text")

    job = JobManager().submit("fails", work)
    with pytest.raises(WorkbenchError, match="type some text"):
        job.result(timeout=5)
    assert job.state == "failed"


def test_a_failed_job_can_be_started_anew_and_both_tell_what_they_did():
    attempts = []

    def work(progress):
        attempts.append(progress)
        progress.phase("reading", 2, "files")
        logging.getLogger("workbench.core").warning("attempt %d", len(attempts))
        if len(attempts) == 1:
            raise TextError("no such file")
        return "value"

    manager = JobManager()
    job = manager.submit("read", work, command="workbench read", page="prompt", address={"q": "a"})
    with pytest.raises(WorkbenchError):
        job.result(timeout=5)
    again = manager.retry(job)
    assert again.result(timeout=5) == "value"
    assert (again.name, again.command, again.page) == ("read", "workbench read", "prompt")
    assert again.address == {"q": "a"}
    assert job.trouble.startswith("TextError at tests/workspace/test_jobs.py:")
    assert again.trouble == ""
    assert [line.split(" s  ")[1] for line in job.log] == ["reading: 2 files", "attempt 1", "failed: no such file"]
    assert [line.split(" s  ")[1] for line in again.log] == ["reading: 2 files", "attempt 2", "done"]
