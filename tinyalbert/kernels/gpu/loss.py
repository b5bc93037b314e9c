"""Kernel of the cross-entropy on a GPU (loss.cu): two launches forward, one backward."""

from ...backend import xp_of
from .launch import THREADS, computed_in, contiguous, launch, real, threads_for


@real(stored=1)
def cross_entropy(logits, labels, ignore_index=-100):
    """ops.cross_entropy: keeps the logits and one number a row, from which the softmax is computed
    again.
    """
    xp, dtype, width = xp_of(logits, labels), logits.dtype, logits.shape[-1]
    x, labels = (
        contiguous(logits),
        contiguous(labels if labels.dtype == "int32" else labels.astype("int32")),
    )
    rows, threads = labels.size, threads_for(width)
    ignore_index = int(
        ignore_index
    )  # an int is a long long to the kernel, NumPy's int32 would not be
    log_sums, losses, mean = (xp.empty(n, dtype=computed_in(dtype)) for n in (rows, rows, 2))
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
