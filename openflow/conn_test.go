package openflow

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

// pair is two ends of a TCP connection: unlike net.Pipe it cuts writes where it likes.
func pair(t testing.TB) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan net.Conn, 1)
	go func() {
		c, _ := l.Accept()
		done <- c
	}()
	a, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b = <-done
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// TestConnOrder: messages of all sizes come out whole and in order, however the bytes were cut.
func TestConnOrder(t *testing.T) {
	a, b := net.Pipe()
	defer b.Close()
	var stream []byte
	const n = 400
	for i := range n {
		stream = Append(stream, uint32(i), &EchoRequest{bytes.Repeat([]byte{byte(i)}, i*i%9000)})
	}
	stream = Append(stream, n, &EchoRequest{make([]byte, MaxMessage-8)})
	stream = Append(stream, n+1, &BarrierRequest{})
	go func() {
		for i, step := 0, 1; i < len(stream); step = step*7%9973 + 1 {
			end := min(i+step, len(stream))
			a.Write(stream[i:end])
			i = end
		}
		a.Close()
	}()
	c := NewConn(b)
	for i := range n + 1 {
		m, xid, _, err := c.Read()
		if err != nil {
			t.Fatal(err)
		}
		e := m.(*EchoRequest)
		if i == n && len(e.Data) == MaxMessage-8 {
			continue
		}
		if xid != uint32(i) || len(e.Data) != i*i%9000 || len(e.Data) > 0 && e.Data[len(e.Data)-1] != byte(i) {
			t.Fatalf("message %d: xid %d, %d bytes", i, xid, len(e.Data))
		}
	}
	if _, xid, _, err := c.Read(); err != nil || xid != n+1 {
		t.Fatalf("last: %d, %v", xid, err)
	}
	if _, _, _, err := c.Read(); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	if len(c.in) > readBufferMax {
		t.Errorf("the reader grew to %d bytes", len(c.in))
	}
}

// TestConnFraming: a length that cannot be ends the connection; one cut short is not a clean end.
func TestConnFraming(t *testing.T) {
	for _, c := range []struct {
		name  string
		bytes string
		limit int
		want  error
	}{
		{"length 0", "0400000000000001", MaxMessage, ErrFraming},
		{"length 7", "0400000700000001", MaxMessage, ErrFraming},
		{"above the cap", "0402012c00000001", 256, ErrFraming},
		{"half a header", "040000", MaxMessage, io.ErrUnexpectedEOF},
		{"half a body", "040200100000000100", MaxMessage, io.ErrUnexpectedEOF},
		{"header alone", "0402001000000001", MaxMessage, io.ErrUnexpectedEOF},
		{"nothing", "", MaxMessage, io.EOF},
		{"text", "474554202f20485454502f312e310d0a", MaxMessage, io.ErrUnexpectedEOF},
	} {
		a, b := net.Pipe()
		go func() { a.Write(unhex(t, c.bytes)); a.Close() }()
		conn := NewConn(b)
		conn.SetLimit(c.limit)
		if _, _, _, err := conn.Read(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		b.Close()
	}
}

// TestConnRefused: a refused message leaves the connection usable, and gives xid and bytes for the answer.
func TestConnRefused(t *testing.T) {
	a, b := net.Pipe()
	defer b.Close()
	bad := unhex(t, "04 ff 0009 00000055 aa")
	go func() { a.Write(bad); a.Write(Append(nil, 86, &BarrierRequest{})) }()
	c := NewConn(b)
	_, xid, raw, err := c.Read()
	if !errors.Is(err, &Error{Type: ErrBadRequest, Code: BRCBadType}) || xid != 0x55 || !bytes.Equal(raw, bad) {
		t.Fatalf("xid 0x%x, %x, %v", xid, raw, err)
	}
	if m, xid, _, err := c.Read(); err != nil || xid != 86 || m.MsgType() != TypeBarrierRequest {
		t.Fatal(m, xid, err)
	}
}

func TestConnBuffered(t *testing.T) {
	a, b := net.Pipe()
	defer b.Close()
	barrier := Append(nil, 1, &BarrierRequest{})
	go func() {
		a.Write(append(append([]byte(nil), barrier...), append(barrier, barrier[:5]...)...))
		a.Write(barrier[5:])
	}()
	c := NewConn(b)
	for i, want := range []int{8, 0, 0} {
		if _, _, _, err := c.Read(); err != nil {
			t.Fatal(err)
		}
		if got := c.Buffered(); got != want {
			t.Errorf("after message %d: %d bytes, want %d", i, got, want)
		}
	}
}

// TestConnWriters: many writers, every message whole, each writer's in its own order.
// stream is a net.Conn that gives from its bytes what a Read has room for, at most most.
type stream struct {
	net.Conn
	bytes []byte
	most  int
	reads int
}

func (s *stream) Read(b []byte) (int, error) {
	n := copy(b[:min(len(b), s.most)], s.bytes)
	if s.bytes = s.bytes[n:]; n == 0 {
		return 0, io.EOF
	}
	s.reads++
	return n, nil
}

// TestConnBursts: a burst of FLOW_MODs is read in large pieces, for whoever reads shares a
// publication among what one read brought. Who says little costs little memory, however long.
func TestConnBursts(t *testing.T) {
	var burst []byte
	for i := range 20_000 {
		burst = Append(burst, uint32(i), &EchoRequest{make([]byte, 92)})
	}
	for _, c := range []struct{ most, reads, buffer int }{{1 << 20, 60, readBufferMax}, {100, 21_000, readBufferMin}, {700, 5_000, readBufferMin}} {
		s := &stream{bytes: burst, most: c.most}
		conn := NewConn(s)
		n := 0
		for {
			if _, err := conn.ReadMessage(); err != nil {
				break
			}
			n++
		}
		if n != 20_000 || s.reads > c.reads || len(conn.in) > c.buffer {
			t.Errorf("at most %d bytes a read: %d messages in %d reads, a buffer of %d; expected at most %d reads and %d bytes", c.most, n, s.reads, len(conn.in), c.reads, c.buffer)
		}
	}
}

func TestConnWriters(t *testing.T) {
	a, b := pair(t)
	c := NewConn(a)
	const writers, each = 8, 200
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if err := c.Queue(uint32(w)<<16|uint32(i), &EchoRequest{make([]byte, i)}); err != nil {
					t.Error(err)
				}
				if i%10 == 9 {
					c.Flush()
				}
			}
		})
	}
	next := [writers]uint32{}
	in := NewConn(b)
	for range writers * each {
		m, xid, _, err := in.Read()
		if err != nil {
			t.Fatal(err)
		}
		w := xid >> 16
		if xid&0xffff != next[w] || len(m.(*EchoRequest).Data) != int(next[w]) {
			t.Fatalf("writer %d: message %d where %d was due", w, xid&0xffff, next[w])
		}
		next[w]++
	}
	wg.Wait()
}

// TestConnDeadline: a peer that reads nothing fails its own writes, and the error stays.
func TestConnDeadline(t *testing.T) {
	a, b := net.Pipe()
	defer b.Close()
	c := NewConn(a)
	c.Deadline = func() time.Time { return time.Now().Add(20 * time.Millisecond) }
	if err := c.Send(1, &BarrierRequest{}); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("first write: %v", err)
	}
	if err := c.Queue(2, &BarrierRequest{}); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("later write: %v", err)
	}
}

func TestConnXID(t *testing.T) {
	a, b := pair(t)
	c := NewConn(a)
	for want := uint32(1); want < 4; want++ {
		if xid, err := c.Request(&FeaturesRequest{}); xid != want || err != nil {
			t.Fatal(xid, err)
		}
	}
	in := NewConn(b)
	for want := uint32(1); want < 4; want++ {
		if _, xid, _, err := in.Read(); xid != want || err != nil {
			t.Fatal(xid, err)
		}
	}
	if err := c.QueueRaw(Append(nil, 9, &BarrierReply{})); err != nil {
		t.Fatal(err)
	}
	c.Flush()
	if m, xid, _, err := in.Read(); xid != 9 || err != nil || m.MsgType() != TypeBarrierReply {
		t.Fatal(m, xid, err)
	}
	if c.NetConn() != a || c.Close() != nil {
		t.Error("close")
	}
}
