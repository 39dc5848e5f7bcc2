"""Chinese words, by jieba: what no graph can do."""

import logging
import re

from ..errors import UserError

_CHINESE = "[\u3001-\u9fff\uff01-\uffee]"
_BETWEEN_CHINESE = re.compile(f"(?<={_CHINESE}) +(?={_CHINESE})")


def cut_by_jieba(text):
    """A text with one space between words as jieba sees them, line by line; str.

    Spaces between Chinese characters count for nothing: a tagged text has them. So
    what is cut already stays as it is.
    """
    try:
        import jieba
    except ImportError:
        raise UserError(
            "--tokenizer=jieba needs the package jieba, which is not installed. Run: "
            "pip install jieba. Or take --tokenizer=characters, which needs nothing."
        ) from None
    jieba.setLogLevel(logging.WARNING)
    lines = [_BETWEEN_CHINESE.sub("", line) for line in text.split("\n")]
    return "\n".join(" ".join(" ".join(jieba.cut(line)).split()) for line in lines)
