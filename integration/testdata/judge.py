"""Sends frames into a switch and judges what comes out, by scapy's own idea of the bytes.

Frames are written as scapy expressions, with the short names below. One JSON object a line comes on standard input and
one goes back:

    {"port": "p1", "send": ["E()/I4()/U()"], "want": {"p2": ["E()/I4(ttl=63)/U()"]}}  -> {"wrong": ["..."]}
    {"bytes": "0200...", "expect": "E()/I4()/U()"}                                    -> {"wrong": ["..."]}
    {"build": "E()/I4()/U()"}                                                         -> {"bytes": "0200..."}

After the frames a marker goes in, which the switch sends to every port: what had to come out has come before it. A frame
with "unfinished": true travels as a host's would, with the sum of the pseudo header where the checksum will be. Frames
are compared twice: byte for byte with the expected one as scapy builds it, and with themselves after scapy has parsed
them and computed every checksum and length again.
"""
import json
import socket
import struct
import sys

from scapy.config import conf
from scapy.contrib.mpls import MPLS
from scapy.contrib.spbm import SPBM
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_RR, in4_chksum
from scapy.layers.inet6 import (ICMPv6EchoRequest, ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptDstLLAddr,
                                ICMPv6NDOptSrcLLAddr, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrHopByHop, PadN, in6_chksum)
from scapy.layers.l2 import ARP, LLC, SNAP, Dot1AD, Dot1Q, Dot3, Ether
from scapy.layers.sctp import SCTP, SCTPChunkData
from scapy.packet import NoPayload, Raw, bind_layers

for lower in (Ether, Dot1Q, Dot1AD):
    bind_layers(lower, MPLS, type=0x8848)
    bind_layers(lower, MPLS, type=0x8847)
conf.verb = 0

DATA = b"what the frame carries"


def mac(n):
    return "02:00:00:00:00:%02x" % n


def E(dst=2, src=1, **k):
    return Ether(dst=mac(dst), src=mac(src), **k)


def Q(vlan=0, **k):
    return Dot1Q(vlan=vlan, **k)


def AD(vlan=0, **k):
    return Dot1AD(vlan=vlan, **k)


def M(label=16, ttl=64, s=1, cos=0):
    return MPLS(label=label, ttl=ttl, s=s, cos=cos)


def B(isid, **k):
    return SPBM(isid=isid, **k)


def I4(src="10.0.0.1", dst="10.0.0.2", **k):
    return IP(src=src, dst=dst, id=7, **k)


def I6(src="fd00::1", dst="fd00::2", hlim=64, **k):
    return IPv6(src=src, dst=dst, hlim=hlim, **k)


def U(sport=1000, dport=2000, **k):
    return UDP(sport=sport, dport=dport, **k) / DATA


def T(sport=1000, dport=2000, **k):
    return TCP(sport=sport, dport=dport, seq=5, ack=6, flags="PA", **k) / DATA


def S(sport=1000, dport=2000):
    return SCTP(sport=sport, dport=dport, tag=9) / SCTPChunkData(data=DATA[:16], beginning=1, ending=1)


def C(type=8, code=0):
    return ICMP(type=type, code=code, id=3, seq=4) / DATA


def C6(type=128, code=0):
    return ICMPv6EchoRequest(type=type, code=code, id=3, seq=4, data=DATA)


def A(**k):
    return ARP(**{**dict(op=1, hwsrc=mac(1), psrc="10.0.0.1", hwdst=mac(2), pdst="10.0.0.2"), **k})


def NS(tgt="fd00::2", ll=1):
    return ICMPv6ND_NS(tgt=tgt) / ICMPv6NDOptSrcLLAddr(lladdr=mac(ll))


def NA(tgt="fd00::2", ll=1):
    return ICMPv6ND_NA(tgt=tgt) / ICMPv6NDOptDstLLAddr(lladdr=mac(ll))


def layers(p):
    while not isinstance(p, NoPayload):
        yield p
        p = p.payload


CHECKED = (IP, TCP, UDP, SCTP, ICMP)  # in "chksum"; the ICMPv6 classes have "cksum"


def rebuilt(raw):
    """The frame after every checksum and length in it was thrown away and computed anew."""
    p = Ether(raw)
    for layer in layers(p):
        if isinstance(layer, CHECKED) and not (isinstance(layer, UDP) and layer.chksum == 0):
            del layer.chksum
        if "cksum" in layer.fields:
            del layer.cksum
        for length in ("len", "plen"):
            if isinstance(layer, (IP, IPv6, UDP)) and length in layer.fields:
                delattr(layer, length)
    return bytes(p)


def judged(where, raw, want):
    wrong = []
    if raw != want:
        wrong.append("%s: came out\n  %s\n  %r\nwanted\n  %s\n  %r" % (where, raw.hex(), Ether(raw), want.hex(), Ether(want)))
    again = rebuilt(raw)
    if raw != again:
        wrong.append("%s: scapy computes\n  %s\nwhere there is\n  %s" % (where, again.hex(), raw.hex()))
    return wrong


def summed(data):
    s = sum(struct.unpack("!%dH" % ((len(data) + 1) // 2), data + b"\0" * (len(data) % 2)))
    while s >> 16:
        s = (s & 0xffff) + (s >> 16)
    return s


VNET = struct.Struct("=BBHHHH")
NEEDS_CSUM = 1


class Port:
    def __init__(self, name):
        self.name = name
        self.s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.s.setsockopt(263, 15, 1)  # PACKET_VNET_HDR: unfinished checksums come and go as they are
        self.s.setsockopt(263, 8, 1)  # PACKET_AUXDATA: the tag that the kernel takes off
        self.s.setsockopt(263, 23, 1)  # PACKET_IGNORE_OUTGOING
        self.s.bind((name, 3))
        self.s.settimeout(60)

    def send(self, p, unfinished=False):
        raw, head = bytes(p), VNET.pack(0, 0, 0, 0, 0, 0)
        if unfinished:
            raw, head = unfinish(Ether(raw))
        self.s.send(head + raw)

    def recv(self):
        raw, anc, _, _ = self.s.recvmsg(70000, 256)
        flags, gso, _, _, start, offset = VNET.unpack(raw[:VNET.size])
        if gso:
            raise ValueError("%s: a super-frame came out" % self.name)
        raw = bytearray(raw[VNET.size:])
        if flags & NEEDS_CSUM:  # what a network card would do
            raw[start + offset:start + offset + 2] = struct.pack("!H", 0xffff - summed(bytes(raw[start:])) or 0xffff)
        for level, kind, data in anc:
            if (level, kind) == (263, 8):
                status, _, _, _, _, tci, tpid = struct.unpack("=IIIHHHH", data)
                if status & 0x10:
                    raw[12:12] = struct.pack("!HH", tpid if status & 0x40 else 0x8100, tci)
        return bytes(raw)


def unfinish(p):
    """Leaves the checksum of the TCP or UDP header to the device, as a host does."""
    l4 = p.getlayer(TCP) or p.getlayer(UDP)
    l3, n = l4.underlayer, len(bytes(l4))
    pseudo = in4_chksum(l4.underlayer.proto, l3, b"\0" * n) if isinstance(l3, IP) else in6_chksum(6 if isinstance(l4, TCP) else 17, l3, b"\0" * n)
    l4.chksum = 0xffff - pseudo
    raw = bytes(p)
    head = VNET.pack(NEEDS_CSUM, 0, 0, 0, len(raw) - n, 16 if isinstance(l4, TCP) else 6)
    return raw, head


class Judge:
    def __init__(self, names):
        self.ports = {n: Port(n) for n in names}
        self.round = 0

    def run(self, port, send=(), want={}, unfinished=False):
        for text in send:
            self.ports[port].send(eval(text), unfinished)
        self.round += 1
        marker = bytes(Ether(dst=mac(0xfe), src=mac(0xff), type=0x88b5) / struct.pack("!Q", self.round))
        self.ports[port].send(Raw(marker))
        wrong = []
        for name, p in self.ports.items():
            got = []
            while True:
                raw = p.recv()
                if raw == marker:
                    break
                got.append(raw)
            texts = want.get(name, [])
            for i in range(max(len(got), len(texts))):
                where = "%s, frame %d" % (name, i)
                if i >= len(texts):
                    wrong.append("%s: nothing was to come, there is\n  %s\n  %r" % (where, got[i].hex(), Ether(got[i])))
                elif i >= len(got):
                    wrong.append("%s: nothing came, wanted was\n  %r" % (where, eval(texts[i])))
                else:
                    wrong += judged(where, got[i], bytes(eval(texts[i])))
        return {"wrong": wrong}

    def answer(self, q):
        if "build" in q:
            return {"bytes": bytes(eval(q["build"])).hex()}
        if "expect" in q:
            return {"wrong": judged("bytes", bytes.fromhex(q["bytes"]), bytes(eval(q["expect"])))}
        return self.run(**q)


judge = Judge(sys.argv[1:])
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    try:
        reply = judge.answer(json.loads(line))
    except Exception as e:  # the test must hear of it, whatever it is
        reply = {"wrong": ["%s: %s" % (type(e).__name__, e)]}
    print(json.dumps(reply), flush=True)
