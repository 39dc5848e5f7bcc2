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

ranks hypotheses for what was heard. Of 200 pairs of a held-out sentence and one that
sounds like it or is shuffled, the right one gets the higher score in (percent)

                                     nats  all   characters  word  shuffle  log p
    characters, 3,700 steps          4.38  94.0  100.0       83.6  98.5     94.0
    characters, 1,530 steps          4.72  92.5   98.5       83.6  95.5     92.5
    10,000 words by jieba, 810 steps 5.37  86.0   91.0       70.1  97.0     56.5

and 历史总是不断重演 comes before 力使总事不断虫眼 in all three. Steps are of 640
tokens: as many as four minutes (words: three) held on two cores, free or busy.
Nats are per token of the last tenth; <UNK> is 0.1 % of its characters, 15 % of its
words. `log p` ranks by the log-probability alone: <UNK> is then so likely that
sentences of unknown words win. So the unknown share its probability (see
`task.WordLM.answer_score`), and for Chinese the better unit is the character.
"""

from ..core.lazy import members

__getattr__ = members(__name__)
