"""An RTSP server that plays a file as /live, run by the system's Python: rtsp_server.py PORT CLIP.

Each client gets the clip from its start, unchanged and at its own speed, whatever query the address has.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

PIPELINE = """( filesrc location="{clip}" ! qtdemux name=demux
  demux. ! queue ! h264parse config-interval=-1 ! rtph264pay name=pay0 pt=96
  demux. ! queue ! aacparse ! rtpmp4gpay name=pay1 pt=97 )"""

Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(sys.argv[1])
server.set_backlog(1024)
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(PIPELINE.format(clip=sys.argv[2]))
factory.set_latency(0)
server.get_mount_points().add_factory("/live", factory)
assert server.attach(None)
GLib.MainLoop().run()
