"""Progress in a notebook."""

import warnings
from typing import Any

from workbench.core import Interruptible


class NotebookProgress(Interruptible):
    """A bar for every phase, one at a time; the notebook's stop button ends the work at its next safe point.

    ```python
    with NotebookProgress() as progress:
        trained = train_by_name(..., progress=progress)
    ```
    """

    def __init__(self) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # without ipywidgets the bar is text, which does no harm
            from tqdm.auto import tqdm

        self._make, self._bar = tqdm, None

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self._close()

    def phase(self, name: str, total: float | None = None, unit: str = "") -> None:
        self._close()
        self._bar = self._make(desc=name, total=total, unit=f" {unit}" if unit else " it", leave=False, mininterval=0.5)

    def advance(self, amount: float = 1) -> None:
        if self._bar is not None:
            self._bar.update(amount)

    def partial(self, value: Any) -> None:
        """Partial results are for the app; the bar goes on."""

    def interrupted(self) -> None:
        if self._bar is not None:
            self._bar.set_postfix_str("stopping at the next safe point")

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
