"""Names of media in a file of labels -> files below a folder.

Labels come from other machines: with paths of those, with addresses, without suffixes, as ids of a platform. A name
never leads outside of the folder, since it is only compared with what is there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

from streammm.errors import ConfigError

_NOT_MEDIA = frozenset(
    ".ass .bmp .csv .eaf .gif .htm .html .jpeg .jpg .json .jsonl .lrc .md .npy .npz .parquet .pfsx .png .pt .sbv .srt "
    ".ssa .sub .tsv .ttml .txt .vtt .webp .xml .yaml .yml".split()
)
"""What lies beside media under the same name: captions, labels, thumbnails, features."""

_SUFFIX = re.compile(r"\.(?=\w*[A-Za-z])\w{2,5}")


class MediaFiles:
    """The files below a folder; or one file, where that is given.

    Raises:
        ConfigError: there is no such folder.
    """

    def __init__(self, media: Path) -> None:
        if not media.exists():
            raise ConfigError(f"{media}: there is no such folder of media")
        self.media = media
        self._by_name: dict[str, list[tuple[str, ...]]] = {}
        self._by_stem: dict[str, list[tuple[str, ...]]] = {}
        self._found: dict[str, str | None] = {}
        for parts in files_below(media):
            self._by_name.setdefault(parts[-1], []).append(parts)
            self._by_stem.setdefault(PurePosixPath(parts[-1]).stem, []).append(parts)

    def find(self, name: str) -> str | None:
        """The file that a name means: of that file name, else of that stem, else of its stem; None if there is none.

        Of several, the one whose folders agree with the most of the name's.

        Raises:
            ConfigError: several fit alike.
        """
        if name not in self._found:
            self._found[name] = self._search(name)
        return self._found[name]

    def _search(self, name: str) -> str | None:
        parts = _parts(name)
        if not parts:
            return None
        last = parts[-1]
        candidates = self._by_name.get(last) or self._by_stem.get(last)
        if not candidates and _SUFFIX.fullmatch(PurePosixPath(last).suffix):
            candidates = self._by_stem.get(PurePosixPath(last).stem)
        if not candidates:
            return None
        agreeing = [_num_agreeing(parts[:-1], candidate[:-1]) for candidate in candidates]
        best = [c for c, number in zip(candidates, agreeing, strict=True) if number == max(agreeing)]
        if len(best) > 1:
            # A name that is a path from the folder itself says all there is to say.
            best = [c for c in best if c[:-1] == tuple(parts[:-1])] or best
        if len(best) > 1:
            raise ConfigError(f"{name!r} could be {'/'.join(best[0])} or {'/'.join(best[1])} below {self.media}")
        return str(self.media if self.media.is_file() else self.media.joinpath(*best[0]))


def files_below(media: Path) -> list[tuple[str, ...]]:
    """The media below a folder, each as the folders that lead to it and its name; of a file that file alone."""
    if media.is_file():
        return [(media.name,)]
    found: list[tuple[str, ...]] = []
    for folder, folders, names in os.walk(media):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        above = Path(folder).relative_to(media).parts
        found += [(*above, name) for name in sorted(names) if _is_media(name)]
    return found


def _is_media(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() not in _NOT_MEDIA


def _parts(name: str) -> list[str]:
    """The folders and the file name in a path of any system, a ``file:`` or web address."""
    if "://" in name:
        address = urlsplit(name)
        name = unquote(address.path)
    elif name.startswith("/data/local-files/?"):  # how Label Studio writes files of its own machine
        name = parse_qs(urlsplit(name).query).get("d", [""])[0]
    return [part for part in name.strip().replace("\\", "/").split("/") if part not in ("", ".", "..")]


def _num_agreeing(wanted: Sequence[str], there: Sequence[str]) -> int:
    number = 0
    for one, other in zip(reversed(wanted), reversed(there), strict=False):
        if one != other:
            break
        number += 1
    return number
