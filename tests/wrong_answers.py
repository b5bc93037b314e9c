"""Wrong answers as learners write them: (lesson, exercise, answer, what the judge must say of it).

The answer is an expression for a function; `np` and `math` are there, `t` is the lesson's own tokenizer.
"""

TABLE = [
    ("00", "ids_to_text", "lambda ids: ''.join(t.convert_ids_to_tokens(ids)[1:-1])", "there is something in it that does not belong to it"),
    ("00", "ids_to_text", "lambda ids: ''.join(t.convert_ids_to_tokens(ids)[1:]).replace('▁', ' ').strip()", "there is something in it that does not belong to it"),
    ("00", "ids_to_text", "lambda ids: t.convert_ids_to_tokens(ids)[1:-1]", 'it returned a list, expected a text; "".join('),
    ("00", "ids_to_text", "lambda ids: ''.join(t.convert_ids_to_tokens(ids)[1:-1]).replace('▁', ' ')", "only the spaces are wrong"),
    ("00", "table_sizes", "lambda v, h, e: v * h", "it returned one number, 23040000, expected a tuple such as (23040000,"),
    ("00", "table_sizes", "lambda v, h, e: (v * e + e * h, v * h)", "`vocab * hidden` and the part with vocab and embedding and hidden are"),
    ("00", "table_sizes", "lambda v, h, e: (v * h, v * e * h)", "`embedding * hidden` is a factor here; it should be added"),
    ("00", "table_sizes", "lambda v, h, e: (v + h, v * e + e * h)", "`hidden` is added, which should be a factor"),
    ("00", 'ids_to_text', 'lambda ids: t.decode(ids)', '[CLS] and [SEP] are still there'),
    ("00", 'table_sizes', 'lambda v,h,e: (v*h, v*e*h*h)', 'row 0 of the result is right, 1 is not: for vocab = 30000, hidden = 76'),
    ("00", 'table_sizes', 'lambda v,h,e: (v*h, v*e + h)', 'a factor is missing: `embedding`'),
    ("01", "tanh_backward", "lambda x, g: g * (1 - math.tanh(x))", "the power is missing: `math.tanh(x) ** 2`"),
    ("01", "tanh_backward", "lambda x, g: g * (1 + math.tanh(x) ** 2)", "`math.tanh(x) ** 2` is added, it should be subtracted"),
    ("01", "tanh_backward", "lambda x, g: g * math.tanh(x)", "this is tanh itself, not its derivative"),
    ("01", "tanh_backward", "lambda x, g: print(g * (1 - math.tanh(x) ** 2))", "it returned nothing (None): the last line must begin with `return`; pr"),
    ("01", "log_backward", "lambda x, g: g * x", "multiplied by `x`, which should divide"),
    ("01", "log_backward", "lambda x, g: x / g", "x and g are exchanged"),
    ("01", "log_backward", "lambda x, g: -g / x ** 2", "this is the derivative of 1/x; that of log x is 1/x itself"),
    ("01", "log_backward", "lambda x: 1 / x", "it is called with 2 arguments: x, g"),
    ("01", "gradient_along_a_path", "lambda path: math.prod(path[1:])", ""),
    ("01", "gradient_along_a_path", "lambda path: sum(path) / len(path)", ""),
    ("01", "gradient_along_a_path", "lambda path: [p * 1.0 for p in path]", "`prod` is missing"),
    ("01", 'tanh_backward', 'lambda x,g: g*(1-x**2)', 'this uses x where tanh(x) belongs'),
    ("01", 'tanh_backward', 'lambda x,g: 1-math.tanh(x)**2+g', '`1 - math.tanh(x) ** 2` is added, which should be a factor'),
    ("01", 'log_backward', 'lambda x,g: g/math.log(x)', ''),
    ("01", 'gradient_along_a_path', 'lambda path: sum(path)', 'along one path derivatives multiply; they add where paths meet'),
    ("02", "divide_backward", "lambda a, b, g: (g / b, -g * a / b ** 2)[0]", "shape (3, 2), expected (2, 3, 2); this is only part 1 of the 2 that be"),
    ("02", "divide_backward", "lambda a, b, g: np.stack([1 / b, -a / b ** 2])", "g is missing: the chain rule multiplies by what comes in"),
    ("02", "divide_backward", "lambda a, b, g: np.stack([g * b, g * a])", ""),
    ("02", "divide_backward", "lambda a, b, g: np.stack([g / b, -g / b ** 2])", "a factor is missing: `a`"),
    ("02", "divide_backward", "lambda a, b, g: np.concatenate([g / b, -g * a / b ** 2])", "shape (6, 2), expected (2, 3, 2); the numbers are right: transposed or"),
    ("02", "transpose_backward", "lambda x, g: np.ones_like(x)", "g is missing: the chain rule multiplies by what comes in"),
    ("02", "transpose_backward", "lambda x, g: x", "the result depends on x, but it must not"),
    ("02", "transpose_backward", "lambda x, g: g.T @ x", ".T or .swapaxes(-1, -2) transposes"),
    ("02", "transpose_backward", "lambda x, g: -g.T", "right up to a factor of -1: the sign is flipped"),
    ("02", "slice_backward", "lambda x, key, g: np.where(np.arange(len(x))[:, None] < key[1], x, 0)", "shape (6, 6), expected (6,); an axis is still there that should be sum"),
    ("02", "slice_backward", "lambda x, key, g: (lambda z: (z.__setitem__(slice(key[0], key[1]), 1.0), z)[1])(np.zeros_like(x))", "g is missing: the chain rule multiplies by what comes in"),
    ("02", "slice_backward", "lambda x, key, g: (lambda z: (z.__setitem__(slice(0, key[1] - key[0]), g), z)[1])(np.zeros_like(x))", "the numbers are right, but in other places"),
    ("02", "slice_backward", "lambda x, key, g: (lambda z: (z.__setitem__(slice(key[0], key[1]), g), z)[1])(x)", "`zeros_like` is missing"),
    ("02", 'divide_backward', 'lambda a,b,g: np.stack([g/b, g*a/b**2])', 'the sign of the second is flipped: a larger b makes a/b smaller'),
    ("02", 'divide_backward', 'lambda a,b,g: np.stack([-g*a/b**2, g/b])', 'both are right, but in the wrong order'),
    ("02", 'transpose_backward', 'lambda x,g: g', 'the gradient must have the shape of x'),
    ("02", 'slice_backward', 'lambda x,key,g: g', 'the gradient must have the shape of x, not of the slice'),
    ("03", "mean_backward", "lambda x, g: np.expand_dims(g, 1) / x.shape[1]", "shape (3, 1), expected (3, 5); the numbers are right, but not stretche"),
    ("03", "mean_backward", "lambda x, g: np.broadcast_to(g / x.shape[1], x.shape)", "a sum or mean along an axis takes the axis away, keepdims=True keeps i"),
    ("03", "mean_backward", "lambda x, g: np.broadcast_to(np.expand_dims(g, 1) / x.shape[0], x.shape)", "the length of axis 0 stands where that of axis 1 belongs"),
    ("03", "mean_backward", "lambda x, g: np.full(x.shape, 1 / x.shape[1])", "g is missing: the chain rule multiplies by what comes in"),
    ("03", "mean_backward", "lambda x, g: np.expand_dims(g, 1) * x / x.shape[1]", "the result depends on x, but it must not"),
    ("03", "gain_backward", "lambda gain, x, g: (g * x).sum(axis=0)", "shape (4,), expected (3, 1): 1 axes, not 2"),
    ("03", "gain_backward", "lambda gain, x, g: (g * gain).sum(axis=0)", "the result depends on gain, but it must not"),
    ("03", "gain_backward", "lambda gain, x, g: g.sum()", "shape (), expected (4,): one number for everything, where one for each"),
    ("03", "gain_backward", "lambda gain, x, g: (g * x).reshape(-1, *gain.shape).sum(axis=0)", ""),
    ("03", "summed_axes", "lambda shape, full: tuple(i for i in range(len(shape)) if shape[i] == 1)", "something is missing"),
    ("03", "summed_axes", "lambda shape, full: len(full) - len(shape)", "it returned one number, 1, expected a tuple such as (0,)"),
    ("03", "summed_axes", "lambda shape, full: ()", "it gives () whatever the arguments are"),
    ("03", "summed_axes", "lambda shape, full: tuple(range(len(full)))", "a term is missing: `len(shape)`"),
    ("03", 'mean_backward', 'lambda x,g: np.expand_dims(g,1)*np.ones_like(x)', 'divide by n: each number moves the mean by 1/n only'),
    ("03", 'gain_backward', 'lambda gain,x,g: (g*x).mean()', 'shape (), expected (4,): one number for everything, where one for each'),
    ("03", 'summed_axes', 'lambda shape, full: tuple(range(len(full)-len(shape)))', 'axes of size 1 count as well'),
    ("04", "linear_backward_x", "lambda x, w, g: g @ w.T", "`w` is transposed"),
    ("04", "linear_backward_x", "lambda x, w, g: w @ g", "the matrix product is the wrong way round"),
    ("04", "linear_backward_x", "lambda x, w, g: w", "the product with `g` is missing"),
    ("04", "linear_backward_x", "lambda x, w, g: np.ones_like(g) @ w", "g is missing: the chain rule multiplies by what comes in"),
    ("04", "linear_backward_w", "lambda x, w, g: g.T @ x", "reshape is missing"),
    ("04", "linear_backward_w", "lambda x, w, g: (g.swapaxes(-1, -2) @ x)", "shape (2, 5, 5), expected (5, 5); the sum over axis 0 is missing"),
    ("04", "linear_backward_w", "lambda x, w, g: x.reshape(-1, x.shape[-1]).sum(0) * g.reshape(-1, g.shape[-1]).sum(0)[:, None]", ""),
    ("04", "linear_backward_w", "lambda x, w, g: -(g.reshape(-1, g.shape[-1]).T @ x.reshape(-1, x.shape[-1]))", "right up to a factor of -1: the sign is flipped"),
    ("04", "linear_backward_bias", "lambda x, w, g: g.sum()", "summed along the wrong axis, (0, 1)"),
    ("04", "linear_backward_bias", "lambda x, w, g: g.reshape(-1, g.shape[-1]).mean(axis=0)", "a mean stands where a sum belongs"),
    ("04", "linear_backward_bias", "lambda x, w, g: g.sum(axis=-1)", "shape (3,), expected (2,); 1 too many along axis 0"),
    ("04", "linear_backward_bias", "lambda x, w, g: np.ones(g.shape[-1])", "g has no effect on the result, but it should have one"),
    ("04", "linear_backward_bias", "lambda x, w, g: g.reshape(-1, g.shape[-1]).sum(axis=0, keepdims=True)", "shape (1, 2), expected (2,); the numbers are right, but an axis of len"),
    ("04", 'linear_backward_x', 'lambda x,w,g: x @ w.T', 'shape (3, 2), expected (3, 4); 2 too few along axis 1'),
    ("04", 'linear_backward_w', 'lambda x,w,g: x.reshape(-1,x.shape[-1]).T @ g.reshape(-1,g.shape[-1])', 'transposed: the weight is stored as [out, in]'),
    ("04", 'linear_backward_bias', 'lambda x,w,g: g.mean(axis=tuple(range(g.ndim-1)))', 'a mean stands where a sum belongs'),
    ("04", 'linear_backward_bias', 'lambda x,w,g: g.reshape(-1,g.shape[-1]).sum(axis=1)', 'summed along the wrong axis, 1'),
    ("05", "softmax_backward", "lambda g, y: y * (g - g.sum(axis=-1, keepdims=True))", "a factor is missing: `y`"),
    ("05", "softmax_backward", "lambda g, y: y * (g - (g * y).sum(axis=-1))", "keepdims=True is missing, so the result is stretched along the wrong a"),
    ("05", "softmax_backward", "lambda g, y: y * (g - (g * y).mean(axis=-1, keepdims=True))", "a mean stands where a sum belongs"),
    ("05", "softmax_backward", "lambda g, y: g - y * (g * y).sum(axis=-1, keepdims=True)", "the factor `y` belongs to both terms: brackets around them"),
    ("05", "softmax_backward", "lambda g, y: y * (g - (g * y).sum(axis=0, keepdims=True))", "summed along the wrong axis, 0"),
    ("05", "softmax_backward", "lambda g, y: y * (g + (g * y).sum(axis=-1, keepdims=True))", "the part with g and y is added, it should be subtracted"),
    ("05", "softmax_backward", "lambda g, y: y * (1 - y)", "g has no effect on the result, but it should have one"),
    ("05", "cross_entropy_backward", "lambda logits, labels: (np.exp(logits) / np.exp(logits).sum() - np.eye(logits.shape[1])[labels]) / len(labels)", "summed along the wrong axis, (0, 1)"),
    ("05", "cross_entropy_backward", "lambda logits, labels: (logits - np.eye(logits.shape[1])[labels]) / len(labels)", "softmax is missing"),
    ("05", "cross_entropy_backward", "lambda logits, labels: (np.exp(logits) / np.exp(logits).sum(1, keepdims=True) - np.eye(logits.shape[1])[labels]) / logits.size", "too small by the length of axis 1 of logits: a mean where a sum belong"),
    ("05", "cross_entropy_backward", "lambda logits, labels: (np.exp(logits) / np.exp(logits).sum(1) - np.eye(logits.shape[1])[labels]) / len(labels)", "keepdims=True is missing, so the result is stretched along the wrong a"),
    ("05", "cross_entropy_backward", "lambda logits, labels: (np.exp(logits) / np.exp(logits).sum(1, keepdims=True) + np.eye(logits.shape[1])[labels]) / len(labels)", "`1` has the wrong sign"),
    ("05", "cross_entropy_ignoring", "lambda logits, labels: np.log(np.exp(logits[labels != -100]) / np.exp(logits[labels != -100]).sum(1, keepdims=True))[range((labels != -100).sum()), labels[labels != -100]].mean()", "right up to a factor of -1: the sign is flipped"),
    ("05", "cross_entropy_ignoring", "lambda logits, labels: -np.log(np.exp(logits) / np.exp(logits).sum(1, keepdims=True))[range(len(labels)), labels].mean()", "an index lies outside the array: print the indices and the shape"),
    ("05", "cross_entropy_ignoring", "lambda logits, labels: -np.log(np.exp(logits) / np.exp(logits).sum(1, keepdims=True))[labels != -100].mean()", "`[np.arange(len(p)), labels[counted]]` is missing: not all of `p` belo"),
    ("05", "cross_entropy_ignoring", "lambda logits, labels: -logits[labels != -100][range((labels != -100).sum()), labels[labels != -100]].mean()", "two things: softmax is missing; and the logarithm is missing"),
    ("05", 'softmax_backward', 'lambda g,y: y*(g-g.sum(-1,keepdims=True))', 'a factor is missing: `y`'),
    ("05", 'softmax_backward', 'lambda g,y: y*(1-y)*g', "only the Jacobian's diagonal: a higher score also takes probability fr"),
    ("05", 'cross_entropy_backward', 'lambda x,l: np.exp(x)/np.exp(x).sum(-1,keepdims=True)/len(l)', "the right word's 1 is missing"),
    ("05", 'cross_entropy_ignoring', 'lambda x,l: np.log(np.exp(x).sum(-1))[l!=-100].mean()', ''),
    ("06", "layer_norm_backward", "lambda g, xhat, rstd: g - g.mean(-1, keepdims=True) - xhat * (g * xhat).mean(-1, keepdims=True)", "a factor is missing: `rstd`"),
    ("06", "layer_norm_backward", "lambda g, xhat, rstd: rstd * (g - g.mean(-1, keepdims=True) + xhat * (g * xhat).mean(-1, keepdims=True))", "the part with xhat and g is added, it should be subtracted"),
    ("06", "layer_norm_backward", "lambda g, xhat, rstd: (g - g.mean(-1, keepdims=True) - xhat * (g * xhat).mean(-1, keepdims=True)) / rstd", "divided by `rstd`, which should be a factor"),
    ("06", "layer_norm_backward", "lambda g, xhat, rstd: rstd * (g - g.mean(-1) - xhat * (g * xhat).mean(-1))", "keepdims=True is missing, so the result is stretched along the wrong a"),
    ("06", "layer_norm_backward", "lambda g, xhat, rstd: rstd * (g - g.mean(0, keepdims=True) - xhat * (g * xhat).mean(0, keepdims=True))", "summed along the wrong axis, 0"),
    ("06", "layer_norm_backward", "lambda g, xhat, rstd: rstd * (g - g.mean() - xhat * (g * xhat).mean())", "summed along the wrong axis, (0, 1)"),
    ("06", "layer_norm_backward", "lambda g, xhat, rstd: rstd * (g - g.mean(-1, keepdims=True) - (g * xhat).mean(-1, keepdims=True))", "a factor is missing: `xhat`"),
    ("06", "gelu_backward", "lambda x, g: g * 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))", "this is gelu itself, not its derivative"),
    ("06", "gelu_backward", "lambda x, g: (lambda t: 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x**2))(np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))", "g is missing: the chain rule multiplies by what comes in"),
    ("06", "gelu_backward", "lambda x, g: (lambda t: g * (0.5 * (1 + t) + 0.5 * x * (1 - t) * np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x**2)))(np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))", "a factor is missing: `t`"),
    ("06", "gelu_backward", "lambda x, g: (lambda t: g * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * np.sqrt(2 / np.pi) * (1 + 0.044715 * x**2)))(np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))", "a factor is missing: `3`"),
    ("06", "relu_backward", "lambda x, g: g * (x < 0)", "the condition `x > 0` is the wrong way round"),
    ("06", "relu_backward", "lambda x, g: np.maximum(g, 0)", "a factor is missing: `x > 0`"),
    ("06", "relu_backward", "lambda x, g: g", "a factor is missing: `x > 0`"),
    ("06", "relu_backward", "lambda x, g: g if x > 0 else 0", "np.where, & and np.maximum do so place by place"),
    ("06", 'layer_norm_backward', 'lambda g,xhat,rstd: (g - g.mean(-1,keepdims=True) - xhat*(g*xhat).mean(-1,keepdims=True))', 'a factor is missing: `rstd`'),
    ("06", 'gelu_backward', 'lambda x,g: g*0.5*(1+np.tanh(math.sqrt(2/math.pi)*(x+0.044715*x**3)))', 'half of the product rule is missing: x itself also depends on x'),
    ("06", 'relu_backward', 'lambda x,g: g*np.sign(x)', 'row 2, 3 of the result is right, 0, 1 is not: largest error 2, at inde'),
    ("07", "embedding_backward", "lambda table, ids, g: g[ids]", "shape (4, 2), expected (5, 2); 1 too few along axis 0"),
    ("07", "embedding_backward", "lambda table, ids, g: np.eye(len(table))[ids] @ table", "shape (4, 2), expected (5, 2); 1 too few along axis 0"),
    ("07", "embedding_backward", "lambda table, ids, g: np.eye(len(table))[ids].T @ np.ones_like(g)", "g is missing: the chain rule multiplies by what comes in"),
    ("07", "embedding_backward", "lambda table, ids, g: table + np.eye(len(table))[ids].T @ g", "`zeros_like` is missing"),
    ("07", "position_gradient", "lambda g: g", "nothing is summed: `sum` is missing"),
    ("07", "position_gradient", "lambda g: g.sum(axis=(0, 1))", "summed along the wrong axis, (0, 1)"),
    ("07", "position_gradient", "lambda g: g.sum(axis=-1)", "summed along the wrong axis, 2"),
    ("07", "position_gradient", "lambda g: g[0]", "only the first along the axis is taken, where all are to be summed"),
    ("07", "embedding_parameters", "lambda V, E, H, P: (V + P) * E + 2 * E + E * H + H", "2 E numbers are missing: the layer norm's gain and shift, or the two s"),
    ("07", "embedding_parameters", "lambda V, E, H, P: (V + P + 2) * E + 2 * H + E * H + H", "H stands where E belongs"),
    ("07", "embedding_parameters", "lambda V, E, H, P: (V + P + 2) * E + E + E * H + H", "a factor is missing: `2`"),
    ("07", "embedding_parameters", "lambda V, E, H, P: V * E + 2 * E + E * H + H", ""),
    ("07", 'embedding_backward', 'lambda t_,ids,g: (lambda z: (z.__setitem__(ids,g),z)[1])(np.zeros_like(t_))', 'rows that occur twice are counted once: gradient[ids] += g writes only'),
    ("07", 'position_gradient', 'lambda g: g.sum(axis=1)', 'summed over the tokens; each token has a position of its own'),
    ("07", 'embedding_parameters', 'lambda V,E,H,P: V*E+P*E+E*H', 'terms of the sum are missing: `2 * E` and `2 * E` and `H`'),
    ("08", "split_heads", "lambda x, n: x.reshape(x.shape[0], x.shape[1], n, -1).swapaxes(2, 3)", "the axes are in the wrong order: yours are number 0, 2, 3, 1 of the ri"),
    ("08", "split_heads", "lambda x, n: x.reshape(x.shape[0], x.shape[1], n, x.shape[2] // n).transpose(2, 0, 1, 3)", "the axes are in the wrong order: yours are number 1, 0, 2, 3 of the ri"),
    ("08", "split_heads", "lambda x, n: np.array_split(x, n, axis=-1)", "the axes are in the wrong order: yours are number 1, 0, 2, 3 of the ri"),
    ("08", "split_heads", "lambda x, n: x.reshape(x.shape[0], n, x.shape[1], -1).swapaxes(0, 1)", ""),
    ("08", "masked_weights", "lambda s, mask: (lambda e: e / e.sum(-1, keepdims=True))(np.exp(np.where(mask[:, None, :] == 0, s, -1e4)))", "9 values are not finite: a division by zero, or a number that overflow"),
    ("08", "masked_weights", "lambda s, mask: np.where(mask[:, None, :] == 1, s, s - 1e4)", "softmax is missing"),
    ("08", "masked_weights", "lambda s, mask: (lambda e: e / e.sum(-1, keepdims=True))(np.exp(s)) * mask[:, None, :]", "not divided by the sum along axis 2"),
    ("08", "masked_weights", "lambda s, mask: (lambda e: e / e.sum(-1, keepdims=True))(np.exp(np.where(mask[:, :, None] == 1, s, s - 1e4)))", "3 values are not finite: a division by zero, or a number that overflow"),
    ("08", "masked_weights", "lambda s, mask: (lambda e: e / e.sum(1, keepdims=True))(np.exp(np.where(mask[:, None, :] == 1, s, s - 1e4)))", "3 values are not finite: a division by zero, or a number that overflow"),
    ("08", "masked_weights", "lambda s, mask: (lambda e: e / e.sum(-1, keepdims=True))(np.exp(s + mask * -1e4))", "a sum or mean along an axis takes the axis away, keepdims=True keeps i"),
    ("08", "masked_weights", "lambda s, mask: np.exp(np.where(mask[:, None, :] == 1, s, s - 1e4))", "not divided by the sum along axis 2"),
    ("08", "one_head_backward", "ONE_HEAD(gv='w @ g')", "`weights` is not transposed"),
    ("08", "one_head_backward", "ONE_HEAD(gq='gs @ k')", "not divided by `root`"),
    ("08", "one_head_backward", "ONE_HEAD(gk='gs @ q / r')", "`gscores` is not transposed"),
    ("08", "one_head_backward", "ONE_HEAD(r='q.shape[1]')", "the square root is missing"),
    ("08", "one_head_backward", "ONE_HEAD(order='[gk, gq, gv]')", "`gscores @ k / root` and `gscores.T @ q / root` are exchanged"),
    ("08", "one_head_backward", "ONE_HEAD(gs='w * gw')", "a term is missing: the part with gweights and weights"),
    ("08", "one_head_backward", "ONE_HEAD(order='(gq, gk, gv)', join='')", "shape (3, 3, 4), expected (9, 4); the numbers are right: transposed or"),
    ("08", "one_head_backward", "ONE_HEAD(join='np.stack')", "shape (3, 3, 4), expected (9, 4); the numbers are right: transposed or"),
    ("08", 'split_heads', 'lambda x,n: x.reshape(x.shape[0],x.shape[1],x.shape[2]//n,n).transpose(0,3,1,2)', 'neighbouring numbers went to different heads: cut the last axis into ('),
    ("08", 'masked_weights', 'lambda s,m: (lambda e: e/e.sum(-1,keepdims=True))(np.exp(s)*m[:,:,None])', '3 values are not finite: a division by zero, or a number that overflow'),
    ("08", 'masked_weights', 'lambda s,m: (lambda e: e/e.sum(-1,keepdims=True)*m[:,None,:])(np.exp(s))', 'not divided by the sum along axis 2'),
    ("08", 'one_head_backward', 'lambda q,k,v,g: np.concatenate([g@v.T@k,(g@v.T).T@q,g])', ''),
    ("09", "layer_parameters", "lambda H, F: 3 * (H * H + H) + 2 * H + (H * F + F) + (F * H + H) + 2 * H", "the attention's output map is missing: there are four H×H maps"),
    ("09", "layer_parameters", "lambda H, F: 4 * (H * H + H) + (H * F + F) + (F * H + H) + 2 * H", "a term is missing: `2 * H`"),
    ("09", "layer_parameters", "lambda H, F: 4 * H * H + 2 * H + (H * F + F) + (F * H + H) + 2 * H", "the two norms are missing"),
    ("09", "layer_parameters", "lambda H, F: 4 * (H * H + H) + 2 * H + 2 * (H * F + F) + 2 * H", "F stands where H belongs"),
    ("09", "half_backward", "lambda x, wide, narrow, g: ((g @ narrow) * (x @ wide.T > 0)) @ wide", "the way past the work is missing"),
    ("09", "half_backward", "lambda x, wide, narrow, g: g + (g @ narrow) @ wide", "the bend is missing"),
    ("09", "half_backward", "lambda x, wide, narrow, g: g + ((g @ narrow) * np.maximum(x @ wide.T, 0)) @ wide", "the bend's value stands where its slope belongs"),
    ("09", "half_backward", "lambda x, wide, narrow, g: x + ((g @ narrow) * (x @ wide.T > 0)) @ wide", "x stands where g belongs"),
    ("09", "half_backward", "lambda x, wide, narrow, g: g + ((g @ narrow) * (x @ wide.T > 0)) @ wide.T", "`wide` is transposed"),
    ("09", "half_backward", "lambda x, wide, narrow, g: g * (((g @ narrow) * (x @ wide.T > 0)) @ wide)", "is a factor here; it should be added"),
    ("09", "half_backward", "lambda x, wide, narrow, g: g - ((g @ narrow) * (x @ wide.T > 0)) @ wide", "should be added"),
    ("09", "shared_gradient", "lambda x, m, g, times: np.outer(g, np.linalg.matrix_power(m, times - 1) @ x)", "only the last use is counted"),
    ("09", "shared_gradient", "lambda x, m, g, times: times * np.outer(g, x)", "one use, multiplied by their number"),
    ("09", "shared_gradient", "lambda x, m, g, times: sum(np.outer(np.linalg.matrix_power(m, i) @ g, np.linalg.matrix_power(m, times - 1 - i) @ x) for i in range(times))", "the matrix product is the wrong way round"),
    ("09", "shared_gradient", "lambda x, m, g, times: sum(np.outer(np.linalg.matrix_power(m, times - 1 - i) @ x, np.linalg.matrix_power(m.T, i) @ g) for i in range(times))", "transposed"),
    ("09", "shared_gradient", "lambda x, m, g, times: sum(np.outer(g, np.linalg.matrix_power(m, times - 1 - i) @ x) for i in range(times))", ""),
    ("09", "shared_gradient", "lambda x, m, g, times: sum(np.outer(np.linalg.matrix_power(m.T, i) @ g, np.linalg.matrix_power(m, times - i) @ x) for i in range(times))", ""),
    ("09", 'half_backward', 'lambda x,wide,narrow,g: g + ((g@narrow)*(x@wide.T>0))@wide*g', ''),
    ("09", 'half_backward', 'lambda x,wide,narrow,g: g + (g*((x@wide.T>0)@narrow.T))@wide.T@wide', ''),
    ("09", 'shared_gradient', 'lambda x,m,g,times: np.outer(x,g)', ''),
    ("09", 'shared_gradient', 'lambda x,m,g,times: sum(np.outer(np.linalg.matrix_power(m.T,i)@g, np.linalg.matrix_power(m,times-1-i)@x) for i in range(times))/times', 'too small by the sum of times: a mean where a sum belongs?'),
    ("10", "count_segmentations", "lambda text, logp: len([p for p in logp if p in text])", ""),
    ("10", "count_segmentations", "lambda text, logp: 0", "it gives 0 whatever the arguments are"),
    ("10", "count_segmentations", "lambda text, logp: (lambda f: f(f, text))(lambda f, s: 1 if len(s) == 1 else sum(f(f, s[n:]) for n in range(1, len(s)) if s[:n] in logp))", "2 stands where 1 belongs"),
    ("10", "m_step", "lambda counts: np.log(counts) / counts.sum()", "divide first, then take the logarithm"),
    ("10", "m_step", "lambda counts: np.log(counts / counts.max())", "divided by the largest count, not by their sum"),
    ("10", "m_step", "lambda counts: np.log2(counts / counts.sum())", "this is the logarithm to base 2"),
    ("10", "m_step", "lambda counts: -np.log(counts / counts.sum())", "right up to a factor of -1: the sign is flipped"),
    ("10", "m_step", "lambda counts: np.log(counts / len(counts))", "divided by the number of pieces, not by the sum of the counts"),
    ("10", "template", "lambda a, b, cls, sep: np.array([[cls, *a, sep, *b], [0] * (len(a) + 2) + [1] * len(b)])", "shape (2, 5), expected (2, 6); 1 too few along axis 1, the first are r"),
    ("10", "template", "lambda a, b, cls, sep: [cls, *a, sep, *b, sep]", "shape (6,), expected (2, 6); this is only part 1 of the 2 that belong"),
    ("10", "template", "lambda a, b, cls, sep: np.array([[cls, *a, *b, sep], [0] * (len(a) + 1) + [1] * (len(b) + 1)])", "shape (2, 5), expected (2, 6); 1 too few along axis 1"),
    ("10", "template", "lambda a, b, cls, sep: np.array([[cls, *a, sep, *b, sep], [1] * (len(a) + 2) + [0] * (len(b) + 1)])", "row 0 of the result is right, 1 is not: this is 1 minus the right answ"),
    ("10", "longest_first", "lambda a, b, room: np.array([min(a, room // 2), min(b, room // 2)])", ""),
    ("10", "longest_first", "lambda a, b, room: np.array([a - max(0, a + b - room), b])", "the case `a > b` is taken always"),
    ("10", "longest_first", "WHILE('a + b >= room', 'a > b')", "`a + b > room` is wrong just at the limit"),
    ("10", "longest_first", "WHILE('a + b > room', 'a < b')", "the two sides of `a > b` are exchanged"),
    ("10", "longest_first", "WHILE('a + b > room', 'False', step=0)", "it was still computing after 2 seconds: does its loop ever end?"),
    ("10", 'm_step', 'lambda c: c/c.sum()', 'these are probabilities: the logarithm is missing'),
    ("10", 'm_step', 'lambda c: np.log(c)', 'the counts are not divided by their sum'),
    ("10", 'longest_first', 'lambda a,b,room: np.array([room//2, room-room//2])', ''),
    ("11", "ngram_probabilities", "lambda n: np.arange(1, n + 1) / np.arange(1, n + 1).sum()", "multiplied by `np.arange(1, ngram + 1)`, which should divide"),
    ("11", "ngram_probabilities", "lambda n: (1 / np.arange(1, n)) / (1 / np.arange(1, n)).sum()", "a term is missing: `1`"),
    ("11", "ngram_probabilities", "lambda n: 1 / np.arange(1, n + 1) / n", "not divided by the sum along axis 0"),
    ("11", "ngram_probabilities", "lambda n: 1 / np.arange(0, n)", "1 value is not finite: a division by zero, or a number that overflowed"),
    ("11", "apply_masks", "MASKS(first='u[:, T:]')", "row 1 of the result is right, 0 is not: largest error 45, at index (0,"),
    ("11", "apply_masks", "MASKS(keep='0.8')", "the case `u[:, :T] < 0.9` is missing"),
    ("11", "apply_masks", "MASKS(covered='~covered')", "argument 3 is the wrong way round: 0 and 1 are exchanged"),
    ("11", "apply_masks", "MASKS(outside='0')", "negative values became 0"),
    ("11", "apply_masks", "MASKS(order='[labels, seen]')", "the part with covered and hidden and input_ids and the part with cover"),
    ("11", "sentence_order_pairs", "PAIRS(swap='u[:, 1] >= 0.5')", "the condition `u[:, 1] < 0.5` is the wrong way round"),
    ("11", "sentence_order_pairs", "PAIRS(label='np.zeros(len(u))')", "row 0, 1, 2, 3 of the result is right, 4 is not: largest error 1, at i"),
    ("11", "sentence_order_pairs", "PAIRS(swap='u[:, 0] < 0.5')", "0 stands where 1 belongs"),
    ("11", "sentence_order_pairs", "PAIRS(order='[label, a0, a1, b0, b1]')", "shifted by one place, along axis 0"),
    ("11", 'ngram_probabilities', 'lambda n: 1/np.arange(1,n+1)', "they don't sum to 1"),
    ("11", 'ngram_probabilities', 'lambda n: np.ones(n)/n', 'all lengths are equally likely here; short runs should be more frequen'),
    ("11", 'apply_masks', 'lambda u,ids,c,m,r: np.stack([np.where(c,m,ids), np.where(c,ids,-100)])', 'all covered pieces became [MASK]: a tenth should stay and a tenth be r'),
    ("11", 'sentence_order_pairs', 'lambda u,s,w: np.zeros((5,len(w)))', 'u has no effect on the result, but it should have one'),
    ("12", "adamw_step", "ADAM(new='w - lr * m / (np.sqrt(v) + 1e-6)')", "the weight decay is missing"),
    ("12", "adamw_step", "ADAM(new='w - lr * (m / (v + 1e-6) + 0.01 * w)')", "the square root is missing"),
    ("12", "adamw_step", "ADAM(m='0.9 * m + g')", "a factor is missing: `1 - 0.9`"),
    ("12", "adamw_step", "ADAM(v='0.999 * v + 0.001 * g')", "1 value is not finite: a division by zero, or a number that overflowed"),
    ("12", "adamw_step", "ADAM(new='w - (m / (np.sqrt(v) + 1e-6) + 0.01 * w)')", "a factor is missing: `lr`"),
    ("12", "adamw_step", "ADAM(stack='[new, v, m]')", "`m` and `v` are exchanged"),
    ("12", "adamw_step", "ADAM(m='m', v='v')", "argument 2 has no effect on the result, but it should have one"),
    ("12", "linear_warmup_decay", "lambda s, p, w, n: p * (1 - s / n)", ""),
    ("12", "linear_warmup_decay", "lambda s, p, w, n: p * s / n", ""),
    ("12", "linear_warmup_decay", "lambda s, p, w, n: (s + 1) / w if s < w else 1 - (s - w) / (n - w)", "a factor is missing: `peak`"),
    ("12", "linear_warmup_decay", "lambda s, p, w, n: p * (s + 1) / w if s <= w else p * (1 - (s - w) / (n - w))", "`step < warmup` is wrong just at the limit"),
    ("12", "lamb_step", "LAMB(ratio='np.linalg.norm(w)')", "not divided by `np.linalg.norm(u)`"),
    ("12", "lamb_step", "LAMB(ratio='(w * w).sum() / (u * u).sum()')", "row 1, 2 of the result is right, 0 is not: largest error 0.15, at inde"),
    ("12", "lamb_step", "LAMB(decay='0')", "a term is missing: `decay * w`"),
    ("12", "lamb_step", "LAMB(sign='+')", "the part with u and lr and w is added, it should be subtracted"),
    ("12", "clip", "lambda a, b, limit: np.minimum(np.concatenate([a, b]), limit)", ""),
    ("12", "clip", "lambda a, b, limit: np.concatenate([a, b]) * min(1.0, limit / (np.linalg.norm(a) + np.linalg.norm(b)))", ""),
    ("12", "clip", "lambda a, b, limit: np.concatenate([a, b]) * min(1.0, limit / (np.concatenate([a, b]) ** 2).sum())", ""),
    ("12", "clip", "lambda a, b, limit: (a * min(1.0, limit / np.sqrt((a * a).sum() + (b * b).sum())), b * min(1.0, limit / np.sqrt((a * a).sum() + (b * b).sum())))", "it returned a tuple of 2 that is no array; expected one array of shape"),
    ("12", "clip", "lambda a, b, limit: np.concatenate([a, b]) * max(1.0, limit / np.sqrt((a * a).sum() + (b * b).sum()))", "a max stands where a min belongs"),
    ("12", 'adamw_step', 'lambda w,g,m,v,lr: np.stack([w-lr*g/(np.sqrt(.999*v+.001*g*g)+1e-6)-lr*.01*w, .9*m+.1*g, .999*v+.001*g*g])', 'g stands where m belongs'),
    ("12", 'lamb_step', 'lambda w,g,m,v,lr: np.stack([w-lr*((.9*m+.1*g)/(np.sqrt(.999*v+.001*g*g)+1e-6)+.01*w), .9*m+.1*g, .999*v+.001*g*g])', 'this is AdamW: the ratio of lengths is missing'),
    ("12", 'linear_warmup_decay', 'lambda s,p,w,n: p*s/w if s<w else p*(n-s)/(n-w)', 'the first step has rate 0 and is wasted: count from step + 1'),
    ("12", 'clip', 'lambda a,b,l: np.concatenate([a*min(1,l/np.linalg.norm(a)), b*min(1,l/np.linalg.norm(b))])', 'each tensor is clipped separately, which changes the direction: take o'),
    ("12", 'clip', 'lambda a,b,l: np.clip(np.concatenate([a,b]),-l,l)', 'each number is clipped by itself, which changes the direction: scale a'),
    ("13", "labelled_places", "lambda labels: np.argwhere(labels != -100)", "shape (7, 2), expected (7,): 2 numbers for each place"),
    ("13", "labelled_places", "lambda labels: labels.reshape(-1) != -100", "`flatnonzero` is missing"),
    ("13", "labelled_places", "lambda labels: labels[labels != -100]", ""),
    ("13", "labelled_places", "lambda labels: (labels != -100).sum()", "shape (), expected (7,): one number for everything, where one for each"),
    ("13", "combined_mean", "lambda losses, counts: losses.sum() / counts.sum()", "a factor is missing: `counts`"),
    ("13", "combined_mean", "lambda losses, counts: (losses * counts).sum() / len(counts)", ""),
    ("13", "combined_mean", "lambda losses, counts: (losses / counts).sum() * counts.sum()", ""),
    ("13", "early_step_size", "lambda b1, b2, t: (1 - b1 ** t) / (1 - b2 ** t) ** 2", "squared, where the square root belongs"),
    ("13", "early_step_size", "lambda b1, b2, t: (1 - b1) / np.sqrt(1 - b2)", "step is missing"),
    ("13", "early_step_size", "lambda b1, b2, t: b1 ** t / np.sqrt(b2 ** t)", "two things: `beta1 ** step` is a factor here; it should be subtracted;"),
    ("13", "early_step_size", "lambda b1, b2, t: 1 - b1 ** t", "not divided by `np.sqrt(1 - beta2 ** step)`"),
    ("13", 'labelled_places', 'lambda l: np.argwhere(l!=-100)', 'shape (7, 2), expected (7,): 2 numbers for each place where one is ask'),
    ("13", 'labelled_places', 'lambda l: np.flatnonzero(l>0)', 'right for labels of shape (3, 7), but not for labels of shape (2, 9): '),
    ("13", 'combined_mean', 'lambda l,c: float((l*c).mean())', 'two things: not divided by `counts.sum()`; and a mean stands where a s'),
    ("13", 'early_step_size', 'lambda a,b,t: 1/(1-b**t)', 'beta1 has no effect on the result, but it should have one'),
    ("14", "padding_share", "lambda lengths: 1 - lengths.mean()", "a factor is missing: `lengths.max()`"),
    ("14", "padding_share", "lambda lengths: 1 - lengths.sum() / lengths.max()", "a factor is missing: `len(lengths)`"),
    ("14", "padding_share", "lambda lengths: 1 - lengths.min() / lengths.max()", ""),
    ("14", "f1_score", "lambda gold, said: ((gold == 1) & (said == 1)).sum() / (gold == 1).sum()", "this is the recall alone"),
    ("14", "f1_score", "lambda gold, said: (lambda h: (h / said.sum() + h / gold.sum()) / 2)((gold & said).sum())", "the plain mean of precision and recall; F1 is their harmonic mean"),
    ("14", "f1_score", "lambda gold, said: (lambda p, r: p * r / (p + r))((gold & said).sum() / said.sum(), (gold & said).sum() / gold.sum())", "a factor is missing: `2`"),
    ("14", "label_list", "lambda labels: set(labels)", "sorting is missing"),
    ("14", "label_list", "lambda labels: labels.sort()", "it returned nothing (None): the last line must begin with `return`; pr"),
    ("14", "label_list", "lambda labels: sorted(set(labels), reverse=True)", "in the wrong order"),
    ("14", "label_list", "lambda labels: {l: i for i, l in enumerate(sorted(set(labels)))}", "it returned a dict, expected a list such as ['no', 'yes']"),
    ("14", 'padding_share', 'lambda n: float(n.sum()/n.max())', 'two things: the part with lengths is a factor here; it should be subtr'),
    ("14", 'f1_score', 'lambda g,s: 2*(g*s).sum()/(g.sum()*s.sum())', "two things: the fraction's upper half is missing: `hits`; and not divi"),
    ("14", 'f1_score', 'lambda g,s: (g*s).sum()/(g.sum()+s.sum())', 'a factor is missing: `2`'),
    ("14", 'label_list', 'lambda l: set(l)', 'sorting is missing'),
    ("15", "entities", "lambda tags: [(t[2:], i, i + 1) for i, t in enumerate(tags) if t[0] == 'B']", "the entity goes on with the I- behind its B-; here it ends after one w"),
    ("15", "entities", "lambda tags: [t[2:] for t in tags if t[0] == 'B']", "only the types: each entity is (type, start, end); and something else"),
    ("15", "entities", "ENTITIES(end='place')", "the end is the first place that doesn't belong to the entity: one more"),
    ("15", "entities", "ENTITIES(go='tag[0] == \"I\" and found')", "every I- goes on with the entity before; it does so only right behind"),
    ("15", "entities", "ENTITIES(go='tag[0] == \"I\"')", "every I- goes on with the entity before; it does so only right behind"),
    ("15", "entities", "ENTITIES(last='')", "each word became an entity of its own: I- goes on with the one before"),
    ("15", "entities", "lambda tags: [(i, i + 1) for i, t in enumerate(tags) if t != 'O']", "too many"),
    ("15", "entities", "ENTITIES(ret='print(found)')", "it returned nothing (None): the last line must begin with `return`; pr"),
    ("15", "entity_f1", "lambda gold, said: (lambda r, g, s: r / (g + s))(sum(len(set(a) & set(b)) for a, b in zip(gold, said)), sum(map(len, gold)), sum(map(len, said)))", "a factor is missing: `2`"),
    ("15", "entity_f1", "lambda gold, said: (lambda r, g, s: (r / g + r / s) / 2)(sum(len(set(a) & set(b)) for a, b in zip(gold, said)), sum(map(len, gold)), sum(map(len, said)))", "the plain mean of precision and recall; F1 is their harmonic mean"),
    ("15", "entity_f1", "lambda gold, said: 2 * len(set(gold) & set(said)) / (len(gold) + len(said))", "it stopped with TypeError: unhashable type: 'list', in line 1"),
    ("15", "entity_f1", "lambda gold, said: 2 * sum(a == b for a, b in zip(gold, said)) / (len(gold) + len(said))", "whole sentences are compared here; compare their entities"),
    ("15", "entity_f1", "lambda gold, said: (lambda g, s: 2 * len(g & s) / (len(g) + len(s)))({e for x in gold for e in x}, {e for x in said for e in x})", "all sentences are one set here, in which the same entity counts once;"),
    ("15", "tagging_backward", "TAG(rest='')", "rows with -100 still have a gradient; theirs is 0"),
    ("15", "tagging_backward", "TAG(n='len(gold)')", "divided by all rows; only those with a label count in the mean"),
    ("15", "tagging_backward", "TAG(n='1')", "the loss is a mean: divide by the number of rows with a label"),
    ("15", "tagging_backward", "TAG(axis='')", "summed along the wrong axis, (0, 1)"),
    ("15", "tagging_backward", "TAG(minus='')", "a step is missing: the part with gradient and counted and gold"),
    ("15", "tagging_backward", "lambda scores, gold: np.exp(scores) / np.exp(scores).sum(-1) - np.eye(scores.shape[1])[gold]", "it stopped with ValueError: operands could not be broadcast together w"),
    ("15", "tagging_backward", "lambda scores, gold: np.exp(scores) / np.exp(scores).sum(-1, keepdims=True) - np.eye(scores.shape[1])[gold]", "it stopped with IndexError: index -100 is out of bounds for axis 0 wit"),
    ("15", "labels_of_pieces", "lambda words, tags: tags[words]", "every place has a label here, [CLS] and [SEP] too"),
    ("15", "labels_of_pieces", "lambda words, tags: np.array([tags[w] if w >= 0 else -100 for w in words])", "every piece of a word has its label; only the first one should"),
    ("15", "labels_of_pieces", "lambda words, tags: np.array([tags[w] for w in words if w >= 0])", "shape (6,), expected (8,); 2 too few along axis 0"),
    ("15", "labels_of_pieces", "lambda words, tags: np.array([tags[w] if w != words[i - 1] else -100 for i, w in enumerate(words)])", "[CLS] and [SEP] belong to no word (-1): -1 as an index takes the last"),
    ("15", "labels_of_pieces", "lambda words, tags: np.array([tags[w] if w >= 0 and w != words[i - 1] else 0 for i, w in enumerate(words)])", "places without a label have 0, which is a tag of its own; write -100"),
    ("15", "labels_of_pieces", "lambda words, tags: np.array([tags[w] if w >= 0 and w not in words[i + 1:] else -100 for i, w in enumerate(words)])", "the last piece of each word is labelled, not the first"),
    ("16", "span_backward", "SPAN(axis=1)", "softmax runs along the text here (axis 0): places compete, not start a"),
    ("16", "span_backward", "SPAN(axis='(0, 1)')", "one softmax for starts and ends together; each column has its own"),
    ("16", "span_backward", "SPAN(half='')", "the loss is the mean of two cross-entropies: half of this"),
    ("16", "span_backward", "SPAN(half='/ len(scores)')", "divided by the number of tokens; the loss is a mean of two"),
    ("16", "span_backward", "SPAN(end='gradient[last, 0] -= 1')", "the last token belongs to column 1, the ends"),
    ("16", "span_backward", "SPAN(end='')", "a step is missing: `gradient[last, 1] -= 1`"),
    ("16", "span_backward", "lambda scores, first, last: (np.exp(scores) / np.exp(scores).sum(0))[[first, last]] - 1", "shape (2, 2), expected (4, 2); 2 too few along axis 0"),
    ("16", "span_backward", "lambda scores, first, last: np.exp(scores) / np.exp(scores).sum(0)", "this is the probability alone, and the loss is a mean of two"),
    ("16", "best_span", "lambda starts, ends, longest: (np.argmax(starts), np.argmax(ends))", "start and end are chosen each for itself; the pair must be chosen, so"),
    ("16", "best_span", "lambda starts, ends, longest: max((s + e, i, j) for i, s in enumerate(starts) for j, e in enumerate(ends) if i <= j < i + longest)", "something is there that should not be: for starts = [0.0, 2.0, 5.0, 1."),
    ("16", "best_span", "lambda starts, ends, longest: max((s + e, i, j) for i, s in enumerate(starts) for j, e in enumerate(ends) if i <= j)[1:]", "the limit on the length is missing"),
    ("16", "best_span", "lambda starts, ends, longest: max((s + e, i, j) for i, s in enumerate(starts) for j, e in enumerate(ends) if i <= j <= i + longest)[1:]", "a span of `longest` tokens ends at first + longest - 1; this is one to"),
    ("16", "best_span", "lambda starts, ends, longest: max((s + e, i, j) for i, s in enumerate(starts) for j, e in enumerate(ends) if i < j < i + longest)[1:]", "a span may be one token: the last may be the first"),
    ("16", "best_span", "lambda starts, ends, longest: max((s * e, i, j) for i, s in enumerate(starts) for j, e in enumerate(ends) if i <= j < i + longest)[1:]", "two things: `ends[last]` is a factor here; it should be added; and `en"),
    ("16", "best_span", "lambda starts, ends, longest: (lambda i: (i, i + int(np.argmax(ends[i:i + longest]))))(int(np.argmax(starts)))", "the best start, and the best end behind it; another start may make a b"),
    ("16", "best_span", "lambda starts, ends, longest: (lambda i: (i, int(np.argmax(ends[i:]))))(int(np.argmax(starts)))", "the end is counted from the start here; both are places in the whole t"),
    ("16", "best_window", "lambda begins, lengths: np.array([max(i for i, (b, n) in enumerate(zip(begins, lengths)) if b <= t < b + n) for t in range((begins + lengths).max())])", "the last window that has the token, whatever it sees around it"),
    ("16", "best_window", "lambda begins, lengths: np.array([min(i for i, (b, n) in enumerate(zip(begins, lengths)) if b <= t < b + n) for t in range((begins + lengths).max())])", "the first window that has the token, whatever it sees around it"),
    ("16", "best_window", "WINDOW('min(t - b, b + n - 1 - t)')", "0.01 times the length is missing: it decides between equals"),
    ("16", "best_window", "WINDOW('t - b + 0.01 * n')", "the first window that has the token, whatever it sees around it"),
    ("16", "best_window", "WINDOW('max(t - b, b + n - 1 - t) + 0.01 * n')", "a max stands where a min belongs"),
    ("16", "best_window", "WINDOW('-abs(t - b - n / 2) + 0.01 * n')", "the window whose middle is nearest, the middle taken as begin + length"),
    ("16", "best_window", "WINDOW('min(t - b, b + n - 1 - t) + 0.01 * n', tie='')", "of equals the first window counts; here it is the last"),
    ("16", "best_window", "lambda begins, lengths: np.searchsorted(begins, np.arange((begins + lengths).max()), side='right') - 1", "the last window that has the token, whatever it sees around it"),
    ("16", "bm25", "BM25(long='1')", "the length is missing: every text counts as of mean length"),
    ("16", "bm25", "BM25(long='(lengths / lengths.mean())[:, None]')", "the length counts in full; it should be 0.25 + 0.75 of it"),
    ("16", "bm25", "BM25(rare='1')", "rarity is missing: every word counts the same"),
    ("16", "bm25", "BM25(rare='np.log((len(counts) - n + 0.5) / (n + 0.5))')", "a term is missing: `1`"),
    ("16", "bm25", "BM25(n='counts.sum(0)')", "n is the number of texts that have the word, not of its occurrences"),
    ("16", "bm25", "BM25(damp='counts')", "not divided by `counts + 1.5 * long`"),
    ("16", "bm25", "BM25(end='.sum(0)')", "summed along the wrong axis, 0"),
    ("16", "bm25", "BM25(long='0.25 + 0.75 * lengths / lengths.mean()')", "it stopped with ValueError: operands could not be broadcast together w"),
    ("16", "bm25", "BM25(end='')", "nothing is summed: `sum` is missing"),
    ("16", "bm25", "lambda counts, lengths: (counts > 0).sum(1)", "this counts the words in common; rarity, repetition and length are mis"),
    ("17", "rouge", "ROUGE(grams='set(zip(*(w[i:] for i in range(n))))', both='len(wanted & found)', total='len(wanted) + len(found)')", "an n-gram counts as often as it stands in both; here each counts once"),
    ("17", "rouge", "ROUGE(times='')", "a factor of 2 is missing"),
    ("17", "rouge", "ROUGE(total='sum(wanted.values())', times='')", "this is the recall alone: divided by the n-grams of the reference"),
    ("17", "rouge", "ROUGE(total='sum(found.values())', times='')", "this is the precision alone: divided by the n-grams of the summary"),
    ("17", "rouge", "ROUGE(both='len(wanted & found)')", "the common n-grams are each counted once here; they count as often as"),
    ("17", "rouge", "ROUGE(guard='')", "it stopped with ZeroDivisionError: division by zero, in line 5 for ref"),
    ("17", "rouge", "ROUGE(grams='Counter(w)')", "single words are counted here, whatever n is"),
    ("17", "rouge", "ROUGE(grams='Counter(zip(w, w[1:]))')", "pairs are counted here, whatever n is"),
    ("17", "rouge", "ROUGE(both='sum((wanted | found).values())')", "common is what stands in both (&); here it is what stands in one or th"),
    ("17", "rouge", "ROUGE(grams='Counter(tuple(w[i:i + n]) for i in range(0, len(w) - n + 1, n))')", "n-grams overlap: words 1 and 2, words 2 and 3, ...; here every word is"),
    ("17", "choose", "lambda scores, sentences, count: sorted(np.argsort(-scores)[:count].tolist())", "the best ones, but nothing is passed over: see the rule of three words"),
    ("17", "choose", "lambda scores, sentences, count: np.argsort(-scores)[:count].tolist()", "two things: sorting is missing; and a step is missing: `told |= runs`"),
    ("17", "choose", "lambda scores, sentences, count: sorted(np.argsort(scores)[:count].tolist())", "two things: a minus sign is missing; and a step is missing: `told |= r"),
    ("17", "choose", "CHOOSE(back='chosen')", "in the order of the scores; the text's order is asked for"),
    ("17", "choose", "CHOOSE(runs='set(zip(*(sentences[i][k:] for k in range(2))))')", "two shared words in a row are enough here; three are meant"),
    ("17", "choose", "CHOOSE(runs='set(sentences[i])')", "one shared word is enough here; three in a row are meant"),
    ("17", "choose", "CHOOSE(order='range(len(scores))')", "gone through in the order of the text; the best score comes first"),
    ("17", "choose", "CHOOSE(order='np.argsort(-scores)[:count]')", "a sentence that was passed over takes a place: go on until enough are"),
    ("17", "choose", "CHOOSE(told='told = runs')", "compared with the last one only; with all that were taken"),
    ("17", "choose", "CHOOSE(back='sorted(sentences[i] for i in chosen)')", "the numbers of the sentences are asked for, not the sentences"),
    ("17", "fill_rows", "FILL(full='i > first and used + length >= size')", "a row that is exactly full is still right: at most `size`, not fewer"),
    ("17", "fill_rows", "FILL(full='used > size')", "the row is closed too late: the sentence that no longer fits begins th"),
    ("17", "fill_rows", "FILL(full='used + length > size')", "there is a row without a sentence: a long sentence closes a row that i"),
    ("17", "fill_rows", "FILL(reset='first, used = i, length')", "the first sentence of each new row is counted twice"),
    ("17", "fill_rows", "FILL(reset='first = i')", "a new row begins with no tokens used; here those of the rows before st"),
    ("17", "fill_rows", "FILL(end='return rows')", "the last row is missing"),
    ("17", "fill_rows", "FILL(row='(first, i - 1)')", "column 0 of the result is right, 1 is not: for lengths of shape (5,),"),
    ("17", "fill_rows", "lambda lengths, size: [(i, i + 1) for i in range(len(lengths))]", "every sentence has a row of its own; a row holds as many as fit"),
    ("17", "fill_rows", "lambda lengths, size: [int(x) for x in np.cumsum(lengths) // size]", "too many"),
    ("17", "sentence_vectors", "lambda hidden, mask: hidden.mean(axis=1)", "mask has no effect on the result, but it should have one"),
    ("17", "sentence_vectors", "VECTORS(mean='hidden.mean(1)')", "padding is heard: the mask is not used"),
    ("17", "sentence_vectors", "VECTORS(length='1')", "two things: not divided by the part with mask; and not divided by the"),
    ("17", "sentence_vectors", "VECTORS(mean='(hidden * mask).sum(1)')", "it stopped with ValueError: operands could not be broadcast together w"),
    ("17", "sentence_vectors", "VECTORS(mean='(hidden * mask[:, :, None]).sum(2)')", "summed along the wrong axis, 2"),
    ("17", "sentence_vectors", "VECTORS(mean='(hidden * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True)', length='np.sqrt((mean * mean).sum())')", "divided by one length for the whole batch; each vector has its own"),
    ("17", "sentence_vectors", "VECTORS(length='np.sqrt((mean * mean).sum(1))')", "it stopped with ValueError: operands could not be broadcast together w"),
    ("17", "sentence_vectors", "VECTORS(mean='(hidden * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True)', length='np.abs(mean).sum(1, keepdims=True)')", "the length is the root of the sum of squares, not the sum of the sizes"),
    ("17", "sentence_vectors", "VECTORS(length='(mean * mean).sum(1, keepdims=True)')", "two things: not divided by the part with mask; and the square root is"),
    ("17", "sentence_vectors", "VECTORS(mean='hidden[:, 0]')", "this is the vector of the first token, not a mean"),
    ("18", "causal_weights", "lambda s: (lambda e: e / e.sum(-1, keepdims=True))(np.exp(s) * np.triu(np.ones(s.shape[-2:])))", "the wrong way round: each word sees the later ones"),
    ("18", "causal_weights", "lambda s: (lambda e: e / e.sum(-1, keepdims=True))(np.exp(s)) * np.tril(np.ones(s.shape[-2:]))", "hidden after softmax, so the rows no longer sum to 1"),
    ("18", "causal_weights", "lambda s: (lambda e: e / e.sum(-1, keepdims=True))(np.exp(np.tril(s)))", "a score of 0 is not a weight of 0"),
    ("18", "causal_weights", "lambda s: (lambda e: e / e.sum(-1))(np.exp(s) * np.tril(np.ones(s.shape[-2:])))", "keepdims=True is missing"),
    ("18", "causal_weights", "lambda s: np.exp(s) * np.tril(np.ones(s.shape[-2:]))", "not divided by"),
    ("18", "causal_weights", "lambda s: np.where(np.tril(np.ones(s.shape[-2:])) == 1, s, -10000.0)", "these are the scores: softmax is missing"),
    ("18", "moved", "lambda labels: np.roll(labels, 1, axis=1)", "BEGIN is missing at the front"),
    ("18", "moved", "lambda labels: np.where(labels == -100, 2, labels)", "not moved: the decoder would read the very word"),
    ("18", "moved", "lambda labels: np.concatenate([np.full((len(labels), 1), 2), labels[:, :-1]], axis=1)", "-100 is no word"),
    ("18", "moved", "lambda labels: np.concatenate([np.full((len(labels), 1), 3), np.where(labels == -100, 2, labels)[:, :-1]], axis=1)", ""),
    ("18", "moved", "lambda labels: np.concatenate([np.full((len(labels), 1), 2), np.where(labels == -100, 0, labels)[:, :-1]], axis=1)", "in place of -100 stands 0"),
    ("18", "cross_attention", "lambda h, s, wq, wk, wv: (lambda e: e / e.sum(-1, keepdims=True))(np.exp((h @ wq.T) @ (s @ wk.T).T)) @ (s @ wv.T)", "not divided by the root of D"),
    ("18", "cross_attention", "lambda h, s, wq, wk, wv: (lambda e: e / e.sum(0))(np.exp((h @ wq.T) @ (s @ wk.T).T / np.sqrt(len(wq)))) @ (s @ wv.T)", "softmax along the wrong axis"),
    ("18", "cross_attention", "lambda h, s, wq, wk, wv: (lambda e: e / e.sum(-1, keepdims=True))(np.exp((h @ wq.T) @ (s @ wk.T).T / len(wq))) @ (s @ wv.T)", "divided by D, not by its root"),
    ("18", "cross_attention", "lambda h, s, wq, wk, wv: (lambda e: e / e.sum(-1, keepdims=True))(np.exp((h @ wq) @ (s @ wk.T).T / np.sqrt(len(wq)))) @ (s @ wv.T)", "transposed"),
    ("18", "cross_attention", "lambda h, s, wq, wk, wv: (lambda e: e / e.sum(-1, keepdims=True))(np.exp((h @ wq.T) @ (s @ wk.T).T / np.sqrt(len(wq)))) @ s", "the value is states @ wv.T"),
    ("18", "cross_attention", "lambda h, s, wq, wk, wv: (lambda e: e / e.sum(-1, keepdims=True))(np.exp((s @ wk.T) @ (h @ wq.T).T / np.sqrt(len(wq))))", "shape (4, 3), expected (3, 5)"),
    ("18", "best_continuations", "lambda a, b, w: [(i, int(b[i].argmax())) for i in range(len(a))][:w]", "they must compete"),
    ("18", "best_continuations", "lambda a, b, w: [(int(i) // b.shape[1], int(i) % b.shape[1]) for i in np.argsort(a[:, None] + b, axis=None)[:w]]", "the least likely ones"),
    ("18", "best_continuations", "lambda a, b, w: [(int(i) // b.shape[1], int(i) % b.shape[1]) for i in np.argsort(-b, axis=None)[:w]]", "the texts' own log-probabilities are left out"),
    ("18", "best_continuations", "lambda a, b, w: [(int(i) // len(a), int(i) % len(a)) for i in np.argsort(-(a[:, None] + b), axis=None)[:w]]", ""),
    ("18", "best_continuations", "lambda a, b, w: [int(i) % b.shape[1] for i in np.argsort(-(a[:, None] + b), axis=None)[:w]]", "these are the words alone"),
    ("18", "best_continuations", "lambda a, b, w: [(int(i) // b.shape[1], int(i) % b.shape[1]) for i in np.argsort(-(a + b), axis=None)[:w]]", ""),
    ("19", "difference", "lambda a, b: np.array([(a - b).mean(), (a - b).std()])", ""),
    ("19", "difference", "lambda a, b: np.array([(a - b).mean(), (a - b).std(ddof=1)])", "divide by the root of n"),
    ("19", "difference", "lambda a, b: np.array([(a - b).mean(), (a - b).std() / np.sqrt(len(a))])", "ddof=1"),
    ("19", "difference", "lambda a, b: np.array([a.mean() - b.mean(), np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / len(a))])", "the pairs are torn apart"),
    ("19", "difference", "lambda a, b: (a - b).mean()", "shape (), expected (2,)"),
    ("19", "difference", "lambda a, b: np.array([b.mean() - a.mean(), (a - b).std(ddof=1) / len(a) ** 0.5])", "this is b - a"),
    ("19", "stored", "lambda s, n, a, f: n * (a + f)", "every layer is counted, whatever is shared"),
    ("19", "stored", "lambda s, n, a, f: {'all': a + f, 'attention': n * a + f, 'ffn': a + n * f, 'none': n * (a + f)}[s]", "are exchanged"),
    ("19", "stored", "lambda s, n, a, f: {'all': a + f, 'attention': a, 'ffn': f, 'none': n * (a + f)}[s]", "only the shared part is counted"),
    ("19", "stored", "lambda s, n, a, f: {'all': a + f, 'attention': a + n * f, 'ffn': n * a + f}[s]", "it stopped with KeyError"),
    ("19", "stored", "lambda s, n, a, f: a + f", ""),
    ("19", "words_in_both", "lambda a, b: sum(i in b for i in a)", "however often it stands there"),
    ("19", "words_in_both", "lambda a, b: len(set(a) | set(b))", "& keeps what is in both"),
    ("19", "words_in_both", "lambda a, b: set(a.tolist()) & set(b.tolist())", ""),
    ("19", "words_in_both", "lambda a, b: (a == b).sum()", ""),
    ("20", "clip_factor", "lambda norm, limit: limit / norm if norm > limit else 1.0", "np.where, & and np.maximum do so place by place"),
    ("20", "clip_factor", "lambda norm, limit: limit / np.minimum(norm, limit)", "a minimum stands where a maximum belongs"),
    ("20", "clip_factor", "lambda norm, limit: 1 / np.maximum(norm, limit)", "the fraction's upper half is missing: `limit`"),
    ("20", "pack", "lambda arrays: np.concatenate(arrays)", "reshape is missing"),
    ("20", "pack", "lambda arrays: [a.reshape(-1) for a in arrays]", "it returned a list of 2 that is no array; expected one array of shape"),
    ("20", "pack", "lambda arrays: np.concatenate([a.reshape(-1) for a in arrays[1:]])", "shape (2,), expected (8,); 6 too few along axis 0, the first are right"),
    ("20", "scatter_add", "lambda V, ids, rows: np.eye(V)[ids] @ rows", ".T or .swapaxes(-1, -2) transposes"),
    ("20", "scatter_add", "lambda V, ids, rows: rows[ids]", "an index lies outside the array: print the indices and the shape"),
    ("20", "scatter_add", "lambda V, ids, rows: np.zeros((V, rows.shape[1]))", "a step is missing: `np.add.at(table, ids, rows)`"),
    ("20", "step_seconds", "lambda n, work: n * 10e-6", "the part with operations is left out of max()"),
    ("20", "step_seconds", "lambda n, work: max(n * 10e-6, work * 1e13)", ""),
    ("20", "step_seconds", "lambda n, work: max(n / 10e-6, work / 1e13)", "divided by `1e-05`, which should be a factor"),
    ("20", 'clip_factor', 'lambda n,l: l/n', 'short gradients are made longer'),
    ("20", 'pack', 'lambda a: np.stack(a)', 'it stopped with ValueError: all input arrays must have the same shape,'),
    ("20", 'scatter_add', 'lambda V,ids,rows: rows', 'shape (3, 3), expected (5, 3); 2 too few along axis 0'),
    ("20", 'step_seconds', 'lambda n,o: n*1e-5+o/1e13', 'launching and computing overlap: the longer of the two, not their sum'),
    ("21", "mebibytes_moved", "lambda passes, n: passes * n / 2**20", "a factor is missing: `4`"),
    ("21", "mebibytes_moved", "lambda passes, n: n * 4 / 2**20", "a factor is missing: `passes`"),
    ("21", "mebibytes_moved", "lambda passes, n: passes * n * 4", "not divided by `2 ** 20`"),
    ("21", "mebibytes_moved", "lambda passes, n: passes * n * 4 / 2**10", "divided by the square root of `2 ** 20`, not by itself"),
    ("21", "blocks", "lambda rows, step: [(i, min(i + step, rows) - 1) for i in range(0, rows, step)]", "column 0 of the result is right, 1 is not: right up to a constant: eve"),
    ("21", "blocks", "lambda rows, step: list(range(0, rows, step))", "for rows = 10, step = 4"),
    ("21", "blocks", "lambda rows, step: [(i, min(i + step, rows)) for i in range(rows)]", "step is missing"),
    ("21", "gelu_slope", "lambda x: 0.5 * (1 + np.tanh(0.7978845608028654 * (x + 0.044715 * x**3)))", "a term is missing: the part with C and x and t"),
    ("21", "gelu_slope", "lambda x: x > 0", ""),
    ("21", "gelu_slope", "GELU(end='* (1 + 2 * 0.044715 * x**2)')", "2 stands where 3 belongs"),
    ("21", "gelu_slope", "GELU(square='t')", "the power is missing: `t ** 2`"),
    ("21", "speed_up", "lambda share, n: 1 / (1 - share)", "a term is missing: `share / threads`"),
    ("21", "speed_up", "lambda share, n: share * n", ""),
    ("21", "speed_up", "lambda share, n: 1 / (share + (1 - share) / n)", "this would be right for 1 - share in place of share"),
    ("21", 'mebibytes_moved', 'lambda p,e: p*e*4/1e6', 'a MiB is 2**20 bytes; a million bytes is a MB'),
    ("21", 'blocks', 'lambda rows,step: [(i,i+step) for i in range(0,rows,step)]', 'the last block goes past the end'),
    ("21", 'speed_up', 'lambda s,n: 1/(1-s)+n', ''),
    ("21", 'gelu_slope', 'lambda x: 0.5*(1+np.tanh(math.sqrt(2/math.pi)*(x+0.044715*x**3)))', 'a term is missing: the part with C and x and t'),
    ("22", "part_sizes", "lambda rows, n: np.array([rows * i // n for i in range(n + 1)])", "`diff` is missing"),
    ("22", "part_sizes", "lambda rows, n: np.array([rows / n] * n)", "divided with fractions, not by whole numbers"),
    ("22", "part_sizes", "lambda rows, n: np.array([rows // n + (i < rows % n) for i in range(n)])", "the numbers are right, but in other places"),
    ("22", "combine", "lambda gradients, counts: gradients * (counts / counts.sum())[:, None]", "shape (2, 6), expected (6,); the sum over axis 0 is missing"),
    ("22", "combine", "lambda gradients, counts: (gradients * (counts / counts.sum())).sum(axis=0)", "a sum or mean along an axis takes the axis away, keepdims=True keeps i"),
    ("22", "combine", "lambda gradients, counts: (gradients / counts[:, None]).sum(axis=0)", ""),
    ("22", "combine", "lambda gradients, counts: (gradients * (counts / counts.sum())[:, None]).sum(axis=1)", "shape (2,), expected (6,); 4 too few along axis 0"),
    ("22", "ring_seconds", "lambda n, size, bandwidth, latency: 2 * n * (latency + size / n / bandwidth)", "a term is missing: `1`"),
    ("22", "ring_seconds", "lambda n, size, bandwidth, latency: 2 * (n - 1) * size / n / bandwidth", "a term is missing: `latency`"),
    ("22", "ring_seconds", "lambda n, size, bandwidth, latency: 2 * (n - 1) * (latency + size / n * bandwidth)", "multiplied by `bandwidth`, which should divide"),
    ("22", "ring_seconds", "lambda n, size, bandwidth, latency: 2 * (n - 1) * latency + size / n / bandwidth", "the factor `2 * (n - 1)` belongs to both terms: brackets around them"),
    ("23", "partners", "lambda text: [i + 1 if c in '([' else i - 1 for i, c in enumerate(text)]", "only where nothing is nested"),
    ("23", "partners", "lambda text: [len(text) - 1 - i for i in range(len(text))]", ""),
    ("23", "partners", "lambda text: [i for i in range(len(text))]", ""),
    ("23", "partners", "lambda text: print(text)", "it returned nothing (None)"),
    ("23", "partners", "lambda text: [text.index({'(': ')', '[': ']', ')': '(', ']': '['}[c]) for c in text]", "keep a stack"),
    ("23", "by_counting", "lambda text: ')' if text.count('(') > text.count(')') else ']'", "a closing bracket each time"),
    ("23", "by_counting", "lambda text: '(' if text.count('(') > text.count(')') else '[' if text.count('[') > text.count(']') else ')' if text.count(')') > text.count('(') else ']'", "the sign that is there too often"),
    ("23", "by_counting", "lambda text: '('", "whatever the arguments are"),
    ("23", "by_counting", "lambda text: ')(' [text.count('(') < text.count(')')]", ""),
    ("23", "pseudo_log_likelihood", "lambda log_p, ids: log_p[:, ids].sum()", "takes all those columns of every row"),
    ("23", "pseudo_log_likelihood", "lambda log_p, ids: log_p[np.arange(len(ids)), ids].mean()", "a mean: the logarithms are added up"),
    ("23", "pseudo_log_likelihood", "lambda log_p, ids: -log_p[np.arange(len(ids)), ids].sum()", "the sign is flipped"),
    ("23", "pseudo_log_likelihood", "lambda log_p, ids: log_p[np.arange(len(ids)), ids]", "shape (2,), expected ()"),
    ("23", "pseudo_log_likelihood", "lambda log_p, ids: np.exp(log_p[np.arange(len(ids)), ids].sum())", "the logarithm is missing"),
    ("23", "kmers", "lambda text, k: [text[i:i + k] for i in range(0, len(text), k)]", "side by side"),
    ("23", "kmers", "lambda text, k: [text[i:i + k] for i in range(len(text) - k)]", "the last one is missing"),
    ("23", "kmers", "lambda text, k: [text[i:i + k] for i in range(len(text))]", "the last ones are too short"),
    ("23", "kmers", "lambda text, k: text[:k]", ""),
    ("23", "kmers", "lambda text, k: set(text[i:i + k] for i in range(len(text) - k + 1))", ""),
    ("22", 'part_sizes', 'lambda r,n: np.full(n, r//n)', 'rows are lost: the parts must add up to the batch'),
    ("22", 'combine', 'lambda g,c: g.mean(0)', 'a mean of means: a part with few targets counts too much'),
    ("22", 'combine', 'lambda g,c: (g*c[:,None]).sum(0)', 'weighted by counts, but not divided by their sum'),
    ("24", "scales", "lambda m: abs(m).max() / 127", "the largest was taken along the wrong axis, (0, 1)"),
    ("24", "scales", "lambda m: abs(m).max(axis=1) / 127", "a row of zeros has no largest value"),
    ("24", "scales", "lambda m: abs(m).max(axis=0) / 127", "the largest was taken along the wrong axis, 0"),
    ("24", "scales", "lambda m: (lambda top: np.where(top > 0, top / 127, 1))(m.max(axis=1))", "take absolute values first"),
    ("24", "scales", "lambda m: (lambda top: np.where(top > 0, top / 127, 1))(abs(m).mean(axis=1))", "this is the mean, where the largest has to fit"),
    ("24", "scales", "lambda m: (lambda top: np.where(top > 0, top / 256, 1))(abs(m).max(axis=1))", "256 steps are for both signs together"),
    ("24", "whole_numbers", "lambda m, s: (m / s[:, None]).astype(int)", "cut off, not rounded"),
    ("24", "whole_numbers", "lambda m, s: np.rint(m / s)", "operands could not be broadcast"),
    ("24", "whole_numbers", "lambda m, s: m / s[:, None]", "not rounded"),
    ("24", "whole_numbers", "lambda m, s: np.rint(m * s[:, None])", "multiplied by the scale: it divides"),
    ("24", "whole_numbers", "lambda m, s: np.rint(m) / s[:, None]", "rounded too early"),
    ("24", "whole_numbers", "lambda m, s: np.ceil(m / s[:, None])", "rounded up, not to the nearest"),
    ("24", "grouped_linear", "lambda x, w: np.concatenate([x[:, k::len(w)] @ w[k].T for k in range(len(w))], axis=1)", "group k got every G-th number"),
    ("24", "grouped_linear", "lambda x, w: np.concatenate([a @ b for a, b in zip(np.split(x, len(w), axis=1), w)], axis=1)", "not transposed"),
    ("24", "grouped_linear", "lambda x, w: np.stack([a @ b.T for a, b in zip(np.split(x, len(w), axis=1), w)])", "shape (2, 3, 4), expected (3, 8)"),
    ("24", "grouped_linear", "lambda x, w: sum(a @ b.T for a, b in zip(np.split(x, len(w), axis=1), w))", "the groups' results are added up"),
    ("24", "grouped_linear", "lambda x, w: np.concatenate([a @ b.T for a, b in zip(np.split(x, len(w), axis=1), w)])", "one below the other"),
    ("24", "grouped_backward_w", "lambda x, w, g: np.concatenate([b.T @ a for a, b in zip(np.split(x, len(w), axis=1), np.split(g, len(w), axis=1))])", "side by side: the groups are the first axis"),
    ("24", "grouped_backward_w", "lambda x, w, g: g.T @ x", "this is the gradient of the whole matrix"),
    ("24", "grouped_backward_w", "lambda x, w, g: np.stack([a.T @ b for a, b in zip(np.split(x, len(w), axis=1), np.split(g, len(w), axis=1))])", "transposed: the weights are [out, in]"),
    ("24", "grouped_backward_w", "lambda x, w, g: np.stack([b.T @ a for a, b in zip(np.split(x, len(w), axis=1), np.split(np.ones_like(g), len(w), axis=1))])", "g is missing"),
    ("24", "grouped_backward_w", "lambda x, w, g: np.stack([b.T @ a for a, b in zip(np.split(x, len(w), axis=1), np.split(g, len(w), axis=1))]) / len(x)", "a mean over the tokens"),
    ("25", "share_better", "lambda bad, good: (good > bad).mean()", "a tie counts as wrong here"),
    ("25", "share_better", "lambda bad, good: (good >= bad).mean()", "a tie counts as right here"),
    ("25", "share_better", "lambda bad, good: (good > bad).sum()", "the share is asked for"),
    ("25", "share_better", "lambda bad, good: (bad > good).mean() + (bad == good).mean() / 2", "the other way round"),
    ("25", "share_better", "lambda bad, good: good > bad", ""),
    ("25", "by_neighbours", "lambda ids, own, after: np.log(own[ids]).sum()", "the neighbours are missing"),
    ("25", "by_neighbours", "lambda ids, own, after: np.log(0.7 * after[ids[:-1], ids[1:]] + 0.3 * own[ids[1:]]).sum()", "the first piece is left out"),
    ("25", "by_neighbours", "lambda ids, own, after: np.log(own[ids[0]]) + np.log(0.7 * after[ids[1:], ids[:-1]] + 0.3 * own[ids[1:]]).sum()", "the wrong way round"),
    ("25", "by_neighbours", "lambda ids, own, after: np.log(own[ids[0]]) + np.log(after[ids[:-1], ids[1:]] + own[ids[1:]]).sum()", ""),
    ("25", "by_neighbours", "lambda ids, own, after: own[ids[0]] * np.prod(0.7 * after[ids[:-1], ids[1:]] + 0.3 * own[ids[1:]])", "its logarithm is asked for"),
    ("25", "by_neighbours", "lambda ids, own, after: np.log(own[ids[0]]) + (0.7 * np.log(after[ids[:-1], ids[1:]] + 1e-9) + 0.3 * np.log(own[ids[1:]])).sum()", "add the probabilities first"),
    ("25", "noise_of_share", "lambda p, n: p * (1 - p) / n", "the root is missing"),
    ("25", "noise_of_share", "lambda p, n: math.sqrt(p * (1 - p))", "this is how far single pairs are spread"),
    ("25", "noise_of_share", "lambda p, n: math.sqrt(p / n)", "a factor is missing"),
    ("25", "noise_of_share", "lambda p, n: 1 / math.sqrt(n)", ""),
]


def one_head(gq="gs @ k / r", gk="gs.T @ q / r", gv="w.T @ g", gs="w * (gw - (gw * w).sum(-1, keepdims=True))", r="np.sqrt(q.shape[1])",
             order="[gq, gk, gv]", join="np.concatenate"):
    """The source of one head's backward pass with something in it changed."""
    return f"""def answer(q, k, v, g):
    r = {r}
    e = np.exp(q @ k.T / np.sqrt(q.shape[1]))
    w = e / e.sum(-1, keepdims=True)
    gw = g @ v.T
    gs = {gs}
    gq, gk, gv = {gq}, {gk}, {gv}
    return {join}({order})
"""


def cutting(while_, if_, step=1):
    return f"""def answer(a, b, room):
    while {while_}:
        if {if_}:
            a -= {step}
        else:
            b -= {step}
    return np.array([a, b])
"""


def masks(first="u[:, :T]", keep="0.9", covered="covered", outside="-100", order="[seen, labels]"):
    return f"""def answer(u, ids, covered, mask_id, random_ids):
    from tinyalbert.pretraining.draws import integers
    T = ids.shape[1]
    choice = {first}
    hidden = np.where(choice < 0.8, mask_id, np.where(choice < {keep}, ids, integers(u[:, T:], *random_ids)))
    seen = np.where({covered}, hidden, ids)
    labels = np.where({covered}, ids, {outside})
    return np.stack({order})
"""


def order_pairs(swap="u[:, 1] < 0.5", label="swap", order="[a0, a1, b0, b1, label]"):
    return f"""def answer(u, sentences, windows):
    from tinyalbert.pretraining.draws import integers
    start, stop = windows.T
    middle = integers(u[:, 0], start + 1, stop)
    p, q = (sentences[start], sentences[middle] - sentences[start]), (sentences[middle], sentences[stop] - sentences[middle])
    swap = {swap}
    a0, a1 = np.where(swap, q[0], p[0]), np.where(swap, q[1], p[1])
    b0, b1 = np.where(swap, p[0], q[0]), np.where(swap, p[1], q[1])
    label = {label}
    return np.stack({order})
"""


def adam(m="0.9 * m + 0.1 * g", v="0.999 * v + 0.001 * g * g", new="w - lr * (m / (np.sqrt(v) + 1e-6) + 0.01 * w)", stack="[new, m, v]"):
    return f"""def answer(w, g, m, v, lr):
    m = {m}
    v = {v}
    new = {new}
    return np.stack({stack})
"""


def lamb(ratio="np.linalg.norm(w) / np.linalg.norm(u)", decay="0.01", sign="-"):
    return f"""def answer(w, g, m, v, lr):
    m = 0.9 * m + 0.1 * g
    v = 0.999 * v + 0.001 * g * g
    u = m / (np.sqrt(v) + 1e-6) + {decay} * w
    return np.stack([w {sign} lr * {ratio} * u, m, v])
"""


def gelu(end="* (1 + 3 * 0.044715 * x**2)", square="t * t"):
    return f"""def answer(x):
    t = np.tanh(0.7978845608028654 * (x + 0.044715 * x**3))
    return 0.5 * (1 + t) + 0.5 * x * (1 - {square}) * 0.7978845608028654 {end}
"""


def found_entities(go="tag[0] == 'I' and tag[2:] == last[2:]", end="place + 1", last="last = tag", ret="return found"):
    return f"""def answer(tags):
    found, last = [], 'O'
    for place, tag in enumerate(tags):
        if {go}:
            found[-1] = (tag[2:], found[-1][1], {end})
        elif tag != 'O':
            found.append((tag[2:], place, {end}))
        {last}
    {ret}
"""


def tagging(axis="-1, keepdims=True", minus="p[counted, gold[counted]] -= 1", rest="p[~counted] = 0", n="counted.sum()"):
    return f"""def answer(scores, gold):
    counted = gold != -100
    p = np.exp(scores) / np.exp(scores).sum({axis})
    {minus}
    {rest}
    return p / {n}
"""


def span_gradient(axis=0, half="/ 2", end="gradient[last, 1] -= 1"):
    return f"""def answer(scores, first, last):
    gradient = np.exp(scores) / np.exp(scores).sum({axis}, keepdims=True)
    gradient[first, 0] -= 1
    {end}
    return gradient {half}
"""


def believed(context, tie="-i"):
    return f"""def answer(begins, lengths):
    found = []
    for t in range((begins + lengths).max()):
        sees = [({context}, {tie or 'i'}) for i, (b, n) in enumerate(zip(begins, lengths)) if b <= t < b + n]
        found.append(abs(max(sees)[1]))
    return np.array(found)
"""


def searching(n="(counts > 0).sum(0)", rare="np.log(1 + (len(counts) - n + 0.5) / (n + 0.5))", long="(0.25 + 0.75 * lengths / lengths.mean())[:, None]",
           damp="counts / (counts + 1.5 * long)", end=".sum(1)"):
    return f"""def answer(counts, lengths):
    n = {n}
    rare = {rare}
    long = {long}
    return (rare * {damp}){end}
"""


def rouge_n(grams="Counter(zip(*(w[i:] for i in range(n))))", both="sum((wanted & found).values())",
            total="sum(wanted.values()) + sum(found.values())", times="2 * ", guard="if total else 0"):
    return f"""def answer(reference, summary, n):
    from collections import Counter
    wanted, found = ({grams} for w in (reference, summary))
    total = {total}
    return {times}{both} / total {guard}
"""


def choosing(order="np.argsort(-scores)", runs="set(zip(*(sentences[i][k:] for k in range(3))))", told="told = told | runs", back="sorted(chosen)"):
    return f"""def answer(scores, sentences, count):
    chosen, told = [], set()
    for i in {order}:
        runs = {runs}
        if len(chosen) < count and not runs & told:
            chosen.append(int(i))
            {told}
    return {back}
"""


def filling(full="i > first and used + length > size", reset="first, used = i, 0", row="(first, i)", end="return rows + [(first, len(lengths))]"):
    return f"""def answer(lengths, size):
    rows, first, used = [], 0, 0
    for i, length in enumerate(lengths):
        if {full}:
            rows.append({row})
            {reset}
        used += length
    {end}
"""


def of_length_one(mean="(hidden * mask[:, :, None]).sum(1)", length="np.sqrt((mean * mean).sum(1, keepdims=True))"):
    return f"""def answer(hidden, mask):
    mean = {mean}
    return mean / {length}
"""


MAKERS = {"ONE_HEAD": one_head, "WHILE": cutting, "MASKS": masks, "PAIRS": order_pairs, "ADAM": adam, "LAMB": lamb, "GELU": gelu,
          "ENTITIES": found_entities, "TAG": tagging, "SPAN": span_gradient, "WINDOW": believed, "BM25": searching,
          "ROUGE": rouge_n, "CHOOSE": choosing, "FILL": filling, "VECTORS": of_length_one}


def answer(source, scope):
    """The function that a row's source stands for, with the names of `scope` besides."""
    if source.split("(")[0] in MAKERS:
        made = dict(scope)
        exec(eval(source, dict(MAKERS)), made)
        return made["answer"]
    return eval(source, dict(scope))
