"""What is connected to what: the framework sends LLDP out of every port and sees where it comes in. Start it with
--observe-links. GET /switches and /links tell what was found; packets are switched by each switch alone.
"""

import os
import sys

sys.path.append(os.path.dirname(os.path.abspath(__file__)))
from book import App, Rest, add_flow, use  # noqa: E402

event = use('topology.event')
handler = use('controller.handler')
ofproto = use('ofproto.ofproto_v1_3')


class Topology(App):
    OFP_VERSIONS = [ofproto.OFP_VERSION]

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.switches, self.links = {}, set()
        self.rest = Rest([('GET', '/switches', self.list_switches), ('GET', '/links', self.list_links)])

    def list_switches(self):
        return [{'dpid': dpid, 'ports': sorted(p.name.decode() for p in sw.ports)}
                for dpid, sw in sorted(self.switches.items())]

    def list_links(self):
        return ['%d:%d -> %d:%d' % link for link in sorted(self.links)]

    @staticmethod
    def ends(link):
        return link.src.dpid, link.src.port_no, link.dst.dpid, link.dst.port_no

    @handler.set_ev_cls(event.EventSwitchEnter)
    def on_enter(self, ev):
        """A new switch: where no entry of the framework's takes an LLDP frame, it learns by itself."""
        dp = ev.switch.dp
        self.switches[dp.id] = ev.switch
        normal = dp.ofproto_parser.OFPActionOutput(ofproto.OFPP_NORMAL)
        add_flow(dp, 1, dp.ofproto_parser.OFPMatch(), [normal])

    @handler.set_ev_cls(event.EventSwitchLeave)
    def on_leave(self, ev):
        self.switches.pop(ev.switch.dp.id, None)

    @handler.set_ev_cls(event.EventLinkAdd)
    def on_link(self, ev):
        self.links.add(self.ends(ev.link))
        self.logger.info('link %d:%d -> %d:%d', *self.ends(ev.link))

    @handler.set_ev_cls(event.EventLinkDelete)
    def on_unlink(self, ev):
        self.links.discard(self.ends(ev.link))
        self.logger.info('no link %d:%d -> %d:%d', *self.ends(ev.link))
