"""The fast loop: a cell's step repeated over time, with a gradient of its own.

Differentiated by TensorFlow, a loop adds up dW = sum over t of x_t^T dz_t with one
small product and one (features, units) sum in every step. Here the backward loop
computes only dz_t, the gradient of what the products gave, and the gradients of the
weights and of the inputs are ONE large product each, after the loop (Appleyard et al.
2016, arXiv:1604.01946).

A cell takes part by offering

    step_weights() -> list of its weights
    fast_step(multiply, x, states, weights, memory) -> output, new states

which does all its matrix products by `multiply((operand, kernel), ..., bias=None)`,
the sum of operand @ kernel + bias; an operand may be a tuple of tensors, side by side.
Everything else in the step may be any differentiable operation.
"""

from keras import ops


def multiply(*pairs, bias=None):
    """The sum of operand @ kernel over the pairs, + bias: what a step does by itself.

    Args:
        pairs: (operand, kernel), `(batch, features)` or a tuple of such, whose features
            stand side by side, and `(features, units)`.
        bias: `(units,)` or None.

    Returns:
        `(batch, units)`.
    """
    total = None
    for operand, kernel in pairs:
        if isinstance(operand, tuple):
            operand = ops.concatenate(operand, axis=-1)
        product = ops.matmul(operand, kernel)
        total = product if total is None else total + product
    return total if bias is None else total + bias


def run(step, x, states, weights, memory=(), mask=None, zero_output=False, **options):
    """Repeat `step` over x.

    Args:
        step: step(multiply, x_t, states, weights, memory) -> output, new states.
        x: `(time, batch, features)`.
        states: list of `(batch, size)`.
        weights, memory: lists of tensors, what the step reads; every gradient flows to
            x, states, weights and memory, and to nothing else that the step reads.
        mask: bool `(time, batch)` or None; where it is False, the states stay and the
            output is the one before (zeros at the start and with `zero_output`).
        all_outputs: whether the outputs of all steps are wanted.
        own_gradient: whether the gradient is the loop's own (see the module), which
            costs the forward pass some writing, or TensorFlow's.

    Returns:
        outputs `(time, batch, units)`, or the last `(batch, units)`; list of states.
    """
    import tensorflow as tf

    loop = _Loop(step, x, states, weights, memory, mask, zero_output, **options)
    flat = [x, *states, *weights, *memory]
    if loop.own_gradient:
        outputs, *states = tf.custom_gradient(loop.with_gradient)(*flat)
    else:
        outputs, *states = loop.forward(*flat)[0]
    return outputs, states[: loop.states]


class _Loop:
    def __init__(
        self,
        step,
        x,
        states,
        weights,
        memory,
        mask,
        zero_output,
        all_outputs=True,
        own_gradient=True,
    ):
        import tensorflow as tf

        self.cell_step, self.mask, self.zero_output = step, mask, zero_output
        self.all_outputs, self.own_gradient = all_outputs, own_gradient
        self.time, self.batch = tf.shape(x)[0], tf.shape(x)[1]
        self.most = x.shape[0]  # None where the length is unknown
        self.states, self.weights = len(states), len(weights)
        # One step on nothing, to see which products it takes. In a graph it costs
        # nothing, because nobody reads its result.
        self.plan = _Plan(tf.zeros(tf.shape(x)[1:], x.dtype), states, weights)
        nothing = self.plan.x
        nothing = tf.ensure_shape(nothing, x.shape[1:])
        self.plan.x = nothing
        output, after = step(self.plan.multiply, nothing, states, weights, memory)
        self.output_like = output
        self.output_state = _position(output, after)
        self.repeats_output = mask is not None and not zero_output

    # Forwards

    def unpack(self, flat):
        x, rest = flat[0], list(flat[1:])
        states, rest = rest[: self.states], rest[self.states :]
        return x, states, rest[: self.weights], rest[self.weights :]

    def masked_step(self, multiply, x, states, weights, memory, t):
        """One step; with a mask, the output before stands behind the cell's states."""
        import tensorflow as tf

        if self.mask is None:
            return self.cell_step(multiply, x, states, weights, memory)
        before = None
        inner = states
        if self.repeats_output:
            *inner, before = states
        output, new = self.cell_step(multiply, x, inner, weights, memory)
        real = self.mask[t][:, None]
        new = [tf.where(real, n, o) for n, o in zip(new, inner, strict=True)]
        output = tf.where(real, output, 0 if before is None else before)
        if self.repeats_output:
            new.append(output)
        return output, new

    def forward(self, *flat):
        """Returns ([outputs, *states], what the backward loop needs)."""
        import tensorflow as tf

        x, states, weights, memory = self.unpack(flat)
        if self.repeats_output:
            states = [*states, tf.zeros_like(self.output_like)]
        keep = self.own_gradient
        kernels = self.plan.joined(weights)
        # A state that is the output needs no place of its own.
        shared = None if self.mask is not None else self.output_state

        def array(like, size=self.time):
            return tf.TensorArray(
                like.dtype, size, element_shape=like.shape, clear_after_read=False
            )

        arrays = {
            "outputs": [array(self.output_like)] if self.all_outputs else [],
            "states": {
                i: array(state)
                for i, state in enumerate(states)
                if keep and not (i == shared and self.all_outputs)
            },
            "products": [array(z) for z in self.plan.results] if keep else [],
        }

        def body(t, states, last, arrays):
            replay = _Forward(kernels)
            output, new = self.masked_step(
                replay.multiply, x[t], states, weights, memory, t
            )
            written = {
                "outputs": [a.write(t, output) for a in arrays["outputs"]],
                "states": {i: a.write(t, new[i]) for i, a in arrays["states"].items()},
                "products": [
                    a.write(t, z)
                    for a, z in zip(arrays["products"], replay.results, strict=False)
                ],
            }
            new = [
                tf.ensure_shape(n, s.shape) for n, s in zip(new, states, strict=True)
            ]
            return t + 1, new, tf.ensure_shape(output, last.shape), written

        _, states_out, last, arrays = tf.while_loop(
            lambda t, *_: t < self.time,
            body,
            (0, states, tf.zeros_like(self.output_like), arrays),
            maximum_iterations=self.most,
        )
        outputs = last
        if self.all_outputs:
            outputs = arrays["outputs"][0].stack()
            outputs = tf.ensure_shape(outputs, [self.most, *self.output_like.shape])
            if keep and shared is not None:
                arrays["states"][shared] = arrays["outputs"][0]
        return [outputs, *states_out], (arrays, states)

    # Backwards

    def with_gradient(self, *flat):
        results, kept = self.forward(*flat)

        def gradient(*upstream):
            return _only_once(self.backward, flat, kept, upstream)

        return results, gradient

    def backward(self, flat, kept, upstream):
        import tensorflow as tf

        x, _, weights, memory = self.unpack(flat)
        arrays, first = kept
        d_outputs, *d_states = upstream
        plan = self.plan
        kernels_t = plan.transposed(weights)
        loose = [w for i, w in enumerate(weights) if i not in plan.used]
        x_is_free = plan.uses_x  # whether the step reads x outside of products

        def array(like):
            return tf.TensorArray(like.dtype, self.time, element_shape=like.shape)

        def before(i, t):
            """State i before step t."""
            at_start = t == 0
            return tf.cond(
                at_start,
                lambda: first[i],
                lambda: arrays["states"][i].read(t - 1),
            )

        def body(t, d_states, d_loose, d_memory, written):
            states = [
                tf.ensure_shape(before(i, t), s.shape) for i, s in enumerate(first)
            ]
            x_t = x[t]
            if self.all_outputs:
                d_output = d_outputs[t]
            else:
                d_output = tf.where(t == self.time - 1, d_outputs, 0)
            stored = [a.read(t) for a in arrays["products"]]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                zero = tf.zeros([], x.dtype)
                sources = [states, loose, memory, [x_t] if x_is_free else [], zero]
                tape.watch(sources)
                replay = _Backward(plan, stored, kernels_t, x_t, zero)
                output, new = self.masked_step(
                    replay.multiply, x_t, states, weights, memory, t
                )
            grads = tape.gradient(
                [output, *new],
                sources,
                [d_output, *d_states],
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )
            d_states, d_l, d_m, d_x, _ = grads
            d_loose = [a + b for a, b in zip(d_loose, d_l, strict=True)]
            d_memory = [a + b for a, b in zip(d_memory, d_m, strict=True)]
            values = [*replay.gradients, *replay.operands, *d_x]
            written = [a.write(t, v) for a, v in zip(written, values, strict=True)]
            d_states = [
                tf.ensure_shape(d, s.shape)
                for d, s in zip(d_states, first, strict=True)
            ]
            return t - 1, d_states, d_loose, d_memory, written

        likes = [*plan.results, *plan.computed, *([plan.x] if x_is_free else [])]
        _, d_states, d_loose, d_memory, written = tf.while_loop(
            lambda t, *_: t >= 0,
            body,
            (
                self.time - 1,
                list(d_states),
                [tf.zeros_like(w) for w in loose],
                [tf.zeros_like(m) for m in memory],
                [array(like) for like in likes],
            ),
            maximum_iterations=self.most,
        )

        flatten = _rows
        count = len(plan.results)
        d_products = [flatten(a.stack()) for a in written[:count]]
        computed = iter(
            [flatten(a.stack()) for a in written[count : count + len(plan.computed)]]
        )
        rows_of_state = {}

        def operand_rows(part):
            """All steps of a product's operand: (time * batch, features)."""
            if part.kind == "x":
                return flatten(x)
            if part.kind == "computed":
                return next(computed)
            if part.index not in rows_of_state:
                later = arrays["states"][part.index].stack()[:-1]
                whole = tf.concat([first[part.index][None], later], axis=0)
                rows_of_state[part.index] = flatten(whole)
            return rows_of_state[part.index]

        d_weights = [None] * len(weights)
        d_x = None
        if x_is_free:
            d_x = written[-1].stack()
        for product, d_z in zip(plan.products, d_products, strict=True):
            for kernel, parts in product.by_kernel():
                rows = [
                    tf.matmul(operand_rows(part), d_z, transpose_a=True)
                    for part in parts
                ]
                whole = rows[0] if len(rows) == 1 else tf.concat(rows, axis=0)
                _add(d_weights, kernel, whole)
            if product.bias is not None:
                _add(d_weights, product.bias, tf.reduce_sum(d_z, axis=0))
            for part in product.parts:
                if part.kind == "x":
                    rows = weights[part.kernel][part.start : part.stop]
                    more = tf.matmul(d_z, rows, transpose_b=True)
                    more = tf.reshape(more, tf.shape(x))
                    d_x = more if d_x is None else d_x + more
        loose_grads = iter(d_loose)
        for i in range(len(weights)):
            if i not in plan.used:
                d_weights[i] = next(loose_grads)
        if d_x is None:
            d_x = tf.zeros_like(x)
        return [d_x, *d_states[: self.states], *d_weights, *d_memory]


class _Part:
    """One tensor of an operand, and its rows of the kernel."""

    def __init__(self, kind, index, kernel, start, stop):
        self.kind, self.index = kind, index  # "x", "state" (number i) or "computed"
        self.kernel, self.start, self.stop = kernel, start, stop


class _Product:
    """One call of `multiply`: its parts, in order, and the number of its bias."""

    def __init__(self, parts, bias):
        self.parts, self.bias = parts, bias
        self.inner = [p for p in parts if p.kind != "x"]

    def by_kernel(self):
        kernels = dict.fromkeys(part.kernel for part in self.parts)
        return [(k, [p for p in self.parts if p.kernel == k]) for k in kernels]


class _Plan:
    """What a step multiplies, learned from one run of it."""

    def __init__(self, x, states, weights):
        self.x, self.known_states, self.known_weights = x, states, weights
        self.products, self.results, self.computed = [], [], []
        self.used = set()
        self.uses_x = False

    def multiply(self, *pairs, bias=None):
        parts = []
        for operand, kernel in pairs:
            number = _position(kernel, self.known_weights)
            if number is None:
                raise ValueError(
                    "multiply expected a kernel out of the step's `weights`, as it "
                    "came; received another tensor."
                )
            self.used.add(number)
            start = 0
            for tensor in operand if isinstance(operand, tuple) else (operand,):
                stop = start + tensor.shape[-1]
                state = _position(tensor, self.known_states)
                if tensor is self.x:
                    kind = "x"
                elif state is not None:
                    kind = "state"
                else:
                    kind = "computed"
                    self.computed.append(tensor)
                parts.append(_Part(kind, state, number, start, stop))
                start = stop
        if bias is not None:
            bias_number = _position(bias, self.known_weights)
            self.used.add(bias_number)
        self.products.append(_Product(parts, None if bias is None else bias_number))
        result = multiply(*pairs, bias=bias)
        self.results.append(result)
        return result

    def joined(self, weights):
        """Per product the rows of all its kernels, as one kernel."""
        return [_joined(product.parts, weights) for product in self.products]

    def transposed(self, weights):
        """Per product the kernel rows that lead back to the states, transposed."""
        import tensorflow as tf

        kernels = [_joined(product.inner, weights) for product in self.products]
        return [None if k is None else tf.transpose(k) for k in kernels]


class _Forward:
    """`multiply` of the forward loop: one product per call, and its result is noted."""

    def __init__(self, kernels):
        self.kernels, self.results = kernels, []

    def multiply(self, *pairs, bias=None):
        import tensorflow as tf

        tensors = _tensors(pairs)
        operand = tensors[0] if len(tensors) == 1 else tf.concat(tensors, axis=-1)
        z = tf.matmul(operand, self.kernels[len(self.results)])
        z = z if bias is None else tf.nn.bias_add(z, bias)
        self.results.append(z)
        return z


class _Backward:
    """`multiply` of the backward loop: returns what was stored, notes its gradient."""

    def __init__(self, plan, stored, kernels_t, x, zero):
        self.plan, self.stored, self.kernels_t = plan, stored, kernels_t
        self.zero = zero
        import tensorflow as tf

        self.gradients = [tf.zeros_like(z) for z in stored]
        self.operands = []
        self.number = 0

    def multiply(self, *pairs, bias=None):
        import tensorflow as tf

        number, self.number = self.number, self.number + 1
        product, stored = self.plan.products[number], self.stored[number]
        tensors = _tensors(pairs)
        inner = [
            tensor
            for tensor, part in zip(tensors, product.parts, strict=True)
            if part.kind != "x"
        ]
        self.operands += [
            tensor
            for tensor, part in zip(tensors, product.parts, strict=True)
            if part.kind == "computed"
        ]

        @tf.custom_gradient
        def result(zero, *operands):
            def gradient(d_z):
                self.gradients[number] = d_z
                if not operands:
                    return tf.zeros_like(zero)
                d_inner = tf.matmul(d_z, self.kernels_t[number])
                if len(operands) == 1:
                    return tf.zeros_like(zero), d_inner
                sizes = [o.shape[-1] for o in operands]
                return tf.zeros_like(zero), *tf.split(d_inner, sizes, axis=-1)

            return tf.identity(stored), gradient

        return result(self.zero, *inner)


def _joined(parts, weights):
    import tensorflow as tf

    rows = [weights[p.kernel][p.start : p.stop] for p in parts]
    if len(rows) < 2:
        return rows[0] if rows else None
    return tf.concat(rows, axis=0)


def _tensors(pairs):
    """The operands' tensors, in order."""
    return [
        tensor
        for operand, _ in pairs
        for tensor in (operand if isinstance(operand, tuple) else (operand,))
    ]


def _position(tensor, tensors):
    for i, other in enumerate(tensors):
        if tensor is other:
            return i
    return None


def _rows(x):
    """(time, batch, features) -> (time * batch, features)."""
    import tensorflow as tf

    return tf.reshape(x, [-1, x.shape[-1]])


def _add(sums, i, value):
    sums[i] = value if sums[i] is None else sums[i] + value


def _only_once(function, flat, kept, upstream):
    """Call the backward pass; differentiating it again is refused."""
    import tensorflow as tf

    @tf.custom_gradient
    def once(*upstream):
        def refuse(*_):
            raise NotImplementedError(
                "The fast loop has no gradient of its gradient. Build the layer with "
                "fast=False, or call it with training=False: both leave the gradient "
                "to TensorFlow."
            )

        return function(flat, kept, upstream), refuse

    return once(*upstream)
