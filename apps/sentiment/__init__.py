"""Sentiment: a text goes in, its verdict comes out.

An embedding of tokens, and of n-grams if you like, and a recurrent network that reads
the text one way or both; the last state decides, the mean or the maximum of all, or
attention; between two labels or more, or several at once.

    saccade demo sentiment

learns builtin reviews in half a minute on two cores: accuracy 100 % on held-out ones.
They come in pairs of the same words with the other verdict, so a bag of words is right
of 50.0 %, whatever it learns (`saccade data sentiment`). The preset tiny (ten seconds)
reaches an accuracy of 90 % at least; with `--builtin chinese`, `victims` or `topics`,
too. Of all of them the words and their order tell everything: the best is 100 %.

    saccade train sentiment --data rows.csv --text-column text --label-column label \\
        --split-column split --minutes 8 --out RUN
    saccade predict sentiment RUN --text "..." --plot verdict.html

What real reviews gave, beside a linear model, stands in docs/results/sentiment.md.
"""

from ..core.lazy import members

__getattr__ = members(__name__)
