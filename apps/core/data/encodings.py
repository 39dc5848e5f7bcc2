"""Bytes to text in UTF-8, or an error that says how to make it UTF-8.

That bytes can be decoded says little: nearly all texts can, in several encodings. So an
encoding is named only where the text reads as one would be written:

- by its byte order mark;
- by its NUL bytes, which UTF-8 has no use for: UTF-16 and UTF-32, in the order of bytes
  in which nearly everything is a usual character;
- GBK and GB18030, where most characters are among the commonest Chinese ones;
- Shift-JIS (as cp932) and EUC-JP, where a third is kana;
- windows-1252, of which latin1 is a part, where the letters are those of one language
  and stand singly among the ASCII letters.

Where none or several of them fit, it cannot be told, and the error says so.
"""

import codecs
import gzip
import re
import shlex
import zlib

from ..errors import UserError

SAMPLE = 2**20  # bytes that are enough to tell
BEFORE = 2**12  # of them, in front of the first byte that is no UTF-8
MARKS = (  # that of UTF-32 begins as that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

# The 500 commonest of Chinese news, reviews, sentences, CVs and captions of emoji: 71
# to 84 % of such texts. Of texts in other encodings, read as GBK, at most 25 %.
HANZI = frozenset(
    "一万三上下不与专且业东两个中为主举久么之也书买了事二于五亚些交产京亲人什"
    "今从他代以们件价任份企优会但位低住体何作你使侣便保信候做像儿元先光党入全"
    "公共关其兼内再农准凉几出分利别到制前副力办加务动助势包化北区医十半华单卖"
    "南卫卷厂历原去又及友反发取受变口只可台右号司吃各合同名后向吗吧听吻告员周"
    "味和品响哪商啊喜四回因团国在地场坐城基境士处备外多够大天太头女她好如姆委"
    "子学孩它安完定实客家对导将小少尔就局居展山州工左差己已巴市师带常干平年并"
    "广应店度建开张强当很得心必快态怎性总您情想意感慢成我房所手才打技把投报担"
    "拉指按挺换排接控推提操收改放政教整文料斯新方施旗无日早时明星是晚更曾最月"
    "有服望期本术机条来林果标样根格森椅楼次欢款正步每比民气水求江汤没油法注浅"
    "济浪海消深清游满火点热然爱片物特独玩环现球理生用电男白百的监盘目直相省看"
    "真着知研确社离种科程究空立站第等算管米系红级线经结给网置美老者而耗职联肉"
    "股肤能脸自至舒航般色花英菜董行表被装西要见观视觉解计订认让议记设证评话该"
    "语说请调谢财质贵费资走起超跑跟路车轮较边达过近还这进送适选通速道那部都配"
    "酒里重量金钟钱错长门问间际限院难集需非面音题风食餐饭饰饼香马高鸡"
)
KANA = frozenset(map(chr, range(0x3041, 0x30FF)))
# The letters of French, German, Spanish, Portuguese, Italian, the north, and Dutch.
WESTERN = tuple(
    frozenset(letters + letters.upper())
    for letters in (
        "àâæçéèêëîïôœùûü",
        "äöüß",
        "áéíóúñüªº",
        "áâãàçéêíóôõúªº",
        "àèéìíîòóù",
        "åäæéöø",
        "éëèïöüó",
    )
)
# Beside letters in every language; they say nothing of the encoding by themselves.
SIGNS = frozenset(
    "\u00a0“”‘’„‚«»–—…•·°§©®™€£×¡¿½¼¾´，。、；：？！（）《》「」『』【】～ー\u3000"
)
# What a text in UTF-16 is made of nearly only; in the wrong order of bytes it is not.
USUAL = re.compile(
    r"[\t\n\r\x20-\x7e\u00a0-\u06ff\u2010-\u203f\u20ac\u2122\u3000-\u30ff\uac00-\ud7a3"
    rf"\uff00-\uffef{''.join(sorted(HANZI))}]"
)


def read_content(path):
    """The bytes of a file, unpacked where its name ends in .gz.

    Raises:
        UserError: it cannot be read, or is no gzip.
    """
    try:
        content = path.read_bytes()
        if path.suffix.lower() == ".gz":
            content = gzip.decompress(content)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path} ends in .gz, but is no gzip: {error}.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    return content


def read_utf8(path):
    """The text of a file in UTF-8, gzip where its name ends in .gz, line ends as they
    are.

    Raises:
        UserError: it cannot be read, or is no UTF-8, with advice; it is no gzip.
    """
    content = read_content(path).removeprefix(codecs.BOM_UTF8)
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        sample = content[sample_start(error.start) :][:SAMPLE]
        raise no_utf8(path, line, content[error.start], sample) from None
    if many_nuls(content.count(0), len(content)):
        raise holds_nuls(path, content[:SAMPLE])
    return text


def sample_start(at):
    """Where to begin with the sample of a file whose byte `at` is no UTF-8. A multiple
    of four, so that no character of UTF-16 or UTF-32 is cut."""
    return max(0, at - BEFORE) // 4 * 4


def many_nuls(count, size):
    """Whether `count` NUL bytes among `size` are more than a text has. UTF-16 of ASCII
    has one in two; of Russian, one in eleven, its spaces."""
    return count > 1 and count > size / 100


def no_utf8(path, line, byte, sample):
    """The error for a file with this `byte`, int, in this `line`, counted from 1."""
    return UserError(
        f"{path}, line {line}: byte {byte:#04x} is no UTF-8. {_advice(path, sample)}"
    )


def holds_nuls(path, sample):
    """The error for a file that could be UTF-8 but for `many_nuls`."""
    return UserError(
        f"{path} holds NUL bytes, more than a text in UTF-8. {_advice(path, sample)}"
    )


def _advice(path, sample):
    encoding, text = likely_encoding(sample)
    if encoding:
        return (
            f"It looks like {encoding}, in which it reads {_excerpt(text)!r}. Convert "
            f"it: {_command(path, encoding)}"
        )
    if many_nuls(sample.count(0), len(sample)):
        return "It looks like a file that is no text."
    if _is_damaged(sample):
        return "Most of the text is UTF-8, so that line is damaged: write it anew."
    return (
        "Its encoding cannot be told from its bytes. If you know it, convert it: "
        f"{_command(path, 'ENCODING')}"
    )


def _excerpt(text):
    """What stands in a line around the first character beyond ASCII, if there is one;
    whether that is right shows at a glance."""
    text = text.strip()
    beyond = re.search(r"[^\x00-\x7f]", text)
    at = beyond.start() if beyond else 0
    before, behind = text[max(0, at - 30) : at], text[at : at + 30]
    return before.rpartition("\n")[2] + behind.partition("\n")[0]


def _command(path, encoding):
    """The command for a shell that converts a file into another one, here."""
    target = shlex.quote(f"utf8-{path.name.removesuffix('.gz')}")
    source = shlex.quote(str(path))
    convert = f"iconv -f {encoding} -t utf-8"
    if path.suffix == ".gz":
        return f"gzip -dc < {source} | {convert} > {target}"
    return f"{convert} < {source} > {target}"


def likely_encoding(sample):
    """The encoding that bytes are in, as iconv calls it, and their text; "" and ""
    where it cannot be told.

    Args:
        sample: bytes, which are no UTF-8; the last character may be cut.
    """
    marks = [encoding for mark, encoding in MARKS if sample.startswith(mark)]
    if marks:
        candidates = {marks[0]: bool}
    elif b"\0" in sample:
        candidates = WIDE
    elif _is_damaged(sample):
        candidates = {}
    else:
        candidates = NARROW
    found = {}  # text -> how much it reads like one, encoding
    for encoding, likeness in candidates.items():
        text = _decode(sample, encoding)
        if text and text.strip() and likeness(text):
            found.setdefault(text, (likeness(text), encoding))
    best = max((found[text][0] for text in found), default=0)
    texts = [text for text in found if found[text][0] == best]
    return (found[texts[0]][1], texts[0]) if len(texts) == 1 else ("", "")


def _decode(sample, encoding):
    """The text without a character that is cut at its end, or None."""
    try:
        return codecs.getincrementaldecoder(encoding)().decode(sample)
    except UnicodeDecodeError:
        return None


def _is_damaged(sample):
    """Whether more of what is not ASCII is UTF-8 than is none."""
    beyond = re.sub("[\x00-\x7f]+", "", sample.decode(errors="replace"))
    return 2 * beyond.count("\ufffd") < len(beyond)


def _usual_share(text):
    share = len(USUAL.findall(text)) / len(text)
    return share if share > 0.6 else 0


def _is_chinese(text):
    return _share(HANZI, text) > 1 / 2


def _is_japanese(text):
    return _share(KANA, text) > 1 / 3


def _share(common, text):
    """Of the characters beyond ASCII and signs, the share of the common ones; a single
    one among four tells nothing."""
    beyond = [c for c in text if c > "\x7f" and c not in SIGNS]
    return sum(c in common for c in beyond) / max(4, len(beyond))


def _is_western(text):
    # A sign inside of a word, but for an apostrophe, is a letter in another encoding.
    text = re.sub(r"(?<=[a-zA-Z])[^\x00-\x7f\w\s’–—·](?=[a-zA-Z])", "\ufffd", text)
    beyond = [c for c in text if c > "\x7f"]
    if not re.search("[a-zA-Z]", text):
        return False
    rows = "".join(re.findall(r"[^\W\x00-\x7f]{3,}", text))
    if len(rows) > 0.1 * len(beyond):  # words without ASCII, as in Russian
        return False
    languages = WESTERN
    if len(beyond) < 0.01 * len(text):  # foreign words in English
        languages = (frozenset().union(*WESTERN),)
    return any(
        sum(c in letters or c in SIGNS for c in beyond) >= 0.9 * len(beyond)
        for letters in languages
    )


# Encodings, as iconv and Python call them -> how much a text reads like one in them; 0:
# not at all. Where several are equal, it cannot be told.
WIDE = dict.fromkeys(("utf-32le", "utf-32be", "utf-16le", "utf-16be"), _usual_share)
NARROW = {
    "gbk": _is_chinese,
    "gb18030": _is_chinese,  # where a text is the same in both, GBK is better known
    "cp932": _is_japanese,
    "euc-jp": _is_japanese,
    "windows-1252": _is_western,
}
