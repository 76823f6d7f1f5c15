"""join GROUP ADDRESS: joins a multicast group on the interface with the address and prints each datagram that comes to port 9999.
send GROUP ADDRESS: sends one every tenth of a second."""
import socket
import sys
import time

s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
if sys.argv[1] == 'join':
    s.bind((sys.argv[2], 9999))
    s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(sys.argv[2]) + socket.inet_aton(sys.argv[3]))
    while True:
        print(s.recv(2000).decode(), flush=True)
s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(sys.argv[3]))
for n in range(10**6):
    s.sendto(b'datagram %d' % n, (sys.argv[2], 9999))
    time.sleep(0.1)
