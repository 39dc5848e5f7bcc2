"""The trained model read out one word at a time: for validation and serving alike."""

import tensorflow as tf

from ...layers import decoding


def begin(model, config, pixels, beam=1):
    """What decoding starts from: a `step` function and the first state.

    Args:
        pixels: uint8 (batch, size, size, 3).
        beam: hypotheses per picture; what `step` closes over has batch * beam rows.
    """
    layer = model.get_layer
    decoder, embed = layer("decoder"), layer("embedding")
    attends = config.attention != "none"

    regions = encode(layer("encoder"), pixels)  # (batch, regions, features)
    picture = tf.reduce_mean(regions, axis=1)
    memory = None
    if attends:
        memory = decoder.prepare_memory(regions)
    elif config.condition == "every":
        memory = decoder.prepare_memory(picture)

    if attends:
        state = decoder.initial_state_from(regions)
    elif config.condition == "initial":
        state = [
            layer(f"initial_state_{i}")(picture) for i in range(len(decoder.state_size))
        ]
    else:
        state = decoder.get_initial_state(tf.shape(pixels)[0])
    if config.condition == "first":
        _, state = decoder.step(layer("picture_as_word")(picture), state, memory)

    if memory is not None:
        memory = decoding.repeat_rows(memory, beam)

    def step(tokens, state):
        word = embed(tokens)  # (rows, embedding)
        output, state = decoder.step(word, state, memory)
        parts = [output["outputs"], output["contexts"]] if attends else [output]
        votes = [layer(f"vote_{i}")(part) for i, part in enumerate(parts)]
        vote = tf.tanh(tf.add_n([tf.cast(word, votes[0].dtype), *votes]))
        logits = layer("logits")(vote)
        return (logits, state, output["weights"]) if attends else (logits, state)

    return step, state


def encode(encoder, pixels):
    """The encoder's regions, of an empty batch too.

    oneDNN's convolution gives an empty batch the shape of its input, so the encoder
    gets one white picture more where the batch may be empty.
    """
    if pixels.shape[0]:
        return encoder(pixels, training=False)
    count = tf.shape(pixels)[0]
    extra = tf.fill([tf.cast(count == 0, tf.int32), *pixels.shape[1:]], 255)
    some = tf.concat([pixels, tf.cast(extra, pixels.dtype)], axis=0)
    return encoder(some, training=False)[:count]


def decode_captions(model, config, vocabulary, pixels, options):
    """Captions as tokens: a `decoding.Decoded` without n_best.

    Args:
        pixels: uint8 (batch, size, size, 3).
        options: a `Decode`, how to choose the words.
    """
    step, state = begin(model, config, pixels, beam=options.beam)
    start = tf.fill([tf.shape(pixels)[0]], vocabulary.start)
    common = {
        "start": start,
        "end": vocabulary.end,
        "max_length": config.max_length,
        "min_length": 1,
        "suppress": (vocabulary.pad, vocabulary.unknown, vocabulary.start),
        "pad": vocabulary.pad,
    }
    if options.temperature:
        return decoding.sample(
            step,
            state,
            seed=options.seed,
            temperature=options.temperature,
            top_k=options.top_k,
            top_p=options.top_p,
            **common,
        )
    if options.beam == 1:
        return decoding.greedy(step, state, **common)
    best = decoding.beam_search(
        step,
        state,
        beam=options.beam,
        length_penalty=options.length_penalty,
        **common,
    )
    return decoding.Decoded(*(None if x is None else x[:, 0] for x in best))
