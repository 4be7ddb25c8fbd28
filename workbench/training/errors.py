"""The error of a training run that cannot go on."""

from workbench.core import WorkbenchError


class TrainingError(WorkbenchError, RuntimeError):
    """A run that diverged."""
