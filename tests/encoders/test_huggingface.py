"""Models of transformers, tiny ones with weights made up, saved to a folder and named in the configuration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchaudio
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch.nn import functional

from streammm.building.decoding import decode_options
from streammm.building.identity import identity
from streammm.errors import ConfigError, StreammmError
from streammm.types import Segment
from tests.encoders.test_families import assert_close, check, configured, made, normalised, pictures, sounds

MakeSegment = Callable[..., Segment]

LAYERS = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
MEAN, STD = [0.48, 0.46, 0.41], [0.27, 0.26, 0.28]


def saved(folder: Path, *parts: Any) -> Path:
    for part in parts:
        part.save_pretrained(folder)
    return folder


def tokenizer() -> Any:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "dog", "barks", "cat"]
    made_of = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, "[UNK]"))
    made_of.pre_tokenizer = pre_tokenizers.Whitespace()
    made_of.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made_of, pad_token=words[0], unk_token=words[1], model_max_length=16
    )


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    text = {**LAYERS, "vocab_size": 8, "max_position_embeddings": 16, "eos_token_id": 3, "bos_token_id": 2}
    vision = {**LAYERS, "image_size": 32, "patch_size": 8}
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=24)
    processor = transformers.CLIPImageProcessor(
        size={"shortest_edge": 40}, crop_size={"height": 32, "width": 32}, image_mean=MEAN, image_std=STD
    )
    return saved(tmp_path_factory.mktemp("clip"), transformers.CLIPModel(config), processor, tokenizer())


def test_both_towers_of_clip(clip: Path, make_segment: MakeSegment) -> None:
    net = transformers.CLIPModel.from_pretrained(clip).eval()
    options = decode_options(configured("video", f"hf:{clip}"))
    assert (options.shorter_side, options.crop) == (40, 32)
    frames = pictures(3, 1, side=32)
    seen = check(made("video", f"hf:{clip}"), [*(make_segment(f) for f in frames), make_segment()])
    reader = made("text", f"hf:{clip}")
    texts = ["a dog barks", "a cat", "dog " * 40]
    read = check(reader, [*(make_segment(words=text) for text in texts), make_segment()])
    with torch.inference_mode():
        vectors = net.get_image_features(normalised(frames[0], MEAN, STD)).pooler_output.mean(0)
        words = net.get_text_features(torch.tensor([[2, 4, 5, 6, 3]])).pooler_output
    assert_close(seen.vectors[0], vectors)
    assert_close(read.vectors[0], words[0])
    assert_close(reader.embed(["a dog barks", "a cat"])[0], functional.normalize(words)[0])  # type: ignore[attr-defined]
    assert seen.vectors.shape[1] == read.vectors.shape[1] == 24


def test_siglip_reads_texts_that_are_filled_up(tmp_path: Path, make_segment: MakeSegment) -> None:
    torch.manual_seed(0)
    config = transformers.SiglipConfig(
        text_config={**LAYERS, "vocab_size": 8, "max_position_embeddings": 16},
        vision_config={**LAYERS, "image_size": 32, "patch_size": 8},
    )
    processor = transformers.SiglipImageProcessor(size={"height": 32, "width": 32})
    net = transformers.SiglipModel(config).eval()
    saved(tmp_path, net, processor, tokenizer())
    frames = pictures(2, side=32)[0]
    seen = check(made("video", f"hf:{tmp_path}"), [make_segment(frames), make_segment()])
    read = check(made("text", f"hf:{tmp_path}"), [make_segment(words="a dog"), make_segment()])
    with torch.inference_mode():
        vectors = net.get_image_features(normalised(frames, [0.5] * 3, [0.5] * 3)).pooler_output.mean(0)
        words = net.get_text_features(torch.tensor([[2, 4, 5, 3, *[0] * 12]])).pooler_output
    assert_close(seen.vectors[0], vectors)
    assert_close(read.vectors[0], words[0])


def test_a_classifier_of_pictures(tmp_path: Path, make_segment: MakeSegment) -> None:
    torch.manual_seed(0)
    config = transformers.ViTConfig(**LAYERS, image_size=32, patch_size=8, id2label={0: "cat", 1: "dog", 2: "bird"})
    net = transformers.ViTForImageClassification(config).eval()
    saved(tmp_path, net, transformers.ViTImageProcessor(size={"height": 32, "width": 32}))
    encoder = made("video", f"hf:{tmp_path}")
    assert encoder.classes == ("cat", "dog", "bird")
    frames = pictures(2, side=32)[0]
    result = check(encoder, [make_segment(frames), make_segment()])
    with torch.inference_mode():
        x = normalised(frames, [0.5] * 3, [0.5] * 3)
        assert_close(result.tags[0], net(x).logits.softmax(-1).mean(0))
        assert_close(result.vectors[0], net.vit(x).last_hidden_state[:, 0].mean(0))


def test_videomae_looks_at_clips(tmp_path: Path, make_segment: MakeSegment) -> None:
    torch.manual_seed(0)
    config = transformers.VideoMAEConfig(**LAYERS, image_size=32, patch_size=16, num_frames=8, use_mean_pooling=True)
    net = transformers.VideoMAEModel(config).eval()
    processor = transformers.VideoMAEImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}, image_mean=MEAN, image_std=STD
    )
    saved(tmp_path, net, processor)
    frames = pictures(4, 1, side=32)
    result = check(made("video", f"hf:{tmp_path}"), [*(make_segment(f) for f in frames), make_segment()])
    with torch.inference_mode():
        clip = normalised(frames[0], MEAN, STD).repeat_interleave(2, 0)[None]
        assert_close(result.vectors[0], net(clip).last_hidden_state.mean(1)[0])


def test_whisper_listens_to_the_stretch_that_was_heard(tmp_path: Path, make_segment: MakeSegment) -> None:
    torch.manual_seed(0)
    sizes = {"d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 4, "encoder_ffn_dim": 48}
    config = transformers.WhisperConfig(
        **sizes, decoder_layers=1, decoder_attention_heads=4, decoder_ffn_dim=48, vocab_size=8, num_mel_bins=80,
        max_source_positions=200, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
    )  # fmt: skip
    extractor = transformers.WhisperFeatureExtractor(chunk_length=4)
    net = transformers.WhisperModel(config).eval()
    saved(tmp_path, net, extractor)
    waveforms = sounds(32_000, 9_999, 80_000)
    encoder = made("audio", f"hf:{tmp_path}")
    result = check(encoder, [*(make_segment(waveform=w) for w in waveforms), make_segment()])
    for waveform, vector in zip(waveforms[:2], result.vectors, strict=False):
        mels = extractor(waveform, sampling_rate=16_000, return_tensors="pt")["input_features"]
        heard = -(-(len(waveform) + 200) // 320)
        with torch.inference_mode():
            assert_close(vector, net.encoder(mels).last_hidden_state[0, :heard].mean(0))
    halves = encoder.encode([make_segment(waveform=waveforms[2][start:][:40_000]) for start in (0, 40_000)])
    assert_close(result.vectors[2], halves.vectors.mean(0))  # 5 s are more than it takes


def test_ast_scores_sounds(tmp_path: Path, make_segment: MakeSegment) -> None:
    torch.manual_seed(0)
    labels = {i: f"sound {i}" for i in range(3)}
    config = transformers.ASTConfig(
        **LAYERS, patch_size=16, max_length=64, num_mel_bins=32, id2label=labels,
        problem_type="multi_label_classification",
    )  # fmt: skip
    net = transformers.ASTForAudioClassification(config).eval()
    extractor = transformers.ASTFeatureExtractor(max_length=64, num_mel_bins=32)
    saved(tmp_path, net, extractor)
    encoder = made("audio", f"hf:{tmp_path}")
    waveforms = sounds(8_000, 30_000, 10)
    result = check(encoder, [*(make_segment(waveform=w) for w in waveforms), make_segment()])
    values = extractor(waveforms[0], sampling_rate=16_000, return_tensors="pt")["input_values"]
    with torch.inference_mode():
        assert_close(result.tags[0], net(values).logits[0].sigmoid())
    assert encoder.classes == ("sound 0", "sound 1", "sound 2")


def test_clap_listens_at_its_own_rate(tmp_path: Path, make_segment: MakeSegment) -> None:
    torch.manual_seed(0)
    audio = {
        "hidden_size": 32, "patch_embeds_hidden_size": 16, "depths": [1, 1], "num_attention_heads": [2, 2],
        "spec_size": 64, "num_mel_bins": 16, "patch_size": 4, "patch_stride": [4, 4], "window_size": 4,
        "enable_fusion": False, "num_hidden_layers": 2, "projection_dim": 24,
    }  # fmt: skip
    text = {**LAYERS, "vocab_size": 8, "max_position_embeddings": 18, "pad_token_id": 0, "projection_dim": 24}
    config = transformers.ClapConfig(audio_config=audio, text_config=text, projection_dim=24)
    extractor = transformers.ClapFeatureExtractor(
        feature_size=16, sampling_rate=48_000, max_length_s=2, truncation="rand_trunc", padding="repeatpad"
    )
    net = transformers.ClapModel(config).eval()
    saved(tmp_path, net, extractor, tokenizer())
    waveforms = sounds(24_000, 48_000)
    result = check(made("audio", f"hf:{tmp_path}"), [*(make_segment(waveform=w) for w in waveforms), make_segment()])
    assert result.vectors.shape[1] == 24
    wide = torchaudio.functional.resample(torch.from_numpy(waveforms[0]), 16_000, 48_000).numpy()
    mels = extractor(wide, sampling_rate=48_000, return_tensors="pt")["input_features"]
    with torch.inference_mode():
        vectors = net.get_audio_features(mels, torch.zeros(1, 1, dtype=torch.bool)).pooler_output
    assert_close(result.vectors[0], vectors[0])
    read = check(made("text", f"hf:{tmp_path}"), [make_segment(words="a dog"), make_segment()])
    assert read.vectors.shape[1] == 24


def test_wav2vec2_is_the_mean_over_time(tmp_path: Path, make_segment: MakeSegment) -> None:
    torch.manual_seed(0)
    config = transformers.Wav2Vec2Config(**LAYERS, conv_dim=(16,) * 4, conv_kernel=(10, 8, 4, 4),
        conv_stride=(5, 4, 4, 4), num_feat_extract_layers=4, num_conv_pos_embedding_groups=4, vocab_size=8,
    )  # fmt: skip
    net = transformers.Wav2Vec2Model(config).eval()
    extractor = transformers.Wav2Vec2FeatureExtractor()
    saved(tmp_path, net, extractor)
    waveforms = sounds(32_000, 50)
    result = check(made("audio", f"hf:{tmp_path}"), [*(make_segment(waveform=w) for w in waveforms), make_segment()])
    values = extractor(waveforms[0], sampling_rate=16_000, return_tensors="pt")["input_values"]
    with torch.inference_mode():
        assert_close(result.vectors[0], net(values).last_hidden_state[0].mean(0))


@pytest.fixture
def sentences(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    config = transformers.BertConfig(**LAYERS, vocab_size=8, max_position_embeddings=16)
    return saved(tmp_path, transformers.BertModel(config, add_pooling_layer=False), tokenizer())


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_sentence_transformer_pools_as_it_says(sentences: Path, make_segment: MakeSegment, pooling: str) -> None:
    if pooling == "cls":
        modules = '[{"path": "", "type": "sentence_transformers.models.Transformer"}, '
        modules += '{"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]'
        (sentences / "modules.json").write_text(modules)
        (sentences / "1_Pooling").mkdir()
        (sentences / "1_Pooling/config.json").write_text('{"pooling_mode_cls_token": true}')
    encoder = made("text", f"hf:{sentences}")
    texts = ["a dog barks", "cat", "dog " * 40]
    result = check(encoder, [*(make_segment(words=text) for text in texts), make_segment()])
    net = transformers.BertModel.from_pretrained(sentences, add_pooling_layer=False).eval()
    with torch.inference_mode():
        states = net(torch.tensor([[2, 4, 5, 6, 3]])).last_hidden_state[0]
    wanted = states.mean(0) if pooling == "mean" else states[0]
    assert_close(result.vectors[0], functional.normalize(wanted, dim=0))
    assert_close(encoder.embed(["cat"], keep=True), result.vectors[1:2])  # type: ignore[attr-defined]


def test_what_would_make_weights_up_or_run_code_is_refused(sentences: Path, clip: Path) -> None:
    before = identity(configured("text", f"hf:{sentences}"))[f"weights of hf:{sentences}"]
    (sentences / "modules.json").write_text('[{"path": "", "type": "x.Transformer"}, {"path": "2", "type": "x.Dense"}]')
    with pytest.raises(ConfigError, match="a sentence transformer with Dense cannot be run"):
        made("text", f"hf:{sentences}")
    assert identity(configured("text", "minilm"))  # the others are as they were
    (sentences / "modules.json").unlink()
    assert identity(configured("text", f"hf:{sentences}"))[f"weights of hf:{sentences}"] == before
    config = transformers.BertConfig.from_pretrained(sentences)
    config.num_hidden_layers = 3
    config.save_pretrained(sentences)
    with pytest.raises(ConfigError, match=r"the weights lack encoder.layer.2"):
        made("text", f"hf:{sentences}")
    torch.save({}, sentences / "pytorch_model.bin")
    (sentences / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"safetensors"):
        made("text", f"hf:{sentences}")

    (sentences / "own.py").write_text("raise SystemExit('ran')")
    (sentences / "config.json").write_text('{"model_type": "own", "auto_map": {"AutoConfig": "own.Config"}}')
    with pytest.raises(StreammmError, match=r"models come from huggingface.co or a folder"):
        made("text", f"hf:{sentences}")
