"""What was odd about an input, counted by kind and shown by example."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

_NUM_SHOWN = 3


def some(names: Iterable[str]) -> str:
    """The first few of many names, in words."""
    first = list(islice(names, _NUM_SHOWN + 1))
    return ", ".join(first[:_NUM_SHOWN]) + (", ..." if len(first) > _NUM_SHOWN else "")


class Notes:
    """Counts by kind; a kind is words that follow a number, such as ``rows have no label``."""

    def __init__(self) -> None:
        self._by_kind: dict[str, tuple[int, list[str]]] = {}
        self._said: list[str] = []

    def count(self, kind: str, example: str) -> None:
        """One more of a kind."""
        number, examples = self._by_kind.get(kind, (0, []))
        self._by_kind[kind] = number + 1, [*examples, example] if number <= _NUM_SHOWN else examples

    def say(self, sentence: str) -> None:
        """Something that is not counted."""
        self._said.append(sentence)

    def add(self, other: Notes) -> None:
        """All that another one holds."""
        self._said += other._said
        for kind, (number, examples) in other._by_kind.items():
            before, shown = self._by_kind.get(kind, (0, []))
            self._by_kind[kind] = before + number, (shown + examples)[: _NUM_SHOWN + 1]

    def sentences(self) -> Iterator[str]:
        """Each kind with its number and some examples."""
        yield from self._said
        for kind, (number, examples) in self._by_kind.items():
            yield f"{number} {kind}: {some(examples)}"
