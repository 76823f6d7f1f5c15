package agent

import (
	"testing"
	"time"

	"github.com/weirswitch/weir/openflow"
)

// TestSlowSnooper: a snooper who takes nothing delays nobody, misses what does not fit, and is told how much.
func TestSlowSnooper(t *testing.T) {
	o := newOnlooker[snoopNote]()
	for range onlookerNotes + 5 {
		o.put(snoopNote{}, []byte{1, 2})
	}
	notes, data, missed := o.take(nil, nil)
	if len(notes) != onlookerNotes || len(data) != 2*onlookerNotes || missed != 5 {
		t.Errorf("%d notes, %d bytes, %d missed", len(notes), len(data), missed)
	}
	o.put(snoopNote{}, make([]byte, onlookerBytes+1))
	o.put(snoopNote{xid: 7}, []byte{9})
	notes, data, missed = o.take(notes, data)
	if len(notes) != 1 || notes[0].missed != 1 || notes[0].what.xid != 7 || data[notes[0].from] != 9 || missed != 0 {
		t.Errorf("%+v, missed %d: want the one note behind the one that was too big", notes, missed)
	}
	for range 3 { // the token is one
		o.put(snoopNote{}, nil)
	}
	<-o.wake
	select {
	case <-o.wake:
		t.Error("woken twice for what one take gives")
	default:
	}
}

// TestOnlookersAreFew: the list is bounded, and nobody looking is nil.
func TestOnlookersAreFew(t *testing.T) {
	var a audience[snooper]
	var all []*snooper
	for range maxOnlookers {
		s := &snooper{onlooker: newOnlooker[snoopNote]()}
		if err := a.join(s); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	if err := a.join(new(snooper)); err == nil {
		t.Error("one too many was let in")
	}
	for i, s := range all {
		if n := len(*a.present()); n != maxOnlookers-i {
			t.Errorf("%d are there", n)
		}
		a.leave(s)
	}
	if a.present() != nil {
		t.Error("nobody is left and somebody is told")
	}
}

// TestSnoopSeesBothWays: messages in their order, what is queued at once too, with the reason of an ERROR.
func TestSnoopSeesBothWays(t *testing.T) {
	b := newBench(t, 1)
	s := &snooper{onlooker: newOnlooker[snoopNote]()}
	if err := b.sw.snoopers.join(s); err != nil {
		t.Fatal(err)
	}
	defer b.sw.snoopers.leave(s)
	tool := b.connectTool() // of which nobody asked to hear
	tool.barrier()
	c := b.connect()
	c.send(&openflow.FlowMod{BufferID: openflow.NoBuffer, Instructions: openflow.NewInstructions(openflow.GotoTable(0))})
	expect[*openflow.Error](c)
	c.barrier()
	var sent, received []openflow.Type
	remarks := 0
	for end := time.After(inTime); len(sent) == 0 || sent[len(sent)-1] != openflow.TypeBarrierReply; {
		select {
		case <-s.wake:
		case <-end:
			t.Fatalf("sent %v, received %v", sent, received)
		}
		notes, data, missed := s.take(nil, nil)
		for _, n := range notes {
			raw := data[n.from:n.to]
			switch {
			case n.what.remark != "":
				if len(sent) > 0 && sent[len(sent)-1] == openflow.TypeError {
					t.Error("the remark came after its ERROR")
				}
				remarks++
			case n.what.sent:
				sent = append(sent, openflow.ReadHeader(raw).Type)
			default:
				received = append(received, openflow.ReadHeader(raw).Type)
			}
			if n.what.peer.Name != "in-memory" || n.missed+missed > 0 {
				t.Errorf("%+v", n)
			}
		}
	}
	count := func(list []openflow.Type, typ openflow.Type) (n int) {
		for _, t := range list {
			if t == typ {
				n++
			}
		}
		return n
	}
	if remarks != 1 || count(sent, openflow.TypeError) != 1 || count(sent, openflow.TypeHello) != 1 || count(received, openflow.TypeFlowMod) != 1 ||
		count(received, openflow.TypeHello) != 1 || received[len(received)-1] != openflow.TypeBarrierRequest {
		t.Errorf("sent %v, received %v, %d remarks", sent, received, remarks)
	}
}
