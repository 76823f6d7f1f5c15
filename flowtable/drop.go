// Slow path: the reasons for which frames go nowhere, and their counters.

package flowtable

import (
	"fmt"
	"iter"
	"sync/atomic"
)

// Drop is why a frame, or one copy of it, was not sent.
type Drop uint8

// The reasons. A frame whose entry simply has no output is decided, not dropped: it is not counted.
const (
	DropMiss              Drop = iota // no entry of a table matched (section 5.4)
	DropNoPort                        // came in by a port that the switch does not have (any more)
	DropNoRecv                        // came in by a port with NO_RECV or PORT_DOWN
	DropOutMissing                    // output to a port that does not exist
	DropOutDown                       // output to a port without link, with PORT_DOWN or NO_FWD
	DropOutInPort                     // output to the port it came from, not written as IN_PORT
	DropTTL                           // a TTL that may not be decremented
	DropReserved                      // NORMAL: 01:80:c2:00:00:0x stays on its link
	DropVLAN                          // NORMAL: the port does not carry the frame's VLAN
	DropSamePort                      // NORMAL: the destination is where it came from
	DropLoop                          // NORMAL: flooding damped, its source moves to and fro
	DropRunt                          // shorter than an Ethernet header
	DropNoPacketIn                    // a miss from a port with NO_PACKET_IN
	DropTooManyCopies                 // one batch asked for more changed copies than a Processor makes
	DropNoGroup                       // a PACKET_OUT's group went before the frame came to it
	DropNoBucket                      // a group had no bucket, or none that was live
	DropTooManyBuckets                // chained groups multiplied a frame beyond all measure
	DropMeter                         // a drop band of the entry's meter (section 5.7.1)
	DropPacketInMeter                 // a packet-in, by a drop band of the meter called controller
	DropFragment                      // a fragment of an IP packet, and SET_CONFIG says drop
	DropResubmit                      // more resubmits than a frame may do
	DropFragmentBad                   // a fragment that fits no packet, and all that came of one that cannot be
	DropFragmentOverlap               // fragments of one packet overlap: all of them
	DropFragmentDuplicate             // a fragment that came before
	DropFragmentTimeout               // the other fragments did not come in time
	DropFragmentEvicted               // no memory to wait any longer, or SET_CONFIG ended reassembly
	numDrops
)

var dropNames = [numDrops]string{
	"table-miss", "no-such-in-port", "port-no-recv", "no-such-out-port", "out-port-down", "out-is-in-port",
	"invalid-ttl", "reserved-multicast", "vlan-not-carried", "same-port", "loop-damped", "runt",
	"port-no-packet-in", "too-many-copies", "no-such-group", "no-live-bucket", "too-many-buckets", "meter", "packet-in-meter",
	"ip-fragment",
	"resubmit-limit",
	"fragment-malformed", "fragment-overlap", "fragment-duplicate", "fragment-timeout", "fragment-evicted",
}

// String is the reason's name in status output.
func (d Drop) String() string {
	if d < numDrops {
		return dropNames[d]
	}
	return fmt.Sprintf("Drop(%d)", uint8(d))
}

// Drops counts frames by reason.
type Drops [numDrops]uint64

// All gives every reason with its count, zero counts too.
func (d *Drops) All() iter.Seq2[Drop, uint64] {
	return func(yield func(Drop, uint64) bool) {
		for i := range d {
			if !yield(Drop(i), d[i]) {
				return
			}
		}
	}
}

// dropCounters is what processors add to at the end of a batch.
type dropCounters [numDrops]atomic.Uint64

func (c *dropCounters) add(d *Drops) {
	for i := range d {
		if d[i] != 0 {
			c[i].Add(d[i])
			d[i] = 0
		}
	}
}

// Drops are the frames dropped so far, by reason.
func (p *Pipeline) Drops() Drops {
	var d Drops
	for i := range d {
		d[i] = p.drops[i].Load()
	}
	return d
}
