package intest

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/weirswitch/weir/agent"
	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/ofctl"
	"github.com/weirswitch/weir/openflow/oftest"
	"github.com/weirswitch/weir/ports"
)

// patience is for what should not happen: no passing test waits it out.
const patience = time.Minute

// rig is a switch, the other ends of its ports, a controller and the time.
type rig struct {
	t     *testing.T
	sw    *agent.Switch
	ends  []*ports.Pipe // of ports 1, 2...
	c     *oftest.Controller
	clock *agent.ManualClock
}

// newRig starts a switch with ports 1 to n, which ends with the test. It does nothing that it was not told to: one
// worker, a clock that stands still and a seed leave no room for chance.
func newRig(t *testing.T, n int, seed uint64) *rig {
	t.Helper()
	r := &rig{t: t, clock: new(agent.ManualClock)}
	pipes := new(ports.Pipes)
	cfg := agent.BridgeConfig{Name: "br0", DPID: 1, FailMode: agent.FailSecure} // secure: no entry until a test adds one
	for i := 1; i <= n; i++ {
		name := fmt.Sprintf("p%d", i)
		cfg.Ports = append(cfg.Ports, agent.PortConfig{Spec: ports.Spec{Number: uint32(i), Name: name, Kind: ports.KindPipe, Target: name}})
	}
	var err error
	r.sw, err = agent.NewSwitch(cfg, agent.Env{Clock: r.clock, Seed: seed, Workers: 1, Identity: "intest", Pipes: pipes})
	r.must(err)
	r.must(r.sw.Start())
	t.Cleanup(func() { r.must(r.sw.Close()) })
	for _, p := range cfg.Ports {
		end, err := pipes.End(p.Target)
		r.must(err)
		r.ends = append(r.ends, end)
	}
	near, far := net.Pipe()
	go r.sw.Serve(near)
	r.c, err = oftest.New(far, oftest.Config{Timeout: patience})
	r.must(err)
	t.Cleanup(func() { r.c.Close() })
	return r
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// flows installs entries in the words of ovs-ofctl. They are in force when it returns.
func (r *rig) flows(texts ...string) {
	r.t.Helper()
	for _, text := range texts {
		mod, err := ofctl.ParseFlow(text, openflow.FlowAdd, nil)
		r.must(err)
		r.must(r.c.Apply(mod))
	}
}

// send lets frames come in by a port and gives what leaves: output[0] holds the frames of port 1, and so on.
func (r *rig) send(port int, frames ...[]byte) (output [][][]byte) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, f := range frames {
		r.must(r.ends[port-1].Inject(f))
	}
	r.must(r.sw.Settle(ctx))
	output = make([][][]byte, len(r.ends))
	for i, end := range r.ends {
		for f, ok := end.TryReceive(); ok; f, ok = end.TryReceive() {
			output[i] = append(output[i], f.Bytes())
		}
	}
	return output
}
