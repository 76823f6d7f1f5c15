"""Switches in rings: the framework's spanning tree blocks ports (PORT_MOD) until no ring is left and opens them again
when a link fails (PORT_STATUS). On the tree that remains this is a learning switch.

The seconds of the protocol come from the environment: STP_HELLO (2), STP_MAX_AGE (20), STP_FORWARD_DELAY (15).
"""

import os
import sys

sys.path.append(os.path.dirname(os.path.abspath(__file__)))
from book import App, add_flow, packet_out, to_controller, use  # noqa: E402

ofp_event = use('controller.ofp_event')
handler = use('controller.handler')
stplib = use('lib.stplib')
packet = use('lib.packet.packet')
ethernet = use('lib.packet.ethernet')
ofproto = use('ofproto.ofproto_v1_3')

STATES = {stplib.PORT_STATE_DISABLE: 'down', stplib.PORT_STATE_BLOCK: 'blocked', stplib.PORT_STATE_LISTEN: 'listening',
          stplib.PORT_STATE_LEARN: 'learning', stplib.PORT_STATE_FORWARD: 'forwarding'}


class Everywhere(dict):
    """The same configuration for whatever switch comes."""

    def get(self, dpid, default=None):
        return {'bridge': {'hello_time': int(os.environ.get('STP_HELLO', 2)),
                           'max_age': int(os.environ.get('STP_MAX_AGE', 20)),
                           'fwd_delay': int(os.environ.get('STP_FORWARD_DELAY', 15))}}


class SpanningTreeSwitch(App):
    OFP_VERSIONS = [ofproto.OFP_VERSION]
    _CONTEXTS = {'stplib': stplib.Stp}

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.seen = {}  # datapath id -> {address: port}
        kwargs['stplib'].set_config(Everywhere())

    @handler.set_ev_cls(ofp_event.EventOFPSwitchFeatures, handler.CONFIG_DISPATCHER)
    def on_connect(self, ev):
        dp = ev.msg.datapath
        add_flow(dp, 0, dp.ofproto_parser.OFPMatch(), [to_controller(dp)])

    @handler.set_ev_cls(stplib.EventPacketIn, handler.MAIN_DISPATCHER)
    def on_packet(self, ev):
        """A packet that the spanning tree lets through: learn and forward."""
        dp, in_port = ev.msg.datapath, ev.msg.match['in_port']
        eth = packet.Packet(ev.msg.data).get_protocol(ethernet.ethernet)
        ports = self.seen.setdefault(dp.id, {})
        ports[eth.src] = in_port
        out = ports.get(eth.dst, ofproto.OFPP_FLOOD)
        if out != ofproto.OFPP_FLOOD:
            match = dp.ofproto_parser.OFPMatch(in_port=in_port, eth_dst=eth.dst)
            add_flow(dp, 1, match, [dp.ofproto_parser.OFPActionOutput(out)])
        packet_out(dp, ev.msg.data, out, in_port)

    @handler.set_ev_cls(stplib.EventTopologyChange, handler.MAIN_DISPATCHER)
    def on_change(self, ev):
        """The tree is another: forget where everybody was."""
        dp = ev.dp
        for address in self.seen.pop(dp.id, {}):
            dp.send_msg(dp.ofproto_parser.OFPFlowMod(
                datapath=dp, command=ofproto.OFPFC_DELETE, out_port=ofproto.OFPP_ANY, out_group=ofproto.OFPG_ANY,
                priority=1, match=dp.ofproto_parser.OFPMatch(eth_dst=address)))

    @handler.set_ev_cls(stplib.EventPortStateChange, handler.MAIN_DISPATCHER)
    def on_port(self, ev):
        self.logger.info('switch %d port %d is %s', ev.dp.id, ev.port_no, STATES[ev.port_state])
