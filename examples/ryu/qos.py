"""Quality of service by curl: rules put packets into a queue of the port that they leave by, through a meter, or give
them a DSCP mark; then the switch forwards as it learns. Queues belong to the switch's configuration.

    POST /qos/meters/DPID   {"meter_id": 1, "flags": "KBPS", "bands": [{"type": "DROP", "rate": 5000}]}
    POST /qos/rules/DPID    {"match": {"nw_proto": "UDP", "tp_dst": 5001}, "actions": {"meter": 1}}
         actions: {"queue": 1}, {"meter": 1}, {"mark": 26}, or several of them
    GET  /qos/rules/DPID
"""

import os
import sys

sys.path.append(os.path.dirname(os.path.abspath(__file__)))
from book import NORMAL, App, Rest, Unknown, match_of, use  # noqa: E402

ofp_event = use('controller.ofp_event')
handler = use('controller.handler')
ofctl = use('lib.ofctl_v1_3')
ofproto = use('ofproto.ofproto_v1_3')

RULES, FORWARD = 0, 1  # tables
GO_ON = [{'type': 'GOTO_TABLE', 'table_id': FORWARD}]


class QoS(App):
    OFP_VERSIONS = [ofproto.OFP_VERSION]

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.switches, self.rules = {}, {}  # by datapath id
        self.rest = Rest([('GET', r'/qos/rules/(\d+)', lambda dpid: self.rules[self.switch(dpid).id]),
                          ('POST', r'/qos/rules/(\d+)', self.add), ('POST', r'/qos/meters/(\d+)', self.meter)])

    def switch(self, dpid):
        if int(dpid) not in self.switches:
            raise Unknown('no switch %s is connected' % dpid)
        return self.switches[int(dpid)]

    @handler.set_ev_cls(ofp_event.EventOFPSwitchFeatures, handler.CONFIG_DISPATCHER)
    def on_connect(self, ev):
        dp = ev.msg.datapath
        self.switches[dp.id], self.rules[dp.id] = dp, {}
        ofctl.mod_flow_entry(dp, {'table_id': ofproto.OFPTT_ALL}, ofproto.OFPFC_DELETE)
        ofctl.mod_flow_entry(dp, {'table_id': RULES, 'priority': 0, 'actions': GO_ON}, ofproto.OFPFC_ADD)
        ofctl.mod_flow_entry(dp, {'table_id': FORWARD, 'priority': 0, 'actions': NORMAL}, ofproto.OFPFC_ADD)

    def meter(self, dpid, body):
        ofctl.mod_meter_entry(self.switch(dpid), body, ofproto.OFPMC_ADD)
        return body

    def add(self, dpid, rule):
        dp, wanted = self.switch(dpid), rule['actions']
        actions = []
        if 'meter' in wanted:
            actions.append({'type': 'METER', 'meter_id': wanted['meter']})
        if 'mark' in wanted:
            actions.append({'type': 'SET_FIELD', 'field': 'ip_dscp', 'value': int(wanted['mark'])})
        if 'queue' in wanted:
            actions.append({'type': 'SET_QUEUE', 'queue_id': wanted['queue']})
        number = len(self.rules[dp.id]) + 1
        ofctl.mod_flow_entry(dp, {'cookie': number, 'table_id': RULES, 'priority': int(rule.get('priority', 1)),
                                  'match': match_of(rule['match']), 'actions': actions + GO_ON}, ofproto.OFPFC_ADD)
        self.rules[dp.id][number] = rule
        return {'rule_id': number}
