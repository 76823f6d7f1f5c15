// Package oftest is a controller for tests and examples: it listens for a switch or dials one, shakes
// hands, sends, waits for answers, and keeps what the switch sends by itself until it is asked for.
//
//	c, err := oftest.Dial("tcp", "127.0.0.1:6654", oftest.Config{})
//	err = c.Apply(&openflow.FlowMod{...})           // sends, then a barrier; an ERROR comes back as the error
//	flows, err := c.Flows(openflow.AllFlows())
//	in, err := oftest.Expect(c, func(p *openflow.PacketIn) bool { return p.TableID == 0 })
//
// # Map
//
//	net.Conn -> reader goroutine -> reply with a xid that someone waits for -> Request, Multipart, Barrier
//	                             -> ERROR                                   -> the same, and Errors
//	                             -> ECHO_REQUEST                            -> answered here
//	                             -> everything else                         -> queue -> Expect
//
// # Concurrency
//
// A Controller may be used by many goroutines. It has one reader goroutine, which ends with the
// connection. What it hands out is a copy that nobody else holds. Waiting is bounded by
// Config.Timeout, in the time of testing/synctest if the test runs in such a bubble over net.Pipe.
package oftest
