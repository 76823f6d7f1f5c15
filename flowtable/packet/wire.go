// Hot path: what a frame weighs on a wire.

package packet

// OnWire is how many packets and bytes a wire would carry for this frame: itself, or the segments
// of a super-frame, each with its headers.
func (f *Frame) OnWire() (packets, bytes uint64) {
	packets, bytes = 1, uint64(f.Len())
	if f.Offload.GSO == GSONone {
		return packets, bytes
	}
	size, head := uint64(f.Offload.GSOSize), uint64(f.Layout.Payload)
	switch f.Offload.GSO { // fragments: cut behind the IP header, in eights
	case GSOUDP:
		size, head = size&^7, uint64(f.Layout.L4)
	case GSOFrag:
		ip := uint64(f.Layout.L4 - f.Layout.L3)
		if f.Layout.L4 == 0 || size <= ip {
			return packets, bytes
		}
		size, head = (size-ip)&^7, uint64(f.Layout.L4)
	}
	if head == 0 {
		head = uint64(f.Offload.HdrLen)
	}
	if size == 0 || head >= bytes {
		return packets, bytes
	}
	packets = (bytes - head + size - 1) / size
	return packets, bytes + (packets-1)*head
}
