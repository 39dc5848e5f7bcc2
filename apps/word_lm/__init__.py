"""Word language models: how probable is a sentence, and how does it go on?

An embedding, a recurrent layer, and a softmax over the words, <UNK> and <EOS> among
them; trained by truncated backpropagation through time on a stream of sentences. Every
sentence is scored for itself: before its first word stands <EOS> with the initial
state, and the <EOS> behind it counts (Mikolov et al. 2010).

    saccade train word_lm --preset tiny

learns the sentences of a small grammar in seconds: 1.65 nats per token. Of two
sentences that differ in "was" and "were", 1 to 20 words behind the subject, it finds
the one that agrees likelier in 90 % of the cases at least.

    saccade train word_lm --data "$SACCADE_DATA/pos_ner_zh_peoples_daily_199801" \\
        --format tagged --tokenizer characters --minutes 4 --out zh
    saccade predict word_lm zh hypotheses.txt --signature score --sort rank_score
    python benchmarks/rank.py --run zh \\
        --data "$SACCADE_DATA/pos_ner_zh_peoples_daily_199801"

ranks hypotheses for what was heard: `docs/results/word_lm.md` says how often rightly.
By the log-probability alone <UNK> is so likely that sentences of unknown words win, so
the unknown share its probability (see `task.WordLM.answer_score`), and for Chinese the
better unit is the character.
"""

from ..core.lazy import members

__getattr__ = members(__name__)
