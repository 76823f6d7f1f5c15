#!/usr/bin/python3
"""Print a corpus of OpenFlow 1.3 messages encoded by os-ken, an independent implementation.

    /usr/bin/python3 corpus.py > corpus.txt

Each line is "name hex [field=value[/mask]]", in hex. The committed corpus.txt is what the Go tests read;
TestCorpusIsCurrent runs this script where os-ken is installed and compares.
"""
from os_ken.ofproto import ofproto_v1_3 as o, ofproto_v1_3_parser as p
from os_ken.ofproto.ofproto_protocol import ProtocolDesc
from os_ken.lib import addrconv

dp = ProtocolDesc(o.OFP_VERSION)

# name, number, bytes, maskable by the specification, what must come before it
IP4, IP6 = {'eth_type': 0x0800}, {'eth_type': 0x86dd}
ARP, MPLS, PBB = {'eth_type': 0x0806}, {'eth_type': 0x8847}, {'eth_type': 0x88e7}
TCP, UDP, SCTP = dict(IP4, ip_proto=6), dict(IP6, ip_proto=17), dict(IP4, ip_proto=132)
ICMP, ICMP6 = dict(IP4, ip_proto=1), dict(IP6, ip_proto=58)
V6, V6M = '2001:db8:1:2:3:4:5:6', 'ffff:ffff:ffff::'
MAC, MACM = '12:34:56:78:9a:bc', 'ff:ff:ff:00:00:00'
FIELDS = [
    ('in_port', {}, 0x11223344, None), ('in_phy_port', {'in_port': 7}, 9, None),
    ('metadata', {}, 0x1122334455667788, 0xffffffff00000000),
    ('eth_dst', {}, MAC, MACM), ('eth_src', {}, MAC, MACM), ('eth_type', {}, 0x88cc, None),
    ('vlan_vid', {}, 0x1abc, 0x1f00), ('vlan_pcp', {'vlan_vid': 0x1005}, 5, None),
    ('ip_dscp', IP4, 46, None), ('ip_ecn', IP6, 2, None), ('ip_proto', IP4, 89, None),
    ('ipv4_src', IP4, '10.20.30.40', '255.255.0.0'), ('ipv4_dst', IP4, '192.168.7.9', '255.0.255.0'),
    ('tcp_src', TCP, 1234, None), ('tcp_dst', TCP, 80, None),
    ('udp_src', UDP, 53, None), ('udp_dst', UDP, 5353, None),
    ('sctp_src', SCTP, 36412, None), ('sctp_dst', SCTP, 38412, None),
    ('icmpv4_type', ICMP, 8, None), ('icmpv4_code', ICMP, 3, None),
    ('arp_op', ARP, 2, None), ('arp_spa', ARP, '10.0.0.1', '255.255.255.0'), ('arp_tpa', ARP, '10.0.0.2', '255.255.255.254'),
    ('arp_sha', ARP, MAC, MACM), ('arp_tha', ARP, MAC, MACM),
    ('ipv6_src', IP6, V6, V6M), ('ipv6_dst', IP6, V6, '::ffff:ffff:ffff:ffff'), ('ipv6_flabel', IP6, 0xabcde, 0xff000),
    ('icmpv6_type', ICMP6, 135, None), ('icmpv6_code', ICMP6, 1, None),
    ('ipv6_nd_target', dict(ICMP6, icmpv6_type=136), V6, None), ('ipv6_nd_sll', dict(ICMP6, icmpv6_type=135), MAC, None),
    ('ipv6_nd_tll', dict(ICMP6, icmpv6_type=136), MAC, None),
    ('mpls_label', MPLS, 0xfedcb, None), ('mpls_tc', MPLS, 6, None), ('mpls_bos', MPLS, 1, None),
    ('pbb_isid', PBB, 0x123456, 0xfff000), ('tunnel_id', {}, 0xcafe000000000001, 0xffff000000000000),
    ('ipv6_exthdr', IP6, 0x1a5, 0x1f0),
]


def number(v):
    """The value as a number, however os-ken wants it spelt."""
    if isinstance(v, int):
        return v
    conv = addrconv.mac if len(v) == 17 and v.count(':') == 5 else addrconv.ipv4 if '.' in v else addrconv.ipv6
    return int.from_bytes(conv.text_to_bin(v), 'big')


def mask(v, m):
    """v under m in v's own spelling."""
    if isinstance(v, int):
        return v & m
    conv = addrconv.mac if v.count(':') == 5 and len(v) == 17 else addrconv.ipv4 if '.' in v else addrconv.ipv6
    return conv.bin_to_text(bytes(a & b for a, b in zip(conv.text_to_bin(v), conv.text_to_bin(m))))


def emit(name, msg, note=''):
    msg.set_xid(0x01020304)
    msg.serialize()
    print(' '.join([name, bytes(msg.buf).hex(), note]).strip())


def flow(match=None, inst=(), **kw):
    return p.OFPFlowMod(dp, match=match if match is not None else p.OFPMatch(), instructions=list(inst), **kw)


def matches():
    for name, pre, v, m in FIELDS:
        emit('match/' + name, flow(p.OFPMatch(**dict(pre, **{name: v}))), '%s=%x' % (name, number(v)))
        if m is not None:
            mv = mask(v, m)
            emit('match/' + name + '/mask', flow(p.OFPMatch(**dict(pre, **{name: (mv, m)}))),
                 '%s=%x/%x' % (name, number(mv), number(m)))


def set_fields():
    for name, pre, v, m in FIELDS:
        if name in ('in_port', 'in_phy_port', 'metadata', 'ipv6_exthdr'):
            continue
        act = p.OFPActionSetField(**{name: v})
        emit('set_field/' + name, flow(p.OFPMatch(**pre), [p.OFPInstructionActions(o.OFPIT_APPLY_ACTIONS, [act])]),
             '%s=%x' % (name, number(v)))


ACTIONS = {
    'output': p.OFPActionOutput(3, 0), 'output_controller': p.OFPActionOutput(o.OFPP_CONTROLLER, 128),
    'group': p.OFPActionGroup(77), 'set_queue': p.OFPActionSetQueue(5), 'set_mpls_ttl': p.OFPActionSetMplsTtl(9),
    'dec_mpls_ttl': p.OFPActionDecMplsTtl(), 'set_nw_ttl': p.OFPActionSetNwTtl(64), 'dec_nw_ttl': p.OFPActionDecNwTtl(),
    'copy_ttl_out': p.OFPActionCopyTtlOut(), 'copy_ttl_in': p.OFPActionCopyTtlIn(),
    'push_vlan': p.OFPActionPushVlan(0x88a8), 'pop_vlan': p.OFPActionPopVlan(),
    'push_mpls': p.OFPActionPushMpls(0x8848), 'pop_mpls': p.OFPActionPopMpls(0x86dd),
    'push_pbb': p.OFPActionPushPbb(0x88e7), 'pop_pbb': p.OFPActionPopPbb(),
    'set_field': p.OFPActionSetField(eth_dst=MAC),
}
NICIRA = {
    'resubmit': p.NXActionResubmit(4), 'resubmit_table': p.NXActionResubmitTable(0xfff8, 7),
    'load': p.NXActionRegLoad(4 << 6 | 15, 'reg3', 0x1234), 'note': p.NXActionNote([1, 2, 3, 4, 5, 6]),
    'move': p.NXActionRegMove('eth_src', 'eth_dst', 48), 'load_masked': p.NXActionRegLoad2('reg5', 0xab, 0xff),
    'controller': p.NXActionController(128, 2, o.OFPR_ACTION),
}
BAND = [p.OFPMeterBandDrop(1000, 100), p.OFPMeterBandDscpRemark(2000, 200, 1)]


def actions():
    for name, a in ACTIONS.items():
        emit('action/' + name, flow(None, [p.OFPInstructionActions(o.OFPIT_APPLY_ACTIONS, [a])]))
    for name, a in NICIRA.items():
        emit('nicira/' + name, flow(None, [p.OFPInstructionActions(o.OFPIT_APPLY_ACTIONS, [a])]))
    emit('action/all', flow(None, [p.OFPInstructionActions(o.OFPIT_WRITE_ACTIONS, list(ACTIONS.values()))]))


def instructions():
    out = [p.OFPActionOutput(2, 0xffff)]
    inst = {
        'goto_table': p.OFPInstructionGotoTable(9),
        'write_metadata': p.OFPInstructionWriteMetadata(0xdead, 0xffff),
        'write_actions': p.OFPInstructionActions(o.OFPIT_WRITE_ACTIONS, out),
        'apply_actions': p.OFPInstructionActions(o.OFPIT_APPLY_ACTIONS, out),
        'clear_actions': p.OFPInstructionActions(o.OFPIT_CLEAR_ACTIONS, []),
        'meter': p.OFPInstructionMeter(12),
    }
    for name, i in inst.items():
        emit('instruction/' + name, flow(None, [i]))
    emit('instruction/all', flow(None, list(inst.values())))


def messages():
    emit('hello', p.OFPHello(dp))  # os-ken sends no elements
    emit('error', p.OFPErrorMsg(dp, type_=o.OFPET_BAD_MATCH, code=o.OFPBMC_BAD_PREREQ, data=bytes(range(16))))
    emit('echo_request', p.OFPEchoRequest(dp, b'ping'))
    emit('echo_reply', p.OFPEchoReply(dp, b'pong'))
    emit('experimenter', p.OFPExperimenter(dp, 0x4f4e4600, 2300, b'abcd'))
    emit('features_request', p.OFPFeaturesRequest(dp))
    emit('get_config_request', p.OFPGetConfigRequest(dp))
    emit('set_config', p.OFPSetConfig(dp, o.OFPC_FRAG_REASM, 128))
    emit('packet_out', p.OFPPacketOut(dp, o.OFP_NO_BUFFER, o.OFPP_CONTROLLER, [p.OFPActionOutput(o.OFPP_FLOOD, 0)], bytes(range(60))))
    emit('packet_out/buffer', p.OFPPacketOut(dp, 42, 3, [], None))
    emit('flow_mod/delete', flow(p.OFPMatch(eth_type=0x0800, ipv4_dst=('10.0.0.0', '255.0.0.0')), [], table_id=0xff,
         command=o.OFPFC_DELETE, out_port=4, out_group=5, cookie=0x10, cookie_mask=0xf0))
    emit('flow_mod/add', flow(p.OFPMatch(in_port=1, eth_type=0x0800, ip_proto=6, ipv4_src='10.0.0.1', tcp_dst=80),
         [p.OFPInstructionActions(o.OFPIT_APPLY_ACTIONS, [p.OFPActionDecNwTtl(), p.OFPActionOutput(2, 0)]), p.OFPInstructionGotoTable(3)],
         table_id=1, command=o.OFPFC_ADD, idle_timeout=30, hard_timeout=600, priority=1000, cookie=0xabcdef,
         buffer_id=o.OFP_NO_BUFFER, out_port=o.OFPP_ANY, out_group=o.OFPG_ANY, flags=0x1f))
    buckets = [p.OFPBucket(50, o.OFPP_ANY, o.OFPG_ANY, [p.OFPActionOutput(2, 0)]),
               p.OFPBucket(100, 3, 4, [p.OFPActionPopVlan(), p.OFPActionOutput(3, 0)]), p.OFPBucket(1, o.OFPP_ANY, o.OFPG_ANY, [])]
    emit('group_mod', p.OFPGroupMod(dp, o.OFPGC_ADD, o.OFPGT_SELECT, 2, buckets))
    emit('group_mod/delete', p.OFPGroupMod(dp, o.OFPGC_DELETE, o.OFPGT_ALL, o.OFPG_ALL, []))
    emit('port_mod', p.OFPPortMod(dp, 3, MAC, o.OFPPC_PORT_DOWN | o.OFPPC_NO_PACKET_IN, 0x65, 0x2020))
    emit('table_mod', p.OFPTableMod(dp, 254, 3))
    emit('barrier_request', p.OFPBarrierRequest(dp))
    emit('queue_get_config_request', p.OFPQueueGetConfigRequest(dp, o.OFPP_ANY))
    emit('role_request', p.OFPRoleRequest(dp, o.OFPCR_ROLE_MASTER, 0x1122334455667788))
    emit('get_async_request', p.OFPGetAsyncRequest(dp))
    emit('set_async', p.OFPSetAsync(dp, [7, 1], [7, 2], [15, 4]))
    emit('meter_mod', p.OFPMeterMod(dp, o.OFPMC_MODIFY, o.OFPMF_KBPS | o.OFPMF_BURST | o.OFPMF_STATS, 9, BAND))


def multipart():
    emit('multipart/desc', p.OFPDescStatsRequest(dp, 0))
    m = p.OFPMatch(eth_type=0x0800)
    emit('multipart/flow', p.OFPFlowStatsRequest(dp, 0, 0xff, o.OFPP_ANY, o.OFPG_ANY, 1, 3, m))
    emit('multipart/aggregate', p.OFPAggregateStatsRequest(dp, 0, 2, 3, 4, 5, 7, m))
    emit('multipart/table', p.OFPTableStatsRequest(dp, 0))
    emit('multipart/port_stats', p.OFPPortStatsRequest(dp, 0, o.OFPP_ANY))
    emit('multipart/queue', p.OFPQueueStatsRequest(dp, 0, 6, o.OFPQ_ALL))
    emit('multipart/group', p.OFPGroupStatsRequest(dp, 0, o.OFPG_ALL))
    emit('multipart/group_desc', p.OFPGroupDescStatsRequest(dp, 0))
    emit('multipart/group_features', p.OFPGroupFeaturesStatsRequest(dp, 0))
    emit('multipart/meter', p.OFPMeterStatsRequest(dp, 0, o.OFPM_ALL))
    emit('multipart/meter_config', p.OFPMeterConfigStatsRequest(dp, 0, 8))
    emit('multipart/meter_features', p.OFPMeterFeaturesStatsRequest(dp, 0))
    emit('multipart/table_features', p.OFPTableFeaturesStatsRequest(dp, 0, []))
    emit('multipart/port_desc', p.OFPPortDescStatsRequest(dp, 0))
    emit('multipart/experimenter', p.OFPExperimenterStatsRequest(dp, 0, 0x4f4e4600, 1871, b'1234'))
    props = [
        p.OFPTableFeaturePropInstructions(type_=o.OFPTFPT_INSTRUCTIONS, instruction_ids=[p.OFPInstructionId(1), p.OFPInstructionId(4)]),
        p.OFPTableFeaturePropNextTables(type_=o.OFPTFPT_NEXT_TABLES, table_ids=[1, 2, 3]),
        p.OFPTableFeaturePropActions(type_=o.OFPTFPT_WRITE_ACTIONS, action_ids=[p.OFPActionId(0), p.OFPActionId(25)]),
        p.OFPTableFeaturePropActions(type_=o.OFPTFPT_APPLY_ACTIONS, action_ids=[p.OFPActionId(0)]),
        p.OFPTableFeaturePropOxm(type_=o.OFPTFPT_MATCH, oxm_ids=[p.OFPOxmId('eth_dst', True), p.OFPOxmId('eth_type')]),
        p.OFPTableFeaturePropOxm(type_=o.OFPTFPT_WILDCARDS, oxm_ids=[p.OFPOxmId('eth_dst')]),
        p.OFPTableFeaturePropOxm(type_=o.OFPTFPT_WRITE_SETFIELD, oxm_ids=[]),
        p.OFPTableFeaturePropOxm(type_=o.OFPTFPT_APPLY_SETFIELD, oxm_ids=[p.OFPOxmId('vlan_vid')]),
    ]
    table = p.OFPTableFeaturesStats(table_id=3, name=b'acl', metadata_match=0xff, metadata_write=0xf0, config=0, max_entries=1000, properties=props)
    emit('multipart/table_features/body', p.OFPTableFeaturesStatsRequest(dp, 0, [table]))


if __name__ == '__main__':
    matches()
    set_fields()
    actions()
    instructions()
    messages()
    multipart()
