#!/usr/bin/python3
"""Read "name hex" lines, have os-ken parse each message, and print "name class hex-again-if-it-can"."""
import sys
from os_ken.ofproto import ofproto_v1_3 as o, ofproto_v1_3_parser as p
from os_ken.ofproto import ofproto_parser
from os_ken.ofproto.ofproto_protocol import ProtocolDesc

dp = ProtocolDesc(o.OFP_VERSION)
for line in sys.stdin:
    name, data = line.split()[:2]
    buf = bytes.fromhex(data)
    version, msg_type, msg_len, xid = ofproto_parser.header(buf)
    try:
        msg = ofproto_parser.msg(dp, version, msg_type, msg_len, xid, buf)
    except Exception as e:  # the test wants to know which message, and goes on
        print(name, 'failed', repr(e).replace(' ', '_'))
        continue
    body = getattr(msg, 'body', None)
    print(name, type(msg).__name__, len(body) if isinstance(body, list) else '-')
