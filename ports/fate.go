package ports

import "github.com/weirswitch/weir/flowtable/packet"

// Fate is what a port would do with a frame that it is given to write.
type Fate struct {
	Lost     bool
	Reason   DropReason // why it is lost
	Frames   int        // that leave: more than one where a super-frame, or a packet put together, is cut
	Finished bool       // its checksum is completed, or it is cut, in software
}

// Foresee tells the fate of a frame at a port that is as i says, and does nothing. It comes from the code that
// Write runs before it calls the kernel, whose queues may be full and whose drivers may refuse all the same.
func Foresee(i Info, f *packet.Frame) Fate {
	if !i.LinkUp {
		return Fate{Lost: true, Reason: DropLinkDown}
	}
	memory := i.Kind == KindPipe || i.Kind == KindPatch
	switch {
	case memory && i.Offload:
		switch {
		case f.Len() < minFrame:
			return Fate{Lost: true, Reason: DropTruncated}
		case f.Offload.GSO == packet.GSONone && !fits(f.Bytes(), i.MTU):
			return Fate{Lost: true, Reason: DropTooBig}
		}
		return Fate{Frames: 1}
	case i.Offload:
		switch _, v := judge(f, i.MTU, false); v {
		case passWhole:
			if i.Kind == KindAFPacket && f.Offload.GSO == packet.GSONone && !socketTakes(f.Bytes(), i.MTU) {
				return Fate{Lost: true, Reason: DropTooBig}
			}
			return Fate{Frames: 1}
		case passFinished:
		default:
			return Fate{Lost: true, Reason: DropReason(v)}
		}
	}
	return foreseeFinished(i, f)
}

// foreseeFinished is Foresee for a frame whose work is done in software.
func foreseeFinished(i Info, f *packet.Frame) Fate {
	var fin Finisher
	reason, ok := fin.Begin(f, i.MTU)
	if !ok {
		return Fate{Lost: true, Reason: reason}
	}
	fate := Fate{Finished: unfinished(&f.Offload)}
	for b := fin.Next(); b != nil; b = fin.Next() {
		if i.Kind == KindAFPacket && !socketTakes(b, i.MTU) {
			return Fate{Lost: true, Reason: DropTooBig}
		}
		fate.Frames++
	}
	return fate
}

// socketTakes is Linux's own limit of a packet socket: one tag beyond the MTU, and only of type 0x8100.
func socketTakes(b []byte, mtu int) bool {
	n := len(b) - etherLen
	return mtu == 0 || n <= mtu || n <= mtu+4 && be.Uint16(b[12:]) == etherVLAN
}
