package conformance

import (
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/weirswitch/weir/integration/cable"
	"github.com/weirswitch/weir/integration/lab"
	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/ports"
)

var wholeFlag = flag.Bool("conformance.whole", false, "TestOverPorts runs all tests of this package over every kind of port, not a sample")

// overPorts are the tests that TestOverPorts runs, and whether its sample has them. They speak of switches, whatever
// their ports are.
func overPorts() []overPort {
	return []overPort{
		{"TestPacketInWhole", TestPacketInWhole, false},
		{"TestPacketInBuffered", TestPacketInBuffered, false},
		{"TestActionErrors", TestActionErrors, false},
		{"TestInstructionErrors", TestInstructionErrors, false},
		{"TestInstructions", TestInstructions, false},
		{"TestNicira", TestNicira, false},
		{"TestOffload", TestOffload, true},
		{"TestLengths", TestLengths, true},
		{"TestTogether", TestTogether, true},
		{"TestOutput", TestOutput, false},
		{"TestPacketOut", TestPacketOut, false},
		{"TestActionSetOrder", TestActionSetOrder, false},
		{"TestActionSet", TestActionSet, false},
		{"TestSetField", TestSetField, false},
		{"TestSetFieldAbsent", TestSetFieldAbsent, false},
		{"TestVLANTags", TestVLANTags, false},
		{"TestMPLSLabels", TestMPLSLabels, false},
		{"TestPBB", TestPBB, false},
		{"TestBelowALabel", TestBelowALabel, false},
		{"TestTTLSet", TestTTLSet, false},
		{"TestTTLCopy", TestTTLCopy, false},
		{"TestTTLExpired", TestTTLExpired, false},
		{"TestTableFeaturesAreTrue", TestTableFeaturesAreTrue, false},
		{"TestSelection", TestSelection, false},
		{"TestStrict", TestStrict, false},
		{"TestDeleteFilters", TestDeleteFilters, false},
		{"TestOverlap", TestOverlap, false},
		{"TestReplaceModify", TestReplaceModify, false},
		{"TestTableBounds", TestTableBounds, false},
		{"TestTableMiss", TestTableMiss, false},
		{"TestGroups", TestGroups, false},
		{"TestGroupCommands", TestGroupCommands, false},
		{"TestLiveness", TestLiveness, false},
		{"TestSelectSpreads", TestSelectSpreads, false},
		{"TestTimeouts", TestTimeouts, false},
		{"TestFlowRemoved", TestFlowRemoved, false},
		{"TestFlowCounters", TestFlowCounters, false},
		{"TestFlowModBuffer", TestFlowModBuffer, false},
		{"TestMatchPort", TestMatchPort, false},
		{"TestMatchPipelineErrors", TestMatchPipelineErrors, false},
		{"TestMatchWhole", TestMatchWhole, false},
		{"TestMatchRegisters", TestMatchRegisters, false},
		{"TestMatchExtHdr", TestMatchExtHdr, false},
		{"TestMatchFields", TestMatchFields, false},
		{"TestMatchFieldErrors", TestMatchFieldErrors, false},
		{"TestMatchFragments", TestMatchFragments, false},
		{"TestMatchVLAN", TestMatchVLAN, false},
		{"TestMatchLLC", TestMatchLLC, false},
		{"TestMatchMPLS", TestMatchMPLS, false},
		{"TestMatchPBB", TestMatchPBB, false},
		{"TestMessageTypes", TestMessageTypes, false},
		{"TestOrder", TestOrder, false},
		{"TestBarrier", TestBarrier, false},
		{"TestPortMod", TestPortMod, false},
		{"TestMeters", TestMeters, false},
		{"TestMeterCommands", TestMeterCommands, false},
		{"TestRemark", TestRemark, false},
		{"TestQueues", TestQueues, false},
		{"TestRepliesInParts", TestRepliesInParts, false},
		{"TestMultipartLengths", TestMultipartLengths, false},
		{"TestReplies", TestReplies, false},
	}
}

// marked are the tests of counters that would count the marks of catch: wires are left out.
var marked = []string{"TestQueues", "TestReplies"}

type overPort struct {
	name   string
	test   func(*testing.T)
	sample bool
}

// notOverPorts are the tests that no port has a part in.
var notOverPorts = []string{"TestOverPorts", "TestOverPortsIsWhole", "TestFrames", "TestMapOfProof", "TestOFPPrint"}

// TestOverPortsIsWhole: every test of this package is in one of the two lists.
func TestOverPortsIsWhole(t *testing.T) {
	files, err := filepath.Glob("*_test.go")
	must(t, err)
	named := slices.Clone(notOverPorts)
	for _, o := range overPorts() {
		named = append(named, o.name)
	}
	word := regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		must(t, err)
		for _, m := range word.FindAllStringSubmatch(string(text), -1) {
			if !slices.Contains(named, m[1]) {
				t.Errorf("%s: %s is neither among overPorts nor among notOverPorts", file, m[1])
			}
		}
	}
}

// TestOverPorts runs tests of this package over ports of every kind in the place of pipes: the same frames in, the same
// frames out.
func TestOverPorts(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("network namespaces and taps need root")
		}
		t.Skip("network namespaces and taps need root")
	}
	for _, kind := range cable.Kinds() {
		t.Run(kind, func(t *testing.T) {
			layedOn = newField(t, kind)
			defer func() { layedOn = pipes{} }()
			for _, o := range overPorts() {
				switch {
				case slices.Contains(marked, o.name) && strings.HasPrefix(kind, "wire"):
				case o.sample || *wholeFlag:
					t.Run(o.name, o.test)
				}
			}
		})
	}
}

// field is a network namespace with ports of one kind. Its devices serve one bench after the other.
type field struct {
	kind  string
	space *lab.Space
	watch *ports.Links
	kit   *cable.Kit
	idle  []*cables
	layed int
}

// cables are the ports of one bench.
type cables struct {
	*field
	ends  [numPorts]*cableEnd
	marks uint64
}

// cableEnd is the far end of a cable as a bench wants it.
type cableEnd struct{ cable.Inbox }

func newField(t *testing.T, kind string) *field {
	t.Helper()
	dir, err := os.MkdirTemp("", "weir-conf-") // short, for names of sockets
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	f := &field{kind: kind}
	f.space, err = lab.NewSpace("conformance")
	must(t, err)
	t.Cleanup(f.space.Close)
	f.kit, err = cable.NewKit(f.space, dir)
	must(t, err)
	must(t, f.space.Do(func() (err error) {
		f.watch, err = ports.NewLinks()
		return err
	}))
	t.Cleanup(func() { must(t, f.watch.Close()) })
	return f
}

func (f *field) lay() (laying, error) {
	if n := len(f.idle); n > 0 {
		c := f.idle[n-1]
		f.idle = f.idle[:n-1]
		return c, nil
	}
	c := &cables{field: f}
	for i := range c.ends {
		f.layed++
		one, err := f.kit.Lay(f.kind, fmt.Sprintf("p%d", f.layed))
		if err != nil {
			return nil, err
		}
		c.ends[i] = &cableEnd{cable.Inbox{Cable: one}}
	}
	return c, nil
}

// release is called when the switch has gone.
func (c *cables) release() {
	for _, e := range c.ends {
		e.Unplug()
		_ = e.Carrier(true) // a test may have left it down; a tap has gone
	}
	c.idle = append(c.idle, c)
}

func (c *cables) spec(number int) ports.Spec {
	s, err := ports.ParseSpec(fmt.Sprintf("%d:%s,name=p%d", number, c.ends[number-1].Spec(), number))
	if err != nil {
		panic(err)
	}
	return s
}

// mtu is that of devices which take less than jumbo frames: what AF_XDP can have in a page.
func (f *field) mtu() int {
	if strings.HasPrefix(f.kind, "xdp") {
		return 3000
	}
	return 9000
}

func (c *cables) within(open func() error) error { return c.space.Do(open) }
func (c *cables) links() *ports.Links            { return c.watch }

func (c *cables) plug(_ *ports.Pipes, number int) (end, error) {
	e := c.ends[number-1]
	e.Clear()
	return e, e.Plug()
}

// seen: a device in between may finish a frame, or pass it on as it is. What is compared is what a wire would carry.
func (*field) seen(s sent) (list []sent) {
	for _, b := range cable.Finish(s.frame, s.offload) {
		list = append(list, sent{port: s.port, frame: b})
	}
	return list
}

func (f *field) carries(frame []byte) bool { return cable.Passes(f.kind, frame) }

// SetUp is a neighbour's cable, drawn out and put in.
func (e *cableEnd) SetUp(up bool) error {
	if !e.Device() {
		return errNoCarrier
	}
	return e.Carrier(up)
}

// catch goes by the ports' own counters where they tell: a device has a frame when it is counted. A wire counts later
// than it takes, and of a super-frame nobody knows how many frames it becomes: then marks are sent behind it all.
func (c *cables) catch(b *bench) error {
	if !c.ends[0].Device() || b.super {
		return c.mark(b)
	}
	for i, p := range b.sw.Ports()[:numPorts] {
		e := c.ends[i]
		if err := until(fmt.Sprintf("frames that left by port %d did not arrive", i+1), func() bool { return e.Came() >= p.TxPackets }); err != nil {
			return err
		}
	}
	return nil
}

// mark sends a numbered frame by each port that works, and waits for it. Ports keep the order of frames.
func (c *cables) mark(b *bench) error {
	c.marks++
	mark := binary.BigEndian.AppendUint64([]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb6}, c.marks)
	for i, p := range b.sw.Ports()[:numPorts] {
		if !p.LinkUp || slices.Contains(p.Config, "PORT_DOWN") || slices.Contains(p.Config, "NO_FWD") {
			continue
		}
		m := &openflow.PacketOut{BufferID: openflow.NoBuffer, InPort: openflow.PortController, Data: mark, Actions: openflow.NewActions(out(openflow.PortNo(i + 1)))}
		if err := b.c.Apply(m); err != nil {
			return err
		}
		if err := until(fmt.Sprintf("the mark behind the frames of port %d did not arrive", i+1), func() bool { return c.ends[i].Marked(mark) }); err != nil {
			return err
		}
	}
	return nil
}
