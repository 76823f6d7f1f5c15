// Command controller is a learning switch for OpenFlow 1.3 in a hundred lines of Go. What it says to switches is
// written by github.com/contiv/libOpenflow; what they say is read by weir's own openflow package, which checks lengths.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"os"

	"github.com/contiv/libOpenflow/common"
	of "github.com/contiv/libOpenflow/openflow13"
	"github.com/contiv/libOpenflow/util"

	"github.com/weirswitch/weir/openflow"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:6653", "address that switches call")
	flag.Parse()
	ln, err := net.Listen("tcp", *listen)
	if err != nil {
		fmt.Fprintln(os.Stderr, "controller:", err)
		os.Exit(1)
	}
	log.Printf("listening on %s", ln.Addr())
	for {
		nc, err := ln.Accept()
		if err != nil {
			fmt.Fprintln(os.Stderr, "controller:", err)
			os.Exit(1)
		}
		go func() {
			s := &session{conn: openflow.NewConn(nc), seen: map[string]uint32{}}
			log.Printf("%s: gone: %v", nc.RemoteAddr(), s.serve())
			nc.Close()
		}()
	}
}

// session is one connected switch. One goroutine owns it.
type session struct {
	conn *openflow.Conn
	seen map[string]uint32 // Ethernet address -> the port behind which it was seen
}

// serve greets the switch and answers it until the connection ends.
func (s *session) serve() error {
	hello, err := common.NewHello(4) // 4 is OpenFlow 1.3
	if err != nil {
		return err
	}
	if err := s.say(hello, of.NewFeaturesRequest()); err != nil {
		return err
	}
	for {
		m, xid, _, err := s.conn.Read()
		if err != nil {
			return err
		}
		switch m := m.(type) {
		case *openflow.FeaturesReply:
			log.Printf("switch %016x connected", m.DatapathID)
			err = s.say(flow(0, *of.NewMatch(), output(of.P_CONTROLLER)))
		case *openflow.PacketIn:
			err = s.learn(m)
		case *openflow.EchoRequest:
			err = s.conn.Send(xid, &openflow.EchoReply{Data: m.Data}) // the encoder of libOpenflow loses the data
		case *openflow.Error:
			log.Printf("the switch refuses: %v", m)
		}
		if err != nil {
			return err
		}
	}
}

// learn remembers the sender's port, installs an entry if the receiver's is known too, and sends the packet on.
func (s *session) learn(in *openflow.PacketIn) error {
	port, ok := in.Match.Get(openflow.InPort)
	if !ok || len(in.Data) < 14 {
		return nil
	}
	inPort := uint32(port.Value.Uint64())
	dst, src := net.HardwareAddr(in.Data[0:6]), net.HardwareAddr(in.Data[6:12])
	s.seen[src.String()] = inPort
	out, known := s.seen[dst.String()]
	if known {
		match := *of.NewMatch()
		match.AddField(*of.NewInPortField(inPort))
		match.AddField(*of.NewEthDstField(dst, nil))
		match.AddField(*of.NewEthSrcField(src, nil))
		log.Printf("learned %s -> %s by port %d", src, dst, out)
		if err := s.say(flow(1, match, output(out))); err != nil {
			return err
		}
	} else {
		out = of.P_FLOOD
	}
	po := of.NewPacketOut()
	po.InPort = inPort
	po.AddAction(output(out))
	po.Data = util.NewBuffer(in.Data)
	return s.say(po)
}

// flow is a FLOW_MOD that adds an entry to table 0.
func flow(priority uint16, match of.Match, action of.Action) *of.FlowMod {
	apply := of.NewInstrApplyActions()
	_ = apply.AddAction(action, false) // its error is always nil
	fm := of.NewFlowMod()
	fm.Priority, fm.Match = priority, match
	fm.AddInstruction(apply)
	return fm
}

// output sends a frame to a port, to the controller whole.
func output(port uint32) *of.ActionOutput {
	a := of.NewActionOutput(port)
	a.MaxLen = of.OFPCML_NO_BUFFER
	return a
}

// say encodes messages and sends them.
func (s *session) say(messages ...util.Message) error {
	for _, m := range messages {
		b, err := m.MarshalBinary()
		if err != nil {
			return err
		}
		if err := s.conn.QueueRaw(b); err != nil {
			return err
		}
	}
	return s.conn.Flush()
}
