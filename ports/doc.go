// Package ports is how frames enter and leave the switch. It knows nothing of
// flow tables: it gives and takes [packet.Frame] values in batches.
//
//	              agent/forward.go: Wait, Read a batch ... Write a batch
//	                                    |  Port
//	   +-----------+----------+---------+--+---------+-----------+---------+
//	afpacket, xdp  tap     internal       patch      pipe        wire      pcap
//	   |           |          |            |          |           |         |
//	packet or  a guest's   the bridge's  another    a test    a socket:  a file, or
//	AF_XDP     interface   own interface bridge     program   qemu, weir libpcap
//	socket on
//	a device
//
// port.go has the contract, spec.go the text that names a port, and every kind
// its own file. Below several kinds lie two shared pieces:
//
//   - offload.go finishes what a frame leaves to a device (checksums,
//     segmentation) for whatever cannot finish it itself. Kinds that can pass
//     such frames on whole do: Info.Offload says which.
//   - ring.go is a bounded queue that lends its frames in place. Where frames
//     have to wait for another goroutine (patch, pipe, wire, live libpcap) they
//     wait there, and a full ring drops and counts.
//
// # Port text
//
//	[NUMBER:]eth1                                an Ethernet device
//	eth1,readers=4                               frames are taken in by four goroutines side by side
//	xdp:eth1,mode=native                         the same by AF_XDP; mode is native, copy or generic
//	tap:vm1                                      a tap, made if it does not exist; readers=N gives it N queues
//	internal:br0,address=10.0.0.254/24           the bridge's own interface
//	patch:a,peer=b                               a cable to the patch that says patch:b,peer=a
//	pipe:p1                                      an in-memory pair
//	wire:udp,local=H:P,remote=H:P                one frame a datagram
//	wire:unixgram,local=PATH,remote=PATH
//	wire:tcp,listen=H:P  or  connect=H:P         QEMU's framing on a stream
//	wire:unix,listen=PATH  or  connect=PATH
//	pcap:in.pcapng,out=rec.pcapng,rate=fast      a capture file in, another out
//	pcap:eth0                                    a device by libpcap, if built with it
//
// every kind also takes name, mtu, offload, flood, tag, trunks and vlan-mode.
//
// # Wires and qemu
//
// A guest joins without any privilege, by either end's initiative:
//
//	weir: wire:unix,listen=/run/vm1.sock     qemu: -netdev stream,id=n,addr.type=unix,addr.path=/run/vm1.sock
//	weir: wire:tcp,listen=127.0.0.1:7000     qemu: -netdev socket,id=n,connect=127.0.0.1:7000
//	weir: wire:tcp,connect=127.0.0.1:7000    qemu: -netdev stream,id=n,server=on,addr.type=inet,addr.host=127.0.0.1,addr.port=7000
//	weir: wire:udp,local=127.0.0.1:7000,remote=127.0.0.1:7001
//	                                         qemu: -netdev dgram,id=n,local.type=inet,local.host=127.0.0.1,local.port=7001,
//	                                                      remote.type=inet,remote.host=127.0.0.1,remote.port=7000
//	weir: wire:unixgram,local=/run/a,remote=/run/b
//	                                         qemu: -netdev dgram,id=n,local.type=unix,local.path=/run/b,remote.type=unix,remote.path=/run/a
//
// A wire has two ends: while one client is connected a listening wire turns a
// second one away, as qemu does. A client that comes while the first is just
// leaving is let in.
//
// # Concurrency
//
// A port has one reader at a time (a Parted one has one for each inlet), any number of writers, and anybody may ask
// for Info or Close it. Frames that Read gave may lie in the port's memory
// until its next Read or Wait. Write copies or sends before it returns. A wire
// has a goroutine for each direction and one that keeps the connection; live
// libpcap has a reader and a watcher; files, pipes and patches have none.
// OnChange is called without any lock of the port held. Counters are atomics,
// added once a batch.
package ports
