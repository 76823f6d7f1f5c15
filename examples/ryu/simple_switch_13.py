"""A learning switch for OpenFlow 1.3, for Ryu and for os-ken (its continuation in OpenStack).

What the switch does not know it sends here: the table-miss entry says so. This program remembers behind which port
each address was seen, sends the packet on, and installs an entry for the pair of addresses once both are known, so
that their next packets never come here.
"""

try:
    from ryu.base import app_manager
    from ryu.controller import ofp_event
    from ryu.controller.handler import CONFIG_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
    from ryu.lib.packet import ethernet, ether_types, packet
    from ryu.ofproto import ofproto_v1_3
    App = app_manager.RyuApp
except ImportError:
    from os_ken.base import app_manager
    from os_ken.controller import ofp_event
    from os_ken.controller.handler import CONFIG_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
    from os_ken.lib.packet import ethernet, ether_types, packet
    from os_ken.ofproto import ofproto_v1_3
    App = app_manager.OSKenApp

TABLE_MISS = 0  # lowest priority: taken when nothing else matches
LEARNED = 1


class SimpleSwitch13(App):
    OFP_VERSIONS = [ofproto_v1_3.OFP_VERSION]

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.seen = {}  # datapath id -> {address: port}

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def on_connect(self, ev):
        """A switch has said hello: let it send here what matches nothing."""
        dp = ev.msg.datapath
        self.seen[dp.id] = {}
        whole = dp.ofproto_parser.OFPActionOutput(dp.ofproto.OFPP_CONTROLLER, dp.ofproto.OFPCML_NO_BUFFER)
        self.install(dp, TABLE_MISS, dp.ofproto_parser.OFPMatch(), [whole])
        self.logger.info('switch %016x connected', dp.id)

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def on_packet(self, ev):
        """Learn the sender, find the receiver, forward; install an entry if both are known."""
        msg, dp = ev.msg, ev.msg.datapath
        in_port = msg.match['in_port']
        eth = packet.Packet(msg.data).get_protocol(ethernet.ethernet)
        if eth is None or eth.ethertype == ether_types.ETH_TYPE_LLDP:
            return
        ports = self.seen.setdefault(dp.id, {})
        ports[eth.src] = in_port
        out = ports.get(eth.dst, dp.ofproto.OFPP_FLOOD)
        actions = [dp.ofproto_parser.OFPActionOutput(out)]
        if out != dp.ofproto.OFPP_FLOOD:
            match = dp.ofproto_parser.OFPMatch(in_port=in_port, eth_dst=eth.dst, eth_src=eth.src)
            self.install(dp, LEARNED, match, actions)
            self.logger.info('learned %s -> %s by port %d', eth.src, eth.dst, out)
        buffered = msg.buffer_id != dp.ofproto.OFP_NO_BUFFER
        dp.send_msg(dp.ofproto_parser.OFPPacketOut(
            datapath=dp, buffer_id=msg.buffer_id, in_port=in_port, actions=actions,
            data=None if buffered else msg.data))

    def install(self, dp, priority, match, actions):
        apply = dp.ofproto_parser.OFPInstructionActions(dp.ofproto.OFPIT_APPLY_ACTIONS, actions)
        dp.send_msg(dp.ofproto_parser.OFPFlowMod(datapath=dp, priority=priority, match=match, instructions=[apply]))
