"""Optimisers: AdamW and LAMB as in ALBERT's training, Muon, clipping, learning-rate schedules.

AdamW and LAMB follow google-research/albert (optimization.py, lamb_optimizer.py): no bias
correction, epsilon outside the square root, weight decay apart from the gradient, and neither decay
nor trust ratio for biases and layer norms.  `adamw_step`, `lamb_step` and `muon_step` are the
definitions, for one tensor, as in the papers.  The classes compute the same in place, AdamW and
LAMB block by block, so that nothing of the model's size is allocated.  Taught in lesson 12.
"""

import functools
import math
import operator
import re

import numpy as np

from .backend import device_of, to_device, xp_of
from .errors import UserError
from .nn import moment
from .tensor import kernel_for

EXCLUDED = r"LayerNorm|layer_norm|bias|(^|\.)b$"  # parameters without weight decay and trust ratio
HIDDEN = r"(^|\.)encoder\..*weight$"  # matrices between hidden states, for Muon
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # coefficients of s, s^3, s^5 (Jordan et al. 2024)
MUON_RMS = 0.2  # root mean square of a Muon update, about that of AdamW's (Liu et al. 2025, §2.2)
OTHER = {"m": "v", "v": "m"}  # the moments come in pairs
BLOCK = 1 << 15  # floats in one block on the CPU: six arrays of that size stay in the L2 cache


# --- the definitions ------------------------------------------------------------------------------


def adam_direction(w, g, m, v, betas=(0.9, 0.999), eps=1e-6, decay=0.01, corrections=(1.0, 1.0)):
    """Adam's direction with decoupled weight decay -> (u, new m, new v).

    Source: Loshchilov & Hutter 2019, algorithm 2.  corrections: (1 - beta1^t, 1 - beta2^t) for bias
    correction at step t; (1, 1), Google's choice, for none.
    """
    m = betas[0] * m + (1 - betas[0]) * g
    v = betas[1] * v + (1 - betas[1]) * g * g
    return (m / corrections[0]) / ((v / corrections[1]) ** 0.5 + eps) + decay * w, m, v


def adamw_step(w, g, m, v, lr, **options):
    """One AdamW step on one tensor -> new (w, m, v)."""
    u, m, v = adam_direction(w, g, m, v, **options)
    return w - lr * u, m, v


def lamb_step(w, g, m, v, lr, **options):
    """One LAMB step on one tensor -> new (w, m, v).

    Source: You et al. 2020, algorithm 2, with phi the identity.  The direction is made as long as
    the tensor itself: the step's length is lr * |w|, whatever the gradient's.
    """
    u, m, v = adam_direction(w, g, m, v, **options)
    w_norm, u_norm = (w * w).sum() ** 0.5, (u * u).sum() ** 0.5
    ratio = w_norm / u_norm if w_norm > 0 and u_norm > 0 else 1.0
    return w - lr * ratio * u, m, v


def orthogonalised(m, steps=5):
    """(R, C) -> a matrix with m's singular vectors and all singular values near 1.

    Newton-Schulz: x becomes a x + b (x xᵀ) x + c (x xᵀ)² x, which changes the singular values s
    alone, to a s + b s³ + c s⁵.  With these coefficients five steps bring every s above some
    hundredths of the matrix's norm to between 0.7 and 1.2 (Jordan et al. 2024, "Muon").
    """
    a, b, c = NEWTON_SCHULZ
    wide = m.shape[0] <= m.shape[1]
    x = m if wide else m.T  # the smaller product
    x = x / ((x * x).sum() ** 0.5 + 1e-30)  # a gradient of zeros stays one
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x if wide else x.T


def muon_step(w, g, m, lr, momentum=0.95, decay=0.01):
    """One Muon step on one matrix -> new (w, m).

    Source: Jordan et al. 2024, with Nesterov's momentum; length and decay as Liu et al. 2025
    (arXiv 2502.16982) have them, so that AdamW's learning rate fits.
    """
    m = momentum * m + (1 - momentum) * g
    u = orthogonalised(momentum * m + (1 - momentum) * g)
    u = u * (MUON_RMS * max(w.shape) ** 0.5) + decay * w
    return w - lr * u, m


# --- the optimisers -------------------------------------------------------------------------------


class AdamW:
    """AdamW over named Parameters: `step(gradients)` changes their .data in place.

    exclude: regular expression of the names without weight decay.  bias_correction=True is torch's
    AdamW.  A parameter without a gradient stays as it is, moments included.
    """

    kernel = "AdamW"  # the entry of KERNELS that makes the whole step at once
    rule = (
        "update_each",
        "_update",
        "_add_to_moments",
        "_direction",
    )  # what such a kernel replaces

    def __init_subclass__(cls):
        """A subclass that changes the rule has no kernel, unless it names its own."""
        super().__init_subclass__()
        owner = next(c for c in cls.__mro__ if "kernel" in vars(c))  # which names the kernel
        for name in cls.rule:
            own = getattr(cls, name)
            if own is not getattr(owner, name, own):
                cls.kernel = None

    def __init__(
        self,
        named_parameters,
        lr,
        betas=(0.9, 0.999),
        eps=1e-6,
        weight_decay=0.01,
        bias_correction=False,
        exclude=EXCLUDED,
    ):
        for name, value, good, expected in (
            ("lr", lr, lr >= 0, "a number of at least 0"),
            ("eps", eps, eps > 0, "a number above 0"),
            ("betas", betas, all(0 <= b < 1 for b in betas), "two numbers from 0 to below 1"),
            ("weight_decay", weight_decay, weight_decay >= 0, "a number of at least 0"),
        ):
            if not good:
                raise UserError(f"{name} is {value}; expected {expected}")
        self.parameters = dict(named_parameters)
        self.lr = lr
        self.betas = tuple(betas)
        self.eps = eps
        self.weight_decay = weight_decay
        self.bias_correction = bias_correction
        self.excluded = {name for name in self.parameters if re.search(exclude, name)}
        self.moments = {}  # name: (m, v)
        self.steps = 0
        self.scratch = {}  # memory that every step uses again

    def step(self, gradients, lr=None, finite=None):
        """One step with {name: gradient}, or with what `backward(loss)` returned.

        lr: overrides self.lr.  finite: a number () on the device; if it is 0, parameters and
        moments stay as they are (see precision.LossScale).
        """
        gradients = self._by_name(gradients)
        self.note_step(gradients)
        self.apply(gradients, self.lr if lr is None else float(lr), finite)

    def note_step(self, names):
        """Count a step that changes these parameters."""
        self.steps += 1
        now = moment()
        for name in names:
            self.parameters[name].changed = now

    def corrections(self, steps):
        """What m and sqrt(v) are multiplied by at step `steps`, counted from 1: bias correction."""
        if not self.bias_correction:
            return 1.0, 1.0
        beta1, beta2 = (beta**steps for beta in self.betas)
        return 1 / (1 - beta1), 1 / math.sqrt(1 - beta2)

    def apply(self, gradients, lr, finite=None):
        """The step itself, with {name: gradient}; `steps` is not counted up.

        lr: a number, or what the kernel takes in its place.
        """
        arrays = {name: self._flat(name, g) for name, g in gradients.items()}
        kernel = kernel_for(self.kernel, *gradients.values())
        if kernel is None:
            self.update_each(arrays, lr, finite)
        else:
            kernel(self, arrays, lr, finite)

    def _flat(self, name, g):
        """(parameter, gradient, m, v) as flat arrays; new moments are 0."""
        p = self.parameters[name]
        if not p.data.flags.c_contiguous:
            p.data = p.data.copy()  # so that the reshape below is a view
        if name not in self.moments:
            self.moments[name] = tuple(xp_of(p.data, g).zeros_like(p.data) for _ in "mv")
        return tuple(a.reshape(-1) for a in (p.data, g, *self.moments[name]))

    def update_each(self, arrays, lr, finite):
        """The step without a kernel, parameter by parameter; arrays {name: (w, g, m, v)}, flat."""
        for name, group in arrays.items():
            before = [] if finite is None else [a.copy() for a in group]
            self._update(name, *group, lr)
            for a, old in zip(group, before):
                a[...] = xp_of(a).where(finite != 0, a, old)

    def _by_name(self, gradients):
        """{name: gradient}; refuses wrong names and shapes before anything is changed."""
        named = self.parameters.items()
        if any(p in gradients for _, p in named):  # keyed by the Parameters
            gradients = {name: gradients[p] for name, p in named if p in gradients}
        for name, g in gradients.items():
            if name not in self.parameters:
                raise UserError(
                    f"a gradient for {name!r}, which is not a parameter of this optimiser; it has "
                    f"{', '.join(list(self.parameters)[:3])} ..."
                )
            if g.shape != self.parameters[name].shape:
                raise UserError(
                    f"the gradient of {name} has shape {g.shape}; expected "
                    f"{self.parameters[name].shape}"
                )
        return gradients

    def _update(self, name, w, g, m, v, lr):
        """adamw_step on flat arrays, in place."""
        for part in blocks(w):
            self._add_to_moments(g[part], m[part], v[part])
            u = self._direction(name, w[part], m[part], v[part])
            u *= lr
            w[part] -= u

    def _add_to_moments(self, g, m, v):
        """m and v become the running means of g and g²."""
        xp = xp_of(g)
        t = self._temporary(0, g)
        beta1, beta2 = self.betas
        m *= beta1
        m += xp.multiply(g, 1 - beta1, out=t)
        v *= beta2
        xp.multiply(g, g, out=t)
        t *= 1 - beta2
        v += t

    def _direction(self, name, w, m, v):
        """m / (sqrt(v) + eps) + decay * w, in memory that the next call uses again."""
        xp = xp_of(w)
        u = self._temporary(1, w)
        xp.sqrt(v, out=u)
        if self.bias_correction:
            u *= 1 / math.sqrt(1 - self.betas[1] ** self.steps)
        u += self.eps
        xp.divide(m, u, out=u)
        if self.bias_correction:
            u *= 1 / (1 - self.betas[0] ** self.steps)
        if self.weight_decay and name not in self.excluded:
            u += xp.multiply(w, self.weight_decay, out=self._temporary(0, w))
        return u

    def _temporary(self, i, like):
        """Scratch memory number i, of the shape and type of the flat array `like`."""
        key = i, like.dtype, device_of(like)
        if key not in self.scratch or self.scratch[key].size < like.size:
            self.scratch[key] = xp_of(like).empty_like(like)
        return self.scratch[key][: like.size]

    def state_dict(self):
        """{"<name>/adam_m", "<name>/adam_v", "global_step": arrays}, Google's names."""
        state = {}
        for name, (m, v) in self.moments.items():
            state[f"{name}/adam_m"] = m
            state[f"{name}/adam_v"] = v
        state["global_step"] = np.array(self.steps, dtype=np.int64)
        return state

    def load_state_dict(self, state):
        """Take over a state_dict(); refuses one of other parameters before anything is changed."""
        self._check_state(state)
        self.steps = int(state["global_step"])
        self.moments = {}
        for name, p in self.parameters.items():
            if f"{name}/adam_m" in state:
                m = np.array(state[f"{name}/adam_m"], dtype=p.dtype)
                v = np.array(state[f"{name}/adam_v"], dtype=p.dtype)
                device = device_of(p.data)
                self.moments[name] = to_device(m, device), to_device(v, device)

    def _check_state(self, state):
        """Refuse moments of other parameters or shapes, or of which only one is there."""
        shapes = {f"{name}/adam_{i}": p.shape for name, p in self.parameters.items() for i in "mv"}
        moments = [name for name in state if name != "global_step"]
        wrong = [name for name in moments if shapes.get(name) != state[name].shape]
        if not wrong:
            wrong = [name for name in moments if name[:-1] + OTHER[name[-1]] not in state]
        wrong += [name for name in moments if name.endswith("adam_v") and (state[name] < 0).any()]
        steps = state.get("global_step")
        if steps is None or steps.shape or steps.dtype.kind not in "iu" or steps < 0:
            wrong.append("global_step is missing or no number of steps")
        if wrong:
            raise UserError(
                "this is not the optimiser's state for these parameters: " + ", ".join(wrong[:5])
            )


class LAMB(AdamW):
    """LAMB over named Parameters: AdamW with steps as long as lr times the tensor they change.

    The excluded parameters (biases, layer norms) take AdamW's steps without decay.
    """

    kernel = "LAMB"

    def _update(self, name, w, g, m, v, lr):
        """lamb_step on flat arrays, in place; the direction is computed twice, not kept."""
        if name in self.excluded:
            return super()._update(name, w, g, m, v, lr)
        xp = xp_of(w)
        w_squares = 0.0
        u_squares = 0.0
        for part in blocks(w):
            self._add_to_moments(g[part], m[part], v[part])
            u = self._direction(name, w[part], m[part], v[part])
            w_squares = w_squares + xp.vdot(w[part], w[part])
            u_squares = u_squares + xp.vdot(u, u)
        some = (w_squares > 0) & (u_squares > 0)  # stays on the device: no waiting for a GPU
        ratio = xp.where(some, xp.sqrt(w_squares) / xp.sqrt(xp.where(some, u_squares, 1.0)), 1.0)
        for part in blocks(w):
            u = self._direction(name, w[part], m[part], v[part])
            u *= ratio
            u *= lr
            w[part] -= u


class Muon(AdamW):
    """Muon over named Parameters: the matrices between hidden states get orthogonal updates.

    hidden: regular expression of their names.  All else, embeddings, heads, biases and layer norms,
    takes AdamW's steps.  A shared layer's matrices are orthogonalised once a step, however often
    the layer is used.  Their second moments stay 0; the state has AdamW's form.
    """

    def __init__(self, named_parameters, lr, momentum=0.95, hidden=HIDDEN, **options):
        if not 0 <= momentum < 1:
            raise UserError(f"momentum is {momentum}; expected a number from 0 to below 1")
        super().__init__(named_parameters, lr, **options)
        self.momentum = momentum
        self.hidden = {
            name for name, p in self.parameters.items() if p.ndim == 2 and re.search(hidden, name)
        }

    def _update(self, name, w, g, m, v, lr):
        """muon_step, in place."""
        if name not in self.hidden:
            return super()._update(name, w, g, m, v, lr)
        shape = self.parameters[name].shape
        decay = 0.0 if name in self.excluded else self.weight_decay
        matrices = (a.reshape(shape) for a in (w, g, m))
        new_w, new_m = muon_step(*matrices, lr, self.momentum, decay)
        w[...] = new_w.reshape(-1)
        m[...] = new_m.reshape(-1)


OPTIMIZERS = {"adamw": AdamW, "lamb": LAMB, "muon": Muon}  # by the names of recipes and options


def blocks(flat):
    """Slices that cover a flat array: blocks for a CPU's cache, one slice for a GPU."""
    size = BLOCK if xp_of(flat) is np else max(1, flat.size)
    return [slice(i, i + size) for i in range(0, flat.size, size)]


def freeze(named_parameters, pattern):
    """Stop training the parameters whose names match a regular expression; returns the names.

    Their gradients are not computed any more.  Undone by p.requires_grad = True.
    """
    named = dict(named_parameters)
    names = [name for name in named if re.search(pattern, name)]
    if not names:
        raise UserError(
            f"no parameter's name matches {pattern!r}; the names are like "
            f"{', '.join(list(named)[:3])}"
        )
    for name in names:
        named[name].requires_grad = False
    return names


def unscale(gradients, loss_scale):
    """Divide all gradients, in place, by what the loss was multiplied by.

    loss_scale: an array () on the gradients' device, or None for a loss as it is.

    On a GPU this is one launch an array, apart from clipping; since fp16's loss scale is a power of
    two, the division is exact, and the norm's squares are those of the true gradients, which
    overflow later than those of the scaled ones.
    """
    if loss_scale is None:
        return
    for g in gradients.values():
        if g is not None:
            g /= loss_scale


def norm_and_factor(squares, limit):
    """(norm, what gradients of this norm are multiplied by, or None if the limit is infinite).

    squares: the norm's square, an array () on a GPU, where the results stay too.
    """
    xp = xp_of(squares)
    norm = xp.sqrt(squares)
    if limit == math.inf:
        return norm, None
    return norm, limit / xp.maximum(norm, limit)


def clip_by_global_norm(gradients, limit):
    """Scale all gradients, in place, so that their common norm is at most `limit`.

    Returns the norm before.  On a GPU it is an array () that stays there, since reading it would
    mean waiting: without knowing it, gradients that are short enough are multiplied by 1.
    """
    arrays = [g for g in gradients.values() if g is not None]
    xp = xp_of(*arrays)
    squares = [xp.vdot(g, g) for g in arrays]
    if xp is np:
        norm = math.sqrt(float(sum(squares)))
        factor = limit / norm if limit < norm < math.inf else None
    else:
        total = functools.reduce(operator.add, squares)
        run = kernel_for("clip_factor", total) or norm_and_factor
        norm, factor = run(total, limit)
    if factor is not None:
        for g in arrays:
            g *= factor
    return norm


# --- learning rates -------------------------------------------------------------------------------


def linear_warmup_decay(step, peak, warmup, total, power=1.0, end=0.0):
    """The learning rate of a step: up to `peak` in `warmup` steps, then down towards `end`.

    step: 0 ... total - 1.  The rate is continuous, and no step is wasted on a rate of 0.  power: 1
    is a straight line down.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    left = (total - step) / (total - warmup) if step < total else 0.0
    return end + (peak - end) * left**power


def google_schedule(step, peak, warmup, total, power=1.0, end=0.0, start=0):
    """The learning rate of google-research/albert (optimization.py, create_optimizer).

    The decay counts from step 0, so the rate jumps down at the end of the warm-up and never reaches
    `peak`; it is 0 at the first step.  start: the step at which the warm-up begins.
    """
    if step - start < warmup:
        return peak * max(step - start, 0) / warmup
    return end + (peak - end) * (1.0 - min(step / total, 1.0)) ** power


def sqrt_scaled_lr(lr, batch, reference_batch=4096):
    """The rate for another batch size, lr * sqrt(batch / reference_batch).

    Source: You et al. 2020, §4.3.
    """
    return lr * math.sqrt(batch / reference_batch)
