"""Addresses as text: what they are, and what of them may be shown."""

import pytest

from streammm.errors import SourceError
from streammm.media.address import expand_secrets, is_address, may_go_on, public_name, redact, scheme


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("rtsp://cam/1", "rtsp"),
        ("HTTPS://host/a.m3u8", "https"),
        ("-", "pipe"),
        ("/dev/video0", "v4l2"),
        ("udp://@:5000", "udp"),
    ],
)
def test_addresses_are_told_from_paths(source: str, kind: str) -> None:
    assert is_address(source)
    assert scheme(source) == kind


@pytest.mark.parametrize("source", ["a.mp4", "12:30:00.mp4", "/dev/videos/a.mp4", "dir/a b.mkv", "C:/a.mp4", "--"])
def test_everything_else_is_a_path(source: str) -> None:
    assert not is_address(source)
    assert public_name(source) == source


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("rtsp://user:pa55@cam:554/live", "rtsp://***@cam:554/live"),
        ("rtsp://user:p@ss@cam/live", "rtsp://***@cam/live"),
        ("https://h/a.m3u8?Signature=abc&x=1&api_key=k", "https://h/a.m3u8?Signature=***&x=1&api_key=***"),
        ("rtmp://h/live?streamkey=abc", "rtmp://h/live?streamkey=***"),
        ("srt://h:9000?passphrase=abc&latency=120", "srt://h:9000?passphrase=***&latency=120"),
        ("rtsp://${CAM_USER}:${CAM_PASSWORD}@cam/live", "rtsp://${CAM_USER}:${CAM_PASSWORD}@cam/live"),
        ("rtsp://cam/Streaming/Channels/101?channel=1", "rtsp://cam/Streaming/Channels/101?channel=1"),
    ],
)
def test_secrets_are_not_shown(source: str, shown: str) -> None:
    assert public_name(source) == shown
    assert public_name(shown) == shown
    assert redact(f"cannot open '{source}': no") == f"cannot open '{shown}': no"


def test_credentials_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAM_USER", "admin")
    monkeypatch.setenv("CAM_PASSWORD", "p@ss/word")
    assert expand_secrets("rtsp://${CAM_USER}:${CAM_PASSWORD}@cam/1") == "rtsp://admin:p%40ss%2Fword@cam/1"
    with pytest.raises(SourceError, match="CAM_TOKEN, which its address names, is not set"):
        expand_secrets("https://h/a?token=${CAM_TOKEN}")
    assert expand_secrets("${CAM_USER}.mp4") == "${CAM_USER}.mp4"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("rtsp://camera/1", True),
        ("/dev/video0", True),
        ("-", True),
        ("https://host/a/live.m3u8?token=x", True),
        ("https://host/a.mp4", False),
        ("a.m3u8", False),
        ("a.mp4", False),
    ],
)
def test_a_source_that_may_have_no_end_is_known_by_its_name(source: str, expected: bool) -> None:
    assert may_go_on(source) is expected


def test_a_name_that_is_no_text_can_be_shown() -> None:
    assert public_name(b"a\xff.mp4".decode(errors="surrogateescape")) == "a\\udcff.mp4"
