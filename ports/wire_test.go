package ports

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirswitch/weir/flowtable/packet"
)

// freePort reserves nothing: it finds a port that was free a moment ago. It is below those that systems give to whoever asks
// for any, the tests of other packages for instance; and whoever calls one of those may get the same for himself, and be connected
// with himself.
func freePort(t testing.TB, network string) string {
	t.Helper()
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(20000))
		if network == "udp" {
			if c, err := net.ListenPacket("udp", addr); err == nil {
				c.Close()
				return addr
			}
		} else if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			return addr
		}
	}
	t.Fatal("no port is free")
	return ""
}

// inTime is for what should not happen: no passing test waits it out.
const inTime = time.Minute

// bell is an OnChange that a test can wait on.
type bell chan struct{}

func (b bell) ring() { signal(b) }

// openPort opens text and closes it with the test.
func openPort(t testing.TB, text string, o Options) Port {
	t.Helper()
	spec, err := ParseSpec(text)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Open(spec, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// waitLink waits until the port's link is as wanted.
func waitLink(t testing.TB, p Port, b bell, up bool) {
	t.Helper()
	for deadline := time.After(inTime); p.Info().LinkUp != up; {
		select {
		case <-b:
		case <-deadline:
			t.Fatalf("link up is not %v: %+v", up, p.Info())
		}
	}
}

// readFrames reads until n frames came and gives copies.
func readFrames(t testing.TB, p Port, n int) [][]byte {
	t.Helper()
	stop := time.AfterFunc(inTime, func() { p.Close() })
	defer stop.Stop()
	frames := make([]*packet.Frame, 16)
	for i := range frames {
		frames[i] = packet.NewFrame(70000)
	}
	var got [][]byte
	for len(got) < n {
		if err := p.Wait(); err != nil {
			t.Fatalf("%d of %d frames, then %v", len(got), n, err)
		}
		k, err := p.Read(frames[:min(len(frames), n-len(got))])
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range frames[:k] {
			got = append(got, bytes.Clone(f.Bytes()))
		}
	}
	return got
}

// waitCount waits until a counter has reached n.
func waitCount(t testing.TB, what string, load func() uint64, n uint64) {
	t.Helper()
	for end := time.Now().Add(inTime); load() < n; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s stays at %d, want %d", what, load(), n)
		}
	}
}

// speakQEMU writes a frame as qemu does on a stream: length, then bytes.
func speakQEMU(t testing.TB, c net.Conn, frame []byte) {
	t.Helper()
	if _, err := c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...)); err != nil {
		t.Fatal(err)
	}
}

// hearQEMU reads one frame of a stream.
func hearQEMU(t testing.TB, c net.Conn) []byte {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(inTime))
	var head [4]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		t.Fatal(err)
	}
	frame := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(c, frame); err != nil {
		t.Fatal(err)
	}
	return frame
}

// streamWire opens a listening wire and says how to reach it.
func streamWire(t testing.TB, network string, o Options) (p Port, addr string) {
	t.Helper()
	addr = filepath.Join(t.TempDir(), "w.sock")
	if network == "tcp" {
		addr = freePort(t, "tcp")
	}
	return openPort(t, fmt.Sprintf("wire:%s,listen=%s,name=w", network, addr), o), addr
}

func dial(t testing.TB, network, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestWireListensForQEMU(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			b := make(bell, 1)
			var c Counters
			p, addr := streamWire(t, network, Options{OnChange: b.ring, Counters: &c})
			if i := p.Info(); i.LinkUp || !strings.Contains(i.Problem, "waiting for a peer") {
				t.Fatalf("%+v", i)
			}
			if p.Write([]*packet.Frame{frameOf(ethernet(1, 60))}) != 0 || c.TxDrops[DropLinkDown].Load() != 1 {
				t.Fatal("written without a peer")
			}
			conn := dial(t, network, addr)
			waitLink(t, p, b, true)
			speakQEMU(t, conn, ethernet(7, 200))
			speakQEMU(t, conn, ethernet(8, 1500))
			got := readFrames(t, p, 2)
			if !bytes.Equal(got[0], ethernet(7, 200)) || !bytes.Equal(got[1], ethernet(8, 1500)) {
				t.Fatalf("got % x", got)
			}
			if n := p.Write([]*packet.Frame{frameOf(ethernet(3, 60)), frameOf(ethernet(4, 1000))}); n != 2 {
				t.Fatalf("%d taken", n)
			}
			if !bytes.Equal(hearQEMU(t, conn), ethernet(3, 60)) || !bytes.Equal(hearQEMU(t, conn), ethernet(4, 1000)) {
				t.Fatal("wrong frame")
			}
			conn.Close()
			waitLink(t, p, b, false)
			conn = dial(t, network, addr)
			waitLink(t, p, b, true)
			p.Close()
			if _, err := conn.Read(make([]byte, 1)); err == nil {
				t.Fatal("still connected after Close")
			}
			if _, err := os.Stat(addr); network == "unix" && !errors.Is(err, os.ErrNotExist) {
				t.Fatalf("the socket's file is left behind: %v", err)
			}
			if v := c.Snapshot(); v.RxPackets != 2 || v.RxBytes != 1700 || v.TxPackets != 2 || v.TxBytes != 1060 {
				t.Fatalf("%+v", v)
			}
		})
	}
}

func TestWireSegmentsForThePeer(t *testing.T) {
	b := make(bell, 1)
	p, addr := streamWire(t, "unix", Options{OnChange: b.ring})
	conn := dial(t, "unix", addr)
	waitLink(t, p, b, true)
	f := frameOf(tcpSegment(t, 5000))
	f.Offload = superFrame
	p.Write([]*packet.Frame{f})
	for total := 0; total < 5000; {
		got := hearQEMU(t, conn)
		if len(got) > 1514 {
			t.Fatalf("a segment of %d bytes", len(got))
		}
		total += checkTCP(t, got)
	}
}

func TestWireHostilePeers(t *testing.T) {
	be32 := func(n uint32, rest ...byte) []byte { return append(binary.BigEndian.AppendUint32(nil, n), rest...) }
	good := append(be32(60), ethernet(1, 60)...)
	for _, tc := range []struct {
		name   string
		send   []byte
		reason DropReason
		frames int
		says   string // the problem shown once the connection is gone; empty: it lives on
	}{
		{"length zero", append(bytes.Clone(good), be32(0)...), DropMalformed, 1, "announced a frame of 0 bytes"},
		{"length far too large", be32(0xffffffff), DropMalformed, 0, "4294967295 bytes"},
		{"http", []byte("GET / HTTP/1.1\r\n\r\n"), DropMalformed, 0, "expected qemu's framing"},
		{"above the MTU", append(append(be32(3000), make([]byte, 3000)...), good...), DropTooBig, 1, ""},
		{"shorter than a header", append(be32(5, 1, 2, 3, 4, 5), good...), DropTruncated, 1, ""},
		{"half a frame", append(bytes.Clone(good), good[:30]...), DropTruncated, 1, "in the middle of a frame"},
		{"half a skipped frame", be32(3000, 1, 2, 3), DropTooBig, 0, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := make(bell, 1)
			var c Counters
			p, addr := streamWire(t, "unix", Options{OnChange: b.ring, Counters: &c})
			conn := dial(t, "unix", addr)
			waitLink(t, p, b, true)
			for _, part := range [][]byte{tc.send[:len(tc.send)/2], tc.send[len(tc.send)/2:]} {
				if _, err := conn.Write(part); err != nil && tc.says == "" {
					t.Fatal(err)
				}
			}
			readFrames(t, p, tc.frames)
			if tc.says == "" {
				waitCount(t, tc.reason.String(), c.RxDrops[tc.reason].Load, 1)
				return
			}
			conn.(*net.UnixConn).CloseWrite()
			waitLink(t, p, b, false)
			waitCount(t, tc.reason.String(), c.RxDrops[tc.reason].Load, 1)
			if i := p.Info(); !strings.Contains(i.Problem, tc.says) {
				t.Fatalf("problem %q does not say %q", i.Problem, tc.says)
			}
			conn = dial(t, "unix", addr)
			waitLink(t, p, b, true)
			speakQEMU(t, conn, ethernet(2, 60))
			readFrames(t, p, 1)
		})
	}
}

// TestWireSlowReader: a peer that never reads fills the ring; Write keeps
// returning at once, every loss is counted, and Close ends it.
func TestWireSlowReader(t *testing.T) {
	b := make(bell, 1)
	var c Counters
	p, addr := streamWire(t, "unix", Options{OnChange: b.ring, Counters: &c})
	dial(t, "unix", addr)
	waitLink(t, p, b, true)
	frames := make([]*packet.Frame, 32)
	for i := range frames {
		frames[i] = frameOf(ethernet(1, 1400))
	}
	sent, taken := 0, 0
	begin := time.Now()
	for c.TxDrops[DropFull].Load() == 0 || sent < 10000 {
		taken += p.Write(frames)
		sent += len(frames)
	}
	if d := time.Since(begin); d > inTime {
		t.Fatalf("Write blocked: %v for %d frames", d, sent)
	}
	p.Close()
	v := c.Snapshot()
	if lost := v.TxDrops[DropFull]; lost != uint64(sent-taken) || v.TxPackets+v.TxDropped != uint64(sent) {
		t.Fatalf("sent %d, taken %d, counted %+v", sent, taken, v)
	}
}

// TestWireSlowsDownAStream: nothing of a stream is lost when the switch reads
// late, however much more than the ring holds is sent.
func TestWireSlowsDownAStream(t *testing.T) {
	b := make(bell, 1)
	var c Counters
	p, addr := streamWire(t, "tcp", Options{OnChange: b.ring, Counters: &c})
	conn := dial(t, "tcp", addr)
	waitLink(t, p, b, true)
	const count = 3 * ringSlots
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range count {
			f := append(ethernet(0, 0), binary.BigEndian.AppendUint32(nil, uint32(i))...)
			if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(f))), f...)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	time.Sleep(20 * time.Millisecond) // let the ring fill; the test holds without it
	for i, f := range readFrames(t, p, count) {
		if got := binary.BigEndian.Uint32(f[14:]); int(got) != i {
			t.Fatalf("frame %d came as %d", i, got)
		}
	}
	wg.Wait()
	if v := c.Snapshot(); v.RxDropped != 0 || v.RxPackets != count {
		t.Fatalf("%+v", v)
	}
}

func TestWireTurnsASecondClientAway(t *testing.T) {
	b := make(bell, 1)
	p, addr := streamWire(t, "tcp", Options{OnChange: b.ring})
	first := dial(t, "tcp", addr)
	waitLink(t, p, b, true)
	second := dial(t, "tcp", addr)
	second.SetReadDeadline(time.Now().Add(inTime))
	if _, err := second.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !isReset(err) {
		t.Fatalf("the second client was not turned away: %v", err)
	}
	speakQEMU(t, first, ethernet(1, 60))
	readFrames(t, p, 1)

	third := dial(t, "tcp", addr) // knocks while the first is still there
	first.Close()
	speakQEMU(t, third, ethernet(3, 60))
	if got := readFrames(t, p, 1); !bytes.Equal(got[0], ethernet(3, 60)) {
		t.Fatal("the successor was not let in")
	}
}

func isReset(err error) bool { return err != nil && strings.Contains(err.Error(), "reset") }

// TestWireReconnects: the connecting side finds a listener that comes late,
// goes, and comes back.
func TestWireReconnects(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			addr := filepath.Join(t.TempDir(), "w.sock")
			if network == "tcp" {
				addr = freePort(t, "tcp")
			}
			b := make(bell, 1)
			p := openPort(t, fmt.Sprintf("wire:%s,connect=%s", network, addr), Options{OnChange: b.ring})
			for round := range byte(2) {
				l, err := net.Listen(network, addr)
				if err != nil {
					t.Fatal(err)
				}
				conn, err := l.Accept()
				if err != nil {
					t.Fatal(err)
				}
				waitLink(t, p, b, true)
				speakQEMU(t, conn, ethernet(round, 60))
				if got := readFrames(t, p, 1); !bytes.Equal(got[0], ethernet(round, 60)) {
					t.Fatal("wrong frame")
				}
				p.Write([]*packet.Frame{frameOf(ethernet(round, 90))})
				if !bytes.Equal(hearQEMU(t, conn), ethernet(round, 90)) {
					t.Fatal("wrong frame")
				}
				l.Close()
				conn.Close()
				waitLink(t, p, b, false)
				if i := p.Info(); !strings.Contains(i.Problem, "trying again") && !strings.Contains(i.Problem, "closed by the peer") {
					t.Fatalf("%+v", i)
				}
			}
			begin := time.Now()
			p.Close()
			if d := time.Since(begin); d > lastBackoff/2 {
				t.Fatalf("Close took %v", d)
			}
		})
	}
}

func TestWireDatagrams(t *testing.T) {
	for _, network := range []string{"udp", "unixgram"} {
		t.Run(network, func(t *testing.T) {
			here, there := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
			if network == "udp" {
				here, there = freePort(t, "udp"), freePort(t, "udp")
			}
			var ca, cb Counters
			a := openPort(t, fmt.Sprintf("wire:%s,local=%s,remote=%s,name=a", network, here, there), Options{Counters: &ca})
			// Nobody is there yet: lost, counted, and no reason to fail.
			for range 3 {
				a.Write([]*packet.Frame{frameOf(ethernet(1, 60))})
			}
			waitCount(t, "sent or lost", func() uint64 { v := ca.Snapshot(); return v.TxPackets + v.TxDropped }, 3)
			b := openPort(t, fmt.Sprintf("wire:%s,local=%s,remote=%s,name=b", network, there, here), Options{Counters: &cb})
			if !a.Info().LinkUp || !b.Info().LinkUp {
				t.Fatal("a datagram wire has no carrier to lose")
			}
			want := [][]byte{ethernet(1, 60), ethernet(2, 1514), ethernet(3, 64)}
			for _, f := range want {
				if a.Write([]*packet.Frame{frameOf(f)}) != 1 {
					t.Fatal("not taken")
				}
			}
			if got := readFrames(t, b, 3); !bytes.Equal(bytes.Join(got, nil), bytes.Join(want, nil)) {
				t.Fatalf("got % x", got)
			}
			b.Write([]*packet.Frame{frameOf(ethernet(9, 500))})
			if got := readFrames(t, a, 1); !bytes.Equal(got[0], ethernet(9, 500)) {
				t.Fatal("wrong frame")
			}
			if a.Write([]*packet.Frame{frameOf(ethernet(1, 1515))}) != 0 || ca.TxDrops[DropTooBig].Load() != 1 {
				t.Fatal("a frame above the MTU left")
			}
			a.Close()
			hostileDatagrams(t, network, here, there, b, &cb)
			b.Close()
			if _, err := os.Stat(there); network == "unixgram" && !errors.Is(err, os.ErrNotExist) {
				t.Fatalf("the socket's file is left behind: %v", err)
			}
		})
	}
}

// hostileDatagrams takes a's place and sends what is no frame.
func hostileDatagrams(t *testing.T, network, here, there string, b Port, c *Counters) {
	t.Helper()
	var conn net.Conn
	var err error
	if network == "udp" {
		la, _ := net.ResolveUDPAddr("udp", here)
		ra, _ := net.ResolveUDPAddr("udp", there)
		conn, err = net.DialUDP("udp", la, ra)
	} else {
		conn, err = net.Dial("unixgram", there)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, n := range []int{0, 1, 13, 14, 1522, 1523, 9000, 60000} {
		if _, err := conn.Write(make([]byte, n)); err != nil {
			t.Fatal(err)
		}
	}
	readFrames(t, b, 2)
	waitCount(t, "truncated", c.RxDrops[DropTruncated].Load, 3)
	waitCount(t, "too-big", c.RxDrops[DropTooBig].Load, 3)
	if network == "udp" { // strangers are the kernel's to refuse
		stranger := dial(t, "udp", there)
		stranger.Write(ethernet(66, 60))
		conn.Write(ethernet(7, 60))
		if got := readFrames(t, b, 1); !bytes.Equal(got[0], ethernet(7, 60)) {
			t.Fatal("a stranger's frame came in")
		}
	}
}

// TestWireDatagramsToAStuckPeer: a unix peer that does not read costs frames, not time.
func TestWireDatagramsToAStuckPeer(t *testing.T) {
	dir := t.TempDir()
	stuck, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "b"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer stuck.Close()
	var c Counters
	p := openPort(t, fmt.Sprintf("wire:unixgram,local=%s,remote=%s", filepath.Join(dir, "a"), filepath.Join(dir, "b")), Options{Counters: &c})
	frames := []*packet.Frame{frameOf(ethernet(1, 1400))}
	sent := 0
	for begin := time.Now(); c.TxDrops[DropFull].Load() < 5; sent++ {
		p.Write(frames)
		if time.Since(begin) > inTime {
			t.Fatalf("no drop after %d frames: %+v", sent, c.Snapshot())
		}
	}
	begin := time.Now()
	p.Close()
	if d := time.Since(begin); d > inTime/10 {
		t.Fatalf("Close took %v", d)
	}
	if v := c.Snapshot(); v.TxPackets+v.TxDropped != uint64(sent) {
		t.Fatalf("sent %d, counted %+v", sent, v)
	}
}

func TestWireStaleSockets(t *testing.T) {
	for _, tc := range []struct{ transport, args string }{
		{"unix", "listen=%s"}, {"unixgram", "local=%s,remote=%s.peer"},
	} {
		t.Run(tc.transport, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "w.sock")
			text := "wire:" + tc.transport + "," + strings.ReplaceAll(tc.args, "%s", path)
			leaveSocket(t, tc.transport, path)
			p := openPort(t, text, Options{})
			spec, _ := ParseSpec(text)
			if _, err := Open(spec, Options{}); err == nil || !strings.Contains(err.Error(), "in use by another process") {
				t.Fatalf("a live socket: %v", err)
			}
			p.Close()
			if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(spec, Options{}); err == nil || !strings.Contains(err.Error(), "is no socket") {
				t.Fatalf("a plain file: %v", err)
			}
			if b, _ := os.ReadFile(path); string(b) != "precious" {
				t.Fatal("the file was touched")
			}
		})
	}
}

// leaveSocket leaves a socket's file without a listener, as a killed process does.
func leaveSocket(t *testing.T, transport, path string) {
	t.Helper()
	if transport == "unixgram" {
		c, err := net.ListenUnixgram(transport, &net.UnixAddr{Name: path, Net: transport})
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		return
	}
	l, err := net.ListenUnix(transport, &net.UnixAddr{Name: path, Net: transport})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
}

func TestWireAddressInUse(t *testing.T) {
	addr := freePort(t, "tcp")
	p := openPort(t, "wire:tcp,listen="+addr, Options{})
	spec, _ := ParseSpec("wire:tcp,listen=" + addr + ",name=again")
	if _, err := Open(spec, Options{}); err == nil || !strings.Contains(err.Error(), "port again") || !strings.Contains(err.Error(), addr) {
		t.Fatalf("got %v", err)
	}
	p.Close()
	if p, err := Open(spec, Options{}); err != nil {
		t.Fatal(err)
	} else {
		p.Close()
	}
}

// TestWireCloseAnyTime closes while peers come, go and talk.
func TestWireCloseAnyTime(t *testing.T) {
	for i := range 30 {
		p, addr := streamWire(t, "unix", Options{})
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				c, err := net.Dial("unix", addr)
				if err != nil {
					return
				}
				c.Write(append([]byte{0, 0, 0, 60}, ethernet(1, 60)...))
				c.Close()
			}
		})
		wg.Go(func() {
			for p.Wait() == nil {
				p.Read([]*packet.Frame{packet.NewFrame(2000)})
				p.Write([]*packet.Frame{frameOf(ethernet(1, 60))})
				p.Info()
			}
		})
		time.Sleep(time.Duration(i%4) * time.Millisecond)
		p.Close()
		wg.Wait()
	}
}

// TestWireDatagramBatches: what is written at once arrives complete and in order, also at an abstract address, and
// goes on when the other end is another socket.
func TestWireDatagramBatches(t *testing.T) {
	for _, network := range []string{"udp", "unixgram", "abstract"} {
		if network == "abstract" && runtime.GOOS != "linux" {
			continue
		}
		t.Run(network, func(t *testing.T) {
			here, there := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
			transport := "unixgram"
			switch network {
			case "udp":
				transport, here, there = "udp", freePort(t, "udp"), freePort(t, "udp")
			case "abstract":
				name := fmt.Sprintf("@weir-test-%d-%d", os.Getpid(), rand.Uint64())
				here, there = name+"a", name+"b"
			}
			var ca Counters
			a := openPort(t, fmt.Sprintf("wire:%s,local=%s,remote=%s,name=a", transport, here, there), Options{Counters: &ca})
			size := 0
			for range 2 {
				b := openPort(t, fmt.Sprintf("wire:%s,local=%s,remote=%s,name=b", transport, there, here), Options{})
				for range 20 {
					var frames []*packet.Frame
					var want [][]byte
					for i := range 1 + rand.IntN(2*sendBatch) {
						f := ethernet(byte(i), 60+rand.IntN(200))
						frames, want, size = append(frames, frameOf(f)), append(want, f), size+len(f)
					}
					if n := a.Write(frames); n != len(frames) {
						t.Fatalf("%d of %d taken", n, len(frames))
					}
					if got := readFrames(t, b, len(want)); !bytes.Equal(bytes.Join(got, nil), bytes.Join(want, nil)) {
						t.Fatal("not what was sent")
					}
				}
				waitCount(t, "bytes sent", ca.TxBytes.Load, uint64(size))
				b.Close()
				lost := ca.Snapshot().TxDropped // nobody is there
				a.Write([]*packet.Frame{frameOf(ethernet(1, 60))})
				if network == "udp" { // the first to go finds nobody, and the next is told of it
					waitCount(t, "sent or lost", func() uint64 { v := ca.Snapshot(); return v.TxBytes + 60*(v.TxDropped-lost) }, uint64(size+60))
					size = int(ca.TxBytes.Load())
				} else {
					waitCount(t, "lost", func() uint64 { return ca.Snapshot().TxDropped }, lost+1)
				}
			}
		})
	}
}
