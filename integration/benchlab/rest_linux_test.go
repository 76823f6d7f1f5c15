package benchlab

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weirswitch/weir/integration/bench"
)

// rest starts a switch that learns addresses while a host already sends to it, and then leaves it alone.
func (c *run) rest() error {
	s, err := newSUT(c.s.kind, c.s.bin)
	if err != nil {
		return err
	}
	defer s.close()
	first, err := s.timeStart(c.ctx)
	if err != nil {
		return fmt.Errorf("%w%s", err, s.said())
	}
	c.add(bench.Row{Name: "start of the process to the first forwarded frame", Unit: "ms", Less: true,
		Goals: each(bench.Goal{Factor: 100})}, float64(first.Microseconds())/1000)

	if err := c.wait(min(time.Second, 2*c.o.length)); err != nil { // what a start leaves to do
		return err
	}
	before, start := s.Used(), time.Now()
	if err := c.wait(2 * c.o.length); err != nil {
		return err
	}
	c.add(bench.Row{Name: "processor time at rest", Unit: "% of a core", Less: true,
		Goals: each(bench.Goal{Factor: 1})}, float64(s.Used()-before)/float64(time.Since(start))*100)
	rss, err := s.RSS()
	if err != nil {
		return err
	}
	c.add(bench.Row{Name: "resident memory at rest", Unit: "MiB", Less: true,
		Goals: each(bench.Goal{Factor: 40})}, rss/(1<<20))
	return nil
}

// each asks the same of weir on packet sockets, on AF_XDP, and on packet sockets with the right to spin.
func each(g bench.Goal) (all []bench.Goal) {
	for _, g.By = range []string{"", nameXSK, nameSpin} {
		all = append(all, g)
	}
	return all
}

// experimental is an ethertype for experiments, which nothing else here sends.
const experimental = 0x88b5

// timeStart measures from the start of the process until a frame of the first host arrives at the second.
func (s *sut) timeStart(ctx context.Context) (time.Duration, error) {
	start, err := s.prepare(ctx)
	if err != nil {
		return 0, err
	}
	in, err := packetSocket(s.to().Space, "eth0")
	if err != nil {
		return 0, err
	}
	defer unix.Close(in)
	if err := listenFor(in, experimental); err != nil {
		return 0, err
	}
	silence, err := s.knock()
	if err != nil {
		return 0, err
	}
	defer silence()

	began := time.Now()
	if err := start(); err != nil {
		return 0, err
	}
	for time.Since(began) < bench.Patience && ctx.Err() == nil && s.Proc.Running() {
		if n, _, err := unix.Recvfrom(in, nil, unix.MSG_TRUNC); err == nil && n > 0 {
			return time.Since(began), nil
		}
	}
	if s.lacksKind() {
		return 0, errNoKind
	}
	return 0, errors.Join(errors.New("no frame was forwarded"), ctx.Err())
}

// knock sends a frame from the first host to the second every tenth of a millisecond.
func (s *sut) knock() (silence func(), err error) {
	fd, err := packetSocket(s.from().Space, "eth0")
	if err != nil {
		return nil, err
	}
	frame := make([]byte, frameSize)
	copy(frame, s.to().MAC)
	copy(frame[6:], s.from().MAC)
	frame[12], frame[13] = experimental>>8, experimental&0xff
	var quit atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer unix.Close(fd)
		for !quit.Load() {
			_, _ = unix.Write(fd, frame) // ENETDOWN and the like, while the link is being taken
			time.Sleep(100 * time.Microsecond)
		}
	}()
	return func() { quit.Store(true); <-done }, nil
}

// listenFor makes a packet socket receive frames of one ethertype, and look up from waiting each tenth of a second.
func listenFor(fd int, ethertype uint16) error {
	addr, err := unix.Getsockname(fd)
	if err != nil {
		return err
	}
	tv := unix.NsecToTimeval((100 * time.Millisecond).Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
		return err
	}
	return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: ethertype<<8 | ethertype>>8, Ifindex: addr.(*unix.SockaddrLinklayer).Ifindex})
}

// prepare does what a start needs only once, such as Open vSwitch's database, and says how to start the process.
func (s *sut) prepare(ctx context.Context) (start func() error, err error) {
	if s.isWeir() {
		s.Switch = s.newWeir()
		return func() error { return s.Switch.Start(true) }, nil
	}
	o, err := bench.NewOVS(ctx, s.lab, s.name, s.name == nameAFXDP)
	if err != nil {
		return nil, err
	}
	s.Switch = o.Switch
	if err = o.StartDaemon(); err == nil {
		err = o.AddBridge(ctx, true)
	}
	if err == nil {
		err = s.pass(ctx)
	}
	if err == nil {
		_ = o.Proc.Stop() // "terminated" is how it ends
	}
	return o.StartDaemon, err
}
