// Slow path: flow entries: FLOW_MOD, FLOW_REMOVED, the statistics of flows, and the table-miss entry.

package agent

import (
	"time"

	"github.com/weirswitch/weir/flowtable"
	"github.com/weirswitch/weir/openflow"
)

// handleFlowMod edits the draft tables. The change becomes visible when the burst it belongs to ends or
// anything is answered (burst.go). A frame that is named by buffer_id
// then goes through the tables from the first one on (section 6.4).
func (c *Channel) handleFlowMod(m *openflow.FlowMod) error {
	s := c.sw
	if m.BufferID == openflow.NoBuffer || m.Command >= openflow.FlowDelete {
		return c.flowMod(m)
	}
	toTables, err := s.pipe.CompileActions(openflow.NewActions(openflow.Output(openflow.PortTable)))
	if err != nil {
		return err
	}
	kept, err := s.kept.take(m.BufferID)
	if err != nil {
		return err
	}
	if err := c.flowMod(m); err != nil {
		s.kept.putBack(kept)
		return err
	}
	c.packetOut(kept.frame, kept.in, toTables)
	return nil
}

func (c *Channel) flowMod(m *openflow.FlowMod) error {
	removed, err := c.sw.pipe.FlowMod(time.Duration(c.heard.Load()), m) // one look at the clock a message is enough
	if len(removed) > 0 {
		c.removed(removed)
	}
	return err
}

// flowsRemoved sends FLOW_REMOVED for the entries that asked for it, when their going is published and
// the batches have ended that may still have met them: only then are their counters the last ones. The
// connection that caused it, if any, waits for that and for room; the others never make anybody wait.
func (s *Switch) flowsRemoved(origin *Channel, removed []flowtable.Removed) {
	counted := false
	for i := range removed {
		r := &removed[i]
		var m *openflow.FlowRemoved
		for _, c := range *s.channels.Load() {
			if c.wantFlowRemoved.Load()&(1<<r.Reason) == 0 {
				continue
			}
			if !counted {
				s.quiesce()
				counted = true
			}
			if m == nil {
				last := r.Counters(0)
				r.Last.Packets, r.Last.Bytes = last.Packets, last.Bytes
				m = flowRemoved(r)
			}
			fill := func(b []byte) []byte { return c.append(b, 0, m) }
			if c == origin {
				c.out.reply(fill)
			} else {
				c.out.notify(fill)
			}
		}
	}
}

func flowRemoved(r *flowtable.Removed) *openflow.FlowRemoved {
	return &openflow.FlowRemoved{
		Cookie: r.Cookie, Priority: r.Priority, Reason: r.Reason, TableID: r.Table,
		DurationSec: uint32(r.Last.Duration / time.Second), DurationNsec: wholeMillis(r.Last.Duration),
		IdleTimeout: r.IdleTimeout, HardTimeout: r.HardTimeout,
		PacketCount: r.Last.Packets, ByteCount: r.Last.Bytes, Match: r.Match(),
	}
}

func flowFilter(r *openflow.FlowStatsRequest) flowtable.FlowFilter {
	return flowtable.FlowFilter{
		Table: r.TableID, OutPort: r.OutPort, OutGroup: r.OutGroup,
		Cookie: r.Cookie, CookieMask: r.CookieMask, Match: r.Match,
	}
}

// flowStats is an entry as a FLOW reply tells it: match, instructions and cookie exactly as installed.
func flowStats(e *flowtable.Entry, now time.Duration) openflow.FlowStats {
	n := e.Counters(now)
	return openflow.FlowStats{
		TableID: e.Table, Priority: e.Priority, Cookie: e.Cookie, Flags: e.Flags,
		DurationSec: uint32(n.Duration / time.Second), DurationNsec: wholeMillis(n.Duration),
		IdleTimeout: e.IdleTimeout, HardTimeout: e.HardTimeout,
		PacketCount: n.Packets, ByteCount: n.Bytes, Match: e.Match(), Instructions: e.Instructions(),
		IdleAge: uint16(min(n.Idle/time.Second+1, 0xffff)),
	}
}

// installMissEntry puts the table-miss entry (section 5.4) into table 0, in place of whatever entry
// has empty match and priority 0 there; for MissDrop it does nothing.
func (s *Switch) installMissEntry(miss TableMiss) error {
	port := openflow.PortNormal
	switch miss {
	case MissDrop:
		return nil
	case MissController:
		port = openflow.PortController
	}
	_, err := s.pipe.FlowMod(s.clock.Now(), &openflow.FlowMod{
		Command: openflow.FlowAdd, BufferID: openflow.NoBuffer, OutPort: openflow.PortAny, OutGroup: openflow.GroupAny,
		Instructions: openflow.NewInstructions(openflow.ApplyActions(openflow.Output(port))),
	})
	s.pipe.Publish()
	s.tellMonitors(nil, 0)
	return err
}
