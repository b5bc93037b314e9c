# %% [markdown]
# # 12 · Adam, LAMB, and schedules
# **Needs** 05 (a loss), 09 (the model), 11 (its data) · **Builds** `AdamW`, `LAMB`, `linear_warmup_decay` · **Paper** Kingma and Ba
# 2015; Loshchilov and Hutter 2019; You et al. 2020; Lan et al. 2020, §4.1 · **Runs in** a few seconds
#
# The backward pass says in which direction each parameter should move, but not how far. An *optimiser* decides that:
# it turns gradients into steps. Three of them, each with an idea or two more than the one before, are built here; the last one, LAMB, trained ALBERT.
# %%
import numpy as np
from _check import exercise, figure, finish, predict, pyplot, same, show

from tinyalbert import (
    LAMB,
    AdamW,
    AlbertConfig,
    AlbertForPreTraining,
    AlbertTokenizer,
    Parameter,
    backward,
    optim,
)
from tinyalbert.stories import corpus

NEEDS = ["05", "09", "11"]
TEACHES = ["AdamW", "LAMB", "optim.adam_direction", "optim.adamw_step", "optim.lamb_step", "optim.clip_by_global_norm",
           "optim.linear_warmup_decay", "optim.google_schedule", "optim.sqrt_scaled_lr", "optim.freeze"]
rng = np.random.default_rng(12)

# %% [markdown]
# ## A long valley
# *Gradient descent* takes a step against the gradient: w - lr · g. The factor lr is the *learning rate*. Take a loss
# of two numbers that is steep in one and nearly flat in the other, as the losses of real models are. (Its *curvature*
# in a direction says how fast the slope grows there.) A rate small enough for the steep direction is far too small
# for the flat one.
# %%
CURVATURE = np.array([1.0, 40.0])                # loss = (1 x² + 40 y²) / 2
START = np.array([-9.0, 1.5])


def loss(w):
    return (CURVATURE * w * w).sum(axis=-1) / 2


def gradient(w):
    return CURVATURE * w


def descend(lr, steps=40):
    path = [START]
    for _ in range(steps):
        path.append(path[-1] - lr * gradient(path[-1]))
    return np.array(path)


largest_rate = predict("Where is the limit? The steep curvature is 40: what is the largest learning rate that doesn't explode?", guess=None)
largest_rate.reveal(2 / CURVATURE.max(), "{}: a step multiplies y by 1 - 40 lr, which must stay between -1 and 1")
for lr in (0.01, 0.045, 0.051):
    print(f"   lr {lr}: loss {loss(START):.0f} -> {loss(descend(lr)[-1]):.3g}")
assert loss(descend(0.051)[-1]) > loss(START) > loss(descend(0.045)[-1])

# %% [markdown]
# ## Build it: Adam
# Adam keeps two running means for each parameter. m is the mean of the gradients: steps to and fro cancel, steps in
# one direction add up. v is the mean of their squares: it tells how large gradients usually are here. The step is m /
# sqrt(v), a number around 1 whatever the size of the gradient, so steep and flat directions move at the same speed.
# eps keeps the denominator away from 0. (`decay` is explained in the next section, `corrections` further down.)
# %%
BETA1, BETA2, EPS = 0.9, 0.999, 1e-6


def adam_direction(w, g, m, v, decay=0.01, corrections=(1.0, 1.0)):
    m = BETA1 * m + (1 - BETA1) * g              # the new gradient counts one tenth
    v = BETA2 * v + (1 - BETA2) * g * g          # and its square one thousandth
    return (m / corrections[0]) / (np.sqrt(v / corrections[1]) + EPS) + decay * w, m, v


w, g, m, v = (rng.standard_normal((3, 4)) for _ in range(4))
v = v * v
same(np.stack(adam_direction(w, g, m, v)), np.stack(optim.adam_direction(w, g, m, v)), "Adam's direction")

# %%
def adam_path(lr, steps=40, beta2=0.9):          # short memories, 0.7 and 0.9, as the whole path has only forty steps
    path, m, v = [START], np.zeros(2), np.zeros(2)
    for t in range(1, steps + 1):
        u, m, v = optim.adam_direction(path[-1], gradient(path[-1]), m, v, (0.7, beta2), decay=0.0,
                                       corrections=(1 - 0.7**t, 1 - beta2**t))
        path.append(path[-1] - lr * u)
    return np.array(path)


plt = pyplot()
fig, ax = plt.subplots(figsize=(6.8, 3.3))
xx, yy = np.meshgrid(np.linspace(-10, 2, 121), np.linspace(-2, 2, 81))
ax.contour(xx, yy, loss(np.stack([xx, yy], axis=-1)), levels=[0.3, 2, 6, 15, 30, 50, 80], colors="0.85", linewidths=0.8)
plain, adam_steps = descend(0.045), adam_path(0.35)
ax.plot(*plain.T, "o-", color="0.55", ms=2.5, lw=1)
ax.plot(*adam_steps.T, "o-", color="0.0", ms=2.5, lw=1)
ax.text(-8.5, -1.75, "gradient descent", color="0.4")
ax.text(-5.4, 0.55, "Adam", color="0.0")
ax.plot(0, 0, "+", color="0.0", ms=10)
ax.set(xlabel="the flat direction", ylabel="the steep direction",
       title="Gradient descent zigzags; Adam walks along the valley")
figure(fig, "a_long_valley")
print(f"after {len(plain) - 1} steps: gradient descent {loss(plain[-1]):.2g}, Adam {loss(adam_steps[-1]):.2g}")

# %% [markdown]
# ## Weight decay, apart from the gradient
# Each step also shrinks the weights a little, so that none grows needlessly. Adding decay · w to the *gradient* would
# send it through the division by sqrt(v), and weights with small gradients would shrink the most. The W in *AdamW*
# means: add it to the *direction*, after the division.
# %%
def some_state(*shape):
    w, g, m, v = (rng.standard_normal(shape) for _ in range(4))
    return w, g, m * 0.1, v * v * 0.1


@exercise(trials=[(*some_state(3, 4), 0.1), (*some_state(5), 0.003)])
def adamw_step(w, g, m, v, lr):
    """-> np.stack([new w, new m, new v])"""
    ...


parameter = Parameter(w.copy())
optimiser = AdamW([("matrix", parameter)], lr=0.01)
mine = w, np.zeros_like(w), np.zeros_like(w)
for _ in range(20):
    g_step = rng.standard_normal(w.shape)
    mine = adamw_step(mine[0], g_step, mine[1], mine[2], 0.01)
    optimiser.step({"matrix": g_step})
same(mine[0], parameter.data, "AdamW, 20 steps")

# %% [markdown]
# ## The first steps
# m and v start at 0, so both are too small at first; v, the slower one, stays too small for much longer. Dividing by
# 1 - beta^t corrects this exactly; it is called *bias correction*. Google's ALBERT, like Google's BERT, leaves it
# out.
# %%
first_step = predict("Without correction, with beta1 = 0.9 and beta2 = 0.999: by what factor is the very first step too long?", guess=None)
u = optim.adam_direction(np.zeros(1), np.ones(1), np.zeros(1), np.zeros(1), eps=1e-12)[0]
first_step.reveal(float(u[0]), "{:.2f}")


def step_sizes(beta2, corrected, steps=3000):
    """Size of the step when the gradient is always 1: it should be 1."""
    m = v = 0.0
    sizes = []
    for t in range(1, steps + 1):
        m, v = 0.9 * m + 0.1, beta2 * v + (1 - beta2)
        sizes.append(m / np.sqrt(v) * (np.sqrt(1 - beta2**t) / (1 - 0.9**t) if corrected else 1))
    return np.array(sizes)


# %% [markdown]
# It gets worse before it gets better, and takes a thousand steps. So the learning rate has to begin small: that is
# the first reason for the *warm-up*, a rate that rises from 0. The second is that an untrained model has large
# gradients in meaningless directions. After the peak the rate falls to 0, because close to the goal long steps only
# jitter around it.
# %%
@exercise(trials=[(0, 1e-3, 10, 100), (9, 1e-3, 10, 100), (10, 1e-3, 10, 100), (55, 2.0, 10, 100), (99, 2.0, 0, 100)])
def linear_warmup_decay(step, peak, warmup, total):
    """The learning rate of step 0 ... total - 1."""
    ...


steps = np.arange(1000)
# Google counts the decay from step 0, although it begins only after the warm-up
ours = np.array([linear_warmup_decay(t, 1.0, 200, 1000) for t in steps])
google = np.array([optim.google_schedule(t, 1.0, 200, 1000) for t in steps])
same(ours, [optim.linear_warmup_decay(t, 1.0, 200, 1000) for t in steps], "a whole schedule")

# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.0))
for beta2, colour in ((0.999, "0.0"), (0.98, "0.5")):
    sizes = step_sizes(beta2, False)
    left.semilogx(range(1, 3001), sizes, color=colour)
    left.text(sizes.argmax() + 1, sizes.max() + 0.15, f"beta2 = {beta2}", color=colour, ha="center")
left.semilogx(range(1, 3001), step_sizes(0.999, True), color="0.0", ls=":")
left.text(100, 0.5, "corrected, both", ha="center")
left.set(xlabel="step", ylabel="size of the step (should be 1)", ylim=(0, 7.5), title="Without correction the first steps are too long")
right.plot(steps, ours, color="0.0")
right.plot(steps, google, color="0.6", ls="--")
right.text(330, 0.9, "ours")
right.text(230, 0.4, "Google's", color="0.4")
right.set(xlabel="step", ylabel="learning rate / peak", title="Google's schedule jumps at the end of the warm-up")
fig.tight_layout()
figure(fig, "first_steps_and_schedules")
assert step_sizes(0.999, False).max() > 2 * step_sizes(0.98, False).max()

# %% [markdown]
# ## LAMB: as long as the layer
# Many machines (lesson 22) can work on one batch of thousands of sequences. Fewer, larger batches mean fewer, longer
# steps, and with long steps some layer breaks first: one with small weights, for which the same step is large. LAMB
# measures each tensor's step against the tensor itself. The direction u is scaled to be exactly as long as w; lr then
# says *by what share* of its own length each tensor moves.
# %%
@exercise(trials=[(*some_state(3, 4), 0.1), (*some_state(6), 0.02)])
def lamb_step(w, g, m, v, lr):
    """-> np.stack([new w, new m, new v])"""
    ...


lamb_weights = Parameter(w.copy())
lamb_optimiser = LAMB([("matrix", lamb_weights)], lr=0.01)
my_lamb = w, np.zeros_like(w), np.zeros_like(w)
for _ in range(20):
    before, g_step_2 = my_lamb[0], rng.standard_normal(w.shape)
    my_lamb = lamb_step(my_lamb[0], g_step_2, my_lamb[1], my_lamb[2], 0.01)
    lamb_optimiser.step({"matrix": g_step_2})
same(my_lamb[0], lamb_weights.data, "LAMB, 20 steps")
print("length of the last step, as a share of the tensor:", np.linalg.norm(my_lamb[0] - before) / np.linalg.norm(before))

# %% [markdown]
# ## Measure it on a real model
# Take the gradients of a small ALBERT on our stories and a few steps with each optimiser. How far does each tensor
# move?
# %%
sentences = [s for story in corpus.documents(60) for s in story]
tok = AlbertTokenizer.train(sentences, 300, num_threads=1)
batch = dict(tok(sentences[:16], padding=True, return_tensors="np"))
batch["labels"] = np.where((rng.random(batch["input_ids"].shape) < 0.15) & (batch["attention_mask"] == 1), batch["input_ids"], -100)
batch["input_ids"] = np.where(batch["labels"] >= 0, tok.mask_token_id, batch["input_ids"])
config = AlbertConfig.preset("tiny", vocab_size=len(tok))


def shares(optimiser_class, lr, steps=3):
    """{matrix: |step| / |matrix|} of the last of a few steps; biases and norms are left out."""
    model = AlbertForPreTraining(config, seed=0).eval()
    named = dict(model.named_parameters())
    optimiser = optimiser_class(named, lr=lr, bias_correction=True)
    for _ in range(steps):
        gradients = backward(model(**batch).loss)
        before = {name: parameter.data.copy() for name, parameter in named.items()}
        optimiser.step(gradients)
    moved = {name: np.linalg.norm(parameter.data - before[name]) / np.linalg.norm(before[name])
             for name, parameter in named.items() if name not in optimiser.excluded and parameter in gradients}
    return moved, gradients, named


adam, gradients, named = shares(AdamW, 1e-3)
lamb, _, _ = shares(LAMB, 0.02)
fig, ax = plt.subplots(figsize=(7.2, 3.6))
y = np.arange(len(adam))
ax.barh(y + 0.2, adam.values(), height=0.38, color="0.7")
ax.barh(y - 0.2, lamb.values(), height=0.38, color="0.2")
ax.set_yticks(y, [".".join(name.split(".")[-3:-1] if ".attention." in name or "predictions" in name else name.split(".")[-2:-1])
                  for name in adam], fontsize=8)
ax.text(max(adam.values()), len(y) - 0.4, "light: AdamW    dark: LAMB", ha="right", color="0.3")
ax.set(xlabel="length of a step, as a share of the tensor's own length", ylim=(-0.6, len(y) + 0.2),
       title="AdamW moves each matrix by a different share of itself, LAMB all by the same")
figure(fig, "step_and_weight")
assert max(lamb.values()) / min(lamb.values()) < 1.05 < max(adam.values()) / min(adam.values())

# %% [markdown]
# Biases and layer norms take AdamW's step without decay: it makes no sense to pull the gain of a norm towards 0.
#
# ## The whole step
# Before the optimiser sees them, gradients are *clipped*: if all of them together, as one long vector, are longer
# than a limit, all are scaled down by the same factor. The direction stays the same, and a single odd batch can't
# throw the model off course.
# %%
@exercise(trials=[(np.array([3.0, 0.0]), np.array([4.0]), 1.0), (np.array([0.3]), np.array([0.1, 0.2]), 1.0),
                  (np.array([1.0, 2.0]), np.array([-2.0, 0.5]), 2.0)])
def clip(a, b, limit):
    """Gradients of two tensors -> both, concatenated, scaled down by one common factor if necessary."""
    ...


by_name = {name: gradients[parameter].copy() for name, parameter in named.items() if parameter in gradients}
flat = np.concatenate([g.ravel() for g in by_name.values()])
optim.clip_by_global_norm(by_name, 0.5)           # in place
same(clip(flat[:1000].astype(float), flat[1000:].astype(float), 0.5), np.concatenate([g.ravel() for g in by_name.values()]),
     "clipped gradients", rtol=1e-5)
print(f"norm of all gradients: {np.linalg.norm(flat):.2f} before, {np.linalg.norm(np.concatenate([g.ravel() for g in by_name.values()])):.2f} after")
print(f"the paper's rate for batches of 4096 is 0.00176; for 64 by the square-root rule: {optim.sqrt_scaled_lr(0.00176, 64):.6f}")
frozen = optim.freeze(named.items(), "embeddings")
print(f"frozen, no longer trained: {len(frozen)} of {len(named)} tensors")

# %% [markdown]
# ## In the library
# The definitions are written for one tensor, as in the papers; the classes do the same, block by block and in place.
# %%
show(optim.adam_direction)
show(optim.lamb_step)
show(LAMB._update)

# %% [markdown]
# **What to keep.** Adam divides the mean gradient by its usual size, so every number moves about equally far. Warm up
# because the first steps are wrong; keep weight decay out of the gradient. LAMB gives each tensor a step in
# proportion to its own length. Next: 13, pretraining.
# %%
finish()
