"""A firewall by curl. What no rule allows is dropped, and so is everything while the firewall is off; ARP passes.

    PUT    /firewall/module/enable/DPID, /firewall/module/disable/DPID
    GET    /firewall/module/status, /firewall/rules/DPID, /firewall/log/DPID
    POST   /firewall/rules/DPID   {"nw_src": "10.0.0.1/32", "nw_proto": "ICMP", "actions": "DENY", "priority": 10}
    DELETE /firewall/rules/DPID   {"rule_id": 1}
"""

import os
import sys

sys.path.append(os.path.dirname(os.path.abspath(__file__)))
from book import NORMAL, App, Rest, Unknown, add_flow, match_of, to_controller, use  # noqa: E402

ofp_event = use('controller.ofp_event')
handler = use('controller.handler')
ofctl = use('lib.ofctl_v1_3')
packet = use('lib.packet.packet')
ofproto = use('ofproto.ofproto_v1_3')

OFF, ARP, BLOCKED = 65535, 65534, 0  # priorities; rules lie between ARP and BLOCKED


class Firewall(App):
    OFP_VERSIONS = [ofproto.OFP_VERSION]

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.switches, self.rules, self.on, self.log = {}, {}, {}, {}  # by datapath id
        self.last = 0
        self.rest = Rest([
            ('GET', '/firewall/module/status', lambda: {d: 'enable' if on else 'disable' for d, on in self.on.items()}),
            ('PUT', r'/firewall/module/(enable|disable)/(\d+)', self.turn),
            ('GET', r'/firewall/rules/(\d+)', lambda dpid: self.rules[self.switch(dpid).id]),
            ('GET', r'/firewall/log/(\d+)', lambda dpid: self.log[self.switch(dpid).id]),
            ('POST', r'/firewall/rules/(\d+)', self.add),
            ('DELETE', r'/firewall/rules/(\d+)', self.delete),
        ])

    def switch(self, dpid):
        if int(dpid) not in self.switches:
            raise Unknown('no switch %s is connected' % dpid)
        return self.switches[int(dpid)]

    @handler.set_ev_cls(ofp_event.EventOFPSwitchFeatures, handler.CONFIG_DISPATCHER)
    def on_connect(self, ev):
        dp = ev.msg.datapath
        self.switches[dp.id], self.rules[dp.id], self.on[dp.id], self.log[dp.id] = dp, {}, False, []
        ofctl.mod_flow_entry(dp, {'table_id': ofproto.OFPTT_ALL}, ofproto.OFPFC_DELETE)
        add_flow(dp, OFF, dp.ofproto_parser.OFPMatch(), [])
        ofctl.mod_flow_entry(dp, {'priority': ARP, 'match': {'eth_type': 0x0806}, 'actions': NORMAL}, ofproto.OFPFC_ADD)
        add_flow(dp, BLOCKED, dp.ofproto_parser.OFPMatch(), [to_controller(dp)])

    def turn(self, word, dpid):
        dp, self.on[int(dpid)] = self.switch(dpid), word == 'enable'
        command = ofproto.OFPFC_DELETE_STRICT if word == 'enable' else ofproto.OFPFC_ADD
        ofctl.mod_flow_entry(dp, {'priority': OFF}, command)
        return {'switch': dp.id, 'firewall': word}

    def add(self, dpid, rule):
        """A rule is an entry whose cookie is the rule's number."""
        dp, match = self.switch(dpid), match_of(rule)
        priority = int(rule.get('priority', 1))
        if not BLOCKED < priority < ARP:
            raise ValueError('priority %d is not between %d and %d' % (priority, BLOCKED, ARP))
        actions = {'ALLOW': NORMAL, 'DENY': []}[rule.get('actions', 'ALLOW')]
        self.last += 1
        ofctl.mod_flow_entry(dp, {'cookie': self.last, 'priority': priority, 'match': match, 'actions': actions},
                             ofproto.OFPFC_ADD)
        self.rules[dp.id][self.last] = rule
        return {'rule_id': self.last}

    def delete(self, dpid, which):
        dp, number = self.switch(dpid), int(which['rule_id'])
        if self.rules[dp.id].pop(number, None) is None:
            raise Unknown('no rule %d' % number)
        ofctl.mod_flow_entry(dp, {'cookie': number, 'cookie_mask': 2**64 - 1, 'table_id': ofproto.OFPTT_ALL},
                             ofproto.OFPFC_DELETE)
        return {'deleted': number}

    @handler.set_ev_cls(ofp_event.EventOFPPacketIn, handler.MAIN_DISPATCHER)
    def on_blocked(self, ev):
        """A packet that no rule allows: remember the last hundred."""
        names = [p.protocol_name for p in packet.Packet(ev.msg.data).protocols if hasattr(p, 'protocol_name')]
        log = self.log[ev.msg.datapath.id]
        log.append({'in_port': ev.msg.match['in_port'], 'protocols': names})
        del log[:-100]
