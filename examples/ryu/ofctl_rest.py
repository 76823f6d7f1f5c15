"""A switch by curl: every request of OpenFlow 1.3 that the framework's ofctl library knows, over HTTP and JSON. The
paths and the words are those of Ryu's ofctl_rest.
"""

import os
import sys

sys.path.append(os.path.dirname(os.path.abspath(__file__)))
from book import App, Rest, Unknown, use  # noqa: E402

ofp_event = use('controller.ofp_event')
handler = use('controller.handler')
ofctl = use('lib.ofctl_v1_3')
ofproto = use('ofproto.ofproto_v1_3')

# GET /stats/NAME/DPID[/NUMBER[/NUMBER]]; flow and aggregateflow also POST, with what to select.
READ = {
    'desc': ofctl.get_desc_stats, 'flow': ofctl.get_flow_stats, 'aggregateflow': ofctl.get_aggregate_flow_stats,
    'table': ofctl.get_table_stats, 'tablefeatures': ofctl.get_table_features, 'port': ofctl.get_port_stats,
    'portdesc': ofctl.get_port_desc, 'queue': ofctl.get_queue_stats, 'queueconfig': ofctl.get_queue_config,
    'meter': ofctl.get_meter_stats, 'meterconfig': ofctl.get_meter_config, 'meterfeatures': ofctl.get_meter_features,
    'group': ofctl.get_group_stats, 'groupdesc': ofctl.get_group_desc, 'groupfeatures': ofctl.get_group_features,
    'role': ofctl.get_role,
}

# POST /stats/NAME/WORD with a body that names the dpid.
WRITE = {
    'flowentry': (ofctl.mod_flow_entry, {
        'add': ofproto.OFPFC_ADD, 'modify': ofproto.OFPFC_MODIFY, 'modify_strict': ofproto.OFPFC_MODIFY_STRICT,
        'delete': ofproto.OFPFC_DELETE, 'delete_strict': ofproto.OFPFC_DELETE_STRICT}),
    'groupentry': (ofctl.mod_group_entry, {
        'add': ofproto.OFPGC_ADD, 'modify': ofproto.OFPGC_MODIFY, 'delete': ofproto.OFPGC_DELETE}),
    'meterentry': (ofctl.mod_meter_entry, {
        'add': ofproto.OFPMC_ADD, 'modify': ofproto.OFPMC_MODIFY, 'delete': ofproto.OFPMC_DELETE}),
}

REPLIES = [getattr(ofp_event, 'EventOFP%sReply' % name) for name in (
    'DescStats', 'FlowStats', 'AggregateStats', 'TableStats', 'TableFeaturesStats', 'PortStats', 'PortDescStats',
    'QueueStats', 'QueueGetConfig', 'MeterStats', 'MeterConfigStats', 'MeterFeaturesStats', 'GroupStats',
    'GroupDescStats', 'GroupFeaturesStats', 'Role')]


class OfctlRest(App):
    OFP_VERSIONS = [ofproto.OFP_VERSION]

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.switches = {}  # datapath id -> connection
        self.waiters = {}  # datapath id -> xid -> who waits for the answer
        self.errors = []  # what switches refused, newest last
        self.rest = Rest([
            ('GET', '/stats/switches', lambda: sorted(self.switches)),
            ('GET', '/stats/errors', lambda: self.errors),
            ('DELETE', r'/stats/flowentry/clear/(\d+)', self.clear),
            ('GET', r'/stats/(\w+)/(\d+)(?:/(\w+))?(?:/(\w+))?', self.read),
            ('POST', r'/stats/(flow|aggregateflow)/(\d+)()()', self.read),
            ('POST', '/stats/portdesc/modify', self.modify_port),
            ('POST', r'/stats/(\w+)/(add|modify|modify_strict|delete|delete_strict)', self.write),
            ('POST', '/stats/role', self.set_role),
            ('POST', r'/stats/experimenter/(\d+)', self.experimenter),
        ])

    def switch(self, dpid):
        if int(dpid) not in self.switches:
            raise Unknown('no switch %s is connected' % dpid)
        return self.switches[int(dpid)]

    def read(self, name, dpid, first, second, *selection):
        if name not in READ:
            raise Unknown('no statistics called %s' % name)
        numbers = [int(n, 0) for n in (first, second) if n]
        return READ[name](self.switch(dpid), self.waiters, *numbers, *selection)

    def write(self, name, word, body):
        if name not in WRITE or word not in WRITE[name][1]:
            raise Unknown('no %s of %s' % (word, name))
        modify, commands = WRITE[name]
        modify(self.switch(body['dpid']), body, commands[word])

    def clear(self, dpid):
        ofctl.mod_flow_entry(self.switch(dpid), {'table_id': ofproto.OFPTT_ALL}, ofproto.OFPFC_DELETE)

    def modify_port(self, body):
        """Change bits of a port's configuration; its address and features are looked up."""
        dp = self.switch(body['dpid'])
        port = dp.ports[int(body['port_no'])]
        ofctl.mod_port_behavior(dp, dict({'hw_addr': port.hw_addr, 'advertise': port.advertised}, **body))

    def set_role(self, body):
        ofctl.set_role(self.switch(body['dpid']), body)

    def experimenter(self, dpid, body):
        ofctl.send_experimenter(self.switch(dpid), body)

    @handler.set_ev_cls(ofp_event.EventOFPStateChange, [handler.MAIN_DISPATCHER, handler.DEAD_DISPATCHER])
    def on_state(self, ev):
        if ev.state == handler.MAIN_DISPATCHER:
            self.switches[ev.datapath.id] = ev.datapath
        else:
            self.switches.pop(ev.datapath.id, None)

    @handler.set_ev_cls(REPLIES, handler.MAIN_DISPATCHER)
    def on_reply(self, ev):
        """Hand an answer, or one part of it, to the request that waits for it."""
        msg, waiting = ev.msg, self.waiters.get(ev.msg.datapath.id, {})
        if msg.xid not in waiting:
            return
        lock, parts = waiting[msg.xid]
        parts.append(msg)
        if not getattr(msg, 'flags', 0) & ofproto.OFPMPF_REPLY_MORE:
            del waiting[msg.xid]
            lock.set()

    @handler.set_ev_cls(ofp_event.EventOFPErrorMsg, handler.MAIN_DISPATCHER)
    def on_error(self, ev):
        self.errors.append({'type': ev.msg.type, 'code': ev.msg.code, 'data': ev.msg.data.hex()})
