"""What each CUDA kernel of the library computes, in NumPy; the stand-in for CuPy (fakecupy.py) runs these in its place.

One function for each __global__ function of tinyalbert/kernels/gpu/*.cu and backend.py: its name, its parameters in its order, pointers
as arrays (None for a null pointer).  The kernels themselves are run on the CPU by test_gpu_kernels.py.
"""

import ctypes
import math

import numpy as np


def rows_of(a, width):
    return a.reshape(-1, width) if a is not None else 0


# --- backend.ADD_ONE --------------------------------------------------------------------------------------

def add_one(x, size):
    x.reshape(-1)[:size] += 1


# --- norm.cu, sums.cu, gelu.cu ----------------------------------------------------------------------------

def _dropped(x, rows, gain, threshold, key, first_row, draw):
    """x (all rows, width), `rows` of them an example's, with dropout if there is a threshold."""
    y = np.empty_like(x)
    if not threshold or not x.size:
        return x
    dropout(x, y, x.size, rows * x.shape[1], gain, threshold, key, first_row, draw)
    return y


def layer_norm_forward(x, bias, residual, gamma, beta, y, xhat, rstd, width, eps, *random):
    x = _dropped(rows_of(x, width) + (0 if bias is None else bias), *random) + rows_of(residual, width)
    centred = x - x.mean(axis=1, keepdims=True)
    scale = 1 / np.sqrt((centred * centred).mean(axis=1) + eps)
    normal = centred * scale[:, None]
    rows_of(y, width)[:] = normal * gamma + beta
    if xhat is not None:
        rows_of(xhat, width)[:] = normal
        rstd[:] = scale


def layer_norm_backward(g, xhat, rstd, gamma, gx, gy, partial, rows, width, *random):
    g, xhat = rows_of(g, width), rows_of(xhat, width)
    gain, strip = g * gamma, -(-rows // len(partial))
    along = (gain * xhat).mean(axis=1, keepdims=True)
    rows_of(gx, width)[:] = down = rstd[:, None] * (gain - gain.mean(axis=1, keepdims=True) - xhat * along)
    if gy is not None:
        rows_of(gy, width)[:] = down = _dropped(np.ascontiguousarray(down), *random)
    for i, sums in enumerate(partial):
        part = slice(strip * i, strip * (i + 1))
        kinds = (g * xhat, g, down)[:3 if gy is not None else 2]
        sums[:] = np.concatenate([each[part].sum(axis=0) for each in kinds])


def strip_sums(partial, one, two, three, strips, width, part, add):
    found = partial.reshape(strips, width).sum(axis=0)
    for i, to in enumerate((one, two, three)):
        if to is not None:
            to.reshape(-1)[:] = found[i * part:(i + 1) * part] + (to.reshape(-1) if add >> i & 1 else 0)


def later_sums(later, real):
    def at(address, *shape):
        number = {"float32": ctypes.c_float, "float64": ctypes.c_double}[real.name]
        return np.ctypeslib.as_array((number * math.prod(shape)).from_address(int(address))).reshape(shape)

    first = 0
    for to, width, each, add, last in zip(*(later[name] for name in ("to", "width", "each", "add", "last_partial"))):
        for place in range(first, last):
            found = at(later["partial"][place], int(later["strips"][place]), int(width)).sum(axis=0)
            for i in range(width // each if each else 0):
                there = at(to[i], int(each))
                there[:] = found[i * each:(i + 1) * each] + (there if add >> i & 1 or place > first else 0)
        first = last


def add_to_rows(y, bias, size, width):
    rows_of(y, width)[:] += bias


def gelu_forward(x, bias, y, slope, size, width):
    z = rows_of(x, width) + (0 if bias is None else bias)
    u = math.sqrt(2 / math.pi) * z * (1 + 0.044715 * z * z)
    s = 0.5 * (1 + np.tanh(u))
    rows_of(y, width)[:] = z * s
    if slope is not None:
        rows_of(slope, width)[:] = s * (1 + (1 - s) * (6 * u - 4 * math.sqrt(2 / math.pi) * z))


def gelu_backward(g, slope, gz, partial, rows, width):
    gz = rows_of(gz, width)
    gz[:] = rows_of(g, width) * rows_of(slope, width)
    strip = -(-rows // len(partial))
    for i, sums in enumerate(partial):
        sums[:] = gz[strip * i:strip * (i + 1)].sum(axis=0)


# --- scatter.cu -------------------------------------------------------------------------------------------

def largest(g, top, size):
    top[:] = np.maximum(top, abs(g.astype(np.float64)).max().view(np.int64))


def _unit(top, share):
    return np.maximum((top & 0x7FF0000000000000).view(np.float64) * share, 1e-280)


def add_rows(g, ids, sums, top, size, rows, width, share):
    np.add.at(sums[:-1].reshape(rows, width), ids.reshape(-1), np.rint(rows_of(g, width) / _unit(top, share)).astype(np.int64))


def to_real(sums, top, table, size, share, add):
    values = (sums[:size] * _unit(top, share)).astype(table.dtype)
    table.reshape(-1)[:] = values + (table.reshape(-1) if add else 0)


# --- dropout.cu, heads.cu, softmax.cu ---------------------------------------------------------------------

def _mix(x):
    x = (x ^ x >> np.uint32(16)) * np.uint32(0x7FEB352D)
    x = (x ^ x >> np.uint32(15)) * np.uint32(0x846CA68B)
    return x ^ x >> np.uint32(16)


def _kept(examples, size, threshold, key, first_row):
    """(examples, size) booleans."""
    row = (first_row + np.arange(examples)).astype(np.uint32) * np.uint32(0x9E3779B9) + np.uint32(key)
    element = np.arange(size, dtype=np.uint32)
    bits = _mix(_mix(row)[:, None] + element // 2)
    return np.where(element % 2, bits >> 16, bits & 0xFFFF) >= threshold


def dropout(x, y, size, row_size, gain, threshold, key, first_row, draw):
    if draw is not None:
        key, first_row = (key + int(draw[0])) & 0xFFFFFFFF, first_row + int(draw[1])
    y, x = rows_of(y, row_size), rows_of(x, row_size)
    y[:] = _kept(len(x), row_size, threshold, key, first_row) * x.dtype.type(gain) * x


def _split(x, T, N, D):
    """(B, T, H) -> (B, N, T, D)."""
    return x.reshape(len(x), T, N, D).transpose(0, 2, 1, 3)


def _rows(B, x, bias, N, D, line, offset, T):
    """(B, N, T, D) of columns offset ... offset + N D of rows of `line` elements."""
    x = x.reshape(-1, line)[:, offset:offset + N * D]
    x = x if bias is None else x + bias
    return _split(x.reshape(B, T, N * D), T, N, D)


def split_forward(q, k, v, bq, bk, bv, Q, KT, V, asked, size, M, T, N, D, line, second, third, scale):
    Q[:], KT[:] = _rows(len(Q), q, bq, N, D, line, 0, M) * scale, _rows(len(Q), k, bk, N, D, line, second, T).swapaxes(2, 3)
    V[:] = _rows(len(Q), v, bv, N, D, line, third, T)


def split_backward(q, k, v, bq, bk, bv, g, QT, K, VT, G, GT, asked, size, M, T, N, D, line, second, third, scale):
    QT[:], K[:] = _rows(len(K), q, bq, N, D, line, 0, M).swapaxes(2, 3) * scale, _rows(len(K), k, bk, N, D, line, second, T) * scale
    VT[:] = _rows(len(K), v, bv, N, D, line, third, T).swapaxes(2, 3)
    G[:] = _rows(len(K), g, None, N, D, N * D, 0, M)
    GT[:] = G.swapaxes(2, 3)


def merge_backward(GQ, GKT, GVT, gq, gk, gv, asked, size, M, T, N, D, line, second, third):
    for to, g, offset in ((gq, GQ, 0), (gk, GKT.swapaxes(2, 3), second), (gv, GVT.swapaxes(2, 3), third)):
        to.reshape(-1, line)[:, offset:offset + N * D] = g.transpose(0, 2, 1, 3).reshape(-1, N * D)


def softmax_forward(scores, dropped, bias, stride, width, rows, gain, threshold, key, first_row, draw):
    scores = scores.reshape(-1, rows, width)
    if bias is not None:
        scores += bias.reshape(-1, 1, width)     # one example's, or one for all
    np.exp(scores - scores.max(axis=-1, keepdims=True), out=scores)
    scores /= scores.sum(axis=-1, keepdims=True)
    if dropped is not None:
        dropout(scores, dropped, scores.size, rows * width, gain, threshold, key, first_row, draw)


def softmax_backward(weights, g, dropped, width, rows, gain, threshold, key, first_row, draw):
    if dropped is not None:
        dropout(weights, dropped, weights.size, rows * width, gain, threshold, key, first_row, draw)
        dropout(g.copy(), g, g.size, rows * width, gain, threshold, key, first_row, draw)
    g -= (g * weights).sum(axis=-1, keepdims=True)
    g *= weights


# --- loss.cu, optimizer.cu --------------------------------------------------------------------------------

def row_losses(x, labels, log_sums, losses, width, ignore):
    x, top = rows_of(x, width), rows_of(x, width).max(axis=1)
    log_sums[:] = np.log(np.exp(x - top[:, None]).sum(axis=1)) + top
    labels = labels.reshape(-1)
    inside = (labels >= 0) & (labels < width)
    found = x[np.arange(len(x)), np.where(inside, labels, 0)]
    losses[:] = np.where(labels == ignore, 0, np.where(inside, log_sums - found, np.nan))


def mean_loss(losses, labels, mean, rows, ignore):
    mean[1] = 1 / max((labels != ignore).sum(), 1)
    mean[0] = losses.sum() * mean[1]


def loss_backward(x, labels, log_sums, mean, g, gx, width, ignore):
    labels, weight = labels.reshape(-1, 1), np.where(labels.reshape(-1, 1) == ignore, 0, g.reshape(()) * mean[1])
    rows_of(gx, width)[:] = (np.exp(rows_of(x, width) - log_sums[:, None]) - (np.arange(width) == labels)) * weight


def _parameters(table, real):
    """The rows of the table as ((w, g, m, v), excluded, first block, blocks): arrays at the addresses written there."""
    kind = ctypes.c_float if real == np.float32 else ctypes.c_double
    for *pointers, size, excluded, first, blocks in table.tolist():
        yield [np.ctypeslib.as_array((kind * size).from_address(p)) for p in pointers], excluded, first, blocks


def _add_to_moments(g, m, v, beta1, beta2):
    m[:] = beta1 * m + (1 - beta1) * g
    v[:] = beta2 * v + (1 - beta2) * g * g


def _direction(w, m, v, excluded, eps, decay, c1, c2):
    return m / (np.sqrt(v) * c2 + eps) * c1 + (0 if excluded else decay) * w


def adamw(parameters, pieces, finite, beta1, beta2, eps, decay, c1, c2, lr, rates, real):
    lr, c1, c2 = (lr, c1, c2) if rates is None else rates.tolist()
    if finite is not None and finite == 0:
        return
    for (w, g, m, v), excluded, *_ in _parameters(parameters, real):
        _add_to_moments(g, m, v, beta1, beta2)
        w -= lr * _direction(w, m, v, excluded, eps, decay, c1, c2)


def lamb_squares(parameters, pieces, finite, squares, beta1, beta2, eps, decay, c1, c2, rates, real):
    _, c1, c2 = (0, c1, c2) if rates is None else rates.tolist()
    if finite is not None and finite == 0:
        return
    everything = list(_parameters(parameters, real))
    for (_, g, m, v), *_ in everything:
        _add_to_moments(g, m, v, beta1, beta2)
    for block, (i, begin, end) in enumerate(pieces.tolist()):
        (w, _, m, v), excluded, *_ = everything[i]
        w, m, v = w[begin:end], m[begin:end], v[begin:end]
        u = _direction(w, m, v, excluded, eps, decay, c1, c2)
        squares[2 * block:2 * block + 2] = w @ w, u @ u


def lamb_ratios(parameters, squares, ratios, real):
    for i, (_, excluded, first, blocks) in enumerate(_parameters(parameters, real)):
        of_w, of_u = squares.reshape(-1, 2)[first:first + blocks].sum(axis=0)
        ratios[i] = 1 if excluded or not of_w or not of_u else np.sqrt(of_w) / np.sqrt(of_u)


def lamb(parameters, pieces, finite, ratios, eps, decay, c1, c2, lr, rates, real):
    lr, c1, c2 = (lr, c1, c2) if rates is None else rates.tolist()
    if finite is not None and finite == 0:
        return
    for ratio, ((w, _, m, v), excluded, *_) in zip(ratios, _parameters(parameters, real)):
        w -= lr * ratio * _direction(w, m, v, excluded, eps, decay, c1, c2)


def loss_scale(norm, state, interval):
    finite = np.isfinite(norm)
    grown = finite and state[1] + 1 >= interval
    state[:] = (max(1, state[0] * (2 if grown else 1 if finite else 0.5)), state[1] + 1 if finite and not grown else 0, finite)


# --- step.cu ----------------------------------------------------------------------------------------------

def clip_factor(squares, norm, factor, limit):
    norm[...] = np.sqrt(squares)
    factor[...] = np.asarray(limit, norm.dtype) / np.maximum(norm, np.asarray(limit, norm.dtype))


def note_loss(loss, share, sum, add):
    sum[...] = (sum if add else 0) + loss.astype(np.float64) * share


def note_step(losses, norm, scale, ring, row, terms):
    numbers = [*losses.reshape(-1), norm, *([] if scale is None else [scale])]
    ring.reshape(-1, len(numbers))[int(row[0])] = numbers


# --- collect.cu -------------------------------------------------------------------------------------------

def collect(arrays, flat, first, add):
    begin = first
    for address, end in zip(arrays["address"].tolist(), arrays["end"].tolist()):
        if end > begin and (address or not add):
            new = np.ctypeslib.as_array((ctypes.c_float * (end - begin)).from_address(address)) if address else 0
            flat[begin:end] = new + (flat[begin:end] if add else 0)
        begin = end
