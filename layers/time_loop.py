"""The fast loop: a cell's step repeated over time, with a gradient of its own.

Differentiated by TensorFlow, a loop adds up dW = sum over t of x_t^T dz_t with one
small product and one (features, units) sum in every step. Here the backward loop
computes only dz_t, the gradient of what the products gave, and the gradients of the
weights and of the inputs are ONE large product each, after the loop (Appleyard et al.
2016, arXiv:1604.01946).

A cell takes part by offering

    step_weights(training=False, h=None) -> dict of the tensors that its step reads
    fast_step(multiply, x, states, weights, training) -> output, new states

which does all its matrix products by `multiply((operand, kernel), ..., bias=None)`; see
`Multiply`. Everything else in the step may be any differentiable operation, but no
random draw: the backward loop runs the step again, with the products' results as they
were.
"""

from keras import ops


class Multiply:
    """The products of one step: here as they are; the loop's own kinds take notes."""

    def __call__(self, *pairs, bias=None):
        """The sum of operand @ kernel over the pairs, + bias.

        Args:
            pairs: (operand, kernel), `(batch, features)` or a tuple of such, whose
                features stand side by side, and `(features, units)`.
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

    def mix(self, shares, values):
        """The sum of shares_l values_l: (batch, L), (batch, L, D) -> (batch, D)."""
        return ops.sum(shares[:, :, None] * values, axis=1)


multiply = Multiply()


def run(
    step,
    x,
    states,
    weights,
    memory=(),
    mask=None,
    zero_output=False,
    reset=None,
    all_outputs=True,
    own_gradient=True,
):
    """Repeat `step` over x.

    Args:
        step: step(multiply, x_t, states, weights, memory) -> output, new states.
        x: `(time, batch, features)`.
        states: list of `(batch, size)`.
        weights, memory: lists of tensors, what the step reads. Gradients flow to x,
            states, weights and memory, and to nothing else that the step may read.
        mask: bool `(time, batch)` or None; where it is False, the states stay and the
            output is the one before (zeros at the start and with `zero_output`).
        reset: bool `(time, batch)` or None; where it is True, the row's states are
            put back to `states` before the step, be it masked or not.
        all_outputs: whether the outputs of all steps are wanted.
        own_gradient: whether the gradient is the loop's own (see the module), for
            which the forward loop stores what the products gave, or TensorFlow's.

    Returns:
        outputs `(time, batch, units)`, or the last `(batch, units)`; list of states.
    """
    import tensorflow as tf

    loop = _Loop(
        step,
        x,
        states,
        weights,
        memory,
        mask,
        zero_output,
        reset,
        all_outputs,
        own_gradient,
    )
    if reset is not None:  # By this way a gradient flows to them at every reset.
        memory = [*memory, *states]
    flat = [x, *states, *weights, *memory]
    if own_gradient:
        outputs, *states = tf.custom_gradient(loop.with_gradient)(*flat)
    else:
        (outputs, *states), _ = loop.forward(flat, keep=False)
    return outputs, states[: loop.counts[0]]


class _Loop:
    """One call of `run`: the forward loop, the backward loop, and what they share."""

    def __init__(
        self,
        step,
        x,
        states,
        weights,
        memory,
        mask,
        zero_output,
        reset,
        all_outputs,
        own_gradient,
    ):
        import tensorflow as tf

        self.cell_step, self.mask, self.reset = step, mask, reset
        self.all_outputs = all_outputs
        # The output before a masked step stands behind the cell's own states.
        self.repeats_output = mask is not None and not zero_output
        self.counts = len(states), len(weights), len(memory)
        self.time = tf.shape(x)[0]
        self.most = x.shape[0]  # None where the length is unknown

        # One step on nothing, to see which products it takes and which tensors it
        # reads in other ways. In a graph it costs nothing: nobody reads its result.
        nothing = tf.ensure_shape(tf.zeros(tf.shape(x)[1:], x.dtype), x.shape[1:])
        self.plan = _Plan(nothing, states, weights, memory)
        others = [nothing, *weights, *memory]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            if own_gradient:
                tape.watch(others)
            output, new = step(self.plan, nothing, states, weights, memory)
        self.output_like = tf.zeros_like(output)
        if not own_gradient:
            return
        flows = [g is not None for g in tape.gradient([output, *new], others)]
        self.reads_x = flows[0]
        self.reads_weight = flows[1 : 1 + len(weights)]
        self.reads_memory = flows[1 + len(weights) :]
        if reset is not None:
            self.reads_memory += [True] * len(states)

    def step(self, multiply, t, x, states, weights, memory):
        """The cell's step, behind the reset and under the mask."""
        import tensorflow as tf

        inner, before = states[: self.counts[0]], states[self.counts[0] :]
        if self.reset is not None:
            memory, start = memory[: self.counts[2]], memory[self.counts[2] :]
            again = self.reset[t][:, None]
            inner = [tf.where(again, s, i) for s, i in zip(start, inner, strict=True)]
        if self.mask is None:
            return self.cell_step(multiply, x, inner, weights, memory)
        output, new = self.cell_step(multiply, x, inner, weights, memory)
        real = self.mask[t][:, None]
        new = [tf.where(real, n, o) for n, o in zip(new, inner, strict=True)]
        output = tf.where(real, output, before[0] if before else 0)
        return output, [*new, output] if self.repeats_output else new

    def split(self, flat):
        """x, states, weights, memory out of one list."""
        states, weights, _ = self.counts
        rest = list(flat[1:])
        return (
            flat[0],
            rest[:states],
            rest[states : states + weights],
            rest[states + weights :],
        )

    def array(self, like, size=None):
        import tensorflow as tf

        size = self.time if size is None else size
        return tf.TensorArray(
            like.dtype, size, element_shape=like.shape, clear_after_read=False
        )

    def forward(self, flat, keep):
        """Returns [outputs, *states], and with `keep` what the backward loop needs."""
        import tensorflow as tf

        x, states, weights, memory = self.split(flat)
        if self.repeats_output:
            states = [*states, self.output_like]
        # Without a gradient the step multiplies as it is: joining the kernels copies
        # them, which costs a single short row a quarter of its time.
        kernels = self.plan.kernels(weights) if keep else None
        arrays = {
            "outputs": [self.array(self.output_like)] if self.all_outputs else [],
            "states": [],
            "results": [],
        }
        if keep:
            # At t stands the state before step t.
            arrays["states"] = [
                self.array(s, self.time + 1).write(0, s) for s in states
            ]
            arrays["results"] = [self.array(z) for z in self.plan.results]

        def body(t, states, _, arrays):
            products = _Forward(kernels) if keep else multiply
            output, new = self.step(products, t, x[t], states, weights, memory)
            written = {
                "outputs": [a.write(t, output) for a in arrays["outputs"]],
                "states": _write(arrays["states"], t + 1, new) if keep else [],
                "results": _write(arrays["results"], t, products.results)
                if keep
                else [],
            }
            return t + 1, _shaped(new, states), output, written

        _, last, output, arrays = tf.while_loop(
            lambda t, *_: t < self.time,
            body,
            (0, states, self.output_like, arrays),
            maximum_iterations=self.most,
        )
        if self.all_outputs:
            output = arrays["outputs"][0].stack()
            output = tf.ensure_shape(output, [self.most, *self.output_like.shape])
        return [output, *last], arrays

    def with_gradient(self, *flat):
        results, arrays = self.forward(flat, keep=True)

        def gradient(*upstream):
            return _once(lambda *up: self.backward(flat, arrays, up), upstream)

        return results, gradient

    def backward(self, flat, arrays, upstream):
        """Gradients of x, states, weights and memory, in this order."""
        import tensorflow as tf

        x, states, weights, memory = self.split(flat)
        d_output, *d_states = upstream
        plan, back = self.plan, self.plan.kernels_back(weights)
        read_weights = [w for w, r in zip(weights, self.reads_weight, strict=True) if r]
        read_memory = [m for m, r in zip(memory, self.reads_memory, strict=True) if r]
        read_x = [plan.x] if self.reads_x else []

        def body(t, d_states, d_weights, d_memory, written):
            states = [a.read(t) for a in arrays["states"]]
            states = _shaped(states, d_states)
            results = [a.read(t) for a in arrays["results"]]
            x_t = x[t]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                anchor = tf.zeros([], x.dtype)
                sources = [
                    states,
                    read_weights,
                    read_memory,
                    [x_t] if read_x else [],
                    anchor,
                ]
                tape.watch(sources)
                products = _Backward(plan, results, back, anchor)
                output, new = self.step(products, t, x_t, states, weights, memory)
            if self.all_outputs:
                d_now = d_output[t]
            else:
                d_now = tf.where(t == self.time - 1, d_output, 0)
            before, more_weights, more_memory, d_x, _ = tape.gradient(
                [output, *new],
                sources,
                [d_now, *d_states],
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )
            return (
                t - 1,
                _shaped(before, d_states),
                _sums(d_weights, more_weights),
                _sums(d_memory, more_memory),
                _write(written, t, [*products.gradients, *products.operands, *d_x]),
            )

        noted = [*plan.results, *plan.computed, *read_x]
        _, d_states, sum_weights, sum_memory, written = tf.while_loop(
            lambda t, *_: t >= 0,
            body,
            (
                self.time - 1,
                list(d_states),
                [tf.zeros_like(w) for w in read_weights],
                [tf.zeros_like(m) for m in read_memory],
                [self.array(like) for like in noted],
            ),
            maximum_iterations=self.most,
        )

        written = [a.stack() for a in written]  # (time, batch, ...) each
        d_results = written[: len(plan.results)]
        computed = iter(written[len(plan.results) :])
        d_weights = _spread(sum_weights, self.reads_weight)
        d_memory = _spread(sum_memory, self.reads_memory)
        d_x = written[-1] if read_x else None

        def all_steps(part):
            if part.kind == "x":
                return x
            if part.kind == "state":
                return arrays["states"][part.index].stack()[:-1]
            return next(computed)

        for product, d_z in zip(plan.products, d_results, strict=True):
            if isinstance(product, _Mix):
                d_values = tf.einsum("tbl,tbd->bld", all_steps(product.shares), d_z)
                _add(d_memory, product.values, d_values)
                continue
            d_z = _rows(d_z)
            for kernel, parts in product.by_kernel():
                blocks = [
                    tf.matmul(_rows(all_steps(part)), d_z, transpose_a=True)
                    for part in parts
                ]
                _add(d_weights, kernel, _joined(blocks))
            if product.bias is not None:
                _add(d_weights, product.bias, tf.reduce_sum(d_z, axis=0))
            for part in product.parts:
                if part.kind == "x":
                    d_part = tf.matmul(d_z, part.rows(weights), transpose_b=True)
                    d_part = tf.reshape(d_part, tf.shape(x))
                    d_x = d_part if d_x is None else d_x + d_part
        return [
            tf.zeros_like(x) if d_x is None else d_x,
            *d_states[: len(states)],
            *(_or_zeros(d, w) for d, w in zip(d_weights, weights, strict=True)),
            *(_or_zeros(d, m) for d, m in zip(d_memory, memory, strict=True)),
        ]


class _Part:
    """One tensor of an operand, and its rows of the kernel."""

    def __init__(self, kind, index, kernel=None, start=None, stop=None):
        self.kind, self.index = kind, index  # "x", "state" (number i) or "computed"
        self.kernel, self.start, self.stop = kernel, start, stop

    def rows(self, weights):
        return weights[self.kernel][self.start : self.stop]


class _Product:
    """One call of `multiply`: its parts, in order, and the number of its bias."""

    def __init__(self, parts, bias):
        self.parts, self.bias = parts, bias

    def by_kernel(self):
        kernels = dict.fromkeys(part.kernel for part in self.parts)
        return [(k, [p for p in self.parts if p.kernel == k]) for k in kernels]


class _Mix:
    """One call of `multiply.mix`: the part of its shares, the number of its values."""

    def __init__(self, shares, values):
        self.shares, self.values = shares, values


class _Plan(Multiply):
    """The products of a step, learned from one run of it.

    products: _Product or _Mix, one per call.
    results: what each call gave, for shapes and dtypes.
    computed: the operands that are neither x nor a state.

    No gradient passes through what the backward loop takes care of itself, so that a
    tape around the run shows what else the step reads.
    """

    def __init__(self, x, states, weights, memory):
        self.x, self.states, self.weights, self.memory = x, states, weights, memory
        self.products, self.results, self.computed = [], [], []

    def __call__(self, *pairs, bias=None):
        parts, held = [], []
        for operand, kernel in pairs:
            number, start = _expect(kernel, self.weights, "kernel", "weights"), 0
            tensors = operand if isinstance(operand, tuple) else (operand,)
            for tensor in tensors:
                stop = start + tensor.shape[-1]
                parts.append(self.part(tensor, number, start, stop))
                start = stop
            tensors = [ops.stop_gradient(t) if t is self.x else t for t in tensors]
            held.append((tuple(tensors), ops.stop_gradient(kernel)))
        if bias is not None:
            self.products.append(
                _Product(parts, _expect(bias, self.weights, "bias", "weights"))
            )
            bias = ops.stop_gradient(bias)
        else:
            self.products.append(_Product(parts, None))
        self.results.append(super().__call__(*held, bias=bias))
        return self.results[-1]

    def mix(self, shares, values):
        number = _expect(values, self.memory, "values", "memory")
        self.products.append(_Mix(self.part(shares), number))
        self.results.append(super().mix(shares, ops.stop_gradient(values)))
        return self.results[-1]

    def part(self, tensor, *rows):
        if tensor is self.x:
            return _Part("x", None, *rows)
        state = _position(tensor, self.states)
        if state is not None:
            return _Part("state", state, *rows)
        self.computed.append(tensor)
        return _Part("computed", None, *rows)

    def kernels(self, weights):
        """Per product the rows of all its kernels as one; None for a mix."""
        return [
            None if isinstance(p, _Mix) else _joined([q.rows(weights) for q in p.parts])
            for p in self.products
        ]

    def kernels_back(self, weights):
        """Per product the rows that lead back to states and computed operands,
        transposed; None where there are none."""
        import tensorflow as tf

        kernels = []
        for product in self.products:
            parts = [] if isinstance(product, _Mix) else product.parts
            rows = [part.rows(weights) for part in parts if part.kind != "x"]
            kernels.append(tf.transpose(_joined(rows)) if rows else None)
        return kernels


class _Forward(Multiply):
    """The products of the forward loop: one per call, and the results are noted.

    Joined operands and one product: with one product per operand an LSTM of 512 units
    (128 rows, forward and backward) ran at 0.75 of the machine's rate instead of 0.85.
    Taking the inputs' share out of the loop does not pay: 100 steps of an LSTM,
    forwards under XLA on 2 cores, took 11.9 ms so and 8.2 ms otherwise (32 rows, 128
    units), 39.8 and 34.7 (64 rows, 256 units). What a step computes stays in the cache;
    what the loop finds ready comes from memory.
    """

    def __init__(self, kernels):
        self.kernels, self.results = kernels, []

    def __call__(self, *pairs, bias=None):
        import tensorflow as tf

        operand = _joined(_tensors(pairs), axis=-1)
        z = tf.matmul(operand, self.kernels[len(self.results)])
        self.results.append(z if bias is None else tf.nn.bias_add(z, bias))
        return self.results[-1]

    def mix(self, shares, values):
        self.results.append(super().mix(shares, values))
        return self.results[-1]


class _Backward(Multiply):
    """The products of the backward loop: each gives what it gave before, and notes the
    gradient that it receives."""

    def __init__(self, plan, results, kernels_back, anchor):
        import tensorflow as tf

        self.plan, self.results, self.kernels_back = plan, results, kernels_back
        self.anchor = anchor  # a product of x alone hangs on the tape by it
        self.gradients = [tf.zeros_like(z) for z in results]
        self.operands = []
        self.number = 0

    def __call__(self, *pairs, bias=None):
        import tensorflow as tf

        number, self.number = self.number, self.number + 1
        parts = self.plan.products[number].parts
        inner = []
        for tensor, part in zip(_tensors(pairs), parts, strict=True):
            if part.kind != "x":
                inner.append(tensor)
            if part.kind == "computed":
                self.operands.append(tensor)

        @tf.custom_gradient
        def product(anchor, *operands):
            def gradient(d_z):
                self.gradients[number] = d_z
                if not operands:
                    return tf.zeros_like(anchor)
                d_operands = tf.matmul(d_z, self.kernels_back[number])
                sizes = [o.shape[-1] for o in operands]
                if len(sizes) > 1:
                    d_operands = tf.split(d_operands, sizes, axis=-1)
                else:
                    d_operands = [d_operands]
                return tf.zeros_like(anchor), *d_operands

            return tf.identity(self.results[number]), gradient

        return product(self.anchor, *inner)

    def mix(self, shares, values):
        import tensorflow as tf

        number, self.number = self.number, self.number + 1
        if self.plan.products[number].shares.kind == "computed":
            self.operands.append(shares)

        @tf.custom_gradient
        def mixed(shares):
            def gradient(d_z):
                self.gradients[number] = d_z
                return tf.reduce_sum(values * d_z[:, None, :], axis=-1)

            return tf.identity(self.results[number]), gradient

        return mixed(shares)


def _tensors(pairs):
    """The operands' tensors, in order."""
    return [
        tensor
        for operand, _ in pairs
        for tensor in (operand if isinstance(operand, tuple) else (operand,))
    ]


def _joined(tensors, axis=0):
    import tensorflow as tf

    return tensors[0] if len(tensors) == 1 else tf.concat(tensors, axis=axis)


def _position(tensor, tensors):
    return next((i for i, other in enumerate(tensors) if tensor is other), None)


def _expect(tensor, tensors, role, where):
    number = _position(tensor, tensors)
    if number is None:
        raise ValueError(
            f"multiply expected a {role} out of the step's `{where}`, as it came; "
            "received another tensor. Slice or scale it before the loop, in "
            "`step_weights` or `prepare_memory`."
        )
    return number


def _rows(x):
    """(time, batch, features) -> (time * batch, features)."""
    import tensorflow as tf

    return tf.reshape(x, [-1, x.shape[-1]])


def _write(arrays, t, values):
    return [a.write(t, v) for a, v in zip(arrays, values, strict=True)]


def _shaped(new, old):
    """The new values with the static shapes of the old: a loop wants them equal."""
    import tensorflow as tf

    return [tf.ensure_shape(n, o.shape) for n, o in zip(new, old, strict=True)]


def _sums(totals, more):
    return [a + b for a, b in zip(totals, more, strict=True)]


def _add(sums, i, value):
    sums[i] = value if sums[i] is None else sums[i] + value


def _spread(values, where):
    """The values in the places where `where` is True, None in the others."""
    values = iter(values)
    return [next(values) if here else None for here in where]


def _or_zeros(gradient, tensor):
    import tensorflow as tf

    return tf.zeros_like(tensor) if gradient is None else gradient


def _once(function, upstream):
    """Call the backward loop; differentiating it again is refused."""
    import tensorflow as tf

    @tf.custom_gradient
    def once(*upstream):
        def refuse(*_):
            raise NotImplementedError(
                "The fast loop has no gradient of its gradient. Build the layer with "
                "fast=False, or call it with training=False: both leave the gradients "
                "to TensorFlow."
            )

        return function(*upstream), refuse

    return once(*upstream)
