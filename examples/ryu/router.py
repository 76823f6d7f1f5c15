"""A router by curl: it answers ARP and pings for its addresses, finds neighbours, and installs an entry for each, which
rewrites the addresses and counts the TTL down. What runs out of TTL comes here, and its sender is told.

    POST /router/DPID   {"port": 1, "address": "10.0.1.254/24"}
    GET  /router/DPID
"""

import ipaddress
import os
import sys

sys.path.append(os.path.dirname(os.path.abspath(__file__)))
from book import App, Rest, Unknown, add_flow, packet_out, to_controller, use  # noqa: E402

ofp_event = use('controller.ofp_event')
handler = use('controller.handler')
packet = use('lib.packet.packet')
ethernet, arp, ipv4, icmp = (use('lib.packet.' + name) for name in ('ethernet', 'arp', 'ipv4', 'icmp'))
ofproto = use('ofproto.ofproto_v1_3')

IP, ARP = 0x0800, 0x0806
BROADCAST = 'ff:ff:ff:ff:ff:ff'
NEIGHBOUR, OWN = 2, 3  # priorities, above those of the table-miss entry


class Router(App):
    OFP_VERSIONS = [ofproto.OFP_VERSION]

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.switches = {}
        self.interfaces = {}  # datapath id -> {port: ipaddress.IPv4Interface}
        self.neighbours = {}  # (datapath id, address) -> (port, hardware address)
        self.waiting = {}  # (datapath id, address) -> packets that wait for it
        self.rest = Rest([('GET', r'/router/(\d+)', self.show), ('POST', r'/router/(\d+)', self.add)])

    @handler.set_ev_cls(ofp_event.EventOFPSwitchFeatures, handler.CONFIG_DISPATCHER)
    def on_connect(self, ev):
        dp, parser = ev.msg.datapath, ev.msg.datapath.ofproto_parser
        self.switches[dp.id], self.interfaces[dp.id] = dp, {}
        add_flow(dp, 0, parser.OFPMatch(), [to_controller(dp)])
        invalid_ttl = 1 << ofproto.OFPR_INVALID_TTL
        asked = 1 << ofproto.OFPR_NO_MATCH | 1 << ofproto.OFPR_ACTION | invalid_ttl
        dp.send_msg(parser.OFPSetAsync(dp, asked, 0, 7, 7, 7, 0))

    def switch(self, dpid):
        if int(dpid) not in self.switches:
            raise Unknown('no switch %s is connected' % dpid)
        return self.switches[int(dpid)]

    def show(self, dpid):
        dp = self.switch(dpid)
        return {'addresses': {str(port): str(i) for port, i in self.interfaces[dp.id].items()},
                'neighbours': {a: {'port': n[0], 'hw_addr': n[1]} for (d, a), n in self.neighbours.items() if d == dp.id}}

    def add(self, dpid, body):
        dp, interface = self.switch(dpid), ipaddress.ip_interface(body['address'])
        if int(body['port']) not in dp.ports:
            raise Unknown('no port %s' % body['port'])
        self.interfaces[dp.id][int(body['port'])] = interface
        own = dp.ofproto_parser.OFPMatch(eth_type=IP, ipv4_dst=str(interface.ip))
        add_flow(dp, OWN, own, [to_controller(dp)])
        return self.show(dpid)

    def send(self, dp, port, ethertype, dst, *protocols):
        """Send a packet of our own out of a port."""
        p = packet.Packet()
        for protocol in (ethernet.ethernet(dst, dp.ports[port].hw_addr, ethertype),) + protocols:
            p.add_protocol(protocol)
        p.serialize()
        packet_out(dp, p.data, port)

    @handler.set_ev_cls(ofp_event.EventOFPPacketIn, handler.MAIN_DISPATCHER)
    def on_packet(self, ev):
        msg, dp = ev.msg, ev.msg.datapath
        port, p = msg.match['in_port'], packet.Packet(msg.data)
        eth, a, ip = p.get_protocol(ethernet.ethernet), p.get_protocol(arp.arp), p.get_protocol(ipv4.ipv4)
        ours = self.interfaces[dp.id].get(port)
        if ours is None:
            return
        if a:
            self.on_arp(dp, port, ours, a)
        elif ip and msg.reason == ofproto.OFPR_INVALID_TTL:
            self.complain(dp, port, eth, ours, msg.data, icmp.ICMP_TIME_EXCEEDED, 0, icmp.TimeExceeded)
        elif ip and any(ip.dst == str(i.ip) for i in self.interfaces[dp.id].values()):
            self.on_own(dp, port, eth, ip, p.get_protocol(icmp.icmp))
        elif ip and eth.dst == dp.ports[port].hw_addr:
            self.on_transit(dp, port, eth, ours, ip, msg.data)

    def on_arp(self, dp, port, ours, a):
        """Whoever speaks is a neighbour; whoever asks for us gets an answer."""
        if ipaddress.ip_address(a.src_ip) in ours.network and a.src_ip != str(ours.ip):
            self.found(dp, port, a.src_ip, a.src_mac)
        if a.opcode == arp.ARP_REQUEST and a.dst_ip == str(ours.ip):
            self.send(dp, port, ARP, a.src_mac, arp.arp_ip(
                arp.ARP_REPLY, dp.ports[port].hw_addr, a.dst_ip, a.src_mac, a.src_ip))

    def found(self, dp, port, address, mac):
        """A neighbour: its packets need us no more, and those that waited for it go."""
        if self.neighbours.get((dp.id, address)) != (port, mac):
            self.neighbours[dp.id, address] = port, mac
            parser = dp.ofproto_parser
            add_flow(dp, NEIGHBOUR, parser.OFPMatch(eth_type=IP, ipv4_dst=address), [
                parser.OFPActionDecNwTtl(), parser.OFPActionSetField(eth_src=dp.ports[port].hw_addr),
                parser.OFPActionSetField(eth_dst=mac), parser.OFPActionOutput(port)])
        for data, in_port in self.waiting.pop((dp.id, address), []):
            packet_out(dp, data, ofproto.OFPP_TABLE, in_port)

    def on_own(self, dp, port, eth, ip, echo):
        if echo and echo.type == icmp.ICMP_ECHO_REQUEST:
            self.send(dp, port, IP, eth.src, ipv4.ipv4(src=ip.dst, dst=ip.src, proto=1, ttl=64),
                      icmp.icmp(icmp.ICMP_ECHO_REPLY, 0, 0, echo.data))

    def on_transit(self, dp, port, eth, ours, ip, data):
        """A packet for somebody we have not met: ask for him, or say that there is no way."""
        for out, interface in self.interfaces[dp.id].items():
            if ipaddress.ip_address(ip.dst) in interface.network:
                queue = self.waiting.setdefault((dp.id, ip.dst), [])
                queue.append((data, port))
                del queue[:-10]
                self.send(dp, out, ARP, BROADCAST, arp.arp_ip(
                    arp.ARP_REQUEST, dp.ports[out].hw_addr, str(interface.ip), '00:00:00:00:00:00', ip.dst))
                return
        self.complain(dp, port, eth, ours, data, icmp.ICMP_DEST_UNREACH, 0, icmp.dest_unreach)

    def complain(self, dp, port, eth, ours, data, kind, code, body):
        """Tell a packet's sender why it went no further, with its header and eight bytes more."""
        ip = packet.Packet(data).get_protocol(ipv4.ipv4)
        told = body(data=data[14:14 + ip.header_length * 4 + 8])
        self.send(dp, port, IP, eth.src, ipv4.ipv4(src=str(ours.ip), dst=ip.src, proto=1, ttl=64),
                  icmp.icmp(kind, code, 0, told))
