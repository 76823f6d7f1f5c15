// Slow path: the messages of OpenFlow connections, as onlookers see them.

package agent

import (
	"net"
	"time"

	"github.com/weirswitch/weir/openflow"
)

// Snooped is one message of a connection, or a remark of the switch on the one before.
type Snooped struct {
	At     time.Time  `json:"time"`
	Peer   SnoopedEnd `json:"connection"`
	Sent   bool       `json:"sent"`             // by the switch; else by the controller
	Data   []byte     `json:"data,omitempty"`   // the message, header included
	Remark string     `json:"remark,omitempty"` // in place of Data: why the switch refuses the message XID
	XID    uint32     `json:"remark_xid,omitempty"`
	Missed uint64     `json:"missed,omitempty"` // messages that came before this one and were too many to be shown
}

// SnoopedEnd tells connections apart.
type SnoopedEnd struct {
	ID     uint64 `json:"id"` // counts the bridge's connections
	Name   string `json:"name"`
	Tool   bool   `json:"tool,omitempty"`   // of a listener: the peer called
	Local  string `json:"local,omitempty"`  // addresses of a TCP connection
	Remote string `json:"remote,omitempty"` //
}

// snooper is one who looks at messages.
type snooper struct {
	*onlooker[snoopNote]
	all bool // also at connections that listeners took
}

type snoopNote struct {
	at     time.Time
	peer   *SnoopedEnd
	sent   bool
	remark string
	xid    uint32
}

func (c *Channel) describeEnd(id uint64) {
	c.snooped = SnoopedEnd{ID: id, Name: c.peer, Tool: c.tool}
	if a, ok := c.nc.LocalAddr().(*net.TCPAddr); ok {
		c.snooped.Local = a.String()
	}
	if a, ok := c.nc.RemoteAddr().(*net.TCPAddr); ok {
		c.snooped.Remote = a.String()
	}
}

// readMessage reads one message and shows it to snoopers. It stands above TLS.
func (c *Channel) readMessage() ([]byte, error) {
	raw, err := c.conn.ReadMessage()
	if err == nil && c.sw.snoopers.present() != nil {
		c.show(raw, false)
	}
	return raw, err
}

// sending shows whole messages that are about to be written: in the order of the wire, which is not the
// one in which they were queued.
func (c *Channel) sending(b []byte) {
	if c.sw.snoopers.present() == nil {
		return
	}
	for len(b) >= openflow.HeaderSize {
		n := max(openflow.ReadHeader(b).Length, openflow.HeaderSize)
		c.show(b[:n], true)
		b = b[n:]
	}
}

func (c *Channel) show(raw []byte, sent bool) {
	c.eachSnooper(func(s *snooper) { s.put(snoopNote{at: time.Now(), peer: &c.snooped, sent: sent}, raw) })
}

// remark tells snoopers why a message is refused: more than the ERROR can say.
func (c *Channel) remark(xid uint32, why *openflow.Error) {
	if c.sw.snoopers.present() == nil || why.Detail == "" {
		return
	}
	c.eachSnooper(func(s *snooper) {
		s.put(snoopNote{at: time.Now(), peer: &c.snooped, sent: true, remark: why.Detail, xid: xid}, nil)
	})
}

func (c *Channel) eachSnooper(f func(*snooper)) {
	list := c.sw.snoopers.present()
	if list == nil {
		return
	}
	for _, s := range *list {
		if s.all || !c.tool {
			f(s)
		}
	}
}
