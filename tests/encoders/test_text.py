"""MiniLM against transformers, and what its embeddings are good for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from torch.nn import functional
from transformers import BertConfig, BertModel

from streammm.encoders import text
from streammm.encoders.text import MiniLM
from streammm.encoders.weights import MINILM_FILE, MINILM_TOKENIZER_FILE, MODELS
from streammm.errors import EncodeError
from streammm.types import Segment, Status

TEXTS = [
    "a man plays the guitar on stage",
    "Dog",
    "naïve café, 日本語 & co.",
    "tench, Tinca tinca: freshwater dace-like game fish of Europe and western Asia",
    "someone is making music with a guitar",
    "cat",
    "the stock market fell",
    "Dog",
]


@pytest.fixture(scope="module", params=["torch", "openvino"])
def encoder(request: pytest.FixtureRequest) -> MiniLM:
    encoder = MiniLM(runtime=request.param, device="cpu")
    encoder.setup()
    return encoder


def test_same_numbers_as_transformers(encoder: MiniLM) -> None:
    model = MODELS["minilm"]
    folder = model.file(MINILM_FILE).parent
    net = BertModel.from_pretrained(folder, config=BertConfig.from_pretrained(folder), local_files_only=True).eval()
    tokenizer = Tokenizer.from_file(str(model.file(MINILM_TOKENIZER_FILE)))
    tokenizer.enable_padding()
    batch = tokenizer.encode_batch(TEXTS)
    mask = torch.tensor([encoding.attention_mask for encoding in batch])
    with torch.inference_mode():
        tokens = net(torch.tensor([encoding.ids for encoding in batch]), attention_mask=mask).last_hidden_state
    means = (tokens * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    np.testing.assert_allclose(encoder.embed(TEXTS), functional.normalize(means).numpy(), atol=1e-5)


def test_rows_have_length_one_and_do_not_depend_on_order_or_company(encoder: MiniLM) -> None:
    vectors = encoder.embed(TEXTS)
    assert vectors.shape == (8, 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(vectors[1], vectors[7])
    np.testing.assert_array_equal(encoder.embed(TEXTS[::-1]), vectors[::-1])
    alone = np.concatenate([encoder.embed([one]) for one in TEXTS])
    np.testing.assert_array_equal(alone, vectors)
    assert encoder.embed([]).shape == (0, 384)


def test_near_in_meaning_is_near_in_space(encoder: MiniLM) -> None:
    vectors = encoder.embed(TEXTS)
    near = vectors @ vectors.T
    assert near[0].argsort()[-2] == 4
    assert near[1, 5] > near[1, 6] + 0.3


def test_a_text_is_cut_off_after_256_tokens(encoder: MiniLM) -> None:
    long = encoder.embed(["dog " * 254, "dog " * 254 + "cat " * 100, "dog " * 253])
    np.testing.assert_array_equal(long[0], long[1])
    assert np.abs(long[0] - long[2]).max() > 1e-5


def test_what_has_no_text_is_a_row_of_zeros(encoder: MiniLM, make_segment: Callable[..., Segment]) -> None:
    segments = [
        make_segment(),
        make_segment(words="   "),
        make_segment(words="a dog barks"),
        make_segment(words="a dog barks", text=Status.ABSENT),
        make_segment(words="a dog barks "),
    ]
    result = encoder.encode(segments)
    assert result.modality == "text"
    assert result.present.tolist() == [False, False, True, False, True]
    np.testing.assert_array_equal(result.vectors[[2, 4]], encoder.embed(["a dog barks"] * 2))
    assert not result.vectors[[0, 1, 3]].any()
    assert result.tags.shape == (5, 0)


def test_a_repeated_text_is_embedded_once_and_memory_is_bounded(
    make_segment: Callable[..., Segment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "MAX_REMEMBERED_TEXTS", 2)
    encoder = MiniLM(runtime="torch", device="cpu")
    encoder.setup()
    asked: list[str] = []
    embed = encoder.embed
    monkeypatch.setattr(encoder, "embed", lambda texts: asked.extend(texts) or embed(texts))
    for words in (["a", "b", "a"], ["b"], ["a", "c"], ["b", "a"], ["c"]):
        result = encoder.encode([make_segment(words=w) for w in words])
        np.testing.assert_array_equal(result.vectors, embed(words))
    assert asked == ["a", "b", "c", "b", "c"]


def test_kept_embeddings_are_read_and_not_computed(encoder: MiniLM, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = encoder.embed(TEXTS, keep=True)
    np.testing.assert_array_equal(expected, encoder.embed(TEXTS))
    monkeypatch.setattr(encoder, "_embed", lambda texts: pytest.fail("computed again"))
    np.testing.assert_array_equal(encoder.embed(TEXTS, keep=True), expected)


def test_a_forgotten_setup_is_an_error(make_segment: Callable[..., Segment]) -> None:
    with pytest.raises(EncodeError, match="before setup"):
        MiniLM().encode([make_segment(words="a")])
