from .base import ClassSemantics
from .word_file import WordVectorFile
from .wordnet import WordNetHierarchy, imagenet_similarity

__all__ = ["ClassSemantics", "WordNetHierarchy", "WordVectorFile", "imagenet_similarity"]
