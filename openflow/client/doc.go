// Package client asks an OpenFlow switch, weir or any other, what ovs-ofctl asks it, and writes what
// ovs-ofctl writes: its commands with their arguments, texts, transaction ids and exit statuses.
//
//	command.go   the table of commands, which help and completion read, too
//	client.go    Client: options, names of ports, files of flows
//	session.go   one connection: HELLOs, questions and answers, changes with their barriers
//	read.go      what asks: show, dump-flows, ...
//	change.go    what changes: add-flow, replace-flows, mod-port, ...
//	bundle.go    changes that all take effect, or none
//	monitor.go   what prints until it is stopped, and what prints without a switch
//	json.go      the answers for programs
//
// A caller says how a switch's name becomes a connection (Client.Dial); the package knows nothing of
// run directories, certificates and switching. It speaks OpenFlow 1.3, and 1.0 through
// package of10 where that is asked for or is all that the switch has.
//
// # Concurrency
//
// A Client belongs to one goroutine. The end of its context closes the connection it is reading.
package client
