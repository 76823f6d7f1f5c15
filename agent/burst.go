// Slow path: bursts of messages: when what they changed is published, and when FLOW_REMOVED goes out.

package agent

import (
	"errors"
	"os"
	"time"

	"github.com/weirswitch/weir/flowtable"
	"github.com/weirswitch/weir/openflow"
)

// A publication has its price: the next edits copy whatever of the tables it shows. So a connection that
// has sent a few changes in a row is given a moment to go on before they are published, unless there have
// been many. Whoever waits for an answer never waits for that: every answer publishes first.
const (
	burstFew  = 32                    // changes that make a burst
	burstMany = 65536                 // changes that are published even though more may follow
	burstLull = 1 * time.Millisecond  // silence that ends a burst
	burstLong = 50 * time.Millisecond // after which a burst is published though its peer goes on talking
	goneMany  = 1024                  // entries that went, whose FLOW_REMOVED do not wait for more

	// messageWindow is how much longer than for a frame a reader may look for the next message: before it comes, another
	// program has to be woken and to decide, and perhaps the frame that it asks about to arrive.
	messageWindow = 4
)

// burst is what a connection's messages have changed since the last publication of its. The reader's own.
type burst struct {
	changes int
	began   time.Duration       // when the first of them came
	gone    []flowtable.Removed // their FLOW_REMOVED are due
	outs    packetOuts          // in the memory of messages: nothing may be read from the wire before they are sent
}

// nextMessage reads one message. When none has arrived yet, or what was done so far is much or old, that is
// published first; and before the connection's end, which takes it off the list of those who hear of it.
func (c *Channel) nextMessage() ([]byte, error) {
	if c.burst.changes >= burstMany || c.pending() && time.Duration(c.heard.Load())-c.burst.began >= burstLong {
		c.publish()
	}
	if c.conn.Buffered() == 0 {
		c.sendPacketOuts()
	}
	if c.conn.Buffered() > 0 || !c.pending() {
		return c.awaitMessage()
	}
	if c.burst.changes >= burstFew && c.nc.SetReadDeadline(time.Now().Add(burstLull)) == nil {
		raw, err := c.readMessage()
		c.nc.SetReadDeadline(time.Time{})
		if err == nil {
			return raw, nil
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			c.publish()
			return nil, err
		}
	}
	c.publish()
	return c.awaitMessage()
}

// awaitMessage reads a message that may be long in coming. To be woken takes longer than to answer, so the reader looks
// for a while by itself when messages have come soon enough lately, as ports do.
func (c *Channel) awaitMessage() ([]byte, error) {
	sp := &c.sw.spin
	most := messageWindow * sp.longest()
	if most == 0 || c.line == nil || c.conn.Buffered() > 0 {
		return c.readMessage()
	}
	if c.sw.lookout(c.window, &c.next) {
		return c.readMessage()
	}
	start := sp.now()
	raw, err := c.readMessage()
	if c.window = 0; sp.now()-start < most {
		c.window = most
	}
	return raw, err
}

// pending says that something was done and not published.
func (c *Channel) pending() bool { return c.burst.changes > 0 || len(c.burst.gone) > 0 }

// publish shows all frames what was done so far, and sends the FLOW_REMOVED of the entries that went:
// an entry said to be gone serves no frame. Whoever has changed nothing does not wait here for another
// connection's change, which may be one of a million entries.
func (c *Channel) publish() {
	c.sendPacketOuts()
	if c.burst.changes > 0 {
		c.burst.changes = 0
		c.sw.pipe.Publish()
		c.sw.rouse()
	}
	if len(c.burst.gone) == 0 {
		return
	}
	c.sw.flowsRemoved(c, c.burst.gone)
	clear(c.burst.gone)
	if c.burst.gone = c.burst.gone[:0]; cap(c.burst.gone) > 2*goneMany {
		c.burst.gone = nil
	}
}

// removed notes entries whose FLOW_REMOVED are due. One wait for the batches under way serves them all,
// so they go out together: with the next answer, when the burst ends, or when they have become many.
func (c *Channel) removed(list []flowtable.Removed) {
	c.burst.gone = append(c.burst.gone, list...)
	if len(c.burst.gone) >= goneMany {
		c.publish()
	}
}

// settle sends what is due before a message of another kind: frames of PACKET_OUTs before anything that
// may change their way, FLOW_REMOVED before what may change who hears of it.
func (c *Channel) settle(m openflow.Message) {
	if !c.pending() {
		c.burst.began = time.Duration(c.heard.Load())
	}
	if _, ok := m.(*openflow.PacketOut); ok {
		return
	}
	c.sendPacketOuts()
	if !changesNothing(m) {
		if _, ok := m.(*openflow.FlowMod); !ok && len(c.burst.gone) > 0 {
			c.publish()
		}
		c.burst.changes++
	}
}

// changesNothing marks messages that leave the tables and who hears of them alone.
func changesNothing(m openflow.Message) bool {
	switch m.(type) {
	case *openflow.PacketOut, *openflow.EchoRequest, *openflow.EchoReply, *openflow.BarrierRequest, *openflow.Hello, *openflow.Error:
		return true
	}
	return false
}
