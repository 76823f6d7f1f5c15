// Package openflow is the vocabulary of OpenFlow 1.3.5 with its bytes: every message, match field,
// action, instruction and error, read from the wire and written to it. It knows nothing of switching,
// so that it serves a switch and a controller alike.
//
//	net.Conn <-> Conn            framing, one ordered reader, buffered writer     conn.go
//	               |
//	          Decode / Append    header, type -> decoder, length checks           message.go
//	               |
//	      one struct a message   flow.go group.go meter.go table.go port.go
//	               |             packet.go queue.go role.go switch.go echo.go hello.go
//	               |             multipart.go: requests, replies and their splitting
//	               |
//	  Match  Actions  Instructions     views over the bytes of the message        match.go action.go
//	               |                                                              instruction.go nicira.go
//	            fields           ONE table: name, width, maskable, prerequisites  oxm.go
//	            Error            type and code, Go error and message in one       error.go errorcodes.go
//	            String           a line of text for logs                          text.go
//
// # Values are validated views
//
// Decode checks a message from end to end, then hands out views over its bytes: a Match, a list of
// Actions or Instructions is the memory it came in. Reading them again allocates nothing and cannot
// fail, and what is given back in a reply is what was sent, to the bit. The price: a view dies with the
// message. Whoever keeps a Match, Actions or Instructions keeps a Clone.
//
// Hostile input is the normal case. A decoder compares every length with what is left before it reads,
// advances with every step, and answers with the *Error that section 7.4.4 asks for.
//
// What only the switch can know is not checked here: whether a table, port, group, meter or buffer
// exists, whether actions agree with the match of their flow, which roles may ask.
//
// # Deviations
//
// A prerequisite must come before the field that needs it, as in Open vSwitch. Masks on transport
// ports and on ND fields are taken, also as there. An instruction type that appears twice is
// answered with the code that the ONF gave out for 1.3 (ONFDuplicateInstruction). A flow, group or
// meter so large that no reply could show it is refused with BRCBadLen.
//
// # Concurrency
//
// Values are immutable once made and may be shared. Conn has one reader; its writers may be many.
// The package has no state, no goroutine and no clock.
package openflow
