// Slow path: NAME.snoop: copies of what the bridge and its controllers say to each other.

package agent

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"slices"
	"sync/atomic"

	"github.com/weirswitch/weir/openflow"
)

// snoops are the connections that read along.
type snoops struct {
	list atomic.Pointer[[]*outbox] // changed under Switch.mu
}

// copy gives them whole messages. One that does not keep up misses some, and nobody waits for it.
func (s *snoops) copy(messages []byte) {
	list := s.list.Load()
	if list == nil || len(messages) == 0 {
		return
	}
	for _, o := range *list {
		o.notify(func(b []byte) []byte { return append(b, messages...) })
	}
}

// snoopPath is where ovs-ofctl snoop looks.
func (s *Switch) snoopPath() string { return filepath.Join(s.env.RunDir, s.name+".snoop") }

// listenSnoop opens NAME.snoop. ops is held.
func (s *Switch) listenSnoop() error {
	l, err := s.openListener(Target{Scheme: "punix", Path: s.snoopPath()})
	if err != nil {
		return err
	}
	l.speak = s.serveSnoop
	s.mu.Lock()
	s.snoopListener = l
	s.mu.Unlock()
	l.done.Go(l.accept)
	return nil
}

// serveSnoop greets a reader and lets it read along until it goes. A bridge without controllers has
// nothing to tell yet; the reader waits. What it says itself, but for HELLO, is not listened to.
func (s *Switch) serveSnoop(ctx context.Context, nc net.Conn, _ string) {
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	defer stop()
	defer nc.Close()
	o := newOutbox(0, nil)
	o.notify(func(b []byte) []byte { return openflow.Append(b, 0, openflow.NewHello(allVersions...)) })
	s.changeSnoops(func(list []*outbox) []*outbox { return append(list, o) })
	go func() {
		io.Copy(io.Discard, nc) // until it goes
		o.close(io.EOF, false)
	}()
	o.run(nc, func() {})
	s.changeSnoops(func(list []*outbox) []*outbox {
		return slices.DeleteFunc(list, func(x *outbox) bool { return x == o })
	})
}

func (s *Switch) changeSnoops(change func([]*outbox) []*outbox) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*outbox
	if have := s.snoops.list.Load(); have != nil {
		list = slices.Clone(*have)
	}
	if list = change(list); len(list) == 0 {
		s.snoops.list.Store(nil)
		return
	}
	s.snoops.list.Store(&list)
}
