from .corpus import Corpus as Corpus
from .pack import PackConfig as PackConfig, PackedText as PackedText, TextTokenizer as TextTokenizer, pack as pack
from .text import KnownText as KnownText, known_texts as known_texts, open_text as open_text
