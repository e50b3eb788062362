"""MiniLM's net: token numbers in, sentence embeddings out; the net behind ``text.py``.

Input: token numbers int64 [B, T]. Output: float32 [B, 384], each row of length one.
A BERT encoder (Devlin et al., arXiv:1810.04805) of six layers, the mean over tokens, and L2 normalisation, as
sentence-transformers' all-MiniLM-L6-v2 has them. Parameters keep the published names.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from streammm.encoders.shapes import TEXT_FEATURES

_NUM_TOKENS = 30_522
_NUM_POSITIONS = 512
_NUM_LAYERS = 6
_NUM_HEADS = 12
_NUM_WIDE = 1536
_EPS = 1e-12


class SentenceBert(nn.Module):
    """Sentence embeddings of texts that are all of one length, so that nothing is padded and nothing masked.

    Shape:
        - tokens: int64 [B, T], T at most 256
        - output: float32 [B, 384], L2 norm 1
    """

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = nn.ModuleDict(
            {
                "word_embeddings": nn.Embedding(_NUM_TOKENS, TEXT_FEATURES),
                "position_embeddings": nn.Embedding(_NUM_POSITIONS, TEXT_FEATURES),
                "token_type_embeddings": nn.Embedding(2, TEXT_FEATURES),
                "LayerNorm": nn.LayerNorm(TEXT_FEATURES, eps=_EPS),
            }
        )
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(_Layer() for _ in range(_NUM_LAYERS))})

    def forward(self, tokens: Tensor) -> Tensor:
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        kinds = torch.zeros_like(tokens)
        x = self.embeddings["word_embeddings"](tokens) + self.embeddings["position_embeddings"](positions)
        x = self.embeddings["LayerNorm"](x + self.embeddings["token_type_embeddings"](kinds))
        for layer in self.encoder["layer"].children():
            x = layer(x)
        return functional.normalize(x.float().mean(1), dim=-1)


class _Layer(nn.Module):
    """Self-attention and a two-layer net, each added to its input and normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.ModuleDict({"self": _SelfAttention(), "output": _AddAndNorm(TEXT_FEATURES)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(TEXT_FEATURES, _NUM_WIDE)})
        self.output = _AddAndNorm(_NUM_WIDE)

    def forward(self, x: Tensor) -> Tensor:
        x = self.attention["output"](self.attention["self"](x), x)
        y: Tensor = self.output(functional.gelu(self.intermediate["dense"](x)), x)
        return y


class _SelfAttention(nn.Module):
    """Every token looks at every other, with twelve heads."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(TEXT_FEATURES, TEXT_FEATURES)
        self.key = nn.Linear(TEXT_FEATURES, TEXT_FEATURES)
        self.value = nn.Linear(TEXT_FEATURES, TEXT_FEATURES)

    def forward(self, x: Tensor) -> Tensor:
        num_texts, num_tokens, _ = x.shape
        query, key, value = (
            dense(x).view(num_texts, num_tokens, _NUM_HEADS, -1).transpose(1, 2)
            for dense in (self.query, self.key, self.value)
        )
        return functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(x.shape)


class _AddAndNorm(nn.Module):
    """Bring x to the width of the shortcut, add them, normalise."""

    def __init__(self, channels_in: int) -> None:
        super().__init__()
        self.dense = nn.Linear(channels_in, TEXT_FEATURES)
        self.LayerNorm = nn.LayerNorm(TEXT_FEATURES, eps=_EPS)

    def forward(self, x: Tensor, shortcut: Tensor) -> Tensor:
        y: Tensor = self.LayerNorm(self.dense(x) + shortcut)
        return y
