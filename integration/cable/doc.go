// Package cable makes ports of every kind that can carry arbitrary frames, with a far end in the test's hands: what a
// test sends there comes in by the port, and what leaves by the port is received there, byte for byte.
//
//	cable_linux.go   Kit: a network namespace to lay cables in; Cable: a port's text and its far end
//	inbox_linux.go   what has come to a far end, until somebody asks; how to know that all is there
//	packet_linux.go  the far end of a device: a packet socket that sends and receives offload state and VLAN tags
//	wire_linux.go    the far end of a wire, over datagrams and streams
//
// A far end stands for the neighbour of a switch: a host with offloads behind a veth or a tap, a guest behind a wire.
// It has code of its own for all that it does, so that a test compares a port with something else than itself.
//
// # Concurrency
//
// One goroutine may inject and one receive at a time, beside others that plug and unplug.
package cable
