"""Multicast only to those who joined: the framework asks the hosts by IGMP who wants what, and installs entries from the
server's port (SERVER_PORT, 1 by default) to the ports of a group's members. All else is flooded or learned.
The library speaks with the address of the bridge's own port: give the bridge an internal device.
"""

import os
import sys

sys.path.append(os.path.dirname(os.path.abspath(__file__)))
from book import App, add_flow, packet_out, to_controller, use  # noqa: E402

ofp_event = use('controller.ofp_event')
handler = use('controller.handler')
igmplib = use('lib.igmplib')
packet = use('lib.packet.packet')
ethernet = use('lib.packet.ethernet')
ofproto = use('ofproto.ofproto_v1_3')


class Multicast(App):
    OFP_VERSIONS = [ofproto.OFP_VERSION]
    _CONTEXTS = {'igmplib': igmplib.IgmpLib}

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.seen = {}  # datapath id -> {address: port}
        kwargs['igmplib'].set_querier_mode(dpid=1, server_port=int(os.environ.get('SERVER_PORT', 1)))

    @handler.set_ev_cls(ofp_event.EventOFPSwitchFeatures, handler.CONFIG_DISPATCHER)
    def on_connect(self, ev):
        dp = ev.msg.datapath
        add_flow(dp, 0, dp.ofproto_parser.OFPMatch(), [to_controller(dp)])

    @handler.set_ev_cls(igmplib.EventPacketIn, handler.MAIN_DISPATCHER)
    def on_packet(self, ev):
        """Whatever is not IGMP: learn and forward; multicast that nobody has joined goes nowhere."""
        dp, in_port = ev.msg.datapath, ev.msg.match['in_port']
        eth = packet.Packet(ev.msg.data).get_protocol(ethernet.ethernet)
        ports = self.seen.setdefault(dp.id, {})
        ports[eth.src] = in_port
        if not eth.dst.startswith('01:00:5e'):
            packet_out(dp, ev.msg.data, ports.get(eth.dst, ofproto.OFPP_FLOOD), in_port)
