package oracle

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/weirswitch/weir/agent"
	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/oftest"
)

// weir is a switch in this process, new for every life. With one worker and a clock that stands it
// is a function of its input.
type weir struct {
	ear
	noCache bool
	workers int    // 0: one
	dir     string // a run directory, for ovs-ofctl; empty: none
	sw      *agent.Switch
	clock   *agent.ManualClock
	field   *field // where its ports are laid; nil: they are pipes
	ends    [numPorts]end
	sent    [numPorts]uint64
	served  chan error
	tool    *oftest.Controller // the second connection
	toolEnd chan error
}

func (w *weir) name() string {
	switch {
	case w.field != nil:
		return "weir over " + w.field.kind
	case w.noCache:
		return "weir without cache"
	case w.workers > 1:
		return fmt.Sprintf("weir with %d workers", w.workers)
	}
	return "weir"
}

func (w *weir) begin(l *life) (err error) {
	if err := w.close(); err != nil {
		return err
	}
	w.clock, w.sent, w.ear = new(agent.ManualClock), [numPorts]uint64{}, ear{}
	lay := laying(&pipes{})
	if w.field != nil {
		lay = w.field
	}
	w.sw, err = agent.NewSwitch(
		agent.BridgeConfig{Name: "br0", DPID: 1, MAC: [6]byte{2, 0, 0, 0, 0xff, 0}, FailMode: agent.FailSecure, Tables: 254,
			MACTable: agent.MACTableConfig{Age: macAge}},
		agent.Env{Clock: w.clock, Identity: "oracle", Seed: 1, Workers: max(1, w.workers), NoCache: w.noCache, Pipes: lay.pipes(), Links: lay.links(), RunDir: w.dir})
	if err != nil {
		return err
	}
	if err := w.sw.Start(); err != nil {
		return err
	}
	for i := range w.ends {
		p := agent.PortConfig{Spec: lay.spec(i + 1)}
		p.VLAN, p.NoFlood = l.ports[i].vlan, l.ports[i].noFlood
		if w.ends[i], err = lay.plug(w.sw, p); err != nil {
			return err
		}
	}
	near, far := net.Pipe()
	w.served = make(chan error, 1)
	go func() { w.served <- w.sw.Serve(near) }()
	if w.c, err = oftest.New(far, oftest.Config{OnMessage: w.hear, Timeout: patience}); err != nil {
		return err
	}
	if w.field != nil {
		if err := w.field.ready(w); err != nil {
			return err
		}
	}
	return want(w.c)
}

func (w *weir) close() error {
	if w.sw == nil {
		return nil
	}
	if w.tool != nil {
		w.tool.Close()
		<-w.toolEnd
	}
	if w.c != nil {
		w.c.Close()
		<-w.served
	}
	err := w.sw.Close()
	w.sw, w.c, w.tool = nil, nil, nil
	return err
}

func (w *weir) send(port int, frame []byte) error {
	n, err := w.ends[port-1].Inject(frame, packet.Offload{})
	if err != nil {
		return err
	}
	w.sent[port-1] += uint64(n)
	for end := time.Now().Add(patience); w.sw.Ports()[port-1].RxPackets < w.sent[port-1]; {
		if time.Now().After(end) {
			return fmt.Errorf("port %d: the frame was not read", port)
		}
		time.Sleep(10 * time.Microsecond)
	}
	// A PACKET_OUT needs the one worker, which has it all behind it then.
	if err := w.c.Apply(&openflow.PacketOut{BufferID: openflow.NoBuffer, InPort: openflow.PortController, Data: make([]byte, 14)}); err != nil {
		return err
	}
	return w.calm()
}

func (w *weir) sendAll(frames [numPorts][][]byte) error {
	var errs [numPorts]error
	var group sync.WaitGroup
	for i, list := range frames {
		w.sent[i] += uint64(len(list))
		group.Go(func() {
			for _, f := range list {
				_, err := w.ends[i].Inject(f, packet.Offload{})
				errs[i] = errors.Join(errs[i], err)
			}
		})
	}
	group.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return w.sw.Settle(ctx)
}

// other is a connection that has asked for no asynchronous message.
func (w *weir) other() (_ *oftest.Controller, err error) {
	if w.tool != nil {
		return w.tool, nil
	}
	near, far := net.Pipe()
	w.toolEnd = make(chan error, 1)
	go func() { w.toolEnd <- w.sw.Serve(near) }()
	if w.tool, err = oftest.New(far, oftest.Config{OnMessage: w.hearErrors, Timeout: patience}); err != nil {
		return nil, err
	}
	return w.tool, w.tool.Apply(&openflow.SetAsync{})
}

// calm waits for the packet-ins, which no barrier holds back.
func (w *weir) calm() error {
	for end := time.Now().Add(patience); w.packetIns() < w.reported(); {
		if time.Now().After(end) {
			return fmt.Errorf("packet-ins are missing")
		}
		time.Sleep(10 * time.Microsecond)
	}
	return nil
}

// reported are the packet-ins that were sent to the first connection.
func (w *weir) reported() uint64 { return w.sw.Controllers()[0].PacketIns }

func (w *weir) wait(d time.Duration) error {
	w.clock.Advance(d)
	return w.c.Barrier()
}

func (w *weir) outputs() (out [numPorts][]string, err error) {
	if w.field != nil {
		if err := w.field.mark(w); err != nil {
			return out, err
		}
	}
	for i, end := range w.ends {
		for f, ok := end.TryReceive(); ok; f, ok = end.TryReceive() {
			out[i] = append(out[i], hex.EncodeToString(f.Bytes()))
		}
	}
	return out, nil
}

func (w *weir) settle() error { return nil }

func (w *weir) rundir() string { return w.dir }
