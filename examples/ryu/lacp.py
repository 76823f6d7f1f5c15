"""The switch's end of a link aggregation: ports 1 and 2 of switch 1 answer LACP, and are members of the bond while their
partners go on speaking: an entry that lapses (FLOW_REMOVED) takes the port out. GET /lacp tells which are in.
The library speaks with the address of the bridge's own port: give the bridge an internal device.
"""

import os
import sys

sys.path.append(os.path.dirname(os.path.abspath(__file__)))
from book import App, Rest, add_flow, to_controller, use  # noqa: E402

ofp_event = use('controller.ofp_event')
handler = use('controller.handler')
lacplib = use('lib.lacplib')
ofproto = use('ofproto.ofproto_v1_3')


class Bond(App):
    OFP_VERSIONS = [ofproto.OFP_VERSION]
    _CONTEXTS = {'lacplib': lacplib.LacpLib}

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.members = set()
        kwargs['lacplib'].add(dpid=1, ports=[1, 2])
        self.rest = Rest([('GET', '/lacp', lambda: sorted(self.members))])

    @handler.set_ev_cls(ofp_event.EventOFPSwitchFeatures, handler.CONFIG_DISPATCHER)
    def on_connect(self, ev):
        dp = ev.msg.datapath
        add_flow(dp, 0, dp.ofproto_parser.OFPMatch(), [to_controller(dp)])

    @handler.set_ev_cls(lacplib.EventSlaveStateChanged, handler.MAIN_DISPATCHER)
    def on_member(self, ev):
        (self.members.add if ev.enabled else self.members.discard)(ev.port)
        self.logger.info('port %d is %s the bond', ev.port, 'in' if ev.enabled else 'out of')
