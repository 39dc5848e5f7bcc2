"""Texts in other encodings: which one is advised, and what its command does."""

import gzip
import re
import subprocess

import pytest

from saccade.apps.captioning import data as captioning
from saccade.apps.captioning.config import Config as CaptioningConfig
from saccade.apps.core.data import encodings
from saccade.apps.core.data.encodings import likely_encoding, read_utf8
from saccade.apps.core.data.texts import TextFile, read_or_why, read_text
from saccade.apps.core.errors import UserError

TEXTS = {
    "English": "It’s a cat – “naïve”, he said … for 5 €.\nThe café is closed.\n" * 3,
    "French": "Une fille à la robe rose gravit l’escalier.\nIl a été là-bas, où "
    "l’élève naïf créa « Noël », ça et là.\n",
    "German": "Ein Mädchen läuft über die Straße.\nGröße und Maß: die „süße“ Katze.\n",
    "Spanish": "¿Dónde está el niño? ¡Aquí! El perro corrió por la montaña.\n",
    "Portuguese": "A menina não sobe a escada; o cão está na estação de São João.\n",
    "Swedish": "En flicka går på gatan. Två hundar leker på gräset; någon är där för "
    "att se på.\n",
    "Polish": "Dziewczynka wchodzi po schodach. Książka leży na stole, a żółta łódź "
    "płynie po rzece; ćma śpi.\n",
    "Czech": "Příliš žluťoučký kůň úpěl ďábelské ódy. Dívka běží přes řeku a směje "
    "se.\n",
    "Hungarian": "Árvíztűrő tükörfúrógép. A lány felmegy a lépcsőn, és a fiú nézi őt, "
    "mert ő is menni szeretne.\n",
    "Turkish": "Küçük kız merdivenleri çıkıyor. İki köpek çimenlerin üzerinde oynuyor, "
    "ağaç gölgesinde.\n",
    "Russian": "Девочка в розовом платье поднимается по лестнице. Две собаки играют на "
    "траве.\n",
    "Greek": "Ένα κορίτσι ανεβαίνει τις σκάλες. Δύο σκυλιά παίζουν στο γρασίδι.\n",
    "Hebrew": "ילדה בשמלה ורודה עולה במדרגות. שני כלבים משחקים על הדשא.\n",
    "Arabic": "فتاة تصعد الدرج. كلبان يلعبان على العشب.\n",
    "Thai": "เด็กผู้หญิงกำลังขึ้นบันได สุนัขสองตัวเล่นอยู่บนหญ้า\n",
    "Chinese": "一个小女孩走上楼梯。\n两只狗在草地上玩，男人在看着它们。\n"
    "我们都在这里，不知道什么时候来的。\n",
    "Chinese beside English": "the cat: 猫，那个很大的\na dog: 这是一只小狗\n",
    "Traditional": "一個戴著紅色帽子的男人在街上騎自行車。\n兩隻狗在草地上玩球。\n",
    "Rare Chinese": "魑魅魍魉，饕餮貔貅。\n",
    "Japanese": "赤い帽子をかぶった男の人が自転車に乗っています。\n二匹の犬が芝生の上で"
    "遊んでいる。\n",
    "Korean": "한 남자가 빨간 모자를 쓰고 거리에서 자전거를 타고 있다.\n두 마리의 개가 "
    "잔디밭에서 놀고 있습니다.\n",
}
RECOGNISED = [
    ("English", "cp1252", "windows-1252"),
    ("French", "cp1252", "windows-1252"),
    ("German", "cp1252", "windows-1252"),
    ("Spanish", "cp1252", "windows-1252"),
    ("Spanish", "latin1", "windows-1252"),  # its part without signs
    ("Portuguese", "latin1", "windows-1252"),
    ("Swedish", "latin1", "windows-1252"),
    ("Chinese", "gbk", "gbk"),
    ("Chinese beside English", "gbk", "gbk"),
    ("Chinese", "gb2312", "gbk"),
    ("Japanese", "cp932", "cp932"),
    ("Japanese", "shift_jis", "cp932"),
    ("Japanese", "euc_jp", "euc-jp"),
    *((name, "utf-16", "utf-16") for name in TEXTS),
    ("German", "utf-32", "utf-32"),
    ("Chinese", "utf-32", "utf-32"),
    *(
        (name, f"utf-{bits}-{order}", f"utf-{bits}{order}")
        for name in ("English", "French", "Russian", "Greek", "Arabic", "Chinese",
                     "Japanese", "Korean")
        for bits in (16, 32)
        for order in ("le", "be")
    ),
]  # fmt: skip
AMBIGUOUS = [
    ("Polish", "cp1250"),
    ("Czech", "cp1250"),
    ("Hungarian", "cp1250"),
    ("Turkish", "cp1254"),
    ("Russian", "cp1251"),
    ("Russian", "koi8-r"),
    ("Russian", "cp866"),
    ("Greek", "iso8859-7"),
    ("Hebrew", "cp1255"),
    ("Arabic", "cp1256"),
    ("Thai", "cp874"),
    ("Traditional", "big5"),
    ("Rare Chinese", "gbk"),
    ("Korean", "euc_kr"),
    ("Korean", "johab"),
    ("French", "cp850"),
    ("German", "cp850"),
    ("French", "mac_roman"),
    ("German", "mac_roman"),
    ("Swedish", "mac_roman"),
]


def run_advised(message, place):
    """The text that the command in a message makes of a file."""
    command = message.rpartition("onvert it: ")[2]
    place.mkdir()
    subprocess.run(["sh", "-c", command], cwd=place, check=True)
    (file,) = place.iterdir()
    assert file.name.startswith("utf8-")
    return file.read_bytes().decode("utf-8")


@pytest.mark.parametrize(("name", "encoding", "advised"), RECOGNISED)
def test_the_advised_command_gives_the_text(tmp_path, name, encoding, advised):
    # Some letters of these texts are in no encoding of their language's.
    text = TEXTS[name].encode(encoding, "ignore").decode(encoding)
    path = tmp_path / "some captions.txt"
    path.write_bytes(text.encode(encoding))
    with pytest.raises(UserError) as error:
        read_text(path)
    message = str(error.value)
    assert f"It looks like {advised}, in which it reads " in message
    beyond = re.search(r"[^\x00-\x7f]", text)
    shown = message.partition("in which it reads ")[2].partition(". Convert")[0]
    assert text[beyond.start() :][:8].partition("\n")[0] in shown
    assert run_advised(message, tmp_path / "here") == text
    with pytest.raises(UserError) as error:
        read_utf8(path)
    assert str(error.value) == message


@pytest.mark.parametrize("encoding", ["utf-16-be", "utf-32-be"])
def test_a_mark_of_the_other_order(tmp_path, encoding):
    path = tmp_path / "text.txt"
    path.write_bytes(("\ufeff" + TEXTS["French"]).encode(encoding))
    with pytest.raises(UserError, match=f"looks like {encoding[:6]}, ") as error:
        read_text(path)
    assert run_advised(str(error.value), tmp_path / "here") == TEXTS["French"]


@pytest.mark.parametrize(("name", "encoding"), AMBIGUOUS)
def test_what_cannot_be_told_is_not_guessed(tmp_path, name, encoding):
    content = TEXTS[name].encode(encoding, "ignore")
    assert likely_encoding(content) == ("", "")
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match="cannot be told from its bytes") as error:
        read_text(path)
    name = {"mac_roman": "macintosh"}.get(encoding, encoding.replace("_", "-"))
    message = str(error.value).replace("ENCODING", name)
    assert run_advised(message, tmp_path / "here") == content.decode(encoding)


@pytest.mark.parametrize(
    "content",
    [b"\xff", b"sec\xffond", b"\xff\xfe", b"\x80", "cat 猫".encode("gbk")],
)
def test_a_few_bytes_tell_nothing(content):
    assert likely_encoding(content) == ("", "")


def test_a_zipped_text_in_a_folder_with_spaces(tmp_path):
    place = tmp_path / "it's a folder"
    place.mkdir()
    path = place / "-text.txt.gz"
    path.write_bytes(gzip.compress(TEXTS["Chinese"].encode("gbk")))
    with pytest.raises(UserError) as error:
        read_text(path)
    assert run_advised(str(error.value), tmp_path / "here") == TEXTS["Chinese"]


def test_a_byte_far_behind_is_found_with_its_line(tmp_path):
    """The sample is taken around it, wherever the pieces end that are read."""
    text = "An English line of text.\n" * 100_000 + TEXTS["French"]
    path = tmp_path / "text.txt"
    path.write_bytes(text.encode("cp1252"))
    messages = set()
    for size in (1000, 4097, 2**22):
        with pytest.raises(UserError, match="line 100001: byte 0xe0 ") as error:
            list(TextFile(path, size))
        messages.add(str(error.value))
    (message,) = messages
    assert run_advised(message, tmp_path / "here") == text


def test_a_damaged_line_of_utf8(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes(TEXTS["Chinese"].encode().replace("草".encode(), b"\xe8\x8d"))
    with pytest.raises(UserError, match="line 2: byte 0xe8 .* that line is damaged"):
        read_text(path)


# NUL bytes


@pytest.mark.parametrize(
    ("content", "many"),
    [
        (b"a\0\0b\0\0\0c", True),
        (b"a\0", False),
        (b"a cat\0a dog", False),
        (b"\0\0" + b"a" * 198, False),
        (b"\0\0" + b"a" * 197, True),
    ],
)
@pytest.mark.parametrize("size", [1, 2**22])
def test_many_nuls_are_no_text(tmp_path, content, many, size):
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    if not many:
        assert "".join(TextFile(path, size)) == read_utf8(path) == content.decode()
        return
    for read in (read_utf8, lambda path: list(TextFile(path, size))):
        with pytest.raises(
            UserError, match="holds NUL bytes, .*a file that is no text"
        ):
            read(path)


@pytest.mark.parametrize("content", [b"\n\0\n\0", b"\0" * 4])
def test_white_space_with_nuls_is_no_text(tmp_path, content):
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match="It looks like a file that is no text"):
        read_text(path)


def test_what_cannot_be_opened_is_an_error(tmp_path):
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        read_utf8(tmp_path)


def test_a_picture_is_no_text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x10\x08\x02\0")
    assert "byte 0x89 is no UTF-8. It looks like a file that is no" in str(
        read_or_why(path)[1]
    )


# Through every reader


TABLES = {
    "x.csv": "image,caption\na.png,{}\n",
    "x.tsv": "image\tcaption\na.png\t{}\n",
    "x.jsonl": '{{"image": "a.png", "caption": "{}"}}\n',
    "x.json": '{{"images": [], "annotations": [{{"caption": "{}"}}]}}\n',
    "x.token": "a.png#0\t{}\n",
}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize(
    ("caption", "encoding", "advised"),
    [
        ("Ein Mädchen läuft über die Straße", "cp1252", "windows-1252"),
        ("两只狗在草地上玩", "gbk", "gbk"),
        ("a girl", "utf-16", "utf-16"),
        ("a girl", "utf-16-le", "utf-16le"),
        ("девочка", "cp1251", ""),
    ],
)
def test_captions_get_the_same_advice(tmp_path, name, caption, encoding, advised):
    path, text = tmp_path / name, TABLES[name].format(caption)
    path.write_bytes(text.encode(encoding))
    with pytest.raises(UserError) as error:
        captioning.load_data(CaptioningConfig(data=str(path)))
    message = str(error.value)
    assert message.startswith(str(path))
    if not advised:
        assert "cannot be told" in message
        return
    assert f"It looks like {advised}, " in message
    assert run_advised(message, tmp_path / "here") == text


def test_the_lists_say_what_their_comments_say():
    assert len(encodings.HANZI) == 500
    "".join(encodings.HANZI).encode("gb2312")
    assert {"あ", "ん", "ア", "ヴ", "ー"} <= encodings.KANA
