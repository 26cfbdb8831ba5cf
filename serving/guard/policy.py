"""The guard's policy: a YAML file that a curator edits, read once into frozen values.

Every fault is a `GuardError` that names the file, the rule or word list, and the field.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeVar

import yaml

from danqing import files, values
from danqing.errors import ConfigError, GuardError
from serving.guard.book import WordList

DEFAULT = Path(__file__).with_name("policy.yaml")
KINDS = ("refuse", "consult", "anchor")
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """Something in both languages. In a reason `{kept}` and `{dropped}` stand for names where dynasties are mixed."""

    en: str
    zh: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """Words of a list, alone or with words of another list near them."""

    words: str
    near: str = ""
    within: int = 0
    """Words between the two at most, a punctuation mark counting for three; 0: anywhere in the prompt."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """One rule of the policy. It holds where one of its searches finds something, or dynasties are as named."""

    id: str
    kind: Literal["refuse", "consult", "anchor"]
    reason: Told
    note: str
    looks_for: tuple[Search, ...] = ()
    dynasties: Literal["", "mixed", "inseparable"] = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Dynasty:
    """key: for the lists below. en, zh: names that need a mark after them, the first one put in place of others.
    whole: names that need none. unless: longer names that hold one. called: the full name."""

    key: str
    called: Told
    en: tuple[str, ...] = ()
    zh: tuple[str, ...] = ()
    whole: WordList = field(default_factory=WordList)
    unless: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Dated:
    """Words that belong to the dynasties `of`."""

    words: WordList
    of: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Dynasties:
    """How dynasties are named, and what their names are said of. `names` in the order of time."""

    names: tuple[Dynasty, ...]
    marks: WordList
    scene: WordList
    content: WordList
    manner: WordList
    after: WordList
    heirlooms: WordList
    mixing: WordList
    dress: tuple[Dated, ...] = ()
    people: tuple[Dated, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """digest: the first 16 hexadecimal digits of the file's SHA-256."""

    words: Mapping[str, WordList]
    rules: tuple[Rule, ...]
    dynasties: Dynasties
    digest: str

    @classmethod
    def read(cls, path: Path = DEFAULT) -> Policy:
        """Raises GuardError on a file that is no policy, StorageError on one that cannot be read."""
        with files.storage(path):
            data = Path(path).read_bytes()
        try:
            raw = yaml.load(data, Loader=_Strings)  # noqa: S506  (a BaseLoader: strings, lists and mappings only)
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise GuardError(f"{path}: no valid YAML ({' '.join(str(error).split())}); correct it") from error
        with located(path):
            _need(isinstance(raw, dict) and set(raw) == {"words", "rules", "dynasties"},
                  "the three sections words, rules and dynasties are needed, and no other")  # fmt: skip
        words = {
            name: _made(WordList, one, path, f"words {name!r}") for name, one in _section(raw, "words", dict, path)
        }
        rules = tuple(_rule(one, number, path) for number, one in _section(raw, "rules", list, path))
        dynasties = _made(Dynasties, raw["dynasties"], path, "dynasties")
        policy = cls(words=MappingProxyType(words), rules=rules, dynasties=dynasties,
                     digest=hashlib.sha256(data).hexdigest()[:16])  # fmt: skip
        policy._check(path)
        return policy

    def _check(self, path: Path) -> None:
        """What concerns more than one value."""
        seen: set[str] = set()
        for rule in self.rules:
            with located(path, f"rule {rule.id!r}"):
                _need(rule.id not in seen, "id is used twice; give each rule one of its own")
                _need(bool(rule.looks_for) != bool(rule.dynasties), "looks_for or dynasties is needed, and not both")
                _need((rule.kind == "anchor") == (rule.dynasties == "mixed"),
                      "kind: anchor goes with dynasties: mixed")  # fmt: skip
                for language in ("en", "zh"):
                    reason = getattr(rule.reason, language)
                    _need(bool(reason.strip()), f"reason.{language} is empty; say it to the user")
                    try:
                        reason.format(kept="", dropped="")
                    except (KeyError, IndexError, ValueError):
                        _need(False, f"reason.{language}: only {{kept}} and {{dropped}} may stand in braces")
                for search in rule.looks_for:
                    for name in filter(None, (search.words, search.near)):
                        _need(
                            name in self.words, f"looks_for: no words {name!r}; {values.closest(name, [*self.words])}"
                        )
                    _need(search.within >= 0, "looks_for.within is a number of words, 0 or more")
            seen.add(rule.id)
        keys = [dynasty.key for dynasty in self.dynasties.names]
        for place, dated in enumerate((*self.dynasties.dress, *self.dynasties.people), start=1):
            with located(path, "dynasties"):
                for key in dated.of:
                    _need(key in keys, f"of: no dynasty {key!r} (entry {place} of dress and people)")

    def dynasty_words(self) -> dict[str, WordList]:
        """The lists behind the dynasties, by a name that no list of a curator has."""
        told = self.dynasties
        lists = {f"dynasties.{name}": getattr(told, name)
                 for name in ("marks", "scene", "content", "manner", "after", "heirlooms", "mixing")}  # fmt: skip
        for dynasty in told.names:
            lists[f"dynasties.name.{dynasty.key}"] = WordList(en=dynasty.en, zh=dynasty.zh, unless=dynasty.unless)
            lists[f"dynasties.whole.{dynasty.key}"] = dynasty.whole
        for kind in ("dress", "people"):
            lists |= {f"dynasties.{kind}.{k}": dated.words for k, dated in enumerate(getattr(told, kind))}
        return lists


class _Strings(yaml.BaseLoader):
    """Every scalar a string (so that `no` is a word), and no key twice: the later would silently win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


@contextlib.contextmanager
def located(path: Path, where: str = "") -> Iterator[None]:
    """What is wrong with a value inside becomes a GuardError that begins with file and place."""
    try:
        yield
    except GuardError:
        raise
    except (ConfigError, TypeError, ValueError) as error:
        raise GuardError(f"{path}: {where}: {error}" if where else f"{path}: {error}") from error


def _need(condition: bool, message: str) -> None:
    values.require(condition, message)


def _section(raw: Mapping[str, Any], name: str, kind: type, path: Path) -> Iterator[tuple[Any, Any]]:
    with located(path, name):
        _need(isinstance(raw[name], kind) and bool(raw[name]), "a filled section is needed")
    return iter(raw[name].items() if kind is dict else enumerate(raw[name], start=1))


def _rule(raw: Any, number: int, path: Path) -> Rule:
    where = f"rule {raw['id']!r}" if isinstance(raw, dict) and raw.get("id") else f"rule {number}"
    if isinstance(raw, dict) and isinstance(raw.get("looks_for"), list):
        raw = raw | {"looks_for": [{"words": one} if isinstance(one, str) else one for one in raw["looks_for"]]}
    return _made(Rule, raw, path, where)


def _made(kind: type[T], raw: Any, path: Path, where: str) -> T:
    with located(path, where):
        _need(isinstance(raw, dict), "fields are needed")
        missing = [one.name for one in dataclasses.fields(kind)  # type: ignore[arg-type]
                   if one.default is one.default_factory is dataclasses.MISSING and one.name not in raw]  # fmt: skip
        _need(not missing, f"{' and '.join(missing)} is missing")
        return values.build(kind, raw)
