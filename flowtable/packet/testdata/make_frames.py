#!/usr/bin/python3
"""Writes frames.json: frames made by scapy, and what scapy reads in them.

Run it with Debian's python3-scapy: ./make_frames.py > frames.json
The fields are found by scapy's own dissection, not by weir: they are the
oracle for Parse. Keys are the names of packet.Field.String.
"""
import json
import sys

from scapy.all import (ARP, AH, BOOTP, Dot1AD, Dot1Q, Dot3, ESP, Ether, GRE, ICMP, IP, IPOption,
                       IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop,
                       IPv6ExtHdrRouting, ICMPv6EchoRequest, ICMPv6ND_NA, ICMPv6ND_NS,
                       ICMPv6ND_RA, ICMPv6NDOptDstLLAddr, ICMPv6NDOptSrcLLAddr,
                       ICMPv6NDOptMTU, LLC, Raw, SCTP, SCTPChunkData, SNAP, TCP, UDP, VXLAN)
from scapy.contrib.mpls import MPLS
from scapy.layers.sctp import SCTPChunkInit
from scapy.layers.inet6 import IPv6ExtHdrSegmentRouting
import socket
import struct

A, B = "02:00:00:00:00:01", "02:00:00:00:00:02"
E = Ether(dst=B, src=A)
I4 = IP(src="10.0.0.1", dst="10.0.0.2", ttl=33, tos=0xb9)
I6 = IPv6(src="2001:db8::1", dst="2001:db8:ffff::2", hlim=44, tc=0x5d, fl=0xabcde)
T = TCP(sport=1025, dport=443, flags="PA", seq=7, ack=9)
D = Raw(b"the quick brown fox jumps over the lazy dog")
ODD = Raw(b"odd")
VX = E / I4 / UDP(sport=5000, dport=4789) / VXLAN(vni=7) / E / I4 / T / D


def pbb(inner, isid=0x123456, pcp=5, uca=1):
    tci = pcp << 29 | uca << 27 | isid
    return Ether(dst="02:bb:00:00:00:02", src="02:bb:00:00:00:01", type=0x88e7) / Raw(
        struct.pack("!I", tci) + bytes(inner))


NS = I6 / ICMPv6ND_NS(tgt="2001:db8::77")
NA = I6 / ICMPv6ND_NA(tgt="2001:db8::78")
SLL, TLL = ICMPv6NDOptSrcLLAddr(lladdr=A), ICMPv6NDOptDstLLAddr(lladdr=B)
HOP, DEST = IPv6ExtHdrHopByHop(), IPv6ExtHdrDestOpt()
RT0 = IPv6ExtHdrRouting(addresses=["2001:db8::9"], segleft=1)
RTD = IPv6ExtHdrRouting(addresses=["2001:db8::9"], segleft=0)
F0, F1 = IPv6ExtHdrFragment(m=1, id=5), IPv6ExtHdrFragment(m=1, offset=4, id=5)
FA = IPv6ExtHdrFragment(id=5)


# scapy leaves the TCP checksum behind an AH at zero.
TD, TN = (TCP(bytes(E / I6 / T / p)[54:74]) for p in (D, Raw(b"")))


def tag(vlan, prio=0, kind=0x8100, dei=0):
    return (Dot1AD if kind == 0x88a8 else Dot1Q)(vlan=vlan, prio=prio, id=dei)


def q9100(inner):
    b = bytearray(bytes(inner))
    b[12:14] = b"\x91\x00"
    return Raw(bytes(b))


FRAMES = {
    "tcp": E / I4 / T / D,
    "tcp-options": E / I4 / TCP(sport=1, dport=2, flags="SEC", options=[("MSS", 1460), ("WScale", 7)]),
    "tcp-ns-flag": E / I4 / TCP(sport=9, dport=8, flags=0x1ff) / ODD,
    "tcp-padded": Raw(bytes(E / I4 / TCP(sport=5, dport=6)) + b"\0\xaa\xbb\0\0\0"),
    "udp": E / I4 / UDP(sport=53, dport=5353) / D,
    "udp-odd": E / I4 / UDP(sport=53, dport=5353) / ODD,
    "udp-no-checksum": E / I4 / UDP(sport=53, dport=5353, chksum=0) / D,
    "udp-vxlan": VX,
    "sctp": E / I4 / SCTP(sport=77, dport=88, tag=99) / SCTPChunkData(data=b"sixteen bytes ok"),
    "sctp-init": E / I6 / SCTP(sport=77, dport=88) / SCTPChunkInit(),
    "icmp-echo": E / I4 / ICMP(type=8, code=0, id=1, seq=2) / D,
    "icmp-unreach": E / I4 / ICMP(type=3, code=4) / Raw(bytes(I4 / UDP() / D)[:28]),
    "ip-options": E / IP(src="1.2.3.4", dst="5.6.7.8", options=[IPOption(b"\x94\x04\0\0"), IPOption(b"\x01\x01\x01\0")]) / T / D,
    "ip-first-fragment": E / IP(src="1.2.3.4", dst="5.6.7.8", flags="MF", id=9) / UDP(sport=1, dport=2, len=3000, chksum=0x1234) / D,
    "ip-later-fragment": E / IP(src="1.2.3.4", dst="5.6.7.8", frag=100, id=9, proto=17) / D,
    "ip-last-tcp-fragment": E / IP(src="1.2.3.4", dst="5.6.7.8", frag=3, id=9, proto=6) / D,
    "ip-in-ip": E / I4 / IP(src="11.0.0.1", dst="11.0.0.2", ttl=5) / T / D,
    "ip6-in-ip": E / IP(src="10.0.0.1", dst="10.0.0.2", proto=41, ttl=9) / I6 / T / D,
    "gre": E / I4 / GRE() / IP() / ICMP(),
    "udplite": E / IP(src="10.0.0.1", dst="10.0.0.2", proto=136) / Raw(b"\0\1\0\2\0\0\x11\x22" + b"payload"),
    "esp": E / I4 / ESP(spi=1, seq=2, data=b"x" * 24),
    "bootp": Ether(dst="ff:ff:ff:ff:ff:ff", src=A) / IP(src="0.0.0.0", dst="255.255.255.255") / UDP(sport=68, dport=67) / BOOTP(),
    "arp-request": Ether(dst="ff:ff:ff:ff:ff:ff", src=A) / ARP(op=1, hwsrc=A, psrc="10.0.0.1", pdst="10.0.0.2"),
    "arp-reply": E / ARP(op=2, hwsrc=A, psrc="10.0.0.1", hwdst=B, pdst="10.0.0.2") / Raw(b"\0" * 18),
    "arp-odd-op": E / ARP(op=0x1234, hwsrc=A, psrc="10.0.0.1", hwdst=B, pdst="10.0.0.2"),
    "rarp": Ether(dst=B, src=A, type=0x8035) / ARP(op=3, hwsrc=A, hwdst=B, psrc="0.0.0.0", pdst="0.0.0.0"),
    "vlan": E / tag(5, 3) / I4 / T / D,
    "vlan-dei": E / tag(4095, 7, dei=1) / I4 / UDP(sport=1, dport=2) / D,
    "vlan-priority": E / tag(0, 6) / I4 / ICMP() / D,
    "vlan-arp": E / tag(9) / ARP(op=1, hwsrc=A, psrc="10.0.0.1", pdst="10.0.0.2"),
    "vlan-ip6": E / tag(9, 1) / I6 / T / D,
    "qinq": E / tag(100, 2, 0x88a8) / tag(200, 4) / I4 / T / D,
    "qinq-three": E / tag(1, 1, 0x88a8) / tag(2, 2, 0x88a8) / tag(3, 3) / I6 / UDP(sport=1, dport=2) / D,
    "qinq-9100": q9100(E / tag(11, 1) / tag(12, 2) / I4 / T),
    "vlan-five": E / tag(1) / tag(2) / tag(3) / tag(4) / tag(5) / I4 / T,
    "vlan-snap": E / Dot1Q(vlan=6, type=8 + len(I4 / T)) / LLC(dsap=0xaa, ssap=0xaa, ctrl=3) / SNAP(OUI=0, code=0x0800) / I4 / T,
    "mpls": E / MPLS(label=1000, cos=5, s=1, ttl=20) / I4 / T / D,
    "mpls-three": E / MPLS(label=0xfffff, cos=7, s=0, ttl=255) / MPLS(label=17, s=0, ttl=9) / MPLS(label=18, s=1, ttl=8) / I6 / T,
    "mpls-vlan": E / tag(7, 1) / MPLS(label=3, s=1, ttl=64) / I4 / T,
    "mpls-multicast": Ether(dst=B, src=A, type=0x8848) / MPLS(label=99, s=1, ttl=2) / I4 / UDP(),
    "pbb": pbb(E / I4 / T / D),
    "pbb-tagged": pbb(E / tag(33, 2) / I4 / T / D, isid=0xffffff, pcp=0, uca=0),
    "pbb-b-tag": Raw(bytes(pbb(E / I4 / T / D))[:12] + b"\x88\xa8\x60\x2a" + bytes(pbb(E / I4 / T / D))[12:]),
    "llc-stp": Dot3(dst="01:80:c2:00:00:00", src=A) / LLC(dsap=0x42, ssap=0x42, ctrl=3) / Raw(b"\0" * 35),
    "snap-ip": Dot3(dst=B, src=A) / LLC(dsap=0xaa, ssap=0xaa, ctrl=3) / SNAP(OUI=0, code=0x0800) / I4 / T / D,
    "snap-cisco": Dot3(dst=B, src=A) / LLC(dsap=0xaa, ssap=0xaa, ctrl=3) / SNAP(OUI=0xc, code=0x2000) / Raw(b"\1" * 30),
    "lldp": Ether(dst="01:80:c2:00:00:0e", src=A, type=0x88cc) / Raw(b"\2\7\4" + b"\2" * 6 + b"\0" * 40),
    "ip6-tcp": E / I6 / T / D,
    "ip6-udp": E / I6 / UDP(sport=53, dport=5353) / ODD,
    "ip6-echo": E / I6 / ICMPv6EchoRequest(id=1, seq=2, data=b"hello"),
    "ip6-ns": E / NS / SLL,
    "ip6-ns-no-option": E / NS,
    "ip6-ns-mtu-first": E / NS / ICMPv6NDOptMTU(mtu=1280) / SLL,
    "ip6-na": E / NA / TLL,
    "ip6-na-both": E / NA / SLL / TLL,
    "ip6-ra": E / I6 / ICMPv6ND_RA() / SLL,
    "ip6-hop": E / I6 / HOP / UDP(sport=1, dport=2) / D,
    "ip6-dest": E / I6 / DEST / T / D,
    "ip6-all-in-order": E / I6 / HOP / DEST / RTD / FA / AH(nh=60, payloadlen=4, icv=b"\0" * 12) / DEST / TD / D,
    "ip6-routing": E / I6 / RT0 / T / D,
    "ip6-segment-routing": E / I6 / IPv6ExtHdrSegmentRouting(addresses=["2001:db8::a", "2001:db8::b"], segleft=1, lastentry=1) / UDP(sport=3, dport=4) / D,
    "ip6-auth": E / I6 / AH(nh=6, payloadlen=4, spi=1, seq=2, icv=b"\1" * 12) / TD / D,
    "ip6-esp": E / I6 / ESP(spi=1, seq=2, data=b"y" * 16),
    "ip6-first-fragment": E / I6 / F0 / UDP(sport=1, dport=2, len=900, chksum=0x7777) / D,
    "ip6-later-fragment": E / I6 / IPv6ExtHdrFragment(m=1, offset=4, id=5, nh=17) / D,
    "ip6-atomic-fragment": E / I6 / FA / UDP(sport=1, dport=2) / D,
    "ip6-none": E / IPv6(src="::1", dst="::2", nh=59),
    "ip6-hop-twice": E / I6 / HOP / HOP / T,
    "ip6-dest-thrice": E / I6 / DEST / RTD / DEST / DEST / T,
    "ip6-hop-late": E / I6 / DEST / HOP / T,
    "ip6-routing-after-fragment": E / I6 / FA / RTD / T,
    "ip6-dest-before-auth": E / I6 / FA / DEST / AH(nh=6, payloadlen=4, icv=b"\0" * 12) / TN,
    "ip6-in-ip6": E / I6 / IPv6(src="::5", dst="::6", hlim=3) / T / D,
}

ORDER = {0: 0, 60: 1, 43: 2, 44: 3, 51: 4, 50: 5}
BIT = {0: 64, 60: 8, 43: 32, 44: 16, 51: 4, 50: 2}


KIND = {0: IPv6ExtHdrHopByHop, 60: IPv6ExtHdrDestOpt, 44: IPv6ExtHdrFragment, 51: AH, 50: ESP,
        6: TCP, 17: UDP, 132: SCTP}


def known(nh, p):
    """p as the header nh, where scapy has not bound one to the other."""
    if isinstance(p, Raw) and nh == 43:
        return (IPv6ExtHdrSegmentRouting if bytes(p)[2] == 4 else IPv6ExtHdrRouting)(bytes(p))
    return KIND[nh](p.original) if isinstance(p, (Raw, IP)) and nh in KIND else p


def mac(s):
    return int(s.replace(":", ""), 16)


def exthdr(kinds, last):
    """The bits of OpenFlow 1.3.5, 7.2.3.7, from the list of headers."""
    bits = 1 if last == 59 else 0
    for k in kinds:
        if k != 0 or kinds[0] == 0:  # hop-by-hop counts as the first one only
            bits |= BIT[k]
    places = [0, 60, 43, 44, 51, 50, 60]
    for k in set(kinds):
        if kinds.count(k) > places.count(k):
            bits |= 128
    # In order: some way to lay them, repeats apart, on growing places.
    pos, dests = 0, 0
    for k in kinds:
        if k == 60:
            want = 1 if pos <= 1 and dests == 0 else 6
            dests += 1
        else:
            want = ORDER[k]
        if want < pos:
            bits |= 256
        pos = max(pos, want)
    return bits


def l4(f, p, proto):
    if proto == 6:
        f["tp_src"], f["tp_dst"], f["tcp_flags"] = p[TCP].sport, p[TCP].dport, int(p[TCP].flags) | p[TCP].reserved << 9
    elif proto == 17:
        f["tp_src"], f["tp_dst"] = p[UDP].sport, p[UDP].dport
    elif proto == 132:
        f["tp_src"], f["tp_dst"] = p[SCTP].sport, p[SCTP].dport
    elif proto == 1:
        f["icmpv4_type"], f["icmpv4_code"] = p[ICMP].type, p[ICMP].code
    elif proto == 58:
        f["icmpv6_type"], f["icmpv6_code"] = p.type, p.code
        if p.type in (135, 136):
            f["ipv6_nd_target"] = int.from_bytes(socket.inet_pton(socket.AF_INET6, p.tgt), "big")
            o = p.payload
            while o:
                if type(o) is ICMPv6NDOptSrcLLAddr:
                    f["ipv6_nd_sll"] = mac(o.lladdr)
                if type(o) is ICMPv6NDOptDstLLAddr:
                    f["ipv6_nd_tll"] = mac(o.lladdr)
                o = o.payload


def ip6(f, p):
    f["ipv6_src"] = int.from_bytes(socket.inet_pton(socket.AF_INET6, p.src), "big")
    f["ipv6_dst"] = int.from_bytes(socket.inet_pton(socket.AF_INET6, p.dst), "big")
    f["ipv6_flabel"], f["ip_ttl"], f["ip_dscp"], f["ip_ecn"] = p.fl, p.hlim, p.tc >> 2, p.tc & 3
    nh, p, kinds = p.nh, known(p.nh, p.payload), []
    while nh in ORDER:
        kinds.append(nh)
        if nh == 50:
            break
        if nh == 44 and (p.m or p.offset):
            f["ip_frag"] = 3 if p.offset else 1
            if p.offset:
                nh = p.nh
                break
        nh, p = p.nh, known(p.nh, p.payload)
    f["ip_proto"], f["ipv6_exthdr"] = nh, exthdr(kinds, nh)
    if f.get("ip_frag") != 3:
        l4(f, p, nh)


def fields(b):
    p = Ether(b)
    f = {"eth_dst": mac(p.dst), "eth_src": mac(p.src)}
    typ = p.type if isinstance(p, Ether) else 0
    p, first, at = p.payload, True, 14
    raw = b
    while typ in (0x8100, 0x88a8, 0x9100):
        if not isinstance(p, Dot1Q):
            p = Dot1Q(raw[at:])
        if first:
            f["vlan_vid"], f["vlan_pcp"] = p.vlan | 0x1000, p.prio
        first, typ, p, at = False, p.type, p.payload, at + 4
    if typ < 0x600:
        llc = LLC(raw[at:])
        typ = 0x5ff
        if llc.haslayer(SNAP) and llc[SNAP].OUI == 0:
            typ, p = llc[SNAP].code, llc[SNAP].payload
    f["eth_type"] = typ
    if typ == 0x800:
        f["ipv4_src"], f["ipv4_dst"] = (int.from_bytes(socket.inet_aton(x), "big") for x in (p.src, p.dst))
        f["ip_ttl"], f["ip_dscp"], f["ip_ecn"], f["ip_proto"] = p.ttl, p.tos >> 2, p.tos & 3, p.proto
        if p.frag:
            f["ip_frag"] = 3
        elif p.flags.MF:
            f["ip_frag"] = 1
        if not p.frag:
            l4(f, p.payload, p.proto)
    elif typ == 0x86dd:
        ip6(f, p)
    elif typ in (0x806, 0x8035):
        if not isinstance(p, ARP):
            p = ARP(bytes(p))
        f["arp_op"], f["arp_sha"], f["arp_tha"] = p.op, mac(p.hwsrc), mac(p.hwdst)
        f["arp_spa"], f["arp_tpa"] = (int.from_bytes(socket.inet_aton(x), "big") for x in (p.psrc, p.pdst))
    elif typ in (0x8847, 0x8848):
        if not isinstance(p, MPLS):
            p = MPLS(raw[at:])
        f["mpls_label"], f["mpls_tc"], f["mpls_bos"], f["mpls_ttl"] = p.label, p.cos, p.s, p.ttl
    elif typ == 0x88e7:
        tci = int.from_bytes(raw[at:at + 4], "big")
        f["pbb_isid"], f["pbb_uca"] = tci & 0xffffff, tci >> 27 & 1
    return {k: "%x" % v for k, v in f.items() if v}


out = []
for name, frame in FRAMES.items():
    b = bytes(frame)
    out.append({"name": name, "hex": b.hex(), "fields": fields(b)})
json.dump(out, sys.stdout, indent=1)
print()
