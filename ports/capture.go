package ports

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// CaptureError says where a capture file stops making sense.
type CaptureError struct {
	File   string
	Packet int   // the packet it happened in or before, counted from 1
	Offset int64 // where the record begins that is wrong
	Reason string
}

// Error names the file, the packet, the byte and the reason.
func (e *CaptureError) Error() string {
	return fmt.Sprintf("%s: packet %d at byte %d: %s", e.File, e.Packet, e.Offset, e.Reason)
}

const (
	// maxSnaplen is the longest packet a record may hold: what tcpdump and
	// wireshark write at most.
	maxSnaplen = 262144
	// maxBlock bounds the blocks of a pcapng file that are read into memory,
	// and maxSkip those that are passed over.
	maxBlock = maxSnaplen + 64<<10
	maxSkip  = 16 << 20
)

// The beginnings of capture files, as read little endian, and pcapng's block types.
const (
	magicNg       = 0x0a0d0d0a
	magicMicros   = 0xa1b2c3d4
	magicNanos    = 0xa1b23c4d
	magicMicrosBE = 0xd4c3b2a1
	magicNanosBE  = 0x4d3cb2a1
	magicGzip     = 0x8b1f // its first half
	magicOrder    = 0x1a2b3c4d

	blockInterface  = 1
	blockPacketOld  = 2
	blockSimple     = 3
	blockStatistics = 5
	blockPacket     = 6
	blockSection    = magicNg

	optionOffset     = 14 // if_tsoffset
	optionResolution = 9  // if_tsresol
)

// capture reads the packets of a pcap or pcapng file. The decoding is
// pcapgo's; it trusts its input, so it is fed by a screen that has looked at
// every record first.
type capture struct {
	screen screen
	reader interface {
		ZeroCopyReadPacketData() ([]byte, gopacket.CaptureInfo, error)
	}
	link layers.LinkType // of a pcap file; a pcapng file says it with each packet
}

// newCapture reads the file's header. name is for errors.
func newCapture(name string, r io.Reader) (*capture, error) {
	c := &capture{screen: screen{name: name, r: bufio.NewReaderSize(r, 64<<10)}}
	if err := c.screen.begin(); err != nil {
		return nil, err
	}
	err := c.guarded(func() error {
		if c.screen.ng {
			ng, err := pcapgo.NewNgReader(&c.screen, pcapgo.NgReaderOptions{WantMixedLinkType: true})
			c.reader = ng
			return err
		}
		p, err := pcapgo.NewReader(&c.screen)
		if err == nil {
			p.SetSnaplen(maxSnaplen) // some writers exceed the length that they announce
			c.reader, c.link = p, p.LinkType()
			err = c.checkLink(c.link)
		}
		return err
	})
	return c, err
}

// next gives the next packet, valid until the one after, or io.EOF.
func (c *capture) next() (data []byte, at time.Time, err error) {
	err = c.guarded(func() error {
		var ci gopacket.CaptureInfo
		var err error
		if data, ci, err = c.reader.ZeroCopyReadPacketData(); err != nil {
			return err
		}
		at = ci.Timestamp
		link := c.link
		if c.screen.ng {
			link = ci.AncillaryData[0].(layers.LinkType)
		}
		return c.checkLink(link)
	})
	return data, at, err
}

func (c *capture) checkLink(link layers.LinkType) error {
	if link != layers.LinkTypeEthernet {
		return c.screen.fail("the packets are of link type %d (%v), expected Ethernet (1): "+
			"capture on an Ethernet device, not on \"any\"", link, link)
	}
	return nil
}

// guarded runs f, which calls the foreign decoder, and makes every failure of
// it an error with a place: what slips through the screen must not stop the switch.
func (c *capture) guarded(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = c.screen.fail("the decoder gave up: %v", r)
		}
	}()
	var placed *CaptureError
	if err = f(); err != nil && err != io.EOF && !errors.As(err, &placed) {
		return c.screen.fail("%v", err)
	}
	return err
}

// screen is the io.Reader between a file and pcapgo. It hands out one record
// after the other, each only when its lengths are sane, so pcapgo never
// allocates for a length that is not there, nor reads across a record's end.
type screen struct {
	name    string
	r       *bufio.Reader
	ng      bool
	order   binary.ByteOrder
	offset  int64  // where the current record begins
	after   int64  // where it ends
	packets int    // handed out so far
	snaplen uint32 // of the section's first interface, at most maxSnaplen
	seenIf  bool   // that interface was there
	buf     []byte
	rest    []byte // of buf: not handed out yet
}

// fail makes an error about the current record.
func (s *screen) fail(format string, args ...any) error {
	return &CaptureError{s.name, max(s.packets, 1), s.offset, fmt.Sprintf(format, args...)}
}

// begin finds out what sort of file it is.
func (s *screen) begin() error {
	magic, err := s.r.Peek(4)
	switch {
	case err != nil && len(magic) == 0:
		return s.fail("the file is empty, expected a pcap or pcapng file")
	case err != nil:
		return s.fail("the file has %d bytes, expected a pcap or pcapng file", len(magic))
	}
	m := binary.LittleEndian.Uint32(magic)
	s.order = binary.LittleEndian
	switch {
	case m == magicNg:
		s.ng = true
		return nil
	case m == magicMicros, m == magicNanos:
	case m == magicMicrosBE, m == magicNanosBE:
		s.order = binary.BigEndian
	case m&0xffff == magicGzip:
		return s.fail("the file is compressed; unpack it with gunzip first")
	default:
		return s.fail("the file begins with % x, expected a pcap or pcapng file", magic)
	}
	if err := s.take(24); err != nil {
		return err
	}
	s.rest = s.buf
	return nil
}

// Read implements io.Reader for pcapgo.
func (s *screen) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		if err := s.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// take makes buf the first n bytes of the current record, keeping what is there.
func (s *screen) take(n int) error {
	had := len(s.buf)
	if cap(s.buf) < n {
		s.buf = append(make([]byte, 0, n), s.buf...)
	}
	s.buf = s.buf[:n]
	k, err := io.ReadFull(s.r, s.buf[had:])
	s.after += int64(k)
	switch {
	case err == io.EOF && had == 0:
		return io.EOF // exactly between two records
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		return s.fail("the file ends %d bytes into a record of at least %d: it was cut off", had+k, n)
	case err != nil:
		return s.fail("%v", err)
	}
	return nil
}

// next reads the next record into buf and looks at its lengths.
func (s *screen) next() error {
	s.offset, s.buf = s.after, s.buf[:0]
	if s.ng {
		return s.nextBlock()
	}
	s.packets++
	if err := s.take(16); err != nil {
		return err
	}
	n := s.order.Uint32(s.buf[8:])
	if n > maxSnaplen {
		return s.fail("the record announces %d bytes, more than the %d of any capture", n, maxSnaplen)
	}
	if err := s.take(16 + int(n)); err != nil {
		return err
	}
	s.rest = s.buf
	return nil
}

// nextBlock reads the next block that matters and passes over all others.
func (s *screen) nextBlock() error {
	for {
		s.offset, s.buf = s.after, s.buf[:0]
		if err := s.take(12); err != nil {
			return err
		}
		kind := s.order.Uint32(s.buf)
		if kind == blockSection { // the same in both byte orders
			if err := s.section(); err != nil {
				return err
			}
		}
		n := s.order.Uint32(s.buf[4:])
		least, known := leastBlock(kind)
		most := uint32(maxSkip)
		if known {
			most = maxBlock
		}
		if n%4 != 0 || n < least || n > most {
			return s.fail("a block of type %d announces %d bytes, expected %d to %d in fours", kind, n, least, most)
		}
		if !known {
			k, err := s.r.Discard(int(n) - 12)
			if s.after += int64(k); err != nil {
				return s.fail("the file ends inside a block of %d bytes: it was cut off", n)
			}
			continue
		}
		if err := s.take(int(n)); err != nil {
			return err
		}
		if trailer := s.order.Uint32(s.buf[n-4:]); trailer != n {
			return s.fail("the block announces %d bytes at its beginning and %d at its end", n, trailer)
		}
		s.rest = s.buf
		return s.block(kind, s.buf[8:n-4])
	}
}

// leastBlock is the length of the shortest block of a kind that pcapgo decodes.
func leastBlock(kind uint32) (least uint32, known bool) {
	switch kind {
	case blockSection:
		return 28, true
	case blockInterface:
		return 20, true
	case blockSimple:
		return 16, true
	case blockStatistics:
		return 24, true
	case blockPacket, blockPacketOld:
		return 32, true
	}
	return 12, false
}

// section learns the byte order of what follows.
func (s *screen) section() error {
	switch {
	case binary.LittleEndian.Uint32(s.buf[8:]) == magicOrder:
		s.order = binary.LittleEndian
	case binary.BigEndian.Uint32(s.buf[8:]) == magicOrder:
		s.order = binary.BigEndian
	default:
		return s.fail("a section has the byte order mark % x, expected 1a 2b 3c 4d or its reverse", s.buf[8:12])
	}
	s.seenIf = false
	return nil
}

// block looks inside one block; body is what lies between its two lengths.
func (s *screen) block(kind uint32, body []byte) error {
	switch kind {
	case blockSection:
		return s.options(body[16:], false)
	case blockInterface:
		// pcapgo makes a buffer of the announced length, whatever that is.
		if n := s.order.Uint32(body[4:]); n == 0 || n > maxSnaplen {
			s.order.PutUint32(body[4:], maxSnaplen)
		}
		if !s.seenIf {
			s.seenIf, s.snaplen = true, s.order.Uint32(body[4:])
		}
		return s.options(body[8:], true)
	case blockStatistics:
		return s.options(body[12:], false)
	}
	s.packets++
	n, room := uint32(0), len(body)-20
	if kind == blockSimple {
		n, room = s.order.Uint32(body), len(body)-4
		n = min(n, s.snaplen)
	} else {
		n = s.order.Uint32(body[12:])
	}
	if uint64(n) > uint64(room) || n > maxSnaplen {
		return s.fail("the packet announces %d bytes in a block with room for %d", n, room)
	}
	return nil
}

// options walks a list of options, which pcapgo reads without looking where
// the block ends, and judges those whose values it computes with.
func (s *screen) options(b []byte, ofInterface bool) error {
	for len(b) > 0 {
		if len(b) < 4 {
			return s.fail("%d bytes are left for an option, which has at least 4", len(b))
		}
		code, n := s.order.Uint16(b), int(s.order.Uint16(b[2:]))
		padded := 4 + (n+3)&^3
		if code == 0 && n == 0 {
			return nil
		}
		if code == 0 || padded > len(b) {
			return s.fail("option %d announces %d bytes where %d are left", code, n, len(b)-4)
		}
		if ofInterface && code == optionResolution && (n != 1 || b[4]&0x80 == 0 && b[4] > 19 || b[4]&0x7f > 63) {
			return s.fail("an interface announces the time resolution % x, expected 10^-0 to 10^-19 or 2^-0 to 2^-63", b[4:4+n])
		}
		if ofInterface && code == optionOffset && n != 8 {
			return s.fail("an interface's time offset has %d bytes, expected 8", n)
		}
		b = b[padded:]
	}
	return nil
}

// CapturedFrames reads the packets of a pcap or pcapng file in turn; each is valid until the next. An error
// is the last thing it gives.
func CapturedFrames(name string, r io.Reader) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		c, err := newCapture(name, r)
		for err == nil {
			var data []byte
			if data, _, err = c.next(); err == nil && !yield(data, nil) {
				return
			}
		}
		if err != io.EOF {
			yield(nil, err)
		}
	}
}
