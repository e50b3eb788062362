"""Every protocol from a real server: consecutive segments, sound and picture together."""

import socket
import statistics
from pathlib import Path

import pytest

from streammm.types import Status
from tests.live.conftest import Follower, assert_in_order, options, sync_offsets
from tests.live.servers import Rig, free_port


@pytest.mark.live
def test_all_protocols_at_once(rig: Rig, sync_clip: Path, sync_mp4: Path) -> None:
    for_rtsp, for_srt, plain = (free_port(socket.SOCK_DGRAM) for _ in range(3))
    _, rtsp = rig.rtsp(for_rtsp)
    publish_to, hls = rig.nginx()
    srt = rig.srt(for_srt)
    for port in (for_rtsp, for_srt, plain):
        rig.publish_udp(sync_clip, port, name=f"udp-{port}")
    rig.publish(sync_mp4, "flv", publish_to, name="rtmp")
    followers = {
        name: Follower(url, options(connect_seconds=60.0))
        for name, url in {
            "rtsp": rtsp,
            "rtmp": publish_to,
            "hls": hls,
            "udp": f"udp://127.0.0.1:{plain}",
            "srt": srt,
        }.items()
    }
    for name, follower in followers.items():
        follower.wait(max(1, 6 - len(follower.segments)), 60)
        follower.close()
        segments = follower.segments
        offsets = sync_offsets(segments)
        assert_in_order(segments)
        assert len(offsets) >= 6, name
        assert abs(statistics.median(offsets)) < 0.033, name
        whole = [s for s in segments[1:-1] if s.coverage["audio"] > 0.95 and s.coverage["video"] > 0.95]
        assert len(whole) >= len(segments) - 3, name  # the clip's loop and a busy machine may cost one
        assert all(s.status["video"] == s.status["audio"] == Status.OK for s in whole), name
