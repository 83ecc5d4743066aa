from .base import ClassSemantics
from .word_file import WordVectorFile

__all__ = ["ClassSemantics", "WordVectorFile"]
