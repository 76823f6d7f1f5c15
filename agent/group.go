// Slow path: groups: GROUP_MOD, and what is told of the group table.

package agent

import (
	"time"

	"github.com/weirswitch/weir/flowtable"
	"github.com/weirswitch/weir/openflow"
)

// handleGroupMod edits the draft (section 6.5). Like a FLOW_MOD it becomes visible when its
// burst ends (burst.go) or anything is answered; a deleted group may take entries along.
func (c *Channel) handleGroupMod(m *openflow.GroupMod) error {
	removed, err := c.sw.pipe.GroupMod(c.sw.clock.Now(), m)
	if len(removed) > 0 {
		c.removed(removed)
	}
	c.sw.groupsChanged()
	return err
}

// answerGroups tells the counters of one group, or of all. One that is not there gives an empty
// answer, as Open vSwitch does.
func (s *Switch) answerGroups(r *openflow.GroupStatsRequest, w *openflow.ReplyWriter) error {
	list := s.pipe.GroupStats(s.clock.Now(), r.Group)
	for i := range list {
		st := groupStats(&list[i])
		if err := w.Add(&st); err != nil {
			return err
		}
	}
	return nil
}

func groupStats(g *flowtable.GroupStats) openflow.GroupStats {
	st := openflow.GroupStats{
		Group: g.ID, RefCount: uint32(g.RefCount), PacketCount: g.Packets, ByteCount: g.Bytes,
		DurationSec: uint32(g.Duration / time.Second), DurationNsec: wholeMillis(g.Duration),
		Buckets: make([]openflow.BucketStats, len(g.PerBucket)),
	}
	for i, b := range g.PerBucket {
		st.Buckets[i] = openflow.BucketStats{PacketCount: b.Packets, ByteCount: b.Bytes}
	}
	return st
}

// answerGroupDescs gives every group back as it was sent. Those that ovs-ofctl cannot read come
// last, each in a message of its own, as with entries.
func (s *Switch) answerGroupDescs(m *openflow.MultipartRequest, w *openflow.ReplyWriter) error {
	var odd []*openflow.GroupDesc
	for _, g := range s.pipe.Groups() {
		if len(m.Records) > 0 && m.Records[0].(*openflow.GroupStatsRequest).Group != g.ID {
			continue // OpenFlow 1.0 can ask for one, by Nicira's message
		}
		d := &openflow.GroupDesc{Type: g.Type, Group: g.ID, Buckets: g.Buckets}
		if !plainBuckets(d.Buckets) {
			odd = append(odd, d)
			continue
		}
		if err := w.Add(d); err != nil {
			return err
		}
	}
	for _, d := range odd {
		w.Break()
		if err := w.Add(d); err != nil {
			return err
		}
	}
	return nil
}

func plainBuckets(list []openflow.Bucket) bool {
	for i := range list {
		if !plainActions(list[i].Actions) {
			return false
		}
	}
	return true
}

// groupFeatures is the answer to GROUP_FEATURES (section 7.3.5.11): all types can do the same.
func (s *Switch) groupFeatures() *openflow.GroupFeatures {
	f := s.pipe.GroupFeatures()
	m := &openflow.GroupFeatures{Capabilities: f.Capabilities}
	actions := uint32(0)
	for _, a := range f.Actions {
		if a < 32 { // an experimenter has no bit
			actions |= 1 << a
		}
	}
	for _, t := range f.Types {
		m.Types |= 1 << t
		m.MaxGroups[t], m.Actions[t] = uint32(f.MaxGroups), actions
	}
	return m
}
