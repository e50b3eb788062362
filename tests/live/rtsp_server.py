"""An RTSP server for the tests, run by the system's Python: what comes over UDP as MPEG-TS goes out as /live."""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

PIPELINE = """(
  udpsrc address=127.0.0.1 port={udp} caps=video/mpegts,systemstream=true,packetsize=188 buffer-size=4000000
  ! tsdemux latency=0 name=demux
  demux. ! queue ! h264parse config-interval=-1 ! rtph264pay name=pay0 pt=96
  demux. ! queue ! aacparse ! rtpmp4gpay name=pay1 pt=97 )"""

Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(sys.argv[1])
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(PIPELINE.format(udp=sys.argv[2]))
factory.set_shared(True)
factory.set_latency(0)
factory.set_suspend_mode(GstRtspServer.RTSPSuspendMode.NONE)
server.get_mount_points().add_factory("/live", factory)
assert server.attach(None)
GLib.MainLoop().run()
