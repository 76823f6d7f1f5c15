package openflow

import "fmt"

// Hello opens the connection, from both sides at once (section 7.5.1).
type Hello struct {
	Version uint8 // of the header: the highest that the sender speaks
	// Bitmap holds one bit for each version spoken (1<<4 is 1.3); HasBitmap says whether it was
	// sent. Versions from 32 up are not kept.
	Bitmap    uint32
	HasBitmap bool
}

// NewHello announces the versions given, the highest in the header and all of them in the bitmap.
func NewHello(versions ...uint8) *Hello {
	h := &Hello{HasBitmap: true}
	for _, v := range versions {
		h.Version = max(h.Version, v)
		h.Bitmap |= 1 << v
	}
	return h
}

// Versions is what the sender speaks: its bitmap, or every version up to the header's.
func (h *Hello) Versions() uint32 {
	if h.HasBitmap {
		return h.Bitmap
	}
	return (1<<(min(h.Version, 30)+1) - 1) &^ 1
}

// Negotiate picks the version both sides speak (section 6.3.1): the highest common bit when both
// sent bitmaps, else the smaller header version if the receiver speaks it.
func Negotiate(ours, theirs *Hello) (version uint8, err error) {
	v := min(ours.Version, theirs.Version)
	if ours.HasBitmap && theirs.HasBitmap {
		v = highestBit(ours.Bitmap & theirs.Bitmap)
	}
	if v == 0 || v > 31 || ours.Versions()&theirs.Versions()&(1<<v) == 0 {
		text := fmt.Sprintf("no common version: this side speaks %s, the other %s; allow %s there",
			versionNames(ours.Versions()), versionNames(theirs.Versions()), versionNames(ours.Versions()))
		return 0, &Error{Type: ErrHelloFailed, Code: HFCIncompatible, Data: []byte(text), Detail: text}
	}
	return v, nil
}

func highestBit(x uint32) uint8 {
	n := uint8(0)
	for ; x > 1; x >>= 1 {
		n++
	}
	return n
}

// versionNames spells a set of versions: OpenFlow 1.0, 1.3.
func versionNames(set uint32) string {
	s := "OpenFlow"
	sep := " "
	for v := 1; v < 32; v++ {
		if set&(1<<v) != 0 {
			s += fmt.Sprintf("%s1.%d", sep, v-1)
			sep = ", "
		}
	}
	if sep == " " {
		return "no version"
	}
	return s
}

// MsgType is TypeHello.
func (*Hello) MsgType() Type { return TypeHello }

func (h *Hello) String() string {
	s := fmt.Sprintf("HELLO version=%d", h.Version)
	if h.HasBitmap {
		s += fmt.Sprintf(" bitmap=0x%x", h.Bitmap)
	}
	return s
}

func (h *Hello) appendBody(b []byte) []byte {
	if !h.HasBitmap {
		return b
	}
	return append32(append16(append16(b, 1), 8), h.Bitmap) // OFPHET_VERSIONBITMAP
}

// decodeHello takes a HELLO of any version and with any elements: what is unknown is skipped, and
// a broken element ends the list (section 7.5.1 asks to be tolerant here).
func decodeHello(b []byte) (Message, error) {
	h := &Hello{Version: b[0]}
	for e := b[8:]; len(e) >= 4; {
		n := int(u16(e, 2))
		if n < 4 || n > len(e) {
			break
		}
		if u16(e, 0) == 1 && n >= 8 {
			h.Bitmap, h.HasBitmap = u32(e, 4), true
		}
		e = e[min(n+pad8(n), len(e)):]
	}
	return h, nil
}
