"""Addresses as text: what they are, and what of them may be shown."""

import pytest

from streammm.errors import SourceError
from streammm.media.address import expand_secrets, in_store, is_address, is_file, may_go_on, public_name, redact, scheme


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
    ("source", "is_stored", "is_one"),
    [
        ("s3://bucket/a.mp4", True, True),
        ("abfs://box@account.dfs.core.windows.net/a.mp4", True, True),
        ("a.mp4", False, True),
        ("https://host/a.mp4", False, False),
        ("rtsp://camera/1", False, False),
        ("zip://a.mp4::s3://bucket/a.zip", False, False),
        ("file:///etc/passwd", False, False),
        ("-", False, False),
    ],
)
def test_files_are_told_from_what_may_go_on(source: str, is_stored: bool, is_one: bool) -> None:
    assert (in_store(source), is_file(source)) == (is_stored, is_one)


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("sftp://me:pa55@host:22/a@b.mp4", "sftp://me:***@host:22/a@b.mp4"),
        ("sftp://me:p@ss@host/a.mp4", "sftp://me:***@host/a.mp4"),
        ("sftp://me:${PASSWORD}@host/a.mp4", "sftp://me:${PASSWORD}@host/a.mp4"),
        ("sftp://me@host:22/a.mp4", "sftp://me@host:22/a.mp4"),
        ("abfs://box@account.dfs.core.windows.net/a.mp4", "abfs://box@account.dfs.core.windows.net/a.mp4"),
        ("s3://bucket/a:b@c.mp4", "s3://bucket/a:b@c.mp4"),
        ("s3://bucket/a?token=1.mp4", "s3://bucket/a?token=1.mp4"),
    ],
)
def test_of_a_file_in_a_store_only_the_password_is_not_shown(source: str, shown: str) -> None:
    assert public_name(source) == shown


def test_whoever_names_a_file_does_not_get_at_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hush")
    assert expand_secrets("sftp://me:${SECRET}@host/${SECRET}.mp4") == "sftp://me:hush@host/${SECRET}.mp4"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("rtsp://camera/1", True),
        ("/dev/video0", True),
        ("-", True),
        ("https://host/a/live.m3u8?token=x", True),
        ("https://host/a.mp4", False),
        ("a.m3u8", False),
        ("s3://bucket/a.m3u8", False),
        ("a.mp4", False),
    ],
)
def test_a_source_that_may_have_no_end_is_known_by_its_name(source: str, expected: bool) -> None:
    assert may_go_on(source) is expected


def test_a_name_that_is_no_text_can_be_shown() -> None:
    assert public_name(b"a\xff.mp4".decode(errors="surrogateescape")) == "a\\udcff.mp4"
