"""Class names as words."""


def spoken(class_name: str) -> str:
    """A class name as a person writes it in a sentence.

    >>> spoken("hot-air_balloon"), spoken("car_(sedan)")
    ('hot-air balloon', 'car (sedan)')
    """
    return " ".join(class_name.replace("_", " ").split())
