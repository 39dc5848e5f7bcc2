"""The fast loop: a cell's step repeated over time, with a gradient of its own.

Differentiated by TensorFlow, a loop adds up dW = sum over t of x_t^T dz_t with one
small product and one (features, units) sum in every step. Here the backward loop
computes only dz_t, the gradient of what the products gave, and the gradients of the
weights and of the inputs are ONE large product each, after the loop (Appleyard et al.
2016, arXiv:1604.01946).

A cell takes part as a `cells.FastCell`, by offering

    step_weights(training=False, h=None) -> dict of the tensors that its step reads
    fast_step(multiply, x, states, weights, training) -> output, new states

which does all its matrix products by `multiply((operand, kernel), ..., bias=None)`; see
`products.Multiply`. Everything else in the step may be any differentiable operation,
but no random draw: the backward loop runs the step again, with the products' results
as they were.

An example: one step of an Elman network, with h' the state before it,

    z = multiply((x, Wx), (h', Wh), bias=b) = x Wx + h' Wh + b
    h = tanh(z)                                                  output and new state

over T steps, N rows, F features and U units, with the weights [b, Wx, Wh]. The loop
runs this one function for three ends, each time with another kind of `multiply`.

1. Trace (`_Loop.__init__`): once, on an x of zeros, with a `Plan`. It computes z, and
   finds out by identity which of the tensors that it was given each operand is:

       plan.products   one _Product: its bias is weight 0, its parts are
                           x        times the rows 0 to F of weight 1, Wx
                           state 0  times the rows 0 to U of weight 2, Wh
       plan.results    [z], (N, U), for its shape and dtype
       plan.computed   [], the operands that are neither x nor a state; r h' in a GRU
       plan.constant   [], which of these no gradient passes; what a glimpse sees

   No gradient passes the plan's products to x, Wx, Wh and b, so a tape around this run
   shows which of them the step reads in other ways too: none of them, here.

2. Record (`_Loop.forward`): t = 0 to T - 1, with a `Forward`. The kernels of a product
   stand below each other, so that it is one matrix product:

       z_t = [x_t h_(t-1)] [Wx; Wh] + b        noted in results
       h_t = tanh(z_t)

   Beside the outputs, two arrays are kept, all that the backward loop will need (and
   the operands that are constant, where there are some):

       arrays["states"]    h_(-1) ... h_(T-1): at t stands the state BEFORE step t
       arrays["results"]   z_0 ... z_(T-1)

3. Replay (`_Loop.backward`): t = T - 1 down to 0, with a `Backward` and under a tape.
   Its product multiplies nothing: it gives the z_t of the record, and TensorFlow
   differentiates what is around it, which is only tanh. With dh_t what reaches the
   output and the new state of step t,

       dz_t     = dh_t (1 - h_t^2)             noted in gradients
       dh_(t-1) = dz_t Wh^T + d_output_(t-1)   the state's share, by plan.kernels_back

   The product passes no gradient on to x, Wx, Wh and b: that is the next part's work.

4. Sum (`_Product.add_gradients` into `Sums`): once. The dz of all steps are the rows of
   dZ (T N, U), those of x of X (T N, F), the states before all steps of H' (T N, U):

       sums.weights   [sum of the rows of dZ, X^T dZ, H'^T dZ]     of b, Wx, Wh
       sums.x         dZ Wx^T
       sums.memory    [], because there is no memory

   What the tape gave for weights, memory or x that the step also reads outside of its
   products (a gate's peephole, a layer's norm) was added up in the loop and is in
   `Sums` from the start.
"""

from .products import Backward, Forward, Plan, Sums, multiply

# How the loop runs was chosen by measurement, on 2 cores; the figures are medians of
# forward + backward over 50 steps under XLA unless they say otherwise.
# - The inputs' products are taken out of the loop ("hoisted") for a single row whose
#   kernel does not stay in the cache: a step then reads half as many weights, 7.0 ms
#   instead of 11.1 (LSTM, 512 units), 2.9 instead of 3.8 (256), 0.85 and 0.80 (64).
#   With more rows what a step computes stays in the cache and what the loop finds ready
#   comes from memory: 15.4 ms instead of 14.1 (LSTM, 16 rows, 256 units), 11.9 instead
#   of 8.2 (32 rows, 128 units, 100 steps, forwards only).
# - Unrolling by 2 or 5 steps is not done: under XLA 0.8 to 1.05 times the speed,
#   without it 0.95 to 1.3 (the most: Elman, 1 row, 64 units), which XLA beats by far.
#   `unroll=True` unrolls all steps.
# - XLA is what `model.compile` chooses; its default takes it. For training it was the
#   quicker form at 93 of the 96 points of benchmarks/layers.py.
HOISTED_ROWS = 1
HOISTED_KERNEL = 2**16  # numbers in the inputs' kernels


def run(
    step,
    x,
    states,
    weights,
    memory=(),
    mask=None,
    zero_output=False,
    reset=None,
    start=(),
    all_outputs=True,
    own_gradient=True,
    hoist=None,
):
    """Repeat `step` over x.

    Args:
        step: step(multiply, x_t, states, weights, memory) -> output, new states, the
            output a tensor `(batch, units)` or any nest of such.
        x: `(time, batch, features)`.
        states: list of `(batch, size)`.
        weights, memory: lists of tensors, what the step reads. Gradients flow to x,
            states, weights and memory, and to nothing else that the step may read.
        mask: bool `(time, batch)` or None; where it is False, the states stay and the
            output is the one before (zeros at the start and with `zero_output`).
        reset: bool `(time, batch)` or None; where it is True, the row's states are
            those of `start` before the step, be it masked or not.
        start: list of `(batch, size)`; gradients flow to them too.
        all_outputs: whether the outputs of all steps are wanted.
        own_gradient: whether the gradient is the loop's own (see the module), for
            which the forward loop stores what the products gave, or TensorFlow's.
        hoist: whether the inputs are multiplied by their kernels all at once, before
            the loop; None: where it was measured to be quicker (see HOISTED_ROWS).

    Returns:
        outputs `(time, batch, units)`, or the last `(batch, units)`, in the nest in
        which a step gives them; list of states.
    """
    import tensorflow as tf

    # A tensor each: the plan tells operands apart by identity, and several states may
    # start as the same zeros.
    states = [tf.identity(state) for state in states]
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
        hoist,
    )
    if reset is not None:  # By this way a gradient flows to them at every reset.
        memory = [*memory, *start]
    flat = [x, *states, *weights, *memory]
    if own_gradient:
        results = tf.custom_gradient(loop.with_gradient)(*flat)
    else:
        results, _ = loop.forward(flat, keep=False)
    outputs, states = loop.outputs_and_states(results)
    outputs = tf.nest.pack_sequence_as(loop.output, outputs)
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
        hoist,
    ):
        import tensorflow as tf

        self.cell_step, self.mask, self.reset = step, mask, reset
        self.all_outputs = all_outputs
        # The outputs before a masked step stand behind the cell's own states.
        self.repeats_output = mask is not None and not zero_output
        self.counts = len(states), len(weights), len(memory)
        self.time = tf.shape(x)[0]
        self.most = x.shape[0]  # None where the length is unknown

        # Trace: one step on nothing, to find which products it takes and which tensors
        # it reads in other ways. In a graph it costs nothing: nobody reads its result.
        nothing = tf.ensure_shape(tf.zeros(tf.shape(x)[1:], x.dtype), x.shape[1:])
        others = [nothing, *weights, *memory]
        tape = tf.GradientTape(persistent=True, watch_accessed_variables=False)
        watch = tape.watch if own_gradient else None
        self.plan = Plan(nothing, states, weights, memory, watch)
        with tape:
            if own_gradient:
                tape.watch([*others, *states])
            output, new = step(self.plan, nothing, states, weights, memory)
        self.output = output  # for its nest
        outputs = tf.nest.flatten(output)
        self.outputs_like = [tf.zeros_like(part) for part in outputs]
        self.hoist = hoist
        if hoist is None:
            few = x.shape[1] is not None and x.shape[1] <= HOISTED_ROWS
            self.hoist = few and self.plan.inputs_kernel_size() >= HOISTED_KERNEL
        if not own_gradient:
            return
        self.plan.find_constant(tape.gradient, [*others, *states])
        flows = [g is not None for g in tape.gradient([*outputs, *new], others)]
        del tape
        self.reads_x = flows[0]
        self.reads_weight = flows[1 : 1 + len(weights)]
        self.reads_memory = flows[1 + len(weights) :]
        if reset is not None:
            self.reads_memory += [True] * len(states)

    def step(self, multiply, t, x, states, weights, memory):
        """The cell's step, behind the reset and under the mask; outputs as a list."""
        import tensorflow as tf

        inner, before = states[: self.counts[0]], states[self.counts[0] :]
        if self.reset is not None:
            memory, start = memory[: self.counts[2]], memory[self.counts[2] :]
            again = self.reset[t][:, None]
            inner = [tf.where(again, s, i) for s, i in zip(start, inner, strict=True)]
        output, new = self.cell_step(multiply, x, inner, weights, memory)
        outputs = tf.nest.flatten(output)
        if self.mask is None:
            return outputs, new
        real = self.mask[t][:, None]
        new = [tf.where(real, n, o) for n, o in zip(new, inner, strict=True)]
        before = before or [0] * len(outputs)
        outputs = [tf.where(real, o, b) for o, b in zip(outputs, before, strict=True)]
        return outputs, [*new, *outputs] if self.repeats_output else new

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

    def outputs_and_states(self, results):
        """The two parts of one list, such as that of `forward`."""
        count = len(self.outputs_like)
        return list(results[:count]), list(results[count:])

    def array(self, like, size=None):
        import tensorflow as tf

        size = self.time if size is None else size
        return tf.TensorArray(
            like.dtype, size, element_shape=like.shape, clear_after_read=False
        )

    def forward(self, flat, keep):
        """Record: returns [*outputs, *states], and the arrays, with `keep` those that
        the backward loop needs."""
        import tensorflow as tf

        x, states, weights, memory = self.split(flat)
        if self.repeats_output:
            states = [*states, *self.outputs_like]
        # Otherwise the step multiplies as it is: joining the kernels copies them, which
        # costs a single short row a quarter of its time.
        notes = keep or self.hoist
        if notes:
            kernels = self.plan.kernels(weights, without_x=self.hoist)
            ready = self.plan.of_inputs(x, weights) if self.hoist else None
        arrays = {
            "outputs": [self.array(o) for o in self.outputs_like if self.all_outputs],
            "states": [],
            "results": [],
            "operands": [],
        }
        if keep:
            # At t stands the state before step t.
            arrays["states"] = [
                self.array(s, self.time + 1).write(0, s) for s in states
            ]
            arrays["results"] = [self.array(z) for z in self.plan.results]
            arrays["operands"] = [
                self.array(o) for o in self.plan.operands(constant=True)
            ]

        def body(t, states, _, arrays):
            products = multiply
            if notes:
                now = [z if z is None else z[t] for z in ready] if ready else None
                products = Forward(self.plan, kernels, now)
            outputs, new = self.step(products, t, x[t], states, weights, memory)
            written = {**arrays, "outputs": _write(arrays["outputs"], t, outputs)}
            if keep:
                written["states"] = _write(arrays["states"], t + 1, new)
                written["results"] = _write(arrays["results"], t, products.results)
                written["operands"] = _write(arrays["operands"], t, products.operands)
            return t + 1, _shaped(new, states), outputs, written

        _, last, outputs, arrays = tf.while_loop(
            lambda t, *_: t < self.time,
            body,
            (0, states, self.outputs_like, arrays),
            # Under XLA TensorFlow's own gradient needs a bound, known or not.
            maximum_iterations=self.time if self.most is None else self.most,
        )
        if self.all_outputs:
            outputs = [
                tf.ensure_shape(array.stack(), [self.most, *like.shape])
                for array, like in zip(
                    arrays["outputs"], self.outputs_like, strict=True
                )
            ]
        return [*outputs, *last], arrays

    def with_gradient(self, *flat):
        import tensorflow as tf

        results, arrays = self.forward(flat, keep=True)
        eager = tf.executing_eagerly()

        def gradient(*upstream):
            kept = arrays
            if eager and not tf.executing_eagerly():
                # `tape.jacobian` runs this gradient in a graph, whose loop cannot
                # read an eager TensorArray, which is a list: one that can.
                kept = {
                    name: [_refilled(array) for array in some]
                    for name, some in arrays.items()
                }
            return _once(lambda *up: self.backward(flat, kept, up), upstream)

        return results, gradient

    def backward(self, flat, arrays, upstream):
        """Replay and sum: gradients of x, states, weights and memory, in this order."""
        import tensorflow as tf

        x, states, weights, memory = self.split(flat)
        d_outputs, d_states = self.outputs_and_states(upstream)
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
                products = Backward(plan, results, back, anchor)
                outputs, new = self.step(products, t, x_t, states, weights, memory)
            if self.all_outputs:
                d_now = [d[t] for d in d_outputs]
            else:
                d_now = [tf.where(t == self.time - 1, d, 0) for d in d_outputs]
            before, more_weights, more_memory, d_x, _ = tape.gradient(
                [*outputs, *new],
                sources,
                [*d_now, *d_states],
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )
            return (
                t - 1,
                _shaped(before, d_states),
                _sums(d_weights, more_weights),
                _sums(d_memory, more_memory),
                _write(written, t, [*products.gradients, *products.operands, *d_x]),
            )

        noted = [*plan.results, *plan.operands(constant=False), *read_x]
        _, d_states, sum_weights, sum_memory, written = tf.while_loop(
            lambda t, *_: t >= 0,
            body,
            (
                self.time - 1,
                d_states,
                [tf.zeros_like(w) for w in read_weights],
                [tf.zeros_like(m) for m in read_memory],
                [self.array(like) for like in noted],
            ),
            maximum_iterations=self.most,
        )

        written = [a.stack() for a in written]  # (time, batch, ...) each
        d_results = written[: len(plan.results)]
        kept = iter([array.stack() for array in arrays["operands"]])
        again = iter(written[len(plan.results) :])
        computed = [next(kept) if c else next(again) for c in plan.constant]
        sums = Sums(
            written[-1] if read_x else None,
            _spread(sum_weights, self.reads_weight),
            _spread(sum_memory, self.reads_memory),
        )

        def all_steps(part):
            if part.kind == "x":
                return x
            if part.kind == "state":
                return arrays["states"][part.index].stack()[:-1]
            return computed[part.index]

        for product, d_z in zip(plan.products, d_results, strict=True):
            product.add_gradients(d_z, all_steps, weights, sums)
        return [
            tf.zeros_like(x) if sums.x is None else sums.x,
            *d_states[: len(states)],
            *(_or_zeros(d, w) for d, w in zip(sums.weights, weights, strict=True)),
            *(_or_zeros(d, m) for d, m in zip(sums.memory, memory, strict=True)),
        ]


def _refilled(array):
    """A TensorArray of this graph with the values of an eager one."""
    import tensorflow as tf

    values = array.stack()
    return tf.TensorArray(
        values.dtype,
        tf.shape(values)[0],
        element_shape=values.shape[1:],
        clear_after_read=False,
    ).unstack(values)


def _write(arrays, t, values):
    """Write a value each; no array, nothing to write."""
    return [a.write(t, v) for a, v in zip(arrays, values, strict=bool(arrays))]


def _shaped(new, old):
    """The new values with the static shapes of the old: a loop wants them equal."""
    import tensorflow as tf

    return [tf.ensure_shape(n, o.shape) for n, o in zip(new, old, strict=True)]


def _sums(totals, more):
    return [a + b for a, b in zip(totals, more, strict=True)]


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
