"""What the words alone tell, whatever their order: a linear classifier beside it."""

import numpy as np

PASSES, RATE, DECAY = 100, 0.3, 1e-4


def accuracy(train, train_classes, test, test_classes):
    """Right answers in percent of logistic regression on counts of tokens.

    Args:
        train, test: list of int arrays, the ids of each text, none empty.
        train_classes, test_classes: int (texts,).
    """
    size = 1 + max(int(ids.max()) for ids in (*train, *test))
    weights = fitted(train, np.asarray(train_classes), size)
    answers = logits(test, weights).argmax(axis=-1)
    return 100 * float(np.mean(answers == np.asarray(test_classes)))


def fitted(texts, classes, size):
    """Weights float64 (size, classes), by full steps of Adagrad from zero."""
    targets = np.eye(classes.max() + 1)[classes]  # (texts, classes)
    weights = np.zeros((size, targets.shape[1]))
    squares = np.full_like(weights, 1e-12)
    tokens, lengths = np.concatenate(texts), [len(ids) for ids in texts]
    for _ in range(PASSES):
        scores = logits(texts, weights)
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        gradient = DECAY * weights
        errors = (shares - targets) / len(texts)
        np.add.at(gradient, tokens, np.repeat(errors, lengths, axis=0))
        squares += gradient**2
        weights -= RATE * gradient / np.sqrt(squares)
    return weights


def logits(texts, weights):
    """The sum of the weights of each text's tokens, (texts, classes)."""
    starts = np.cumsum([0, *(len(ids) for ids in texts[:-1])])
    return np.add.reduceat(weights[np.concatenate(texts)], starts)
