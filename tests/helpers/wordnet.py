"""A WordNet of seven nouns, in files as WordNet has them."""

from pathlib import Path

# entity over animal and machine; the robot dog is both, and its own cat an instance.
TINY = {
    100: ("entity", [], "@"),
    200: ("animal", [100], "@"),
    300: ("machine", [100], "@"),
    400: ("dog domestic_dog", [200], "@"),
    500: ("robot_dog", [400, 300], "@"),
    600: ("Felix Felix_the_Cat", [200], "@i"),
    700: ("dog frump", [100], "@"),
}
SENSES = {"dog": [400, 700]}


def write_database(folder: Path) -> Path:
    """Write nouns as wndb(5WN) describes: licence, sizes, pointers of all kinds, glosses."""
    licence = "  1 WordNet 3.0 Copyright 2006 by Princeton University.  \n"
    data, index = [licence], [licence]
    for number, (words, above, kind) in TINY.items():
        pointers = [f"{kind} {parent:08d} n 0000" for parent in above]
        pointers += ["~ 00000500 n 0000", "+ 01234567 v 0101"] * (number < 300)
        lemmas = words.split()
        fields = [f"{number:08d} 05 n {len(lemmas):02x}", *(f"{lemma} 0" for lemma in lemmas)]
        data.append(" ".join([*fields, f"{len(pointers):03d}", *pointers]) + ' | a @ "thing"; | \n')
    lemmas = {w.lower(): [at] for at, (words, *_) in TINY.items() for w in words.split()} | SENSES
    for lemma, synsets in sorted(lemmas.items()):
        senses = " ".join(f"{synset:08d}" for synset in synsets)
        index.append(f"{lemma} n {len(synsets)} 2 @ ~ {len(synsets)} 1 {senses}  \n")
    (folder / "data.noun").write_text("".join(data))
    (folder / "index.noun").write_text("".join(index))
    return folder
