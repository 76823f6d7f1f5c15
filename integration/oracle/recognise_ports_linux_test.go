package oracle

import (
	"bytes"
	"slices"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/ports"
)

// someStep recognises lives by one step of a kind.
func someStep[S step](like func(S) bool) func(*life) bool {
	return func(l *life) bool {
		return slices.ContainsFunc(l.steps, func(s step) bool { p, is := s.(S); return is && like(p) })
	}
}

func outputs(port openflow.PortNo) func(*flow) bool {
	return hasAction(func(a openflow.Action) bool { return a.Type == openflow.ActionOutput && a.Port == port })
}

// noPacketIn: a port has NO_PACKET_IN, and a table-miss entry sends to the controller.
func noPacketIn(l *life) bool {
	return someStep(func(p *portMod) bool { return p.config&p.mask&openflow.PortNoPacketIn != 0 })(l) && l.any(func(f *flow) bool {
		return f.priority == 0 && len(f.match) == 0 && hasAction(func(a openflow.Action) bool {
			return a.Type == openflow.ActionOutput && a.Port == openflow.PortController
		})(f)
	})
}

// packetOutNoRecv: a PACKET_OUT names an in_port that has NO_RECV.
func packetOutNoRecv(l *life) bool {
	for i, s := range l.steps {
		if p, is := s.(*packetOut); is && p.in >= 1 && p.in <= numPorts && l.configs(i)[p.in]&openflow.PortNoRecv != 0 {
			return true
		}
	}
	return false
}

// packetOutLearning: a PACKET_OUT may bring NORMAL a frame that is addressed to its own sender.
func packetOutLearning(l *life) bool {
	n := l.shown()
	renames := n.any(hasAction(func(a openflow.Action) bool { return sets(a, openflow.EthSrc) || sets(a, openflow.EthDst) }))
	return n.any(outputs(openflow.PortNormal)) && someStep(func(p *packetOut) bool {
		b := p.frame.bytes
		return renames || len(b) >= 12 && bytes.Equal(b[:6], b[6:12])
	})(l)
}

// downForgets: NORMAL, and a port that goes down.
func downForgets(l *life) bool {
	n := l.shown()
	return n.any(outputs(openflow.PortNormal)) && someStep(func(p *portMod) bool { return p.config&p.mask&openflow.PortDown != 0 })(l)
}

// accessTwoTags: NORMAL with an access port, and frames that may have two tags.
func accessTwoTags(l *life) bool {
	for _, p := range l.ports {
		if p.vlan.Mode == ports.VLANAccess {
			return moreTags(l, 1)
		}
	}
	return false
}
