"""An ONNX graph under construction: operators by name, and every weight stored once.

Source of the operators: onnx.ai/onnx/operators, opset 20.  A weight that is read in several places
is one initializer: a shared layer costs its size once, however often it is applied.
"""

import numpy as np

from ..errors import UserError
from ..files.int8 import rows_in_int8

OPSET = 20  # the first with Gelu
IR_VERSION = 9


def needed(name):
    """A package of the extra `onnx`."""
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(
            f"ONNX files need {name}, which can't be imported ({error}); pip install "
            "'tinyalbert[onnx]'"
        ) from None


class Graph:
    """Nodes and initializers; a value is known by its name, a text.

    int8: matrices are stored as 8-bit numbers with a scale for each row, and made float32 where
    they are read.
    """

    def __init__(self, int8=False):
        self.onnx = needed("onnx")
        self.int8 = int8
        self.nodes = []
        self.initializers = []
        self.known = {}  # (id of an array, how it lies) -> its value
        self.arrays = []  # kept, so that no id is given to another

    def op(self, kind, *inputs, outputs=1, **attributes):
        """The output of a new node, or its outputs in a list."""
        names = [f"{kind.lower()}_{len(self.nodes)}_{i}" for i in range(outputs)]
        node = self.onnx.helper.make_node(
            kind, list(inputs), names, name=f"{kind}_{len(self.nodes)}", **attributes
        )
        self.nodes.append(node)
        return names[0] if outputs == 1 else names

    def constant(self, value, dtype=np.float32):
        """A number or a list of numbers."""
        key = (str(np.asarray(value).tolist()), np.dtype(dtype).name)
        if key not in self.known:
            self.known[key] = self._store(
                f"constant_{len(self.initializers)}", np.asarray(value, dtype)
            )
        return self.known[key]

    def weight(self, name, array):
        """A weight as it lies in the model, stored once."""
        key = id(array)
        if key not in self.known:
            self.arrays.append(array)
            self.known[key] = self._weight(name, array)
        return self.known[key]

    def transposed(self, name, matrix):
        """The transpose of a matrix (O, I) -> (I, O): what MatMul takes.

        The transpose is made when the file is loaded; in the file the matrix stands once.
        """
        value = self.weight(name, matrix)
        key = ("transposed", value)
        if key not in self.known:
            self.known[key] = self.op("Transpose", value, perm=[1, 0])
        return self.known[key]

    def _weight(self, name, array):
        if not (self.int8 and array.ndim == 2):
            return self._store(name, array)
        numbers, scales = rows_in_int8(array)
        return self.op(
            "DequantizeLinear",
            self._store(name, numbers),
            self._store(f"{name}.scale", scales),
            axis=0,
        )

    def _store(self, name, array):
        self.initializers.append(
            self.onnx.numpy_helper.from_array(np.array(array, order="C"), name)
        )
        return name

    def model(self, inputs, outputs):
        """The finished file's content.

        inputs: {name: axes' names}, whole numbers; outputs: {name: (value, axes)}, an axis a name
        or a number.
        """
        helper, types = self.onnx.helper, self.onnx.TensorProto
        for name, (value, _) in outputs.items():
            self.nodes.append(helper.make_node("Identity", [value], [name], name=name))
        graph = helper.make_graph(
            self.nodes,
            "albert",
            [helper.make_tensor_value_info(n, types.INT64, axes) for n, axes in inputs.items()],
            [
                helper.make_tensor_value_info(
                    name, types.INT64 if name in WHOLE_NUMBERS else types.FLOAT, axes
                )
                for name, (_, axes) in outputs.items()
            ],
            self.initializers,
        )
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="tinyalbert",
        )


WHOLE_NUMBERS = {"start_top_index"}  # outputs that are places, not scores
