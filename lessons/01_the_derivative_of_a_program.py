# %% [markdown]
# # 01 · The derivative of a program
# **Needs** nothing but Python · **Builds** the reverse sweep for single numbers · **Paper** Griewank & Walther
# 2008, ch. 3 · **Runs in** a few seconds
#
# Training means changing each of a million numbers a little so that the model makes a smaller mistake. To know which
# way to change a number, we need its *derivative*: if the number grows by a tiny amount, by how many times that
# amount does the mistake grow? The size of the mistake is itself a number, the program's last result; it is called
# the *loss*. This lesson computes derivatives of ordinary Python programs, first by trial, then exactly.
# %%
import math

from _check import animation, exercise, figure, finish, predict, pyplot, same, show

from tinyalbert import tensor
from tinyalbert.tensor import Tensor

NEEDS = []
TEACHES = ["tensor.topological_order"]

# %% [markdown]
# ## A derivative is a question about a nudge
# Take f(x) = x² at x = 3. Nudge x by a small h and see how far f moves, as a multiple of h.
# %%
def f(x):
    return x * x


for h in (1.0, 0.1, 0.001):
    print(f"h = {h:<6} (f(3 + h) - f(3)) / h = {(f(3 + h) - f(3)) / h:.4f}")

# %% [markdown]
# The smaller the nudge, the closer to 6, and 2·3 = 6 is the rule from school. A program with a million inputs would
# have to run a million times to find all its derivatives this way. We can do better: one run forward and one walk
# backward give all of them.
#
# ## The chain rule, on a piece of paper
# Cut the program into steps so small that each one's derivative is known. For y = a·b: if a grows by 1, y grows by b;
# if b grows by 1, y grows by a. For y = a + b: y grows by 1 either way. Write dy/da for "how much y grows per nudge
# of a". The *chain rule* says: if y depends on u and u depends on x, multiply: dy/dx = dy/du · du/dx. If x reaches y
# along several paths, add.
# %%
def on_paper(x, w, b):
    u = x * w                                    # forward: -6 for the numbers below,
    y = u + b                                    # 4,
    loss = y * y                                 # 16

    dy = y + y                                   # backward, d loss / d y: loss = y * y uses y twice
    du, db = dy * 1, dy * 1                      # y = u + b passes the derivative on to both
    dx, dw = du * w, du * x                      # u = x * w: each gets the other as a factor
    return loss, dx, dw, db


_, dx, dw, db = on_paper(2.0, -3.0, 10.0)
print(f"d loss / d x = {dx}, d loss / d w = {dw}, d loss / d b = {db}")

# %% [markdown]
# We walked from the loss to the inputs. In that direction, one walk gives *all* derivatives. It is called the reverse
# sweep, or backpropagation.
# %%
h = 1e-6
by_nudge = (on_paper(2.0, -3.0 + h, 10.0)[0] - on_paper(2.0, -3.0 - h, 10.0)[0]) / (2 * h)
same(by_nudge, dw, "the derivative with respect to w, by a nudge", rtol=1e-6)

# %% [markdown]
# ## Build it: numbers that remember
# The program should do that paperwork itself. A `Value` holds a number, the Values it was made from, and a function
# that knows the step's own derivatives: given g = d loss / d (this), it returns d loss / d (each input). That
# function is called a *vjp* from here on; lesson 04 says what the letters mean. `grad` holds d loss / d (this), the
# Value's *gradient*.
# %%
class Value:
    def __init__(self, number, inputs=(), vjp=None):
        self.number, self.inputs, self.vjp, self.grad = number, inputs, vjp, 0.0

    def __add__(self, other):
        return Value(self.number + other.number, (self, other), lambda g: (g, g))

    def __mul__(self, other):
        a, b = self.number, other.number
        return Value(a * b, (self, other), lambda g: (g * b, g * a))


remembered = Value(2.0) * Value(-3.0) + Value(10.0)
squared = remembered * remembered
print("loss =", squared.number, "made from", [v.number for v in squared.inputs])

# %% [markdown]
# Now the walk. The first idea that comes to mind: go through the values once, from the loss down. At each, add what
# arrives to `.grad` and pass it on to the inputs.
# %%
def backward_once(value, g=1.0, done=None):
    done = set() if done is None else done
    value.grad += g
    if value.vjp and id(value) not in done:
        done.add(id(value))                      # each value passes on once
        for v, gv in zip(value.inputs, value.vjp(value.grad)):
            backward_once(v, gv, done)


walked_once = predict("a = x * x, b = a + a, loss = a + b, at x = 2. What is d loss / dx?  And what will the walk above say?", guess=None)
x = Value(2.0)
a = x * x
b = a + a
loss = a + b
backward_once(loss)
walked_once.reveal((12.0, x.grad), "correct, and by the walk above: {}")
too_early = {"x": x.grad, "a": a.grad, "b": b.grad, "loss": loss.grad}
assert x.grad == 4.0

# %% [markdown]
# ## Break it, then see why
# loss = a + 2a = 3x², whose derivative at 2 is 12. But `loss` is made from `a` directly *and* by way of `b`. The walk
# comes to a first, with 1, and passes that on to x. Only then does it come to b, which sends another 2 to a: too late,
# a has passed on already.
#
# There are two ways out. One is to pass on each arrival by itself: a first passes on what came with 1, later what came
# with 2. Added up this is right, because what two gradients cause together is the sum of what each causes alone. But the
# walk then follows every *path* from the loss down, and paths multiply: each step like b = a + a doubles them.
# %%
def backward_along_paths(value, g=1.0):
    """Right, and far too slow; returns the number of calls."""
    value.grad += g
    return 1 + sum(backward_along_paths(v, gv) for v, gv in zip(value.inputs, value.vjp(g) if value.vjp else ()))


for v in (x, a, b, loss):
    v.grad = 0.0
backward_along_paths(loss)
print("along every path: d loss / dx =", x.grad)
assert x.grad == 12.0
for doublings in (2, 5, 10, 15):
    value = Value(1.0)
    for _ in range(doublings):
        value = value + value
    print(f"{doublings:2d} doublings: {backward_along_paths(value):6d} calls")

# %% [markdown]
# The other way out is an order: **let a value pass its gradient on once, when it is complete**, that is, after everything
# that uses the value has contributed. So put the values in a row, each after everything it is made from (a
# *topological* order), and walk along that row backwards.
# %%
def topological_order(root):
    """Values, each after everything it is made from."""
    order, seen = [], set()

    def visit(value):
        if id(value) not in seen:
            seen.add(id(value))
            for v in value.inputs:
                visit(v)
            order.append(value)                  # all inputs are in the list by now
    visit(root)
    return order


def backward(root):
    order = topological_order(root)
    for value in order:
        value.grad = 0.0
    root.grad = 1.0
    for value in reversed(order):
        if value.vjp:
            for v, gv in zip(value.inputs, value.vjp(value.grad)):
                v.grad += gv                     # several uses: their gradients add up


backward(loss)
print("in order: d loss / dx =", x.grad)
assert x.grad == 12.0
complete = {"x": x.grad, "a": a.grad, "b": b.grad, "loss": loss.grad}

# %%
plt = pyplot()
fig, axes = plt.subplots(1, 2, figsize=(7.4, 2.4), sharey=True)
places = {"x": (0, 0), "a": (1.2, 0), "b": (2.1, 0.7), "loss": (3, 0)}
arrows = [("x", "a", 0.25), ("x", "a", -0.25), ("a", "b", 0.25), ("a", "b", -0.25), ("a", "loss", 0.0), ("b", "loss", 0.0)]
for ax, title, grads in ((axes[0], f"passed on too early: x gets {too_early['x']:g}", too_early),
                         (axes[1], f"passed on when complete: x gets {complete['x']:g}", complete)):
    ax.text(0.6, 0.42, f"a passes on {grads['x'] / 4:g}", ha="center", fontsize=8)        # x gets 2x = 4 times that
    for start, end, bend in arrows:
        ax.annotate("", places[end], places[start], arrowprops={
            "arrowstyle": "->", "connectionstyle": f"arc3,rad={bend}", "shrinkA": 16, "shrinkB": 16})
    for name, (px, py) in places.items():
        ax.text(px, py, name, ha="center", va="center", fontsize=11, bbox={"boxstyle": "circle", "fc": "white"})
        ax.text(px, py + (0.3 if name == "b" else -0.75), f"in the end\n{grads[name]:g}", ha="center", fontsize=8)
    ax.set(xlim=(-0.5, 3.5), ylim=(-0.8, 1.4), title=title)
    ax.axis("off")
figure(fig, "order_matters")

# %% [markdown]
# The same walk, one value after the other, as moving pictures:
# %%
fig, ax = plt.subplots(figsize=(4.4, 3.0))
GRAPH = topological_order(loss)                  # x, a, b, loss
NAMES = {id(x): "x", id(a): "a", id(b): "b", id(loss): "loss"}


def draw_sweep(frame):
    """After `frame` values have passed on their gradients."""
    gradients = dict.fromkeys(NAMES, 0.0) | {id(loss): 1.0}
    done = list(reversed(GRAPH))[:frame]
    for value in done:
        for v, gv in zip(value.inputs, value.vjp(gradients[id(value)]) if value.vjp else ()):
            gradients[id(v)] += gv
    ax.clear()
    for start, end, bend in arrows:
        passed = any(NAMES[id(v)] == end for v in done)
        ax.annotate("", places[start], places[end], arrowprops={"arrowstyle": "->", "lw": 2.5 if passed else 0.8, "color": "0.0" if passed else "0.7",
                    "connectionstyle": f"arc3,rad={-bend}", "shrinkA": 16, "shrinkB": 16})
    for key, name in NAMES.items():
        px, py = places[name]
        now = bool(done) and key == id(done[-1])
        ax.text(px, py, name, ha="center", va="center", fontsize=11, color="white" if now else "black", bbox={"boxstyle": "circle", "fc": "0.1" if now else "white"})
        ax.text(px, py + (0.3 if name == "b" else -0.6), f"{gradients[key]:g}", ha="center", weight="bold")
    last = done[-1] if done else loss
    said = (f"{NAMES[id(last)]} has passed on its {gradients[id(last)]:g}" if done and last.vjp
            else f"d loss / dx = {gradients[id(last)]:g}" if done else "the loss begins with 1")
    ax.set(xlim=(-0.5, 3.5), ylim=(-0.9, 1.4), title=said)
    ax.axis("off")


animation(fig, draw_sweep, len(GRAPH) + 1, "reverse_sweep")

# %% [markdown]
# The library's sweep is the same idea with whole boxes of numbers, *arrays*, in place of single ones. It finds the order with a list instead of
# recursion, because Python refuses to nest more than about a thousand calls, and a long program goes deeper than
# that.
# %%
tx = Tensor(2.0, requires_grad=True)             # requires_grad: we want its gradient
ta = tx * tx
(ta + (ta + ta)).backward()
same(x.grad, tx.grad, "d loss / dx")

chain = Value(1.0)
for _ in range(2000):
    chain = chain + Value(0.0)
try:
    topological_order(chain)
    print("this Python recursed 2,000 deep")
except RecursionError:
    print("2,000 additions in a row: our recursive order gives up")
long = tx
for _ in range(2000):
    long = long + 0.0
print("the library's order of the same chain has", len(tensor.topological_order(long)), "entries")

# %% [markdown]
# ## Exercise: more steps
# With +, ×, and a few functions of one number (tanh, which squeezes any number between -1 and 1, and the logarithm)
# you can write whole *neural networks*: programs made of such steps, containing numbers that are learned. Each
# exercise gets the input x and the gradient g of the output, and returns the gradient of x.
# %%
@exercise(trials=[(0.3, 1.0), (-1.2, 2.5), (2.0, -0.7)])
def tanh_backward(x, g):
    """Gradient of x in tanh(x)."""
    ...


@exercise(trials=[(0.5, 1.0), (3.0, -2.0), (7.0, 0.1)])
def log_backward(x, g):
    """Gradient of x in log(x)."""
    ...


def tanh(value):
    return Value(math.tanh(value.number), (value,), lambda g: (tanh_backward(value.number, g),))


# %% [markdown]
# ## One neuron learns
# A neuron: y = tanh(w·x + b). We want y = 0.5 for x = 2. The loss is the squared difference. In each round we run
# forward, sweep backward, and move w and b a small step *against* their gradients. That is all there is to training;
# what comes later is only larger.
# %%
def learn(rounds):
    """The loss in each round."""
    w, b, losses = Value(-0.8), Value(0.1), []
    for _ in range(rounds):
        x, minus_target = Value(2.0), Value(-0.5)
        error = tanh(w * x + b) + minus_target
        loss = error * error
        backward(loss)
        losses.append(loss.number)
        w.number -= 0.02 * w.grad
        b.number -= 0.02 * b.grad
    return losses


losses = learn(rounds=40)
fig, ax = plt.subplots()
ax.plot(losses, color="black")
ax.set(xlabel="round", ylabel="loss", title="Small steps against the gradient teach one neuron one answer")
figure(fig, "one_neuron")
assert losses[-1] < 0.01 * losses[0]


# %%
@exercise(trials=[([2.0, 3.0],), ([-1.0, 0.5, 4.0],), ([7.0],)])
def gradient_along_a_path(path):
    """The derivatives of the single steps on one path from x to the loss -> the derivative along that path."""
    ...


# %% [markdown]
# ## In the library
# %%
show(tensor.topological_order)

# %% [markdown]
# **What to keep.** Each step knows only its own derivative. The sweep multiplies along a path, adds where paths meet,
# and passes a gradient on only when it is complete. For each step, it does at most a few times the work of the step
# itself, however many inputs the program has. Next: 02, the same with arrays.
# %%
finish()
