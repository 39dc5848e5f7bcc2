"""The matrix products of a step, and what the fast loop notes of them.

A cell's step does all its products through a `Multiply`, which does them as they are
written. The loop of `time_loop`, whose docstring follows one step through all of them,
runs the same step with other kinds of Multiply: `Plan` learns which products there are,
`Forward` notes their results on the way forwards, `Backward` their gradients on the way
back, so that the gradients of weights and inputs, in `Sums`, are one large product
each, after the loop.
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
        # Half the time of a product and sum: 0.36 ms and 1.01 (64 rows, 64 regions, 192
        # features, XLA).
        return ops.matmul(shares[:, None, :], values)[:, 0]


multiply = Multiply()


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

    def of_inputs(self, x, weights):
        """The inputs' share of the results of all steps, and the bias with it; None
        where the inputs have no part in it. x: (time, batch, features)."""
        import tensorflow as tf

        of_x = [part for part in self.parts if part.kind == "x"]
        if not of_x:
            return None
        total = tf.add_n([tf.matmul(_rows(x), part.rows(weights)) for part in of_x])
        if self.bias is not None:
            total = tf.nn.bias_add(total, weights[self.bias])
        total = tf.reshape(total, [tf.shape(x)[0], -1, total.shape[-1]])
        return tf.ensure_shape(total, [*x.shape[:2], total.shape[-1]])

    def add_gradients(self, d_z, all_steps, weights, sums):
        """d_z: (time, batch, units), what the results received.

        all_steps(part): that operand at every step. sums: Sums, where they go.
        """
        import tensorflow as tf

        shape, d_z = tf.shape(d_z), _rows(d_z)
        for kernel in dict.fromkeys(part.kernel for part in self.parts):
            blocks = [
                tf.matmul(_rows(all_steps(part)), d_z, transpose_a=True)
                for part in self.parts
                if part.kernel == kernel
            ]
            sums.add_weight(kernel, _joined(blocks))
        if self.bias is not None:
            sums.add_weight(self.bias, tf.reduce_sum(d_z, axis=0))
        for part in self.parts:
            if part.kind == "x":
                d_x = tf.matmul(d_z, part.rows(weights), transpose_b=True)
                sums.add_x(tf.reshape(d_x, [shape[0], shape[1], d_x.shape[-1]]))


class _Mix:
    """One call of `multiply.mix`: the part of its shares, the number of its values."""

    parts = ()

    def __init__(self, shares, values):
        self.shares, self.values = shares, values

    def of_inputs(self, x, weights):
        return None

    def add_gradients(self, d_z, all_steps, weights, sums):
        import tensorflow as tf

        d_values = tf.einsum("tbl,tbd->bld", all_steps(self.shares), d_z)
        sums.add_memory(self.values, d_values)


class Sums:
    """The gradients of x, of the weights and of the memory, as they come together."""

    def __init__(self, d_x, d_weights, d_memory):
        self.x, self.weights, self.memory = d_x, d_weights, d_memory

    def add_x(self, value):
        self.x = value if self.x is None else self.x + value

    def add_weight(self, i, value):
        _add(self.weights, i, value)

    def add_memory(self, i, value):
        _add(self.memory, i, value)


class Plan(Multiply):
    """The products of a step, learned from one run of it.

    products: _Product or _Mix, one per call.
    results: what each call gave, for shapes and dtypes.
    computed: the operands that are neither x nor a state.
    constant: for each of these whether a gradient ends in it, see `find_constant`. The
        forward loop keeps such a one, and the backward loop need not compute it again.

    No gradient passes through what the backward loop takes care of itself, so that a
    tape around the run shows what else the step reads.

    Args:
        watch: `tape.watch` of that tape; None without one.
    """

    def __init__(self, x, states, weights, memory, watch=None):
        self.x, self.states, self.weights, self.memory = x, states, weights, memory
        self.products, self.results, self.computed = [], [], []
        self.constant, self.watch = [], watch

    def __call__(self, *pairs, bias=None):
        parts, operands = [], []
        for operand, kernel in pairs:
            number, start = _expect(kernel, self.weights, "kernel", "weights"), 0
            tensors = operand if isinstance(operand, tuple) else (operand,)
            for tensor in tensors:
                stop = start + tensor.shape[-1]
                parts.append(self.part(tensor, number, start, stop))
                start = stop
            tensors = [ops.stop_gradient(t) if t is self.x else t for t in tensors]
            operands.append((tuple(tensors), ops.stop_gradient(kernel)))
        if bias is not None:
            number = _expect(bias, self.weights, "bias", "weights")
            bias = ops.stop_gradient(bias)
        self.products.append(_Product(parts, None if bias is None else number))
        return self.noted(super().__call__(*operands, bias=bias))

    def mix(self, shares, values):
        number = _expect(values, self.memory, "values", "memory")
        self.products.append(_Mix(self.part(shares), number))
        return self.noted(super().mix(shares, ops.stop_gradient(values)))

    def noted(self, result):
        if self.watch:
            self.watch(result)
        self.results.append(result)
        return result

    def part(self, tensor, *rows):
        if tensor is self.x:
            return _Part("x", None, *rows)
        state = _position(tensor, self.states)
        if state is not None:
            return _Part("state", state, *rows)
        self.computed.append(tensor)
        self.constant.append(False)
        return _Part("computed", len(self.computed) - 1, *rows)

    def find_constant(self, gradient, watched):
        """Find the operands that hang on nothing that is watched, nor on a product.

        Args:
            gradient: `tape.gradient` of the tape around the run.
        """
        sources = [*watched, *self.results]
        self.constant = [
            all(g is None for g in gradient(operand, sources))
            for operand in self.computed
        ]

    def operands(self, constant):
        """The computed operands that are constant, or those that are not."""
        pairs = zip(self.computed, self.constant, strict=True)
        return [operand for operand, is_so in pairs if is_so == constant]

    def inputs_kernel_size(self):
        """How many numbers of the kernels the inputs are multiplied by."""
        return sum(
            (part.stop - part.start) * result.shape[-1]
            for product, result in zip(self.products, self.results, strict=True)
            for part in product.parts
            if part.kind == "x"
        )

    def of_inputs(self, x, weights):
        """Per product the inputs' share of it at all steps, `(time, batch, units)`."""
        return [product.of_inputs(x, weights) for product in self.products]

    def kernels(self, weights, without_x=False):
        """Per product the rows of its kernels as one; None where there are none."""
        kernels = []
        for product in self.products:
            parts = [p for p in product.parts if not (without_x and p.kind == "x")]
            rows = [part.rows(weights) for part in parts]
            kernels.append(_joined(rows) if rows else None)
        return kernels

    def kernels_back(self, weights):
        """Per product the rows that lead back to states and computed operands,
        transposed; None where there are none."""
        import tensorflow as tf

        kernels = self.kernels(weights, without_x=True)
        return [None if k is None else tf.transpose(k) for k in kernels]


class _Noting(Multiply):
    """Products that note their computed operands: the constant ones, or the others."""

    constant = True

    def note(self, tensor, part):
        if part.kind == "computed" and self.plan.constant[part.index] == self.constant:
            self.operands.append(tensor)


class Forward(_Noting):
    """The products of the forward loop: one per call; the results are noted, and the
    operands that are constant.

    Joined operands and one product: with one product per operand an LSTM of 512 units
    (128 rows, forward and backward) ran at 0.75 of the machine's rate instead of 0.85.

    Args:
        plan: Plan.
        kernels: per product, as `plan.kernels` returned them.
        of_inputs: per product the inputs' share of this step (None: it has none);
            None where the inputs are multiplied here.
    """

    def __init__(self, plan, kernels, of_inputs=None):
        self.plan, self.kernels = plan, kernels
        self.of_inputs = of_inputs or [None] * len(kernels)
        self.results, self.operands = [], []

    def __call__(self, *pairs, bias=None):
        import tensorflow as tf

        number = len(self.results)
        z, tensors, kernel = (
            self.of_inputs[number],
            _tensors(pairs),
            self.kernels[number],
        )
        for tensor, part in zip(tensors, self.plan.products[number].parts, strict=True):
            self.note(tensor, part)
        if z is not None:  # the bias is in it
            parts, bias = self.plan.products[number].parts, None
            tensors = [
                t for t, part in zip(tensors, parts, strict=True) if part.kind != "x"
            ]
        if tensors:
            product = tf.matmul(_joined(tensors, axis=-1), kernel)
            z = product if z is None else z + product
        self.results.append(z if bias is None else tf.nn.bias_add(z, bias))
        return self.results[-1]

    def mix(self, shares, values):
        self.note(shares, self.plan.products[len(self.results)].shares)
        self.results.append(super().mix(shares, values))
        return self.results[-1]


class Backward(_Noting):
    """The products of the backward loop: each gives what it gave before, and notes the
    gradient that it receives, and its computed operands but the constant ones."""

    constant = False

    def __init__(self, plan, results, kernels_back, anchor):
        import tensorflow as tf

        self.plan, self.results, self.kernels_back = plan, results, kernels_back
        self.anchor = anchor  # a product of x alone hangs on the tape by it
        self.gradients = [tf.zeros_like(z) for z in results]
        self.operands = []
        self.number = 0

    def next(self):
        self.number += 1
        return self.number - 1, self.plan.products[self.number - 1]

    def __call__(self, *pairs, bias=None):
        import tensorflow as tf

        number, planned = self.next()
        inner = []
        for tensor, part in zip(_tensors(pairs), planned.parts, strict=True):
            if part.kind != "x":
                inner.append(tensor)
            self.note(tensor, part)

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

        number, planned = self.next()
        self.note(shares, planned.shares)

        @tf.custom_gradient
        def mixed(shares):
            def gradient(d_z):
                self.gradients[number] = d_z
                return tf.matmul(values, d_z[:, :, None])[..., 0]

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
    """(time, batch, ..., features) -> (time * batch * ..., features)."""
    import tensorflow as tf

    return tf.reshape(x, [-1, x.shape[-1]])


def _add(sums, i, value):
    sums[i] = value if sums[i] is None else sums[i] + value
