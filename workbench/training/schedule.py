"""The learning rate over a run."""


def lr_factor(step: int, total: int, warm_up: int, decay_share: float) -> float:
    """Share of the top learning rate at a step (counted from 0).

    Rises linearly over `warm_up` steps, stays at 1, falls linearly to 0 over the last `decay_share` of `total`.
    """
    rising = (step + 1) / warm_up if step < warm_up else 1.0
    decay = total * decay_share
    falling = max(total - step, 0) / decay if decay and step > total - decay else 1.0
    return min(rising, falling, 1.0)


def steps_in_chunk(rows: float, batch_rows: int) -> int:
    """Steps that one pass over a chunk makes: its rows are cut into equal batches near `batch_rows`."""
    return max(1, round(rows / batch_rows))
