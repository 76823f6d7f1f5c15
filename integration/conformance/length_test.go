package conformance

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/weirswitch/weir/openflow"
)

// TestLengths: frames of all lengths that something on their way may treat in its own manner go in and come out with
// every byte: the shortest, those around Ethernet's least and usual lengths, around the slots of rings, and jumbo frames.
func TestLengths(t *testing.T) {
	lengths := []int{14, 15, 16, 17, 18, 19, 22, 33, 34, 41, 42, 53, 54, 59, 60, 61, 63, 64, 65, 127, 128, 129, 159, 160, 161, 191, 192, 193,
		223, 224, 225, 255, 256, 257, 511, 512, 513, 1023, 1024, 1025, 1500, 1513, 1514, 1515, 1517, 1518, 1519, 1522, 1790, 2034, 2047, 2048, 2049, 3000, 3014, 4095, 4096, 4097, 9000, 9014}
	for way, change := range map[string][]options{"with the cache": nil, "without": {withoutCache}} {
		b := newBench(t, change...)
		must(t, b.c.Apply(flow(match(eq(openflow.InPort, 1)), apply(out(2))), flow(match(eq(openflow.InPort, 2)), apply(pushC, out(3)))))
		for _, n := range lengths {
			if n > layedOn.mtu()+14 {
				continue
			}
			f := numbered(n)
			must(t, b.inject(1, f, noOffload))
			if err := compare(b.take(), sent{port: 2, frame: f}.lines()); err != nil {
				t.Errorf("%d bytes, %s: %v", n, way, err)
			}
			tagged := join(f[:12], []byte{0x81, 0, 0, 0}, f[12:])
			if n+4 > layedOn.mtu()+14 || !layedOn.carries(tagged) {
				continue
			}
			must(t, b.inject(2, f, noOffload))
			if err := compare(b.take(), sent{port: 3, frame: tagged}.lines()); err != nil {
				t.Errorf("%d bytes, to be tagged, %s: %v", n, way, err)
			}
		}
	}
}

// numbered is a frame of nobody's protocol that has no two equal parts.
func numbered(n int) []byte {
	f := frame(eth{typ: 0x88b5})
	for i := 0; len(f) < n; i++ {
		f = binary.BigEndian.AppendUint16(f, uint16(i*7+n))
	}
	return f[:n]
}

// TestTogether: frames that come in at once, of several lengths, tags and flows, leave in the order in which they came.
func TestTogether(t *testing.T) {
	b := newBench(t)
	must(t, b.c.Apply(flow(match(eq(openflow.InPort, 1)), apply(out(2)))))
	var all [][]byte
	for i := range 300 {
		data := text(bytes.Repeat([]byte(fmt.Sprintf("%03d", i)), 1+i*7%450))
		switch i % 5 {
		case 0:
			all = append(all, frame(eth{}, ip4{}, udp{src: 1000 + i}, data))
		case 1:
			all = append(all, frame(eth{}, vlan{vid: 1 + i}, ip4{}, udp{}, data))
		case 2:
			all = append(all, frame(eth{}, vlan{tpid: 0x88a8, vid: 7}, vlan{vid: 1 + i}, ip6{}, tcp{}, data))
		case 3:
			all = append(all, frame(eth{}, mpls{label: 16 + i}, ip4{}, udp{}, data))
		case 4:
			all = append(all, frame(eth{}, itag{}, eth{}, ip4{}, tcp{}, data))
		}
	}
	var want []string
	for _, f := range all {
		must(t, b.send(1, f, noOffload))
		want = append(want, sent{port: 2, frame: f}.lines()...)
	}
	must(t, b.received(1))
	must(t, b.settle())
	if err := compare(b.take(), want); err != nil {
		t.Error(err)
	}
}
