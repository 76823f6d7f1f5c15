package packet

// PushVLAN adds an outermost tag (OpenFlow 1.3.5, 5.12).
func (f *Frame) PushVLAN(tpid uint16) {}

// PopVLAN removes the outermost VLAN tag, if there is one.
func (f *Frame) PopVLAN() {}

// PushMPLS adds an outermost label stack entry behind the VLAN tags and sets eth_type.
func (f *Frame) PushMPLS(ethType uint16) {}

// PopMPLS removes the outermost label stack entry, if any, and sets eth_type.
func (f *Frame) PopMPLS(ethType uint16) {}

// PushPBB adds a backbone Ethernet header and an I-TAG in front of the frame.
func (f *Frame) PushPBB(ethType uint16) {}

// PopPBB removes the backbone Ethernet header and the I-TAG, if any.
func (f *Frame) PopPBB() {}
