"""The partner of examples/ryu/lacp.py on eth0: speaks LACP until it is killed and prints the answers."""
import socket

from os_ken.lib.packet import ethernet, packet, slow

s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x8809))
s.bind(('eth0', 0x8809))
s.settimeout(0.5)
own = ':'.join('%02x' % b for b in s.getsockname()[4])
p = packet.Packet()
p.add_protocol(ethernet.ethernet(slow.SLOW_PROTOCOL_MULTICAST, own, 0x8809))
p.add_protocol(slow.lacp(actor_system_priority=65535, actor_system=own, actor_key=9, actor_port_priority=255, actor_port=1,
                         actor_state_activity=1, actor_state_timeout=1, actor_state_aggregation=1,
                         actor_state_synchronization=1, actor_state_collecting=1, actor_state_distributing=1))
p.serialize()
while True:
    s.send(p.data)
    try:
        answer = packet.Packet(s.recv(2000)).get_protocol(slow.lacp)
        print('partner %s key %d port %d heard %s port %d' % (
            answer.actor_system, answer.actor_key, answer.actor_port, answer.partner_system, answer.partner_port), flush=True)
    except socket.timeout:
        continue
