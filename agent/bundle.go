// Slow path: bundles: messages that are carried out together or not at all.

package agent

import (
	"bytes"

	"github.com/weirswitch/weir/openflow"
)

// Bounds of what one connection may keep in bundles.
const (
	maxBundles     = 16
	maxBundleBytes = 64 << 20
	maxBundlePorts = 256 // PORT_MODs in one bundle: each makes a list of all ports
)

// bundles are the open bundles of one connection; its reader's own.
type bundles struct {
	open  map[uint32]*bundle
	bytes int
}

// bundle is a list of messages to be carried out. Bundles are always atomic and in order, whichever of
// the two a peer asks for: nothing less is promised to anybody.
type bundle struct {
	flags    openflow.BundleFlags
	closed   bool
	messages []bundled
	bytes    int
	portMods int
}

// bundled is a message of a bundle.
type bundled struct {
	m   openflow.Message
	raw []byte // as it came
}

// handleBundleControl obeys BUNDLE_CONTROL.
func (c *Channel) handleBundleControl(body []byte, xid uint32) error {
	m, err := openflow.ReadBundleControl(body)
	if err != nil {
		return err
	}
	if err := c.slaveRefused(); err != nil {
		return err
	}
	b := c.bundles.open[m.ID]
	switch {
	case m.Command == openflow.BundleOpen:
		_, err = c.bundles.begin(m.ID, m.Flags)
	case m.Command != openflow.BundleClose && m.Command != openflow.BundleCommit && m.Command != openflow.BundleDiscard:
		err = openflow.BundleErrorf(openflow.BFCBadType, "bundle command %d", m.Command)
	case b == nil:
		err = openflow.BundleErrorf(openflow.BFCBadID, "there is no bundle %d", m.ID)
	case m.Command == openflow.BundleDiscard:
		c.bundles.drop(m.ID)
	case b.flags != m.Flags:
		c.bundles.drop(m.ID)
		err = openflow.BundleErrorf(openflow.BFCBadFlags, "bundle %d was opened with flags 0x%x, not 0x%x", m.ID, uint16(b.flags), uint16(m.Flags))
	case m.Command == openflow.BundleClose && b.closed:
		c.bundles.drop(m.ID)
		err = openflow.BundleErrorf(openflow.BFCBundleClosed, "bundle %d is closed already", m.ID)
	case m.Command == openflow.BundleClose:
		b.closed = true
	default:
		c.bundles.drop(m.ID)
		err = c.commit(b)
	}
	if err != nil {
		return err
	}
	m.Command++
	return c.reply(xid, m.Experimenter())
}

// begin opens a bundle.
func (l *bundles) begin(id uint32, flags openflow.BundleFlags) (*bundle, error) {
	switch {
	case flags&^(openflow.BundleAtomic|openflow.BundleOrdered) != 0:
		return nil, openflow.BundleErrorf(openflow.BFCBadFlags, "bundle flags 0x%x: expected atomic (1) and ordered (2)", uint16(flags))
	case l.open[id] != nil:
		l.drop(id)
		return nil, openflow.BundleErrorf(openflow.BFCBundleExist, "bundle %d is open already", id)
	case len(l.open) >= maxBundles:
		return nil, openflow.BundleErrorf(openflow.BFCOutOfBundles, "%d bundles are open already", maxBundles)
	}
	if l.open == nil {
		l.open = map[uint32]*bundle{}
	}
	b := &bundle{flags: flags}
	l.open[id] = b
	return b, nil
}

func (l *bundles) drop(id uint32) {
	if b := l.open[id]; b != nil {
		l.bytes -= b.bytes
		delete(l.open, id)
	}
}

// handleBundleAdd keeps a message for a bundle, which it opens if need be. A bundle with a message that
// cannot be taken is given up: to leave the message out would be to carry out a part.
func (c *Channel) handleBundleAdd(body []byte, xid uint32) error {
	if err := c.slaveRefused(); err != nil {
		return err
	}
	id, flags, message, err := openflow.ReadBundleAdd(body)
	if err != nil {
		return err
	}
	if err := c.bundles.add(id, flags, message, xid); err != nil {
		c.bundles.drop(id)
		return err
	}
	return nil
}

func (l *bundles) add(id uint32, flags openflow.BundleFlags, message []byte, xid uint32) error {
	b := l.open[id]
	if b == nil {
		var err error
		if b, err = l.begin(id, flags); err != nil {
			return err
		}
	}
	h := openflow.ReadHeader(message)
	switch {
	case b.closed:
		return openflow.BundleErrorf(openflow.BFCBundleClosed, "bundle %d is closed", id)
	case b.flags != flags:
		return openflow.BundleErrorf(openflow.BFCBadFlags, "bundle %d was opened with flags 0x%x, not 0x%x", id, uint16(b.flags), uint16(flags))
	case h.XID != xid:
		return openflow.BundleErrorf(openflow.BFCMsgBadXID, "a message with the transaction id 0x%x inside one of 0x%x", h.XID, xid)
	case !mayBundle(h.Type):
		return openflow.BundleErrorf(openflow.BFCMsgUnsup, "%s in a bundle: expected FLOW_MOD, GROUP_MOD, PORT_MOD or PACKET_OUT", h.Type)
	case l.bytes+len(message) > maxBundleBytes:
		return openflow.BundleErrorf(openflow.BFCMsgTooMany, "more than %d bytes in bundles", maxBundleBytes)
	case h.Type == openflow.TypePortMod && b.portMods == maxBundlePorts:
		return openflow.BundleErrorf(openflow.BFCMsgTooMany, "more than %d PORT_MODs in a bundle", maxBundlePorts)
	}
	if h.Type == openflow.TypePortMod {
		b.portMods++
	}
	message = bytes.Clone(message)
	m, _, err := openflow.Decode(message)
	if err != nil {
		return err
	}
	b.messages = append(b.messages, bundled{m, message})
	b.bytes += len(message)
	l.bytes += len(message)
	return nil
}

// mayBundle lists what Open vSwitch, too, takes into a bundle.
func mayBundle(t openflow.Type) bool {
	return t == openflow.TypeFlowMod || t == openflow.TypeGroupMod || t == openflow.TypePortMod || t == openflow.TypePacketOut
}
