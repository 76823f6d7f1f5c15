package ports

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weirswitch/weir/flowtable/packet"
)

// captureFile writes a capture where a test can open it.
func captureFile(t testing.TB, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "in.pcapng")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// drain reads what is due now.
func drain(t testing.TB, p Port) (got [][]byte) {
	t.Helper()
	frames := []*packet.Frame{packet.NewFrame(9000), packet.NewFrame(9000)}
	for {
		n, err := p.Read(frames)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range frames[:n] {
			got = append(got, bytes.Clone(f.Bytes()))
		}
		if n == 0 {
			return got
		}
	}
}

// TestPcapKeepsTime plays a file on a fake clock: every packet comes when the
// file says, and one that goes back in time comes at once.
func TestPcapKeepsTime(t *testing.T) {
	packets := append(samplePackets(), stamp{epoch, ethernet(4, 60)}, stamp{epoch.Add(time.Hour), ethernet(5, 60)})
	path := captureFile(t, writeNg(t, packets))
	synctest.Test(t, func(t *testing.T) {
		p := openPort(t, "pcap:"+path+",loop=2", Options{})
		begin := time.Now()
		hour := time.Hour
		for i, want := range []struct {
			after  time.Duration
			frames int
		}{{0, 1}, {time.Second, 1}, {1500*time.Millisecond + 7, 2}, {hour, 1 + 1},
			{hour + time.Second, 1}, {hour + 1500*time.Millisecond + 7, 2}, {2 * hour, 1}} {
			if err := p.Wait(); err != nil {
				t.Fatal(err)
			}
			if d := time.Since(begin); d != want.after {
				t.Errorf("step %d after %v, want %v", i, d, want.after)
			}
			if got := drain(t, p); len(got) != want.frames {
				t.Errorf("step %d: %d frames, want %d", i, len(got), want.frames)
			}
		}
		time.AfterFunc(time.Second, func() { p.Close() })
		if err := p.Wait(); !errors.Is(err, ErrClosed) {
			t.Fatalf("after the end: %v", err)
		}
	})
}

func TestPcapRates(t *testing.T) {
	path := captureFile(t, writeNg(t, samplePackets()))
	synctest.Test(t, func(t *testing.T) {
		fast := openPort(t, "pcap:"+path+",rate=fast,loop=1000", Options{})
		begin := time.Now()
		if got := drain(t, fast); len(got) != 3000 || !bytes.Equal(got[2998], ethernet(2, 1514)) || time.Since(begin) != 0 {
			t.Fatalf("%d frames in %v", len(got), time.Since(begin))
		}
		steady := openPort(t, "pcap:"+path+",rate=100,loop=4,name=steady", Options{})
		got := 0
		for got < 6 {
			if err := steady.Wait(); err != nil {
				t.Fatal(err)
			}
			got += len(drain(t, steady))
		}
		if d := time.Since(begin); d < 30*time.Millisecond || d > 50*time.Millisecond {
			t.Fatalf("6 frames at 100 a second took %v", d)
		}
		endless := openPort(t, "pcap:"+path+",rate=fast,loop=forever,name=endless", Options{})
		frames := []*packet.Frame{packet.NewFrame(2000)}
		for range 10000 {
			if n, err := endless.Read(frames); n != 1 || err != nil {
				t.Fatalf("%d, %v", n, err)
			}
		}
		empty := openPort(t, "pcap:"+captureFile(t, writeNg(t, nil))+",rate=fast,loop=forever,name=empty", Options{})
		if got := drain(t, empty); len(got) != 0 || !empty.Info().LinkUp {
			t.Fatal("packets out of an empty file")
		}
	})
}

func TestPcapDropsWhatIsNoFrame(t *testing.T) {
	path := captureFile(t, writeNg(t, []stamp{
		{epoch, []byte{1, 2, 3}}, {epoch, ethernet(1, 14)[:13]}, {epoch, ethernet(2, 14)},
		{epoch, ethernet(3, 2000)}, {epoch, ethernet(4, 9000)}, {epoch, ethernet(5, 60)},
	}))
	var c Counters
	p := openPort(t, "pcap:"+path+",rate=fast,mtu=5000", Options{Counters: &c})
	frames := []*packet.Frame{packet.NewFrame(1000), packet.NewFrame(1000), packet.NewFrame(1000)}
	n, err := p.Read(frames)
	v := c.Snapshot()
	if n != 2 || err != nil || v.RxPackets != 2 || v.RxBytes != 74 || v.RxDrops[DropTruncated] != 2 ||
		v.RxDrops[DropNoRoom] != 1 || v.RxDrops[DropTooBig] != 1 {
		t.Fatalf("%d frames, %v, %+v", n, err, v)
	}
}

// TestPcapOfNothingButDropsLetsGo: a file without one usable packet, played for ever, must not keep
// Read from returning: the worker that reads it would never come back, nor would Close.
func TestPcapOfNothingButDropsLetsGo(t *testing.T) {
	path := captureFile(t, writeNg(t, []stamp{{epoch, ethernet(1, 60)[:13]}}))
	p := openPort(t, "pcap:"+path+",rate=fast,loop=forever", Options{})
	back := make(chan int, 1)
	go func() {
		n, _ := p.Read([]*packet.Frame{packet.NewFrame(100), packet.NewFrame(100)})
		back <- n
	}()
	select {
	case n := <-back:
		if n != 0 {
			t.Errorf("%d frames from a file that has none", n)
		}
	case <-time.After(inTime):
		t.Error("Read does not return")
	}
}

// TestPcapDamageTakesTheLinkDown: what is before the damage enters; then the
// port is down and says where the damage is.
func TestPcapDamageTakesTheLinkDown(t *testing.T) {
	file := writePcap(binary.LittleEndian, true, 65535, samplePackets())
	b := make(bell, 1)
	var c Counters
	p := openPort(t, "pcap:"+captureFile(t, file[:len(file)-1])+",rate=fast,loop=5", Options{OnChange: b.ring, Counters: &c})
	if got := drain(t, p); len(got) != 2 {
		t.Fatalf("%d frames before the damage", len(got))
	}
	i := p.Info()
	if i.LinkUp || !i.Present || !strings.Contains(i.Problem, "in.pcapng: packet 3 at byte 1630: the file ends") {
		t.Fatalf("%+v", i)
	}
	select {
	case <-b:
	default:
		t.Fatal("nobody was told")
	}
	if got := drain(t, p); len(got) != 0 || c.RxErrors.Load() != 1 || c.RxDrops[DropMalformed].Load() != 1 {
		t.Fatalf("%d frames after the damage, %+v", len(got), c.Snapshot())
	}
	if p.Write([]*packet.Frame{frameOf(ethernet(1, 60))}) != 0 || c.TxDrops[DropLinkDown].Load() != 1 {
		t.Fatal("written to a port that is down")
	}
}

func TestPcapOpenErrors(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text.pcap")
	good := captureFile(t, writeNg(t, samplePackets()))
	if err := os.WriteFile(text, []byte("not a capture"), 0o600); err != nil {
		t.Fatal(err)
	}
	for spec, says := range map[string]string{
		"pcap:" + filepath.Join(dir, "none.pcap"): "no such file",
		"pcap:" + text:                                    "text.pcap: packet 1 at byte 0: the file begins with",
		"pcap:" + good + ",out=" + dir + "/x/y":           "no such file",
		"pcap:" + good + ",out=" + dir + "/./link":        "are the same file",
		"pcap:" + dir + "/":                               "is not a plain file",
		"pcap:out=/dev/full":                              "no space left",
		"pcap:nodevice9,rate=fast":                        "a live device has no option",
		"pcap:" + good + ",out=" + filepath.Dir(good):     "is a directory",
		"pcap:" + filepath.Join(dir, "fifo") + ",loop=3":  "not a plain file",
		"pcap:" + filepath.Join(dir, "empty") + ",loop=3": "is empty",
	} {
		_ = os.Symlink(good, filepath.Join(dir, "link"))
		_ = os.WriteFile(filepath.Join(dir, "empty"), nil, 0o600)
		if strings.Contains(spec, "fifo") {
			if err := exec.Command("mkfifo", filepath.Join(dir, "fifo")).Run(); err != nil {
				continue // no such program here
			}
		}
		if _, err := os.Stat("/dev/full"); err != nil && strings.Contains(spec, "full") {
			continue
		}
		s, err := ParseSpec(spec)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Open(s, Options{})
		if err == nil {
			p.Close()
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, expected %q", spec, err, says)
		}
	}
}

// TestPcapRecordIsReadByTshark: foreign programs judge the file: format,
// nanoseconds, snapshot length, checksums of finished segments, none above the MTU.
func TestPcapRecordIsReadByTshark(t *testing.T) {
	for _, tool := range []string{"tshark", "capinfos", "tcpdump"} {
		needProgram(t, tool)
	}
	out := filepath.Join(t.TempDir(), "rec.pcapng")
	var c Counters
	p := openPort(t, "pcap:out="+out, Options{Counters: &c})
	if i := p.Info(); i.Name != "rec" || !i.LinkUp {
		t.Fatalf("%+v", i)
	}
	big := frameOf(tcpSegment(t, 2500))
	big.Offload = superFrame
	owing := frameOf(tcpSegment(t, 100))
	owing.Offload = packet.Offload{NeedsCsum: true, CsumStart: 34, CsumOffset: 16}
	binary.BigEndian.PutUint16(owing.Bytes()[50:], pseudoSum(owing.Bytes()))
	if n := p.Write([]*packet.Frame{frameOf(ethernet(1, 60)), big, owing, frameOf(ethernet(2, 61)), frameOf(ethernet(0, 9014))}); n != 5 {
		t.Fatalf("%d taken", n)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if v := c.Snapshot(); v.TxPackets != 7 || v.TxDropped != 0 {
		t.Fatalf("%+v", v)
	}
	run := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.Command(name, args...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		b, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s %v: %v %s", name, args, err, stderr.String())
		}
		return string(b)
	}
	sums := run("tshark", "-o", "tcp.check_checksum:TRUE", "-r", out, "-Y", "tcp", "-T", "fields", "-e", "tcp.checksum.status", "-e", "tcp.len")
	if strings.Join(strings.Fields(sums), " ") != "1 1000 1 1000 1 500 1 100" {
		t.Errorf("checksum status (1 is good) and length: %q", sums)
	}
	info := run("capinfos", out)
	for _, want := range []string{"pcapng", "nanoseconds", "Ethernet", "262144", "Number of packets:   7"} {
		if !strings.Contains(info, want) {
			t.Errorf("capinfos does not say %q:\n%s", want, info)
		}
	}
	lines := run("tcpdump", "-nn", "-r", out) // the packets of unknown types have hex lines below them
	if got := strings.Count(lines, "\n") - strings.Count(lines, "\n\t"); got != 7 {
		t.Errorf("tcpdump sees %d packets", got)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	got, err := readCapture(b)
	if err != io.EOF || len(got) != 7 || time.Since(got[0].at) > time.Minute || !bytes.Equal(got[6].data, ethernet(0, 9014)) {
		t.Fatalf("%d packets, %v", len(got), err)
	}
}

// pseudoSum is what a host leaves in the checksum field for its card.
func pseudoSum(b []byte) uint16 {
	sum := packet.PseudoHeaderSum(b[26:30], b[30:34], 6, len(b)-34)
	return packet.Fold(sum)
}

// TestPcapRecordGrows: the file can be read while it is written, holds only
// whole packets, and is no more than a second behind.
func TestPcapRecordGrows(t *testing.T) {
	out := filepath.Join(t.TempDir(), "rec.pcapng")
	synctest.Test(t, func(t *testing.T) {
		p := openPort(t, "pcap:out="+out, Options{})
		count := func() int {
			t.Helper()
			b, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			got, err := readCapture(b)
			if err != io.EOF {
				t.Fatal(err)
			}
			return len(got)
		}
		if n := count(); n != 0 {
			t.Fatalf("%d packets in a new file", n)
		}
		frames := []*packet.Frame{frameOf(ethernet(1, 1514))}
		for i := range 1000 { // several buffers long
			p.Write(frames)
			if i%100 == 0 {
				count()
			}
		}
		time.Sleep(flushEvery + time.Millisecond)
		synctest.Wait()
		if n := count(); n != 1000 {
			t.Fatalf("%d packets after a second", n)
		}
		p.Write(frames)
		time.Sleep(flushEvery + time.Millisecond)
		synctest.Wait()
		if n := count(); n != 1001 {
			t.Fatalf("%d packets, the second flush is missing", n)
		}
		p.Write(frames)
		p.Close()
		if n := count(); n != 1002 {
			t.Fatalf("%d packets after Close", n)
		}
	})
}

// TestPcapRecordFails: a full disk takes the port down, and every frame is counted.
func TestPcapRecordFails(t *testing.T) {
	var c Counters
	b := make(bell, 1)
	p := openPort(t, "pcap:out="+filepath.Join(t.TempDir(), "rec.pcapng"), Options{Counters: &c, OnChange: b.ring})
	p.(*pcapFile).record.file.Close() // stands for a disk that fails
	frames := []*packet.Frame{frameOf(ethernet(1, 9000))}
	for range 100 {
		p.Write(frames)
	}
	i, v := p.Info(), c.Snapshot()
	if i.LinkUp || !strings.Contains(i.Problem, "recording into") || v.TxErrors != 1 ||
		v.TxPackets+v.TxDropped != 100 || v.TxDrops[DropDevice] != 1 {
		t.Fatalf("%+v %+v", i, v)
	}
	select {
	case <-b:
	default:
		t.Fatal("nobody was told")
	}
	if err := p.Close(); err == nil {
		t.Fatal("Close says that all is well")
	}
}

// TestPcapWithoutRecordDrops: a file that is only played has nobody at its end.
func TestPcapWithoutRecordDrops(t *testing.T) {
	var c Counters
	p := openPort(t, "pcap:"+captureFile(t, writeNg(t, samplePackets())), Options{Counters: &c})
	if p.Write([]*packet.Frame{frameOf(ethernet(1, 60))}) != 0 || c.TxDrops[DropLinkDown].Load() != 1 {
		t.Fatalf("%+v", c.Snapshot())
	}
}

// TestPcapThereAndBack plays a file into a recording and compares.
func TestPcapThereAndBack(t *testing.T) {
	out := filepath.Join(t.TempDir(), "rec.pcapng")
	p := openPort(t, "pcap:"+captureFile(t, writeNg(t, samplePackets()))+",rate=fast,loop=3,out="+out, Options{})
	frames := []*packet.Frame{packet.NewFrame(2000), packet.NewFrame(2000)}
	for {
		n, err := p.Read(frames)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		p.Write(frames[:n])
	}
	p.Close()
	b, _ := os.ReadFile(out)
	got, err := readCapture(b)
	if err != io.EOF || len(got) != 9 {
		t.Fatalf("%d packets, %v", len(got), err)
	}
	for i, g := range got {
		if !bytes.Equal(g.data, samplePackets()[i%3].data) {
			t.Fatalf("packet %d differs", i)
		}
	}
}
