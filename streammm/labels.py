"""Labels as a user gives them: words, or words with what is looked for in their place -> one checked mapping.

``applause`` alone is looked up by its own words. With more to say it is a mapping:

    applause: {phrases: [people clapping, a crowd cheering], not: [rain], threshold: 0.4}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from streammm.errors import ConfigError
from streammm.types import Modality

DEFAULT_THRESHOLD = 0.4
"""Labels share the score, and two that are there at once have just under a half each."""

_MAX_CHARACTERS = 200
"""A label is a few words; text of this length is a file read by mistake."""

_MOST_PHRASES = 100


def _words(text: str) -> str:
    """A text without outer and double blanks."""
    clean = " ".join(text.split())
    if not clean:
        raise ValueError("a label must not be empty")
    if len(clean) > _MAX_CHARACTERS:
        raise ValueError(f"a label has at most {_MAX_CHARACTERS} characters, not {len(clean)}")
    return clean


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Words = Annotated[str, AfterValidator(_words)]
Phrases = Annotated[tuple[Words, ...], BeforeValidator(_listed), Field(max_length=_MOST_PHRASES)]


class Label(BaseModel):
    """What is known of one label; all of it may be left out.

    ``phrases`` are looked for in place of the label's name, which then may be in any language: any of them is the
    label. ``not`` are phrases of what it is taken for: where one fits better, the label loses its score. ``threshold``
    is the score from which the label counts as there. ``bias`` is added to the label's logits in each modality, and is
    what `streammm calibrate` finds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    phrases: Phrases = ()
    rivals: Annotated[Phrases, Field(alias="not")] = ()
    threshold: Annotated[float, Field(gt=0, le=1)] | None = None
    bias: dict[Modality, Annotated[float, Field(ge=-100, le=100)]] = {}

    def to_plain(self) -> dict[str, Any]:
        """What of it is set, as plain JSON types which `plain_labels` takes back."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def plain_labels(value: Any) -> Any:
    """Labels in any of the ways to write them, as a mapping from names to what `Label` takes.

    A text separated by commas; a list, in which each is a name or a mapping from one name; or a mapping. What is said
    of a name is nothing, a phrase or a list of them, or a mapping. A name that comes again, whatever its case, is left
    out if nothing is said of it.

    Raises:
        ValueError: it is none of these.
    """
    if value is None or (isinstance(value, Mapping) and all(isinstance(v, Label) for v in value.values())):
        return value
    if isinstance(value, str):
        value = value.split(",")
    found: dict[str, Any] = {}
    names: dict[str, str] = {}
    for name, about in _entries(value):
        if not isinstance(name, str):
            raise ValueError(f"a label is a text; put {name!r} in quotes")
        clean = _words(name)
        known = names.setdefault(clean.casefold(), clean)
        if known not in found or not found[known]:
            found[known] = (
                {"phrases": about} if isinstance(about, str | list | tuple) else {} if about is None else about
            )
        elif about:
            raise ValueError(f"the label {clean!r} is there twice")
    return found


def _entries(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        return value.items()
    if not isinstance(value, Iterable):
        raise ValueError("labels are a text, a list or a mapping")
    return [next(iter(v.items())) if isinstance(v, Mapping) and len(v) == 1 else (v, None) for v in value]


def listed_labels(labels: Mapping[str, Label] | None) -> Any:
    """The labels as plain JSON types: a list of names where nothing is said of any, else a mapping."""
    if labels is None:
        return None
    plain = {name: label.to_plain() for name, label in labels.items()}
    return plain if any(plain.values()) else list(plain)


def labels_of(value: Any) -> dict[str, Label]:
    """Labels in any of the ways to write them, checked.

    Raises:
        ConfigError: there is none, or one that cannot be meant.
    """
    try:
        found = {
            name: label if isinstance(label, Label) else Label.model_validate(label)
            for name, label in plain_labels(value).items()
        }
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"labels: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except ValueError as error:
        raise ConfigError(f"labels: {error}, got {value!r:.100}") from error
    if not found:
        raise ConfigError(f"at least one label is needed, got {value!r:.100}")
    return found
