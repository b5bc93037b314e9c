"""The mean of the weights that a run had at its last evaluations.

The steps of a run swing around a good place; their mean is nearer to it than each of them
(Vaswani et al. 2017, section 6.1, translate with the mean of the last five checkpoints).
"""

import contextlib

from ..backend import device_of, to_device
from ..errors import UserError


class WeightAverage:
    """The last `count` weights of a model that were noted, and their mean."""

    def __init__(self, model, count):
        self.model = model
        self.parameters = dict(model.named_parameters())
        self.count = count
        self.noted = []  # of {name: array}, the oldest first

    def note(self):
        """Remember the weights as they are now, in place of the oldest."""
        self.noted.append({name: each.data.copy() for name, each in self.parameters.items()})
        del self.noted[: -self.count]

    @contextlib.contextmanager
    def in_use(self):
        """Context in which the model has the mean of the weights that are remembered."""
        self._set(lambda name: sum(weights[name] for weights in self.noted) / len(self.noted))
        try:
            yield
        finally:
            self._set(self.noted[-1].get)

    def _set(self, weights):
        """Give each parameter the array weights(name)."""
        with self.model.turns.changing():
            for name, each in self.parameters.items():
                each.data[...] = weights(name)

    def state_dict(self):
        """{name: array} of all that is remembered."""
        return {
            f"{i}/{name}": array
            for i, weights in enumerate(self.noted)
            for name, array in weights.items()
        }

    def load_state_dict(self, arrays):
        """Take over a state_dict(); refuses one of other parameters."""
        noted = {}
        for key, array in arrays.items():
            number, _, name = key.partition("/")
            own = self.parameters.get(name)
            if own is None or own.shape != array.shape:
                raise UserError(f"{key} is no earlier weight of these parameters")
            weight = to_device(array.astype(own.dtype), device_of(own.data))
            noted.setdefault(number, {})[name] = weight
        if any(len(weights) < len(self.parameters) for weights in noted.values()):
            raise UserError("earlier weights of some parameters are missing")
        self.noted = [noted[number] for number in sorted(noted)][-self.count :]
