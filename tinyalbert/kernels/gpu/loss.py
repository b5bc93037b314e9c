"""Kernel of the cross-entropy on a GPU (loss.cu): two launches forward, one backward."""

from ...backend import xp_of
from .launch import THREADS, computed_in, contiguous, launch, real, threads_for


@real(stored=1)
def cross_entropy(logits, labels, ignore_index=-100):
    """ops.cross_entropy: keeps the logits and one number per row, which give the softmax again."""
    xp = xp_of(logits, labels)
    dtype = logits.dtype
    width = logits.shape[-1]
    x = contiguous(logits)
    labels = contiguous(labels.astype("int32", copy=False))
    rows = labels.size
    threads = threads_for(width)
    ignore_index = int(ignore_index)  # a long long for the kernel, which NumPy's int32 is not
    log_sums = xp.empty(rows, dtype=computed_in(dtype))
    losses = xp.empty(rows, dtype=computed_in(dtype))
    mean = xp.empty(2, dtype=computed_in(dtype))
    launch(
        "loss", "row_losses", dtype, rows, threads, x, labels, log_sums, losses, width, ignore_index
    )
    launch("loss", "mean_loss", dtype, 1, THREADS, losses, labels, mean, rows, ignore_index)

    def vjp(g):
        gx = xp.empty(logits.shape, dtype=dtype)
        launch(
            "loss",
            "loss_backward",
            dtype,
            rows,
            threads,
            x,
            labels,
            log_sums,
            mean,
            contiguous(g),
            gx,
            width,
            ignore_index,
        )
        return gx, None

    return mean[0], vjp
