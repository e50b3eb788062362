"""The text encoder: what is shown or said in, a sentence embedding out.

It also embeds the names and definitions of classes, against which the vocabulary compares its labels.
"""

from __future__ import annotations

import functools
import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from streammm.encoders.base import present, spread
from streammm.encoders.cache import cached
from streammm.encoders.openvino_cpu import code_digest
from streammm.encoders.placement import Placement
from streammm.encoders.runtime import Compiled, compile_net
from streammm.encoders.shapes import MAX_TOKENS, TEXT_FEATURES
from streammm.encoders.weights import MINILM_FILE, MINILM_TOKENIZER_FILE, MODELS
from streammm.errors import EncodeError
from streammm.types import Embeddings, Modality, Segment

if TYPE_CHECKING:
    from streammm.encoders.bert import SentenceBert
    from streammm.encoders.net import NetEncoder

MAX_REMEMBERED_TEXTS = 1024


class MiniLM:
    """all-MiniLM-L6-v2 over the text of a segment; ``vectors`` have length one, and there are no tags.

    A text is cut off after 256 tokens, as the published model does. The net is read with the first text that is not
    in the cache: many sources have none, and the labels of the last run are there.
    """

    name = "minilm"
    modality: Modality = "text"
    dim = TEXT_FEATURES
    classes: tuple[str, ...] = ()

    def __init__(
        self,
        *,
        runtime: str = "auto",
        device: str = "auto",
        precision: str = "auto",
        threads: int = 1,
        torch_compile: bool = False,
    ) -> None:
        self.placement = Placement(runtime, device, precision, threads, torch_compile)
        self._is_set_up = False
        self._recent: OrderedDict[str, npt.NDArray[np.float32]] = OrderedDict()

    def setup(self) -> None:
        if self._is_set_up:
            return
        for path in MODELS[self.name].files:
            MODELS[self.name].find(path)
        self.placement = self.placement.resolved()
        self._is_set_up = True

    @functools.cached_property
    def _tokenizer(self) -> Tokenizer:
        return _make_tokenizer()

    @functools.cached_property
    def _run(self) -> Compiled:
        MODELS[self.name].file(MINILM_FILE)  # it must be the right one even where a converted copy of the net is
        return compile_net(
            _make_net,
            np.array([self._tokenizer.encode("hello").ids], np.int64),
            self.placement,
            key=MODELS[self.name].files[MINILM_FILE] + code_digest("streammm.encoders.bert"),
            num_free_axes=2,
        )

    def encode(self, segments: Sequence[Segment]) -> Embeddings:
        rows = present(segments, self.modality)
        texts = [segment.text.strip() for segment, is_present in zip(segments, rows, strict=True) if is_present]
        new = [text for text in dict.fromkeys(texts) if text not in self._recent]
        found = {text: self._recent[text] for text in texts if text in self._recent}
        found.update(zip(new, self.embed(new), strict=True))
        for text in texts:
            self._recent[text] = found[text]
            self._recent.move_to_end(text)
        while len(self._recent) > MAX_REMEMBERED_TEXTS:
            self._recent.popitem(last=False)
        vectors = np.array([found[text] for text in texts], np.float32).reshape(-1, TEXT_FEATURES)
        return spread(self.modality, rows, vectors, np.zeros((len(texts), 0), np.float32))

    def embed(self, texts: Sequence[str], *, keep: bool = False) -> npt.NDArray[np.float32]:
        """Embeddings of texts: float32 [N, 384], each row of length one, whatever the order.

        Args:
            keep: keep the result in the user's cache; for long lists that are the same at every start.

        Raises:
            EncodeError: ``setup`` was not called, or the runtime failed.
        """
        if not self._is_set_up:
            raise EncodeError(f"{self.name}: embed was called before setup")
        if not keep:
            return self._embed(texts)
        key = [MODELS[self.name].files[MINILM_FILE], self.placement.runtime, self.placement.precision, *texts]
        digest = hashlib.sha256("\0".join(key).encode()).hexdigest()
        return cached("texts", digest, lambda: {"vectors": self._embed(texts)})["vectors"]

    def _embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        if not self._is_set_up:
            raise EncodeError(f"{self.name}: embed was called before setup")
        different = list(dict.fromkeys(texts))
        by_length: dict[int, dict[str, npt.NDArray[np.int64]]] = {}
        for text, encoding in zip(different, self._tokenizer.encode_batch(different), strict=True):
            by_length.setdefault(len(encoding), {})[text] = np.array([encoding.ids], np.int64)
        found: dict[str, npt.NDArray[np.float32]] = {}
        for tokens in by_length.values():  # nothing is padded: that would change the sums
            found.update({text: row for text, ((row,),) in zip(tokens, self._run(list(tokens.values())), strict=True)})
        return np.array([found[text] for text in texts], np.float32).reshape(-1, TEXT_FEATURES)

    def tunable(self) -> NetEncoder:
        """The same net as one that can be trained further."""
        import torch

        from streammm.encoders.net import NetEncoder, Recipe

        tokenizer = _make_tokenizer()
        recipe = Recipe(
            name=self.name,
            modality=self.modality,
            make_net=_make_net,
            items=lambda segment: torch.tensor([tokenizer.encode(segment.text.strip()).ids]),
            examples=[torch.tensor([tokenizer.encode("hello").ids])],
            identity=tuple(MODELS[self.name].files.values()),
            num_free_axes=2,
        )
        return NetEncoder(recipe, self.placement)


def _make_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(MODELS[MiniLM.name].file(MINILM_TOKENIZER_FILE)))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    return tokenizer


def _make_net() -> SentenceBert:
    from safetensors.torch import load_file

    from streammm.encoders.bert import SentenceBert

    path = MODELS[MiniLM.name].file(MINILM_FILE)
    state = {name.removeprefix("bert."): tensor for name, tensor in load_file(path).items()}
    net = SentenceBert()
    net.load_state_dict({name: state[name] for name in net.state_dict()}, assign=True)
    return net
