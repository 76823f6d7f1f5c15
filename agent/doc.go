// Slow path: the package's map; it holds no code.

// Package agent is the switch itself: it joins ports on one side and controllers on the other to a
// flowtable.Pipeline.
//
//	frames                                        messages
//	ports.Port                                    net.Conn
//	  | Read, a batch                               | openflow.Conn
//	forward.go   one goroutine a port,            channel.go   one reader a connection: HELLO, order
//	  |          workers from a pool              dispatch.go  type -> handler
//	flowtable.Processor <---- snapshot ----       flow.go port.go packet.go role.go multipart.go ...
//	  | Sink                           Pipeline     | results, errors
//	forward.go   one Write a port and batch       outbox.go    bounded; one writer a connection
//	  | PacketIn
//	packet.go -> outbox.go of every connection that wants it
//
// auxiliary.go adds connections to a controller's channel, limit.go and buffer.go bound what packet-ins
// cost, parts.go gathers requests that come in several messages, tls.go and tlsinit.go are about
// certificates.
//
// switch.go has the birth and death of a Switch, port.go its ports, dial.go the way to controllers and
// from tools, apply.go the difference between two configurations, status.go what it says of itself,
// settle.go when a switch between pipes has nothing left to do.
// config*.go, agent.go, control*.go and log.go belong to the process around it: files, flags, several
// switches, and the socket for weir's own commands.
//
// # Concurrency
//
// A port's goroutine (one for each inlet, if it has several) waits in Wait without anything else. When frames come it borrows a worker (a
// Processor, frame buffers, outgoing batches), forwards until the port is dry or has had its turn, and
// gives the worker back; there are as many workers as processors. Workers take no lock and read three
// atomic pointers: the engine's snapshot, the table of ports, the list of connections.
//
// Taking a port out is: publish tables without it, wait until every batch under way has ended
// (quiesce), close the device, wait for its goroutine. Nothing touches a closed device.
//
// Each connection is handled by its reader alone, so its messages take effect in their order; the
// engine serialises those of several connections. Answers and errors wait for room in the
// connection's own outbox, which stops its reader and nobody else. What is sent without being asked
// never waits: packet-ins and FLOW_REMOVED are dropped and counted when there is no room, and a peer
// that cannot take a PORT_STATUS is disconnected.
//
// Switch.ops is held through a whole change of configuration, Switch.mu for short moments inside;
// outbox locks are innermost.
//
// # Time
//
// Everything that waits does so through a Clock. With a ManualClock and one worker a switch is a
// function of its input; Settle says when it has produced all of its output. examples/intest and
// examples/simulation stand on that.
package agent
